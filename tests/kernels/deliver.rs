//! Explanations on their way to memory of the device that others own.

use crate::support::{Random, gpu, power_of_two};
use half::f16;
use vggx::backend::cuda::params::VggxDeliver;

/// Largest magnitudes and exponents of images: what folds to normal floats, just does, just does not, and is far from it.
const SCALES: [(f32, i32); 16] = [
    (0.9, 0),
    (0.75, 12),
    (0.5, -125),
    (0.5, -126),
    (0.99, -140),
    (0.5, 128),
    (0.99999994, 128),
    (1.0, 128),
    (2.9, 127),
    (0.7, 4000),
    (0.7, -4000),
    (0.0, 77),
    (1e-40, 20),
    (1e-45, 300),
    (0.6, i32::MAX),
    (0.6, i32::MIN),
];

struct Problem {
    images: usize,
    channels: usize,
    positions: usize,
    values: Vec<f32>,
    exponents: Vec<i32>,
    joins: Vec<i32>,
}

impl Problem {
    fn new(images: usize, channels: usize, positions: usize) -> Self {
        let mut random = Random::new((images + positions) as u64);
        let count = channels * positions;
        let (mut values, mut exponents, mut joins) = (Vec::new(), Vec::new(), Vec::new());
        for image in 0..images {
            let (largest, exponent) = SCALES[(image + positions) % SCALES.len()];
            let first = values.len();
            // Some of them far smaller than the largest, so that they underflow.
            let small = |random: &mut Random| power_of_two(-(random.below(40) as i32));
            values.extend(
                (0..count).map(|_| {
                    ((2.0 * random.uniform() - 1.0) * small(&mut random) * f64::from(largest)) as f32
                }),
            );
            values[first + random.below(count)] = if image % 2 == 0 { largest } else { -largest };
            // Sums that saturate come from both sides.
            let join =
                if exponent.unsigned_abs() > 1 << 30 { exponent } else { random.below(200) as i32 - 100 };
            joins.push(join);
            exponents.push(if join == exponent { exponent } else { exponent - join });
        }
        Problem { images, channels, positions, values, exponents, joins }
    }

    /// Bytes at the destinations, `before` bytes into memory of their own, and the exponents. The second image has none.
    fn run(&self, kernel: &str, bytes: usize, reversed: bool) -> (Vec<Vec<u8>>, Vec<i32>) {
        let gpu = gpu();
        let count = self.channels * self.positions;
        let destinations: Vec<_> =
            (0..self.images).map(|image| gpu.poisoned((count + image % 3) * bytes)).collect();
        let address = |image: usize| destinations[image].address() + (image % 3 * bytes) as u64;
        let addresses: Vec<u64> =
            (0..self.images).map(|image| if image == 1 { 0 } else { address(image) }).collect();
        let (addresses, values) = (gpu.upload(&addresses), gpu.upload(&self.values));
        let (exponents, joins) = (gpu.upload(&self.exponents), gpu.upload(&self.joins));
        let (bits, scales) = (gpu.zeros(4 * self.images), gpu.poisoned(4 * self.images));
        let parameters = VggxDeliver {
            values: values.address(),
            exponents: exponents.address(),
            joins: joins.address(),
            bits: bits.address(),
            destinations: addresses.address(),
            scales: scales.address(),
            images: self.images as i32,
            channels: self.channels as i32,
            positions: self.positions as i32,
            reversed: i32::from(reversed),
        };
        gpu.launch("deliver_largest", [count.div_ceil(2048), self.images, 1], 256, 0, &parameters);
        gpu.launch(kernel, [count.div_ceil(1024), self.images, 1], 256, 0, &parameters);
        let written = destinations
            .iter()
            .enumerate()
            .map(|(image, memory)| gpu.download::<u8>(memory).split_off(image % 3 * bytes))
            .collect();
        (written, gpu.download(&scales))
    }

    /// The values of an image as they are delivered, and their exponent.
    fn apart(&self, image: usize, reversed: bool) -> (Vec<f32>, i32) {
        let values = &self.values[image * self.channels * self.positions..];
        let plane = |channel: usize| &values[channel * self.positions..][..self.positions];
        let planes = (0..self.channels)
            .flat_map(|channel| plane(if reversed { self.channels - 1 - channel } else { channel }));
        (planes.copied().collect(), self.exponents[image].saturating_add(self.joins[image]))
    }

    /// The same as the host folds them.
    fn folded(&self, image: usize, reversed: bool) -> (Vec<f32>, i32) {
        let (mut values, exponent) = self.apart(image, reversed);
        let largest = values.iter().fold(0f64, |most, &value| most.max(f64::from(value).abs()));
        let normal = f64::from(f32::MIN_POSITIVE)..=f64::from(f32::MAX);
        if largest == 0.0 {
            return (values, 0);
        }
        if !(-400..400).contains(&exponent) || !normal.contains(&(largest * power_of_two(exponent))) {
            return (values, exponent);
        }
        values.iter_mut().for_each(|value| *value = (f64::from(*value) * power_of_two(exponent)) as f32);
        (values, 0)
    }

    fn check(&self, reversed: bool) {
        let what =
            format!("{} images of {} × {}, reversed {reversed}", self.images, self.channels, self.positions);
        let (floats, scales) = gpu().in_every_order(&what, || self.run("deliver_f32", 4, reversed));
        let (halves, half_scales) = gpu().in_every_order(&what, || self.run("deliver_f16", 2, reversed));
        for image in 0..self.images {
            let what = format!("{what}, image {image}");
            let (values, left) = self.folded(image, reversed);
            assert_eq!(scales[image], left, "{what}");
            let (apart, exponent) = self.apart(image, reversed);
            let most = apart.iter().fold(0f64, |most, &value| most.max(f64::from(value).abs()));
            let more = (-200..200).find(|&more| (16384.0..32768.0).contains(&(most * power_of_two(-more))));
            let half_scale = more.map_or(0, |more| exponent.saturating_add(more));
            assert_eq!(half_scales[image], half_scale, "{what}");
            if image == 1 {
                assert!(floats[image].iter().chain(&halves[image]).all(|&byte| byte == 0xff), "{what}");
                continue;
            }
            let as_floats: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
            assert!(floats[image] == as_floats, "{what}");
            // 24 bits of a float times a power of two are a float but far below float16: rounded once.
            let factor = more.map_or(0.0, |more| power_of_two(-more));
            let as_halves: Vec<u8> =
                apart
                    .iter()
                    .map(|&value| {
                        if most == 0.0 {
                            f16::ZERO
                        } else {
                            f16::from_f32((f64::from(value) * factor) as f32)
                        }
                    })
                    .flat_map(|value| value.to_ne_bytes())
                    .collect();
            assert!(halves[image] == as_halves, "{what}");
        }
    }
}

#[test]
fn explanations_are_folded_as_the_host_folds_them() {
    for (images, channels, positions) in [(1, 3, 1), (3, 1, 7), (33, 3, 5), (16, 3, 683), (17, 1, 2049)] {
        for reversed in [false, true] {
            Problem::new(images, channels, positions).check(reversed);
        }
    }
}

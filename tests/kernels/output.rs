//! Explanations on their way out.

use crate::support::{Element, Random, gpu, power_of_two};
use vggx::backend::cuda::params::VggxOutput;

struct Problem {
    images: usize,
    positions: usize,
    values: Vec<f32>,
    largest: Vec<f64>,
    exponents: Vec<i32>,
    factors: Option<Vec<f32>>,
}

impl Problem {
    fn random(images: usize, positions: usize, with_factors: bool) -> Self {
        let mut random = Random::new((images + positions) as u64);
        // Everything from zero over subnormal numbers to the largest that maps are stored with, and beyond.
        let scales = [32752.0, 0.0, 1.0, 0.499999, 1e-30, 3e-39, 1.5e-45, 1e38];
        let (mut values, mut largest) = (Vec::new(), Vec::new());
        for image in 0..images {
            let of_image = random.elements(Element::F32, 3 * positions, scales[image % scales.len()]);
            largest.push(of_image.iter().fold(0_f64, |most, value| most.max(value.abs())));
            values.extend(of_image.iter().map(|&value| value as f32));
        }
        let exponents = (0..images).map(|_| random.below(241) as i32 - 120).collect();
        let factors = with_factors.then(|| {
            (0..images)
                .map(|image| match image % 3 {
                    0 => 0.5 + random.uniform() as f32 / 2.001,
                    1 => -0.5 - random.uniform() as f32 / 2.001,
                    _ => [0.0, 0.5][image % 2],
                })
                .collect()
        });
        Problem { images, positions, values, largest, exponents, factors }
    }

    /// Bits of the planes, or of the heat map, and the exponents.
    fn run(&self, heat_map: bool, first: usize, images: usize) -> (Vec<u32>, Vec<i32>) {
        let gpu = gpu();
        let plane = 3 * self.positions;
        let values = gpu.upload(&self.values[first * plane..][..images * plane]);
        let scale = gpu.upload_scale(&self.largest[first..][..images], &self.exponents[first..][..images]);
        let factors = self.factors.as_ref().map(|factors| gpu.upload(&factors[first..][..images]));
        let output = gpu.poisoned(images * self.positions * 4);
        let exponents = gpu.poisoned(images * 4);
        let parameters = VggxOutput {
            values: values.address(),
            scale: scale.parameters(),
            factors: factors.as_ref().map_or(0, |factors| factors.address()),
            heat_map: if heat_map { output.address() } else { 0 },
            exponents: exponents.address(),
            images: images as i32,
            positions: self.positions as i32,
        };
        let (name, count) =
            if heat_map { ("output_heat_map", self.positions) } else { ("output_planes", plane) };
        gpu.launch(name, [count.div_ceil(1024), images, 1], 256, 0, &parameters);
        (gpu.download(if heat_map { &output } else { &values }), gpu.download(&exponents))
    }

    /// The power of two that brings an image into [1/2, 1).
    fn power(&self, image: usize) -> i32 {
        if self.largest[image] == 0.0 {
            return 0;
        }
        (-200..=200)
            .find(|&power| (0.5..1.0).contains(&(self.largest[image] * power_of_two(power))))
            .expect("some power does")
    }

    fn check(&self) {
        let what = format!("{} images of {}", self.images, self.positions);
        let (planes, exponents) = gpu().in_every_order(&what, || self.run(false, 0, self.images));
        let (heat_maps, of_heat_maps) = gpu().in_every_order(&what, || self.run(true, 0, self.images));
        assert_eq!(of_heat_maps, exponents, "{what}");
        let positions = self.positions;
        for image in 0..self.images {
            let what = format!("{what}, image {image}");
            let power = self.power(image);
            assert_eq!(exponents[image], self.exponents[image] - power, "{what}");
            // Scaling by the power is exact but where the results are subnormal.
            let factor = self.factors.as_ref().map_or(1.0, |factors| factors[image]);
            let scaled = |value: f32| (f64::from(value) * power_of_two(power)) as f32;
            let values = &self.values[3 * image * positions..][..3 * positions];
            for (at, &value) in values.iter().enumerate() {
                let got = f32::from_bits(planes[3 * image * positions + at]);
                assert!(got == scaled(value) * factor, "{what}: {at} is {got}");
                assert!(got.abs() < 1.0, "{what}: {at} is {got}");
            }
            for at in 0..positions {
                let got = f32::from_bits(heat_maps[image * positions + at]);
                let plane = |channel: usize| f64::from(scaled(values[channel * positions + at]) * factor);
                let sum = (plane(0) + plane(1) + plane(2)) as f32;
                assert!(got == sum, "{what}: heat {at} is {got}");
                assert!(got.abs() < 3.0, "{what}: heat {at} is {got}");
            }
        }
        let last = self.images - 1;
        assert!(planes[3 * last * positions..] == self.run(false, last, 1).0[..], "{what}: alone");
        assert!(heat_maps[last * positions..] == self.run(true, last, 1).0[..], "{what}: alone");
    }
}

#[test]
fn the_largest_magnitude_is_just_below_one() {
    for (images, positions) in [(1, 1), (3, 91), (33, 7), (8, 1024), (2, 1500)] {
        for with_factors in [false, true] {
            Problem::random(images, positions, with_factors).check();
        }
    }
}

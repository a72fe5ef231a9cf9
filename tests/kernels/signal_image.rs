//! The last backward step: 3x3 from the first layer's outputs to the three channels of the image.

use crate::support::{Element, Judged, Random, expected_exponent, gpu, padded, power_of_two};
use vggx::backend::cuda::params::VggxSignalImage;

struct Problem {
    element: Element,
    images: usize,
    height: usize,
    width: usize,
    channels: usize,
    input: Vec<f64>,
    largest: Vec<f64>,
    exponents: Vec<i32>,
    /// [9, channels, 4]
    operator: Vec<f32>,
    gain: i32,
}

/// Results of every image: [3, height, width], the bits of the largest magnitude, and the exponent.
#[derive(PartialEq)]
struct Results {
    planes: Vec<f32>,
    largest: Vec<u32>,
    exponents: Vec<i32>,
}

impl Problem {
    fn random(element: Element, images: usize, (height, width): (usize, usize), real: usize) -> Self {
        let channels = padded(real);
        let mut random = Random::new((height * width * real + images) as u64);
        // A full image, one that is zero, tiny ones and exponents far from zero.
        let largest: Vec<f64> =
            (0..images).map(|image| [32752.0, 1.0, 0.0, 30000.0, 3e-5][image % 5]).collect();
        let exponents: Vec<i32> = (0..images).map(|image| [0, 60, 3, -60, -7][image % 5]).collect();
        let mut input = Vec::new();
        let mut rounded = Vec::new();
        for &largest in &largest {
            input.extend(random.map(element, height * width, real, channels, largest));
            rounded.push(element.round(largest));
        }
        let mut operator = vec![0_f32; 9 * channels * 4];
        for (at, value) in random.elements(Element::F32, 9 * channels * 3, 32000.0).iter().enumerate() {
            if at / 3 % channels < real {
                operator[at / 3 * 4 + at % 3] = *value as f32;
            }
        }
        Problem {
            element,
            images,
            height,
            width,
            channels,
            input,
            largest: rounded,
            exponents,
            operator,
            gain: -13,
        }
    }

    fn bound(&self) -> f32 {
        let row = |output: usize| -> f64 {
            self.operator.iter().skip(output).step_by(4).map(|value| f64::from(value.abs())).sum()
        };
        (row(0).max(row(1)).max(row(2)) * 1.001) as f32
    }

    fn run(&self, first: usize, images: usize) -> Results {
        let gpu = gpu();
        let positions = self.height * self.width;
        let of_image = positions * self.channels;
        let input = gpu.upload_elements(self.element, &self.input[first * of_image..][..images * of_image]);
        let input_scale =
            gpu.upload_scale(&self.largest[first..][..images], &self.exponents[first..][..images]);
        let operator = gpu.upload(&self.operator);
        let output = gpu.poisoned(images * 3 * positions * 4);
        let output_scale = gpu.fresh_scale(images);
        let parameters = VggxSignalImage {
            input: input.address(),
            input_scale: input_scale.parameters(),
            operator_: operator.address(),
            operator_bound: self.bound(),
            operator_gain: self.gain,
            images: images as i32,
            height: self.height as i32,
            width: self.width as i32,
            channels: self.channels as i32,
            output: output.address(),
            output_scale: output_scale.parameters(),
        };
        let (columns, rows, threads, shared) = match self.element {
            Element::F32 => (32, 8, 256, 10 * 34 * 64 * 4 + 9 * 64 * 16),
            Element::F16 | Element::Bf16 => (62, 16, 128, 16 * 9 * 68 * 4 + 28 * 32 * 8),
            Element::F8 => unreachable!("what the image's kernel reads is not float8"),
        };
        let grid = [self.width.div_ceil(columns), self.height.div_ceil(rows), images];
        gpu.launch(&self.element.kernel("signal_image"), grid, threads, shared, &parameters);
        Results {
            planes: gpu.download(&output),
            largest: output_scale.largest(gpu),
            exponents: output_scale.exponents(gpu),
        }
    }

    /// What one image gives, in units of its input times the operator.
    fn expected(&self, image: usize) -> Judged {
        let (height, width, channels) = (self.height as i64, self.width as i64, self.channels);
        let input = &self.input[image * self.height * self.width * channels..];
        let (mut values, mut magnitudes) = (Vec::new(), Vec::new());
        for output in 0..3 {
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let (mut sum, mut magnitude) = (0.0, 0.0);
                for tap in 0..9 {
                    let (y, x) = (y + tap / 3 - 1, x + tap % 3 - 1);
                    if y < 0 || y >= height || x < 0 || x >= width {
                        continue;
                    }
                    for channel in 0..channels {
                        let weight = self.operator[(tap as usize * channels + channel) * 4 + output];
                        let term = f64::from(weight) * input[(y * width + x) as usize * channels + channel];
                        sum += term;
                        magnitude += term.abs();
                    }
                }
                values.push(sum);
                magnitudes.push(magnitude);
            }
        }
        Judged { values, magnitudes }
    }

    fn check(&self) {
        let what = format!(
            "{:?}, {} images {}x{}x{}",
            self.element, self.images, self.height, self.width, self.channels
        );
        let results = gpu().in_every_order(&what, || self.run(0, self.images));
        let plane = 3 * self.height * self.width;
        for image in 0..self.images {
            let what = format!("{what}, image {image}");
            let exponent =
                expected_exponent(self.largest[image], self.exponents[image], self.bound(), self.gain);
            assert_eq!(results.exponents[image], exponent, "{what}");

            let stored = &results.planes[image * plane..][..plane];
            let largest = stored.iter().fold(0_f32, |most, value| most.max(value.abs()));
            assert!(largest < 32768.0, "{what}: {largest}");
            assert_eq!(results.largest[image], largest.to_bits(), "{what}");

            // Both sides in stored units.
            let factor = power_of_two(self.gain + self.exponents[image] - exponent);
            let Judged { values, magnitudes } = self.expected(image);
            let scaled = |list: Vec<f64>| list.iter().map(|value| value * factor).collect();
            let judged = Judged { values: scaled(values), magnitudes: scaled(magnitudes) };
            let stored: Vec<f64> = stored.iter().map(|&value| f64::from(value)).collect();
            // Stored in float32. What the two parts of a bfloat16 operator miss is up to 2^-16 of each weight; of a float16
            // one 2^-22, which is nothing beside the sum.
            let sums = if self.element == Element::Bf16 { power_of_two(-16) } else { 0.0 };
            judged.check_with(&what, Element::F32, power_of_two(-20) + sums, &stored);
        }
        for image in [0, self.images - 1] {
            let alone = self.run(image, 1);
            let batch = results.planes[image * plane..][..plane].iter().map(|value| value.to_bits());
            assert!(
                alone.planes.iter().map(|value| value.to_bits()).eq(batch),
                "{what}: image {image} alone"
            );
            assert_eq!(alone.largest, [results.largest[image]], "{what}: image {image} alone");
        }
    }
}

#[test]
fn odd_shapes_agree_with_float64() {
    for element in Element::ALL {
        for shape in [(1, 1), (7, 13), (8, 32), (9, 33), (17, 5), (16, 62), (33, 63), (3, 126), (15, 77)] {
            Problem::random(element, 3, shape, 64).check();
        }
    }
}

#[test]
fn more_and_fewer_channels_than_a_group() {
    for element in Element::ALL {
        Problem::random(element, 1, (10, 35), 128).check();
        Problem::random(element, 5, (5, 3), 50).check();
        Problem::random(element, 2, (3, 4), 130).check();
    }
}

#[test]
fn batches_larger_than_any_tile() {
    for element in Element::ALL {
        Problem::random(element, 33, (3, 2), 64).check();
    }
}

#[test]
fn tiny_maps_are_stored_as_large_as_a_factor_allows() {
    let mut problem = Problem::random(Element::F32, 4, (4, 5), 64);
    let of_image = problem.input.len() / 4;
    let mut random = Random::new(5);
    let largest = [power_of_two(-75), power_of_two(-70), 0.0, 1e30];
    for (image, largest) in largest.into_iter().enumerate() {
        let values = random.elements(Element::F32, of_image, largest);
        problem.largest[image] = Element::F32.round(largest);
        problem.input[image * of_image..][..of_image].copy_from_slice(&values);
    }
    // So small that the factors would have to be beyond 2^127, and not so small that float32 has no such products.
    for weight in &mut problem.operator {
        *weight *= 2_f32.powi(-60);
    }
    problem.check();
}

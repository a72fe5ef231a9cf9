//! Adaptive average pooling, forward and backward, and unpooling.

use crate::support::{
    Below, Element, Judged, Kind, Maps, Random, below_cases, expected_exponent, gpu, padded, power_of_two,
};
use std::ops::Range;
use vggx::backend::cuda::params::{VGGX_GATE_MASK, VGGX_GATE_SIGN, VggxAveragePool, VggxBelow, VggxUnpool};

/// What torch averages: from floor(i n / s) to ceil((i + 1) n / s), in rational numbers.
fn window(cell: usize, cells: usize, extent: usize) -> Range<usize> {
    let begin = (0..=extent).rev().find(|begin| begin * cells <= cell * extent).expect("zero does");
    let end = (0..=extent).find(|end| end * cells >= (cell + 1) * extent).expect("the extent does");
    begin..end
}

fn grid_of(maps: Maps) -> [usize; 3] {
    [maps.of_image().div_ceil(2048), maps.images, 1]
}

/// A random map whose images have the largest magnitudes given.
fn random_maps(random: &mut Random, element: Element, maps: Maps, real: usize, largest: &[f64]) -> Vec<f64> {
    largest
        .iter()
        .flat_map(|&largest| random.map(element, maps.height * maps.width, real, maps.channels, largest))
        .collect()
}

/// Extents of the map, and the side of the grid.
const POOLS: [(usize, usize, usize); 7] =
    [(7, 7, 7), (7, 13, 7), (1, 1, 7), (14, 9, 7), (3, 5, 2), (13, 7, 1), (2, 3, 5)];

#[test]
fn averages_are_those_of_torch() {
    let gpu = gpu();
    for element in Element::ALL {
        for ((height, width, side), (images, real)) in
            POOLS.into_iter().flat_map(|pool| [(1, 64), (3, 100)].map(|count| (pool, count)))
        {
            let maps = Maps { images, height, width, channels: padded(real) };
            let cells = Maps { height: side, width: side, ..maps };
            let what = format!("average_pool {element:?}, {maps:?}, side {side}");
            let mut random = Random::new((height * width + side) as u64);
            let input = random_maps(&mut random, element, maps, real, &vec![32752.0; images]);
            let run = |images: Range<usize>| {
                let of_image = maps.of_image();
                let input =
                    gpu.upload_elements(element, &input[images.start * of_image..images.end * of_image]);
                let cells = Maps { images: images.len(), ..cells };
                let output = gpu.poisoned_elements(element, cells.elements());
                let parameters = VggxAveragePool {
                    input: input.address(),
                    images: images.len() as i32,
                    height: height as i32,
                    width: width as i32,
                    channels: maps.channels as i32,
                    side: side as i32,
                    output: output.address(),
                    ..VggxAveragePool::default()
                };
                gpu.launch(&element.kernel("average_pool"), grid_of(cells), 256, 0, &parameters);
                gpu.download::<u8>(&output)
            };
            let stored = gpu.in_every_order(&what, || run(0..images));

            let (mut values, mut magnitudes) = (Vec::new(), Vec::new());
            for image in 0..images {
                for (cell_y, cell_x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
                    for channel in 0..maps.channels {
                        let (mut sum, mut magnitude, mut count) = (0.0, 0.0, 0.0);
                        for y in window(cell_y, side, height) {
                            for x in window(cell_x, side, width) {
                                let value =
                                    input[((image * height + y) * width + x) * maps.channels + channel];
                                sum += value;
                                magnitude += value.abs();
                                count += 1.0;
                            }
                        }
                        values.push(sum / count);
                        magnitudes.push(magnitude / count);
                    }
                }
            }
            Judged { values, magnitudes }.check(&what, element, &element.decode(&stored));
            let last = stored.len() / images * (images - 1);
            assert!(stored[last..] == run(images - 1..images)[..], "{what}: the last image alone");
        }
    }
}

/// The largest sum of the shares of one position.
fn share_bound(height: usize, width: usize, side: usize) -> f32 {
    let mut sums = vec![0.0; height * width];
    for (cell_y, cell_x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
        let (rows, columns) = (window(cell_y, side, height), window(cell_x, side, width));
        for y in rows.clone() {
            for x in columns.clone() {
                sums[y * width + x] += 1.0 / (rows.len() * columns.len()) as f64;
            }
        }
    }
    (sums.iter().fold(0.0_f64, |most, &sum| most.max(sum)) * 1.0001) as f32
}

struct Backward {
    element: Element,
    maps: Maps,
    side: usize,
    input: Vec<f64>,
    largest: Vec<f64>,
    exponents: Vec<i32>,
    below: Below,
}

type BackwardResults = (Vec<u8>, Vec<u32>, Vec<i32>);

impl Backward {
    fn random(element: Element, maps: Maps, real: usize, side: usize, case: (i32, Kind)) -> Self {
        let mut random = Random::new((maps.of_image() + side) as u64);
        let cells = Maps { height: side, width: side, ..maps };
        let pick = |list: [f64; 4]| (0..maps.images).map(|image| list[image % 4]).collect::<Vec<_>>();
        let largest: Vec<f64> =
            pick([32752.0, 0.0, 3e-5, 1.0]).iter().map(|&value| element.round(value)).collect();
        let exponents: Vec<i32> = pick([60.0, 5.0, -60.0, 0.0]).iter().map(|&power| power as i32).collect();
        let input = random_maps(&mut random, element, cells, real, &largest);
        let below = Below::random(&mut random, case, maps);
        Backward { element, maps, side, input, largest, exponents, below }
    }

    fn bound(&self) -> f32 {
        share_bound(self.maps.height, self.maps.width, self.side)
    }

    fn run(&self, first: usize, images: usize) -> BackwardResults {
        let gpu = gpu();
        let of_image = self.side * self.side * self.maps.channels;
        let input = gpu.upload_elements(self.element, &self.input[first * of_image..][..images * of_image]);
        let scale = gpu.upload_scale(&self.largest[first..][..images], &self.exponents[first..][..images]);
        let below = self.below.of_images(first, images);
        let buffers = below.upload(gpu, self.element);
        let parameters = VggxAveragePool {
            input: input.address(),
            input_scale: scale.parameters(),
            bound: self.bound(),
            images: images as i32,
            height: self.maps.height as i32,
            width: self.maps.width as i32,
            channels: self.maps.channels as i32,
            side: self.side as i32,
            output: 0,
            below: below.parameters(&buffers),
        };
        let grid = grid_of(Maps { images, ..self.maps });
        gpu.launch(&self.element.kernel("average_pool_backward"), grid, 256, 0, &parameters);
        (gpu.download(&buffers.output), buffers.scale.largest(gpu), buffers.scale.exponents(gpu))
    }

    /// Signals at the map in stored units, cell by cell.
    fn signals(&self, image: usize, factor: f64) -> (Vec<f64>, Vec<f64>) {
        let Maps { height, width, channels, .. } = self.maps;
        let (mut values, mut magnitudes) = (vec![0.0; self.maps.of_image()], vec![0.0; self.maps.of_image()]);
        for (cell_y, cell_x) in (0..self.side).flat_map(|y| (0..self.side).map(move |x| (y, x))) {
            let (rows, columns) = (window(cell_y, self.side, height), window(cell_x, self.side, width));
            let positions = (rows.len() * columns.len()) as f64;
            for y in rows {
                for x in columns.clone() {
                    for channel in 0..channels {
                        let cell = (image * self.side + cell_y) * self.side + cell_x;
                        let share = self.input[cell * channels + channel] / positions * factor;
                        values[(y * width + x) * channels + channel] += share;
                        magnitudes[(y * width + x) * channels + channel] += share.abs();
                    }
                }
            }
        }
        (values, magnitudes)
    }

    fn check(&self) {
        let what = format!("average_pool_backward {:?}, {:?}, side {}", self.element, self.maps, self.side);
        let (bytes, largest, exponents) = gpu().in_every_order(&what, || self.run(0, self.maps.images));
        let stored = self.element.decode(&bytes);
        let of_image = stored.len() / self.maps.images;
        for image in 0..self.maps.images {
            let what = format!("{what}, image {image}");
            let exponent = expected_exponent(self.largest[image], self.exponents[image], self.bound(), 0);
            assert_eq!(exponents[image], exponent, "{what}");
            let stored = &stored[image * of_image..][..of_image];
            let most = stored.iter().fold(0_f64, |most, value| most.max(value.abs()));
            assert!(most < 32768.0, "{what}: {most}");
            assert_eq!(largest[image], (most as f32).to_bits(), "{what}");

            let factor = power_of_two(self.exponents[image] - exponent);
            let (values, magnitudes) = self.signals(image, factor);
            let below = self.below.of_images(image, 1);
            // Terms go where their sums go: the sign gate asks the sum, and a sum at zero is within its own error.
            let values = below.apply(&values);
            let magnitudes: Vec<f64> = below.scattered(&magnitudes);
            Judged { values, magnitudes }.check(&what, self.element, stored);
        }
        let last = self.maps.images - 1;
        let alone = self.run(last, 1);
        let bytes = &bytes[last * of_image * self.element.bytes()..];
        assert!(alone == (bytes.to_vec(), vec![largest[last]], vec![exponents[last]]), "{what}: alone");
    }
}

#[test]
fn every_window_spreads_its_signal() {
    for element in Element::ALL {
        for (height, width, side) in POOLS {
            let maps = Maps { images: 4, height, width, channels: 64 };
            Backward::random(element, maps, 64, side, (VGGX_GATE_MASK, Kind::Rectifier)).check();
        }
        let maps = Maps { images: 33, height: 2, width: 1, channels: 128 };
        Backward::random(element, maps, 70, 3, (VGGX_GATE_MASK, Kind::Nothing)).check();
    }
}

#[test]
fn spread_signals_pass_every_gate_and_pool() {
    for element in Element::ALL {
        for case in below_cases() {
            let maps = Maps { images: 3, height: 3, width: 5, channels: 128 };
            Backward::random(element, maps, 100, 2, case).check();
        }
    }
}

fn check_unpool(element: Element, maps: Maps, real: usize, case: (i32, Kind)) {
    let gpu = gpu();
    let what = format!("unpool {element:?}, {maps:?}, {case:?}");
    let mut random = Random::new(maps.elements() as u64);
    let largest: Vec<f64> =
        (0..maps.images).map(|image| element.round([30000.0, 0.0, 1e-6][image % 3])).collect();
    let exponents: Vec<i32> = (0..maps.images).map(|image| [7, -60, 60][image % 3]).collect();
    let values = random_maps(&mut random, element, maps, real, &largest);
    let below = Below::random(&mut random, case, maps);
    let (stored, bits, output_exponents) = gpu.in_every_order(&what, || {
        let input = gpu.upload_elements(element, &values);
        let scale = gpu.upload_scale(&largest, &exponents);
        let buffers = below.upload(gpu, element);
        let parameters = VggxUnpool {
            input: input.address(),
            input_scale: scale.parameters(),
            images: maps.images as i32,
            height: maps.height as i32,
            width: maps.width as i32,
            channels: maps.channels as i32,
            below: VggxBelow { ..below.parameters(&buffers) },
        };
        gpu.launch(&element.kernel("unpool"), grid_of(maps), 256, 0, &parameters);
        (gpu.download::<u8>(&buffers.output), buffers.scale.largest(gpu), buffers.scale.exponents(gpu))
    });
    assert!(stored == element.encode(&below.apply(&values)), "{what}");
    let expected: Vec<u32> = largest.iter().map(|&value| (value as f32).to_bits()).collect();
    assert_eq!(bits, expected, "{what}");
    assert_eq!(output_exponents, exponents, "{what}");
}

#[test]
fn unpooling_is_exact() {
    for element in Element::ALL {
        for case in below_cases() {
            for (height, width) in [(1, 1), (7, 13), (4, 8)] {
                check_unpool(element, Maps { images: 3, height, width, channels: 64 }, 64, case);
            }
            check_unpool(element, Maps { images: 1, height: 3, width: 2, channels: 192 }, 150, case);
        }
        let case = (VGGX_GATE_MASK | VGGX_GATE_SIGN, Kind::Pool(true, false));
        check_unpool(element, Maps { images: 33, height: 2, width: 3, channels: 128 }, 128, case);
    }
}

/// A NaN must not vanish at a gate: it is how a broken operator is found.
#[test]
fn not_a_number_passes_the_sign_gate() {
    let gpu = gpu();
    let maps = Maps { images: 1, height: 2, width: 2, channels: 64 };
    let below = Below::random(&mut Random::new(1), (VGGX_GATE_SIGN, Kind::Rectifier), maps);
    let input = gpu.upload(&vec![f32::NAN; maps.elements()]);
    let scale = gpu.upload_scale(&[1.0], &[0]);
    let buffers = below.upload(gpu, Element::F32);
    let output = gpu.zeros(maps.elements() * 4);
    let parameters = VggxUnpool {
        input: input.address(),
        input_scale: scale.parameters(),
        images: 1,
        height: 2,
        width: 2,
        channels: 64,
        below: VggxBelow { output: output.address(), ..below.parameters(&buffers) },
    };
    gpu.launch("unpool_f32", grid_of(maps), 256, 0, &parameters);
    assert!(gpu.download::<f32>(&output).iter().all(|value| value.is_nan()));
}

//! Images on their way in.

use crate::support::{Element, Random, gpu};
use vggx::backend::cuda::params::{VggxInterleave, VggxNormalise, VggxScale};

/// Images and positions: less than a thread's four pixels, whole blocks and not, images that begin within a thread's pixels.
const SIZES: [(usize, usize); 6] = [(1, 1), (1, 5), (3, 91), (33, 7), (2, 1024), (300, 1)];

fn check_normalise(element: Element, images: usize, positions: usize, reversed: bool, exponent: i32) {
    let gpu = gpu();
    let what = format!("normalise {element:?}, {images} images of {positions}, reversed {reversed}");
    let mut random = Random::new((images * positions) as u64);
    let pixels: Vec<u8> = (0..images * positions * 3).map(|_| random.below(256) as u8).collect();
    // Values that no type but float32 holds exactly.
    let table: Vec<f32> = (0..3 * 256).map(|_| random.normal() as f32 * 1000.0).collect();
    let largest = table.iter().fold(0_f32, |most, value| most.max(value.abs()));

    let (stored, bits, exponents) = gpu.in_every_order(&what, || {
        let (pixels, table) = (gpu.upload(&pixels), gpu.upload(&table));
        let output = gpu.poisoned_elements(element, images * positions * 3);
        // Both are written, so both may hold anything.
        let (largest_output, exponent_output) = (gpu.poisoned(4 * images), gpu.poisoned(4 * images));
        let parameters = VggxNormalise {
            pixels: pixels.address(),
            table: table.address(),
            output: output.address(),
            output_scale: VggxScale {
                largest: largest_output.address(),
                exponent: exponent_output.address(),
            },
            largest: largest.to_bits(),
            exponent,
            images: images as i32,
            positions: positions as i32,
            reversed: i32::from(reversed),
            reserved: 0,
        };
        let blocks = (images * positions).div_ceil(1024);
        gpu.launch(&element.kernel("normalise"), [blocks, 1, 1], 256, 0, &parameters);
        (
            gpu.download::<u8>(&output),
            gpu.download::<u32>(&largest_output),
            gpu.download::<i32>(&exponent_output),
        )
    });
    let expected: Vec<f64> = (0..images * positions * 3)
        .map(|at| {
            let (pixel, channel) = (at / 3, at % 3);
            let byte = pixels[3 * pixel + if reversed { 2 - channel } else { channel }];
            element.round(f64::from(table[channel * 256 + usize::from(byte)]))
        })
        .collect();
    assert!(stored == element.encode(&expected), "{what}");
    let bound = element.round(f64::from(largest)) as f32;
    assert_eq!(bits, vec![bound.to_bits(); images], "{what}");
    assert_eq!(exponents, vec![exponent; images], "{what}");
}

#[test]
fn bytes_are_normalised_by_the_table() {
    for element in Element::ALL {
        for (images, positions) in SIZES {
            for reversed in [false, true] {
                check_normalise(element, images, positions, reversed, positions as i32 - 60);
            }
        }
    }
}

#[test]
fn planes_are_interleaved() {
    let gpu = gpu();
    for element in Element::ALL {
        for (images, positions) in SIZES {
            let what = format!("interleave {element:?}, {images} images of {positions}");
            let mut random = Random::new(positions as u64);
            let planes: Vec<f32> = random
                .elements(Element::F32, images * 3 * positions, 30000.0)
                .iter()
                .map(|&v| v as f32)
                .collect();
            let stored = gpu.in_every_order(&what, || {
                let input = gpu.upload(&planes);
                let output = gpu.poisoned_elements(element, planes.len());
                let parameters = VggxInterleave {
                    planes: input.address(),
                    output: output.address(),
                    images: images as i32,
                    positions: positions as i32,
                };
                let blocks = (images * positions).div_ceil(256);
                gpu.launch(&element.kernel("interleave"), [blocks, 1, 1], 256, 0, &parameters);
                gpu.download::<u8>(&output)
            });
            let mut expected = vec![0.0; planes.len()];
            for image in 0..images {
                for channel in 0..3 {
                    for position in 0..positions {
                        let value = planes[(image * 3 + channel) * positions + position];
                        expected[(image * positions + position) * 3 + channel] =
                            element.round(f64::from(value));
                    }
                }
            }
            assert!(stored == element.encode(&expected), "{what}");
        }
    }
}

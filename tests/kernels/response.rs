//! The responses of headless networks, and what a backward pass starts with.

use crate::support::{Element, Random, gpu, padded};
use vggx::backend::cuda::params::{VggxChannelSums, VggxStart};

const SIZES: [(usize, usize, usize); 5] = [(1, 1, 64), (3, 49, 128), (33, 6, 64), (2, 91, 100), (1, 1, 1000)];

#[test]
fn channels_are_summed_in_double() {
    let gpu = gpu();
    for element in Element::ALL {
        for (images, positions, real) in SIZES {
            let what = format!("channel_sums {element:?}, {images} images of {positions}, {real} channels");
            let channels = padded(real);
            let mut random = Random::new((positions * real) as u64);
            let values = random.map(element, images * positions, real, channels, 32752.0);
            let run = |first: usize, images: usize| {
                let input = &values[first * positions * channels..][..images * positions * channels];
                let input = gpu.upload_elements(element, input);
                let output = gpu.poisoned(images * channels * 8);
                let parameters = VggxChannelSums {
                    input: input.address(),
                    output: output.address(),
                    images: images as i32,
                    positions: positions as i32,
                    channels: channels as i32,
                    reserved: 0,
                };
                let blocks = (images * channels).div_ceil(128);
                gpu.launch(&element.kernel("channel_sums"), [blocks, 1, 1], 128, 0, &parameters);
                gpu.download::<u64>(&output)
            };
            let bits = gpu.in_every_order(&what, || run(0, images));
            for (at, &bits) in bits.iter().enumerate() {
                let (image, channel) = (at / channels, at % channels);
                let mut sum = 0.0;
                for position in 0..positions {
                    sum += values[(image * positions + position) * channels + channel];
                }
                assert_eq!(f64::from_bits(bits), sum, "{what}: image {image}, channel {channel}");
            }
            assert!(bits[(images - 1) * channels..] == run(images - 1, 1)[..], "{what}: alone");
        }
    }
}

#[test]
fn a_start_is_zero_but_at_its_target() {
    let gpu = gpu();
    for element in Element::ALL {
        for ((images, positions, real), response) in
            SIZES.into_iter().flat_map(|size| [false, true].map(|response| (size, response)))
        {
            let what = format!("start {element:?}, {images} images of {positions}, response {response}");
            let channels = padded(real);
            let mut random = Random::new((positions * real) as u64);
            let values = random.map(element, images * positions, real, channels, 1000.0);
            let largest: Vec<f64> = (0..images).map(|_| random.uniform() * 1e4).collect();
            let exponents: Vec<i32> = (0..images).map(|_| random.below(121) as i32 - 60).collect();
            // The first and the last channel, and for one image of a batch none.
            let targets: Vec<i32> = (0..images)
                .map(|image| match image {
                    0 => real as i32 - 1,
                    1 => 0,
                    2 => -1,
                    _ => random.below(real) as i32,
                })
                .collect();
            let (stored, bits, output_exponents) = gpu.in_every_order(&what, || {
                let (targets, activations) = (gpu.upload(&targets), gpu.upload_elements(element, &values));
                let scale = gpu.upload_scale(&largest, &exponents);
                let output = gpu.poisoned_elements(element, values.len());
                let output_scale = gpu.fresh_scale(images);
                let mut parameters = VggxStart {
                    targets: targets.address(),
                    output: output.address(),
                    output_scale: output_scale.parameters(),
                    images: images as i32,
                    positions: positions as i32,
                    channels: channels as i32,
                    ..VggxStart::default()
                };
                if response {
                    parameters.activations = activations.address();
                    parameters.activations_scale = scale.parameters();
                }
                let grid = [(positions * channels).div_ceil(2048), images, 1];
                gpu.launch(&element.kernel("start"), grid, 256, 0, &parameters);
                (gpu.download::<u8>(&output), output_scale.largest(gpu), output_scale.exponents(gpu))
            });
            let mut expected = vec![0.0; values.len()];
            for (image, &target) in targets.iter().enumerate() {
                for position in 0..positions {
                    if let Ok(target) = usize::try_from(target) {
                        let at = (image * positions + position) * channels + target;
                        expected[at] = if response { values[at] } else { 1.0 };
                    }
                }
            }
            assert!(stored == element.encode(&expected), "{what}");
            let scale = |image: usize| if response { (largest[image], exponents[image]) } else { (1.0, 0) };
            for image in 0..images {
                assert_eq!(bits[image], (scale(image).0 as f32).to_bits(), "{what}");
                assert_eq!(output_exponents[image], scale(image).1, "{what}");
            }
        }
    }
}

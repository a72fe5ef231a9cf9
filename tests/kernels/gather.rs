//! Images on their way in that lie on the device already.

use crate::support::{Buffer, Element, Random, gpu, power_of_two};
use vggx::backend::cuda::params::{VggxGather, VggxScale, VggxSource};

/// Images, rows and columns: single pixels, whole blocks and not.
const SIZES: [(usize, usize, usize); 6] =
    [(1, 1, 1), (1, 5, 1), (3, 7, 13), (33, 1, 7), (2, 32, 32), (3, 29, 37)];

/// Rows of an image in memory of its own, `before` the first and between any two there is something else.
struct Image {
    memory: Buffer,
    source: VggxSource,
}

impl Image {
    fn new(bytes: &[u8], row_bytes: usize, gap: usize, before: usize) -> Self {
        let mut memory = vec![0xff; before];
        for row in bytes.chunks_exact(row_bytes) {
            memory.extend(row);
            memory.resize(memory.len() + gap, 0xff);
        }
        // The last row may be the end of the memory.
        memory.truncate(memory.len() - gap);
        let memory = gpu().upload(&memory);
        let address = memory.address() + before as u64;
        Image { memory, source: VggxSource { address, row_stride: (row_bytes + gap) as i64 } }
    }
}

/// The sources of images, and of one that fills up.
fn sources(images: &[Image]) -> Buffer {
    let nothing = VggxSource { address: 0, row_stride: images[0].source.row_stride };
    let words = images.iter().map(|image| image.source).chain([nothing]);
    gpu().upload(&words.flat_map(|source| [source.address, source.row_stride as u64]).collect::<Vec<u64>>())
}

#[test]
fn bytes_are_gathered_from_anywhere() {
    let gpu = gpu();
    for (images, height, width) in SIZES {
        for gap in [0, 1, 29] {
            let what = format!("{images} images of {height}×{width}, {gap} bytes between rows");
            let mut random = Random::new((images * height) as u64);
            let values = 3 * height * width;
            let pixels: Vec<u8> = (0..images * values).map(|_| random.below(256) as u8).collect();
            let gathered = gpu.in_every_order(&what, || {
                let memory: Vec<Image> = pixels
                    .chunks_exact(values)
                    .enumerate()
                    .map(|(index, image)| Image::new(image, 3 * width, gap, index % 5))
                    .collect();
                let sources = sources(&memory);
                let output = gpu.poisoned((images + 1) * values);
                let parameters = VggxGather {
                    sources: sources.address(),
                    output: output.address(),
                    images: images as i32 + 1,
                    height: height as i32,
                    width: width as i32,
                    ..VggxGather::default()
                };
                gpu.launch("gather_bytes", [values.div_ceil(1024), images + 1, 1], 256, 0, &parameters);
                gpu.download::<u8>(&output)
            });
            assert!(gathered[..pixels.len()] == pixels, "{what}");
            assert!(gathered[pixels.len()..].iter().all(|&byte| byte == 0), "{what}");
        }
    }
}

/// What an image's values are multiplied with, from the least subnormal number to the largest float.
const SCALES: [f32; 8] = [1.0, 1e-45, 3e-39, 1e30, 3.4e38, 1e-20, 0.0, 40000.0];

/// Planes of images, the third of which holds an infinity, the fourth a NaN beside it, the fifth zeros of both signs.
fn planes(random: &mut Random, images: usize, values: usize) -> Vec<f32> {
    let mut planes: Vec<f32> = (0..images)
        .flat_map(|image| {
            let scale = SCALES[(image + values) % SCALES.len()];
            // Within [-1, 1], with a 1.
            let unit = |random: &mut Random| (2.0 * random.uniform() - 1.0) as f32;
            let mut of_image: Vec<f32> = (0..values).map(|_| unit(random) * scale).collect();
            of_image[random.below(values)] = -scale;
            of_image
        })
        .collect();
    let mut put = |image: usize, at: usize, value: f32| {
        if image < images {
            planes[image * values + at % values] = value;
        }
    };
    put(2, 5, f32::NEG_INFINITY);
    put(3, 0, f32::INFINITY);
    put(3, 7, f32::NAN);
    (0..values).for_each(|at| put(4, at, if at % 2 == 0 { -0.0 } else { 0.0 }));
    planes
}

/// As the host fills memory for `interleave`: exponent, largest, and planes as they are stored.
fn expected(element: Element, values: &[f32]) -> (i32, f64, Vec<f64>) {
    let largest = values.iter().fold(0_f64, |most, &value| most.max(f64::from(value).abs()));
    if largest == 0.0 || values.iter().any(|value| !value.is_finite()) {
        return (0, 0.0, vec![0.0; values.len()]);
    }
    let exponent = (-200..200)
        .find(|&exponent| (16384.0..32768.0).contains(&(largest * power_of_two(-exponent))))
        .expect("some exponent does");
    let store = |value: f64| element.round(f64::from((value * power_of_two(-exponent)) as f32));
    (exponent, store(largest), values.iter().map(|&value| store(f64::from(value))).collect())
}

fn check_planes(element: Element, (images, height, width): (usize, usize, usize), gap: usize) {
    let gpu = gpu();
    let what = format!("{element:?}, {images} images of {height}×{width}, {gap} floats between rows");
    let positions = height * width;
    let values = 3 * positions;
    let planes = planes(&mut Random::new((images + height) as u64), images, values);
    let (stored, largest, exponents, bits, counted) = gpu.in_every_order(&what, || {
        let memory: Vec<Image> = planes
            .chunks_exact(values)
            .enumerate()
            .map(|(index, image)| {
                let bytes: Vec<u8> = image.iter().flat_map(|value| value.to_ne_bytes()).collect();
                Image::new(&bytes, 4 * width, 4 * gap, 4 * (index % 3))
            })
            .collect();
        assert!(memory.iter().all(|image| image.memory.address() > 0));
        let all = images + 1;
        let (sources, bits) = (sources(&memory), gpu.zeros(4 * all));
        let output = gpu.poisoned_elements(element, all * values);
        let [largest, exponents, counted] = [(); 3].map(|()| gpu.poisoned(4 * all));
        let parameters = VggxGather {
            sources: sources.address(),
            output: output.address(),
            output_scale: VggxScale { largest: largest.address(), exponent: exponents.address() },
            bits: bits.address(),
            counted: counted.address(),
            images: all as i32,
            height: height as i32,
            width: width as i32,
            reserved: 0,
        };
        gpu.launch("gather_largest", [values.div_ceil(2048), all, 1], 256, 0, &parameters);
        let blocks = [positions.div_ceil(1024), all, 1];
        gpu.launch(&element.kernel("gather_planes"), blocks, 256, 0, &parameters);
        (
            gpu.download::<u8>(&output),
            gpu.download::<u32>(&largest),
            gpu.download::<i32>(&exponents),
            gpu.download::<u32>(&bits),
            gpu.download::<u32>(&counted),
        )
    });
    let mut all_stored = Vec::new();
    let nothing = vec![0.0; values];
    for (image, planes) in planes.chunks_exact(values).chain([&nothing[..]]).enumerate() {
        let what = format!("{what}, image {image}");
        let (exponent, most, planes_stored) = expected(element, planes);
        assert_eq!(exponents[image], exponent, "{what}");
        assert_eq!(f64::from(f32::from_bits(largest[image])).to_bits(), most.to_bits(), "{what}");
        let is_finite = planes.iter().all(|value| value.is_finite());
        assert_eq!(bits[image] < 0x7f80_0000, is_finite, "{what}");
        assert_eq!(counted[image], u32::from(is_finite && image < images), "{what}");
        all_stored.extend((0..values).map(|at| planes_stored[at % 3 * positions + at / 3]));
    }
    assert!(stored == element.encode(&all_stored), "{what}");
}

#[test]
fn planes_are_gathered_scaled_and_interleaved() {
    for element in Element::ALL {
        for size in SIZES {
            for gap in [0, 3] {
                check_planes(element, size, gap);
            }
        }
    }
}

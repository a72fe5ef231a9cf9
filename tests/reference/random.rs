//! Small random networks and images, the same for the same seed on every machine.

use super::network::{ReferenceLayer, ReferenceNetwork};

/// Steele, Lea and Flood's SplitMix64 (2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence that belongs to a seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal (Box and Muller), rounded to float32, so that an engine in float32 can hold the same value.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let value = radius * (std::f64::consts::TAU * self.uniform()).cos();
        f64::from(value as f32)
    }

    /// `count` normal values with a standard deviation, each exactly a float32.
    pub fn normals(&mut self, count: usize, deviation: f64) -> Vec<f64> {
        (0..count).map(|_| f64::from((self.normal() * deviation) as f32)).collect()
    }
}

/// A VGG with random parameters (He's initialisation, small biases of both signs; every value exactly a float32).
///
/// `blocks` lists the output channels of the convolutions between the max-pools: `&[&[8], &[16, 16]]` has a max-pool
/// after the first and after the third convolution. `classifier` is the side of the adaptive average pool and the
/// widths of the dense layers, the last one the number of classes; without it the network is headless.
pub fn random_vgg(
    seed: u64,
    channels: usize,
    blocks: &[&[usize]],
    classifier: Option<(usize, &[usize])>,
) -> ReferenceNetwork {
    let mut random = Random::new(seed);
    let mut layers = Vec::new();
    let mut inputs = channels;
    for block in blocks {
        for &outputs in *block {
            let deviation = (2.0 / (9 * inputs) as f64).sqrt();
            layers.push(ReferenceLayer::Convolution {
                inputs,
                outputs,
                weight: random.normals(outputs * inputs * 9, deviation),
                bias: random.normals(outputs, 0.1),
            });
            inputs = outputs;
        }
        layers.push(ReferenceLayer::MaxPool);
    }
    if let Some((side, widths)) = classifier {
        layers.push(ReferenceLayer::AdaptiveAveragePool { side });
        inputs *= side * side;
        for (index, &outputs) in widths.iter().enumerate() {
            let deviation = (2.0 / inputs as f64).sqrt();
            layers.push(ReferenceLayer::Dense {
                inputs,
                outputs,
                weight: random.normals(outputs * inputs, deviation),
                bias: random.normals(outputs, 0.1),
                relu: index + 1 < widths.len(),
            });
            inputs = outputs;
        }
    }
    ReferenceNetwork { layers }
}

/// Standard normal pixels, `[channels, height, width]`, each exactly a float32.
pub fn random_image(seed: u64, channels: usize, height: usize, width: usize) -> Vec<f64> {
    Random::new(seed).normals(channels * height * width, 1.0)
}

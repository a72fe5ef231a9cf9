//! Times `vggx quality` on one dense layer of any size: random sums of it, the estimators random and filter.
//!
//! ```text
//! cargo run --release --example time_quality -- 25088 4096      the first dense layer of VGG16
//! ```
//!
//! Time grows in proportion to the number of estimators but for the factor, which they share: a third of K³ multiplications
//! and additions, and 2 K² of them a neuron and estimator with a set to fit v on: K² for v and K² for ρ.

use std::borrow::Cow;
use std::error::Error;
use std::process::ExitCode;

use vggx::backend::{LayerMoments, Moments, SecondMoments};
use vggx::evaluate::quality::{Candidate, QualityOptions, memory_needed, quality};
use vggx::network::PreprocessingOverrides;
use vggx::patterns::LayerSource;
use vggx::weights::{ElementType, NewTensor, Weights, write_tensors};

fn main() -> ExitCode {
    let arguments: Vec<usize> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let &[inputs, outputs] = arguments.as_slice() else {
        eprintln!("usage: time_quality INPUTS OUTPUTS");
        return ExitCode::from(2);
    };
    match time(inputs, outputs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Sums of a network of one convolution, with too few positions to be measured, and one dense layer.
struct Sums {
    empty: Moments,
}

impl LayerSource for Sums {
    fn layer_count(&self) -> usize {
        2
    }

    /// Made anew each time, as moments in a file are read anew. Σ is a diagonal plus a matrix of rank 1.
    fn layer(&self, layer: usize) -> Cow<'_, LayerMoments> {
        let mut moments = self.empty.layers[layer].clone();
        moments.positions = 1.0;
        if layer == 1 {
            let inputs = moments.fan_in();
            moments.positions = 2.0 * inputs as f64;
            moments.positive_yy.fill(moments.positions);
            let direction = |index: usize| (index as f64 * 0.7).sin();
            let mut triangle = Vec::with_capacity(inputs * (inputs + 1) / 2);
            for row in 0..inputs {
                triangle
                    .extend((0..row).map(|column| moments.positions * direction(row) * direction(column)));
                triangle.push(moments.positions * (direction(row).powi(2) + 1.0 + (row % 7) as f64));
            }
            moments.second = Some(SecondMoments::Dense(triangle));
        }
        Cow::Owned(moments)
    }

    fn positions(&self, layer: usize) -> f64 {
        if layer == 1 { 2.0 * self.empty.layers[1].fan_in() as f64 } else { 1.0 }
    }

    fn has_second_moments(&self) -> bool {
        true
    }
}

fn time(inputs: usize, outputs: usize) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights.safetensors");
    write_weights(&path, inputs, outputs)?;
    let weights = Weights::open(&path, &PreprocessingOverrides::default())?;
    // The second moments of the dense layer are made when they are read.
    let sums = Sums { empty: Moments::zeros(weights.network(), false) };
    let candidates = [Candidate::Random { seed: 0 }, Candidate::Filter];
    if let Some((layer, bytes)) =
        memory_needed(weights.network(), candidates.len(), true, |layer| sums.positions(layer))
    {
        println!("{} MiB of memory for {layer}", bytes >> 20);
    }
    let options =
        QualityOptions { weights: &weights, candidates: &candidates, evaluated: &sums, fitted: Some(&sums) };
    let report = quality(&options, |layer| println!("{}: {:.1} s", layer.name, layer.seconds))?;
    for estimator in &report.layers[1].estimators {
        println!("{}: ρ {:.4}", estimator.name, estimator.mean.unwrap_or(f64::NAN));
    }
    Ok(())
}

/// Noise, in float16.
fn write_weights(path: &std::path::Path, inputs: usize, outputs: usize) -> std::io::Result<()> {
    let mut state = 1u32;
    let mut tensor = |name: &str, shape: &[usize]| {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            half::f16::from_f32(f32::from((state >> 16) as u16) / 32768.0 - 1.0).to_le_bytes()
        };
        let bytes: Vec<u8> = (0..shape.iter().product()).flat_map(|_| next()).collect();
        NewTensor {
            name: name.to_owned(),
            element: ElementType::F16,
            shape: shape.to_vec(),
            bytes: bytes.into(),
        }
    };
    let tensors = [
        tensor("features.0.weight", &[inputs, 3, 3, 3]),
        tensor("features.0.bias", &[inputs]),
        tensor("classifier.0.weight", &[outputs, inputs]),
        tensor("classifier.0.bias", &[outputs]),
    ];
    write_tensors(path, &Default::default(), &tensors)
}

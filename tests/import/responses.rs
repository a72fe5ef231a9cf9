//! What a network computes, as another library has it.

use std::path::Path;

use vggx::backend::{Backend, Batch, Pixels};
use vggx::explain::on_cpu;
use vggx::network::PreprocessingOverrides;
use vggx::weights::Weights;

/// Rows and columns of [`image`].
pub const SIDE: usize = 64;

/// The pixels that the scripts beside the fixtures make, \[row\]\[column\]\[red, green, blue\].
pub fn image() -> Vec<u8> {
    let pixels = (0..SIDE).flat_map(|row| (0..SIDE).map(move |column| (row, column)));
    pixels
        .flat_map(|(row, column)| {
            (0..3).map(move |channel| {
                ((row * row * 7 + column * 13 + channel * 41 + row * column * 3) % 256) as u8
            })
        })
        .collect()
}

/// The responses of a file's network to that image.
pub fn responses(path: &Path) -> Vec<f32> {
    let weights =
        Weights::open(path, &PreprocessingOverrides::default()).unwrap_or_else(|error| panic!("{error}"));
    let backend = on_cpu(&std::sync::Arc::new(weights), 1).expect("a network that can run");
    let pixels = image();
    let batch = Batch { images: 1, height: SIDE, width: SIDE, pixels: Pixels::Rgb8(&pixels) };
    let trace = backend.forward(&batch).expect("a batch that can run");
    assert!(trace.failure(0).is_none());
    trace.responses(0).to_vec()
}

/// The largest difference, relative to the largest expected response.
pub fn difference(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let errors = found.iter().zip(expected).map(|(found, expected)| (f64::from(*found) - expected).abs());
    errors.fold(0.0, f64::max) / largest
}

//! The genuine VGG16 features, read with the safetensors crate and rounded to float16 as the bundled file is.

use std::path::{Path, PathBuf};

use half::f16;
use safetensors::{Dtype, SafeTensors};

use super::network::{ReferenceLayer, ReferenceNetwork};

/// The folder with the real weights and photos: `VGGX_SHARED`, else `../shared` beside the crate.
///
/// `None` where it is missing, after a line that begins with `skipped:`; with `VGGX_REQUIRE_SHARED=1` a panic instead.
pub fn shared_folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("VGGX_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    if folder.join("data").is_dir() {
        return Some(folder);
    }
    let required = std::env::var_os("VGGX_REQUIRE_SHARED").is_some_and(|value| value == "1");
    assert!(!required, "no data folder in {}", folder.display());
    println!("skipped: no data folder in {}", folder.display());
    None
}

/// Builds the headless network that a safetensors file with torchvision's names (`features.<n>.weight`) describes.
///
/// Weights and biases (float32 or float16) are rounded to float16. torchvision numbers a convolution and its ReLU as
/// two layers, so a gap of three means that a max-pool follows; one follows the last convolution too.
pub fn features_from_safetensors(bytes: &[u8]) -> ReferenceNetwork {
    let file = SafeTensors::deserialize(bytes).expect("a safetensors file");
    let mut numbers: Vec<usize> = file
        .names()
        .iter()
        .filter_map(|name| name.strip_prefix("features.")?.strip_suffix(".weight")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    assert!(!numbers.is_empty(), "no features.<n>.weight");
    let mut layers = Vec::new();
    for (position, &number) in numbers.iter().enumerate() {
        let (shape, weight) = read(&file, &format!("features.{number}.weight"));
        let (_, bias) = read(&file, &format!("features.{number}.bias"));
        assert_eq!(shape[2..], [3, 3], "kernel of features.{number}");
        layers.push(ReferenceLayer::Convolution { outputs: shape[0], inputs: shape[1], weight, bias });
        match numbers.get(position + 1) {
            Some(next) if next - number == 2 => {}
            Some(next) => {
                assert_eq!(next - number, 3, "gap after features.{number}");
                layers.push(ReferenceLayer::MaxPool);
            }
            None => layers.push(ReferenceLayer::MaxPool),
        }
    }
    ReferenceNetwork { layers }
}

fn read(file: &SafeTensors<'_>, name: &str) -> (Vec<usize>, Vec<f64>) {
    let tensor = file.tensor(name).expect("the tensor is there");
    let values = match tensor.dtype() {
        Dtype::F32 => tensor
            .data()
            .chunks_exact(4)
            .map(|b| f16::from_f32(f32::from_le_bytes([b[0], b[1], b[2], b[3]])).to_f64())
            .collect(),
        Dtype::F16 => {
            tensor.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f64()).collect()
        }
        other => panic!("{name} is {other:?}"),
    };
    (tensor.shape().to_vec(), values)
}

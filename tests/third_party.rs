//! The engine with the bundled weights against other libraries on real photos, and against float64 on one of them.

mod reference;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reference::{ReferenceGate, ReferenceStart, cosine, norm};
use vggx::backend::{Batch, Pixels};
use vggx::explain::{Explainer, Input, Method, Target, on_cpu};
use vggx::images::Rgb8;
use vggx::images::decode::{DEFAULT_MAX_PIXELS, decode};
use vggx::network::PreprocessingOverrides;
use vggx::patterns::{Component, Patterns};
use vggx::weights::{Weights, bundled};

const PHOTOS: [&str; 4] = ["astronaut", "cat", "coffee", "rocket"];
const SIDE: usize = 224;

/// The bundled weights and patterns; `None`, said aloud, in a package without them.
fn bundle() -> Option<(Arc<Weights>, Arc<Patterns>)> {
    let (Some(weights), Some(patterns)) = (bundled::weights(), bundled::patterns()) else {
        let required = std::env::var_os("VGGX_REQUIRE_SHARED").is_some_and(|value| value == "1");
        assert!(!required, "no bundled weights");
        println!("skipped: no bundled weights");
        return None;
    };
    let weights = Arc::new(Weights::open(&weights, &PreprocessingOverrides::default()).expect("bundled"));
    let patterns = Arc::new(Patterns::open(&patterns, &weights).expect("bundled"));
    Some((weights, patterns))
}

fn explainer(weights: &Arc<Weights>, patterns: &Arc<Patterns>, methods: &[Method]) -> Explainer {
    let cpu = on_cpu(weights, 0).expect("VGG16");
    Explainer::new(Box::new(cpu), weights, Some(patterns), methods, None, 0).expect("can run")
}

/// What the README in the folder describes.
struct ThirdParty {
    folder: PathBuf,
    bytes: Vec<u8>,
}

impl ThirdParty {
    fn open() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/third_party");
        let bytes = std::fs::read(folder.join("third_party.safetensors")).expect("committed");
        ThirdParty { folder, bytes }
    }

    fn photo(&self, name: &str) -> Rgb8 {
        let picture =
            decode(&self.folder.join(format!("{name}.png")), DEFAULT_MAX_PIXELS).expect("committed");
        assert_eq!((picture.height, picture.width), (SIDE, SIDE));
        picture
    }

    fn numbers<const N: usize, T>(&self, name: &str, read: impl Fn([u8; N]) -> T) -> Vec<T> {
        let file = safetensors::SafeTensors::deserialize(&self.bytes).expect("committed");
        let tensor = file.tensor(name).expect(name);
        assert_eq!(tensor.data().len(), N * tensor.shape().iter().product::<usize>());
        tensor.data().chunks_exact(N).map(|bytes| read(bytes.try_into().expect("chunks of N"))).collect()
    }

    /// The stored rows of our red, green and blue planes.
    fn rows_of(&self, planes: &[f64]) -> Vec<f64> {
        let rows = self.numbers("rows", |bytes| i64::from_le_bytes(bytes) as usize);
        let starts = (0..3).flat_map(|channel| rows.iter().map(move |row| (channel * SIDE + row) * SIDE));
        starts.flat_map(|start| planes[start..start + SIDE].iter().copied()).collect()
    }
}

/// ONNX Runtime's responses and Captum's explanations, all float32 like ours.
///
/// The bounds are what the project promises: 1e-4 of the largest response (13 layers of float32 sums cost about 1e-6),
/// cosine 0.9999 and 1 % of magnitude (two float32 engines decide a few masks and ties in flat regions differently).
#[test]
fn agrees_with_onnx_runtime_and_captum() {
    let Some((weights, patterns)) = bundle() else { return };
    let third_party = ThirdParty::open();
    let methods = [Method::Gradient, Method::DeconvNet, Method::GuidedBackprop];
    let explainer = explainer(&weights, &patterns, &methods);
    let photos: Vec<Rgb8> = PHOTOS.iter().map(|name| third_party.photo(name)).collect();
    let pixels: Vec<u8> = photos.iter().flat_map(|photo| &photo.pixels).copied().collect();
    let batch = Batch { images: 4, height: SIDE, width: SIDE, pixels: Pixels::Rgb8(&pixels) };
    let trace = explainer.backend().forward(&batch).expect("runs");
    for (image, name) in PHOTOS.iter().enumerate() {
        let ours = trace.responses(image);
        let theirs = third_party.numbers(&format!("{name}.responses"), f32::from_le_bytes);
        assert_eq!(ours.len(), theirs.len());
        let largest = theirs.iter().fold(0f32, |largest, response| largest.max(response.abs()));
        let worst = ours.iter().zip(&theirs).map(|(ours, theirs)| (ours - theirs).abs() / largest);
        let worst = worst.fold(0.0, f32::max);
        println!("{name}: responses differ from ONNX Runtime's by {worst:.1e} of the largest");
        assert!(worst <= 1e-4, "{name}");
    }
    let inputs: Vec<Input> = photos.iter().map(|photo| Input { pixels: &photo.pixels, key: None }).collect();
    let explained = explainer.explain((SIDE, SIDE), &inputs, &Target::Top(1)).expect("runs");
    // All are measured before any is judged: one photo must not hide the others.
    let mut failures = Vec::new();
    for (name, explained) in PHOTOS.iter().zip(explained) {
        let explained = explained.expect("runs");
        let target = third_party.numbers(&format!("{name}.target"), i64::from_le_bytes)[0];
        assert_eq!(i64::try_from(explained.target).expect("a channel"), target, "{name}");
        for explanation in explained.explanations {
            let method = explanation.method;
            assert_eq!(explanation.scale_log2, 0);
            let ours: Vec<f64> = explanation.values.iter().map(|&value| f64::from(value)).collect();
            let key = format!("{name}.{method}");
            let theirs = third_party.numbers(&key, |bytes| half::f16::from_le_bytes(bytes).to_f64());
            let their_norm = third_party.numbers(&format!("{key}.norm"), f64::from_le_bytes)[0];
            let similarity = cosine(&third_party.rows_of(&ours), &theirs);
            let magnitude = norm(&ours) / their_norm;
            println!("{name}: {method}: 1 − cosine {:.1e}, magnitude {magnitude:.6}", 1.0 - similarity);
            if !(similarity >= 0.9999 && (magnitude - 1.0).abs() <= 0.01) {
                failures.push(format!("{name}: {method}: cosine {similarity}, magnitude {magnitude}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// End to end against float64 with the reference's own masks. What is left after float32 rounding are the masks and
/// argmaxes among ten million that lie too near their threshold for float32: 0.99999 is what the project promises.
#[test]
fn pattern_methods_agree_with_float64_on_the_cat() {
    let Some((weights, patterns)) = bundle() else { return };
    let path = bundled::weights().expect("found above");
    let network = reference::features_from_safetensors(&std::fs::read(path).expect("readable"));
    let photo = ThirdParty::open().photo("cat");
    let methods = [Method::PatternNet, Method::PatternAttribution];
    let explainer = explainer(&weights, &patterns, &methods);
    let inputs = [Input { pixels: &photo.pixels, key: None }];
    let explained = explainer.explain((SIDE, SIDE), &inputs, &Target::Top(1)).expect("runs").remove(0);
    let explained = explained.expect("runs");

    let mut image = Vec::with_capacity(photo.pixels.len());
    for (channel, mean) in [(2, 103.939), (1, 116.779), (0, 123.68)] {
        image.extend(photo.pixels.chunks_exact(3).map(|pixel| f64::from(pixel[channel]) - mean));
    }
    let trace = network.forward(&image, SIDE, SIDE);
    assert_eq!(explained.target, trace.top1());
    let tensors = patterns.tensors(Component::Positive).expect("bundled");
    let positive: Vec<Vec<f64>> = tensors
        .iter()
        .map(|tensor| tensor.to_vec().iter().map(|&value| f64::from(value)).collect())
        .collect();
    for explanation in &explained.explanations {
        let operators = network.operators(|layer| match explanation.method {
            Method::PatternNet => positive[layer.index].clone(),
            _ => reference::pattern_attribution(layer, &positive[layer.index]),
        });
        let (gate, start) = (ReferenceGate::Mask, ReferenceStart::Response);
        let mut theirs = network.explain(&trace, &operators, gate, start, explained.target);
        // The network takes blue, green, red.
        let (blue, rest) = theirs.split_at_mut(SIDE * SIDE);
        blue.swap_with_slice(&mut rest[SIDE * SIDE..]);
        let factor = 2f64.powi(explanation.scale_log2);
        let ours: Vec<f64> = explanation.values.iter().map(|&value| f64::from(value) * factor).collect();
        let (similarity, magnitude) = (cosine(&ours, &theirs), norm(&ours) / norm(&theirs));
        println!(
            "cat: {}: 1 − cosine {:.1e}, magnitude {magnitude:.7}, norm {:.2e}",
            explanation.method,
            1.0 - similarity,
            norm(&theirs)
        );
        assert!(similarity >= 0.99999, "{}", explanation.method);
        assert!((magnitude - 1.0).abs() <= 1e-3, "{}", explanation.method);
    }
}

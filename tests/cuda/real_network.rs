//! The bundled VGG16 on a photo: what each precision keeps end to end, masks and argmaxes decided by the engine itself.

use std::path::Path;

use vggx::backend::OperatorSource;
use vggx::backend::cuda::{CudaOptions, Precision};
use vggx::explain::{Explained, Explainer, Method, Operator, Operators, Target, on_cpu, on_cuda};
use vggx::images::Rgb8;
use vggx::images::decode::{DEFAULT_MAX_PIXELS, decode};
use vggx::network::PreprocessingOverrides;
use vggx::patterns::Patterns;
use vggx::weights::{Weights, bundled};

use crate::host_driver;
use crate::learned::{ALL, Images, learn, pattern};
use crate::reference::{ReferenceComponent, cosine};
use crate::support::explain;

const METHODS: [Method; 5] = [
    Method::Gradient,
    Method::DeconvNet,
    Method::GuidedBackprop,
    Method::PatternNet,
    Method::PatternAttribution,
];
const PHOTOS: [&str; 4] = ["cat", "astronaut", "coffee", "rocket"];

/// What is promised end to end: two float32 engines differ by rounding and by few flipped masks; in float16 up to 0.7 % of a layer's
/// masks and argmaxes flip, which gradient and DeconvNet feel most. bfloat16 has an eighth of float16's precision.
fn promised(precision: Precision, method: Method) -> f64 {
    let is_plain = matches!(method, Method::Gradient | Method::DeconvNet);
    match precision {
        Precision::F32 => 0.99999,
        Precision::F16 if is_plain => 0.995,
        Precision::F16 => 0.9995,
        // float16's masks and argmaxes, and what float8 takes beside them (docs/float8.md).
        Precision::F8 if is_plain => 0.99,
        Precision::F8 => 0.999,
        Precision::Bf16 if is_plain => 0.9,
        Precision::Bf16 => 0.99,
    }
}

/// The middle of a photo of 224×224.
fn photo(name: &str, side: usize) -> Rgb8 {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/third_party/{name}.png"));
    let whole = decode(&path, DEFAULT_MAX_PIXELS).expect("committed");
    let (top, left) = ((whole.height - side) / 2, (whole.width - side) / 2);
    let rows = (top..top + side).flat_map(|row| {
        let start = (row * whole.width + left) * 3;
        whole.pixels[start..start + side * 3].iter().copied()
    });
    Rgb8 { height: side, width: side, pixels: rows.collect() }
}

fn values(explained: &Explained, index: usize) -> Vec<f64> {
    let explanation = &explained.explanations[index];
    let power = 2f64.powi(explanation.scale_log2);
    explanation.values.iter().map(|&value| f64::from(value) * power).collect()
}

fn bundled_weights() -> Option<std::sync::Arc<Weights>> {
    let Some(weights) = bundled::weights() else {
        let required = std::env::var_os("VGGX_REQUIRE_SHARED").is_some_and(|value| value == "1");
        assert!(!required, "no bundled weights");
        println!("skipped: no bundled weights");
        return None;
    };
    let weights = Weights::open(&weights, &PreprocessingOverrides::default()).expect("bundled");
    Some(std::sync::Arc::new(weights))
}

/// The number at a share of a sorted list.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

/// Patterns of the real features against the CPU's, of neurons with 100 positions in the regime, or by host execution with what a
/// few small crops have. In float32 every one; in float16 and bfloat16 flipped masks move those of few positions.
#[test]
fn learns_the_same_patterns_from_photos() {
    let Some(weights) = bundled_weights() else { return };
    host_driver::load();
    let whole =
        host_driver::on_device() || std::env::var_os("VGGX_WHOLE_PHOTOS").is_some_and(|value| value == "1");
    let (side, photos, least) = if whole { (224, &PHOTOS[..], 100) } else { (64, &PHOTOS[..2], 8) };
    let pixels = photos.iter().map(|name| photo(name, side).pixels).collect();
    let batches = [Images { size: (side, side), pixels }];
    let expected = learn(&on_cpu(&weights, 0).expect("VGG16"), &weights, &batches);
    let source = Operators::new(weights.clone(), None, Operator::Weight, 0).expect("weights");
    let rows: Vec<Vec<f64>> = expected
        .layers
        .iter()
        .enumerate()
        .map(|(layer, moments)| {
            let mut row = vec![0f32; moments.fan_in()];
            let neurons = 0..moments.outputs();
            let read = |neuron| {
                source.read(layer, neuron, 0, &mut row);
                row.iter().copied().map(f64::from).collect::<Vec<_>>()
            };
            neurons.flat_map(read).collect()
        })
        .collect();
    // Median, 5 % and least cosine of each layer and component.
    let precisions = [
        (Precision::F16, [0.9999, 0.99, 0.0]),
        (Precision::F32, [0.9999; 3]),
        (Precision::Bf16, [0.99, 0.9, 0.0]),
    ];
    for &(precision, promised) in &precisions[..if whole { 3 } else { 1 }] {
        let options = CudaOptions { precision, ..CudaOptions::default() };
        let moments = learn(&on_cuda(&weights, &options).expect("a device"), &weights, &batches);
        for ((ours, theirs), weight) in moments.layers.iter().zip(&expected.layers).zip(&rows) {
            assert_eq!(ours.positions, theirs.positions);
            for (component, centering) in ALL {
                let enough = |&neuron: &usize| {
                    let positive = theirs.positive_count[neuron].min(ours.positive_count[neuron]);
                    let negative =
                        theirs.positions - theirs.positive_count[neuron].max(ours.positive_count[neuron]);
                    let count = match component {
                        ReferenceComponent::Positive => positive,
                        ReferenceComponent::Negative => negative,
                        ReferenceComponent::Linear => theirs.positions,
                    };
                    count >= f64::from(least)
                };
                let mut cosines: Vec<f64> = (0..theirs.outputs())
                    .filter(enough)
                    .filter_map(|neuron| {
                        let ours = pattern(ours, weight, neuron, component, centering)?;
                        Some(cosine(&ours, &pattern(theirs, weight, neuron, component, centering)?))
                    })
                    .collect();
                cosines.sort_by(f64::total_cmp);
                assert!(cosines.len() > 20, "{}: {} neurons", theirs.name, cosines.len());
                let found = [0.5, 0.05, 0.0].map(|share| quantile(&cosines, share));
                let what = format!("{precision:?}, {}, {component:?} {centering:?}", theirs.name);
                println!("{what}: {} neurons, median, 5 % and least {found:.7?}", cosines.len());
                let keeps = found.iter().zip(promised).all(|(found, promised)| *found >= promised);
                assert!(keeps, "{what}: median, 5 % and least {found:?}, not {promised:?}");
            }
        }
    }
}

/// On a device all photos whole in all precisions; by host execution, which takes its time, the middle of one in two of them,
/// unless `VGGX_WHOLE_PHOTOS=1`.
#[test]
fn keeps_its_promises_on_photos() {
    let (Some(weights), Some(patterns)) = (bundled_weights(), bundled::patterns()) else { return };
    host_driver::load();
    let patterns = std::sync::Arc::new(Patterns::open(&patterns, &weights).expect("bundled"));
    let whole =
        host_driver::on_device() || std::env::var_os("VGGX_WHOLE_PHOTOS").is_some_and(|value| value == "1");
    let (side, photos) = if whole { (224, &PHOTOS[..]) } else { (64, &PHOTOS[..1]) };
    let cpu = on_cpu(&weights, 0).expect("VGG16");
    let cpu = Explainer::new(Box::new(cpu), &weights, Some(&patterns), &METHODS, None, 0).expect("can run");
    let pixels: Vec<Rgb8> = photos.iter().map(|name| photo(name, side)).collect();
    let pixels: Vec<&[u8]> = pixels.iter().map(|photo| photo.pixels.as_slice()).collect();
    let expected = explain(&cpu, (side, side), &pixels, &Target::Top(1));
    let precisions = [Precision::F16, Precision::F8, Precision::F32, Precision::Bf16];
    for &precision in &precisions[..if whole { 4 } else { 3 }] {
        let options = CudaOptions { precision, ..CudaOptions::default() };
        let cuda = match on_cuda(&weights, &options) {
            Err(error) if precision == Precision::F8 => {
                println!("skipped where float8 is not known: {error}");
                continue;
            }
            cuda => cuda.expect("a device"),
        };
        let cuda =
            Explainer::new(Box::new(cuda), &weights, Some(&patterns), &METHODS, None, 0).expect("can run");
        let got = explain(&cuda, (side, side), &pixels, &Target::Top(1));
        for ((name, got), expected) in photos.iter().zip(&got).zip(&expected) {
            assert_eq!(got.target, expected.target, "{precision:?}, {name}");
            for (index, method) in METHODS.into_iter().enumerate() {
                let (ours, theirs) = (values(got, index), values(expected, index));
                let cosine = cosine(&ours, &theirs);
                println!("{precision:?}, {name} {side}×{side}, {method}: cosine {cosine:.7}");
                let promised = promised(precision, method);
                assert!(
                    cosine >= promised,
                    "{precision:?}, {name}, {method}: cosine {cosine}, not {promised}"
                );
            }
        }
    }
}

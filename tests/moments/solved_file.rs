//! The file that patterns are solved into.

use std::collections::BTreeMap;
use std::fs;

use half::{bf16, f16};
use safetensors::Dtype;
use serde_json::{Value, json};
use vggx::backend::Moments;
use vggx::patterns::{
    Centering, Component, LayerSource, Merged, MomentError, MomentFile, Patterns, Report, SolveError,
    SolveOptions, solve, solve_neuron,
};
use vggx::weights::{ElementType, TensorFile, Weights};

use crate::samples::{Place, Samples, dot, norm, random_moments, run};
use crate::support::Model;

fn options(centering: Centering, element: ElementType) -> SolveOptions {
    SolveOptions { centering, element, ..SolveOptions::default() }
}

/// The patterns of a neuron in float64.
fn exact(
    moments: &Moments,
    weights: &Weights,
    layer: usize,
    neuron: usize,
    component: Component,
    centering: Centering,
) -> Vec<f64> {
    let fan_in = moments.layers[layer].fan_in();
    let mut weight = vec![0.0; fan_in];
    weights.weight(layer).read(neuron * fan_in, &mut weight);
    let weight: Vec<f64> = weight.into_iter().map(f64::from).collect();
    let mut pattern = vec![0.0; fan_in];
    solve_neuron(&moments.layers[layer], neuron, &weight, component, centering, &mut pattern);
    pattern
}

#[test]
fn patterns_are_rounded_once_to_the_elements_of_the_file() {
    let place = Place::new(&Model::tiny_classifier(1));
    let moments = random_moments(&place.weights, 40, false, 2);
    let path = place.path().join("p");
    for centering in [Centering::Global, Centering::Regime] {
        for element in [ElementType::F32, ElementType::F16, ElementType::Bf16] {
            solve(&moments, &run(0), &place.weights, &options(centering, element), &path).unwrap();
            let patterns = Patterns::open(&path, &place.weights).unwrap();
            let mut held = 0;
            for component in Component::ALL {
                for (layer, tensor) in patterns.tensors(component).unwrap().into_iter().enumerate() {
                    assert_eq!(tensor.element(), element);
                    assert_eq!(tensor.shape(), moments.layers[layer].shape);
                    let fan_in = moments.layers[layer].fan_in();
                    let stored = tensor.to_vec();
                    for (neuron, stored) in stored.chunks(fan_in).enumerate() {
                        let exact = exact(&moments, &place.weights, layer, neuron, component, centering);
                        held += usize::from(exact.iter().any(|value| *value != 0.0));
                        for (stored, exact) in stored.iter().zip(exact) {
                            // Half a unit in the last place, or of the smallest subnormal.
                            let (digits, smallest) = match element {
                                ElementType::F32 => (24, -149),
                                ElementType::F16 => (11, -24),
                                ElementType::Bf16 => (8, -133),
                            };
                            let bound = (exact.abs() * 2f64.powi(-digits)).max(2f64.powi(smallest - 1));
                            let error = (f64::from(*stored) - exact).abs();
                            assert!(error <= bound, "{element} {stored} {exact}");
                        }
                    }
                }
            }
            assert!(held > 60, "{held} of 90");
        }
    }
}

#[test]
fn the_metadata_say_what_the_patterns_are() {
    let place = Place::new(&Model::tiny_classifier(1));
    let moments = random_moments(&place.weights, 40, false, 2);
    let path = place.path().join("p");
    let more = BTreeMap::from([("source", "photos"), ("licence", "CC0"), ("images", "0")]);
    let options = SolveOptions {
        centering: Centering::Regime,
        metadata: more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..SolveOptions::default()
    };
    let report = solve(&moments, &run(5), &place.weights, &options, &path).unwrap();
    let patterns = Patterns::open(&path, &place.weights).unwrap();
    assert_eq!(patterns.centering(), Some("regime"));
    let fingerprint = place.weights.fingerprint().to_text();
    assert_eq!(patterns.fingerprint_text(), Some(fingerprint.as_str()));
    for (key, value) in
        [("images", "15"), ("architecture", "custom"), ("source", "photos"), ("licence", "CC0")]
    {
        assert_eq!(patterns.metadata(key), Some(value));
    }
    let positions: Value = serde_json::from_str(patterns.metadata("positions").unwrap()).unwrap();
    assert_eq!(positions["classifier.3"], 40);
    let stated: Value = serde_json::from_str(patterns.metadata("run").unwrap()).unwrap();
    assert_eq!(stated, json!({ "inputs": "photos", "crops": 3, "seed": 5 }));
    assert_eq!(Report::of(&patterns), Some(report));
    let bytes = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!((8 + length) % 64, 0);

    // The same again, to the byte; and from a file of the moments, and from merged shards of one.
    let again = place.path().join("again");
    solve(&moments, &run(5), &place.weights, &options, &again).unwrap();
    assert_eq!(fs::read(&again).unwrap(), bytes);
    let kept = place.path().join("m");
    MomentFile::write(&kept, &moments, &run(5), &place.weights).unwrap();
    let files = [MomentFile::open(&kept, &place.weights).unwrap()];
    solve(&files[0], files[0].record(), &place.weights, &options, &again).unwrap();
    assert_eq!(fs::read(&again).unwrap(), bytes);
    let merged = Merged::new(&files).unwrap();
    solve(&merged, &merged.record(), &place.weights, &options, &again).unwrap();
    assert_eq!(fs::read(&again).unwrap(), bytes);
}

#[test]
fn shards_give_what_one_run_gives() {
    let place = Place::new(&Model::tiny(1));
    let layers = |positions: std::ops::Range<usize>| Moments {
        layers: (0..2)
            .map(|layer| {
                let mut samples = Samples::random(&place.weights, layer, 403, |neuron| 100 + 20 * neuron, 8);
                samples.x = samples.x[positions.clone()].to_vec();
                samples.positive.iter_mut().for_each(|row| *row = row[positions.clone()].to_vec());
                samples.moments(None)
            })
            .collect(),
    };
    let files: Vec<MomentFile> = [0..100, 100..201, 201..302, 302..403]
        .into_iter()
        .enumerate()
        .map(|(index, part)| {
            let path = place.path().join(index.to_string());
            MomentFile::write(&path, &layers(part), &run(index as u64), &place.weights).unwrap();
            MomentFile::open(&path, &place.weights).unwrap()
        })
        .collect();
    let (whole, merged) = (layers(0..403), Merged::new(&files).unwrap().read());
    let mut compared = 0;
    for (layer, centering) in [(0, Centering::Global), (1, Centering::Regime)] {
        for component in Component::ALL {
            for neuron in 0..whole.layers[layer].outputs() {
                let [one, other] = [&whole, &merged]
                    .map(|moments| exact(moments, &place.weights, layer, neuron, component, centering));
                let (norm, other_norm) = (norm(&one), norm(&other));
                assert_eq!(norm == 0.0, other_norm == 0.0);
                if norm > 0.0 {
                    let cosine = dot(&one, &other) / norm / other_norm;
                    assert!(1.0 - cosine <= 1e-12, "{cosine}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared >= 20, "{compared} of 27");
}

#[test]
fn the_report_counts_positions_and_names_neurons_without_patterns() {
    let place = Place::new(&Model::tiny(1));
    let positions = 30;
    let mut moments = random_moments(&place.weights, positions, false, 2);
    // Never active, always active, once active, and 20 of 30.
    let split = |neuron: usize| [positions, 0, positions - 1, 10][neuron];
    let samples = Samples::random(&place.weights, 0, positions, split, 9);
    moments.layers[0] = samples.moments(None);
    let path = place.path().join("p");
    let report =
        solve(&moments, &run(0), &place.weights, &options(Centering::Regime, ElementType::F16), &path)
            .unwrap();
    assert_eq!((report.centering, report.images, report.layers.len()), (Centering::Regime, 10, 2));
    let layer = &report.layers[0];
    assert_eq!((layer.name.as_str(), layer.neurons, layer.positions), ("features.0", 4, 30));
    assert_eq!(layer.active, Some((30.0 + 1.0 + 20.0) / 120.0));
    assert_eq!((layer.positive.positions.least, layer.positive.positions.median), (0.0, 10.5));
    assert_eq!((layer.negative.positions.least, layer.negative.positions.median), (0.0, 19.5));
    assert_eq!((layer.linear.positions.least, layer.linear.positions.median), (30.0, 30.0));
    assert_eq!(layer.positive.few_positions, [0, 2]);
    assert_eq!(layer.negative.few_positions, [1]);
    assert_eq!(layer.linear.without(), [] as [usize; 0]);
    assert_eq!(layer.positive.without(), [0, 2]);

    // Conditioning: of the regime, variance over mean square.
    let variation = |neuron: usize| {
        let y: Vec<f64> = samples
            .regime(neuron, Component::Positive)
            .into_iter()
            .map(|position| dot(&samples.w[neuron], &samples.x[position]))
            .collect();
        let n = y.len() as f64;
        let mean = y.iter().sum::<f64>() / n;
        y.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / y.iter().map(|y| y * y).sum::<f64>()
    };
    let expected = [variation(1), variation(3)];
    let conditioning = layer.positive.conditioning.unwrap();
    assert!((conditioning.least - expected[0].min(expected[1])).abs() < 1e-12);
    assert!((conditioning.median - (expected[0] + expected[1]) / 2.0).abs() < 1e-12);

    // Rounding: what of wᵀa = 1 is lost in float16, of the worst neuron.
    let patterns = Patterns::open(&path, &place.weights).unwrap();
    let stored = patterns.tensor(Component::Positive, 0).unwrap().to_vec();
    let miss = |neuron: usize| {
        let row: Vec<f64> = stored[27 * neuron..][..27].iter().map(|&value| f64::from(value)).collect();
        (dot(&samples.w[neuron], &row) - 1.0).abs()
    };
    let worst = miss(1).max(miss(3));
    assert!(worst > 1e-6 && (layer.positive.rounding.unwrap() - worst).abs() < 1e-12);

    // A neuron whose response does not vary is told apart.
    moments.layers[1].positive_xy.fill(0.0);
    moments.layers[1].positive_x.fill(0.0);
    let report = solve(&moments, &run(0), &place.weights, &SolveOptions::default(), &path).unwrap();
    assert_eq!(report.layers[1].positive.degenerate, [0, 1, 2, 3, 4]);
    assert_eq!(report.layers[1].positive.conditioning, None);
    assert_eq!(report.layers[1].positive.rounding, None);
    // A pattern that is none is zero in the file, and the file can be used.
    let patterns = Patterns::open(&path, &place.weights).unwrap();
    assert!(patterns.tensors(Component::Positive).unwrap()[1].to_vec().iter().all(|value| *value == 0.0));
}

/// The room that is left for the report is enough for the longest there can be.
#[test]
fn a_network_without_a_single_pattern_is_reported() {
    let model = Model::vgg(&[vec![300], vec![200]], 1, &[1200], 0);
    let place = Place::new(&model);
    let path = place.path().join("p");
    for moments in [Moments::zeros(place.weights.network(), false), {
        let mut moments = Moments::zeros(place.weights.network(), false);
        moments.layers.iter_mut().for_each(|layer| {
            layer.positions = 9_007_199_254_740_992.0;
            layer.positive_count.fill(9_007_199_254_740_990.0 / 3.0);
        });
        moments
    }] {
        let report = solve(&moments, &run(0), &place.weights, &SolveOptions::default(), &path).unwrap();
        assert_eq!(report.layers[2].positive.without(), (0..1200).collect::<Vec<_>>());
        assert_eq!(Report::of(&Patterns::open(&path, &place.weights).unwrap()), Some(report));
    }
}

#[test]
fn values_beyond_float16_are_refused_and_named() {
    // Weights of 1e-6 have patterns of 1e6.
    let mut model = Model::tiny(1);
    let (_, values) = model.tensors.get_mut("features.3.weight").unwrap();
    values[36 * 2..36 * 3].iter_mut().for_each(|weight| *weight *= 1e-6);
    let place = Place::new(&model);
    let moments = random_moments(&place.weights, 40, false, 2);
    let path = place.path().join("p");
    fs::write(&path, "before").unwrap();
    let error =
        solve(&moments, &run(0), &place.weights, &options(Centering::Regime, ElementType::F16), &path)
            .unwrap_err();
    let SolveError::Range { layer, component, neuron, value, element } = &error else { panic!("{error}") };
    assert_eq!((layer.as_str(), *component, *neuron), ("features.3", Component::Positive, 2));
    assert!(value.abs() >= 65520.0 && *element == ElementType::F16);
    let message = error.to_string();
    assert!(message.contains("neuron 2") && message.contains("float32 or bfloat16"), "{message}");
    assert_eq!(fs::read(&path).unwrap(), b"before");
    assert_eq!(place.names(), ["p", "weights.safetensors"]);
    for element in [ElementType::F32, ElementType::Bf16] {
        solve(&moments, &run(0), &place.weights, &options(Centering::Regime, element), &path).unwrap();
    }
    assert!(f64::from(f16::MAX) < 65520.0 && f64::from(bf16::MAX) > 1e38);
}

#[test]
fn moments_of_other_networks_and_places_that_cannot_be_written_are_refused() {
    let place = Place::new(&Model::tiny(1));
    let path = place.path().join("p");
    for model in [Model::tiny_classifier(1), Model::vgg(&[vec![4], vec![6]], 0, &[], 0)] {
        let other = Place::new(&model);
        let moments = random_moments(&other.weights, 5, false, 2);
        let error = solve(&moments, &run(0), &place.weights, &SolveOptions::default(), &path).unwrap_err();
        assert!(
            matches!(
                error,
                SolveError::Moments(MomentError::LayerCount { .. } | MomentError::OtherNetwork { .. })
            ),
            "{error}"
        );
        assert!(error.to_string().contains("weights.safetensors"), "{error}");
    }
    let moments = random_moments(&place.weights, 5, false, 2);
    let nowhere = place.path().join("no/folder");
    let error = solve(&moments, &run(0), &place.weights, &SolveOptions::default(), &nowhere).unwrap_err();
    assert!(matches!(&error, SolveError::Write { path, .. } if *path == nowhere), "{error}");
    assert_eq!(place.names(), ["weights.safetensors"]);
}

/// Names and shapes are those of torchvision also where the weights are timm's.
#[test]
fn patterns_of_copies_under_other_names_fit() {
    let model = Model::vgg(&[vec![5]], 2, &[6, 7, 8], 5);
    let place = Place::new(&model);
    let timm = model.timm(2).save(place.path(), "timm", Dtype::F32);
    let timm = crate::support::open(&timm).unwrap();
    let moments = random_moments(&timm, 20, false, 0);
    assert_eq!(moments, random_moments(&place.weights, 20, false, 0));
    let path = place.path().join("p");
    solve(&moments, &run(0), &timm, &SolveOptions::default(), &path).unwrap();
    for weights in [&place.weights, &timm] {
        Patterns::open(&path, weights).unwrap().tensors(Component::Linear).unwrap();
    }
    let names: Vec<_> = TensorFile::open(&path).unwrap().names().map(str::to_owned).collect();
    assert!(names.contains(&"classifier.0.negative".to_owned()), "{names:?}");
    assert_eq!(moments.layer_count(), 4);
}

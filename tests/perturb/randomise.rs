//! Randomised weights, and how alike maps are, against what the definitions say.

use std::sync::Arc;

use vggx::evaluate::randomise::{
    MeasureSummary, RandomiseError, RandomiseInput, RandomiseSettings, Scope, randomise, randomised,
    spearman, ssim,
};
use vggx::explain::{Kind, Method, Target};
use vggx::weights::{ElementType, Weights};

use crate::reference::random_vgg;
use crate::support::{Case, SEED, backend, explain, random_pixels};
use vggx::explain::Explainer;

#[test]
fn chosen_layers_are_drawn_anew_and_the_others_are_as_they_were() {
    let network = random_vgg(41, 3, &[&[24], &[32, 32]], Some((2, &[40, 10])));
    let case = Case::new(network, ElementType::F16);
    let folder = tempfile::tempdir().unwrap();
    let draw = |seed, name: &str| {
        randomised(&case.weights, |layer| layer == 2 || layer == 4, seed, &folder.path().join(name)).unwrap()
    };
    let (random, again, other) = (draw(1, "a"), draw(1, "b"), draw(2, "c"));
    assert_eq!(random.network().preprocessing, case.weights.network().preprocessing);
    let mut drawn = Vec::new();
    for layer in 0..5 {
        let tensor = |weights: &Weights| weights.weight(layer).to_vec();
        let before = tensor(&case.weights);
        assert_eq!(tensor(&random), tensor(&again));
        if layer != 2 && layer != 4 {
            assert_eq!(tensor(&random), before);
            assert_eq!(random.bias(layer).to_vec(), case.weights.bias(layer).to_vec());
            continue;
        }
        assert_ne!(tensor(&random), tensor(&other));
        assert!(random.bias(layer).to_vec().iter().all(|&bias| bias == 0.0));
        let mean = |values: &[f32], power: i32| {
            values.iter().map(|&value| f64::from(value).powi(power)).sum::<f64>() / values.len() as f64
        };
        let after = tensor(&random);
        let (count, square) = (after.len() as f64, mean(&before, 2));
        // Five standard errors of the mean and of the mean square.
        assert!(mean(&after, 1).abs() < 5.0 * (square / count).sqrt());
        assert!((mean(&after, 2) / square - 1.0).abs() < 5.0 * (2.0 / count).sqrt());
        drawn.push(after);
    }
    assert_ne!(drawn[0][..10], drawn[1][..10]);
}

/// The map that is compared, over its largest magnitude.
fn map(method: Method, planes: &[f32]) -> Vec<f32> {
    let plane = planes.len() / 3;
    let value = |at: usize| {
        let values = [0, 1, 2].map(|channel| f64::from(planes[channel * plane + at]));
        values
            .iter()
            .map(|value| if method.kind() == Kind::Signal { value.abs() } else { *value })
            .sum::<f64>()
    };
    let sums: Vec<f64> = (0..plane).map(value).collect();
    let largest = sums.iter().fold(0.0_f64, |largest, sum| largest.max(sum.abs()));
    sums.iter().map(|sum| if largest > 0.0 { (sum / largest) as f32 } else { 0.0 }).collect()
}

#[test]
fn maps_are_compared_layer_by_layer_from_the_output_on() {
    let case = Case::new(random_vgg(42, 3, &[&[6], &[8, 8]], Some((2, &[12, 5]))), ElementType::F32);
    let methods = [Method::PatternAttribution, Method::Gradient, Method::GuidedBackprop];
    let (height, width) = (12, 15);
    let images: Vec<Vec<u8>> = (0..5).map(|seed| random_pixels(seed, height, width)).collect();
    let folder = tempfile::tempdir().unwrap();
    for scope in [Scope::Cascading, Scope::Independent] {
        let settings = RandomiseSettings {
            weights: &case.weights,
            patterns: Some(&case.patterns),
            methods: &methods,
            labels: None,
            target: &Target::Top(1),
            scope,
            seed: SEED,
            batch: 2,
            size: (height, width),
            folder: folder.path(),
        };
        let inputs: Vec<RandomiseInput> =
            images.iter().map(|pixels| RandomiseInput { pixels, key: None }).collect();
        let open =
            |weights: &Arc<Weights>| Ok(Box::new(backend(weights, 2)) as Box<dyn vggx::backend::Backend>);
        let mut heard = Vec::new();
        let report =
            randomise(&settings, &inputs, &open, &|| false, &mut |layer| heard.push(layer.clone())).unwrap();
        assert_eq!(heard, report.layers);
        assert_eq!(report.layers.iter().map(|layer| layer.layer).collect::<Vec<_>>(), [4, 3, 2, 1, 0]);

        let explainer = case.explainer(&methods, 1);
        let pixels: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        let trained = explain(&explainer, (height, width), &pixels, &Target::Top(1));
        for layer in &report.layers {
            let chosen = |other: usize| match scope {
                Scope::Cascading => other >= layer.layer,
                Scope::Independent => other == layer.layer,
            };
            let path = folder.path().join("expected.safetensors");
            let weights = Arc::new(randomised(&case.weights, chosen, SEED, &path).unwrap());
            let random = Explainer::new(
                Box::new(backend(&weights, 1)),
                &weights,
                Some(&case.patterns),
                &methods,
                None,
                SEED,
            )
            .unwrap();
            for (image, pixels) in images.iter().enumerate() {
                let target = trained[image].target;
                assert_eq!(report.targets[image].as_ref().ok(), Some(&target));
                let again = explain(&random, (height, width), &[pixels], &Target::Index(target));
                for (index, &method) in methods.iter().enumerate() {
                    let one = map(method, &trained[image].explanations[index].values);
                    let other = map(method, &again[0].explanations[index].values);
                    let magnitudes =
                        |map: &[f32]| -> Vec<f32> { map.iter().map(|value| value.abs()).collect() };
                    let (one_abs, other_abs) = (magnitudes(&one), magnitudes(&other));
                    let range = if method.kind() == Kind::Signal { 1.0 } else { 2.0 };
                    let alike = &layer.methods[index];
                    assert_eq!(alike.ssim.images[image], Some(ssim(&one, &other, width, range)));
                    assert_eq!(alike.ssim_abs.images[image], Some(ssim(&one_abs, &other_abs, width, 1.0)));
                    assert_eq!(alike.spearman.images[image], spearman(&one, &other));
                    assert_eq!(alike.spearman_abs.images[image], spearman(&one_abs, &other_abs));
                }
            }
            for measure in layer.methods.iter().flat_map(|alike| [&alike.ssim, &alike.spearman]) {
                check_summary(measure);
            }
        }
        let all: Vec<f64> = report.layers.iter().filter_map(|layer| layer.methods[1].ssim.mean).collect();
        assert!(all.iter().any(|&mean| mean < 0.9), "nothing changes: {all:?}");
    }
}

fn check_summary(measure: &MeasureSummary) {
    let values: Vec<f64> = measure.images.iter().flatten().copied().collect();
    if values.is_empty() {
        assert_eq!((measure.mean, measure.ci95), (None, None));
        return;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    assert!((measure.mean.unwrap() - mean).abs() < 1e-12);
    if let Some([lower, upper]) = measure.ci95 {
        assert!(lower <= mean + 1e-12 && mean <= upper + 1e-12);
    }
}

#[test]
fn it_stops_when_it_is_told_to() {
    let case = Case::new(random_vgg(43, 3, &[&[4]], None), ElementType::F32);
    let folder = tempfile::tempdir().unwrap();
    let settings = RandomiseSettings {
        weights: &case.weights,
        patterns: None,
        methods: &[Method::Gradient],
        labels: None,
        target: &Target::Top(1),
        scope: Scope::Cascading,
        seed: 0,
        batch: 1,
        size: (4, 4),
        folder: folder.path(),
    };
    let pixels = random_pixels(1, 4, 4);
    let open = |weights: &Arc<Weights>| Ok(Box::new(backend(weights, 1)) as Box<dyn vggx::backend::Backend>);
    let inputs = [RandomiseInput { pixels: &pixels, key: None }];
    let stopped = randomise(&settings, &inputs, &open, &|| true, &mut |_| ());
    assert!(matches!(stopped, Err(RandomiseError::Stopped)));
}

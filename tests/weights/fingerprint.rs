//! Copies of weights match, other weights do not.

use proptest::prelude::*;
use safetensors::Dtype;
use vggx::weights::{Fingerprint, FingerprintError};

use crate::support::{Model, Random, open};

fn fingerprint(model: &Model, dtype: Dtype) -> Fingerprint {
    let folder = tempfile::tempdir().unwrap();
    open(&model.save(folder.path(), "model", dtype)).unwrap().fingerprint().clone()
}

/// The documented formula, one element after another.
fn documented(values: &[f32]) -> (f64, f64) {
    let mut state = 0u64;
    let (mut squares, mut projection, mut bits) = (0.0, 0.0, 0);
    for (index, value) in values.iter().enumerate() {
        if index % 64 == 0 {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bits = mixed ^ (mixed >> 31);
        }
        let sign = if bits >> (index % 64) & 1 == 1 { -1.0 } else { 1.0 };
        projection += sign * f64::from(*value);
        squares += f64::from(*value).powi(2);
    }
    (f64::sqrt(squares), projection)
}

#[test]
fn the_documented_formula_gives_the_same_numbers() {
    // 81,000 weights are more than one piece of work, and not a multiple of 64.
    let model = Model::vgg(&[vec![100, 90]], 1, &[7], 3);
    let found = fingerprint(&model, Dtype::F32);
    let names = ["features.0.weight", "features.2.weight", "classifier.0.weight"];
    assert_eq!(found.layers().len(), names.len());
    for (layer, name) in found.layers().iter().zip(names) {
        let (shape, values) = &model.tensors[name];
        let (norm, projection) = documented(values);
        assert_eq!(layer.shape, *shape);
        // Float64 sums of at most 1e5 terms, in another order: rounding errors stay far below n·2⁻⁵³ of the norm's scale.
        assert!((layer.norm - norm).abs() <= 1e-11 * norm, "{name}");
        assert!((layer.projection - projection).abs() <= 1e-9 * norm, "{name}");
    }
}

#[test]
fn rounded_and_renamed_copies_match() {
    let model = Model::vgg(&[vec![40, 40], vec![50]], 2, &[30, 20, 10], 9);
    let original = fingerprint(&model, Dtype::F32);
    for copy in [model.clone(), model.clone().timm(2)] {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
            let copy = fingerprint(&copy, dtype);
            assert!(copy.matches(&original) && original.matches(&copy), "{dtype}");
        }
    }
}

#[test]
fn other_weights_do_not_match() {
    let model = || Model::vgg(&[vec![8, 8]], 0, &[], 1);
    let original = fingerprint(&model(), Dtype::F32);
    let changed = |change: &dyn Fn(&mut Vec<f32>)| {
        let mut model = model();
        change(&mut model.tensors.get_mut("features.2.weight").unwrap().1);
        fingerprint(&model, Dtype::F32)
    };
    let scaled = |factor: f32| changed(&|values| values.iter_mut().for_each(|value| *value *= factor));
    assert!(scaled(1.0).matches(&original));
    assert!(scaled(1.005).matches(&original));
    assert!(!scaled(1.02).matches(&original));
    assert!(!scaled(0.98).matches(&original));
    assert!(!scaled(-1.0).matches(&original));
    assert!(!scaled(0.0).matches(&original));
    assert!(!changed(&|values| values.reverse()).matches(&original));
    assert!(!changed(&|values| values.rotate_left(72)).matches(&original));
    // Small changes everywhere, as fine-tuning makes them: the norm hardly moves, the projection by about 3 % of it.
    let tuned = changed(&|values| {
        let mut random = Random(77);
        let size =
            0.05 * (values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32).sqrt();
        values.iter_mut().for_each(|value| *value += size * random.next());
    });
    assert!(!tuned.matches(&original));
    let fewer = fingerprint(&Model::vgg(&[vec![8]], 0, &[], 1), Dtype::F32);
    assert!(!fewer.matches(&original) && !original.matches(&fewer));
    let wider = fingerprint(&Model::vgg(&[vec![8, 9]], 0, &[], 1), Dtype::F32);
    assert!(!wider.matches(&original));
}

#[test]
fn zero_weights_match_themselves_and_broken_ones_nothing() {
    let mut zero = Model::tiny(0);
    for (_, values) in zero.tensors.values_mut() {
        values.fill(0.0);
    }
    let fingerprint_of_zero = fingerprint(&zero, Dtype::F32);
    assert!(fingerprint_of_zero.matches(&fingerprint_of_zero));
    assert!(!fingerprint_of_zero.matches(&fingerprint(&Model::tiny(0), Dtype::F32)));
    for value in [f32::NAN, f32::INFINITY] {
        let mut broken = Model::tiny(0);
        broken.tensors.get_mut("features.0.weight").unwrap().1[5] = value;
        let broken = fingerprint(&broken, Dtype::F32);
        assert!(!broken.matches(&broken));
        assert!(Fingerprint::parse(&broken.to_text()).is_err());
    }
}

#[test]
fn the_text_is_one_line_and_is_read_back() {
    let original = fingerprint(&Model::tiny_classifier(4), Dtype::F32);
    let text = original.to_text();
    assert!(!text.contains([' ', '\n']), "{text}");
    let read = Fingerprint::parse(&text).unwrap();
    assert!(read.matches(&original));
    for (read, original) in read.layers().iter().zip(original.layers()) {
        assert_eq!(read.shape, original.shape);
        // serde_json may miss the last bit of a float64.
        assert!((read.norm - original.norm).abs() <= 1e-15 * original.norm);
        assert!((read.projection - original.projection).abs() <= 1e-15 * original.norm);
    }
}

#[test]
fn damaged_texts_are_refused() {
    let layer = |fields: &str| format!(r#"{{"version":1,"layers":[{{{fields}}}]}}"#);
    let texts = [
        String::new(),
        "null".to_owned(),
        "{}".to_owned(),
        "[".repeat(100_000),
        r#"{"version":1}"#.to_owned(),
        r#"{"version":"1","layers":[]}"#.to_owned(),
        layer(r#""shape":[1],"norm":1"#),
        layer(r#""shape":[-1],"norm":1,"projection":1"#),
        layer(r#""shape":[1],"norm":null,"projection":1"#),
        layer(r#""shape":[1],"norm":1e999,"projection":1"#),
        layer(r#""shape":[1],"norm":NaN,"projection":1"#),
    ];
    for text in texts {
        let error = Fingerprint::parse(&text).unwrap_err();
        assert!(matches!(error, FingerprintError::Structure(_)), "{text:.80}: {error}");
    }
    assert_eq!(
        Fingerprint::parse(r#"{"version":2,"hashes":[]}"#),
        Err(FingerprintError::Version { found: 2 })
    );
    assert_eq!(
        Fingerprint::parse(&layer(r#""shape":[1],"norm":-1,"projection":1"#)),
        Err(FingerprintError::Norm { layer: 0 })
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_random_networks_never_match_and_copies_always_do(
        seeds in (any::<u64>(), any::<u64>()),
        widths in (16usize..40, 16usize..40),
    ) {
        prop_assume!(seeds.0 != seeds.1);
        let model = |seed| Model::vgg(&[vec![widths.0], vec![widths.1]], 0, &[], seed);
        let one = fingerprint(&model(seeds.0), Dtype::F32);
        prop_assert!(one.matches(&fingerprint(&model(seeds.0), Dtype::BF16)));
        prop_assert!(one.matches(&fingerprint(&model(seeds.0), Dtype::F16)));
        prop_assert!(!one.matches(&fingerprint(&model(seeds.1), Dtype::F32)));
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        let _ = Fingerprint::parse(&text);
    }
}

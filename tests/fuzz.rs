//! Any bytes are read or refused: no panic, no long wait, no reading outside of the file.

#[path = "weights/support.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use safetensors::{Dtype, SafeTensors};
use support::{Model, open, raw};
use vggx::backend::Moments;
use vggx::patterns::{Component, LayerSource, MomentFile, MomentRecord, Patterns, Report};
use vggx::weights::{TensorFile, Weights};

/// Files to be read and the weights that patterns are for.
struct Readers {
    _folder: tempfile::TempDir,
    path: PathBuf,
    weights: Weights,
}

impl Readers {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let weights = Model::tiny_classifier(0).open(folder.path()).unwrap();
        Self { path: folder.path().join("fuzzed.safetensors"), _folder: folder, weights }
    }

    /// Feeds the bytes to all readers and uses whatever they accept. Says what was accepted.
    fn read(&self, bytes: &[u8]) -> Accepted {
        fs::write(&self.path, bytes).unwrap();
        Accepted {
            file: use_file(&self.path, bytes),
            weights: use_weights(&self.path),
            patterns: self.use_patterns(),
            moments: self.use_moments(),
        }
    }

    fn use_moments(&self) -> bool {
        let inspected = MomentFile::inspect(&self.path);
        let opened = MomentFile::open(&self.path, &self.weights);
        for error in [inspected.as_ref().err(), opened.as_ref().err()].into_iter().flatten() {
            assert!(error.to_string().chars().count() < 2000);
        }
        if let Ok(file) = &inspected {
            assert_eq!(file.layers().count(), file.layer_count());
            for layer in file.read().layers {
                assert!(layer.fields().iter().flat_map(|field| field.values).all(|value| value.is_finite()));
            }
        }
        // What is of these weights is sound without them too.
        assert!(opened.is_err() || inspected.is_ok());
        opened.is_ok()
    }

    /// A file of moments, small numbers all.
    fn moments(&self, second: bool) -> Vec<u8> {
        let mut moments = Moments::zeros(self.weights.network(), second);
        for layer in &mut moments.layers {
            layer.values_mut().into_iter().for_each(|values| values.fill(3.0));
        }
        let record = MomentRecord { images: 3, ..MomentRecord::default() };
        MomentFile::write(&self.path, &moments, &record, &self.weights).unwrap();
        fs::read(&self.path).unwrap()
    }

    fn use_patterns(&self) -> bool {
        let Ok(patterns) = Patterns::open(&self.path, &self.weights) else {
            return false;
        };
        for component in [Component::Positive, Component::Negative, Component::Linear] {
            if let Ok(tensors) = patterns.tensors(component) {
                let layers = self.weights.network().parametric();
                assert_eq!(tensors.len(), layers.count());
                for (tensor, (_, layer)) in tensors.iter().zip(self.weights.network().parametric()) {
                    assert_eq!(tensor.len(), layer.outputs() * layer.fan_in());
                    assert!(tensor.to_vec().iter().all(|value| value.is_finite()));
                }
            }
        }
        let _ = (patterns.centering(), patterns.fingerprint_text());
        true
    }
}

#[derive(Debug, PartialEq)]
struct Accepted {
    file: bool,
    weights: bool,
    patterns: bool,
    moments: bool,
}

fn use_file(path: &Path, bytes: &[u8]) -> bool {
    let file = match TensorFile::open(path) {
        Ok(file) => file,
        Err(error) => {
            assert!(error.to_string().chars().count() < 2000);
            return false;
        }
    };
    // What is accepted here, the format's own library accepts, with the same bytes.
    let reference = SafeTensors::deserialize(bytes).expect("a file that is accepted");
    for name in file.names() {
        let Some(Ok(tensor)) = file.tensor(name) else {
            continue;
        };
        assert_eq!(tensor.bytes(), reference.tensor(name).unwrap().data());
        assert_eq!(tensor.len(), tensor.shape().iter().product::<usize>());
        let values = tensor.to_vec();
        assert_eq!(tensor.first_non_finite(), values.iter().position(|value| !value.is_finite()));
    }
    assert_eq!(file.descriptions().count(), reference.len());
    true
}

fn use_weights(path: &Path) -> bool {
    let weights = match open(path) {
        Ok(weights) => weights,
        Err(error) => {
            assert!(error.to_string().chars().count() < 2000);
            return false;
        }
    };
    let finite = weights.check_finite().is_ok();
    let network = weights.network();
    for (number, (_, layer)) in network.parametric().enumerate() {
        assert_eq!(weights.weight(number).len(), layer.outputs() * layer.fan_in());
        assert_eq!(weights.bias(number).len(), layer.outputs());
    }
    assert_eq!(network.input_channels(), 3);
    let _ = network.extents(32, 33);
    assert!(!finite || weights.fingerprint().matches(weights.fingerprint()));
    true
}

/// Names that mean something to one of the readers, and some that do not.
fn name() -> impl Strategy<Value = String> {
    let layer = prop_oneof![
        (0u32..12).prop_map(|number| format!("features.{number}")),
        (0u32..8).prop_map(|number| format!("classifier.{number}")),
        prop::sample::select(vec!["pre_logits.fc1", "pre_logits.fc2", "head.fc", "x"])
            .prop_map(str::to_owned),
    ];
    let suffix = prop::sample::select(vec![
        "weight",
        "bias",
        "positive",
        "negative",
        "linear",
        "running_mean",
        "positive.xy",
        "x",
    ]);
    prop_oneof![
        9 => (layer, suffix).prop_map(|(layer, suffix)| format!("{layer}.{suffix}")),
        1 => ".{0,12}",
    ]
}

fn extent() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0u64..7,
        1 => prop::sample::select(vec![1 << 31, 1 << 32, 1 << 61, 1 << 63, u64::MAX]),
    ]
}

/// A header that is often consistent, with its data.
fn structured() -> impl Strategy<Value = Vec<u8>> {
    let dtype =
        prop::sample::select(vec![("F32", 4u64), ("F16", 2), ("BF16", 2), ("F64", 8), ("F4", 1), ("Q3", 1)]);
    let shape = prop::collection::vec(extent(), 0..5);
    let tensor = (name(), dtype, shape, prop_oneof![9 => Just(0i64), 1 => -3i64..4]);
    let key = prop::sample::select(vec![
        "architecture",
        "fingerprint",
        "mean",
        "std",
        "channel_order",
        "pixel_scale",
        "moments",
        "checksum",
        "run",
    ]);
    let value = prop::sample::select(vec![
        "vgg16",
        "[1,2,3]",
        "1",
        "bgr",
        "{\"version\":1,\"layers\":[]}",
        "null",
        "\"",
    ]);
    let metadata = prop::collection::btree_map(key, value, 0..4);
    (prop::collection::vec(tensor, 0..12), metadata, -2i64..3).prop_map(|(tensors, metadata, surplus)| {
        let mut start = 0u64;
        let mut entries = vec![format!("\"__metadata__\":{}", serde_json::json!(metadata))];
        for (name, (dtype, size), shape, shift) in tensors {
            let bytes = shape.iter().fold(size, |bytes, extent| bytes.wrapping_mul(*extent));
            let end = start.wrapping_add(bytes).wrapping_add_signed(shift);
            entries.push(format!(
                "{}:{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}",
                serde_json::json!(name)
            ));
            start = end;
        }
        let length = start.saturating_add_signed(surplus.clamp(0, 1)).min(1 << 14);
        raw(&format!("{{{}}}", entries.join(",")), &vec![0x3c; length as usize])
    })
}

/// Good weights and patterns, small.
fn good_model() -> impl Strategy<Value = Model> {
    let models = vec![
        Model::tiny(0),
        Model::tiny_classifier(0),
        Model::tiny_classifier(0).timm(2),
        Model::tiny_classifier(0).patterns(&["positive", "linear"]),
    ];
    prop::sample::select(models).prop_map(|model| {
        model
            .with_metadata("channel_order", "bgr")
            .with_metadata("pixel_scale", "255")
            .with_metadata("mean", "[1,2,3]")
            .with_metadata("std", "[1,1,1]")
    })
}

fn good() -> impl Strategy<Value = Vec<u8>> {
    let dtype = prop::sample::select(vec![Dtype::F32, Dtype::F16, Dtype::BF16]);
    (good_model(), dtype).prop_map(|(model, dtype)| model.bytes(dtype))
}

/// Sound files of networks that are not: tensors removed, added, renamed, reshaped.
#[derive(Debug, Clone)]
enum Change {
    Remove(prop::sample::Index),
    Add(String, Vec<usize>),
    Rename(prop::sample::Index, String),
    Extent(prop::sample::Index, prop::sample::Index, usize),
    Metadata(&'static str, &'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let index = || any::<prop::sample::Index>();
    let metadata = prop::sample::select(vec![
        ("architecture", "vgg16"),
        ("std", "[0,0,0]"),
        ("mean", "1"),
        ("fingerprint", "{\"version\":1,\"layers\":[]}"),
    ]);
    prop_oneof![
        2 => index().prop_map(Change::Remove),
        2 => (name(), prop::collection::vec(0usize..6, 0..5)).prop_map(|(name, shape)| Change::Add(name, shape)),
        2 => (index(), name()).prop_map(|(tensor, name)| Change::Rename(tensor, name)),
        3 => (index(), index(), 0usize..8).prop_map(|(tensor, axis, extent)| Change::Extent(tensor, axis, extent)),
        1 => metadata.prop_map(|(key, value)| Change::Metadata(key, value)),
    ]
}

fn changed(mut model: Model, change: &Change) -> Model {
    let nth = |model: &Model, index: &prop::sample::Index| {
        let count = model.tensors.len();
        (count > 0).then(|| model.tensors.keys().nth(index.index(count)).unwrap().clone())
    };
    match change {
        Change::Remove(index) => match nth(&model, index) {
            Some(name) => model.without(&name),
            None => model,
        },
        Change::Add(name, shape) => model.with(name, shape),
        Change::Rename(index, to) => match nth(&model, index) {
            Some(name) => model.renamed(&name, to),
            None => model,
        },
        Change::Extent(index, axis, extent) => {
            let Some(name) = nth(&model, index) else {
                return model;
            };
            let mut shape = model.tensors[&name].0.clone();
            if !shape.is_empty() {
                let axis = axis.index(shape.len());
                shape[axis] = *extent;
            }
            model.set(&name, &shape, vec![0.25; shape.iter().product()]);
            model
        }
        Change::Metadata(key, value) => model.with_metadata(key, value),
    }
}

#[derive(Debug, Clone)]
enum Mutation {
    Truncate(prop::sample::Index),
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    /// Replaces the n-th number of the header, keeping the header's length right.
    Number(prop::sample::Index, u64),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = || any::<prop::sample::Index>();
    let number = prop_oneof![0u64..40, prop::sample::select(vec![1 << 32, 1 << 62, u64::MAX])];
    prop_oneof![
        index().prop_map(Mutation::Truncate),
        (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (index(), prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (index(), 1usize..9).prop_map(|(at, count)| Mutation::Remove(at, count)),
        (index(), number).prop_map(|(at, number)| Mutation::Number(at, number)),
    ]
}

fn mutate(mut bytes: Vec<u8>, mutation: &Mutation) -> Vec<u8> {
    match mutation {
        Mutation::Truncate(at) => bytes.truncate(at.index(bytes.len() + 1)),
        Mutation::Set(at, byte) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Mutation::Insert(at, inserted) => {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, inserted.iter().copied());
        }
        Mutation::Remove(at, count) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes.drain(at..bytes.len().min(at + count));
        }
        Mutation::Number(at, number) => {
            return replace_number(&bytes, at, *number).unwrap_or(bytes);
        }
        Mutation::Set(..) | Mutation::Remove(..) => {}
    }
    bytes
}

fn replace_number(bytes: &[u8], at: &prop::sample::Index, number: u64) -> Option<Vec<u8>> {
    let (prefix, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*prefix)).ok()?;
    let (header, data) = rest.split_at_checked(length)?;
    let header = std::str::from_utf8(header).ok()?;
    let starts: Vec<usize> = header
        .char_indices()
        .filter(|(index, character)| {
            character.is_ascii_digit() && !header[..*index].ends_with(|before: char| before.is_ascii_digit())
        })
        .map(|(index, _)| index)
        .collect();
    let start = *starts.get(at.index(starts.len().max(1)))?;
    let digits = header[start..].chars().take_while(char::is_ascii_digit).count();
    let changed = format!("{}{number}{}", &header[..start], &header[start + digits..]);
    Some(raw(&changed, data))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let accepted = Readers::new().read(&bytes);
        prop_assert!(!accepted.weights && !accepted.patterns && !accepted.moments);
    }

    #[test]
    fn random_texts_as_reports(text in "\\PC{0,200}") {
        prop_assert!(Report::parse(&text).is_none());
    }

    #[test]
    fn random_texts_as_headers(header in "[ -~]{0,200}", data in prop::collection::vec(any::<u8>(), 0..40)) {
        Readers::new().read(&raw(&header, &data));
    }

    #[test]
    fn headers_of_random_tensors(bytes in structured()) {
        Readers::new().read(&bytes);
    }

    #[test]
    fn sound_files_of_changed_networks(
        model in good_model(),
        changes in prop::collection::vec(change(), 0..4),
    ) {
        let model = changes.iter().fold(model, changed);
        prop_assert!(Readers::new().read(&model.bytes(Dtype::F16)).file);
    }

    #[test]
    fn good_files_with_mutations(bytes in good(), mutations in prop::collection::vec(mutation(), 1..4)) {
        let readers = Readers::new();
        let mutated = mutations.iter().fold(bytes, mutate);
        readers.read(&mutated);
    }

    /// Nothing but white space can change in a file of moments without being noticed.
    #[test]
    fn moments_with_mutations(second in any::<bool>(), mutations in prop::collection::vec(mutation(), 1..4)) {
        let readers = Readers::new();
        let good = readers.moments(second);
        let mutated = mutations.iter().fold(good.clone(), mutate);
        let accepted = readers.read(&mutated);
        let without_spaces = |bytes: &[u8]| bytes.iter().copied().filter(|byte| *byte != b' ').collect::<Vec<_>>();
        prop_assert!(!accepted.moments || without_spaces(&mutated) == without_spaces(&good));
    }
}

/// The inputs of the tests above reach what they should: good files are accepted.
#[test]
fn good_files_are_accepted() {
    let readers = Readers::new();
    let accepted = |weights, patterns| Accepted { file: true, weights, patterns, moments: false };
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
        let weights = Model::tiny_classifier(3);
        let patterns = weights.patterns(&["positive", "linear"]);
        assert_eq!(readers.read(&weights.bytes(dtype)), accepted(true, false));
        assert_eq!(readers.read(&weights.clone().timm(2).bytes(dtype)), accepted(true, false));
        assert_eq!(readers.read(&patterns.bytes(dtype)), accepted(false, true));
    }
    let moments = Accepted { moments: true, ..accepted(false, false) };
    assert_eq!(readers.read(&readers.moments(false)), moments);
    assert_eq!(readers.read(&readers.moments(true)), moments);
}

/// Files named `refused-*` must be refused by all readers, the others must only be survived.
#[test]
fn corpus() {
    let readers = Readers::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let accepted = readers.read(&fs::read(&path).unwrap());
        let name = path.file_name().unwrap().to_string_lossy();
        if name.starts_with("refused-") {
            assert!(!accepted.weights && !accepted.patterns && !accepted.moments, "{name}: {accepted:?}");
        }
        if name.starts_with("accepted-") {
            assert!(accepted.weights || accepted.patterns, "{name}: {accepted:?}");
        }
        count += 1;
    }
    assert!(count >= 20, "{count} files");
}

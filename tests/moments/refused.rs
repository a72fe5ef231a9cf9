//! Every kind of bad moment file is refused, and says what is wrong with it.

use std::fs;
use std::path::PathBuf;

use safetensors::Dtype;
use vggx::patterns::{LayerSource, MomentError, MomentFile};
use vggx::weights::WeightProblem;

use crate::samples::{Pieces, Place, random_moments, run};
use crate::support::Model;

/// A good file with weights, and a place for bad ones.
struct Bad {
    place: Place,
    good: Vec<u8>,
    path: PathBuf,
}

impl Bad {
    fn new(model: &Model) -> Self {
        let place = Place::new(model);
        let path = place.path().join("bad.moments");
        MomentFile::write(&path, &random_moments(&place.weights, 9, true, 3), &run(0), &place.weights)
            .unwrap();
        Self { good: fs::read(&path).unwrap(), place, path }
    }

    fn pieces(&self) -> Pieces {
        Pieces::of(&self.good)
    }

    fn open(&self, bytes: &[u8]) -> Result<MomentFile, MomentError> {
        fs::write(&self.path, bytes).unwrap();
        MomentFile::open(&self.path, &self.place.weights)
    }

    /// Why the bytes are refused; the message names the file and holds these words.
    #[track_caller]
    fn refused(&self, bytes: &[u8], words: &[&str]) -> MomentError {
        let error = self.open(bytes).expect_err("a bad file");
        let message = error.to_string();
        for word in words.iter().chain(&["bad.moments"]) {
            assert!(message.contains(word), "no {word:?} in: {message}");
        }
        error
    }
}

/// Where the data start.
fn data_start(bytes: &[u8]) -> usize {
    8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize
}

#[test]
fn truncated_files() {
    let bad = Bad::new(&Model::tiny(0));
    let (data, end) = (data_start(&bad.good), bad.good.len());
    for length in (0..end).step_by(61).chain([1, 7, 8, 9, data - 1, data, data + 1, end - 8, end - 1]) {
        let error = bad.refused(&bad.good[..length], &[]);
        let MomentError::File(error) = error else { panic!("{length}: {error}") };
        let cut = match error.problem {
            WeightProblem::Empty => length == 0,
            WeightProblem::TooShort { .. } => length < 8,
            WeightProblem::HeaderTruncated { .. } => (8..data).contains(&length),
            WeightProblem::DataLength { .. } => (data..end).contains(&length),
            _ => false,
        };
        assert!(cut, "{length}: {}", error.problem);
    }
    bad.refused(&bad.good[..end - 1], &["truncated"]);
    bad.refused(&[&bad.good[..], &[0]].concat(), &["damaged"]);
}

/// CRC-32 finds every edit of up to 32 neighbouring bits, so this test holds for any file.
#[test]
fn a_byte_edited_anywhere() {
    // Small: every byte of it is edited.
    let bad = Bad::new(&Model::vgg(&[vec![2]], 0, &[], 0));
    let original = bad.open(&bad.good).unwrap();
    let (moments, record) = (original.read(), original.record().clone());
    let data = data_start(&bad.good);
    let mut edited = bad.good.clone();
    for at in 0..edited.len() {
        let before = edited[at];
        edited[at] = before ^ (at % 255 + 1) as u8;
        match bad.open(&edited) {
            Err(error) if at >= data => assert!(matches!(error, MomentError::Checksum { .. }), "{error}"),
            Err(error) => assert!(error.to_string().chars().count() < 2000),
            Ok(file) => {
                // Another white space, or another spelling of the same: nothing has changed.
                assert!(at < data, "byte {at}");
                assert_eq!((file.read(), file.record()), (moments.clone(), &record), "byte {at}");
            }
        }
        edited[at] = before;
    }
    let mut edited = bad.good.clone();
    edited[data + 5] ^= 1;
    bad.refused(&edited, &["edited", "checksum"]);
}

/// Metadata edited by somebody who keeps the header sound.
#[test]
fn edited_metadata() {
    let bad = Bad::new(&Model::tiny(0));
    for (key, value) in [
        ("images", "11"),
        ("run", r#"{"crops":3,"inputs":"photos","seed":9}"#),
        ("run", "{}"),
        ("progress", "1"),
        ("mean", "[0.0, 0.456, 0.406]"),
        ("architecture", "vgg16"),
        ("second_moments", "false"),
        ("added", ""),
    ] {
        let mut pieces = bad.pieces();
        pieces.metadata.insert(key.to_owned(), value.to_owned());
        let error = bad.refused(&pieces.bytes(), &["checksum"]);
        assert!(matches!(error, MomentError::Checksum { .. }), "{key}: {error}");
    }
    // Two tensors of the same shape, exchanged.
    let mut pieces = bad.pieces();
    let other = std::mem::replace(&mut pieces.tensor("features.0.positive.y").0, "x".to_owned());
    let other = std::mem::replace(&mut pieces.tensor("features.0.negative.y").0, other);
    pieces.tensor("x").0 = other;
    assert!(matches!(bad.refused(&pieces.bytes(), &[]), MomentError::Checksum { .. }));
}

/// Metadata that are damaged, under a checksum that is right: another program wrote them.
#[test]
fn damaged_metadata() {
    let bad = Bad::new(&Model::tiny(0));
    for key in ["moments", "fingerprint", "images", "run", "checksum"] {
        let mut pieces = bad.pieces();
        pieces.metadata.remove(key);
        let bytes = if key == "checksum" { pieces.bytes() } else { pieces.sealed() };
        let error = bad.refused(&bytes, &[key, "missing"]);
        assert!(matches!(&error, MomentError::Metadata { key: named, .. } if *named == key), "{error}");
    }
    for (key, value) in [
        ("images", "-1"),
        ("images", "many"),
        ("run", "[]"),
        ("run", "{"),
        ("run", &"[".repeat(100_000)),
        ("progress", "}"),
        ("mean", "[1]"),
        ("std", "[0,0,0]"),
        ("fingerprint", "{}"),
    ] {
        let mut pieces = bad.pieces();
        pieces.metadata.insert(key.to_owned(), value.to_owned());
        bad.refused(&pieces.sealed(), &[key]);
    }
    for key in ["mean", "channel_order"] {
        let mut pieces = bad.pieces();
        pieces.metadata.remove(key);
        bad.refused(&pieces.sealed(), &[key]);
    }
    let mut pieces = bad.pieces();
    pieces.metadata.insert("checksum".to_owned(), "no".to_owned());
    bad.refused(&pieces.bytes(), &["checksum", "hexadecimal"]);
}

#[test]
fn another_version() {
    let bad = Bad::new(&Model::tiny(0));
    for version in ["2", "0", "01", "", "\u{1b}[2J"] {
        let mut pieces = bad.pieces();
        pieces.metadata.insert("moments".to_owned(), version.to_owned());
        // Whatever else that version changes.
        pieces.tensors.truncate(1);
        let error = bad.refused(&pieces.bytes(), &["version", "version 1"]);
        assert!(matches!(&error, MomentError::Version { found, .. } if found == version), "{error}");
        assert!(!error.to_string().contains('\u{1b}'));
    }
}

#[test]
fn moments_of_other_weights() {
    let bad = Bad::new(&Model::tiny(0));
    for model in [Model::tiny(1), Model::tiny_classifier(0), Model::vgg(&[vec![4], vec![6]], 0, &[], 0)] {
        let other = Place::new(&model);
        let error = MomentFile::open(&bad.path, &other.weights).unwrap_err();
        assert!(matches!(error, MomentError::OtherWeights { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains("bad.moments") && message.contains("weights.safetensors"), "{message}");
    }
    // Also for one who knows no weights, a fingerprint belongs to the tensors.
    let mut pieces = bad.pieces();
    let other = Place::new(&Model::tiny_classifier(0)).weights.fingerprint().to_text();
    pieces.metadata.insert("fingerprint".to_owned(), other);
    fs::write(&bad.path, pieces.sealed()).unwrap();
    let error = MomentFile::inspect(&bad.path).unwrap_err();
    assert!(matches!(error, MomentError::Metadata { key: "fingerprint", .. }), "{error}");
}

#[test]
fn fields_that_are_missing_unknown_or_of_another_shape() {
    let bad = Bad::new(&Model::tiny_classifier(0));
    let count = bad.pieces().tensors.len();
    assert_eq!(count, 2 * 16 + 3 * 11);
    for index in 0..count {
        let mut pieces = bad.pieces();
        let (name, ..) = pieces.tensors.remove(index);
        let error = bad.refused(&pieces.sealed(), &[&name, "missing"]);
        assert!(matches!(error, MomentError::MissingField { .. }), "{error}");
        assert!(MomentFile::inspect(&bad.path).is_err(), "{name}");

        let mut pieces = bad.pieces();
        let (_, _, shape, _) = &mut pieces.tensors[index];
        shape.insert(0, 1);
        let error = bad.refused(&pieces.sealed(), &[&name]);
        assert!(matches!(error, MomentError::Shape { .. }), "{error}");
        assert!(MomentFile::inspect(&bad.path).is_err(), "{name}");

        let mut pieces = bad.pieces();
        pieces.tensors[index].1 = "I64".to_owned();
        assert!(matches!(bad.refused(&pieces.sealed(), &[&name, "I64", "F64"]), MomentError::Shape { .. }));
    }
    for name in ["features.0.positive.xyz", "features.9.x", "features.0.weight", "x", "features.0.xx"] {
        let mut pieces = bad.pieces();
        pieces.tensors.push((name.to_owned(), "F64".to_owned(), vec![1], vec![0; 8]));
        let error = bad.refused(&pieces.sealed(), &[name]);
        assert!(matches!(error, MomentError::UnknownTensor { .. }), "{error}");
        assert!(MomentFile::inspect(&bad.path).is_err(), "{name}");
    }
    // Second moments of one layer alone.
    let mut pieces = bad.pieces();
    pieces.tensors.retain(|(name, ..)| !name.contains(".xx") || name.starts_with("classifier.0"));
    assert!(matches!(bad.refused(&pieces.sealed(), &["xx"]), MomentError::MissingField { .. }));
}

#[test]
fn values_that_no_sums_have() {
    let bad = Bad::new(&Model::tiny(0));
    for (field, index, value) in [
        ("positions", 0, f64::NAN),
        ("positions", 0, -1.0),
        ("positions", 0, 8.5),
        ("positions", 0, f64::INFINITY),
        ("positive.count", 3, 10.0),
        ("positive.count", 0, 0.5),
        ("positive.count", 1, -1.0),
        ("positive.count", 1, f64::NAN),
        ("positive.yy", 2, -1e-9),
        ("negative.yy", 2, f64::NAN),
        ("negative.yy", 3, f64::INFINITY),
        ("positive.y", 0, f64::NEG_INFINITY),
        ("x", 26, f64::NAN),
        ("positive.x", 107, f64::INFINITY),
        ("positive.xy", 0, f64::NAN),
        ("negative.xy", 50, f64::NAN),
        ("xx.map", 13 * 9 - 1, f64::NAN),
        ("xx.corners", 0, f64::INFINITY),
    ] {
        let name = format!("features.0.{field}");
        let pieces = bad.pieces().set(&name, index, value);
        let error = bad.refused(&pieces.sealed(), &[&name, &format!("element {index}")]);
        assert!(matches!(error, MomentError::Value { .. }), "{error}");
        assert!(matches!(MomentFile::inspect(&bad.path), Err(MomentError::Value { .. })));
    }
    // As many positive positions as there are, and none, is fine.
    for count in [0.0, 9.0] {
        bad.open(&bad.pieces().set("features.0.positive.count", 0, count).sealed()).unwrap();
    }
}

#[test]
fn files_of_other_things_say_so() {
    let model = Model::tiny(0);
    let bad = Bad::new(&model);
    for (bytes, found) in [
        (model.bytes(Dtype::F32), "weights"),
        (model.patterns(&["positive"]).bytes(Dtype::F16), "patterns"),
        (Model::default().with("something", &[3]).bytes(Dtype::F32), "other tensors"),
    ] {
        let error = bad.refused(&bytes, &[found, "not of moments", "--moments"]);
        assert!(matches!(error, MomentError::NotMoments { .. }), "{error}");
    }
    bad.refused(b"GIF89a and more than that", &["not a safetensors"]);
    let error = MomentFile::open(&bad.place.path().join("none"), &bad.place.weights).unwrap_err();
    assert!(error.to_string().contains("no such file"), "{error}");
}

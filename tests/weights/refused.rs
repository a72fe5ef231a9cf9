//! Files that are not usable: each has its own message.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use vggx::weights::{TensorFile, WeightError, WeightProblem};

use crate::support::{Model, open, raw};

/// What opening these bytes as weights says.
fn refusal(bytes: &[u8]) -> WeightError {
    refusal_named("weights.safetensors", bytes)
}

fn refusal_named(name: &str, bytes: &[u8]) -> WeightError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let error = open(&path).expect_err("these bytes are not usable weights");
    assert_eq!(error.path, path);
    assert!(error.to_string().contains(&path.display().to_string()));
    error
}

#[track_caller]
fn says(error: &WeightError, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

#[track_caller]
fn model_says(model: &Model, parts: &[&str]) {
    says(&refusal(&model.bytes(Dtype::F32)), parts);
}

#[test]
fn a_missing_file_and_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let missing = open(&folder.path().join("none.safetensors")).unwrap_err();
    assert!(matches!(missing.problem, WeightProblem::Missing), "{missing}");
    says(&missing, &["none.safetensors", "no such file"]);
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error.problem, WeightProblem::Folder), "{error}");
}

#[cfg(unix)]
#[test]
fn a_device_is_refused_before_it_is_read() {
    let error = open(Path::new("/dev/zero")).unwrap_err();
    assert!(matches!(error.problem, WeightProblem::NotRegular), "{error}");
}

#[cfg(unix)]
#[test]
fn an_unreadable_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = Model::tiny(0).save(folder.path(), "weights", Dtype::F32);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
    // Permissions do not stop root.
    if fs::File::open(&path).is_err() {
        let error = open(&path).unwrap_err();
        assert!(matches!(error.problem, WeightProblem::PermissionDenied), "{error}");
    }
}

#[test]
fn an_empty_file_and_a_few_bytes() {
    assert!(matches!(refusal(b"").problem, WeightProblem::Empty));
    assert!(matches!(refusal(b"1234567").problem, WeightProblem::TooShort { bytes: 7 }));
}

#[test]
fn a_header_of_exabytes() {
    for length in [1u64 << 60, u64::MAX, 100_000_001] {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend_from_slice(b"{}");
        let error = refusal(&bytes);
        assert!(
            matches!(error.problem, WeightProblem::HeaderTooLarge { bytes, .. } if bytes == length),
            "{error}"
        );
    }
}

#[test]
fn every_truncation_is_refused() {
    let bytes = Model::tiny(0).bytes(Dtype::F16);
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for length in (0..bytes.len()).step_by(7).chain([header - 1, header, bytes.len() - 1]) {
        let problem = refusal(&bytes[..length]).problem;
        let expected = match length {
            0 => matches!(problem, WeightProblem::Empty),
            1..8 => matches!(problem, WeightProblem::TooShort { .. }),
            _ if length < header => matches!(problem, WeightProblem::HeaderTruncated { .. }),
            _ => matches!(problem, WeightProblem::DataLength { .. }),
        };
        assert!(expected, "{length} bytes: {problem}");
    }
    says(&refusal(&bytes[..bytes.len() - 1]), &["truncated"]);
    let longer = [bytes.as_slice(), b"x"].concat();
    says(&refusal(&longer), &["damaged"]);
}

#[test]
fn other_formats_are_named_where_only_safetensors_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let says = |name: &str, bytes: &[u8], word: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let message = TensorFile::open(&path).unwrap_err().to_string();
        assert!(message.contains(word) && message.contains("vggx convert"), "{message}");
    };
    let archive = |member: &str| [b"PK\x03\x04".as_slice(), &[0; 26], member.as_bytes(), &[0; 70]].concat();
    says("weights", &archive("archive/data.pkl"), "PyTorch");
    says("vgg16.pth", &archive("nothing known"), "PyTorch");
    says("vgg16.npz", &archive("arr_0.npy"), "NumPy");
    says("vgg16.zip", &archive("model.weights.h5"), "Keras");
    let pickle = [&[0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20], [1; 60].as_slice()].concat();
    says("vgg16.pth", &pickle, "old PyTorch");
    says("vgg16.h5", &[b"\x89HDF\r\n\x1a\n".as_slice(), &[0; 100]].concat(), "HDF5");
    says("vgg16.onnx", b"\x08\x07\x12\x07pytorch\x1a\x03", "ONNX");
    let text = refusal_named("weights.txt", b"these are not weights at all");
    assert!(matches!(text.problem, WeightProblem::HeaderTooLarge { .. }), "{text}");
}

#[test]
fn damaged_headers() {
    let tensor = |dtype: &str, shape: &str, start: u64, end: u64| {
        format!(
            r#"{{"features.0.weight":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}}}"#
        )
    };
    let huge = "[4294967296,4294967296,4294967296]";
    let headers = [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{".to_owned(),
        "not json".to_owned(),
        "[".repeat(100_000),
        format!("{{\"a\":{}", "[".repeat(100_000)),
        r#"{"__metadata__":{"a":1}}"#.to_owned(),
        r#"{"__metadata__":[]}"#.to_owned(),
        r#"{"a":{}}"#.to_owned(),
        tensor("F33", "[1]", 0, 4),
        tensor("F32", "[1.5]", 0, 4),
        tensor("F32", "[-1]", 0, 4),
        tensor("F32", "[2]", 0, 4),
        tensor("F32", "[1]", 4, 0),
        tensor("F32", "[1]", 4, 8),
        tensor("F32", huge, 0, 4),
        tensor("F32", "[9223372036854775807]", 0, 4),
        tensor("F32", "[18446744073709551616]", 0, 4),
        // Gap, overlap.
        r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}}"#.to_owned(),
        r#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#.to_owned(),
    ];
    for header in headers {
        let error = refusal(&raw(&header, &[0; 4]));
        assert!(matches!(error.problem, WeightProblem::Header(_)), "{header:.80}: {error}");
        assert!(error.to_string().chars().count() < 600, "{error}");
    }
    let mut invalid = raw("{}  ", b"");
    invalid[9] = 0xff;
    says(&refusal(&invalid), &["UTF-8"]);
}

/// Eight tensors of 2⁶¹ − 1 bytes: adding the header's length to their sum overflows.
#[test]
fn sizes_that_overflow_when_added_are_refused() {
    let size = (1u64 << 61) - 1;
    let entries: Vec<String> = (0..8)
        .map(|index| {
            let (start, end) = (index * size, (index + 1) * size);
            format!(r#""t{index}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    let error = refusal(&raw(&format!("{{{}}}", entries.join(",")), b""));
    assert!(
        matches!(error.problem, WeightProblem::DataLength { described, available: 0 } if described == 8 * size),
        "{error}"
    );
}

#[test]
fn texts_of_the_file_are_shown_short_and_without_control_characters() {
    let name = format!("features.0.weight\u{1b}[31m\n{}", "x".repeat(100_000));
    let error = refusal(&Model::default().with(&name, &[1]).bytes(Dtype::F32));
    let message = error.to_string();
    assert!(message.chars().count() < 1000, "{} characters", message.len());
    assert!(!message.contains(['\u{1b}', '\n']), "{message}");
}

#[test]
fn files_without_a_network() {
    model_says(&Model::default(), &["features.0.weight is missing", "no tensors at all"]);
    let scalars = raw(r#"{"__metadata__":{"format":"pt"}}"#, b"");
    says(&refusal(&scalars), &["no tensors at all"]);
    model_says(&Model::default().with("linear.weight", &[2, 2]), &["linear.weight", "belongs to no layer"]);
}

#[test]
fn missing_tensors_are_named() {
    let model = Model::tiny_classifier(0);
    for name in model.tensors.keys() {
        let error = refusal(&model.clone().without(name).bytes(Dtype::F32));
        assert!(
            matches!(&error.problem, WeightProblem::MissingTensor { tensor, .. } if tensor == name),
            "{name}: {error}"
        );
    }
    let timm = model.timm(2);
    for name in timm.tensors.keys() {
        let error = refusal(&timm.clone().without(name).bytes(Dtype::F32));
        assert!(
            matches!(&error.problem, WeightProblem::MissingTensor { tensor, .. } if tensor == name),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_missing_layer_is_noticed() {
    let model =
        Model::vgg(&[vec![4, 4, 4]], 0, &[], 0).without("features.2.weight").without("features.2.bias");
    model_says(&model, &["features.4.weight", "follows features.0", "a layer may be missing"]);
    let first = Model::tiny(0).without("features.0.weight").without("features.0.bias");
    model_says(&first, &["features.0.weight is missing"]);
}

#[test]
fn other_networks_are_refused_by_the_tensor_that_tells() {
    let tiny = || Model::tiny(0);
    model_says(&tiny().with("features.1.running_mean", &[4]), &["features.1.weight is missing"]);
    model_says(&tiny().with("features.1.weight", &[4]).with("features.1.bias", &[4]), &["features.1.weight"]);
    model_says(
        &tiny().with("features.2.weight", &[4]).with("features.2.bias", &[4]),
        &["features.2.weight", "batch normalisation"],
    );
    model_says(&tiny().with("features.3.weight", &[5, 4, 5, 5]), &["features.3.weight", "5×5"]);
    model_says(&tiny().with("features.3.weight", &[5, 4, 3, 1]), &["features.3.weight", "3×1"]);
    model_says(&tiny().with("layer1.0.conv1.weight", &[4, 4, 3, 3]), &["layer1.0.conv1.weight"]);
    // Numbers with a second spelling.
    for name in ["features.00.weight", "features.+3.weight", "features.4294967296.weight", "features.3.gamma"]
    {
        model_says(&tiny().with(name, &[5, 4, 3, 3]), &[name]);
    }
    model_says(
        &Model::tiny_classifier(0).with("head.fc.weight", &[8, 7]),
        &["head.fc.weight", "torchvision's names too"],
    );
}

#[test]
fn wrong_shapes_are_refused() {
    let with = |name: &str, shape: &[usize]| Model::tiny_classifier(0).with(name, shape);
    model_says(
        &with("features.0.weight", &[4, 1, 3, 3]),
        &["features.0.weight", "[4, 1, 3, 3]", "3 input channels"],
    );
    model_says(&with("features.3.weight", &[5, 3, 3, 3]), &["features.3.weight", "features.0 has 4 outputs"]);
    model_says(&with("features.3.weight", &[5, 36]), &["features.3.weight", "four extents"]);
    model_says(&with("features.3.weight", &[]), &["features.3.weight", "four extents"]);
    model_says(&with("features.3.weight", &[0, 4, 3, 3]), &["features.3.weight", "at least 1"]);
    model_says(&with("features.3.bias", &[4]), &["features.3.bias", "[5]"]);
    model_says(&with("features.3.bias", &[5, 1]), &["features.3.bias", "[5]"]);
    model_says(&with("classifier.0.weight", &[6, 5 * 3]), &["classifier.0.weight", "side²"]);
    model_says(&with("classifier.0.weight", &[6, 21]), &["classifier.0.weight", "side²"]);
    model_says(&with("classifier.0.weight", &[0, 20]), &["classifier.0.weight", "at least 1"]);
    model_says(&with("classifier.0.weight", &[6, 5, 2, 2]), &["classifier.0.weight", "two extents"]);
    model_says(&with("classifier.3.weight", &[7, 5]), &["classifier.3.weight", "classifier.0 has 6 outputs"]);
    model_says(&with("classifier.6.bias", &[7]), &["classifier.6.bias", "[8]"]);
    let adjacent = Model::vgg(&[vec![4]], 1, &[5, 5], 0)
        .renamed("classifier.3.weight", "classifier.1.weight")
        .renamed("classifier.3.bias", "classifier.1.bias");
    model_says(&adjacent, &["classifier.1.weight", "no ReLU"]);

    let timm = |name: &str, shape: &[usize]| Model::tiny_classifier(0).timm(2).with(name, shape);
    model_says(&timm("pre_logits.fc1.weight", &[6, 5, 2, 3]), &["pre_logits.fc1.weight", "side"]);
    model_says(&timm("pre_logits.fc1.weight", &[6, 4, 2, 2]), &["pre_logits.fc1.weight", "5 inputs"]);
    model_says(&timm("pre_logits.fc2.weight", &[7, 6, 2, 2]), &["pre_logits.fc2.weight", "1, 1"]);
    model_says(&timm("head.fc.weight", &[8, 6]), &["head.fc.weight", "[outputs, 7]"]);
    model_says(&timm("head.fc.weight", &[8, 7, 1, 1]), &["head.fc.weight", "[classes, inputs]"]);
}

#[test]
fn other_element_types_are_refused_by_name() {
    for dtype in [Dtype::F64, Dtype::I64, Dtype::U8, Dtype::F8_E4M3, Dtype::BOOL] {
        let bytes = Model::tiny(0).mixed_bytes(|name| match name {
            "features.3.bias" => dtype,
            _ => Dtype::F32,
        });
        says(&refusal(&bytes), &["features.3.bias", &dtype.to_string(), "BF16"]);
    }
}

#[test]
fn numbers_that_are_not_finite_are_found_in_every_type() {
    let folder = tempfile::tempdir().unwrap();
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
        for (tensor, index, value, shown) in [
            ("features.3.weight", 17, f32::NAN, "NaN"),
            ("features.0.bias", 3, f32::NEG_INFINITY, "-inf"),
            ("classifier.6.weight", 0, f32::INFINITY, "inf"),
        ] {
            let mut model = Model::tiny_classifier(0);
            model.tensors.get_mut(tensor).unwrap().1[index] = value;
            let weights = open(&model.save(folder.path(), "weights", dtype)).unwrap();
            let error = weights.check_finite().unwrap_err();
            says(&error, &[tensor, &format!("element {index} is {shown}")]);
        }
        let good = open(&Model::tiny_classifier(0).save(folder.path(), "good", dtype)).unwrap();
        good.check_finite().unwrap();
    }
}

#[test]
fn the_reader_alone_takes_tensors_of_any_name_and_refuses_types_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("any");
    let bytes = Model::default()
        .with("a", &[2, 3])
        .with("b", &[4])
        .with_metadata("key", "value")
        .mixed_bytes(|name| if name == "a" { Dtype::F32 } else { Dtype::I64 });
    fs::write(&path, bytes).unwrap();
    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(file.metadata()["key"], "value");
    assert_eq!(file.data_bytes(), 24 + 32);
    assert!(file.tensor("c").is_none());
    assert_eq!(file.tensor("a").unwrap().unwrap().to_vec(), [0.5; 6]);
    says(&file.tensor("b").unwrap().unwrap_err(), &["b", "I64"]);
    let described: Vec<_> = file
        .descriptions()
        .map(|tensor| (tensor.name, tensor.element, tensor.shape.to_vec(), tensor.bytes))
        .collect();
    assert_eq!(described, [("a", "F32".to_owned(), vec![2, 3], 24), ("b", "I64".to_owned(), vec![4], 32)]);
}

#[test]
fn what_downloads_leave_is_named() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 553433881\n";
    says(&refusal_named("vgg16.pth", pointer), &["Git LFS", "git lfs pull"]);
    for page in ["<!DOCTYPE html><html>", "\n<html lang=en>"] {
        says(&refusal_named("vgg16.h5", page.as_bytes()), &["a web page", "download"]);
    }
}

#[test]
fn nothing_of_a_file_controls_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = "evil\u{1b}[31m\r\nerror: forged\u{9b}.";
    let mut below = Model::default();
    for (name, (shape, values)) in &Model::tiny(0).tensors {
        below.set(&format!("{prefix}{name}"), shape, values.clone());
    }
    let weights = below.open(folder.path()).unwrap();
    let notes = weights.notes().join("|");
    assert!(notes.contains("forged") && !notes.contains(char::is_control), "{notes:?}");
    for name in ["features.2.weight", "features.0.running_var"] {
        let refused = below.clone().with(&format!("{prefix}{name}"), &[4]);
        let message = refused.open(folder.path()).unwrap_err().to_string();
        assert!(!message.contains(char::is_control), "{message:?}");
    }
}

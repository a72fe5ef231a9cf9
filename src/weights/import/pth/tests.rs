//! Against what PyTorch itself wrote and reads (tests/data/import/pth), array by array: `Weights` sees them only folded.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::weights::mapped::map;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import/pth")
}

fn open(name: &str) -> Result<StateDict, WeightProblem> {
    let path = folder().join(name);
    read(map(&path)?)
}

#[test]
fn the_same_tensors_as_pytorch() {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let files = expected["files"].as_object().unwrap();
    assert_eq!(files.len(), 17);
    for (file, expected) in files {
        let found = open(file).unwrap_or_else(|problem| panic!("{file}: {problem}"));
        let expected = expected["tensors"].as_object().unwrap();
        assert_eq!(found.tensors.len(), expected.len(), "{file}");
        for (name, array) in found.tensors {
            let [element, shape, crc] = expected[&name].as_array().unwrap().as_slice() else {
                panic!("{file}: {name}");
            };
            let shape: Vec<usize> = serde_json::from_value(shape.clone()).unwrap();
            assert_eq!(array.shape(), shape, "{file}: {name}");
            let (stated, crc) = (element.as_str().unwrap(), crc.as_u64().unwrap());
            let found = match array.element() {
                crate::weights::ElementType::F32 => "float32",
                crate::weights::ElementType::F16 => "float16",
                crate::weights::ElementType::Bf16 => "bfloat16",
            };
            if stated == "float64" {
                // Rounded: the checksum is of other bytes.
                assert_eq!(found, "float32");
                continue;
            }
            assert_eq!(found, stated, "{file}: {name}");
            let bytes = array.into_bytes().unwrap();
            assert_eq!(u64::from(crc32fast::hash(&bytes)), crc, "{file}: {name}");
        }
    }
}

#[test]
fn notes_say_what_was_left_out() {
    let training = open("training.pth").unwrap();
    let expected = "the tensors are those under state_dict; not used beside them: epoch, optimizer, best";
    assert_eq!(training.notes, [expected]);
    assert_eq!(open("double.pth").unwrap().notes, ["float64 is rounded to float32"]);
    assert_eq!(open("vgg11_bn.pth").unwrap().notes, [""; 0]);
}

#[test]
fn modules_and_programs_are_refused() {
    for (file, expected) in [
        ("whole_module.pth", "a whole object of class torch.nn.modules.container.Sequential"),
        ("program.pt", "TorchScript"),
    ] {
        let problem = open(file).unwrap_err().to_string();
        assert!(problem.contains(expected), "{problem}");
        assert!(problem.contains("state_dict()"), "{problem}");
    }
}

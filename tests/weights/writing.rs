//! Written files are complete, readable by others and the same every time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;

use safetensors::SafeTensors;
use vggx::weights::{ElementType, NewTensor, TensorFile, write_tensors};

fn tensor(name: &str, element: ElementType, shape: &[usize], bytes: &[u8]) -> NewTensor<'static> {
    NewTensor { name: name.to_owned(), element, shape: shape.to_vec(), bytes: Cow::Owned(bytes.to_vec()) }
}

fn metadata() -> BTreeMap<String, String> {
    (0..20).map(|key| (format!("key {key}"), format!("\"{key}\n"))).collect()
}

#[test]
fn files_hold_what_was_given_and_start_their_data_aligned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written");
    let tensors = [
        tensor("b", ElementType::F16, &[3], &[1, 2, 3, 4, 5, 6]),
        tensor("a", ElementType::F32, &[1, 2], &[0, 0, 128, 63, 0, 0, 0, 64]),
        tensor("é", ElementType::Bf16, &[0, 4], &[]),
        tensor("scalar", ElementType::Bf16, &[], &[128, 63]),
    ];
    write_tensors(&path, &metadata(), &tensors).unwrap();
    let bytes = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    assert_eq!((8 + length) % 64, 0);

    // The format's own library agrees.
    let reference = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(reference.len(), tensors.len());
    for tensor in &tensors {
        let found = reference.tensor(&tensor.name).unwrap();
        assert_eq!(found.shape(), tensor.shape);
        assert_eq!(found.data(), &*tensor.bytes);
        assert_eq!(found.dtype().to_string(), tensor.element.to_string());
    }
    let file = TensorFile::open(&path).unwrap();
    assert_eq!(*file.metadata(), metadata());
    assert_eq!(file.tensor("a").unwrap().unwrap().to_vec(), [1.0, 2.0]);

    let again = folder.path().join("again");
    write_tensors(&again, &metadata(), &tensors).unwrap();
    assert_eq!(fs::read(&again).unwrap(), bytes);
}

#[test]
fn replacing_a_file_leaves_readers_of_the_old_one_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let write = |bytes: &[u8]| {
        let tensor = tensor("t", ElementType::F16, &[bytes.len() / 2], bytes);
        write_tensors(&path, &BTreeMap::new(), &[tensor]).unwrap();
    };
    write(&[0, 60]);
    let old = TensorFile::open(&path).unwrap();
    write(&[0, 64, 0, 64]);
    let read = |file: &TensorFile| file.tensor("t").unwrap().unwrap().to_vec();
    assert_eq!(read(&old), [1.0]);
    assert_eq!(read(&TensorFile::open(&path).unwrap()), [2.0, 2.0]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn tensors_that_make_no_file_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let good = || tensor("t", ElementType::F16, &[1], &[0, 60]);
    let refused = [
        vec![tensor("t", ElementType::F32, &[1], &[0, 60])],
        vec![tensor("t", ElementType::F16, &[usize::MAX, 4], &[0, 60])],
        vec![good(), good()],
        vec![NewTensor { name: "__metadata__".to_owned(), ..good() }],
    ];
    for tensors in refused {
        let path = folder.path().join("file");
        write_tensors(&path, &BTreeMap::new(), &tensors).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    write_tensors(&folder.path().join("no/folder"), &BTreeMap::new(), &[good()]).unwrap_err();
}

#[cfg(unix)]
#[test]
fn others_may_read_what_was_written() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (written, plain) = (folder.path().join("written"), folder.path().join("plain"));
    write_tensors(&written, &metadata(), &[]).unwrap();
    fs::write(&plain, b"").unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&written), mode(&plain));
}

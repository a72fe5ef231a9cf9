//! Explanations as array files.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Cursor, Read, Write};

use half::f16;
use npyz::{NpyFile, WriterBuilder};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::store::{Array, Values};

/// A failure of an encoder or decoder, in its own words.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The arrays of a container file by key. Sorted, so that the bytes do not depend on the order of the methods.
pub(super) type Arrays<'a> = BTreeMap<String, Array<'a>>;

/// Key of the exponent that goes with the array `key`.
pub(super) fn exponent_key(key: &str) -> String {
    format!("{key}.scale_log2")
}

/// One array as npy, in C order.
pub(super) fn npy(array: &Array<'_>) -> Result<Vec<u8>, Failure> {
    let shape: Vec<u64> = array.shape.iter().map(|&extent| extent as u64).collect();
    match &array.values {
        Values::F32(values) => npy_of("<f4", &shape, values.iter().copied()),
        Values::F16(values) => npy_of("<f2", &shape, values.iter().copied()),
        Values::U8(values) => npy_of("|u1", &shape, values.iter().copied()),
    }
}

/// An exponent as npy: int32, shape ().
pub(super) fn exponent_npy(scale_log2: i32) -> Result<Vec<u8>, Failure> {
    npy_of("<i4", &[], std::iter::once(scale_log2))
}

fn npy_of<T: npyz::Serialize>(
    type_text: &str,
    shape: &[u64],
    values: impl Iterator<Item = T>,
) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new()
        .dtype(npyz::DType::Plain(type_text.parse()?))
        .shape(shape)
        .writer(&mut bytes)
        .begin_nd()?;
    writer.extend(values)?;
    writer.finish()?;
    Ok(bytes)
}

/// How entries of npz files are stored: as they are, since explanations hardly compress, and with a fixed time, so that
/// equal arrays make equal files.
pub(super) fn entry_options() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644)
}

/// All arrays as npz.
pub(super) fn npz(arrays: &Arrays<'_>) -> Result<Vec<u8>, Failure> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (key, array) in arrays {
        let exponent = exponent_npy(array.scale_log2)?;
        for (name, bytes) in [(key.clone(), npy(array)?), (exponent_key(key), exponent)] {
            archive.start_file(npyz::npz::file_name_from_array_name(&name), entry_options())?;
            archive.write_all(&bytes)?;
        }
    }
    Ok(archive.finish()?.into_inner())
}

/// Reads those of the arrays `keys` that are in an npz file that [`npz`] wrote.
pub(super) fn read_npz(bytes: &[u8], keys: &[String]) -> Result<Arrays<'static>, Failure> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))?;
    let present: HashSet<String> =
        archive.file_names().map(|name| Ok(name?.into_owned())).collect::<Result<_, Failure>>()?;
    let mut entry = |name: &str| -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        archive.by_name(&npyz::npz::file_name_from_array_name(name))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let mut arrays = Arrays::new();
    for key in keys.iter().filter(|key| present.contains(&npyz::npz::file_name_from_array_name(key))) {
        let values = entry(key)?;
        let reader = NpyFile::new(values.as_slice())?;
        let shape = shape_of(reader.shape())?;
        let element = reader.dtype().descr();
        let bytes = match element.as_str() {
            "'|u1'" => 1,
            "'<f2'" => 2,
            _ => 4,
        };
        // Checked first: the header's word alone must not decide how much memory is taken.
        if reader.len().checked_mul(bytes).is_none_or(|expected| expected > values.len() as u64) {
            return Err(format!("the array {key} is cut short").into());
        }
        let values = match bytes {
            1 => Values::U8(reader.into_vec::<u8>()?.into()),
            2 => Values::F16(reader.into_vec::<f16>()?.into()),
            _ => Values::F32(reader.into_vec::<f32>()?.into()),
        };
        let exponent = NpyFile::new(entry(&exponent_key(key))?.as_slice())?.into_vec::<i32>()?;
        let &[scale_log2] = exponent.as_slice() else {
            return Err(format!("{key} has no exponent").into());
        };
        arrays.insert(key.clone(), Array { shape, values, scale_log2 });
    }
    Ok(arrays)
}

/// All arrays as safetensors, with I32 exponents of shape () beside them.
pub(super) fn safetensors(arrays: &Arrays<'_>) -> Result<Vec<u8>, Failure> {
    let encoded: Vec<_> = arrays
        .iter()
        .map(|(key, array)| (key, array, array.values.to_le_bytes(), array.scale_log2.to_le_bytes()))
        .collect();
    let mut tensors = Vec::new();
    for (key, array, values, exponent) in &encoded {
        let view = TensorView::new(array.values.dtype(), array.shape.clone(), values)?;
        tensors.push(((*key).clone(), view));
        tensors.push((exponent_key(key), TensorView::new(Dtype::I32, Vec::new(), exponent)?));
    }
    Ok(safetensors::serialize(tensors, None)?)
}

/// Reads those of the arrays `keys` that are in a safetensors file that [`safetensors`] wrote.
pub(super) fn read_safetensors(bytes: &[u8], keys: &[String]) -> Result<Arrays<'static>, Failure> {
    let file = SafeTensors::deserialize(bytes)?;
    let present: HashSet<&str> = file.names().into_iter().collect();
    let mut arrays = Arrays::new();
    for key in keys.iter().filter(|key| present.contains(key.as_str())) {
        let tensor = file.tensor(key)?;
        let extents: Vec<u64> = tensor.shape().iter().map(|&extent| extent as u64).collect();
        let shape = shape_of(&extents)?;
        let words = |bytes: &[u8]| bytes.as_chunks::<4>().0.to_vec();
        let values = match tensor.dtype() {
            Dtype::F32 => Values::F32(words(tensor.data()).into_iter().map(f32::from_le_bytes).collect()),
            Dtype::F16 => {
                let halves = tensor.data().as_chunks::<2>().0;
                Values::F16(halves.iter().map(|&half| f16::from_le_bytes(half)).collect())
            }
            Dtype::U8 => Values::U8(tensor.data().to_vec().into()),
            other => return Err(format!("{key} is {other}, not F32, F16 or U8").into()),
        };
        let exponent = file.tensor(&exponent_key(key))?;
        let &[scale_log2] = words(exponent.data()).as_slice() else {
            return Err(format!("{key} has no exponent").into());
        };
        if exponent.dtype() != Dtype::I32 {
            return Err(format!("the exponent of {key} is {}, not I32", exponent.dtype()).into());
        }
        let scale_log2 = i32::from_le_bytes(scale_log2);
        arrays.insert(key.clone(), Array { shape, values, scale_log2 });
    }
    Ok(arrays)
}

fn shape_of(shape: &[u64]) -> Result<Vec<usize>, Failure> {
    match shape {
        [3, _, _] | [_, _] => {
            Ok(shape.iter().map(|&extent| usize::try_from(extent)).collect::<Result<_, _>>()?)
        }
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("shape {shape:?} is neither (3, H, W) nor (H, W)"),
        )
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrays() -> Arrays<'static> {
        let array = |values: [f32; 6], scale_log2| Array {
            shape: vec![3, 1, 2],
            values: Values::F32(values.to_vec().into()),
            scale_log2,
        };
        let halves = [1.0, -2.5, 6e-8, 65504.0].map(f16::from_f32).to_vec();
        let halves = Array { shape: vec![2, 2], values: Values::F16(halves.into()), scale_log2: 9 };
        let levels =
            Array { shape: vec![1, 3], values: Values::U8(vec![1, 128, 255].into()), scale_log2: -200 };
        Arrays::from([
            ("attribution-filter".to_owned(), halves),
            ("patternnet".to_owned(), array([1.0, -2.5, 1e-42, f32::MAX, -0.0, 7.0], 140)),
            ("pattern-attribution".to_owned(), levels),
            ("signal-linear".to_owned(), array([0.0; 6], -3)),
        ])
    }

    #[test]
    fn containers_give_back_what_they_took() {
        let arrays = arrays();
        let keys: Vec<_> = arrays.keys().cloned().collect();
        assert_eq!(read_npz(&npz(&arrays).unwrap(), &keys).unwrap(), arrays);
        assert_eq!(read_safetensors(&safetensors(&arrays).unwrap(), &keys).unwrap(), arrays);
        let second = read_npz(&npz(&arrays).unwrap(), &keys[3..]).unwrap();
        assert_eq!(second.keys().collect::<Vec<_>>(), ["signal-linear"]);
    }

    #[test]
    fn equal_arrays_make_equal_bytes() {
        assert_eq!(npz(&arrays()).unwrap(), npz(&arrays()).unwrap());
        assert_eq!(safetensors(&arrays()).unwrap(), safetensors(&arrays()).unwrap());
    }

    #[test]
    fn damaged_containers_are_errors() {
        let arrays = arrays();
        let keys: Vec<_> = arrays.keys().cloned().collect();
        for (bytes, read) in [
            (npz(&arrays).unwrap(), read_npz as fn(&[u8], &[String]) -> Result<Arrays<'static>, Failure>),
            (safetensors(&arrays).unwrap(), read_safetensors),
        ] {
            assert!(read(&bytes, &["gradient".to_owned()]).unwrap().is_empty());
            for length in 0..bytes.len() {
                assert!(read(&bytes[..length], &keys).is_err(), "cut to {length} bytes");
            }
        }
    }

    #[test]
    fn npy_is_what_numpy_documents() {
        let bytes = npy(&arrays()["patternnet"]).unwrap();
        let header = String::from_utf8_lossy(&bytes[..bytes.len() - 24]);
        assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"));
        for part in ["'descr': '<f4'", "'fortran_order': False", "'shape': (3, 1, 2"] {
            assert!(header.contains(part), "{part} in {header}");
        }
        assert_eq!(
            bytes[bytes.len() - 24..][..8],
            [0, 0, 128, 63, 0, 0, 32, 192],
            "1.0 and -2.5, little-endian"
        );
    }
}

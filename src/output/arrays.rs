//! Explanations as array files.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, Cursor, Read, Write};

use npyz::{NpyFile, WriterBuilder};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// A failure of an encoder or decoder, in its own words.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One method's array: values of shape (3, height, width) and their power of two.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array<'a> {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) values: Cow<'a, [f32]>,
    pub(super) scale_log2: i32,
}

/// The arrays of a container file by key. Sorted, so that the bytes do not depend on the order of the methods.
pub(super) type Arrays<'a> = BTreeMap<String, Array<'a>>;

/// Key of the exponent that goes with the array `key`.
fn exponent_key(key: &str) -> String {
    format!("{key}.scale_log2")
}

/// One array as npy: float32, little-endian, C order, shape (3, height, width).
pub(super) fn npy(array: &Array<'_>) -> Result<Vec<u8>, Failure> {
    let shape = [3, array.height as u64, array.width as u64];
    npy_of("<f4", &shape, array.values.iter().copied())
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

/// All arrays as npz. Stored, since explanations hardly compress, and with a fixed time, so that equal arrays make
/// equal files.
pub(super) fn npz(arrays: &Arrays<'_>) -> Result<Vec<u8>, Failure> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (key, array) in arrays {
        let exponent = npy_of("<i4", &[], std::iter::once(array.scale_log2))?;
        for (name, bytes) in [(key.clone(), npy(array)?), (exponent_key(key), exponent)] {
            archive.start_file(npyz::npz::file_name_from_array_name(&name), options)?;
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
        let (height, width) = plane_of(reader.shape())?;
        // Checked first: the header's word alone must not decide how much memory is taken.
        if reader.len().checked_mul(4).is_none_or(|expected| expected > values.len() as u64) {
            return Err(format!("the array {key} is cut short").into());
        }
        let values = reader.into_vec::<f32>()?.into();
        let exponent = NpyFile::new(entry(&exponent_key(key))?.as_slice())?.into_vec::<i32>()?;
        let &[scale_log2] = exponent.as_slice() else {
            return Err(format!("{key} has no exponent").into());
        };
        arrays.insert(key.clone(), Array { height, width, values, scale_log2 });
    }
    Ok(arrays)
}

/// All arrays as safetensors: F32 tensors with I32 exponents of shape () beside them.
pub(super) fn safetensors(arrays: &Arrays<'_>) -> Result<Vec<u8>, Failure> {
    let encoded: Vec<_> = arrays
        .iter()
        .map(|(key, array)| {
            let bytes: Vec<u8> = array.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (key, array, bytes, array.scale_log2.to_le_bytes())
        })
        .collect();
    let mut tensors = Vec::new();
    for (key, array, values, exponent) in &encoded {
        let shape = vec![3, array.height, array.width];
        tensors.push(((*key).clone(), TensorView::new(Dtype::F32, shape, values)?));
        tensors.push((exponent_key(key), TensorView::new(Dtype::I32, Vec::new(), exponent)?));
    }
    Ok(safetensors::serialize(tensors, None)?)
}

/// Reads those of the arrays `keys` that are in a safetensors file that [`safetensors`] wrote.
pub(super) fn read_safetensors(bytes: &[u8], keys: &[String]) -> Result<Arrays<'static>, Failure> {
    let file = SafeTensors::deserialize(bytes)?;
    let words = |name: &str, dtype: Dtype| -> Result<(Vec<u64>, Vec<[u8; 4]>), Failure> {
        let tensor = file.tensor(name)?;
        if tensor.dtype() != dtype {
            return Err(format!("{name} is {}, not {dtype}", tensor.dtype()).into());
        }
        let shape = tensor.shape().iter().map(|&extent| extent as u64).collect();
        Ok((shape, tensor.data().as_chunks::<4>().0.to_vec()))
    };
    let present: HashSet<&str> = file.names().into_iter().collect();
    let mut arrays = Arrays::new();
    for key in keys.iter().filter(|key| present.contains(key.as_str())) {
        let (shape, values) = words(key, Dtype::F32)?;
        let (height, width) = plane_of(&shape)?;
        let values = values.into_iter().map(f32::from_le_bytes).collect();
        let (_, exponent) = words(&exponent_key(key), Dtype::I32)?;
        let &[scale_log2] = exponent.as_slice() else {
            return Err(format!("{key} has no exponent").into());
        };
        arrays
            .insert(key.clone(), Array { height, width, values, scale_log2: i32::from_le_bytes(scale_log2) });
    }
    Ok(arrays)
}

fn plane_of(shape: &[u64]) -> Result<(usize, usize), Failure> {
    match *shape {
        [3, height, width] => Ok((usize::try_from(height)?, usize::try_from(width)?)),
        _ => {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("shape {shape:?} is not (3, H, W)"))
                .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrays() -> Arrays<'static> {
        let array = |values: [f32; 6], scale_log2| Array {
            height: 1,
            width: 2,
            values: values.to_vec().into(),
            scale_log2,
        };
        Arrays::from([
            ("patternnet".to_owned(), array([1.0, -2.5, 1e-42, f32::MAX, -0.0, 7.0], 140)),
            ("signal-linear".to_owned(), array([0.0; 6], -3)),
        ])
    }

    #[test]
    fn containers_give_back_what_they_took() {
        let arrays = arrays();
        let keys: Vec<_> = arrays.keys().cloned().collect();
        assert_eq!(read_npz(&npz(&arrays).unwrap(), &keys).unwrap(), arrays);
        assert_eq!(read_safetensors(&safetensors(&arrays).unwrap(), &keys).unwrap(), arrays);
        let second = read_npz(&npz(&arrays).unwrap(), &keys[1..]).unwrap();
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

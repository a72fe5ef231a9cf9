//! One image's explanations as they go into a shard, made on any thread.

use std::path::Path;

use super::super::arrays::{self, Arrays};
use super::super::names::{method_key, relative_stem};
use super::super::picture;
use super::super::writer::arrays_of;
use super::super::{Explanation, Format, MethodFiles, OutputError};
use super::set::Layout;

/// The explanations of an image, ready to be appended to a shard.
#[derive(Debug)]
pub struct Encoded {
    /// What is written for each method.
    pub files: Vec<MethodFiles>,
    /// Members of the tar file: names and contents.
    pub(super) members: Vec<(String, Vec<u8>)>,
    /// Entries of the npz file.
    pub(super) entries: Vec<(String, Vec<u8>)>,
    /// Tensors of the safetensors file.
    pub(super) tensors: Vec<Tensor>,
}

/// A tensor of a safetensors file.
#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) dtype: safetensors::Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: Vec<u8>,
}

impl Encoded {
    /// Makes pictures and arrays of an image that is called `name` (relative, without extension) in the shard `stem`.
    pub(super) fn new(
        layout: &Layout,
        stem: &str,
        name: &Path,
        explanations: &[Explanation],
    ) -> Result<Self, OutputError> {
        let key = relative_stem(name)?;
        let only_drawn = layout.formats.iter().all(|&format| format == Format::Png);
        let arrays = arrays_of(explanations, layout.store, only_drawn)?;
        let mut encoded =
            Self { files: Vec::new(), members: Vec::new(), entries: Vec::new(), tensors: Vec::new() };
        for explanation in explanations {
            let method = method_key(&explanation.method)?;
            let file = |format: &Format| match format {
                Format::Png | Format::Npy => format!("{stem}.tar/{key}.{method}.{format}"),
                Format::Npz | Format::Safetensors => format!("{stem}.{format}"),
            };
            encoded.files.push(MethodFiles {
                method: explanation.method.clone(),
                scale_log2: arrays.get(&method).map_or(explanation.scale_log2, |array| array.scale_log2),
                files: layout.formats.iter().map(file).collect(),
            });
        }
        for format in &layout.formats {
            match format {
                Format::Png => encoded.draw(layout, &key, explanations)?,
                Format::Npy => {
                    for (method, array) in &arrays {
                        let name = format!("{key}.{method}.npy");
                        let bytes = arrays::npy(array).map_err(|failure| unencoded(&name, &failure))?;
                        encoded.members.push((name, bytes));
                    }
                }
                Format::Npz => encoded.add_entries(&key, &arrays)?,
                Format::Safetensors => encoded.add_tensors(&key, &arrays),
            }
        }
        Ok(encoded)
    }

    fn draw(&mut self, layout: &Layout, key: &str, explanations: &[Explanation]) -> Result<(), OutputError> {
        for explanation in explanations {
            let name = format!("{key}.{}.png", method_key(&explanation.method)?);
            let drawn = picture::picture(explanation, layout.gamma)?;
            let bytes = picture::png(&drawn).map_err(|failure| unencoded(&name, &failure))?;
            self.members.push((name, bytes));
        }
        Ok(())
    }

    fn add_entries(&mut self, key: &str, arrays: &Arrays) -> Result<(), OutputError> {
        for (method, array) in arrays {
            let name = format!("{key}.{method}");
            let failed = |failure: arrays::Failure| unencoded(&name, &failure);
            let values = arrays::npy(array).map_err(failed)?;
            let exponent = arrays::exponent_npy(array.scale_log2).map_err(failed)?;
            for (name, bytes) in [(name.clone(), values), (arrays::exponent_key(&name), exponent)] {
                self.entries.push((npyz::npz::file_name_from_array_name(&name), bytes));
            }
        }
        Ok(())
    }

    fn add_tensors(&mut self, key: &str, arrays: &Arrays) {
        for (method, array) in arrays {
            let name = format!("{key}.{method}");
            let exponent = Tensor {
                name: arrays::exponent_key(&name),
                dtype: safetensors::Dtype::I32,
                shape: Vec::new(),
                bytes: array.scale_log2.to_le_bytes().to_vec(),
            };
            let (dtype, shape) = (array.values.dtype(), array.shape.clone());
            let values = Tensor { name, dtype, shape, bytes: array.values.to_le_bytes() };
            self.tensors.extend([values, exponent]);
        }
    }
}

fn unencoded(name: &str, failure: &dyn std::fmt::Display) -> OutputError {
    OutputError::Encode { path: name.into(), reason: failure.to_string() }
}

//! Writing safetensors files whose bytes depend on nothing but their contents.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::tensor::ElementType;
use super::tensor_writer::{PlannedTensor, TensorWriter};

/// A tensor to write.
#[derive(Debug, Clone)]
pub struct NewTensor<'a> {
    /// Name in the file.
    pub name: String,
    /// Type of the elements.
    pub element: ElementType,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// The elements, row-major and little-endian.
    pub bytes: Cow<'a, [u8]>,
}

/// Writes a safetensors file: metadata sorted by key, tensors in the order given, data aligned to 64 bytes. The file
/// appears under its name only when it is complete, and replaces one that is there without disturbing programs that
/// have it mapped.
///
/// The safetensors crate's own writer keeps metadata in a hash map, so its bytes differ from run to run.
///
/// # Errors
/// When a name is used twice or is `__metadata__`, when a tensor's bytes are not those of its shape and type, and when
/// the file cannot be written.
pub fn write_tensors(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    tensors: &[NewTensor<'_>],
) -> io::Result<()> {
    let mut planned = Vec::with_capacity(tensors.len());
    for NewTensor { name, element, shape, bytes } in tensors {
        let tensor = PlannedTensor { name: name.clone(), dtype: element.dtype(), shape: shape.clone() };
        if tensor.bytes() != Some(bytes.len()) {
            return Err(tensor.refuse("its bytes are not those of its shape and type"));
        }
        planned.push(tensor);
    }
    let mut writer = TensorWriter::create(path, planned, metadata)?;
    for (index, tensor) in tensors.iter().enumerate() {
        writer.write(index, 0, &tensor.bytes)?;
    }
    writer.finish(metadata)
}

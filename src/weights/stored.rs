//! The elements of a layer's tensor: in a mapped file as they are, or made of several tensors of a file.

use super::error::WeightError;
use super::import::Bytes;
use super::tensor::{ElementType, Tensor};
use super::tensor_file::TensorFile;

/// A tensor under the shape that its layer has.
#[derive(Debug)]
pub(crate) struct Stored {
    name: String,
    element: ElementType,
    shape: Vec<usize>,
    file_shape: Vec<usize>,
    bytes: Bytes,
}

impl Stored {
    /// A tensor with as many elements as `shape` and `file_shape`, the file's own, say.
    pub(crate) fn new(
        name: String,
        element: ElementType,
        shape: Vec<usize>,
        file_shape: Vec<usize>,
        bytes: Bytes,
    ) -> Self {
        debug_assert_eq!(bytes.len(), element.size() * shape.iter().product::<usize>());
        Self { name, element, shape, file_shape, bytes }
    }

    /// Looks a tensor up in a safetensors file; `None` if the file has none of this name.
    pub(crate) fn find(
        file: &TensorFile,
        name: &str,
        shape: Vec<usize>,
    ) -> Option<Result<Self, WeightError>> {
        let entry = file.entry(name)?;
        Some(file.element(name, entry).map(|element| Self {
            name: name.to_owned(),
            element,
            shape,
            file_shape: entry.shape.clone(),
            bytes: file.shared(entry),
        }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The shape that the file states.
    pub(crate) fn file_shape(&self) -> &[usize] {
        &self.file_shape
    }

    pub(crate) fn tensor(&self) -> Tensor<'_> {
        Tensor::new(&self.name, self.element, &self.shape, &self.bytes)
    }
}

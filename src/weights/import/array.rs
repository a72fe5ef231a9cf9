//! An array of numbers as a file has it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;

use super::super::error::{WeightProblem, shape_text};
use super::super::tensor::ElementType;
use crate::parallel;

/// Elements looked at as one piece of work.
const SCANNED: usize = 1 << 14;

/// An array of a file: its shape is known, its elements may not have been read yet.
///
/// What a network is made of is decided by shapes alone, so that nothing large is read or unpacked for a file that will be
/// refused.
pub(crate) struct Array {
    name: String,
    element: ElementType,
    shape: Vec<usize>,
    data: Data,
}

/// Where the elements are: row-major, little-endian, without gaps.
enum Data {
    Mapped { map: Arc<Mmap>, range: Range<usize> },
    Owned(Vec<u8>),
    Deferred(Box<dyn FnOnce() -> Result<Vec<u8>, WeightProblem> + Send>),
}

/// The elements of an array.
#[derive(Debug)]
pub(crate) enum Bytes {
    /// In the file.
    Mapped {
        /// The file.
        map: Arc<Mmap>,
        /// Within the file.
        range: Range<usize>,
    },
    /// In memory.
    Owned(Vec<u8>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped { map, range } => &map[range.clone()],
            Self::Owned(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.data {
            Data::Mapped { range, .. } => format!("{range:?}"),
            Data::Owned(_) => "in memory".to_owned(),
            Data::Deferred(_) => "not read yet".to_owned(),
        };
        write!(formatter, "{} {} {:?} {place}", self.name, self.element, self.shape)
    }
}

impl Array {
    /// An array whose elements lie in a mapped file as they are needed.
    ///
    /// # Errors
    /// When the range is not within the file, or its length is not that of the shape.
    pub(crate) fn mapped(
        name: impl Into<String>,
        element: ElementType,
        shape: Vec<usize>,
        map: Arc<Mmap>,
        range: Range<usize>,
    ) -> Result<Self, WeightProblem> {
        let name = name.into();
        let bytes = bytes(&name, element, &shape)?;
        if map.get(range.clone()).is_none_or(|data| data.len() != bytes) {
            return Err(WeightProblem::Damaged(format!(
                "tensor {name} of shape {} needs {bytes} bytes, and the file has {} there",
                shape_text(&shape),
                map.get(range).map_or(0, <[u8]>::len),
            )));
        }
        Ok(Self { name, element, shape, data: Data::Mapped { map, range } })
    }

    /// An array whose elements are read, unpacked or converted when they are needed. `read` returns all of them,
    /// row-major and little-endian; it must not allocate more than that and what the file holds before it has checked.
    ///
    /// # Errors
    /// When the shape has more elements than can be addressed.
    pub(crate) fn deferred(
        name: impl Into<String>,
        element: ElementType,
        shape: Vec<usize>,
        read: impl FnOnce() -> Result<Vec<u8>, WeightProblem> + Send + 'static,
    ) -> Result<Self, WeightProblem> {
        let name = name.into();
        bytes(&name, element, &shape)?;
        Ok(Self { name, element, shape, data: Data::Deferred(Box::new(read)) })
    }

    /// The name in the file.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn element(&self) -> ElementType {
        self.element
    }

    /// Extents in the file's order, outermost first.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        // Checked when it was made.
        self.shape.iter().product()
    }

    /// Reads the elements.
    ///
    /// # Errors
    /// When they cannot be read or unpacked.
    pub(crate) fn into_bytes(self) -> Result<Bytes, WeightProblem> {
        match self.data {
            Data::Mapped { map, range } => Ok(Bytes::Mapped { map, range }),
            Data::Owned(bytes) => Ok(Bytes::Owned(bytes)),
            Data::Deferred(read) => {
                let (found, expected) = (read()?, bytes(&self.name, self.element, &self.shape)?);
                if found.len() != expected {
                    return Err(WeightProblem::Damaged(format!(
                        "tensor {} of shape {} needs {expected} bytes, and the file has {}",
                        self.name,
                        shape_text(&self.shape),
                        found.len()
                    )));
                }
                Ok(Bytes::Owned(found))
            }
        }
    }

    /// Itself again, and whether every element is NaN and there is one; reads no further than the first that is a number.
    ///
    /// # Errors
    /// As [`Array::into_bytes`].
    pub(crate) fn look_for_numbers(self) -> Result<(Self, bool), WeightProblem> {
        let Self { name, element, shape, .. } = &self;
        let (name, element, shape) = (name.clone(), *element, shape.clone());
        let bytes = self.into_bytes()?;
        let pieces = bytes.chunks(SCANNED * element.size());
        let has_number = |piece: &[u8]| element.decode(piece).iter().any(|value| !value.is_nan());
        let undefined = !bytes.is_empty()
            && parallel::find_first(pieces, |piece| has_number(piece).then_some(())).is_none();
        let data = match bytes {
            Bytes::Mapped { map, range } => Data::Mapped { map, range },
            Bytes::Owned(bytes) => Data::Owned(bytes),
        };
        Ok((Self { name, element, shape, data }, undefined))
    }

    /// All elements as float64, for the short vectors of biases and batch normalisation.
    ///
    /// # Errors
    /// As [`Array::into_bytes`].
    pub(crate) fn into_float64(self) -> Result<Vec<f64>, WeightProblem> {
        let element = self.element;
        let bytes = self.into_bytes()?;
        Ok(element.decode(&bytes).into_iter().map(f64::from).collect())
    }
}

/// Bytes of an array of this shape.
fn bytes(name: &str, element: ElementType, shape: &[usize]) -> Result<usize, WeightProblem> {
    shape
        .iter()
        .try_fold(element.size(), |bytes, &extent| bytes.checked_mul(extent))
        .filter(|&bytes| bytes <= isize::MAX as usize)
        .ok_or_else(|| {
            WeightProblem::Damaged(format!(
                "tensor {name} has shape {}: more elements than can be addressed",
                shape_text(shape)
            ))
        })
}

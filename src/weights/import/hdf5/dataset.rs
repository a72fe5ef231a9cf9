//! Arrays of numbers.

use hdf5_reader::messages::HdfMessage;
use hdf5_reader::{ByteOrder, Datatype};

use super::super::super::error::WeightProblem;
use super::super::super::tensor::ElementType;
use super::super::array::Array;
use super::file::File;
use super::problem;

/// A dataset of a file.
pub(in super::super) struct Dataset<'a> {
    file: &'a File,
    inner: hdf5_reader::Dataset,
}

/// How the numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// As [`Array`] has them.
    Plain(ElementType),
    /// With the most significant byte first.
    BigEndian(ElementType),
    /// 64-bit, rounded to 32.
    Double(ByteOrder),
}

impl<'a> Dataset<'a> {
    pub(super) fn new(file: &'a File, inner: hdf5_reader::Dataset) -> Self {
        Self { file, inner }
    }

    /// Extents, outermost first.
    pub(in super::super) fn shape(&self) -> Vec<usize> {
        self.inner.shape().iter().map(|&extent| usize::try_from(extent).unwrap_or(usize::MAX)).collect()
    }

    /// An array of it, named `name`: in the file where it lies there in one piece, else read and unpacked when needed.
    /// Numbers of 64 bits are rounded to 32.
    ///
    /// # Errors
    /// When its elements are no floating-point numbers of a known kind, are in another file or nowhere, or are more than the
    /// file can reasonably have.
    pub(in super::super) fn into_array(self, name: &str) -> Result<Array, WeightProblem> {
        let encoding = self.encoding(name)?;
        let element = match encoding {
            Encoding::Plain(element) | Encoding::BigEndian(element) => element,
            Encoding::Double(_) => ElementType::F32,
        };
        let shape = self.shape();
        let size = self.inner.raw_byte_len().map_err(problem)?;
        let what = || format!("tensor {name} has {size} bytes, too many for a file of its size");
        self.file.numbers().spend(size as u64, what).map_err(problem)?;
        match (encoding, self.contiguous(name)?, self.file.place()) {
            (Encoding::Plain(_), Some(address), Some((map, base))) => {
                let range = usize::try_from(address)
                    .ok()
                    .and_then(|address| {
                        let start = base.checked_add(address)?;
                        Some(start..start.checked_add(size)?)
                    })
                    .ok_or_else(|| {
                        WeightProblem::Damaged(format!("tensor {name} lies outside of the file"))
                    })?;
                Array::mapped(name, element, shape, map.clone(), range)
            }
            _ => {
                let dataset = self.inner;
                Array::deferred(name, element, shape, move || {
                    dataset.read_raw_bytes().map(|bytes| encoding.decode(bytes)).map_err(problem)
                })
            }
        }
    }

    /// The address of the numbers, if they lie in one piece and are neither packed nor elsewhere.
    fn contiguous(&self, name: &str) -> Result<Option<u64>, WeightProblem> {
        use hdf5_reader::messages::layout::DataLayout;
        let header = self.file.header(self.inner.address())?;
        let mut address = None;
        for message in &header.messages {
            match message {
                HdfMessage::DataLayout(message) => {
                    if let DataLayout::Contiguous { address: found, .. } = message.layout {
                        address = Some(found);
                    }
                }
                HdfMessage::ExternalFiles(_) => {
                    return Err(WeightProblem::Harmful(format!(
                        "the numbers of tensor {name} are in another file"
                    )));
                }
                _ => {}
            }
        }
        // All bits set: nothing was ever written.
        if address == Some(u64::MAX) || address == Some(u64::from(u32::MAX)) {
            return Err(WeightProblem::Damaged(format!("tensor {name} has no numbers")));
        }
        Ok(address)
    }

    fn encoding(&self, name: &str) -> Result<Encoding, WeightProblem> {
        let unknown = |found: String| WeightProblem::ElementType { tensor: name.to_owned(), found };
        let Datatype::FloatingPoint { byte_order, .. } = *self.inner.dtype() else {
            return Err(unknown(kind(self.inner.dtype()).to_owned()));
        };
        // HDF5's description of a floating-point number: size and offset in bits, then place and size of the exponent,
        // place and size of the mantissa, and the exponent's bias.
        let raw = self.inner.raw_datatype().map_err(problem)?;
        let properties: Option<&[u8; 12]> = raw.get(8..20).and_then(|properties| properties.try_into().ok());
        let element = match properties {
            Some([0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0]) => Some(ElementType::F32),
            Some([0, 0, 16, 0, 10, 5, 0, 10, 15, 0, 0, 0]) => Some(ElementType::F16),
            Some([0, 0, 16, 0, 7, 8, 0, 7, 127, 0, 0, 0]) => Some(ElementType::Bf16),
            Some([0, 0, 64, 0, 52, 11, 0, 52, 255, 3, 0, 0]) => None,
            _ => return Err(unknown("a floating-point number of its own kind".to_owned())),
        };
        Ok(match (element, byte_order) {
            (Some(element), ByteOrder::LittleEndian) => Encoding::Plain(element),
            (Some(element), ByteOrder::BigEndian) => Encoding::BigEndian(element),
            (None, order) => Encoding::Double(order),
        })
    }
}

impl Encoding {
    fn decode(self, mut bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Plain(_) => bytes,
            Self::BigEndian(element) => {
                bytes.chunks_exact_mut(element.size()).for_each(<[u8]>::reverse);
                bytes
            }
            Self::Double(order) => {
                let (numbers, _) = bytes.as_chunks::<8>();
                numbers
                    .iter()
                    .flat_map(|&number| {
                        let number = match order {
                            ByteOrder::LittleEndian => f64::from_le_bytes(number),
                            ByteOrder::BigEndian => f64::from_be_bytes(number),
                        };
                        (number as f32).to_le_bytes()
                    })
                    .collect()
            }
        }
    }
}

/// What a type of element is called.
fn kind(datatype: &Datatype) -> &'static str {
    match datatype {
        Datatype::FixedPoint { .. } => "integer",
        Datatype::FloatingPoint { .. } => "floating-point number",
        Datatype::String { .. } => "text",
        Datatype::Compound { .. } => "compound",
        Datatype::Array { .. } => "array",
        Datatype::Enum { .. } => "enumeration",
        Datatype::VarLen { .. } => "list",
        Datatype::Opaque { .. } => "opaque bytes",
        Datatype::Reference { .. } => "reference",
        Datatype::Bitfield { .. } => "bits",
    }
}

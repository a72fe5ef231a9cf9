//! Tensors of an ONNX file: where their elements are, and how they are stored.

use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;

use super::external::{External, Folder};
use super::kind::Kind;
use super::model::read_entry;
use super::wire::{Message, Value};
use super::{damaged, harmful};
use crate::weights::import::Array;
use crate::weights::import::strided::round_to_float32;
use crate::weights::{WeightProblem, shape_text};

/// Most extents of a tensor.
const MOST_EXTENTS: usize = 16;

/// A tensor that has not been read yet.
#[derive(Debug, Clone)]
pub(super) struct Tensor<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    pub(super) shape: Vec<usize>,
    place: Place<'a>,
}

/// Where the elements are.
#[derive(Debug, Clone)]
enum Place<'a> {
    /// Little-endian, row-major, in the model's file.
    Raw(Message<'a>),
    /// In the fields `float_data`, `int32_data`, `int64_data` or `double_data` of this message.
    Fields(Message<'a>),
    /// In a file beside the model.
    External(External<'a>),
}

impl<'a> Tensor<'a> {
    pub(super) fn read(message: Message<'a>) -> Result<Self, WeightProblem> {
        let (mut name, mut kind, mut raw, mut is_external) = ("", 0, None, false);
        let (mut dims, mut external) = (Vec::new(), External::default());
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => field.integers(&mut dims, MOST_EXTENTS)?,
                2 => kind = field.integer()?,
                3 => return Err(damaged("a tensor is stored in segments, which no program writes")),
                8 => name = field.text()?,
                9 => raw = Some(field.message()?),
                13 => {
                    let (key, value) = read_entry(field.message()?)?;
                    external.entry(key, value)?;
                }
                14 => is_external = field.integer()? == 1,
                _ => {}
            }
        }
        let shape = dims.iter().map(|&extent| usize::try_from(extent)).collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| damaged(format!("tensor {name} has a negative extent: {dims:?}")))?;
        let place = match raw {
            _ if is_external => Place::External(external),
            Some(raw) => Place::Raw(raw),
            None => Place::Fields(message),
        };
        let tensor = Self { name, kind: Kind::of(kind), shape, place };
        tensor.len()?;
        Ok(tensor)
    }

    /// Number of elements.
    pub(super) fn len(&self) -> Result<usize, WeightProblem> {
        let len = self.shape.iter().try_fold(1usize, |len, &extent| len.checked_mul(extent));
        len.filter(|&len| len <= isize::MAX as usize / 8).ok_or_else(|| {
            damaged(format!(
                "tensor {} has shape {}: more elements than can be addressed",
                self.name,
                shape_text(&self.shape)
            ))
        })
    }

    fn unsupported(&self) -> WeightProblem {
        WeightProblem::ElementType { tensor: self.name.to_owned(), found: self.kind.name() }
    }

    /// The same elements under another shape and name, to be read when they are needed.
    ///
    /// # Errors
    /// When the elements are no floating-point numbers, or are not where the file says.
    pub(super) fn array(
        &self,
        name: &str,
        shape: Vec<usize>,
        folder: &Folder,
    ) -> Result<Array, WeightProblem> {
        let kind = self.kind;
        let element = kind.element().ok_or_else(|| self.unsupported())?;
        let (map, range) = match &self.place {
            Place::Raw(raw) => (folder.model(), raw.range()),
            Place::External(external) => folder.locate(external, self.name)?,
            Place::Fields(fields) => match self.packed(*fields)? {
                Some(packed) => (folder.model(), packed),
                None => {
                    let (map, range, wanted) = (folder.model(), fields.range(), self.len()?);
                    return Array::deferred(name, element, shape, move || {
                        gather(Message::new(&map, range), kind, wanted).map(|bytes| narrow(kind, bytes))
                    });
                }
            },
        };
        if kind == Kind::Float64 {
            let wanted = self.bytes()?;
            self.check_length(wanted, range.len())?;
            return Array::deferred(name, element, shape, move || {
                Ok(narrow(kind, map.get(range).unwrap_or_default().to_vec()))
            });
        }
        Array::mapped(name, element, shape, map, range)
    }

    /// Where float32 numbers lie in one piece, as every library writes `float_data`.
    fn packed(&self, fields: Message<'_>) -> Result<Option<Range<usize>>, WeightProblem> {
        if self.kind != Kind::Float32 {
            return Ok(None);
        }
        let mut packed = None;
        for field in fields.fields() {
            let field = field?;
            match (field.number, field.value) {
                (4, Value::Bytes(bytes)) if packed.is_none() => packed = Some(bytes.range()),
                (4, _) => return Ok(None),
                _ => {}
            }
        }
        Ok(packed)
    }

    fn bytes(&self) -> Result<usize, WeightProblem> {
        // `len` leaves room for the largest element.
        Ok(self.len()? * self.kind.size())
    }

    fn check_length(&self, wanted: usize, found: usize) -> Result<(), WeightProblem> {
        if wanted == found {
            return Ok(());
        }
        Err(damaged(format!(
            "tensor {} of shape {} needs {wanted} bytes, and the file has {found}",
            self.name,
            shape_text(&self.shape)
        )))
    }

    /// Copies the elements, at most `most` of them, little-endian and row-major.
    fn copy(&self, folder: &Folder, most: usize) -> Result<Vec<u8>, WeightProblem> {
        let len = self.len()?;
        if len > most {
            return Err(harmful(format!(
                "tensor {} has {len} elements where at most {most} make sense",
                self.name
            )));
        }
        folder.count_copied(len)?;
        let copied = |map: Arc<Mmap>, range: Range<usize>| {
            self.check_length(self.bytes()?, range.len())?;
            Ok::<_, WeightProblem>(map.get(range).unwrap_or_default().to_vec())
        };
        let bytes = match &self.place {
            Place::Raw(raw) => copied(folder.model(), raw.range())?,
            Place::External(external) => {
                let (map, range) = folder.locate(external, self.name)?;
                copied(map, range)?
            }
            Place::Fields(fields) => gather(*fields, self.kind, len)?,
        };
        self.check_length(self.bytes()?, bytes.len())?;
        Ok(bytes)
    }

    /// All elements as float64.
    pub(super) fn float64(&self, folder: &Folder, most: usize) -> Result<Vec<f64>, WeightProblem> {
        if matches!(self.kind, Kind::Other(_)) {
            return Err(self.unsupported());
        }
        Ok(self.kind.decode(&self.copy(folder, most)?))
    }

    /// All elements of a tensor of integers.
    pub(super) fn int64(&self, folder: &Folder, most: usize) -> Result<Vec<i64>, WeightProblem> {
        let bytes = match self.kind {
            Kind::Int32 | Kind::Int64 => self.copy(folder, most)?,
            _ => return Err(self.unsupported()),
        };
        Ok(match self.kind {
            Kind::Int32 => {
                bytes.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes).into()).collect()
            }
            _ => bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
        })
    }
}

/// Float64 as float32; others as they are.
fn narrow(kind: Kind, bytes: Vec<u8>) -> Vec<u8> {
    match kind {
        Kind::Float64 => round_to_float32(&bytes),
        _ => bytes,
    }
}

/// The elements of the typed fields, as `raw_data` would have them; at most `wanted`, and one more where there are more. What is
/// allocated grows with what the file holds: every element takes a byte there at least.
fn gather(fields: Message<'_>, kind: Kind, wanted: usize) -> Result<Vec<u8>, WeightProblem> {
    let most = wanted.saturating_mul(kind.size());
    let number = match kind {
        Kind::Float32 => 4,
        Kind::Float16 | Kind::Bfloat16 | Kind::Int32 | Kind::Bool => 5,
        Kind::Int64 | Kind::Other(_) => 7,
        Kind::Float64 => 10,
    };
    let mut bytes = Vec::new();
    let mut integers = Vec::new();
    for field in fields.fields() {
        let field = field?;
        if field.number != number {
            continue;
        }
        if matches!(kind, Kind::Float32 | Kind::Float64) {
            let room = most.saturating_add(1) - bytes.len().min(most);
            field.fixed(&mut |more| bytes.extend_from_slice(more.get(..room).unwrap_or(more)))?;
            if bytes.len() > most {
                break;
            }
            continue;
        }
        integers.clear();
        field.integers(&mut integers, wanted - (bytes.len() / kind.size()).min(wanted))?;
        for &integer in &integers {
            // Half-precision numbers are stored as the integers that their bits make.
            match kind {
                Kind::Float16 | Kind::Bfloat16 => bytes.extend_from_slice(&(integer as u16).to_le_bytes()),
                Kind::Bool => bytes.push(u8::from(integer != 0)),
                Kind::Int32 => bytes.extend_from_slice(&(integer as i32).to_le_bytes()),
                _ => bytes.extend_from_slice(&integer.to_le_bytes()),
            }
        }
    }
    Ok(bytes)
}

//! Tensors of a pickle as arrays.

use super::super::super::error::{WeightProblem, shape_text};
use super::super::array::Array;
use super::super::strided::{gather, is_contiguous, last, round_to_float32};
use super::number::Number;
use super::pickle::Tensor;
use super::storages::{Place, Storages};

/// How many times larger than its file the copied tensors may be: a storage can have any number of transposed views.
const LARGEST_RATIO: usize = 64;

/// Bytes that may be copied of any file.
const COPIES: usize = 1 << 20;

/// Bytes that may be unpacked of any file.
const UNPACKED: usize = 1 << 26;

/// Makes arrays of tensors: views of the file where the numbers lie in order, copies on demand otherwise.
pub(super) struct Arrays<'a> {
    storages: &'a Storages,
    /// Bytes of copies.
    copied: usize,
    /// Bytes of storages that are unpacked for them, one after the other.
    unpacked: usize,
}

impl<'a> Arrays<'a> {
    pub(super) fn new(storages: &'a Storages) -> Self {
        Self { storages, copied: 0, unpacked: 0 }
    }

    /// The array of a tensor; `key` is its storage's name.
    ///
    /// # Errors
    /// When its elements are of another type than weights have, or are not all in the file.
    pub(super) fn array(&mut self, name: &str, tensor: &Tensor, key: &str) -> Result<Array, WeightProblem> {
        let number = tensor.number;
        let element = number.element().ok_or_else(|| WeightProblem::ElementType {
            tensor: name.to_owned(),
            found: number.name().to_owned(),
        })?;
        let damaged = |what: String| WeightProblem::Damaged(format!("tensor {name}: {what}"));
        let shape = &tensor.shape;
        let count = shape
            .iter()
            .try_fold(1_usize, |count, &extent| count.checked_mul(extent))
            .ok_or_else(|| damaged(format!("its shape {} is too large", shape_text(shape))))?;
        let place = self.storages.find(key)?;
        if count == 0 {
            return Array::deferred(name, element, shape.clone(), || Ok(Vec::new()));
        }

        // In elements of the tensor's type, within the named storage.
        let held = place.len() / number.size();
        let start = tensor.storage.start.checked_add(tensor.offset);
        let end = last(shape, &tensor.strides)
            .and_then(|last| last.checked_add(1)?.checked_add(start?))
            .filter(|&end| end <= held);
        let (Some(start), Some(end)) = (start, end) else {
            return Err(damaged(format!(
                "shape {} with strides {} from element {} is not within storage {key} of {held}",
                shape_text(shape),
                shape_text(&tensor.strides),
                tensor.offset
            )));
        };
        if count > end - start {
            return Err(WeightProblem::Harmful(format!(
                "tensor {name} of shape {} uses elements of its storage more than once",
                shape_text(shape)
            )));
        }
        let range = start * number.size()..end * number.size();
        let contiguous = is_contiguous(shape, &tensor.strides);
        let (place, shape, strides) = match place {
            Place::Mapped(map, stored) if contiguous && number != Number::Float64 => {
                let range = stored.start + range.start..stored.start + range.end;
                return Array::mapped(name, element, shape.clone(), map, range);
            }
            place => (place, shape.clone(), tensor.strides.clone()),
        };
        self.count(name, count * number.size(), &place)?;
        Array::deferred(name, element, shape.clone(), move || {
            let unpacked;
            let bytes = match &place {
                Place::Mapped(map, stored) => map.get(stored.clone()),
                Place::Packed(archive, entry) => {
                    unpacked = archive.read(entry)?;
                    Some(unpacked.as_slice())
                }
            };
            let copy = bytes
                .and_then(|bytes| bytes.get(range))
                .and_then(|bytes| gather(bytes, number.size(), &shape, &strides))
                .ok_or_else(|| WeightProblem::Damaged("a tensor is not within its storage".to_owned()))?;
            Ok(if number == Number::Float64 { round_to_float32(&copy) } else { copy })
        })
    }

    /// Counts a copy, and what is unpacked for it.
    fn count(&mut self, name: &str, bytes: usize, place: &Place) -> Result<(), WeightProblem> {
        self.copied = self.copied.saturating_add(bytes);
        if matches!(place, Place::Packed(..)) {
            self.unpacked = self.unpacked.saturating_add(place.len());
        }
        let limit = LARGEST_RATIO.saturating_mul(self.storages.file_bytes());
        if self.copied > limit.max(COPIES) || self.unpacked > limit.max(UNPACKED) {
            return Err(WeightProblem::Harmful(format!(
                "the tensors up to {name} are copies of the same storages, more than {LARGEST_RATIO} times the file"
            )));
        }
        Ok(())
    }
}

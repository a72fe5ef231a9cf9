//! Protocol Buffers' wire format, read field by field where it lies.
//!
//! Own code, because libraries build all messages of a file before anyone can count them: an empty node is two bytes there
//! and more than a hundred in memory. The format is four kinds of fields (<https://protobuf.dev/programming-guides/encoding>).
//! Nothing is copied, and nothing calls itself: sub-messages are read when somebody asks for them.

use std::ops::Range;

use super::damaged;
use crate::weights::WeightProblem;

/// A message, a text or packed numbers: bytes of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    file: &'a [u8],
    start: usize,
    end: usize,
}

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    /// Which one; the format's description names them.
    pub(super) number: u32,
    /// What it holds.
    pub(super) value: Value<'a>,
}

/// What a field holds, as far as the wire tells.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    /// An integer of any width, an enumeration or a truth value.
    Varint(u64),
    /// A float64, or an integer of 64 bits.
    Fixed64([u8; 8]),
    /// A float32, or an integer of 32 bits.
    Fixed32([u8; 4]),
    /// A text, a message, or packed numbers.
    Bytes(Message<'a>),
}

impl<'a> Message<'a> {
    /// These bytes of the file; none where they are not within it.
    pub(super) fn new(file: &'a [u8], range: Range<usize>) -> Self {
        let end = range.end.min(file.len());
        Self { file, start: range.start.min(end), end }
    }

    /// Where it lies in the file.
    pub(super) fn range(self) -> Range<usize> {
        self.start..self.end
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        &self.file[self.start..self.end]
    }

    /// The fields, in the file's order.
    pub(super) fn fields(self) -> Fields<'a> {
        Fields { rest: self }
    }

    pub(super) fn text(self) -> Result<&'a str, WeightProblem> {
        std::str::from_utf8(self.bytes()).map_err(|_| damaged("a text is not UTF-8"))
    }

    fn take(&mut self, count: u64) -> Result<Self, WeightProblem> {
        let left = self.end - self.start;
        match usize::try_from(count) {
            Ok(count) if count <= left => {
                let taken = Self { end: self.start + count, ..*self };
                self.start += count;
                Ok(taken)
            }
            _ => Err(damaged(format!("a field of {count} bytes starts where {left} bytes are left"))),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WeightProblem> {
        let taken = self.take(N as u64)?.bytes();
        taken.try_into().map_err(|_| damaged("a number is cut off"))
    }

    /// Seven bits a byte, the lowest first; the high bit says that more follow.
    fn varint(&mut self) -> Result<u64, WeightProblem> {
        let mut value = 0;
        for (index, byte) in self.bytes().iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.start += index + 1;
                return Ok(value);
            }
        }
        Err(damaged("an integer does not end"))
    }
}

/// See [`Message::fields`]. Ends after the first error.
pub(super) struct Fields<'a> {
    rest: Message<'a>,
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<Field<'a>, WeightProblem> {
        let tag = self.rest.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|&number| number != 0);
        let number = number.ok_or_else(|| damaged("a field has an impossible number"))?;
        let value = match tag & 7 {
            0 => Value::Varint(self.rest.varint()?),
            1 => Value::Fixed64(self.rest.array()?),
            2 => {
                let length = self.rest.varint()?;
                Value::Bytes(self.rest.take(length)?)
            }
            5 => Value::Fixed32(self.rest.array()?),
            other => {
                return Err(damaged(format!("field {number} is of kind {other}, which ONNX does not use")));
            }
        };
        Ok(Field { number, value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WeightProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.start == self.rest.end {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest.start = self.rest.end;
        }
        Some(field)
    }
}

impl<'a> Field<'a> {
    fn unexpected(self) -> WeightProblem {
        damaged(format!("field {} holds another kind of value than ONNX puts there", self.number))
    }

    pub(super) fn message(self) -> Result<Message<'a>, WeightProblem> {
        match self.value {
            Value::Bytes(message) => Ok(message),
            _ => Err(self.unexpected()),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, WeightProblem> {
        self.message()?.text()
    }

    /// Negative integers are 64 bits wide on the wire, whatever their type.
    pub(super) fn integer(self) -> Result<i64, WeightProblem> {
        match self.value {
            Value::Varint(value) => Ok(value.cast_signed()),
            _ => Err(self.unexpected()),
        }
    }

    pub(super) fn float(self) -> Result<f32, WeightProblem> {
        match self.value {
            Value::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(self.unexpected()),
        }
    }

    /// Appends an integer or packed integers, as long as there are at most `limit`.
    pub(super) fn integers(self, into: &mut Vec<i64>, limit: usize) -> Result<(), WeightProblem> {
        let mut push = |value: u64| {
            if into.len() == limit {
                return Err(damaged(format!("field {} has more than {limit} integers", self.number)));
            }
            into.push(value.cast_signed());
            Ok(())
        };
        match self.value {
            Value::Varint(value) => push(value),
            Value::Bytes(mut packed) => {
                while packed.start < packed.end {
                    push(packed.varint()?)?;
                }
                Ok(())
            }
            _ => Err(self.unexpected()),
        }
    }

    /// The bytes of fixed-width numbers, packed or one alone.
    pub(super) fn fixed(self, append: &mut dyn FnMut(&[u8])) -> Result<(), WeightProblem> {
        match self.value {
            Value::Bytes(packed) => append(packed.bytes()),
            Value::Fixed32(bytes) => append(&bytes),
            Value::Fixed64(bytes) => append(&bytes),
            Value::Varint(_) => return Err(self.unexpected()),
        }
        Ok(())
    }
}

//! The bytes of a pickle, read from beginning to end.

use std::ops::Range;

use super::super::super::super::error::WeightProblem;

/// Where a text stands in the pickle.
pub(in super::super) type Span = Range<usize>;

/// A position in a pickle.
pub(super) struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next `length` bytes; nothing is allocated for them.
    pub(super) fn span(&mut self, length: u64) -> Result<Span, WeightProblem> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        match end.filter(|&end| end <= self.bytes.len()) {
            Some(end) => {
                let span = self.at..end;
                self.at = end;
                Ok(span)
            }
            None => Err(WeightProblem::Damaged(format!(
                "the pickle ends early: at byte {} it announces {length} more, and has {}",
                self.at,
                self.bytes.len().saturating_sub(self.at)
            ))),
        }
    }

    /// The text of a span, which is UTF-8 in protocols 2 and later.
    pub(super) fn text(&self, span: &Span) -> Result<&'a str, WeightProblem> {
        let bytes = self.bytes.get(span.clone()).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| {
            WeightProblem::Damaged(format!("the text at byte {} of the pickle is not UTF-8", span.start))
        })
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], WeightProblem> {
        let span = self.span(N as u64)?;
        let mut array = [0; N];
        if let Some(bytes) = self.bytes.get(span) {
            array.copy_from_slice(bytes);
        }
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, WeightProblem> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, WeightProblem> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WeightProblem> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, WeightProblem> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, WeightProblem> {
        self.array().map(u64::from_le_bytes)
    }

    /// A little-endian number in two's complement with as many bytes; `None` where an i64 is too small for it.
    pub(super) fn long(&mut self, length: u64) -> Result<Option<i64>, WeightProblem> {
        let span = self.span(length)?;
        let bytes = self.bytes.get(span).unwrap_or_default();
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        Ok(wide
            .get_mut(..bytes.len())
            .map(|start| start.copy_from_slice(bytes))
            .map(|()| i64::from_le_bytes(wide)))
    }

    /// The text up to the next line feed, which is passed over.
    pub(super) fn line(&mut self) -> Result<&'a str, WeightProblem> {
        /// Longer than any name of Python's.
        const LONGEST: usize = 1024;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().take(LONGEST).position(|&byte| byte == b'\n').ok_or_else(|| {
            WeightProblem::Damaged(format!("the name at byte {} of the pickle has no end", self.at))
        })?;
        let span = self.span(length as u64)?;
        self.span(1)?;
        self.text(&span)
    }
}

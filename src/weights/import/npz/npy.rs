//! Arrays in NumPy's format (numpy.lib.format).

use npyz::{NpyHeader, Order};

use super::super::super::error::WeightProblem;
use super::super::super::tensor::ElementType;
use super::super::archive::{Archive, Entry};
use super::super::array::Array;
use super::super::strided::{gather, round_to_float32};

/// Bytes of the longest header that is read; that of an array of four axes has 118 after the first ten.
const LONGEST_HEADER: usize = 1024;

/// How an array's elements lie in its entry.
struct Layout {
    element: ElementType,
    /// float64, which is rounded to float32.
    wide: bool,
    shape: Vec<usize>,
    /// Column-major.
    fortran: bool,
    /// Where they start.
    start: usize,
}

/// The array in an entry `NAME.npy` of an archive.
///
/// # Errors
/// When its header is damaged, its elements are no floats, or there are more or fewer than its shape has.
pub(super) fn array(archive: &Archive, name: &str, entry: &Entry) -> Result<Array, WeightProblem> {
    let header = archive.start(entry, LONGEST_HEADER)?;
    let Layout { element, wide, shape, fortran, start } = layout(name, &header)?;
    let size = if wide { 8 } else { element.size() };
    let bytes = shape.iter().try_fold(size, |bytes, &extent| bytes.checked_mul(extent));
    if bytes.and_then(|bytes| bytes.checked_add(start)) != Some(entry.size) {
        return Err(damaged(name, "it has more or fewer elements than its shape"));
    }
    if let Some(stored) = &entry.stored
        && !wide
        && !fortran
    {
        let range = stored.start + start..stored.end;
        return Array::mapped(name, element, shape, archive.map().clone(), range);
    }
    let (archive, entry, title) = (archive.clone(), entry.clone(), name.to_owned());
    Array::deferred(name, element, shape.clone(), move || {
        let mut bytes = archive.read(&entry)?;
        bytes.drain(..start.min(bytes.len()));
        if fortran {
            let strides = column_major(&shape);
            bytes = gather(&bytes, size, &shape, &strides)
                .ok_or_else(|| damaged(&title, "it has fewer elements than its shape"))?;
        }
        Ok(if wide { round_to_float32(&bytes) } else { bytes })
    })
}

/// Strides of Fortran's order: the first index moves fastest.
fn column_major(shape: &[usize]) -> Vec<usize> {
    let mut stride = 1_usize;
    shape
        .iter()
        .map(|&extent| {
            let this = stride;
            stride = stride.saturating_mul(extent);
            this
        })
        .collect()
}

fn layout(name: &str, start: &[u8]) -> Result<Layout, WeightProblem> {
    let text = text(start).ok_or_else(|| damaged(name, "it does not begin with a short NumPy header"))?;
    // A record or a nested list has more brackets; npyz would follow any number of them by recursion.
    let brackets = text.iter().filter(|byte| b"([{".contains(byte)).count();
    if brackets > 2 {
        return Err(damaged(name, "its elements are not plain numbers"));
    }
    let mut rest = start;
    let header = NpyHeader::from_reader(&mut rest).map_err(|error| damaged(name, &error.to_string()))?;
    let (element, wide) = match header.dtype().descr().trim_matches('\'') {
        "<f4" => (ElementType::F32, false),
        "<f2" => (ElementType::F16, false),
        "<f8" => (ElementType::F32, true),
        other => {
            return Err(WeightProblem::ElementType { tensor: name.to_owned(), found: other.to_owned() });
        }
    };
    let shape = header
        .shape()
        .iter()
        .map(|&extent| usize::try_from(extent).map_err(|_| damaged(name, "its shape is too large")))
        .collect::<Result<_, _>>()?;
    let fortran = matches!(header.order(), Order::Fortran);
    Ok(Layout { element, wide, shape, fortran, start: start.len() - rest.len() })
}

/// The text of the header: `\x93NUMPY`, the version, the length in two or four bytes, a Python dictionary.
fn text(start: &[u8]) -> Option<&[u8]> {
    let [major, _, rest @ ..] = start.strip_prefix(b"\x93NUMPY")? else {
        return None;
    };
    match major {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            rest.get(..u16::from_le_bytes(*length).into())
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)
        }
        _ => None,
    }
}

fn damaged(name: &str, what: &str) -> WeightProblem {
    WeightProblem::Damaged(format!("array {name}: {what}"))
}

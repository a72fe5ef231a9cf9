//! One tensor in a mapped file.

use std::fmt;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::Dtype;

use crate::parallel;

/// The number type of a tensor's elements: those that networks and patterns are read in. Moments are in float64, and read
/// by [`crate::patterns::MomentFile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// 32-bit IEEE 754.
    F32,
    /// 16-bit IEEE 754.
    F16,
    /// The upper half of a 32-bit IEEE 754 number.
    Bf16,
}

impl ElementType {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Converts elements, little-endian; exact.
    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let shape = [bytes.len() / self.size()];
        Tensor::new("", self, &shape, bytes).to_vec()
    }

    /// The type's name in the format's library.
    pub(crate) fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }
}

impl fmt::Display for ElementType {
    /// The name in safetensors headers.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        })
    }
}

/// Elements converted at a time: 2 KiB on the stack, enough to keep the vector units busy.
const CONVERTED: usize = 1024;

/// Elements scanned as one piece of work, about 10 µs.
const SCANNED: usize = 1 << 16;

/// A view of one tensor; copying it copies no data. Bytes may lie at any alignment.
#[derive(Clone, Copy)]
pub struct Tensor<'a> {
    name: &'a str,
    element: ElementType,
    shape: &'a [usize],
    data: &'a [u8],
}

impl fmt::Debug for Tensor<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {:?}", self.name, self.element, self.shape)
    }
}

impl<'a> Tensor<'a> {
    /// `data` holds exactly the product of `shape` elements, little-endian.
    pub(crate) fn new(name: &'a str, element: ElementType, shape: &'a [usize], data: &'a [u8]) -> Self {
        Self { name, element, shape, data }
    }

    /// The name in the file.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The type of the elements in the file.
    pub fn element(&self) -> ElementType {
        self.element
    }

    /// Extents, outermost first. Weights and patterns have the shape of their layer,
    /// [`ParametricLayer::weight_shape`](crate::network::ParametricLayer::weight_shape), also where the file's differs.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len() / self.element.size()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The elements as the file has them: row-major, little-endian.
    pub fn bytes(&self) -> &'a [u8] {
        self.data
    }

    /// Converts the elements `start..start + out.len()`, in row-major order. Exact for every element type.
    ///
    /// # Panics
    /// When that range is not within the tensor.
    pub fn read(&self, start: usize, out: &mut [f32]) {
        assert!(
            start <= self.len() && out.len() <= self.len() - start,
            "elements {start}..{start}+{} of {self:?}",
            out.len()
        );
        let size = self.element.size();
        let data = &self.data[start * size..][..out.len() * size];
        match self.element {
            ElementType::F32 => {
                let (source, _) = data.as_chunks::<4>();
                for (out, bytes) in out.iter_mut().zip(source) {
                    *out = f32::from_le_bytes(*bytes);
                }
            }
            ElementType::F16 => convert(data, out, f16::ZERO, f16::from_le_bytes),
            ElementType::Bf16 => convert(data, out, bf16::ZERO, bf16::from_le_bytes),
        }
    }

    /// All elements, converted.
    pub fn to_vec(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.len()];
        self.read(0, &mut out);
        out
    }

    /// The index of the first element that is infinite or not a number. Large tensors are scanned on all cores.
    pub fn first_non_finite(&self) -> Option<usize> {
        let size = self.element.size();
        let piece = SCANNED * size;
        let scan = |bytes: &[u8]| !is_finite(self.element, bytes);
        let found = if self.data.len() <= piece {
            scan(self.data).then_some(0)
        } else {
            let pieces = self.data.chunks(piece).enumerate();
            parallel::find_first(pieces, |(number, bytes)| scan(bytes).then_some(number))
        }?;
        self.data[found * piece..].chunks_exact(size).position(scan).map(|index| found * SCANNED + index)
    }
}

/// Copies to an aligned buffer, then converts with the vector instructions that `half` finds at run time.
fn convert<H: Copy>(data: &[u8], out: &mut [f32], zero: H, from_bytes: impl Fn([u8; 2]) -> H)
where
    [H]: HalfFloatSliceExt,
{
    let mut aligned = [zero; CONVERTED];
    let (source, _) = data.as_chunks::<2>();
    for (out, source) in out.chunks_mut(CONVERTED).zip(source.chunks(CONVERTED)) {
        let aligned = &mut aligned[..source.len()];
        for (aligned, bytes) in aligned.iter_mut().zip(source) {
            *aligned = from_bytes(*bytes);
        }
        aligned.convert_to_f32_slice(out);
    }
}

/// A number is finite when the bits of its exponent are not all ones. No early exit, so that the loop vectorises.
fn is_finite(element: ElementType, data: &[u8]) -> bool {
    let halves = |exponent: u16| {
        let (numbers, _) = data.as_chunks::<2>();
        numbers
            .iter()
            .fold(true, |finite, bytes| finite & (u16::from_le_bytes(*bytes) & exponent != exponent))
    };
    match element {
        ElementType::F32 => {
            let exponent = 0x7f80_0000;
            let (numbers, _) = data.as_chunks::<4>();
            numbers
                .iter()
                .fold(true, |finite, bytes| finite & (u32::from_le_bytes(*bytes) & exponent != exponent))
        }
        ElementType::F16 => halves(0x7c00),
        ElementType::Bf16 => halves(0x7f80),
    }
}

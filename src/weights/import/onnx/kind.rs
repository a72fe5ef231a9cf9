//! Types of elements.

use half::{bf16, f16};

use crate::weights::ElementType;

/// Types of elements that networks and shapes are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float32,
    Float16,
    Bfloat16,
    Float64,
    Int32,
    Int64,
    Bool,
    /// TensorProto's number for a type that is only refused.
    Other(i64),
}

impl Kind {
    pub(super) fn of(number: i64) -> Self {
        match number {
            1 => Self::Float32,
            6 => Self::Int32,
            7 => Self::Int64,
            9 => Self::Bool,
            10 => Self::Float16,
            11 => Self::Float64,
            16 => Self::Bfloat16,
            other => Self::Other(other),
        }
    }

    pub(super) fn name(self) -> String {
        let names =
            ["UNDEFINED", "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL"];
        match self {
            Self::Float32 => "FLOAT".to_owned(),
            Self::Float16 => "FLOAT16".to_owned(),
            Self::Bfloat16 => "BFLOAT16".to_owned(),
            Self::Float64 => "DOUBLE".to_owned(),
            Self::Int32 => "INT32".to_owned(),
            Self::Int64 => "INT64".to_owned(),
            Self::Bool => "BOOL".to_owned(),
            Self::Other(number) => match usize::try_from(number).ok().and_then(|number| names.get(number)) {
                Some(name) => (*name).to_owned(),
                None => format!("number {number} of ONNX"),
            },
        }
    }

    /// Whether shapes and indices are made of it.
    pub(super) fn is_integer(self) -> bool {
        matches!(self, Self::Int32 | Self::Int64)
    }

    /// Bytes of one element in `raw_data`.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Float16 | Self::Bfloat16 => 2,
            Self::Float32 | Self::Int32 => 4,
            Self::Float64 | Self::Int64 | Self::Other(_) => 8,
        }
    }

    /// What the elements become in memory; float64 is rounded.
    pub(super) fn element(self) -> Option<ElementType> {
        match self {
            Self::Float32 | Self::Float64 => Some(ElementType::F32),
            Self::Float16 => Some(ElementType::F16),
            Self::Bfloat16 => Some(ElementType::Bf16),
            _ => None,
        }
    }

    /// Elements as float64, exact; integers beyond 2⁵³ are not asked for.
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f64> {
        let halves = bytes.as_chunks::<2>().0.iter();
        let words = bytes.as_chunks::<4>().0.iter();
        let doubles = bytes.as_chunks::<8>().0.iter();
        match self {
            Self::Float16 => halves.map(|bytes| f16::from_le_bytes(*bytes).into()).collect(),
            Self::Bfloat16 => halves.map(|bytes| bf16::from_le_bytes(*bytes).into()).collect(),
            Self::Float32 => words.map(|bytes| f32::from_le_bytes(*bytes).into()).collect(),
            Self::Float64 => doubles.map(|bytes| f64::from_le_bytes(*bytes)).collect(),
            Self::Bool => bytes.iter().map(|&byte| byte.into()).collect(),
            Self::Int32 => words.map(|bytes| i32::from_le_bytes(*bytes).into()).collect(),
            Self::Int64 | Self::Other(_) => doubles.map(|bytes| i64::from_le_bytes(*bytes) as f64).collect(),
        }
    }
}

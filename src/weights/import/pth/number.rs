//! The types of elements that PyTorch has.

use super::super::super::tensor::ElementType;

/// A type of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Float32,
    Float16,
    Bfloat16,
    Float64,
    Int64,
    Int32,
    Int16,
    Int8,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Bool,
    Complex64,
    Complex128,
    Float8E4m3fn,
    Float8E5m2,
}

/// Each type with PyTorch's name, the class of its storages where it has one, and the size of an element in bytes.
const TYPES: [(Number, &str, Option<&str>, usize); 17] = [
    (Number::Float32, "float32", Some("FloatStorage"), 4),
    (Number::Float16, "float16", Some("HalfStorage"), 2),
    (Number::Bfloat16, "bfloat16", Some("BFloat16Storage"), 2),
    (Number::Float64, "float64", Some("DoubleStorage"), 8),
    (Number::Int64, "int64", Some("LongStorage"), 8),
    (Number::Int32, "int32", Some("IntStorage"), 4),
    (Number::Int16, "int16", Some("ShortStorage"), 2),
    (Number::Int8, "int8", Some("CharStorage"), 1),
    (Number::Uint8, "uint8", Some("ByteStorage"), 1),
    (Number::Uint16, "uint16", None, 2),
    (Number::Uint32, "uint32", None, 4),
    (Number::Uint64, "uint64", None, 8),
    (Number::Bool, "bool", Some("BoolStorage"), 1),
    (Number::Complex64, "complex64", Some("ComplexFloatStorage"), 8),
    (Number::Complex128, "complex128", Some("ComplexDoubleStorage"), 16),
    (Number::Float8E4m3fn, "float8_e4m3fn", None, 1),
    (Number::Float8E5m2, "float8_e5m2", None, 1),
];

impl Number {
    /// The type that is called `name` in the module `torch`.
    pub(super) fn named(name: &str) -> Option<Self> {
        TYPES.iter().find(|(_, stated, ..)| *stated == name).map(|&(number, ..)| number)
    }

    /// The type of the elements of a class of storages.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        TYPES.iter().find(|(_, _, stated, _)| *stated == Some(class)).map(|&(number, ..)| number)
    }

    /// Bytes of one element.
    pub(super) fn size(self) -> usize {
        // Every type is in the table.
        TYPES.iter().find(|(number, ..)| *number == self).map_or(1, |&(.., size)| size)
    }

    /// PyTorch's name.
    pub(super) fn name(self) -> &'static str {
        TYPES.iter().find(|(number, ..)| *number == self).map_or("unknown", |&(_, name, ..)| name)
    }

    /// What it is read as: float64 is rounded to float32; `None` for what weights are not read in.
    pub(super) fn element(self) -> Option<ElementType> {
        match self {
            Self::Float32 | Self::Float64 => Some(ElementType::F32),
            Self::Float16 => Some(ElementType::F16),
            Self::Bfloat16 => Some(ElementType::Bf16),
            _ => None,
        }
    }
}

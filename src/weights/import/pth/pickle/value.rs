//! The values that a pickle makes.

use super::super::number::Number;
use super::globals::Global;
use super::source::Span;

/// Index of a value.
pub(in super::super) type Id = u32;

/// A value, as far as tensors need it. Others of a value are referred to by index; texts lie in the pickle.
#[derive(Debug)]
pub(in super::super) enum Value {
    None,
    Boolean(bool),
    Integer(i64),
    /// An integer of more than 64 bits: where its bytes are.
    Long(Span),
    Text(Span),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// Keys and values, in the order of insertion.
    Dictionary(Vec<(Id, Id)>),
    Global(Global),
    Storage(Box<Storage>),
    Tensor(Box<Tensor>),
    /// What no tensor needs: floats, bytes, sets, devices.
    Other,
}

impl Value {
    /// What it is, in a message.
    pub(in super::super) fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Boolean(_) => "a truth value",
            Self::Integer(_) | Self::Long(_) => "an integer",
            Self::Text(_) => "a text",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dictionary(_) => "a dictionary",
            Self::Global(_) => "a class or function",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
            Self::Other => "another object",
        }
    }
}

/// Numbers in the file, which tensors are views of.
#[derive(Debug, Clone)]
pub(in super::super) struct Storage {
    /// Type of its elements; `None` for untyped storages, which are counted in bytes.
    pub(in super::super) number: Option<Number>,
    /// Its name: that of the file in the archive, or in the list of storages of legacy files.
    pub(in super::super) key: Span,
    /// Number of elements.
    pub(in super::super) count: usize,
    /// Elements of the storage of this name before its first one (views of storages, in legacy files).
    pub(in super::super) start: usize,
}

/// A tensor as a view of a storage.
#[derive(Debug, Clone)]
pub(in super::super) struct Tensor {
    pub(in super::super) storage: Storage,
    pub(in super::super) number: Number,
    /// Index of the first element in the storage.
    pub(in super::super) offset: usize,
    pub(in super::super) shape: Vec<usize>,
    /// In elements.
    pub(in super::super) strides: Vec<usize>,
}

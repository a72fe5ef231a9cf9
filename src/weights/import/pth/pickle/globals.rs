//! The names of Python's that a pickle may use.

use super::super::number::Number;

/// A class or function that the machine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Global {
    /// `collections.OrderedDict` and other dictionaries.
    Dictionary,
    /// `torch._utils._rebuild_tensor_v2`, and the older one without `_v2`: storage, offset, size, strides, …
    Tensor,
    /// `torch._utils._rebuild_tensor_v3`: as `_v2`, with the type of the elements at index 6.
    TypedTensor,
    /// `torch._utils._rebuild_parameter`: the tensor, …
    Parameter,
    /// A class of storages; `None` for untyped ones.
    Storage(Option<Number>),
    /// A type of elements.
    Type(Number),
    /// Plain data that no tensor needs: sets, bytes, sizes, devices.
    Plain,
}

/// Finds a name of a module; `None` for all that are not known.
pub(super) fn find(module: &str, name: &str) -> Option<Global> {
    match (module, name) {
        ("collections", "OrderedDict" | "defaultdict" | "Counter") => Some(Global::Dictionary),
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Some(Global::Tensor),
        ("torch._utils", "_rebuild_tensor_v3") => Some(Global::TypedTensor),
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Some(Global::Parameter),
        ("torch" | "torch.storage", "UntypedStorage") => Some(Global::Storage(None)),
        ("torch", "Size" | "device") | ("_codecs", "encode") => Some(Global::Plain),
        ("builtins" | "__builtin__", "set" | "frozenset" | "bytearray") => Some(Global::Plain),
        ("builtins" | "__builtin__", "dict") => Some(Global::Dictionary),
        ("torch" | "torch.cuda", name) => Number::of_storage(name)
            .map(|number| Global::Storage(Some(number)))
            .or_else(|| Number::named(name).filter(|_| module == "torch").map(Global::Type)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_is_known() {
        for (module, name) in [
            ("os", "system"),
            ("posix", "system"),
            ("builtins", "eval"),
            ("builtins", "getattr"),
            ("builtins", ""),
            ("torch", ""),
            ("torch", "load"),
            ("torch.storage", "_load_from_bytes"),
            ("torch", "_utils._rebuild_tensor_v2"),
            ("torch.cuda", "float32"),
            ("collections", "namedtuple"),
            ("", ""),
        ] {
            assert_eq!(find(module, name), None, "{module}.{name}");
        }
        assert_eq!(find("torch", "HalfStorage"), Some(Global::Storage(Some(Number::Float16))));
        assert_eq!(find("torch.cuda", "FloatStorage"), Some(Global::Storage(Some(Number::Float32))));
        assert_eq!(find("torch", "bfloat16"), Some(Global::Type(Number::Bfloat16)));
    }
}

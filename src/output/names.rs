//! From inputs and methods to file names.

use std::path::{Component, Path};

use super::{Format, OutputError};

/// A path as text for the manifest. In names that are not UTF-8, and only in those, bytes that are not are written `%`
/// and two hexadecimal digits, and `%` itself `%25`, so that such names stay different.
///
/// One of them can still have the text of another path, which is that text: who writes files by it has to look.
pub fn path_text(path: &Path) -> String {
    let names = path.as_os_str().as_encoded_bytes().split(|&byte| byte == b'/');
    names.map(text).collect::<Vec<_>>().join("/")
}

fn text(name: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(name) {
        return text.to_owned();
    }
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        for byte in chunk.invalid() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// A method's name as part of a file name and as a key in npz and safetensors: `:` is written `-`.
///
/// # Errors
/// [`OutputError::InvalidMethod`] when a file name cannot hold it.
pub(super) fn method_key(method: &str) -> Result<String, OutputError> {
    let usable = |letter: char| letter.is_ascii_alphanumeric() || "-_:.".contains(letter);
    if method.is_empty() || !method.chars().all(usable) {
        return Err(OutputError::InvalidMethod { method: method.to_owned() });
    }
    Ok(method.replace(':', "-"))
}

/// An output's name relative to the output folder, folders parted by `/`, without extension.
///
/// # Errors
/// [`OutputError::EscapingName`] when the name is absolute, holds `..` or names no file.
pub(super) fn relative_stem(name: &Path) -> Result<String, OutputError> {
    let escaping = || OutputError::EscapingName { name: path_text(name) };
    let mut parts = Vec::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => parts.push(text(part.as_encoded_bytes())),
            Component::CurDir => {}
            _ => return Err(escaping()),
        }
    }
    if parts.is_empty() || parts.iter().any(|part| part.contains('\0')) {
        return Err(escaping());
    }
    Ok(parts.join("/"))
}

/// The file of one method in one format, relative to the output folder. The stem may hold dots: nothing is cut off.
pub(super) fn file_name(stem: &str, method_key: &str, format: Format) -> String {
    if format.holds_all_methods() {
        format!("{stem}.{format}")
    } else {
        format!("{stem}.{method_key}.{format}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for name in ["", ".", "..", "../a", "a/../../b", "a/..", "/etc/passwd", "a\0b"] {
            assert!(
                matches!(relative_stem(Path::new(name)), Err(OutputError::EscapingName { .. })),
                "{name:?}"
            );
        }
        assert_eq!(relative_stem(Path::new("./a/b.c")).unwrap(), "a/b.c");
        assert_eq!(relative_stem(Path::new("..a/b..")).unwrap(), "..a/b..");
    }

    #[test]
    fn dots_of_the_stem_stay() {
        assert_eq!(file_name("a.b", "signal-linear", Format::Npy), "a.b.signal-linear.npy");
        assert_eq!(file_name("a.b", "signal-linear", Format::Npz), "a.b.npz");
    }

    #[test]
    fn methods_become_parts_of_file_names() {
        assert_eq!(method_key("attribution:two-component").unwrap(), "attribution-two-component");
        for method in ["", "a/b", "a\\b", "a\0", "méthode"] {
            assert!(matches!(method_key(method), Err(OutputError::InvalidMethod { .. })), "{method:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_text_stay_different() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let name = |bytes| path_text(Path::new(OsStr::from_bytes(bytes)));
        assert_eq!(name(b"caf\xe9"), "caf%E9");
        assert_ne!(name(b"caf\xe9"), name(b"caf\xe8"));
        assert_ne!(name(b"caf\xe9 %E9"), name(b"caf%E9 \xe9"));
        assert_eq!(name(b"caf\xe9 %E9"), "caf%E9 %25E9");
        assert_eq!(name(b"100%/caf\xe9"), "100%/caf%E9");
        assert_eq!(relative_stem(Path::new(OsStr::from_bytes(b"100%/caf\xe9"))).unwrap(), "100%/caf%E9");
        assert_eq!(name("café 100%".as_bytes()), "café 100%");
    }
}

//! Writing safetensors files whose bytes depend on nothing but their contents.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::tensor::ElementType;

/// A tensor to write.
#[derive(Debug, Clone)]
pub struct NewTensor<'a> {
    /// Name in the file.
    pub name: String,
    /// Type of the elements.
    pub element: ElementType,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// The elements, row-major and little-endian.
    pub bytes: Cow<'a, [u8]>,
}

/// Writes a safetensors file: metadata sorted by key, tensors in the order given, data aligned to 64 bytes. The file
/// appears under its name only when it is complete, and replaces one that is there without disturbing programs that
/// have it mapped.
///
/// The safetensors crate's own writer keeps metadata in a hash map, so its bytes differ from run to run.
///
/// # Errors
/// When a name is used twice or is `__metadata__`, when a tensor's bytes are not those of its shape and type, and when
/// the file cannot be written.
pub fn write_tensors(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    tensors: &[NewTensor<'_>],
) -> io::Result<()> {
    let header = header(metadata, tensors)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    // As other programs create files; the process's umask takes its part away.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(folder)?;
    let mut writer = BufWriter::with_capacity(1 << 20, file.as_file());
    writer.write_all(&header)?;
    for tensor in tensors {
        writer.write_all(&tensor.bytes)?;
    }
    writer.flush()?;
    drop(writer);
    file.persist(path)?;
    Ok(())
}

/// The length of the JSON text, and the text.
fn header(metadata: &BTreeMap<String, String>, tensors: &[NewTensor<'_>]) -> io::Result<Vec<u8>> {
    let refuse = |tensor: &NewTensor<'_>, reason: &str| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("tensor {}: {reason}", tensor.name))
    };
    let mut entries = serde_json::Map::new();
    if !metadata.is_empty() {
        entries.insert("__metadata__".to_owned(), serde_json::json!(metadata));
    }
    let mut start = 0;
    for tensor in tensors {
        let expected =
            tensor.shape.iter().try_fold(tensor.element.size(), |bytes, extent| bytes.checked_mul(*extent));
        if expected != Some(tensor.bytes.len()) {
            return Err(refuse(tensor, "its bytes are not those of its shape and type"));
        }
        let end = start + tensor.bytes.len();
        let entry = serde_json::json!({
            "dtype": tensor.element.to_string(),
            "shape": tensor.shape,
            "data_offsets": [start, end],
        });
        if tensor.name == "__metadata__" || entries.insert(tensor.name.clone(), entry).is_some() {
            return Err(refuse(tensor, "its name is taken"));
        }
        start = end;
    }
    let mut text = serde_json::to_vec(&entries)?;
    // The format lets a header end in spaces.
    text.resize((8 + text.len()).next_multiple_of(64) - 8, b' ');
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.append(&mut text);
    Ok(header)
}

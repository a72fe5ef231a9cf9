//! Pickles by hand, and files of PyTorch around them.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A pickle that grows instruction by instruction.
#[derive(Debug, Clone)]
pub struct Pickle(Vec<u8>);

impl Pickle {
    /// Begins with PROTO 2.
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }

    /// Instructions as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Instructions, many times.
    pub fn repeat(mut self, bytes: &[u8], times: usize) -> Self {
        self.0.extend(bytes.repeat(times));
        self
    }

    /// BINUNICODE.
    pub fn text(self, text: &str) -> Self {
        self.raw(b"X").raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    /// GLOBAL.
    pub fn global(self, module: &str, name: &str) -> Self {
        self.raw(b"c").raw(module.as_bytes()).raw(b"\n").raw(name.as_bytes()).raw(b"\n")
    }

    /// LONG1 with eight bytes.
    pub fn integer(self, value: i64) -> Self {
        self.raw(&[0x8a, 8]).raw(&value.to_le_bytes())
    }

    /// A tuple of integers.
    pub fn integers(self, values: &[i64]) -> Self {
        values.iter().fold(self.raw(b"("), |pickle, &value| pickle.integer(value)).raw(b"t")
    }

    /// The storage `key` of `count` float32.
    pub fn storage(self, key: &str, count: i64) -> Self {
        self.raw(b"(")
            .text("storage")
            .global("torch", "FloatStorage")
            .text(key)
            .text("cpu")
            .integer(count)
            .raw(b"tQ")
    }

    /// A tensor as a view of a storage of float32.
    pub fn tensor(self, key: &str, count: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Self {
        self.global("torch._utils", "_rebuild_tensor_v2")
            .raw(b"(")
            .storage(key, count)
            .integer(offset)
            .integers(shape)
            .integers(strides)
            .raw(b"\x89}tR")
    }

    /// With STOP.
    pub fn bytes(self) -> Vec<u8> {
        self.raw(b".").0
    }
}

/// A zip archive of these entries.
pub fn archive(entries: &[(&str, &[u8], CompressionMethod)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for &(name, bytes, method) in entries {
        writer.start_file(name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// What torch.save makes of this pickle and one storage "0" of 256 bytes.
pub fn zipped(pickle: &[u8]) -> Vec<u8> {
    let stored = CompressionMethod::Stored;
    archive(&[
        ("archive/data.pkl", pickle, stored),
        ("archive/byteorder", b"little", stored),
        ("archive/data/0", &[1; 256], stored),
        ("archive/version", b"3\n", stored),
    ])
}

/// The same in the format before version 1.6: magic number, protocol, machine, object, storages and their bytes.
pub fn legacy(object: &[u8], keys: &[u8], rest: &[u8]) -> Vec<u8> {
    let magic = Pickle::new().raw(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19").bytes();
    let protocol = Pickle::new().raw(b"M\xe9\x03").bytes();
    let machine = Pickle::new().raw(b"}").text("little_endian").raw(b"\x88s").bytes();
    [&magic, &protocol, &machine, object, keys, rest].concat()
}

//! Files made to do harm: HDF5 structures that point where they should not, and archives.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::folder;

/// A file, and what is said about it.
pub struct Hostile {
    pub title: &'static str,
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub says: &'static str,
}

/// An address that is none.
const UNDEFINED: u64 = u64::MAX;

pub fn all() -> Vec<Hostile> {
    let h5 = |title, bytes, says| Hostile { title, name: "hostile.h5", bytes, says };
    let keras = |title, bytes, says| Hostile { title, name: "hostile.keras", bytes, says };
    let config = r#"{"class_name": "Sequential", "config": {"layers": []}}"#;
    vec![
        h5(
            "a tree that is its own child",
            patch(b"TREE", |file, at| {
                file[at + 5] = 1;
                put(file, at + 32, at as u64);
            }),
            "damaged",
        ),
        h5("a tree of 2^16 children", patch(b"TREE", |file, at| file[at + 6..at + 8].fill(0xff)), "damaged"),
        h5(
            "a heap behind the end of the file",
            patch(b"HEAP", |file, at| put(file, at + 24, u64::MAX - 8)),
            "damaged",
        ),
        h5("a heap of 2^62 bytes", patch(b"HEAP", |file, at| put(file, at + 8, 1 << 62)), "damaged"),
        h5("a node of 2^16 members", patch(b"SNOD", |file, at| file[at + 6..at + 8].fill(0xff)), "damaged"),
        h5("texts of 2^40 bytes", patch(b"GCOL", |file, at| put(file, at + 8, 1 << 40)), "damaged"),
        h5("texts that overlap", patch(b"GCOL", |file, at| put(file, at + 24, 1 << 40)), "damaged"),
        h5(
            "a header of 2 GB",
            patch_root(|file, at| file[at + 8..at + 12].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f])),
            "HDF5",
        ),
        h5("a header that goes on in itself", continued(|at| at), "HDF5"),
        h5("a header that goes on behind the end", continued(|_| u64::MAX - 16), "HDF5"),
        h5("a root behind the end", patch(b"\x89HDF", |file, _| put(file, 64, 1 << 40)), "HDF5"),
        h5("names that share their bytes", members(20_000, 1, |_| 0), "names of a group share their bytes"),
        h5(
            "nodes that are listed again and again",
            members(1000, 1000, |_| 0),
            "names of a group share their bytes",
        ),
        h5(
            "names that overlap",
            members(10_000, 1, |index| index as u64),
            "names of a group share their bytes",
        ),
        keras("no configuration", zipped(&[("model.weights.h5", weights(), false)]), "it has no config.json"),
        keras(
            "no weights",
            zipped(&[("config.json", b"{}".to_vec(), false), ("x/model.weights.h5", vec![], false)]),
            "it has no model.weights.h5",
        ),
        keras("a configuration that unpacks to 64 MB", archive(&" ".repeat(64 << 20), weights()), "64 times"),
        keras(
            "a configuration of 4 MB",
            zipped(&[
                ("config.json", " ".repeat(4 << 20).into_bytes(), false),
                ("model.weights.h5", weights(), false),
            ]),
            "longer than",
        ),
        keras("no JSON", archive("{\"class_name\": ", weights()), "no JSON"),
        keras("a million brackets", archive(&"[".repeat(1 << 20), weights()), "no JSON"),
        keras("weights that unpack to zeros", archive(config, vec![0; 64 << 20]), "64 times"),
        keras("weights that are none", archive(config, b"not HDF5".repeat(100)), "HDF5"),
        keras(
            "weights that are none, packed",
            zipped(&[
                ("config.json", config.into(), true),
                ("model.weights.h5", (0..4000_u32).flat_map(u32::to_le_bytes).collect(), true),
            ]),
            "HDF5",
        ),
    ]
}

/// The weights of a sound file.
pub fn weights() -> Vec<u8> {
    std::fs::read(folder().join("keras3_vgg.weights.h5")).unwrap()
}

/// A `.keras` file, its configuration packed.
pub fn archive(config: &str, weights: Vec<u8>) -> Vec<u8> {
    let packed = weights.iter().all(|&byte| byte == 0);
    zipped(&[("config.json", config.into(), true), ("model.weights.h5", weights, packed)])
}

fn zipped(entries: &[(&str, Vec<u8>, bool)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes, packed) in entries {
        let method = if *packed { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A sound file with a change at the first structure that begins with `signature`.
fn patch(signature: &[u8], change: impl Fn(&mut Vec<u8>, usize)) -> Vec<u8> {
    let mut file = std::fs::read(folder().join("keras2_fine_tuned.h5")).unwrap();
    let at = file.windows(signature.len()).position(|bytes| bytes == signature).unwrap();
    change(&mut file, at);
    file
}

/// The same at the header of the root, whose address the superblock has.
fn patch_root(change: impl Fn(&mut Vec<u8>, usize)) -> Vec<u8> {
    patch(b"\x89HDF", |file, _| {
        let at = u64::from_le_bytes(file[64..72].try_into().unwrap()) as usize;
        change(file, at);
    })
}

/// A root whose header goes on at an address that follows from its own.
fn continued(to: impl Fn(u64) -> u64) -> Vec<u8> {
    patch_root(|file, at| {
        // A continuation is a message of kind 0x10 with 16 bytes: address and length.
        let kind = [0x10, 0, 0x10, 0];
        let message = at + file[at..].windows(4).position(|bytes| bytes == kind).unwrap();
        put(file, message + 8, to(at as u64 + 16));
    })
}

fn put(file: &mut [u8], at: usize, number: u64) {
    file[at..at + 8].copy_from_slice(&number.to_le_bytes());
}

/// A file whose root has `children` times the same node of `count` members, whose names begin in a heap of 2^19 bytes at
/// `name(index)` and end together.
fn members(count: u16, children: u16, name: impl Fn(usize) -> u64) -> Vec<u8> {
    const HEAP: usize = 1 << 19;
    let words = |file: &mut Vec<u8>, numbers: &[u64]| {
        numbers.iter().for_each(|number| file.extend(number.to_le_bytes()));
    };
    // Superblock, the root's header, tree, heap, names, node.
    let header = 96;
    let tree = header + 16 + 24;
    let heap = tree + 24 + 16 * u64::from(children) + 8;
    let names = heap + 32;
    let node = names + HEAP as u64;
    let end = node + 8 + 40 * u64::from(count);

    let mut file = b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0\x04\0\x10\0\0\0\0\0".to_vec();
    words(&mut file, &[0, UNDEFINED, end, UNDEFINED]);
    words(&mut file, &[0, header, 1, tree, heap]);
    assert_eq!(file.len() as u64, header);
    // Version 1, one message, one reference, 24 bytes; a symbol table of 16.
    file.extend([1, 0, 1, 0, 1, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0x11, 0, 16, 0, 0, 0, 0, 0]);
    words(&mut file, &[tree, heap]);
    file.extend(b"TREE\0\0");
    file.extend(children.to_le_bytes());
    words(&mut file, &[UNDEFINED, UNDEFINED, 0]);
    (0..children).for_each(|_| words(&mut file, &[node, 8]));
    assert_eq!(file.len() as u64, heap);
    file.extend(b"HEAP\0\0\0\0");
    words(&mut file, &[HEAP as u64, UNDEFINED, names]);
    file.resize(file.len() + HEAP - 1, b'a');
    file.push(0);
    file.extend(b"SNOD\x01\0");
    file.extend(count.to_le_bytes());
    for index in 0..usize::from(count) {
        words(&mut file, &[name(index), header, 0, 0, 0]);
    }
    assert_eq!(file.len() as u64, end);
    file
}

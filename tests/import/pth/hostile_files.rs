//! Files that are not what they say around pickles that may be: zip archives and the format before version 1.6.

use zip::CompressionMethod::{Deflated, Stored};

use super::hostile::Case;
use super::pickle::{Pickle, archive, legacy, zipped};

/// Zip archives that are not what they say.
pub fn archives() -> Vec<Case<Vec<u8>>> {
    let pickle = Pickle::new().raw(b"}").text("w").tensor("0", 64, 0, &[8], &[1]).raw(b"s").bytes();
    let good = zipped(&pickle);
    let replaced = |from: &[u8], to: &[u8]| {
        assert_eq!(from.len(), to.len());
        let mut bytes = good.clone();
        let places: Vec<usize> =
            (0..bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
        assert!(!places.is_empty());
        for at in places {
            bytes[at..at + from.len()].copy_from_slice(to);
        }
        bytes
    };
    let directory = |bytes: &[u8]| -> usize {
        (0..bytes.len()).find(|&at| bytes[at..].starts_with(b"PK\x01\x02")).expect("a directory")
    };
    // A field of the first entry of the directory.
    let field = |offset: usize, value: &[u8]| {
        let mut bytes = good.clone();
        let at = directory(&bytes) + offset;
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    };
    let crc = {
        let mut bytes = good.clone();
        let at = (0..bytes.len()).find(|&at| bytes[at..].starts_with(b"cpu")).expect("the pickle");
        bytes[at] = b'g';
        bytes
    };
    let overlap = {
        // The second entry of the directory begins where the first does.
        let mut bytes = good.clone();
        let first = directory(&bytes);
        let second = first + 46 + "archive/data.pkl".len();
        let (from, to) = (first + 42, second + 42);
        bytes.copy_within(from..from + 4, to);
        bytes
    };
    let twice = {
        let mut bytes = archive(&[
            ("a/data.pkl", &pickle, Stored),
            ("a/data/0", &[1; 256], Stored),
            ("a/data/1", b"", Stored),
        ]);
        for at in 0..bytes.len() - 8 {
            if bytes[at..].starts_with(b"a/data/1") {
                bytes[at + 7] = b'0';
            }
        }
        bytes
    };
    // 1000 transposed views of one storage of 400 kB: 400 MB to copy, of a file of 0.6 MB.
    let views = (0..1000)
        .fold(Pickle::new().raw(b"}("), |pickle, index| {
            pickle.text(&index.to_string()).tensor("0", 100_000, 0, &[100, 1000], &[1, 100])
        })
        .raw(b"u")
        .bytes();
    let zeros = vec![0; 100 << 20];
    vec![
        (
            "views to be copied",
            archive(&[("a/data.pkl", &views, Stored), ("a/data/0", &vec![1; 400_000], Stored)]),
            "are copies of the same storages",
        ),
        ("a pickle of zeros", archive(&[("a/data.pkl", &zeros, Deflated)]), "unpacks to more than 64 times"),
        (
            "storages of zeros",
            archive(&[("a/data.pkl", &pickle, Stored), ("a/data/0", &zeros, Deflated)]),
            "unpacks to more than 64 times",
        ),
        ("a pickle of 100 MB", archive(&[("a/data.pkl", &zeros, Stored)]), "are read at most"),
        ("another byte in the pickle", crc, "another CRC"),
        ("an entry twice", twice, "two entries of the same name"),
        ("a pickle twice", replaced(b"archive/byteorder", b"archive2/data.pkl"), "two pickles"),
        ("entries over each other", overlap, "overlap"),
        ("an entry outside", replaced(b"archive/version", b"archive/../pass"), "outside of its folder"),
        ("another method", field(10, &[12, 0]), "only deflate is read"),
        ("an encrypted entry", field(8, &[1, 0]), "is encrypted"),
        ("an entry of 4 GB", field(20, &[0xfe, 0xff, 0xff, 0xff]), "ends after the file"),
        ("two sizes", field(24, &[1, 0, 0, 0]), "is stored and has two sizes"),
        ("an entry beyond the end", field(42, &[0xf0, 0xff, 0xff, 0x7f]), "the zip archive"),
        ("no pickle", archive(&[("a/data/0", &[1; 64], Stored)]), "has no data.pkl"),
        (
            "another machine",
            archive(&[
                ("a/data.pkl", &pickle, Stored),
                ("a/byteorder", b"big", Stored),
                ("a/data/0", &[1; 256], Stored),
            ]),
            "big-endian",
        ),
        (
            "a program",
            archive(&[
                ("a/data.pkl", &pickle, Stored),
                ("a/code/x.py", b"", Stored),
                ("a/constants.pkl", b"", Stored),
            ]),
            "TorchScript",
        ),
    ]
}

/// The format before version 1.6.
pub fn old() -> Vec<Case<Vec<u8>>> {
    // One name of a megabyte, of 20 000 storages.
    let often = |name: &str| {
        let mut object = Pickle::new().raw(b"}").text(name).raw(b"q\x00").raw(b"0");
        for _ in 0..20_000 {
            object = object.raw(b"(").text("storage").global("torch", "FloatStorage").raw(b"h\x00");
            object = object.text("cpu").integer(64).raw(b"NtQ0");
        }
        legacy(&object.bytes(), &Pickle::new().raw(b"](").text("1").raw(b"e").bytes(), &[])
    };
    let object = Pickle::new().raw(b"}").text("w").tensor("0", 64, 0, &[8], &[1]).raw(b"s").bytes();
    let keys = |keys: &[&str]| {
        keys.iter().fold(Pickle::new().raw(b"]("), |pickle, key| pickle.text(key)).raw(b"e").bytes()
    };
    let storage = |count: u64, bytes: usize| [&count.to_le_bytes()[..], &vec![1; bytes]].concat();
    let mut module = Pickle::new().raw(b"(").text("module");
    module = module.global("torchvision.models.vgg", "VGG").text("vgg.py").text("class VGG").raw(b"tQ)R");
    let mut view = Pickle::new().raw(b"}").text("w").global("torch._utils", "_rebuild_tensor_v2").raw(b"((");
    view = view.text("storage").global("torch", "FloatStorage").text("0").text("cpu").integer(64);
    view = view.integers(&[0, 60, 8]).raw(b"tQ").integer(0).integers(&[8]).integers(&[1]).raw(b"\x89}tRs");
    vec![
        ("a tar archive", [&[b'x'; 257][..], b"ustar\x0000", &[0; 248]].concat(), "before 2017"),
        ("another magic number", b"\x80\x02\x8a\x0a0123456789.".to_vec(), "PyTorch's magic number"),
        (
            "another protocol",
            legacy(&[], &[], &[])[..16].iter().copied().chain(*b"\x80\x02K\x07.").collect(),
            "protocol",
        ),
        (
            "a storage of 2^61",
            legacy(&object, &keys(&["0"]), &storage(1 << 61, 256)),
            "ends within storage 0",
        ),
        (
            "a storage of 2^62 bytes",
            legacy(&object, &keys(&["0"]), &storage(1 << 60, 256)),
            "ends within storage 0",
        ),
        ("a storage cut short", legacy(&object, &keys(&["0"]), &storage(64, 255)), "ends within storage 0"),
        ("a small storage", legacy(&object, &keys(&["0"]), &storage(4, 16)), "is not within storage 0"),
        ("no storages", legacy(&object, &keys(&[]), &[]), "storage 0 of a tensor is not in the file"),
        (
            "a storage twice",
            legacy(&object, &keys(&["0", "0"]), &[storage(64, 256), storage(64, 256)].concat()),
            "a storage is listed twice",
        ),
        ("a storage of no tensor", legacy(&object, &keys(&["1"]), &storage(64, 256)), "belongs to no tensor"),
        ("a storage whose name is used often, and long", often(&"9".repeat(1 << 20)), "belongs to no tensor"),
        ("no list of storages", legacy(&object, &Pickle::new().raw(b"N").bytes(), &[]), "list of storages"),
        ("a whole module", legacy(&module.bytes(), &keys(&[]), &[]), "class torchvision.models.vgg.VGG"),
        (
            "a view beyond its storage",
            legacy(&view.bytes(), &keys(&["0"]), &storage(64, 256)),
            "goes beyond its end",
        ),
    ]
}

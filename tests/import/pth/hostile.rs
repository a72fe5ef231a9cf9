//! Files made to do harm, or damaged, and what is said of them.

use super::hostile_files::{archives, old};
use super::pickle::{Pickle, legacy, zipped};

/// A file.
pub struct Hostile {
    /// What is wrong with it.
    pub title: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What the message has in it.
    pub message: &'static str,
}

/// All of them.
pub fn all() -> Vec<Hostile> {
    let mut all = Vec::new();
    let mut add = |title: &str, bytes, message| all.push(Hostile { title: title.to_owned(), bytes, message });
    for (title, pickle, message) in pickles() {
        add(title, zipped(&pickle), message);
        add(&format!("{title}, legacy"), legacy(&pickle, &Pickle::new().raw(b"]").bytes(), &[]), message);
    }
    for (title, pickle, message) in tensors() {
        add(title, zipped(&pickle), message);
    }
    for (title, bytes, message) in archives().into_iter().chain(old()) {
        add(title, bytes, message);
    }
    all
}

/// What is wrong, the bytes, and what the message has in it.
pub type Case<B> = (&'static str, B, &'static str);

/// Pickles that are no dictionaries of tensors.
fn pickles() -> Vec<Case<Vec<u8>>> {
    let call = |module, name| {
        // {"features.0.weight": module.name("id")}
        Pickle::new()
            .raw(b"}")
            .text("features.0.weight")
            .global(module, name)
            .text("id")
            .raw(b"\x85Rs")
            .bytes()
    };
    let stack_global = |module: &str, name: &str| {
        Pickle::new().raw(b"}").text("x").text(module).text(name).raw(b"\x93)Rs").bytes()
    };
    let nested = Pickle::new()
        .raw(b"}")
        .text("x")
        .global("collections", "OrderedDict")
        .global("builtins", "getattr")
        .raw(b"(")
        .global("builtins", "__import__")
        .text("os")
        .raw(b"\x85R")
        .text("system")
        .raw(b"tR\x85Rs")
        .bytes();
    // [[…[] + []] + …]: 2^30 lists if they were copied.
    let bomb = Pickle::new().raw(b"]q\x00").repeat(b"0]h\x00ah\x00aq\x00", 30).bytes();
    let large_and_often = Pickle::new()
        .raw(b"}q\x00(")
        .repeat(b"NN", 200_000)
        .raw(b"u0")
        .text("state_dict")
        .raw(b"q\x010}(")
        .repeat(b"h\x01h\x00", 200_000)
        .raw(b"u")
        .bytes();
    let of_itself = Pickle::new().raw(b"}q\x00").text("state_dict").raw(b"h\x00s").bytes();
    vec![
        ("os.system", call("os", "system"), "uses os.system"),
        ("posix.system", call("posix", "system"), "uses posix.system"),
        ("eval", call("builtins", "eval"), "uses builtins.eval"),
        ("Python 2's eval", call("__builtin__", "eval"), "uses __builtin__.eval"),
        (
            "a pickle in a pickle",
            call("torch.storage", "_load_from_bytes"),
            "uses torch.storage._load_from_bytes",
        ),
        ("torch.load", call("torch", "load"), "uses torch.load"),
        ("numpy", call("numpy.core.multiarray", "scalar"), "uses numpy.core.multiarray.scalar"),
        ("a namespace", call("argparse", "Namespace"), "uses argparse.Namespace"),
        ("a known name in another module", call("os", "_rebuild_tensor_v2"), "uses os._rebuild_tensor_v2"),
        (
            "a name with dots",
            call("torch", "_utils._rebuild_tensor_v2"),
            "uses torch._utils._rebuild_tensor_v2",
        ),
        ("an empty name", call("", ""), "uses ."),
        ("control characters", call("os\u{1b}[2J\r", "system"), "uses os\\u{1b}[2J\\r.system"),
        ("a name of protocol 4", stack_global("subprocess", "Popen"), "uses subprocess.Popen"),
        ("calls in calls", nested, "uses builtins.getattr"),
        ("a name without an end", Pickle::new().raw(b"cos").repeat(b"s", 5000).bytes(), "has no end"),
        ("a name that is no text", Pickle::new().raw(b"K\x01K\x02\x93").bytes(), "a name is no text"),
        ("a name that is no UTF-8", Pickle::new().raw(b"cos\n\xff\xfe\n").bytes(), "is not UTF-8"),
        ("a list", Pickle::new().raw(b"]").bytes(), "holds a list"),
        ("nothing", Pickle::new().bytes(), "takes more from its stack"),
        ("no tensors", Pickle::new().raw(b"}").text("epoch").raw(b"K\x07s").bytes(), "its keys are: epoch"),
        ("a large dictionary under one key, often", large_and_often, "a dictionary without tensors"),
        ("lists in lists", bomb, "holds a list"),
        ("a dictionary in itself", of_itself, "a dictionary without tensors"),
        ("a list in itself", Pickle::new().raw(b"]q\x00h\x00a").bytes(), "holds a list"),
        ("2 GB in LONG4", Pickle::new().raw(b"\x8b\xff\xff\xff\x7f").bytes(), "the pickle ends early"),
        ("2^63 bytes of text", Pickle::new().raw(b"\x8d\0\0\0\0\0\0\0\x80").bytes(), "the pickle ends early"),
        ("2^64 - 1 bytes", Pickle::new().raw(b"\x8e").repeat(b"\xff", 8).bytes(), "the pickle ends early"),
        ("a large frame", Pickle::new().raw(b"\x95").repeat(b"\xff", 8).raw(b"]").bytes(), "holds a list"),
        ("many marks", Pickle::new().repeat(b"(", 1 << 20).raw(b"N").bytes(), "holds None"),
        ("deep tuples", Pickle::new().raw(b"N").repeat(b"\x85", 100_000).bytes(), "holds a tuple"),
        (
            "millions of objects",
            Pickle::new().repeat(b"N", 3 << 20).bytes(),
            "objects; save the state_dict alone",
        ),
        ("millions of instructions", Pickle::new().raw(b"N").repeat(b"20", 3 << 20).bytes(), "instructions"),
        (
            "a full stack taken again and again",
            Pickle::new().raw(b"N").repeat(b"2", 1 << 20).raw(b"(1").repeat(b"(l0", 100_000).bytes(),
            "holds None",
        ),
        (
            "millions of memos",
            (0..600_000_u32)
                .fold(Pickle::new().raw(b"N"), |pickle, index| pickle.raw(b"r").raw(&index.to_le_bytes()))
                .bytes(),
            "remembers more than",
        ),
        (
            "copied dictionaries",
            Pickle::new()
                .raw(b"}q\x00(")
                .repeat(b"K\x01K\x02", 50_000)
                .raw(b"u0")
                .global("collections", "OrderedDict")
                .raw(b"q\x010")
                .repeat(b"h\x01h\x00\x85R", 10_000)
                .bytes(),
            "more than 65536 tensors and storages",
        ),
        (
            "a memo that is not there",
            Pickle::new().raw(b"h\x07").bytes(),
            "an object is used that was not made",
        ),
        ("below a mark", Pickle::new().raw(b"]]((a").bytes(), "takes more from its stack"),
        ("half a pair", Pickle::new().raw(b"}(Nu").bytes(), "what is no dictionary"),
        ("an item of a number", Pickle::new().raw(b"K\x01Na").bytes(), "what is no list"),
        ("a call of a text", Pickle::new().text("x").raw(b")R").bytes(), "what is called is no function"),
        ("protocol 0", b"(dp0\nS'x'\np1\nI1\ns.".to_vec(), "of protocols 0 and 1"),
        ("protocol 9", b"\x80\x09N.".to_vec(), "protocol 9"),
        ("extensions", Pickle::new().raw(b"\x82\x01").bytes(), "0x82"),
        ("buffers outside", Pickle::new().raw(b"\x97").bytes(), "0x97"),
        ("INST", Pickle::new().raw(b"(ios\nsystem\n").bytes(), "of protocols 0 and 1"),
        ("no such instruction", Pickle::new().raw(b"\xfe").bytes(), "no instruction 0xfe"),
        ("no STOP", Pickle::new().raw(b"N").bytes()[..3].to_vec(), "the pickle ends early"),
    ]
}

/// Tensors that are not in their storage, which has 64 float32.
fn tensors() -> Vec<Case<Vec<u8>>> {
    let tensor = |count, offset, shape: &[i64], strides: &[i64]| {
        Pickle::new().raw(b"}").text("w").tensor("0", count, offset, shape, strides).raw(b"s").bytes()
    };
    let many = Pickle::new()
        .raw(b"}(")
        .text("w")
        .global("torch._utils", "_rebuild_tensor_v2")
        .raw(b"q\x00(")
        .storage("0", 64)
        .integer(0)
        .integers(&[1; 16])
        .integers(&[1; 16])
        .raw(b"\x89}tq\x01R")
        .raw(b"u0")
        .repeat(b"h\x00h\x01R", 200_000)
        .bytes();
    let names = (0..200_000)
        .fold(Pickle::new().tensor("0", 64, 0, &[1], &[1]).raw(b"q\x000}("), |pickle, index| {
            pickle.text(&index.to_string()).raw(b"h\x00")
        })
        .raw(b"u")
        .bytes();
    let twice = Pickle::new()
        .raw(b"}(")
        .text("w")
        .tensor("0", 64, 0, &[1], &[1])
        .text("w")
        .tensor("0", 64, 1, &[1], &[1])
        .raw(b"u")
        .bytes();
    vec![
        ("beyond the end", tensor(64, 1, &[8, 8], &[8, 1]), "is not within storage 0"),
        ("an offset beyond the end", tensor(64, i64::MAX, &[1], &[1]), "is not within storage 0"),
        ("a storage that says it is larger", tensor(1 << 40, 0, &[1 << 40], &[1]), "is not within storage 0"),
        ("a large stride", tensor(64, 0, &[2], &[i64::MAX]), "is not within storage 0"),
        ("strides that overflow", tensor(64, 0, &[3, 3], &[i64::MAX, i64::MAX]), "is not within storage 0"),
        ("2^62 elements of one", tensor(64, 0, &[1 << 31, 1 << 31], &[0, 0]), "more than once"),
        ("a shape that overflows", tensor(64, 0, &[1 << 62, 1 << 62], &[0, 0]), "is too large"),
        ("windows that overlap", tensor(64, 0, &[32, 32], &[1, 1]), "more than once"),
        ("a negative stride", tensor(64, 63, &[8], &[-1]), "is negative"),
        ("a negative extent", tensor(64, 0, &[-8], &[1]), "is negative"),
        ("a negative offset", tensor(64, -1, &[8], &[1]), "is negative"),
        ("17 axes", tensor(64, 0, &[1; 17], &[1; 17]), "a shape is no tuple of a few integers"),
        ("axes without strides", tensor(64, 0, &[8, 8], &[1]), "other axes than strides"),
        (
            "a storage that is not there",
            Pickle::new().raw(b"}").text("w").tensor("1", 64, 0, &[8], &[1]).raw(b"s").bytes(),
            "storage 1 of a tensor is not in the file",
        ),
        (
            "a storage outside of the folder",
            Pickle::new().raw(b"}").text("w").tensor("../version", 64, 0, &[8], &[1]).raw(b"s").bytes(),
            "storage ../version of a tensor is not in the file",
        ),
        ("one tensor of many names", names, "more than 16384 tensors"),
        ("a name twice", twice, "there are two tensors w"),
        ("many tensors of 16 axes", many, "more than 65536 tensors and storages"),
        (
            "a tensor of no storage",
            Pickle::new()
                .raw(b"}")
                .text("w")
                .global("torch._utils", "_rebuild_tensor_v2")
                .raw(b"(NK\x00))tRs")
                .bytes(),
            "a tensor is made of what is no storage",
        ),
        (
            "a call without arguments",
            Pickle::new()
                .raw(b"}")
                .text("w")
                .global("torch._utils", "_rebuild_tensor_v2")
                .raw(b")Rs")
                .bytes(),
            "other arguments than it needs",
        ),
        (
            "a name that is a number",
            Pickle::new().raw(b"}K\x01").tensor("0", 64, 0, &[8], &[1]).raw(b"s").bytes(),
            "names are texts",
        ),
    ]
}

//! Files that want too much memory, run in circles, lead out of their folder or contradict themselves.

use std::path::Path;

use super::message::{
    Model, announced, bytes, external, integer, integers, node, raw, tensor, text, typed, value,
};

pub struct Hostile {
    pub title: String,
    pub bytes: Vec<u8>,
    /// Part of the message that it must lead to.
    pub message: &'static str,
}

/// All of them; those with tensors elsewhere expect to be in `folder`.
pub fn all(folder: &Path) -> Vec<Hostile> {
    [lengths(), tensors(), elsewhere(folder), graphs(), operators()]
        .into_iter()
        .flatten()
        .map(|(title, bytes, message)| Hostile { title, bytes, message })
        .collect()
}

type Case = (String, Vec<u8>, &'static str);

fn case(title: &str, model: &Model, message: &'static str) -> Case {
    (title.to_owned(), model.bytes(), message)
}

/// Lengths and kinds of fields.
fn lengths() -> Vec<Case> {
    let sound = || Model::sound().bytes();
    let mut cases = vec![
        ("a graph of 2 GB".into(), [integer(1, 8), announced(7, 1 << 31, &[])].concat(), "bytes are left"),
        (
            "a graph of 2⁶⁴ bytes".into(),
            [integer(1, 8), announced(7, u64::MAX, &[])].concat(),
            "bytes are left",
        ),
        ("an endless integer".into(), [vec![8], vec![0xff; 100]].concat(), "does not end"),
        ("field 0".into(), [integer(1, 8), vec![0, 0]].concat(), "impossible number"),
        ("a group".into(), [integer(1, 8), vec![0x3b, 0x3c]].concat(), "kind 3"),
        ("no graph".into(), [integer(1, 8), text(2, "nobody")].concat(), "no graph"),
        ("two graphs".into(), [sound(), bytes(7, &Model::sound().graph())].concat(), "two graphs"),
        ("a graph that is a number".into(), [integer(1, 8), integer(7, 8)].concat(), "another kind of value"),
        (
            "a name that is no text".into(),
            {
                let mut model = Model::sound();
                model.nodes.push(bytes(3, &[0xff, 0xfe]));
                model.bytes()
            },
            "UTF-8",
        ),
    ];
    let entry = bytes(14, &[text(1, &"k".repeat(100)), text(2, &"v".repeat(1000))].concat());
    cases.push(("metadata of 5 MB".into(), [entry.repeat(5000), sound()].concat(), "4 MiB"));
    let entries: Vec<u8> = (0..6000)
        .flat_map(|index| bytes(14, &[text(1, &format!("key {index}")), text(2, &"v".repeat(1000))].concat()))
        .collect();
    let file = [integer(1, 8), entries, bytes(7, &Model::sound().graph())].concat();
    cases.push(("6000 metadata".into(), file, "4 MiB"));
    for number in [1, 5, 11, 12] {
        let graph = [Model::sound().graph(), integer(number, 1)].concat();
        let file = [integer(1, 8), bytes(7, &graph)].concat();
        cases.push((format!("field {number} of the graph is a number"), file, "another kind of value"));
    }
    cases
}

/// Shapes, and numbers that are not there.
fn tensors() -> Vec<Case> {
    let first = |tensor| Model::sound().with_initializer(0, tensor);
    let ones = |count| raw(std::iter::repeat_n(1.0, count));
    let max = i64::MAX;
    let mut twice = Model::sound();
    twice.initializers.push(twice.initializers[0].clone());
    let mut many = Model::sound();
    many.initializers.extend((0..20_000).map(|index| tensor(&format!("t{index}"), &[0], &[])));
    let shape = typed("shape", 7, &[100_000], &bytes(9, &[1; 800_000]));
    let mut long_shape = Model::sound().with_node(3, node("Reshape", &["m", "shape"], "f", &[]));
    long_shape.initializers.push(shape);
    vec![
        case("a negative extent", &first(tensor("w0", &[4, -3, 3, 3], &ones(108))), "negative extent"),
        case(
            "a product beyond 64 bits",
            &first(tensor("w0", &[1 << 32, 1 << 32, 3, 3], &ones(1))),
            "addressed",
        ),
        case(
            "a product beyond the address space",
            &first(tensor("w0", &[max, 1, 3, 3], &ones(1))),
            "addressed",
        ),
        case("a shape of 17 extents", &first(tensor("w0", &[1; 17], &ones(1))), "more than 16"),
        case("no such elements", &first(tensor("w0", &[1 << 20, 3, 3, 3], &ones(1))), "needs"),
        case("too few elements", &first(tensor("w0", &[4, 3, 3, 3], &ones(107))), "needs 432 bytes"),
        case("too many elements", &first(tensor("w0", &[4, 3, 3, 3], &ones(109))), "needs 432 bytes"),
        case("no elements", &first(tensor("w0", &[4, 3, 3, 3], &[])), "needs 432 bytes"),
        case(
            "too few packed numbers",
            &first(tensor("w0", &[4, 3, 3, 3], &bytes(4, &[0; 400]))),
            "needs 432 bytes",
        ),
        case("half a number", &first(tensor("w0", &[4, 3, 3, 3], &bytes(4, &[0; 433]))), "needs 432 bytes"),
        case("integers for weights", &first(typed("w0", 7, &[4, 3, 3, 3], &bytes(9, &[0; 864]))), "INT64"),
        case("texts for weights", &first(typed("w0", 8, &[4, 3, 3, 3], &[])), "STRING"),
        case("an unknown type", &first(typed("w0", 77, &[4, 3, 3, 3], &[])), "number 77"),
        case(
            "float16 of other numbers",
            &first(typed("w0", 10, &[4, 3, 3, 3], &bytes(5, &[1; 500]))),
            "more than",
        ),
        case(
            "segments",
            &first([tensor("w0", &[4, 3, 3, 3], &ones(108)), bytes(3, &[])].concat()),
            "segments",
        ),
        case("two of a name", &twice, "two initializers"),
        case("20 000 initializers", &many, "more than 5000"),
        case("a shape of 100 000 extents", &long_shape, "at most 256"),
        case("an empty weight", &first(tensor("w0", &[0, 3, 3, 3], &raw([]))), "shape [0]"),
        case(
            "a bias of another length",
            &Model::sound().with_initializer(1, tensor("b0", &[5], &ones(5))),
            "b0",
        ),
    ]
}

/// Tensors in other files.
fn elsewhere(folder: &Path) -> Vec<Case> {
    let first = |data: Vec<u8>| Model::sound().with_initializer(0, tensor("w0", &[4, 3, 3, 3], &data));
    let outside = folder.parent().unwrap_or(folder).join("vggx-outside.data");
    std::fs::create_dir_all(folder.join("inside")).unwrap();
    std::fs::write(folder.join("short.data"), [0; 100]).unwrap();
    let mut cases = vec![
        case("the parent folder", &first(external("../secret.data", &[])), "not in the model's folder"),
        case("through a folder", &first(external("inside/../../secret", &[])), "not in the model's folder"),
        case("an absolute path", &first(external("/etc/passwd", &[])), "not in the model's folder"),
        case("a folder", &first(external("inside", &[])), "cannot be used"),
        case("no location", &first(external("", &[])), "not in the model's folder"),
        case("a missing file", &first(external("missing.data", &[])), "not beside the model"),
        case("a short file", &first(external("short.data", &[])), "needs 432 bytes"),
        case(
            "beyond its end",
            &first(external("short.data", &[("offset", "1000"), ("length", "432")])),
            "too few",
        ),
        case(
            "beyond 2⁶⁴",
            &first(external("short.data", &[("offset", "18446744073709551615"), ("length", "432")])),
            "too few",
        ),
        case(
            "a length of 2⁶³",
            &first(external("short.data", &[("length", "9223372036854775808")])),
            "too few",
        ),
        case("an offset in words", &first(external("short.data", &[("offset", "ten")])), "not a number"),
        case("a negative offset", &first(external("short.data", &[("offset", "-4")])), "not a number"),
    ];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&outside, folder.join("broken.data")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.join("link.data")).unwrap();
        std::os::unix::fs::symlink("/etc", folder.join("folder")).unwrap();
        cases.push(case(
            "a link that leads nowhere",
            &first(external("broken.data", &[])),
            "not beside the model",
        ));
        cases.push(case("a link that leads out", &first(external("link.data", &[])), "leads out"));
        cases.push(case("a folder that leads out", &first(external("folder/passwd", &[])), "leads out"));
    }
    cases
}

/// Graphs without an end, or with too much in them.
fn graphs() -> Vec<Case> {
    let mut circle = Model::sound();
    circle.nodes[1] = node("Relu", &["m"], "r", &[]);
    let mut itself = Model::sound();
    itself.nodes[1] = node("Relu", &["r"], "r", &[]);
    let mut twice = Model::sound();
    twice.nodes.push(node("Relu", &["c"], "r", &[]));
    let mut empty_nodes = Model::sound();
    empty_nodes.nodes.extend(std::iter::repeat_n(vec![], 1_000_000));
    let mut chain = Model::sound();
    chain.nodes[1] = node("Relu", &["c"], "x0", &[]);
    chain.nodes.extend(
        (0..4900).map(|index| node("Identity", &[&format!("x{index}")], &format!("x{}", index + 1), &[])),
    );
    chain.nodes[2] = node("LRN", &["x4900"], "m", &[]);
    let mut attributes = Model::sound();
    attributes.nodes[1] = node("Relu", &["c"], "r", &vec![text(1, "a"); 1000]);
    let mut inputs = Model::sound();
    inputs.nodes[1] = node("Max", &["c"; 1000], "r", &[]);
    let mut nested = vec![];
    for _ in 0..3000 {
        // A graph with a node with an attribute with a graph.
        nested = bytes(
            1,
            &[text(4, "If"), bytes(5, &[text(1, "then_branch"), bytes(6, &nested), integer(20, 5)].concat())]
                .concat(),
        );
    }
    let branch = [text(1, "then_branch"), bytes(6, &nested), integer(20, 5)].concat();
    let deep = Model::sound().with_node(1, node("If", &["c"], "r", &[branch]));
    let mut no_output = Model::sound();
    no_output.outputs = vec![value("nothing", &[1])];
    let mut straight = Model::sound();
    straight.outputs = vec![value("image", &[1])];
    let mut constant = Model::sound();
    constant.outputs = vec![value("b1", &[2])];
    let mut branch = Model::sound();
    branch.nodes.push(node("Relu", &["c"], "again", &[]));
    branch.nodes.push(node("Shape", &["again"], "shape", &[]));
    branch.nodes[3] = node("Reshape", &["m", "shape"], "f", &[]);
    let mut both = Model::sound();
    both.nodes[1] = node("Add", &["c", "image"], "r", &[]);
    let mut flat = Model::sound();
    flat.inputs = vec![value("image", &[1, 192])];
    // Constants of 2 MB, computed 4900 times.
    let mut computed = Model::sound();
    computed.initializers.push(tensor("x0", &[1 << 18], &raw((0..1 << 18).map(|_| 1.0))));
    computed
        .nodes
        .extend((0..4900).map(|index| node("Neg", &[&format!("x{index}")], &format!("x{}", index + 1), &[])));
    computed.nodes[1] = node("Mul", &["c", "x4900"], "r", &[]);
    // Shapes of 250 extents, copied 4900 times.
    let mut shapes = Model::sound();
    shapes.initializers.push(typed("x0", 7, &[250], &bytes(9, &[1; 2000])));
    shapes.nodes.extend(
        (0..4900).map(|index| node("Identity", &[&format!("x{index}")], &format!("x{}", index + 1), &[])),
    );
    shapes.nodes[3] = node("Reshape", &["m", "x4900"], "f", &[]);
    // As many attributes and inputs as go.
    let mut wide = Model::sound();
    let names: Vec<&str> = vec!["c"; 32];
    wide.nodes.extend(std::iter::repeat_n(node("Max", &names, "", &vec![text(1, "a"); 32]), 4990));
    wide.nodes[1] = node("LRN", &["c"], "r", &[]);
    vec![
        case("constants computed 4900 times", &computed, "more with constants"),
        case("shapes computed 4900 times", &shapes, "more with constants"),
        case("4990 wide nodes", &wide, "LRN"),
        case("a circle", &circle, "circle"),
        case("a node that needs itself", &itself, "circle"),
        case("two nodes make one value", &twice, "two nodes"),
        case("a million empty nodes", &empty_nodes, "more than 5000 nodes"),
        case("a chain of 4900 nodes", &chain, "LRN"),
        case("1000 attributes", &attributes, "attributes of a node"),
        case("1000 inputs", &inputs, "inputs of a node"),
        case("3000 graphs in each other", &deep, "If"),
        case("an output that nothing makes", &no_output, "does not depend"),
        case("an output that is the input", &straight, "convolution"),
        case("an output that is a constant", &constant, "does not depend"),
        case("an older value", &branch, "a branch"),
        case("a sum of two", &both, "branches"),
        case("an input that is no image", &flat, "images need four"),
    ]
}

/// Attributes and constants that no operator takes.
fn operators() -> Vec<Case> {
    let (min, max) = (i64::MIN, i64::MAX);
    let first = |attributes: &[Vec<u8>]| {
        Model::sound().with_node(0, node("Conv", &["image", "w0", "b0"], "c", attributes))
    };
    let relu = |operator: &str, inputs: &[&str], attributes: &[Vec<u8>]| {
        Model::sound().with_node(1, node(operator, inputs, "r", attributes))
    };
    let constant = |operator: &str, values: &[i64], more: &[Vec<u8>]| {
        let mut model = relu(operator, &["c", "constant"], more);
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        model.initializers.push(typed("constant", 7, &[values.len() as i64], &bytes(9, &raw)));
        model
    };
    let mut norm = relu("BatchNormalization", &["c", "b0", "b0", "b0", "b1"], &[]);
    norm.initializers[1] = tensor("b0", &[4], &raw([1.0; 4]));
    let mut zero = relu("Div", &["c", "zero"], &[]);
    zero.initializers.push(tensor("zero", &[1], &raw([0.0])));
    let mut wide = relu("BatchNormalization", &["c", "wide", "b0", "b0", "b0"], &[]);
    wide.initializers.push(tensor("wide", &[1 << 40], &raw([0.0])));
    let mut axes = relu("Slice", &["c", "s", "s", "s", "s"], &[]);
    axes.initializers.push(typed("s", 7, &[1], &bytes(9, &min.to_le_bytes())));
    vec![
        case("huge pads", &first(&[integers("pads", &[max; 4])]), "padding"),
        case("negative pads", &first(&[integers("pads", &[-1; 4])]), "padding"),
        case("three pads", &first(&[integers("pads", &[1; 3])]), "padding"),
        case(
            "a negative kernel",
            &first(&[integers("kernel_shape", &[-3, 3]), integers("pads", &[1; 4])]),
            "contradicts",
        ),
        case("strides of 0", &first(&[integers("strides", &[0, 0]), integers("pads", &[1; 4])]), "strides"),
        case("no axes", &relu("Transpose", &["c"], &[integers("perm", &[])]), "permutation"),
        case("an axis twice", &relu("Transpose", &["c"], &[integers("perm", &[0, 0, 1, 2])]), "permutation"),
        case("an axis beyond", &relu("Transpose", &["c"], &[integers("perm", &[0, 1, 2, 4])]), "permutation"),
        case("a shape of 2⁶³", &constant("Reshape", &[max, max], &[]), "Reshape"),
        case("a negative shape", &constant("Reshape", &[-5, 3], &[]), "extent -5"),
        case("an open shape", &constant("Reshape", &[-1, -1], &[]), "Reshape"),
        case("no shape", &constant("Reshape", &[], &[]), "Reshape"),
        case("an axis of −2⁶³", &constant("Squeeze", &[min], &[]), "axis"),
        case("axes far away", &constant("Unsqueeze", &[max, min], &[]), "impossible"),
        case("a hundred axes", &constant("Unsqueeze", &[0; 100], &[]), "impossible"),
        case("pads of −2⁶³", &constant("Pad", &[min; 8], &[]), "Pad"),
        case("pads of 2⁶³", &constant("Pad", &[0, 0, max, max, 0, 0, max, max], &[]), "convolution"),
        case("a slice of extremes", &axes, "Slice"),
        case(
            "channels far away",
            &constant("Gather", &[max, min, 0], &[[text(1, "axis"), integer(3, 1), integer(20, 2)].concat()]),
            "Gather",
        ),
        case("vectors of other lengths", &norm, "lengths"),
        case("a division by zero", &zero, "division by zero"),
        case("a factor of 4 TB", &wide, "make sense"),
        case("a missing input", &relu("Mul", &["c", "missing"], &[]), "nothing before it makes"),
        case("no input", &relu("Relu", &[], &[]), "Relu"),
    ]
}

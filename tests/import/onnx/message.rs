//! Writes ONNX's messages byte by byte, sound or not.

/// Varint: seven bits a byte, the lowest first.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field that holds bytes: a text or a message.
pub fn bytes(number: u32, content: &[u8]) -> Vec<u8> {
    announced(number, content.len() as u64, content)
}

/// A field that says it holds `length` bytes.
pub fn announced(number: u32, length: u64, content: &[u8]) -> Vec<u8> {
    [varint(u64::from(number) << 3 | 2), varint(length), content.to_vec()].concat()
}

pub fn text(number: u32, content: &str) -> Vec<u8> {
    bytes(number, content.as_bytes())
}

pub fn integer(number: u32, value: i64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value.cast_unsigned())].concat()
}

/// A tensor of float32 numbers; `data` are fields that hold its elements.
pub fn tensor(name: &str, shape: &[i64], data: &[u8]) -> Vec<u8> {
    typed(name, 1, shape, data)
}

/// A tensor of the element type with this number.
pub fn typed(name: &str, kind: i64, shape: &[i64], data: &[u8]) -> Vec<u8> {
    let extents: Vec<u8> = shape.iter().flat_map(|&extent| integer(1, extent)).collect();
    [extents, integer(2, kind), text(8, name), data.to_vec()].concat()
}

/// raw_data of float32.
pub fn raw(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    bytes(9, &values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<_>>())
}

/// external_data.
pub fn external(location: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let entry = |(key, value): &(&str, &str)| bytes(13, &[text(1, key), text(2, value)].concat());
    let entries: Vec<u8> = [("location", location)].iter().chain(more).flat_map(entry).collect();
    [entries, integer(14, 1)].concat()
}

pub fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|name| text(1, name)).collect();
    let attributes: Vec<u8> = attributes.iter().flat_map(|attribute| bytes(5, attribute)).collect();
    [inputs, text(2, output), text(3, operator), text(4, operator), attributes].concat()
}

/// An attribute of integers.
pub fn integers(name: &str, values: &[i64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|&value| integer(8, value)).collect();
    [text(1, name), values, integer(20, 7)].concat()
}

/// An input or output of the graph.
pub fn value(name: &str, shape: &[i64]) -> Vec<u8> {
    let extents: Vec<u8> = shape.iter().flat_map(|&extent| bytes(1, &integer(1, extent))).collect();
    let tensor = [integer(1, 1), bytes(2, &extents)].concat();
    [text(1, name), bytes(2, &bytes(1, &tensor))].concat()
}

/// A small network, to be spoilt.
pub struct Model {
    pub nodes: Vec<Vec<u8>>,
    pub initializers: Vec<Vec<u8>>,
    pub inputs: Vec<Vec<u8>>,
    pub outputs: Vec<Vec<u8>>,
    /// Fields of the model beside the graph.
    pub fields: Vec<u8>,
}

impl Model {
    /// 3×3 convolution of 3 to 4 channels, ReLU, max-pool, and a dense layer of 2 outputs over 4×4 positions.
    pub fn sound() -> Self {
        let values = |count: usize| raw((0..count).map(|index| (index as f32).sin() / 4.0));
        Self {
            nodes: vec![
                node("Conv", &["image", "w0", "b0"], "c", &[integers("pads", &[1, 1, 1, 1])]),
                node("Relu", &["c"], "r", &[]),
                node(
                    "MaxPool",
                    &["r"],
                    "m",
                    &[integers("kernel_shape", &[2, 2]), integers("strides", &[2, 2])],
                ),
                node("Flatten", &["m"], "f", &[]),
                node("Gemm", &["f", "w1", "b1"], "out", &[]),
            ],
            initializers: vec![
                tensor("w0", &[4, 3, 3, 3], &values(108)),
                tensor("b0", &[4], &values(4)),
                tensor("w1", &[64, 2], &values(128)),
                tensor("b1", &[2], &values(2)),
            ],
            inputs: vec![value("image", &[1, 3, 8, 8])],
            outputs: vec![value("out", &[1, 2])],
            fields: [integer(1, 8), bytes(8, &[text(1, ""), integer(2, 17)].concat())].concat(),
        }
    }

    /// With one initializer in place of another.
    pub fn with_initializer(mut self, index: usize, tensor: Vec<u8>) -> Self {
        self.initializers[index] = tensor;
        self
    }

    /// With one node in place of another.
    pub fn with_node(mut self, index: usize, node: Vec<u8>) -> Self {
        self.nodes[index] = node;
        self
    }

    pub fn graph(&self) -> Vec<u8> {
        let fields = |number: u32, messages: &[Vec<u8>]| -> Vec<u8> {
            messages.iter().flat_map(|message| bytes(number, message)).collect()
        };
        [
            fields(1, &self.nodes),
            fields(11, &self.inputs),
            fields(12, &self.outputs),
            fields(5, &self.initializers),
        ]
        .concat()
    }

    pub fn bytes(&self) -> Vec<u8> {
        [self.fields.clone(), bytes(7, &self.graph())].concat()
    }
}

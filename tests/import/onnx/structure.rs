//! Models that are almost sound: fields changed, lost or doubled, with lengths that fit, so that readers get past the wire.

use crate::mutate::Random;

use super::message::{bytes, integer};

/// A field's number and what it holds.
type Field = (u32, Item);

#[derive(Clone)]
enum Item {
    Integer(u64),
    Fixed(Vec<u8>),
    Bytes(Vec<u8>),
    Message(Vec<Field>),
}

/// Operators that readers know, and one that they do not.
const OPERATORS: [&str; 42] = [
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "Div",
    "Dropout",
    "Flatten",
    "Gather",
    "GatherND",
    "Gemm",
    "GlobalAveragePool",
    "Identity",
    "LogSoftmax",
    "MatMul",
    "Max",
    "MaxPool",
    "Mul",
    "Neg",
    "Pad",
    "Reciprocal",
    "ReduceMean",
    "ReduceProd",
    "Relu",
    "Reshape",
    "ReverseSequence",
    "Shape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Transpose",
    "Unsqueeze",
    "If",
    "LRN",
    "",
];
/// Integers at which arithmetic goes wrong, and such as are common.
const INTEGERS: [i64; 14] =
    [0, 1, 2, 3, 4, 7, -1, -2, -3, 1000, i32::MAX as i64, i64::MAX, i64::MIN, 1 << 32];

/// Fields that are messages, below a path of field numbers from the model on.
fn is_message(path: &[u32]) -> bool {
    matches!(
        path,
        [7 | 8 | 14]
            | [7, 1 | 5 | 11 | 12]
            | [7, 1, 5]
            | [7, 1, 5, 5]
            | [7, 5, 13]
            | [7, 11 | 12, 2]
            | [7, 11 | 12, 2, 1]
            | [7, 11 | 12, 2, 1, 2]
            | [7, 11 | 12, 2, 1, 2, 1]
    )
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a sound file");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

fn parse(mut bytes: &[u8], path: &mut Vec<u32>) -> Vec<Field> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let number = (tag >> 3) as u32;
        let width = match tag & 7 {
            0 => {
                fields.push((number, Item::Integer(varint(&mut bytes))));
                continue;
            }
            1 => 8,
            5 => 4,
            _ => varint(&mut bytes) as usize,
        };
        let (content, rest) = bytes.split_at(width);
        bytes = rest;
        path.push(number);
        fields.push((
            number,
            match tag & 7 {
                2 if is_message(path) => Item::Message(parse(content, path)),
                2 => Item::Bytes(content.to_vec()),
                _ => Item::Fixed(content.to_vec()),
            },
        ));
        path.pop();
    }
    fields
}

fn write(fields: &[Field]) -> Vec<u8> {
    let field = |(number, item): &Field| match item {
        Item::Integer(value) => integer(*number, value.cast_signed()),
        Item::Fixed(content) => {
            // Tags of less than 16 are one byte.
            let kind = if content.len() == 8 { 1 } else { 5 };
            [&[(*number << 3) as u8 | kind][..], content].concat()
        }
        Item::Bytes(content) => bytes(*number, content),
        Item::Message(inner) => bytes(*number, &write(inner)),
    };
    fields.iter().flat_map(field).collect()
}

/// Every list of fields, the outermost first.
fn lists<'a>(fields: &'a mut Vec<Field>, visit: &mut dyn FnMut(&mut Vec<Field>)) {
    visit(fields);
    for (_, item) in fields {
        if let Item::Message(inner) = item {
            lists(inner, visit);
        }
    }
}

/// A sound model with up to three changes.
pub fn mutated(model: &[u8], random: &mut Random) -> Vec<u8> {
    let mut fields = parse(model, &mut Vec::new());
    let mut texts = Vec::new();
    lists(&mut fields, &mut |list| {
        texts.extend(list.iter().filter_map(|(_, item)| match item {
            Item::Bytes(text) if text.len() < 60 => Some(text.clone()),
            _ => None,
        }));
    });
    for _ in 0..=random.below(3) {
        let mut count = 0;
        lists(&mut fields, &mut |list| count += list.len());
        // Any field of any message; large messages do not count for more.
        let mut left = random.below(count.max(1));
        lists(&mut fields, &mut |list| {
            if left < list.len() {
                change(list, left, &texts, random);
                left = usize::MAX;
            } else if left != usize::MAX {
                left -= list.len();
            }
        });
    }
    write(&fields)
}

fn change(list: &mut Vec<Field>, at: usize, texts: &[Vec<u8>], random: &mut Random) {
    match random.below(8) {
        0 => {
            list.remove(at);
            return;
        }
        1 => {
            let again = list[at].clone();
            list.insert(random.below(list.len() + 1), again);
            return;
        }
        2 => {
            let other = random.below(list.len());
            list.swap(at, other);
            return;
        }
        _ => {}
    }
    let (number, item) = &mut list[at];
    match item {
        Item::Integer(value) if random.below(4) == 0 => {
            *value = value.wrapping_add(random.next() % 3).wrapping_sub(1)
        }
        Item::Integer(value) => *value = INTEGERS[random.below(INTEGERS.len())].cast_unsigned(),
        Item::Fixed(content) => {
            let edges = [0.0, -0.0, 1.0, -1.0, f32::NAN, f32::INFINITY, f32::MAX, 1e-30];
            let edge = edges[random.below(edges.len())].to_le_bytes().repeat(2);
            content.iter_mut().zip(edge).for_each(|(byte, edge)| *byte = edge);
        }
        Item::Bytes(content) if *number == 4 && random.below(2) == 0 => {
            *content = OPERATORS[random.below(OPERATORS.len())].as_bytes().to_vec();
        }
        // Eight bytes: an int64, such as an axis or an extent.
        Item::Bytes(content) if content.len() % 8 == 0 && !content.is_empty() && random.below(2) == 0 => {
            let place = 8 * random.below(content.len() / 8);
            content[place..place + 8].copy_from_slice(&INTEGERS[random.below(INTEGERS.len())].to_le_bytes());
        }
        Item::Bytes(content) if !texts.is_empty() => content.clone_from(&texts[random.below(texts.len())]),
        Item::Bytes(content) => content.clear(),
        Item::Message(inner) => inner.clear(),
    }
}

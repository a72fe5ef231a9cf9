//! Nodes of a graph, and their attributes.

use super::damaged;
use super::model::push;
use super::wire::{Field, Message};
use crate::weights::WeightProblem;

/// Most inputs, outputs or attributes of a node.
const MOST_OF_A_NODE: usize = 32;
/// Most integers or floats in an attribute.
const MOST_NUMBERS: usize = 10_000;

#[derive(Debug)]
pub(super) struct Node<'a> {
    /// An empty name is an input that was left out.
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    pub(super) operator: &'a str,
    pub(super) domain: &'a str,
    name: &'a str,
    attributes: Vec<Attribute<'a>>,
}

/// What it holds is read when somebody asks for it.
#[derive(Debug)]
struct Attribute<'a> {
    name: &'a str,
    message: Message<'a>,
}

#[derive(Debug, Clone)]
pub(super) enum AttributeValue<'a> {
    Integer(i64),
    Float(f32),
    Text(&'a str),
    Tensor(Message<'a>),
    Integers(Vec<i64>),
    Floats(Vec<f32>),
    /// A sub-graph or another thing that no network here needs.
    Other,
}

impl<'a> Node<'a> {
    pub(super) fn read(message: Message<'a>) -> Result<Self, WeightProblem> {
        let mut node =
            Self { inputs: vec![], outputs: vec![], operator: "", domain: "", name: "", attributes: vec![] };
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => push(&mut node.inputs, MOST_OF_A_NODE, "inputs of a node", field.text()?)?,
                2 => push(&mut node.outputs, MOST_OF_A_NODE, "outputs of a node", field.text()?)?,
                3 => node.name = field.text()?,
                4 => node.operator = field.text()?,
                5 => {
                    let attribute = Attribute::read(field.message()?)?;
                    push(&mut node.attributes, MOST_OF_A_NODE, "attributes of a node", attribute)?;
                }
                7 => node.domain = field.text()?,
                _ => {}
            }
        }
        Ok(node)
    }

    /// Its name, or that of what it computes: names of nodes are optional.
    pub(super) fn label(&self) -> &'a str {
        match self.name {
            "" => self.outputs.first().copied().unwrap_or(self.operator),
            name => name,
        }
    }

    pub(super) fn refuse(&self, reason: impl Into<String>) -> WeightProblem {
        WeightProblem::Operation { name: self.label().to_owned(), reason: reason.into() }
    }

    /// Whether the operator is one that the standard defines.
    pub(super) fn is_standard(&self) -> bool {
        matches!(self.domain, "" | "ai.onnx")
    }

    /// The n-th input, unless it was left out.
    pub(super) fn input(&self, index: usize) -> Option<&'a str> {
        self.inputs.get(index).copied().filter(|name| !name.is_empty())
    }

    /// The first output.
    pub(super) fn output(&self) -> Result<&'a str, WeightProblem> {
        self.outputs.first().copied().ok_or_else(|| self.refuse("the node has no output"))
    }

    pub(super) fn attribute(&self, name: &str) -> Result<Option<AttributeValue<'a>>, WeightProblem> {
        let attribute = self.attributes.iter().find(|attribute| attribute.name == name);
        attribute.map(|attribute| AttributeValue::read(attribute.message)).transpose()
    }

    pub(super) fn integer(&self, name: &str, default: i64) -> Result<i64, WeightProblem> {
        match self.attribute(name)? {
            None => Ok(default),
            Some(AttributeValue::Integer(value)) => Ok(value),
            Some(_) => Err(self.refuse(format!("attribute {name} is not an integer"))),
        }
    }

    pub(super) fn float(&self, name: &str, default: f32) -> Result<f32, WeightProblem> {
        match self.attribute(name)? {
            None => Ok(default),
            Some(AttributeValue::Float(value)) => Ok(value),
            Some(_) => Err(self.refuse(format!("attribute {name} is not a number"))),
        }
    }

    pub(super) fn text(&self, name: &str, default: &'static str) -> Result<&'a str, WeightProblem> {
        match self.attribute(name)? {
            None => Ok(default),
            Some(AttributeValue::Text(value)) => Ok(value),
            Some(_) => Err(self.refuse(format!("attribute {name} is not a text"))),
        }
    }

    pub(super) fn integers(&self, name: &str) -> Result<Option<Vec<i64>>, WeightProblem> {
        match self.attribute(name)? {
            None => Ok(None),
            Some(AttributeValue::Integers(values)) => Ok(Some(values)),
            Some(_) => Err(self.refuse(format!("attribute {name} is not a list of integers"))),
        }
    }
}

impl<'a> Attribute<'a> {
    fn read(message: Message<'a>) -> Result<Self, WeightProblem> {
        let mut name = "";
        for field in message.fields() {
            let field = field?;
            if field.number == 1 {
                name = field.text()?;
            }
        }
        Ok(Self { name, message })
    }
}

impl<'a> AttributeValue<'a> {
    fn read(message: Message<'a>) -> Result<Self, WeightProblem> {
        let mut kind = None;
        let (mut float, mut integer, mut text, mut tensor) = (None, None, None, None);
        let (mut floats, mut integers) = (Vec::new(), Vec::new());
        for field in message.fields() {
            let field = field?;
            match field.number {
                2 => float = Some(field.float()?),
                3 => integer = Some(field.integer()?),
                4 => text = Some(field.message()?),
                5 => tensor = Some(field.message()?),
                7 => read_floats(field, &mut floats)?,
                8 => field.integers(&mut integers, MOST_NUMBERS)?,
                20 => kind = Some(field.integer()?),
                _ => {}
            }
        }
        // Files of the first versions do not say the kind.
        let kind = kind.unwrap_or_else(|| match () {
            () if float.is_some() => 1,
            () if integer.is_some() => 2,
            () if text.is_some() => 3,
            () if tensor.is_some() => 4,
            () if !floats.is_empty() => 6,
            () if !integers.is_empty() => 7,
            () => 0,
        });
        Ok(match (kind, tensor) {
            (1, _) => Self::Float(float.unwrap_or(0.0)),
            (2, _) => Self::Integer(integer.unwrap_or(0)),
            (3, _) => Self::Text(text.map_or(Ok(""), Message::text)?),
            (4, Some(tensor)) => Self::Tensor(tensor),
            (6, _) => Self::Floats(floats),
            (7, _) => Self::Integers(integers),
            _ => Self::Other,
        })
    }
}

fn read_floats(field: Field<'_>, floats: &mut Vec<f32>) -> Result<(), WeightProblem> {
    let mut too_many = false;
    field.fixed(&mut |bytes| {
        let (numbers, _) = bytes.as_chunks::<4>();
        too_many = numbers.len() + floats.len() > MOST_NUMBERS;
        if !too_many {
            floats.extend(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        }
    })?;
    if too_many { Err(damaged(format!("an attribute has more than {MOST_NUMBERS} numbers"))) } else { Ok(()) }
}

//! The messages of an ONNX file that a network is read from (onnx.proto of ONNX 1.23; numbers of fields as there).
//!
//! Names and texts are borrowed from the file, tensors stay in it. What is counted here is bounded: a VGG19 with batch
//! normalisation has some two hundred nodes.

use std::collections::BTreeMap;

use super::node::Node;
use super::tensor::Tensor;
use super::wire::Message;
use super::{damaged, harmful};
use crate::weights::WeightProblem;

/// Most nodes, initializers, inputs, outputs or metadata of a graph.
const MOST_PARTS: usize = 5000;
/// Most extents of a tensor.
const MOST_EXTENTS: usize = 16;
/// Most bytes of metadata.
const MOST_METADATA: usize = 4 << 20;

/// A file.
pub(super) struct Model<'a> {
    pub(super) metadata: BTreeMap<&'a str, &'a str>,
    pub(super) graph: Graph<'a>,
}

pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) initializers: Vec<Tensor<'a>>,
    pub(super) inputs: Vec<GraphValue<'a>>,
    pub(super) outputs: Vec<GraphValue<'a>>,
}

/// An input or output of the graph.
pub(super) struct GraphValue<'a> {
    pub(super) name: &'a str,
    /// Number of the element type; 0 where it is not said.
    pub(super) element: i64,
    /// Extents; those that are not fixed are `None`. Nothing where the rank is not said.
    pub(super) shape: Option<Vec<Option<usize>>>,
}

/// Adds one more, as long as there are not too many.
pub(super) fn push<T>(list: &mut Vec<T>, limit: usize, what: &str, one: T) -> Result<(), WeightProblem> {
    if list.len() == limit {
        return Err(harmful(format!("there are more than {limit} {what}, and no VGG needs so many")));
    }
    list.push(one);
    Ok(())
}

impl<'a> Model<'a> {
    pub(super) fn read(file: &'a [u8]) -> Result<Self, WeightProblem> {
        let (mut graph, mut size) = (None, 0);
        let mut metadata = BTreeMap::new();
        for field in Message::new(file, 0..file.len()).fields() {
            let field = field?;
            match field.number {
                7 if graph.is_some() => return Err(damaged("there are two graphs")),
                7 => graph = Some(field.message()?),
                14 => {
                    let (key, value) = read_entry(field.message()?)?;
                    size += key.len() + value.len() + 64;
                    if size > MOST_METADATA {
                        return Err(harmful("the metadata are larger than 4 MiB"));
                    }
                    metadata.insert(key, value);
                }
                8 => check_opset(field.message()?)?,
                _ => {}
            }
        }
        let graph =
            graph.ok_or_else(|| damaged("this is no ONNX model, or a damaged one: it has no graph"))?;
        Ok(Self { metadata, graph: Graph::read(graph)? })
    }
}

/// Before the seventh version of the operators, BatchNormalization and broadcasting were other ones.
fn check_opset(message: Message<'_>) -> Result<(), WeightProblem> {
    const OLDEST: i64 = 7;
    let (mut domain, mut version) = ("", 0);
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => domain = field.text()?,
            2 => version = field.integer()?,
            _ => {}
        }
    }
    if ["", "ai.onnx"].contains(&domain) && version < OLDEST {
        return Err(WeightProblem::Operation {
            name: format!("opset {version}"),
            reason: format!(
                "operators of opset {OLDEST} and later are read; convert the model with onnx.version_converter"
            ),
        });
    }
    Ok(())
}

/// A key and a value.
pub(super) fn read_entry(message: Message<'_>) -> Result<(&str, &str), WeightProblem> {
    let (mut key, mut value) = ("", "");
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => key = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((key, value))
}

impl<'a> Graph<'a> {
    fn read(message: Message<'a>) -> Result<Self, WeightProblem> {
        let mut graph = Self { nodes: vec![], initializers: vec![], inputs: vec![], outputs: vec![] };
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => push(&mut graph.nodes, MOST_PARTS, "nodes", Node::read(field.message()?)?)?,
                5 => {
                    let tensor = Tensor::read(field.message()?)?;
                    push(&mut graph.initializers, MOST_PARTS, "initializers", tensor)?;
                }
                11 => push(&mut graph.inputs, MOST_PARTS, "inputs", GraphValue::read(field.message()?)?)?,
                12 => push(&mut graph.outputs, MOST_PARTS, "outputs", GraphValue::read(field.message()?)?)?,
                _ => {}
            }
        }
        Ok(graph)
    }
}

impl<'a> GraphValue<'a> {
    fn read(message: Message<'a>) -> Result<Self, WeightProblem> {
        let mut value = Self { name: "", element: 0, shape: None };
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => value.name = field.text()?,
                2 => value.read_type(field.message()?)?,
                _ => {}
            }
        }
        Ok(value)
    }

    fn read_type(&mut self, message: Message<'_>) -> Result<(), WeightProblem> {
        for field in message.fields() {
            let field = field?;
            // Only tensors have field 1; sequences, maps and optional values are refused when they are used.
            if field.number != 1 {
                continue;
            }
            for field in field.message()?.fields() {
                let field = field?;
                match field.number {
                    1 => self.element = field.integer()?,
                    2 => self.shape = Some(read_shape(field.message()?)?),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn read_shape(message: Message<'_>) -> Result<Vec<Option<usize>>, WeightProblem> {
    let mut shape = Vec::new();
    for field in message.fields() {
        let field = field?;
        if field.number != 1 {
            continue;
        }
        let mut extent = None;
        for field in field.message()?.fields() {
            let field = field?;
            if field.number == 1 {
                // Some exporters write 0 or -1 for an extent that is not fixed.
                extent = usize::try_from(field.integer()?).ok().filter(|&extent| extent != 0);
            }
        }
        push(&mut shape, MOST_EXTENTS, "extents", extent)?;
    }
    Ok(shape)
}

//! ONNX: a graph of nodes in a protobuf file, read as the sequence of steps that a VGG is.
//!
//! | file | does |
//! |---|---|
//! | `wire`, `model`, `node`, `tensor`, `kind`, `external` | the file's messages, tensors, and files beside it |
//! | `order`, `walk`, `operands` | the nodes that the output needs, the walk along them, what each runs on |
//! | `activation` | what the axes of the one activation mean |
//! | `constant`, `integers`, `fold`, `shapes`, `slice` | constants, and nodes that compute them |
//! | `convolution`, `dense`, `pool`, `arithmetic`, `rearrange`, `channels` | operators, by what they do |
//! | `labels` | names of classes |

mod activation;
mod arithmetic;
mod channels;
mod constant;
mod convolution;
mod dense;
mod external;
mod fold;
mod integers;
mod kind;
mod labels;
mod model;
mod node;
mod operands;
mod order;
mod pool;
mod rearrange;
mod shapes;
mod slice;
mod tensor;
mod walk;
mod wire;

use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use self::activation::{Activation, Axis, Role};
use self::external::Folder;
use self::model::{GraphValue, Model};
use self::walk::Walk;
use super::{Imported, pixels};
use crate::weights::WeightProblem;

/// Element type UINT8 of ONNX.
const UINT8: i64 = 2;

/// Reads the network of an ONNX file. Weights stay in the file, or in those beside it that it names.
///
/// # Errors
/// When the file is damaged or hostile, or its graph is not that of a VGG: the node is named.
pub(crate) fn read(path: &Path, map: Arc<Mmap>) -> Result<Imported, WeightProblem> {
    let folder = Folder::of(path, Arc::clone(&map));
    let model = Model::read(&map)?;
    let graph = &model.graph;
    let constant = |name: &str| graph.initializers.iter().any(|tensor| tensor.name == name);
    let inputs: Vec<_> = graph.inputs.iter().filter(|input| !constant(input.name)).collect();
    let input = single(&inputs, "input")?;
    let output = single(&graph.outputs.iter().collect::<Vec<_>>(), "output")?;
    let image = image(input, graph)?;
    let extent = image.grid();
    let walked = Walk::run(graph, (input.name, image), output.name, &folder)?;
    let (steps, mut notes) = (walked.steps, walked.notes);
    let metadata =
        model.metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let convention = pixels::convention(&steps, input.element == UINT8, &metadata, "the graph");
    let mut labels = labels::labels(&model.metadata);
    let outputs = walked.output.extent(Role::Feature).or(walked.output.extent(Role::Channel));
    if let (Some(names), Some(outputs)) = (&labels, outputs)
        && names.len() != outputs
    {
        notes.push(format!(
            "the metadata name {} classes and there are {outputs} outputs: not used",
            names.len()
        ));
        labels = None;
    }
    Ok(Imported { steps, input: convention, metadata, labels, extent, beside: folder.beside(), notes })
}

/// The only one; several are refused by their names.
fn single<'g, 'a>(values: &[&'g GraphValue<'a>], what: &str) -> Result<&'g GraphValue<'a>, WeightProblem> {
    match values {
        [value] => Ok(value),
        [] => Err(damaged(format!("the graph has no {what}"))),
        [first, second, ..] => Err(WeightProblem::Operation {
            name: second.name.to_owned(),
            reason: format!("a second {what} beside {:?}; keep one of them", first.name),
        }),
    }
}

/// The input's axes: channels are second, or last where their extent says so or the graph moves them first of all.
fn image(input: &GraphValue<'_>, graph: &model::Graph<'_>) -> Result<Activation, WeightProblem> {
    let shape = match &input.shape {
        Some(shape) => shape.as_slice().try_into().map_err(|_| WeightProblem::Operation {
            name: input.name.to_owned(),
            reason: format!("an input of {} axes; images need four", shape.len()),
        })?,
        None => [None; 4],
    };
    let moved = graph.nodes.iter().any(|node| {
        node.input(0) == Some(input.name)
            && node.operator == "Transpose"
            && node.integers("perm").ok().flatten().is_some_and(|permutation| permutation == [0, 3, 1, 2])
    });
    let channels_last = shape[1] != Some(3) && (shape[3] == Some(3) || moved);
    if !channels_last {
        return Ok(Activation::map(shape));
    }
    let roles = [Role::Batch, Role::Row, Role::Column, Role::Channel];
    let axes = roles.into_iter().zip(shape).map(|(role, extent)| Axis::new(role, extent)).collect();
    Ok(Activation { axes, vector: false })
}

fn damaged(reason: impl Into<String>) -> WeightProblem {
    WeightProblem::Damaged(reason.into())
}

fn harmful(reason: impl Into<String>) -> WeightProblem {
    WeightProblem::Harmful(reason.into())
}

//! The weights of the authors' networks: `arr_0`, `arr_1`, … are a weight and a bias for every layer
//! (`save_parameters` in nn_patterns/utils/fileio.py, of `lasagne.layers.get_all_param_values`).

use std::collections::BTreeMap;
use std::sync::Arc;

use memmap2::Mmap;

use super::super::super::error::WeightProblem;
use super::super::array::Array;
use super::super::imported::{Imported, InputConvention};
use super::super::step::{DenseAxes, FlattenOrder, KernelAxes, Operation, Step};
use super::numbered::{Numbered, number};
use crate::network::{Preprocessing, VARIANTS};

const PREFIX: &str = "arr";

/// Reads a network. Convolutions are \[outputs, inputs, 3, 3\] and not flipped (`flip_filters=False` in
/// nn_patterns/utils/tests/networks/imagenet.py), dense layers \[inputs, outputs\] over maps in the order C, H, W. Where
/// the pools are the file does not say: it is that of the VGG with as many convolutions.
///
/// # Errors
/// When the archive is damaged or harmful, or its arrays are not those of a VGG.
pub(in super::super) fn read(map: Arc<Mmap>) -> Result<Imported, WeightProblem> {
    let archive = Numbered::open(map)?;
    if let Some(other) = archive.names().iter().find(|name| number(name, PREFIX).is_none()) {
        return Err(WeightProblem::Harmful(format!(
            "{other} is not expected: an .npz file of weights has arr_0, arr_1, … as the authors of PatternNet wrote it, and this one has {}; \
                 patterns (A_0, A_1, …) are read by --patterns",
            archive.excerpt()
        )));
    }
    let layers = layers(archive.list(PREFIX)?)?;
    let blocks = blocks(&layers)?;
    let extent = extent(&layers, blocks.len());
    Ok(Imported {
        steps: steps(layers, blocks),
        input: InputConvention::Assumed {
            // VGG16_OFFSET and preprocess in examples/utils.py.
            preprocessing: Preprocessing::CAFFE,
            reason: "the authors' networks take Caffe's input".to_owned(),
        },
        metadata: BTreeMap::new(),
        labels: None,
        extent,
        beside: 0,
        notes: vec![
            "the file does not say where the max-pools are; they are those of the VGG with as many convolutions".to_owned(),
        ],
    })
}

/// A layer's arrays.
struct Parameters {
    weight: Array,
    bias: Array,
}

impl Parameters {
    fn is_convolution(&self) -> bool {
        self.weight.shape().len() == 4
    }
}

/// Weights and biases alternate.
fn layers(arrays: Vec<Array>) -> Result<Vec<Parameters>, WeightProblem> {
    let mut layers: Vec<Parameters> = Vec::new();
    let mut arrays = arrays.into_iter();
    while let Some(weight) = arrays.next() {
        let dense_before = layers.last().is_some_and(|layer| !layer.is_convolution());
        let outputs = match *weight.shape() {
            [outputs, _, 3, 3] if !dense_before => outputs,
            [_, outputs] if !layers.is_empty() => outputs,
            _ => {
                return Err(mismatch(
                    &weight,
                    "[outputs, inputs, 3, 3] of convolutions first, then [inputs, outputs] of dense layers, a bias after each",
                ));
            }
        };
        let bias = arrays.next().ok_or_else(|| WeightProblem::MissingTensor {
            tensor: format!("the bias after {}", weight.name()),
            hint: "every weight is followed by its bias".to_owned(),
        })?;
        if bias.shape() != [outputs] {
            return Err(mismatch(&bias, &format!("[{outputs}], the bias of {}", weight.name())));
        }
        layers.push(Parameters { weight, bias });
    }
    Ok(layers)
}

/// The convolutions before each pool, of the VGG that has as many. Widths change at most behind a pool.
fn blocks(layers: &[Parameters]) -> Result<[usize; 5], WeightProblem> {
    let widths: Vec<usize> = layers
        .iter()
        .filter(|layer| layer.is_convolution())
        .filter_map(|layer| layer.weight.shape().first().copied())
        .collect();
    let (_, blocks) = VARIANTS
        .iter()
        .find(|(_, blocks)| blocks.iter().sum::<usize>() == widths.len())
        .ok_or_else(|| WeightProblem::Operation {
            name: format!("{PREFIX}_0"),
            reason: format!(
                "an .npz file does not say where max-pools are, and no VGG has {} convolutions (VGG11, 13, 16 and 19 have 8, \
                 10, 13 and 16); save the network in a format that says it, as ONNX",
                widths.len()
            ),
        })?;
    let mut start = 0;
    for &count in blocks {
        let block = widths.get(start..start + count).unwrap_or_default();
        if block.windows(2).any(|pair| matches!(pair, [first, second] if first != second)) {
            return Err(WeightProblem::Operation {
                name: format!("{PREFIX}_{}", 2 * start),
                reason: format!(
                    "an .npz file does not say where max-pools are, and the widths {widths:?} are not those of a VGG with {} \
                     convolutions; save the network in a format that says it, as ONNX",
                    widths.len()
                ),
            });
        }
        start += count;
    }
    Ok(*blocks)
}

/// Rows and columns of the image for which the first dense layer has its inputs.
fn extent(layers: &[Parameters], pools: usize) -> Option<(usize, usize)> {
    let dense = layers.iter().position(|layer| !layer.is_convolution())?;
    let &[inputs, _] = layers.get(dense)?.weight.shape() else {
        return None;
    };
    let &[channels, ..] = layers.get(dense.checked_sub(1)?)?.weight.shape() else {
        return None;
    };
    let side = inputs.checked_div(channels)?.isqrt();
    let image = side.checked_mul(1 << pools)?;
    (side > 0 && side.checked_mul(side)?.checked_mul(channels)? == inputs).then_some((image, image))
}

fn steps(layers: Vec<Parameters>, blocks: [usize; 5]) -> Vec<Step> {
    // Positions in the list of layers behind which a pool stands.
    let mut ends = blocks.iter().scan(0, |sum, &count| {
        *sum += count;
        Some(*sum)
    });
    let mut next_end = ends.next();
    let count = layers.len();
    let mut steps = Vec::new();
    let mut flat = false;
    for (index, Parameters { weight, bias }) in layers.into_iter().enumerate() {
        let name = weight.name().to_owned();
        let mut add = |operation| steps.push(Step { name: name.clone(), operation });
        if weight.shape().len() == 4 {
            add(Operation::Convolution {
                weight,
                axes: KernelAxes::OutputsInputsRowsColumns,
                bias: Some(bias),
            });
            add(Operation::Relu);
            if next_end == Some(index + 1) {
                add(Operation::MaxPool);
                next_end = ends.next();
            }
            continue;
        }
        if !std::mem::replace(&mut flat, true) {
            add(Operation::Flatten(FlattenOrder::ChannelsFirst));
        }
        add(Operation::Dense { weight, axes: DenseAxes::InputsOutputs, bias: Some(bias) });
        add(if index + 1 == count { Operation::Softmax } else { Operation::Relu });
    }
    steps
}

fn mismatch(array: &Array, expected: &str) -> WeightProblem {
    WeightProblem::Shape {
        tensor: array.name().to_owned(),
        found: array.shape().to_vec(),
        expected: expected.to_owned(),
    }
}

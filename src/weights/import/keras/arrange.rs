//! A VGG from layers that are only named.

use super::super::super::error::WeightProblem;
use super::super::{DenseAxes, FlattenOrder, Imported, KernelAxes, Operation, Step};
use super::names::{Found, Role, SAVE_ALL};
use super::{convention, imported, refuse};
use crate::network::VARIANTS;

/// # Errors
/// When where the pools are is not known.
pub(super) fn arrange(found: Vec<Found>) -> Result<Imported, WeightProblem> {
    let convolutions: Vec<&str> = found
        .iter()
        .filter(|layer| matches!(layer.role, Role::Convolution { .. }))
        .map(|layer| layer.name.as_str())
        .collect();
    // A model within another one lists its weights and not its pools, which then are told by names.
    let listed = found.iter().any(|layer| matches!(layer.role, Role::MaxPool));
    let nested = found.iter().find(|layer| layer.nested);
    if let Some(nested) = nested.filter(|_| listed) {
        return Err(refuse(
            &nested.name,
            format!("it is of a model within another one that has pools of its own; {SAVE_ALL}"),
        ));
    }
    let pools = if listed { Vec::new() } else { pools(&convolutions)? };
    let last_dense = found.iter().rposition(|layer| matches!(layer.role, Role::Dense { .. }));
    let input = convention(convolutions.iter().copied());
    let mut steps: Vec<Step> = Vec::new();
    let (mut convolution, mut pooled, mut channels, mut flat, mut extent) = (0, 0, 0, false, None);
    for (index, Found { name, role, .. }) in found.into_iter().enumerate() {
        let mut push = |operation| steps.push(Step { name: name.clone(), operation });
        match role {
            Role::Convolution { weight, bias } => {
                channels = weight.shape().last().copied().unwrap_or_default();
                push(Operation::Convolution { weight, axes: KernelAxes::RowsColumnsInputsOutputs, bias });
                push(Operation::Relu);
                convolution += 1;
                if pools.contains(&convolution) {
                    push(Operation::MaxPool);
                    pooled += 1;
                }
            }
            Role::MaxPool => {
                push(Operation::MaxPool);
                pooled += 1;
            }
            Role::GlobalAverage => {
                push(Operation::AdaptiveAveragePool { side: 1 });
                push(Operation::Flatten(FlattenOrder::ChannelsFirst));
                flat = true;
            }
            Role::Dense { weight, bias } => {
                if !flat {
                    push(Operation::Flatten(FlattenOrder::ChannelsLast));
                    flat = true;
                    extent = side(weight.shape().first().copied().unwrap_or_default(), channels, pooled);
                }
                push(Operation::Dense { weight, axes: DenseAxes::InputsOutputs, bias });
                if Some(index) != last_dense {
                    push(Operation::Relu);
                }
            }
            Role::Nothing => {}
        }
    }
    let notes = vec![
        "the file has weights alone: the order of the layers is that of their names, with a ReLU after each but the last \
         dense one"
            .to_owned(),
    ];
    Ok(imported(steps, input, extent, notes))
}

/// Rows and columns of an image whose map is flattened into `inputs` numbers, after so many pools: `inputs` are
/// channels · side².
fn side(inputs: usize, channels: usize, pools: u32) -> Option<(usize, usize)> {
    let side = inputs.checked_div(channels)?.isqrt();
    (side > 0 && channels.checked_mul(side)?.checked_mul(side)? == inputs).then_some(())?;
    let side = side.checked_mul(2_usize.checked_pow(pools)?)?;
    Some((side, side))
}

/// After which convolution, counted from 1, a pool follows: at the end of each block, from names like `block1_conv2`, else
/// from their number (Simonyan & Zisserman 2015, table 1).
fn pools(convolutions: &[&str]) -> Result<Vec<usize>, WeightProblem> {
    let blocks: Option<Vec<u32>> = convolutions
        .iter()
        .map(|name| name.strip_prefix("block")?.split_once("_conv")?.0.parse().ok())
        .collect();
    if let Some(blocks) = blocks
        && blocks.is_sorted()
    {
        let ends = blocks.windows(2).enumerate().filter(|(_, pair)| pair.first() != pair.last());
        return Ok(ends.map(|(index, _)| index + 1).chain([blocks.len()]).collect());
    }
    let count = convolutions.len();
    let (_, blocks) =
        VARIANTS.iter().find(|(_, blocks)| blocks.iter().sum::<usize>() == count).ok_or_else(|| {
            refuse(
                convolutions.first().copied().unwrap_or("the network"),
                format!(
                    "where pools follow the {count} convolutions is not known, as VGG11, 13, 16 and 19 have it; {SAVE_ALL}"
                ),
            )
        })?;
    Ok(blocks
        .iter()
        .scan(0, |end, block| {
            *end += block;
            Some(*end)
        })
        .collect())
}

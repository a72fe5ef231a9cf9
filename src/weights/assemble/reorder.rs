//! Weights in a file's order of extents, brought into torchvision's.

use super::super::import::{DenseAxes, FlattenOrder, KernelAxes};
use crate::parallel;

/// Elements of `SIZE` bytes.
type Elements<'a, const SIZE: usize> = &'a [[u8; SIZE]];

/// A convolution's weight as \[outputs, inputs, 3, 3\]; kernels of 1×1 stand in the middle of zeros.
///
/// `kernel` is the file's number of rows and columns, 3 or 1.
pub(super) fn convolution(
    bytes: &[u8],
    size: usize,
    axes: KernelAxes,
    outputs: usize,
    inputs: usize,
    kernel: usize,
) -> Vec<u8> {
    match size {
        2 => convolution_of::<2>(bytes, axes, outputs, inputs, kernel),
        _ => convolution_of::<4>(bytes, axes, outputs, inputs, kernel),
    }
}

fn convolution_of<const SIZE: usize>(
    bytes: &[u8],
    axes: KernelAxes,
    outputs: usize,
    inputs: usize,
    kernel: usize,
) -> Vec<u8> {
    let (source, _): (Elements<'_, SIZE>, _) = bytes.as_chunks();
    let mut result = vec![0; outputs * inputs * 9 * SIZE];
    parallel::each(result.chunks_mut(inputs * 9 * SIZE).enumerate(), |(output, row)| {
        let (row, _) = row.as_chunks_mut::<SIZE>();
        for input in 0..inputs {
            for tap in 0..kernel * kernel {
                let place = if kernel == 3 { tap } else { 4 };
                row[9 * input + place] = source[match axes {
                    KernelAxes::OutputsInputsRowsColumns => (output * inputs + input) * kernel * kernel + tap,
                    KernelAxes::RowsColumnsInputsOutputs => (tap * inputs + input) * outputs + output,
                }];
            }
        }
    });
    result
}

/// A dense layer's weight as \[outputs, inputs\], inputs channel by channel; the file's inputs are a map of `channels`, flattened
/// in `order`.
pub(super) fn dense(
    bytes: &[u8],
    size: usize,
    axes: DenseAxes,
    outputs: usize,
    inputs: usize,
    order: FlattenOrder,
    channels: usize,
) -> Vec<u8> {
    match size {
        2 => dense_of::<2>(bytes, axes, outputs, inputs, order, channels),
        _ => dense_of::<4>(bytes, axes, outputs, inputs, order, channels),
    }
}

/// Outputs that are gathered at a time: what is read of \[inputs, outputs\] is a whole cache line then.
const TOGETHER: usize = 16;

fn dense_of<const SIZE: usize>(
    bytes: &[u8],
    axes: DenseAxes,
    outputs: usize,
    inputs: usize,
    order: FlattenOrder,
    channels: usize,
) -> Vec<u8> {
    let (source, _): (Elements<'_, SIZE>, _) = bytes.as_chunks();
    let positions = inputs / channels;
    let mut result = vec![0; outputs * inputs * SIZE];
    parallel::each(result.chunks_mut(TOGETHER * inputs * SIZE).enumerate(), |(group, rows)| {
        let (rows, _) = rows.as_chunks_mut::<SIZE>();
        let first = group * TOGETHER;
        let together = rows.len() / inputs;
        for channel in 0..channels {
            for position in 0..positions {
                let to = channel * positions + position;
                let from = match order {
                    FlattenOrder::ChannelsFirst => to,
                    FlattenOrder::ChannelsLast => position * channels + channel,
                };
                for output in 0..together {
                    rows[output * inputs + to] = source[match axes {
                        DenseAxes::OutputsInputs => (first + output) * inputs + from,
                        DenseAxes::InputsOutputs => from * outputs + first + output,
                    }];
                }
            }
        }
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(bytes: &[u8]) -> Vec<f32> {
        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    fn bytes(values: impl Iterator<Item = f32>) -> Vec<u8> {
        values.flat_map(f32::to_le_bytes).collect()
    }

    #[test]
    fn kernels_of_any_order_become_torchvisions() {
        let (outputs, inputs) = (5, 3);
        let value = |output: usize, input: usize, tap: usize| (100 * output + 10 * input + tap) as f32;
        let expected: Vec<f32> = (0..outputs)
            .flat_map(|output| {
                (0..inputs).flat_map(move |input| (0..9).map(move |tap| value(output, input, tap)))
            })
            .collect();
        let keras = bytes((0..9).flat_map(|tap| {
            (0..inputs).flat_map(move |input| (0..outputs).map(move |output| value(output, input, tap)))
        }));
        let axes = KernelAxes::RowsColumnsInputsOutputs;
        assert_eq!(floats(&convolution(&keras, 4, axes, outputs, inputs, 3)), expected);
        let torch = bytes(expected.iter().copied());
        assert_eq!(
            floats(&convolution(&torch, 4, KernelAxes::OutputsInputsRowsColumns, outputs, inputs, 3)),
            expected
        );
        // 1×1 in the middle of 3×3.
        let single = convolution(&bytes([7.0, 8.0].into_iter()), 4, axes, 2, 1, 1);
        let mut around = [0.0; 18];
        (around[4], around[13]) = (7.0, 8.0);
        assert_eq!(floats(&single), around);
    }

    #[test]
    fn dense_weights_of_any_order_become_torchvisions() {
        // More outputs than are gathered at a time.
        let (outputs, channels, positions) = (TOGETHER + 3, 3, 4);
        let inputs = channels * positions;
        let value =
            |output: usize, channel: usize, position: usize| (1000 * output + 10 * channel + position) as f32;
        let expected: Vec<f32> = (0..outputs)
            .flat_map(|output| {
                (0..inputs).map(move |input| value(output, input / positions, input % positions))
            })
            .collect();
        for axes in [DenseAxes::OutputsInputs, DenseAxes::InputsOutputs] {
            for order in [FlattenOrder::ChannelsFirst, FlattenOrder::ChannelsLast] {
                let at = |output: usize, input: usize| match order {
                    FlattenOrder::ChannelsFirst => value(output, input / positions, input % positions),
                    FlattenOrder::ChannelsLast => value(output, input % channels, input / channels),
                };
                let file: Vec<f32> = match axes {
                    DenseAxes::OutputsInputs => {
                        (0..outputs).flat_map(|o| (0..inputs).map(move |i| at(o, i))).collect()
                    }
                    DenseAxes::InputsOutputs => {
                        (0..inputs).flat_map(|i| (0..outputs).map(move |o| at(o, i))).collect()
                    }
                };
                let made = dense(&bytes(file.into_iter()), 4, axes, outputs, inputs, order, channels);
                assert_eq!(floats(&made), expected, "{axes:?} {order:?}");
            }
        }
    }
}

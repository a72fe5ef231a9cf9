//! Where a backend gets the numbers of an operator from: rows of weights, patterns or their products.

/// The operators of all parametric layers, one row of fan-in values a neuron.
///
/// A row is shaped like the neuron's weights in the file: \[inputs, 3, 3\] for a convolution, \[inputs\] for a dense layer.
/// The operator is the row times 2^`gain_log2`: signals grow tenfold and more a layer, so every operator of a backward
/// pass is stored with its largest magnitude between 1/2 and 1, and the exponent travels separately (ReLU networks are
/// positively homogeneous, so this is exact). The forward operators are the weights as they are, with gain 2⁰.
pub trait OperatorSource: Send + Sync {
    /// Power of two that the rows of `layer` (counting parametric layers from 0) must be multiplied with.
    fn gain_log2(&self, layer: usize) -> i32;

    /// Reads elements `start..start + row.len()` of the row of `neuron`.
    fn read(&self, layer: usize, neuron: usize, start: usize, row: &mut [f32]);
}

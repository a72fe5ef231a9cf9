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

    /// How a device can form the operator of `layer` itself; `None` where rows must be read. Without the gain: the
    /// operator is the product of the factors.
    fn factors(&self, layer: usize) -> Option<Factors<'_>> {
        let _ = layer;
        None
    }
}

/// An operator as a product, element by element: `first` · `second` · the neuron's scale, in float64.
#[derive(Clone, Copy)]
pub struct Factors<'a> {
    /// A tensor of the layer's shape.
    pub first: Factor<'a>,
    /// Another one; none stands for ones.
    pub second: Option<Factor<'a>>,
    /// One number a neuron; none stands for ones.
    pub neuron_scales: Option<&'a [f64]>,
}

/// A tensor shaped like the layer's weights in the file, row-major.
#[derive(Clone, Copy)]
pub struct Factor<'a> {
    /// The type of its elements.
    pub element: FactorType,
    /// Its elements, little-endian, at any alignment.
    pub bytes: &'a [u8],
}

/// A number type of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorType {
    /// 32-bit IEEE 754.
    F32,
    /// 16-bit IEEE 754.
    F16,
    /// The upper half of a 32-bit IEEE 754 number.
    Bf16,
}

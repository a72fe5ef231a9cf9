//! A layer while it is being made.

use super::super::error::WeightProblem;
use super::super::import::{Array, Bytes, DenseAxes, FlattenOrder, KernelAxes};
use super::super::stored::Stored;
use super::super::tensor::ElementType;
use super::Parameters;
use super::affine::Affine;
use super::{fold, reorder};

/// What kind of layer, and how its weight lies in the file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Rows and columns of the file's kernel are `kernel`: 3 or 1.
    Convolution { axes: KernelAxes, kernel: usize },
    /// The inputs are a map of `channels`, flattened in `order`.
    Dense { axes: DenseAxes, order: FlattenOrder, channels: usize },
}

/// A layer whose shape is checked and whose weights have not been read.
#[derive(Debug)]
pub(super) struct Draft {
    /// The step that began it.
    pub(super) step: String,
    pub(super) kind: Kind,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) weight: Array,
    pub(super) bias: Option<Array>,
    /// Constants between the layer before it and its input: one for each input, channel by channel.
    pub(super) before: Option<Affine>,
    /// Constants between its output and the ReLU.
    pub(super) after: Option<Affine>,
    pub(super) relu: bool,
    /// Whether a max-pool follows.
    pub(super) pool: bool,
    /// Steps that were folded into it.
    pub(super) folded: Vec<String>,
}

impl Draft {
    pub(super) fn is_dense(&self) -> bool {
        matches!(self.kind, Kind::Dense { .. })
    }

    /// Reads the tensors.
    pub(super) fn finish(self) -> Result<Parameters, WeightProblem> {
        let (outputs, inputs) = (self.outputs, self.inputs);
        let (shape, taps) = match self.kind {
            Kind::Convolution { .. } => (vec![outputs, inputs, 3, 3], 9),
            Kind::Dense { .. } => (vec![outputs, inputs], 1),
        };
        let name = self.weight.name().to_owned();
        let bias_name =
            self.bias.as_ref().map_or_else(|| format!("{}.bias", self.step), |bias| bias.name().to_owned());
        let mut origins = vec![name.clone()];
        origins.extend(self.bias.as_ref().map(|bias| bias.name().to_owned()));
        origins.extend(self.folded);

        let (element, file_shape) = (self.weight.element(), self.weight.shape().to_vec());
        let weight = in_order(self.weight.into_bytes()?, element, self.kind, outputs, inputs);
        let (bias_element, bias) = match self.bias {
            Some(bias) => (bias.element(), bias.into_bytes()?),
            None => (ElementType::F32, Bytes::Owned(vec![0; 4 * outputs])),
        };
        let stored = |name, element, shape: Vec<usize>, file_shape, bytes| {
            Stored::new(name, element, shape, file_shape, bytes)
        };
        if self.before.is_none() && self.after.is_none() {
            return Ok(Parameters {
                weight: stored(name, element, shape, file_shape, weight),
                bias: stored(bias_name, bias_element, vec![outputs], vec![outputs], bias),
                origins,
            });
        }
        let (weight, bias) = fold::fold(
            &element.decode(&weight),
            &bias_element.decode(&bias),
            taps,
            self.before.as_ref(),
            self.after.as_ref(),
        );
        let bytes =
            |values: &[f32]| Bytes::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect());
        Ok(Parameters {
            weight: stored(name, ElementType::F32, shape, file_shape, bytes(&weight)),
            bias: stored(bias_name, ElementType::F32, vec![outputs], vec![outputs], bytes(&bias)),
            origins,
        })
    }
}

/// The weight in torchvision's order; what has it already is not copied.
fn in_order(bytes: Bytes, element: ElementType, kind: Kind, outputs: usize, inputs: usize) -> Bytes {
    match kind {
        Kind::Convolution { axes: KernelAxes::OutputsInputsRowsColumns, kernel: 3 }
        | Kind::Dense { axes: DenseAxes::OutputsInputs, order: FlattenOrder::ChannelsFirst, .. } => bytes,
        Kind::Convolution { axes, kernel } => {
            Bytes::Owned(reorder::convolution(&bytes, element.size(), axes, outputs, inputs, kernel))
        }
        Kind::Dense { axes, order, channels } => {
            Bytes::Owned(reorder::dense(&bytes, element.size(), axes, outputs, inputs, order, channels))
        }
    }
}

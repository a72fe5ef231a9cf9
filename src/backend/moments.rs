//! What is summed over a network's positions so that patterns can be solved from it, without an image.
//!
//! Of one neuron at one position: x is the patch of the layer's input under its weights (im2col, zero padding included),
//! y = wᵀx its response without the bias, z = y + b, and the position is *positive* where z > 0 and *negative*
//! elsewhere. Everything here is a plain sum in float64, so moments of several image sets merge by addition.
//!
//! Both regimes have their own Σxyᵀ; totals are their sum. That a regime is summed and not left over as a
//! difference keeps the patterns of neurons that are nearly always, or nearly never, active.

mod lags;

#[cfg(test)]
pub(in crate::backend) use lags::plain;
pub use lags::{LAGS, Lags};

use super::{BackendError, memory};
use crate::network::{Network, ParametricLayer};

/// The moments of all layers with weights, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// One a layer.
    pub layers: Vec<LayerMoments>,
}

/// The moments of one layer. Arrays are row-major; \[fan-in\] is shaped as a neuron's weights in the file: \[inputs, 3,
/// 3\] or \[inputs\].
#[derive(Clone, Debug, PartialEq)]
pub struct LayerMoments {
    /// The layer's name, such as `features.0`.
    pub name: String,
    /// Shape of the layer's weight: \[outputs, inputs, 3, 3\] or \[outputs, inputs\].
    pub shape: Vec<usize>,
    /// Number of positions, a whole number.
    pub positions: f64,
    /// Σx over all positions, \[fan-in\].
    pub x: Vec<f64>,
    /// Number of positive positions, \[outputs\], whole numbers.
    pub positive_count: Vec<f64>,
    /// Σy over positive positions, \[outputs\].
    pub positive_y: Vec<f64>,
    /// Σy² over positive positions, \[outputs\].
    pub positive_yy: Vec<f64>,
    /// Σy over negative positions, \[outputs\].
    pub negative_y: Vec<f64>,
    /// Σy² over negative positions, \[outputs\].
    pub negative_yy: Vec<f64>,
    /// Σx over positive positions, \[outputs, fan-in\].
    pub positive_x: Vec<f64>,
    /// Σxy over positive positions, \[outputs, fan-in\].
    pub positive_xy: Vec<f64>,
    /// Σxy over negative positions, \[outputs, fan-in\].
    pub negative_xy: Vec<f64>,
    /// Σxxᵀ over all positions, where it was asked for.
    pub second: Option<SecondMoments>,
}

/// Σxxᵀ of a layer, without what follows from symmetry.
#[derive(Clone, Debug, PartialEq)]
pub enum SecondMoments {
    /// Of a convolution.
    Convolution(Lags),
    /// Of a dense layer: the lower triangle, row after row, diagonal included.
    Dense(Vec<f64>),
}

impl Moments {
    /// No positions yet; with `second`, Σxxᵀ is wanted too.
    pub fn zeros(network: &Network, second: bool) -> Self {
        Moments {
            layers: network.parametric().map(|(_, layer)| LayerMoments::zeros(layer, second)).collect(),
        }
    }

    /// No positions yet, where this machine has the memory for them.
    ///
    /// # Errors
    /// When it has not.
    pub fn allocate(network: &Network, second: bool) -> Result<Self, BackendError> {
        Self::check_memory(network, second)?;
        Ok(Self::zeros(network, second))
    }

    /// Whether this machine has the memory for the moments of a network.
    ///
    /// # Errors
    /// When it has not.
    pub fn check_memory(network: &Network, second: bool) -> Result<(), BackendError> {
        let needed = Self::bytes(network, second);
        match memory::available() {
            Some(available) if needed > available => Err(BackendError::MomentMemory {
                needed: needed >> 20,
                available: available >> 20,
                hint: if second { "; without second moments they need less" } else { "" },
            }),
            _ => Ok(()),
        }
    }

    /// Bytes that the moments of a network take.
    pub fn bytes(network: &Network, second: bool) -> u64 {
        let of = |(_, layer): (usize, ParametricLayer)| {
            let [outputs, fan_in] = [layer.outputs(), fan_in(&layer.weight_shape())].map(|n| n as u64);
            let sums = 3 * outputs * fan_in + fan_in + 5 * outputs + 1;
            let inputs = layer.inputs() as u64;
            let products = match layer {
                _ if !second => 0,
                ParametricLayer::Convolution(_) => 29 * inputs * inputs,
                ParametricLayer::Dense(_) => inputs * (inputs + 1) / 2,
            };
            (sums + products) * size_of::<f64>() as u64
        };
        network.parametric().map(of).sum()
    }

    /// Whether Σxxᵀ is there.
    pub fn has_second(&self) -> bool {
        self.layers.iter().all(|layer| layer.second.is_some())
    }
}

/// Weights of a neuron.
fn fan_in(weight_shape: &[usize]) -> usize {
    weight_shape[1..].iter().product()
}

impl LayerMoments {
    /// No positions yet.
    pub fn zeros(layer: ParametricLayer, second: bool) -> Self {
        let shape = layer.weight_shape();
        let (outputs, fan_in, inputs) = (layer.outputs(), fan_in(&shape), layer.inputs());
        let neurons = || vec![0.0; outputs];
        let patches = || vec![0.0; outputs * fan_in];
        let second = second.then(|| match layer {
            ParametricLayer::Convolution(_) => SecondMoments::Convolution(Lags::zeros(inputs)),
            ParametricLayer::Dense(_) => SecondMoments::Dense(vec![0.0; inputs * (inputs + 1) / 2]),
        });
        LayerMoments {
            name: layer.name().to_owned(),
            shape,
            positions: 0.0,
            x: vec![0.0; fan_in],
            positive_count: neurons(),
            positive_y: neurons(),
            positive_yy: neurons(),
            negative_y: neurons(),
            negative_yy: neurons(),
            positive_x: patches(),
            positive_xy: patches(),
            negative_xy: patches(),
            second,
        }
    }

    /// Neurons.
    pub fn outputs(&self) -> usize {
        self.shape[0]
    }

    /// Weights of a neuron.
    pub fn fan_in(&self) -> usize {
        fan_in(&self.shape)
    }

    /// Whether it is a convolution; else it is a dense layer.
    pub fn is_convolution(&self) -> bool {
        self.shape.len() == 4
    }

    /// All sums, each with its name and shape: what a file holds, and what is added where moments are merged.
    pub fn fields(&self) -> Vec<Field<'_>> {
        let (outputs, weight) = ([self.outputs()], &self.shape[..]);
        let mut fields = vec![
            Field::new("positions", &[], std::slice::from_ref(&self.positions)),
            Field::new("x", &weight[1..], &self.x),
            Field::new("positive.count", &outputs, &self.positive_count),
            Field::new("positive.y", &outputs, &self.positive_y),
            Field::new("positive.yy", &outputs, &self.positive_yy),
            Field::new("negative.y", &outputs, &self.negative_y),
            Field::new("negative.yy", &outputs, &self.negative_yy),
            Field::new("positive.x", weight, &self.positive_x),
            Field::new("positive.xy", weight, &self.positive_xy),
            Field::new("negative.xy", weight, &self.negative_xy),
        ];
        match &self.second {
            None => {}
            Some(SecondMoments::Dense(triangle)) => {
                fields.push(Field::new("xx", &[triangle.len()], triangle));
            }
            Some(SecondMoments::Convolution(lags)) => {
                let inputs = self.shape[1];
                let products = |values: &[f64]| [values.len() / (inputs * inputs).max(1), inputs, inputs];
                let mut push = |name, values| fields.push(Field::new(name, &products(values), values));
                push("xx.map", &lags.map);
                push("xx.top", &lags.top);
                push("xx.bottom", &lags.bottom);
                push("xx.left", &lags.left);
                push("xx.right", &lags.right);
                push("xx.corners", &lags.corners);
            }
        }
        fields
    }

    /// The values of [`LayerMoments::fields`], in the same order.
    pub fn values_mut(&mut self) -> Vec<&mut [f64]> {
        let mut values: Vec<&mut [f64]> = vec![
            std::slice::from_mut(&mut self.positions),
            &mut self.x,
            &mut self.positive_count,
            &mut self.positive_y,
            &mut self.positive_yy,
            &mut self.negative_y,
            &mut self.negative_yy,
            &mut self.positive_x,
            &mut self.positive_xy,
            &mut self.negative_xy,
        ];
        match &mut self.second {
            None => {}
            Some(SecondMoments::Dense(triangle)) => values.push(triangle),
            Some(SecondMoments::Convolution(Lags { map, top, bottom, left, right, corners })) => {
                values.extend([map, top, bottom, left, right, corners].map(Vec::as_mut_slice));
            }
        }
        values
    }
}

/// A sum of [`LayerMoments`].
pub struct Field<'a> {
    /// Name after the layer's, such as `positive.xy`.
    pub name: &'static str,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub values: &'a [f64],
}

impl<'a> Field<'a> {
    fn new(name: &'static str, shape: &[usize], values: &'a [f64]) -> Self {
        Field { name, shape: shape.to_vec(), values }
    }
}

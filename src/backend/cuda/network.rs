//! A network on the device: its forward operators and biases, and what normalises pixels.

use super::device::DeviceMemory;
use super::operators::{Direction, LayerShape, Preparation, PreparedBias, PreparedOperator, exponent_above};
use super::params::VGGX_STORED_LOG2;
use crate::backend::chain::Chain;
use crate::backend::{BackendError, OperatorSource};
use crate::network::{ChannelOrder, Preprocessing};
use std::sync::Arc;

/// The forward pass of a network, on the device. Layers are the parametric ones.
pub(super) struct DeviceNetwork {
    pub operators: Vec<Arc<PreparedOperator>>,
    pub biases: Vec<PreparedBias>,
    pub pixels: PixelTable,
}

impl DeviceNetwork {
    pub fn new(
        mut preparation: Preparation,
        chain: &Chain,
        preprocessing: &Preprocessing,
        weights: &dyn OperatorSource,
        biases: &[Vec<f32>],
    ) -> Result<Self, BackendError> {
        let operators = LayerShape::all(chain)
            .iter()
            .map(|shape| Ok(Arc::new(preparation.operator(weights, shape, Direction::Forward)?)))
            .collect::<Result<_, BackendError>>()?;
        let biases =
            biases.iter().map(|bias| Ok(preparation.bias(bias)?)).collect::<Result<_, BackendError>>()?;
        let pixels = PixelTable::new(&mut preparation, preprocessing)?;
        Ok(DeviceNetwork { operators, biases, pixels })
    }
}

/// What each value of a pixel becomes.
pub(super) struct PixelTable {
    memory: DeviceMemory,
    /// Bits of the largest magnitude in it.
    pub largest: u32,
    /// True value = value in the table · 2^exponent.
    pub exponent: i32,
    /// Whether the network takes blue, green, red.
    pub reversed: bool,
}

impl PixelTable {
    fn new(preparation: &mut Preparation, preprocessing: &Preprocessing) -> Result<Self, BackendError> {
        let table: Vec<f32> = preprocessing.tables().into_iter().flatten().collect();
        let largest = table.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        let exponent = if largest > 0.0 { exponent_above(largest) - VGGX_STORED_LOG2 } else { 0 };
        let scale = |value: f32| scaled(value, -exponent);
        Ok(PixelTable {
            memory: preparation.upload(&table.iter().copied().map(scale).collect::<Vec<_>>())?,
            largest: scale(largest).to_bits(),
            exponent,
            reversed: preprocessing.channel_order == ChannelOrder::Bgr,
        })
    }

    pub fn address(&self) -> u64 {
        self.memory.address()
    }
}

/// value · 2^power, rounded once.
pub(super) fn scaled(value: f32, power: i32) -> f32 {
    (f64::from(value) * 2f64.powi(power)) as f32
}

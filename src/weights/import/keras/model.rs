//! A network from the layers of a configuration.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::super::error::WeightProblem;
use super::super::{FlattenOrder, Imported, Operation, Step, pixels};
use super::config::{self, Layer};
use super::store::Store;
use super::{convention, imported, layer, refuse};

/// Reads a whole model.
///
/// # Errors
/// When a layer is none of a VGG's, or its weights are not there.
pub(super) fn read(model: &Value, store: &Store<'_>) -> Result<Imported, WeightProblem> {
    let layers = config::layers(model)?;
    let mut builder = Builder::default();
    for layer in &layers {
        layer::add(&mut builder, layer, store)?;
    }
    builder.finish(&layers)
}

/// The network so far.
#[derive(Default)]
pub(super) struct Builder<'a> {
    steps: Vec<Step>,
    notes: Vec<String>,
    /// Rows and columns of the images.
    extent: Option<(usize, usize)>,
    /// Rows and columns of the map that the next layer gets, where that is known.
    grid: Option<(usize, usize)>,
    channels: Channels,
    flat: bool,
    /// The layer that has put a row and a column of zeros on each side.
    padded_by: Option<&'a str>,
    /// A convolution or dense layer was there.
    weighted: bool,
    /// Layers that prepare pixels.
    preparing: Vec<&'a str>,
}

/// Which extent of a map counts its channels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Channels {
    First,
    #[default]
    Last,
}

impl<'a> Builder<'a> {
    pub(super) fn push(&mut self, layer: &Layer<'_>, operation: Operation) {
        self.steps.push(Step { name: layer.name.to_owned(), operation });
    }

    /// An operation on the pixels, if no layer has weights yet.
    pub(super) fn prepare(&mut self, layer: &Layer<'a>, operation: Operation) {
        if !self.weighted {
            self.preparing.push(layer.name);
        }
        self.push(layer, operation);
    }

    /// # Errors
    /// When the layer does not get a map padded as it needs it, or gets one that it does not expect.
    pub(super) fn push_weighted(
        &mut self,
        layer: &Layer<'_>,
        operation: Operation,
    ) -> Result<(), WeightProblem> {
        self.refuse_padding()?;
        self.weighted = true;
        self.push(layer, operation);
        Ok(())
    }

    /// The size of the images, from the first layer that says it.
    pub(super) fn set_extent(&mut self, extent: (usize, usize)) {
        self.extent.get_or_insert(extent);
        self.grid.get_or_insert(extent);
    }

    /// Images that a layer of the model resizes.
    pub(super) fn resize(&mut self, layer: &Layer<'_>, extent: (usize, usize)) -> Result<(), WeightProblem> {
        if self.weighted {
            return Err(refuse(layer.name, "it resizes a map"));
        }
        let (rows, columns) = extent;
        self.extent = Some(extent);
        self.grid = Some(extent);
        self.notes.push(format!(
            "the model resizes its images to {rows}×{columns} in layer {}; here they are resized as all are",
            layer.name
        ));
        Ok(())
    }

    pub(super) fn grid(&self) -> Option<(usize, usize)> {
        self.grid
    }

    /// A sentence for the user, starting small.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(super) fn halve_grid(&mut self) {
        self.grid = self.grid.map(|(rows, columns)| (rows / 2, columns / 2));
    }

    pub(super) fn set_channels(&mut self, channels: Channels) {
        self.channels = channels;
    }

    pub(super) fn channels(&self) -> Channels {
        self.channels
    }

    pub(super) fn is_flat(&self) -> bool {
        self.flat
    }

    /// # Errors
    /// When the map is known not to be square.
    pub(super) fn flatten(&mut self, layer: &Layer<'_>, order: FlattenOrder) -> Result<(), WeightProblem> {
        if !self.flat {
            if let Some((rows, columns)) = self.grid.filter(|(rows, columns)| rows != columns) {
                return Err(refuse(
                    layer.name,
                    format!("it flattens a map of {rows}×{columns}, and square ones are read"),
                ));
            }
            self.push(layer, Operation::Flatten(order));
        }
        self.flat = true;
        Ok(())
    }

    /// The average over all positions.
    pub(super) fn average(&mut self, layer: &Layer<'_>) {
        self.push(layer, Operation::AdaptiveAveragePool { side: 1 });
        self.grid = Some((1, 1));
    }

    pub(super) fn pad(&mut self, layer: &Layer<'a>) -> Result<(), WeightProblem> {
        self.refuse_padding()?;
        self.padded_by = Some(layer.name);
        Ok(())
    }

    /// Whether the map has zeros around it, which a convolution takes off again.
    pub(super) fn take_padding(&mut self) -> bool {
        self.padded_by.take().is_some()
    }

    /// Zeros around a map are read as the padding of the 3×3 convolution behind them.
    ///
    /// # Errors
    /// When something else is there.
    pub(super) fn refuse_padding(&self) -> Result<(), WeightProblem> {
        match self.padded_by {
            Some(name) => Err(refuse(name, "no 3×3 convolution without padding follows it")),
            None => Ok(()),
        }
    }

    fn finish(self, layers: &[Layer<'_>]) -> Result<Imported, WeightProblem> {
        self.refuse_padding()?;
        let input = if self.preparing.is_empty() {
            convention(layers.iter().map(|layer| layer.name))
        } else {
            let what = format!("the model, which prepares pixels in {},", self.preparing.join(", "));
            pixels::convention(&self.steps, false, &BTreeMap::new(), &what)
        };
        Ok(imported(self.steps, input, self.extent, self.notes))
    }
}

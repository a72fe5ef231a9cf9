//! Steps one after the other, checked against what came before.

use super::super::error::WeightProblem;
use super::super::import::{Array, DenseAxes, FlattenOrder, KernelAxes, Operation, Step};
use super::affine::Affine;
use super::draft::{Draft, Kind};
use super::input::InputOperations;
use super::{Assembled, names};
use crate::network::{Convolution, Dense, Layer};

/// A network up to some step.
#[derive(Default)]
pub(super) struct Builder {
    input: InputOperations,
    drafts: Vec<Draft>,
    /// The average pool between convolutions and dense layers: the step, and the side that is left.
    average: Option<(String, usize)>,
    flatten: Option<FlattenOrder>,
    /// Constants that wait for the layer after them, and the steps they come from. By channel, or after the map was flattened
    /// by element, channel by channel.
    waiting: Option<(Affine, Vec<String>)>,
    /// Softmax at the end.
    ended: Option<String>,
}

impl Builder {
    pub(super) fn add(&mut self, step: Step) -> Result<(), WeightProblem> {
        let Step { name, operation } = step;
        if let Some(ended) = &self.ended {
            return Err(refuse(&name, format!("it follows {ended}, which can only be a network's end")));
        }
        match operation {
            Operation::Convolution { weight, axes, bias } => self.convolution(name, weight, axes, bias),
            Operation::Dense { weight, axes, bias } => self.dense(name, weight, axes, bias),
            Operation::Affine { scale, shift } => self.affine(name, &scale, &shift),
            Operation::Relu => self.relu(&name),
            Operation::MaxPool => self.max_pool(&name),
            Operation::AdaptiveAveragePool { side } => self.average_pool(name, side),
            Operation::Flatten(order) => self.flatten(&name, order),
            Operation::ReverseChannels => self.reverse_channels(&name),
            Operation::Softmax => self.softmax(name),
        }
    }

    fn convolution(
        &mut self,
        name: String,
        weight: Array,
        axes: KernelAxes,
        bias: Option<Array>,
    ) -> Result<(), WeightProblem> {
        let shape = weight.shape();
        let expected = |inputs: &str, side: usize| match axes {
            KernelAxes::OutputsInputsRowsColumns => format!("[outputs, {inputs}, {side}, {side}]"),
            KernelAxes::RowsColumnsInputsOutputs => format!("[{side}, {side}, {inputs}, outputs]"),
        };
        let (outputs, inputs, height, width) = match (axes, shape) {
            (KernelAxes::OutputsInputsRowsColumns, &[outputs, inputs, height, width])
            | (KernelAxes::RowsColumnsInputsOutputs, &[height, width, inputs, outputs]) => {
                (outputs, inputs, height, width)
            }
            _ => return Err(mismatch(&weight, &format!("four extents: {}", expected("inputs", 3)))),
        };
        if height != width || ![1, 3].contains(&height) {
            return Err(refuse_tensor(&weight, format!("its kernel is {height}×{width} and not 3×3")));
        }
        refuse_zero(&weight)?;
        match self.drafts.last() {
            None if inputs != 3 => {
                return Err(mismatch(&weight, &format!("3 input channels: {}", expected("3", height))));
            }
            Some(before) if before.outputs != inputs => {
                let channels = before.outputs;
                return Err(mismatch(
                    &weight,
                    &format!(
                        "{}, since {} has {channels} outputs",
                        expected(&channels.to_string(), height),
                        before.step
                    ),
                ));
            }
            _ => {}
        }
        if self.flatten.is_some() || self.average.is_some() || self.is_dense() {
            return Err(refuse(&name, "a convolution follows the end of the map of features"));
        }
        self.rectified(&name)?;
        if let Some((affine, steps)) = &self.waiting
            && !affine.keeps_zero()
        {
            return Err(refuse(
                &steps.join(", "),
                format!(
                    "it adds constants between a ReLU and the convolution {name}; the zeros around the map would have to be \
                     changed too"
                ),
            ));
        }
        check_bias(&weight, bias.as_ref(), outputs)?;
        self.push(
            name,
            Kind::Convolution { axes, kernel: height },
            inputs,
            outputs,
            weight,
            bias,
            |affine| affine,
        );
        Ok(())
    }

    fn dense(
        &mut self,
        name: String,
        weight: Array,
        axes: DenseAxes,
        bias: Option<Array>,
    ) -> Result<(), WeightProblem> {
        refuse_zero(&weight)?;
        let Some(before) = self.drafts.last() else {
            return Err(refuse(&name, "a dense layer comes before any convolution"));
        };
        let (channels, after, first) = (before.outputs, before.step.clone(), !self.is_dense());
        let (outputs, inputs, axes, whole) = match *weight.shape() {
            [outputs, inputs, height, width] if height == width && inputs == channels => {
                // The product of the shape was checked when the array was made.
                (outputs, inputs * height * width, DenseAxes::OutputsInputs, Some(height))
            }
            [_, inputs, height, width] => {
                return Err(if inputs == channels {
                    refuse_tensor(
                        &weight,
                        format!("its kernel is {height}×{width}, and only square maps are supported"),
                    )
                } else {
                    mismatch(
                        &weight,
                        &format!("{channels} inputs, since the layer before it has {channels} outputs"),
                    )
                });
            }
            [outputs, inputs] if axes == DenseAxes::OutputsInputs => (outputs, inputs, axes, None),
            [inputs, outputs] => (outputs, inputs, axes, None),
            _ => {
                return Err(mismatch(
                    &weight,
                    match axes {
                        DenseAxes::OutputsInputs => "two extents: [outputs, inputs]",
                        DenseAxes::InputsOutputs => "two extents: [inputs, outputs]",
                    },
                ));
            }
        };
        let expected = |inputs: String| match axes {
            DenseAxes::OutputsInputs => format!("[outputs, {inputs}]"),
            DenseAxes::InputsOutputs => format!("[{inputs}, outputs]"),
        };
        self.rectified(&name)?;
        let order = if whole.is_some() { None } else { self.flatten }.unwrap_or(FlattenOrder::ChannelsFirst);
        if first {
            let side = grid_side(inputs, channels).ok_or_else(|| {
                mismatch(
                    &weight,
                    &format!(
                        "{} with a whole side, since the last convolution has {channels} channels",
                        expected(format!("{channels}·side²"))
                    ),
                )
            })?;
            match &self.average {
                Some((pool, pooled)) if *pooled != side => {
                    return Err(mismatch(
                        &weight,
                        &format!(
                            "{}, since {pool} leaves {pooled}×{pooled} positions",
                            expected((channels * pooled * pooled).to_string())
                        ),
                    ));
                }
                _ => self.average = Some((name.clone(), side)),
            }
        } else if inputs != channels {
            return Err(mismatch(
                &weight,
                &format!("{}, since {after} has {channels} outputs", expected(channels.to_string())),
            ));
        }
        check_bias(&weight, bias.as_ref(), outputs)?;
        if let Some((affine, steps)) = &self.waiting
            && ![channels, inputs].contains(&affine.scale.len())
        {
            return Err(refuse(
                &steps.join(", "),
                format!("it has {} constants, and {name} has {inputs} inputs", affine.scale.len()),
            ));
        }
        // Constants by channel reach all positions.
        let over_elements = move |affine: Affine| {
            if affine.scale.len() == inputs { affine } else { affine.over_positions(inputs / channels) }
        };
        self.push(name, Kind::Dense { axes, order, channels }, inputs, outputs, weight, bias, over_elements);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a draft")]
    fn push(
        &mut self,
        step: String,
        kind: Kind,
        inputs: usize,
        outputs: usize,
        weight: Array,
        bias: Option<Array>,
        spread: impl FnOnce(Affine) -> Affine,
    ) {
        let (before, folded) = self.waiting.take().unzip();
        self.drafts.push(Draft {
            step,
            kind,
            inputs,
            outputs,
            weight,
            bias,
            before: before.map(spread),
            after: None,
            relu: false,
            pool: false,
            folded: folded.unwrap_or_default(),
        });
    }

    fn affine(&mut self, name: String, scale: &[f64], shift: &[f64]) -> Result<(), WeightProblem> {
        let dense = self.is_dense();
        let Some(last) = self.drafts.last_mut() else {
            return self.input.add(&name, scale, shift);
        };
        if !last.relu {
            let next = Affine::of_step(&name, scale, shift, last.outputs)?;
            if last.pool && !next.keeps_order() {
                return Err(refuse(
                    &name,
                    "it multiplies by a number that is not positive between a max-pool and its ReLU",
                ));
            }
            last.after = Some(match last.after.take() {
                Some(before) => before.then(&next),
                None => next,
            });
            last.folded.push(name);
            return Ok(());
        }
        let channels = last.outputs;
        let long = scale.len().max(shift.len());
        let (waiting, mut steps) = self.waiting.take().unzip();
        let by_element = !dense
            && self.flatten.is_some()
            && (long > channels
                || waiting.as_ref().is_some_and(|waiting: &Affine| waiting.scale.len() > channels));
        let next = if by_element {
            let count = waiting.as_ref().map_or(0, |waiting| waiting.scale.len()).max(long);
            if !count.is_multiple_of(channels) {
                return Err(refuse(&name, format!("it has {count} constants for {channels} channels")));
            }
            let order = self.flatten.unwrap_or(FlattenOrder::ChannelsFirst);
            Affine::of_step(&name, scale, shift, count)?.channels_first(order, channels)
        } else {
            Affine::of_step(&name, scale, shift, channels)?
        };
        let waiting = match waiting {
            Some(waiting) if waiting.scale.len() < next.scale.len() => {
                Some(waiting.over_positions(next.scale.len() / channels))
            }
            waiting => waiting,
        };
        let steps = {
            let mut steps = steps.take().unwrap_or_default();
            steps.push(name);
            steps
        };
        self.waiting = Some((waiting.map_or_else(|| next.clone(), |waiting| waiting.then(&next)), steps));
        Ok(())
    }

    fn relu(&mut self, name: &str) -> Result<(), WeightProblem> {
        if let Some((_, steps)) = &self.waiting {
            return Err(refuse(
                &steps.join(", "),
                format!("constants between the ReLU before it and {name}"),
            ));
        }
        match self.drafts.last_mut() {
            Some(last) => last.relu = true,
            None => return Err(refuse(name, "a ReLU comes before any convolution")),
        }
        Ok(())
    }

    fn max_pool(&mut self, name: &str) -> Result<(), WeightProblem> {
        if self.flatten.is_some() || self.average.is_some() || self.is_dense() {
            return Err(refuse(name, "a max-pool follows the end of the map of features"));
        }
        if let Some((affine, steps)) = &self.waiting
            && !affine.keeps_order()
        {
            return Err(refuse(
                &steps.join(", "),
                format!("it multiplies by a number that is not positive before {name}"),
            ));
        }
        match self.drafts.last_mut() {
            Some(last) if !last.pool => {
                // Without a ReLU so far, max(βx + γ) is taken of what the constants made, so their order must be kept too; a
                // ReLU that follows keeps it.
                last.pool = true;
                Ok(())
            }
            Some(last) => Err(refuse(name, format!("a second max-pool follows {}", last.step))),
            None => Err(refuse(name, "a max-pool comes before any convolution")),
        }
    }

    fn average_pool(&mut self, name: String, side: usize) -> Result<(), WeightProblem> {
        // timm's dense layers are convolutions that leave one position.
        if self.is_dense() && side == 1 {
            return Ok(());
        }
        if self.flatten.is_some() || self.is_dense() || self.average.is_some() || side == 0 {
            return Err(refuse(
                &name,
                "an average pool can only stand between the features and the dense layers",
            ));
        }
        if self.drafts.is_empty() {
            return Err(refuse(&name, "an average pool comes before any convolution"));
        }
        self.rectified(&name)?;
        self.average = Some((name, side));
        Ok(())
    }

    fn flatten(&mut self, name: &str, order: FlattenOrder) -> Result<(), WeightProblem> {
        if self.drafts.is_empty() {
            return Err(refuse(name, "the input is flattened"));
        }
        // What is flat stays as it is.
        if self.flatten.is_none() && !self.is_dense() {
            self.flatten = Some(order);
        }
        Ok(())
    }

    fn reverse_channels(&mut self, name: &str) -> Result<(), WeightProblem> {
        if !self.drafts.is_empty() {
            return Err(refuse(name, "channels are exchanged inside of the network"));
        }
        self.input.reverse(name);
        Ok(())
    }

    fn softmax(&mut self, name: String) -> Result<(), WeightProblem> {
        if self.drafts.is_empty() {
            return Err(refuse(&name, "it comes before any convolution"));
        }
        self.ended = Some(name);
        Ok(())
    }

    /// Many layers may name one tensor, or packed ones, and would be copied or unpacked for each.
    fn refuse_multiplication(&self, most: usize) -> Result<(), WeightProblem> {
        /// What small files may take all the same.
        const ALLOWANCE: usize = 1 << 24;
        let needed = self.drafts.iter().fold(0usize, |sum, draft| {
            let bytes = draft.weight.element().size().saturating_mul(draft.weight.len());
            sum.saturating_add(bytes)
        });
        if needed > most.saturating_add(ALLOWANCE) {
            return Err(WeightProblem::Harmful(format!(
                "its layers have {needed} bytes of weights, far more than a file of its length explains"
            )));
        }
        Ok(())
    }

    fn is_dense(&self) -> bool {
        self.drafts.last().is_some_and(Draft::is_dense)
    }

    /// A layer's input has gone through a ReLU.
    fn rectified(&self, name: &str) -> Result<(), WeightProblem> {
        match self.drafts.last() {
            Some(last) if !last.relu => {
                Err(refuse(name, format!("there is no ReLU between it and {}", last.step)))
            }
            _ => Ok(()),
        }
    }

    /// Checks the end, then reads the weights layer by layer.
    pub(super) fn finish(self, most: usize) -> Result<Assembled, WeightProblem> {
        let dense = self.is_dense();
        let Some(last) = self.drafts.last() else {
            return Err(WeightProblem::Operation {
                name: "the network".to_owned(),
                reason: "it has no convolution".to_owned(),
            });
        };
        if dense == last.relu {
            return Err(refuse(
                &last.step,
                if dense {
                    "a ReLU follows the last dense layer, whose outputs would be the classes"
                } else {
                    "no ReLU follows the last convolution"
                },
            ));
        }
        if let Some((_, steps)) = &self.waiting {
            return Err(refuse(
                &steps.join(", "),
                "constants after the last ReLU, with no layer behind them",
            ));
        }
        self.refuse_multiplication(most)?;
        let mut notes = Vec::new();
        if !dense && let Some((name, _)) = &self.average {
            notes.push(format!(
                "{name}, an average pool at the end, is left out: the network is used without a classifier"
            ));
        }
        if let Some(name) = &self.ended {
            notes.push(format!(
                "{name}, a softmax or the like at the end, is left out: the response is the value before it"
            ));
        }

        let mut dense_names = names::dense(
            self.drafts.iter().filter(|draft| draft.is_dense()).map(|draft| draft.step.as_str()),
        )
        .into_iter();
        let (mut layers, mut parameters) = (Vec::new(), Vec::new());
        let (mut convolutions, mut pools) = (0, 0);
        let mut side = self.average.as_ref().map(|(_, side)| *side);
        for draft in self.drafts {
            let (inputs, outputs) = (draft.inputs, draft.outputs);
            match draft.kind {
                Kind::Convolution { .. } => {
                    let name = names::convolution(convolutions, pools);
                    layers.push(Layer::Convolution(Convolution { name, inputs, outputs }));
                    convolutions += 1;
                    if draft.pool {
                        layers.push(Layer::MaxPool);
                        pools += 1;
                    }
                }
                Kind::Dense { .. } => {
                    layers.extend(side.take().map(|side| Layer::AdaptiveAveragePool { side }));
                    let name = dense_names.next().unwrap_or_default();
                    layers.push(Layer::Dense(Dense { name, inputs, outputs, relu: draft.relu }));
                }
            }
            parameters.push(draft.finish()?);
        }
        Ok(Assembled { layers, parameters, input: self.input, notes })
    }
}

/// √(inputs / channels) where it is whole.
fn grid_side(inputs: usize, channels: usize) -> Option<usize> {
    let cells = inputs / channels;
    let side = cells.isqrt();
    (inputs.is_multiple_of(channels) && side * side == cells).then_some(side)
}

fn check_bias(weight: &Array, bias: Option<&Array>, outputs: usize) -> Result<(), WeightProblem> {
    match bias {
        Some(bias) if bias.shape() != [outputs] => {
            Err(mismatch(bias, &format!("[{outputs}], one for each output of {}", weight.name())))
        }
        _ => Ok(()),
    }
}

fn refuse_zero(weight: &Array) -> Result<(), WeightProblem> {
    if weight.shape().contains(&0) {
        return Err(mismatch(weight, "extents of at least 1"));
    }
    Ok(())
}

fn mismatch(array: &Array, expected: &str) -> WeightProblem {
    WeightProblem::Shape {
        tensor: array.name().to_owned(),
        found: array.shape().to_vec(),
        expected: expected.to_owned(),
    }
}

fn refuse_tensor(array: &Array, reason: String) -> WeightProblem {
    WeightProblem::Unsupported { tensor: array.name().to_owned(), reason }
}

fn refuse(step: &str, reason: impl Into<String>) -> WeightProblem {
    WeightProblem::Operation { name: step.to_owned(), reason: reason.into() }
}

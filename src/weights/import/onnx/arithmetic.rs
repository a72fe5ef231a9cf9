//! What works on every number for itself: factors and summands, batch normalisation, ReLU, and probabilities at the end.

use super::activation::{Activation, Role};
use super::constant::Constant;
use super::node::Node;
use super::walk::{Value, Walk};
use crate::weights::WeightProblem;
use crate::weights::import::Operation;

/// Beyond what float16 holds, a limit is none.
const NO_LIMIT: f64 = 65504.0;

impl<'a> Walk<'a, '_> {
    /// Add, Sub, Mul, Div with a constant, and Neg: y = scale·x + shift.
    pub(super) fn arithmetic(
        &mut self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
    ) -> Result<(), WeightProblem> {
        let constant_first = matches!(inputs.first(), Some(Some(Value::Constant(_) | Value::Integers(_))));
        let (own, other) = if constant_first { (1, 0) } else { (0, 1) };
        let constant = match (node.operator, inputs.get(other)) {
            ("Neg", _) => None,
            (operator, None | Some(None | Some(Value::Activation(_) | Value::Part(_)))) => {
                return Err(node.refuse(format!("{operator} joins two branches of the graph")));
            }
            _ => self.optional(node, inputs, other)?,
        };
        if let Some(Some(Value::Part(part))) = inputs.get(own) {
            let [value] = self.factors(node, constant.as_ref())?[..] else {
                return Err(node.refuse("one number is needed for one channel"));
            };
            let (scale, shift) = linear(node, value, constant_first)?;
            self.set(node.output()?, Value::Part(part.then(scale, shift)));
            return Ok(());
        }
        let activation = self.activation_at(node, inputs, own)?;
        if let Some(constant) = &constant {
            let along = broadcast_axis(node, &activation, &constant.shape())?;
            if node.operator == "Add" && self.take_bias(node, constant, along, other)? {
                return self.advance(node, activation);
            }
        }
        let values = self.factors(node, constant.as_ref())?;
        let (scale, shift) =
            values.into_iter().map(|value| linear(node, value, constant_first)).collect::<Result<_, _>>()?;
        self.push(node, Operation::Affine { scale, shift });
        self.advance(node, activation)
    }

    fn factors(&self, node: &Node<'a>, constant: Option<&Constant<'a>>) -> Result<Vec<f64>, WeightProblem> {
        let values = match constant {
            Some(constant) => constant.numbers(self.folder)?.values,
            None => vec![0.0],
        };
        if values.iter().any(|value| !value.is_finite()) {
            return Err(node.refuse("its constant is not finite"));
        }
        Ok(values)
    }

    /// Whether what is added is the bias of the layer before, which has none yet. It then stays in the file.
    fn take_bias(
        &mut self,
        node: &Node<'a>,
        constant: &Constant<'a>,
        along: Option<usize>,
        index: usize,
    ) -> Result<bool, WeightProblem> {
        let Some(outputs) = along else { return Ok(false) };
        let folder = self.folder;
        let Some(
            Operation::Convolution { bias: bias @ None, .. } | Operation::Dense { bias: bias @ None, .. },
        ) = self.steps.last_mut().map(|step| &mut step.operation)
        else {
            return Ok(false);
        };
        *bias = Some(constant.array(node.input(index).unwrap_or_default(), vec![outputs], folder)?);
        Ok(true)
    }

    pub(super) fn batch_normalisation(
        &mut self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
    ) -> Result<(), WeightProblem> {
        let activation = self.activation(node, inputs)?;
        if node.integer("training_mode", 0)? != 0 {
            return Err(
                node.refuse("the batch normalisation is that of training; export the model for inference")
            );
        }
        if node.integer("spatial", 1)? == 0 && !activation.vector {
            return Err(node.refuse("a batch normalisation of every position for itself"));
        }
        let Some(axis) =
            activation.axes.get(1).filter(|axis| matches!(axis.role, Role::Channel | Role::Feature))
        else {
            return Err(node.refuse(format!(
                "batch normalisation over axes that are {:?}, where ONNX has the channels second",
                activation.roles()
            )));
        };
        let vectors = (1..5).map(|index| self.vector(node, inputs, index)).collect::<Result<Vec<_>, _>>()?;
        let [gamma, beta, mean, variance] = &vectors[..] else {
            return Err(node.refuse("batch normalisation needs four constants"));
        };
        let channels = axis.extent.unwrap_or(mean.len());
        if vectors.iter().any(|vector| vector.len() != channels) {
            return Err(node.refuse(format!(
                "batch normalisation of {channels} channels with vectors of other lengths"
            )));
        }
        let epsilon = f64::from(node.float("epsilon", 1e-5)?);
        if variance.iter().any(|variance| variance + epsilon <= 0.0) {
            return Err(node.refuse("a variance of batch normalisation is negative"));
        }
        self.push(node, Operation::batch_normalisation(Some(gamma), Some(beta), mean, variance, epsilon));
        self.advance(node, activation)
    }

    /// Relu, and Clip or Max where they are one.
    pub(super) fn relu(
        &mut self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
    ) -> Result<(), WeightProblem> {
        let constant_first = matches!(inputs.first(), Some(Some(Value::Constant(_))));
        let activation = self.activation_at(node, inputs, usize::from(constant_first))?;
        let is_relu = match node.operator {
            "Clip" => {
                let least = match self.number(node, inputs, 1)? {
                    Some(least) => least,
                    None => f64::from(node.float("min", f32::MIN)?),
                };
                let most = match self.number(node, inputs, 2)? {
                    Some(most) => most,
                    None => f64::from(node.float("max", f32::MAX)?),
                };
                least == 0.0 && most >= NO_LIMIT
            }
            "Max" => {
                inputs.len() == 2 && self.number(node, inputs, usize::from(!constant_first))? == Some(0.0)
            }
            _ => true,
        };
        if !is_relu {
            return Err(
                node.refuse(format!("{} with other limits than 0 and none is not a ReLU", node.operator))
            );
        }
        self.push(node, Operation::Relu);
        self.advance(node, activation)
    }

    /// Functions of the logits that keep their order.
    pub(super) fn probability(
        &mut self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
    ) -> Result<(), WeightProblem> {
        let activation = self.activation(node, inputs)?;
        let axis = activation.axis(node.integer("axis", if activation.axes.len() == 2 { -1 } else { 1 })?);
        let role = axis.map(|axis| activation.axes[axis].role);
        if node.operator != "Sigmoid" && !matches!(role, Some(Role::Feature | Role::Channel)) {
            return Err(node.refuse(format!("{} over another axis than the outputs", node.operator)));
        }
        self.push(node, Operation::Softmax);
        if node.operator == "Sigmoid" {
            self.notes.push(format!(
                "{} is a sigmoid: probabilities here are those of a softmax instead",
                node.label()
            ));
        }
        self.advance(node, activation)
    }
}

/// Factor and summand of one constant.
fn linear(node: &Node<'_>, value: f64, constant_first: bool) -> Result<(f64, f64), WeightProblem> {
    match (node.operator, constant_first) {
        ("Add", _) => Ok((1.0, value)),
        ("Sub", false) => Ok((1.0, -value)),
        ("Sub", true) => Ok((-1.0, value)),
        ("Mul", _) => Ok((value, 0.0)),
        ("Div", false) if value != 0.0 => Ok((value.recip(), 0.0)),
        ("Neg", _) => Ok((-1.0, 0.0)),
        _ => Err(node.refuse("a division by zero, or by an activation")),
    }
}

/// How many channels or outputs a constant has a number for; `None` for a single number in all.
///
/// # Errors
/// When it varies over other axes, or does not fit.
fn broadcast_axis(
    node: &Node<'_>,
    activation: &Activation,
    constant: &[usize],
) -> Result<Option<usize>, WeightProblem> {
    let rank = activation.axes.len();
    let Some(missing) = rank.checked_sub(constant.len()) else {
        return Err(node.refuse(format!("a constant of {} axes for an activation of {rank}", constant.len())));
    };
    let mut wide = activation.axes[missing..].iter().zip(constant).filter(|&(_, &extent)| extent != 1);
    let (Some((axis, &extent)), None) = (wide.next(), wide.next()) else {
        let single = constant.iter().all(|&extent| extent == 1);
        return if single {
            Ok(None)
        } else {
            Err(node.refuse(format!("a constant of shape {constant:?}, which is not one number a channel")))
        };
    };
    let fits = axis.extent.is_none_or(|own| own == extent);
    if !fits || !matches!(axis.role, Role::Channel | Role::Feature) {
        return Err(node.refuse(format!(
            "a constant of shape {constant:?} for axes that are {:?}, which is not one number a channel",
            activation.roles()
        )));
    }
    Ok(Some(extent))
}

//! From nodes to steps: the one activation of a sequential network is followed from the input to the output.

use std::collections::HashMap;
use std::rc::Rc;

use super::activation::{Activation, Role};
use super::channels::Part;
use super::constant::{Constant, Numbers, View};
use super::external::Folder;
use super::fold::fold;
use super::integers::{Integers, MOST_INTEGERS};
use super::model::Graph;
use super::node::{AttributeValue, Node};
use super::tensor::Tensor;
use super::{damaged, order};
use crate::weights::WeightProblem;
use crate::weights::import::{FlattenOrder, Operation, Step};

/// What a name in a graph stands for.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Activation(Activation),
    /// One channel of an activation, on its way to a Concat.
    Part(Part<'a>),
    Constant(Constant<'a>),
    Integers(Integers),
}

/// Where the walk is.
pub(super) struct Walk<'a, 'f> {
    pub(super) folder: &'f Folder,
    initializers: HashMap<&'a str, Rc<Tensor<'a>>>,
    pub(super) values: HashMap<&'a str, Value<'a>>,
    /// The newest activation: whatever uses an older one is a branch.
    pub(super) newest: &'a str,
    pub(super) steps: Vec<Step>,
    pub(super) notes: Vec<String>,
}

/// What the walk has found.
pub(super) struct Walked {
    pub(super) steps: Vec<Step>,
    pub(super) notes: Vec<String>,
    pub(super) output: Activation,
}

impl<'a, 'f> Walk<'a, 'f> {
    /// Follows the activation from `input` to the graph's first output.
    pub(super) fn run(
        graph: &Graph<'a>,
        input: (&'a str, Activation),
        output: &'a str,
        folder: &'f Folder,
    ) -> Result<Walked, WeightProblem> {
        let mut initializers = HashMap::new();
        for tensor in &graph.initializers {
            if initializers.insert(tensor.name, Rc::new(tensor.clone())).is_some() {
                return Err(damaged(format!("there are two initializers {:?}", tensor.name)));
            }
        }
        let values = HashMap::from([(input.0, Value::Activation(input.1))]);
        let mut walk = Self { folder, initializers, values, newest: input.0, steps: vec![], notes: vec![] };
        for node in order::sorted(graph, output)? {
            walk.step(node)?;
        }
        match walk.values.remove(output) {
            Some(Value::Activation(activation)) if output == walk.newest => {
                if activation.is_padded() {
                    return Err(damaged("the network ends with a Pad"));
                }
                Ok(Walked { steps: walk.steps, notes: walk.notes, output: activation })
            }
            _ => Err(damaged(format!("the output {output:?} does not depend on the input {:?}", input.0))),
        }
    }

    fn step(&mut self, node: &Node<'a>) -> Result<(), WeightProblem> {
        if !node.is_standard() {
            return Err(node
                .refuse(format!("{} is of the domain {}, not of ONNX itself", node.operator, node.domain)));
        }
        if node.inputs.is_empty() && node.operator == "Constant" {
            let value = self.constant(node)?;
            self.values.insert(node.output()?, value);
            return Ok(());
        }
        let inputs = node
            .inputs
            .iter()
            .map(|name| if name.is_empty() { Ok(None) } else { self.value(node, name).map(Some) })
            .collect::<Result<Vec<_>, _>>()?;
        let runs = |value: &Option<Value<'_>>| matches!(value, Some(Value::Activation(_) | Value::Part(_)));
        if inputs.iter().any(runs) {
            return self.operator(node, &inputs);
        }
        let value = fold(node, &inputs, self.folder)?;
        if let Value::Integers(integers) = &value {
            self.folder.count_copied(integers.values.len())?;
        }
        self.values.insert(node.output()?, value);
        Ok(())
    }

    fn operator(&mut self, node: &Node<'a>, inputs: &[Option<Value<'a>>]) -> Result<(), WeightProblem> {
        match node.operator {
            "Shape" => self.shape(node, inputs),
            "Identity" | "Cast" | "Dropout" => self.pass(node, inputs),
            "Conv" => self.convolution(node, inputs),
            "Gemm" | "MatMul" => self.dense(node, inputs),
            "Relu" | "Clip" | "Max" => self.relu(node, inputs),
            "MaxPool" => self.max_pool(node, inputs),
            "AveragePool" | "GlobalAveragePool" | "ReduceMean" => self.average_pool(node, inputs),
            "BatchNormalization" => self.batch_normalisation(node, inputs),
            "Add" | "Sub" | "Mul" | "Div" | "Neg" => self.arithmetic(node, inputs),
            "Pad" => self.pad(node, inputs),
            "Transpose" | "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => self.rearrange(node, inputs),
            "Slice" | "Gather" | "GatherND" | "Split" | "Concat" | "ReverseSequence" => {
                self.channels(node, inputs)
            }
            "Softmax" | "LogSoftmax" | "Sigmoid" => self.probability(node, inputs),
            "If" | "Loop" | "Scan" => Err(node.refuse(format!("{} is control flow", node.operator))),
            other => Err(node.refuse(format!("the operator {other} is not one of a VGG"))),
        }
    }

    fn value(&self, node: &Node<'a>, name: &'a str) -> Result<Value<'a>, WeightProblem> {
        if let Some(value) = self.values.get(name) {
            return Ok(value.clone());
        }
        let tensor = self.initializers.get(name);
        let tensor =
            tensor.ok_or_else(|| node.refuse(format!("it uses {name:?}, which nothing before it makes")))?;
        self.tensor(tensor)
    }

    fn tensor(&self, tensor: &Rc<Tensor<'a>>) -> Result<Value<'a>, WeightProblem> {
        if tensor.kind.is_integer() && tensor.shape.len() <= 1 {
            let values = tensor.int64(self.folder, MOST_INTEGERS)?.into_iter().map(Some).collect();
            return Ok(Value::Integers(Integers { scalar: tensor.shape.is_empty(), values }));
        }
        Ok(Value::Constant(Constant::Stored(View::new(Rc::clone(tensor)))))
    }

    fn constant(&self, node: &Node<'a>) -> Result<Value<'a>, WeightProblem> {
        let numbers =
            |shape, values: Vec<f64>| Value::Constant(Constant::computed(Numbers { shape, values }));
        if let Some(AttributeValue::Tensor(message)) = node.attribute("value")? {
            return self.tensor(&Rc::new(Tensor::read(message)?));
        }
        for name in ["value_float", "value_floats", "value_int", "value_ints"] {
            let value = match node.attribute(name)? {
                Some(AttributeValue::Float(value)) => numbers(vec![], vec![f64::from(value)]),
                Some(AttributeValue::Floats(values)) => {
                    numbers(vec![values.len()], values.into_iter().map(f64::from).collect())
                }
                Some(AttributeValue::Integer(value)) => {
                    Value::Integers(Integers { scalar: true, values: vec![Some(value)] })
                }
                Some(AttributeValue::Integers(values)) if values.len() <= MOST_INTEGERS => {
                    Value::Integers(Integers::list(values.into_iter().map(Some).collect()))
                }
                _ => continue,
            };
            self.folder.count_copied(match &value {
                Value::Integers(integers) => integers.values.len(),
                Value::Constant(constant) => constant.shape().iter().product(),
                _ => 0,
            })?;
            return Ok(value);
        }
        Err(node.refuse("the constant is a text or a sparse tensor"))
    }

    pub(super) fn push(&mut self, node: &Node<'a>, operation: Operation) {
        self.steps.push(Step { name: node.label().to_owned(), operation });
    }

    pub(super) fn set(&mut self, name: &'a str, value: Value<'a>) {
        self.values.insert(name, value);
    }

    /// The node's output is what the next one has to use.
    pub(super) fn advance(&mut self, node: &Node<'a>, activation: Activation) -> Result<(), WeightProblem> {
        let output = node.output()?;
        self.values.insert(output, Value::Activation(activation));
        self.newest = output;
        Ok(())
    }

    /// Turns a map into a vector, where a node takes vectors.
    pub(super) fn flatten(
        &mut self,
        node: &Node<'a>,
        activation: &mut Activation,
        order: FlattenOrder,
    ) -> Result<(), WeightProblem> {
        if !activation.vector {
            if let Some((rows, columns)) = activation.grid().filter(|(rows, columns)| rows != columns) {
                return Err(
                    node.refuse(format!("it flattens a map of {rows}×{columns}, and square ones are read"))
                );
            }
            self.push(node, Operation::Flatten(order));
            activation.vector = true;
        }
        Ok(())
    }

    fn shape(&mut self, node: &Node<'a>, inputs: &[Option<Value<'a>>]) -> Result<(), WeightProblem> {
        let Some(Some(Value::Activation(activation))) = inputs.first() else {
            return Err(node.refuse("the shape of a part of an image"));
        };
        // The batch can have any size, whatever the file says: nothing may depend on it.
        let extents = activation.axes.iter().map(|axis| match axis.role {
            Role::Batch => None,
            _ => axis.extent.and_then(|extent| i64::try_from(extent).ok()),
        });
        let extents: Vec<_> = extents.collect();
        let limit = |name, default: usize| {
            let value = node.integer(name, default as i64)?;
            let from_start = if value < 0 { value.saturating_add(extents.len() as i64) } else { value };
            Ok::<_, WeightProblem>(usize::try_from(from_start).unwrap_or(0).min(extents.len()))
        };
        let (start, end) = (limit("start", 0)?, limit("end", extents.len())?);
        let extents = extents.get(start..end).unwrap_or_default().to_vec();
        self.set(node.output()?, Value::Integers(Integers::list(extents)));
        Ok(())
    }

    /// What changes nothing when a network is used.
    fn pass(&mut self, node: &Node<'a>, inputs: &[Option<Value<'a>>]) -> Result<(), WeightProblem> {
        if let (Some(Some(Value::Part(part))), "Identity" | "Cast") = (inputs.first(), node.operator) {
            self.set(node.output()?, Value::Part(part.clone()));
            return Ok(());
        }
        let activation = self.activation(node, inputs)?;
        match node.operator {
            "Cast" if !matches!(node.integer("to", 0)?, 1 | 10 | 11 | 16) => {
                return Err(node.refuse("it makes integers of an activation"));
            }
            "Dropout" if self.number(node, inputs, 2)?.is_some_and(|training| training != 0.0) => {
                return Err(node.refuse("the dropout is that of training; export the model for inference"));
            }
            _ => {}
        }
        self.advance(node, activation)
    }
}

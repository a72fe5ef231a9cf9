//! Recognising a network from the names and shapes of its tensors.

use std::collections::BTreeMap;

use super::error::{WeightProblem, printable};
use super::tensor_file::TensorFile;
use crate::network::{Convolution, Dense, Layer, VARIANTS};

/// A network's layers and where their parameters are.
pub(super) struct Plan {
    pub(super) layers: Vec<Layer>,
    pub(super) parameters: Vec<Names>,
}

/// The names of one layer's tensors.
pub(super) struct Names {
    pub(super) weight: String,
    pub(super) bias: String,
}

/// What a tensor's name says.
enum Role {
    /// `features.N.weight`
    Feature(u32),
    /// `classifier.N.weight`
    Classifier(u32),
    /// timm's dense layers, counted from 0.
    Timm(usize),
}

/// timm's names for the dense layers, and torchvision's for the same layers.
const TIMM: [(&str, &str); 3] =
    [("pre_logits.fc1", "classifier.0"), ("pre_logits.fc2", "classifier.3"), ("head.fc", "classifier.6")];

/// timm's name for a dense layer called `name` here.
pub(crate) fn timm_name(name: &str) -> Option<&'static str> {
    TIMM.iter().find(|(_, torchvision)| *torchvision == name).map(|(timm, _)| *timm)
}

/// Reads the plan from the header. Every tensor must belong to a layer: nothing is ignored.
pub(super) fn recognise(file: &TensorFile) -> Result<Plan, WeightProblem> {
    refuse_other_networks(file)?;
    // Keyed by number, so that both tensors of a layer meet and features.10 follows features.2.
    let mut features = BTreeMap::new();
    let mut classifier = BTreeMap::new();
    let mut timm = BTreeMap::new();
    for name in file.names() {
        match role(name) {
            Some(Role::Feature(number)) => drop(features.insert(number, name)),
            Some(Role::Classifier(number)) => drop(classifier.insert(number, name)),
            Some(Role::Timm(number)) => drop(timm.insert(number, name)),
            None => {
                return Err(unsupported(name, "it belongs to no layer of such a network"));
            }
        }
    }

    let mut plan = Plan { layers: Vec::new(), parameters: Vec::new() };
    let channels = plan.add_features(file, features.into_keys())?;
    match (classifier.first_key_value(), timm.first_key_value()) {
        (None, None) => {}
        (Some(_), None) => plan.add_classifier(file, classifier.into_keys(), channels)?,
        (None, Some(_)) => plan.add_timm_classifier(file, channels)?,
        (Some(_), Some((_, name))) => {
            return Err(unsupported(name, "the file has a classifier with torchvision's names too"));
        }
    }
    check_architecture(file, &plan.layers)?;
    Ok(plan)
}

impl Plan {
    /// Returns the channels of the last convolution.
    fn add_features(
        &mut self,
        file: &TensorFile,
        numbers: impl Iterator<Item = u32>,
    ) -> Result<usize, WeightProblem> {
        let mut previous: Option<(u32, usize)> = None;
        for number in numbers {
            let name = format!("features.{number}");
            let weight = format!("{name}.weight");
            match previous {
                None if number != 0 => return Err(missing(file, "features.0.weight")),
                None => {}
                // Convolution and ReLU; or convolution, ReLU and max-pool.
                Some((before, _)) => match number - before {
                    2 => {}
                    3 => self.layers.push(Layer::MaxPool),
                    _ => {
                        return Err(unsupported(
                            &weight,
                            &format!(
                                "it follows features.{before}, and the numbers of successive convolutions differ by 2 \
                                 (ReLU between) or 3 (ReLU and max-pool between); a layer may be missing"
                            ),
                        ));
                    }
                },
            }
            let shape = shape(file, &weight)?;
            let &[outputs, inputs, height, width] = shape else {
                return Err(match shape.len() {
                    1 => unsupported(&weight, BATCH_NORM),
                    _ => mismatch(&weight, shape, "four extents: [outputs, inputs, 3, 3]"),
                });
            };
            if (height, width) != (3, 3) {
                return Err(unsupported(&weight, &format!("its kernel is {height}×{width} and not 3×3")));
            }
            refuse_zero(&weight, shape)?;
            match previous {
                None if inputs != 3 => {
                    return Err(mismatch(&weight, shape, "3 input channels: [outputs, 3, 3, 3]"));
                }
                Some((before, channels)) if inputs != channels => {
                    return Err(mismatch(
                        &weight,
                        shape,
                        &format!(
                            "[outputs, {channels}, 3, 3], since features.{before} has {channels} outputs"
                        ),
                    ));
                }
                _ => {}
            }
            self.add_parameters(file, weight, &name, outputs)?;
            self.layers.push(Layer::Convolution(Convolution { name, inputs, outputs }));
            previous = Some((number, outputs));
        }
        self.layers.push(Layer::MaxPool);
        previous.map(|(_, channels)| channels).ok_or_else(|| missing(file, "features.0.weight"))
    }

    fn add_classifier(
        &mut self,
        file: &TensorFile,
        numbers: impl Iterator<Item = u32>,
        channels: usize,
    ) -> Result<(), WeightProblem> {
        let mut previous: Option<(u32, usize)> = None;
        let mut numbers = numbers.peekable();
        while let Some(number) = numbers.next() {
            let name = format!("classifier.{number}");
            let weight = format!("{name}.weight");
            let shape = shape(file, &weight)?;
            let &[outputs, inputs] = shape else {
                return Err(mismatch(&weight, shape, "two extents: [outputs, inputs]"));
            };
            refuse_zero(&weight, shape)?;
            match previous {
                None => {
                    let side = grid_side(inputs, channels).ok_or_else(|| {
                        mismatch(
                            &weight,
                            shape,
                            &format!(
                                "[outputs, {channels}·side²] with a whole side, since the last convolution has \
                                 {channels} channels"
                            ),
                        )
                    })?;
                    self.layers.push(Layer::AdaptiveAveragePool { side });
                }
                Some((before, _)) if number - before < 2 => {
                    return Err(unsupported(
                        &weight,
                        &format!("there is no ReLU between it and classifier.{before}"),
                    ));
                }
                Some((before, expected)) if inputs != expected => {
                    return Err(mismatch(
                        &weight,
                        shape,
                        &format!("[outputs, {expected}], since classifier.{before} has {expected} outputs"),
                    ));
                }
                Some(_) => {}
            }
            self.add_parameters(file, weight, &name, outputs)?;
            self.layers.push(Layer::Dense(Dense { name, inputs, outputs, relu: numbers.peek().is_some() }));
            previous = Some((number, outputs));
        }
        Ok(())
    }

    /// timm writes the first two dense layers as convolutions over the whole grid; flattened they are torchvision's.
    fn add_timm_classifier(&mut self, file: &TensorFile, channels: usize) -> Result<(), WeightProblem> {
        let mut width = channels;
        for (number, (timm, torchvision)) in TIMM.iter().enumerate() {
            let weight = format!("{timm}.weight");
            let shape = shape(file, &weight)?;
            let last = number + 1 == TIMM.len();
            let (outputs, inputs, side) = match *shape {
                [outputs, inputs, side, other] if !last && side == other => (outputs, inputs, side),
                [outputs, inputs] if last => (outputs, inputs, 1),
                _ => {
                    return Err(mismatch(
                        &weight,
                        shape,
                        ["[outputs, inputs, side, side]", "[outputs, inputs, 1, 1]", "[classes, inputs]"]
                            [number],
                    ));
                }
            };
            refuse_zero(&weight, shape)?;
            if inputs != width {
                return Err(mismatch(
                    &weight,
                    shape,
                    &format!("{width} inputs, since the layer before it has {width} outputs"),
                ));
            }
            if number == 0 {
                self.layers.push(Layer::AdaptiveAveragePool { side });
            } else if side != 1 {
                return Err(mismatch(&weight, shape, "[outputs, inputs, 1, 1]"));
            }
            self.add_parameters(file, weight, timm, outputs)?;
            self.layers.push(Layer::Dense(Dense {
                name: (*torchvision).to_owned(),
                // The product of the shape was checked when the file was opened.
                inputs: inputs * side * side,
                outputs,
                relu: !last,
            }));
            width = outputs;
        }
        Ok(())
    }

    fn add_parameters(
        &mut self,
        file: &TensorFile,
        weight: String,
        layer: &str,
        outputs: usize,
    ) -> Result<(), WeightProblem> {
        let bias = format!("{layer}.bias");
        let found = shape(file, &bias)?;
        if found != [outputs] {
            return Err(mismatch(&bias, found, &format!("[{outputs}], one for each output of {weight}")));
        }
        self.parameters.push(Names { weight, bias });
        Ok(())
    }
}

/// Says what is in the way where the names are those of a network that is known but not supported.
fn refuse_other_networks(file: &TensorFile) -> Result<(), WeightProblem> {
    for name in file.names() {
        if ["running_mean", "running_var", "num_batches_tracked"].iter().any(|suffix| name.ends_with(suffix))
        {
            return Err(unsupported(name, BATCH_NORM));
        }
        if let Some(prefix) = name.strip_suffix("features.0.weight").filter(|prefix| !prefix.is_empty()) {
            return Err(unsupported(
                name,
                &format!("names must start at features; remove the prefix {}", printable(prefix)),
            ));
        }
    }
    Ok(())
}

const BATCH_NORM: &str =
    "batch normalisation is not supported; use a network without it, or fold it into the convolutions";

fn role(name: &str) -> Option<Role> {
    let layer = name.strip_suffix(".weight").or_else(|| name.strip_suffix(".bias"))?;
    if let Some(number) = TIMM.iter().position(|(timm, _)| *timm == layer) {
        return Some(Role::Timm(number));
    }
    let (group, digits) = layer.split_once('.')?;
    let number: u32 = digits.parse().ok()?;
    // One spelling a number, so that no name is looked up under another.
    if number.to_string() != digits {
        return None;
    }
    match group {
        "features" => Some(Role::Feature(number)),
        "classifier" => Some(Role::Classifier(number)),
        _ => None,
    }
}

/// √(inputs / channels) where it is whole.
fn grid_side(inputs: usize, channels: usize) -> Option<usize> {
    let cells = inputs / channels;
    let side = cells.isqrt();
    (inputs.is_multiple_of(channels) && side * side == cells).then_some(side)
}

fn check_architecture(file: &TensorFile, layers: &[Layer]) -> Result<(), WeightProblem> {
    let Some(stated) = file.metadata().get("architecture") else {
        return Ok(());
    };
    let stated = stated.trim_matches('"').to_ascii_lowercase();
    let Some((_, expected)) = VARIANTS.iter().find(|(name, _)| *name == stated) else {
        return Ok(());
    };
    let blocks = crate::network::blocks(layers);
    if blocks == expected {
        return Ok(());
    }
    Err(WeightProblem::Architecture { stated, found: crate::network::recognise(layers).to_owned(), blocks })
}

fn shape<'a>(file: &'a TensorFile, tensor: &str) -> Result<&'a [usize], WeightProblem> {
    match file.entry(tensor) {
        Some(entry) => Ok(&entry.shape),
        None => Err(missing(file, tensor)),
    }
}

fn refuse_zero(tensor: &str, shape: &[usize]) -> Result<(), WeightProblem> {
    if shape.contains(&0) {
        return Err(mismatch(tensor, shape, "extents of at least 1"));
    }
    Ok(())
}

fn missing(file: &TensorFile, tensor: &str) -> WeightProblem {
    let names: Vec<_> = file.names().take(3).map(printable).collect();
    WeightProblem::MissingTensor {
        tensor: tensor.to_owned(),
        hint: if names.is_empty() {
            "the file has no tensors at all".to_owned()
        } else {
            format!(
                "the file has {} tensors: {}, …; every layer of a VGG needs its weight and bias",
                file.names().count(),
                names.join(", ")
            )
        },
    }
}

fn mismatch(tensor: &str, found: &[usize], expected: &str) -> WeightProblem {
    WeightProblem::Shape { tensor: tensor.to_owned(), found: found.to_vec(), expected: expected.to_owned() }
}

fn unsupported(tensor: &str, reason: &str) -> WeightProblem {
    WeightProblem::Unsupported { tensor: tensor.to_owned(), reason: reason.to_owned() }
}

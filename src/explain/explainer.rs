//! Runs methods on batches of images.

use super::fold::fold;
use super::method::{Kind, Method, Operator, Recipe};
use super::operators::{OperatorError, Operators};
use super::target::{Target, TargetError};
use crate::backend::{Backend, BackendError, Batch, Gate, Pass, PassId, Pixels, Relevance, Start};
use crate::network::{ChannelOrder, Preprocessing};
use crate::patterns::Patterns;
use crate::weights::Weights;
use rayon::prelude::*;
use std::sync::Arc;

/// A network on a device, with the methods to explain it.
pub struct Explainer {
    backend: Box<dyn Backend>,
    preprocessing: Preprocessing,
    has_classifier: bool,
    labels: Option<Vec<String>>,
    passes: Vec<PreparedPass>,
    methods: Vec<(Method, Source)>,
}

/// A distinct backward pass: methods may share one (PatternNet is the two-component signal).
struct PreparedPass {
    key: (Operator, Gate, Start),
    id: PassId,
    detail: Detail,
}

/// What comes back of a pass.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    /// The three channels.
    Planes,
    /// Their sum.
    HeatMap,
}

/// Where a method's array comes from.
#[derive(Clone, Copy)]
enum Source {
    Input,
    Pass { index: usize, times_input: bool },
}

/// One image of a batch.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// \[height, width, 3\], red, green, blue.
    pub pixels: &'a [u8],
    /// The target that comes with the image, for [`Target::Key`].
    pub key: Option<&'a str>,
}

/// What the network says of an image, and why.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The output that was explained.
    pub target: usize,
    /// Its name, where labels were given.
    pub label: Option<String>,
    /// Its logit, or in a headless network the sum of its final map.
    pub response: f32,
    /// Its softmax probability; none in a headless network.
    pub probability: Option<f64>,
    /// One a method, in the order the methods were given.
    pub explanations: Vec<Explanation>,
}

/// One method's array.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The method.
    pub method: Method,
    /// \[3, height, width\], red, green, blue, in units of the network's normalised input; the value is
    /// `values` · 2^`scale_log2`. Attributions [for pictures](Explainer::with_heat_maps): \[height, width\].
    pub values: Vec<f32>,
    /// 0 unless float32 would overflow.
    pub scale_log2: i32,
}

/// Why an image could not be explained.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ExplainError {
    /// It has no target, or one that does not exist.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The network could not run on it, or on its batch.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A method failed on it.
    #[error("{method}: {source}")]
    Method {
        /// The method.
        method: Method,
        /// What the device said.
        source: BackendError,
    },
    /// An input is not of the batch's size.
    #[error(
        "image {image} of the batch has {got} bytes of pixels, but {height}×{width} red, green and blue values are to \
         be given for each"
    )]
    PixelCount {
        /// Place in the batch, from 0.
        image: usize,
        /// Length of its pixels.
        got: usize,
        /// Rows of the batch's images.
        height: usize,
        /// Columns of the batch's images.
        width: usize,
    },
}

/// Why methods could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The operators of a method cannot be had, for instance without its patterns.
    #[error("{method}: {source}")]
    Operators {
        /// The method.
        method: Method,
        /// What is missing.
        source: OperatorError,
    },
    /// The device cannot run a method.
    #[error("{method}: {source}")]
    Backend {
        /// The method.
        method: Method,
        /// What the device said.
        source: BackendError,
    },
}

impl Explainer {
    /// Prepares methods on a backend that runs `weights`. `seed` chooses the random estimator's directions.
    ///
    /// # Errors
    /// When a method needs patterns that are not there, or the device cannot hold the operators.
    pub fn new(
        mut backend: Box<dyn Backend>,
        weights: &Arc<Weights>,
        patterns: Option<&Arc<Patterns>>,
        methods: &[Method],
        labels: Option<Vec<String>>,
        seed: u64,
    ) -> Result<Self, PrepareError> {
        let mut passes: Vec<PreparedPass> = Vec::new();
        let mut sources = Vec::new();
        for &method in methods {
            let source = match method.recipe() {
                Recipe::Input => Source::Input,
                Recipe::Pass { operator, gate, start, times_input } => {
                    let key = (operator, gate, start);
                    let known = passes.iter().position(|pass| pass.key == key);
                    let index = match known {
                        Some(index) => index,
                        None => {
                            let operators =
                                Operators::new(weights.clone(), patterns.cloned(), operator, seed)
                                    .map_err(|source| PrepareError::Operators { method, source })?;
                            let pass = Pass { operators: Arc::new(operators), gate, start };
                            let id = backend
                                .prepare(&pass)
                                .map_err(|source| PrepareError::Backend { method, source })?;
                            passes.push(PreparedPass { key, id, detail: Detail::Planes });
                            passes.len() - 1
                        }
                    };
                    Source::Pass { index, times_input }
                }
            };
            sources.push((method, source));
        }
        let network = weights.network();
        Ok(Explainer {
            backend,
            preprocessing: network.preprocessing,
            has_classifier: network.has_classifier(),
            labels,
            passes,
            methods: sources,
        })
    }

    /// For pictures alone: attributions come as heat maps, the sums over their channels, \[height, width\]. A device then
    /// sends a third of the numbers.
    #[must_use]
    pub fn with_heat_maps(mut self) -> Self {
        for (index, pass) in self.passes.iter_mut().enumerate() {
            // A pass may serve several methods. What is multiplied with the input is summed afterwards.
            let mut users = self
                .methods
                .iter()
                .filter(|(_, source)| matches!(source, Source::Pass { index: used, .. } if *used == index));
            let all_attributions = users.all(|(method, source)| {
                method.kind() == Kind::Attribution
                    && matches!(source, Source::Pass { times_input: false, .. })
            });
            pass.detail = if all_attributions { Detail::HeatMap } else { Detail::Planes };
        }
        self
    }

    /// The device.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Explains a batch of images of one size. The outer error is the batch's, the inner ones are single images'.
    ///
    /// # Errors
    /// [`ExplainError::PixelCount`] for an input that is not of `height` · `width` · 3 values; [`ExplainError::Backend`]
    /// when the network cannot run on images of this size, or the device not on so many of them.
    pub fn explain(
        &self,
        (height, width): (usize, usize),
        inputs: &[Input],
        target: &Target,
    ) -> Result<Vec<Result<Explained, ExplainError>>, ExplainError> {
        let expected = height.checked_mul(width).and_then(|positions| positions.checked_mul(3));
        if let Some(image) = inputs.iter().position(|input| Some(input.pixels.len()) != expected) {
            let got = inputs[image].pixels.len();
            return Err(ExplainError::PixelCount { image, got, height, width });
        }
        let pixels: Vec<u8> = inputs.iter().flat_map(|input| input.pixels).copied().collect();
        let batch = Batch { images: inputs.len(), height, width, pixels: Pixels::Rgb8(&pixels) };
        let trace = self.backend.forward(&batch)?;
        let targets: Vec<Result<usize, ExplainError>> = inputs
            .iter()
            .enumerate()
            .map(|(image, input)| match trace.failure(image) {
                Some(failure) => Err(failure.into()),
                None => Ok(target.resolve(trace.responses(image), self.labels.as_deref(), input.key)?),
            })
            .collect();
        let start: Vec<usize> = targets.iter().map(|target| *target.as_ref().unwrap_or(&0)).collect();
        let mut relevances = Vec::with_capacity(self.passes.len());
        for pass in &self.passes {
            let relevance = match pass.detail {
                Detail::Planes => trace.backward(pass.id, &start),
                Detail::HeatMap => trace.heat_maps(pass.id, &start),
            };
            // What is wrong with the device is wrong with all images.
            if let Some(Err(error)) = relevance.iter().find(|one| matches!(one, Err(BackendError::Device(_))))
            {
                return Err(error.clone().into());
            }
            relevances.push(relevance.into_iter());
        }
        let responses: Vec<Vec<f32>> =
            (0..inputs.len()).map(|image| trace.responses(image).to_vec()).collect();
        // The device is free for another batch while this one is put together.
        drop(trace);
        let images: Vec<_> = inputs
            .iter()
            .zip(targets)
            .zip(responses)
            .map(|((input, target), responses)| {
                // Every pass gives one result an image; they are taken in step.
                let relevances: Vec<_> = relevances.iter_mut().filter_map(Iterator::next).collect();
                (input, target, responses, relevances)
            })
            .collect();
        Ok(images
            .into_par_iter()
            .map(|(input, target, responses, relevances)| {
                self.assemble(input, target?, &responses, &relevances)
            })
            .collect())
    }

    fn assemble(
        &self,
        input: &Input,
        target: usize,
        responses: &[f32],
        relevances: &[Result<Relevance, BackendError>],
    ) -> Result<Explained, ExplainError> {
        let explanations = self
            .methods
            .iter()
            .map(|&(method, source)| {
                let (mut values, scale_log2) = match source {
                    Source::Input => (self.network_input(input.pixels), 0),
                    Source::Pass { index, times_input } => {
                        let relevance = relevances[index]
                            .clone()
                            .map_err(|source| ExplainError::Method { method, source })?;
                        let mut values = relevance.values;
                        if times_input {
                            let x = self.network_input(input.pixels);
                            values.iter_mut().zip(x).for_each(|(value, x)| *value *= x);
                        }
                        (values, relevance.scale_log2)
                    }
                };
                let scale_log2 = fold(&mut values, scale_log2);
                if values.len() == input.pixels.len() {
                    self.to_rgb(&mut values);
                }
                Ok(Explanation { method, values, scale_log2 })
            })
            .collect::<Result<_, ExplainError>>()?;
        Ok(Explained {
            target,
            label: self.labels.as_ref().and_then(|labels| labels.get(target)).cloned(),
            response: responses[target],
            probability: self.has_classifier.then(|| softmax(responses, target)),
            explanations,
        })
    }

    /// The normalised input, \[3, height, width\] in the network's channel order.
    fn network_input(&self, pixels: &[u8]) -> Vec<f32> {
        let plane = pixels.len() / 3;
        let normalised = self.preprocessing.normalise(pixels);
        let mut planes = vec![0.0; pixels.len()];
        for (position, channels) in normalised.chunks_exact(3).enumerate() {
            for (channel, &value) in channels.iter().enumerate() {
                planes[channel * plane + position] = value;
            }
        }
        planes
    }

    /// Brings planes in the network's channel order into red, green, blue.
    fn to_rgb(&self, planes: &mut [f32]) {
        if self.preprocessing.channel_order == ChannelOrder::Bgr {
            let plane = planes.len() / 3;
            let (blue, rest) = planes.split_at_mut(plane);
            blue.swap_with_slice(&mut rest[plane..]);
        }
    }
}

/// Softmax probability of one output, in float64.
fn softmax(logits: &[f32], target: usize) -> f64 {
    let largest = logits.iter().fold(f32::NEG_INFINITY, |largest, &logit| largest.max(logit));
    let exponential = |logit: f32| (f64::from(logit) - f64::from(largest)).exp();
    exponential(logits[target]) / logits.iter().map(|&logit| exponential(logit)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Learner, Moments, Trace};

    /// A device that must not be asked for anything.
    struct Untouched;

    impl Backend for Untouched {
        fn description(&self) -> String {
            "none".to_owned()
        }

        fn prepare(&mut self, _: &Pass) -> Result<PassId, BackendError> {
            unreachable!("no pass is prepared")
        }

        fn forward<'a>(&'a self, _: &Batch) -> Result<Box<dyn Trace + 'a>, BackendError> {
            unreachable!("the batch is refused before")
        }

        fn preferred_batch(&self) -> usize {
            1
        }

        fn learn<'a>(&'a self, _: Moments) -> Result<Box<dyn Learner + 'a>, BackendError> {
            unreachable!("nothing is learnt")
        }
    }

    #[test]
    fn images_of_other_sizes_are_refused() {
        let explainer = Explainer {
            backend: Box::new(Untouched),
            preprocessing: Preprocessing::default(),
            has_classifier: false,
            labels: None,
            passes: Vec::new(),
            methods: Vec::new(),
        };
        let explain = |size, lengths: &[usize]| {
            let pixels: Vec<Vec<u8>> = lengths.iter().map(|&length| vec![0; length]).collect();
            let inputs: Vec<Input> = pixels.iter().map(|pixels| Input { pixels, key: None }).collect();
            match explainer.explain(size, &inputs, &Target::Top(1)) {
                Err(ExplainError::PixelCount { image, got, .. }) => (image, got),
                _ => unreachable!("{lengths:?} do not make images of {size:?}"),
            }
        };
        // Together they would be as long as two images.
        assert_eq!(explain((2, 3), &[17, 19]), (0, 17));
        assert_eq!(explain((2, 3), &[18, 19, 17]), (1, 19));
        assert_eq!(explain((usize::MAX, 3), &[18]), (0, 18));
    }

    #[test]
    fn softmax_survives_large_logits() {
        assert!((softmax(&[1000.0, 1000.0, -1000.0], 0) - 0.5).abs() < 1e-12);
        assert_eq!(softmax(&[-3e38, 3e38], 0), 0.0);
    }
}

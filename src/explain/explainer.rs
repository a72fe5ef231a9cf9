//! Runs methods on batches of images.

use super::assemble::{ImagePixels, Part, assemble};
use super::deliver::deliver;
use super::error::{ExplainError, PrepareError};
use super::explained::{Detail, Explained, Explanation, Exponent, Input, Request};
use super::method::Method;
use super::plan::{Plan, PlannedMethod, Source};
use super::prepared::{PreparedPasses, beside};
use super::target::{Target, TargetError};
use crate::backend::{Backend, BackendError, Batch, OwnedPixels, Pixels, Relevance, Trace};
use crate::network::Preprocessing;
use crate::parallel;
use crate::patterns::Patterns;
use crate::weights::Weights;
use std::sync::Arc;

/// A network on a device, with the methods to explain it.
///
/// Any number of threads may use one at a time.
pub struct Explainer {
    backend: Box<dyn Backend>,
    preprocessing: Preprocessing,
    has_classifier: bool,
    labels: Option<Vec<String>>,
    passes: PreparedPasses,
    methods: Vec<Method>,
    detail: Detail,
}

/// Finds the output to explain from the number of an image and its responses.
type Resolve<'a> = dyn Fn(usize, &[f32]) -> Result<usize, TargetError> + 'a;

impl Explainer {
    /// Prepares methods on a backend that runs `weights`. `seed` chooses the random estimator's directions.
    ///
    /// # Errors
    /// When a method needs patterns that are not there, or the device cannot hold the operators.
    pub fn new(
        backend: Box<dyn Backend>,
        weights: &Arc<Weights>,
        patterns: Option<&Arc<Patterns>>,
        methods: &[Method],
        labels: Option<Vec<String>>,
        seed: u64,
    ) -> Result<Self, PrepareError> {
        let network = weights.network();
        let explainer = Explainer {
            backend,
            preprocessing: network.preprocessing,
            has_classifier: network.has_classifier(),
            labels,
            passes: PreparedPasses::new(weights.clone(), patterns.cloned(), seed),
            methods: methods.to_vec(),
            detail: Detail::Planes,
        };
        explainer.prepare(methods)?;
        Ok(explainer)
    }

    /// For pictures alone: [`Explainer::explain`] gives [`Detail::Picture`].
    #[must_use]
    pub fn with_heat_maps(mut self) -> Self {
        self.detail = Detail::Picture;
        self
    }

    /// The device.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Prepares more methods, for [`Explainer::explain_batch`]; those that are prepared already cost nothing. Batches of
    /// other threads run meanwhile.
    ///
    /// # Errors
    /// As [`Explainer::new`]. Methods before the one that failed are prepared.
    pub fn prepare(&self, methods: &[Method]) -> Result<(), PrepareError> {
        self.passes.prepare(&*self.backend, methods)
    }

    /// Explains a batch of images of one size with the methods that were given to [`Explainer::new`]. The outer error is the
    /// batch's, the inner ones are single images'.
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
        let resolve = |image: usize, responses: &[f32]| {
            target.resolve(responses, self.labels.as_deref(), inputs[image].key)
        };
        let request = Request {
            methods: &self.methods,
            detail: self.detail,
            exponent: Exponent::Folded,
            destinations: None,
        };
        self.run(&batch, &resolve, &request)
    }

    /// Explains a batch, one target an image, with any methods that are prepared. The outer error is the batch's, the inner
    /// ones are single images'.
    ///
    /// # Panics
    /// When there are more or fewer targets than images, or destinations than methods.
    ///
    /// # Errors
    /// [`ExplainError::NotPrepared`]; [`ExplainError::Backend`] when the network cannot run on images of this size, or the
    /// device not on so many of them.
    pub fn explain_batch(
        &self,
        batch: &Batch,
        targets: &[Target],
        request: &Request,
    ) -> Result<Vec<Result<Explained, ExplainError>>, ExplainError> {
        assert_eq!(targets.len(), batch.images, "one target an image");
        let resolve =
            |image: usize, responses: &[f32]| targets[image].resolve(responses, self.labels.as_deref(), None);
        self.run(batch, &resolve, request)
    }

    /// The responses of every image of a batch: logits, or in a headless network the sum of each channel's final map.
    ///
    /// # Errors
    /// As [`Explainer::explain_batch`].
    pub fn respond(&self, batch: &Batch) -> Result<Vec<Result<Vec<f32>, ExplainError>>, ExplainError> {
        let trace = self.backend.forward(batch)?;
        let of_image = |image| match trace.failure(image) {
            Some(failure) => Err(failure.into()),
            None => Ok(trace.responses(image).to_vec()),
        };
        Ok((0..batch.images).map(of_image).collect())
    }

    /// The softmax probability of an output; none in a headless network, nor where there is one output alone.
    ///
    /// # Panics
    /// When there is no such response.
    pub fn probability(&self, responses: &[f32], output: usize) -> Option<f64> {
        (self.has_classifier && responses.len() > 1).then(|| softmax(responses, output))
    }

    /// The names of the outputs.
    pub fn labels(&self) -> Option<&[String]> {
        self.labels.as_deref()
    }

    fn run(
        &self,
        batch: &Batch,
        resolve: &Resolve,
        request: &Request,
    ) -> Result<Vec<Result<Explained, ExplainError>>, ExplainError> {
        let plan = Plan::new(request, &self.passes)?;
        let trace = self.backend.forward(batch)?;
        let targets: Vec<Result<usize, ExplainError>> = (0..batch.images)
            .map(|image| match trace.failure(image) {
                Some(failure) => Err(failure.into()),
                None => Ok(resolve(image, trace.responses(image))?),
            })
            .collect();
        let start: Vec<usize> = targets.iter().map(|target| *target.as_ref().unwrap_or(&0)).collect();
        let mut relevances = Vec::with_capacity(plan.runs.len());
        for run in &plan.runs {
            let relevance = match run.heat_map {
                false => trace.backward(run.pass, &start),
                true => trace.heat_maps(run.pass, &start),
            };
            refuse_broken_device(&relevance)?;
            relevances.push(relevance.into_iter());
        }
        let mut placed = self.place(&*trace, &plan, &start, request)?;
        let responses: Vec<Vec<f32>> =
            (0..batch.images).map(|image| trace.responses(image).to_vec()).collect();
        // The device is free for another batch while this one is put together.
        drop(trace);
        let fetched = self.fetch(batch, &plan)?;
        let batch =
            &Batch { pixels: fetched.as_ref().map_or(batch.pixels, OwnedPixels::as_pixels), ..*batch };
        let images: Vec<_> = targets
            .into_iter()
            .zip(responses)
            .enumerate()
            .map(|(image, (target, responses))| {
                // Every pass gives one result an image; they are taken in step.
                let back = BroughtBack {
                    relevances: relevances.iter_mut().filter_map(Iterator::next).collect(),
                    exponents: placed.iter_mut().filter_map(Iterator::next).collect(),
                };
                (image_pixels(batch, image), target, responses, back)
            })
            .collect();
        let explained = |(pixels, target, responses, back): (_, Result<_, _>, Vec<f32>, BroughtBack)| {
            let target = target?;
            let explanations = self.arrays(&plan, pixels, &back)?;
            Ok(Explained {
                target,
                label: self.labels.as_ref().and_then(|labels| labels.get(target)).cloned(),
                response: responses[target],
                probability: self.probability(&responses, target),
                explanations,
            })
        };
        // Waking threads takes longer than a small image.
        let mut images: Vec<_> = if images.len() < 2 {
            images.into_iter().map(explained).collect()
        } else {
            beside(&*self.backend, || parallel::map(images, explained))
        };
        for (method, planned) in plan.methods.iter().enumerate() {
            if let (Some(destinations), false) =
                (request.destinations, matches!(planned.source, Source::OnDevice { .. }))
            {
                let size = (batch.height, batch.width);
                deliver(&*self.backend, &destinations[method], size, method, &mut images)?;
            }
        }
        Ok(images)
    }

    /// Runs the passes whose results stay on the device. Gives the exponents of each.
    fn place(
        &self,
        trace: &dyn Trace,
        plan: &Plan,
        start: &[usize],
        request: &Request,
    ) -> Result<Vec<std::vec::IntoIter<Result<i32, BackendError>>>, ExplainError> {
        let mut placed = Vec::new();
        for (planned, destination) in plan.methods.iter().zip(request.destinations.unwrap_or_default()) {
            let Source::OnDevice { pass } = planned.source else { continue };
            let exponents = trace.backward_into(pass, start, destination)?;
            refuse_broken_device(&exponents)?;
            placed.push(exponents.into_iter());
        }
        Ok(placed)
    }

    /// Brings pixels of the device to the host, where something is made of them here.
    fn fetch(&self, batch: &Batch, plan: &Plan) -> Result<Option<OwnedPixels>, ExplainError> {
        match batch.pixels {
            Pixels::Device(pixels) if plan.methods.iter().any(|planned| planned.source.needs_input()) => {
                let size = (batch.height, batch.width);
                Ok(Some(self.backend.fetch(&pixels, batch.images, size)?))
            }
            _ => Ok(None),
        }
    }

    /// The arrays of one image.
    fn arrays(
        &self,
        plan: &Plan,
        pixels: ImagePixels,
        back: &BroughtBack,
    ) -> Result<Vec<Explanation>, ExplainError> {
        // Those of passes that left their results on the device come one after another.
        let mut exponents = back.exponents.iter();
        plan.methods
            .iter()
            .map(|&PlannedMethod { method, source, heat_map, exponent }| {
                let failed = |source| ExplainError::Method { method, source };
                let part = match source {
                    Source::Input => Part::Input,
                    Source::Run { index, times_input } => {
                        let relevance = back.relevances[index].clone().map_err(failed)?;
                        Part::Pass { relevance, times_input }
                    }
                    Source::OnDevice { .. } => {
                        let scale_log2 = exponents.next().cloned().unwrap_or(Ok(0)).map_err(failed)?;
                        return Ok(Explanation { method, values: Vec::new(), scale_log2 });
                    }
                };
                let (values, scale_log2) = assemble(part, pixels, heat_map, exponent, &self.preprocessing);
                Ok(Explanation { method, values, scale_log2 })
            })
            .collect()
    }
}

/// What passes brought back of one image.
struct BroughtBack {
    /// One a run.
    relevances: Vec<Result<Relevance, BackendError>>,
    /// One a pass that left its results on the device.
    exponents: Vec<Result<i32, BackendError>>,
}

/// What is wrong with the device is wrong with all images.
fn refuse_broken_device<T>(results: &[Result<T, BackendError>]) -> Result<(), ExplainError> {
    let broken = results.iter().find_map(|result| match result {
        Err(error @ BackendError::Device(_)) => Some(error.clone()),
        _ => None,
    });
    broken.map_or(Ok(()), |error| Err(error.into()))
}

/// The pixels of one image of a batch.
fn image_pixels<'a>(batch: &Batch<'a>, image: usize) -> ImagePixels<'a> {
    let len = 3 * batch.height * batch.width;
    let place = image * len..(image + 1) * len;
    match batch.pixels {
        Pixels::Rgb8(pixels) => ImagePixels::Rgb8(&pixels[place]),
        Pixels::Normalised(planes) => ImagePixels::Normalised(&planes[place]),
        // They are brought here where they are needed.
        Pixels::Device(_) => ImagePixels::Elsewhere,
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

    #[test]
    fn softmax_survives_large_logits() {
        assert!((softmax(&[1000.0, 1000.0, -1000.0], 0) - 0.5).abs() < 1e-12);
        assert_eq!(softmax(&[-3e38, 3e38], 0), 0.0);
    }
}

//! The test: layer after layer randomised, explained, compared.

use super::maps::Map;
use super::weights::randomised;
use super::{LayerSimilarities, RandomiseError, Similarity};
use crate::backend::{Backend, Batch, Pixels};
use crate::explain::{Detail, ExplainError, Explained, Explainer, Exponent, Input, Method, Request, Target};
use crate::parallel;
use crate::patterns::Patterns;
use crate::weights::Weights;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Which layers are random at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All layers from the output down to one.
    Cascading,
    /// That one alone.
    Independent,
}

impl Scope {
    /// Whether `layer` is random where the test has come to `reached`.
    fn is_random(self, layer: usize, reached: usize) -> bool {
        match self {
            Scope::Cascading => layer >= reached,
            Scope::Independent => layer == reached,
        }
    }
}

/// Puts weights on a device.
pub type OpenBackend<'a> = dyn Fn(&Arc<Weights>) -> Result<Box<dyn Backend>, RandomiseError> + 'a;

/// What is tested.
pub struct RandomiseSettings<'a> {
    /// The trained network.
    pub weights: &'a Arc<Weights>,
    /// Its patterns, which stay.
    pub patterns: Option<&'a Arc<Patterns>>,
    /// The methods.
    pub methods: &'a [Method],
    /// Names of the outputs.
    pub labels: Option<Vec<String>>,
    /// Which output is explained, chosen with the trained network.
    pub target: &'a Target,
    /// Which layers are random at a time.
    pub scope: Scope,
    /// Of the random weights, and of the random estimator's directions.
    pub seed: u64,
    /// Images that are explained at a time.
    pub batch: usize,
    /// Rows and columns of the images.
    pub size: (usize, usize),
    /// A folder for files of randomised weights.
    pub folder: &'a Path,
}

/// An image of the test.
#[derive(Clone, Copy)]
pub struct RandomiseInput<'a> {
    /// \[height, width, 3\], red, green, blue.
    pub pixels: &'a [u8],
    /// The target that comes with it.
    pub key: Option<&'a str>,
}

/// The whole test.
#[derive(Clone, Debug)]
pub struct RandomiseReport {
    /// The output that each image's maps explain, or why the image was left out.
    pub targets: Vec<Result<usize, ExplainError>>,
    /// From the output on.
    pub layers: Vec<LayerSimilarities>,
}

/// Makes the test with images. `reached` hears of every layer that is done; `stop` is asked before every batch.
///
/// # Errors
/// When weights cannot be written, a device fails, or it was stopped. A single image that cannot be explained is left out.
pub fn randomise(
    settings: &RandomiseSettings,
    inputs: &[RandomiseInput],
    open: &OpenBackend,
    stop: &dyn Fn() -> bool,
    reached: &mut dyn FnMut(&LayerSimilarities),
) -> Result<RandomiseReport, RandomiseError> {
    let trained = settings.explainer(settings.weights, open)?;
    let explained = settings.in_batches(inputs.len(), stop, |place| {
        let given: Vec<Input> =
            inputs[place].iter().map(|input| Input { pixels: input.pixels, key: input.key }).collect();
        trained.explain(settings.size, &given, settings.target)
    })?;
    drop(trained);
    let mut targets: Vec<Result<usize, ExplainError>> = explained
        .iter()
        .map(|explained| explained.as_ref().map(|explained| explained.target).map_err(Clone::clone))
        .collect();
    let originals: Vec<Option<Vec<Map>>> =
        explained.into_iter().map(|explained| maps(explained.ok()?)).collect();
    let mut compared = Vec::new();
    for layer in (0..settings.weights.network().parametric().count()).rev() {
        let path = settings.folder.join("randomised.safetensors");
        let is_random = |other| settings.scope.is_random(other, layer);
        let random = Arc::new(randomised(settings.weights, is_random, settings.seed, &path)?);
        let explainer = settings.explainer(&random, open)?;
        let again = settings.in_batches(inputs.len(), stop, |place| {
            let target = |target: &Result<usize, _>| Target::Index(*target.as_ref().unwrap_or(&0));
            let chosen: Vec<Target> = targets[place.clone()].iter().map(target).collect();
            settings.explain(&explainer, &inputs[place], &chosen)
        })?;
        let mut alike: Vec<Option<Vec<Similarity>>> = Vec::new();
        for (image, again) in again.into_iter().enumerate() {
            let pair = originals[image].as_ref().map(|maps| (maps, again));
            alike.push(match pair {
                Some((originals, Ok(again))) => maps(again).map(|again| {
                    let pairs = originals.iter().zip(&again);
                    parallel::map(pairs, |(one, other)| one.similarity(other, settings.size.1))
                }),
                Some((_, Err(error))) => {
                    targets[image] = Err(error);
                    None
                }
                None => None,
            });
        }
        reached(&LayerSimilarities::of(layer, settings.methods.len(), &alike, settings.seed));
        compared.push((layer, alike));
    }
    // Every layer's means are over the same images: those that no layer has failed on.
    let layers = compared
        .into_iter()
        .map(|(layer, mut alike)| {
            for (alike, target) in alike.iter_mut().zip(&targets) {
                *alike = alike.take().filter(|_| target.is_ok());
            }
            LayerSimilarities::of(layer, settings.methods.len(), &alike, settings.seed)
        })
        .collect();
    Ok(RandomiseReport { targets, layers })
}

/// The maps of an image.
fn maps(explained: Explained) -> Option<Vec<Map>> {
    Some(explained.explanations.iter().map(Map::of).collect())
}

impl RandomiseSettings<'_> {
    fn explainer(&self, weights: &Arc<Weights>, open: &OpenBackend) -> Result<Explainer, RandomiseError> {
        let labels = self.labels.clone();
        Ok(Explainer::new(open(weights)?, weights, self.patterns, self.methods, labels, self.seed)?)
    }

    /// Explains all of so many images, a batch at a time.
    fn in_batches(
        &self,
        images: usize,
        stop: &dyn Fn() -> bool,
        explain: impl Fn(Range<usize>) -> Result<Vec<Result<Explained, ExplainError>>, ExplainError>,
    ) -> Result<Vec<Result<Explained, ExplainError>>, RandomiseError> {
        let mut all = Vec::with_capacity(images);
        while all.len() < images {
            if stop() {
                return Err(RandomiseError::Stopped);
            }
            all.extend(explain(all.len()..(all.len() + self.batch.max(1)).min(images))?);
        }
        Ok(all)
    }

    /// Explains a batch, each image with a target of its own.
    fn explain(
        &self,
        explainer: &Explainer,
        inputs: &[RandomiseInput],
        targets: &[Target],
    ) -> Result<Vec<Result<Explained, ExplainError>>, ExplainError> {
        let pixels: Vec<u8> = inputs.iter().flat_map(|input| input.pixels).copied().collect();
        let (height, width) = self.size;
        let batch = Batch { images: inputs.len(), height, width, pixels: Pixels::Rgb8(&pixels) };
        let request = Request {
            methods: self.methods,
            detail: Detail::Planes,
            exponent: Exponent::Folded,
            destinations: None,
        };
        explainer.explain_batch(&batch, targets, &request)
    }
}

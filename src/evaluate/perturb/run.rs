//! From images to their curves: explained, patches ranked, copies run forward in full batches, of many images and steps together.

use super::copies::{PlannedCopy, planned_copies};
use super::curve::{random_ranks, ranked_by, stream};
use super::{Curve, ImageCurves, ImageFailure, PerturbError, PerturbInput, PerturbSettings};
use crate::backend::{AlteredCopy, Filling, PatchGrid, Perturber};
use crate::explain::{Explained, Explainer, Input, Method, Target};

/// Maps of explanations that are held at a time.
const MAPS: usize = 64;

/// Perturbs images on the device of an explainer.
pub struct Perturbing<'a> {
    explainer: &'a Explainer,
    settings: &'a PerturbSettings,
    target: &'a Target,
    copies: Vec<PlannedCopy>,
}

/// An image on its way.
struct Subject {
    target: usize,
    label: Option<String>,
    /// Of every curve.
    ranks: Vec<Vec<u32>>,
    /// Of the image as it is, once that has run.
    whole: Option<(f32, Option<f64>)>,
    values: Vec<Vec<f64>>,
    failure: Option<ImageFailure>,
}

impl<'a> Perturbing<'a> {
    /// With settings whose methods the explainer was made with.
    pub fn new(explainer: &'a Explainer, settings: &'a PerturbSettings, target: &'a Target) -> Self {
        Perturbing { explainer, settings, target, copies: planned_copies(settings) }
    }

    /// Copies of each image that are run forward.
    pub fn copies(&self) -> usize {
        self.copies.len()
    }

    /// Perturbs a batch of images. `done` hears of every image by its place, as soon as all of it has run; `stop` is asked between
    /// batches of copies.
    ///
    /// # Panics
    /// When an image is not of the size that the settings say.
    ///
    /// # Errors
    /// When the device cannot run the images, or it was stopped; images that `done` has heard of are complete.
    pub fn run(
        &self,
        inputs: &[PerturbInput],
        stop: &dyn Fn() -> bool,
        done: &mut dyn FnMut(usize, Result<ImageCurves, ImageFailure>),
    ) -> Result<(), PerturbError> {
        let PatchGrid { height, width, .. } = self.settings.grid;
        assert!(
            inputs.iter().all(|input| input.pixels.len() == 3 * height * width),
            "{height}×{width} pixels"
        );
        if inputs.is_empty() {
            return Ok(());
        }
        let mut perturber = self.hold(inputs)?;
        let mut subjects: Vec<Option<Subject>> = Vec::with_capacity(inputs.len());
        for chunk in inputs.chunks((MAPS / self.methods().len().max(1)).clamp(1, self.settings.batch.max(1)))
        {
            refuse_to_go_on(stop)?;
            for subject in self.subjects(chunk, &mut *perturber)? {
                let place = subjects.len();
                subjects.push(subject.map_err(|failure| done(place, Err(failure))).ok());
            }
        }
        let ran: Vec<usize> = (0..subjects.len()).filter(|&place| subjects[place].is_some()).collect();
        let work: Vec<(usize, &PlannedCopy)> =
            ran.iter().flat_map(|&place| self.copies.iter().map(move |copy| (place, copy))).collect();
        let mut begun = ran.into_iter().peekable();
        for batch in work.chunks(self.settings.batch.max(1)) {
            refuse_to_go_on(stop)?;
            let copies: Vec<AlteredCopy> = batch
                .iter()
                .filter_map(|&(image, copy)| {
                    let ranks = &subjects[image].as_ref()?.ranks[copy.curve];
                    Some(AlteredCopy { image, ranks, replaced: copy.replaced.clone() })
                })
                .collect();
            let responses = perturber.respond(&copies)?;
            for (&(image, copy), responses) in batch.iter().zip(responses) {
                if let Some(subject) = &mut subjects[image] {
                    match responses {
                        Ok(responses) => subject.measure(self.explainer, copy, &responses),
                        Err(error) => _ = subject.failure.get_or_insert(error.into()),
                    }
                }
            }
            // Of the image that the next batch goes on with, not all has run.
            let last = batch.last().map_or(0, |&(image, _)| image);
            let is_last =
                |copy: &PlannedCopy| self.copies.last().is_some_and(|last| std::ptr::eq(last, copy));
            let complete = batch.last().is_some_and(|&(_, copy)| is_last(copy));
            while let Some(image) = begun.next_if(|&image| image < last || complete && image == last) {
                if let Some(subject) = subjects[image].take() {
                    done(image, subject.finish());
                }
            }
        }
        Ok(())
    }

    /// The methods whose explanations rank patches.
    fn methods(&self) -> Vec<Method> {
        self.settings.curves.iter().filter_map(|curve| curve.method()).collect()
    }

    /// Brings the images to the device, and what their patches are replaced with.
    fn hold(&self, inputs: &[PerturbInput]) -> Result<Box<dyn Perturber + 'a>, PerturbError> {
        let PerturbSettings { grid, replacement, seed, preprocessing, .. } = self.settings;
        let size = (grid.height, grid.width);
        let planes: Vec<Vec<f32>> =
            inputs.iter().map(|input| preprocessing.normalise_planes(input.pixels)).collect();
        let fillings: Option<Vec<Vec<f32>>> = inputs
            .iter()
            .zip(&planes)
            .map(|(input, planes)| replacement.image(planes, size, preprocessing, *seed, input.name))
            .collect();
        let fillings = fillings.map(|fillings| fillings.concat());
        let filling = fillings.as_deref().map_or(Filling::PatchMeans, Filling::Images);
        Ok(self.explainer.backend().perturb(&planes.concat(), inputs.len(), *grid, filling)?)
    }

    /// Explains images and ranks their patches.
    fn subjects(
        &self,
        inputs: &[PerturbInput],
        perturber: &mut dyn Perturber,
    ) -> Result<Vec<Result<Subject, ImageFailure>>, PerturbError> {
        let grid = self.settings.grid;
        let given: Vec<Input> =
            inputs.iter().map(|input| Input { pixels: input.pixels, key: input.key }).collect();
        let explained = self.explainer.explain((grid.height, grid.width), &given, self.target)?;
        let good: Vec<&Explained> = explained.iter().flatten().collect();
        // For each curve of a method those of all images, one after another.
        let ranked: Vec<Vec<u32>> = self
            .settings
            .curves
            .iter()
            .map(|&curve| {
                let Curve::Method(method, order) = curve else { return Ok(Vec::new()) };
                let maps: Vec<&[f32]> = good
                    .iter()
                    .flat_map(|explained| &explained.explanations)
                    .filter(|explanation| explanation.method == method)
                    .map(|explanation| &explanation.values[..])
                    .collect();
                let (absolute, first) = ranked_by(method, order);
                perturber.rank(&maps.concat(), absolute, first)
            })
            .collect::<Result<_, _>>()?;
        let mut ranked: Vec<_> = ranked.iter().map(|ranks| ranks.chunks_exact(grid.patches())).collect();
        let blank = vec![vec![f64::NAN; self.settings.counts.len()]; self.settings.curves.len()];
        let subject = |(input, explained): (&PerturbInput, Result<Explained, _>)| {
            let Explained { target, label, .. } = explained?;
            let random = || random_ranks(stream(self.settings.seed, input.name), grid.patches());
            let ranks = ranked.iter_mut().map(|ranks| ranks.next().map_or_else(random, <[u32]>::to_vec));
            let (ranks, values) = (ranks.collect(), blank.clone());
            Ok(Subject { target, label, ranks, whole: None, values, failure: None })
        };
        Ok(inputs.iter().zip(explained).map(subject).collect())
    }
}

impl Subject {
    /// Takes what a copy responded; the image as it is comes before all others.
    fn measure(&mut self, explainer: &Explainer, copy: &PlannedCopy, responses: &[f32]) {
        let (response, probability) = (responses[self.target], explainer.probability(responses, self.target));
        let (whole, _) = *self.whole.get_or_insert((response, probability));
        if probability.is_none() && whole == 0.0 {
            self.failure.get_or_insert(ImageFailure::NoResponse { target: self.target });
        }
        let value = probability.unwrap_or(f64::from(response) / f64::from(whole));
        for &(curve, step) in &copy.values {
            self.values[curve][step] = value;
        }
    }

    fn finish(self) -> Result<ImageCurves, ImageFailure> {
        let Subject { target, label, whole, values, failure, .. } = self;
        match (failure, whole) {
            (Some(failure), _) => Err(failure),
            (None, None) => Err(ImageFailure::NoResponse { target }),
            (None, Some((response, probability))) => {
                Ok(ImageCurves { target, label, response, probability, values })
            }
        }
    }
}

fn refuse_to_go_on(stop: &dyn Fn() -> bool) -> Result<(), PerturbError> {
    if stop() { Err(PerturbError::Stopped) } else { Ok(()) }
}

//! Images with the pictures of their explanations, for figures and reports.

use super::exit::Failure;
use super::images::{ImageOptions, input_name};
use super::progress::Progress;
use crate::backend::BackendError;
use crate::explain::{ExplainError, Explained, Explainer, Explanation, Input, Kind, Target};
use crate::images::{InputImage, Rgb8, load};
use crate::output::OutputError;
use crate::output::figure::overlay_picture;
use crate::output::picture::{heat_map_picture, signal_picture};
use crate::parallel;
use image::RgbImage;

/// Images that are loaded at a time.
const LOADED_TOGETHER: usize = 64;

/// How explanations are drawn.
#[derive(Clone, Copy)]
pub struct Drawing {
    /// Exponent of heat maps.
    pub gamma: f64,
    /// Whether heat maps lie over the image.
    pub overlay: bool,
}

/// An image and what is known of it.
pub struct Drawn {
    pub input: InputImage,
    /// What the network saw.
    pub image: RgbImage,
    /// Of what was explained; none before.
    pub told: Option<Told>,
    /// Pictures of its explanations so far, in the order of the methods.
    pub pictures: Vec<RgbImage>,
}

/// What was explained.
pub struct Told {
    pub target: usize,
    pub label: Option<String>,
    pub response: f32,
    pub probability: Option<f64>,
}

impl Told {
    /// The output, in words.
    pub fn target(&self) -> String {
        match &self.label {
            Some(label) => format!("{label} ({})", self.target),
            None => format!("output {}", self.target),
        }
    }

    /// What the network said, in words.
    pub fn response(&self) -> String {
        match self.probability {
            Some(probability) => format!("probability {probability:.3}"),
            None if self.response.abs() >= 100.0 => format!("response {:.0}", self.response),
            None => format!("response {:.2}", self.response),
        }
    }
}

/// Loads all images; those that cannot be are named and left out.
pub fn load_all(images: Vec<InputImage>, options: &ImageOptions, progress: &mut Progress) -> Vec<Drawn> {
    let (load_options, mut drawn) = (options.load(), Vec::with_capacity(images.len()));
    for inputs in images.chunks(LOADED_TOGETHER) {
        let loaded = parallel::map(inputs, |input| load(&input.path, &load_options));
        for (input, loaded) in inputs.iter().zip(loaded) {
            let image = loaded.map(|Rgb8 { width, height, pixels }| {
                RgbImage::from_raw(width as u32, height as u32, pixels).unwrap_or_default()
            });
            match image {
                Ok(image) => {
                    drawn.push(Drawn { input: input.clone(), image, told: None, pictures: Vec::new() });
                }
                Err(error) => {
                    progress.line(&format!("error: {}: {}", input_name(input), error.problem));
                    progress.advance(1);
                }
            }
        }
    }
    drawn
}

/// Explains all images and adds the pictures; those that cannot be explained are named and left out.
pub fn explain_all(
    drawn: &mut Vec<Drawn>,
    explainer: &Explainer,
    target: &Target,
    batch: usize,
    drawing: Drawing,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let mut outcomes = Vec::with_capacity(drawn.len());
    for images in drawn.chunks(batch.max(1)) {
        let inputs: Vec<Input> = images
            .iter()
            .map(|drawn| Input { pixels: drawn.image.as_raw(), key: drawn.input.target.as_deref() })
            .collect();
        let (width, height) = images[0].image.dimensions();
        let explained = explainer
            .explain((height as usize, width as usize), &inputs, target)
            .map_err(|error| batch_failure(&error))?;
        explainer.backend().notices().iter().for_each(|notice| progress.notice(notice));
        let pictures: Vec<Result<_, ExplainError>> =
            parallel::map(images.iter().zip(explained), |(drawn, explained)| {
                explained.map(|explained| pictures(&drawn.image, explained, drawing))
            });
        outcomes.extend(pictures);
        progress.advance(images.len());
    }
    let mut outcomes = outcomes.into_iter();
    let mut broken = None;
    drawn.retain_mut(|drawn| match outcomes.next() {
        Some(Ok(Ok((told, pictures)))) => {
            drawn.told.get_or_insert(told);
            drawn.pictures.extend(pictures);
            true
        }
        Some(Ok(Err(error))) => {
            broken.get_or_insert(error);
            false
        }
        Some(Err(error)) => {
            progress.line(&format!("error: {}: {error}", input_name(&drawn.input)));
            false
        }
        None => false,
    });
    broken.map_or(Ok(()), |error| Err(error.into()))
}

/// What is told of an image, and the pictures of its explanations.
fn pictures(
    image: &RgbImage,
    explained: Explained,
    drawing: Drawing,
) -> Result<(Told, Vec<RgbImage>), OutputError> {
    let Explained { target, label, response, probability, explanations } = explained;
    let pictures = explanations.iter().map(|explanation| picture(image, explanation, drawing));
    Ok((Told { target, label, response, probability }, pictures.collect::<Result<_, _>>()?))
}

/// The picture that `explain` writes, or a heat map over the image.
fn picture(image: &RgbImage, explanation: &Explanation, drawing: Drawing) -> Result<RgbImage, OutputError> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    match explanation.method.kind() {
        Kind::Signal => signal_picture(&explanation.values, height, width),
        Kind::Attribution if drawing.overlay => overlay_picture(image, &explanation.values, drawing.gamma),
        Kind::Attribution => heat_map_picture(&explanation.values, height, width, drawing.gamma),
    }
}

/// Why no image can be explained.
fn batch_failure(error: &ExplainError) -> Failure {
    Failure::Run(match error {
        ExplainError::Backend(BackendError::Network(_)) => format!("{error}; see --resize and --crop"),
        error => error.to_string(),
    })
}

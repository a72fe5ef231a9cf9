//! Options that every command on images shares: which, and how they are brought to the network's size.

use super::exit::Failure;
use crate::explain::Target;
use crate::images::find::find;
use crate::images::{InputImage, LoadOptions, Shard, decode, resize};
use crate::output::path_text;
use clap::Args;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::Path;

#[derive(Args)]
pub struct ImageOptions {
    /// Image files, directories (recursive), @list.txt (a path a line, optionally a tab and a target), or - for such a
    /// list on standard input; explain and learn also take .tar shards and ranges of them, as in
    /// '{000..099}.tar' [default: samples/ when it is there]
    #[arg(value_name = "INPUT")]
    pub inputs: Vec<OsString>,
    /// Resize the shorter side to N pixels (bilinear, antialiased)
    #[arg(long, value_name = "N", default_value_t = resize::DEFAULT_RESIZE, value_parser = side())]
    pub resize: u32,
    /// Cut N×N pixels out of the centre
    #[arg(long, value_name = "N", default_value_t = resize::DEFAULT_CROP, value_parser = side())]
    pub crop: u32,
    /// Refuse images with more pixels
    #[arg(long, value_name = "N", default_value_t = decode::DEFAULT_MAX_PIXELS, value_parser = clap::value_parser!(u64).range(1..))]
    pub max_pixels: u64,
}

/// Lengths in pixels that images can be brought to.
fn side() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(resize::MAX_CROP))
}

impl ImageOptions {
    /// What is searched for images: what was named, or the samples.
    pub fn given(&self) -> Result<Vec<OsString>, Failure> {
        if !self.inputs.is_empty() {
            Ok(self.inputs.clone())
        } else if Path::new("samples").is_dir() {
            Ok(vec![OsString::from("samples")])
        } else {
            let message = "no input: name images, directories or lists (there is no samples/ here)";
            Err(Failure::Run(message.to_owned()))
        }
    }

    /// The images found in `given`, without those that `leave_out` takes away.
    pub fn find(
        given: &[OsString],
        leave_out: impl FnOnce(&mut Vec<InputImage>) -> Result<(), Failure>,
    ) -> Result<Vec<InputImage>, Failure> {
        let mut images = find(given)?.images;
        leave_out(&mut images)?;
        if images.is_empty() {
            return Err(Self::nothing_in(given));
        }
        Ok(images)
    }

    /// The refusal of inputs without images.
    pub fn nothing_in(given: &[OsString]) -> Failure {
        let given: Vec<String> = given.iter().map(|input| path_text(Path::new(input))).collect();
        Failure::Run(format!(
            "no images found in {}; name image files, or directories or lists with some",
            given.join(", ")
        ))
    }

    /// Refuses sizes that cannot be: of random crops, which are cut out of the image as it is, or of one from the centre.
    pub fn validate(&self, crops: Option<u32>) -> Result<(), Failure> {
        let resize = if crops.is_some() { self.crop } else { self.resize };
        resize::validate(resize, self.crop).map_err(Failure::usage)
    }

    /// How an image is brought to the network's size.
    pub fn load(&self) -> LoadOptions {
        LoadOptions { resize: self.resize, crop: self.crop, max_pixels: self.max_pixels }
    }

    /// Images a batch: those asked for, or the device's preference for images of the usual size, fewer for larger crops.
    pub fn batch_size(&self, asked: Option<u16>, preferred: usize) -> usize {
        let larger = u64::from(self.crop).pow(2).div_ceil(u64::from(resize::DEFAULT_CROP).pow(2)) as usize;
        asked.map_or((preferred / larger).max(1), usize::from)
    }
}

/// A share of the inputs, from the command line: `I/N`, or what the launcher says.
pub fn share(text: &str) -> Result<Shard, String> {
    Shard::parse(text, |variable| std::env::var(variable).ok()).map_err(|error| error.to_string())
}

/// What messages and records call an input: its path, without a leading `./`, so that both ways of writing it are one
/// input.
pub fn input_name(input: &InputImage) -> String {
    path_text(input.path.strip_prefix(".").unwrap_or(&input.path))
}

/// The images, each once. With `--target key` the same image with two targets is refused: one of them would be lost.
pub fn one_target_each(images: &mut Vec<InputImage>, target: &Target) -> Result<(), Failure> {
    let mut targets = HashMap::with_capacity(images.len());
    for image in images.iter().filter(|_| *target == Target::Key) {
        let other = targets.insert(image.path.clone(), &image.target);
        if other.is_some_and(|other| *other != image.target) {
            let name = input_name(image);
            return Err(Failure::Run(format!("{name} is listed with two targets; make a call for each")));
        }
    }
    leave_repeated_out(images)
}

/// An image that is listed several times, with several targets, is summed once.
pub fn leave_repeated_out(images: &mut Vec<InputImage>) -> Result<(), Failure> {
    let mut seen = HashSet::with_capacity(images.len());
    images.retain(|image| seen.insert(image.path.clone()));
    Ok(())
}

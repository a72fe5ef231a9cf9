//! The images a call names, without what must not be explained or cannot be told apart.

use super::Options;
use super::choices::Choices;
use crate::cli::exit::Failure;
use crate::cli::images::{ImageOptions, input_name};
use crate::images::{InputImage, output_collisions};
use crate::output::path_text;
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The images of this share to explain, of those that were found behind inputs.
pub fn inputs(
    options: &Options,
    choices: &Choices,
    mut images: Vec<InputImage>,
    given: &[OsString],
) -> Result<Vec<InputImage>, Failure> {
    leave_outputs_out(&mut images, given, &options.output)?;
    if images.is_empty() {
        return Err(ImageOptions::nothing_in(given));
    }
    output_collisions(&images)?;
    row_collisions(&images)?;
    let shard = choices.shard;
    let share: Vec<InputImage> =
        (0..).zip(images).filter_map(|(number, image)| shard.holds(number).then_some(image)).collect();
    if share.is_empty() {
        return Err(Failure::Run(format!(
            "shard {shard} has no image: there are fewer images than shards; use fewer shards"
        )));
    }
    Ok(share)
}

/// Refuses images that would share a row of the manifest: the same file with two targets, once below a directory, or a
/// name that is not UTF-8 and another one that looks like its text.
fn row_collisions(images: &[InputImage]) -> Result<(), Failure> {
    let mut names = HashSet::with_capacity(images.len());
    match images.iter().map(input_name).find(|name| !names.insert(name.clone())) {
        None => Ok(()),
        Some(name) => Err(Failure::Run(format!(
            "two inputs are both called {name}; rename one, or use two output folders"
        ))),
    }
}

/// Leaves out what earlier runs wrote into an output folder below a directory that is searched: `vggx explain .` writes
/// pictures into `./explanations`, and must not explain them when it is called again.
fn leave_outputs_out(images: &mut Vec<InputImage>, given: &[OsString], output: &Path) -> Result<(), Failure> {
    for outputs in outputs_among(given, output)? {
        images.retain(|image| !image.path.starts_with(&outputs));
    }
    Ok(())
}

/// Where the output folder is below the directories that are searched, as found files are named.
///
/// # Errors
/// A usage error where it is one of these directories.
pub fn outputs_among(given: &[OsString], output: &Path) -> Result<Vec<PathBuf>, Failure> {
    let Ok(output_place) = output.canonicalize() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for input in given {
        let directory = Path::new(input);
        let Ok(place) = directory.canonicalize() else { continue };
        if !place.is_dir() {
            continue;
        }
        if place == output_place {
            return Err(Failure::usage(format!(
                "the output folder {} is an input as well, and the next run would explain its pictures; choose another --output",
                path_text(output)
            )));
        }
        if let Ok(below) = output_place.strip_prefix(&place) {
            // Found files are named by their directory as it was given.
            found.push(directory.join(below));
        }
    }
    Ok(found)
}

//! `vggx info`: this build and its devices, or the contents of a file.

mod build;
mod lines;
mod moments;
mod patterns;
mod weights;

use super::exit::{Failure, Outcome, print};
use crate::patterns::MomentFile;
use crate::weights::{Format, TensorFile};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct Options {
    /// A weight, pattern or moment file
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Describes the build or a file.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    let (description, text) = match &options.file {
        None => build::describe(),
        Some(path) if Format::of(path)? == Format::Safetensors => {
            let file = TensorFile::open(path)?;
            if MomentFile::is_one(&file) {
                moments::describe(path)?
            } else if patterns::is_one(&file) {
                patterns::describe(path, &file)
            } else {
                weights::describe(path)?
            }
        }
        Some(path) => weights::describe(path)?,
    };
    print(if options.json { description.to_string() } else { text.join("\n") }.as_str())?;
    Ok(Outcome::Done)
}

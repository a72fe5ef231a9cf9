//! `vggx convert`: weights in any format to a safetensors file with complete metadata.

use super::exit::{Failure, Outcome, print};
use super::network::PreprocessingOptions;
use super::places::{prepare_place, refuse_to_write_over};
use super::progress::say;
use crate::output::path_text;
use crate::weights::{TensorFile, Weights};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Options {
    /// Weights to read: safetensors, .pth, .h5, .keras, .onnx, .npz
    #[arg(value_name = "FROM")]
    from: PathBuf,
    /// File to write (safetensors)
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    overwrite: bool,
    /// Print what was written on standard output as one JSON object
    #[arg(long)]
    json: bool,
    /// Nothing on standard error but errors
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    preprocessing: PreprocessingOptions,
}

/// Reads, checks and writes weights.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    let (from, to) = (&options.from, &options.to);
    refuse_to_write_over([("FROM", from.as_path())], [("TO", to.as_path())])?;
    refuse_other_extensions(to)?;
    let weights = Weights::open(from, &options.preprocessing.overrides()?)?;
    weights.check_finite()?;
    prepare_place(to)?;
    if to.exists() && !options.overwrite {
        return Err(Failure::Run(format!(
            "{} is there already; name another file, or replace it with --overwrite",
            path_text(to)
        )));
    }
    weights.save(to).map_err(|error| {
        Failure::Run(format!("cannot write {}: {error}; make room or choose another place", path_text(to)))
    })?;
    for note in weights.notes() {
        say(options.quiet, &format!("note: {note}"));
    }
    let network = weights.network();
    if options.json {
        let description = json!({
            "file": path_text(to),
            "source": path_text(from),
            "format": weights.format().name(),
            "architecture": network.architecture,
            "outputs": network.outputs(),
            "preprocessing": network.preprocessing.to_json(),
            "preprocessing_origin": weights.preprocessing_origin(),
            "notes": weights.notes(),
            "bytes": TensorFile::open(to)?.data_bytes(),
        });
        print(&description.to_string())?;
    } else {
        say(
            options.quiet,
            &format!(
                "{}: {}, {} {}; input {}",
                path_text(to),
                network.architecture,
                network.outputs(),
                if network.has_classifier() { "classes" } else { "channels, headless" },
                weights.preprocessing_origin()
            ),
        );
    }
    Ok(Outcome::Done)
}

/// What is written is safetensors, whatever the file is called; names of other formats would deceive.
fn refuse_other_extensions(to: &Path) -> Result<(), Failure> {
    const OTHERS: [&str; 8] = ["pth", "pt", "h5", "hdf5", "keras", "onnx", "npz", "bin"];
    let extension = to.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.filter(|extension| OTHERS.contains(&extension.as_str())) {
        Some(extension) => Err(Failure::usage(format!(
            "{}: safetensors is written, not .{extension}; name a file that ends in .safetensors",
            path_text(to)
        ))),
        None => Ok(()),
    }
}

//! `vggx solve`: moments of any number of runs and shards, merged, to patterns.

use super::exit::{Failure, Outcome, print};
use super::learn::present::{other_patterns, refuse};
use super::moments::check_preprocessing;
use super::network::WeightOptions;
use super::patterns::{SolveArguments, tell};
use super::places::{prepare_place, refuse_to_write_over};
use super::progress::say;
use crate::output::path_text;
use crate::patterns::{LayerSource, Merged, MomentFile, MomentRecord, Patterns, Report, SolveOptions, solve};
use crate::weights::Weights;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Options {
    /// Moment files of runs or shards of `vggx learn --moments`
    #[arg(value_name = "MOMENTS", required = true)]
    files: Vec<PathBuf>,
    /// Pattern file to write (safetensors)
    #[arg(long, short, value_name = "FILE", required_unless_present = "moments")]
    output: Option<PathBuf>,
    /// Keep the merged moments too
    #[arg(long, value_name = "FILE")]
    moments: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
    /// Print the report on standard output as one JSON object
    #[arg(long)]
    json: bool,
    /// Nothing on standard error but errors
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    solve: SolveArguments,
    #[command(flatten)]
    weights: WeightOptions,
}

/// Merges moments and solves patterns.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    let solving = options.solve.options()?;
    for path in options.output.iter().chain(&options.moments) {
        prepare_place(path)?;
    }
    // Now that the folders are there, they have one name each.
    let read = options.files.iter().map(|path| ("the input", path.as_path()));
    let written = [("--output", &options.output), ("--moments", &options.moments)];
    let written = written.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?)));
    refuse_to_write_over(read, written)?;
    let weights = options.weights.open(options.quiet)?;
    let files: Vec<MomentFile> =
        options.files.iter().map(|path| MomentFile::open(path, &weights)).collect::<Result<_, _>>()?;
    let merged = Merged::new(&files)?;
    // Those of all files are the same.
    if let Some(first) = files.first() {
        check_preprocessing(first, &weights)?;
    }
    let record = merged.record();
    let say = |text: &str| say(options.quiet, text);
    merged.notices().iter().for_each(|notice| say(&format!("warning: {notice}")));
    let kept = |path: &Path| say(&format!("{}: kept from an earlier call", path_text(path)));
    if let Some(path) = &options.moments {
        if path.exists() && !options.overwrite {
            check_moments(path, &merged, &record, &weights)?;
            kept(path);
        } else {
            MomentFile::write(path, &merged, &record, &weights)?;
        }
    }
    let Some(path) = &options.output else {
        if let Some(path) = options.moments.as_ref().filter(|_| options.json) {
            print(&json!({ "moments": path_text(path), "images": record.images }).to_string())?;
        }
        return Ok(Outcome::Done);
    };
    if path.exists() && !options.overwrite {
        let earlier = check_patterns(path, &solving, &merged, &record, &weights)?;
        if options.json {
            let report = Report::of(&earlier).ok_or_else(|| refuse(path, "it has no report"))?;
            tell(&report, path, true)?;
        }
        kept(path);
        return Ok(Outcome::Done);
    }
    let report = solve(&merged, &record, &weights, &solving, path)?;
    tell(&report, path, options.json)?;
    Ok(Outcome::Done)
}

/// # Errors
/// When the moments that are there are not the merged ones.
fn check_moments(
    path: &Path,
    merged: &Merged,
    record: &MomentRecord,
    weights: &Weights,
) -> Result<(), Failure> {
    let earlier = MomentFile::open(path, weights).map_err(|error| refuse(path, &error.to_string()))?;
    if earlier.record() != record {
        return Err(refuse(path, "they are of other runs"));
    }
    // A run may have been learnt anew, from other images under the same names.
    let same = |layer| earlier.layer(layer) == merged.layer(layer);
    if !(0..merged.layer_count()).all(same) || earlier.preprocessing() != &weights.network().preprocessing {
        return Err(refuse(path, "they are other sums"));
    }
    Ok(())
}

/// # Errors
/// When the patterns that are there are not those that would be solved.
fn check_patterns(
    path: &Path,
    solving: &SolveOptions,
    merged: &Merged,
    record: &MomentRecord,
    weights: &Weights,
) -> Result<Patterns, Failure> {
    let earlier = Patterns::open(path, weights).map_err(|error| refuse(path, &error.to_string()))?;
    if let Some(other) = other_patterns(&earlier, solving, &record.run) {
        return Err(refuse(path, &other));
    }
    // A run goes on, or is learnt anew, under the same description.
    match earlier.moments() {
        Some(moments) if moments == merged.checksums() => Ok(earlier),
        Some(_) => Err(refuse(path, "it is of moments with other sums")),
        None => Err(refuse(path, "it does not say which moments it was solved from")),
    }
}

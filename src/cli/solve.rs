//! `vggx solve`: moments of any number of runs and shards, merged, to patterns.

use super::exit::{Failure, Outcome};
use super::learn::present::{other_patterns, refuse};
use super::network::WeightOptions;
use super::patterns::{SolveArguments, prepare_place, tell};
use crate::output::path_text;
use crate::patterns::{Merged, MomentFile, Patterns, solve};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

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
    let weights = options.weights.open()?;
    let files: Vec<MomentFile> =
        options.files.iter().map(|path| MomentFile::open(path, &weights)).collect::<Result<_, _>>()?;
    let merged = Merged::new(&files)?;
    let record = merged.record();
    let say = |text: &str| {
        if !options.quiet {
            // Nothing can be done when standard error is closed or full.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    };
    merged.notices().iter().for_each(|notice| say(&format!("warning: {notice}")));
    if let Some(path) = options.moments.as_ref().filter(|path| path.exists() && !options.overwrite) {
        let earlier = MomentFile::open(path, &weights).map_err(|error| refuse(path, &error.to_string()))?;
        if *earlier.record() != record {
            return Err(refuse(path, "they are of other runs"));
        }
        say(&format!("{}: kept from an earlier call", path_text(path)));
    } else if let Some(path) = &options.moments {
        MomentFile::write(path, &merged, &record, &weights)?;
    }
    let Some(path) = &options.output else { return Ok(Outcome::Done) };
    if path.exists() && !options.overwrite {
        let earlier = Patterns::open(path, &weights).map_err(|error| refuse(path, &error.to_string()))?;
        return match other_patterns(&earlier, &solving, &record.run) {
            Some(other) => Err(refuse(path, &other)),
            None => {
                say(&format!("{}: kept from an earlier call", path_text(path)));
                Ok(Outcome::Done)
            }
        };
    }
    let report = solve(&merged, &record, &weights, &solving, path)?;
    tell(&report, path, options.json)?;
    Ok(Outcome::Done)
}

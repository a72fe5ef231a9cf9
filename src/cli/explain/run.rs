//! The run over all inputs, in either layout.

use super::choices::{Choices, Layout};
use super::telling::Telling;
use super::{Options, files, shards};
use crate::cli::exit::{Failure, Outcome};
use crate::output::run_record::{Counts, RunRecord};

/// Explains all inputs of the command line.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    let choices = Choices::new(options)?;
    options.network.device.limit_threads()?;
    let given = match options.synthetic {
        Some(_) => Vec::new(),
        None => options.images.given()?,
    };
    let ended = match Layout::of(options, &given)? {
        Layout::Files(images) => files::run(options, &choices, images, &given),
        Layout::Shards(spool) => shards::run(options, &choices, (&given, &spool)),
    };
    ended.map_err(|failure| match failure {
        Failure::ReaderGone => Failure::Run(
            "standard output was closed by its reader: stopped; the same call goes on from here".to_owned(),
        ),
        failure => failure,
    })
}

/// Tells how a finished run went, and what its exit code is.
pub fn ended(telling: &Telling, record: &RunRecord, place: &str) -> Result<Outcome, Failure> {
    telling.summary(record, place)?;
    let Counts { images, failed, .. } = record.counts;
    match failed {
        0 => Ok(Outcome::Done),
        failed if failed == images => {
            Err(Failure::Run("every input failed, each for the reason given above or in its row".to_owned()))
        }
        _ => Ok(Outcome::SomeFailed),
    }
}

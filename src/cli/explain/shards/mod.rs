//! The run with shards of many images.

mod heeding;
mod losses;
mod refuse;
mod results;
mod steps;
mod totals;

use super::Options;
use super::choices::Choices;
use super::compute::Pipeline;
use super::inputs::outputs_among;
use super::prepare::Prepared;
use super::run::ended;
use super::telling::Telling;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::images::ImageOptions;
use crate::cli::interrupt::Interrupt;
use crate::hash;
use crate::images::search::{names_archives, search_spooled};
use crate::images::{Shard, Spool, Units};
use crate::output::resume::Identity;
use crate::output::run_record::Times;
use crate::output::shards::{Layout, ShardSet, Sharing};
use crate::output::{path_text, prepare_folder};
use heeding::heeding;
use results::Results;
use serde_json::json;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use steps::{Origin, Steps};
use totals::Totals;

/// Explains all inputs, many into each shard.
pub fn run(
    options: &Options,
    choices: &Choices,
    (given, spool): (&[OsString], &Spool),
) -> Result<Outcome, Failure> {
    let (started, clock) = (SystemTime::now(), Instant::now());
    let reads_once = Spool::is_needed(given);
    refuse::same_shards(given, reads_once, &options.output)?;
    prepare_folder(&options.output)?;
    let outputs = outputs_among(given, &options.output)?;
    let prepared = Prepared::open(options, choices)?;
    let layout = Layout {
        formats: choices.formats.clone(),
        gamma: options.gamma,
        store: choices.store,
        rows: choices.rows,
    };
    let sharing = if choices.shard == Shard::WHOLE { Sharing::Alone } else { Sharing::Shares };
    let identity = identity(options, choices, &prepared, given);
    let set = Arc::new(ShardSet::open(&options.output, layout, &identity, sharing, options.overwrite)?);
    let interrupt = Interrupt::install()?;
    let size = choices.shard_size as usize;
    let units = || -> Box<dyn Iterator<Item = _> + Send> {
        if let Some(images) = options.synthetic {
            return Box::new(Units::of_noise(images, options.seed, size).map(Ok));
        }
        let outputs = outputs.clone();
        // What earlier calls wrote below a directory that is searched is no input.
        let found = search_spooled(given.to_vec(), spool).filter(move |found| match found {
            Ok(found) => !outputs.iter().any(|outputs| found.path().starts_with(outputs)),
            Err(_) => true,
        });
        match reads_once {
            true => Box::new(Units::new(heeding(found, interrupt.clone()), size)),
            false => Box::new(Units::new(found, size)),
        }
    };
    let totals = if reads_once { Totals::unknown() } else { Totals::count(units(), choices.shard) };
    let origin = Origin {
        shard: choices.shard,
        max_pixels: options.images.max_pixels,
        set: set.clone(),
        interrupt: interrupt.clone(),
    };
    let pipeline = Pipeline::new(options, &prepared);
    let telling = Telling::new(options, &pipeline, None, false);
    prepared.notices.iter().for_each(|notice| telling.notice(notice));
    let mut results = Results::new(options, &set, prepared.device(), telling, totals);
    pipeline.run(Steps::new(units(), origin), &prepared, &options.target, |passed| {
        results.take(&pipeline.stages, passed)?;
        if interrupt.requested() { Err(results.interrupted()) } else { Ok(()) }
    })?;
    let (counts, units, telling) = results.finish();
    if units.all == 0 {
        return Err(ImageOptions::nothing_in(given));
    }
    let times = Times::new(started, clock.elapsed());
    let record = prepared.record(options, &choices.methods, counts, times, pipeline.record());
    match choices.shard {
        Shard::WHOLE => record.write(&options.output)?,
        share => record.write_share(&options.output, share.index(), share.count())?,
    }
    if units.of_share == 0 {
        telling.notice(&format!(
            "shard {} has nothing to do: there are fewer input shards than shards",
            choices.shard
        ));
    }
    let place = format!(" in {} shards in {}", units.of_share, path_text(&options.output));
    ended(&telling, &record, &place)
}

/// All that decides the shards.
fn identity(options: &Options, choices: &Choices, prepared: &Prepared, given: &[OsString]) -> Identity {
    let mut identity = prepared.identity.clone();
    let mut insert = |name: &str, value| identity.insert(name.to_owned(), value);
    let methods: Vec<String> = choices.methods.iter().map(ToString::to_string).collect();
    let mut formats: Vec<String> = choices.formats.iter().map(ToString::to_string).collect();
    formats.sort();
    insert("layout", json!("shards"));
    insert("method", json!(methods));
    insert("format", json!(formats));
    insert("rows", json!(choices.rows.to_string()));
    insert("max-pixels", json!(options.images.max_pixels));
    if given.is_empty() || !given.iter().all(|input| names_archives(input)) {
        insert("shard-size", json!(choices.shard_size));
    }
    // Rows name outputs by them, and keys are looked up in them.
    if let Some(labels) = &prepared.labels {
        insert("labels", json!(digest(labels)));
    }
    identity
}

/// A hash of names.
fn digest(labels: &[String]) -> String {
    format!("{:016x}", hash::extend(hash::EMPTY, labels.join("\n").into_bytes()))
}

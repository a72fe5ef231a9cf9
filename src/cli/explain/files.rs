//! The run with files for every image.

use super::Options;
use super::choices::Choices;
use super::compute::Pipeline;
use super::earlier::Earlier;
use super::inputs::inputs;
use super::prepare::Prepared;
use super::results::Results;
use super::run::ended;
use super::telling::Telling;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::images::input_name;
use crate::cli::interrupt::Interrupt;
use crate::images::{InputImage, Sample, Shard, Units};
use crate::output::resume::Resume;
use crate::output::run_record::Times;
use crate::output::{Writer, path_text};
use crate::pipeline::Step;
use std::ffi::OsString;
use std::time::{Instant, SystemTime};

/// Explains the images that were found behind inputs, each into files of its own.
pub fn run(
    options: &Options,
    choices: &Choices,
    images: Vec<InputImage>,
    given: &[OsString],
) -> Result<Outcome, Failure> {
    let (started, clock) = (SystemTime::now(), Instant::now());
    let samples = match options.synthetic {
        Some(images) => noise(images, options.seed, choices.shard),
        None => inputs(options, choices, images, given)?.into_iter().map(Sample::from).collect(),
    };
    let writer = Writer::create(&options.output, &choices.formats, options.gamma)?.storing(choices.store);
    let prepared = Prepared::open(options, choices)?;
    let resume = Resume::open(&options.output, &prepared.identity, options.overwrite)?;
    let interrupt = Interrupt::install()?;
    let names = choices.methods.iter().map(ToString::to_string).collect();
    let (outputs, labels) = (prepared.outputs(), prepared.labels.as_deref());
    let formats = choices.formats.clone();
    let earlier = Earlier { options, resume: &resume, names, formats, outputs, labels };
    let pipeline = Pipeline::new(options, &prepared);
    let telling = Telling::new(options, &pipeline, Some(samples.len()), true);
    prepared.notices.iter().for_each(|notice| telling.notice(notice));
    let mut results = Results::new(options, writer, &resume, telling, samples.len());
    let explained = explain_all((&prepared, &pipeline), samples, &earlier, &mut results, &interrupt);
    // Also after an error: what was written before it is kept and listed.
    let finished = results.finish();
    explained?;
    let (counts, telling) = finished?;
    let times = Times::new(started, clock.elapsed());
    let record = prepared.record(options, &choices.methods, counts, times, pipeline.record());
    record.write(&options.output)?;
    let place = match choices.formats.is_empty() {
        true => String::new(),
        false => format!(" in {}", path_text(&options.output)),
    };
    ended(&telling, &record, &place)
}

/// Images of noise.
fn noise(images: u64, seed: u64, shard: Shard) -> Vec<Sample> {
    // A unit an image; noise cannot fail to be read.
    let units = Units::of_noise(images, seed, 1).filter(|unit| shard.holds(unit.number));
    units.filter_map(|unit| unit.samples(0).ok()).flatten().filter_map(Result::ok).collect()
}

/// Explains what no earlier run has explained: batches in flight on the devices while those before are written.
fn explain_all(
    (prepared, pipeline): (&Prepared, &Pipeline),
    samples: Vec<Sample>,
    earlier: &Earlier,
    results: &mut Results,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    let (mut todo, mut positions) = (Vec::new(), Vec::new());
    let all = samples.len();
    for (position, sample) in samples.into_iter().enumerate() {
        let input: &InputImage = &sample.image;
        if earlier.holds(input)? {
            results.keep(position as u64, &input_name(input))?;
        } else {
            todo.push(sample);
            positions.push(position as u64);
        }
    }
    let mut positions = positions.into_iter();
    let steps = todo.into_iter().map(Step::<()>::Image);
    pipeline.run(steps, prepared, &earlier.options.target, |passed| {
        results.write(&mut positions, &pipeline.stages, passed)?;
        if interrupt.requested() {
            let done = all - positions.len();
            return Err(Failure::Interrupted(format!(
                "stopped after {done} of {all} images; the same call goes on from there"
            )));
        }
        Ok(())
    })
}

//! What follows from a call's options before anything is opened.

use super::{LayoutChoice, Options};
use crate::cli::exit::Failure;
use crate::cli::progress::say;
use crate::cli::targets::distinct;
use crate::explain::{Method, Target};
use crate::images::find::find_spooled;
use crate::images::resize;
use crate::images::search::names_archives;
use crate::images::{InputImage, Inputs, Shard, Spool};
use crate::output::shards::RowFormat;
use crate::output::{Format, Store, parse_formats};
use std::ffi::OsString;

/// What is to be done.
pub struct Choices {
    /// Without repetitions.
    pub methods: Vec<Method>,
    pub formats: Vec<Format>,
    pub store: Store,
    pub shard: Shard,
    /// Single images of an output shard.
    pub shard_size: u32,
    pub rows: RowFormat,
}

impl Choices {
    /// Checks the options.
    ///
    /// # Errors
    /// Usage errors.
    pub fn new(options: &Options) -> Result<Self, Failure> {
        resize::validate(options.images.resize, options.images.crop).map_err(Failure::usage)?;
        let formats = parse_formats(&options.format).map_err(Failure::usage)?;
        if options.synthetic.is_some() && options.target == Target::Key {
            return Err(Failure::usage("--target key: noise comes without targets; name an output or top1"));
        }
        let methods = distinct(&options.methods);
        let choices = Self {
            methods,
            formats,
            store: Store { element: options.store.unwrap_or_default(), heat_maps: options.heat_maps },
            shard: options.shard.unwrap_or(Shard::WHOLE),
            shard_size: options.shard_size.unwrap_or(1000),
            rows: options.rows.unwrap_or_default(),
        };
        if !choices.arrays() && (options.store.is_some() || options.heat_maps) {
            let message = "--store and --heat-maps are about arrays: add npy, npz or safetensors to --format";
            return Err(Failure::usage(message));
        }
        Ok(choices)
    }

    /// Whether any of the formats holds arrays.
    pub fn arrays(&self) -> bool {
        self.formats.iter().any(|&format| format != Format::Png)
    }

    /// Whether heat maps are all that is wanted of attributions.
    pub fn sums_suffice(&self) -> bool {
        !self.formats.is_empty() && (self.store.heat_maps || !self.arrays())
    }
}

/// What the output folder holds: as asked for, or as the inputs have it.
pub enum Layout {
    /// Files of each of these images.
    Files(Vec<InputImage>),
    /// Shards of whatever there is, with the lists that have been read for that.
    Shards(Spool),
}

impl Layout {
    /// Looks at the inputs where nothing else decides.
    ///
    /// # Errors
    /// Where they cannot be searched.
    pub fn of(options: &Options, given: &[OsString]) -> Result<Self, Failure> {
        let archives_named = given.iter().any(|input| names_archives(input));
        match options.layout {
            Some(LayoutChoice::Shards) => Ok(Self::Shards(Spool::default())),
            None if archives_named || options.synthetic.is_some() => Ok(Self::Shards(Spool::default())),
            asked => {
                let spool = Spool::read(given)?;
                let Inputs { images, archives } = find_spooled(given, &spool)?;
                if images.is_empty() && archives > 0 && asked.is_none() {
                    return Ok(Self::Shards(spool));
                }
                if options.shard_size.is_some() || options.rows.is_some() {
                    let message =
                        "--shard-size and --rows are about shards: add --layout shards, or leave them out";
                    return Err(Failure::usage(message));
                }
                if archives > 0 {
                    let text = format!(
                        "{archives} tar shards among the inputs are left out; --layout shards takes them too"
                    );
                    say(options.quiet, &text);
                }
                Ok(Self::Files(images))
            }
        }
    }
}

use super::resume::IDENTITY_FILE_NAME;
use std::io;
use std::path::{Path, PathBuf};

/// Why outputs could not be written, or a folder of outputs could not be continued.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A format's name is not one of png, npy, npz and safetensors.
    #[error("unknown output format `{name}`: choose from png, npy, npz and safetensors, or none alone")]
    UnknownFormat {
        /// The name as given.
        name: String,
    },
    /// `none` was combined with a format.
    #[error("the output format none stands alone: leave it out, or leave the others out")]
    NoneAmongFormats,
    /// The gamma of heat maps is not a positive finite number.
    #[error("gamma {gamma} is not usable: it must be a finite number above 0, such as 0.5")]
    InvalidGamma {
        /// The value as given.
        gamma: f64,
    },
    /// The output folder cannot be made or written into.
    #[error("cannot write into the output folder {}: {source}; choose another folder or change its permissions", path.display())]
    FolderNotWritable {
        /// The output folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk or the user's share of it is full.
    #[error("no space left to write {}: free some and run again; finished outputs are kept", path.display())]
    NoSpace {
        /// The file or folder that did not fit.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file's final name.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of an earlier run does not hold what it should.
    #[error("{} is damaged ({reason}); remove it, or choose another output folder", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with the place.
        reason: String,
    },
    /// An array or picture could not be encoded.
    #[error("cannot encode {}: {reason}", path.display())]
    Encode {
        /// The file that was to be written.
        path: PathBuf,
        /// What the encoder said.
        reason: String,
    },
    /// An output name is absolute, empty or climbs out of the output folder.
    #[error(
        "the output name `{name}` does not stay inside the output folder: use a relative name without `..`"
    )]
    EscapingName {
        /// The name as given.
        name: String,
    },
    /// A method's name cannot be part of a file name.
    #[error("the method name `{method}` cannot be part of a file name")]
    InvalidMethod {
        /// The name as given.
        method: String,
    },
    /// The same method came twice for one image.
    #[error("the method `{method}` was given twice for one image")]
    RepeatedMethod {
        /// The method.
        method: String,
    },
    /// The number of values is not 3 × height × width, or there is no pixel.
    #[error("{values} values do not make 3 channels of {height} × {width} pixels")]
    Shape {
        /// Number of values given.
        values: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// The folder holds outputs that were made with other options.
    #[error(
        "the folder {} holds outputs made with {option} {former}, this call has {option} {current}: \
         choose another output folder, or redo them with --overwrite", path.display()
    )]
    DifferentIdentity {
        /// The output folder.
        path: PathBuf,
        /// The first option that differs, in alphabetical order.
        option: String,
        /// Its value in the earlier run, as JSON.
        former: String,
        /// Its value in this call, as JSON.
        current: String,
    },
    /// The folder holds outputs, but not the record of the options they were made with.
    #[error(
        "the folder {} holds outputs, but what they were made with is not known ({reason}): \
         choose another output folder, or redo them with --overwrite", path.display()
    )]
    UnknownIdentity {
        /// The output folder.
        path: PathBuf,
        /// Why it is not known.
        reason: String,
    },
    /// A finished shard is of another input than the one of its name now.
    #[error(
        "{} was made from {input} when that was {former}, now it is {current}: remove that file to make this shard again, \
         redo all with --overwrite, or choose another output folder", path.display()
    )]
    OtherContent {
        /// The marker of the finished shard.
        path: PathBuf,
        /// The input.
        input: String,
        /// What it was made of.
        former: String,
        /// What is there now.
        current: String,
    },
    /// Two inputs would write the same shard.
    #[error("{input} and {other} would both be written to {stem}.*: rename one, or use two output folders")]
    SameShard {
        /// The second input.
        input: String,
        /// The first one.
        other: String,
        /// The outputs' path below the output folder, without extension.
        stem: String,
    },
    /// The output folder was removed, or its records were, while a run was going on.
    #[error("the output folder {} is not what it was ({IDENTITY_FILE_NAME} is gone): stopped; run again to begin anew", path.display())]
    FolderGone {
        /// The output folder.
        path: PathBuf,
    },
    /// The folder holds outputs of the other layout.
    #[error("the folder {} is one of the other layout (files of each image, or shards of many): choose another output folder", path.display())]
    OtherLayout {
        /// The output folder.
        path: PathBuf,
    },
    /// A file that is there is not vggx's.
    #[error(
        "{} was there before vggx wrote into this folder, and is not replaced: choose another output folder", path.display()
    )]
    Foreign {
        /// The file that would be replaced.
        path: PathBuf,
    },
    /// A shard's name is that of the files that describe the folder.
    #[error("{input}: a shard of this name would replace the folder's own records ({stem}.json): rename it")]
    ReservedName {
        /// The input.
        input: String,
        /// The shard.
        stem: String,
    },
    /// A run with other options is going on in the folder.
    #[error("a run with {option} {former} is writing into {}, this call has {option} {current}: choose another output folder", path.display())]
    OtherRun {
        /// The output folder.
        path: PathBuf,
        /// The first option that differs.
        option: String,
        /// Its value there, as JSON.
        former: String,
        /// Its value in this call, as JSON.
        current: String,
    },
    /// An output would replace its input.
    #[error("the outputs of {} would be written beside it, where they may replace it or its records: choose another output folder", path.display())]
    BesideInput {
        /// The input.
        path: PathBuf,
    },
    /// Two inputs would write the same file.
    #[error("{input} would replace {file} of the earlier input {owner}: choose another output folder")]
    OwnedByOther {
        /// The input of this call.
        input: String,
        /// The file, relative to the output folder.
        file: String,
        /// The input whose output it is.
        owner: String,
    },
    /// Another process is writing into the same folder.
    #[error("another run is writing into {}: wait for it, or choose another output folder", path.display())]
    Busy {
        /// The output folder.
        path: PathBuf,
    },
}

impl OutputError {
    /// That two identities differ, where one of them is that of a run that is going on.
    pub(super) fn of_other_run(self) -> Self {
        match self {
            Self::DifferentIdentity { path, option, former, current } => {
                Self::OtherRun { path, option, former, current }
            }
            other => other,
        }
    }

    /// The error of writing `path`, with a full disk told apart from everything else.
    pub(super) fn writing(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        if is_full(&source) { Self::NoSpace { path } } else { Self::Write { path, source } }
    }

    /// The error of preparing the output folder `path`.
    pub(super) fn preparing(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        if is_full(&source) { Self::NoSpace { path } } else { Self::FolderNotWritable { path, source } }
    }

    /// The error of reading `path`.
    pub(super) fn reading(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_path_buf(), source }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

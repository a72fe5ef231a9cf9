//! Going on where an earlier run stopped, and refusing to mix what does not belong together.
//!
//! What decides a run's outputs (fingerprints of weights and patterns, target, resize, crop, gamma, preprocessing, seed,
//! precision, …) is its identity, a JSON object that the caller puts together. It is stored in
//! `.vggx-identity.json` of the output folder before the first output, so that a killed run has one too; `run.json`
//! only comes at the end.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::atomic::{self, Durability};
use super::manifest::{Index, Row, Status};
use super::names::{file_name, method_key, relative_stem};
use super::{Format, OutputError};

/// Name of the file that holds the identity of a folder's outputs.
pub const IDENTITY_FILE_NAME: &str = ".vggx-identity.json";

/// What decides a run's outputs, by option. An option that only some methods depend on (patterns, a seed) is left out by
/// a call without such methods, and then agrees with any value; null means the same as no such option.
pub type Identity = Map<String, Value>;

/// What an output folder already holds. It keeps other runs out of the folder until it and the
/// [`ManifestWriter`](super::manifest::ManifestWriter) made from it are gone.
#[derive(Debug)]
pub struct Resume {
    index: Arc<Index>,
    overwrite: bool,
}

impl Resume {
    /// Looks at an existing output folder and stores this call's identity in it.
    ///
    /// With `overwrite` everything is to be redone. Where the identity has changed, the rows of earlier runs are then
    /// forgotten, since they tell of outputs made otherwise; the files of other inputs and methods stay. Without a
    /// changed identity those rows stay too. Because of this, weights and options should have been checked before.
    ///
    /// # Errors
    /// [`OutputError::DifferentIdentity`] and [`OutputError::UnknownIdentity`] when the folder holds outputs of another
    /// identity and `overwrite` is false; [`OutputError::Busy`] when another run uses the folder;
    /// [`OutputError::Damaged`], [`OutputError::Read`], [`OutputError::Write`], [`OutputError::NoSpace`].
    pub fn open(folder: &Path, identity: &Identity, overwrite: bool) -> Result<Self, OutputError> {
        let path = folder.join(IDENTITY_FILE_NAME);
        let mut text =
            serde_json::to_vec_pretty(identity).map_err(|error| OutputError::writing(&path, error.into()))?;
        text.push(b'\n');
        // Compared as it would be read again: a number or text is then equal to its own stored form.
        let current = parse(&text).map_err(|reason| OutputError::Damaged { path: path.clone(), reason })?;

        let mut index = Index::open(folder)?;
        let former = read_identity(&path)?;
        if let Ok(former) = &former
            && agree(former, &current)
        {
            // Options that only one of the calls needs (patterns, a seed) join the record.
            let mut joined = former.clone();
            joined.extend(current.clone());
            if joined != *former {
                let mut text = serde_json::to_vec_pretty(&joined)
                    .map_err(|error| OutputError::writing(&path, error.into()))?;
                text.push(b'\n');
                atomic::write(&path, &text, Durability::Power)?;
            }
            return Ok(Self { index: Arc::new(index), overwrite });
        }
        if matches!(&former, Ok(former) if is_of_other_layout(former, &current)) {
            return Err(OutputError::OtherLayout { path: folder.to_path_buf() });
        }
        if index.holds_outputs() && !overwrite {
            return Err(match former {
                Ok(former) => difference(folder, &former, &current),
                Err(reason) => OutputError::UnknownIdentity { path: folder.to_path_buf(), reason },
            });
        }
        if !index.is_empty() {
            index.forget()?;
        }
        atomic::write(&path, &text, Durability::Power)?;
        Ok(Self { index: Arc::new(index), overwrite })
    }

    /// Those of `methods` that are still to be done for an input, in their order: all that are not listed, with a file
    /// that exists, in each of `formats`. Without formats nothing is ever left over, so everything is to be done; the
    /// same for inputs that failed.
    ///
    /// `name` is the input's output name as for [`Writer::write`](super::Writer::write).
    ///
    /// # Errors
    /// [`OutputError::OwnedByOther`] when a file of another input would be replaced; [`OutputError::EscapingName`],
    /// [`OutputError::InvalidMethod`]; [`OutputError::Read`] and [`OutputError::Damaged`] when the manifest cannot be
    /// read any more.
    pub fn missing(
        &self,
        input: &str,
        name: &Path,
        methods: &[String],
        formats: &[Format],
    ) -> Result<Vec<String>, OutputError> {
        let stem = relative_stem(name)?;
        let row = self.index.row(input)?;
        let mut missing = Vec::new();
        for method in methods {
            let key = method_key(method)?;
            let output = row.as_ref().and_then(|row| row.methods.get(method));
            let mut done = !self.overwrite
                && !formats.is_empty()
                && row.as_ref().is_some_and(|row| row.status == Status::Ok);
            for &format in formats {
                let file = file_name(&stem, &key, format);
                if let Some(owner) = self.index.other_owner(&file, row.as_ref())? {
                    return Err(OutputError::OwnedByOther { input: input.to_owned(), file, owner });
                }
                let listed = output.is_some_and(|output| output.files.contains(&file));
                done = done && listed && self.index.has_file(&file);
            }
            if !done {
                missing.push(method.clone());
            }
        }
        Ok(missing)
    }

    /// The methods that earlier runs left of an input, for [`Writer::write`](super::Writer::write).
    ///
    /// # Errors
    /// [`OutputError::Read`] and [`OutputError::Damaged`] when the manifest cannot be read any more.
    pub fn kept_methods(&self, input: &str) -> Result<Vec<String>, OutputError> {
        Ok(self.row(input)?.map_or_else(Vec::new, |row| row.methods.into_keys().collect()))
    }

    /// What earlier runs noted of an input.
    ///
    /// # Errors
    /// [`OutputError::Read`] and [`OutputError::Damaged`] when the manifest cannot be read any more.
    pub fn row(&self, input: &str) -> Result<Option<Row>, OutputError> {
        self.index.row(input)
    }

    pub(super) fn index(&self) -> &Arc<Index> {
        &self.index
    }
}

/// Reads an identity; an option that is null counts as absent.
pub(super) fn parse(text: &[u8]) -> Result<Identity, String> {
    let mut identity: Identity = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    identity.retain(|_, value| !value.is_null());
    Ok(identity)
}

/// The stored identity, or why there is none.
pub(super) fn read_identity(path: &Path) -> Result<Result<Identity, String>, OutputError> {
    match fs::read(path) {
        Ok(text) => Ok(parse(&text).map_err(|reason| format!("{IDENTITY_FILE_NAME} is damaged: {reason}"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Err(format!("{IDENTITY_FILE_NAME} is missing")))
        }
        Err(error) => Err(OutputError::reading(path, error)),
    }
}

/// Whether no option that both calls depend on differs.
pub(super) fn agree(former: &Identity, current: &Identity) -> bool {
    current.iter().all(|(option, value)| former.get(option).is_none_or(|former| former == value))
}

/// The error that names the first option in which two identities differ, one that both have where there is such.
pub(super) fn difference(folder: &Path, former: &Identity, current: &Identity) -> OutputError {
    let options: BTreeSet<&String> = former.keys().chain(current.keys()).collect();
    let differing: Vec<&String> =
        options.into_iter().filter(|&option| former.get(option) != current.get(option)).collect();
    let of_both =
        differing.iter().find(|&&option| former.contains_key(option) && current.contains_key(option));
    let option = of_both.or(differing.first()).map_or_else(String::new, |&option| option.clone());
    let value = |identity: &Identity| identity.get(&option).unwrap_or(&Value::Null).to_string();
    let (former, current) = (value(former), value(current));
    OutputError::DifferentIdentity { path: folder.to_path_buf(), option, former, current }
}

/// Whether an identity is that of a folder of another layout: files, unless it says otherwise, or shards.
pub(super) fn is_of_other_layout(former: &Identity, current: &Identity) -> bool {
    let layout =
        |identity: &Identity| identity.get("layout").and_then(Value::as_str).unwrap_or("files").to_owned();
    layout(former) != layout(current)
}

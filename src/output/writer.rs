use std::collections::HashSet;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::arrays::{self, Arrays, Failure};
use super::atomic::{self, Durability};
use super::explanation::check_shape;
use super::names::{file_name, method_key, relative_stem};
use super::picture::{self, check_gamma};
use super::store::Store;
use super::{Explanation, Format, OutputError};

/// Writes the explanations of images into an output folder. One writer serves any number of threads.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    formats: Vec<Format>,
    gamma: f64,
    store: Store,
    /// Folders that exist and hold no rubbish of a killed run.
    prepared: Mutex<HashSet<PathBuf>>,
}

/// What was written for one method of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodFiles {
    /// The method's name as typed.
    pub method: String,
    /// Power of two by which the arrays are to be multiplied.
    pub scale_log2: i32,
    /// Files relative to the output folder, folders parted by `/`, in the order of the formats.
    pub files: Vec<String>,
}

impl Writer {
    /// Makes the output folder where it is missing and shows that files can be written into it.
    ///
    /// `gamma` is the exponent of heat maps ([`picture::heat_map_picture`]). No formats: nothing will be written. Arrays are
    /// of float32; see [`Writer::storing`].
    ///
    /// # Errors
    /// [`OutputError::FolderNotWritable`], [`OutputError::NoSpace`], [`OutputError::InvalidGamma`].
    pub fn create(folder: impl Into<PathBuf>, formats: &[Format], gamma: f64) -> Result<Self, OutputError> {
        let folder = folder.into();
        check_gamma(gamma)?;
        prepare_folder(&folder)?;
        let (formats, store) = (formats.to_vec(), Store::default());
        Ok(Self { folder, formats, gamma, store, prepared: Mutex::default() })
    }

    /// With arrays of this kind.
    #[must_use]
    pub fn storing(self, store: Store) -> Self {
        Self { store, ..self }
    }

    /// The output folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The formats it writes.
    pub fn formats(&self) -> &[Format] {
        &self.formats
    }

    /// Writes the explanations of one image.
    ///
    /// `name` is the image's output name relative to the output folder, without extension; it may hold folders, which
    /// are made, and dots, which stay. `kept` are the methods of this image that an earlier run left and that are not
    /// among `explanations` ([`super::resume::Resume::kept_methods`]): npz and safetensors files hold all methods of an
    /// image, so their arrays are carried over.
    ///
    /// # Errors
    /// Before anything is written: [`OutputError::EscapingName`], [`OutputError::InvalidMethod`],
    /// [`OutputError::RepeatedMethod`], [`OutputError::Shape`]. Otherwise [`OutputError::NoSpace`],
    /// [`OutputError::Write`], [`OutputError::Encode`], and [`OutputError::Read`] or [`OutputError::Damaged`] for a
    /// file whose arrays were to be kept. Files written before the error are whole and stay.
    pub fn write(
        &self,
        name: &Path,
        explanations: &[Explanation],
        kept: &[String],
    ) -> Result<Vec<MethodFiles>, OutputError> {
        let stem = relative_stem(name)?;
        let only_drawn = self.formats.iter().all(|&format| format == Format::Png);
        let arrays = arrays_of(explanations, self.store, only_drawn)?;
        let mut files = Vec::new();
        for explanation in explanations {
            let key = method_key(&explanation.method)?;
            files.push(MethodFiles {
                method: explanation.method.clone(),
                scale_log2: arrays.get(&key).map_or(explanation.scale_log2, |array| array.scale_log2),
                files: self.formats.iter().map(|&format| file_name(&stem, &key, format)).collect(),
            });
        }
        let kept = kept.iter().map(|method| method_key(method)).collect::<Result<Vec<_>, _>>()?;
        if explanations.is_empty() || self.formats.is_empty() {
            return Ok(files);
        }

        self.prepare(&self.folder.join(&stem))?;
        for &format in &self.formats {
            let container = file_name(&stem, "", format);
            match format {
                Format::Png => {
                    for explanation in explanations {
                        let file = file_name(&stem, &method_key(&explanation.method)?, format);
                        self.put(&file, picture::png(&picture::picture(explanation, self.gamma)?))?;
                    }
                }
                Format::Npy => {
                    for (key, array) in &arrays {
                        self.put(&file_name(&stem, key, format), arrays::npy(array))?;
                    }
                }
                Format::Npz => {
                    let all = self.with_kept(&arrays, &kept, &container, arrays::read_npz)?;
                    self.put(&container, arrays::npz(&all))?;
                }
                Format::Safetensors => {
                    let all = self.with_kept(&arrays, &kept, &container, arrays::read_safetensors)?;
                    self.put(&container, arrays::safetensors(&all))?;
                }
            }
        }
        Ok(files)
    }

    fn put<E: Display>(&self, file: &str, bytes: Result<Vec<u8>, E>) -> Result<(), OutputError> {
        let path = self.folder.join(file);
        match bytes {
            Ok(bytes) => atomic::write(&path, &bytes, Durability::Process),
            Err(failure) => Err(OutputError::Encode { path, reason: failure.to_string() }),
        }
    }

    /// The new arrays and those of the former container that are to be kept.
    fn with_kept<'a>(
        &self,
        new: &Arrays<'a>,
        kept: &[String],
        container: &str,
        decode: fn(&[u8], &[String]) -> Result<Arrays<'static>, Failure>,
    ) -> Result<Arrays<'a>, OutputError> {
        let path = self.folder.join(container);
        let mut all = new.clone();
        if kept.is_empty() || !path.exists() {
            return Ok(all);
        }
        let former = fs::read(&path).map_err(|source| OutputError::reading(&path, source))?;
        let former = decode(&former, kept)
            .map_err(|failure| OutputError::Damaged { path: path.clone(), reason: failure.to_string() })?;
        for (key, array) in former {
            all.entry(key).or_insert(array);
        }
        Ok(all)
    }

    /// Makes the folder of `file`, and tidies it once.
    fn prepare(&self, file: &Path) -> Result<(), OutputError> {
        let folder = file.parent().unwrap_or(&self.folder);
        let known = |prepared: &HashSet<PathBuf>| prepared.contains(folder);
        if known(&self.prepared.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        fs::create_dir_all(folder).map_err(|source| OutputError::writing(folder, source))?;
        atomic::remove_abandoned(folder);
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_path_buf());
        Ok(())
    }
}

/// Makes an output folder where it is missing and shows that files can be written into it.
///
/// # Errors
/// [`OutputError::FolderNotWritable`], [`OutputError::NoSpace`].
pub fn prepare_folder(folder: &Path) -> Result<(), OutputError> {
    fs::create_dir_all(folder)
        .and_then(|()| atomic::probe(folder))
        .map_err(|source| OutputError::preparing(folder, source))
}

/// The arrays by their keys. What is `only_drawn` may be a heat map's sums without that being asked for; nothing but its
/// picture can be made of them, and there are no arrays.
pub(super) fn arrays_of(
    explanations: &[Explanation],
    store: Store,
    only_drawn: bool,
) -> Result<Arrays<'_>, OutputError> {
    let (mut arrays, mut keys) = (Arrays::new(), HashSet::new());
    for explanation in explanations {
        let Explanation { method, height, width, values, .. } = explanation;
        let planes = if (only_drawn || store.heat_maps) && explanation.holds_sums() { 3 } else { 1 };
        check_shape(values.len().saturating_mul(planes), *height, *width)?;
        let key = method_key(method)?;
        if !keys.insert(key.clone()) {
            return Err(OutputError::RepeatedMethod { method: method.clone() });
        }
        if !only_drawn {
            arrays.insert(key, store.array(explanation));
        }
    }
    Ok(arrays)
}

//! Patterns from moment files.

use super::arguments::{Versioned, optional_string, path as read_path, read_or_default, slice};
use super::core::Core;
use super::engine::{Engine, vggx_engine};
use super::error::call;
use super::failure::Failure;
use super::handle::borrow;
use super::log::VGGX_LOG_WARNING;
use super::status::{VGGX_ERROR_FORMAT, VGGX_OK, vggx_status};
use crate::patterns::{Centering, Merged, MomentFile, SolveOptions, solve};
use crate::weights::ElementType;
use std::collections::BTreeMap;
use std::ffi::c_char;
use std::path::{Path, PathBuf};

/// How patterns are solved and stored. Begin with `VGGX_INIT(vggx_solve_options)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct vggx_solve_options {
    /// `sizeof(vggx_solve_options)`.
    pub size: usize,
    /// Mean response that two-component patterns are centred with: `"global"`, over all positions, or `"regime"`, over those
    /// at which the neuron is active. Null: global.
    pub centering: *const c_char,
    /// Number type of the stored patterns: `"f32"`, `"f16"` or `"bf16"`. Null: f32.
    pub store: *const c_char,
}

// SAFETY: pointers after a size.
unsafe impl Versioned for vggx_solve_options {
    const NAME: &'static str = "vggx_solve_options";
}

/// Reads the options.
///
/// # Safety
/// They are null or as large as they say, and strings end.
pub unsafe fn solve_options(options: *const vggx_solve_options) -> Result<SolveOptions, Failure> {
    // SAFETY: as the caller says, here and below.
    let options = unsafe { read_or_default(options) }?;
    // SAFETY: as above.
    let centering = match unsafe { optional_string(options.centering, "centering") }? {
        Some(text) => text.parse().map_err(|error| Failure::argument(format!("centering: {error}")))?,
        None => Centering::Global,
    };
    // SAFETY: as above.
    let element = match unsafe { optional_string(options.store, "store") }? {
        None | Some("f32") => ElementType::F32,
        Some("f16") => ElementType::F16,
        Some("bf16") => ElementType::Bf16,
        Some(other) => {
            return Err(Failure::argument(format!("store is '{other}': expected f32, f16 or bf16")));
        }
    };
    Ok(SolveOptions { centering, element, metadata: BTreeMap::new() })
}

/// Merges the moment files of any number of runs or shards, exactly, solves patterns for the engine's weights and writes them
/// to a pattern file. It is whole or not there; one of this name is replaced. `options` may be null: all defaults. What is
/// odd about the files, such as overlapping images, goes to the engine's log.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`; `VGGX_ERROR_FILE` when a file cannot be read or written; `VGGX_ERROR_FORMAT` when one is refused,
/// for instance because it is of another network or preprocessing, or because files do not belong together;
/// `VGGX_ERROR_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_solve(
    engine: *mut vggx_engine,
    moments: *const *const c_char,
    moment_count: usize,
    options: *const vggx_solve_options,
    path: *const c_char,
) -> vggx_status {
    call(|| {
        // SAFETY: the caller's engine, or something that is found out.
        let Engine { core, .. } = unsafe { borrow(engine) }?;
        if moment_count == 0 || moment_count > MOST_FILES {
            return Err(Failure::argument(format!(
                "moment_count is {moment_count}, but it must be from 1 to {MOST_FILES}"
            )));
        }
        // SAFETY: the paths are the caller's, as many as it says.
        let names = unsafe { slice(moments, moment_count, "moments") }?;
        let files = names
            .iter()
            .enumerate()
            // SAFETY: as above.
            .map(|(index, &name)| unsafe { read_path(name, &format!("moments[{index}]")) })
            .collect::<Result<Vec<_>, _>>()?;
        // SAFETY: as above.
        let path = unsafe { read_path(path, "path") }?;
        // SAFETY: the options are the caller's, as large as they say.
        let options = unsafe { solve_options(options) }?;
        core.threads.install(|| solve_files(core, &files, &options, &path))?;
        Ok(VGGX_OK)
    })
}

/// A count that is far off is found out before anything is read.
const MOST_FILES: usize = 1 << 16;

fn solve_files(core: &Core, files: &[PathBuf], options: &SolveOptions, path: &Path) -> Result<(), Failure> {
    let place = |path: &Path| path.canonicalize().ok();
    if place(path).is_some() && files.iter().any(|file| place(file) == place(path)) {
        return Err(Failure::argument(format!(
            "path {} is one of the moment files, which would be lost; name another file",
            path.display()
        )));
    }
    let weights = &core.weights;
    let files = files.iter().map(|file| MomentFile::open(file, weights)).collect::<Result<Vec<_>, _>>()?;
    let merged = Merged::new(&files)?;
    // Patterns are for inputs prepared as the images were that they are learnt from; all files are of the same.
    if let Some(first) = files.first().filter(|file| *file.preprocessing() != weights.network().preprocessing)
    {
        return Err(Failure::new(
            VGGX_ERROR_FORMAT,
            format!(
                "moments {} are of images with another preprocessing than the engine's: {}; open the engine with it",
                first.path().display(),
                serde_json::Value::Object(first.preprocessing().to_json())
            ),
        ));
    }
    for notice in merged.notices() {
        core.log.say(VGGX_LOG_WARNING, &notice.to_string());
    }
    solve(&merged, &merged.record(), weights, options, path)?;
    Ok(())
}

//! Patterns from moment files.

use super::engine::vggx_engine;
use super::status::{VGGX_ERROR_UNSUPPORTED, vggx_status};
use std::ffi::c_char;

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
    let _ = (engine, moments, moment_count, options, path);
    VGGX_ERROR_UNSUPPORTED
}

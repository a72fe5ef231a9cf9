//! Sums that patterns follow from.

use super::batch::vggx_batch;
use super::engine::vggx_engine;
use super::solve::vggx_solve_options;
use super::status::{VGGX_ERROR_UNSUPPORTED, vggx_status};
use std::ffi::c_char;

/// Adds up the moments of images: the sums that patterns follow from. Calls from several threads wait for each other.
pub struct vggx_learner {
    _private: (),
}

/// How a learner is opened. Begin with `VGGX_INIT(vggx_learner_options)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct vggx_learner_options {
    /// `sizeof(vggx_learner_options)`.
    pub size: usize,
    /// 1: also sum the products of all pairs of inputs of every layer, which measuring the quality of patterns needs. They
    /// take much memory.
    pub second_moments: i32,
    /// Zero.
    pub reserved: i32,
}

/// Begins to add up moments with the engine's network, on its device. `options` may be null: all defaults. On success
/// `*learner` is to be closed with `vggx_learner_close`; on failure it is null. The engine may be closed before the learner.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`; `VGGX_ERROR_MEMORY` when the host or the device cannot hold the sums; `VGGX_ERROR_DEVICE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_learner_open(
    engine: *mut vggx_engine,
    options: *const vggx_learner_options,
    learner: *mut *mut vggx_learner,
) -> vggx_status {
    let _ = (engine, options, learner);
    VGGX_ERROR_UNSUPPORTED
}

/// Runs a batch forward and adds its moments. The sums depend on the batches and their order alone. `statuses` takes one
/// status an image (`status_count` of them); it may be null where `status_count` is 0. Of an image whose activations are not
/// finite in some layer nothing is added from that layer on.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when the network cannot run on images of this size, and `VGGX_ERROR_UNSUPPORTED`: nothing was
/// added; `VGGX_ERROR_IMAGE`; `VGGX_ERROR_MEMORY`, `VGGX_ERROR_DEVICE`: the sums may hold a part of the batch, and only
/// closing the learner is left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_learner_add(
    learner: *mut vggx_learner,
    batch: *const vggx_batch,
    statuses: *mut vggx_status,
    status_count: usize,
) -> vggx_status {
    let _ = (learner, batch, statuses, status_count);
    VGGX_ERROR_UNSUPPORTED
}

/// Writes all sums so far to a moment file, for `vggx_solve`, `vggx solve` and merging. The file is whole or not there; one of
/// this name is replaced. More images may be added after.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when no image was added yet; `VGGX_ERROR_FILE` when the file cannot be written;
/// `VGGX_ERROR_FORMAT` when sums are not finite; `VGGX_ERROR_DEVICE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_learner_save(
    learner: *mut vggx_learner,
    path: *const c_char,
) -> vggx_status {
    let _ = (learner, path);
    VGGX_ERROR_UNSUPPORTED
}

/// Solves patterns from all sums so far and writes them to a pattern file, for `patterns` of `vggx_engine_options`. The file is
/// whole or not there; one of this name is replaced. `options` may be null: all defaults. More images may be added after.
///
/// # Errors
/// As `vggx_learner_save`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_learner_solve(
    learner: *mut vggx_learner,
    options: *const vggx_solve_options,
    path: *const c_char,
) -> vggx_status {
    let _ = (learner, options, path);
    VGGX_ERROR_UNSUPPORTED
}

/// Closes a learner; sums that were not saved are lost. Null is fine. No other thread may be in a call with it.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT` for a handle that is no learner.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_learner_close(learner: *mut vggx_learner) -> vggx_status {
    let _ = learner;
    VGGX_ERROR_UNSUPPORTED
}

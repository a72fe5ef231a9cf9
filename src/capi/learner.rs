//! Sums that patterns follow from.

use super::arguments::{Versioned, check_pointer, path as read_path, read_or_default};
use super::batch::{Shape, vggx_batch};
use super::classify::check_statuses;
use super::engine::{Engine, vggx_engine};
use super::error::call;
use super::failure::Failure;
use super::handle::{Opaque, borrow, give, take};
use super::learning::Learning;
use super::outcome::Outcomes;
use super::solve::{solve_options, vggx_solve_options};
use super::status::{VGGX_OK, vggx_status};
use crate::patterns::{MomentFile, solve};
use std::ffi::c_char;

/// Adds up the moments of images: the sums that patterns follow from. Calls from several threads wait for each other.
pub struct vggx_learner {
    _private: (),
}

impl Opaque for vggx_learner {
    type Inside = Learning;
    const MARK: u64 = u64::from_ne_bytes(*b"vggx lrn");
    const NAME: &'static str = "learner";
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

// SAFETY: integers after a size.
unsafe impl Versioned for vggx_learner_options {
    const NAME: &'static str = "vggx_learner_options";
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
    call(|| {
        check_pointer(learner, "learner")?;
        // SAFETY: not null and aligned; the caller has a place for a pointer there.
        unsafe { learner.write(std::ptr::null_mut()) };
        // SAFETY: the caller's engine, or something that is found out.
        let Engine { core, .. } = unsafe { borrow(engine) }?;
        // SAFETY: the options are the caller's, as large as they say.
        let options = unsafe { read_or_default(options) }?;
        let second = match options.second_moments {
            0 => false,
            1 => true,
            other => {
                return Err(Failure::argument(format!("second_moments is {other}, but it must be 0 or 1")));
            }
        };
        if options.reserved != 0 {
            return Err(Failure::argument("reserved is not zero"));
        }
        let learning = Learning::begin(core, second)?;
        // SAFETY: as above.
        unsafe { learner.write(give(learning)) };
        Ok(VGGX_OK)
    })
}

/// Runs a batch forward and adds its moments. The sums depend on the batches and their order alone. `statuses` takes one
/// status an image (`status_count` of them); it may be null where `status_count` is 0. Of an image whose activations are not
/// finite in some layer nothing is added from that layer on. `CU_STREAM_PER_THREAD` is refused: it would be that of the
/// learner's thread.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when the network cannot run on images of this size, and `VGGX_ERROR_UNSUPPORTED`: nothing was
/// added; `VGGX_ERROR_IMAGE`; `VGGX_ERROR_MEMORY`: as a rule nothing was added; `VGGX_ERROR_DEVICE`: the sums may hold a part
/// of the batch. Where they may, all later calls fail with the same status, and only closing the learner is left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_learner_add(
    learner: *mut vggx_learner,
    batch: *const vggx_batch,
    statuses: *mut vggx_status,
    status_count: usize,
) -> vggx_status {
    call(|| {
        // SAFETY: the caller's learner, or something that is found out.
        let learning = unsafe { borrow(learner) }?;
        let core = learning.core();
        // SAFETY: the batch is the caller's, as large as it says.
        let shape = unsafe { Shape::read(batch, core) }?;
        check_statuses(statuses, status_count, shape.images)?;
        shape.refuse_stream_of_thread(false)?;
        // SAFETY: the pointers are the caller's.
        let images = unsafe { shape.pixels() }?;
        // SAFETY: the caller has the pixels until this returns.
        let gathered = unsafe { images.gather() }?;
        let failures = learning.ask(|sums| sums.add(&gathered))?;
        core.tell_notices();
        let mut outcomes = Outcomes::default();
        for (image, failure) in failures.into_iter().enumerate() {
            let status = failure.map_or(VGGX_OK, |failure| outcomes.fail(image, failure.into()));
            if status_count > 0 {
                // SAFETY: there is one status an image.
                unsafe { statuses.add(image).write(status) };
            }
        }
        outcomes.status()
    })
}

/// Writes all sums so far to a moment file, for `vggx_solve`, `vggx solve` and merging. The file is whole or not there; one of
/// this name is replaced. More images may be added after.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when no image was added yet; `VGGX_ERROR_FILE` when the file cannot be written;
/// `VGGX_ERROR_FORMAT` when sums are not finite; `VGGX_ERROR_DEVICE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_learner_save(learner: *mut vggx_learner, path: *const c_char) -> vggx_status {
    call(|| {
        // SAFETY: the caller's learner, or something that is found out.
        let learning = unsafe { borrow(learner) }?;
        // SAFETY: the path is a string of the caller's.
        let path = unsafe { read_path(path, "path") }?;
        let weights = &learning.core().weights;
        learning.ask(|sums| {
            let (moments, record) = sums.moments()?;
            Ok(MomentFile::write(&path, moments, &record, weights)?)
        })?;
        Ok(VGGX_OK)
    })
}

/// Solves patterns from all sums so far and writes them to a pattern file, for `patterns` of `vggx_engine_options`. The file is
/// whole or not there; one of this name is replaced. `options` may be null: all defaults. More images may be added after.
///
/// # Errors
/// As `vggx_learner_save`; `VGGX_ERROR_ARGUMENT` also when a pattern has values beyond the range of `store`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_learner_solve(
    learner: *mut vggx_learner,
    options: *const vggx_solve_options,
    path: *const c_char,
) -> vggx_status {
    call(|| {
        // SAFETY: the caller's learner, or something that is found out.
        let learning = unsafe { borrow(learner) }?;
        // SAFETY: the path is a string of the caller's.
        let path = unsafe { read_path(path, "path") }?;
        // SAFETY: the options are the caller's, as large as they say.
        let options = unsafe { solve_options(options) }?;
        let core = learning.core();
        learning.ask(|sums| {
            let (moments, record) = sums.moments()?;
            core.threads.install(|| solve(moments, &record, &core.weights, &options, &path))?;
            Ok(())
        })?;
        Ok(VGGX_OK)
    })
}

/// Closes a learner; sums that were not saved are lost. Null is fine. No other thread may be in a call with it.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT` for a handle that is no learner.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_learner_close(learner: *mut vggx_learner) -> vggx_status {
    call(|| {
        // SAFETY: the caller's learner, which nobody else uses any more.
        drop(unsafe { take(learner) }?);
        Ok(VGGX_OK)
    })
}

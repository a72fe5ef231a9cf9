//! Explanations while the caller does something else.

use super::arguments::check_pointer;
use super::batch::vggx_batch;
use super::engine::{Engine, vggx_engine};
use super::error::call;
use super::explain::{vggx_explained, vggx_request};
use super::handle::{Opaque, borrow, give, take};
use super::queue::{Callback, Job};
use super::status::{VGGX_OK, vggx_status};
use super::task::{Places, Task};
use std::ffi::c_void;
use std::sync::Arc;
use std::time::Duration;

/// A call of `vggx_explain` that the engine makes on a thread of its own. Any number of threads may poll one and wait for it.
pub struct vggx_job {
    _private: (),
}

impl Opaque for vggx_job {
    type Inside = Arc<Job>;
    const MARK: u64 = u64::from_ne_bytes(*b"vggx job");
    const NAME: &'static str = "job";
}

/// For `vggx_job_wait`: until the job has ended.
pub const VGGX_WAIT_FOREVER: u64 = u64::MAX;

/// Is told that a job has ended: `status` is what `vggx_explain` would have returned, and `vggx_last_error` gives its message
/// in this function. `user` is what came with it.
///
/// It runs once for each job that was started, cancelled ones included, on a thread of the engine, perhaps before
/// `vggx_explain_start` has returned. It may call vggx, free the job, and start other jobs; it must return normally (no
/// exception, no longjmp). It must not close the engine, nor wait for jobs of the engine that have not ended or free them: they
/// may be behind it. While it runs, a thread of the engine does nothing else.
pub type vggx_job_callback =
    Option<unsafe extern "C" fn(user: *mut c_void, job: *mut vggx_job, status: vggx_status)>;

/// Starts `vggx_explain` and returns at once. Arguments are checked first: when this fails, no job was started and the callback
/// is not called. Jobs begin in the order of their starting; `concurrent_batches` of them run at a time.
///
/// Until the job has ended the pixels, the buffers, `results` and `scale_log2` must stay where they are and must not be
/// written, and a stream must not be destroyed. `batch`, `request`, their arrays of pointers and their strings are copied.
/// `callback` may be null. On success `*job` is to be freed with `vggx_job_free`; on failure it is null.
///
/// With memory of the CUDA device the work begins after what the stream holds when the job begins, which is at least what it holds
/// now. `CU_STREAM_PER_THREAD` is refused: it would be that of the engine's thread.
///
/// # Errors
/// As `vggx_explain`, as far as is known before it runs; `VGGX_ERROR_CANCELLED` when the engine is being closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_explain_start(
    engine: *mut vggx_engine,
    batch: *const vggx_batch,
    request: *const vggx_request,
    results: *mut vggx_explained,
    result_count: usize,
    scale_log2: *mut i32,
    scale_count: usize,
    callback: vggx_job_callback,
    user: *mut c_void,
    job: *mut *mut vggx_job,
) -> vggx_status {
    call(|| {
        check_pointer(job, "job")?;
        // SAFETY: not null and aligned; the caller has a place for a pointer there.
        unsafe { job.write(std::ptr::null_mut()) };
        // SAFETY: the caller's engine, or something that is found out.
        let Engine { core, jobs, .. } = unsafe { borrow(engine) }?;
        let places = Places { results, result_count, scale_log2, scale_count };
        // SAFETY: everything is the caller's, as large as it says.
        let task = unsafe { Task::read(core, batch, request, places) }?;
        task.refuse_stream_of_thread()?;
        // The handle is in its place before the job can end.
        let inside = Arc::new(Job::new(task));
        let handle = give::<vggx_job>(inside.clone());
        inside.tell(Callback { function: callback, user, handle });
        // SAFETY: as above.
        unsafe { job.write(handle) };
        if let Err(failure) = jobs.add(inside) {
            // SAFETY: nobody else has seen either.
            unsafe {
                job.write(std::ptr::null_mut());
                drop(take(handle));
            }
            return Err(failure);
        }
        Ok(VGGX_OK)
    })
}

/// What became of a job: `VGGX_PENDING` while it has not ended, then what `vggx_explain` would have returned, with its message
/// in `vggx_last_error`. Does not wait. A job has ended when its results are there; its callback may still run.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT` for a handle that is no job; else the job's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_job_poll(job: *const vggx_job) -> vggx_status {
    call(|| {
        // SAFETY: the caller's job, or something that is found out.
        unsafe { borrow(job) }?.outcome()
    })
}

/// Waits until a job has ended, at most so many milliseconds (`VGGX_WAIT_FOREVER`: until it has), and tells what became of it,
/// as `vggx_job_poll`.
///
/// # Errors
/// As `vggx_job_poll`; `VGGX_ERROR_ARGUMENT` for `VGGX_WAIT_FOREVER` in a callback of one of the engine's jobs, if this one has
/// not ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_job_wait(job: *const vggx_job, milliseconds: u64) -> vggx_status {
    call(|| {
        // SAFETY: the caller's job, or something that is found out.
        let job = unsafe { borrow(job) }?;
        let limit = (milliseconds != VGGX_WAIT_FOREVER).then(|| Duration::from_millis(milliseconds));
        job.wait(limit)
    })
}

/// Takes back a job that has not begun: it ends with `VGGX_ERROR_CANCELLED`. One that runs or has ended is left as it is. Does
/// not wait; ask `vggx_job_poll` what became of it.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT` for a handle that is no job.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_job_cancel(job: *mut vggx_job) -> vggx_status {
    call(|| {
        // SAFETY: the caller's job, or something that is found out.
        unsafe { borrow(job) }?.cancel();
        Ok(VGGX_OK)
    })
}

/// Frees a job, after it has ended and its callback has returned: it waits for both, but in a job's own callback it does not.
/// Null is fine. It may be called after the engine was closed.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT` for a handle that is no job, and for another job's in a callback of one of the engine's jobs if it
/// would have to wait. The job is then not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_job_free(job: *mut vggx_job) -> vggx_status {
    call(|| {
        if job.is_null() {
            return Ok(VGGX_OK);
        }
        // SAFETY: the caller's job, or something that is found out.
        unsafe { borrow(job) }?.finish()?;
        // SAFETY: the caller's job, which nobody else uses any more.
        drop(unsafe { take(job) }?);
        Ok(VGGX_OK)
    })
}

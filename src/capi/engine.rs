//! A network on a device.

use super::arguments::{Versioned, check_pointer, read_or_default};
use super::core::Core;
use super::description::Strings;
use super::error::call;
use super::failure::Failure;
use super::handle::{Opaque, borrow, give, take};
use super::log::vggx_log_callback;
use super::options::{read_methods, settings};
use super::queue::Jobs;
use super::status::{VGGX_OK, vggx_status};
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// A network on a device, with the methods to explain it. Any number of threads may use one at the same time, and there may
/// be several engines. It holds the mapped weight and pattern files, the laid-out operators, and one thread for each core on
/// the CPU.
pub struct vggx_engine {
    _private: (),
}

/// What is behind an engine's handle.
pub struct Engine {
    pub core: Arc<Core>,
    pub jobs: Jobs,
    pub strings: Strings,
}

impl Opaque for vggx_engine {
    type Inside = Engine;
    const MARK: u64 = u64::from_ne_bytes(*b"vggx eng");
    const NAME: &'static str = "engine";
}

/// How an engine is opened. Begin with `VGGX_INIT(vggx_engine_options)`: whatever is zero or null has its default.
///
/// Nothing that the pointers lead to is kept, apart from `log_user` and `cuda_context`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct vggx_engine_options {
    /// `sizeof(vggx_engine_options)`.
    pub size: usize,
    /// Path of the network's weights: safetensors with torchvision's or timm's names. Null: the bundled VGG16 features.
    pub weights: *const c_char,
    /// Path of the patterns of these weights. Null: the bundled ones with the bundled weights, if they are found, else none.
    pub patterns: *const c_char,
    /// Path of the names of the outputs: text, a name a line. Null: 1000 classes are called as ImageNet's, other outputs have no
    /// names.
    pub labels: *const c_char,
    /// A folder in which the bundled files are looked for first. After it, or with null, as the command line finds them: in
    /// the folder that the environment variable `VGGX_DATA` names, in `weights` in the working folder, in `share/vggx` and
    /// `weights` beside the folder of the executable and in `weights` one folder further up, and in `share/vggx` in the folder
    /// that the library was installed into (one that is not installed: in the clone that it was built from).
    pub data: *const c_char,
    /// `"auto"` (the first CUDA device that can, else the CPU), `"cpu"`, `"cuda"` or `"cuda:N"`. Null: auto.
    pub device: *const c_char,
    /// How numbers are stored on the device: `"auto"` (f32 on the CPU, f16 on CUDA), `"f32"`, `"f16"`, `"bf16"`,
    /// `"f8"` (f16 forward, e4m3 backward; compute capability 9.0). Null: auto.
    pub precision: *const c_char,
    /// Threads of the CPU, at most 65535. 0: one for each core that the process may use.
    pub threads: u32,
    /// Images a batch will usually have, at most 65535; a CUDA device divides its memory accordingly. 0: chosen from its
    /// memory.
    pub batch: u32,
    /// Chooses the directions of the random estimator.
    pub seed: u64,
    /// Order of the network's input channels, `"rgb"` or `"bgr"`, over the weight file's. Null: the weight file's.
    pub channel_order: *const c_char,
    /// Three means, in the network's channel order, over the weight file's: the network's input is
    /// (u8 · `pixel_scale` / 255 − `mean`) / `std`. Null: the weight file's.
    pub mean: *const f32,
    /// Three standard deviations, in the network's channel order, over the weight file's. Null: the weight file's.
    pub std: *const f32,
    /// Value of a white pixel before the mean is subtracted, usually 1 or 255. 0: the weight file's.
    pub pixel_scale: f32,
    /// Zero.
    pub reserved: u32,
    /// Is told what is worth knowing, until the engine and all its learners are closed. Null: nobody is; vggx never writes to
    /// standard output or standard error.
    pub log: vggx_log_callback,
    /// Handed to `log` as it is.
    pub log_user: *mut c_void,
    /// The CUDA context (`CUcontext`) to work in, on its device, which `device` must not contradict; it must outlive the
    /// engine, its jobs and its learners. Null: the device's primary context, in which programs work that use CUDA's runtime
    /// library. The calling thread's current context is the same after every call as before it.
    pub cuda_context: *mut c_void,
}

// SAFETY: integers, floats, pointers and a function that may be null, after a size.
unsafe impl Versioned for vggx_engine_options {
    const NAME: &'static str = "vggx_engine_options";
}

/// Opens a network on a device: maps the weights, checks them whole and lays them out. `options` may be null: all defaults.
/// On success `*engine` is to be closed with `vggx_engine_close`; on failure it is null.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`; `VGGX_ERROR_FILE` (also when the bundled files are in none of the folders) and
/// `VGGX_ERROR_FORMAT` for weights, patterns and labels; `VGGX_ERROR_UNSUPPORTED` for a precision that the device does not
/// have; `VGGX_ERROR_DEVICE` when the CUDA device that was asked for cannot be used; `VGGX_ERROR_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_engine_open(
    options: *const vggx_engine_options,
    engine: *mut *mut vggx_engine,
) -> vggx_status {
    call(|| {
        check_pointer(engine, "engine")?;
        // SAFETY: not null and aligned; the caller has a place for a pointer there.
        unsafe { engine.write(std::ptr::null_mut()) };
        // SAFETY: the options are the caller's, as large as they say.
        let settings = unsafe { settings(&read_or_default(options)?) }?;
        let core = Arc::new(Core::open(&settings)?);
        let strings = Strings::new(&core);
        let jobs = Jobs::new(core.clone());
        // SAFETY: as above.
        unsafe { engine.write(give(Engine { core, jobs, strings })) };
        Ok(VGGX_OK)
    })
}

/// Closes an engine and gives its memory and threads back, after all its jobs have ended: it waits for those that are
/// running and for those that have not begun (`vggx_job_cancel` takes these out). Jobs and learners that are left remain
/// valid handles that must be freed, and learners go on working. Null is fine.
///
/// No other thread may be in a call with this engine, nor make one after, but for callbacks of its jobs: they may use it until
/// they return, and jobs that they start now are refused (`VGGX_ERROR_CANCELLED`). To close the engine in such a callback is
/// an error, since it would wait for itself.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT` for a handle that is no engine, and in a job's callback. The engine is then still open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_engine_close(engine: *mut vggx_engine) -> vggx_status {
    call(|| {
        if engine.is_null() {
            return Ok(VGGX_OK);
        }
        // SAFETY: the caller's engine, or something that is found out.
        let Engine { jobs, .. } = unsafe { borrow(engine) }?;
        if jobs.is_own_thread() {
            return Err(Failure::argument(
                "engine cannot be closed by a callback of one of its jobs, which it would wait for; close it elsewhere",
            ));
        }
        // Callbacks of jobs may use the engine until they have returned.
        jobs.finish();
        // SAFETY: the caller's engine, which nobody else uses any more.
        drop(unsafe { take(engine) }?);
        Ok(VGGX_OK)
    })
}

/// Prepares `method_count` methods by their names (`vggx_method_name`), so that the first call that uses them is not
/// slower than later ones: operators are read, laid out and brought onto the device. Methods that are prepared already cost
/// nothing. Explanations in other threads go on meanwhile.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT` for a name that is no method's; `VGGX_ERROR_UNSUPPORTED` when it needs patterns that the engine
/// does not have; `VGGX_ERROR_FORMAT` when patterns hold values that are not finite; `VGGX_ERROR_MEMORY`,
/// `VGGX_ERROR_DEVICE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_engine_prepare(
    engine: *mut vggx_engine,
    methods: *const *const c_char,
    method_count: usize,
) -> vggx_status {
    call(|| {
        // SAFETY: the caller's engine, or something that is found out.
        let Engine { core, .. } = unsafe { borrow(engine) }?;
        // SAFETY: as many strings as the caller says.
        let methods = unsafe { read_methods(methods, method_count) }?;
        core.prepare(&methods)?;
        core.tell_notices();
        Ok(VGGX_OK)
    })
}

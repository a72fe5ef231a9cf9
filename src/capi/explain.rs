//! Explanations into the caller's buffers.

use super::arguments::Versioned;
use super::batch::vggx_batch;
use super::engine::{Engine, vggx_engine};
use super::error::call;
use super::handle::borrow;
use super::status::vggx_status;
use super::task::{Places, Task};
use std::ffi::{c_char, c_void};

/// 32-bit IEEE 754.
pub const VGGX_TYPE_F32: i32 = 0;
/// 16-bit IEEE 754.
pub const VGGX_TYPE_F16: i32 = 1;

/// `[3, height, width]`: red, green, blue, whatever the network's order.
pub const VGGX_DETAIL_PLANES: i32 = 0;
/// `[height, width]`: the sum over the three channels, computed in float64 and rounded once.
pub const VGGX_DETAIL_HEAT_MAP: i32 = 1;

/// What is to be explained, how, and where the results go. Begin with `VGGX_INIT(vggx_request)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct vggx_request {
    /// `sizeof(vggx_request)`.
    pub size: usize,
    /// `method_count` names of methods, see `vggx_method_name`. Null with a count of 0: `patternnet` and
    /// `pattern-attribution`.
    pub methods: *const *const c_char,
    /// Number of methods.
    pub method_count: usize,
    /// The output to explain: `"top1"` (the one that responds most), `"topN"`, an index or a label. Null: `"top1"`.
    pub target: *const c_char,
    /// A target for each image of the batch, as `target`; an entry may be null and stands for `target`. Null: `target` for
    /// all.
    pub targets: *const *const c_char,
    /// Number of entries of `targets`: as many as images, or 0.
    pub target_count: usize,
    /// One buffer for each image and method, all methods of the first image first: the array of image i and method m goes
    /// to `outputs[i * methods + m]`. This array itself is always in ordinary memory. Buffers must not overlap and are
    /// aligned to the size of a value.
    pub outputs: *const *mut c_void,
    /// Number of entries of `outputs`: images times methods (2 where `methods` is null).
    pub output_count: usize,
    /// Bytes of each buffer: at least those of its values, see `detail` and `element_type`.
    pub output_bytes: usize,
    /// `VGGX_DETAIL_PLANES` or `VGGX_DETAIL_HEAT_MAP`.
    pub detail: i32,
    /// `VGGX_TYPE_F32` or `VGGX_TYPE_F16`.
    pub element_type: i32,
    /// `VGGX_MEMORY_HOST` or `VGGX_MEMORY_CUDA`: where the buffers are. See `stream` of `vggx_batch`.
    pub memory: i32,
    /// Zero.
    pub reserved: i32,
}

// SAFETY: integers and pointers, after a size.
unsafe impl Versioned for vggx_request {
    const NAME: &'static str = "vggx_request";
}

/// What the network said of an image. This struct will stay as it is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct vggx_explained {
    /// Softmax probability of the target; NaN without a classifier.
    pub probability: f64,
    /// The output that was explained; `SIZE_MAX` if the image failed.
    pub target: usize,
    /// Its logit; without a classifier the sum of the channel's map. NaN if the image failed.
    pub response: f32,
    /// `VGGX_OK`, or why this image failed; its buffers then hold anything.
    pub status: vggx_status,
}

/// Explains a batch of images: one forward pass, and one backward pass for each method.
///
/// `results` takes an entry an image; `result_count` is the number of images. `scale_log2` takes an exponent for each image
/// and method, in the order of `outputs`; `scale_count` is images times methods. The explanation is array · 2^`scale_log2`, in
/// units of the network's normalised input.
///
/// As float32 the arrays are those of the command line's npy files, bit for bit: the exponent is 0 unless the largest value
/// would overflow float32 or everything would underflow. As float16 every array has the exponent e, the smallest with
/// max|v| · 2^−e < 2^15 (0 where all values are zero), and values are rounded once, to nearest even: by at most 2^−11 of a
/// value, or 2^(e−25) where that is more. For float32 `scale_log2` may be null with a count of 0; an image that needs an
/// exponent then fails.
///
/// Methods that were not prepared are prepared first (`vggx_engine_prepare`). The same images give the same bits, whatever
/// else is in the batch and whichever threads call at the same time.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when the network cannot run on images of this size, and for a target that no image can have;
/// those of `vggx_engine_prepare`; `VGGX_ERROR_IMAGE`; `VGGX_ERROR_MEMORY`, `VGGX_ERROR_DEVICE`; `VGGX_ERROR_UNSUPPORTED`
/// for memory of a CUDA device that the engine does not use. After errors other than `VGGX_ERROR_IMAGE` buffers hold
/// anything.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_explain(
    engine: *mut vggx_engine,
    batch: *const vggx_batch,
    request: *const vggx_request,
    results: *mut vggx_explained,
    result_count: usize,
    scale_log2: *mut i32,
    scale_count: usize,
) -> vggx_status {
    call(|| {
        // SAFETY: the caller's engine, or something that is found out.
        let Engine { core, .. } = unsafe { borrow(engine) }?;
        let results = Places { results, result_count, scale_log2, scale_count };
        // SAFETY: everything is the caller's, as large as it says.
        let task = unsafe { Task::read(core, batch, request, results) }?;
        // SAFETY: the caller keeps pixels and buffers until this returns.
        unsafe { task.run(core) }
    })
}

//! What the network says of images.

use super::batch::vggx_batch;
use super::engine::vggx_engine;
use super::status::{VGGX_ERROR_UNSUPPORTED, vggx_status};

/// An output that responded to an image.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct vggx_class {
    /// Softmax probability; NaN in a network without a classifier.
    pub probability: f64,
    /// Which output, from 0.
    pub output: usize,
    /// The logit; without a classifier the sum of the channel's map.
    pub response: f32,
    /// `VGGX_OK`, or why this image has no responses; then the other fields are NaN, `SIZE_MAX` and NaN.
    pub status: vggx_status,
}

/// Finds the outputs that respond most. `classes` takes `top` entries for each image, image after image, the largest
/// response first (of equal ones the lower output); `class_count` is the number of entries it has room for, at least
/// `images` · `top`. `top` is at least 1 and at most the number of outputs.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when the network cannot run on images of this size; `VGGX_ERROR_IMAGE`; `VGGX_ERROR_MEMORY`,
/// `VGGX_ERROR_DEVICE`, `VGGX_ERROR_UNSUPPORTED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_classify(
    engine: *mut vggx_engine,
    batch: *const vggx_batch,
    top: usize,
    classes: *mut vggx_class,
    class_count: usize,
) -> vggx_status {
    let _ = (engine, batch, top, classes, class_count);
    VGGX_ERROR_UNSUPPORTED
}

/// Computes all responses: `responses` takes `[images, outputs]` float32, logits or without a classifier the sums of the
/// channels' maps; `response_count` is the number of values it has room for. The responses of an image that failed are NaN.
/// `statuses` takes one status an image (`status_count` of them); it may be null where `status_count` is 0.
///
/// # Errors
/// As `vggx_classify`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_responses(
    engine: *mut vggx_engine,
    batch: *const vggx_batch,
    responses: *mut f32,
    response_count: usize,
    statuses: *mut vggx_status,
    status_count: usize,
) -> vggx_status {
    let _ = (engine, batch, responses, response_count, statuses, status_count);
    VGGX_ERROR_UNSUPPORTED
}

//! What the network says of images.

use super::arguments::{check_array, expect_count, product};
use super::batch::Shape;
use super::batch::vggx_batch;
use super::core::Core;
use super::engine::{Engine, vggx_engine};
use super::error::call;
use super::failure::Failure;
use super::gather::Images;
use super::handle::borrow;
use super::outcome::Outcomes;
use super::status::{VGGX_OK, vggx_status};
use crate::explain::largest;

/// An output that responded to an image. This struct will stay as it is.
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
    call(|| {
        // SAFETY: the caller's engine, or something that is found out.
        let Engine { core, .. } = unsafe { borrow(engine) }?;
        // SAFETY: the batch is the caller's, as large as it says.
        let shape = unsafe { Shape::read(batch, core) }?;
        let outputs = core.weights.network().outputs();
        if top == 0 || top > outputs {
            return Err(Failure::argument(format!(
                "top is {top}, but it must be from 1 to {outputs}, the number of outputs"
            )));
        }
        let needed = product(&[shape.images, top], "the classes")?;
        if class_count < needed {
            return Err(Failure::argument(format!(
                "class_count is {class_count}, but {needed} are needed: {top} for each of {} images",
                shape.images
            )));
        }
        check_array(classes, class_count, "classes")?;
        // SAFETY: the pointers are the caller's.
        let responses = respond(core, &unsafe { shape.pixels() }?)?;
        let mut outcomes = Outcomes::default();
        for (image, responses) in responses.into_iter().enumerate() {
            let entries: Vec<vggx_class> = match responses {
                Ok(responses) => largest(&responses, top)
                    .into_iter()
                    .map(|output| vggx_class {
                        probability: core.explainer.probability(&responses, output).unwrap_or(f64::NAN),
                        output,
                        response: responses[output],
                        status: VGGX_OK,
                    })
                    .collect(),
                Err(failure) => {
                    let status = outcomes.fail(image, failure);
                    let none =
                        vggx_class { probability: f64::NAN, output: usize::MAX, response: f32::NAN, status };
                    vec![none; top]
                }
            };
            // SAFETY: there is room for `images` · `top` entries, and the pointer is aligned.
            unsafe { classes.add(image * top).copy_from_nonoverlapping(entries.as_ptr(), top) };
        }
        outcomes.status()
    })
}

/// The responses of each image.
fn respond(core: &Core, images: &Images) -> Result<Vec<Result<Vec<f32>, Failure>>, Failure> {
    // SAFETY: the call that this is part of has the pixels until it returns.
    let gathered = unsafe { images.gather() }?;
    let responses = core.explainer.respond(&gathered.batch())?;
    core.tell_notices();
    Ok(responses.into_iter().map(|responses| responses.map_err(Failure::from)).collect())
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
    call(|| {
        // SAFETY: the caller's engine, or something that is found out.
        let Engine { core, .. } = unsafe { borrow(engine) }?;
        // SAFETY: the batch is the caller's, as large as it says.
        let shape = unsafe { Shape::read(batch, core) }?;
        let outputs = core.weights.network().outputs();
        let needed = product(&[shape.images, outputs], "the responses")?;
        if response_count < needed {
            return Err(Failure::argument(format!(
                "response_count is {response_count}, but {needed} are needed: {outputs} for each of {} images",
                shape.images
            )));
        }
        check_array(responses, response_count, "responses")?;
        check_statuses(statuses, status_count, shape.images)?;
        // SAFETY: the pointers are the caller's.
        let all = respond(core, &unsafe { shape.pixels() }?)?;
        let mut outcomes = Outcomes::default();
        for (image, found) in all.into_iter().enumerate() {
            let (found, status) = match found {
                Ok(found) => (found, VGGX_OK),
                Err(failure) => (vec![f32::NAN; outputs], outcomes.fail(image, failure)),
            };
            // SAFETY: there is room for `images` · `outputs` values, and for `status_count` statuses; both are aligned.
            unsafe {
                responses.add(image * outputs).copy_from_nonoverlapping(found.as_ptr(), outputs);
                if status_count > 0 {
                    statuses.add(image).write(status);
                }
            }
        }
        outcomes.status()
    })
}

/// Statuses may be left out, or there is one an image.
pub fn check_statuses(statuses: *mut vggx_status, count: usize, images: usize) -> Result<(), Failure> {
    if count == 0 && statuses.is_null() {
        return Ok(());
    }
    expect_count(count, images, "status_count", "one an image")?;
    check_array(statuses, count, "statuses")
}

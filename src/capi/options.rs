//! Reads what an engine is opened with, and names of methods.

use super::arguments::{optional_path, optional_string, slice, string};
use super::core::Settings;
use super::engine::vggx_engine_options;
use super::failure::Failure;
use super::log::Log;
use crate::backend::cuda::CallersContext;
use crate::explain::Method;
use crate::network::PreprocessingOverrides;
use crate::setup::{DeviceChoice, DeviceRequest, PrecisionChoice};
use std::ffi::c_char;
use std::ptr::NonNull;

/// Reads the options.
///
/// # Safety
/// Strings end, and `mean` and `std` are null or lead to three numbers.
pub unsafe fn settings(options: &vggx_engine_options) -> Result<Settings, Failure> {
    if options.reserved != 0 {
        return Err(Failure::argument("reserved is not zero"));
    }
    let parse_error =
        |name: &str, text: &str, error: String| Failure::argument(format!("{name} is '{text}': {error}"));
    // SAFETY: as the caller says, here and below.
    let device = match unsafe { optional_string(options.device, "device") }? {
        Some(text) => text.parse().map_err(|error| parse_error("device", text, error))?,
        None => DeviceChoice::Auto,
    };
    // SAFETY: as above.
    let precision = match unsafe { optional_string(options.precision, "precision") }? {
        Some(text) => text.parse().map_err(|error| parse_error("precision", text, error))?,
        None => PrecisionChoice::Auto,
    };
    // SAFETY: as above.
    unsafe {
        Ok(Settings {
            weights: optional_path(options.weights, "weights")?,
            patterns: optional_path(options.patterns, "patterns")?,
            labels: optional_path(options.labels, "labels")?,
            data: optional_path(options.data, "data")?,
            overrides: overrides(options)?,
            device: DeviceRequest {
                device,
                precision,
                batch: Some(count(options.batch, "batch")?).filter(|&batch| batch > 0),
                // The caller says that it is a context, which outlives the engine.
                context: NonNull::new(options.cuda_context).map(|context| CallersContext::new(context)),
            },
            threads: count(options.threads, "threads")?,
            seed: options.seed,
            log: Log { callback: options.log, user: options.log_user },
        })
    }
}

/// A number for which there is an upper bound.
fn count(number: u32, name: &str) -> Result<usize, Failure> {
    match u16::try_from(number) {
        Ok(number) => Ok(number.into()),
        Err(_) => Err(Failure::argument(format!("{name} is {number}, and at most {} will do", u16::MAX))),
    }
}

/// The preprocessing that goes over the file's.
///
/// # Safety
/// As [`settings`].
unsafe fn overrides(options: &vggx_engine_options) -> Result<PreprocessingOverrides, Failure> {
    // SAFETY: as the caller says.
    let channel_order = match unsafe { optional_string(options.channel_order, "channel_order") }? {
        Some(text) => Some(text.parse().map_err(|error| Failure::argument(format!("{error}")))?),
        None => None,
    };
    let three = |pointer: *const f32, name: &str, zero: bool| {
        if pointer.is_null() {
            return Ok(None);
        }
        // SAFETY: as the caller says.
        match unsafe { slice(pointer, 3, name) }? {
            &[a, b, c] if [a, b, c].iter().all(|n| n.is_finite() && (zero || *n != 0.0)) => {
                Ok(Some([a, b, c]))
            }
            numbers => {
                let wanted =
                    if zero { "three finite numbers" } else { "three finite numbers, none of them zero" };
                Err(Failure::argument(format!("{name} is {numbers:?}, but it must be {wanted}")))
            }
        }
    };
    let scale = options.pixel_scale;
    if !scale.is_finite() || scale < 0.0 {
        return Err(Failure::argument(format!("pixel_scale is {scale}, but it must be a positive number")));
    }
    Ok(PreprocessingOverrides {
        channel_order,
        pixel_scale: Some(scale).filter(|&scale| scale > 0.0),
        mean: three(options.mean, "mean", true)?,
        std: three(options.std, "std", false)?,
    })
}

/// More methods than there are, under all their names: a count that is far off is found out before anything is read.
const MOST_METHODS: usize = 256;

/// Reads names of methods.
///
/// # Safety
/// The pointer leads to `count` strings.
pub unsafe fn read_methods(methods: *const *const c_char, count: usize) -> Result<Vec<Method>, Failure> {
    if count > MOST_METHODS {
        return Err(Failure::argument(format!(
            "method_count is {count}, and at most {MOST_METHODS} will do"
        )));
    }
    // SAFETY: as the caller says.
    let names = unsafe { slice(methods, count, "methods") }?;
    names
        .iter()
        .enumerate()
        .map(|(index, &name)| {
            // SAFETY: as the caller says.
            let name = unsafe { string(name, &format!("methods[{index}]")) }?;
            name.parse::<Method>().map_err(|error| Failure::argument(error.to_string()))
        })
        .collect()
}

//! Copies between the host and memory of callers, for what is computed on the host: the input itself, and what is multiplied with
//! it.

use super::{DeviceDestination, DevicePixels, PixelFormat, check_stream};
use crate::backend::cuda::device::{CallersStream, Device, DeviceError, Stream, bytes_of_mut};
use crate::backend::{BackendError, OwnedPixels};

/// Brings pixels to the host, packed.
pub(in super::super) fn fetch(
    device: &Device,
    pixels: &DevicePixels,
    images: usize,
    size: (usize, usize),
) -> Result<OwnedPixels, BackendError> {
    check_stream(device, pixels.stream())?;
    pixels.check(device, images, size)?;
    let (rows, row_bytes) = pixels.format().rows(size.0, size.1);
    let bytes = images * rows * row_bytes;
    let mut owned = match pixels.format() {
        PixelFormat::Rgb8 => OwnedPixels::Rgb8(vec![0; bytes]),
        PixelFormat::Normalised => OwnedPixels::Normalised(vec![0.0; bytes / size_of::<f32>()]),
    };
    let to = match &mut owned {
        OwnedPixels::Rgb8(bytes) => &mut bytes[..],
        OwnedPixels::Normalised(values) => bytes_of_mut(values),
    };
    let row_stride = pixels.row_stride();
    // Packed rows are one piece.
    let piece = if row_stride == row_bytes { rows * row_bytes } else { row_bytes };
    copy(device, pixels.stream(), |stream| {
        for (to, &address) in to.chunks_exact_mut((rows * row_bytes).max(1)).zip(pixels.addresses()) {
            for (row, to) in to.chunks_exact_mut(piece).enumerate() {
                // SAFETY: within an image that was checked; `copy` waits before anything else touches either side.
                unsafe { stream.start_download(to, address + (row * row_stride) as u64) }?;
            }
        }
        Ok(())
    })?;
    Ok(owned)
}

/// Writes explanations, one an image; none leaves an image's memory as it is.
pub(in super::super) fn store(
    device: &Device,
    destination: &DeviceDestination,
    size: (usize, usize),
    explanations: &[Option<&[u8]>],
) -> Result<(), BackendError> {
    check_stream(device, destination.stream())?;
    destination.check(device, explanations.len(), size)?;
    let bytes = destination.bytes(size.0, size.1);
    let is_whole = |explanation: &&[u8]| explanation.len() == bytes;
    assert!(explanations.iter().flatten().all(is_whole), "explanations of {bytes} bytes each");
    copy(device, destination.stream(), |stream| {
        for (explanation, &address) in explanations.iter().zip(destination.addresses()) {
            let Some(explanation) = explanation else { continue };
            // SAFETY: as large as what was checked; `copy` waits before anything else touches either side.
            unsafe { stream.start_upload(address, explanation) }?;
        }
        Ok(())
    })
}

/// Runs copies behind what a caller's stream holds, and waits for them, also when one could not start.
fn copy(
    device: &Device,
    callers: CallersStream,
    start: impl FnOnce(&Stream) -> Result<(), DeviceError>,
) -> Result<(), BackendError> {
    let stream = device.stream()?;
    stream.follow(callers, &device.event()?)?;
    let started = start(&stream);
    stream.synchronise()?;
    Ok(started?)
}

//! What an engine holds.

use super::arguments::{Versioned, check_pointer, product, write};
use super::core::Core;
use super::engine::{Engine, vggx_engine};
use super::error::call;
use super::failure::Failure;
use super::handle::borrow;
use super::status::{VGGX_OK, vggx_status};
use crate::network::{Layer, ParametricLayer};
use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What an engine says about itself, as C has strings.
pub struct Strings {
    weights: CString,
    patterns: Option<CString>,
    architecture: CString,
    device: CString,
    device_description: CString,
    precision: CString,
    channel_order: CString,
    layers: Vec<CString>,
    labels: Option<Vec<CString>>,
}

impl Strings {
    pub fn new(core: &Core) -> Self {
        let text = |text: &str| CString::new(text.replace('\0', " ")).unwrap_or_default();
        // Paths came as strings of C, so they hold no zero byte.
        let path = |path: &Path| CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
        let network = core.weights.network();
        Strings {
            weights: path(core.weights.path()),
            patterns: core.patterns.as_ref().map(|patterns| path(patterns.path())),
            architecture: text(&network.architecture),
            device: text(&core.device),
            device_description: text(&core.explainer.backend().description()),
            precision: text(core.precision),
            channel_order: text(&network.preprocessing.channel_order.to_string()),
            layers: network.parametric().map(|(_, layer)| text(layer.name())).collect(),
            labels: core.explainer.labels().map(|labels| labels.iter().map(|label| text(label)).collect()),
        }
    }
}

/// What an engine holds. Strings are UTF-8, valid until the engine is closed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct vggx_description {
    /// `sizeof(vggx_description)`, set by the caller.
    pub size: usize,
    /// Path of the weight file.
    pub weights: *const c_char,
    /// Path of the pattern file that was named or, with the bundled weights, found; null where there is none.
    pub patterns: *const c_char,
    /// `vgg11`, `vgg13`, `vgg16` or `vgg19` where the blocks of convolutions are theirs, else `custom`.
    pub architecture: *const c_char,
    /// The device: `cpu` or `cuda:N`.
    pub device: *const c_char,
    /// The device in words.
    pub device_description: *const c_char,
    /// How the device stores numbers: `f32`, `f16`, `bf16` or `f8`.
    pub precision: *const c_char,
    /// Order of the network's input channels: `rgb` or `bgr`.
    pub channel_order: *const c_char,
    /// Numbers in weights and biases.
    pub parameters: u64,
    /// Outputs: classes, or in a network without a classifier the channels of the last map.
    pub outputs: usize,
    /// Layers with weights, see `vggx_engine_layer`.
    pub layers: usize,
    /// Images may not be lower or narrower than this, in pixels.
    pub smallest_side: usize,
    /// Images a batch should have.
    pub preferred_batch: usize,
    /// Calls that are worth having at a time, each from its own thread; also the number of jobs that run at a time.
    pub concurrent_batches: usize,
    /// The network's input is (u8 · `pixel_scale` / 255 − `mean`) / `std`, in the network's channel order.
    pub mean: [f32; 3],
    /// See `mean`.
    pub std: [f32; 3],
    /// See `mean`.
    pub pixel_scale: f32,
    /// 1: the outputs are classes and have probabilities; 0: they are channels of the last map, and a response is the sum of
    /// its map.
    pub has_classifier: i32,
    /// 1: the outputs have names, see `vggx_engine_label`; else 0.
    pub has_labels: i32,
    /// 1: methods that need patterns can be used; else 0.
    pub has_patterns: i32,
}

// SAFETY: integers, floats and pointers, after a size.
unsafe impl Versioned for vggx_description {
    const NAME: &'static str = "vggx_description";
}

/// A 3×3 convolution with bias and ReLU.
pub const VGGX_LAYER_CONVOLUTION: i32 = 0;
/// A fully connected layer with bias.
pub const VGGX_LAYER_DENSE: i32 = 1;

/// A layer that has weights.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct vggx_layer {
    /// `sizeof(vggx_layer)`, set by the caller.
    pub size: usize,
    /// torchvision's name without the suffix, such as `features.0`. UTF-8, valid until the engine is closed.
    pub name: *const c_char,
    /// Channels of a convolution's input; elements of a dense layer's.
    pub inputs: usize,
    /// Neurons: output channels of a convolution, outputs of a dense layer.
    pub outputs: usize,
    /// `VGGX_LAYER_CONVOLUTION` or `VGGX_LAYER_DENSE`.
    pub kind: i32,
    /// 1 where a 2×2 max-pool follows, else 0.
    pub pool: i32,
}

// SAFETY: integers and pointers, after a size.
unsafe impl Versioned for vggx_layer {
    const NAME: &'static str = "vggx_layer";
}

/// Says what an engine holds.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_engine_describe(
    engine: *const vggx_engine,
    description: *mut vggx_description,
) -> vggx_status {
    call(|| {
        // SAFETY: the caller's engine, or something that is found out.
        let Engine { core, strings, .. } = unsafe { borrow(engine) }?;
        let network = core.weights.network();
        let backend = core.explainer.backend();
        let preprocessing = network.preprocessing;
        let numbers = |(_, layer): (usize, ParametricLayer)| {
            (layer.outputs() as u64).saturating_mul(layer.fan_in() as u64 + 1)
        };
        let pools = network.layers.iter().filter(|layer| matches!(layer, Layer::MaxPool)).count();
        let known = vggx_description {
            size: size_of::<vggx_description>(),
            weights: strings.weights.as_ptr(),
            patterns: strings.patterns.as_ref().map_or(std::ptr::null(), |path| path.as_ptr()),
            architecture: strings.architecture.as_ptr(),
            device: strings.device.as_ptr(),
            device_description: strings.device_description.as_ptr(),
            precision: strings.precision.as_ptr(),
            channel_order: strings.channel_order.as_ptr(),
            parameters: network.parametric().map(numbers).fold(0, u64::saturating_add),
            outputs: network.outputs(),
            layers: strings.layers.len(),
            smallest_side: 1 << pools,
            preferred_batch: backend.preferred_batch(),
            concurrent_batches: backend.concurrent_batches(),
            mean: preprocessing.mean,
            std: preprocessing.std,
            pixel_scale: preprocessing.pixel_scale,
            has_classifier: network.has_classifier().into(),
            has_labels: strings.labels.is_some().into(),
            has_patterns: core.patterns.is_some().into(),
        };
        // SAFETY: the description is the caller's, as large as it says.
        unsafe { write(description, &known) }?;
        Ok(VGGX_OK)
    })
}

/// Says what the layer number `index` is, counting layers that have weights from 0 in the order of the forward pass.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when there is no such layer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_engine_layer(
    engine: *const vggx_engine,
    index: usize,
    layer: *mut vggx_layer,
) -> vggx_status {
    call(|| {
        // SAFETY: the caller's engine, or something that is found out.
        let Engine { core, strings, .. } = unsafe { borrow(engine) }?;
        let network = core.weights.network();
        let (Some((place, parametric)), Some(name)) =
            (network.parametric().nth(index), strings.layers.get(index))
        else {
            return Err(Failure::argument(format!(
                "index is {index}, but the network has {} layers with weights, counted from 0",
                strings.layers.len()
            )));
        };
        let known = vggx_layer {
            size: size_of::<vggx_layer>(),
            name: name.as_ptr(),
            inputs: parametric.inputs(),
            outputs: parametric.outputs(),
            kind: match parametric {
                ParametricLayer::Convolution(_) => VGGX_LAYER_CONVOLUTION,
                ParametricLayer::Dense(_) => VGGX_LAYER_DENSE,
            },
            pool: matches!(network.layers.get(place + 1), Some(Layer::MaxPool)).into(),
        };
        // SAFETY: the struct is the caller's, as large as it says.
        unsafe { write(layer, &known) }?;
        Ok(VGGX_OK)
    })
}

/// The name of an output: UTF-8, valid until the engine is closed. Null where the outputs have no names.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when there is no such output.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_engine_label(
    engine: *const vggx_engine,
    output: usize,
    label: *mut *const c_char,
) -> vggx_status {
    call(|| {
        check_pointer(label, "label")?;
        // SAFETY: not null and aligned; the caller has a place for a pointer there.
        unsafe { label.write(std::ptr::null()) };
        // SAFETY: the caller's engine, or something that is found out.
        let Engine { core, strings, .. } = unsafe { borrow(engine) }?;
        let outputs = core.weights.network().outputs();
        if output >= outputs {
            return Err(Failure::argument(format!(
                "output is {output}, but the network has {outputs}, counted from 0"
            )));
        }
        if let Some(name) = strings.labels.as_ref().and_then(|labels| labels.get(output)) {
            // SAFETY: as above.
            unsafe { label.write(name.as_ptr()) };
        }
        Ok(VGGX_OK)
    })
}

/// About how much memory explaining `images` images of `height` × `width` pixels takes at a time, besides what the engine
/// holds already and what the caller gives: bytes of the host's and of the CUDA device's memory (0 on the CPU).
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when the network cannot run on images of this size, for no images, and for more pixels than
/// there can be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_engine_memory(
    engine: *const vggx_engine,
    images: usize,
    height: usize,
    width: usize,
    host_bytes: *mut u64,
    device_bytes: *mut u64,
) -> vggx_status {
    call(|| {
        // SAFETY: the caller's engine, or something that is found out.
        let Engine { core, .. } = unsafe { borrow(engine) }?;
        check_pointer(host_bytes, "host_bytes")?;
        check_pointer(device_bytes, "device_bytes")?;
        core.check_extents(height, width)?;
        if images == 0 {
            return Err(Failure::argument("images is 0"));
        }
        product(&[images, height, width, 3, size_of::<f32>()], "the pixels of the batch")?;
        let needed = core.explainer.backend().memory_needed(images, height, width)?;
        // SAFETY: not null and aligned; the caller has places for numbers there.
        unsafe {
            host_bytes.write(needed.host);
            device_bytes.write(needed.device);
        }
        Ok(VGGX_OK)
    })
}

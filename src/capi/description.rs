//! What an engine holds.

use super::engine::vggx_engine;
use super::status::{VGGX_ERROR_UNSUPPORTED, vggx_status};
use std::ffi::c_char;

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
    /// How the device stores numbers: `f32`, `f16` or `bf16`.
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

/// Says what an engine holds.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_engine_describe(
    engine: *const vggx_engine,
    description: *mut vggx_description,
) -> vggx_status {
    let _ = (engine, description);
    VGGX_ERROR_UNSUPPORTED
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
    let _ = (engine, index, layer);
    VGGX_ERROR_UNSUPPORTED
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
    let _ = (engine, output, label);
    VGGX_ERROR_UNSUPPORTED
}

/// About how much memory explaining `images` images of `height` × `width` pixels takes at a time, besides what the engine
/// holds already and what the caller gives: bytes of the host's and of the CUDA device's memory (0 on the CPU).
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when the network cannot run on images of this size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_engine_memory(
    engine: *const vggx_engine,
    images: usize,
    height: usize,
    width: usize,
    host_bytes: *mut u64,
    device_bytes: *mut u64,
) -> vggx_status {
    let _ = (engine, images, height, width, host_bytes, device_bytes);
    VGGX_ERROR_UNSUPPORTED
}

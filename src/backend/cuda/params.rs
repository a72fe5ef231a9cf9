// Written by bindgen from kernels/params.h, where everything is explained. Do not edit:
// `scripts/regenerate` writes it anew.
#![allow(dead_code, non_camel_case_types)]

pub const VGGX_CHANNELS: i32 = 64;
pub const VGGX_STORED_LOG2: i32 = 15;
pub const VGGX_OPERATOR_LOG2: i32 = 15;
pub const VGGX_IMAGE_DEPTH: i32 = 32;
pub const VGGX_ROW_BYTES: i32 = 64;
pub const VGGX_RECTIFY: i32 = 0;
pub const VGGX_RECTIFY_POOL: i32 = 1;
pub const VGGX_LINEAR: i32 = 2;
pub const VGGX_GATE_MASK: i32 = 1;
pub const VGGX_GATE_SIGN: i32 = 2;
pub const VGGX_BELOW_NOTHING: i32 = 0;
pub const VGGX_BELOW_RECTIFIER: i32 = 1;
pub const VGGX_BELOW_POOL: i32 = 2;
pub const VGGX_HOPPER_THREADS: i32 = 384;
pub const VGGX_HOPPER_STAGING: i32 = 4096;
pub const VGGX_HOPPER_SLOTS: i32 = 32;
pub const VGGX_RESIDENT_EXCHANGE: i32 = 2048;
pub const VGGX_SIGNAL_ROWS: i32 = 16;
pub const VGGX_SIGNAL_COLUMNS: i32 = 62;
pub const VGGX_CHUNK_POSITIONS: i32 = 4096;
pub const VGGX_HOPPER_MOMENT_THREADS: i32 = 512;
pub const VGGX_F32: i32 = 0;
pub const VGGX_F16: i32 = 1;
pub const VGGX_BF16: i32 = 2;
pub const VGGX_LAYOUT_FORWARD: i32 = 0;
pub const VGGX_LAYOUT_BACKWARD: i32 = 1;
pub const VGGX_LAYOUT_IMAGE_FORWARD: i32 = 2;
pub const VGGX_LAYOUT_IMAGE_BACKWARD: i32 = 3;
pub const VGGX_SECOND_CHUNK: i32 = 4096;
pub const VGGX_SECOND_LAGS: i32 = 13;
pub const VGGX_SECOND_PLANES: i32 = 29;
pub const VGGX_SECOND_VIEWS: i32 = 9;
pub const VGGX_SECOND_KINDS: i32 = 25;
pub type vggx_address = u64;
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxScale {
    pub largest: vggx_address,
    pub exponent: vggx_address,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxScale"][::std::mem::size_of::<VggxScale>() - 16usize];
    ["Alignment of VggxScale"][::std::mem::align_of::<VggxScale>() - 8usize];
    ["Offset of field: VggxScale::largest"][::std::mem::offset_of!(VggxScale, largest) - 0usize];
    ["Offset of field: VggxScale::exponent"][::std::mem::offset_of!(VggxScale, exponent) - 8usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxOperand {
    pub input: vggx_address,
    pub input_scale: VggxScale,
    pub operator_: vggx_address,
    pub operator_bound: f32,
    pub operator_gain: i32,
    pub images: i32,
    pub height: i32,
    pub width: i32,
    pub channels: i32,
    pub outputs: i32,
    pub taps: i32,
    pub stages: i32,
    pub reserved: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxOperand"][::std::mem::size_of::<VggxOperand>() - 72usize];
    ["Alignment of VggxOperand"][::std::mem::align_of::<VggxOperand>() - 8usize];
    ["Offset of field: VggxOperand::input"][::std::mem::offset_of!(VggxOperand, input) - 0usize];
    ["Offset of field: VggxOperand::input_scale"][::std::mem::offset_of!(VggxOperand, input_scale) - 8usize];
    ["Offset of field: VggxOperand::operator_"][::std::mem::offset_of!(VggxOperand, operator_) - 24usize];
    ["Offset of field: VggxOperand::operator_bound"]
        [::std::mem::offset_of!(VggxOperand, operator_bound) - 32usize];
    ["Offset of field: VggxOperand::operator_gain"]
        [::std::mem::offset_of!(VggxOperand, operator_gain) - 36usize];
    ["Offset of field: VggxOperand::images"][::std::mem::offset_of!(VggxOperand, images) - 40usize];
    ["Offset of field: VggxOperand::height"][::std::mem::offset_of!(VggxOperand, height) - 44usize];
    ["Offset of field: VggxOperand::width"][::std::mem::offset_of!(VggxOperand, width) - 48usize];
    ["Offset of field: VggxOperand::channels"][::std::mem::offset_of!(VggxOperand, channels) - 52usize];
    ["Offset of field: VggxOperand::outputs"][::std::mem::offset_of!(VggxOperand, outputs) - 56usize];
    ["Offset of field: VggxOperand::taps"][::std::mem::offset_of!(VggxOperand, taps) - 60usize];
    ["Offset of field: VggxOperand::stages"][::std::mem::offset_of!(VggxOperand, stages) - 64usize];
    ["Offset of field: VggxOperand::reserved"][::std::mem::offset_of!(VggxOperand, reserved) - 68usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxConvolutionForward {
    pub operand: VggxOperand,
    pub bias: vggx_address,
    pub bias_bound: f32,
    pub epilogue: i32,
    pub output: vggx_address,
    pub output_scale: VggxScale,
    pub mask: vggx_address,
    pub argmax: vggx_address,
    pub pre_activation: vggx_address,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxConvolutionForward"][::std::mem::size_of::<VggxConvolutionForward>() - 136usize];
    ["Alignment of VggxConvolutionForward"][::std::mem::align_of::<VggxConvolutionForward>() - 8usize];
    ["Offset of field: VggxConvolutionForward::operand"]
        [::std::mem::offset_of!(VggxConvolutionForward, operand) - 0usize];
    ["Offset of field: VggxConvolutionForward::bias"]
        [::std::mem::offset_of!(VggxConvolutionForward, bias) - 72usize];
    ["Offset of field: VggxConvolutionForward::bias_bound"]
        [::std::mem::offset_of!(VggxConvolutionForward, bias_bound) - 80usize];
    ["Offset of field: VggxConvolutionForward::epilogue"]
        [::std::mem::offset_of!(VggxConvolutionForward, epilogue) - 84usize];
    ["Offset of field: VggxConvolutionForward::output"]
        [::std::mem::offset_of!(VggxConvolutionForward, output) - 88usize];
    ["Offset of field: VggxConvolutionForward::output_scale"]
        [::std::mem::offset_of!(VggxConvolutionForward, output_scale) - 96usize];
    ["Offset of field: VggxConvolutionForward::mask"]
        [::std::mem::offset_of!(VggxConvolutionForward, mask) - 112usize];
    ["Offset of field: VggxConvolutionForward::argmax"]
        [::std::mem::offset_of!(VggxConvolutionForward, argmax) - 120usize];
    ["Offset of field: VggxConvolutionForward::pre_activation"]
        [::std::mem::offset_of!(VggxConvolutionForward, pre_activation) - 128usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxBelow {
    pub gate: i32,
    pub below: i32,
    pub mask: vggx_address,
    pub argmax: vggx_address,
    pub unpooled_height: i32,
    pub unpooled_width: i32,
    pub output: vggx_address,
    pub output_scale: VggxScale,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxBelow"][::std::mem::size_of::<VggxBelow>() - 56usize];
    ["Alignment of VggxBelow"][::std::mem::align_of::<VggxBelow>() - 8usize];
    ["Offset of field: VggxBelow::gate"][::std::mem::offset_of!(VggxBelow, gate) - 0usize];
    ["Offset of field: VggxBelow::below"][::std::mem::offset_of!(VggxBelow, below) - 4usize];
    ["Offset of field: VggxBelow::mask"][::std::mem::offset_of!(VggxBelow, mask) - 8usize];
    ["Offset of field: VggxBelow::argmax"][::std::mem::offset_of!(VggxBelow, argmax) - 16usize];
    ["Offset of field: VggxBelow::unpooled_height"]
        [::std::mem::offset_of!(VggxBelow, unpooled_height) - 24usize];
    ["Offset of field: VggxBelow::unpooled_width"]
        [::std::mem::offset_of!(VggxBelow, unpooled_width) - 28usize];
    ["Offset of field: VggxBelow::output"][::std::mem::offset_of!(VggxBelow, output) - 32usize];
    ["Offset of field: VggxBelow::output_scale"][::std::mem::offset_of!(VggxBelow, output_scale) - 40usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxConvolutionBackward {
    pub operand: VggxOperand,
    pub below: VggxBelow,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxConvolutionBackward"][::std::mem::size_of::<VggxConvolutionBackward>() - 128usize];
    ["Alignment of VggxConvolutionBackward"][::std::mem::align_of::<VggxConvolutionBackward>() - 8usize];
    ["Offset of field: VggxConvolutionBackward::operand"]
        [::std::mem::offset_of!(VggxConvolutionBackward, operand) - 0usize];
    ["Offset of field: VggxConvolutionBackward::below"]
        [::std::mem::offset_of!(VggxConvolutionBackward, below) - 72usize];
};
#[repr(C)]
#[repr(align(128))]
#[derive(Debug, Copy, Clone, PartialEq)]
pub struct VggxTensorMap {
    pub words: [u64; 16usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxTensorMap"][::std::mem::size_of::<VggxTensorMap>() - 128usize];
    ["Alignment of VggxTensorMap"][::std::mem::align_of::<VggxTensorMap>() - 128usize];
    ["Offset of field: VggxTensorMap::words"][::std::mem::offset_of!(VggxTensorMap, words) - 0usize];
};
impl Default for VggxTensorMap {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[repr(align(128))]
#[derive(Debug, Copy, Clone, PartialEq)]
pub struct VggxBoxes {
    pub map: VggxTensorMap,
    pub operator_: VggxTensorMap,
    pub tile_width_log2: i32,
    pub tile_height_log2: i32,
    pub tile_images_log2: i32,
    pub images_between: i32,
    pub map_slots: i32,
    pub operator_slots: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxBoxes"][::std::mem::size_of::<VggxBoxes>() - 384usize];
    ["Alignment of VggxBoxes"][::std::mem::align_of::<VggxBoxes>() - 128usize];
    ["Offset of field: VggxBoxes::map"][::std::mem::offset_of!(VggxBoxes, map) - 0usize];
    ["Offset of field: VggxBoxes::operator_"][::std::mem::offset_of!(VggxBoxes, operator_) - 128usize];
    ["Offset of field: VggxBoxes::tile_width_log2"]
        [::std::mem::offset_of!(VggxBoxes, tile_width_log2) - 256usize];
    ["Offset of field: VggxBoxes::tile_height_log2"]
        [::std::mem::offset_of!(VggxBoxes, tile_height_log2) - 260usize];
    ["Offset of field: VggxBoxes::tile_images_log2"]
        [::std::mem::offset_of!(VggxBoxes, tile_images_log2) - 264usize];
    ["Offset of field: VggxBoxes::images_between"]
        [::std::mem::offset_of!(VggxBoxes, images_between) - 268usize];
    ["Offset of field: VggxBoxes::map_slots"][::std::mem::offset_of!(VggxBoxes, map_slots) - 272usize];
    ["Offset of field: VggxBoxes::operator_slots"]
        [::std::mem::offset_of!(VggxBoxes, operator_slots) - 276usize];
};
impl Default for VggxBoxes {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[repr(align(128))]
#[derive(Debug, Copy, Clone, PartialEq)]
pub struct VggxHopperForward {
    pub boxes: VggxBoxes,
    pub output: VggxTensorMap,
    pub pre_activation: VggxTensorMap,
    pub layer: VggxConvolutionForward,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxHopperForward"][::std::mem::size_of::<VggxHopperForward>() - 896usize];
    ["Alignment of VggxHopperForward"][::std::mem::align_of::<VggxHopperForward>() - 128usize];
    ["Offset of field: VggxHopperForward::boxes"][::std::mem::offset_of!(VggxHopperForward, boxes) - 0usize];
    ["Offset of field: VggxHopperForward::output"]
        [::std::mem::offset_of!(VggxHopperForward, output) - 384usize];
    ["Offset of field: VggxHopperForward::pre_activation"]
        [::std::mem::offset_of!(VggxHopperForward, pre_activation) - 512usize];
    ["Offset of field: VggxHopperForward::layer"]
        [::std::mem::offset_of!(VggxHopperForward, layer) - 640usize];
};
impl Default for VggxHopperForward {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[repr(align(128))]
#[derive(Debug, Copy, Clone, PartialEq)]
pub struct VggxHopperBackward {
    pub boxes: VggxBoxes,
    pub output: VggxTensorMap,
    pub layer: VggxConvolutionBackward,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxHopperBackward"][::std::mem::size_of::<VggxHopperBackward>() - 640usize];
    ["Alignment of VggxHopperBackward"][::std::mem::align_of::<VggxHopperBackward>() - 128usize];
    ["Offset of field: VggxHopperBackward::boxes"]
        [::std::mem::offset_of!(VggxHopperBackward, boxes) - 0usize];
    ["Offset of field: VggxHopperBackward::output"]
        [::std::mem::offset_of!(VggxHopperBackward, output) - 384usize];
    ["Offset of field: VggxHopperBackward::layer"]
        [::std::mem::offset_of!(VggxHopperBackward, layer) - 512usize];
};
impl Default for VggxHopperBackward {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxSignalImage {
    pub input: vggx_address,
    pub input_scale: VggxScale,
    pub operator_: vggx_address,
    pub operator_bound: f32,
    pub operator_gain: i32,
    pub images: i32,
    pub height: i32,
    pub width: i32,
    pub channels: i32,
    pub output: vggx_address,
    pub output_scale: VggxScale,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxSignalImage"][::std::mem::size_of::<VggxSignalImage>() - 80usize];
    ["Alignment of VggxSignalImage"][::std::mem::align_of::<VggxSignalImage>() - 8usize];
    ["Offset of field: VggxSignalImage::input"][::std::mem::offset_of!(VggxSignalImage, input) - 0usize];
    ["Offset of field: VggxSignalImage::input_scale"]
        [::std::mem::offset_of!(VggxSignalImage, input_scale) - 8usize];
    ["Offset of field: VggxSignalImage::operator_"]
        [::std::mem::offset_of!(VggxSignalImage, operator_) - 24usize];
    ["Offset of field: VggxSignalImage::operator_bound"]
        [::std::mem::offset_of!(VggxSignalImage, operator_bound) - 32usize];
    ["Offset of field: VggxSignalImage::operator_gain"]
        [::std::mem::offset_of!(VggxSignalImage, operator_gain) - 36usize];
    ["Offset of field: VggxSignalImage::images"][::std::mem::offset_of!(VggxSignalImage, images) - 40usize];
    ["Offset of field: VggxSignalImage::height"][::std::mem::offset_of!(VggxSignalImage, height) - 44usize];
    ["Offset of field: VggxSignalImage::width"][::std::mem::offset_of!(VggxSignalImage, width) - 48usize];
    ["Offset of field: VggxSignalImage::channels"]
        [::std::mem::offset_of!(VggxSignalImage, channels) - 52usize];
    ["Offset of field: VggxSignalImage::output"][::std::mem::offset_of!(VggxSignalImage, output) - 56usize];
    ["Offset of field: VggxSignalImage::output_scale"]
        [::std::mem::offset_of!(VggxSignalImage, output_scale) - 64usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxNormalise {
    pub pixels: vggx_address,
    pub table: vggx_address,
    pub output: vggx_address,
    pub output_scale: VggxScale,
    pub largest: u32,
    pub exponent: i32,
    pub images: i32,
    pub positions: i32,
    pub reversed: i32,
    pub reserved: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxNormalise"][::std::mem::size_of::<VggxNormalise>() - 64usize];
    ["Alignment of VggxNormalise"][::std::mem::align_of::<VggxNormalise>() - 8usize];
    ["Offset of field: VggxNormalise::pixels"][::std::mem::offset_of!(VggxNormalise, pixels) - 0usize];
    ["Offset of field: VggxNormalise::table"][::std::mem::offset_of!(VggxNormalise, table) - 8usize];
    ["Offset of field: VggxNormalise::output"][::std::mem::offset_of!(VggxNormalise, output) - 16usize];
    ["Offset of field: VggxNormalise::output_scale"]
        [::std::mem::offset_of!(VggxNormalise, output_scale) - 24usize];
    ["Offset of field: VggxNormalise::largest"][::std::mem::offset_of!(VggxNormalise, largest) - 40usize];
    ["Offset of field: VggxNormalise::exponent"][::std::mem::offset_of!(VggxNormalise, exponent) - 44usize];
    ["Offset of field: VggxNormalise::images"][::std::mem::offset_of!(VggxNormalise, images) - 48usize];
    ["Offset of field: VggxNormalise::positions"][::std::mem::offset_of!(VggxNormalise, positions) - 52usize];
    ["Offset of field: VggxNormalise::reversed"][::std::mem::offset_of!(VggxNormalise, reversed) - 56usize];
    ["Offset of field: VggxNormalise::reserved"][::std::mem::offset_of!(VggxNormalise, reserved) - 60usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxInterleave {
    pub planes: vggx_address,
    pub output: vggx_address,
    pub images: i32,
    pub positions: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxInterleave"][::std::mem::size_of::<VggxInterleave>() - 24usize];
    ["Alignment of VggxInterleave"][::std::mem::align_of::<VggxInterleave>() - 8usize];
    ["Offset of field: VggxInterleave::planes"][::std::mem::offset_of!(VggxInterleave, planes) - 0usize];
    ["Offset of field: VggxInterleave::output"][::std::mem::offset_of!(VggxInterleave, output) - 8usize];
    ["Offset of field: VggxInterleave::images"][::std::mem::offset_of!(VggxInterleave, images) - 16usize];
    ["Offset of field: VggxInterleave::positions"]
        [::std::mem::offset_of!(VggxInterleave, positions) - 20usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxSource {
    pub address: vggx_address,
    pub row_stride: i64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxSource"][::std::mem::size_of::<VggxSource>() - 16usize];
    ["Alignment of VggxSource"][::std::mem::align_of::<VggxSource>() - 8usize];
    ["Offset of field: VggxSource::address"][::std::mem::offset_of!(VggxSource, address) - 0usize];
    ["Offset of field: VggxSource::row_stride"][::std::mem::offset_of!(VggxSource, row_stride) - 8usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxGather {
    pub sources: vggx_address,
    pub output: vggx_address,
    pub output_scale: VggxScale,
    pub bits: vggx_address,
    pub counted: vggx_address,
    pub images: i32,
    pub height: i32,
    pub width: i32,
    pub reserved: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxGather"][::std::mem::size_of::<VggxGather>() - 64usize];
    ["Alignment of VggxGather"][::std::mem::align_of::<VggxGather>() - 8usize];
    ["Offset of field: VggxGather::sources"][::std::mem::offset_of!(VggxGather, sources) - 0usize];
    ["Offset of field: VggxGather::output"][::std::mem::offset_of!(VggxGather, output) - 8usize];
    ["Offset of field: VggxGather::output_scale"][::std::mem::offset_of!(VggxGather, output_scale) - 16usize];
    ["Offset of field: VggxGather::bits"][::std::mem::offset_of!(VggxGather, bits) - 32usize];
    ["Offset of field: VggxGather::counted"][::std::mem::offset_of!(VggxGather, counted) - 40usize];
    ["Offset of field: VggxGather::images"][::std::mem::offset_of!(VggxGather, images) - 48usize];
    ["Offset of field: VggxGather::height"][::std::mem::offset_of!(VggxGather, height) - 52usize];
    ["Offset of field: VggxGather::width"][::std::mem::offset_of!(VggxGather, width) - 56usize];
    ["Offset of field: VggxGather::reserved"][::std::mem::offset_of!(VggxGather, reserved) - 60usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxMomentMaps {
    pub input: vggx_address,
    pub input_exponent: vggx_address,
    pub pre_activation: vggx_address,
    pub pre_activation_exponent: vggx_address,
    pub counted: vggx_address,
    pub factors: vggx_address,
    pub common: vggx_address,
    pub images: i32,
    pub height: i32,
    pub width: i32,
    pub channels: i32,
    pub outputs: i32,
    pub taps: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxMomentMaps"][::std::mem::size_of::<VggxMomentMaps>() - 80usize];
    ["Alignment of VggxMomentMaps"][::std::mem::align_of::<VggxMomentMaps>() - 8usize];
    ["Offset of field: VggxMomentMaps::input"][::std::mem::offset_of!(VggxMomentMaps, input) - 0usize];
    ["Offset of field: VggxMomentMaps::input_exponent"]
        [::std::mem::offset_of!(VggxMomentMaps, input_exponent) - 8usize];
    ["Offset of field: VggxMomentMaps::pre_activation"]
        [::std::mem::offset_of!(VggxMomentMaps, pre_activation) - 16usize];
    ["Offset of field: VggxMomentMaps::pre_activation_exponent"]
        [::std::mem::offset_of!(VggxMomentMaps, pre_activation_exponent) - 24usize];
    ["Offset of field: VggxMomentMaps::counted"][::std::mem::offset_of!(VggxMomentMaps, counted) - 32usize];
    ["Offset of field: VggxMomentMaps::factors"][::std::mem::offset_of!(VggxMomentMaps, factors) - 40usize];
    ["Offset of field: VggxMomentMaps::common"][::std::mem::offset_of!(VggxMomentMaps, common) - 48usize];
    ["Offset of field: VggxMomentMaps::images"][::std::mem::offset_of!(VggxMomentMaps, images) - 56usize];
    ["Offset of field: VggxMomentMaps::height"][::std::mem::offset_of!(VggxMomentMaps, height) - 60usize];
    ["Offset of field: VggxMomentMaps::width"][::std::mem::offset_of!(VggxMomentMaps, width) - 64usize];
    ["Offset of field: VggxMomentMaps::channels"][::std::mem::offset_of!(VggxMomentMaps, channels) - 68usize];
    ["Offset of field: VggxMomentMaps::outputs"][::std::mem::offset_of!(VggxMomentMaps, outputs) - 72usize];
    ["Offset of field: VggxMomentMaps::taps"][::std::mem::offset_of!(VggxMomentMaps, taps) - 76usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxMomentInputs {
    pub maps: VggxMomentMaps,
    pub partials: vggx_address,
    pub batch_sums: vggx_address,
    pub sums: vggx_address,
    pub slice_positions: i32,
    pub slices: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxMomentInputs"][::std::mem::size_of::<VggxMomentInputs>() - 112usize];
    ["Alignment of VggxMomentInputs"][::std::mem::align_of::<VggxMomentInputs>() - 8usize];
    ["Offset of field: VggxMomentInputs::maps"][::std::mem::offset_of!(VggxMomentInputs, maps) - 0usize];
    ["Offset of field: VggxMomentInputs::partials"]
        [::std::mem::offset_of!(VggxMomentInputs, partials) - 80usize];
    ["Offset of field: VggxMomentInputs::batch_sums"]
        [::std::mem::offset_of!(VggxMomentInputs, batch_sums) - 88usize];
    ["Offset of field: VggxMomentInputs::sums"][::std::mem::offset_of!(VggxMomentInputs, sums) - 96usize];
    ["Offset of field: VggxMomentInputs::slice_positions"]
        [::std::mem::offset_of!(VggxMomentInputs, slice_positions) - 104usize];
    ["Offset of field: VggxMomentInputs::slices"]
        [::std::mem::offset_of!(VggxMomentInputs, slices) - 108usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxMomentResponses {
    pub maps: VggxMomentMaps,
    pub bias: vggx_address,
    pub partials: vggx_address,
    pub pilots: vggx_address,
    pub counts: vggx_address,
    pub positive_count: vggx_address,
    pub positive_y: vggx_address,
    pub positive_yy: vggx_address,
    pub negative_y: vggx_address,
    pub negative_yy: vggx_address,
    pub slice_positions: i32,
    pub slices: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxMomentResponses"][::std::mem::size_of::<VggxMomentResponses>() - 160usize];
    ["Alignment of VggxMomentResponses"][::std::mem::align_of::<VggxMomentResponses>() - 8usize];
    ["Offset of field: VggxMomentResponses::maps"]
        [::std::mem::offset_of!(VggxMomentResponses, maps) - 0usize];
    ["Offset of field: VggxMomentResponses::bias"]
        [::std::mem::offset_of!(VggxMomentResponses, bias) - 80usize];
    ["Offset of field: VggxMomentResponses::partials"]
        [::std::mem::offset_of!(VggxMomentResponses, partials) - 88usize];
    ["Offset of field: VggxMomentResponses::pilots"]
        [::std::mem::offset_of!(VggxMomentResponses, pilots) - 96usize];
    ["Offset of field: VggxMomentResponses::counts"]
        [::std::mem::offset_of!(VggxMomentResponses, counts) - 104usize];
    ["Offset of field: VggxMomentResponses::positive_count"]
        [::std::mem::offset_of!(VggxMomentResponses, positive_count) - 112usize];
    ["Offset of field: VggxMomentResponses::positive_y"]
        [::std::mem::offset_of!(VggxMomentResponses, positive_y) - 120usize];
    ["Offset of field: VggxMomentResponses::positive_yy"]
        [::std::mem::offset_of!(VggxMomentResponses, positive_yy) - 128usize];
    ["Offset of field: VggxMomentResponses::negative_y"]
        [::std::mem::offset_of!(VggxMomentResponses, negative_y) - 136usize];
    ["Offset of field: VggxMomentResponses::negative_yy"]
        [::std::mem::offset_of!(VggxMomentResponses, negative_yy) - 144usize];
    ["Offset of field: VggxMomentResponses::slice_positions"]
        [::std::mem::offset_of!(VggxMomentResponses, slice_positions) - 152usize];
    ["Offset of field: VggxMomentResponses::slices"]
        [::std::mem::offset_of!(VggxMomentResponses, slices) - 156usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxMoments {
    pub maps: VggxMomentMaps,
    pub bias: vggx_address,
    pub pilots: vggx_address,
    pub counts: vggx_address,
    pub input_sums: vggx_address,
    pub partials: vggx_address,
    pub positive_x: vggx_address,
    pub positive_xy: vggx_address,
    pub negative_xy: vggx_address,
    pub chunk_positions: i32,
    pub chunks: i32,
    pub stages: i32,
    pub reserved: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxMoments"][::std::mem::size_of::<VggxMoments>() - 160usize];
    ["Alignment of VggxMoments"][::std::mem::align_of::<VggxMoments>() - 8usize];
    ["Offset of field: VggxMoments::maps"][::std::mem::offset_of!(VggxMoments, maps) - 0usize];
    ["Offset of field: VggxMoments::bias"][::std::mem::offset_of!(VggxMoments, bias) - 80usize];
    ["Offset of field: VggxMoments::pilots"][::std::mem::offset_of!(VggxMoments, pilots) - 88usize];
    ["Offset of field: VggxMoments::counts"][::std::mem::offset_of!(VggxMoments, counts) - 96usize];
    ["Offset of field: VggxMoments::input_sums"][::std::mem::offset_of!(VggxMoments, input_sums) - 104usize];
    ["Offset of field: VggxMoments::partials"][::std::mem::offset_of!(VggxMoments, partials) - 112usize];
    ["Offset of field: VggxMoments::positive_x"][::std::mem::offset_of!(VggxMoments, positive_x) - 120usize];
    ["Offset of field: VggxMoments::positive_xy"]
        [::std::mem::offset_of!(VggxMoments, positive_xy) - 128usize];
    ["Offset of field: VggxMoments::negative_xy"]
        [::std::mem::offset_of!(VggxMoments, negative_xy) - 136usize];
    ["Offset of field: VggxMoments::chunk_positions"]
        [::std::mem::offset_of!(VggxMoments, chunk_positions) - 144usize];
    ["Offset of field: VggxMoments::chunks"][::std::mem::offset_of!(VggxMoments, chunks) - 148usize];
    ["Offset of field: VggxMoments::stages"][::std::mem::offset_of!(VggxMoments, stages) - 152usize];
    ["Offset of field: VggxMoments::reserved"][::std::mem::offset_of!(VggxMoments, reserved) - 156usize];
};
#[repr(C)]
#[repr(align(128))]
#[derive(Debug, Copy, Clone, PartialEq)]
pub struct VggxHopperMoments {
    pub input: VggxTensorMap,
    pub pre_activation: VggxTensorMap,
    pub tile_width_log2: i32,
    pub tile_height_log2: i32,
    pub tile_images_log2: i32,
    pub images_between: i32,
    pub layer: VggxMoments,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxHopperMoments"][::std::mem::size_of::<VggxHopperMoments>() - 512usize];
    ["Alignment of VggxHopperMoments"][::std::mem::align_of::<VggxHopperMoments>() - 128usize];
    ["Offset of field: VggxHopperMoments::input"][::std::mem::offset_of!(VggxHopperMoments, input) - 0usize];
    ["Offset of field: VggxHopperMoments::pre_activation"]
        [::std::mem::offset_of!(VggxHopperMoments, pre_activation) - 128usize];
    ["Offset of field: VggxHopperMoments::tile_width_log2"]
        [::std::mem::offset_of!(VggxHopperMoments, tile_width_log2) - 256usize];
    ["Offset of field: VggxHopperMoments::tile_height_log2"]
        [::std::mem::offset_of!(VggxHopperMoments, tile_height_log2) - 260usize];
    ["Offset of field: VggxHopperMoments::tile_images_log2"]
        [::std::mem::offset_of!(VggxHopperMoments, tile_images_log2) - 264usize];
    ["Offset of field: VggxHopperMoments::images_between"]
        [::std::mem::offset_of!(VggxHopperMoments, images_between) - 268usize];
    ["Offset of field: VggxHopperMoments::layer"]
        [::std::mem::offset_of!(VggxHopperMoments, layer) - 272usize];
};
impl Default for VggxHopperMoments {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxAveragePool {
    pub input: vggx_address,
    pub input_scale: VggxScale,
    pub bound: f32,
    pub images: i32,
    pub height: i32,
    pub width: i32,
    pub channels: i32,
    pub side: i32,
    pub output: vggx_address,
    pub below: VggxBelow,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxAveragePool"][::std::mem::size_of::<VggxAveragePool>() - 112usize];
    ["Alignment of VggxAveragePool"][::std::mem::align_of::<VggxAveragePool>() - 8usize];
    ["Offset of field: VggxAveragePool::input"][::std::mem::offset_of!(VggxAveragePool, input) - 0usize];
    ["Offset of field: VggxAveragePool::input_scale"]
        [::std::mem::offset_of!(VggxAveragePool, input_scale) - 8usize];
    ["Offset of field: VggxAveragePool::bound"][::std::mem::offset_of!(VggxAveragePool, bound) - 24usize];
    ["Offset of field: VggxAveragePool::images"][::std::mem::offset_of!(VggxAveragePool, images) - 28usize];
    ["Offset of field: VggxAveragePool::height"][::std::mem::offset_of!(VggxAveragePool, height) - 32usize];
    ["Offset of field: VggxAveragePool::width"][::std::mem::offset_of!(VggxAveragePool, width) - 36usize];
    ["Offset of field: VggxAveragePool::channels"]
        [::std::mem::offset_of!(VggxAveragePool, channels) - 40usize];
    ["Offset of field: VggxAveragePool::side"][::std::mem::offset_of!(VggxAveragePool, side) - 44usize];
    ["Offset of field: VggxAveragePool::output"][::std::mem::offset_of!(VggxAveragePool, output) - 48usize];
    ["Offset of field: VggxAveragePool::below"][::std::mem::offset_of!(VggxAveragePool, below) - 56usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxUnpool {
    pub input: vggx_address,
    pub input_scale: VggxScale,
    pub images: i32,
    pub height: i32,
    pub width: i32,
    pub channels: i32,
    pub below: VggxBelow,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxUnpool"][::std::mem::size_of::<VggxUnpool>() - 96usize];
    ["Alignment of VggxUnpool"][::std::mem::align_of::<VggxUnpool>() - 8usize];
    ["Offset of field: VggxUnpool::input"][::std::mem::offset_of!(VggxUnpool, input) - 0usize];
    ["Offset of field: VggxUnpool::input_scale"][::std::mem::offset_of!(VggxUnpool, input_scale) - 8usize];
    ["Offset of field: VggxUnpool::images"][::std::mem::offset_of!(VggxUnpool, images) - 24usize];
    ["Offset of field: VggxUnpool::height"][::std::mem::offset_of!(VggxUnpool, height) - 28usize];
    ["Offset of field: VggxUnpool::width"][::std::mem::offset_of!(VggxUnpool, width) - 32usize];
    ["Offset of field: VggxUnpool::channels"][::std::mem::offset_of!(VggxUnpool, channels) - 36usize];
    ["Offset of field: VggxUnpool::below"][::std::mem::offset_of!(VggxUnpool, below) - 40usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxChannelSums {
    pub input: vggx_address,
    pub output: vggx_address,
    pub images: i32,
    pub positions: i32,
    pub channels: i32,
    pub reserved: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxChannelSums"][::std::mem::size_of::<VggxChannelSums>() - 32usize];
    ["Alignment of VggxChannelSums"][::std::mem::align_of::<VggxChannelSums>() - 8usize];
    ["Offset of field: VggxChannelSums::input"][::std::mem::offset_of!(VggxChannelSums, input) - 0usize];
    ["Offset of field: VggxChannelSums::output"][::std::mem::offset_of!(VggxChannelSums, output) - 8usize];
    ["Offset of field: VggxChannelSums::images"][::std::mem::offset_of!(VggxChannelSums, images) - 16usize];
    ["Offset of field: VggxChannelSums::positions"]
        [::std::mem::offset_of!(VggxChannelSums, positions) - 20usize];
    ["Offset of field: VggxChannelSums::channels"]
        [::std::mem::offset_of!(VggxChannelSums, channels) - 24usize];
    ["Offset of field: VggxChannelSums::reserved"]
        [::std::mem::offset_of!(VggxChannelSums, reserved) - 28usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxStart {
    pub targets: vggx_address,
    pub activations: vggx_address,
    pub activations_scale: VggxScale,
    pub output: vggx_address,
    pub output_scale: VggxScale,
    pub images: i32,
    pub positions: i32,
    pub channels: i32,
    pub reserved: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxStart"][::std::mem::size_of::<VggxStart>() - 72usize];
    ["Alignment of VggxStart"][::std::mem::align_of::<VggxStart>() - 8usize];
    ["Offset of field: VggxStart::targets"][::std::mem::offset_of!(VggxStart, targets) - 0usize];
    ["Offset of field: VggxStart::activations"][::std::mem::offset_of!(VggxStart, activations) - 8usize];
    ["Offset of field: VggxStart::activations_scale"]
        [::std::mem::offset_of!(VggxStart, activations_scale) - 16usize];
    ["Offset of field: VggxStart::output"][::std::mem::offset_of!(VggxStart, output) - 32usize];
    ["Offset of field: VggxStart::output_scale"][::std::mem::offset_of!(VggxStart, output_scale) - 40usize];
    ["Offset of field: VggxStart::images"][::std::mem::offset_of!(VggxStart, images) - 56usize];
    ["Offset of field: VggxStart::positions"][::std::mem::offset_of!(VggxStart, positions) - 60usize];
    ["Offset of field: VggxStart::channels"][::std::mem::offset_of!(VggxStart, channels) - 64usize];
    ["Offset of field: VggxStart::reserved"][::std::mem::offset_of!(VggxStart, reserved) - 68usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxOutput {
    pub values: vggx_address,
    pub scale: VggxScale,
    pub factors: vggx_address,
    pub heat_map: vggx_address,
    pub exponents: vggx_address,
    pub images: i32,
    pub positions: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxOutput"][::std::mem::size_of::<VggxOutput>() - 56usize];
    ["Alignment of VggxOutput"][::std::mem::align_of::<VggxOutput>() - 8usize];
    ["Offset of field: VggxOutput::values"][::std::mem::offset_of!(VggxOutput, values) - 0usize];
    ["Offset of field: VggxOutput::scale"][::std::mem::offset_of!(VggxOutput, scale) - 8usize];
    ["Offset of field: VggxOutput::factors"][::std::mem::offset_of!(VggxOutput, factors) - 24usize];
    ["Offset of field: VggxOutput::heat_map"][::std::mem::offset_of!(VggxOutput, heat_map) - 32usize];
    ["Offset of field: VggxOutput::exponents"][::std::mem::offset_of!(VggxOutput, exponents) - 40usize];
    ["Offset of field: VggxOutput::images"][::std::mem::offset_of!(VggxOutput, images) - 48usize];
    ["Offset of field: VggxOutput::positions"][::std::mem::offset_of!(VggxOutput, positions) - 52usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxDeliver {
    pub values: vggx_address,
    pub exponents: vggx_address,
    pub joins: vggx_address,
    pub bits: vggx_address,
    pub destinations: vggx_address,
    pub scales: vggx_address,
    pub images: i32,
    pub channels: i32,
    pub positions: i32,
    pub reversed: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxDeliver"][::std::mem::size_of::<VggxDeliver>() - 64usize];
    ["Alignment of VggxDeliver"][::std::mem::align_of::<VggxDeliver>() - 8usize];
    ["Offset of field: VggxDeliver::values"][::std::mem::offset_of!(VggxDeliver, values) - 0usize];
    ["Offset of field: VggxDeliver::exponents"][::std::mem::offset_of!(VggxDeliver, exponents) - 8usize];
    ["Offset of field: VggxDeliver::joins"][::std::mem::offset_of!(VggxDeliver, joins) - 16usize];
    ["Offset of field: VggxDeliver::bits"][::std::mem::offset_of!(VggxDeliver, bits) - 24usize];
    ["Offset of field: VggxDeliver::destinations"]
        [::std::mem::offset_of!(VggxDeliver, destinations) - 32usize];
    ["Offset of field: VggxDeliver::scales"][::std::mem::offset_of!(VggxDeliver, scales) - 40usize];
    ["Offset of field: VggxDeliver::images"][::std::mem::offset_of!(VggxDeliver, images) - 48usize];
    ["Offset of field: VggxDeliver::channels"][::std::mem::offset_of!(VggxDeliver, channels) - 52usize];
    ["Offset of field: VggxDeliver::positions"][::std::mem::offset_of!(VggxDeliver, positions) - 56usize];
    ["Offset of field: VggxDeliver::reversed"][::std::mem::offset_of!(VggxDeliver, reversed) - 60usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxPrepareOperator {
    pub first: vggx_address,
    pub second: vggx_address,
    pub neuron_scales: vggx_address,
    pub destination: vggx_address,
    pub first_type: i32,
    pub second_type: i32,
    pub layout: i32,
    pub shift: i32,
    pub outputs: i32,
    pub inputs: i32,
    pub taps: i32,
    pub flatten: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxPrepareOperator"][::std::mem::size_of::<VggxPrepareOperator>() - 64usize];
    ["Alignment of VggxPrepareOperator"][::std::mem::align_of::<VggxPrepareOperator>() - 8usize];
    ["Offset of field: VggxPrepareOperator::first"]
        [::std::mem::offset_of!(VggxPrepareOperator, first) - 0usize];
    ["Offset of field: VggxPrepareOperator::second"]
        [::std::mem::offset_of!(VggxPrepareOperator, second) - 8usize];
    ["Offset of field: VggxPrepareOperator::neuron_scales"]
        [::std::mem::offset_of!(VggxPrepareOperator, neuron_scales) - 16usize];
    ["Offset of field: VggxPrepareOperator::destination"]
        [::std::mem::offset_of!(VggxPrepareOperator, destination) - 24usize];
    ["Offset of field: VggxPrepareOperator::first_type"]
        [::std::mem::offset_of!(VggxPrepareOperator, first_type) - 32usize];
    ["Offset of field: VggxPrepareOperator::second_type"]
        [::std::mem::offset_of!(VggxPrepareOperator, second_type) - 36usize];
    ["Offset of field: VggxPrepareOperator::layout"]
        [::std::mem::offset_of!(VggxPrepareOperator, layout) - 40usize];
    ["Offset of field: VggxPrepareOperator::shift"]
        [::std::mem::offset_of!(VggxPrepareOperator, shift) - 44usize];
    ["Offset of field: VggxPrepareOperator::outputs"]
        [::std::mem::offset_of!(VggxPrepareOperator, outputs) - 48usize];
    ["Offset of field: VggxPrepareOperator::inputs"]
        [::std::mem::offset_of!(VggxPrepareOperator, inputs) - 52usize];
    ["Offset of field: VggxPrepareOperator::taps"]
        [::std::mem::offset_of!(VggxPrepareOperator, taps) - 56usize];
    ["Offset of field: VggxPrepareOperator::flatten"]
        [::std::mem::offset_of!(VggxPrepareOperator, flatten) - 60usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxOperatorBound {
    pub operator_: vggx_address,
    pub bound: vggx_address,
    pub rows: i32,
    pub depth: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxOperatorBound"][::std::mem::size_of::<VggxOperatorBound>() - 24usize];
    ["Alignment of VggxOperatorBound"][::std::mem::align_of::<VggxOperatorBound>() - 8usize];
    ["Offset of field: VggxOperatorBound::operator_"]
        [::std::mem::offset_of!(VggxOperatorBound, operator_) - 0usize];
    ["Offset of field: VggxOperatorBound::bound"][::std::mem::offset_of!(VggxOperatorBound, bound) - 8usize];
    ["Offset of field: VggxOperatorBound::rows"][::std::mem::offset_of!(VggxOperatorBound, rows) - 16usize];
    ["Offset of field: VggxOperatorBound::depth"][::std::mem::offset_of!(VggxOperatorBound, depth) - 20usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxSecondMaps {
    pub input: vggx_address,
    pub factors: vggx_address,
    pub common: vggx_address,
    pub sums: vggx_address,
    pub images: i32,
    pub height: i32,
    pub width: i32,
    pub channels: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxSecondMaps"][::std::mem::size_of::<VggxSecondMaps>() - 48usize];
    ["Alignment of VggxSecondMaps"][::std::mem::align_of::<VggxSecondMaps>() - 8usize];
    ["Offset of field: VggxSecondMaps::input"][::std::mem::offset_of!(VggxSecondMaps, input) - 0usize];
    ["Offset of field: VggxSecondMaps::factors"][::std::mem::offset_of!(VggxSecondMaps, factors) - 8usize];
    ["Offset of field: VggxSecondMaps::common"][::std::mem::offset_of!(VggxSecondMaps, common) - 16usize];
    ["Offset of field: VggxSecondMaps::sums"][::std::mem::offset_of!(VggxSecondMaps, sums) - 24usize];
    ["Offset of field: VggxSecondMaps::images"][::std::mem::offset_of!(VggxSecondMaps, images) - 32usize];
    ["Offset of field: VggxSecondMaps::height"][::std::mem::offset_of!(VggxSecondMaps, height) - 36usize];
    ["Offset of field: VggxSecondMaps::width"][::std::mem::offset_of!(VggxSecondMaps, width) - 40usize];
    ["Offset of field: VggxSecondMaps::channels"][::std::mem::offset_of!(VggxSecondMaps, channels) - 44usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxSecondRegions {
    pub maps: VggxSecondMaps,
    pub partials: vggx_address,
    pub pilots: vggx_address,
    pub regions: vggx_address,
    pub slice_images: i32,
    pub slices: i32,
    pub planes: i32,
    pub pilot_bits: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxSecondRegions"][::std::mem::size_of::<VggxSecondRegions>() - 88usize];
    ["Alignment of VggxSecondRegions"][::std::mem::align_of::<VggxSecondRegions>() - 8usize];
    ["Offset of field: VggxSecondRegions::maps"][::std::mem::offset_of!(VggxSecondRegions, maps) - 0usize];
    ["Offset of field: VggxSecondRegions::partials"]
        [::std::mem::offset_of!(VggxSecondRegions, partials) - 48usize];
    ["Offset of field: VggxSecondRegions::pilots"]
        [::std::mem::offset_of!(VggxSecondRegions, pilots) - 56usize];
    ["Offset of field: VggxSecondRegions::regions"]
        [::std::mem::offset_of!(VggxSecondRegions, regions) - 64usize];
    ["Offset of field: VggxSecondRegions::slice_images"]
        [::std::mem::offset_of!(VggxSecondRegions, slice_images) - 72usize];
    ["Offset of field: VggxSecondRegions::slices"]
        [::std::mem::offset_of!(VggxSecondRegions, slices) - 76usize];
    ["Offset of field: VggxSecondRegions::planes"]
        [::std::mem::offset_of!(VggxSecondRegions, planes) - 80usize];
    ["Offset of field: VggxSecondRegions::pilot_bits"]
        [::std::mem::offset_of!(VggxSecondRegions, pilot_bits) - 84usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxSecondView {
    pub rows: i32,
    pub length: i32,
    pub start: i32,
    pub row_stride: i32,
    pub position_stride: i32,
    pub reach: i32,
    pub lags: i32,
    pub plane: i32,
    pub line: i32,
    pub positions: i32,
    pub chunks: i32,
    pub block: i32,
    pub partial: i64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxSecondView"][::std::mem::size_of::<VggxSecondView>() - 56usize];
    ["Alignment of VggxSecondView"][::std::mem::align_of::<VggxSecondView>() - 8usize];
    ["Offset of field: VggxSecondView::rows"][::std::mem::offset_of!(VggxSecondView, rows) - 0usize];
    ["Offset of field: VggxSecondView::length"][::std::mem::offset_of!(VggxSecondView, length) - 4usize];
    ["Offset of field: VggxSecondView::start"][::std::mem::offset_of!(VggxSecondView, start) - 8usize];
    ["Offset of field: VggxSecondView::row_stride"]
        [::std::mem::offset_of!(VggxSecondView, row_stride) - 12usize];
    ["Offset of field: VggxSecondView::position_stride"]
        [::std::mem::offset_of!(VggxSecondView, position_stride) - 16usize];
    ["Offset of field: VggxSecondView::reach"][::std::mem::offset_of!(VggxSecondView, reach) - 20usize];
    ["Offset of field: VggxSecondView::lags"][::std::mem::offset_of!(VggxSecondView, lags) - 24usize];
    ["Offset of field: VggxSecondView::plane"][::std::mem::offset_of!(VggxSecondView, plane) - 28usize];
    ["Offset of field: VggxSecondView::line"][::std::mem::offset_of!(VggxSecondView, line) - 32usize];
    ["Offset of field: VggxSecondView::positions"]
        [::std::mem::offset_of!(VggxSecondView, positions) - 36usize];
    ["Offset of field: VggxSecondView::chunks"][::std::mem::offset_of!(VggxSecondView, chunks) - 40usize];
    ["Offset of field: VggxSecondView::block"][::std::mem::offset_of!(VggxSecondView, block) - 44usize];
    ["Offset of field: VggxSecondView::partial"][::std::mem::offset_of!(VggxSecondView, partial) - 48usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxSecondPass {
    pub maps: VggxSecondMaps,
    pub pilots: vggx_address,
    pub regions: vggx_address,
    pub lines: vggx_address,
    pub partials: vggx_address,
    pub planes: vggx_address,
    pub first_image: i32,
    pub images: i32,
    pub line_positions: i32,
    pub line_channels: i32,
    pub stages: i32,
    pub views: i32,
    pub view: [VggxSecondView; 9usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxSecondPass"][::std::mem::size_of::<VggxSecondPass>() - 616usize];
    ["Alignment of VggxSecondPass"][::std::mem::align_of::<VggxSecondPass>() - 8usize];
    ["Offset of field: VggxSecondPass::maps"][::std::mem::offset_of!(VggxSecondPass, maps) - 0usize];
    ["Offset of field: VggxSecondPass::pilots"][::std::mem::offset_of!(VggxSecondPass, pilots) - 48usize];
    ["Offset of field: VggxSecondPass::regions"][::std::mem::offset_of!(VggxSecondPass, regions) - 56usize];
    ["Offset of field: VggxSecondPass::lines"][::std::mem::offset_of!(VggxSecondPass, lines) - 64usize];
    ["Offset of field: VggxSecondPass::partials"][::std::mem::offset_of!(VggxSecondPass, partials) - 72usize];
    ["Offset of field: VggxSecondPass::planes"][::std::mem::offset_of!(VggxSecondPass, planes) - 80usize];
    ["Offset of field: VggxSecondPass::first_image"]
        [::std::mem::offset_of!(VggxSecondPass, first_image) - 88usize];
    ["Offset of field: VggxSecondPass::images"][::std::mem::offset_of!(VggxSecondPass, images) - 92usize];
    ["Offset of field: VggxSecondPass::line_positions"]
        [::std::mem::offset_of!(VggxSecondPass, line_positions) - 96usize];
    ["Offset of field: VggxSecondPass::line_channels"]
        [::std::mem::offset_of!(VggxSecondPass, line_channels) - 100usize];
    ["Offset of field: VggxSecondPass::stages"][::std::mem::offset_of!(VggxSecondPass, stages) - 104usize];
    ["Offset of field: VggxSecondPass::views"][::std::mem::offset_of!(VggxSecondPass, views) - 108usize];
    ["Offset of field: VggxSecondPass::view"][::std::mem::offset_of!(VggxSecondPass, view) - 112usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxSecondDense {
    pub maps: VggxSecondMaps,
    pub pilots: vggx_address,
    pub regions: vggx_address,
    pub lines: vggx_address,
    pub triangle: vggx_address,
    pub images: i32,
    pub stages: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxSecondDense"][::std::mem::size_of::<VggxSecondDense>() - 88usize];
    ["Alignment of VggxSecondDense"][::std::mem::align_of::<VggxSecondDense>() - 8usize];
    ["Offset of field: VggxSecondDense::maps"][::std::mem::offset_of!(VggxSecondDense, maps) - 0usize];
    ["Offset of field: VggxSecondDense::pilots"][::std::mem::offset_of!(VggxSecondDense, pilots) - 48usize];
    ["Offset of field: VggxSecondDense::regions"][::std::mem::offset_of!(VggxSecondDense, regions) - 56usize];
    ["Offset of field: VggxSecondDense::lines"][::std::mem::offset_of!(VggxSecondDense, lines) - 64usize];
    ["Offset of field: VggxSecondDense::triangle"]
        [::std::mem::offset_of!(VggxSecondDense, triangle) - 72usize];
    ["Offset of field: VggxSecondDense::images"][::std::mem::offset_of!(VggxSecondDense, images) - 80usize];
    ["Offset of field: VggxSecondDense::stages"][::std::mem::offset_of!(VggxSecondDense, stages) - 84usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxPatches {
    pub values: vggx_address,
    pub means: vggx_address,
    pub sums: vggx_address,
    pub ranks: vggx_address,
    pub maps: i32,
    pub height: i32,
    pub width: i32,
    pub side: i32,
    pub absolute: i32,
    pub least_first: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxPatches"][::std::mem::size_of::<VggxPatches>() - 56usize];
    ["Alignment of VggxPatches"][::std::mem::align_of::<VggxPatches>() - 8usize];
    ["Offset of field: VggxPatches::values"][::std::mem::offset_of!(VggxPatches, values) - 0usize];
    ["Offset of field: VggxPatches::means"][::std::mem::offset_of!(VggxPatches, means) - 8usize];
    ["Offset of field: VggxPatches::sums"][::std::mem::offset_of!(VggxPatches, sums) - 16usize];
    ["Offset of field: VggxPatches::ranks"][::std::mem::offset_of!(VggxPatches, ranks) - 24usize];
    ["Offset of field: VggxPatches::maps"][::std::mem::offset_of!(VggxPatches, maps) - 32usize];
    ["Offset of field: VggxPatches::height"][::std::mem::offset_of!(VggxPatches, height) - 36usize];
    ["Offset of field: VggxPatches::width"][::std::mem::offset_of!(VggxPatches, width) - 40usize];
    ["Offset of field: VggxPatches::side"][::std::mem::offset_of!(VggxPatches, side) - 44usize];
    ["Offset of field: VggxPatches::absolute"][::std::mem::offset_of!(VggxPatches, absolute) - 48usize];
    ["Offset of field: VggxPatches::least_first"][::std::mem::offset_of!(VggxPatches, least_first) - 52usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxAlteredCopy {
    pub image: i32,
    pub first: u32,
    pub end: u32,
    pub reserved: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxAlteredCopy"][::std::mem::size_of::<VggxAlteredCopy>() - 16usize];
    ["Alignment of VggxAlteredCopy"][::std::mem::align_of::<VggxAlteredCopy>() - 4usize];
    ["Offset of field: VggxAlteredCopy::image"][::std::mem::offset_of!(VggxAlteredCopy, image) - 0usize];
    ["Offset of field: VggxAlteredCopy::first"][::std::mem::offset_of!(VggxAlteredCopy, first) - 4usize];
    ["Offset of field: VggxAlteredCopy::end"][::std::mem::offset_of!(VggxAlteredCopy, end) - 8usize];
    ["Offset of field: VggxAlteredCopy::reserved"]
        [::std::mem::offset_of!(VggxAlteredCopy, reserved) - 12usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq)]
pub struct VggxReplacePatches {
    pub images: vggx_address,
    pub fillings: vggx_address,
    pub copies: vggx_address,
    pub ranks: vggx_address,
    pub output: vggx_address,
    pub height: i32,
    pub width: i32,
    pub side: i32,
    pub reserved: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of VggxReplacePatches"][::std::mem::size_of::<VggxReplacePatches>() - 56usize];
    ["Alignment of VggxReplacePatches"][::std::mem::align_of::<VggxReplacePatches>() - 8usize];
    ["Offset of field: VggxReplacePatches::images"]
        [::std::mem::offset_of!(VggxReplacePatches, images) - 0usize];
    ["Offset of field: VggxReplacePatches::fillings"]
        [::std::mem::offset_of!(VggxReplacePatches, fillings) - 8usize];
    ["Offset of field: VggxReplacePatches::copies"]
        [::std::mem::offset_of!(VggxReplacePatches, copies) - 16usize];
    ["Offset of field: VggxReplacePatches::ranks"]
        [::std::mem::offset_of!(VggxReplacePatches, ranks) - 24usize];
    ["Offset of field: VggxReplacePatches::output"]
        [::std::mem::offset_of!(VggxReplacePatches, output) - 32usize];
    ["Offset of field: VggxReplacePatches::height"]
        [::std::mem::offset_of!(VggxReplacePatches, height) - 40usize];
    ["Offset of field: VggxReplacePatches::width"]
        [::std::mem::offset_of!(VggxReplacePatches, width) - 44usize];
    ["Offset of field: VggxReplacePatches::side"][::std::mem::offset_of!(VggxReplacePatches, side) - 48usize];
    ["Offset of field: VggxReplacePatches::reserved"]
        [::std::mem::offset_of!(VggxReplacePatches, reserved) - 52usize];
};

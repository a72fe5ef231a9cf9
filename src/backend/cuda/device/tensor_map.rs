//! Tensors in device memory as the copy engine of Hopper takes them.

use super::error::{DeviceError, check};
use crate::backend::cuda::params::VggxTensorMap;
use cudarc::driver::sys::{
    self, CUtensorMap, CUtensorMapDataType, CUtensorMapFloatOOBfill, CUtensorMapInterleave,
    CUtensorMapL2promotion, CUtensorMapSwizzle,
};
use std::ffi::c_void;

/// Describes a tensor of 16-bit elements, and the box of it that is copied at a time with a swizzle of 128 bytes: of every dimension,
/// from the innermost one on, the extent, the elements from one to the next, and the extent of the box. What a box reaches beyond the
/// tensor is zero. A device has been opened.
///
/// # Errors
/// When the driver refuses it: an address that is not a multiple of 16, rows that are not, an extent of the box above 256, rows of the
/// box wider than 128 bytes.
pub fn tensor_map<const RANK: usize>(
    address: u64,
    dimensions: [(usize, usize, usize); RANK],
) -> Result<VggxTensorMap, DeviceError> {
    // 16 bits, whatever they mean.
    encode(address, (CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_UINT16, 2), dimensions)
}

/// The same with elements of 8 bits.
///
/// # Errors
/// As [`tensor_map`].
pub fn tensor_map_of_bytes<const RANK: usize>(
    address: u64,
    dimensions: [(usize, usize, usize); RANK],
) -> Result<VggxTensorMap, DeviceError> {
    encode(address, (CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_UINT8, 1), dimensions)
}

/// Elements have a type and so many bytes.
fn encode<const RANK: usize>(
    address: u64,
    (element, bytes): (CUtensorMapDataType, u64),
    dimensions: [(usize, usize, usize); RANK],
) -> Result<VggxTensorMap, DeviceError> {
    let extents = dimensions.map(|(extent, _, _)| extent as u64);
    let strides = dimensions.map(|(_, elements, _)| elements as u64 * bytes);
    let box_extents = dimensions.map(|(_, _, extent)| u32::try_from(extent).unwrap_or(u32::MAX));
    let mut map = CUtensorMap { opaque: [0; 16] };
    // SAFETY: the arrays have as many numbers as the rank says; the tensor's memory is not touched.
    let code = unsafe {
        sys::cuTensorMapEncodeTiled(
            &mut map,
            element,
            RANK as u32,
            address as *mut c_void,
            extents.as_ptr(),
            // The innermost dimension has no stride.
            strides[1..].as_ptr(),
            box_extents.as_ptr(),
            [1u32; RANK].as_ptr(),
            CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
            CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
            CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
            CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    };
    check("cuTensorMapEncodeTiled", code)?;
    Ok(VggxTensorMap { words: map.opaque })
}

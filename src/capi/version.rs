//! What was built.

use std::ffi::c_char;

/// The version of the library, such as `"0.1.0"`. Valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn vggx_version() -> *const c_char {
    std::ptr::null()
}

/// What the library was built with, as a JSON object: `version`, `cuda_architectures` (those that CUDA kernels are compiled
/// for; empty in a build without CUDA) and `cpu` (the matrix kernels that this processor gets). Valid for ever; the driver
/// is not asked.
#[unsafe(no_mangle)]
pub extern "C" fn vggx_build_info() -> *const c_char {
    std::ptr::null()
}

/// The name of the method number `index`, from 0, or null past the last one. Valid for ever. The names are those of the
/// command line: `gradient`, `deconvnet`, `guided-backprop`, `patternnet`, `pattern-attribution`, `signal:E` and
/// `attribution:E` for each estimator E.
#[unsafe(no_mangle)]
pub extern "C" fn vggx_method_name(index: usize) -> *const c_char {
    let _ = index;
    std::ptr::null()
}

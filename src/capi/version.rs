//! What was built.

use crate::backend::cpu;
use crate::backend::cuda::architectures;
use crate::explain::Method;
use serde_json::json;
use std::ffi::{CString, c_char};
use std::sync::OnceLock;

/// The version of the library, such as `"0.1.0"`. Valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn vggx_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// What the library was built with, as a JSON object: `version`, `cuda_architectures` (those that CUDA kernels are compiled
/// for; empty in a build without CUDA) and `cpu` (the matrix kernels that this processor gets). Valid for ever; the driver
/// is not asked.
#[unsafe(no_mangle)]
pub extern "C" fn vggx_build_info() -> *const c_char {
    static INFO: OnceLock<CString> = OnceLock::new();
    let make = || {
        let info = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "cuda_architectures": architectures(),
            "cpu": cpu::instructions(),
        });
        CString::new(info.to_string()).unwrap_or_default()
    };
    INFO.get_or_init(make).as_ptr()
}

/// The name of the method number `index`, from 0, or null past the last one. Valid for ever. The names are those of the
/// command line: `gradient`, `deconvnet`, `guided-backprop`, `patternnet`, `pattern-attribution`, `signal:E` and
/// `attribution:E` for each estimator E.
#[unsafe(no_mangle)]
pub extern "C" fn vggx_method_name(index: usize) -> *const c_char {
    static NAMES: OnceLock<Vec<CString>> = OnceLock::new();
    let make = || {
        let names = Method::all().into_iter().map(|method| CString::new(method.to_string()));
        names.map(Result::unwrap_or_default).collect()
    };
    NAMES.get_or_init(make).get(index).map_or(std::ptr::null(), |name| name.as_ptr())
}

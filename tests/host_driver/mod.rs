//! Host execution in tests: a `libcuda.so.1` that runs the kernels on the CPU (`kernels/host/`) in place of NVIDIA's driver.
//!
//! In this process, [`load`] before anything asks for the driver: the loader then finds the names `libcuda.so` and
//! `libcuda.so.1` among the libraries that are loaded already. Child processes get [`folder`] as `LD_LIBRARY_PATH`.
//! `VGGX_TEST_DEVICE=cuda` leaves both to the machine's own driver.

#![allow(dead_code)] // each test uses a part of it

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

const RTLD_NOW: c_int = 2;
const RTLD_GLOBAL: c_int = 0x100;

/// A library that stays loaded until the process ends.
#[derive(Clone, Copy)]
pub struct Library(*mut c_void);

// SAFETY: a handle of the loader, which any thread may use.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    fn open(path: &Path) -> Self {
        let name = CString::new(path.as_os_str().as_bytes()).expect("a path without a null byte");
        // SAFETY: the name is a C string; the library's constructors only register kernels.
        let handle = unsafe { dlopen(name.as_ptr(), RTLD_NOW | RTLD_GLOBAL) };
        if handle.is_null() {
            // SAFETY: dlopen has just failed, so there is a message.
            let message = unsafe { CStr::from_ptr(dlerror()) };
            panic!("{} does not load: {}", path.display(), message.to_string_lossy());
        }
        Self(handle)
    }

    /// The address of a function.
    pub fn symbol(self, name: &str) -> *mut c_void {
        let c_name = CString::new(name).expect("a name without a null byte");
        // SAFETY: the handle is never closed.
        let address = unsafe { dlsym(self.0, c_name.as_ptr()) };
        assert!(!address.is_null(), "the driver has no {name}");
        address
    }

    /// Sets one of the variables of `kernels/host/driver.cpp` in this process.
    pub fn configure(self, name: &str, value: &str) {
        // SAFETY: the function has this type.
        let configure: unsafe extern "C" fn(*const c_char, *const c_char) -> c_int =
            unsafe { std::mem::transmute(self.symbol("vggx_host_configure")) };
        let (c_name, c_value) = (CString::new(name).expect("a name"), CString::new(value).expect("a value"));
        // SAFETY: two C strings, read before the call returns.
        assert_ne!(
            unsafe { configure(c_name.as_ptr(), c_value.as_ptr()) },
            0,
            "{name}={value} is not understood"
        );
    }

    /// The line that host execution printed last: what was wrong with a kernel, and where.
    pub fn last_report(self) -> String {
        // SAFETY: the function has this type, and gives a C string.
        unsafe {
            let report: unsafe extern "C" fn() -> *const c_char =
                std::mem::transmute(self.symbol("vggx_host_last_report"));
            CStr::from_ptr(report()).to_string_lossy().into_owned()
        }
    }

    /// How many allocations, streams, events, modules and graphs exist.
    pub fn live(self) -> usize {
        // SAFETY: the function has this type.
        unsafe {
            let live: unsafe extern "C" fn() -> usize = std::mem::transmute(self.symbol("vggx_host_live"));
            live()
        }
    }
}

/// True when tests are to run on a real device.
pub fn on_device() -> bool {
    std::env::var_os("VGGX_TEST_DEVICE").is_some_and(|device| device == "cuda")
}

/// Builds host execution (`scripts/host-driver FLAVOUR KERNELS`; nothing where it is up to date) and gives the folder.
pub fn build(flavour: &str, kernels: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/host-driver");
    // A compiler need not run under what this process was started with.
    let mut command = Command::new(&script);
    command.args([flavour, kernels]).env_remove("LD_PRELOAD").env_remove("LD_LIBRARY_PATH");
    let output = command.output().expect("bash runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{} {flavour} {kernels} failed:\n{stdout}{stderr}", script.display());
    PathBuf::from(stdout.lines().last().expect("the script prints the folder"))
}

/// The flavour that tests run with: `VGGX_HOST_FLAVOUR`, or `plain`.
pub fn flavour() -> String {
    std::env::var("VGGX_HOST_FLAVOUR").unwrap_or_else(|_| "plain".into())
}

/// Whether sanitizers watch the kernels, which then take several times as long.
pub fn is_sanitized() -> bool {
    !on_device() && flavour() == "sanitized"
}

/// The folder of the product's kernels, for `LD_LIBRARY_PATH`; none on a real device. Built once a process.
pub fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER.get_or_init(|| (!on_device()).then(|| build(&flavour(), "product"))).as_deref()
}

/// Makes the product's kernels this process's CUDA driver; none on a real device, where the machine's driver stays.
pub fn load() -> Option<Library> {
    static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
    *LIBRARY.get_or_init(|| folder().map(load_from))
}

/// Makes what [`build`] built this process's CUDA driver. Only one can be.
pub fn load_from(folder: &Path) -> Library {
    // The other name's library is only a name: it brings this one along.
    let library = Library::open(&folder.join("libcuda.so.1"));
    Library::open(&folder.join("libcuda.so"));
    library
}

/// A command whose program finds host execution as its CUDA driver.
pub fn with_driver(command: &mut Command) -> &mut Command {
    match folder() {
        Some(folder) => command.env("LD_LIBRARY_PATH", folder),
        None => command,
    }
}

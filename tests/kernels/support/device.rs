//! The device that kernels are tested on: host execution, or the GPU of the installed driver.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use vggx::backend::cuda::device::{Device, DeviceMemory, LaunchSize, Plain, Stream};

/// Memory on the device.
pub struct Buffer {
    memory: DeviceMemory,
}

impl Buffer {
    /// As parameters take it.
    pub fn address(&self) -> u64 {
        self.memory.address()
    }
}

/// An open device with one stream.
pub struct Gpu {
    device: Device,
    stream: Stream,
    configure: Option<Configure>,
}

type Configure = unsafe extern "C" fn(*const c_char, *const c_char) -> c_int;

/// The device, opened at first use.
pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let configure =
            (std::env::var_os("VGGX_TEST_DRIVER").is_none_or(|driver| driver != "system")).then(host_driver);
        let device = Device::open(0).expect("the device opens");
        let stream = device.stream().expect("a stream");
        Gpu { device, stream, configure }
    })
}

/// Loads host execution before anything asks for a driver: a library of that name is loaded already then.
fn host_driver() -> Configure {
    unsafe extern "C" {
        fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
        fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    const NOW_AND_FOR_ALL: c_int = 0x102;
    let folder = host_driver_folder();
    let open = |name: &str| {
        let path = CString::new(folder.join(name).to_str().expect("UTF-8")).expect("a path");
        // SAFETY: a library of this repository, which lives until the process ends.
        let library = unsafe { dlopen(path.as_ptr(), NOW_AND_FOR_ALL) };
        assert!(!library.is_null(), "cannot load {path:?}");
        library
    };
    let library = open("libcuda.so.1");
    open("libcuda.so");
    // SAFETY: the library is loaded.
    let configure = unsafe { dlsym(library, c"vggx_host_configure".as_ptr()) };
    assert!(!configure.is_null(), "{} is not host execution", folder.display());
    // SAFETY: kernels/host/driver.cpp declares it so.
    unsafe { std::mem::transmute::<*mut c_void, Configure>(configure) }
}

/// `VGGX_HOST_DRIVER`, where a script has built it already, with a sanitizer for instance; else built here.
fn host_driver_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("VGGX_HOST_DRIVER") {
        return folder.into();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/host-driver");
    let output = Command::new(&script).output().expect("scripts/host-driver runs");
    assert!(output.status.success(), "scripts/host-driver: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().last().expect("a folder").into()
}

impl Gpu {
    /// Memory that holds the numbers.
    pub fn upload<T: Plain>(&self, values: &[T]) -> Buffer {
        let buffer = self.poisoned(size_of_val(values));
        self.stream.upload(&buffer.memory, 0, values).expect("upload");
        buffer
    }

    /// Memory of zeros.
    pub fn zeros(&self, bytes: usize) -> Buffer {
        let memory = self.device.allocate(bytes).expect("memory");
        self.stream.fill(&memory, 0).expect("fill");
        Buffer { memory }
    }

    /// Memory of a NaN in every type of element (-1 in integers), so that what a kernel does not write shows.
    pub fn poisoned(&self, bytes: usize) -> Buffer {
        let memory = self.device.allocate(bytes).expect("memory");
        self.stream.fill(&memory, 0xff).expect("fill");
        Buffer { memory }
    }

    /// The numbers that memory holds.
    pub fn download<T: Plain + Default>(&self, buffer: &Buffer) -> Vec<T> {
        let mut values = vec![T::default(); buffer.memory.bytes() / size_of::<T>()];
        self.stream.download(&mut values, &buffer.memory, 0).expect("download");
        values
    }

    /// Runs a kernel to its end.
    pub fn launch<P: Copy>(&self, name: &str, grid: [usize; 3], threads: u32, shared: usize, parameters: &P) {
        let grid = grid.map(|blocks| u32::try_from(blocks).expect("blocks"));
        let size = LaunchSize { grid, threads, shared: shared as u32 };
        let kernel = self.device.kernel(name).unwrap_or_else(|error| panic!("{error}"));
        // SAFETY: the tests give each kernel its structure and as much memory as that says; host execution checks it.
        unsafe { self.stream.launch(&kernel, size, parameters) }.unwrap_or_else(|error| panic!("{error}"));
        self.stream.synchronise().unwrap_or_else(|error| panic!("{name}, grid {grid:?}: {error}"));
    }

    /// Runs a test's launches with the threads of a block in several orders; the results must be the same to the last bit.
    pub fn in_every_order<R: PartialEq>(&self, what: &str, run: impl Fn() -> R) -> R {
        // The order is the whole process's.
        static ORDER: Mutex<()> = Mutex::new(());
        let _guard = ORDER.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(configure) = self.configure else {
            let result = run();
            assert!(result == run(), "{what}: another run gives other results");
            return result;
        };
        let in_order = |order: &str| {
            let order = CString::new(order).expect("no zero");
            // SAFETY: two strings that end with a zero.
            let known = unsafe { configure(c"VGGX_HOST_ORDER".as_ptr(), order.as_ptr()) };
            assert!(known != 0, "host execution does not know the order {order:?}");
            run()
        };
        let result = in_order("forward");
        for order in ["reverse", "shuffle:7"] {
            assert!(result == in_order(order), "{what}: threads in the order '{order}' give other results");
        }
        result
    }
}

//! The device that kernels are tested on: host execution, or the GPU of the installed driver.

use crate::host_driver::{self, Library};
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
    host: Option<Library>,
}

/// The device, opened at first use.
pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let host = host_driver::load();
        let device = Device::open(0).expect("the device opens");
        let stream = device.stream().expect("a stream");
        Gpu { device, stream, host }
    })
}

impl Gpu {
    /// Memory that holds the numbers.
    pub fn upload<T: Plain>(&self, values: &[T]) -> Buffer {
        let buffer = self.poisoned(size_of_val(values));
        self.stream.upload(&buffer.memory, 0, values).expect("upload");
        buffer
    }

    /// Whether kernels run on the processor.
    pub fn is_host(&self) -> bool {
        self.host.is_some()
    }

    /// Compute capability.
    pub fn capability(&self) -> (u32, u32) {
        self.device.description().capability
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
        self.stream.synchronise().unwrap_or_else(|error| {
            let report = self.host.map(Library::last_report).unwrap_or_default();
            panic!("{name}, grid {grid:?}: {error} {report}")
        });
    }

    /// Runs a test's launches with the threads of a block in several orders; the results must be the same to the last bit.
    pub fn in_every_order<R: PartialEq>(&self, what: &str, run: impl Fn() -> R) -> R {
        // The order is the whole process's.
        static ORDER: Mutex<()> = Mutex::new(());
        let _guard = ORDER.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(host) = self.host else {
            let result = run();
            assert!(result == run(), "{what}: another run gives other results");
            return result;
        };
        let in_order = |order: &str| {
            host.configure("VGGX_HOST_ORDER", order);
            run()
        };
        let result = in_order("forward");
        // Sanitizers watch addresses, and the same threads have the same ones in every order.
        let others: &[&str] = if host_driver::is_sanitized() { &[] } else { &["reverse", "shuffle:7"] };
        for order in others {
            assert!(result == in_order(order), "{what}: threads in the order '{order}' give other results");
        }
        result
    }
}

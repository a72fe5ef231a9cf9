//! Host execution itself (`kernels/host/`): kernels that are right give the right results in every order of the threads, each
//! deliberate mistake is found, and the driver keeps the rules of a real one. The kernels are in `kernels/host/tests/`.
#![cfg(target_os = "linux")]

mod hopper;
#[path = "../host_driver/mod.rs"]
mod host_driver;

use half::{bf16, f16};
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock};

const ORDERS: [&str; 4] = ["forward", "reverse", "shuffle:1", "shuffle:2"];

const INVALID_VALUE: c_int = 1;
const OUT_OF_MEMORY: c_int = 2;
const INVALID_CONTEXT: c_int = 201;
const NO_BINARY: c_int = 209;
const INVALID_HANDLE: c_int = 400;
const NOT_FOUND: c_int = 500;
const NOT_READY: c_int = 600;
const ILLEGAL_ADDRESS: c_int = 700;
const MISALIGNED: c_int = 716;
const LAUNCH_FAILED: c_int = 719;
const CAPTURE_UNSUPPORTED: c_int = 900;
const CAPTURE_UNJOINED: c_int = 904;

type Handle = *mut c_void;

struct Driver(host_driver::Library);

macro_rules! entry_points {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        #[allow(non_snake_case, clippy::too_many_arguments)]
        impl Driver {$(
            fn $name(&self, $($argument: $type),*) -> c_int {
                // SAFETY: the entry point has this type; pointers come from references and live buffers of the tests.
                unsafe {
                    let function: unsafe extern "C" fn($($type),*) -> c_int =
                        std::mem::transmute(self.0.symbol(stringify!($name)));
                    function($($argument),*)
                }
            }
        )*}
    };
}

entry_points! {
    cuInit(flags: c_uint);
    cuDriverGetVersion(version: &mut c_int);
    cuDeviceGetCount(count: &mut c_int);
    cuDeviceGetAttribute(value: &mut c_int, attribute: c_int, device: c_int);
    cuDevicePrimaryCtxRetain(context: &mut Handle, device: c_int);
    cuDevicePrimaryCtxRelease_v2(device: c_int);
    cuCtxSetCurrent(context: Handle);
    cuCtxGetCurrent(context: &mut Handle);
    cuCtxPushCurrent_v2(context: Handle);
    cuCtxPopCurrent_v2(context: &mut Handle);
    cuCtxCreate_v4(context: &mut Handle, parameters: Handle, flags: c_uint, device: c_int);
    cuCtxDestroy_v2(context: Handle);
    cuPointerGetAttributes(count: c_uint, attributes: *const c_int, values: *const Handle, address: u64);
    cuStreamGetCtx(stream: Handle, context: &mut Handle);
    cuCtxSynchronize();
    cuMemGetInfo_v2(free: &mut usize, total: &mut usize);
    cuMemAlloc_v2(address: &mut u64, bytes: usize);
    cuMemFree_v2(address: u64);
    cuMemHostAlloc(address: &mut Handle, bytes: usize, flags: c_uint);
    cuMemFreeHost(address: Handle);
    cuMemcpyHtoD_v2(destination: u64, source: *const c_void, bytes: usize);
    cuMemcpyDtoH_v2(destination: Handle, source: u64, bytes: usize);
    cuMemcpyHtoDAsync_v2(destination: u64, source: *const c_void, bytes: usize, stream: Handle);
    cuMemcpyDtoHAsync_v2(destination: Handle, source: u64, bytes: usize, stream: Handle);
    cuMemsetD32Async(address: u64, value: c_uint, count: usize, stream: Handle);
    cuStreamCreate(stream: &mut Handle, flags: c_uint);
    cuStreamSynchronize(stream: Handle);
    cuStreamQuery(stream: Handle);
    cuStreamWaitEvent(stream: Handle, event: Handle, flags: c_uint);
    cuStreamBeginCapture_v2(stream: Handle, mode: c_int);
    cuStreamEndCapture(stream: Handle, graph: &mut Handle);
    cuGraphInstantiateWithFlags(executable: &mut Handle, graph: Handle, flags: u64);
    cuGraphLaunch(executable: Handle, stream: Handle);
    cuEventCreate(event: &mut Handle, flags: c_uint);
    cuEventRecord(event: Handle, stream: Handle);
    cuEventElapsedTime_v2(milliseconds: &mut f32, start: Handle, end: Handle);
    cuModuleLoadData(module: &mut Handle, image: *const c_void);
    cuModuleGetFunction(function: &mut Handle, module: Handle, name: *const c_char);
    cuFuncSetAttribute(function: Handle, attribute: c_int, value: c_int);
    cuTensorMapEncodeTiled(map: *mut u64, element: c_uint, rank: c_uint, address: u64, extents: *const u64, strides: *const u64,
        box_extents: *const u32, element_strides: *const u32, interleave: c_uint, swizzle: c_uint, promotion: c_uint, fill: c_uint);
    cuLaunchKernel(function: Handle, grid_x: c_uint, grid_y: c_uint, grid_z: c_uint, block_x: c_uint, block_y: c_uint, block_z: c_uint,
        shared_bytes: c_uint, stream: Handle, parameters: *mut *mut c_void, extra: *mut *mut c_void);
}

/// As in `kernels/host/tests/params.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Multiply {
    a: u64,
    b: u64,
    c: u64,
    rows: i32,
    columns: i32,
    depth: i32,
    stages: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Arrays {
    input: u64,
    output: u64,
    count: i32,
    value: i32,
}

/// A pretended device with the default settings, for one test at a time. It is as new for each.
struct Device {
    driver: Driver,
    context: Handle,
    module: Handle,
    stream: Handle,
    _alone: MutexGuard<'static, ()>,
}

impl Device {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(settings: &[(&str, &str)]) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        static LIBRARY: OnceLock<host_driver::Library> = OnceLock::new();
        let alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let library = *LIBRARY
            .get_or_init(|| host_driver::load_from(&host_driver::build(&host_driver::flavour(), "tests")));
        let driver = Driver(library);
        for (name, value) in [
            ("VGGX_HOST_DEVICES", "1"),
            ("VGGX_HOST_MEMORY", "8589934592"),
            ("VGGX_HOST_CAPABILITY", "9.0"),
            ("VGGX_HOST_ORDER", "forward"),
            ("VGGX_HOST_FAIL", ""),
        ] {
            library.configure(name, value);
        }
        for (name, value) in settings {
            library.configure(name, value);
        }
        let mut device = Self {
            driver,
            context: std::ptr::null_mut(),
            module: std::ptr::null_mut(),
            stream: std::ptr::null_mut(),
            _alone: alone,
        };
        assert_eq!(device.driver.cuInit(0), 0);
        assert_eq!(device.driver.cuDevicePrimaryCtxRetain(&mut device.context, 0), 0);
        assert_eq!(device.driver.cuCtxSetCurrent(device.context), 0);
        device.driver.cuModuleLoadData(&mut device.module, c"image".as_ptr().cast());
        device.stream = device.new_stream();
        device
    }

    fn new_stream(&self) -> Handle {
        let mut stream = std::ptr::null_mut();
        assert_eq!(self.driver.cuStreamCreate(&mut stream, 1), 0);
        stream
    }

    fn new_event(&self) -> Handle {
        let mut event = std::ptr::null_mut();
        assert_eq!(self.driver.cuEventCreate(&mut event, 0), 0);
        event
    }

    fn allocate(&self, bytes: usize) -> u64 {
        let mut address = 0;
        assert_eq!(self.driver.cuMemAlloc_v2(&mut address, bytes), 0);
        address
    }

    fn upload<T: Copy>(&self, values: &[T]) -> u64 {
        let address = self.allocate(size_of_val(values));
        assert_eq!(self.driver.cuMemcpyHtoD_v2(address, values.as_ptr().cast(), size_of_val(values)), 0);
        address
    }

    fn download<T: Copy + Default>(&self, address: u64, count: usize) -> Vec<T> {
        let mut values = vec![T::default(); count];
        assert_eq!(
            self.driver.cuMemcpyDtoH_v2(values.as_mut_ptr().cast(), address, count * size_of::<T>()),
            0
        );
        values
    }

    fn pinned(&self, count: usize) -> &'static mut [f32] {
        let mut address = std::ptr::null_mut();
        assert_eq!(self.driver.cuMemHostAlloc(&mut address, count * 4, 0), 0);
        // SAFETY: so many floats, kept until the process ends.
        unsafe { std::slice::from_raw_parts_mut(address.cast(), count) }
    }

    fn function(&self, name: &str) -> Handle {
        let name = CString::new(name).expect("a name");
        let mut function = std::ptr::null_mut();
        assert_eq!(self.driver.cuModuleGetFunction(&mut function, self.module, name.as_ptr()), 0, "{name:?}");
        function
    }

    fn launch_on<P: Copy>(
        &self,
        stream: Handle,
        name: &str,
        grid: (u32, u32),
        threads: u32,
        shared_bytes: u32,
        parameters: P,
    ) -> c_int {
        let mut parameters = parameters;
        let mut pointers = [(&raw mut parameters).cast::<c_void>()];
        let (function, list) = (self.function(name), pointers.as_mut_ptr());
        self.driver.cuLaunchKernel(
            function,
            grid.0,
            grid.1,
            1,
            threads,
            1,
            1,
            shared_bytes,
            stream,
            list,
            std::ptr::null_mut(),
        )
    }

    /// Launches and waits: the first error.
    fn run<P: Copy>(
        &self,
        name: &str,
        grid: (u32, u32),
        threads: u32,
        shared_bytes: u32,
        parameters: P,
    ) -> c_int {
        match self.launch_on(self.stream, name, grid, threads, shared_bytes, parameters) {
            0 => self.driver.cuStreamSynchronize(self.stream),
            error => error,
        }
    }

    fn add(&self, stream: Handle, input: u64, output: u64, count: usize, value: i32) {
        let parameters = Arrays { input, output, count: count as i32, value };
        let grid = (count.div_ceil(64) as u32, 1);
        assert_eq!(self.launch_on(stream, "right_add", grid, 64, 0, parameters), 0);
    }

    fn copy_up(&self, stream: Handle, address: u64, values: &[f32]) {
        let bytes = size_of_val(values);
        assert_eq!(self.driver.cuMemcpyHtoDAsync_v2(address, values.as_ptr().cast(), bytes, stream), 0);
    }

    fn copy_down(&self, stream: Handle, values: &mut [f32], address: u64) {
        let bytes = size_of_val(values);
        assert_eq!(self.driver.cuMemcpyDtoHAsync_v2(values.as_mut_ptr().cast(), address, bytes, stream), 0);
    }

    fn last_report(&self) -> String {
        self.driver.0.last_report()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.driver.cuDevicePrimaryCtxRelease_v2(0);
    }
}

/// Random numbers, the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Between -1 and 1.
    fn value(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }
}

/// An element of 16 bits: from a float, and its value.
type Format = (fn(f32) -> u16, fn(u16) -> f32);
const F16: Format = (|value| f16::from_f32(value).to_bits(), |bits| f16::from_bits(bits).to_f32());
const BF16: Format = (|value| bf16::from_f32(value).to_bits(), |bits| bf16::from_bits(bits).to_f32());

#[test]
fn right_multiplication_in_every_order() {
    let (rows, columns, depth) = (192, 128, 160);
    for (name, (narrow, widen)) in [("right_multiply_f16", F16), ("right_multiply_bf16", BF16)] {
        let mut random = Random(1);
        let a: Vec<u16> = random.values(rows * depth).into_iter().map(narrow).collect();
        let b: Vec<u16> = random.values(columns * depth).into_iter().map(narrow).collect();
        let mut results = Vec::new();
        for order in ORDERS {
            let device = Device::with(&[("VGGX_HOST_ORDER", order)]);
            let c = device.allocate(rows * columns * 4);
            let parameters = Multiply {
                a: device.upload(&a),
                b: device.upload(&b),
                c,
                rows: rows as i32,
                columns: columns as i32,
                depth: depth as i32,
                stages: 3,
            };
            let grid = (columns as u32 / 64, rows as u32 / 64);
            assert_eq!(device.run(name, grid, 128, 3 * 8192, parameters), 0, "{name} {order}");
            results.push(device.download::<f32>(c, rows * columns));
        }
        for row in 0..rows {
            for column in 0..columns {
                let terms =
                    |k: usize| f64::from(widen(a[row * depth + k])) * f64::from(widen(b[column * depth + k]));
                let (sum, magnitude) = (0..depth)
                    .map(terms)
                    .fold((0.0, 0.0), |(sum, magnitude), term| (sum + term, magnitude + term.abs()));
                let result = f64::from(results[0][row * columns + column]);
                // Every one of the additions rounds by at most 2^-24 of what is at most the sum of magnitudes.
                let tolerance = depth as f64 * magnitude * 2f64.powi(-24);
                assert!((result - sum).abs() <= tolerance, "{name} ({row}, {column}): {result}, not {sum}");
            }
        }
        for result in &results[1..] {
            assert_eq!(bits(result), bits(&results[0]), "{name}: results depend on the order of the threads");
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn right_fragments_of_one_multiplication() {
    for (name, (narrow, widen)) in [("right_fragments_f16", F16), ("right_fragments_bf16", BF16)] {
        let device = Device::new();
        let mut random = Random(2);
        let a: Vec<u16> = random.values(16 * 16).into_iter().map(narrow).collect(); // [row, k]
        let b: Vec<u16> = random.values(16 * 8).into_iter().map(narrow).collect(); // [k, column]
        let d = random.values(16 * 8); // [row, column]
        let pair = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
        let mut input = Vec::new();
        for lane in 0..32 {
            let (g, q) = (lane / 4, lane % 4);
            let of_a = |row: usize, k: usize| pair(a[row * 16 + k], a[row * 16 + k + 1]);
            let of_b = |k: usize| pair(b[k * 8 + g], b[(k + 1) * 8 + g]);
            input.extend([of_a(g, 2 * q), of_a(g + 8, 2 * q), of_a(g, 2 * q + 8), of_a(g + 8, 2 * q + 8)]);
            input.extend([of_b(2 * q), of_b(2 * q + 8)]);
            for (row, column) in [(g, 2 * q), (g, 2 * q + 1), (g + 8, 2 * q), (g + 8, 2 * q + 1)] {
                input.push(d[row * 8 + column].to_bits());
            }
        }
        let output = device.allocate(32 * 4 * 4);
        let parameters = Arrays { input: device.upload(&input), output, count: 0, value: 0 };
        assert_eq!(device.run(name, (1, 1), 32, 0, parameters), 0);
        let result = device.download::<f32>(output, 32 * 4);
        for lane in 0..32 {
            let (g, q) = (lane / 4, lane % 4);
            for (i, (row, column)) in
                [(g, 2 * q), (g, 2 * q + 1), (g + 8, 2 * q), (g + 8, 2 * q + 1)].into_iter().enumerate()
            {
                let mut sum = d[row * 8 + column];
                for k in 0..16 {
                    sum += widen(a[row * 16 + k]) * widen(b[k * 8 + column]);
                }
                assert_eq!(result[lane * 4 + i].to_bits(), sum.to_bits(), "{name}, lane {lane}, d[{i}]");
            }
        }
    }
}

#[test]
fn right_matrices_are_loaded() {
    let device = Device::new();
    let input: Vec<u32> = (0..32 * 8).map(|word| word * 0x10001 + 7).collect();
    let output = device.allocate(32 * 4 * 4);
    let parameters = Arrays { input: device.upload(&input), output, count: 0, value: 0 };
    assert_eq!(device.run("right_matrices", (1, 1), 32, 32 * 32, parameters), 0);
    let result = device.download::<u32>(output, 32 * 4);
    for lane in 0..32 {
        for matrix in 0..4 {
            // Row lane / 4 of the matrix is at the address that lane 8 * matrix + lane / 4 gave, and has four words.
            let named = 7 * (8 * matrix + lane / 4) % 32;
            assert_eq!(
                result[lane * 4 + matrix],
                input[named * 8 + 4 + lane % 4],
                "lane {lane}, matrix {matrix}"
            );
        }
    }
}

#[test]
fn right_matrices_are_loaded_transposed() {
    let device = Device::new();
    let input: Vec<u32> = (0..32 * 8).map(|word| ((2 * word + 1) << 16) | (2 * word)).collect();
    let output = device.allocate(32 * 4 * 4);
    let parameters = Arrays { input: device.upload(&input), output, count: 0, value: 0 };
    assert_eq!(device.run("right_transposed_matrices", (1, 1), 32, 32 * 32, parameters), 0);
    let result = device.download::<u32>(output, 32 * 4);
    for lane in 0..32 {
        for matrix in 0..4 {
            // Two rows below each other, of which lanes 8 * matrix + row named the addresses, at column lane / 4. The
            // numbers of 16 bits count up from the first on.
            let at = |row: usize| (2 * (7 * (8 * matrix + row) % 32 * 8 + 4) + lane / 4) as u32;
            let expected = at(2 * (lane % 4) + 1) << 16 | at(2 * (lane % 4));
            assert_eq!(result[lane * 4 + matrix], expected, "lane {lane}, matrix {matrix}");
        }
    }
}

#[test]
fn right_registers_are_transposed() {
    let device = Device::new();
    // Element [row, column] of an 8x8 matrix is 8 * row + column; a lane has two neighbouring columns.
    let input: Vec<u32> = (0..32).map(|lane| ((2 * lane + 1) << 16) | (2 * lane)).collect();
    let output = device.allocate(32 * 4);
    let parameters = Arrays { input: device.upload(&input), output, count: 0, value: 0 };
    assert_eq!(device.run("right_transposed_registers", (1, 1), 32, 0, parameters), 0);
    for (lane, word) in device.download::<u32>(output, 32).into_iter().enumerate() {
        let at = |row: usize, column: usize| (8 * row + column) as u32;
        let (row, column) = (lane / 4, 2 * (lane % 4));
        assert_eq!(word, at(column + 1, row) << 16 | at(column, row), "lane {lane}");
    }
}

#[test]
fn right_copies_end_at_their_wait() {
    for order in ORDERS {
        let device = Device::with(&[("VGGX_HOST_ORDER", order)]);
        let input = Random(3).values(128 * 4);
        let output = device.allocate(128 * 16);
        let parameters = Arrays { input: device.upload(&input), output, count: 0, value: 0 };
        assert_eq!(device.run("right_copies", (1, 1), 64, 128 * 16, parameters), 0);
        let result = device.download::<f32>(output, 128 * 4);
        for i in 0..128 * 4 {
            let invalid = i / 4 % 64 % 3 == i / 256;
            assert_eq!(result[i], if invalid { 0.0 } else { input[i] }, "{order} {i}");
        }
    }
}

/// The value of a format nearest to `value`, to the even one of two, by looking at all: `finite` are the magnitudes by their bits,
/// and behind them comes infinity, which counts as the power of two that would be next.
fn nearest(value: f64, finite: &[f64], sign: u32) -> u32 {
    if value.is_nan() {
        return 0x7fff;
    }
    let magnitude = value.abs();
    let above = finite.partition_point(|&candidate| candidate < magnitude);
    let next = 2.0 * 2f64.powf(finite[finite.len() - 1].log2().floor());
    let at = |bits: usize| if bits < finite.len() { finite[bits] } else { next };
    let bits = if above == 0 {
        0
    } else if above > finite.len() || magnitude >= next {
        finite.len()
    } else {
        let (below, lower, upper) = (above - 1, magnitude - at(above - 1), at(above) - magnitude);
        if lower < upper || (lower == upper && below % 2 == 0) { below } else { above }
    };
    bits as u32 | if value.is_sign_negative() { sign } else { 0 }
}

#[test]
fn right_conversions_round_once() {
    let halves: Vec<f64> = (0..0x7c00u16).map(|bits| f16::from_bits(bits).to_f64()).collect();
    let brains: Vec<f64> = (0..0x7f80u16).map(|bits| bf16::from_bits(bits).to_f64()).collect();
    let mut random = Random(4);
    let mut values =
        vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MAX, f64::MIN_POSITIVE, 5e-324];
    for table in [&halves, &brains] {
        for _ in 0..3000 {
            // Values of the format, midpoints, and what lies beside a midpoint by less than a float can tell.
            let at = (random.bits() as usize) % (table.len() - 1);
            let middle = (table[at] + table[at + 1]) / 2.0;
            values.extend([
                table[at],
                middle,
                -middle,
                middle.next_up(),
                -middle.next_up(),
                middle.next_down(),
            ]);
        }
        let end = table[table.len() - 1];
        let step = end - table[table.len() - 2];
        values.extend([end, end + step / 2.0, (end + step / 2.0).next_down(), -(end + step), end * 1.9]);
    }
    values.extend((0..3000).map(|_| f64::from_bits(random.bits())));
    values.extend((0..3000).map(|_| f64::from(f32::from_bits(random.bits() as u32))));

    let device = Device::new();
    let output = device.allocate(values.len() * 7 * 4);
    let parameters = Arrays { input: device.upload(&values), output, count: values.len() as i32, value: 0 };
    assert_eq!(device.run("right_conversions", (3, 1), 128, 0, parameters), 0);
    let result = device.download::<u32>(output, values.len() * 7);
    for (value, result) in values.iter().zip(result.chunks(7)) {
        let float = *value as f32;
        assert_eq!(result[0], nearest(*value, &halves, 0x8000), "float16 of {value:e}");
        assert_eq!(result[1], nearest(*value, &brains, 0x8000), "bfloat16 of {value:e}");
        if !value.is_nan() {
            assert_eq!(result[2], float.to_bits(), "float of {value:e}");
            assert_eq!(
                result[5],
                f16::from_bits(result[0] as u16).to_f32().to_bits(),
                "float16 {:#x} widened",
                result[0]
            );
            assert_eq!(
                result[6],
                bf16::from_bits(result[1] as u16).to_f32().to_bits(),
                "bfloat16 {:#x} widened",
                result[1]
            );
        }
        assert_eq!(result[3], nearest(f64::from(float), &halves, 0x8000), "float16 of float {float:e}");
        assert_eq!(result[4], nearest(f64::from(float), &brains, 0x8000), "bfloat16 of float {float:e}");
    }
}

#[test]
fn right_reductions_with_threads_that_exit_early() {
    for order in ORDERS {
        for count in [1usize, 31, 32, 33, 255, 256, 1000, 1025] {
            let device = Device::with(&[("VGGX_HOST_ORDER", order)]);
            let mut random = Random(count as u64);
            let input: Vec<u32> = (0..count).map(|_| random.bits() as u32 >> 12).collect();
            let blocks = count.div_ceil(256);
            let output = device.upload(&vec![0u32; 2 + blocks]);
            let parameters = Arrays { input: device.upload(&input), output, count: count as i32, value: 0 };
            let result = device.run("right_reductions", (blocks as u32, 1), 256, 32, parameters);
            assert_eq!(result, 0, "{order} {count}: {}", device.last_report());
            let result = device.download::<u32>(output, 2 + blocks);
            assert_eq!(result[0], *input.iter().max().expect("not empty"));
            assert_eq!(result[1], count as u32);
            for (block, part) in input.chunks(256).enumerate() {
                assert_eq!(result[2 + block], part.iter().sum::<u32>(), "{order} {count}, block {block}");
            }
        }
    }
}

#[test]
fn right_shared_memory_to_the_last_byte_of_the_device() {
    for (capability, largest) in [("9.0", 227), ("8.0", 163), ("8.6", 99), ("8.9", 99)] {
        let device = Device::with(&[("VGGX_HOST_CAPABILITY", capability)]);
        let mut reported = 0;
        assert_eq!(device.driver.cuDeviceGetAttribute(&mut reported, 97, 0), 0);
        assert_eq!(reported, largest * 1024);
        let input = Random(5).values(64);
        let output = device.allocate(256);
        let value = largest * 1024 - 256;
        let parameters = Arrays { input: device.upload(&input), output, count: 0, value };
        let all = largest as u32 * 1024;
        assert_eq!(device.run("right_shared", (1, 1), 64, all, parameters), INVALID_VALUE);
        assert!(device.last_report().contains("cuFuncSetAttribute"), "{}", device.last_report());
        let function = device.function("right_shared");
        assert_eq!(device.driver.cuFuncSetAttribute(function, 8, largest * 1024 + 1), INVALID_VALUE);
        assert_eq!(device.driver.cuFuncSetAttribute(function, 8, largest * 1024), 0);
        assert_eq!(device.run("right_shared", (2, 1), 64, all, parameters), 0, "{}", device.last_report());
        let result = device.download::<f32>(output, 64);
        for i in 0..64 {
            assert_eq!(result[i], input[63 - i] + (63 - i) as f32);
        }
    }
}

#[test]
fn wrong_synchronisation_shows_in_the_result() {
    for order in ORDERS {
        let device = Device::with(&[("VGGX_HOST_ORDER", order)]);
        let input = Random(6).values(64);
        let output = device.allocate(256);
        let parameters = Arrays { input: device.upload(&input), output, count: 64, value: 64 };
        assert_eq!(device.run("wrong_neighbour", (1, 1), 64, 256, parameters), 0);
        let result = device.download::<f32>(output, 64);
        assert!(result.iter().any(|value| value.is_nan()), "{order}: a missing barrier is not seen");

        assert_eq!(device.run("wrong_shared_read", (1, 1), 64, 512, parameters), 0);
        let result = device.download::<f32>(output, 64);
        assert!(result.iter().all(|value| value.is_nan()), "{order}: a read behind an object is not seen");

        for name in ["wrong_read_before_wait", "wrong_missing_barrier", "wrong_stage_overwritten"] {
            let ones = device.upload(&vec![f16::ONE.to_bits(); 64 * 320]);
            let c = device.allocate(64 * 64 * 4);
            let parameters = Multiply { a: ones, b: ones, c, rows: 64, columns: 64, depth: 320, stages: 3 };
            assert_eq!(device.run(name, (1, 1), 128, 3 * 8192, parameters), 0);
            let result = device.download::<f32>(c, 64 * 64);
            assert!(result.iter().any(|value| value.is_nan()), "{name} {order}: not seen");
        }
    }
}

/// Errors that end the kernel: name, value, shared bytes, the error, and what the line says.
const WRONG: &[(&str, i32, u32, c_int, &str)] = &[
    (
        "wrong_shared_write",
        0,
        1024,
        ILLEGAL_ADDRESS,
        "wrote at byte 256 of object 0 in shared memory, which has 256 bytes",
    ),
    ("wrong_shared_write", -65, 1024, ILLEGAL_ADDRESS, "wrote before the beginning of its shared memory"),
    (
        "wrong_shared_size",
        65,
        256,
        ILLEGAL_ADDRESS,
        "takes 260 bytes of shared memory after 0 others, but the launch asked for 256",
    ),
    (
        "wrong_matrices",
        16,
        1024,
        ILLEGAL_ADDRESS,
        "ldmatrix_x4 at byte 512 of object 0 in shared memory, which has 512 bytes",
    ),
    ("wrong_matrices", 8, 1024, MISALIGNED, "not a multiple of 16"),
    ("wrong_address", 0, 1024, ILLEGAL_ADDRESS, "no address of an object in shared memory"),
    ("wrong_missing_lane", 0, 0, LAUNCH_FAILED, "exited"),
    ("wrong_missing_lane", 1, 0, LAUNCH_FAILED, "is stuck: "),
    ("wrong_missing_lane", 2, 0, LAUNCH_FAILED, "__syncwarp"),
    ("wrong_source_lane", 0, 0, LAUNCH_FAILED, "reads lane 20, which takes no part"),
    ("wrong_global_write", 0, 0, ILLEGAL_ADDRESS, "beyond the end of a device allocation of 400 bytes"),
    ("wrong_global_write", 2000, 0, ILLEGAL_ADDRESS, "thread (3, 0, 0): accessed address"),
    ("wrong_global_read", 2000, 0, ILLEGAL_ADDRESS, "byte 8400 of a device allocation of 400 bytes"),
    ("wrong_absent", 0, 0, ILLEGAL_ADDRESS, "in no device allocation"),
    ("wrong_copy_source", 0, 1024, ILLEGAL_ADDRESS, "thread (9, 0, 0): cp_async_16 from"),
    ("wrong_alignment", 0, 1024, MISALIGNED, "not a multiple of 16"),
    ("wrong_alignment", 1, 1024, MISALIGNED, "not a multiple of 16"),
    ("wrong_disagreement", 0, 1024, LAUNCH_FAILED, "another thread took"),
    ("wrong_recursion", 1, 0, LAUNCH_FAILED, "its stack is used up"),
];

#[test]
fn wrong_kernels_fail_and_say_where() {
    for order in ORDERS {
        for &(name, value, shared_bytes, error, message) in WRONG {
            let device = Device::with(&[("VGGX_HOST_ORDER", order)]);
            // 400 bytes: 100 floats, a multiple of 16 and not of 256.
            let (input, output) = (device.upload(&[1.0f32; 100]), device.upload(&[1.0f32; 100]));
            let parameters = Arrays { input, output, count: 100, value };
            let result = device.run(name, (2, 1), 64, shared_bytes, parameters);
            let report = device.last_report();
            assert_eq!(result, error, "{name} {value} {order}: {report}");
            assert!(report.contains(&format!("kernel {name}")), "{name} {value} {order}: {report}");
            assert!(report.contains(message), "{name} {value} {order}: {report}");
            // The error stays, as on a real device.
            assert_eq!(device.driver.cuCtxSynchronize(), error);
            assert_eq!(device.driver.cuMemFree_v2(input), error);
        }
    }
    // And ends with the context.
    let device = Device::new();
    assert_eq!(device.driver.cuCtxSynchronize(), 0);
}

#[test]
fn stuck_threads_are_named() {
    let device = Device::new();
    let parameters = Arrays { input: 0, output: 0, count: 0, value: 1 };
    assert_eq!(device.run("wrong_missing_lane", (1, 1), 64, 0, parameters), LAUNCH_FAILED);
    assert_eq!(
        device.last_report(),
        "kernel wrong_missing_lane, block (0, 0, 0) is stuck: threads 0-31 at __syncthreads; \
         threads 32-36 in a shuffle, mask 0xffffffff; thread 37 at __syncthreads; \
         threads 38-63 in a shuffle, mask 0xffffffff"
    );
}

#[test]
fn wrong_launches_are_refused() {
    let device = Device::new();
    let parameters = Arrays { input: 0, output: 0, count: 0, value: 0 };
    for (grid, threads, message) in [
        ((1, 1), 128, "128 x 1 x 1 threads, it is made for 64"),
        ((1, 1), 32, "made for 64"),
        ((0, 1), 64, "grid"),
    ] {
        assert_eq!(device.run("right_add", grid, threads, 0, parameters), INVALID_VALUE);
        assert!(device.last_report().contains(message), "{}", device.last_report());
    }
    assert_eq!(device.run("right_add", (1, 70000), 64, 0, parameters), INVALID_VALUE);
    let mut function = std::ptr::null_mut();
    let found = device.driver.cuModuleGetFunction(&mut function, device.module, c"no_such_kernel".as_ptr());
    assert_eq!(found, NOT_FOUND);
    assert_eq!(device.driver.cuStreamSynchronize(0x1234 as Handle), INVALID_HANDLE);

    let address = device.allocate(100);
    let floats = [0.0f32; 26];
    assert_eq!(device.driver.cuMemcpyHtoD_v2(address, floats.as_ptr().cast(), 104), INVALID_VALUE);
    assert_eq!(device.driver.cuMemsetD32Async(address, 0, 26, device.stream), INVALID_VALUE);
    assert_eq!(device.driver.cuMemsetD32Async(address, 0, 25, device.stream), 0);
    assert_eq!(device.driver.cuMemFree_v2(address + 4), INVALID_VALUE);
    // None of this breaks the context.
    assert_eq!(device.driver.cuCtxSynchronize(), 0);
}

#[test]
fn new_memory_holds_nan() {
    let device = Device::new();
    for bytes in [4, 100, 4096, 20 << 20] {
        let address = device.allocate(bytes);
        let values = device.download::<f32>(address, bytes / 4);
        assert!(values.iter().all(|value| value.is_nan()), "{bytes}");
    }
    let pinned = device.pinned(10);
    assert!(pinned.iter().all(|value| value.is_nan()));
    assert_eq!(device.driver.cuMemFreeHost(pinned.as_mut_ptr().cast()), 0);
}

#[test]
fn a_pinned_buffer_is_read_when_the_copy_runs() {
    let device = Device::new();
    let (buffer, address) = (device.pinned(4), device.allocate(16));
    buffer.fill(1.0);
    device.copy_up(device.stream, address, buffer);
    // Too early: the copy has not run.
    buffer.fill(2.0);
    assert_eq!(device.driver.cuStreamSynchronize(device.stream), 0);
    assert_eq!(device.download::<f32>(address, 4), [2.0; 4]);

    // Other memory is read at once.
    let mut values = vec![3.0f32; 4];
    device.copy_up(device.stream, address, &values);
    values.fill(4.0);
    assert_eq!(device.driver.cuStreamSynchronize(device.stream), 0);
    assert_eq!(device.download::<f32>(address, 4), [3.0; 4]);
}

#[test]
fn results_are_not_there_before_the_copy_has_run() {
    let device = Device::new();
    let (buffer, address) = (device.pinned(4), device.upload(&[5.0f32; 4]));
    buffer.fill(1.0);
    device.copy_down(device.stream, buffer, address);
    assert!(buffer.iter().all(|value| value.is_nan()));
    assert_eq!(device.driver.cuStreamQuery(device.stream), NOT_READY);
    assert_eq!(device.driver.cuStreamQuery(device.stream), 0);
    assert_eq!(buffer, [5.0; 4]);
    // A buffer that a copy queued before still reads keeps its values for it.
    let other = device.allocate(16);
    device.copy_up(device.stream, other, buffer);
    device.copy_down(device.stream, buffer, address);
    assert_eq!(device.driver.cuStreamSynchronize(device.stream), 0);
    assert_eq!(device.download::<f32>(other, 4), [5.0; 4]);
}

#[test]
fn a_missing_wait_shows() {
    for order in ORDERS {
        let device = Device::with(&[("VGGX_HOST_ORDER", order)]);
        let (copies, computation, event) = (device.new_stream(), device.new_stream(), device.new_event());
        let (buffer, result) = (device.pinned(64), device.pinned(64));
        let (input, output) = (device.allocate(256), device.allocate(256));
        buffer.fill(1.0);

        // Right: the computation waits for the copy.
        device.copy_up(copies, input, buffer);
        assert_eq!(device.driver.cuEventRecord(event, copies), 0);
        assert_eq!(device.driver.cuStreamWaitEvent(computation, event, 0), 0);
        device.add(computation, input, output, 64, 1);
        device.copy_down(computation, result, output);
        assert_eq!(device.driver.cuStreamSynchronize(computation), 0);
        assert_eq!(result, [2.0; 64], "{order}");
    }
    // Wrong: only the copies' stream is waited for afterwards, or the next copy overtakes the computation.
    let device = Device::new();
    let (copies, computation) = (device.new_stream(), device.new_stream());
    let (buffer, result) = (device.pinned(64), device.pinned(64));
    let (input, output) = (device.allocate(256), device.allocate(256));
    buffer.fill(1.0);
    device.copy_up(copies, input, buffer);
    device.add(computation, input, output, 64, 1);
    device.copy_down(computation, result, output);
    assert_eq!(device.driver.cuStreamSynchronize(computation), 0);
    assert!(result.iter().all(|value| value.is_nan()), "the computation ran before its input was there");
    drop(device);

    let device = Device::with(&[("VGGX_HOST_ORDER", "reverse")]);
    let computation = device.new_stream();
    let copies = device.new_stream();
    let (first, second, result) = (device.pinned(64), device.pinned(64), device.pinned(64));
    let (input, output) = (device.allocate(256), device.allocate(256));
    first.fill(1.0);
    second.fill(10.0);
    device.copy_up(computation, input, first);
    device.add(computation, input, output, 64, 1);
    device.copy_down(computation, result, output);
    device.copy_up(copies, input, second);
    device.add(copies, input, input, 64, 0);
    assert_eq!(device.driver.cuStreamSynchronize(computation), 0);
    assert_eq!(result, [2.0; 64], "the computation has its own copy before it");
    // What overtakes is the next batch's copy where the first was made by the copies' stream too.
    let event = device.new_event();
    device.copy_up(copies, input, first);
    assert_eq!(device.driver.cuEventRecord(event, copies), 0);
    assert_eq!(device.driver.cuStreamWaitEvent(computation, event, 0), 0);
    device.add(computation, input, output, 64, 1);
    device.copy_down(computation, result, output);
    device.copy_up(copies, input, second);
    assert_eq!(device.driver.cuStreamSynchronize(computation), 0);
    assert_eq!(result, [11.0; 64], "the next copy did not wait for the computation");
}

#[test]
fn graphs_replay_what_was_captured() {
    for order in ORDERS {
        let device = Device::with(&[("VGGX_HOST_ORDER", order)]);
        let (main, side) = (device.new_stream(), device.new_stream());
        let (forked, joined) = (device.new_event(), device.new_event());
        let (buffer, result, other) = (device.pinned(64), device.pinned(64), device.pinned(64));
        let (a, b, c) = (device.allocate(256), device.allocate(256), device.allocate(256));
        buffer.fill(1.0);

        assert_eq!(device.driver.cuStreamBeginCapture_v2(main, 1), 0);
        let mut address = 0;
        device.copy_up(main, a, buffer);
        assert_eq!(device.driver.cuEventRecord(forked, main), 0);
        assert_eq!(device.driver.cuStreamWaitEvent(side, forked, 0), 0);
        device.add(side, a, c, 64, 100);
        device.copy_down(side, other, c);
        assert_eq!(device.driver.cuEventRecord(joined, side), 0);
        device.add(main, a, b, 64, 1);
        assert_eq!(device.driver.cuStreamWaitEvent(main, joined, 0), 0);
        device.copy_down(main, result, b);
        let mut graph = std::ptr::null_mut();
        assert_eq!(device.driver.cuStreamEndCapture(main, &mut graph), 0);
        let mut executable = std::ptr::null_mut();
        assert_eq!(device.driver.cuGraphInstantiateWithFlags(&mut executable, graph, 0), 0);

        // Capturing runs nothing.
        assert_eq!(device.driver.cuCtxSynchronize(), 0);
        assert!(device.download::<f32>(b, 64).iter().all(|value| value.is_nan()));
        for round in [3.0f32, 7.0] {
            buffer.fill(round);
            assert_eq!(device.driver.cuGraphLaunch(executable, main), 0);
            assert!(result.iter().all(|value| value.is_nan()));
            assert_eq!(device.driver.cuStreamSynchronize(main), 0);
            assert_eq!((result[63], other[0]), (round + 1.0, round + 100.0), "{order}");
        }

        // Work that is not joined, and calls that a capture does not allow.
        assert_eq!(device.driver.cuStreamBeginCapture_v2(main, 1), 0);
        assert_eq!(device.driver.cuEventRecord(forked, main), 0);
        assert_eq!(device.driver.cuStreamWaitEvent(side, forked, 0), 0);
        device.add(side, a, c, 64, 100);
        assert_eq!(device.driver.cuStreamEndCapture(main, &mut graph), CAPTURE_UNJOINED);
        assert_eq!(device.driver.cuStreamBeginCapture_v2(main, 1), 0);
        assert_eq!(device.driver.cuMemAlloc_v2(&mut address, 16), CAPTURE_UNSUPPORTED);
        assert_ne!(device.driver.cuStreamEndCapture(main, &mut graph), 0);
        // The context is as good as before.
        device.add(main, a, b, 64, 1);
        assert_eq!(device.driver.cuStreamSynchronize(main), 0);
    }
}

#[test]
fn events_measure_time() {
    let device = Device::new();
    let (start, end) = (device.new_event(), device.new_event());
    let input = device.upload(&[1.0f32; 6400]);
    assert_eq!(device.driver.cuEventRecord(start, device.stream), 0);
    device.add(device.stream, input, input, 6400, 1);
    assert_eq!(device.driver.cuEventRecord(end, device.stream), 0);
    let mut milliseconds = -1.0;
    assert_eq!(device.driver.cuEventElapsedTime_v2(&mut milliseconds, start, end), NOT_READY);
    assert_eq!(device.driver.cuStreamSynchronize(device.stream), 0);
    assert_eq!(device.driver.cuEventElapsedTime_v2(&mut milliseconds, start, end), 0);
    assert!(milliseconds > 0.0 && milliseconds < 60_000.0, "{milliseconds}");
}

#[test]
fn memory_ends_where_it_is_said_to() {
    let device = Device::with(&[("VGGX_HOST_MEMORY", "1048576")]);
    let (mut free, mut total, mut address) = (0, 0, 0);
    let first = device.allocate(1_000_000);
    assert_eq!(device.driver.cuMemGetInfo_v2(&mut free, &mut total), 0);
    assert_eq!(total, 1 << 20);
    assert_eq!(device.driver.cuMemAlloc_v2(&mut address, free + 1), OUT_OF_MEMORY);
    assert_eq!(device.driver.cuMemAlloc_v2(&mut address, free), 0);
    assert_eq!(device.driver.cuMemAlloc_v2(&mut address, 1), OUT_OF_MEMORY);
    assert_eq!(device.driver.cuMemFree_v2(first), 0);
    assert_eq!(device.driver.cuMemAlloc_v2(&mut address, 1_000_000), 0);
}

#[test]
fn failures_come_when_ordered() {
    let device = Device::with(&[("VGGX_HOST_FAIL", "cuMemAlloc_v2@2=2,right_add@2=700,cuEventCreate=999")]);
    let mut address = 0;
    assert_eq!(device.driver.cuMemAlloc_v2(&mut address, 256), 0);
    assert_eq!(device.driver.cuMemAlloc_v2(&mut address, 256), OUT_OF_MEMORY);
    let input = device.allocate(256);
    let mut event = std::ptr::null_mut();
    assert_eq!(device.driver.cuEventCreate(&mut event, 0), 999);
    device.add(device.stream, input, input, 64, 1);
    assert_eq!(device.driver.cuStreamSynchronize(device.stream), 0);
    // The launch is accepted, and fails when it runs.
    device.add(device.stream, input, input, 64, 1);
    assert_eq!(device.driver.cuStreamSynchronize(device.stream), ILLEGAL_ADDRESS);
    assert_eq!(device.driver.cuStreamSynchronize(device.stream), ILLEGAL_ADDRESS);
}

#[test]
fn devices_and_contexts() {
    let mut device = Device::with(&[("VGGX_HOST_DEVICES", "2"), ("VGGX_HOST_CAPABILITY", "7.5")]);
    let (mut count, mut address, mut module) = (0, 0, std::ptr::null_mut());
    assert_eq!(device.driver.cuDeviceGetCount(&mut count), 0);
    assert_eq!(count, 2);
    assert_eq!(device.driver.cuModuleLoadData(&mut module, c"image".as_ptr().cast()), NO_BINARY);
    device.driver.0.configure("VGGX_HOST_CAPABILITY", "9.0");
    assert_eq!(device.driver.cuModuleLoadData(&mut module, c"image".as_ptr().cast()), 0);
    device.module = module;
    // Another thread has no context until it sets one.
    let context = device.context as usize;
    let driver = &device.driver;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(driver.cuMemAlloc_v2(&mut address, 16), INVALID_CONTEXT);
            assert_eq!(driver.cuCtxSetCurrent(context as Handle), 0);
            assert_eq!(driver.cuMemAlloc_v2(&mut address, 16), 0);
        });
    });
    // A broken device leaves the other alone.
    let mut second = std::ptr::null_mut();
    assert_eq!(driver.cuDevicePrimaryCtxRetain(&mut second, 1), 0);
    let parameters = Arrays { input: 0, output: 0, count: 0, value: 0 };
    assert_eq!(device.run("wrong_absent", (1, 1), 64, 0, parameters), ILLEGAL_ADDRESS);
    assert_eq!(driver.cuCtxSetCurrent(second), 0);
    assert_eq!(driver.cuCtxSynchronize(), 0);
    assert_eq!(driver.cuDevicePrimaryCtxRelease_v2(1), 0);
    let mut version = 0;
    driver.0.configure("VGGX_HOST_DRIVER_VERSION", "12020");
    assert_eq!(driver.cuDriverGetVersion(&mut version), 0);
    assert_eq!(version, 12020);
}

#[test]
fn contexts_of_a_thread_are_stacked() {
    let device = Device::new();
    let driver = &device.driver;
    let current = || {
        let mut context = std::ptr::null_mut();
        assert_eq!(driver.cuCtxGetCurrent(&mut context), 0);
        context
    };
    let pop = || {
        let mut context = std::ptr::null_mut();
        (driver.cuCtxPopCurrent_v2(&mut context), context)
    };
    let mut other = std::ptr::null_mut();
    assert_eq!(driver.cuCtxCreate_v4(&mut other, std::ptr::null_mut(), 0, 0), 0);
    assert!(other != device.context && current() == other);
    assert_eq!(driver.cuCtxPushCurrent_v2(device.context), 0);
    assert_eq!(current(), device.context);
    assert_eq!(pop(), (0, device.context));
    // Another one in its place, and none in its place.
    assert_eq!(driver.cuCtxSetCurrent(device.context), 0);
    assert_eq!(driver.cuCtxSetCurrent(std::ptr::null_mut()), 0);
    assert_eq!(current(), device.context);
    // Other threads have stacks of their own.
    let context = other as usize;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (result, _) = pop();
            assert_eq!((result, current()), (INVALID_CONTEXT, std::ptr::null_mut()));
            assert_eq!(driver.cuCtxPushCurrent_v2(context as Handle), 0);
            assert_eq!(current(), context as Handle);
        });
    });
    assert_eq!(current(), device.context);
    // What is destroyed can no more be made current, and the primary one cannot be destroyed.
    assert_eq!(driver.cuCtxDestroy_v2(device.context), INVALID_CONTEXT);
    assert_eq!(driver.cuCtxDestroy_v2(other), 0);
    assert_eq!(driver.cuCtxDestroy_v2(other), INVALID_CONTEXT);
    assert_eq!(driver.cuCtxPushCurrent_v2(other), INVALID_CONTEXT);
}

#[test]
fn memory_and_streams_belong_to_a_context() {
    let device = Device::new();
    let driver = &device.driver;
    let (before, address) = (driver.0.live(), device.allocate(16));
    let mut other = std::ptr::null_mut();
    assert_eq!(driver.cuCtxCreate_v4(&mut other, std::ptr::null_mut(), 0, 0), 0);
    let (of_other, stream) = (device.allocate(16), device.new_stream());
    assert_eq!(driver.0.live(), before + 3);
    // Context, kind, device; of an address that is no one's, nothing.
    let attributes = |address| {
        let (mut context, mut kind, mut index) = (std::ptr::null_mut::<c_void>(), 7u32, 7i32);
        let values: [Handle; 3] =
            [(&raw mut context).cast(), (&raw mut kind).cast(), (&raw mut index).cast()];
        let result = driver.cuPointerGetAttributes(3, [1, 2, 9].as_ptr(), values.as_ptr(), address);
        assert_eq!(result, 0);
        (context, kind, index)
    };
    assert_eq!(attributes(address), (device.context, 2, 0));
    assert_eq!(attributes(of_other + 15), (other, 2, 0));
    assert_eq!(attributes(of_other + 16), (std::ptr::null_mut(), 0, 0));
    let pinned = device.pinned(4);
    assert_eq!(attributes(pinned.as_ptr() as u64), (std::ptr::null_mut(), 1, 0));
    for (stream, expected) in
        [(stream, other), (device.stream, device.context), (std::ptr::null_mut(), other)]
    {
        let mut context = std::ptr::null_mut();
        assert_eq!(driver.cuStreamGetCtx(stream, &mut context), 0);
        assert_eq!(context, expected);
    }
    // One does not reach into the other.
    assert_eq!(driver.cuMemsetD32Async(of_other, 1, 4, stream), 0);
    assert_eq!(driver.cuMemsetD32Async(address, 1, 4, stream), INVALID_VALUE);
    assert_eq!(driver.cuMemsetD32Async(of_other, 1, 4, device.stream), INVALID_HANDLE);
    // A context takes everything along, and leaves the other's.
    assert_eq!(driver.cuCtxDestroy_v2(other), 0);
    assert_eq!(driver.cuMemFreeHost(pinned.as_mut_ptr().cast()), 0);
    assert_eq!(driver.0.live(), before + 1);
    assert_eq!(attributes(address), (device.context, 2, 0));
}

#[test]
fn nothing_is_left_when_the_context_goes() {
    let device = Device::new();
    let before = device.driver.0.live();
    let address = device.allocate(16);
    device.new_event();
    device.new_stream();
    assert_eq!(device.driver.0.live(), before + 3);
    assert_eq!(device.driver.cuMemFree_v2(address), 0);
    assert_eq!(device.driver.0.live(), before + 2);
}

/// What a child process is to do, so that a sanitizer can end it.
#[test]
fn in_child_process() {
    let Ok(kernel) = std::env::var("VGGX_HOST_CHILD") else { return };
    let device = Device::new();
    let (input, output) = (device.upload(&[1.0f32; 100]), device.upload(&[1.0f32; 100]));
    let value = if kernel == "wrong_shared_read" { 64 } else { 0 };
    device.run(&kernel, (1, 1), 64, 512, Arrays { input, output, count: 100, value });
}

/// This program again, with host execution built with sanitizers.
fn sanitized(tests: &str) -> Option<Command> {
    // Their runtime must come first. The name alone comes back where it is not installed.
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "g++".into());
    let output = Command::new(compiler).arg("-print-file-name=libasan.so").output().ok()?;
    let runtime = String::from_utf8(output.stdout).ok()?.trim().to_string();
    if !runtime.starts_with('/') {
        return None;
    }
    let mut command = Command::new(std::env::current_exe().expect("this program's path"));
    command.args([tests, "--nocapture"]).env("VGGX_HOST_FLAVOUR", "sanitized");
    command.env("LD_PRELOAD", runtime).env("ASAN_OPTIONS", "detect_leaks=0");
    Some(command)
}

#[test]
fn sanitizers_find_nothing_in_right_kernels_and_single_bytes_in_wrong_ones() {
    if std::env::var_os("VGGX_HOST_FLAVOUR").is_some() {
        return;
    }
    let Some(mut command) = sanitized("right_") else {
        println!("skipped: AddressSanitizer's runtime is not installed");
        return;
    };
    let output = command.output().expect("the child runs");
    assert!(
        output.status.success() && !String::from_utf8_lossy(&output.stdout).contains("running 0 tests"),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    for (kernel, message) in [
        ("wrong_global_write", "heap-buffer-overflow"),
        ("wrong_global_read", "heap-buffer-overflow"),
        ("wrong_shared_read", "use-after-poison"),
        ("wrong_shared_write", "use-after-poison"),
    ] {
        let Some(mut command) = sanitized("in_child_process") else { continue };
        let output = command.env("VGGX_HOST_CHILD", kernel).output().expect("the child runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && stderr.contains(message) && stderr.contains(kernel),
            "{kernel}:\n{stderr}"
        );
    }
}

//! Barriers that count bytes, boxes of tensors and products of warpgroups: what they do against formulas written anew from the PTX
//! manual, and that each mistake is found.

use super::{BF16, Device, F16, Format, INVALID_VALUE, LAUNCH_FAILED, MISALIGNED, ORDERS, Random};
use std::ffi::c_int;

/// A CUtensorMap.
#[repr(C, align(128))]
#[derive(Clone, Copy)]
struct TensorMap([u64; 16]);

const NONE: TensorMap = TensorMap([0; 16]);

/// As in `kernels/host/tests/params.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Boxes {
    a: TensorMap,
    b: TensorMap,
    input: u64,
    output: u64,
    coordinates: [i32; 4],
    bytes: i32,
    value: i32,
}

/// A tensor of 16-bit elements without gaps; extents from the innermost one on.
struct Tensor<'a> {
    address: u64,
    extents: &'a [u64],
    box_extents: &'a [u32],
}

/// What the driver says to the map of a tensor, with a swizzle of 128 bytes unless others are given.
fn encode(device: &Device, tensor: &Tensor, swizzle: u32) -> (c_int, TensorMap) {
    let rank = tensor.extents.len();
    let mut strides = Vec::new();
    let mut bytes = 2;
    for extent in tensor.extents {
        bytes *= extent;
        strides.push(bytes);
    }
    encode_with(device, tensor, &strides, &vec![1; rank], swizzle)
}

fn encode_with(
    device: &Device,
    tensor: &Tensor,
    strides: &[u64],
    element_strides: &[u32],
    swizzle: u32,
) -> (c_int, TensorMap) {
    let mut map = NONE;
    let code = device.driver.cuTensorMapEncodeTiled(
        map.0.as_mut_ptr(),
        1, // UINT16
        tensor.extents.len() as u32,
        tensor.address,
        tensor.extents.as_ptr(),
        strides.as_ptr(),
        tensor.box_extents.as_ptr(),
        element_strides.as_ptr(),
        0,
        swizzle,
        0,
        0,
    );
    (code, map)
}

/// SWIZZLE_128B, SWIZZLE_64B.
const SWIZZLE_128: u32 = 3;
const SWIZZLE_64: u32 = 2;

fn map(device: &Device, address: u64, extents: &[u64], box_extents: &[u32]) -> TensorMap {
    let (code, map) = encode(device, &Tensor { address, extents, box_extents }, SWIZZLE_128);
    assert_eq!(code, 0, "{}", device.last_report());
    map
}

#[test]
fn boxes_arrive_swizzled_with_zeros_around_the_tensor() {
    // Channels, width, height, images; the box reaches over every side.
    let (extents, box_extents) = ([128u64, 5, 7, 3], [64u32, 4, 6, 2]);
    let count = extents.iter().product::<u64>() as usize;
    let values: Vec<u16> = (0..count).map(|index| (index % 65_521) as u16 + 1).collect();
    let elements = box_extents.iter().product::<u32>() as usize;
    for order in ORDERS {
        let device = Device::with(&[("VGGX_HOST_ORDER", order)]);
        let a = map(&device, device.upload(&values), &extents, &box_extents);
        for coordinates in
            [[0, 0, 0, 0], [64, -1, -1, 0], [0, 3, 5, 2], [64, 2, -3, -1], [128, 0, 0, 0], [0, 0, 0, 9]]
        {
            let output = device.allocate(2 * elements);
            let bytes = 2 * elements as i32;
            let parameters = Boxes { a, b: NONE, input: 0, output, coordinates, bytes, value: 0 };
            let result = device.run("right_box", (1, 1), 128, bytes as u32 + 1024, parameters);
            assert_eq!(result, 0, "{}", device.last_report());
            let got = device.download::<u16>(output, elements);
            for n in 0..2 {
                for h in 0..6 {
                    for w in 0..4 {
                        for c in 0..64 {
                            let at = [c, w, h, n].map(|at| at as i64);
                            let at: Vec<i64> =
                                at.iter().zip(coordinates).map(|(at, from)| at + i64::from(from)).collect();
                            let inside =
                                at.iter().zip(extents).all(|(&at, extent)| (0..extent as i64).contains(&at));
                            let index = ((at[3] * 7 + at[2]) * 5 + at[1]) * 128 + at[0];
                            let want = if inside { values[index as usize] } else { 0 };
                            // Rows of 128 bytes; chunk k of row r is at k xor r mod 8.
                            let row = (n * 6 + h) * 4 + w;
                            let place = row * 64 + ((c / 8) ^ (row % 8)) * 8 + c % 8;
                            assert_eq!(got[place], want, "{order} {coordinates:?} n {n} h {h} w {w} c {c}");
                        }
                    }
                }
            }
        }
    }
}

/// Matrices of a product: small integers, so that every sum is exact.
struct Matrices {
    a: Vec<u16>,
    b: Vec<u16>,
    a_values: Vec<f32>,
    b_values: Vec<f32>,
}

fn matrices(depth: usize, (narrow, widen): Format) -> Matrices {
    let mut random = Random(5);
    let mut integers = |count: usize| -> Vec<u16> {
        random.values(count).into_iter().map(|value| narrow((value * 8.0).round())).collect()
    };
    let (a, b) = (integers(64 * depth), integers(128 * depth));
    let values = |bits: &[u16]| bits.iter().map(|&bits| widen(bits)).collect();
    Matrices { a_values: values(&a), b_values: values(&b), a, b }
}

/// Row and column of sum `index` of a thread, as the PTX manual draws the fragment D of wgmma.
fn place(thread: usize, index: usize) -> (usize, usize) {
    let (warp, lane) = (thread / 32, thread % 32);
    let row = 16 * warp + lane / 4 + 8 * ((index / 2) % 2);
    let column = 8 * (index / 4) + 2 * (lane % 4) + index % 2;
    (row, column)
}

fn check(got: &[f32], want: impl Fn(usize, usize) -> f64, what: &str) {
    for thread in 0..128 {
        for index in 0..64 {
            let (row, column) = place(thread, index);
            let (got, want) = (f64::from(got[thread * 64 + index]), want(row, column));
            assert!(got == want, "{what}: row {row}, column {column}: {got} instead of {want}");
        }
    }
}

/// Shared memory of the products' kernels: both operands, the barrier.
const SHARED: u32 = (64 + 128) * 128 + 1024 + 128;

#[test]
fn products_of_warpgroups_are_exact_on_integers() {
    for order in ORDERS {
        for (name, format) in [("right_product_f16", F16), ("right_product_bf16", BF16)] {
            let Matrices { a, b, a_values, b_values } = matrices(64, format);
            let device = Device::with(&[("VGGX_HOST_ORDER", order)]);
            let output = device.allocate(64 * 128 * 4);
            let parameters = Boxes {
                a: map(&device, device.upload(&a), &[64, 64], &[64, 64]),
                b: map(&device, device.upload(&b), &[64, 128], &[64, 128]),
                input: 0,
                output,
                coordinates: [0; 4],
                bytes: 0,
                value: 0,
            };
            assert_eq!(device.run(name, (1, 1), 128, SHARED, parameters), 0, "{}", device.last_report());
            let want = |row: usize, column: usize| {
                (0..64)
                    .map(|k| f64::from(a_values[row * 64 + k]) * f64::from(b_values[column * 64 + k]))
                    .sum()
            };
            check(&device.download::<f32>(output, 64 * 128), want, &format!("{name} {order}"));
        }
    }
}

/// The value of a float8: four bits of exponent and three of fraction behind a sign.
fn widen_float8(bits: u8) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 3 & 15), f64::from(bits & 7));
    let magnitude =
        if exponent == 0 { fraction * 2f64.powi(-9) } else { (8.0 + fraction) * 2f64.powi(exponent - 10) };
    if bits & 0x80 != 0 { -magnitude } else { magnitude }
}

/// Rows of 128 bytes are a depth of 128. Subnormal and normal numbers up to 8.
#[test]
fn products_take_float8() {
    let mut random = Random(6);
    let mut bytes = |count: usize| -> Vec<u8> {
        let bits = |value: f32| ((value.abs() * 81.0) as u8 % 0x51) | (u8::from(value < 0.0) << 7);
        random.values(count).into_iter().map(bits).collect()
    };
    let (a, b) = (bytes(64 * 128), bytes(128 * 128));
    for subnormal in [0x01, 0x07, 0x08, 0x50, 0xd0] {
        assert!(a.contains(&subnormal) && b.contains(&subnormal), "{subnormal:#x}");
    }
    // Two numbers in each element that is copied.
    let pairs = |bytes: &[u8]| -> Vec<u16> {
        bytes.as_chunks::<2>().0.iter().map(|&pair| u16::from_le_bytes(pair)).collect()
    };
    for order in ORDERS {
        let device = Device::with(&[("VGGX_HOST_ORDER", order)]);
        let output = device.allocate(64 * 128 * 4);
        let parameters = Boxes {
            a: map(&device, device.upload(&pairs(&a)), &[64, 64], &[64, 64]),
            b: map(&device, device.upload(&pairs(&b)), &[64, 128], &[64, 128]),
            input: 0,
            output,
            coordinates: [0; 4],
            bytes: 0,
            value: 0,
        };
        let result = device.run("right_product_f8", (1, 1), 128, SHARED, parameters);
        assert_eq!(result, 0, "{}", device.last_report());
        let got = device.download::<f32>(output, 64 * 128);
        for thread in 0..128 {
            for index in 0..64 {
                let (row, column) = place(thread, index);
                let products =
                    (0..128).map(|k| widen_float8(a[row * 128 + k]) * widen_float8(b[column * 128 + k]));
                let (want, most) =
                    products.fold((0.0, 0.0), |(sum, most), value: f64| (sum + value, most + value.abs()));
                let got = f64::from(got[thread * 64 + index]);
                assert!(
                    (got - want).abs() <= most * 2f64.powi(-18),
                    "{order}: {row}, {column}: {got}, not {want}"
                );
            }
        }
    }
}

#[test]
fn products_take_rows_from_registers_and_columns_innermost() {
    let Matrices { a, b, a_values, b_values } = matrices(16, F16);
    for order in ORDERS {
        let device = Device::with(&[("VGGX_HOST_ORDER", order)]);
        let output = device.allocate(64 * 128 * 4);
        let parameters = Boxes {
            a: NONE,
            // [16, 128], columns innermost.
            b: map(&device, device.upload(&b), &[128, 16], &[64, 16]),
            input: device.upload(&a),
            output,
            coordinates: [0; 4],
            bytes: 0,
            value: 0,
        };
        let result = device.run("right_product_registers", (1, 1), 128, SHARED, parameters);
        assert_eq!(result, 0, "{}", device.last_report());
        let want = |row: usize, column: usize| {
            (0..16).map(|k| f64::from(a_values[row * 16 + k]) * f64::from(b_values[k * 128 + column])).sum()
        };
        check(&device.download::<f32>(output, 64 * 128), want, order);
    }
}

/// Mistakes of `wrong_product`, the error and a part of what is said.
const WRONG: [(i32, c_int, &str); 12] = [
    (1, LAUNCH_FAILED, "without wgmma_fence"),
    (2, LAUNCH_FAILED, "brings 128 bytes more than are expected at the mbarrier at byte 0 of object 2"),
    (
        3,
        LAUNCH_FAILED,
        "waits for parity 0 of the mbarrier at byte 0 of object 2 in shared memory: 0 of 1 arrivals and 128 bytes are missing",
    ),
    (5, LAUNCH_FAILED, "tma_load overwrites shared memory that a product under way reads"),
    (7, LAUNCH_FAILED, "without fence_proxy_async"),
    (8, LAUNCH_FAILED, "in a product of its warpgroup"),
    (9, LAUNCH_FAILED, "a product that was not committed"),
    (10, LAUNCH_FAILED, "exits while a product of its warpgroup is under way"),
    (11, MISALIGNED, "which is not a multiple of 1024"),
    (12, LAUNCH_FAILED, "which was not initialised"),
    (13, LAUNCH_FAILED, "more often than the 1 times of a phase"),
    (14, LAUNCH_FAILED, "wrote accumulators of a product under way"),
];

fn wrong_product(order: &str, mistake: i32) -> (c_int, String, Vec<f32>) {
    let Matrices { a, b, .. } = matrices(64, F16);
    let device = Device::with(&[("VGGX_HOST_ORDER", order)]);
    let output = device.allocate(64 * 128 * 4);
    let parameters = Boxes {
        a: map(&device, device.upload(&a), &[64, 64], &[64, 64]),
        b: map(&device, device.upload(&b), &[64, 128], &[64, 128]),
        input: 0,
        output,
        // 3 in float16.
        coordinates: [0x4200, 0, 0, 0],
        bytes: 0,
        value: mistake,
    };
    let result = device.run("wrong_product", (1, 1), 128, SHARED, parameters);
    let values = if result == 0 { device.download(output, 64 * 128) } else { Vec::new() };
    (result, device.last_report(), values)
}

#[test]
fn every_mistake_is_found_in_every_order() {
    for order in ORDERS {
        for (mistake, error, message) in WRONG {
            let (result, report, _) = wrong_product(order, mistake);
            assert_eq!(result, error, "{mistake} {order}: {report}");
            // Boxes that land at once end the phase before the arrival too many, which then waits in the next one.
            let told = report.contains(message) || (mistake == 13 && report.contains("is stuck"));
            assert!(told, "{mistake} {order}: {report}");
        }
        // Sums that are read before the wait are not there.
        let (result, report, values) = wrong_product(order, 4);
        assert_eq!(result, 0, "{order}: {report}");
        assert!(values.iter().all(|value| value.is_nan()), "{order}");
    }
}

/// In other orders they may be there by chance, as on a device.
#[test]
fn boxes_that_are_not_waited_for_are_not_there() {
    let (result, report, _) = wrong_product("forward", 6);
    assert_eq!(result, LAUNCH_FAILED, "{report}");
    assert!(report.contains("a product reads shared memory that a tma_load under way writes"), "{report}");
}

#[test]
fn a_fence_shows_products_what_threads_have_stored() {
    let Matrices { a_values, b_values, .. } = matrices(64, F16);
    for order in ORDERS {
        let (result, report, values) = wrong_product(order, 15);
        assert_eq!(result, 0, "{order}: {report}");
        let a = |row: usize, k: usize| if row == 0 { 3.0 } else { f64::from(a_values[row * 64 + k]) };
        let want = |row: usize, column: usize| {
            (0..64).map(|k| a(row, k) * f64::from(b_values[column * 64 + k])).sum()
        };
        check(&values, want, order);
    }
}

/// Sums of the boxes that each thread reads from the ring; `early` frees slots before they are read.
fn ring(order: &str, early: bool) -> (c_int, String, Vec<u32>) {
    let device = Device::with(&[("VGGX_HOST_ORDER", order)]);
    let values: Vec<u16> = (0..64 * 8 * 9).map(|index| (index * 7 % 1000) as u16).collect();
    let output = device.upload(&[0u32; 96]);
    let parameters = Boxes {
        a: map(&device, device.upload(&values), &[64, 8 * 9], &[64, 8]),
        b: NONE,
        input: 0,
        output,
        coordinates: [i32::from(early), 0, 0, 0],
        bytes: 0,
        value: 9,
    };
    let result = device.run("right_ring", (1, 1), 128, 2 * 1024 + 128, parameters);
    let report = device.last_report();
    let sums = if result == 0 { device.download(output, 96) } else { Vec::new() };
    (result, report, sums)
}

#[test]
fn rings_go_round_and_slots_that_are_freed_too_early_are_noticed() {
    let mut total = 0u64;
    for index in 0..64u64 * 8 * 9 {
        total += index * 7 % 1000;
    }
    for order in ORDERS {
        let (result, report, sums) = ring(order, false);
        assert_eq!(result, 0, "{order}: {report}");
        assert_eq!(sums.iter().map(|&sum| u64::from(sum)).sum::<u64>(), total, "{order}");
    }
    // In this order whoever fills slots goes on as soon as one is free.
    let (result, report, sums) = ring("forward", true);
    assert_eq!(result, 0, "{report}");
    assert_ne!(sums.iter().map(|&sum| u64::from(sum)).sum::<u64>(), total, "nobody noticed");
}

/// A box of [64, 4, 6, 2] that goes to a tensor of [128, 5, 7, 3] full of 9999; the tensor afterwards.
fn store_box(order: &str, coordinates: [i32; 4], mistake: i32) -> (c_int, String, Vec<u16>, Vec<u16>) {
    let (extents, box_extents) = ([128u64, 5, 7, 3], [64u32, 4, 6, 2]);
    let count = extents.iter().product::<u64>() as usize;
    let bytes = 2 * box_extents.iter().product::<u32>();
    let device = Device::with(&[("VGGX_HOST_ORDER", order)]);
    let (tensor, output) = (device.upload(&vec![9999u16; count]), device.upload(&[0u16; 128]));
    let a = map(&device, tensor, &extents, &box_extents);
    let parameters =
        Boxes { a, b: NONE, input: tensor, output, coordinates, bytes: bytes as i32, value: mistake };
    let result = device.run("store_box", (1, 1), 128, bytes + 1024, parameters);
    let report = device.last_report();
    if result != 0 {
        return (result, report, Vec::new(), Vec::new());
    }
    (result, report, device.download(tensor, count), device.download(output, 128))
}

#[test]
fn boxes_leave_unswizzled_and_stay_within_the_tensor() {
    for order in ORDERS {
        for coordinates in
            [[0, 0, 0, 0], [64, -1, -1, 0], [0, 3, 5, 2], [64, 2, -3, -1], [128, 0, 0, 0], [0, 0, 0, 9]]
        {
            let (result, report, tensor, _) = store_box(order, coordinates, 0);
            assert_eq!(result, 0, "{order}: {report}");
            for (index, &got) in tensor.iter().enumerate() {
                let at = [index % 128, index / 128 % 5, index / 640 % 7, index / 4480];
                let within: Vec<i64> =
                    at.iter().zip(coordinates).map(|(&at, from)| at as i64 - i64::from(from)).collect();
                let inside = within.iter().zip([64, 4, 6, 2]).all(|(at, extent)| (0..extent).contains(at));
                let row = (within[3] * 6 + within[2]) * 4 + within[1];
                let place = row * 64 + ((within[0] / 8) ^ (row % 8)) * 8 + within[0] % 8;
                let want = if inside { 1 + place } else { 9999 };
                assert_eq!(i64::from(got), want, "{order} {coordinates:?} {at:?}");
            }
        }
    }
}

#[test]
fn every_mistake_with_boxes_that_leave_is_found_in_every_order() {
    let unfenced = "tma_store of shared memory that threads have written without fence_proxy_async";
    let overwritten = "overwrites shared memory that a tma_store under way reads";
    let left = "exits while a tma_store of its own reads shared memory";
    for order in ORDERS {
        for (mistake, error, message) in [
            (1, LAUNCH_FAILED, unfenced),
            (2, LAUNCH_FAILED, unfenced),
            (3, LAUNCH_FAILED, overwritten),
            (4, LAUNCH_FAILED, overwritten),
            (5, LAUNCH_FAILED, left),
            (6, LAUNCH_FAILED, left),
            (7, MISALIGNED, "which is not a multiple of 1024"),
        ] {
            let (result, report, ..) = store_box(order, [0; 4], mistake);
            // Without the barrier the copy may start before others have fenced what they wrote.
            let told = report.contains(message) || (mistake == 3 && report.contains(unfenced));
            assert!(result == error && told, "{mistake} {order}: {result} {report}");
        }
    }
    // Not there before the kernel is done; in other orders it may be.
    let (result, report, tensor, read_back) = store_box("forward", [0; 4], 8);
    assert_eq!(result, 0, "{report}");
    assert!(
        read_back[..64].iter().all(|&value| value == 9999) && tensor[..64].iter().all(|&value| value != 9999)
    );
}

/// What the blocks of two clusters sum up of the boxes that each shares with the other of its cluster.
fn share_boxes(order: &str, mistake: i32) -> (c_int, String, Vec<u64>) {
    let device = Device::with(&[("VGGX_HOST_ORDER", order)]);
    let values: Vec<u16> = (0..64 * 16 * 9).map(|index| (index * 7 % 1000) as u16).collect();
    let output = device.upload(&[0u32; 4 * 96]);
    let parameters = Boxes {
        a: map(&device, device.upload(&values), &[64, 16 * 9], &[64, 8]),
        b: NONE,
        input: 0,
        output,
        coordinates: [mistake, 0, 0, 0],
        bytes: 0,
        value: 9,
    };
    let result = device.run("share_boxes", (4, 1), 128, 4 * 1024 + 128, parameters);
    let report = device.last_report();
    let sums: Vec<u32> = if result == 0 { device.download(output, 4 * 96) } else { Vec::new() };
    (result, report, sums.chunks(96).map(|sums| sums.iter().map(|&sum| u64::from(sum)).sum()).collect())
}

#[test]
fn blocks_of_a_cluster_share_boxes() {
    let total = (0..64 * 16 * 9u64).map(|index| index * 7 % 1000 * (index / 1024 + 1)).sum();
    for order in ORDERS {
        let (result, report, sums) = share_boxes(order, 0);
        assert_eq!(result, 0, "{order}: {report}");
        assert_eq!(sums, [total; 4], "{order}");
    }
}

#[test]
fn every_mistake_in_a_cluster_is_found_in_every_order() {
    let total = (0..64 * 16 * 9u64).map(|index| index * 7 % 1000 * (index / 1024 + 1)).sum();
    for order in ORDERS {
        for (mistake, messages) in [
            (1, &["which is no address of an object", "which was not initialised"][..]),
            (2, &["of the cluster, which has exited"][..]),
            (4, &["more than", "under way"][..]),
            (5, &["is stuck"][..]),
            (6, &["tma_load to block 2 of a cluster of 2"][..]),
        ] {
            let (result, report, _) = share_boxes(order, mistake);
            let told = messages.iter().any(|message| report.contains(message));
            // The blocks may begin at the same time by chance.
            let lucky = mistake == 1 && result == 0 && order.starts_with("shuffle");
            assert!(lucky || (result != 0 && told), "{mistake} {order}: {result} {report}");
        }
        // The other block may not have read yet what is overwritten.
        let (result, _, sums) = share_boxes(order, 3);
        assert!(result != 0 || sums != [total; 4], "{order}: nobody noticed");
    }
}

#[test]
fn grids_are_whole_clusters() {
    let device = Device::new();
    let parameters = Boxes { a: NONE, b: NONE, input: 0, output: 0, coordinates: [0; 4], bytes: 0, value: 0 };
    assert_eq!(device.run("share_boxes", (3, 1), 128, 4 * 1024 + 128, parameters), INVALID_VALUE);
    assert!(device.last_report().contains("a grid of 3 blocks along x, its clusters have 2"));
}

#[test]
fn tensor_maps_are_checked_as_a_driver_does() {
    let device = Device::new();
    let address = device.allocate(1 << 16);
    let fine = Tensor { address, extents: &[64, 100], box_extents: &[64, 8] };
    assert_eq!(encode(&device, &fine, SWIZZLE_128).0, 0);
    let refused = |tensor: Tensor, strides: &[u64], swizzle: u32, message: &str| {
        let (code, _) = encode_with(&device, &tensor, strides, &[1; 5], swizzle);
        assert_eq!(code, INVALID_VALUE, "{message}");
        assert!(device.last_report().contains(message), "{}", device.last_report());
    };
    refused(Tensor { address: address + 8, ..fine }, &[128], SWIZZLE_128, "not a multiple of 16");
    refused(Tensor { address: 0, ..fine }, &[128], SWIZZLE_128, "a tensor at 0x0");
    refused(Tensor { ..fine }, &[136], SWIZZLE_128, "a stride of 136 bytes");
    refused(Tensor { ..fine }, &[1 << 40], SWIZZLE_128, "below 2^40");
    refused(
        Tensor { box_extents: &[64, 257], ..fine },
        &[128],
        SWIZZLE_128,
        "a box of 257 along dimension 1",
    );
    refused(Tensor { box_extents: &[64, 0], ..fine }, &[128], SWIZZLE_128, "a box of 0");
    refused(Tensor { ..fine }, &[128], SWIZZLE_64, "rows have 128 bytes, more than the 64 of the swizzle");
    refused(Tensor { box_extents: &[4, 8], ..fine }, &[128], SWIZZLE_128, "rows have 8 bytes");
    refused(Tensor { extents: &[64, 0], ..fine }, &[128], SWIZZLE_128, "an extent of 0");
    let six = Tensor { extents: &[64, 1, 1, 1, 1, 1], box_extents: &[64, 1, 1, 1, 1, 1], ..fine };
    refused(six, &[128; 5], SWIZZLE_128, "6 dimensions");
}

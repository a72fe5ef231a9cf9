//! Batches of all sizes, memory that is short, drivers and devices that fail.
//!
//! What a process reads from its environment once is tried in processes of its own: [`in_child`] runs one of the ignored
//! tests below, and looks at what it prints.

use std::process::Command;

use vggx::backend::cuda::device::devices;
use vggx::backend::cuda::{CudaOptions, Precision};
use vggx::backend::{Backend, BackendError, Batch, Gate, PassId, Pixels, Start};
use vggx::explain::on_cuda;
use vggx::weights::ElementType;

use crate::host_driver;
use crate::passes::{cuda, prepare, try_prepare};
use crate::reference::random_vgg;
use crate::support::{Case, random_pixels};

const SIZE: (usize, usize) = (11, 14);

fn case() -> Case {
    Case::new(random_vgg(41, 3, &[&[12], &[20, 9]], Some((2, &[30, 12]))), ElementType::F32)
}

/// What an image's results are, bit by bit: the responses, then each pass's exponent and values.
type Bits = Vec<u32>;

/// Runs two passes on a batch of some of the test's images.
fn run(
    backend: &dyn Backend,
    passes: &[PassId],
    (height, width): (usize, usize),
    images: &[u64],
) -> Vec<Bits> {
    let pixels: Vec<u8> = images.iter().flat_map(|&image| random_pixels(image, height, width)).collect();
    let batch = Batch { images: images.len(), height, width, pixels: Pixels::Rgb8(&pixels) };
    let trace = backend.forward(&batch).expect("the batch runs");
    let targets: Vec<usize> = images.iter().map(|&image| image as usize % 12).collect();
    let mut bits: Vec<Bits> = (0..images.len())
        .map(|image| trace.responses(image).iter().map(|response| response.to_bits()).collect())
        .collect();
    for &pass in passes {
        for (bits, relevance) in bits.iter_mut().zip(trace.backward(pass, &targets)) {
            let relevance = relevance.expect("the image runs");
            bits.push(relevance.scale_log2 as u32);
            bits.extend(relevance.values.iter().map(|value| value.to_bits()));
        }
    }
    bits
}

/// FNV-1a.
fn digest(bits: &Bits) -> u64 {
    bits.iter()
        .fold(0xcbf2_9ce4_8422_2325, |digest, &bits| (digest ^ u64::from(bits)).wrapping_mul(0x100_0000_01b3))
}

fn two_passes(backend: &mut dyn Backend, case: &Case) -> [PassId; 2] {
    [
        prepare(backend, case, Gate::MaskAndSign, Start::One),
        prepare(backend, case, Gate::Mask, Start::Response),
    ]
}

#[test]
fn results_are_the_same_bits_for_every_batch_and_in_every_order() {
    let case = case();
    for precision in [Precision::F16, Precision::F32] {
        let mut cuda = cuda(&case, precision);
        let passes = two_passes(&mut cuda, &case);
        let images: Vec<u64> = (0..33).collect();
        let expected = run(&cuda, &passes, SIZE, &images);
        // Alone, in a plan of its own; a few, in a plan for 33; many again; another size between.
        assert_eq!(run(&cuda, &passes, SIZE, &[7])[0], expected[7]);
        run(&cuda, &passes, (9, 17), &[3, 4]);
        assert_eq!(run(&cuda, &passes, SIZE, &images), expected);
        assert_eq!(run(&cuda, &passes, SIZE, &images[10..20]), expected[10..20]);
        assert_eq!(run(&cuda, &passes, SIZE, &[5, 32, 1]), [5, 32, 1].map(|image| expected[image].clone()));
        assert!(cuda.notices().is_empty());
    }
}

#[test]
fn batches_on_several_threads_do_not_meet() {
    let case = case();
    let mut cuda = cuda(&case, Precision::F16);
    let passes = two_passes(&mut cuda, &case);
    assert_eq!(cuda.concurrent_batches(), 2);
    let images: Vec<u64> = (0..12).collect();
    let expected = run(&cuda, &passes, SIZE, &images);
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let (cuda, passes, expected, images) = (&cuda, &passes, &expected, &images);
            scope.spawn(move || {
                for first in [thread, thread + 4, thread] {
                    let range = first..first + 1 + thread;
                    assert_eq!(run(cuda, passes, SIZE, &images[range.clone()]), expected[range]);
                }
            });
        }
    });
}

#[test]
fn batches_without_images_and_of_wrong_sizes() {
    let case = case();
    let mut cuda = cuda(&case, Precision::F16);
    let passes = two_passes(&mut cuda, &case);
    let empty = Batch { images: 0, height: 11, width: 14, pixels: Pixels::Rgb8(&[]) };
    let trace = cuda.forward(&empty).expect("nothing runs well");
    assert!(trace.backward(passes[0], &[]).is_empty());
    let short = Batch { images: 2, height: 11, width: 14, pixels: Pixels::Rgb8(&[0; 11 * 14 * 3]) };
    assert!(matches!(
        cuda.forward(&short).err(),
        Some(BackendError::BatchSize { got: 462, expected: 924, .. })
    ));
    let small = Batch { images: 1, height: 2, width: 3, pixels: Pixels::Rgb8(&[0; 18]) };
    assert!(matches!(cuda.forward(&small).err(), Some(BackendError::Network(_))));
}

/// Runs an ignored test of this file in a process of its own; gives what it printed, which must say that it passed.
fn in_child(test: &str, variables: &[(&str, &str)]) -> String {
    ignored_in_child(&format!("edges::{test}"), variables)
}

/// As [`in_child`], of any file.
pub fn ignored_in_child(test: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this program has a name"));
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads", "1"]);
    for (variable, value) in variables {
        command.env(variable, value);
    }
    let output = command.output().expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test} with {variables:?}:\n{text}\n{errors}");
    text
}

/// What a child printed behind a word.
pub fn printed<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.split_once(word)).map(|(_, rest)| rest.trim()).collect()
}

#[test]
#[ignore = "run by others with variables set"]
fn child_prints_results() {
    let case = case();
    let live = host_driver::load().map_or(0, host_driver::Library::live);
    for precision in [Precision::F16, Precision::Bf16, Precision::F32] {
        let mut cuda = cuda(&case, precision);
        let passes = two_passes(&mut cuda, &case);
        // Again, as passes are captured at their second run and launched as a whole from then on.
        let batch = vec![4, 9, 2, 3, 8];
        for images in [batch.clone(), batch.clone(), batch, vec![1]] {
            for bits in run(&cuda, &passes, SIZE, &images) {
                println!("digest {:016x}", digest(&bits));
            }
        }
        for notice in cuda.notices() {
            println!("notice {notice}");
        }
    }
    if let Some(library) = host_driver::load() {
        assert_eq!(library.live(), live, "something was not freed");
    }
}

#[test]
fn launches_allocations_and_orders_do_not_change_a_bit() {
    let expected = in_child("child_prints_results", &[]);
    let digests = printed(&expected, "digest ");
    assert_eq!(digests.len(), 3 * (3 * 5 + 1));
    let variants: [&[(&str, &str)]; 5] = [
        &[("VGGX_NO_GRAPHS", "1")],
        &[("VGGX_NO_CLUSTERS", "1")],
        &[("VGGX_SEPARATE_ALLOCATIONS", "1")],
        &[("VGGX_SEPARATE_ALLOCATIONS", "1"), ("VGGX_NO_GRAPHS", "1"), ("VGGX_HOST_ORDER", "reverse")],
        &[("VGGX_HOST_ORDER", "shuffle:5")],
    ];
    for variables in variants {
        let text = in_child("child_prints_results", variables);
        assert_eq!(printed(&text, "digest "), digests, "{variables:?}");
        assert!(printed(&text, "notice ").is_empty());
    }
    clusters_run_unless_they_are_left_alone();
    older_devices_give_what_portable_kernels_give("edges::child_prints_results", &digests);
}

/// Their kernels, made to fail, are missed by whoever uses them.
fn clusters_run_unless_they_are_left_alone() {
    if host_driver::on_device() {
        return; // no kernel of it fails when asked
    }
    let succeeds = |variables: &[(&str, &str)]| {
        let mut command = Command::new(std::env::current_exe().expect("this program has a name"));
        command.args(["edges::child_prints_results", "--exact", "--ignored"]).envs(variables.iter().copied());
        command.output().expect("this program runs").status.success()
    };
    let fails = ("VGGX_HOST_FAIL", "hopper_forward_f16_256x64_cluster=700");
    assert!(!succeeds(&[fails]), "no cluster runs a layer");
    assert!(succeeds(&[fails, ("VGGX_NO_CLUSTERS", "1")]), "clusters run all the same");
}

/// Less shared memory means other tiles and fewer stages, but the portable kernels give the same bits with them. Those of compute capability
/// 9.0, which gave `digests`, sum in another order.
pub fn older_devices_give_what_portable_kernels_give(test: &str, digests: &[&str]) {
    if host_driver::on_device() {
        return; // it is as old as it is
    }
    let portable = ignored_in_child(test, &[("VGGX_PORTABLE_KERNELS", "1")]);
    let older = ignored_in_child(test, &[("VGGX_HOST_CAPABILITY", "8.6")]);
    assert_eq!(printed(&portable, "digest "), printed(&older, "digest "), "{test}");
    assert_ne!(printed(&portable, "digest "), digests, "{test}: the choice does nothing");
}

#[test]
fn batches_run_in_parts_where_memory_is_short() {
    if host_driver::on_device() {
        return; // its memory cannot be made short
    }
    let expected = in_child("child_prints_results", &[]);
    let digests = printed(&expected, "digest ");
    // Up to the first amount that all images fit into; the operators alone take about 350 kB.
    let (mut refused, mut parted) = (0, 0);
    for memory in (1..).map(|step| (step * 20_000).to_string()) {
        let text = in_child("child_prints_parts", &[("VGGX_HOST_MEMORY", &memory)]);
        if !printed(&text, "refused ").is_empty() {
            assert_eq!(parted, 0, "{memory}: refused, although less was enough");
            refused += 1;
            continue;
        }
        assert_eq!(printed(&text, "digest "), digests[..5], "{memory}");
        match printed(&text, "notice ")[..] {
            [] => break,
            [notice] => assert!(notice.contains("they run in parts of "), "{notice}"),
            _ => unreachable!("{memory}: said more than once: {text}"),
        }
        parted += 1;
    }
    println!("{refused} amounts of memory were refused, {parted} ran in parts");
    assert!(refused > 0 && parted > 0);
}

#[test]
#[ignore = "run by others with variables set"]
fn child_prints_parts() {
    let case = case();
    host_driver::load();
    let options = CudaOptions { precision: Precision::F16, ..CudaOptions::default() };
    let mut cuda = match on_cuda(&case.weights, &options) {
        Ok(cuda) => cuda,
        Err(error) => {
            println!("refused {error}");
            return;
        }
    };
    let mut passes = Vec::new();
    for (gate, start) in [(Gate::MaskAndSign, Start::One), (Gate::Mask, Start::Response)] {
        match try_prepare(&mut cuda, &case, gate, start) {
            Ok(pass) => passes.push(pass),
            Err(error) => {
                println!("refused {error}");
                return;
            }
        }
    }
    let pixels: Vec<u8> =
        [4, 9, 2, 3, 8].iter().flat_map(|&image| random_pixels(image, SIZE.0, SIZE.1)).collect();
    let batch = Batch { images: 5, height: SIZE.0, width: SIZE.1, pixels: Pixels::Rgb8(&pixels) };
    if let Err(error) = cuda.forward(&batch) {
        println!("refused {error}");
        return;
    }
    for bits in run(&cuda, &passes, SIZE, &[4, 9, 2, 3, 8]) {
        println!("digest {:016x}", digest(&bits));
    }
    for notice in cuda.notices() {
        println!("notice {notice}");
    }
    println!("batch {}", cuda.preferred_batch());
}

#[test]
#[ignore = "run by others with variables set"]
fn child_prints_errors() {
    let case = case();
    if std::env::var_os("VGGX_TEST_NO_DRIVER").is_none() {
        host_driver::load();
    }
    let device = std::env::var("VGGX_TEST_INDEX").map_or(0, |index| index.parse().expect("a number"));
    let options = CudaOptions { device, ..CudaOptions::default() };
    match devices() {
        Ok(devices) => println!("devices {}", devices.len()),
        Err(error) => println!("no devices: {error}"),
    }
    let mut cuda = match on_cuda(&case.weights, &options) {
        Ok(cuda) => cuda,
        Err(error) => {
            println!("open: {error}");
            return;
        }
    };
    let pass = match try_prepare(&mut cuda, &case, Gate::Mask, Start::One) {
        Ok(pass) => pass,
        Err(error) => {
            println!("prepare: {error}");
            return;
        }
    };
    let pixels = random_pixels(1, SIZE.0, SIZE.1);
    let batch = Batch { images: 1, height: SIZE.0, width: SIZE.1, pixels: Pixels::Rgb8(&pixels) };
    for _ in 0..2 {
        match cuda.forward(&batch) {
            Ok(trace) => match &trace.backward(pass, &[0])[0] {
                Ok(_) => println!("fine"),
                Err(error) => println!("backward: {error}"),
            },
            Err(error) => println!("forward: {error}"),
        }
    }
}

/// The messages of a run with these variables.
fn messages(variables: &[(&str, &str)]) -> String {
    in_child("child_prints_errors", variables)
}

#[test]
fn what_is_missing_is_said() {
    if host_driver::on_device() {
        return; // its driver is as it is
    }
    assert!(messages(&[]).contains("devices 1\nfine\nfine\n"));
    let none = messages(&[("VGGX_HOST_DEVICES", "0")]);
    assert!(none.contains("no devices: the NVIDIA driver finds no device") && none.contains("open: "));
    let text = messages(&[("VGGX_HOST_DEVICES", "2"), ("VGGX_TEST_INDEX", "2")]);
    assert!(text.contains("open: there is no CUDA device 2: this machine has 2, counted from 0"), "{text}");
    let text = messages(&[("VGGX_TEST_NO_DRIVER", "1")]);
    // A machine may have a driver of its own.
    assert!(text.contains("open: no NVIDIA driver") || text.contains("devices "), "{text}");
    let text = messages(&[("VGGX_HOST_CAPABILITY", "7.5")]);
    assert!(text.contains("has compute capability 7.5, and this build of vggx holds kernels for"), "{text}");
    let text = messages(&[("VGGX_HOST_CAPABILITY", "7.5"), ("VGGX_HOST_DRIVER_VERSION", "12020")]);
    assert!(text.contains("too old: it supports CUDA 12.2, and this build of vggx needs 13.0"), "{text}");
}

#[test]
fn a_kernel_that_fails_is_named_and_the_device_stays_lost() {
    if host_driver::on_device() {
        return; // its kernels do not fail on demand
    }
    let exact = "forward: a CUDA kernel failed, average_pool_f16 (the map before the dense layers, 1 images";
    // The first time passes run kernel by kernel.
    let text = messages(&[("VGGX_HOST_FAIL", "average_pool_f16@1=700")]);
    assert!(text.contains(exact), "{text}");
    assert_eq!(text.matches("CUDA_ERROR_ILLEGAL_ADDRESS").count(), 2, "{text}");
    let again = ("VGGX_HOST_FAIL", "average_pool_f16@2=700");
    let text = messages(&[again]);
    assert!(
        text.contains("forward: a CUDA kernel failed, one of the forward pass on 1 images of 11×14"),
        "{text}"
    );
    assert!(text.contains("fine") && text.contains("VGGX_NO_GRAPHS=1 tells which"), "{text}");
    let text = messages(&[again, ("VGGX_NO_GRAPHS", "1")]);
    assert!(text.contains("fine") && text.contains(exact), "{text}");
    let fail = ("VGGX_HOST_FAIL", "output_planes@1=719");
    let text = messages(&[fail]);
    assert!(
        text.contains("backward: a CUDA kernel failed, output_planes (features.0, 1 images of 11×14"),
        "{text}"
    );
    let text = messages(&[("VGGX_HOST_FAIL", "prepare_operator_f16@2=719")]);
    assert!(
        text.contains("open: a CUDA kernel failed, prepare_operator_f16 (operator of features."),
        "{text}"
    );
    // As is a launch that is refused at once.
    let text = messages(&[("VGGX_HOST_FAIL", "cuLaunchKernel@30=701")]);
    assert!(
        text.contains("a CUDA kernel failed, ") && text.contains("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"),
        "{text}"
    );
    assert!(text.contains("; grid "), "{text}");
}

#[test]
fn every_call_of_the_driver_may_fail() {
    if host_driver::on_device() {
        return;
    }
    let calls = [
        "cuDeviceGetCount",
        "cuDeviceGetAttribute",
        "cuDevicePrimaryCtxRetain",
        "cuCtxPushCurrent_v2",
        "cuMemGetInfo_v2",
        "cuMemAlloc_v2",
        "cuMemHostAlloc",
        "cuMemcpyHtoDAsync_v2",
        "cuMemcpyDtoHAsync_v2",
        "cuMemsetD8Async",
        "cuStreamCreate",
        "cuStreamSynchronize",
        "cuStreamBeginCapture_v2",
        "cuStreamEndCapture",
        "cuEventCreate",
        "cuEventRecord",
        "cuEventSynchronize",
        "cuGraphInstantiateWithFlags",
        "cuGraphLaunch",
        "cuModuleLoadData",
        "cuModuleGetFunction",
        "cuFuncSetAttribute",
        "cuLaunchKernel",
    ];
    for call in calls {
        let text = messages(&[("VGGX_HOST_FAIL", &format!("{call}=801"))]);
        let name = call.trim_end_matches("_v2");
        let name = if name == "cuGraphInstantiateWithFlags" { "cuGraphInstantiate" } else { name };
        assert!(text.contains("CUDA_ERROR_NOT_SUPPORTED"), "{call}: {text}");
        assert!(call == "cuLaunchKernel" || text.contains(name), "{call}: {text}");
        // The first of the two runs needs no graphs.
        let is_of_graphs = call.contains("Capture") || call.contains("Graph");
        assert_eq!(text.matches("fine").count(), usize::from(is_of_graphs), "{call}: {text}");
    }
}

//! Layers that run for parts of a batch: the same bits as for the whole batch, for every kind of pass and of pixels. How a process runs
//! them is read from its environment once, so it is tried in processes of its own.

use vggx::backend::cuda::{CudaOptions, Precision};
use vggx::backend::{Backend, Batch, Gate, Pixels, Start};
use vggx::explain::on_cuda;
use vggx::weights::ElementType;

use crate::edges::{ignored_in_child, printed};
use crate::host_driver;
use crate::passes::prepare;
use crate::reference::random_vgg;
use crate::support::{Case, random_pixels};

/// Parts of two images of so many pixels begin at multiples of 16 bytes.
const SIZE: (usize, usize) = (12, 14);

fn digest(values: impl Iterator<Item = u32>) -> u64 {
    values
        .fold(0xcbf2_9ce4_8422_2325, |digest, bits| (digest ^ u64::from(bits)).wrapping_mul(0x100_0000_01b3))
}

/// Prints what every gate and start gives for five images, twice, as passes are captured at their second run.
fn print_passes(case: &Case, precision: Precision, normalised: bool) {
    host_driver::load();
    let options = CudaOptions { precision, ..CudaOptions::default() };
    let mut cuda = on_cuda(&case.weights, &options).expect("a device that runs VGGs");
    let gates = [Gate::Mask, Gate::Sign, Gate::MaskAndSign];
    let combinations =
        gates.iter().flat_map(|&gate| [Start::One, Start::Response].map(|start| (gate, start)));
    let passes: Vec<_> = combinations.map(|(gate, start)| prepare(&mut cuda, case, gate, start)).collect();
    let (height, width) = SIZE;
    let bytes: Vec<u8> = (0..5).flat_map(|image| random_pixels(image, height, width)).collect();
    let values: Vec<f32> = bytes
        .chunks_exact(height * width * 3)
        .flat_map(|pixels| Case::input(pixels).into_iter().map(|value| value as f32))
        .collect();
    let pixels = if normalised { Pixels::Normalised(&values) } else { Pixels::Rgb8(&bytes) };
    let batch = Batch { images: 5, height, width, pixels };
    for _ in 0..2 {
        let trace = cuda.forward(&batch).expect("the batch runs");
        let targets: Vec<usize> = (0..batch.images).collect();
        for image in 0..batch.images {
            println!("digest {:016x}", digest(trace.responses(image).iter().map(|value| value.to_bits())));
        }
        for &pass in &passes {
            for relevance in trace.backward(pass, &targets) {
                let relevance = relevance.expect("the image runs");
                let values = relevance.values.iter().map(|value| value.to_bits());
                println!("digest {:016x}", digest(values.chain([relevance.scale_log2 as u32])));
            }
        }
    }
    assert!(cuda.notices().is_empty());
}

#[test]
#[ignore = "run by others with variables set"]
fn child_prints_passes() {
    // Pools behind the second, third and fifth convolution.
    let blocks: [&[usize]; 3] = [&[12, 20], &[9], &[10, 8]];
    let classifier = Some((2, &[30, 12][..]));
    for (classifier, precision, normalised) in
        [(classifier, Precision::F16, false), (None, Precision::Bf16, true)]
    {
        let case = Case::new(random_vgg(41, 3, &blocks, classifier), ElementType::F32);
        print_passes(&case, precision, normalised);
    }
    // Signals in float8 at two of four convolutions, one of them below a pool; the portable kernels have none.
    if std::env::var("VGGX_PORTABLE_KERNELS").is_ok_and(|value| value != "0") {
        return;
    }
    let wide: [&[usize]; 2] = [&[8, 128], &[120, 20]];
    print_passes(&Case::new(random_vgg(43, 3, &wide, None), ElementType::F32), Precision::F8, false);
}

#[test]
fn parts_of_a_batch_give_the_bits_of_the_whole() {
    let child = |variables: &[(&str, &str)]| ignored_in_child("subbatches::child_prints_passes", variables);
    // Two by two, with a rest of one: through all layers, through two and then the next two. Four and one, through each.
    let all: &[(&str, &str)] = &[("VGGX_SUBBATCHES", "2x9"), ("VGGX_HOST_ORDER", "shuffle:3")];
    let two: &[(&str, &str)] =
        &[("VGGX_SUBBATCHES", "2x2"), ("VGGX_SEPARATE_ALLOCATIONS", "1"), ("VGGX_NO_CLUSTERS", "1")];
    let each: &[(&str, &str)] = &[("VGGX_SUBBATCHES", "4x1"), ("VGGX_NO_GRAPHS", "1")];
    for (portable, variants) in [("0", &[all, two, each][..]), ("1", &[two])] {
        let path = ("VGGX_PORTABLE_KERNELS", portable);
        let whole = child(&[path, ("VGGX_NO_SUBBATCHES", "1")]);
        let digests = printed(&whole, "digest ");
        assert_eq!(digests.len(), if portable == "0" { 3 } else { 2 } * 2 * (5 + 6 * 5));
        for &variables in variants {
            let text = child(&[&[path], variables].concat());
            assert_eq!(printed(&text, "digest "), digests, "{portable}, {variables:?}");
        }
    }
}

#[test]
fn other_tests_pass_for_parts_of_a_batch() {
    let judges = ["device_memory::explanations_on_the_device_are_the_same_bits", "heat_maps::"];
    let mut command = std::process::Command::new(std::env::current_exe().expect("this program has a name"));
    let output = command.args(judges).env("VGGX_SUBBATCHES", "2x2").output().expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let passed = |judge| text.lines().any(|line| line.contains(judge) && line.ends_with("... ok"));
    assert!(judges.into_iter().all(passed), "{text}");
}

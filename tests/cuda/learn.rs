//! Moments that are summed on the device: against float64, against the CPU, against themselves.

use vggx::backend::cuda::{Cuda, CudaOptions, Precision};
use vggx::backend::{Backend, BackendError, Batch, Lags, LayerMoments, Moments, Pixels, SecondMoments};
use vggx::explain::{on_cpu, on_cuda};
use vggx::weights::ElementType;

use crate::edges::{ignored_in_child, older_devices_give_what_portable_kernels_give, printed};
use crate::host_driver;
use crate::learned::{ALL, Images, learn, learn_from, pattern};
use crate::passes::cuda;
use crate::reference::{
    Positions, ReferenceMoments, ReferenceNetwork, RegimeMoments, Trace, cosine, random_vgg,
};
use crate::support::{Case, decisive_images, random_pixels};

/// Error of a value of the forward pass over the root mean square of its layer: what [`decisive_images`] allows for too.
const FORWARD: f64 = 5e-6;
/// Error of a float32 sum of at most 4096 terms over the sum of their magnitudes, as in the tests of learning on the CPU.
const SUM: f64 = 4e-6;

/// A network, and batches of images of which float32 can tell every mask.
struct Learning {
    case: Case,
    batches: Vec<Images>,
    /// Input and trace of every image.
    drawn: Vec<(Vec<f64>, Trace)>,
}

impl Learning {
    fn new(network: ReferenceNetwork, sizes: &[((usize, usize), usize)]) -> Self {
        let case = Case::new(network, ElementType::F32);
        let (mut batches, mut drawn) = (Vec::new(), Vec::new());
        for (index, &(size, count)) in sizes.iter().enumerate() {
            let images = decisive_images(&case.network, size, count, 300 + index as u64);
            batches.push(Images { size, pixels: images.iter().map(|(pixels, _)| pixels.clone()).collect() });
            drawn.extend(images.into_iter().map(|(pixels, trace)| (Case::input(&pixels), trace)));
        }
        Learning { case, batches, drawn }
    }

    fn positions(&self, layer: usize) -> Positions {
        let pairs: Vec<(&[f64], &Trace)> =
            self.drawn.iter().map(|(input, trace)| (input.as_slice(), trace)).collect();
        self.case.network.positions(layer, &pairs)
    }
}

fn cases() -> Vec<(&'static str, Learning)> {
    let classifier = random_vgg(61, 3, &[&[8], &[70, 11], &[20, 24]], Some((2, &[29, 15, 7])));
    let headless = random_vgg(62, 3, &[&[20, 9], &[16, 70]], None);
    let flat = random_vgg(63, 3, &[&[12], &[14]], Some((1, &[9])));
    vec![
        ("classifier", Learning::new(classifier, &[((19, 22), 5), ((16, 16), 2)])),
        ("headless", Learning::new(headless, &[((7, 13), 33), ((13, 16), 1)])),
        ("flat", Learning::new(flat, &[((4, 5), 33), ((5, 4), 1)])),
    ]
}

fn root_mean_square(values: &[f64]) -> f64 {
    (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt()
}

#[track_caller]
fn within(what: &str, got: &[f64], exact: &[f64], bound: impl Fn(usize) -> f64) {
    assert_eq!(got.len(), exact.len(), "{what}");
    for (at, (got, exact)) in got.iter().zip(exact).enumerate() {
        let (error, bound) = ((got - exact).abs(), bound(at));
        assert!(error <= bound, "{what}[{at}]: {got} for {exact}, bound {bound:e}");
    }
}

/// Every sum, with the rounding of x (`error_x`) and of y (`error_y`).
fn compare_moments(at: &str, moments: &LayerMoments, positions: &Positions, (error_x, error_y): (f64, f64)) {
    let (exact, absolute): (ReferenceMoments, ReferenceMoments) =
        (positions.moments(), positions.absolute_moments());
    let (all, fan_in) = (positions.count as f64, positions.fan_in);
    assert_eq!(moments.positions, all, "{at}: positions");
    assert_eq!(moments.positive_count, exact.positive.count, "{at}: positive positions");
    // Summed in float64.
    within(&format!("{at}: x"), &moments.x, &exact.x, |k| all * error_x + 1e-12 * absolute.x[k]);
    let x_bound = |size: &RegimeMoments, k: usize| size.count[k / fan_in] * error_x + SUM * size.x[k];
    let positive = &absolute.positive;
    within(&format!("{at}: positive.x"), &moments.positive_x, &exact.positive.x, |k| x_bound(positive, k));
    let regimes = [
        (
            "positive",
            &moments.positive_y,
            &moments.positive_yy,
            &moments.positive_xy,
            &exact.positive,
            positive,
        ),
        (
            "negative",
            &moments.negative_y,
            &moments.negative_yy,
            &moments.negative_xy,
            &exact.negative,
            &absolute.negative,
        ),
    ];
    for (regime, y, yy, xy, exact, size) in regimes {
        let count = &exact.count;
        within(&format!("{at}: {regime}.y"), y, &exact.y, |j| count[j] * error_y + SUM * size.y[j]);
        within(&format!("{at}: {regime}.yy"), yy, &exact.yy, |j| {
            2.0 * error_y * size.y[j] + count[j] * error_y.powi(2) + SUM * size.yy[j]
        });
        within(&format!("{at}: {regime}.xy"), xy, &exact.xy, |k| {
            let j = k / fan_in;
            let mean_y = size.y[j] / count[j].max(1.0);
            let products = error_x * size.y[j]
                + error_y * size.x[k]
                + count[j] * error_x * error_y
                + SUM * (size.xy[k] + mean_y * size.x[k]);
            // The negative regime is what the positive one leaves of Σx.
            products + mean_y * (x_bound(size, k) + x_bound(positive, k))
        });
    }
}

/// The patterns of a layer as 1 − cosine, of neurons with so many positions in the regime.
fn pattern_distances(
    moments: &LayerMoments,
    positions: &Positions,
    weight: &[f64],
    least: usize,
) -> Vec<f64> {
    let mut distances = Vec::new();
    for neuron in 0..positions.outputs {
        for (component, centering) in ALL {
            if positions.of(component, neuron).len() < least {
                continue;
            }
            let ours = pattern(moments, weight, neuron, component, centering);
            let expected = positions.pattern(weight, neuron, component, centering);
            assert_eq!(ours.is_some(), expected.is_some(), "{neuron} {component:?} {centering:?}");
            if let (Some(ours), Some(expected)) = (ours, expected) {
                distances.push(1.0 - cosine(&ours, &expected));
            }
        }
    }
    distances
}

#[test]
fn moments_in_float32_are_those_of_float64() {
    for (name, learning) in cases() {
        let cuda = cuda(&learning.case, Precision::F32);
        let moments = learn(&cuda, &learning.case.weights, &learning.batches);
        let (mut error_x, mut worst, mut compared) = (0.0, 0.0f64, 0);
        for (index, layer) in learning.case.network.parametric_layers().into_iter().enumerate() {
            let positions = learning.positions(index);
            let error_y = FORWARD * root_mean_square(&positions.y);
            compare_moments(
                &format!("{name}, layer {index}"),
                &moments.layers[index],
                &positions,
                (error_x, error_y),
            );
            error_x = error_y;
            let distances = pattern_distances(&moments.layers[index], &positions, layer.weight, 8);
            compared += distances.len();
            worst = distances.into_iter().fold(worst, f64::max);
        }
        println!("{name}: {compared} patterns, worst 1 − cosine {worst:.1e}");
        assert!(compared > 100 && worst <= 1e-4, "{name}: 1 − cosine {worst:e}");
    }
}

/// The distance at a share of a sorted list.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

/// End to end, flipped masks included: what is promised of float16 (median 0.9999, 95 % at 0.99); bfloat16 has an eighth of its
/// precision and is judged for gross errors.
#[test]
fn half_precisions_learn_nearly_the_same_patterns() {
    for (name, learning) in cases() {
        for (precision, median, most) in [(Precision::F16, 1e-4, 1e-2), (Precision::Bf16, 1e-2, 0.2)] {
            let cuda = cuda(&learning.case, precision);
            let moments = learn(&cuda, &learning.case.weights, &learning.batches);
            let mut distances = Vec::new();
            for (index, layer) in learning.case.network.parametric_layers().into_iter().enumerate() {
                let positions = learning.positions(index);
                assert_eq!(moments.layers[index].positions, positions.count as f64, "{name}: positions");
                distances.extend(pattern_distances(&moments.layers[index], &positions, layer.weight, 30));
            }
            distances.sort_by(f64::total_cmp);
            let (middle, high) = (quantile(&distances, 0.5), quantile(&distances, 0.95));
            println!(
                "{name} {precision:?}: {} patterns, median {middle:.1e}, 95 % {high:.1e}",
                distances.len()
            );
            assert!(
                middle <= median && high <= most,
                "{name} {precision:?}: median {middle:e}, 95 % {high:e}"
            );
        }
    }
}

fn case() -> Case {
    Case::new(random_vgg(64, 3, &[&[8], &[20, 11]], Some((2, &[29, 7]))), ElementType::F32)
}

fn batch_of(seed: u64, count: usize, size: (usize, usize)) -> Images {
    Images {
        size,
        pixels: (0..count as u64).map(|image| random_pixels(seed * 100 + image, size.0, size.1)).collect(),
    }
}

fn batches() -> Vec<Images> {
    vec![
        batch_of(1, 5, (11, 14)),
        batch_of(2, 5, (11, 14)),
        batch_of(3, 5, (11, 14)),
        batch_of(4, 2, (9, 17)),
    ]
}

#[test]
fn continuing_gives_the_same_bits() {
    let case = case();
    for precision in [Precision::F32, Precision::F16] {
        let cuda = cuda(&case, precision);
        // The second and third batch run as a graph, and alone step by step.
        let at_once = learn(&cuda, &case.weights, &batches());
        let mut moments = Moments::zeros(case.weights.network(), false);
        for batch in batches() {
            moments = learn_from(&cuda, moments, std::slice::from_ref(&batch));
        }
        assert!(moments == at_once, "{precision:?}");
        // Reading between changes nothing either.
        let mut learner = cuda.learn(Moments::zeros(case.weights.network(), false)).expect("memory");
        for Images { size: (height, width), pixels } in &batches() {
            let joined = pixels.concat();
            let batch =
                Batch { images: pixels.len(), height: *height, width: *width, pixels: Pixels::Rgb8(&joined) };
            learner.add(&batch).expect("it runs");
            learner.moments().expect("it answers");
        }
        assert!(*learner.moments().expect("it answers") == at_once, "{precision:?}, read between");
    }
}

fn digest(moments: &Moments) -> u64 {
    moments
        .layers
        .iter()
        .flat_map(|layer| layer.fields().into_iter().flat_map(|field| field.values.to_vec()))
        .fold(0xcbf2_9ce4_8422_2325, |digest, value| (digest ^ value.to_bits()).wrapping_mul(0x100_0000_01b3))
}

#[test]
#[ignore = "run by others with variables set"]
fn child_prints_moments() {
    let case = case();
    let live = host_driver::load().map_or(0, host_driver::Library::live);
    for precision in [Precision::F16, Precision::Bf16, Precision::F32] {
        let cuda = cuda(&case, precision);
        println!("digest {:016x}", digest(&learn(&cuda, &case.weights, &batches())));
        for notice in cuda.notices() {
            println!("notice {notice}");
        }
    }
    if let Some(library) = host_driver::load() {
        assert_eq!(library.live(), live, "something was not freed");
    }
}

#[test]
fn launches_allocations_and_orders_do_not_change_a_bit_of_moments() {
    let expected = ignored_in_child("learn::child_prints_moments", &[]);
    let digests = printed(&expected, "digest ");
    assert_eq!(digests.len(), 3);
    let variants: [&[(&str, &str)]; 4] = [
        &[("VGGX_NO_GRAPHS", "1")],
        &[("VGGX_SUBBATCHES", "2x2")],
        &[("VGGX_SEPARATE_ALLOCATIONS", "1"), ("VGGX_NO_GRAPHS", "1"), ("VGGX_HOST_ORDER", "reverse")],
        &[("VGGX_HOST_ORDER", "shuffle:5")],
    ];
    for variables in variants {
        let text = ignored_in_child("learn::child_prints_moments", variables);
        assert_eq!(printed(&text, "digest "), digests, "{variables:?}");
        assert!(printed(&text, "notice ").is_empty());
    }
    older_devices_give_what_portable_kernels_give("learn::child_prints_moments", &digests);
}

#[test]
fn an_image_that_is_not_finite_is_left_out_and_told() {
    let case = case();
    let (height, width) = (11, 14);
    let images: Vec<Vec<f32>> = (0..3)
        .map(|image| {
            Case::input(&random_pixels(image, height, width)).iter().map(|&value| value as f32).collect()
        })
        .collect();
    let mut with = images.clone();
    with.insert(1, images[0].clone());
    with[1][70] = f32::NAN;
    for precision in [Precision::F32, Precision::F16] {
        let cuda = cuda(&case, precision);
        let run = |images: &[Vec<f32>]| {
            let joined = images.concat();
            let batch = Batch { images: images.len(), height, width, pixels: Pixels::Normalised(&joined) };
            let mut learner = cuda.learn(Moments::zeros(case.weights.network(), false)).expect("memory");
            let failures = learner.add(&batch).expect("it runs");
            (failures, learner.moments().expect("it answers").clone())
        };
        let (failures, ours) = run(&with);
        assert!(
            matches!(&failures[..], [None, Some(BackendError::ActivationOverflow { layer }), None, None] if layer == "features.0"),
            "{failures:?}"
        );
        let (failures, expected) = run(&images);
        assert!(failures.iter().all(Option::is_none));
        for (ours, expected) in ours.layers.iter().zip(&expected.layers) {
            // The same images in other blocks.
            assert_eq!(ours.positions, expected.positions);
            assert_eq!(ours.positive_count, expected.positive_count);
            for (ours, expected) in ours.fields().iter().zip(expected.fields()) {
                let size = root_mean_square(expected.values);
                for (a, b) in ours.values.iter().zip(expected.values) {
                    assert!((a - b).abs() <= 1e-5 * (b.abs() + size), "{}: {a} and {b}", expected.name);
                }
            }
        }
        // Nothing else than it.
        let (failures, nothing) = run(&with[1..2]);
        assert_eq!(failures.iter().flatten().count(), 1);
        assert!(nothing == Moments::zeros(case.weights.network(), false));
    }
}

#[test]
fn batches_without_images_and_of_wrong_sizes_add_nothing() {
    let case = case();
    let cuda = cuda(&case, Precision::F16);
    let mut learner = cuda.learn(Moments::zeros(case.weights.network(), false)).expect("memory");
    let empty = Batch { images: 0, height: 11, width: 14, pixels: Pixels::Rgb8(&[]) };
    assert!(learner.add(&empty).expect("nothing runs well").is_empty());
    let short = Batch { images: 2, height: 11, width: 14, pixels: Pixels::Rgb8(&[0; 11 * 14 * 3]) };
    assert!(matches!(learner.add(&short).err(), Some(BackendError::BatchSize { .. })));
    let small = Batch { images: 1, height: 1, width: 3, pixels: Pixels::Rgb8(&[0; 9]) };
    assert!(matches!(learner.add(&small).err(), Some(BackendError::Network(_))));
    assert!(*learner.moments().expect("it answers") == Moments::zeros(case.weights.network(), false));
}

#[test]
fn batches_of_any_size_are_preferred() {
    let case = case();
    let cuda = cuda(&case, Precision::F16);
    assert_eq!(cuda.preferred_learning_batch(), 64);
    let options = CudaOptions { batch: Some(7), ..CudaOptions::default() };
    assert_eq!(on_cuda(&case.weights, &options).expect("a device").preferred_learning_batch(), 7);
}

#[test]
#[ignore = "run by others with variables set"]
fn child_learns_with_little_memory() {
    let case = case();
    host_driver::load();
    let options = CudaOptions { precision: Precision::F16, ..CudaOptions::default() };
    let cuda: Cuda = match on_cuda(&case.weights, &options) {
        Ok(cuda) => cuda,
        Err(error) => return println!("weights refused {error}"),
    };
    let mut learner = match cuda.learn(Moments::zeros(case.weights.network(), false)) {
        Ok(learner) => learner,
        Err(BackendError::MomentMemory { needed, available, hint }) => {
            let error = BackendError::MomentMemory { needed, available, hint };
            return println!("moments refused {error}");
        }
        Err(error) => panic!("{error}"),
    };
    let Images { size: (height, width), pixels } = batch_of(1, 12, (11, 14));
    let joined = pixels.concat();
    let batch = Batch { images: 12, height, width, pixels: Pixels::Rgb8(&joined) };
    match learner.add(&batch) {
        Ok(failures) => assert!(failures.len() == 12 && failures.iter().all(Option::is_none)),
        Err(BackendError::Memory { .. }) => return println!("batch refused"),
        Err(error) => panic!("{error}"),
    }
    let moments = learner.moments().expect("it answers");
    println!("positions {:?}", moments.layers.iter().map(|layer| layer.positions).collect::<Vec<_>>());
    println!("digest {:016x}", digest(moments));
}

#[test]
fn batches_are_split_where_memory_is_short() {
    if host_driver::on_device() {
        return; // its memory cannot be made short
    }
    let run = |memory: &str| {
        let variables = [("VGGX_HOST_MEMORY", memory)];
        ignored_in_child("learn::child_learns_with_little_memory", &variables)
    };
    let plenty = run("8000000000");
    let whole = printed(&plenty, "digest ").concat();
    let positions = printed(&plenty, "positions ").concat();
    assert!(!whole.is_empty());
    let (mut moments_refused, mut split, mut digests) = (0, 0, Vec::new());
    for memory in (1..).map(|step| (step * 300_000).to_string()) {
        let text = run(&memory);
        moments_refused += printed(&text, "moments refused ").len();
        let Some(digest) = printed(&text, "digest ").first().map(|digest| (*digest).to_owned()) else {
            continue;
        };
        assert_eq!(printed(&text, "positions ").concat(), positions, "{memory}");
        if digest == whole {
            break;
        }
        split += 1;
        digests.push(digest);
        // The same memory gives the same bits.
        assert_eq!(printed(&run(&memory), "digest ").concat(), digests[digests.len() - 1], "{memory}");
    }
    println!("moments refused {moments_refused} times, batches split {split} times");
    assert!(moments_refused > 0 && split > 0);
}

/// All sums of Σxxᵀ.
fn products(second: &SecondMoments) -> Vec<(&'static str, &[f64])> {
    match second {
        SecondMoments::Dense(triangle) => vec![("triangle", triangle)],
        SecondMoments::Convolution(Lags { map, top, bottom, left, right, corners }) => vec![
            ("map", map),
            ("top", top),
            ("bottom", bottom),
            ("left", left),
            ("right", right),
            ("corners", corners),
        ],
    }
}

/// The CPU's are compared with float64 elsewhere.
#[test]
fn second_moments_are_those_of_the_cpu() {
    for (name, learning) in cases() {
        let case = &learning.case;
        let zeros = || Moments::zeros(case.weights.network(), true);
        let cpu = learn_from(&on_cpu(&case.weights, 2).expect("a network"), zeros(), &learning.batches);
        // Both factors are off by what the forward pass rounds: of up to six layers in 16 bits half a unit of the last place
        // each. The largest sum of a kind is about what the layer's root mean square makes.
        let rounded = |unit: f64| 2.0 * 6.0 * unit;
        let bounds = [
            (Precision::F32, 2.0 * FORWARD + 2.0 * SUM),
            (Precision::F16, rounded(2f64.powi(-11))),
            (Precision::Bf16, rounded(2f64.powi(-8))),
        ];
        for (precision, bound) in bounds {
            // The slowest network in one precision of 16 bits.
            if name == "classifier" && precision == Precision::Bf16 {
                continue;
            }
            let cuda = cuda(case, precision);
            let moments = learn_from(&cuda, zeros(), &learning.batches);
            for (ours, theirs) in moments.layers.iter().zip(&cpu.layers) {
                let (Some(ours_second), Some(theirs_second)) = (&ours.second, &theirs.second) else {
                    panic!("{name}: no second moments of {}", ours.name);
                };
                for ((field, ours_sums), (_, theirs_sums)) in
                    products(ours_second).into_iter().zip(products(theirs_second))
                {
                    let largest = theirs_sums.iter().fold(0.0, |most: f64, sum| most.max(sum.abs()));
                    for (at, (a, b)) in ours_sums.iter().zip(theirs_sums).enumerate() {
                        assert!(
                            (a - b).abs() <= bound * largest,
                            "{name} {precision:?} {} {field}[{at}]: {a} for {b}, of {largest}",
                            ours.name
                        );
                    }
                }
            }
            if precision == Precision::F32 {
                continue;
            }
            // One batch after the other, each by a learner that goes on from the last one's moments.
            let mut stepwise = zeros();
            for batch in &learning.batches {
                stepwise = learn_from(&cuda, stepwise, std::slice::from_ref(batch));
            }
            assert!(stepwise == moments, "{name} {precision:?}: going on changes bits");
        }
    }
}

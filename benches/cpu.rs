//! The CPU engine on the bundled network at 224×224: forward passes, every default method, learning, and reading a photo.
//!
//! `cargo bench --bench cpu`; with `-- --test` each runs once. Without the bundled weights the network is skipped.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vggx::backend::{Backend, Batch, Moments, Pass, Pixels};
use vggx::explain::{Method, Operators, Recipe, on_cpu};
use vggx::images::LoadOptions;
use vggx::network::PreprocessingOverrides;
use vggx::patterns::Patterns;
use vggx::weights::{Weights, bundled};

const SIDE: usize = 224;

/// A photo again and again: flat areas, which real images have, cost extra work (see `Repeats` in the engine).
fn pixels(images: usize) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/astronaut.jpg");
    vggx::images::load(&path, &LoadOptions::default()).expect("a sample").pixels.repeat(images)
}

fn batch(images: usize, pixels: &[u8]) -> Batch<'_> {
    Batch { images, height: SIDE, width: SIDE, pixels: Pixels::Rgb8(pixels) }
}

fn network(criterion: &mut Criterion) {
    let (Some(weights), Some(patterns)) = (bundled::weights(), bundled::patterns()) else {
        println!("skipped: no bundled weights");
        return;
    };
    let weights = Arc::new(Weights::open(&weights, &PreprocessingOverrides::default()).expect("bundled"));
    let patterns = Arc::new(Patterns::open(&patterns, &weights).expect("bundled"));
    let cpu = on_cpu(&weights, 0).expect("VGG16");
    let mut group = criterion.benchmark_group("cpu");
    group.sample_size(10);
    for images in [1, 8] {
        let pixels = pixels(images);
        group.bench_function(format!("forward/{images}"), |bencher| {
            bencher.iter(|| black_box(cpu.forward(&batch(images, &pixels)).expect("runs").responses(0)[0]));
        });
    }
    let methods = [
        Method::Gradient,
        Method::DeconvNet,
        Method::GuidedBackprop,
        Method::PatternNet,
        Method::PatternAttribution,
    ];
    let pixels = pixels(1);
    for method in methods {
        let Recipe::Pass { operator, gate, start, .. } = method.recipe() else { continue };
        let operators =
            Operators::new(weights.clone(), Some(patterns.clone()), operator, 0).expect("bundled");
        let pass = Pass { operators: Arc::new(operators), gate, start };
        let pass = cpu.prepare(&pass).expect("fits");
        group.bench_function(format!("explain/{method}/1"), |bencher| {
            bencher.iter(|| {
                let trace = cpu.forward(&batch(1, &pixels)).expect("runs");
                black_box(trace.backward(pass, &[0]))
            });
        });
    }
    group.finish();
}

/// Adding up the moments of all estimators beside the forward pass of the same images, and how many forwards an image of learning
/// costs: the median of what the two take in turn, so that a busy machine disturbs both.
fn learning(criterion: &mut Criterion) {
    let Some(weights) = bundled::weights() else {
        println!("skipped: no bundled weights");
        return;
    };
    let weights = Arc::new(Weights::open(&weights, &PreprocessingOverrides::default()).expect("bundled"));
    let cpu = on_cpu(&weights, 0).expect("VGG16");
    let images = cpu.preferred_learning_batch();
    let pixels = pixels(images);
    let batch = batch(images, &pixels);
    let mut learner = cpu.learn(Moments::zeros(weights.network(), false)).expect("memory");
    let mut with_second = cpu.learn(Moments::zeros(weights.network(), true)).expect("memory");
    let mut group = criterion.benchmark_group("learn");
    group.sample_size(10).throughput(Throughput::Elements(images as u64));
    group.bench_function(format!("forward/{images}"), |bencher| {
        bencher.iter(|| black_box(cpu.forward(&batch).expect("runs").responses(0)[0]));
    });
    group.bench_function(format!("moments/{images}"), |bencher| {
        bencher.iter(|| black_box(learner.add(&batch).expect("runs")));
    });
    group.bench_function(format!("moments and second moments/{images}"), |bencher| {
        bencher.iter(|| black_box(with_second.add(&batch).expect("runs")));
    });
    group.finish();

    if !is_wanted("learn") {
        return;
    }
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    let mut ratios: Vec<[f64; 2]> = (0..if is_test() { 1 } else { 9 })
        .map(|_| {
            let forward = time(&mut || drop(black_box(cpu.forward(&batch).expect("runs"))));
            let moments = time(&mut || drop(black_box(learner.add(&batch).expect("runs"))));
            let second = time(&mut || drop(black_box(with_second.add(&batch).expect("runs"))));
            [moments / forward, second / forward]
        })
        .collect();
    let mut median = |which: usize| {
        ratios.sort_by(|a, b| a[which].total_cmp(&b[which]));
        ratios[ratios.len() / 2][which]
    };
    let (moments, second) = (median(0), median(1));
    println!("learn: {moments:.2} forwards an image; {second:.2} with second moments");
}

/// Whether the filter of the command line, if there is one, lets a group through.
fn is_wanted(group: &str) -> bool {
    let mut filters = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    filters.all(|filter| filter.contains(group) || group.contains(&filter))
}

/// Whether everything runs once only.
fn is_test() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// Decoding, resizing to 256 and cropping to 224.
fn photo(criterion: &mut Criterion) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/third_party/coffee.png");
    if !path.is_file() {
        println!("skipped: no photo");
        return;
    }
    let options = LoadOptions::default();
    let mut group = criterion.benchmark_group("images");
    group.sample_size(10);
    group.bench_function("load/png", |bencher| {
        bencher.iter(|| vggx::images::load(black_box(&path), &options).expect("a photo"));
    });
    group.finish();
}

criterion_group!(benches, network, learning, photo);
criterion_main!(benches);

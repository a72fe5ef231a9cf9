//! The same bits whatever shares the work and wherever a run was broken off; and what merging leaves of the bits.

use vggx::backend::{Backend, Moments};
use vggx::weights::ElementType;

use crate::learned::{self, ALL, Images, learn_from};
use crate::reference::{cosine, random_vgg};
use crate::support::{Case, half_flat_pixels, random_pixels};

/// Batches of several sizes, some of whose images have flat areas.
fn batches(counts: &[usize], seed: u64) -> Vec<Images> {
    // The last has more positions in a batch than several float32 sums hold.
    let sizes = [(37, 22), (13, 21), (8, 8), (64, 47), (91, 93)];
    let batch = |(index, &count): (usize, &usize)| {
        let size = sizes[index % sizes.len()];
        let image = |image: usize| {
            let seed = seed + 1000 * index as u64 + image as u64;
            match image % 3 {
                0 => half_flat_pixels(seed, size.0, size.1),
                _ => random_pixels(seed, size.0, size.1),
            }
        };
        Images { size, pixels: (0..count).map(image).collect() }
    };
    counts.iter().enumerate().map(batch).collect()
}

fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("headless", Case::new(random_vgg(51, 3, &[&[8, 24], &[24, 5, 20]], None), ElementType::F32)),
        (
            "classifier",
            Case::new(random_vgg(52, 3, &[&[16, 17], &[33]], Some((3, &[137, 41, 10]))), ElementType::F16),
        ),
        ("wide", Case::new(random_vgg(53, 3, &[&[16, 137], &[130]], None), ElementType::F32)),
    ]
}

/// With second moments.
fn zeros(case: &Case) -> Moments {
    Moments::zeros(case.weights.network(), true)
}

fn learn(backend: &dyn Backend, case: &Case, batches: &[Images]) -> Moments {
    learn_from(backend, zeros(case), batches)
}

/// Every bit of every sum.
fn bits(moments: &Moments) -> Vec<(String, Vec<u64>)> {
    let fields = moments.layers.iter().flat_map(|layer| {
        layer.fields().into_iter().map(|field| {
            let values = field.values.iter().map(|value| value.to_bits()).collect();
            (format!("{}.{}", layer.name, field.name), values)
        })
    });
    fields.collect()
}

#[track_caller]
fn assert_same(ours: &Moments, theirs: &Moments, context: &str) {
    let (ours, theirs) = (bits(ours), bits(theirs));
    assert_eq!(ours.len(), theirs.len());
    for ((name, ours), (other, theirs)) in ours.iter().zip(&theirs) {
        assert_eq!(name, other, "{context}");
        let differ = ours.iter().zip(theirs).filter(|(ours, theirs)| ours != theirs).count();
        assert!(ours == theirs, "{context}: {differ} of {} values of {name} differ", ours.len());
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    for (name, case) in cases() {
        let images = batches(&[3, 33, 1, 2, 7], 1);
        let alone = learn(&case.backend(1), &case, &images);
        for threads in [2, 3, 5] {
            let shared = learn(&case.backend(threads), &case, &images);
            assert_same(&shared, &alone, &format!("{name}, {threads} threads"));
        }
        // It is not that nothing is summed: another image changes every layer.
        let others = learn(&case.backend(2), &case, &batches(&[3, 33, 1, 2, 7], 2));
        for (ours, theirs) in alone.layers.iter().zip(&others.layers) {
            assert_ne!(ours.positive_xy, theirs.positive_xy, "{name}, {}", ours.name);
        }
    }
}

/// After every batch the run is broken off and goes on from what was stored, with other numbers of threads.
#[test]
fn going_on_from_stored_moments_gives_the_bits_of_one_run() {
    for (name, case) in cases() {
        let images = batches(&[3, 1, 9, 2], 3);
        let whole = learn(&case.backend(2), &case, &images);
        let mut stored = zeros(&case);
        for (index, batch) in images.iter().enumerate() {
            stored = learn_from(&case.backend(index % 3 + 1), stored, std::slice::from_ref(batch));
        }
        assert_same(&stored, &whole, name);

        // Looking at the moments on the way changes nothing either.
        let backend = case.backend(2);
        let mut learner = backend.learn(zeros(&case)).expect("memory");
        for Images { size: (height, width), pixels } in &images {
            let joined = pixels.concat();
            let pixels = vggx::backend::Pixels::Rgb8(&joined);
            let images = joined.len() / (3 * height * width);
            let batch = vggx::backend::Batch { images, height: *height, width: *width, pixels };
            learner.add(&batch).expect("can run");
            learner.moments().expect("a CPU does not fail");
        }
        assert_same(learner.moments().expect("a CPU does not fail"), &whole, &format!("{name}, looked at"));
    }
}

/// Shards are whole batches, so their sums differ from one run's by the order of float64 additions alone: each of the few
/// rounds by 2⁻⁵³ of a sum so far, which 10⁻¹² of the largest sum allows for; patterns keep 1 − cos ≤ 10⁻⁸, as promised.
#[test]
fn merged_shards_give_the_patterns_of_one_run() {
    for (name, case) in cases() {
        let images = batches(&[3, 9, 17, 2, 3, 9, 7, 2], 5);
        let backend = case.backend(2);
        let whole = learn(&backend, &case, &images);
        let mut merged = zeros(&case);
        for shard in images.chunks(2) {
            let mut shard = learn(&backend, &case, shard);
            for (sum, layer) in merged.layers.iter_mut().zip(&mut shard.layers) {
                for (sums, values) in sum.values_mut().into_iter().zip(layer.values_mut()) {
                    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += *value);
                }
            }
        }
        let (mut worst, mut compared) = (0.0_f64, 0);
        for (layer, reference) in case.network.parametric_layers().into_iter().enumerate() {
            let (ours, theirs) = (&merged.layers[layer], &whole.layers[layer]);
            assert_eq!(ours.positions, theirs.positions);
            assert_eq!(ours.positive_count, theirs.positive_count);
            for (ours, theirs) in ours.fields().iter().zip(theirs.fields()) {
                let largest = theirs.values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
                for (ours, theirs) in ours.values.iter().zip(theirs.values) {
                    assert!((ours - theirs).abs() <= 1e-12 * largest, "{name}: {ours} for {theirs}");
                }
            }
            for neuron in 0..reference.outputs {
                for (component, centering) in ALL {
                    let solve =
                        |moments| learned::pattern(moments, reference.weight, neuron, component, centering);
                    let (ours, theirs) = (solve(ours), solve(theirs));
                    assert_eq!(ours.is_some(), theirs.is_some(), "{name}, layer {layer}, neuron {neuron}");
                    let (Some(ours), Some(theirs)) = (ours, theirs) else { continue };
                    let distance = 1.0 - cosine(&ours, &theirs);
                    assert!(
                        distance <= 1e-8,
                        "{name}, layer {layer}, neuron {neuron}, {component:?}, {centering:?}: 1 − cosine {distance:e}"
                    );
                    worst = worst.max(distance);
                    compared += 1;
                }
            }
        }
        println!("{name}: {compared} patterns, worst 1 − cosine {worst:.1e}");
    }
}

/// An empty batch is no batch.
#[test]
fn nothing_adds_nothing() {
    let (_, case) = cases().remove(0);
    let backend = case.backend(2);
    let images = batches(&[2, 0, 1], 7);
    let whole = learn(&backend, &case, &images);
    let without: Vec<Images> = images.into_iter().filter(|batch| !batch.pixels.is_empty()).collect();
    assert_same(&learn(&backend, &case, &without), &whole, "an empty batch");
    let zeros = zeros(&case);
    assert_same(&learn(&backend, &case, &[]), &zeros, "no batch");
}

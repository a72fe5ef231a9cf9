//! The memory that `quality` says it needs, and what it takes. A program of its own, since it counts all that is allocated.

use std::alloc::{GlobalAlloc, Layout, System};
use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

mod reference;
// Shared with the tests of the CPU engine, which use more of it.
#[allow(dead_code)]
#[path = "engine/support.rs"]
mod support;

use reference::{Random, random_vgg};
use support::Case;
use vggx::backend::{LayerMoments, Moments, SecondMoments};
use vggx::evaluate::quality::{Candidate, QualityOptions, memory_needed, quality};
use vggx::patterns::{Centering, LayerSource, MomentRecord, Patterns, SolveOptions, solve};
use vggx::weights::ElementType;

/// The system's allocator, which counts.
struct Counting;

/// The matrix kernels reserve twice the size of the last cache a thread, in pages, of which they touch what they need: a few MB.
const PAGE: usize = 4096;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() < PAGE {
            let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
            PEAK.fetch_max(held, Ordering::Relaxed);
        }
        // SAFETY: as promised to this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if layout.align() < PAGE {
            HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: as promised to this function; the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Moments whose layers are made when they are asked for, as those in files are read.
struct Made<'a>(&'a Case);

/// Of 10 000 positions of a layer: inputs with means 1 and variances 1 that have a covariance of 1/4 with one another, and about
/// what y would give.
fn made(case: &Case, layer: usize) -> LayerMoments {
    const POSITIONS: f64 = 10_000.0;
    let (_, named) = case.weights.network().parametric().nth(layer).expect("a layer");
    let mut sums = LayerMoments::zeros(named, true);
    sums.positions = POSITIONS;
    sums.x.fill(POSITIONS);
    let weight = case.network.parametric_layers()[layer].weight;
    let fan_in = sums.fan_in();
    for (neuron, weight) in weight.chunks_exact(fan_in).enumerate() {
        let mean = weight.iter().sum::<f64>();
        let variance = 0.75 * weight.iter().map(|w| w * w).sum::<f64>() + 0.25 * mean * mean;
        sums.positive_count[neuron] = POSITIONS / 2.0;
        let share = mean / 2.0 + 0.4 * variance.sqrt();
        sums.positive_y[neuron] = POSITIONS * share;
        sums.negative_y[neuron] = POSITIONS * (mean - share);
        sums.positive_yy[neuron] = POSITIONS * (0.6 * variance + mean * mean / 2.0);
        sums.negative_yy[neuron] = POSITIONS * (0.4 * variance + mean * mean / 2.0);
        for (index, w) in weight.iter().enumerate() {
            let at = neuron * fan_in + index;
            let product = 0.75 * w + 0.25 * mean;
            sums.positive_x[at] = POSITIONS / 2.0;
            sums.positive_xy[at] = POSITIONS * (0.5 * product + share);
            sums.negative_xy[at] = POSITIONS * (0.5 * product + mean - share);
        }
    }
    let product = |same: bool| POSITIONS * if same { 2.0 } else { 1.25 };
    match sums.second.as_mut().expect("asked for") {
        SecondMoments::Dense(triangle) => {
            let pairs = (0..fan_in).flat_map(|row| (0..=row).map(move |column| row == column));
            triangle.iter_mut().zip(pairs).for_each(|(value, same)| *value = product(same));
        }
        // Inside a map that has no border: every product at every lag is that of two inputs.
        SecondMoments::Convolution(lags) => {
            let inputs = named.inputs();
            for (index, value) in lags.map.iter_mut().enumerate() {
                let (lag, pair) = (index / (inputs * inputs), index % (inputs * inputs));
                *value = product(lag == 0 && pair / inputs == pair % inputs);
            }
        }
    }
    sums
}

impl LayerSource for Made<'_> {
    fn layer_count(&self) -> usize {
        self.0.weights.network().parametric().count()
    }

    fn layer(&self, layer: usize) -> Cow<'_, LayerMoments> {
        Cow::Owned(made(self.0, layer))
    }

    fn has_second_moments(&self) -> bool {
        true
    }
}

#[test]
fn the_memory_that_is_announced_is_what_is_taken() {
    // The first dense layer has 1024 weights a neuron.
    for widths in [[40, 7], [600, 7]] {
        let case = Case::new(random_vgg(1, 3, &[&[16]], Some((8, &widths))), ElementType::F32);
        let moments = Made(&case);
        let path = tempfile::NamedTempFile::new().expect("a temporary file").into_temp_path();
        let record = MomentRecord { images: 1, run: serde_json::Map::new(), progress: None };
        let options = SolveOptions { centering: Centering::Regime, ..SolveOptions::default() };
        let all = Moments { layers: (0..3).map(|layer| made(&case, layer)).collect() };
        solve(&all, &record, &case.weights, &options, &path).expect("a writable folder");
        drop(all);
        let patterns = Patterns::open(&path, &case.weights).expect("its patterns");
        let candidates = [
            Candidate::Random { seed: Random::new(1).next_u64() },
            Candidate::Filter,
            Candidate::Linear(&patterns),
            Candidate::TwoComponent { patterns: &patterns, named_by_centering: false },
        ];
        for fitted in [None, Some(&moments as &dyn LayerSource)] {
            let (layer, needed) =
                memory_needed(case.weights.network(), candidates.len(), fitted.is_some(), |_| 10_000.0)
                    .expect("layers");
            assert_eq!(layer, "classifier.0");
            let options = QualityOptions {
                weights: &case.weights,
                candidates: &candidates,
                evaluated: &moments,
                fitted,
            };
            let before = HELD.load(Ordering::Relaxed);
            PEAK.store(before, Ordering::Relaxed);
            let report = quality(&options, |_| {}).expect("good moments");
            let taken = (PEAK.load(Ordering::Relaxed) - before) as u64;
            let held = report.layers.iter().all(|layer| {
                layer.estimators.iter().all(|estimator| estimator.rho.iter().any(Option::is_some))
            });
            assert!(held, "{report:?}");
            println!(
                "{widths:?}, held out {}: {} KiB of {} KiB",
                fitted.is_some(),
                taken >> 10,
                needed >> 10
            );
            // What the matrix products keep beside their operands, and other small things.
            assert!(taken <= needed + (8 << 20), "{taken} of {needed}");
            assert!(2 * taken >= needed, "{taken} of {needed}");
        }
    }
}

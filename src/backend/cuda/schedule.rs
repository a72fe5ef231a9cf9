//! Which layers run for parts of a batch, one part after another, so that what a layer writes is still in the L2 cache when the next
//! one reads it. All others run for the whole batch. Results are the same bits either way.
//!
//! A model decides (docs/performance.md). A layer takes the longest of what it multiplies, what goes through the L2 cache and what
//! goes to memory, and a launch. A map between two layers that run for `n` images at a time goes to memory unless both layers' maps,
//! of `n` images, fit into the cache. Each part has launches and a last round of blocks of its own, which is what parts cost. A layer
//! that is bound by its products gains nothing.

use super::device::DeviceDescription;
use super::options::is_set;
use crate::backend::BackendError;
use std::ops::Range;

/// The variable that says which parts, whatever the model says.
const FORCED: &str = "VGGX_SUBBATCHES";

/// The share of the L2 cache that maps may take: operators, masks and what is on its way take some, too.
const USABLE_CACHE: f64 = 0.75;
/// The share of the memory's bandwidth that kernels reach.
const REACHED_BANDWIDTH: f64 = 0.88;
/// The share of the highest clock that is left while all multiprocessors multiply.
const REACHED_CLOCK: f64 = 0.75;
/// Bytes that the L2 cache gives a multiprocessor in each clock.
const CACHE_BYTES: f64 = 30.0;
/// Seconds from one kernel of a graph to the next one that needs its results.
const LAUNCH: f64 = 2e-6;
/// The share of the layers' time that parts must save: the model is not exact.
const LEAST_GAIN: f64 = 0.02;

/// How it is decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Subbatches {
    /// Every layer runs for the whole batch.
    Never,
    /// Where they save time.
    Modelled(Chip),
    /// So many images at a time through so many stages, then the next ones.
    Forced { images: usize, stages: usize },
}

/// What a device is capable of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chip {
    /// Bytes of the L2 cache that maps may take.
    cache: f64,
    /// Bytes a second through the L2 cache, and to memory.
    cache_bandwidth: f64,
    memory_bandwidth: f64,
    /// Hz.
    clock: f64,
}

/// Consecutive stages that run for so many images at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub stages: Range<usize>,
    pub images: usize,
}

/// What stages run together, in ascending order both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    pub forward: Vec<Segment>,
    /// From the signal at the last convolution's output to the pixels: the first stage's is the step to the image.
    pub backward: Vec<Segment>,
}

/// A stage in one direction, as the model sees it. Bytes are those of one image.
pub(super) struct Work<'a> {
    /// What it reads of the stage before.
    pub input: f64,
    /// What it leaves to the one behind.
    pub output: f64,
    /// What else it reads or writes: masks and argmaxes, which are not needed soon.
    pub beside: f64,
    /// Clocks of the busiest multiprocessor for so many images, with everything in the cache.
    pub clocks: Box<dyn Fn(usize) -> f64 + 'a>,
}

impl Subbatches {
    /// As the variables say (see [`CudaOptions`](super::CudaOptions)), or by the model.
    ///
    /// # Errors
    /// [`BackendError::Variable`] when one says what cannot be understood.
    pub fn on(device: &DeviceDescription) -> Result<Self, BackendError> {
        if is_set("VGGX_NO_SUBBATCHES") {
            return Ok(Subbatches::Never);
        }
        let forced = match std::env::var_os(FORCED).filter(|value| !value.is_empty()) {
            Some(value) => {
                Some(value.to_str().and_then(Self::parse).ok_or_else(|| BackendError::Variable {
                    variable: FORCED,
                    value: value.to_string_lossy().into_owned(),
                    expected: "images and layers, at least one of each, as in 4x2",
                })?)
            }
            None => None,
        };
        let &DeviceDescription { l2_cache, multiprocessors, clock, memory_bandwidth, .. } = device;
        let chip = || Chip::new([l2_cache, multiprocessors, clock], memory_bandwidth);
        Ok(forced.or_else(|| chip().map(Subbatches::Modelled)).unwrap_or(Subbatches::Never))
    }

    /// "2x3": two images at a time through three stages.
    fn parse(value: &str) -> Option<Self> {
        let (images, stages) = value.split_once('x')?;
        let (images, stages) = (images.parse().ok()?, stages.parse().ok()?);
        (images > 0 && stages > 0).then_some(Subbatches::Forced { images, stages })
    }
}

impl Chip {
    /// With bytes of the L2 cache, multiprocessors and their highest clock in kHz, and bytes a second to memory; none where the driver
    /// does not say enough.
    pub fn new([l2_cache, multiprocessors, clock]: [u32; 3], memory_bandwidth: u64) -> Option<Self> {
        if [l2_cache, multiprocessors, clock].contains(&0) || memory_bandwidth == 0 {
            return None;
        }
        let clock = f64::from(clock) * 1e3 * REACHED_CLOCK;
        Some(Chip {
            cache: f64::from(l2_cache) * USABLE_CACHE,
            cache_bandwidth: CACHE_BYTES * clock * f64::from(multiprocessors),
            memory_bandwidth: memory_bandwidth as f64 * REACHED_BANDWIDTH,
            clock,
        })
    }
}

impl Schedule {
    /// For a batch of so many images. `forward` and `backward` hold the stages in the order in which they run; `positions` are those
    /// of an image.
    pub fn new(
        subbatches: Subbatches,
        images: usize,
        positions: usize,
        [forward, backward]: [&[Work]; 2],
    ) -> Self {
        let stages = forward.len();
        let (forward, backward) = match subbatches {
            Subbatches::Never => (vec![whole(0..stages, images)], vec![whole(0..stages, images)]),
            Subbatches::Modelled(chip) => {
                let mut backward = Model { chip, images, work: backward }.segments();
                backward.reverse();
                for Segment { stages: range, .. } in &mut backward {
                    *range = stages - range.end..stages - range.start;
                }
                (Model { chip, images, work: forward }.segments(), backward)
            }
            Subbatches::Forced { images: part, stages: count } => {
                let ranges = (0..stages).step_by(count).map(|first| first..stages.min(first + count));
                let forced: Vec<_> =
                    ranges.map(|range| Segment { stages: range, images: part.min(images) }).collect();
                (forced.clone(), forced)
            }
        };
        let aligned = |segments| align(segments, images, positions);
        Schedule { forward: aligned(forward), backward: aligned(backward) }
    }

    /// The segment that makes the map between a stage and the next one for a part of the batch, and reads it before the next part is
    /// made: a stage's output forward, or the signal there backward.
    pub fn within(segments: &[Segment], stage: usize, images: usize) -> Option<&Segment> {
        let within = |segment: &&Segment| {
            segment.images < images
                && segment.stages.contains(&stage)
                && segment.stages.contains(&(stage + 1))
        };
        segments.iter().find(within)
    }
}

impl Segment {
    /// The parts of a batch: first image and number of images.
    pub fn parts(&self, images: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let part = self.images;
        (0..images).step_by(part.max(1)).map(move |first| (first, part.min(images - first)))
    }
}

fn whole(stages: Range<usize>, images: usize) -> Segment {
    Segment { stages, images }
}

/// Maps of the other stages have 64 channels a position; pixels have three, of two bytes at least. Kernels may read 16 bytes at a
/// time, so the first stage runs for the whole batch where parts would begin elsewhere.
fn align(segments: Vec<Segment>, images: usize, positions: usize) -> Vec<Segment> {
    let is_aligned = |part: usize| part.saturating_mul(positions).is_multiple_of(8);
    let split = |segment: Segment| {
        let Segment { stages, images: part } = segment;
        if stages.start > 0 || part >= images || is_aligned(part) {
            return vec![Segment { stages, images: part }];
        }
        let rest = (stages.end > 1).then_some(Segment { stages: 1..stages.end, images: part });
        std::iter::once(whole(0..1, images)).chain(rest).collect()
    };
    segments.into_iter().flat_map(split).collect()
}

/// Stages in the order in which they run.
pub(super) struct Model<'a> {
    pub chip: Chip,
    pub images: usize,
    pub work: &'a [Work<'a>],
}

impl Model<'_> {
    /// The cheapest way through all stages; ranges are in their order here.
    pub fn segments(&self) -> Vec<Segment> {
        let parts = self.part_sizes();
        // By number of stages: the seconds of the cheapest way through them, and its last segment.
        let mut best: Vec<(f64, Segment)> = vec![(0.0, whole(0..0, self.images))];
        for end in 1..=self.work.len() {
            let alone = |start: usize| self.seconds(start..end, self.images);
            let mut cheapest = (best[end - 1].0 + alone(end - 1), whole(end - 1..end, self.images));
            for (start, (before, _)) in best[..end - 1].iter().enumerate() {
                // Rounds of blocks are no reason to divide what stays in the cache anyway.
                if (start + 1..end).any(|stage| self.is_resident(stage, self.images)) {
                    continue;
                }
                let unsplit = alone(start);
                for &part in &parts {
                    if !self.fits(&(start..end), part) {
                        continue;
                    }
                    let seconds = self.seconds(start..end, part);
                    let total = before + seconds;
                    if seconds < unsplit * (1.0 - LEAST_GAIN) && total < cheapest.0 {
                        cheapest = (total, Segment { stages: start..end, images: part });
                    }
                }
            }
            best.push(cheapest);
        }
        let mut segments: Vec<Segment> = Vec::new();
        let mut end = self.work.len();
        while end > 0 {
            let segment = best[end].1.clone();
            end = segment.stages.start;
            match segments.last_mut() {
                Some(next) if segment.images == self.images && next.images == self.images => {
                    next.stages.start = segment.stages.start;
                }
                _ => segments.push(segment),
            }
        }
        segments.reverse();
        segments
    }

    /// Sizes of parts, as equal as can be: for as many parts as there may be.
    pub fn part_sizes(&self) -> Vec<usize> {
        let mut sizes = Vec::new();
        let mut size = self.images;
        while size > 1 {
            // The largest that makes more parts.
            size = self.images.div_ceil(self.images.div_ceil(size) + 1).min(size - 1);
            sizes.push(size);
        }
        sizes
    }

    /// Whether all maps between stages stay in the cache when they run for so many images.
    pub fn fits(&self, stages: &Range<usize>, images: usize) -> bool {
        (stages.start + 1..stages.end).all(|stage| self.is_resident(stage, images))
    }

    /// Whether the map that a stage reads is still in the cache when both run for so many images.
    fn is_resident(&self, stage: usize, images: usize) -> bool {
        let fits = |work: &Work| (work.input + work.output) * images as f64 <= self.chip.cache;
        stage > 0 && stage < self.work.len() && fits(&self.work[stage - 1]) && fits(&self.work[stage])
    }

    /// Seconds of stages that run for so many images at a time until all are done.
    pub fn seconds(&self, stages: Range<usize>, part: usize) -> f64 {
        let seconds = |images: usize| -> f64 {
            // Between segments maps are those of the whole batch.
            let within = |stage: usize| stage > stages.start && stage < stages.end;
            let resident = |stage| self.is_resident(stage, if within(stage) { images } else { self.images });
            stages
                .clone()
                .map(|stage| self.stage_seconds(stage, images, [resident(stage), resident(stage + 1)]))
                .sum()
        };
        let (parts, rest) = (self.images / part, self.images % part);
        parts as f64 * seconds(part) + if rest > 0 { seconds(rest) } else { 0.0 }
    }

    /// Seconds of one launch; whether its input and its output stay in the cache.
    fn stage_seconds(&self, stage: usize, images: usize, [input, output]: [bool; 2]) -> f64 {
        let work = &self.work[stage];
        let of_all = |bytes: f64| bytes * images as f64;
        let memory =
            work.beside + if input { 0.0 } else { work.input } + if output { 0.0 } else { work.output };
        let cache = work.beside + work.input + work.output;
        let products = (work.clocks)(images) / self.chip.clock;
        LAUNCH
            + products
                .max(of_all(cache) / self.chip.cache_bandwidth)
                .max(of_all(memory) / self.chip.memory_bandwidth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chip(memory_bandwidth: u64) -> Chip {
        Chip::new([40_000_000, 100, 2_000_000], memory_bandwidth).expect("all that the model needs")
    }

    /// Maps of 3 MB an image; clocks for each image.
    fn work(clocks: f64) -> Work<'static> {
        let clocks = move |images: usize| clocks * images as f64;
        Work { input: 3e6, output: 3e6, beside: 0.0, clocks: Box::new(clocks) }
    }

    fn segments(memory_bandwidth: u64, images: usize, clocks: &[f64]) -> Vec<(Range<usize>, usize)> {
        let work: Vec<Work> = clocks.iter().map(|&clocks| work(clocks)).collect();
        let model = Model { chip: chip(memory_bandwidth), images, work: &work };
        model.segments().into_iter().map(|Segment { stages, images }| (stages, images)).collect()
    }

    #[test]
    fn layers_that_wait_for_memory_run_for_parts_that_fit_into_the_cache() {
        // 5 images' maps of 6 MB fit into 30 MB.
        assert_eq!(segments(1 << 40, 64, &[0.0, 0.0]), [(0..2, 5)]);
        // Equal parts: 3 of 4 images.
        assert_eq!(segments(1 << 40, 12, &[0.0, 0.0, 0.0]), [(0..3, 4)]);
        // Layers that multiply for longer than their maps are moved gain nothing, but those beside them do.
        let long = 1e5;
        assert_eq!(
            segments(1 << 40, 64, &[0.0, 0.0, long, long, long, long, 0.0, 0.0]),
            [(0..3, 5), (3..5, 64), (5..8, 5)]
        );
        assert_eq!(segments(1 << 40, 64, &[long, long, long]), [(0..3, 64)]);
    }

    #[test]
    fn nothing_is_split_where_it_does_not_pay() {
        // Everything fits into the cache anyway; memory is as fast as the cache; there is one layer.
        assert_eq!(segments(1 << 40, 5, &[0.0, 0.0]), [(0..2, 5)]);
        assert_eq!(segments(1 << 60, 64, &[0.0, 0.0]), [(0..2, 64)]);
        assert_eq!(segments(1 << 40, 64, &[0.0]), [(0..1, 64)]);
        // The driver does not say enough.
        assert_eq!(Chip::new([40_000_000, 100, 0], 1 << 40), None);
        assert_eq!(Chip::new([40_000_000, 100, 2_000_000], 0), None);
    }

    #[test]
    fn parts_are_as_equal_as_can_be() {
        let sizes = |images| Model { chip: chip(1 << 40), images, work: &[] }.part_sizes();
        assert_eq!(sizes(12), [6, 4, 3, 2, 1]);
        assert!(sizes(1).is_empty());
        let sizes = sizes(65535);
        assert!(
            sizes.len() < 600 && sizes.windows(2).all(|pair| pair[0] > pair[1]) && sizes.last() == Some(&1)
        );
        let segment = Segment { stages: 0..2, images: 2 };
        assert_eq!(segment.parts(5).collect::<Vec<_>>(), [(0, 2), (2, 2), (4, 1)]);
    }

    #[test]
    fn forced_parts_follow_the_variable() {
        assert_eq!(Subbatches::parse("2x3"), Some(Subbatches::Forced { images: 2, stages: 3 }));
        for value in ["", "2", "x", "0x3", "2x0", "2x3x4", "ax1"] {
            assert_eq!(Subbatches::parse(value), None, "{value}");
        }
        let work: Vec<Work> = (0..5).map(|_| work(0.0)).collect();
        let schedule = |images, positions| {
            let forced = Subbatches::Forced { images: 2, stages: 3 };
            Schedule::new(forced, images, positions, [&work, &work])
        };
        let segment = |stages, images| Segment { stages, images };
        let expected = vec![segment(0..3, 2), segment(3..5, 2)];
        assert_eq!(schedule(5, 12 * 14), Schedule { forward: expected.clone(), backward: expected });
        // Parts of 2 · 154 pixels of six bytes do not begin at multiples of 16.
        let apart = schedule(5, 11 * 14).forward;
        assert_eq!(apart, [segment(0..1, 5), segment(1..3, 2), segment(3..5, 2)]);
        assert_eq!(schedule(1, 11 * 14).forward, [segment(0..3, 1), segment(3..5, 1)]);
        let within = |stage| Schedule::within(&apart, stage, 5).map(|segment| segment.images);
        assert_eq!([0, 1, 2, 3, 4].map(within), [None, Some(2), None, Some(2), None]);
    }
}

//! Images loaded ahead, in batches.

use std::path::Path;
use std::sync::Arc;

use super::stages::{Stage, Stages};
use crate::images::prefetch::{Fill, Named};
use crate::images::sample::fit;
use crate::images::{Content, ImageError, InputImage, LoadOptions, Prefetch, Rgb8, Sample};

/// Memory for crops that wait for their batch.
pub(super) const LOOKAHEAD_BYTES: u64 = 256 << 20;

/// What goes through the pipeline: images, and marks between them that pass in their turn.
pub enum Step<Mark> {
    /// An image to load.
    Image(Sample),
    /// Something for the consumer.
    Mark(Mark),
}

/// What came of a step.
pub enum Entry<Mark> {
    /// An image that was loaded, or could not be.
    Image(InputImage, Result<Rgb8, ImageError>),
    /// As it was.
    Mark(Mark),
}

/// Images that belong together, all of one size, those between them that could not be loaded, and marks.
pub struct ImageBatch<Mark = ()> {
    /// In the order of the inputs.
    pub entries: Vec<Entry<Mark>>,
}

impl<Mark> ImageBatch<Mark> {
    /// Images that were loaded.
    pub fn loaded(&self) -> impl Iterator<Item = (&InputImage, &Rgb8)> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Image(input, image) => Some((input, image.as_ref().ok()?)),
            Entry::Mark(_) => None,
        })
    }
}

/// How images are loaded ahead, and how many together.
#[derive(Clone)]
pub struct Loading {
    /// To which size.
    pub load: LoadOptions,
    /// On so many threads; 0 counts as 1.
    pub threads: usize,
    /// Images of a batch; 0 counts as 1.
    pub size: usize,
    /// Batches that are loaded before somebody wants them, unless so many would fill the memory.
    pub ahead: usize,
    /// Where the time is noted.
    pub stages: Arc<Stages>,
}

/// Loads images and groups them.
///
/// Refused images and marks do not count as part of a batch's size, but a batch does not wait behind more than that many of
/// them: it may hold fewer images then, or none.
pub fn batches<Mark: Send + 'static>(
    steps: impl IntoIterator<Item = Step<Mark>, IntoIter: Send + 'static>,
    loading: &Loading,
) -> Batches<Prefetch<Rgb8, Taken<Mark>>> {
    let Loading { load, threads, size, ahead, ref stages } = *loading;
    let size = size.max(1);
    let (mut steps, reading) = (steps.into_iter(), stages.clone());
    let steps =
        std::iter::from_fn(move || reading.time(Stage::Read, || steps.next())).map(|step| match step {
            Step::Image(sample) => Taken::Sample(sample),
            Step::Mark(mark) => Taken::Mark(mark),
        });
    let stages = stages.clone();
    let work = move |taken: &mut Taken<Mark>| match taken {
        Taken::Sample(sample) => load_timed(sample, &load, &stages),
        // Nobody looks at it.
        Taken::Mark(_) => Ok(Rgb8 { width: 0, height: 0, pixels: Vec::new() }),
    };
    Batches { images: Prefetch::new(steps, threads, lookahead(size, ahead, load.crop), work), size }
}

/// As [`Content::load`], with the time of each part noted.
fn load_timed(sample: &mut Sample, load: &LoadOptions, stages: &Stages) -> Result<Rgb8, ImageError> {
    // What it was made of is let go.
    let content = std::mem::replace(&mut sample.content, Content::File);
    let path = &sample.image.path;
    if matches!(content, Content::Noise(_)) {
        return stages.time(Stage::Decode, || content.load(path, load));
    }
    let image = stages.time(Stage::Decode, || content.decode(path, load.max_pixels))?;
    stages.time(Stage::Resize, || fit(image, path, load))
}

/// A step that is being loaded.
pub enum Taken<Mark> {
    /// An image.
    Sample(Sample),
    /// A mark, which has no pixels.
    Mark(Mark),
}

impl<Mark> Named for Taken<Mark> {
    fn path(&self) -> &Path {
        match self {
            Taken::Sample(sample) => sample.path(),
            Taken::Mark(_) => Path::new(""),
        }
    }
}

/// An iterator over batches of images, see [`batches`].
pub struct Batches<Images> {
    images: Images,
    size: usize,
}

impl<Mark: Send + 'static> Batches<Prefetch<Rgb8, Taken<Mark>>> {
    /// How many images wait to be taken.
    pub fn fill(&self) -> Fill {
        self.images.fill()
    }
}

impl<Mark, Images: Iterator<Item = (Taken<Mark>, Result<Rgb8, ImageError>)>> Iterator for Batches<Images> {
    type Item = ImageBatch<Mark>;

    fn next(&mut self) -> Option<ImageBatch<Mark>> {
        let mut entries = Vec::new();
        let (mut loaded, mut others) = (0, 0);
        while loaded < self.size && others < self.size {
            let Some((taken, image)) = self.images.next() else { break };
            *(if image.is_ok() && matches!(taken, Taken::Sample(_)) { &mut loaded } else { &mut others }) +=
                1;
            entries.push(match taken {
                Taken::Sample(Sample { image: input, .. }) => Entry::Image(input, image),
                Taken::Mark(mark) => Entry::Mark(mark),
            });
        }
        (!entries.is_empty()).then_some(ImageBatch { entries })
    }
}

/// Images to load ahead.
fn lookahead(size: usize, ahead: usize, crop: u32) -> usize {
    let crop_bytes = 3 * u64::from(crop).pow(2);
    let fitting = usize::try_from(LOOKAHEAD_BYTES / crop_bytes.max(1)).unwrap_or(usize::MAX);
    size.saturating_mul(ahead).min(fitting).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::ImageProblem;
    use std::path::{Path, PathBuf};

    #[test]
    fn crops_that_are_loaded_ahead_are_bounded_in_bytes() {
        assert_eq!(lookahead(8, 2, 224), 16);
        assert_eq!(lookahead(1, 2, 16_384), 1);
        assert_eq!(lookahead(usize::from(u16::MAX), 2, 224), 1783);
        assert!(lookahead(64, 3, 4096) as u64 * 3 * 4096 * 4096 <= LOOKAHEAD_BYTES);
    }

    /// Lengths of the batches of images written as letters, those that cannot be loaded as `-`.
    fn grouped(images: &str, size: usize) -> Vec<String> {
        let images = images.chars().map(|letter| {
            let name = PathBuf::from(letter.to_string());
            let image = match letter {
                '-' => Err(ImageError::new(Path::new("-"), ImageProblem::Empty)),
                _ => Ok(Rgb8 { width: 1, height: 1, pixels: vec![0; 3] }),
            };
            match letter {
                '|' => (Taken::Mark('|'), image),
                _ => (Taken::Sample(InputImage { path: name.clone(), name, target: None }.into()), image),
            }
        });
        let name = |entry: &Entry<char>| match entry {
            Entry::Image(input, _) => input.path.to_string_lossy().into_owned(),
            Entry::Mark(mark) => mark.to_string(),
        };
        let batches = Batches { images, size };
        batches
            .inspect(|batch| {
                let loaded = |entry: &&Entry<char>| matches!(entry, Entry::Image(_, Ok(_)));
                assert_eq!(batch.loaded().count(), batch.entries.iter().filter(loaded).count());
            })
            .map(|batch| batch.entries.iter().map(name).collect())
            .collect()
    }

    #[test]
    fn batches_hold_so_many_images_in_order() {
        assert_eq!(grouped("", 3), [""; 0]);
        assert_eq!(grouped("abcdefg", 3), ["abc", "def", "g"]);
        assert_eq!(grouped("abcdef", 3), ["abc", "def"]);
        assert_eq!(grouped("a-b-cde", 3), ["a-b-c", "de"]);
        assert_eq!(grouped("ab", 1), ["a", "b"]);
    }

    #[test]
    fn marks_pass_in_their_turn() {
        assert_eq!(grouped("|ab|cd|", 3), ["|ab|c", "d|"]);
        assert_eq!(grouped("||||", 3), ["|||", "|"]);
    }

    #[test]
    fn many_refused_images_are_told_without_waiting_for_a_good_one() {
        assert_eq!(grouped("-------a", 3), ["---", "---", "-a"]);
        assert_eq!(grouped("a---bc", 3), ["a---", "bc"]);
    }
}

//! Images loaded ahead, in batches.

use crate::images::{ImageError, InputImage, LoadOptions, Prefetch, Rgb8, prefetch};

/// Memory for crops that wait for their batch.
pub(super) const LOOKAHEAD_BYTES: u64 = 256 << 20;

/// Images that belong together, all of one size, and those between them that could not be loaded.
pub struct ImageBatch {
    /// In the order of the inputs.
    pub entries: Vec<(InputImage, Result<Rgb8, ImageError>)>,
}

impl ImageBatch {
    /// Those that were loaded.
    pub fn loaded(&self) -> impl Iterator<Item = (&InputImage, &Rgb8)> {
        self.entries.iter().filter_map(|(input, image)| Some((input, image.as_ref().ok()?)))
    }
}

/// Loads images on `threads` threads and groups them by `size`; images of the next `ahead` batches are loaded before
/// somebody wants them, unless so many would fill the memory.
///
/// Refused images do not count as part of a batch's size, but a batch does not wait behind more than `size` of them: it
/// may hold fewer images then, or none.
pub fn batches(
    inputs: Vec<InputImage>,
    load: LoadOptions,
    threads: usize,
    size: usize,
    ahead: usize,
) -> Batches<Prefetch<Rgb8>> {
    let size = size.max(1);
    Batches { images: prefetch(inputs, load, threads, lookahead(size, ahead, load.crop)), size }
}

/// An iterator over batches of images, see [`batches`].
pub struct Batches<Images> {
    images: Images,
    size: usize,
}

impl<Images: Iterator<Item = (InputImage, Result<Rgb8, ImageError>)>> Iterator for Batches<Images> {
    type Item = ImageBatch;

    fn next(&mut self) -> Option<ImageBatch> {
        let mut entries = Vec::new();
        let (mut loaded, mut refused) = (0, 0);
        while loaded < self.size && refused < self.size {
            let Some(entry) = self.images.next() else { break };
            *(if entry.1.is_ok() { &mut loaded } else { &mut refused }) += 1;
            entries.push(entry);
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
            (InputImage { path: name.clone(), name, target: None }, image)
        });
        let name = |(input, _): &(InputImage, _)| input.path.to_string_lossy().into_owned();
        let batches = Batches { images, size };
        batches
            .inspect(|batch| {
                let loaded = batch.entries.iter().filter(|(_, image)| image.is_ok()).count();
                assert_eq!(batch.loaded().count(), loaded);
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
    fn many_refused_images_are_told_without_waiting_for_a_good_one() {
        assert_eq!(grouped("-------a", 3), ["---", "---", "-a"]);
        assert_eq!(grouped("a---bc", 3), ["a---", "bc"]);
    }
}

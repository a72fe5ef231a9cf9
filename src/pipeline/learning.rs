//! Crops of images in batches, from any point of a list on: the same batches as in one run.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::vec;

use super::batches::LOOKAHEAD_BYTES;
use crate::images::prefetch::Named;
use crate::images::{Content, ImageError, InputImage, LoadOptions, Numbered, Prefetch, Rgb8, random_crops};

/// Crops that are made in one go, in bytes, unless a single one is larger.
const PIECE_BYTES: u64 = 4 << 20;

/// Random crops of every image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crops {
    /// How many of each; 0 counts as 1.
    pub count: u32,
    /// Of their random numbers, see [`random_crops`].
    pub seed: u64,
}

/// A place between two crops of a list of inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Index, in the list, of the input whose crop comes next; the list's length at its end.
    pub input: usize,
    /// The number of that crop.
    pub crop: u32,
}

/// Crops that belong together.
#[derive(Debug)]
pub struct LearningBatch {
    /// In the order of the inputs and of their crops, all of one size.
    pub crops: Vec<Rgb8>,
    /// The input that each of these crops is of.
    pub owners: Vec<Arc<InputImage>>,
    /// Inputs before, between and, in the last batch, after these crops that could not be loaded, in order.
    pub failed: Vec<(InputImage, ImageError)>,
    /// Number of inputs whose last crop is among `crops`.
    pub finished: usize,
    /// What comes next: a run that starts here yields exactly the batches that follow this one.
    pub end: Position,
}

/// Loads images on `threads` threads, makes the crops of each, and groups those by `size`.
///
/// `inputs` are images with their numbers in the whole set, of which they may be a [`Shard`](crate::images::Shard); they are
/// taken as they are needed. Without
/// `crops`, an image has one crop, as [`load`](crate::images::load()) makes it; with them, so many random ones of `load.crop` pixels a side, which
/// depend on the image's number and not on its place in `inputs`.
///
/// All batches have `size` crops, the last one what is left, possibly none where inputs failed. What is in a batch
/// depends on the inputs, on `load`, `crops`, `size` and `start`, and on which files can be read; it does not depend on
/// threads. 0 threads and a `size` of 0 count as 1.
///
/// The crops of the next `ahead` batches are made before somebody wants them, at least one a thread, unless so many would
/// fill the memory. That is bounded whatever the number of crops an image: 256 MiB of crops, or a single larger one,
/// besides the batch that is being filled; and one decoded image a thread and one more.
pub fn learning_batches(
    inputs: impl IntoIterator<Item: Into<Numbered> + 'static, IntoIter: Send + 'static>,
    load: LoadOptions,
    crops: Option<Crops>,
    threads: usize,
    size: usize,
    ahead: usize,
    start: Position,
) -> LearningBatches {
    let (threads, size) = (threads.max(1), size.max(1));
    let count = crops.map_or(1, |crops| crops.count.max(1));
    let (piece, lookahead) = pieces(load.crop, count, threads, size.saturating_mul(ahead));
    let pieces = Pieces::new(inputs.into_iter().map(Into::into), count, piece, start);
    let next = pieces.next;
    let work = move |piece: &mut Piece| match crops {
        Some(Crops { seed, .. }) => piece.random_crops(&load, seed),
        None => {
            let content = piece.image.take_content();
            content.load(&piece.image.input.path, &load).map(|crop| vec![crop])
        }
    };
    LearningBatches {
        pieces: Prefetch::new(pieces, threads, lookahead, work),
        waiting: Vec::new().into_iter(),
        owner: None,
        count,
        size,
        next,
    }
}

/// An iterator over batches of crops, see [`learning_batches`].
pub struct LearningBatches {
    pieces: Prefetch<Vec<Rgb8>, Piece>,
    /// Crops of the last piece that was taken.
    waiting: vec::IntoIter<Rgb8>,
    /// The input they are of.
    owner: Option<Arc<InputImage>>,
    /// Crops of an image.
    count: u32,
    /// Crops of a batch.
    size: usize,
    /// What comes next.
    next: Position,
}

impl Iterator for LearningBatches {
    type Item = LearningBatch;

    fn next(&mut self) -> Option<LearningBatch> {
        let (mut crops, mut owners, mut failed, mut finished) = (Vec::new(), Vec::new(), Vec::new(), 0);
        while crops.len() < self.size {
            if let Some(crop) = self.waiting.next() {
                crops.push(crop);
                owners.extend(self.owner.clone());
                self.next.crop += 1;
                if self.next.crop == self.count {
                    finished += 1;
                    self.next = Position { input: self.next.input + 1, crop: 0 };
                }
                continue;
            }
            let Some((piece, made)) = self.pieces.next() else { break };
            // What is left of an image that failed, whatever became of it.
            if piece.image.index < self.next.input {
                continue;
            }
            match made {
                Ok(made) => {
                    self.waiting = made.into_iter();
                    self.owner = Some(Arc::clone(&piece.image.input));
                }
                Err(error) => {
                    failed.push((InputImage::clone(&piece.image.input), error));
                    self.next = Position { input: piece.image.index + 1, crop: 0 };
                }
            }
        }
        let any = !crops.is_empty() || !failed.is_empty();
        any.then_some(LearningBatch { crops, owners, failed, finished, end: self.next })
    }
}

/// Crops of a piece, and pieces to make ahead, so that about `wanted` crops wait and every thread has something to do.
fn pieces(crop: u32, count: u32, threads: usize, wanted: usize) -> (u32, usize) {
    let crop_bytes = (3 * u64::from(crop).pow(2)).max(1);
    let fitting = |bytes: u64| usize::try_from(bytes / crop_bytes).unwrap_or(usize::MAX).max(1);
    let ahead = wanted.max(threads).min(fitting(LOOKAHEAD_BYTES));
    let most = fitting(PIECE_BYTES).min(ahead / threads).max(1);
    // Pieces of an image are of about one length, so that few small ones take up the look-ahead.
    let of_an_image = count.div_ceil(u32::try_from(most).unwrap_or(u32::MAX));
    let piece = count.div_ceil(of_an_image);
    (piece, (ahead / piece as usize).max(1))
}

/// Some of the crops of an image.
struct Piece {
    image: Arc<Image>,
    crops: Range<u32>,
    /// Whether it is the first piece of its image.
    first: bool,
}

impl Piece {
    /// Its crops; none where the image cannot be loaded, which its first piece tells.
    fn random_crops(&self, options: &LoadOptions, seed: u64) -> Result<Vec<Rgb8>, ImageError> {
        let Some(decoded) = self.image.decoded(options.max_pixels, self.first)? else {
            return Ok(Vec::new());
        };
        random_crops(&decoded, options.crop, seed, self.image.number, self.crops.clone())
            .map_err(|problem| ImageError::new(&self.image.input.path, problem.into()))
    }
}

impl Named for Piece {
    fn path(&self) -> &Path {
        &self.image.input.path
    }
}

/// An image that several threads make crops of.
struct Image {
    /// In the list at hand.
    index: usize,
    /// In the whole list.
    number: u64,
    input: Arc<InputImage>,
    state: Mutex<State>,
}

struct State {
    /// What it is made of, until somebody decodes it.
    content: Content,
    decoded: Decoded,
    /// Pieces that have not been begun.
    left: u32,
}

enum Decoded {
    /// Not yet, or no more.
    No,
    Yes(Arc<Rgb8>),
    /// With the error until the first piece has taken it.
    Failed(Option<ImageError>),
}

impl Image {
    /// What it is made of; this serves once.
    fn take_content(&self) -> Content {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut state.content, Content::File)
    }

    /// Its pixels, once for each piece; none where the first piece is told the error.
    ///
    /// The piece that asks first decodes it while the others wait. The piece that asks last leaves nothing behind, so that
    /// pixels live as long as pieces are being made of them, and not until their crops are taken.
    fn decoded(&self, max_pixels: u64, first: bool) -> Result<Option<Arc<Rgb8>>, ImageError> {
        // A panic of the decoder is an error, so a poisoned state does not come about.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(state.decoded, Decoded::No) {
            let content = std::mem::replace(&mut state.content, Content::File);
            state.decoded = match content.decode(&self.input.path, max_pixels) {
                Ok(image) => Decoded::Yes(Arc::new(image)),
                Err(error) => Decoded::Failed(Some(error)),
            };
        }
        state.left = state.left.saturating_sub(1);
        match &mut state.decoded {
            Decoded::Yes(image) => {
                let image = Arc::clone(image);
                if state.left == 0 {
                    state.decoded = Decoded::No;
                }
                Ok(Some(image))
            }
            Decoded::Failed(error) if first => error.take().map_or(Ok(None), Err),
            _ => Ok(None),
        }
    }
}

/// The pieces of all images in order, from a position on.
struct Pieces {
    inputs: Box<dyn Iterator<Item = (usize, Numbered)> + Send>,
    /// The image that `next` is in, where some of its pieces are behind.
    image: Option<Arc<Image>>,
    next: Position,
    /// Crops of an image.
    count: u32,
    /// Crops of a piece, the last ones of an image what is left.
    piece: u32,
}

impl Pieces {
    fn new(
        inputs: impl Iterator<Item = Numbered> + Send + 'static,
        count: u32,
        piece: u32,
        start: Position,
    ) -> Self {
        let next = match start {
            Position { input, crop } if crop >= count => Position { input: input + 1, crop: 0 },
            _ => start,
        };
        Self { inputs: Box::new(inputs.enumerate().skip(next.input)), image: None, next, count, piece }
    }

    /// Pieces from a crop to the end of its image.
    fn of_image(&self, crop: u32) -> u32 {
        (self.count - crop).div_ceil(self.piece)
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let start = self.next.crop;
        let (image, first) = match self.image.take() {
            Some(image) => (image, false),
            None => {
                let (index, Numbered { number, sample }) = self.inputs.next()?;
                let left = self.of_image(start);
                let state = State { content: sample.content, decoded: Decoded::No, left };
                let input = Arc::new(sample.image);
                (Arc::new(Image { index, number, input, state: Mutex::new(state) }), true)
            }
        };
        let end = start.saturating_add(self.piece).min(self.count);
        if end == self.count {
            self.next = Position { input: image.index + 1, crop: 0 };
        } else {
            self.next.crop = end;
            self.image = Some(Arc::clone(&image));
        }
        Some(Piece { image, crops: start..end, first })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::images::ImageProblem;
    use crate::images::decode::decode;

    const LOAD: LoadOptions = LoadOptions { resize: 9, crop: 7, max_pixels: 10_000 };

    /// So many images of various sizes in a folder, and some things between them that are none; numbers as in shard 1/3.
    fn inputs(folder: &Path, kinds: &str) -> Vec<(u64, InputImage)> {
        let kind = |(index, kind): (usize, char)| {
            let name = format!("{index}.png");
            let path = folder.join(&name);
            match kind {
                '-' => {} // missing
                'e' => fs::write(&path, "").unwrap(),
                'd' => fs::write(&path, "\u{1}no image").unwrap(),
                'l' => image::RgbImage::new(200, 51).save(&path).unwrap(), // more pixels than allowed
                _ => {
                    let sample = |x: u32, y: u32| (x * 37 + y * 101 + index as u32 * 59) as u8;
                    let pixel = |x, y| image::Rgb([0, 1, 2].map(|channel| sample(x + channel, y * 3)));
                    let (width, height) = (3 + index as u32 * 5 % 17, 12 - index as u32 % 11);
                    image::RgbImage::from_fn(width, height, pixel).save(&path).unwrap();
                }
            }
            (index as u64 * 3 + 1, InputImage { path, name: name.into(), target: None })
        };
        kinds.chars().enumerate().map(kind).collect()
    }

    fn numbered(folder: &Path, kinds: &str) -> impl Iterator<Item = Numbered> + Send + use<> {
        inputs(folder, kinds).into_iter().map(Numbered::from)
    }

    /// A batch in a form that can be compared.
    #[derive(Debug, Clone, PartialEq, Default)]
    struct Plain {
        crops: Vec<Rgb8>,
        owners: Vec<PathBuf>,
        failed: Vec<(InputImage, String)>,
        finished: usize,
        end: Position,
    }

    impl From<LearningBatch> for Plain {
        fn from(batch: LearningBatch) -> Self {
            let failed = batch.failed.into_iter().map(|(input, error)| (input, error.to_string())).collect();
            let owners = batch.owners.iter().map(|owner| owner.path.clone()).collect();
            Self { crops: batch.crops, owners, failed, finished: batch.finished, end: batch.end }
        }
    }

    /// The batches, one crop after the other and nothing ahead.
    fn slow_batches(
        inputs: &[(u64, InputImage)],
        crops: Option<Crops>,
        size: usize,
        start: Position,
    ) -> Vec<Plain> {
        let count = crops.map_or(1, |crops| crops.count);
        let mut batches = Vec::new();
        let mut batch = Plain { end: start, ..Plain::default() };
        for (index, (number, input)) in inputs.iter().enumerate().skip(start.input) {
            let first = if index == start.input { start.crop } else { 0 };
            if let Err(error) = decode(&input.path, LOAD.max_pixels) {
                batch.failed.push((input.clone(), error.to_string()));
                batch.end = Position { input: index + 1, crop: 0 };
                continue;
            }
            for crop in first..count {
                batch.crops.push(match crops {
                    None => crate::images::load(&input.path, &LOAD).unwrap(),
                    Some(Crops { seed, .. }) => {
                        let image = decode(&input.path, LOAD.max_pixels).unwrap();
                        random_crops(&image, LOAD.crop, seed, *number, crop..crop + 1).unwrap().remove(0)
                    }
                });
                batch.owners.push(input.path.clone());
                batch.finished += usize::from(crop + 1 == count);
                batch.end = if crop + 1 == count {
                    Position { input: index + 1, crop: 0 }
                } else {
                    Position { input: index, crop: crop + 1 }
                };
                if batch.crops.len() == size {
                    let end = batch.end;
                    batches.push(std::mem::take(&mut batch));
                    batch.end = end;
                }
            }
        }
        if !batch.crops.is_empty() || !batch.failed.is_empty() {
            batches.push(batch);
        }
        batches
    }

    fn random(count: u32) -> Option<Crops> {
        Some(Crops { count, seed: 4 })
    }

    #[test]
    fn batches_are_those_of_a_slow_loop_whatever_the_threads() {
        let folder = tempfile::tempdir().unwrap();
        for kinds in ["", "i", "-", "iiiiiiiii", "-ied-iil-i", "iii---", "ei-e--i"] {
            let inputs = inputs(folder.path(), kinds);
            for crops in [None, random(1), random(5), random(23)] {
                for size in [1, 4, 5, 50, 1000] {
                    let expected = slow_batches(&inputs, crops, size, Position::default());
                    for (threads, ahead) in [(0, 0), (1, 2), (2, 1), (3, 7), (16, 2)] {
                        let batches = learning_batches(
                            inputs.clone(),
                            LOAD,
                            crops,
                            threads,
                            size,
                            ahead,
                            Position::default(),
                        );
                        let found: Vec<Plain> = batches.map(Plain::from).collect();
                        assert!(
                            found == expected,
                            "{kinds}, {crops:?}, {size} a batch, {threads} threads, {ahead} ahead"
                        );
                        assert!(found.iter().rev().skip(1).all(|batch| batch.crops.len() == size));
                    }
                }
            }
        }
    }

    #[test]
    fn from_the_end_of_any_batch_the_rest_of_the_run_follows() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = inputs(folder.path(), "-iei--idil-");
        for crops in [None, random(1), random(3), random(17)] {
            for size in [1, 2, 5, 16, 17, 34] {
                let run = |threads, start| {
                    learning_batches(inputs.clone(), LOAD, crops, threads, size, 2, start).map(Plain::from)
                };
                let whole: Vec<Plain> = run(2, Position::default()).collect();
                assert!(whole.len() > 1 || size > 4);
                for (index, batch) in whole.iter().enumerate() {
                    let threads = 1 + index % 4;
                    let rest: Vec<Plain> = run(threads, batch.end).collect();
                    assert!(rest == whole[index + 1..], "{crops:?}, {size}, after {index}");
                }
            }
        }
    }

    #[test]
    fn any_other_position_begins_batches_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = inputs(folder.path(), "i-ii");
        let crops = random(6);
        for input in 0..6 {
            for crop in [0, 1, 4, 5] {
                let start = Position { input, crop };
                let found: Vec<Plain> =
                    learning_batches(inputs.clone(), LOAD, crops, 2, 4, 1, start).map(Plain::from).collect();
                assert!(found == slow_batches(&inputs, crops, 4, start), "{start:?}");
            }
            // Behind its last crop is before the next image.
            let behind = learning_batches(inputs.clone(), LOAD, crops, 2, 4, 1, Position { input, crop: 6 });
            let next = slow_batches(&inputs, crops, 4, Position { input: input + 1, crop: 0 });
            assert!(behind.map(Plain::from).eq(next));
        }
    }

    #[test]
    fn a_crop_is_the_same_in_every_shard() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = inputs(folder.path(), "iiii");
        let crops = |inputs: &[(u64, InputImage)]| -> Vec<Rgb8> {
            let batches = learning_batches(inputs.to_vec(), LOAD, random(8), 2, 5, 1, Position::default());
            batches.flat_map(|batch| batch.crops).collect()
        };
        let all = crops(&inputs);
        for index in 0..4 {
            assert!(crops(&inputs[index..=index]) == all[index * 8..index * 8 + 8]);
        }
    }

    #[test]
    fn crops_made_ahead_are_bounded_in_bytes_and_busy_every_thread() {
        for crop in [1, 7, 224, 1000, 4096, 16_384] {
            let bytes = 3 * u64::from(crop).pow(2);
            for count in [1, 2, 27, 28, 100, 5000, u32::MAX] {
                for threads in [1, 2, 7, 64] {
                    for wanted in [0, 1, 16, 500, usize::MAX] {
                        let (piece, ahead) = pieces(crop, count, threads, wanted);
                        let case = format!("{crop}, {count}, {threads}, {wanted}: {piece} × {ahead}");
                        assert!(piece >= 1 && piece <= count && ahead >= 1, "{case}");
                        let made = u64::from(piece) * bytes;
                        assert!(piece == 1 || made <= PIECE_BYTES, "{case}");
                        assert!(
                            (piece == 1 && ahead == 1) || made * ahead as u64 <= LOOKAHEAD_BYTES,
                            "{case}"
                        );
                        let fitting = (LOOKAHEAD_BYTES / bytes) as usize;
                        assert!(ahead >= threads.min(fitting), "{case}");
                        // Pieces of about one length leave less than half of what is wanted unused.
                        let most = wanted.max(threads).min(fitting.max(1));
                        assert!(2 * piece as usize * ahead >= most, "{case}");
                        assert!(piece as usize * ahead <= most, "{case}");
                    }
                }
            }
        }
        assert_eq!(pieces(224, 1, 8, 128), (1, 128));
        assert_eq!(pieces(224, 100, 2, 128), (25, 5));
        assert_eq!(pieces(224, 28, 2, 128), (14, 9));
    }

    #[test]
    fn an_image_is_decoded_once_and_let_go_when_its_last_piece_begins() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = inputs(folder.path(), "iii");
        let path = |index: usize| inputs[index].1.path.clone();
        let held = |piece: &Piece| matches!(piece.image.state.lock().unwrap().decoded, Decoded::Yes(_));
        let start = Position { input: 0, crop: 4 };
        let numbered = inputs.clone().into_iter().map(Numbered::from);
        let mut pieces = Pieces::new(numbered, 10, 3, start);
        // From crop 4: 4 to 6, 7 to 9; then 0, 3, 6 and 9 alone.
        let mut kept = Vec::new();
        for (index, begins) in [(0, vec![4, 7]), (1, vec![0, 3, 6, 9]), (2, vec![0, 3, 6, 9])] {
            for (number, begin) in begins.iter().enumerate() {
                let piece = pieces.next().unwrap();
                assert_eq!((piece.image.index, piece.crops.start, piece.first), (index, *begin, number == 0));
                let made = piece.random_crops(&LOAD, 0).unwrap();
                assert_eq!(made.len(), piece.crops.len());
                if number == 0 {
                    fs::remove_file(path(index)).unwrap();
                }
                assert_eq!(held(&piece), number + 1 < begins.len());
                kept.push(piece);
            }
        }
        assert!(pieces.next().is_none());
    }

    #[test]
    fn the_first_piece_tells_the_error_whoever_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let pieces: Vec<Piece> =
                Pieces::new(numbered(folder.path(), "-"), 9, 3, Position::default()).collect();
            let mut results = [None, None, None];
            for index in order {
                results[index] = Some(pieces[index].random_crops(&LOAD, 0));
            }
            assert!(matches!(results, [Some(Err(_)), Some(Ok(_)), Some(Ok(_))]), "{order:?}");
        }
    }

    #[test]
    fn nothing_of_an_image_follows_the_piece_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let run = |threads| {
            let pieces = Pieces::new(numbered(folder.path(), "iii"), 10, 2, Position::default());
            let work = |piece: &mut Piece| {
                if piece.image.index == 1 && piece.crops.contains(&4) {
                    return Err(ImageError::new(&piece.image.input.path, ImageProblem::Empty));
                }
                piece.random_crops(&LOAD, 0)
            };
            LearningBatches {
                pieces: Prefetch::new(pieces, threads, 4, work),
                waiting: Vec::new().into_iter(),
                owner: None,
                count: 10,
                size: 6,
                next: Position::default(),
            }
        };
        for threads in [1, 3] {
            let batches: Vec<Plain> = run(threads).map(Plain::from).collect();
            let lengths: Vec<usize> = batches.iter().map(|batch| batch.crops.len()).collect();
            // 10 and 4 and 10 crops.
            assert_eq!(lengths, [6, 6, 6, 6]);
            let failed: Vec<usize> = batches.iter().map(|batch| batch.failed.len()).collect();
            assert_eq!(failed, [0, 0, 1, 0]);
            let ends: Vec<(usize, u32)> =
                batches.iter().map(|batch| (batch.end.input, batch.end.crop)).collect();
            assert_eq!(ends, [(0, 6), (1, 2), (2, 4), (3, 0)]);
        }
    }

    #[test]
    fn batches_can_be_made_on_another_thread() {
        fn sent<T: Send>() {}
        sent::<LearningBatches>();
    }
}

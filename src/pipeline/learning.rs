//! Crops of images in batches, from any point of a list on: the same batches as in one run.

use std::borrow::Borrow;
use std::iter::{Enumerate, Skip};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::vec;

use super::batches::LOOKAHEAD_BYTES;
use crate::images::decode::decode;
use crate::images::{ImageError, InputImage, LoadOptions, Prefetch, Rgb8, random_crops};

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
    /// Inputs before, between and, in the last batch, after these crops that could not be loaded, in order.
    pub failed: Vec<(InputImage, ImageError)>,
    /// Number of inputs whose last crop is among `crops`.
    pub finished: usize,
    /// What comes next: a run that starts here yields exactly the batches that follow this one.
    pub end: Position,
}

/// Loads images on `threads` threads, makes the crops of each, and groups those by `size`.
///
/// `inputs` are images with their numbers in the whole list, of which they may be a [`Shard`](crate::images::Shard). Without
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
    inputs: Vec<(u64, InputImage)>,
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
    let pieces = Pieces::new(inputs, count, piece, start);
    let next = pieces.next;
    let work = move |piece: &Piece| match crops {
        Some(Crops { seed, .. }) => piece.random_crops(&load, seed),
        None => crate::images::load(&piece.image.input.path, &load).map(|crop| vec![crop]),
    };
    LearningBatches {
        pieces: Prefetch::new(pieces, threads, lookahead, work),
        waiting: Vec::new().into_iter(),
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
        let (mut crops, mut failed, mut finished) = (Vec::new(), Vec::new(), 0);
        while crops.len() < self.size {
            if let Some(crop) = self.waiting.next() {
                crops.push(crop);
                self.next.crop += 1;
                if self.next.crop == self.count {
                    finished += 1;
                    self.next = Position { input: self.next.input + 1, crop: 0 };
                }
                continue;
            }
            let Some((piece, made)) = self.pieces.next() else { break };
            // A failed image is told with its first piece.
            if piece.image.index < self.next.input {
                continue;
            }
            match made {
                Ok(made) => self.waiting = made.into_iter(),
                Err(error) => {
                    failed.push((piece.image.input.clone(), error));
                    self.next = Position { input: piece.image.index + 1, crop: 0 };
                }
            }
        }
        let any = !crops.is_empty() || !failed.is_empty();
        any.then_some(LearningBatch { crops, failed, finished, end: self.next })
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

impl Borrow<InputImage> for Piece {
    fn borrow(&self) -> &InputImage {
        &self.image.input
    }
}

/// An image that several threads make crops of.
struct Image {
    /// In the list at hand.
    index: usize,
    /// In the whole list.
    number: u64,
    input: InputImage,
    state: Mutex<State>,
}

struct State {
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
    /// Its pixels, once for each piece; none where the first piece is told the error.
    ///
    /// The piece that asks first decodes it while the others wait. The piece that asks last leaves nothing behind, so that
    /// pixels live as long as pieces are being made of them, and not until their crops are taken.
    fn decoded(&self, max_pixels: u64, first: bool) -> Result<Option<Arc<Rgb8>>, ImageError> {
        // A panic of the decoder is an error, so a poisoned state does not come about.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(state.decoded, Decoded::No) {
            state.decoded = match decode(&self.input.path, max_pixels) {
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
    inputs: Skip<Enumerate<vec::IntoIter<(u64, InputImage)>>>,
    /// The image that `next` is in, where some of its pieces are behind.
    image: Option<Arc<Image>>,
    next: Position,
    /// Crops of an image.
    count: u32,
    /// Crops of a piece, the last ones of an image what is left.
    piece: u32,
}

impl Pieces {
    fn new(inputs: Vec<(u64, InputImage)>, count: u32, piece: u32, start: Position) -> Self {
        let next = match start {
            _ if start.input >= inputs.len() => Position { input: inputs.len(), crop: 0 },
            Position { input, crop } if crop >= count => Position { input: input + 1, crop: 0 },
            _ => start,
        };
        Self { inputs: inputs.into_iter().enumerate().skip(next.input), image: None, next, count, piece }
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
                let (index, (number, input)) = self.inputs.next()?;
                let state = State { decoded: Decoded::No, left: self.of_image(start) };
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

    fn size_hint(&self) -> (usize, Option<usize>) {
        let of_whole = self.of_image(0) as usize;
        let more = self.inputs.len();
        let left = match &self.image {
            Some(_) => of_whole.saturating_mul(more).saturating_add(self.of_image(self.next.crop) as usize),
            None if more == 0 => 0,
            // The first image of a run may have begun in an earlier one.
            None => of_whole.saturating_mul(more - 1).saturating_add(self.of_image(self.next.crop) as usize),
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Pieces {}

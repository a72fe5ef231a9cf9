//! Where the parts of a figure are, in pixels.

use super::text::{width, wrapped};
use super::{Caption, Figure, FigureError};

/// The longest side that is drawn: what most programs still open.
pub(super) const MAX_SIDE: u32 = 65_535;
/// The most pixels that are drawn: 600 MB of memory.
pub(super) const MAX_PIXELS: u64 = 200_000_000;

/// Around all.
const MARGIN: u32 = 12;
/// Between cells.
const GAP: u32 = 6;
/// Between captions and what they are of.
const NEAR: u32 = 10;
/// The widest that captions of rows become, and their most lines of title.
const ROW_CAPTION: u32 = 152;
const TITLE_LINES: usize = 2;
/// The most lines below all.
const NOTE_LINES: usize = 6;

/// Sizes of text, and heights of its lines.
const TITLE_SIZE: u32 = 14;
const TITLE_LINE: u32 = 19;
const DETAIL_SIZE: u32 = 12;
const DETAIL_LINE: u32 = 17;

/// How much a text stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Names.
    Strong,
    /// The rest.
    Faint,
}

/// A line of text.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedText {
    /// What is drawn, cut to fit.
    pub text: String,
    /// The whole text that it is a line of.
    pub whole: String,
    /// Where it begins, or its middle where it is centred.
    pub x: u32,
    /// Whether `x` is its middle.
    pub is_centred: bool,
    /// Where the letters stand.
    pub baseline: u32,
    /// Height of an em.
    pub size: u32,
    /// How much it stands out.
    pub weight: Weight,
}

/// A picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedCell {
    /// From 0.
    pub row: usize,
    /// From 0.
    pub column: usize,
    /// Of its left edge.
    pub left: u32,
    /// Of its top edge.
    pub top: u32,
}

/// A figure's parts in their places. All lengths are pixels from the left and the top.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// Of the figure.
    pub width: u32,
    /// Of the figure.
    pub height: u32,
    /// Width and height of every cell.
    pub cell: (u32, u32),
    /// In the order of rows and columns.
    pub cells: Vec<PlacedCell>,
    /// All captions.
    pub texts: Vec<PlacedText>,
}

/// Lines of a caption that are not placed yet.
struct Block {
    lines: Vec<Line>,
    height: u32,
}

struct Line {
    text: String,
    whole: String,
    size: u32,
    height: u32,
    weight: Weight,
}

impl Block {
    fn new(lines: Vec<Line>) -> Self {
        let height = lines.iter().map(|line| line.height).sum();
        Block { lines, height }
    }

    /// The lines of a caption in a column of a width.
    fn of(caption: &Caption, limit: u32) -> Self {
        let mut lines = Vec::new();
        let mut add = |whole: &str, count, (size, height, weight)| {
            let texts = wrapped(whole, size as f32, limit as f32, count);
            let texts = texts.into_iter().filter(|text| !text.is_empty());
            lines.extend(texts.map(|text| Line { text, whole: whole.to_owned(), size, height, weight }));
        };
        add(&caption.title, TITLE_LINES, (TITLE_SIZE, TITLE_LINE, Weight::Strong));
        for detail in &caption.details {
            add(detail, 1, (DETAIL_SIZE, DETAIL_LINE, Weight::Faint));
        }
        Block::new(lines)
    }

    fn width(&self) -> u32 {
        self.lines.iter().map(|line| width(&line.text, line.size as f32).ceil() as u32).max().unwrap_or(0)
    }

    /// Its lines below `top`.
    fn place(self, x: u32, top: u32, is_centred: bool, texts: &mut Vec<PlacedText>) {
        let mut bottom = top;
        for Line { text, whole, size, height, weight } in self.lines {
            bottom += height;
            // The letters stand a quarter of an em over the line's lower edge: what hangs below them has room.
            let baseline = bottom - height.saturating_sub(size).div_ceil(2) - size / 6;
            texts.push(PlacedText { text, whole, x, is_centred, baseline, size, weight });
        }
    }
}

impl Layout {
    /// Puts everything in its place.
    ///
    /// # Errors
    /// As [`Figure::cell_size`], and [`FigureError::TooLarge`].
    pub fn of(figure: &Figure) -> Result<Self, FigureError> {
        let cell = figure.cell_size()?;
        let (rows, columns) = (figure.rows.len(), figure.columns.len());
        Self::check_size(rows, columns, cell)?;
        let heads: Vec<Block> = figure.columns.iter().map(|caption| Block::of(caption, cell.0)).collect();
        let sides: Vec<Block> = figure.rows.iter().map(|row| Block::of(&row.caption, ROW_CAPTION)).collect();
        let side = sides.iter().map(Block::width).max().unwrap_or(0);
        let left = MARGIN + if side > 0 { side + NEAR } else { 0 };
        let width = left + columns as u32 * (cell.0 + GAP) - GAP + MARGIN;

        let (mut cells, mut texts) = (Vec::with_capacity(rows * columns), Vec::new());
        let head = heads.iter().map(|block| block.height).max().unwrap_or(0);
        for (column, block) in (0..).zip(heads) {
            let middle = left + column * (cell.0 + GAP) + cell.0 / 2;
            let top = MARGIN + head - block.height;
            block.place(middle, top, true, &mut texts);
        }
        let mut top = MARGIN + if head > 0 { head + NEAR / 2 } else { 0 };
        for (row, block) in sides.into_iter().enumerate() {
            let height = cell.1.max(block.height);
            for column in 0..columns {
                let left = left + column as u32 * (cell.0 + GAP);
                cells.push(PlacedCell { row, column, left, top: top + (height - cell.1) / 2 });
            }
            let below = top + (height - block.height) / 2;
            block.place(MARGIN, below, false, &mut texts);
            top += height + GAP;
        }
        let note = Block::new(note_lines(&figure.note, width - 2 * MARGIN));
        let bottom = top - GAP;
        let height = bottom + MARGIN + note.height;
        note.place(MARGIN, bottom + NEAR * 2 / 3, false, &mut texts);
        if u64::from(width) * u64::from(height) > MAX_PIXELS || width.max(height) > MAX_SIDE {
            return Err(FigureError::TooLarge { width: width.into(), height: height.into() });
        }
        Ok(Layout { width, height, cell, cells, texts })
    }

    /// Refuses figures that are too large by their cells alone, without their pictures: before these are made.
    ///
    /// # Errors
    /// [`FigureError::TooLarge`].
    pub fn check_size(rows: usize, columns: usize, cell: (u32, u32)) -> Result<(), FigureError> {
        let side = |count: usize, length: u32| (count as u64).saturating_mul(u64::from(length + GAP));
        let (width, height) = (side(columns, cell.0), side(rows, cell.1));
        if width.max(height) > u64::from(MAX_SIDE) || width.saturating_mul(height) > MAX_PIXELS {
            return Err(FigureError::TooLarge { width, height });
        }
        Ok(())
    }
}

fn note_lines(note: &str, limit: u32) -> Vec<Line> {
    let lines = wrapped(note, DETAIL_SIZE as f32, limit as f32, NOTE_LINES).into_iter();
    let line = |text| Line {
        text,
        whole: note.to_owned(),
        size: DETAIL_SIZE,
        height: DETAIL_LINE,
        weight: Weight::Faint,
    };
    lines.filter(|text| !text.is_empty()).map(line).collect()
}

//! Figures: pictures in rows and columns with captions, as PNG, SVG or HTML.
//!
//! [`Layout`] decides where everything is, in whole pixels, from the embedded font's widths; PNG and SVG draw what it says,
//! and HTML leaves it to the browser. The same figure gives the same bytes everywhere.

mod cell;
mod error;
mod format;
mod html;
mod layout;
mod overlay;
mod png;
mod svg;
mod text;

pub use cell::{default_side, fitted};
pub use error::FigureError;
pub use format::FigureFormat;
pub use layout::{Layout, PlacedCell, PlacedText, Weight};
pub use overlay::overlay_picture;

use image::RgbImage;

/// Pictures in rows and columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What it shows, for those who do not see it and for the window of a page.
    pub title: String,
    /// Over the columns.
    pub columns: Vec<Caption>,
    /// From top to bottom.
    pub rows: Vec<Row>,
    /// Below all: how to read the pictures.
    pub note: String,
}

/// What a row or column is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caption {
    /// The name.
    pub title: String,
    /// More about it, a line each.
    pub details: Vec<String>,
}

/// A row of pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Beside the row.
    pub caption: Caption,
    /// One a column, all of one size.
    pub cells: Vec<RgbImage>,
}

impl Figure {
    /// The figure as a file.
    ///
    /// # Errors
    /// [`FigureError`]: when rows do not fit the columns, pictures differ in size, or the figure is too large for a picture.
    pub fn encode(&self, format: FigureFormat) -> Result<Vec<u8>, FigureError> {
        match format {
            FigureFormat::Png => self.png(),
            FigureFormat::Svg => Ok(self.svg()?.into_bytes()),
            FigureFormat::Html => Ok(self.html()?.into_bytes()),
        }
    }

    /// Width and height of all its pictures, in pixels.
    ///
    /// # Errors
    /// When there are none, rows do not fit the columns, or pictures differ in size.
    pub fn cell_size(&self) -> Result<(u32, u32), FigureError> {
        let size = self.rows.iter().flat_map(|row| &row.cells).next().map(RgbImage::dimensions);
        let size = size.ok_or(FigureError::Empty)?;
        for (number, row) in self.rows.iter().enumerate() {
            if row.cells.len() != self.columns.len() {
                let (cells, columns) = (row.cells.len(), self.columns.len());
                return Err(FigureError::Columns { row: number, cells, columns });
            }
            if let Some(other) = row.cells.iter().map(RgbImage::dimensions).find(|other| *other != size) {
                return Err(FigureError::Sizes { row: number, size: other, expected: size });
            }
        }
        Ok(size)
    }

    /// What a picture shows, in words.
    fn describe(&self, row: usize, column: usize) -> String {
        let named = |caption: &Caption| match caption.details.first() {
            Some(detail) if !detail.is_empty() => format!("{} ({detail})", caption.title),
            _ => caption.title.clone(),
        };
        format!("{}: {}", self.rows[row].caption.title, named(&self.columns[column]))
    }
}

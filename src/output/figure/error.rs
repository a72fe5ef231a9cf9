//! What can be wrong with a figure.

/// Why a figure could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    /// There is no picture.
    #[error("a figure needs a picture at least")]
    Empty,
    /// A row has more or fewer pictures than there are columns.
    #[error("row {row} has {cells} pictures, but there are {columns} columns")]
    Columns {
        /// The row, from 0.
        row: usize,
        /// Its pictures.
        cells: usize,
        /// The figure's columns.
        columns: usize,
    },
    /// A picture is of another size than the first.
    #[error("a picture of row {row} has {}×{} pixels, the first one {}×{}", size.0, size.1, expected.0, expected.1)]
    Sizes {
        /// The row, from 0.
        row: usize,
        /// Width and height of the picture.
        size: (u32, u32),
        /// Width and height of the first one.
        expected: (u32, u32),
    },
    /// More pixels than a picture can have.
    #[error(
        "a figure of {width}×{height} pixels is too large for one picture (at most {} a side and {} million in all); name \
         fewer images, make cells smaller with --cell, or write HTML",
        super::layout::MAX_SIDE,
        super::layout::MAX_PIXELS / 1_000_000
    )]
    TooLarge {
        /// In pixels.
        width: u64,
        /// In pixels.
        height: u64,
    },
    /// The picture's encoder failed.
    #[error("the figure cannot be encoded: {0}")]
    Encode(#[from] image::ImageError),
    /// A name that is no format's.
    #[error("'{name}' is not a format of figures; use png, svg or html")]
    UnknownFormat {
        /// As given.
        name: String,
    },
    /// The file's name does not say a format.
    #[error("the name of the figure {name} does not end in .png, .svg or .html; rename it, or give --format")]
    UnknownExtension {
        /// The file as given.
        name: String,
    },
}

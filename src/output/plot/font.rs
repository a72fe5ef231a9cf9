//! The font of plots.

use plotters::style::{FontStyle, register_font as register};
use std::sync::Once;

/// What texts of plots are set in: bitmaps in this font, SVG in the reader's.
pub(super) const FAMILY: &str = "sans-serif";

/// DejaVu Sans, the characters that plots and figures use.
pub(in crate::output) static FONT: &[u8] = include_bytes!("font/DejaVuSans-subset.ttf");

/// Makes the font known to the plotting library under `sans-serif`. Drawing plots here does it by itself.
pub fn register_font() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // It is a font: the tests draw with it.
        let _ = register(FAMILY, FontStyle::Normal, FONT);
    });
}

//! A figure as SVG.

use super::{Figure, FigureError, Layout, Weight};
use crate::output::markup::{data_uri, escaped};
use crate::output::picture::png;
use std::fmt::Write;

impl Figure {
    /// The figure as SVG, pictures inside. Captions are cut by the widths of DejaVu Sans, which is wider than most: in other
    /// fonts they fit as well. What was cut is shown whole when it is pointed at.
    ///
    /// # Errors
    /// [`FigureError`].
    pub fn svg(&self) -> Result<String, FigureError> {
        let layout = Layout::of(self)?;
        let Layout { width, height, cell, .. } = layout;
        let title = escaped(&self.title);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             role=\"img\" aria-label=\"{title}\" font-family=\"'DejaVu Sans', Verdana, sans-serif\">\n<title>{title}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
        );
        for placed in &layout.cells {
            let picture = &self.rows[placed.row].cells[placed.column];
            let _ = writeln!(
                svg,
                "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" href=\"{}\"><title>{}</title></image>",
                placed.left,
                placed.top,
                cell.0,
                cell.1,
                data_uri("image/png", &png(picture)?),
                escaped(&self.describe(placed.row, placed.column))
            );
        }
        for text in &layout.texts {
            let anchor = if text.is_centred { " text-anchor=\"middle\"" } else { "" };
            let fill = match text.weight {
                Weight::Strong => "#1b1f26",
                Weight::Faint => "#59616e",
            };
            let whole = if text.text == text.whole {
                String::new()
            } else {
                format!("<title>{}</title>", escaped(&text.whole))
            };
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"{fill}\"{anchor}>{whole}{}</text>",
                text.x,
                text.baseline,
                text.size,
                escaped(&text.text)
            );
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }
}

//! A figure as a page.

use super::{Caption, Figure, FigureError};
use crate::output::markup::{data_uri, escaped};
use crate::output::page::Page;
use crate::output::picture::png;
use std::fmt::Write;

/// Rules for pages of figures.
const STYLE: &str = include_str!("style.css");

impl Figure {
    /// The figure as a page that is one file.
    ///
    /// # Errors
    /// [`FigureError`].
    pub fn html(&self) -> Result<String, FigureError> {
        let (width, height) = self.cell_size()?;
        let mut body = format!("<h1>{}</h1>\n", escaped(&self.title));
        if !self.note.is_empty() {
            let _ = writeln!(body, "<p class=\"faint\">{}</p>", escaped(&self.note));
        }
        body.push_str("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Figure\">\n<table class=\"figure\">\n");
        body.push_str("<thead>\n<tr><td></td>");
        for column in &self.columns {
            let _ = write!(body, "<th scope=\"col\">{}</th>", caption(column));
        }
        body.push_str("</tr>\n</thead>\n<tbody>\n");
        for (number, row) in self.rows.iter().enumerate() {
            let _ = write!(body, "<tr><th scope=\"row\"><div>{}</div></th>", caption(&row.caption));
            for (column, picture) in row.cells.iter().enumerate() {
                let _ = write!(
                    body,
                    "<td><img width=\"{width}\" height=\"{height}\" loading=\"lazy\" alt=\"{}\" src=\"{}\"></td>",
                    escaped(&self.describe(number, column)),
                    data_uri("image/png", &png(picture)?)
                );
            }
            body.push_str("</tr>\n");
        }
        body.push_str("</tbody>\n</table>\n</div>\n");
        Ok(Page { title: &self.title, style: STYLE, body: &body, script: None }.html())
    }
}

fn caption(caption: &Caption) -> String {
    let mut html = format!("<bdi>{}</bdi>", escaped(&caption.title));
    for detail in caption.details.iter().filter(|detail| !detail.is_empty()) {
        let _ = write!(html, "<br><small class=\"faint\"><bdi>{}</bdi></small>", escaped(detail));
    }
    html
}

//! Every image with its explanations and its curves.

use super::chart::{Line, Shape};
use super::{Report, ReportImage};
use crate::output::markup::escaped;
use std::fmt::Write;

/// So many images are unfolded from the start.
const UNFOLDED: usize = 4;
/// From so many on there is a field to find them by name.
const SEARCHED: usize = 9;

pub fn html(report: &Report) -> String {
    if report.images.is_empty() {
        return String::new();
    }
    let mut html = String::from("<section class=\"images\">\n<h2>Images</h2>\n");
    if report.hidden > 0 {
        let (shown, all) = (report.images.len(), report.images.len() + report.hidden);
        let _ = writeln!(html, "<p>The first {shown} of {all} are shown; the curves above are of all.</p>");
    }
    if report.images.len() >= SEARCHED {
        html.push_str(
            "<p class=\"search\" hidden><label>Find by name <input type=\"search\" autocomplete=\"off\"></label> \
             <output></output></p>\n",
        );
    }
    for (number, image) in report.images.iter().enumerate() {
        let open = if number < UNFOLDED { " open" } else { "" };
        let name = escaped(&image.name);
        let details = escaped(&image.details.join(" · "));
        let _ = writeln!(
            html,
            "<details class=\"image\" data-name=\"{name}\"{open}>\n\
             <summary><bdi>{name}</bdi> <span class=\"faint\"><bdi>{details}</bdi></span></summary>\n<div class=\"body\">\n<div class=\"pictures\">"
        );
        for (caption, picture) in &image.pictures {
            let caption = escaped(caption);
            let _ = writeln!(
                html,
                "<figure>{}<figcaption>{caption}</figcaption></figure>",
                picture.html(&format!("{name}: {caption}"))
            );
        }
        html.push_str("</div>\n");
        html.push_str(&curves(report, image));
        html.push_str("</div>\n</details>\n");
    }
    html.push_str("</section>\n");
    html
}

/// The image's own curves, where it has any.
fn curves(report: &Report, image: &ReportImage) -> String {
    if image.curves.iter().all(Vec::is_empty) {
        return String::new();
    }
    let lines: Vec<Line> = image.curves.iter().map(|values| Line { values, interval: &[] }).collect();
    let ends = report.series.iter().zip(&image.curves).filter_map(|(series, values)| {
        values.last().map(|last| format!("{} ends at {last:.3}", series.name))
    });
    let description = format!("Curves of {}: {}", image.name, ends.collect::<Vec<_>>().join(", "));
    report.chart(&lines, Shape::SMALL, &description)
}

//! The names of the curves, with their colours.

use super::Series;
use super::chart::classes;
use crate::output::markup::escaped;
use std::fmt::Write;

/// A list; where scripts run, entries hide and show their curve, and have its value where the pointer is.
pub fn html(series: &[Series]) -> String {
    let baselines: Vec<bool> = series.iter().map(|series| series.is_baseline).collect();
    let mut html = String::from("<ul class=\"legend\" aria-label=\"Methods\">\n");
    for (number, series) in series.iter().enumerate() {
        let _ = writeln!(
            html,
            "<li><label><input type=\"checkbox\" checked hidden data-toggles=\"{number}\">\
             <svg viewBox=\"0 0 30 10\" aria-hidden=\"true\"><path class=\"line {}\" d=\"M1 5H29\"/></svg>\
             <bdi>{}</bdi></label> <output data-reads=\"{number}\"></output></li>",
            classes(number, &baselines),
            escaped(&series.name)
        );
    }
    html.push_str("</ul>\n");
    html
}

//! Reports of perturbation curves: a page that is one file.
//!
//! [`Report`] is plain data; [`Report::html`] turns it into a page with the curves, their tables, every image with its
//! explanations and curves of its own, and the options of the run. The page fetches nothing, and all of it can be read
//! without scripts.

mod axis;
mod chart;
mod gallery;
mod legend;
mod tables;
mod thumbnail;

pub use thumbnail::Thumbnail;

use super::markup::escaped;
use super::page::Page;
use chart::{Chart, Line, Shape};
use std::fmt::Write;

/// Rules for reports.
const STYLE: &str = include_str!("style.css");
/// Hides and shows curves, reads values off them, and finds images by name.
const SCRIPT: &str = include_str!("script.js");

/// What is told of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What was measured, in a few words.
    pub title: String,
    /// What it means, a paragraph each.
    pub summary: Vec<String>,
    /// Where the curves have values: along, rising.
    pub steps: Vec<f64>,
    /// What the steps count.
    pub steps_are: String,
    /// What the values are.
    pub values_are: String,
    /// What the scores are called, such as AOPC.
    pub scores_are: Vec<String>,
    /// The curves of all images.
    pub series: Vec<Series>,
    /// Every image that is shown.
    pub images: Vec<ReportImage>,
    /// Images that were measured and are not shown.
    pub hidden: usize,
    /// Inputs that failed, with the reason.
    pub failed: Vec<(String, String)>,
    /// The options of the run, by name.
    pub options: Vec<(String, String)>,
}

/// A method's curve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Of the method.
    pub name: String,
    /// Whether others are compared with it.
    pub is_baseline: bool,
    /// Mean over the images, one a step.
    pub mean: Vec<f64>,
    /// Confidence interval of the mean, one a step; empty where there is none.
    pub interval: Vec<[f64; 2]>,
    /// One for each of the report's scores; none where it is not defined.
    pub scores: Vec<Option<Score>>,
}

/// A number for a whole curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The number.
    pub value: f64,
    /// Its confidence interval.
    pub interval: Option<[f64; 2]>,
}

/// An image and what was measured of it.
#[derive(Clone, Debug, Default)]
pub struct ReportImage {
    /// As it was named or found.
    pub name: String,
    /// What the network says of it, a line each.
    pub details: Vec<String>,
    /// The image and its explanations, with what each is.
    pub pictures: Vec<(String, Thumbnail)>,
    /// One curve a series; empty where there is none.
    pub curves: Vec<Vec<f64>>,
}

impl Report {
    /// The report as a page.
    pub fn html(&self) -> String {
        let mut body = format!("<h1>{}</h1>\n", escaped(&self.title));
        for paragraph in &self.summary {
            let _ = writeln!(body, "<p>{}</p>", escaped(paragraph));
        }
        body.push_str("<section class=\"curves\">\n<h2>Curves</h2>\n");
        body.push_str(&legend::html(&self.series));
        body.push_str(&self.charts());
        body.push_str("</section>\n");
        body.push_str(&tables::scores(self));
        body.push_str(&tables::values(self));
        body.push_str(&gallery::html(self));
        body.push_str(&tables::pairs("Left out", ["input", "reason"], &self.failed));
        body.push_str(&tables::pairs("Options of the run", ["option", "value"], &self.options));
        Page { title: &self.title, style: STYLE, body: &body, script: Some(SCRIPT) }.html()
    }

    /// The curves of all images, drawn for wide and for narrow windows: text then has the size of text in both.
    fn charts(&self) -> String {
        let lines: Vec<Line> = self
            .series
            .iter()
            .map(|series| Line { values: &series.mean, interval: &series.interval })
            .collect();
        let description = format!(
            "{}: a curve for each of {} methods, {} by {}; the tables below have the numbers",
            self.title,
            self.series.len(),
            self.values_are,
            self.steps_are
        );
        [Shape::WIDE, Shape::NARROW].map(|shape| self.chart(&lines, shape, &description)).concat()
    }

    /// Lines of the series in a shape.
    fn chart(&self, lines: &[Line], shape: Shape, description: &str) -> String {
        Chart {
            steps: &self.steps,
            steps_are: &self.steps_are,
            values_are: &self.values_are,
            lines,
            baselines: &self.series.iter().map(|series| series.is_baseline).collect::<Vec<_>>(),
            shape,
            description,
        }
        .svg()
    }
}

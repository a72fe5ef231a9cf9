//! Curves as SVG inside a page; colours come from the page's styles.

use super::axis::Axis;
use crate::output::markup::escaped;
use std::fmt::Write;

/// Colours that the styles have; series beyond share them, with other dashes.
pub const COLOURS: usize = 8;

/// A chart's size and what surrounds its plot, in pixels.
#[derive(Clone, Copy)]
pub struct Shape {
    class: &'static str,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    marks_across: usize,
    marks_up: usize,
    /// Whether the axis of the values has a name: it takes a line over the plot.
    names_values: bool,
}

impl Shape {
    /// For windows as wide as a desk has them.
    pub const WIDE: Shape = Shape {
        class: "wide",
        width: 860.0,
        height: 420.0,
        left: 48.0,
        right: 18.0,
        top: 36.0,
        bottom: 50.0,
        marks_across: 10,
        marks_up: 6,
        names_values: true,
    };
    /// For windows as wide as a hand.
    pub const NARROW: Shape = Shape {
        class: "narrow",
        width: 360.0,
        height: 320.0,
        left: 44.0,
        right: 14.0,
        top: 34.0,
        bottom: 48.0,
        marks_across: 4,
        marks_up: 5,
        names_values: true,
    };
    /// Beside an image.
    pub const SMALL: Shape =
        Shape { class: "small", height: 230.0, top: 10.0, names_values: false, ..Shape::NARROW };
}

/// A curve.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// One a step; those that are not finite part the line.
    pub values: &'a [f64],
    /// A band around it, one interval a step, or none.
    pub interval: &'a [[f64; 2]],
}

/// Curves over the same steps.
pub struct Chart<'a> {
    pub steps: &'a [f64],
    pub steps_are: &'a str,
    pub values_are: &'a str,
    /// One a series.
    pub lines: &'a [Line<'a>],
    /// Which of the series are baselines.
    pub baselines: &'a [bool],
    pub shape: Shape,
    /// For those who do not see it.
    pub description: &'a str,
}

/// Classes of a series: its colour, and its dashes.
pub fn classes(number: usize, baselines: &[bool]) -> String {
    if baselines.get(number).copied().unwrap_or(false) {
        return "baseline".to_owned();
    }
    let number = number - baselines.iter().take(number).filter(|is_baseline| **is_baseline).count();
    format!("colour-{} dash-{}", number % COLOURS, number / COLOURS % 3)
}

impl Chart<'_> {
    /// The chart as an SVG element.
    pub fn svg(&self) -> String {
        let Shape { class, width, height, left, right, top, bottom, marks_across, marks_up, .. } = self.shape;
        let across = Axis::of(self.steps.iter().copied(), marks_across, true);
        let values = self
            .lines
            .iter()
            .flat_map(|line| line.values.iter().copied().chain(line.interval.iter().flatten().copied()));
        let up = Axis::of(values, marks_up, false);
        let (plot_width, plot_height) = (width - left - right, height - top - bottom);
        let x = |step: f64| left + across.share(step) * plot_width;
        let y = |value: f64| top + (1.0 - up.share(value)) * plot_height;

        let steps: Vec<String> = self.steps.iter().map(f64::to_string).collect();
        let mut svg = format!(
            "<svg class=\"chart {class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\" data-left=\"{left}\" \
             data-right=\"{}\" data-top=\"{top}\" data-bottom=\"{}\" data-steps=\"{}\">\n<g class=\"grid\">\n",
            escaped(self.description),
            width - right,
            height - bottom,
            steps.join(" ")
        );
        for &mark in &up.marks {
            let (y, end) = (y(mark), width - right);
            let _ = writeln!(
                svg,
                "<path d=\"M{left} {y:.1}H{end}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 8.0,
                y + 4.0,
                up.text(mark)
            );
        }
        for &mark in &across.marks {
            let (x, floor) = (x(mark), height - bottom);
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.1} {floor:.1}v5\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                floor + 20.0,
                across.text(mark)
            );
        }
        let (middle, foot) = (left + plot_width / 2.0, height - 8.0);
        let steps_are = escaped(self.steps_are);
        let _ = writeln!(
            svg,
            "<text x=\"{middle:.1}\" y=\"{foot:.1}\" text-anchor=\"middle\">{steps_are}</text>"
        );
        if self.shape.names_values {
            let _ = writeln!(svg, "<text x=\"0\" y=\"14\">{}</text>", escaped(self.values_are));
        }
        svg.push_str("</g>\n");
        // Lines lie over all bands, and the first series over the others.
        for (number, line) in self.lines.iter().enumerate().rev() {
            let band = band(self.steps, line.interval, x, y);
            if !band.is_empty() {
                let class = classes(number, self.baselines);
                let _ = writeln!(svg, "<path class=\"band {class}\" data-series=\"{number}\" d=\"{band}\"/>");
            }
        }
        for (number, line) in self.lines.iter().enumerate().rev() {
            let path = path(self.steps, line.values, x, y);
            if !path.is_empty() {
                let class = classes(number, self.baselines);
                let values: Vec<String> = line.values.iter().map(|value| format!("{value:.4}")).collect();
                let _ = writeln!(
                    svg,
                    "<path class=\"line {class}\" data-series=\"{number}\" data-values=\"{}\" d=\"{path}\"/>",
                    values.join(" ")
                );
            }
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// A line through all finite values.
fn path(steps: &[f64], values: &[f64], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut letter = 'M';
    for (&step, &value) in steps.iter().zip(values) {
        if step.is_finite() && value.is_finite() {
            let _ = write!(path, "{letter}{:.1} {:.1}", x(step), y(value));
            letter = 'L';
        } else {
            letter = 'M';
        }
    }
    path
}

/// The area between both ends of the intervals, where they are finite.
fn band(steps: &[f64], interval: &[[f64; 2]], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let points: Vec<(f64, [f64; 2])> = steps.iter().copied().zip(interval.iter().copied()).collect();
    let is_finite =
        |(step, [low, high]): &(f64, [f64; 2])| step.is_finite() && low.is_finite() && high.is_finite();
    let mut band = String::new();
    for run in points.split(|point| !is_finite(point)).filter(|run| run.len() > 1) {
        let above = run.iter().map(|&(step, [_, high])| (step, high));
        let below = run.iter().rev().map(|&(step, [low, _])| (step, low));
        for (number, (step, value)) in above.chain(below).enumerate() {
            let letter = if number == 0 { 'M' } else { 'L' };
            let _ = write!(band, "{letter}{:.1} {:.1}", x(step), y(value));
        }
        band.push('Z');
    }
    band
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(steps: &[f64], lines: &[Line]) -> String {
        Chart {
            steps,
            steps_are: "patches",
            values_are: "f <x>",
            lines,
            baselines: &[false, true],
            shape: Shape::WIDE,
            description: "curves & more",
        }
        .svg()
    }

    #[test]
    fn points_are_where_their_values_are() {
        let line = Line { values: &[1.0, 0.5, 0.0], interval: &[] };
        let svg = chart(&[0.0, 1.0, 4.0], &[line]);
        // The plot goes from 48 to 842 and from 36 to 370, the values from −0.04 to 1.04.
        assert!(svg.contains("d=\"M48.0 48.4L246.5 203.0L842.0 357.6\""), "{svg}");
        assert!(svg.contains("f &lt;x&gt;") && svg.contains("curves &amp; more"));
        assert_eq!(svg.matches("class=\"line").count(), 1);
        assert!(!svg.contains("class=\"band"));
    }

    #[test]
    fn gaps_part_lines_and_bands() {
        let values = [1.0, 0.9, f64::NAN, 0.5, 0.4];
        let interval = values.map(|value| [value - 0.1, value + 0.1]);
        let line = Line { values: &values, interval: &interval };
        let svg = chart(&[0.0, 1.0, 2.0, 3.0, 4.0], &[line, line]);
        let drawn = svg
            .split("class=\"line")
            .nth(1)
            .unwrap()
            .split(" d=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        assert_eq!((drawn.matches('M').count(), drawn.matches('L').count()), (2, 2), "{drawn}");
        let band = svg
            .split("class=\"band")
            .nth(1)
            .unwrap()
            .split(" d=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        assert_eq!((band.matches('M').count(), band.matches('Z').count()), (2, 2), "{band}");
        assert!(!svg.contains(" d=\"\"") && !drawn.contains("NaN"));
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let line = Line { values: &[f64::NAN; 2], interval: &[] };
        for lines in [&[][..], &[line]] {
            let svg = chart(&[0.0, 1.0], lines);
            assert!(svg.contains("</svg>") && !svg.contains("class=\"line") && !svg.contains("inf"), "{svg}");
        }
        assert!(chart(&[], &[]).contains("</svg>"));
    }

    #[test]
    fn baselines_take_no_colour() {
        let baselines = [false, true, false];
        assert_eq!(classes(0, &baselines), "colour-0 dash-0");
        assert_eq!(classes(1, &baselines), "baseline");
        assert_eq!(classes(2, &baselines), "colour-1 dash-0");
        assert_eq!(classes(9, &[]), "colour-1 dash-1");
    }
}

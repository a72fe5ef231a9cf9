//! A value by layer, a line for each of several series.

use super::font::FAMILY;
use super::{Draw, PlotError, png, svg};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Okabe and Ito's colours (2008), told apart by everybody, without yellow, which is pale on white.
pub(super) const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 0, 0),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];

/// Width that a layer takes, in units.
const LAYER: u32 = 44;

/// Heights of what is above and below the plot, in units.
const HEADING: u32 = 54;
const CAPTION: u32 = 26;

/// Of the legend: the width of a line that shows a colour, and half the space between two names.
const SAMPLE: u32 = 30;
const BETWEEN: u32 = 9;

/// A pixel of the whole picture, seen from a part of it.
pub(super) fn within<B: DrawingBackend>(area: &DrawingArea<B, Shift>, (x, y): (i32, i32)) -> (i32, i32) {
    let (left, top) = area.get_base_pixel();
    (x - left, y - top)
}

/// That of a series.
pub(super) fn colour(series: usize) -> RGBColor {
    COLOURS[series % COLOURS.len()]
}

/// A plot of a value by layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerPlot {
    /// Above the plot.
    pub title: String,
    /// Below it: what the marks are.
    pub caption: String,
    /// What the value is.
    pub value: String,
    /// Names of the layers.
    pub layers: Vec<String>,
    /// The lines.
    pub series: Vec<LayerSeries>,
}

/// A line, with marks at the layers.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSeries {
    /// Its name in the legend.
    pub name: String,
    /// One a layer; none where there is no value, which parts the line.
    pub points: Vec<Option<Spread>>,
}

/// A mark: the mean, and a bar between the quartiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Where the mark is.
    pub mean: f64,
    /// Lower end of the bar.
    pub lower: f64,
    /// Upper end of the bar.
    pub upper: f64,
}

impl LayerPlot {
    /// As SVG; its texts are set in the reader's sans-serif font.
    ///
    /// # Errors
    /// When the plotting library fails.
    pub fn svg(&self) -> Result<String, PlotError> {
        svg(self)
    }

    /// As a PNG file, with twice as many pixels as the SVG has units.
    ///
    /// # Errors
    /// When the plotting library fails.
    pub fn png(&self) -> Result<Vec<u8>, PlotError> {
        png(self)
    }

    /// The largest value, or 1.
    fn top(&self) -> f64 {
        let points = self.series.iter().flat_map(|series| series.points.iter().flatten());
        points
            .flat_map(|point| [point.mean, point.upper])
            .filter(|value| value.is_finite())
            .fold(1.0, f64::max)
    }

    /// A line of the series' names below the title.
    fn draw_legend<B: DrawingBackend>(
        &self,
        heading: &DrawingArea<B, Shift>,
        scale: u32,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let length = |units: u32| (units * scale) as i32;
        let font = (FAMILY, f64::from(12 * scale)).into_font();
        let widths: Vec<i32> = self
            .series
            .iter()
            .map(|series| font.box_size(&series.name).map_or(0, |(width, _)| width as i32))
            .collect();
        let all: i32 = widths.iter().map(|width| width + length(SAMPLE + 2 * BETWEEN)).sum();
        let mut left = (heading.dim_in_pixel().0 as i32 - all) / 2 + length(BETWEEN);
        let y = length(42);
        for (number, (series, width)) in self.series.iter().zip(widths).enumerate() {
            let colour = colour(number);
            let right = left + length(SAMPLE - 6);
            let line = colour.stroke_width(scale + scale / 2);
            heading.draw(&PathElement::new(vec![(left, y), (right, y)], line))?;
            heading.draw(&Circle::new(((left + right) / 2, y), 3 * scale, colour.filled()))?;
            let style = font.color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
            heading.draw(&Text::new(series.name.as_str(), (left + length(SAMPLE), y), style))?;
            left += width + length(SAMPLE + 2 * BETWEEN);
        }
        Ok(())
    }

    /// Where the marks of a series are beside the middle of a layer, as a share of its width: bars must not hide each
    /// other.
    fn offset(&self, series: usize) -> f64 {
        (series as f64 - (self.series.len() as f64 - 1.0) / 2.0) * 0.7 / self.series.len().max(1) as f64
    }
}

impl Draw for LayerPlot {
    fn size(&self) -> (u32, u32) {
        ((self.layers.len() as u32 * LAYER).max(13 * LAYER) + 80, 500)
    }

    fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        scale: u32,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let length = |units: u32| units * scale;
        let font = |units: u32| (FAMILY, f64::from(length(units))).into_font();
        let grey = BLACK.mix(0.7);
        area.fill(&WHITE)?;
        let (heading, area) = area.split_vertically(length(HEADING));
        let (plot, below) = area.split_vertically(length(self.size().1 - HEADING - CAPTION));
        let middle = i32::try_from(heading.dim_in_pixel().0 / 2).unwrap_or(0);
        let centred =
            |units, colour: RGBAColor| font(units).color(&colour).pos(Pos::new(HPos::Center, VPos::Top));
        heading.draw(&Text::new(
            self.title.as_str(),
            (middle, length(8) as i32),
            centred(17, BLACK.into()),
        ))?;
        below.draw(&Text::new(self.caption.as_str(), (middle, 0), centred(12, grey)))?;
        self.draw_legend(&heading, scale)?;

        let top = (self.top() * 10.0).ceil() / 10.0 + 0.05;
        let layers = self.layers.len() as f64;
        let mut chart = ChartBuilder::on(&plot)
            .margin(length(8))
            .x_label_area_size(length(30))
            .y_label_area_size(length(52))
            .build_cartesian_2d(-0.5..layers - 0.5, 0.0..top)?;
        // Labels are drawn below, at the layers and the lines: the library's stand between layers and above lines.
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.12).stroke_width(scale))
            .y_desc(&self.value)
            .y_labels(11)
            .y_label_formatter(&|_| String::new())
            .axis_desc_style(font(14))
            .draw()?;
        let anchor = Pos::new(HPos::Center, VPos::Top);
        for (index, name) in self.layers.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(index as f64, 0.0));
            let at = (x, y + length(7) as i32);
            area.draw(&Text::new(name.as_str(), within(&area, at), font(11).color(&BLACK).pos(anchor)))?;
        }
        let anchor = Pos::new(HPos::Right, VPos::Center);
        for tenth in 0..=(top * 10.0) as u32 {
            let value = f64::from(tenth) / 10.0;
            let (x, y) = chart.backend_coord(&(-0.5, value));
            let at = (x - length(8) as i32, y);
            area.draw(&Text::new(
                format!("{value:.1}"),
                within(&area, at),
                font(12).color(&BLACK).pos(anchor),
            ))?;
        }
        for (number, series) in self.series.iter().enumerate() {
            let colour = colour(number);
            let offset = self.offset(number);
            let line = colour.stroke_width(length(1) + scale / 2);
            let bar = colour.mix(0.45).stroke_width(length(2));
            let points: Vec<Option<(f64, Spread)>> = series
                .points
                .iter()
                .enumerate()
                .map(|(layer, point)| point.map(|point| (layer as f64 + offset, point)))
                .collect();
            for (x, point) in points.iter().flatten() {
                chart.draw_series([PathElement::new(vec![(*x, point.lower), (*x, point.upper)], bar)])?;
            }
            for run in points.split(Option::is_none) {
                let run = run.iter().flatten().map(|(x, point)| (*x, point.mean));
                chart.draw_series(LineSeries::new(run, line))?;
            }
            let marks = points
                .iter()
                .flatten()
                .map(|(x, point)| Circle::new((*x, point.mean), length(3), colour.filled()));
            chart.draw_series(marks)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> LayerPlot {
        let point = |mean: f64| Some(Spread { mean, lower: mean - 0.1, upper: mean + 0.15 });
        LayerPlot {
            title: "Quality ρ".to_owned(),
            caption: "mean and quartiles".to_owned(),
            value: "ρ".to_owned(),
            layers: ["conv1_1", "conv1_2", "conv2_1", "fc3"].map(str::to_owned).to_vec(),
            series: vec![
                LayerSeries {
                    name: "linear".to_owned(),
                    points: vec![point(0.2), None, point(0.5), point(0.97)],
                },
                LayerSeries { name: "filter <&>".to_owned(), points: vec![point(0.1); 4] },
            ],
        }
    }

    #[test]
    fn the_svg_names_everything_and_is_the_same_every_time() {
        let svg = plot().svg().unwrap();
        for text in ["Quality ρ", "mean and quartiles", "conv1_2", "fc3", "linear", "filter &lt;&amp;&gt;"] {
            assert!(svg.contains(text), "{text}\n{svg}");
        }
        assert_eq!(svg, plot().svg().unwrap());
        // 3 marks, 4 marks, and 2 of the legend.
        assert_eq!(svg.matches("<circle").count(), 9);
    }

    #[test]
    fn the_png_shows_lines_marks_and_text() {
        let bytes = plot().png().unwrap();
        assert_eq!(bytes, plot().png().unwrap());
        let picture = image::load_from_memory(&bytes).unwrap().to_rgb8();
        let (width, height) = plot().size();
        assert_eq!(picture.dimensions(), (2 * width, 2 * height));
        let count = |colour: RGBColor| {
            picture.pixels().filter(|pixel| pixel.0 == [colour.0, colour.1, colour.2]).count()
        };
        assert!(count(COLOURS[1]) > 500, "{}", count(COLOURS[1]));
        // Letters are black and so is the first series.
        assert!(count(BLACK) > 1000, "{}", count(BLACK));
        assert!(count(WHITE) > count(BLACK) * 10);
    }

    #[test]
    fn nothing_and_odd_values_are_drawn_too() {
        let empty = LayerPlot { layers: Vec::new(), series: Vec::new(), ..plot() };
        assert!(empty.svg().is_ok() && empty.png().is_ok());
        let mut odd = plot();
        odd.series[0].points[0] = Some(Spread { mean: f64::NAN, lower: f64::INFINITY, upper: -3.0 });
        odd.series[0].points[2] = Some(Spread { mean: 1.7, lower: 1.6, upper: 1.8 });
        assert!(odd.svg().is_ok() && odd.png().is_ok());
    }
}

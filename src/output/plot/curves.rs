//! A plot of curves: lines over a number, each with a band, as the paper's figure 5.

use super::font::FAMILY;
use super::layers::{COLOURS, colour, within};
use super::{Draw, PlotError, png, svg};
use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind};
use plotters::element::{DashedPathElement, PathElement, Polygon, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, Color, IntoFont, ShapeStyle, WHITE};

/// Width of the plot itself, of the names beside it for each letter, and all of the height, in units.
const PLOT: u32 = 640;
const LETTER: usize = 8;
const HEIGHT: u32 = 460;

/// Heights of what is above and below the plot, and of a name, in units.
const HEADING: u32 = 36;
const CAPTION: u32 = 26;
const NAME: u32 = 20;

/// Width of a line that shows a colour, in units.
const SAMPLE: u32 = 30;

/// Bands of more curves would hide each other.
const MOST_BANDS: usize = 8;

/// A plot of values over a number.
#[derive(Clone, Debug, PartialEq)]
pub struct CurvePlot {
    /// Above the plot.
    pub title: String,
    /// Below it: what the bands are.
    pub caption: String,
    /// What the number is.
    pub number: String,
    /// What the values are.
    pub value: String,
    /// The numbers, rising.
    pub numbers: Vec<f64>,
    /// Names of the numbers, drawn in place of them if there are any.
    pub names: Vec<String>,
    /// The lines.
    pub series: Vec<CurveSeries>,
}

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub struct CurveSeries {
    /// Its name beside the plot.
    pub name: String,
    /// One a number; what is not finite parts the line.
    pub values: Vec<f64>,
    /// From where to where the band goes, one a number.
    pub band: Option<Vec<[f64; 2]>>,
}

impl CurvePlot {
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

    /// The least and the largest value, in steps that divide the range in about ten, with the step.
    fn range(&self) -> (f64, f64, f64) {
        let values = self.series.iter().flat_map(|series| {
            let band = series.band.iter().filter(|_| self.shows_bands());
            series.values.iter().chain(band.flatten().flatten())
        });
        let (mut least, mut largest) = (f64::INFINITY, f64::NEG_INFINITY);
        for &value in values.filter(|value| value.is_finite()) {
            (least, largest) = (least.min(value), largest.max(value));
        }
        // None, or all the same.
        if !(largest - least).is_normal() || largest <= least {
            let middle = if least.is_finite() { least } else { 0.0 };
            (least, largest) = (middle - 0.5, middle + 0.5);
        }
        let rough = (largest - least) / 10.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|&step| step >= rough);
        let step = step.unwrap_or(rough);
        ((least / step).floor() * step, (largest / step).ceil() * step, step)
    }

    /// Whether bands are drawn: of few enough curves only.
    pub fn shows_bands(&self) -> bool {
        self.series.len() <= MOST_BANDS && self.series.iter().any(|series| series.band.is_some())
    }

    /// Width of the names beside the plot, in units.
    fn legend_width(&self) -> u32 {
        let letters = self.series.iter().map(|series| series.name.chars().count()).max().unwrap_or(0);
        SAMPLE + 16 + (letters * LETTER) as u32
    }

    fn draw_legend<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        scale: u32,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let length = |units: u32| (units * scale) as i32;
        let font = (FAMILY, f64::from(12 * scale)).into_font();
        for (number, series) in (0..).zip(&self.series) {
            let y = length(14 + NAME * number);
            draw_line(area, number as usize, &[(length(4), y), (length(SAMPLE), y)], scale)?;
            let style = font.color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
            area.draw(&Text::new(series.name.as_str(), (length(SAMPLE + 8), y), style))?;
        }
        Ok(())
    }
}

/// A line of a series: dashed where its colour is another one's already, with short dashes where it is that of two.
fn draw_line<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    series: usize,
    points: &[(i32, i32)],
    scale: u32,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let style: ShapeStyle = colour(series).stroke_width(scale + scale / 2);
    if series < COLOURS.len() {
        return area.draw(&PathElement::new(points.to_vec(), style));
    }
    // The third round of colours has short dashes, so that no two of 21 curves look alike.
    let (dash, gap) = match series / COLOURS.len() {
        1 => (5 * scale as i32, 3 * scale as i32),
        _ => (2 * scale as i32, 3 * scale as i32),
    };
    area.draw(&DashedPathElement::new(points.to_vec(), dash, gap, style))
}

impl Draw for CurvePlot {
    fn size(&self) -> (u32, u32) {
        let names = NAME * self.series.len() as u32 + 20;
        (PLOT + self.legend_width(), HEADING + CAPTION + names.max(HEIGHT - HEADING - CAPTION))
    }

    fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        scale: u32,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let length = |units: u32| units * scale;
        let font = |units: u32| (FAMILY, f64::from(length(units))).into_font();
        area.fill(&WHITE)?;
        let (heading, rest) = area.split_vertically(length(HEADING));
        let (rest, below) = rest.split_vertically(length(self.size().1 - HEADING - CAPTION));
        let (plot, legend) = rest.split_horizontally(length(PLOT));
        let middle = (length(self.size().0) / 2) as i32;
        let centred = Pos::new(HPos::Center, VPos::Top);
        let title = font(17).color(&BLACK).pos(centred);
        heading.draw(&Text::new(self.title.as_str(), (middle, length(8) as i32), title))?;
        let caption = font(12).color(&BLACK.mix(0.7)).pos(centred);
        below.draw(&Text::new(self.caption.as_str(), (middle, 0), caption))?;
        self.draw_legend(&legend, scale)?;

        let (bottom, top, step) = self.range();
        let first = self.numbers.first().copied().unwrap_or(0.0);
        let last = self.numbers.last().copied().filter(|&last| last > first).unwrap_or(first + 1.0);
        let mut chart = ChartBuilder::on(&plot)
            .margin(length(8))
            .x_label_area_size(length(44))
            .y_label_area_size(length(58))
            .build_cartesian_2d(first..last, bottom..top)?;
        // Labels are drawn below: of names, and of steps that are round numbers.
        chart
            .configure_mesh()
            .disable_mesh()
            .x_desc(&self.number)
            .y_desc(&self.value)
            .x_labels(if self.names.is_empty() { 11 } else { 0 })
            .x_label_style(font(12))
            .x_label_formatter(&|number| format!("{number}"))
            .y_labels(0)
            .axis_desc_style(font(14))
            .draw()?;
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        for index in 0..=((top - bottom) / step).round() as u32 {
            let value = bottom + f64::from(index) * step;
            let line = [(first, value), (last, value)];
            chart.draw_series([PathElement::new(line, BLACK.mix(0.12).stroke_width(scale))])?;
            let (x, y) = chart.backend_coord(&(first, value));
            let anchor = Pos::new(HPos::Right, VPos::Center);
            // Never −0.
            let text = format!("{:.decimals$}", if value.abs() < step / 2.0 { 0.0 } else { value });
            let at = within(area, (x - length(8) as i32, y));
            area.draw(&Text::new(text, at, font(12).color(&BLACK).pos(anchor)))?;
        }
        for (name, &number) in self.names.iter().zip(&self.numbers) {
            let (x, y) = chart.backend_coord(&(number, bottom));
            let at = within(area, (x, y + length(7) as i32));
            area.draw(&Text::new(name.as_str(), at, font(10).color(&BLACK).pos(centred)))?;
        }
        for (number, series) in self.series.iter().enumerate() {
            let Some(band) = series.band.as_ref().filter(|_| self.shows_bands()) else { continue };
            let finite = |end: usize| {
                let ends = self.numbers.iter().zip(band).map(move |(&x, band)| (x, band[end]));
                ends.filter(|(_, value)| value.is_finite())
            };
            let outline: Vec<(f64, f64)> =
                finite(0).chain(finite(1).collect::<Vec<_>>().into_iter().rev()).collect();
            if outline.len() > 3 {
                chart.draw_series([Polygon::new(outline, colour(number).mix(0.13).filled())])?;
            }
        }
        for (number, series) in self.series.iter().enumerate() {
            let points: Vec<(f64, f64)> =
                self.numbers.iter().copied().zip(series.values.iter().copied()).collect();
            for run in points.split(|(_, value)| !value.is_finite()) {
                let run: Vec<(i32, i32)> =
                    run.iter().map(|point| within(area, chart.backend_coord(point))).collect();
                if !run.is_empty() {
                    draw_line(area, number, &run, scale)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> CurvePlot {
        let series = |name: &str, slope: f64| {
            let values: Vec<f64> = (0..5).map(|step| 1.0 - slope * f64::from(step)).collect();
            let band = values.iter().map(|value| [value - 0.02, value + 0.03]).collect();
            CurveSeries { name: name.to_owned(), values, band: Some(band) }
        };
        CurvePlot {
            title: "Patches flipped".to_owned(),
            caption: "mean and 95 % interval".to_owned(),
            number: "patches replaced".to_owned(),
            value: "f".to_owned(),
            numbers: vec![0.0, 1.0, 5.0, 20.0, 100.0],
            names: Vec::new(),
            series: vec![series("patternnet", 0.2), series("random <&>", 0.05)],
        }
    }

    #[test]
    fn the_svg_names_everything_and_is_the_same_every_time() {
        let svg = plot().svg().unwrap();
        for text in
            ["Patches flipped", "mean and 95", "patches replaced", "patternnet", "random &lt;&amp;&gt;"]
        {
            assert!(svg.contains(text), "{text}\n{svg}");
        }
        assert_eq!(svg, plot().svg().unwrap());
        assert_eq!(svg.matches("<polygon").count(), 2);
    }

    #[test]
    fn the_png_shows_lines() {
        let bytes = plot().png().unwrap();
        let picture = image::load_from_memory(&bytes).unwrap().to_rgb8();
        let (width, height) = plot().size();
        assert_eq!(picture.dimensions(), (2 * width, 2 * height));
        let orange = picture.pixels().filter(|pixel| pixel.0 == [230, 159, 0]).count();
        assert!(orange > 500, "{orange}");
    }

    #[test]
    fn axes_hold_all_values_in_round_steps() {
        let (bottom, top, step) = plot().range();
        assert!(bottom <= 0.18 && top >= 1.03 && (step - 0.1).abs() < 1e-12, "{bottom} {top} {step}");
        let mut wide = plot();
        wide.series[0].values[1] = -37.0;
        let (bottom, top, step) = wide.range();
        assert_eq!((bottom, top, step), (-40.0, 5.0, 5.0));
    }

    #[test]
    fn nothing_and_odd_values_are_drawn_too() {
        let empty = CurvePlot { numbers: Vec::new(), series: Vec::new(), ..plot() };
        assert!(empty.svg().is_ok() && empty.png().is_ok());
        let mut odd = plot();
        odd.series[0].values[2] = f64::NAN;
        odd.series[1].band.as_mut().unwrap()[0] = [f64::NEG_INFINITY, f64::NAN];
        odd.names = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        assert!(odd.svg().is_ok() && odd.png().is_ok());
        let point = CurvePlot { numbers: vec![0.0], series: Vec::new(), ..plot() };
        assert!(point.png().is_ok());
        let mut many = plot();
        many.series = (0..30).map(|_| plot().series[0].clone()).collect();
        assert!(plot().shows_bands() && !many.shows_bands());
        assert_eq!(many.svg().unwrap().matches("<polygon").count(), 0);
    }
}

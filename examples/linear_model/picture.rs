//! The picture: above, the data of three distractors; below, what the estimators make of the first one's.

use std::error::Error;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::model::{LinearModel, Scene, Vector, scaled, sum};

/// So many that w and a are theirs to the third digit.
pub const SAMPLES: usize = 1_000_000;

/// The distractor of the seminar paper and two others, turned about the origin by 35 and by 90 degrees; always the same signal.
pub const SCENES: [LinearModel; 3] = [model([1.0, 1.0]), model([0.2456, 1.3927]), model([-1.0, 1.0])];

const fn model(distractor: Vector) -> LinearModel {
    LinearModel { signal: [1.0, 0.0], distractor, mean: 0.3, deviation: 0.6 }
}

/// Points that are drawn of the data.
const DRAWN: usize = 120;

/// Of a panel, in pixels; its picture without title and numbers is a square of 270 pixels.
const WIDTH: u32 = 310;
const HEIGHT: u32 = 326;

/// Half the side of a panel, in units of the data.
const REACH: f64 = 2.4;

const SIGNAL: RGBColor = RGBColor(0, 0, 0);
const DISTRACTOR: RGBColor = RGBColor(110, 60, 20);
const FILTER: RGBColor = RGBColor(200, 30, 140);
const PATTERN: RGBColor = RGBColor(90, 210, 130);

type Panel<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// An SVG file of three scenes; its texts are set in the reader's sans-serif font.
pub fn draw(scenes: &[Scene]) -> Result<String, Box<dyn Error>> {
    let [first, ..] = scenes else { return Err("there is nothing to draw".into()) };
    vggx::output::plot::register_font();
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (3 * WIDTH, 2 * HEIGHT)).into_drawing_area();
        root.fill(&WHITE)?;
        let areas = root.split_evenly((2, 3));
        let titles = ["data x = s + d", "another distractor: another w", "and another: a stays"];
        for ((scene, area), title) in scenes.iter().zip(&areas).zip(titles) {
            data(scene, &mut panel(area, title)?)?;
        }
        let [identity, filter, linear] = first.errors().map(|error| format!("{:.0}%", 100.0 * error));
        let below = &areas[3..];
        let estimate = |area, title: String, estimate: &dyn Fn(Vector) -> Vector| {
            estimates(first, estimate, &mut panel(area, &title)?)
        };
        estimate(&below[0], format!("S_x(x) = x misses s by {identity}"), &|x| first.identity(x))?;
        estimate(&below[1], format!("S_w(x) = w wᵀx / wᵀw: by {filter}"), &|x| first.filter(x))?;
        estimate(&below[2], format!("S_a(x) = a wᵀx: by {linear}"), &|x| first.linear(x))?;
        root.present()?;
    }
    Ok(svg)
}

fn panel<'a, 'b>(
    area: &'a DrawingArea<SVGBackend<'b>, Shift>,
    title: &str,
) -> Result<Panel<'a, 'b>, Box<dyn Error>>
where
    'b: 'a,
{
    let mut panel = ChartBuilder::on(area)
        .margin(5)
        .caption(title, ("sans-serif", 16))
        .x_label_area_size(24)
        .y_label_area_size(28)
        .build_cartesian_2d(-REACH..REACH, -REACH..REACH)?;
    panel.configure_mesh().disable_mesh().x_labels(5).y_labels(5).label_style(("sans-serif", 12)).draw()?;
    Ok(panel)
}

/// The points, and the directions of signal, distractor, filter and pattern.
fn data(scene: &Scene, panel: &mut Panel) -> Result<(), Box<dyn Error>> {
    points(scene, &|x| x, panel)?;
    arrow(scene.pattern, "", PATTERN.stroke_width(9), panel)?;
    arrow(scene.model.signal, "a_s, a", SIGNAL.stroke_width(2), panel)?;
    arrow(scene.model.distractor, "a_d", DISTRACTOR.stroke_width(2), panel)?;
    arrow(scene.filter, "w", FILTER.stroke_width(2), panel)
}

/// Estimates of the signal, each tied to the signal that was there.
fn estimates(
    scene: &Scene,
    estimate: &dyn Fn(Vector) -> Vector,
    panel: &mut Panel,
) -> Result<(), Box<dyn Error>> {
    let ties = scene.samples.iter().take(DRAWN).map(|sample| {
        let ends = [sample.signal, estimate(sample.data)].map(|[x, y]| (x, y));
        PathElement::new(ends, RGBColor(215, 215, 215))
    });
    panel.draw_series(ties)?;
    points(scene, estimate, panel)?;
    arrow(scene.model.signal, "a_s", SIGNAL.stroke_width(2), panel)
}

/// Where `place` puts the data, coloured by y.
fn points(scene: &Scene, place: &dyn Fn(Vector) -> Vector, panel: &mut Panel) -> Result<(), Box<dyn Error>> {
    let points = scene.samples.iter().take(DRAWN).map(|sample| {
        let [x, y] = place(sample.data);
        Circle::new((x, y), 2, colour(sample.y).filled())
    });
    panel.draw_series(points)?;
    Ok(())
}

/// From blue for −1 over yellow to red for 1.
fn colour(y: f64) -> RGBColor {
    let stops: [[f64; 3]; 3] = [[40.0, 80.0, 200.0], [240.0, 200.0, 60.0], [215.0, 40.0, 30.0]];
    let place = (y + 1.0).clamp(0.0, 2.0);
    let below = (place as usize).min(1);
    let mix = |channel: usize| {
        let [from, to] = [stops[below][channel], stops[below + 1][channel]];
        (from + (to - from) * (place - below as f64)).round() as u8
    };
    RGBColor(mix(0), mix(1), mix(2))
}

fn arrow(tip: Vector, name: &str, style: ShapeStyle, panel: &mut Panel) -> Result<(), Box<dyn Error>> {
    let [along, across] = {
        let unit = scaled(tip, 1.0 / tip[0].hypot(tip[1]));
        [unit, [-unit[1], unit[0]]]
    };
    let pair = |[x, y]: Vector| (x, y);
    let head = 0.1 + 0.025 * f64::from(style.stroke_width);
    let back = sum(tip, scaled(along, -head));
    let sides = [-0.5, 0.5].map(|side| pair(sum(back, scaled(across, side * head))));
    panel.draw_series([PathElement::new([(0.0, 0.0), pair(back)], style)])?;
    panel.draw_series([Polygon::new([pair(tip), sides[0], sides[1]], style.filled())])?;
    let place = pair(sum(tip, sum(scaled(along, 0.12), [-0.03, 0.12])));
    let font = ("sans-serif", 15).into_font().color(&style.color);
    panel.draw_series([Text::new(name.to_owned(), place, font)])?;
    Ok(())
}

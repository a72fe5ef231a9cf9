//! Pages to show: with numbers that can be told apart, and with names that somebody chose to do harm.

use image::{Rgb, RgbImage};
use vggx::output::figure::{Caption, Figure, Row};
use vggx::output::report::{Report, ReportImage, Score, Series, Thumbnail};

/// The name of a file that must stay a name.
pub const HOSTILE: &str =
    "</bdi><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>\" &amp; .png";

fn picture(seed: u8) -> RgbImage {
    RgbImage::from_fn(224, 224, |x, y| Rgb([x as u8 ^ seed, y as u8, seed.wrapping_mul(37)]))
}

/// A falling curve that starts at 1.
fn curve(steps: &[f64], speed: f64) -> Vec<f64> {
    steps.iter().map(|step| 0.3 + 0.7 * (-speed * step / 60.0).exp()).collect()
}

/// A report of so many images, the first of them with a hostile name.
pub fn report(images: usize) -> Report {
    let steps: Vec<f64> = (0..=100).map(f64::from).collect();
    let names = ["gradient", "guided-backprop", "patternnet", "<b>pattern-attribution</b>", "random"];
    let series: Vec<Series> = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let mean = curve(&steps, 1.0 + number as f64 / 2.0);
            let is_baseline = *name == "random";
            let interval: Vec<[f64; 2]> = mean.iter().map(|mean| [mean - 0.03, mean + 0.04]).collect();
            let value = 0.1 + 0.0311 * number as f64;
            let score = Score { value, interval: (!is_baseline).then_some([value - 0.02, value + 0.02]) };
            Series {
                name: (*name).to_owned(),
                is_baseline,
                mean,
                interval: if is_baseline { Vec::new() } else { interval },
                scores: vec![Some(score)],
            }
        })
        .collect();
    let image = |number: usize| ReportImage {
        name: if number == 0 { HOSTILE.to_owned() } else { format!("folder/photo-{number:02}.png") },
        details: vec!["output 12".to_owned(), "response 345".to_owned()],
        pictures: ["input", "gradient", "pattern-attribution"]
            .iter()
            .enumerate()
            .map(|(place, name)| {
                ((*name).to_owned(), Thumbnail::of(&picture((number * 3 + place) as u8)).unwrap())
            })
            .collect(),
        curves: (0..names.len())
            .map(|series| curve(&steps, 0.7 + (series + number % 7) as f64 / 3.0))
            .collect(),
    };
    Report {
        title: "Perturbation curves".to_owned(),
        summary: vec![
            "The most relevant patches are replaced first; the faster a curve falls, the better.".to_owned(),
        ],
        steps: steps.clone(),
        steps_are: "patches replaced".to_owned(),
        values_are: "response, relative to the whole image".to_owned(),
        scores_are: vec!["AOPC".to_owned()],
        series,
        images: (0..images).map(image).collect(),
        hidden: 0,
        failed: vec![(
            HOSTILE.replace("bdi", "td"),
            "is empty (0 bytes); copy or download it again".to_owned(),
        )],
        options: vec![
            ("weights".to_owned(), "weights/vgg16-features.safetensors".to_owned()),
            ("inputs".to_owned(), format!("{HOSTILE}, {}", "a-very-long-name".repeat(30))),
        ],
    }
}

/// A figure of two images and two columns.
pub fn figure() -> Figure {
    let caption =
        |title: &str, detail: &str| Caption { title: title.to_owned(), details: vec![detail.to_owned()] };
    let row = |name: &str, seed| Row {
        caption: caption(name, "output 7"),
        cells: vec![picture(seed), picture(seed + 1)],
    };
    Figure {
        title: "Explanations of 2 images".to_owned(),
        columns: vec![caption("input", ""), caption("<i>patternnet</i>", "global")],
        rows: vec![row(HOSTILE, 1), row("a-photo-with-a-rather-long-name-without-spaces.jpeg", 60)],
        note: "Each picture has a scale of its own.".to_owned(),
    }
}

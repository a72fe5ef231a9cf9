//! The worked example of the linear model: what it says is what theory says, and its picture is the one in docs/.

#[path = "../examples/linear_model/model.rs"]
mod model;
#[path = "../examples/linear_model/picture.rs"]
mod picture;

use std::path::Path;

use model::{LinearModel, Scene, Vector, dot, error, learn, scaled, solve, sum};
use picture::{SAMPLES, SCENES};
use vggx::patterns::{Centering, Component};

const COUNT: usize = 400_000;

/// Models with signals and distractors of various lengths and angles, the distractor with and without a mean, the
/// paper's among them.
fn models() -> Vec<LinearModel> {
    let model = |signal, distractor, mean, deviation| LinearModel { signal, distractor, mean, deviation };
    let mut models = SCENES.to_vec();
    models.extend([
        model([1.0, 0.0], [1.0, 1.0], 0.0, 1.0),
        model([0.6, -1.3], [2.0, 0.7], -0.8, 0.4),
        model([-2.0, 0.5], [0.3, 0.4], 0.1, 1.5),
        // The distractor is nearly the signal, and ten times as strong.
        model([1.0, 1.0], [10.0, 9.0], 0.5, 0.5),
    ]);
    models
}

fn length(vector: Vector) -> f64 {
    dot(vector, vector).sqrt()
}

fn cosine(left: Vector, right: Vector) -> f64 {
    dot(left, right) / (length(left) * length(right))
}

fn difference(left: Vector, right: Vector) -> f64 {
    length(sum(left, scaled(right, -1.0)))
}

/// Five standard errors of cov\[ε, y\] / var\[y\], what the distractor adds to a pattern by chance; var\[y\] is 1/3.
fn chance(model: &LinearModel, count: usize) -> f64 {
    5.0 * model.deviation * (3.0 / count as f64).sqrt()
}

fn pattern(scene: &Scene, component: Component, centering: Centering) -> Vector {
    solve(&model::moments(&scene.samples, scene.filter), scene.filter, component, centering).unwrap()
}

#[test]
fn least_squares_finds_the_filter_that_cancels_the_distractor() {
    for model in models() {
        let Scene { filter, .. } = learn(model, 1000, 1).unwrap();
        // The data fit without an error, so only float64 rounding remains, times the condition number of Σxxᵀ: 10⁵ at worst.
        assert!((dot(filter, model.signal) - 1.0).abs() < 1e-9, "{filter:?}");
        assert!(dot(filter, model.distractor).abs() < 1e-9, "{filter:?}");
    }
    let Scene { filter, .. } = learn(SCENES[0], 1000, 1).unwrap();
    assert!(difference(filter, [1.0, -1.0]) < 1e-9, "the paper's w, not {filter:?}");
}

#[test]
fn the_linear_pattern_is_the_direction_of_the_signal() {
    for (seed, model) in (0..).zip(models()) {
        let scene = learn(model, COUNT, seed).unwrap();
        let bound = chance(&model, COUNT) * length(model.distractor);
        assert!(difference(scene.pattern, model.signal) < bound, "{:?}", scene.pattern);
        assert!((dot(scene.filter, scene.pattern) - 1.0).abs() < 1e-9);
    }
    for model in SCENES {
        let scene = learn(model, SAMPLES, 0).unwrap();
        assert!(cosine(scene.pattern, model.signal) >= 0.9999, "{:?}", scene.pattern);
        // A filter that were taken for the signal would point elsewhere.
        assert!(cosine(scene.filter, model.signal) < 0.99);
    }
}

#[test]
fn estimates_miss_the_signal_by_what_theory_says() {
    for (seed, model) in (10..).zip(models()) {
        let scene = learn(model, COUNT, seed).unwrap();
        let [identity, filter, linear] = scene.errors();

        // S_x(x) − s = d; E|d|² = |a_d|² (ν² + σ²) and E|s|² = |a_s|² / 3. Relative variances of ε² and y², halved by the root.
        let (mean, variance) = (model.mean.powi(2), model.deviation.powi(2));
        let ratio = length(model.distractor) / length(model.signal);
        let expected = ratio * (3.0 * (mean + variance)).sqrt();
        let spread = (2.0 * variance.powi(2) + 4.0 * mean * variance) / (mean + variance).powi(2) + 0.8;
        let bound = 5.0 * 0.5 * (spread / COUNT as f64).sqrt();
        assert!((identity / expected - 1.0).abs() < bound, "{identity} for {expected}");

        // S_w projects a_s on w, which is orthogonal to a_d; what is missed is what a_s has of a_d's direction.
        let expected = cosine(model.signal, model.distractor).abs();
        assert!((filter - expected).abs() < 1e-9, "{filter} for {expected}");

        // S_a misses by what the distractor adds to a by chance.
        assert!(linear < chance(&model, COUNT) * ratio, "{linear}");
    }
}

#[test]
fn two_component_patterns_keep_the_distractors_mean_unless_a_regime_has_its_own_centre() {
    for (seed, model) in (20..).zip(models()) {
        let scene = learn(model, COUNT, seed).unwrap();
        for (component, sign) in [(Component::Positive, 1.0), (Component::Negative, -1.0)] {
            // Half of the positions; var₊[y] = 1/12, and the centre is the regime's.
            let regime = pattern(&scene, component, Centering::Regime);
            let by_chance = 5.0 * model.deviation * (12.0 / (COUNT as f64 / 2.0)).sqrt();
            assert!(difference(regime, model.signal) < by_chance * length(model.distractor), "{regime:?}");

            // ȳ is 0 but for chance: a = (E₊[xy] − ȳ E₊[x]) / (E₊[y²] − ȳ E₊[y]) = a_s + a_d ν E₊[y] / E₊[y²], with 1/2 and 1/3.
            let global = pattern(&scene, component, Centering::Global);
            let expected = sum(model.signal, scaled(model.distractor, sign * model.mean * 1.5));
            // Of E₊[εy] / E₊[y²]: σ and, for the mean's part, the deviation of y; ȳ's is √(1/3n), times ν / E₊[y²] and less.
            let by_chance =
                5.0 * (model.deviation + 3.0 * model.mean.abs()) * (3.0 / (COUNT as f64 / 2.0)).sqrt();
            assert!(
                difference(global, expected) < by_chance * length(model.distractor),
                "{global:?} {expected:?}"
            );
        }
    }
}

#[test]
fn an_error_is_relative_to_the_signal() {
    let scene = learn(SCENES[0], 500, 3).unwrap();
    assert_eq!(error(&scene.samples, |_| [0.0; 2]), 1.0);
    let exact = error(&scene.samples, |data| scaled([1.0, 0.0], data[0] - data[1]));
    assert!(exact < 1e-15, "{exact}");
}

/// Texts and numbers of an SVG file apart.
fn parts(svg: &str) -> (Vec<&str>, Vec<f64>) {
    let is_number = |character: char| character.is_ascii_digit() || character == '.' || character == '-';
    let texts = svg.split(is_number).filter(|text| !text.is_empty()).collect();
    let numbers = svg.split(|character| !is_number(character)).filter_map(|text| text.parse().ok()).collect();
    (texts, numbers)
}

#[test]
fn the_picture_is_the_one_in_the_documentation() {
    let scenes: Vec<Scene> = SCENES.iter().map(|&model| learn(model, SAMPLES, 0).unwrap()).collect();
    let drawn = picture::draw(&scenes).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures/linear_model.svg");
    let kept = std::fs::read_to_string(path).unwrap();
    // Coordinates are whole pixels; on other machines the logarithm's last bit may round one the other way. Colours may hold digits and
    // change likewise, so they are left out.
    let plain = |svg: &str| -> String {
        svg.lines()
            .map(|line| match line.split_once("fill=\"#") {
                Some((before, after)) if line.starts_with("<circle") => format!("{before}{}\n", &after[6..]),
                _ => format!("{line}\n"),
            })
            .collect()
    };
    let (drawn, kept) = (plain(&drawn), plain(&kept));
    let ((texts, numbers), (kept_texts, kept_numbers)) = (parts(&drawn), parts(&kept));
    let help = "draw it anew: cargo run --release --example linear_model -- docs/pictures/linear_model.svg";
    assert!(texts == kept_texts && numbers.len() == kept_numbers.len(), "{help}");
    assert!(numbers.iter().zip(&kept_numbers).all(|(a, b)| (a - b).abs() <= 1.0), "{help}");
    assert!(numbers.len() > 3000);
}

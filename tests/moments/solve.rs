//! Patterns from sums are the patterns that the positions themselves give.

use vggx::patterns::{Centering, Component, Outcome, solve_neuron};

use crate::samples::{Place, Samples, dot, norm};
use crate::support::Model;

const CENTERINGS: [Centering; 2] = [Centering::Global, Centering::Regime];

/// How far a pattern from sums may be from that by definition, for each element. With n positions, N of the regime, u = 2⁻⁵³
/// and γ = 8·√n·u, sums of float64 are off by at most γ of the sum of magnitudes (Higham and Mary 2019; wrong once in 10¹³),
/// so that an element of the numerator, as a mean, is off by 4·γ·max|x|·max|y|·n/N, where n/N is for the negative regime's
/// Σx, the difference of two larger sums; in the denominator these add up under |w|, with the K·u of its own sum.
fn tolerance(samples: &Samples, neuron: usize, component: Component, centering: Centering) -> f64 {
    let regime = samples.regime(neuron, component).len() as f64;
    let n = samples.x.len() as f64;
    let w = &samples.w[neuron];
    let largest =
        |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |most: f64, value| most.max(value.abs()));
    let x = largest(&mut samples.x.iter().flatten().copied());
    let y = largest(&mut samples.x.iter().map(|x| dot(w, x)));
    let unit = f64::EPSILON / 2.0;
    let numerator = 4.0 * 8.0 * n.sqrt() * unit * x * y * n / regime;
    let total: f64 = w.iter().map(|w| w.abs()).sum();
    let denominator = total * (numerator + 2.0 * w.len() as f64 * unit * x * y);
    let all: Vec<f64> = samples.x.iter().map(|x| dot(w, x)).collect();
    let mean = |positions: &[usize]| positions.iter().map(|&p| all[p]).sum::<f64>() / positions.len() as f64;
    let held = samples.regime(neuron, component);
    let centre = match centering {
        Centering::Global => all.iter().sum::<f64>() / n,
        Centering::Regime => mean(&held),
    };
    let exact = held.iter().map(|&p| all[p] * (all[p] - centre)).sum::<f64>() / regime;
    let pattern = samples.pattern(neuron, component, centering).unwrap();
    let longest = largest(&mut pattern.iter().copied());
    (numerator + longest * denominator) / exact
}

/// Compares all neurons, components and centerings; the number of patterns, and of neurons without.
fn compare(samples: &Samples) -> (usize, usize) {
    let moments = samples.moments(None);
    let (mut held, mut none) = (0, 0);
    for centering in CENTERINGS {
        for component in Component::ALL {
            for (neuron, weight) in samples.w.iter().enumerate() {
                let mut pattern = vec![f64::NAN; weight.len()];
                let solved = solve_neuron(&moments, neuron, weight, component, centering, &mut pattern);
                assert_eq!(solved.positions, samples.regime(neuron, component).len() as f64);
                let Some(expected) = samples.pattern(neuron, component, centering) else {
                    assert_ne!(solved.outcome, Outcome::Pattern, "{component} {centering} {neuron}");
                    assert!(pattern.iter().all(|value| *value == 0.0));
                    none += 1;
                    continue;
                };
                held += 1;
                assert_eq!(solved.outcome, Outcome::Pattern, "{component} {centering} {neuron}");
                let tolerance = tolerance(samples, neuron, component, centering);
                // An idle tolerance would be no test.
                let relative = tolerance / norm(&expected);
                assert!(relative < 1e-4, "{relative}");
                for (got, want) in pattern.iter().zip(&expected) {
                    assert!(
                        (got - want).abs() <= tolerance,
                        "{component} {centering} {neuron}: {got} {want}"
                    );
                }
                let cosine = dot(&pattern, &expected) / norm(&pattern) / norm(&expected);
                let bound = weight.len() as f64 * (relative * relative + 4.0 * f64::EPSILON);
                assert!(1.0 - cosine <= bound, "{component} {centering} {neuron}: {cosine}");
                // wᵀa = 1 to the rounding of the sum, whatever the errors of the moments.
                let terms: f64 = weight.iter().zip(&pattern).map(|(w, a)| (w * a).abs()).sum();
                let miss = (dot(weight, &pattern) - 1.0).abs();
                assert!(miss <= 2.0 * weight.len() as f64 * f64::EPSILON * terms, "{miss}");
            }
        }
    }
    (held, none)
}

#[test]
fn patterns_are_those_of_the_positions() {
    let place = Place::new(&Model::tiny_classifier(2));
    for layer in 0..5 {
        for positions in [7, 64, 333] {
            let split = |neuron| 2 + (positions - 4) * neuron / 8;
            let samples = Samples::random(&place.weights, layer, positions, split, positions as u64);
            let (held, none) = compare(&samples);
            assert!(held > 3 * none, "{held} patterns, {none} without");
        }
    }
}

#[test]
fn neurons_that_are_nearly_always_or_never_active_keep_their_patterns() {
    let place = Place::new(&Model::tiny(3));
    let positions = 1000;
    let split = |neuron| [3, positions - 3, 2, positions - 2][neuron % 4];
    let samples = Samples::random(&place.weights, 1, positions, split, 4);
    let moments = samples.moments(None);
    assert_eq!(moments.positive_count[0], positions as f64 - 3.0);
    let (held, _) = compare(&samples);
    // 5 neurons: all have linear patterns and those of each regime's own centering.
    assert!(held >= 2 * 5 + 2 * 5, "{held}");
}

#[test]
fn dead_neurons_and_those_without_a_negative_position_have_no_pattern_there() {
    let place = Place::new(&Model::tiny(5));
    let positions = 50;
    // Never active, always active, active once, inactive once.
    let split = |neuron: usize| [positions, 0, positions - 1, 1][neuron];
    let samples = Samples::random(&place.weights, 0, positions, split, 6);
    let moments = samples.moments(None);
    compare(&samples);
    let outcome = |neuron: usize, component| {
        let mut pattern = vec![f64::NAN; 27];
        let weight = &samples.w[neuron];
        solve_neuron(&moments, neuron, weight, component, Centering::Regime, &mut pattern).outcome
    };
    let expected = [
        (Outcome::FewPositions, Outcome::Pattern),
        (Outcome::Pattern, Outcome::FewPositions),
        (Outcome::FewPositions, Outcome::Pattern),
        (Outcome::Pattern, Outcome::FewPositions),
    ];
    for (neuron, expected) in expected.into_iter().enumerate() {
        let found = (outcome(neuron, Component::Positive), outcome(neuron, Component::Negative));
        assert_eq!(found, expected, "neuron {neuron}");
        assert_eq!(outcome(neuron, Component::Linear), Outcome::Pattern);
    }
}

#[test]
fn one_position_and_none_give_no_pattern() {
    let place = Place::new(&Model::tiny(5));
    for positions in [0, 1] {
        let samples = Samples::random(&place.weights, 1, positions, |neuron| neuron % 2, 6);
        let moments = samples.moments(None);
        for centering in CENTERINGS {
            for component in Component::ALL {
                let mut pattern = vec![f64::NAN; 36];
                let solved = solve_neuron(&moments, 1, &samples.w[1], component, centering, &mut pattern);
                assert_eq!(solved.outcome, Outcome::FewPositions);
                assert!(pattern.iter().all(|value| *value == 0.0));
            }
        }
    }
}

#[test]
fn responses_that_do_not_vary_give_no_pattern() {
    let place = Place::new(&Model::tiny(5));
    let mut samples = Samples::random(&place.weights, 0, 40, |_| 20, 6);
    // A neuron of zeros, and one whose only input is the same everywhere.
    samples.w[0].fill(0.0);
    samples.w[1].fill(0.0);
    samples.w[1][3] = 2.0;
    samples.x.iter_mut().for_each(|x| x[3] = 0.7);
    let moments = samples.moments(None);
    for centering in CENTERINGS {
        for component in Component::ALL {
            for neuron in [0, 1] {
                let mut pattern = vec![f64::NAN; 27];
                let weight = &samples.w[neuron];
                let solved = solve_neuron(&moments, neuron, weight, component, centering, &mut pattern);
                assert_eq!(solved.outcome, Outcome::Degenerate, "{component} {centering} {neuron}");
                assert!(pattern.iter().all(|value| *value == 0.0));
            }
        }
    }
}

/// A denominator just above the limit is one, just below it is none; so is one that is not a number.
#[test]
fn the_limit_of_the_denominator() {
    let place = Place::new(&Model::tiny(5));
    let samples = Samples::random(&place.weights, 0, 40, |_| 20, 6);
    let mut moments = samples.moments(None);
    let weight = samples.w[0].clone();
    let mut pattern = vec![0.0; 27];
    let mut solve =
        |moments: &_| solve_neuron(moments, 0, &weight, Component::Positive, Centering::Regime, &mut pattern);
    let denominator = solve(&moments).conditioning * moments.positive_yy[0];
    moments.positive_yy[0] = denominator * 0.99e10;
    assert_eq!(solve(&moments).outcome, Outcome::Pattern);
    moments.positive_yy[0] = denominator * 1.01e10;
    assert_eq!(solve(&moments).outcome, Outcome::Degenerate);
    moments.positive_yy[0] = 1.0;
    moments.positive_xy[4] = f64::MAX;
    moments.positive_x[4] = f64::MAX;
    moments.positive_y[0] = f64::MAX;
    assert_eq!(solve(&moments).outcome, Outcome::Degenerate);
}

#[test]
fn centerings_are_read_and_written() {
    for centering in CENTERINGS {
        assert_eq!(centering.to_string().parse(), Ok(centering));
    }
    let error = "Global".parse::<Centering>().unwrap_err();
    assert!(error.to_string().contains("Global") && error.to_string().contains("regime"), "{error}");
}

//! What the library is judged by: cases computed by hand, and that no other v is better.

use crate::reference::{Positions, Random, ReferenceSignal, correlation, quality, regress};

/// One neuron, active where y > 0.
fn positions(weight: &[f64], x: Vec<f64>) -> Positions {
    let fan_in = weight.len();
    let y: Vec<f64> =
        x.chunks_exact(fan_in).map(|x| x.iter().zip(weight).map(|(x, w)| x * w).sum()).collect();
    let positive = y.iter().map(|&y| y > 0.0).collect();
    Positions { count: y.len(), fan_in, outputs: 1, x, y, positive }
}

/// y = 2 a − b + 3 with a third column a + b, a constant one, and two rows of what no column explains.
#[test]
fn regression_finds_the_coefficients() {
    let rows = [[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [-1.0, 4.0], [0.5, 0.5], [3.0, -2.0]];
    let values: Vec<f64> = rows.iter().flat_map(|[a, b]| [*a, *b, a + b, 7.0]).collect();
    let y: Vec<f64> = rows.iter().map(|[a, b]| 2.0 * a - b + 3.0).collect();
    let fit = regress(&values, 4, &y);
    assert_eq!((fit.rank, fit.coefficients[3]), (2, 0.0));
    assert!((fit.correlation - 1.0).abs() < 1e-14);
    // Whichever of the three was left out.
    let [a, b, both] = [0, 1, 2].map(|column| fit.coefficients[column]);
    assert!((a + both - 2.0).abs() < 1e-14 && (b + both + 1.0).abs() < 1e-14, "{:?}", fit.coefficients);

    // Of (1, −1, 1, −1) and (1, 1, −1, −1), y = (3, 1, 1, −1) + (1, −1, −1, 1) takes 1 and 1, and leaves a third of its variance.
    let fit = regress(&[1.0, 1.0, -1.0, 1.0, 1.0, -1.0, -1.0, -1.0], 2, &[4.0, 0.0, 0.0, 0.0]);
    assert!((fit.coefficients[0] - 1.0).abs() < 1e-15 && (fit.coefficients[1] - 1.0).abs() < 1e-15);
    assert!((fit.correlation - (2.0_f64 / 3.0).sqrt()).abs() < 1e-15);
    assert!((correlation(&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0]) - 0.5).abs() < 1e-15);
}

/// x = a s + e n with w = (1, 0), a = (1, 1), e = (0, 1): y = s, and d of another direction (1, 1 + t) is (0, n − t s).
#[test]
fn two_inputs_computed_by_hand() {
    let (signal, noise) = ([2.0, -2.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]);
    let x = signal.iter().zip(noise).flat_map(|(s, n)| [*s, s + n]).collect();
    let seen = positions(&[1.0, 0.0], x);
    let rho = |signal: ReferenceSignal| {
        let scaled = signal.scaled(&[1.0, 0.0]).expect("not orthogonal");
        quality(0, &scaled, &seen, &seen)
    };
    let exact = rho(ReferenceSignal::One(vec![3.0, 3.0]));
    assert!((exact.in_sample - 1.0).abs() < 1e-15 && exact.rank == 1);
    // var s = 5/2, var n = 1: corr[n − t s, s]² = t²·(5/2)² / ((1 + t²·5/2)·5/2), t = 2: 10/11.
    let missed = rho(ReferenceSignal::One(vec![1.0, 3.0]));
    assert!((missed.in_sample - (1.0 - (10.0_f64 / 11.0).sqrt())).abs() < 1e-15);
    assert!((missed.held_out - missed.in_sample).abs() < 1e-15);
    // n − 2 s where s is positive, n elsewhere: (−3, 1, −3, −1), mean −3/2, against s: cov −9/4 − 1/4, var 11/4.
    let two = rho(ReferenceSignal::Two { positive: vec![1.0, 3.0], negative: vec![2.0, 2.0] });
    assert!((two.in_sample - (1.0 - 2.5 / (2.75_f64 * 2.5).sqrt())).abs() < 1e-15, "{two:?}");
    assert!(ReferenceSignal::One(vec![0.0, 1.0]).scaled(&[1.0, 0.0]).is_none());
}

#[test]
fn no_other_v_is_better() {
    let mut random = Random::new(1);
    let weight = random.normals(4, 1.0);
    let seen = positions(&weight, random.normals(4 * 30, 1.0));
    let signal = ReferenceSignal::Two { positive: random.normals(4, 1.0), negative: random.normals(4, 1.0) }
        .scaled(&weight)
        .expect("not orthogonal");
    let best = regress(&seen.distractors(0, &signal), 4, &seen.responses(0));
    // w tells nothing of d.
    assert_eq!(best.rank, 3);
    let own = seen.distractor_correlation(0, &signal, &best.coefficients);
    assert!((own - best.correlation).abs() < 1e-14);
    for _ in 0..200 {
        let other: Vec<f64> = best.coefficients.iter().map(|v| v + 0.1 * random.normal()).collect();
        assert!(seen.distractor_correlation(0, &signal, &other) < best.correlation);
    }
}

//! The paper's own way: v by stochastic gradient steps on minibatches, with ADAM (Kingma and Ba 2014).

use rayon::prelude::*;
use vggx::evaluate::quality::Candidates;
use vggx::weights::ElementType;

use crate::agreement::measure;
use crate::estimators::{SEED, signal, solved};
use crate::reference::{Positions, Random, ReferenceSignal, random_vgg};
use crate::samples::{SampleSet, correlated_images};
use crate::support::Case;

const BATCH: usize = 256;
const STEPS: usize = 1500;

/// v that maximises corr\[vᵀd, y\], found by ascending the correlation of minibatches.
fn climb(seen: &Positions, neuron: usize, signal: &ReferenceSignal) -> Vec<f64> {
    let (distractors, responses) = (seen.distractors(neuron, signal), seen.responses(neuron));
    let fan_in = seen.fan_in;
    let mut random = Random::new(neuron as u64);
    // Steps are of one size in all directions, so each element of d is measured in its own deviations.
    let deviations: Vec<f64> = (0..fan_in)
        .map(|k| {
            let column = distractors.iter().skip(k).step_by(fan_in);
            let mean = column.clone().sum::<f64>() / seen.count as f64;
            (column.map(|d| (d - mean).powi(2)).sum::<f64>() / seen.count as f64).sqrt()
        })
        .collect();
    let mut v: Vec<f64> = (0..fan_in).map(|_| 0.1 * random.normal()).collect();
    let (mut first, mut second) = (vec![0.0; fan_in], vec![0.0; fan_in]);
    for step in 1..=STEPS {
        let chosen: Vec<usize> =
            (0..BATCH).map(|_| (random.uniform() * seen.count as f64) as usize).collect();
        let gradient = gradient(&distractors, &responses, &deviations, &v, &chosen);
        let rate = 0.03 * (1.0 - step as f64 / (STEPS + 1) as f64);
        let (beta_1, beta_2) = (0.9_f64, 0.999_f64);
        for k in 0..fan_in {
            first[k] = beta_1 * first[k] + (1.0 - beta_1) * gradient[k];
            second[k] = beta_2 * second[k] + (1.0 - beta_2) * gradient[k] * gradient[k];
            let (first, second) =
                (first[k] / (1.0 - beta_1.powi(step as i32)), second[k] / (1.0 - beta_2.powi(step as i32)));
            v[k] += rate * first / (second.sqrt() + 1e-8);
        }
    }
    v.iter().zip(deviations).map(|(v, deviation)| v / deviation).collect()
}

/// That of corr\[p, y\] over some positions, p = vᵀd with d in deviations: Dᵀ(y/(|p||y|) − corr · p/|p|²), all centred.
fn gradient(
    distractors: &[f64],
    responses: &[f64],
    deviations: &[f64],
    v: &[f64],
    chosen: &[usize],
) -> Vec<f64> {
    let fan_in = v.len();
    let centred = |values: Vec<f64>| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.into_iter().map(|value| value - mean).collect::<Vec<f64>>()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let rows: Vec<Vec<f64>> = chosen
        .iter()
        .map(|&at| {
            let row = &distractors[at * fan_in..][..fan_in];
            row.iter().zip(deviations).map(|(d, deviation)| d / deviation).collect()
        })
        .collect();
    let p = centred(rows.iter().map(|row| dot(row, v)).collect());
    let y = centred(chosen.iter().map(|&at| responses[at]).collect());
    let (p_length, y_length) = (dot(&p, &p).sqrt(), dot(&y, &y).sqrt());
    let correlation = dot(&p, &y) / (p_length * y_length);
    let mut gradient = vec![0.0; fan_in];
    for ((row, p), y) in rows.iter().zip(&p).zip(&y) {
        // Centred, so the mean of a column adds nothing.
        let factor = y / (p_length * y_length) - correlation * p / (p_length * p_length);
        gradient.iter_mut().zip(row).for_each(|(gradient, d)| *gradient += factor * d);
    }
    gradient
}

#[test]
fn gradient_steps_come_within_two_hundredths() {
    let case = Case::new(random_vgg(44, 3, &[&[5]], None), ElementType::F32);
    let sizes = [(9, 11), (12, 7), (8, 8)];
    let [learnt, fitted, evaluated] =
        [60, 61, 62].map(|seed| SampleSet::new(&case, &correlated_images(&sizes, 30, seed)));
    let files = solved(&case, &learnt, ElementType::F32);
    let candidates = Candidates::all(&files, 1, SEED).expect("one file of each centering").held;
    let report = measure(&case, &candidates, &fitted, Some(&evaluated));
    let layer = case.network.parametric_layers()[0];
    let mut worst = [0.0_f64; 2];
    for (candidate, estimator) in candidates.iter().zip(&report.layers[0].estimators) {
        let seen = &fitted.positions[0];
        let found: Vec<[f64; 2]> = (0..layer.outputs)
            .into_par_iter()
            .map(|neuron| {
                let weight = &layer.weight[neuron * seen.fan_in..][..seen.fan_in];
                let signal = signal(candidate, 0, neuron, weight).expect("a pattern");
                let v = climb(seen, neuron, &signal);
                [&fitted, &evaluated]
                    .map(|set| 1.0 - set.positions[0].distractor_correlation(neuron, &signal, &v))
            })
            .collect();
        for (neuron, found) in found.into_iter().enumerate() {
            let exact = [estimator.rho_in_sample[neuron].unwrap(), estimator.rho[neuron].unwrap()];
            let at = format!("{candidate}, neuron {neuron}: {found:.4?} for {exact:.4?}");
            // Nothing correlates better than the best v.
            assert!(found[0] >= exact[0] - 1e-9, "{at}");
            for ((found, exact), worst) in found.into_iter().zip(exact).zip(&mut worst) {
                assert!((found - exact).abs() <= 0.02, "{at}");
                *worst = worst.max((found - exact).abs());
            }
        }
    }
    println!("ADAM: |Δρ| ≤ {:.1e} in sample, {:.1e} held out", worst[0], worst[1]);
}

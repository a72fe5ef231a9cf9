//! Spearman's rank correlation.

/// Spearman's ρ: the correlation of ranks, equal values sharing the mean of theirs. `None` where one side is the same everywhere.
///
/// # Panics
/// When the sides differ in length.
pub fn spearman(one: &[f32], other: &[f32]) -> Option<f64> {
    assert_eq!(one.len(), other.len(), "as many values");
    let (one, other) = (centred_ranks(one), centred_ranks(other));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let scale = (product(&one, &one) * product(&other, &other)).sqrt();
    (scale > 0.0).then(|| (product(&one, &other) / scale).clamp(-1.0, 1.0))
}

/// Ranks less their mean, which is the same whatever is equal; multiples of 1/2, so that they are exact.
fn centred_ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let middle = (values.len() as f64 - 1.0) / 2.0;
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    // Zeros of both signs are equal.
    for run in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (run.len() as f64 - 1.0) / 2.0 - middle;
        run.iter().for_each(|&place| ranks[place] = rank);
        first += run.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::draw;

    /// Of pairs: a rank is how many are less, and half of how many others are equal.
    fn directly(one: &[f32], other: &[f32]) -> f64 {
        let ranks = |values: &[f32]| -> Vec<f64> {
            let rank = |value: &f32| {
                let less = values.iter().filter(|other| *other < value).count() as f64;
                let equal = values.iter().filter(|other| *other == value).count() as f64;
                less + (equal - 1.0) / 2.0
            };
            values.iter().map(rank).collect()
        };
        let (one, other) = (ranks(one), ranks(other));
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (a, b) = (mean(&one), mean(&other));
        let moment =
            |f: &dyn Fn(f64, f64) -> f64| one.iter().zip(&other).map(|(&x, &y)| f(x - a, y - b)).sum::<f64>();
        moment(&|x, y| x * y) / (moment(&|x, _| x * x) * moment(&|_, y| y * y)).sqrt()
    }

    #[test]
    fn it_is_that_of_the_definition() {
        for (count, levels) in [(2, 1000), (7, 3), (91, 1000), (91, 4)] {
            let values = |stream| -> Vec<f32> {
                // Zeros of both signs among them.
                let value = |index| (draw(stream, index) % levels) as f32 - levels as f32 / 2.0;
                (0..count).map(value).map(|value| if value == 0.0 { -value } else { value }).collect()
            };
            let (one, other) = (values(count), values(count + 1));
            let expected = directly(&one, &other);
            match spearman(&one, &other) {
                Some(found) => assert!((found - expected).abs() < 1e-12, "{found} {expected}"),
                None => assert!(expected.is_nan()),
            }
            assert_eq!(spearman(&one, &one), Some(1.0));
        }
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[9.0, 4.0, 1.0]), Some(-1.0));
        assert_eq!(spearman(&[0.0, -0.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0], &[1.0]), None);
    }
}

//! What a curve is over all images.

use super::{Mode, aopc, auc};
use crate::evaluate::intervals;

/// A curve over all images.
#[derive(Clone, Debug, PartialEq)]
pub struct CurveSummary {
    /// Of every step.
    pub mean: Vec<f64>,
    /// Interval of every mean ([`intervals`]); none where there are fewer than two images.
    pub intervals: Option<Vec<[f64; 2]>>,
    /// [`aopc`] in [`Mode::Flip`], else [`auc`]: of the mean, which is the images' mean too.
    pub score: f64,
    /// Its interval.
    pub score_interval: Option<[f64; 2]>,
}

/// Summarises the values of a curve, a row an image, at these fractions of the patches. The seed chooses the images that the
/// bootstrap draws.
///
/// # Panics
/// When there is no image, or rows are not as long as the fractions.
pub fn summarise(mode: Mode, fractions: &[f64], images: &[&[f64]], seed: u64) -> CurveSummary {
    let score = |values: &[f64]| match mode {
        Mode::Flip => aopc(values),
        Mode::Deletion | Mode::Insertion => auc(fractions, values),
    };
    // The score is linear in the values: it is one more column.
    let rows: Vec<Vec<f64>> = images
        .iter()
        .map(|values| {
            assert_eq!(values.len(), fractions.len(), "a value a step");
            values.iter().copied().chain([score(values)]).collect()
        })
        .collect();
    let column = |column: usize| rows.iter().map(|row| row[column]).sum::<f64>() / rows.len() as f64;
    let mut mean: Vec<f64> = (0..=fractions.len()).map(column).collect();
    let mut intervals = intervals(&rows, seed);
    let score_interval = intervals.as_mut().and_then(Vec::pop);
    let score = mean.pop().unwrap_or(f64::NAN);
    CurveSummary { mean, intervals, score, score_interval }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_mean() {
        let (fractions, rows) = ([0.0, 0.5, 1.0], [[1.0, 0.5, 0.0], [0.8, 0.2, 0.1], [0.3, 0.3, 0.2]]);
        let rows: Vec<&[f64]> = rows.iter().map(|row| &row[..]).collect();
        for mode in [Mode::Flip, Mode::Deletion, Mode::Insertion] {
            let summary = summarise(mode, &fractions, &rows, 0);
            assert!((summary.mean[1] - 1.0 / 3.0).abs() < 1e-15);
            let expected =
                if mode == Mode::Flip { aopc(&summary.mean) } else { auc(&fractions, &summary.mean) };
            assert!((summary.score - expected).abs() < 1e-15);
            let [lower, upper] = summary.score_interval.unwrap();
            assert!(lower < summary.score && summary.score < upper);
            assert_eq!(summary.intervals.unwrap().len(), 3);
        }
        let one = summarise(Mode::Flip, &fractions, &rows[..1], 0);
        assert_eq!((one.mean, one.intervals, one.score_interval), (vec![1.0, 0.5, 0.0], None, None));
    }
}

//! Confidence intervals of means over images, by the percentile bootstrap (Efron 1979).

use crate::parallel;
use crate::random::{draw, scatter};

/// Sets of images that are drawn, with replacement, each as large as the set that there is.
pub const RESAMPLES: usize = 1000;

/// Share of the sets' means that an interval holds.
pub const LEVEL: f64 = 0.95;

/// Intervals of the means of the columns of `rows`, one row an image: from the 2.5th to the 97.5th percentile of the means of
/// [`RESAMPLES`] sets of images, between neighbours in linear interpolation. Which images are drawn depends on the seed and
/// their number alone, so that columns, and calls, are of the same sets. `None` where there are fewer than two images.
///
/// # Panics
/// When rows differ in length.
pub fn intervals<Row: AsRef<[f64]> + Sync>(rows: &[Row], seed: u64) -> Option<Vec<[f64; 2]>> {
    let images = rows.len();
    let columns = rows.first()?.as_ref().len();
    assert!(rows.iter().all(|row| row.as_ref().len() == columns), "rows of {columns} columns");
    if images < 2 {
        return None;
    }
    let stream = scatter(seed);
    let mean_of = |resample: usize| {
        let mut times = vec![0_u32; images];
        for place in 0..images {
            let bits = draw(stream, (resample * images + place) as u64);
            // The upper half of bits · images: uniform but for 2⁻⁶⁴ · images.
            times[((u128::from(bits) * images as u128) >> 64) as usize] += 1;
        }
        let mut mean = vec![0.0; columns];
        for (row, &times) in rows.iter().zip(&times).filter(|&(_, &times)| times > 0) {
            let share = f64::from(times) / images as f64;
            mean.iter_mut().zip(row.as_ref()).for_each(|(mean, value)| *mean += share * value);
        }
        mean
    };
    let means: Vec<Vec<f64>> = parallel::map(0..RESAMPLES, mean_of);
    let tail = (1.0 - LEVEL) / 2.0;
    let interval = |column: usize| {
        let mut sorted: Vec<f64> = means.iter().map(|mean| mean[column]).collect();
        sorted.sort_by(f64::total_cmp);
        [percentile(&sorted, tail), percentile(&sorted, 1.0 - tail)]
    };
    Some(parallel::map(0..columns, interval))
}

/// The value below which a share of sorted values lies.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor();
    let (lower, upper) = (sorted[below as usize], sorted[place.ceil() as usize]);
    lower + (place - below) * (upper - lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set by set, as the definition has it.
    fn directly(values: &[f64], seed: u64) -> [f64; 2] {
        let images = values.len();
        let mut means: Vec<f64> = (0..RESAMPLES)
            .map(|resample| {
                let drawn = (0..images).map(|place| {
                    let bits = draw(scatter(seed), (resample * images + place) as u64);
                    values[(bits as f64 / 2f64.powi(64) * images as f64) as usize]
                });
                drawn.sum::<f64>() / images as f64
            })
            .collect();
        means.sort_by(f64::total_cmp);
        // 2.5 % of 999 steps from the first to the last of 1000 values.
        let at = |place: f64| {
            let (below, part) = (place as usize, place.fract());
            means[below] * (1.0 - part) + means[below + 1] * part
        };
        [at(24.975), at(974.025)]
    }

    #[test]
    fn intervals_are_those_of_the_definition() {
        for images in [2, 3, 33] {
            let rows: Vec<[f64; 2]> =
                (0..images).map(|image| [f64::from(image).sin(), f64::from(image * image)]).collect();
            let found = intervals(&rows, 7).unwrap();
            for column in 0..2 {
                let values: Vec<f64> = rows.iter().map(|row| row[column]).collect();
                let expected = directly(&values, 7);
                for end in 0..2 {
                    let error = (found[column][end] - expected[end]).abs();
                    assert!(
                        error < 1e-12 * values[images as usize - 1].abs().max(1.0),
                        "{images}: {error:e}"
                    );
                }
            }
            assert_eq!(Some(&found), intervals(&rows, 7).as_ref());
            // Of few images both ends are among few means.
            assert!(images < 33 || found != intervals(&rows, 8).unwrap());
        }
    }

    #[test]
    fn an_interval_is_as_wide_as_the_standard_error_says() {
        let values: Vec<[f64; 1]> = (0..400).map(|image| [f64::from(image % 20)]).collect();
        let [lower, upper] = intervals(&values, 1).unwrap()[0];
        // Uniform on 0..20: variance 399/12, of the mean 399/12/400; ± 1.96 of its root.
        let half = 1.96 * (399.0_f64 / 12.0 / 400.0).sqrt();
        assert!((lower - (9.5 - half)).abs() < 0.1 && (upper - (9.5 + half)).abs() < 0.1, "{lower} {upper}");
    }

    #[test]
    fn one_image_has_no_interval() {
        assert_eq!(intervals(&[[1.0]], 0), None);
        assert_eq!(intervals::<[f64; 1]>(&[], 0), None);
        assert_eq!(intervals(&[[2.0], [2.0]], 0), Some(vec![[2.0, 2.0]]));
    }
}

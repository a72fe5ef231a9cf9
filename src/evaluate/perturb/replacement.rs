//! What patches are replaced with.

use super::curve::stream;
use crate::evaluate::gaussian::gaussian_means;
use crate::network::Preprocessing;
use crate::random::{normal, scatter};
use std::fmt;
use std::str::FromStr;

/// Columns on each side of a pixel that the blur takes, and its standard deviation, in pixels: RISE's 11×11 window with σ = 5.
const BLUR_REACH: usize = 5;
const BLUR_DEVIATION: f64 = 5.0;

/// Parts the numbers of noise from those of random orders.
const NOISE: u64 = 0x006e_6f69_7365;

/// What patches are replaced with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// The patch's own mean in each channel, as in the paper.
    Mean,
    /// Black.
    Black,
    /// The network's mean: zero in its normalised input.
    DatasetMean,
    /// The image under a Gaussian of σ = 5 pixels, cut off at 5 pixels (RISE's); what of it is outside the image counts nothing.
    Blur,
    /// Independent normal values with the network's mean and standard deviation, a number of its own for each image and value.
    Noise,
}

/// A word that is no replacement.
#[derive(Debug, Clone, thiserror::Error)]
#[error("unknown replacement '{0}'; known are mean, black, dataset-mean, blur and noise")]
pub struct ParseReplacementError(String);

impl FromStr for Replacement {
    type Err = ParseReplacementError;

    fn from_str(text: &str) -> Result<Self, ParseReplacementError> {
        match text {
            "mean" => Ok(Replacement::Mean),
            "black" => Ok(Replacement::Black),
            "dataset-mean" => Ok(Replacement::DatasetMean),
            "blur" => Ok(Replacement::Blur),
            "noise" => Ok(Replacement::Noise),
            _ => Err(ParseReplacementError(text.to_owned())),
        }
    }
}

impl fmt::Display for Replacement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Replacement::Mean => "mean",
            Replacement::Black => "black",
            Replacement::DatasetMean => "dataset-mean",
            Replacement::Blur => "blur",
            Replacement::Noise => "noise",
        })
    }
}

impl Replacement {
    /// The whole of an image replaced, \[3, height, width\]; `None` for the mean, which depends on the patches. The image is the
    /// network's normalised input, its name and the seed choose the noise.
    pub fn image(
        self,
        image: &[f32],
        (height, width): (usize, usize),
        preprocessing: &Preprocessing,
        seed: u64,
        name: &str,
    ) -> Option<Vec<f32>> {
        let plane = height * width;
        match self {
            Replacement::Mean => None,
            Replacement::Black => {
                let black = preprocessing.normalise_planes(&[0; 3]);
                Some(black.into_iter().flat_map(|value| std::iter::repeat_n(value, plane)).collect())
            }
            Replacement::DatasetMean => Some(vec![0.0; 3 * plane]),
            Replacement::Blur => {
                Some(image.chunks_exact(plane).flat_map(|plane| blur(plane, width)).collect())
            }
            Replacement::Noise => {
                let stream = scatter(stream(seed, name) ^ NOISE);
                Some((0..3 * plane).map(|index| normal(stream, index as u64) as f32).collect())
            }
        }
    }
}

/// A plane under the Gaussian.
fn blur(plane: &[f32], width: usize) -> Vec<f32> {
    let exact = plane.iter().map(|&value| f64::from(value)).collect();
    let blurred = gaussian_means(exact, width, BLUR_REACH, BLUR_DEVIATION);
    blurred.into_iter().map(|value| value as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(height: usize, width: usize) -> Vec<f32> {
        (0..3 * height * width).map(|index| normal(1, index as u64) as f32).collect()
    }

    #[test]
    fn the_blur_is_a_window_of_weights() {
        for (height, width) in [(1, 1), (7, 13), (20, 16)] {
            let image = image(height, width);
            let size = (height, width);
            let blurred = Replacement::Blur.image(&image, size, &Preprocessing::default(), 0, "").unwrap();
            for (at, blurred) in blurred.iter().enumerate() {
                let (plane, y, x) = (at / (height * width), at / width % height, at % width);
                let (mut sum, mut total) = (0.0, 0.0);
                for v in 0..height {
                    for u in 0..width {
                        if v.abs_diff(y) <= 5 && u.abs_diff(x) <= 5 {
                            let square = (v.abs_diff(y).pow(2) + u.abs_diff(x).pow(2)) as f64;
                            let weight = (-square / 50.0).exp();
                            sum += weight * f64::from(image[(plane * height + v) * width + u]);
                            total += weight;
                        }
                    }
                }
                assert!((f64::from(*blurred) - sum / total).abs() < 1e-6, "{height}×{width} at {at}");
            }
        }
    }

    #[test]
    fn constants_are_in_the_networks_units_and_noise_is_the_images_own() {
        let preprocessing = Preprocessing::default();
        let of = |replacement: Replacement, seed, name: &str| {
            replacement.image(&image(2, 3), (2, 3), &preprocessing, seed, name)
        };
        assert_eq!(of(Replacement::Mean, 0, "a"), None);
        assert_eq!(of(Replacement::DatasetMean, 0, "a"), Some(vec![0.0; 18]));
        let black = of(Replacement::Black, 0, "a").unwrap();
        for (value, expected) in
            black.iter().zip([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225].map(|v| [v; 6]).as_flattened())
        {
            assert!((f64::from(*value) - expected).abs() < 1e-6);
        }
        let noise = of(Replacement::Noise, 0, "a");
        assert_eq!(noise, of(Replacement::Noise, 0, "a"));
        assert_ne!(noise, of(Replacement::Noise, 1, "a"));
        assert_ne!(noise, of(Replacement::Noise, 0, "b"));
        let many = Replacement::Noise.image(&[], (100, 100), &preprocessing, 0, "a").unwrap();
        let mean = many.iter().map(|&value| f64::from(value)).sum::<f64>() / 30000.0;
        let square = many.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / 30000.0;
        // Five standard errors: 1/√n and √(2/n).
        assert!(mean.abs() < 0.029 && (square - 1.0).abs() < 0.041, "{mean} {square}");
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for word in ["mean", "black", "dataset-mean", "blur", "noise"] {
            assert_eq!(word.parse::<Replacement>().unwrap().to_string(), word);
        }
        assert!("grey".parse::<Replacement>().unwrap_err().to_string().contains("'grey'"));
    }
}

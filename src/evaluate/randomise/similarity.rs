//! How alike maps are, and what that is over all images.

use crate::evaluate::intervals;
use serde::Serialize;

/// How alike two maps are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// [`ssim`](super::ssim()).
    pub ssim: f64,
    /// The same of magnitudes.
    pub ssim_magnitudes: f64,
    /// [`spearman`](super::spearman()).
    pub spearman: Option<f64>,
    /// The same of magnitudes.
    pub spearman_magnitudes: Option<f64>,
}

/// A measure over all images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasureSummary {
    /// Over the images that have a value.
    pub mean: Option<f64>,
    /// Its interval ([`intervals`]); none where there are fewer than two of them.
    pub ci95: Option<[f64; 2]>,
    /// One an image, in their order; none where a map is the same everywhere.
    pub images: Vec<Option<f64>>,
}

/// What a method's maps are like at one layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageSimilarities {
    /// Structural similarity.
    pub ssim: MeasureSummary,
    /// The same of magnitudes.
    pub ssim_abs: MeasureSummary,
    /// Rank correlation.
    pub spearman: MeasureSummary,
    /// The same of magnitudes.
    pub spearman_abs: MeasureSummary,
}

/// One layer of the test.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSimilarities {
    /// The layer's number among those with weights.
    pub layer: usize,
    /// One a method, in their order.
    pub methods: Vec<ImageSimilarities>,
}

impl LayerSimilarities {
    /// Over all images, each of which has a similarity for each of so many methods, or was left out.
    pub(super) fn of(layer: usize, methods: usize, alike: &[Option<Vec<Similarity>>], seed: u64) -> Self {
        let measure = |method: usize, value: &dyn Fn(&Similarity) -> Option<f64>| {
            let images: Vec<Option<f64>> =
                alike.iter().map(|image| value(&image.as_ref()?[method])).collect();
            let rows: Vec<[f64; 1]> = images.iter().flatten().map(|&value| [value]).collect();
            let mean = rows.iter().map(|[value]| value).sum::<f64>() / rows.len() as f64;
            MeasureSummary {
                mean: (!rows.is_empty()).then_some(mean),
                ci95: intervals(&rows, seed).map(|intervals| intervals[0]),
                images,
            }
        };
        let methods = (0..methods).map(|method| ImageSimilarities {
            ssim: measure(method, &|alike| Some(alike.ssim)),
            ssim_abs: measure(method, &|alike| Some(alike.ssim_magnitudes)),
            spearman: measure(method, &|alike| alike.spearman),
            spearman_abs: measure(method, &|alike| alike.spearman_magnitudes),
        });
        LayerSimilarities { layer, methods: methods.collect() }
    }
}

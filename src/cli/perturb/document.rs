//! The file that is written.

use crate::evaluate::perturb::{Curve, CurveSummary, ImageCurves, Mode, PerturbSettings, summarise};
use crate::evaluate::{LEVEL, RESAMPLES};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// curves.json.
#[derive(Serialize, Deserialize)]
pub struct Document {
    pub mode: String,
    /// What f is: `probability` or `relative-response`.
    pub measure: String,
    /// Rows and columns of a patch.
    pub patch: usize,
    /// Patches of an image.
    pub patches: usize,
    pub replacement: String,
    /// Numbers of patches that had their turn.
    pub steps: Vec<usize>,
    /// The same over all patches.
    pub fractions: Vec<f64>,
    /// By the curves' names.
    pub methods: BTreeMap<String, CurveEntry>,
    /// By the images' names.
    pub images: BTreeMap<String, ImageEntry>,
    pub failed: Vec<FailedEntry>,
    pub bootstrap: Bootstrap,
    /// What tells the run from others.
    pub run: Map<String, Value>,
}

/// One curve.
#[derive(Serialize, Deserialize)]
pub struct CurveEntry {
    /// None: random order.
    pub method: Option<String>,
    pub order: String,
    pub mean: Vec<f64>,
    pub ci95: Option<Vec<[f64; 2]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aopc: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aopc_ci95: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auc: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auc_ci95: Option<[f64; 2]>,
    /// f of every step, by the images' names.
    pub images: BTreeMap<String, Vec<f64>>,
}

/// What was watched on an image, and what it was on the image as it is.
#[derive(Clone, Serialize, Deserialize)]
pub struct ImageEntry {
    pub target: usize,
    pub label: Option<String>,
    /// The target that came with it, with `--target key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub response: f32,
    pub probability: Option<f64>,
    /// A hash of its file (FNV-1a, 64 bits): another image under the name is another image.
    pub file: String,
}

/// An input that has no curves.
#[derive(Clone, Serialize, Deserialize)]
pub struct FailedEntry {
    pub input: String,
    pub error: String,
}

/// How intervals were made.
#[derive(Serialize, Deserialize)]
pub struct Bootstrap {
    pub resamples: usize,
    pub level: f64,
    pub images: usize,
}

/// All of one image.
#[derive(Clone, Serialize, Deserialize)]
pub struct ImageRow {
    #[serde(flatten)]
    pub entry: ImageEntry,
    /// f of every step, by the curves' names.
    pub curves: BTreeMap<String, Vec<f64>>,
}

impl ImageRow {
    /// Whether its curves are those of the settings; a file may have been edited.
    pub fn fits(&self, settings: &PerturbSettings) -> bool {
        let of = |curve: &Curve| self.curves.get(&curve.to_string());
        settings
            .curves
            .iter()
            .all(|curve| of(curve).is_some_and(|values| values.len() == settings.counts.len()))
    }

    pub fn of(curves: ImageCurves, settings: &PerturbSettings, key: Option<String>, file: String) -> Self {
        let ImageCurves { target, label, response, probability, values } = curves;
        ImageRow {
            entry: ImageEntry { target, label, key, response, probability, file },
            curves: settings.curves.iter().map(Curve::to_string).zip(values).collect(),
        }
    }
}

/// A curve and what it is over all images.
pub type Summary = (Curve, CurveSummary);

/// Every curve over the images of `rows`, of which there are some.
pub fn summaries(settings: &PerturbSettings, rows: &BTreeMap<String, ImageRow>) -> Vec<Summary> {
    let fractions = fractions(settings);
    let summary = |&curve: &Curve| {
        let name = curve.to_string();
        let values: Vec<&[f64]> =
            rows.values().filter_map(|row| row.curves.get(&name)).map(Vec::as_slice).collect();
        (curve, summarise(settings.mode, &fractions, &values, settings.seed))
    };
    settings.curves.iter().map(summary).collect()
}

/// The steps over all patches.
pub fn fractions(settings: &PerturbSettings) -> Vec<f64> {
    let patches = settings.grid.patches() as f64;
    settings.counts.iter().map(|&count| count as f64 / patches).collect()
}

impl Document {
    pub fn new(
        settings: &PerturbSettings,
        measure: &str,
        rows: &BTreeMap<String, ImageRow>,
        summaries: &[Summary],
        failed: Vec<FailedEntry>,
        run: Map<String, Value>,
    ) -> Self {
        let entry = |(curve, summary): &Summary| {
            let name = curve.to_string();
            let images =
                rows.iter().filter_map(|(image, row)| Some((image.clone(), row.curves.get(&name)?.clone())));
            let flips = settings.mode == Mode::Flip;
            let entry = CurveEntry {
                method: curve.method().map(|method| method.to_string()),
                order: curve.order(),
                mean: summary.mean.clone(),
                ci95: summary.intervals.clone(),
                aopc: flips.then_some(summary.score),
                aopc_ci95: summary.score_interval.filter(|_| flips),
                auc: (!flips).then_some(summary.score),
                auc_ci95: summary.score_interval.filter(|_| !flips),
                images: images.collect(),
            };
            (name, entry)
        };
        Document {
            mode: settings.mode.to_string(),
            measure: measure.to_owned(),
            patch: settings.grid.side,
            patches: settings.grid.patches(),
            replacement: settings.replacement.to_string(),
            steps: settings.counts.clone(),
            fractions: fractions(settings),
            methods: summaries.iter().map(entry).collect(),
            images: rows.iter().map(|(image, row)| (image.clone(), row.entry.clone())).collect(),
            failed,
            bootstrap: Bootstrap { resamples: RESAMPLES, level: LEVEL, images: rows.len() },
            run,
        }
    }

    /// All of each image.
    pub fn rows(&self) -> BTreeMap<String, ImageRow> {
        let row = |(image, entry): (&String, &ImageEntry)| {
            let curves = self
                .methods
                .iter()
                .map(|(name, curve)| Some((name.clone(), curve.images.get(image)?.clone())))
                .collect::<Option<_>>()?;
            Some((image.clone(), ImageRow { entry: entry.clone(), curves }))
        };
        self.images.iter().filter_map(row).collect()
    }
}

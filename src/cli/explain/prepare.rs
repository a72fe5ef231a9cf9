//! What a call opens: the network with its methods on every device, and what tells its outputs from those of others.

use super::Options;
use super::choices::Choices;
use super::record::{identity, recorded_options};
use crate::cli::exit::Failure;
use crate::cli::targets::fixed_target;
use crate::explain::{Explainer, Method};
use crate::output::resume::Identity;
use crate::output::run_record::{Counts, Fingerprints, PipelineRecord, RunRecord, Times};
use crate::patterns::Patterns;
use crate::setup::{OpenedDevice, find_labels};
use crate::weights::Weights;
use std::sync::Arc;

/// Everything that explaining needs.
pub struct Prepared {
    /// One a device.
    pub explainers: Vec<Explainer>,
    pub labels: Option<Vec<String>>,
    pub identity: Identity,
    /// What the user did not ask for and should know.
    pub notices: Vec<String>,
    weights: Arc<Weights>,
    patterns: Option<Arc<Patterns>>,
    fingerprints: Fingerprints,
    /// As it was chosen.
    device: String,
    precision: &'static str,
}

impl Prepared {
    /// Opens weights, patterns, labels and devices.
    pub fn open(options: &Options, choices: &Choices) -> Result<Self, Failure> {
        let Choices { methods, .. } = choices;
        let weights = options.network.weights.open(options.quiet)?;
        let patterns = if methods.iter().any(|method| method.needs_patterns()) {
            options.network.open_patterns(&weights)?
        } else {
            None
        };
        let labels = find_labels(options.labels.as_deref(), &weights)?;
        let target = fixed_target(&options.target, &weights, labels.as_deref())?;
        let opened = options.network.device.open_all(&weights, options.batch.map(usize::from))?;
        let (mut explainers, mut notices, mut devices) = (Vec::new(), Vec::new(), Vec::new());
        let mut precision = "";
        for OpenedDevice { backend, device, precision: of_device, notice } in opened {
            let explainer =
                Explainer::new(backend, &weights, patterns.as_ref(), methods, labels.clone(), options.seed)?;
            // Arrays may hold all channels, pictures only their sum.
            explainers.push(if choices.sums_suffice() { explainer.with_heat_maps() } else { explainer });
            notices.extend(notice);
            devices.push(device);
            precision = of_device;
        }
        let fingerprints = Fingerprints {
            weights: Some(weights.digest()),
            patterns: patterns.as_ref().map(|patterns| patterns.digest()),
        };
        let identity = identity(options, choices, &weights, target, &fingerprints, precision);
        let device = devices.join(",").replace(",cuda:", ",");
        Ok(Self { explainers, labels, identity, notices, weights, patterns, fingerprints, device, precision })
    }

    /// Number of the network's outputs.
    pub fn outputs(&self) -> usize {
        self.weights.network().outputs()
    }

    /// The devices in words.
    pub fn device(&self) -> String {
        let names: Vec<String> =
            self.explainers.iter().map(|explainer| explainer.backend().description()).collect();
        names.join(" + ")
    }

    /// The record of a finished run.
    pub fn record(
        &self,
        options: &Options,
        methods: &[Method],
        counts: Counts,
        times: Times,
        pipeline: PipelineRecord,
    ) -> RunRecord {
        let chosen = (self.device.as_str(), self.precision);
        RunRecord {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            options: recorded_options(options, methods, &self.weights, self.patterns.as_deref(), chosen),
            fingerprints: self.fingerprints.clone(),
            device: self.device(),
            counts,
            times,
            pipeline: Some(pipeline),
        }
    }
}

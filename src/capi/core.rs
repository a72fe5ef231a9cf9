//! An opened network: what engines, their jobs and their learners share.

use super::failure::Failure;
use super::log::{Log, VGGX_LOG_NOTICE};
use crate::backend::BackendError;
use crate::explain::{Explainer, Method};
use crate::network::PreprocessingOverrides;
use crate::patterns::Patterns;
use crate::setup::{DeviceRequest, OpenedDevice, find_labels, find_patterns, find_weights, open_weights};
use crate::threads::Threads;
use crate::weights::Weights;
use std::path::PathBuf;
use std::sync::Arc;

/// What an engine is opened with.
pub struct Settings {
    pub weights: Option<PathBuf>,
    pub patterns: Option<PathBuf>,
    pub labels: Option<PathBuf>,
    pub data: Option<PathBuf>,
    pub overrides: PreprocessingOverrides,
    pub device: DeviceRequest,
    pub threads: usize,
    pub seed: u64,
    pub log: Log,
}

/// A network on a device.
pub struct Core {
    pub explainer: Explainer,
    pub weights: Arc<Weights>,
    pub patterns: Option<Arc<Patterns>>,
    /// As in the options: `cpu` or `cuda:N`.
    pub device: String,
    pub precision: &'static str,
    pub log: Log,
    /// Last, so that they end when nothing uses them any more.
    pub threads: Arc<Threads>,
}

impl Core {
    /// Opens the files and the device.
    pub fn open(settings: &Settings) -> Result<Self, Failure> {
        let Settings { threads, log, .. } = *settings;
        // Rayon would ask its environment variable first.
        let count = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let threads = Threads::new(count, "vggx").map(Arc::new).map_err(|error| {
            let reason = error.to_string();
            Failure::from(BackendError::Threads { threads: count, reason })
        })?;
        // Whatever is done on all cores is done on the engine's own threads: those of the process are the program's.
        let (core, notice) = threads.install(|| Self::open_on(settings, &threads))?;
        if let Some(notice) = notice {
            log.say(VGGX_LOG_NOTICE, &notice);
        }
        Ok(core)
    }

    fn open_on(settings: &Settings, threads: &Arc<Threads>) -> Result<(Self, Option<String>), Failure> {
        let data = settings.data.as_deref();
        let weights = open_weights(&find_weights(settings.weights.as_deref(), data)?, &settings.overrides)?;
        // Bundled weights whose patterns are nowhere still classify, and most methods need none.
        let patterns = find_patterns(settings.patterns.as_deref(), weights.path(), data).unwrap_or(None);
        let patterns = match patterns {
            Some(path) => Some(Arc::new(Patterns::open(&path, &weights)?)),
            None => None,
        };
        let labels = find_labels(settings.labels.as_deref(), &weights)?;
        let OpenedDevice { backend, device, precision, notice } =
            settings.device.open_on(&weights, threads)?;
        let explainer = Explainer::new(backend, &weights, patterns.as_ref(), &[], labels, settings.seed)?;
        let (threads, log) = (threads.clone(), settings.log);
        Ok((Core { explainer, weights, patterns, device, precision, log, threads }, notice))
    }

    /// Prepares methods.
    pub fn prepare(&self, methods: &[Method]) -> Result<(), Failure> {
        Ok(self.explainer.prepare(methods)?)
    }

    /// Tells what the device has to say since the last call.
    pub fn tell_notices(&self) {
        for notice in self.explainer.backend().notices() {
            self.log.say(VGGX_LOG_NOTICE, &notice);
        }
    }

    /// Refuses images that are too small for the network.
    pub fn check_extents(&self, height: usize, width: usize) -> Result<(), Failure> {
        match self.weights.network().extents(height, width) {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::argument(error.to_string())),
        }
    }
}

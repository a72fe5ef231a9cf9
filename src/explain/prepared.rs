//! The passes of methods that were prepared; more may come at any time.

use super::error::PrepareError;
use super::method::{Method, Operator, Recipe};
use super::operators::Operators;
use crate::backend::{Backend, Gate, Pass, PassId, Start};
use crate::parallel;
use crate::patterns::Patterns;
use crate::weights::Weights;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Passes that a backend has prepared, and what more are made of.
pub struct PreparedPasses {
    weights: Arc<Weights>,
    patterns: Option<Arc<Patterns>>,
    seed: u64,
    passes: RwLock<Vec<PreparedPass>>,
    /// Held by whoever prepares methods, so that nobody prepares the same at the same time.
    preparing: Mutex<()>,
}

/// A distinct backward pass: methods may share one (PatternNet is the two-component signal).
#[derive(Clone, Copy)]
struct PreparedPass {
    key: PassKey,
    id: PassId,
}

/// What tells passes apart.
pub type PassKey = (Operator, Gate, Start);

impl PreparedPasses {
    /// None yet.
    pub fn new(weights: Arc<Weights>, patterns: Option<Arc<Patterns>>, seed: u64) -> Self {
        let (passes, preparing) = (RwLock::default(), Mutex::default());
        PreparedPasses { weights, patterns, seed, passes, preparing }
    }

    /// Prepares the passes of methods on a backend, always the same one; those that are there cost nothing.
    ///
    /// # Errors
    /// When a method needs patterns that are not there, or the device cannot hold the operators. Methods before that one are
    /// prepared.
    pub fn prepare(&self, backend: &dyn Backend, methods: &[Method]) -> Result<(), PrepareError> {
        if methods.iter().all(|method| self.is_prepared(*method)) {
            return Ok(());
        }
        // What is shared is changed by single calls of `push` alone.
        let _alone = self.preparing.lock().unwrap_or_else(PoisonError::into_inner);
        for &method in methods {
            let Recipe::Pass { operator, gate, start, .. } = method.recipe() else { continue };
            let key = (operator, gate, start);
            if self.find(key).is_some() {
                continue;
            }
            let PreparedPasses { weights, patterns, seed, .. } = self;
            let operators =
                beside(backend, || Operators::new(weights.clone(), patterns.clone(), operator, *seed))
                    .map_err(|source| PrepareError::Operators { method, source })?;
            let pass = Pass { operators: Arc::new(operators), gate, start };
            let id = backend.prepare(&pass).map_err(|source| PrepareError::Backend { method, source })?;
            self.passes.write().unwrap_or_else(PoisonError::into_inner).push(PreparedPass { key, id });
        }
        Ok(())
    }

    fn is_prepared(&self, method: Method) -> bool {
        match method.recipe() {
            Recipe::Input => true,
            Recipe::Pass { operator, gate, start, .. } => self.find((operator, gate, start)).is_some(),
        }
    }

    /// The pass with this operator, gate and start, if it was prepared.
    pub fn find(&self, key: PassKey) -> Option<PassId> {
        let passes = self.passes.read().unwrap_or_else(PoisonError::into_inner);
        passes.iter().find(|pass| pass.key == key).map(|pass| pass.id)
    }
}

/// Runs parallel work on the backend's threads where it has some, else on those of the process.
pub fn beside<R: Send>(backend: &dyn Backend, work: impl FnOnce() -> R + Send) -> R {
    match backend.threads() {
        Some(threads) => parallel::install(threads, work),
        None => work(),
    }
}

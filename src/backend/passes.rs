//! The passes that a backend has prepared; more may come while others run.

use super::PassId;
use std::sync::{Arc, PoisonError, RwLock};

/// Prepared passes, by their identifiers.
pub struct Passes<T>(RwLock<Vec<Arc<T>>>);

impl<T> Default for Passes<T> {
    fn default() -> Self {
        Passes(RwLock::default())
    }
}

impl<T> Passes<T> {
    /// Adds one.
    pub fn add(&self, pass: T) -> PassId {
        // Nothing panics under the lock.
        let mut passes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        passes.push(Arc::new(pass));
        PassId(passes.len() - 1)
    }

    /// The pass of an identifier.
    ///
    /// # Panics
    /// When it is another backend's.
    pub fn get(&self, PassId(index): PassId) -> Arc<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)[index].clone()
    }
}

//! When the parts of a pass end, noted on the way.

use crate::backend::profile::Part;
use std::time::Instant;

/// A stopwatch that a pass carries with it.
pub struct Laps {
    /// When the part that runs began; `None` where nobody wants to know.
    began: Option<Instant>,
    laps: Vec<(Part, f64)>,
}

impl Laps {
    /// Notes nothing.
    pub fn off() -> Self {
        Laps { began: None, laps: Vec::new() }
    }

    /// The first part begins.
    pub fn begin() -> Self {
        Laps { began: Some(Instant::now()), laps: Vec::new() }
    }

    /// The part ends, and the next begins.
    pub fn end(&mut self, part: Part) {
        if let Some(began) = &mut self.began {
            let now = Instant::now();
            self.laps.push((part, (now - *began).as_secs_f64()));
            *began = now;
        }
    }

    /// The parts in their order, with seconds.
    pub fn into_parts(self) -> Vec<(Part, f64)> {
        self.laps
    }
}

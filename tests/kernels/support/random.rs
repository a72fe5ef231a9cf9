//! Random inputs, the same for the same seed on every machine.

use super::element::{Element, power_of_two};

/// Steele, Lea and Flood's SplitMix64 (2014).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * power_of_two(-53)
    }

    /// One of 0..bound.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % bound as u64) as usize
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Elements of both signs whose largest magnitude is `largest` (rounded); most are normally distributed, one in eight has
    /// any magnitude down to 2^-30 of it, one in sixteen is zero.
    pub fn elements(&mut self, element: Element, count: usize, largest: f64) -> Vec<f64> {
        let largest = element.round(largest);
        let mut values: Vec<f64> = (0..count)
            .map(|_| {
                let value = match self.below(16) {
                    0 => 0.0,
                    1 | 2 => self.normal().signum() * (-30.0 * self.uniform()).exp2(),
                    _ => (self.normal() / 4.0).clamp(-1.0, 1.0),
                };
                // No negative zeros: exact comparisons are of values.
                element.round(value * largest) + 0.0
            })
            .collect();
        if count > 0 {
            let at = self.below(count);
            values[at] = largest;
        }
        values
    }

    /// [positions, channels] of which the first `real` channels are random and the others zero.
    pub fn map(
        &mut self,
        element: Element,
        positions: usize,
        real: usize,
        channels: usize,
        largest: f64,
    ) -> Vec<f64> {
        let mut values = self.elements(element, positions * real, largest).into_iter();
        (0..positions * channels)
            .map(|at| if at % channels < real { values.next().unwrap_or(0.0) } else { 0.0 })
            .collect()
    }
}

//! How results in floating point are judged.

use super::element::{Element, power_of_two};

/// What a result should be, element by element, in float64, and how far it may be from that.
pub struct Judged {
    /// Exact values.
    pub values: Vec<f64>,
    /// The sum of the magnitudes of the terms of each value.
    pub magnitudes: Vec<f64>,
}

impl Judged {
    /// Compares what a kernel stored as `element`, both in stored units: an element may be off by its rounding (which the
    /// sum's error can move to the next number: twice the half step) and by what float32 sums lose, 2^-18 of the sum of
    /// magnitudes with 16-bit elements (design.md, §4). A float32 sum of n terms errs by n 2^-24 at worst and about sqrt(n)
    /// 2^-24 at random; 2^-20 leaves room for some hundred terms.
    pub fn check(&self, what: &str, element: Element, stored: &[f64]) {
        let sums = power_of_two(if element == Element::F32 { -20 } else { -18 });
        self.check_with(what, element, sums, stored);
    }

    /// The same, where sums lose up to `sums` of the sum of magnitudes.
    pub fn check_with(&self, what: &str, element: Element, sums: f64, stored: &[f64]) {
        assert_eq!(stored.len(), self.values.len(), "{what}: number of values");
        let (mut product, mut ours, mut theirs) = (0.0, 0.0, 0.0);
        let largest = self.values.iter().fold(f64::MIN_POSITIVE, |most, value| most.max(value.abs()));
        for (at, (&value, &got)) in self.values.iter().zip(stored).enumerate() {
            let bound =
                2.0 * element.relative() * value.abs() + sums * self.magnitudes[at] + element.quantum();
            let error = (got - value).abs();
            assert!(
                error <= bound,
                "{what}: element {at} is {got}, not {value} (off by {error:e} > {bound:e})"
            );
            let (a, b) = (value / largest, got / largest);
            product += a * b;
            ours += a * a;
            theirs += b * b;
        }
        if ours > 0.0 {
            let cosine = product / (ours * theirs).sqrt();
            // bfloat16 rounds by up to 2^-8 of a value, which takes up to 2^-17 from the cosine.
            let bound = if element == Element::Bf16 { power_of_two(-17) } else { 1e-6 };
            assert!(1.0 - cosine <= bound, "{what}: 1 - cosine is {:e}", 1.0 - cosine);
        }
    }
}

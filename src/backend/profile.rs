//! Timing the parts of a backend one by one, for `vggx bench`.

use super::{BackendError, Batch, PassId};

/// Which way a part of the work goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the pixels to the responses.
    Forward,
    /// From a target to the pixels.
    Backward,
}

/// A part of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A parametric layer with all that is fused with it, counted from 0.
    Layer(usize),
    /// Work between the layers.
    Step {
        /// What it does.
        name: &'static str,
        /// Bytes that it must read and write for the whole batch.
        bytes: u64,
    },
}

/// How long a part took.
#[derive(Clone, Debug, PartialEq)]
pub struct PartTime {
    /// The part.
    pub part: Part,
    /// Which way.
    pub way: Way,
    /// What ran, in the backend's words.
    pub kernel: String,
    /// Median over the repeats, for the whole batch.
    pub seconds: f64,
    /// Other kernels that compute the same, where all were to be tried; the one above among them.
    pub tried: Vec<KernelTime>,
}

/// How long one kernel took.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// What ran, in the backend's words.
    pub kernel: String,
    /// Median over the repeats.
    pub seconds: f64,
}

/// What parts to time, and how.
#[derive(Clone, Copy)]
pub struct PartsRequest<'a> {
    /// The images.
    pub batch: Batch<'a>,
    /// The backward pass.
    pub pass: PassId,
    /// Timed runs of each part.
    pub repeats: usize,
    /// Whether to try every kernel that a part can run on, not only the one that the backend chooses.
    pub every_kernel: bool,
}

/// The hardware as far as its ceilings are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// The product's name.
    pub name: String,
    /// What maps and operators are stored in: `f32`, `f16` or `bf16`.
    pub element: &'static str,
    /// Bytes of an element.
    pub element_bytes: usize,
    /// Timed runs that are many enough for a median here.
    pub repeats: usize,
    /// Side of a square matrix product that fills the device.
    pub product_side: usize,
    /// Bytes of a copy that no cache holds.
    pub copy_bytes: usize,
}

/// A backend whose parts can be timed one by one.
pub trait Profiler {
    /// What it runs on.
    fn hardware(&self) -> Hardware;

    /// Times the parts of a forward and of a backward pass, in the order in which they run.
    ///
    /// # Errors
    /// As [`super::Backend::forward`].
    fn time_parts(&self, request: &PartsRequest) -> Result<Vec<PartTime>, BackendError>;

    /// Times the product of two random `side` × `side` matrices on the kernels that run the layers, each kernel. `side` is a
    /// multiple of 64.
    ///
    /// # Errors
    /// When the device cannot hold the matrices.
    fn time_product(&self, side: usize, repeats: usize) -> Result<Vec<KernelTime>, BackendError>;

    /// Times a copy of `bytes` bytes within the device's memory.
    ///
    /// # Errors
    /// When the device cannot hold them.
    fn time_copy(&self, bytes: usize, repeats: usize) -> Result<f64, BackendError>;
}

/// The first output with the largest response.
pub fn largest_response(responses: &[f32]) -> usize {
    let better = |best: usize, (index, response): (usize, &f32)| {
        if *response > responses[best] { index } else { best }
    };
    responses.iter().enumerate().fold(0, better)
}

/// The median; of an even number of values the mean of the middle two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::{largest_response, median};

    #[test]
    fn the_first_of_the_largest_responses_is_explained() {
        assert_eq!(largest_response(&[-1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(largest_response(&[-1.0]), 0);
    }

    #[test]
    fn the_median_ignores_the_order_and_one_outlier() {
        assert_eq!(median(vec![3.0, 1.0, 1000.0]), 3.0);
        assert_eq!(median(vec![4.0, 1.0, 1000.0, 2.0]), 3.0);
        assert_eq!(median(vec![5.0]), 5.0);
        assert!(median(vec![]).is_nan());
    }
}

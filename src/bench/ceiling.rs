//! What a device could do at most.

use super::datasheet;
use crate::backend::profile::{Hardware, KernelTime};

/// Rates of matrix products; shares are of the largest that counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ceiling {
    /// TFLOP/s measured elsewhere.
    pub given: Option<f64>,
    /// TFLOP/s of the datasheet.
    pub datasheet: Option<f64>,
    /// What the layers' own kernels reach on a large product.
    pub products: Vec<ProductRate>,
}

/// The rate of a kernel on a square matrix product.
#[derive(Clone, Debug, PartialEq)]
pub struct ProductRate {
    /// What ran.
    pub kernel: String,
    /// Side of the matrices.
    pub side: usize,
    /// TFLOP/s.
    pub tflops: f64,
}

impl ProductRate {
    pub(super) fn new(time: KernelTime, side: usize) -> Self {
        let flops = 2.0 * (side as f64).powi(3);
        ProductRate { kernel: time.kernel, side, tflops: flops / time.seconds / 1e12 }
    }
}

impl Ceiling {
    pub(super) fn new(given: Option<f64>, hardware: &Hardware, products: Vec<ProductRate>) -> Self {
        let datasheet = datasheet::find(&hardware.name).and_then(|sheet| sheet.tflops(hardware.element));
        Ceiling { given, datasheet, products }
    }

    /// The fastest of the kernels.
    pub fn product(&self) -> Option<&ProductRate> {
        self.products.iter().max_by(|a, b| a.tflops.total_cmp(&b.tflops))
    }

    /// TFLOP/s that shares are of, and where they come from: the larger of what was measured elsewhere (without it, of the
    /// datasheet) and of the kernels' own rate.
    pub fn tflops(&self) -> Option<(f64, &'static str)> {
        let elsewhere = match (self.given, self.datasheet) {
            (Some(given), _) => Some((given, "--ceiling")),
            (None, datasheet) => datasheet.map(|tflops| (tflops, "datasheet")),
        };
        let own = self.product().map(|product| (product.tflops, "own product"));
        elsewhere.into_iter().chain(own).max_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// Share of the ceiling.
    pub fn share(&self, tflops: f64) -> Option<f64> {
        self.tflops().map(|(ceiling, _)| tflops / ceiling)
    }
}

/// The rate of a copy within the device's memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CopyRate {
    /// Bytes that were copied.
    pub bytes: usize,
    /// GB/s, counting bytes read and bytes written.
    pub gigabytes_per_second: f64,
    /// The datasheet's bandwidth.
    pub datasheet: Option<f64>,
}

impl CopyRate {
    pub(super) fn new(hardware: &Hardware, bytes: usize, seconds: f64) -> Self {
        CopyRate {
            bytes,
            gigabytes_per_second: 2.0 * bytes as f64 / seconds / 1e9,
            datasheet: datasheet::find(&hardware.name).map(|sheet| sheet.gigabytes_per_second),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hardware(name: &str, element: &'static str) -> Hardware {
        Hardware {
            name: name.to_owned(),
            element,
            element_bytes: 2,
            repeats: 1,
            product_side: 1,
            copy_bytes: 1,
        }
    }

    fn products(rates: &[f64]) -> Vec<ProductRate> {
        rates.iter().map(|&tflops| ProductRate { kernel: tflops.to_string(), side: 8, tflops }).collect()
    }

    #[test]
    fn shares_are_of_the_larger_of_two_ceilings() {
        let h200 = hardware("NVIDIA H200", "f16");
        let ceiling = |given, rates: &[f64]| Ceiling::new(given, &h200, products(rates));
        assert_eq!(ceiling(None, &[100.0, 500.0]).tflops(), Some((989.4, "datasheet")));
        assert_eq!(ceiling(Some(790.0), &[500.0]).tflops(), Some((790.0, "--ceiling")));
        assert_eq!(ceiling(Some(400.0), &[100.0, 500.0, 200.0]).tflops(), Some((500.0, "own product")));
        assert_eq!(ceiling(Some(400.0), &[100.0, 500.0]).product().unwrap().kernel, "500");
        assert_eq!(ceiling(Some(800.0), &[]).share(200.0), Some(0.25));
        let unknown = Ceiling::new(None, &hardware("a processor", "f32"), Vec::new());
        assert_eq!((unknown.tflops(), unknown.share(1.0)), (None, None));
    }

    #[test]
    fn rates_are_operations_and_bytes_over_time() {
        let product = ProductRate::new(KernelTime { kernel: String::new(), seconds: 0.5 }, 1000);
        assert!((product.tflops - 4e-3).abs() < 1e-12);
        let copy = CopyRate::new(&hardware("NVIDIA H200", "f16"), 1_000_000_000, 0.5);
        assert_eq!((copy.gigabytes_per_second, copy.datasheet), (4.0, Some(4800.0)));
    }
}

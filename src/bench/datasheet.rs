//! What vendors' datasheets say of GPUs.

/// Rates of a product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Datasheet {
    /// Words that the product's name holds, all of them.
    words: &'static [&'static str],
    /// Dense float16 or bfloat16 on tensor cores with float32 sums.
    tensor_tflops: f64,
    /// Plain float32.
    float_tflops: f64,
    /// Bandwidth of the memory.
    pub gigabytes_per_second: f64,
}

impl Datasheet {
    const fn new(
        words: &'static [&'static str],
        tensor_tflops: f64,
        float_tflops: f64,
        gigabytes_per_second: f64,
    ) -> Self {
        Datasheet { words, tensor_tflops, float_tflops, gigabytes_per_second }
    }

    /// TFLOP/s for elements of this type, without sparsity.
    pub fn tflops(&self, element: &str) -> Option<f64> {
        match element {
            // f8 is float16 on the way forward, and a row of a table is one number.
            "f16" | "bf16" | "f8" => Some(self.tensor_tflops),
            "f32" => Some(self.float_tflops),
            _ => None,
        }
    }
}

/// The first entry whose words are all in the name counts, so special models come before the plain one.
const DATASHEETS: [Datasheet; 26] = [
    Datasheet::new(&["B200"], 2250.0, 75.0, 8000.0),
    Datasheet::new(&["GH200"], 989.4, 66.9, 4000.0),
    Datasheet::new(&["H200", "NVL"], 835.5, 60.3, 4800.0),
    Datasheet::new(&["H200"], 989.4, 66.9, 4800.0),
    Datasheet::new(&["H100", "NVL"], 835.5, 60.3, 3938.0),
    Datasheet::new(&["H100", "PCIe"], 756.5, 51.2, 2039.0),
    Datasheet::new(&["H100", "HBM3"], 989.4, 66.9, 3352.0),
    Datasheet::new(&["A100", "SXM4", "80GB"], 312.0, 19.5, 2039.0),
    Datasheet::new(&["A100", "PCIe", "80GB"], 312.0, 19.5, 1935.0),
    Datasheet::new(&["A100"], 312.0, 19.5, 1555.0),
    Datasheet::new(&["A30"], 165.0, 10.3, 933.0),
    Datasheet::new(&["A40"], 149.7, 37.4, 696.0),
    Datasheet::new(&["A10"], 125.0, 31.2, 600.0),
    Datasheet::new(&["L4"], 121.0, 30.3, 300.0),
    Datasheet::new(&["L40S"], 362.0, 91.6, 864.0),
    Datasheet::new(&["L40"], 181.0, 90.5, 864.0),
    Datasheet::new(&["RTX", "6000", "Ada"], 364.2, 91.1, 960.0),
    Datasheet::new(&["RTX", "A6000"], 154.8, 38.7, 768.0),
    Datasheet::new(&["RTX", "5090"], 209.5, 104.8, 1792.0),
    Datasheet::new(&["RTX", "5080"], 112.6, 56.3, 960.0),
    Datasheet::new(&["RTX", "4090"], 165.2, 82.6, 1008.0),
    Datasheet::new(&["RTX", "4080"], 97.5, 48.7, 717.0),
    Datasheet::new(&["RTX", "4070"], 58.3, 29.1, 504.0),
    Datasheet::new(&["RTX", "3090"], 71.0, 35.6, 936.0),
    Datasheet::new(&["RTX", "3080"], 59.5, 29.8, 760.0),
    Datasheet::new(&["RTX", "3060"], 25.3, 12.7, 360.0),
];

/// Words that make another product, or a part of one, of the same name.
const OTHERS: [&str; 5] = ["MIG", "Laptop", "Ti", "SUPER", "D"];

/// The datasheet of a product by its name, as the driver gives it.
pub fn find(name: &str) -> Option<&'static Datasheet> {
    let words: Vec<&str> = name.split([' ', '-', '(', ')', ',']).collect();
    let has = |word: &str| words.iter().any(|other| other.eq_ignore_ascii_case(word));
    if OTHERS.iter().any(|word| words.contains(word)) {
        return None;
    }
    DATASHEETS.iter().find(|sheet| sheet.words.iter().all(|word| has(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_drivers_give_them_are_told_apart() {
        for (name, tensor, bandwidth) in [
            ("NVIDIA H200", 989.4, 4800.0),
            ("NVIDIA H100 80GB HBM3", 989.4, 3352.0),
            ("NVIDIA H100 PCIe", 756.5, 2039.0),
            ("NVIDIA H100 NVL", 835.5, 3938.0),
            ("NVIDIA GH200 480GB", 989.4, 4000.0),
            ("NVIDIA A100-SXM4-40GB", 312.0, 1555.0),
            ("NVIDIA A100-SXM4-80GB", 312.0, 2039.0),
            ("NVIDIA A100 80GB PCIe", 312.0, 1935.0),
            ("NVIDIA A10", 125.0, 600.0),
            ("NVIDIA L4", 121.0, 300.0),
            ("NVIDIA L40S", 362.0, 864.0),
            ("NVIDIA GeForce RTX 4090", 165.2, 1008.0),
        ] {
            let sheet = find(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(
                (sheet.tflops("f16"), sheet.gigabytes_per_second),
                (Some(tensor), bandwidth),
                "{name}"
            );
        }
        for name in [
            "",
            "host execution",
            "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
            "NVIDIA GeForce RTX 4090 D",
            "NVIDIA A1000",
        ] {
            assert_eq!(find(name), None, "{name}");
        }
        assert_eq!(find("NVIDIA H200").unwrap().tflops("f32"), Some(66.9));
        assert_eq!(find("NVIDIA H200").unwrap().tflops("f8"), Some(989.4));
        assert_eq!(find("NVIDIA H200").unwrap().tflops("f64"), None);
    }
}

//! Small networks in safetensors files.

// Every test binary uses its own part of this.
#![allow(dead_code)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use vggx::network::PreprocessingOverrides;
use vggx::weights::{WeightError, Weights};

/// Convolutions and max-pools of the four plain VGGs.
pub const VARIANTS: [(&str, [usize; 5]); 4] = [
    ("vgg11", [1, 1, 2, 2, 2]),
    ("vgg13", [2, 2, 2, 2, 2]),
    ("vgg16", [2, 2, 3, 3, 3]),
    ("vgg19", [2, 2, 4, 4, 4]),
];

/// Tensors by name, and metadata; saved in any element type.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    pub metadata: HashMap<String, String>,
}

impl Model {
    /// Random weights under torchvision's names: `blocks` are the widths of the convolutions between pools; `dense`
    /// those of the dense layers, on a grid of `side` × `side`.
    pub fn vgg(blocks: &[Vec<usize>], side: usize, dense: &[usize], seed: u64) -> Self {
        let mut model = Self::default();
        let mut random = Random(seed);
        let (mut number, mut channels) = (0, 3);
        for block in blocks {
            for &outputs in block {
                let name = format!("features.{number}");
                model.add(&name, &[outputs, channels, 3, 3], &mut random);
                (number, channels) = (number + 2, outputs);
            }
            number += 1;
        }
        let mut inputs = channels * side * side;
        for (index, &outputs) in dense.iter().enumerate() {
            model.add(&format!("classifier.{}", 3 * index), &[outputs, inputs], &mut random);
            inputs = outputs;
        }
        model
    }

    /// Two convolutions with a pool after each, 3 → 4 → 5 channels, without a classifier.
    pub fn tiny(seed: u64) -> Self {
        Self::vgg(&[vec![4], vec![5]], 0, &[], seed)
    }

    /// The same with a classifier 5·2·2 → 6 → 7 → 8.
    pub fn tiny_classifier(seed: u64) -> Self {
        Self::vgg(&[vec![4], vec![5]], 2, &[6, 7, 8], seed)
    }

    fn add(&mut self, layer: &str, shape: &[usize], random: &mut Random) {
        let scale = (2.0 / shape[1..].iter().product::<usize>() as f32).sqrt();
        let count = shape.iter().product();
        let weight = (0..count).map(|_| scale * random.next()).collect();
        let bias = (0..shape[0]).map(|_| 0.1 * random.next()).collect();
        self.set(&format!("{layer}.weight"), shape, weight);
        self.set(&format!("{layer}.bias"), &shape[..1], bias);
    }

    pub fn set(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        assert_eq!(values.len(), shape.iter().product::<usize>());
        self.tensors.insert(name.to_owned(), (shape.to_vec(), values));
    }

    /// A tensor of this shape whose values do not matter.
    pub fn with(mut self, name: &str, shape: &[usize]) -> Self {
        self.set(name, shape, vec![0.5; shape.iter().product()]);
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        assert!(self.tensors.remove(name).is_some(), "{name}");
        self
    }

    pub fn renamed(mut self, from: &str, to: &str) -> Self {
        let tensor = self.tensors.remove(from).expect(from);
        self.tensors.insert(to.to_owned(), tensor);
        self
    }

    pub fn with_metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    /// torchvision's names to timm's, for three dense layers on a grid of `side` × `side`.
    pub fn timm(mut self, side: usize) -> Self {
        let names = [
            ("classifier.0", "pre_logits.fc1"),
            ("classifier.3", "pre_logits.fc2"),
            ("classifier.6", "head.fc"),
        ];
        for (index, (from, to)) in names.into_iter().enumerate() {
            for suffix in ["weight", "bias"] {
                self = self.renamed(&format!("{from}.{suffix}"), &format!("{to}.{suffix}"));
            }
            let side = if index == 0 { side } else { 1 };
            let (shape, _) = self.tensors.get_mut(&format!("{to}.weight")).expect(to);
            if index < 2 {
                *shape = vec![shape[0], shape[1] / (side * side), side, side];
            }
        }
        self
    }

    /// Patterns shaped like every weight, under these component names.
    pub fn patterns(&self, components: &[&str]) -> Self {
        let mut patterns = Self::default();
        for (name, (shape, values)) in &self.tensors {
            let Some(layer) = name.strip_suffix(".weight") else {
                continue;
            };
            for (index, component) in components.iter().enumerate() {
                let values = values.iter().map(|value| value + index as f32).collect();
                patterns.set(&format!("{layer}.{component}"), shape, values);
            }
        }
        patterns
    }

    pub fn bytes(&self, dtype: Dtype) -> Vec<u8> {
        self.mixed_bytes(|_| dtype)
    }

    pub fn mixed_bytes(&self, dtype: impl Fn(&str) -> Dtype) -> Vec<u8> {
        let encoded: BTreeMap<&str, (Dtype, Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(name, (_, values))| {
                let dtype = dtype(name);
                (name.as_str(), (dtype, encode(dtype, values)))
            })
            .collect();
        let views = self.tensors.iter().map(|(name, (shape, _))| {
            let (dtype, bytes) = &encoded[name.as_str()];
            (name, TensorView::new(*dtype, shape.clone(), bytes).expect(name))
        });
        let metadata = (!self.metadata.is_empty()).then(|| self.metadata.clone());
        safetensors::serialize(views, metadata).expect("a valid model")
    }

    pub fn save(&self, folder: &Path, name: &str, dtype: Dtype) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, self.bytes(dtype)).expect("a writable folder");
        path
    }

    /// Saves in float32 and opens.
    pub fn open(&self, folder: &Path) -> Result<Weights, WeightError> {
        open(&self.save(folder, "weights.safetensors", Dtype::F32))
    }
}

pub fn open(path: &Path) -> Result<Weights, WeightError> {
    Weights::open(path, &PreprocessingOverrides::default())
}

fn encode(dtype: Dtype, values: &[f32]) -> Vec<u8> {
    match dtype {
        Dtype::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Dtype::F16 => values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
        Dtype::BF16 => values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
        other => vec![0; values.len() * other.bitsize() / 8],
    }
}

/// A file of any header and data, without the checks of a proper writer.
pub fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// Uniform numbers in ±1 from a 64-bit linear congruential generator (Knuth's MMIX constants).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// A file of the shared data; `None`, said on standard error, where there are none.
pub fn shared(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("VGGX_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    present(folder.join("data").join(name))
}

/// A bundled file of this checkout.
pub fn bundled(name: &str) -> Option<PathBuf> {
    present(Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(name))
}

fn present(path: PathBuf) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path);
    }
    assert!(
        std::env::var_os("VGGX_REQUIRE_SHARED").is_none_or(|value| value != "1"),
        "{} is missing",
        path.display()
    );
    eprintln!("skipped: {} is missing", path.display());
    None
}

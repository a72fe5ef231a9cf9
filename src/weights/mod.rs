//! A network's weights: safetensors files, mapped into memory and checked before use.
//!
//! ```no_run
//! use vggx::network::PreprocessingOverrides;
//! use vggx::weights::{Weights, bundled};
//!
//! let path = bundled::weights().expect("no bundled weights");
//! let weights = Weights::open(&path, &PreprocessingOverrides::default())?;
//! weights.check_finite()?;
//! println!("{}", weights.network().architecture);
//! # Ok::<(), vggx::weights::WeightError>(())
//! ```

pub mod bundled;
mod error;
mod fingerprint;
pub(crate) mod plan;
mod tensor;
mod tensor_file;
mod tensor_writer;
mod write;

use std::path::Path;
use std::sync::OnceLock;

pub use error::{WeightError, WeightProblem};
pub(crate) use error::{printable, shape_text};
pub use fingerprint::{Fingerprint, FingerprintError, LayerFingerprint};
pub use tensor::{ElementType, Tensor};
pub(crate) use tensor_file::Entry;
pub use tensor_file::{TensorDescription, TensorFile};
pub(crate) use tensor_writer::{PlannedTensor, TensorWriter};
pub use write::{NewTensor, write_tensors};

use crate::network::{Network, Preprocessing, PreprocessingOverrides};

/// The weights and biases of a network, in a mapped file.
///
/// The network is recognised from names and shapes: torchvision's names (`features.0.weight` \[out, in, 3, 3\],
/// `classifier.0.weight` \[out, in\], with biases) or timm's (`pre_logits.fc1.weight` \[out, channels, side, side\],
/// `pre_logits.fc2.weight`, `head.fc.weight`), of any widths. The numbers of successive convolutions differ by 2, or
/// by 3 where a max-pool lies between them; a max-pool follows the last one. A file without dense layers is a headless
/// network. Every tensor of the file must belong to a layer: files with others are refused.
#[derive(Debug)]
pub struct Weights {
    file: TensorFile,
    network: Network,
    parameters: Vec<Parameters>,
    fingerprint: OnceLock<Fingerprint>,
}

/// The tensors of one layer.
#[derive(Debug)]
struct Parameters {
    weight: Stored,
    bias: Stored,
}

/// A tensor of the file under the shape that its layer has.
#[derive(Debug)]
pub(crate) struct Stored {
    name: String,
    element: ElementType,
    shape: Vec<usize>,
    entry: Entry,
}

impl Stored {
    /// Looks a tensor up; `None` if the file has none of this name.
    pub(crate) fn find(
        file: &TensorFile,
        name: &str,
        shape: Vec<usize>,
    ) -> Option<Result<Self, WeightError>> {
        let entry = file.entry(name)?.clone();
        Some(file.element(name, &entry).map(|element| Self { name: name.to_owned(), element, shape, entry }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The shape that the file states.
    pub(crate) fn file_shape(&self) -> &[usize] {
        &self.entry.shape
    }

    pub(crate) fn tensor<'a>(&'a self, file: &'a TensorFile) -> Tensor<'a> {
        file.view(&self.name, self.element, &self.shape, &self.entry)
    }
}

impl Weights {
    /// Maps a file, recognises its network and checks the names, shapes and element types of all tensors, but not
    /// their values: see [`Weights::check_finite`]. The preprocessing is that of the file's metadata under
    /// `overrides`, torchvision's where there are none.
    ///
    /// # Errors
    /// When the file cannot be read as safetensors, is not a plain VGG, or has metadata that cannot be used.
    pub fn open(path: &Path, overrides: &PreprocessingOverrides) -> Result<Self, WeightError> {
        let file = TensorFile::open(path)?;
        let refuse = |problem| WeightError::new(path, problem);
        let plan = plan::recognise(&file).map_err(refuse)?;
        let preprocessing =
            Preprocessing::resolve(file.metadata(), overrides).map_err(|error| refuse(error.into()))?;
        let network = Network::new(plan.layers, preprocessing);
        let parameters = network
            .parametric()
            .zip(&plan.parameters)
            .map(|((_, layer), names)| {
                Ok(Parameters {
                    weight: find(&file, &names.weight, layer.weight_shape())?,
                    bias: find(&file, &names.bias, vec![layer.outputs()])?,
                })
            })
            .collect::<Result<_, WeightError>>()?;
        Ok(Self { file, network, parameters, fingerprint: OnceLock::new() })
    }

    /// Checks every weight and bias, on all cores; reads the whole file.
    ///
    /// # Errors
    /// Names the first tensor that is not finite and its first such element.
    pub fn check_finite(&self) -> Result<(), WeightError> {
        (0..self.parameters.len())
            .flat_map(|layer| [self.weight(layer), self.bias(layer)])
            .try_for_each(|tensor| refuse_non_finite(&self.file, tensor))
    }

    /// What the weights are of.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The weight of the n-th layer that has one, in the order of [`Network::parametric`], from 0. Its shape is the
    /// layer's, also where the file has timm's.
    ///
    /// # Panics
    /// When the network has no such layer.
    pub fn weight(&self, layer: usize) -> Tensor<'_> {
        self.parameters[layer].weight.tensor(&self.file)
    }

    /// The bias of the n-th layer that has one, shape `[outputs]`; see [`Weights::weight`].
    ///
    /// # Panics
    /// When the network has no such layer.
    pub fn bias(&self, layer: usize) -> Tensor<'_> {
        self.parameters[layer].bias.tensor(&self.file)
    }

    /// Identifies the weights; the first call reads them all, on all cores.
    pub fn fingerprint(&self) -> &Fingerprint {
        self.fingerprint
            .get_or_init(|| Fingerprint::of((0..self.parameters.len()).map(|layer| self.weight(layer))))
    }

    /// A short name for these weights and biases, for records of runs: a hash of the biases' bytes and of the
    /// [fingerprint](Weights::fingerprint)'s norms and projections, which tells apart copies that differ in rounding.
    pub fn digest(&self) -> String {
        let biases: Vec<&[u8]> = (0..self.parameters.len()).map(|layer| self.bias(layer).bytes()).collect();
        self.fingerprint().digest(&biases)
    }

    /// The file they are in.
    pub fn file(&self) -> &TensorFile {
        &self.file
    }
}

/// A tensor that the plan has already found.
fn find(file: &TensorFile, name: &str, shape: Vec<usize>) -> Result<Stored, WeightError> {
    Stored::find(file, name, shape).unwrap_or_else(|| {
        Err(WeightError::new(
            file.path(),
            WeightProblem::MissingTensor {
                tensor: name.to_owned(),
                hint: "the plan of layers needs it".to_owned(),
            },
        ))
    })
}

pub(crate) fn refuse_non_finite(file: &TensorFile, tensor: Tensor<'_>) -> Result<(), WeightError> {
    let Some(index) = tensor.first_non_finite() else {
        return Ok(());
    };
    let mut value = [0.0];
    tensor.read(index, &mut value);
    Err(WeightError::new(
        file.path(),
        WeightProblem::NotFinite { tensor: tensor.name().to_owned(), index, value: value[0] },
    ))
}

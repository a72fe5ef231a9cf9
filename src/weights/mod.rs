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

mod assemble;
pub mod bundled;
mod error;
mod fingerprint;
pub(crate) mod import;
mod input;
mod mapped;
mod save;
mod stored;
mod tensor;
mod tensor_file;
mod tensor_writer;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use error::{WeightError, WeightProblem};
pub(crate) use error::{on_one_line, printable, shape_text};
pub use fingerprint::{Fingerprint, FingerprintError, LayerFingerprint};
pub use import::Format;
pub(crate) use stored::Stored;
pub use tensor::{ElementType, Tensor};
pub(crate) use tensor_file::Entry;
pub use tensor_file::{TensorDescription, TensorFile};
pub(crate) use tensor_writer::{PlannedTensor, TensorWriter};
pub use write::{NewTensor, write_tensors};

use crate::network::{Network, PreprocessingError, PreprocessingOverrides, VARIANTS};
use assemble::Parameters;
use import::InputConvention;

/// The weights and biases of a network, mapped from a file or made of one.
///
/// Read are safetensors, PyTorch's, Keras's, ONNX and NumPy files, see [`Format`]. In files of tensors without a
/// description the network is recognised from names and shapes: torchvision's names (`features.0.weight` \[out, in, 3, 3\],
/// `classifier.0.weight` \[out, in\], with biases) or timm's (`pre_logits.fc1.weight` \[out, channels, side, side\],
/// `pre_logits.fc2.weight`, `head.fc.weight`), of any widths, below any prefix. The numbers of successive convolutions differ by
/// 2, or by 3 where a max-pool lies between them, and by one more with batch normalisation, which is folded into the
/// convolution; a max-pool follows the last one. A file without dense layers is a headless network. Every tensor of such a
/// file must belong to a layer: files with others are refused.
///
/// What needs no change stays in the mapped file; the rest is in memory.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    format: Format,
    network: Network,
    parameters: Vec<Parameters>,
    metadata: BTreeMap<String, String>,
    labels: Option<Vec<String>>,
    extent: Option<(usize, usize)>,
    notes: Vec<String>,
    input: input::Input,
    fingerprint: OnceLock<Fingerprint>,
}

/// Rows and columns that images are cut to unless somebody says otherwise.
const USUAL_EXTENT: (usize, usize) = (224, 224);

impl Weights {
    /// Opens a file, recognises its network and checks the names, shapes and element types of all tensors, but not
    /// their values: see [`Weights::check_finite`]. The preprocessing is that of the file under `overrides`; torchvision's
    /// where a safetensors or PyTorch file says nothing.
    ///
    /// # Errors
    /// When the file cannot be read, is not a VGG, has metadata that cannot be used, or says nothing about the
    /// preprocessing where no habit does either.
    pub fn open(path: &Path, overrides: &PreprocessingOverrides) -> Result<Self, WeightError> {
        let weights = Self::describe(path, overrides)?;
        match &weights.input.unknown {
            None => Ok(weights),
            Some(reason) => {
                let problem = PreprocessingError::Unknown { reason: reason.clone() };
                Err(WeightError::new(path, problem.into()))
            }
        }
    }

    /// As [`Weights::open`], to show what is in a file: a preprocessing that is not known is torchvision's.
    ///
    /// # Errors
    /// As [`Weights::open`], but for this.
    pub fn describe(path: &Path, overrides: &PreprocessingOverrides) -> Result<Self, WeightError> {
        let refuse = |problem| WeightError::new(path, problem);
        let (format, file_bytes, mut imported) = import::read(path)?;
        let most = file_bytes.saturating_add(imported.beside).saturating_mul(format.ratio());
        let mut assembled = assemble::assemble(std::mem::take(&mut imported.steps), most).map_err(refuse)?;
        let input = input::resolve(&imported, &assembled.input, overrides).map_err(refuse)?;
        let network = Network::new(std::mem::take(&mut assembled.layers), input.preprocessing);
        // Others may have another word for it.
        if format == Format::Safetensors {
            check_architecture(&imported.metadata, &network).map_err(refuse)?;
        }
        let outputs = network.outputs();
        let mut notes = imported.notes;
        notes.extend(assembled.notes);
        if let InputConvention::Assumed { reason, .. } = &imported.input
            && *overrides == PreprocessingOverrides::default()
        {
            notes.push(format!("the file does not say how pixels become the input: {reason}"));
        }
        let given = *overrides != PreprocessingOverrides::default();
        if let Some(step) = assembled.input.last().filter(|_| given) {
            notes.push(format!(
                "what was given says how pixels become the file's input; its own operations up to {step} come after that"
            ));
        }
        // Files that say what they are, as ours do, were read by somebody before.
        let is_named = matches!(format, Format::Safetensors | Format::Torch | Format::TorchLegacy);
        if is_named && network.architecture == "custom" && !imported.metadata.contains_key("architecture") {
            notes.push(
                "names do not say what lies between layers: a ReLU after each, 2×2 max-pools where a number is left out, strides of 1 \
                 and ε of 1e-5 are assumed; export the network to ONNX if it has others"
                    .to_owned(),
            );
        }
        if let Some((height, width)) = imported.extent.filter(|extent| *extent != USUAL_EXTENT) {
            notes.push(format!("it was made for images of {height}×{width} (--resize, --crop)"));
        }
        // They quote the file.
        let notes = notes.iter().map(|note| on_one_line(note)).collect();
        let labels = imported.labels.filter(|labels| labels.len() == outputs && network.has_classifier());
        let labels = labels.map(|labels| labels.iter().map(|label| on_one_line(label)).collect());
        Ok(Self {
            path: path.to_owned(),
            format,
            parameters: assembled.parameters,
            metadata: imported.metadata,
            labels,
            network,
            extent: imported.extent,
            notes,
            input,
            fingerprint: OnceLock::new(),
        })
    }

    /// Checks every weight and bias, on all cores; reads the whole file.
    ///
    /// # Errors
    /// Names the first tensor that is not finite and its first such element.
    pub fn check_finite(&self) -> Result<(), WeightError> {
        (0..self.parameters.len())
            .flat_map(|layer| [self.weight(layer), self.bias(layer)])
            .try_for_each(|tensor| refuse_non_finite(&self.path, tensor))
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
        self.parameters[layer].weight.tensor()
    }

    /// The bias of the n-th layer that has one, shape `[outputs]`; see [`Weights::weight`].
    ///
    /// # Panics
    /// When the network has no such layer.
    pub fn bias(&self, layer: usize) -> Tensor<'_> {
        self.parameters[layer].bias.tensor()
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
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of file it is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The file's texts.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The names of the outputs, where the file has one for each.
    pub fn labels(&self) -> Option<&[String]> {
        self.labels.as_deref()
    }

    /// Rows and columns of the images that the network was made for, where the file says so. Others work too.
    pub fn extent(&self) -> Option<(usize, usize)> {
        self.extent
    }

    /// Whether the file or its kind tells the preprocessing; where not, somebody has to.
    pub fn has_preprocessing(&self) -> bool {
        self.input.unknown.is_none()
    }

    /// Where the preprocessing comes from, as in "from the file's metadata".
    pub fn preprocessing_origin(&self) -> &str {
        &self.input.origin
    }

    /// What of the file the n-th layer with weights was made of: names of tensors, then what was folded into them.
    ///
    /// # Panics
    /// When the network has no such layer.
    pub fn origins(&self, layer: usize) -> &[String] {
        &self.parameters[layer].origins
    }

    /// What a user should know about how the file was read: sentences without a full stop.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

fn check_architecture(metadata: &BTreeMap<String, String>, network: &Network) -> Result<(), WeightProblem> {
    let Some(stated) = metadata.get("architecture") else {
        return Ok(());
    };
    let stated = stated.trim_matches('"').to_ascii_lowercase();
    let plain = stated.trim_end_matches("_bn");
    let Some((_, expected)) = VARIANTS.iter().find(|(name, _)| *name == plain) else {
        return Ok(());
    };
    let blocks = crate::network::blocks(&network.layers);
    if blocks == expected {
        return Ok(());
    }
    Err(WeightProblem::Architecture { stated, found: network.architecture.clone(), blocks })
}

pub(crate) fn refuse_non_finite(path: &Path, tensor: Tensor<'_>) -> Result<(), WeightError> {
    let Some(index) = tensor.first_non_finite() else {
        return Ok(());
    };
    let mut value = [0.0];
    tensor.read(index, &mut value);
    Err(WeightError::new(
        path,
        WeightProblem::NotFinite { tensor: tensor.name().to_owned(), index, value: value[0] },
    ))
}

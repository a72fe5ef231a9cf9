//! Why a file of weights was refused.

use std::path::{Path, PathBuf};

use crate::network::PreprocessingError;

/// A file of weights that cannot be used: which file, what is wrong with it, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", path.display(), on_one_line(&problem.to_string()))]
pub struct WeightError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: WeightProblem,
}

impl WeightError {
    pub(crate) fn new(path: &Path, problem: WeightProblem) -> Self {
        Self { path: path.to_owned(), problem }
    }
}

/// What is wrong with a file of weights.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightProblem {
    /// There is no such file.
    #[error("no such file")]
    Missing,
    /// The file may not be read.
    #[error("permission denied; the file must be readable")]
    PermissionDenied,
    /// A folder where a file is needed.
    #[error("this is a folder, not a file; name the file in it")]
    Folder,
    /// A pipe, socket or device, which cannot be mapped.
    #[error("not a regular file; weights are mapped into memory, so save them to a file first")]
    NotRegular,
    /// The operating system could not open or map the file.
    #[error("cannot be read: {0}")]
    Io(std::io::Error),
    /// No bytes at all.
    #[error("the file is empty; download or copy it again")]
    Empty,
    /// Another format of weights where a safetensors file is needed.
    #[error(
        "this is {found}, and a safetensors file is needed here; weights in any format are read with --weights, and \
         `vggx convert` makes safetensors of them"
    )]
    OtherFormat {
        /// The format, as the bytes tell.
        found: &'static str,
    },
    /// Fewer than the eight bytes every safetensors file starts with.
    #[error(
        "not a safetensors file nor one of the other formats of weights: {bytes} bytes are too few; download or copy it again"
    )]
    TooShort {
        /// Size of the file.
        bytes: u64,
    },
    /// The header is longer than any that is read.
    #[error(
        "not a safetensors file nor one of the other formats of weights, or a damaged one: its first 8 bytes announce a header of {bytes} bytes, \
         and {limit} are the most that is read"
    )]
    HeaderTooLarge {
        /// The length that the first eight bytes hold.
        bytes: u64,
        /// The longest header that is read.
        limit: u64,
    },
    /// The file ends within its header.
    #[error(
        "not a safetensors file, or a truncated one: it announces a header of {bytes} bytes and has {available} left; \
         download or copy it again"
    )]
    HeaderTruncated {
        /// The length that the first eight bytes hold.
        bytes: u64,
        /// Bytes after them.
        available: u64,
    },
    /// The header is not what the format asks for.
    #[error("the safetensors header is damaged: {}; download or copy the file again", printable(.0))]
    Header(String),
    /// The header describes more or fewer bytes than there are.
    #[error(
        "the header describes {described} bytes of tensors and the file has {available}: it is {}; \
         download or copy it again",
        if described > available { "truncated" } else { "damaged" }
    )]
    DataLength {
        /// Bytes that the header describes.
        described: u64,
        /// Bytes after the header.
        available: u64,
    },
    /// Not the file, but what stands for it.
    #[error("this is {found} and not the file itself; {remedy}")]
    StandIn {
        /// What it is.
        found: &'static str,
        /// How to get the file.
        remedy: &'static str,
    },
    /// A file of another program contradicts its own format.
    #[error("the file is damaged: {}; download or copy it again", printable(.0))]
    Damaged(String),
    /// A file of another program holds what could do harm or is unreasonable, so nothing of it is used.
    #[error("refused: {}", printable(.0))]
    Harmful(String),
    /// An operation of a network that is not a VGG's.
    #[error(
        "{}: {reason}; supported are sequential networks of 3×3 convolutions, ReLU, 2×2 max-pools, dense layers and batch \
         normalisation",
        printable(.name)
    )]
    Operation {
        /// Name of the layer or node.
        name: String,
        /// What is in the way.
        reason: String,
    },
    /// A type of element that is not read.
    #[error("tensor {} has elements of type {found}; supported are F32, F16 and BF16", printable(.tensor))]
    ElementType {
        /// Name of the tensor.
        tensor: String,
        /// Its type.
        found: String,
    },
    /// A tensor that the plan needs is not there.
    #[error("tensor {} is missing; {hint}", printable(.tensor))]
    MissingTensor {
        /// Name of the tensor.
        tensor: String,
        /// What the file has instead, or what to do.
        hint: String,
    },
    /// A tensor of the wrong shape.
    #[error("tensor {} has shape {}, expected {expected}", printable(.tensor), shape_text(.found))]
    Shape {
        /// Name of the tensor.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// What is needed.
        expected: String,
    },
    /// A tensor that belongs to no plain VGG.
    #[error(
        "tensor {}: {reason}; supported are VGG networks (3×3 convolutions, batch normalisation, ReLU, 2×2 max-pools, dense \
         layers) with torchvision's names (features.0.weight, classifier.0.weight) or timm's (pre_logits.fc1.weight, \
         head.fc.weight); other sequential ones, and other names: export the network to ONNX",
        printable(.tensor)
    )]
    Unsupported {
        /// Name of the tensor.
        tensor: String,
        /// What is in the way.
        reason: String,
    },
    /// The metadata name another network than the tensors make.
    #[error(
        "the metadata say architecture {stated}, but the tensors make {found} (convolutions between pools: {blocks:?}); \
         a tensor may be missing, or the metadata are wrong"
    )]
    Architecture {
        /// From the metadata.
        stated: String,
        /// From the tensors.
        found: String,
        /// Convolutions between pools.
        blocks: Vec<usize>,
    },
    /// The preprocessing in the metadata or on the command line cannot be used.
    #[error("preprocessing: {0}")]
    Preprocessing(#[from] PreprocessingError),
    /// An infinite or undefined number among the weights.
    #[error(
        "tensor {} is not finite: element {index} is {value}; the file is damaged or its training diverged",
        printable(.tensor)
    )]
    NotFinite {
        /// Name of the tensor.
        tensor: String,
        /// Index into the tensor, in row-major order.
        index: usize,
        /// NaN, inf or -inf.
        value: f32,
    },
}

/// A text without control characters: what a hostile file says must not reach a terminal as it is, nor begin a line.
pub(crate) fn on_one_line(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escaped = character.is_control();
            let plain = (!escaped).then_some(character);
            plain.into_iter().chain(escaped.then(|| character.escape_default()).into_iter().flatten())
        })
        .collect()
}

/// A text of the file in a message: on one line, without control characters, short.
pub(crate) fn printable(text: &str) -> String {
    const LONGEST: usize = 300;
    let start = text.char_indices().nth(LONGEST).map_or(text, |(end, _)| &text[..end]);
    let mut printable = on_one_line(start);
    if text.chars().nth(LONGEST).is_some() {
        printable.push('…');
    }
    printable
}

/// A shape in a message; damaged headers can list millions of extents.
pub(crate) fn shape_text(shape: &[usize]) -> String {
    match shape.get(..8) {
        Some(start) if shape.len() > 8 => {
            format!("{start:?} and {} more extents", shape.len() - 8)
        }
        _ => format!("{shape:?}"),
    }
}

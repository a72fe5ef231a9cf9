//! What an importer makes of a file.

use std::collections::BTreeMap;

use super::step::Step;
use crate::network::{ChannelOrder, Preprocessing};

/// A network as a file describes it, before it is checked and folded into layers.
#[derive(Debug)]
pub(crate) struct Imported {
    /// The operations in the order of the forward pass.
    pub(crate) steps: Vec<Step>,
    /// How pixels become the input of the first step.
    pub(crate) input: InputConvention,
    /// Texts of the file that are worth keeping.
    pub(crate) metadata: BTreeMap<String, String>,
    /// Names of the outputs, where the file has them.
    pub(crate) labels: Option<Vec<String>>,
    /// Rows and columns of the images that the network was made for, where the file says so.
    pub(crate) extent: Option<(usize, usize)>,
    /// Bytes of the other files that it names.
    pub(crate) beside: usize,
    /// What a user should be told: sentences without a full stop, starting small.
    pub(crate) notes: Vec<String>,
}

/// What a file says about the preprocessing in front of its first step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum InputConvention {
    /// The metadata `channel_order`, `pixel_scale`, `mean` and `std` count; torchvision's preprocessing where there are none.
    Metadata,
    /// The file does not say it, its kind does: Keras's VGG, say.
    Assumed {
        /// What is used.
        preprocessing: Preprocessing,
        /// Why, as in "Keras's VGG16 takes Caffe's input".
        reason: String,
    },
    /// Operations of the file are applied to pixels of 0 to `white`.
    Pixels {
        /// 255 or 1.
        white: f32,
        /// Which colour the file takes first.
        channel_order: ChannelOrder,
        /// What the file says, as in "the graph divides by 255".
        reason: String,
    },
    /// Nothing is known: the user has to say it.
    Unknown {
        /// Why, as in "the graph starts with a convolution".
        reason: String,
    },
}

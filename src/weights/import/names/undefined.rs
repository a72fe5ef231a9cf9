//! torchvision's `vgg16_features` (`VGG16_Weights.IMAGENET1K_FEATURES`): the features of the Caffe network, and a classifier whose
//! every number is NaN.

use super::super::super::error::WeightProblem;
use super::super::imported::InputConvention;
use super::Tensors;
use crate::network::{ChannelOrder, Preprocessing};

/// Takes the classifier away if no number of it is one; says whether it did.
pub(super) fn classifier(tensors: &mut Tensors, notes: &mut Vec<String>) -> Result<bool, WeightProblem> {
    let names: Vec<String> =
        tensors.names.iter().filter(|name| name.starts_with("classifier.")).cloned().collect();
    let mut read = Vec::new();
    let mut undefined = true;
    for name in &names {
        let Some(array) = tensors.arrays.remove(name) else { continue };
        let (array, all_nan) = array.look_for_numbers()?;
        undefined &= all_nan;
        read.push((name.clone(), array));
        if !undefined {
            break;
        }
    }
    if undefined {
        notes.push(
            "every number of the classifier is NaN, so it is left out: the network is used without a classifier".to_owned(),
        );
    } else {
        tensors.arrays.extend(read);
    }
    Ok(undefined)
}

/// torchvision's transforms for these weights: pixels of 0 to 255 less Caffe's mean, in the order red, green, blue.
pub(super) fn caffe_input() -> InputConvention {
    InputConvention::Assumed {
        preprocessing: Preprocessing {
            channel_order: ChannelOrder::Rgb,
            pixel_scale: 1.0,
            mean: [0.48235, 0.45882, 0.40784],
            std: [1.0 / 255.0; 3],
        },
        reason: "torchvision's for the features of Caffe's network, which a classifier of NaN goes with"
            .to_owned(),
    }
}

//! What commands that read moments share.

use super::exit::Failure;
use crate::network::Preprocessing;
use crate::output::path_text;
use crate::patterns::MomentFile;
use crate::weights::Weights;

/// Patterns are for inputs prepared as the images were that they are learnt from, and merged moments say how.
pub fn check_preprocessing(moments: &MomentFile, weights: &Weights) -> Result<(), Failure> {
    let learnt = moments.preprocessing();
    if *learnt == weights.network().preprocessing {
        return Ok(());
    }
    let Preprocessing { channel_order, pixel_scale, mean, std } = learnt;
    let three = |[a, b, c]: &[f32; 3]| format!("{a},{b},{c}");
    Err(Failure::Run(format!(
        "moments {} are of images with another preprocessing than this call's; give the options they were learnt with: \
         --channel-order {channel_order} --pixel-scale {pixel_scale} --mean {} --std {}, or leave out those that you gave",
        path_text(moments.path()),
        three(mean),
        three(std)
    )))
}

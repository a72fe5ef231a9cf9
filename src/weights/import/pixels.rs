//! How pixels become a file's input, as far as its first operations tell.

use std::collections::BTreeMap;

use super::imported::InputConvention;
use super::step::{Operation, Step};
use crate::network::{ChannelOrder, Preprocessing};

/// Red, green and blue of ImageNet's mean, in units of white: torchvision's and Caffe's differ by less than the tolerance.
const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const MEAN_TOLERANCE: f64 = 0.004;
/// Ranges that networks are trained with: from half of 0 to 1 to somewhat more than 0 to 255.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.5..=300.0;

/// What the operations at the input make of a pixel, in the order that the first layer sees.
#[derive(Debug, Clone, PartialEq)]
struct Preparation {
    scale: [f64; 3],
    shift: [f64; 3],
    reversed: bool,
    scales: bool,
}

/// How pixels have to be given to the first step, as its operations show; they are told in messages as those of `what`. A file
/// whose metadata say all of it, as ours do, is believed.
///
/// The means that are subtracted may show that it takes blue first.
pub(super) fn convention(
    steps: &[Step],
    is_8_bit: bool,
    metadata: &BTreeMap<String, String>,
    what: &str,
) -> InputConvention {
    if matches!(Preprocessing::from_metadata(metadata), Ok(Some(_))) {
        return InputConvention::Metadata;
    }
    let preparation = Preparation::of(steps);
    let whites: Vec<f64> = match is_8_bit {
        true => vec![255.0],
        false if preparation.scales => {
            [255.0, 1.0].into_iter().filter(|&white| preparation.is_plausible(white)).collect()
        }
        false => vec![],
    };
    let &[white] = &whites[..] else {
        let reason = match (preparation.scales, whites.is_empty()) {
            (false, _) => format!("{what} begins with a layer"),
            (true, true) => {
                format!("what {what} does to its input first fits neither pixels of 0 to 255 nor of 0 to 1")
            }
            (true, false) => {
                format!("what {what} does to its input first fits pixels of 0 to 255 and of 0 to 1")
            }
        };
        return InputConvention::Unknown { reason };
    };
    let mut reason = match is_8_bit {
        true => format!("{what} takes 8-bit pixels"),
        false => format!("{what} scales pixels of 0 to {white} itself"),
    };
    let channel_order = if preparation.takes_blue_first(white) {
        reason.push_str(", and subtracts ImageNet's means in the order blue, green, red");
        ChannelOrder::Bgr
    } else {
        ChannelOrder::Rgb
    };
    InputConvention::Pixels { white: white as f32, channel_order, reason }
}

impl Preparation {
    /// Of the steps before the first layer.
    fn of(steps: &[Step]) -> Self {
        let mut all = Self { scale: [1.0; 3], shift: [0.0; 3], reversed: false, scales: false };
        for step in steps {
            match &step.operation {
                Operation::ReverseChannels => {
                    all.scale.reverse();
                    all.shift.reverse();
                    all.reversed = !all.reversed;
                }
                Operation::Affine { scale, shift } => {
                    for channel in 0..3 {
                        // One number in all, or one a channel.
                        let of = |values: &[f64]| values.get(channel).or(values.first()).copied();
                        let (Some(scale), Some(shift)) = (of(scale), of(shift)) else { return all };
                        all.scale[channel] *= scale;
                        all.shift[channel] = all.shift[channel] * scale + shift;
                    }
                    all.scales = true;
                }
                _ => break,
            }
        }
        all
    }

    /// Whether pixels of 0 to `white` become numbers that networks take: around 0, neither tiny nor huge.
    fn is_plausible(&self, white: f64) -> bool {
        self.scale.iter().zip(self.shift).all(|(scale, shift)| {
            let (black, white) = (shift, scale * white + shift);
            PLAUSIBLE.contains(&(white - black).abs()) && black.min(white) <= 0.0 && black.max(white) >= 0.0
        })
    }

    fn takes_blue_first(&self, white: f64) -> bool {
        let mut means = [0, 1, 2].map(|channel| -self.shift[channel] / self.scale[channel] / white);
        // As the pixels came.
        if self.reversed {
            means.reverse();
        }
        means
            .iter()
            .rev()
            .zip(IMAGENET_MEAN)
            .all(|(mean, red_first)| (mean - red_first).abs() < MEAN_TOLERANCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affine(scale: &[f64], shift: &[f64]) -> Step {
        Step {
            name: "first".to_owned(),
            operation: Operation::Affine { scale: scale.to_vec(), shift: shift.to_vec() },
        }
    }

    fn reverse() -> Step {
        Step { name: "flip".to_owned(), operation: Operation::ReverseChannels }
    }

    /// The white that is found, and whether blue is taken first.
    fn found(steps: Vec<Step>, is_8_bit: bool) -> Option<(f32, bool)> {
        match convention(&steps, is_8_bit, &BTreeMap::new(), "the graph") {
            InputConvention::Pixels { white, channel_order, .. } => {
                Some((white, channel_order == ChannelOrder::Bgr))
            }
            InputConvention::Unknown { .. } => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn metadata_count_when_they_say_all_of_it() {
        let all = Preprocessing::CAFFE.to_json();
        let mut metadata: BTreeMap<String, String> =
            all.into_iter().map(|(key, value)| (key, value.to_string())).collect();
        assert_eq!(convention(&[], false, &metadata, "the graph"), InputConvention::Metadata);
        // Another program's word for something else.
        metadata.remove("std");
        assert!(matches!(convention(&[], false, &metadata, "the graph"), InputConvention::Unknown { .. }));
    }

    #[test]
    fn white_follows_from_the_range() {
        assert_eq!(found(vec![], false), None);
        assert_eq!(found(vec![], true), Some((255.0, false)));
        assert_eq!(found(vec![affine(&[1.0 / 255.0], &[0.0])], false), Some((255.0, false)));
        assert_eq!(found(vec![affine(&[1.0 / 127.5], &[-1.0])], false), Some((255.0, false)));
        assert_eq!(found(vec![affine(&[255.0], &[0.0])], false), Some((1.0, false)));
        // torchvision's.
        let normalise = affine(
            &[1.0 / 0.229, 1.0 / 0.224, 1.0 / 0.225],
            &[-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
        );
        assert_eq!(found(vec![normalise], false), Some((1.0, false)));
        // Both fit, and neither.
        assert_eq!(found(vec![affine(&[1.0], &[-0.5])], false), None);
        assert_eq!(found(vec![affine(&[1e-6], &[0.0])], false), None);
    }

    #[test]
    fn caffes_means_tell_the_order() {
        let (blue, green, red) = (-103.939, -116.779, -123.68);
        assert_eq!(found(vec![affine(&[1.0; 3], &[blue, green, red])], false), Some((255.0, true)));
        assert_eq!(found(vec![affine(&[1.0; 3], &[red, green, blue])], false), Some((255.0, false)));
        assert_eq!(
            found(vec![reverse(), affine(&[1.0; 3], &[blue, green, red])], false),
            Some((255.0, false))
        );
        assert_eq!(
            found(vec![affine(&[1.0; 3], &[red, green, blue]), reverse()], false),
            Some((255.0, false))
        );
    }
}

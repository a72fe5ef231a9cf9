//! What a file does to its input before the first layer, as part of the preprocessing.

use super::super::error::WeightProblem;
use super::affine::Affine;
use crate::network::{ChannelOrder, Preprocessing};

/// Constants and a change of channels between a file's input and its first layer.
#[derive(Debug, Default, PartialEq)]
pub(in crate::weights) struct InputOperations {
    /// In the order of the channels after `reversed`.
    affine: Option<Affine>,
    reversed: bool,
    last: String,
}

impl InputOperations {
    pub(super) fn reverse(&mut self, step: &str) {
        self.reversed = !self.reversed;
        self.last = step.to_owned();
        if let Some(affine) = &mut self.affine {
            affine.scale.reverse();
            affine.shift.reverse();
        }
    }

    pub(super) fn add(&mut self, step: &str, scale: &[f64], shift: &[f64]) -> Result<(), WeightProblem> {
        let next = Affine::of_step(step, scale, shift, 3)?;
        if next.scale.iter().any(|&scale| scale == 0.0 || !scale.is_finite())
            || next.shift.iter().any(|shift| !shift.is_finite())
        {
            return Err(WeightProblem::Operation {
                name: step.to_owned(),
                reason: "it multiplies the input by zero, or its constants are not finite".to_owned(),
            });
        }
        self.last = step.to_owned();
        self.affine = Some(match self.affine.take() {
            Some(before) => before.then(&next),
            None => next,
        });
        Ok(())
    }

    /// The name of the last step among them; `None` if there are none.
    pub(in crate::weights) fn last(&self) -> Option<&str> {
        (self.affine.is_some() || self.reversed).then_some(self.last.as_str())
    }

    /// The preprocessing that makes the first layer's input, where `outside` makes the file's: s·((u − m)/d) + t is
    /// (u − (m − t·d/s)) / (d/s).
    pub(in crate::weights) fn after(&self, outside: Preprocessing) -> Preprocessing {
        let mut result = outside;
        if self.reversed {
            result.channel_order = match outside.channel_order {
                ChannelOrder::Rgb => ChannelOrder::Bgr,
                ChannelOrder::Bgr => ChannelOrder::Rgb,
            };
            result.mean.reverse();
            result.std.reverse();
        }
        if let Some(Affine { scale, shift }) = &self.affine {
            for channel in 0..3 {
                let (mean, std) = (f64::from(result.mean[channel]), f64::from(result.std[channel]));
                result.mean[channel] = (mean - shift[channel] * std / scale[channel]) as f32;
                result.std[channel] = (std / scale[channel]) as f32;
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_at_the_input_are_the_preprocessing_that_does_the_same() {
        let mut input = InputOperations::default();
        assert_eq!(input.last(), None);
        // Red, green, blue / 255, then blue first, then (x − mean)/std for blue, green, red.
        input.add("divide", &[1.0 / 255.0], &[0.0]).unwrap();
        input.reverse("flip");
        let (mean, std) = ([0.1, 0.2, 0.3], [0.5, 0.25, 2.0]);
        let shift: Vec<f64> = (0..3).map(|channel| -mean[channel] / std[channel]).collect();
        input.add("normalise", &std.map(|std| 1.0 / std), &shift).unwrap();
        assert_eq!(input.last(), Some("normalise"));
        let pixels = Preprocessing {
            channel_order: ChannelOrder::Rgb,
            pixel_scale: 255.0,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        let result = input.after(pixels);
        assert_eq!(result.channel_order, ChannelOrder::Bgr);
        let (red, green, blue) = (10u8, 200u8, 77u8);
        let expected: Vec<f64> = [blue, green, red]
            .iter()
            .enumerate()
            .map(|(channel, &value)| (f64::from(value) / 255.0 - mean[channel]) / std[channel])
            .collect();
        for (got, want) in result.normalise(&[red, green, blue]).iter().zip(expected) {
            assert!((f64::from(*got) - want).abs() < 1e-6, "{got} {want}");
        }
        // Without steps nothing changes, bit by bit.
        assert_eq!(InputOperations::default().after(Preprocessing::default()), Preprocessing::default());
        assert!(input.add("zero", &[0.0], &[0.0]).is_err());
        assert!(input.add("four", &[1.0; 4], &[0.0]).is_err());
    }
}

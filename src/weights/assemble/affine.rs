//! y = scale·x + shift with constants, by channel or by element, on its way to the layer that takes it up.

use super::super::error::WeightProblem;
use super::super::import::FlattenOrder;

/// One factor and summand for each of some values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Affine {
    pub(super) scale: Vec<f64>,
    pub(super) shift: Vec<f64>,
}

impl Affine {
    /// Of a step; one value stands for all `count`.
    pub(super) fn of_step(
        step: &str,
        scale: &[f64],
        shift: &[f64],
        count: usize,
    ) -> Result<Self, WeightProblem> {
        let spread = |values: &[f64]| match *values {
            [value] => Some(vec![value; count]),
            _ => (values.len() == count).then(|| values.to_vec()),
        };
        match (spread(scale), spread(shift)) {
            (Some(scale), Some(shift)) => Ok(Self { scale, shift }),
            _ => Err(WeightProblem::Operation {
                name: step.to_owned(),
                reason: format!(
                    "its constants have {} and {} values, and there are {count} channels",
                    scale.len(),
                    shift.len()
                ),
            }),
        }
    }

    /// First this one, then `next`.
    pub(super) fn then(mut self, next: &Self) -> Self {
        for (index, (scale, shift)) in next.scale.iter().zip(&next.shift).enumerate() {
            self.scale[index] *= scale;
            self.shift[index] = scale * self.shift[index] + shift;
        }
        self
    }

    /// Whether max(·) may be taken before or after it.
    pub(super) fn keeps_order(&self) -> bool {
        self.scale.iter().all(|&scale| scale > 0.0)
    }

    /// Whether zero stays zero.
    pub(super) fn keeps_zero(&self) -> bool {
        self.shift.iter().all(|&shift| shift == 0.0)
    }

    /// From values of channels to those of the elements of their flattened map, channel by channel.
    pub(super) fn over_positions(self, positions: usize) -> Self {
        let spread = |values: &[f64]| -> Vec<f64> {
            values.iter().flat_map(|&value| std::iter::repeat_n(value, positions)).collect()
        };
        Self { scale: spread(&self.scale), shift: spread(&self.shift) }
    }

    /// From the file's order of elements to channel by channel.
    pub(super) fn channels_first(self, order: FlattenOrder, channels: usize) -> Self {
        if order == FlattenOrder::ChannelsFirst {
            return self;
        }
        let positions = self.scale.len() / channels.max(1);
        let gather = |values: &[f64]| -> Vec<f64> {
            (0..channels)
                .flat_map(|channel| (0..positions).map(move |position| position * channels + channel))
                .map(|index| values[index])
                .collect()
        };
        Self { scale: gather(&self.scale), shift: gather(&self.shift) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_after_the_other_is_their_composition() {
        let first = Affine { scale: vec![2.0, -1.0], shift: vec![1.0, 0.5] };
        let second = Affine { scale: vec![3.0, 4.0], shift: vec![-1.0, 2.0] };
        // 3(2x + 1) − 1 and 4(−x + 0.5) + 2.
        assert_eq!(first.then(&second), Affine { scale: vec![6.0, -4.0], shift: vec![2.0, 4.0] });
    }

    #[test]
    fn elements_are_reordered_to_channels_first() {
        // Two channels, three positions: H,W,C order holds position·2 + channel.
        let last = Affine { scale: vec![0.0, 10.0, 1.0, 11.0, 2.0, 12.0], shift: vec![0.0; 6] };
        let first = last.channels_first(FlattenOrder::ChannelsLast, 2);
        assert_eq!(first.scale, [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
        let spread = Affine { scale: vec![5.0, 6.0], shift: vec![1.0, 2.0] }.over_positions(2);
        assert_eq!((spread.scale, spread.shift), (vec![5.0, 5.0, 6.0, 6.0], vec![1.0, 1.0, 2.0, 2.0]));
    }
}

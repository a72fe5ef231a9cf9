//! Where an axis begins, ends and has its marks.

/// Room beyond the least and the largest value, as a share of what is between them.
const ROOM: f64 = 0.04;

/// A range of values with round marks.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    pub start: f64,
    pub end: f64,
    /// Rising, all within the range.
    pub marks: Vec<f64>,
    /// Digits after the point that tell marks apart.
    decimals: usize,
}

impl Axis {
    /// An axis for all finite ones of the values, with about so many marks. With `exact` it begins and ends at the least and
    /// the largest value, else a little beyond.
    pub fn of(values: impl Iterator<Item = f64>, marks: usize, exact: bool) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let (least, largest) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, largest), value| {
            (least.min(value), largest.max(value))
        });
        let (least, largest) = match (least, largest) {
            (least, largest) if least > largest => (0.0, 1.0),
            // A flat line stands in the middle.
            (least, largest) if least == largest => {
                let room = (least.abs() / 10.0).max(0.5);
                (least - room, largest + room)
            }
            range => range,
        };
        let step = round_step((largest - least) / marks.max(1) as f64);
        let room = if exact { 0.0 } else { ROOM * (largest - least) };
        let (start, end) = (least - room, largest + room);
        let (first, last) = ((start / step).ceil(), (end / step).floor());
        // Multiples of the step, so that zero is zero.
        let count = (last - first).clamp(0.0, 50.0) as usize;
        let marks: Vec<f64> = (0..=count).map(|mark| (first + mark as f64) * step).collect();
        let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
        Axis { start, end, marks, decimals }
    }

    /// Where a value is, 0 at the start and 1 at the end.
    pub fn share(&self, value: f64) -> f64 {
        (value - self.start) / (self.end - self.start)
    }

    /// A mark as text.
    pub fn text(&self, mark: f64) -> String {
        if mark.abs() >= 1e7 { format!("{mark:.0e}") } else { format!("{mark:.*}", self.decimals) }
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below a length.
fn round_step(length: f64) -> f64 {
    let power = 10_f64.powf(length.max(f64::MIN_POSITIVE).log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= length * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_hold_the_values() {
        let axis = Axis::of([0.31, 1.02, f64::NAN, 0.7].into_iter(), 5, false);
        assert!((axis.start - 0.2816).abs() < 1e-9 && (axis.end - 1.0484).abs() < 1e-9, "{axis:?}");
        assert_eq!(
            axis.marks.iter().map(|&mark| axis.text(mark)).collect::<Vec<_>>(),
            ["0.4", "0.6", "0.8", "1.0"]
        );
        let axis = Axis::of([0.0, 100.0].into_iter(), 6, true);
        assert_eq!(axis.marks, [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!((axis.share(0.0), axis.share(25.0), axis.share(100.0)), (0.0, 0.25, 1.0));
        assert_eq!(axis.text(20.0), "20");
        let axis = Axis::of([-0.013, 0.021].into_iter(), 4, false);
        assert_eq!(
            axis.marks.iter().map(|&mark| axis.text(mark)).collect::<Vec<_>>(),
            ["-0.01", "0.00", "0.01", "0.02"]
        );
    }

    #[test]
    fn odd_values_have_an_axis_too() {
        for values in
            [vec![], vec![f64::NAN], vec![3.0], vec![0.0, 0.0], vec![-1e300, 1e300], vec![1e-300, 2e-300]]
        {
            for exact in [false, true] {
                let axis = Axis::of(values.iter().copied(), 5, exact);
                assert!(axis.start < axis.end && axis.marks.len() <= 51, "{values:?} {axis:?}");
                for value in values.iter().filter(|value| value.is_finite()) {
                    assert!((-1e-9..=1.0 + 1e-9).contains(&axis.share(*value)), "{values:?} {axis:?}");
                }
            }
        }
    }
}

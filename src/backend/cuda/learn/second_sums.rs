//! Σxxᵀ of a layer as the device holds it, and its way from and to [`SecondMoments`].

use crate::backend::cuda::operators::LayerShape;
use crate::backend::cuda::params::VGGX_SECOND_PLANES;
use crate::backend::cuda::plan::padded;
use crate::backend::{Lags, SecondMoments};
use std::ops::Range;

const PLANES: usize = VGGX_SECOND_PLANES as usize;

/// How the device lays a layer's input out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// The image's three channels.
    Image,
    /// A map, channels padded.
    Map,
    /// A vector that was flattened from so many positions, channel by channel in the file, position by position on the
    /// device.
    Vector { flatten: usize },
}

/// How a layer's sums lie on the device, row after row: of a convolution the planes \[channels, channels\] in the order of
/// `kernels/params.h`, of a dense layer the lower triangle.
#[derive(Clone, Copy, Debug)]
pub(super) struct SecondLayout {
    /// In the file.
    inputs: usize,
    input: Input,
}

impl SecondLayout {
    pub fn new(shape: &LayerShape) -> Self {
        let input = match shape {
            _ if shape.is_image() => Input::Image,
            LayerShape { taps: 1, flatten, .. } => Input::Vector { flatten: *flatten },
            _ => Input::Map,
        };
        SecondLayout { inputs: shape.inputs, input }
    }

    /// Of the first layer.
    #[cfg(test)]
    pub fn image() -> Self {
        SecondLayout { inputs: 3, input: Input::Image }
    }

    /// Of another convolution.
    #[cfg(test)]
    pub fn map(inputs: usize) -> Self {
        SecondLayout { inputs, input: Input::Map }
    }

    pub fn is_image(&self) -> bool {
        self.input == Input::Image
    }

    pub fn is_dense(&self) -> bool {
        matches!(self.input, Input::Vector { .. })
    }

    /// Channels of the input on the device.
    pub fn channels(&self) -> usize {
        match self.input {
            Input::Image => 3,
            Input::Map => padded(self.inputs),
            Input::Vector { flatten } => padded(self.inputs / flatten) * flatten,
        }
    }

    pub fn rows(&self) -> usize {
        if self.is_dense() { self.channels() } else { PLANES * self.channels() }
    }

    /// Numbers before a row.
    pub fn row_start(&self, row: usize) -> usize {
        if self.is_dense() { row * (row + 1) / 2 } else { row * self.channels() }
    }

    /// All numbers.
    pub fn len(&self) -> usize {
        self.row_start(self.rows())
    }

    /// Consecutive rows that together have at most so many numbers, at least one.
    pub fn pieces(&self, most: usize) -> Vec<Range<usize>> {
        let mut pieces = Vec::new();
        let mut first = 0;
        while first < self.rows() {
            let mut end = first + 1;
            while end < self.rows() && self.row_start(end + 1) - self.row_start(first) <= most {
                end += 1;
            }
            pieces.push(first..end);
            first = end;
        }
        pieces
    }

    /// Which input of the file a channel on the device is; none where it is padding.
    fn input_of(&self, channel: usize) -> Option<usize> {
        let (channel, position, flatten) = match self.input {
            Input::Image | Input::Map => (channel, 0, 1),
            Input::Vector { flatten } => {
                let stride = padded(self.inputs / flatten);
                (channel % stride, channel / stride, flatten)
            }
        };
        (channel < self.inputs / flatten).then(|| channel * flatten + position)
    }

    /// Fills the numbers of some rows; padding with zeros.
    pub fn gather(&self, second: &SecondMoments, rows: Range<usize>, piece: &mut [f64]) {
        piece.fill(0.0);
        let start = self.row_start(rows.start);
        match second {
            SecondMoments::Dense(triangle) => self.for_each_of_triangle(rows, |from, to| {
                piece[to - start] = triangle[from];
            }),
            SecondMoments::Convolution(Lags { map, top, bottom, left, right, corners }) => {
                let plane = self.inputs * self.inputs;
                let fields = [map, top, bottom, left, right, corners];
                let planes: Vec<&[f64]> =
                    fields.into_iter().flat_map(|field| field.chunks_exact(plane)).collect();
                self.for_each_of_planes(rows, |plane, row, to| {
                    let to = &mut piece[to - start..][..self.inputs];
                    to.copy_from_slice(&planes[plane][row * self.inputs..][..self.inputs]);
                });
            }
        }
    }

    /// The other way round. Of a product at lag (0, 0) the device holds both halves, alike up to rounding; the upper one
    /// counts.
    pub fn scatter(&self, piece: &[f64], rows: Range<usize>, second: &mut SecondMoments) {
        let start = self.row_start(rows.start);
        match second {
            SecondMoments::Dense(triangle) => self.for_each_of_triangle(rows, |to, from| {
                triangle[to] = piece[from - start];
            }),
            SecondMoments::Convolution(Lags { map, top, bottom, left, right, corners }) => {
                let inputs = self.inputs;
                let mut planes: Vec<(bool, &mut [f64])> = Vec::with_capacity(PLANES);
                for (index, field) in [map, top, bottom, left, right, corners].into_iter().enumerate() {
                    let field = field.chunks_exact_mut(inputs * inputs).enumerate();
                    planes.extend(field.map(|(lag, plane)| (lag == 0 || index == 5, plane)));
                }
                self.for_each_of_planes(rows, |plane, row, from| {
                    let (is_symmetric, plane) = &mut planes[plane];
                    let from = &piece[from - start..][..inputs];
                    let first = if *is_symmetric { row } else { 0 };
                    plane[row * inputs + first..][..inputs - first].copy_from_slice(&from[first..]);
                    if *is_symmetric {
                        for (column, &value) in from.iter().enumerate().skip(row + 1) {
                            plane[column * inputs + row] = value;
                        }
                    }
                });
            }
        }
    }

    /// Calls `visit` with the place in the file's triangle and the place on the device.
    fn for_each_of_triangle(&self, rows: Range<usize>, mut visit: impl FnMut(usize, usize)) {
        let inputs: Vec<Option<usize>> = (0..rows.end).map(|channel| self.input_of(channel)).collect();
        for row in rows {
            let Some(a) = inputs[row] else { continue };
            for (column, b) in inputs[..=row].iter().enumerate() {
                if let Some(b) = *b {
                    let (high, low) = (a.max(b), a.min(b));
                    visit(high * (high + 1) / 2 + low, self.row_start(row) + column);
                }
            }
        }
    }

    /// Calls `visit` with plane, row in it and the place on the device of each row that is not padding.
    fn for_each_of_planes(&self, rows: Range<usize>, mut visit: impl FnMut(usize, usize, usize)) {
        for at in rows {
            let (plane, row) = (at / self.channels(), at % self.channels());
            if row < self.inputs {
                visit(plane, row, self.row_start(at));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(inputs: usize, flatten: usize) -> SecondLayout {
        SecondLayout { inputs, input: Input::Vector { flatten } }
    }

    fn numbers(count: usize) -> Vec<f64> {
        (0..count).map(|index| (index + 1) as f64).collect()
    }

    /// Each number another, but symmetric where sums are.
    fn lags(inputs: usize) -> Lags {
        let mut lags = Lags::zeros(inputs);
        let Lags { map, top, bottom, left, right, corners } = &mut lags;
        for (index, field) in [map, top, bottom, left, right, corners].into_iter().enumerate() {
            *field = numbers(field.len());
            for (lag, plane) in field.chunks_exact_mut(inputs * inputs).enumerate() {
                if lag == 0 || index == 5 {
                    for row in 0..inputs {
                        for column in 0..row {
                            plane[row * inputs + column] = plane[column * inputs + row];
                        }
                    }
                }
            }
        }
        lags
    }

    #[test]
    fn sums_come_back_from_the_device_as_they_went() {
        let maps = [SecondLayout::image(), SecondLayout::map(3), SecondLayout::map(70)];
        for layout in maps.into_iter().chain([vector(20, 4), vector(65, 1)]) {
            let inputs = layout.inputs;
            let (second, mut back) = if layout.is_dense() {
                let count = inputs * (inputs + 1) / 2;
                (SecondMoments::Dense(numbers(count)), SecondMoments::Dense(vec![0.0; count]))
            } else {
                (SecondMoments::Convolution(lags(inputs)), SecondMoments::Convolution(Lags::zeros(inputs)))
            };
            let mut rows = 0;
            for piece_rows in layout.pieces(1000) {
                assert_eq!(piece_rows.start, rows);
                rows = piece_rows.end;
                let count = layout.row_start(rows) - layout.row_start(piece_rows.start);
                let mut piece = vec![f64::NAN; count];
                layout.gather(&second, piece_rows.clone(), &mut piece);
                assert!(piece.iter().all(|value| value.is_finite()));
                layout.scatter(&piece, piece_rows, &mut back);
            }
            assert_eq!(rows, layout.rows());
            assert!(back == second, "{layout:?}");
        }
    }

    #[test]
    fn a_flattened_input_goes_from_channel_by_channel_to_position_by_position() {
        // Three channels, four positions: input 5 is channel 1 at position 1, which on the device is 1 * 64 + 1.
        let layout = vector(12, 4);
        assert_eq!((layout.input_of(65), layout.input_of(67)), (Some(5), None));
        // Input 3 is channel 0 at position 3, input 4 channel 1 at position 0: the order turns round.
        let mut places = Vec::new();
        layout.for_each_of_triangle(192..193, |file, device| places.push((file, device)));
        assert!(places.contains(&(4 * 5 / 2 + 3, 192 * 193 / 2 + 1)), "{places:?}");
    }

    #[test]
    fn of_what_should_be_symmetric_the_upper_half_counts() {
        let layout = SecondLayout::map(2);
        let channels = layout.channels();
        let mut device = vec![0.0; layout.len()];
        for plane in 0..PLANES {
            device[plane * channels * channels + 1] = 7.0;
            device[(plane * channels + 1) * channels] = 8.0;
        }
        let mut second = SecondMoments::Convolution(Lags::zeros(2));
        layout.scatter(&device, 0..layout.rows(), &mut second);
        let SecondMoments::Convolution(lags) = second else { unreachable!("a convolution's") };
        let (symmetric, other) = ([0.0, 7.0, 7.0, 0.0], [0.0, 7.0, 8.0, 0.0]);
        assert_eq!([&lags.map[..4], &lags.map[4..8]], [symmetric, other]);
        assert_eq!([&lags.right[..4], &lags.right[4..8]], [symmetric, other]);
        assert_eq!(lags.corners[4..8], symmetric);
    }
}

//! Each neuron's counts, pilots and sums of y over a batch, for the positive and the negative regime.
//!
//! A pilot c is the mean of z over the regime in this batch, rounded to float32. With g = z − c, Σxg loses nothing to the
//! offset of z; as y = g + (c − b), it is undone in float64. Σg is kept although it is nearly zero: it makes the covariance
//! exact for the g that were summed.

use super::CHUNK;
use crate::backend::LayerMoments;
use crate::backend::cpu::simd::vectorised;
use crate::parallel;

/// Positions whose z are summed in float32 before they are added in float64.
const SHORT: usize = 32;

/// One regime of one neuron in a batch.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct Regime {
    /// Positions.
    pub count: f64,
    /// c, in the units of z.
    pub pilot: f32,
    /// Σg.
    pub g: f64,
    /// Σg².
    pub gg: f64,
}

impl Regime {
    /// c − b, with which y = g + (c − b).
    pub fn offset(&self, bias: f32) -> f64 {
        f64::from(self.pilot) - f64::from(bias)
    }

    /// Σy and Σy².
    fn sums(&self, bias: f32) -> (f64, f64) {
        let offset = self.offset(bias);
        (self.g + self.count * offset, self.gg + offset * (2.0 * self.g + self.count * offset))
    }
}

/// Both regimes of all neurons.
pub struct Statistics {
    pub positive: Vec<Regime>,
    pub negative: Vec<Regime>,
}

impl Statistics {
    /// Those of z \[images, positions, outputs\], over the `valid` images.
    pub fn of(z: &[f32], outputs: usize, positions: usize, valid: &[usize]) -> Self {
        let image = |image: usize| &z[image * positions * outputs..][..positions * outputs];
        // Pieces of a fixed size, summed in their order.
        let pieces: Vec<&[f32]> =
            valid.iter().flat_map(|&index| image(index).chunks(CHUNK * outputs)).collect();
        let firsts: Vec<Sums> = parallel::map(&pieces, |piece| Sums::plain(piece, outputs));
        let (counts, plain) = Sums::total(&firsts, outputs);
        let pilot = |neuron: usize, side: usize| {
            let (count, sum) = (counts[side][neuron], plain[side][neuron]);
            if count == 0.0 { 0.0 } else { (sum / count) as f32 }
        };
        let pilots: [Vec<f32>; 2] =
            [0, 1].map(|side| (0..outputs).map(|neuron| pilot(neuron, side)).collect());
        let seconds: Vec<[Vec<f64>; 4]> = parallel::map(&pieces, |piece| centred(piece, outputs, &pilots));
        let mut sums = [0, 1, 2, 3].map(|_| vec![0.0; outputs]);
        for piece in &seconds {
            for (sums, piece) in sums.iter_mut().zip(piece) {
                sums.iter_mut().zip(piece).for_each(|(sum, piece)| *sum += piece);
            }
        }
        let regimes = |side: usize| {
            let regime = |neuron: usize| Regime {
                count: counts[side][neuron],
                pilot: pilots[side][neuron],
                g: sums[2 * side][neuron],
                gg: sums[2 * side + 1][neuron],
            };
            (0..outputs).map(regime).collect()
        };
        Statistics { positive: regimes(0), negative: regimes(1) }
    }

    /// Adds counts, Σy and Σy².
    pub fn add_to(&self, layer: &mut LayerMoments, bias: &[f32]) {
        for (neuron, &bias) in bias.iter().enumerate() {
            let (positive, negative) = (self.positive[neuron], self.negative[neuron]);
            layer.positive_count[neuron] += positive.count;
            let (y, yy) = positive.sums(bias);
            layer.positive_y[neuron] += y;
            layer.positive_yy[neuron] += yy;
            let (y, yy) = negative.sums(bias);
            layer.negative_y[neuron] += y;
            layer.negative_yy[neuron] += yy;
        }
    }
}

/// Counts and plain sums of z: positive, negative.
struct Sums {
    counts: [Vec<f64>; 2],
    z: [Vec<f64>; 2],
}

impl Sums {
    /// Of one piece. The sums need to be good to a few digits only: a pilot may be any number near the mean.
    fn plain(piece: &[f32], outputs: usize) -> Self {
        let zeros = || vec![0f64; outputs];
        let mut sums = Sums { counts: [zeros(), zeros()], z: [zeros(), zeros()] };
        let mut short = [0, 1, 2].map(|_| vec![0f32; outputs]);
        for run in piece.chunks(SHORT * outputs) {
            let [count, positive, negative] = &mut short;
            [&mut *count, positive, negative].into_iter().for_each(|values| values.fill(0.0));
            vectorised(
                #[inline(always)]
                || {
                    for z in run.chunks_exact(outputs) {
                        let (count, positive) = (&mut count[..outputs], &mut positive[..outputs]);
                        let negative = &mut negative[..outputs];
                        for i in 0..outputs {
                            let is_positive = z[i] > 0.0;
                            count[i] += if is_positive { 1.0 } else { 0.0 };
                            positive[i] += if is_positive { z[i] } else { 0.0 };
                            negative[i] += if is_positive { 0.0 } else { z[i] };
                        }
                    }
                },
            );
            let positions = (run.len() / outputs) as f64;
            for i in 0..outputs {
                sums.counts[0][i] += f64::from(count[i]);
                sums.counts[1][i] += positions - f64::from(count[i]);
                sums.z[0][i] += f64::from(positive[i]);
                sums.z[1][i] += f64::from(negative[i]);
            }
        }
        sums
    }

    /// Counts and sums of all pieces.
    fn total(pieces: &[Sums], outputs: usize) -> ([Vec<f64>; 2], [Vec<f64>; 2]) {
        let mut counts = [vec![0.0; outputs], vec![0.0; outputs]];
        let mut z = counts.clone();
        for piece in pieces {
            for side in 0..2 {
                for neuron in 0..outputs {
                    counts[side][neuron] += piece.counts[side][neuron];
                    z[side][neuron] += piece.z[side][neuron];
                }
            }
        }
        (counts, z)
    }
}

/// Σg₊, Σg₊², Σg₋, Σg₋² of one piece, in float64.
fn centred(piece: &[f32], outputs: usize, pilots: &[Vec<f32>; 2]) -> [Vec<f64>; 4] {
    let mut sums = [0, 1, 2, 3].map(|_| vec![0f64; outputs]);
    let [positive, positive_squares, negative, negative_squares] = &mut sums;
    vectorised(
        #[inline(always)]
        || {
            for z in piece.chunks_exact(outputs) {
                let (above, below) = (&pilots[0][..outputs], &pilots[1][..outputs]);
                let (positive, positive_squares) =
                    (&mut positive[..outputs], &mut positive_squares[..outputs]);
                let (negative, negative_squares) =
                    (&mut negative[..outputs], &mut negative_squares[..outputs]);
                for i in 0..outputs {
                    let is_positive = z[i] > 0.0;
                    let g = f64::from(if is_positive { z[i] - above[i] } else { 0.0 });
                    positive[i] += g;
                    positive_squares[i] += g * g;
                    let g = f64::from(if is_positive { 0.0 } else { z[i] - below[i] });
                    negative[i] += g;
                    negative_squares[i] += g * g;
                }
            }
        },
    );
    sums
}

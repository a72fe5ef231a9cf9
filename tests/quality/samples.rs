//! Positions of every layer written out one by one, and their moments in float64.

use vggx::backend::{LAGS, Lags, LayerMoments, Moments, SecondMoments};

use crate::reference::{Positions, Random, ReferenceLayer, ReferenceNetwork, Trace};
use crate::support::Case;

/// A normalised image `[3][height][width]`, and its height and width.
pub type Image = (Vec<f64>, usize, usize);

/// What the layers of a network saw and said of some images, and the moments of it.
pub struct SampleSet {
    /// One a layer with weights.
    pub positions: Vec<Positions>,
    pub moments: Moments,
}

impl SampleSet {
    pub fn new(case: &Case, images: &[Image]) -> Self {
        let traces: Vec<Trace> = images
            .iter()
            .map(|(image, height, width)| case.network.forward(image, *height, *width))
            .collect();
        let pairs: Vec<(&[f64], &Trace)> =
            images.iter().map(|(image, ..)| image.as_slice()).zip(&traces).collect();
        Self::of_traces(case, &pairs)
    }

    pub fn of_traces(case: &Case, images: &[(&[f64], &Trace)]) -> Self {
        let mut moments = Moments::zeros(case.weights.network(), true);
        let positions: Vec<Positions> =
            (0..moments.layers.len()).map(|layer| case.network.positions(layer, images)).collect();
        for (layer, (sums, positions)) in moments.layers.iter_mut().zip(&positions).enumerate() {
            fill(sums, positions);
            sums.second = Some(match sums.is_convolution() {
                true => SecondMoments::Convolution(lags(&input_maps(&case.network, layer, images))),
                false => SecondMoments::Dense(triangle(positions)),
            });
        }
        SampleSet { positions, moments }
    }
}

/// All sums but the second moments.
fn fill(sums: &mut LayerMoments, positions: &Positions) {
    let plain = positions.moments();
    sums.positions = positions.count as f64;
    sums.x = plain.x;
    sums.positive_count = plain.positive.count;
    sums.positive_y = plain.positive.y;
    sums.positive_yy = plain.positive.yy;
    sums.positive_x = plain.positive.x;
    sums.positive_xy = plain.positive.xy;
    sums.negative_y = plain.negative.y;
    sums.negative_yy = plain.negative.yy;
    sums.negative_xy = plain.negative.xy;
}

/// Σxxᵀ, the lower triangle row after row.
fn triangle(positions: &Positions) -> Vec<f64> {
    let mut triangle = Vec::new();
    for row in 0..positions.fan_in {
        for column in 0..=row {
            triangle.push(positions.x.chunks_exact(positions.fan_in).map(|x| x[row] * x[column]).sum());
        }
    }
    triangle
}

/// Values `[channels][height][width]`, and these extents.
type Map<'a> = (&'a [f64], [usize; 3]);

/// What a convolution takes of each image.
fn input_maps<'a>(
    network: &ReferenceNetwork,
    layer: usize,
    images: &[(&'a [f64], &'a Trace)],
) -> Vec<Map<'a>> {
    let convolutions = network.layers.iter().enumerate();
    let (at, _) = convolutions
        .filter(|(_, layer)| matches!(layer, ReferenceLayer::Convolution { .. }))
        .nth(layer)
        .expect("convolutions come first");
    images
        .iter()
        .map(|&(image, trace)| match at {
            0 => (image, trace.image_shape),
            _ => (trace.layers[at - 1].output.as_slice(), trace.layers[at - 1].shape),
        })
        .collect()
}

/// Products of maps with themselves, shifted, by the definition of each.
fn lags(maps: &[Map]) -> Lags {
    let channels = maps[0].1[0];
    let mut lags = Lags::zeros(channels);
    for &(map, [_, height, width]) in maps {
        let at = |c: usize, y: isize, x: isize| {
            let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
            if inside { map[(c * height + y as usize) * width + x as usize] } else { 0.0 }
        };
        // Adds the products over some positions at one lag to place number `index`.
        let add = |sums: &mut [f64], index: usize, lag: (isize, isize), over: &[(isize, isize)]| {
            for c in 0..channels {
                for d in 0..channels {
                    sums[(index * channels + c) * channels + d] +=
                        over.iter().map(|&(y, x)| at(c, y, x) * at(d, y + lag.0, x + lag.1)).sum::<f64>();
                }
            }
        };
        let (bottom, right) = (height as isize - 1, width as isize - 1);
        let row = |y: isize| (0..=right).map(|x| (y, x)).collect::<Vec<_>>();
        let column = |x: isize| (0..=bottom).map(|y| (y, x)).collect::<Vec<_>>();
        let all: Vec<_> = (0..=bottom).flat_map(row).collect();
        for (index, lag) in LAGS.into_iter().enumerate() {
            add(&mut lags.map, index, lag, &all);
        }
        for along in 0..3 {
            add(&mut lags.top, along, (0, along as isize), &row(0));
            add(&mut lags.bottom, along, (0, along as isize), &row(bottom));
            add(&mut lags.left, along, (along as isize, 0), &column(0));
            add(&mut lags.right, along, (along as isize, 0), &column(right));
        }
        let corners = [(0, 0), (0, right), (bottom, 0), (bottom, right)];
        for (index, corner) in corners.into_iter().enumerate() {
            add(&mut lags.corners, index, (0, 0), &[corner]);
        }
    }
    lags
}

/// So many images whose sizes take turns, with an offset for each colour, and with what all colours and what all positions have in
/// common.
pub fn correlated_images(sizes: &[(usize, usize)], count: usize, seed: u64) -> Vec<Image> {
    let mut random = Random::new(seed);
    sizes
        .iter()
        .cycle()
        .take(count)
        .map(|&(height, width)| {
            let of_image = random.normal();
            let of_position = random.normals(height * width, 1.0);
            let mut image = Vec::new();
            for colour in 0..3 {
                for common in &of_position {
                    let own = 0.3 * random.normal();
                    image.push(f64::from((colour as f64 - 0.5 + 0.5 * of_image + common + own) as f32));
                }
            }
            (image, height, width)
        })
        .collect()
}

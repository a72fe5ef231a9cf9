//! From what passes brought back to the arrays of methods.

use super::explained::Exponent;
use super::fold::fold;
use crate::backend::Relevance;
use crate::network::{ChannelOrder, Preprocessing};

/// The pixels of one image.
#[derive(Clone, Copy)]
pub enum ImagePixels<'a> {
    /// \[height, width, 3\], red, green, blue.
    Rgb8(&'a [u8]),
    /// \[3, height, width\], the network's input.
    Normalised(&'a [f32]),
    /// Not here, and not needed: nothing is made of them.
    Elsewhere,
}

/// A method's array is made of the network's input, or of what its pass brought back.
pub enum Part {
    Input,
    Pass { relevance: Relevance, times_input: bool },
}

/// Makes the array of one image: \[3, height, width\] as red, green, blue, or a heat map. Returns it with its exponent.
pub fn assemble(
    part: Part,
    pixels: ImagePixels,
    heat_map: bool,
    exponent: Exponent,
    preprocessing: &Preprocessing,
) -> (Vec<f32>, i32) {
    // What a device has summed already stays as it is.
    let (mut planes, mut values, mut scale_log2) = match part {
        Part::Input => (true, network_input(pixels, preprocessing), 0),
        Part::Pass { relevance, times_input: false } => (!heat_map, relevance.values, relevance.scale_log2),
        Part::Pass { relevance, times_input: true } => {
            let mut values = relevance.values;
            let x = network_input(pixels, preprocessing);
            values.iter_mut().zip(x).for_each(|(value, x)| *value *= x);
            (true, values, relevance.scale_log2)
        }
    };
    if planes && heat_map {
        values = sum_of_planes(&values);
        planes = false;
    }
    if exponent == Exponent::Folded {
        scale_log2 = fold(&mut values, scale_log2);
    }
    if planes && preprocessing.channel_order == ChannelOrder::Bgr {
        swap_first_and_last(&mut values);
    }
    (values, scale_log2)
}

/// The normalised input, \[3, height, width\] in the network's channel order.
fn network_input(pixels: ImagePixels, preprocessing: &Preprocessing) -> Vec<f32> {
    match pixels {
        ImagePixels::Rgb8(pixels) => preprocessing.normalise_planes(pixels),
        ImagePixels::Normalised(planes) => planes.to_vec(),
        ImagePixels::Elsewhere => Vec::new(),
    }
}

/// Sums three planes, in float64 and rounded once.
fn sum_of_planes(planes: &[f32]) -> Vec<f32> {
    let (first, rest) = planes.split_at(planes.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    let sum = |((&a, &b), &c): ((&f32, &f32), &f32)| (f64::from(a) + f64::from(b) + f64::from(c)) as f32;
    first.iter().zip(second).zip(third).map(sum).collect()
}

/// Brings planes in the network's channel order blue, green, red into red, green, blue.
fn swap_first_and_last(planes: &mut [f32]) {
    let plane = planes.len() / 3;
    let (blue, rest) = planes.split_at_mut(plane);
    blue.swap_with_slice(&mut rest[plane..]);
}

//! What is asked about images, and what comes of it.

use super::method::{Kind, Method};
use crate::backend::cuda::DeviceDestination;

/// One image of a batch.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// \[height, width, 3\], red, green, blue.
    pub pixels: &'a [u8],
    /// The target that comes with the image, for [`Target::Key`](super::Target::Key).
    pub key: Option<&'a str>,
}

/// What is wanted of the images of a batch.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The methods, in the order in which their arrays are wanted.
    pub methods: &'a [Method],
    /// What of each array.
    pub detail: Detail,
    /// How its power of two is given.
    pub exponent: Exponent,
    /// Where on the device the arrays go, for each method; without it they come to the host. What destinations say about the
    /// arrays goes over `detail` and `exponent`.
    pub destinations: Option<&'a [DeviceDestination<'a>]>,
}

/// What is wanted of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The three channels: \[3, height, width\].
    Planes,
    /// Their sum, in float64 and rounded once: \[height, width\].
    HeatMap,
    /// What pictures are made of: heat maps of attributions that are a pass alone, else planes. A device then sends a third
    /// of the numbers.
    Picture,
}

impl Detail {
    /// Whether the array of a method is a heat map; one that is multiplied with the input can be summed afterwards.
    pub(super) fn is_heat_map(self, method: Method, times_input: bool) -> bool {
        match self {
            Detail::Planes => false,
            Detail::HeatMap => true,
            Detail::Picture => method.kind() == Kind::Attribution && !times_input,
        }
    }
}

/// How the power of two of an array is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exponent {
    /// In the values, unless float32 would overflow or everything would underflow.
    Folded,
    /// Apart, as the device computed it: the values are around one, and none of them has lost anything.
    Apart,
}

/// What the network says of an image, and why.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The output that was explained.
    pub target: usize,
    /// Its name, where labels were given.
    pub label: Option<String>,
    /// Its logit, or in a headless network the sum of its final map.
    pub response: f32,
    /// Its softmax probability; none in a headless network.
    pub probability: Option<f64>,
    /// One a method, in the order the methods were given.
    pub explanations: Vec<Explanation>,
}

/// One method's array.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The method.
    pub method: Method,
    /// \[3, height, width\], red, green, blue, or a heat map \[height, width\], in units of the network's normalised input;
    /// the value is `values` · 2^`scale_log2`. Empty where the array went to a device.
    pub values: Vec<f32>,
    /// 0 unless float32 would overflow, where the exponent is [`Exponent::Folded`].
    pub scale_log2: i32,
}

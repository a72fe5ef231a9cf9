//! Preprocessings that have a name.

use super::{ChannelOrder, Preprocessing};

impl Preprocessing {
    /// The names that [`Preprocessing::named`] knows.
    pub const NAMES: [&'static str; 5] = ["torchvision", "caffe", "unit", "symmetric", "pixels"];

    /// A preprocessing by its name:
    ///
    /// - `torchvision`: red, green, blue of 0 to 1, less ImageNet's mean, by its standard deviation;
    /// - `caffe`: blue, green, red of 0 to 255 less ImageNet's mean, as Keras's `vgg16.preprocess_input` does;
    /// - `unit`: red, green, blue of 0 to 1; `symmetric`: of −1 to 1; `pixels`: of 0 to 255.
    pub fn named(name: &str) -> Option<Self> {
        let rgb = |pixel_scale, mean, std| Self {
            channel_order: ChannelOrder::Rgb,
            pixel_scale,
            mean: [mean; 3],
            std: [std; 3],
        };
        Some(match name {
            "torchvision" => Self::default(),
            "caffe" => Self::CAFFE,
            "unit" => rgb(1.0, 0.0, 1.0),
            "symmetric" => rgb(1.0, 0.5, 0.5),
            "pixels" => rgb(255.0, 0.0, 1.0),
            _ => return None,
        })
    }

    /// What Caffe's VGG networks were trained with, and Keras's copies of them.
    pub const CAFFE: Self = Self {
        channel_order: ChannelOrder::Bgr,
        pixel_scale: 255.0,
        mean: [103.939, 116.779, 123.68],
        std: [1.0; 3],
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_and_black_are_where_the_names_say() {
        let ends = |name: &str| {
            let preprocessing = Preprocessing::named(name).unwrap();
            preprocessing.validate().unwrap();
            (preprocessing.normalise(&[0; 3])[0], preprocessing.normalise(&[255; 3])[0])
        };
        assert_eq!(ends("unit"), (0.0, 1.0));
        assert_eq!(ends("symmetric"), (-1.0, 1.0));
        assert_eq!(ends("pixels"), (0.0, 255.0));
        assert_eq!(ends("caffe"), (-103.939, 255.0 - 103.939));
        assert!(Preprocessing::NAMES.iter().all(|name| Preprocessing::named(name).is_some()));
        assert_eq!(Preprocessing::named("lab"), None);
    }
}

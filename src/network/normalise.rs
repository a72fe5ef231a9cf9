//! Pixels to the network's input.

use super::{ChannelOrder, Preprocessing};

impl Preprocessing {
    /// (u8 · pixel_scale / 255 − mean) / std, for every value of interleaved red, green, blue pixels; the result is
    /// interleaved in the network's channel order. Computed in float64 and rounded once.
    pub fn normalise(&self, pixels: &[u8]) -> Vec<f32> {
        let tables = self.tables();
        let order = match self.channel_order {
            ChannelOrder::Rgb => [0, 1, 2],
            ChannelOrder::Bgr => [2, 1, 0],
        };
        let mut input = vec![0.0; pixels.len()];
        for (pixel, values) in pixels.chunks_exact(3).zip(input.chunks_exact_mut(3)) {
            for channel in 0..3 {
                values[channel] = tables[channel][usize::from(pixel[order[channel]])];
            }
        }
        input
    }

    /// As [`Preprocessing::normalise`], planes of one image: \[3, height, width\], channels in the network's order.
    pub fn normalise_planes(&self, pixels: &[u8]) -> Vec<f32> {
        let plane = pixels.len() / 3;
        let normalised = self.normalise(pixels);
        let mut planes = vec![0.0; pixels.len()];
        for (position, channels) in normalised.chunks_exact(3).enumerate() {
            for (channel, &value) in channels.iter().enumerate() {
                planes[channel * plane + position] = value;
            }
        }
        planes
    }

    /// The network's input for every value of a pixel, for each channel in the network's order.
    pub(crate) fn tables(&self) -> [[f32; 256]; 3] {
        std::array::from_fn(|channel| {
            let (mean, std) = (f64::from(self.mean[channel]), f64::from(self.std[channel]));
            let scale = f64::from(self.pixel_scale) / 255.0;
            std::array::from_fn(|value| ((value as f64 * scale - mean) / std) as f32)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_ordered_scaled_and_centred() {
        let bgr = Preprocessing {
            channel_order: ChannelOrder::Bgr,
            pixel_scale: 255.0,
            mean: [100.0, 110.0, 120.0],
            std: [1.0, 2.0, 4.0],
        };
        assert_eq!(bgr.normalise(&[10, 20, 30]), [30.0 - 100.0, (20.0 - 110.0) / 2.0, (10.0 - 120.0) / 4.0]);
        let rgb = Preprocessing::default().normalise(&[255, 0, 51]);
        let expected = [(1.0 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225];
        assert!(rgb.iter().zip(expected).all(|(got, want)| (f64::from(*got) - want).abs() < 1e-6));
    }
}

//! Blue, white, red: the diverging colour map of heat maps.
//!
//! Straight lines in Oklab (Ottosson 2020, a perceptually uniform space) from white to a blue and a red of equal
//! lightness and chroma, by `colorgrad`. The hue of each arm stays put (in CIELAB the blue arm turns purple), equal
//! steps look equally large, and equal magnitudes of either sign look equally strong. CIE L* falls from 100 to 37 (red)
//! and 39 (blue), off a straight line by at most 0.5. ColorBrewer's RdBu, which most libraries offer, is neither
//! uniform nor symmetric; libraries with the tables of CET or Crameri come under licences this crate does not take.

use std::f32::consts::PI;
use std::sync::LazyLock;

use colorgrad::{BlendMode, Color, Gradient, GradientBuilder, LinearGradient};
use image::Rgb;

/// Entries of an arm: finer than 8-bit colours can show (an arm spans about 180 grey levels).
const ARM: usize = 512;

/// Lightness of both ends in Oklab: dark enough for contrast, light enough to keep colour.
const LIGHTNESS: f32 = 0.48;
/// Chroma of both ends in Oklab: nearly the largest that sRGB shows at this lightness in both hues, so nothing is clipped.
const CHROMA: f32 = 0.19;
const RED_HUE_DEGREES: f32 = 25.0;
const BLUE_HUE_DEGREES: f32 = 260.0;

static COLOURS: LazyLock<Vec<Rgb<u8>>> = LazyLock::new(|| {
    let end = |degrees: f32| Color::from_oklcha(LIGHTNESS, CHROMA, degrees * PI / 180.0, 1.0);
    let gradient = GradientBuilder::new()
        .colors(&[end(BLUE_HUE_DEGREES), Color::from_rgba8(255, 255, 255, 255), end(RED_HUE_DEGREES)])
        .domain(&[-1.0, 0.0, 1.0])
        .mode(BlendMode::Oklab)
        .build::<LinearGradient>()
        .expect("three colours on a rising domain are a gradient");
    (0..=2 * ARM)
        .map(|entry| {
            let [red, green, blue, _] = gradient.at(entry as f32 / ARM as f32 - 1.0).to_rgba8();
            Rgb([red, green, blue])
        })
        .collect()
});

/// The colour of `value` in [−1, 1]: white at 0, red at 1, blue at −1. Values beyond are clamped, NaN is white.
pub(super) fn colour(value: f64) -> Rgb<u8> {
    let value = if value.is_nan() { 0.0 } else { value.clamp(-1.0, 1.0) };
    let entry = ((value + 1.0) * ARM as f64).round() as usize;
    COLOURS[entry.min(2 * ARM)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CIE L* of an sRGB colour (IEC 61966-2-1, CIE 15), written out here so that the library is not its own judge.
    fn lightness(Rgb(channels): Rgb<u8>) -> f64 {
        let luminance: f64 = channels
            .iter()
            .zip([0.2126729, 0.7151522, 0.0721750])
            .map(|(&channel, weight)| {
                let encoded = f64::from(channel) / 255.0;
                let linear =
                    if encoded <= 0.04045 { encoded / 12.92 } else { ((encoded + 0.055) / 1.055).powf(2.4) };
                weight * linear
            })
            .sum();
        if luminance > 216.0 / 24389.0 { 116.0 * luminance.cbrt() - 16.0 } else { luminance * 24389.0 / 27.0 }
    }

    #[test]
    fn centre_is_neutral_and_ends_are_blue_and_red() {
        assert_eq!(colour(0.0), Rgb([255, 255, 255]));
        assert_eq!(colour(f64::NAN), colour(0.0));
        let Rgb([red, _, blue]) = colour(1.0);
        assert!(red > 150 && blue < 60);
        let Rgb([red, _, blue]) = colour(-1.0);
        assert!(blue > 150 && red < 60);
        assert_eq!(colour(7.0), colour(1.0));
        assert_eq!(colour(f64::NEG_INFINITY), colour(-1.0));
    }

    #[test]
    fn lightness_falls_linearly_on_both_sides() {
        for sign in [-1.0, 1.0] {
            let end = lightness(colour(sign));
            assert!(end < 40.0, "{end}");
            let mut former = f64::INFINITY;
            for entry in 0..=ARM {
                let distance = entry as f64 / ARM as f64;
                let here = lightness(colour(sign * distance));
                // Rounding each of three channels by half a level moves L* by up to 0.2, so equal colours' neighbours
                // may step up by twice that at most; over a 64th of the arm L* falls by 1 and must show it.
                assert!(here <= former + 0.4, "{sign} {distance}: {former} then {here}");
                if entry % (ARM / 64) == 0 {
                    assert!(entry == 0 || here < former, "{sign} {distance}");
                    former = here;
                }
                // 0.45 by Oklab against L* (computed in float64 without rounding), 0.2 by rounding.
                let line = 100.0 + (end - 100.0) * distance;
                assert!((here - line).abs() <= 0.65, "{sign} {distance}: {here} off {line}");
            }
        }
    }

    #[test]
    fn both_sides_are_equally_light() {
        // The ends' L* differ by 1.7 (37.0 and 38.7) at equal Oklab lightness; the arms between them by less.
        for entry in 0..=ARM {
            let distance = entry as f64 / ARM as f64;
            let difference = lightness(colour(distance)) - lightness(colour(-distance));
            assert!(difference.abs() <= 2.1, "{distance}: {difference}");
        }
    }

    #[test]
    fn no_colour_is_clipped() {
        // A clipped channel would stand still at 0 over the last entries; each end keeps all its channels inside.
        for value in [-1.0, 1.0] {
            assert!(
                colour(value).0.iter().all(|&channel| channel > 0 && channel < 255),
                "{:?}",
                colour(value)
            );
        }
    }
}

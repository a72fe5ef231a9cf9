//! float16 arrays: every value is the float32 one, rounded once.

use crate::calls::{Engine, Images, Request, ok, picture};
use crate::run::Place;
use crate::support::Model;
use safetensors::Dtype;
use vggx::capi::explain::{VGGX_DETAIL_HEAT_MAP, VGGX_DETAIL_PLANES, VGGX_TYPE_F16, VGGX_TYPE_F32};

#[test]
fn values_are_within_half_a_step() {
    let methods =
        ["gradient", "patternnet", "pattern-attribution", "attribution:identity", "signal:identity"];
    let place = Place::new();
    let bgr = Model::tiny_classifier(5)
        .with_metadata("channel_order", "\"bgr\"")
        .with_metadata("pixel_scale", "255")
        .with_metadata("mean", "[103.9, 116.8, 123.7]")
        .with_metadata("std", "[1, 1, 1]");
    bgr.save(place.path(), "net.safetensors", Dtype::F32);
    bgr.patterns(&["positive"]).save(place.path(), "patterns.safetensors", Dtype::F32);
    let engine = Engine::of(&place);
    let pictures = [picture(&place, "a.png"), picture(&place, "b.png")];
    let images = Images::rgb8(&[&pictures[0], &pictures[1]]);
    for detail in [VGGX_DETAIL_PLANES, VGGX_DETAIL_HEAT_MAP] {
        let run = |element| {
            let mut request = Request::new(&images.batch, &methods, &[], detail, element);
            ok(request.run(&engine, &images.batch));
            request
        };
        let (full, half) = (run(VGGX_TYPE_F32), run(VGGX_TYPE_F16));
        for index in 0..full.buffers.len() {
            assert_eq!(full.scales[index], 0);
            let scale = 2f64.powi(half.scales[index]);
            let (full, halves) = (full.floats(index), half.halves(index));
            let largest = full.iter().fold(0f64, |largest, &value| largest.max(f64::from(value).abs()));
            // The largest lies in the highest binade below 2^15.
            assert!(
                (2f64.powi(14)..2f64.powi(15)).contains(&(largest / scale)),
                "{index}: {largest} {scale}"
            );
            for (full, half) in full.iter().zip(halves) {
                let (full, value) = (f64::from(*full) / scale, f64::from(half.to_f32()));
                // float16 has 11 bits, and steps of 2^−24 where it is subnormal.
                let step = if full == 0.0 { 0.0 } else { 2f64.powi(full.abs().log2().floor() as i32 - 10) };
                assert!((full - value).abs() <= 0.5 * step.max(2f64.powi(-24)), "{index}: {full} {value}");
            }
        }
    }
}

//! Pixels with gaps, apart, and as the network's input.

use crate::calls::{Engine, Images, Request, ok, picture};
use crate::run::Place;
use crate::support::Model;
use safetensors::Dtype;
use vggx::capi::explain::{VGGX_DETAIL_PLANES, VGGX_TYPE_F32};
use vggx::images::Rgb8;

const METHODS: [&str; 4] = ["gradient", "patternnet", "signal:identity", "attribution:identity"];

fn run(engine: &Engine, images: &Images) -> Request {
    assert_eq!(images.batch.images, images.count());
    let mut request = Request::new(&images.batch, &METHODS, &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    ok(request.run(engine, &images.batch));
    request
}

#[track_caller]
fn same(one: &Request, other: &Request) {
    assert_eq!(one.buffers, other.buffers);
    assert_eq!(one.scales, other.scales);
    for (one, other) in one.results.iter().zip(&other.results) {
        assert_eq!(
            (one.target, one.response, one.probability),
            (other.target, other.response, other.probability)
        );
    }
}

#[test]
fn rows_may_have_gaps() {
    let place = Place::new();
    let engine = Engine::of(&place);
    let pictures = [picture(&place, "a.png"), picture(&place, "b.png")];
    let packed = run(&engine, &Images::rgb8(&[&pictures[0], &pictures[1]]));
    for gap in [0, 1, 5] {
        let stride = 36 + gap;
        let spread = |image: &Rgb8| {
            let rows = image.pixels.chunks_exact(36);
            let mut pixels: Vec<u8> = rows.flat_map(|row| [row, &vec![99; gap][..]].concat()).collect();
            // Nothing has to be behind the last row.
            pixels.truncate(11 * stride + 36);
            Rgb8 { pixels, ..*image }
        };
        let spread = [spread(&pictures[0]), spread(&pictures[1])];
        let mut images = Images::rgb8(&[&spread[0], &spread[1]]);
        images.batch.row_stride = stride;
        same(&run(&engine, &images), &packed);
        // One image by itself takes another way.
        let mut images = Images::rgb8(&[&spread[1]]);
        images.batch.row_stride = stride;
        let alone = run(&engine, &images);
        assert_eq!(alone.buffers, packed.buffers[METHODS.len()..]);
    }
}

/// What the caller normalises gives the same bits as bytes, in either channel order.
#[test]
fn normalised_values_are_the_networks_input() {
    for bgr in [false, true] {
        let place = Place::new();
        let mut model = Model::tiny_classifier(6);
        if bgr {
            model = model
                .with_metadata("channel_order", "\"bgr\"")
                .with_metadata("pixel_scale", "255")
                .with_metadata("mean", "[103.9, 116.8, 123.7]")
                .with_metadata("std", "[50, 60, 70]");
        }
        model.save(place.path(), "net.safetensors", Dtype::F32);
        model.patterns(&["positive"]).save(place.path(), "patterns.safetensors", Dtype::F32);
        let engine = Engine::of(&place);
        let pictures = [picture(&place, "a.png"), picture(&place, "b.png")];
        let bytes = run(&engine, &Images::rgb8(&[&pictures[0], &pictures[1]]));
        let weights = model.open(place.path()).unwrap();
        let planes = |image: &Rgb8| {
            let interleaved = weights.network().preprocessing.normalise(&image.pixels);
            let mut planes = vec![0f32; interleaved.len()];
            for (index, value) in interleaved.into_iter().enumerate() {
                planes[index % 3 * 144 + index / 3] = value;
            }
            planes
        };
        let planes = [planes(&pictures[0]), planes(&pictures[1])];
        let images = Images::normalised(&[&planes[0], &planes[1]], (12, 12));
        same(&run(&engine, &images), &bytes);
        // With three values between rows, also between channels.
        let spread = |planes: &[f32]| -> Vec<f32> {
            planes.chunks_exact(12).flat_map(|row| [row, &[f32::NAN; 3]].concat()).collect()
        };
        let spread = [spread(&planes[0]), spread(&planes[1])];
        let mut images = Images::normalised(&[&spread[0], &spread[1]], (12, 12));
        images.batch.row_stride = 15 * 4;
        same(&run(&engine, &images), &bytes);
    }
}

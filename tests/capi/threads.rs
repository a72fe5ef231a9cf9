//! One engine from several threads, and several engines.

use crate::calls::{Engine, Images, Request, ok, picture};
use crate::run::Place;
use crate::support::Model;
use safetensors::Dtype;
use vggx::capi::explain::{VGGX_DETAIL_PLANES, VGGX_TYPE_F32};

const METHODS: [&str; 6] =
    ["gradient", "deconvnet", "signal:filter", "patternnet", "attribution:random", "pattern-attribution"];

fn explain(engine: &Engine, place: &Place, methods: &[&str]) -> Vec<Vec<u8>> {
    let pictures = [picture(place, "a.png"), picture(place, "b.png")];
    let images = Images::rgb8(&[&pictures[0], &pictures[1]]);
    let mut request = Request::new(&images.batch, methods, &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    ok(request.run(engine, &images.batch));
    request.buffers
}

/// Four threads that need methods nobody has prepared, in orders of their own.
#[test]
fn threads_share_an_engine() {
    let place = Place::new();
    let expected = explain(&Engine::of(&place), &place, &METHODS);
    for _ in 0..5 {
        let engine = Engine::of(&place);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (engine, place, expected) = (&engine, &place, &expected);
                scope.spawn(move || {
                    for turn in 0..METHODS.len() {
                        let at = (turn * (2 * thread + 1) + thread) % METHODS.len();
                        let one = explain(engine, place, &METHODS[at..=at]);
                        assert_eq!(one[0], expected[at], "{}", METHODS[at]);
                        assert_eq!(one[1], expected[METHODS.len() + at], "{}", METHODS[at]);
                    }
                    assert_eq!(explain(engine, place, &METHODS), *expected);
                });
            }
        });
    }
}

#[test]
fn engines_do_not_know_of_each_other() {
    let places: Vec<Place> = (1..4)
        .map(|seed| {
            let place = Place::new();
            let model = Model::tiny_classifier(seed);
            model.save(place.path(), "net.safetensors", Dtype::F32);
            model.patterns(&["positive"]).save(place.path(), "patterns.safetensors", Dtype::F32);
            place
        })
        .collect();
    let expected: Vec<_> = places.iter().map(|place| explain(&Engine::of(place), place, &METHODS)).collect();
    assert!(expected[0] != expected[1] && expected[1] != expected[2]);
    let engines: Vec<Engine> = places.iter().map(Engine::of).collect();
    std::thread::scope(|scope| {
        for ((engine, place), expected) in engines.iter().zip(&places).zip(&expected) {
            scope.spawn(move || {
                for _ in 0..10 {
                    assert_eq!(explain(engine, place, &METHODS), *expected);
                }
            });
        }
    });
}

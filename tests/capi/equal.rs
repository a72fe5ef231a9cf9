//! The same bits as the command line's npy files.

use crate::calls::{Engine, Images, Init, Options, Request, ok, picture, text};
use crate::run::{Place, TINY};
use crate::support::{Model, bundled};
use npyz::NpyFile;
use safetensors::Dtype;
use std::io::Cursor;
use vggx::capi::classify::{vggx_class, vggx_classify, vggx_responses};
use vggx::capi::explain::{VGGX_DETAIL_HEAT_MAP, VGGX_DETAIL_PLANES, VGGX_TYPE_F32};
use vggx::capi::image::{
    vggx_image_free, vggx_image_load, vggx_image_pixels, vggx_load_options, vggx_pixels,
};
use vggx::capi::status::VGGX_OK;
use vggx::images::{LoadOptions, Rgb8, load};

fn npy(bytes: &[u8]) -> Vec<f32> {
    NpyFile::new(Cursor::new(bytes)).expect("npy").into_vec().expect("float32")
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Every method that the patterns of the tests allow, and one twice under another name.
const METHODS: [&str; 13] = [
    "gradient",
    "deconvnet",
    "guided-backprop",
    "patternnet",
    "pattern-attribution",
    "signal:identity",
    "signal:filter",
    "signal:random",
    "signal:two-component",
    "attribution:identity",
    "attribution:filter",
    "attribution:random",
    "attribution:two-component",
];

/// Compares arrays, targets, responses and probabilities of two pictures with what the command line wrote into `o`.
#[track_caller]
fn same_as_files(place: &Place, request: &Request, methods: &[&str]) {
    let mut zeros = 0;
    for (image, row) in place.manifest("o").into_iter().enumerate() {
        let stem = ["a", "b"][image];
        let result = request.results[image];
        assert_eq!(result.status, VGGX_OK);
        assert_eq!(row["target"], result.target);
        assert_eq!(row["response"].as_f64(), Some(f64::from(result.response)));
        match row["probability"].as_f64() {
            Some(probability) => assert_eq!(result.probability, probability),
            None => assert!(result.probability.is_nan()),
        }
        for (index, method) in methods.iter().enumerate() {
            let index = image * methods.len() + index;
            let theirs = npy(&place.read(&format!("o/{stem}.{}.npy", method.replace(':', "-"))));
            // A tiny network may send nothing back, but not by most methods.
            zeros += usize::from(theirs.iter().all(|&value| value == 0.0));
            assert_eq!(bits(&request.floats(index)), bits(&theirs), "{stem} {method}");
            assert_eq!(row["methods"][method]["scale_log2"], request.scales[index], "{stem} {method}");
        }
    }
    assert!(zeros <= methods.len() / 3, "{zeros}");
}

/// Writes a network into the place, and its patterns.
fn save(place: &Place, model: &Model) {
    model.save(place.path(), "net.safetensors", Dtype::F32);
    model.patterns(&["positive"]).save(place.path(), "patterns.safetensors", Dtype::F32);
}

#[test]
fn arrays_are_those_of_the_command_line() {
    let bgr = |model: Model| {
        model
            .with_metadata("channel_order", "\"bgr\"")
            .with_metadata("pixel_scale", "255")
            .with_metadata("mean", "[103.9, 116.8, 123.7]")
            .with_metadata("std", "[50, 60, 70]")
    };
    for (model, targets) in [
        (Model::tiny_classifier(1), ["top1", "top2", "5"]),
        (bgr(Model::tiny_classifier(2)), ["top3", "0", "7"]),
        (bgr(Model::tiny(3)), ["top1", "2", "top2"]),
    ] {
        let place = Place::new();
        save(&place, &model);
        let engine = Engine::of(&place);
        let pictures = [picture(&place, "a.png"), picture(&place, "b.png")];
        let images = Images::rgb8(&[&pictures[0], &pictures[1]]);
        for target in targets {
            let mut request =
                Request::new(&images.batch, &METHODS, &[target], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
            ok(request.run(&engine, &images.batch));
            let methods = METHODS.join(",");
            place
                .explain(&format!(
                    "a.png b.png --patterns patterns.safetensors --device cpu --method {methods} --target {target} \
                     --format npy --batch 1 --overwrite -o o"
                ))
                .done();
            same_as_files(&place, &request, &METHODS);
        }
    }
}

#[test]
fn every_image_may_have_its_own_target_and_a_label_is_one() {
    let place = Place::new();
    place.write("labels.txt", "ant\nbee\ncat\ndog\neel\nfox\ngnu\nhen\n");
    place.write("list.txt", "a.png\tfox\nb.png\ttop4\n");
    let engine = Engine::open(&Options {
        weights: Some(text(place.file("net.safetensors"))),
        labels: Some(text(place.file("labels.txt"))),
        ..Options::default()
    });
    let pictures = [picture(&place, "a.png"), picture(&place, "b.png")];
    let images = Images::rgb8(&[&pictures[0], &pictures[1]]);
    let methods = ["gradient", "signal:filter"];
    let targets = ["fox", "top4"];
    let mut request = Request::new(&images.batch, &methods, &targets, VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    ok(request.run(&engine, &images.batch));
    assert_eq!(request.results[0].target, 5);
    place
        .explain(
            "@list.txt --target key --labels labels.txt --device cpu --method gradient,signal:filter --format npy -o o",
        )
        .done();
    same_as_files(&place, &request, &methods);
}

/// Values beyond float32 come with an exponent; a caller who takes none is told.
#[test]
fn exponents_are_those_of_the_command_line() {
    let place = Place::new();
    let mut patterns = Model::tiny_classifier(4).patterns(&["positive"]);
    // Five layers bring the signal to about 1e60.
    patterns.tensors.values_mut().for_each(|(_, values)| values.iter_mut().for_each(|value| *value *= 1e12));
    patterns.save(place.path(), "patterns.safetensors", Dtype::F32);
    let engine = Engine::of(&place);
    let pictures = [picture(&place, "a.png"), picture(&place, "b.png")];
    let images = Images::rgb8(&[&pictures[0], &pictures[1]]);
    let methods = ["patternnet", "signal:identity"];
    let request = || Request::new(&images.batch, &methods, &["1"], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    let mut with = request();
    ok(with.run(&engine, &images.batch));
    assert!(with.scales[0] > 128 && with.scales[1] == 0, "{:?}", with.scales);
    place
        .vggx(&format!(
            "{TINY} a.png b.png --device cpu --patterns patterns.safetensors --method patternnet,signal:identity --target 1 --format npy -o o"
        ))
        .done();
    same_as_files(&place, &with, &methods);

    let mut without = request();
    without.scales.clear();
    let results = without.results.as_mut_ptr();
    // SAFETY: everything is there; no exponents are wanted.
    let status = unsafe {
        vggx::capi::explain::vggx_explain(
            engine.0,
            &images.batch,
            &without.raw,
            results,
            2,
            std::ptr::null_mut(),
            0,
        )
    };
    assert_eq!(status, vggx::capi::status::VGGX_ERROR_IMAGE);
    let message = crate::calls::last_error();
    assert!(message.contains("image 0: patternnet") && message.contains("give scale_log2"), "{message}");
}

#[test]
fn heat_maps_are_sums_of_planes() {
    let place = Place::new();
    let engine = Engine::of(&place);
    let pictures = [picture(&place, "a.png"), picture(&place, "b.png")];
    let images = Images::rgb8(&[&pictures[0], &pictures[1]]);
    let run = |detail| {
        let mut request = Request::new(&images.batch, &METHODS, &[], detail, VGGX_TYPE_F32);
        ok(request.run(&engine, &images.batch));
        request
    };
    let (planes, maps) = (run(VGGX_DETAIL_PLANES), run(VGGX_DETAIL_HEAT_MAP));
    for index in 0..2 * METHODS.len() {
        let (planes, map) = (planes.floats(index), maps.floats(index));
        assert_eq!((planes.len(), map.len()), (3 * 144, 144));
        let largest = planes.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        for (position, value) in map.iter().enumerate() {
            let sum: f64 = (0..3).map(|plane| f64::from(planes[plane * 144 + position])).sum();
            // The sum is rounded once; planes were rounded when they were multiplied with their exponents, exactly.
            assert!((sum - f64::from(*value)).abs() <= f64::from(largest) * 2f64.powi(-23), "{index}");
        }
    }
}

#[test]
fn classes_are_the_largest_responses() {
    for (model, outputs) in [(Model::tiny_classifier(1), 8), (Model::tiny(1), 5)] {
        let place = Place::new();
        model.save(place.path(), "net.safetensors", Dtype::F32);
        let engine = Engine::open(&Options {
            weights: Some(text(place.file("net.safetensors"))),
            ..Options::default()
        });
        let pictures = [picture(&place, "a.png"), picture(&place, "b.png")];
        let images = Images::rgb8(&[&pictures[0], &pictures[1]]);
        let (mut responses, mut statuses) = (vec![0f32; 2 * outputs], [-1; 2]);
        let none = vggx_class { probability: 0.0, output: 0, response: 0.0, status: -1 };
        let mut classes = vec![none; 2 * outputs];
        // SAFETY: there is room for all.
        unsafe {
            let (to, count) = (responses.as_mut_ptr(), responses.len());
            ok(vggx_responses(engine.0, &images.batch, to, count, statuses.as_mut_ptr(), 2));
            ok(vggx_classify(engine.0, &images.batch, outputs, classes.as_mut_ptr(), classes.len()));
        }
        assert_eq!(statuses, [VGGX_OK; 2]);
        for (responses, classes) in responses.chunks_exact(outputs).zip(classes.chunks_exact(outputs)) {
            let total: f64 = responses.iter().map(|&response| f64::from(response).exp()).sum();
            assert!(classes.is_sorted_by(|a, b| a.response >= b.response));
            let mut seen: Vec<usize> = classes.iter().map(|class| class.output).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..outputs));
            for class in classes {
                assert_eq!((class.status, class.response), (VGGX_OK, responses[class.output]));
                match outputs {
                    8 => {
                        let probability = f64::from(class.response).exp() / total;
                        assert!((class.probability - probability).abs() < 1e-12);
                    }
                    _ => assert!(class.probability.is_nan()),
                }
            }
        }
        for target in ["top1", "top2", "top4"] {
            let mut request =
                Request::new(&images.batch, &["gradient"], &[target], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
            ok(request.run(&engine, &images.batch));
            let rank: usize = target[3..].parse().unwrap();
            for (image, result) in request.results.iter().enumerate() {
                let class = classes[image * outputs + rank - 1];
                assert_eq!((class.output, class.response), (result.target, result.response));
            }
        }
    }
}

/// The bundled network and its patterns, found without being named; images that vggx loads.
#[test]
fn the_bundled_network_explains_a_photo() {
    let files = ["vgg16-features.safetensors", "vgg16-features-patterns.safetensors"].map(bundled);
    if files.iter().any(Option::is_none) {
        return;
    }
    let place = Place::new();
    let photo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/cat.jpg");
    let (path, mut image) = (text(&photo), std::ptr::null_mut());
    let mut pixels = vggx_pixels::init();
    let options = vggx_load_options { resize: 72, crop: 64, ..Init::init() };
    // SAFETY: the path is a string, the options are complete.
    unsafe {
        ok(vggx_image_load(path.as_ptr(), &options, &mut image));
        ok(vggx_image_pixels(image, &mut pixels));
    }
    let expected = load(&photo, &LoadOptions { resize: 72, crop: 64, ..LoadOptions::default() }).unwrap();
    // SAFETY: the image is not freed yet.
    let loaded = unsafe { std::slice::from_raw_parts(pixels.pixels, pixels.bytes) };
    let loaded = Rgb8 { width: pixels.width, height: pixels.height, pixels: loaded.to_vec() };
    assert!(loaded == expected && pixels.row_stride == 3 * 64);
    // SAFETY: not used any more.
    ok(unsafe { vggx_image_free(image) });

    let engine = Engine::open(&Options::default());
    let images = Images::rgb8(&[&loaded]);
    let methods = ["patternnet", "pattern-attribution", "guided-backprop"];
    let mut request = Request::new(&images.batch, &methods, &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    ok(request.run(&engine, &images.batch));
    let photo = photo.display();
    place
        .vggx(&format!(
            "explain {photo} --device cpu --resize 72 --crop 64 --format npy --method {} -o o",
            methods.join(",")
        ))
        .done();
    let row = &place.manifest("o")[0];
    assert_eq!(row["target"], request.results[0].target);
    for (index, method) in methods.iter().enumerate() {
        let theirs = npy(&place.read(&format!("o/cat.{method}.npy")));
        assert_eq!(bits(&request.floats(index)), bits(&theirs), "{method}");
    }
}

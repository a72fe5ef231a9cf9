//! What an engine says about itself.

use crate::calls::{Engine, Init, Options, last_error, ok, text};
use crate::run::Place;
use crate::support::Model;
use safetensors::Dtype;
use std::ffi::{CStr, c_char};
use std::ptr::{null, null_mut};
use vggx::capi::description::{
    VGGX_LAYER_CONVOLUTION, VGGX_LAYER_DENSE, vggx_description, vggx_engine_describe, vggx_engine_label,
    vggx_engine_layer, vggx_engine_memory, vggx_layer,
};
use vggx::capi::engine::{vggx_engine_open, vggx_engine_options};
use vggx::capi::status::{
    VGGX_ERROR_ARGUMENT, VGGX_ERROR_DEVICE, VGGX_ERROR_FILE, VGGX_ERROR_FORMAT, VGGX_ERROR_UNSUPPORTED,
    vggx_status_name,
};
use vggx::capi::version::{vggx_build_info, vggx_method_name, vggx_version};
use vggx::weights::bundled;

fn string(pointer: *const c_char) -> String {
    assert!(!pointer.is_null());
    // SAFETY: strings of the library end.
    unsafe { CStr::from_ptr(pointer) }.to_str().expect("UTF-8").to_owned()
}

#[test]
fn an_engine_says_what_it_holds() {
    let place = Place::new();
    place.write("labels.txt", "ant\nbee\ncat\ndog\neel\nfox\ngnu\nhen\n");
    let engine = Engine::open(&Options {
        weights: Some(text(place.file("net.safetensors"))),
        patterns: Some(text(place.file("patterns.safetensors"))),
        labels: Some(text(place.file("labels.txt"))),
        threads: 3,
        ..Options::default()
    });
    let mut description = vggx_description::init();
    // SAFETY: an engine and a struct with its size.
    ok(unsafe { vggx_engine_describe(engine.0, &mut description) });
    assert_eq!(string(description.weights), place.file("net.safetensors").display().to_string());
    assert_eq!(string(description.patterns), place.file("patterns.safetensors").display().to_string());
    assert_eq!(string(description.architecture), "custom");
    assert_eq!((string(description.device), string(description.precision)), ("cpu".into(), "f32".into()));
    assert!(string(description.device_description).contains("3 threads"));
    assert_eq!(string(description.channel_order), "rgb");
    // Weights and biases of 3 → 4 → 5 and 20 → 6 → 7 → 8.
    let parameters = (27 + 1) * 4 + (36 + 1) * 5 + (20 + 1) * 6 + (6 + 1) * 7 + (7 + 1) * 8;
    assert_eq!((description.parameters, description.outputs, description.layers), (parameters, 8, 5));
    assert_eq!((description.smallest_side, description.preferred_batch), (4, 8));
    assert_eq!((description.mean, description.std), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]));
    assert_eq!(description.pixel_scale, 1.0);
    assert_eq!((description.has_classifier, description.has_labels, description.has_patterns), (1, 1, 1));

    let mut layers = Vec::new();
    for index in 0..5 {
        let mut layer = vggx_layer::init();
        // SAFETY: as above.
        ok(unsafe { vggx_engine_layer(engine.0, index, &mut layer) });
        layers.push((string(layer.name), layer.kind, layer.inputs, layer.outputs, layer.pool));
    }
    let (convolution, dense) = (VGGX_LAYER_CONVOLUTION, VGGX_LAYER_DENSE);
    assert_eq!(
        layers,
        [
            ("features.0".to_owned(), convolution, 3, 4, 1),
            ("features.3".to_owned(), convolution, 4, 5, 1),
            ("classifier.0".to_owned(), dense, 20, 6, 0),
            ("classifier.3".to_owned(), dense, 6, 7, 0),
            ("classifier.6".to_owned(), dense, 7, 8, 0),
        ]
    );
    let mut label = null();
    // SAFETY: as above.
    ok(unsafe { vggx_engine_label(engine.0, 5, &mut label) });
    assert_eq!(string(label), "fox");
    // SAFETY: as above.
    let status = unsafe { vggx_engine_label(engine.0, 8, &mut label) };
    assert!(status == VGGX_ERROR_ARGUMENT && label.is_null() && last_error().contains("8"));
}

#[test]
fn outputs_have_names_where_there_are_a_thousand_classes() {
    let place = Place::new();
    let has_labels = |engine: &Engine| {
        let mut description = vggx_description::init();
        // SAFETY: an engine and a struct with its size.
        ok(unsafe { vggx_engine_describe(engine.0, &mut description) });
        description.has_labels
    };
    let label = |engine: &Engine, output| {
        let mut label = null();
        // SAFETY: as above.
        ok(unsafe { vggx_engine_label(engine.0, output, &mut label) });
        (!label.is_null()).then(|| string(label))
    };
    let eight = Engine::of(&place);
    assert_eq!((has_labels(&eight), label(&eight, 7)), (0, None));
    Model::vgg(&[vec![4], vec![5]], 2, &[6, 1000], 3).save(place.path(), "thousand.safetensors", Dtype::F32);
    let weights = Some(text(place.file("thousand.safetensors")));
    let thousand = Engine::open(&Options { weights, ..Options::default() });
    assert_eq!(has_labels(&thousand), 1);
    assert_eq!(label(&thousand, 0).as_deref(), Some("tench"));
    assert_eq!(label(&thousand, 207).as_deref(), Some("golden retriever"));
    assert_eq!(label(&thousand, 999).as_deref(), Some("toilet tissue"));
}

#[test]
fn memory_grows_with_the_batch() {
    let engine = Engine::of(&Place::new());
    let needed = |images, side| {
        let (mut host, mut device) = (0, 7);
        // SAFETY: an engine and places for numbers.
        ok(unsafe { vggx_engine_memory(engine.0, images, side, side, &mut host, &mut device) });
        assert_eq!(device, 0);
        host
    };
    let one = needed(1, 224);
    // At least the first layer's output, 4 channels of float32.
    assert!(one > 224 * 224 * 4 * 4 && one < 40 * 224 * 224 * 4, "{one}");
    assert_eq!(needed(16, 224), 16 * one);
    let (mut host, mut device) = (0, 0);
    for (images, side, words) in [
        (1, 3, "4×4"),
        (0, 12, "images is 0"),
        (usize::MAX, 12, "more than memory"),
        (1, 1 << 40, "more than"),
    ] {
        // SAFETY: as above.
        let status = unsafe { vggx_engine_memory(engine.0, images, side, side, &mut host, &mut device) };
        assert!(status == VGGX_ERROR_ARGUMENT && last_error().contains(words), "{}", last_error());
    }
}

#[test]
fn the_build_says_what_it_is() {
    assert_eq!(string(vggx_version()), env!("CARGO_PKG_VERSION"));
    let info: serde_json::Value = serde_json::from_str(&string(vggx_build_info())).expect("JSON");
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert!(info["cuda_architectures"].is_array() && info["cpu"].is_string());
    let names: Vec<String> =
        (0..).map(|index| vggx_method_name(index)).take_while(|name| !name.is_null()).map(string).collect();
    assert_eq!(names.len(), 15);
    assert!(names.contains(&"pattern-attribution".to_owned()) && names.contains(&"signal:linear".to_owned()));
    assert!(vggx_method_name(usize::MAX).is_null());
    assert_eq!(string(vggx_status_name(VGGX_ERROR_FILE)), "VGGX_ERROR_FILE");
    assert_eq!(string(vggx_status_name(-7)), "unknown status");
}

/// The bundled files are looked for in a folder of the caller's first.
#[test]
fn bundled_files_may_be_elsewhere() {
    let place = Place::new();
    std::fs::create_dir(place.file("data")).unwrap();
    let name = |name: &str| place.file(format!("data/{name}"));
    std::fs::rename(place.file("net.safetensors"), name(bundled::WEIGHTS)).unwrap();
    std::fs::rename(place.file("patterns.safetensors"), name(bundled::PATTERNS)).unwrap();
    let data = text(place.file("data"));
    let options = vggx_engine_options { data: data.as_ptr(), device: c"cpu".as_ptr(), ..Init::init() };
    let mut engine = null_mut();
    // SAFETY: the options are complete.
    ok(unsafe { vggx_engine_open(&options, &mut engine) });
    let engine = Engine(engine);
    let mut description = vggx_description::init();
    // SAFETY: an engine and a struct with its size.
    ok(unsafe { vggx_engine_describe(engine.0, &mut description) });
    assert_eq!(string(description.weights), name(bundled::WEIGHTS).display().to_string());
    assert_eq!(string(description.patterns), name(bundled::PATTERNS).display().to_string());
    assert_eq!((description.outputs, description.has_patterns), (8, 1));
}

/// What is wrong with the files and options, in the words of the fields.
#[test]
fn engines_that_cannot_be_opened_say_why() {
    let place = Place::new();
    place.write("empty", "");
    place.write("short.txt", "ant\nbee\n");
    let files = ["net.safetensors", "patterns.safetensors", "empty", "missing", "short.txt"]
        .map(|name| text(place.file(name)));
    let [net, patterns, empty, missing, short] = files.each_ref().map(|name| name.as_ptr());
    let base = vggx_engine_options { weights: net, device: c"cpu".as_ptr(), ..Init::init() };
    let zeros = [1f32, 0.0, 1.0];
    let cases = [
        (vggx_engine_options { weights: missing, ..base }, VGGX_ERROR_FILE, "no such file"),
        (vggx_engine_options { weights: empty, ..base }, VGGX_ERROR_FORMAT, "empty"),
        (vggx_engine_options { weights: patterns, ..base }, VGGX_ERROR_FORMAT, "tensor"),
        (vggx_engine_options { weights: c"".as_ptr(), ..base }, VGGX_ERROR_ARGUMENT, "weights is empty"),
        (vggx_engine_options { patterns: missing, ..base }, VGGX_ERROR_FILE, "no such file"),
        (vggx_engine_options { patterns: net, ..base }, VGGX_ERROR_FORMAT, "patterns"),
        (vggx_engine_options { labels: missing, ..base }, VGGX_ERROR_FILE, "labels"),
        (vggx_engine_options { labels: short, ..base }, VGGX_ERROR_FORMAT, "8 outputs"),
        (vggx_engine_options { device: c"gpu".as_ptr(), ..base }, VGGX_ERROR_ARGUMENT, "device is 'gpu'"),
        (vggx_engine_options { device: c"\xff".as_ptr(), ..base }, VGGX_ERROR_ARGUMENT, "UTF-8"),
        (vggx_engine_options { device: c"cuda:60000".as_ptr(), ..base }, VGGX_ERROR_DEVICE, "cuda:60000"),
        (
            vggx_engine_options { precision: c"f64".as_ptr(), ..base },
            VGGX_ERROR_ARGUMENT,
            "precision is 'f64'",
        ),
        (
            vggx_engine_options { precision: c"f16".as_ptr(), ..base },
            VGGX_ERROR_UNSUPPORTED,
            "ask for precision f32",
        ),
        (vggx_engine_options { threads: 65536, ..base }, VGGX_ERROR_ARGUMENT, "threads"),
        (vggx_engine_options { batch: u32::MAX, ..base }, VGGX_ERROR_ARGUMENT, "batch"),
        (vggx_engine_options { reserved: 1, ..base }, VGGX_ERROR_ARGUMENT, "reserved"),
        (vggx_engine_options { pixel_scale: -1.0, ..base }, VGGX_ERROR_ARGUMENT, "pixel_scale"),
        (vggx_engine_options { pixel_scale: f32::NAN, ..base }, VGGX_ERROR_ARGUMENT, "pixel_scale"),
        (vggx_engine_options { std: zeros.as_ptr(), ..base }, VGGX_ERROR_ARGUMENT, "std"),
        (
            vggx_engine_options { channel_order: c"grb".as_ptr(), ..base },
            VGGX_ERROR_ARGUMENT,
            "channel_order",
        ),
        (vggx_engine_options { size: 0, ..base }, VGGX_ERROR_ARGUMENT, "VGGX_INIT(vggx_engine_options)"),
    ];
    for (options, status, words) in cases {
        let mut engine = std::ptr::dangling_mut();
        // SAFETY: the options are complete.
        let got = unsafe { vggx_engine_open(&options, &mut engine) };
        let message = last_error();
        assert_eq!(got, status, "{message}");
        assert!(engine.is_null() && message.contains(words), "{words:?} is not in: {message}");
        assert!(!message.contains("--") && !message.contains('\n'), "{message}");
    }
    // SAFETY: null is found out.
    assert_eq!(unsafe { vggx_engine_open(&base, null_mut()) }, VGGX_ERROR_ARGUMENT);
}

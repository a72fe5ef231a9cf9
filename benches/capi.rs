//! What a call of the C API costs over the Rust API: the same work through both in turn, on a network so small that little else is
//! left to time.
//!
//! `cargo bench --bench capi`; with `-- --test` each runs once.

use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::mem::zeroed;
use std::os::unix::ffi::OsStrExt;
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::time::Instant;

use vggx::backend::{Batch, Pixels};
use vggx::capi::batch::vggx_batch;
use vggx::capi::classify::vggx_responses;
use vggx::capi::engine::{vggx_engine, vggx_engine_close, vggx_engine_open, vggx_engine_options};
use vggx::capi::explain::{vggx_explain, vggx_explained, vggx_request};
use vggx::capi::status::VGGX_OK;
use vggx::explain::{Detail, Explainer, Exponent, Method, Request, Target, on_cpu};
use vggx::network::PreprocessingOverrides;
use vggx::weights::{ElementType, NewTensor, Weights, write_tensors};

/// Side of the images.
const SIDE: usize = 8;
/// Outputs of the network.
const OUTPUTS: usize = 4;

fn main() {
    let turns = if std::env::args().any(|argument| argument == "--test") { 1 } else { 20_000 };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tiny.safetensors");
    let tensor = |name: &str, shape: &[usize]| NewTensor {
        name: name.to_owned(),
        shape: shape.to_vec(),
        element: ElementType::F32,
        bytes: (0..shape.iter().product::<usize>())
            .flat_map(|index| ((index % 7) as f32 - 2.9).to_le_bytes())
            .collect::<Vec<u8>>()
            .into(),
    };
    let tensors = [tensor("features.0.weight", &[OUTPUTS, 3, 3, 3]), tensor("features.0.bias", &[OUTPUTS])];
    write_tensors(&path, &BTreeMap::new(), &tensors).expect("a writable folder");

    let weights = Arc::new(Weights::open(&path, &PreprocessingOverrides::default()).expect("a network"));
    let cpu = on_cpu(&weights, 1).expect("a network");
    let methods = [Method::Gradient];
    let explainer = Explainer::new(Box::new(cpu), &weights, None, &methods, None, 0).expect("runs");
    let pixels: Vec<u8> = (0..3 * SIDE * SIDE).map(|index| (index * 37) as u8).collect();
    let batch = Batch { images: 1, height: SIDE, width: SIDE, pixels: Pixels::Rgb8(&pixels) };
    let request =
        Request { methods: &methods, detail: Detail::Planes, exponent: Exponent::Folded, destinations: None };

    let engine = open(&path);
    let pointers: [*const c_void; 1] = [pixels.as_ptr().cast()];
    let mut array = [0f32; 3 * SIDE * SIDE];
    let outputs: [*mut c_void; 1] = [array.as_mut_ptr().cast()];
    let names = [c"gradient".as_ptr()];
    let raw_batch = vggx_batch {
        size: size_of::<vggx_batch>(),
        images: 1,
        height: SIDE,
        width: SIDE,
        pixels: pointers.as_ptr(),
        image_bytes: pixels.len(),
        // SAFETY: zero stands for the default of every field.
        ..unsafe { zeroed() }
    };
    let raw_request = vggx_request {
        size: size_of::<vggx_request>(),
        methods: names.as_ptr(),
        method_count: 1,
        outputs: outputs.as_ptr(),
        output_count: 1,
        output_bytes: size_of_val(&array),
        // SAFETY: as above.
        ..unsafe { zeroed() }
    };

    report(
        "explain",
        turns,
        || {
            let explained =
                explainer.explain_batch(&batch, &[Target::Top(1)], &request).expect("runs").remove(0);
            assert!(explained.is_ok());
        },
        || {
            let mut result = vggx_explained { probability: 0.0, target: 0, response: 0.0, status: -1 };
            let mut scale = 0;
            // SAFETY: everything is there and as large as it is said to be.
            let status =
                unsafe { vggx_explain(engine, &raw_batch, &raw_request, &mut result, 1, &mut scale, 1) };
            assert_eq!(status, VGGX_OK);
        },
    );
    report(
        "responses",
        turns,
        || assert!(explainer.respond(&batch).expect("runs")[0].is_ok()),
        || {
            let mut responses = [0f32; OUTPUTS];
            // SAFETY: as above.
            let status =
                unsafe { vggx_responses(engine, &raw_batch, responses.as_mut_ptr(), OUTPUTS, null_mut(), 0) };
            assert_eq!(status, VGGX_OK);
        },
    );
    // SAFETY: not used any more.
    assert_eq!(unsafe { vggx_engine_close(engine) }, VGGX_OK);
}

fn open(path: &std::path::Path) -> *mut vggx_engine {
    let weights = CString::new(path.as_os_str().as_bytes()).expect("no zero byte");
    let options = vggx_engine_options {
        size: size_of::<vggx_engine_options>(),
        weights: weights.as_ptr(),
        patterns: null(),
        device: c"cpu".as_ptr(),
        threads: 1,
        // SAFETY: zero stands for the default of every field.
        ..unsafe { zeroed() }
    };
    let mut engine = null_mut();
    // SAFETY: the options are complete.
    assert_eq!(unsafe { vggx_engine_open(&options, &mut engine) }, VGGX_OK);
    engine
}

/// Times both in turn, so that a busy machine disturbs both, and prints medians.
fn report(name: &str, turns: usize, mut rust: impl FnMut(), mut c: impl FnMut()) {
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e6
    };
    let mut times: Vec<[f64; 3]> = (0..turns)
        .map(|turn| {
            // Whichever comes second finds the caches warmer.
            let (rust, c) = if turn % 2 == 0 {
                let rust = time(&mut rust);
                (rust, time(&mut c))
            } else {
                let c = time(&mut c);
                (time(&mut rust), c)
            };
            [rust, c, c - rust]
        })
        .collect();
    let mut median = |which: usize| {
        times.sort_by(|a, b| a[which].total_cmp(&b[which]));
        times[times.len() / 2][which]
    };
    let [rust, c, over] = [median(0), median(1), median(2)];
    // With one turn each, caches are cold.
    assert!(
        turns == 1 || over < 20.0,
        "{name}: a call of the C API takes {over:.1} µs more than the Rust API's"
    );
    println!("{name}: Rust {rust:.1} µs, C {c:.1} µs, C over Rust {over:.1} µs (medians of {turns})");
}

//! Arguments that are wrong, one at a time: an error that names them, and an engine that works as before.

use crate::calls::{Engine, Images, Init, NOTHING, Request, last_error, ok, picture};
use crate::run::Place;
use std::ffi::c_void;
use std::ptr::{null, null_mut};
use vggx::capi::batch::{VGGX_MEMORY_CUDA, VGGX_PIXELS_NORMALISED, vggx_batch};
use vggx::capi::classify::{vggx_class, vggx_classify, vggx_responses};
use vggx::capi::engine::{vggx_engine_close, vggx_engine_prepare};
use vggx::capi::explain::{
    VGGX_DETAIL_HEAT_MAP, VGGX_DETAIL_PLANES, VGGX_TYPE_F16, VGGX_TYPE_F32, vggx_explain, vggx_request,
};
use vggx::capi::image::{vggx_image_free, vggx_image_load, vggx_image_pixels, vggx_load_options};
use vggx::capi::job::{vggx_job_cancel, vggx_job_free, vggx_job_poll, vggx_job_wait};
use vggx::capi::learner::vggx_learner_close;
use vggx::capi::status::{
    VGGX_ERROR_ARGUMENT, VGGX_ERROR_FILE, VGGX_ERROR_FORMAT, VGGX_ERROR_UNSUPPORTED, VGGX_OK, vggx_status,
};

#[track_caller]
fn refused(status: vggx_status, expected: vggx_status, words: &str) {
    let message = last_error();
    assert_eq!(status, expected, "{message}");
    assert!(message.contains(words), "{words:?} is not in: {message}");
    assert!(!message.contains("--") && !message.contains('\n'), "{message}");
}

const ARGUMENT: vggx_status = VGGX_ERROR_ARGUMENT;

#[test]
fn wrong_batches_and_requests_are_refused() {
    let place = Place::new();
    let engine = Engine::of(&place);
    let pictures = [picture(&place, "a.png"), picture(&place, "b.png")];
    let images = Images::rgb8(&[&pictures[0], &pictures[1]]);
    let good = images.batch;
    let methods = ["gradient", "patternnet"];
    let mut request = Request::new(&good, &methods, &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    ok(request.run(&engine, &good));
    let expected = request.buffers.clone();

    let missing = [pictures[0].pixels.as_ptr().cast(), null::<c_void>()];
    let odd =
        [pictures[0].pixels.as_ptr().wrapping_add(pictures[0].pixels.as_ptr().align_offset(4) + 1).cast(); 2];
    let normalised = vggx_batch { format: VGGX_PIXELS_NORMALISED, image_bytes: 1728, ..good };
    let batches = [
        (vggx_batch { size: 3, ..good }, ARGUMENT, "VGGX_INIT(vggx_batch)"),
        // Half a pointer.
        (vggx_batch { size: 36, ..good }, ARGUMENT, "VGGX_INIT(vggx_batch)"),
        (vggx_batch { images: 0, ..good }, ARGUMENT, "images is 0"),
        (vggx_batch { images: usize::MAX, ..good }, ARGUMENT, "more than memory"),
        (vggx_batch { images: 3, ..good }, ARGUMENT, "result_count is 2"),
        (vggx_batch { height: 3, ..good }, ARGUMENT, "too small"),
        (vggx_batch { width: 0, ..good }, ARGUMENT, "too small"),
        (vggx_batch { height: usize::MAX / 2, ..good }, ARGUMENT, "more than memory"),
        (vggx_batch { width: usize::MAX / 2, ..good }, ARGUMENT, "more than memory"),
        (vggx_batch { format: 2, ..good }, ARGUMENT, "format is 2"),
        (vggx_batch { format: -1, ..good }, ARGUMENT, "format is -1"),
        (vggx_batch { memory: 7, ..good }, ARGUMENT, "memory is 7"),
        (vggx_batch { memory: VGGX_MEMORY_CUDA, ..good }, VGGX_ERROR_UNSUPPORTED, "CUDA"),
        (vggx_batch { pixels: null(), ..good }, ARGUMENT, "pixels is null"),
        (
            vggx_batch { pixels: good.pixels.cast::<u8>().wrapping_add(1).cast(), ..good },
            ARGUMENT,
            "multiple of 8",
        ),
        (vggx_batch { pixels: missing.as_ptr(), ..good }, ARGUMENT, "pixels[1] is null"),
        (vggx_batch { image_bytes: 431, ..good }, ARGUMENT, "image_bytes is 431"),
        (vggx_batch { row_stride: 35, ..good }, ARGUMENT, "row_stride is 35"),
        (vggx_batch { row_stride: 37, ..good }, ARGUMENT, "image_bytes is 432"),
        (vggx_batch { row_stride: usize::MAX, ..good }, ARGUMENT, "more than memory"),
        (vggx_batch { row_stride: 50, ..normalised }, ARGUMENT, "multiple of 4"),
        (vggx_batch { image_bytes: 1727, ..normalised }, ARGUMENT, "image_bytes is 1727"),
        (vggx_batch { pixels: odd.as_ptr(), ..normalised }, ARGUMENT, "multiple of 4"),
    ];
    for (batch, status, words) in batches {
        refused(request.run(&engine, &batch), status, words);
    }

    let raw = request.raw;
    let names = [c"gradient".as_ptr(), c"lrp".as_ptr(), null()];
    let linear = [c"signal:linear".as_ptr(); 2];
    let targets = [c"1".as_ptr(), c"key".as_ptr(), c"8".as_ptr(), null()];
    let one_missing = [request.buffers[0].as_mut_ptr().cast(), null_mut::<c_void>(), null_mut(), null_mut()];
    let odd = [request.buffers[0].as_mut_ptr().wrapping_add(1).cast::<c_void>(); 4];
    let requests = [
        (vggx_request { size: 1 << 20, ..raw }, ARGUMENT, "VGGX_INIT(vggx_request)"),
        (vggx_request { methods: null(), ..raw }, ARGUMENT, "methods is null"),
        (vggx_request { method_count: 0, ..raw }, ARGUMENT, "method_count is 0"),
        (vggx_request { method_count: usize::MAX, ..raw }, ARGUMENT, "method_count"),
        (vggx_request { methods: names.as_ptr(), ..raw }, ARGUMENT, "unknown method 'lrp'"),
        (vggx_request { methods: names[1..].as_ptr(), ..raw }, ARGUMENT, "unknown method 'lrp'"),
        (vggx_request { methods: names[2..].as_ptr(), ..raw }, ARGUMENT, "methods[0] is null"),
        (vggx_request { methods: linear.as_ptr(), ..raw }, VGGX_ERROR_UNSUPPORTED, "linear"),
        (vggx_request { target: c"top9".as_ptr(), ..raw }, ARGUMENT, "top9"),
        (vggx_request { target: c"8".as_ptr(), ..raw }, ARGUMENT, "target 8"),
        (vggx_request { target: c"".as_ptr(), ..raw }, ARGUMENT, "target"),
        (vggx_request { target: c"\xc0".as_ptr(), ..raw }, ARGUMENT, "target is not UTF-8"),
        (vggx_request { target: c"bee".as_ptr(), ..raw }, ARGUMENT, "give them with labels"),
        (vggx_request { target: c"key".as_ptr(), ..raw }, ARGUMENT, "target is key"),
        (vggx_request { targets: targets.as_ptr(), ..raw }, ARGUMENT, "target_count is 0"),
        (vggx_request { target_count: 2, ..raw }, ARGUMENT, "targets is null"),
        (vggx_request { targets: targets.as_ptr(), target_count: 2, ..raw }, ARGUMENT, "targets[1]"),
        (vggx_request { targets: targets[2..].as_ptr(), target_count: 2, ..raw }, ARGUMENT, "target 8"),
        (vggx_request { outputs: null(), ..raw }, ARGUMENT, "outputs is null"),
        (vggx_request { outputs: one_missing.as_ptr(), ..raw }, ARGUMENT, "outputs[1] is null"),
        (vggx_request { outputs: odd.as_ptr(), ..raw }, ARGUMENT, "multiple of"),
        (vggx_request { output_count: 3, ..raw }, ARGUMENT, "output_count is 3"),
        (vggx_request { output_bytes: 1727, ..raw }, ARGUMENT, "output_bytes is 1727"),
        (vggx_request { output_bytes: 0, detail: VGGX_DETAIL_HEAT_MAP, ..raw }, ARGUMENT, "576"),
        (vggx_request { output_bytes: 863, element_type: VGGX_TYPE_F16, ..raw }, ARGUMENT, "864"),
        (vggx_request { detail: 9, ..raw }, ARGUMENT, "detail is 9"),
        (vggx_request { element_type: -3, ..raw }, ARGUMENT, "element_type is -3"),
        (vggx_request { memory: VGGX_MEMORY_CUDA, ..raw }, VGGX_ERROR_UNSUPPORTED, "CUDA"),
        (vggx_request { reserved: 5, ..raw }, ARGUMENT, "reserved"),
    ];
    for (raw, status, words) in requests {
        request.raw = raw;
        refused(request.run(&engine, &good), status, words);
    }
    request.raw = raw;

    let (results, scales) = (request.results.as_mut_ptr(), request.scales.as_mut_ptr());
    let half = vggx_request { element_type: VGGX_TYPE_F16, ..raw };
    // SAFETY: what is wrong is found out before it is used.
    unsafe {
        let explain =
            |batch: *const vggx_batch, request: *const vggx_request, results, result_count, scales, count| {
                vggx_explain(engine.0, batch, request, results, result_count, scales, count)
            };
        refused(explain(null(), &raw, results, 2, scales, 4), ARGUMENT, "vggx_batch is null");
        refused(explain(&good, null(), results, 2, scales, 4), ARGUMENT, "vggx_request is null");
        refused(explain(&good, &raw, null_mut(), 2, scales, 4), ARGUMENT, "results is null");
        refused(explain(&good, &raw, results, 1, scales, 4), ARGUMENT, "result_count is 1");
        refused(explain(&good, &raw, results, usize::MAX, scales, 4), ARGUMENT, "result_count");
        refused(explain(&good, &raw, results, 2, scales, 3), ARGUMENT, "scale_count is 3");
        refused(explain(&good, &raw, results, 2, null_mut(), 4), ARGUMENT, "scale_log2 is null");
        refused(explain(&good, &raw, results, 2, scales, 0), ARGUMENT, "scale_count is 0");
        refused(explain(&good, &half, results, 2, null_mut(), 0), ARGUMENT, "scale_count is 0");
        let odd = results.cast::<u8>().wrapping_add(1).cast();
        refused(explain(&good, &raw, odd, 2, scales, 4), ARGUMENT, "results is 0x");
        refused(vggx_explain(null_mut(), &good, &raw, results, 2, scales, 4), ARGUMENT, "engine is null");
    }

    request.buffers.iter_mut().for_each(|buffer| buffer.fill(0x7f));
    ok(request.run(&engine, &good));
    assert_eq!(request.buffers, expected);
}

#[test]
fn default_methods_are_those_of_the_command_line() {
    let place = Place::new();
    let engine = Engine::of(&place);
    let picture = picture(&place, "a.png");
    let images = Images::rgb8(&[&picture]);
    let named = ["patternnet", "pattern-attribution"];
    let mut named = Request::new(&images.batch, &named, &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    let mut default = Request::new(&images.batch, &["", ""], &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    (default.raw.methods, default.raw.method_count) = (null(), 0);
    ok(named.run(&engine, &images.batch));
    ok(default.run(&engine, &images.batch));
    assert_eq!(named.buffers, default.buffers);
}

/// An image whose activations overflow fails alone.
#[test]
fn one_image_may_fail() {
    let place = Place::new();
    let engine = Engine::of(&place);
    let good = vec![0.5f32; 432];
    let mut bad = good.clone();
    bad[7] = f32::INFINITY;
    let images = Images::normalised(&[&good, &bad, &good], (12, 12));
    let mut request = Request::new(&images.batch, &["gradient"], &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    let status = request.run(&engine, &images.batch);
    refused(status, vggx::capi::status::VGGX_ERROR_IMAGE, "image 1: the activations");
    assert!(last_error().contains("(channel_order, pixel_scale, mean, std)"), "{}", last_error());
    let statuses: Vec<vggx_status> = request.results.iter().map(|result| result.status).collect();
    assert_eq!(statuses, [VGGX_OK, status, VGGX_OK]);
    assert!(request.results[1].target == usize::MAX && request.results[1].response.is_nan());
    assert_eq!(request.buffers[0], request.buffers[2]);
    assert_eq!(request.scales, [0, 0, 0]);

    let none = vggx_class { probability: 0.0, output: 0, response: 0.0, status: -1 };
    let (mut classes, mut responses, mut statuses) = (vec![none; 6], vec![0f32; 24], [-1; 3]);
    // SAFETY: there is room for all.
    unsafe {
        let got = vggx_classify(engine.0, &images.batch, 2, classes.as_mut_ptr(), 6);
        refused(got, status, "image 1: the activations");
        let got =
            vggx_responses(engine.0, &images.batch, responses.as_mut_ptr(), 24, statuses.as_mut_ptr(), 3);
        refused(got, status, "image 1: the activations");
    }
    assert_eq!(statuses, [VGGX_OK, status, VGGX_OK]);
    assert_eq!(classes.iter().map(|class| class.status).collect::<Vec<_>>(), [0, 0, status, status, 0, 0]);
    assert!(responses[8..16].iter().all(|response| response.is_nan()));
    assert_eq!(responses[..8], responses[16..]);
    assert_eq!(classes[0].response, responses[classes[0].output]);
}

#[test]
fn other_wrong_arguments_are_refused() {
    let place = Place::new();
    let engine = Engine::of(&place);
    let picture = picture(&place, "a.png");
    let batch = Images::rgb8(&[&picture]);
    let mut class = vggx_class { probability: 0.0, output: 0, response: 0.0, status: -1 };
    let mut responses = [0f32; 8];
    let names = [c"gradient".as_ptr(), c"".as_ptr()];
    place.write("no.png", "no image");
    let files = ["missing.png", "no.png", "a.png"].map(|name| crate::calls::text(place.file(name)));
    let mut image = null_mut();
    let load = |resize, crop| vggx_load_options { resize, crop, ..Init::init() };
    // SAFETY: what is wrong is found out before it is used.
    unsafe {
        let mut classify = |top, count| vggx_classify(engine.0, &batch.batch, top, &mut class, count);
        refused(classify(0, 1), ARGUMENT, "top is 0");
        refused(classify(9, 9), ARGUMENT, "top is 9");
        refused(classify(usize::MAX, 1), ARGUMENT, "top is");
        refused(classify(2, 1), ARGUMENT, "class_count is 1");
        ok(classify(1, 1));
        refused(vggx_classify(engine.0, &batch.batch, 1, null_mut(), 1), ARGUMENT, "classes is null");
        let mut respond = |count, statuses: *mut vggx_status, status_count| {
            vggx_responses(engine.0, &batch.batch, responses.as_mut_ptr(), count, statuses, status_count)
        };
        let mut status = 0;
        refused(respond(7, null_mut(), 0), ARGUMENT, "response_count is 7");
        refused(respond(8, null_mut(), 1), ARGUMENT, "statuses is null");
        refused(respond(8, &mut status, 0), ARGUMENT, "status_count is 0");
        refused(respond(8, &mut status, usize::MAX), ARGUMENT, "status_count");
        ok(respond(8, null_mut(), 0));
        ok(respond(8, &mut status, 1));

        ok(vggx_engine_prepare(engine.0, names.as_ptr(), 1));
        ok(vggx_engine_prepare(engine.0, null(), 0));
        refused(vggx_engine_prepare(engine.0, names.as_ptr(), 2), ARGUMENT, "unknown method ''");
        refused(vggx_engine_prepare(engine.0, null(), 1), ARGUMENT, "methods is null");

        let [missing, no_image, good] = files.each_ref().map(|file| file.as_ptr());
        refused(vggx_image_load(missing, null(), &mut image), VGGX_ERROR_FILE, "no such file");
        refused(vggx_image_load(no_image, null(), &mut image), VGGX_ERROR_FORMAT, "not an image");
        refused(vggx_image_load(null(), null(), &mut image), ARGUMENT, "path is null");
        refused(vggx_image_load(good, null(), null_mut()), ARGUMENT, "image is null");
        refused(vggx_image_load(good, &load(10, 11), &mut image), ARGUMENT, "crop 11");
        refused(vggx_image_load(good, &load(u32::MAX, u32::MAX), &mut image), ARGUMENT, "crop");
        let few = vggx_load_options { max_pixels: 319, ..load(14, 12) };
        refused(vggx_image_load(good, &few, &mut image), VGGX_ERROR_FORMAT, "raise max_pixels");
        assert!(image.is_null());
        ok(vggx_image_load(good, &load(14, 12), &mut image));
        refused(vggx_image_pixels(image, null_mut()), ARGUMENT, "vggx_pixels is null");

        // One kind of handle for another.
        refused(vggx_engine_close(image.cast()), ARGUMENT, "engine is no such handle");
        refused(vggx_image_free(engine.0.cast()), ARGUMENT, "image is no such handle");
        refused(vggx_job_poll(image.cast()), ARGUMENT, "job is no such handle");
        refused(vggx_job_wait(engine.0.cast(), 0), ARGUMENT, "job is no such handle");
        refused(vggx_job_cancel(null_mut()), ARGUMENT, "job is null");
        refused(vggx_job_free(image.cast()), ARGUMENT, "job is no such handle");
        refused(vggx_learner_close(image.cast()), ARGUMENT, "learner is no such handle");
        refused(vggx_engine_close(image.cast::<u8>().wrapping_add(1).cast()), ARGUMENT, "engine");
        ok(vggx_image_free(image));
        ok(vggx_image_free(null_mut()));
        ok(vggx_engine_close(null_mut()));
        ok(vggx_job_free(null_mut()));
        ok(vggx_learner_close(null_mut()));
    }
    assert_eq!(NOTHING.status, -1);
}

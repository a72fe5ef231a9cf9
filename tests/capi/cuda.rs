//! Memory of the caller on the device, in its context and on its stream: the bits are those of host memory. By host execution;
//! with `VGGX_TEST_DEVICE=cuda` on the first device.

use crate::caller::{Caller, Memory, Stream, current};
use crate::calls::{Engine, Images, Options, Request, last_error, ok, picture, text, try_open};
use crate::host_driver;
use crate::run::Place;
use std::ffi::{CString, c_void};
use std::ptr::{null_mut, with_exposed_provenance, with_exposed_provenance_mut};
use vggx::capi::batch::{VGGX_MEMORY_CUDA, vggx_batch};
use vggx::capi::classify::{vggx_class, vggx_classify};
use vggx::capi::description::{vggx_description, vggx_engine_describe, vggx_engine_memory};
use vggx::capi::explain::{VGGX_DETAIL_HEAT_MAP, VGGX_DETAIL_PLANES, VGGX_TYPE_F16, VGGX_TYPE_F32};
use vggx::capi::job::{VGGX_WAIT_FOREVER, vggx_explain_start, vggx_job_free, vggx_job_wait};
use vggx::capi::learner::{vggx_learner_add, vggx_learner_close, vggx_learner_open, vggx_learner_save};
use vggx::capi::status::{VGGX_ERROR_ARGUMENT, VGGX_ERROR_UNSUPPORTED, VGGX_OK};
use vggx::images::Rgb8;

/// Passes that stay on the device, and arrays that the host has a part in.
const METHODS: [&str; 5] =
    ["gradient", "patternnet", "pattern-attribution", "signal:identity", "attribution:identity"];

/// Whether this build has kernels; says so where it has none.
fn has_kernels() -> bool {
    let any = !vggx::backend::cuda::architectures().is_empty();
    if any {
        host_driver::load();
    } else {
        eprintln!("skipped: this build has no CUDA kernels");
    }
    any
}

fn options(place: &Place, precision: &str, context: usize) -> Options {
    Options {
        weights: Some(text(place.file("net.safetensors"))),
        patterns: Some(text(place.file("patterns.safetensors"))),
        threads: 2,
        device: Some(CString::new(if context == 0 { "cuda:0" } else { "auto" }).unwrap()),
        precision: Some(CString::new(precision).unwrap()),
        context,
        ..Options::default()
    }
}

/// Images in memory of the device, rows with a gap between them.
struct OnDevice {
    _memory: Vec<Memory>,
    _pointers: Vec<*const c_void>,
    batch: vggx_batch,
}

impl OnDevice {
    fn new(caller: &Caller, images: &[Rgb8], stream: &Stream) -> Self {
        const GAP: usize = 5;
        let row = 3 * images[0].width;
        let spread = |image: &Rgb8| -> Vec<u8> {
            image.pixels.chunks_exact(row).flat_map(|row| [row, &[0xee; GAP]].concat()).collect()
        };
        let memory: Vec<Memory> = images.iter().map(|image| caller.upload(&spread(image))).collect();
        let pointers: Vec<*const c_void> =
            memory.iter().map(|memory| with_exposed_provenance(memory.address as usize)).collect();
        let batch = vggx_batch {
            pixels: pointers.as_ptr(),
            image_bytes: memory[0].bytes,
            row_stride: row + GAP,
            memory: VGGX_MEMORY_CUDA,
            stream: stream.handle.cast(),
            ..Images::rgb8(&images.iter().collect::<Vec<_>>()).batch
        };
        OnDevice { _memory: memory, _pointers: pointers, batch }
    }
}

/// Buffers on the device in place of a request's own.
struct Destinations {
    memory: Vec<Memory>,
    _pointers: Vec<*mut c_void>,
}

impl Destinations {
    fn of(caller: &Caller, request: &mut Request) -> Self {
        let memory: Vec<Memory> = request.buffers.iter().map(|buffer| caller.upload(buffer)).collect();
        let pointers: Vec<*mut c_void> =
            memory.iter().map(|memory| with_exposed_provenance_mut(memory.address as usize)).collect();
        request.raw.outputs = pointers.as_ptr();
        request.raw.memory = VGGX_MEMORY_CUDA;
        Destinations { memory, _pointers: pointers }
    }

    fn download(&self) -> Vec<Vec<u8>> {
        self.memory.iter().map(Memory::download).collect()
    }
}

#[test]
fn memory_of_the_device_gives_the_same_bits() {
    if !has_kernels() {
        return;
    }
    let place = Place::new();
    let pictures = [picture(&place, "a.png"), picture(&place, "b.png")];
    for (precision, own) in [("f32", false), ("f16", true), ("bf16", false)] {
        let caller = if own { Caller::in_own_context() } else { Caller::in_primary_context() };
        let context = if own { caller.context().expose_provenance() } else { 0 };
        let engine = Engine::open(&options(&place, precision, context));
        let stream = caller.stream();
        let host = Images::rgb8(&[&pictures[0], &pictures[1]]);
        let device = OnDevice::new(&caller, &pictures, &stream);
        for detail in [VGGX_DETAIL_PLANES, VGGX_DETAIL_HEAT_MAP] {
            for element in [VGGX_TYPE_F32, VGGX_TYPE_F16] {
                let what = format!("{precision}, detail {detail}, type {element}");
                let mut expected = Request::new(&host.batch, &METHODS, &["1"], detail, element);
                ok(expected.run(&engine, &host.batch));
                for batch in [&host.batch, &device.batch] {
                    // From either memory into either.
                    let mut request = Request::new(batch, &METHODS, &["1"], detail, element);
                    ok(request.run(&engine, batch));
                    assert_eq!(request.buffers, expected.buffers, "{what}");
                    let mut request = Request::new(batch, &METHODS, &["1"], detail, element);
                    let destinations = Destinations::of(&caller, &mut request);
                    let batch = vggx_batch { stream: stream.handle.cast(), ..*batch };
                    ok(request.run(&engine, &batch));
                    assert_eq!(destinations.download(), expected.buffers, "{what}");
                    assert_eq!(request.scales, expected.scales, "{what}");
                    for (one, other) in request.results.iter().zip(&expected.results) {
                        assert_eq!((one.target, one.response), (other.target, other.response));
                        assert_eq!((one.probability, one.status), (other.probability, VGGX_OK));
                    }
                }
            }
        }
        assert_eq!(current(), caller.context());
    }
}

/// Pixels that the caller's stream is still making, in a job.
#[test]
fn calls_wait_for_the_callers_stream() {
    if !has_kernels() {
        return;
    }
    let place = Place::new();
    let pictures = [picture(&place, "a.png"), picture(&place, "b.png")];
    let caller = Caller::in_primary_context();
    let engine = Engine::open(&options(&place, "f32", 0));
    let stream = caller.stream();
    let images = Images::rgb8(&[&pictures[0]]);
    let mut expected = Request::new(&images.batch, &["gradient"], &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    ok(expected.run(&engine, &images.batch));
    // Memory that holds the other picture, until the stream has come so far.
    let memory = caller.upload(&pictures[1].pixels);
    let large = caller.allocate(64 << 20);
    let (delay, mut source) = (caller.pinned(64 << 20), caller.pinned(memory.bytes));
    source.bytes().copy_from_slice(&pictures[0].pixels);
    let pointers: [*const c_void; 1] = [with_exposed_provenance(memory.address as usize)];
    let batch = vggx_batch {
        pixels: pointers.as_ptr(),
        memory: VGGX_MEMORY_CUDA,
        stream: stream.handle.cast(),
        ..images.batch
    };
    let mut request = Request::new(&batch, &["gradient"], &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    let destinations = Destinations::of(&caller, &mut request);
    stream.start_upload(&large, &delay);
    stream.start_upload(&memory, &source);
    let mut job = null_mut();
    let (results, scales) = (request.results.as_mut_ptr(), request.scales.as_mut_ptr());
    // SAFETY: everything is kept until the job has ended.
    unsafe {
        ok(vggx_explain_start(
            engine.0,
            &batch,
            &request.raw,
            results,
            1,
            scales,
            1,
            None,
            null_mut(),
            &mut job,
        ));
        ok(vggx_job_wait(job, VGGX_WAIT_FOREVER));
        ok(vggx_job_free(job));
    }
    assert_eq!(destinations.download(), expected.buffers);
    stream.synchronise();
}

#[test]
fn classes_and_sums_are_those_of_host_memory() {
    if !has_kernels() {
        return;
    }
    let place = Place::new();
    let pictures = [picture(&place, "a.png"), picture(&place, "b.png")];
    let caller = Caller::in_primary_context();
    let engine = Engine::open(&options(&place, "f32", 0));
    let stream = caller.stream();
    let host = Images::rgb8(&[&pictures[0], &pictures[1]]);
    let device = OnDevice::new(&caller, &pictures, &stream);
    let run = |batch: &vggx_batch, file: &str| {
        let none = vggx_class { probability: 0.0, output: 0, response: 0.0, status: -1 };
        let mut classes = vec![none; 6];
        let mut learner = null_mut();
        let path = text(place.file(file));
        // SAFETY: everything is there.
        unsafe {
            ok(vggx_classify(engine.0, batch, 3, classes.as_mut_ptr(), 6));
            ok(vggx_learner_open(engine.0, std::ptr::null(), &mut learner));
            ok(vggx_learner_add(learner, batch, null_mut(), 0));
            ok(vggx_learner_save(learner, path.as_ptr()));
            ok(vggx_learner_close(learner));
        }
        let classes: Vec<_> =
            classes.into_iter().map(|class| (class.output, class.response, class.probability)).collect();
        // The file also tells the images from others, by their pixels.
        (classes, place.read(file))
    };
    assert!(run(&host.batch, "host") == run(&device.batch, "device"));
}

#[test]
fn what_is_not_the_devices_is_refused() {
    if !has_kernels() {
        return;
    }
    let place = Place::new();
    let pictures = [picture(&place, "a.png")];
    let caller = Caller::in_own_context();
    let stream = caller.stream();
    let engine = Engine::open(&options(&place, "f16", caller.context().expose_provenance()));
    let device = OnDevice::new(&caller, &pictures, &stream);
    let host = Images::rgb8(&[&pictures[0]]);
    let refused = |engine: &Engine, batch: &vggx_batch, request: &mut Request, status, words: &str| {
        let got = request.run(engine, batch);
        let message = last_error();
        assert!(got == status && message.contains(words), "{got}: {words:?} is not in: {message}");
        assert!(request.results.iter().all(|result| result.status != VGGX_OK));
    };
    let request =
        |batch: &vggx_batch| Request::new(batch, &["gradient"], &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    // Host memory, a misaligned row, and a stream of another context.
    let lie = vggx_batch { memory: VGGX_MEMORY_CUDA, stream: stream.handle.cast(), ..host.batch };
    refused(&engine, &lie, &mut request(&lie), VGGX_ERROR_ARGUMENT, "memory of a CUDA device");
    let mut wrong = request(&device.batch);
    wrong.raw.memory = VGGX_MEMORY_CUDA;
    refused(&engine, &device.batch, &mut wrong, VGGX_ERROR_ARGUMENT, "memory of a CUDA device");
    let elsewhere = Caller::in_primary_context();
    let foreign = elsewhere.stream();
    let batch = vggx_batch { stream: foreign.handle.cast(), ..device.batch };
    refused(&engine, &batch, &mut request(&batch), VGGX_ERROR_ARGUMENT, "another context");
    let cpu = Engine::of(&place);
    refused(
        &cpu,
        &device.batch,
        &mut request(&device.batch),
        VGGX_ERROR_UNSUPPORTED,
        "open it on the CUDA device",
    );
    let mut request = request(&host.batch);
    let destinations = Destinations::of(&caller, &mut request);
    refused(&cpu, &host.batch, &mut request, VGGX_ERROR_UNSUPPORTED, "open it on the CUDA device");
    drop(destinations);

    // A learner that was given something wrong goes on.
    let mut learner = null_mut();
    let of_thread = vggx_batch { stream: with_exposed_provenance_mut(2), ..device.batch };
    // SAFETY: what is wrong is found out before it is used.
    unsafe {
        ok(vggx_learner_open(engine.0, std::ptr::null(), &mut learner));
        for (batch, words) in [
            (lie, "memory of a CUDA device"),
            (batch, "another context"),
            (of_thread, "CU_STREAM_PER_THREAD"),
        ] {
            assert_eq!(vggx_learner_add(learner, &batch, null_mut(), 0), VGGX_ERROR_ARGUMENT);
            assert!(last_error().contains(words), "{}", last_error());
        }
        ok(vggx_learner_add(learner, &device.batch, null_mut(), 0));
        ok(vggx_learner_close(learner));
    }

    // A context is of a device, which must be the one that is asked for.
    for (name, words) in [("cpu", "the CPU was asked for"), ("cuda:1", "cuda:1 was asked for")] {
        let mut options = options(&place, "f16", caller.context().expose_provenance());
        options.device = Some(CString::new(name).unwrap());
        let mut none = null_mut();
        let status = try_open(&options, &mut none);
        let message = last_error();
        assert!(status == VGGX_ERROR_ARGUMENT && none.is_null(), "{status} {message}");
        assert!(message.contains(words), "{words:?} is not in: {message}");
    }
}

#[test]
fn an_engine_on_a_device_says_so() {
    if !has_kernels() {
        return;
    }
    let place = Place::new();
    host_driver::load();
    let engine = Engine::open(&options(&place, "auto", 0));
    let mut description = vggx_description { ..crate::calls::Init::init() };
    let (mut host, mut device) = (0, 0);
    // SAFETY: an engine, and places for what it says.
    unsafe {
        ok(vggx_engine_describe(engine.0, &mut description));
        ok(vggx_engine_memory(engine.0, 8, 224, 224, &mut host, &mut device));
        let texts = [description.device, description.precision].map(|text| std::ffi::CStr::from_ptr(text));
        assert_eq!(texts, [c"cuda:0", c"f16"]);
    }
    // Pixels on their way there; on the device at least the network's input in float16, and a mask bit for each of the padded first layer's
    // numbers. Maps may be those of a part of the batch.
    assert!(host > 8 * 224 * 224 * 3, "{host}");
    assert!(device > 8 * 224 * 224 * (3 * 2 + 64 / 8), "{device}");
}

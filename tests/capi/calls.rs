//! Calls of the C API with less ceremony.

use crate::run::Place;
use std::ffi::{CStr, CString, c_char, c_void};
use std::mem::zeroed;
use std::path::Path;
use std::ptr::{null, null_mut};
use vggx::capi::batch::{VGGX_PIXELS_NORMALISED, vggx_batch};
use vggx::capi::engine::{vggx_engine, vggx_engine_close, vggx_engine_open, vggx_engine_options};
use vggx::capi::error::vggx_last_error;
use vggx::capi::explain::{VGGX_DETAIL_HEAT_MAP, VGGX_TYPE_F16, vggx_explain, vggx_explained, vggx_request};
use vggx::capi::status::{VGGX_OK, vggx_status};
use vggx::images::{LoadOptions, Rgb8, load};

/// The message of this thread's last call.
pub fn last_error() -> String {
    // SAFETY: valid until this thread's next call, and copied before.
    unsafe { CStr::from_ptr(vggx_last_error()) }.to_str().expect("UTF-8").to_owned()
}

#[track_caller]
pub fn ok(status: vggx_status) {
    assert_eq!((status, last_error()), (VGGX_OK, String::new()));
}

pub fn text(text: impl AsRef<Path>) -> CString {
    CString::new(text.as_ref().as_os_str().as_encoded_bytes()).expect("no zero byte")
}

/// A struct as `VGGX_INIT` makes it.
pub trait Init: Sized {
    fn init() -> Self;
}

macro_rules! init {
    ($($name:ty),*) => {$(
        impl Init for $name {
            fn init() -> Self {
                // SAFETY: all zero is what the header promises to take.
                Self { size: size_of::<Self>(), ..unsafe { zeroed() } }
            }
        }
    )*};
}

init!(
    vggx_batch,
    vggx_engine_options,
    vggx_request,
    vggx::capi::description::vggx_description,
    vggx::capi::description::vggx_layer,
    vggx::capi::image::vggx_load_options,
    vggx::capi::image::vggx_pixels,
    vggx::capi::learner::vggx_learner_options,
    vggx::capi::solve::vggx_solve_options
);

/// What engines of tests are opened with; kept while the options point into it.
#[derive(Default)]
pub struct Options {
    pub weights: Option<CString>,
    pub patterns: Option<CString>,
    pub labels: Option<CString>,
    pub threads: u32,
    /// `cpu` without one.
    pub device: Option<CString>,
    pub precision: Option<CString>,
    /// Null where there is none.
    pub context: usize,
}

/// An open engine.
pub struct Engine(pub *mut vggx_engine);

// SAFETY: engines may be used by several threads.
unsafe impl Send for Engine {}
// SAFETY: as above.
unsafe impl Sync for Engine {}

impl Engine {
    pub fn open(options: &Options) -> Self {
        let mut engine = null_mut();
        ok(try_open(options, &mut engine));
        Engine(engine)
    }

    /// The network and the patterns of a test's folder.
    pub fn of(place: &Place) -> Self {
        Engine::open(&Options {
            weights: Some(text(place.file("net.safetensors"))),
            patterns: Some(text(place.file("patterns.safetensors"))),
            threads: 2,
            ..Options::default()
        })
    }
}

/// Opens an engine, or not.
pub fn try_open(options: &Options, engine: &mut *mut vggx_engine) -> vggx_status {
    let pointer = |text: &Option<CString>| text.as_ref().map_or(null(), |text| text.as_ptr());
    let raw = vggx_engine_options {
        weights: pointer(&options.weights),
        patterns: pointer(&options.patterns),
        labels: pointer(&options.labels),
        device: options.device.as_ref().map_or(c"cpu".as_ptr(), |device| device.as_ptr()),
        precision: pointer(&options.precision),
        threads: options.threads,
        cuda_context: std::ptr::with_exposed_provenance_mut(options.context),
        ..Init::init()
    };
    // SAFETY: the options are complete; a context is one of the tests', which close the engine before it ends.
    unsafe { vggx_engine_open(&raw, engine) }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: opened, and not used any more.
        assert_eq!(unsafe { vggx_engine_close(self.0) }, VGGX_OK);
    }
}

/// The tiny network's input, as the command line makes it.
pub fn picture(place: &Place, name: &str) -> Rgb8 {
    load(&place.file(name), &LoadOptions { resize: 14, crop: 12, ..LoadOptions::default() }).expect(name)
}

/// Images of one size with what a batch of them points to.
pub struct Images {
    pointers: Vec<*const c_void>,
    pub batch: vggx_batch,
}

impl Images {
    /// Images of bytes, which must be kept.
    pub fn rgb8(images: &[&Rgb8]) -> Self {
        let pointers = images.iter().map(|image| image.pixels.as_ptr().cast()).collect();
        Self::new(pointers, images[0].height, images[0].width, images[0].pixels.len())
    }

    /// Images of normalised values, which must be kept.
    pub fn normalised(images: &[&[f32]], (height, width): (usize, usize)) -> Self {
        let pointers = images.iter().map(|image| image.as_ptr().cast()).collect();
        let mut made = Self::new(pointers, height, width, 4 * images[0].len());
        made.batch.format = VGGX_PIXELS_NORMALISED;
        made
    }

    fn new(pointers: Vec<*const c_void>, height: usize, width: usize, bytes: usize) -> Self {
        let batch = vggx_batch {
            images: pointers.len(),
            height,
            width,
            pixels: pointers.as_ptr(),
            image_bytes: bytes,
            ..Init::init()
        };
        Images { pointers, batch }
    }

    pub fn count(&self) -> usize {
        self.pointers.len()
    }
}

/// A request with the buffers that it points to.
pub struct Request {
    _names: Vec<CString>,
    _methods: Vec<*const c_char>,
    _targets: Vec<CString>,
    _target_pointers: Vec<*const c_char>,
    _outputs: Vec<*mut c_void>,
    /// One an image and method.
    pub buffers: Vec<Vec<u8>>,
    pub results: Vec<vggx_explained>,
    pub scales: Vec<i32>,
    pub raw: vggx_request,
}

// SAFETY: all pointers are into what it owns.
unsafe impl Send for Request {}

pub const NOTHING: vggx_explained = vggx_explained { probability: 0.0, target: 0, response: 0.0, status: -1 };

impl Request {
    /// `targets`: none, one for all, or one an image.
    pub fn new(batch: &vggx_batch, methods: &[&str], targets: &[&str], detail: i32, element: i32) -> Self {
        let strings = |texts: &[&str]| -> (Vec<CString>, Vec<*const c_char>) {
            let owned: Vec<CString> = texts.iter().map(|text| CString::new(*text).expect("text")).collect();
            let pointers = owned.iter().map(|text| text.as_ptr()).collect();
            (owned, pointers)
        };
        let (names, methods) = strings(methods);
        let (targets, target_pointers) = strings(targets);
        let channels = if detail == VGGX_DETAIL_HEAT_MAP { 1 } else { 3 };
        let size = if element == VGGX_TYPE_F16 { 2 } else { 4 };
        let bytes = channels * batch.height * batch.width * size;
        let count = batch.images * methods.len();
        // Whatever is not written shows.
        let mut buffers = vec![vec![0x7f; bytes]; count];
        let outputs: Vec<*mut c_void> = buffers.iter_mut().map(|buffer| buffer.as_mut_ptr().cast()).collect();
        let mut raw = vggx_request {
            methods: methods.as_ptr(),
            method_count: methods.len(),
            outputs: outputs.as_ptr(),
            output_count: count,
            output_bytes: bytes,
            detail,
            element_type: element,
            ..Init::init()
        };
        match &target_pointers[..] {
            [] => {}
            &[target] => raw.target = target,
            many => {
                raw.targets = many.as_ptr();
                raw.target_count = many.len();
            }
        }
        Request {
            _names: names,
            _methods: methods,
            _targets: targets,
            _target_pointers: target_pointers,
            _outputs: outputs,
            buffers,
            results: vec![NOTHING; batch.images],
            scales: vec![i32::MIN; count],
            raw,
        }
    }

    /// Runs it.
    pub fn run(&mut self, engine: &Engine, batch: &vggx_batch) -> vggx_status {
        let (results, scales) = (self.results.as_mut_ptr(), self.scales.as_mut_ptr());
        // SAFETY: all buffers are there and as large as they are said to be.
        unsafe {
            vggx_explain(engine.0, batch, &self.raw, results, self.results.len(), scales, self.scales.len())
        }
    }

    /// A buffer as float32.
    pub fn floats(&self, index: usize) -> Vec<f32> {
        let bytes = &self.buffers[index];
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    /// A buffer as float16.
    pub fn halves(&self, index: usize) -> Vec<half::f16> {
        self.buffers[index].chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]])).collect()
    }
}

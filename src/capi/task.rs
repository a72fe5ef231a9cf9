//! A call of `vggx_explain`: its arguments, read and checked, and what is done with them.

use super::arguments::{check_array, check_pointer, expect_count, optional_string, product, read, slice};
use super::batch::{Memory, Shape, read_memory, vggx_batch};
use super::core::Core;
use super::explain::{
    VGGX_DETAIL_HEAT_MAP, VGGX_DETAIL_PLANES, VGGX_TYPE_F16, VGGX_TYPE_F32, vggx_explained, vggx_request,
};
use super::failure::Failure;
use super::gather::Images;
use super::options::read_methods;
use super::outcome::Outcomes;
use super::status::{VGGX_ERROR_UNSUPPORTED, VGGX_OK, vggx_status};
use crate::backend::cuda::{self, DeviceDestination, Stored};
use crate::explain::{Detail, Explained, Explanation, Exponent, Method, Request, Target, to_half};
use half::f16;
use std::ffi::c_void;

/// Where results go besides the arrays.
pub struct Places {
    pub results: *mut vggx_explained,
    pub result_count: usize,
    pub scale_log2: *mut i32,
    pub scale_count: usize,
}

/// A call of `vggx_explain` whose arguments were checked.
pub struct Task {
    images: Images,
    methods: Vec<Method>,
    /// One an image.
    targets: Vec<Target>,
    detail: Detail,
    element: Element,
    memory: Memory,
    /// Values of an array.
    values: usize,
    /// One an image and method.
    outputs: Vec<*mut c_void>,
    places: Places,
}

// SAFETY: whoever gives it to another thread keeps everything that the pointers lead to, and leaves it alone until the task
// has run.
unsafe impl Send for Task {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    F32,
    F16,
}

impl Task {
    /// Reads and checks the arguments of a call.
    ///
    /// # Safety
    /// Pointers are null or lead to what the header says, as large as they say.
    pub unsafe fn read(
        core: &Core,
        batch: *const vggx_batch,
        request: *const vggx_request,
        places: Places,
    ) -> Result<Self, Failure> {
        // SAFETY: as the caller says, here and below.
        let shape = unsafe { Shape::read(batch, core) }?;
        // SAFETY: as above.
        let request = unsafe { read(request) }?;
        let images = shape.images;
        let element = match request.element_type {
            VGGX_TYPE_F32 => Element::F32,
            VGGX_TYPE_F16 => Element::F16,
            other => return Err(Failure::argument(format!("element_type is {other}, which is none"))),
        };
        let detail = match request.detail {
            VGGX_DETAIL_PLANES => Detail::Planes,
            VGGX_DETAIL_HEAT_MAP => Detail::HeatMap,
            other => return Err(Failure::argument(format!("detail is {other}, which is none"))),
        };
        let memory = read_memory(request.memory, core)?;
        if request.reserved != 0 {
            return Err(Failure::argument("reserved is not zero"));
        }
        let methods = match (request.methods.is_null(), request.method_count) {
            (true, 0) => Method::DEFAULT.to_vec(),
            (false, 0) => return Err(Failure::argument("method_count is 0")),
            // SAFETY: as above.
            (_, count) => unsafe { read_methods(request.methods, count) }?,
        };
        expect_count(places.result_count, images, "result_count", "one an image")?;
        check_array(places.results, images, "results")?;
        let arrays = product(&[images, methods.len()], "the arrays")?;
        if !(places.scale_log2.is_null() && places.scale_count == 0 && element == Element::F32) {
            expect_count(places.scale_count, arrays, "scale_count", "one an image and method")?;
            check_array(places.scale_log2, arrays, "scale_log2")?;
        }
        expect_count(request.output_count, arrays, "output_count", "one an image and method")?;
        let values = shape.values(detail == Detail::HeatMap)?;
        let size = match element {
            Element::F32 => size_of::<f32>(),
            Element::F16 => size_of::<f16>(),
        };
        let needed = product(&[values, size], "the bytes of an explanation")?;
        if request.output_bytes < needed {
            return Err(Failure::argument(format!(
                "output_bytes is {}, but an explanation has {needed} bytes",
                request.output_bytes
            )));
        }
        // SAFETY: as above.
        let targets = unsafe { targets(&request, images) }?;
        for target in &targets {
            check_target(core, target)?;
        }
        // SAFETY: as above.
        let outputs = unsafe { slice(request.outputs, arrays, "outputs") }?;
        for (index, &output) in outputs.iter().enumerate() {
            let name = format!("outputs[{index}]");
            match element {
                Element::F32 => check_pointer(output.cast_const().cast::<f32>(), &name)?,
                Element::F16 => check_pointer(output.cast_const().cast::<f16>(), &name)?,
            }
        }
        // SAFETY: as above.
        let images = unsafe { shape.pixels() }?;
        let outputs = outputs.to_vec();
        Ok(Task { images, methods, targets, detail, element, memory, values, outputs, places })
    }

    /// Refuses the stream that means another one on another thread.
    pub fn refuse_stream_of_thread(&self) -> Result<(), Failure> {
        self.images.shape.refuse_stream_of_thread(self.memory == Memory::Device)
    }

    /// Explains the images and fills the caller's buffers.
    ///
    /// # Safety
    /// Pixels and buffers are still there, and nobody else uses the buffers, or writes the pixels.
    pub unsafe fn run(&self, core: &Core) -> Result<vggx_status, Failure> {
        // SAFETY: as the caller says.
        let outcome = unsafe { self.explain(core) };
        if let Err(failure) = &outcome {
            for image in 0..self.targets.len() {
                // SAFETY: as the caller says.
                unsafe { self.put_failure(image, failure.status) };
            }
        }
        core.tell_notices();
        let mut outcomes = Outcomes::default();
        for (image, explained) in outcome?.into_iter().enumerate() {
            // SAFETY: as the caller says.
            if let Err(failure) = explained.and_then(|explained| unsafe { self.put(image, &explained) }) {
                // SAFETY: as the caller says.
                unsafe { self.put_failure(image, failure.status) };
                outcomes.fail(image, failure);
            }
        }
        outcomes.status()
    }

    /// # Safety
    /// As [`Task::run`].
    unsafe fn explain(&self, core: &Core) -> Result<Vec<Result<Explained, Failure>>, Failure> {
        core.prepare(&self.methods)?;
        // SAFETY: as the caller says.
        let gathered = unsafe { self.images.gather() }?;
        let exponent = match self.element {
            Element::F32 => Exponent::Folded,
            Element::F16 => Exponent::Apart,
        };
        let addresses = self.addresses();
        // SAFETY: as the caller says.
        let destinations = unsafe { self.destinations(&addresses) };
        let destinations = (self.memory == Memory::Device).then_some(&destinations[..]);
        let request = Request { methods: &self.methods, detail: self.detail, exponent, destinations };
        let explained = core.explainer.explain_batch(&gathered.batch(), &self.targets, &request)?;
        Ok(explained.into_iter().map(|explained| explained.map_err(Failure::from)).collect())
    }

    /// The buffers of each method as addresses of the device, one an image.
    fn addresses(&self) -> Vec<Vec<u64>> {
        let methods = self.methods.len();
        let of_method = |method| self.outputs.iter().skip(method).step_by(methods);
        (0..methods).map(|method| of_method(method).map(|output| output.addr() as u64).collect()).collect()
    }

    /// # Safety
    /// As [`Task::run`], of buffers on the device; where they are not, the destinations must not be used.
    unsafe fn destinations<'a>(&self, addresses: &'a [Vec<u64>]) -> Vec<DeviceDestination<'a>> {
        let detail = match self.detail {
            Detail::HeatMap => cuda::Detail::HeatMap,
            _ => cuda::Detail::Planes,
        };
        let stored = match self.element {
            Element::F32 => Stored::F32,
            Element::F16 => Stored::F16,
        };
        let stream = self.images.shape.stream;
        addresses
            .iter()
            // SAFETY: as the caller says.
            .map(|addresses| unsafe { DeviceDestination::new(addresses, detail, stored, stream) })
            .collect()
    }

    /// Fills an image's buffers and its results.
    ///
    /// # Safety
    /// As [`Task::run`].
    unsafe fn put(&self, image: usize, explained: &Explained) -> Result<(), Failure> {
        let first = image * self.methods.len();
        for (index, explanation) in explained.explanations.iter().enumerate() {
            let scale = match self.memory {
                // SAFETY: as the caller says; each buffer has room for `values` values and is aligned for them.
                Memory::Host => unsafe { self.put_array(self.outputs[first + index], explanation) },
                Memory::Device => explanation.scale_log2,
            };
            if !self.places.scale_log2.is_null() {
                // SAFETY: as above, for one exponent an image and method.
                unsafe { self.places.scale_log2.add(first + index).write(scale) };
            } else if scale != 0 {
                return Err(Failure::new(
                    VGGX_ERROR_UNSUPPORTED,
                    format!(
                        "{}: the values are beyond float32 and need the exponent {scale}; give scale_log2",
                        explanation.method
                    ),
                ));
            }
        }
        let result = vggx_explained {
            probability: explained.probability.unwrap_or(f64::NAN),
            target: explained.target,
            response: explained.response,
            status: VGGX_OK,
        };
        // SAFETY: as above, for one result an image.
        unsafe { self.places.results.add(image).write(result) };
        Ok(())
    }

    /// Fills one buffer and returns its exponent.
    ///
    /// # Safety
    /// The buffer has room for `values` values and is aligned for them.
    unsafe fn put_array(&self, output: *mut c_void, explanation: &Explanation) -> i32 {
        let values = &explanation.values[..self.values];
        match self.element {
            Element::F32 => {
                // SAFETY: as the caller says.
                unsafe { output.cast::<f32>().copy_from_nonoverlapping(values.as_ptr(), values.len()) };
                explanation.scale_log2
            }
            Element::F16 => {
                let output = output.cast::<f16>();
                // SAFETY: as the caller says; places are those of `values`.
                let write = |index: usize, value| unsafe { output.add(index).write(value) };
                to_half(values, explanation.scale_log2, write)
            }
        }
    }

    /// Says that an image failed.
    ///
    /// # Safety
    /// As [`Task::run`].
    unsafe fn put_failure(&self, image: usize, status: vggx_status) {
        let result = vggx_explained { probability: f64::NAN, target: usize::MAX, response: f32::NAN, status };
        // SAFETY: as the caller says.
        unsafe { self.places.results.add(image).write(result) };
        if !self.places.scale_log2.is_null() {
            let methods = self.methods.len();
            // SAFETY: as the caller says.
            unsafe { self.places.scale_log2.add(image * methods).write_bytes(0, methods) };
        }
    }
}

/// The target of each image.
///
/// # Safety
/// As [`Task::read`].
unsafe fn targets(request: &vggx_request, images: usize) -> Result<Vec<Target>, Failure> {
    let parse = |text: &str, name: &str| match text.parse::<Target>() {
        Ok(Target::Key) => Err(Failure::argument(format!(
            "{name} is key, which stands for nothing here; give a target for each image in targets"
        ))),
        Ok(target) => Ok(target),
        Err(error) => Err(Failure::argument(format!("{name}: {error}"))),
    };
    // SAFETY: as the caller says.
    let target = match unsafe { optional_string(request.target, "target") }? {
        Some(text) => parse(text, "target")?,
        None => Target::Top(1),
    };
    if request.target_count == 0 && request.targets.is_null() {
        return Ok(vec![target; images]);
    }
    expect_count(request.target_count, images, "target_count", "one an image")?;
    // SAFETY: as the caller says.
    let texts = unsafe { slice(request.targets, images, "targets") }?;
    texts
        .iter()
        .enumerate()
        .map(|(image, &text)| {
            let name = format!("targets[{image}]");
            // SAFETY: as the caller says.
            match unsafe { optional_string(text, &name) }? {
                Some(text) => parse(text, &name),
                None => Ok(target.clone()),
            }
        })
        .collect()
}

/// Refuses a target that no image can have.
fn check_target(core: &Core, target: &Target) -> Result<(), Failure> {
    let outputs = core.weights.network().outputs();
    match *target {
        Target::Top(rank) if rank <= outputs => Ok(()),
        Target::Index(index) if index < outputs => Ok(()),
        ref target => {
            target.resolve(&vec![0.0; outputs], core.explainer.labels(), None)?;
            Ok(())
        }
    }
}

//! Pixels and explanations in memory of the device that others own: the bits are those of the way over the host.

use std::sync::Arc;

use half::f16;
use vggx::backend::cuda::{
    CallersError, CallersStream, Cuda, CudaOptions, Detail, DeviceDestination, DevicePixels, PixelFormat,
    Precision, Stored,
};
use vggx::backend::{
    Backend, BackendError, Batch, Gate, Moments, OwnedPixels, Pass, PassId, Pixels, Relevance, Start, Trace,
};
use vggx::explain::{Estimator, Method, Operators, Recipe, Target, on_cuda};
use vggx::weights::ElementType;

use crate::agreement::explainer;
use crate::caller::{Caller, Memory, check};
use crate::edges::{ignored_in_child, printed};
use crate::host_driver;
use crate::passes::{cuda, prepare, try_prepare};
use crate::reference::random_vgg;
use crate::support::{Case, SEED, explain, random_pixels};
use cudarc::driver::sys;

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::F16, Precision::Bf16];

fn case() -> Case {
    Case::new(random_vgg(41, 3, &[&[12], &[20, 9]], Some((2, &[30, 12]))), ElementType::F32)
}

/// A batch that lies on the device: rows with something between them, each image where it happens to be.
pub struct OnDevice {
    _memory: Vec<Memory>,
    pub addresses: Vec<u64>,
    pub format: PixelFormat,
    pub row_stride: usize,
}

impl OnDevice {
    /// `images` are packed; `gap` numbers lie between rows.
    pub fn new(
        caller: &Caller,
        format: PixelFormat,
        images: &[Vec<u8>],
        (height, width): (usize, usize),
        gap: usize,
    ) -> Self {
        let number = format.bytes();
        let (rows, row_bytes) = format.rows(height, width);
        let mut addresses = Vec::new();
        let memory = images
            .iter()
            .enumerate()
            .map(|(index, image)| {
                assert_eq!(image.len(), rows * row_bytes);
                // No alignment but the number's.
                let before = index % 4 * number;
                let mut bytes = vec![0xff; before];
                for row in image.chunks_exact(row_bytes) {
                    bytes.extend(row);
                    bytes.resize(bytes.len() + gap * number, 0xff);
                }
                bytes.truncate(bytes.len() - gap * number);
                let memory = caller.upload(&bytes);
                addresses.push(memory.address + before as u64);
                memory
            })
            .collect();
        OnDevice { _memory: memory, addresses, format, row_stride: row_bytes + gap * number }
    }

    pub fn pixels(&self, stream: CallersStream) -> Pixels<'_> {
        // SAFETY: whole images that nothing writes any more.
        Pixels::Device(unsafe { DevicePixels::new(&self.addresses, self.format, self.row_stride, stream) })
    }
}

/// What came of a batch: responses or why there are none, and what two passes brought back.
#[derive(Debug, PartialEq)]
struct Bits(Vec<Result<Vec<u32>, String>>, Vec<Result<(Vec<u32>, i32), String>>);

fn bits_of(trace: &dyn Trace, images: usize, passes: &[PassId]) -> Bits {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
    let responses = (0..images).map(|image| match trace.failure(image) {
        Some(failure) => Err(failure.to_string()),
        None => Ok(bits(trace.responses(image))),
    });
    let targets: Vec<usize> = (0..images).map(|image| image % 12).collect();
    let explained =
        passes.iter().flat_map(|&pass| trace.backward(pass, &targets)).map(|result| match result {
            Ok(Relevance { values, scale_log2 }) => Ok((bits(&values), scale_log2)),
            Err(error) => Err(error.to_string()),
        });
    Bits(responses.collect(), explained.collect())
}

/// Normalised images from tiny to huge; the second is not finite, the third is nothing but zeros of both signs.
fn normalised_images(count: usize, (height, width): (usize, usize)) -> Vec<Vec<f32>> {
    (0..count)
        .map(|image| {
            let scale = [1.0, 1e30, 1.0, 3e-38, 2e-43, 5e4][image % 6];
            let pixels = random_pixels(image as u64, height, width);
            let mut values: Vec<f32> =
                Case::input(&pixels).into_iter().map(|value| (value * scale) as f32).collect();
            match image {
                1 => values[7] = f32::NAN,
                2 => values.iter_mut().for_each(|value| *value = 0f32.copysign(*value)),
                _ => (),
            }
            values
        })
        .collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

#[test]
fn pixels_on_the_device_give_the_same_bits() {
    let caller = Caller::in_primary_context();
    let case = case();
    let stream = caller.stream();
    for precision in PRECISIONS {
        let mut cuda = cuda(&case, precision);
        let passes = [
            prepare(&mut cuda, &case, Gate::MaskAndSign, Start::One),
            prepare(&mut cuda, &case, Gate::Mask, Start::Response),
        ];
        for (size, images, gap) in [((11, 14), 33, 0), ((11, 14), 1, 5), ((9, 17), 4, 3), ((9, 17), 4, 0)] {
            let (height, width) = size;
            let what = format!("{precision:?}, {images} images of {height}×{width}, {gap} between rows");
            let run = |pixels| {
                let batch = Batch { images, height, width, pixels };
                bits_of(&*cuda.forward(&batch).expect("it runs"), images, &passes)
            };
            let photos: Vec<Vec<u8>> =
                (0..images as u64).map(|image| random_pixels(image, height, width)).collect();
            let on_device = OnDevice::new(&caller, PixelFormat::Rgb8, &photos, size, gap);
            let joined = photos.concat();
            let expected = run(Pixels::Rgb8(&joined));
            assert!(expected.0.iter().all(Result::is_ok));
            assert!(run(on_device.pixels(stream.for_calls())) == expected, "{what}: bytes");

            let planes = normalised_images(images, size);
            let packed: Vec<Vec<u8>> = planes.iter().map(|planes| bytes(planes)).collect();
            let on_device = OnDevice::new(&caller, PixelFormat::Normalised, &packed, size, gap);
            let joined = planes.concat();
            let expected = run(Pixels::Normalised(&joined));
            assert_eq!(expected.0.iter().filter(|result| result.is_err()).count(), usize::from(images > 1));
            assert!(run(on_device.pixels(CallersStream::DEFAULT)) == expected, "{what}: normalised");
            // And again, as a graph with other addresses.
            let moved = OnDevice::new(&caller, PixelFormat::Normalised, &packed, size, gap + 1);
            assert!(run(moved.pixels(stream.for_calls())) == expected, "{what}: normalised, moved");
        }
    }
}

/// Memory for an explanation of each image, with a number more before and behind.
struct Destinations {
    memory: Vec<Memory>,
    addresses: Vec<u64>,
    stored: Stored,
}

const UNTOUCHED: u8 = 0xa5;

impl Destinations {
    fn new(caller: &Caller, images: usize, count: usize, stored: Stored) -> Self {
        let memory: Vec<Memory> =
            (0..images).map(|_| caller.upload(&vec![UNTOUCHED; (count + 2) * stored.bytes()])).collect();
        let addresses = memory.iter().map(|memory| memory.address + stored.bytes() as u64).collect();
        Destinations { memory, addresses, stored }
    }

    fn on(&self, detail: Detail, stream: CallersStream) -> DeviceDestination<'_> {
        // SAFETY: as much memory, which nothing else uses.
        unsafe { DeviceDestination::new(&self.addresses, detail, self.stored, stream) }
    }

    /// An image's bytes; what lies around them must be as it was.
    fn read(&self, image: usize) -> Vec<u8> {
        let bytes = self.memory[image].download();
        let number = self.stored.bytes();
        let (before, rest) = bytes.split_at(number);
        let (inside, behind) = rest.split_at(rest.len() - number);
        assert!(before.iter().chain(behind).all(|&byte| byte == UNTOUCHED), "image {image}");
        inside.to_vec()
    }
}

/// What a pass brought back, blue, green, red, as float16 in the order red, green, blue; and its exponent.
fn halves(relevance: &Relevance, detail: Detail) -> (Vec<u8>, i32) {
    let Relevance { values, scale_log2 } = relevance;
    let largest = values.iter().fold(0f64, |largest, &value| largest.max(f64::from(value).abs()));
    let Some(more) = (-200..200).find(|&e| (16384.0..32768.0).contains(&(largest * 2f64.powi(-e)))) else {
        return (vec![0; 2 * values.len()], 0);
    };
    let plane = if detail == Detail::Planes { values.len() / 3 } else { values.len() };
    // A float times a power of two is a float, but where it is far below the smallest float16.
    let half = |&value: &f32| f16::from_f32((f64::from(value) * 2f64.powi(-more)) as f32).to_ne_bytes();
    (values.chunks_exact(plane).rev().flatten().flat_map(half).collect(), scale_log2 + more)
}

/// The pass that a method is.
fn prepare_method(cuda: &mut Cuda, case: &Case, method: Method) -> PassId {
    let Recipe::Pass { operator, gate, start, times_input: false } = method.recipe() else {
        unreachable!("{method} is more than a pass");
    };
    let operators = Operators::new(case.weights.clone(), Some(case.patterns.clone()), operator, SEED);
    let operators = Arc::new(operators.expect("it has patterns"));
    cuda.prepare(&Pass { operators, gate, start }).expect("it fits")
}

const METHODS: [Method; 7] = [
    Method::Gradient,
    Method::DeconvNet,
    Method::GuidedBackprop,
    Method::PatternNet,
    Method::PatternAttribution,
    Method::Attribution(Estimator::Random),
    Method::Signal(Estimator::Filter),
];

#[test]
fn explanations_on_the_device_are_the_same_bits() {
    let caller = Caller::in_primary_context();
    let stream = caller.stream();
    let classifier = random_vgg(41, 3, &[&[12], &[20, 9]], Some((2, &[30, 12])));
    let headless = random_vgg(42, 3, &[&[12, 8], &[20]], None);
    for (network, size, images) in [(classifier, (11, 14), 2), (headless, (6, 7), 33)] {
        let case = Case::new(network, ElementType::F32);
        let (height, width) = size;
        let photos: Vec<Vec<u8>> =
            (0..images as u64).map(|image| random_pixels(image, height, width)).collect();
        let views: Vec<&[u8]> = photos.iter().map(Vec::as_slice).collect();
        let on_device = OnDevice::new(&caller, PixelFormat::Rgb8, &photos, size, 2);
        for precision in PRECISIONS {
            let mut cuda = cuda(&case, precision);
            let passes = METHODS.map(|method| prepare_method(&mut cuda, &case, method));
            let pixels = on_device.pixels(stream.for_calls());
            let batch = Batch { images, height, width, pixels };
            for detail in [Detail::Planes, Detail::HeatMap] {
                let methods: Vec<Method> = METHODS
                    .into_iter()
                    .filter(|method| {
                        detail == Detail::Planes || method.kind() == vggx::explain::Kind::Attribution
                    })
                    .collect();
                let host = explainer(&case, &methods, precision);
                let host = if detail == Detail::HeatMap { host.with_heat_maps() } else { host };
                let expected = explain(&host, size, &views, &Target::Top(1));
                let targets: Vec<usize> = expected.iter().map(|explained| explained.target).collect();
                let trace = cuda.forward(&batch).expect("it runs");
                for (index, method) in methods.iter().enumerate() {
                    let pass = passes[METHODS.iter().position(|known| known == method).expect("one of them")];
                    let apart = match detail {
                        Detail::Planes => trace.backward(pass, &targets),
                        Detail::HeatMap => trace.heat_maps(pass, &targets),
                    };
                    for stored in [Stored::F32, Stored::F16] {
                        let count = height * width * if detail == Detail::Planes { 3 } else { 1 };
                        let destinations = Destinations::new(&caller, images, count, stored);
                        let scales = trace
                            .backward_into(pass, &targets, &destinations.on(detail, stream.for_calls()))
                            .expect("its memory can be used");
                        for (image, scale) in scales.into_iter().enumerate() {
                            let what =
                                format!("{method}, {precision:?}, {detail:?}, {stored:?}, image {image}");
                            let explanation = &expected[image].explanations[index];
                            let (bytes, exponent) = match stored {
                                Stored::F32 => (bytes(&explanation.values), explanation.scale_log2),
                                Stored::F16 => halves(apart[image].as_ref().expect("it runs"), detail),
                            };
                            assert_eq!(scale.expect("an image that runs"), exponent, "{what}");
                            assert!(destinations.read(image) == bytes, "{what}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn images_that_fail_leave_their_memory_as_it_is() {
    let caller = Caller::in_primary_context();
    let case = case();
    let mut cuda = cuda(&case, Precision::F16);
    let pass = prepare(&mut cuda, &case, Gate::Mask, Start::Response);
    let size = (11, 14);
    let (height, width) = size;
    let packed: Vec<Vec<u8>> = normalised_images(4, size).iter().map(|planes| bytes(planes)).collect();
    let on_device = OnDevice::new(&caller, PixelFormat::Normalised, &packed, size, 0);
    let pixels = on_device.pixels(CallersStream::DEFAULT);
    let trace = cuda.forward(&Batch { images: 4, height, width, pixels }).expect("it runs");
    let destinations = Destinations::new(&caller, 4, height * width * 3, Stored::F32);
    let destination = destinations.on(Detail::Planes, CallersStream::DEFAULT);
    // The second is not finite, and there is no target 12.
    let results = trace.backward_into(pass, &[0, 0, 1, 12], &destination).expect("its memory can be used");
    assert!(matches!(&results[1], Err(BackendError::ActivationOverflow { layer }) if layer == "features.0"));
    assert!(matches!(results[3], Err(BackendError::Target { target: 12, outputs: 12 })));
    for (image, result) in results.iter().enumerate() {
        let is_untouched = destinations.read(image).iter().all(|&byte| byte == UNTOUCHED);
        assert_eq!(is_untouched, result.is_err(), "image {image}");
    }
    drop(trace);
    // A batch without images needs no memory.
    // SAFETY: no addresses.
    let nothing = unsafe { DevicePixels::new(&[], PixelFormat::Rgb8, 3 * width, CallersStream::DEFAULT) };
    let empty = Batch { images: 0, height, width, pixels: Pixels::Device(nothing) };
    let trace = cuda.forward(&empty).expect("nothing runs well");
    // SAFETY: as above.
    let nowhere = unsafe { DeviceDestination::new(&[], Detail::Planes, Stored::F32, CallersStream::DEFAULT) };
    assert!(trace.backward_into(pass, &[], &nowhere).expect("nothing is refused").is_empty());
}

#[test]
fn pixels_come_to_the_host_and_explanations_go_back() {
    let caller = Caller::in_primary_context();
    let case = case();
    let cuda = cuda(&case, Precision::F32);
    let size = (9, 17);
    let (height, width) = size;
    for images in [1, 5] {
        let photos: Vec<Vec<u8>> =
            (0..images as u64).map(|image| random_pixels(image, height, width)).collect();
        let planes = normalised_images(images, size);
        let packed: Vec<Vec<u8>> = planes.iter().map(|planes| bytes(planes)).collect();
        let stream = caller.stream();
        for gap in [0, 3] {
            let fetch = |on_device: &OnDevice| {
                let Pixels::Device(pixels) = on_device.pixels(stream.for_calls()) else { unreachable!() };
                cuda.fetch(&pixels, images, size).expect("they are there")
            };
            let fetched = fetch(&OnDevice::new(&caller, PixelFormat::Rgb8, &photos, size, gap));
            assert!(matches!(fetched.as_pixels(), Pixels::Rgb8(pixels) if pixels == photos.concat()));
            let fetched = fetch(&OnDevice::new(&caller, PixelFormat::Normalised, &packed, size, gap));
            assert!(
                matches!(fetched.as_pixels(), Pixels::Normalised(values) if bytes(values) == packed.concat())
            );
        }
        let destinations = Destinations::new(&caller, images, 3 * height * width, Stored::F32);
        let into = destinations.on(Detail::Planes, stream.for_calls());
        assert_eq!(into.bytes(height, width), packed[0].len());
        let explanations: Vec<Option<&[u8]>> =
            packed.iter().enumerate().map(|(image, bytes)| (image != 2).then_some(&bytes[..])).collect();
        cuda.store(&into, size, &explanations).expect("there is memory");
        for (image, packed) in packed.iter().enumerate() {
            let written = destinations.read(image);
            assert!(if image == 2 {
                written.iter().all(|&byte| byte == UNTOUCHED)
            } else {
                written == *packed
            });
        }
        let cpu = case.backend(1);
        assert_eq!(refusal(cpu.store(&into, size, &explanations)), CallersError::NoDevice);
    }
}

#[test]
fn work_begins_when_the_callers_is_done() {
    // Not in the context of other tests: whenever they allocate or free, all of its work is done.
    let caller = Caller::in_own_context();
    let case = case();
    let context = Some(caller.for_options());
    let options = CudaOptions { precision: Precision::F16, context, ..CudaOptions::default() };
    let mut cuda = on_cuda(&case.weights, &options).expect("a device that runs VGGs");
    let pass = prepare(&mut cuda, &case, Gate::Mask, Start::One);
    let size = (11, 14);
    let (height, width) = size;
    let photos: Vec<Vec<u8>> = (0..2).map(|image| random_pixels(image, height, width)).collect();
    let pixels = Pixels::Rgb8(&photos[1]);
    let expected =
        bits_of(&*cuda.forward(&Batch { images: 1, height, width, pixels }).expect("it runs"), 1, &[pass]);
    let mut late = caller.pinned(photos[0].len());
    let untouched = vec![UNTOUCHED; height * width * 3 * 4];
    let mut old = caller.pinned(untouched.len());
    for round in 0..3 {
        let stream = caller.stream();
        let memory = caller.upload(&photos[0]);
        late.bytes().copy_from_slice(&photos[1]);
        stream.start_upload(&memory, &late);
        let addresses = [memory.address];
        // SAFETY: nothing but the stream's work writes it.
        let pixels =
            unsafe { DevicePixels::new(&addresses, PixelFormat::Rgb8, 3 * width, stream.for_calls()) };
        let batch = Batch { images: 1, height, width, pixels: Pixels::Device(pixels) };
        let trace = cuda.forward(&batch).expect("it runs");
        assert!(bits_of(&*trace, 1, &[pass]) == expected, "round {round}");
        // What the caller still reads is not overwritten.
        let destination = caller.upload(&untouched);
        stream.start_download(&old, &destination);
        let addresses = [destination.address];
        let stored = Stored::F32;
        // SAFETY: as much memory, which nothing but the stream's work uses.
        let into = unsafe { DeviceDestination::new(&addresses, Detail::Planes, stored, stream.for_calls()) };
        trace.backward_into(pass, &[0], &into).expect("its memory can be used")[0].as_ref().expect("it runs");
        // Done when the call returns, without another word to the stream.
        assert!(destination.download() != untouched, "round {round}");
        stream.synchronise();
        assert!(old.bytes() == untouched, "round {round}");
    }
    // As are the host's copies and moments.
    let stream = caller.stream();
    let memory = caller.upload(&photos[0]);
    stream.start_upload(&memory, &late);
    let addresses = [memory.address];
    // SAFETY: as above.
    let pixels = unsafe { DevicePixels::new(&addresses, PixelFormat::Rgb8, 3 * width, stream.for_calls()) };
    assert!(cuda.fetch(&pixels, 1, size).expect("they are there") == OwnedPixels::Rgb8(photos[1].clone()));
    let stream = caller.stream();
    let memory = caller.upload(&photos[0]);
    let addresses = [memory.address];
    // SAFETY: as above.
    let pixels = unsafe { DevicePixels::new(&addresses, PixelFormat::Rgb8, 3 * width, stream.for_calls()) };
    let learn = |batches: [(Pixels, bool); 2]| {
        let mut learner = cuda.learn(Moments::zeros(case.weights.network(), false)).expect("memory");
        for (pixels, is_late) in batches {
            if is_late {
                stream.start_upload(&memory, &late);
            }
            learner.add(&Batch { images: 1, height, width, pixels }).expect("it runs");
        }
        learner.moments().expect("it answers").clone()
    };
    // The first batch of a size allocates, which waits for everything; the second does not.
    let ours = learn([(Pixels::Device(pixels), false), (Pixels::Device(pixels), true)]);
    let theirs = learn([&photos[0], &photos[1]].map(|photo| (Pixels::Rgb8(photo), false)));
    assert!(ours == theirs);
    if host_driver::on_device() {
        return; // where it may be done in time
    }
    // Without the stream its work is not waited for: these checks can fail.
    let stream = caller.stream();
    let memory = caller.upload(&photos[0]);
    stream.start_upload(&memory, &late);
    let addresses = [memory.address];
    // SAFETY: as above, and the device is pretended.
    let pixels =
        unsafe { DevicePixels::new(&addresses, PixelFormat::Rgb8, 3 * width, CallersStream::DEFAULT) };
    let batch = Batch { images: 1, height, width, pixels: Pixels::Device(pixels) };
    assert!(bits_of(&*cuda.forward(&batch).expect("it runs"), 1, &[pass]) != expected);
}

fn refusal<T>(result: Result<T, BackendError>) -> CallersError {
    match result {
        Err(BackendError::Callers(error)) => error,
        Err(error) => unreachable!("{error}"),
        Ok(_) => unreachable!("it was not refused"),
    }
}

#[test]
fn what_cannot_be_used_is_refused() {
    let caller = Caller::in_primary_context();
    let case = case();
    let mut cuda = cuda(&case, Precision::F16);
    let pass = prepare(&mut cuda, &case, Gate::Mask, Start::One);
    let (height, width) = (11, 14);
    let values = height * width * 3;
    let memory = caller.allocate(2 * 4 * values);
    let short = caller.allocate(4 * values - 1);
    let pinned = caller.pinned(4 * values);
    let host = vec![0u8; 4 * values + 8];
    let (packed, stream) = (4 * width, CallersStream::DEFAULT);
    let second = memory.address + 4 * values as u64;
    let forward = |addresses: &[u64], row_stride, stream| {
        // SAFETY: what is no memory of the device is refused.
        let pixels = unsafe { DevicePixels::new(addresses, PixelFormat::Normalised, row_stride, stream) };
        refusal(cuda.forward(&Batch { images: 2, height, width, pixels: Pixels::Device(pixels) }))
    };
    let first = memory.address;
    assert!(matches!(forward(&[first], packed, stream), CallersError::Count { got: 1, images: 2, .. }));
    assert!(matches!(forward(&[first, 0], packed, stream), CallersError::Null { image: 1, .. }));
    for off in 1..4 {
        let refused = forward(&[first + off, second], packed, stream);
        assert!(matches!(refused, CallersError::Misaligned { image: 0, alignment: 4, .. }), "{refused}");
    }
    let mut foreign = vec![
        (host.as_ptr() as u64).next_multiple_of(8),
        pinned.pointer as u64,
        8,
        u64::MAX - 7,
        u64::MAX - 4 * values as u64 - 3,
    ];
    // The last byte lies behind the end; real drivers may give a little more than was asked for.
    let cut_short = if host_driver::on_device() { vec![] } else { vec![second + 4, short.address] };
    foreign.extend(&cut_short);
    for address in foreign {
        let refused = forward(&[first, address], packed, stream);
        assert!(matches!(refused, CallersError::Place { image: 1, .. }), "{address:x}: {refused}");
    }
    for row_stride in [0, 4, packed - 4, packed + 2, usize::MAX - 3, usize::MAX / 16 * 4, 1 << 60] {
        let refused = forward(&[first, second], row_stride, stream);
        assert!(
            matches!(refused, CallersError::RowStride { .. } | CallersError::Place { .. }),
            "{row_stride}: {refused}"
        );
    }
    // A stream of another context, and one that is captured.
    let other = Caller::in_own_context();
    let foreign = other.stream();
    assert_eq!(forward(&[first, second], packed, foreign.for_calls()), CallersError::ForeignStream);
    let of_other = other.allocate(4 * values);
    assert!(matches!(
        forward(&[first, of_other.address], packed, stream),
        CallersError::Place { image: 1, place, .. } if place.contains("context")
    ));
    drop((foreign, of_other));
    drop(other);
    let captured = caller.stream();
    let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
    // SAFETY: it is a stream.
    check(unsafe { sys::cuStreamBeginCapture_v2(captured.handle, mode) });
    assert_eq!(forward(&[first, second], packed, captured.for_calls()), CallersError::CapturedStream);
    let mut graph = std::ptr::null_mut();
    // SAFETY: as begun; the graph is destroyed.
    unsafe {
        check(sys::cuStreamEndCapture(captured.handle, &mut graph));
        check(sys::cuGraphDestroy(graph));
    }

    // After all that it works, and refuses destinations.
    // SAFETY: as large.
    check(unsafe { sys::cuMemsetD8_v2(memory.address, 0, memory.bytes) });
    let addresses = [first, second];
    // SAFETY: two images of zeros.
    let pixels = unsafe { DevicePixels::new(&addresses, PixelFormat::Normalised, packed, stream) };
    let trace =
        cuda.forward(&Batch { images: 2, height, width, pixels: Pixels::Device(pixels) }).expect("it runs");
    let into = |addresses: &[u64], stored, stream| {
        // SAFETY: what is no memory of the device is refused.
        let destination = unsafe { DeviceDestination::new(addresses, Detail::Planes, stored, stream) };
        trace.backward_into(pass, &[0, 1], &destination)
    };
    let f32 = Stored::F32;
    assert!(matches!(refusal(into(&[first], f32, stream)), CallersError::Count { got: 1, images: 2, .. }));
    assert!(matches!(refusal(into(&[0, first], f32, stream)), CallersError::Null { image: 0, .. }));
    assert!(matches!(
        refusal(into(&[first, second + 1], Stored::F16, stream)),
        CallersError::Misaligned { image: 1, alignment: 2, .. }
    ));
    for address in cut_short.into_iter().chain([pinned.pointer as u64]) {
        assert!(matches!(
            refusal(into(&[first, address], f32, stream)),
            CallersError::Place { image: 1, .. }
        ));
    }
    // Half as large, it fits.
    assert!(into(&[first, short.address], Stored::F16, stream).is_ok());
    drop(trace);

    let cpu = case.backend(1);
    // SAFETY: as above; it is refused.
    let pixels = unsafe { DevicePixels::new(&addresses, PixelFormat::Normalised, packed, stream) };
    let batch = Batch { images: 2, height, width, pixels: Pixels::Device(pixels) };
    assert_eq!(refusal(cpu.forward(&batch)), CallersError::NoDevice);
    let zeros = Moments::zeros(case.weights.network(), false);
    assert_eq!(refusal(cpu.learn(zeros).expect("memory").add(&batch)), CallersError::NoDevice);
    let photo = random_pixels(1, height, width);
    let trace =
        cpu.forward(&Batch { images: 1, height, width, pixels: Pixels::Rgb8(&photo) }).expect("it runs");
    // SAFETY: as above.
    let nowhere = unsafe { DeviceDestination::new(&addresses, Detail::Planes, f32, stream) };
    assert_eq!(refusal(trace.backward_into(pass, &[0], &nowhere)), CallersError::NoDevice);
}

#[test]
fn moments_of_pixels_on_the_device_are_the_same_bits() {
    let caller = Caller::in_primary_context();
    let case = case();
    let size = (11, 14);
    let (height, width) = size;
    let images = 5;
    let photos: Vec<Vec<u8>> = (0..images as u64).map(|image| random_pixels(image, height, width)).collect();
    let mut planes = normalised_images(images, size);
    // Moments are of images that can be added up.
    planes.iter_mut().enumerate().filter(|(image, _)| *image != 1).for_each(|(image, planes)| {
        let input = Case::input(&photos[image]);
        planes.iter_mut().zip(input).for_each(|(value, x)| *value = x as f32);
    });
    let packed: Vec<Vec<u8>> = planes.iter().map(|planes| bytes(planes)).collect();
    let bytes_on_device = OnDevice::new(&caller, PixelFormat::Rgb8, &photos, size, 1);
    let planes_on_device = OnDevice::new(&caller, PixelFormat::Normalised, &packed, size, 2);
    let (joined, joined_planes) = (photos.concat(), planes.concat());
    for precision in PRECISIONS {
        let cuda = cuda(&case, precision);
        let learn = |pixels| {
            let mut learner = cuda.learn(Moments::zeros(case.weights.network(), true)).expect("memory");
            let batch = Batch { images, height, width, pixels };
            // The second time as a graph.
            let failures: Vec<String> = (0..2)
                .flat_map(|_| learner.add(&batch).expect("it runs"))
                .map(|failure| failure.map_or(String::new(), |failure| failure.to_string()))
                .collect();
            (failures, learner.moments().expect("it answers").clone())
        };
        let pairs = [
            (Pixels::Rgb8(&joined), bytes_on_device.pixels(CallersStream::DEFAULT)),
            (Pixels::Normalised(&joined_planes), planes_on_device.pixels(CallersStream::DEFAULT)),
        ];
        for (on_host, on_device) in pairs {
            let (failures, expected) = learn(on_host);
            let (device_failures, moments) = learn(on_device);
            assert_eq!(device_failures, failures);
            assert!(moments == expected, "{precision:?}");
        }
    }
}

/// What the child has on the device: the same images in both formats, and memory for explanations of both types.
struct Resident {
    images: usize,
    pixels: [OnDevice; 2],
    destinations: [Destinations; 2],
}

const RESIDENT: (usize, usize) = (11, 14);

impl Resident {
    fn new(caller: &Caller, images: &[u64]) -> Self {
        let (height, width) = RESIDENT;
        let photos: Vec<Vec<u8>> = images.iter().map(|&image| random_pixels(image, height, width)).collect();
        let planes: Vec<Vec<u8>> = photos
            .iter()
            .map(|photo| bytes(&Case::input(photo).iter().map(|&value| value as f32).collect::<Vec<_>>()))
            .collect();
        let (images, count) = (images.len(), height * width * 3);
        Resident {
            images,
            pixels: [(PixelFormat::Rgb8, photos), (PixelFormat::Normalised, planes)]
                .map(|(format, images)| OnDevice::new(caller, format, &images, RESIDENT, 1)),
            destinations: [Stored::F32, Stored::F16]
                .map(|stored| Destinations::new(caller, images, count, stored)),
        }
    }

    /// Explains all images; digests of what the device's memory holds then.
    fn digests(&self, caller: &Caller, cuda: &Cuda, pass: PassId) -> Result<Vec<u64>, BackendError> {
        let (height, width) = RESIDENT;
        let stream = caller.stream();
        let targets: Vec<usize> = (0..self.images).collect();
        let mut digests = Vec::new();
        for pixels in &self.pixels {
            let pixels = pixels.pixels(stream.for_calls());
            let trace = cuda.forward(&Batch { images: self.images, height, width, pixels })?;
            for destinations in &self.destinations {
                let into = destinations.on(Detail::Planes, stream.for_calls());
                for (image, scale) in trace.backward_into(pass, &targets, &into)?.into_iter().enumerate() {
                    // FNV-1a.
                    let digest =
                        |digest: u64, &byte: &u8| (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
                    let begin = 0xcbf2_9ce4_8422_2325 ^ u64::from(scale? as u32);
                    digests.push(destinations.read(image).iter().fold(begin, digest));
                }
            }
        }
        Ok(digests)
    }
}

#[test]
#[ignore = "run by others with variables set"]
fn child_prints_digests() {
    let library = host_driver::load();
    let live = library.map_or(0, host_driver::Library::live);
    {
        let own = std::env::var_os("VGGX_TEST_OWN_CONTEXT").is_some();
        let caller = if own { Caller::in_own_context() } else { Caller::in_primary_context() };
        // Before the backend takes what it can get.
        let resident = Resident::new(&caller, &[4, 9, 2, 3, 8]);
        let case = case();
        let context = own.then(|| caller.for_options());
        let options = CudaOptions { precision: Precision::F16, context, ..CudaOptions::default() };
        let mut cuda = match on_cuda(&case.weights, &options) {
            Ok(cuda) => cuda,
            Err(error) => return println!("refused {error}"),
        };
        let pass = match try_prepare(&mut cuda, &case, Gate::Mask, Start::Response) {
            Ok(pass) => pass,
            Err(error) => return println!("refused {error}"),
        };
        // Again, as passes are captured at their second run.
        for _ in 0..2 {
            match resident.digests(&caller, &cuda, pass) {
                Ok(digests) => digests.iter().for_each(|digest| println!("digest {digest:016x}")),
                Err(error) => return println!("refused {error}"),
            }
        }
        for notice in cuda.notices() {
            println!("notice {notice}");
        }
        if own {
            let (mut flags, mut is_active) = (0, 0);
            // SAFETY: writes two numbers.
            check(unsafe { sys::cuDevicePrimaryCtxGetState(0, &mut flags, &mut is_active) });
            println!("primary {is_active}");
            // The caller's context outlives the backend.
            drop(cuda);
            assert_eq!(caller.upload(&[1, 2, 3]).download(), [1, 2, 3]);
        }
    }
    if let Some(library) = library {
        assert_eq!(library.live(), live, "something was not freed");
    }
}

#[test]
fn calls_that_fail_are_told() {
    if host_driver::on_device() {
        return; // its driver does not fail on demand
    }
    let own = ("VGGX_TEST_OWN_CONTEXT", "1");
    let calls = [
        "cuCtxGetDevice",
        "cuStreamGetCtx",
        "cuStreamIsCapturing",
        "cuStreamWaitEvent",
        "cuEventRecord@3",
        "cuPointerGetAttributes",
        "cuPointerGetAttributes@30",
    ];
    for call in calls {
        let fail = format!("{call}=801");
        let text = ignored_in_child("device_memory::child_prints_digests", &[own, ("VGGX_HOST_FAIL", &fail)]);
        let (name, _) = call.split_once('@').unwrap_or((call, ""));
        let refused = printed(&text, "refused ").join(" ");
        assert!(refused.contains(name) && refused.contains("CUDA_ERROR_NOT_SUPPORTED"), "{call}: {text}");
    }
    for kernel in ["gather_bytes", "gather_largest", "gather_planes_f16", "deliver_largest", "deliver_f16"] {
        let fail = format!("{kernel}=801");
        let text = ignored_in_child("device_memory::child_prints_digests", &[own, ("VGGX_HOST_FAIL", &fail)]);
        assert!(!printed(&text, "refused ").is_empty(), "{kernel}: {text}");
    }
}

#[test]
fn launches_orders_and_contexts_do_not_change_a_bit() {
    let expected = ignored_in_child("device_memory::child_prints_digests", &[]);
    let digests = printed(&expected, "digest ");
    assert_eq!(digests.len(), 2 * 2 * 2 * 5, "{expected}");
    let own = ("VGGX_TEST_OWN_CONTEXT", "1");
    let variants: [&[(&str, &str)]; 5] = [
        &[own],
        &[("VGGX_NO_GRAPHS", "1"), ("VGGX_SEPARATE_ALLOCATIONS", "1")],
        &[own, ("VGGX_SEPARATE_ALLOCATIONS", "1"), ("VGGX_HOST_ORDER", "reverse")],
        &[("VGGX_HOST_ORDER", "shuffle:5")],
        &[own, ("VGGX_HOST_ORDER", "shuffle:9")],
    ];
    for variables in variants {
        let text = ignored_in_child("device_memory::child_prints_digests", variables);
        assert_eq!(printed(&text, "digest "), digests, "{variables:?}");
        assert!(printed(&text, "notice ").is_empty());
        if variables.contains(&own) {
            // Nobody else made a primary context.
            assert_eq!(printed(&text, "primary "), ["0"], "{variables:?}");
        }
    }
}

#[test]
fn batches_on_the_device_run_in_parts_where_memory_is_short() {
    if host_driver::on_device() {
        return; // its memory cannot be made short
    }
    let expected = ignored_in_child("device_memory::child_prints_digests", &[]);
    let digests = printed(&expected, "digest ");
    let mut parted = 0;
    // All of it fits in the end.
    for memory in (5..).map(|step| (step * 40_000).to_string()) {
        let text = ignored_in_child("device_memory::child_prints_digests", &[("VGGX_HOST_MEMORY", &memory)]);
        if !printed(&text, "refused ").is_empty() {
            assert_eq!(parted, 0, "{memory}: refused, although less was enough");
            continue;
        }
        assert_eq!(printed(&text, "digest "), digests, "{memory}");
        if printed(&text, "notice ").is_empty() {
            break;
        }
        parted += 1;
    }
    assert!(parted > 0);
}

//! Whoever calls finds the thread's current context as it was.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cudarc::driver::sys::{self, CUcontext};
use vggx::backend::cuda::device::{Device, DeviceError};
use vggx::backend::cuda::{
    CallersStream, CudaOptions, Detail, DeviceDestination, PixelFormat, Precision, Stored,
};
use vggx::backend::{Backend, Batch, Gate, Moments, Pixels, Start, Trace};
use vggx::explain::on_cuda;
use vggx::weights::ElementType;

use crate::caller::{Caller, check, current};
use crate::device_memory::OnDevice;
use crate::passes::{prepare, try_prepare};
use crate::reference::random_vgg;
use crate::support::{Case, random_pixels};

/// Goes through every entry, with whatever context is current.
fn every_entry(case: &Case, caller: &Caller, options: &CudaOptions, expected: CUcontext) {
    let same = |what: &str| assert_eq!(current(), expected, "after {what}");
    let size = (11, 14);
    let (height, width) = size;
    let mut cuda = on_cuda(&case.weights, options).expect("a device that runs VGGs");
    same("opening");
    let nowhere = CudaOptions { device: 99, context: None, ..options.clone() };
    assert!(on_cuda(&case.weights, &nowhere).is_err());
    same("opening a device that is not there");
    let pass = prepare(&mut cuda, case, Gate::Mask, Start::Response);
    let _ = try_prepare(&mut cuda, case, Gate::Sign, Start::One).expect("it fits");
    same("preparing");
    cuda.preferred_batch();
    cuda.preferred_learning_batch();
    same("asking for batches");

    let photos: Vec<Vec<u8>> = (0..3).map(|image| random_pixels(image, height, width)).collect();
    let joined = photos.concat();
    let within = |run: &mut dyn FnMut()| {
        let mut popped = std::ptr::null_mut();
        // SAFETY: pushed and popped.
        unsafe {
            check(sys::cuCtxPushCurrent_v2(caller.context()));
            run();
            check(sys::cuCtxPopCurrent_v2(&mut popped));
        }
    };
    let (mut on_device, mut memory) = (None, None);
    within(&mut || {
        on_device = Some(OnDevice::new(caller, PixelFormat::Rgb8, &photos, size, 0));
        memory = Some(caller.allocate(3 * 3 * 4 * height * width));
    });
    let (on_device, memory) = (on_device.expect("made"), memory.expect("made"));
    same("the test's own calls");
    for pixels in [Pixels::Rgb8(&joined), on_device.pixels(CallersStream::DEFAULT)] {
        let batch = Batch { images: 3, height, width, pixels };
        // The second time as graphs.
        for _ in 0..2 {
            let trace = cuda.forward_trace(&batch).expect("it runs");
            same("forward");
            trace.backward(pass, &[0, 1, 2]);
            trace.heat_maps(pass, &[0, 1, 99]);
            same("backward");
            trace.decisions(1).expect("it answers");
            trace.final_map().expect("it answers");
            same("looking at decisions");
            let addresses: Vec<u64> =
                (0..3).map(|image| memory.address + image * 3 * 4 * (height * width) as u64).collect();
            let into = |addresses: &[u64], stored| {
                // SAFETY: as much memory, of this test alone.
                let into = unsafe {
                    DeviceDestination::new(addresses, Detail::Planes, stored, CallersStream::DEFAULT)
                };
                trace.backward_into(pass, &[0, 1, 2], &into)
            };
            assert!(into(&addresses, Stored::F32).is_ok());
            assert!(into(&addresses, Stored::F16).is_ok());
            assert!(into(&[0, 0, 0], Stored::F16).is_err());
            same("explanations on the device");
            assert!(catch_unwind(AssertUnwindSafe(|| trace.backward(pass, &[0]))).is_err());
            same("a panic");
            drop(trace);
            same("dropping a trace");
        }
        let mut learner = cuda.learn(Moments::zeros(case.weights.network(), true)).expect("memory");
        same("beginning to learn");
        learner.add(&batch).expect("it runs");
        same("learning");
        learner.moments().expect("it answers");
        same("reading moments");
        drop(learner);
        same("dropping a learner");
    }
    let small = Batch { images: 1, height: 1, width: 1, pixels: Pixels::Rgb8(&[0; 3]) };
    assert!(cuda.forward(&small).is_err());
    same("an image that is too small");
    let wrong = Batch { images: 1, height: 1 << 14, width: 1 << 15, pixels: Pixels::Rgb8(&[]) };
    assert!(cuda.forward(&wrong).is_err());
    same("a batch of the wrong size");
    if let Some(profiler) = cuda.profiler() {
        profiler.time_product(64, 1).expect("it runs");
        profiler.time_copy(1024, 1).expect("it runs");
        same("timing");
    }
    drop(on_device);
    drop(memory);
    drop(cuda);
    same("dropping the backend");
}

#[test]
fn every_entry_leaves_the_current_context_as_it_was() {
    let case = Case::new(random_vgg(41, 3, &[&[12], &[20, 9]], Some((2, &[30, 12]))), ElementType::F32);
    let own = Caller::in_own_context();
    let other = Caller::in_own_context();
    let options = CudaOptions { precision: Precision::F16, ..CudaOptions::default() };
    let in_own = CudaOptions { context: Some(own.for_options()), ..options.clone() };
    // Another one's, on this thread; none, and the same one, on others.
    every_entry(&case, &own, &in_own, other.context());
    let (own, other) = (&Sent(own), &Sent(other));
    std::thread::scope(|scope| {
        scope.spawn(|| every_entry(&case, &own.get().0, &in_own, std::ptr::null_mut()));
        scope.spawn(|| {
            // SAFETY: a context that lives.
            check(unsafe { sys::cuCtxSetCurrent(own.get().0.context()) });
            every_entry(&case, &own.get().0, &in_own, own.get().0.context());
            // SAFETY: none.
            check(unsafe { sys::cuCtxSetCurrent(std::ptr::null_mut()) });
        });
        scope.spawn(|| {
            let primary = Caller::in_primary_context();
            // SAFETY: a context that lives.
            check(unsafe { sys::cuCtxPushCurrent_v2(other.get().0.context()) });
            every_entry(&case, &primary, &options, other.get().0.context());
            let mut popped = std::ptr::null_mut();
            // SAFETY: as pushed.
            check(unsafe { sys::cuCtxPopCurrent_v2(&mut popped) });
        });
    });
}

/// Handles may be used from any thread; the tests drop them on this one.
struct Sent(Caller);

// SAFETY: contexts may be current on any number of threads.
unsafe impl Sync for Sent {}

impl Sent {
    fn get(&self) -> &Self {
        self
    }
}

#[test]
fn a_panic_within_a_call_leaves_the_context_too() {
    let caller = Caller::in_own_context();
    let device = Device::in_context(caller.for_options()).expect("it opens");
    assert_eq!(device.description().index, 0);
    let stream = device.stream().expect("a stream");
    let other = Caller::in_own_context();
    let before = current();
    assert_eq!(before, other.context());
    let panics = || stream.capture::<DeviceError>(|| panic!("on purpose"));
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert_eq!(current(), before);
    // The capture has ended, and the stream goes on.
    assert!(stream.synchronise().is_ok());
    drop(stream);
    drop(device);
    assert_eq!(current(), before);
}

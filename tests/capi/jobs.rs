//! Explanations that run meanwhile.

use crate::calls::{Engine, Images, Init, Request, last_error, ok, picture};
use crate::run::Place;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use vggx::capi::batch::vggx_batch;
use vggx::capi::description::{vggx_description, vggx_engine_describe};
use vggx::capi::engine::{vggx_engine, vggx_engine_close};
use vggx::capi::explain::{VGGX_DETAIL_PLANES, VGGX_TYPE_F32};
use vggx::capi::job::{
    VGGX_WAIT_FOREVER, vggx_explain_start, vggx_job, vggx_job_callback, vggx_job_cancel, vggx_job_free,
    vggx_job_poll, vggx_job_wait,
};
use vggx::capi::status::{
    VGGX_ERROR_ARGUMENT, VGGX_ERROR_CANCELLED, VGGX_ERROR_IMAGE, VGGX_OK, VGGX_PENDING, vggx_status,
};

const METHODS: [&str; 2] = ["gradient", "pattern-attribution"];

fn start(
    engine: &Engine,
    batch: &vggx_batch,
    request: &mut Request,
    callback: vggx_job_callback,
    user: *mut c_void,
) -> *mut vggx_job {
    let mut job = null_mut();
    let (results, scales) = (request.results.as_mut_ptr(), request.scales.as_mut_ptr());
    // SAFETY: the tests keep everything until the job has ended.
    ok(unsafe {
        vggx_explain_start(
            engine.0,
            batch,
            &request.raw,
            results,
            request.results.len(),
            scales,
            request.scales.len(),
            callback,
            user,
            &mut job,
        )
    });
    assert!(!job.is_null());
    job
}

/// Counts calls that bring VGGX_OK.
unsafe extern "C" fn count(user: *mut c_void, job: *mut vggx_job, status: vggx_status) {
    assert!(!job.is_null() && status == VGGX_OK && last_error().is_empty());
    // SAFETY: the tests give a counter.
    unsafe { &*user.cast::<AtomicUsize>() }.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn jobs_give_what_calls_give() {
    let place = Place::new();
    let engine = Engine::of(&place);
    let pictures = [picture(&place, "a.png"), picture(&place, "b.png")];
    let images = Images::rgb8(&[&pictures[0], &pictures[1]]);
    let request = || Request::new(&images.batch, &METHODS, &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    let mut expected = request();
    ok(expected.run(&engine, &images.batch));
    let ended = AtomicUsize::new(0);
    let user = (&raw const ended).cast_mut().cast();
    let mut requests: Vec<Request> = (0..20).map(|_| request()).collect();
    let jobs: Vec<*mut vggx_job> = requests
        .iter_mut()
        .map(|request| start(&engine, &images.batch, request, Some(count), user))
        .collect();
    for (&job, request) in jobs.iter().zip(&requests) {
        // SAFETY: the job is not freed yet.
        unsafe {
            while vggx_job_poll(job) == VGGX_PENDING {
                assert_eq!(last_error(), "");
                vggx_job_wait(job, 1);
            }
            ok(vggx_job_wait(job, VGGX_WAIT_FOREVER));
            ok(vggx_job_poll(job));
        }
        assert_eq!(request.buffers, expected.buffers);
        assert!(request.results.iter().all(|result| result.status == VGGX_OK));
    }
    for job in jobs {
        // SAFETY: not used any more. It waits for the callback.
        ok(unsafe { vggx_job_free(job) });
    }
    assert_eq!(ended.load(Ordering::SeqCst), 20);
}

#[test]
fn closing_an_engine_ends_its_jobs() {
    let place = Place::new();
    let picture = picture(&place, "a.png");
    let images = Images::rgb8(&[&picture]);
    for _ in 0..50 {
        let engine = Engine::of(&place);
        let ended = AtomicUsize::new(0);
        let user = (&raw const ended).cast_mut().cast();
        let mut requests: Vec<Request> = (0..5)
            .map(|_| Request::new(&images.batch, &METHODS, &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32))
            .collect();
        let jobs: Vec<*mut vggx_job> = requests
            .iter_mut()
            .map(|request| start(&engine, &images.batch, request, Some(count), user))
            .collect();
        drop(engine);
        assert_eq!(ended.load(Ordering::SeqCst), 5);
        for job in jobs {
            // SAFETY: jobs outlive their engine.
            unsafe {
                ok(vggx_job_poll(job));
                ok(vggx_job_free(job));
            }
        }
    }
}

/// What a callback of the tests below works with.
struct Visitor {
    engine: *const Engine,
    /// The callback waits for a word before it returns.
    go: Receiver<()>,
    told: Sender<(vggx_status, String, vggx_status)>,
}

/// Tells what it was told, tries to close the engine, waits, and frees its own job.
unsafe extern "C" fn visit(user: *mut c_void, job: *mut vggx_job, status: vggx_status) {
    // SAFETY: the tests give a visitor that lives as long as the job.
    let visitor = unsafe { &*user.cast::<Visitor>() };
    let message = last_error();
    // SAFETY: the engine is open; it refuses.
    let closed = unsafe { vggx_engine_close((*visitor.engine).0) };
    visitor.told.send((status, message, closed)).unwrap();
    visitor.go.recv().unwrap();
    // SAFETY: nobody else frees it.
    ok(unsafe { vggx_job_free(job) });
}

#[test]
fn callbacks_may_free_their_job_and_not_close_the_engine() {
    let place = Place::new();
    let engine = Engine::of(&place);
    let bad = vec![f32::NAN; 432];
    let images = Images::normalised(&[&bad], (12, 12));
    let mut request = Request::new(&images.batch, &["gradient"], &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    let ((go, wait), (told, hear)) = (channel(), channel());
    let visitor = Visitor { engine: &engine, go: wait, told };
    let user = (&raw const visitor).cast_mut().cast();
    start(&engine, &images.batch, &mut request, Some(visit), user);
    let (status, message, closed) = hear.recv().unwrap();
    assert_eq!((status, closed), (VGGX_ERROR_IMAGE, VGGX_ERROR_ARGUMENT));
    assert!(message.contains("image 0: the activations"), "{message}");

    // The only thread for jobs is busy: this one has not begun.
    let mut waiting = Request::new(&images.batch, &["gradient"], &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    let job = start(&engine, &images.batch, &mut waiting, None, null_mut());
    // SAFETY: the job is not freed yet.
    unsafe {
        assert_eq!(vggx_job_poll(job), VGGX_PENDING);
        assert_eq!(vggx_job_wait(job, 5), VGGX_PENDING);
        ok(vggx_job_cancel(job));
        assert_eq!(vggx_job_wait(job, VGGX_WAIT_FOREVER), VGGX_ERROR_CANCELLED);
        assert!(last_error().contains("cancelled"));
        ok(vggx_job_cancel(job));
        ok(vggx_job_free(job));
    }
    go.send(()).unwrap();
    // The visitor may go when its callback has returned.
    drop(engine);
    assert_eq!(waiting.results[0].status, -1);
}

/// What a callback meets while its engine is being closed.
struct Late {
    engine: *mut vggx_engine,
    batch: *const vggx_batch,
    request: *mut Request,
    go: Receiver<()>,
    told: Sender<[vggx_status; 2]>,
}

/// Waits, and then asks the engine for something and for another job.
unsafe extern "C" fn come_late(user: *mut c_void, _: *mut vggx_job, _: vggx_status) {
    // SAFETY: the test keeps all of it until the engine is closed.
    unsafe {
        let late = &*user.cast::<Late>();
        late.go.recv().unwrap();
        let mut description = vggx_description::init();
        let described = vggx_engine_describe(late.engine, &mut description);
        let (request, mut job) = (&mut *late.request, std::ptr::dangling_mut());
        let (results, scales) = (request.results.as_mut_ptr(), request.scales.as_mut_ptr());
        let (engine, batch) = (late.engine, late.batch);
        let started = vggx_explain_start(
            engine,
            batch,
            &request.raw,
            results,
            1,
            scales,
            1,
            None,
            null_mut(),
            &mut job,
        );
        assert!(job.is_null());
        late.told.send([described, started]).unwrap();
    }
}

#[test]
fn callbacks_may_use_an_engine_that_is_being_closed() {
    let place = Place::new();
    let engine = Engine::of(&place);
    let picture = picture(&place, "a.png");
    let images = Images::rgb8(&[&picture]);
    let request = || Request::new(&images.batch, &["gradient"], &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    let (mut first, mut second) = (request(), request());
    let ((go, wait), (told, hear)) = (channel(), channel());
    let late = Late { engine: engine.0, batch: &images.batch, request: &mut second, go: wait, told };
    let user = (&raw const late).cast_mut().cast();
    let job = start(&engine, &images.batch, &mut first, Some(come_late), user);
    std::thread::scope(|scope| {
        scope.spawn(move || drop(engine));
        // Closing has begun, in all likelihood.
        std::thread::sleep(std::time::Duration::from_millis(50));
        go.send(()).unwrap();
    });
    assert_eq!(hear.recv().unwrap(), [VGGX_OK, VGGX_ERROR_CANCELLED]);
    // SAFETY: jobs outlive their engine.
    ok(unsafe { vggx_job_free(job) });
}

/// A job, and one that was started after it.
struct Behind {
    job: AtomicPtr<vggx_job>,
    go: Receiver<()>,
    told: Sender<[vggx_status; 3]>,
}

/// Tries to wait for the job behind its own.
unsafe extern "C" fn wait_behind(user: *mut c_void, _: *mut vggx_job, _: vggx_status) {
    // SAFETY: the test keeps it until the job has ended.
    let behind = unsafe { &*user.cast::<Behind>() };
    behind.go.recv().unwrap();
    let job = behind.job.load(Ordering::SeqCst);
    // SAFETY: the job is not freed yet.
    let got = unsafe { [vggx_job_wait(job, VGGX_WAIT_FOREVER), vggx_job_free(job), vggx_job_wait(job, 1)] };
    behind.told.send(got).unwrap();
}

#[test]
fn callbacks_cannot_wait_for_what_waits_for_them() {
    let place = Place::new();
    let engine = Engine::of(&place);
    let picture = picture(&place, "a.png");
    let images = Images::rgb8(&[&picture]);
    let request = || Request::new(&images.batch, &["gradient"], &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    let (mut first, mut second) = (request(), request());
    let ((go, wait), (told, hear)) = (channel(), channel());
    let behind = Behind { job: AtomicPtr::new(null_mut()), go: wait, told };
    let user = (&raw const behind).cast_mut().cast();
    let job = start(&engine, &images.batch, &mut first, Some(wait_behind), user);
    let last = start(&engine, &images.batch, &mut second, None, null_mut());
    behind.job.store(last, Ordering::SeqCst);
    go.send(()).unwrap();
    assert_eq!(hear.recv().unwrap(), [VGGX_ERROR_ARGUMENT, VGGX_ERROR_ARGUMENT, VGGX_PENDING]);
    // SAFETY: not used any more.
    unsafe {
        ok(vggx_job_wait(last, VGGX_WAIT_FOREVER));
        ok(vggx_job_free(last));
        ok(vggx_job_free(job));
    }
}

#[test]
fn jobs_that_cannot_be_started_are_none() {
    let place = Place::new();
    let engine = Engine::of(&place);
    let picture = picture(&place, "a.png");
    let images = Images::rgb8(&[&picture]);
    let mut request = Request::new(&images.batch, &["gradient"], &["8"], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
    let mut job = std::ptr::dangling_mut();
    let (results, scales) = (request.results.as_mut_ptr(), request.scales.as_mut_ptr());
    // SAFETY: everything is there; the target is wrong, and then there is no place for the job.
    unsafe {
        let start = |job| {
            vggx_explain_start(
                engine.0,
                &images.batch,
                &request.raw,
                results,
                1,
                scales,
                1,
                None,
                null_mut(),
                job,
            )
        };
        assert_eq!(start(&mut job), VGGX_ERROR_ARGUMENT);
        assert!(job.is_null() && last_error().contains("target 8"));
        assert_eq!(start(null_mut()), VGGX_ERROR_ARGUMENT);
    }
}

//! Learning gives what `vggx learn` gives.

use crate::calls::{Engine, Images, Init, last_error, ok, picture, text};
use crate::run::Place;
use safetensors::SafeTensors;
use std::ffi::c_char;
use std::ptr::{null, null_mut};
use vggx::capi::learner::{
    vggx_learner, vggx_learner_add, vggx_learner_close, vggx_learner_open, vggx_learner_options,
    vggx_learner_save, vggx_learner_solve,
};
use vggx::capi::solve::{vggx_solve, vggx_solve_options};
use vggx::capi::status::{
    VGGX_ERROR_ARGUMENT, VGGX_ERROR_FILE, VGGX_ERROR_FORMAT, VGGX_ERROR_IMAGE, VGGX_OK,
};

/// Names and bytes of all tensors.
fn tensors(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let file = SafeTensors::deserialize(bytes).expect("safetensors");
    let mut tensors: Vec<(String, Vec<u8>)> =
        file.tensors().into_iter().map(|(name, tensor)| (name, tensor.data().to_vec())).collect();
    tensors.sort();
    tensors
}

fn open(engine: &Engine, second: bool) -> *mut vggx_learner {
    let options = vggx_learner_options { second_moments: second.into(), ..Init::init() };
    let mut learner = null_mut();
    // SAFETY: the options are complete.
    ok(unsafe { vggx_learner_open(engine.0, &options, &mut learner) });
    learner
}

fn add(learner: *mut vggx_learner, place: &Place, names: &[&str]) {
    let pictures: Vec<_> = names.iter().map(|name| picture(place, name)).collect();
    let images = Images::rgb8(&pictures.iter().collect::<Vec<_>>());
    // SAFETY: the learner is open, the pixels are there.
    ok(unsafe { vggx_learner_add(learner, &images.batch, null_mut(), 0) });
}

#[test]
fn sums_and_patterns_are_those_of_the_command() {
    for second in [false, true] {
        let place = Place::new();
        (0..5).for_each(|seed| place.picture(format!("in/{seed}.png"), 10 + seed));
        let more = if second { "--second-moments" } else { "" };
        place
            .vggx(&format!(
                "learn in --weights net.safetensors --resize 14 --crop 12 --batch 2 --device cpu --centering regime \
                 --store f16 --moments theirs {more} -o theirs.patterns"
            ))
            .done();
        let engine = Engine::of(&place);
        let learner = open(&engine, second);
        // A learner needs its engine no longer.
        drop(engine);
        add(learner, &place, &["in/0.png", "in/1.png"]);
        add(learner, &place, &["in/2.png", "in/3.png"]);
        let (ours, patterns) = (text(place.file("ours")), text(place.file("ours.patterns")));
        // SAFETY: the learner is open, paths are strings, options are complete.
        unsafe {
            // Saving does not end it.
            ok(vggx_learner_save(learner, ours.as_ptr()));
            add(learner, &place, &["in/4.png"]);
            ok(vggx_learner_save(learner, ours.as_ptr()));
            let options =
                vggx_solve_options { centering: c"regime".as_ptr(), store: c"f16".as_ptr(), ..Init::init() };
            ok(vggx_learner_solve(learner, &options, patterns.as_ptr()));
            ok(vggx_learner_close(learner));
        }
        assert_eq!(tensors(&place.read("ours")), tensors(&place.read("theirs")));
        assert_eq!(tensors(&place.read("ours.patterns")), tensors(&place.read("theirs.patterns")));
        let shown = place.vggx("info ours").done().out;
        assert!(shown.contains('5'), "{shown}");

        // From the files, as `vggx solve` does.
        let engine = Engine::of(&place);
        let (theirs, solved) = (text(place.file("theirs")), text(place.file("solved")));
        let one = [ours.as_ptr()];
        let both = [ours.as_ptr(), theirs.as_ptr()];
        // SAFETY: as above.
        unsafe {
            ok(vggx_solve(engine.0, one.as_ptr(), 1, null(), solved.as_ptr()));
            place.vggx("solve theirs --weights net.safetensors -o theirs.solved").done();
            assert_eq!(tensors(&place.read("solved")), tensors(&place.read("theirs.solved")));
            // Two runs, as far as one can tell.
            ok(vggx_solve(engine.0, both.as_ptr(), 2, null(), solved.as_ptr()));
            let twice = [ours.as_ptr(), ours.as_ptr()];
            let status = vggx_solve(engine.0, twice.as_ptr(), 2, null(), solved.as_ptr());
            assert_eq!(status, VGGX_ERROR_FORMAT);
            assert!(last_error().contains("twice"), "{}", last_error());
            let status = vggx_solve(engine.0, one.as_ptr(), 1, null(), ours.as_ptr());
            assert!(status == VGGX_ERROR_ARGUMENT && last_error().contains("lost"), "{}", last_error());
        }
    }
}

#[test]
fn what_cannot_be_learnt_is_said() {
    let place = Place::new();
    let engine = Engine::of(&place);
    let learner = open(&engine, false);
    let nowhere = text(place.file("no/such/folder"));
    let here = text(place.file("m"));
    let [net, missing] = ["net.safetensors", "missing"].map(|name| text(place.file(name)));
    let (good, bad) = (vec![0.5f32; 432], vec![f32::NAN; 432]);
    let images = Images::normalised(&[&good, &bad], (12, 12));
    let mut statuses = [-1; 2];
    let unknown = vggx_solve_options { centering: c"local".as_ptr(), ..Init::init() };
    let wide = vggx_solve_options { store: c"f64".as_ptr(), ..Init::init() };
    let both = vggx_learner_options { second_moments: 2, ..Init::init() };
    let mut none = null_mut();
    // SAFETY: what is wrong is found out before it is used.
    unsafe {
        let say = |status, expected, words: &str| {
            let message = last_error();
            assert!(
                status == expected && message.contains(words),
                "{status}: {words:?} is not in: {message}"
            );
        };
        say(vggx_learner_open(engine.0, &both, &mut none), VGGX_ERROR_ARGUMENT, "second_moments is 2");
        say(vggx_learner_open(null_mut(), null(), &mut none), VGGX_ERROR_ARGUMENT, "engine is null");
        assert!(none.is_null());
        say(vggx_learner_save(learner, here.as_ptr()), VGGX_ERROR_ARGUMENT, "no image yet");
        let add = |batch| vggx_learner_add(learner, batch, null_mut(), 0);
        say(add(null()), VGGX_ERROR_ARGUMENT, "vggx_batch is null");
        let small = vggx::capi::batch::vggx_batch { height: 3, ..images.batch };
        say(add(&small), VGGX_ERROR_ARGUMENT, "too small");
        let status = vggx_learner_add(learner, &images.batch, statuses.as_mut_ptr(), 2);
        say(status, VGGX_ERROR_IMAGE, "image 1: ");
        assert_eq!(statuses, [VGGX_OK, VGGX_ERROR_IMAGE]);
        say(vggx_learner_save(learner, nowhere.as_ptr()), VGGX_ERROR_FILE, "no/such");
        say(vggx_learner_save(learner, null()), VGGX_ERROR_ARGUMENT, "path is null");
        let solve = |options| vggx_learner_solve(learner, options, here.as_ptr());
        say(solve(&unknown), VGGX_ERROR_ARGUMENT, "centering");
        say(solve(&wide), VGGX_ERROR_ARGUMENT, "store is 'f64'");
        ok(vggx_learner_save(learner, here.as_ptr()));
        ok(vggx_learner_close(learner));

        let files = |file: *const c_char, count| vggx_solve(engine.0, &file, count, null(), nowhere.as_ptr());
        say(files(missing.as_ptr(), 1), VGGX_ERROR_FILE, "no such file");
        say(files(net.as_ptr(), 1), VGGX_ERROR_FORMAT, "not of moments");
        say(files(null(), 1), VGGX_ERROR_ARGUMENT, "moments[0] is null");
        say(files(here.as_ptr(), 0), VGGX_ERROR_ARGUMENT, "moment_count is 0");
        say(files(here.as_ptr(), usize::MAX), VGGX_ERROR_ARGUMENT, "moment_count");
        say(files(here.as_ptr(), 1), VGGX_ERROR_FILE, "no/such");
    }
}

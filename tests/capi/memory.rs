//! Too little memory is an error.

use crate::calls::{Engine, Images, Request, last_error, ok, picture};
use crate::run::Place;
use std::process::Command;
use vggx::capi::explain::{VGGX_DETAIL_HEAT_MAP, VGGX_TYPE_F16};
use vggx::capi::status::VGGX_ERROR_MEMORY;
use vggx::images::Rgb8;

const ALONE: &str = "VGGX_TEST_ALONE";

/// In a process that may take 1.2 GB: the maps of 4 channels of 4000×4000 float32 alone are 256 MB each, and four are needed.
#[test]
fn a_batch_for_which_there_is_no_memory_is_refused() {
    if std::env::var_os(ALONE).is_none() {
        let own = std::env::current_exe().expect("a test program");
        let output = Command::new("sh")
            .args(["-c", "ulimit -v 1200000 && exec \"$@\"", "sh"])
            .arg(own)
            .args(["--exact", "memory::a_batch_for_which_there_is_no_memory_is_refused"])
            .env(ALONE, "1")
            .output()
            .expect("sh runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
        return;
    }
    let place = Place::new();
    let engine = Engine::of(&place);
    let large = Rgb8 { width: 4000, height: 4000, pixels: vec![99; 3 * 4000 * 4000] };
    let run = |image: &Rgb8| {
        let images = Images::rgb8(&[image]);
        let mut request =
            Request::new(&images.batch, &["gradient"], &[], VGGX_DETAIL_HEAT_MAP, VGGX_TYPE_F16);
        request.run(&engine, &images.batch)
    };
    assert_eq!(run(&large), VGGX_ERROR_MEMORY);
    assert!(last_error().contains("use a smaller crop or batch"), "{}", last_error());
    ok(run(&picture(&place, "a.png")));
}

//! Why a network's weights do not show what it saw, in two dimensions: docs/linear_model.md explains it.
//!
//! ```text
//! cargo run --release --example linear_model -- docs/pictures/linear_model.svg
//! ```

mod model;
mod picture;

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

use picture::{SAMPLES, SCENES};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [path] = arguments.as_slice() else {
        eprintln!("usage: linear_model PICTURE.svg");
        return ExitCode::from(2);
    };
    match run(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(path: &OsString) -> Result<(), Box<dyn Error>> {
    println!("{SAMPLES} samples of x = a_s y + a_d ε; how far estimates of the signal a_s y miss it:\n");
    println!("{:>15} {:>15} {:>15} {:>7} {:>7} {:>7}", "a_d", "w", "a", "S_x", "S_w", "S_a");
    let mut learnt = Vec::new();
    for model in SCENES {
        let scene = model::learn(model, SAMPLES, 0)?;
        let [identity, filter, linear] = scene.errors();
        let pair = |[x, y]: [f64; 2]| format!("({x:.3}, {y:.3})");
        println!(
            "{:>15} {:>15} {:>15} {identity:>7.4} {filter:>7.4} {linear:>7.4}",
            pair(model.distractor),
            pair(scene.filter),
            pair(scene.pattern),
        );
        learnt.push(scene);
    }
    std::fs::write(path, picture::draw(&learnt)?)?;
    Ok(())
}

//! The quality ρ of signal estimators against least squares on explicit distractors.

mod adam;
mod agreement;
mod degenerate;
mod estimators;
mod learnt;
mod least_squares;
mod reference_itself;
mod samples;

// Shared with the tests of learning and of the CPU engine, which use more of it.
#[path = "../reference/mod.rs"]
mod reference;
#[allow(dead_code)]
#[path = "../engine/support.rs"]
mod support;

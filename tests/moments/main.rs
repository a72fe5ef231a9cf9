//! Moment files, merging them, and solving patterns from them.

mod merge;
mod refused;
mod round_trip;
mod samples;
mod solve;
mod solved_file;

#[path = "../weights/support.rs"]
mod support;

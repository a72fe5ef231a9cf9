//! Learning on the CPU against an independent float64 implementation, and against itself.

mod accuracy;
mod agreement;
mod determinism;
mod learned;
mod real_features;
#[path = "../reference/mod.rs"]
mod reference;
// Shared with the tests of the CPU engine, which use more of it.
#[allow(dead_code)]
#[path = "../engine/support.rs"]
mod support;

//! Curves of perturbed images, and explanations of randomised networks, against an independent float64 implementation.

mod agreement;
mod expected;
mod randomise;
// Both are shared with the tests of the engine, which use more of them.
#[path = "../reference/mod.rs"]
mod reference;
#[allow(dead_code)]
#[path = "../engine/support.rs"]
mod support;

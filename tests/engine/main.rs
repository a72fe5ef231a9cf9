//! The engine on the CPU against an independent float64 implementation, and against itself.

mod agreement;
mod dynamic_range;
mod edges;
#[path = "../reference/mod.rs"]
mod reference;
mod reproducible;
mod support;

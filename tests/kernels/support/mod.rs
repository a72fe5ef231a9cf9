//! What tests of kernels share.

mod below;
mod bits;
mod device;
mod element;
mod judge;
mod random;
mod scale;

pub use below::{Below, Kind, Maps, below_cases};
pub use bits::{pack_argmax, pack_mask, random_argmax, random_mask, word_and_place};
pub use device::{Buffer, Gpu, gpu};
pub use element::{Element, power_of_two};
pub use judge::Judged;
pub use random::Random;
pub use scale::{Scale, expected_exponent};

/// Smallest multiple of 64 that holds `channels`.
pub fn padded(channels: usize) -> usize {
    channels.next_multiple_of(64)
}

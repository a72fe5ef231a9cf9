//! Recycled float32 buffers: after the first image nothing is allocated in the layers' loops.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// A store of buffers that threads borrow from; a [`Buffer`] returns when it is dropped.
#[derive(Default)]
pub struct Workspace {
    free: Mutex<Vec<Vec<f32>>>,
}

/// `len` float32 values with arbitrary (initialised) contents.
pub struct Buffer<'a> {
    workspace: &'a Workspace,
    values: Vec<f32>,
    len: usize,
}

impl Workspace {
    /// Borrows a buffer: the smallest free one that is large enough and not more than four times larger, else a new one.
    ///
    /// Lengths are rounded up to eighths of a power of two, so that requests which vary from image to image are served
    /// by the same few buffers and memory stays flat.
    pub fn take(&self, len: usize) -> Buffer<'_> {
        let rounded = len.next_multiple_of((len.next_power_of_two() / 16).max(1));
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = (0..free.len())
            .filter(|&index| (len..=len.saturating_mul(4)).contains(&free[index].len()))
            .min_by_key(|&index| free[index].len());
        let values = fitting.map(|index| free.swap_remove(index));
        drop(free);
        Buffer { workspace: self, values: values.unwrap_or_else(|| vec![0.0; rounded]), len }
    }
}

impl Workspace {
    /// Bytes of the buffers that nothing uses now.
    pub fn free_bytes(&self) -> usize {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.iter().map(|buffer| size_of_val(&buffer[..])).sum()
    }
}

impl Deref for Buffer<'_> {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.values[..self.len]
    }
}

impl DerefMut for Buffer<'_> {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.len]
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        self.workspace.free.lock().unwrap_or_else(PoisonError::into_inner).push(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_recycled() {
        let workspace = Workspace::default();
        let address = workspace.take(1000).as_ptr();
        let again = workspace.take(900);
        assert_eq!((again.as_ptr(), again.len()), (address, 900));
        assert_ne!(workspace.take(900).as_ptr(), address);
    }

    #[test]
    fn varying_lengths_do_not_pile_up() {
        let workspace = Workspace::default();
        for len in (1000..=4000).chain((1000..=4000).rev()) {
            drop(workspace.take(len));
        }
        // Two powers of two in at most eight steps each.
        let most: usize = (1..=16).map(|step| (1000 + step * 256) * 4).sum();
        assert!(workspace.free_bytes() <= most, "{} bytes", workspace.free_bytes());
    }
}

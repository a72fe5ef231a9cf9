//! Handles: what a caller in C holds of something that lives here.

use super::failure::Failure;
use std::sync::atomic::{AtomicU64, Ordering};

/// A type of the header that callers see from outside only.
pub trait Opaque {
    /// What is behind the handle.
    type Inside;
    /// Tells handles of this type from others, and from memory that was given back.
    const MARK: u64;
    /// What messages call it.
    const NAME: &'static str;
}

/// What a handle points to: the mark first, at one place for all types.
#[repr(C)]
struct Marked<T> {
    mark: AtomicU64,
    inside: T,
}

/// Makes a handle.
pub fn give<O: Opaque>(inside: O::Inside) -> *mut O {
    Box::into_raw(Box::new(Marked { mark: AtomicU64::new(O::MARK), inside })).cast()
}

/// What is behind a handle.
///
/// # Safety
/// The pointer is null, or came from [`give`] for whatever type and was not taken back before `'a` ends.
///
/// # Errors
/// When it is null or of another type. One that was taken back is found out as long as nothing else is in its place.
pub unsafe fn borrow<'a, O: Opaque>(handle: *const O) -> Result<&'a O::Inside, Failure> {
    let marked: *const Marked<O::Inside> = handle.cast();
    check::<O>(marked.cast(), !marked.is_aligned())?;
    // SAFETY: the mark says that it is one of this type, which the caller keeps.
    Ok(unsafe { &(*marked).inside })
}

/// Takes a handle back; null gives nothing.
///
/// # Safety
/// As [`borrow`], and nobody else uses the handle, now or later.
///
/// # Errors
/// As [`borrow`], but for null.
pub unsafe fn take<O: Opaque>(handle: *mut O) -> Result<Option<O::Inside>, Failure> {
    if handle.is_null() {
        return Ok(None);
    }
    let marked: *mut Marked<O::Inside> = handle.cast();
    check::<O>(marked.cast_const().cast(), !marked.is_aligned())?;
    // SAFETY: `give` made it with a box; the mark was there, so nobody took it before.
    let marked = unsafe { Box::from_raw(marked) };
    marked.mark.store(0, Ordering::Relaxed);
    let Marked { inside, .. } = *marked;
    Ok(Some(inside))
}

fn check<O: Opaque>(mark: *const AtomicU64, misaligned: bool) -> Result<(), Failure> {
    if mark.is_null() {
        return Err(Failure::argument(format!("{} is null", O::NAME)));
    }
    // SAFETY: not null; aligned pointers of callers are of handles, which begin with a mark.
    if misaligned || !mark.is_aligned() || unsafe { &*mark }.load(Ordering::Relaxed) != O::MARK {
        return Err(Failure::argument(format!(
            "{} is no such handle, or was closed or freed already",
            O::NAME
        )));
    }
    Ok(())
}

//! Reads what a caller in C gives: null, misaligned, short or senseless values are errors that name the argument.

use super::failure::Failure;
use std::ffi::{CStr, OsStr, c_char};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// No struct of the header is nearly as large: a larger `size` is none.
const LARGEST_STRUCT: usize = 4096;

/// A struct of the header that begins with its size.
///
/// It grows at its end, without padding there: a program that zeros what it does not know must not leave bytes out.
///
/// # Safety
/// It is `repr(C)`, its first field is `size: usize`, and any bytes make one.
pub unsafe trait Versioned: Copy {
    /// What messages call it.
    const NAME: &'static str;
    /// The sizes that it had in earlier versions. Any other smaller one would cut a field.
    const EARLIER: &'static [usize] = &[];
}

/// Refuses a pointer that cannot lead to a `T`.
pub fn check_pointer<T>(pointer: *const T, name: &str) -> Result<(), Failure> {
    if pointer.is_null() {
        Err(Failure::argument(format!("{name} is null")))
    } else if !pointer.is_aligned() {
        Err(Failure::argument(format!(
            "{name} is {:p}, which is not a multiple of {}",
            pointer,
            align_of::<T>()
        )))
    } else {
        Ok(())
    }
}

/// Reads a struct whose caller may know fewer or more fields; what it does not know is zero.
///
/// # Safety
/// The pointer is null, or `size` bytes can be read there.
pub unsafe fn read<T: Versioned>(pointer: *const T) -> Result<T, Failure> {
    check_pointer(pointer, T::NAME)?;
    // SAFETY: every such struct begins with its size, and the pointer is aligned for it.
    let size = check_size::<T>(unsafe { pointer.cast::<usize>().read() })?;
    let known = size.min(size_of::<T>());
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the caller has `size` bytes, and `value` has room for a T.
    unsafe { value.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(pointer.cast(), known) };
    // SAFETY: as above.
    let rest = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>().add(known), size - known) };
    if rest.iter().any(|&byte| byte != 0) {
        return Err(Failure::argument(format!(
            "{} has fields that this version of vggx does not know, and they are not zero",
            T::NAME
        )));
    }
    // SAFETY: any bytes make one.
    Ok(unsafe { value.assume_init() })
}

/// As [`read`], where null stands for all defaults.
///
/// # Safety
/// As [`read`].
pub unsafe fn read_or_default<T: Versioned>(pointer: *const T) -> Result<T, Failure> {
    if pointer.is_null() {
        // SAFETY: any bytes make one.
        return Ok(unsafe { MaybeUninit::<T>::zeroed().assume_init() });
    }
    // SAFETY: as the caller says.
    unsafe { read(pointer) }
}

/// Fills a struct of which the caller may know fewer or more fields, and has set the size.
///
/// # Safety
/// The pointer is null, or `size` bytes can be read and written there.
pub unsafe fn write<T: Versioned>(pointer: *mut T, value: &T) -> Result<(), Failure> {
    check_pointer(pointer, T::NAME)?;
    // SAFETY: every such struct begins with its size, and the pointer is aligned for it.
    let size = check_size::<T>(unsafe { pointer.cast::<usize>().read() })?;
    let known = size.min(size_of::<T>());
    let after_size = size_of::<usize>();
    let from = std::ptr::from_ref(value).cast::<u8>();
    // SAFETY: the caller has `size` bytes; the size itself stays.
    unsafe {
        let to = pointer.cast::<u8>();
        to.add(after_size).copy_from_nonoverlapping(from.add(after_size), known - after_size);
        to.add(known).write_bytes(0, size - known);
    }
    Ok(())
}

fn check_size<T: Versioned>(size: usize) -> Result<usize, Failure> {
    if T::EARLIER.contains(&size) || (size_of::<T>()..=LARGEST_STRUCT).contains(&size) {
        return Ok(size);
    }
    Err(Failure::argument(format!(
        "the size of {name} is {size}; begin with VGGX_INIT({name})",
        name = T::NAME
    )))
}

/// An array of the caller.
///
/// # Safety
/// The pointer is null, or `count` elements can be read there while `'a` lasts, and nobody writes them.
pub unsafe fn slice<'a, T>(pointer: *const T, count: usize, name: &str) -> Result<&'a [T], Failure> {
    if count == 0 {
        return Ok(&[]);
    }
    check_array(pointer, count, name)?;
    // SAFETY: not null, aligned, and as long as the caller says.
    Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
}

/// Refuses a pointer that cannot lead to so many elements.
pub fn check_array<T>(pointer: *const T, count: usize, name: &str) -> Result<(), Failure> {
    if count == 0 {
        return Ok(());
    }
    check_pointer(pointer, name)?;
    let fits = count.checked_mul(size_of::<T>()).is_some_and(|bytes| bytes <= isize::MAX as usize);
    if fits {
        Ok(())
    } else {
        Err(Failure::argument(format!("{name} cannot have {count} elements: there is no such memory")))
    }
}

/// A string of the caller; null is none.
///
/// # Safety
/// The pointer is null or leads to bytes that end with a zero byte.
pub unsafe fn optional_string<'a>(pointer: *const c_char, name: &str) -> Result<Option<&'a str>, Failure> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller says.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map(Some).map_err(|_| Failure::argument(format!("{name} is not UTF-8")))
}

/// A string of the caller.
///
/// # Safety
/// As [`optional_string`].
pub unsafe fn string<'a>(pointer: *const c_char, name: &str) -> Result<&'a str, Failure> {
    // SAFETY: as the caller says.
    unsafe { optional_string(pointer, name) }?.ok_or_else(|| Failure::argument(format!("{name} is null")))
}

/// A path of the caller, as the bytes that the system has; null is none.
///
/// # Safety
/// As [`optional_string`].
pub unsafe fn optional_path(pointer: *const c_char, name: &str) -> Result<Option<PathBuf>, Failure> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller says.
    let bytes = unsafe { CStr::from_ptr(pointer) }.to_bytes();
    if bytes.is_empty() {
        return Err(Failure::argument(format!("{name} is empty; name a file, or give null for the default")));
    }
    Ok(Some(Path::new(OsStr::from_bytes(bytes)).to_owned()))
}

/// A path of the caller.
///
/// # Safety
/// As [`optional_string`].
pub unsafe fn path(pointer: *const c_char, name: &str) -> Result<PathBuf, Failure> {
    // SAFETY: as the caller says.
    unsafe { optional_path(pointer, name) }?.ok_or_else(|| Failure::argument(format!("{name} is null")))
}

/// A product of counts and sizes.
///
/// # Errors
/// When it is larger than memory can be.
pub fn product(factors: &[usize], what: &str) -> Result<usize, Failure> {
    factors
        .iter()
        .try_fold(1usize, |product, &factor| product.checked_mul(factor))
        .filter(|&product| product <= isize::MAX as usize)
        .ok_or_else(|| Failure::argument(format!("{what} are more than memory can hold: {factors:?}")))
}

/// Refuses a count that is not the one that is needed.
pub fn expect_count(got: usize, expected: usize, name: &str, what: &str) -> Result<(), Failure> {
    if got == expected {
        Ok(())
    } else {
        Err(Failure::argument(format!("{name} is {got}, but {expected} are needed: {what}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Known {
        size: usize,
        one: u32,
        two: u32,
    }

    // SAFETY: integers after a size.
    unsafe impl Versioned for Known {
        const NAME: &'static str = "known";
        const EARLIER: &'static [usize] = &[12];
    }

    #[repr(C)]
    struct Newer {
        known: Known,
        three: u64,
    }

    #[test]
    fn structs_of_older_and_newer_callers_are_read() {
        let newer = |size, three| Newer { known: Known { size, one: 1, two: 2 }, three };
        // SAFETY: all structs are as large as they say.
        let get = |newer: &Newer| unsafe { read(&raw const newer.known) };
        assert_eq!(get(&newer(16, 7)).ok(), Some(Known { size: 16, one: 1, two: 2 }));
        assert_eq!(get(&newer(12, 7)).ok(), Some(Known { size: 12, one: 1, two: 0 }));
        assert_eq!(get(&newer(24, 0)).ok(), Some(Known { size: 24, one: 1, two: 2 }));
        let wrong = [0, 7, 8, 9, 11, 13, 15, usize::MAX].map(|size| newer(size, 0));
        for refused in wrong.into_iter().chain([newer(24, 7)]) {
            let error = get(&refused).unwrap_err();
            assert!(error.message.contains("known"), "{}", error.message);
        }
    }

    #[test]
    fn structs_of_older_and_newer_callers_are_filled() {
        let value = Known { size: 0, one: 1, two: 2 };
        let filled = |size| {
            let mut newer = Newer { known: Known { size, one: 9, two: 9 }, three: 9 };
            // SAFETY: it is as large as it says.
            unsafe { write(&raw mut newer.known, &value) }.unwrap();
            (newer.known, newer.three)
        };
        assert_eq!(filled(12), (Known { size: 12, one: 1, two: 9 }, 9));
        assert_eq!(filled(16), (Known { size: 16, one: 1, two: 2 }, 9));
        assert_eq!(filled(24), (Known { size: 24, one: 1, two: 2 }, 0));
    }
}

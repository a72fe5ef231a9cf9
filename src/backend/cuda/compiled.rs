//! The kernels that the build compiled; none without a CUDA compiler.

/// Names and contents of the fatbins.
pub(crate) static FATBINS: &[(&str, &[u8])] = &[];

/// The architectures in them.
pub(crate) static ARCHITECTURES: &[&str] = &[];

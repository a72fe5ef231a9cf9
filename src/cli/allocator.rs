//! Memory that stays flat however long a run is.

/// Lets all threads share one pool of the C library's allocator. By default glibc gives threads pools of their own, and what
/// one thread allocates and another frees, as images on their way through the pipeline, makes all of them grow for many
/// thousand images. Allocations are few beside the work, so that sharing costs nothing that can be measured.
///
/// Elsewhere than with glibc nothing is done.
pub fn share_one_pool() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt may be called at any time; no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

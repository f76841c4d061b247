//! Settings of glibc's allocator.
//!
//! One heap for all threads: its own heap for each costs more in mapping and page faults than the few allocations of our
//! short-lived threads would ever wait for each other. Large blocks always come from the kernel and go back to it: left
//! alone, glibc keeps blocks of up to 32 MiB once it has seen one freed, a fifth of our peak on a large map. And the
//! heap of small blocks grows in few steps and never shrinks by itself: what was given back would be faulted in again. A daemon
//! gives it back after a tick, since it is idle for minutes.

/// From this size on a block is mapped alone, in bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 1 << 20;
/// The heap grows by this much more than is asked for, in bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const STEP: libc::c_int = 1 << 18;

/// Call once, before the first thread is started.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc has no safe way to set this")]
pub(crate) fn configure() {
    let settings = [
        (libc::M_ARENA_MAX, 1),
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_TRIM_THRESHOLD, libc::c_int::MAX),
        (libc::M_TOP_PAD, STEP),
    ];
    for (name, value) in settings {
        // SAFETY: mallopt only sets a parameter of the allocator, and no other thread runs yet.
        unsafe { libc::mallopt(name, value) };
    }
}

/// Gives the kernel what is not in use.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc has no safe way to ask for this")]
pub(crate) fn give_back() {
    // SAFETY: malloc_trim takes the allocator's own locks and touches free blocks alone.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) const fn configure() {}
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) const fn give_back() {}

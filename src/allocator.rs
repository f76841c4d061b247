//! One heap for all threads: glibc gives each thread its own, which costs more in mapping and page faults than the few
//! allocations of our short-lived threads would ever wait for each other.

/// Call once, before the first thread is started.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc has no safe way to set this")]
pub(crate) fn share_one_heap() {
    // SAFETY: mallopt only sets a parameter of the allocator, and no other thread runs yet.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Other C libraries share one heap anyway.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) const fn share_one_heap() {}

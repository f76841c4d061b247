//! Threads that really run beside each other, and how many of them pay.
//!
//! A thread begins on the processor of its parent when the kernel takes all others for busy. In a virtual machine it does
//! so also when they are idle: Linux 6 under KVM believes of a processor that halts that its host has taken it away. There
//! the thread waits for the next tick, 3 ms of a run that takes 10. So a new thread looks where it is, and leaves.

use std::thread::{Builder, Scope, ScopedJoinHandle};

/// More threads than this do not pay even on a cold disk.
const MOST: usize = 8;

/// How many threads to use for work that can be split into so many `parts`. Counting the processors means reading several
/// files, so a single part does not ask.
pub(crate) fn useful(parts: usize) -> usize {
    if parts < 2 {
        return 1;
    }
    std::thread::available_parallelism().map_or(1, usize::from).min(parts).min(MOST)
}

/// Starts a thread on another processor than this one's, where there is one; nothing where no thread can be made, as in a
/// container that may have no more of them.
pub(crate) fn spawn_beside<'s, T: Send + 's>(
    scope: &'s Scope<'s, '_>,
    work: impl FnOnce() -> T + Send + 's,
) -> Option<ScopedJoinHandle<'s, T>> {
    let parent = Place::here();
    let handle = Builder::new().spawn_scoped(scope, move || {
        parent.leave();
        work()
    });
    // If it is here, it can leave now.
    std::thread::yield_now();
    handle.ok()
}

/// A processor, and those that are allowed.
#[cfg(target_os = "linux")]
struct Place(Option<(usize, rustix::thread::CpuSet)>);

#[cfg(target_os = "linux")]
impl Place {
    fn here() -> Self {
        let allowed = rustix::thread::sched_getaffinity(None).ok().filter(|allowed| allowed.count() > 1);
        Self(allowed.and_then(|allowed| Some((processor()?, allowed))))
    }

    /// Moves the thread that calls it to another processor if it runs on this one, and leaves it free to run anywhere.
    /// Tells which processor that was.
    fn leave(self) -> Option<usize> {
        let (cpu, allowed) = self.0?;
        if processor() == Some(cpu) {
            let mut others = allowed;
            others.unset(cpu);
            // Where that is forbidden the thread stays and waits.
            let _ = rustix::thread::sched_setaffinity(None, &others);
            let arrived = processor();
            let _ = rustix::thread::sched_setaffinity(None, &allowed);
            return arrived;
        }
        None
    }
}

/// The processor that this thread runs on.
///
/// Not rustix's function: that one looks for the kernel's shared object by itself, which ends the program under valgrind.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "libc declares every function unsafe")]
fn processor() -> Option<usize> {
    // SAFETY: it takes nothing and touches no memory of ours.
    usize::try_from(unsafe { libc::sched_getcpu() }).ok()
}

#[cfg(not(target_os = "linux"))]
struct Place;

#[cfg(not(target_os = "linux"))]
impl Place {
    const fn here() -> Self {
        Self
    }

    const fn leave(self) -> Option<usize> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_leaves_its_parents_processor_and_may_run_anywhere_again() {
        let allowed = rustix::thread::sched_getaffinity(None).unwrap();
        let moved = std::thread::spawn(move || {
            let parent = processor().unwrap();
            let arrived = Place(Some((parent, allowed))).leave();
            (parent, arrived, rustix::thread::sched_getaffinity(None).unwrap())
        });
        let (parent, arrived, after) = moved.join().unwrap();
        assert_eq!(after, allowed);
        // It may have been moved before it could look.
        assert!(allowed.count() == 1 || arrived != Some(parent), "{arrived:?} {parent}");
        std::thread::scope(|scope| assert_eq!(spawn_beside(scope, || 7).unwrap().join().unwrap(), 7));
    }

    #[test]
    fn one_part_is_for_one_thread() {
        assert_eq!((useful(0), useful(1)), (1, 1));
        assert!(useful(100) <= MOST);
    }
}

//! The same work on many items, on as many threads as pay.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::interrupt;
use crate::threads::{spawn_beside, useful};

/// What `work` yields for these items, in no particular order. A thread takes `chunk` items at a time and keeps a state
/// of its own; what a thread that died had done is lost.
pub(super) fn map<I: Sync, S: Default, T: Send>(
    items: &[I],
    chunk: usize,
    work: impl Fn(&mut S, &I) -> Option<T> + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let run = || {
        let (mut state, mut done) = (S::default(), Vec::new());
        while let Some(items) = items.chunks(chunk).nth(next.fetch_add(1, Ordering::Relaxed)) {
            interrupt::mark();
            done.extend(items.iter().filter_map(|item| work(&mut state, item)));
        }
        done
    };
    std::thread::scope(|scope| {
        let more: Vec<_> = (1..useful(items.len() / chunk)).filter_map(|_| spawn_beside(scope, run)).collect();
        let mut done = run();
        for handle in more {
            done.extend(handle.join().unwrap_or_default());
        }
        done
    })
}

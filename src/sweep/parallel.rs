//! The same work on many items, on as many threads as pay.

use std::sync::atomic::{AtomicUsize, Ordering};

/// More threads than this do not pay even on a cold disk.
const MAX_THREADS: usize = 8;

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
            done.extend(items.iter().filter_map(|item| work(&mut state, item)));
        }
        done
    };
    let threads = threads_for(items.len() / chunk);
    std::thread::scope(|scope| {
        let more: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        for handle in more {
            done.extend(handle.join().unwrap_or_default());
        }
        done
    })
}

/// How many threads to use for so many chunks. Counting the processors means reading several files, so a single chunk
/// does not ask.
fn threads_for(chunks: usize) -> usize {
    if chunks < 2 {
        return 1;
    }
    std::thread::available_parallelism().map_or(1, usize::from).min(chunks).min(MAX_THREADS)
}

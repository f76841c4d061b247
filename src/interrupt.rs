//! Between two items of a run: whether it is asked to end, and that it gets on.
//!
//! A loop that changes things asks [`asked`] before each item and leaves the rest where the answer is yes: the item that was
//! begun is finished, and the report tells what was left. A loop that only looks calls [`mark`]. Only the daemon listens
//! to signals; everywhere else nobody ever asks, and a signal ends the run, which all writing is made for.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What is said of an item that was left.
pub(crate) const LEFT: &str = "the daemon was asked to end before it";

/// What is said of several of them at once, or of what is done in one step.
pub(crate) const LEFT_REST: &str = "the daemon was asked to end before them";

static ASKED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
static STEPS: AtomicU64 = AtomicU64::new(0);

/// The flag that a signal sets, once and for all.
pub(crate) fn flag() -> Arc<AtomicBool> {
    Arc::clone(&ASKED)
}

/// Whether the run is asked to end before the next item. To ask is a step forward.
pub(crate) fn asked() -> bool {
    mark();
    is_set()
}

/// A step forward: one more folder, session or item was looked at.
pub(crate) fn mark() {
    STEPS.fetch_add(1, Ordering::Relaxed);
    #[cfg(test)]
    STEPS_OF_THIS_TEST.set(STEPS_OF_THIS_TEST.get() + 1);
}

/// How many steps there were: as long as the number grows, the run gets on.
pub(crate) fn steps() -> u64 {
    STEPS.load(Ordering::Relaxed)
}

#[cfg(not(test))]
fn is_set() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Tests run beside each other: each has a flag of its own.
#[cfg(test)]
fn is_set() -> bool {
    OF_THIS_TEST.get()
}

#[cfg(test)]
thread_local! {
    static OF_THIS_TEST: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    static STEPS_OF_THIS_TEST: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Asks this thread's run to end.
#[cfg(test)]
pub(crate) fn ask_in_test() {
    OF_THIS_TEST.set(true);
}

/// How many steps this thread took.
#[cfg(test)]
pub(crate) fn steps_of_test() -> u64 {
    STEPS_OF_THIS_TEST.get()
}

//! How much of something there is.

use std::hash::{Hash as _, Hasher as _};

use rustc_hash::FxHasher;

use crate::filesystem::walk::Seen;

/// How much of something there is. Files with several names count once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) files: u64,
    /// Their sizes.
    pub(crate) bytes: u64,
    /// What they take on the disk.
    pub(crate) disk: u64,
    /// The latest change of a file, nanoseconds since 1970.
    pub(crate) newest: Option<i64>,
    /// The earliest.
    pub(crate) oldest: Option<i64>,
    /// Another one when any file came, went or changed.
    pub(crate) trace: u64,
}

/// How much there is of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) sums: Sums,
    /// Files, entries, or sessions.
    pub(crate) items: u64,
    /// Those of them that are older than was asked about.
    pub(crate) overdue: u64,
    /// What these take on the disk.
    pub(crate) overdue_disk: u64,
}

impl Tally {
    /// Counts what goes as a whole; what has no time is as old as nobody knows.
    pub(super) fn count(&mut self, sums: &Sums, overdue_before: Option<i64>) {
        self.items += 1;
        if sums.newest.zip(overdue_before).is_some_and(|(newest, before)| newest < before) {
            self.overdue += 1;
            self.overdue_disk += sums.disk;
        }
    }
}

impl Sums {
    /// Adds a file; one that was counted under another name counts for its time alone.
    pub(crate) fn add(&mut self, seen: &Seen, is_new: bool) {
        let at = Some(seen.stamp.modified);
        self.newest = self.newest.max(at);
        self.oldest = self.oldest.map_or(at, |oldest| Some(oldest.min(seen.stamp.modified)));
        let mut hasher = FxHasher::default();
        seen.stamp.hash(&mut hasher);
        self.trace = self.trace.wrapping_add(hasher.finish());
        if is_new {
            self.files += 1;
            self.bytes += seen.stamp.size;
            self.disk += seen.disk;
        }
    }

    /// Adds another one's.
    pub(crate) fn join(&mut self, other: &Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.disk += other.disk;
        self.newest = self.newest.max(other.newest);
        self.oldest = self.oldest.into_iter().chain(other.oldest).min();
        self.trace = self.trace.wrapping_add(other.trace);
    }
}

//! Files of several names that a run took names from. To take one away changes the file that the others name: what this run
//! did itself is told from what anybody else did.

use rustc_hash::FxHashMap;

use crate::filesystem::walk::{FileStamp, Seen};

/// What names a run took.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: FxHashMap<(u64, u64), Taken>,
}

/// One file that names were taken from.
#[derive(Debug)]
struct Taken {
    before: Seen,
    /// As the last taking left it.
    after: FileStamp,
    names: u32,
}

impl Names {
    /// What was seen as it was before this run took a name from it; itself where anybody else has changed it since.
    pub(super) fn before(&self, seen: Seen) -> Seen {
        match self.taken.get(&seen.identity()) {
            Some(taken) if taken.after == seen.stamp => {
                Seen { stamp: taken.before.stamp, links: taken.before.links, ..seen }
            }
            _ => seen,
        }
    }

    /// What a file that was `seen` before has to be now, where nobody but this run changed it.
    pub(super) fn expected(&self, seen: &Seen) -> FileStamp {
        let taken = self.taken.get(&seen.identity()).filter(|taken| taken.before.stamp == seen.stamp);
        taken.map_or(seen.stamp, |taken| taken.after)
    }

    /// Notes that a name of what was `seen` before is gone, and what that left; yields what the disk has back: nothing while
    /// the file has another name.
    pub(super) fn take(&mut self, seen: &Seen, after: FileStamp) -> u64 {
        let taken = self.taken.entry(seen.identity()).or_insert(Taken { before: *seen, after, names: 0 });
        taken.after = after;
        taken.names += 1;
        if taken.names >= seen.links { seen.disk } else { 0 }
    }
}

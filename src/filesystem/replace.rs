//! Replacing a file that programs without our lock change too, whether they rename over it or rewrite it in place.
//!
//! The new file changes names with the old one in one step, so the path always names one complete file. A lease on the
//! old file shows, and holds back, who opens it around that step. What comes out is looked at; if it is not what was
//! read, or somebody was about to change it, the names change back. Until that is settled a lease on the new file holds
//! back who opens that: read too early, it would lack the change that is put back, and so would what they write next.

use std::fmt;
use std::io;
use std::time::Duration;

use rustix::io::Errno;

use super::error::ReplaceError;
use super::lease::{Kind, Lease};
use super::names::{Pinned, exchange, is_unsupported, rename_new, rename_over};
use super::snapshot::Snapshot;
use super::temporary::Temporary;

/// How long the old file is watched after the exchange, for openers that had found it just before.
pub(crate) const HOLD: Duration = Duration::from_micros(300);
/// How long a lease that makes everybody wait is tried for.
const WRITE_LEASE_PATIENCE: Duration = Duration::from_millis(200);
/// How long any lease is tried for. A program that keeps the file open all the time must not stop us for good.
const LEASE_PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_micros(500);

/// What became of a replacement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// The path names the new file.
    Done(Protection),
    /// The file is no longer what the snapshot holds, and was left to its writer: take a new snapshot, decide again.
    Changed,
}

/// What kept other programs' changes safe during a replacement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// A lease for the whole time.
    Lease,
    /// Comparisons before and after, with a window of microseconds.
    NoLease {
        /// Why it had to do.
        why: String,
    },
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lease => f.write_str("replaced under a lease"),
            Self::NoLease { why } => write!(f, "replaced with comparisons only: {why}"),
        }
    }
}

/// A new file, complete, beside the one it is to replace. Dropped, it leaves no trace.
#[derive(Debug)]
#[must_use = "nothing is replaced until it is committed"]
pub(crate) struct Prepared {
    temporary: Temporary,
    synced: bool,
}

/// Moments of a replacement, for tests that act in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Guarded,
    Compared,
    Exchanged,
    Verified,
    Held,
    PutBack,
}

impl Prepared {
    /// Writes `parts` into a temporary file beside the snapshot's file, with its mode, owner and attributes.
    pub(crate) fn write(snapshot: &Snapshot, parts: &[&[u8]]) -> Result<Self, ReplaceError> {
        let real = snapshot.real_path();
        let parent = super::snapshot::folder_of(real);
        let mut temporary = Temporary::create(snapshot.folder(), parent, snapshot.name())
            .map_err(ReplaceError::io(real, "create a temporary file beside"))?;
        temporary.write(parts).map_err(ReplaceError::io(temporary.path(), "write"))?;
        temporary.resemble(snapshot.file(), snapshot.stat(), real)?;
        Ok(Self { temporary, synced: false })
    }

    /// Makes the new file's content durable.
    pub(crate) fn sync(&mut self) -> Result<(), ReplaceError> {
        self.temporary.file().sync_all().map_err(ReplaceError::io(self.temporary.path(), "flush"))?;
        self.synced = true;
        Ok(())
    }

    /// Puts the new file in the place of the snapshot's, unless that was changed since it was read.
    ///
    /// The folder is not flushed: after a power cut the path names the old file or the new one, both complete.
    pub(crate) fn commit(self, snapshot: &Snapshot, hold: Duration) -> Result<Replaced, ReplaceError> {
        self.commit_watched(snapshot, hold, &mut |_| {})
    }

    fn commit_watched(
        mut self,
        snapshot: &Snapshot,
        hold: Duration,
        watch: &mut dyn FnMut(Step),
    ) -> Result<Replaced, ReplaceError> {
        if !self.synced {
            self.sync()?;
        }
        let real = snapshot.real_path();
        let mut patience = Patience::default();
        loop {
            if !snapshot.looks_unchanged() {
                return Ok(Replaced::Changed);
            }
            let Some(guard) = Guard::take(snapshot, patience.spent) else {
                patience.pause();
                continue;
            };
            watch(Step::Guarded);
            if !guard.has_same_bytes().map_err(ReplaceError::io(real, "read"))? || !snapshot.looks_unchanged() {
                return Ok(Replaced::Changed);
            }
            watch(Step::Compared);
            if guard.somebody_waits() {
                drop(guard);
                patience.pause();
                continue;
            }
            let doubt = Lease::take(self.temporary.file(), Kind::Write).ok();
            self.temporary.set_disposable(None);
            match exchange(snapshot.folder(), self.temporary.name(), snapshot.name()) {
                Ok(()) => {}
                Err(error) if is_unsupported(error) => {
                    drop(doubt);
                    return self.rename(snapshot, error);
                }
                Err(error) => {
                    drop(doubt);
                    self.temporary.set_disposable(Some(self.temporary.id()));
                    return match error {
                        Errno::NOENT => Ok(Replaced::Changed),
                        error => Err(ReplaceError::io(real, "replace")(error)),
                    };
                }
            }
            watch(Step::Exchanged);
            let out = self.pin(snapshot)?;
            if out.id() != snapshot.id() {
                // Somebody renamed a newer file over it in the last moment.
                let newest = self.put_back(snapshot)?;
                watch(Step::PutBack);
                if let Some(doubt) = doubt {
                    self.let_pass(&newest, doubt);
                }
                return Ok(Replaced::Changed);
            }
            drop(doubt);
            watch(Step::Verified);
            let mut disturbed = guard.is_disturbed();
            if !disturbed {
                wait(hold);
                watch(Step::Held);
                disturbed = guard.is_disturbed();
            }
            if !disturbed {
                self.temporary.set_disposable(Some(snapshot.id()));
                return Ok(Replaced::Done(guard.protection()));
            }
            // A writer found the old file before the exchange: it has to be the one at the path when he writes.
            let newest = self.put_back(snapshot)?;
            watch(Step::PutBack);
            if newest.id() != snapshot.id() || matches!(guard, Guard::Comparisons { .. }) {
                return Ok(Replaced::Changed);
            }
            drop(guard);
            patience.pause();
        }
    }

    /// Undoes the exchange; returns the file that the path names then: the one that came out, or what another program
    /// has put there since.
    fn put_back(&self, snapshot: &Snapshot) -> Result<Pinned, ReplaceError> {
        let (folder, name) = (snapshot.folder(), self.temporary.name().to_owned());
        let mut at_path = self.temporary.id();
        // Kept until the end: an inode number that is free comes up again at once.
        let mut superseded = Vec::new();
        let mut newest = self.pin(snapshot)?;
        loop {
            match exchange(folder, &name, snapshot.name()) {
                Ok(()) => {}
                // The path was removed meanwhile; its last content is worth more than its absence.
                Err(Errno::NOENT) => match rename_new(folder, &name, snapshot.name()) {
                    Ok(()) => return Ok(newest),
                    Err(Errno::EXIST) => continue,
                    Err(error) => return Err(self.displaced(snapshot, error)),
                },
                Err(error) => return Err(self.displaced(snapshot, error)),
            }
            let out = self.pin(snapshot)?;
            if out.id() == at_path {
                // What we put in came out again: nobody was there in between, and nobody needs it any more.
                self.temporary.set_disposable(Some(out.id()));
                return Ok(newest);
            }
            // Somebody renamed over what we had put in: that is newer still, and goes back next time round.
            at_path = newest.id();
            superseded.push(std::mem::replace(&mut newest, out));
        }
    }

    /// Lets those go on who opened the new file while the path named it, with the content that belongs there.
    fn let_pass(&self, newest: &Pinned, doubt: Lease<'_>) {
        if let Err(error) = newest.open().and_then(|file| self.temporary.become_copy(file)) {
            log::debug!("{} could not be brought up to date: {error}", self.temporary.path().display());
        }
        drop(doubt);
    }

    /// What the temporary name stands for.
    fn pin(&self, snapshot: &Snapshot) -> Result<Pinned, ReplaceError> {
        Pinned::at(snapshot.folder(), self.temporary.name()).map_err(|error| self.displaced(snapshot, error))
    }

    /// The way for file systems that cannot exchange names.
    fn rename(self, snapshot: &Snapshot, why: Errno) -> Result<Replaced, ReplaceError> {
        if !snapshot.looks_unchanged() {
            self.temporary.set_disposable(Some(self.temporary.id()));
            return Ok(Replaced::Changed);
        }
        rename_over(snapshot.folder(), self.temporary.name(), snapshot.name()).map_err(|error| {
            self.temporary.set_disposable(Some(self.temporary.id()));
            ReplaceError::io(snapshot.real_path(), "replace")(error)
        })?;
        Ok(Replaced::Done(Protection::NoLease { why: format!("this file system cannot exchange names ({why})") }))
    }

    fn displaced(&self, snapshot: &Snapshot, error: impl Into<io::Error>) -> ReplaceError {
        ReplaceError::Displaced {
            path: snapshot.real_path().to_owned(),
            aside: self.temporary.path().to_owned(),
            cause: error.into(),
        }
    }
}

/// Sleeps for so long and no longer: left alone, the kernel adds 50 µs.
fn wait(time: Duration) {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    std::thread::sleep(time);
}

/// How long a lease was waited for: by pauses, not by the clock. A run that was stopped, or waited for its disk, in the
/// middle of a replacement has waited for nobody, and whoever it made wait may need a moment to go on.
#[derive(Debug, Default)]
struct Patience {
    spent: Duration,
}

impl Patience {
    fn pause(&mut self) {
        std::thread::sleep(PAUSE);
        self.spent += PAUSE;
    }
}

/// What shows that another program comes near the file.
enum Guard<'a> {
    Lease(Lease<'a>, &'a Snapshot),
    Comparisons { snapshot: &'a Snapshot, why: String },
}

impl<'a> Guard<'a> {
    /// The best guard there is after having `waited`, or nothing when waiting may get a better one.
    ///
    /// A lease against writers is second best: readers who pass it may write back what they read, which brings our
    /// change to nothing, but no change of theirs.
    fn take(snapshot: &'a Snapshot, waited: Duration) -> Option<Self> {
        let kind = if waited < WRITE_LEASE_PATIENCE { Kind::Write } else { Kind::Read };
        match Lease::take(snapshot.file(), kind) {
            Ok(lease) => Some(Self::Lease(lease, snapshot)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && waited < LEASE_PATIENCE => None,
            Err(error) => Some(Self::Comparisons { snapshot, why: format!("no lease on the file ({error})") }),
        }
    }

    fn has_same_bytes(&self) -> io::Result<bool> {
        let (Self::Lease(_, snapshot) | Self::Comparisons { snapshot, .. }) = self;
        snapshot.has_same_bytes()
    }

    /// Whether an opener waits. Without a lease nobody has to.
    fn somebody_waits(&self) -> bool {
        matches!(self, Self::Lease(lease, _) if lease.somebody_waits())
    }

    /// Whether somebody is about to write to the file since it was compared, or has, as far as can be seen.
    ///
    /// Readers do not count: what they add to what they read they write to the path. To put the old file back for them
    /// would drop what a writer wrote into the new one meanwhile.
    fn is_disturbed(&self) -> bool {
        match self {
            Self::Lease(lease, _) => lease.a_writer_waits(),
            Self::Comparisons { snapshot, .. } => !snapshot.has_same_bytes().unwrap_or(false),
        }
    }

    fn protection(&self) -> Protection {
        match self {
            Self::Lease(..) => Protection::Lease,
            Self::Comparisons { why, .. } => Protection::NoLease { why: why.clone() },
        }
    }
}

#[cfg(test)]
#[path = "replace_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "replace_stress.rs"]
mod stress;

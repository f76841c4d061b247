//! Does what a plan says: archives sessions, then removes, each after another look at what it acts on.

use std::os::fd::{AsFd as _, BorrowedFd};

use chrono::{DateTime, Utc};
use rustc_hash::{FxHashMap, FxHashSet};

use super::claims::is_open_now;
use super::homes::Home;
use super::parts::{Going, Parts};
use super::plan::{HomePlan, Item, Plan, Twin};
use crate::artifacts::archive::{Added, Archive, ArchiveError, Archived, Entry, Manifest};
use crate::filesystem::proc::Proc;
use crate::filesystem::{Attributes, walk};
use crate::interrupt;
use crate::policy::session_id::SessionId;

/// What became of a plan.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// One for each item that was to go, in the plan's order.
    pub(crate) outcomes: Vec<Outcome>,
    /// What the disk has back. A file counts when its last name is gone.
    pub(crate) freed: u64,
    /// What the archive takes more.
    pub(crate) archived: u64,
    /// How many entries of the archive went.
    pub(crate) forgotten: usize,
    /// What went wrong beside the items.
    pub(crate) problems: Vec<String>,
}

impl Applied {
    /// How many items went.
    pub(crate) fn removed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| **outcome == Outcome::Removed).count()
    }

    /// How many that were to go stayed.
    pub(crate) fn left(&self) -> usize {
        self.outcomes.len() - self.removed()
    }
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Removed,
    /// It is not what the plan saw any more, and stays.
    Changed,
    /// Somebody has its session open by now: it stays.
    Opened,
    /// It could not be archived or removed: why. What is not removed is as it was.
    Failed(String),
    /// The run did not come to it.
    NotTried(Why),
}

/// Why a run did not come to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It was held before the first one.
    Held,
    /// It was asked to end.
    Asked,
    /// What was to be archived before did not fit on the disk.
    DiskFull,
}

/// What a run that removes works with.
pub(crate) struct Remover<'r> {
    pub(crate) archive: &'r Archive,
    /// What is in it.
    pub(crate) entries: &'r [Entry],
    pub(crate) proc: &'r Proc,
    pub(crate) now: DateTime<Utc>,
}

/// What a run that removes remembers from item to item.
#[derive(Default)]
struct Progress {
    /// How many names of which file are gone.
    links: FxHashMap<(u64, u64), u32>,
    /// Entries of the archive that are the only copy again.
    renewed: FxHashSet<String>,
    applied: Applied,
}

impl Remover<'_> {
    /// Does what `plan` says. Hold the lock.
    pub(crate) fn apply(&self, plan: &Plan<'_>) -> Applied {
        let mut progress = Progress::default();
        if plan.held.is_some() {
            progress.applied.outcomes = plan.removed().map(|_| Outcome::NotTried(Why::Held)).collect();
            return progress.applied;
        }
        if let Err(error) = self.archive.tidy() {
            progress.applied.problems.push(format!("{}: {error}", self.archive.folder().display()));
        }
        for home in &plan.homes {
            self.apply_home(home, &mut progress);
        }
        let Progress { renewed, mut applied, .. } = progress;
        let mut left = 0;
        for entry in plan.forgotten.iter().filter(|entry| !renewed.contains(&entry.name)) {
            if interrupt::asked() {
                left += 1;
                continue;
            }
            match self.archive.remove(entry) {
                Ok(()) => {
                    applied.forgotten += 1;
                    applied.freed += entry.disk;
                }
                Err(error) => applied.problems.push(error.to_string()),
            }
        }
        if left > 0 {
            applied.problems.push(format!("{left} of the archive: {}", interrupt::LEFT));
        }
        applied
    }

    fn apply_home(&self, planned: &HomePlan<'_>, progress: &mut Progress) {
        let going: Vec<&Item> = planned.items.iter().filter(|item| item.goes()).collect();
        if going.is_empty() {
            return;
        }
        let home = &planned.home;
        let folder = match walk::open_folder_path(&home.folder) {
            Ok(folder) => folder,
            Err(error) => {
                let why = format!("{}: {error}", home.folder.display());
                progress.applied.outcomes.extend(going.iter().map(|_| Outcome::Failed(why.clone())));
                return;
            }
        };
        let mut is_full = false;
        for item in going {
            let outcome = if interrupt::asked() {
                Outcome::NotTried(Why::Asked)
            } else if is_full && item.is_archived() {
                Outcome::NotTried(Why::DiskFull)
            } else {
                self.apply_item(home, folder.as_fd(), item, progress).unwrap_or_else(|failure| {
                    is_full |= failure.is_disk_full;
                    failure.outcome
                })
            };
            progress.applied.outcomes.push(outcome);
        }
    }

    fn apply_item(
        &self,
        home: &Home<'_>,
        folder: BorrowedFd<'_>,
        item: &Item,
        progress: &mut Progress,
    ) -> Result<Outcome, Failure> {
        let Some(parts) = Parts::of(folder, &item.unit.pieces)? else { return Ok(Outcome::Changed) };
        if parts.trace() != item.unit.sums.trace {
            return Ok(Outcome::Changed);
        }
        let mut kept = Copy::None;
        if let Some(session) = item.unit.session.as_deref() {
            let manifest = self.manifest(home, session, &parts)?;
            kept = match self.archive.holding(self.entries, &manifest, folder) {
                Some(entry) => Copy::Known(entry),
                None => match self.archive.add(&manifest, folder) {
                    Ok(added) => Copy::Made(added),
                    Err(ArchiveError::Changed(_)) => return Ok(Outcome::Changed),
                    Err(error) => {
                        return Err(Failure {
                            is_disk_full: error.is_disk_full(),
                            outcome: Outcome::Failed(format!("{error}; nothing of it was removed")),
                        });
                    }
                },
            };
        }
        if let Some(ended) = self.last_look((home, folder), item, &parts).transpose() {
            self.take_back(&kept, &mut progress.applied);
            return ended;
        }
        match kept {
            Copy::None => {}
            Copy::Made(added) => progress.applied.archived += added.disk,
            // It is the only copy again, and its age counts from now.
            Copy::Known(entry) => {
                self.archive.renew(entry, self.now).map_err(Failure::of)?;
                progress.renewed.insert(entry.name.clone());
            }
        }
        parts.remove(folder, &mut progress.links, &mut progress.applied.freed)
    }

    /// Looks once more, as to archive takes its time; yields how the item ends where nothing of it is to be removed.
    fn last_look(
        &self,
        (home, folder): (&Home<'_>, BorrowedFd<'_>),
        item: &Item,
        parts: &Parts,
    ) -> Result<Option<Outcome>, Failure> {
        let has_twin = item.twin.as_ref().is_none_or(Twin::is_unchanged);
        if item.twin.is_none() && is_open_now(home, &item.unit, self.proc).map_err(Failure::of)? {
            return Ok(Some(Outcome::Opened));
        }
        let is_as_planned = has_twin && parts.are_unchanged(folder)?;
        Ok((!is_as_planned).then_some(Outcome::Changed))
    }

    /// Takes a new entry out of the archive again, as its files stay. One of before stays.
    fn take_back(&self, kept: &Copy<'_>, applied: &mut Applied) {
        let Copy::Made(added) = kept else { return };
        if let Err(error) = self.archive.discard(added) {
            applied.archived += added.disk;
            applied.problems.push(error.to_string());
        }
    }

    fn manifest(&self, home: &Home<'_>, session: &str, parts: &Parts) -> Result<Manifest, Failure> {
        let id = SessionId::new(session).map_err(Failure::of)?;
        let archived = |going: &Going| {
            let seen = &going.seen;
            let attributes = Attributes {
                mode: seen.mode,
                owner: seen.owner,
                group: seen.group,
                modified: seen.stamp.modified,
                accessed: going.accessed,
            };
            Archived::new(going.path.clone(), seen.stamp.size, attributes)
        };
        if let Some(going) = parts.files.iter().chain(&parts.folders).find(|going| going.path.to_str().is_none()) {
            let why = format!("{} is no text, which the archive's manifest cannot name", going.path.display());
            return Err(Failure::of(why));
        }
        let files = parts.files.iter().map(archived).collect();
        let folders = parts.folders.iter().map(archived).collect();
        Ok(Manifest::new(id, &home.provider, &home.folder, self.now, files, folders))
    }
}

/// What the archive has of an item.
enum Copy<'e> {
    /// It is none that is archived.
    None,
    /// A new entry.
    Made(Added),
    /// An entry of before.
    Known(&'e Entry),
}

/// Why an item was not removed.
pub(super) struct Failure {
    outcome: Outcome,
    is_disk_full: bool,
}

impl Failure {
    pub(super) fn of(why: impl std::fmt::Display) -> Self {
        Self { outcome: Outcome::Failed(why.to_string()), is_disk_full: false }
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(error: rustix::io::Errno) -> Self {
        Self::of(error)
    }
}

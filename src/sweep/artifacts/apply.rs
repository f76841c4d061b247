//! Does what a plan says: archives sessions, then removes, each after another look at what it acts on.

use std::fmt::Display;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rustc_hash::FxHashSet;

use super::claims::Speakers;
use super::homes::Home;
use super::names::Names;
use super::open::{Open, is_open_now};
use super::parts::{Going, Parts};
use super::plan::{HomePlan, Item, Plan, Twin};
use crate::artifacts::archive::{Added, Archive, ArchiveError, Entry, Manifest};
use crate::filesystem::proc::Proc;
use crate::filesystem::walk;
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
    /// It could not be archived, or not removed whole: why, and what of it went.
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
    /// Looks again at who speaks for sessions: a run may take minutes.
    pub(crate) look_again: &'r dyn Fn() -> Result<Speakers<'r>, String>,
}

/// How long such a look counts.
const FRESH: Duration = Duration::from_secs(1);

/// What a run that removes remembers from item to item.
#[derive(Default)]
struct Progress<'r> {
    /// The last look at who speaks for sessions.
    speakers: Option<(Instant, Speakers<'r>)>,
    names: Names,
    /// Entries of the archive that are the only copy again.
    renewed: FxHashSet<String>,
    applied: Applied,
}

impl<'r> Remover<'r> {
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
        for entry in plan.forgets().iter().filter(|entry| !renewed.contains(&entry.name)) {
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

    fn apply_home(&self, planned: &HomePlan<'_>, progress: &mut Progress<'r>) {
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
        progress: &mut Progress<'r>,
    ) -> Result<Outcome, Failure> {
        let Some(parts) = Parts::of(folder, &item.unit.pieces, &progress.names)? else {
            return Ok(Outcome::Changed);
        };
        if parts.trace() != item.unit.sums.trace {
            return Ok(Outcome::Changed);
        }
        if let Some(why) = parts.obstacle(folder).map_err(Failure::of)? {
            return Err(Failure::of(format!("{why}; nothing of it was removed")));
        }
        let mut kept = Stored::None;
        if let Some(session) = item.unit.session.as_deref() {
            let manifest = self.manifest(home, session, &parts)?;
            kept = match self.archive.holding(self.entries, &manifest, folder) {
                Some(entry) => Stored::Known(entry),
                None => match self.archive.add(&manifest, folder) {
                    Ok(added) => Stored::Made(added),
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
        if let Some(ended) = self.last_look((home, folder), item, &parts, progress).transpose() {
            self.take_back(&kept, &mut progress.applied);
            return ended;
        }
        match kept {
            Stored::None => {}
            Stored::Made(added) => progress.applied.archived += added.disk,
            // It is the only copy again, and its age counts from now.
            Stored::Known(entry) => {
                self.archive.renew(entry, self.now).map_err(Failure::of)?;
                progress.renewed.insert(entry.name.clone());
            }
        }
        let records: Vec<PathBuf> = item.unit.records(home).collect();
        let is_record = |path: &Path| records.contains(&home.folder.join(path));
        parts.remove(folder, is_record, &mut progress.names, &mut progress.applied.freed)
    }

    /// Whether somebody has it open by now, or speaks for its session.
    fn is_in_use(&self, home: &Home<'_>, item: &Item, progress: &mut Progress<'r>) -> Result<bool, Failure> {
        let is_open = is_open_now(home, &item.unit, self.proc).map_err(Failure::of)?;
        Ok(is_open || self.is_claimed(home, item, progress)?)
    }

    /// Whether anybody speaks for a session by now.
    fn is_claimed(&self, home: &Home<'_>, item: &Item, progress: &mut Progress<'r>) -> Result<bool, Failure> {
        if item.unit.session.is_none() {
            return Ok(false);
        }
        let unknown = |why: &dyn Display| Failure::of(format!("who uses it by now is not known: {why}"));
        let (at, speakers) = match progress.speakers.take() {
            Some((at, speakers)) if at.elapsed() < FRESH => (at, speakers),
            _ => (Instant::now(), (self.look_again)().map_err(|why| unknown(&why))?),
        };
        let claims = speakers.of(home);
        if let Some(why) = &claims.trouble {
            return Err(unknown(why));
        }
        let above: Vec<&str> = item.above.iter().map(String::as_str).collect();
        let is_claimed = !claims.on(&item.unit, &above, &Open::default()).is_empty();
        progress.speakers = Some((at, speakers));
        Ok(is_claimed)
    }

    /// Looks once more, as to archive takes its time; yields how the item ends where nothing of it is to be removed.
    fn last_look(
        &self,
        (home, folder): (&Home<'_>, BorrowedFd<'_>),
        item: &Item,
        parts: &Parts,
        progress: &mut Progress<'r>,
    ) -> Result<Option<Outcome>, Failure> {
        let has_twin = item.twin.as_ref().is_none_or(Twin::is_unchanged);
        if item.twin.is_none() && self.is_in_use(home, item, progress)? {
            return Ok(Some(Outcome::Opened));
        }
        let is_as_planned = has_twin && parts.are_unchanged(folder, &progress.names)?;
        Ok((!is_as_planned).then_some(Outcome::Changed))
    }

    /// Takes a new entry out of the archive again, as its files stay. One of before stays.
    fn take_back(&self, kept: &Stored<'_>, applied: &mut Applied) {
        let Stored::Made(added) = kept else { return };
        if let Err(error) = self.archive.discard(added) {
            applied.archived += added.disk;
            applied.problems.push(error.to_string());
        }
    }

    fn manifest(&self, home: &Home<'_>, session: &str, parts: &Parts) -> Result<Manifest, Failure> {
        let id = SessionId::new(session).map_err(Failure::of)?;
        if let Some(going) = parts.files.iter().chain(&parts.folders).find(|going| going.path.to_str().is_none()) {
            let why = format!("{} is no text, which the archive's manifest cannot name", going.path.display());
            return Err(Failure::of(why));
        }
        let files = parts.files.iter().map(Going::archived).collect();
        let folders = parts.folders.iter().map(Going::archived).collect();
        Ok(Manifest::new(id, &home.provider, &home.folder, self.now, files, folders))
    }
}

/// What the archive has of an item.
enum Stored<'e> {
    /// It is none that is archived.
    None,
    /// A new entry.
    Made(Added),
    /// An entry of before.
    Known(&'e Entry),
}

/// Why an item was not removed.
#[derive(Debug)]
pub(super) struct Failure {
    outcome: Outcome,
    is_disk_full: bool,
}

impl Failure {
    pub(super) fn of(why: impl Display) -> Self {
        Self { outcome: Outcome::Failed(why.to_string()), is_disk_full: false }
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(error: rustix::io::Errno) -> Self {
        Self::of(error)
    }
}

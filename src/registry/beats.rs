//! One pass over the heartbeats: per session the newest sign of life, and what it supersedes.
//!
//! A beat's own timestamp counts, so the file that came last need not be the newest; but no honest timestamp is later than
//! the file's own last change, which no program can set. Files are opened in the order of that, the last first, and only
//! until no other can be newer.

use std::cmp::Reverse;
use std::ffi::CStr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::body::{Body, NoBody};
use super::names::{KnownIds, is_beat};
use super::roster::Roster;
use crate::filesystem::remove_unchanged;
use crate::filesystem::walk::{
    FileStamp, Lister, cached_stamp, folder_change, means_absent, open_folder, open_folder_path,
};
use crate::policy::heartbeat::{BeatTimes, SignSource, is_older};
use crate::policy::timestamp::Timestamp;

/// A file's change is noted by a clock that is a tick or two behind the one that programs read.
const CLOCK_GRAIN: i64 = 20_000_000;
/// Folders below folders, at most.
const DEEPEST: usize = 8;

/// What the heartbeats say. Sessions are places in the roster that they were looked at for.
#[derive(Debug, Default)]
pub(crate) struct Beats {
    folders: Vec<Folder>,
    files: Vec<File>,
    /// Their names, each with a zero at its end.
    names: Vec<u8>,
    known: KnownIds,
    newest: Vec<Option<Beat>>,
    doubts: Vec<Option<Doubt>>,
    /// How many files belong to no session.
    pub(crate) unattributed: usize,
    /// What is wrong with single files and does not matter for the rest.
    pub(crate) notes: Vec<String>,
    /// What could not be read.
    pub(crate) problems: Vec<String>,
}

/// A session's newest beat.
#[derive(Debug, Clone)]
pub(crate) struct Beat {
    pub(crate) time: DateTime<Utc>,
    pub(crate) source: SignSource,
    /// Below the folder of heartbeats.
    pub(crate) name: String,
    pub(crate) status: Option<String>,
    pub(crate) working_on: Option<String>,
    file: u32,
}

/// A sign of life that may be there and could not be read or dated.
#[derive(Debug, Clone)]
pub(crate) struct Doubt {
    pub(crate) why: String,
    /// It cannot be later than this.
    pub(crate) not_after: DateTime<Utc>,
}

#[derive(Debug)]
struct Folder {
    fd: OwnedFd,
    /// Below the folder of heartbeats.
    path: PathBuf,
    /// When it was changed last, before it was listed.
    change: i64,
}

/// A file that belongs to a session.
#[derive(Debug, Clone, Copy)]
struct File {
    id: u32,
    folder: u32,
    name: u32,
    stamp: FileStamp,
}

/// A beat that others supersede, to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Superseded(u32);

/// How far the search for an id's newest beat is.
#[derive(Debug, Clone, Copy)]
struct Search {
    /// The file that was changed last.
    first: u32,
    /// When the one before it was changed.
    second: i64,
    /// The newest time that was found, nanoseconds since 1970.
    best: i64,
    /// A timestamp was later than its file: then no file's change tells how late its timestamp can be.
    is_odd: bool,
}

impl Folder {
    fn new(fd: OwnedFd, path: PathBuf) -> Self {
        // Unknown differs from whatever it is later.
        let change = folder_change(fd.as_fd()).unwrap_or(i64::MIN);
        Self { fd, path, change }
    }
}

impl File {
    /// Its timestamp is no later than this, if it is honest.
    fn bound(&self) -> i64 {
        self.stamp.changed.max(self.stamp.modified)
    }
}

impl Search {
    fn excludes(&self, bound: i64) -> bool {
        !self.is_odd && self.best >= bound.saturating_add(CLOCK_GRAIN)
    }
}

impl Beats {
    /// Looks at all files below `folder` for the sessions of `roster`. A folder that is not there holds none.
    pub(crate) fn look(folder: &Path, roster: &Roster<'_>, now: DateTime<Utc>) -> Self {
        let sessions = roster.sessions.len();
        let mut beats = Self {
            known: KnownIds::of(roster),
            newest: vec![None; sessions],
            doubts: vec![None; sessions],
            ..Self::default()
        };
        beats.list(folder, now);
        beats.settle(now);
        beats
    }

    /// Whether no file came or went since the folders were listed.
    pub(crate) fn is_current(&self) -> bool {
        self.folders.iter().all(|folder| folder_change(folder.fd.as_fd()).is_ok_and(|change| change == folder.change))
    }

    /// A session's newest beat.
    pub(crate) fn newest(&self, session: usize) -> Option<&Beat> {
        self.newest[session].as_ref()
    }

    /// What may be newer than that.
    pub(crate) fn doubt(&self, session: usize) -> Option<&Doubt> {
        self.doubts[session].as_ref()
    }

    /// How many files belong to a session.
    pub(crate) fn count(&self) -> usize {
        self.files.len()
    }

    /// Lists every folder once.
    fn list(&mut self, folder: &Path, now: DateTime<Utc>) {
        match open_folder_path(folder) {
            Ok(fd) => self.folders.push(Folder::new(fd, PathBuf::new())),
            // A link that leads nowhere is a folder that is somewhere else.
            Err(error) if means_absent(error) && !is_there(folder) => return,
            Err(error) => return self.could_not_list(folder, error, now),
        }
        let mut lister = Lister::new();
        let mut index = 0;
        while index < self.folders.len() {
            match self.list_one(&mut lister, index, now) {
                Ok(below) => below.iter().for_each(|name| self.enter(index, name, folder, now)),
                Err(error) => self.could_not_list(&folder.join(&self.folders[index].path), error, now),
            }
            index += 1;
        }
    }

    /// Takes up a folder's files; yields the folders in it.
    fn list_one(
        &mut self,
        lister: &mut Lister,
        index: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<std::ffi::CString>, Errno> {
        let Self { folders, files, names, known, notes, unattributed, .. } = self;
        let Folder { fd, path, .. } = &folders[index];
        let mut below = Vec::new();
        let mut unseen = Vec::new();
        lister.list(fd.as_fd(), |name, kind| {
            if kind == FileType::Directory {
                return below.push(name.to_owned());
            }
            if !is_beat(name.to_bytes()) {
                return;
            }
            let Some(id) = known.id_in(name.to_bytes()) else { return *unattributed += 1 };
            match cached_stamp(fd.as_fd(), name) {
                Ok(Some(stamp)) => {
                    files.push(File { id, folder: index as u32, name: names.len() as u32, stamp });
                    names.extend_from_slice(name.to_bytes_with_nul());
                }
                Ok(None) => notes.push(format!("{} is no regular file; skipped", shown(path, name))),
                // What is removed meanwhile was superseded.
                Err(Errno::NOENT) => {}
                Err(error) => unseen.push((id, shown(path, name), error)),
            }
        })?;
        for (id, name, error) in unseen {
            self.problems.push(format!("{name} could not be read: {error}"));
            self.doubt_owners(id, &Doubt { why: format!("its heartbeat {name} could not be read"), not_after: now });
        }
        below.retain(|name| !name.to_bytes().starts_with(b"."));
        Ok(below)
    }

    fn enter(&mut self, folder: usize, name: &CStr, top: &Path, now: DateTime<Utc>) {
        let Folder { fd, path, .. } = &self.folders[folder];
        let path = path.join(name.to_string_lossy().as_ref());
        match open_folder(fd.as_fd(), name) {
            Ok(fd) if path.components().count() <= DEEPEST => self.folders.push(Folder::new(fd, path)),
            Ok(_) => self.could_not_list(&top.join(path), Errno::NAMETOOLONG, now),
            Err(error) if means_absent(error) => {}
            Err(error) => self.could_not_list(&top.join(path), error, now),
        }
    }

    fn could_not_list(&mut self, folder: &Path, error: Errno, now: DateTime<Utc>) {
        self.problems.push(format!("{} could not be read: {error}", folder.display()));
        self.doubts.fill(Some(Doubt { why: "not all heartbeats could be read".to_owned(), not_after: now }));
    }

    /// Finds each session's newest beat. Most ids are settled by the file that was changed last.
    fn settle(&mut self, now: DateTime<Utc>) {
        let mut searches: Vec<Option<Search>> = vec![None; self.known.len()];
        for (file, index) in self.files.iter().zip(0..) {
            let search = &mut searches[file.id as usize];
            let fresh = |second| Some(Search { first: index, second, best: i64::MIN, is_odd: false });
            *search = match *search {
                None => fresh(i64::MIN),
                Some(known) if self.files[known.first as usize].bound() < file.bound() => {
                    fresh(self.files[known.first as usize].bound())
                }
                Some(known) => Some(Search { second: known.second.max(file.bound()), ..known }),
            };
        }
        for search in searches.iter_mut().flatten() {
            self.consider(search.first, search, now);
        }
        let is_open = |search: &Search| search.second > i64::MIN && !search.excludes(search.second);
        if !searches.iter().flatten().any(is_open) {
            return;
        }
        let is_left = |index: &u32| {
            let search = searches[self.files[*index as usize].id as usize].as_ref();
            search.is_some_and(|search| is_open(search) && search.first != *index)
        };
        let mut left: Vec<u32> = (0..self.files.len() as u32).filter(is_left).collect();
        left.sort_by_key(|index| Reverse(self.files[*index as usize].bound()));
        for index in left {
            let file = self.files[index as usize];
            if let Some(mut search) = searches[file.id as usize].filter(|search| !search.excludes(file.bound())) {
                self.consider(index, &mut search, now);
                searches[file.id as usize] = Some(search);
            }
        }
    }

    /// Opens one file and lets it count for those whose it is.
    fn consider(&mut self, index: u32, search: &mut Search, now: DateTime<Utc>) {
        let file = self.files[index as usize];
        let name = self.shown(index);
        let not_after = DateTime::from_timestamp_nanos(file.bound()).min(now);
        let body = match self.read(index) {
            Ok(body) => body,
            Err(NoBody::Gone) => return,
            Err(NoBody::Invalid(why)) => return self.notes.push(format!("{name}: {why}; skipped")),
            Err(NoBody::Unreadable(why)) => {
                self.problems.push(format!("{name} could not be read: {why}"));
                let why = format!("its heartbeat {name} could not be read");
                return self.doubt_owners(file.id, &Doubt { why, not_after });
            }
        };
        let times = file.times(&body);
        if let Some(future) = times.future(now) {
            self.notes.push(format!("{name} is dated {}, in the future", Timestamp(future)));
            // Another timestamp may be as far off, and in the past by chance.
            search.is_odd = true;
        }
        let Some((time, source)) = times.date(now) else {
            let why = format!("its heartbeat {name} is dated in the future by all its times");
            return self.doubt_owners(file.id, &Doubt { why, not_after: now });
        };
        let nanoseconds = time.timestamp_nanos_opt().unwrap_or_default();
        search.is_odd |= nanoseconds > file.stamp.changed.saturating_add(CLOCK_GRAIN);
        search.best = search.best.max(nanoseconds);
        let beat = Beat { time, source, name, status: body.status, working_on: body.working_on, file: index };
        for owner in self.known.owners(file.id) {
            let newest = &mut self.newest[*owner as usize];
            if newest.as_ref().is_none_or(|known| known.time < time) {
                *newest = Some(beat.clone());
            }
        }
    }

    fn doubt_owners(&mut self, id: u32, doubt: &Doubt) {
        for owner in self.known.owners(id) {
            let known = &mut self.doubts[*owner as usize];
            if known.as_ref().is_none_or(|known| known.not_after < doubt.not_after) {
                *known = Some(doubt.clone());
            }
        }
    }

    /// What is older than `limit` by its timestamp and by its file's time, and is nobody's newest beat.
    pub(crate) fn superseded(&self, limit: Option<std::time::Duration>, now: DateTime<Utc>) -> Vec<Superseded> {
        let is_old = |time| is_older(time, limit, now);
        let is_superseded = |index: &u32| {
            let file = &self.files[*index as usize];
            let mut owners = self.known.owners(file.id).iter();
            let has_newer = |owner: &u32| self.newest[*owner as usize].as_ref().is_some_and(|beat| beat.file != *index);
            is_old(DateTime::from_timestamp_nanos(file.stamp.modified))
                && owners.all(has_newer)
                && match self.read(*index) {
                    Ok(body) => file.times(&body).date(now).is_some_and(|(time, _)| is_old(time)),
                    Err(NoBody::Invalid(_)) => true,
                    // What may be in it is not known.
                    Err(NoBody::Gone | NoBody::Unreadable(_)) => false,
                }
        };
        (0..self.files.len() as u32).filter(is_superseded).map(Superseded).collect()
    }

    /// Removes a superseded beat unless it was changed since it was looked at; says whether it did.
    pub(crate) fn remove(&self, Superseded(index): Superseded) -> Result<bool, String> {
        let file = &self.files[index as usize];
        let removed = remove_unchanged(self.folders[file.folder as usize].fd.as_fd(), self.name(index), file.stamp);
        removed.map_err(|error| format!("{} could not be removed: {error}", self.shown(index)))
    }

    fn read(&self, index: u32) -> Result<Body, NoBody> {
        Body::read(self.folders[self.files[index as usize].folder as usize].fd.as_fd(), self.name(index))
    }

    fn name(&self, index: u32) -> &CStr {
        let from = self.files[index as usize].name as usize;
        CStr::from_bytes_until_nul(&self.names[from..]).unwrap_or_default()
    }

    /// A file's path below the folder of heartbeats.
    fn shown(&self, index: u32) -> String {
        shown(&self.folders[self.files[index as usize].folder as usize].path, self.name(index))
    }
}

impl File {
    fn times(&self, body: &Body) -> BeatTimes {
        BeatTimes {
            body: body.timestamp,
            modified: DateTime::from_timestamp_nanos(self.stamp.modified),
            changed: DateTime::from_timestamp_nanos(self.stamp.changed),
        }
    }
}

fn is_there(path: &Path) -> bool {
    fs_err::symlink_metadata(path).is_ok()
}

fn shown(folder: &Path, name: &CStr) -> String {
    folder.join(name.to_string_lossy().as_ref()).display().to_string()
}

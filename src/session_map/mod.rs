//! The bridge's session map: which chat belongs to which CLI session.
//!
//! It is reached only through [`SessionMap::read`] and [`Held::update`]. Promises: what is not understood stays as
//! it is; apart from removed or added members no byte changes; a mapping leaves the map only after its tombstone is
//! durable; a change that another program makes at the same time is not lost; nothing to change, nothing written.

mod add;
pub(crate) mod bridge;
mod edit;
mod entry;
mod memory;
#[cfg(test)]
mod property_tests;
mod room;
mod shapes;
mod tombstones;
mod value;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::thread::{Builder, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::filesystem::{
    Created, FileError, HOLD, Lock, LockError, LockPolicy, Prepared, ReplaceError, Replaced, Snapshot, SnapshotError,
    changes_after, create, has_leftovers, remove_leftovers,
};

use crate::json::Edited;

pub(crate) use add::{EMPTY_MAP, EditError, NewForm, NewMapping, TopPlace, new_map};
pub(crate) use entry::{Entry, Recorded};
pub(crate) use memory::{Absent, Memory, Remembered, Tidied};
pub(crate) use shapes::{Document, FLAT_MODEL};
pub(crate) use tombstones::{Former, Grave, OldValue, Tombstone, Tombstones};

/// A larger file is no session map.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// A map that others keep changing for this long is left alone.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a text that is no JSON may be somebody's half-written one.
const TORN_FOR: Duration = Duration::from_millis(250);

/// The map of one bridge.
#[derive(Debug, Clone)]
pub(crate) struct SessionMap {
    path: PathBuf,
}

/// Why the map cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MapError {
    /// There is no map.
    #[error("there is no session map at {0}; name it with --map or --dir, or set CLAUDE_SESSION_DIR")]
    Missing(PathBuf),
    /// It cannot be read as a map; nothing was touched.
    #[error("{path}: {why}; nothing was touched", path = path.display())]
    Refused {
        /// The map.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It cannot be read at all.
    #[error("{0}; nothing was touched")]
    Unreadable(SnapshotError),
    /// Another run holds the lock.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// Somebody else keeps changing it.
    #[error("{0} kept changing for {PATIENCE:?}; nothing was written, try again when its bridge is less busy")]
    Restless(PathBuf),
    /// It is there and not there.
    #[error("{0} comes and goes; nothing was written, try again")]
    Fleeting(PathBuf),
    /// A file could not be written; the old map is intact.
    #[error("{0:#}")]
    Write(anyhow::Error),
    /// The change itself was refused.
    #[error("{0:#}")]
    Change(anyhow::Error),
}

impl From<SnapshotError> for MapError {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Missing { path } => Self::Missing(path),
            other => Self::Unreadable(other),
        }
    }
}

impl From<FileError> for MapError {
    fn from(error: FileError) -> Self {
        Self::Write(error.into())
    }
}

impl From<ReplaceError> for MapError {
    fn from(error: ReplaceError) -> Self {
        Self::Write(error.into())
    }
}

/// A change to the map, decided on its present text.
pub(crate) struct Change {
    pub(crate) edited: Edited,
    /// What must be durable before the map changes.
    pub(crate) pending: Option<crate::filesystem::PendingAppend>,
}

/// The lock on a map, held while it is changed.
#[must_use]
pub(crate) struct Held<'m> {
    map: &'m SessionMap,
    _lock: Lock,
}

impl SessionMap {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The path as the user named it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The lock beside it.
    pub(crate) fn lock_path(&self) -> PathBuf {
        self.path.with_extension("lock")
    }

    /// The tombstones beside it.
    pub(crate) fn tombstones(&self) -> Tombstones {
        Tombstones::beside(&self.path)
    }

    /// The map's present text, to be parsed with [`SessionMap::parse`].
    pub(crate) fn read(&self) -> Result<Snapshot, MapError> {
        let deadline = Instant::now() + TORN_FOR;
        loop {
            let snapshot = Snapshot::open(&self.path, MAX_BYTES)?;
            if !looks_torn(snapshot.bytes()) || Instant::now() > deadline {
                return Ok(snapshot);
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Understands a text of the map.
    pub(crate) fn parse<'t>(&self, bytes: &'t [u8], is_model: &dyn Fn(&str) -> bool) -> Result<Document<'t>, MapError> {
        let refused = |why: String| MapError::Refused { path: self.path.clone(), why };
        let text = std::str::from_utf8(bytes).map_err(|error| refused(format!("not valid UTF-8: {error}")))?;
        Document::parse(text, is_model).map_err(|error| refused(error.to_string()))
    }

    /// Takes the lock beside the map.
    pub(crate) fn lock(&self, policy: LockPolicy<'_>) -> Result<Held<'_>, MapError> {
        let path = self.lock_path();
        if path == self.path {
            let why = "a map must not be named like its lock".to_owned();
            return Err(MapError::Refused { path, why });
        }
        let lock = Lock::take(&path, policy)?;
        self.remove_leftovers();
        Ok(Held { map: self, _lock: lock })
    }

    /// Whether a run that was killed left temporary files, which go with the next lock.
    pub(crate) fn has_leftovers(&self) -> bool {
        let any =
            |(folder, names): &(PathBuf, Vec<OsString>)| has_leftovers(folder, &borrowed(names)).unwrap_or_default();
        self.temporary_names().iter().any(any)
    }

    fn remove_leftovers(&self) {
        for (folder, names) in self.temporary_names() {
            if let Err(error) = remove_leftovers(&folder, &borrowed(&names)) {
                log::debug!("left-over temporary files stay: {error}");
            }
        }
    }

    /// The files that are written by way of temporary ones, by folder: the map where it really is, and the tombstones
    /// beside the link that may lead to it.
    fn temporary_names(&self) -> Vec<(PathBuf, Vec<OsString>)> {
        let real = fs_err::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut places: Vec<(PathBuf, Vec<OsString>)> = Vec::new();
        for path in [&real, self.tombstones().path()] {
            let Some(name) = path.file_name().map(OsString::from) else { continue };
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            // Mostly it is one folder, and listed once.
            match places.iter_mut().find(|(known, _)| known == folder) {
                Some((_, names)) => names.push(name),
                None => places.push((folder.to_owned(), vec![name])),
            }
        }
        places
    }
}

fn borrowed(names: &[OsString]) -> Vec<&OsStr> {
    names.iter().map(OsString::as_os_str).collect()
}

impl Held<'_> {
    /// Changes the map: `change` decides on the present text, again and again as long as somebody else changes it in
    /// between; `None` leaves the map as it is. `first` is a text that was read before; it is used as long as it is the
    /// present one.
    pub(crate) fn update(
        &self,
        first: Option<Snapshot>,
        mut change: impl FnMut(&[u8]) -> Result<Option<Change>, MapError>,
    ) -> Result<bool, MapError> {
        let deadline = Instant::now() + PATIENCE;
        let mut first = first;
        loop {
            // The old snapshot is gone by now: two of one file would stand in each other's way.
            let snapshot = match first.take() {
                Some(snapshot) => snapshot,
                None => self.map.read()?,
            };
            let (edited, pending) = match change(snapshot.bytes()) {
                Ok(Some(Change { edited, pending })) => (edited, pending),
                Ok(None) => return Ok(false),
                // Somebody rewrites it in place: what was read may be half of it.
                Err(MapError::Refused { .. }) if Instant::now() < deadline && changes_after(&snapshot) => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            match replace(&snapshot, &edited, pending)? {
                true => return Ok(true),
                false if Instant::now() > deadline => return Err(MapError::Restless(self.map.path.clone())),
                false => log::debug!("{} changed meanwhile; deciding again", self.map.path.display()),
            }
        }
    }

    /// The same, where there may be no map: `new` is the text of one that is made then.
    pub(crate) fn update_or_create(
        &self,
        mut change: impl FnMut(&[u8]) -> Result<Option<Change>, MapError>,
        mut new: impl FnMut() -> Result<String, MapError>,
    ) -> Result<bool, MapError> {
        for _ in 0..3 {
            match self.update(None, &mut change) {
                Err(MapError::Missing(_)) if self.create(&new()?)? => return Ok(true),
                Err(MapError::Missing(_)) => {}
                done => return done,
            }
        }
        Err(MapError::Fleeting(self.map.path.clone()))
    }

    /// Writes a map that does not exist yet; false when there is one by now.
    fn create(&self, text: &str) -> Result<bool, MapError> {
        let created = create(&self.map.path, &[text.as_bytes()], 0o600)? == Created::Done;
        // While there was no map, what a killed run left of one had to stay.
        self.map.remove_leftovers();
        Ok(created)
    }
}

/// Makes one decided change; false when the map is no longer what it was decided on.
fn replace(
    snapshot: &Snapshot,
    edited: &Edited,
    pending: Option<crate::filesystem::PendingAppend>,
) -> Result<bool, MapError> {
    let mut prepared = Prepared::write(snapshot, &edited.slices(snapshot.bytes()))?;
    let Some(mut pending) = pending else {
        prepared.sync()?;
        return Ok(is_done(&prepared.commit(snapshot, HOLD)?));
    };
    // Both must be on the disk before the map changes; the disk takes them together.
    let (tombstones, map) = std::thread::scope(|scope| {
        let tombstones = Builder::new().spawn_scoped(scope, || pending.sync());
        let map = prepared.sync();
        (tombstones.ok().map(ScopedJoinHandle::join), map)
    });
    match tombstones {
        Some(synced) => {
            synced.map_err(|_| MapError::Write(anyhow!("a thread died while flushing the tombstones")))??;
        }
        // No more threads can be made: one after the other, then.
        None => pending.sync()?,
    }
    if let Err(error) = map {
        pending.undo();
        return Err(error.into());
    }
    match prepared.commit(snapshot, HOLD) {
        Ok(replaced) => {
            let done = is_done(&replaced);
            if !done {
                pending.undo();
            }
            Ok(done)
        }
        Err(error) => {
            // Unless it is certain that the map stayed: a tombstone too many does no harm.
            if snapshot.looks_unchanged() {
                pending.undo();
            }
            Err(error.into())
        }
    }
}

/// Whether the map was replaced; says at debug level how that was protected against other writers.
fn is_done(replaced: &Replaced) -> bool {
    if let Replaced::Done(protection) = replaced {
        log::debug!("the map was {protection}");
    }
    matches!(replaced, Replaced::Done(_))
}

/// Whether a text may be somebody's half-written one: it does not end like an object or a list.
fn looks_torn(bytes: &[u8]) -> bool {
    !bytes.trim_ascii_end().ends_with(b"}") && !bytes.trim_ascii_end().ends_with(b"]")
}

//! The registry of numbered sessions: who works under which number, when each gave the last sign of life, and which
//! terminal is which session.
//!
//! The files are those of the original's scripts, which write them too: `claude_sessions.json`, `heartbeats/`, and the three
//! files that say who somebody is. `.session-sweep/` beside them is ours. Promises: what is not understood stays as it is;
//! a change that another program makes at the same time is not lost; a number that somebody has is never given away.

mod beats;
mod body;
pub(crate) mod changes;
pub(crate) mod claim;
pub(crate) mod cleanup;
pub(crate) mod identify;
pub(crate) mod identities;
mod names;
mod released;
pub(crate) mod roster;
pub(crate) mod survey;
pub(crate) mod terminal;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::filesystem::{
    Decision, Lock, LockError, LockPolicy, Snapshot, SnapshotError, UpdateError, changes_after, discard_leftovers,
    make_folder, remove_leftovers, update,
};
use crate::json::Edited;
use changes::BEAT;
use cleanup::CLOCK_FILE;
use identities::{NOTED_FILE, SCRIPTS_FILES};
use released::RELEASED_FILE;
use roster::{EMPTY, Roster};

const FILE: &str = "claude_sessions.json";
/// A larger file is no registry.
const LARGEST: u64 = 64 * 1024 * 1024;
/// How long half a text is read again and again.
const PATIENCE: Duration = Duration::from_secs(20);

/// The registry in one base folder.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    base: PathBuf,
}

/// Why the registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// There is none.
    #[error(
        "there is no registry at {}; name its folder with --base or registry.base, or begin one with `session-sweep \
         registry identify`",
        .0.display()
    )]
    Missing(PathBuf),
    /// It cannot be read as a registry; nothing was touched.
    #[error("{}: {why}; nothing was touched: put it right, or move it away to begin a new one", path.display())]
    Invalid { path: PathBuf, why: String },
    /// Another run holds the lock.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// It cannot be read or written; the old one is intact.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// Something beside it cannot be written.
    #[error("{0:#}")]
    Write(anyhow::Error),
    /// The change is not allowed; nothing was changed.
    #[error("{0}")]
    Refused(String),
}

/// The lock on a registry, held while it is changed.
#[must_use]
pub(crate) struct Held<'r> {
    registry: &'r Registry,
    _lock: Lock,
}

impl Registry {
    pub(crate) fn at(base: PathBuf) -> Self {
        Self { base }
    }

    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.base.join(FILE)
    }

    /// The lock beside it.
    pub(crate) fn lock_path(&self) -> PathBuf {
        self.path().with_extension("lock")
    }

    /// Where the heartbeats are.
    pub(crate) fn beats_folder(&self) -> PathBuf {
        self.base.join("heartbeats")
    }

    /// What is ours alone.
    fn own_folder(&self) -> PathBuf {
        self.base.join(".session-sweep")
    }

    /// Hands on what the registry says. A text that makes no sense is read again as long as somebody is writing it.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Roster<'_>) -> T) -> Result<T, RegistryError> {
        let path = self.path();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let snapshot = match Snapshot::open(&path, LARGEST) {
                Ok(snapshot) => snapshot,
                Err(SnapshotError::Missing { path }) => return Err(RegistryError::Missing(path)),
                Err(error) => return Err(UpdateError::from(error).into()),
            };
            let text = snapshot.shared_bytes();
            match self.parse(&text) {
                Ok(roster) => {
                    drop(snapshot);
                    return Ok(work(&roster));
                }
                Err(_) if Instant::now() < deadline && changes_after(&snapshot) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn parse<'t>(&self, bytes: &'t [u8]) -> Result<Roster<'t>, RegistryError> {
        let invalid = |why: String| RegistryError::Invalid { path: self.path(), why };
        let text = std::str::from_utf8(bytes).map_err(|error| invalid(format!("not valid UTF-8: {error}")))?;
        Roster::parse(text).map_err(|error| invalid(error.to_string()))
    }

    /// Takes the lock beside the registry, which must be there.
    pub(crate) fn lock(&self, policy: LockPolicy<'_>) -> Result<Held<'_>, RegistryError> {
        // A lock is not left in a folder that was named by mistake.
        if matches!(self.path().try_exists(), Ok(false)) {
            return Err(RegistryError::Missing(self.path()));
        }
        self.take_lock(policy)
    }

    fn take_lock(&self, policy: LockPolicy<'_>) -> Result<Held<'_>, RegistryError> {
        let lock = Lock::take(&self.lock_path(), policy)?;
        self.remove_leftovers();
        Ok(Held { registry: self, _lock: lock })
    }

    /// The same, where there may be none yet.
    pub(crate) fn lock_new(&self, policy: LockPolicy<'_>) -> Result<Held<'_>, RegistryError> {
        make_folder(&self.base).map_err(|error| RegistryError::Write(error.into()))?;
        self.take_lock(policy)
    }

    /// Removes what killed runs left of files that were not finished.
    fn remove_leftovers(&self) {
        let registry = remove_leftovers(&self.base, &[OsStr::new(FILE)]);
        let discard = |folder: PathBuf, names: &[&OsStr]| match names {
            [] => Ok(0),
            _ if folder.is_dir() => discard_leftovers(&folder, names),
            _ => Ok(0),
        };
        let beats = discard(self.beats_folder(), &[OsStr::new(BEAT)]);
        let told = discard(self.base.clone(), &SCRIPTS_FILES.map(OsStr::new));
        let own = discard(self.own_folder(), &[CLOCK_FILE, NOTED_FILE, RELEASED_FILE].map(OsStr::new));
        let unfinished = self.unfinished_identities();
        let unfinished: Vec<&OsStr> = unfinished.iter().map(OsStr::new).collect();
        let identities = discard(self.identities_folder(), &unfinished);
        for error in [registry, beats, told, own, identities].into_iter().filter_map(Result::err) {
            log::debug!("left-over temporary files stay: {error}");
        }
    }
}

impl Held<'_> {
    pub(crate) fn registry(&self) -> &Registry {
        self.registry
    }

    /// Changes a registry that is there: `change` decides on the present text, again and again as long as somebody else
    /// changes it in between; `None` leaves it as it is. Says whether it was written.
    pub(crate) fn update(
        &self,
        change: impl FnMut(&Roster<'_>) -> Result<Option<Edited>, RegistryError>,
    ) -> Result<bool, RegistryError> {
        self.update_text(change, false)
    }

    /// The same, where there may be none: then the change is decided on an empty one.
    pub(crate) fn update_or_create(
        &self,
        change: impl FnMut(&Roster<'_>) -> Result<Option<Edited>, RegistryError>,
    ) -> Result<bool, RegistryError> {
        self.update_text(change, true)
    }

    fn update_text(
        &self,
        mut change: impl FnMut(&Roster<'_>) -> Result<Option<Edited>, RegistryError>,
        may_create: bool,
    ) -> Result<bool, RegistryError> {
        let path = self.registry.path();
        update(&path, LARGEST, 0o600, |bytes| {
            let text = match bytes {
                Some(bytes) => bytes,
                None if may_create => EMPTY.as_bytes(),
                None => return Err(RegistryError::Missing(path.clone())),
            };
            let roster = match self.registry.parse(text) {
                Ok(roster) => roster,
                Err(error) => return Ok(Decision::Senseless(error)),
            };
            Ok(match change(&roster)? {
                Some(edited) => Decision::Write(edited.slices(text).concat()),
                None => Decision::Keep,
            })
        })
    }
}

//! One session's folder: its heartbeat, whether its databases changed, what is in them.

use std::ffi::CString;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustc_hash::FxHashMap;
use rustix::fs::CWD;

use super::inbound::{self, Inbound};
use super::outbound::{self, Outbound};
use crate::filesystem::walk::{FileStamp, file_stamp, means_absent, open_folder_path, open_real_folder};
use crate::sqlite::{Trouble, roll_back};

/// The database that the host writes.
pub(crate) const INBOUND: &str = "inbound.db";
/// The database that the container writes.
pub(crate) const OUTBOUND: &str = "outbound.db";
/// What SQLite calls the journals of both.
const JOURNALS: [&str; 2] = ["inbound.db-journal", "outbound.db-journal"];
/// How many agent groups' folders are kept open.
const MOST_OPEN: usize = 64;

/// A session's folder.
#[derive(Debug, Clone)]
pub(crate) struct SessionFolder {
    path: PathBuf,
    /// The folder of its agent group, where that is open.
    group: Option<Rc<OwnedFd>>,
}

/// The folders of agent groups, each opened once: by the way from there, looking at a session's file takes half the time.
#[derive(Debug)]
pub(crate) struct Groups<'i> {
    sessions: &'i Path,
    open: FxHashMap<String, Option<Rc<OwnedFd>>>,
}

/// The stamps of a session's databases: the same ones as before, and nothing is new in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stamps {
    inbound: FileStamp,
    outbound: Option<FileStamp>,
}

/// What is in a session's folder.
#[derive(Debug, Clone)]
pub(crate) enum Look {
    /// There is no such folder yet.
    Nothing,
    /// Its databases; no `outbound.db` where its container has never run.
    Facts(Box<Facts>),
    /// A writer of this database was killed half-way, and only a writer can undo that.
    HotJournal(&'static str),
    /// A database cannot be read: which, and why.
    Broken(String),
}

/// What a session's databases say.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Option<Outbound>,
}

impl Stamps {
    /// One number for all of it: short where many are remembered. Another build may come to another one, and looks again.
    pub(crate) fn digest(self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// Whether both were written well before `time`: a later change has another stamp then, however coarse the clock of the
    /// file system is.
    pub(crate) fn are_settled(&self, time: DateTime<Utc>) -> bool {
        /// The coarsest clock of any file system that such a host runs on.
        const COARSEST: i64 = 3_000_000_000;
        let newest =
            std::iter::once(&self.inbound).chain(&self.outbound).map(|stamp| stamp.modified.max(stamp.changed));
        let now = time.timestamp_nanos_opt().unwrap_or_default();
        newest.max().is_some_and(|newest| newest.saturating_add(COARSEST) < now)
    }
}

impl<'i> Groups<'i> {
    /// Those in the folder `sessions`.
    pub(crate) fn new(sessions: &'i Path) -> Self {
        Self { sessions, open: FxHashMap::default() }
    }

    /// The folder at `path` of a session in this group.
    pub(crate) fn session(&mut self, group: &str, path: PathBuf) -> SessionFolder {
        if let Some(open) = self.open.get(group) {
            return SessionFolder { path, group: open.clone() };
        }
        // A process may not have many files open. What is no folder, or a link to one, is for a closer look to say.
        let open =
            (self.open.len() < MOST_OPEN).then(|| open_real_folder(CWD, self.sessions.join(group)).ok().flatten());
        let open = open.flatten().map(Rc::new);
        self.open.insert(group.to_owned(), open.clone());
        SessionFolder { path, group: open }
    }
}

impl SessionFolder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, group: None }
    }

    /// Opens the folder unless a link leads to it.
    fn open(&self) -> Result<Option<OwnedFd>, String> {
        if let (Some(group), Some(name)) = (&self.group, self.path.file_name()) {
            return self.real(group, name);
        }
        let Some(parent) = self.path.parent() else { return Ok(None) };
        let (Some(base), Some(group), Some(name)) = (parent.parent(), parent.file_name(), self.path.file_name()) else {
            return Ok(None);
        };
        let failed = |error: rustix::io::Errno| format!("cannot look at {}: {error}", self.path.display());
        let base = match open_folder_path(base) {
            Err(error) if means_absent(error) => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let Some(group) = self.real(&base, group)? else { return Ok(None) };
        self.real(&group, name)
    }

    fn real(&self, at: &OwnedFd, name: &std::ffi::OsStr) -> Result<Option<OwnedFd>, String> {
        let failed = |error: rustix::io::Errno| format!("cannot look at {}: {error}", self.path.display());
        let opened = open_real_folder(at.as_fd(), name).map_err(failed)?;
        if opened.is_none() {
            let there = rustix::fs::statat(at.as_fd(), name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
            if there.is_ok() {
                return Err(format!("{} is no folder, or a link to one: not followed", self.path.display()));
            }
        }
        Ok(opened)
    }

    /// The stamps of both databases; nothing where `inbound.db` is not there or no file. Cheap: nothing is opened.
    pub(crate) fn stamps(&self) -> Option<Stamps> {
        Some(Stamps { inbound: self.stamp(INBOUND)?, outbound: self.stamp(OUTBOUND) })
    }

    /// Whether there is anything where a writer that was killed would have left its journal. An empty file is none.
    pub(crate) fn has_journal(&self) -> bool {
        JOURNALS.iter().any(|name| self.look_at(name).is_ok_and(|stamp| stamp.is_none_or(|stamp| stamp.size > 0)))
    }

    fn stamp(&self, name: &str) -> Option<FileStamp> {
        self.look_at(name).ok().flatten()
    }

    fn look_at(&self, name: &str) -> rustix::io::Result<Option<FileStamp>> {
        let (at, folder) = match (&self.group, self.path.file_name()) {
            (Some(group), Some(folder)) => (group.as_fd(), folder),
            _ => (CWD, self.path.as_os_str()),
        };
        let path = CString::from_vec_with_nul([folder.as_bytes(), b"/", name.as_bytes(), b"\0"].concat());
        file_stamp(at, &path.map_err(|_| rustix::io::Errno::INVAL)?)
    }

    /// The time of `.heartbeat`; nothing where there is none, or something else of that name.
    pub(crate) fn heartbeat(&self) -> Option<DateTime<Utc>> {
        Some(DateTime::from_timestamp_nanos(self.stamp(".heartbeat")?.modified))
    }

    /// Reads both databases, whose writers may keep us waiting for `patience` each.
    pub(crate) fn look(&self, patience: Duration) -> Look {
        match self.open() {
            Err(why) => return Look::Broken(why),
            Ok(None) => return Look::Nothing,
            Ok(Some(_)) => {}
        }
        let inbound = match inbound::read(&self.database(INBOUND), patience) {
            Ok(inbound) => inbound,
            Err(trouble) => return in_trouble(INBOUND, &trouble),
        };
        let messages = inbound.messages.iter().map(|message| message.id.as_str());
        let outbound = match outbound::read(&self.database(OUTBOUND), patience, messages) {
            Ok(outbound) => Some(outbound),
            Err(Trouble::Missing) => None,
            Err(trouble) => return in_trouble(OUTBOUND, &trouble),
        };
        Look::Facts(Box::new(Facts { inbound, outbound }))
    }

    /// Undoes what a writer of this database had half written when it was killed.
    pub(crate) fn roll_back(&self, database: &'static str, patience: Duration) -> Result<(), Trouble> {
        roll_back(&self.database(database), patience)
    }

    pub(crate) fn database(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn in_trouble(database: &'static str, trouble: &Trouble) -> Look {
    match trouble {
        Trouble::HotJournal => Look::HotJournal(database),
        _ => Look::Broken(format!("{database} {trouble}")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use chrono::TimeDelta;
    use rusqlite::Connection;
    use tempfile::TempDir;

    use super::*;

    /// Sessions of the group `g`.
    struct World(TempDir);

    impl World {
        fn new() -> Self {
            let world = Self(tempfile::tempdir().unwrap());
            fs_err::create_dir_all(world.base().join("g/s")).unwrap();
            let folder = world.base().join("g/s");
            Connection::open(folder.join(INBOUND))
                .unwrap()
                .execute_batch(
                    "CREATE TABLE messages_in (id TEXT, seq INTEGER, status TEXT, tries INTEGER, process_after TEXT,
                     recurrence TEXT)",
                )
                .unwrap();
            world
        }

        fn base(&self) -> PathBuf {
            fs_err::canonicalize(self.0.path()).unwrap()
        }

        fn session(&self, path: &str) -> SessionFolder {
            SessionFolder::new(self.base().join(path))
        }

        fn broken(&self, path: &str) -> String {
            match self.session(path).look(Duration::ZERO) {
                Look::Broken(why) => why,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_folder_that_is_a_link_is_not_followed() {
        let world = World::new();
        assert!(matches!(world.session("g/s").look(Duration::ZERO), Look::Facts(_)));
        assert!(matches!(world.session("g/none").look(Duration::ZERO), Look::Nothing));
        symlink(world.base().join("g/s"), world.base().join("g/link")).unwrap();
        symlink(world.base().join("g"), world.base().join("h")).unwrap();
        for path in ["g/link", "h/s"] {
            assert!(world.broken(path).contains("or a link to one: not followed"), "{path}");
        }
    }

    #[test]
    fn a_heartbeat_or_database_that_is_a_link_says_nothing() {
        let world = World::new();
        let session = world.session("g/s");
        assert!(session.stamps().is_some() && session.heartbeat().is_none());
        symlink("inbound.db", session.database(".heartbeat")).unwrap();
        assert_eq!(session.heartbeat(), None);
        symlink("inbound.db", session.database(OUTBOUND)).unwrap();
        assert_eq!(session.stamps().unwrap().outbound, None);
        assert!(world.broken("g/s").contains("outbound.db is a link"));
    }

    #[test]
    fn what_was_written_just_now_may_be_written_again_in_the_same_moment() {
        let world = World::new();
        let session = world.session("g/s");
        let written = DateTime::from_timestamp_nanos(session.stamps().unwrap().inbound.changed);
        let settled = |after: i64| session.stamps().unwrap().are_settled(written + TimeDelta::milliseconds(after));
        assert_eq!([settled(-1), settled(1), settled(2_999), settled(3_001)], [false, false, false, true]);
        // Of both the younger counts, whatever its own time says.
        fs_err::write(session.database(OUTBOUND), "").unwrap();
        filetime::set_file_mtime(session.database(OUTBOUND), filetime::FileTime::from_unix_time(1, 0)).unwrap();
        let changed = DateTime::from_timestamp_nanos(session.stamps().unwrap().outbound.unwrap().changed);
        let settled = |after: i64| session.stamps().unwrap().are_settled(changed + TimeDelta::milliseconds(after));
        assert_eq!([settled(2_999), settled(3_001)], [false, true]);
        let ahead = written + TimeDelta::days(400);
        let ahead = filetime::FileTime::from_unix_time(ahead.timestamp(), 0);
        filetime::set_file_mtime(session.database(OUTBOUND), ahead).unwrap();
        assert!(!settled(3_001), "a time that lies ahead");
    }

    #[test]
    fn a_stamp_is_another_one_after_each_change() {
        let world = World::new();
        let session = world.session("g/s");
        let before = session.stamps();
        assert_eq!(session.stamps(), before);
        fs_err::write(session.database(OUTBOUND), "").unwrap();
        assert_ne!(session.stamps(), before);
    }
}

#[cfg(test)]
mod group_tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// So many groups with a session each, whose `inbound.db` says which it is.
    fn sessions(groups: usize) -> tempfile::TempDir {
        let sessions = tempfile::tempdir().unwrap();
        for group in 0..groups {
            let session = sessions.path().join(format!("g{group}/s"));
            fs_err::create_dir_all(&session).unwrap();
            fs_err::write(session.join(INBOUND), "x".repeat(group + 1)).unwrap();
            fs_err::write(session.join(".heartbeat"), "").unwrap();
        }
        sessions
    }

    #[test]
    fn by_way_of_its_group_a_session_looks_the_same() {
        // More than are kept open.
        let sessions = sessions(MOST_OPEN + 2);
        let mut groups = Groups::new(sessions.path());
        for group in (0..MOST_OPEN + 2).chain([0, MOST_OPEN]) {
            let name = format!("g{group}");
            let path = sessions.path().join(&name).join("s");
            let folder = groups.session(&name, path.clone());
            assert_eq!(folder.group.is_some(), group < MOST_OPEN);
            let stamps = folder.stamps();
            assert!(stamps.is_some());
            assert_eq!(stamps, SessionFolder::new(path.clone()).stamps());
            assert_eq!(folder.heartbeat(), SessionFolder::new(path).heartbeat());
            assert!(matches!(folder.open(), Ok(Some(_))));
        }
    }

    #[test]
    fn a_link_to_a_group_is_not_followed_to_its_databases() {
        let sessions = sessions(1);
        symlink(sessions.path().join("g0"), sessions.path().join("other")).unwrap();
        let mut groups = Groups::new(sessions.path());
        let folder = groups.session("other", sessions.path().join("other/s"));
        assert!(matches!(folder.look(Duration::ZERO), Look::Broken(why) if why.contains("not followed")));
    }

    #[test]
    fn stamps_of_one_database_have_another_digest_than_those_of_both() {
        let sessions = sessions(1);
        let session = SessionFolder::new(sessions.path().join("g0/s"));
        let stamps = session.stamps().unwrap();
        assert_eq!(session.stamps().unwrap().digest(), stamps.digest());
        fs_err::write(session.database(OUTBOUND), "").unwrap();
        assert_ne!(session.stamps().unwrap().digest(), stamps.digest());
    }

    #[test]
    fn a_journal_is_a_file_with_something_in_it() {
        let sessions = sessions(1);
        let session = SessionFolder::new(sessions.path().join("g0/s"));
        for name in JOURNALS {
            assert!(!session.has_journal(), "{name}");
            // What a writer leaves that truncates its journal rather than removing it.
            fs_err::write(session.database(name), "").unwrap();
            assert!(!session.has_journal(), "{name}");
            fs_err::write(session.database(name), "x").unwrap();
            assert!(session.has_journal(), "{name}");
            fs_err::remove_file(session.database(name)).unwrap();
        }
    }
}

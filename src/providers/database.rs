//! Sessions of a CLI that keeps them all in one SQLite file.
//!
//! We are guests: nothing is written, and no file appears beside the database.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use chrono::{DateTime, Utc};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use rustc_hash::FxHashMap;

use super::record_time;
use super::row::Database;
use crate::sqlite::{Reader, beside};

/// How long a writer may keep us waiting.
const PATIENCE: Duration = Duration::from_millis(200);

/// One session of a database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct DatabaseSession {
    /// The newest time of its rows; `None` when no row has a readable one.
    pub(crate) last_activity: Option<DateTime<Utc>>,
    /// Where it was started.
    pub(crate) working_folder: Option<PathBuf>,
}

/// The wanted sessions of a database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct DatabaseSessions {
    /// By id.
    pub(crate) sessions: FxHashMap<String, DatabaseSession>,
    /// All rows, wanted or not.
    pub(crate) rows: usize,
}

/// Reads the `wanted` sessions; `None` when there is no database.
///
/// # Errors
/// The database is locked, damaged, not of the expected form, or changed meanwhile: its sessions are unknown.
pub(crate) fn sessions(
    database: &Database,
    home: &Path,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Option<DatabaseSessions>> {
    let path = home.join(&database.path);
    read(&path, &database.query, wanted).with_context(|| format!("could not read the sessions in {}", path.display()))
}

/// The bytes of a database, with what its writer has not yet put into the main file.
pub(crate) fn size(database: &Database, home: &Path) -> u64 {
    let path = home.join(&database.path);
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    length(&path) + length(&beside(&path, "-wal"))
}

fn read(path: &Path, query: &str, wanted: &dyn Fn(&str) -> bool) -> Result<Option<DatabaseSessions>> {
    let Some(reader) = Reader::open(path, PATIENCE)? else { return Ok(None) };
    let found = collect(reader.connection(), query, wanted)?;
    reader.finish()?;
    Ok(Some(found))
}

fn collect(connection: &Connection, query: &str, wanted: &dyn Fn(&str) -> bool) -> Result<DatabaseSessions> {
    let mut statement = connection.prepare(query)?;
    ensure!(statement.readonly(), "the query would write");
    ensure!(statement.column_count() == 3, "the query must yield id, time and working folder");
    let mut found = DatabaseSessions::default();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        found.rows += 1;
        let ValueRef::Text(id) = row.get_ref(0)? else { bail!("row {} has an id that is no text", found.rows) };
        let Some(id) = std::str::from_utf8(id).ok().filter(|id| wanted(id)) else { continue };
        let session = match found.sessions.get_mut(id) {
            Some(session) => session,
            None => found.sessions.entry(id.to_owned()).or_default(),
        };
        session.last_activity = session.last_activity.max(match row.get_ref(1)? {
            ValueRef::Integer(number) => record_time::from_integer(number),
            ValueRef::Real(number) => record_time::from_number(number),
            ValueRef::Text(text) => std::str::from_utf8(text).ok().and_then(time_in),
            ValueRef::Null | ValueRef::Blob(_) => None,
        });
        if let ValueRef::Text(folder) = row.get_ref(2)?
            && folder.starts_with(b"/")
        {
            session.working_folder = Some(PathBuf::from(std::ffi::OsStr::from_bytes(folder)));
        }
    }
    Ok(found)
}

/// A time as text: RFC 3339, or what SQLite's own functions write (`2026-11-20 09:30:52`, UTC).
fn time_in(text: &str) -> Option<DateTime<Utc>> {
    record_time::from_text(text).or_else(|| {
        let time = chrono::NaiveDateTime::parse_from_str(text.trim(), "%Y-%m-%d %H:%M:%S%.f").ok()?;
        Some(time.and_utc())
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs::File;

    use super::*;

    const QUERY: &str =
        "select coalesce(parent_id, id), updated, case when parent_id is null then folder end from session";

    struct World(tempfile::TempDir);

    impl World {
        fn new(mode: &str) -> (Self, Connection) {
            let world = Self(tempfile::Builder::new().prefix("a b?#%ü").tempdir().unwrap());
            let connection = Connection::open(world.path()).unwrap();
            connection.pragma_update(None, "journal_mode", mode).unwrap();
            let rows = "create table session(id text primary key, parent_id text, updated, folder text);
                        insert into session values ('ses_a', null, 1795167049657, '/srv/a'),
                        ('ses_child', 'ses_a', 1795167099, '/srv/child'), ('ses_b', null, '2026-11-20 09:30:52', null),
                        ('ses_c', null, 'soon', 'relative'), ('ses_other', null, 1, '/');";
            connection.execute_batch(rows).unwrap();
            (world, connection)
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("opencode.db")
        }

        fn files(&self) -> Vec<OsString> {
            let mut names: Vec<_> =
                std::fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        }

        fn read(&self, query: &str) -> Result<Option<DatabaseSessions>> {
            sessions(&database(query), self.0.path(), &|id| id != "ses_other")
        }

        fn size(&self) -> u64 {
            size(&database(QUERY), self.0.path())
        }
    }

    fn database(query: &str) -> Database {
        Database { path: "opencode.db".into(), query: query.to_owned() }
    }

    fn assert_all(found: &DatabaseSessions) {
        assert_eq!((found.rows, found.sessions.len()), (5, 3));
        let session = |id: &str| {
            let session = &found.sessions[id];
            let time = session.last_activity.map(|time| time.timestamp());
            (time, session.working_folder.as_ref().map(|folder| folder.to_str().unwrap()))
        };
        assert_eq!(session("ses_a"), (Some(1_795_167_099), Some("/srv/a")));
        assert_eq!(session("ses_b"), (Some(1_795_167_052), None));
        assert_eq!(session("ses_c"), (None, None));
    }

    #[test]
    fn nothing_appears_beside_a_closed_database() {
        for mode in ["wal", "delete"] {
            let (world, connection) = World::new(mode);
            drop(connection);
            let files = world.files();
            assert_eq!(files, ["opencode.db"]);
            assert_all(&world.read(QUERY).unwrap().unwrap());
            assert_eq!(world.files(), files, "{mode}");
        }
    }

    #[test]
    fn what_only_the_wal_holds_is_read_while_its_writer_runs() {
        let (world, writer) = World::new("wal");
        let files = world.files();
        assert_eq!(files, ["opencode.db", "opencode.db-shm", "opencode.db-wal"]);
        assert_all(&world.read(QUERY).unwrap().unwrap());
        let length = |suffix| std::fs::metadata(beside(&world.path(), suffix)).unwrap().len();
        assert_eq!(world.size(), length("") + length("-wal"));
        writer.execute("update session set updated = 1795167200 where id = 'ses_c'", []).unwrap();
        let found = world.read(QUERY).unwrap().unwrap();
        assert_eq!(found.sessions["ses_c"].last_activity.unwrap().timestamp(), 1_795_167_200);
        assert_eq!(world.files(), files);
    }

    #[test]
    fn a_wal_that_was_left_behind_is_read_or_refused_and_stays() {
        let (world, writer) = World::new("wal");
        let (copy, _) = World::new("delete");
        for (suffix, known) in [("", None), ("-wal", Some(false)), ("-shm", Some(true))] {
            std::fs::copy(beside(&world.path(), suffix), beside(&copy.path(), suffix)).unwrap();
            let files = copy.files();
            match known {
                None => {}
                Some(true) => assert_all(&copy.read(QUERY).unwrap().unwrap()),
                Some(false) => {
                    let why = format!("{:#}", copy.read(QUERY).unwrap_err());
                    assert!(why.contains("its -wal has no -shm beside it"), "{why}");
                }
            }
            assert_eq!(copy.files(), files, "{suffix:?}");
        }
        drop(writer);
    }

    #[test]
    fn a_locked_database_is_unknown_not_empty() {
        let (world, writer) = World::new("delete");
        writer.execute_batch("begin exclusive; update session set updated = 7;").unwrap();
        let files = world.files();
        let message = format!("{:#}", world.read(QUERY).unwrap_err());
        assert!(message.contains("locked") && message.contains("opencode.db"), "{message}");
        assert_eq!(world.files(), files);
    }

    #[test]
    fn a_database_that_is_not_there_is_no_error_and_is_not_made() {
        let world = World(tempfile::tempdir().unwrap());
        assert_eq!(world.read(QUERY).unwrap(), None);
        assert_eq!(world.size(), 0);
        assert!(world.files().is_empty());
    }

    #[test]
    fn what_is_not_the_expected_database_is_an_error() {
        let (world, connection) = World::new("delete");
        drop(connection);
        for (query, reason) in [
            ("select id, updated, folder from sessions", "no such table"),
            ("select id, updated from session", "must yield"),
            ("update session set updated = 0", "would write"),
            ("select 5, updated, folder from session", "no text"),
        ] {
            let message = format!("{:#}", world.read(query).unwrap_err());
            assert!(message.contains(reason), "{query}: {message}");
        }
        for content in ["", "this is no database at all, but longer than its header would be"] {
            std::io::Write::write_all(&mut File::create(world.path()).unwrap(), content.as_bytes()).unwrap();
            assert!(world.read(QUERY).is_err(), "{content:?}");
        }
        assert_eq!(world.files(), ["opencode.db"]);
    }
}

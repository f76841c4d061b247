//! Databases that somebody else may have written anything into: a container's, which an agent can write to.
//!
//! Views and triggers are switched off, functions that a schema may not call stay out of it, no link is followed, what is
//! no regular file is not opened, and what takes too long is cut off. SQLite looks at the clock between two instructions of
//! its machine only, so that a single one must not take long either: texts are limited, and tables that have anything computed
//! are not used.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, ffi};

use super::access::{beside, is_in_wal_mode, open};
use super::schema;

/// No query of ours takes so long in a database of any size that such a host has.
const LONGEST: Duration = Duration::from_secs(10);
/// How many instructions of SQLite's machine run between two looks at the clock.
const BETWEEN_LOOKS: i32 = 1_000;
/// Between two tries to write what somebody else writes.
const PAUSE: Duration = Duration::from_millis(5);
/// No text that is read is longer, in bytes: ids, times, states.
const LONGEST_READ: i32 = 16 << 20;
/// No row that is written is longer, in bytes: what a message says is written again with its state.
const LONGEST_WRITTEN: i32 = 512 << 20;
/// For how long a change may keep others out, whatever it waits for: hosts and containers wait for five seconds.
pub(crate) const LONGEST_HOLD: Duration = Duration::from_secs(2);
/// What ends a journal that names another one (<https://www.sqlite.org/fileformat.html#the_rollback_journal>).
const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// Why a database could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// There is none.
    #[error("is not there")]
    Missing,
    /// Its last writer was killed half-way, and a reader cannot undo that.
    #[error("has a hot journal: its writer was killed half-way")]
    HotJournal,
    /// Somebody holds it for longer than we wait.
    #[error("is locked by another program")]
    Locked,
    /// Anything else.
    #[error("{0}")]
    Unusable(String),
}

/// Opens the database at `path` (without links in it) and begins to read. Here and for writing, one in WAL mode is refused.
pub(crate) fn open_untrusted(path: &Path, patience: Duration) -> Result<Connection, Trouble> {
    let connection = open_bounded(path, patience, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.execute_batch("BEGIN").map_err(|error| trouble(&error))?;
    check_schema(&connection)?;
    Ok(connection)
}

/// Opens the database at `path` (without links in it) for writing, and begins a transaction that nobody else can write
/// besides. What a killed writer left is not undone, not even where one is killed meanwhile. Nobody is kept out of it for
/// longer than a few seconds.
pub(crate) fn begin_writing(path: &Path, patience: Duration) -> Result<Connection, Trouble> {
    let deadline = Instant::now() + patience;
    let reader = open_bounded(path, patience, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let writer = open_writer(path, patience)?;
    loop {
        match begin(&reader, &writer, deadline.saturating_duration_since(Instant::now())) {
            Err(Trouble::Locked) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            begun => break begun?,
        }
    }
    writer.busy_timeout(patience.min(LONGEST_HOLD)).map_err(|error| trouble(&error))?;
    Ok(writer)
}

/// Begins a transaction of `writer`, at once or not at all, when `reader` could read.
fn begin(reader: &Connection, writer: &Connection, patience: Duration) -> Result<(), Trouble> {
    let failed = |error| trouble(&error);
    reader.busy_timeout(patience).map_err(failed)?;
    // SQLite undoes with the first lock that it gets, unless somebody reads.
    let read = reader.unchecked_transaction().map_err(failed)?;
    check_schema(&read)?;
    writer.busy_timeout(Duration::ZERO).map_err(failed)?;
    writer.execute_batch("BEGIN IMMEDIATE").map_err(failed)
}

/// Whether its tables can be used without that anything is computed.
fn check_schema(connection: &Connection) -> Result<(), Trouble> {
    let is_plain = || -> rusqlite::Result<bool> {
        let mut statement = connection.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if !text_of(row, 0)?.is_some_and(|sql| schema::is_plain(&sql)) {
                return Ok(false);
            }
        }
        Ok(true)
    };
    if is_plain().map_err(|error| trouble(&error))? {
        return Ok(());
    }
    let why = "has a table, check or index in which something is computed, which no host has: left alone";
    Err(Trouble::Unusable(why.to_owned()))
}

/// Opens the database at `path` (without links in it) for writing. With the first lock that it gets SQLite undoes what a
/// killed writer left.
fn open_writer(path: &Path, patience: Duration) -> Result<Connection, Trouble> {
    open_bounded(path, patience, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

fn open_bounded(path: &Path, patience: Duration, access: OpenFlags) -> Result<Connection, Trouble> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Trouble::Missing),
        Err(error) => return Err(Trouble::Unusable(format!("cannot be looked at: {error}"))),
        Ok(metadata) if metadata.is_symlink() => return Err(Trouble::Unusable("is a link: not followed".to_owned())),
        Ok(metadata) if !metadata.is_file() => return Err(Trouble::Unusable("is no regular file".to_owned())),
        Ok(metadata) if metadata.len() == 0 => return Err(Trouble::Unusable("is empty: zero bytes".to_owned())),
        Ok(_) => {}
    }
    // SQLite looks for it, and would wait for somebody to write into a pipe of that name.
    if std::fs::symlink_metadata(beside(path, "-journal")).is_ok_and(|journal| !journal.is_file()) {
        return Err(Trouble::Unusable("has a journal that is no regular file".to_owned()));
    }
    // Even reading would make files beside it.
    if open(path).and_then(|file| is_in_wal_mode(&file)).unwrap_or_default() {
        return Err(Trouble::Unusable("is in WAL mode, which its host never chooses: left alone".to_owned()));
    }
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    bounded(path, patience, flags, LONGEST).map_err(|error| trouble(&error))
}

/// What takes longer than `longest` in all, waiting for others apart, is cut off.
fn bounded(path: &Path, patience: Duration, flags: OpenFlags, longest: Duration) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(patience)?;
    for option in [
        DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA,
        DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER,
        DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW,
    ] {
        connection.set_db_config(option, false)?;
    }
    let longest_text = if flags.contains(OpenFlags::SQLITE_OPEN_READ_ONLY) { LONGEST_READ } else { LONGEST_WRITTEN };
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, longest_text)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1)?;
    let deadline = Instant::now() + longest + patience;
    connection.progress_handler(BETWEEN_LOOKS, Some(move || Instant::now() > deadline))?;
    Ok(connection)
}

/// Undoes what a killed writer had half written, as the journal beside the database tells. Only where nobody can be
/// writing.
pub(crate) fn roll_back(path: &Path, patience: Duration) -> Result<(), Trouble> {
    if names_another_journal(path)
        .map_err(|error| Trouble::Unusable(format!("has a journal that cannot be read: {error}")))?
    {
        return Err(Trouble::Unusable(
            "has a journal that names another file, which would be looked at: left alone".to_owned(),
        ));
    }
    let connection = open_writer(path, patience)?;
    // Any reading does it, once a writer is allowed to.
    let read = connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()));
    read.map_err(|error| trouble(&error))
}

/// Whether the journal of a database ends with the name of a super-journal: SQLite would open, and might delete, a file of
/// that name, which can be anywhere.
fn names_another_journal(path: &Path) -> std::io::Result<bool> {
    let journal = beside(path, "-journal");
    if !std::fs::symlink_metadata(&journal)?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let file = open(&journal)?;
    let length = file.metadata()?.len();
    let mut end = [0; 8];
    if length < end.len() as u64 {
        return Ok(false);
    }
    let start = length - end.len() as u64;
    file.read_exact_at(&mut end, start)?;
    Ok(end == JOURNAL_MAGIC)
}

/// Whether an error is about what one statement was to do, and says nothing of the next one.
pub(crate) fn is_of_statement(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(failure, _) = error else { return true };
    matches!(
        failure.code,
        ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig | ErrorCode::Unknown
    )
}

/// A column's text, as far as it is UTF-8; nothing where it is no text.
pub(crate) fn text_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    })
}

/// What an error of SQLite means.
pub(crate) fn trouble(error: &rusqlite::Error) -> Trouble {
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        return Trouble::Unusable(format!("is not as it should be: {error}"));
    };
    match failure.code {
        _ if failure.extended_code == ffi::SQLITE_READONLY_ROLLBACK => Trouble::HotJournal,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Trouble::Locked,
        ErrorCode::OperationInterrupted => {
            Trouble::Unusable(format!("did not answer a query within {} s", LONGEST.as_secs()))
        }
        _ => Trouble::Unusable(format!("cannot be used: {error}")),
    }
}

#[cfg(test)]
#[path = "guest_tests.rs"]
mod tests;

//! Databases that somebody else may have written anything into: a container's, which an agent can write to.
//!
//! Views and triggers are switched off, functions that a schema may not call stay out of it, no link is followed, what is
//! no regular file is not opened, and what takes too long is cut off. SQLite looks at the clock between two instructions of
//! its machine only, so that a single one must not take long either: texts are limited, and functions whose time grows faster
//! than their text are not there.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::limits::Limit;
use rusqlite::types::{Null, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, ffi};

use super::access::{beside, is_in_wal_mode, open};

/// No query of ours takes so long in a database of any size that such a host has.
const LONGEST: Duration = Duration::from_secs(10);
/// How many instructions of SQLite's machine run between two looks at the clock: each may call a function on the longest text.
const BETWEEN_LOOKS: i32 = 100;
/// Between two tries to write what somebody else writes.
const PAUSE: Duration = Duration::from_millis(5);
/// No text of such a host is longer, in bytes.
const LONGEST_TEXT: i32 = 16 << 20;
/// Functions that a column or a condition of a table may call, with the number of their arguments: on the longest text any of
/// them may take minutes.
const SLOW: [(&str, i32); 8] =
    [("instr", 2), ("replace", 3), ("trim", 2), ("ltrim", 2), ("rtrim", 2), ("like", 2), ("like", 3), ("glob", 2)];
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

/// Opens the database at `path` (without links in it) for reading. Here and for writing, one in WAL mode is refused.
pub(crate) fn open_untrusted(path: &Path, patience: Duration) -> Result<Connection, Trouble> {
    open_bounded(path, patience, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Opens the database at `path` (without links in it) for writing, and begins a transaction that nobody else can write
/// besides. What a killed writer left is not undone, not even where one is killed meanwhile.
pub(crate) fn begin_writing(path: &Path, patience: Duration) -> Result<Connection, Trouble> {
    let deadline = Instant::now() + patience;
    let reader = open_untrusted(path, patience)?;
    let writer = open_writer(path, patience)?;
    loop {
        match begin(&reader, &writer).map_err(|error| trouble(&error)) {
            Err(Trouble::Locked) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            begun => break begun?,
        }
    }
    writer.busy_timeout(patience).map_err(|error| trouble(&error))?;
    Ok(writer)
}

/// Begins a transaction of `writer`, at once or not at all.
fn begin(reader: &Connection, writer: &Connection) -> rusqlite::Result<()> {
    // SQLite undoes with the first lock that it gets, unless somebody reads.
    let read = reader.unchecked_transaction()?;
    read.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    writer.busy_timeout(Duration::ZERO)?;
    writer.execute_batch("BEGIN IMMEDIATE")
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
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_TEXT)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1)?;
    for (name, arguments) in SLOW {
        // Without the mark that a schema may call it, none can.
        connection.create_scalar_function(name, arguments, FunctionFlags::SQLITE_UTF8, |_| Ok(Null))?;
    }
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

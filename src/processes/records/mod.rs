//! What hooks noted of each session while it ran: `<sessions>/<id>/metadata.json`, the format of the Claude Code plugin
//! process-janitor.
//!
//! The folder is shared: Claude Code keeps its own `<pid>.json` and secret keys in it, and other plugins their files. So only
//! folders are looked at whose name can be a session's id, and only those count that have a metadata.json or an entry in
//! registry.jsonl. Promises: nothing else is opened, changed or removed; no link is followed; what is not understood stays as
//! it is, byte for byte; a record that makes no sense is shown with its doubt and never overwritten; killed at any moment a
//! record is the old one or the new one.

mod change;
mod id;
mod list;
mod record;
mod registry_file;
mod remove;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::filesystem::{LockError, UpdateError};

pub(crate) use change::{Beat, Ended, HeldRecords, Registered, Registration, SessionProcess, Sign};
pub(crate) use id::{InvalidRecordId, RecordId};
pub(crate) use record::{ProcessMark, Record, Source, Time};
pub(crate) use remove::Removal;

/// The records in one folder.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    folder: PathBuf,
    registry_file: PathBuf,
}

/// Why a record was not written. It is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordsError {
    /// Another run holds the lock.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// It cannot be read or written.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// What is there is no session's metadata, or another one's.
    #[error(
        "{} makes no sense: {why}; nothing was touched: put it right, or move it away, and the session's next hook begins a \
         new one",
        path.display()
    )]
    Senseless { path: PathBuf, why: String },
    /// What is there is no file, or no folder.
    #[error("{} is not touched: {why}; move it away and try again", path.display())]
    Refused { path: PathBuf, why: &'static str },
    /// It cannot be looked at.
    #[error("cannot look at {}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    /// A folder cannot be made.
    #[error("{0}")]
    Folder(std::io::Error),
}

impl Records {
    /// The records in `folder`, whose registry is `registry_file`, or else `registry.jsonl` in it.
    pub(crate) fn at(folder: PathBuf, registry_file: Option<PathBuf>) -> Self {
        let registry_file = registry_file.unwrap_or_else(|| folder.join("registry.jsonl"));
        Self { folder, registry_file }
    }

    /// The folder of all sessions.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of one session.
    fn folder_of(&self, id: &RecordId) -> PathBuf {
        self.folder.join(id.as_str())
    }
}

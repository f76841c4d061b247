//! Removing the record of a session that is over.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::AsFd as _;

use super::change::HeldRecords;
use super::list::METADATA;
use super::record::{Record, Source};
use crate::filesystem::walk::open_folder_path;
use crate::filesystem::{FolderRemoval, remove_folder};

/// What else belongs to a record: the process that beats for the original.
const HEARTBEAT_PID: &CStr = c"heartbeat.pid";

/// What became of a record that was to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It is gone, and its folder.
    Gone,
    /// It is gone; its folder stays, because these are in it and are not ours.
    FolderStays(Vec<OsString>),
    /// It stays: it was changed since it was read, or it went by itself.
    Changed,
}

impl HeldRecords<'_> {
    /// Removes the files of a record as it was read, and its folder if nothing else is in it. `<id>.lock.dir` and the entry in
    /// registry.jsonl stay.
    ///
    /// # Errors
    /// Why it stays: it is in doubt, or cannot be removed.
    pub(crate) fn remove(&self, record: &Record) -> Result<Removal, String> {
        let path = record.folder.display();
        if let Some(doubt) = &record.doubt {
            return Err(format!("{path} stays: {doubt}"));
        }
        let failed = |error: &dyn std::fmt::Display| format!("cannot remove {path}: {error}");
        let sessions = open_folder_path(self.records.folder()).map_err(|error| failed(&error))?;
        let name = CString::new(record.session_id.as_str()).map_err(|error| failed(&error))?;
        let stamp = match record.source {
            Source::Metadata(stamp) => Some(stamp),
            Source::Registry => None,
        };
        let leftovers = [OsStr::new("metadata.json")];
        let done = remove_folder(sessions.as_fd(), &name, (METADATA, stamp), &[HEARTBEAT_PID], &leftovers);
        Ok(match done.map_err(|error| failed(&error))? {
            FolderRemoval::Gone => Removal::Gone,
            FolderRemoval::Stays(rest) => Removal::FolderStays(rest),
            FolderRemoval::Changed => Removal::Changed,
        })
    }
}

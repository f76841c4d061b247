//! Removing the record of a session that is over.

use std::ffi::{CString, OsString};
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::change::HeldRecords;
use super::id::RecordId;
use super::list::{HEARTBEAT_PID, METADATA};
use super::record::{Record, Source};
use crate::filesystem::walk::{Lister, open_folder_path};
use crate::filesystem::{FolderRemoval, remove_folder, remove_unfinished_folder};

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
        let done = remove_folder(sessions.as_fd(), &name, (METADATA, stamp), &[HEARTBEAT_PID]);
        Ok(match done.map_err(|error| failed(&error))? {
            FolderRemoval::Gone => Removal::Gone,
            FolderRemoval::Stays(rest) => Removal::FolderStays(rest),
            FolderRemoval::Changed => Removal::Changed,
        })
    }

    /// Removes what runs left that were killed while they made a session's first record; says what could not be looked at.
    /// [`Records::read`](super::Records::read) does not show these. A folder that such a run left empty stays: it may be somebody else's.
    pub(crate) fn tidy(&self) -> Vec<String> {
        let folder = self.records.folder();
        let failed = |path: &Path, error: &dyn std::fmt::Display| format!("cannot tidy {}: {error}", path.display());
        let sessions = match open_folder_path(folder) {
            Ok(sessions) => sessions,
            Err(Errno::NOENT) => return Vec::new(),
            Err(error) => return vec![failed(folder, &error)],
        };
        let mut problems = Vec::new();
        let listed = Lister::new().list(sessions.as_fd(), |name, kind| {
            let id = name.to_str().ok().and_then(|name| RecordId::new(name).ok());
            let Some(id) = id.filter(|_| matches!(kind, FileType::Directory | FileType::Unknown)) else { return };
            if let Err(error) = remove_unfinished_folder(sessions.as_fd(), name, METADATA) {
                problems.push(failed(&self.records.folder_of(&id), &error));
            }
        });
        problems.extend(listed.err().map(|error| failed(folder, &error)));
        problems
    }
}

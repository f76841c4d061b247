//! Reading: which records there are.

use std::ffi::{CStr, CString};
use std::io::ErrorKind;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use rustc_hash::FxHashSet;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::Records;
use super::id::RecordId;
use super::record::{Record, Source, Time};
use super::registry_file::Entries;
use crate::filesystem::walk::{Lister, file_stamp, open_folder_path, open_real_folder, read_file};

pub(super) const METADATA: &CStr = c"metadata.json";
/// What else belongs to a record: the number of the process that beats for the original.
pub(super) const HEARTBEAT_PID: &CStr = c"heartbeat.pid";
/// A larger metadata.json is none.
pub(super) const LARGEST: u64 = 256 * 1024;
/// A larger registry.jsonl is not read.
const LARGEST_REGISTRY: u64 = 64 * 1024 * 1024;
/// How often a file is looked at again that another run is just replacing, and how long in between.
const LOOKS: usize = 500;
const PAUSE: Duration = Duration::from_micros(200);

/// What there is in a session's folder.
enum Found {
    Record(Box<Record>),
    /// A folder without metadata.json.
    Bare,
    /// It went meanwhile, or is no folder.
    Nothing,
}

impl Records {
    /// All records, in the order of their ids, and what could not be looked at. Nothing is written, no link is followed, and
    /// only `<id>/metadata.json` and registry.jsonl are opened. The latter only where a folder has no metadata.json: a session
    /// that has no folder any more was cleaned up.
    pub(crate) fn read(&self) -> (Vec<Record>, Vec<String>) {
        let mut problems = Vec::new();
        let cannot =
            |path: &Path, error: &dyn std::fmt::Display| format!("cannot look into {}: {error}", path.display());
        let folder = match open_folder_path(&self.folder) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return (Vec::new(), problems),
            Err(error) => return (Vec::new(), vec![cannot(&self.folder, &error)]),
        };
        let mut ids: Vec<(RecordId, FileType)> = Vec::new();
        let listed = Lister::new().list(folder.as_fd(), |name, kind| {
            let id = name.to_str().ok().and_then(|name| RecordId::new(name).ok());
            ids.extend(id.map(|id| (id, kind)));
        });
        if let Err(error) = listed {
            problems.push(cannot(&self.folder, &error));
        }
        ids.sort_by(|one, other| one.0.cmp(&other.0));
        let (mut records, mut bare) = (Vec::with_capacity(ids.len()), FxHashSet::default());
        for (id, kind) in ids {
            match self.look(folder.as_fd(), &id, kind) {
                Ok(Found::Record(record)) => records.push(*record),
                Ok(Found::Bare) => drop(bare.insert(id)),
                Ok(Found::Nothing) => {}
                Err(problem) => problems.push(problem),
            }
        }
        if !bare.is_empty() {
            self.read_registry(&bare, &mut records, &mut problems);
            records.sort_by(|one, other| one.session_id.cmp(&other.session_id));
        }
        (records, problems)
    }

    /// Looks at one entry of the sessions' folder.
    fn look(&self, sessions: BorrowedFd<'_>, id: &RecordId, kind: FileType) -> Result<Found, String> {
        let path = self.folder_of(id);
        let Ok(name) = CString::new(id.as_str()) else { return Ok(Found::Nothing) };
        let cannot = |path: &Path, error: Errno| format!("cannot look into {}: {error}", path.display());
        let kind = match kind {
            FileType::Unknown => match statat(sessions, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(Errno::NOENT) => return Ok(Found::Nothing),
                Err(error) => return Err(cannot(&path, error)),
            },
            kind => kind,
        };
        match kind {
            FileType::Directory => {}
            FileType::Symlink => return Err(format!("{} is a link and was not followed", path.display())),
            // A file of somebody else.
            _ => return Ok(Found::Nothing),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = match openat(sessions, &name, flags, Mode::empty()) {
            Ok(folder) => folder,
            // It went, or became something else in this moment.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Found::Nothing),
            Err(error) => return Err(cannot(&path, error)),
        };
        // The stamp comes before the text: what is written in between has another one, and is not removed by this one.
        let stamp = match file_stamp(folder.as_fd(), METADATA) {
            Ok(Some(stamp)) => stamp,
            Ok(None) => {
                let path = path.join("metadata.json");
                return Err(format!("{} is a link or no regular file, and was not opened", path.display()));
            }
            Err(Errno::NOENT) => return Ok(Found::Bare),
            Err(error) => return Err(cannot(&path, error)),
        };
        let source = Source::Metadata(stamp);
        let record = match read_patiently(folder.as_fd(), METADATA, LARGEST) {
            Ok(text) => Record::parse(id.clone(), path, source, &text),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Bare),
            Err(error) => {
                let doubt = Some(format!("its metadata cannot be read: {error}"));
                Record { doubt, ..Record::empty(id.clone(), path, source) }
            }
        };
        Ok(Found::Record(Box::new(record)))
    }

    /// The records of folders that have no metadata.json.
    fn read_registry(&self, bare: &FxHashSet<RecordId>, records: &mut Vec<Record>, problems: &mut Vec<String>) {
        let path = self.registry_file.display();
        let text = match read_registry_file(&self.registry_file) {
            Ok(Some(text)) => text,
            Ok(None) => return,
            Err(error) => return problems.push(format!("cannot read {path}: {error}")),
        };
        let found = Entries::read(&text, bare);
        if let Some((count, line)) = found.broken {
            let entries = if count == 1 { "1 entry makes" } else { &format!("{count} entries make") };
            problems.push(format!("{path}: {entries} no sense, the first at line {line}"));
        }
        for (id, text) in found.entries {
            let folder = self.folder_of(&id);
            match is_record_folder(&folder) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    problems.push(format!("cannot look into {}: {error}", folder.display()));
                    continue;
                }
            }
            let record = Record::parse(id, folder, Source::Registry, text.as_bytes());
            // What it says of signs of life was true when the session was registered.
            records.push(Record { last_heartbeat: Time::Absent, ..record });
        }
    }
}

/// Whether a folder without metadata.json is a record's all the same: an empty one, or one with a file of a record. One that
/// holds others' files alone is what was left of a record that was removed.
fn is_record_folder(path: &Path) -> rustix::io::Result<bool> {
    let Some(folder) = open_real_folder(CWD, path)? else { return Ok(false) };
    let (mut is_empty, mut is_records) = (true, false);
    Lister::new().list(folder.as_fd(), |name, _| {
        is_empty = false;
        is_records |= name == HEARTBEAT_PID;
    })?;
    Ok(is_empty || is_records)
}

/// The whole file; nothing where there is none.
fn read_registry_file(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let name = CString::new(path.as_os_str().as_encoded_bytes())?;
    match file_stamp(CWD, &name) {
        Ok(Some(_)) => read_patiently(CWD, &name, LARGEST_REGISTRY).map(Some),
        Ok(None) => Err(std::io::Error::other("it is a link or no regular file")),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// As [`read_file`], also while another run replaces the file: for that moment nobody can open it.
fn read_patiently(at: BorrowedFd<'_>, name: &CStr, most: u64) -> std::io::Result<Vec<u8>> {
    let mut looks = 0;
    loop {
        match read_file(at, name, most) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && looks < LOOKS => {
                looks += 1;
                std::thread::sleep(PAUSE);
            }
            read => return read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_took_a_folders_place_in_this_moment_is_not_followed() {
        let world = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(world.path().join("real")).unwrap();
        fs_err::write(world.path().join("real/metadata.json"), "{}").unwrap();
        fs_err::create_dir(world.path().join("sessions")).unwrap();
        fs_err::os::unix::fs::symlink("../real", world.path().join("sessions/x")).unwrap();
        let records = Records::at(world.path().join("sessions"), None);
        let sessions = open_folder_path(records.folder()).unwrap();
        let id = RecordId::new("x").unwrap();
        // As the listing had it.
        assert!(matches!(records.look(sessions.as_fd(), &id, FileType::Directory), Ok(Found::Nothing)));
        assert!(!is_record_folder(&records.folder_of(&id)).unwrap());
    }
}

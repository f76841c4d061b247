//! Sessions that were put aside before their files were removed: `archive/` in the state folder.
//!
//! Each entry is two files, `TIME-SESSION.tar.zst` (which `zstd -d` and `tar` understand) and `TIME-SESSION.json`, its
//! manifest, which is written last: without one an entry is a run's that did not come to its end, and goes with the next.

mod manifest;
mod restore;
mod write;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::filesystem::{
    FileError, create_filled, discard_leftovers, make_folder, read_regular, remove_file, remove_leftovers, write_own,
};

pub(crate) use manifest::{Archived, Manifest};
pub(crate) use restore::{Restored, restore};
pub(crate) use write::ArchiveError;

const FOLDER: &str = "archive";
const CONTENT: &str = ".tar.zst";
const MANIFEST: &str = ".json";
/// What temporary files are of that became no entry.
const UNFINISHED: &str = "entry";
/// Larger manifests are none: a session of a hundred thousand files has 20 MB.
const LARGEST_MANIFEST: u64 = 256 << 20;

/// The archive below one state folder.
#[derive(Debug, Clone)]
pub(crate) struct Archive {
    folder: PathBuf,
}

/// One archived session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// What its two files are called, without their endings.
    pub(crate) name: String,
    pub(crate) manifest: Manifest,
    /// Bytes that it takes on the disk.
    pub(crate) disk: u64,
}

impl Archive {
    pub(crate) fn below(state: &Path) -> Self {
        Self { folder: state.join(FOLDER) }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts the files of `manifest`, which lie below the open folder `home`, into the archive; reads them back and compares;
    /// yields what the entry takes on the disk. Hold the lock.
    ///
    /// # Errors
    /// Nothing is left of the entry.
    pub(crate) fn add(&self, manifest: &Manifest, home: BorrowedFd<'_>) -> Result<u64, ArchiveError> {
        let in_folder = |error| ArchiveError::Io(self.folder.display().to_string(), error);
        make_folder(&self.folder).map_err(in_folder)?;
        let name = manifest.entry();
        let (content, described) = (self.path(&name, CONTENT), self.path(&name, MANIFEST));
        create_filled(&content, OsStr::new(UNFINISHED), 0o600, |file| {
            write::write(file, home, &manifest.files)?;
            write::verify(file, home, &manifest.files, &|_| true)
        })?;
        let text = serde_json::to_vec(manifest).map_err(|error| in_folder(error.into()))?;
        let written = create_filled(&described, OsStr::new(UNFINISHED), 0o600, |mut file| {
            file.write_all(&[&text[..], b"\n"].concat()).map_err(in_folder)
        });
        if let Err(error) = written {
            remove_file(&content)?;
            return Err(error);
        }
        Ok(self.disk_of(&name))
    }

    /// Whether an entry holds all files of `manifest` as they are: a run that was killed while it removed them wrote it, or they
    /// were put back from it. It is read and compared as a new one is.
    pub(crate) fn holds(&self, manifest: &Manifest, home: BorrowedFd<'_>) -> std::io::Result<bool> {
        let (entries, _) = self.entries()?;
        let has = |files: &[Archived], file: &Archived| files.iter().any(|other| other.is_same(file));
        let has_all = |entry: &&Entry| {
            let files = &entry.manifest.files;
            entry.manifest.is_of_same(manifest) && manifest.files.iter().all(|file| has(files, file))
        };
        let Some(entry) = entries.iter().find(has_all) else { return Ok(false) };
        let content = fs_err::File::open(self.path(&entry.name, CONTENT))?;
        let is_here = |file: &Archived| has(&manifest.files, file);
        Ok(write::verify(content.file(), home, &entry.manifest.files, &is_here).is_ok())
    }

    /// All entries, the newest first, and what could not be understood.
    ///
    /// # Errors
    /// The folder is there and cannot be read.
    pub(crate) fn entries(&self) -> std::io::Result<(Vec<Entry>, Vec<String>)> {
        let (mut entries, mut problems) = (Vec::new(), Vec::new());
        for name in self.names(MANIFEST)? {
            let path = self.path(&name, MANIFEST);
            let read = read_regular(&path, LARGEST_MANIFEST).map_err(anyhow::Error::from);
            match read.and_then(|text| Manifest::parse(&text)) {
                Ok(manifest) => entries.push(Entry { disk: self.disk_of(&name), name, manifest }),
                Err(error) => problems.push(format!("{}: {error:#}", path.display())),
            }
        }
        entries.sort_by(|one, other| other.name.cmp(&one.name));
        Ok((entries, problems))
    }

    /// Notes that a session was put back: until it has been idle anew for as long as was set, it stays.
    pub(crate) fn note_restored(&self, entry: &Entry, now: DateTime<Utc>) -> Result<(), FileError> {
        let mut manifest = entry.manifest.clone();
        manifest.restored_at = Some(now);
        let path = self.path(&entry.name, MANIFEST);
        let text = serde_json::to_vec(&manifest).map_err(|error| FileError::Io {
            path: path.clone(),
            action: "write",
            cause: error.into(),
        })?;
        write_own(&path, &[&text, b"\n"], 0o600)
    }

    /// Removes the entry of a session whose files stayed.
    pub(crate) fn discard(&self, manifest: &Manifest) -> Result<(), FileError> {
        self.remove_named(&manifest.entry())
    }

    /// Removes an entry for good.
    pub(crate) fn remove(&self, entry: &Entry) -> Result<(), FileError> {
        self.remove_named(&entry.name)
    }

    fn remove_named(&self, name: &str) -> Result<(), FileError> {
        // In this order: what is left without a manifest goes with the next run.
        remove_file(&self.path(name, MANIFEST))?;
        remove_file(&self.path(name, CONTENT)).map(drop)
    }

    /// Removes what runs left that did not come to their end. Hold the lock.
    pub(crate) fn tidy(&self) -> std::io::Result<usize> {
        let mut removed = 0;
        for name in self.names(CONTENT)? {
            if !self.path(&name, MANIFEST).try_exists()? {
                remove_file(&self.path(&name, CONTENT)).map_err(std::io::Error::other)?;
                removed += 1;
            }
        }
        if self.folder.is_dir() {
            let manifests: Vec<OsString> =
                self.names(MANIFEST)?.iter().map(|name| format!("{name}{MANIFEST}").into()).collect();
            let manifests: Vec<&OsStr> = manifests.iter().map(OsString::as_os_str).collect();
            removed += discard_leftovers(&self.folder, &[OsStr::new(UNFINISHED)]).map_err(std::io::Error::other)?;
            removed += remove_leftovers(&self.folder, &manifests).map_err(std::io::Error::other)?;
        }
        Ok(removed)
    }

    fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{name}{ending}"))
    }

    fn disk_of(&self, name: &str) -> u64 {
        let size = |ending| std::fs::symlink_metadata(self.path(name, ending)).map_or(0, |file| file.blocks() * 512);
        size(CONTENT) + size(MANIFEST)
    }

    /// The names of all files with this ending, without it.
    fn names(&self, ending: &str) -> std::io::Result<Vec<String>> {
        let listing = match fs_err::read_dir(&self.folder) {
            Ok(listing) => listing,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in listing {
            let name = entry?.file_name();
            let name = name.to_str().filter(|name| !name.starts_with('.'));
            names.extend(name.and_then(|name| name.strip_suffix(ending)).map(str::to_owned));
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests;

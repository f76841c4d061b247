//! Sessions that were put aside before their files were removed: `archive/` in the state folder.
//!
//! Each entry is two files: `TIME-SESSION.tar.zst`, the content, which `zstd -d` and `tar` understand, and `TIME-SESSION.json`, its
//! manifest, which is the content's first member, too. So an entry whose manifest is lost, or was not written any more, is
//! whole all the same. Nothing is ever removed here but what a run says that it removes.

mod content;
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
    Created, FileError, create_filled, discard_leftovers, make_folder, read_regular, remove_file, remove_leftovers,
    write_own,
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

/// An entry that was just made.
#[derive(Debug)]
#[must_use = "it is to be discarded where its files stay"]
pub(crate) struct Added {
    name: String,
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

    /// Puts the files of `manifest`, which lie below the open folder `home`, into the archive, and reads them back and compares.
    /// Hold the lock.
    ///
    /// # Errors
    /// Nothing is left of the entry.
    pub(crate) fn add(&self, manifest: &Manifest, home: BorrowedFd<'_>) -> Result<Added, ArchiveError> {
        let in_folder = |error| ArchiveError::Io(self.folder.display().to_string(), error);
        if !self.folder.is_dir() {
            make_folder(&self.folder).and_then(|()| sync_above(&self.folder)).map_err(in_folder)?;
        }
        let text = manifest.text().map_err(in_folder)?;
        // One session may be in two homes, and both go in one run.
        for number in 0_u32.. {
            let suffix = if number == 0 { String::new() } else { format!("-{number}") };
            let name = format!("{}{suffix}", manifest.entry());
            let created = create_filled(&self.path(&name, CONTENT), OsStr::new(UNFINISHED), 0o600, |file| {
                write::write(file, home, manifest, &text)?;
                write::verify(file, home, manifest, Some(&text), &|_| true)
            })?;
            if created == Created::AlreadyThere {
                continue;
            }
            let described = create_filled(&self.path(&name, MANIFEST), OsStr::new(UNFINISHED), 0o600, |mut file| {
                file.write_all(&text).map_err(in_folder)
            });
            return match described {
                Ok(Created::Done) => Ok(Added { disk: self.disk_of(&name), name }),
                Ok(Created::AlreadyThere) => {
                    // Somebody's manifest without its content: it stays, and this one takes another name.
                    remove_file(&self.path(&name, CONTENT))?;
                    continue;
                }
                Err(error) => {
                    remove_file(&self.path(&name, CONTENT))?;
                    Err(error)
                }
            };
        }
        Err(in_folder(std::io::Error::other("there is no name left for another entry")))
    }

    /// The one of `entries` that holds all files of `manifest` as they are: a run that was killed while it removed them wrote it,
    /// or they were put back from it. It is read and compared as a new one is.
    pub(crate) fn holding<'e>(
        &self,
        entries: &'e [Entry],
        manifest: &Manifest,
        home: BorrowedFd<'_>,
    ) -> Option<&'e Entry> {
        let has = |files: &[Archived], file: &Archived| files.iter().any(|other| other.is_same(file));
        let has_all = |entry: &&Entry| {
            let files = &entry.manifest.files;
            entry.manifest.is_of_same(manifest) && manifest.files.iter().all(|file| has(files, file))
        };
        entries.iter().filter(has_all).find(|entry| {
            let is_here = |file: &Archived| has(&manifest.files, file);
            let content = fs_err::File::open(self.path(&entry.name, CONTENT));
            content.is_ok_and(|content| write::verify(content.file(), home, &entry.manifest, None, &is_here).is_ok())
        })
    }

    /// All entries, the newest first, and what could not be understood.
    ///
    /// # Errors
    /// The folder is there and cannot be read.
    pub(crate) fn entries(&self) -> std::io::Result<(Vec<Entry>, Vec<String>)> {
        let (mut entries, mut problems) = (Vec::new(), Vec::new());
        for name in self.names(CONTENT)? {
            let described = self.path(&name, MANIFEST);
            let content = self.path(&name, CONTENT);
            let manifest = match read_regular(&described, LARGEST_MANIFEST) {
                Ok(text) => Manifest::parse(&text),
                // A run was killed before it wrote it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => content::manifest_in(&content),
                Err(error) => Err(error.into()),
            };
            match manifest {
                Ok(manifest) => entries.push(Entry { disk: self.disk_of(&name), name, manifest }),
                Err(error) => {
                    problems.push(format!("{}: {error:#}; it stays as it is", self.path(&name, "").display()));
                    // Its session can be put back all the same.
                    if let Ok(manifest) = content::manifest_in(&content) {
                        entries.push(Entry { disk: self.disk_of(&name), name, manifest });
                    }
                }
            }
        }
        for name in self.names(MANIFEST)? {
            if !self.path(&name, CONTENT).try_exists()? {
                problems.push(format!("{}: the archive it describes is gone", self.path(&name, MANIFEST).display()));
            }
        }
        entries.sort_by(|one, other| {
            (other.manifest.archived_at, &other.name).cmp(&(one.manifest.archived_at, &one.name))
        });
        Ok((entries, problems))
    }

    /// Notes that the files of an entry are removed once more: its age counts from now on.
    pub(crate) fn renew(&self, entry: &Entry, now: DateTime<Utc>) -> Result<(), FileError> {
        let mut manifest = entry.manifest.clone();
        manifest.archived_at = now;
        manifest.restored_at = None;
        self.describe(&entry.name, &manifest)
    }

    /// Notes that a session was put back: until it has been idle anew for as long as was set, it stays.
    pub(crate) fn note_restored(&self, entry: &Entry, now: DateTime<Utc>) -> Result<(), FileError> {
        let mut manifest = entry.manifest.clone();
        manifest.restored_at = Some(now);
        self.describe(&entry.name, &manifest)
    }

    fn describe(&self, name: &str, manifest: &Manifest) -> Result<(), FileError> {
        let path = self.path(name, MANIFEST);
        let failed = |cause| FileError::Io { path: path.clone(), action: "write", cause };
        write_own(&path, &[&manifest.text().map_err(failed)?], 0o600)
    }

    /// Removes the entry that [`Archive::add`] made for a session whose files stayed.
    pub(crate) fn discard(&self, added: &Added) -> Result<(), FileError> {
        self.remove_named(&added.name)
    }

    /// Removes an entry for good.
    pub(crate) fn remove(&self, entry: &Entry) -> Result<(), FileError> {
        self.remove_named(&entry.name)
    }

    fn remove_named(&self, name: &str) -> Result<(), FileError> {
        // In this order: killed in between, nothing describes what is not there.
        remove_file(&self.path(name, MANIFEST))?;
        remove_file(&self.path(name, CONTENT)).map(drop)
    }

    /// Removes the temporary files of runs that were killed. Hold the lock.
    pub(crate) fn tidy(&self) -> std::io::Result<usize> {
        if !self.folder.is_dir() {
            return Ok(0);
        }
        let manifests = self.names(MANIFEST)?;
        let manifests: Vec<OsString> = manifests.iter().map(|name| format!("{name}{MANIFEST}").into()).collect();
        let manifests: Vec<&OsStr> = manifests.iter().map(OsString::as_os_str).collect();
        let unfinished = discard_leftovers(&self.folder, &[OsStr::new(UNFINISHED)]).map_err(std::io::Error::other)?;
        let renewed = remove_leftovers(&self.folder, &manifests).map_err(std::io::Error::other)?;
        Ok(unfinished + renewed)
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

/// Makes durable that a folder is in the one above it.
fn sync_above(folder: &Path) -> std::io::Result<()> {
    let above = folder.parent().unwrap_or(Path::new("."));
    fs_err::File::open(above)?.sync_all()
}

#[cfg(test)]
mod tests;

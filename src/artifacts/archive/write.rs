//! Writing a session's files into an archive and reading them back, before anything goes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use tar::{Builder, EntryType, Header};

use super::content::{CHUNK, Content, MANIFEST, fill, is_manifest};
use super::manifest::{Archived, Manifest};
use crate::filesystem::{FileError, walk};
use crate::interrupt;

/// zstd's own default: a transcript becomes a fifth of its size at some hundred megabytes per second.
const LEVEL: i32 = 3;

/// Why a session was not archived. What was to be archived is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// A file is not what the plan saw.
    #[error("{0} changed while it was archived")]
    Changed(String),
    /// What was written is not what comes out.
    #[error("the archive does not give back {0}")]
    Unfaithful(String),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0}: {1}")]
    Io(String, io::Error),
}

impl ArchiveError {
    /// Whether there is no room, so that the next one would fail as well.
    pub(crate) fn is_disk_full(&self) -> bool {
        let (Self::Io(_, cause) | Self::File(FileError::Io { cause, .. })) = self else { return false };
        matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
    }
}

/// Writes the manifest, whose text is `text`, and its files, relative to `home`, as a compressed tar file.
pub(super) fn write(target: &File, home: BorrowedFd<'_>, manifest: &Manifest, text: &[u8]) -> Result<(), ArchiveError> {
    let failed = |error| ArchiveError::Io("cannot write the archive".to_owned(), error);
    let mut encoder = zstd::Encoder::new(target, LEVEL).map_err(failed)?;
    encoder.include_checksum(true).map_err(failed)?;
    let mut archive = Builder::new(encoder);
    let mut header = header_of(text.len() as u64, 0o600, manifest.archived_at.timestamp());
    archive.append_data(&mut header, MANIFEST, text).map_err(failed)?;
    for file in &manifest.files {
        let source = open(home, &file.path)?;
        let attributes = file.attributes();
        let mut header = header_of(file.size, attributes.mode, attributes.modified / 1_000_000_000);
        let mut content = Counted { source: source.take(file.size), left: file.size };
        archive.append_data(&mut header, &file.path, &mut content).map_err(failed)?;
        if content.left != 0 {
            return Err(changed(&file.path));
        }
    }
    let mut encoder = archive.into_inner().map_err(failed)?;
    encoder.flush().map_err(failed)?;
    encoder.finish().map_err(failed)?;
    target.sync_all().map_err(failed)
}

fn header_of(size: u64, mode: u32, seconds: i64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(u64::try_from(seconds).unwrap_or(0));
    header
}

/// Reads back what was written, with another decoder than the encoder's own, and compares it byte by byte with the manifest's
/// `text`, where that is given, and with those of the files that are `here`; what is not here, by the checksum.
pub(super) fn verify(
    archive: &File,
    home: BorrowedFd<'_>,
    manifest: &Manifest,
    text: Option<&[u8]>,
    is_here: &dyn Fn(&Archived) -> bool,
) -> Result<(), ArchiveError> {
    let failed = |error| ArchiveError::Io("cannot read the archive back".to_owned(), error);
    // What the disk gives is to be looked at, not what memory still holds. That it is not dropped does no harm.
    let _ = rustix::fs::fadvise(archive, 0, None, rustix::fs::Advice::DontNeed);
    let mut contents = tar::Archive::new(Content::of(archive).map_err(failed)?);
    let mut left = manifest.files.iter();
    let mut members = contents.entries().map_err(failed)?;
    let mut first =
        members.next().ok_or_else(|| ArchiveError::Unfaithful("its manifest".to_owned()))?.map_err(failed)?;
    let is_manifest = is_manifest(&first).map_err(failed)?;
    if !is_manifest || !text.map_or(Ok(true), |text| is_same(&mut first, text)).map_err(failed)? {
        return Err(ArchiveError::Unfaithful("its manifest".to_owned()));
    }
    for entry in members {
        let mut entry = entry.map_err(failed)?;
        let unfaithful = |path: &Path| ArchiveError::Unfaithful(path.display().to_string());
        let Some(file) = left.next() else { return Err(ArchiveError::Unfaithful("its end".to_owned())) };
        let path = entry.path().map_err(failed)?.into_owned();
        if path != file.path || entry.size() != file.size {
            return Err(unfaithful(&file.path));
        }
        let is_faithful = if is_here(file) {
            is_same(&mut entry, open(home, &file.path)?.take(file.size)).map_err(failed)?
        } else {
            io::copy(&mut entry, &mut io::sink()).map_err(failed)? == file.size
        };
        if !is_faithful {
            return Err(unfaithful(&file.path));
        }
    }
    match left.next() {
        None => contents.into_inner().finish().map_err(failed),
        Some(file) => Err(ArchiveError::Unfaithful(file.path.display().to_string())),
    }
}

fn is_same(one: &mut impl Read, mut other: impl Read) -> io::Result<bool> {
    let (mut first, mut second) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        interrupt::mark();
        let length = fill(one, &mut first)?;
        let other_length = fill(&mut other, &mut second)?;
        if first[..length] != second[..other_length] {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
    }
}

fn changed(path: &Path) -> ArchiveError {
    ArchiveError::Changed(path.display().to_string())
}

/// Opens a file, no link in its path followed.
fn open(home: BorrowedFd<'_>, path: &Path) -> Result<File, ArchiveError> {
    let failed = |error: io::Error| ArchiveError::Io(format!("cannot read {}", path.display()), error);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(changed(path)) };
    let folder = walk::open_folder_without_links(home, parent).map_err(|error| failed(error.into()))?;
    let folder = folder.ok_or_else(|| changed(path))?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(folder.as_fd(), name, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    Ok(File::from(file))
}

/// Counts what is still to come: more than nothing at the end of a file that became shorter.
struct Counted<R> {
    source: R,
    left: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        interrupt::mark();
        let count = self.source.read(buffer)?;
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

//! Reading folders and file times with as few system calls as the kernel allows.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use chrono::{DateTime, Utc};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, StatxFlags};
use rustix::io::{Errno, Result};

/// Large enough that most folders need one call; larger costs more in page faults than it saves.
const LISTING_BUFFER: usize = 256 * 1024;

/// A buffer for listings, reused from folder to folder.
pub(crate) struct Lister {
    buffer: Vec<MaybeUninit<u8>>,
}

/// A file's time of last change and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileTimes {
    pub(crate) modified: DateTime<Utc>,
    pub(crate) is_file: bool,
}

impl Lister {
    pub(crate) fn new() -> Self {
        Self { buffer: Vec::new() }
    }

    /// Calls `visit` with name and type of every entry but `.` and `..`, in the file system's order.
    pub(crate) fn list(&mut self, folder: BorrowedFd<'_>, mut visit: impl FnMut(&CStr, FileType)) -> Result<()> {
        if self.buffer.is_empty() {
            self.buffer.resize(LISTING_BUFFER, MaybeUninit::uninit());
        }
        let mut entries = RawDir::new(folder, &mut self.buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                visit(name, entry.file_type());
            }
        }
        Ok(())
    }
}

/// Opens a folder for listing, links followed.
pub(crate) fn open_folder(at: BorrowedFd<'_>, path: impl rustix::path::Arg) -> Result<OwnedFd> {
    rustix::fs::openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Opens a folder by its whole path.
pub(crate) fn open_folder_path(path: &std::path::Path) -> Result<OwnedFd> {
    open_folder(CWD.as_fd(), path)
}

/// Time and type of a file, links followed; from the cache of a network file system where it has one.
pub(crate) fn file_times(at: BorrowedFd<'_>, path: impl rustix::path::Arg) -> Result<FileTimes> {
    let flags = AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(at, path, flags, StatxFlags::MTIME | StatxFlags::TYPE)?;
    let modified = DateTime::from_timestamp(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec).ok_or(Errno::OVERFLOW)?;
    let is_file = FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::RegularFile;
    Ok(FileTimes { modified, is_file })
}

/// A folder's own size in bytes, which grows with the number of its entries.
pub(crate) fn folder_size(folder: BorrowedFd<'_>) -> Result<u64> {
    Ok(rustix::fs::fstat(folder)?.st_size.unsigned_abs())
}

/// Whether a file or folder is there and has no size, not even that of an empty folder.
pub(crate) fn has_no_size(path: &std::path::Path) -> bool {
    rustix::fs::statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::SIZE).is_ok_and(|stat| stat.stx_size == 0)
}

/// Whether an error means that there is nothing there (as opposed to: it could not be looked at).
pub(crate) fn means_absent(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
}

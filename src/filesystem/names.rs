//! The system calls that give, exchange and take away names in a folder.

#![allow(clippy::disallowed_methods, reason = "the callers in this folder check first what a name stands for")]

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, fstat, linkat, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::{Errno, Result};

use super::snapshot::FileId;

/// The file that a name stood for, kept from being freed so that its inode number cannot come up for another one.
#[derive(Debug)]
pub(super) struct Pinned {
    fd: OwnedFd,
    id: FileId,
}

impl Pinned {
    /// Looks a name up, without opening the file: that would break leases, and wait for them.
    pub(super) fn at(folder: BorrowedFd<'_>, name: &OsStr) -> Result<Self> {
        let fd = openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let id = FileId::from(&fstat(&fd)?);
        Ok(Self { fd, id })
    }

    pub(super) fn id(&self) -> FileId {
        self.id
    }

    /// Opens the file itself, whatever its name is now.
    pub(super) fn open(&self) -> std::io::Result<File> {
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
    }
}

/// Lets two names change places in one step.
pub(super) fn exchange(folder: BorrowedFd<'_>, one: &OsStr, other: &OsStr) -> Result<()> {
    renameat_with(folder, one, folder, other, RenameFlags::EXCHANGE)
}

/// Renames, replacing what has the new name.
pub(super) fn rename_over(folder: BorrowedFd<'_>, from: &OsStr, to: &OsStr) -> Result<()> {
    renameat(folder, from, folder, to)
}

/// Renames unless something has the new name (`EXIST`).
pub(super) fn rename_new(folder: BorrowedFd<'_>, from: &OsStr, to: &OsStr) -> Result<()> {
    match renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        Err(error) if is_unsupported(error) => {
            linkat(folder, from, folder, to, AtFlags::empty())?;
            unlinkat(folder, from, AtFlags::empty())
        }
        done => done,
    }
}

/// Whether a file system does not know the kind of renaming that was asked for.
pub(super) fn is_unsupported(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}

/// Removes a name if it stands for the file `id`; says whether it did.
pub(super) fn remove_if(folder: impl AsFd, name: &OsStr, id: FileId) -> Result<bool> {
    match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileId::from(&stat) == id => unlinkat(&folder, name, AtFlags::empty()).map(|()| true),
        Ok(_) | Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

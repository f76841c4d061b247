//! Removing files.

#![allow(clippy::disallowed_methods, reason = "this is where removing happens")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use super::error::FileError;
use super::walk::{FileStamp, file_stamp, open_file_stamp};

/// Removes a file of ours; says whether there was one.
pub(crate) fn remove_file(path: &Path) -> Result<bool, FileError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(FileError::io(path, "remove")(error)),
    }
}

/// Removes a regular file unless it was changed or replaced since it was seen with `stamp`; says whether it did.
pub(crate) fn remove_unchanged(folder: BorrowedFd<'_>, name: &CStr, stamp: FileStamp) -> rustix::io::Result<bool> {
    match file_stamp(folder, name) {
        Ok(Some(now)) if now == stamp => unlinkat(folder, name, AtFlags::empty()).map(|()| true),
        Ok(_) | Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The same of a file that may have other names: yields what it is when this one is gone, nothing where it stays.
pub(crate) fn remove_name(
    folder: BorrowedFd<'_>,
    name: &CStr,
    stamp: FileStamp,
) -> rustix::io::Result<Option<FileStamp>> {
    let file = match openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error),
    };
    if remove_unchanged(folder, name, stamp)? { open_file_stamp(file.as_fd()) } else { Ok(None) }
}

/// Removes a folder if nothing is in it; says whether it did.
pub(crate) fn remove_empty_folder(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<bool> {
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::super::walk::{file_stamp, open_folder_path};
    use super::{remove_file, remove_unchanged};

    #[test]
    fn a_file_that_was_changed_since_it_was_seen_stays() {
        let folder = tempfile::tempdir().unwrap();
        let fd = open_folder_path(folder.path()).unwrap();
        let path = folder.path().join("beat.json");
        let stamp = || file_stamp(fd.as_fd(), c"beat.json").unwrap().unwrap();
        fs_err::write(&path, "{}").unwrap();
        let before = stamp();
        fs_err::write(&path, "{} ").unwrap();
        assert!(!remove_unchanged(fd.as_fd(), c"beat.json", before).unwrap());
        let link = folder.path().join("link");
        fs_err::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(file_stamp(fd.as_fd(), c"link").unwrap(), None);
        assert!(!remove_unchanged(fd.as_fd(), c"link", stamp()).unwrap());
        assert!(remove_unchanged(fd.as_fd(), c"beat.json", stamp()).unwrap());
        assert!(!remove_unchanged(fd.as_fd(), c"beat.json", before).unwrap());
    }

    #[test]
    fn removing_says_whether_there_was_a_file_and_refuses_folders() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs_err::File::create(&path).unwrap();
        assert!(remove_file(&path).unwrap());
        assert!(!remove_file(&path).unwrap());
        assert!(remove_file(folder.path()).is_err());
    }
}

//! Removing a folder of ours with the files in it that are known.

#![allow(clippy::disallowed_methods, reason = "this is where removing happens")]

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, Dir, unlinkat};
use rustix::io::Errno;

use super::remove::remove_unchanged;
use super::temporary::discard_leftovers_in;
use super::walk::{FileStamp, file_stamp, open_real_folder};

/// What became of a folder that was to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FolderRemoval {
    /// It is gone.
    Gone,
    /// Its known files are gone; these others are in it, and so it stays.
    Stays(Vec<OsString>),
    /// Its key file is not the one that was seen, and stays; or there is no folder (a link is none).
    Changed,
}

/// Removes the folder `name` in `parent`: the `files`, what killed runs left under the name of the key file, and last
/// that itself, if it has the same stamp as when it was seen (none where it was not there). Then the folder, if it is empty. Only
/// regular files are removed, and no link is followed.
pub(crate) fn remove_folder(
    parent: BorrowedFd<'_>,
    name: &CStr,
    (key, stamp): (&CStr, Option<FileStamp>),
    files: &[&CStr],
) -> io::Result<FolderRemoval> {
    let Some(folder) = open_real_folder(parent, name)? else { return Ok(FolderRemoval::Changed) };
    let at = folder.as_fd();
    let is_unchanged = || match (file_stamp(at, key), stamp) {
        (Ok(now), Some(seen)) => Ok(now == Some(seen)),
        (Ok(_), None) | (Err(Errno::NOENT), Some(_)) => Ok(false),
        (Err(Errno::NOENT), None) => Ok(true),
        (Err(error), _) => Err(error),
    };
    if !is_unchanged()? {
        return Ok(FolderRemoval::Changed);
    }
    for file in files {
        match file_stamp(at, file) {
            Ok(Some(stamp)) => drop(remove_unchanged(at, file, stamp)?),
            Ok(None) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    discard_leftovers_in(&folder, &[OsStr::from_bytes(key.to_bytes())])?;
    // Last: a run that is killed before finds the folder again by it.
    if let Some(stamp) = stamp
        && !remove_unchanged(at, key, stamp)?
    {
        return Ok(FolderRemoval::Changed);
    }
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(FolderRemoval::Gone),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(FolderRemoval::Stays(names_in(&folder)?)),
        Err(error) => Err(error.into()),
    }
}

/// Removes what killed runs left under the name of the key file in a folder that never got one, and then the folder, if it is
/// empty; says whether it is gone. A folder in which no run left anything is not ours.
pub(crate) fn remove_unfinished_folder(parent: BorrowedFd<'_>, name: &CStr, key: &CStr) -> io::Result<bool> {
    let Some(folder) = open_real_folder(parent, name)? else { return Ok(false) };
    if file_stamp(folder.as_fd(), key) != Err(Errno::NOENT) {
        return Ok(false);
    }
    if discard_leftovers_in(&folder, &[OsStr::from_bytes(key.to_bytes())])? == 0 {
        return Ok(false);
    }
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn names_in(folder: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(OsStr::from_bytes(entry.file_name().to_bytes()).to_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::walk::{file_stamp, open_folder, open_folder_path};
    use super::*;

    #[test]
    fn a_folder_goes_with_its_known_files_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("folder");
        let at = open_folder_path(parent.path()).unwrap();
        let make = || {
            fs_err::create_dir_all(&path).unwrap();
            fs_err::write(path.join("key"), "1").unwrap();
            fs_err::write(path.join("known"), "").unwrap();
            file_stamp(open_folder(at.as_fd(), c"folder").unwrap().as_fd(), c"key").unwrap()
        };
        let remove = |stamp| remove_folder(at.as_fd(), c"folder", (c"key", stamp), &[c"known"]).unwrap();
        let before = make();
        fs_err::write(path.join("key"), "12").unwrap();
        assert_eq!((remove(before), remove(None)), (FolderRemoval::Changed, FolderRemoval::Changed));
        assert!(path.join("known").exists());
        assert_eq!(remove(make()), FolderRemoval::Gone);
        assert_eq!((remove(before), remove(None)), (FolderRemoval::Changed, FolderRemoval::Changed));
        let stamp = make();
        fs_err::write(path.join("theirs"), "").unwrap();
        assert_eq!(remove(stamp), FolderRemoval::Stays(vec!["theirs".into()]));
        let stamp = make();
        fs_err::rename(&path, parent.path().join("real")).unwrap();
        fs_err::os::unix::fs::symlink("real", &path).unwrap();
        assert_eq!(remove(stamp), FolderRemoval::Changed);
        assert!(!remove_unfinished_folder(at.as_fd(), c"folder", c"key").unwrap());
        assert!(parent.path().join("real/key").exists() && path.is_symlink());
    }
}

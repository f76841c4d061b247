//! Whole files that only this program writes, and files that do not exist yet.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstat, open};
use rustix::io::Errno;

use super::error::FileError;
use super::names::{rename_new, rename_over};
use super::sidecar::give_to_owner_of;
use super::snapshot::folder_of;
use super::temporary::Temporary;

/// What became of a file that was to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Created {
    /// It was, complete and durable.
    Done,
    /// There is a file already; it is as it was.
    AlreadyThere,
}

/// Creates the file at `path` durably unless there is one. Hold the lock: one run at a time may do this.
pub(crate) fn create(path: &Path, parts: &[&[u8]], mode: u32) -> Result<Created, FileError> {
    let (folder, temporary) = complete(path, parts, mode)?;
    match rename_new(temporary.folder(), temporary.name(), path.file_name().unwrap_or_default()) {
        Ok(()) => temporary.set_disposable(None),
        Err(Errno::EXIST) => return Ok(Created::AlreadyThere),
        Err(error) => return Err(FileError::io(path, "create")(error)),
    }
    folder.sync_all().map_err(FileError::io(path, "flush the folder of"))?;
    Ok(Created::Done)
}

/// Creates the file at `path` durably, with the content that `fill` writes into it, unless there is one. What fails leaves no
/// trace; what a killed run leaves is found under `temporary_for`. Hold the lock: one run at a time may do this.
///
/// # Errors
/// What `fill` says, or that the file could not be made.
pub(crate) fn create_filled<E: From<FileError>>(
    path: &Path,
    temporary_for: &OsStr,
    mode: u32,
    fill: impl FnOnce(&File) -> Result<(), E>,
) -> Result<Created, E> {
    let (folder, temporary) = prepare(path, temporary_for, &[], mode)?;
    fill(temporary.file())?;
    temporary.file().sync_all().map_err(FileError::io(path, "flush"))?;
    match rename_new(temporary.folder(), temporary.name(), path.file_name().unwrap_or_default()) {
        Ok(()) => temporary.set_disposable(None),
        Err(Errno::EXIST) => return Ok(Created::AlreadyThere),
        Err(error) => return Err(FileError::io(path, "create")(error).into()),
    }
    folder.sync_all().map_err(FileError::io(path, "flush the folder of"))?;
    Ok(Created::Done)
}

/// Writes the whole file at `path` durably, replacing what is there. For files that no other program writes, and one
/// run at a time. A symlink at the path is replaced, not followed.
pub(crate) fn write_own(path: &Path, parts: &[&[u8]], mode: u32) -> Result<(), FileError> {
    let (folder, temporary) = complete(path, parts, mode)?;
    rename_over(temporary.folder(), temporary.name(), path.file_name().unwrap_or_default())
        .map_err(FileError::io(path, "replace"))?;
    temporary.set_disposable(None);
    folder.sync_all().map_err(FileError::io(path, "flush the folder of"))
}

/// As [`create`], but not flushed: after a power cut it may be gone. Killed at any instruction it is there whole or not at
/// all; what is left then is found under `temporary_for`, not under the file's own name, which may never be known again.
pub(crate) fn create_unflushed(
    path: &Path,
    temporary_for: &OsStr,
    content: &[u8],
    mode: u32,
) -> Result<Created, FileError> {
    let (_, temporary) = prepare(path, temporary_for, &[content], mode)?;
    match rename_new(temporary.folder(), temporary.name(), path.file_name().unwrap_or_default()) {
        Ok(()) => temporary.set_disposable(None),
        Err(Errno::EXIST) => return Ok(Created::AlreadyThere),
        Err(error) => return Err(FileError::io(path, "create")(error)),
    }
    Ok(Created::Done)
}

/// As [`write_own`], but not flushed: after a power cut it may be the old one, or empty.
pub(crate) fn write_unflushed(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    let (_, temporary) = prepare(path, path.file_name().unwrap_or_default(), &[content], mode)?;
    rename_over(temporary.folder(), temporary.name(), path.file_name().unwrap_or_default())
        .map_err(FileError::io(path, "replace"))?;
    temporary.set_disposable(None);
    Ok(())
}

/// A flushed temporary file with the content, and the folder it is in.
fn complete(path: &Path, parts: &[&[u8]], mode: u32) -> Result<(File, Temporary), FileError> {
    let (folder, temporary) = prepare(path, path.file_name().unwrap_or_default(), parts, mode)?;
    temporary.file().sync_all().map_err(FileError::io(path, "flush"))?;
    Ok((folder, temporary))
}

/// A temporary file with the content, and the folder it is in.
fn prepare(path: &Path, name: &OsStr, parts: &[&[u8]], mode: u32) -> Result<(File, Temporary), FileError> {
    if path.file_name().is_none() {
        return Err(FileError::Refused { path: path.to_owned(), why: "it names no file" });
    }
    let folder_path = folder_of(path);
    let folder = open(folder_path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(FileError::io(path, "open the folder of"))?;
    let folder = File::from(folder);
    let mut temporary = Temporary::create(std::os::fd::AsFd::as_fd(&folder), folder_path, name)
        .map_err(FileError::io(path, "create a temporary file beside"))?;
    let holder = fstat(&folder).map_err(FileError::io(path, "examine the folder of"))?;
    give_to_owner_of(&holder, temporary.file()).map_err(FileError::io(path, "set the owner of"))?;
    temporary.set_mode(mode).map_err(FileError::io(path, "set the mode of"))?;
    temporary.write(parts).map_err(FileError::io(path, "write"))?;
    Ok((folder, temporary))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{Created, create, write_own};

    #[test]
    fn create_makes_a_file_once_with_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map");
        assert_eq!(create(&path, &[b"first ", b"file"], 0o640).unwrap(), Created::Done);
        assert_eq!(create(&path, &[b"second"], 0o600).unwrap(), Created::AlreadyThere);
        assert_eq!(fs_err::read(&path).unwrap(), b"first file");
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn write_own_replaces_the_whole_file_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        write_own(&path, &[b"a long first version"], 0o600).unwrap();
        write_own(&path, &[b"short"], 0o600).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), b"short");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_own(&folder.path().join("no/file"), &[b""], 0o600).is_err());
    }
}

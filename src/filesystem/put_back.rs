//! Putting files back where they were: with the mode, the owner and the times they had, without following a link, and never
//! over another file.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use rustix::fs::{Gid, Mode, OFlags, Timespec, Timestamps, Uid, fchown, fstat, futimens, mkdirat, openat};
use rustix::io::Errno;

use super::names::rename_new;
use super::temporary::Temporary;
use super::walk::{file_stamp, open_folder_without_links, open_real_folder};

/// What a file or folder had besides its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    pub(crate) group: u32,
    /// Nanoseconds since 1970.
    pub(crate) modified: i64,
    /// Nanoseconds since 1970.
    pub(crate) accessed: i64,
}

/// What became of a file that was to be put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutBack {
    Done,
    /// Something else has this name; it is as it was.
    InTheWay,
}

/// The folder that `path` leads to from `home`, with what is missing of it made for its owner alone.
///
/// # Errors
/// A component is a link or no folder.
pub(crate) fn folder_for(home: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let mut folder = home.try_clone_to_owned()?;
    for component in path.components() {
        let Component::Normal(name) = component else { return Err(refused("it leads out of its home")) };
        match mkdirat(&folder, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let next = open_real_folder(folder.as_fd(), name)?;
        folder = next.ok_or_else(|| refused("a link or a file is where a folder of its path was"))?;
    }
    Ok(folder)
}

/// Puts a file called `name` into a folder, whose path is `folder_path`: all of `content`, which has `size` bytes.
pub(crate) fn put_back(
    (folder, folder_path): (BorrowedFd<'_>, &Path),
    name: &OsStr,
    (mut content, size): (impl Read, u64),
    attributes: Attributes,
) -> io::Result<PutBack> {
    let temporary = Temporary::create(folder, folder_path, name)?;
    let written = io::copy(&mut content, &mut temporary.file())?;
    if written != size {
        return Err(refused("its archived content has another size"));
    }
    set(temporary.file(), attributes)?;
    temporary.file().sync_all()?;
    match rename_new(folder, temporary.name(), name) {
        Ok(()) => {
            temporary.set_disposable(None);
            Ok(PutBack::Done)
        }
        Err(Errno::EXIST) => Ok(PutBack::InTheWay),
        Err(error) => Err(error.into()),
    }
}

/// What is in a file's place.
#[derive(Debug)]
pub(crate) enum Place {
    Free,
    File(File),
    /// It is no file.
    Other,
}

/// What is where `path` leads to from `home`, no link followed.
pub(crate) fn place_of(home: BorrowedFd<'_>, path: &Path) -> io::Result<Place> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(Place::Other) };
    let Some(folder) = open_folder_without_links(home, parent)? else { return Ok(Place::Free) };
    let name = CString::new(name.as_bytes())?;
    match file_stamp(folder.as_fd(), &name) {
        Ok(Some(_)) => {}
        Ok(None) => return Ok(Place::Other),
        Err(Errno::NOENT) => return Ok(Place::Free),
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(Place::File(File::from(openat(folder.as_fd(), &name, flags, Mode::empty())?)))
}

/// Gives a folder that `path` leads to what it had.
pub(crate) fn set_folder(home: BorrowedFd<'_>, path: &Path, attributes: Attributes) -> io::Result<()> {
    let folder = folder_for(home, path)?;
    // A folder that was opened by its path alone cannot be changed.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    set(&File::from(openat(folder.as_fd(), c".", flags, Mode::empty())?), attributes)
}

fn set(file: &File, attributes: Attributes) -> io::Result<()> {
    let Attributes { mode, owner, group, modified, accessed } = attributes;
    let now = fstat(file)?;
    // Only root can give files away; whoever restores his own has nothing to do here.
    if (now.st_uid, now.st_gid) != (owner, group)
        && let Err(error) = fchown(file, Some(Uid::from_raw(owner)), Some(Gid::from_raw(group)))
    {
        log::debug!("the owner of what is put back is another one now: {error}");
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?;
    let time = |nanoseconds: i64| Timespec {
        tv_sec: nanoseconds.div_euclid(1_000_000_000),
        tv_nsec: nanoseconds.rem_euclid(1_000_000_000),
    };
    futimens(file, &Timestamps { last_access: time(accessed), last_modification: time(modified) })?;
    Ok(())
}

fn refused(why: &str) -> io::Error {
    io::Error::other(why.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::super::walk::open_folder_path;
    use super::*;

    const THEN: Attributes =
        Attributes { mode: 0o640, owner: 0, group: 0, modified: 1_700_000_000_123_456_789, accessed: -1 };

    fn put(home: &Path, path: &str, content: &[u8]) -> io::Result<PutBack> {
        let root = open_folder_path(home)?;
        let path = Path::new(path);
        let parent = path.parent().unwrap();
        let folder = folder_for(root.as_fd(), parent)?;
        let attributes = Attributes { owner: rustix::process::geteuid().as_raw(), ..THEN };
        put_back(
            (folder.as_fd(), &home.join(parent)),
            path.file_name().unwrap(),
            (content, content.len() as u64),
            attributes,
        )
    }

    #[test]
    fn a_file_comes_back_to_the_nanosecond_and_never_over_another() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(put(home.path(), "a/b/file", b"text").unwrap(), PutBack::Done);
        let path = home.path().join("a/b/file");
        let metadata = fs_err::metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o640);
        assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_700_000_000, 123_456_789));
        assert_eq!((metadata.atime(), metadata.atime_nsec()), (-1, 999_999_999));
        let place = |path: &str| place_of(open_folder_path(home.path()).unwrap().as_fd(), Path::new(path)).unwrap();
        assert!(matches!(place("a/b/file"), Place::File(_)) && matches!(place("a/b"), Place::Other));
        assert!(matches!(place("a/b/none"), Place::Free) && matches!(place("a/none/file"), Place::Free));
        assert_eq!(put(home.path(), "a/b/file", b"other").unwrap(), PutBack::InTheWay);
        assert_eq!(fs_err::read(&path).unwrap(), b"text");
        assert_eq!(fs_err::read_dir(home.path().join("a/b")).unwrap().count(), 1);
    }

    #[test]
    fn no_link_is_followed_and_no_home_left() {
        let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs_err::os::unix::fs::symlink(elsewhere.path(), home.path().join("a")).unwrap();
        for path in ["a/file", "../file", "b/../../file"] {
            assert!(put(home.path(), path, b"text").is_err(), "{path}");
        }
        assert_eq!(fs_err::read_dir(elsewhere.path()).unwrap().count(), 0);
        fs_err::os::unix::fs::symlink("nowhere", home.path().join("link")).unwrap();
        assert_eq!(put(home.path(), "link", b"text").unwrap(), PutBack::InTheWay);
    }
}

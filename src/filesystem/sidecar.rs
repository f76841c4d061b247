//! Opening a small file of ours that stays: a lock, a log. Nothing else that lies at its path is touched.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Gid, Mode, OFlags, Stat, Uid, fchown, fstat, open, openat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::error::FileError;
use super::snapshot::folder_of;
use super::trust::{Folder, objection};

/// An open file of ours and the folder it is in.
#[derive(Debug)]
pub(super) struct Sidecar {
    pub(super) file: File,
    pub(super) folder: OwnedFd,
    /// Whether it did not exist before.
    pub(super) created: bool,
}

impl Sidecar {
    /// Opens `path` for reading and writing, with `flags` in addition; creates it for its owner alone.
    pub(super) fn open(path: &Path, flags: OFlags) -> Result<Self, FileError> {
        let refused = |why| FileError::Refused { path: path.to_owned(), why };
        let name = path.file_name().ok_or_else(|| refused("it names no file"))?;
        let folder = open(folder_of(path), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(FileError::io(path, "open the folder of"))?;
        let flags = flags | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let (fd, created) = loop {
            match openat(&folder, name, flags, mode) {
                Ok(fd) => break (fd, false),
                Err(Errno::NOENT) => match openat(&folder, name, flags | OFlags::CREATE | OFlags::EXCL, mode) {
                    Ok(fd) => break (fd, true),
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(FileError::io(path, "create")(error)),
                },
                Err(Errno::LOOP) => return Err(refused("it is a symlink")),
                Err(Errno::ISDIR) => return Err(refused("it is a folder")),
                Err(Errno::NXIO) => return Err(refused("it is no regular file")),
                Err(error) => return Err(FileError::io(path, "open")(error)),
            }
        };
        let stat = fstat(&fd).map_err(FileError::io(path, "examine"))?;
        let holder = fstat(&folder).map_err(FileError::io(path, "examine the folder of"))?;
        if let Some(why) = refusal(&stat, Folder::from(&holder), geteuid().as_raw()) {
            return Err(refused(why));
        }
        if created {
            give_to_owner_of(&holder, &fd).map_err(FileError::io(path, "set the owner of"))?;
        }
        Ok(Self { file: File::from(fd), folder, created })
    }
}

fn refusal(stat: &Stat, folder: Folder, us: u32) -> Option<&'static str> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Some("it is no regular file");
    }
    // The folder's owner can give any file that he can see this name; writing here would write there.
    if stat.st_nlink > 1 {
        return Some("it has other names too (hard links)");
    }
    objection(folder, stat.st_uid, us)
}

/// Files that root makes in a user's folder are the user's, who could not work beside them otherwise.
pub(super) fn give_to_owner_of(folder: &Stat, file: impl std::os::fd::AsFd) -> rustix::io::Result<()> {
    if geteuid().is_root() && folder.st_uid != 0 && !Folder::from(folder).everybody_writes() {
        fchown(file, Some(Uid::from_raw(folder.st_uid)), Some(Gid::from_raw(folder.st_gid)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use rustix::fs::OFlags;

    use super::Sidecar;

    fn refusal(path: &std::path::Path) -> String {
        Sidecar::open(path, OFlags::empty()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_a_plain_file_of_ours_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs_err::File::create(at("target")).unwrap();
        fs_err::os::unix::fs::symlink(at("target"), at("link")).unwrap();
        assert!(refusal(&at("link")).contains("symlink"));
        fs_err::hard_link(at("target"), at("second name")).unwrap();
        assert!(refusal(&at("second name")).contains("hard link"));
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(refusal(&at("fifo")).contains("no regular file"));
        assert!(refusal(folder.path()).contains("folder"));
        assert!(refusal(&at("no folder/file")).contains("no folder/file"));
    }

    #[test]
    fn new_files_are_private_and_old_ones_are_not_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let made = Sidecar::open(&path, OFlags::empty()).unwrap();
        assert!(made.created);
        assert_eq!(made.file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::os::unix::fs::FileExt::write_all_at(&made.file, b"text", 0).unwrap();
        let again = Sidecar::open(&path, OFlags::empty()).unwrap();
        assert!(!again.created);
        assert_eq!(again.file.metadata().unwrap().len(), 4);
    }

    #[test]
    fn root_gives_new_files_to_the_folders_owner() {
        if !rustix::process::geteuid().is_root() {
            return; // Only root can set the scene.
        }
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(folder.path(), Some(1234), Some(1235)).unwrap();
        let meta = Sidecar::open(&folder.path().join("file"), OFlags::empty()).unwrap().file.metadata().unwrap();
        assert_eq!((meta.uid(), meta.gid()), (1234, 1235));
    }

    #[test]
    fn another_users_file_where_everybody_writes_is_refused() {
        if !rustix::process::geteuid().is_root() {
            return; // Only root can set the scene.
        }
        let folder = tempfile::tempdir().unwrap();
        fs_err::set_permissions(folder.path(), PermissionsExt::from_mode(0o1777)).unwrap();
        let path = folder.path().join("file");
        fs_err::File::create(&path).unwrap();
        std::os::unix::fs::chown(&path, Some(1234), None).unwrap();
        assert!(refusal(&path).contains("another user"));
    }
}

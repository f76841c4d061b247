//! Whether a file could be replaced, and a folder of ours be used, found out without writing anything.

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, Mode, Stat, accessat};
use rustix::process::{getegid, geteuid, getgroups};

use super::snapshot::folder_of;
use super::trust::{Folder, objection};

/// What stands in the way of replacing the file at `path`, which may be a link, and of writing a lock and tombstones beside
/// it; of making it where it is not there yet.
pub(crate) fn obstacle(path: &Path) -> io::Result<Option<String>> {
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let (lock, tombstones) = (path.with_extension("lock"), path.with_extension("tombstones.jsonl"));
    for file in [&real, &lock, &tombstones] {
        let folder = rustix::fs::stat(folder_of(file))?;
        // By the rights that this process really has: sudo and setuid leave the real user behind.
        if let Err(error) = accessat(CWD, folder_of(file), Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
            return Ok(Some(format!("cannot write to the folder {}: {error}", folder_of(file).display())));
        }
        let metadata = match std::fs::symlink_metadata(file) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let why = objection(Folder::from(&folder), metadata.uid(), geteuid().as_raw());
        let why = if !metadata.is_file() {
            Some("it is no regular file")
        } else if why.is_some() {
            why
        } else if *file == real {
            // The new file has to become its owner's, and a lease is for the owner alone.
            (!can_give_away_to(&metadata, &folder)).then_some("only its owner or root can replace it")
        } else {
            accessat(CWD, file, Access::WRITE_OK, AtFlags::EACCESS).is_err().then_some("it cannot be written")
        };
        if let Some(why) = why {
            return Ok(Some(format!("{}: {why}", file.display())));
        }
    }
    Ok(None)
}

/// Whether a file that we make in `folder` can be given the owner and the group of this one.
fn can_give_away_to(original: &Metadata, folder: &Stat) -> bool {
    let us = geteuid();
    let sets_group = Mode::from_raw_mode(folder.st_mode).contains(Mode::SGID);
    let group = if sets_group { folder.st_gid } else { getegid().as_raw() };
    let is_of_group = || getgroups().is_ok_and(|groups| groups.iter().any(|own| own.as_raw() == original.gid()));
    us.is_root()
        || (original.uid() == us.as_raw()
            && (original.gid() == group || original.gid() == getegid().as_raw() || is_of_group()))
}

/// Why a folder of ours is not safe to keep state in; nothing where it is, or is not there yet.
pub(crate) fn folder_objection(path: &Path) -> io::Result<Option<String>> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let us = geteuid().as_raw();
    Ok(if metadata.is_symlink() {
        Some("is a symlink".to_owned())
    } else if !metadata.is_dir() {
        Some("is no folder".to_owned())
    } else if metadata.uid() != us {
        Some(format!("belongs to user {}, not to {us}", metadata.uid()))
    } else if metadata.mode() & 0o022 != 0 {
        Some(format!("can be written by others (mode {:o})", metadata.mode() & 0o7777))
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    fn world() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.json");
        fs_err::write(&path, "{}").unwrap();
        (folder, path)
    }

    fn why(path: &Path) -> String {
        obstacle(path).unwrap().unwrap()
    }

    fn set_mode(path: &Path, mode: u32) {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_of_ours_in_a_folder_of_ours_can_be_replaced() {
        let (folder, path) = world();
        assert_eq!(obstacle(&path).unwrap(), None);
        assert_eq!(obstacle(&folder.path().join("new.json")).unwrap(), None);
        assert!(obstacle(&folder.path().join("no/map.json")).is_err());
    }

    #[test]
    fn a_lock_or_tombstones_that_are_no_files_stand_in_the_way() {
        for name in ["map.lock", "map.tombstones.jsonl"] {
            let (folder, path) = world();
            symlink("/dev/null", folder.path().join(name)).unwrap();
            assert!(why(&path).contains("no regular file"));
        }
    }

    #[test]
    fn another_users_file_where_everybody_writes_stands_in_the_way() {
        let (folder, path) = world();
        if geteuid().is_root() {
            set_mode(folder.path(), 0o1777);
            chown(&path, Some(1234), None).unwrap();
            assert!(why(&path).contains("another user"));
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_stands_in_the_way() {
        let (folder, path) = world();
        // Root may write everywhere; the test through the binary becomes somebody else.
        if !geteuid().is_root() {
            set_mode(folder.path(), 0o555);
            assert!(why(&path).contains("cannot write to the folder"));
            set_mode(folder.path(), 0o755);
        }
    }

    #[test]
    fn a_folder_for_state_is_ours_alone() {
        let (folder, path) = world();
        let state = folder.path().join("state");
        assert_eq!(folder_objection(&state).unwrap(), None);
        fs_err::create_dir(&state).unwrap();
        set_mode(&state, 0o700);
        assert_eq!(folder_objection(&state).unwrap(), None);
        for mode in [0o702, 0o720, 0o1777] {
            set_mode(&state, mode);
            let why = folder_objection(&state).unwrap().unwrap();
            assert_eq!(why, format!("can be written by others (mode {mode:o})"));
        }
        symlink(&state, folder.path().join("link")).unwrap();
        assert_eq!(folder_objection(&folder.path().join("link")).unwrap().unwrap(), "is a symlink");
        assert_eq!(folder_objection(&path).unwrap().unwrap(), "is no folder");
        if geteuid().is_root() {
            set_mode(&state, 0o700);
            chown(&state, Some(1234), None).unwrap();
            assert!(folder_objection(&state).unwrap().unwrap().contains("user 1234"));
        }
    }
}

//! Whether a file could be replaced, and a folder of ours be used, found out without writing anything.

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, Mode, Stat, accessat};
use rustix::process::{getegid, geteuid, getgroups};

use super::snapshot::folder_of;
use super::trust::{Folder, objection};

/// What stands in the way of replacing the file at `path`, which may be a link, and of writing these files beside it; of
/// making it where it is not there yet.
pub(crate) fn obstacle(path: &Path, beside: &[&Path]) -> io::Result<Option<String>> {
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    for file in std::iter::once(real.as_path()).chain(beside.iter().copied()) {
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
        } else if file == real {
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

/// What keeps this process from writing into a folder; where that is not there, from making it.
pub(crate) fn folder_obstacle(folder: &Path) -> Option<String> {
    for place in folder.ancestors() {
        let is_folder = match std::fs::metadata(place) {
            Ok(metadata) => metadata.is_dir(),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(error) => return Some(format!("{} cannot be looked at: {error}", place.display())),
        };
        if !is_folder {
            return Some(format!("{} is no folder", place.display()));
        }
        let error = accessat(CWD, place, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).err()?;
        return Some(if place == folder {
            format!("{} cannot be written: {error}", folder.display())
        } else {
            format!("{} is not there, and cannot be made in {}: {error}", folder.display(), place.display())
        });
    }
    None
}

/// What keeps this process from removing from an open folder what belongs to these users.
pub(crate) fn removal_obstacle(
    folder: BorrowedFd<'_>,
    mut owners: impl Iterator<Item = u32>,
) -> io::Result<Option<String>> {
    if let Err(error) = accessat(folder, c".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
        return Ok(Some(format!("cannot be written: {error}")));
    }
    let (found, us) = (rustix::fs::fstat(folder)?, geteuid());
    let is_sticky = Mode::from_raw_mode(found.st_mode).contains(Mode::SVTX);
    // There who owns neither it nor the folder may remove nothing.
    let may_remove_all = !is_sticky || us.is_root() || found.st_uid == us.as_raw();
    let foreign = if may_remove_all { None } else { owners.find(|owner| *owner != us.as_raw()) };
    Ok(foreign.map(|owner| format!("what user {owner} owns in it can be removed by him and its owner alone")))
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

/// Why a folder of ours is not safe to keep state in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FolderObjection {
    #[error("is a symlink")]
    Symlink,
    #[error("is no folder")]
    NoFolder,
    #[error("belongs to user {user}, not to {us}")]
    BelongsTo { user: u32, us: u32 },
    #[error("can be written by others (mode {0:o})")]
    WritableByOthers(u32),
}

/// What speaks against a folder of ours; nothing where nothing does, or it is not there yet.
pub(crate) fn folder_objection(path: &Path) -> io::Result<Option<FolderObjection>> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let us = geteuid().as_raw();
    Ok(if metadata.is_symlink() {
        Some(FolderObjection::Symlink)
    } else if !metadata.is_dir() {
        Some(FolderObjection::NoFolder)
    } else if metadata.uid() != us {
        Some(FolderObjection::BelongsTo { user: metadata.uid(), us })
    } else if metadata.mode() & 0o022 != 0 {
        Some(FolderObjection::WritableByOthers(metadata.mode() & 0o7777))
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use rustix::process::Uid;

    use super::*;

    fn world() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.json");
        fs_err::write(&path, "{}").unwrap();
        (folder, path)
    }

    fn why(path: &Path) -> String {
        obstacle(path, &[]).unwrap().unwrap()
    }

    fn set_mode(path: &Path, mode: u32) {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_of_ours_in_a_folder_of_ours_can_be_replaced() {
        let (folder, path) = world();
        assert_eq!(obstacle(&path, &[&folder.path().join("map.lock")]).unwrap(), None);
        assert_eq!(obstacle(&folder.path().join("new.json"), &[]).unwrap(), None);
        assert!(obstacle(&folder.path().join("no/map.json"), &[]).is_err());
    }

    #[test]
    fn what_is_no_file_beside_it_stands_in_the_way() {
        let (folder, path) = world();
        let [lock, other] = ["map.lock", "map.other"].map(|name| folder.path().join(name));
        symlink("/dev/null", &other).unwrap();
        assert_eq!(obstacle(&path, &[&lock]).unwrap(), None);
        assert!(obstacle(&path, &[&lock, &other]).unwrap().unwrap().contains("no regular file"));
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
    fn what_cannot_be_removed_from_a_folder_is_told_before() {
        let (folder, path) = world();
        let (us, other) = (geteuid().as_raw(), 1234);
        let why = |owner: u32| {
            let open = super::super::walk::open_folder_path(folder.path()).unwrap();
            removal_obstacle(open.as_fd(), [us, owner].into_iter()).unwrap()
        };
        assert_eq!(why(us), None);
        set_mode(folder.path(), 0o1777);
        // Who owns the folder, and root, may remove whatever is in it.
        assert_eq!(why(other), None);
        // Root may write everywhere: a thread of its own becomes somebody else.
        let as_nobody = |owner: u32| {
            let open = super::super::walk::open_folder_path(folder.path()).unwrap();
            std::thread::spawn(move || {
                let user = if geteuid().is_root() { Uid::from_raw(65_534) } else { geteuid() };
                rustix::thread::set_thread_res_uid(user, user, user).unwrap();
                removal_obstacle(open.as_fd(), [user.as_raw(), owner].into_iter()).unwrap()
            })
            .join()
            .unwrap()
        };
        set_mode(folder.path(), 0o555);
        assert!(as_nobody(us).unwrap().contains("cannot be written: "));
        if geteuid().is_root() {
            set_mode(folder.path(), 0o1777);
            assert!(as_nobody(other).unwrap().contains("user 1234"));
            assert_eq!(as_nobody(65_534), None);
        }
        set_mode(folder.path(), 0o755);
        drop(path);
    }

    #[test]
    fn a_folder_that_is_not_there_is_as_good_as_what_it_would_be_made_in() {
        let (folder, path) = world();
        for inner in ["", "new", "new/inner"] {
            assert_eq!(folder_obstacle(&folder.path().join(inner)), None, "{inner}");
        }
        for inner in [path.clone(), path.join("inner/most")] {
            assert_eq!(folder_obstacle(&inner), Some(format!("{} is no folder", path.display())));
        }
        // Root may write everywhere.
        if !geteuid().is_root() {
            set_mode(folder.path(), 0o555);
            assert!(folder_obstacle(folder.path()).unwrap().contains("cannot be written: "));
            assert!(
                folder_obstacle(&folder.path().join("new")).unwrap().contains("new is not there, and cannot be made")
            );
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
            assert_eq!(why.to_string(), format!("can be written by others (mode {mode:o})"));
        }
        symlink(&state, folder.path().join("link")).unwrap();
        assert_eq!(folder_objection(&folder.path().join("link")).unwrap(), Some(FolderObjection::Symlink));
        assert_eq!(folder_objection(&path).unwrap(), Some(FolderObjection::NoFolder));
        if geteuid().is_root() {
            set_mode(&state, 0o700);
            chown(&state, Some(1234), None).unwrap();
            assert_eq!(folder_objection(&state).unwrap(), Some(FolderObjection::BelongsTo { user: 1234, us: 0 }));
        }
    }
}

//! Who holds a lock, found out without taking it, making it or writing anything.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::error::FileError;
use super::lock::{Holder, holder};
use super::proc::{FileOnDevice, Proc};

/// Whether somebody has a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LockState {
    /// Nobody.
    Free,
    /// This run, as far as its line in the lock's file says; else the process alone.
    Held {
        /// The process, as the kernel knows it.
        pid: u32,
        /// Its own line.
        holder: Option<Holder>,
    },
}

/// Looks at the lock whose file is `path`. A lock of a process that this one cannot see (in another pid namespace) looks
/// free.
pub(crate) fn look_at_lock(path: &Path, proc: &Proc) -> Result<LockState, FileError> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(LockState::Free),
        Err(error) => return Err(FileError::io(path, "examine")(error)),
    };
    if !metadata.is_file() {
        return Err(FileError::Refused { path: path.to_owned(), why: "it is no regular file" });
    }
    let holders = proc.flock_holders().map_err(FileError::io(path, "find who holds"))?;
    let device = metadata.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let file = FileOnDevice { major, minor, inode: metadata.ino() };
    // The line is the owner's to read; the lock is everybody's to see.
    let line = open(path).ok().and_then(|file| holder(&file));
    // On btrfs and overlay the kernel's list names another device than the file does.
    let by_inode = || {
        let own = holders.iter().filter(|(locked, _)| locked.inode == file.inode).map(|(_, pid)| *pid);
        own.into_iter().find(|pid| line.as_ref().is_some_and(|line| line.pid == *pid))
    };
    let Some(pid) = holders.get(&file).copied().or_else(by_inode) else { return Ok(LockState::Free) };
    Ok(LockState::Held { pid, holder: line.filter(|line| line.pid == pid) })
}

fn open(path: &Path) -> std::io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::super::lock::{Claim, Lock};
    use super::*;

    fn look(path: &Path) -> LockState {
        look_at_lock(path, &Proc::default()).unwrap()
    }

    #[test]
    fn a_lock_is_seen_and_neither_taken_nor_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.lock");
        assert_eq!(look(&path), LockState::Free);
        assert!(!path.exists());
        let now = DateTime::from_timestamp(1_795_168_923, 0).unwrap();
        let claim = Claim { program: "session-sweep prune", now };
        let lock = Lock::acquire(&path, claim, None, &mut |_| {}).unwrap();
        let LockState::Held { pid, holder: Some(holder) } = look(&path) else { panic!("held") };
        assert_eq!((pid, holder.pid, holder.since), (std::process::id(), std::process::id(), now));
        drop(lock);
        assert_eq!(look(&path), LockState::Free);
    }

    #[test]
    fn the_line_of_a_killed_run_holds_nothing_and_a_lock_without_a_line_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.lock");
        let own = format!("{} 2026-11-20T10:02:03Z session-sweep prune\n", std::process::id());
        fs_err::write(&path, own).unwrap();
        assert_eq!(look(&path), LockState::Free);
        let file = File::open(&path).unwrap();
        fs_err::write(&path, "1 2026-11-20T10:02:03Z session-sweep prune\n").unwrap();
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        // Somebody else's line says nothing about this holder.
        assert_eq!(look(&path), LockState::Held { pid: std::process::id(), holder: None });
    }

    #[test]
    fn what_is_no_lock_and_a_proc_that_is_not_there_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        assert!(look_at_lock(folder.path(), &Proc::default()).is_err());
        let path = folder.path().join("map.lock");
        fs_err::write(&path, "").unwrap();
        assert!(look_at_lock(&path, &Proc::new("/nonexistent")).is_err());
    }
}

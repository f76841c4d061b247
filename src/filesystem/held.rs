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
    let (device, inode) = (metadata.dev(), metadata.ino());
    let by_stat = FileOnDevice { major: rustix::fs::major(device), minor: rustix::fs::minor(device), inode };
    // On btrfs and overlay the kernel's list names the device of the mount, which is another one than the file's own.
    let by_mount = proc.device_of_mount(path).map(|(major, minor)| FileOnDevice { major, minor, inode });
    // The line is the owner's to read; the lock is everybody's to see.
    let line = open(path).ok().and_then(|file| holder(&file));
    let pid = [by_mount, Some(by_stat)].into_iter().flatten().find_map(|file| holders.get(&file).copied());
    if let Some(pid) = pid {
        return Ok(LockState::Held { pid, holder: line.filter(|line| line.pid == pid) });
    }
    // Where the device is not certain, a lock on a file of the same number may be this one.
    if by_mount != Some(by_stat) && holders.keys().any(|locked| locked.inode == inode) {
        let cause = std::io::Error::other("the file system's own number is not known");
        return Err(FileError::io(path, "find who holds")(cause));
    }
    Ok(LockState::Free)
}

fn open(path: &Path) -> std::io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::super::lock::{Lock, LockPolicy};
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
        let policy = LockPolicy { wait: None, program: "session-sweep prune", now, on_wait: |_| {}, in_an_item: false };
        let lock = Lock::take(&path, policy).unwrap();
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
    fn on_overlay_the_mounts_device_counts_and_not_knowing_it_is_not_free() {
        let folder = tempfile::tempdir().unwrap();
        let (path, proc) = (folder.path().join("map.lock"), folder.path().join("proc"));
        fs_err::write(&path, "").unwrap();
        fs_err::create_dir_all(proc.join("self")).unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        fs_err::write(proc.join("locks"), format!("1: FLOCK  ADVISORY  WRITE 4711 ff:fe:{inode} 0 EOF\n")).unwrap();
        let look = || look_at_lock(&path, &Proc::new(&proc)).map_err(|error| error.to_string());
        let unknown = look().unwrap_err();
        assert!(unknown.contains("map.lock") && unknown.contains("find who holds"), "{unknown}");
        let own = fs_err::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = |device: &str| {
            let line = |line: &str| {
                let mut fields: Vec<&str> = line.split(' ').collect();
                fields[2] = device;
                fields.join(" ") + "\n"
            };
            fs_err::write(proc.join("self/mountinfo"), own.lines().map(line).collect::<String>()).unwrap();
        };
        mounts("255:254");
        assert_eq!(look().unwrap(), LockState::Held { pid: 4711, holder: None });
        // There it is certain that the other file is another one.
        let device = std::fs::metadata(&path).unwrap().dev();
        mounts(&format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)));
        assert_eq!(look().unwrap(), LockState::Free);
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

//! A shared file as it was at one moment: its bytes, its inode held open, and what a replacement has to preserve.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, open, openat, statat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::trust::{Folder, objection};

/// How long an open waits for another run of ours (or any program) that holds a lease on the file.
const OPEN_PATIENCE: Duration = Duration::from_secs(5);
/// How often a name that changes between two looks is looked at again.
const LOOKS: usize = 100;
const CHUNK: usize = 128 * 1024;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// There is no such file.
    #[error("{} does not exist; check the path", path.display())]
    Missing { path: PathBuf },
    /// The path names something that is no regular file.
    #[error("{} is a {what}, not a file; name the file itself", path.display())]
    NotAFile { path: PathBuf, what: &'static str },
    /// The file is larger than we are willing to read.
    #[error("{} has {len} bytes, the limit is {max}; look whether this is the right file", path.display())]
    TooLarge { path: PathBuf, len: u64, max: u64 },
    /// Another user could exchange the file.
    #[error("{} is not touched: {why}; move it to a folder that only its owner may write", path.display())]
    Unsafe { path: PathBuf, why: &'static str },
    /// Anything else.
    #[error("cannot {action} {}: {cause}", path.display())]
    Io { path: PathBuf, action: &'static str, cause: io::Error },
}

/// A file's device and inode number: the same as long as somebody holds it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    dev: u64,
    ino: u64,
}

impl From<&Stat> for FileId {
    #[allow(clippy::unnecessary_cast, reason = "the fields' types differ between targets")]
    fn from(stat: &Stat) -> Self {
        Self { dev: stat.st_dev as u64, ino: stat.st_ino as u64 }
    }
}

/// A regular file that was opened, examined and read once.
///
/// It keeps the file open: a second snapshot of the same file, in this process too, keeps the first from being replaced
/// at once (see [`super::replace`]), so drop it before.
#[derive(Debug)]
pub(crate) struct Snapshot {
    real: PathBuf,
    folder: OwnedFd,
    name: OsString,
    file: File,
    stat: Stat,
    bytes: Arc<Vec<u8>>,
}

impl Snapshot {
    /// Reads the file that `path` names, through symlinks, if it is a regular file of at most `max_bytes` that no other
    /// user can exchange.
    pub(crate) fn open(path: &Path, max_bytes: u64) -> Result<Self, SnapshotError> {
        let failed = |action, cause: io::Error| SnapshotError::Io { path: path.to_owned(), action, cause };
        let missing = || SnapshotError::Missing { path: path.to_owned() };
        let unsafe_file = |why| SnapshotError::Unsafe { path: path.to_owned(), why };

        if let Some(why) = objection_to_link(path).map_err(|error| failed("examine", error))? {
            return Err(unsafe_file(why));
        }
        let deadline = Instant::now() + OPEN_PATIENCE;
        let mut looks = 0;
        let (real, folder, name, fd) = loop {
            let real = match path.canonicalize() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
                other => other.map_err(|error| failed("find", error))?,
            };
            let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
                return Err(SnapshotError::NotAFile { path: path.to_owned(), what: "folder" });
            };
            let folder = open(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|error| failed("open the folder of", error.into()))?;
            // Looking before opening: to open a device can be an act.
            match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => return Err(missing()),
                Err(error) => return Err(failed("examine", error.into())),
                Ok(stat) => match kind(&stat) {
                    None => {}
                    Some("symlink") if looks < LOOKS => {
                        looks += 1;
                        continue;
                    }
                    Some(what) => return Err(SnapshotError::NotAFile { path: path.to_owned(), what }),
                },
            }
            // NONBLOCK: if it became a FIFO since, opening it must not wait for a writer.
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
            match openat(&folder, name, flags, Mode::empty()) {
                Ok(fd) => {
                    let name = name.to_owned();
                    break (real, folder, name, fd);
                }
                Err(Errno::NOENT) => return Err(missing()),
                Err(Errno::LOOP) if looks < LOOKS => looks += 1,
                // Somebody holds a lease, for a millisecond when it is us.
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_micros(200));
                }
                Err(error) => return Err(failed("open", error.into())),
            }
        };

        let stat = fstat(&fd).map_err(|error| failed("examine", error.into()))?;
        if let Some(what) = kind(&stat) {
            return Err(SnapshotError::NotAFile { path: path.to_owned(), what });
        }
        let holder = fstat(&folder).map_err(|error| failed("examine the folder of", error.into()))?;
        if let Some(why) = objection(Folder::from(&holder), stat.st_uid, geteuid().as_raw()) {
            return Err(unsafe_file(why));
        }
        let len = u64::try_from(stat.st_size).unwrap_or(0);
        let too_large = |len| SnapshotError::TooLarge { path: path.to_owned(), len, max: max_bytes };
        if len > max_bytes {
            return Err(too_large(len));
        }
        let file = File::from(fd);
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0) + 1);
        // The file may grow while it is read; the limit holds all the same.
        (&file).take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| failed("read", error))?;
        if bytes.len() as u64 > max_bytes {
            return Err(too_large(bytes.len() as u64));
        }
        Ok(Self { real, folder, name, file, stat, bytes: Arc::new(bytes) })
    }

    /// The content that was read.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The content that was read, to outlive the snapshot: whoever holds only this does not hold the file open.
    pub(crate) fn shared_bytes(&self) -> Arc<Vec<u8>> {
        Arc::clone(&self.bytes)
    }

    /// The file itself, behind all symlinks: what a replacement replaces.
    pub(crate) fn real_path(&self) -> &Path {
        &self.real
    }

    /// Whether the path still names this file, with this size, time of change, mode and owner. Cheap; a rewrite within
    /// the clock's grain escapes it, [`Self::has_same_bytes`] decides.
    pub(crate) fn looks_unchanged(&self) -> bool {
        let Ok(now) = statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
        let facts =
            |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_mode, stat.st_uid, stat.st_gid);
        FileId::from(&now) == self.id() && facts(&now) == facts(&self.stat)
    }

    /// Whether the file that was read (wherever its name is now) still holds what was read.
    pub(super) fn has_same_bytes(&self) -> io::Result<bool> {
        let mut buffer = vec![0; CHUNK.min(self.bytes.len() + 1)];
        let mut at = 0;
        loop {
            let got = match self.file.read_at(&mut buffer, at as u64) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                got => got?,
            };
            if got == 0 {
                return Ok(at == self.bytes.len());
            }
            if self.bytes.get(at..at + got) != buffer.get(..got) {
                return Ok(false);
            }
            at += got;
        }
    }

    pub(super) fn id(&self) -> FileId {
        FileId::from(&self.stat)
    }

    pub(super) fn stat(&self) -> &Stat {
        &self.stat
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }
}

/// What the thing is if it is no regular file.
fn kind(stat: &Stat) -> Option<&'static str> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => None,
        FileType::Directory => Some("folder"),
        FileType::Fifo => Some("FIFO"),
        FileType::Socket => Some("socket"),
        FileType::Symlink => Some("symlink"),
        _ => Some("device"),
    }
}

/// The rule of [`objection`] for `path` itself when it is a symlink: who can exchange the link chooses the file.
fn objection_to_link(path: &Path) -> io::Result<Option<&'static str>> {
    let link = match rustix::fs::lstat(path) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => stat,
        Err(error) if error != Errno::NOENT => return Err(error.into()),
        _ => return Ok(None),
    };
    let folder = rustix::fs::stat(folder_of(path))?;
    Ok(objection(Folder::from(&folder), link.st_uid, geteuid().as_raw()))
}

/// The folder part of `path`, `.` for a bare name.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use rustix::fs::{CWD, FileType, mknodat};

    use super::{Snapshot, SnapshotError};

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map");
        fs_err::File::create(&path).and_then(|mut file| std::io::Write::write_all(&mut file, b"12345")).unwrap();
        (folder, path)
    }

    fn refusal(path: &Path) -> SnapshotError {
        Snapshot::open(path, 100).unwrap_err()
    }

    #[test]
    fn a_file_is_read_and_known_by_both_paths() {
        let (folder, path) = place();
        let link = folder.path().join("link");
        fs_err::os::unix::fs::symlink("map", &link).unwrap();
        let snapshot = Snapshot::open(&link, 5).unwrap();
        assert_eq!(snapshot.bytes(), b"12345");
        assert_eq!(snapshot.real_path(), path.canonicalize().unwrap());
        assert!(snapshot.looks_unchanged() && snapshot.has_same_bytes().unwrap());
    }

    #[test]
    fn what_is_no_file_is_named_for_what_it_is() {
        let (folder, _path) = place();
        let at = |name: &str| folder.path().join(name);
        mknodat(CWD, at("fifo"), FileType::Fifo, 0o600.into(), 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let device = PathBuf::from("/dev/null");
        for (path, what) in
            [(folder.path().to_owned(), "folder"), (at("fifo"), "FIFO"), (at("socket"), "socket"), (device, "device")]
        {
            let message = refusal(&path).to_string();
            assert!(message.contains(&format!("is a {what}, not a file")), "{message}");
        }
    }

    #[test]
    fn missing_and_dangling_and_circular_paths_are_told_apart_from_failures() {
        let (folder, path) = place();
        let at = |name: &str| folder.path().join(name);
        fs_err::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
        fs_err::os::unix::fs::symlink("circle", at("circle")).unwrap();
        assert!(matches!(refusal(&at("missing")), SnapshotError::Missing { .. }));
        assert!(matches!(refusal(&at("no/folder")), SnapshotError::Missing { .. }));
        assert!(matches!(refusal(&at("dangling")), SnapshotError::Missing { .. }));
        assert!(matches!(refusal(&at("circle")), SnapshotError::Io { .. }));
        assert!(matches!(refusal(&path.join("below")), SnapshotError::Io { .. }));
    }

    #[test]
    fn the_limit_holds() {
        let (_folder, path) = place();
        assert!(Snapshot::open(&path, 5).is_ok());
        assert!(matches!(Snapshot::open(&path, 4), Err(SnapshotError::TooLarge { len: 5, max: 4, .. })));
        // A file whose size says nothing.
        assert!(matches!(Snapshot::open(Path::new("/proc/self/maps"), 4), Err(SnapshotError::TooLarge { .. })));
    }

    #[test]
    fn files_and_links_that_another_user_can_exchange_are_refused() {
        use std::os::unix::fs::{PermissionsExt, chown, lchown};
        if !rustix::process::geteuid().is_root() {
            return; // Only root can set the scene.
        }
        let (folder, path) = place();
        let (everybodys, _) = place();
        let open_folder = everybodys.path();
        fs_err::set_permissions(open_folder, PermissionsExt::from_mode(0o1777)).unwrap();
        chown(open_folder.join("map"), Some(1234), None).unwrap();
        assert!(matches!(refusal(&open_folder.join("map")), SnapshotError::Unsafe { .. }));
        let link = open_folder.join("link");
        fs_err::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(Snapshot::open(&link, 100).is_ok());
        lchown(&link, Some(1234), None).unwrap();
        assert!(matches!(refusal(&link), SnapshotError::Unsafe { .. }));
        chown(&path, Some(1234), None).unwrap();
        assert!(Snapshot::open(&path, 100).is_ok(), "root edits a user's file in {}", folder.path().display());
    }

    #[test]
    fn an_open_waits_for_the_end_of_a_lease() {
        use super::super::lease::{Kind, Lease};
        let (_folder, path) = place();
        let ours = std::fs::File::open(&path).unwrap();
        let lease = Lease::take(&ours, Kind::Write).unwrap();
        std::thread::scope(|threads| {
            let opener = threads.spawn(|| Snapshot::open(&path, 100).map(drop));
            while !lease.somebody_waits() {
                std::thread::yield_now();
            }
            drop(lease);
            opener.join().unwrap().unwrap();
        });
    }
}

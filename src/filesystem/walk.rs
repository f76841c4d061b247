//! Reading folders and file times with as few system calls as the kernel allows.

use std::ffi::{CStr, CString};
use std::io::Read as _;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use chrono::{DateTime, Utc};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, StatxFlags};
use rustix::io::{Errno, Result};

/// Large enough that most folders need one call; larger costs more in page faults than it saves.
const LISTING_BUFFER: usize = 256 * 1024;

/// A buffer for listings, reused from folder to folder.
pub(crate) struct Lister {
    buffer: Vec<MaybeUninit<u8>>,
}

/// A file's time of last change and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileTimes {
    pub(crate) modified: DateTime<Utc>,
    pub(crate) is_file: bool,
}

/// What tells whether a file was changed: seen again with another one, it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileStamp {
    /// Time of last change of its content, nanoseconds since 1970; programs can set it.
    pub(crate) modified: i64,
    /// Time of last change of anything about it, which no program can set.
    pub(crate) changed: i64,
    inode: u64,
    pub(crate) size: u64,
}

/// Asks a network file system itself, not what this machine remembers of it: what is to be removed may have been changed
/// from elsewhere.
const SYNCED: AtFlags = AtFlags::STATX_FORCE_SYNC;
/// Takes what this machine remembers: for walks, which look at much and remove nothing.
const CACHED: AtFlags = AtFlags::STATX_DONT_SYNC;

/// A regular file's stamp, links not followed; nothing for anything else.
pub(crate) fn file_stamp(at: BorrowedFd<'_>, name: &CStr) -> Result<Option<FileStamp>> {
    stamp(at, name, AtFlags::SYMLINK_NOFOLLOW | SYNCED)
}

/// The same in a walk: look at it again with [`file_stamp`] before it is removed.
pub(crate) fn cached_stamp(at: BorrowedFd<'_>, name: &CStr) -> Result<Option<FileStamp>> {
    stamp(at, name, AtFlags::SYMLINK_NOFOLLOW | CACHED)
}

/// The stamp of an open regular file; nothing for anything else.
pub(super) fn open_file_stamp(file: BorrowedFd<'_>) -> Result<Option<FileStamp>> {
    stamp(file, c"", AtFlags::EMPTY_PATH)
}

fn stamp(at: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> Result<Option<FileStamp>> {
    let wanted = StatxFlags::MTIME | StatxFlags::CTIME | StatxFlags::TYPE | StatxFlags::INO | StatxFlags::SIZE;
    let stat = rustix::fs::statx(at, name, flags, wanted)?;
    let is_file = FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::RegularFile;
    Ok(is_file.then(|| FileStamp {
        modified: nanoseconds(stat.stx_mtime),
        changed: nanoseconds(stat.stx_ctime),
        inode: stat.stx_ino,
        size: stat.stx_size,
    }))
}

/// What is known of a file or folder without opening it; of a link, that it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) stamp: FileStamp,
    pub(crate) kind: FileType,
    /// Bytes that it takes on its disk.
    pub(crate) disk: u64,
    /// How many names it has.
    pub(crate) links: u32,
    /// Its file system.
    pub(crate) device: u64,
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    pub(crate) group: u32,
}

impl Seen {
    /// What tells it from every other file of the machine.
    pub(crate) const fn identity(&self) -> (u64, u64) {
        (self.device, self.stamp.inode)
    }
}

/// Looks at `name` in a walk, links not followed.
pub(crate) fn look(at: BorrowedFd<'_>, name: &CStr) -> Result<Seen> {
    seen(at, name, CACHED).map(|(seen, _)| seen)
}

/// The same before it is removed, with when it was read last, nanoseconds since 1970.
pub(crate) fn look_closely(at: BorrowedFd<'_>, name: &CStr) -> Result<(Seen, i64)> {
    seen(at, name, SYNCED)
}

fn seen(at: BorrowedFd<'_>, name: &CStr, from: AtFlags) -> Result<(Seen, i64)> {
    let stat = rustix::fs::statx(at, name, AtFlags::SYMLINK_NOFOLLOW | from, StatxFlags::BASIC_STATS)?;
    let mode = u32::from(stat.stx_mode);
    let seen = Seen {
        stamp: FileStamp {
            modified: nanoseconds(stat.stx_mtime),
            changed: nanoseconds(stat.stx_ctime),
            inode: stat.stx_ino,
            size: stat.stx_size,
        },
        kind: FileType::from_raw_mode(mode),
        disk: stat.stx_blocks.saturating_mul(512),
        links: stat.stx_nlink,
        device: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
        mode: mode & 0o7777,
        owner: stat.stx_uid,
        group: stat.stx_gid,
    };
    Ok((seen, nanoseconds(stat.stx_atime)))
}

/// Opens the folder that `path` leads to from `at`, component by component; nothing where one of them is a link, or no
/// folder, or not there.
pub(crate) fn open_folder_without_links(at: BorrowedFd<'_>, path: &std::path::Path) -> Result<Option<OwnedFd>> {
    let mut folder = rustix::io::fcntl_dupfd_cloexec(at, 0)?;
    for component in path.components() {
        let std::path::Component::Normal(name) = component else { return Ok(None) };
        match open_real_folder(folder.as_fd(), name)? {
            Some(next) => folder = next,
            None => return Ok(None),
        }
    }
    Ok(Some(folder))
}

/// The folder that holds what `path` names below `at`, reached without a link, and the name in it; nothing where there is none.
pub(crate) fn open_place(at: BorrowedFd<'_>, path: &std::path::Path) -> Result<Option<(OwnedFd, CString)>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let Ok(name) = CString::new(name.as_encoded_bytes()) else { return Ok(None) };
    Ok(open_folder_without_links(at, parent)?.map(|folder| (folder, name)))
}

fn nanoseconds(time: rustix::fs::StatxTimestamp) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(i64::from(time.tv_nsec))
}

/// All of a regular file of at most `most` bytes, links not followed.
pub(crate) fn read_file(at: BorrowedFd<'_>, name: &CStr, most: u64) -> std::io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::openat(at, name, flags, Mode::empty())?);
    let mut bytes = Vec::with_capacity(512);
    std::io::Read::take(&file, most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(std::io::Error::other("it is too large")) } else { Ok(bytes) }
}

impl Lister {
    pub(crate) fn new() -> Self {
        Self { buffer: Vec::new() }
    }

    /// Calls `visit` with name and type of every entry but `.` and `..`, in the file system's order.
    pub(crate) fn list(&mut self, folder: BorrowedFd<'_>, mut visit: impl FnMut(&CStr, FileType)) -> Result<()> {
        crate::interrupt::mark();
        if self.buffer.is_empty() {
            self.buffer.resize(LISTING_BUFFER, MaybeUninit::uninit());
        }
        let mut entries = RawDir::new(folder, &mut self.buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                visit(name, entry.file_type());
            }
        }
        Ok(())
    }
}

/// Opens a folder for listing, links followed.
pub(crate) fn open_folder(at: BorrowedFd<'_>, path: impl rustix::path::Arg) -> Result<OwnedFd> {
    rustix::fs::openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Opens a folder for listing; nothing where there is none of that name. A link is none.
pub(crate) fn open_real_folder(at: BorrowedFd<'_>, path: impl rustix::path::Arg) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(at, path, flags, Mode::empty()) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a folder by its whole path.
pub(crate) fn open_folder_path(path: &std::path::Path) -> Result<OwnedFd> {
    open_folder(CWD.as_fd(), path)
}

/// Time and type of a file, links followed; from the cache of a network file system where it has one.
pub(crate) fn file_times(at: BorrowedFd<'_>, path: impl rustix::path::Arg) -> Result<FileTimes> {
    let flags = AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(at, path, flags, StatxFlags::MTIME | StatxFlags::TYPE)?;
    let modified = DateTime::from_timestamp(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec).ok_or(Errno::OVERFLOW)?;
    let is_file = FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::RegularFile;
    Ok(FileTimes { modified, is_file })
}

/// When a file came to or went from a folder last, nanoseconds since 1970.
pub(crate) fn folder_change(folder: BorrowedFd<'_>) -> Result<i64> {
    let stat = rustix::fs::statx(folder, c"", AtFlags::EMPTY_PATH, StatxFlags::CTIME)?;
    Ok(nanoseconds(stat.stx_ctime))
}

/// A folder's own size in bytes, which grows with the number of its entries.
pub(crate) fn folder_size(folder: BorrowedFd<'_>) -> Result<u64> {
    Ok(rustix::fs::fstat(folder)?.st_size.unsigned_abs())
}

/// Whether a file or folder is there and has no size, not even that of an empty folder.
pub(crate) fn has_no_size(path: &std::path::Path) -> bool {
    rustix::fs::statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::SIZE).is_ok_and(|stat| stat.stx_size == 0)
}

/// Whether `name`, which may be a link, leads to a folder, or to where nobody can tell.
pub(crate) fn may_be_folder(at: BorrowedFd<'_>, name: &CStr) -> bool {
    match rustix::fs::statx(at, name, AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE) {
        Ok(found) => FileType::from_raw_mode(u32::from(found.stx_mode)) == FileType::Directory,
        Err(error) => !means_absent(error),
    }
}

/// Whether an error means that there is nothing there (as opposed to: it could not be looked at).
pub(crate) fn means_absent(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_folder_is_reached_without_links_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("a/b")).unwrap();
        fs_err::os::unix::fs::symlink("a", root.path().join("link")).unwrap();
        fs_err::os::unix::fs::symlink("b", root.path().join("a/link")).unwrap();
        fs_err::write(root.path().join("file"), "").unwrap();
        let at = open_folder_path(root.path()).unwrap();
        let leads = |path: &str| open_folder_without_links(at.as_fd(), Path::new(path)).unwrap().is_some();
        assert!(leads("") && leads("a") && leads("a/b"));
        assert!(!["link", "link/b", "a/link", "file", "none", "..", "a/..", "/"].into_iter().any(leads));
    }

    #[test]
    fn what_is_seen_tells_a_file_from_its_names() {
        let root = tempfile::tempdir().unwrap();
        let one = root.path().join("one");
        fs_err::write(&one, "12345").unwrap();
        fs_err::hard_link(&one, root.path().join("two")).unwrap();
        fs_err::os::unix::fs::symlink("one", root.path().join("link")).unwrap();
        let at = open_folder_path(root.path()).unwrap();
        let (one, two) = (look(at.as_fd(), c"one").unwrap(), look(at.as_fd(), c"two").unwrap());
        assert_eq!((one.identity(), one.links, one.stamp.size), (two.identity(), 2, 5));
        assert_eq!(look(at.as_fd(), c"link").unwrap().kind, FileType::Symlink);
        assert_eq!(look(at.as_fd(), c"none"), Err(Errno::NOENT));
    }
}

//! The file beside a file that is to take its place, and what dead runs left of such files.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags};
use rustix::fs::{fchmod, fchown, fgetxattr, flistxattr, fremovexattr, fsetxattr, fstat, open, openat, statat};
use rustix::io::Errno;
use rustix::process::{Pid, geteuid, test_kill_process};

use super::error::{FileError, ReplaceError};
use super::names::remove_if;
use super::snapshot::FileId;

const MARK: &[u8] = b".session-sweep-";
const ENDING: &[u8] = b".tmp";
const ACCESS_LIST: &str = "system.posix_acl_access";
/// The largest attribute value, and the largest list of names, that Linux allows.
const XATTR_MAX: usize = 64 * 1024;

/// A file under a name that says whose it is. The name goes when this is dropped, if it still stands for a file that
/// is ours to remove.
#[derive(Debug)]
pub(super) struct Temporary {
    folder: OwnedFd,
    name: OsString,
    path: PathBuf,
    file: File,
    id: FileId,
    /// The file to remove at the end: this one, later the one whose place it took; none while that is in doubt.
    disposable: Cell<Option<FileId>>,
}

impl Temporary {
    /// Creates an empty file for `target` in `folder` (whose path is `folder_path`), readable for its owner alone.
    ///
    /// One run at a time does this for one target, so a file that has this name already is a dead run's.
    pub(super) fn create(folder: BorrowedFd<'_>, folder_path: &Path, target: &OsStr) -> io::Result<Self> {
        let name = name(target, std::process::id());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = match openat(folder, &name, flags, mode) {
            Err(Errno::EXIST) => {
                remove_leftover(folder, target, &name)?;
                openat(folder, &name, flags, mode)?
            }
            done => done?,
        };
        let id = FileId::from(&fstat(&fd)?);
        let path = folder_path.join(&name);
        let folder = folder.try_clone_to_owned()?;
        Ok(Self { folder, name, path, file: File::from(fd), id, disposable: Cell::new(Some(id)) })
    }

    /// Writes the parts one after another.
    pub(super) fn write(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut writer = BufWriter::with_capacity(64 * 1024, &self.file);
        for part in parts {
            writer.write_all(part)?;
        }
        writer.flush()
    }

    /// Gives it the owner, the attributes (access lists among them) and the mode of another file.
    pub(super) fn resemble(&self, original: &File, stat: &Stat, path: &Path) -> Result<(), ReplaceError> {
        let ours = fstat(&self.file).map_err(ReplaceError::io(&self.path, "examine"))?;
        if (ours.st_uid, ours.st_gid) != (stat.st_uid, stat.st_gid) {
            let (uid, gid) = (stat.st_uid, stat.st_gid);
            fchown(&self.file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .map_err(|error| ReplaceError::Owner { path: path.to_owned(), uid, gid, cause: error.into() })?;
        }
        copy_attributes(original, &self.file);
        // After the owner, whose change clears bits, and after the access list, which is part of the mode.
        self.set_mode(stat.st_mode & 0o7777).map_err(ReplaceError::io(&self.path, "set the mode of"))
    }

    /// Sets the permission bits.
    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(fchmod(&self.file, Mode::from_raw_mode(mode))?)
    }

    /// Gives it another file's content in place of its own.
    #[expect(clippy::disallowed_methods, reason = "a temporary file is ours alone")]
    pub(super) fn become_copy(&self, mut original: File) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        io::copy(&mut original, &mut file)?;
        Ok(())
    }

    /// Says what the name stands for now, or that it is in doubt: what is removed at the end.
    pub(super) fn set_disposable(&self, id: Option<FileId>) {
        self.disposable.set(id);
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn id(&self) -> FileId {
        self.id
    }

    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let Some(id) = self.disposable.get() else { return };
        if let Err(error) = remove_if(&self.folder, &self.name, id) {
            log::debug!("{} stays until the next run: {error}", self.path.display());
        }
    }
}

/// Removes what runs that were killed left beside any of `filenames` in `folder`; says how many. To be called under the
/// lock.
///
/// Nothing is removed while the file itself is missing: then a leftover may be the only copy.
pub(crate) fn remove_leftovers(folder: &Path, filenames: &[&OsStr]) -> Result<usize, FileError> {
    let (fd, leftovers) = leftovers(folder, filenames)?;
    let mut removed = 0;
    for (target, name) in leftovers {
        let done = remove_leftover(fd.as_fd(), target, &name);
        removed += usize::from(done.map_err(FileError::io(folder, "remove a leftover in"))?);
    }
    Ok(removed)
}

/// Removes what runs that were killed left under any of `names` in `folder`, which are no files' own names. To be called
/// under the lock.
pub(crate) fn discard_leftovers(folder: &Path, names: &[&OsStr]) -> Result<usize, FileError> {
    let (fd, leftovers) = leftovers(folder, names)?;
    let mut removed = 0;
    for (_, name) in leftovers {
        let done = remove_own(fd.as_fd(), &name);
        removed += usize::from(done.map_err(FileError::io(folder, "remove a leftover in"))?);
    }
    Ok(removed)
}

/// The same in a folder that is open for listing.
pub(super) fn discard_leftovers_in(folder: &OwnedFd, names: &[&OsStr]) -> io::Result<usize> {
    let mut removed = 0;
    for (_, name) in leftovers_in(folder, names)? {
        removed += usize::from(remove_own(folder.as_fd(), &name)?);
    }
    Ok(removed)
}

/// Whether runs that were killed left something beside any of `filenames` in `folder`.
pub(crate) fn has_leftovers(folder: &Path, filenames: &[&OsStr]) -> Result<bool, FileError> {
    Ok(!leftovers(folder, filenames)?.1.is_empty())
}

/// A temporary file of a dead run, and the file that it was for.
type Leftover<'f> = (&'f OsStr, OsString);

/// What dead runs left in a folder, which is open now.
fn leftovers<'f>(folder: &Path, filenames: &[&'f OsStr]) -> Result<(OwnedFd, Vec<Leftover<'f>>), FileError> {
    let failed = |error: Errno| FileError::io(folder, "look for leftovers in")(error);
    let fd = open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    let found = leftovers_in(&fd, filenames).map_err(failed)?;
    Ok((fd, found))
}

fn leftovers_in<'f>(folder: &OwnedFd, filenames: &[&'f OsStr]) -> rustix::io::Result<Vec<Leftover<'f>>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        let target = filenames.iter().find_map(|target| Some((*target, pid_in(name, target)?)));
        match target {
            Some((_, pid)) if is_alive(pid) => {
                log::debug!("{} belongs to the living process {pid}", name.display());
            }
            Some((target, _)) => found.push((target, name.to_owned())),
            None => {}
        }
    }
    Ok(found)
}

/// Removes one leftover if it is a file of ours and its target is there.
fn remove_leftover(folder: BorrowedFd<'_>, target: &OsStr, name: &OsStr) -> io::Result<bool> {
    match statat(folder, target, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => {}
        Err(Errno::NOENT) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    remove_own(folder, name)
}

/// Removes a regular file of ours.
fn remove_own(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<bool> {
    let stat = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let us = geteuid();
    let ours = us.is_root() || stat.st_uid == us.as_raw();
    if !ours || FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(false);
    }
    Ok(remove_if(folder, name, FileId::from(&stat))?)
}

/// The temporary file's name for `target` in the process `pid`.
fn name(target: &OsStr, pid: u32) -> OsString {
    let mut name = vec![b'.'];
    name.extend_from_slice(target.as_bytes());
    name.extend_from_slice(MARK);
    name.extend_from_slice(pid.to_string().as_bytes());
    name.extend_from_slice(ENDING);
    OsString::from_vec(name)
}

/// The process in a temporary file's name, if it is one for `target`.
fn pid_in(name: &OsStr, target: &OsStr) -> Option<u32> {
    let rest = name.as_bytes().strip_prefix(b".")?.strip_prefix(target.as_bytes())?.strip_prefix(MARK)?;
    let digits = rest.strip_suffix(ENDING)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok().filter(|pid| *pid > 0)
}

/// Whether `pid` is another process that runs this program. Our own number in a name is a dead process's that had it
/// before: the lock is ours.
fn is_alive(pid: u32) -> bool {
    let program = |pid: &str| std::fs::read(format!("/proc/{pid}/comm")).ok();
    if pid == std::process::id() || !process_exists(pid) {
        return false;
    }
    // Without /proc to tell whose the number is now, the file stays.
    program(&pid.to_string()).is_none_or(|name| Some(name) == program("self"))
}

/// Whether there is a process `pid`; in doubt there is.
pub(super) fn process_exists(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    test_kill_process(pid) != Err(Errno::SRCH)
}

/// Copies extended attributes as far as this user and this file system can.
fn copy_attributes(from: &File, to: &File) {
    let names_of = |file: &File| {
        let mut names = Vec::with_capacity(1024);
        let listed = match flistxattr(file, rustix::buffer::spare_capacity(&mut names)) {
            Err(Errno::RANGE) => {
                names.reserve(XATTR_MAX);
                flistxattr(file, rustix::buffer::spare_capacity(&mut names))
            }
            listed => listed,
        };
        listed.map(|_| names).unwrap_or_default()
    };
    let names = names_of(from);
    let each =
        |names: &[u8]| names.split(|byte| *byte == 0).map(<[u8]>::to_vec).filter(|name| !name.is_empty()).collect();
    let originals: Vec<Vec<u8>> = each(&names);
    // A folder's default list gives new files rights that the original does not grant.
    let inherited: Vec<Vec<u8>> = each(&names_of(to));
    if inherited.iter().any(|name| name == ACCESS_LIST.as_bytes())
        && !originals.iter().any(|name| name == ACCESS_LIST.as_bytes())
    {
        let _ = fremovexattr(to, ACCESS_LIST);
    }
    for name in originals {
        // These hold a checksum of the old content, which the kernel keeps itself.
        if name == b"security.ima" || name == b"security.evm" {
            continue;
        }
        let mut value = Vec::with_capacity(XATTR_MAX);
        let copied = fgetxattr(from, name.as_slice(), rustix::buffer::spare_capacity(&mut value))
            .and_then(|_| fsetxattr(to, name.as_slice(), &value, XattrFlags::empty()));
        if let Err(error) = copied {
            log::debug!("attribute {} is not kept: {error}", String::from_utf8_lossy(&name));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::fd::AsFd;

    use super::{Temporary, name, pid_in, remove_leftovers};

    /// A number that no process has: the kernel's limit is 2^22.
    const DEAD: u32 = 4_194_305;

    fn world(with_target: bool) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        if with_target {
            fs_err::File::create(folder.path().join("map")).unwrap();
        }
        folder
    }

    #[test]
    fn names_are_recognised_for_their_target_only() {
        let target = OsStr::new("map.json");
        assert_eq!(name(target, 12), ".map.json.session-sweep-12.tmp");
        assert_eq!(pid_in(&name(target, 12), target), Some(12));
        for other in [
            "map.json.session-sweep-12.tmp",
            ".map.json.session-sweep-.tmp",
            ".map.json.session-sweep-0.tmp",
            ".map.json.session-sweep-1x.tmp",
            ".map.json.session-sweep-1",
            ".other.session-sweep-1.tmp",
        ] {
            assert_eq!(pid_in(OsStr::new(other), target), None, "{other}");
        }
    }

    #[test]
    fn leftovers_of_dead_runs_are_removed_and_nothing_else() {
        let folder = world(true);
        let parent = std::os::unix::process::parent_id();
        let ours = std::process::id();
        let keep = [".map.session-sweep-x.tmp".into(), ".other.session-sweep-4194305.tmp".into(), "map".into()];
        let gone = [name(OsStr::new("map"), DEAD), name(OsStr::new("map"), ours), name(OsStr::new("map"), parent)];
        for file in keep.iter().chain(&gone) {
            fs_err::File::create(folder.path().join(file)).unwrap();
        }
        fs_err::create_dir(folder.path().join(name(OsStr::new("map"), DEAD + 1))).unwrap();
        assert_eq!(remove_leftovers(folder.path(), &[OsStr::new("map")]).unwrap(), gone.len());
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), keep.len() + 1);
    }

    #[test]
    fn leftover_of_a_living_run_stays() {
        let folder = world(true);
        // A thread's number answers like a process's, and it runs this program.
        let (ask, answer) = std::sync::mpsc::channel();
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let comm = fs_err::read_to_string("/proc/self/comm").unwrap();
            fs_err::OpenOptions::new()
                .write(true)
                .open("/proc/thread-self/comm")
                .and_then(|mut file| std::io::Write::write_all(&mut file, comm.trim_end().as_bytes()))
                .unwrap();
            let task = fs_err::read_link("/proc/thread-self").unwrap();
            ask.send(task.file_name().unwrap().to_str().unwrap().parse().unwrap()).unwrap();
            wait.recv().ok();
        });
        let pid: u32 = answer.recv().unwrap();
        fs_err::File::create(folder.path().join(name(OsStr::new("map"), pid))).unwrap();
        assert_eq!(remove_leftovers(folder.path(), &[OsStr::new("map")]).unwrap(), 0);
        drop(done);
        thread.join().unwrap();
    }

    #[test]
    fn leftovers_stay_while_the_file_itself_is_missing() {
        let folder = world(false);
        let only_copy = folder.path().join(name(OsStr::new("map"), DEAD));
        fs_err::File::create(&only_copy).unwrap();
        assert_eq!(remove_leftovers(folder.path(), &[OsStr::new("map")]).unwrap(), 0);
        assert!(only_copy.exists());
    }

    #[test]
    fn dropping_removes_our_file_and_never_another_under_its_name() {
        let folder = world(true);
        let fd = fs_err::File::open(folder.path()).unwrap();
        let make = || Temporary::create(fd.as_fd(), folder.path(), OsStr::new("map")).unwrap();
        let temporary = make();
        let path = temporary.path().to_owned();
        drop(temporary);
        assert!(!path.exists());

        let temporary = make();
        let other = folder.path().join("other");
        fs_err::File::create(&other).unwrap();
        super::super::names::rename_over(fd.as_fd(), other.file_name().unwrap(), temporary.name()).unwrap();
        drop(temporary);
        assert!(path.exists());
    }
}

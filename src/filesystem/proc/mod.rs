//! Reading /proc: which processes run, since when, and which files they lock or hold open.
//!
//! Everything stands below a root folder, so that tests can build their own. A process may end between any two reads:
//! "gone" is `Ok(None)`, and "not allowed to look" stays an error.

use std::cell::OnceCell;
use std::ffi::{CStr, OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use rustc_hash::FxHashMap;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use super::walk;

mod details;
mod stat;

pub(crate) use stat::{Name, Stat, terminal_name};

/// A proc filesystem.
#[derive(Debug, Clone)]
pub(crate) struct Proc {
    root: PathBuf,
    counts_open_files: OnceCell<bool>,
}

/// A process and where it belongs, from `/proc/<pid>/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// When it started, in clock ticks after boot (field 22).
    pub(crate) start_ticks: u64,
    /// Its parent, 0 for none (field 4).
    pub(crate) parent: u32,
    /// The leader of its session (field 6).
    pub(crate) session: u32,
    /// The device of its controlling terminal, 0 for none (field 7).
    pub(crate) terminal: u32,
}

/// A file on a device, as /proc/locks names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileOnDevice {
    /// Major number of the device.
    pub(crate) major: u32,
    /// Minor number of the device.
    pub(crate) minor: u32,
    /// Inode number.
    pub(crate) inode: u64,
}

impl Default for Proc {
    fn default() -> Self {
        Self::new("/proc")
    }
}

impl Proc {
    /// The proc filesystem at `root`.
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), counts_open_files: OnceCell::new() }
    }

    /// All process ids.
    pub(crate) fn pids(&self) -> io::Result<Vec<u32>> {
        let mut pids = Vec::new();
        for entry in fs_err::read_dir(&self.root)? {
            let name = entry?.file_name();
            if name.as_bytes().first().is_some_and(u8::is_ascii_digit) {
                pids.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
            }
        }
        Ok(pids)
    }

    /// When a process started, in clock ticks after boot; `None` when there is no such process, when it has ended and
    /// only its parent has not noticed yet, and for kernel threads.
    pub(crate) fn start_ticks(&self, pid: u32) -> io::Result<Option<u64>> {
        Ok(self.process(pid)?.map(|process| process.start_ticks))
    }

    /// A process and where it belongs; `None` as [`Self::start_ticks`] says.
    pub(crate) fn process(&self, pid: u32) -> io::Result<Option<Process>> {
        let Some(stat) = self.stat(pid)? else { return Ok(None) };
        let Stat { start_ticks, parent, session, terminal, .. } = stat;
        Ok(stat.runs().then_some(Process { pid, start_ticks, parent, session, terminal }))
    }

    /// All that the kernel says of a process in one line, also of one that has ended and was not reaped; `None` when
    /// there is no such process.
    pub(crate) fn stat(&self, pid: u32) -> io::Result<Option<Stat>> {
        let path = self.path_of(pid, "stat");
        let Some(text) = running(fs_err::read(&path))? else { return Ok(None) };
        Stat::parse(pid, &text).map(Some).ok_or_else(|| malformed(&path))
    }

    /// What a process's program is called, cut off after 15 bytes.
    pub(crate) fn program(&self, pid: u32) -> Option<String> {
        let name = fs_err::read_to_string(self.path_of(pid, "comm")).ok()?;
        Some(name.trim_end_matches('\n').to_owned())
    }

    /// Whether there is a process that this user may not see: one of another user, where /proc hides those.
    pub(crate) fn is_hidden(pid: u32) -> bool {
        let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return false };
        rustix::process::test_kill_process(pid) == Err(Errno::PERM)
    }

    /// A variable of the environment in which a process was started; `None` also where that cannot be seen.
    pub(crate) fn variable(&self, pid: u32, name: &str) -> Option<Vec<u8>> {
        let environment = fs_err::read(self.path_of(pid, "environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        variables.find_map(|text| text.strip_prefix(name.as_bytes())?.strip_prefix(b"=")).map(<[u8]>::to_vec)
    }

    /// When a process started, to within a second (that is how exact the kernel tells the time of boot).
    pub(crate) fn start_time(&self, pid: u32) -> io::Result<Option<DateTime<Utc>>> {
        let Some(ticks) = self.start_ticks(pid)? else { return Ok(None) };
        let boot = self.boot_time()?;
        let milliseconds = u128::from(ticks) * 1000 / u128::from(rustix::param::clock_ticks_per_second().max(1));
        let since_boot = i64::try_from(milliseconds).ok().and_then(TimeDelta::try_milliseconds);
        Ok(since_boot.and_then(|since_boot| boot.checked_add_signed(since_boot)))
    }

    /// When the machine started.
    pub(crate) fn boot_time(&self) -> io::Result<DateTime<Utc>> {
        let path = self.root.join("stat");
        let stat = fs_err::read_to_string(&path)?;
        let seconds = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).ok_or_else(|| malformed(&path))
    }

    /// The random id of this boot.
    pub(crate) fn boot_id(&self) -> io::Result<String> {
        fs_err::read_to_string(self.root.join("sys/kernel/random/boot_id")).map(|id| id.trim().to_owned())
    }

    /// How long this boot has lasted, sleep included (`CLOCK_BOOTTIME`).
    pub(crate) fn since_boot() -> std::time::Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        std::time::Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
    }

    /// The machine's name.
    pub(crate) fn host(&self) -> io::Result<String> {
        fs_err::read_to_string(self.root.join("sys/kernel/hostname")).map(|name| name.trim().to_owned())
    }

    /// The inode number of the pid namespace we live in.
    pub(crate) fn pid_namespace(&self) -> io::Result<u64> {
        let path = self.root.join("self/ns/pid");
        let target = fs_err::read_link(&path)?;
        namespace(&target).ok_or_else(|| malformed(&path))
    }

    /// Which process took each exclusive flock. A lock that was taken in a pid namespace we cannot see is not listed.
    pub(crate) fn flock_holders(&self) -> io::Result<FxHashMap<FileOnDevice, u32>> {
        let locks = fs_err::read_to_string(self.root.join("locks"))?;
        Ok(locks.lines().filter_map(flock_holder).collect())
    }

    /// Major and minor number of the device that is mounted where a file is: on btrfs and overlay `stat` tells another one.
    pub(crate) fn device_of_mount(&self, path: &Path) -> Option<(u32, u32)> {
        let statx = rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MNT_ID).ok()?;
        let id = (statx.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(statx.stx_mnt_id)?;
        let mounts = fs_err::read_to_string(self.root.join("self/mountinfo")).ok()?;
        // `36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw`
        let mut mounts = mounts.lines().map(|line| line.split(' '));
        let device = mounts.find_map(|mut fields| (fields.next()?.parse() == Ok(id)).then(|| fields.nth(1)))??;
        let (major, minor) = device.split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    }

    /// Shows `visit` each file that a process holds open; `None` when the process is gone.
    pub(crate) fn open_files(&self, pid: u32, mut visit: impl FnMut(&OpenFile<'_>)) -> io::Result<Option<()>> {
        let path = self.path_of(pid, "fd");
        // Linux 6.2 and later: the folder's size is the number of open files. Kernel threads have none.
        if self.counts_open_files() && walk::has_no_size(&path) {
            return Ok(Some(()));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from);
        let Some(folder) = running(folder)? else { return Ok(None) };
        let Some(mut entries) = running(Dir::new(folder).map_err(io::Error::from))? else { return Ok(None) };
        let mut buffer = Vec::with_capacity(256);
        while let Some(entry) = entries.read() {
            let Some(entry) = running(entry.map_err(io::Error::from))? else { return Ok(None) };
            let name = entry.file_name();
            if !name.to_bytes().first().is_some_and(u8::is_ascii_digit) {
                continue;
            }
            let folder = entries.fd()?;
            match rustix::fs::readlinkat(folder, name, std::mem::take(&mut buffer)) {
                Ok(target) => {
                    visit(&OpenFile { folder, name, target: target.to_bytes() });
                    buffer = target.into_bytes();
                }
                // What is denied for one file is denied for all files of the process.
                Err(Errno::ACCESS | Errno::PERM) => return Err(ErrorKind::PermissionDenied.into()),
                // Closed since. Anything else says no more about the other files than that.
                Err(_) => {}
            }
        }
        Ok(Some(()))
    }

    /// Whether the kernel tells the number of open files as the size of `/proc/<pid>/fd`; asked of this process, which
    /// has some.
    fn counts_open_files(&self) -> bool {
        *self.counts_open_files.get_or_init(|| !walk::has_no_size(&self.path_of(std::process::id(), "fd")))
    }

    fn path_of(&self, pid: u32, name: &str) -> PathBuf {
        let mut path = OsString::with_capacity(self.root.as_os_str().len() + 24);
        path.push(&self.root);
        path.push(format!("/{pid}/{name}"));
        path.into()
    }
}

/// A file that some process holds open.
#[derive(Debug)]
pub(crate) struct OpenFile<'f> {
    folder: BorrowedFd<'f>,
    name: &'f CStr,
    target: &'f [u8],
}

impl OpenFile<'_> {
    /// Its path, without the mark of a deleted file. Sockets and the like have a name that does not start with `/`.
    pub(crate) fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.target.strip_suffix(b" (deleted)").unwrap_or(self.target)))
    }

    /// Device and inode as `stat` tells them, of the very file, whatever its path is now.
    pub(crate) fn identity(&self) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::statat(self.folder, self.name, AtFlags::empty())?;
        Ok((stat.st_dev, stat.st_ino))
    }
}

/// The inode number in `pid:[4026531836]`.
fn namespace(target: &Path) -> Option<u64> {
    target.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

/// `1: FLOCK  ADVISORY  WRITE 4711 08:01:1835 0 EOF`; somebody who waits has `->` after the number.
fn flock_holder(line: &str) -> Option<(FileOnDevice, u32)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    if (fields.next(), fields.next(), fields.next()) != (Some("FLOCK"), Some("ADVISORY"), Some("WRITE")) {
        return None;
    }
    let pid = fields.next()?.parse().ok()?;
    let mut file = fields.next()?.split(':');
    let major = u32::from_str_radix(file.next()?, 16).ok()?;
    let minor = u32::from_str_radix(file.next()?, 16).ok()?;
    let inode = file.next()?.parse().ok()?;
    Some((FileOnDevice { major, minor, inode }, pid))
}

/// Tells a process that is gone from one that we may not look at.
fn running<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        // The folder was there when it was opened, its process ended before it was read.
        Err(error) if error.raw_os_error().or_else(|| source_error(&error)) == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The system's error number inside an error that also names the file.
fn source_error(error: &io::Error) -> Option<i32> {
    let source = std::error::Error::source(error.get_ref()?)?;
    source.downcast_ref::<io::Error>()?.raw_os_error()
}

fn malformed(path: &Path) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{} is not what the kernel writes", path.display()))
}

#[cfg(test)]
mod tests;

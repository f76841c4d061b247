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

/// `PF_KTHREAD` of the kernel's `include/linux/sched.h`: field 9 of `stat` has it for kernel threads.
const KERNEL_THREAD: u64 = 0x0020_0000;

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
        let Some(stat) = running(fs_err::read(self.path_of(pid, "stat")))? else { return Ok(None) };
        // The second field is the process's own name in parentheses: it may hold anything, also `) R 1 `.
        let rest = memchr::memrchr(b')', &stat).and_then(|end| std::str::from_utf8(&stat[end + 1..]).ok());
        let fields: Vec<&str> = rest.unwrap_or_default().split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok());
        let small = |field: usize| number(field).and_then(|number| u32::try_from(number).ok());
        let (Some(state), Some(flags), Some(start_ticks)) = (fields.first(), number(9), number(22)) else {
            return Err(malformed(&self.path_of(pid, "stat")));
        };
        let runs = !matches!(*state, "Z" | "X" | "x") && flags & KERNEL_THREAD == 0;
        Ok(runs.then_some(Process {
            pid,
            start_ticks,
            parent: small(4).unwrap_or_default(),
            session: small(6).unwrap_or_default(),
            // Without one it is 0; a device number above 2^31 is written as a negative one.
            terminal: fields.get(7 - 3).and_then(|text| text.parse::<i32>().ok()).unwrap_or_default().cast_unsigned(),
        }))
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
        let inode = target.to_str().and_then(|target| target.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok());
        inode.ok_or_else(|| malformed(&path))
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
mod tests {
    use super::*;

    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};
    use std::process::{Child, Command};

    fn sleeping() -> Child {
        Command::new("sleep").arg("600").spawn().unwrap()
    }

    fn write(path: PathBuf, content: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        io::Write::write_all(&mut fs::File::create(path).unwrap(), content.as_bytes()).unwrap();
    }

    #[test]
    fn a_real_process_has_its_start_until_it_ends() {
        let proc = Proc::default();
        let before = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
        let mut child = sleeping();
        let pid = child.id();
        assert!(proc.pids().unwrap().contains(&pid));
        let started = proc.start_time(pid).unwrap().unwrap().timestamp();
        assert!((started - before).abs() <= 3, "{started} {before}");
        assert_eq!(proc.start_ticks(pid).unwrap(), proc.start_ticks(pid).unwrap());
        child.kill().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while proc.start_ticks(pid).unwrap().is_some() {
            assert!(std::time::Instant::now() < deadline, "a zombie counts as running");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(proc.start_ticks(pid).unwrap(), None);
        assert_eq!(proc.start_time(pid).unwrap(), None);
        assert_eq!(proc.open_files(pid, |_| ()).unwrap(), None);
    }

    #[test]
    fn a_process_name_cannot_forge_a_start_time() {
        let root = tempfile::tempdir().unwrap();
        let stat = |name: &str, state: char, flags: u64| {
            format!("77 ({name}) {state} 1 77 77 0 -1 {flags} 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9\n")
        };
        write(root.path().join("77/stat"), &stat("a) R 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 666 (b", 'S', 0));
        write(root.path().join("78/stat"), &stat("gone", 'Z', 0));
        write(root.path().join("79/stat"), &stat("kworker/0:1", 'I', 0x0420_8060 | KERNEL_THREAD));
        write(root.path().join("80/stat"), "80 (torn");
        let proc = Proc::new(root.path());
        assert_eq!(proc.start_ticks(77).unwrap(), Some(4242));
        assert_eq!(proc.start_ticks(78).unwrap(), None);
        assert_eq!(proc.start_ticks(79).unwrap(), None);
        assert!(proc.start_ticks(80).is_err());
        assert_eq!(proc.start_ticks(81).unwrap(), None);
    }

    #[test]
    fn what_the_kernel_tells_of_itself_is_read() {
        let proc = Proc::default();
        assert!(proc.boot_time().unwrap().timestamp() > 1_600_000_000);
        assert_eq!(proc.boot_id().unwrap().len(), 36);
        assert_eq!(proc.pid_namespace().unwrap(), fs::metadata("/proc/self/ns/pid").unwrap().ino());
    }

    #[test]
    fn a_held_lock_is_found_by_device_and_inode() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let holder = || {
            let metadata = file.as_file().metadata().unwrap();
            let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
            let found = FileOnDevice { major, minor, inode: metadata.ino() };
            Proc::default().flock_holders().unwrap().get(&found).copied()
        };
        assert_eq!(holder(), None);
        rustix::fs::flock(file.as_file(), rustix::fs::FlockOperation::LockExclusive).unwrap();
        assert_eq!(holder(), Some(std::process::id()));
    }

    #[test]
    fn only_exclusive_flocks_that_are_held_count() {
        let root = tempfile::tempdir().unwrap();
        let locks = "1: FLOCK  ADVISORY  WRITE 4711 fe:1a:1835 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 5 fe:1a:1836 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 6 00:1a:7 0 EOF\n3: FLOCK  ADVISORY  READ  7 00:1a:8 0 EOF\n4: FLOCK\n";
        write(root.path().join("locks"), locks);
        let holders = Proc::new(root.path()).flock_holders().unwrap();
        let expected = FileOnDevice { major: 0xfe, minor: 0x1a, inode: 1835 };
        assert_eq!(holders.into_iter().collect::<Vec<_>>(), [(expected, 4711)]);
    }

    #[test]
    fn open_files_are_told_with_deleted_ones() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("77/fd");
        fs::create_dir_all(&folder).unwrap();
        symlink("/a/b.jsonl (deleted)", folder.join("3")).unwrap();
        symlink("socket:[7]", folder.join("4")).unwrap();
        let mut paths = Vec::new();
        Proc::new(root.path()).open_files(77, |file| paths.push(file.path().to_owned())).unwrap().unwrap();
        paths.sort();
        assert_eq!(paths, [Path::new("/a/b.jsonl"), Path::new("socket:[7]")]);
    }

    #[test]
    fn an_open_file_is_known_by_device_and_inode() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        let mut found = false;
        let visit =
            |open: &OpenFile<'_>| found |= open.identity().is_ok_and(|id| id == (metadata.dev(), metadata.ino()));
        Proc::default().open_files(std::process::id(), visit).unwrap().unwrap();
        assert!(found);
    }

    #[test]
    fn a_proc_that_is_not_there_is_an_error() {
        let proc = Proc::new("/nonexistent");
        assert!(proc.pids().is_err() && proc.boot_time().is_err() && proc.flock_holders().is_err());
    }
}

//! What is asked of few processes: whose they are, what they run, where they belong.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::PathBuf;

use super::{Proc, malformed, running};

/// More than any command line or environment that is looked at (the kernel allows 2 MiB).
const LONGEST: u64 = 4 << 20;

/// Whose a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Users {
    /// Who started it.
    pub(crate) real: u32,
    /// With whose rights it acts.
    pub(crate) effective: u32,
}

impl Users {
    /// Whether it is this user's, and acts as nobody else.
    pub(crate) const fn are(self, user: u32) -> bool {
        self.real == user && self.effective == user
    }
}

impl Proc {
    /// Whose a process is by the owner of its folder; cheap, and the effective user alone. `None` when it is gone.
    pub(crate) fn owner(&self, pid: u32) -> io::Result<Option<u32>> {
        use std::os::unix::fs::MetadataExt as _;
        Ok(running(fs_err::metadata(self.path_of(pid, "")))?.map(|folder| folder.uid()))
    }

    /// Whose a process is; `None` when it is gone.
    pub(crate) fn users(&self, pid: u32) -> io::Result<Option<Users>> {
        let path = self.path_of(pid, "status");
        let Some(status) = self.read(pid, "status")? else { return Ok(None) };
        // A name with a line end is written as `\n`, so that no name makes a line of its own.
        let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"));
        let text = line.and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
        let mut numbers = text.split_ascii_whitespace().map_while(|number| number.parse().ok());
        match (numbers.next(), numbers.next()) {
            (Some(real), Some(effective)) => Ok(Some(Users { real, effective })),
            _ => Err(malformed(&path)),
        }
    }

    /// The arguments that a process was started with, or has put in their place; empty where it has none. `None` when it is
    /// gone.
    pub(crate) fn arguments(&self, pid: u32) -> io::Result<Option<Vec<Vec<u8>>>> {
        let Some(mut text) = self.read(pid, "cmdline")? else { return Ok(None) };
        if text.last() == Some(&0) {
            text.pop();
        }
        let arguments = text.split(|byte| *byte == 0).map(<[u8]>::to_vec);
        Ok(Some(if text.is_empty() { Vec::new() } else { arguments.collect() }))
    }

    /// The file that a process runs, with ` (deleted)` behind it where that was removed or replaced. `None` when it is gone.
    pub(crate) fn executable(&self, pid: u32) -> io::Result<Option<PathBuf>> {
        running(fs_err::read_link(self.path_of(pid, "exe")))
    }

    /// Where a process works. `None` when it is gone.
    pub(crate) fn working_folder(&self, pid: u32) -> io::Result<Option<PathBuf>> {
        running(fs_err::read_link(self.path_of(pid, "cwd")))
    }

    /// The control groups of a process, as `/proc/<pid>/cgroup` lists them. `None` when it is gone.
    pub(crate) fn control_groups(&self, pid: u32) -> io::Result<Option<String>> {
        Ok(self.read(pid, "cgroup")?.map(|text| String::from_utf8_lossy(&text).into_owned()))
    }

    /// The environment in which a process was started: `NAME=value`. `None` when it is gone.
    pub(crate) fn environment(&self, pid: u32) -> io::Result<Option<Vec<Vec<u8>>>> {
        let text = self.read(pid, "environ")?;
        Ok(text.map(|text| text.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()))
    }

    /// The inode number of the pid namespace that a process lives in. `None` when it is gone.
    pub(crate) fn pid_namespace_of(&self, pid: u32) -> io::Result<Option<u64>> {
        let path = self.path_of(pid, "ns/pid");
        let Some(target) = running(fs_err::read_link(&path))? else { return Ok(None) };
        super::namespace(&target).map(Some).ok_or_else(|| malformed(&path))
    }

    /// The memory that would be free without a process, in pages: what it has in RAM and shares with nobody. `None` when
    /// it is gone.
    pub(crate) fn own_pages(&self, pid: u32) -> io::Result<Option<u64>> {
        let Some(text) = self.read(pid, "statm")? else { return Ok(None) };
        // size resident shared text lib data dt
        let text = String::from_utf8_lossy(&text);
        let mut numbers = text.split_ascii_whitespace().map_while(|number| number.parse::<u64>().ok());
        match (numbers.nth(1), numbers.next()) {
            (Some(resident), Some(shared)) => Ok(Some(resident.saturating_sub(shared))),
            _ => Err(malformed(&self.path_of(pid, "statm"))),
        }
    }

    fn read(&self, pid: u32, name: &str) -> io::Result<Option<Vec<u8>>> {
        let path = self.path_of(pid, name);
        let read = || {
            // Most of what is read here fits, and is then read at once.
            let mut text = Vec::with_capacity(4096);
            File::open(&path)?.take(LONGEST).read_to_end(&mut text)?;
            Ok(text)
        };
        running(read()).map_err(|error: io::Error| match error.kind() {
            ErrorKind::PermissionDenied => ErrorKind::PermissionDenied.into(),
            kind => io::Error::new(kind, format!("{}: {error}", path.display())),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_real_process_is_described() {
        let proc = Proc::default();
        let mut child = Command::new("sleep").arg("600").env_clear().env("X", "1 2").current_dir("/").spawn().unwrap();
        let pid = child.id();
        // Until it runs the program it is a copy of this one.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while proc.arguments(pid).unwrap().unwrap() != [b"sleep".to_vec(), b"600".to_vec()] {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
        let us = rustix::process::getuid().as_raw();
        assert!(proc.users(pid).unwrap().unwrap().are(us) && !proc.users(pid).unwrap().unwrap().are(us + 1));
        assert_eq!(proc.owner(pid).unwrap(), Some(us));
        assert!(proc.executable(pid).unwrap().unwrap().is_absolute());
        assert_eq!(proc.working_folder(pid).unwrap().unwrap(), PathBuf::from("/"));
        assert_eq!(proc.environment(pid).unwrap().unwrap()[0], b"X=1 2");
        assert_eq!(proc.pid_namespace_of(pid).unwrap(), proc.pid_namespace().ok());
        assert!(proc.control_groups(pid).unwrap().unwrap().contains(":/"));
        assert!(proc.own_pages(pid).unwrap().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(proc.users(pid).unwrap(), None);
        assert_eq!(proc.arguments(pid).unwrap(), None);
        assert_eq!(proc.executable(pid).unwrap(), None);
        assert_eq!(proc.control_groups(pid).unwrap(), None);
    }
}

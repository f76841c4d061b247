//! Leases: being told, and waited for, when another program opens a file that we have open.
//!
//! A lease is granted only while nobody else has the file open in a conflicting way. From then on each such open waits
//! until the lease ends, or for `/proc/sys/fs/lease-break-time` seconds (45). See fcntl(2), "Leases".

#![allow(unsafe_code, reason = "rustix has no call for leases and signal dispositions")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Once;

/// Whom a lease makes wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Everybody who opens the file; granted when nobody else has it open.
    Write,
    /// Who opens it for writing; granted when nobody has it open for writing. Readers pass.
    Read,
}

impl Kind {
    fn raw(self) -> libc::c_int {
        match self {
            Self::Write => libc::F_WRLCK,
            Self::Read => libc::F_RDLCK,
        }
    }
}

/// A lease on an open file, until it is dropped.
#[derive(Debug)]
#[must_use = "the lease ends when it is dropped"]
pub(super) struct Lease<'a> {
    file: &'a File,
    kind: Kind,
}

impl<'a> Lease<'a> {
    /// Takes a lease. `WouldBlock`: somebody has the file open. Any other error: not here, not for us.
    pub(super) fn take(file: &'a File, kind: Kind) -> io::Result<Self> {
        static IGNORE_SIGIO: Once = Once::new();
        // The kernel announces a waiting opener by SIGIO, which would end the process; `somebody_waits` asks instead.
        IGNORE_SIGIO.call_once(|| {
            // SAFETY: SIG_IGN installs no handler, so no code of ours ever runs in signal context.
            unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
        });
        // SAFETY: F_SETLEASE takes an int and touches no memory of ours; `file` is open for the whole call.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind.raw()) } == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { file, kind })
    }

    /// Whether an opener waits now, or the lease was lost; both mean that the file is no longer ours alone.
    pub(super) fn somebody_waits(&self) -> bool {
        self.state() != self.kind.raw()
    }

    /// Whether somebody waits who wants to write, or the lease was lost.
    pub(super) fn a_writer_waits(&self) -> bool {
        !matches!(self.state(), libc::F_WRLCK | libc::F_RDLCK)
    }

    /// What the lease has to become for those who wait, and its own kind when nobody does.
    fn state(&self) -> libc::c_int {
        // SAFETY: F_GETLEASE takes no argument and touches no memory of ours; `file` is open for the whole call.
        unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_GETLEASE) }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // SAFETY: as in `take`. An error would mean that the lease is gone already.
        unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::ErrorKind;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use super::{Kind, Lease};

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs_err::File::create(&path).unwrap();
        (folder, path)
    }

    fn until(condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(Instant::now() < deadline, "the condition never came true");
            std::thread::yield_now();
        }
    }

    #[test]
    fn an_opener_waits_is_seen_and_goes_on_when_the_lease_ends() {
        let (_folder, path) = file();
        let ours = File::open(&path).unwrap();
        let lease = Lease::take(&ours, Kind::Write).unwrap();
        assert!(!lease.somebody_waits());
        let opened = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                File::open(&path).unwrap();
                opened.store(true, Ordering::SeqCst);
            });
            until(|| lease.somebody_waits());
            assert!(!lease.a_writer_waits());
            assert!(!opened.load(Ordering::SeqCst));
            drop(lease);
        });
        assert!(opened.load(Ordering::SeqCst));
    }

    #[test]
    fn a_read_lease_lets_readers_pass_and_makes_writers_wait() {
        let (_folder, path) = file();
        let ours = File::open(&path).unwrap();
        let lease = Lease::take(&ours, Kind::Read).unwrap();
        File::open(&path).unwrap();
        assert!(!lease.somebody_waits());
        std::thread::scope(|threads| {
            threads.spawn(|| OpenOptions::new().write(true).truncate(true).open(&path).unwrap());
            until(|| lease.somebody_waits());
            assert!(lease.a_writer_waits());
            drop(lease);
        });
    }

    #[test]
    fn a_lease_is_refused_while_somebody_has_the_file_open() {
        let (_folder, path) = file();
        let ours = File::open(&path).unwrap();
        let reader = File::open(&path).unwrap();
        assert_eq!(Lease::take(&ours, Kind::Write).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(reader);
        let writer = OpenOptions::new().write(true).open(&path).unwrap();
        assert_eq!(Lease::take(&ours, Kind::Read).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(writer);
        drop(Lease::take(&ours, Kind::Write).unwrap());
    }
}

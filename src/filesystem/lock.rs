//! The lock between runs of this program: flock on a file beside what it protects.
//!
//! Other programs do not know it. The file stays when the lock goes: a run that waits has it open, and if it were
//! removed, the next run would create and lock another one of the same name while the waiting one locks the old.

use std::fmt;
use std::fs::{File, TryLockError};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use rustix::fs::OFlags;

use super::error::FileError;
use super::sidecar::Sidecar;
use super::temporary::process_exists;

const POLL: Duration = Duration::from_millis(10);
const SAY_SO_AFTER: Duration = Duration::from_millis(500);
/// How long a holder gets to write its line after it took the lock.
const LINE_PATIENCE: Duration = Duration::from_millis(20);
const LINE_MAX: usize = 256;

/// Who holds a lock, as its line in the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The process.
    pub(crate) pid: u32,
    /// When it began.
    pub(crate) since: DateTime<Utc>,
    /// What it is doing.
    pub(crate) program: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.since.format("%Y-%m-%d %H:%M:%SZ");
        write!(f, "pid {} ({}, since {since})", self.pid, self.program)
    }
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Somebody has it.
    #[error(
        "{} is locked by {}; wait with --wait 30s or see what that process does",
        path.display(),
        holder.as_ref().map_or_else(|| "an unknown process".to_owned(), Holder::to_string)
    )]
    Held { path: PathBuf, holder: Option<Holder> },
    /// The lock's file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What a run says about itself while it holds a lock.
#[derive(Debug, Clone, Copy)]
struct Claim<'a> {
    /// What it is doing: the program and its command.
    pub(crate) program: &'a str,
    /// When it began, by the machine's clock.
    pub(crate) now: DateTime<Utc>,
}

/// How to take a lock.
#[derive(Clone, Copy)]
pub(crate) struct LockPolicy<'a> {
    /// How long to wait for another run; `None` for not at all.
    pub(crate) wait: Option<Duration>,
    /// What the lock file says of us.
    pub(crate) program: &'a str,
    pub(crate) now: DateTime<Utc>,
    /// Called once when waiting takes long.
    pub(crate) on_wait: fn(Option<&Holder>),
}

/// A lock, until it is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when it is dropped"]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock whose file is `path`.
    pub(crate) fn take(path: &Path, policy: LockPolicy<'_>) -> Result<Self, LockError> {
        let claim = Claim { program: policy.program, now: policy.now };
        Self::acquire(path, claim, policy.wait, &mut |holder| (policy.on_wait)(holder))
    }

    /// Takes the lock whose file is `path`, waiting for at most `wait`; calls `on_wait` once when it takes long.
    fn acquire(
        path: &Path,
        claim: Claim<'_>,
        wait: Option<Duration>,
        on_wait: &mut dyn FnMut(Option<&Holder>),
    ) -> Result<Self, LockError> {
        let started = Instant::now();
        let mut said = false;
        loop {
            let Sidecar { file, .. } = Sidecar::open(path, OFlags::empty())?;
            match attempt(&file, path)? {
                Attempt::Taken => {
                    if !is_ours(&file) {
                        let why = "it holds something that is no line of a lock's holder";
                        return Err(FileError::Refused { path: path.to_owned(), why }.into());
                    }
                    write_line(&file, path, claim);
                    return Ok(Self { file });
                }
                Attempt::Gone => continue,
                Attempt::Held => {}
            }
            let waited = started.elapsed();
            if waited >= wait.unwrap_or_default() {
                let holder = holder(&file);
                if holder.is_none() && waited < LINE_PATIENCE {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
                return Err(LockError::Held { path: path.to_owned(), holder });
            }
            if !said && waited >= SAY_SO_AFTER {
                said = true;
                on_wait(holder(&file).as_ref());
            }
            // Who waits for a lock gets on: it ends by itself.
            crate::interrupt::mark();
            std::thread::sleep(POLL.min(wait.unwrap_or_default().saturating_sub(waited)));
        }
    }
}

/// Takes a lock on a folder that is somebody else's, in which nothing is made: runs that keep their state in other places, as
/// another user's do, see it. It is released when what is yielded is dropped; nothing where the file system knows no such lock.
pub(crate) fn lock_folder(path: &Path, policy: LockPolicy<'_>) -> Result<Option<File>, LockError> {
    let started = Instant::now();
    let folder = File::open(path).map_err(FileError::io(path, "open"))?;
    let mut said = false;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(Some(folder)),
            Err(TryLockError::WouldBlock) if started.elapsed() < policy.wait.unwrap_or_default() => {
                if !said && started.elapsed() >= SAY_SO_AFTER {
                    said = true;
                    (policy.on_wait)(None);
                }
                std::thread::sleep(POLL);
            }
            Err(TryLockError::WouldBlock) => return Err(LockError::Held { path: path.to_owned(), holder: None }),
            Err(TryLockError::Error(error)) => {
                log::debug!("{} cannot be locked: {error}", path.display());
                return Ok(None);
            }
        }
    }
}

impl Drop for Lock {
    #[expect(clippy::disallowed_methods, reason = "the line is ours while the lock is")]
    fn drop(&mut self) {
        // The line goes first: behind the lock it might be the next holder's. Closing the file releases the lock.
        if let Err(error) = self.file.set_len(0) {
            log::debug!("the lock's file keeps its line: {error}");
        }
        let _ = self.file.unlock();
    }
}

/// What came of trying to lock a file.
#[derive(Debug, PartialEq, Eq)]
enum Attempt {
    Taken,
    Held,
    /// The file was removed between opening and locking it: a lock on it protects nothing.
    Gone,
}

fn attempt(file: &File, path: &Path) -> Result<Attempt, FileError> {
    match file.try_lock() {
        Ok(()) if is_at(file, path) => Ok(Attempt::Taken),
        Ok(()) => Ok(Attempt::Gone),
        Err(TryLockError::WouldBlock) => Ok(Attempt::Held),
        Err(TryLockError::Error(error)) => Err(FileError::io(path, "lock")(error)),
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let Ok(ours) = file.metadata() else { return false };
    fs_err::symlink_metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()))
}

/// Whether the file holds nothing, or begins as a holder's line does (a crash may have cut that short): anything else is
/// somebody's file that only happens to have the lock's name.
fn is_ours(file: &File) -> bool {
    let mut start = [0; 24];
    let Ok(count) = file.read_at(&mut start, 0) else { return false };
    let digits = start[..count].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let long = file.metadata().map_or(u64::MAX, |metadata| metadata.len()) > LINE_MAX as u64;
    count == 0 || (!long && digits > 0 && matches!(start[..count].get(digits), None | Some(b' ' | b'\n')))
}

/// Writes who holds the lock, in one piece over what was there. A full disk does not matter: the lock holds without it.
#[expect(clippy::disallowed_methods, reason = "the line is ours while the lock is")]
fn write_line(file: &File, path: &Path, claim: Claim<'_>) {
    let since = claim.now.to_rfc3339_opts(SecondsFormat::Secs, true);
    let program: String = claim.program.chars().filter(|c| !c.is_control()).take(64).collect();
    let line = format!("{} {since} {program}\n", std::process::id());
    if let Err(error) = file.write_all_at(line.as_bytes(), 0).and_then(|()| file.set_len(line.len() as u64)) {
        log::debug!("{} does not name its holder: {error}", path.display());
    }
}

/// The holder's line, if it is whole and its process lives.
pub(super) fn holder(file: &File) -> Option<Holder> {
    let mut buffer = [0; LINE_MAX];
    let count = file.read_at(&mut buffer, 0).ok()?;
    parse(buffer.get(..count)?).filter(|holder| process_exists(holder.pid))
}

fn parse(bytes: &[u8]) -> Option<Holder> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = str::from_utf8(bytes.get(..end)?).ok()?;
    let mut fields = line.splitn(3, ' ');
    let pid = fields.next()?.parse().ok().filter(|pid| *pid > 0)?;
    let since = DateTime::parse_from_rfc3339(fields.next()?).ok()?.to_utc();
    // Whoever may write the file chose this text, and it goes to a terminal.
    let program = fields.next()?;
    let plain = !program.is_empty() && program.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    plain.then(|| Holder { pid, since, program: program.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use chrono::{DateTime, Utc};

    use super::{Attempt, Claim, Lock, LockError, attempt, parse};

    fn claim() -> Claim<'static> {
        let now = DateTime::<Utc>::from_timestamp(1_795_168_923, 0).unwrap();
        Claim { program: "session-sweep prune", now }
    }

    fn acquire(path: &Path, wait: Option<Duration>) -> Result<Lock, LockError> {
        Lock::acquire(path, claim(), wait, &mut |_| {})
    }

    fn world() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.lock");
        (folder, path)
    }

    #[test]
    fn second_run_is_told_who_holds_the_lock() {
        let (_folder, path) = world();
        let lock = acquire(&path, None).unwrap();
        let message = acquire(&path, None).unwrap_err().to_string();
        let pid = std::process::id();
        let expected = format!("is locked by pid {pid} (session-sweep prune, since 2026-11-20 10:02:03Z); wait with");
        assert!(message.contains(&expected), "{message}");
        drop(lock);
        assert_eq!(fs_err::read(&path).unwrap(), b"", "the line goes, the file stays");
        drop(acquire(&path, None).unwrap());
    }

    #[test]
    fn waiting_ends_when_the_lock_is_released() {
        let (_folder, path) = world();
        let lock = acquire(&path, None).unwrap();
        std::thread::scope(|threads| {
            let waiting = threads.spawn(|| acquire(&path, Some(Duration::from_secs(60))).map(drop));
            drop(lock);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn waiting_ends_at_the_deadline_and_speaks_once() {
        let (_folder, path) = world();
        let _lock = acquire(&path, None).unwrap();
        let mut told = Vec::new();
        let started = Instant::now();
        let wait = Duration::from_millis(600);
        let result = Lock::acquire(&path, claim(), Some(wait), &mut |holder| told.push(holder.cloned()));
        assert!(matches!(result, Err(LockError::Held { .. })));
        assert!(started.elapsed() >= wait);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].as_ref().unwrap().pid, std::process::id());
    }

    #[test]
    fn torn_foreign_or_dead_lines_show_an_unknown_process() {
        let (_folder, path) = world();
        let lock = acquire(&path, None).unwrap();
        for line in ["", "47", "4194305 2026-11-20T10:02:03Z session-sweep prune\n"] {
            std::os::unix::fs::FileExt::write_all_at(&lock.file, line.as_bytes(), 0).unwrap();
            lock.file.set_len(line.len() as u64).unwrap();
            let message = acquire(&path, None).unwrap_err().to_string();
            assert!(message.contains("by an unknown process"), "{message}");
        }
        assert!(parse(b"47 2026-11-20T10:02:03Z x\n").is_some());
        for line in [
            &b"47 2026-11-20T10:02:03Z x"[..],
            b"0 2026-11-20T10:02:03Z x\n",
            b"47 then x\n",
            b"47 2026-11-20T10:02:03Z \x1b[31m\n",
            b"47 2026-11-20T10:02:03Z\n",
            b"\xff\n",
        ] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_lock_on_a_removed_file_does_not_count() {
        let (_folder, path) = world();
        let opened = std::fs::File::create(&path).unwrap();
        // Somebody tidies up by hand, and the next run locks the file that has the name now.
        super::super::remove::remove_file(&path).unwrap();
        assert_eq!(attempt(&opened, &path).unwrap(), Attempt::Gone);
        let _other = acquire(&path, None).unwrap();
        assert_eq!(attempt(&opened, &path).unwrap(), Attempt::Gone);
    }
}

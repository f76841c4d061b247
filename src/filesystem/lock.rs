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
use crate::interrupt;

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

/// Why a lock was not taken. What to do about it depends on who wanted it: a command may be able to wait, a daemon comes again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Somebody has it.
    #[error(
        "{} is locked by {}",
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
    /// It is taken in the middle of an item, which is finished: who asks the run to end does not end the wait.
    pub(crate) in_an_item: bool,
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
        Self::acquire(path, policy, &mut |holder| (policy.on_wait)(holder))
    }

    fn acquire(
        path: &Path,
        policy: LockPolicy<'_>,
        on_wait: &mut dyn FnMut(Option<&Holder>),
    ) -> Result<Self, LockError> {
        let mut wait = Wait::begin(policy);
        loop {
            let Sidecar { file, .. } = Sidecar::open(path, OFlags::empty())?;
            match attempt(&file, path)? {
                Attempt::Taken => {
                    if !is_ours(&file) {
                        let why = "it holds something that is no line of a lock's holder";
                        return Err(FileError::Refused { path: path.to_owned(), why }.into());
                    }
                    write_line(&file, path, Claim { program: policy.program, now: policy.now });
                    return Ok(Self { file });
                }
                Attempt::Gone => {}
                Attempt::Held if wait.goes_on(&|| holder(&file), on_wait) => {}
                Attempt::Held => {
                    let holder = holder(&file);
                    if holder.is_none() && wait.since.elapsed() < LINE_PATIENCE {
                        std::thread::sleep(Duration::from_millis(1));
                        continue;
                    }
                    return Err(LockError::Held { path: path.to_owned(), holder });
                }
            }
        }
    }
}

/// Waiting for whoever has a lock.
struct Wait<'p> {
    policy: LockPolicy<'p>,
    since: Instant,
    said: bool,
}

impl<'p> Wait<'p> {
    fn begin(policy: LockPolicy<'p>) -> Self {
        Self { policy, since: Instant::now(), said: false }
    }

    /// Waits a moment; false where the time is over, or the run is asked to end. Says so once when it takes long.
    fn goes_on(&mut self, holder: &dyn Fn() -> Option<Holder>, on_wait: &mut dyn FnMut(Option<&Holder>)) -> bool {
        let left = self.policy.wait.unwrap_or_default().saturating_sub(self.since.elapsed());
        // To ask is a step forward, too: who waits for a lock gets on, it ends by itself.
        if left.is_zero() || (interrupt::asked() && !self.policy.in_an_item) {
            return false;
        }
        if !self.said && self.since.elapsed() >= SAY_SO_AFTER {
            self.said = true;
            on_wait(holder().as_ref());
        }
        std::thread::sleep(POLL.min(left));
        true
    }
}

/// Takes a lock on a folder that is somebody else's, in which nothing is made: runs that keep their state in other places, as
/// another user's do, see it. It is released when what is yielded is dropped; nothing where the file system knows no such lock.
pub(crate) fn lock_folder(path: &Path, policy: LockPolicy<'_>) -> Result<Option<File>, LockError> {
    let folder = File::open(path).map_err(FileError::io(path, "open"))?;
    let mut wait = Wait::begin(policy);
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(Some(folder)),
            Err(TryLockError::WouldBlock) if wait.goes_on(&|| None, &mut |holder| (policy.on_wait)(holder)) => {}
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

    use super::{Attempt, Lock, LockError, LockPolicy, attempt, lock_folder, parse};
    use crate::interrupt;

    fn policy(wait: Option<Duration>) -> LockPolicy<'static> {
        let now = DateTime::<Utc>::from_timestamp(1_795_168_923, 0).unwrap();
        LockPolicy { wait, program: "session-sweep prune", now, on_wait: |_| {}, in_an_item: false }
    }

    fn acquire(path: &Path, wait: Option<Duration>) -> Result<Lock, LockError> {
        Lock::take(path, policy(wait))
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
        let expected = format!("is locked by pid {pid} (session-sweep prune, since 2026-11-20 10:02:03Z)");
        assert!(message.ends_with(&expected), "{message}");
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
        let result = Lock::acquire(&path, policy(Some(wait)), &mut |holder| told.push(holder.cloned()));
        assert!(matches!(result, Err(LockError::Held { .. })));
        assert!(started.elapsed() >= wait);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].as_ref().unwrap().pid, std::process::id());
    }

    #[test]
    fn who_asks_the_run_to_end_ends_the_wait_unless_an_item_is_being_finished() {
        const LONG: Duration = Duration::from_secs(60);
        let (folder, path) = world();
        let (_lock, _folder) = (acquire(&path, None).unwrap(), lock_folder(folder.path(), policy(None)).unwrap());
        interrupt::ask_in_test();
        let started = Instant::now();
        assert!(matches!(acquire(&path, Some(LONG)), Err(LockError::Held { holder: Some(_), .. })));
        assert!(matches!(lock_folder(folder.path(), policy(Some(LONG))), Err(LockError::Held { .. })));
        assert!(started.elapsed() < LONG);
        let wait = Duration::from_millis(100);
        let in_an_item = LockPolicy { in_an_item: true, ..policy(Some(wait)) };
        assert!(matches!(Lock::take(&path, in_an_item), Err(LockError::Held { .. })));
        assert!(started.elapsed() >= wait);
    }

    #[test]
    fn who_waits_gives_signs_of_life() {
        let (folder, path) = world();
        let (_lock, _folder) = (acquire(&path, None).unwrap(), lock_folder(folder.path(), policy(None)).unwrap());
        let wait = policy(Some(Duration::from_millis(30)));
        for take in [
            |path: &Path, wait| Lock::take(path, wait).map(drop),
            |path: &Path, wait| lock_folder(path.parent().unwrap(), wait).map(drop),
        ] {
            let before = interrupt::steps_of_test();
            assert!(take(&path, wait).is_err());
            assert!(interrupt::steps_of_test() > before);
        }
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

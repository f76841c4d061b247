//! The files by which vendors tell of their processes, read one by one and held against /proc.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rustc_hash::FxHashMap;
use rustix::fs::CWD;

use super::super::row::{LiveRule, Provider};
use super::super::transcript::open_at;
use super::entries::{Entry, entries, first_number, is_named_by_pid};
use super::record::{DaemonRecord, Host, LiveRecord, Roster, START_TOLERANCE};
use crate::filesystem::proc::{FileOnDevice, Proc};
use crate::policy::path_pattern::PathPattern;

/// Longest record that is read.
const LONGEST_RECORD: u64 = 1 << 20;

/// What one file says of one process, and what is left of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sign {
    /// The process; `None` where the file names a session and no process.
    pub(super) pid: Option<u32>,
    /// The session that it has open; `None` where the file does not say.
    pub(super) session: Option<String>,
    pub(super) standing: Standing,
    pub(super) role: Role,
    /// The file.
    pub(super) path: PathBuf,
    /// When the process says it was last busy; a record is no heartbeat, so this may be long ago.
    pub(super) last_activity: Option<DateTime<Utc>>,
}

/// What became of a process that a file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It runs, and it is the one that the file means.
    Live,
    /// There is no such process, or its number is another one's by now.
    Gone,
    /// That cannot be told from here, and why.
    Unverifiable(String),
}

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It has a session open.
    Session,
    /// It serves others, and starts its workers again when they end.
    Daemon,
    /// A daemon's. Where it cannot be told whether the daemon runs, it counts as alive.
    Worker { daemon: u32, daemon_alive: bool },
}

/// Whose files are looked at.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s> {
    /// Where the signs are.
    pub(super) home: &'s Path,
    /// The sessions that are asked for.
    pub(super) wanted: &'s dyn Fn(&str) -> bool,
    pub(super) aim: Aim,
}

/// What the files are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// Which sessions are open. Daemons' own files, which name none, stay closed: one that cannot be read is no doubt.
    Sessions,
    /// Which processes there are. Records are opened only where their name is the number of a process: others keep their
    /// files, also secret ones, in the same folder.
    Processes,
}

/// All that a provider's files say.
#[derive(Debug, Default)]
pub(super) struct Signs {
    pub(super) found: Vec<Sign>,
    /// What could not be examined.
    pub(super) errors: Vec<String>,
}

impl Signs {
    /// Reads the files of all rules of a provider but [`LiveRule::OpenTranscript`], which needs the transcripts
    /// ([`super::OpenFiles`]).
    pub(super) fn read(provider: &Provider, scope: Scope<'_>, proc: &Proc) -> Self {
        let mut signs = Self::default();
        let host = Host::new(proc);
        for rule in &provider.live {
            match rule {
                LiveRule::Records(pattern) => signs.records(pattern, scope, &host),
                LiveRule::HeldLock(pattern) => signs.held_locks(pattern, scope, proc),
                LiveRule::PidFile(pattern) => signs.pid_files(pattern, scope, proc),
                LiveRule::Roster(pattern) => signs.rosters(pattern, scope, &host),
                LiveRule::DaemonPid(pattern) if scope.aim == Aim::Processes => signs.daemons(pattern, scope, &host),
                LiveRule::DaemonPid(_) | LiveRule::OpenTranscript => {}
            }
        }
        signs
    }

    fn records(&mut self, pattern: &PathPattern, scope: Scope<'_>, host: &Host<'_>) {
        for Entry { path, .. } in entries(pattern, scope.home, scope.wanted, &mut self.errors) {
            if scope.aim == Aim::Processes && !is_named_by_pid(&path) {
                continue;
            }
            let named = first_number(&path);
            let gone = named.is_some_and(|pid| matches!(host.proc.start_ticks(pid), Ok(None)));
            let (record, written) = match read_parsed(&path, LiveRecord::parse) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(_) if gone => {
                    self.add(path, named, Standing::Gone);
                    continue;
                }
                Err(error) => {
                    self.errors.push(format!("could not read {}: {error}", path.display()));
                    self.add(path, named, Standing::Unverifiable(format!("its record could not be read: {error}")));
                    continue;
                }
            };
            let pid = record.as_ref().and_then(|record| record.process.pid).or(named);
            match (record, pid) {
                (Some(record), Some(pid)) => {
                    if (scope.wanted)(&record.session) {
                        let standing = host.standing(&record.process, pid, written, "it");
                        self.found.push(Sign {
                            pid: Some(pid),
                            session: Some(record.session),
                            standing,
                            role: Role::Session,
                            path,
                            last_activity: record.process.last_activity,
                        });
                    }
                }
                // Killed processes leave their records for ever, and another one may have the number by now.
                (_, Some(pid)) if gone || host.proc.start_time(pid).is_ok_and(|start| is_younger(start, written)) => {
                    self.add(path, Some(pid), Standing::Gone);
                }
                (_, pid) => {
                    let process = pid.map_or_else(|| "some process".to_owned(), |pid| format!("process {pid}"));
                    self.errors.push(format!("{} names no session, and {process} may have one", path.display()));
                    self.add(path, pid, Standing::Unverifiable("its record names no session".to_owned()));
                }
            }
        }
    }

    /// The lock itself is never taken, not even for a moment: its owner would fail to start. The list of held locks is
    /// read only where there is a lock file at all, because the kernel takes milliseconds to write it.
    fn held_locks(&mut self, pattern: &PathPattern, scope: Scope<'_>, proc: &Proc) {
        let mut files = Vec::new();
        for Entry { session, path } in entries(pattern, scope.home, scope.wanted, &mut self.errors) {
            match fs_err::metadata(&path) {
                Ok(metadata) => files.extend(session.map(|session| (session, (metadata.dev(), metadata.ino()), path))),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => self.errors.push(error.to_string()),
            }
        }
        if files.is_empty() {
            return;
        }
        match proc.flock_holders() {
            Ok(holders) => {
                for (session, file, path) in files {
                    if let Some((pid, standing)) = holder(&holders, file, proc) {
                        self.add_session(path, session, Some(pid), standing);
                    }
                }
            }
            Err(error) => self.errors.push(format!("held locks are not known: {error}")),
        }
    }

    fn pid_files(&mut self, pattern: &PathPattern, scope: Scope<'_>, proc: &Proc) {
        for Entry { session, path } in entries(pattern, scope.home, scope.wanted, &mut self.errors) {
            let Some(session) = session else { continue };
            let (text, written) = match read_file(&path) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    self.errors.push(format!("could not read {}: {error}", path.display()));
                    continue;
                }
            };
            let content = std::str::from_utf8(text.trim_ascii()).ok().and_then(|text| text.parse().ok());
            let Some(pid) = content.or_else(|| first_number(&path)) else {
                let reason = format!("{} names no process", path.display());
                self.add_session(path, session, None, Standing::Unverifiable(reason));
                continue;
            };
            let standing = match proc.start_time(pid) {
                Ok(start) if start.is_none() || is_younger(start, written) => Standing::Gone,
                Ok(_) => Standing::Live,
                Err(error) => Standing::Unverifiable(format!(
                    "process {pid} marks it as in use and could not be examined: {error}"
                )),
            };
            self.add_session(path, session, Some(pid), standing);
        }
    }

    fn rosters(&mut self, pattern: &PathPattern, scope: Scope<'_>, host: &Host<'_>) {
        for (path, roster, written) in self.parsed(pattern, scope, Roster::parse, "lists no workers") {
            let daemon = roster.supervisor.as_ref().and_then(|supervisor| {
                let pid = supervisor.pid?;
                Some((pid, host.standing(supervisor, pid, written, "its list of workers")))
            });
            let role = daemon.as_ref().map_or(Role::Session, |(pid, standing)| Role::Worker {
                daemon: *pid,
                daemon_alive: *standing != Standing::Gone,
            });
            for (session, worker) in roster.workers {
                let Some(pid) = worker.pid else { continue };
                if !session.as_deref().is_none_or(scope.wanted) {
                    continue;
                }
                let standing = host.standing(&worker, pid, written, "it");
                let last_activity = worker.last_activity;
                self.found.push(Sign { pid: Some(pid), session, standing, role, path: path.clone(), last_activity });
            }
            if let Some((pid, standing)) = daemon {
                self.add_daemon(path, pid, standing);
            }
        }
    }

    fn daemons(&mut self, pattern: &PathPattern, scope: Scope<'_>, host: &Host<'_>) {
        for (path, record, written) in self.parsed(pattern, scope, DaemonRecord::parse, "names no process") {
            let standing = host.standing(&record.process, record.pid, written, "itself");
            self.add_daemon(path, record.pid, standing);
        }
    }

    /// The files of a pattern that can be read and understood.
    fn parsed<T>(
        &mut self,
        pattern: &PathPattern,
        scope: Scope<'_>,
        parse: fn(&[u8]) -> Option<T>,
        complaint: &str,
    ) -> Vec<(PathBuf, T, DateTime<Utc>)> {
        let mut parsed = Vec::new();
        for Entry { path, .. } in entries(pattern, scope.home, scope.wanted, &mut self.errors) {
            match read_parsed(&path, parse) {
                Ok((Some(value), written)) => parsed.push((path, value, written)),
                Ok((None, _)) => self.errors.push(format!("{} {complaint}", path.display())),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => self.errors.push(format!("could not read {}: {error}", path.display())),
            }
        }
        parsed
    }

    /// A process of which no more is known than its number.
    fn add(&mut self, path: PathBuf, pid: Option<u32>, standing: Standing) {
        self.found.push(Sign { pid, session: None, standing, role: Role::Session, path, last_activity: None });
    }

    fn add_session(&mut self, path: PathBuf, session: String, pid: Option<u32>, standing: Standing) {
        let session = Some(session);
        self.found.push(Sign { pid, session, standing, role: Role::Session, path, last_activity: None });
    }

    fn add_daemon(&mut self, path: PathBuf, pid: u32, standing: Standing) {
        let pid = Some(pid);
        self.found.push(Sign { pid, session: None, standing, role: Role::Daemon, path, last_activity: None });
    }
}

/// Who holds a lock on the file (`stat`'s device, inode).
///
/// btrfs and overlayfs tell `stat` another device number than the one in /proc/locks. Where only the inode number agrees,
/// the holder's open files decide, because they are compared by `stat` on both sides.
fn holder(holders: &FxHashMap<FileOnDevice, u32>, file: (u64, u64), proc: &Proc) -> Option<(u32, Standing)> {
    let (major, minor) = (rustix::fs::major(file.0), rustix::fs::minor(file.0));
    if let Some(pid) = holders.get(&FileOnDevice { major, minor, inode: file.1 }) {
        return Some((*pid, Standing::Live));
    }
    let mut unverifiable = None;
    for (_, &pid) in holders.iter().filter(|(locked, _)| locked.inode == file.1) {
        let mut found = false;
        let reason = match proc.open_files(pid, |open| found |= open.identity().is_ok_and(|open| open == file)) {
            Ok(_) if found => return Some((pid, Standing::Live)),
            Ok(Some(())) => continue,
            // The lock may have passed to a child of the process that took it.
            Ok(None) => format!("its lock may be held: process {pid}, which took it, is gone"),
            Err(error) => format!("process {pid} may hold its lock: {error}"),
        };
        unverifiable = Some((pid, Standing::Unverifiable(reason)));
    }
    unverifiable
}

/// Whether a process started only after its supposed record was written, and so is not the one that wrote it.
fn is_younger(start: Option<DateTime<Utc>>, written: DateTime<Utc>) -> bool {
    start.is_some_and(|start| start > written + START_TOLERANCE)
}

/// What a file says, and the time of that. Such files are rewritten in place: what was caught half-written is whole a
/// moment later.
fn read_parsed<T>(path: &Path, parse: fn(&[u8]) -> Option<T>) -> io::Result<(Option<T>, DateTime<Utc>)> {
    let read = || read_file(path).map(|(text, time)| (parse(&text), time));
    match read()? {
        (None, _) => read(),
        complete => Ok(complete),
    }
}

fn read_file(path: &Path) -> io::Result<(Vec<u8>, DateTime<Utc>)> {
    let file = File::from(open_at(CWD, path)?);
    let written = file.metadata()?.modified()?;
    let mut text = Vec::new();
    file.take(LONGEST_RECORD).read_to_end(&mut text)?;
    Ok((text, written.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn what_was_caught_half_written_is_read_again_once() {
        static READ: AtomicUsize = AtomicUsize::new(0);
        let file = tempfile::NamedTempFile::new().unwrap();
        let second = |_: &[u8]| (READ.fetch_add(1, Ordering::Relaxed) == 1).then_some(());
        assert_eq!(read_parsed(file.path(), second).unwrap().0, Some(()));
        assert_eq!(read_parsed(file.path(), second).unwrap().0, None);
        assert_eq!(READ.load(Ordering::Relaxed), 4);
    }
}

//! Which sessions a running process has open.
//!
//! Nothing here is proof by itself: a file about a process outlives it, and its pid is used again. Each file is checked
//! against /proc. "No process has it" and "could not look" are kept apart.

mod entries;
mod open_transcripts;
mod record;

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use chrono::{DateTime, Utc};
use rustc_hash::FxHashMap;
use rustix::fs::CWD;

use self::entries::{Entry, entries, first_number};
use self::record::{Host, LiveRecord, START_TOLERANCE};
use super::pattern::PathPattern;
use super::row::{LiveRule, Provider};
use super::transcript::open_at;
use crate::filesystem::proc::{FileOnDevice, Proc};

pub(crate) use self::open_transcripts::{HeldFile, OpenFiles};

/// Longest record that is read.
const LONGEST_RECORD: u64 = 1 << 20;

/// What is known about a session that a process has, or may have, open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// A running process has it open.
    Live {
        /// The process.
        pid: u32,
        /// When the process says it was last busy; a record is no heartbeat, so this may be long ago.
        last_activity: Option<DateTime<Utc>>,
    },
    /// Something says that a process has it open, and it cannot be checked from here.
    Unverifiable {
        /// Why, for the reason in a report.
        reason: String,
    },
}

/// The sessions of one provider that processes have open.
#[derive(Debug, Default)]
pub(crate) struct LiveSessions {
    sessions: FxHashMap<String, Liveness>,
    /// What could not be examined: while this is not empty, a session that is not listed may be open all the same.
    pub(crate) errors: Vec<String>,
}

impl LiveSessions {
    /// Looks for the `wanted` sessions by all rules of a provider but [`LiveRule::OpenTranscript`], which needs the
    /// transcripts ([`OpenFiles`]).
    pub(crate) fn gather(provider: &Provider, home: &Path, wanted: &dyn Fn(&str) -> bool, proc: &Proc) -> Self {
        let mut live = Self::default();
        let host = Host::new(proc);
        for rule in &provider.live {
            match rule {
                LiveRule::Records(pattern) => live.records(pattern, home, wanted, &host),
                LiveRule::HeldLock(pattern) => live.held_locks(pattern, home, wanted, proc),
                LiveRule::PidFile(pattern) => live.pid_files(pattern, home, wanted, proc),
                LiveRule::OpenTranscript => {}
            }
        }
        live
    }

    /// What is known about a session; `None` when nothing says that a process has it open.
    pub(crate) fn get(&self, session: &str) -> Option<&Liveness> {
        self.sessions.get(session)
    }

    /// Proof stands above suspicion, and the later activity above the earlier.
    fn add(&mut self, session: String, liveness: Liveness) {
        let known = self.sessions.entry(session).or_insert_with(|| liveness.clone());
        match (known, liveness) {
            (Liveness::Live { last_activity: known, .. }, Liveness::Live { last_activity, .. }) => {
                *known = last_activity.max(*known);
            }
            (known @ Liveness::Unverifiable { .. }, liveness @ Liveness::Live { .. }) => *known = liveness,
            (_, Liveness::Unverifiable { .. }) => {}
        }
    }

    fn records(&mut self, pattern: &PathPattern, home: &Path, wanted: &dyn Fn(&str) -> bool, host: &Host<'_>) {
        for Entry { path, .. } in entries(pattern, home, wanted, &mut self.errors) {
            let named = first_number(&path);
            let gone = named.is_some_and(|pid| matches!(host.proc.start_ticks(pid), Ok(None)));
            // Rewritten in place on every change of status: what was caught half-written is whole a moment later.
            let read = || read_record(&path).map(|(text, time)| (LiveRecord::parse(&text), time));
            let (record, written) = match read().and_then(|read_once| match read_once {
                (None, _) => read(),
                complete => Ok(complete),
            }) {
                Ok(read) => read,
                Err(error) if gone || error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    self.errors.push(format!("could not read {}: {error}", path.display()));
                    continue;
                }
            };
            // Killed processes leave their records for ever.
            if gone && host.has_ended_with_boot(record.as_ref(), written) {
                continue;
            }
            let pid = record.as_ref().and_then(|record| record.pid).or(named);
            match (record, pid) {
                (Some(record), Some(pid)) => {
                    if wanted(&record.session)
                        && (!gone || host.is_foreign(&record))
                        && let Some(liveness) = host.verdict(&record, pid, written)
                    {
                        self.add(record.session, liveness);
                    }
                }
                _ if gone => {}
                // Another process has the number by now.
                (_, Some(pid)) if host.proc.start_time(pid).is_ok_and(|start| is_younger(start, written)) => {}
                (_, pid) => {
                    let process = pid.map_or_else(|| "some process".to_owned(), |pid| format!("process {pid}"));
                    self.errors.push(format!("{} names no session, and {process} may have one", path.display()));
                }
            }
        }
    }

    /// The lock itself is never taken, not even for a moment: its owner would fail to start. The list of held locks is
    /// read only where there is a lock file at all, because the kernel takes milliseconds to write it.
    fn held_locks(&mut self, pattern: &PathPattern, home: &Path, wanted: &dyn Fn(&str) -> bool, proc: &Proc) {
        let mut files = Vec::new();
        for Entry { session, path } in entries(pattern, home, wanted, &mut self.errors) {
            match fs_err::metadata(&path) {
                Ok(metadata) => files.extend(session.map(|session| (session, (metadata.dev(), metadata.ino())))),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => self.errors.push(error.to_string()),
            }
        }
        if files.is_empty() {
            return;
        }
        match proc.flock_holders() {
            Ok(holders) => {
                for (session, file) in files {
                    if let Some(liveness) = holder(&holders, file, proc) {
                        self.add(session, liveness);
                    }
                }
            }
            Err(error) => self.errors.push(format!("held locks are not known: {error}")),
        }
    }

    fn pid_files(&mut self, pattern: &PathPattern, home: &Path, wanted: &dyn Fn(&str) -> bool, proc: &Proc) {
        for Entry { session, path } in entries(pattern, home, wanted, &mut self.errors) {
            let Some(session) = session else { continue };
            let (text, written) = match read_record(&path) {
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
                self.add(session, Liveness::Unverifiable { reason });
                continue;
            };
            match proc.start_time(pid) {
                Ok(start) if start.is_none() || is_younger(start, written) => {}
                Ok(_) => self.add(session, Liveness::Live { pid, last_activity: None }),
                Err(error) => {
                    let reason = format!("process {pid} marks it as in use and could not be examined: {error}");
                    self.add(session, Liveness::Unverifiable { reason });
                }
            }
        }
    }
}

/// Who holds a lock on the file (`stat`'s device, inode).
///
/// btrfs and overlayfs tell `stat` another device number than the one in /proc/locks. Where only the inode number agrees,
/// the holder's open files decide, because they are compared by `stat` on both sides.
fn holder(holders: &FxHashMap<FileOnDevice, u32>, file: (u64, u64), proc: &Proc) -> Option<Liveness> {
    let (major, minor) = (rustix::fs::major(file.0), rustix::fs::minor(file.0));
    let live = |pid| Some(Liveness::Live { pid, last_activity: None });
    if let Some(pid) = holders.get(&FileOnDevice { major, minor, inode: file.1 }) {
        return live(*pid);
    }
    let mut unverifiable = None;
    for (_, &pid) in holders.iter().filter(|(locked, _)| locked.inode == file.1) {
        let mut found = false;
        match proc.open_files(pid, |open| found |= open.identity().is_ok_and(|open| open == file)) {
            Ok(_) if found => return live(pid),
            Ok(Some(())) => {}
            // The lock may have passed to a child of the process that took it.
            Ok(None) => unverifiable = Some(format!("its lock may be held: process {pid}, which took it, is gone")),
            Err(error) => unverifiable = Some(format!("process {pid} may hold its lock: {error}")),
        }
    }
    unverifiable.map(|reason| Liveness::Unverifiable { reason })
}

/// Whether a process started only after its supposed record was written, and so is not the one that wrote it.
fn is_younger(start: Option<DateTime<Utc>>, written: DateTime<Utc>) -> bool {
    start.is_some_and(|start| start > written + START_TOLERANCE)
}

fn read_record(path: &Path) -> io::Result<(Vec<u8>, DateTime<Utc>)> {
    let file = File::from(open_at(CWD, path)?);
    let written = file.metadata()?.modified()?;
    let mut text = Vec::new();
    file.take(LONGEST_RECORD).read_to_end(&mut text)?;
    Ok((text, written.into()))
}

#[cfg(test)]
mod tests;

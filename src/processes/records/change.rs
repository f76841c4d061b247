//! Writing: a session registers, gives signs of life, and ends. One run at a time, under the lock.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rustix::fs::FileType;
use rustix::io::Errno;
use serde_json::Value;

use super::id::RecordId;
use super::list::LARGEST;
use super::record::{COMPLETED, ProcessMark, Record, STOPPED, Source, Time};
use super::{Records, RecordsError};
use crate::filesystem::{Decision, Lock, LockPolicy, UpdateError, make_folder, remove_leftovers, update};
use crate::json::{MemberChange, Object};
use crate::policy::timestamp::Timestamp;

/// What a new record is before anything is put into it.
const EMPTY: &[u8] = b"{\n}\n";
/// A hook that was begun before its session ended may come this long after the end: as long as Claude Code waits for one.
const LATE: TimeDelta = TimeDelta::seconds(60);

/// The process that stands for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionProcess {
    pub(crate) pid: u32,
    pub(crate) parent: Option<u32>,
    /// What tells it from others with its number, where that could be read.
    pub(crate) mark: Option<ProcessMark>,
}

/// A session to be registered. What is not known stays as the record has it, but for the process: another one is none of
/// this session's any more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Registration<'r> {
    pub(crate) id: &'r RecordId,
    pub(crate) process: Option<&'r SessionProcess>,
    pub(crate) hostname: Option<&'r str>,
    /// What tells machines of one name apart.
    pub(crate) machine_id: Option<&'r str>,
    pub(crate) working_dir: Option<&'r str>,
    pub(crate) provider: Option<&'r str>,
    pub(crate) transcript_path: Option<&'r str>,
    pub(crate) now: DateTime<Utc>,
}

/// A sign of life, or the end, of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sign<'s> {
    pub(crate) id: &'s RecordId,
    /// The process that gives it, where that is known.
    pub(crate) process: Option<&'s SessionProcess>,
    pub(crate) now: DateTime<Utc>,
}

/// What became of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registered {
    /// There is a new record.
    New,
    /// The record names this process now, and its start.
    Replaced,
    /// The same process had registered before; its start stays.
    Again,
}

/// What became of a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    Written,
    /// The last one is not older than the interval; nothing was written.
    Recent,
    /// There is no record; the caller registers the session instead.
    Missing,
    /// The record names another process, or none for certain; the caller registers this one instead.
    AnotherProcess,
    /// The session has ended, and this is no proof of the opposite; nothing was written.
    Completed,
}

/// What became of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Written,
    /// It had ended before; the first end counts.
    Already,
    /// There is no record; none is made.
    Missing,
    /// By now the session runs in another process, whose record it is; nothing was written.
    AnotherProcess,
}

/// The lock on the records, held while they are changed.
#[must_use]
pub(crate) struct HeldRecords<'r> {
    pub(super) records: &'r Records,
    _lock: Lock,
}

impl Records {
    /// Takes the lock whose file is `path`, for all records.
    pub(crate) fn lock(&self, path: &Path, policy: LockPolicy<'_>) -> Result<HeldRecords<'_>, RecordsError> {
        if let Some(folder) = path.parent() {
            make_folder(folder).map_err(RecordsError::Folder)?;
        }
        Ok(HeldRecords { records: self, _lock: Lock::take(path, policy)? })
    }
}

impl HeldRecords<'_> {
    /// Notes that a session starts, or goes on: in a new record, or over the one that it has. Its end is forgotten.
    pub(crate) fn register(&self, new: &Registration<'_>) -> Result<Registered, RecordsError> {
        self.records.refuse_links(new.id)?;
        make_folder(&self.records.folder_of(new.id)).map_err(RecordsError::Folder)?;
        self.change(new.id, |old| {
            let registered = match old {
                None => Registered::New,
                Some(old) if is_same_process(old, new.process) => Registered::Again,
                Some(_) => Registered::Replaced,
            };
            (registered, Some(registration(old, new, registered)))
        })
    }

    /// Notes a sign of life, unless the last one is not older than `interval`. A time in the future is no last one.
    ///
    /// A session that has ended stays so. Only its own process brings it back, by a sign more than a minute after the end: no
    /// hook that began before the end comes that late. What the original calls stopped is a turn that ended; the session goes
    /// on with the next sign.
    pub(crate) fn beat(&self, sign: &Sign<'_>, interval: Duration) -> Result<Beat, RecordsError> {
        self.change(sign.id, |old| {
            let Some(old) = old else { return (Beat::Missing, None) };
            let whose = Whose::of(old, sign.process);
            if old.is_completed() {
                let is_late = old.end_time.at().is_none_or(|end| sign.now - end <= LATE);
                match whose {
                    Whose::Same if !is_late => {}
                    Whose::Another | Whose::Unmarked if !is_late => return (Beat::AnotherProcess, None),
                    _ => return (Beat::Completed, None),
                }
            } else if matches!(whose, Whose::Another | Whose::Unmarked) {
                return (Beat::AnotherProcess, None);
            }
            let is_over = matches!(old.status.as_deref(), Some(COMPLETED | STOPPED));
            let is_recent = |last: DateTime<Utc>| (sign.now - last).to_std().is_ok_and(|age| age < interval);
            if !is_over && old.last_heartbeat.at().is_some_and(is_recent) {
                return (Beat::Recent, None);
            }
            let mut changes = vec![("last_heartbeat", time(sign.now))];
            if is_over {
                changes.extend(NOT_OVER);
            }
            (Beat::Written, Some(changes))
        })
    }

    /// Notes that a session has ended, and why. Whoever is not known to be its process ends no session whose process runs by
    /// `runs`.
    pub(crate) fn end(
        &self,
        sign: &Sign<'_>,
        reason: Option<&str>,
        runs: &dyn Fn(&Record) -> bool,
    ) -> Result<Ended, RecordsError> {
        self.change(sign.id, |old| match old {
            None => (Ended::Missing, None),
            Some(old) if Whose::of(old, sign.process) == Whose::Unknown && runs(old) => (Ended::AnotherProcess, None),
            Some(old) if Whose::of(old, sign.process) == Whose::Another => (Ended::AnotherProcess, None),
            Some(old) if old.is_completed() && old.end_time.at().is_some() => (Ended::Already, None),
            Some(_) => {
                let mut changes = vec![
                    ("end_time", time(sign.now)),
                    ("status", MemberChange::Set(COMPLETED.into())),
                    ("stop_time", MemberChange::Gone),
                ];
                changes.extend(reason.map(|reason| ("end_reason", MemberChange::Set(reason.into()))));
                (Ended::Written, Some(changes))
            }
        })
    }

    /// Changes one record by what `decide` says to it, again and again as long as somebody else changes it meanwhile.
    fn change<T>(
        &self,
        id: &RecordId,
        mut decide: impl FnMut(Option<&Record>) -> (T, Option<Vec<(&'static str, MemberChange)>>),
    ) -> Result<T, RecordsError> {
        let folder = self.records.folder_of(id);
        let path = folder.join("metadata.json");
        self.records.refuse_links(id)?;
        let mut outcome = None;
        let written = update(&path, LARGEST, 0o600, |bytes| {
            // Between this look and the one before somebody may have put a link in place.
            self.records.refuse_links(id)?;
            let senseless = |why: String| RecordsError::Senseless { path: path.clone(), why };
            let text = bytes.unwrap_or(EMPTY);
            let object = match Object::parse(text) {
                Ok(object) => object,
                Err(error) => return Ok(Decision::Senseless(senseless(error.to_string()))),
            };
            // Where it was read does not matter here.
            let old = bytes.map(|_| Record::of(id.clone(), folder.clone(), Source::Registry, &object));
            let other = object.raw("session_id").filter(|raw| *raw != "null");
            let is_other = || object.value("session_id").is_none_or(|value| value != id.as_str());
            if let Some(other) = other.filter(|_| is_other()) {
                return Err(senseless(format!("it is the metadata of the session {other}")));
            }
            let (said, changes) = decide(old.as_ref());
            outcome = Some(said);
            Ok(match changes.and_then(|changes| object.changed(&changes)) {
                Some(edited) => Decision::Write(edited.slices(text).concat()),
                None => Decision::Keep,
            })
        })?;
        if written && let Err(error) = remove_leftovers(&folder, &[OsStr::new("metadata.json")]) {
            log::debug!("left-over temporary files stay: {error}");
        }
        outcome.ok_or_else(|| UpdateError::Restless(path).into())
    }
}

impl Records {
    /// Nothing is written through a link, or over what is no file.
    fn refuse_links(&self, id: &RecordId) -> Result<(), RecordsError> {
        let folder = self.folder_of(id);
        let metadata = folder.join("metadata.json");
        for (path, kind) in [(folder, FileType::Directory), (metadata, FileType::RegularFile)] {
            match rustix::fs::lstat(&path).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                Ok(found) if found == kind => {}
                Ok(found) => {
                    let why = if found == FileType::Symlink { "it is a link" } else { "it is something else" };
                    return Err(RecordsError::Refused { path, why });
                }
                Err(Errno::NOENT) => return Ok(()),
                Err(error) => return Err(RecordsError::Unreadable { path, cause: error.into() }),
            }
        }
        Ok(())
    }
}

/// Whose record it is, seen from a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Same,
    Another,
    /// The record names no process for certain, and this one is certain.
    Unmarked,
    /// The process that asks is not known, or not for certain.
    Unknown,
}

impl Whose {
    fn of(record: &Record, process: Option<&SessionProcess>) -> Self {
        let Some(process) = process else { return Self::Unknown };
        match (&record.process, &process.mark) {
            (Some(recorded), Some(mark)) if record.pid == Some(process.pid) && recorded.is_same(mark) => Self::Same,
            (Some(_), Some(_)) => Self::Another,
            (None, Some(_)) => Self::Unmarked,
            (_, None) => Self::Unknown,
        }
    }
}

fn is_same_process(record: &Record, process: Option<&SessionProcess>) -> bool {
    Whose::of(record, process) == Whose::Same
}

/// What a session that goes on has no more.
const NOT_OVER: [(&str, MemberChange); 4] = [
    ("end_time", MemberChange::Gone),
    ("stop_time", MemberChange::Gone),
    ("status", MemberChange::Gone),
    ("end_reason", MemberChange::Gone),
];

/// What a registration changes, the original's members in the original's order.
fn registration(
    old: Option<&Record>,
    new: &Registration<'_>,
    registered: Registered,
) -> Vec<(&'static str, MemberChange)> {
    let told = |text: Option<&str>| text.map(|text| MemberChange::Set(text.into()));
    let certain = |value: Option<Value>| Some(value.map_or(MemberChange::Gone, MemberChange::Set));
    let mark = new.process.and_then(|process| process.mark.as_ref());
    let keeps_start = registered == Registered::Again
        && old.is_some_and(|old| matches!(old.start_time, Time::At(start) if start <= new.now));
    let members = [
        ("session_id", told(Some(new.id.as_str()))),
        ("pid", certain(new.process.map(|process| process.pid.into()))),
        ("ppid", certain(new.process.and_then(|process| process.parent).map(Value::from))),
        ("start_time", (!keeps_start).then(|| time(new.now))),
        ("hostname", told(new.hostname)),
        ("working_dir", told(new.working_dir)),
        ("last_heartbeat", Some(time(new.now))),
        ("platform", told(Some("linux"))),
        ("proc_start", certain(mark.map(|mark| mark.start_ticks.into()))),
        ("boot_id", certain(mark.map(|mark| mark.boot_id.as_str().into()))),
        ("pid_namespace", certain(mark.and_then(|mark| mark.pid_namespace).map(Value::from))),
        ("machine_id", certain(new.machine_id.map(Value::from))),
        ("provider", told(new.provider)),
        ("transcript_path", told(new.transcript_path)),
    ];
    let mut changes: Vec<_> = members.into_iter().filter_map(|(key, change)| Some((key, change?))).collect();
    changes.extend(NOT_OVER);
    changes
}

fn time(at: DateTime<Utc>) -> MemberChange {
    MemberChange::Set(Timestamp(at).to_string().into())
}

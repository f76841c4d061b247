//! What one session's metadata says.
//!
//! `{"session_id", "pid", "ppid", "start_time", "hostname", "working_dir", "last_heartbeat", "platform"}` is what the original
//! writes, with `end_time` or `stop_time` and `status` in the end. `proc_start`, `boot_id`, `pid_namespace`, `provider`,
//! `transcript_path` and `end_reason` are ours. What is not there is absent; what is there and makes no sense is a doubt.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::id::RecordId;
use crate::filesystem::walk::FileStamp;
use crate::json::Object;
use crate::policy::timestamp::parse_loosely;

/// The largest number that Linux gives to a process.
const LARGEST_PID: u64 = 4_194_304;
/// How much of a text that is no time is kept to be shown.
const SHOWN: usize = 64;

/// Status of a session that ended and said so.
pub(super) const COMPLETED: &str = "completed";
/// Status that the original gives at the end of each turn.
pub(super) const STOPPED: &str = "stopped";

/// A session as its record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The name of its folder.
    pub(crate) session_id: RecordId,
    pub(crate) folder: PathBuf,
    pub(crate) pid: Option<u32>,
    /// What tells the process from every other that has or had its number.
    pub(crate) process: Option<ProcessMark>,
    pub(crate) hostname: Option<String>,
    /// What tells machines of one name apart (machine-id(5)).
    pub(crate) machine_id: Option<String>,
    pub(crate) start_time: Time,
    pub(crate) last_heartbeat: Time,
    pub(crate) end_time: Time,
    pub(crate) stop_time: Time,
    pub(crate) status: Option<String>,
    pub(crate) working_dir: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) transcript_path: Option<String>,
    /// Why nothing may be done by this record: it cannot be read, or contradicts itself.
    pub(crate) doubt: Option<String>,
    pub(crate) source: Source,
}

/// Where a record was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// In its folder's metadata.json, which was this one.
    Metadata(FileStamp),
    /// In registry.jsonl, because its folder has no metadata.json. It is as old as the session's registration: what came
    /// after (heartbeats, the end) is not known.
    Registry,
}

/// What tells a process from others with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessMark {
    /// When it started, in clock ticks after boot (field 22 of `/proc/<pid>/stat`).
    pub(crate) start_ticks: u64,
    pub(crate) boot_id: String,
    /// The pid namespace in which it has its number, where that is known.
    pub(crate) pid_namespace: Option<u64>,
}

impl ProcessMark {
    /// Whether both mark the same process, given that the pids are the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let spaces = self.pid_namespace.zip(other.pid_namespace);
        self.start_ticks == other.start_ticks
            && self.boot_id == other.boot_id
            && spaces.is_none_or(|(one, other)| one == other)
    }
}

/// A time in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Time {
    Absent,
    At(DateTime<Utc>),
    /// Something is there that names no time; its beginning.
    Unreadable(String),
}

impl Time {
    /// The time, where there is one.
    pub(crate) fn at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::At(time) => Some(*time),
            Self::Absent | Self::Unreadable(_) => None,
        }
    }
}

impl Record {
    /// A record that says nothing.
    pub(super) fn empty(session_id: RecordId, folder: PathBuf, source: Source) -> Self {
        Self {
            session_id,
            folder,
            pid: None,
            process: None,
            hostname: None,
            machine_id: None,
            start_time: Time::Absent,
            last_heartbeat: Time::Absent,
            end_time: Time::Absent,
            stop_time: Time::Absent,
            status: None,
            working_dir: None,
            provider: None,
            transcript_path: None,
            doubt: None,
            source,
        }
    }

    /// A record from a metadata's text.
    pub(super) fn parse(session_id: RecordId, folder: PathBuf, source: Source, text: &[u8]) -> Self {
        let record = Self::empty(session_id, folder, source);
        match Object::parse(text) {
            Ok(object) => record.with(&object),
            Err(error) => Self { doubt: Some(format!("its metadata makes no sense: {error}")), ..record },
        }
    }

    /// A record from a metadata's object.
    pub(super) fn of(session_id: RecordId, folder: PathBuf, source: Source, object: &Object<'_>) -> Self {
        Self::empty(session_id, folder, source).with(object)
    }

    /// This record with what an object says.
    fn with(mut self, object: &Object<'_>) -> Self {
        let mut reader = Reader { object, doubt: None };
        let id = reader.text("session_id");
        if let Some(id) = id.filter(|id| *id != self.session_id.as_str()) {
            reader.doubt(format!("it is another session's metadata: {}", shown(&id)));
        }
        self.pid = reader.pid();
        self.process = reader.mark();
        self.hostname = reader.text("hostname");
        self.machine_id = reader.text("machine_id");
        self.start_time = reader.time("start_time");
        self.last_heartbeat = reader.time("last_heartbeat");
        self.end_time = reader.time("end_time");
        self.stop_time = reader.time("stop_time");
        self.status = reader.text("status");
        self.working_dir = reader.text("working_dir");
        self.provider = reader.text("provider");
        self.transcript_path = reader.text("transcript_path");
        self.doubt = reader.doubt;
        self
    }

    /// Whether the session ended and said so.
    pub(crate) fn is_completed(&self) -> bool {
        self.status.as_deref() == Some(COMPLETED)
    }
}

/// Reads members of an object, and notes the first that makes no sense.
struct Reader<'o, 't> {
    object: &'o Object<'t>,
    doubt: Option<String>,
}

impl Reader<'_, '_> {
    fn doubt(&mut self, why: String) {
        self.doubt.get_or_insert(why);
    }

    /// A member's value. None where there is none, or `null`.
    fn value(&mut self, key: &str) -> Option<Value> {
        let raw = self.object.raw(key)?;
        match serde_json::from_str(raw) {
            Ok(Value::Null) => None,
            Ok(value) => Some(value),
            Err(error) => {
                self.doubt(format!("its {key} cannot be read: {error}"));
                None
            }
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::String(text) => Some(text),
            other => {
                self.doubt(format!("its {key} is no text: {}", shown(&other.to_string())));
                None
            }
        }
    }

    fn number(&mut self, key: &str) -> Option<u64> {
        let value = self.value(key)?;
        let number = value.as_u64();
        if number.is_none() {
            self.doubt(format!("its {key} is no number of that kind: {}", shown(&value.to_string())));
        }
        number
    }

    fn pid(&mut self) -> Option<u32> {
        let number = self.number("pid")?;
        if !(1..=LARGEST_PID).contains(&number) {
            self.doubt(format!("its pid is no process's: {number}"));
            return None;
        }
        u32::try_from(number).ok()
    }

    fn mark(&mut self) -> Option<ProcessMark> {
        let start_ticks = self.number("proc_start");
        let boot_id = self.text("boot_id");
        let pid_namespace = self.number("pid_namespace");
        Some(ProcessMark { start_ticks: start_ticks?, boot_id: boot_id?, pid_namespace })
    }

    fn time(&self, key: &str) -> Time {
        match self.object.raw(key) {
            None | Some("null") => Time::Absent,
            Some(raw) => match serde_json::from_str::<String>(raw) {
                Ok(text) => parse_loosely(&text).map_or_else(|| Time::Unreadable(shown(&text)), Time::At),
                Err(_) => Time::Unreadable(shown(raw)),
            },
        }
    }
}

/// The beginning of a text.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

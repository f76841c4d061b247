//! The file that a running process keeps about its session, and what it proves.
//!
//! Claude Code: `sessions/<pid>.json` with `procStart` (ticks after boot, as text) and `pidDomain`; versions up to
//! 2.1.197 write no `pidDomain`, an older form only `pid`, `session_id` and `cwd`. Qwen Code 0.24: `<pid>.json` or
//! `<pid>-<8 hex>.json` with `procStart` `"<boot id>:<ticks>"` and `pidNs`. Both leave the file behind when the process
//! is killed.

use std::cell::OnceCell;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::super::record_time;
use super::signs::Standing;
use crate::filesystem::proc::Proc;

/// Where Linux keeps the id that the first part of a `pidDomain` repeats.
const MACHINE_ID: &str = "/etc/machine-id";

/// How much later than its record a process may seem to start: the kernel tells the time of boot in whole seconds.
pub(super) const START_TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// How a record names a process.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct WrittenProcess {
    pub(super) pid: Option<u32>,
    start: Option<String>,
    started_at: Option<DateTime<Utc>>,
    namespace: Option<u64>,
    machine: Option<String>,
    pub(super) last_activity: Option<DateTime<Utc>>,
}

impl WrittenProcess {
    fn of(value: &Value) -> Self {
        let time = |names: &[&str]| match field(value, names)? {
            Value::Number(number) => record_time::from_number(number.as_f64()?),
            Value::String(text) => record_time::from_text(text),
            _ => None,
        };
        let domain = field(value, &["pidDomain"]).and_then(Value::as_str);
        Self {
            pid: pid(value, "pid"),
            start: field(value, &["procStart", "proc_start"]).map(|start| match start {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }),
            started_at: time(&["startedAt", "started_at"]),
            namespace: field(value, &["pidNs"]).and_then(Value::as_u64).or_else(|| namespace_in(domain?)),
            machine: domain.and_then(machine_in).map(str::to_owned),
            last_activity: time(&["updatedAt"]).max(time(&["statusUpdatedAt"])).max(time(&["startedAt"])),
        }
    }
}

/// What a process wrote about itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LiveRecord {
    pub(super) session: String,
    pub(super) process: WrittenProcess,
}

impl LiveRecord {
    /// Parses a record; `None` when it is no JSON object that names a session.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(text).ok()?;
        let session = session(&value)?;
        Some(Self { session, process: WrittenProcess::of(&value) })
    }
}

/// What a daemon wrote about itself and its workers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Roster {
    pub(super) supervisor: Option<WrittenProcess>,
    /// With the session of each, if it has one yet.
    pub(super) workers: Vec<(Option<String>, WrittenProcess)>,
}

impl Roster {
    /// Parses a list; `None` when it is no JSON object.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(text).ok()?;
        let workers = value.as_object()?.get("workers").and_then(Value::as_object);
        let worker = |worker: &Value| (session(worker), WrittenProcess::of(worker));
        Some(Self {
            supervisor: pid(&value, "supervisorPid")
                .map(|pid| WrittenProcess { pid: Some(pid), ..WrittenProcess::default() }),
            workers: workers.map(|workers| workers.values().map(worker).collect()).unwrap_or_default(),
        })
    }
}

/// What a daemon without workers wrote about itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DaemonRecord {
    pub(super) pid: u32,
    pub(super) process: WrittenProcess,
}

impl DaemonRecord {
    /// Parses a record; `None` when it is no JSON object that names a process.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(text).ok()?;
        let mut process = WrittenProcess::of(&value);
        let pid = process.pid?;
        if let Some(identity) = field(&value, &["processIdentity"]) {
            let boot = identity.get("bootId").and_then(Value::as_str);
            let ticks = identity.get("startTicks").map(|ticks| ticks.as_str().map_or(ticks.to_string(), str::to_owned));
            process.start = boot.zip(ticks).map(|(boot, ticks)| format!("{boot}:{ticks}")).or(process.start);
        }
        Some(Self { pid, process })
    }
}

fn field<'v>(value: &'v Value, names: &[&str]) -> Option<&'v Value> {
    names.iter().find_map(|name| value.get(name)).filter(|value| !value.is_null())
}

fn pid(value: &Value, name: &str) -> Option<u32> {
    field(value, &[name]).and_then(Value::as_u64).and_then(|pid| u32::try_from(pid).ok())
}

fn session(value: &Value) -> Option<String> {
    field(value, &["sessionId", "session_id"]).and_then(Value::as_str).map(str::to_owned)
}

/// The inode number in `linux:<machine id>:pid:[4026531836]`.
fn namespace_in(domain: &str) -> Option<u64> {
    domain.rsplit_once(":pid:[")?.1.strip_suffix(']')?.parse().ok()
}

/// The machine id in it; zeros are no id.
fn machine_in(domain: &str) -> Option<&str> {
    let id = domain.strip_prefix("linux:")?.split(':').next()?;
    (!id.bytes().all(|byte| byte == b'0')).then_some(id)
}

/// What is known about this machine; read when first needed.
pub(super) struct Host<'p> {
    pub(super) proc: &'p Proc,
    boot_id: OnceCell<Option<String>>,
    boot_time: OnceCell<Option<DateTime<Utc>>>,
    namespace: OnceCell<Option<u64>>,
    machine: OnceCell<Option<String>>,
}

impl<'p> Host<'p> {
    pub(super) fn new(proc: &'p Proc) -> Self {
        Self {
            proc,
            boot_id: OnceCell::new(),
            boot_time: OnceCell::new(),
            namespace: OnceCell::new(),
            machine: OnceCell::new(),
        }
    }

    /// Whether something that was written at `time` was written before this machine started.
    fn is_before_boot(&self, time: DateTime<Utc>) -> bool {
        self.boot_time.get_or_init(|| self.proc.boot_time().ok()).is_some_and(|boot| time + START_TOLERANCE < boot)
    }

    /// Whether a process of which something was written at `time` ended when this machine last did. Our boot says
    /// nothing of processes elsewhere.
    fn has_ended_with_boot(&self, process: &WrittenProcess, time: DateTime<Utc>) -> bool {
        let may_be_elsewhere = process.machine.as_deref().is_some_and(|written| self.machine_id() != Some(written));
        !may_be_elsewhere && self.is_before_boot(time)
    }

    /// Whether a record was written in another pid namespace or on another machine, where its pid means something else.
    fn is_foreign(&self, process: &WrittenProcess) -> bool {
        let namespace = self.namespace.get_or_init(|| self.proc.pid_namespace().ok());
        // Machines without an id, or with one that is not ours to read, are not told apart.
        let machines = || process.machine.as_deref().zip(self.machine_id());
        process.namespace.zip(*namespace).is_some_and(|(written, own)| written != own)
            || machines().is_some_and(|(written, own)| written != own)
    }

    /// This machine's id, where it has one.
    fn machine_id(&self) -> Option<&str> {
        let id = || fs_err::read_to_string(MACHINE_ID).ok().map(|id| id.trim().to_owned());
        self.machine.get_or_init(id).as_deref().filter(|id| !id.is_empty())
    }

    /// What became of a process. `written` is the time of the file, for those that do not tell when it started;
    /// `subject` is what the process has recorded, for messages.
    pub(super) fn standing(
        &self,
        process: &WrittenProcess,
        pid: u32,
        written: DateTime<Utc>,
        subject: &str,
    ) -> Standing {
        let started_at = process.started_at.unwrap_or(written);
        if self.is_foreign(process) {
            let gone = matches!(self.proc.start_ticks(pid), Ok(None));
            if self.has_ended_with_boot(process, started_at) || gone && self.has_ended_with_boot(process, written) {
                return Standing::Gone;
            }
            let reason = format!("process {pid} of another container or machine has recorded {subject}");
            return Standing::Unverifiable(reason);
        }
        match self.is_same(process, pid, started_at) {
            Ok(true) => Standing::Live,
            Ok(false) => Standing::Gone,
            Err(error) => Standing::Unverifiable(format!(
                "process {pid} has recorded {subject} and could not be examined: {error}"
            )),
        }
    }

    fn is_same(&self, process: &WrittenProcess, pid: u32, started_at: DateTime<Utc>) -> std::io::Result<bool> {
        let Some(ticks) = self.proc.start_ticks(pid)? else { return Ok(false) };
        let written = process.start.as_deref().unwrap_or_default();
        if let Ok(written) = written.parse::<u64>() {
            return Ok(written == ticks);
        }
        if let Some((boot, Ok(written))) = written.rsplit_once(':').map(|(boot, ticks)| (boot, ticks.parse::<u64>())) {
            let own = self.boot_id.get_or_init(|| self.proc.boot_id().ok());
            return Ok(written == ticks && own.as_deref().is_none_or(|own| own == boot));
        }
        // Nothing to compare: a process that started after the record was written is not the one that wrote it.
        Ok(self.proc.start_time(pid)?.is_some_and(|start| start <= started_at + START_TOLERANCE))
    }
}

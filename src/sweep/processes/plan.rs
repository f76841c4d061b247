//! What is to be done: every process and every record with its verdict and the reasons.

use std::path::PathBuf;
use std::time::Duration;

use crate::policy::orphan::{Heartbeat, Judgement, Verdict};
use crate::policy::session_record::Fate;
use crate::processes::records::Record;
use crate::processes::terminate::Target;

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The processes that were looked at, the orphaned ones first, the oldest first.
    pub(crate) processes: Vec<Item>,
    /// Every record of a session, by id.
    pub(crate) records: Vec<RecordItem>,
    /// Processes that have ended and that their parents do not notice.
    pub(crate) zombies: Vec<Zombies>,
    /// The CLI that this run was started by, where there is one.
    pub(crate) current: Option<Current>,
    /// What could not be looked at.
    pub(crate) problems: Vec<String>,
}

/// One process and what it started.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) process: Process,
    /// The provider's name, for one that looks like a CLI's.
    pub(crate) provider: Option<String>,
    /// Whether it looks like the CLI itself; else like something that CLIs start.
    pub(crate) is_cli: bool,
    /// The sessions that it is of: the one that decides first.
    pub(crate) sessions: Vec<String>,
    /// When its tracked session gave its last sign of life.
    pub(crate) heartbeat: Option<Heartbeat>,
    pub(crate) judgement: Judgement,
    /// All that it started and still has, the deepest first; it ends with it.
    pub(crate) below: Vec<Process>,
}

/// A process as a report shows it.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) start_ticks: u64,
    pub(crate) name: String,
    pub(crate) parent: u32,
    pub(crate) parent_name: Option<String>,
    pub(crate) age: Option<Duration>,
    pub(crate) cpu: Duration,
    /// Memory in RAM, what it shares with others included, in bytes.
    pub(crate) memory: u64,
    /// What would be free without it, in bytes; read for orphans alone.
    pub(crate) own_memory: Option<u64>,
    /// Its controlling terminal.
    pub(crate) terminal: Option<String>,
    pub(crate) executable: Option<PathBuf>,
    pub(crate) groups: Option<String>,
    /// What it was started with; empty where that was not read.
    pub(crate) arguments: Vec<String>,
    /// Where it works.
    pub(crate) working_folder: Option<PathBuf>,
    /// It ended while it was looked at.
    pub(super) is_gone: bool,
}

/// One record of a session.
#[derive(Debug, Clone)]
pub(crate) struct RecordItem {
    pub(crate) record: Record,
    /// What is the case with the process that it names.
    pub(crate) verdict: Verdict,
    pub(crate) fate: Fate,
    pub(crate) reason: String,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) age: Option<Duration>,
    /// Whether it goes once the orphans of its session have ended.
    pub(crate) goes_with_orphans: bool,
}

/// Processes that have ended, and the parent that does not notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zombies {
    pub(crate) pids: Vec<u32>,
    pub(crate) name: String,
    pub(crate) parent: u32,
    pub(crate) parent_name: String,
}

/// The session in which a run was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Current {
    pub(crate) pid: u32,
    pub(crate) provider: String,
    pub(crate) session: Option<String>,
}

impl Plan {
    /// The processes that are to be ended, with what they started.
    pub(crate) fn orphans(&self) -> impl Iterator<Item = &Item> {
        self.processes.iter().filter(|item| item.judgement.verdict == Verdict::Orphaned)
    }

    /// The records that are to be removed as things are.
    pub(crate) fn going_records(&self) -> impl Iterator<Item = &RecordItem> {
        self.records.iter().filter(|item| item.fate.goes())
    }

    /// How many processes have this verdict.
    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.processes.iter().filter(|item| item.judgement.verdict == verdict).count()
    }

    /// How many records have this fate.
    pub(crate) fn count_records(&self, fate: Fate) -> usize {
        self.records.iter().filter(|item| item.fate == fate).count()
    }

    /// The sessions whose processes or records were left behind, as process-janitor counts them.
    pub(crate) fn orphaned_sessions(&self) -> Vec<&str> {
        let of_processes = self.orphans().filter_map(Item::session);
        let left_over = self.records.iter().filter(|item| item.fate == Fate::LeftOver);
        let mut ids: Vec<&str> = of_processes.chain(left_over.map(|item| item.record.session_id.as_str())).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// What process-janitor's `orphaned_count` counts: processes that were left behind, and sessions of which only a record was.
    pub(crate) fn orphaned_count(&self) -> usize {
        self.count(Verdict::Orphaned) + self.count_records(Fate::LeftOver)
    }

    /// Whether there is something to do.
    pub(crate) fn has_work(&self) -> bool {
        self.orphans().next().is_some() || self.going_records().next().is_some()
    }

    /// What would be free without the orphans, in bytes.
    pub(crate) fn memory_of_orphans(&self) -> u64 {
        self.orphans().flat_map(Item::all).filter_map(|process| process.own_memory).sum()
    }
}

impl Item {
    /// It and all that it started, the deepest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Process> {
        self.below.iter().chain([&self.process])
    }

    /// The session that decides about it.
    pub(crate) fn session(&self) -> Option<&str> {
        self.sessions.first().map(String::as_str)
    }

    /// Whether it is of this session.
    pub(crate) fn is_of(&self, id: &str) -> bool {
        self.sessions.iter().any(|session| session == id)
    }

    /// What is to be ended, the deepest first; an error where not all of it could be read.
    pub(crate) fn targets(&self, user: u32) -> Result<Vec<Target>, String> {
        let target = |process: &Process| {
            let unread = || format!("what process {} runs cannot be told", process.pid);
            Ok(Target {
                pid: process.pid,
                start_ticks: process.start_ticks,
                user,
                executable: process.executable.clone().ok_or_else(unread)?,
                groups: process.groups.clone().ok_or_else(unread)?,
            })
        };
        self.all().map(target).collect()
    }
}

impl RecordItem {
    /// Whether a run that does all that the plan says removes it.
    pub(crate) fn goes(&self) -> bool {
        self.fate.goes() || self.goes_with_orphans
    }
}

//! What can be wrong with an installation: one table of checks, each a pure decision over facts that were gathered before.
//! What gathers a fact that one check alone needs (what a schedule starts, what the CLIs will delete) stands beside it.
//!
//! Promises: nothing is written and no lock is taken; a fact that could not be learned makes its checks `unknown`, never
//! `ok`; whatever is not `ok` says what to do about it.

mod binary;
mod bridge;
mod config;
mod machine;
mod map;
mod processes;
mod queues;
mod registry;
mod retention;
mod schedule;
mod stores;

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use crate::filesystem::FolderObjection;
use crate::schedule::runs::Run;
use crate::schedule::{Login, Schedule, Schedules};

pub(crate) use binary::Binary;
pub(crate) use bridge::{Asked, WrittenBack, differences};
pub(crate) use config::ConfigFacts;
pub(crate) use map::{MapFacts, MapText};
pub(crate) use processes::{ProcessesFacts, Scan};
pub(crate) use queues::{QueueFacts, QueueLook};
pub(crate) use registry::{RegistryFacts, RegistryText};
pub(crate) use retention::{Cleanup, cleanups};
pub(crate) use stores::Store;

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// As it should be.
    Ok,
    /// It works, and may not go on doing so.
    Warning,
    /// It does not work.
    Wrong,
    /// It could not be found out.
    Unknown,
}

impl Status {
    /// For tables and JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
            Self::Unknown => "unknown",
        }
    }
}

/// The answer of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) status: Status,
    /// What is the case.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) remedy: Option<String>,
}

impl Finding {
    fn ok(message: impl Into<String>) -> Self {
        Self { status: Status::Ok, message: message.into(), remedy: None }
    }

    fn warning(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Warning, message: message.into(), remedy: Some(remedy.into()) }
    }

    fn wrong(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Wrong, message: message.into(), remedy: Some(remedy.into()) }
    }

    fn unknown(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Unknown, message: message.into(), remedy: Some(remedy.into()) }
    }

    /// What needs the settings cannot be asked without them.
    fn without_settings() -> Self {
        Self::unknown("depends on the configuration, which is wrong", "put the configuration right")
    }
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Check {
    /// Part of the interface.
    pub(crate) id: &'static str,
    /// What it looks at, in a few words.
    pub(crate) looks_at: &'static str,
    decide: fn(&Facts) -> Finding,
}

/// All checks, in the order in which they are shown.
pub(crate) static CHECKS: [Check; 15] = [
    Check { id: "config", looks_at: "files and variables with settings", decide: config::config },
    Check { id: "map-readable", looks_at: "the session map", decide: map::readable },
    Check { id: "map-writable", looks_at: "the session map's folder", decide: map::writable },
    Check { id: "stores", looks_at: "the CLIs' own folders", decide: stores::stores },
    Check { id: "bridge", looks_at: "the bridge's own list", decide: bridge::bridge },
    Check { id: "written-back", looks_at: "tombstones of what is there again", decide: bridge::written_back },
    Check { id: "registry", looks_at: "the registry of numbered sessions", decide: registry::registry },
    Check { id: "processes", looks_at: "processes that CLIs left behind", decide: processes::processes },
    Check { id: "queues", looks_at: "agent hosts' queues and containers", decide: queues::queues },
    Check { id: "schedule", looks_at: "timers and cron", decide: schedule::schedule },
    Check { id: "last-run", looks_at: "the run log and systemd's memory", decide: schedule::last_run },
    Check { id: "binary", looks_at: "the program that the schedule starts", decide: binary::binary },
    Check { id: "clock", looks_at: "the machine's clock", decide: machine::clock },
    Check { id: "state-folder", looks_at: "the folder with our own state", decide: machine::state_folder },
    Check { id: "retention", looks_at: "what the CLIs delete themselves", decide: retention::retention },
];

/// Everything that the checks decide on.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) now: DateTime<Utc>,
    pub(crate) login: Login,
    pub(crate) config: ConfigFacts,
    pub(crate) schedules: Schedules,
    /// By when each of this user's schedules should have run again, in their order; nothing where nobody knows.
    pub(crate) deadlines: Vec<Option<DateTime<Utc>>>,
    /// The daemon, where one runs.
    pub(crate) daemon: Option<u32>,
    /// The areas that a daemon looks after by the settings of now; nothing where those are wrong.
    pub(crate) areas: Option<Vec<&'static str>>,
    /// Whether something runs lines for cron, where that can be seen.
    pub(crate) cron_is_running: Option<bool>,
    /// This user's runs, the oldest first, or why they cannot be read.
    pub(crate) runs: Result<Vec<Run>, String>,
    /// What each of this user's schedules starts.
    pub(crate) binaries: Vec<Binary>,
    /// What the machine says about its clock.
    pub(crate) is_synchronized: Option<bool>,
    /// Our state folder and what speaks against it.
    pub(crate) state: Option<(PathBuf, Result<Option<FolderObjection>, String>)>,
    /// Nothing of this is known where the settings are wrong.
    pub(crate) map: Option<MapFacts>,
    pub(crate) stores: Option<Vec<Store>>,
    pub(crate) registry: Option<RegistryFacts>,
    pub(crate) processes: Option<ProcessesFacts>,
    /// Each configured installation of an agent host.
    pub(crate) queues: Option<Vec<QueueFacts>>,
    pub(crate) cleanups: Option<Vec<Cleanup>>,
    pub(crate) bridge: Option<Asked>,
    pub(crate) written_back: Option<Result<WrittenBack, String>>,
    /// When output is coloured.
    pub(crate) color: Option<anstream::ColorChoice>,
}

impl Facts {
    /// This user's schedules.
    fn schedules(&self) -> Vec<&Schedule> {
        self.schedules.of(&self.login).collect()
    }

    /// Whether this is root, and all that is scheduled is scheduled for others.
    fn only_others(&self) -> bool {
        self.login.is_root() && self.schedules().is_empty() && !self.schedules.found.is_empty()
    }

    fn runs(&self) -> &[Run] {
        self.runs.as_deref().unwrap_or_default()
    }
}

/// Every check's answer, in the table's order.
pub(crate) fn examine(facts: &Facts) -> Vec<(&'static Check, Finding)> {
    CHECKS.iter().map(|check| (check, (check.decide)(facts))).collect()
}

/// `1 mapping`, `2 mappings`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own_and_says_what_it_looks_at() {
        for check in &CHECKS {
            assert!(check.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", check.id);
            assert!(!check.looks_at.is_empty(), "{}", check.id);
            assert_eq!(CHECKS.iter().filter(|other| other.id == check.id).count(), 1, "{}", check.id);
        }
    }
}

//! The run log: one line for each run of `sweep` that was no rehearsal, in the state folder. A `prune` by hand is not in it:
//! one that has nothing to remove writes nothing at all. Of the daemon's ticks there are those that did something, or ended
//! otherwise than the one before: all of them would push everything else out within hours.
//!
//! `runs.jsonl` is put aside as `runs.old.jsonl` when it has grown to 384 KiB, in place of the one before: together they
//! hold the last thousand runs or more.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::exit::ExitStatus;
use crate::filesystem::{log_line, make_folder, read_regular};
use crate::sweep::plan::Totals;

const FILE: &str = "runs.jsonl";
const OLD_FILE: &str = "runs.old.jsonl";
const LARGEST: u64 = 384 * 1024;

/// Who started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StartedBy {
    /// A person or a script.
    Hand,
    /// A systemd timer.
    Timer,
    /// Cron.
    Cron,
    /// The daemon, whose ticks are no runs of `sweep`.
    #[value(skip)]
    Daemon,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// When it began.
    pub(crate) at: DateTime<Utc>,
    pub(crate) started_by: StartedBy,
    /// Of a tick of the daemon, which has one area each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) area: Option<String>,
    pub(crate) took_ms: u64,
    /// Its exit code.
    pub(crate) exit: u8,
    /// The map, where there was one to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) map: Option<String>,
    /// What became of its mappings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) totals: Option<Totals>,
    /// What became of the registry, where it was swept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) registry: Option<RegistryTotals>,
    /// What became of processes, where they were swept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) processes: Option<ProcessTotals>,
    /// What became of queues, where an installation is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) queues: Option<QueueTotals>,
    /// What became of what sessions left on the disk, where it was swept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifacts: Option<ArtifactTotals>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// What a clean-up of the registry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegistryTotals {
    pub(crate) sessions: usize,
    pub(crate) marked_inactive: usize,
    pub(crate) beats_pruned: usize,
}

/// What a clean-up of processes did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessTotals {
    pub(crate) orphaned: usize,
    pub(crate) unknown: usize,
    pub(crate) ended: usize,
    pub(crate) refused: usize,
    pub(crate) records_removed: usize,
}

/// What a sweep of queues did, over all installations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueueTotals {
    pub(crate) sessions: usize,
    pub(crate) acknowledged: usize,
    pub(crate) retried: usize,
    pub(crate) failed: usize,
    /// Containers, orphans among them.
    pub(crate) stopped: usize,
    pub(crate) recurred: usize,
    pub(crate) woken: usize,
    /// What was refused, failed, or was not come to.
    pub(crate) left: usize,
}

/// What a prune of artifacts did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArtifactTotals {
    pub(crate) removed: usize,
    /// Bytes that the disk has back.
    pub(crate) freed: u64,
    /// Bytes that the archive takes more.
    pub(crate) archived: u64,
    /// What is past its limit and claimed by somebody.
    pub(crate) kept: usize,
    /// What was to go, and changed, was refused or failed.
    pub(crate) left: usize,
}

impl StartedBy {
    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hand => "hand",
            Self::Timer => "timer",
            Self::Cron => "cron",
            Self::Daemon => "daemon",
        }
    }
}

impl Run {
    /// What it came to.
    pub(crate) fn status(&self) -> ExitStatus {
        ExitStatus::of_code(self.exit.into())
    }
}

/// The log below one state folder.
#[derive(Debug, Clone)]
pub(crate) struct RunLog {
    state: PathBuf,
}

impl RunLog {
    pub(crate) fn below(state: &Path) -> Self {
        Self { state: state.to_owned() }
    }

    /// Where the newest runs are.
    pub(crate) fn path(&self) -> PathBuf {
        self.state.join(FILE)
    }

    /// Adds a run.
    pub(crate) fn add(&self, run: &Run) -> Result<()> {
        make_folder(&self.state)?;
        let line = serde_json::to_string(run)?;
        let written = log_line(&self.path(), &line, LARGEST, OsStr::new(OLD_FILE));
        written.with_context(|| format!("this run is not in the log {}", self.path().display()))
    }

    /// All runs, the oldest first. Lines that cannot be read are passed over.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub(crate) fn runs(&self) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        for name in [OLD_FILE, FILE] {
            match read_regular(&self.state.join(name), 4 * LARGEST) {
                Ok(text) => {
                    runs.extend(text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::{ArtifactTotals, QueueTotals, RegistryTotals, Run, RunLog, StartedBy};
    use crate::sweep::plan::Totals;

    fn run(second: i64) -> Run {
        Run {
            at: chrono::DateTime::from_timestamp(second, 0).unwrap(),
            started_by: StartedBy::Cron,
            area: None,
            took_ms: 12,
            exit: 0,
            map: Some("/m".to_owned()),
            totals: Some(Totals { checked: 3, pruned: 1, ..Totals::default() }),
            registry: Some(RegistryTotals { sessions: 13, marked_inactive: 10, beats_pruned: 0 }),
            processes: None,
            queues: Some(QueueTotals { sessions: 3, retried: 1, ..QueueTotals::default() }),
            artifacts: Some(ArtifactTotals { removed: 2, freed: 8192, ..ArtifactTotals::default() }),
            error: None,
        }
    }

    #[test]
    fn runs_come_back_in_order_and_what_is_no_run_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let log = RunLog::below(&folder.path().join("state"));
        assert_eq!(log.runs().unwrap(), []);
        log.add(&run(1)).unwrap();
        let torn = fs_err::read_to_string(log.path()).unwrap() + "[]\n{\"at\":\"2026";
        fs_err::write(log.path(), torn).unwrap();
        log.add(&run(2)).unwrap();
        assert_eq!(log.runs().unwrap(), [run(1), run(2)]);
    }

    #[test]
    fn the_log_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let log = RunLog::below(folder.path());
        (0..5_000).for_each(|second| log.add(&run(second)).unwrap());
        let runs = log.runs().unwrap();
        assert!(runs.len() >= 1_000, "{}", runs.len());
        assert_eq!(runs.last(), Some(&run(4_999)));
        let size: u64 =
            fs_err::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(size < 2 * 385 * 1024, "{size}");
    }
}

//! Writes down what a sweep came to.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::exit::ExitStatus;
use crate::schedule::runs::{ArtifactTotals, ProcessTotals, QueueTotals, RegistryTotals, Run, RunLog, StartedBy};
use crate::sweep::plan::Totals;

/// What a run came to.
pub(super) struct Outcome {
    pub(super) status: ExitStatus,
    /// Of a tick of the daemon.
    pub(super) area: Option<&'static str>,
    pub(super) map: Option<String>,
    pub(super) totals: Option<Totals>,
    pub(super) registry: Option<RegistryTotals>,
    pub(super) processes: Option<ProcessTotals>,
    pub(super) queues: Option<QueueTotals>,
    pub(super) artifacts: Option<ArtifactTotals>,
    /// What could not be looked at or done.
    pub(super) problems: Vec<String>,
    /// What stopped it half-way.
    pub(super) failure: Option<anyhow::Error>,
}

impl Outcome {
    /// There was nothing to look at.
    pub(super) const fn nothing() -> Self {
        Self {
            status: ExitStatus::Done,
            area: None,
            map: None,
            totals: None,
            registry: None,
            processes: None,
            queues: None,
            artifacts: None,
            problems: Vec::new(),
            failure: None,
        }
    }

    /// Nothing but a failure.
    pub(super) fn failed(failure: anyhow::Error) -> Self {
        Self { status: super::status_of(&failure), failure: Some(failure), ..Self::nothing() }
    }

    /// How the command ends.
    pub(super) fn end(self) -> anyhow::Result<ExitStatus> {
        self.failure.map_or(Ok(self.status), Err)
    }

    /// What the run log says of it, where not all is well.
    fn trouble(&self) -> Option<String> {
        const LONGEST: usize = 1_000;
        let failure = self.failure.iter().map(|failure| format!("{failure:#}"));
        let trouble: Vec<String> = failure.chain(self.problems.iter().cloned()).collect();
        (!trouble.is_empty()).then(|| trouble.join("; ").chars().take(LONGEST).collect())
    }
}

/// Adds to the run log what came of a run.
pub(super) fn log_run(
    state: &Path,
    started_by: StartedBy,
    at: DateTime<Utc>,
    took: Duration,
    result: Result<&Outcome, &anyhow::Error>,
) {
    let (exit, error) = match result {
        Ok(outcome) => (outcome.status, outcome.trouble()),
        Err(error) => (super::status_of(error), Some(format!("{error:#}"))),
    };
    let outcome = result.ok();
    let run = Run {
        at,
        started_by,
        area: outcome.and_then(|outcome| outcome.area).map(ToOwned::to_owned),
        took_ms: took.as_millis() as u64,
        exit: exit.code(),
        map: outcome.and_then(|outcome| outcome.map.clone()),
        totals: outcome.and_then(|outcome| outcome.totals),
        registry: outcome.and_then(|outcome| outcome.registry),
        processes: outcome.and_then(|outcome| outcome.processes),
        queues: outcome.and_then(|outcome| outcome.queues),
        artifacts: outcome.and_then(|outcome| outcome.artifacts),
        error,
    };
    // The work is done; that its line is missing must not turn it into a failure.
    if let Err(error) = RunLog::below(state).add(&run) {
        log::warn!("{error:#}");
    }
}

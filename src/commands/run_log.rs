//! Writes down what a sweep came to.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::exit::ExitStatus;
use crate::schedule::runs::{Run, RunLog, StartedBy};
use crate::sweep::plan::Totals;

/// What a run came to.
pub(super) struct Outcome {
    pub(super) status: ExitStatus,
    pub(super) map: Option<String>,
    pub(super) totals: Option<Totals>,
}

impl Outcome {
    /// There was nothing to look at.
    pub(super) const fn nothing() -> Self {
        Self { status: ExitStatus::Done, map: None, totals: None }
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
        Ok(outcome) => (outcome.status, None),
        Err(error) => (super::status_of(error), Some(format!("{error:#}"))),
    };
    let outcome = result.ok();
    let run = Run {
        at,
        started_by,
        took_ms: took.as_millis() as u64,
        exit: exit.code(),
        map: outcome.and_then(|outcome| outcome.map.clone()),
        totals: outcome.and_then(|outcome| outcome.totals),
        error,
    };
    // The work is done; that its line is missing must not turn it into a failure.
    if let Err(error) = RunLog::below(state).add(&run) {
        log::warn!("{error:#}");
    }
}

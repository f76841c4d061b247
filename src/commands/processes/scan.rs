//! `session-sweep processes scan`: what was left behind, read-only.

use anyhow::Result;

use super::Look;
use crate::commands::{report, tell_when_quiet};
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::processes::ScanView;

/// Exit 1 means that something was found, as process-janitor's scan has it, so that no failure may end with it.
pub(super) fn run(context: &Context) -> ExitStatus {
    scan(context).unwrap_or_else(|error| match report(&error) {
        ExitStatus::Failed => ExitStatus::Partial,
        status => status,
    })
}

fn scan(context: &Context) -> Result<ExitStatus> {
    let plan = Look::new(context)?.plan(false)?;
    context.output.show(&ScanView { now: context.now, dirs: &context.dirs, plan: &plan })?;
    tell_when_quiet(context.output, plan.problems.iter());
    Ok(match plan.orphaned_count() {
        0 if plan.problems.is_empty() => ExitStatus::Done,
        0 => ExitStatus::Partial,
        _ => ExitStatus::Found,
    })
}

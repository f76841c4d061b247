//! `session-sweep processes scan`: what was left behind, read-only.

use anyhow::Result;
use serde_json::json;

use super::Look;
use crate::commands::{report, tell_when_quiet};
use crate::config::Problems;
use crate::context::{Context, Given};
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::output::processes::ScanView;

/// Exit 1 means that something was found, as process-janitor's scan has it, so that no failure may end with it. Where JSON
/// was asked for, a failure is a document, too.
pub(super) fn run(context: Result<Context, Problems>, given: &Given) -> ExitStatus {
    let scanned = context.map_err(anyhow::Error::from).and_then(|context| scan(&context));
    scanned.unwrap_or_else(|error| {
        if given.json {
            // Nobody reads it where stdout is closed.
            let _ = Output::json(&json!({
                "schema": 1,
                "command": "processes scan",
                "orphaned_count": null,
                "orphaned_sessions": [],
                "error": format!("{error:#}"),
            }));
        }
        match report(&error, false) {
            ExitStatus::Failed => ExitStatus::Partial,
            status => status,
        }
    })
}

fn scan(context: &Context) -> Result<ExitStatus> {
    let plan = Look::new(context)?.plan(context.output.verbose > 0)?;
    context.output.show(&ScanView { now: context.now, dirs: &context.dirs, plan: &plan })?;
    tell_when_quiet(context.output, plan.problems.iter());
    Ok(match plan.orphaned_count() {
        0 if plan.problems.is_empty() => ExitStatus::Done,
        0 => ExitStatus::Partial,
        _ => ExitStatus::Found,
    })
}

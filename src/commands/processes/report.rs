//! `session-sweep processes report`: every session and process with its verdict, read-only.

use anyhow::Result;

use super::Look;
use super::arguments::Report;
use crate::commands::tell_when_quiet;
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::processes::ReportView;

pub(super) fn run(context: &Context, arguments: &Report) -> Result<ExitStatus> {
    let look = Look::new(context)?;
    let plan = look.plan(true)?;
    let folder = look.records.folder();
    let view = ReportView { now: context.now, dirs: &context.dirs, folder, plan: &plan, full: arguments.full };
    context.output.show(&view)?;
    tell_when_quiet(context.output, plan.problems.iter());
    Ok(if plan.problems.is_empty() { ExitStatus::Done } else { ExitStatus::Partial })
}

//! `session-sweep prune`: remove idle mappings from a bridge's session map.

use anyhow::{Context as _, Result};

use super::cli::Prune;
use super::map::{with_mappings, with_plan};
use super::run_log::Outcome;
use crate::config::setting::PostPrune;
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::prune::PruneView;
use crate::session_map::{MapError, SessionMap};
use crate::sweep::apply::{Applied, How, apply};
use crate::sweep::post_prune;

pub(super) fn run(context: &Context, arguments: &Prune) -> Result<ExitStatus> {
    let task = Task {
        map: arguments.map.map(context),
        dry_run: arguments.dry_run,
        exit_code: arguments.exit_code,
        program: "session-sweep prune",
    };
    let outcome = prune(context, &task, |view| match view {
        Some(view) => Ok(context.output.show(view)?),
        None if arguments.quiet_if_missing => Ok(()),
        None => Err(MapError::Missing(task.map.path().to_owned()).into()),
    })?;
    outcome.end()
}

/// A prune of one map.
pub(super) struct Task {
    pub(super) map: SessionMap,
    pub(super) dry_run: bool,
    /// A dry run tells by its exit code whether there is work to do.
    pub(super) exit_code: bool,
    /// What the lock says of this run.
    pub(super) program: &'static str,
}

/// Looks, decides, and unless it is a dry run applies; `show` is given what came of it, nothing where there is no map.
pub(super) fn prune(
    context: &Context,
    task: &Task,
    show: impl FnOnce(Option<&PruneView<'_>>) -> Result<()>,
) -> Result<Outcome> {
    let map = &task.map;
    with_mappings(context, map, |kept, bridge| {
        let Some(kept) = kept else {
            show(None)?;
            return Ok(Outcome::nothing());
        };
        with_plan(context, map, kept, |plan, keeper, memory| {
            let applied = if task.dry_run {
                None
            } else {
                let how = How {
                    lock: context.lock(task.program),
                    tombstones: context.config.settings.tombstones.duration(),
                    state: &context.dirs.state,
                    is_model: &|name| context.is_model(name),
                };
                Some(apply(plan, map, keeper, memory, &how)?)
            };
            let (applied, failure) = take_failure(applied)?;
            let map = map.path().to_string_lossy().into_owned();
            let mut view = PruneView { plan, map, bridge, applied: applied.as_ref(), after: None };
            view.after = tell(context, &view);
            show(Some(&view)).with_context(|| match applied.as_ref().map(|applied| applied.pruned) {
                Some(0) => "nothing was pruned, and that could not be reported".to_owned(),
                Some(pruned) => format!("{pruned} mappings were pruned, which could not be reported"),
                None => "the preview could not be shown".to_owned(),
            })?;
            let problems = view.problems();
            super::tell_when_quiet(context.output, problems.iter());
            let totals = view.totals();
            let status = match () {
                () if failure.is_some() => ExitStatus::Failed,
                () if !problems.is_empty() => ExitStatus::Partial,
                () if task.exit_code && totals.pruned > 0 => ExitStatus::WorkToDo,
                () => ExitStatus::Done,
            };
            Ok(Outcome {
                status,
                area: None,
                map: Some(view.map.clone()),
                totals: Some(totals),
                registry: None,
                processes: None,
                queues: None,
                artifacts: None,
                problems,
                failure,
            })
        })
    })
}

/// What stopped a run that had done something by then, taken out of what it did. Where it had done nothing it is the
/// error of the whole.
fn take_failure(applied: Option<Applied>) -> Result<(Option<Applied>, Option<anyhow::Error>)> {
    let Some(mut applied) = applied else { return Ok((None, None)) };
    match applied.failure.take() {
        Some(failure) if applied.pruned == 0 && applied.unsure == 0 => Err(failure),
        failure => Ok((Some(applied), failure)),
    }
}

/// Runs the command that is to follow a prune, where something was pruned; yields what went wrong with it.
fn tell(context: &Context, view: &PruneView<'_>) -> Option<String> {
    let PostPrune { command, limit } = &context.config.settings.post_prune;
    if command.is_empty() || view.applied.is_none_or(|applied| applied.pruned == 0) {
        return None;
    }
    let told = serde_json::to_vec(view).map_err(anyhow::Error::from);
    let told = told.and_then(|report| post_prune::run(command, &report, *limit));
    told.err().map(|error| format!("the mappings are pruned, but what was to follow failed: {error:#}"))
}

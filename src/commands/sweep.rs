//! `session-sweep sweep`: every area that the configuration enables; what timers and cron run.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::cli::Sweep;
use super::prune::{Task, prune};
use super::registry::CleanUp;
use super::run_log::{Outcome, log_run};
use super::{artifacts, processes, queues, sweep_lock};
use crate::config::{Dirs, Environment, Problems};
use crate::context::{Context, Given, clock};
use crate::exit::ExitStatus;
use crate::output::escape::Escaped;
use crate::output::registry::CleanupView;
use crate::output::sweep::SweepView;

pub(super) fn run(given: &Given, environment: &Environment, arguments: &Sweep) -> Result<ExitStatus> {
    match Context::new(given, environment.clone()) {
        Ok(context) => sweep(&context, arguments),
        Err(problems) => Err(refused(problems, arguments, environment)),
    }
}

fn sweep(context: &Context, arguments: &Sweep) -> Result<ExitStatus> {
    let task = Task {
        map: context.map(None),
        dry_run: arguments.dry_run,
        exit_code: arguments.exit_code,
        program: "session-sweep sweep",
    };
    let path = task.map.path().to_string_lossy();
    let begun = Instant::now();
    let wait = Some(context.config.settings.wait);
    let lock = if task.dry_run { Ok(None) } else { sweep_lock::take_if_possible(context, task.program, wait) };
    let _one_at_a_time = lock.map_err(|error| put_off(context, arguments, begun, error))?;
    let cleaned = CleanUp::where_enabled(context, (!task.dry_run).then_some(task.program));
    let registry = cleaned.as_ref().ok().and_then(Option::as_ref).map(|run| run.view(context));
    let swept = processes::CleanUp::where_enabled(context, (!task.dry_run).then_some(task.program));
    if let Ok(Some(run)) = &swept
        && let Some(left) = run.left_to_somebody()
    {
        log::warn!("{left}");
    }
    let left_behind = swept.as_ref().ok().and_then(Option::as_ref).map(|run| run.view(context));
    let ticked = queues::CleanUp::where_configured(context, (!task.dry_run).then_some(task.program));
    let in_queues = ticked.as_ref().ok().and_then(Option::as_ref).map(|run| run.view(context));
    let tidied = artifacts::CleanUp::where_enabled(context, (!task.dry_run).then_some(task.program));
    let on_disk = tidied.as_ref().ok().and_then(Option::as_ref).map(|run| run.view(context));
    let view = || SweepView {
        dry_run: task.dry_run,
        now: context.now,
        map: &path,
        prune: None,
        map_error: None,
        registry: registry.as_ref(),
        registry_error: cleaned.as_ref().err().map(|error| format!("{error:#}")),
        processes: left_behind.as_ref(),
        processes_error: swept.as_ref().err().map(|error| format!("{error:#}")),
        queues: in_queues.as_ref(),
        queues_error: ticked.as_ref().err().map(|error| format!("{error:#}")),
        artifacts: on_disk.as_ref(),
        artifacts_error: tidied.as_ref().err().map(|error| format!("{error:#}")),
    };
    let outcome = prune(context, &task, |prune| Ok(context.output.show(&SweepView { prune, ..view() })?));
    let mut outcome = outcome.unwrap_or_else(|failure| {
        // One area does not hide what became of the other.
        if (registry.is_some() || left_behind.is_some() || in_queues.is_some() || on_disk.is_some())
            && let Err(error) = context.output.show(&SweepView { map_error: Some(format!("{failure:#}")), ..view() })
        {
            log::error!("{error}");
        }
        Outcome::failed(failure)
    });
    let problems = registry.as_ref().map(CleanupView::problems).unwrap_or_default();
    let cleaned = outcome.take_in(context, &task, cleaned, |run| (run.status(), run.has_work(), problems));
    outcome.registry = cleaned.map(|run| run.totals());
    let swept = outcome.take_in(context, &task, swept, |run| (run.status(), run.has_work(), run.problems()));
    outcome.processes = swept.map(|run| run.totals());
    let ticked = outcome.take_in(context, &task, ticked, |run| (run.status(), run.has_work(), run.problems()));
    outcome.queues = ticked.map(|run| run.totals());
    let of_disk = tidied.as_ref().ok().and_then(Option::as_ref).map(artifacts::CleanUp::totals);
    outcome.take_in(context, &task, tidied, |run| (run.status(), run.has_work(), run.problems()));
    outcome.artifacts = of_disk;
    if !task.dry_run {
        log_run(&context.dirs.state, arguments.started_by, context.started, begun.elapsed(), Ok(&outcome));
    }
    outcome.end()
}

impl Outcome {
    /// Adds what became of one more area, which `came` tells: its status, whether there is or was work, and what could not be
    /// looked at or done. Yields the area's run, where there was one.
    fn take_in<R>(
        &mut self,
        context: &Context,
        task: &Task,
        area: Result<Option<R>>,
        came: impl FnOnce(&R) -> (ExitStatus, bool, Vec<String>),
    ) -> Option<R> {
        let run = area.unwrap_or_else(|error| {
            self.fail(error);
            None
        })?;
        let (status, has_work, problems) = came(&run);
        super::tell_when_quiet(context.output, problems.iter());
        let has_work = task.exit_code && task.dry_run && has_work;
        self.status = self.status.and(status).and(if has_work { ExitStatus::WorkToDo } else { ExitStatus::Done });
        self.problems.extend(problems);
        Some(run)
    }

    /// Adds that an area failed. The first failure is how the command ends, the others are said.
    fn fail(&mut self, error: anyhow::Error) {
        self.status = self.status.and(super::status_of(&error));
        if self.failure.is_some() {
            log::error!("{}", Escaped(&format!("{error:#}")));
            self.problems.push(format!("{error:#}"));
        } else {
            self.failure = Some(error);
        }
    }
}

/// Writes down that the lock was not to be had, as where another sweep or a tick of the daemon was running, and hands that on.
fn put_off(context: &Context, arguments: &Sweep, begun: Instant, error: anyhow::Error) -> anyhow::Error {
    log_run(&context.dirs.state, arguments.started_by, context.started, begun.elapsed(), Err(&error));
    error
}

/// Writes down that a sweep could not even begin, and hands the reason on.
fn refused(problems: Problems, arguments: &Sweep, environment: &Environment) -> anyhow::Error {
    let dirs = Dirs::find(environment).ok().filter(|_| !arguments.dry_run);
    let error = anyhow::Error::from(problems);
    if let Some(dirs) = dirs {
        log_run(&dirs.state, arguments.started_by, clock(), Duration::ZERO, Err(&error));
    }
    error
}

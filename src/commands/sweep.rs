//! `session-sweep sweep`: every area that the configuration enables; what timers and cron run.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::areas::Areas;
use super::cli::Sweep;
use super::prune::{Task, prune};
use super::run_log::{Outcome, log_run};
use super::{artifacts, processes, queues, registry, sweep_lock};
use crate::config::{Dirs, Environment, Problems};
use crate::context::{Context, Given, clock};
use crate::exit::ExitStatus;
use crate::output::escape::Escaped;
use crate::output::prune::PruneView;
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
    let areas = Areas::go_through(context, (!task.dry_run).then_some(task.program));
    if let Ok(Some(run)) = &areas.processes
        && let Some(left) = run.left_to_somebody()
    {
        log::warn!("{left}");
    }
    let others = areas.sections(context);
    let show = |prune: Option<&PruneView<'_>>, map_error: Option<String>| {
        let (dry_run, now, map) = (task.dry_run, context.now, &*path);
        context.output.show(&SweepView { dry_run, now, map, prune, map_error, others: &others })
    };
    let outcome = prune(context, &task, |prune| Ok(show(prune, None)?));
    let mut outcome = outcome.unwrap_or_else(|failure| {
        // One area does not hide what became of the other.
        if areas.runs().next().is_some()
            && let Err(error) = show(None, Some(format!("{failure:#}")))
        {
            log::error!("{error}");
        }
        Outcome::failed(failure)
    });
    outcome.take_in(context, &task, areas);
    if !task.dry_run {
        log_run(&context.dirs.state, arguments.started_by, context.started, begun.elapsed(), Ok(&outcome));
    }
    outcome.end()
}

impl Outcome {
    /// Adds what became of the areas beside the map.
    fn take_in(&mut self, context: &Context, task: &Task, areas: Areas<'_>) {
        for run in areas.runs() {
            let problems = run.problems();
            super::tell_when_quiet(context.output, problems.iter());
            let has_work = task.exit_code && run.has_work();
            self.status =
                self.status.and(run.status()).and(if has_work { ExitStatus::WorkToDo } else { ExitStatus::Done });
            self.problems.extend(problems);
        }
        self.registry = totals_of(&areas.registry, registry::CleanUp::totals);
        self.processes = totals_of(&areas.processes, processes::CleanUp::totals);
        self.queues = totals_of(&areas.queues, queues::CleanUp::totals);
        self.artifacts = totals_of(&areas.artifacts, artifacts::CleanUp::totals);
        areas.failures().for_each(|failure| self.fail(failure));
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

fn totals_of<R, T>(came: &Result<Option<R>>, totals: impl FnOnce(&R) -> T) -> Option<T> {
    came.as_ref().ok()?.as_ref().map(totals)
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

//! `session-sweep queues sweep`: one tick over installations.

use std::path::PathBuf;

use anyhow::Result;

use super::arguments::Sweep;
use super::{first_of, proc_of, roots, scene};
use crate::commands::areas::AreaRun;
use crate::commands::{UsageError, status_of, tell_when_quiet};
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::interrupt;
use crate::output::queues::{InstallationView, SweepView, problems_of};
use crate::schedule::runs::QueueTotals;
use crate::sweep::queues::applied::Applied;
use crate::sweep::queues::plan::{Action, Plan};

const PROGRAM: &str = "session-sweep queues sweep";

pub(super) fn run(context: &Context, arguments: &Sweep) -> Result<ExitStatus> {
    let roots = roots(context, &arguments.look.root)?;
    if !arguments.dry_run {
        refuse_rehearsal(context)?;
    }
    let run = Run::over(context, &roots, (!arguments.dry_run).then_some(PROGRAM));
    let is_failed = run.is_failed();
    if !is_failed || context.output.json {
        context.output.show(&run.view(context))?;
    }
    if is_failed {
        let mut failures: Vec<anyhow::Error> = run.ticks.into_iter().filter_map(|tick| tick.done.err()).collect();
        // The worst one is how the command ends.
        failures.sort_by_key(|error| status_of(error) == ExitStatus::Locked);
        return first_of(failures.into_iter()).map_or(Ok(ExitStatus::Failed), Err);
    }
    tell_when_quiet(context.output, run.problems().iter());
    let has_work = arguments.exit_code && run.has_work();
    Ok(run.status().and(if has_work { ExitStatus::WorkToDo } else { ExitStatus::Done }))
}

/// What is due at another time may not be now: no container is stopped, and nothing is written, by what will be.
fn refuse_rehearsal(context: &Context) -> Result<(), UsageError> {
    if context.now == context.started {
        return Ok(());
    }
    Err(UsageError("--at rehearses another time, at which no queue can be swept: add --dry-run".to_owned()))
}

/// One tick over installations, done or only planned.
pub(in crate::commands) struct Run {
    ticks: Vec<Tick>,
    /// How many installations were not come to.
    left: usize,
    is_preview: bool,
}

/// One tick over one installation.
struct Tick {
    folder: PathBuf,
    done: Result<(Plan, Option<Applied>)>,
}

impl Run {
    /// For `sweep` and `audit`: nothing where no installation is configured. Where there is a `program` to name in the lock,
    /// it does what it planned.
    pub(in crate::commands) fn where_configured(context: &Context, program: Option<&str>) -> Result<Option<Self>> {
        if context.config.queues.is_empty() {
            return Ok(None);
        }
        if program.is_some() {
            refuse_rehearsal(context)?;
        }
        let roots: Vec<PathBuf> = context.config.queues.iter().map(|queue| queue.root.clone()).collect();
        Ok(Some(Self::over(context, &roots, program)))
    }

    fn over(context: &Context, roots: &[PathBuf], program: Option<&str>) -> Self {
        let proc = proc_of(context);
        let lock = || program.map(|program| context.lock(program));
        let done = |root: &PathBuf| scene(context, root, &proc)?.tick(&context.dirs.state, lock());
        let tick = |root: &PathBuf| Tick { folder: root.clone(), done: done(root) };
        let ticks: Vec<Tick> = roots.iter().take_while(|_| !interrupt::asked()).map(tick).collect();
        Self { left: roots.len() - ticks.len(), ticks, is_preview: program.is_none() }
    }

    fn plans(&self) -> impl Iterator<Item = (&Plan, Option<&Applied>)> {
        self.ticks.iter().filter_map(|tick| tick.done.as_ref().ok()).map(|(plan, applied)| (plan, applied.as_ref()))
    }

    /// Whether none of the installations that were come to could be looked at.
    fn is_failed(&self) -> bool {
        !self.ticks.is_empty() && self.plans().next().is_none()
    }

    /// The installations that are left to their hosts, which run. Not what shows that they do, which is another thing at each
    /// tick, such as a lease.
    pub(in crate::commands) fn left_to_hosts(&self) -> Vec<String> {
        let left = self.plans().filter(|(plan, _)| plan.is_left_to_host());
        left.map(|(plan, _)| format!("{} is left to its host, which runs", plan.root.display())).collect()
    }

    /// For the run log.
    pub(in crate::commands) fn totals(&self) -> QueueTotals {
        let mut totals = QueueTotals::default();
        for (plan, applied) in self.plans() {
            totals.sessions += plan.sessions.len() + plan.unchanged;
            let Some(applied) = applied else { continue };
            totals.acknowledged += applied.count(|action| matches!(action, Action::Acknowledge { .. }));
            totals.retried += applied.count(|action| matches!(action, Action::Retry { .. }));
            totals.failed += applied.count(|action| matches!(action, Action::Fail { .. }));
            totals.stopped += applied.count(|action| matches!(action, Action::Stop { .. })) + applied.orphans_stopped();
            totals.recurred += applied.count(|action| matches!(action, Action::Recur { .. }));
            totals.woken += applied.count(|action| matches!(action, Action::Wake { .. }));
            totals.left += applied.left();
        }
        totals
    }

    pub(in crate::commands) fn view<'v>(&'v self, context: &Context) -> SweepView<'v> {
        let view = |tick: &'v Tick| InstallationView {
            now: context.now,
            folder: &tick.folder,
            plan: tick.done.as_ref().map(|(plan, _)| plan),
            applied: tick.done.as_ref().ok().and_then(|(_, applied)| applied.as_ref()),
        };
        SweepView { now: context.now, dry_run: self.is_preview, installations: self.ticks.iter().map(view).collect() }
    }
}

impl AreaRun for Run {
    fn has_work(&self) -> bool {
        self.plans().any(|(plan, _)| plan.has_work())
    }

    fn problems(&self) -> Vec<String> {
        let left =
            (self.left > 0).then(|| format!("{} installations stay as they are: {}", self.left, interrupt::LEFT_REST));
        self.ticks.iter().flat_map(Tick::problems).chain(left).collect()
    }

    /// One installation that is locked does not hide that another one failed.
    fn status(&self) -> ExitStatus {
        let failures = self.ticks.iter().filter_map(|tick| tick.done.as_ref().err());
        if self.is_failed() {
            return failures.map(status_of).fold(ExitStatus::Done, ExitStatus::and);
        }
        if self.problems().is_empty() { ExitStatus::Done } else { ExitStatus::Partial }
    }
}

impl Tick {
    fn problems(&self) -> Vec<String> {
        match &self.done {
            Ok((plan, applied)) => problems_of(plan, applied.as_ref()),
            Err(error) => vec![format!("{}: {error:#}", self.folder.display())],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::LockError;

    fn run_of(errors: Vec<anyhow::Error>, left: usize) -> Run {
        let tick = |error| Tick { folder: PathBuf::from("/srv/host"), done: Err(error) };
        Run { ticks: errors.into_iter().map(tick).collect(), left, is_preview: false }
    }

    #[test]
    fn an_installation_that_is_locked_does_not_hide_one_that_failed() {
        let locked = || LockError::Held { path: PathBuf::from("/srv/host"), holder: None }.into();
        let failed = || anyhow::anyhow!("it burned");
        assert_eq!(run_of(vec![locked(), locked()], 0).status(), ExitStatus::Locked);
        assert_eq!(run_of(vec![locked(), failed()], 0).status(), ExitStatus::Failed);
        assert_eq!(run_of(vec![failed(), locked()], 0).status(), ExitStatus::Failed);
    }

    #[test]
    fn installations_that_were_not_come_to_are_told() {
        let run = run_of(Vec::new(), 2);
        assert_eq!((run.status(), run.is_failed()), (ExitStatus::Partial, false));
        assert_eq!(run.problems(), ["2 installations stay as they are: the daemon was asked to end before them"]);
        assert_eq!(run_of(Vec::new(), 0).status(), ExitStatus::Done);
    }
}

//! `session-sweep registry cleanup`: mark the sessions inactive that have ended without saying so.

use anyhow::Result;

use super::arguments::Cleanup;
use super::rules;
use crate::commands::areas::AreaRun;
use crate::commands::tell_when_quiet;
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::registry::CleanupView;
use crate::registry::RegistryError;
use crate::registry::cleanup::{Cleaned, Plan, Rules};
use crate::schedule::runs::RegistryTotals;

pub(super) fn run(context: &Context, arguments: &Cleanup) -> Result<ExitStatus> {
    let rules = Rules { force: arguments.force, ..rules(context) };
    let program = (!arguments.dry_run).then_some("session-sweep registry cleanup");
    let run = Run::new(context, &rules, program)?;
    let view = run.view(context);
    context.output.show(&view)?;
    tell_when_quiet(context.output, run.problems().iter());
    Ok(match run.status() {
        ExitStatus::Done if arguments.exit_code && run.has_work() => ExitStatus::WorkToDo,
        status => status,
    })
}

/// A clean-up, done or only planned.
pub(in crate::commands) struct Run {
    plan: Plan,
    /// How many heartbeats were removed, and what could not be.
    done: Option<(usize, Vec<String>)>,
}

impl Run {
    /// Plans a clean-up, and does it where there is a `program` to name in the lock.
    fn new(context: &Context, rules: &Rules, program: Option<&str>) -> Result<Self, RegistryError> {
        let registry = context.registry();
        let Some(program) = program else { return Ok(Self { plan: registry.plan(rules)?, done: None }) };
        let held = registry.lock(context.registry_lock(program))?;
        let Cleaned { plan, removed, problems } = held.clean_up(rules)?;
        Ok(Self { plan, done: Some((removed, problems)) })
    }

    /// The same for `sweep` and `audit`: nothing where the registry is not enabled, or where there is none. One that cannot
    /// be seen may be there.
    pub(in crate::commands) fn where_enabled(context: &Context, program: Option<&str>) -> Result<Option<Self>> {
        let is_missing = || matches!(context.registry().path().try_exists(), Ok(false));
        if !context.config.settings.registry.enabled || is_missing() {
            return Ok(None);
        }
        match Self::new(context, &rules(context), program) {
            Ok(run) => Ok(Some(run)),
            Err(RegistryError::Missing(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// For the run log.
    pub(in crate::commands) fn totals(&self) -> RegistryTotals {
        RegistryTotals {
            sessions: self.plan.survey.sessions.len(),
            marked_inactive: self.plan.going.len(),
            beats_pruned: self.done.as_ref().map_or(0, |(removed, _)| *removed),
        }
    }

    pub(in crate::commands) fn view(&self, context: &Context) -> CleanupView<'_> {
        CleanupView {
            now: context.now,
            base: context.registry().base().display().to_string(),
            timeout: context.config.settings.registry.timeout,
            plan: &self.plan,
            removed: self.done.as_ref().map(|(removed, _)| *removed),
            late: self.late(),
        }
    }

    /// What could not be removed.
    fn late(&self) -> &[String] {
        self.done.as_ref().map_or(&[], |(_, problems)| problems)
    }
}

impl AreaRun for Run {
    fn has_work(&self) -> bool {
        !self.plan.going.is_empty() || !self.plan.superseded.is_empty()
    }

    fn problems(&self) -> Vec<String> {
        CleanupView::problems_of(&self.plan, self.late()).cloned().collect()
    }
}

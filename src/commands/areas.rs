//! The areas beside the map, one after the other, as `sweep` and `audit` go through them.

use anyhow::Result;

use super::{artifacts, processes, queues, registry};
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::areas::{Section, Sections};

/// What came of each. One that fails does not hide the others.
pub(super) struct Areas<'c> {
    pub(super) registry: Came<registry::CleanUp>,
    pub(super) processes: Came<processes::CleanUp>,
    pub(super) queues: Came<queues::CleanUp>,
    pub(super) artifacts: Came<artifacts::CleanUp<'c>>,
}

/// The run of one area: nothing where it is not enabled.
type Came<R> = Result<Option<R>>;

/// What the runs of all areas have in common.
pub(super) trait AreaRun {
    /// Whether something was or would be changed.
    fn has_work(&self) -> bool;

    /// What could not be looked at or done.
    fn problems(&self) -> Vec<String>;

    /// How a run of this alone ends.
    fn status(&self) -> ExitStatus {
        if self.problems().is_empty() { ExitStatus::Done } else { ExitStatus::Partial }
    }
}

impl<'c> Areas<'c> {
    /// Goes through all that are enabled. Each does what it planned where there is a `program` to name in its lock.
    pub(super) fn go_through(context: &'c Context, program: Option<&str>) -> Self {
        Self {
            registry: registry::CleanUp::where_enabled(context, program),
            processes: processes::CleanUp::where_enabled(context, program),
            queues: queues::CleanUp::where_configured(context, program),
            artifacts: artifacts::CleanUp::where_enabled(context, program),
        }
    }

    /// To be shown.
    pub(super) fn sections(&self, context: &'c Context) -> Sections<'_> {
        Sections {
            registry: section(&self.registry, |run| run.view(context)),
            is_registry_enabled: context.config.settings.registry.enabled,
            processes: section(&self.processes, |run| run.view(context)),
            queues: section(&self.queues, |run| run.view(context)),
            artifacts: section(&self.artifacts, |run| run.view(context)),
        }
    }

    /// Those that were looked at.
    pub(super) fn runs(&self) -> impl Iterator<Item = &dyn AreaRun> {
        [seen(&self.registry), seen(&self.processes), seen(&self.queues), seen(&self.artifacts)].into_iter().flatten()
    }

    /// Why others were not.
    pub(super) fn failures(self) -> impl Iterator<Item = anyhow::Error> {
        let Self { registry, processes, queues, artifacts } = self;
        [registry.err(), processes.err(), queues.err(), artifacts.err()].into_iter().flatten()
    }
}

fn section<'r, R, V>(came: &'r Came<R>, view: impl FnOnce(&'r R) -> V) -> Section<V> {
    match came {
        Ok(run) => Section { view: run.as_ref().map(view), error: None },
        Err(error) => Section { view: None, error: Some(format!("{error:#}")) },
    }
}

fn seen<R: AreaRun>(came: &Came<R>) -> Option<&dyn AreaRun> {
    came.as_ref().ok()?.as_ref().map(|run| run as &dyn AreaRun)
}

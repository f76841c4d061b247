//! `session-sweep processes`: what CLIs left behind, and the hooks that tell whose it was.

pub(super) mod arguments;
mod clean;
mod hook;
mod notice;
mod report;
mod scan;

use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::config::setting::ProcessesSettings;
use crate::config::{Environment, Problems};
use crate::context::{Context, Given};
use crate::doctor::{ProcessesFacts, Scan};
use crate::exit::ExitStatus;
use crate::filesystem::proc::Proc;
use crate::policy::orphan::Verdict;
use crate::processes::records::{RecordId, Records};
use crate::processes::terminate::has_pidfds;
use crate::sweep::processes::plan::Plan;
use crate::sweep::processes::{Here, Scene, sessions_folder};
use arguments::ProcessesCommand;

pub(super) use clean::Run as CleanUp;

pub(super) fn run(given: &Given, environment: Environment, arguments: &arguments::Processes) -> Result<ExitStatus> {
    let context = Context::new(given, environment);
    if let ProcessesCommand::Scan(_) = arguments.command {
        return Ok(scan::run(context, given));
    }
    let context = &context?;
    match &arguments.command {
        ProcessesCommand::Scan(_) => Ok(ExitStatus::Done),
        ProcessesCommand::Report(report) => report::run(context, report),
        ProcessesCommand::Clean(clean) => clean::run(context, clean),
        ProcessesCommand::Register(hook) => hook::run(context, given, hook, hook::Event::Register),
        ProcessesCommand::Heartbeat(hook) => {
            hook::run(context, given, hook, hook::Event::Heartbeat("processes heartbeat"))
        }
        ProcessesCommand::Stop(hook) => hook::run(context, given, hook, hook::Event::Heartbeat("processes stop")),
        ProcessesCommand::End(hook) => hook::run(context, given, hook, hook::Event::End),
    }
}

/// What one run looks at.
pub(super) struct Look<'c> {
    context: &'c Context,
    settings: &'c ProcessesSettings,
    records: Records,
    proc: Proc,
    here: Here,
}

impl<'c> Look<'c> {
    /// # Errors
    /// What is wrong with the janitor's own file and variables.
    pub(super) fn new(context: &'c Context) -> Result<Self, Problems> {
        let settings = context.config.processes()?;
        let proc = Proc::new(settings.root.join("proc"));
        let here = Here::of_process(&proc, &settings.root, context.now, context.started);
        let folder = sessions_folder(settings, &context.catalogue, &context.dirs.home);
        Ok(Self { records: Records::at(folder, settings.registry.clone()), context, settings, proc, here })
    }

    fn scene<'s>(&'s self, in_detail: bool, ending: Option<&'s RecordId>) -> Scene<'s> {
        Scene {
            catalogue: &self.context.catalogue,
            settings: self.settings,
            records: &self.records,
            proc: &self.proc,
            here: &self.here,
            now: self.context.now,
            in_detail,
            ending,
        }
    }

    /// Looks and decides; reads only.
    pub(super) fn plan(&self, in_detail: bool) -> Result<Plan> {
        seen(Plan::make(&self.scene(in_detail, None)))
    }

    /// The lock for changes of the records, which are short.
    fn records_lock(&self) -> PathBuf {
        self.context.dirs.state.join("processes.lock")
    }
}

/// What the doctor wants to know.
pub(super) fn look_for_doctor(context: &Context) -> ProcessesFacts {
    let settings = &context.config.settings.processes;
    let records = sessions_folder(settings, &context.catalogue, &context.dirs.home);
    let scan = Look::new(context).map_err(Into::into).and_then(|look| look.plan(false));
    let scan = scan.map(|plan| Scan {
        left_behind: plan.orphaned_count(),
        unknown: plan.count(Verdict::Unknown),
        problems: plan.problems,
    });
    ProcessesFacts {
        is_enabled: settings.enabled,
        has_records: records.is_dir(),
        records,
        has_pidfds: has_pidfds(),
        scan: scan.map_err(|error| format!("{error:#}")),
    }
}

/// Says of what an error is.
fn seen<T>(looked: io::Result<T>) -> Result<T> {
    looked.context("the processes of this machine cannot be looked at")
}

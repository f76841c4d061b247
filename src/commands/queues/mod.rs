//! `session-sweep queues`: what waits in an agent host's queues, and what works on it.

pub(super) mod arguments;
mod for_doctor;
mod sweep;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{UsageError, tell_when_quiet};
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::filesystem::proc::Proc;
use crate::output::escape::Escaped;
use crate::output::queues::{ContainersView, InstallationView, StatusView};
use crate::queues::memory::Memory;
use crate::sweep::queues::plan::Plan;
use crate::sweep::queues::{Extent, Scene};
use arguments::QueuesCommand;

pub(super) use for_doctor::look_for_doctor;
pub(super) use sweep::Run as CleanUp;

pub(super) fn run(context: &Context, arguments: &arguments::Queues) -> Result<ExitStatus> {
    match &arguments.command {
        QueuesCommand::Status(look) => status(context, &look.root),
        QueuesCommand::Containers(look) => containers(context, &look.root),
        QueuesCommand::Sweep(arguments) => sweep::run(context, arguments),
    }
}

/// One installation that was looked at, or why it could not be.
pub(super) struct Looked {
    folder: PathBuf,
    plan: Result<Plan>,
}

impl Looked {
    fn view<'v>(&'v self, context: &Context) -> InstallationView<'v> {
        InstallationView { now: context.now, folder: &self.folder, plan: self.plan.as_ref(), applied: None }
    }

    fn problems(&self) -> Vec<String> {
        match &self.plan {
            Ok(plan) => plan.all_problems(),
            Err(error) => vec![format!("{error:#}")],
        }
    }
}

/// The installations that were named, or else all that are configured.
fn roots(context: &Context, named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let configured: Vec<PathBuf> = context.config.queues.iter().map(|queue| queue.root.clone()).collect();
    if configured.is_empty() {
        let why = "no installation is named: give --root DIR, or write [[queues]] with its root into the configuration";
        return Err(UsageError(why.to_owned()).into());
    }
    Ok(configured)
}

/// What an installation is looked at by.
fn scene<'c>(context: &'c Context, root: &Path, proc: &'c Proc) -> Result<Scene<'c>> {
    let path = context.environment.get("PATH").unwrap_or(OsStr::new(""));
    let zone = context.environment.get("TZ");
    Scene::new(root, context.config.queue_settings(root), (path, zone), proc, (context.now, context.started))
}

fn proc_of(context: &Context) -> Proc {
    Proc::new(context.config.settings.processes.root.join("proc"))
}

/// Looks at each installation. One that cannot be looked at does not keep the others from it.
fn look(context: &Context, named: &[PathBuf], extent: Extent) -> Result<Vec<Looked>> {
    let proc = proc_of(context);
    let look = |root: PathBuf| {
        let plan = scene(context, &root, &proc).and_then(|scene| {
            let path = Memory::path(&context.dirs.state, scene.slug());
            scene.plan(extent, &mut Memory::read(&path, scene.root()))
        });
        Looked { folder: root, plan }
    };
    Ok(roots(context, named)?.into_iter().map(look).collect())
}

fn status(context: &Context, named: &[PathBuf]) -> Result<ExitStatus> {
    let looked = look(context, named, Extent::All)?;
    if is_shown(context, &looked) {
        let installations = looked.iter().map(|looked| looked.view(context)).collect();
        context.output.show(&StatusView { now: context.now, installations })?;
    }
    end(context, looked)
}

fn containers(context: &Context, named: &[PathBuf]) -> Result<ExitStatus> {
    let looked = look(context, named, Extent::Containers)?;
    if is_shown(context, &looked) {
        let installations = looked.iter().map(|looked| looked.view(context)).collect();
        context.output.show(&ContainersView { now: context.now, installations })?;
    }
    end(context, looked)
}

/// Whether there is something to show: where nothing could be looked at, only a script wants a document that says so.
fn is_shown(context: &Context, looked: &[Looked]) -> bool {
    context.output.json || looked.iter().any(|looked| looked.plan.is_ok())
}

/// How a look at installations ends: as a failure where none of them could be looked at.
fn end(context: &Context, looked: Vec<Looked>) -> Result<ExitStatus> {
    let problems: Vec<String> = looked.iter().flat_map(Looked::problems).collect();
    if looked.iter().all(|looked| looked.plan.is_err()) {
        let failures = looked.into_iter().filter_map(|looked| looked.plan.err());
        return first_of(failures).map_or(Ok(ExitStatus::Failed), Err);
    }
    tell_when_quiet(context.output, problems.iter());
    Ok(if problems.is_empty() { ExitStatus::Done } else { ExitStatus::Partial })
}

/// The first of several failures; the others are said.
fn first_of(mut failures: impl Iterator<Item = anyhow::Error>) -> Option<anyhow::Error> {
    let first = failures.next();
    failures.for_each(|other| log::error!("{}", Escaped(&format!("{other:#}"))));
    first
}

//! `session-sweep artifacts`: what sessions left on the disk.

pub(super) mod arguments;
mod prune;
mod restore;

use std::path::PathBuf;

use anyhow::Result;

use super::tell_when_quiet;
use crate::artifacts::archive::{Archive, Entry};
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::filesystem::{Lock, make_folder};
use crate::output::artifacts::{ArchiveView, ReportView};
use crate::output::progress::with_spinner;
use crate::providers::own_cleanup;
use crate::sweep::artifacts::homes::homes;
use crate::sweep::artifacts::report::holdings;
use arguments::ArtifactsCommand;

pub(super) use prune::Run as CleanUp;

pub(super) fn run(context: &Context, arguments: &arguments::Artifacts) -> Result<ExitStatus> {
    match &arguments.command {
        ArtifactsCommand::Report(look) => report(context, &look.root),
        ArtifactsCommand::Prune(arguments) => prune::run(context, arguments),
        ArtifactsCommand::Restore(arguments) => restore::run(context, arguments),
    }
}

fn report(context: &Context, named: &[PathBuf]) -> Result<ExitStatus> {
    let (homes, mut problems) = homes(&context.catalogue, &roots(context, named))?;
    let variable = |name: &str| context.environment.get(name).map(ToOwned::to_owned);
    let period = |provider: &_, home: &_| own_cleanup::period(provider, home, &variable);
    let settings = &context.config.settings.artifacts;
    let all = with_spinner(context.output.quiet, "looking at files", || {
        homes.into_iter().map(|home| holdings(home, settings, &period, context.now)).collect::<Vec<_>>()
    });
    let (archive, entries) = archive(context, &mut problems);
    problems.extend(all.iter().flat_map(|holdings| holdings.problems.iter().cloned()));
    let archive = ArchiveView::new(&archive, &entries);
    let view = ReportView { now: context.now, dirs: &context.dirs, homes: &all, archive, problems: &problems };
    context.output.show(&view)?;
    tell_when_quiet(context.output, problems.iter());
    Ok(if problems.is_empty() { ExitStatus::Done } else { ExitStatus::Partial })
}

/// The agent hosts' folders that were named and that are configured, each once.
fn roots(context: &Context, named: &[PathBuf]) -> Vec<PathBuf> {
    let configured = context.config.queues.iter().map(|queue| &queue.root);
    let all = named.iter().chain(&context.config.settings.artifacts.roots).chain(configured);
    let mut roots: Vec<PathBuf> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    for root in all {
        if known.insert(std::fs::canonicalize(root).unwrap_or_else(|_| root.clone())) {
            roots.push(root.clone());
        }
    }
    roots
}

/// What is in the archive; what of it cannot be read is added to `problems`.
fn archive(context: &Context, problems: &mut Vec<String>) -> (Archive, Vec<Entry>) {
    let archive = Archive::below(&context.dirs.state);
    let entries = match archive.entries() {
        Ok((entries, unread)) => {
            problems.extend(unread);
            entries
        }
        Err(error) => {
            problems.push(error.to_string());
            Vec::new()
        }
    };
    (archive, entries)
}

/// One run at a time removes artifacts or puts them back.
fn lock(context: &Context, program: &str) -> Result<Lock> {
    make_folder(&context.dirs.state)?;
    Ok(Lock::take(&context.dirs.state.join("artifacts.lock"), context.lock(program))?)
}

//! `session-sweep artifacts restore`: put an archived session back, or list the archive.

use anyhow::{Result, bail};
use chrono::DateTime;

use super::arguments::Restore;
use crate::artifacts::archive::{Entry, restore};
use crate::commands::{UsageError, tell_when_quiet};
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::artifacts::{ArchiveView, ListView, RestoredView};
use crate::output::escape::Escaped;
use crate::providers::own_cleanup::{self, Period};

const PROGRAM: &str = "session-sweep artifacts restore";

pub(super) fn run(context: &Context, arguments: &Restore) -> Result<ExitStatus> {
    let mut problems = Vec::new();
    let Some(id) = &arguments.id else {
        let (archive, entries) = super::archive(context, &mut problems);
        let archive = ArchiveView::new(&archive, &entries);
        context.output.show(&ListView {
            now: context.now,
            dirs: &context.dirs,
            archive,
            entries: &entries,
            problems: &problems,
        })?;
        tell_when_quiet(context.output, problems.iter());
        return Ok(if problems.is_empty() { ExitStatus::Done } else { ExitStatus::Partial });
    };
    let _lock = super::lock(context, PROGRAM)?;
    let (archive, entries) = super::archive(context, &mut problems);
    // What is damaged may be the one that is meant.
    for problem in &problems {
        log::warn!("{}", Escaped(problem));
    }
    let entry = meant(&entries, id)?;
    let restored = restore(&archive, entry)?;
    // It is there; that it may be pruned again sooner is said.
    if let Err(error) = archive.note_restored(entry, context.now) {
        log::warn!("{error}");
    }
    // What went on since is young.
    if restored.grown.is_empty()
        && let Some(warning) = endangered(context, entry)
    {
        log::warn!("{}", Escaped(&warning));
    }
    context.output.show(&RestoredView { dirs: &context.dirs, entry, restored: &restored })?;
    Ok(ExitStatus::Done)
}

/// What to say where the CLI itself would delete what was put back: it goes by the time that it has again.
fn endangered(context: &Context, entry: &Entry) -> Option<String> {
    let manifest = &entry.manifest;
    let (row, _) = context.catalogue.get(context.catalogue.named(&manifest.provider)?);
    let variable = |name: &str| context.environment.get(name).map(ToOwned::to_owned);
    let period = own_cleanup::period(row, &manifest.home, &variable)?;
    let Period::After { age, .. } = &period else { return None };
    let modified = manifest.files.iter().map(|file| file.attributes().modified).max()?;
    let end = DateTime::from_timestamp_nanos(modified).checked_add_signed(*age)?;
    let (provider, remedy) = (&manifest.provider, period.remedy());
    (end <= context.now).then(|| {
        format!("{provider} may delete it itself with its next clean-up, as it is that old: go on with it before, or {remedy}")
    })
}

/// The newest entry of the session whose id is or begins with `id`, or the entry of that name.
fn meant<'e>(entries: &'e [Entry], id: &str) -> Result<&'e Entry> {
    if let Some(entry) = entries.iter().find(|entry| entry.name == id) {
        return Ok(entry);
    }
    let session = session_of(entries, id)?;
    // The newest of each home stands first.
    let mut newest: Vec<&Entry> = Vec::new();
    for entry in entries.iter().filter(|entry| entry.manifest.session == session) {
        if !newest.iter().any(|other| entry.manifest.is_of_same(&other.manifest)) {
            newest.push(entry);
        }
    }
    if let [entry] = newest[..] {
        return Ok(entry);
    }
    let names = newest.iter().map(|entry| format!("{} (of {})", entry.name, entry.manifest.home.display()));
    let names = names.collect::<Vec<_>>().join(", ");
    let why = format!("session {session} was archived from {} homes; give the name of one: {names}", newest.len());
    Err(UsageError(why).into())
}

/// The one session whose id is or begins with `id`.
fn session_of<'e>(entries: &'e [Entry], id: &str) -> Result<&'e str> {
    let ids = || entries.iter().map(|entry| entry.manifest.session.as_str());
    if let Some(session) = ids().find(|session| *session == id) {
        return Ok(session);
    }
    let mut sessions: Vec<&str> = ids().filter(|session| !id.is_empty() && session.starts_with(id)).collect();
    sessions.sort_unstable();
    sessions.dedup();
    match sessions[..] {
        [session] => Ok(session),
        [] => bail!("no session {id:?} is in the archive; `session-sweep artifacts restore` lists what is"),
        _ => Err(UsageError(format!("{id:?} is the beginning of several: {}", sessions.join(", "))).into()),
    }
}

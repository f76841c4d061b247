//! `session-sweep restore`: put pruned mappings back, unless the chat has a newer one.

use anyhow::Result;
use chrono::TimeDelta;
use rustc_hash::FxHashSet;

use super::UsageError;
use super::cli::Restore;
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::record::{RestoreAction, RestoreView, Restored};
use crate::session_map::{Change, Document, FLAT_MODEL, Grave, MapError, NewForm, NewMapping, SessionMap, TopPlace};
use crate::sweep::resolve::is_grave_of;

pub(super) fn run(context: &Context, arguments: &Restore) -> Result<ExitStatus> {
    let map = arguments.map.map(context);
    if arguments.dry_run {
        let graves = chosen(context, arguments, &map)?;
        let entries = super::map::with_map(context, &map, |document, _| {
            let document = document.ok_or_else(|| MapError::Missing(map.path().to_owned()))?;
            Ok(decide(document, &graves))
        })?;
        return show(context, arguments, &map, entries);
    }
    let held = map.lock(context.lock("session-sweep restore"))?;
    let graves = chosen(context, arguments, &map)?;
    let mut entries = Vec::new();
    held.update(None, |bytes| {
        let document = map.parse(bytes, &|name| context.is_model(name))?;
        entries = decide(&document, &graves);
        let mappings: Vec<NewMapping<'_>> = graves
            .iter()
            .zip(&entries)
            .filter(|(_, entry)| entry.action == RestoreAction::Restore)
            .map(|(grave, _)| mapping(grave, context))
            .collect();
        if mappings.is_empty() {
            return Ok(None);
        }
        let edited = document.with_added(&mappings).map_err(|error| MapError::Change(error.into()))?;
        Ok(Some(Change { edited, pending: None }))
    })?;
    // The tombstones stay: a bridge that has the map in memory may write it back without what was restored (it reads the
    // map once, at its start), and then they are all that is left. While the chat is mapped nobody asks them.
    show(context, arguments, &map, entries)
}

/// The tombstones that the arguments name.
fn chosen(context: &Context, arguments: &Restore, map: &SessionMap) -> Result<Vec<Grave>> {
    let tombstones = map.tombstones();
    if let (Some(model), Some(chat)) = (&arguments.model, &arguments.chat) {
        let is_of = |grave: &Grave| is_grave_of(grave, &context.catalogue, model, chat);
        return match tombstones.find(model, chat, &is_of)? {
            Some(grave) => Ok(vec![grave]),
            None => Err(anyhow::anyhow!(
                "{} has no tombstone of chat `{chat}` under model `{model}`",
                tombstones.path().display()
            )),
        };
    }
    let mut graves = tombstones.all()?;
    if let Some(since) = arguments.since {
        let since = TimeDelta::from_std(since).map_err(|_| UsageError("--since: too long".to_owned()))?;
        graves.retain(|grave| context.now - grave.pruned_at <= since);
    }
    Ok(graves)
}

fn decide(document: &Document<'_>, graves: &[Grave]) -> Vec<Restored> {
    let mapped: FxHashSet<(Option<&str>, &str)> =
        document.entries.iter().map(|entry| (entry.model.as_deref(), entry.chat.as_ref())).collect();
    // At the top a chat is known by its id alone, whatever model it names now.
    let at_top: FxHashSet<&str> = document
        .entries
        .iter()
        .filter(|entry| Document::top_place(entry).is_some())
        .map(|entry| entry.chat.as_ref())
        .collect();
    let sessions: FxHashSet<&str> = document.entries.iter().map(|entry| entry.session.as_ref()).collect();
    let decide = |grave: &Grave| {
        let taken = match grave.place {
            // There the session is the key, and one chat's name may stand under several.
            Some(TopPlace::Inverted) => sessions.contains(grave.session.as_str()),
            Some(TopPlace::Flat) => at_top.contains(grave.chat.as_str()),
            None => mapped.contains(&(grave.model.as_deref(), grave.chat.as_str())),
        };
        let (action, reason) = match (taken, grave.transcript_is_gone()) {
            (true, _) => (RestoreAction::Keep, "the chat has a newer mapping"),
            (false, true) => (RestoreAction::Restore, "its transcript is gone by now"),
            (false, false) => (RestoreAction::Restore, ""),
        };
        Restored {
            model: grave.model.clone(),
            chat: grave.chat.clone(),
            session: grave.session.clone(),
            action,
            reason: reason.to_owned(),
        }
    };
    graves.iter().map(decide).collect()
}

fn mapping<'g>(grave: &'g Grave, context: &Context) -> NewMapping<'g> {
    NewMapping {
        model: grave.model.as_deref().unwrap_or(FLAT_MODEL),
        chat: &grave.chat,
        session: &grave.session,
        cwd: grave.cwd.as_deref().and_then(std::path::Path::to_str),
        form: grave.value.as_deref().map_or(NewForm::PlainId, NewForm::Exactly),
        place: grave.place,
        is_of_flat_provider: grave.model.as_deref().is_none_or(|model| context.is_of_flat_provider(model)),
        now: context.now,
    }
}

fn show(context: &Context, arguments: &Restore, map: &SessionMap, entries: Vec<Restored>) -> Result<ExitStatus> {
    let restored = entries.iter().filter(|entry| entry.action == RestoreAction::Restore).count();
    let view = RestoreView {
        schema: 1,
        command: "restore",
        dry_run: arguments.dry_run,
        map: map.path().to_string_lossy().into_owned(),
        entries,
        restored,
    };
    context.output.show(&view)?;
    Ok(ExitStatus::Done)
}

//! `session-sweep restore`: put pruned mappings back, unless the chat has a newer one.

use std::cell::RefCell;

use anyhow::Result;
use chrono::TimeDelta;
use rustc_hash::{FxHashMap, FxHashSet};

use super::UsageError;
use super::cli::Restore;
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::record::{RestoreAction, RestoreView, Restored};
use crate::session_map::{
    Change, Document, EMPTY_MAP, EditError, FLAT_MODEL, Grave, MapError, NewForm, NewMapping, SessionMap, TopPlace,
    new_map,
};
use crate::sweep::resolve::is_grave_of;

pub(super) fn run(context: &Context, arguments: &Restore) -> Result<ExitStatus> {
    let map = arguments.map.map(context);
    let missing = || MapError::Missing(map.path().to_owned());
    let is_model = |name: &str| context.is_model(name);
    if arguments.dry_run {
        let graves = chosen(context, arguments, &map)?;
        let entries = super::map::with_map(context, &map, |document, _| match document {
            Some(document) => Ok(decide(document, &graves, context)),
            None if !makes_a_map(&graves, context) => Err(missing().into()),
            None => Ok(decide(&map.parse(EMPTY_MAP.as_bytes(), &is_model)?, &graves, context)),
        })?;
        return show(context, arguments, &map, entries);
    }
    let folder = map.path().parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| matches!(folder.try_exists(), Ok(false))) {
        return Err(missing().into());
    }
    let held = map.lock(context.lock("session-sweep restore"))?;
    let graves = chosen(context, arguments, &map)?;
    let entries = RefCell::new(Vec::new());
    let decided = |document: &Document<'_>| -> Vec<NewMapping<'_>> {
        let decided = decide(document, &graves, context);
        let chosen = graves.iter().zip(&decided).filter(|(_, entry)| entry.action == RestoreAction::Restore);
        let mappings = chosen.map(|(grave, _)| mapping(grave, context)).collect();
        entries.replace(decided);
        mappings
    };
    let change = |bytes: &[u8]| {
        let document = map.parse(bytes, &is_model)?;
        let mappings = decided(&document);
        if mappings.is_empty() {
            return Ok(None);
        }
        let edited = document.with_added(&mappings).map_err(|error| MapError::Change(error.into()))?;
        Ok(Some(Change { edited, pending: None }))
    };
    let new = || match decided(&map.parse(EMPTY_MAP.as_bytes(), &is_model)?) {
        mappings if mappings.is_empty() || !makes_a_map(&graves, context) => Err(missing()),
        mappings => new_map(&mappings).map_err(|error| MapError::Change(error.into())),
    };
    held.update_or_create(change, new)?;
    let entries = entries.into_inner();
    // The tombstones stay: a bridge that has the map in memory may write it back without what was restored (it reads the
    // map once, at its start), and then they are all that is left. While the chat is mapped nobody asks them.
    if let Err(error) = note_restored(&entries, &map, context) {
        log::warn!("{error:#}");
    }
    warn_of_live_bridge(&entries, context);
    show(context, arguments, &map, entries)
}

/// Notes in the tombstones what is in the map again: nobody else brought it back.
fn note_restored(entries: &[Restored], map: &SessionMap, context: &Context) -> Result<()> {
    let restored = entries.iter().filter(|entry| entry.action == RestoreAction::Restore);
    let restored: FxHashSet<(Option<&str>, &str, &str)> =
        restored.map(|entry| (entry.model.as_deref(), entry.chat.as_str(), entry.session.as_str())).collect();
    if restored.is_empty() {
        return Ok(());
    }
    let is_restored =
        |grave: &Grave| restored.contains(&(grave.model.as_deref(), grave.chat.as_str(), grave.session.as_str()));
    map.tombstones().note_restored(is_restored, context.now)
}

/// A bridge that runs has the map in memory, and no door through which a mapping could be put back.
fn warn_of_live_bridge(entries: &[Restored], context: &Context) {
    if entries.iter().all(|entry| entry.action == RestoreAction::Keep) {
        return;
    }
    if let Ok(Some(_)) = super::map::open_bridge(&context.config.settings.bridge) {
        log::warn!(
            "the bridge is running: it reads the map when it starts, and writes over what was restored with its next \
             change; restart it now, or let it ask `session-sweep resolve`"
        );
    }
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

/// Whether a map can be made for these: of one form, which the tombstones tell. Others are made by their own programs.
fn makes_a_map(graves: &[Grave], context: &Context) -> bool {
    let Some(first) = graves.first() else { return false };
    let is_known = |grave: &Grave| grave.model.as_deref().is_some_and(|model| context.is_model(model));
    graves.iter().all(|grave| grave.place == first.place && (grave.place.is_some() || is_known(grave)))
}

/// What becomes of each tombstone's mapping.
fn decide(document: &Document<'_>, graves: &[Grave], context: &Context) -> Vec<Restored> {
    let mut reasons = superseded(document, graves);
    let mut refused = vec![false; graves.len()];
    let free: Vec<usize> = (0..graves.len()).filter(|index| reasons[*index].is_none()).collect();
    let mappings: Vec<NewMapping<'_>> = free.iter().map(|index| mapping(&graves[*index], context)).collect();
    for (index, objection) in free.into_iter().zip(document.objections(&mappings)) {
        refused[index] = objection.as_ref().is_some_and(|objection| !matches!(objection, EditError::Superseded));
        reasons[index] = objection.map(|objection| objection.to_string());
    }
    let decide = |((grave, reason), refused): ((&Grave, Option<String>), bool)| {
        let (action, reason) = match reason {
            Some(reason) => (RestoreAction::Keep, reason),
            None if grave.transcript_is_gone() => (RestoreAction::Restore, "its transcript is gone by now".to_owned()),
            None => (RestoreAction::Restore, String::new()),
        };
        Restored {
            model: grave.model.clone(),
            chat: grave.chat.clone(),
            session: grave.session.clone(),
            action,
            reason,
            refused,
        }
    };
    graves.iter().zip(reasons).zip(refused).map(decide).collect()
}

/// Which tombstones' chats have something newer, and what.
fn superseded(document: &Document<'_>, graves: &[Grave]) -> Vec<Option<String>> {
    let (mut mapped, mut at_top, mut sessions) = (FxHashMap::default(), FxHashMap::default(), FxHashMap::default());
    for entry in &document.entries {
        let (chat, session) = (entry.chat.as_ref(), entry.session.as_ref());
        mapped.insert((entry.model.as_deref(), chat), session);
        // At the top a chat is known by its id alone, whatever model it names now.
        if Document::top_place(entry).is_some() {
            at_top.insert(chat, session);
        }
        sessions.insert(session, session);
    }
    let mut flat = FxHashSet::default();
    let reason = |grave: &Grave| {
        let (model, chat) = (grave.model.as_deref(), grave.chat.as_str());
        // Without a model it would go where a flat map's chats go.
        let below_model = || mapped.get(&(model, chat)).or_else(|| mapped.get(&(model.or(Some(FLAT_MODEL)), chat)));
        let present = match grave.place {
            // There the session is the key, and one chat's name may stand under several.
            Some(TopPlace::Inverted) => sessions.get(grave.session.as_str()),
            // A newer bridge files it under its model.
            Some(TopPlace::Flat) => at_top.get(chat).or_else(below_model),
            None => below_model(),
        };
        match present {
            Some(session) if *session == grave.session => Some("it is in the map already"),
            Some(_) => Some("the chat has a newer mapping"),
            None if grave.place == Some(TopPlace::Flat) && !flat.insert(chat.to_owned()) => {
                Some("the chat has a newer tombstone")
            }
            None => None,
        }
    };
    // The newest stands last.
    let mut reasons: Vec<_> = graves.iter().rev().map(reason).map(|reason| reason.map(str::to_owned)).collect();
    reasons.reverse();
    reasons
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
    let refused: Vec<String> = entries
        .iter()
        .filter(|entry| entry.refused)
        .map(|entry| format!("chat `{}` was left out: {}", entry.chat, entry.reason))
        .collect();
    let view = RestoreView {
        schema: 1,
        command: "restore",
        dry_run: arguments.dry_run,
        map: map.path().to_string_lossy().into_owned(),
        entries,
        restored,
    };
    context.output.show(&view)?;
    super::tell_when_quiet(context.output, refused.iter());
    Ok(if refused.is_empty() { ExitStatus::Done } else { ExitStatus::Partial })
}

//! `session-sweep record`: put one mapping into the map, or change it, through the same door as prune.

use std::cell::Cell;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;

use anyhow::{Context as _, Result};

use super::UsageError;
use super::cli::Record;
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::record::RecordView;
use crate::providers::SessionId;
use crate::session_map::{Change, MapError, NewForm, NewMapping, new_map};
use crate::sweep::resolve::{find_chat, is_grave_of};

pub(super) fn run(context: &Context, arguments: &Record) -> Result<ExitStatus> {
    let map = arguments.map.map(context);
    let chat = &arguments.chat;
    SessionId::new(&arguments.session).map_err(|invalid| UsageError(format!("--session: {invalid}")))?;
    for (flag, text) in [("--model", &chat.model), ("--chat", &chat.chat)] {
        if text.is_empty() {
            return Err(UsageError(format!("{flag} must not be empty")).into());
        }
    }
    let cwd = match &arguments.cwd {
        None => None,
        Some(cwd) => {
            let Ok(cwd) = std::path::absolute(cwd)?.into_os_string().into_string() else {
                return Err(UsageError(format!("--cwd: {} is no UTF-8, which a map is", cwd.display())).into());
            };
            Some(cwd)
        }
    };
    let mapping = NewMapping {
        model: &chat.model,
        chat: &chat.chat,
        session: &arguments.session,
        cwd: cwd.as_deref(),
        form: NewForm::LikeSiblings,
        place: None,
        is_of_flat_provider: context.is_of_flat_provider(&chat.model),
        now: context.now,
    };
    if let Some(folder) = map.path().parent().filter(|folder| !folder.as_os_str().is_empty()) {
        // Nobody else is to put a map of theirs into it.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let held = map.lock(context.lock("session-sweep record"))?;
    let is_model = |name: &str| context.is_model(name);
    let cwd_kept = Cell::new(cwd.is_none());
    let change = |bytes: &[u8]| {
        let document = map.parse(bytes, &is_model)?;
        let known = find_chat(&document, &context.catalogue, &chat.model, &chat.chat);
        let edited = match known {
            Some(index) => document.with_changed(index, &mapping),
            None => document.with_added(std::slice::from_ref(&mapping)).map_err(|e| MapError::Change(e.into()))?,
        };
        let text = edited.slices(bytes).concat();
        cwd_kept.set(cwd.is_none() || keeps_folder(&map.parse(&text, &is_model)?, &mapping, context));
        // Nothing to change, nothing written.
        Ok((text != bytes).then_some(Change { edited, pending: None }))
    };
    let new = || {
        cwd_kept.set(true);
        new_map(std::slice::from_ref(&mapping)).map_err(|error| MapError::Change(error.into()))
    };
    let written = held.update_or_create(change, new)?;
    let cwd_kept = cwd_kept.get();
    map.tombstones().clear(|grave| is_grave_of(grave, &context.catalogue, &chat.model, &chat.chat))?;
    if !cwd_kept {
        log::warn!(
            "the map keeps plain session ids, so --cwd is not stored; `resolve` reads the folder from the transcript"
        );
    }
    context.output.show(&RecordView {
        schema: 1,
        command: "record",
        model: &chat.model,
        chat: &chat.chat,
        session: &arguments.session,
        map: map.path().to_string_lossy().into_owned(),
        changed: written,
        cwd_stored: cwd_kept && cwd.is_some(),
    })?;
    Ok(ExitStatus::Done)
}

/// Whether the map's new text holds the mapping's working folder.
fn keeps_folder(document: &crate::session_map::Document<'_>, mapping: &NewMapping<'_>, context: &Context) -> bool {
    let index = find_chat(document, &context.catalogue, mapping.model, mapping.chat);
    index.is_some_and(|index| document.cwd(&document.entries[index]).as_deref() == mapping.cwd)
}

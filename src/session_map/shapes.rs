//! Reads every form of session map that bridges are known to write, without losing where each byte stood.
//!
//! | form | example | bridge |
//! |---|---|---|
//! | nested | `{"claude-cli": {"chat": "session"}}` | claudeRemote 1.10 and later |
//! | flat | `{"chat": "session"}` | claudeRemote 1.4 to 1.9: Claude only |
//! | objects | `{"chat": {"session_id": …}}`, also one level down | ccbot, claude-max-api-proxy, emdash |
//! | inverted | `{"session": {"hermes_session_id": chat}}` | hermes-claude-cli-bridge, hocgin |
//! | pairs | `{"channelMap": [["chat", {"sessionId": …}]]}` | openclaw-claude-bridge |
//! | wrapped | `{"version": 1, "sessions": {…}}` | hocgin, ccbot forks |
//!
//! The values decide, member by member. What is none of these is left alone and counted.

use std::borrow::Cow;

use rustc_hash::FxHashSet;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::entry::{Entry, EntryObject, Form, Recorded, Span};
use crate::json::{Members, Text};
use crate::policy::session_id::SessionId;

/// The model under which a flat map's chats are filed: both programs that wrote that form knew only Claude.
pub(crate) const FLAT_MODEL: &str = "claude-cli";

/// A session map's text, understood as far as it goes.
#[derive(Debug)]
pub(crate) struct Document<'t> {
    /// The whole text.
    pub(crate) text: &'t str,
    /// Every mapping, in the order of the text.
    pub(crate) entries: Vec<Entry<'t>>,
    /// The places that can take a new mapping.
    pub(super) levels: Vec<Level<'t>>,
    /// Members that are no mapping in any known form.
    pub(crate) not_understood: usize,
}

/// An object or array whose members are mappings.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Level<'t> {
    pub(super) kind: LevelKind,
    /// The model or array it belongs to; `None` for the top.
    pub(super) name: Option<Cow<'t, str>>,
    /// From the opening to the closing bracket.
    pub(super) span: Span,
}

/// What the members of a level look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LevelKind {
    /// `{chat: mapping}` under a model.
    Model,
    /// `{chat: mapping}` without models.
    Flat,
    /// `{session: {…chat…}}`.
    Inverted,
    /// `[[chat, mapping]]`.
    Pairs,
    /// `{model: level}`.
    Nested,
}

/// Larger than any single mapping: such an object is a level, and is not read twice to find out. Under a model's name
/// a mapping is so unlikely that less will do.
const MAX_ENTRY_BYTES: usize = 64 * 1024;
const MAX_ENTRY_BYTES_UNDER_MODEL: usize = 2 * 1024;

/// Why a text is no session map.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShapeError {
    /// Not JSON, torn, or with a key twice.
    #[error("not valid JSON: {0}")]
    Syntax(String),
    /// An object names a key twice: which one counts is up to the reader, so nothing is safe to change.
    #[error("{0}")]
    DuplicateKey(String),
    /// JSON, but no object and no list of pairs.
    #[error("it holds {0}, not an object of chats and sessions")]
    NotAMap(&'static str),
}

/// A member as the classification sees it.
struct Member<'t> {
    key: Cow<'t, str>,
    value: &'t str,
    span: Span,
    value_span: Span,
}

impl<'t> Document<'t> {
    /// Reads `text`. `is_model` tells which names are models of a known provider.
    ///
    /// # Errors
    /// [`ShapeError`]: invalid JSON, a key twice in one object, or a text that is no map at all.
    pub(crate) fn parse(text: &'t str, is_model: &dyn Fn(&str) -> bool) -> Result<Self, ShapeError> {
        let mut document = Self { text, entries: Vec::new(), levels: Vec::new(), not_understood: 0 };
        let raw = text.trim_matches([' ', '\n', '\r', '\t']);
        match raw.as_bytes().first() {
            Some(b'{') => document.read_top(raw, is_model)?,
            Some(b'[') => {
                document.read_pairs(None, raw)?;
                // An empty list is what a prune may leave of a list of pairs.
                if document.not_understood > 0 {
                    return Err(ShapeError::NotAMap("a list"));
                }
            }
            _ => {
                // Tells what is wrong, where it is no JSON at all.
                let _: &RawValue = document.read(raw)?;
                return Err(ShapeError::NotAMap(if raw.starts_with('"') { "a string" } else { "a single value" }));
            }
        }
        Ok(document)
    }

    /// The mapping's working folder, where the mapping is an object that records one.
    pub(crate) fn cwd(&self, entry: &Entry<'t>) -> Option<Cow<'t, str>> {
        let value = &self.text[entry.value.range()];
        if !value.starts_with('{') {
            return None;
        }
        serde_json::from_str::<EntryObject<'t>>(value).ok()?.cwd
    }

    /// The mapping's value as it stands in the text.
    pub(crate) fn value(&self, entry: &Entry<'t>) -> &'t str {
        &self.text[entry.value.range()]
    }

    fn span(&self, part: &str) -> Span {
        let start = part.as_ptr() as usize - self.text.as_ptr() as usize;
        Span { start: start as u32, end: (start + part.len()) as u32 }
    }

    /// Reads a part of the text.
    fn read<T: Deserialize<'t>>(&self, part: &'t str) -> Result<T, ShapeError> {
        serde_json::from_str(part).map_err(|error| self.located(part, &error))
    }

    /// An error in a part of the text, with the place in the whole.
    fn located(&self, part: &str, error: &serde_json::Error) -> ShapeError {
        let (line, column) = self.place(self.span(part).start as usize);
        let (line, column) = match error.line() {
            0 | 1 => (line, column + error.column()),
            further => (line + further - 1, error.column()),
        };
        let message = error.to_string();
        let in_part = format!(" at line {} column {}", error.line(), error.column());
        let message = format!("{} at line {line} column {column}", message.trim_end_matches(&in_part));
        if message.starts_with("duplicate key") {
            ShapeError::DuplicateKey(message)
        } else {
            ShapeError::Syntax(message)
        }
    }

    /// The line of a position, counted from one, and how many of the line's bytes stand before it.
    fn place(&self, position: usize) -> (usize, usize) {
        let before = &self.text[..position];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (1 + before.matches('\n').count(), position - line_start)
    }

    /// The members of the object `raw`, each with the span of `"key": value`. No key may be there twice.
    fn members(&self, raw: &'t str) -> Result<Vec<Member<'t>>, ShapeError> {
        let Members(members) = self.read(raw)?;
        let bytes = self.text.as_bytes();
        let mut position = self.span(raw).start as usize + 1;
        let member = |(key, value): (Text<'t>, &'t RawValue)| {
            while matches!(bytes[position], b' ' | b'\n' | b'\r' | b'\t' | b',') {
                position += 1;
            }
            let value_span = self.span(value.get());
            let span = Span { start: position as u32, end: value_span.end };
            position = value_span.end as usize;
            Member { key: key.0, value: value.get(), span, value_span }
        };
        let members: Vec<_> = members.into_iter().map(member).collect();
        let mut seen = FxHashSet::with_capacity_and_hasher(members.len(), rustc_hash::FxBuildHasher);
        match members.iter().find(|member| !seen.insert(member.key.as_ref())) {
            Some(member) => Err(self.duplicate(member)),
            None => Ok(members),
        }
    }

    fn duplicate(&self, member: &Member<'t>) -> ShapeError {
        let (start, value) = (member.span.start as usize, member.value_span.start as usize);
        let key = self.text[start..value].trim_end_matches([' ', '\n', '\r', '\t', ':']);
        let (line, column) = self.place(start + key.len());
        let name = member.key.escape_default();
        ShapeError::DuplicateKey(format!("duplicate key `{name}` at line {line} column {column}"))
    }

    fn read_top(&mut self, raw: &'t str, is_model: &dyn Fn(&str) -> bool) -> Result<(), ShapeError> {
        let members = self.members(raw)?;
        if let Some(wrapped) = wrapped_sessions(&members) {
            return self.read_top(wrapped, is_model);
        }
        let mut kind = None;
        let all_strings = members.iter().all(|member| member.value.starts_with('"'));
        for member in members {
            let kind_here = match member.value.as_bytes().first() {
                Some(b'"') => self.read_flat_string(member, all_strings)?,
                Some(b'{') => self.read_top_object(member, is_model)?,
                Some(b'[') => {
                    self.read_pairs(Some(member.key), member.value)?;
                    Some(LevelKind::Nested)
                }
                _ => {
                    self.not_understood += usize::from(member.key != "version");
                    None
                }
            };
            kind = kind.or(kind_here);
        }
        // An empty map takes what the current bridge writes.
        let kind = kind.unwrap_or(LevelKind::Nested);
        self.levels.push(Level { kind, name: None, span: self.span(raw) });
        Ok(())
    }

    fn read_flat_string(&mut self, member: Member<'t>, all_strings: bool) -> Result<Option<LevelKind>, ShapeError> {
        let session = text_of(member.value).map_err(|error| self.located(member.value, &error))?;
        // Beside other things a text may be anything: a version, a title. Claude's ids are UUIDs.
        if !all_strings && !SessionId::new(&session).is_ok_and(SessionId::is_uuid) {
            self.not_understood += 1;
            return Ok(None);
        }
        self.push(
            Some(Cow::Borrowed(FLAT_MODEL)),
            member.key,
            (session, Recorded::Nothing, Form::Id),
            member.span,
            member.value_span,
        );
        self.mark_top();
        Ok(Some(LevelKind::Flat))
    }

    fn read_top_object(
        &mut self,
        member: Member<'t>,
        is_model: &dyn Fn(&str) -> bool,
    ) -> Result<Option<LevelKind>, ShapeError> {
        let limit = if is_model(&member.key) { MAX_ENTRY_BYTES_UNDER_MODEL } else { MAX_ENTRY_BYTES };
        if member.value.len() <= limit {
            let object: EntryObject<'t> = self.read(member.value)?;
            let recorded = object.recorded.unwrap_or(Recorded::Nothing);
            // Under a model's name an id alone is a chat that is called so.
            let names_model = is_model(&member.key) && model_in_key(&member.key).is_none();
            let is_mapping = !object.has_rivals && (object.is_described || !names_model);
            if let (Some(session), true) = (object.session, is_mapping) {
                let model = object.model.or_else(|| model_in_key(&member.key));
                self.push(model, member.key, (session, recorded, Form::Object), member.span, member.value_span);
                self.mark_top();
                return Ok(Some(LevelKind::Flat));
            }
            if let (Some(chat), true) = (object.chat, SessionId::new(&member.key).is_ok_and(SessionId::is_uuid)) {
                self.push(object.model, chat, (member.key, recorded, Form::Inverted), member.span, member.value_span);
                self.mark_top();
                return Ok(Some(LevelKind::Inverted));
            }
        }
        self.read_model(member, is_model)?;
        Ok(Some(LevelKind::Nested))
    }

    /// A level of chats under a model. Under an unknown name every member must be plainly a mapping, or none of it is
    /// taken.
    fn read_model(&mut self, member: Member<'t>, is_model: &dyn Fn(&str) -> bool) -> Result<(), ShapeError> {
        let model = member.key;
        let known = is_model(&model);
        let before = self.entries.len();
        let mut others = 0;
        let (mut plain, mut vague) = (0, 0);
        let members = self.members(member.value)?;
        self.entries.reserve(members.len());
        for chat in members {
            match mapping_of(chat.value).map_err(|error| self.located(chat.value, &error))? {
                Some(mapping) => {
                    // Under a known model there is nothing to doubt.
                    match (!known).then(|| SessionId::new(&mapping.0)) {
                        Some(Ok(id)) if mapping.2 == Form::Object || id.is_distinctive() => plain += 1,
                        Some(Ok(_)) => vague += 1,
                        Some(Err(_)) | None => {}
                    }
                    self.push(Some(model.clone()), chat.key, mapping, chat.span, chat.value_span);
                }
                None => others += 1,
            }
        }
        let taken = self.entries.len() - before;
        if !known && taken + others > 0 && (others > 0 || vague > 0 || plain == 0) {
            self.entries.truncate(before);
            self.not_understood += 1;
            return Ok(());
        }
        self.not_understood += others;
        self.levels.push(Level { kind: LevelKind::Model, name: Some(model), span: member.value_span });
        Ok(())
    }

    /// A list of `[chat, mapping]`; all of it or nothing.
    fn read_pairs(&mut self, name: Option<Cow<'t, str>>, raw: &'t str) -> Result<(), ShapeError> {
        let before = self.entries.len();
        let elements: Vec<&'t RawValue> = self.read(raw)?;
        for element in elements {
            let Ok((chat, value)) = serde_json::from_str::<(Text<'t>, &'t RawValue)>(element.get()) else {
                self.entries.truncate(before);
                self.not_understood += 1;
                return Ok(());
            };
            let mapping = mapping_of(value.get()).map_err(|error| self.located(value.get(), &error))?;
            let mapping = mapping.filter(|(id, _, form)| {
                *form == Form::Object || SessionId::new(id).is_ok_and(SessionId::is_distinctive)
            });
            let Some(mapping) = mapping else {
                self.entries.truncate(before);
                self.not_understood += 1;
                return Ok(());
            };
            let (span, value_span) = (self.span(element.get()), self.span(value.get()));
            self.push(name.clone(), chat.0, mapping, span, value_span);
        }
        self.levels.push(Level { kind: LevelKind::Pairs, name, span: self.span(raw) });
        Ok(())
    }

    /// The entry that was taken last stands at the top.
    fn mark_top(&mut self) {
        if let Some(entry) = self.entries.last_mut() {
            entry.at_top = true;
        }
    }

    fn push(
        &mut self,
        model: Option<Cow<'t, str>>,
        chat: Cow<'t, str>,
        (session, recorded, form): Mapping<'t>,
        member: Span,
        value: Span,
    ) {
        self.entries.push(Entry { model, chat, session, recorded, form, at_top: false, member, value });
    }
}

/// What a mapping's value says: the session's id, a recorded time, and how it is written.
type Mapping<'t> = (Cow<'t, str>, Recorded, Form);

/// A value that is an id or an object with one; `None` for anything else.
fn mapping_of(value: &str) -> serde_json::Result<Option<Mapping<'_>>> {
    Ok(match value.as_bytes().first() {
        Some(b'"') => Some((text_of(value)?, Recorded::Nothing, Form::Id)),
        Some(b'{') => {
            let object: EntryObject<'_> = serde_json::from_str(value)?;
            let recorded = object.recorded.unwrap_or(Recorded::Nothing);
            object.session.map(|session| (session, recorded, Form::Object))
        }
        _ => None,
    })
}

/// Whether a text can stand in the map as a mapping's value.
pub(super) fn is_mapping_value(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<Text<'_>>(text).is_ok(),
        Some(b'{') => mapping_of(text).is_ok(),
        _ => false,
    }
}

/// The text of a JSON string that is known to be valid.
fn text_of(raw: &str) -> serde_json::Result<Cow<'_, str>> {
    let inner = &raw[1..raw.len() - 1];
    if inner.contains('\\') {
        return Ok(serde_json::from_str::<Text<'_>>(raw)?.0);
    }
    Ok(Cow::Borrowed(inner))
}

/// `{"version": 1, "sessions": {…}}`: the object inside, when everything beside it is a single value.
fn wrapped_sessions<'t>(members: &[Member<'t>]) -> Option<&'t str> {
    let sessions = members.iter().find(|member| member.key == "sessions" && member.value.starts_with('{'))?;
    let single = |member: &Member<'_>| member.key == "sessions" || !member.value.starts_with(['{', '[', '"']);
    members.iter().all(single).then_some(sessions.value)
}

/// emdash files its sessions under `<provider>-chat-<id>` and `<provider>-main-<id>`.
fn model_in_key<'t>(key: &Cow<'t, str>) -> Option<Cow<'t, str>> {
    let end = key.find("-chat-").or_else(|| key.find("-main-"))?;
    Some(match key {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(text) => Cow::Owned(text[..end].to_owned()),
    })
}

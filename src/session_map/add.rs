//! Puts mappings into the map, where and as its other mappings are.

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Form, Span};
use super::shapes::{Document, Level, LevelKind};
use super::value::{object_changes, object_like};
use crate::json::{Edited, Layout};

/// What a new map is before anything is put into it.
pub(crate) const EMPTY_MAP: &str = "{}\n";

/// A mapping to be put into the map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewMapping<'a> {
    pub(crate) model: &'a str,
    pub(crate) chat: &'a str,
    pub(crate) session: &'a str,
    /// Kept where mappings are objects.
    pub(crate) cwd: Option<&'a str>,
    /// How its value is written.
    pub(crate) form: NewForm<'a>,
    /// Where it once stood, for a map that has become empty since.
    pub(crate) place: Option<TopPlace>,
    /// Its model belongs to the provider whose chats flat maps of plain ids hold.
    pub(crate) is_of_flat_provider: bool,
    /// The instant to note in time fields.
    pub(crate) now: chrono::DateTime<chrono::Utc>,
}

/// Where a mapping stood that was not below a model: an emptied map does not tell any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TopPlace {
    /// At the top, under the chat's id.
    Flat,
    /// At the top, under the session's id.
    Inverted,
}

/// How a new mapping's value is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NewForm<'a> {
    /// As its siblings in the map are.
    LikeSiblings,
    /// The session's id alone.
    PlainId,
    /// This JSON text, as it once stood in the map.
    Exactly(&'a str),
}

/// Why a mapping cannot be put in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    /// A flat map holds Claude's chats alone.
    #[error("the map is flat (chats of Claude without a model level), so it cannot hold a chat of model `{0}`")]
    FlatMap(String),
    /// Lists of pairs and foreign wrappers are written by their own programs.
    #[error("the map has no place that could take a chat of model `{0}` in the form its program writes")]
    NoPlace(String),
    /// Another mapping, or something that is not understood, stands there.
    #[error("the map has something under its name already")]
    Taken,
    /// Of several new mappings for one place the last counts.
    #[error("the chat has a newer tombstone")]
    Superseded,
    /// What once was its value is none.
    #[error("the value in its tombstone is no mapping")]
    Value,
}

impl<'t> Document<'t> {
    /// The text with `mappings` added, whose chats are not in the map yet.
    pub(crate) fn with_added(&self, mappings: &[NewMapping<'_>]) -> Result<Edited, EditError> {
        let mut members: Vec<(usize, Vec<String>)> = Vec::new();
        let mut models: Vec<(&str, Vec<String>)> = Vec::new();
        for mapping in mappings {
            match self.place_for(mapping)? {
                Place::Level(level) => group(&mut members, level).push(self.member(&self.levels[level], mapping)),
                Place::NewModel => {
                    group(&mut models, mapping.model).push(self.member(&self.levels[self.top()?], mapping));
                }
            }
        }
        if !models.is_empty() {
            let top = self.top()?;
            let wrapped = models.iter().map(|(model, inner)| {
                format!("{}{}", self.layout().key(model), self.wrapped(&self.levels[top], inner))
            });
            group(&mut members, top).extend(wrapped);
        }
        let mut insertions: Vec<_> = members
            .iter()
            .map(|(level, members)| self.layout().insertion(self.levels[*level].span.range(), members))
            .collect();
        insertions.sort_by_key(|(range, _)| range.start);
        let edited = Edited::splice(self.text.len(), insertions);
        // A name that is taken by something we do not understand would stand there twice.
        match Document::parse(&edited.to_text(self.text), &|_| false) {
            Ok(_) => Ok(edited),
            Err(_) => Err(EditError::NoPlace(mappings.first().map_or("", |mapping| mapping.model).to_owned())),
        }
    }

    /// The entry of `chat` under `model`. Where the map names no model, the chat alone decides.
    pub(crate) fn find(&self, model: Option<&str>, chat: &str) -> Option<usize> {
        let same = |own: Option<&str>| own.is_none() || model.is_none() || own == model;
        let exact = self.entries.iter().position(|e| e.chat == chat && e.model.as_deref() == model);
        exact.or_else(|| self.entries.iter().position(|e| e.chat == chat && same(e.model.as_deref())))
    }

    /// The text with the mapping at `index` leading to `mapping`'s session.
    pub(crate) fn with_changed(&self, index: usize, mapping: &NewMapping<'_>) -> Edited {
        let entry = &self.entries[index];
        let value = self.value(entry);
        if entry.form == Form::Id {
            return Edited::splice(self.text.len(), [(entry.value.range(), self.layout().quoted(mapping.session))]);
        }
        let changes = object_changes(value, entry.value.start as usize, mapping, &|text| self.layout().quoted(text));
        if entry.form == Form::Inverted {
            let key = self.text[entry.member.range()].trim_start_matches('"');
            let start = entry.member.start as usize;
            let end = start + 2 + key.find('"').unwrap_or_default();
            return Edited::splice(
                self.text.len(),
                std::iter::once((start..end, self.layout().quoted(mapping.session))).chain(changes),
            );
        }
        Edited::splice(self.text.len(), changes)
    }

    /// Where an entry stands, when that is not below a model or in a list.
    pub(crate) fn top_place(entry: &Entry<'t>) -> Option<TopPlace> {
        let place = if entry.form == Form::Inverted { TopPlace::Inverted } else { TopPlace::Flat };
        entry.at_top.then_some(place)
    }

    pub(super) fn top(&self) -> Result<usize, EditError> {
        let top = self.levels.iter().position(|level| level.name.is_none());
        top.ok_or_else(|| EditError::NoPlace(String::new()))
    }

    /// Where a new mapping belongs.
    pub(super) fn place_for(&self, mapping: &NewMapping<'_>) -> Result<Place, EditError> {
        let level = |kind: LevelKind, name: Option<&str>| {
            self.levels.iter().position(|level| level.kind == kind && level.name.as_deref() == name)
        };
        if let Some(named) =
            level(LevelKind::Model, Some(mapping.model)).or(level(LevelKind::Pairs, Some(mapping.model)))
        {
            return Ok(Place::Level(named));
        }
        if let Some(top) = level(LevelKind::Nested, None) {
            let is_empty = self.entries.is_empty() && self.levels.len() == 1;
            return Ok(if is_empty && mapping.place.is_some() { Place::Level(top) } else { Place::NewModel });
        }
        let Some(top) =
            level(LevelKind::Flat, None).or(level(LevelKind::Inverted, None)).or(level(LevelKind::Pairs, None))
        else {
            return Err(EditError::NoPlace(mapping.model.to_owned()));
        };
        let ids = self.siblings(&self.levels[top]).any(|value| value.starts_with('"'));
        if ids && !mapping.is_of_flat_provider {
            return Err(EditError::FlatMap(mapping.model.to_owned()));
        }
        Ok(Place::Level(top))
    }

    /// A new member in the form of its level.
    fn member(&self, level: &Level<'t>, mapping: &NewMapping<'_>) -> String {
        let value = self.new_value(level, mapping);
        let key = key_in(level.kind, mapping);
        if level.kind == LevelKind::Pairs {
            let comma = if self.layout().spaced() { ", " } else { "," };
            return format!("[{}{comma}{value}]", self.layout().quoted(key));
        }
        format!("{}{value}", self.layout().key(key))
    }

    /// The values of the mappings in `level`.
    fn siblings<'s>(&'s self, level: &'s Level<'t>) -> impl Iterator<Item = &'t str> + 's {
        let inside = |span: Span| span.start >= level.span.start && span.end <= level.span.end;
        self.entries.iter().filter(move |entry| inside(entry.member)).map(|entry| self.value(entry))
    }

    /// A value in the form of its siblings: a string, or an object with the fields that theirs have.
    fn new_value(&self, level: &Level<'t>, mapping: &NewMapping<'_>) -> String {
        match mapping.form {
            NewForm::Exactly(value) => return value.to_owned(),
            NewForm::PlainId => return self.layout().quoted(mapping.session),
            NewForm::LikeSiblings => {}
        }
        let last = self.siblings(level).last().or_else(|| self.entries.last().map(|entry| self.value(entry)));
        match (last, mapping.cwd) {
            (Some(sibling), _) if sibling.starts_with('{') => {
                object_like(sibling, mapping, self.layout().spaced(), &|text| self.layout().quoted(text))
            }
            (None, Some(cwd)) => format!(
                "{{{}{}, {}{}}}",
                self.layout().key("session_id"),
                self.layout().quoted(mapping.session),
                self.layout().key("cwd"),
                self.layout().quoted(cwd)
            ),
            _ => self.layout().quoted(mapping.session),
        }
    }

    /// `members` as the content of a new object in `level`.
    fn wrapped(&self, level: &Level<'t>, members: &[String]) -> String {
        match self.layout().indent_of(level.span.start as usize) {
            Some(outer) => {
                let unit = self.layout().unit();
                let lead = format!("\n{outer}{unit}{unit}");
                format!("{{{lead}{}\n{outer}{unit}}}", members.join(&format!(",{lead}")))
            }
            None => format!("{{{}}}", members.join(if self.layout().spaced() { ", " } else { "," })),
        }
    }

    fn layout(&self) -> Layout<'t> {
        Layout::of(self.text)
    }
}

/// Where a new mapping belongs.
pub(super) enum Place {
    /// Into this level.
    Level(usize),
    /// Into a new level under the top.
    NewModel,
}

/// What a new mapping is found by in a level of this kind.
pub(super) fn key_in<'m>(kind: LevelKind, mapping: &NewMapping<'m>) -> &'m str {
    match (kind, mapping.place) {
        (LevelKind::Inverted, _) | (LevelKind::Nested, Some(TopPlace::Inverted)) => mapping.session,
        _ => mapping.chat,
    }
}

/// The list that belongs to `key`, made when there is none.
fn group<K: PartialEq, V>(groups: &mut Vec<(K, Vec<V>)>, key: K) -> &mut Vec<V> {
    let index = groups.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
        groups.push((key, Vec::new()));
        groups.len() - 1
    });
    &mut groups[index].1
}

/// A new map that holds `mappings` alone, in the nested form that the current bridge writes.
pub(crate) fn new_map(mappings: &[NewMapping<'_>]) -> Result<String, EditError> {
    let model = mappings.first().map_or("", |mapping| mapping.model);
    let empty = Document::parse(EMPTY_MAP, &|_| true).map_err(|_| EditError::NoPlace(model.to_owned()))?;
    Ok(empty.with_added(mappings)?.to_text(empty.text))
}

//! Whether the map has room for new mappings: a key that stands there twice would make the whole text useless.

use std::borrow::Cow;

use rustc_hash::{FxHashMap, FxHashSet};

use super::add::{EditError, NewForm, NewMapping, Place, key_in};
use super::shapes::{Document, LevelKind, is_mapping_value};
use crate::json::Members;

impl Document<'_> {
    /// For each of `mappings` why [`Self::with_added`] cannot add it together with the others, if so. Of several for one
    /// place the last has it.
    pub(crate) fn objections(&self, mappings: &[NewMapping<'_>]) -> Vec<Option<EditError>> {
        let mut room =
            Room { document: self, old: FxHashMap::default(), new: FxHashMap::default(), below: FxHashSet::default() };
        let mut objections: Vec<_> = mappings.iter().rev().map(|mapping| room.take(mapping).err()).collect();
        objections.reverse();
        objections
    }
}

/// Which keys are taken.
struct Room<'d, 'm> {
    document: &'d Document<'d>,
    /// By what the map has: the keys of each level that was asked for.
    old: FxHashMap<usize, FxHashSet<Cow<'d, str>>>,
    /// By new members of a level; true for a new model.
    new: FxHashMap<(usize, &'m str), bool>,
    /// By the chats of new models.
    below: FxHashSet<(&'m str, &'m str)>,
}

impl<'m> Room<'_, 'm> {
    fn take(&mut self, mapping: &NewMapping<'m>) -> Result<(), EditError> {
        if let NewForm::Exactly(value) = mapping.form
            && !is_mapping_value(value)
        {
            return Err(EditError::Value);
        }
        let document = self.document;
        let (level, model) = match document.place_for(mapping)? {
            Place::Level(level) => (level, None),
            Place::NewModel => (document.top()?, Some(mapping.model)),
        };
        let key = key_in(document.levels[level].kind, mapping);
        let member = model.unwrap_or(key);
        if self.old.entry(level).or_insert_with(|| keys(document, level)).contains(member) {
            return Err(EditError::Taken);
        }
        let is_free = match (self.new.insert((level, member), model.is_some()), model) {
            (None, None) => true,
            (None | Some(true), Some(model)) => self.below.insert((model, key)),
            (Some(was_model), _) => {
                self.new.insert((level, member), was_model);
                false
            }
        };
        if is_free { Ok(()) } else { Err(EditError::Superseded) }
    }
}

/// The keys of a level, also of what is not understood.
fn keys<'d>(document: &'d Document<'d>, level: usize) -> FxHashSet<Cow<'d, str>> {
    let level = &document.levels[level];
    let range = level.span.range();
    if level.kind == LevelKind::Pairs {
        let inside = document.entries.iter().filter(|entry| range.contains(&entry.member.range().start));
        return inside.map(|entry| entry.chat.clone()).collect();
    }
    // It was read before.
    let members = serde_json::from_str(&document.text[range]).unwrap_or(Members(Vec::new()));
    members.0.into_iter().map(|(key, _)| key.0).collect()
}

//! What to look for in one provider's store: the wanted sessions, found again by what a file's name holds of their ids.
//!
//! A map may want a hundred thousand sessions, so an index is four bytes per session and the ids stay where they are.

use std::collections::HashSet;
use std::hash::Hasher as _;
use std::path::PathBuf;

use chrono::NaiveDate;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rustc_hash::FxHasher;

use super::SessionId;
use super::row::Provider;
use super::{Located, tree::Tree};
use crate::policy::path_pattern::NamePattern;

/// What to look for in one provider's store.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    pub(crate) provider: &'a Provider,
    /// The provider's home on this machine.
    pub(crate) home: PathBuf,
    /// Where the signs of live processes are.
    pub(crate) live_home: PathBuf,
    /// The sessions wanted, each once.
    pub(crate) ids: Vec<SessionId<'a>>,
    /// Indexes in `ids`, hashed by the whole id.
    by_id: HashTable<u32>,
    /// The lengths that they have, the longest first.
    id_lengths: Vec<usize>,
}

impl<'a> Query<'a> {
    /// Looks for nothing yet.
    pub(crate) fn new(row: &'a Located) -> Self {
        let (home, live_home) = (row.home.clone(), row.live_home.clone());
        let (ids, by_id, id_lengths) = (Vec::new(), HashTable::new(), Vec::new());
        Self { provider: &row.provider, home, live_home, ids, by_id, id_lengths }
    }

    /// Wants `id`, too; yields its index.
    pub(crate) fn want(&mut self, id: SessionId<'a>) -> u32 {
        let ids = &mut self.ids;
        let hash_at = |index: &u32| hash(ids[*index as usize].as_str().as_bytes());
        let text = id.as_str().as_bytes();
        match self.by_id.entry(hash(text), |index| ids[*index as usize] == id, hash_at) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => {
                let index = ids.len() as u32;
                free.insert(index);
                ids.push(id);
                // The longest first: a short id may be the end of a long one.
                if let Err(at) = self.id_lengths.binary_search_by(|known| text.len().cmp(known)) {
                    self.id_lengths.insert(at, text.len());
                }
                index
            }
        }
    }

    /// The index of the wanted session with this id.
    #[inline]
    pub(crate) fn index_of(&self, id: &[u8]) -> Option<u32> {
        self.by_id.find(hash(id), |index| self.ids[*index as usize].as_str().as_bytes() == id).copied()
    }

    /// Whether `text` is the id of a wanted session.
    pub(crate) fn wants(&self, text: &str) -> bool {
        self.index_of(text.as_bytes()).is_some()
    }

    /// The wanted session whose transcript can have this name.
    pub(crate) fn session_of(&self, name: &[u8]) -> Option<u32> {
        let rules = self.provider.transcripts.iter().filter_map(|pattern| pattern.name.as_ref());
        rules.filter(|rule| rule.characters.is_none()).find_map(|rule| self.id_in(rule, name))
    }

    /// The wanted session that `name` holds where `rule` expects it.
    #[inline]
    pub(super) fn id_in(&self, rule: &NamePattern, name: &[u8]) -> Option<u32> {
        self.id_lengths.iter().find_map(|length| self.index_of(rule.id_in(name, *length)?))
    }

    /// The days in which the wanted sessions can have been begun, when every id tells; a day more on each side for the
    /// time zone. Sessions that are `known` to lie elsewhere ask for no day: Codex keeps a session in one place.
    pub(super) fn possible_days(&self, known: &dyn Fn(u32) -> bool) -> Option<HashSet<NaiveDate>> {
        let mut days = HashSet::new();
        for (id, index) in self.ids.iter().zip(0..) {
            let Some(day) = id.uuid_v7_day().and_then(|day| i32::try_from(day).ok()) else {
                if known(index) {
                    continue;
                }
                return None;
            };
            for near in day - 1..=day + 1 {
                days.insert(NaiveDate::from_epoch_days(near)?);
            }
        }
        Some(days)
    }
}

/// The wanted sessions by the first characters of their ids, for names that hold only those.
#[derive(Debug)]
pub(super) struct Beginnings {
    /// How many characters, and indexes in the query's ids, hashed by those.
    tables: Vec<(usize, HashTable<u32>)>,
}

impl Beginnings {
    /// For the numbers of characters that the names of this tree hold.
    pub(super) fn new(query: &Query<'_>, tree: &Tree) -> Self {
        let lengths: HashSet<usize> =
            tree.nodes.iter().flat_map(|node| &node.names).filter_map(|rule| rule.name.characters).collect();
        let table = |length: usize| {
            let beginning = |index: &u32| hash(&query.ids[*index as usize].as_str().as_bytes()[..length]);
            let mut table = HashTable::with_capacity(query.ids.len());
            for (id, index) in query.ids.iter().zip(0_u32..) {
                if id.as_str().len() >= length {
                    table.insert_unique(beginning(&index), index, beginning);
                }
            }
            (length, table)
        };
        Self { tables: lengths.into_iter().map(table).collect() }
    }

    /// The sessions whose ids begin so.
    pub(super) fn sessions<'b>(&'b self, query: &'b Query<'_>, beginning: &'b [u8]) -> impl Iterator<Item = u32> + 'b {
        let table = self.tables.iter().find(|(length, _)| *length == beginning.len());
        let begins = move |index: &u32| query.ids[*index as usize].as_str().as_bytes().starts_with(beginning);
        table.into_iter().flat_map(move |(_, table)| table.iter_hash(hash(beginning))).copied().filter(begins)
    }
}

#[inline]
fn hash(text: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(text);
    hasher.finish()
}

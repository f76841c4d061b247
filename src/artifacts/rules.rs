//! Which kind a path below a home is of: the places of all kinds of one provider, as rules that a walk follows downwards.

use anyhow::Result;

use super::kinds::{Grain, KINDS};
use crate::policy::path_pattern::{Folder, NamePattern, PathPattern};
use crate::policy::session_id::SessionId;

/// What a name is to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Its transcript, or the folder that holds that.
    Transcript,
    /// Something else that the CLI keeps for it alone.
    Companion,
    /// A sub-agent's transcript whose name holds no id: the one inside is its session's.
    Loose,
}

/// One kind in force for a home.
#[derive(Debug, Clone)]
pub(crate) struct KindInForce {
    /// Which row of [`KINDS`]; nothing for the transcripts of a provider that has none there.
    pub(crate) row: Option<usize>,
    pub(crate) grain: Grain,
}

/// What a rule says of the entries that match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Each file, and each one below, by itself.
    Files,
    /// It goes as a whole.
    Whole,
    /// It is of a session.
    Session(Part),
}

/// One place.
#[derive(Debug)]
pub(super) struct Rule {
    /// Index in [`Rules::kinds`].
    pub(super) kind: usize,
    pub(super) folders: Vec<Folder>,
    pub(super) last: Last,
    pub(super) meaning: Meaning,
}

/// The component that a rule ends with.
#[derive(Debug)]
pub(super) enum Last {
    Plain(Folder),
    /// With an id, of whatever form or a UUID's.
    Id(NamePattern, Form),
}

/// What a provider's session ids look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Any,
    /// All that can be pruned: what has another name beside their transcripts is nobody's session.
    Uuid,
}

/// How a name fits the last component of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit<'n> {
    Not,
    Plain,
    /// With this id in it, or as much of the id as it holds.
    Id(&'n str),
}

/// All rules of one provider.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) kinds: Vec<KindInForce>,
    /// Those that decide first stand first.
    pub(super) rules: Vec<Rule>,
}

impl Rules {
    /// The rules of the provider called `provider`, with the places of its transcripts and of its sub-agents' transcripts.
    ///
    /// # Errors
    /// A place in the table is none.
    pub(crate) fn new(provider: &str, transcripts: &[PathPattern], subagents: &[PathPattern]) -> Result<Self> {
        let mut rules = Self { kinds: Vec::new(), rules: Vec::new() };
        let rows = || KINDS.iter().enumerate().filter(|(_, kind)| kind.provider == provider);
        let row = rows().find(|(_, kind)| kind.grain == Grain::Session).map(|(row, _)| row);
        if !transcripts.is_empty() {
            rules.kinds.push(KindInForce { row, grain: Grain::Session });
            let (beside, loose): (Vec<_>, Vec<_>) = subagents.iter().partition(|pattern| pattern.name.is_some());
            let all = loose.into_iter().map(|pattern| (pattern, Part::Loose));
            let all = all.chain(transcripts.iter().map(|pattern| (pattern, Part::Transcript)));
            for (pattern, part) in all.chain(beside.into_iter().map(|pattern| (pattern, Part::Companion))) {
                rules.add(0, pattern, Meaning::Session(part));
            }
        }
        for (row, kind) in rows() {
            let (index, meaning) = match kind.grain {
                Grain::Session => (0, Meaning::Session(Part::Companion)),
                Grain::File => (rules.kinds.len(), Meaning::Files),
                Grain::Entry => (rules.kinds.len(), Meaning::Whole),
            };
            if index == rules.kinds.len() {
                rules.kinds.push(KindInForce { row: Some(row), grain: kind.grain });
            }
            for place in kind.places {
                rules.add(index, &PathPattern::parse(place)?, meaning);
            }
        }
        Ok(rules)
    }

    /// Only the kinds that `is_wanted`, by their rows.
    pub(crate) fn only(mut self, is_wanted: impl Fn(usize) -> bool) -> Self {
        let kept: Vec<bool> = self.kinds.iter().map(|kind| kind.row.is_some_and(&is_wanted)).collect();
        let place = |kind: usize| kept[..kind].iter().filter(|kept| **kept).count();
        self.rules.retain(|rule| kept[rule.kind]);
        self.rules.iter_mut().for_each(|rule| rule.kind = place(rule.kind));
        let mut of_kind = kept.iter();
        self.kinds.retain(|_| of_kind.next().copied().unwrap_or_default());
        self
    }

    /// Adds a place: the pattern down to the component with the id, for what lies below that is the session's, too.
    fn add(&mut self, kind: usize, pattern: &PathPattern, meaning: Meaning) {
        let mut folders = pattern.folders.clone();
        let last = if let Some(name) = &pattern.name {
            // Whoever has a row among the kinds calls its sessions by UUIDs.
            Last::Id(name.clone(), if self.kinds[kind].row.is_some() { Form::Uuid } else { Form::Any })
        } else {
            let mut tail = pattern.tail.iter().cloned();
            let Some(last) = tail.next_back() else { return };
            folders.extend(tail);
            Last::Plain(last)
        };
        self.rules.push(Rule { kind, folders, last, meaning });
    }
}

impl Rule {
    /// Whether a folder called `name`, which lies below `depth` others, is its place or on the way to it.
    pub(super) fn leads_through(&self, depth: usize, name: &[u8]) -> bool {
        match self.folders.get(depth) {
            Some(folder) => folder.matches(name),
            None => self.meaning == Meaning::Files && depth == self.folders.len() && self.last.fits(name) != Fit::Not,
        }
    }
}

impl Last {
    /// Whether `name` fits.
    pub(super) fn fits<'n>(&self, name: &'n [u8]) -> Fit<'n> {
        match self {
            Self::Plain(folder) if folder.matches(name) => Fit::Plain,
            Self::Plain(_) => Fit::Not,
            Self::Id(pattern, form) => {
                // With a `*` in front only the form of the id tells where it begins; all such names hold a UUID.
                let lengths = match pattern.characters {
                    Some(length) => length..=length,
                    None if pattern.is_exact() => 1..=name.len(),
                    None => 36..=36,
                };
                let id = lengths.rev().find_map(|length| pattern.id_in(name, length));
                let id = id.and_then(|id| std::str::from_utf8(id).ok()).filter(|id| form.fits(id));
                id.map_or(Fit::Not, Fit::Id)
            }
        }
    }

    /// Whether a name holds only the beginning of the id.
    pub(super) const fn is_shortened(&self) -> bool {
        matches!(self, Self::Id(pattern, _) if pattern.characters.is_some())
    }
}

impl Form {
    /// Whether this is an id of that form, or its beginning.
    pub(super) fn fits(self, id: &str) -> bool {
        const ANY: &str = "00000000-0000-4000-8000-000000000000";
        let rest = ANY.get(id.len()..).unwrap_or_default();
        self == Self::Any || SessionId::new(&format!("{id}{rest}")).is_ok_and(SessionId::is_uuid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_told_from_other_names_by_its_beginning_as_well() {
        let id = "0856b851-1111-4222-8333-0123456789ab";
        assert!([id, &id[..8], &id[..20]].into_iter().all(|id| Form::Uuid.fits(id)));
        for other in ["memory", "notes", "backup-1", &format!("{id}0"), &id[1..], "é"] {
            assert!(!Form::Uuid.fits(other) && Form::Any.fits(other), "{other}");
        }
    }

    #[test]
    fn every_place_of_the_table_is_a_pattern() {
        for kind in &KINDS {
            for place in kind.places {
                let pattern = PathPattern::parse(place).unwrap();
                let is_of_session = kind.grain == Grain::Session;
                assert_eq!(pattern.name.is_some(), is_of_session, "{place}");
                assert!(
                    pattern.name.is_none() || pattern.tail.is_empty(),
                    "{place}: a session's place ends with its id"
                );
            }
            assert!(kind.grain == Grain::Session || !kind.places.is_empty(), "{}", kind.name);
            assert!(Rules::new(kind.provider, &[], &[]).is_ok());
        }
    }
}

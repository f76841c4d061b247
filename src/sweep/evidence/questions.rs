//! Who asks for what: the mappings' session ids, provider by provider.

use crate::providers::query::Query;
use crate::providers::{Catalogue, InvalidId, SessionId};
use crate::session_map::Entry;

/// Every entry that is looked at, with what it asks of which provider.
pub(super) struct Questions<'d> {
    sought: Vec<Sought>,
    refs: Vec<Ref>,
    pub(super) queries: Vec<Query<'d>>,
}

/// One entry's questions.
pub(super) struct Question<'q> {
    /// Index in the map's entries.
    pub(super) entry: u32,
    /// One where a provider claims the model, else one for every provider.
    pub(super) refs: &'q [Ref],
    /// Why there is no question to be asked.
    pub(super) invalid: Option<InvalidId>,
}

/// A session of one provider.
#[derive(Clone, Copy)]
pub(super) struct Ref {
    /// Index in the catalogue.
    pub(super) provider: u16,
    /// Index in that provider's query.
    pub(super) id: u32,
}

struct Sought {
    entry: u32,
    first: u32,
    count: u16,
    invalid: Option<InvalidId>,
}

impl<'d> Questions<'d> {
    /// The questions of the entries `selected`.
    pub(super) fn new(entries: &'d [Entry<'_>], selected: &[u32], catalogue: &'d Catalogue) -> Self {
        let mut questions = Self {
            sought: Vec::with_capacity(selected.len()),
            refs: Vec::with_capacity(selected.len()),
            queries: catalogue.iter().map(Query::new).collect(),
        };
        let mut last: Option<(&str, Option<usize>)> = None;
        for &index in selected {
            let entry = &entries[index as usize];
            let first = questions.refs.len();
            let id = SessionId::new(&entry.session);
            if let Ok(id) = id {
                let model = entry.model.as_deref().unwrap_or_default();
                let claimed = match last {
                    Some((same, provider)) if same == model => provider,
                    _ => catalogue.claiming(model),
                };
                last = Some((model, claimed));
                let providers = claimed.map_or(0..catalogue.len(), |provider| provider..provider + 1);
                for provider in providers {
                    let id = questions.queries[provider].want(id);
                    questions.refs.push(Ref { provider: provider as u16, id });
                }
            }
            let count = questions.refs.len() - first;
            questions.sought.push(Sought { entry: index, first: first as u32, count: count as u16, invalid: id.err() });
        }
        questions
    }

    /// Every entry's questions, in the order of the selection.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = Question<'_>> {
        self.sought.iter().map(|sought| Question {
            entry: sought.entry,
            refs: &self.refs[sought.first as usize..][..usize::from(sought.count)],
            invalid: sought.invalid,
        })
    }
}

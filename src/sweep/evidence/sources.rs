//! Everything that is looked at for one provider's sessions: its store, its database, the signs of live processes.

use rustc_hash::FxHashMap;

use super::Look;
use super::questions::Questions;
use crate::filesystem::proc::Proc;
use crate::policy::choices::ActivitySource;
use crate::providers::database;
use crate::providers::index::{self, Depth, Found, Store};
use crate::providers::live::{HeldFile, LiveSessions, OpenFiles};
use crate::providers::query::Query;
use crate::providers::row::LiveRule;

/// What one provider's sources say.
pub(super) struct Sources {
    pub(super) store: Store,
    pub(super) live: LiveSessions,
    /// Why live processes could not be looked for.
    pub(super) blind: Option<String>,
    pub(super) database: Option<database::DatabaseSessions>,
    /// Ids whose transcript a process has open, with that process.
    pub(super) open: FxHashMap<u32, u32>,
    /// What could not be read of the places where any session can be.
    pub(super) unread: Option<String>,
    /// All of those places are known and could be read.
    pub(super) read: Result<(), String>,
    pub(super) present: bool,
}

/// Looks at the sources of every provider, in the catalogue's order; what could not be read is added to `notes`.
pub(super) fn gather(questions: &Questions<'_>, look: Look, notes: &mut Vec<String>) -> Vec<Sources> {
    let queries = &questions.queries;
    let depth = Depth { subagents_before: look.subagents_before() };
    // Two independent looks: at the stores, and at what all processes hold open.
    let wanted = |name: &[u8]| queries.iter().any(|query| query.session_of(name).is_some());
    let asks = queries.iter().any(|query| !query.ids.is_empty() && shows_by_open_files(query));
    let look_at_files = || OpenFiles::look(&Proc::default(), &wanted);
    let (stores, open) = index::gather_beside(queries, depth, asks.then_some(&look_at_files));
    let open = open.unwrap_or_else(|| OpenFiles::unknown("a thread died"));
    let proc = Proc::default();
    let each = queries.iter().zip(stores);
    each.map(|(query, store)| Sources::gather(query, store, &proc, &open, look, notes)).collect()
}

/// Whether this provider's CLI shows by its open files that it runs.
fn shows_by_open_files(query: &Query<'_>) -> bool {
    query.provider.live.contains(&LiveRule::OpenTranscript)
}

impl Look {
    fn is_idle(self, found: &Found) -> bool {
        found.modified < self.idle_before || self.activity == ActivitySource::Content
    }
}

impl Sources {
    fn gather(
        query: &Query<'_>,
        store: Store,
        proc: &Proc,
        open: &OpenFiles,
        look: Look,
        notes: &mut Vec<String>,
    ) -> Self {
        let provider = query.provider;
        let mut present = store.present;
        let mut problems = store.problems.clone();
        let mut database = None;
        if let (Some(row), false) = (&provider.database, query.ids.is_empty()) {
            match database::sessions(row, &query.home, &|id| query.wants(id)) {
                Ok(Some(sessions)) => {
                    present = true;
                    database = Some(sessions);
                }
                Ok(None) => {}
                Err(problem) => problems.push(format!("{problem:#}")),
            }
        }
        let live = if query.ids.is_empty() {
            LiveSessions::default()
        } else {
            LiveSessions::gather(provider, &query.live_home, &|id| query.wants(id), proc)
        };
        let (open, blind) = held_by(query, &store, open, look);
        let unlooked = |problem: &String| format!("could not look everywhere: {problem}");
        // What hides the sub-agents of one session hides no copy of another.
        let unread = problems.iter().find(|problem| !store.of_subagents.contains(problem.as_str())).map(unlooked);
        let read = match problems.first() {
            Some(problem) => Err(unlooked(problem)),
            None if !provider.complete && present => {
                Err(format!("not all places in which {} keeps sessions are known", provider.name))
            }
            None => Ok(()),
        };
        notes.extend(problems.iter().map(|problem| format!("{}: {problem}", provider.name)));
        let blind = live.errors.first().cloned().or(blind);
        notes.extend(blind.iter().map(|problem| format!("{}: {problem}", provider.name)));
        Self { store, live, blind, database, open, unread, read, present }
    }
}

/// The sessions whose idle transcript a process has open, where that is how the CLI works, and what could not be examined.
fn held_by(query: &Query<'_>, store: &Store, open: &OpenFiles, look: Look) -> (FxHashMap<u32, u32>, Option<String>) {
    if !shows_by_open_files(query) || !store.found.iter().flatten().any(|found| look.is_idle(found)) {
        return (FxHashMap::default(), None);
    }
    let holder = |file: &HeldFile| {
        let id = query.session_of(file.path.file_name()?.as_encoded_bytes())?;
        store.found[id as usize].filter(|found| look.is_idle(found))?;
        let is_copy = |(place, _)| file.is(&store.path(place));
        store.copies(id as usize).into_iter().any(is_copy).then_some((id, file.pid))
    };
    (open.iter().filter_map(holder).collect(), open.errors.first().cloned())
}

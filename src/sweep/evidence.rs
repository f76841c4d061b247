//! Facts about every mapping's session, from the providers' stores, their live processes and the map itself.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use chrono::{DateTime, Utc};
use rustc_hash::FxHashMap;

use super::content;
use crate::filesystem::proc::Proc;
use crate::policy::choices::ActivitySource;
use crate::policy::mapping::{Absence, Activity, Facts, MASS_MISSING_FROM, Source};
use crate::providers::index::{self, Depth, Found, Place, Query, Store};
use crate::providers::live::{HeldFile, LiveSessions, Liveness, OpenFiles};
use crate::providers::row::LiveRule;
use crate::providers::{Catalogue, InvalidId, SessionId, database};
use crate::session_map::{Document, Entry, Recorded, Remembered};

/// How to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Sub-agents are looked for beside transcripts that are older than this.
    pub(crate) idle_before: DateTime<Utc>,
    pub(crate) activity: ActivitySource,
    /// Look also where a session should not be: before anything is done because it is missing.
    pub(crate) everywhere: bool,
}

/// What was found out about the mappings of one map.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// Per looked-at entry, in the map's order.
    pub(crate) findings: Vec<Finding>,
    /// Per provider, in the catalogue's order.
    stores: Vec<Store>,
    /// Reasons that several findings share.
    texts: Vec<String>,
    /// Where something could not be read, and what follows from the whole.
    pub(crate) notes: Vec<String>,
    /// How many of the notes say what could not be read.
    problems: usize,
    /// Where last activity was to be taken from.
    pub(crate) activity: ActivitySource,
    /// When the look began: anything may have happened since.
    pub(crate) begun: Instant,
}

/// What was found out about one mapping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finding {
    /// Index in the map's entries.
    pub(crate) entry: u32,
    /// Whose session it is, as far as that is known: index in the catalogue.
    pub(crate) provider: Option<u16>,
    known: Known,
    place: Option<Place>,
    /// The transcript's time of last change, where another source decided.
    pub(crate) modified: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy)]
enum Known {
    Unknown(u32),
    InUse { pid: u32, last: Option<Activity> },
    Found(Activity),
    Absent { present: bool, all_missing: bool, recorded: Option<DateTime<Utc>> },
}

impl Finding {
    /// Whether the session is there.
    pub(crate) const fn is_found(&self) -> bool {
        matches!(self.known, Known::Found(_))
    }

    /// Whether the session's transcript is not there.
    pub(crate) const fn is_missing(&self) -> bool {
        matches!(self.known, Known::Absent { .. })
    }
}

/// Which provider's ids an entry asks for.
struct Sought {
    entry: u32,
    refs: Range<u32>,
    invalid: Option<InvalidId>,
}

/// Who asks for what, provider by provider.
struct Questions<'d> {
    sought: Vec<Sought>,
    /// Provider and index in that provider's query.
    refs: Vec<(u16, u32)>,
    queries: Vec<Query<'d>>,
}

/// What one provider's sources say, beyond its store of files.
struct Sources {
    store: Store,
    live: LiveSessions,
    /// Why live processes could not be looked for.
    blind: Option<String>,
    database: Option<database::DatabaseSessions>,
    /// Ids whose transcript a process has open, with that process.
    open: FxHashMap<u32, u32>,
    /// What could not be read of the places where any session can be.
    unread: Option<String>,
    /// All of those places are known and could be read.
    read: Result<(), String>,
    present: bool,
}

impl<'d> Questions<'d> {
    fn new(entries: &'d [Entry<'_>], selected: &[u32], catalogue: &'d Catalogue) -> Self {
        let mut questions = Self {
            sought: Vec::with_capacity(selected.len()),
            refs: Vec::with_capacity(selected.len()),
            queries: catalogue.iter().map(Query::new).collect(),
        };
        let mut last: Option<(&str, Option<usize>)> = None;
        for &index in selected {
            let entry = &entries[index as usize];
            let start = questions.refs.len() as u32;
            let mut invalid = None;
            match SessionId::new(&entry.session) {
                Err(error) => invalid = Some(error),
                Ok(id) => {
                    let model = entry.model.as_deref().unwrap_or_default();
                    let claimed = match last {
                        Some((same, provider)) if same == model => provider,
                        _ => catalogue.claiming(model),
                    };
                    last = Some((model, claimed));
                    let providers = claimed.map_or(0..catalogue.len(), |provider| provider..provider + 1);
                    for provider in providers {
                        let id = questions.queries[provider].want(id);
                        questions.refs.push((provider as u16, id));
                    }
                }
            }
            let refs = start..questions.refs.len() as u32;
            questions.sought.push(Sought { entry: index, refs, invalid });
        }
        questions
    }
}

impl Evidence {
    /// Looks for the sessions of the entries `selected`.
    pub(crate) fn gather(document: &Document<'_>, selected: &[u32], catalogue: &Catalogue, look: Look) -> Self {
        let begun = Instant::now();
        let questions = Questions::new(&document.entries, selected, catalogue);
        let subagents_before = match look.activity {
            ActivitySource::Mtime => look.idle_before,
            // Where file times are not believed, a recent one is no reason to look no further.
            ActivitySource::Content => DateTime::<Utc>::MAX_UTC,
        };
        let queries = &questions.queries;
        // Two independent looks: at the stores, and at what processes hold open.
        let (stores, open) = std::thread::scope(|scope| {
            let open = asks_for_open_files(queries).then(|| scope.spawn(|| open_files(queries)));
            let stores = index::gather(queries, Depth { subagents_before, all_days: look.everywhere });
            (stores, open.map(|open| open.join().unwrap_or_else(|_| OpenFiles::unknown("a thread died"))))
        });
        let proc = Proc::default();
        let mut notes = Vec::new();
        let sources: Vec<Sources> = queries
            .iter()
            .zip(stores)
            .map(|(query, store)| Sources::gather(query, store, &proc, open.as_ref(), look, &mut notes))
            .collect();
        let records = match look.activity {
            ActivitySource::Mtime => Vec::new(),
            ActivitySource::Content => content::times(sources.iter().map(|source| &source.store)),
        };
        let problems = notes.len();
        let mut evidence = Self {
            findings: Vec::with_capacity(selected.len()),
            stores: Vec::new(),
            texts: Vec::new(),
            notes,
            problems,
            activity: look.activity,
            begun,
        };
        for sought in &questions.sought {
            let refs = &questions.refs[sought.refs.start as usize..sought.refs.end as usize];
            let entry = &document.entries[sought.entry as usize];
            let mut finding = evidence.judge(sought, refs, entry, &sources, &records, queries);
            if let Known::Found(activity) = finding.known
                && activity.time < look.idle_before
            {
                finding.known = evidence.doubt_idle(refs, &sources).unwrap_or(finding.known);
            }
            evidence.findings.push(finding);
        }
        evidence.note_mass_absence(catalogue);
        evidence.stores = sources.into_iter().map(|source| source.store.without_times()).collect();
        evidence
    }

    /// What could not be read.
    pub(crate) fn problems(&self) -> &[String] {
        &self.notes[..self.problems]
    }

    /// Forgets the findings of all but these entries (in ascending order).
    pub(crate) fn keep_only(&mut self, selected: &[u32]) {
        if selected.len() < self.findings.len() {
            self.findings.retain(|finding| selected.binary_search(&finding.entry).is_ok());
        }
    }

    /// Whether everything that had to be looked at could be.
    pub(crate) const fn is_complete(&self) -> bool {
        self.problems == 0
    }

    /// The facts of one finding, with what earlier runs remember.
    pub(crate) fn facts(&self, finding: &Finding, since: Option<DateTime<Utc>>) -> Facts<'_> {
        match finding.known {
            Known::Unknown(text) => Facts::Unknown(&self.texts[text as usize]),
            Known::InUse { pid, last } => Facts::InUse { pid, last_activity: last },
            Known::Found(activity) => Facts::Found(activity),
            Known::Absent { present, all_missing, recorded } => {
                Facts::Missing(Absence { store_present: present, all_missing, since, recorded })
            }
        }
    }

    /// Since when earlier runs have found it missing, in any of the homes that were searched.
    pub(crate) fn missing_since(
        finding: &Finding,
        entry: &Entry<'_>,
        remembered: &Remembered<'_>,
        catalogue: &Catalogue,
    ) -> Option<DateTime<Utc>> {
        let home = home_for(finding, catalogue);
        remembered.since(entry.model.as_deref(), &entry.chat, &entry.session, &home)
    }

    /// The transcript's path.
    pub(crate) fn transcript(&self, finding: &Finding) -> Option<PathBuf> {
        Some(self.stores[usize::from(finding.provider?)].path(finding.place?))
    }

    /// The store and place of a finding's transcript.
    pub(crate) fn place(&self, finding: &Finding) -> Option<(&Store, Place)> {
        Some((&self.stores[usize::from(finding.provider?)], finding.place?))
    }

    fn text(&mut self, text: String) -> Known {
        // Neighbours often share a reason.
        if self.texts.last() != Some(&text) {
            self.texts.push(text);
        }
        Known::Unknown(self.texts.len() as u32 - 1)
    }

    /// One mapping's finding from everything that any source says of its session.
    fn judge(
        &mut self,
        sought: &Sought,
        refs: &[(u16, u32)],
        entry: &Entry<'_>,
        sources: &[Sources],
        records: &[Vec<Option<content::Times>>],
        queries: &[Query<'_>],
    ) -> Finding {
        let mut finding = Finding {
            entry: sought.entry,
            provider: (refs.len() == 1).then(|| refs[0].0),
            known: Known::Unknown(0),
            place: None,
            modified: None,
        };
        let recorded = match (sought.invalid, entry.recorded) {
            (Some(invalid), _) => {
                finding.known = self.text(invalid.to_string());
                return finding;
            }
            (None, Recorded::Unreadable(field)) => {
                finding.known = self.text(format!("the map's `{field}` of this chat is no time"));
                return finding;
            }
            (None, Recorded::At(time)) => Some(time),
            (None, Recorded::Nothing) => None,
        };
        let mut newest = recorded.map(|time| Activity { time, source: Source::MapEntry });
        let mut found = false;
        let mut doubt: Option<String> = None;
        let mut holder = None;
        for &(provider, id) in refs {
            let source = &sources[usize::from(provider)];
            let session = queries[usize::from(provider)].ids[id as usize];
            let mut later = |activity: Activity| {
                if newest.is_none_or(|known| activity.time > known.time) {
                    newest = Some(activity);
                }
            };
            if let Some(file) = source.store.found.get(id as usize).copied().flatten() {
                found = true;
                (finding.provider, finding.place) = (Some(provider), Some(file.transcript));
                // A sub-agent that cannot be looked at may be at work.
                let unseen = source.store.doubts.get(&id);
                doubt = unseen.map(|why| format!("could not look at its sub-agents: {why}")).or(doubt);
                if let Some(times) = records.get(usize::from(provider)).and_then(|times| times.get(id as usize)) {
                    match times {
                        Some(content::Times::Read(activity)) => {
                            finding.modified = Some(file.modified);
                            later(*activity);
                        }
                        Some(content::Times::Unreadable(why)) => doubt = Some(why.clone()),
                        None => {
                            later(Activity { time: file.modified, source: Source::TranscriptMtime });
                        }
                    }
                } else {
                    later(Activity { time: file.modified, source: Source::TranscriptMtime });
                    if let Some((_, time)) = source.store.subagent(id) {
                        later(Activity { time, source: Source::SubagentMtime });
                    }
                }
            }
            if let Some(row) = source.database.as_ref().and_then(|database| database.sessions.get(session.as_str())) {
                found = true;
                finding.provider = Some(provider);
                match row.last_activity {
                    Some(time) => later(Activity { time, source: Source::Database }),
                    None => doubt = Some("the provider's database has no readable time for this session".to_owned()),
                }
            }
            match source.live.get(session.as_str()) {
                Some(Liveness::Live { pid, last_activity, .. }) => {
                    finding.provider = Some(provider);
                    holder = Some(*pid);
                    if let Some(time) = *last_activity {
                        later(Activity { time, source: Source::LiveProcess });
                    }
                }
                Some(Liveness::Unverifiable { reason }) => doubt = Some(reason.clone()),
                None => holder = holder.or(source.open.get(&id).copied()),
            }
        }
        finding.known = match (holder, doubt, newest) {
            (Some(pid), _, last) => Known::InUse { pid, last },
            (None, Some(why), _) => self.text(why),
            (None, None, Some(activity)) if found => self.doubt_live(refs, sources).unwrap_or(Known::Found(activity)),
            _ => self.absent(refs, sources, recorded),
        };
        finding
    }

    /// Without a look at the live processes an idle session may be in use.
    fn doubt_live(&mut self, refs: &[(u16, u32)], sources: &[Sources]) -> Option<Known> {
        let problem = refs.iter().find_map(|(provider, _)| sources[usize::from(*provider)].blind.clone())?;
        Some(self.text(format!("could not look for live processes: {problem}")))
    }

    /// Where part of a store could not be read, it may hold a newer copy of an idle session.
    fn doubt_idle(&mut self, refs: &[(u16, u32)], sources: &[Sources]) -> Option<Known> {
        let unread = refs.iter().find_map(|(provider, _)| sources[usize::from(*provider)].unread.clone())?;
        Some(self.text(unread))
    }

    fn absent(&mut self, refs: &[(u16, u32)], sources: &[Sources], recorded: Option<DateTime<Utc>>) -> Known {
        let searched = || refs.iter().map(|(provider, _)| &sources[usize::from(*provider)]);
        if let Some(why) = searched().find_map(|source| source.read.as_ref().err()) {
            return self.text(why.clone());
        }
        Known::Absent { present: searched().any(|source| source.present), all_missing: false, recorded }
    }

    /// When all of a provider's mappings are missing at once, the home folder is wrong rather than the mappings.
    fn note_mass_absence(&mut self, catalogue: &Catalogue) {
        let mut groups: FxHashMap<Option<u16>, (usize, usize)> = FxHashMap::default();
        for finding in &self.findings {
            let (all, missing) = groups.entry(finding.provider).or_default();
            match finding.known {
                Known::Absent { .. } => (*all, *missing) = (*all + 1, *missing + 1),
                Known::Unknown(_) => {}
                _ => *all += 1,
            }
        }
        groups.retain(|_, (all, missing)| all == missing && *missing >= MASS_MISSING_FROM);
        for finding in &mut self.findings {
            if let (Known::Absent { all_missing, .. }, true) =
                (&mut finding.known, groups.contains_key(&finding.provider))
            {
                *all_missing = true;
            }
        }
        let mut notes: Vec<_> = groups
            .into_iter()
            .map(|(provider, (_, missing))| match provider {
                Some(provider) => {
                    let (row, home) = catalogue.get(usize::from(provider));
                    let variable = row.home.variables.first().map(|(name, _)| format!(" or set {name}"));
                    format!(
                        "all {missing} {} sessions are missing from {}: this looks like the wrong home folder; run as \
                         the user who owns the sessions{}",
                        row.name,
                        home.display(),
                        variable.unwrap_or_default()
                    )
                }
                None => {
                    format!("all {missing} sessions of models that no provider claims are missing from every store")
                }
            })
            .collect();
        notes.sort();
        self.notes.extend(notes);
    }
}

impl Sources {
    fn gather(
        query: &Query<'_>,
        store: Store,
        proc: &Proc,
        open: Option<&OpenFiles>,
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
        let (open, blind) = open_ids(query, &store, open, look);
        let unlooked = |problem: &String| format!("could not look everywhere: {problem}");
        // What hides the sub-agents of one session hides no copy of another.
        let of_one_session = |problem: &&String| store.doubts.values().any(|doubt| doubt == *problem);
        let unread = problems.iter().find(|problem| !of_one_session(problem)).map(unlooked);
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

/// Whether some wanted session's CLI shows by its open files that it runs.
fn asks_for_open_files(queries: &[Query<'_>]) -> bool {
    queries.iter().any(|query| !query.ids.is_empty() && query.provider.live.contains(&LiveRule::OpenTranscript))
}

/// The open files of all processes that can be a wanted session's transcript.
fn open_files(queries: &[Query<'_>]) -> OpenFiles {
    OpenFiles::look(&Proc::default(), &|name| queries.iter().any(|query| query.session_of(name).is_some()))
}

/// The sessions whose idle transcript a process has open, where that is how the CLI works.
fn open_ids(
    query: &Query<'_>,
    store: &Store,
    open: Option<&OpenFiles>,
    look: Look,
) -> (FxHashMap<u32, u32>, Option<String>) {
    let idle = |found: &Found| found.modified < look.idle_before || look.activity == ActivitySource::Content;
    let Some(open) = open.filter(|_| query.provider.live.contains(&LiveRule::OpenTranscript)) else {
        return (FxHashMap::default(), None);
    };
    if !store.found.iter().flatten().any(idle) {
        return (FxHashMap::default(), None);
    }
    let holder = |file: &HeldFile| {
        let id = query.session_of(file.path.file_name()?.as_encoded_bytes())?;
        let found = store.found[id as usize].filter(idle)?;
        file.is(&store.path(found.transcript)).then_some((id, file.pid))
    };
    (open.iter().filter_map(holder).collect(), open.errors.first().cloned())
}

/// The home that a missing session was looked for in; none where it was looked for in all of them.
pub(crate) fn home_for(finding: &Finding, catalogue: &Catalogue) -> PathBuf {
    finding.provider.map_or_else(PathBuf::new, |provider| catalogue.get(usize::from(provider)).1.to_owned())
}

/// A path as text for reports; bytes that are no UTF-8 are replaced.
pub(crate) fn path_text(path: PathBuf) -> String {
    path.into_os_string().into_string().unwrap_or_else(|path| path.to_string_lossy().into_owned())
}

/// How many threads to use for work that can be split into `parts`. Counting the processors means reading several files,
/// so a single part does not ask.
pub(super) fn threads_for(parts: usize) -> usize {
    if parts < 2 {
        return 1;
    }
    std::thread::available_parallelism().map_or(1, usize::from).min(parts).min(8)
}

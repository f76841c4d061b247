//! Facts about every mapping's session, from the providers' stores, their live processes and the map itself.

mod judge;
mod questions;
mod sources;

use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::{DateTime, Utc};
use rustc_hash::FxHashMap;

use super::content;
use crate::policy::choices::ActivitySource;
use crate::policy::mapping::{Absence, Activity, Facts, MASS_MISSING_FROM};
use crate::providers::Catalogue;
use crate::providers::index::{Place, Store};
use crate::session_map::{Document, Entry, Remembered};
use judge::Judge;
use questions::Questions;

/// How to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// What was last used before this is idle.
    pub(crate) idle_before: DateTime<Utc>,
    pub(crate) activity: ActivitySource,
}

impl Look {
    /// Sub-agents are looked for beside transcripts that are older than this, or beside all.
    const fn subagents_before(self) -> Option<DateTime<Utc>> {
        match self.activity {
            ActivitySource::Mtime => Some(self.idle_before),
            // Where file times are not believed, a recent one is no reason to look no further.
            ActivitySource::Content => None,
        }
    }
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
    /// The transcripts' times of last change where another source decided, by entry.
    file_times: FxHashMap<u32, DateTime<Utc>>,
    /// The working folders that databases name, by entry.
    folders: FxHashMap<u32, PathBuf>,
    /// How it was looked.
    pub(crate) look: Look,
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
    /// A provider claims the mapping's model, so the session was looked for with that one alone.
    claimed: bool,
    known: Known,
    place: Option<Place>,
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

    /// Whose home is in doubt when the session is missing: the claiming provider's, or all of them.
    fn group(&self) -> Option<u16> {
        self.provider.filter(|_| self.claimed)
    }

    /// Whether the session's transcript is not there.
    pub(crate) const fn is_missing(&self) -> bool {
        matches!(self.known, Known::Absent { .. })
    }
}

impl Evidence {
    /// Looks for the sessions of the entries `selected`.
    pub(crate) fn gather(document: &Document<'_>, selected: &[u32], catalogue: &Catalogue, look: Look) -> Self {
        let begun = Instant::now();
        let questions = Questions::new(&document.entries, selected, catalogue);
        let mut notes = Vec::new();
        let sources = sources::gather(&questions, look, &mut notes);
        let records = match look.activity {
            ActivitySource::Mtime => Vec::new(),
            ActivitySource::Content => content::times(sources.iter().map(|source| &source.store)),
        };
        let mut judge = Judge {
            queries: &questions.queries,
            sources: &sources,
            records,
            idle_before: look.idle_before,
            texts: Vec::new(),
            file_times: FxHashMap::default(),
            folders: FxHashMap::default(),
        };
        let findings = questions.iter().map(|asked| judge.finding(&asked, &document.entries[asked.entry as usize]));
        let findings = findings.collect();
        let (texts, file_times, folders) = (judge.texts, judge.file_times, judge.folders);
        let stores = sources.into_iter().map(|source| source.store.without_times()).collect();
        let problems = notes.len();
        let mut evidence = Self { findings, stores, texts, notes, problems, file_times, folders, look, begun };
        evidence.note_mass_absence(catalogue);
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

    /// The transcript's time of last change, where another source decided.
    pub(crate) fn file_time(&self, finding: &Finding) -> Option<DateTime<Utc>> {
        self.file_times.get(&finding.entry).copied()
    }

    /// The working folder that the provider's database names.
    pub(crate) fn folder(&self, finding: &Finding) -> Option<&Path> {
        self.folders.get(&finding.entry).map(PathBuf::as_path)
    }

    /// When all of a provider's mappings are missing at once, the home folder is wrong rather than the mappings.
    fn note_mass_absence(&mut self, catalogue: &Catalogue) {
        let mut groups: FxHashMap<Option<u16>, (usize, usize)> = FxHashMap::default();
        for finding in &self.findings {
            let (all, missing) = groups.entry(finding.group()).or_default();
            match finding.known {
                Known::Absent { .. } => (*all, *missing) = (*all + 1, *missing + 1),
                Known::Unknown(_) => {}
                _ => *all += 1,
            }
        }
        groups.retain(|_, (all, missing)| all == missing && *missing >= MASS_MISSING_FROM);
        if groups.is_empty() {
            return;
        }
        for finding in &mut self.findings {
            let is_one = groups.contains_key(&finding.group());
            if let (Known::Absent { all_missing, .. }, true) = (&mut finding.known, is_one) {
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

/// The home that a missing session was looked for in; none where it was looked for in all of them.
pub(crate) fn home_for(finding: &Finding, catalogue: &Catalogue) -> PathBuf {
    finding.provider.map_or_else(PathBuf::new, |provider| catalogue.get(usize::from(provider)).1.to_owned())
}

/// A path as text for reports; bytes that are no UTF-8 are replaced.
pub(crate) fn path_text(path: PathBuf) -> String {
    path.into_os_string().into_string().unwrap_or_else(|path| path.to_string_lossy().into_owned())
}

//! One mapping's finding, from everything that any source says of its session.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use rustc_hash::FxHashMap;

use super::questions::{Question, Ref};
use super::sources::Sources;
use super::{Finding, Known};
use crate::policy::mapping::{Activity, Source};
use crate::providers::live::Liveness;
use crate::providers::query::Query;
use crate::session_map::{Entry, Recorded};
use crate::sweep::content::Times;

/// Judges one mapping after the other.
pub(super) struct Judge<'j> {
    pub(super) queries: &'j [Query<'j>],
    /// In the order of the queries.
    pub(super) sources: &'j [Sources],
    /// What the transcripts' records say, per source and id; nothing where file times are believed.
    pub(super) records: Vec<Vec<Option<Times>>>,
    pub(super) idle_before: DateTime<Utc>,
    /// Reasons that several findings share.
    pub(super) texts: Vec<String>,
    /// The transcripts' times of last change where records decided, by entry.
    pub(super) file_times: FxHashMap<u32, DateTime<Utc>>,
    /// The working folders that databases name, by entry.
    pub(super) folders: FxHashMap<u32, PathBuf>,
}

/// What is known of one mapping's session so far.
#[derive(Default)]
struct Signs {
    newest: Option<Activity>,
    found: bool,
    holder: Option<u32>,
    doubt: Option<String>,
}

impl Signs {
    fn later(&mut self, time: DateTime<Utc>, source: Source) {
        if self.newest.is_none_or(|known| time > known.time) {
            self.newest = Some(Activity { time, source });
        }
    }
}

impl Judge<'_> {
    /// The finding of one mapping.
    pub(super) fn finding(&mut self, question: &Question<'_>, entry: &Entry<'_>) -> Finding {
        let refs = question.refs;
        let claimed = refs.len() == 1;
        let provider = claimed.then(|| refs[0].provider);
        let mut finding = Finding { entry: question.entry, provider, claimed, known: Known::Unknown(0), place: None };
        let recorded = match (question.invalid, entry.recorded) {
            (Some(invalid), _) => Err(invalid.to_string()),
            (None, Recorded::Unreadable(field)) => Err(format!("the map's `{field}` of this chat is no time")),
            (None, Recorded::At(time)) => Ok(Some(time)),
            (None, Recorded::Nothing) => Ok(None),
        };
        finding.known = match recorded {
            Ok(recorded) => self.known(refs, recorded, &mut finding),
            Err(why) => self.unknown(why),
        };
        finding
    }

    fn known(&mut self, refs: &[Ref], recorded: Option<DateTime<Utc>>, finding: &mut Finding) -> Known {
        let mut signs = Signs::default();
        if let Some(time) = recorded {
            signs.later(time, Source::MapEntry);
        }
        for &at in refs {
            self.look_at_store(at, finding, &mut signs);
            self.look_at_database(at, finding, &mut signs);
            self.look_at_processes(at, finding, &mut signs);
        }
        match (signs.holder, signs.doubt, signs.newest) {
            (Some(pid), _, last) => Known::InUse { pid, last },
            (None, Some(why), _) => self.unknown(why),
            (None, None, Some(activity)) if signs.found => self.found(refs, activity),
            _ => self.absent(refs, recorded),
        }
    }

    fn source(&self, at: Ref) -> &Sources {
        &self.sources[usize::from(at.provider)]
    }

    fn session(&self, at: Ref) -> &str {
        self.queries[usize::from(at.provider)].ids[at.id as usize].as_str()
    }

    fn look_at_store(&mut self, at: Ref, finding: &mut Finding, signs: &mut Signs) {
        let store = &self.sources[usize::from(at.provider)].store;
        let Some(file) = store.found[at.id as usize] else { return };
        signs.found = true;
        (finding.provider, finding.place) = (Some(at.provider), Some(file.transcript));
        // A sub-agent that cannot be looked at may be at work.
        if let Some(why) = store.doubts.get(&at.id) {
            signs.doubt = Some(format!("could not look at its sub-agents: {why}"));
        }
        let Some(records) = self.records.get(usize::from(at.provider)) else {
            signs.later(file.modified, Source::TranscriptMtime);
            if let Some((_, time)) = store.subagent(at.id) {
                signs.later(time, Source::SubagentMtime);
            }
            return;
        };
        match &records[at.id as usize] {
            Some(Times::Read(activity)) => {
                self.file_times.insert(finding.entry, file.modified);
                signs.later(activity.time, activity.source);
            }
            Some(Times::Unreadable(why)) => signs.doubt = Some(why.clone()),
            None => signs.doubt = Some("its records were not read: a thread died".to_owned()),
        }
    }

    fn look_at_database(&mut self, at: Ref, finding: &mut Finding, signs: &mut Signs) {
        let Some(database) = &self.sources[usize::from(at.provider)].database else { return };
        let Some(row) = database.sessions.get(self.session(at)) else { return };
        signs.found = true;
        finding.provider = Some(at.provider);
        if let Some(folder) = &row.working_folder {
            self.folders.insert(finding.entry, folder.clone());
        }
        match row.last_activity {
            Some(time) => signs.later(time, Source::Database),
            None => {
                signs.doubt = Some("the provider's database has no readable time for this session".to_owned());
            }
        }
    }

    fn look_at_processes(&self, at: Ref, finding: &mut Finding, signs: &mut Signs) {
        let source = self.source(at);
        match source.live.get(self.session(at)) {
            Some(Liveness::Live { pid, last_activity }) => {
                finding.provider = Some(at.provider);
                signs.holder = Some(*pid);
                if let Some(time) = *last_activity {
                    signs.later(time, Source::LiveProcess);
                }
            }
            Some(Liveness::Unverifiable { reason }) => signs.doubt = Some(reason.clone()),
            None => signs.holder = signs.holder.or(source.open.get(&at.id).copied()),
        }
    }

    /// A session that is there and that nobody is seen to have open.
    fn found(&mut self, refs: &[Ref], activity: Activity) -> Known {
        let sources = self.sources;
        let each = || refs.iter().map(|at| &sources[usize::from(at.provider)]);
        if activity.time >= self.idle_before {
            return Known::Found(activity);
        }
        // Without a look at the live processes an idle session may be in use.
        if let Some(problem) = each().find_map(|source| source.blind.as_ref()) {
            let why = format!("could not look for live processes: {problem}");
            return self.unknown(why);
        }
        // Where part of a store could not be read, it may hold a newer copy.
        match each().find_map(|source| source.unread.clone()) {
            Some(unread) => self.unknown(unread),
            None => Known::Found(activity),
        }
    }

    fn absent(&mut self, refs: &[Ref], recorded: Option<DateTime<Utc>>) -> Known {
        let sources = self.sources;
        let searched = || refs.iter().map(|at| &sources[usize::from(at.provider)]);
        if let Some(why) = searched().find_map(|source| source.read.clone().err()) {
            return self.unknown(why);
        }
        Known::Absent { present: searched().any(|source| source.present), all_missing: false, recorded }
    }

    fn unknown(&mut self, why: String) -> Known {
        // Neighbours often share a reason.
        if self.texts.last() != Some(&why) {
            self.texts.push(why);
        }
        Known::Unknown(self.texts.len() as u32 - 1)
    }
}

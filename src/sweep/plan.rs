//! The plan: a verdict with its reason for every mapping, and the totals. Nothing is done here.

use std::borrow::Cow;

use chrono::{DateTime, SubsecRound as _, Utc};
use rustc_hash::{FxHashMap, FxHashSet};

use super::evidence::{Evidence, Finding, home_for, path_text};
use crate::policy::choices::ActivitySource;
use crate::policy::duration::{format_age, format_duration};
use crate::policy::mapping::{Action, FUTURE_TOLERANCE, Reason, State, Thresholds, Verdict, decide};
use crate::policy::timestamp::Timestamp;
use crate::providers::Catalogue;
use crate::session_map::bridge::can_address;
use crate::session_map::{Absent, Document, Entry, Memory, TopPlace};

/// What is to become of every mapping of one map.
#[derive(Debug)]
pub(crate) struct Plan<'p> {
    pub(crate) document: &'p Document<'p>,
    pub(crate) evidence: &'p Evidence,
    pub(crate) catalogue: &'p Catalogue,
    pub(crate) thresholds: Thresholds,
    pub(crate) now: DateTime<Utc>,
    pub(crate) authority: Authority,
    /// Some mapping stands below a model.
    has_models: bool,
    /// How often each was written back after it was pruned, by entry.
    written_back: FxHashMap<u32, u32>,
    /// Since when missing ones have been missing, by entry.
    since: FxHashMap<u32, DateTime<Utc>>,
    /// State and action per finding: what most questions ask for, in two bytes.
    outcomes: Vec<(State, Action)>,
}

/// Who has the last word on what is in the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authority {
    /// The file.
    File,
    /// The bridge, which is asked to remove mappings one by one.
    Bridge,
}

/// One mapping of the plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'i> {
    pub(crate) entry: &'i Entry<'i>,
    pub(crate) finding: &'i Finding,
    pub(crate) verdict: Verdict<'i>,
}

/// How many mappings are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Totals {
    pub(crate) checked: usize,
    pub(crate) active: usize,
    pub(crate) idle: usize,
    pub(crate) in_use: usize,
    pub(crate) missing: usize,
    pub(crate) unknown: usize,
    pub(crate) pruned: usize,
    /// Of those pruned: how many had been pruned before and came back, unused since.
    pub(crate) written_back: usize,
}

impl<'p> Plan<'p> {
    /// Decides every looked-at mapping.
    pub(crate) fn decide(
        document: &'p Document<'p>,
        evidence: &'p Evidence,
        catalogue: &'p Catalogue,
        memory: &Memory,
        thresholds: Thresholds,
        now: DateTime<Utc>,
        authority: Authority,
    ) -> Self {
        let remembered = memory.remembered();
        let since = |finding: &Finding| {
            let entry = &document.entries[finding.entry as usize];
            Some((finding.entry, Evidence::missing_since(finding, entry, &remembered, catalogue)?))
        };
        let since = evidence.findings.iter().filter(|finding| finding.is_missing()).filter_map(since).collect();
        let mut plan = Self {
            document,
            evidence,
            catalogue,
            thresholds,
            now,
            authority,
            has_models: authority == Authority::Bridge && document.entries.iter().any(|entry| entry.model.is_some()),
            written_back: FxHashMap::default(),
            since,
            outcomes: Vec::new(),
        };
        let outcome = |finding: &Finding| {
            let verdict = plan.verdict(finding);
            (verdict.state, verdict.action)
        };
        plan.outcomes = evidence.findings.iter().map(outcome).collect();
        plan
    }

    /// Every mapping, in the map's order.
    pub(crate) fn items(&self) -> impl ExactSizeIterator<Item = Item<'_>> {
        self.evidence.findings.iter().map(|finding| self.item(finding))
    }

    /// The mappings whose outcome is of interest, in the map's order.
    pub(crate) fn items_with(&self, wanted: impl Fn(State, Action) -> bool) -> impl Iterator<Item = Item<'_>> {
        let findings = self.evidence.findings.iter().zip(&self.outcomes);
        findings.filter(move |(_, (state, action))| wanted(*state, *action)).map(|(finding, _)| self.item(finding))
    }

    /// A verdict is decided when it is asked for: that is cheaper than keeping it.
    fn item<'i>(&'i self, finding: &'i Finding) -> Item<'i> {
        let entry = &self.document.entries[finding.entry as usize];
        Item { entry, finding, verdict: self.verdict(finding) }
    }

    fn verdict(&self, finding: &Finding) -> Verdict<'_> {
        let since = if finding.is_missing() { self.since.get(&finding.entry).copied() } else { None };
        let verdict = decide(self.evidence.facts(finding, since), &self.thresholds, self.now);
        verdict.unless_addressed(self.is_addressable(&self.document.entries[finding.entry as usize]))
    }

    /// Whether the map's keeper can be told to remove this mapping.
    fn is_addressable(&self, entry: &Entry<'_>) -> bool {
        match self.authority {
            Authority::File => true,
            // Without a model it would be removed from all of them.
            Authority::Bridge if entry.model.is_none() && self.has_models => false,
            Authority::Bridge => {
                let model = entry.model.as_deref();
                can_address(model, &entry.chat) && Document::top_place(entry) != Some(TopPlace::Inverted)
            }
        }
    }

    /// Remembers how often mappings were written back, by entry.
    pub(crate) fn note_written_back(&mut self, written_back: FxHashMap<u32, u32>) {
        self.written_back = written_back;
    }

    /// How often this mapping was written back after it was pruned, without having been used.
    pub(crate) fn times_written_back(&self, item: &Item<'_>) -> u32 {
        self.written_back.get(&item.finding.entry).copied().unwrap_or_default()
    }

    /// Whether the mapping of this entry was.
    pub(crate) fn was_written_back(&self, entry: u32) -> bool {
        self.written_back.contains_key(&entry)
    }

    /// How many mappings came back for the second time at least: somebody keeps writing an old map.
    pub(crate) fn written_back_again(&self) -> usize {
        self.written_back.values().filter(|times| **times > 1).count()
    }

    /// How many mappings ought to go, but cannot be named to the bridge.
    pub(crate) fn unaddressable(&self) -> usize {
        match self.authority {
            Authority::File => 0,
            Authority::Bridge => {
                let kept = self.items_with(|state, action| {
                    matches!(state, State::Idle | State::Missing) && action == Action::Keep
                });
                kept.filter(|item| item.verdict.reason == Reason::CannotAddress).count()
            }
        }
    }

    /// Those to be pruned: indexes for [`Plan::item_at`].
    pub(crate) fn doomed(&self) -> Vec<u32> {
        let outcomes = self.outcomes.iter().zip(0..);
        outcomes.filter(|((_, action), _)| *action == Action::Prune).map(|(_, index)| index).collect()
    }

    /// The mapping at `index`, in the map's order of those that were looked at.
    pub(crate) fn item_at(&self, index: u32) -> Item<'_> {
        self.item(&self.evidence.findings[index as usize])
    }

    /// Whether a later look at the same mapping leads to its removal, too.
    pub(crate) fn condemns(&self, again: &Evidence, finding: &Finding) -> bool {
        let since = self.since.get(&finding.entry).copied();
        decide(again.facts(finding, since), &self.thresholds, self.now).action == Action::Prune
    }

    /// How many mappings are in which state.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals { checked: self.evidence.findings.len(), ..Totals::default() };
        for (state, action) in &self.outcomes {
            let count = match state {
                State::Active => &mut totals.active,
                State::Idle => &mut totals.idle,
                State::InUse => &mut totals.in_use,
                State::Missing => &mut totals.missing,
                State::Unknown => &mut totals.unknown,
            };
            *count += 1;
            totals.pruned += usize::from(*action == Action::Prune);
        }
        totals.written_back = self.written_back.len();
        totals
    }

    /// What the next run has to know about missing mappings: of those that this run did not look at what it knew before.
    pub(crate) fn absences(&self, memory: &Memory) -> Vec<Absent> {
        let remembered = memory.remembered();
        let whole_seconds = self.now.trunc_subsecs(0);
        let missing = self.items_with(|state, action| (state, action) == (State::Missing, Action::Keep));
        let mut absences = self.remembered_of_others(memory);
        absences.extend(missing.map(|item| {
            let home = home_for(item.finding, self.catalogue);
            let model = item.entry.model.as_deref();
            let since = remembered.since(model, &item.entry.chat, &item.entry.session, &home);
            Absent {
                model: model.map(str::to_owned),
                chat: item.entry.chat.to_string(),
                session: item.entry.session.to_string(),
                home,
                // A time that has not come was noted by a clock that was wrong.
                since: since.filter(|since| *since <= self.now).unwrap_or(whole_seconds),
            }
        }));
        absences
    }

    /// What is remembered of mappings that are in the map and that this run did not look at.
    fn remembered_of_others(&self, memory: &Memory) -> Vec<Absent> {
        if self.evidence.findings.len() == self.document.entries.len() {
            return Vec::new();
        }
        let looked_at: FxHashSet<u32> = self.evidence.findings.iter().map(|finding| finding.entry).collect();
        let others = self.document.entries.iter().zip(0..).filter(|(_, index)| !looked_at.contains(index));
        let others: FxHashSet<(Option<&str>, &str)> =
            others.map(|(entry, _)| (entry.model.as_deref(), entry.chat.as_ref())).collect();
        let is_other = |absent: &&Absent| others.contains(&(absent.model.as_deref(), absent.chat.as_str()));
        memory.missing().iter().filter(is_other).cloned().collect()
    }

    /// The provider's name.
    pub(crate) fn provider(&self, item: &Item<'_>) -> Option<&str> {
        item.finding.provider.map(|provider| self.catalogue.get(usize::from(provider)).0.name.as_str())
    }

    /// The transcript's path as text; the database's where sessions share one.
    pub(crate) fn transcript(&self, item: &Item<'_>) -> Option<String> {
        let (provider, home) = self.catalogue.get(usize::from(item.finding.provider?));
        let database = || Some(home.join(&provider.database.as_ref()?.path));
        let path = self.evidence.transcript(item.finding).or_else(|| database().filter(|_| item.finding.is_found()))?;
        Some(path_text(path))
    }

    /// The verdict's reason in words.
    pub(crate) fn reason(&self, item: &Item<'_>) -> Cow<'p, str> {
        let limit = || self.thresholds.idle.map_or_else(|| "never".to_owned(), format_duration);
        match item.verdict.reason {
            Reason::UsedRecently => "used within the threshold".into(),
            Reason::IdleTooLong => format!("idle for more than {}", limit()).into(),
            Reason::HeldBy(pid) => format!("process {pid} has this session open").into(),
            Reason::FutureTime => "its last activity lies in the future: a clock is wrong".into(),
            Reason::CouldNotLook(why) => why.to_owned().into(),
            Reason::MissingKept => "no transcript; missing ones are kept".into(),
            Reason::MissingFirst => "no transcript; first seen missing now".into(),
            Reason::MissingTooShort(age) => format!("no transcript for {}, not long enough", format_age(age)).into(),
            Reason::NoStore => "no transcript, but the provider's folder is not there either".into(),
            Reason::MissingButUsed => "no transcript, but the map says it was used within the threshold".into(),
            Reason::AllMissing => "all of the provider's sessions are missing at once: wrong home folder?".into(),
            Reason::MissingLong(age) => format!("no transcript for {}", format_age(age)).into(),
            Reason::MissingNow => "no transcript".into(),
            Reason::CannotAddress => {
                "its id cannot stand in a URL, so the bridge cannot be asked; stop the bridge to prune its file".into()
            }
        }
    }

    /// Where the last activity was taken from, when that is not the usual place.
    pub(crate) fn source_to_show(&self, item: &Item<'_>) -> Option<&'static str> {
        let unusual = self.evidence.look.activity == ActivitySource::Content;
        item.verdict.last_activity.filter(|_| unusual).map(|activity| activity.source.name())
    }

    /// Where the transcript's inside decided: how long ago its file time pretends, when that is off by more than the
    /// tolerance for clocks.
    pub(crate) fn mtime_lie(&self, item: &Item<'_>) -> Option<u64> {
        let (modified, activity) = (self.evidence.file_time(item.finding)?, item.verdict.last_activity?);
        let lies = (modified - activity.time).abs() > FUTURE_TOLERANCE;
        lies.then(|| (self.now - modified).num_seconds().max(0).unsigned_abs())
    }

    /// Seconds since the last activity; negative (a clock slightly ahead) counts as none.
    pub(crate) fn idle_seconds(&self, item: &Item<'_>) -> Option<u64> {
        item.verdict.last_activity.map(|activity| (self.now - activity.time).num_seconds().max(0).unsigned_abs())
    }
}

impl Item<'_> {
    /// The last activity as text.
    pub(crate) fn last_activity(&self) -> Option<Timestamp> {
        self.verdict.last_activity.map(|activity| Timestamp(activity.time))
    }
}

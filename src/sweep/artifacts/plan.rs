//! What is to become of what sessions left, as a value.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustc_hash::FxHashSet;

use super::claims::Speakers;
use super::homes::{Home, Whose};
use super::judge::Judge;
use super::leftovers::leftovers;
use super::units::{Unit, units};
use crate::artifacts::archive::Entry;
use crate::artifacts::kinds::{Grain, KINDS, Kind};
use crate::artifacts::survey::{Question, Survey};
use crate::config::setting::{ArtifactsSettings, KindLimits};
use crate::filesystem::proc::Proc;
use crate::filesystem::walk::FileStamp;
use crate::policy::artifact::{
    Cause, FEWEST_ARCHIVED, FEWEST_TRANSCRIPTS, Reason, Verdict, is_held, is_within, overdue_nanoseconds,
};
use crate::policy::byte_size::Budget;
use crate::policy::duration::Limit;

/// What becomes of everything.
#[derive(Debug, Default)]
pub(crate) struct Plan<'c> {
    pub(crate) homes: Vec<HomePlan<'c>>,
    /// Entries of the archive that are too old.
    pub(crate) forgotten: Vec<Entry>,
    /// A run that would remove most of what must not be lost, and is not told that it may, does nothing.
    pub(crate) held: Option<Held>,
    /// The same of what is in the archive: nothing of that goes then, and the rest is done.
    pub(crate) archive_held: Option<Held>,
    /// What could not be looked at.
    pub(crate) problems: Vec<String>,
}

/// What holds a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// `transcripts`, or `archived sessions`.
    pub(crate) what: &'static str,
    pub(crate) removed: usize,
    pub(crate) of: usize,
}

/// What becomes of what is in one home.
#[derive(Debug)]
pub(crate) struct HomePlan<'c> {
    pub(crate) home: Home<'c>,
    /// What goes, and what is past its limit and stays.
    pub(crate) items: Vec<Item>,
    pub(crate) excesses: Vec<Excess>,
}

/// What is left of one kind over its size budget, as not enough of it may go. Both in bytes on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Excess {
    /// Its place in the rules of the home.
    pub(crate) kind: usize,
    pub(crate) left: u64,
    pub(crate) most: u64,
}

/// One thing that goes or stays.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) unit: Unit,
    pub(crate) last_activity: Option<DateTime<Utc>>,
    pub(crate) verdict: Verdict,
    /// Of a sub-agent's session that goes: what it is a part of, to the conversation itself.
    pub(crate) above: Vec<String>,
    /// The copy that it goes for, where it goes for that.
    pub(crate) twin: Option<Twin>,
}

/// A file that holds all that another one does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Twin {
    /// The home that it is in.
    pub(super) home: PathBuf,
    pub(crate) path: PathBuf,
    pub(super) stamp: FileStamp,
}

/// What a plan is made by.
pub(crate) struct Terms<'t> {
    pub(crate) settings: &'t ArtifactsSettings,
    /// The kinds to look at, by their rows; empty: all.
    pub(crate) kinds: Vec<usize>,
    /// Whether more than half of all transcripts may go.
    pub(crate) may_take_most: bool,
    pub(crate) now: DateTime<Utc>,
}

impl Terms<'_> {
    fn limits(&self, row: Option<usize>) -> KindLimits {
        let none = KindLimits { retention: Limit::Never, max_size: Budget::Unlimited };
        let is_wanted = |row: &usize| self.kinds.is_empty() || self.kinds.contains(row);
        row.filter(is_wanted).map_or(none, |row| self.settings.kinds[row])
    }

    /// The retention of a provider's transcripts; nothing where they stay for ever.
    fn retention_of(&self, provider: &str) -> Duration {
        let rows = KINDS.iter().position(|kind| kind.provider == provider && kind.grain == Grain::Session);
        rows.and_then(|row| self.settings.kinds[row].retention.duration()).unwrap_or_default()
    }

    /// What was last changed before this is past its limit.
    fn overdue_before(&self, row: Option<usize>) -> Option<i64> {
        overdue_nanoseconds(self.limits(row).retention.duration()?, self.now)
    }
}

impl<'c> Plan<'c> {
    /// Looks at all `homes` and decides; reads only.
    pub(crate) fn make(
        homes: Vec<Home<'c>>,
        speakers: &Speakers<'_>,
        (archive, proc): (&[Entry], &Proc),
        terms: &Terms<'_>,
    ) -> Self {
        let mut plan = Self::default();
        let mut transcripts = 0;
        for home in homes {
            let (planned, seen) = HomePlan::make(home, speakers, (archive, proc), terms, &mut plan.problems);
            transcripts += seen;
            plan.homes.push(planned);
        }
        if let Limit::After(limit) = terms.settings.archive_retention
            && terms.kinds.is_empty()
        {
            let is_old = |entry: &&Entry| {
                let manifest = &entry.manifest;
                // By the mark that it was put back a session stays.
                let put_back = manifest.restored_at.map(|at| (at, limit.max(terms.retention_of(&manifest.provider))));
                let last = put_back.into_iter().chain([(manifest.archived_at, limit)]);
                !last.into_iter().any(|(at, limit)| is_within(at, limit, terms.now))
            };
            plan.forgotten = archive.iter().filter(is_old).cloned().collect();
        }
        let removed = plan.removed().filter(|(_, item)| item.unit.session.is_some()).count();
        let brake = |what, removed, of, fewest| {
            (!terms.may_take_most && is_held(removed, of, fewest)).then_some(Held { what, removed, of })
        };
        plan.held = brake("transcripts", removed, transcripts, FEWEST_TRANSCRIPTS);
        plan.archive_held = brake("archived sessions", plan.forgotten.len(), archive.len(), FEWEST_ARCHIVED);
        plan
    }

    /// Only what `other`, which was made later, removes as well: what somebody came to claim while a question was asked stays.
    pub(crate) fn keep_to(&mut self, other: &Self) {
        let still: FxHashSet<PathBuf> = other.removed().map(|(home, item)| home.path(item)).collect();
        for home in &mut self.homes {
            let folder = home.home.folder.clone();
            home.items.retain(|item| !item.goes() || still.contains(&folder.join(item.unit.path())));
        }
        self.forgotten.retain(|entry| other.forgotten.contains(entry));
        self.held = self.held.or(other.held);
        self.archive_held = self.archive_held.or(other.archive_held);
        for problem in &other.problems {
            if !self.problems.contains(problem) {
                self.problems.push(problem.clone());
            }
        }
    }

    /// What goes.
    pub(crate) fn removed(&self) -> impl Iterator<Item = (&HomePlan<'c>, &Item)> {
        self.homes.iter().flat_map(|home| home.items.iter().filter(|item| item.goes()).map(move |item| (home, item)))
    }

    /// What is past its limit and stays all the same.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (&HomePlan<'c>, &Item)> {
        self.homes.iter().flat_map(|home| home.items.iter().filter(|item| !item.goes()).map(move |item| (home, item)))
    }

    /// What is left over the size budgets.
    pub(crate) fn excesses(&self) -> impl Iterator<Item = (&HomePlan<'c>, &Excess)> {
        self.homes.iter().flat_map(|home| home.excesses.iter().map(move |excess| (home, excess)))
    }

    /// What goes from the archive, as far as nothing holds that.
    pub(crate) fn forgets(&self) -> &[Entry] {
        if self.held.or(self.archive_held).is_some() { &[] } else { &self.forgotten }
    }

    /// Whether anything would be removed by it as it is.
    pub(crate) fn removes_something(&self) -> bool {
        self.held.is_none() && (self.removed().next().is_some() || !self.forgets().is_empty())
    }

    /// Whether there is something to do.
    pub(crate) fn has_work(&self) -> bool {
        self.held.is_some() || !self.forgotten.is_empty() || self.removed().next().is_some()
    }
}

impl Item {
    pub(crate) const fn goes(&self) -> bool {
        matches!(self.verdict, Verdict::Remove(_))
    }

    /// Whether it goes into the archive first.
    pub(crate) const fn is_archived(&self) -> bool {
        self.unit.session.is_some()
    }
}

impl<'c> HomePlan<'c> {
    /// Decides about one home; says of how many conversations it does.
    fn make(
        home: Home<'c>,
        speakers: &Speakers<'_>,
        (archive, proc): (&[Entry], &Proc),
        terms: &Terms<'_>,
        problems: &mut Vec<String>,
    ) -> (Self, usize) {
        let rows: Vec<Option<usize>> = home.rules.kinds.iter().map(|kind| kind.row).collect();
        let limits: Vec<KindLimits> = rows.iter().map(|row| terms.limits(*row)).collect();
        let is_limited = |limits: &KindLimits| limits.retention != Limit::Never || limits.max_size != Budget::Unlimited;
        let wanted: Vec<bool> = limits.iter().map(is_limited).collect();
        let question = |(row, limits): (&Option<usize>, &KindLimits)| Question {
            listed: is_limited(limits),
            overdue_before: terms.overdue_before(*row),
            // Where there may be too much, the young ones are counted as well.
            young_until: (limits.max_size == Budget::Unlimited).then(|| terms.now.timestamp_nanos_opt()).flatten(),
        };
        let questions: Vec<Question> = rows.iter().zip(&limits).map(question).collect();
        let survey = Survey::of(&home.folder, &home.rules, &questions);
        problems.extend(survey.unseen(|kind| wanted[kind]));
        let Survey { tallies, pieces, .. } = survey;
        let judge = Judge { home: &home, terms, limits: &limits, tallies: &tallies };
        let (mut units, rest) = units(&home, pieces, &wanted);
        units.extend(leftovers(&home, rest, archive));
        // The oldest first: so they are shown, and so they go where there is too much.
        units.sort_by(|one, other| (one.sums.newest, one.path()).cmp(&(other.sums.newest, other.path())));
        let transcripts = units.iter().filter(|unit| unit.session.is_some()).count();
        let items = judge.items(&units, speakers, proc, problems);
        for item in &items {
            if let Verdict::Keep(Reason::Unread(why) | Reason::Fixed(why)) = &item.verdict
                && !problems.contains(why)
            {
                problems.push(why.clone());
            }
        }
        let excesses = judge.excesses(&units, &items);
        (Self { home, items, excesses }, transcripts)
    }

    /// The row of a kind of this home.
    pub(crate) fn kind(&self, index: usize) -> Option<&'static Kind> {
        self.home.rules.kinds[index].row.map(|row| &KINDS[row])
    }

    /// Where an item is.
    pub(crate) fn path(&self, item: &Item) -> PathBuf {
        self.home.folder.join(item.unit.path())
    }
}

/// Whose home it is, for people.
pub(crate) fn label<'h>(home: &'h Home<'_>) -> &'h Path {
    let is_of_host = home.whose == Whose::Host;
    if is_of_host { home.folder.parent().unwrap_or(&home.folder) } else { &home.folder }
}

/// How a cause reads in a table.
pub(crate) fn words_of(cause: Cause) -> String {
    match cause {
        Cause::Age(limit) => format!("older than {}", Limit::After(limit)),
        Cause::Size(most) => format!("more than {}", Budget::AtMost(most)),
        Cause::Duplicate => "there is a whole copy".to_owned(),
    }
}

//! A plan beside what became of it: session by session, step by step, orphan by orphan.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::sweep::queues::applied::{Applied, Outcome, SessionEnd};
use crate::sweep::queues::plan::{ContainerItem, Liveness, Plan, SessionItem, Step};

/// A plan with what became of it.
#[derive(Clone, Copy)]
pub(super) struct Told<'v> {
    pub(super) plan: &'v Plan,
    pub(super) applied: Option<&'v Applied>,
    pub(super) now: DateTime<Utc>,
}

/// One session with what became of it.
#[derive(Clone, Copy)]
pub(super) struct Session<'v> {
    pub(super) item: &'v SessionItem,
    told: Told<'v>,
    end: Option<&'v SessionEnd>,
}

/// What became of one thing that was to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End<'v> {
    /// It would be done: this is a dry run.
    Planned,
    /// It is not done here, since the host does it.
    ToHost,
    /// It was tried, or come to at least.
    Came(&'v Outcome),
}

impl<'v> Told<'v> {
    pub(super) fn sessions(self) -> impl Iterator<Item = Session<'v>> {
        let end = move |at: usize| self.applied.and_then(|applied| applied.sessions.get(at));
        self.plan.sessions.iter().enumerate().map(move |(at, item)| Session { item, told: self, end: end(at) })
    }

    /// Containers that are to be stopped, each with what became of that.
    pub(super) fn orphans(self) -> impl Iterator<Item = (&'v ContainerItem, End<'v>)> {
        let end = move |at: usize| self.end(self.applied.and_then(|applied| applied.orphans.get(at)));
        self.plan.orphans().enumerate().map(move |(at, item)| (item, end(at)))
    }

    fn end(self, outcome: Option<&'v Outcome>) -> End<'v> {
        match outcome {
            Some(outcome) => End::Came(outcome),
            None if self.plan.hands_off.is_some() => End::ToHost,
            None => End::Planned,
        }
    }

    /// How long ago something was, in seconds.
    pub(super) fn seconds_since(self, time: DateTime<Utc>) -> u64 {
        (self.now - time).num_seconds().max(0).unsigned_abs()
    }

    /// How long it is until then; nothing where that is past.
    pub(super) fn until(self, time: DateTime<Utc>) -> Option<Duration> {
        (time - self.now).to_std().ok()
    }

    /// How many sessions have messages due that nobody is started for: there is no command that would.
    pub(super) fn not_woken(self) -> usize {
        let waits = |session: &&SessionItem| {
            session.liveness.is_alive() == Some(false) && session.queue.as_ref().is_some_and(|queue| queue.due > 0)
        };
        if self.plan.has_wake { 0 } else { self.plan.sessions.iter().filter(waits).count() }
    }
}

impl<'v> Session<'v> {
    /// What was or would be done, in order.
    pub(super) fn steps(self) -> Vec<(&'v Step, End<'v>)> {
        match self.end {
            Some(end) => end.steps.iter().map(|(step, outcome)| (step, End::Came(outcome))).collect(),
            None => self.item.steps.iter().map(|step| (step, self.told.end(None))).collect(),
        }
    }

    /// Why it could not be looked at.
    pub(super) fn problem(self) -> Option<&'v str> {
        match self.end {
            Some(end) => end.problem.as_deref(),
            None => self.item.problem.as_deref(),
        }
    }

    /// What was seen and is left alone.
    pub(super) fn notes(self) -> &'v [String] {
        match self.end {
            // What was seen behind a journal, and before.
            Some(end) if !end.notes.is_empty() => &end.notes,
            _ => &self.item.notes,
        }
    }

    /// Whether anything is to be said of it.
    pub(super) fn is_noteworthy(self) -> bool {
        !self.steps().is_empty() || self.problem().is_some() || !self.notes().is_empty()
    }
}

impl<'v> End<'v> {
    /// In one word, for programs.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::ToHost => "left",
            Self::Came(outcome) => outcome.name(),
        }
    }

    /// Why it did not come about.
    pub(super) fn why(self) -> Option<&'v str> {
        match self {
            Self::Planned => None,
            Self::ToHost => Some("it is left to the host"),
            Self::Came(outcome) => outcome.why(),
        }
    }

    /// What became of it where it was come to.
    pub(super) const fn outcome(self) -> Option<&'v Outcome> {
        match self {
            Self::Came(outcome) => Some(outcome),
            Self::Planned | Self::ToHost => None,
        }
    }

    /// Whether somebody should know.
    pub(super) fn is_trouble(self) -> bool {
        self.outcome().is_some_and(Outcome::is_trouble)
    }

    /// Whether it was done.
    pub(super) fn is_done(self) -> bool {
        self == Self::Came(&Outcome::Done)
    }
}

/// In one word whether a container works on a session.
pub(super) fn word_of(liveness: &Liveness) -> &'static str {
    match liveness.is_alive() {
        None => "unknown",
        Some(true) => "running",
        Some(false) => "none",
    }
}

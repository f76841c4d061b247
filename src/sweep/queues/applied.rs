//! What became of a plan.

use super::plan::{Action, SessionItem, Step};
use crate::interrupt;

/// What became of a plan, beside it.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// Beside the plan's sessions, in their order.
    pub(crate) sessions: Vec<SessionEnd>,
    /// Beside the plan's orphans, in their order.
    pub(crate) orphans: Vec<Outcome>,
}

/// What became of one session.
#[derive(Debug, Default)]
pub(crate) struct SessionEnd {
    /// What was done, in order: more than was planned where a journal was rolled back first.
    pub(crate) steps: Vec<(Step, Outcome)>,
    /// Why it could not be looked at, or not any more.
    pub(crate) problem: Option<String>,
    /// What was seen behind a journal that was rolled back, and is left alone.
    pub(crate) notes: Vec<String>,
}

/// What became of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// What it was to act on is not as it was: nothing was done.
    Changed(String),
    /// It was refused; in whose words.
    Refused(String),
    /// It was tried and failed.
    Failed(String),
    /// It was not tried, since something before it did not come about.
    Left(String),
}

impl SessionEnd {
    /// Of a session that the run did not come to.
    pub(super) fn left(item: &SessionItem) -> Self {
        let left = |step: &Step| (step.clone(), Outcome::Left(interrupt::LEFT.to_owned()));
        Self { steps: item.steps.iter().map(left).collect(), problem: item.problem.clone(), notes: Vec::new() }
    }
}

impl Outcome {
    /// In one word, for people and programs.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Changed(_) => "changed",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::Left(_) => "left",
        }
    }

    /// Why it did not come about.
    pub(crate) fn why(&self) -> Option<&str> {
        match self {
            Self::Done => None,
            Self::Changed(why) | Self::Refused(why) | Self::Failed(why) | Self::Left(why) => Some(why),
        }
    }

    /// Whether somebody should know: what merely changed meanwhile is looked at by the next tick.
    pub(crate) const fn is_trouble(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Failed(_))
    }
}

impl Applied {
    /// All steps with what became of them.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &(Step, Outcome)> {
        self.sessions.iter().flat_map(|session| &session.steps)
    }

    /// How many steps of this kind were done.
    pub(crate) fn count(&self, is_wanted: impl Fn(&Action) -> bool) -> usize {
        self.steps().filter(|(step, outcome)| *outcome == Outcome::Done && is_wanted(&step.action)).count()
    }

    /// How many orphans were stopped.
    pub(crate) fn orphans_stopped(&self) -> usize {
        self.orphans.iter().filter(|outcome| **outcome == Outcome::Done).count()
    }

    /// How many steps and containers were left as they are.
    pub(crate) fn left(&self) -> usize {
        let outcomes = self.steps().map(|(_, outcome)| outcome).chain(&self.orphans);
        outcomes.filter(|outcome| **outcome != Outcome::Done).count()
    }
}

//! How much of what kind a sweep did or would do.

use serde_json::{Value, json};

use super::parts::{End, Told};
use crate::sweep::queues::plan::Action;

/// How much of what kind there is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) rolled_back: usize,
    pub(super) stopped: usize,
    pub(super) orphans_stopped: usize,
    pub(super) acknowledged: usize,
    pub(super) retried: usize,
    pub(super) failed: usize,
    pub(super) claims_cleared: usize,
    pub(super) recurred: usize,
    pub(super) disarmed: usize,
    pub(super) parked: usize,
    pub(super) woken: usize,
    /// What is not counted above.
    pub(super) left: usize,
}

impl Tally {
    /// Counts what was done or, in a dry run, would be.
    pub(super) fn of(told: Told<'_>) -> Self {
        Self::where_so(told, |end| end == End::Planned || end.is_done())
    }

    /// Counts what the host is left with, as if it were done.
    pub(super) fn of_host(told: Told<'_>) -> Self {
        Self::where_so(told, |end| end == End::ToHost)
    }

    fn where_so(told: Told<'_>, counts: impl Fn(End<'_>) -> bool) -> Self {
        let mut tally = Self::default();
        for (_, end) in told.orphans() {
            *(if counts(end) { &mut tally.orphans_stopped } else { &mut tally.left }) += 1;
        }
        for (step, end) in told.sessions().flat_map(super::parts::Session::steps) {
            if counts(end) {
                tally.add(&step.action);
            } else {
                tally.left += 1;
            }
        }
        tally
    }

    fn add(&mut self, action: &Action) {
        let (count, by) = match action {
            Action::RollBack { .. } => (&mut self.rolled_back, 1),
            Action::Stop { .. } => (&mut self.stopped, 1),
            Action::Acknowledge { .. } => (&mut self.acknowledged, 1),
            Action::Retry { .. } => (&mut self.retried, 1),
            Action::Fail { .. } => (&mut self.failed, 1),
            Action::ClearClaims { claims } => (&mut self.claims_cleared, claims.len()),
            Action::Recur { .. } => (&mut self.recurred, 1),
            Action::Disarm { .. } => (&mut self.disarmed, 1),
            Action::Park { .. } => (&mut self.parked, 1),
            Action::Wake { .. } => (&mut self.woken, 1),
        };
        *count += by;
    }

    /// `2 messages would be retried, 1 session woken`; nothing where there is nothing.
    pub(super) fn in_words(&self, would: bool) -> Option<String> {
        let kinds = [
            (self.rolled_back, "database", "rolled back"),
            (self.stopped, "container", "stopped"),
            (self.orphans_stopped, "orphan", "stopped"),
            (self.acknowledged, "message", "acknowledged"),
            (self.retried, "message", "retried"),
            (self.failed, "message", "failed"),
            (self.claims_cleared, "claim", "cleared"),
            (self.recurred, "run", "planned"),
            (self.disarmed, "expression", "taken off"),
            (self.parked, "expression", "parked"),
            (self.woken, "session", "woken"),
        ];
        let mut words = String::new();
        for (number, what, done) in kinds.into_iter().filter(|(number, ..)| *number > 0) {
            let is_first = words.is_empty();
            let (comma, plural) = (if is_first { "" } else { ", " }, if number == 1 { "" } else { "s" });
            let would = if would && is_first { "would be " } else { "" };
            words.extend([comma, &format!("{number} {what}{plural} {would}{done}")]);
        }
        (!words.is_empty()).then_some(words)
    }

    /// As JSON, beside how many sessions there are.
    pub(super) fn document(&self, told: Told<'_>) -> Value {
        json!({
            "sessions": told.plan.sessions.len() + told.plan.unchanged,
            "unchanged": told.plan.unchanged,
            "acknowledged": self.acknowledged,
            "retried": self.retried,
            "failed": self.failed,
            "claims_cleared": self.claims_cleared,
            "stopped": self.stopped,
            "orphans_stopped": self.orphans_stopped,
            "recurred": self.recurred,
            "disarmed": self.disarmed,
            "parked": self.parked,
            "woken": self.woken,
            "rolled_back": self.rolled_back,
            "left": self.left,
        })
    }
}

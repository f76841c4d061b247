//! One session as it is seen: what its databases say, what is decided of it, what keeps it from being judged.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::decide::{Rules, Signs, decide};
use super::plan::{Action, Liveness, SessionItem, Step};
use crate::policy::duration::format_age;
use crate::policy::queue::{Judgement, ahead_of, was_just_woken};
use crate::queues::central::SessionRow;
use crate::queues::memory::{Quiet, Remembered};
use crate::queues::session::{Facts, Stamps};

/// What was seen in a session's databases.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Whether nothing is to be done, and nothing will be until something changes or is due.
    is_quiet: bool,
    /// When a message will be due.
    next_due: Option<DateTime<Utc>>,
    /// Expressions that cannot be followed, by message.
    parked: BTreeMap<String, String>,
    /// Whether anything was seen at all.
    is_known: bool,
}

impl Seen {
    pub(super) fn remember(
        self,
        stamps: Option<Stamps>,
        started: DateTime<Utc>,
        before: &Remembered,
        rules: &Rules,
    ) -> Remembered {
        let settled = stamps.filter(|stamps| self.is_quiet && stamps.are_settled(started));
        Remembered {
            quiet: settled.map(|stamps| Quiet::new(stamps, self.next_due)),
            woken: before.woken.filter(|woken| was_just_woken(Some(*woken), &rules.thresholds, rules.now)),
            // What could not be looked at may still hold what was told of.
            parked: if self.is_known { self.parked } else { before.parked.clone() },
        }
    }
}

impl SessionItem {
    pub(super) fn new(row: &SessionRow, liveness: Liveness) -> Self {
        Self {
            id: row.id.clone(),
            group: row.group.clone(),
            status: row.status.clone(),
            claimed: row.claimed,
            liveness,
            heartbeat: None,
            queue: None,
            judgement: Judgement::Fine,
            steps: Vec::new(),
            problem: None,
            notes: Vec::new(),
        }
    }

    pub(super) fn signs(&self, remembered: &Remembered) -> Signs<'_> {
        Signs { liveness: &self.liveness, heartbeat: self.heartbeat, claimed: self.claimed, woken: remembered.woken }
    }

    /// What keeps a container that runs from being judged.
    pub(super) fn tell_doubts(&mut self, remembered: &Remembered, rules: &Rules) {
        if self.liveness.is_alive() != Some(true) {
            return;
        }
        let judgement = self.signs(remembered).judge(None, &[], rules);
        if let Judgement::Unknown(why) = judgement {
            self.notes.push(format!("its container cannot be judged: {why}; left alone"));
            self.judgement = judgement;
        }
        if let Some(ahead) = self.heartbeat.and_then(|heartbeat| ahead_of(heartbeat, rules.now)) {
            let ahead = format_age(ahead);
            self.notes.push(format!("its heartbeat lies {ahead} ahead: until then its container counts as well"));
        }
    }

    pub(super) fn decide(&mut self, facts: &Facts, remembered: &Remembered, rules: &Rules) -> Seen {
        let decided = decide(facts, self.signs(remembered), &remembered.parked, rules);
        let queue = decided.queue;
        let seen = Seen {
            is_quiet: decided.steps.is_empty() && decided.notes.is_empty() && queue.claimed == 0 && queue.due == 0,
            next_due: queue.next_due,
            parked: decided.parked,
            is_known: true,
        };
        if facts.outbound.is_none() {
            self.notes.push("there is no outbound.db: what its container reported is not known".to_owned());
        }
        self.judgement = decided.judgement;
        self.steps = decided.steps;
        self.notes.extend(decided.notes);
        self.queue = Some(queue);
        seen
    }

    /// A writer was killed half-way. Undoing that is a writer's, and nobody else may be writing.
    pub(super) fn hot_journal(&mut self, database: &'static str) {
        let what = format!("{database} has a hot journal: its writer was killed half-way");
        match self.liveness.is_alive() {
            Some(false) => {
                let reason = format!("{what}, and no container runs that could be writing");
                self.steps.push(Step { action: Action::RollBack { database }, reason });
            }
            Some(true) => self.problem = Some(format!("{what}; left to its container, which runs")),
            None => self.problem = Some(format!("{what}; left alone, since nobody knows whether its container runs")),
        }
    }
}

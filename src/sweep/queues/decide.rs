//! What is to be done in one session: pure, from what its databases say and what runs.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;

use chrono::{DateTime, Utc};
use rustc_hash::FxHasher;

use super::plan::{Action, Final, Liveness, Queue, Step};
use crate::policy::duration::format_age;
use crate::policy::queue::{Claim, Judgement, Retry, Running, Thresholds, ToolCall, judge, retry, was_just_woken};
use crate::policy::recurrence::{Rearm, Recurrence, rearm};
use crate::policy::zone::Tz;
use crate::queues::inbound::{After, Message, State};
use crate::queues::outbound::Ack;
use crate::queues::session::Facts;

/// What holds for every session of an installation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) thresholds: Thresholds,
    /// Whether there is a command that wakes sessions.
    pub(super) has_wake: bool,
    pub(super) zone: Tz,
    pub(super) now: DateTime<Utc>,
    /// When a sweep first saw that the machine had slept, or had its clock set: from then on silence counts.
    pub(super) awake: Option<DateTime<Utc>>,
}

/// What shows of a session without its databases.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signs<'s> {
    pub(super) liveness: &'s Liveness,
    /// The time of `.heartbeat`.
    pub(super) heartbeat: Option<DateTime<Utc>>,
    /// When a host took the session over, where hosts note that.
    pub(super) claimed: Option<DateTime<Utc>>,
    /// When it was woken last.
    pub(super) woken: Option<DateTime<Utc>>,
}

/// What was decided.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    pub(super) queue: Queue,
    pub(super) judgement: Judgement,
    pub(super) steps: Vec<Step>,
    pub(super) notes: Vec<String>,
    /// Expressions that cannot be followed, by message.
    pub(super) parked: BTreeMap<String, String>,
}

impl Signs<'_> {
    /// What is to become of the containers. Several are judged as the youngest of them, from when it started, or its host
    /// took it over where that was later.
    pub(super) fn judge(self, tool: Option<&ToolCall>, claims: &[Claim], rules: &Rules) -> Judgement {
        let Liveness::Known(containers) = self.liveness else {
            return Judgement::Unknown("nobody knows which containers run");
        };
        if containers.is_empty() {
            return Judgement::Fine;
        }
        if containers.iter().any(|container| container.state.word() == "paused") {
            return Judgement::Unknown("it is paused, and cannot give a heartbeat");
        }
        let started: Option<Vec<_>> = containers.iter().map(|container| container.started).collect();
        let youngest = started.and_then(|started| started.into_iter().max());
        let since = youngest.map(|youngest| [self.claimed, rules.awake].into_iter().flatten().fold(youngest, Ord::max));
        let running = Running { started: youngest, since, heartbeat: self.heartbeat, tool, claims, woken: self.woken };
        judge(running, &rules.thresholds, rules.now)
    }
}

/// Decides about one session. `told` are expressions that cannot be followed and were told of before, by message.
///
/// The steps are in the order in which they are done: what the container reported, the container itself, the messages that
/// nobody works on any more, the next runs of what has ended, and waking the session.
pub(super) fn decide(facts: &Facts, signs: Signs<'_>, told: &BTreeMap<String, String>, rules: &Rules) -> Decided {
    let mut decision = Decision { facts, signs, rules, steps: Vec::new(), notes: Vec::new(), ends: BTreeMap::new() };
    decision.tell_unreadable();
    decision.acknowledge();
    let judgement = decision.stop();
    let stuck = decision.release(&judgement);
    let parked = decision.recur(told);
    let due = decision.wake();
    let queue = Queue {
        due,
        stuck,
        parked: parked.iter().filter(|(message, expression)| told.get(*message) == Some(expression)).count(),
        ..queue_of(facts, rules.now)
    };
    Decided { queue, judgement, steps: decision.steps, notes: decision.notes, parked }
}

/// What the databases hold as they are.
fn queue_of(facts: &Facts, now: DateTime<Utc>) -> Queue {
    let pending = || facts.inbound.messages.iter().filter(|message| message.state == State::Pending);
    let ahead = |message: &&Message| message.after().is_some_and(|after| after > now);
    Queue {
        pending: pending().count(),
        claimed: facts.claims().len(),
        failed: facts.inbound.failed,
        next_due: pending().filter(|message| message.wakes).filter(ahead).filter_map(Message::after).min(),
        next_recurrence: pending().filter(|message| message.recurrence.is_some()).filter_map(Message::after).min(),
        ..Queue::default()
    }
}

struct Decision<'d> {
    facts: &'d Facts,
    signs: Signs<'d>,
    rules: &'d Rules,
    steps: Vec<Step>,
    notes: Vec<String>,
    /// How messages end by the steps up to now.
    ends: BTreeMap<&'d str, Final>,
}

impl<'d> Decision<'d> {
    fn step(&mut self, action: Action, reason: impl Into<String>) {
        self.steps.push(Step { action, reason: reason.into() });
    }

    /// What the container reported. What has ended already stays as it is.
    fn acknowledge(&mut self) {
        let Some(outbound) = &self.facts.outbound else { return };
        let waits = |message: &&Message| matches!(message.state, State::Pending | State::Paused);
        for message in self.facts.inbound.messages.iter().filter(waits) {
            let Some(ack) = outbound.acks.get(&message.id) else { continue };
            let status = match ack {
                Ack::Completed | Ack::Failed => Final::Completed,
                Ack::ScriptFailed => Final::Failed,
            };
            self.ends.insert(&message.id, status);
            let reason = format!("its container reported {}", ack.name());
            self.step(Action::Acknowledge { message: message.id.clone(), status }, reason);
        }
    }

    /// The container itself.
    fn stop(&mut self) -> Judgement {
        let tool = self.facts.outbound.as_ref().and_then(|outbound| outbound.tool.as_ref());
        let judgement = self.signs.judge(tool, self.facts.claims(), self.rules);
        if judgement.stops()
            && let Liveness::Known(containers) = self.signs.liveness
        {
            let containers = containers.iter().map(|container| container.id.clone()).collect();
            self.step(Action::Stop { containers }, reason_of(&judgement));
        }
        judgement
    }

    /// Messages that will never be due, and what has no name to be called by.
    fn tell_unreadable(&mut self) {
        let claims = self.facts.outbound.as_ref().map_or(0, |outbound| outbound.nameless);
        for (number, what) in [(self.facts.inbound.nameless, "message"), (claims, "claim")] {
            match number {
                0 => {}
                1 => self.notes.push(format!("1 {what} has an id that is no text: left alone")),
                _ => self.notes.push(format!("{number} {what}s have an id that is no text: left alone")),
            }
        }
        let pending = self.facts.inbound.messages.iter().filter(|message| message.state == State::Pending);
        self.notes.extend(pending.filter_map(|message| match &message.after {
            After::Unreadable(text) => {
                Some(format!("message {} is due at {:?}, which is no time: left alone", message.id, shortened(text)))
            }
            After::Anytime | After::At(_) => None,
        }));
    }

    /// The messages that were claimed by a container that is not there, or will not be. Yields how many claims nobody works
    /// on.
    fn release(&mut self, judgement: &Judgement) -> usize {
        let is_dead = self.signs.liveness.is_alive() == Some(false);
        if !is_dead && !judgement.stops() {
            return 0;
        }
        let reason = if is_dead { "no container runs that could work on it" } else { "its container is stopped" };
        let mut cleared = Vec::new();
        let messages = self.facts.inbound.by_id();
        // A container's own table may hold two claims of one message.
        let mut tried = BTreeSet::new();
        for claim in self.facts.claims() {
            let message = messages.get(&*claim.message).copied();
            let message = message.filter(|message| message.state == State::Pending);
            if claim.since.is_none() {
                let note = format!(
                    "message {} was claimed at {:?}, which is no time: left alone",
                    claim.message,
                    shortened(&claim.since_text)
                );
                self.notes.push(note);
                continue;
            }
            if message.is_some_and(|message| matches!(message.after, After::Unreadable(_))) {
                continue;
            }
            if let Some(message) = message.filter(|message| tried.insert(&message.id)) {
                self.retry(message, reason);
            }
            cleared.push((claim.message.clone(), claim.since_text.clone()));
        }
        if !cleared.is_empty() {
            self.step(Action::ClearClaims { claims: cleared }, reason);
        }
        self.facts.claims().len()
    }

    fn retry(&mut self, message: &'d Message, reason: &str) {
        let id = message.id.clone();
        match retry(message.tries, message.after(), &self.rules.thresholds, self.rules.now) {
            Retry::Waits => {}
            Retry::Again { tries, at } => self.step(Action::Retry { message: id, tries, at }, reason),
            Retry::Fail => {
                self.ends.insert(&message.id, Final::Failed);
                let reason = format!("{reason}, and it was tried {} times", message.tries);
                self.step(Action::Fail { message: id, tries: message.tries }, reason);
            }
        }
    }

    /// How a message has ended when all steps up to now are done.
    fn end_of(&self, message: &Message) -> Option<Final> {
        match message.state {
            State::Completed => Some(Final::Completed),
            State::Failed => Some(Final::Failed),
            State::Pending | State::Paused => self.ends.get(message.id.as_str()).copied(),
        }
    }

    /// The next runs of what has ended. Yields the expressions that cannot be followed, by message.
    fn recur(&mut self, told: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut parked = BTreeMap::new();
        let goes_on = |message: &&Message| message.recurrence.is_some() && self.end_of(message).is_none();
        let going_on = self.facts.inbound.messages.iter().filter(goes_on);
        let mut armed: BTreeSet<&str> = going_on.filter_map(|message| message.series.as_deref()).collect();
        // The newest run of a series goes first: it is the one that the next follows.
        for message in self.facts.inbound.messages.iter().rev() {
            let (Some(expression), Some(end)) = (&message.recurrence, self.end_of(message)) else { continue };
            if message.series.as_deref().is_some_and(|series| armed.contains(series)) {
                let action = Action::Disarm { message: message.id.clone(), expression: expression.clone() };
                self.step(action, "the next run of its series is planned already");
                continue;
            }
            if !message.is_newest {
                // Its series went on without it, or was cancelled.
                continue;
            }
            match self.next_run(message, end, expression) {
                Ok(step) => {
                    armed.extend(message.series.as_deref());
                    self.steps.push(step);
                }
                Err(why) => {
                    let shown = shortened(expression);
                    let is_told = told.get(&message.id) == Some(&shown);
                    parked.insert(message.id.clone(), shown.clone());
                    if !is_told {
                        let action = Action::Park { message: message.id.clone(), expression: shown };
                        self.step(action, why);
                    }
                }
            }
        }
        parked
    }

    fn next_run(&self, message: &Message, end: Final, expression: &str) -> Result<Step, String> {
        let seed = message.series.as_deref().unwrap_or(&message.id);
        let recurrence = Recurrence::parse(expression, seed).map_err(|invalid| invalid.to_string())?;
        let fails_now = message.state != State::Failed;
        let failures = match end {
            Final::Completed => 0,
            Final::Failed => message.failures + u32::from(fails_now),
        };
        let (next, is_paused) = match rearm(&recurrence, failures, self.rules.now, self.rules.zone) {
            Some(Rearm::At(next)) => (next, false),
            Some(Rearm::Paused(next)) => (next, true),
            None => return Err("it never comes again".to_owned()),
        };
        let reason = match failures {
            0 => "a run has ended, and the task recurs".to_owned(),
            1 => "a run has failed, and the task recurs".to_owned(),
            failures if is_paused => format!("{failures} runs failed in a row: it waits until somebody resumes it"),
            failures => format!("{failures} runs failed in a row, and the task recurs"),
        };
        let (message, expression) = (message.id.clone(), expression.to_owned());
        Ok(Step { action: Action::Recur { message, expression, next, is_paused }, reason })
    }

    /// Waking the session for what is due. Yields how many messages that are: also those that are tried again soon, since
    /// their container has to be there by then.
    fn wake(&mut self) -> usize {
        let now = self.rules.now;
        let due = self.facts.inbound.due(now).filter(|message| !self.ends.contains_key(message.id.as_str())).count();
        let is_dead = self.signs.liveness.is_alive() == Some(false);
        let just_woken = was_just_woken(self.signs.woken, &self.rules.thresholds, now);
        if due > 0 && is_dead && self.rules.has_wake && !just_woken {
            self.step(Action::Wake { due }, "messages are due and no container runs");
        }
        due
    }
}

impl Facts {
    /// What its container says it works on.
    pub(super) fn claims(&self) -> &[Claim] {
        self.outbound.as_ref().map_or(&[], |outbound| &outbound.claims)
    }
}

/// The beginning of a text that somebody else wrote, and of a longer one how long it is and a number that tells it from
/// others.
fn shortened(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => {
            let mut hasher = FxHasher::default();
            hasher.write(text.as_bytes());
            format!("{}… ({} bytes, {:08x})", &text[..end], text.len(), hasher.finish() as u32)
        }
    }
}

/// Why a container is stopped, in words.
pub(crate) fn reason_of(judgement: &Judgement) -> String {
    match judgement {
        Judgement::Fine => String::new(),
        Judgement::Unknown(why) => (*why).to_owned(),
        Judgement::PastCeiling { silent, ceiling } => {
            format!("no heartbeat for {}, and {} is the most", format_age(*silent), format_age(*ceiling))
        }
        Judgement::ClaimStuck { message, age, tolerance } => format!(
            "message {message} was claimed {} ago and no heartbeat came after; {} is the most",
            format_age(*age),
            format_age(*tolerance)
        ),
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;

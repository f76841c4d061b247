//! Does what a plan says. What it acts on is looked at again first: a container that beats meanwhile goes on, a message that
//! changed meanwhile stays as it is, an orphan whose session is there by now is none.

use std::time::Duration;

use crate::interrupt;
use crate::queues::central::{self, Status};
use crate::queues::memory::Memory;
use crate::queues::runtime::{Container, Stopped};
use crate::queues::wake::wake;

use super::applied::{Applied, Outcome, SessionEnd};
use super::plan::{Action, ContainerItem, Liveness, Plan, SessionItem, Step};
use super::survey::Scene;

/// How old a listing of containers may be.
pub(super) const FRESH: Duration = Duration::from_secs(1);

impl Scene<'_> {
    /// Does what the plan says; what the next tick is to know goes into `memory`.
    pub(crate) fn apply(&self, plan: &Plan, memory: &mut Memory) -> Applied {
        let orphans = self.stop_orphans(plan);
        let remembered = |item: &SessionItem| memory.get(&item.id).cloned().unwrap_or_default();
        let repair = |item| {
            if interrupt::asked() { SessionEnd::left(item) } else { self.repair(item, &remembered(item)) }
        };
        let mut sessions: Vec<SessionEnd> = plan.sessions.iter().map(repair).collect();
        // Commands of the user's come last: they may take their time, and start more than they were asked for.
        for (item, end) in plan.sessions.iter().zip(&mut sessions) {
            self.wake_where_planned(item, end, memory);
        }
        Applied { sessions, orphans }
    }

    fn stop_orphans(&self, plan: &Plan) -> Vec<Outcome> {
        let orphans: Vec<&ContainerItem> = plan.orphans().collect();
        if orphans.is_empty() {
            return Vec::new();
        }
        let central = match central::read(&self.installation.central(), self.settings.wait) {
            Ok(central) => central,
            Err(error) => return vec![Outcome::Failed(format!("{error:#}")); orphans.len()],
        };
        let has_session = |item: &ContainerItem| {
            let is_its = |id: &str| item.session.as_deref() == Some(id);
            central.sessions.iter().any(|row| is_its(&row.id) && row.status != Status::Closed)
        };
        let stop = |item: &&ContainerItem| {
            if interrupt::asked() {
                return Outcome::Left(interrupt::LEFT.to_owned());
            }
            let is_its_by_now = || Outcome::Changed("its session is there by now".to_owned());
            if has_session(item) {
                return is_its_by_now();
            }
            self.is_taken_over().map_or_else(|| self.stop(&item.container), Outcome::Left)
        };
        orphans.iter().map(stop).collect()
    }

    pub(super) fn stop(&self, container: &Container) -> Outcome {
        self.forget();
        match self.runtimes.stop(container) {
            Stopped::Gone => Outcome::Done,
            Stopped::Refused(why) => Outcome::Refused(why),
            Stopped::Unknown(why) => Outcome::Failed(format!("whether it is gone is not known: {why}")),
        }
    }

    /// Has a session woken whose messages are as planned, unless a container or a host has come to run meanwhile.
    fn wake_where_planned(&self, item: &SessionItem, end: &mut SessionEnd, memory: &mut Memory) {
        let is_to_be_woken = |(step, outcome): &&mut (Step, Outcome)| {
            matches!(step.action, Action::Wake { .. }) && *outcome == Outcome::Done
        };
        let Some((_, outcome)) = end.steps.iter_mut().find(is_to_be_woken) else { return };
        *outcome = self.wake(item);
        if *outcome == Outcome::Done {
            let mut remembered = memory.get(&item.id).cloned().unwrap_or_default();
            remembered.woken = Some(self.by_now());
            memory.set(&item.id, remembered);
        }
    }

    fn wake(&self, item: &SessionItem) -> Outcome {
        if interrupt::asked() {
            return Outcome::Left(interrupt::LEFT.to_owned());
        }
        if let Some(why) = self.is_taken_over() {
            return Outcome::Left(why);
        }
        if let Err(outcome) = self.is_dead(item, FRESH) {
            return outcome;
        }
        let hook = &self.settings.wake;
        // It starts a container, and it may start others.
        self.forget();
        match wake(&hook.command, hook.limit, &self.installation.root, &item.id, &item.group) {
            Ok(()) => Outcome::Done,
            Err(why) => Outcome::Failed(why),
        }
    }

    /// Whether still no container of the session runs, as it was at most so long ago.
    pub(super) fn is_dead(&self, item: &SessionItem, ago: Duration) -> Result<(), Outcome> {
        match self.liveness_of(&item.id, &item.group, ago) {
            Liveness::Known(containers) if containers.is_empty() => Ok(()),
            Liveness::Known(_) => Err(Outcome::Changed("a container of this session runs by now".to_owned())),
            Liveness::Unknown => Err(Outcome::Failed("nobody knows any more whether its container runs".to_owned())),
        }
    }
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;

//! Does what a plan says. What it acts on is looked at again first: a container that beats meanwhile goes on, a message that
//! changed meanwhile stays as it is, an orphan whose session is there by now is none.

use std::time::Duration;

use crate::queues::central::{self, Status};
use crate::queues::inbound::{self, Change};
use crate::queues::memory::{Memory, Remembered};
use crate::queues::outbound::Clearing;
use crate::queues::runtime::Stopped;
use crate::queues::session::{INBOUND, OUTBOUND, SessionFolder};
use crate::queues::wake::wake;
use crate::sqlite::Trouble;

use super::applied::{Applied, Outcome, SessionEnd};
use super::plan::{Action, ContainerItem, Liveness, Plan, SessionItem, Step};
use super::survey::Scene;

/// How old a listing of containers may be.
const FRESH: Duration = Duration::from_secs(1);

impl Scene<'_> {
    /// Does what the plan says; what the next tick is to know goes into `memory`.
    pub(crate) fn apply(&self, plan: &Plan, memory: &mut Memory) -> Applied {
        let orphans = self.stop_orphans(plan);
        let mut sessions: Vec<SessionEnd> = plan.sessions.iter().map(|item| self.repair(item, memory)).collect();
        // Commands of the user's come last: they may take their time, and start more than they were asked for.
        for (item, end) in plan.sessions.iter().zip(&mut sessions) {
            self.wake_where_planned(item, end, memory);
        }
        Applied { sessions, orphans, problems: Vec::new() }
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
            let is_its_by_now = || Outcome::Changed("its session is there by now".to_owned());
            if has_session(item) {
                return is_its_by_now();
            }
            self.is_taken_over().map_or_else(|| self.stop(&item.container), Outcome::Left)
        };
        orphans.iter().map(stop).collect()
    }

    fn stop(&self, container: &crate::queues::runtime::Container) -> Outcome {
        self.forget();
        match self.runtimes.stop(container) {
            Stopped::Gone => Outcome::Done,
            Stopped::Refused(why) => Outcome::Refused(why),
            Stopped::Unknown(why) => Outcome::Failed(format!("whether it is gone is not known: {why}")),
        }
    }

    /// Does all steps of a session but waking it.
    fn repair(&self, item: &SessionItem, memory: &mut Memory) -> SessionEnd {
        let mut end = SessionEnd { problem: item.problem.clone(), ..SessionEnd::default() };
        if item.steps.is_empty() {
            return end;
        }
        let path = match self.installation.session(&item.group, &item.id) {
            Ok(path) => path,
            Err(why) => return SessionEnd { problem: Some(why), ..end },
        };
        if let Some(why) = self.is_taken_over() {
            end.steps.extend(item.steps.iter().map(|step| (step.clone(), Outcome::Left(why.clone()))));
            return end;
        }
        let remembered = memory.get(&item.id).cloned().unwrap_or_default();
        let mut work = Work {
            scene: self,
            item: item.clone(),
            folder: SessionFolder::new(path),
            remembered: &remembered,
            stopped: None,
        };
        work.make_way(&mut end);
        let steps = std::mem::take(&mut work.item.steps);
        let outcomes = work.all(&steps);
        end.steps.extend(steps.into_iter().zip(outcomes));
        end
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
    fn is_dead(&self, item: &SessionItem, ago: Duration) -> Result<(), Outcome> {
        match self.liveness_of(&item.id, &item.group, ago) {
            Liveness::Known(containers) if containers.is_empty() => Ok(()),
            Liveness::Known(_) => Err(Outcome::Changed("a container of this session runs by now".to_owned())),
            Liveness::Unknown => Err(Outcome::Failed("nobody knows any more whether its container runs".to_owned())),
        }
    }
}

/// One session that something is done in.
struct Work<'w, 's> {
    scene: &'w Scene<'s>,
    item: SessionItem,
    folder: SessionFolder,
    remembered: &'w Remembered,
    /// What became of stopping its containers, where that did not come about.
    stopped: Option<Outcome>,
}

impl Work<'_, '_> {
    /// Undoes what was half written, unless a container of the session has come to run.
    fn roll_back(&self, database: &'static str) -> Outcome {
        if let Err(outcome) = self.scene.is_dead(&self.item, Duration::ZERO) {
            return outcome;
        }
        match self.folder.roll_back(database, self.scene.settings.wait) {
            Ok(()) => Outcome::Done,
            Err(trouble) => Outcome::Failed(format!("{database} {trouble}")),
        }
    }

    /// Does what the rest depends on, and looks again after it: containers that are stopped may have ended their work in their
    /// last second, or left a journal, and what a journal hid is seen only when it is rolled back.
    fn make_way(&mut self, end: &mut SessionEnd) {
        if let Some(place) = self.item.steps.iter().position(|step| matches!(step.action, Action::Stop { .. })) {
            let outcome = self.stop_silent();
            if outcome != Outcome::Done {
                self.stopped = Some(outcome);
                return;
            }
            end.steps.push((self.item.steps[place].clone(), outcome));
            self.item.liveness = self.scene.liveness_of(&self.item.id, &self.item.group, Duration::ZERO);
            self.look_again(end);
            // Those are for the next sweep, as the plan had it.
            self.item.steps.retain(|step| !matches!(step.action, Action::Stop { .. } | Action::Wake { .. }));
        }
        let Some(Step { action: Action::RollBack { database }, .. }) = self.item.steps.first() else { return };
        let outcome = self.roll_back(database);
        let is_done = outcome == Outcome::Done;
        end.steps.push((self.item.steps.remove(0), outcome));
        if is_done {
            self.look_again(end);
            self.item.steps.retain(|step| !matches!(step.action, Action::RollBack { .. }));
        }
    }

    /// Looks at the session as it is by now.
    fn look_again(&mut self, end: &mut SessionEnd) {
        self.item.steps.clear();
        self.item.notes.clear();
        self.scene.look(&self.folder, &mut self.item, self.remembered);
        end.problem.clone_from(&self.item.problem);
        end.notes.clone_from(&self.item.notes);
    }

    /// Does all steps in their order, the changes of one database at once.
    fn all(&self, steps: &[Step]) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; steps.len()];
        let released = self.release(steps, &mut outcomes);
        // First what may fail: a try must not be counted where the claim cannot go.
        let clearing = self.begin_clearing(steps, &released, &mut outcomes);
        let released = released.and(clearing.as_ref().map(|_| ()).map_err(Clone::clone));
        self.change(steps, &released, &mut outcomes);
        let is_failed = outcomes.iter().any(|outcome| matches!(outcome, Some(Outcome::Failed(_))));
        let planned = match released {
            Ok(()) if is_failed => Err(Outcome::Left("its messages could not be planned".to_owned())),
            released => released,
        };
        let planned = clear(steps, clearing, planned, &mut outcomes);
        for (step, outcome) in steps.iter().zip(&mut outcomes) {
            match (&step.action, &planned) {
                (Action::Wake { .. }, Err(why)) => *outcome = Some(why.clone()),
                // Waking comes when everything else is done.
                (Action::Park { .. }, _) | (Action::Wake { .. }, Ok(())) => *outcome = Some(Outcome::Done),
                _ => {}
            }
        }
        let left = || Outcome::Left("it was not come to".to_owned());
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(left)).collect()
    }

    /// Makes sure that nobody works on the session's messages. An error is what becomes of every step that needs that.
    fn release(&self, steps: &[Step], outcomes: &mut [Option<Outcome>]) -> Result<(), Outcome> {
        if let Some(place) = steps.iter().position(|step| matches!(step.action, Action::Stop { .. })) {
            outcomes[place].clone_from(&self.stopped);
            return Err(Outcome::Left("its container was not stopped".to_owned()));
        }
        if steps.iter().any(|step| step.action.needs_death()) { self.scene.is_dead(&self.item, FRESH) } else { Ok(()) }
    }

    /// Stops the session's containers, unless what they are stopped for is not so any more.
    fn stop_silent(&self) -> Outcome {
        let mut now = self.item.clone();
        // One that was started again, or one more, is judged by its own time.
        now.liveness = self.scene.liveness_of(&now.id, &now.group, Duration::ZERO);
        now.heartbeat = self.folder.heartbeat();
        self.scene.look(&self.folder, &mut now, self.remembered);
        if let Some(problem) = now.problem {
            return Outcome::Failed(problem);
        }
        if !now.judgement.stops() {
            return Outcome::Changed("it gave a sign of life meanwhile".to_owned());
        }
        let Liveness::Known(containers) = &now.liveness else {
            return Outcome::Failed("nobody knows which containers run".to_owned());
        };
        if let Some(foreign) = containers.iter().find(|container| !self.scene.may_stop(container)) {
            return Outcome::Refused(format!("the label of container {} names another installation", foreign.name));
        }
        let outcomes = containers.iter().map(|container| self.scene.stop(container));
        outcomes.into_iter().find(|outcome| *outcome != Outcome::Done).unwrap_or(Outcome::Done)
    }

    /// Makes the changes in `inbound.db`. Those of claimed messages are made only where nobody works on them any more.
    fn change(&self, steps: &[Step], released: &Result<(), Outcome>, outcomes: &mut [Option<Outcome>]) {
        let mut changes = Vec::new();
        let mut places = Vec::new();
        for (place, step) in steps.iter().enumerate() {
            match (change_of(&step.action), released) {
                (None, _) => {}
                (Some(_), Err(outcome)) if step.action.needs_death() => outcomes[place] = Some(outcome.clone()),
                (Some(change), _) => {
                    changes.push(change);
                    places.push(place);
                }
            }
        }
        if changes.is_empty() {
            return;
        }
        let scene = self.scene;
        let path = self.folder.database(INBOUND);
        match inbound::change(&path, scene.settings.wait, &changes, scene.rules.now) {
            Ok(made) => {
                for (place, made) in places.into_iter().zip(made) {
                    let changed = || Outcome::Changed("it changed meanwhile".to_owned());
                    outcomes[place] = Some(if made { Outcome::Done } else { changed() });
                }
            }
            Err(trouble) => places.into_iter().for_each(|place| outcomes[place] = Some(failed(INBOUND, &trouble))),
        }
    }

    /// Begins to remove claims from `outbound.db`; nothing where none are to be. An error is what becomes of every step that
    /// is for nothing without it.
    fn begin_clearing(
        &self,
        steps: &[Step],
        released: &Result<(), Outcome>,
        outcomes: &mut [Option<Outcome>],
    ) -> Result<Option<Clearing>, Outcome> {
        let Some((place, claims)) = claims_of(steps) else { return Ok(None) };
        if let Err(outcome) = released {
            outcomes[place] = Some(outcome.clone());
            return Ok(None);
        }
        let begun = Clearing::begin(&self.folder.database(OUTBOUND), self.scene.settings.wait, claims);
        begun.map(Some).map_err(|trouble| {
            outcomes[place] = Some(failed(OUTBOUND, &trouble));
            Outcome::Left("the claims on its messages cannot be removed".to_owned())
        })
    }
}

fn failed(database: &str, trouble: &Trouble) -> Outcome {
    Outcome::Failed(format!("{database} {trouble}"))
}

/// Removes the claims, once what was claimed is planned anew.
fn clear(
    steps: &[Step],
    clearing: Result<Option<Clearing>, Outcome>,
    planned: Result<(), Outcome>,
    outcomes: &mut [Option<Outcome>],
) -> Result<(), Outcome> {
    let (Some((place, _)), Ok(Some(clearing))) = (claims_of(steps), clearing) else { return planned };
    if let Err(outcome) = planned {
        outcomes[place] = Some(outcome.clone());
        return Err(outcome);
    }
    outcomes[place] = Some(match clearing.end() {
        Ok(0) => Outcome::Changed("they are not there any more".to_owned()),
        Ok(_) => Outcome::Done,
        Err(trouble) => {
            outcomes[place] = Some(failed(OUTBOUND, &trouble));
            return Err(Outcome::Left("the claims on its messages cannot be removed".to_owned()));
        }
    });
    Ok(())
}

/// The claims that are to be removed, and which step that is.
fn claims_of(steps: &[Step]) -> Option<(usize, &[(String, String)])> {
    steps.iter().enumerate().find_map(|(place, step)| match &step.action {
        Action::ClearClaims { claims } => Some((place, claims.as_slice())),
        _ => None,
    })
}

/// What a step changes in `inbound.db`.
fn change_of(action: &Action) -> Option<Change> {
    Some(match action.clone() {
        Action::Acknowledge { message, status } => Change::End { message, status: status.name() },
        Action::Retry { message, tries, at } => Change::Retry { message, before: tries.saturating_sub(1), tries, at },
        Action::Fail { message, tries } => Change::Fail { message, before: tries },
        Action::Recur { message, expression, next, is_paused } => {
            Change::Recur { message, expression, next, is_paused }
        }
        Action::Disarm { message, expression } => Change::Disarm { message, expression },
        Action::RollBack { .. }
        | Action::Stop { .. }
        | Action::ClearClaims { .. }
        | Action::Park { .. }
        | Action::Wake { .. } => return None,
    })
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;

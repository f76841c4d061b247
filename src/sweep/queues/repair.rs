//! One session that something is done in: what makes way first, then all steps in their order, each database at once.

use std::time::Duration;

use rustc_hash::FxHashSet;

use crate::queues::inbound::{self, Change};
use crate::queues::memory::Remembered;
use crate::queues::outbound::Clearing;
use crate::queues::session::{INBOUND, OUTBOUND, SessionFolder};
use crate::sqlite::{LONGEST_HOLD, Trouble};

use super::applied::{Outcome, SessionEnd};
use super::apply::FRESH;
use super::plan::{Action, Liveness, SessionItem, Step};
use super::survey::Scene;

impl Scene<'_> {
    /// Does all steps of a session but waking it.
    pub(super) fn repair(&self, item: &SessionItem, remembered: &Remembered) -> SessionEnd {
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
        let mut work =
            Work { scene: self, item: item.clone(), folder: SessionFolder::new(path), remembered, stopped: None };
        work.make_way(&mut end);
        let steps = std::mem::take(&mut work.item.steps);
        end.steps.extend(work.all(steps));
        end
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
        match self.scene.patiently(|patience| self.folder.roll_back(database, patience)) {
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
    fn all(&self, mut steps: Vec<Step>) -> Vec<(Step, Outcome)> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; steps.len()];
        let released = self.release(&steps, &mut outcomes);
        // First what may fail: a try must not be counted where the claim cannot go.
        let mut clearing = self.begin_clearing(&steps, &released, &mut outcomes);
        let released = released.and(clearing.as_ref().map(|_| ()).map_err(Clone::clone));
        let planned = self.change(&steps, &released, &mut outcomes);
        if planned.is_ok() && part_claims(&mut steps, &mut outcomes) {
            // Those that were being removed are too many: they stay, and it is begun again.
            drop(clearing);
            clearing = self.begin_clearing(&steps, &released, &mut outcomes);
        }
        let planned = clear(&steps, clearing, released.and(planned), &mut outcomes);
        for (step, outcome) in steps.iter().zip(&mut outcomes) {
            match (&step.action, &planned) {
                (Action::Wake { .. }, Err(why)) => *outcome = Some(why.clone()),
                // Waking comes when everything else is done.
                (Action::Park { .. }, _) | (Action::Wake { .. }, Ok(())) => *outcome = Some(Outcome::Done),
                _ => {}
            }
        }
        let left = || Outcome::Left("it was not come to".to_owned());
        steps.into_iter().zip(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(left))).collect()
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

    /// Makes the changes in `inbound.db`. Those of claimed messages are made only where nobody works on them any more. An error
    /// is what becomes of every step that is for nothing without them.
    fn change(
        &self,
        steps: &[Step],
        released: &Result<(), Outcome>,
        outcomes: &mut [Option<Outcome>],
    ) -> Result<(), Outcome> {
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
            return Ok(());
        }
        let scene = self.scene;
        let path = self.folder.database(INBOUND);
        // While claims are being removed, a container that has just started waits for that.
        let most = if claims_of(steps, outcomes).is_some() { LONGEST_HOLD } else { Duration::MAX };
        match scene.patiently(|patience| inbound::change(&path, patience.min(most), &changes, scene.rules().now)) {
            Ok(made) => {
                for (place, made) in places.into_iter().zip(made) {
                    outcomes[place] = Some(match made {
                        Ok(true) => Outcome::Done,
                        Ok(false) => Outcome::Changed("it changed meanwhile".to_owned()),
                        Err(trouble) => failed(INBOUND, &trouble),
                    });
                }
                Ok(())
            }
            Err(trouble) => {
                for place in places {
                    outcomes[place] = Some(failed(INBOUND, &trouble));
                }
                Err(unplanned())
            }
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
        let Some((place, claims)) = claims_of(steps, outcomes) else { return Ok(None) };
        if let Err(outcome) = released {
            outcomes[place] = Some(outcome.clone());
            return Ok(None);
        }
        let path = self.folder.database(OUTBOUND);
        let begun = self.scene.patiently(|patience| Clearing::begin(&path, patience, claims));
        begun.map(Some).map_err(|trouble| {
            outcomes[place] = Some(failed(OUTBOUND, &trouble));
            uncleared()
        })
    }
}

fn failed(database: &str, trouble: &Trouble) -> Outcome {
    Outcome::Failed(format!("{database} {trouble}"))
}

fn unplanned() -> Outcome {
    Outcome::Left("its messages could not be planned".to_owned())
}

fn uncleared() -> Outcome {
    Outcome::Left("the claims on its messages cannot be removed".to_owned())
}

/// Removes the claims, once what was claimed is planned anew.
fn clear(
    steps: &[Step],
    clearing: Result<Option<Clearing>, Outcome>,
    planned: Result<(), Outcome>,
    outcomes: &mut [Option<Outcome>],
) -> Result<(), Outcome> {
    let (Some((place, _)), Ok(Some(clearing))) = (claims_of(steps, outcomes), clearing) else { return planned };
    let cleared = planned.and_then(|()| match clearing.end() {
        Ok(0) => Ok(Outcome::Changed("they are not there any more".to_owned())),
        Ok(_) => Ok(Outcome::Done),
        Err(trouble) => Err(failed(OUTBOUND, &trouble)),
    });
    outcomes[place] = Some(cleared.clone().unwrap_or_else(|outcome| outcome));
    cleared.map(|_| ()).map_err(|outcome| if outcome.is_trouble() { uncleared() } else { outcome })
}

/// Takes the claims on messages of which each by itself could not be planned into a step of their own, which is left. Yields
/// whether there are any.
fn part_claims(steps: &mut Vec<Step>, outcomes: &mut Vec<Option<Outcome>>) -> bool {
    let is_failed = |(step, outcome): &(&Step, &Option<Outcome>)| {
        step.action.needs_death() && matches!(outcome, Some(Outcome::Failed(_)))
    };
    let failed = steps.iter().zip(&*outcomes).filter(is_failed).filter_map(|(step, _)| step.action.message());
    let failed: FxHashSet<&str> = failed.collect();
    let Some((place, claims)) = claims_of(steps, outcomes).filter(|_| !failed.is_empty()) else { return false };
    let (kept, planned): (Vec<_>, Vec<_>) =
        claims.iter().cloned().partition(|(message, _)| failed.contains(&**message));
    if planned.is_empty() {
        outcomes[place] = Some(unplanned());
        return true;
    }
    let reason = steps[place].reason.clone();
    steps[place].action = Action::ClearClaims { claims: planned };
    steps.insert(place + 1, Step { action: Action::ClearClaims { claims: kept }, reason });
    outcomes.insert(place + 1, Some(unplanned()));
    true
}

/// The claims that are to be removed, and which step that is, where nothing became of it yet.
fn claims_of<'s>(steps: &'s [Step], outcomes: &[Option<Outcome>]) -> Option<(usize, &'s [(String, String)])> {
    steps.iter().enumerate().find_map(|(place, step)| match &step.action {
        Action::ClearClaims { claims } if outcomes[place].is_none() => Some((place, claims.as_slice())),
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

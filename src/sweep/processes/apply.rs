//! Does what a plan says: ends what was left behind, then removes the records of sessions that are over.

use std::time::{Duration, Instant};

use super::plan::{Item, Plan, RecordItem};
use super::survey::Scene;
use crate::interrupt;
use crate::policy::orphan::Verdict;
use crate::processes::records::{HeldRecords, Removal};
use crate::processes::terminate::{End, end_tree};

/// What was seen longer ago is looked at again before anybody is ended by it.
const FRESH: Duration = Duration::from_millis(200);

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// One per orphan of the plan, in its order.
    pub(crate) ends: Vec<TreeEnd>,
    /// One per record that was to go.
    pub(crate) removals: Vec<RecordEnd>,
    /// What could not be looked at when it was looked again.
    pub(crate) problems: Vec<String>,
}

/// What became of an orphan and of what it started.
#[derive(Debug)]
pub(crate) struct TreeEnd {
    pub(crate) item: Item,
    pub(crate) outcome: Outcome,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing was sent to any of them, for this reason.
    Refused(String),
    /// What became of each, in the order of [`Item::all`].
    Done(Vec<End>),
}

/// What became of a record.
#[derive(Debug)]
pub(crate) struct RecordEnd {
    pub(crate) session: String,
    pub(crate) result: Result<Removal, String>,
}

impl Applied {
    /// How many trees are gone for certain.
    pub(crate) fn ended(&self) -> usize {
        self.ends.iter().filter(|end| end.is_gone()).count()
    }

    /// How many were left alone or still run.
    pub(crate) fn left(&self) -> usize {
        self.ends.len() - self.ended()
    }

    /// How many processes ended by a signal of this run.
    pub(crate) fn processes_ended(&self) -> usize {
        let by_us = |end: &&End| matches!(end, End::Terminated | End::Killed);
        self.ends.iter().map(|tree| tree.ends().iter().filter(by_us).count()).sum()
    }

    /// The memory that they had, in bytes.
    pub(crate) fn freed(&self) -> u64 {
        let of_tree = |tree: &TreeEnd| -> u64 {
            let ended =
                tree.item.all().zip(tree.ends()).filter(|(_, end)| matches!(end, End::Terminated | End::Killed));
            ended.filter_map(|(process, _)| process.own_memory).sum()
        };
        self.ends.iter().map(of_tree).sum()
    }

    /// How many records are gone.
    pub(crate) fn records_removed(&self) -> usize {
        self.removals.iter().filter(|removal| removal.is_gone()).count()
    }

    /// Whether all was done that was to be done.
    pub(crate) fn is_complete(&self) -> bool {
        self.left() == 0 && self.problems.is_empty() && self.removals.iter().all(RecordEnd::is_gone)
    }
}

impl TreeEnd {
    /// What became of each, as far as anything was sent.
    pub(crate) fn ends(&self) -> &[End] {
        match &self.outcome {
            Outcome::Refused(_) => &[],
            Outcome::Done(ends) => ends,
        }
    }

    /// Whether none of them runs any more.
    pub(crate) fn is_gone(&self) -> bool {
        match &self.outcome {
            Outcome::Refused(_) => false,
            Outcome::Done(ends) => ends.iter().all(|end| matches!(end, End::Terminated | End::Killed | End::Before)),
        }
    }
}

impl RecordEnd {
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.result, Ok(Removal::Gone | Removal::FolderStays(_)))
    }
}

/// Ends the orphans of `shown`, at most `max` of them, each with what it started. All of it is looked at and judged again
/// before: what is not orphaned any more is left alone.
///
/// # Errors
/// /proc cannot be read.
pub(crate) fn end_orphans(shown: &Plan, scene: &Scene<'_>, max: usize, grace: Duration) -> std::io::Result<Applied> {
    let (mut fresh, mut looked) = (Plan::make(scene)?, Instant::now());
    let mut applied = Applied { problems: fresh.problems.clone(), ..Applied::default() };
    let mut sent = 0;
    for item in shown.orphans() {
        if interrupt::asked() {
            let outcome = Outcome::Refused(interrupt::LEFT.to_owned());
            applied.ends.push(TreeEnd { item: item.clone(), outcome });
            continue;
        }
        if looked.elapsed() > FRESH {
            match Plan::make(scene) {
                Ok(plan) => (fresh, looked) = (plan, Instant::now()),
                // Those before were ended, and are told; nobody is ended by an old look.
                Err(error) => {
                    let outcome = Outcome::Refused(format!("it cannot be looked at again: {error}"));
                    applied.ends.push(TreeEnd { item: item.clone(), outcome });
                    continue;
                }
            }
        }
        let is_same = |other: &&Item| {
            other.process.pid == item.process.pid && other.process.start_ticks == item.process.start_ticks
        };
        let now = fresh.processes.iter().find(is_same);
        let outcome = match now {
            None => match scene.proc.start_ticks(item.process.pid) {
                Ok(Some(start)) if start == item.process.start_ticks => {
                    Outcome::Refused("it does not look like a CLI's any more".to_owned())
                }
                Ok(_) => Outcome::Done(vec![End::Before; item.all().count()]),
                Err(error) => Outcome::Refused(format!("it cannot be looked at again: {error}")),
            },
            Some(now) if now.judgement.verdict != Verdict::Orphaned => {
                let why = now.judgement.reasons.first().map_or("", |reason| reason.text.as_str());
                Outcome::Refused(format!("it is {} by now: {why}", now.judgement.verdict.name()))
            }
            Some(_) if sent >= max => {
                Outcome::Refused(format!("one run ends {max} at most; run it again, or allow more with --max"))
            }
            Some(now) => match now.targets(scene.here.user) {
                Err(why) => Outcome::Refused(why),
                Ok(targets) => {
                    sent += 1;
                    of_ends(end_tree(scene.proc, &targets, grace))
                }
            },
        };
        applied.ends.push(TreeEnd { item: now.unwrap_or(item).clone(), outcome });
    }
    Ok(applied)
}

/// A tree of which nobody was sent anything was refused as a whole.
fn of_ends(ends: Vec<End>) -> Outcome {
    match ends.last() {
        Some(End::Refused(why)) if ends.iter().all(|end| matches!(end, End::Refused(_))) => {
            Outcome::Refused(why.clone())
        }
        _ => Outcome::Done(ends),
    }
}

/// Removes the records that go by `shown`, now that the orphans have ended: looked at again, and judged by what is left.
///
/// # Errors
/// /proc cannot be read.
pub(crate) fn remove_records(
    shown: &Plan,
    scene: &Scene<'_>,
    held: &HeldRecords<'_>,
    applied: &mut Applied,
) -> std::io::Result<()> {
    let was_to_go = |item: &&RecordItem| {
        shown.records.iter().any(|before| before.goes() && before.record.session_id == item.record.session_id)
    };
    let left = Plan::make(scene)?;
    for item in left.going_records().filter(was_to_go) {
        let session = item.record.session_id.as_str().to_owned();
        let result = if interrupt::asked() { Err(interrupt::LEFT.to_owned()) } else { held.remove(&item.record) };
        applied.removals.push(RecordEnd { session, result });
    }
    applied.problems.extend(held.tidy());
    Ok(())
}

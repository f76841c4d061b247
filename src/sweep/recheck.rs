//! The last look before mappings go: what the plan saw may be past by now.

use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;

use super::evidence::Evidence;
use super::plan::Plan;
use super::transcripts;

/// What was looked at less than this ago needs no second look.
const FRESH: Duration = Duration::from_millis(50);
/// Longer ago than this, a session may have been taken up in any way; before, its transcript's time tells.
const RECENT: Duration = Duration::from_secs(5);

/// Looks again at what a plan removes, as often as time has passed.
pub(super) struct Recheck<'p> {
    plan: &'p Plan<'p>,
    /// When the last look began.
    looked: Instant,
    /// Since then somebody else had the lock.
    waited: bool,
    alive: FxHashSet<u32>,
    /// What could not be looked at again.
    pub(super) problems: Vec<String>,
}

impl<'p> Recheck<'p> {
    /// For a plan whose lock took so long.
    pub(super) fn new(plan: &'p Plan<'p>, waited: Duration) -> Self {
        Self {
            plan,
            looked: plan.evidence.begun,
            waited: waited >= FRESH,
            alive: FxHashSet::default(),
            problems: Vec::new(),
        }
    }

    /// Those of `doomed` that are in use again, or that cannot be told any more.
    pub(super) fn alive(&mut self, doomed: &[u32]) -> &FxHashSet<u32> {
        let (age, now) = (self.looked.elapsed(), Instant::now());
        if age >= FRESH {
            let again = if self.waited || age >= RECENT { self.look_again(doomed) } else { self.changed(doomed) };
            self.alive.extend(again);
            (self.looked, self.waited) = (now, false);
        }
        &self.alive
    }

    /// Whether this one is, its transcript looked at now.
    pub(super) fn is_alive_now(&self, index: u32) -> bool {
        self.alive.contains(&index) || !self.changed(&[index]).is_empty()
    }

    /// Those whose transcript is not as it was. What has none is told by a whole look alone.
    fn changed(&self, doomed: &[u32]) -> FxHashSet<u32> {
        let Some(idle_before) = self.plan.thresholds.idle_before(self.plan.now) else { return FxHashSet::default() };
        let unchanged = transcripts::unchanged(self.plan, doomed, idle_before);
        let has_file = |index: &u32| self.plan.evidence.place(self.plan.item_at(*index).finding).is_some();
        doomed.iter().copied().filter(|index| has_file(index) && !unchanged.contains(index)).collect()
    }

    /// The whole look once more, also at those that stay: whether a home is the right one shows in all.
    fn look_again(&mut self, doomed: &[u32]) -> FxHashSet<u32> {
        let plan = self.plan;
        let all: Vec<u32> = (0..plan.document.entries.len() as u32).collect();
        let again = Evidence::gather(plan.document, &all, plan.catalogue, plan.evidence.look);
        for problem in again.problems() {
            if !plan.evidence.problems().contains(problem) && !self.problems.contains(problem) {
                self.problems.push(problem.clone());
            }
        }
        let entry = |index: u32| plan.evidence.findings[index as usize].entry;
        let is_alive = |index: &u32| !plan.condemns(&again, &again.findings[entry(*index) as usize]);
        doomed.iter().copied().filter(is_alive).collect()
    }
}

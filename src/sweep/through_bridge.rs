//! Removes mappings by asking the bridge that keeps them, some at a time: look, bury, ask, look again.
//!
//! The lock is held while tombstones are written, and not while the bridge is asked: one that takes care takes the same
//! lock before it changes its file. A tombstone is taken out again only where it is certain that its mapping stays: what
//! a bridge was asked and did not answer it may still do.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustc_hash::FxHashSet;

use super::apply::{Applied, How, still_there, tombstone};
use super::plan::Plan;
use super::recheck::Recheck;
use super::transcripts;
use crate::filesystem::LockPolicy;
use crate::interrupt;
use crate::session_map::bridge::{Bridge, BridgeError, Progress, Removal};
use crate::session_map::{Held, MapError, SessionMap};

/// No more are removed between two looks at the bridge's list…
const BATCH: usize = 128;
/// …and no longer: a chat that gets another session in between loses that mapping. Each look costs the bridge its list.
const LONGEST_BATCH: Duration = Duration::from_secs(1);
/// The lock that was given back for a batch is waited for so long at least: half-done is worse than late.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is removed, and how.
pub(super) struct Removing<'r, 'p> {
    pub(super) plan: &'p Plan<'p>,
    pub(super) map: &'r SessionMap,
    pub(super) bridge: &'r Bridge,
    /// Indexes of findings, in the map's order.
    pub(super) doomed: &'r [u32],
    pub(super) how: &'r How<'r>,
}

/// What became of a part of the doomed; the numbers are places among them.
#[derive(Default)]
struct Batch {
    /// Buried, in order.
    chosen: Vec<u32>,
    /// How many of those were dealt with; the rest comes with the next batch.
    done: usize,
    /// Used meanwhile, and therefore not asked for.
    spared: FxHashSet<u32>,
    /// The bridge answered that they stay.
    refused: FxHashSet<u32>,
    /// The bridge was asked and gave no answer.
    unanswered: Option<u32>,
    failure: Option<BridgeError>,
}

impl<'r> Removing<'r, '_> {
    /// Removes them. What stopped that half-way is in the result; the lock is given back, held again if it could be had.
    pub(super) fn run(&self, held: Held<'r>, recheck: &mut Recheck<'_>) -> (Applied, Option<Held<'r>>) {
        let mut applied = Applied::default();
        let mut refusals = Vec::new();
        let mut held = Some(held);
        applied.failure = self.batches(&mut held, recheck, &mut applied, &mut refusals).err();
        if let Some(first) = refusals.first() {
            applied.problems.push(match refusals.len() {
                1 => format!("the bridge was asked to remove a mapping that stays: {first}"),
                count => format!("the bridge was asked to remove {count} mappings that stay: {first}, and others"),
            });
        }
        (applied, held)
    }

    fn batches(
        &self,
        held: &mut Option<Held<'r>>,
        recheck: &mut Recheck<'_>,
        applied: &mut Applied,
        refusals: &mut Vec<String>,
    ) -> Result<()> {
        let folders = transcripts::working_folders(self.plan, self.doomed);
        let mut list = self.bridge.sessions()?;
        let mut next = 0;
        // The first batch was asked about by the caller.
        while next < self.doomed.len() && (next == 0 || !interrupt::asked()) {
            let places = next..self.doomed.len().min(next + BATCH);
            let mut batch =
                self.choose(&list, places.clone(), recheck).map_err(|error| error.after(progress(applied)))?;
            self.bury(&batch, &folders).map_err(|error| half_way(error, applied))?;
            *held = None;
            self.ask(&mut batch, recheck);
            let again = self.bridge.sessions();
            let wait = Some(self.how.lock.wait.unwrap_or_default().max(PATIENCE));
            let policy = LockPolicy { wait, in_an_item: true, ..self.how.lock };
            *held = Some(self.map.lock(policy).map_err(|error| half_way(error, applied))?);
            let listed = again.as_ref().ok().and_then(|text| self.listed(text, places.clone()).ok());
            let staying = batch.settle(listed.as_ref(), applied, refusals, |at| self.chat(at));
            self.unbury(&staying).map_err(|error| half_way(error, applied))?;
            let failure = batch.failure.take().map_or(Ok(()), Err);
            list = failure.and(again).map_err(|error| error.after(progress(applied)))?;
            applied.changed_meanwhile.extend(self.left(places.start, &batch).map(|at| self.entry(at)));
            next = batch.chosen.get(batch.done).map_or(places.end, |at| *at as usize);
        }
        if next < self.doomed.len() {
            applied.problems.push(format!("{} more mappings stay: {}", self.doomed.len() - next, interrupt::LEFT_REST));
        }
        Ok(())
    }

    /// Those of `places` that the bridge still lists as they were, and that nobody has used.
    fn choose(&self, list: &[u8], places: Range<usize>, recheck: &mut Recheck<'_>) -> Result<Batch, BridgeError> {
        let alive = recheck.alive(&self.doomed[places.start..]);
        let mut chosen: Vec<u32> = self.listed(list, places)?.into_iter().collect();
        chosen.retain(|at| !alive.contains(&self.doomed[*at as usize]));
        chosen.sort_unstable();
        Ok(Batch { chosen, ..Batch::default() })
    }

    /// Asks for one after the other, until the time for a batch is over or the bridge fails. A transcript is looked at
    /// once more right before.
    fn ask(&self, batch: &mut Batch, recheck: &Recheck<'_>) {
        let begun = Instant::now();
        for at in &batch.chosen {
            if batch.done > 0 && (begun.elapsed() > LONGEST_BATCH || interrupt::asked()) {
                return;
            }
            batch.done += 1;
            if recheck.is_alive_now(self.doomed[*at as usize]) {
                batch.spared.insert(*at);
                continue;
            }
            let entry = self.plan.item_at(self.doomed[*at as usize]).entry;
            match self.bridge.remove(entry.model.as_deref(), &entry.chat) {
                Ok(Removal::Gone) => {}
                Ok(Removal::Refused) => drop(batch.refused.insert(*at)),
                Err(error) => {
                    (batch.unanswered, batch.failure) = (Some(*at), Some(error));
                    return;
                }
            }
        }
    }

    fn bury(&self, batch: &Batch, folders: &[Option<std::sync::Arc<str>>]) -> Result<()> {
        let graves = batch.chosen.iter().map(|&at| {
            let item = self.plan.item_at(self.doomed[at as usize]);
            let grave = tombstone(self.plan, item, folders[at as usize].as_deref());
            crate::session_map::Tombstone { through_bridge: true, ..grave }
        });
        let mut pending = self.map.tombstones().append(graves)?;
        Ok(pending.sync()?)
    }

    /// Takes the tombstones that this run wrote for these out again.
    fn unbury(&self, staying: &FxHashSet<u32>) -> Result<(), MapError> {
        let entries = staying.iter().map(|at| self.plan.item_at(self.doomed[*at as usize]).entry);
        let chats: FxHashSet<_> = entries.map(|entry| (entry.model.as_deref(), entry.chat.as_ref())).collect();
        if chats.is_empty() {
            return Ok(());
        }
        let seconds = self.plan.now.timestamp();
        let tombstones = self.map.tombstones();
        let is_ours = |grave: &crate::session_map::Grave| {
            grave.pruned_at.timestamp() == seconds && chats.contains(&(grave.model.as_deref(), grave.chat.as_str()))
        };
        tombstones.clear(is_ours).map_err(MapError::Write)
    }

    /// Which of `places` the bridge lists in this text, unchanged.
    fn listed(&self, text: &[u8], places: Range<usize>) -> Result<FxHashSet<u32>, BridgeError> {
        let document = self.map.parse(text, self.how.is_model);
        let document = document.map_err(|error| self.bridge.not_a_map(&error.to_string()))?;
        let start = places.start as u32;
        let there = still_there(&document, self.plan, &self.doomed[places]);
        Ok(there.into_iter().map(|(_, at)| start + at).collect())
    }

    /// Those before the next batch that were not chosen: changed, gone or used before anybody was asked.
    fn left<'b>(&self, start: usize, batch: &'b Batch) -> impl Iterator<Item = u32> + 'b {
        let end = batch.chosen.get(batch.done).map_or(self.doomed.len().min(start + BATCH), |at| *at as usize);
        (start as u32..end as u32).filter(|at| batch.chosen.binary_search(at).is_err())
    }

    fn entry(&self, at: u32) -> u32 {
        self.plan.item_at(self.doomed[at as usize]).finding.entry
    }

    fn chat(&self, at: u32) -> (u32, String) {
        (self.entry(at), format!("chat `{}`", self.plan.item_at(self.doomed[at as usize]).entry.chat))
    }
}

impl Batch {
    /// Counts what became of each, given what is still listed (nothing where that could not be learned); yields those
    /// that are certain to stay.
    fn settle(
        &self,
        listed: Option<&FxHashSet<u32>>,
        applied: &mut Applied,
        refusals: &mut Vec<String>,
        chat: impl Fn(u32) -> (u32, String),
    ) -> FxHashSet<u32> {
        let (asked, not_reached) = self.chosen.split_at(self.done);
        let mut staying: FxHashSet<u32> = not_reached.iter().copied().collect();
        for at in asked {
            let is_listed = listed.map(|listed| listed.contains(at));
            let (entry, chat) = chat(*at);
            if self.spared.contains(at) {
                staying.insert(*at);
                applied.changed_meanwhile.insert(entry);
            } else if is_listed == Some(false) {
                applied.pruned += 1;
            } else if self.unanswered == Some(*at) || (is_listed.is_none() && !self.refused.contains(at)) {
                applied.unsure += 1;
                applied.changed_meanwhile.insert(entry);
            } else {
                staying.insert(*at);
                refusals.push(chat);
                applied.changed_meanwhile.insert(entry);
            }
        }
        staying
    }
}

fn progress(applied: &Applied) -> Progress {
    Progress { removed: applied.pruned, unsure: applied.unsure }
}

/// An error of ours in the middle, with how far it had come.
fn half_way(error: impl Into<anyhow::Error>, applied: &Applied) -> anyhow::Error {
    match progress(applied) {
        Progress { removed: 0, unsure: 0 } => error.into(),
        progress => error.into().context(progress.to_string()),
    }
}

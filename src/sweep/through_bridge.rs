//! Removes mappings by asking the bridge that keeps them, a few at a time: look, bury, ask, look again.
//!
//! The lock is held while tombstones are written, and not while the bridge is asked: one that takes care takes the same
//! lock before it changes its file.

use anyhow::Result;
use rustc_hash::FxHashSet;

use super::apply::{Applied, How, still_there, tombstone};
use super::plan::Plan;
use super::recheck::Recheck;
use super::transcripts;
use crate::policy::timestamp::Timestamp;
use crate::session_map::bridge::{Bridge, BridgeError, Removal};
use crate::session_map::{Grave, Held, MapError, SessionMap};

/// So many are removed between two looks at the bridge's list. A chat that is taken up in between loses its mapping, so
/// it is few; each look costs the bridge its whole list, so it is not one.
const BATCH: usize = 32;

/// Removes the mappings of these findings. The lock is given back, held again.
///
/// # Errors
/// The bridge fails. What was removed by then stays removed, each with its tombstone; what was not has none.
pub(super) fn remove<'m>(
    plan: &Plan<'_>,
    map: &'m SessionMap,
    bridge: &Bridge,
    doomed: &[u32],
    mut held: Held<'m>,
    recheck: &mut Recheck<'_>,
    how: &How<'_>,
) -> Result<(Applied, Held<'m>)> {
    let mut applied = Applied::default();
    let folders = transcripts::working_folders(plan, doomed);
    let entry = |at: u32| plan.item_at(doomed[at as usize]).finding.entry;
    // What of these the bridge still lists, unchanged: places among the doomed.
    let listed = |text: &[u8], wanted: &FxHashSet<u32>| -> Result<FxHashSet<u32>, BridgeError> {
        let document = map.parse(text, how.is_model).map_err(|error| bridge.not_a_map(&error.to_string()))?;
        let there = still_there(&document, plan, doomed).into_iter().map(|(_, at)| at);
        Ok(there.filter(|at| wanted.contains(at)).collect())
    };
    let places: Vec<u32> = (0..doomed.len() as u32).collect();
    let mut list = bridge.sessions()?;
    for batch in places.chunks(BATCH) {
        let alive = recheck.alive(doomed);
        let wanted = batch.iter().copied().filter(|at| !alive.contains(&doomed[*at as usize])).collect();
        let chosen = listed(&list, &wanted).map_err(|error| error.after(applied.pruned))?;
        let left = batch.iter().filter(|at| !chosen.contains(at)).map(|at| entry(*at));
        applied.changed_meanwhile.extend(left);
        let mut order: Vec<u32> = chosen.iter().copied().collect();
        order.sort_unstable();
        let graves = order.iter().map(|&at| {
            let item = plan.item_at(doomed[at as usize]);
            tombstone(plan, item, folders[at as usize].as_deref())
        });
        let mut pending = map.tombstones().append(graves)?;
        pending.sync()?;
        drop(held);
        let asked = ask(plan, bridge, doomed, &order, &mut applied.problems);
        let again = bridge.sessions();
        held = map.lock(how.lock)?;
        // Where even that cannot be told, the tombstones stay: one too many does no harm.
        let kept = again.as_ref().ok().and_then(|text| listed(text, &chosen).ok()).unwrap_or_default();
        unbury(plan, map, doomed, &kept)?;
        applied.changed_meanwhile.extend(kept.iter().map(|at| entry(*at)));
        applied.pruned += chosen.len() - kept.len();
        asked.and(again.map(|text| list = text)).map_err(|error| error.after(applied.pruned))?;
        if !kept.is_empty() {
            let kept = kept.len();
            applied
                .problems
                .push(format!("the bridge was asked to remove {kept} mappings that it still lists; they stay"));
        }
    }
    Ok((applied, held))
}

/// Asks for each; what the bridge refuses is no reason to stop.
fn ask(
    plan: &Plan<'_>,
    bridge: &Bridge,
    doomed: &[u32],
    order: &[u32],
    problems: &mut Vec<String>,
) -> Result<(), BridgeError> {
    for at in order {
        let entry = plan.item_at(doomed[*at as usize]).entry;
        if let Removal::Refused(why) = bridge.remove(entry.model.as_deref(), &entry.chat)? {
            problems.push(format!("the bridge refuses to remove chat `{}`: {why}", entry.chat));
        }
    }
    Ok(())
}

/// Takes the tombstones of this run out again where the mapping is still there.
fn unbury(plan: &Plan<'_>, map: &SessionMap, doomed: &[u32], kept: &FxHashSet<u32>) -> Result<(), MapError> {
    if kept.is_empty() {
        return Ok(());
    }
    let entry = |at: &u32| plan.item_at(doomed[*at as usize]).entry;
    let chats: FxHashSet<(Option<&str>, &str)> =
        kept.iter().map(entry).map(|entry| (entry.model.as_deref(), entry.chat.as_ref())).collect();
    let of_this_run = |grave: &Grave| Timestamp(grave.pruned_at).to_string() == Timestamp(plan.now).to_string();
    let is_of = |grave: &Grave| of_this_run(grave) && chats.contains(&(grave.model.as_deref(), grave.chat.as_str()));
    map.tombstones().clear(is_of).map_err(MapError::Write)
}

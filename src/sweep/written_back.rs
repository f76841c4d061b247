//! Mappings that were pruned and are in the map again although nobody used them: a bridge that has its map in memory
//! wrote that over the file.

use std::borrow::Cow;

use anyhow::Result;
use chrono::{DateTime, SubsecRound as _, Utc};
use rustc_hash::FxHashMap;

use super::plan::{Item, Plan};
use crate::session_map::{Former, Tombstones};

/// How often each mapping that the plan prunes has come back by now, by entry.
///
/// # Errors
/// There are tombstones, and they cannot be read.
pub(crate) fn written_back(plan: &Plan<'_>, tombstones: &Tombstones) -> Result<FxHashMap<u32, u32>> {
    let doomed = plan.doomed();
    if doomed.is_empty() || tombstones.bytes() == 0 {
        return Ok(FxHashMap::default());
    }
    let items = doomed.iter().map(|index| plan.item_at(*index));
    let items: FxHashMap<(Option<&str>, &str), Item<'_>> =
        items.map(|item| ((item.entry.model.as_deref(), item.entry.chat.as_ref()), item)).collect();
    let mut written_back = FxHashMap::default();
    tombstones.visit(|former| {
        let Some(item) = items.get(&(former.model.as_deref(), former.chat.as_ref())) else { return };
        // The last line of a chat counts.
        if is_unused_since(item, &former) {
            written_back.insert(item.finding.entry, former.written_back + 1);
        } else {
            written_back.remove(&item.finding.entry);
        }
    })?;
    Ok(written_back)
}

/// How many chats had come back, unused, more than once before they were pruned last.
///
/// # Errors
/// There are tombstones, and they cannot be read.
pub(crate) fn had_come_back(tombstones: &Tombstones) -> Result<usize> {
    let mut chats: FxHashMap<(Option<String>, String), bool> = FxHashMap::default();
    tombstones.visit(|former| {
        let chat = (former.model.map(Cow::into_owned), former.chat.into_owned());
        chats.insert(chat, former.written_back > 1);
    })?;
    Ok(chats.into_values().filter(|came_back| *came_back).count())
}

/// Whether this is the very mapping that was pruned then, with no activity since.
fn is_unused_since(item: &Item<'_>, former: &Former<'_>) -> bool {
    let seconds = |time: DateTime<Utc>| time.trunc_subsecs(0);
    let activity = item.verdict.last_activity.map(|activity| seconds(activity.time));
    let came_by_itself = !former.through_bridge && former.restored_at.is_none();
    came_by_itself && *item.entry.session == *former.session && activity <= former.last_activity.map(seconds)
}

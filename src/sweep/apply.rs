//! Does what a plan says: tombstones first, then the map; whatever changed since the plan was made is left alone.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rustc_hash::{FxHashMap, FxHashSet};

use super::folders;
use super::plan::{Item, Plan};
use crate::filesystem::{Snapshot, walk};
use crate::policy::timestamp::Timestamp;
use crate::session_map::{Change, Document, Entry, LockPolicy, MapError, Memory, OldValue, SessionMap, Tombstone};

/// A plan whose look at the sessions began less than this ago is applied without a second look.
const STILL_FRESH: Duration = Duration::from_millis(50);

/// What became of the plan.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// How many mappings were removed.
    pub(crate) pruned: usize,
    /// Planned entries that were no longer there, or no longer the same, when the map was changed.
    pub(crate) changed_meanwhile: FxHashSet<u32>,
}

/// How to apply.
pub(crate) struct How<'h> {
    pub(crate) lock: LockPolicy<'h>,
    /// How long tombstones are kept; `None` for ever.
    pub(crate) tombstones: Option<Duration>,
    /// The state folder.
    pub(crate) state: &'h Path,
    pub(crate) is_model: &'h dyn Fn(&str) -> bool,
}

/// Removes what the plan prunes from the map that was read as `snapshot`, and remembers what is missing.
pub(crate) fn apply(
    plan: &Plan<'_>,
    map: &SessionMap,
    snapshot: Snapshot,
    memory: &mut Memory,
    how: &How<'_>,
) -> Result<Applied, MapError> {
    let items: Vec<Item<'_>> = plan.pruned().collect();
    let mut applied = Applied::default();
    let absences = plan.absences(memory);
    let mut remember = memory.update(absences);
    if !items.is_empty() {
        let folders = folders::of(plan, &items);
        let held = map.lock(how.lock)?;
        let buried_before = map.tombstones().bytes();
        // What was looked at some time ago, in a slow store or before a wait, may have been used since.
        let alive =
            if plan.evidence.begun.elapsed() < STILL_FRESH { FxHashSet::default() } else { used_since(plan, &items) };
        let planned = snapshot.shared_bytes();
        let changed = held.update(Some(snapshot), |bytes| {
            let same = std::ptr::eq(bytes, planned.as_slice());
            let mut removed: Vec<(usize, usize)> = if same {
                items.iter().enumerate().map(|(item, of)| (of.finding.entry as usize, item)).collect()
            } else {
                still_there(&map.parse(bytes, how.is_model)?, &items, plan.document)
            };
            removed.retain(|(_, item)| !alive.contains(item));
            let present: FxHashSet<usize> = removed.iter().map(|(_, item)| *item).collect();
            applied.pruned = removed.len();
            applied.changed_meanwhile =
                (0..items.len()).filter(|item| !present.contains(item)).map(|item| items[item].finding.entry).collect();
            if removed.is_empty() {
                return Ok(None);
            }
            let tombstones = removed.iter().map(|&(_, item)| tombstone(plan, &items[item], folders[item].as_deref()));
            let pending = map.tombstones().append(tombstones).map_err(MapError::Write)?;
            let entries = removed.iter().map(|(entry, _)| *entry);
            let edited =
                if same { plan.document.without(entries) } else { map.parse(bytes, how.is_model)?.without(entries) };
            Ok(Some(Change { edited, pending: Some(pending) }))
        })?;
        if changed {
            let added = map.tombstones().bytes().saturating_sub(buried_before);
            remember |= tidy(map, memory, added, plan.now, how);
        }
    } else if map.has_leftovers() {
        // What a killed run left goes under the lock; without it there is nothing to take the lock for.
        drop(map.lock(LockPolicy { wait: None, ..how.lock }));
    }
    if remember {
        // The mappings are pruned; that the memory could not be written costs a day's patience with missing ones.
        if let Err(error) = memory.store(how.state) {
            log::warn!("{error:#}");
        }
    }
    Ok(applied)
}

/// Items whose transcript was written to since the plan was made.
fn used_since(plan: &Plan<'_>, items: &[Item<'_>]) -> FxHashSet<usize> {
    let limit = plan.thresholds.idle.and_then(|idle| chrono::TimeDelta::from_std(idle).ok());
    let Some(idle_before) = limit.and_then(|limit| plan.now.checked_sub_signed(limit)) else {
        return FxHashSet::default();
    };
    let used = |item: &Item<'_>| {
        let path = plan.evidence.transcript(item.finding)?;
        let times = walk::file_times(rustix::fs::CWD, path.as_path()).ok()?;
        // Where its own records decided, the file's time was a lie before.
        Some(times.modified > item.finding.modified.unwrap_or(idle_before))
    };
    (0..items.len()).filter(|&index| used(&items[index]).unwrap_or_default()).collect()
}

/// Tidies the tombstones once a day, and when they have grown out of proportion to what the last tidying left or, where
/// nothing is remembered of one, to what this run added.
fn tidy(map: &SessionMap, memory: &mut Memory, added: u64, now: chrono::DateTime<chrono::Utc>, how: &How<'_>) -> bool {
    let tombstones = map.tombstones();
    let due = memory.tidied_at.is_some_and(|last| now - last > chrono::TimeDelta::days(1) || last > now);
    if !due && !tombstones.is_overgrown(memory.tidied_bytes.max(added)) {
        if memory.tidied_at.is_some() {
            return false;
        }
        (memory.tidied_bytes, memory.tidied_at) = (tombstones.bytes(), Some(now));
        return true;
    }
    match tombstones.tidy(how.tombstones, now) {
        Ok(bytes) => {
            (memory.tidied_bytes, memory.tidied_at) = (bytes, Some(now));
            true
        }
        Err(error) => {
            log::warn!("{}: not tidied: {error:#}", tombstones.path().display());
            false
        }
    }
}

/// What makes a mapping the same one.
fn key<'e>(entry: &'e Entry<'_>) -> (Option<&'e str>, &'e str, &'e str) {
    (entry.model.as_deref(), &entry.chat, &entry.session)
}

/// The planned items that the map's present text still holds unchanged: (entry there, item).
fn still_there(now: &Document<'_>, items: &[Item<'_>], before: &Document<'_>) -> Vec<(usize, usize)> {
    let planned: FxHashMap<(Option<&str>, &str, &str), usize> =
        items.iter().enumerate().map(|(index, item)| (key(item.entry), index)).collect();
    let same = |(index, entry): (usize, &Entry<'_>)| {
        let item = *planned.get(&key(entry))?;
        let unchanged = now.value(entry) == before.value(items[item].entry);
        unchanged.then_some((index, item))
    };
    now.entries.iter().enumerate().filter_map(same).collect()
}

fn tombstone<'a>(plan: &'a Plan<'_>, item: &'a Item<'_>, cwd: Option<&'a str>) -> Tombstone<'a> {
    let value = plan.document.value(item.entry);
    Tombstone {
        model: item.entry.model.as_deref(),
        chat: &item.entry.chat,
        session: &item.entry.session,
        provider: plan.provider(item),
        transcript: plan.transcript(item).map(Cow::Owned),
        cwd,
        last_activity: item.last_activity(),
        pruned_at: Timestamp(plan.now),
        reason: item.verdict.state.name(),
        value: OldValue::of(value),
        place: Document::top_place(item.entry),
    }
}

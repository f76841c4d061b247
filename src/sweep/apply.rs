//! Does what a plan says: tombstones first, then the map; whatever changed since the plan was made is left alone.

use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, Utc};
use rustc_hash::{FxHashMap, FxHashSet};

use super::plan::{Item, Plan};
use super::recheck::Recheck;
use super::through_bridge::Removing;
use super::transcripts;
use crate::filesystem::{LockPolicy, Snapshot};
use crate::interrupt;
use crate::policy::timestamp::Timestamp;
use crate::session_map::bridge::Bridge;
use crate::session_map::{Change, Document, Entry, Held, MapError, Memory, OldValue, SessionMap, Tidied, Tombstone};

/// What became of the plan.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// How many mappings were removed.
    pub(crate) pruned: usize,
    /// Planned entries that were no longer there, or no longer the same, when the map was changed.
    pub(crate) changed_meanwhile: FxHashSet<u32>,
    /// What could not be looked at again before the map was changed.
    pub(crate) problems: Vec<String>,
    /// Of how many it is not known whether the bridge removed them.
    pub(crate) unsure: usize,
    /// What stopped the run half-way, if something did.
    pub(crate) failure: Option<anyhow::Error>,
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

/// Who is told to remove mappings.
pub(crate) enum Keeper {
    /// The file, as it was read.
    File(Snapshot),
    /// The bridge itself.
    Bridge(Bridge),
}

/// Removes what the plan prunes, and remembers what is missing.
pub(crate) fn apply(
    plan: &Plan<'_>,
    map: &SessionMap,
    keeper: Keeper,
    memory: &Memory,
    how: &How<'_>,
) -> Result<Applied> {
    let doomed = plan.doomed();
    // The file is changed at once: it is one item.
    if !doomed.is_empty() && interrupt::asked() {
        let problems = vec![format!("{} mappings stay: {}", doomed.len(), interrupt::LEFT_REST)];
        return Ok(Applied { problems, ..Applied::default() });
    }
    let mut applied = Applied::default();
    let mut tidied = memory.tidied;
    if !doomed.is_empty() {
        require_folder(map)?;
        let asked = Instant::now();
        let held = map.lock(how.lock)?;
        let mut recheck = Recheck::new(plan, asked.elapsed());
        let buried_before = map.tombstones().bytes();
        let bridge;
        let held = match keeper {
            Keeper::File(snapshot) => {
                applied = from_file(plan, map, &held, snapshot, &doomed, &mut recheck, how)?;
                Some(held)
            }
            Keeper::Bridge(keeper) => {
                bridge = keeper;
                let removing = Removing { plan, map, bridge: &bridge, doomed: &doomed, how };
                let (removed, held) = removing.run(held, &mut recheck);
                applied = removed;
                held
            }
        };
        applied.problems.append(&mut recheck.problems);
        if applied.pruned > 0 && held.is_some() {
            let added = map.tombstones().bytes().saturating_sub(buried_before);
            tidied = tidy(map, tidied, added, plan.now, how);
        }
    } else if map.has_leftovers() {
        // What a killed run left goes under the lock; without it there is nothing to take the lock for.
        drop(map.lock(LockPolicy { wait: None, ..how.lock }));
    }
    if let Some(next) = memory.next(plan.absences(memory), tidied) {
        // The mappings are pruned; that the memory could not be written costs a day's patience with missing ones.
        if let Err(error) = next.store(how.state) {
            log::warn!("{error:#}");
        }
    }
    Ok(applied)
}

/// A bridge may run without its file; what is noted of removed mappings needs the folder all the same.
fn require_folder(map: &SessionMap) -> Result<()> {
    let folder = map.path().parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    anyhow::ensure!(
        folder.is_dir(),
        "there is no folder {}: tombstones are kept in it, beside the map; make it, or name the right one with --dir or \
         map.dir; nothing was written",
        folder.display()
    );
    Ok(())
}

/// Removes these findings' mappings from the file that was read as `snapshot`.
fn from_file(
    plan: &Plan<'_>,
    map: &SessionMap,
    held: &Held<'_>,
    snapshot: Snapshot,
    doomed: &[u32],
    recheck: &mut Recheck<'_>,
    how: &How<'_>,
) -> Result<Applied, MapError> {
    let mut applied = Applied::default();
    let folders = transcripts::working_folders(plan, doomed);
    let planned = snapshot.shared_bytes();
    held.update(Some(snapshot), |bytes| {
        let same = std::ptr::eq(bytes, planned.as_slice());
        let mut removed: Vec<(u32, u32)> = if same {
            doomed.iter().zip(0..).map(|(index, at)| (plan.item_at(*index).finding.entry, at)).collect()
        } else {
            still_there(&map.parse(bytes, how.is_model)?, plan, doomed)
        };
        let alive = recheck.alive(doomed);
        removed.retain(|(_, at)| !alive.contains(&doomed[*at as usize]));
        let present: FxHashSet<u32> = removed.iter().map(|(_, at)| *at).collect();
        let absent = doomed.iter().zip(0..).filter(|(_, at)| !present.contains(at));
        applied.changed_meanwhile = absent.map(|(index, _)| plan.item_at(*index).finding.entry).collect();
        applied.pruned = removed.len();
        if removed.is_empty() {
            return Ok(None);
        }
        let tombstones = removed.iter().map(|&(_, at)| {
            let item = plan.item_at(doomed[at as usize]);
            tombstone(plan, item, folders[at as usize].as_deref())
        });
        let pending = map.tombstones().append(tombstones).map_err(MapError::Write)?;
        let entries = removed.iter().map(|(entry, _)| *entry as usize);
        let edited =
            if same { plan.document.without(entries) } else { map.parse(bytes, how.is_model)?.without(entries) };
        Ok(Some(Change { edited, pending: Some(pending) }))
    })?;
    Ok(applied)
}

/// Tidies the tombstones once a day, and when they have grown out of proportion to what the last tidying left or, where
/// nothing is remembered of one, to what this run added.
fn tidy(map: &SessionMap, last: Tidied, added: u64, now: DateTime<Utc>, how: &How<'_>) -> Tidied {
    let tombstones = map.tombstones();
    let due = last.at.is_some_and(|last| now - last > chrono::TimeDelta::days(1) || last > now);
    if !due && !tombstones.is_overgrown(last.bytes.max(added)) {
        let first = Tidied { bytes: tombstones.bytes(), at: Some(now) };
        return if last.at.is_some() { last } else { first };
    }
    match tombstones.tidy(how.tombstones, now) {
        Ok(bytes) => Tidied { bytes, at: Some(now) },
        Err(error) => {
            log::warn!("{}: not tidied: {error:#}", tombstones.path().display());
            last
        }
    }
}

/// What makes a mapping the same one.
fn key<'e>(entry: &'e Entry<'_>) -> (Option<&'e str>, &'e str, &'e str) {
    (entry.model.as_deref(), &entry.chat, &entry.session)
}

/// The doomed mappings that the map's present text still holds unchanged: entry there, and place among the doomed.
pub(super) fn still_there(now: &Document<'_>, plan: &Plan<'_>, doomed: &[u32]) -> Vec<(u32, u32)> {
    let entry_of = |index: u32| plan.item_at(index).entry;
    let planned: FxHashMap<(Option<&str>, &str, &str), u32> =
        doomed.iter().zip(0..).map(|(index, at)| (key(entry_of(*index)), at)).collect();
    let same = |(entry, index): (&Entry<'_>, u32)| {
        let at = *planned.get(&key(entry))?;
        let unchanged = now.value(entry) == plan.document.value(entry_of(doomed[at as usize]));
        unchanged.then_some((index, at))
    };
    now.entries.iter().zip(0..).filter_map(same).collect()
}

/// What is written down before this item's mapping goes.
pub(super) fn tombstone<'a>(plan: &'a Plan<'_>, item: Item<'a>, cwd: Option<&'a str>) -> Tombstone<'a> {
    let value = plan.document.value(item.entry);
    Tombstone {
        model: item.entry.model.as_deref(),
        chat: &item.entry.chat,
        session: &item.entry.session,
        provider: plan.provider(&item),
        transcript: plan.transcript(&item).map(Cow::Owned),
        cwd,
        last_activity: item.last_activity(),
        pruned_at: Timestamp(plan.now),
        reason: item.verdict.state.name(),
        value: OldValue::of(value),
        place: Document::top_place(item.entry),
        written_back: plan.times_written_back(&item),
        through_bridge: false,
    }
}

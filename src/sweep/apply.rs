//! Does what a plan says: tombstones first, then the map; whatever changed since the plan was made is left alone.

use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::value::RawValue;

use super::evidence::path_text;
use super::plan::{Item, Plan};
use crate::filesystem::{Snapshot, walk};
use crate::policy::timestamp::Timestamp;
use crate::providers::first_records::working_folder_at;
use crate::providers::row::WorkingFolder;
use crate::session_map::{Change, Document, LockPolicy, MapError, Memory, SessionMap, Tombstone};

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
    pub(crate) tombstones: Option<std::time::Duration>,
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
        let folders = working_folders(plan, &items);
        let held = map.lock(how.lock)?;
        let planned = snapshot.shared_bytes();
        let changed = held.update(Some(snapshot), |bytes| {
            let same = std::ptr::eq(bytes, planned.as_slice());
            let removed: Vec<(usize, usize)> = if same {
                items.iter().enumerate().map(|(item, of)| (of.finding.entry as usize, item)).collect()
            } else {
                still_there(&map.parse(bytes, how.is_model)?, &items, plan.document)
            };
            let present: FxHashSet<usize> = removed.iter().map(|(_, item)| *item).collect();
            applied.pruned = removed.len();
            applied.changed_meanwhile =
                (0..items.len()).filter(|item| !present.contains(item)).map(|item| items[item].finding.entry).collect();
            if removed.is_empty() {
                return Ok(None);
            }
            let tombstones = removed.iter().map(|&(_, item)| tombstone(plan, &items[item], &folders[item]));
            let pending = map.tombstones().append(tombstones).map_err(MapError::Write)?;
            let entries = removed.iter().map(|(entry, _)| *entry);
            let edited = match same {
                true => plan.document.without(entries),
                false => map.parse(bytes, how.is_model)?.without(entries),
            };
            Ok(Some(Change { edited, pending: Some(pending) }))
        })?;
        if changed {
            remember |= tidy(map, memory, plan.now, how);
        }
    }
    if remember {
        // The mappings are pruned; that the memory could not be written costs a day's patience with missing ones.
        if let Err(error) = memory.store(how.state) {
            log::warn!("{error:#}");
        }
    }
    Ok(applied)
}

/// Tidies the tombstones once a day, and when they have grown out of proportion.
fn tidy(map: &SessionMap, memory: &mut Memory, now: chrono::DateTime<chrono::Utc>, how: &How<'_>) -> bool {
    let tombstones = map.tombstones();
    let due = memory.tidied_at.is_none_or(|last| now - last > chrono::TimeDelta::days(1) || last > now);
    let first = memory.tidied_at.is_none() && memory.tidied_bytes == 0;
    if !tombstones.is_overgrown(memory.tidied_bytes.max(1)) && (!due || first) {
        if first {
            memory.tidied_at = Some(now);
        }
        return first;
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

/// The planned items that the map's present text still holds unchanged: (entry there, item).
fn still_there(now: &Document<'_>, items: &[Item<'_>], before: &Document<'_>) -> Vec<(usize, usize)> {
    let planned: FxHashMap<(Option<&str>, &str), usize> = items
        .iter()
        .enumerate()
        .map(|(index, item)| ((item.entry.model.as_deref(), item.entry.chat.as_ref()), index))
        .collect();
    let same = |(index, entry): (usize, &crate::session_map::Entry<'_>)| {
        let item = *planned.get(&(entry.model.as_deref(), entry.chat.as_ref()))?;
        let unchanged =
            entry.session == items[item].entry.session && now.value(entry) == before.value(items[item].entry);
        unchanged.then_some((index, item))
    };
    now.entries.iter().enumerate().filter_map(same).collect()
}

fn tombstone<'a>(plan: &'a Plan<'_>, item: &'a Item<'_>, cwd: &'a Option<String>) -> Tombstone<'a> {
    let value = plan.document.value(item.entry);
    Tombstone {
        model: item.entry.model.as_deref(),
        chat: &item.entry.chat,
        session: &item.entry.session,
        provider: plan.provider(item),
        transcript: plan.transcript(item).map(Cow::Owned),
        cwd: cwd.as_deref(),
        last_activity: item.last_activity(),
        pruned_at: Timestamp(plan.now),
        reason: item.verdict.state.name(),
        value: if value.starts_with('{') { serde_json::from_str::<&RawValue>(value).ok() } else { None },
    }
}

/// The working folder of each item: from the map's entry, else from the provider's store. Read now, because it is
/// needed when the transcript may be gone.
fn working_folders(plan: &Plan<'_>, items: &[Item<'_>]) -> Vec<Option<String>> {
    let mut folders: Vec<Option<String>> =
        items.iter().map(|item| plan.document.cwd(item.entry).map(Cow::into_owned)).collect();
    // By folder, so that each is opened once.
    let mut order: Vec<usize> = (0..items.len())
        .filter(|&index| folders[index].is_none() && plan.evidence.place(items[index].finding).is_some())
        .collect();
    order.sort_by_key(|&index| {
        let finding = items[index].finding;
        (finding.provider, plan.evidence.place(finding).map(|(_, place)| place.folder()))
    });
    let next = AtomicUsize::new(0);
    const CHUNK: usize = 256;
    let read = || {
        let mut mine = Vec::new();
        let mut open: Option<((Option<u16>, u32), std::os::fd::OwnedFd)> = None;
        // Where one file speaks for a whole folder it is read once.
        let mut shared: Option<((Option<u16>, u32), Option<String>)> = None;
        loop {
            let start = next.fetch_add(CHUNK, Ordering::Relaxed);
            let Some(chunk) = order.get(start..(start + CHUNK).min(order.len())).filter(|chunk| !chunk.is_empty())
            else {
                return mine;
            };
            for &index in chunk {
                let finding = items[index].finding;
                let (Some((store, place)), Some(provider)) = (plan.evidence.place(finding), finding.provider) else {
                    continue;
                };
                let key = (finding.provider, place.folder());
                let rule = &plan.catalogue.get(usize::from(provider)).0.working_folder;
                let per_folder = matches!(rule, WorkingFolder::File(_));
                if let Some((_, known)) = shared.as_ref().filter(|(known, _)| per_folder && *known == key) {
                    mine.extend(known.clone().map(|folder| (index, folder)));
                    continue;
                }
                if open.as_ref().is_none_or(|(known, _)| *known != key) {
                    open = walk::open_folder_path(&store.folder(place)).ok().map(|folder| (key, folder));
                }
                let Some((_, folder)) = &open else { continue };
                let found = working_folder_at(rule, std::os::fd::AsFd::as_fd(folder), &store.name(place));
                let found = found.ok().flatten().map(|path| path_text(&path));
                if per_folder {
                    shared = Some((key, found.clone()));
                }
                mine.extend(found.map(|folder| (index, folder)));
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (order.len() / CHUNK).clamp(1, cores.min(8));
    let found = std::thread::scope(|scope| {
        let more: Vec<_> = (1..threads).map(|_| scope.spawn(read)).collect();
        let mut found = read();
        for handle in more {
            found.extend(handle.join().unwrap_or_default());
        }
        found
    });
    for (index, folder) in found {
        folders[index] = Some(folder);
    }
    folders
}

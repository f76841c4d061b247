//! A last look at the transcripts of sessions that are about to lose their mapping: folder by folder, each opened once.

use std::borrow::Cow;
use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustc_hash::FxHashSet;

use super::evidence::path_text;
use super::parallel;
use super::plan::Plan;
use crate::filesystem::walk;
use crate::providers::first_records::working_folder_at;
use crate::providers::index::Place;
use crate::providers::row::WorkingFolder;

/// How many transcripts a thread takes at a time.
const CHUNK: usize = 32;

/// The working folders of the findings `doomed` (indexes in the plan's evidence), in their order: from the map's entry,
/// else from the provider's database or store. Read now, because they are needed when the transcript may be gone.
pub(super) fn working_folders(plan: &Plan<'_>, doomed: &[u32]) -> Vec<Option<Arc<str>>> {
    let of_entry = |finding: &u32| {
        let item = plan.item_at(*finding);
        let of_database = || plan.evidence.folder(item.finding).map(|folder| path_text(folder.to_owned()));
        plan.document.cwd(item.entry).map(Cow::into_owned).or_else(of_database)
    };
    let mut folders: Vec<Option<Arc<str>>> = doomed.iter().map(|finding| of_entry(finding).map(Arc::from)).collect();
    let unknown = (0..doomed.len() as u32).filter(|at| folders[*at as usize].is_none());
    let found = visit(plan, doomed, unknown, |last: &mut Last, visit| Some((visit.at, last.folder_of(plan, &visit)?)));
    for (at, folder) in found {
        folders[at as usize] = Some(folder);
    }
    folders
}

/// Those of `doomed` whose transcript is as it was, and certain to be. Times before `idle_before` are; where records
/// decided, a file's time was a lie before and must be the same one now.
pub(super) fn unchanged(plan: &Plan<'_>, doomed: &[u32], idle_before: DateTime<Utc>) -> FxHashSet<u32> {
    let is_idle = |(): &mut (), visit: Visit<'_>| {
        let times = walk::file_times(visit.folder, visit.name).ok()?;
        let known = plan.evidence.file_time(plan.item_at(doomed[visit.at as usize]).finding).unwrap_or(idle_before);
        (times.modified <= known).then_some(visit.at)
    };
    visit(plan, doomed, 0..doomed.len() as u32, is_idle).into_iter().map(|at| doomed[at as usize]).collect()
}

/// A transcript in its open folder.
struct Visit<'v> {
    /// Its place among the doomed.
    at: u32,
    provider: u16,
    key: Key,
    folder: BorrowedFd<'v>,
    name: &'v CStr,
}

/// Provider and folder of a transcript.
type Key = (u16, u32);

/// Calls `work` for each of these that has a transcript (`wanted` are places in `doomed`).
fn visit<S: Default, T: Send>(
    plan: &Plan<'_>,
    doomed: &[u32],
    wanted: impl Iterator<Item = u32>,
    work: impl Fn(&mut S, Visit<'_>) -> Option<T> + Sync,
) -> Vec<T> {
    let finding = |at: u32| plan.item_at(doomed[at as usize]).finding;
    let mut places: Vec<(Key, u32, Place)> = wanted
        .filter_map(|at| {
            let (_, place) = plan.evidence.place(finding(at))?;
            Some(((finding(at).provider?, place.folder()), at, place))
        })
        .collect();
    places.sort_unstable_by_key(|(key, at, _)| (*key, *at));
    parallel::map(&places, CHUNK, |(open, state): &mut (Option<(Key, OwnedFd)>, S), &(key, at, place)| {
        let (store, _) = plan.evidence.place(finding(at))?;
        if open.as_ref().is_none_or(|(known, _)| *known != key) {
            *open = Some((key, walk::open_folder_path(&store.folder(place)).ok()?));
        }
        let folder = open.as_ref()?.1.as_fd();
        work(state, Visit { at, provider: key.0, key, folder, name: &store.name(place) })
    })
}

/// What the transcript before this one said.
#[derive(Default)]
struct Last {
    /// The same text is kept once: neighbours mostly agree.
    text: Option<Arc<str>>,
    /// What a file said that speaks for all sessions of a folder.
    shared: Option<(Key, Option<Arc<str>>)>,
}

impl Last {
    fn folder_of(&mut self, plan: &Plan<'_>, visit: &Visit<'_>) -> Option<Arc<str>> {
        let rule = &plan.catalogue.get(usize::from(visit.provider)).0.working_folder;
        if let (WorkingFolder::File(_), Some((key, folder))) = (rule, &self.shared)
            && *key == visit.key
        {
            return folder.clone();
        }
        let read = working_folder_at(rule, visit.folder, visit.name).ok().flatten().map(path_text);
        let folder = read.map(|text| match &self.text {
            Some(last) if **last == *text => Arc::clone(last),
            _ => Arc::from(text),
        });
        self.text = folder.clone().or(self.text.take());
        if matches!(rule, WorkingFolder::File(_)) {
            self.shared = Some((visit.key, folder.clone()));
        }
        folder
    }
}

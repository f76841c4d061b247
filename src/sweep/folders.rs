//! The working folder of each session that is about to lose its mapping: from the map's entry, else from the provider's
//! store. Read now, because it is needed when the transcript may be gone.

use std::borrow::Cow;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::evidence::{path_text, threads_for};
use super::plan::{Item, Plan};
use crate::filesystem::walk;
use crate::providers::first_records::working_folder_at;
use crate::providers::index::{Place, Store};
use crate::providers::row::WorkingFolder;

/// How many sessions a thread takes at a time.
const CHUNK: usize = 256;

/// The working folders of `items`, in their order.
pub(super) fn of(plan: &Plan<'_>, items: &[Item<'_>]) -> Vec<Option<String>> {
    let mut folders: Vec<Option<String>> =
        items.iter().map(|item| plan.document.cwd(item.entry).map(Cow::into_owned)).collect();
    let mut sought: Vec<Sought<'_>> = (0..items.len())
        .filter(|&index| folders[index].is_none())
        .filter_map(|index| {
            let (store, place) = plan.evidence.place(items[index].finding)?;
            let provider = items[index].finding.provider?;
            let rule = &plan.catalogue.get(usize::from(provider)).0.working_folder;
            Some(Sought { index, key: (provider, place.folder()), store, place, rule })
        })
        .collect();
    // By folder, so that each is opened once.
    sought.sort_by_key(|sought| sought.key);
    let next = AtomicUsize::new(0);
    let read = || {
        let mut reader = Reader::default();
        while let Some(chunk) = sought.chunks(CHUNK).nth(next.fetch_add(1, Ordering::Relaxed)) {
            for sought in chunk {
                reader.read(sought);
            }
        }
        reader.found
    };
    let threads = threads_for(sought.len() / CHUNK);
    let found = std::thread::scope(|scope| {
        let more: Vec<_> = (1..threads).map(|_| scope.spawn(read)).collect();
        let mut found = read();
        for handle in more {
            // A thread that died leaves folders unknown, which a tombstone may say.
            found.extend(handle.join().unwrap_or_default());
        }
        found
    });
    for (index, folder) in found {
        folders[index] = Some(folder);
    }
    folders
}

/// A session whose store has to be asked.
struct Sought<'p> {
    index: usize,
    /// Provider and folder of its transcript.
    key: (u16, u32),
    store: &'p Store,
    place: Place,
    rule: &'p WorkingFolder,
}

/// Reads one session after the other and keeps the folder at hand open.
#[derive(Default)]
struct Reader {
    open: Option<((u16, u32), OwnedFd)>,
    /// What the file said that speaks for all sessions of a folder.
    shared: Option<((u16, u32), Option<String>)>,
    found: Vec<(usize, String)>,
}

impl Reader {
    fn read(&mut self, sought: &Sought<'_>) {
        let per_folder = matches!(sought.rule, WorkingFolder::File(_));
        let known = self.shared.as_ref().filter(|(key, _)| per_folder && *key == sought.key);
        let folder = match known {
            Some((_, folder)) => folder.clone(),
            None => self.look(sought),
        };
        if per_folder {
            self.shared = Some((sought.key, folder.clone()));
        }
        self.found.extend(folder.map(|folder| (sought.index, folder)));
    }

    fn look(&mut self, sought: &Sought<'_>) -> Option<String> {
        if self.open.as_ref().is_none_or(|(key, _)| *key != sought.key) {
            let folder = walk::open_folder_path(&sought.store.folder(sought.place)).ok()?;
            self.open = Some((sought.key, folder));
        }
        let (_, folder) = self.open.as_ref()?;
        let path = working_folder_at(sought.rule, folder.as_fd(), &sought.store.name(sought.place)).ok()??;
        Some(path_text(path))
    }
}

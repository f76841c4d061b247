//! One walk over the providers' stores: id → transcript and time.
//!
//! What makes it fast, and what it therefore promises: each store is opened once and each folder listed at most once;
//! folders that cannot hold a transcript are never opened; a file that no mapping names is never touched; files are
//! asked for relative to their open folder; where few sessions are wanted in a large folder they are asked for by name
//! instead of listing it. Sub-agents are looked for only beside main transcripts that look idle.
//!
//! It never says that a session is not there when it could not look: see [`Store::problems`] and [`Store::narrowed`].

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::HashSet;
use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use rustc_hash::{FxHashMap, FxHashSet};

use super::pattern::Folder;
use super::query::{Beginnings, Query};
use super::scan::{Hit, HitKind, Scanner};
use super::tree::Tree;
use crate::filesystem::walk;
use crate::threads::{spawn_beside, useful};

/// A second thread costs more than it saves before this many folder entries were seen…
const ENTRIES_BEFORE_THREADS: usize = 1_200;
/// …and when less than this many folders are left for it.
const FOLDERS_PER_THREAD: usize = 8;

/// How far to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Depth {
    /// Look for sub-agents where the main transcript is older than this.
    pub(crate) subagents_before: DateTime<Utc>,
    /// Open every day folder, also those in which a UUIDv7 cannot have been made.
    pub(crate) all_days: bool,
}

/// One provider's store as found.
#[derive(Debug)]
pub(crate) struct Store {
    /// Per wanted id, in the query's order.
    pub(crate) found: Vec<Option<Found>>,
    /// Whether the store's folder is there.
    pub(crate) present: bool,
    /// Only the days that the ids name were opened.
    pub(crate) narrowed: bool,
    /// What could not be read, each as path and reason.
    pub(crate) problems: Vec<String>,
    /// Why the sub-agents of a session, by its index, could not all be looked at.
    pub(crate) doubts: FxHashMap<u32, String>,
    /// Every folder of the walk, by its whole path.
    folders: Arc<[PathBuf]>,
    /// The names that each thread of the walk found.
    names: Arc<[Vec<u8>]>,
    /// The newest sub-agent's file and its time, by id, where it was looked for.
    subagents: FxHashMap<u32, (Place, DateTime<Utc>)>,
    /// Further copies of transcripts: id, place, time.
    older: Vec<(u32, Place, DateTime<Utc>)>,
}

/// A session's files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// The newest copy of the transcript.
    pub(crate) transcript: Place,
    /// Its time of last change: the newest of all copies.
    pub(crate) modified: DateTime<Utc>,
}

/// A file in a [`Store`], to be turned into a path by [`Store::path`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    folder: u32,
    /// Which thread's names, and where among them its own begins and how long it is.
    list: u16,
    length: u16,
    name: u32,
}

/// One folder to look into.
pub(super) struct Job {
    pub(super) plan: usize,
    pub(super) node: usize,
    /// Relative to the provider's home.
    pub(super) path: PathBuf,
    /// The path has no component that came from a listing: if it is there, the store is there.
    pub(super) literal: bool,
    /// Year and month that the path names so far.
    date: (i32, u32),
}

/// A query with what the walk derives from it once.
pub(super) struct Plan<'a> {
    pub(super) query: &'a Query<'a>,
    pub(super) tree: Tree,
    pub(super) home: OwnedFd,
    pub(super) beginnings: Beginnings,
}

/// Looks for all wanted sessions; one [`Store`] per query, in order.
pub(crate) fn gather(queries: &[Query<'_>], depth: Depth) -> Vec<Store> {
    gather_beside(queries, depth, None::<fn()>).0
}

/// The same, and what `other` yields, which a second thread works out before it helps with the walk; nothing of it where
/// that thread died.
pub(crate) fn gather_beside<T: Send>(
    queries: &[Query<'_>],
    depth: Depth,
    other: Option<impl FnOnce() -> T + Send>,
) -> (Vec<Store>, Option<T>) {
    let mut stores: Vec<Store> = queries.iter().map(Store::empty).collect();
    let mut plans = Vec::new();
    let mut store_of = Vec::new();
    for (index, query) in queries.iter().enumerate() {
        if query.ids.is_empty() || query.provider.transcripts.is_empty() {
            continue;
        }
        match walk::open_folder_path(&query.home) {
            Ok(home) => {
                plans.push(Plan::new(query, home));
                store_of.push(index);
            }
            Err(error) if walk::means_absent(error) => {}
            Err(error) => stores[index].problems.push(format!("{}: {error}", query.home.display())),
        }
    }
    let mut scanner = Scanner::new(depth.subagents_before);
    let (jobs, leaves, narrowed) = inner_folders(&plans, depth.all_days, &mut scanner);
    for plan in narrowed {
        stores[store_of[plan]].narrowed = true;
    }
    let (scanners, other) = scan_leaves(&plans, &jobs, &leaves, scanner, other);
    let plan_of: Vec<usize> = jobs.iter().map(|job| job.plan).collect();
    let folders: Arc<[PathBuf]> = jobs.iter().map(|job| plans[job.plan].query.home.join(&job.path)).collect();
    let mut names = Vec::with_capacity(scanners.len());
    for (list, scanner) in scanners.into_iter().enumerate() {
        for hit in &scanner.hits {
            stores[store_of[plan_of[hit.folder as usize]]].add(hit, list as u16);
        }
        names.push(scanner.names);
        for plan in scanner.present {
            stores[store_of[plan]].present = true;
        }
        for (plan, problem) in scanner.problems {
            stores[store_of[plan]].problems.push(problem);
        }
        for (plan, id, why) in scanner.doubts {
            stores[store_of[plan]].doubts.insert(id, why);
        }
    }
    let names: Arc<[Vec<u8>]> = names.into();
    for store in &mut stores {
        (store.folders, store.names) = (Arc::clone(&folders), Arc::clone(&names));
        // Whichever thread met them first.
        store.problems.sort();
    }
    (stores, other)
}

/// Opens the folders that lead to others. Yields all folders, the indexes of those still to be scanned, and the plans
/// whose days were narrowed.
fn inner_folders(plans: &[Plan<'_>], all_days: bool, scanner: &mut Scanner) -> (Vec<Job>, Vec<usize>, HashSet<usize>) {
    let root = |plan| Job { plan, node: 0, path: PathBuf::new(), literal: true, date: (0, 0) };
    let mut jobs: Vec<Job> = (0..plans.len()).map(root).collect();
    // Per plan, the days that can hold its sessions: decided when the folders around the days have been looked at.
    let days: Vec<OnceCell<Option<HashSet<NaiveDate>>>> = vec![OnceCell::new(); plans.len()];
    let (mut leaves, mut narrowed) = (Vec::new(), HashSet::new());
    let mut next = 0;
    while next < jobs.len() {
        let plan = &plans[jobs[next].plan];
        let node = &plan.tree.nodes[jobs[next].node];
        if node.children.is_empty() {
            leaves.push(next);
        } else {
            let listed = if node.is_listed() { scanner.scan(plan, next, &jobs[next]) } else { Vec::new() };
            let literal = node.children.iter().filter(|(folder, _)| folder.is_literal());
            let passed = literal.map(|(folder, child)| (*child, PathBuf::from(folder.literal()), true));
            for (child, name, literal) in passed.chain(listed.into_iter().map(|(child, name)| (child, name, false))) {
                let folder = node.children.iter().find(|(_, node)| *node == child).map(|(folder, _)| folder);
                let is_dated = folder.is_some_and(Folder::is_dated) && !all_days;
                let days = is_dated.then(|| {
                    days[jobs[next].plan].get_or_init(|| {
                        let here = scanner.hits.iter().filter(|hit| jobs[hit.folder as usize].plan == jobs[next].plan);
                        let known: FxHashSet<u32> = here.map(|hit| hit.id).collect();
                        plan.query.possible_days(&|id| known.contains(&id))
                    })
                });
                match jobs[next].child(child, folder, &name, literal, days.and_then(Option::as_ref)) {
                    Some(job) => jobs.push(job),
                    None => {
                        narrowed.insert(jobs[next].plan);
                    }
                }
            }
        }
        next += 1;
    }
    (jobs, leaves, narrowed)
}

/// Scans the folders that hold transcripts: alone as long as there is little to see, then on several threads. A thread
/// that has something `other` to do first helps in any case.
fn scan_leaves<T: Send>(
    plans: &[Plan<'_>],
    jobs: &[Job],
    leaves: &[usize],
    mut first: Scanner,
    other: Option<impl FnOnce() -> T + Send>,
) -> (Vec<Scanner>, Option<T>) {
    let next = AtomicUsize::new(0);
    let scan_next = |scanner: &mut Scanner| match leaves.get(next.fetch_add(1, Ordering::Relaxed)) {
        Some(&index) => {
            scanner.scan(&plans[jobs[index].plan], index, &jobs[index]);
            true
        }
        None => false,
    };
    let before = first.subagents_before;
    let work = |mut scanner: Scanner| {
        while scan_next(&mut scanner) {}
        scanner
    };
    // A thread that died looked at folders whose result is lost: say so instead of calling sessions missing.
    let lost = || Scanner::lost(before, plans.len());
    std::thread::scope(|scope| {
        let helper = other.map(|other| spawn_beside(scope, || (other(), work(Scanner::new(before)))));
        while first.entries < ENTRIES_BEFORE_THREADS && scan_next(&mut first) {}
        let left = leaves.len().saturating_sub(next.load(Ordering::Relaxed));
        let busy = 1 + usize::from(helper.is_some());
        let more = busy..useful(left / FOLDERS_PER_THREAD);
        let more: Vec<_> = more.map(|_| spawn_beside(scope, || work(Scanner::new(before)))).collect();
        let mut scanners = vec![work(first)];
        scanners.extend(more.into_iter().map(|handle| handle.join().unwrap_or_else(|_| lost())));
        let (other, scanner) = match helper.map(ScopedJoinHandle::join) {
            Some(Ok((other, scanner))) => (Some(other), Some(scanner)),
            Some(Err(_)) => (None, Some(lost())),
            None => (None, None),
        };
        scanners.extend(scanner);
        (scanners, other)
    })
}

impl Place {
    /// A number that is the same for files of one folder.
    pub(crate) const fn folder(self) -> u32 {
        self.folder
    }
}

impl Store {
    fn empty(query: &Query<'_>) -> Self {
        Self {
            found: vec![None; query.ids.len()],
            present: false,
            narrowed: false,
            problems: Vec::new(),
            doubts: FxHashMap::default(),
            folders: Arc::new([]),
            names: Arc::new([]),
            subagents: FxHashMap::default(),
            older: Vec::new(),
        }
    }

    /// The whole path of a file.
    pub(crate) fn path(&self, place: Place) -> PathBuf {
        self.folders[place.folder as usize].join(OsStr::from_bytes(self.bytes(place)))
    }

    /// The folder that a file's name is relative to.
    pub(crate) fn folder(&self, place: Place) -> PathBuf {
        self.folders[place.folder as usize].clone()
    }

    /// A file's name, relative to its folder; it may lead through folders of its own.
    pub(crate) fn name(&self, place: Place) -> CString {
        CString::new(self.bytes(place)).unwrap_or_default()
    }

    fn bytes(&self, place: Place) -> &[u8] {
        &self.names[usize::from(place.list)][place.name as usize..][..usize::from(place.length)]
    }

    /// Forgets the times, which are needed only until findings are made of them; places stay.
    pub(crate) fn without_times(mut self) -> Self {
        self.found = Vec::new();
        self
    }

    /// The newest sub-agent's file of a session, and its time.
    pub(crate) fn subagent(&self, id: u32) -> Option<(Place, DateTime<Utc>)> {
        self.subagents.get(&id).copied()
    }

    /// Every copy of a session's transcript, the newest first.
    pub(crate) fn copies(&self, index: usize) -> Vec<(Place, DateTime<Utc>)> {
        let newest = self.found[index].map(|found| (found.transcript, found.modified));
        let older = self.older.iter().filter(|(id, ..)| *id as usize == index);
        newest.into_iter().chain(older.map(|&(_, place, modified)| (place, modified))).collect()
    }

    fn add(&mut self, hit: &Hit, list: u16) {
        let place = Place { folder: hit.folder, list, name: hit.name, length: hit.length };
        match (hit.kind, &mut self.found[hit.id as usize]) {
            (HitKind::Transcript, found @ None) => {
                *found = Some(Found { transcript: place, modified: hit.modified });
            }
            (HitKind::Transcript, Some(found)) if is_newer(hit, found) => {
                self.older.push((hit.id, found.transcript, found.modified));
                (found.transcript, found.modified) = (place, hit.modified);
            }
            (HitKind::Transcript, Some(_)) => self.older.push((hit.id, place, hit.modified)),
            (HitKind::Subagent, _) => {
                let newest = self.subagents.entry(hit.id).or_insert((place, hit.modified));
                if hit.modified > newest.1 {
                    *newest = (place, hit.modified);
                }
            }
        }
    }
}

/// Whether a copy is to be preferred; of equally new ones the first in the order of folders, whoever met it first.
fn is_newer(hit: &Hit, known: &Found) -> bool {
    (hit.modified, Reverse(hit.folder)) > (known.modified, Reverse(known.transcript.folder))
}

impl<'a> Plan<'a> {
    fn new(query: &'a Query<'a>, home: OwnedFd) -> Self {
        let tree = Tree::of(query.provider);
        let beginnings = Beginnings::new(query, &tree);
        Self { query, tree, home, beginnings }
    }
}

impl Job {
    /// The job for a folder below; `None` when no wanted session can be in it.
    fn child(
        &self,
        node: usize,
        folder: Option<&Folder>,
        name: &Path,
        literal: bool,
        days: Option<&HashSet<NaiveDate>>,
    ) -> Option<Self> {
        let number = || name.to_str().and_then(|text| text.parse::<u32>().ok()).unwrap_or_default();
        let (mut date, mut possible) = (self.date, true);
        match folder {
            Some(Folder::Year) => {
                date.0 = number() as i32;
                possible = days.is_none_or(|days| days.iter().any(|day| day.year() == date.0));
            }
            Some(Folder::Month) => {
                date.1 = number();
                possible = days.is_none_or(|days| days.iter().any(|day| (day.year(), day.month()) == date));
            }
            Some(Folder::Day) => {
                let day = NaiveDate::from_ymd_opt(date.0, date.1, number());
                possible = days.is_none_or(|days| day.is_none_or(|day| days.contains(&day)));
            }
            _ => {}
        }
        let literal = literal && self.literal;
        possible.then(|| Self { plan: self.plan, node, path: self.path.join(name), literal, date })
    }
}

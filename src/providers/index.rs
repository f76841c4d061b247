//! One walk over the providers' stores: id → transcript and time.
//!
//! What makes it fast, and what it therefore promises: each store is opened once and each folder listed at most once;
//! folders that cannot hold a transcript are never opened; a file that no mapping names is never touched; files are
//! asked for relative to their open folder; where few sessions are wanted in a large folder they are asked for by name
//! instead of listing it. Sub-agents are looked for only beside main transcripts that look idle.
//!
//! It never says that a session is not there when it could not look: see [`Store::problems`].

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::HashSet;
use std::collections::hash_map::Entry;
use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use rustc_hash::{FxHashMap, FxHashSet};

use super::query::{Beginnings, Query};
use super::scan::{Hit, HitKind, Scanner};
use super::tree::Tree;
use crate::filesystem::walk;
use crate::policy::path_pattern::Folder;
use crate::threads::{spawn_beside, useful};

/// A second thread costs more than it saves before this many folder entries were seen…
const ENTRIES_BEFORE_THREADS: usize = 1_200;
/// …and when less than this many folders are left for it.
const FOLDERS_PER_THREAD: usize = 8;

/// How far to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Depth {
    /// Look for sub-agents where the main transcript is older than this; `None` for all, where times are not believed.
    pub(crate) subagents_before: Option<DateTime<Utc>>,
}

/// One provider's store as found.
#[derive(Debug)]
pub(crate) struct Store {
    /// Per wanted id, in the query's order.
    pub(crate) found: Vec<Option<Found>>,
    /// Whether the store's folder is there.
    pub(crate) present: bool,
    /// What could not be read, each as path and reason.
    pub(crate) problems: Vec<String>,
    /// Why the sub-agents of a session, by its index, could not all be looked at.
    pub(crate) doubts: FxHashMap<u32, Arc<str>>,
    /// Those of the problems that hide sub-agents alone, and no copy of a session.
    pub(crate) of_subagents: FxHashSet<Arc<str>>,
    /// Every folder of the walk, by its whole path.
    folders: Arc<[PathBuf]>,
    /// The names that each thread of the walk found.
    names: Arc<[Vec<u8>]>,
    /// The newest sub-agent's file and its time, by id, where it was looked for.
    subagents: FxHashMap<u32, (Place, DateTime<Utc>)>,
    /// Further files of sub-agents, and further copies of transcripts, by id.
    further_subagents: FxHashMap<u32, Vec<Place>>,
    older: FxHashMap<u32, Vec<(Place, DateTime<Utc>)>>,
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
    gather_beside(queries, depth, None::<&fn()>).0
}

/// The same, and what `other` yields, which a second thread works out before it helps with the walk; nothing of it where
/// that thread died.
pub(crate) fn gather_beside<T: Send>(
    queries: &[Query<'_>],
    depth: Depth,
    other: Option<&(impl Fn() -> T + Sync)>,
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
    let mut folders = Folders::of(&plans);
    let leaves = folders.open_up(&plans, 0, &mut scanner);
    let (mut scanners, other) = scan_leaves(&plans, &folders.jobs, &leaves, scanner, other);
    if let Some(first) = folders.take_up_put_off(&plans, &scanners) {
        let mut scanner = Scanner::new(depth.subagents_before);
        let leaves = folders.open_up(&plans, first, &mut scanner);
        scanners.extend(scan_leaves(&plans, &folders.jobs, &leaves, scanner, None::<&fn()>).0);
    }
    let jobs = folders.jobs;
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
            stores[store_of[plan]].problems.push(problem.to_string());
        }
        for (plan, id, why) in scanner.doubts {
            stores[store_of[plan]].doubts.insert(id, why);
        }
        for (plan, problem) in scanner.of_subagents {
            stores[store_of[plan]].of_subagents.insert(problem);
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

/// The folders of a walk, in the order in which they are met.
struct Folders {
    jobs: Vec<Job>,
    /// Those of days in which no wanted session can have been begun.
    put_off: Vec<Job>,
    /// Per plan, the days that can hold its sessions: decided when the folders around the days have been looked at.
    days: Vec<OnceCell<Option<HashSet<NaiveDate>>>>,
}

impl Folders {
    /// The homes alone.
    fn of(plans: &[Plan<'_>]) -> Self {
        let root = |plan| Job { plan, node: 0, path: PathBuf::new(), literal: true, date: (0, 0) };
        let jobs = (0..plans.len()).map(root).collect();
        Self { jobs, put_off: Vec::new(), days: vec![OnceCell::new(); plans.len()] }
    }

    /// Opens the folders from `first` on that lead to others; yields those still to be scanned.
    fn open_up(&mut self, plans: &[Plan<'_>], first: usize, scanner: &mut Scanner) -> Vec<usize> {
        let mut leaves = Vec::new();
        let mut next = first;
        while next < self.jobs.len() {
            let plan = &plans[self.jobs[next].plan];
            let node = &plan.tree.nodes[self.jobs[next].node];
            if node.children.is_empty() {
                leaves.push(next);
            } else {
                let listed = if node.is_listed() { scanner.scan(plan, next, &self.jobs[next]) } else { Vec::new() };
                let literal = node.children.iter().filter(|(folder, _)| folder.is_literal());
                let passed = literal.map(|(folder, child)| (*child, PathBuf::from(folder.literal()), true));
                let listed = listed.into_iter().map(|(child, name)| (child, name, false));
                for (child, name, literal) in passed.chain(listed) {
                    self.add_child(plan, next, child, &name, literal, scanner);
                }
            }
            next += 1;
        }
        leaves
    }

    fn add_child(
        &mut self,
        plan: &Plan<'_>,
        parent: usize,
        node: usize,
        name: &Path,
        literal: bool,
        scanner: &Scanner,
    ) {
        let parent = &self.jobs[parent];
        let folder = plan.tree.folder_of(node);
        let job = parent.child(node, folder, name, literal);
        let is_possible = match folder.filter(|folder| folder.is_dated()) {
            Some(folder) => {
                let days = self.days[parent.plan].get_or_init(|| {
                    let here = scanner.hits.iter().filter(|hit| self.jobs[hit.folder as usize].plan == parent.plan);
                    let known: FxHashSet<u32> = here.map(|hit| hit.id).collect();
                    plan.query.possible_days(&|id| known.contains(&id))
                });
                days.as_ref().is_none_or(|days| job.can_hold(days, folder))
            }
            None => true,
        };
        if is_possible { self.jobs.push(job) } else { self.put_off.push(job) }
    }

    /// Where a session was found in none of the days that its id tells, it is looked for in all others, too: a clock may
    /// have been wrong. Yields the first of the folders that are to be opened for that.
    fn take_up_put_off(&mut self, plans: &[Plan<'_>], scanners: &[Scanner]) -> Option<usize> {
        if self.put_off.is_empty() {
            return None;
        }
        let mut found: Vec<FxHashSet<u32>> = vec![FxHashSet::default(); plans.len()];
        for hit in scanners.iter().flat_map(|scanner| &scanner.hits).filter(|hit| hit.kind == HitKind::Transcript) {
            found[self.jobs[hit.folder as usize].plan].insert(hit.id);
        }
        let all_found = |plan: usize| found[plan].len() == plans[plan].query.ids.len();
        let first = self.jobs.len();
        self.jobs.extend(std::mem::take(&mut self.put_off).into_iter().filter(|job| !all_found(job.plan)));
        self.days = vec![OnceCell::from(None); plans.len()];
        (self.jobs.len() > first).then_some(first)
    }
}

/// Scans the folders that hold transcripts: alone as long as there is little to see, then on several threads. A thread
/// that has something `other` to do first helps in any case.
fn scan_leaves<T: Send>(
    plans: &[Plan<'_>],
    jobs: &[Job],
    leaves: &[usize],
    mut first: Scanner,
    other: Option<&(impl Fn() -> T + Sync)>,
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
        let helper = other.and_then(|other| spawn_beside(scope, move || (other(), work(Scanner::new(before)))));
        while first.entries < ENTRIES_BEFORE_THREADS && scan_next(&mut first) {}
        let left = leaves.len().saturating_sub(next.load(Ordering::Relaxed));
        let busy = 1 + usize::from(helper.is_some());
        let more = busy..useful(left / FOLDERS_PER_THREAD);
        let more: Vec<_> = more.filter_map(|_| spawn_beside(scope, || work(Scanner::new(before)))).collect();
        let mut scanners = vec![work(first)];
        scanners.extend(more.into_iter().map(|handle| handle.join().unwrap_or_else(|_| lost())));
        let (other, scanner) = match helper.map(ScopedJoinHandle::join) {
            Some(Ok((other, scanner))) => (Some(other), Some(scanner)),
            Some(Err(_)) => (None, Some(lost())),
            None => (other.map(|other| other()), None),
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
            problems: Vec::new(),
            doubts: FxHashMap::default(),
            of_subagents: FxHashSet::default(),
            folders: Arc::new([]),
            names: Arc::new([]),
            subagents: FxHashMap::default(),
            further_subagents: FxHashMap::default(),
            older: FxHashMap::default(),
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

    /// Every file of a session's sub-agents that was looked at.
    pub(crate) fn subagents(&self, id: u32) -> impl Iterator<Item = Place> {
        let further = self.further_subagents.get(&id).into_iter().flatten().copied();
        self.subagent(id).map(|(place, _)| place).into_iter().chain(further)
    }

    /// Every copy of a session's transcript, the newest first.
    pub(crate) fn copies(&self, index: usize) -> Vec<(Place, DateTime<Utc>)> {
        let newest = self.found[index].map(|found| (found.transcript, found.modified));
        let older = self.older.get(&(index as u32)).into_iter().flatten().copied();
        let mut copies: Vec<_> = newest.into_iter().chain(older).collect();
        copies.sort_by_key(|(place, modified)| (Reverse(*modified), place.folder));
        copies
    }

    fn add(&mut self, hit: &Hit, list: u16) {
        let place = Place { folder: hit.folder, list, name: hit.name, length: hit.length };
        match (hit.kind, &mut self.found[hit.id as usize]) {
            (HitKind::Transcript, found @ None) => {
                *found = Some(Found { transcript: place, modified: hit.modified });
            }
            (HitKind::Transcript, Some(found)) if is_newer(hit, found) => {
                self.older.entry(hit.id).or_default().push((found.transcript, found.modified));
                (found.transcript, found.modified) = (place, hit.modified);
            }
            (HitKind::Transcript, Some(_)) => self.older.entry(hit.id).or_default().push((place, hit.modified)),
            (HitKind::Subagent, _) => {
                let further = match self.subagents.entry(hit.id) {
                    Entry::Vacant(free) => {
                        free.insert((place, hit.modified));
                        return;
                    }
                    Entry::Occupied(newest) if newest.get().1 >= hit.modified => place,
                    Entry::Occupied(mut newest) => newest.insert((place, hit.modified)).0,
                };
                self.further_subagents.entry(hit.id).or_default().push(further);
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
    /// The job for a folder below.
    fn child(&self, node: usize, folder: Option<&Folder>, name: &Path, literal: bool) -> Self {
        let number = || name.to_str().and_then(|text| text.parse::<u32>().ok()).unwrap_or_default();
        let date = match folder {
            Some(Folder::Year) => (number() as i32, 0),
            Some(Folder::Month) => (self.date.0, number()),
            _ => self.date,
        };
        Self { plan: self.plan, node, path: self.path.join(name), literal: literal && self.literal, date }
    }

    /// Whether one of these days can be in this folder, which is named by a part of a date.
    fn can_hold(&self, days: &HashSet<NaiveDate>, folder: &Folder) -> bool {
        let (year, month) = self.date;
        let number = || self.path.file_name()?.to_str()?.parse::<u32>().ok();
        match folder {
            Folder::Year => days.iter().any(|day| day.year() == year),
            Folder::Month => days.iter().any(|day| (day.year(), day.month()) == self.date),
            _ => {
                let day = number().and_then(|day| NaiveDate::from_ymd_opt(year, month, day));
                day.is_none_or(|day| days.contains(&day))
            }
        }
    }
}

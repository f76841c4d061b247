//! One walk over the providers' stores: id → transcript and time.
//!
//! What makes it fast, and what it therefore promises: each store is opened once and each folder listed at most once;
//! folders that cannot hold a transcript are never opened; a file that no mapping names is never touched; files are
//! asked for relative to their open folder; where few sessions are wanted in a large folder they are asked for by name
//! instead of listing it. Sub-agents are looked for only beside main transcripts that look idle.
//!
//! It never says that a session is not there when it could not look: see [`Store::problems`] and [`Store::narrowed`].

use std::collections::HashSet;
use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use rustc_hash::FxHashMap;

use super::Located;
use super::SessionId;
use super::pattern::{Folder, NamePattern};
use super::row::Provider;
use super::scan::{Hit, HitKind, Scanner};
use super::tree::Tree;
use crate::filesystem::walk;

/// A second thread costs more than it saves before this many folder entries were seen…
const ENTRIES_BEFORE_THREADS: usize = 1_200;
/// …and when less than this many folders are left for it.
const FOLDERS_PER_THREAD: usize = 8;
/// More threads than this do not pay even on a cold disk.
const MAX_THREADS: usize = 8;

/// What to look for in one provider's store.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    pub(crate) provider: &'a Provider,
    /// The provider's home on this machine.
    pub(crate) home: PathBuf,
    /// Where the signs of live processes are.
    pub(crate) live_home: PathBuf,
    /// The sessions wanted, each once.
    pub(crate) ids: Vec<SessionId<'a>>,
    /// Where each of them stands in `ids`.
    pub(super) by_id: FxHashMap<&'a [u8], u32>,
    /// The lengths that they have.
    id_lengths: Vec<usize>,
}

impl<'a> Query<'a> {
    /// Looks for nothing yet.
    pub(crate) fn new(row: &'a Located) -> Self {
        let (home, live_home) = (row.home.clone(), row.live_home.clone());
        Self {
            provider: &row.provider,
            home,
            live_home,
            ids: Vec::new(),
            by_id: FxHashMap::default(),
            id_lengths: Vec::new(),
        }
    }

    /// Wants `id`, too; yields its index.
    pub(crate) fn want(&mut self, id: SessionId<'a>) -> u32 {
        let bytes = id.as_str().as_bytes();
        *self.by_id.entry(bytes).or_insert_with(|| {
            self.ids.push(id);
            if !self.id_lengths.contains(&bytes.len()) {
                self.id_lengths.push(bytes.len());
            }
            self.ids.len() as u32 - 1
        })
    }

    /// Whether `text` is the id of a wanted session.
    pub(crate) fn wants(&self, text: &str) -> bool {
        self.by_id.contains_key(text.as_bytes())
    }

    /// The wanted session whose transcript can have this name.
    pub(crate) fn session_of(&self, name: &[u8]) -> Option<u32> {
        let rules = self.provider.transcripts.iter().filter_map(|pattern| pattern.name.as_ref());
        rules.filter(|rule| rule.characters.is_none()).find_map(|rule| self.id_in(rule, name))
    }

    /// The wanted session that `name` holds where `rule` expects it.
    #[inline]
    pub(super) fn id_in(&self, rule: &NamePattern, name: &[u8]) -> Option<u32> {
        self.id_lengths.iter().find_map(|length| self.by_id.get(rule.id_in(name, *length)?).copied())
    }
}

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
    names: Vec<u8>,
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
    name: u32,
    length: u32,
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
    /// Beginnings of ids, for names that hold only those → indexes.
    pub(super) by_prefix: FxHashMap<&'a [u8], Vec<u32>>,
    /// The days that can hold the wanted ids; `None` for all.
    days: Option<HashSet<NaiveDate>>,
}

/// Looks for all wanted sessions; one [`Store`] per query, in order.
pub(crate) fn gather(queries: &[Query<'_>], depth: Depth) -> Vec<Store> {
    let mut stores: Vec<Store> = queries.iter().map(Store::empty).collect();
    let mut plans = Vec::new();
    let mut store_of = Vec::new();
    for (index, query) in queries.iter().enumerate() {
        if query.ids.is_empty() || query.provider.transcripts.is_empty() {
            continue;
        }
        match walk::open_folder_path(&query.home) {
            Ok(home) => {
                plans.push(Plan::new(query, home, depth.all_days));
                store_of.push(index);
            }
            Err(error) if walk::means_absent(error) => {}
            Err(error) => stores[index].problems.push(format!("{}: {error}", query.home.display())),
        }
    }
    let mut scanner = Scanner::new(depth.subagents_before);
    let (jobs, leaves, narrowed) = inner_folders(&plans, &mut scanner);
    for plan in narrowed {
        stores[store_of[plan]].narrowed = true;
    }
    let scanners = scan_leaves(&plans, &jobs, &leaves, scanner);
    let plan_of: Vec<usize> = jobs.iter().map(|job| job.plan).collect();
    let folders: Arc<[PathBuf]> = jobs.iter().map(|job| plans[job.plan].query.home.join(&job.path)).collect();
    for store in &mut stores {
        store.folders = Arc::clone(&folders);
    }
    // A sub-agent's file may be found before its parent's.
    for kind in [HitKind::Transcript, HitKind::Subagent] {
        for scanner in &scanners {
            for hit in scanner.hits.iter().filter(|hit| hit.kind == kind) {
                stores[store_of[plan_of[hit.folder as usize]]].add(hit, scanner.name(hit));
            }
        }
    }
    for scanner in scanners {
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
    stores
}

/// Opens the folders that lead to others. Yields all folders, the indexes of those still to be scanned, and the plans
/// whose days were narrowed.
fn inner_folders(plans: &[Plan<'_>], scanner: &mut Scanner) -> (Vec<Job>, Vec<usize>, HashSet<usize>) {
    let root = |plan| Job { plan, node: 0, path: PathBuf::new(), literal: true, date: (0, 0) };
    let mut jobs: Vec<Job> = (0..plans.len()).map(root).collect();
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
                match jobs[next].child(child, folder, &name, literal, plan.days.as_ref()) {
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

/// Scans the folders that hold transcripts: alone as long as there is little to see, then on several threads.
fn scan_leaves(plans: &[Plan<'_>], jobs: &[Job], leaves: &[usize], mut first: Scanner) -> Vec<Scanner> {
    let next = AtomicUsize::new(0);
    let scan_next = |scanner: &mut Scanner| match leaves.get(next.fetch_add(1, Ordering::Relaxed)) {
        Some(&index) => {
            scanner.scan(&plans[jobs[index].plan], index, &jobs[index]);
            true
        }
        None => false,
    };
    while first.entries < ENTRIES_BEFORE_THREADS {
        if !scan_next(&mut first) {
            return vec![first];
        }
    }
    let left = leaves.len().saturating_sub(next.load(Ordering::Relaxed));
    let threads = match left / FOLDERS_PER_THREAD {
        0 | 1 => 1,
        most => std::thread::available_parallelism().map_or(1, usize::from).min(most).min(MAX_THREADS),
    };
    let before = first.subagents_before;
    let work = |mut scanner: Scanner| {
        while scan_next(&mut scanner) {}
        scanner
    };
    std::thread::scope(|scope| {
        let more: Vec<_> = (1..threads).map(|_| scope.spawn(|| work(Scanner::new(before)))).collect();
        let mut scanners = vec![work(first)];
        for handle in more {
            // A thread that died looked at folders whose result is lost: say so instead of calling sessions missing.
            scanners.push(handle.join().unwrap_or_else(|_| Scanner::lost(before, plans.len())));
        }
        scanners
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
            names: Vec::new(),
            subagents: FxHashMap::default(),
            older: Vec::new(),
        }
    }

    /// The whole path of a file.
    pub(crate) fn path(&self, place: Place) -> PathBuf {
        let name = &self.names[place.name as usize..(place.name + place.length) as usize];
        self.folders[place.folder as usize].join(OsStr::from_bytes(name))
    }

    /// The folder that a file's name is relative to.
    pub(crate) fn folder(&self, place: Place) -> PathBuf {
        self.folders[place.folder as usize].clone()
    }

    /// A file's name, relative to its folder; it may lead through folders of its own.
    pub(crate) fn name(&self, place: Place) -> CString {
        let name = &self.names[place.name as usize..(place.name + place.length) as usize];
        CString::new(name).unwrap_or_default()
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

    fn add(&mut self, hit: &Hit, name: &[u8]) {
        let place = Place { folder: hit.folder, name: self.names.len() as u32, length: name.len() as u32 };
        self.names.extend_from_slice(name);
        match (hit.kind, &mut self.found[hit.id as usize]) {
            (HitKind::Transcript, found @ None) => {
                *found = Some(Found { transcript: place, modified: hit.modified });
            }
            (HitKind::Transcript, Some(found)) if hit.modified > found.modified => {
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

impl<'a> Plan<'a> {
    fn new(query: &'a Query<'a>, home: OwnedFd, all_days: bool) -> Self {
        let tree = Tree::of(query.provider);
        let mut by_prefix: FxHashMap<&'a [u8], Vec<u32>> = FxHashMap::default();
        let prefixes: HashSet<usize> =
            tree.nodes.iter().flat_map(|node| &node.names).filter_map(|rule| rule.name.characters).collect();
        for (index, id) in query.ids.iter().enumerate() {
            let bytes = id.as_str().as_bytes();
            for prefix in prefixes.iter().filter_map(|length| bytes.get(..*length)) {
                by_prefix.entry(prefix).or_default().push(index as u32);
            }
        }
        let days = if all_days { None } else { possible_days(&query.ids) };
        Self { query, tree, home, by_prefix, days }
    }
}

/// The days in which these ids can have been made, when every id tells; a day more on each side for the time zone.
fn possible_days(ids: &[SessionId<'_>]) -> Option<HashSet<NaiveDate>> {
    let mut days = HashSet::new();
    for id in ids {
        let day = i32::try_from(id.uuid_v7_day()?).ok()?;
        for near in day - 1..=day + 1 {
            days.insert(NaiveDate::from_epoch_days(near)?);
        }
    }
    Some(days)
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

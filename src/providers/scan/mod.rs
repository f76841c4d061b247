//! One folder of a store: which wanted sessions have a file in it, and when that file last changed.

mod subagents;

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustix::fs::FileType;

use super::first_records::{Head, field_at_head};
use super::index::{Job, Plan};
use super::tree::{NameRule, Node};
use crate::filesystem::walk::{self, FileTimes, Lister};

/// A folder entry takes about this many bytes of the folder's own size.
const BYTES_PER_ENTRY: u64 = 60;
/// Asking for a name costs about as much as listing this many.
const ENTRIES_PER_PROBE: u64 = 3;
/// For so few sessions, asking for each by its whole path is cheaper than opening the folder first.
const FEW: usize = 4;

/// A file of a wanted session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    /// Index in the query's ids.
    pub(super) id: u32,
    /// Index in the walk's folders.
    pub(super) folder: u32,
    pub(super) kind: HitKind,
    pub(super) modified: DateTime<Utc>,
    /// Where its name begins among the scanner's, and how long it is.
    pub(super) name: u32,
    pub(super) length: u16,
}

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HitKind {
    Transcript,
    Subagent,
}

/// Scans folders one after the other and keeps what it finds; one per thread.
pub(super) struct Scanner {
    lister: Lister,
    /// The names of all hits, one after the other.
    pub(super) names: Vec<u8>,
    /// How many folder entries were seen, or asked for.
    pub(super) entries: usize,
    pub(super) hits: Vec<Hit>,
    /// Plans whose store's folder was opened.
    pub(super) present: Vec<usize>,
    /// What could not be read, by plan.
    pub(super) problems: Vec<(usize, Arc<str>)>,
    /// Sessions whose sub-agents could not all be looked at, by plan and id, with the reason.
    pub(super) doubts: Vec<(usize, u32, Arc<str>)>,
    /// Those of the problems that hide sub-agents alone.
    pub(super) of_subagents: Vec<(usize, Arc<str>)>,
    pub(super) subagents_before: Option<DateTime<Utc>>,
}

/// The folder at hand.
struct Here<'p, 'q> {
    plan: &'p Plan<'q>,
    node: &'p Node,
    job: &'p Job,
    index: u32,
    /// An open folder, and the way from there: nothing, or a path that ends with a slash.
    folder: BorrowedFd<'p>,
    path: &'p [u8],
}

/// What a listing showed besides transcripts.
#[derive(Default)]
struct Beside {
    /// Folders named by a wanted id, with the rule they matched.
    subagents: Vec<(u32, usize, CString)>,
    loose: Vec<CString>,
}

impl Scanner {
    pub(super) fn new(subagents_before: Option<DateTime<Utc>>) -> Self {
        Self {
            lister: Lister::new(),
            names: Vec::new(),
            entries: 0,
            hits: Vec::new(),
            present: Vec::new(),
            problems: Vec::new(),
            doubts: Vec::new(),
            of_subagents: Vec::new(),
            subagents_before,
        }
    }

    /// Stands for a thread that died: every store of the walk counts as not completely read.
    pub(super) fn lost(subagents_before: Option<DateTime<Utc>>, plans: usize) -> Self {
        let mut scanner = Self::new(subagents_before);
        scanner.problems = (0..plans).map(|plan| (plan, Arc::from("a thread of the walk died"))).collect();
        scanner
    }

    /// Looks into one folder; yields the folders below it that lead on, with their nodes.
    pub(super) fn scan(&mut self, plan: &Plan<'_>, index: usize, job: &Job) -> Vec<(usize, PathBuf)> {
        let (node, index) = (&plan.tree.nodes[job.node], index as u32);
        if is_probed_by_path(plan, job) {
            let path = [job.path.as_os_str().as_bytes(), b"/"].concat();
            let idle = self.probe(&Here { plan, node, job, index, folder: plan.home.as_fd(), path: &path });
            if !idle.is_empty()
                && let Some(folder) = self.open(plan, job)
            {
                let here = Here { plan, node, job, index, folder: folder.as_fd(), path: b"" };
                self.subagents_beside_probed(&here, &idle);
            }
            return Vec::new();
        }
        let Some(folder) = self.open(plan, job) else { return Vec::new() };
        if job.literal {
            self.present.push(job.plan);
        }
        let here = Here { plan, node, job, index, folder: folder.as_fd(), path: b"" };
        if node.can_be_probed() && here.probing_is_cheaper() {
            let idle = self.probe(&here);
            self.subagents_beside_probed(&here, &idle);
            return Vec::new();
        }
        self.scan_by_listing(&here)
    }

    fn open(&mut self, plan: &Plan<'_>, job: &Job) -> Option<OwnedFd> {
        let path = if job.path.as_os_str().is_empty() { OsStr::new(".") } else { job.path.as_os_str() };
        match walk::open_folder(plan.home.as_fd(), path) {
            Ok(folder) => Some(folder),
            Err(error) if walk::means_absent(error) => None,
            Err(error) => {
                self.problem(plan, job, b"", error);
                None
            }
        }
    }

    fn scan_by_listing(&mut self, here: &Here<'_, '_>) -> Vec<(usize, PathBuf)> {
        let (mut below, mut beside, first_hit) = (Vec::new(), Beside::default(), self.hits.len());
        self.list(here, b"", |name, kind, scanner| {
            if !scanner.take_file(here, name, kind) && !here.note_folder(name, kind, &mut below, &mut beside) {
                here.note_loose(name, kind, &mut beside);
            }
        });
        let idle = self.idle_since(here, first_hit);
        if !idle.is_empty() {
            self.loose_subagents(here, &beside, &idle);
            let is_idle = |id: &u32| idle.binary_search(id).is_ok();
            for (id, rule, name) in beside.subagents.into_iter().filter(|(id, ..)| is_idle(id)) {
                self.below(here, id, &name, &here.node.names[rule], HitKind::Subagent);
            }
        }
        below
    }

    /// Notes what could not be looked at: the folder of `job`, or what `name` leads to from there.
    fn problem(&mut self, plan: &Plan<'_>, job: &Job, name: &[u8], error: impl std::fmt::Display) {
        let mut path = plan.query.home.join(&job.path);
        if !name.is_empty() {
            path.push(OsStr::from_bytes(name));
        }
        self.problems.push((job.plan, format!("{}: {error}", path.display()).into()));
    }

    /// Lists the open folder of `here`, which `name` leads to from the folder of its job.
    fn list(&mut self, here: &Here<'_, '_>, name: &[u8], mut visit: impl FnMut(&CStr, FileType, &mut Self)) {
        let mut lister = std::mem::replace(&mut self.lister, Lister::new());
        let outcome = lister.list(here.folder, |name, kind| {
            self.entries += 1;
            visit(name, kind, self);
        });
        self.lister = lister;
        if let Err(error) = outcome {
            self.problem(here.plan, here.job, name, error);
        }
    }

    /// Takes a file of a wanted session; true when the name belongs to a transcript rule and a wanted session.
    fn take_file(&mut self, here: &Here<'_, '_>, name: &CStr, kind: FileType) -> bool {
        let bytes = name.to_bytes();
        let mut taken = false;
        for rule in here.node.names.iter().filter(|rule| !rule.subagent) {
            let wrong_kind = if rule.tail.is_empty() { FileType::Directory } else { FileType::RegularFile };
            if kind == wrong_kind {
                continue;
            }
            if let Some(length) = rule.name.characters {
                let Some(beginning) = rule.name.id_in(bytes, length) else { continue };
                if here.plan.beginnings.sessions(here.plan.query, beginning).next().is_some() {
                    taken = true;
                    self.confirm(here, name, beginning);
                }
            } else if let Some(id) = here.wanted(rule, bytes) {
                taken = true;
                if rule.tail.is_empty() {
                    self.stat(here, id, name, HitKind::Transcript);
                } else {
                    self.below(here, id, name, rule, HitKind::Transcript);
                }
            }
        }
        taken
    }

    /// Reads the id inside a file whose name holds only its beginning.
    fn confirm(&mut self, here: &Here<'_, '_>, name: &CStr, beginning: &[u8]) {
        match field_at_head(here.folder, name, &here.plan.query.provider.id_field) {
            Head::Found(inside) => {
                let id = here.plan.query.index_of(inside.as_bytes());
                if let Some(id) = id.filter(|_| inside.as_bytes().starts_with(beginning)) {
                    self.stat(here, id, name, HitKind::Transcript);
                }
            }
            Head::Absent => {
                // Without an id inside it may be any of them: they are not proven missing.
                self.problem(
                    here.plan,
                    here.job,
                    name.to_bytes(),
                    "it holds no session id, so it may be any session's",
                );
            }
            Head::Unreadable(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Head::Unreadable(error) => self.problem(here.plan, here.job, name.to_bytes(), error),
        }
    }

    fn stat(&mut self, here: &Here<'_, '_>, id: u32, name: &CStr, kind: HitKind) -> bool {
        match here.file_times(name) {
            Ok(FileTimes { is_file: false, .. }) => false,
            Ok(times) => {
                self.hit(here, id, name.to_bytes(), kind, times.modified);
                true
            }
            // Gone between listing and stat, or a link that leads nowhere.
            Err(error) if walk::means_absent(error) => false,
            Err(error) => {
                self.problem(here.plan, here.job, name.to_bytes(), error);
                false
            }
        }
    }

    fn hit(&mut self, here: &Here<'_, '_>, id: u32, name: &[u8], kind: HitKind, modified: DateTime<Utc>) {
        let at = self.names.len() as u32;
        self.names.extend_from_slice(name);
        self.hits.push(Hit { id, folder: here.index, kind, modified, name: at, length: name.len() as u16 });
    }

    /// Asks for each wanted session by its only possible name; yields those that look idle.
    fn probe(&mut self, here: &Here<'_, '_>) -> Vec<u32> {
        let first_hit = self.hits.len();
        let mut name = Vec::with_capacity(64);
        self.entries += here.plan.query.ids.len() * ENTRIES_PER_PROBE as usize;
        for rule in here.node.names.iter().filter(|rule| !rule.subagent) {
            for (id, session) in here.plan.query.ids.iter().enumerate() {
                name.clear();
                rule.name.write_name(session.as_str(), &mut name);
                let Ok(text) = CString::new(name.as_slice()) else { continue };
                if rule.tail.is_empty() {
                    self.stat(here, id as u32, &text, HitKind::Transcript);
                } else {
                    self.below(here, id as u32, &text, rule, HitKind::Transcript);
                }
            }
        }
        self.idle_since(here, first_hit)
    }

    /// Sessions found since `first_hit` whose transcript looks idle, in ascending order. Where a folder holds sub-agents
    /// alone nothing is known of their parents yet, so any may be.
    fn idle_since(&self, here: &Here<'_, '_>, first_hit: usize) -> Vec<u32> {
        let node = here.node;
        let holds_any = !node.names.is_empty() || !node.loose.is_empty();
        if holds_any && node.names.iter().all(|rule| rule.subagent) {
            return (0..here.plan.query.ids.len() as u32).collect();
        }
        let looks_idle = |hit: &&Hit| self.subagents_before.is_none_or(|before| hit.modified < before);
        let mut idle: Vec<u32> = self.hits[first_hit..].iter().filter(looks_idle).map(|hit| hit.id).collect();
        idle.sort_unstable();
        idle
    }
}

/// Whether each wanted session is asked for by its whole path, because they are so few that this is cheaper than to open
/// the folder. Whether a folder that no listing showed is there says whether the store is, so that is opened.
fn is_probed_by_path(plan: &Plan<'_>, job: &Job) -> bool {
    let node = &plan.tree.nodes[job.node];
    let mut mains = node.names.iter().filter(|rule| !rule.subagent).peekable();
    let is_file = mains.peek().is_some() && mains.all(|rule| rule.tail.is_empty());
    plan.query.ids.len() <= FEW && !job.literal && node.can_be_probed() && is_file
}

impl Here<'_, '_> {
    fn file_times(&self, name: &CStr) -> rustix::io::Result<FileTimes> {
        if self.path.is_empty() {
            return walk::file_times(self.folder, name);
        }
        walk::file_times(self.folder, OsStr::from_bytes(&[self.path, name.to_bytes()].concat()))
    }

    fn probing_is_cheaper(&self) -> bool {
        let wanted = self.plan.query.ids.len() as u64;
        walk::folder_size(self.folder).is_ok_and(|size| wanted * ENTRIES_PER_PROBE < size / BYTES_PER_ENTRY)
    }

    fn wanted(&self, rule: &NameRule, name: &[u8]) -> Option<u32> {
        self.plan.query.id_in(&rule.name, name)
    }

    /// Notes a folder that leads on or belongs to a wanted session's sub-agents.
    fn note_folder(&self, name: &CStr, kind: FileType, below: &mut Vec<(usize, PathBuf)>, beside: &mut Beside) -> bool {
        if !matches!(kind, FileType::Directory | FileType::Symlink | FileType::Unknown) {
            return false;
        }
        let bytes = name.to_bytes();
        for (folder, node) in self.node.children.iter().filter(|(folder, _)| !folder.is_literal()) {
            if folder.matches(bytes) {
                below.push((*node, PathBuf::from(OsStr::from_bytes(bytes))));
            }
        }
        for (index, rule) in self.node.names.iter().enumerate().filter(|(_, rule)| rule.subagent) {
            if let Some(id) = self.wanted(rule, bytes) {
                beside.subagents.push((id, index, name.to_owned()));
            }
        }
        kind == FileType::Directory
    }

    fn note_loose(&self, name: &CStr, kind: FileType, beside: &mut Beside) {
        if kind != FileType::Directory && self.node.loose.iter().any(|rule| rule.matches(name.to_bytes())) {
            beside.loose.push(name.to_owned());
        }
    }
}

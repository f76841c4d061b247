//! Which processes are looked at more closely: those that a record names, and those that look like a CLI's. It decides nothing.

use std::cell::RefCell;
use std::os::unix::ffi::OsStrExt as _;

use rustc_hash::{FxHashMap, FxHashSet};

use super::sessions::owner_of;
use super::survey::{Scene, Survey};
use crate::filesystem::proc::{Name, Proc, Stat};
use crate::policy::orphan::Owner;
use crate::policy::process_pattern::{CommandLine, ProgramPattern};
use crate::providers::Catalogue;
use crate::providers::live::Standing;
use crate::providers::row::Part;

/// What a process looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sweep) struct Likeness {
    /// The provider's place.
    pub(in crate::sweep) provider: usize,
    pub(super) part: Part,
}

/// Tells processes by their command lines, each read once.
pub(in crate::sweep) struct Programs<'p> {
    proc: &'p Proc,
    /// Every pattern once, in the order in which they decide: providers have many in common.
    patterns: Vec<(Likeness, &'p ProgramPattern)>,
    known: RefCell<FxHashMap<u32, Option<Likeness>>>,
    /// Whether a process of this name may be a CLI.
    names: RefCell<FxHashMap<Name, bool>>,
}

impl<'p> Programs<'p> {
    pub(in crate::sweep) fn new(proc: &'p Proc, catalogue: &'p Catalogue) -> Self {
        let rows = catalogue.iter().enumerate();
        let all = rows.flat_map(|(provider, row)| {
            let patterns = row.provider.processes.patterns();
            patterns.map(move |(part, pattern)| (Likeness { provider, part }, pattern))
        });
        let mut seen = FxHashSet::default();
        let patterns = all.filter(|(likeness, pattern)| seen.insert((likeness.part, *pattern))).collect();
        Self { proc, patterns, known: RefCell::default(), names: RefCell::default() }
    }

    /// What a process looks like that is a CLI itself.
    pub(in crate::sweep) fn cli(&self, process: &Stat) -> Option<Likeness> {
        let likeness = self.may_be_cli(process).then(|| self.likeness(process)).flatten()?;
        (likeness.part == Part::Cli).then_some(likeness)
    }

    /// Whether a process is a CLI itself.
    pub(super) fn is_cli(&self, process: &Stat) -> bool {
        self.cli(process).is_some()
    }

    /// Whether a process of this name may be a CLI: where not, its command line need not be read.
    pub(super) fn may_be_cli(&self, process: &Stat) -> bool {
        let look = || self.of_clis().any(|pattern| pattern.may_match_comm(process.name.as_bytes()));
        process.runs() && *self.names.borrow_mut().entry(process.name).or_insert_with(look)
    }

    /// Whether a process that has ended, and has nothing left but its name, may have been a CLI. What runs scripts may have run
    /// any.
    pub(super) fn was_cli(&self, process: &Stat) -> bool {
        let name = process.name.as_bytes();
        self.of_clis().any(|pattern| pattern.is_program_alone() && pattern.may_match_comm(name))
    }

    fn of_clis(&self) -> impl Iterator<Item = &ProgramPattern> {
        self.patterns.iter().filter(|(likeness, _)| likeness.part == Part::Cli).map(|(_, pattern)| *pattern)
    }

    /// What a process looks like by its command line.
    pub(super) fn likeness(&self, process: &Stat) -> Option<Likeness> {
        if let Some(known) = self.known.borrow().get(&process.pid) {
            return *known;
        }
        let arguments = self.proc.arguments(process.pid).ok().flatten().unwrap_or_default();
        let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        let executable = self.proc.executable(process.pid).ok().flatten();
        let line = CommandLine {
            comm: process.name.as_bytes(),
            exe: executable.as_ref().map(|path| path.as_os_str().as_bytes()),
            argv: &arguments,
        };
        let found = self.patterns.iter().find(|(_, pattern)| pattern.matches(&line)).map(|(likeness, _)| *likeness);
        self.known.borrow_mut().insert(process.pid, found);
        found
    }
}

/// A process that is looked at more closely.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'s> {
    pub(super) process: &'s Stat,
    pub(super) likeness: Option<Likeness>,
}

impl Candidate<'_> {
    /// Whether it looks like this part of a CLI.
    pub(super) fn is(&self, part: Part) -> bool {
        self.likeness.is_some_and(|likeness| likeness.part == part)
    }
}

/// The processes that a record names, this user's CLIs, and what looks like a CLI's helper and was adopted.
pub(super) fn nominate<'s>(
    scene: &Scene<'_>,
    survey: &'s Survey,
    programs: &Programs<'_>,
    is_adopter: &dyn Fn(u32) -> bool,
) -> (Vec<Candidate<'s>>, Vec<String>) {
    let mut problems = Vec::new();
    let mut candidates = Vec::new();
    let recorded = recorded_pids(scene, survey);
    for process in survey.table.iter().filter(|process| process.runs() && process.pid != 1) {
        let is_recorded = recorded.contains(&process.pid);
        let is_adopted = is_adopter(process.parent);
        if !(is_recorded || is_adopted || programs.may_be_cli(process)) {
            continue;
        }
        match scene.proc.owner(process.pid) {
            Ok(Some(user)) if user == scene.here.user || is_recorded => {}
            Ok(_) => continue,
            Err(error) => {
                problems.push(format!("process {} cannot be looked at: {error}", process.pid));
                continue;
            }
        }
        // Whose parent lives is that one's matter, unless it is a CLI itself.
        let likeness = programs.likeness(process).filter(|likeness| is_adopted || likeness.part == Part::Cli);
        if is_recorded || likeness.is_some() {
            candidates.push(Candidate { process, likeness });
        }
    }
    // What a CLI started is shown below it.
    let pids: FxHashSet<u32> = candidates.iter().map(|candidate| candidate.process.pid).collect();
    let is_below = |candidate: &Candidate<'_>| {
        let mut held = survey.table.ancestors(candidate.process.pid).take_while(|ancestor| !is_adopter(ancestor.pid));
        !is_adopter(candidate.process.parent) && held.any(|ancestor| pids.contains(&ancestor.pid))
    };
    let shown =
        candidates.into_iter().filter(|candidate| recorded.contains(&candidate.process.pid) || !is_below(candidate));
    (shown.collect(), problems)
}

/// The processes that run and that records name, the janitor's and the vendors'.
fn recorded_pids(scene: &Scene<'_>, survey: &Survey) -> FxHashSet<u32> {
    let tracked = survey.records.iter().filter_map(|record| match owner_of(record, scene, survey) {
        Owner::Runs(pid) => Some(pid),
        _ => None,
    });
    let named = survey.named.iter().filter(|(_, named)| named.standing == Standing::Live).map(|(_, named)| named.pid);
    tracked.chain(named).collect()
}

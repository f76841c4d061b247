//! What is to be done: every process and every record with its verdict and the reasons.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::candidates::{Candidate, Programs, nominate};
use super::facts::{Inspected, Inspector};
use super::sessions::{age_of, completed_for, heartbeat_of, owner_of};
use super::survey::{Scene, Survey, of_ticks};
use crate::filesystem::proc::{Stat, terminal_name};
use crate::policy::orphan::{Facts, Heartbeat, Judgement, Limits, Owner, Verdict, judge};
use crate::policy::session_record::{self, Fate, RecordFacts};
use crate::processes::parent::{Adopters, name_of};
use crate::processes::records::Record;
use crate::processes::terminate::Target;
use crate::providers::row::Part;

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The processes that were looked at, the orphaned ones first, the oldest first.
    pub(crate) processes: Vec<Item>,
    /// Every record of a session, by id.
    pub(crate) records: Vec<RecordItem>,
    /// Processes that have ended and that their parents do not notice.
    pub(crate) zombies: Vec<Zombies>,
    /// The CLI that this run was started by, where there is one.
    pub(crate) current: Option<Current>,
    /// What could not be looked at.
    pub(crate) problems: Vec<String>,
}

/// One process and what it started.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) process: Process,
    /// The provider's name, for one that looks like a CLI's.
    pub(crate) provider: Option<String>,
    /// Whether it looks like the CLI itself; else like something that CLIs start.
    pub(crate) is_cli: bool,
    /// The sessions that it is of: the one that decides first.
    pub(crate) sessions: Vec<String>,
    /// When its tracked session gave its last sign of life.
    pub(crate) heartbeat: Option<Heartbeat>,
    pub(crate) judgement: Judgement,
    /// All that it started and still has, the deepest first; it ends with it.
    pub(crate) below: Vec<Process>,
}

/// A process as a report shows it.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) start_ticks: u64,
    pub(crate) name: String,
    pub(crate) parent: u32,
    pub(crate) parent_name: Option<String>,
    pub(crate) age: Option<Duration>,
    pub(crate) cpu: Duration,
    /// Memory in RAM, what it shares with others included, in bytes.
    pub(crate) memory: u64,
    /// What would be free without it, in bytes; read for orphans alone.
    pub(crate) own_memory: Option<u64>,
    /// Its controlling terminal.
    pub(crate) terminal: Option<String>,
    pub(crate) executable: Option<PathBuf>,
    pub(crate) groups: Option<String>,
    /// What it was started with; empty where that was not read.
    pub(crate) arguments: Vec<String>,
    /// Where it works.
    pub(crate) working_folder: Option<PathBuf>,
    /// It ended while it was looked at.
    is_gone: bool,
}

/// One record of a session.
#[derive(Debug, Clone)]
pub(crate) struct RecordItem {
    pub(crate) record: Record,
    pub(crate) fate: Fate,
    pub(crate) reason: String,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) age: Option<Duration>,
    /// Whether it goes once the orphans of its session have ended.
    pub(crate) goes_with_orphans: bool,
}

/// Processes that have ended, and the parent that does not notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zombies {
    pub(crate) pids: Vec<u32>,
    pub(crate) name: String,
    pub(crate) parent: u32,
    pub(crate) parent_name: String,
}

/// The session in which a run was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Current {
    pub(crate) pid: u32,
    pub(crate) provider: String,
    pub(crate) session: Option<String>,
}

impl Plan {
    /// Looks and decides.
    ///
    /// # Errors
    /// /proc cannot be read at all.
    pub(crate) fn make(scene: &Scene<'_>) -> io::Result<Self> {
        let survey = Survey::take(scene)?;
        let programs = Programs::new(scene.proc, scene.catalogue);
        let adopters = Adopters::new(&survey.table, scene.proc, scene.here.user, &scene.settings.subreapers);
        let (candidates, problems) = nominate(scene, &survey, &programs, &|pid| adopters.has(pid));
        let inspector = Inspector::new(scene, &survey, &programs, &adopters);
        let planner = Planner { scene, survey: &survey, limits: limits(scene) };
        let mut plan = Self { current: planner.current(&programs, &inspector), ..Self::default() };
        plan.processes = candidates.iter().filter_map(|candidate| planner.item(candidate, &inspector)).collect();
        plan.processes.sort_by_key(|item| (item.judgement.verdict, item.process.start_ticks, item.process.pid));
        plan.zombies = planner.zombies(&programs);
        plan.records = survey.records.iter().map(|record| planner.record(record, &plan.processes)).collect();
        plan.problems = survey.problems.iter().cloned().chain(problems).collect();
        Ok(plan)
    }

    /// The processes that are to be ended, with what they started.
    pub(crate) fn orphans(&self) -> impl Iterator<Item = &Item> {
        self.processes.iter().filter(|item| item.judgement.verdict == Verdict::Orphaned)
    }

    /// The records that are to be removed as things are.
    pub(crate) fn going_records(&self) -> impl Iterator<Item = &RecordItem> {
        self.records.iter().filter(|item| item.fate.goes())
    }

    /// How many processes have this verdict.
    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.processes.iter().filter(|item| item.judgement.verdict == verdict).count()
    }

    /// How many records have this fate.
    pub(crate) fn count_records(&self, fate: Fate) -> usize {
        self.records.iter().filter(|item| item.fate == fate).count()
    }

    /// The sessions whose processes or records were left behind, as process-janitor counts them.
    pub(crate) fn orphaned_sessions(&self) -> Vec<&str> {
        let of_processes = self.orphans().filter_map(Item::session);
        let left_over = self.records.iter().filter(|item| item.fate == Fate::LeftOver);
        let mut ids: Vec<&str> = of_processes.chain(left_over.map(|item| item.record.session_id.as_str())).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// What process-janitor's `orphaned_count` counts: processes that were left behind, and sessions of which only a record was.
    pub(crate) fn orphaned_count(&self) -> usize {
        self.count(Verdict::Orphaned) + self.count_records(Fate::LeftOver)
    }

    /// Whether there is something to do.
    pub(crate) fn has_work(&self) -> bool {
        self.orphans().next().is_some() || self.going_records().next().is_some()
    }

    /// What would be free without the orphans, in bytes.
    pub(crate) fn memory_of_orphans(&self) -> u64 {
        self.orphans().flat_map(Item::all).filter_map(|process| process.own_memory).sum()
    }
}

impl Item {
    /// It and all that it started, the deepest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Process> {
        self.below.iter().chain([&self.process])
    }

    /// The session that decides about it.
    pub(crate) fn session(&self) -> Option<&str> {
        self.sessions.first().map(String::as_str)
    }

    /// Whether it is of this session.
    pub(crate) fn is_of(&self, id: &str) -> bool {
        self.sessions.iter().any(|session| session == id)
    }

    /// What is to be ended, the deepest first; an error where not all of it could be read.
    pub(crate) fn targets(&self, user: u32) -> Result<Vec<Target>, String> {
        let target = |process: &Process| {
            let unread = || format!("what process {} runs cannot be told", process.pid);
            Ok(Target {
                pid: process.pid,
                start_ticks: process.start_ticks,
                user,
                executable: process.executable.clone().ok_or_else(unread)?,
                groups: process.groups.clone().ok_or_else(unread)?,
            })
        };
        self.all().map(target).collect()
    }
}

impl RecordItem {
    /// Whether a run that does all that the plan says removes it.
    pub(crate) fn goes(&self) -> bool {
        self.fate.goes() || self.goes_with_orphans
    }
}

fn limits(scene: &Scene<'_>) -> Limits {
    Limits { min_age: scene.settings.min_age, stale: scene.settings.stale }
}

/// Decides by what was read.
struct Planner<'p> {
    scene: &'p Scene<'p>,
    survey: &'p Survey,
    limits: Limits,
}

impl Planner<'_> {
    /// Nothing when the process is gone by now.
    fn item(&self, candidate: &Candidate<'_>, inspector: &Inspector<'_>) -> Option<Item> {
        let Inspected { facts, executable, groups, sessions, provider } = inspector.inspect(candidate)?;
        let judgement = self.judge(candidate.process, facts.clone(), inspector);
        let is_orphan = judgement.verdict == Verdict::Orphaned;
        let below = self.survey.table.descendants(candidate.process.pid);
        let below = below.into_iter().filter(|(process, _)| process.runs());
        let mut process = self.process(candidate.process, is_orphan, judgement.verdict != Verdict::Owned);
        process.executable = executable;
        process.groups = groups;
        let provider = provider.map(|place| self.scene.catalogue.at(place).provider.name.clone());
        Some(Item {
            process,
            provider,
            is_cli: candidate.likeness.is_some_and(|likeness| likeness.part == Part::Cli),
            heartbeat: facts.session.and_then(|session| session.heartbeat),
            sessions,
            judgement,
            below: below
                .map(|(process, _)| self.process(process, is_orphan, is_orphan))
                .filter(|below| !below.is_gone)
                .collect(),
        })
    }

    fn judge(&self, process: &Stat, mut facts: Facts, inspector: &Inspector<'_>) -> Judgement {
        let judgement = judge(&facts, &self.limits);
        if judgement.verdict != Verdict::Orphaned {
            return judgement;
        }
        // What it started is looked at only where it would end with it.
        facts.shelters = inspector.sheltered(process);
        judge(&facts, &self.limits)
    }

    fn process(&self, process: &Stat, is_orphan: bool, in_detail: bool) -> Process {
        let proc = self.scene.proc;
        let in_detail = in_detail || self.scene.in_detail;
        let executable = is_orphan.then(|| proc.executable(process.pid));
        let arguments = || proc.arguments(process.pid).ok().flatten().unwrap_or_default();
        let text = |argument: &Vec<u8>| String::from_utf8_lossy(argument).into_owned();
        let page = rustix::param::page_size() as u64;
        let read = |pages: io::Result<Option<u64>>| pages.ok().flatten().map(|pages| pages * page);
        Process {
            pid: process.pid,
            start_ticks: process.start_ticks,
            name: name_of(process),
            parent: process.parent,
            parent_name: self.survey.table.get(process.parent).map(name_of),
            age: self.scene.here.age(process.start_ticks),
            cpu: of_ticks(process.cpu_ticks),
            memory: process.resident_pages * page,
            own_memory: is_orphan.then(|| read(proc.own_pages(process.pid))).flatten(),
            terminal: (process.terminal != 0).then(|| terminal_name(process.terminal)),
            is_gone: matches!(executable, Some(Ok(None))),
            executable: executable.and_then(|read| read.ok().flatten()),
            groups: is_orphan.then(|| proc.control_groups(process.pid).ok().flatten()).flatten(),
            arguments: if in_detail { arguments().iter().map(text).collect() } else { Vec::new() },
            working_folder: in_detail.then(|| proc.working_folder(process.pid).ok().flatten()).flatten(),
        }
    }

    fn record(&self, record: &Record, processes: &[Item]) -> RecordItem {
        let id = record.session_id.as_str();
        let of_session: Vec<&Item> = processes.iter().filter(|item| item.is_of(id)).collect();
        let heartbeat = heartbeat_of(record, self.scene);
        let age = age_of(record, self.scene);
        let facts = RecordFacts {
            doubt: record.doubt.clone(),
            completed: completed_for(record, self.scene),
            owner: owner_of(record, self.scene, self.survey),
            heartbeat: heartbeat.clone(),
            age,
            processes: of_session.len() + self.led_by(record, &of_session),
        };
        let retention = self.scene.settings.retention.duration();
        let (fate, reason) = session_record::judge(&facts, &self.limits, retention);
        let all_end = of_session.iter().all(|item| item.judgement.verdict == Verdict::Orphaned);
        let goes_with_orphans = !of_session.is_empty() && all_end && {
            let owner = match facts.owner {
                Owner::Runs(pid) => Owner::Gone(pid),
                owner => owner,
            };
            let processes = facts.processes - of_session.len();
            session_record::judge(&RecordFacts { owner, processes, ..facts }, &self.limits, retention).0.goes()
        };
        RecordItem { record: record.clone(), fate, reason, heartbeat, age, goes_with_orphans }
    }

    /// How many processes besides these belong to a process group or terminal session that the record's process led: without
    /// the record nobody could tell whose they are.
    fn led_by(&self, record: &Record, known: &[&Item]) -> usize {
        let Some((pid, mark)) = record.pid.zip(record.process.as_ref()) else { return 0 };
        let is_known = |process: &Stat| known.iter().any(|item| item.all().any(|one| one.pid == process.pid));
        let is_led = |process: &&Stat| {
            process.runs()
                && process.pid != pid
                && (process.group == pid || process.session == pid)
                && process.start_ticks >= mark.start_ticks
                && !is_known(process)
        };
        self.survey.table.iter().filter(is_led).count()
    }

    /// This user's processes that look like a CLI's, or that a CLI started, and that have ended without anybody noticing.
    fn zombies(&self, programs: &Programs<'_>) -> Vec<Zombies> {
        let mut found: Vec<Zombies> = Vec::new();
        for process in self.survey.table.iter().filter(|process| process.is_zombie()) {
            let parent = self.survey.table.get(process.parent);
            if !parent.is_some_and(|parent| programs.is_cli(parent)) && !programs.was_cli(process) {
                continue;
            }
            if !matches!(self.scene.proc.owner(process.pid), Ok(Some(user)) if user == self.scene.here.user) {
                continue;
            }
            let name = name_of(process);
            match found.iter_mut().find(|zombies| zombies.parent == process.parent && zombies.name == name) {
                Some(zombies) => zombies.pids.push(process.pid),
                None => found.push(Zombies {
                    pids: vec![process.pid],
                    name,
                    parent: process.parent,
                    parent_name: parent.map_or_else(String::new, name_of),
                }),
            }
        }
        found
    }

    /// The nearest CLI that this run was started by.
    fn current(&self, programs: &Programs<'_>, inspector: &Inspector<'_>) -> Option<Current> {
        let mut ancestors = self.survey.table.ancestors(self.scene.here.pid);
        let process = ancestors.find(|ancestor| programs.is_cli(ancestor))?;
        let likeness = programs.likeness(process)?;
        let session = inspector
            .inspect(&Candidate { process, likeness: Some(likeness) })
            .and_then(|found| found.sessions.into_iter().next());
        let provider = self.scene.catalogue.at(likeness.provider).provider.name.clone();
        Some(Current { pid: process.pid, provider, session })
    }
}

//! Makes a plan of what was read.

use std::io;

use rustc_hash::FxHashSet;

use super::candidates::{Candidate, Programs, nominate};
use super::facts::{Inspected, Inspector};
use super::plan::{Current, Item, Plan, Process, RecordItem, Zombies};
use super::sessions::{age_of, completed_for, heartbeat_of, owner_of};
use super::survey::{Scene, Survey, of_ticks};
use crate::filesystem::proc::{Stat, terminal_name};
use crate::policy::orphan::{Facts, Judgement, Limits, Owner, Verdict, judge};
use crate::policy::session_record::{self, RecordFacts};
use crate::processes::parent::{Adopters, name_of};
use crate::processes::records::Record;
use crate::providers::row::Part;

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
        let running = || survey.table.iter().filter(|process| process.runs());
        let leaders =
            running().flat_map(|process| [process.group, process.session].map(|leader| (leader, process.pid)));
        let leaders = leaders.filter(|(leader, pid)| leader != pid).map(|(leader, _)| leader).collect();
        let planner = Planner { scene, survey: &survey, limits: limits(scene), leaders };
        let mut plan = Self { current: planner.current(&programs, &inspector), ..Self::default() };
        plan.processes = candidates.iter().filter_map(|candidate| planner.item(candidate, &inspector)).collect();
        plan.processes.sort_by_key(|item| (item.judgement.verdict, item.process.start_ticks, item.process.pid));
        plan.zombies = planner.zombies(&programs);
        plan.records = survey.records.iter().map(|record| planner.record(record, &plan.processes)).collect();
        plan.problems = survey.problems.iter().cloned().chain(problems).collect();
        Ok(plan)
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
    /// Who leads a process group or a terminal session with others in it.
    leaders: FxHashSet<u32>,
}

impl Planner<'_> {
    /// Nothing when the process is gone by now.
    fn item(&self, candidate: &Candidate<'_>, inspector: &Inspector<'_>) -> Option<Item> {
        let Inspected { facts, executable, groups, sessions, provider } = inspector.inspect(candidate)?;
        let judgement = self.judge(candidate.process, facts.clone(), inspector);
        let is_orphan = judgement.verdict == Verdict::Orphaned;
        let below = self.survey.table.descendants(candidate.process.pid);
        let below = below.into_iter().filter(|process| process.runs());
        let mut process = self.process(candidate.process, is_orphan, judgement.verdict != Verdict::Owned);
        process.executable = executable;
        process.groups = groups;
        let provider = provider.map(|place| self.scene.catalogue.at(place).provider.name.clone());
        Some(Item {
            process,
            provider,
            is_cli: candidate.is(Part::Cli),
            heartbeat: facts.session.and_then(|session| session.heartbeat),
            sessions,
            judgement,
            below: below
                .map(|process| self.process(process, is_orphan, is_orphan))
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
        let verdict = match facts.owner {
            Owner::Gone(_) | Owner::Reused(_) => Verdict::Gone,
            Owner::Unknown(_) => Verdict::Unknown,
            Owner::Itself | Owner::Runs(_) | Owner::Ends(_) => Verdict::Owned,
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
        RecordItem { record: record.clone(), verdict, fate, reason, heartbeat, age, goes_with_orphans }
    }

    /// How many processes besides these belong to a process group or terminal session that the record's process led: without
    /// the record nobody could tell whose they are.
    fn led_by(&self, record: &Record, known: &[&Item]) -> usize {
        let Some((pid, mark)) = record.pid.zip(record.process.as_ref()) else { return 0 };
        if !self.leaders.contains(&pid) || self.scene.here.boot_id.as_ref() != Some(&mark.boot_id) {
            return 0;
        }
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
        let (process, likeness) = ancestors.find_map(|ancestor| Some((ancestor, programs.cli(ancestor)?)))?;
        let session = inspector
            .inspect(&Candidate { process, likeness: Some(likeness) })
            .and_then(|found| found.sessions.into_iter().next());
        let provider = self.scene.catalogue.at(likeness.provider).provider.name.clone();
        Some(Current { pid: process.pid, provider, session })
    }
}

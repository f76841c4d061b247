//! Everything that decides about one candidate, read from /proc and joined with what the records say.

use std::io;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use rustc_hash::{FxHashMap, FxHashSet};

use super::candidates::{Candidate, Programs};
use super::sessions::{may_be_alive, owner_of};
use super::survey::{Scene, Survey};
use crate::filesystem::proc::{Stat, terminal_name};
use crate::policy::orphan::{Facts, Group, Owner, Relation, Scope};
use crate::processes::group::{Company, Groups};
use crate::processes::parent::Adopters;
use crate::processes::records::{Record, Time};
use crate::providers::live::Standing;
use crate::providers::row::Part;

/// The environment that a process was started with, or why it cannot be read.
pub(super) type Environs = Result<Vec<Vec<u8>>, String>;

/// Looks closer at candidates.
pub(super) struct Inspector<'i> {
    pub(super) scene: &'i Scene<'i>,
    pub(super) survey: &'i Survey,
    pub(super) programs: &'i Programs<'i>,
    pub(super) adopters: &'i Adopters<'i>,
    groups: Groups,
    /// What this run is to others.
    ancestors: FxHashSet<u32>,
    session: Option<u32>,
    /// The records of running processes, by pid: of several that name one, that of the session that goes on.
    pub(super) tracked: FxHashMap<u32, usize>,
}

/// What was read of one process.
#[derive(Debug, Clone)]
pub(super) struct Inspected {
    pub(super) facts: Facts,
    /// The file that it runs.
    pub(super) executable: Option<PathBuf>,
    /// Its control groups as the kernel lists them.
    pub(super) groups: Option<String>,
    /// The sessions that it is of, whether or not anything is known of them: the one that decides first.
    pub(super) sessions: Vec<String>,
    /// The provider's place: for a helper that of the CLI that started it.
    pub(super) provider: Option<usize>,
}

impl<'i> Inspector<'i> {
    pub(super) fn new(
        scene: &'i Scene<'i>,
        survey: &'i Survey,
        programs: &'i Programs<'i>,
        adopters: &'i Adopters<'i>,
    ) -> Self {
        let own = scene.here.pid;
        let own_groups = scene.proc.control_groups(own).ok().flatten().unwrap_or_default();
        Self {
            groups: Groups::new(&scene.settings.root, &own_groups),
            ancestors: survey.table.ancestors(own).map(|ancestor| ancestor.pid).collect(),
            session: survey.table.get(own).map(|process| process.session),
            tracked: tracked_pids(scene, survey),
            scene,
            survey,
            programs,
            adopters,
        }
    }

    /// Reads what decides about a candidate; nothing when it is gone.
    pub(super) fn inspect(&self, candidate: &Candidate<'_>) -> Option<Inspected> {
        let process = candidate.process;
        let proc = self.scene.proc;
        let executable = gone(proc.executable(process.pid))?;
        let groups = gone(proc.control_groups(process.pid))?;
        let mut group = groups.as_ref().map(|groups| self.group_of(process, groups)).map_err(Clone::clone);
        let environment = gone(proc.environment(process.pid))?;
        let (session, sessions) = self.session_of(candidate, &environment);
        let provider = self.provider_of(candidate, &environment);
        if let (Ok(Group::Scope { state, .. }), Ok(groups)) = (&mut group, &groups)
            && *state == Scope::Closed
            && candidate.is(Part::Helper)
            && session.is_none()
            && self.has_live_cli(groups)
        {
            // It may be that one's.
            *state = Scope::Unknown("a CLI in it is at work".to_owned());
        }
        let facts = Facts {
            relation: self.relation(process),
            other_user: gone(proc.users(process.pid))?
                .map(|users| (!users.are(self.scene.here.user)).then_some(users.effective)),
            elsewhere: self.elsewhere(process)?,
            executable: executable.as_ref().map(|_| ()).map_err(Clone::clone),
            age: self.scene.here.age(process.start_ticks),
            group,
            terminal: (process.terminal != 0).then(|| terminal_name(process.terminal)),
            parent: self.adopters.parent_of(process, &|process| self.programs.is_cli(process)),
            vendor: self.vendor(candidate, provider, &environment),
            shelters: None,
            is_of_cli: session.is_some() || self.is_of_cli(candidate, &environment),
            session,
        };
        Some(Inspected { facts, executable: executable.ok(), groups: groups.ok(), sessions, provider })
    }

    pub(super) fn relation(&self, process: &Stat) -> Option<Relation> {
        let own = self.scene.here.pid;
        if process.pid == own {
            Some(Relation::Itself)
        } else if self.ancestors.contains(&process.pid) {
            Some(Relation::Ancestor)
        } else if self.survey.table.ancestors(process.pid).any(|ancestor| ancestor.pid == own) {
            Some(Relation::Descendant)
        } else {
            (self.session == Some(process.session)).then_some(Relation::Session)
        }
    }

    /// Whether a CLI is in these control groups that is at work by its own files, or by a sign of life of its session.
    fn has_live_cli(&self, groups: &str) -> bool {
        let beats = |place: usize| may_be_alive(&self.survey.records[place], self.scene);
        let named = self.survey.named.iter().filter(|(_, named)| named.standing == Standing::Live);
        let tracked = self.tracked.iter().filter(|(_, place)| beats(**place)).map(|(pid, _)| *pid);
        let mut alive = named.map(|(_, named)| named.pid).chain(tracked);
        alive.any(|pid| matches!(self.scene.proc.control_groups(pid), Ok(Some(its)) if its == groups))
    }

    /// Nothing when the process is gone.
    fn elsewhere(&self, process: &Stat) -> Option<Result<Option<String>, String>> {
        let namespace = gone(self.scene.proc.pid_namespace_of(process.pid))?;
        Some(namespace.and_then(|namespace| match self.scene.here.namespace {
            None => Err("this run's own pid namespace cannot be read".to_owned()),
            Some(own) if own == namespace => Ok(None),
            Some(_) => Ok(Some("it is in another pid namespace".to_owned())),
        }))
    }

    /// Where a process belongs.
    pub(super) fn group_of(&self, process: &Stat, groups: &str) -> Group {
        let company = Company {
            table: &self.survey.table,
            is_adopter: &|pid| self.adopters.has(pid),
            is_guardian: &|process| self.adopters.is_guardian(process),
            is_of_cli: &|process| self.programs.likeness(process).is_some(),
        };
        self.groups.of(process.pid, groups, &company)
    }

    /// Whether something shows that a CLI started a process, or it is one.
    fn is_of_cli(&self, candidate: &Candidate<'_>, environment: &Environs) -> bool {
        let has_mark = || {
            let environment = environment.as_ref().ok()?;
            let mut marks = self.scene.catalogue.iter().flat_map(|row| &row.provider.processes.marks);
            marks.find(|mark| variable(environment, mark).is_some())
        };
        candidate.is(Part::Cli) || self.tracked.contains_key(&candidate.process.pid) || has_mark().is_some()
    }

    /// Several CLIs start the same helpers: whose one is shows its environment.
    fn provider_of(&self, candidate: &Candidate<'_>, environment: &Environs) -> Option<usize> {
        let likeness = candidate.likeness?;
        let started = |place: &usize| {
            let row = &self.scene.catalogue.at(*place).provider.processes;
            let environment = environment.as_deref().unwrap_or_default();
            row.variables().any(|name| variable(environment, name).is_some())
        };
        match likeness.part {
            Part::Cli => Some(likeness.provider),
            Part::Helper => (0..self.scene.catalogue.len()).find(started).or(Some(likeness.provider)),
        }
    }
}

/// The records of running processes by pid. After `/clear` a process has several: the one that goes on is its session's.
fn tracked_pids(scene: &Scene<'_>, survey: &Survey) -> FxHashMap<u32, usize> {
    let mut tracked: FxHashMap<u32, usize> = FxHashMap::default();
    for (place, record) in survey.records.iter().enumerate() {
        if let Owner::Runs(pid) = owner_of(record, scene, survey) {
            let known = tracked.entry(pid).or_insert(place);
            if goes_on(record) > goes_on(&survey.records[*known]) {
                *known = place;
            }
        }
    }
    tracked
}

/// Of several records of one process that one counts whose session has not ended, and of those the one with the last sign of
/// life; one that cannot be read may be that.
fn goes_on(record: &Record) -> (bool, bool, Option<DateTime<Utc>>) {
    let is_unreadable = matches!(record.last_heartbeat, Time::Unreadable(_));
    (!record.is_completed(), is_unreadable, record.last_heartbeat.at().or(record.start_time.at()))
}

/// A value that could be read, the reason why not, or nothing where the process is gone.
pub(super) fn gone<T>(read: io::Result<Option<T>>) -> Option<Result<T, String>> {
    read.map_err(|error| error.to_string()).transpose()
}

/// A variable's value, where it is a text.
pub(super) fn variable(environment: &[Vec<u8>], name: &str) -> Option<String> {
    let value = environment.iter().find_map(|text| text.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(value.to_vec()).ok().filter(|value| !value.is_empty())
}

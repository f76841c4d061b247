//! Everything that decides about one candidate, read from /proc and joined with what the records say.

use std::io;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use rustc_hash::{FxHashMap, FxHashSet};

use super::candidates::{Candidate, Likeness, Programs};
use super::sessions::{by_id, by_leader, owner_of, tracked};
use super::survey::{Scene, Survey};
use crate::config::{Dirs, Environment};
use crate::filesystem::proc::{Stat, terminal_name};
use crate::policy::orphan::{Facts, Group, Heartbeat, Owner, Relation, Session, Vendor};
use crate::processes::group::{Company, Groups};
use crate::processes::parent::Adopters;
use crate::processes::records::{Record, Time};
use crate::providers::live::{NamedProcess, NamedProcesses, Role, Standing};
use crate::providers::row::{LiveRule, Part};

/// The environment that a process was started with, or why it cannot be read.
type Environs = Result<Vec<Vec<u8>>, String>;

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
    tracked: FxHashMap<u32, usize>,
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
        let group = groups.as_ref().map(|groups| self.group_of(process, groups)).map_err(Clone::clone);
        let environment = gone(proc.environment(process.pid))?;
        let (session, sessions) = self.session_of(candidate, &environment);
        let provider = self.provider_of(candidate, &environment);
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

    fn relation(&self, process: &Stat) -> Option<Relation> {
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
    fn group_of(&self, process: &Stat, groups: &str) -> Group {
        let company = Company {
            table: &self.survey.table,
            is_adopter: &|pid| self.adopters.has(pid),
            is_guardian: &|process| self.adopters.is_guardian(process),
            is_of_cli: &|process| self.programs.likeness(process).is_some(),
        };
        self.groups.of(process.pid, groups, &company)
    }

    /// What the vendors' own files say of a process.
    fn vendor(&self, candidate: &Candidate<'_>, provider: Option<usize>, environment: &Environs) -> Vendor {
        let pid = candidate.process.pid;
        let (elsewhere, mut doubt) = self.named_elsewhere(candidate, environment);
        for (place, named) in self.survey.named.iter().chain(&elsewhere).filter(|(_, named)| named.pid == pid) {
            let provider = &self.scene.catalogue.at(*place).provider.name;
            match (&named.standing, named.role) {
                (Standing::Gone, _) => {}
                (Standing::Unverifiable(why), _) => {
                    doubt = Some(format!("{provider} names it in {}: {why}", named.path.display()));
                }
                (Standing::Live, Role::Worker { daemon, daemon_alive: true }) => return Vendor::Worker { daemon },
                (Standing::Live, Role::Worker { daemon, daemon_alive: false }) => {
                    doubt =
                        Some(format!("it is a worker of {provider}'s daemon {daemon}, whose next one takes it over"));
                }
                (Standing::Live, Role::Daemon) => return Vendor::Live(format!("it is {provider}'s daemon")),
                (Standing::Live, Role::Session) => {
                    let session =
                        named.session.as_deref().map_or_else(String::new, |session| format!(", session {session}"));
                    return Vendor::Live(format!("{provider} has it among its own live processes{session}"));
                }
            }
        }
        match self.open_transcript(candidate) {
            Some(Ok(open)) => return Vendor::Live(open),
            Some(Err(why)) => doubt = Some(why),
            None => {}
        }
        let unread = provider.and_then(|place| {
            let provider = &self.scene.catalogue.at(place).provider.name;
            let why = self.survey.vendor_errors.get(&place)?;
            Some(format!("{provider}'s own list of live processes cannot be read: {why}"))
        });
        doubt.or(unread).map_or(Vendor::Silent, Vendor::Unknown)
    }

    /// What a CLI's own files say where that keeps them elsewhere than this run's environment has it, and what of them could
    /// not be read.
    fn named_elsewhere(
        &self,
        candidate: &Candidate<'_>,
        environment: &Environs,
    ) -> (Vec<(usize, NamedProcess)>, Option<String>) {
        let is_cli = |likeness: &Likeness| likeness.part == Part::Cli;
        let Some(likeness) = candidate.likeness.filter(is_cli) else { return (Vec::new(), None) };
        let row = self.scene.catalogue.at(likeness.provider);
        let home = row.provider.live_home.as_ref().unwrap_or(&row.provider.home);
        let text = |variable: &Vec<u8>| {
            let (name, value) = std::str::from_utf8(variable).ok()?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        let own: Environment = environment.as_deref().unwrap_or_default().iter().filter_map(text).collect();
        let home = Dirs::find(&own).map(|dirs| dirs.provider_home(home, &own));
        let Some(home) = home.ok().filter(|home| *home != row.live_home) else { return (Vec::new(), None) };
        let found = NamedProcesses::gather(&row.provider, &home, self.scene.proc);
        let named = found.processes.into_iter().map(|named| (likeness.provider, named));
        (named.collect(), found.errors.into_iter().next())
    }

    /// The transcript that a CLI holds open, where its provider's do.
    fn open_transcript(&self, candidate: &Candidate<'_>) -> Option<Result<String, String>> {
        let likeness = candidate.likeness.filter(|likeness| likeness.part == Part::Cli)?;
        let row = self.scene.catalogue.at(likeness.provider);
        if !row.provider.live.contains(&LiveRule::OpenTranscript) {
            return None;
        }
        let home = row.home.canonicalize().unwrap_or_else(|_| row.home.clone());
        let mut found = None;
        let looked = self.scene.proc.open_files(candidate.process.pid, |file| {
            let path = file.path();
            if path.starts_with(&home)
                && path.extension().is_some_and(|extension| extension == "jsonl" || extension == "json")
            {
                found = Some(format!("it has a session open: {}", path.display()));
            }
        });
        match looked {
            Err(error) => Some(Err(format!("whether it has a session open cannot be told: {error}"))),
            Ok(_) => found.map(Ok),
        }
    }

    /// Whether something shows that a CLI started a process, or it is one.
    fn is_of_cli(&self, candidate: &Candidate<'_>, environment: &Environs) -> bool {
        let is_cli = candidate.likeness.is_some_and(|likeness| likeness.part == Part::Cli);
        let has_mark = || {
            let environment = environment.as_ref().ok()?;
            let mut marks = self.scene.catalogue.iter().flat_map(|row| &row.provider.processes.marks);
            marks.find(|mark| variable(environment, mark).is_some())
        };
        is_cli || self.tracked.contains_key(&candidate.process.pid) || has_mark().is_some()
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

    /// The session of a process that decides: that of which it is the CLI, else those of the CLIs that started it. All their
    /// ids besides, also where nothing is known of them.
    fn session_of(&self, candidate: &Candidate<'_>, environment: &Environs) -> (Option<Session>, Vec<String>) {
        let process = candidate.process;
        if let Some(place) = self.tracked.get(&process.pid) {
            let session = tracked(&self.survey.records[*place], Owner::Itself, self.scene);
            let id = session.id.clone();
            return (Some(session), vec![id]);
        }
        let mut ids: Vec<String> = Vec::new();
        let is_own = |named: &NamedProcess| named.pid == process.pid && named.standing == Standing::Live;
        ids.extend(
            self.survey.named.iter().filter(|(_, named)| is_own(named)).filter_map(|(_, named)| named.session.clone()),
        );
        let own = ids.len();
        let environment = match environment {
            Ok(environment) => environment,
            Err(why) => {
                let owner = Owner::Unknown(format!("its environment cannot be read: {why}"));
                return (Some(Session { id: String::new(), owner, heartbeat: None, is_completed: false }), ids);
            }
        };
        let names = self.scene.catalogue.iter().flat_map(|row| &row.provider.processes.session_variables);
        ids.extend(names.filter_map(|name| variable(environment, name)));
        // All of those that started it must be over: what a CLI started inside another one's session is both's.
        let sessions = ids[own..].iter().filter_map(|id| by_id(id, self.scene, self.survey));
        let session = sessions.max_by_key(|session| match &session.owner {
            Owner::Runs(_) => 3,
            Owner::Unknown(_) => 2,
            Owner::Itself | Owner::Ends(_) => 1,
            Owner::Gone(_) | Owner::Reused(_) => 0,
        });
        let session =
            session.or_else(|| if ids.is_empty() { by_leader(process, self.scene, self.survey) } else { None });
        // That the session is over in which a CLI was started says nothing of its own.
        let is_cli = candidate.likeness.is_some_and(|likeness| likeness.part == Part::Cli);
        let session = session.filter(|session| !is_cli || matches!(session.owner, Owner::Runs(_) | Owner::Unknown(_)));
        if let Some(session) = session.as_ref().filter(|_| own == 0) {
            ids.insert(0, session.id.clone());
        }
        let mut seen = FxHashSet::default();
        ids.retain(|id| seen.insert(id.clone()));
        (session, ids)
    }

    /// Who among the processes below must not be ended with an orphan, and why.
    pub(super) fn sheltered(&self, process: &Stat) -> Option<(u32, String)> {
        let below = self.survey.table.descendants(process.pid);
        below.into_iter().filter(|(below, _)| below.runs()).find_map(|(below, _)| {
            let why = self.why_sheltered(below)?;
            Some((below.pid, why))
        })
    }

    fn why_sheltered(&self, process: &Stat) -> Option<String> {
        match self.relation(process) {
            None => {}
            Some(_) => return Some("it belongs to this run".to_owned()),
        }
        if process.terminal != 0 {
            return Some(format!("it is at {}, which is open", terminal_name(process.terminal)));
        }
        if self.adopters.is_guardian(process) {
            return Some("people may come back to what it holds".to_owned());
        }
        match self.look_below(process) {
            // Gone by now.
            None => None,
            Some(Err(why)) => Some(format!("it cannot be looked at: {why}")),
            Some(Ok(why)) => why.map(ToOwned::to_owned),
        }
        .or_else(|| {
            let holds = |named: &NamedProcess| named.pid == process.pid && named.standing != Standing::Gone;
            let (place, named) = self.survey.named.iter().find(|(_, named)| holds(named))?;
            let provider = &self.scene.catalogue.at(*place).provider.name;
            Some(format!("{provider} names it in {}", named.path.display()))
        })
        .or_else(|| {
            let record = &self.survey.records[*self.tracked.get(&process.pid)?];
            let fresh = match super::sessions::heartbeat_of(record, self.scene) {
                Heartbeat::Ago(ago) => ago <= self.scene.settings.stale,
                Heartbeat::Unknown(_) => true,
            };
            fresh.then(|| format!("it runs the session {}", record.session_id.as_str()))
        })
    }

    /// What in /proc keeps a process below an orphan from being ended.
    fn look_below(&self, process: &Stat) -> Option<Result<Option<&'static str>, String>> {
        let proc = self.scene.proc;
        let users = gone(proc.users(process.pid))?;
        let groups = gone(proc.control_groups(process.pid))?;
        let namespace = gone(proc.pid_namespace_of(process.pid))?;
        let executable = gone(proc.executable(process.pid))?;
        let look = || {
            let group = self.group_of(process, &groups?);
            executable?;
            Ok(if !users?.are(self.scene.here.user) {
                Some("it is another user's")
            } else if Some(namespace?) != self.scene.here.namespace {
                Some("it is in another pid namespace")
            } else {
                match group {
                    Group::Service(_) => Some("it belongs to a service"),
                    Group::Container(_) => Some("it is in a container"),
                    Group::None | Group::Scope { .. } => None,
                }
            })
        };
        Some(look())
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
fn gone<T>(read: io::Result<Option<T>>) -> Option<Result<T, String>> {
    read.map_err(|error| error.to_string()).transpose()
}

/// A variable's value, where it is a text.
fn variable(environment: &[Vec<u8>], name: &str) -> Option<String> {
    let value = environment.iter().find_map(|text| text.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(value.to_vec()).ok().filter(|value| !value.is_empty())
}

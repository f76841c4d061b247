//! Looks at one installation and makes the plan for it; reads only.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use rustc_hash::FxHashSet;

use super::crew::Crew;
use super::decide::Rules;
use super::plan::{Liveness, Plan, SessionItem};
use super::seen::Seen;
use crate::config::setting::QueueSettings;
use crate::filesystem::proc::Proc;
use crate::interrupt;
use crate::policy::duration::format_age;
use crate::policy::queue::contradicts_death;
use crate::queues::central::{self, SessionRow, Status};
use crate::queues::clocks::Clocks;
use crate::queues::containers::{Belongs, belongs};
use crate::queues::host::Host;
use crate::queues::installation::Installation;
use crate::queues::memory::{Memory, Remembered};
use crate::queues::runtime::{Container, Runtimes};
use crate::queues::session::{Groups, Look, SessionFolder};
use crate::queues::zone::{Zone, zone_of};

/// What an installation is looked at by.
pub(crate) struct Scene<'s> {
    pub(crate) installation: Installation,
    pub(crate) settings: &'s QueueSettings,
    pub(crate) runtimes: Runtimes,
    pub(crate) proc: &'s Proc,
    pub(super) zone: Zone,
    rules: Rules,
    /// From when on silence counts.
    awake: Cell<Option<DateTime<Utc>>>,
    /// When this run really began, whatever instant it rehearses.
    pub(crate) started: DateTime<Utc>,
    /// When this scene was made.
    begun: Instant,
    /// How long databases that others write may still keep us waiting, all together.
    patience: Cell<Duration>,
    /// The last listing of containers, and when it began.
    listed: RefCell<Option<(Instant, Listing)>>,
}

/// How many locked databases one run waits for: the rest is told as locked at once, and looked at by the next.
const WAITS: u32 = 6;

/// What takes so long was kept waiting.
const NOTICEABLE: Duration = Duration::from_millis(50);

/// All containers, or why nobody knows them.
type Listing = Result<Vec<Container>, String>;

/// How much of an installation is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Its containers alone.
    Containers,
    /// Sessions that may have something to do.
    Changed,
    /// All that are active.
    All,
}

/// How all sessions are looked at, once.
#[derive(Clone, Copy)]
struct Pass {
    extent: Extent,
    finds_journals: bool,
}

impl<'s> Scene<'s> {
    /// # Errors
    /// There is no installation in this folder, or its zone cannot be told.
    pub(crate) fn new(
        folder: &Path,
        settings: &'s QueueSettings,
        (path, zone_variable): (&OsStr, Option<&OsStr>),
        proc: &'s Proc,
        (now, started): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<Self> {
        let installation = Installation::at(folder)?;
        let zone = zone_of(settings.zone, zone_variable, &installation.root);
        let rules = Rules {
            thresholds: settings.thresholds(),
            has_wake: !settings.wake.command.is_empty(),
            zone: zone.tz,
            now,
            awake: None,
        };
        let runtimes = Runtimes::find(&settings.runtime, path);
        Ok(Self {
            installation,
            settings,
            runtimes,
            proc,
            zone,
            rules,
            started,
            begun: Instant::now(),
            awake: Cell::new(None),
            patience: Cell::new(settings.wait.saturating_mul(WAITS)),
            listed: RefCell::new(None),
        })
    }

    /// Looks and decides. What is to be remembered of the sessions goes into `memory`.
    ///
    /// # Errors
    /// Which sessions there are cannot be read.
    pub(crate) fn plan(&self, extent: Extent, memory: &mut Memory) -> Result<Plan> {
        // Containers before sessions: a session is in the table before its container is started, so that one without a
        // session has none indeed.
        let listed = self.list();
        let central = central::read(&self.installation.central(), self.settings.wait)?;
        let host = Host::look(&self.installation, &central.hosts, self.proc, self.rules.now);
        let mut crew = Crew::of(listed.as_deref(), &self.installation);
        let mut plan = Plan {
            root: self.installation.root.clone(),
            slug: self.installation.slug.clone(),
            generation: central.generation,
            hands_off: self.hands_off(&host),
            host,
            runtime: listed.as_ref().map(|_| self.runtimes.names()).map_err(Clone::clone),
            zone: self.zone.clone(),
            thresholds: self.rules.thresholds,
            has_wake: self.rules.has_wake,
            sessions: Vec::new(),
            unchanged: 0,
            containers: Vec::new(),
            problems: self.zone.problems.clone(),
            notes: notes_on(&central.sessions),
        };
        let leapt = memory.leap(Clocks::now(), self.rules.now);
        // A clock that was set back does not make silence count from a time that is still to come.
        self.awake.set(memory.leapt().filter(|leapt| *leapt <= self.rules.now));
        plan.notes.extend(leapt.map(|leapt| {
            let leapt = format_age(leapt);
            format!(
                "since the last sweep the machine was started, slept or had its clock set ({leapt}): silence counts from now on"
            )
        }));
        let active = || central.sessions.iter().filter(|row| row.status == Status::Active);
        let mut groups = Groups::new(&self.installation.sessions);
        let finds_journals = extent == Extent::Changed && memory.is_time_for_journals(self.rules.now);
        let pass = Pass { extent, finds_journals };
        for row in active().filter(|_| extent != Extent::Containers) {
            interrupt::mark();
            let liveness = crew.liveness_of(&row.id, &row.group, &self.installation);
            match self.session(row, liveness, pass, &mut groups, memory) {
                Some(item) => plan.sessions.push(item),
                None => plan.unchanged += 1,
            }
        }
        let ids: FxHashSet<&str> = active().map(|row| row.id.as_str()).collect();
        memory.keep(|session| ids.contains(session));
        plan.containers = crew.items(&central);
        plan.problems.extend(plan.containers.iter().filter(|item| item.is_of_nobody()).map(|item| {
            let name = &item.container.name;
            format!("container {name}: {}; sessions that it may be of are left alone", item.reason)
        }));
        Ok(plan)
    }

    /// Why nothing is to be done, only said.
    fn hands_off(&self, host: &Host) -> Option<String> {
        if self.settings.take_over || *host == Host::Stopped {
            return None;
        }
        let why = host.reason().unwrap_or_default();
        Some(match host {
            Host::Running(_) => format!("its host runs ({why}) and does this itself; --take-over does it all the same"),
            _ => format!("whether its host runs is not known ({why}); --take-over does it all the same"),
        })
    }

    /// Why nothing is to be done any more: a host has started since the plan was made.
    pub(super) fn is_taken_over(&self) -> Option<String> {
        if self.settings.take_over {
            return None;
        }
        let hosts = match central::read_hosts(&self.installation.central(), self.settings.wait) {
            Ok(hosts) => hosts,
            Err(error) => return Some(format!("whether its host runs by now cannot be told: {error:#}")),
        };
        let host = Host::look(&self.installation, &hosts, self.proc, self.by_now());
        let why = host.reason().map(str::to_owned);
        why.map(|why| format!("its host runs by now ({why}), and does this itself"))
    }

    /// The instant of the plan and what has gone by since.
    pub(super) fn by_now(&self) -> DateTime<Utc> {
        self.rules.now + TimeDelta::from_std(self.begun.elapsed()).unwrap_or_default()
    }

    /// All containers, as of now.
    fn list(&self) -> Listing {
        let begun = Instant::now();
        let listing = self.ask();
        *self.listed.borrow_mut() = Some((begun, listing.clone()));
        listing
    }

    fn ask(&self) -> Listing {
        let apart = |owner| Some((self.runtimes.of_each_user()?, owner));
        match self.installation.other_owner().and_then(apart) {
            Some((runtime, owner)) => Err(format!(
                "{runtime} has each user's containers apart, and this installation is of the user with number {owner}: run \
                 this as that user"
            )),
            None => self.runtimes.list(),
        }
    }

    /// Forgets the last listing: something was started or stopped.
    pub(super) fn forget(&self) {
        *self.listed.borrow_mut() = None;
    }

    /// Which containers of a session run, as it was at most so long ago.
    pub(super) fn liveness_of(&self, session: &str, group: &str, ago: Duration) -> Liveness {
        let known = self.listed.borrow().clone().filter(|(begun, _)| begun.elapsed() < ago);
        let listed = known.map_or_else(|| self.list(), |(_, listing)| listing);
        Crew::of(listed.as_deref(), &self.installation).liveness_of(session, group, &self.installation)
    }

    /// Whether a container that works on one of the sessions is this installation's to stop.
    pub(super) fn may_stop(&self, container: &Container) -> bool {
        matches!(belongs(container, &self.installation), Belongs::Session { may_be_stopped: true, .. })
    }

    /// What the installation's containers are labelled with.
    pub(crate) fn slug(&self) -> &str {
        &self.installation.slug
    }

    /// The installation's folder, links resolved.
    pub(crate) fn root(&self) -> &Path {
        &self.installation.root
    }

    /// One session; nothing where it has not changed since nothing was to be done.
    fn session(
        &self,
        row: &SessionRow,
        liveness: Liveness,
        pass: Pass,
        groups: &mut Groups<'_>,
        memory: &mut Memory,
    ) -> Option<SessionItem> {
        let Pass { extent, finds_journals } = pass;
        let rules = &self.rules();
        let mut item = SessionItem::new(row, liveness);
        let remembered = memory.get(&row.id).cloned().unwrap_or_default();
        let path = match self.installation.session(&row.group, &row.id) {
            Ok(path) => path,
            Err(why) => {
                item.problem = Some(why);
                return Some(item);
            }
        };
        if !row.has_group {
            item.notes.push(format!("there is no agent group {}: left alone", row.group));
            return Some(item);
        }
        let folder = groups.session(&row.group, path);
        // Before the databases are read: what changes meanwhile has other stamps than these. Beside a journal they tell
        // nothing.
        let stamps = folder.stamps().filter(|_| !(finds_journals && folder.has_journal()));
        if item.liveness.is_alive() == Some(true) {
            item.heartbeat = folder.heartbeat();
        }
        let is_quiet = remembered.quiet.is_some_and(|quiet| quiet.holds(stamps, rules.now));
        item.tell_doubts(&remembered, rules);
        if extent == Extent::Changed && is_quiet && !item.signs(&remembered).judge(None, &[], rules).stops() {
            return (!item.notes.is_empty()).then_some(item);
        }
        item.heartbeat = folder.heartbeat();
        if item.liveness.is_alive() == Some(false) && contradicts_death(item.heartbeat, rules.now) {
            item.liveness = Liveness::Unknown;
            item.notes.push("it gives heartbeats, though no container of it is known: left alone".to_owned());
        }
        let seen = self.look(&folder, &mut item, &remembered);
        memory.set(&row.id, seen.remember(stamps, self.started, &remembered, rules));
        Some(item)
    }

    /// Does what a locked database may keep waiting, for as long as it still may.
    pub(super) fn patiently<T>(&self, work: impl FnOnce(Duration) -> T) -> T {
        let patience = self.settings.wait.min(self.patience.get());
        let begun = Instant::now();
        let done = work(patience);
        let took = begun.elapsed();
        if took >= patience.min(NOTICEABLE) {
            self.patience.set(self.patience.get().saturating_sub(took));
        }
        done
    }

    /// What holds for every session.
    pub(super) fn rules(&self) -> Rules {
        Rules { awake: self.awake.get(), ..self.rules }
    }

    /// Reads a session's databases and decides.
    pub(super) fn look(&self, folder: &SessionFolder, item: &mut SessionItem, remembered: &Remembered) -> Seen {
        match self.patiently(|patience| folder.look(patience)) {
            Look::Nothing => Seen::default(),
            Look::Broken(why) => {
                item.problem = Some(why);
                Seen::default()
            }
            Look::HotJournal(database) => {
                item.hot_journal(database);
                Seen::default()
            }
            Look::Facts(facts) => item.decide(&facts, remembered, &self.rules()),
        }
    }
}

/// What is said of sessions that are in a state which is not known here.
fn notes_on(sessions: &[SessionRow]) -> Vec<String> {
    let mut statuses: BTreeMap<&str, usize> = BTreeMap::new();
    for row in sessions {
        if let Status::Other(status) = &row.status {
            *statuses.entry(status).or_default() += 1;
        }
    }
    let note = |(status, number)| {
        let sessions = if number == 1 { "1 session has".to_owned() } else { format!("{number} sessions have") };
        format!("{sessions} the status {status:?}, which is not known here: left alone")
    };
    statuses.into_iter().map(note).collect()
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;

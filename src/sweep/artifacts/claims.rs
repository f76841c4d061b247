//! Who speaks for a session: running processes, a bridge's map, an agent host, the archive.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rustc_hash::{FxHashMap, FxHashSet};

use super::clis::{Cli, Running};
use super::homes::{Continued, Home, Whose};
use super::open::Open;
use super::units::Unit;
use crate::artifacts::archive::Entry;
use crate::filesystem::proc::Proc;
use crate::policy::artifact::Claim;
use crate::providers::Catalogue;
use crate::providers::live::{LiveSessions, Liveness, NamedProcesses, Standing};
use crate::providers::row::LiveRule;
use crate::queues::continuations;

/// A CLI may write its files a moment before the kernel's clock says that it began.
const TOLERANCE: TimeDelta = TimeDelta::seconds(60);
/// How long a database of an agent host may be busy.
const PATIENCE: Duration = Duration::from_secs(2);

/// What speakers are gathered from, beside what runs.
#[derive(Default)]
pub(crate) struct Known<'k> {
    /// The sessions of a bridge's map.
    pub(crate) mapped: Vec<String>,
    /// Those whose mappings were pruned, and can be put back.
    pub(crate) restorable: Vec<String>,
    pub(crate) archive: &'k [Entry],
    /// Why one of these is not known of all sessions.
    pub(crate) trouble: Option<String>,
    /// The folder of this program's own state, which holds the archive.
    pub(crate) state: PathBuf,
}

/// What is known of all homes.
pub(crate) struct Speakers<'s> {
    catalogue: &'s Catalogue,
    proc: &'s Proc,
    /// Sessions that a bridge's map leads to, or led to and can lead to again.
    mapped: FxHashMap<String, Claim>,
    /// When sessions were put back from the archive.
    put_back: FxHashMap<String, DateTime<Utc>>,
    /// Why one of these is not known of all.
    trouble: Option<String>,
    /// Links resolved.
    state: PathBuf,
    running: Result<Running, String>,
}

/// What speaks for the sessions of one home.
pub(super) struct Claims<'s> {
    speakers: &'s Speakers<'s>,
    home: PathBuf,
    live: LiveSessions,
    /// The CLI's process that began first.
    first: Option<(u32, DateTime<Utc>)>,
    /// The first of those that do not say which session they have open.
    first_unnamed: Option<(u32, DateTime<Utc>)>,
    /// All of those.
    unnamed: Vec<u32>,
    /// Whether a transcript that is held open is a sign of a running session.
    by_open_files: bool,
    /// One of those that was told to go on with a session, and not with which one.
    resumes_any: Option<u32>,
    /// Sessions that an agent host goes on with.
    continued: FxHashSet<String>,
    group: String,
    /// Why a session of this home may be claimed without that it is seen.
    pub(super) trouble: Option<String>,
}

impl<'s> Speakers<'s> {
    /// Looks at what runs.
    pub(crate) fn gather((catalogue, proc): (&'s Catalogue, &'s Proc), known: Known<'_>) -> Self {
        let Known { mapped, restorable, archive, trouble, state } = known;
        let mut claims: FxHashMap<String, Claim> =
            restorable.into_iter().map(|session| (session, Claim::Restorable)).collect();
        claims.extend(mapped.into_iter().map(|session| (session, Claim::Mapped)));
        let put_back = archive.iter().filter_map(|entry| {
            let manifest = &entry.manifest;
            manifest.restored_at.map(|at| (manifest.session.clone(), at))
        });
        let mut latest = FxHashMap::default();
        for (session, at) in put_back {
            let known = latest.entry(session).or_insert(at);
            *known = at.max(*known);
        }
        let running = Running::look(catalogue, proc);
        let state = fs_err::canonicalize(&state).unwrap_or(state);
        Self { catalogue, proc, mapped: claims, put_back: latest, trouble, state, running }
    }

    /// What speaks for the sessions of `home`.
    pub(super) fn of(&'s self, home: &Home<'_>) -> Claims<'s> {
        let mut claims = Claims {
            speakers: self,
            home: home.folder.clone(),
            live: LiveSessions::default(),
            first: None,
            first_unnamed: None,
            unnamed: Vec::new(),
            by_open_files: home.row.is_some_and(|row| row.live.contains(&LiveRule::OpenTranscript)),
            resumes_any: None,
            continued: FxHashSet::default(),
            group: String::new(),
            trouble: None,
        };
        if let Whose::Group { group, continued } = &home.whose {
            claims.group.clone_from(group);
            let found = match continued {
                Continued::V1(database) => continuations::of_v1(database, PATIENCE),
                Continued::V2(folder) => continuations::of_group(folder, PATIENCE),
            };
            match found {
                Ok(ids) => claims.continued.extend(ids),
                Err(error) => claims.trouble = Some(format!("{error:#}")),
            }
        }
        let Some(row) = home.row else { return claims };
        claims.live = LiveSessions::gather(row, &home.signs, &|_| true, self.proc);
        let named = NamedProcesses::gather(row, &home.signs, self.proc);
        let unseen = claims.live.errors.first().or_else(|| named.errors.first()).cloned();
        claims.trouble =
            claims.trouble.take().or(unseen.map(|why| format!("which sessions are open is not known: {why}")));
        if !home.sees_processes {
            // What its containers run is told by the host, not by processes.
            return claims;
        }
        match &self.running {
            Ok(running) => claims.take_processes(home, &running.clis, &named),
            Err(why) => claims.trouble = Some(format!("which CLIs run is not known: {why}")),
        }
        claims
    }
}

impl Speakers<'_> {
    /// A process that names this session.
    fn names(&self, session: &str) -> Option<u32> {
        self.running.as_ref().ok()?.names(session)
    }
}

impl Claims<'_> {
    fn take_processes(&mut self, home: &Home<'_>, clis: &[Cli], named: &NamedProcesses) {
        let row = self.speakers.catalogue.named(&home.provider);
        let is_named = |pid: u32| {
            let mut says = named.processes.iter().filter(|process| process.pid == pid);
            says.any(|process| process.standing == Standing::Live && process.session.is_some())
        };
        let is_here = |cli: &&Cli| Some(cli.provider) == row && cli.may_work_in(&home.folder);
        for cli in clis.iter().filter(is_here) {
            let began = |first: Option<(u32, DateTime<Utc>)>| {
                let is_first = first.is_none_or(|(_, at)| cli.started < at);
                if is_first { Some((cli.pid, cli.started)) } else { first }
            };
            self.first = began(self.first);
            if !is_named(cli.pid) {
                self.first_unnamed = began(self.first_unnamed);
                self.unnamed.push(cli.pid);
                self.resumes_any = self.resumes_any.or(cli.resumes_any.then_some(cli.pid));
            }
        }
    }

    /// Everything that speaks for `unit`, which is a part of the sessions `above` where it is a sub-agent's.
    pub(super) fn on(&self, unit: &Unit, above: &[&str], open: &Open) -> Vec<Claim> {
        let mut claims = Vec::new();
        let sessions = unit.sessions();
        for session in sessions.iter().map(String::as_str).chain(above.iter().copied()) {
            claims.extend(self.live_claim(session));
            claims.extend(self.speakers.names(session).map(|pid| Claim::Named { pid }));
            claims.extend(self.speakers.mapped.get(session).cloned());
            claims.extend(self.continued(session));
        }
        claims.extend(open.holder(unit).map(|pid| Claim::Live { pid }));
        claims.extend(self.holds_own_state(unit).then_some(Claim::Own));
        if unit.session.is_some() {
            claims.extend(self.resumes_any.map(|pid| Claim::Running { pid }));
            claims.extend(self.unseen_holder(open));
        }
        // Where files name no session, any process may be theirs.
        let first = if sessions.is_empty() { self.first } else { self.first_unnamed };
        if let (Some((pid, began)), Some(modified)) = (first, unit.modified())
            && modified + TOLERANCE >= began
        {
            claims.push(Claim::Running { pid });
        }
        claims
    }

    /// Whether this program keeps its archive in it, or it in its archive's folder: no rule of a CLI's is about that.
    fn holds_own_state(&self, unit: &Unit) -> bool {
        let state = &self.speakers.state;
        let is_near = |path: &Path| path.starts_with(state) || state.starts_with(path);
        // A state folder that is nowhere is near to everything.
        state.is_absolute() && unit.pieces.iter().any(|piece| is_near(&self.home.join(&piece.path)))
    }

    /// A CLI that may hold any transcript open, where that is a sign, as its files are not for us to see.
    fn unseen_holder(&self, open: &Open) -> Option<Claim> {
        let pid = self.unnamed.iter().find(|pid| self.by_open_files && open.hidden.contains(pid))?;
        Some(Claim::MayBeLive(format!("process {pid} does not let its open files be seen")))
    }

    /// The word of an agent host that goes on with the session.
    pub(super) fn continued(&self, session: &str) -> Option<Claim> {
        let goes_on = self.continued.iter().any(|value| value == session || value.contains(session));
        goes_on.then(|| Claim::Continued { group: self.group.clone() })
    }

    /// Whether a process has the session open now, as far as the CLI's files tell.
    fn live_claim(&self, session: &str) -> Option<Claim> {
        self.live.get(session).map(|liveness| match liveness {
            Liveness::Live { pid, .. } => Claim::Live { pid: *pid },
            Liveness::Unverifiable { reason } => Claim::MayBeLive(reason.clone()),
        })
    }

    /// Why it cannot be told of all sessions whether they are mapped, or were put back from the archive.
    pub(super) fn trouble_with_sessions(&self) -> Option<String> {
        self.speakers.trouble.clone()
    }

    /// When a session was put back from the archive.
    pub(super) fn put_back(&self, session: &str) -> Option<DateTime<Utc>> {
        self.speakers.put_back.get(session).copied()
    }
}

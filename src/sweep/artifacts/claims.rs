//! Who speaks for a session: running processes, a bridge's map, an agent host, the archive.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rustc_hash::{FxHashMap, FxHashSet};

use super::homes::{Continued, Home, Whose};
use super::units::Unit;
use crate::artifacts::archive::Entry;
use crate::artifacts::survey::Piece;
use crate::filesystem::proc::Proc;
use crate::policy::artifact::Claim;
use crate::processes::table::Table;
use crate::providers::Catalogue;
use crate::providers::live::{LiveSessions, Liveness, NamedProcesses, OpenFiles, Standing};
use crate::providers::row::LiveRule;
use crate::queues::continuations;
use crate::sweep::processes::candidates::Programs;

/// A CLI may write its files a moment before the kernel's clock says that it began.
const TOLERANCE: TimeDelta = TimeDelta::seconds(60);
/// How long a database of an agent host may be busy.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of all homes.
pub(crate) struct Speakers<'s> {
    catalogue: &'s Catalogue,
    proc: &'s Proc,
    /// Sessions that a bridge's map leads to, or led to and can lead to again.
    mapped: FxHashMap<String, Claim>,
    /// When sessions were put back from the archive.
    put_back: FxHashMap<String, DateTime<Utc>>,
    /// Why that is not known of all.
    archive_trouble: Option<String>,
    clis: Result<Vec<Cli>, String>,
}

/// A running process of a CLI.
#[derive(Debug, Clone, Copy)]
struct Cli {
    provider: usize,
    pid: u32,
    /// The user that it runs as; nothing where that cannot be seen.
    owner: Option<u32>,
    started: DateTime<Utc>,
}

/// What speaks for the sessions of one home.
pub(super) struct Claims<'s> {
    speakers: &'s Speakers<'s>,
    live: LiveSessions,
    /// The CLI's process that began first.
    first: Option<(u32, DateTime<Utc>)>,
    /// The first of those that do not say which session they have open.
    first_unnamed: Option<(u32, DateTime<Utc>)>,
    /// Sessions that an agent host goes on with.
    continued: FxHashSet<String>,
    group: String,
    /// Why a session of this home may be claimed without that it is seen.
    pub(super) trouble: Option<String>,
}

impl<'s> Speakers<'s> {
    /// `mapped` are the sessions of a bridge's map, `restorable` those whose mappings were pruned.
    pub(crate) fn gather(
        (catalogue, proc): (&'s Catalogue, &'s Proc),
        mapped: impl IntoIterator<Item = String>,
        restorable: impl IntoIterator<Item = String>,
        (archive, archive_trouble): (&[Entry], Option<String>),
    ) -> Self {
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
        let clis = clis(catalogue, proc);
        Self { catalogue, proc, mapped: claims, put_back: latest, archive_trouble, clis }
    }

    /// What speaks for the sessions of `home`.
    pub(super) fn of(&'s self, home: &Home<'_>) -> Claims<'s> {
        let mut claims = Claims {
            speakers: self,
            live: LiveSessions::default(),
            first: None,
            first_unnamed: None,
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
        match &self.clis {
            Ok(clis) => claims.take_processes(home, clis, &named),
            Err(why) => claims.trouble = Some(format!("which CLIs run is not known: {why}")),
        }
        claims
    }
}

impl Claims<'_> {
    fn take_processes(&mut self, home: &Home<'_>, clis: &[Cli], named: &NamedProcesses) {
        let owner = std::fs::metadata(&home.folder).map(|folder| folder.uid()).ok();
        let row = self.speakers.catalogue.named(&home.provider);
        let is_named = |pid: u32| {
            let mut says = named.processes.iter().filter(|process| process.pid == pid);
            says.any(|process| process.standing == Standing::Live && process.session.is_some())
        };
        let is_here = |cli: &&Cli| Some(cli.provider) == row && (cli.owner.is_none() || cli.owner == owner);
        for cli in clis.iter().filter(is_here) {
            let began = |first: Option<(u32, DateTime<Utc>)>| {
                let is_first = first.is_none_or(|(_, at)| cli.started < at);
                if is_first { Some((cli.pid, cli.started)) } else { first }
            };
            self.first = began(self.first);
            if !is_named(cli.pid) {
                self.first_unnamed = began(self.first_unnamed);
            }
        }
    }

    /// Everything that speaks for `unit`, which is a part of the session `parent` where it is a sub-agent's.
    pub(super) fn on(&self, unit: &Unit, parent: Option<&str>, open: &Open) -> Vec<Claim> {
        let mut claims = Vec::new();
        let sessions = unit.sessions();
        for session in sessions.iter().map(String::as_str).chain(parent) {
            claims.extend(self.live_claim(session));
            claims.extend(self.speakers.mapped.get(session).cloned());
            claims.extend(self.continued(session));
        }
        claims.extend(open.holder(unit).map(|pid| Claim::Live { pid }));
        // Where files name no session, any process may be theirs.
        let first = if sessions.is_empty() { self.first } else { self.first_unnamed };
        if let (Some((pid, began)), Some(modified)) = (first, unit.modified())
            && modified + TOLERANCE >= began
        {
            claims.push(Claim::Running { pid });
        }
        claims
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

    /// Why it cannot be told of all sessions whether they were put back from the archive.
    pub(super) fn archive_trouble(&self) -> Option<String> {
        self.speakers.archive_trouble.clone()
    }

    /// When a session was put back from the archive.
    pub(super) fn put_back(&self, session: &str) -> Option<DateTime<Utc>> {
        self.speakers.put_back.get(session).copied()
    }
}

/// Looks again whether somebody has `unit` open.
pub(super) fn is_open_now(home: &Home<'_>, unit: &Unit, proc: &Proc) -> Result<bool, String> {
    let Some(row) = home.row else { return Ok(false) };
    // Where it is the only sign. To look at the files of all processes takes longer than most removals.
    if unit.session.is_some() && row.live.contains(&LiveRule::OpenTranscript) {
        let open = Open::look(home, &[unit], proc);
        if let Some(why) = open.trouble {
            return Err(why);
        }
        if open.holder(unit).is_some() {
            return Ok(true);
        }
    }
    let sessions = unit.sessions();
    let live = LiveSessions::gather(row, &home.signs, &|id| sessions.iter().any(|session| session == id), proc);
    match live.errors.first() {
        Some(why) => Err(format!("which sessions are open is not known: {why}")),
        None => Ok(sessions.iter().any(|session| live.get(session).is_some())),
    }
}

/// Which of some files processes hold open.
pub(super) struct Open {
    holders: FxHashMap<std::path::PathBuf, u32>,
    /// Why it cannot be told of all.
    pub(super) trouble: Option<String>,
}

impl Open {
    /// Looks for the files of `units`, which lie in `home`, and for all below it.
    pub(super) fn look(home: &Home<'_>, units: &[&Unit], proc: &Proc) -> Self {
        let mut paths: FxHashMap<&[u8], Vec<&Path>> = FxHashMap::default();
        for piece in units.iter().flat_map(|unit| &unit.pieces).filter(|piece| !piece.is_folder) {
            let name = piece.path.file_name().unwrap_or_default().as_encoded_bytes();
            paths.entry(name).or_default().push(&piece.path);
        }
        let mut holders = FxHashMap::default();
        if units.is_empty() {
            return Self { holders, trouble: None };
        }
        let name_of = |path: &Path| path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
        let open = OpenFiles::look_for(proc, &|path| {
            path.starts_with(&home.folder) || paths.contains_key(name_of(path).as_slice())
        });
        for held in open.iter() {
            // A file that was removed is held by its former name and a note.
            if let Ok(below) = held.path.strip_prefix(&home.folder) {
                holders.insert(below.to_owned(), held.pid);
            }
            let name = held.path.file_name().unwrap_or_default().as_encoded_bytes();
            for path in paths.get(name).into_iter().flatten() {
                if held.is(&home.folder.join(path)) {
                    holders.insert((*path).to_owned(), held.pid);
                }
            }
        }
        Self { holders, trouble: open.errors.into_iter().next() }
    }

    fn holder(&self, unit: &Unit) -> Option<u32> {
        let below = |piece: &Piece| {
            let mut held = self.holders.iter();
            held.find(|(path, _)| piece.is_folder && path.starts_with(&piece.path)).map(|(_, pid)| *pid)
        };
        unit.pieces.iter().find_map(|piece| self.holders.get(&piece.path).copied().or_else(|| below(piece)))
    }
}

/// Every running process of a CLI.
fn clis(catalogue: &Catalogue, proc: &Proc) -> Result<Vec<Cli>, String> {
    let table = Table::look(proc).map_err(|error| error.to_string())?;
    let boot = proc.boot_time().map_err(|error| error.to_string())?;
    let programs = Programs::new(proc, catalogue);
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let own = std::process::id();
    let mut found = Vec::new();
    for process in table.iter().filter(|process| process.pid != own) {
        let Some(likeness) = programs.cli(process) else { continue };
        let seconds = i64::try_from(process.start_ticks / ticks).ok().and_then(TimeDelta::try_seconds);
        let started = seconds.and_then(|since| boot.checked_add_signed(since)).unwrap_or(DateTime::<Utc>::MIN_UTC);
        let owner = proc.owner(process.pid).ok().flatten();
        found.push(Cli { provider: likeness.provider, pid: process.pid, owner, started });
    }
    Ok(found)
}

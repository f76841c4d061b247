//! What runs: the CLIs, and every session that a process names by its command line or its environment.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use rustc_hash::{FxHashMap, FxHashSet};

use super::units::uuids_in;
use crate::config::{Dirs, Environment};
use crate::filesystem::proc::Proc;
use crate::policy::session_id::SessionId;
use crate::processes::table::Table;
use crate::providers::Catalogue;
use crate::providers::row::{Home, Provider};
use crate::sweep::processes::candidates::Programs;

/// Words by which CLIs are told to go on with a session, beside those in the rows' own commands.
const RESUMING: [&str; 8] = ["resume", "--resume", "-r", "continue", "--continue", "--session", "--session-id", "fork"];

/// A running process of a CLI.
#[derive(Debug, Clone)]
pub(super) struct Cli {
    pub(super) provider: usize,
    pub(super) pid: u32,
    pub(super) started: DateTime<Utc>,
    /// It was told to go on with a session, and not with which one: by a list, a number, or as the last one.
    pub(super) resumes_any: bool,
    /// The user that it runs as; nothing where that cannot be seen.
    owner: Option<u32>,
    /// The provider's home by its environment; nothing where that cannot be seen.
    home: Option<PathBuf>,
}

/// All that runs.
#[derive(Debug, Default)]
pub(super) struct Running {
    pub(super) clis: Vec<Cli>,
    /// Sessions, each with a process that names it.
    named: FxHashMap<String, u32>,
}

impl Running {
    /// Looks at every process but those of this program, which name sessions and have none open.
    ///
    /// # Errors
    /// The processes cannot be listed.
    pub(super) fn look(catalogue: &Catalogue, proc: &Proc) -> Result<Self, String> {
        let table = Table::look(proc).map_err(|error| error.to_string())?;
        let boot = proc.boot_time().map_err(|error| error.to_string())?;
        let programs = Programs::new(proc, catalogue);
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let variables: FxHashSet<&str> =
            catalogue.iter().flat_map(|row| &row.provider.processes.session_variables).map(String::as_str).collect();
        let mut running = Self::default();
        let this = std::env::current_exe().ok();
        let is_other = |pid: u32| this.is_none() || proc.executable(pid).ok().flatten() != this;
        for process in table.iter().filter(|process| process.runs() && is_other(process.pid)) {
            let pid = process.pid;
            let arguments = proc.arguments(pid).ok().flatten().unwrap_or_default();
            let environment = environment_of(proc, pid);
            for argument in &arguments {
                running.named.extend(uuids_in(OsStr::from_bytes(argument)).into_iter().map(|session| (session, pid)));
            }
            let values = variables.iter().filter_map(|name| environment.get(name)?.to_str());
            let sessions = values.filter(|value| SessionId::new(value).is_ok());
            running.named.extend(sessions.map(|session| (session.to_owned(), pid)));
            let Some(likeness) = programs.cli(process) else { continue };
            let (provider, _) = catalogue.get(likeness.provider);
            let seconds = i64::try_from(process.start_ticks / ticks).ok().and_then(TimeDelta::try_seconds);
            running.clis.push(Cli {
                provider: likeness.provider,
                pid,
                started: seconds.and_then(|since| boot.checked_add_signed(since)).unwrap_or(DateTime::<Utc>::MIN_UTC),
                resumes_any: resumes_any(provider, &arguments),
                owner: proc.owner(pid).ok().flatten(),
                home: home_of(&provider.home, &environment),
            });
        }
        Ok(running)
    }

    /// A process that names this session.
    pub(super) fn names(&self, session: &str) -> Option<u32> {
        self.named.get(session).copied()
    }
}

impl Cli {
    /// Whether it may work in the home `folder`: as its owner, as somebody who may write there, or as root, which may be anybody.
    /// Another user's is elsewhere where its environment says so.
    pub(super) fn may_work_in(&self, folder: &Path) -> bool {
        let Some(user) = self.owner else { return true };
        let Ok(home) = std::fs::metadata(folder) else { return true };
        if user == home.uid() {
            return true;
        }
        let is_elsewhere = self.home.as_deref().is_some_and(|home| !is_same(home, folder));
        !is_elsewhere && (user == 0 || home.permissions().mode() & 0o002 != 0)
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other || fs_err::canonicalize(one).is_ok_and(|one| one == other)
}

/// The variables of a process.
fn environment_of(proc: &Proc, pid: u32) -> Environment {
    // Those of others keep theirs to themselves, and one that has just ended has none.
    let lines = proc.environment(pid).ok().flatten().unwrap_or_default();
    let variable = |line: &Vec<u8>| {
        let end = line.iter().position(|byte| *byte == b'=')?;
        Some((OsStr::from_bytes(&line[..end]).to_owned(), OsStr::from_bytes(&line[end + 1..]).to_owned()))
    };
    lines.iter().filter_map(variable).collect()
}

/// The home that a CLI of this environment uses, where it says so.
fn home_of(home: &Home, environment: &Environment) -> Option<PathBuf> {
    Dirs::find(environment).ok().map(|dirs| dirs.provider_home(home, environment))
}

/// Whether a command line says that a session is gone on with, and names none.
pub(super) fn resumes_any(provider: &Provider, arguments: &[Vec<u8>]) -> bool {
    let own = provider.resume.iter().zip(provider.resume.iter().skip(1)).filter(|(_, next)| *next == "{id}");
    let own =
        own.map(|(word, _)| word.as_str()).chain(provider.resume.iter().filter_map(|word| word.strip_suffix("={id}")));
    let words: Vec<&str> = own.chain(RESUMING).collect();
    let says = |argument: &Vec<u8>| {
        let word = argument.split(|byte| *byte == b'=').next().unwrap_or_default();
        words.iter().any(|own| own.as_bytes() == word)
    };
    arguments.iter().skip(1).any(says)
        && arguments.iter().all(|argument| uuids_in(OsStr::from_bytes(argument)).is_empty())
}

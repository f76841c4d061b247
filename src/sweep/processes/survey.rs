//! What one run looks at: all of it is read once, and nothing is written.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rustc_hash::FxHashMap;

use crate::config::setting::ProcessesSettings;
use crate::filesystem::proc::Proc;
use crate::filesystem::read_regular;
use crate::processes::records::{Record, RecordId, Records};
use crate::processes::table::Table;
use crate::providers::Catalogue;
use crate::providers::live::{NamedProcess, NamedProcesses};

/// What a run goes by.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'s> {
    pub(crate) catalogue: &'s Catalogue,
    pub(crate) settings: &'s ProcessesSettings,
    pub(crate) records: &'s Records,
    pub(crate) proc: &'s Proc,
    pub(crate) here: &'s Here,
    pub(crate) now: DateTime<Utc>,
    /// Whether command lines and working folders are read of every process, not only of those that are to be ended.
    pub(crate) in_detail: bool,
    /// The session that says this very moment that it ends.
    pub(crate) ending: Option<&'s RecordId>,
}

/// Where and as whom a run looks.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    pub(crate) pid: u32,
    pub(crate) user: u32,
    pub(crate) boot_id: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) namespace: Option<u64>,
    /// `/etc/machine-id`, where there is one.
    pub(crate) machine_id: Option<String>,
    /// How long the machine has run at the run's instant, sleep included.
    pub(crate) since_boot: Duration,
}

impl Here {
    /// This process, at `now` where the clock says `started`.
    pub(crate) fn of_process(proc: &Proc, root: &Path, now: DateTime<Utc>, started: DateTime<Utc>) -> Self {
        let real = Proc::since_boot();
        let ahead = now - started;
        let since_boot = match ahead.to_std() {
            Ok(ahead) => real.saturating_add(ahead),
            Err(_) => real.saturating_sub((-ahead).to_std().unwrap_or_default()),
        };
        Self {
            pid: std::process::id(),
            user: rustix::process::geteuid().as_raw(),
            boot_id: proc.boot_id().ok(),
            host: proc.host().ok(),
            namespace: proc.pid_namespace().ok(),
            machine_id: machine_id(root),
            since_boot,
        }
    }

    /// How long a process has run that started so many clock ticks after boot; nothing where that lies ahead.
    pub(super) fn age(&self, start_ticks: u64) -> Option<Duration> {
        self.since_boot.checked_sub(of_ticks(start_ticks))
    }
}

/// The machine's id; one that is not set yet is none.
fn machine_id(root: &Path) -> Option<String> {
    let text = read_regular(&root.join("etc/machine-id"), 4096).ok()?;
    let id = String::from_utf8(text).ok()?.trim().to_owned();
    (id.len() == 32).then_some(id)
}

/// Clock ticks as time.
pub(crate) fn of_ticks(ticks: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_secs(ticks / per_second) + Duration::from_nanos(ticks % per_second * (1_000_000_000 / per_second))
}

/// All that was read.
pub(super) struct Survey {
    pub(super) table: Table,
    pub(super) records: Vec<Record>,
    /// Where the record of a session is in `records`.
    by_id: FxHashMap<String, usize>,
    /// What the vendors' files name, by the provider's place.
    pub(super) named: Vec<(usize, NamedProcess)>,
    /// Why a provider's files could not all be read.
    pub(super) vendor_errors: FxHashMap<usize, String>,
    /// What could not be looked at.
    pub(super) problems: Vec<String>,
}

impl Survey {
    pub(super) fn take(scene: &Scene<'_>) -> io::Result<Self> {
        let table = Table::look(scene.proc)?;
        // Where this run does not see itself it would not know its own family, either.
        if scene.settings.root == Path::new("/") && table.get(scene.here.pid).is_none() {
            return Err(io::Error::other(
                "/proc does not show this run's own process: is it of another pid namespace?",
            ));
        }
        let (records, mut problems) = scene.records.read();
        problems.extend(table.unreadable.iter().map(|(pid, why)| format!("process {pid} cannot be looked at: {why}")));
        let by_id = records.iter().enumerate().map(|(place, record)| (record.session_id.as_str().to_owned(), place));
        let mut survey = Self {
            by_id: by_id.collect(),
            table,
            records,
            named: Vec::new(),
            vendor_errors: FxHashMap::default(),
            problems,
        };
        for (place, row) in scene.catalogue.iter().enumerate() {
            survey.ask_vendor(place, NamedProcesses::gather(&row.provider, &row.live_home, scene.proc));
        }
        Ok(survey)
    }

    fn ask_vendor(&mut self, place: usize, found: NamedProcesses) {
        self.named.extend(found.processes.into_iter().map(|process| (place, process)));
        if let Some(first) = found.errors.first() {
            self.vendor_errors.insert(place, first.clone());
        }
        self.problems.extend(found.errors);
    }

    /// The record of a session.
    pub(super) fn record(&self, id: &str) -> Option<&Record> {
        self.by_id.get(id).map(|place| &self.records[*place])
    }
}

/// How long ago something was, where that is no time in the future; a clock's small error is none.
pub(super) fn ago(time: DateTime<Utc>, now: DateTime<Utc>) -> Result<Duration, String> {
    if crate::policy::heartbeat::is_future(time, now) {
        return Err(format!("{} lies in the future", crate::policy::timestamp::Timestamp(time)));
    }
    Ok((now - time).max(TimeDelta::zero()).to_std().unwrap_or_default())
}

/// The folder of the janitor's records: as set, else `sessions` in the home of Claude Code.
pub(crate) fn sessions_folder(settings: &ProcessesSettings, catalogue: &Catalogue, home: &Path) -> PathBuf {
    let claude = || catalogue.named("claude").map(|place| catalogue.at(place).home.as_path());
    settings.sessions.clone().unwrap_or_else(|| claude().unwrap_or(&home.join(".claude")).join("sessions"))
}

//! When runs happen and what they came to: the schedules of this machine and the run log.
//!
//! The machine's own tools are asked (`systemctl`, `crontab`), and what they print is understood by pure functions. A tool
//! that is not there has no schedules; one that fails leaves a reason in [`Schedules::not_looked_at`]. Nothing here decides
//! what a run does, and nothing but the run log is written.

mod calendar;
mod command;
mod cron;
mod crontab;
mod entry;
mod login;
mod properties;
mod reach;
pub(crate) mod runs;
mod systemd;
mod unit_files;

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};

use crate::filesystem::proc::Proc;
use crate::programs::Programs;

pub(crate) use calendar::When;
pub(crate) use entry::{Kind, Last, LastResult, Schedule, State};
pub(crate) use login::Login;
pub(crate) use reach::Reach;

/// What our program is called.
const PROGRAM: &str = "session-sweep";
/// What the script is called that prunes the same map on machines that had it before this program.
const ORIGINAL: &str = "cleanup_idle_sessions";

/// How much later than due a run may be seen: systemd starts runs of one minute together, and one may wait for a lock.
const GRACE: TimeDelta = TimeDelta::minutes(5);

/// All schedules that can be seen, and what could not be looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schedules {
    pub(crate) found: Vec<Schedule>,
    pub(crate) not_looked_at: Vec<String>,
    /// Timers and files that start another program which prunes the same map.
    pub(crate) other_pruners: Vec<String>,
    /// What could not be read either, and hardly holds anything of ours.
    pub(crate) passed_over: Vec<String>,
}

impl Schedules {
    /// Those that sweep for `user`.
    pub(crate) fn of<'s>(&'s self, user: &'s Login) -> impl Iterator<Item = &'s Schedule> {
        self.found.iter().filter(move |schedule| user.is(&schedule.user))
    }

    fn failed(&mut self, what: &str, why: &str) {
        self.not_looked_at.push(format!("{what}: {why}"));
    }

    fn pass_over(&mut self, what: &str, why: &str) {
        self.passed_over.push(format!("{what}: {why}"));
    }
}

/// Where to look, and for whom.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) login: Login,
    pub(crate) programs: Programs,
    /// The user's own units.
    pub(crate) user_units: PathBuf,
    /// Where a user's systemd can be reached, if there is one.
    pub(crate) runtime: PathBuf,
    /// `/`: the folder with the machine's own `etc`, `proc` and `var`.
    pub(crate) root: PathBuf,
    pub(crate) home: PathBuf,
    pub(crate) now: DateTime<Utc>,
}

impl Surroundings {
    /// This machine, as this process sees it.
    pub(crate) fn of_process(variable: &dyn Fn(&str) -> Option<OsString>, home: &Path, now: DateTime<Utc>) -> Self {
        let login = Login::of_process(variable);
        let path = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        // With `sudo` the one of whoever called it may still be named; his systemd does not answer us.
        let is_ours = |path: &PathBuf| path.metadata().map_or(true, |metadata| metadata.uid() == login.id);
        let runtime = path("XDG_RUNTIME_DIR").filter(is_ours);
        let runtime = runtime.unwrap_or_else(|| PathBuf::from(format!("/run/user/{}", login.id)));
        let config = path("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        let programs = Programs {
            path: variable("PATH").unwrap_or_default(),
            variables: vec![("XDG_RUNTIME_DIR", runtime.clone().into())],
        };
        // What happens to be on the machine where the tests run is none of theirs.
        let root = path("SWEEP_TEST_MACHINE").filter(|_| cfg!(debug_assertions)).unwrap_or_else(|| "/".into());
        Self { login, programs, user_units: config.join("systemd/user"), runtime, root, home: home.to_owned(), now }
    }

    /// When this machine started.
    fn boot(&self) -> Option<DateTime<Utc>> {
        Proc::new(self.root.join("proc")).boot_time().ok()
    }

    /// Whether something runs lines for cron; nothing where that cannot be seen.
    pub(crate) fn cron_is_running(&self) -> Option<bool> {
        cron::is_running(self)
    }

    /// By when a run of `schedule` should have been seen after `seen`, its last one: a run may be missed, and while the
    /// machine was off none was due. Nothing where nobody knows when runs are due.
    pub(crate) fn deadline(&self, schedule: &Schedule, seen: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let seen = self.boot().filter(|boot| *boot <= self.now).map_or(seen, |boot| seen.max(boot));
        let second = match (schedule.when.first_two(seen, &self.programs)[..].get(1), &schedule.when) {
            (Some(second), _) => *second,
            (None, When::Unknown) => seen.checked_add_signed(schedule.interval?.checked_mul(2)?)?,
            (None, _) => return None,
        };
        second.checked_add_signed(schedule.delay + GRACE)
    }

    /// Looks at all schedules: root sees those of all users, everybody else his own.
    pub(crate) fn schedules(&self) -> Schedules {
        let mut schedules = Schedules::default();
        systemd::look(self, &mut schedules);
        cron::look(self, &mut schedules);
        schedules.found.retain(|schedule| self.login.is_root() || self.login.is(&schedule.user));
        schedules.found.sort_by(|one, other| (one.kind, &one.place).cmp(&(other.kind, &other.place)));
        schedules
    }
}

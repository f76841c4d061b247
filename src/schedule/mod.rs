//! When runs happen and what they came to: the schedules of this machine and the run log.
//!
//! The machine's own tools are asked (`systemctl`, `crontab`), and what they print is understood by pure functions. A tool
//! that is not there has no schedules; one that fails leaves a reason in [`Schedules::not_looked_at`]. Nothing here decides
//! what a run does, and nothing but the run log is written.

mod calendar;
mod cron;
mod crontab;
mod entry;
mod login;
mod program;
mod properties;
mod reach;
pub(crate) mod runs;
mod systemd;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

pub(crate) use entry::{Kind, Last, LastResult, Schedule, State};
pub(crate) use login::Login;
pub(crate) use program::{Answer, Programs};
pub(crate) use reach::Reach;

/// What our program is called.
const PROGRAM: &str = "session-sweep";

/// All schedules that can be seen, and what could not be looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schedules {
    pub(crate) found: Vec<Schedule>,
    pub(crate) not_looked_at: Vec<String>,
}

impl Schedules {
    /// Those that sweep for `user`.
    pub(crate) fn of<'s>(&'s self, user: &'s Login) -> impl Iterator<Item = &'s Schedule> {
        self.found.iter().filter(move |schedule| user.is(&schedule.user))
    }

    fn failed(&mut self, what: &str, why: &str) {
        self.not_looked_at.push(format!("{what}: {why}"));
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
    /// `/etc`.
    pub(crate) etc: PathBuf,
    pub(crate) home: PathBuf,
    pub(crate) now: DateTime<Utc>,
}

impl Surroundings {
    /// This machine, as this process sees it.
    pub(crate) fn of_process(variable: &dyn Fn(&str) -> Option<OsString>, home: &Path, now: DateTime<Utc>) -> Self {
        let login = Login::of_process(variable);
        let path = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let runtime = path("XDG_RUNTIME_DIR").unwrap_or_else(|| PathBuf::from(format!("/run/user/{}", login.id)));
        let config = path("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        let programs = Programs {
            path: variable("PATH").unwrap_or_default(),
            variables: vec![("XDG_RUNTIME_DIR", runtime.clone().into())],
        };
        let (etc, home) = ("/etc".into(), home.to_owned());
        Self { login, programs, user_units: config.join("systemd/user"), runtime, etc, home, now }
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

/// Whether these words, the program first, start a sweep or a prune that is no rehearsal.
fn is_run<'w>(mut words: impl Iterator<Item = &'w str>) -> bool {
    let is_ours = |word: &str| Path::new(word).file_name() == Some(OsStr::new(PROGRAM));
    if !words.any(is_ours) {
        return false;
    }
    let arguments: Vec<&str> = words.collect();
    let has = |wanted: &[&str]| arguments.iter().any(|argument| wanted.contains(argument));
    has(&["sweep", "prune"]) && !has(&["--dry-run", "-n"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sweep_or_a_prune_that_is_no_rehearsal_is_a_run() {
        for (line, expected) in [
            ("/usr/bin/session-sweep sweep --quiet", true),
            ("nice session-sweep -q prune --dir /x", true),
            ("session-sweep audit", false),
            ("session-sweep prune --dry-run", false),
            ("session-sweep-old prune", false),
            ("prune session-sweep", false),
        ] {
            assert_eq!(is_run(line.split(' ')), expected, "{line}");
        }
    }
}

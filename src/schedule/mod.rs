//! When runs happen and what they came to: the schedules of this machine and the run log.
//!
//! The machine's own tools are asked (`systemctl`, `crontab`), and what they print is understood by pure functions. A tool
//! that is not there has no schedules; one that fails leaves a reason in [`Schedules::not_looked_at`]. Nothing here decides
//! what a run does, and nothing but the run log is written.

mod calendar;
mod cron;
mod crontab;
mod login;
mod program;
mod properties;
pub(crate) mod runs;
mod systemd;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};

use crate::exit::ExitStatus;
use runs::{Run, StartedBy};

pub(crate) use login::Login;
pub(crate) use program::{Answer, Programs};

/// What our program is called.
const PROGRAM: &str = "session-sweep";

/// Who starts the runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A timer of the user's own systemd.
    SystemdUser,
    /// A timer of the machine's systemd.
    SystemdSystem,
    /// A line for cron.
    Cron,
}

impl Kind {
    /// For tables and JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SystemdUser => "systemd user",
            Self::SystemdSystem => "systemd system",
            Self::Cron => "cron",
        }
    }
}

/// Whether a schedule runs now and after the next start of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Both.
    On,
    /// It was switched on and is not running.
    Stopped,
    /// It runs and was not switched on.
    UntilReboot,
    /// It is switched on, and the user's systemd, which runs it, ends with the user's last session.
    UntilLogout,
}

impl State {
    /// For JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Stopped => "stopped",
            Self::UntilReboot => "until reboot",
            Self::UntilLogout => "until logout",
        }
    }

    /// For people, after `is`.
    pub(crate) const fn in_words(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Stopped => "enabled, but not running",
            Self::UntilReboot => "running, but not enabled: it ends with the next reboot",
            Self::UntilLogout => "enabled, but runs only while you are logged in",
        }
    }
}

/// What starts runs for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) kind: Kind,
    pub(crate) state: State,
    /// The user whose sessions are swept.
    pub(crate) user: String,
    /// The timer's unit, or the file in which the line stands.
    pub(crate) place: String,
    pub(crate) next: Option<DateTime<Utc>>,
    /// The time between two runs.
    pub(crate) interval: Option<TimeDelta>,
    /// How much later than planned a run may begin.
    pub(crate) delay: TimeDelta,
    pub(crate) last: Option<Last>,
    /// What is started: the program, as far as it is named by a path, and its arguments.
    pub(crate) program: Option<PathBuf>,
    pub(crate) arguments: Vec<String>,
    /// What a systemd service may reach.
    pub(crate) reach: Reach,
}

/// The last run of one schedule, as the schedule knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) at: DateTime<Utc>,
    pub(crate) result: Option<LastResult>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastResult {
    /// It has not ended.
    Running,
    /// With this exit code.
    Exit(i32),
    /// It was ended from outside.
    Ended,
}

/// What of the file system a hardened service sees and may write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// `ProtectSystem=strict`: nothing may be written…
    pub(crate) is_strict: bool,
    /// `ProtectHome=`: homes are read-only, or are not there.
    pub(crate) protects_homes: bool,
    /// `PrivateTmp=`: /tmp is another one.
    pub(crate) has_own_tmp: bool,
    /// …but these.
    pub(crate) writable: Vec<PathBuf>,
    /// `RestrictAddressFamilies=` or `PrivateNetwork=`: no program of this machine can be reached over its network.
    pub(crate) has_no_network: bool,
}

impl LastResult {
    /// One word for a table.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Exit(code) => ExitStatus::of_code(code).word(),
            Self::Ended => "ended",
        }
    }

    /// Its exit code.
    pub(crate) const fn code(self) -> Option<i32> {
        if let Self::Exit(code) = self { Some(code) } else { None }
    }
}

impl Schedule {
    /// The last run that it started, as it knows it itself or as the log of the same user does: the later one, and the
    /// log's when both mean the same run. The log does not say which timer it was: one that does not run has none of them.
    pub(crate) fn last_run(&self, runs: &[Run]) -> Option<Last> {
        let own = if self.kind == Kind::Cron { StartedBy::Cron } else { StartedBy::Timer };
        let runs = if self.state == State::Stopped { &[] } else { runs };
        let logged = runs.iter().filter(|run| run.started_by == own).max_by_key(|run| run.at);
        let logged = logged.map(|run| Last { at: run.at, result: Some(LastResult::Exit(run.exit.into())) });
        match (self.last, logged) {
            (Some(known), Some(logged)) => Some(if known.at > logged.at { known } else { logged }),
            (known, logged) => known.or(logged),
        }
    }

    /// What has to be done so that it runs, now and after the next start of the machine.
    pub(crate) fn remedy(&self) -> Option<String> {
        let control = self.control();
        match self.state {
            State::On => None,
            State::Stopped => Some(format!("{control} start {}", self.place)),
            State::UntilReboot => Some(format!("{control} enable {}", self.place)),
            State::UntilLogout => Some(format!("sudo loginctl enable-linger {}", self.user)),
        }
    }

    /// Whether a look at what it starts was possible: what waits for a login cannot be asked.
    pub(crate) fn is_known(&self) -> bool {
        self.kind == Kind::Cron || self.program.is_some()
    }

    /// How it is taken away.
    pub(crate) fn removal(&self) -> String {
        match self.kind {
            Kind::Cron if self.place.starts_with('/') => format!("remove its line from {} (as root)", self.place),
            Kind::Cron => "remove its line with `crontab -e`".to_owned(),
            _ => format!("{} disable --now {}", self.control(), self.place),
        }
    }

    const fn control(&self) -> &'static str {
        match self.kind {
            Kind::SystemdUser => "systemctl --user",
            _ => "sudo systemctl",
        }
    }
}

impl Reach {
    /// Why a run of the service cannot write below `folder`, if so.
    pub(crate) fn objection(&self, folder: &Path) -> Option<&'static str> {
        let is_below = |parents: &[&str]| parents.iter().any(|parent| folder.starts_with(parent));
        if self.writable.iter().any(|path| folder.starts_with(path)) {
            None
        } else if self.has_own_tmp && is_below(&["/tmp", "/var/tmp"]) {
            Some("the service has a /tmp of its own (PrivateTmp)")
        } else if self.is_strict && !is_below(&["/dev", "/proc", "/sys"]) {
            Some("the service may write only below its ReadWritePaths")
        } else if self.protects_homes && is_below(&["/home", "/root", "/run/user"]) {
            Some("the service may not write in homes (ProtectHome)")
        } else {
            None
        }
    }
}

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

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn schedule(kind: Kind, last: Option<Last>) -> Schedule {
        Schedule {
            kind,
            state: State::On,
            user: "anna".to_owned(),
            place: "x".to_owned(),
            next: None,
            interval: None,
            delay: TimeDelta::zero(),
            last,
            program: None,
            arguments: Vec::new(),
            reach: Reach::default(),
        }
    }

    #[test]
    fn the_later_of_what_systemd_and_the_log_know_is_the_last_run() {
        let run = |second, started_by, exit| Run {
            at: at(second),
            started_by,
            took_ms: 1,
            exit,
            map: None,
            totals: None,
            error: None,
        };
        let runs = [run(5, StartedBy::Timer, 4), run(7, StartedBy::Cron, 0), run(9, StartedBy::Hand, 0)];
        let known = |second, code| Some(Last { at: at(second), result: Some(LastResult::Exit(code)) });
        assert_eq!(schedule(Kind::SystemdUser, known(5, 0)).last_run(&runs), known(5, 4));
        assert_eq!(schedule(Kind::SystemdUser, known(6, 203)).last_run(&runs), known(6, 203));
        assert_eq!(schedule(Kind::Cron, None).last_run(&runs), known(7, 0));
        assert_eq!(schedule(Kind::Cron, None).last_run(&runs[..1]), None);
        let stopped = Schedule { state: State::Stopped, ..schedule(Kind::SystemdUser, known(3, 0)) };
        assert_eq!(stopped.last_run(&runs), known(3, 0));
        assert_eq!(schedule(Kind::SystemdSystem, None).last_run(&[]), None);
    }

    #[test]
    fn what_a_hardened_service_may_write_is_known() {
        let strict = Reach { is_strict: true, writable: vec!["/srv/bridge".into()], ..Reach::default() };
        assert_eq!(strict.objection(Path::new("/srv/bridge")), None);
        assert_eq!(strict.objection(Path::new("/srv/bridge/below")), None);
        assert!(strict.objection(Path::new("/srv/bridge2")).is_some());
        assert_eq!(strict.objection(Path::new("/dev/shm/x")), None);
        let homes = Reach { protects_homes: true, ..Reach::default() };
        assert!(homes.objection(Path::new("/home/anna/bridge")).is_some_and(|why| why.contains("ProtectHome")));
        assert_eq!(homes.objection(Path::new("/srv/bridge")), None);
        let tmp = Reach { has_own_tmp: true, ..Reach::default() };
        assert!(tmp.objection(Path::new("/tmp/claude_sessions")).is_some_and(|why| why.contains("PrivateTmp")));
        let bound = Reach { has_own_tmp: true, writable: vec!["/tmp/claude_sessions".into()], ..Reach::default() };
        assert_eq!(bound.objection(Path::new("/tmp/claude_sessions")), None);
        assert_eq!(Reach::default().objection(Path::new("/tmp/x")), None);
    }

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

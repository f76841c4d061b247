//! One schedule: who starts what for whom, when, and how that ended last.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};

use super::Reach;
use super::calendar::When;
use super::runs::{Run, StartedBy};
use crate::exit::ExitStatus;
use crate::policy::shell::quoted;

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
    /// The latest time at which it may have been put there or changed, where that can be told.
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) when: When,
    pub(crate) next: Option<DateTime<Utc>>,
    /// The time between the next run and the one after.
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
        let own = self.tells_to_be();
        let runs = if self.state == State::Stopped { &[] } else { runs };
        let logged = runs.iter().filter(|run| run.started_by == own).max_by_key(|run| run.at);
        let logged = logged.map(|run| Last { at: run.at, result: Some(LastResult::Exit(run.exit.into())) });
        match (self.last, logged) {
            (Some(known), Some(logged)) => Some(if known.at > logged.at { known } else { logged }),
            (known, logged) => known.or(logged),
        }
    }

    /// What its runs say of who started them: a line for cron that ./install.sh did not write may not say anything.
    fn tells_to_be(&self) -> StartedBy {
        let is_told = |words: &[String]| words == ["--started-by", "cron"];
        match self.kind {
            Kind::Cron if self.arguments.windows(2).any(is_told) => StartedBy::Cron,
            Kind::Cron => StartedBy::Hand,
            Kind::SystemdUser | Kind::SystemdSystem => StartedBy::Timer,
        }
    }

    /// What has to be done so that it runs, now and after the next start of the machine.
    pub(crate) fn remedy(&self) -> Option<String> {
        let control = self.control();
        match self.state {
            State::On => None,
            State::Stopped => Some(format!("{control} start {}", quoted(&self.place))),
            State::UntilReboot => Some(format!("{control} enable {}", quoted(&self.place))),
            State::UntilLogout => Some(format!("sudo loginctl enable-linger {}", quoted(&self.user))),
        }
    }

    /// How it is taken away.
    pub(crate) fn removal(&self) -> String {
        match self.kind {
            Kind::Cron if self.place.starts_with('/') => format!("remove its line from {} (as root)", self.place),
            Kind::Cron => "remove its line with `crontab -e`".to_owned(),
            _ => format!("{} disable --now {}", self.control(), quoted(&self.place)),
        }
    }

    const fn control(&self) -> &'static str {
        match self.kind {
            Kind::SystemdUser => "systemctl --user",
            _ => "sudo systemctl",
        }
    }
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
            since: None,
            when: When::Unknown,
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
            area: None,
            took_ms: 1,
            exit,
            map: None,
            totals: None,
            registry: None,
            processes: None,
            queues: None,
            artifacts: None,
            error: None,
        };
        let runs = [run(5, StartedBy::Timer, 4), run(7, StartedBy::Cron, 0), run(9, StartedBy::Hand, 0)];
        let known = |second, code| Some(Last { at: at(second), result: Some(LastResult::Exit(code)) });
        assert_eq!(schedule(Kind::SystemdUser, known(5, 0)).last_run(&runs), known(5, 4));
        assert_eq!(schedule(Kind::SystemdUser, known(6, 203)).last_run(&runs), known(6, 203));
        let arguments = ["sweep", "--started-by", "cron"].map(str::to_owned).to_vec();
        let cron = Schedule { arguments, ..schedule(Kind::Cron, None) };
        assert_eq!(cron.last_run(&runs), known(7, 0));
        assert_eq!(cron.last_run(&runs[..1]), None);
        // One that does not say that it is cron looks as if somebody had started it.
        assert_eq!(schedule(Kind::Cron, None).last_run(&runs), known(9, 0));
        let stopped = Schedule { state: State::Stopped, ..schedule(Kind::SystemdUser, known(3, 0)) };
        assert_eq!(stopped.last_run(&runs), known(3, 0));
        assert_eq!(schedule(Kind::SystemdSystem, None).last_run(&[]), None);
    }
}

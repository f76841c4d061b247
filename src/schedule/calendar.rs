//! When runs are due: cron's expressions and systemd's.

use std::str::FromStr as _;

use chrono::{DateTime, Local, NaiveDateTime, TimeZone, Utc};
use croner::Cron;

use crate::programs::{Answer, Programs};

/// What says when a schedule's runs are due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum When {
    /// An expression of cron, in the machine's own time zone.
    Cron(String),
    /// The expressions of a systemd timer's `OnCalendar=`.
    Calendar(Vec<String>),
    /// The start of the machine.
    Boot,
    /// Nobody knows, or something that has no calendar.
    #[default]
    Unknown,
}

impl When {
    /// What the line of a crontab says.
    pub(super) fn of_cron(expression: String) -> Self {
        if expression == "@reboot" { Self::Boot } else { Self::Cron(expression) }
    }

    /// The first two times after `after`; fewer where there are none, and where they cannot be told.
    pub(super) fn first_two(&self, after: DateTime<Utc>, programs: &Programs) -> Vec<DateTime<Utc>> {
        let mut times = match self {
            Self::Cron(expression) => of_cron(expression, &Local, after),
            Self::Calendar(expressions) => {
                expressions.iter().flat_map(|expression| of_systemd(programs, expression, after)).collect()
            }
            Self::Boot | Self::Unknown => Vec::new(),
        };
        times.sort_unstable();
        times.dedup();
        times.truncate(2);
        times
    }
}

/// In the time zone `zone`; nothing for what is no such expression.
fn of_cron<Z: TimeZone>(expression: &str, zone: &Z, after: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    // cron itself knows this one by two names.
    let expression = if expression == "@midnight" { "@daily" } else { expression };
    let Ok(cron) = Cron::from_str(expression) else { return Vec::new() };
    let next = |time: &DateTime<Z>| cron.find_next_occurrence(time, false).ok();
    let times = std::iter::successors(next(&after.with_timezone(zone)), next);
    times.take(2).map(|time| time.to_utc()).collect()
}

/// systemd itself understands its expressions best.
fn of_systemd(programs: &Programs, expression: &str, after: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let base = format!("--base-time=@{}", after.timestamp());
    match programs.ask_here("systemd-analyze", &["calendar", "--iterations=2", &base, expression]) {
        Answer::Said(text) => times_in(&text),
        Answer::NotInstalled | Answer::Failed(_) => Vec::new(),
    }
}

/// The times that `systemd-analyze calendar --iterations=2` names. In another zone it says each in UTC, too.
fn times_in(text: &str) -> Vec<DateTime<Utc>> {
    let times = text.lines().filter_map(|line| {
        let (label, time) = line.trim_start().split_once(": ")?;
        // `Iter. #2` in systemd 252, `Iteration #2` later.
        let is_time = matches!(label, "Next elapse" | "(in UTC)") || label.starts_with("Iter");
        let (_, time) = time.strip_suffix(" UTC").filter(|_| is_time)?.split_once(' ')?;
        Some(NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S").ok()?.and_utc())
    });
    times.collect()
}

#[cfg(test)]
mod tests {
    use chrono::FixedOffset;

    use super::*;

    fn at(time: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(time).unwrap().to_utc()
    }

    fn next(expression: &str) -> Option<(String, i64)> {
        let now = DateTime::parse_from_rfc3339("2026-11-20T12:00:00Z").unwrap().to_utc();
        let zone = FixedOffset::east_opt(3_600).unwrap();
        let [next, second] = of_cron(expression, &zone, now)[..] else { return None };
        Some((next.to_rfc3339(), (second - next).num_minutes()))
    }

    #[test]
    fn cron_expressions_are_of_the_local_zone() {
        for (expression, time, minutes) in [
            ("17 * * * *", "2026-11-20T12:17:00+00:00", 60),
            ("*/15 * * * *", "2026-11-20T12:15:00+00:00", 15),
            ("30 3 * * *", "2026-11-21T02:30:00+00:00", 1_440),
            // Day of the month or day of the week, as cron has it.
            ("0 0 1 * mon", "2026-11-22T23:00:00+00:00", 10_080),
            ("@hourly", "2026-11-20T13:00:00+00:00", 60),
            ("@daily", "2026-11-20T23:00:00+00:00", 1_440),
            ("@midnight", "2026-11-20T23:00:00+00:00", 1_440),
        ] {
            assert_eq!(next(expression), Some((time.to_owned(), minutes)), "{expression}");
        }
        for expression in ["@reboot", "", "soon", "61 * * * *"] {
            assert_eq!(next(expression), None, "{expression}");
        }
    }

    #[test]
    fn systemd_says_when_runs_are_due() {
        let recorded = include_str!("../../tests/fixtures/schedule/calendar.txt");
        let expected = ["2026-11-20T17:00:00Z", "2026-11-20T18:00:00Z"].map(at);
        assert_eq!(times_in(recorded), expected);
        assert_eq!(times_in(&recorded.replace("Iter. #2", "Iteration #2")), expected);
        let elsewhere = "    Next elapse: Fri 2026-11-20 18:00:00 CET\n       (in UTC): Fri 2026-11-20 17:00:00 UTC\n   \
                         Iteration #2: Fri 2026-11-20 19:00:00 CET\n       (in UTC): Fri 2026-11-20 18:00:00 UTC\n";
        assert_eq!(times_in(elsewhere), expected);
        assert!(times_in("Next elapse: never\n").is_empty());
    }

    #[test]
    fn of_several_expressions_the_first_two_times_count() {
        let programs = Programs { path: "/usr/bin:/bin".into(), variables: Vec::new() };
        let when = When::Calendar(vec!["Mon..Fri 9:00 UTC".to_owned(), "Sat 10:00 UTC".to_owned()]);
        let friday = at("2026-11-20T12:00:00Z");
        let times = when.first_two(friday, &programs);
        let expected = ["2026-11-21T10:00:00Z", "2026-11-23T09:00:00Z"].map(at);
        // Where there is no systemd, nobody knows.
        assert!(times == expected || programs.ask("systemd-analyze", &[]) == Answer::NotInstalled, "{times:?}");
    }
}

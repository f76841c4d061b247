//! When a line for cron is due, and how much time lies between two runs.

use std::str::FromStr as _;

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone, Utc};
use croner::Cron;

use super::program::{Answer, Programs};

/// The next run of a cron expression after `now` and the time from it to the one after, in the time zone `zone`; nothing
/// for `@reboot` and for what is no such expression.
pub(super) fn next_of_cron<Z: TimeZone>(
    expression: &str,
    zone: &Z,
    now: DateTime<Utc>,
) -> Option<(DateTime<Utc>, TimeDelta)> {
    // cron itself knows this one by two names.
    let expression = if expression == "@midnight" { "@daily" } else { expression };
    let cron = Cron::from_str(expression).ok()?;
    let next = cron.find_next_occurrence(&now.with_timezone(zone), false).ok()?;
    let after = cron.find_next_occurrence(&next, false).ok()?;
    Some((next.to_utc(), after.to_utc() - next.to_utc()))
}

/// The time between two runs of a systemd timer: of its expression `OnCalendar=`, which systemd itself understands best.
pub(super) fn interval_of_timer(programs: &Programs, timers_calendar: &str) -> Option<TimeDelta> {
    let expression = timers_calendar.strip_prefix("{ OnCalendar=")?.split_once(" ; ")?.0;
    match programs.ask("systemd-analyze", &["calendar", "--iterations=2", expression]) {
        Answer::Said(text) => interval_in(&text),
        Answer::NotInstalled | Answer::Failed(_) => None,
    }
}

/// From the two times that `systemd-analyze calendar --iterations=2` names.
fn interval_in(text: &str) -> Option<TimeDelta> {
    let times = text.lines().filter_map(|line| {
        let (label, time) = line.trim_start().split_once(": ")?;
        // `Iter. #2` in systemd 252, `Iteration #2` later.
        let is_time = label == "Next elapse" || (label.starts_with("Iter") && label.ends_with("#2"));
        let (_, time) = time.strip_suffix(" UTC").filter(|_| is_time)?.split_once(' ')?;
        NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S").ok()
    });
    match times.collect::<Vec<_>>()[..] {
        [first, second] => Some(second - first),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use chrono::FixedOffset;

    use super::*;

    fn next(expression: &str) -> Option<(String, i64)> {
        let now = DateTime::parse_from_rfc3339("2026-11-20T12:00:00Z").unwrap().to_utc();
        let zone = FixedOffset::east_opt(3_600).unwrap();
        let (next, interval) = next_of_cron(expression, &zone, now)?;
        Some((next.to_rfc3339(), interval.num_minutes()))
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
    fn systemd_says_how_much_time_lies_between_two_runs() {
        let recorded = include_str!("../../tests/fixtures/schedule/calendar.txt");
        assert_eq!(interval_in(recorded), Some(TimeDelta::hours(1)));
        assert_eq!(interval_in(&recorded.replace("Iter. #2", "Iteration #2")), Some(TimeDelta::hours(1)));
        assert_eq!(interval_in("Next elapse: never\n"), None);
    }
}

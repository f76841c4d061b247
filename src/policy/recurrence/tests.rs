//! What no table of expressions shows: texts of any kind, and every day of a year.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, TimeZone as _, Utc};
use proptest::prelude::*;

use super::*;
use crate::policy::zone::Tz;

fn named(name: &str) -> Tz {
    Tz::named(name).unwrap()
}

fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}

fn every(expression: &str) -> Recurrence {
    Recurrence::parse(expression, "series").unwrap()
}

fn refusal(expression: &str) -> String {
    Recurrence::parse(expression, "series").unwrap_err().to_string()
}

#[test]
fn a_refusal_says_what_is_wrong_and_shows_nothing_raw() {
    for (expression, expected) in [
        ("0 61 * * * *", "the minute has \"61\", which is not within 0-59"),
        ("0 21-5 * * *", "the hour has \"21-5\", which goes backwards"),
        ("*/0 * * * *", "the minute has \"0-59/0\", which is no range"),
        ("1,,2 * * * *", "the minute has nothing, where a value is due"),
        ("5,5 * * * *", "the minute names 5 twice"),
        ("0 0 30 2 *", "no month that it names has such a day"),
        ("0 0 * * 1#6", "the day of the week has \"1#6\", which is not one day and which of a month"),
        ("0 0 * * foo", "\"foo\" is no month and no day of the week"),
        ("0 0 15W * *", "the day of the month cannot have the character 'W'"),
        ("\u{1b}[2J * * * *", "the minute cannot have the character '\\u{1b}'"),
        ("@midnight", "\"@midnight\" is no cron expression"),
        ("* * * * * * *", "it has 7 fields, which is more than six"),
    ] {
        assert_eq!(refusal(expression), expected, "{expression:?}");
    }
}

#[test]
fn a_hostile_expression_is_refused_at_once() {
    for text in [",", "*,", "H(0-999999999999)/1,", "9", "-", "H/1", "\u{3000}", "é", "/"] {
        let expression = text.repeat(65_536 / text.len()) + " * * * *";
        assert_eq!(refusal(&expression), "it is longer than 1024 bytes");
        // The most that is looked at.
        let most = text.repeat(1_016 / text.len()) + " * * * *";
        assert!(Recurrence::parse(&most, "series").is_err() || text == "\u{3000}", "{text:?}");
    }
    let values = field::expand(&field::KINDS[1], "H(0-999999999999)/1", 0).unwrap();
    assert!(values.ends_with("59,60"), "{}", values.len());
}

#[test]
fn what_never_comes_ends_the_search() {
    let never = every("0 0 * * 5L#2");
    assert_eq!(never.next_after(at("2026-03-01T00:00:00Z"), Tz::UTC), None);
    let now = at("2026-03-01T00:00:00Z");
    assert_eq!(rearm(&never, 0, now, Tz::UTC), None);
    assert_eq!(rearm(&never, 9, now, Tz::UTC), None);
    for now in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        assert_eq!(every("* * * * *").next_after(now, named("Europe/Madrid")), None);
        assert_eq!(rearm(&every("* * * * *"), 3, now, named("Europe/Madrid")), None);
    }
}

#[test]
fn a_hash_is_of_its_series_and_of_a_day_that_each_month_has() {
    let now = at("2026-01-01T00:00:00Z");
    let next = |seed: &str| Recurrence::parse("H H H * *", seed).unwrap().next_after(now, Tz::UTC).unwrap();
    assert_eq!(next("task-1"), next("task-1"));
    let mut times: Vec<_> = (0..200).map(|series| next(&format!("task-{series}"))).collect();
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 190, "{}", times.len());
    for series in 0..200 {
        let hashed = Recurrence::parse("0 0 H H H(0-6)", &series.to_string());
        assert!(hashed.is_ok_and(|hashed| hashed.next_after(now, Tz::UTC).is_some()));
        // Whatever it stands for, it may be what is named besides.
        assert!(Recurrence::parse("H,5 * * * *", &series.to_string()).is_ok());
    }
}

#[test]
fn a_time_of_day_comes_once_on_each_day_of_each_zone() {
    for zone in [
        named("Europe/Madrid"),
        named("America/New_York"),
        named("Australia/Lord_Howe"),
        named("America/Santiago"),
        named("Africa/Cairo"),
        named("Antarctica/Troll"),
        named("Africa/Casablanca"),
    ] {
        let midnight = |day: u64| NaiveDate::from_ymd_opt(2026, 1, 1).unwrap() + Days::new(day);
        for hour in [0, 1, 2, 3, 4, 9, 23] {
            let recurrence = every(&format!("10,35 {hour} * * *"));
            let start = zone.from_local_datetime(&midnight(0).and_hms_opt(0, 0, 0).unwrap()).unwrap().to_utc();
            let runs = std::iter::successors(Some(start), |now| recurrence.next_after(*now, zone));
            let days: Vec<_> = runs.skip(1).take(730).map(|run| run.with_timezone(&zone).date_naive()).collect();
            let expected = (0..365).flat_map(|day| [midnight(day); 2]);
            let wrong = days.iter().zip(expected).find(|(day, expected)| *day != expected);
            assert_eq!(wrong, None, "{hour} in {zone}");
        }
    }
}

#[test]
fn each_hour_has_its_run_whatever_the_clock_does() {
    for zone in
        [named("Europe/Madrid"), named("America/New_York"), named("America/Santiago"), named("Antarctica/Troll")]
    {
        let recurrence = every("0 * * * *");
        let start = at("2026-01-01T12:00:00Z");
        let runs = std::iter::successors(Some(start), |now| recurrence.next_after(*now, zone)).take(24 * 365);
        assert!(runs.enumerate().all(|(hour, run)| run == start + TimeDelta::hours(hour as i64)), "{zone}");
    }
}

#[test]
fn a_series_that_failed_waits_longer_each_time_and_is_paused_in_the_end() {
    let now = at("2026-03-03T12:00:00Z");
    let minutely = every("* * * * *");
    let after = |minutes| now + TimeDelta::minutes(minutes);
    for (failures, expected) in [
        (0, Rearm::At(after(1))),
        (1, Rearm::At(after(2))),
        (2, Rearm::At(after(4))),
        (3, Rearm::At(after(8))),
        (4, Rearm::At(after(16))),
        (5, Rearm::At(after(32))),
        (6, Rearm::At(after(60))),
        (7, Rearm::At(after(60))),
        (8, Rearm::Paused(after(60))),
        (9, Rearm::Paused(after(60))),
        (u32::MAX, Rearm::Paused(after(60))),
    ] {
        assert_eq!(rearm(&minutely, failures, now, Tz::UTC), Some(expected), "{failures}");
    }
    // A run that is further away than the delay stays where it is.
    let daily = every("0 9 * * *");
    assert_eq!(rearm(&daily, 7, now, Tz::UTC), Some(Rearm::At(at("2026-03-04T09:00:00Z"))));
    let late = at("2026-03-03T08:59:00Z");
    assert_eq!(rearm(&daily, 1, late, Tz::UTC), Some(Rearm::At(at("2026-03-04T09:00:00Z"))));
}

/// One item of a field with values from `least` to `most`.
fn item(least: u32, most: u32, special: &'static [&'static str]) -> impl Strategy<Value = String> {
    let value = least..=most;
    prop_oneof![
        4 => Just("*".to_owned()),
        2 => value.clone().prop_map(|value| value.to_string()),
        1 => (value.clone(), value.clone()).prop_map(|(one, other)| format!("{}-{}", one.min(other), one.max(other))),
        1 => (1..=most + 5).prop_map(|step| format!("*/{step}")),
        1 => (value, 1..=most).prop_map(|(value, step)| format!("{value}/{step}")),
        1 => prop::sample::select(special).prop_map(str::to_owned),
    ]
}

/// Expressions, most of which can be followed, and texts of any kind.
fn expression() -> impl Strategy<Value = String> {
    let minute = || item(0, 59, &["H", "?", "0,30", "H/7"]);
    let hour = item(0, 23, &["H", "2,3", "1-3", "0"]);
    let day = item(1, 31, &["L", "?", "29,30", "H", "1,L"]);
    let month = item(1, 12, &["feb", "MAR-oct", "4,10"]);
    let weekday = item(0, 7, &["5L", "sun", "Mon#1", "1,0L", "*#5", "7#2"]);
    let fields = (prop::option::weighted(0.2, minute()), minute(), hour, day, month, weekday);
    let valid = fields.prop_map(|(second, minute, hour, day, month, weekday)| {
        let second = second.map_or(String::new(), |second| second + " ");
        format!("{second}{minute} {hour} {day} {month} {weekday}")
    });
    prop_oneof![1 => ".{0,40}", 2 => "[0-9*?,/L#H() a-]{0,30}", 6 => valid]
}

proptest! {
    /// Nothing panics, and runs are later than what they are after, at whole seconds, and in order.
    #[test]
    fn runs_are_ahead_and_in_order(
        expression in expression(),
        seed in ".{0,10}",
        now in 1_700_000_000_000_i64..1_900_000_000_000,
        later in 0_i64..400 * 86_400_000,
        zone in prop::sample::select(vec![
            Tz::UTC, named("Europe/Madrid"), named("America/New_York"), named("Australia/Lord_Howe"), named("America/Santiago"),
        ]),
    ) {
        let Ok(recurrence) = Recurrence::parse(&expression, &seed) else { return Ok(()) };
        let now = DateTime::from_timestamp_millis(now).unwrap();
        let later = now + TimeDelta::milliseconds(later);
        let Some(next) = recurrence.next_after(now, zone) else { return Ok(()) };
        prop_assert!(next > now);
        prop_assert_eq!(next.timestamp_subsec_nanos(), 0);
        // Between the two there is no other: whoever looks in between sees the same.
        let between = now + (next - now) / 2;
        prop_assert_eq!(recurrence.next_after(between, zone), Some(next));
        let after = recurrence.next_after(later, zone);
        prop_assert!(after.is_none_or(|after| after >= next));
    }
}

//! The first run after an instant, on days with a change of the clock as well.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike as _, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};

use super::Recurrence;
use crate::policy::zone::Tz;

/// For how many years a next run is searched: a 29 February that is the fifth of its day in the month can take so long.
const HORIZON: i32 = 40;
/// From which years on: outside of them no calendar here is of any use.
const YEARS: RangeInclusive<i32> = 1900..=2900;
/// The longest leap of a clock over hours that count; only whole days that a country left out are longer.
const LONGEST_LEAP: TimeDelta = TimeDelta::hours(3);

impl Recurrence {
    /// The first run after `now`, in the installation's zone; nothing where none comes in the next 40 years.
    pub(crate) fn next_after(&self, now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        if !YEARS.contains(&now.year()) {
            return None;
        }
        if self.every_hour {
            return self.search(&now.with_timezone(&zone)).map(|next| next.to_utc());
        }
        self.next_time_of_day(now, zone)
    }

    /// The first of its times of day that comes after `now`, each once, whatever the clock does.
    fn next_time_of_day(&self, now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let local = |time: DateTime<Utc>| time.with_timezone(&zone).naive_local();
        // After a leap of the clock, what it leapt over is still to come.
        let without_leap = local(now - LONGEST_LEAP) + LONGEST_LEAP;
        let mut time = local(now).min(without_leap);
        let mut leapt_over: Option<DateTime<Utc>> = None;
        while let Some(found) = self.search(&time.and_utc()) {
            time = found.naive_utc();
            match zone.from_local_datetime(&time).earliest() {
                Some(next) if next > now => {
                    let next = next.to_utc();
                    return Some(leapt_over.map_or(next, |other| other.min(next)));
                }
                Some(_) => {}
                None => {
                    leapt_over = leapt_over.or_else(|| after_leap(time, zone));
                }
            }
        }
        leapt_over
    }

    /// The first time of the calendar after `after`.
    fn search<Z: TimeZone>(&self, after: &DateTime<Z>) -> Option<DateTime<Z>> {
        let mut time = after.clone();
        loop {
            time = self.cron.find_next_occurrence(&time, false).ok()?;
            if time.year() > after.year() + HORIZON {
                return None;
            }
            if self.week.is_none_or(|week| time.day().div_ceil(7) == week) {
                return Some(time);
            }
            // No time of this day is right.
            let last_second = NaiveTime::from_hms_opt(23, 59, 59)?;
            time = time.with_time(last_second).latest().unwrap_or(time);
        }
    }
}

/// When a time comes that the clock leaps over: as if it had not leapt yet.
fn after_leap(time: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    Some((time - zone.before_leap_over(time)?).and_utc())
}

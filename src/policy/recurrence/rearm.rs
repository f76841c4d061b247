//! When a series runs again after a run, failed or not.

use chrono::{DateTime, TimeDelta, Utc};

use super::Recurrence;
use crate::policy::zone::Tz;

/// From this many failures in a row on, a series waits for somebody to look at it.
const PAUSED_FROM: u32 = 8;
/// The delay after the first failure; each further one doubles it.
const FIRST_DELAY: TimeDelta = TimeDelta::minutes(2);
/// No delay is longer.
const LONGEST_DELAY: TimeDelta = TimeDelta::minutes(60);

/// What becomes of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rearm {
    /// It runs next at this time.
    At(DateTime<Utc>),
    /// It would run at this time, and has failed too often to.
    Paused(DateTime<Utc>),
}

/// When a series runs next that failed `failures` times in a row: at its first time that is far enough from `now`. Nothing
/// where it has none.
pub(crate) fn rearm(recurrence: &Recurrence, failures: u32, now: DateTime<Utc>, zone: Tz) -> Option<Rearm> {
    let Some(before) = failures.checked_sub(1) else {
        return recurrence.next_after(now, zone).map(Rearm::At);
    };
    let doubled = FIRST_DELAY.checked_mul(1 << before.min(PAUSED_FROM))?;
    // A run exactly then is late enough.
    let earliest = now.checked_add_signed(doubled.min(LONGEST_DELAY) - TimeDelta::nanoseconds(1))?;
    let next = recurrence.next_after(earliest, zone)?;
    Some(if failures >= PAUSED_FROM { Rearm::Paused(next) } else { Rearm::At(next) })
}

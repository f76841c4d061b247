//! Whether the machine slept or its clock was set between two ticks: what looks silent then had no time to be heard.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Serialize};

/// What clocks differ by in seconds, which stays the same while a machine only runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clocks {
    /// The time of day less the time since the machine was started: it leaps when the clock is set, and with a new start.
    started: i64,
    /// How long the machine has slept since then.
    asleep: i64,
}

impl Clocks {
    /// As they are now.
    pub(crate) fn now() -> Self {
        let since_start = clock_gettime(ClockId::Boottime);
        Self {
            started: less(clock_gettime(ClockId::Realtime), since_start),
            asleep: less(since_start, clock_gettime(ClockId::Monotonic)),
        }
    }

    /// By how much they have leapt since `before`; nothing where clocks are only kept right.
    pub(crate) fn leapt_since(self, before: Self) -> Option<Duration> {
        /// Less than any limit by which a container is judged.
        const TOLERANCE: u64 = 30;
        let leapt = self.started.abs_diff(before.started).max(self.asleep.abs_diff(before.asleep));
        (leapt > TOLERANCE).then(|| Duration::from_secs(leapt))
    }
}

#[cfg(test)]
impl Clocks {
    /// As they were when the machine had slept for so many seconds less.
    pub(crate) const fn less_asleep(self, seconds: i64) -> Self {
        Self { asleep: self.asleep - seconds, ..self }
    }
}

fn less(one: Timespec, other: Timespec) -> i64 {
    one.tv_sec - other.tv_sec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_or_another_time_of_day_is_a_leap_and_keeping_a_clock_right_is_none() {
        let now = Clocks::now();
        let leapt = |started: i64, asleep: i64| {
            let before = Clocks { started: now.started + started, asleep: now.asleep + asleep };
            now.leapt_since(before).map(|leapt| leapt.as_secs())
        };
        assert_eq!(leapt(0, -7_200), Some(7_200));
        assert_eq!((leapt(-3_600, 0), leapt(3_600, 0)), (Some(3_600), Some(3_600)));
        assert_eq!((leapt(30, -30), leapt(31, 0)), (None, Some(31)));
        assert_eq!(Clocks::now().leapt_since(now), None);
    }
}

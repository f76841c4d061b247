//! Whether a registered session is alive, and when its signs of life are from.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::mapping::FUTURE_TOLERANCE;

/// A terminal of which it is not known whether it lasts is forgotten so long after it was identified, once its session has
/// ended: a CLI's session may be taken up again.
pub(crate) const FORGET_AFTER: TimeDelta = TimeDelta::days(30);

/// Where the time of a sign of life was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignSource {
    /// The timestamp in a heartbeat.
    Beat,
    /// A heartbeat's time of last change, where its timestamp is none or lies in the future.
    BeatModified,
    /// When a heartbeat's file came to where it is, where both of these fail.
    BeatArrived,
    /// `last_heartbeat` of the registry's entry.
    Entry,
    /// `registered_at` of the registry's entry.
    Registered,
}

impl SignSource {
    /// The name in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Beat => "beat",
            Self::BeatModified => "beat-mtime",
            Self::BeatArrived => "beat-ctime",
            Self::Entry => "entry",
            Self::Registered => "registered",
        }
    }

    /// For people.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Beat => "heartbeat",
            Self::BeatModified => "file time",
            Self::BeatArrived => "arrival",
            Self::Entry => "registry",
            Self::Registered => "registered",
        }
    }
}

/// What a heartbeat's file says about its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BeatTimes {
    /// Its timestamp, where it has one that is a time.
    pub(crate) body: Option<DateTime<Utc>>,
    /// Its time of last change, which programs can set.
    pub(crate) modified: DateTime<Utc>,
    /// When anything about the file was changed last, which no program can set.
    pub(crate) changed: DateTime<Utc>,
}

impl BeatTimes {
    /// When the heartbeat is from; nothing where all its times lie in the future.
    ///
    /// A file time in the future says nothing, but that the file is there says that somebody was alive when it came to be.
    pub(crate) fn date(self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, SignSource)> {
        let times = [
            (self.body, SignSource::Beat),
            (Some(self.modified), SignSource::BeatModified),
            (Some(self.changed), SignSource::BeatArrived),
        ];
        times.into_iter().find_map(|(time, source)| time.filter(|time| !is_future(*time, now)).zip(Some(source)))
    }

    /// The time in the future that it gives, if so.
    pub(crate) fn future(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.body.or(Some(self.modified)).filter(|time| is_future(*time, now))
    }
}

/// Whether a time is later than a clock's small error explains.
pub(crate) fn is_future(time: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    time > now && time - now > FUTURE_TOLERANCE
}

/// What is known about one registered session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionFacts<'f> {
    /// The status in the registry; `None` where it has none.
    pub(crate) status: Option<&'f str>,
    /// The newest sign of life.
    pub(crate) last_sign: Option<DateTime<Utc>>,
    /// Something that may be a newer sign could not be read or dated.
    pub(crate) in_doubt: bool,
}

/// What is the case with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// Active, with a sign of life within the timeout.
    Active,
    /// Active in the registry, without one.
    Stale,
    /// Active in the registry, and its signs could not all be read or dated.
    Unknown,
    /// Ended.
    Inactive,
    /// Another status, which others set and take away.
    Other,
}

impl Liveness {
    /// The name in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Stale => "stale",
            Self::Unknown => "unknown",
            Self::Inactive => "inactive",
            Self::Other => "other",
        }
    }
}

/// Decides one session. `timeout`: `None` for never.
pub(crate) fn judge(facts: SessionFacts<'_>, timeout: Option<Duration>, now: DateTime<Utc>) -> Liveness {
    match facts.status {
        Some("active") => {}
        Some("inactive") => return Liveness::Inactive,
        _ => return Liveness::Other,
    }
    match facts.last_sign {
        Some(time) if !is_older(time, timeout, now) => Liveness::Active,
        _ if facts.in_doubt => Liveness::Unknown,
        None if timeout.is_none() => Liveness::Active,
        _ => Liveness::Stale,
    }
}

/// Whether `time` is longer ago than `limit`; never where there is none.
pub(crate) fn is_older(time: DateTime<Utc>, limit: Option<Duration>, now: DateTime<Utc>) -> bool {
    match (limit, (now - time).to_std()) {
        (Some(limit), Ok(age)) => age > limit,
        _ => false,
    }
}

/// The two clocks of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clocks {
    /// The run's instant.
    pub(crate) wall: DateTime<Utc>,
    /// `CLOCK_BOOTTIME`: the time since the machine started, sleep included. Nobody can set it.
    pub(crate) since_boot: Duration,
    /// Which start of the machine that was.
    pub(crate) boot_id: String,
}

/// By how much the clock was put forward since the last run, where that is more than it should be, and the machine has run
/// for less than `timeout` since. After a restart nothing can be compared, and whoever was there is gone.
pub(crate) fn jump(last: &Clocks, now: &Clocks, timeout: Option<Duration>) -> Option<TimeDelta> {
    if last.boot_id != now.boot_id {
        return None;
    }
    let ran = now.since_boot.checked_sub(last.since_boot)?;
    let jumped = (now.wall - last.wall) - TimeDelta::from_std(ran).ok()?;
    (timeout.is_some_and(|timeout| ran < timeout) && jumped > FUTURE_TOLERANCE).then_some(jumped)
}

/// Whether so many sessions going at once are a reason for doubt.
pub(crate) const fn is_mass(going: usize, active: usize) -> bool {
    going * 2 > active
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: DateTime<Utc> = DateTime::from_timestamp(1_795_000_000, 0).expect("a valid time");
    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(7200));

    fn ago(seconds: i64) -> DateTime<Utc> {
        NOW - TimeDelta::seconds(seconds)
    }

    fn facts(status: &str, last_sign: Option<i64>, in_doubt: bool) -> SessionFacts<'_> {
        SessionFacts { status: Some(status), last_sign: last_sign.map(ago), in_doubt }
    }

    #[test]
    fn only_active_sessions_are_judged_and_doubt_keeps_them() {
        for (facts, expected) in [
            (facts("active", Some(0), false), Liveness::Active),
            (facts("active", Some(7200), false), Liveness::Active),
            (facts("active", Some(7201), false), Liveness::Stale),
            (facts("active", Some(7201), true), Liveness::Unknown),
            (facts("active", Some(7199), true), Liveness::Active),
            (facts("active", Some(-300), false), Liveness::Active),
            (facts("active", None, false), Liveness::Stale),
            (facts("active", None, true), Liveness::Unknown),
            (facts("inactive", Some(0), false), Liveness::Inactive),
            (facts("working", None, false), Liveness::Other),
            (facts("Active", None, false), Liveness::Other),
            (SessionFacts { status: None, last_sign: None, in_doubt: false }, Liveness::Other),
        ] {
            assert_eq!(judge(facts, TIMEOUT, NOW), expected, "{facts:?}");
        }
        assert_eq!(judge(facts("active", None, false), None, NOW), Liveness::Active);
        assert_eq!(judge(facts("active", Some(1 << 30), false), None, NOW), Liveness::Active);
    }

    #[test]
    fn a_beat_is_dated_by_what_does_not_lie_in_the_future() {
        let times = |body: Option<i64>, modified, changed| BeatTimes {
            body: body.map(ago),
            modified: ago(modified),
            changed: ago(changed),
        };
        for (times, expected, future) in [
            (times(Some(60), 5, 5), Some((ago(60), SignSource::Beat)), None),
            (times(Some(5), 9000, 1), Some((ago(5), SignSource::Beat)), None),
            (times(Some(-300), 5, 5), Some((ago(-300), SignSource::Beat)), None),
            (times(Some(-301), 50, 5), Some((ago(50), SignSource::BeatModified)), Some(ago(-301))),
            (times(None, 50, 5), Some((ago(50), SignSource::BeatModified)), None),
            (times(None, -900, 5), Some((ago(5), SignSource::BeatArrived)), Some(ago(-900))),
            (times(Some(-900), -900, 5), Some((ago(5), SignSource::BeatArrived)), Some(ago(-900))),
            (times(Some(-900), -900, -900), None, Some(ago(-900))),
        ] {
            assert_eq!((times.date(NOW), times.future(NOW)), (expected, future), "{times:?}");
        }
    }

    #[test]
    fn a_clock_that_ran_ahead_of_the_machine_has_jumped() {
        let clocks = |wall: i64, since_boot: u64| Clocks {
            wall: NOW + TimeDelta::seconds(wall),
            since_boot: Duration::from_secs(since_boot),
            boot_id: "a".to_owned(),
        };
        let last = clocks(0, 5_000);
        for (now, jumped) in [
            (clocks(3_600, 8_600), None),
            (clocks(3_900, 8_600), None),
            (clocks(3_901, 8_600), Some(301)),
            (clocks(18_000, 5_001), Some(17_999)),
            // It ran for longer than the timeout: whoever is stale is so by the machine's own clock, too.
            (clocks(18_000, 12_200), None),
            (clocks(-18_000, 5_001), None),
            (clocks(18_000, 10), None),
            (Clocks { boot_id: "b".to_owned(), ..clocks(18_000, 5_001) }, None),
        ] {
            assert_eq!(jump(&last, &now, TIMEOUT), jumped.map(TimeDelta::seconds), "{now:?}");
        }
        assert_eq!(jump(&last, &clocks(18_000, 5_001), None), None);
        assert!(is_mass(2, 3) && is_mass(1, 1) && !is_mass(1, 2) && !is_mass(0, 0));
    }

    proptest! {
        /// A session that is kept stays kept with a later sign, a longer timeout, or more doubt.
        #[test]
        fn keeping_is_monotonic(ago in 0_i64..100_000, later in 0_i64..100_000, limit in 1_u64..100_000, more in 0_u64..100_000, doubt: bool) {
            let judge = |ago, limit, doubt| judge(facts("active", Some(ago), doubt), Some(Duration::from_secs(limit)), NOW);
            if judge(ago, limit, doubt) != Liveness::Stale {
                prop_assert_ne!(judge(ago - later.min(ago), limit, doubt), Liveness::Stale);
                prop_assert_ne!(judge(ago, limit + more, doubt), Liveness::Stale);
                prop_assert_ne!(judge(ago, limit, true), Liveness::Stale);
            }
        }
    }
}

//! What becomes of one mapping.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::choices::MissingPolicy;

/// A time later than this after now is a clock that lies, not activity.
pub(crate) const FUTURE_TOLERANCE: TimeDelta = TimeDelta::minutes(5);
/// From this many mappings on, all of a provider's missing at once means a wrong home folder.
pub(crate) const MASS_MISSING_FROM: usize = 3;

/// The thresholds of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Thresholds {
    /// Older than this is idle; `None` for never.
    pub(crate) idle: Option<Duration>,
    pub(crate) missing: MissingPolicy,
}

impl Thresholds {
    /// The instant between idle and active; `None` when nothing is ever idle.
    pub(crate) fn idle_before(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let limit = self.idle.and_then(|idle| TimeDelta::from_std(idle).ok())?;
        now.checked_sub_signed(limit)
    }
}

/// What was found out about one mapping's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Facts<'a> {
    /// The session could not be examined; the text says why.
    Unknown(&'a str),
    /// A live process has the session.
    InUse {
        /// That process.
        pid: u32,
        /// The newest sign of activity, from whatever source.
        last_activity: Option<Activity>,
    },
    /// The session's transcript is there.
    Found(Activity),
    /// The session's transcript is not there.
    Missing(Absence),
}

/// When a session was last active, and how we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Activity {
    pub(crate) time: DateTime<Utc>,
    pub(crate) source: Source,
}

/// Where a time came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// The transcript's time of last change.
    TranscriptMtime,
    /// The last dated record in the transcript.
    TranscriptRecord,
    /// A sub-agent's transcript's time of last change.
    SubagentMtime,
    /// The last dated record in a sub-agent's transcript.
    SubagentRecord,
    /// A time that the map's entry records.
    MapEntry,
    /// The record that a live process keeps.
    LiveProcess,
    /// The provider's own database.
    Database,
}

impl Source {
    /// The name in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::TranscriptMtime => "transcript-mtime",
            Self::TranscriptRecord => "transcript-record",
            Self::SubagentMtime => "subagent-mtime",
            Self::SubagentRecord => "subagent-record",
            Self::MapEntry => "map-entry",
            Self::LiveProcess => "live-process",
            Self::Database => "database",
        }
    }
}

/// What is known about a transcript that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Absence {
    /// The provider's store is there; one that could not all be read makes the facts [`Facts::Unknown`].
    pub(crate) store_present: bool,
    /// All of the provider's mappings are missing at once, three or more.
    pub(crate) all_missing: bool,
    /// Since when earlier runs have found it missing.
    pub(crate) since: Option<DateTime<Utc>>,
    /// A time of use that the map's entry itself records.
    pub(crate) recorded: Option<DateTime<Utc>>,
}

/// A mapping's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// Used within the threshold.
    Active,
    /// Not used within the threshold.
    Idle,
    /// A live process has the session.
    InUse,
    /// No transcript.
    Missing,
    /// Could not be decided.
    Unknown,
}

impl State {
    /// The name in JSON and tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Idle => "idle",
            Self::InUse => "in-use",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        }
    }
}

/// What is to be done with a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Leave it in the map.
    Keep,
    /// Remove it from the map.
    Prune,
}

impl Action {
    /// The name in JSON and tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Prune => "prune",
        }
    }
}

/// Why a mapping was decided as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason<'a> {
    /// Used within the threshold.
    UsedRecently,
    /// Not used within the threshold.
    IdleTooLong,
    /// A live process has the session.
    HeldBy(u32),
    /// Its last activity lies in the future.
    FutureTime,
    /// It could not be examined.
    CouldNotLook(&'a str),
    /// Missing, and the user wants missing ones kept.
    MissingKept,
    /// Missing for the first time in this run.
    MissingFirst,
    /// Missing, but not for long enough.
    MissingTooShort(Duration),
    /// Missing, but the provider's store is not there.
    NoStore,
    /// Missing, but the mapping was used within the threshold.
    MissingButUsed,
    /// All of the provider's mappings are missing at once.
    AllMissing,
    /// Missing for long enough.
    MissingLong(Duration),
    /// Missing, and the user wants such pruned at once.
    MissingNow,
    /// It ought to go, but whoever keeps the map cannot be told so.
    CannotAddress,
}

/// State, action and reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict<'a> {
    pub(crate) state: State,
    pub(crate) action: Action,
    pub(crate) reason: Reason<'a>,
    pub(crate) last_activity: Option<Activity>,
}

impl Verdict<'_> {
    /// The same, for a mapping that cannot be removed whatever was decided.
    pub(crate) const fn unless_addressed(self, addressable: bool) -> Self {
        match self.action {
            Action::Prune if !addressable => Self { action: Action::Keep, reason: Reason::CannotAddress, ..self },
            _ => self,
        }
    }
}

/// Decides one mapping.
pub(crate) fn decide<'a>(facts: Facts<'a>, thresholds: &Thresholds, now: DateTime<Utc>) -> Verdict<'a> {
    let keep = |state, reason, last_activity| Verdict { state, action: Action::Keep, reason, last_activity };
    match facts {
        Facts::Unknown(why) => keep(State::Unknown, Reason::CouldNotLook(why), None),
        Facts::InUse { pid, last_activity } => keep(State::InUse, Reason::HeldBy(pid), last_activity),
        Facts::Found(activity) if is_future(activity.time, now) => {
            keep(State::Unknown, Reason::FutureTime, Some(activity))
        }
        Facts::Found(activity) if is_idle(activity.time, thresholds, now) => Verdict {
            state: State::Idle,
            action: Action::Prune,
            reason: Reason::IdleTooLong,
            last_activity: Some(activity),
        },
        Facts::Found(activity) => keep(State::Active, Reason::UsedRecently, Some(activity)),
        Facts::Missing(absence) => {
            let activity = absence.recorded.map(|time| Activity { time, source: Source::MapEntry });
            if absence.recorded.is_some_and(|time| is_future(time, now)) {
                return keep(State::Unknown, Reason::FutureTime, activity);
            }
            let (action, reason) = decide_missing(absence, thresholds, now);
            Verdict { state: State::Missing, action, reason, last_activity: activity }
        }
    }
}

/// A missing transcript is proof of nothing until every way to be wrong about it is excluded.
fn decide_missing(absence: Absence, thresholds: &Thresholds, now: DateTime<Utc>) -> (Action, Reason<'static>) {
    let missing_for = absence.since.and_then(|since| (now - since).to_std().ok());
    let keep = |reason| (Action::Keep, reason);
    match (thresholds.missing, missing_for) {
        (MissingPolicy::Keep, _) => keep(Reason::MissingKept),
        _ if !absence.store_present => keep(Reason::NoStore),
        _ if absence.all_missing => keep(Reason::AllMissing),
        _ if absence.recorded.is_some_and(|time| !is_idle(time, thresholds, now)) => keep(Reason::MissingButUsed),
        (MissingPolicy::Prune, _) => (Action::Prune, Reason::MissingNow),
        (MissingPolicy::After(_), None) => keep(Reason::MissingFirst),
        (MissingPolicy::After(limit), Some(missing)) if missing < limit => keep(Reason::MissingTooShort(missing)),
        (MissingPolicy::After(_), Some(missing)) => (Action::Prune, Reason::MissingLong(missing)),
    }
}

fn is_future(time: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    // Most are not, which is cheaper to see.
    time > now && time - now > FUTURE_TOLERANCE
}

/// Whether `time` is longer ago than the idle threshold.
pub(crate) fn is_idle(time: DateTime<Utc>, thresholds: &Thresholds, now: DateTime<Utc>) -> bool {
    match (thresholds.idle, (now - time).to_std()) {
        (Some(limit), Ok(age)) => age > limit,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MISSING_AFTER: Duration = Duration::from_secs(24 * 3600);
    const NOW: DateTime<Utc> = DateTime::from_timestamp(1_795_000_000, 0).expect("a valid time");

    fn thresholds(missing: MissingPolicy) -> Thresholds {
        Thresholds { idle: Some(Duration::from_secs(7200)), missing }
    }

    fn found(seconds_ago: i64) -> Facts<'static> {
        Facts::Found(Activity { time: NOW - TimeDelta::seconds(seconds_ago), source: Source::TranscriptMtime })
    }

    const PROVEN: Absence = Absence { store_present: true, all_missing: false, since: None, recorded: None };

    fn verdict(facts: Facts<'static>, missing: MissingPolicy) -> (State, Action) {
        let verdict = decide(facts, &thresholds(missing), NOW);
        (verdict.state, verdict.action)
    }

    #[test]
    fn each_fact_has_its_state() {
        let policy = MissingPolicy::After(MISSING_AFTER);
        let ago = |hours| Some(NOW - TimeDelta::hours(hours));
        let in_use = Facts::InUse { pid: 1, last_activity: None };
        for (facts, expected) in [
            (found(0), (State::Active, Action::Keep)),
            (found(7200), (State::Active, Action::Keep)),
            (found(7201), (State::Idle, Action::Prune)),
            (found(-300), (State::Active, Action::Keep)),
            (found(-301), (State::Unknown, Action::Keep)),
            (in_use, (State::InUse, Action::Keep)),
            (Facts::Unknown("x"), (State::Unknown, Action::Keep)),
            (Facts::Missing(PROVEN), (State::Missing, Action::Keep)),
            (Facts::Missing(Absence { since: ago(23), ..PROVEN }), (State::Missing, Action::Keep)),
            (Facts::Missing(Absence { since: ago(24), ..PROVEN }), (State::Missing, Action::Prune)),
            (Facts::Missing(Absence { since: ago(-1), ..PROVEN }), (State::Missing, Action::Keep)),
            (Facts::Missing(Absence { since: ago(99), recorded: ago(1), ..PROVEN }), (State::Missing, Action::Keep)),
            (Facts::Missing(Absence { since: ago(99), recorded: ago(-1), ..PROVEN }), (State::Unknown, Action::Keep)),
        ] {
            assert_eq!(verdict(facts, policy), expected, "{facts:?}");
        }
    }

    #[test]
    fn no_guard_of_the_missing_can_be_left_out() {
        let since = Some(NOW - TimeDelta::days(9));
        let proven = Absence { since, ..PROVEN };
        for policy in [MissingPolicy::Prune, MissingPolicy::After(MISSING_AFTER)] {
            assert_eq!(verdict(Facts::Missing(proven), policy).1, Action::Prune);
            for doubtful in [Absence { store_present: false, ..proven }, Absence { all_missing: true, ..proven }] {
                assert_eq!(verdict(Facts::Missing(doubtful), policy).1, Action::Keep, "{doubtful:?} {policy:?}");
            }
        }
        assert_eq!(verdict(Facts::Missing(proven), MissingPolicy::Keep).1, Action::Keep);
    }

    #[test]
    fn never_idle_means_never_pruned_for_idleness() {
        let never = Thresholds { idle: None, missing: MissingPolicy::Keep };
        assert_eq!(decide(found(1_000_000_000), &never, NOW).state, State::Active);
    }

    proptest! {
        /// A session that is kept stays kept when it was used later or the threshold is longer.
        #[test]
        fn keeping_is_monotonic(ago in 0_i64..1_000_000, limit in 1_u64..1_000_000, later in 0_i64..1_000_000, more in 0_u64..1_000_000) {
            let with = |limit| Thresholds { idle: Some(Duration::from_secs(limit)), missing: MissingPolicy::Keep };
            if decide(found(ago), &with(limit), NOW).action == Action::Keep {
                prop_assert_eq!(decide(found(ago - later.min(ago)), &with(limit), NOW).action, Action::Keep);
                prop_assert_eq!(decide(found(ago), &with(limit + more), NOW).action, Action::Keep);
            }
        }
    }
}

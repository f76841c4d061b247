//! Whether something that a session left goes: facts, limits and an instant in, a verdict with its reason out.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::duration::Limit;

/// What was changed within this time stays even where there is too much of it: somebody may be writing it.
const AT_LEAST: Duration = Duration::from_secs(3_600);
/// A time that lies farther ahead than clocks differ is wrong.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// Who or what speaks for a session's files, and so against their removal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// A running process has the session open.
    Live { pid: u32 },
    /// A running process names it, by its command line or its environment.
    Named { pid: u32 },
    /// Something says that a process has it open, and that cannot be checked.
    MayBeLive(String),
    /// A CLI runs that does not say which session it has open, and began before these files were changed last.
    Running { pid: u32 },
    /// A bridge's session map leads to it.
    Mapped,
    /// Its mapping was pruned, and can still be put back.
    Restorable,
    /// An agent host goes on with it.
    Continued { group: String },
    /// It is a sub-agent's, of a session that stays.
    PartOf { session: String },
    /// It is one of the newest of its project.
    Newest { of: usize },
    /// It was put back from the archive within the limit.
    PutBack { at: DateTime<Utc> },
    /// This program keeps its state there.
    Own,
}

/// What is known of something that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The last change of any of its files; nothing where it has none, or that is no time.
    pub(crate) modified: Option<DateTime<Utc>>,
    /// The last activity that is recorded inside, where that is recorded; else why it cannot be told.
    pub(crate) recorded: Result<Option<DateTime<Utc>>, Reason>,
    /// Why not all of it could be looked at.
    pub(crate) doubt: Option<String>,
    pub(crate) claims: Vec<Claim>,
}

/// Why something stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It is not past its limit.
    Young,
    /// It is claimed; the first of several.
    Claimed(Claim),
    /// Its time lies in the future.
    Future,
    /// When it was used last is not known.
    Unknown(String),
    /// The same, since something of it could not be read: that is no property of it, but a fault to look after.
    Unread(String),
    /// Not all of it could be removed.
    Fixed(String),
}

/// Why something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It was not used for longer than this.
    Age(Duration),
    /// There is more of its kind than this, and it is the oldest.
    Size(u64),
    /// Another file holds all of it.
    Duplicate,
}

/// What is to become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep(Reason),
    Remove(Cause),
}

impl Facts {
    /// The later of its last change and its last recorded activity.
    pub(crate) fn last_activity(&self) -> Option<DateTime<Utc>> {
        self.modified.max(self.recorded.clone().ok().flatten())
    }

    /// What becomes of it by its age alone.
    pub(crate) fn by_age(&self, retention: Limit, now: DateTime<Utc>) -> Verdict {
        match retention {
            Limit::Never => Verdict::Keep(Reason::Young),
            Limit::After(limit) => self.older_than(limit, Cause::Age(limit), now),
        }
    }

    /// What becomes of it where there is more of its kind than `most` bytes.
    pub(crate) fn by_size(&self, most: u64, now: DateTime<Utc>) -> Verdict {
        self.older_than(AT_LEAST, Cause::Size(most), now)
    }

    /// What becomes of it where another file holds all of it.
    pub(crate) fn as_duplicate(&self, now: DateTime<Utc>) -> Verdict {
        self.older_than(AT_LEAST, Cause::Duplicate, now)
    }

    fn older_than(&self, limit: Duration, cause: Cause, now: DateTime<Utc>) -> Verdict {
        let reason = match (self.last_activity(), &self.doubt, &self.recorded) {
            (None, ..) => Reason::Unknown("none of its files has a time".to_owned()),
            (Some(last), ..) if is_future(last, now) => Reason::Future,
            (Some(last), ..) if is_within(last, limit, now) => Reason::Young,
            (_, Some(why), _) => Reason::Unknown(why.clone()),
            (.., Err(reason)) => reason.clone(),
            _ => match self.claims.iter().min() {
                None => return Verdict::Remove(cause),
                Some(claim) => Reason::Claimed(claim.clone()),
            },
        };
        Verdict::Keep(reason)
    }
}

/// Whether a time lies farther ahead than clocks differ.
pub(crate) fn is_future(time: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    time > now + SKEW
}

/// The instant before which what was used last is past a limit; nothing where a limit goes back before all calendars.
pub(crate) fn overdue_before(limit: Duration, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    TimeDelta::from_std(limit).ok().and_then(|limit| now.checked_sub_signed(limit))
}

/// The same in nanoseconds since 1970, as the times of files are told. What cannot be told so lies before or behind all of them.
pub(crate) fn overdue_nanoseconds(limit: Duration, now: DateTime<Utc>) -> Option<i64> {
    let before = overdue_before(limit, now)?;
    Some(before.timestamp_nanos_opt().unwrap_or(if before < DateTime::UNIX_EPOCH { i64::MIN } else { i64::MAX }))
}

/// Whether `last` is at most `limit` before `now`.
pub(crate) fn is_within(last: DateTime<Utc>, limit: Duration, now: DateTime<Utc>) -> bool {
    // A limit that goes back before all calendars holds for everything.
    overdue_before(limit, now).is_none_or(|oldest| last >= oldest)
}

/// Which parts of a kind go so that the rest of its `total` bytes takes at most `most`: their places in `sizes`, the oldest
/// first. Only those are asked about that would have to go; what may not go stays, and the next older one goes instead.
pub(crate) fn evicted(
    sizes: impl IntoIterator<Item = u64>,
    total: u64,
    most: u64,
    mut may_go: impl FnMut(usize) -> bool,
) -> Vec<usize> {
    let (mut left, mut gone) = (total, Vec::new());
    for (index, size) in sizes.into_iter().enumerate() {
        if left <= most {
            break;
        }
        // What takes no room makes none.
        if size > 0 && may_go(index) {
            left = left.saturating_sub(size);
            gone.push(index);
        }
    }
    gone
}

/// Fewer transcripts than this are never held: they come back from the archive.
pub(crate) const FEWEST_TRANSCRIPTS: usize = 3;
/// What goes from the archive does not come back.
pub(crate) const FEWEST_ARCHIVED: usize = 1;

/// Whether a run that would remove so many of all is to be held: more than half of them, and the `fewest` or more. One wrong
/// clock can make everything old.
pub(crate) const fn is_held(removed: usize, of: usize, fewest: usize) -> bool {
    removed >= fewest && removed > of / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_176_000, 0).unwrap()
    }

    fn ago(hours: i64) -> DateTime<Utc> {
        now() - TimeDelta::hours(hours)
    }

    fn old() -> Facts {
        Facts { modified: Some(ago(100)), recorded: Ok(Some(ago(101))), doubt: None, claims: Vec::new() }
    }

    fn by_age(facts: &Facts) -> Verdict {
        facts.by_age(Limit::After(Duration::from_secs(72 * HOUR)), now())
    }

    fn kept(facts: &Facts) -> Reason {
        match (by_age(facts), facts.by_size(1, now())) {
            (Verdict::Keep(one), Verdict::Keep(other)) if one == other => one,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_old_by_both_its_clocks_goes() {
        assert_eq!(by_age(&old()), Verdict::Remove(Cause::Age(Duration::from_secs(72 * HOUR))));
        assert_eq!(old().by_size(9, now()), Verdict::Remove(Cause::Size(9)));
        assert_eq!(old().by_age(Limit::Never, now()), Verdict::Keep(Reason::Young));
        for facts in [Facts { modified: Some(ago(1)), ..old() }, Facts { recorded: Ok(Some(ago(72))), ..old() }] {
            assert_eq!(by_age(&facts), Verdict::Keep(Reason::Young), "{facts:?}");
        }
        let second = TimeDelta::seconds(1);
        let facts = Facts { modified: Some(ago(72) - second), ..old() };
        assert!(matches!(by_age(&facts), Verdict::Remove(_)));
        // However much there is of it, nobody is to be writing it.
        let facts = Facts { modified: Some(ago(1)), ..old() };
        assert_eq!(facts.by_size(1, now()), Verdict::Keep(Reason::Young));
    }

    #[test]
    fn what_is_not_known_stays() {
        let why = || "unreadable".to_owned();
        for reason in [Reason::Unknown(why()), Reason::Unread(why())] {
            assert_eq!(kept(&Facts { recorded: Err(reason.clone()), ..old() }), reason);
        }
        assert_eq!(kept(&Facts { doubt: Some(why()), ..old() }), Reason::Unknown(why()));
        assert!(matches!(kept(&Facts { modified: None, recorded: Ok(None), ..old() }), Reason::Unknown(_)));
        assert_eq!(kept(&Facts { modified: Some(ago(-1)), ..old() }), Reason::Future);
        assert_eq!(kept(&Facts { recorded: Ok(Some(ago(-1))), ..old() }), Reason::Future);
    }

    #[test]
    fn every_claim_keeps_and_the_strongest_is_told() {
        let claims = [
            Claim::Live { pid: 7 },
            Claim::MayBeLive("x".to_owned()),
            Claim::Running { pid: 8 },
            Claim::Mapped,
            Claim::Restorable,
            Claim::Continued { group: "g".to_owned() },
            Claim::PartOf { session: "s".to_owned() },
            Claim::Newest { of: 10 },
            Claim::PutBack { at: ago(1) },
        ];
        for claim in &claims {
            let facts = Facts { claims: vec![claim.clone()], ..old() };
            assert_eq!(kept(&facts), Reason::Claimed(claim.clone()));
        }
        let all: Vec<Claim> = claims.iter().rev().cloned().collect();
        assert_eq!(kept(&Facts { claims: all, ..old() }), Reason::Claimed(Claim::Live { pid: 7 }));
    }

    #[test]
    fn a_limit_of_all_time_keeps_all() {
        let facts = Facts { modified: Some(DateTime::<Utc>::MIN_UTC), recorded: Ok(None), ..old() };
        assert_eq!(facts.by_age(Limit::After(Duration::MAX), now()), Verdict::Keep(Reason::Young));
    }

    #[test]
    fn what_is_overdue_by_a_files_time_is_so_by_its_limit() {
        for now in [now(), DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
            for limit in [Duration::from_secs(HOUR), Duration::from_secs(400 * 365 * 24 * HOUR), Duration::MAX] {
                for time in [0, 1, i64::MAX - 1] {
                    let is_overdue = overdue_nanoseconds(limit, now).is_some_and(|before| time < before);
                    assert_eq!(
                        !is_overdue,
                        is_within(DateTime::from_timestamp_nanos(time), limit, now),
                        "{now} {time}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        let gone = |sizes: &[(u64, bool)], total, most| {
            evicted(sizes.iter().map(|(size, _)| *size), total, most, |index| sizes[index].1)
        };
        assert_eq!(gone(&[(5, true), (5, true), (5, true)], 15, 10), [0]);
        assert_eq!(gone(&[(5, true), (5, true), (5, true)], 15, 9), [0, 1]);
        assert_eq!(gone(&[(5, false), (5, true), (5, true)], 15, 10), [1]);
        assert_eq!(gone(&[(0, true), (5, true)], 5, 4), [1]);
        assert_eq!(gone(&[(5, true)], 5, 5), [0; 0]);
    }

    #[test]
    fn more_than_half_of_all_is_held() {
        for (removed, of, held) in
            [(0, 0, false), (2, 2, false), (2, 3, false), (3, 3, true), (3, 6, false), (4, 7, true), (5, 10, false)]
        {
            assert_eq!(is_held(removed, of, FEWEST_TRANSCRIPTS), held, "{removed} of {of}");
        }
        for (removed, of, held) in [(0, 0, false), (0, 1, false), (1, 1, true), (1, 2, false), (2, 3, true)] {
            assert_eq!(is_held(removed, of, FEWEST_ARCHIVED), held, "{removed} of {of} archived");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_may_not_go_goes_and_no_more_than_has_to(
            sizes in proptest::collection::vec((0_u64..100, any::<bool>()), 0..20),
            most in 0_u64..500,
        ) {
            let total: u64 = sizes.iter().map(|(size, _)| size).sum();
            let gone = evicted(sizes.iter().map(|(size, _)| *size), total, most, |index| sizes[index].1);
            let mut left = total;
            for index in &gone {
                prop_assert!(sizes[*index].1 && left > most);
                left -= sizes[*index].0;
            }
            let stays = |index: &usize| !gone.contains(index) && sizes[*index].1 && sizes[*index].0 > 0;
            prop_assert!(left <= most || (0..sizes.len()).filter(stays).count() == 0);
        }

        #[test]
        fn whatever_goes_is_unclaimed_and_past_its_limit(
            modified in proptest::option::of(-200_i64..200),
            recorded in proptest::option::of(-200_i64..200),
            limit in 1_u64..150,
            claimed in any::<bool>(),
            doubt in any::<bool>(),
        ) {
            let facts = Facts {
                modified: modified.map(ago),
                recorded: Ok(recorded.map(ago)),
                doubt: doubt.then(|| "x".to_owned()),
                claims: claimed.then_some(Claim::Mapped).into_iter().collect(),
            };
            if let Verdict::Remove(_) = facts.by_age(Limit::After(Duration::from_secs(limit * HOUR)), now()) {
                prop_assert!(!claimed && !doubt);
                for hours in [modified, recorded].into_iter().flatten() {
                    prop_assert!(hours > i64::try_from(limit).unwrap());
                }
                prop_assert!(modified.is_some() || recorded.is_some());
            }
        }
    }
}

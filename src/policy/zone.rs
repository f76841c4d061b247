//! A time zone of the IANA database, which this program has with it: machines without one name zones, too.
//!
//! The rules of a zone are only read where it is named. As tables of the program itself they would be a third of what it takes
//! to start.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use chrono::{
    DateTime, Datelike as _, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone,
    Timelike as _, Utc,
};
use jiff::tz::{self, AmbiguousOffset, TimeZoneDatabase};

static UTC: tz::TimeZone = tz::TimeZone::UTC;
/// The zones that were named up to now.
static KNOWN: Mutex<Vec<&'static tz::TimeZone>> = Mutex::new(Vec::new());

/// A time zone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tz(&'static tz::TimeZone);

/// How far a zone's clocks are from UTC at one instant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TzOffset {
    zone: Tz,
    offset: FixedOffset,
}

/// There is no such zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time zone of the IANA database")]
pub(crate) struct UnknownZone;

impl Tz {
    pub(crate) const UTC: Self = Self(&UTC);

    /// The zone of that name, in any case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("UTC") {
            return Some(Self::UTC);
        }
        let zone = TimeZoneDatabase::bundled().get(name).ok()?;
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let same = known.iter().find(|known| known.iana_name() == zone.iana_name());
        let same = same.copied().unwrap_or_else(|| {
            // A run names few zones, and needs them until it ends.
            let zone: &'static tz::TimeZone = Box::leak(Box::new(zone));
            known.push(zone);
            zone
        });
        Some(Self(same))
    }

    pub(crate) fn name(self) -> &'static str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The offset before the leap of the clock over this time; nothing where it does not leap over it.
    pub(crate) fn before_leap_over(self, local: NaiveDateTime) -> Option<FixedOffset> {
        match self.at_local(local)? {
            AmbiguousOffset::Gap { before, .. } => fixed(before),
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => None,
        }
    }

    fn at_local(self, local: NaiveDateTime) -> Option<AmbiguousOffset> {
        let (year, month, day) = (i16::try_from(local.year()).ok()?, local.month() as i8, local.day() as i8);
        let (hour, minute, second) = (local.hour() as i8, local.minute() as i8, local.second() as i8);
        let local = jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
        Some(self.0.to_ambiguous_timestamp(local).offset())
    }

    fn with(self, offset: tz::Offset) -> Option<TzOffset> {
        Some(TzOffset { zone: self, offset: fixed(offset)? })
    }
}

fn fixed(offset: tz::Offset) -> Option<FixedOffset> {
    FixedOffset::east_opt(offset.seconds())
}

impl FromStr for Tz {
    type Err = UnknownZone;

    /// The zone of exactly that name.
    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        Self::named(name).filter(|zone| zone.name() == name).ok_or(UnknownZone)
    }
}

impl fmt::Debug for Tz {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl fmt::Display for Tz {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl fmt::Debug for TzOffset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.offset, formatter)
    }
}

impl Offset for TzOffset {
    fn fix(&self) -> FixedOffset {
        self.offset
    }
}

impl TimeZone for Tz {
    type Offset = TzOffset;

    fn from_offset(offset: &TzOffset) -> Self {
        offset.zone
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> MappedLocalTime<TzOffset> {
        self.offset_from_local_datetime(&local.and_time(NaiveTime::MIN))
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<TzOffset> {
        let found = match self.at_local(*local) {
            Some(AmbiguousOffset::Unambiguous { offset }) => self.with(offset).map(MappedLocalTime::Single),
            Some(AmbiguousOffset::Fold { before, after }) => {
                let both = self.with(before).zip(self.with(after));
                both.map(|(before, after)| MappedLocalTime::Ambiguous(before, after))
            }
            Some(AmbiguousOffset::Gap { .. }) | None => None,
        };
        found.unwrap_or(MappedLocalTime::None)
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> TzOffset {
        self.offset_from_utc_datetime(&utc.and_time(NaiveTime::MIN))
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> TzOffset {
        let utc: DateTime<Utc> = utc.and_utc();
        let offset = jiff::Timestamp::from_second(utc.timestamp()).ok().map(|time| self.0.to_offset(time));
        // An instant outside of all calendars here.
        offset.and_then(|offset| self.with(offset)).unwrap_or(TzOffset { zone: Self::UTC, offset: Utc.fix() })
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn named(name: &str) -> Tz {
        Tz::named(name).unwrap()
    }

    fn local(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    #[test]
    fn a_zone_is_found_by_its_name_in_any_case() {
        for name in ["UTC", "Europe/Madrid", "America/Argentina/Buenos_Aires", "Asia/Calcutta", "Etc/GMT+12", "GMT"] {
            assert_eq!(named(name).name(), name);
            assert_eq!(named(&name.to_lowercase()), named(name));
            assert_eq!(name.parse(), Ok(named(name)));
            assert!(std::ptr::eq(named(name).0, named(name).0), "each is kept once");
        }
        assert_eq!("europe/madrid".parse::<Tz>(), Err(UnknownZone));
        for name in ["", "nowhere", "Europe", "../Europe/Madrid", "CET-1CEST", ":Europe/Madrid"] {
            assert_eq!(Tz::named(name), None, "{name}");
        }
    }

    #[test]
    fn a_local_time_may_come_twice_or_never() {
        let madrid = named("Europe/Madrid");
        let at = |text: &str| madrid.from_local_datetime(&local(text)).map(|time| time.to_utc().to_rfc3339());
        assert_eq!(at("2026-06-01T12:00:00").single().unwrap(), "2026-06-01T10:00:00+00:00");
        let twice = at("2026-10-25T02:30:00");
        assert_eq!(twice.clone().earliest().unwrap(), "2026-10-25T00:30:00+00:00");
        assert_eq!(twice.latest().unwrap(), "2026-10-25T01:30:00+00:00");
        assert_eq!(at("2026-03-29T02:30:00"), MappedLocalTime::None);
        assert_eq!(madrid.before_leap_over(local("2026-03-29T02:30:00")), FixedOffset::east_opt(3_600));
        assert_eq!(madrid.before_leap_over(local("2026-03-29T03:00:00")), None);
        assert_eq!(madrid.before_leap_over(local("2026-10-25T02:30:00")), None);
    }

    /// Not from 2026 on: what countries have decided since, one of the two knows first.
    #[test]
    fn all_zones_are_as_another_library_has_them() {
        let start = local("2000-01-01T00:00:00");
        for other in chrono_tz::TZ_VARIANTS {
            let zone = named(other.name());
            for month in 0..12 * 26 {
                let utc = start + TimeDelta::minutes(month * 43_829);
                let offset = zone.offset_from_utc_datetime(&utc).fix();
                assert_eq!(offset, other.offset_from_utc_datetime(&utc).fix(), "{other} at {utc}");
            }
        }
    }

    #[test]
    fn all_local_times_of_a_year_are_as_another_library_has_them() {
        let start = local("2025-01-01T00:00:00");
        for other in [
            chrono_tz::Europe::Madrid,
            chrono_tz::America::Santiago,
            chrono_tz::Antarctica::Troll,
            chrono_tz::Australia::Lord_Howe,
            chrono_tz::Africa::Casablanca,
            chrono_tz::Asia::Kolkata,
        ] {
            let zone = named(other.name());
            for quarter in 0..4 * 24 * 365 {
                let time = start + TimeDelta::minutes(quarter * 15);
                let mapped = zone.offset_from_local_datetime(&time).map(|offset| offset.fix());
                assert_eq!(
                    mapped,
                    other.offset_from_local_datetime(&time).map(|offset| offset.fix()),
                    "{other} {time}"
                );
                let gap = chrono_tz::GapInfo::new(&time, &other).and_then(|gap| gap.begin);
                assert_eq!(zone.before_leap_over(time), gap.map(|(_, offset)| offset.fix()), "{other} {time}");
            }
        }
    }
}

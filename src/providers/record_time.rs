//! The times inside one record of a transcript.
//!
//! A record may hold 50 MB of tool output, so it is never built in memory: the visitor below keeps the newest time and
//! steps over everything else.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Numbers above this are milliseconds: as seconds it would be the year 5138, as milliseconds it is March 1973.
const SMALLEST_MILLISECONDS: i64 = 100_000_000_000;

/// What a record says about when it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct RecordTime {
    /// The newest time in the places that count: `timestamp`, `lastUpdated`, and the same in `$set` and in each of the
    /// `messages`.
    pub(super) newest: Option<DateTime<Utc>>,
    /// Whether one of these places held something that is no time.
    pub(super) unparsable: bool,
}

impl RecordTime {
    fn add(&mut self, other: Self) {
        self.newest = self.newest.max(other.newest);
        self.unparsable |= other.unparsable;
    }
}

/// Reads an RFC 3339 time.
pub(super) fn from_text(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text.trim()).ok().map(|time| time.to_utc())
}

/// Reads seconds or milliseconds since 1970; numbers that are not positive are no time.
pub(super) fn from_integer(number: i64) -> Option<DateTime<Utc>> {
    match number {
        ..=0 => None,
        1..SMALLEST_MILLISECONDS => DateTime::from_timestamp(number, 0),
        SMALLEST_MILLISECONDS.. => DateTime::from_timestamp_millis(number),
    }
}

/// The same with a fraction.
pub(super) fn from_number(number: f64) -> Option<DateTime<Utc>> {
    // NaN becomes zero and a float too large the largest integer, and neither is a time.
    match number as i64 {
        ..=0 => None,
        1..SMALLEST_MILLISECONDS => DateTime::from_timestamp_millis((number * 1000.0) as i64),
        milliseconds => from_integer(milliseconds),
    }
}

impl<'de> Deserialize<'de> for RecordTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Place::Record.deserialize(deserializer)
    }
}

/// Where in a record we are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At an object (or a list of objects) with times in some of its fields.
    Record,
    /// At a field that should hold a time.
    Time,
    /// At a field that holds none.
    Other,
}

impl Place {
    fn scalar(self, time: Option<DateTime<Utc>>) -> RecordTime {
        match self {
            Self::Time => RecordTime { newest: time, unparsable: time.is_none() },
            Self::Record | Self::Other => RecordTime::default(),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Place {
    type Value = RecordTime;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RecordTime, D::Error> {
        match self {
            Self::Other => deserializer.deserialize_ignored_any(IgnoredAny).map(|_| RecordTime::default()),
            Self::Record | Self::Time => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Place {
    type Value = RecordTime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RecordTime, A::Error> {
        if self != Self::Record {
            return IgnoredAny.visit_map(map).map(|_| self.scalar(None));
        }
        let mut time = RecordTime::default();
        while let Some(place) = map.next_key_seed(Key)? {
            time.add(map.next_value_seed(place)?);
        }
        Ok(time)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RecordTime, A::Error> {
        if self != Self::Record {
            return IgnoredAny.visit_seq(seq).map(|_| self.scalar(None));
        }
        let mut time = RecordTime::default();
        while let Some(element) = seq.next_element()? {
            time.add(element);
        }
        Ok(time)
    }

    fn visit_str<E>(self, text: &str) -> Result<RecordTime, E> {
        Ok(self.scalar(from_text(text)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<RecordTime, E> {
        Ok(self.scalar(i64::try_from(number).ok().and_then(from_integer)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<RecordTime, E> {
        Ok(self.scalar(from_integer(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<RecordTime, E> {
        Ok(self.scalar(from_number(number)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<RecordTime, E> {
        Ok(self.scalar(None))
    }

    fn visit_unit<E>(self) -> Result<RecordTime, E> {
        // `null` is how a missing time is written, so it is not held against the record.
        Ok(RecordTime::default())
    }
}

/// Tells from a key what its value is.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Place;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Place, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Place;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Place, E> {
        Ok(match key {
            "timestamp" | "lastUpdated" => Place::Time,
            "$set" | "messages" => Place::Record,
            _ => Place::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(record: &str) -> RecordTime {
        serde_json::from_str(record).unwrap()
    }

    fn newest(record: &str) -> Option<String> {
        time(record).newest.map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
    }

    #[test]
    fn times_are_found_where_the_clis_write_them() {
        let expected = Some("2026-11-20T09:29:46.174Z".to_owned());
        for record in [
            r#"{"type":"user","timestamp":"2026-11-20T09:29:46.174Z","content":"x"}"#,
            r#"{"timestamp":"2026-11-20T10:29:46.174+01:00"}"#,
            r#"{"startTime":"2030-01-01T00:00:00Z","lastUpdated":"2026-11-20T09:29:46.174Z"}"#,
            r#"{"$set":{"lastUpdated":"2026-11-20T09:29:46.174Z"}}"#,
            r#"{"$set":{"messages":[{"timestamp":"2026-11-20T09:29:46.174Z"},{"timestamp":"2026-11-20T09:29:40Z"}]}}"#,
            r#"{"lastUpdated":"2026-11-20T09:00:00Z","messages":[{"timestamp":"2026-11-20T09:29:46.174Z"}]}"#,
            r#"{"timestamp":1795166986174}"#,
            r#"{"timestamp":1795166986.174}"#,
        ] {
            assert_eq!(newest(record), expected, "{record}");
        }
    }

    #[test]
    fn text_that_looks_like_a_time_field_does_not_count() {
        for record in [
            r#"{"content":"\"timestamp\":\"2026-11-20T09:29:46Z\""}"#,
            r#"{"payload":{"timestamp":"2026-11-20T09:29:46Z"}}"#,
            r#"{"messages":"2026-11-20T09:29:46Z","$set":null}"#,
            r#""2026-11-20T09:29:46Z""#,
        ] {
            assert_eq!(time(record), RecordTime::default(), "{record}");
        }
    }

    #[test]
    fn something_that_is_no_time_is_told() {
        for record in [
            r#"{"timestamp":"yesterday"}"#,
            r#"{"timestamp":-5}"#,
            r#"{"timestamp":{"seconds":1795166986}}"#,
            r#"{"lastUpdated":true}"#,
            r#"{"timestamp":1e300}"#,
            r#"{"timestamp":18446744073709551615}"#,
            r#"{"timestamp":0.5}"#,
        ] {
            assert_eq!(time(record), RecordTime { newest: None, unparsable: true }, "{record}");
        }
    }
}

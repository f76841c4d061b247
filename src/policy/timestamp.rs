//! One written form of an instant everywhere: `2026-11-20T09:26:55Z`, UTC, whole seconds.

use std::fmt;

use chrono::{DateTime, Datelike as _, NaiveDateTime, Timelike as _, Utc};
use serde::{Serialize, Serializer};

/// Writes an instant as RFC 3339 in UTC. Written by hand because a run may print a hundred thousand of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(pub(crate) DateTime<Utc>);

impl Timestamp {
    /// The text and its length; years outside 0 to 9999 get chrono's own form.
    fn text(self, date_time: [u8; 2], end: &str) -> Option<([u8; 24], usize)> {
        let year = u32::try_from(self.0.year()).ok().filter(|year| *year <= 9999)?;
        let mut text = *b"0000-00-00 00:00:00     ";
        let digits = |text: &mut [u8], mut value: u32| {
            for digit in text.iter_mut().rev() {
                *digit = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        digits(&mut text[0..4], year);
        digits(&mut text[5..7], self.0.month());
        digits(&mut text[8..10], self.0.day());
        text[10] = date_time[0];
        digits(&mut text[11..13], self.0.hour());
        digits(&mut text[14..16], self.0.minute());
        let length = if date_time[1] == b's' {
            digits(&mut text[17..19], self.0.second());
            19
        } else {
            16
        };
        text[length..length + end.len()].copy_from_slice(end.as_bytes());
        Some((text, length + end.len()))
    }

    /// For people: adds `2026-11-20 09:26Z` to `line`.
    pub(crate) fn push_short_to(self, line: &mut String) {
        match self.text(*b" m", "Z") {
            Some((text, length)) => line.push_str(std::str::from_utf8(&text[..length]).unwrap_or_default()),
            None => line.push_str(&self.0.to_rfc3339()),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text(*b"Ts", "Z") {
            Some((text, length)) => f.write_str(std::str::from_utf8(&text[..length]).unwrap_or_default()),
            None => f.write_str(&self.0.to_rfc3339()),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text(*b"Ts", "Z") {
            Some((text, length)) => serializer.serialize_str(std::str::from_utf8(&text[..length]).unwrap_or_default()),
            None => serializer.collect_str(self),
        }
    }
}

/// The instant that a text of somebody else names: RFC 3339 (also with `z`, a blank for the `T`, or `+0100`), or the same
/// without a zone, which then is UTC (what Python's `datetime.utcnow().isoformat()` and SQLite's `datetime()` write), or
/// `2025-11-14 23:57:57 UTC`.
pub(crate) fn parse_loosely(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    let with_offset = ["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f%z"];
    if let Some(time) = with_offset.iter().find_map(|form| DateTime::parse_from_str(text, form).ok()) {
        return Some(time.to_utc());
    }
    let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    naive.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok()).map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_the_wild_are_read_and_anything_else_is_none() {
        let noon = DateTime::from_timestamp(1_795_176_000, 0).unwrap();
        for text in [
            "2026-11-20T12:00:00Z",
            "2026-11-20T12:00:00.000000Z",
            "2026-11-20T12:00:00",
            "2026-11-20T12:00:00.000000",
            "2026-11-20 12:00:00 UTC",
            "2026-11-20T13:00:00+01:00",
            "2026-11-20T13:00:00+0100",
            "2026-11-20 07:00:00.000-05:00",
            "2026-11-20T12:00:00z",
            "2026-11-20 12:00:00.000Z",
            " 2026-11-20 12:00:00 ",
        ] {
            assert_eq!(parse_loosely(text), Some(noon), "{text}");
        }
        for text in ["", "$(date -u +%Y-%m-%dT%H:%M:%SZ)", "2026-11-20", "12:00", "2026-13-20T12:00:00Z", "1795176000"]
        {
            assert_eq!(parse_loosely(text), None, "{text}");
        }
    }

    #[test]
    fn instants_are_written_as_rfc_3339() {
        let time = DateTime::from_timestamp(1_795_166_815, 985_000_000).unwrap();
        assert_eq!(Timestamp(time).to_string(), "2026-11-20T09:26:55Z");
        let mut line = String::new();
        Timestamp(time).push_short_to(&mut line);
        assert_eq!(line, "2026-11-20 09:26Z");
        assert_eq!(DateTime::parse_from_rfc3339(&Timestamp(time).to_string()).unwrap().timestamp(), time.timestamp());
        assert_eq!(serde_json::to_string(&Timestamp(time)).unwrap(), "\"2026-11-20T09:26:55Z\"");
    }
}

//! What one heartbeat's file says.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::filesystem::walk::read_file;
use crate::policy::timestamp::parse_loosely;

/// No beat is larger.
const LARGEST: u64 = 256 * 1024;

/// The fields that are read; every writer has others beside them, and none has all.
#[derive(Debug, Clone, Default)]
pub(super) struct Body {
    /// Its timestamp, where that is a time (one in the wild is `$(date -u …)`, never expanded).
    pub(super) timestamp: Option<DateTime<Utc>>,
    pub(super) status: Option<String>,
    pub(super) working_on: Option<String>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Fields {
    timestamp: Value,
    status: Value,
    working_on: Value,
    current_work: Value,
}

/// Why there is nothing to read.
#[derive(Debug)]
pub(super) enum NoBody {
    /// It was removed meanwhile.
    Gone,
    /// It is no heartbeat.
    Invalid(String),
    /// It may be one.
    Unreadable(String),
}

impl Body {
    pub(super) fn read(folder: BorrowedFd<'_>, name: &CStr) -> Result<Self, NoBody> {
        let bytes = read_file(folder, name, LARGEST).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => NoBody::Gone,
            _ => NoBody::Unreadable(error.to_string()),
        })?;
        Self::parse(&bytes).map_err(NoBody::Invalid)
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let fields: Fields = match bytes.trim_ascii_start().first() {
            Some(b'{') => serde_json::from_slice(bytes).map_err(|error| format!("not valid JSON: {error}"))?,
            Some(_) => return Err("no JSON object".to_owned()),
            None => return Err("empty".to_owned()),
        };
        let text = |value: Value| match value {
            Value::String(text) if !text.is_empty() => Some(text),
            _ => None,
        };
        Ok(Self {
            timestamp: fields.timestamp.as_str().and_then(parse_loosely),
            status: text(fields.status),
            working_on: text(fields.working_on).or_else(|| text(fields.current_work)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Body;

    #[test]
    fn every_writers_beat_is_read_and_what_is_none_is_told() {
        let activity =
            br#"{"session_id": "session-2", "timestamp": "2026-11-20T12:00:00.000123", "action": "x", "phase": ""}"#;
        let body = Body::parse(activity).unwrap();
        assert_eq!(body.timestamp.unwrap().timestamp_subsec_micros(), 123);
        let old =
            br#"{"timestamp": "2026-11-20 12:00:00 UTC", "status": "active", "working_on": "", "current_work": "y"}"#;
        let body = Body::parse(old).unwrap();
        assert_eq!((body.status.as_deref(), body.working_on.as_deref()), (Some("active"), Some("y")));
        for odd in [&b"{}"[..], br#"{"timestamp": "$(date -u)"}"#, br#"{"timestamp": 7, "status": null}"#] {
            assert!(Body::parse(odd).unwrap().timestamp.is_none());
        }
        for (none, why) in [
            (&b""[..], "empty"),
            (b" []", "no JSON object"),
            (b"{\"a\": \"\\!\"}", "not valid JSON: invalid escape"),
            (b"{\"timestamp\":", "EOF"),
        ] {
            let told = Body::parse(none).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}

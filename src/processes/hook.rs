//! What a CLI tells a hook: one JSON object on its standard input.

use serde_json::Value;

use super::records::{InvalidRecordId, RecordId};
use crate::json::{Object, ObjectError};

/// No hook is told more.
pub(crate) const LARGEST: u64 = 1 << 20;

/// The fields that are used; there are others, and not every hook has all of these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HookInput {
    pub(crate) session_id: Option<RecordId>,
    pub(crate) cwd: Option<String>,
    pub(crate) transcript_path: Option<String>,
    /// Why the session ended.
    pub(crate) reason: Option<String>,
}

/// Why an input is no hook's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookError {
    #[error("the hook's input has more than {LARGEST} bytes")]
    TooLarge,
    #[error("the hook's input: {0}")]
    Senseless(ObjectError),
    #[error("the hook's input: {field} is no text but {found}")]
    WrongType { field: &'static str, found: &'static str },
    #[error("the hook's input: session_id: {0}")]
    Id(InvalidRecordId),
}

/// Reads an input.
///
/// # Errors
/// [`HookError`]: no object, or a field of the wrong type.
pub(crate) fn parse(bytes: &[u8]) -> Result<HookInput, HookError> {
    if bytes.len() as u64 > LARGEST {
        return Err(HookError::TooLarge);
    }
    let object = Object::parse(bytes).map_err(HookError::Senseless)?;
    let text = |field: &'static str| match object.raw(field).map(|raw| (raw, object.value(field))) {
        None | Some((_, Some(Value::Null))) => Ok(None),
        Some((_, Some(Value::String(text)))) => Ok(Some(text)),
        Some((raw, _)) => Err(HookError::WrongType { field, found: kind(raw) }),
    };
    Ok(HookInput {
        session_id: text("session_id")?.map(|id| RecordId::new(&id)).transpose().map_err(HookError::Id)?,
        cwd: text("cwd")?,
        transcript_path: text("transcript_path")?,
        reason: text("reason")?,
    })
}

fn kind(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "true or false",
        Some(b'"') => "a string with half a character",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_claude_code_tells_is_read_and_the_rest_ignored() {
        let told = br#"{"session_id": "0856b851-1111-4222-8333-0123456789ab", "cwd": "/home/u/\"x\" \u00e9",
            "hook_event_name": "SessionStart", "transcript_path": "/t.jsonl", "source": "resume", "model": {"id": 1},
            "tool_input": [1e999], "reason": null}"#;
        let input = parse(told).unwrap();
        assert_eq!(input.session_id.unwrap().as_str(), "0856b851-1111-4222-8333-0123456789ab");
        assert_eq!(input.cwd.as_deref(), Some("/home/u/\"x\" é"));
        assert_eq!(input.reason, None);
        assert_eq!(input.transcript_path.as_deref(), Some("/t.jsonl"));
        let nothing = parse(b"{}").unwrap();
        assert_eq!((nothing.session_id, nothing.cwd, nothing.reason), (None, None, None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = format!("{{\"session_id\": \"{}\"}}", "x".repeat(65));
        let large = format!("{{}}{}", " ".repeat(1 << 20));
        for (told, why) in [
            (&b""[..], "the hook's input: empty"),
            (b"[]", "a list, not an object"),
            (b"{\"cwd\": \"/a\"b\"}", "not valid JSON"),
            (b"\xff", "UTF-8"),
            (b"{\"session_id\": 7}", "session_id is no text but a number"),
            (b"{\"cwd\": [\"/\"]}", "cwd is no text but a list"),
            (b"{\"transcript_path\": {}}", "transcript_path is no text but an object"),
            (b"{\"reason\": false}", "reason is no text but true or false"),
            (b"{\"cwd\": \"\\ud800\"}", "cwd is no text but a string with half a character"),
            (b"{\"cwd\": \"/\", \"cwd\": \"/x\"}", "twice"),
            (b"{\"session_id\": \"\"}", "session_id: "),
            (b"{\"session_id\": \"../x\"}", "session_id: "),
            (long.as_bytes(), "session_id: "),
            (large.as_bytes(), "more than 1048576 bytes"),
        ] {
            let error = parse(told).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}

//! The id under which a session's record is kept.

use std::fmt;

/// Longest id.
const LONGEST: usize = 64;

/// A session's id that is safe as the name of a record's folder: 1 to 64 letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RecordId(String);

/// A text is no such id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id has 1 to {LONGEST} letters, digits and hyphens")]
pub(crate) struct InvalidRecordId;

impl RecordId {
    /// Checks length and characters.
    pub(crate) fn new(text: &str) -> Result<Self, InvalidRecordId> {
        Self::is_valid(text.as_bytes()).then(|| Self(text.to_owned())).ok_or(InvalidRecordId)
    }

    fn is_valid(bytes: &[u8]) -> bool {
        (1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::RecordId;

    #[test]
    fn an_id_is_one_harmless_component() {
        for id in ["a", "0856b851-1111-4222-8333-0123456789ab", "-", &"x".repeat(64)] {
            assert!(RecordId::new(id).is_ok(), "{id}");
        }
        for text in ["", ".", "..", "a/b", "registry.jsonl.lock.dir", "12345.json", "a b", "a_b", "é", &"x".repeat(65)]
        {
            assert!(RecordId::new(text).is_err(), "{text}");
        }
    }
}

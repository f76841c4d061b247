//! The id of one session, checked when it enters: after that it may be compared, hashed and put into a path.

use std::fmt;

/// Longest id that any CLI is known to write, with room to spare (a UUID has 36 characters).
const MAX_LENGTH: usize = 128;

/// Which bytes an id may have; looked up, because a run may check a hundred thousand ids.
const ALLOWED: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        allowed[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        byte += 1;
    }
    allowed
};

/// A session id that is safe as one path component and as one command-line argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SessionId<'a>(&'a str);

/// Why a text is no session id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidId {
    /// No characters at all.
    #[error("the session id is empty")]
    Empty,
    /// Longer than 128 bytes.
    #[error("the session id is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// A character other than letters, digits, `-`, `_` and `.`, or `-` or `.` in front.
    #[error("the session id has characters that no CLI uses")]
    Characters,
}

impl<'a> SessionId<'a> {
    /// Checks length (1 to 128 bytes) and characters (ASCII letters, digits, `-`, `_`, `.`; the first one a letter,
    /// digit or `_`).
    pub(crate) fn new(text: &'a str) -> Result<Self, InvalidId> {
        let bytes = text.as_bytes();
        match bytes.first() {
            None => return Err(InvalidId::Empty),
            Some(b'-' | b'.') => return Err(InvalidId::Characters),
            Some(_) if bytes.len() > MAX_LENGTH => return Err(InvalidId::TooLong),
            Some(_) => {}
        }
        if bytes.iter().all(|byte| ALLOWED[usize::from(*byte)]) { Ok(Self(text)) } else { Err(InvalidId::Characters) }
    }

    /// The id as text.
    pub(crate) const fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether this has the form of a UUID (8-4-4-4-12 hexadecimal digits).
    pub(crate) fn is_uuid(self) -> bool {
        let bytes = self.0.as_bytes();
        bytes.len() == 36
            && bytes.iter().enumerate().all(|(i, b)| match i {
                8 | 13 | 18 | 23 => *b == b'-',
                _ => b.is_ascii_hexdigit(),
            })
    }

    /// Whether this is plainly an id and no word, version or name of a model: a UUID, perhaps with something in front
    /// (`T-…`), or long, with a digit and an underscore (`ses_…`, `20251108_1`).
    pub(crate) fn is_distinctive(self) -> bool {
        let tail = self.0.len().checked_sub(36).and_then(|start| self.0.get(start..));
        tail.is_some_and(|tail| SessionId(tail).is_uuid())
            || self.0.len() >= 10 && self.0.contains('_') && self.0.bytes().any(|byte| byte.is_ascii_digit())
    }

    /// The day (days since 1970-01-01, UTC) on which a version 7 UUID was made; `None` for every other id.
    pub(crate) fn uuid_v7_day(self) -> Option<i64> {
        if !self.is_uuid() || self.0.as_bytes()[14] != b'7' {
            return None;
        }
        let high = i64::from_str_radix(&self.0[..8], 16).ok()?;
        let low = i64::from_str_radix(&self.0[9..13], 16).ok()?;
        Some(((high << 16) | low) / 86_400_000)
    }
}

impl fmt::Display for SessionId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_be_paths_patterns_or_options_are_refused() {
        for text in ["../../x", "*", "a/b", "a\0b", "-rf", ".", "..", ".hidden", "a b", "é", "{id}", "a?", "[a]", "a\n"]
        {
            assert_eq!(SessionId::new(text), Err(InvalidId::Characters), "{text:?}");
        }
        assert_eq!(SessionId::new(""), Err(InvalidId::Empty));
        assert_eq!(SessionId::new(&"a".repeat(10_240)), Err(InvalidId::TooLong));
    }

    #[test]
    fn ids_of_every_known_cli_are_accepted() {
        for text in
            ["7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10", "ses_e07b4bd15ffeuJkyayL85LT6nF", "T-0a1b", "20251108_1", "_x"]
        {
            assert_eq!(SessionId::new(text).map(SessionId::as_str), Ok(text));
        }
    }

    #[test]
    fn ids_are_told_from_words() {
        let plain = |text| SessionId::new(text).unwrap().is_distinctive();
        for id in [
            "7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10",
            "T-7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10",
            "ses_e07b4bd15ffeuJkyayL85LT6nF",
            "20251108_1",
        ] {
            assert!(plain(id), "{id}");
        }
        for word in ["dark", "en", "2.1-beta", "2026-11-20", "claude-sonnet-4-5", "session_id", "x_1", "_7"] {
            assert!(!plain(word), "{word}");
        }
    }

    #[test]
    fn a_version_7_uuid_tells_its_day() {
        let day = |text| SessionId::new(text).unwrap().uuid_v7_day();
        assert_eq!(day("01a1f848-9752-7c50-b5ba-bc312216b249"), Some(20_777)); // 2026-11-20
        assert_eq!(day("7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10"), None);
        assert_eq!(day("ses_e07b4bd15ffeuJkyayL85LT6nF"), None);
    }
}

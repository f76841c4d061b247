//! The number of a session in the registry: a positive integer.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// A session's number, 1 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionNumber(NonZeroU32);

/// Why a text is no session number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session's number is a whole number from 1 on, such as 7, without leading zeros")]
pub(crate) struct InvalidNumber;

impl SessionNumber {
    pub(crate) const FIRST: Self = Self(NonZeroU32::MIN);

    pub(crate) const fn get(self) -> u32 {
        self.0.get()
    }

    /// The number after this one.
    pub(crate) fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// The number before this one.
    pub(crate) fn previous(self) -> Option<Self> {
        NonZeroU32::new(self.get() - 1).map(Self)
    }

    /// `session-7`, the id under which a session's heartbeats are filed.
    pub(crate) fn default_id(self) -> String {
        format!("session-{self}")
    }
}

impl fmt::Display for SessionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SessionNumber {
    type Err = InvalidNumber;

    /// One number has one text: `07` and `+7` are nobody's number.
    fn from_str(text: &str) -> Result<Self, InvalidNumber> {
        if !text.bytes().all(|byte| byte.is_ascii_digit()) || text.starts_with('0') {
            return Err(InvalidNumber);
        }
        text.parse().map(Self).map_err(|_| InvalidNumber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_one_text() {
        for text in ["1", "13", "99", "4294967295"] {
            assert_eq!(text.parse::<SessionNumber>().unwrap().to_string(), text);
        }
        for text in ["", "0", "07", "+7", "-1", "1.5", " 7", "abc", "4294967296", "१"] {
            assert_eq!(text.parse::<SessionNumber>(), Err(InvalidNumber), "{text:?}");
        }
        let first = SessionNumber::FIRST;
        assert_eq!((first.previous(), first.next().map(SessionNumber::get)), (None, Some(2)));
        assert_eq!(first.default_id(), "session-1");
    }
}

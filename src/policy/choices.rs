//! What the user chose, beyond thresholds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::duration::{InvalidDuration, format_duration, parse_duration};

/// What becomes of a mapping whose transcript is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingPolicy {
    /// It stays.
    Keep,
    /// It goes as soon as the store was read completely and does not hold the session.
    Prune,
    /// It goes when it was already missing this long ago.
    After(Duration),
}

/// Where a session's last activity is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActivitySource {
    /// The modification time of its files.
    Mtime,
    /// The last dated record in its transcript.
    Content,
}

/// Whether somebody is asked before left-behind processes are ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CleanupMode {
    /// Nothing is ended that nobody agreed to.
    Interactive,
    /// Nobody is asked.
    Auto,
}

/// Why a text is no [`MissingPolicy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}: write for example keep, prune or after:24h", self.reason())]
pub(crate) enum InvalidMissingPolicy {
    /// None of the three words.
    Word,
    /// What stands behind `after:` is wrong.
    After(InvalidDuration),
}

/// A text that is neither `mtime` nor `content`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("known are mtime and content")]
pub(crate) struct InvalidActivitySource;

/// A text that is neither `interactive` nor `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("known are interactive and auto")]
pub(crate) struct InvalidCleanupMode;

impl InvalidMissingPolicy {
    /// What is wrong, without an example of what is right.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Word => "known are keep, prune and after:DURATION",
            Self::After(invalid) => invalid.reason(),
        }
    }
}

impl FromStr for MissingPolicy {
    type Err = InvalidMissingPolicy;

    fn from_str(text: &str) -> Result<Self, InvalidMissingPolicy> {
        match text {
            "keep" => Ok(Self::Keep),
            "prune" => Ok(Self::Prune),
            _ => {
                let span = text.strip_prefix("after:").ok_or(InvalidMissingPolicy::Word)?;
                parse_duration(span).map(Self::After).map_err(InvalidMissingPolicy::After)
            }
        }
    }
}

impl fmt::Display for MissingPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => f.write_str("keep"),
            Self::Prune => f.write_str("prune"),
            Self::After(span) => write!(f, "after:{}", format_duration(*span)),
        }
    }
}

impl FromStr for ActivitySource {
    type Err = InvalidActivitySource;

    fn from_str(text: &str) -> Result<Self, InvalidActivitySource> {
        match text {
            "mtime" => Ok(Self::Mtime),
            "content" => Ok(Self::Content),
            _ => Err(InvalidActivitySource),
        }
    }
}

impl fmt::Display for ActivitySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mtime => "mtime",
            Self::Content => "content",
        })
    }
}

impl FromStr for CleanupMode {
    type Err = InvalidCleanupMode;

    fn from_str(text: &str) -> Result<Self, InvalidCleanupMode> {
        match text {
            "interactive" => Ok(Self::Interactive),
            "auto" => Ok(Self::Auto),
            _ => Err(InvalidCleanupMode),
        }
    }
}

impl fmt::Display for CleanupMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interactive => "interactive",
            Self::Auto => "auto",
        })
    }
}

/// Which container runtime is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RuntimeChoice {
    /// The one that is found.
    Auto,
    /// This one: a plain name, or an absolute path.
    Named(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_policies_are_read_and_shown() {
        for text in ["keep", "prune", "after:1d", "after:1h30m"] {
            assert_eq!(text.parse::<MissingPolicy>().unwrap().to_string(), text);
        }
        assert_eq!("after:24h".parse(), Ok(MissingPolicy::After(Duration::from_secs(86_400))));
        for text in ["", "Keep", "after", "after:", "after:24", "after:never", "after:0h", "24h"] {
            let invalid = text.parse::<MissingPolicy>().unwrap_err();
            assert!(invalid.to_string().contains("after:24h"), "{text}: {invalid}");
        }
    }

    #[test]
    fn activity_sources_are_read_and_shown() {
        for text in ["mtime", "content"] {
            assert_eq!(text.parse::<ActivitySource>().unwrap().to_string(), text);
        }
        assert!("ctime".parse::<ActivitySource>().is_err());
    }

    #[test]
    fn cleanup_modes_are_read_and_shown() {
        for text in ["interactive", "auto"] {
            assert_eq!(text.parse::<CleanupMode>().unwrap().to_string(), text);
        }
        for text in ["", "Auto", "automatic", " auto", "off"] {
            assert_eq!(text.parse::<CleanupMode>(), Err(InvalidCleanupMode), "{text:?}");
        }
    }
}

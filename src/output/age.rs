//! Spans of time in a table.

use std::fmt;
use std::time::Duration;

use crate::policy::duration::{format_age, push_age};

/// Seconds as an age, or a dash.
pub(crate) struct Age(pub(crate) Option<u64>);

impl Age {
    /// Adds the age to `line`, right-aligned in `width`.
    pub(crate) fn push_to(&self, line: &mut String, width: usize) {
        let start = line.len();
        match self.0 {
            Some(seconds) => push_age(Duration::from_secs(seconds), line),
            None => line.push('-'),
        }
        pad(line, start, (start + width).saturating_sub(line.len()));
    }
}

/// Puts so many spaces into `line`, at most 32 of them.
pub(crate) fn pad(line: &mut String, at: usize, count: usize) {
    const SPACES: &str = "                                ";
    line.insert_str(at, &SPACES[..count.min(SPACES.len())]);
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(seconds) => f.pad(&format_age(Duration::from_secs(seconds))),
            None => f.pad("-"),
        }
    }
}

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
        for _ in line.len() - start..width {
            line.insert(start, ' ');
        }
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(seconds) => f.pad(&format_age(Duration::from_secs(seconds))),
            None => f.pad("-"),
        }
    }
}

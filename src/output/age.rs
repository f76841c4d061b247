//! Spans of time in a table.

use std::fmt;
use std::time::Duration;

use crate::policy::duration::format_age;

/// Seconds as an age, or a dash.
pub(crate) struct Age(pub(crate) Option<u64>);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(seconds) => f.pad(&format_age(Duration::from_secs(seconds))),
            None => f.pad("-"),
        }
    }
}

//! When runs happen and what they came to: the run log.
//!
//! Nothing here decides what a run does.

pub(crate) mod runs;

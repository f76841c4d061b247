//! The processes of sessions: which there are, which session each belongs to, and how those that are left over end.
//!
//! `records` are what hooks noted of each session while it ran, `hook` is what they are told. A record is no proof by itself: it
//! outlives its process, and the number of a process is used again. So each names its process by number, start and boot, and
//! whoever acts on one compares these again before.

pub(crate) mod hook;
pub(crate) mod records;

//! What the CLIs' sessions leave on the disk: transcripts, debug logs, snapshots, caches.
//!
//! `kinds` is the table (place, default retention), `rules` are its places as a walk follows them, `survey` is that walk and what it counts, and
//! `archive` keeps what is removed and can be put back. Nothing here decides, and nothing but the archive is written.

pub(crate) mod archive;
#[cfg(test)]
mod documentation;
pub(crate) mod kinds;
pub(crate) mod rules;
mod sums;
pub(crate) mod survey;

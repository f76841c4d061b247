//! Joins what the areas know of one session: facts, verdicts, and what is done about them.
//!
//! `evidence` looks (reads only), `plan` decides (pure), `apply` does what the plan says. A dry run is a plan that nobody
//! applies.

pub(crate) mod apply;
pub(crate) mod artifacts;
pub(crate) mod content;
pub(crate) mod evidence;
mod parallel;
pub(crate) mod plan;
pub(crate) mod post_prune;
pub(crate) mod processes;
pub(crate) mod queues;
mod recheck;
pub(crate) mod resolve;
mod through_bridge;
mod transcripts;
pub(crate) mod written_back;

//! Joins what is known of the CLIs' processes: the process table, the janitor's records, the vendors' own records.
//!
//! `survey` reads, `candidates` nominates, `facts`, `sessions`, `vendor` and `shelter` look closer, `planner` decides by `policy`
//! and makes the `plan`, `apply` ends what was left behind and removes the records that are over. Nominating never decides.

pub(crate) mod apply;
pub(in crate::sweep) mod candidates;
mod facts;
mod nearest;
pub(crate) mod plan;
mod planner;
mod sessions;
mod shelter;
mod survey;
mod vendor;

pub(crate) use nearest::nearest_cli;
pub(crate) use survey::{Here, Scene, sessions_folder};

//! Joins what is known of the CLIs' processes: the process table, the janitor's records, the vendors' own records.
//!
//! `candidates` nominates, `facts` looks closer, `plan` decides by `policy`, `apply` ends what was left behind and removes the
//! records that are over. Nominating never decides.

pub(crate) mod apply;
mod candidates;
mod facts;
mod nearest;
pub(crate) mod plan;
mod sessions;
mod survey;

pub(crate) use nearest::nearest_cli;
pub(crate) use survey::{Here, Scene, sessions_folder};

//! The queues of agent hosts: how they stand, whose containers run, what a sweep did or would do.

mod containers;
mod document;
mod lines;
mod parts;
mod problems;
mod status;
mod step;
mod sweep;
mod tally;

use std::path::Path;

use chrono::{DateTime, Utc};

use crate::sweep::queues::applied::Applied;
use crate::sweep::queues::plan::Plan;

pub(crate) use containers::ContainersView;
pub(crate) use problems::problems_of;
pub(crate) use status::StatusView;
pub(crate) use sweep::SweepView;

/// One installation: what is to be done in it, and what became of that.
pub(crate) struct InstallationView<'v> {
    pub(crate) now: DateTime<Utc>,
    /// As it was named or configured.
    pub(crate) folder: &'v Path,
    /// Or why it could not be looked at.
    pub(crate) plan: Result<&'v Plan, &'v anyhow::Error>,
    /// Nothing where nothing was done.
    pub(crate) applied: Option<&'v Applied>,
}

#[cfg(test)]
mod made_up;
#[cfg(test)]
mod tests;

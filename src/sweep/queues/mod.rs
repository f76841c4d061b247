//! One installation of an agent host: what waits in its queues, what works on them, and what is done about that.
//!
//! `survey` reads (`crew` tells whose the containers are, `seen` is one session), `decide` decides about one session by
//! `policy`, `plan` is the value, `apply` does what it says, session by session by `repair`, and looks again first at what it
//! acts on, `applied` is what became of it; `tick` is all of that once.

pub(crate) mod applied;
pub(crate) mod apply;
mod crew;
mod decide;
pub(crate) mod plan;
mod repair;
mod seen;
mod survey;
mod tick;
#[cfg(test)]
mod world;

pub(crate) use decide::reason_of;
pub(crate) use survey::{Extent, Scene};

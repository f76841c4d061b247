//! The queues of an agent host (nanoclaw): small SQLite databases in which conversations wait, and the containers that work
//! on them.
//!
//! Everything here is a guest's: databases are never created, their journal mode and tables are never altered, nothing in a
//! session's folder is followed through a link, and each change is one short transaction. What cannot be read is said and
//! left alone.
//!
//! `installation` is the folder, `central` its list of sessions, `session` one of them with `inbound` and `outbound`,
//! `host` whether the original runs, `runtime` and `containers` what works on which session, `memory` what a tick knows of
//! the one before, `wake` the hook that starts a container, `zone` the zone that recurring tasks are in. Joining them, and
//! deciding, is the work of `sweep`.

pub(crate) mod central;
pub(crate) mod clocks;
pub(crate) mod containers;
pub(crate) mod continuations;
pub(crate) mod host;
pub(crate) mod inbound;
pub(crate) mod installation;
pub(crate) mod memory;
pub(crate) mod outbound;
mod recur;
pub(crate) mod runtime;
pub(crate) mod session;
pub(crate) mod wake;
pub(crate) mod zone;

//! Which sessions a running process has open.
//!
//! Nothing here is proof by itself: a file about a process outlives it, and its pid is used again. Each file is checked
//! against /proc. "No process has it" and "could not look" are kept apart.

mod entries;
mod named;
mod open_transcripts;
mod record;
mod signs;

use std::path::Path;

use chrono::{DateTime, Utc};
use rustc_hash::FxHashMap;

use self::signs::{Aim, Scope, Signs};
#[cfg(doc)]
use super::row::LiveRule;
use super::row::Provider;
use crate::filesystem::proc::Proc;

pub(crate) use self::named::{NamedProcess, NamedProcesses};
pub(crate) use self::open_transcripts::{HeldFile, OpenFiles};
pub(crate) use self::signs::Role;
pub(crate) use self::signs::Standing;

/// What is known about a session that a process has, or may have, open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// A running process has it open.
    Live {
        /// The process.
        pid: u32,
        /// When the process says it was last busy; a record is no heartbeat, so this may be long ago.
        last_activity: Option<DateTime<Utc>>,
    },
    /// Something says that a process has it open, and it cannot be checked from here.
    Unverifiable {
        /// Why, for the reason in a report.
        reason: String,
    },
}

/// The sessions of one provider that processes have open.
#[derive(Debug, Default)]
pub(crate) struct LiveSessions {
    sessions: FxHashMap<String, Liveness>,
    /// What could not be examined: while this is not empty, a session that is not listed may be open all the same.
    pub(crate) errors: Vec<String>,
}

impl LiveSessions {
    /// Looks for the `wanted` sessions by all rules of a provider but [`LiveRule::OpenTranscript`], which needs the
    /// transcripts ([`OpenFiles`]).
    pub(crate) fn gather(provider: &Provider, home: &Path, wanted: &dyn Fn(&str) -> bool, proc: &Proc) -> Self {
        let signs = Signs::read(provider, Scope { home, wanted, aim: Aim::Sessions }, proc);
        let mut live = Self { sessions: FxHashMap::default(), errors: signs.errors };
        for sign in signs.found {
            let Some(session) = sign.session else { continue };
            match (sign.standing, sign.pid) {
                (Standing::Live, Some(pid)) => {
                    live.add(session, Liveness::Live { pid, last_activity: sign.last_activity });
                }
                (Standing::Unverifiable(reason), _) => live.add(session, Liveness::Unverifiable { reason }),
                (Standing::Gone, _) | (Standing::Live, None) => {}
            }
        }
        live
    }

    /// What is known about a session; `None` when nothing says that a process has it open.
    pub(crate) fn get(&self, session: &str) -> Option<&Liveness> {
        self.sessions.get(session)
    }

    /// Proof stands above suspicion, and the later activity above the earlier.
    fn add(&mut self, session: String, liveness: Liveness) {
        let known = self.sessions.entry(session).or_insert_with(|| liveness.clone());
        match (known, liveness) {
            (Liveness::Live { last_activity: known, .. }, Liveness::Live { last_activity, .. }) => {
                *known = last_activity.max(*known);
            }
            (known @ Liveness::Unverifiable { .. }, liveness @ Liveness::Live { .. }) => *known = liveness,
            (_, Liveness::Unverifiable { .. }) => {}
        }
    }
}

#[cfg(test)]
mod named_tests;
#[cfg(test)]
mod tests;

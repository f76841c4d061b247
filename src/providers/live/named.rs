//! Which processes the vendors' own files name, be they alive or dead.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::super::row::Provider;
use super::signs::{Aim, Role, Scope, Sign, Signs, Standing};
use crate::filesystem::proc::Proc;
use crate::policy::session_id::SessionId;

/// One process that a file names. Several files may name one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedProcess {
    pub(crate) pid: u32,
    /// The session that the file says it has open.
    pub(crate) session: Option<String>,
    pub(crate) standing: Standing,
    pub(crate) role: Role,
    /// The file.
    pub(crate) path: PathBuf,
    /// When the process says it was last busy; a record is no heartbeat, so this may be long ago.
    pub(crate) last_activity: Option<DateTime<Utc>>,
}

/// All processes that one provider's files name.
#[derive(Debug, Default)]
pub(crate) struct NamedProcesses {
    pub(crate) processes: Vec<NamedProcess>,
    /// What could not be examined: while this is not empty, a process that is not listed may be a live one all the same.
    pub(crate) errors: Vec<String>,
}

impl NamedProcesses {
    /// Reads the files of all rules of a provider but [`super::LiveRule::OpenTranscript`]. Of the records only those are
    /// opened whose name is the number of a process: `77.json`, `pid-77.json`, `77-0a1b2c3d.json`.
    pub(crate) fn gather(provider: &Provider, home: &Path, proc: &Proc) -> Self {
        let scope = Scope { home, wanted: &|_| true, aim: Aim::Processes };
        let signs = Signs::read(provider, scope, proc);
        Self { processes: signs.found.into_iter().filter_map(NamedProcess::of).collect(), errors: signs.errors }
    }
}

impl NamedProcess {
    fn of(sign: Sign) -> Option<Self> {
        let Sign { pid, session, standing, role, path, last_activity } = sign;
        let session = session.filter(|id| SessionId::new(id).is_ok());
        Some(Self { pid: pid?, session, standing, role, path, last_activity })
    }
}

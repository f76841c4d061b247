//! A provider is data: one CLI's names, places and habits.
//!
//! Built-in rows ([`super::builtin`]) and the user's `[[provider]]` rows are of this one type, and no code asks for a
//! provider by name.

use std::path::PathBuf;

use super::own_cleanup::OwnCleanup;
use crate::policy::path_pattern::PathPattern;
use crate::policy::process_pattern::ProgramPattern;

/// One AI coding CLI.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Provider {
    /// Short name in reports, for instance `claude`.
    pub(crate) name: String,
    /// Model names that bridges use for this CLI; a trailing `*` stands for any ending. Compared without case.
    pub(crate) models: Vec<String>,
    /// Where the CLI keeps its files.
    pub(crate) home: Home,
    /// Where a session's transcript may be.
    pub(crate) transcripts: Vec<PathPattern>,
    /// Where the transcripts of a session's sub-agents may be.
    pub(crate) subagents: Vec<PathPattern>,
    /// The field (path of keys) inside a transcript that holds the whole id, when the name holds only a part of it.
    /// The same field names the parent in a sub-agent's file whose name holds no id.
    pub(crate) id_field: Vec<String>,
    /// A field (path of keys) that only a sub-agent's transcript has, where sub-agents lie among the sessions.
    pub(crate) subagent_field: Vec<String>,
    /// The SQLite store, for a CLI without transcript files.
    pub(crate) database: Option<Database>,
    /// Where a session's working folder is written down.
    pub(crate) working_folder: WorkingFolder,
    /// What shows that a process has a session open.
    pub(crate) live: Vec<LiveRule>,
    /// Where those signs are, when that can be elsewhere than the sessions.
    pub(crate) live_home: Option<Home>,
    /// Arguments that continue a session without a terminal; `{id}` and `{prompt}` stand for the session and the text.
    pub(crate) resume: Vec<String>,
    /// The same, but into a new session that starts with the old one's history; empty when the CLI has no such command.
    pub(crate) fork: Vec<String>,
    /// What is known to go wrong when a session of this CLI is resumed.
    pub(crate) hazards: Vec<Hazard>,
    /// Which processes are the CLI's own, and which it starts.
    pub(crate) processes: ProcessRules,
    /// What the CLI deletes of its sessions by itself, if anything.
    pub(crate) own_cleanup: Option<OwnCleanup>,
    /// Whether these patterns cover every place in which the CLI keeps a session. Where that is unproven a session that
    /// is not found is unknown, not missing.
    pub(crate) complete: bool,
}

/// Where a provider's home is: the first variable that is set, else the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Home {
    /// Environment variables in order, each with what is appended to its value (`GEMINI_CLI_HOME` + `.gemini`).
    pub(crate) variables: Vec<(String, String)>,
    /// Relative to the user's home, for instance `.claude`; absolute in a user's row if they wish.
    pub(crate) default: PathBuf,
}

/// A session store in one SQLite file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Database {
    /// Relative to the home.
    pub(crate) path: PathBuf,
    /// Yields per session: id (text), last activity (milliseconds, seconds or a date as text), working folder (text or
    /// null). Several rows of one id count together; the newest wins.
    pub(crate) query: String,
}

/// Where a session's working folder is written down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum WorkingFolder {
    /// Nowhere.
    #[default]
    Unknown,
    /// In the first record of the transcript that has this field (path of keys).
    Field(Vec<String>),
    /// In a file beside the transcript, as its whole content; relative to the transcript's folder (`../.project_root`).
    File(String),
}

/// What shows that a process has a session open. All of it is evidence to be checked against /proc, none of it is proof.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LiveRule {
    /// JSON files that a running process keeps, one per process (`sessions/<pid>.json`), with pid, session id and start.
    Records(PathPattern),
    /// A file per session which the writer holds with flock (`thread-writer-locks/{id}.lock`).
    HeldLock(PathPattern),
    /// A file per session and process whose name or content is the pid (`session-state/{id}/inuse.*.lock`).
    PidFile(PathPattern),
    /// The process that has a session open holds its transcript open.
    OpenTranscript,
    /// A JSON file in which a daemon lists itself and its workers, each with pid, start and session
    /// (`daemon/roster.json`).
    Roster(PathPattern),
    /// A JSON file with the pid and the start of a daemon that may serve several sessions (`app-server-daemon/daemon.pid`).
    DaemonPid(PathPattern),
}

/// How a CLI's processes are known. It is what a process says of itself, so it nominates and never decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProcessRules {
    /// The CLI itself.
    pub(crate) cli: Vec<ProgramPattern>,
    /// What it starts and may leave behind: shells, servers, sandboxes. Others start such programs, too.
    pub(crate) helpers: Vec<ProgramPattern>,
    /// Variables in which it tells what it starts its session's id.
    pub(crate) session_variables: Vec<String>,
    /// Variables that show what it starts that it did. People may set some of them as well.
    pub(crate) marks: Vec<String>,
}

/// What a process is to a CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// The CLI itself.
    Cli,
    /// Something that it may have started.
    Helper,
}

impl ProcessRules {
    /// What tells a process by its command line: the first pattern that matches does. Helpers are described more closely:
    /// `codex mcp-server` is a server, though its program is the CLI.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = (Part, &ProgramPattern)> {
        let helpers = self.helpers.iter().map(|pattern| (Part::Helper, pattern));
        helpers.chain(self.cli.iter().map(|pattern| (Part::Cli, pattern)))
    }

    /// Every variable that shows that the CLI started a process.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.session_variables.iter().chain(&self.marks).map(String::as_str)
    }
}

/// What is known to go wrong when a session is resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hazard {
    /// Gemini CLI 0.52 to 0.61: the start after a resumed run deletes the session, unless
    /// `general.sessionRetention.enabled` is false (google-gemini/gemini-cli issues 27368, 27877, 29198).
    GeminiRetention,
    /// Codex: a session in `archived_sessions/` cannot be resumed before `codex unarchive`.
    Archived,
}

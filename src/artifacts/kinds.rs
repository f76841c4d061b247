//! What CLIs leave on a disk besides their programs, one row for each kind. To add one, add a row here, and the rows in
//! docs/artifacts.md and docs/configuration.md that the tests ask for.
//!
//! Places and what the CLIs do with them: observed with the versions named in [`crate::providers::builtin`]. What a resumed
//! conversation needs (its checkpoints, its task list, its images) is kept for ever by default, as the conversation is.

/// What goes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// Each file in the place, and in the folders below it.
    File,
    /// Each entry of the place, a folder with all that is in it.
    Entry,
    /// Each session: its transcript, its sub-agents' and all that the CLI keeps for it alone. Archived before it goes. Its id is
    /// a UUID: what has another name is no session's.
    Session,
}

/// One kind of artifact of one CLI.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The provider, or what else makes such files.
    pub(crate) provider: &'static str,
    pub(crate) name: &'static str,
    pub(crate) grain: Grain,
    /// Where they are, relative to the provider's home. Of sessions: what belongs to one besides its transcripts, whose
    /// places its provider's row tells.
    pub(crate) places: &'static [&'static str],
    /// How old they get by default, as it would be written.
    pub(crate) retention: &'static str,
    /// The key of that setting.
    pub(crate) retention_key: &'static str,
    /// The key of the setting how much they may take.
    pub(crate) max_size_key: &'static str,
    /// What the first setting is for, in one line of Markdown.
    pub(crate) retention_doc: &'static str,
    /// What the second one is for.
    pub(crate) max_size_doc: &'static str,
}

macro_rules! kind {
    ($provider:literal, $name:literal, $grain:ident, $retention:literal, [$($place:literal),*], $doc:literal) => {
        Kind {
            provider: $provider,
            name: $name,
            grain: Grain::$grain,
            places: &[$($place),*],
            retention: $retention,
            retention_key: concat!("artifacts.", $provider, ".", $name, ".retention"),
            max_size_key: concat!("artifacts.", $provider, ".", $name, ".max_size"),
            retention_doc: concat!("Retention of ", $doc, "; `never` removes none by age."),
            max_size_doc: concat!("Size budget of ", $doc, " in one home; the oldest go first."),
        }
    };
}

/// The kinds that an agent host's copies of a CLI's home are pruned of: what its containers run cannot be looked at from
/// here, so that nothing goes that names no session.
pub(crate) fn is_of_agents(row: usize) -> bool {
    let kind = &KINDS[row];
    kind.provider == "claude" && matches!(kind.name, "transcripts" | "debug" | "todos" | "telemetry")
}

/// Every kind that can be limited. Transcripts of other providers are only reported.
#[rustfmt::skip]
pub(crate) static KINDS: [Kind; 22] = [
    kind!("claude", "transcripts", Session, "never", ["projects/*/{id}"], "Claude Code's transcripts (with sub-agents' and tool results)"),
    kind!("claude", "debug", File, "3d", ["debug"], "Claude Code's debug logs"),
    kind!("claude", "todos", File, "3d", ["todos"], "to-do lists of older versions"),
    kind!("claude", "telemetry", File, "7d", ["telemetry"], "telemetry that was not sent"),
    // Its shell reads it until the session ends: see the guard for processes that name no session.
    kind!("claude", "shell_snapshots", File, "7d", ["shell-snapshots"], "shell snapshots of killed sessions"),
    kind!("claude", "session_env", Entry, "30d", ["session-env/*"], "the folders for sessions' environments"),
    kind!("claude", "statsig", File, "30d", ["statsig"], "cached feature flags"),
    kind!("claude", "backups", File, "30d", ["backups/.claude.json.backup.*"], "copies of `.claude.json`"),
    kind!("claude", "file_history", Entry, "never", ["file-history/*"], "checkpoints of edited files"),
    kind!("claude", "tasks", Entry, "never", ["tasks/*"], "task lists"),
    kind!("claude", "image_cache", Entry, "never", ["image-cache/*"], "pasted images"),
    kind!("claude", "paste_cache", File, "never", ["paste-cache"], "pasted texts"),
    kind!("claude", "uploads", Entry, "never", ["uploads/*"], "uploaded files"),
    kind!("claude", "plans", File, "never", ["plans"], "plans"),
    kind!("codex", "transcripts", Session, "never", [], "Codex's transcripts (rollouts)"),
    kind!("codex", "shell_snapshots", File, "7d", ["shell_snapshots"], "shell snapshots of killed sessions"),
    kind!("codex", "logs", File, "7d", ["log"], "Codex's logs"),
    kind!("gemini", "transcripts", Session, "never", ["tmp/*/tool-outputs/session-{id}"], "Gemini CLI's transcripts (chats)"),
    kind!("gemini", "logs", File, "7d", ["tmp/*/logs"], "Gemini CLI's session logs"),
    kind!("qwen", "transcripts", Session, "never", ["projects/*/chats/{id}.runtime.json"], "Qwen Code's transcripts (chats)"),
    kind!("copilot", "transcripts", Session, "never", [], "Copilot CLI's transcripts (with their checkpoints)"),
    kind!("nanoclaw", "group_logs", File, "7d", ["*/logs"], "the logs of agent groups (of `[[queues]]` and `artifacts.roots`)"),
];

/// The row of a kind by its name with its provider's: `claude.debug`.
pub(crate) fn row_named(name: &str) -> Option<usize> {
    let (provider, name) = name.split_once('.')?;
    KINDS.iter().position(|kind| kind.provider == provider && kind.name == name)
}

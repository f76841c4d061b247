//! The keys of a `[[provider]]` row: one table for the messages and the documentation.

/// A key of a row, for messages and the documentation.
#[derive(Debug)]
pub(super) struct Key {
    /// Dotted: `live.records` is `records` in the table `live`.
    pub(super) name: &'static str,
    /// A right line in a file.
    pub(super) example: &'static str,
    /// What it is for, in one line of Markdown.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test holds it against the documentation"))]
    pub(super) doc: &'static str,
}

/// Every key, in the order of the documentation.
pub(super) static KEYS: [Key; 25] = [
    Key {
        name: "name",
        example: r#"name = "mycli""#,
        doc: "Short name in reports (`a-z`, `0-9`, `-`, `_`). Required.",
    },
    Key {
        name: "models",
        example: r#"models = ["mycli", "mycli-*"]"#,
        doc: "Model names that the bridge uses for it; a `*` at the end stands for any ending. Default: the name.",
    },
    Key {
        name: "home",
        example: r#"home = "~/.mycli""#,
        doc: "Where it keeps its files: absolute, or below the user's home. Required.",
    },
    Key {
        name: "home_env",
        example: r#"home_env = ["MYCLI_HOME", "MYCLI_ROOT/.mycli"]"#,
        doc: "Variables that move the home; the first that is set wins, with what follows the `/` appended.",
    },
    Key {
        name: "transcripts",
        example: r#"transcripts = ["projects/*/{id}.jsonl"]"#,
        doc: "Where a session's transcript may be, as patterns with `{id}`. Required, unless there is a `database`.",
    },
    Key {
        name: "subagents",
        example: r#"subagents = ["projects/*/{id}/subagents/agent-*.jsonl"]"#,
        doc: "Where the transcripts of its sub-agents may be.",
    },
    Key {
        name: "id_field",
        example: r#"id_field = "sessionId""#,
        doc: "The field inside a transcript that holds the whole id (`a.b` for nested ones). Default: `sessionId`.",
    },
    Key {
        name: "database.path",
        example: r#"database.path = "mycli.db""#,
        doc: "The SQLite file that holds its sessions, below its home.",
    },
    Key {
        name: "database.query",
        example: r#"database.query = "SELECT id, updated_at, folder FROM session""#,
        doc: "A query for one row per session: id, last activity, working folder.",
    },
    Key {
        name: "cwd_field",
        example: r#"cwd_field = "cwd""#,
        doc: "The field inside a transcript that holds the session's working folder.",
    },
    Key {
        name: "cwd_file",
        example: r#"cwd_file = "../.project_root""#,
        doc: "A file beside the transcript that holds nothing but the working folder; instead of `cwd_field`.",
    },
    Key {
        name: "live.records",
        example: r#"live.records = "sessions/*.json""#,
        doc: "JSON files that running processes keep, with process id, session id and start.",
    },
    Key {
        name: "live.held_lock",
        example: r#"live.held_lock = "locks/{id}.lock""#,
        doc: "A file that is locked (flock) while its session is open.",
    },
    Key {
        name: "live.pid_file",
        example: r#"live.pid_file = "sessions/{id}/inuse.*.lock""#,
        doc: "A file whose name or content is the id of the process that has its session open.",
    },
    Key {
        name: "live.open_transcript",
        example: "live.open_transcript = true",
        doc: "The process that has a session open holds its transcript open. Default: `false`.",
    },
    Key {
        name: "live.roster",
        example: r#"live.roster = "daemon/roster.json""#,
        doc: "A JSON file in which a daemon lists itself (`supervisorPid`) and its `workers`, with process id, start and session.",
    },
    Key {
        name: "live.daemon",
        example: r#"live.daemon = "daemon/*.pid""#,
        doc: "A JSON file with the process id and the start of a daemon that serves sessions.",
    },
    Key {
        name: "live",
        example: "live = {}",
        doc: "Writing any `live` rule replaces all those of a built-in provider; `{}` takes them away.",
    },
    Key {
        name: "resume",
        example: r#"resume = ["mycli", "--resume", "{id}", "--", "{prompt}"]"#,
        doc: "The command that continues a session without a terminal: with `{id}` in one element and `{prompt}` at the end of the last; after `--` or joined to an option (`--prompt={prompt}`), so that no message is taken for an option.",
    },
    Key {
        name: "fork",
        example: r#"fork = ["mycli", "--resume", "{id}", "--fork", "--", "{prompt}"]"#,
        doc: "The same, into a new session that starts with the old one's history.",
    },
    Key {
        name: "processes.cli",
        example: r#"processes.cli = ["mycli", "node */bin/mycli"]"#,
        doc: "How its own processes are started, as program patterns.",
    },
    Key {
        name: "processes.helpers",
        example: r#"processes.helpers = ["bash */.mycli/snapshots/*", "mycli serve"]"#,
        doc: "How those are started that it may leave behind: shells, servers, sandboxes.",
    },
    Key {
        name: "processes.session_variables",
        example: r#"processes.session_variables = ["MYCLI_SESSION_ID"]"#,
        doc: "Variables in which it tells what it starts its session's id.",
    },
    Key {
        name: "processes.marks",
        example: r#"processes.marks = ["MYCLI"]"#,
        doc: "Variables that show what it starts that it did.",
    },
    Key {
        name: "complete",
        example: "complete = false",
        doc: "Whether these places are all it uses; `false`: a session that is not found is never called missing. Default: `true`.",
    },
];

/// A right line for a key.
pub(super) fn example(key: &str) -> Option<String> {
    KEYS.iter().find(|row| row.name == key).map(|row| row.example.to_owned())
}

/// The keys directly in the row (`""`) or in one of its tables (`"live."`).
pub(super) fn names_within(scope: &str) -> Vec<&'static str> {
    let mut names: Vec<&str> = KEYS.iter().filter_map(|key| key.name.strip_prefix(scope)?.split('.').next()).collect();
    names.dedup();
    names
}

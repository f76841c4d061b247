//! The CLIs we know, one row each. To add one, add a row here and a fixture to the tests; users add rows in the
//! configuration file instead.
//!
//! Facts: observed with the versions named, on Linux.
//!
//! A message may begin with `-`: an option of the CLI in the place of a prompt could run a program (Claude Code's
//! `--settings={…}` and `--mcp-config={…}` did). So it follows `--`, or is joined to its own option where the CLI takes
//! nothing after `--` for a prompt (Gemini CLI, Qwen Code, Copilot CLI).

use super::builtin_processes as processes;
use super::own_cleanup::OwnCleanup;
use super::row::{Database, Hazard, Home, LiveRule, Provider, WorkingFolder};
use crate::policy::path_pattern::PathPattern;

/// Every built-in row.
pub(crate) fn rows() -> Vec<Provider> {
    vec![claude(), codex(), gemini(), qwen(), opencode(), copilot(), cursor(), amp(), goose()]
}

/// Claude Code 1.0.60 to 2.1.328. Sub-agents lie beside the main transcript before 2.1 and below it since.
fn claude() -> Provider {
    Provider {
        models: texts(&["claude*", "sonnet*", "opus*", "haiku*"]),
        home: home(&["CLAUDE_CONFIG_DIR"], ".claude"),
        transcripts: patterns(&["projects/*/{id}.jsonl"]),
        subagents: patterns(&["projects/*/{id}/subagents/agent-*.jsonl", "projects/*/agent-*.jsonl"]),
        working_folder: WorkingFolder::Field(texts(&["cwd"])),
        live: vec![
            LiveRule::Records(pattern("sessions/*.json")),
            // Seen in 2.1.328; workers of a daemon that was killed stay in it (anthropics/claude-code issue 78454).
            LiveRule::Roster(pattern("daemon/roster.json")),
        ],
        resume: texts(&["claude", "-p", "--output-format", "json", "--resume", "{id}", "--", "{prompt}"]),
        fork: texts(&[
            "claude",
            "-p",
            "--output-format",
            "json",
            "--fork-session",
            "--resume",
            "{id}",
            "--",
            "{prompt}",
        ]),
        // Seen in 2.1.328: swept at a start, by the time of the main transcript's file.
        own_cleanup: Some(OwnCleanup::ByFileTime {
            settings: "settings.json".into(),
            key: "cleanupPeriodDays".to_owned(),
            default_days: 30,
        }),
        processes: processes::claude(),
        ..row("claude")
    }
}

/// Codex 0.36 to 0.169: day folders (local time), flat files of older bridges, archived and zstd-compressed rollouts.
/// A sub-agent is a rollout of its own; while it runs its parent's process holds the parent's lock and rollout.
fn codex() -> Provider {
    Provider {
        models: texts(&["codex*", "gpt-*", "o3*", "o4-*"]),
        home: home(&["CODEX_HOME"], ".codex"),
        transcripts: patterns(&[
            "sessions/{year}/{month}/{day}/rollout-*-{id}.jsonl",
            "sessions/{year}/{month}/{day}/rollout-*-{id}.jsonl.zst",
            "sessions/rollout-*-{id}.jsonl",
            "sessions/rollout-*-{id}.json",
            "sessions/{id}.jsonl",
            "archived_sessions/rollout-*-{id}.jsonl",
            "archived_sessions/rollout-*-{id}.jsonl.zst",
        ]),
        subagent_field: texts(&["payload", "parent_thread_id"]),
        working_folder: WorkingFolder::Field(texts(&["payload", "cwd"])),
        live: vec![
            LiveRule::HeldLock(pattern("thread-writer-locks/{id}.lock")),
            LiveRule::OpenTranscript,
            // `daemon.pid` in 0.169; `app-server.pid` and `app-server-updater.pid` in 0.152.
            LiveRule::DaemonPid(pattern("app-server-daemon/*.pid")),
        ],
        resume: texts(&["codex", "exec", "--skip-git-repo-check", "--json", "resume", "{id}", "--", "{prompt}"]),
        hazards: vec![Hazard::Archived],
        processes: processes::codex(),
        ..row("codex")
    }
}

/// Gemini CLI 0.4 to 0.61: eight characters of the id in the name, the whole id inside; `.json` to 0.38, `.jsonl` since.
fn gemini() -> Provider {
    Provider {
        models: texts(&["gemini*"]),
        home: home(&["GEMINI_CLI_HOME/.gemini"], ".gemini"),
        transcripts: patterns(&["tmp/*/chats/session-*-{id:8}.jsonl", "tmp/*/chats/session-*-{id:8}.json"]),
        subagents: patterns(&["tmp/*/chats/{id}/*.jsonl"]),
        working_folder: WorkingFolder::File("../.project_root".to_owned()),
        resume: texts(&["gemini", "-o", "json", "--resume", "{id}", "--prompt={prompt}"]),
        hazards: vec![Hazard::GeminiRetention],
        own_cleanup: Some(OwnCleanup::GeminiRetention),
        processes: processes::gemini(),
        ..row("gemini")
    }
}

/// Qwen Code 0.24: a fork of Gemini CLI that stores like Claude Code. `QWEN_RUNTIME_DIR` moves the sessions, but not
/// the records of live processes (0.24.4's bundle). A setting can move them too, per project, where we do not follow.
fn qwen() -> Provider {
    Provider {
        models: texts(&["qwen*"]),
        home: home(&["QWEN_RUNTIME_DIR", "QWEN_HOME"], ".qwen"),
        transcripts: patterns(&["projects/*/chats/{id}.jsonl"]),
        working_folder: WorkingFolder::Field(texts(&["cwd"])),
        live: vec![LiveRule::Records(pattern("sessions/*.json"))],
        live_home: Some(home(&["QWEN_HOME"], ".qwen")),
        resume: texts(&["qwen", "-o", "json", "-r", "{id}", "--prompt={prompt}"]),
        fork: texts(&["qwen", "-o", "json", "--fork-session", "-r", "{id}", "--prompt={prompt}"]),
        processes: processes::qwen(),
        ..row("qwen")
    }
}

/// opencode 1.18: one SQLite store. A sub-agent's session counts for its parent.
fn opencode() -> Provider {
    Provider {
        models: texts(&["opencode*"]),
        home: home(&["XDG_DATA_HOME/opencode"], ".local/share/opencode"),
        database: Some(Database {
            path: "opencode.db".into(),
            // Each session counts for itself and for all its ancestors; its folder comes from its own row.
            query: "with recursive up(id, ancestor) as (select id, id from session union select up.id, s.parent_id \
                    from up join session s on s.id = up.ancestor where s.parent_id is not null) \
                    select a.id, s.time_updated, a.directory from up join session s on s.id = up.id \
                    join session a on a.id = up.ancestor"
                .to_owned(),
        }),
        resume: texts(&["opencode", "run", "--format", "json", "-s", "{id}", "--", "{prompt}"]),
        processes: processes::opencode(),
        ..row("opencode")
    }
}

/// GitHub Copilot CLI 1.0.
fn copilot() -> Provider {
    Provider {
        models: texts(&["copilot*"]),
        home: home(&["COPILOT_HOME"], ".copilot"),
        transcripts: patterns(&["session-state/{id}/events.jsonl"]),
        working_folder: WorkingFolder::Field(texts(&["data", "context", "cwd"])),
        live: vec![LiveRule::PidFile(pattern("session-state/{id}/inuse.*.lock"))],
        resume: texts(&["copilot", "--output-format", "json", "--resume={id}", "--prompt={prompt}"]),
        processes: processes::copilot(),
        ..row("copilot")
    }
}

/// Cursor agent, as reported in public issues: one SQLite file per chat, so its file time counts.
fn cursor() -> Provider {
    Provider {
        models: texts(&["cursor*"]),
        home: home(&[], ".cursor"),
        transcripts: patterns(&["chats/*/{id}/store.db", "projects/*/agent-transcripts/{id}.jsonl"]),
        resume: texts(&["cursor-agent", "-p", "--resume", "{id}", "--", "{prompt}"]),
        complete: false,
        processes: processes::cursor(),
        ..row("cursor")
    }
}

/// Amp, as reported: threads live on the server, older ones in local files.
fn amp() -> Provider {
    Provider {
        models: texts(&["amp*"]),
        home: home(&["XDG_DATA_HOME/amp"], ".local/share/amp"),
        transcripts: patterns(&["threads/{id}.json"]),
        resume: texts(&["amp", "threads", "continue", "{id}", "--execute={prompt}"]),
        complete: false,
        processes: processes::amp(),
        ..row("amp")
    }
}

/// goose, as reported: one SQLite store, older sessions as files.
fn goose() -> Provider {
    Provider {
        models: texts(&["goose*"]),
        home: home(&["GOOSE_PATH_ROOT/data", "XDG_DATA_HOME/goose"], ".local/share/goose"),
        transcripts: patterns(&["sessions/{id}.jsonl"]),
        database: Some(Database {
            path: "sessions/sessions.db".into(),
            query: "select id, updated_at, working_dir from sessions".to_owned(),
        }),
        resume: texts(&["goose", "run", "--resume", "--session-id", "{id}", "--text={prompt}"]),
        complete: false,
        processes: processes::goose(),
        ..row("goose")
    }
}

/// A row with everything that most CLIs have in common.
pub(crate) fn row(name: &str) -> Provider {
    Provider {
        name: name.to_owned(),
        models: vec![name.to_owned()],
        home: Home::default(),
        transcripts: Vec::new(),
        subagents: Vec::new(),
        id_field: texts(&["sessionId"]),
        subagent_field: Vec::new(),
        database: None,
        working_folder: WorkingFolder::Unknown,
        live: Vec::new(),
        live_home: None,
        resume: Vec::new(),
        fork: Vec::new(),
        hazards: Vec::new(),
        processes: super::row::ProcessRules::default(),
        own_cleanup: None,
        complete: true,
    }
}

pub(super) fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

/// Variables as `NAME` or `NAME/appended`.
fn home(variables: &[&str], default: &str) -> Home {
    let split = |text: &&str| match text.split_once('/') {
        Some((name, suffix)) => (name.to_owned(), suffix.to_owned()),
        None => ((*text).to_owned(), String::new()),
    };
    Home { variables: variables.iter().map(split).collect(), default: default.into() }
}

#[expect(clippy::expect_used, reason = "constant text; the test below reads every row")]
fn pattern(text: &str) -> PathPattern {
    PathPattern::parse(text).expect("a built-in pattern is valid")
}

fn patterns(items: &[&str]) -> Vec<PathPattern> {
    items.iter().map(|item| pattern(item)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_complete_in_itself() {
        for provider in rows() {
            let name = &provider.name;
            assert!(!provider.models.is_empty(), "{name}: models");
            assert!(!provider.transcripts.is_empty() || provider.database.is_some(), "{name}: a store");
            assert!(
                provider.transcripts.iter().all(|pattern| pattern.name.is_some()),
                "{name}: every transcript has an id"
            );
            assert!(!provider.home.default.as_os_str().is_empty(), "{name}: a home");
            for command in [&provider.resume, &provider.fork].into_iter().filter(|command| !command.is_empty()) {
                assert!(command.last().is_some_and(|last| last.ends_with("{prompt}")), "{name}: the prompt comes last");
                assert!(
                    command.iter().any(|argument| argument.contains("{id}")),
                    "{name}: the command names the session"
                );
            }
        }
    }

    #[test]
    fn no_two_rows_claim_one_model() {
        let rows = rows();
        for (index, provider) in rows.iter().enumerate() {
            for model in &provider.models {
                let stem = model.trim_end_matches('*');
                let claims: Vec<_> = rows.iter().filter(|other| other.claims(stem)).map(|other| &other.name).collect();
                assert!(claims.len() <= 1 || rows[index].name == *claims[0], "{model}: {claims:?}");
            }
        }
    }
}

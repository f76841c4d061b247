//! What CLIs and bridges leave behind besides transcripts: live-session records, locks, maps of many sessions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use rusqlite::types::Value as Column;
use serde_json::{Value, json};

use crate::machine::as_ordinary_user;
use crate::world::{CLAUDE_ID, CODEX_ID, GEMINI_ID, NOW, Ran, World};

/// An id that looks like a version 4 UUID, another for every number, also in its first eight characters.
pub(crate) fn id(number: u32) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

/// `hours` after [`NOW`] as RFC 3339.
pub(crate) fn later(hours: i64) -> String {
    chrono::DateTime::from_timestamp(NOW as i64 + hours * 3600, 0).unwrap().to_rfc3339()
}

/// When a process started, in ticks after boot: field 22 of its stat line.
pub(crate) fn start_ticks(pid: u32) -> u64 {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    after_name.split_whitespace().nth(19).unwrap().parse().unwrap()
}

/// The id of this boot.
pub(crate) fn boot_id() -> String {
    fs_err::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned()
}

/// A map in the bridge's form: `(model, chat, session)`.
pub(crate) fn nested(entries: &[(&str, &str, &str)]) -> String {
    let mut map = serde_json::Map::new();
    for (model, chat, session) in entries {
        let level = map.entry(*model).or_insert_with(|| json!({}));
        level[*chat] = json!(session);
    }
    Value::Object(map).to_string()
}

/// A world with an idle chat `a`, an active one `b`, and an idle one `c` whose mapping is more than an id.
pub(crate) fn three_chats() -> World {
    let world = World::new();
    world.claude(CLAUDE_ID, 300);
    world.codex(CODEX_ID, 5);
    world.gemini(GEMINI_ID, 600);
    world.map(&format!(
        "{{\"claude-cli\": {{\"a\": \"{CLAUDE_ID}\"}}, \"codex-cli\": {{\"b\": \"{CODEX_ID}\"}}, \
         \"gemini-cli\": {{\"c\": {{\"sessionId\": \"{GEMINI_ID}\", \"note\": 1}}}}}}"
    ));
    world
}

impl World {
    /// Starts a process that stays until it is ended.
    pub(crate) fn sleeper(&mut self) -> u32 {
        self.child(Command::new("sleep").arg("1000"))
    }

    /// A process id that no process has: that of a child which has ended and was reaped.
    pub(crate) fn gone_pid(&mut self) -> u32 {
        let pid = self.sleeper();
        self.end_child(pid);
        pid
    }

    /// Claude Code's record of a running process.
    pub(crate) fn claude_record(&self, pid: u32, session: &str, start: u64) {
        let record = json!({"pid": pid, "sessionId": session, "cwd": "/work", "procStart": start.to_string()});
        self.file(&format!(".claude/sessions/{pid}.json"), record.to_string(), 0);
    }

    /// opencode's database: the id, the parent and the time of each session.
    pub(crate) fn opencode(&self, sessions: &[(&str, Option<&str>, Column)]) {
        self.opencode_in(".local/share/opencode", sessions);
    }

    /// The same in another home.
    pub(crate) fn opencode_in(&self, home: &str, sessions: &[(&str, Option<&str>, Column)]) -> PathBuf {
        let path = self.file(&format!("{home}/opencode.db"), "", 0);
        let database = rusqlite::Connection::open(&path).unwrap();
        let table = "create table session (id text, parent_id text, directory text, time_updated)";
        database.execute_batch(table).unwrap();
        for (id, parent, time) in sessions {
            database.execute("insert into session values (?1, ?2, '/work', ?3)", (id, parent, time)).unwrap();
        }
        path
    }

    /// The same run at another time.
    pub(crate) fn run_at(&self, at: &str, arguments: &[&str]) -> Ran {
        Ran::of(self.command_at_present(arguments).args(["--at", at]))
    }

    /// The document of a run at another time.
    pub(crate) fn json_at(&self, at: &str, arguments: &[&str]) -> Value {
        let ran = self.run_at(at, &[arguments, &["--json"]].concat());
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }

    /// Runs the binary as a user whom folders can be closed to.
    pub(crate) fn run_unprivileged(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut as_ordinary_user(self, &self.command(arguments)))
    }

    /// The entries of `prune --dry-run --json` by chat.
    pub(crate) fn entries(&self, arguments: &[&str]) -> BTreeMap<String, Value> {
        by_chat(&self.json(&[&["prune", "--dry-run"], arguments].concat()))
    }

    /// `state/action` of one chat in a dry run.
    pub(crate) fn verdict(&self, chat: &str, arguments: &[&str]) -> String {
        verdict(&self.entries(arguments)[chat])
    }
}

/// The entries of a prune document by chat.
pub(crate) fn by_chat(document: &Value) -> BTreeMap<String, Value> {
    let entries = document["entries"].as_array().unwrap_or_else(|| panic!("{document}"));
    entries.iter().map(|entry| (entry["chat"].as_str().unwrap().to_owned(), entry.clone())).collect()
}

/// `state/action` of one entry.
pub(crate) fn verdict(entry: &Value) -> String {
    format!("{}/{}", entry["state"].as_str().unwrap(), entry["action"].as_str().unwrap())
}

/// Fails unless an entry has this state and action and its reason holds `words`.
#[track_caller]
pub(crate) fn assert_verdict(entry: &Value, expected: &str, words: &str) {
    assert_eq!(verdict(entry), expected, "{entry:#}");
    let reason = entry["reason"].as_str().unwrap();
    assert!(reason.contains(words), "{reason:?} does not say {words:?}");
}

//! A registry of numbered sessions in a world, with heartbeats.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::world::{Ran, World, ago, touch};

/// The stamp in a heartbeat's name, which says nothing.
pub(crate) const STAMP: &str = "2026-11-20_12-00-00";

/// A session that was registered `minutes` before [`crate::world::NOW`] and has no other sign of life.
pub(crate) fn session(number: u32, status: &str, minutes: i64) -> Value {
    json!({
        "session_id": format!("session-{number}"),
        "number": number,
        "role": format!("Role {number}"),
        "goal": format!("Goal {number}"),
        "status": status,
        "registered_at": ago(minutes),
        "terminal": format!("s{number:03}"),
    })
}

/// The same with another id.
pub(crate) fn named(number: u32, id: &str, minutes: i64) -> Value {
    let mut session = session(number, "active", minutes);
    session["session_id"] = id.into();
    session
}

/// The text of a registry with these sessions.
pub(crate) fn text_of(sessions: &[Value]) -> String {
    let member = |session: &Value| (session["number"].to_string(), session.clone());
    let all: serde_json::Map<String, Value> = sessions.iter().map(member).collect();
    serde_json::to_string_pretty(&all).unwrap()
}

/// A world with a registry of these sessions.
pub(crate) fn registry(sessions: &[Value]) -> World {
    registry_of(&text_of(sessions))
}

/// A world with a registry of this text. The zone is UTC, and the base is named by the variable of the issue.
pub(crate) fn registry_of(text: &str) -> World {
    let world = no_registry();
    fs_err::create_dir(world.base()).unwrap();
    fs_err::write(world.registry_path(), text).unwrap();
    world
}

/// The same without the folder.
pub(crate) fn no_registry() -> World {
    let mut world = World::new();
    let base = world.base();
    world.variable("SESSION_REGISTRY_DIR", base).variable("TZ", "UTC");
    world
}

impl World {
    /// The registry's folder.
    pub(crate) fn base(&self) -> PathBuf {
        self.root().join("registry")
    }

    pub(crate) fn registry_path(&self) -> PathBuf {
        self.base().join("claude_sessions.json")
    }

    pub(crate) fn registry_text(&self) -> String {
        fs_err::read_to_string(self.registry_path()).unwrap()
    }

    pub(crate) fn registry_json(&self) -> Value {
        serde_json::from_str(&self.registry_text()).unwrap()
    }

    pub(crate) fn status_of(&self, number: u32) -> Value {
        self.registry_json()[number.to_string()]["status"].clone()
    }

    /// The registry's inode and bytes: an untouched file keeps both.
    pub(crate) fn registry_state(&self) -> (u64, Vec<u8>) {
        let path = self.registry_path();
        (fs_err::metadata(&path).unwrap().ino(), fs_err::read(path).unwrap())
    }

    pub(crate) fn beats(&self) -> PathBuf {
        self.base().join("heartbeats")
    }

    /// Writes a heartbeat's file, last changed `minutes` before the instant of the runs.
    pub(crate) fn beat(&self, name: impl AsRef<Path>, body: impl AsRef<[u8]>, minutes: i64) -> PathBuf {
        let path = self.beats().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, body).unwrap();
        touch(&path, minutes);
        path
    }

    /// A heartbeat of `id`, written `minutes` before the instant of the runs.
    pub(crate) fn beat_of(&self, id: &str, minutes: i64) -> PathBuf {
        let stamp = ago(minutes).replace(':', "-").replace('T', "_");
        self.beat(format!("{}-{id}.json", &stamp[..19]), body(minutes), minutes)
    }

    /// `registry` with these arguments.
    pub(crate) fn registry_run(&self, arguments: &[&str]) -> Ran {
        self.run(&[&["registry"], arguments].concat())
    }

    /// The document of `registry` with these arguments.
    pub(crate) fn registry_document(&self, arguments: &[&str]) -> Value {
        self.json(&[&["registry"], arguments].concat())
    }

    /// `number: verdict` of every session, as a rehearsed clean-up has it.
    pub(crate) fn verdicts(&self) -> Vec<String> {
        verdicts(&self.registry_document(&["cleanup", "--dry-run"]))
    }

    /// What is known of a session's last sign of life: where it was read and how many minutes ago it was.
    pub(crate) fn sign_of(&self, number: u32) -> (Value, Option<i64>) {
        let document = self.registry_document(&["list", "--all"]);
        let session = in_document(&document, number);
        (session["source"].clone(), session["age_seconds"].as_i64().map(|seconds| seconds / 60))
    }
}

/// A heartbeat's text with a timestamp.
pub(crate) fn body(minutes: i64) -> String {
    json!({"session_number": 2, "timestamp": ago(minutes), "status": "active"}).to_string()
}

/// `number: verdict` of every session in a document.
pub(crate) fn verdicts(document: &Value) -> Vec<String> {
    let sessions = document["sessions"].as_array().unwrap_or_else(|| panic!("{document}"));
    sessions.iter().map(|session| format!("{}: {}", session["number"], session["verdict"].as_str().unwrap())).collect()
}

/// A session in a document.
#[track_caller]
pub(crate) fn in_document(document: &Value, number: u32) -> &Value {
    let sessions = document["sessions"].as_array().unwrap_or_else(|| panic!("{document}"));
    sessions.iter().find(|session| session["number"] == number).unwrap_or_else(|| panic!("{document:#}"))
}

/// The one note or problem that is in a document.
#[track_caller]
pub(crate) fn only_one<'d>(document: &'d Value, list: &str) -> &'d str {
    match document[list].as_array().map(Vec::as_slice) {
        Some([one]) => one.as_str().unwrap(),
        _ => panic!("not one of {list}: {document:#}"),
    }
}

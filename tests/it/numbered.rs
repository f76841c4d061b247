//! A registry of numbered sessions as the original's scripts write it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::machine::copy_of;
use crate::tree::names_in;
use crate::window::{Said, Window};
use crate::world::{Ran, World};

/// A session as a line of a test: number, status, and minutes since it was registered.
pub(crate) type Line = (u32, &'static str, i64);

/// A world with a registry.
pub(crate) struct Numbered {
    pub(crate) world: World,
}

/// One session's text, as Python writes it.
pub(crate) fn entry((number, status, minutes): Line) -> String {
    let time = crate::world::ago(minutes);
    let registered_at = format!("{}Z", &time[..19]);
    format!(
        "  \"{number}\": {{\n    \"session_id\": \"session-{number}\",\n    \"number\": {number},\n    \
         \"role\": \"Role \\u2192 {number}\",\n    \"goal\": \"Goal {number}\",\n    \"status\": \"{status}\",\n    \
         \"registered_at\": \"{registered_at}\",\n    \"terminal\": \"s{number:03}\",\n    \
         \"current_work\": {{\"progress\": \"{number}%\"}}\n  }}"
    )
}

/// A registry's text.
pub(crate) fn registry_of(sessions: &[Line]) -> String {
    let entries: Vec<String> = sessions.iter().copied().map(entry).collect();
    format!("{{\n{}\n}}", entries.join(",\n"))
}

/// Thirteen sessions that are said to be active and have not been for days.
pub(crate) fn thirteen() -> Vec<Line> {
    (1..=13).map(|number| (number, "active", 3 * 24 * 60)).collect()
}

impl Numbered {
    pub(crate) fn new(sessions: &[Line]) -> Self {
        let numbered = Self::empty();
        fs_err::create_dir(numbered.base()).unwrap();
        numbered.write(&registry_of(sessions));
        numbered
    }

    /// The same where there is no registry yet.
    pub(crate) fn empty() -> Self {
        let mut world = World::new();
        let base = world.root().join("numbered");
        world.variable("SESSION_REGISTRY_DIR", base);
        world.variable("TZ", "UTC");
        Self { world }
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.world.root().join("numbered")
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.base().join("claude_sessions.json")
    }

    pub(crate) fn text(&self) -> String {
        fs_err::read_to_string(self.path()).unwrap()
    }

    pub(crate) fn write(&self, text: &str) {
        fs_err::write(self.path(), text).unwrap();
    }

    /// Replaces a part of the registry that is there once, as the original's scripts do: in place.
    #[track_caller]
    pub(crate) fn replace(&self, from: &str, to: &str) {
        let text = self.text();
        assert_eq!(text.matches(from).count(), 1, "{from:?} in {text}");
        self.write(&text.replace(from, to));
    }

    /// What stands in the base folder under a name.
    pub(crate) fn file(&self, name: &str) -> Option<String> {
        fs_err::read_to_string(self.base().join(name)).ok()
    }

    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    pub(crate) fn status_of(&self, number: u32) -> String {
        self.value()[number.to_string()]["status"].as_str().unwrap_or("none").to_owned()
    }

    /// The numbers whose sessions are active.
    pub(crate) fn active(&self) -> Vec<u32> {
        let value = self.value();
        let sessions = value.as_object().unwrap().iter();
        let active = sessions.filter(|(_, session)| session["status"] == "active");
        let mut active: Vec<u32> = active.map(|(key, _)| key.parse().unwrap()).collect();
        active.sort_unstable();
        active
    }

    /// The names of all heartbeats.
    pub(crate) fn beats(&self) -> Vec<String> {
        let folder = self.base().join("heartbeats");
        if folder.is_dir() { names_in(&folder) } else { Vec::new() }
    }

    pub(crate) fn beat(&self, name: &str) -> Value {
        serde_json::from_str(&fs_err::read_to_string(self.base().join("heartbeats").join(name)).unwrap()).unwrap()
    }

    /// The names of the files in which terminals are remembered.
    pub(crate) fn remembered(&self) -> Vec<String> {
        let folder = self.base().join(".session-sweep/identities");
        if folder.is_dir() { names_in(&folder) } else { Vec::new() }
    }

    /// `registry …` at the usual instant.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.world.command(&[&["registry"], arguments].concat())
    }

    /// The same at another instant.
    pub(crate) fn command_at(&self, at: &str, arguments: &[&str]) -> Command {
        self.world.command_at_present(&[&["registry"], arguments, &["--at", at]].concat())
    }

    /// Runs it wherever the tests run.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// Runs it in a window, with nobody to answer.
    #[track_caller]
    pub(crate) fn run_in(&self, window: &mut Window, arguments: &[&str]) -> Said {
        window.run(&self.command(arguments))
    }

    /// Its number, as one more heartbeat of the window tells.
    #[track_caller]
    pub(crate) fn number_of(&self, window: &mut Window) -> u64 {
        window.json(&self.command(&["heartbeat"]))["number"].as_u64().unwrap()
    }

    /// Everything that a change to the registry would change.
    pub(crate) fn state(&self) -> String {
        let mut state = self.text();
        for (name, text) in
            [".session_identity", ".session_env", ".current_session"].map(|name| (name, self.file(name)))
        {
            write!(state, "\n{name}: {text:?}").unwrap();
        }
        write!(state, "\n{:?}\n{:?}", self.beats(), self.remembered()).unwrap();
        state
    }
}

/// The command with one more variable.
pub(crate) fn with(command: &Command, variables: &[(&str, &str)]) -> Command {
    let mut command = copy_of(command);
    command.envs(variables.iter().copied());
    command
}

/// Sets a file's time of last change to `minutes` before the usual instant.
pub(crate) fn age(path: &Path, minutes: i64) {
    crate::world::touch(path, minutes);
}

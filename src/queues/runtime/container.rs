//! One container as its runtime tells of it.

use std::collections::HashMap;
use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::workspace::resolve;

/// One container as its runtime tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: String,
    /// For people: it tells nothing of whose it is.
    pub(crate) name: String,
    pub(crate) state: State,
    /// When it was started last; when it was made, if it never was.
    pub(crate) started: Option<DateTime<Utc>>,
    /// The label `nanoclaw-install`.
    pub(crate) install: Option<String>,
    /// The label `nanoclaw-group`.
    pub(crate) group: Option<String>,
    /// The label `nanoclaw-session`.
    pub(crate) session: Option<String>,
    /// The label `nanoclaw-role`.
    pub(crate) role: Option<String>,
    /// The folder of this machine that is at `/workspace`, without links where they could be followed.
    pub(crate) workspace: Option<PathBuf>,
    /// The runtime that told of it, as [`super::Runtimes`] calls it.
    pub(crate) runtime: String,
}

impl Container {
    /// A container with these labels and this mount's source at `/workspace`, of which nothing more is told.
    pub(super) fn told(id: String, mut labels: HashMap<String, String>, source: Option<String>, runtime: &str) -> Self {
        let mut label = |name: &str| labels.remove(name);
        Self {
            id,
            name: String::new(),
            state: State::of(None),
            started: None,
            install: label("nanoclaw-install"),
            group: label("nanoclaw-group"),
            session: label("nanoclaw-session"),
            role: label("nanoclaw-role"),
            workspace: source.map(|source| resolve(&source)),
            runtime: runtime.to_owned(),
        }
    }
}

/// Whether anything may run in a container, with the runtime's word for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Something does, will, or may: every word that does not say otherwise.
    Alive(String),
    /// Nothing does any more.
    Ended(String),
}

impl State {
    /// What a runtime's word means.
    pub(super) fn of(word: Option<&str>) -> Self {
        let word = word.map(str::trim).filter(|word| !word.is_empty()).unwrap_or("unknown").to_ascii_lowercase();
        match &word[..] {
            "exited" | "dead" | "stopped" => Self::Ended(word),
            _ => Self::Alive(word),
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        matches!(self, Self::Alive(_))
    }

    /// The runtime's word.
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Alive(word) | Self::Ended(word) => word,
        }
    }
}

/// Whether this can be a container's id or name, and no option or path.
pub(super) fn is_id(text: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    text.len() <= 128 && text.bytes().all(is_fit) && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_does_not_say_otherwise_is_alive() {
        for word in
            ["running", "paused", "restarting", "removing", "created", "stopping", "configured", "no-such-word", ""]
        {
            assert!(State::of(Some(word)).is_alive(), "{word}");
        }
        assert_eq!(State::of(None), State::Alive("unknown".to_owned()));
        for word in ["exited", "dead", "stopped", "Exited"] {
            assert!(!State::of(Some(word)).is_alive(), "{word}");
        }
    }

    #[test]
    fn an_id_is_no_option_no_path_and_no_shell_word() {
        for id in ["a", "3621bb0f9054", "nanoclaw-v2-team-1763698.x_y", &"a".repeat(128)] {
            assert!(is_id(id), "{id}");
        }
        for id in ["", "-t", "--all", ".a", "_a", "a b", "a;b", "$(a)", "a/b", "../a", "a\n", "ä", &"a".repeat(129)] {
            assert!(!is_id(id), "{id}");
        }
    }
}

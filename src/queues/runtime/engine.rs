//! One container runtime of this machine: its program and how it is spoken to.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::container::{Container, State, is_id};
use super::{apple, docker};
use crate::programs::{Answer, Programs};

/// How long a runtime may take, and how often it is looked whether a container is gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For each question that a listing asks.
    pub(super) listing: Duration,
    /// For `stop`.
    pub(super) stopping: Duration,
    /// From the end of `stop` until a container that is still there is called refused.
    pub(super) vanishing: Duration,
    /// Between two looks.
    pub(super) pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            listing: Duration::from_secs(10),
            stopping: Duration::from_secs(15),
            vanishing: Duration::from_secs(2),
            pause: Duration::from_millis(200),
        }
    }
}

/// How a runtime wants to be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// docker, and podman, which speaks the same.
    Docker,
    /// Apple's `container`.
    Apple,
}

impl Dialect {
    /// By what a runtime's program is called.
    pub(super) fn of(program: &str) -> Option<Self> {
        match program {
            "docker" | "podman" => Some(Self::Docker),
            "container" => Some(Self::Apple),
            _ => None,
        }
    }
}

/// What came of stopping a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The runtime lists it no more, or as ended.
    Gone,
    /// It is still there, for this reason.
    Refused(String),
    /// Whether it is still there cannot be told, for this reason.
    Unknown(String),
}

/// One container runtime of this machine.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    /// As it was named, or as `PATH` has it.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) dialect: Dialect,
    pub(super) limits: Limits,
}

impl Engine {
    /// What it says to a question of a listing.
    pub(super) fn ask(&self, arguments: &[&str]) -> Result<String, String> {
        self.ask_within(arguments, self.limits.listing)
    }

    fn ask_within(&self, arguments: &[&str], patience: Duration) -> Result<String, String> {
        match Programs::default().ask_within(&self.path, arguments, patience) {
            Answer::Said(text) => Ok(text),
            Answer::Failed(why) => Err(why),
            Answer::NotInstalled => Err("it is not installed".to_owned()),
        }
    }

    /// Whether it may have each user's containers apart, as podman does by whatever name it is called, nerdctl and Apple's do:
    /// only docker itself has not.
    pub(super) fn is_of_each_user(&self) -> bool {
        match self.dialect {
            Dialect::Docker => !self.ask(&["--version"]).is_ok_and(|version| version.starts_with("Docker version")),
            Dialect::Apple => true,
        }
    }

    /// All its containers, or the one with this id.
    pub(super) fn list(&self, only: Option<&str>) -> Result<Vec<Container>, String> {
        match self.dialect {
            Dialect::Docker => docker::list(self, only),
            Dialect::Apple => apple::list(self, only),
        }
    }

    /// Stops the container with this id, gently for a second, and looks whether it is gone: what `stop` says of it is not
    /// believed either way.
    pub(super) fn stop(&self, id: &str) -> Stopped {
        if !is_id(id) {
            return Stopped::Refused(format!("{id:?} is no container's id"));
        }
        let said = self.ask_within(&["stop", "-t", "1", id], self.limits.stopping).err();
        let deadline = Instant::now() + self.limits.vanishing;
        loop {
            let outcome = match self.list(Some(id)) {
                Ok(found) => match found.into_iter().map(|container| container.state).find(State::is_alive) {
                    None => return Stopped::Gone,
                    Some(state) => {
                        let words = said.clone().unwrap_or_else(|| format!("it is still {}", state.word()));
                        Stopped::Refused(words)
                    }
                },
                Err(why) => Stopped::Unknown(format!("{} does not answer: {why}", self.name)),
            };
            if Instant::now() + self.limits.pause > deadline {
                return outcome;
            }
            std::thread::sleep(self.limits.pause);
        }
    }
}

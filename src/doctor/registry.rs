//! Whether the registry of numbered sessions can be read, and be changed by this user and by the services that sweep it.

use std::path::PathBuf;

use super::map::out_of_reach;
use super::{Facts, Finding, count};

/// What is known of the registry.
#[derive(Debug)]
pub(crate) struct RegistryFacts {
    /// Whether `sweep` looks at it.
    pub(crate) is_enabled: bool,
    pub(crate) path: PathBuf,
    pub(crate) text: RegistryText,
    /// What stands in the way of replacing it, or why that is not known.
    pub(crate) obstacle: Result<Option<String>, String>,
}

/// What came of reading it.
#[derive(Debug)]
pub(crate) enum RegistryText {
    /// It is not there.
    Missing,
    /// It was read: how many sessions it has.
    Read(usize),
    /// It was not.
    Unreadable(String),
}

pub(super) fn registry(facts: &Facts) -> Finding {
    let Some(registry) = &facts.registry else { return Finding::without_settings() };
    let path = registry.path.display();
    let sessions = match (&registry.text, registry.is_enabled) {
        (RegistryText::Missing, false) => return Finding::ok("there is none"),
        (RegistryText::Missing, true) => {
            return Finding::warning(
                format!("there is no registry at {path}: a sweep has nothing to do"),
                "session-sweep config set registry.base FOLDER, if it is elsewhere",
            );
        }
        (RegistryText::Unreadable(why), _) => {
            return Finding::wrong(why, "put it right, or run as the user whose sessions are registered");
        }
        (RegistryText::Read(sessions), _) => count(*sessions, "session"),
    };
    match &registry.obstacle {
        Err(why) => return Finding::unknown(why, "run as the registry's user"),
        Ok(Some(why)) => {
            return Finding::wrong(why, "run as the registry's user, or give it and its folder to this one");
        }
        Ok(None) => {}
    }
    if !registry.is_enabled {
        let note = "a sweep leaves it alone (session-sweep config set registry.enabled true)";
        return Finding::ok(format!("{sessions} in {path}; {note}"));
    }
    let folder = registry.path.parent().unwrap_or(&registry.path);
    out_of_reach(facts, folder).unwrap_or_else(|| Finding::ok(format!("{sessions} in {path}")))
}

//! Whether the settings are right, and whether a timer sees the same ones.

use super::{Facts, Finding, count};
use crate::policy::shell::quoted;

/// What is known of the settings.
#[derive(Debug, Default)]
pub(crate) struct ConfigFacts {
    /// What is wrong, each with what to do.
    pub(crate) problems: Vec<(String, String)>,
    /// Whether the settings can be used all the same.
    pub(crate) is_usable: bool,
    /// The files that were read, shortened.
    pub(crate) files: Vec<String>,
    /// Settings whose value is this environment's: key, value, variable.
    pub(crate) from_environment: Vec<(String, String, String)>,
    /// Variables that move our own folders, each with what it moves and where that is without it.
    pub(crate) moved: Vec<(&'static str, &'static str, String)>,
}

pub(super) fn config(facts: &Facts) -> Finding {
    let config = &facts.config;
    if !config.problems.is_empty() {
        let mut message: Vec<&str> = config.problems.iter().map(|(message, _)| message.as_str()).collect();
        let number = count(message.len(), "problem");
        if message.len() > 1 {
            message.insert(0, &number);
        }
        let remedies: Vec<&str> = config.problems.iter().map(|(_, remedy)| remedy.as_str()).collect();
        let decide = if config.is_usable { Finding::warning } else { Finding::wrong };
        return decide(message.join("; "), remedies.join("; "));
    }
    if let Some((key, value, variable)) = config.from_environment.first() {
        let keys: Vec<&str> = config.from_environment.iter().map(|(key, ..)| key.as_str()).collect();
        let message = format!("{} here by {variable}, which timers and cron do not see", keys.join(", "));
        return Finding::warning(message, format!("session-sweep config set {} {}", quoted(key), quoted(value)));
    }
    if let Some((variable, what, without)) = config.moved.first() {
        let message =
            format!("{what} is moved here by {variable}, which timers and cron do not see: they use {without}");
        return Finding::warning(message, format!("session-sweep doctor without {variable} looks where they do"));
    }
    Finding::ok(match &config.files[..] {
        [] => "no file; the defaults apply".to_owned(),
        files => files.join(", "),
    })
}

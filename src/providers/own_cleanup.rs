//! After how long a CLI deletes its own sessions, as its settings say.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use serde_json::Value;

use super::retention::{Retention, gemini_retention, settings_in};
use super::row::Provider;

/// What a CLI itself deletes of its sessions, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OwnCleanup {
    /// What was not changed for so many days as a setting says: by the time of the main transcript's file.
    ByFileTime {
        /// The settings, below the home.
        settings: PathBuf,
        /// A number of days.
        key: String,
        /// Where nothing is set.
        default_days: u32,
    },
    /// Gemini CLI's `general.sessionRetention`: by the last record inside the transcript.
    GeminiRetention,
}

/// When sessions go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Period {
    /// So long after their last use.
    After {
        /// How long.
        age: TimeDelta,
        /// What sets it: the key, and the file.
        setting: (String, PathBuf),
    },
    /// They stay.
    Never,
    /// The settings cannot be read.
    Unknown(String),
}

impl Period {
    /// What to do so that sessions stay for longer.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::After { setting: (key, file), .. } => format!("raise {key} in {}", file.display()),
            Self::Never | Self::Unknown(_) => String::new(),
        }
    }
}

/// When `provider`, whose home is `home`, deletes its sessions; nothing for one that deletes none.
pub(crate) fn period(provider: &Provider, home: &Path, variable: &dyn Fn(&str) -> Option<OsString>) -> Option<Period> {
    Some(match provider.own_cleanup.as_ref()? {
        OwnCleanup::ByFileTime { settings, key, default_days } => {
            by_file_time(&home.join(settings), key, *default_days)
        }
        OwnCleanup::GeminiRetention => gemini(home, variable),
    })
}

fn by_file_time(file: &Path, key: &str, default_days: u32) -> Period {
    let days = match settings_in(file) {
        Ok(settings) => settings.as_ref().and_then(|settings| settings.get(key)).cloned(),
        Err(why) => return Period::Unknown(why),
    };
    let days = days.map_or(Some(default_days), |days| days.as_u64().and_then(|days| u32::try_from(days).ok()));
    match days {
        // Claude Code keeps no transcript then, or refuses it: which, depends on the version.
        None | Some(0) => Period::Unknown(format!("{}: {key} is no number of days", file.display())),
        Some(days) => Period::After { age: TimeDelta::days(days.into()), setting: (key.to_owned(), file.to_owned()) },
    }
}

/// `enabled` and `maxAge` (30 days by default) of the user's settings; a number of sessions to keep is not looked at.
fn gemini(home: &Path, variable: &dyn Fn(&str) -> Option<OsString>) -> Period {
    match gemini_retention(home, None, variable) {
        Retention::Disabled => return Period::Never,
        Retention::Unknown(why) => return Period::Unknown(why),
        Retention::Enabled { .. } => {}
    }
    let file = home.join("settings.json");
    let settings = match settings_in(&file) {
        Ok(settings) => settings.unwrap_or(Value::Null),
        Err(why) => return Period::Unknown(why),
    };
    let key = "general.sessionRetention.maxAge";
    let age = match &settings["general"]["sessionRetention"]["maxAge"] {
        Value::Null => Some(TimeDelta::days(30)),
        Value::String(text) => age(text),
        _ => None,
    };
    match age {
        Some(age) => Period::After { age, setting: (key.to_owned(), file) },
        None => Period::Unknown(format!("{}: {key} is no age such as 30d", file.display())),
    }
}

/// Gemini CLI's own form: a number and `h`, `d`, `w` or `m` (months of 30 days).
fn age(text: &str) -> Option<TimeDelta> {
    let unit = text.chars().next_back()?;
    let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
    let hours = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 7 * 24,
        'm' => 30 * 24,
        _ => return None,
    };
    TimeDelta::try_hours(i64::from(number) * hours).filter(|age| !age.is_zero())
}

#[cfg(test)]
mod tests {
    use super::super::builtin::rows;
    use super::*;

    fn period_of(name: &str, settings: Option<&str>) -> Option<Period> {
        let home = tempfile::tempdir().unwrap();
        if let Some(text) = settings {
            fs_err::write(home.path().join("settings.json"), text).unwrap();
        }
        let rows = rows();
        let provider = rows.iter().find(|row| row.name == name).unwrap();
        let nowhere = home.path().join("etc/settings.json").into_os_string();
        let variable = |name: &str| (name == "GEMINI_CLI_SYSTEM_SETTINGS_PATH").then(|| nowhere.clone());
        period(provider, home.path(), &variable)
    }

    fn hours(name: &str, settings: Option<&str>) -> i64 {
        match period_of(name, settings) {
            Some(Period::After { age, .. }) => age.num_hours(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_settings_say_how_long_and_where_nothing_is_said_the_default_applies() {
        assert_eq!(hours("claude", None), 30 * 24);
        assert_eq!(hours("claude", Some("{\"model\": \"x\"}")), 30 * 24);
        assert_eq!(hours("claude", Some("{\"cleanupPeriodDays\": 365}")), 365 * 24);
        assert_eq!(hours("gemini", None), 30 * 24);
        let max_age = |age: &str| format!("{{\"general\": {{\"sessionRetention\": {{\"maxAge\": \"{age}\"}}}}}}");
        for (age, expected) in [("36h", 36), ("7d", 168), ("2w", 336), ("1m", 720)] {
            assert_eq!(hours("gemini", Some(&max_age(age))), expected, "{age}");
        }
        let off = "{\"general\": {\"sessionRetention\": {\"enabled\": false}}}";
        assert_eq!(period_of("gemini", Some(off)), Some(Period::Never));
        assert!(["codex", "qwen", "opencode"].iter().all(|name| period_of(name, None).is_none()));
    }

    #[test]
    fn settings_that_make_no_sense_are_unknown() {
        for (name, text) in [
            ("claude", "{"),
            ("claude", "{\"cleanupPeriodDays\": 0}"),
            ("claude", "{\"cleanupPeriodDays\": \"30\"}"),
            ("gemini", "{\"general\": {\"sessionRetention\": {\"maxAge\": \"soon\"}}}"),
            ("gemini", "{\"general\": {\"sessionRetention\": {\"maxAge\": 30}}}"),
        ] {
            assert!(matches!(period_of(name, Some(text)), Some(Period::Unknown(_))), "{name} {text}");
        }
    }
}

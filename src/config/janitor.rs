//! What the process janitor, a plugin of Claude Code, was told: its file and its variables, below our own files.
//!
//! The file is not ours: it is only read, and members that are not known here are left to whoever knows them. What is
//! wrong in it, or in the variables, is kept aside for those commands that follow it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::dirs::Dirs;
use super::environment::Environment;
use super::origin::Origin;
use super::problem::Problem;
use crate::filesystem::read_regular;
use crate::policy::choices::CleanupMode;
use crate::policy::duration::{format_duration, parse_duration};

/// The name of its file.
const FILE: &str = "process-janitor-config.json";

/// More than seven members need.
const LARGEST: u64 = 1024 * 1024;

/// A setting that the janitor has too.
#[derive(Debug)]
pub(super) struct Shared {
    /// What it is called here.
    pub(super) key: &'static str,
    /// The member of the janitor's file.
    pub(super) member: &'static str,
    /// The janitor's variable, which wins over the file.
    pub(super) variable: Option<&'static str>,
    form: Form,
    /// A right value, as it is written in the file.
    example: &'static str,
}

/// How the janitor writes a value.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// `true` or `false`.
    Flag,
    /// A whole number of minutes.
    Minutes,
    /// A whole number of seconds.
    Seconds,
    /// A [`CleanupMode`].
    Mode,
}

/// All of them, in the order of the janitor's own documentation.
pub(super) static SHARED: [Shared; 7] = [
    Shared {
        key: "processes.clean_on_start",
        member: "auto_cleanup_on_start",
        variable: None,
        form: Form::Flag,
        example: "false",
    },
    Shared {
        key: "processes.min_age",
        member: "min_session_age_minutes",
        variable: Some("JANITOR_MIN_AGE"),
        form: Form::Minutes,
        example: "10",
    },
    Shared {
        key: "processes.heartbeat_interval",
        member: "heartbeat_interval_seconds",
        variable: Some("JANITOR_HEARTBEAT_INTERVAL"),
        form: Form::Seconds,
        example: "60",
    },
    Shared {
        key: "processes.stale",
        member: "stale_heartbeat_threshold_minutes",
        variable: Some("JANITOR_STALE_THRESHOLD"),
        form: Form::Minutes,
        example: "5",
    },
    Shared {
        key: "processes.mode",
        member: "cleanup_mode",
        variable: None,
        form: Form::Mode,
        example: "\"interactive\"",
    },
    Shared {
        key: "processes.notify",
        member: "notification_enabled",
        variable: None,
        form: Form::Flag,
        example: "true",
    },
    Shared { key: "processes.dry_run", member: "dry_run_default", variable: None, form: Form::Flag, example: "true" },
];

/// What file and variables say.
#[derive(Debug, Default)]
pub(super) struct Janitor {
    /// What was understood, in rising precedence, each in the form of our own setting.
    pub(super) values: Vec<JanitorValue>,
    /// The list of all records, which only a variable names.
    pub(super) registry: Option<PathBuf>,
    /// The file that was read, or that a variable names though it is not there; and whether it is there.
    pub(super) file: Option<(PathBuf, bool)>,
    /// What was not understood.
    pub(super) problems: Vec<Problem>,
}

/// One setting as the janitor has it.
#[derive(Debug)]
pub(super) struct JanitorValue {
    pub(super) key: &'static str,
    pub(super) origin: Origin,
    pub(super) text: String,
}

impl Janitor {
    /// Reads both.
    pub(super) fn read(dirs: &Dirs, environment: &Environment) -> Self {
        let mut janitor = Self::default();
        let home = janitor.path("JANITOR_HOME", environment);
        let named = janitor.path("JANITOR_CONFIG_FILE", environment);
        let path = named.clone().unwrap_or_else(|| {
            let claude =
                || environment.get("CLAUDE_CONFIG_DIR").map_or_else(|| dirs.home.join(".claude"), PathBuf::from);
            home.clone().unwrap_or_else(claude).join(FILE)
        });
        let present = janitor.read_file(&path);
        janitor.file = (present || named.is_some()).then_some((path, present));
        let sessions = match janitor.path("JANITOR_SESSIONS_DIR", environment) {
            Some(sessions) => Some(("JANITOR_SESSIONS_DIR", sessions)),
            None => home.map(|home| ("JANITOR_HOME", home.join("sessions"))),
        };
        janitor.values.extend(sessions.map(|(variable, path)| JanitorValue {
            key: "processes.sessions",
            origin: Origin::Environment(variable.to_owned()),
            text: path.display().to_string(),
        }));
        janitor.registry = janitor.path("JANITOR_REGISTRY_FILE", environment);
        for shared in &SHARED {
            if let Some(variable) = shared.variable {
                janitor.read_variable(shared, variable, environment);
            }
        }
        janitor
    }

    /// Reads the file; whether there is one.
    fn read_file(&mut self, path: &Path) -> bool {
        let members = match members_of(path) {
            Ok(Some(members)) => members,
            Ok(None) => return false,
            Err(problem) => {
                self.problems.push(problem);
                return true;
            }
        };
        for shared in &SHARED {
            let Some(value) = members.get(shared.member) else { continue };
            let origin = Origin::File(path.to_owned());
            match shared.form.read(value) {
                Ok(text) => self.note(shared, origin, text),
                Err(message) => {
                    let remedy = format!("write for example `\"{}\": {}`", shared.member, shared.example);
                    self.problems.push(Problem::new(origin, shared.member, message, remedy));
                }
            }
        }
        true
    }

    fn read_variable(&mut self, shared: &Shared, variable: &str, environment: &Environment) {
        let Some(value) = environment.get(variable) else { return };
        let origin = Origin::Environment(variable.to_owned());
        // Digits alone, so that `+5` and ` 5` are as wrong here as in the file.
        let digits = value.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let read = match digits.and_then(|digits| digits.parse::<u64>().ok()) {
            Some(number) => shared.form.read(&number.into()),
            None => Err(shared.form.refusal(&format!("{:?}", value.to_string_lossy()))),
        };
        match read {
            Ok(text) => self.note(shared, origin, text),
            Err(message) => {
                let remedy = format!("write for example `{variable}={}`", shared.example);
                self.problems.push(Problem::new(origin, shared.key, message, remedy));
            }
        }
    }

    fn note(&mut self, shared: &Shared, origin: Origin, text: String) {
        self.values.push(JanitorValue { key: shared.key, origin, text });
    }

    /// The path that a variable names, if it names one that means the same in every folder and can be shown.
    fn path(&mut self, variable: &str, environment: &Environment) -> Option<PathBuf> {
        let value = environment.get(variable)?;
        let message = match value.to_str() {
            None => "the value is not UTF-8".to_owned(),
            Some(text) if text.contains(char::is_control) => format!("{text:?} has a control character"),
            Some(text) if !Path::new(text).is_absolute() => format!("{text:?} is not an absolute path"),
            Some(text) => return Some(PathBuf::from(text)),
        };
        let origin = Origin::Environment(variable.to_owned());
        self.problems.push(Problem::new(origin, "", message, "write an absolute path"));
        None
    }
}

impl Form {
    /// The value as our own setting would be written, or what is wrong with it.
    fn read(self, value: &Value) -> Result<String, String> {
        let text = match self {
            Self::Flag => value.as_bool().map(|flag| flag.to_string()),
            Self::Mode => value.as_str().and_then(|text| text.parse::<CleanupMode>().ok()).map(|mode| mode.to_string()),
            Self::Minutes => duration(value, 'm'),
            Self::Seconds => duration(value, 's'),
        };
        text.ok_or_else(|| self.refusal(&shown(value)))
    }

    fn refusal(self, value: &str) -> String {
        let expected = match self {
            Self::Flag => "true or false",
            Self::Mode => "\"interactive\" or \"auto\"",
            Self::Minutes => "a whole number of minutes, more than none and at most a hundred years of them",
            Self::Seconds => "a whole number of seconds, more than none and at most a hundred years of them",
        };
        format!("must be {expected}, not {value}")
    }
}

/// The members of the object in the file; `None` when there is no such file.
fn members_of(path: &Path) -> Result<Option<Map<String, Value>>, Problem> {
    let problem = |message: String, remedy: &str| Problem::new(Origin::File(path.to_owned()), "", message, remedy);
    // The usual way to say "no configuration at all".
    if path == Path::new("/dev/null") {
        return Ok(Some(Map::new()));
    }
    let bytes = match read_regular(path, LARGEST) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => {
            let message = error.to_string().replacen(&path.display().to_string(), "this file", 1);
            return Err(problem(message, "put a readable file of at most 1 MiB in this place, or none"));
        }
    };
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(members)) => Ok(Some(members)),
        Ok(other) => {
            let message = format!("must hold a JSON object, not {}", shown(&other));
            Err(problem(message, "write for example `{\"cleanup_mode\": \"interactive\"}`"))
        }
        Err(error) => {
            let problem = problem(format!("this is not JSON: {error}"), "correct the file, or take it away");
            Err(problem.at_line(error.line()))
        }
    }
}

/// A whole number of `unit` in our own form.
fn duration(value: &Value, unit: char) -> Option<String> {
    let duration = parse_duration(&format!("{}{unit}", value.as_u64()?)).ok()?;
    Some(format_duration(duration))
}

/// A value for messages: itself where it is short, else its type.
fn shown(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.chars().nth(40).is_none() => format!("{text:?}"),
        Value::String(_) => "a long text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
#[path = "janitor_tests.rs"]
mod tests;

//! What is given for one setting: collected in rising precedence, checked, and stored one over the other.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::dirs::Dirs;
use super::environment::Environment;
use super::file_value::{FileValue, RawValue};
use super::janitor::JanitorValue;
use super::origin::Origin;
use super::problem::Problem;
use super::resolve::{Override, Value};
use super::setting::{Setting, Settings, Store};
use crate::policy::byte_size::InvalidSize;
use crate::policy::duration::InvalidDuration;

/// What gives values besides the files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sources<'s> {
    pub(super) dirs: &'s Dirs,
    pub(super) environment: &'s Environment,
    pub(super) janitor: &'s [JanitorValue],
    pub(super) flags: &'s [Override],
}

/// A value that somebody gave, and where it stands.
struct Candidate {
    origin: Origin,
    line: Option<usize>,
    value: RawValue,
}

impl Sources<'_> {
    /// Stores what is given for `setting` one over the other, so that each is checked and the last one stays.
    /// `of_files` are the values of files, the one that wins last.
    pub(super) fn store<'f>(
        &self,
        settings: &mut Settings,
        setting: &Setting,
        of_files: impl Iterator<Item = (&'f Path, &'f FileValue)>,
        problems: &mut Vec<Problem>,
    ) -> Option<Value> {
        let mut winner = None;
        for Candidate { origin, line, value } in self.candidates(setting, of_files, problems) {
            match store(settings, setting, self.dirs, &origin, value) {
                Ok(text) => winner = Some(Value { key: setting.key, text, origin }),
                Err(message) => {
                    let remedy = remedy(setting, &origin);
                    problems.push(Problem { line, ..Problem::new(origin, setting.key, message, remedy) });
                }
            }
        }
        winner
    }

    /// What is given for `setting`, in rising precedence.
    fn candidates<'f>(
        &self,
        setting: &Setting,
        of_files: impl Iterator<Item = (&'f Path, &'f FileValue)>,
        problems: &mut Vec<Problem>,
    ) -> Vec<Candidate> {
        let text = |text: &str| RawValue::Text(text.to_owned());
        let mut found = vec![Candidate { origin: Origin::Default, line: None, value: text(setting.default) }];
        found.extend(self.janitor.iter().filter(|value| value.key == setting.key).map(|value| Candidate {
            origin: value.origin.clone(),
            line: None,
            value: RawValue::Text(value.text.clone()),
        }));
        found.extend(of_files.filter(|(_, value)| value.setting.key == setting.key).map(|(path, value)| Candidate {
            origin: Origin::File(path.to_path_buf()),
            line: Some(value.line),
            value: value.value.clone(),
        }));
        let mut variables: Vec<String> = setting.variables().collect();
        variables.reverse();
        for variable in variables {
            let Some(value) = self.environment.get(&variable) else { continue };
            let value = value.to_str().map(text);
            let origin = Origin::Environment(variable);
            if let Some(value) = value {
                found.push(Candidate { origin, line: None, value });
            } else {
                let remedy = remedy(setting, &origin);
                problems.push(Problem::new(origin, setting.key, "the value is not UTF-8", remedy));
            }
        }
        found.extend(self.flags.iter().filter(|flag| flag.key == setting.key).map(|flag| Candidate {
            origin: Origin::Flag(flag.flag),
            line: None,
            value: flag.value.clone(),
        }));
        found
    }
}

/// Checks and stores one value; gives back how it is shown, or what is wrong with it.
fn store(
    settings: &mut Settings,
    setting: &Setting,
    dirs: &Dirs,
    origin: &Origin,
    value: RawValue,
) -> Result<String, String> {
    match (&setting.store, value) {
        (Store::Text(store) | Store::Number(store), RawValue::Text(text)) => {
            store(settings, &text).map_err(|reason| format!("{:?}: {reason}", without_secrets(&text)))?;
            Ok(text)
        }
        (Store::Retention(kind), RawValue::Text(text)) => {
            let limit = text.parse().map_err(|invalid: InvalidDuration| wrong(&text, &invalid.reason()))?;
            settings.artifacts.kinds[*kind].retention = limit;
            Ok(text)
        }
        (Store::MaxSize(kind), RawValue::Text(text)) => {
            let size = text.parse().map_err(|invalid: InvalidSize| wrong(&text, &invalid.reason()))?;
            settings.artifacts.kinds[*kind].max_size = size;
            Ok(text)
        }
        (Store::Path(store), RawValue::Text(text)) => {
            let in_file = matches!(origin, Origin::File(_));
            let path = match origin {
                Origin::File(_) => dirs.expand(&text),
                Origin::Default => dirs.default_path(&text),
                Origin::Environment(_) | Origin::Flag(_) => PathBuf::from(&text),
            };
            if text.is_empty() && setting.default.is_empty() {
                store(settings, PathBuf::new())?;
                return Ok(text);
            }
            if text.is_empty() {
                return Err("the path is empty".to_owned());
            }
            if in_file && text.contains(char::is_control) {
                // It is shown, and written into units, line by line.
                return Err(format!("{text:?} has a control character"));
            }
            if in_file && !path.is_absolute() {
                // It would mean another folder for each folder in which this is started.
                return Err(format!("{text:?} must be absolute or begin with `~/`"));
            }
            let shown = path.display().to_string();
            store(settings, path)?;
            Ok(shown)
        }
        (Store::List(store), value) => {
            let list: Vec<String> = list(value).into_iter().filter(|element| !element.is_empty()).collect();
            let shown = list.join(", ");
            store(settings, list)?;
            Ok(shown)
        }
        (Store::Arguments(store), value) => {
            let list = list(value);
            let shown = list.join(", ");
            store(settings, list)?;
            Ok(shown)
        }
        (Store::Flag(store), RawValue::Text(text)) => {
            let flag = text.parse().map_err(|_| format!("{text:?} is neither true nor false"))?;
            store(settings, flag);
            Ok(text)
        }
        (_, RawValue::List(_)) => Err("must be one value, not a list".to_owned()),
    }
}

fn wrong(text: &str, reason: &dyn std::fmt::Display) -> String {
    format!("{text:?}: {reason}")
}

/// The elements of a list; in one text they stand between commas.
fn list(value: RawValue) -> Vec<String> {
    match value {
        RawValue::List(list) => list,
        RawValue::Text(text) => {
            text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
        }
    }
}

/// A text to be shown, without what stands before the host in a URL.
fn without_secrets(text: &str) -> Cow<'_, str> {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}").into(),
        _ => text.into(),
    }
}

/// A right value in the form that the place of the wrong one needs.
fn remedy(setting: &Setting, origin: &Origin) -> String {
    match origin {
        Origin::Default | Origin::File(_) => format!("write for example `{}`", setting.example_line()),
        Origin::Environment(name) => format!("write for example `{name}={}`", setting.example),
        Origin::Flag(name) => format!("write for example `{name} {}`", setting.example),
    }
}

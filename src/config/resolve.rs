//! Flags over environment over the user's file over the machine's file over the janitor's settings over defaults.

use std::path::{Path, PathBuf};

use super::candidates::Sources;
use super::dirs::Dirs;
use super::environment::Environment;
use super::file::ConfigFile;
use super::file_value::RawValue;
use super::janitor::Janitor;
use super::origin::Origin;
use super::problem::{Problem, Problems, nearest};
use super::provider_row::apply_row;
use super::queue_roots::{QueueRoot, roots, same_folder};
use super::setting::{ProcessesSettings, QueueSettings, SETTINGS, Setting, Settings, VARIABLE_PREFIX};
use crate::providers::row::Provider;

/// The resolved configuration and where each part of it came from.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The values to work with.
    pub(crate) settings: Settings,
    /// The same as text, in the table's order.
    pub(crate) values: Vec<Value>,
    /// The origin of each of `settings.providers`; [`Origin::Default`] is an unchanged built-in row.
    pub(crate) provider_origins: Vec<Origin>,
    /// The roots of the files' `[[queues]]`, in the order of the files.
    pub(crate) queues: Vec<QueueRoot>,
    /// What is wrong with the janitor's file and variables. Only who follows the settings of processes minds.
    pub(crate) janitor_problems: Vec<Problem>,
}

/// One effective value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// For instance `map.idle`.
    pub(crate) key: &'static str,
    /// As it was written; paths expanded.
    pub(crate) text: String,
    /// The winner.
    pub(crate) origin: Origin,
}

/// A value from a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Override {
    /// The setting's key.
    pub(crate) key: &'static str,
    /// What the user wrote.
    pub(crate) value: RawValue,
    /// The flag's name, for instance `--idle`.
    pub(crate) flag: &'static str,
}

impl Override {
    /// A flag with one value.
    pub(crate) fn text(key: &'static str, text: impl Into<String>, flag: &'static str) -> Self {
        Self { key, value: RawValue::Text(text.into()), flag }
    }

    /// A flag that was given any number of times.
    pub(crate) const fn list(key: &'static str, list: Vec<String>, flag: &'static str) -> Self {
        Self { key, value: RawValue::List(list), flag }
    }
}

/// Resolves all settings. `named` (`--config FILE`) is read instead of the user's and the machine's file and must be
/// there.
///
/// # Errors
/// Every problem in every file, variable and flag, whether or not something else wins over it.
pub(crate) fn load(
    dirs: &Dirs,
    environment: &Environment,
    named: Option<&Path>,
    flags: &[Override],
    built_in: Vec<Provider>,
) -> Result<Config, Problems> {
    let (config, problems, _) = gather(dirs, environment, named, flags, built_in);
    Problems::none_or(problems, config)
}

/// Looks for everything that is wrong, misspelt variables included. The files are those that were looked for, each with
/// whether it is there.
pub(crate) fn check(
    dirs: &Dirs,
    environment: &Environment,
    named: Option<&Path>,
    built_in: Vec<Provider>,
) -> (Vec<(PathBuf, bool)>, Vec<Problem>) {
    let (config, mut problems, files) = gather(dirs, environment, named, &[], built_in);
    problems.extend(config.janitor_problems);
    problems.extend(misspelt_variables(environment));
    (files, problems)
}

/// All of it; the configuration is only right when there are no problems.
fn gather(
    dirs: &Dirs,
    environment: &Environment,
    named: Option<&Path>,
    flags: &[Override],
    built_in: Vec<Provider>,
) -> (Config, Vec<Problem>, Vec<(PathBuf, bool)>) {
    let files = match named {
        Some(path) => vec![ConfigFile::read(path, true)],
        None => vec![ConfigFile::read(&dirs.system_config, false), ConfigFile::read(&dirs.user_config, false)],
    };
    resolve(files, Janitor::read(dirs, environment), dirs, environment, flags, built_in)
}

/// What these files, variables and flags come to.
fn resolve(
    mut files: Vec<ConfigFile>,
    janitor: Janitor,
    dirs: &Dirs,
    environment: &Environment,
    flags: &[Override],
    built_in: Vec<Provider>,
) -> (Config, Vec<Problem>, Vec<(PathBuf, bool)>) {
    let looked_for = files.iter().map(|file| (file.path.clone(), file.present)).chain(janitor.file.clone()).collect();
    let mut problems: Vec<Problem> = files.iter_mut().flat_map(|file| std::mem::take(&mut file.problems)).collect();
    let provider_origins = vec![Origin::Default; built_in.len()];
    let mut config = Config {
        settings: Settings::unset(built_in),
        values: Vec::new(),
        provider_origins,
        queues: Vec::new(),
        janitor_problems: janitor.problems,
    };
    config.settings.processes.registry = janitor.registry;
    for file in &files {
        config.apply_rows(file, &mut problems);
    }
    let sources = Sources { dirs, environment, janitor: &janitor.values, flags };
    let of_files: Vec<_> =
        files.iter().flat_map(|file| file.values.iter().map(|value| (file.path.as_path(), value))).collect();
    for setting in SETTINGS.iter() {
        let value = sources.store(&mut config.settings, setting, of_files.iter().copied(), &mut problems);
        config.values.extend(value);
    }
    config.queues = roots(&files, sources, &mut problems);
    problems.extend(config.refused_bridge());
    for flag in flags.iter().filter(|flag| Setting::find(flag.key).is_none()) {
        let message = "there is no setting of this name";
        problems.push(Problem::new(Origin::Flag(flag.flag), flag.key, message, "leave the flag out"));
    }
    (config, problems, looked_for)
}

impl Config {
    /// Whether anybody set the value of `key`, for instance `map.dir`.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.values.iter().any(|value| value.key == key && value.origin != Origin::Default)
    }

    /// The settings of processes, for everything that may end one.
    ///
    /// # Errors
    /// What is wrong with the janitor's file and variables: what they were meant to say may be the stricter rule.
    pub(crate) fn processes(&self) -> Result<&ProcessesSettings, Problems> {
        Problems::none_or(self.janitor_problems.clone(), &self.settings.processes)
    }

    /// The settings of the queues below `root`: those of its row, else what holds for a root that no file names.
    pub(crate) fn queue_settings(&self, root: &Path) -> &QueueSettings {
        let row = self.queues.iter().find(|row| same_folder(&row.root, root));
        row.map_or(&self.settings.queues, |row| &row.settings)
    }

    /// What this environment sets of what a run does: key, value and variable.
    pub(crate) fn values_of_environment(&self) -> Vec<(String, String, String)> {
        let values = self.values.iter().filter(|value| !value.key.starts_with("output."));
        let of_variable = |value: &Value| match &value.origin {
            Origin::Environment(name) => Some((value.key.to_owned(), value.text.clone(), name.clone())),
            _ => None,
        };
        values.filter_map(of_variable).collect()
    }

    /// A bridge on another machine, unless that was allowed: the map and the transcripts are of this one.
    fn refused_bridge(&self) -> Option<Problem> {
        let bridge = &self.settings.bridge;
        let url = bridge.url.as_ref().filter(|url| !url.is_loopback() && !bridge.allow_remote)?;
        let value = self.values.iter().find(|value| value.key == "bridge.url")?;
        let message = format!("{url} is not on this machine");
        let remedy = "name a loopback address such as http://127.0.0.1:8000, or set bridge.allow_remote to true";
        Some(Problem::new(value.origin.clone(), "bridge.url", message, remedy))
    }

    fn apply_rows(&mut self, file: &ConfigFile, problems: &mut Vec<Problem>) {
        let providers = &mut self.settings.providers;
        for row in &file.rows {
            let position = providers.iter().position(|provider| provider.name == row.name);
            match apply_row(row, &file.path, position.map(|position| &providers[position])) {
                Err(problem) => problems.push(problem),
                Ok(provider) => {
                    let origin = Origin::File(file.path.clone());
                    if let Some(position) = position {
                        providers[position] = provider;
                        self.provider_origins[position] = origin;
                    } else {
                        providers.push(provider);
                        self.provider_origins.push(origin);
                    }
                }
            }
        }
    }
}

/// What would be wrong if the file at `path` had this text.
pub(super) fn objections(dirs: &Dirs, path: &Path, text: &str, built_in: Vec<Provider>) -> Vec<Problem> {
    let mut files = vec![ConfigFile::of_text(path, text)];
    if path == dirs.user_config {
        files.insert(0, ConfigFile::read(&dirs.system_config, false));
    }
    resolve(files, Janitor::default(), dirs, &Environment::default(), &[], built_in).1
}

/// Variables that look like ours and are not. Only `config check` minds: a wrapper may keep variables of its own there.
fn misspelt_variables(environment: &Environment) -> Vec<Problem> {
    let known: Vec<String> = SETTINGS.iter().flat_map(Setting::variables).collect();
    let mut sections: Vec<&str> = SETTINGS.iter().map(Setting::section).collect();
    sections.dedup();
    sections
        .into_iter()
        .flat_map(|section| {
            environment.names(&format!("{VARIABLE_PREFIX}{}_", section.to_ascii_uppercase())).collect::<Vec<_>>()
        })
        .filter(|name| !known.iter().any(|known| known == name))
        .map(|name| {
            let remedy = match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known are {}", known.join(", ")),
            };
            Problem::new(Origin::Environment(name.to_owned()), "", "unknown variable", remedy)
        })
        .collect()
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;

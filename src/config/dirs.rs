//! The folders that belong to the user and to this program.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::origin::Origin;
use super::problem::{Problem, Problems};
use crate::providers::row::Home;

/// Name of our folder below each XDG base folder.
const FOLDER: &str = "session-sweep";

/// Where things are on this machine, for this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dirs {
    /// The user's home.
    pub(crate) home: PathBuf,
    /// The user's configuration file, there or not.
    pub(crate) user_config: PathBuf,
    /// The machine's configuration file, there or not.
    pub(crate) system_config: PathBuf,
    /// Our own state: what was missing when, and the like.
    pub(crate) state: PathBuf,
}

impl Dirs {
    /// Takes the folders from `HOME`, `XDG_CONFIG_HOME` and `XDG_STATE_HOME`.
    ///
    /// # Errors
    /// `HOME` is unset or relative. The password database is not asked: a service that runs with another user's home
    /// would tidy the wrong files.
    pub(crate) fn find(environment: &Environment) -> Result<Self, Problems> {
        let Some(home) = environment.absolute("HOME") else {
            let message = match environment.get("HOME") {
                None => "it is not set, so the folders of the CLIs cannot be found".to_owned(),
                Some(relative) => format!("{:?} is not an absolute path", relative.to_string_lossy()),
            };
            let remedy = "set HOME to the home of the user whose sessions are meant, for example HOME=/home/alice (in a \
                          systemd unit: Environment=HOME=/home/alice)";
            return Err(Problem::new(Origin::Environment("HOME".to_owned()), "", message, remedy).into());
        };
        let base =
            |variable, default| environment.absolute(variable).unwrap_or_else(|| home.join(default)).join(FOLDER);
        Ok(Self {
            user_config: base("XDG_CONFIG_HOME", ".config").join("config.toml"),
            system_config: Path::new("/etc").join(FOLDER).join("config.toml"),
            state: base("XDG_STATE_HOME", ".local/state"),
            home,
        })
    }

    /// The configuration files that are read, the one that wins last: `named` instead of the usual ones.
    pub(crate) fn config_files<'d>(&'d self, named: Option<&'d Path>) -> Vec<&'d Path> {
        named.map_or_else(|| vec![self.system_config.as_path(), self.user_config.as_path()], |named| vec![named])
    }

    /// `~` and `~/x` as a path below the home; every other text as it is.
    pub(crate) fn expand(&self, text: &str) -> PathBuf {
        match text.strip_prefix('~') {
            Some("") => self.home.clone(),
            Some(below) if below.starts_with('/') => self.home.join(below.trim_start_matches('/')),
            _ => PathBuf::from(text),
        }
    }

    /// A default below our own state folder, which is written as `$XDG_STATE_HOME/session-sweep/…`.
    pub(super) fn default_path(&self, text: &str) -> PathBuf {
        match text.strip_prefix("$XDG_STATE_HOME/session-sweep/") {
            Some(below) => self.state.join(below),
            None => PathBuf::from(text),
        }
    }

    /// A path for people: with `~` for the home.
    pub(crate) fn shorten(&self, path: &Path) -> String {
        match path.strip_prefix(&self.home) {
            Ok(below) => Path::new("~").join(below).display().to_string(),
            Err(_) => path.display().to_string(),
        }
    }

    /// A provider's home: the first of its variables that is set, else its default below the user's home.
    pub(crate) fn provider_home(&self, home: &Home, environment: &Environment) -> PathBuf {
        home.variables
            .iter()
            .find_map(|(variable, suffix)| {
                let value = Path::new(environment.get(variable)?);
                Some(if suffix.is_empty() { value.to_path_buf() } else { value.join(suffix) })
            })
            // Component by component, which drops a `.` (a provider whose home is the user's home).
            .unwrap_or_else(|| self.home.join(&home.default).components().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(variables: &[(&str, &str)]) -> Dirs {
        Dirs::find(&variables.iter().copied().collect()).unwrap()
    }

    #[test]
    fn folders_follow_the_xdg_variables() {
        let plain = dirs(&[("HOME", "/h")]);
        assert_eq!(plain.user_config, Path::new("/h/.config/session-sweep/config.toml"));
        assert_eq!(plain.system_config, Path::new("/etc/session-sweep/config.toml"));
        assert_eq!(plain.state, Path::new("/h/.local/state/session-sweep"));
        let moved = dirs(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c"), ("XDG_STATE_HOME", "/s")]);
        assert_eq!(moved.user_config, Path::new("/c/session-sweep/config.toml"));
        assert_eq!(moved.state, Path::new("/s/session-sweep"));
    }

    #[test]
    fn relative_and_empty_xdg_values_are_ignored() {
        let plain = dirs(&[("HOME", "/h")]);
        assert_eq!(dirs(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "c"), ("XDG_STATE_HOME", "./s")]), plain);
        assert_eq!(dirs(&[("HOME", "/h"), ("XDG_CONFIG_HOME", ""), ("XDG_STATE_HOME", "")]), plain);
    }

    #[test]
    fn a_missing_home_is_an_error_that_says_what_to_set() {
        for variables in [&[][..], &[("HOME", "")], &[("HOME", "relative")]] {
            let problems = Dirs::find(&variables.iter().copied().collect()).unwrap_err();
            assert!(problems.to_string().contains("set HOME to the home of"), "{problems}");
            assert!(!problems.to_string().contains("HOME: HOME"), "{problems}");
        }
    }

    #[test]
    fn a_tilde_stands_for_the_home_at_the_beginning_only() {
        let dirs = dirs(&[("HOME", "/h")]);
        for (text, path) in [("~", "/h"), ("~/x", "/h/x"), ("~//x", "/h/x"), ("/a/~/b", "/a/~/b"), ("~bob/x", "~bob/x")]
        {
            assert_eq!(dirs.expand(text), Path::new(path));
        }
    }

    #[test]
    fn a_providers_home_is_the_first_variable_that_is_set() {
        let variables = vec![("A".to_owned(), String::new()), ("B".to_owned(), ".gemini".to_owned())];
        let home = Home { variables, default: PathBuf::from(".gemini") };
        let find = |set: &[(&str, &str)]| dirs(&[("HOME", "/h")]).provider_home(&home, &set.iter().copied().collect());
        assert_eq!(find(&[]), Path::new("/h/.gemini"));
        assert_eq!(find(&[("A", ""), ("B", "/b")]), Path::new("/b/.gemini"));
        assert_eq!(find(&[("A", "/a"), ("B", "/b")]).as_os_str(), "/a");
    }
}

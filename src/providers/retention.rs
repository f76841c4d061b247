//! Whether Gemini CLI's own cleanup is off in the settings that apply.
//!
//! While `general.sessionRetention.enabled` is true, which it is by default, the start after a resumed run deletes the
//! resumed session (0.52 to 0.61, see [`super::row::Hazard::GeminiRetention`]). Read in the bundle of 0.61.0
//! (`_doLoadSettings`, `mergeSettings`): later files win, in the order below; the workspace's file counts only where the
//! workspace is trusted, the two of the system only where root owns them and nobody else can write to them or to a folder
//! above; files are JSON with comments, without trailing commas; a file that is no JSON object ends the start.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::transcript::open_regular;

/// No settings file is longer; what is cut off is no JSON, and so says nothing.
const LONGEST_SETTINGS: u64 = 1 << 20;
const SYSTEM_SETTINGS: &str = "/etc/gemini-cli/settings.json";

/// Whether Gemini CLI would clean up its sessions by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Retention {
    /// It would not: every way in which the settings can apply says so.
    Disabled,
    /// It would.
    Enabled {
        /// The file that says so; `None` when no file says anything and the default applies.
        by: Option<PathBuf>,
    },
    /// It depends on something that cannot be seen from here, or a file cannot be read.
    Unknown(String),
}

/// Reads the settings that apply to sessions of `project`; without one, those that apply where a project has none of its
/// own. `home` is the folder `.gemini`; `variable` is the environment.
pub(crate) fn gemini_retention(
    home: &Path,
    project: Option<&Path>,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Retention {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let system = set("GEMINI_CLI_SYSTEM_SETTINGS_PATH").unwrap_or_else(|| SYSTEM_SETTINGS.into());
    let defaults =
        set("GEMINI_CLI_SYSTEM_DEFAULTS_PATH").unwrap_or_else(|| system.with_file_name("system-defaults.json"));
    let user = home.join("settings.json");
    let mut layers = vec![(defaults.clone(), is_roots_alone(&defaults)), (user, true)];
    if let Some(project) = project {
        let settings = project.join(".gemini");
        // In the user's home the workspace's file is the user's.
        if !same_folder(&settings, home) {
            layers.push((settings.join("settings.json"), false));
        }
    }
    layers.push((system.clone(), is_roots_alone(&system)));
    combine(layers.into_iter().map(|(path, applies)| {
        let says = enabled_in(&path);
        Layer { path, applies, says }
    }))
}

/// One settings file.
struct Layer {
    path: PathBuf,
    /// Whether it surely applies; else it may.
    applies: bool,
    /// What it says of `enabled`, if anything.
    says: Result<Option<bool>, String>,
}

/// Plays through the layers, those that may apply both ways.
fn combine(layers: impl IntoIterator<Item = Layer>) -> Retention {
    let mut enabled_by = Some(None);
    let mut disabled_by = None;
    for Layer { path, applies, says } in layers {
        let says = match says {
            Ok(None) => continue,
            Ok(Some(says)) => says,
            Err(reason) => return Retention::Unknown(reason),
        };
        if says {
            if applies {
                (enabled_by, disabled_by) = (Some(Some(path)), None);
            } else if disabled_by.is_some() {
                enabled_by = Some(Some(path));
            }
        } else if applies {
            (enabled_by, disabled_by) = (None, Some(path));
        } else if enabled_by.is_some() {
            disabled_by = Some(path);
        }
    }
    match (enabled_by, disabled_by) {
        (None, Some(_)) => Retention::Disabled,
        (Some(Some(on)), Some(off)) => Retention::Unknown(format!(
            "{} and {} disagree about general.sessionRetention.enabled, and which of them applies depends on whether the \
             file is trusted",
            on.display(),
            off.display()
        )),
        (_, Some(off)) => Retention::Unknown(format!(
            "only {} turns general.sessionRetention off, and it applies only where Gemini CLI trusts it",
            off.display()
        )),
        (by, None) => Retention::Enabled { by: by.flatten() },
    }
}

/// What one file says; nothing when it is not there.
fn enabled_in(path: &Path) -> Result<Option<bool>, String> {
    let Some(settings) = settings_in(path)? else { return Ok(None) };
    let mut value = &settings;
    for key in ["general", "sessionRetention", "enabled"] {
        match value.get(key) {
            Some(next) => value = next,
            None if value.is_object() => return Ok(None),
            None => return Err(format!("{}: what holds `{key}` is no object", path.display())),
        }
    }
    let unclear = || format!("{}: general.sessionRetention.enabled is neither true nor false", path.display());
    value.as_bool().map(Some).ok_or_else(unclear)
}

/// The object in a CLI's settings file; nothing when it is not there.
pub(super) fn settings_in(path: &Path) -> Result<Option<Value>, String> {
    let unreadable = |error: std::io::Error| format!("{}: {error}", path.display());
    // The project chooses what is at this path: it may be a pipe, or have no end.
    let file = match open_regular(path) {
        Ok((file, _)) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mut text = String::new();
    file.take(LONGEST_SETTINGS).read_to_string(&mut text).map_err(unreadable)?;
    let no_object = || format!("{} is no JSON object", path.display());
    let settings: Value =
        serde_json::from_str(&without_comments(&text)).map_err(|e| format!("{}: {e}", no_object()))?;
    if settings.is_object() { Ok(Some(settings)) } else { Err(no_object()) }
}

/// Replaces comments (`//` and `/* */`, outside of strings) by blanks, as the package strip-json-comments does.
fn without_comments(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(['"', '/']) {
        output.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = if rest.starts_with('"') {
            let end = end_of_string(rest);
            output.push_str(&rest[..end]);
            end
        } else if rest.starts_with("//") {
            rest.find(['\n', '\r']).unwrap_or(rest.len())
        } else if let Some(comment) = rest.strip_prefix("/*") {
            output.push(' ');
            comment.find("*/").map_or(rest.len(), |end| "/*".len() + end + "*/".len())
        } else {
            output.push('/');
            1
        };
        rest = &rest[end..];
    }
    output + rest
}

/// Where the string that `text` starts with ends.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether a file and all folders above it belong to root and nobody else can write to them.
fn is_roots_alone(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    path.ancestors()
        .all(|at| std::fs::metadata(at).is_ok_and(|metadata| metadata.uid() == 0 && metadata.mode() & 0o022 == 0))
}

fn same_folder(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFF: &str = "{\"general\": {\"sessionRetention\": {\"enabled\": false}}}";
    const ON: &str = "{\"general\": {\"sessionRetention\": {\"enabled\": true, \"maxAge\": \"30d\"}}}";

    struct World(tempfile::TempDir);

    impl World {
        fn new(files: &[(&str, &str)]) -> Self {
            let world = Self(tempfile::tempdir().unwrap());
            for (path, content) in files {
                let path = world.0.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), content.as_bytes()).unwrap();
            }
            world
        }

        fn path(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        /// The system's files are in a folder that others can reach, so they may or may not apply.
        fn look(&self) -> Retention {
            self.look_at(Some(&self.path("project")))
        }

        fn look_at(&self, project: Option<&Path>) -> Retention {
            let variable = |name: &str| {
                (name == "GEMINI_CLI_SYSTEM_SETTINGS_PATH").then(|| self.path("etc/settings.json").into_os_string())
            };
            gemini_retention(&self.path("home/.gemini"), project, &variable)
        }
    }

    const USER: &str = "home/.gemini/settings.json";
    const PROJECT: &str = "project/.gemini/settings.json";

    #[test]
    fn cleanup_is_on_unless_the_user_turned_it_off() {
        assert_eq!(World::new(&[]).look(), Retention::Enabled { by: None });
        assert_eq!(World::new(&[(USER, OFF)]).look(), Retention::Disabled);
        assert_eq!(World::new(&[(USER, OFF)]).look_at(None), Retention::Disabled);
        assert_eq!(World::new(&[(USER, OFF), (PROJECT, OFF), ("etc/settings.json", OFF)]).look(), Retention::Disabled);
        let world = World::new(&[(USER, ON)]);
        assert_eq!(world.look(), Retention::Enabled { by: Some(world.path(USER)) });
        let world = World::new(&[(USER, "{\"general\": {\"sessionRetention\": {}}, \"ui\": {\"enabled\": false}}")]);
        assert_eq!(world.look(), Retention::Enabled { by: None });
    }

    #[test]
    fn a_file_that_may_not_apply_settles_nothing() {
        for files in [
            &[(PROJECT, OFF)][..],
            &[(USER, ON), (PROJECT, OFF)],
            &[(USER, OFF), (PROJECT, ON)],
            &[("etc/settings.json", OFF)],
            &[("etc/system-defaults.json", OFF)],
            &[(USER, OFF), ("etc/settings.json", ON)],
        ] {
            assert!(matches!(World::new(files).look(), Retention::Unknown(_)), "{files:?}");
        }
        // Whether the defaults apply or not, the user's file comes after them.
        assert_eq!(World::new(&[("etc/system-defaults.json", ON), (USER, OFF)]).look(), Retention::Disabled);
    }

    #[test]
    fn a_file_that_surely_applies_overrides_all_before_it() {
        let layer = |path: &str, applies, says| Layer { path: path.into(), applies, says: Ok(Some(says)) };
        let on = |path: &str| Retention::Enabled { by: Some(path.into()) };
        assert_eq!(combine([layer("user", true, false), layer("system", true, true)]), on("system"));
        assert_eq!(combine([layer("project", false, true), layer("system", true, false)]), Retention::Disabled);
        assert_eq!(combine([layer("project", false, false), layer("system", true, true)]), on("system"));
    }

    #[test]
    fn in_the_users_home_there_is_no_second_file() {
        let world = World::new(&[(USER, OFF)]);
        assert_eq!(world.look_at(Some(&world.path("home"))), Retention::Disabled);
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_unknown() {
        for content in [
            "",
            "[]",
            "{\"general\": {\"sessionRetention\": {\"enabled\": false,}}}",
            "{\"general\": {\"sessionRetention\": {\"enabled\": \"false\"}}}",
            "{\"general\": {\"sessionRetention\": false}}",
            "{\"general\": {\"sessionRetention\": {\"enabled\": false}}",
        ] {
            assert!(matches!(World::new(&[(USER, content)]).look(), Retention::Unknown(_)), "{content}");
        }
    }

    #[test]
    fn comments_are_no_settings_and_strings_no_comments() {
        for (text, expected) in [
            ("{} // end", "{} "),
            ("{ // \"a\": 1\n\"b\": 2 }", "{ \n\"b\": 2 }"),
            ("/* \" */{\"a\":/**/1}", " {\"a\": 1}"),
            ("{\"url\": \"http://x/*y*/\"}", "{\"url\": \"http://x/*y*/\"}"),
            ("{\"a\\\\\": \"\\\"//\"} //\r\n", "{\"a\\\\\": \"\\\"//\"} \r\n"),
            ("/* open", " "),
            ("\"open // ü", "\"open // ü"),
            ("1 / 2", "1 / 2"),
        ] {
            assert_eq!(without_comments(text), expected, "{text}");
        }
        let commented = "{ // the user's choice: {\"enabled\": true}\n\"general\": {\"sessionRetention\": {/* \"enabled\": \
                         true, */ \"enabled\": false}}}";
        assert_eq!(World::new(&[(USER, commented)]).look(), Retention::Disabled);
    }

    #[test]
    fn only_roots_own_files_are_sure_to_apply() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(!is_roots_alone(file.path()), "anybody can write to the folder above");
        assert!(!is_roots_alone(Path::new("/nonexistent")));
        let root = std::fs::metadata("/").unwrap();
        assert_eq!(is_roots_alone(Path::new("/proc/version")), root.uid() == 0 && root.mode() & 0o022 == 0);
    }
}

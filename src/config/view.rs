//! What `config show` and `config check` have to say, as data.

use std::path::PathBuf;

use serde::Serialize;

use super::dirs::Dirs;
use super::environment::Environment;
use super::origin::Origin;
use super::problem::Problem;
use super::resolve::{Config, Value};
use super::setting::Setting;

/// The document of `config show`.
#[derive(Debug, Serialize)]
pub(crate) struct ConfigView {
    /// Version of this document's form.
    pub(crate) schema: u32,
    /// Always `config show`.
    pub(crate) command: &'static str,
    /// Every setting, in the table's order.
    pub(crate) settings: Vec<SettingView>,
    /// Every provider.
    pub(crate) providers: Vec<ProviderView>,
    /// Every root of `[[queues]]`, in the order of the files.
    pub(crate) queues: Vec<QueueView>,
}

/// One effective setting.
#[derive(Debug, Serialize)]
pub(crate) struct SettingView {
    /// For instance `map.idle`.
    pub(crate) key: &'static str,
    /// The value as text.
    pub(crate) value: String,
    /// Where it came from.
    pub(crate) origin: String,
    /// What it is for; for people only.
    #[serde(skip)]
    pub(crate) doc: &'static str,
}

/// One provider.
#[derive(Debug, Serialize)]
pub(crate) struct ProviderView {
    /// Its short name.
    pub(crate) name: String,
    /// Its home, as it is with the present environment.
    pub(crate) home: PathText,
    /// `built-in`, or the file whose row made or changed it.
    pub(crate) origin: String,
}

/// The root of an installation.
#[derive(Debug, Serialize)]
pub(crate) struct QueueView {
    /// The folder.
    pub(crate) root: PathText,
    /// The file that names it.
    pub(crate) origin: String,
    /// What is otherwise for this root than for one that no file names.
    pub(crate) settings: Vec<SettingView>,
}

/// A path that becomes text even when it is not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PathText(pub(crate) PathBuf);

/// The document of `config check`.
#[derive(Debug, Serialize)]
pub(crate) struct CheckView {
    /// Version of this document's form.
    pub(crate) schema: u32,
    /// Always `config check`.
    pub(crate) command: &'static str,
    /// The files that were looked for.
    pub(crate) files: Vec<FileView>,
    /// Everything that is wrong.
    pub(crate) problems: Vec<Problem>,
}

/// The document of `config set`.
#[derive(Debug, Serialize)]
pub(crate) struct SetView {
    /// Version of this document's form.
    pub(crate) schema: u32,
    /// Always `config set`.
    pub(crate) command: &'static str,
    /// The file.
    pub(crate) file: PathText,
    /// For instance `map.idle`.
    pub(crate) key: String,
    /// Whether the file said something else, or nothing, before.
    pub(crate) changed: bool,
}

/// One configuration file.
#[derive(Debug, Serialize)]
pub(crate) struct FileView {
    /// Where it is or would be.
    pub(crate) path: PathText,
    /// Whether it is there.
    pub(crate) present: bool,
}

impl ConfigView {
    /// Shows `config`.
    pub(crate) fn new(config: &Config, dirs: &Dirs, environment: &Environment) -> Self {
        let providers =
            config.settings.providers.iter().zip(&config.provider_origins).map(|(provider, origin)| ProviderView {
                name: provider.name.clone(),
                home: PathText(dirs.provider_home(&provider.home, environment)),
                origin: if *origin == Origin::Default { "built-in".to_owned() } else { origin.to_string() },
            });
        let is_own = |value: &&Value| !config.values.contains(value);
        let queues = config.queues.iter().map(|row| QueueView {
            root: PathText(row.root.clone()),
            origin: row.origin.to_string(),
            settings: row.values.iter().filter(is_own).map(SettingView::new).collect(),
        });
        Self {
            schema: 1,
            command: "config show",
            settings: config.values.iter().map(SettingView::new).collect(),
            providers: providers.collect(),
            queues: queues.collect(),
        }
    }
}

impl SettingView {
    fn new(value: &Value) -> Self {
        Self {
            key: value.key,
            value: value.text.clone(),
            origin: value.origin.to_string(),
            doc: Setting::find(value.key).map_or("", |setting| setting.doc),
        }
    }
}

impl CheckView {
    /// Shows what [`super::check`] found.
    pub(crate) fn new((files, problems): (Vec<(PathBuf, bool)>, Vec<Problem>)) -> Self {
        let files = files.into_iter().map(|(path, present)| FileView { path: PathText(path), present }).collect();
        Self { schema: 1, command: "config check", files, problems }
    }
}

impl Serialize for PathText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolve::{check, load};

    fn world() -> (tempfile::TempDir, Dirs, Environment) {
        let folder = tempfile::tempdir().unwrap();
        let environment =
            Environment::from_iter([("HOME", "/h"), ("X_HOME", "/moved"), ("SESSION_SWEEP_MAP_IDLE", "3h")]);
        let mut dirs = Dirs::find(&environment).unwrap();
        dirs.user_config = folder.path().join("config.toml");
        dirs.system_config = folder.path().join("system.toml");
        (folder, dirs, environment)
    }

    #[test]
    fn show_names_every_value_with_its_origin() {
        let (_folder, dirs, environment) = world();
        let text = "[[provider]]\nname = \"x\"\nhome = \"~/.x\"\nhome_env = [\"X_HOME\"]\ntranscripts = [\"{id}\"]\n";
        let row = &crate::config::file::ConfigFile::of_text(&dirs.user_config, text).rows[0];
        let built_in = crate::config::provider_row::apply_row(row, &dirs.user_config, None).unwrap();
        let config = load(&dirs, &environment, None, &[], vec![built_in]).unwrap();
        let view = ConfigView::new(&config, &dirs, &environment);
        assert!(view.settings.iter().all(|setting| !setting.doc.is_empty()));
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!((&json["schema"], &json["command"]), (&1.into(), &"config show".into()));
        let idle =
            serde_json::json!({"key": "map.idle", "value": "3h", "origin": "environment SESSION_SWEEP_MAP_IDLE"});
        assert_eq!(json["settings"][1], idle);
        assert_eq!(json["providers"][0], serde_json::json!({"name": "x", "home": "/moved", "origin": "built-in"}));
    }

    #[test]
    fn check_is_a_document_too() {
        let (_folder, dirs, _) = world();
        let environment = Environment::from_iter([("SESSION_SWEEP_MAP_IDLE", "soon")]);
        let json = serde_json::to_value(CheckView::new(check(&dirs, &environment, None, Vec::new()))).unwrap();
        assert_eq!((&json["command"], &json["files"][1]["present"]), (&"config check".into(), &false.into()));
        assert_eq!(json["problems"][0]["origin"], "environment SESSION_SWEEP_MAP_IDLE");
        assert_eq!(json["problems"][0]["key"], "map.idle");
    }
}

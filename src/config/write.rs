//! Changes one setting in a configuration file and leaves every other byte as it is.

use std::path::{Path, PathBuf};

use anyhow::Result;
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, value};

use super::dirs::Dirs;
use super::file::{ConfigFile, text_of};
use super::origin::Origin;
use super::problem::{Problem, Problems, nearest};
use super::resolve::objections;
use super::setting::{SETTINGS, Setting, Store};
use crate::filesystem::{Decision, make_folder, update};
use crate::providers::builtin;

/// More than any such file has.
const LARGEST: u64 = 1024 * 1024;

/// Sets `key` to `values` (one, but for lists) in the user's file, or in the one that was `named`, which is made when it
/// is not there. Yields the file and whether it had to be changed.
///
/// # Errors
/// There is no such setting, the value is not understood, the file was wrong before, or cannot be written.
pub(crate) fn set(dirs: &Dirs, named: Option<&Path>, key: &str, values: &[String]) -> Result<(PathBuf, bool)> {
    let path = named.unwrap_or(&dirs.user_config);
    let problem = |(message, remedy)| Problem::new(Origin::File(path.to_owned()), "", message, remedy);
    let changed = update(path, LARGEST, 0o600, |bytes| {
        let old = text_of(path).map_err(|wrong| Problems::from(problem(wrong)))?.unwrap_or_default();
        if bytes.unwrap_or_default() != old.as_bytes() {
            return Ok(Decision::Senseless(anyhow::anyhow!("{} changes while it is read; try again", path.display())));
        }
        let new = with_setting(path, &old, dirs, key, values)?;
        if bytes.is_none() && new.is_some() {
            make_folder(path.parent().unwrap_or(Path::new(".")))?;
        }
        Ok(new.map_or(Decision::Keep, |new| Decision::Write(new.into_bytes())))
    })?;
    Ok((path.to_owned(), changed))
}

/// The text with the setting changed; nothing when it says so already.
fn with_setting(
    path: &Path,
    text: &str,
    dirs: &Dirs,
    key: &str,
    values: &[String],
) -> Result<Option<String>, Problems> {
    let refused = |message: String, remedy: &str| Problem::new(Origin::File(path.to_owned()), key, message, remedy);
    if key == "queues.root" {
        let remedy = "write `root = \"/srv/nanoclaw\"` below a `[[queues]]` of its own into the file";
        return Err(refused("there can be several, so `config set` does not change them".to_owned(), remedy).into());
    }
    let Some(setting) = Setting::find(key) else {
        let known = || SETTINGS.iter().map(|setting| setting.key);
        let remedy = match nearest(key, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", known().collect::<Vec<_>>().join(", ")),
        };
        let key = key.escape_debug().to_string();
        return Err(Problem::new(Origin::File(path.to_owned()), key, "there is no such setting", remedy).into());
    };
    if setting.is_of_row() {
        let (line, heading) = (setting.example_line(), setting.heading());
        let remedy = format!("write it into the file, for example `{line}` below the `{heading}` of its root");
        return Err(refused("every root has its own, so `config set` does not change it".to_owned(), &remedy).into());
    }
    // What is wrong already would be blamed on this change.
    Problems::none_or(ConfigFile::of_text(path, text).problems, ())?;
    let new = match (&setting.store, values) {
        (Store::List(_) | Store::Arguments(_), list) => {
            value(list.iter().filter(|element| !element.is_empty()).collect::<Array>())
        }
        (Store::Flag(_), [flag]) => value(
            flag.parse::<bool>()
                .map_err(|_| refused(format!("{flag:?} is neither true nor false"), "write true or false"))?,
        ),
        (_, [text]) => value(text),
        _ => return Err(refused("takes one value".to_owned(), "give one").into()),
    };
    let syntax = |error: toml_edit::TomlError| refused(error.to_string(), "correct the file first");
    let mut document: DocumentMut = text.parse().map_err(syntax)?;
    if !document.contains_key(setting.section()) {
        // Below what stands at the end, with an empty line between.
        let mut table = Table::new();
        let end = document.trailing().as_str().unwrap_or_default().to_owned();
        table.decor_mut().set_prefix(if text.is_empty() { end } else { format!("{end}\n") });
        document.set_trailing("");
        document.insert(setting.section(), Item::Table(table));
    }
    let Some(section) = document.get_mut(setting.section()).and_then(Item::as_table_like_mut) else {
        return Err(refused("its section is no table".to_owned(), "correct the file first").into());
    };
    let Some(table) = table_in(section, setting) else {
        return Err(refused("its table is none".to_owned(), "correct the file first").into());
    };
    match (table.get_mut(setting.name()), new) {
        // In the old one's place, with the comment that stands behind it.
        (Some(Item::Value(old)), Item::Value(mut new)) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        (_, new) => drop(table.insert(setting.name(), new)),
    }
    let mut changed = document.to_string();
    if text.contains("\r\n") && text.matches('\n').count() == text.matches("\r\n").count() {
        // The library writes every line end as one character.
        changed = changed.replace('\n', "\r\n");
    }
    Problems::none_or(objections(dirs, path, &changed, builtin::rows()), ())?;
    Ok((changed != text).then_some(changed))
}

/// The table below the section that holds a setting, made where it is not there.
fn table_in<'t>(section: &'t mut dyn TableLike, setting: &Setting) -> Option<&'t mut dyn TableLike> {
    let mut table = section;
    let below = setting.table().strip_prefix(setting.section()).unwrap_or_default();
    for name in below.split('.').filter(|name| !name.is_empty()) {
        table = table.entry(name).or_insert(Item::Table(Table::new())).as_table_like_mut()?;
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn dirs() -> Dirs {
        Dirs::find(&Environment::from_iter([("HOME", "/h")])).unwrap()
    }

    fn changed(text: &str, key: &str, values: &[&str]) -> Result<Option<String>, String> {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        with_setting(Path::new("/c.toml"), text, &dirs(), key, &values).map_err(|problems| problems.to_string())
    }

    #[test]
    fn one_value_changes_and_nothing_else() {
        let text = "# mine\n[map]\nidle   = '3h' # long\n\n[[provider]]\nname = \"claude\"\nhome = \"~/c\"\n";
        let idle = changed(text, "map.idle", &["12h"]).unwrap().unwrap();
        assert_eq!(idle, text.replace("'3h'", "\"12h\""));
        assert_eq!(changed(&idle, "map.idle", &["12h"]).unwrap(), None);
        let new = changed(text, "map.dir", &["/a \"b\""]).unwrap().unwrap();
        assert_eq!(new, text.replace("# long\n", "# long\ndir = '/a \"b\"'\n"));
        let section = changed("", "bridge.allow_remote", &["true"]).unwrap().unwrap();
        assert_eq!(section, "[bridge]\nallow_remote = true\n");
        let empty = changed("", "map.models", &[""]).unwrap().unwrap();
        assert_eq!(empty, "[map]\nmodels = []\n");
        let unset = changed("[bridge]\ntoken_file = \"/t\"\n", "bridge.token_file", &[""]).unwrap().unwrap();
        assert_eq!(unset, "[bridge]\ntoken_file = \"\"\n");
        let other_ends = changed("[map]\r\nidle = \"1h\"\r\n# x\r\n", "map.idle", &["2h"]).unwrap().unwrap();
        assert_eq!(other_ends, "[map]\r\nidle = \"2h\"\r\n# x\r\n");
        let below = changed("# mine\n", "map.idle", &["1h"]).unwrap().unwrap();
        assert_eq!(below, "# mine\n\n[map]\nidle = \"1h\"\n");
        let list = changed("", "map.models", &["a", "b"]).unwrap().unwrap();
        assert_eq!(list, "[map]\nmodels = [\"a\", \"b\"]\n");
        assert_eq!(
            changed("map = { idle = \"1h\" }\n", "map.idle", &["2h"]).unwrap().unwrap(),
            "map = { idle = \"2h\" }\n"
        );
    }

    #[test]
    fn rows_of_roots_stay_as_they_are() {
        let rows = "# mine\n[[queues]] # one\nroot   = '/srv/nanoclaw'\ntries = 0x5\n\n\
                    [queues.wake]\ncommand = [ 'wake' , ]\n\n[[queues]]\nroot = \"~/other\" # two\n";
        let map = "[map]\nidle = \"1h\"\n";
        for (text, expected) in [
            (rows.to_owned(), format!("{rows}\n{map}")),
            (format!("[map]\n{rows}"), format!("{map}{rows}")),
            (format!("{rows}[map]\nidle = '9h'\n"), format!("{rows}{map}")),
        ] {
            let new = changed(&text, "map.idle", &["1h"]).unwrap().unwrap();
            assert_eq!(new, expected);
            assert_eq!(changed(&new, "map.idle", &["1h"]).unwrap(), None);
        }
        for (key, value, remedy) in [
            ("queues.ceiling", "45m", "for example `ceiling = \"45m\"` below the `[[queues]]` of its root"),
            ("queues.tries", "0", "for example `tries = 5` below the `[[queues]]` of its root"),
            ("queues.wake.limit", "1s", "for example `limit = \"20s\"` below the `[queues.wake]` of its root"),
            ("queues.root", "/x", "below a `[[queues]]` of its own"),
            ("queues.root", "", "below a `[[queues]]` of its own"),
            ("queues.ceilng", "45m", "did you mean `queues.ceiling`?"),
        ] {
            let error = changed(rows, key, &[value]).unwrap_err();
            assert!(error.starts_with(&format!("/c.toml: {key}: ")) && error.contains(remedy), "{error}");
        }
        // A change beside a row that is wrong would have to vouch for it.
        assert!(changed("[[queues]]\nroot = \"/a\"\ntries = 0\n", "map.idle", &["1h"]).unwrap_err().contains("tries"));
    }

    #[test]
    fn what_would_not_be_understood_is_not_written() {
        for (text, key, values, reason) in [
            ("", "map.idel", &["2h"][..], "did you mean `map.idle`?"),
            ("", "map.idle", &["2"], "the unit is missing"),
            ("", "map.idle", &["2h", "3h"], "takes one value"),
            ("", "map.dir", &["relative"], "must be absolute"),
            ("", "map.dir", &["/a\nUser=root"], "control character"),
            ("", "bridge.allow_remote", &["yes"], "neither true nor false"),
            ("", "bridge.url", &["https://127.0.0.1"], "TLS"),
            ("", "bridge.url", &["http://192.0.2.1"], "not on this machine"),
            ("", "bridge.url", &["http://me:secret@127.0.0.1"], "http://…@127.0.0.1"),
            ("[map]\nidel = \"2h\"", "map.idle", &["2h"], "did you mean `idle`?"),
            ("map", "map.idle", &["2h"], "/c.toml:1"),
        ] {
            let error = changed(text, key, values).unwrap_err();
            assert!(error.contains(reason), "{key} {values:?}: {error}");
        }
    }
}

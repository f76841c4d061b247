//! `[[queues]]` rows: the root of an installation, with what is set for that one alone.
//!
//! A row is read with whatever is wrong in it, so that its other values are checked in the same pass.

use std::ops::Range;

use toml::de::DeTable;

use super::file_value::FileValue;
use super::problem::Problem;
use super::section::{Section, Source};
use super::setting::{QUEUES, Setting};

/// The table in a row that says how a session is woken.
const WAKE: &str = "wake";

/// What one row says.
#[derive(Debug)]
pub(super) struct QueueRow {
    /// The folder as it is written; `None` when there is none, or a wrong one.
    pub(super) root: Option<String>,
    /// Where the row names its root.
    pub(super) line: usize,
    /// Its settings, those of its own tables included.
    pub(super) values: Vec<FileValue>,
}

impl QueueRow {
    /// Reads one table, and adds what is wrong with it to `problems`.
    pub(super) fn read(
        source: Source<'_>,
        span: Range<usize>,
        table: &DeTable<'_>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut row = Section::new(source, format!("{QUEUES}."), span, table, example);
        let mut values = FileValue::of_table(&mut row, QUEUES, &["root", WAKE]);
        if !row.has("root") {
            row.refuse("root", "every row needs the root of an installation".to_owned());
        }
        let text = row.text("root");
        let root = row.checked("root", text, root_folder);
        if let Some(mut wake) = row.section(WAKE) {
            values.append(&mut FileValue::of_table(&mut wake, &format!("{QUEUES}.{WAKE}"), &[]));
            row.problems.append(&mut wake.problems);
        }
        let line = row.line("root");
        problems.append(&mut row.problems);
        Self { root, line, values }
    }
}

/// A right line for a key of a row.
fn example(key: &str) -> Option<String> {
    match key {
        "queues.root" => Some("root = \"/srv/nanoclaw\"".to_owned()),
        "queues.wake" => Some("wake = { command = [\"/usr/local/bin/wake\"] }".to_owned()),
        _ => Setting::find(key).map(Setting::example_line),
    }
}

/// A folder that is the same from wherever this is started.
fn root_folder(text: String) -> Result<String, String> {
    if text.contains(char::is_control) {
        // It is shown line by line.
        return Err(format!("{text:?} has a control character"));
    }
    if !text.starts_with('/') && text != "~" && !text.starts_with("~/") {
        return Err(format!("{text:?} must be absolute or begin with `~/`"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::file::ConfigFile;
    use crate::config::file_value::RawValue;

    fn problems(text: &str) -> Vec<String> {
        ConfigFile::of_text(Path::new("/c.toml"), text).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rows_are_read_with_their_tables_and_lines() {
        let text = "[[queues]]\nroot = \"/srv/nanoclaw\"\ntries = 7\n[queues.wake]\ncommand = [\"wake\", \"\"]\n\
                    [[queues]]\nroot = \"~/other\"\ntries = \"3\"\nwake.limit = \"1m\"\n";
        let file = ConfigFile::of_text(Path::new("/c.toml"), text);
        assert_eq!(file.problems, []);
        let text = |text: &str| RawValue::Text(text.to_owned());
        let command = RawValue::List(vec!["wake".to_owned(), String::new()]);
        let [first, second] = &file.queues[..] else { panic!("two rows") };
        assert_eq!((first.root.as_deref(), first.line), (Some("/srv/nanoclaw"), 2));
        assert_eq!((second.root.as_deref(), second.line), (Some("~/other"), 7));
        let values = |row: &super::QueueRow| {
            row.values.iter().map(|value| (value.setting.key, value.value.clone(), value.line)).collect::<Vec<_>>()
        };
        assert_eq!(values(first), [("queues.tries", text("7"), 3), ("queues.wake.command", command, 5)]);
        assert_eq!(values(second), [("queues.tries", text("3"), 8), ("queues.wake.limit", text("1m"), 9)]);
    }

    #[test]
    fn what_is_no_list_of_tables_is_refused_with_the_right_heading() {
        let remedy = "begin each with `[[queues]]` (two brackets on each side)";
        for text in ["[queues]\nroot = \"/a\"", "[queues.wake]\nlimit = \"1s\"", "queues = \"/a\"", "queues = [\"/a\"]"]
        {
            assert_eq!(problems(text), [format!("/c.toml:1: queues: must be a list of tables; {remedy}")]);
        }
        assert_eq!(problems("queues = []"), Vec::<String>::new());
        assert_eq!(problems("queues = [{ root = \"/a\" }]"), Vec::<String>::new());
    }

    #[test]
    fn whatever_else_is_wrong_with_a_row_its_values_are_there_to_be_checked() {
        let file = ConfigFile::of_text(Path::new("/c.toml"), "[[queues]]\nceiling = \"soon\"\nrot = \"/a\"\n");
        assert_eq!(file.problems.len(), 2);
        assert_eq!((file.queues[0].root.as_deref(), file.queues[0].values.len()), (None, 1));
    }
}

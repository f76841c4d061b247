//! One configuration file: read whole, checked whole.

use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::MetadataExt as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file_value::FileValue;
use super::origin::Origin;
use super::problem::{Problem, nearest};
use super::provider_row::ProviderRow;
use super::queue_row::QueueRow;
use super::section::{Section, Source, kind};
use super::setting::{QUEUES, SETTINGS, Setting};

/// More than anybody writes by hand.
const LARGEST: u64 = 1024 * 1024;

/// The table that holds provider rows.
const PROVIDER: &str = "provider";

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    /// Whether there is such a file.
    pub(super) present: bool,
    pub(super) values: Vec<FileValue>,
    pub(super) rows: Vec<ProviderRow>,
    pub(super) queues: Vec<QueueRow>,
    pub(super) problems: Vec<Problem>,
}

impl ConfigFile {
    /// Reads the file; one that is not there is empty, unless it is `required` (somebody named it).
    pub(super) fn read(path: &Path, required: bool) -> Self {
        let mut file = Self { path: path.to_path_buf(), ..Self::default() };
        match text_of(path) {
            Ok(None) if required => file.refuse("there is no such file", "check the path given to --config"),
            Ok(None) => {}
            Ok(Some(text)) => {
                file.present = true;
                file.parse(&text);
            }
            Err((message, remedy)) => {
                file.present = true;
                file.refuse(&message, remedy);
            }
        }
        file
    }

    /// A file at `path` with this text, whatever is there.
    pub(super) fn of_text(path: &Path, text: &str) -> Self {
        let mut file = Self { path: path.to_path_buf(), present: true, ..Self::default() };
        file.parse(text);
        file
    }

    fn refuse(&mut self, message: &str, remedy: &str) {
        self.problems.push(Problem::new(Origin::File(self.path.clone()), "", message, remedy));
    }

    fn parse(&mut self, text: &str) {
        let path = self.path.clone();
        let source = Source { path: &path, text };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let span = error.span().unwrap_or_default();
            let (key, remedy) = match row_heading(source, &span) {
                // `[queues]` for `[[queues]]`, or a row's own table above the row: both tell of a duplicate key.
                Some(name) => (name, format!("begin each row with `[[{name}]]`, and put its own tables below it")),
                None => ("", "correct the line (the syntax is TOML: https://toml.io)".to_owned()),
            };
            self.problems.push(source.problem(&span, key.to_owned(), error.message().to_owned(), remedy));
        }
        if !errors.is_empty() {
            // What was recovered may stand under the wrong table: further complaints about it would mislead.
            return;
        }
        for (key, value) in document.get_ref() {
            let name = key.get_ref().as_ref();
            if name == PROVIDER {
                self.provider_rows(source, value);
            } else if name == QUEUES {
                self.queue_rows(source, value);
            } else if SETTINGS.iter().any(|setting| setting.section() == name) {
                self.section(source, name, value);
            } else {
                self.problems.push(unknown_section(source, &key.span(), name));
            }
        }
        self.problems.sort_by_key(|problem| problem.line);
    }

    fn section(&mut self, source: Source<'_>, name: &str, value: &Spanned<DeValue<'_>>) {
        let Some(table) = value.get_ref().as_table() else {
            let message = format!("must be a table, not {}", kind(value.get_ref()));
            self.problems.push(source.problem(&value.span(), name.to_owned(), message, format!("write `[{name}]`")));
            return;
        };
        let example = |key: &str| Setting::find(key).map(Setting::example_line);
        let mut section = Section::new(source, format!("{name}."), value.span(), table, example);
        self.values.append(&mut FileValue::of_tables(&mut section, name));
        self.problems.append(&mut section.problems);
    }

    fn provider_rows(&mut self, source: Source<'_>, value: &Spanned<DeValue<'_>>) {
        let Some(rows) = rows(value) else {
            self.problems.push(no_rows(source, &value.span(), PROVIDER, "begin each provider with `[[provider]]`"));
            return;
        };
        for (span, table) in rows {
            match ProviderRow::read(source, span, table) {
                Err(mut problems) => self.problems.append(&mut problems),
                Ok(row) => match self.rows.iter().find(|other| other.name == row.name) {
                    None => self.rows.push(row),
                    Some(other) => {
                        let message = format!("this name is used twice, first on line {}", other.line);
                        let remedy = "join the two rows, or give one of them another name";
                        let origin = Origin::File(self.path.clone());
                        let problem = Problem::new(origin, format!("provider {}", row.name), message, remedy);
                        self.problems.push(problem.at_line(row.line));
                    }
                },
            }
        }
    }

    fn queue_rows(&mut self, source: Source<'_>, value: &Spanned<DeValue<'_>>) {
        match rows(value) {
            None => self.problems.push(no_rows(source, &value.span(), QUEUES, "begin each with `[[queues]]`")),
            Some(rows) => {
                let read = |(span, table)| QueueRow::read(source, span, table, &mut self.problems);
                self.queues.extend(rows.into_iter().map(read));
            }
        }
    }
}

/// The tables of a list, each with its place; `None` for anything else.
fn rows<'v>(value: &'v Spanned<DeValue<'v>>) -> Option<Vec<(Range<usize>, &'v DeTable<'v>)>> {
    let array = value.get_ref().as_array()?;
    array.iter().map(|row| Some((row.span(), row.get_ref().as_table()?))).collect()
}

/// The name of the rows of which a row, or a table in one, should begin on the line of `span`.
fn row_heading(source: Source<'_>, span: &Range<usize>) -> Option<&'static str> {
    let line = source.text.lines().nth(source.line(span) - 1)?;
    let heading = line.trim_start().strip_prefix('[')?.trim_start_matches('[').trim_start();
    let name = heading.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').next();
    [PROVIDER, QUEUES].into_iter().find(|rows| name == Some(rows))
}

fn no_rows(source: Source<'_>, span: &Range<usize>, key: &str, begin: &str) -> Problem {
    let remedy = format!("{begin} (two brackets on each side)");
    source.problem(span, key.to_owned(), "must be a list of tables".to_owned(), remedy)
}

fn unknown_section(source: Source<'_>, span: &Range<usize>, name: &str) -> Problem {
    let mut sections: Vec<&str> = SETTINGS.iter().map(Setting::section).chain([PROVIDER]).collect();
    sections.dedup();
    let remedy = if let Some(setting) = SETTINGS.iter().find(|setting| setting.name() == name) {
        format!("write `{name}` under `{}`", setting.heading())
    } else if let Some(near) = nearest(name, sections.iter().copied()) {
        format!("did you mean `{near}`?")
    } else {
        format!("known are {}", sections.join(", "))
    };
    source.problem(span, name.escape_debug().to_string(), "unknown section".to_owned(), remedy)
}

/// The file's text, `None` when there is no such file, else what is wrong and what to do.
pub(super) fn text_of(path: &Path) -> Result<Option<String>, (String, &'static str)> {
    // The usual way to say "no configuration at all"; it is neither a regular file nor private.
    if path == Path::new("/dev/null") {
        return Ok(Some(String::new()));
    }
    let unreadable = |error: std::io::Error| (error.to_string(), "make the file readable for the user who runs this");
    // Not blocking, so that a FIFO in this place is refused below instead of waited for.
    let file = match fs_err::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(("this is not a regular file".to_owned(), "put a file in this place"));
    }
    if metadata.mode() & 0o002 != 0 {
        let message = "every user may write to this file, and it can name commands";
        return Err((message.to_owned(), "take that away with `chmod o-w` and look at what it says"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(("this file is larger than 1 MiB".to_owned(), "is it the right one?"));
    }
    let text = String::from_utf8(bytes).map_err(|_| ("this file is not UTF-8".to_owned(), "save it as UTF-8"))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use fs_err::os::unix::fs::OpenOptionsExt as _;
    use rustix::fs::{CWD, FileType, Mode, chmod, mknodat};

    use super::*;
    use crate::config::file_value::RawValue;

    fn problems(text: &str) -> Vec<String> {
        ConfigFile::of_text(Path::new("/c.toml"), text).problems.iter().map(ToString::to_string).collect()
    }

    fn place(folder: &tempfile::TempDir, text: &[u8]) -> PathBuf {
        let path = folder.path().join("config.toml");
        let mut file = fs_err::OpenOptions::new().write(true).create(true).mode(0o600).open(&path).unwrap();
        file.write_all(text).unwrap();
        path
    }

    fn only_problem(path: &Path, required: bool) -> String {
        let file = ConfigFile::read(path, required);
        assert_eq!(file.problems.len(), 1, "{:?}", file.problems);
        file.problems[0].to_string()
    }

    #[test]
    fn settings_are_read_with_their_lines() {
        let text = "# mine\n[map]\nidle = \"3h\"\n\nmodels = [\"a\", \"b\"]\n";
        let file = ConfigFile::of_text(Path::new("/c.toml"), text);
        assert_eq!(file.problems, []);
        let values: Vec<_> = file.values.iter().map(|value| (value.setting.key, &value.value, value.line)).collect();
        let models = RawValue::List(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(values, [("map.idle", &RawValue::Text("3h".to_owned()), 3), ("map.models", &models, 5)]);
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest_known_one() {
        assert_eq!(problems("[map]\nidel = \"2h\""), ["/c.toml:2: map.idel: unknown key; did you mean `idle`?"]);
        assert_eq!(problems("[mapp]\nidle = \"2h\""), ["/c.toml:1: mapp: unknown section; did you mean `map`?"]);
        assert_eq!(problems("[[providers]]"), ["/c.toml:1: providers: unknown section; did you mean `provider`?"]);
        assert_eq!(problems("idle = \"2h\""), ["/c.toml:1: idle: unknown section; write `idle` under `[map]`"]);
        let known = "known are map, bridge, registry, processes, queues, artifacts, daemon, output, provider";
        assert_eq!(problems("[zzz]"), [format!("/c.toml:1: zzz: unknown section; {known}")]);
        assert_eq!(problems("[[queue]]"), ["/c.toml:1: queue: unknown section; did you mean `queues`?"]);
        let under = |name: &str| problems(&format!("{name} = \"1h\"")).concat();
        assert!(under("ceiling").ends_with("write `ceiling` under `[[queues]]`"), "{}", under("ceiling"));
        assert!(under("limit").ends_with("write `limit` under `[queues.wake]`"), "{}", under("limit"));
        let [message] = &problems("[map]\nqqq = 1")[..] else { panic!("one problem") };
        assert!(message.contains("known are dir, idle, missing"), "{message}");
    }

    #[test]
    fn wrong_types_are_refused_with_a_right_example() {
        let example = "write for example `idle = \"2h\"`";
        for (value, kind) in
            [("2", "a bare number"), ("2.5", "a bare number"), ("true", "true or false"), ("[]", "a list")]
        {
            let message = format!("/c.toml:2: map.idle: must be a text in quotes, not {kind}; {example}");
            assert_eq!(problems(&format!("[map]\nidle = {value}")), [message]);
        }
        assert!(problems("[map]\nmodels = \"claude\"")[0].contains("must be a list of texts, not a text"));
        assert_eq!(problems("map = 3"), ["/c.toml:1: map: must be a table, not a bare number; write `[map]`"]);
    }

    #[test]
    fn every_problem_is_found_in_one_pass_and_in_order() {
        let text = "[output]\ncolour = \"never\"\n[map]\nidle = 2\nwiat = \"1s\"\n[[provider]]\nname = \"X\"\n";
        let lines: Vec<_> =
            problems(text).iter().map(|problem| problem.split(':').nth(1).unwrap().to_owned()).collect();
        assert_eq!(lines, ["2", "4", "5", "7"]);
    }

    #[test]
    fn broken_toml_is_one_story_with_its_line() {
        let found = problems("[map]\nidle = 2h\nfoo = 1\n");
        assert!(found[0].starts_with("/c.toml:2: "), "{found:?}");
        assert!(!found.iter().any(|problem| problem.contains("foo")), "{found:?}");
        assert!(problems("[map]\nidle = \"1h\"\nidle = \"2h\"")[0].starts_with("/c.toml:3: "));
    }

    #[test]
    fn a_row_in_the_wrong_form_is_told_how_rows_begin() {
        let remedy = "duplicate key; begin each row with `[[queues]]`, and put its own tables below it";
        for text in [
            "[queues]\nroot = \"/a\"\n[[queues]]\nroot = \"/b\"",
            "[[queues]]\nroot = \"/a\"\n[queues]\nroot = \"/b\"",
            "[queues.wake]\nlimit = \"1s\"\n [[ queues ]]\nroot = \"/a\"",
        ] {
            assert_eq!(problems(text), [format!("/c.toml:3: queues: {remedy}")]);
        }
        let found = problems("[provider]\nname = \"x\"\n[[provider]]\nname = \"y\"");
        assert!(found[0].contains("3: provider: duplicate key; begin each row with `[[provider]]`"), "{found:?}");
        for text in ["[[queues]\n", "[queues.wake"] {
            assert!(problems(text)[0].contains("begin each row with `[[queues]]`"), "{:?}", problems(text));
        }
    }

    #[test]
    fn two_rows_of_one_name_are_an_error() {
        let found = problems("[[provider]]\nname = \"claude\"\n[[provider]]\nname = \"claude\"\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("/c.toml:3: provider claude: this name is used twice, first on line 1"), "{found:?}");
    }

    #[test]
    fn a_missing_file_is_fine_unless_somebody_named_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none.toml");
        let file = ConfigFile::read(&path, false);
        assert_eq!((file.present, file.problems), (false, Vec::new()));
        assert!(only_problem(&path, true).contains("there is no such file"));
        let null = ConfigFile::read(Path::new("/dev/null"), true);
        assert_eq!((null.present, null.problems), (true, Vec::new()));
    }

    #[test]
    fn a_file_that_everybody_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = place(&folder, b"[map]\nidle = \"1s\"\n");
        chmod(&path, Mode::from_raw_mode(0o666)).unwrap();
        let message = only_problem(&path, false);
        assert!(message.contains("every user may write") && message.contains("chmod o-w"), "{message}");
        assert!(ConfigFile::read(&path, false).values.is_empty());
        chmod(&path, Mode::from_raw_mode(0o664)).unwrap();
        assert_eq!(ConfigFile::read(&path, false).values.len(), 1);
    }

    #[test]
    fn what_is_no_text_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        assert!(only_problem(folder.path(), false).contains("not a regular file"));
        let fifo = folder.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert!(only_problem(&fifo, false).contains("not a regular file"));
        assert!(only_problem(&place(&folder, b"[map]\n# \xff\n"), false).contains("not UTF-8"));
        assert!(only_problem(&place(&folder, &vec![b'#'; 1024 * 1024 + 1]), false).contains("larger than 1 MiB"));
    }
}

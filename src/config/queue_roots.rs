//! The roots of `[[queues]]` rows, each with all of its settings.
//!
//! The rows that two files have of one root are one, key by key. A variable or a flag wins over every row.

use std::path::{Path, PathBuf};

use super::candidates::Sources;
use super::file::ConfigFile;
use super::file_value::FileValue;
use super::origin::Origin;
use super::problem::Problem;
use super::resolve::Value;
use super::setting::{QueueSettings, SETTINGS, Settings};

/// The root of an installation that a file names.
#[derive(Debug, Clone)]
pub(crate) struct QueueRoot {
    /// The folder, absolute, as it was written.
    pub(crate) root: PathBuf,
    /// The values to work with.
    pub(crate) settings: QueueSettings,
    /// The same as text, in the table's order.
    pub(crate) values: Vec<Value>,
    /// The file that names it; the user's where both do.
    pub(crate) origin: Origin,
}

/// What the files say of one root.
struct Rows<'f> {
    root: PathBuf,
    /// The last file with such a row, and the line there.
    last: (&'f Path, usize),
    values: Vec<(&'f Path, &'f FileValue)>,
}

/// The roots of all files, in their order.
pub(super) fn roots(files: &[ConfigFile], sources: Sources<'_>, problems: &mut Vec<Problem>) -> Vec<QueueRoot> {
    let roots = by_root(files, sources, problems);
    roots.into_iter().map(|rows| resolved(rows, sources, problems)).collect()
}

fn by_root<'f>(files: &'f [ConfigFile], sources: Sources<'_>, problems: &mut Vec<Problem>) -> Vec<Rows<'f>> {
    let mut found: Vec<Rows<'f>> = Vec::new();
    for file in files {
        for row in &file.queues {
            let place = (file.path.as_path(), row.line);
            let values = row.values.iter().map(|value| (file.path.as_path(), value));
            let root = row.root.as_deref().map(|root| sources.dirs.expand(root)).unwrap_or_default();
            let known = found.iter_mut().find(|rows| row.root.is_some() && same_folder(&rows.root, &root));
            let Some(rows) = known else {
                found.push(Rows { root, last: place, values: values.collect() });
                continue;
            };
            rows.values.extend(values);
            if rows.last.0 == place.0 {
                let message = format!("this root is named twice, first on line {}", rows.last.1);
                let origin = Origin::File(file.path.clone());
                let problem = Problem::new(origin, "queues.root", message, "join the two rows");
                problems.push(problem.at_line(row.line));
            } else {
                rows.last = place;
            }
        }
    }
    found
}

fn resolved(rows: Rows<'_>, sources: Sources<'_>, problems: &mut Vec<Problem>) -> QueueRoot {
    let mut scratch = Settings::unset(Vec::new());
    let mut values = Vec::new();
    let mut found = Vec::new();
    for setting in SETTINGS.iter().filter(|setting| setting.is_of_row()) {
        values.extend(sources.store(&mut scratch, setting, rows.values.iter().copied(), &mut found));
    }
    // What variables and flags say is the same for every root, and was complained about once.
    problems.extend(found.into_iter().filter(|problem| matches!(problem.origin, Origin::File(_))));
    let origin = Origin::File(rows.last.0.to_path_buf());
    QueueRoot { root: rows.root, settings: scratch.queues, values, origin }
}

/// Whether two paths lead to one folder, as far as can be seen.
pub(super) fn same_folder(one: &Path, other: &Path) -> bool {
    let canonical = |path: &Path| fs_err::canonicalize(path).ok();
    one == other || canonical(one).is_some_and(|one| canonical(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolve::Override;
    use crate::config::{Dirs, Environment};

    /// What a machine's and a user's file with these texts come to, with these variables and flags.
    fn found(texts: [&str; 2], variables: &[(&str, &str)], flags: &[Override]) -> (Vec<QueueRoot>, Vec<String>) {
        let dirs = Dirs::find(&Environment::from_iter([("HOME", "/h")])).unwrap();
        let environment: Environment = variables.iter().copied().collect();
        let files = ["/etc/c.toml", "/h/c.toml"].iter().zip(texts);
        let files: Vec<_> = files.map(|(path, text)| ConfigFile::of_text(Path::new(path), text)).collect();
        assert!(files.iter().all(|file| file.problems.is_empty()), "{files:?}");
        let sources = Sources { dirs: &dirs, environment: &environment, janitor: &[], flags };
        let mut problems = Vec::new();
        let roots = roots(&files, sources, &mut problems);
        (roots, problems.iter().map(ToString::to_string).collect())
    }

    /// Value and origin of a setting.
    fn value(root: &QueueRoot, key: &str) -> (String, String) {
        let value = root.values.iter().find(|value| value.key == key).unwrap();
        (value.text.clone(), value.origin.to_string())
    }

    #[test]
    fn flags_win_over_environment_over_the_users_row_over_the_machines_over_the_default() {
        let key = "queues.ceiling";
        let row = |ceiling: &str| format!("[[queues]]\nroot = \"/r\"\n{ceiling}\n");
        let (machines, users) = (row("ceiling = \"1h\""), row("ceiling = \"2h\""));
        let variables = [("SESSION_SWEEP_QUEUES_CEILING", "3h")];
        let flags = [Override::text(key, "4h", "--ceiling")];
        let cases: [(&str, &str, usize, usize, &str, &str); 5] = [
            (&row(""), "", 0, 0, "30m", "default"),
            (&machines, &row(""), 0, 0, "1h", "file /etc/c.toml"),
            (&machines, &users, 0, 0, "2h", "file /h/c.toml"),
            (&machines, &users, 1, 0, "3h", "environment SESSION_SWEEP_QUEUES_CEILING"),
            (&machines, &users, 1, 1, "4h", "flag --ceiling"),
        ];
        for (machines, users, variable, flag, text, origin) in cases {
            let (roots, problems) = found([machines, users], &variables[..variable], &flags[..flag]);
            assert_eq!(problems, Vec::<String>::new());
            assert_eq!(roots.len(), 1, "{origin}");
            assert_eq!(value(&roots[0], key), (text.to_owned(), origin.to_owned()));
        }
    }

    #[test]
    fn rows_of_one_root_are_joined_key_by_key_and_keep_their_place() {
        let machines = "[[queues]]\nroot = \"/h/b\"\ntries = 3\nbackoff = \"1s\"\n[[queues]]\nroot = \"/c\"\n";
        let users = "[[queues]]\nroot = \"/a\"\n[[queues]]\nroot = \"~/b/\"\ntries = 4\nwake.limit = \"1s\"\n";
        let (roots, problems) = found([machines, users], &[], &[]);
        assert_eq!(problems, Vec::<String>::new());
        let names: Vec<_> = roots.iter().map(|row| (row.root.to_str().unwrap(), row.origin.to_string())).collect();
        let (etc, home) = ("file /etc/c.toml".to_owned(), "file /h/c.toml".to_owned());
        assert_eq!(names, [("/h/b", home.clone()), ("/c", etc.clone()), ("/a", home.clone())]);
        assert_eq!(value(&roots[0], "queues.tries"), ("4".to_owned(), home.clone()));
        assert_eq!(value(&roots[0], "queues.backoff"), ("1s".to_owned(), etc));
        assert_eq!(value(&roots[0], "queues.wake.limit"), ("1s".to_owned(), home));
        // And none of it gets to the neighbours.
        assert!(roots[1..].iter().all(|root| root.values.iter().all(|value| value.origin == Origin::Default)));
    }

    #[test]
    fn one_root_twice_in_a_file_is_an_error_each_time() {
        let text = "[[queues]]\nroot = \"/h/a\"\n[[queues]]\nroot = \"~/a\"\n[[queues]]\nroot = \"/h/./a/\"\n";
        let twice = |line| {
            format!("/h/c.toml:{line}: queues.root: this root is named twice, first on line 2; join the two rows")
        };
        assert_eq!(found(["", text], &[], &[]).1, [twice(4), twice(6)]);
        // Rows that name none are refused where they are read; they are not one root.
        let files = [ConfigFile::of_text(Path::new("/c.toml"), "[[queues]]\n[[queues]]\n")];
        let dirs = Dirs::find(&Environment::from_iter([("HOME", "/h")])).unwrap();
        let sources = Sources { dirs: &dirs, environment: &Environment::default(), janitor: &[], flags: &[] };
        let mut problems = Vec::new();
        assert_eq!((roots(&files, sources, &mut problems).len(), problems), (2, Vec::new()));
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        fs_err::os::unix::fs::symlink(folder.path(), &link).unwrap();
        let row = |path: &Path| format!("[[queues]]\nroot = {path:?}\n");
        assert_eq!(found(["", &(row(folder.path()) + &row(&link))], &[], &[]).1.len(), 1);
    }

    #[test]
    fn every_wrong_value_of_every_row_is_told_once() {
        let rows = |value: &str| format!("[[queues]]\nroot = \"/a\"\n{value}\n[[queues]]\nroot = \"/b\"\n{value}\n");
        let (_, problems) = found(["", &rows("tries = 0")], &[("SESSION_SWEEP_QUEUES_TRIES", "x")], &[]);
        let lines: Vec<_> = problems.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
        // The variable's is told with the general settings.
        assert_eq!(lines, ["/h/c.toml:3", "/h/c.toml:6"]);
    }
}

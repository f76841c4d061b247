//! Which of a command's words start our program, and what they tell it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::PROGRAM;

/// A command that starts a sweep or a prune that is no rehearsal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Our program as the command names it.
    pub(super) program: String,
    /// Whether it is what is started first: others (`nice`, `flock`, a shell) may start it in their turn.
    pub(super) is_first: bool,
    pub(super) arguments: Vec<String>,
}

impl Command {
    /// The first such command in a line for a shell, or in one for systemd.
    pub(super) fn find(line: &str) -> Option<Self> {
        simple_commands(line).iter().find_map(|words| Self::among(words))
    }

    fn among(words: &[String]) -> Option<Self> {
        let is_ours = |word: &String| Path::new(word).file_name() == Some(OsStr::new(PROGRAM));
        let Some(at) = words.iter().position(is_ours) else {
            // `sh -c "session-sweep sweep"`
            let is_for_shell = |option: &str| option.starts_with('-') && option.ends_with('c');
            let lines = words.windows(2).filter(|pair| is_for_shell(&pair[0])).map(|pair| &pair[1]);
            return lines.filter_map(|line| Self::find(line)).map(|found| Self { is_first: false, ..found }).next();
        };
        let arguments = words[at + 1..].to_vec();
        let has = |wanted: &[&str]| arguments.iter().any(|argument| wanted.contains(&argument.as_str()));
        let is_run = has(&["sweep", "prune"]) && !has(&["--dry-run", "-n"]);
        is_run.then(|| Self { program: words[at].clone(), is_first: at == 0, arguments })
    }

    /// Where the program is. `home` is for `$HOME` and `~`, `path` the folders that are looked through; `exists` finds one
    /// that is named without a folder.
    pub(super) fn locate(&self, path: &str, home: Option<&Path>, exists: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
        let word = self.program.as_str();
        for prefix in ["~/", "$HOME/", "${HOME}/", "%h/"] {
            if let Some(below) = word.strip_prefix(prefix) {
                return home.map(|home| home.join(below));
            }
        }
        if word.contains('$') {
            return None;
        }
        if word.contains('/') {
            return Some(word.into()).filter(|path: &PathBuf| path.is_absolute());
        }
        path.split(':').map(|folder| Path::new(folder).join(word)).find(|path| exists(path))
    }
}

/// The words of each command of a line, without the quotes around them. What a shell would put in their place stays as it
/// is.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut commands: Vec<Vec<String>> = vec![Vec::new()];
    let (mut word, mut quote, mut before) = (String::new(), None, ' ');
    for character in line.chars().chain([' ']) {
        let is_separator = match character {
            // `2>&1`
            '&' => !matches!(before, '>' | '<'),
            _ => matches!(character, ';' | '|' | '(' | ')'),
        };
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, _) if is_separator || matches!(character, ' ' | '\t') => {
                if let Some(words) = commands.last_mut().filter(|_| !word.is_empty()) {
                    words.push(std::mem::take(&mut word));
                }
                if is_separator {
                    commands.push(Vec::new());
                }
            }
            _ => word.push(character),
        }
        before = character;
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<(String, String)> {
        Command::find(line).map(|command| (command.program, command.arguments.join(" ")))
    }

    #[test]
    fn only_a_sweep_or_a_prune_that_is_no_rehearsal_is_a_run() {
        for (line, program, arguments) in [
            ("/usr/bin/session-sweep sweep --quiet", "/usr/bin/session-sweep", "sweep --quiet"),
            ("nice session-sweep -q prune --dir /x", "session-sweep", "-q prune --dir /x"),
            ("sh -c 'cd /x; /o/session-sweep sweep'", "/o/session-sweep", "sweep"),
            ("bash -lc \"exec session-sweep sweep\" 2>&1", "session-sweep", "sweep"),
            ("session-sweep prune --dry-run && session-sweep prune -q", "session-sweep", "prune -q"),
            ("session-sweep sweep >>/x 2>&1 || true", "session-sweep", "sweep >>/x 2>&1"),
        ] {
            assert_eq!(found(line), Some((program.to_owned(), arguments.to_owned())), "{line}");
        }
        for line in [
            "session-sweep audit",
            "session-sweep prune --dry-run",
            "session-sweep-old prune",
            "prune session-sweep",
            "echo 'session-sweep sweep'",
            "session-sweep audit; prune",
            "",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }

    #[test]
    fn what_others_start_is_not_first() {
        assert!(Command::find("/usr/bin/session-sweep sweep").unwrap().is_first);
        for line in ["flock -n /l session-sweep sweep", "sh -c 'session-sweep sweep'"] {
            assert!(!Command::find(line).unwrap().is_first, "{line}");
        }
    }
}

//! The text of a crontab: which of its lines run our program.

use std::path::{Path, PathBuf};

use super::command::Command;

/// Whether lines name the user they run as, in their sixth field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// They do not: `crontab -l`.
    OfOneUser,
    /// They do: `/etc/crontab`, `/etc/cron.d/*`.
    WithUsers,
}

/// A line that runs our program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// For instance `17 * * * *` or `@hourly`.
    pub(super) expression: String,
    pub(super) user: Option<String>,
    /// The program, as far as a path can be told.
    pub(super) program: Option<PathBuf>,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
}

/// The lines of `text` that run our program. `home` is for `$HOME` and `~`; `exists` finds a program that is named without
/// a folder.
pub(super) fn runs(text: &str, form: Form, home: Option<&Path>, exists: &dyn Fn(&Path) -> bool) -> Vec<Line> {
    // What cron itself sets.
    let mut path = "/usr/bin:/bin".to_owned();
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some((name, value)) = assignment(line) {
            if name == "PATH" {
                value.clone_into(&mut path);
            }
            continue;
        }
        let Some((expression, rest)) = split_expression(line) else { continue };
        let (user, command) = match form {
            Form::OfOneUser => (None, rest),
            Form::WithUsers => match split_field(rest) {
                Some((user, command)) => (Some(user.to_owned()), command),
                None => continue,
            },
        };
        // What follows a `%` is for the program's stdin.
        if let Some(command) = Command::find(command.split('%').next().unwrap_or_default()) {
            let program = command.locate(&path, home, exists);
            lines.push(Line { expression, user, program, arguments: command.arguments });
        }
    }
    lines
}

/// Whether a line runs the script that did this before.
pub(super) fn names_original(text: &str) -> bool {
    text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains(super::ORIGINAL))
}

/// `NAME=value`, with or without quotes around the value.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim_end();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then(|| (name, value.trim().trim_matches(['"', '\''])))
}

fn split_expression(line: &str) -> Option<(String, &str)> {
    if line.starts_with('@') {
        let (word, rest) = split_field(line)?;
        return Some((word.to_owned(), rest));
    }
    let mut rest = line;
    let mut fields = Vec::new();
    for _ in 0..5 {
        let (field, behind) = split_field(rest)?;
        fields.push(field);
        rest = behind;
    }
    Some((fields.join(" "), rest))
}

fn split_field(text: &str) -> Option<(&str, &str)> {
    let (field, rest) = text.split_once([' ', '\t'])?;
    Some((field, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(text: &str, form: Form) -> Vec<(String, Option<String>, String)> {
        let exists = |path: &Path| path == Path::new("/opt/bin/session-sweep");
        let shown = |line: Line| {
            let program = line.program.map_or_else(|| "?".to_owned(), |path| path.display().to_string());
            (line.expression, line.user, program)
        };
        runs(text, form, Some(Path::new("/home/anna")), &exists).into_iter().map(shown).collect()
    }

    fn one(expression: &str, user: Option<&str>, program: &str) -> (String, Option<String>, String) {
        (expression.to_owned(), user.map(str::to_owned), program.to_owned())
    }

    #[test]
    fn lines_that_run_the_program_are_found_with_and_without_marks() {
        let text = "MAILTO=\"\"\n# BEGIN session-sweep\n17 * * * * /usr/local/bin/session-sweep sweep --quiet\n\
                    # END session-sweep\n5 4 * * * /usr/bin/backup\n \
                    5  *\t* * *  cd /x && nice -n 10 $HOME/.cargo/bin/session-sweep prune --dir /x\n\
                    @hourly '/opt/with space/session-sweep' sweep\n";
        let expected = [
            one("17 * * * *", None, "/usr/local/bin/session-sweep"),
            one("5 * * * *", None, "/home/anna/.cargo/bin/session-sweep"),
            one("@hourly", None, "/opt/with space/session-sweep"),
        ];
        assert_eq!(programs(text, Form::OfOneUser), expected);
    }

    #[test]
    fn commented_lines_other_commands_and_rehearsals_are_no_runs() {
        let text = "#17 * * * * session-sweep sweep\n17 * * * * session-sweep audit\n* * * * * session-sweep prune -n\n\
                    17 * * * * echo 'session-sweep sweep'\n17 * *\n* * * * * true % session-sweep sweep\n";
        assert_eq!(programs(text, Form::OfOneUser), []);
    }

    #[test]
    fn the_sixth_field_is_the_user_where_lines_have_one() {
        let text = "SHELL=/bin/sh\nPATH=/usr/bin:/opt/bin\n17 * * * * anna session-sweep sweep\n@daily root x\n";
        assert_eq!(programs(text, Form::WithUsers), [one("17 * * * *", Some("anna"), "/opt/bin/session-sweep")]);
    }

    #[test]
    fn a_program_that_cannot_be_told_is_unknown() {
        let text =
            "0 * * * * session-sweep sweep\n1 * * * * $TOOLS/session-sweep sweep\n2 * * * * ./session-sweep sweep";
        let expected = ["0 * * * *", "1 * * * *", "2 * * * *"].map(|expression| one(expression, None, "?"));
        assert_eq!(programs(text, Form::OfOneUser), expected);
    }
}

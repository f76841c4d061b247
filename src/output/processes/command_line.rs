//! A process's command line for people: short, with `~` for the home, and without what looks like a secret.

use super::with_tilde;
use crate::config::Dirs;
use crate::output::escape::Escaped;

/// A line of a report should fit a terminal of 80 characters.
const LONGEST: usize = 60;
/// What the name of an option or variable holds whose value nobody should see.
const SECRETS: [&str; 9] = ["key", "token", "secret", "passw", "auth", "bearer", "header", "credential", "cookie"];

/// A command line as one text, escaped. `full`: all of it, as it is.
pub(super) fn shown(arguments: &[String], name: &str, dirs: &Dirs, full: bool) -> String {
    if arguments.is_empty() {
        return format!("[{}]", Escaped(name));
    }
    if full {
        return Escaped(&arguments.join(" ")).to_string();
    }
    let mut line = String::new();
    let mut hides_next = false;
    for argument in arguments.iter().filter(|argument| !argument.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        let said = if std::mem::take(&mut hides_next) && !argument.starts_with('-') {
            "…".to_owned()
        } else {
            without_secret(argument)
        };
        hides_next = argument.starts_with('-') && !argument.contains('=') && is_secret(argument);
        line.push_str(&said);
        if line.chars().count() > 4 * LONGEST {
            break;
        }
    }
    cut(&Escaped(&with_tilde(&line, dirs)).to_string())
}

/// `--api-key=x`, `TOKEN=x` and `Authorization: x` without the value, `scheme://user:x@host` without the user.
fn without_secret(argument: &str) -> String {
    for sign in ['=', ':'] {
        if let Some((name, _)) = argument.split_once(sign).filter(|(name, _)| is_secret(name)) {
            return format!("{name}{sign}…");
        }
    }
    match (argument.split_once("://"), argument.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => argument.to_owned(),
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.len() <= LONGEST && SECRETS.iter().any(|secret| name.contains(secret))
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[test]
    fn a_command_line_is_short_and_tells_no_secrets() {
        let dirs = Dirs::find(&Environment::from_iter([("HOME", "/home/alice")])).unwrap();
        let shown = |arguments: &[&str], full| {
            let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
            shown(&arguments, "na\nme", &dirs, full)
        };
        assert_eq!(shown(&[], false), r"[na\u{a}me]");
        assert_eq!(shown(&["node", "/home/alice/x.js", ""], false), "node ~/x.js");
        assert_eq!(
            shown(&["x", "--api-key", "s3cret", "--token=s3cret", "GH_TOKEN=s3cret", "-v"], false),
            "x --api-key … --token=… GH_TOKEN=… -v"
        );
        assert_eq!(
            shown(&["x", "--header", "Bearer s3cret", "Authorization: s3cret", "pg://u:s3cret@h/d"], false),
            "x --header … Authorization:… pg://…@h/d"
        );
        assert_eq!(shown(&["x", "--api-key", "--other", "y"], false), "x --api-key --other y");
        assert_eq!(shown(&["x", "--api-key", "s3cret", "/home/alice"], true), "x --api-key s3cret /home/alice");
        assert_eq!(shown(&["x", &"y".repeat(100)], false).chars().count(), 60);
        assert_eq!(shown(&["a\u{1b}[31m"], false), r"a\u{1b}[31m");
    }
}

//! What the values of `queues.*` must look like: a text in, the value or what is wrong with it out.

use std::time::Duration;

use crate::policy::choices::RuntimeChoice;
use crate::policy::zone::{Tz, UnknownZone};

/// The programs that are understood as container runtimes.
const RUNTIMES: [&str; 3] = ["docker", "podman", "container"];

/// `SQLite` counts the milliseconds of this wait in 32 bits, and a sweep stands still that long.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// How often a message is tried.
pub(super) fn tries(text: &str) -> Result<u32, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let tries = text.parse().ok().filter(|tries| is_number && (1..=20).contains(tries));
    tries.ok_or_else(|| "not a whole number from 1 to 20".to_owned())
}

/// How long a database may be busy.
pub(super) fn busy(wait: Duration) -> Result<Duration, String> {
    if wait <= LONGEST_WAIT { Ok(wait) } else { Err("longer than an hour".to_owned()) }
}

/// `auto`, one of the known programs, or an absolute path to one.
pub(super) fn runtime(text: &str) -> Result<RuntimeChoice, String> {
    let name = if text.starts_with('/') { text.rsplit('/').next().unwrap_or_default() } else { text };
    if text == "auto" {
        Ok(RuntimeChoice::Auto)
    } else if RUNTIMES.contains(&name) && !text.contains(char::is_control) {
        Ok(RuntimeChoice::Named(text.to_owned()))
    } else {
        Err(format!("known are auto, {} or an absolute path to one of these", RUNTIMES.join(", ")))
    }
}

/// A name of the IANA database; empty for none.
pub(super) fn zone(text: &str) -> Result<Option<Tz>, String> {
    (!text.is_empty()).then(|| text.parse().map_err(|unknown: UnknownZone| unknown.to_string())).transpose()
}

/// A program and its arguments; empty for none.
pub(super) fn wake_command(command: Vec<String>) -> Result<Vec<String>, String> {
    if let Some(argument) = command.iter().find(|argument| argument.contains('\0')) {
        return Err(format!("{argument:?} has a character that no argument can have"));
    }
    match command.first() {
        Some(program) if !is_program(program) => Err(format!(
            "{program:?} is neither a program's name nor an absolute path (each argument is an element of its own)"
        )),
        _ => Ok(command),
    }
}

/// Whether this is a plain name, to be found through `PATH`, or an absolute path of a file.
fn is_program(text: &str) -> bool {
    let is_name = !text.contains(['/', ' ']) && !text.starts_with(['-', '~']);
    let is_path = text.starts_with('/') && !text.ends_with('/');
    !text.is_empty() && !text.contains(char::is_control) && (is_name || is_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_a_small_whole_number() {
        assert_eq!((tries("1"), tries("20")), (Ok(1), Ok(20)));
        for text in ["0", "21", "-1", "+5", "5.0", "", "x", "99999999999"] {
            assert!(tries(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_runtime_is_one_that_is_known() {
        assert_eq!(runtime("auto"), Ok(RuntimeChoice::Auto));
        for text in ["docker", "podman", "container", "/usr/bin/podman", "/opt/my tools/docker"] {
            assert_eq!(runtime(text), Ok(RuntimeChoice::Named(text.to_owned())));
        }
        for text in
            ["rm", "", "Docker", "docker ps", "bin/docker", "./docker", "/bin/rm", "/docker/", "/a\n/docker", "/auto"]
        {
            assert!(runtime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_zone_is_one_of_the_database_or_none() {
        assert_eq!(zone(""), Ok(None));
        assert_eq!(zone("Europe/Berlin"), Ok(Tz::named("Europe/Berlin")));
        for text in ["Mars/Base", "CET+1", "europe/berlin", " UTC", "/etc/localtime"] {
            assert!(zone(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_command_begins_with_a_program() {
        let check = |words: &[&str]| wake_command(words.iter().map(ToString::to_string).collect());
        for words in [&[][..], &["wake"], &["/usr/local/bin/wake", "", "--now"], &["/opt/my tools/wake"]] {
            assert_eq!(check(words).unwrap(), words);
        }
        for words in [
            &[""][..],
            &["", "x"],
            &["bin/wake"],
            &["~/wake"],
            &["~"],
            &["wake --now"],
            &["-x"],
            &["/bin/"],
            &["w", "\0"],
        ] {
            assert!(check(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_database_is_not_waited_for_all_day() {
        assert_eq!(busy(LONGEST_WAIT), Ok(LONGEST_WAIT));
        assert!(busy(LONGEST_WAIT + Duration::from_secs(1)).is_err());
        assert!(i32::try_from(LONGEST_WAIT.as_millis()).is_ok());
    }
}

//! Which time zone an installation's recurrence is in.
//!
//! The first of these that names one: our own setting, `TZ` of the environment, `TZ=` in the root's `.env`, the machine,
//! and else it is UTC, as the original has it. What is named and is no zone is passed over and told. Of a `.env`, which
//! holds keys and passwords, nothing but the value of `TZ` is ever shown.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use crate::filesystem::read_regular;
use crate::policy::zone::Tz;

/// The largest `.env` that is read.
const MOST_BYTES: u64 = 1 << 20;
/// How much of a name that is no zone is shown.
const MOST_SHOWN: usize = 40;

/// Where a zone was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ZoneOrigin {
    /// Our own setting.
    Setting,
    /// The variable `TZ`.
    Variable,
    /// `TZ=` in the root's `.env`.
    EnvFile,
    /// The machine's own zone.
    Machine,
    /// Nowhere: it is UTC.
    Default,
}

impl ZoneOrigin {
    /// The name in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Setting => "setting",
            Self::Variable => "variable",
            Self::EnvFile => "env-file",
            Self::Machine => "machine",
            Self::Default => "default",
        }
    }

    /// For people.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Setting => "queues.zone",
            Self::Variable => "TZ",
            Self::EnvFile => "TZ in .env",
            Self::Machine => "the machine",
            Self::Default => "default",
        }
    }
}

/// The zone of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone {
    /// The zone.
    pub(crate) tz: Tz,
    /// Where it was named.
    pub(crate) origin: ZoneOrigin,
    /// What was to come before it and could not: a sentence for each.
    pub(crate) problems: Vec<String>,
}

/// The zone of the installation at `root`. A `variable` (the value of `TZ`) that is empty names
/// none.
pub(crate) fn zone_of(setting: Option<Tz>, variable: Option<&OsStr>, root: &Path) -> Zone {
    choose(setting, variable, root, || iana_time_zone::get_timezone().ok())
}

fn choose(
    setting: Option<Tz>,
    variable: Option<&OsStr>,
    root: &Path,
    machine: impl FnOnce() -> Option<String>,
) -> Zone {
    let mut problems = Vec::new();
    let mut named = |origin: ZoneOrigin, name: Option<String>| {
        let name = name.filter(|name| !name.is_empty())?;
        let tz = Tz::named(&name);
        if tz.is_none() {
            let shown: String = name.chars().take(MOST_SHOWN).collect();
            problems.push(format!("{} names {shown:?}, which is no time zone", origin.words()));
        }
        tz.map(|tz| (tz, origin))
    };
    let found = setting.map(|tz| (tz, ZoneOrigin::Setting));
    let found = found.or_else(|| named(ZoneOrigin::Variable, variable.map(|name| name.to_string_lossy().into_owned())));
    if let Some((tz, origin)) = found {
        return Zone { tz, origin, problems };
    }
    let in_file = named_in_file(&root.join(".env"));
    let found = match in_file {
        Ok(name) => named(ZoneOrigin::EnvFile, name),
        Err(error) => {
            problems.push(format!(".env cannot be read for its TZ: {error}"));
            None
        }
    };
    let machine = || machine().and_then(|name| Tz::named(&name)).map(|tz| (tz, ZoneOrigin::Machine));
    let (tz, origin) = found.or_else(machine).unwrap_or((Tz::UTC, ZoneOrigin::Default));
    Zone { tz, origin, problems }
}

/// What a `.env` says of `TZ`; nothing where there is no such file. A link is not followed: it may lead out of the root.
fn named_in_file(path: &Path) -> io::Result<Option<String>> {
    match fs_err::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if metadata.is_symlink() => {
            return Err(io::Error::other(format!("{} is a link", path.display())));
        }
        Ok(_) => {}
        Err(error) => return Err(error),
    }
    let bytes = read_regular(path, MOST_BYTES)?;
    Ok(value_of_tz(&String::from_utf8_lossy(&bytes)))
}

/// The last value of `TZ` in the text of a `.env`.
fn value_of_tz(text: &str) -> Option<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut values = text.lines().filter_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(line);
        let (key, value) = line.split_once('=')?;
        (key.trim() == "TZ").then(|| unquoted(value.trim()).to_owned())
    });
    values.next_back()
}

/// A value without its quotes, and without the comment that may follow it.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some((inside, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inside;
        }
    }
    let comment = value.match_indices('#').find(|(at, _)| value[..*at].ends_with([' ', '\t']) || *at == 0);
    comment.map_or(value, |(at, _)| value[..at].trim_end())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    fn tz(name: &str) -> Tz {
        Tz::named(name).unwrap()
    }

    /// The zone of a root with this `.env`, on a machine in Apia.
    fn zone(setting: &str, variable: &str, env: &str) -> Zone {
        let root = tempfile::tempdir().unwrap();
        if !env.is_empty() {
            fs_err::write(root.path().join(".env"), env).unwrap();
        }
        choose(Tz::named(setting), Some(OsStr::new(variable)), root.path(), || Some("Pacific/Apia".to_owned()))
    }

    #[test]
    fn the_first_place_that_names_a_zone_counts() {
        let (setting, variable, env) = ("Europe/Madrid", "Asia/Kolkata", "TZ=America/New_York\n");
        for (zone, tz, origin) in [
            (zone(setting, variable, env), tz("Europe/Madrid"), ZoneOrigin::Setting),
            (zone("", variable, env), tz("Asia/Kolkata"), ZoneOrigin::Variable),
            (zone("", "", env), tz("America/New_York"), ZoneOrigin::EnvFile),
            (zone("", "", "TZ=\n"), tz("Pacific/Apia"), ZoneOrigin::Machine),
            (zone("", "", ""), tz("Pacific/Apia"), ZoneOrigin::Machine),
            (zone("europe/madrid", "", ""), tz("Europe/Madrid"), ZoneOrigin::Setting),
        ] {
            assert_eq!(zone, Zone { tz, origin, problems: Vec::new() });
        }
    }

    #[test]
    fn where_even_the_machine_names_none_it_is_utc() {
        let root = tempfile::tempdir().unwrap();
        for machine in [None, Some("nowhere".to_owned())] {
            let zone = choose(None, None, root.path(), || machine);
            assert_eq!((zone.tz, zone.origin, zone.problems.len()), (Tz::UTC, ZoneOrigin::Default, 0));
        }
    }

    #[test]
    fn what_is_no_zone_is_passed_over_and_told() {
        let zone = zone("", ":Europe/Madrid", "SECRET=1\nTZ=CET-1CEST\u{1b}[2J\nTOKEN=2\n");
        assert_eq!((zone.tz, zone.origin), (tz("Pacific/Apia"), ZoneOrigin::Machine));
        assert_eq!(
            zone.problems,
            [
                "TZ names \":Europe/Madrid\", which is no time zone",
                "TZ in .env names \"CET-1CEST\\u{1b}[2J\", which is no time zone",
            ]
        );
        let root = tempfile::tempdir().unwrap();
        let variable = OsStr::from_bytes(b"\xff/x");
        assert_eq!(choose(None, Some(variable), root.path(), || None).problems.len(), 1);
    }

    #[test]
    fn a_long_name_is_shown_in_part() {
        let zone = zone("", &"é".repeat(10_000), "");
        assert_eq!(zone.problems, [format!("TZ names {:?}, which is no time zone", "é".repeat(40))]);
    }

    #[test]
    fn an_env_file_is_read_as_shells_and_programs_write_it() {
        for (text, expected) in [
            ("TZ=Asia/Kolkata", Some("Asia/Kolkata")),
            ("A=1\r\nTZ=Asia/Kolkata\r\nB=2\r\n", Some("Asia/Kolkata")),
            ("\u{feff}TZ=Asia/Kolkata\n", Some("Asia/Kolkata")),
            ("  export\tTZ = \"Asia/Kolkata\" # home\n", Some("Asia/Kolkata")),
            ("export TZ='Asia/Kolkata'", Some("Asia/Kolkata")),
            ("TZ=Asia/Kolkata # home", Some("Asia/Kolkata")),
            ("TZ=Asia/Kolkata#home", Some("Asia/Kolkata#home")),
            ("TZ=Europe/Madrid\nTZ=Asia/Kolkata\n", Some("Asia/Kolkata")),
            ("TZ=# none yet", Some("")),
            ("TZ=\"Asia/Kolkata", Some("\"Asia/Kolkata")),
            ("# TZ=Asia/Kolkata", None),
            ("#TZ=Asia/Kolkata\nMYTZ=Asia/Kolkata\nTZX=1\nexportTZ=1\ntz=1\nTZ\n", None),
            ("", None),
        ] {
            assert_eq!(value_of_tz(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_env_file_that_is_a_link_a_folder_or_too_large_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let env = root.path().join(".env");
        let problem = || {
            let zone = choose(None, None, root.path(), || None);
            assert_eq!((zone.tz, zone.origin), (Tz::UTC, ZoneOrigin::Default));
            zone.problems.concat()
        };
        let elsewhere = root.path().join("elsewhere");
        fs_err::write(&elsewhere, "TZ=Asia/Kolkata").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &env).unwrap();
        assert!(problem().ends_with(".env is a link"));
        fs_err::remove_file(&env).unwrap();
        fs_err::create_dir(&env).unwrap();
        assert!(problem().ends_with(".env is no regular file"));
        fs_err::remove_dir(&env).unwrap();
        fs_err::write(&env, format!("TZ=Asia/Kolkata\n{}", " ".repeat(1 << 20))).unwrap();
        assert!(problem().ends_with(".env is too large"));
    }

    #[test]
    fn the_machine_has_a_zone_or_it_is_utc() {
        let root = tempfile::tempdir().unwrap();
        let zone = zone_of(None, None, root.path());
        assert!(matches!(zone.origin, ZoneOrigin::Machine | ZoneOrigin::Default), "{zone:?}");
        assert!(!zone.origin.name().is_empty() && zone.problems.is_empty());
    }
}

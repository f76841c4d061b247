//! Whether the program that a schedule starts is this one.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Facts, Finding};
use crate::programs::{Answer, Programs};
use crate::schedule::Schedule;

/// What is running.
const OURSELVES: &str = "/proc/self/exe";

/// The program of one schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binary {
    /// The schedule's unit or file.
    pub(crate) place: String,
    /// Nothing where the schedule does not tell.
    pub(crate) path: Option<PathBuf>,
    pub(crate) likeness: Likeness,
}

/// How a program resembles this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// It is the same file.
    Same,
    /// Another file with the same content.
    Copy,
    /// Another file, which calls itself this.
    Other(String),
    /// Nothing is there.
    Missing,
    /// It could not be examined.
    Unknown(String),
}

impl Binary {
    /// Looks at the program of `schedule`.
    pub(crate) fn of(schedule: &Schedule, programs: &Programs) -> Self {
        let unknown = || Likeness::Unknown("the schedule does not name the program by a path".to_owned());
        let likeness = schedule.program.as_ref().map_or_else(unknown, |path| likeness(path, programs));
        Self { place: schedule.place.clone(), path: schedule.program.clone(), likeness }
    }
}

fn likeness(path: &Path, programs: &Programs) -> Likeness {
    let ours = match std::fs::metadata(OURSELVES) {
        Ok(ours) => ours,
        Err(error) => return Likeness::Unknown(format!("{OURSELVES}: {error}")),
    };
    let theirs = match std::fs::metadata(path) {
        Ok(theirs) => theirs,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Likeness::Missing,
        Err(error) => return Likeness::Unknown(error.to_string()),
    };
    if (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()) {
        return Likeness::Same;
    }
    if !theirs.is_file() {
        return Likeness::Unknown("it is no file".to_owned());
    }
    let text = |path: &Path| std::fs::read(path).ok();
    if ours.len() == theirs.len() && text(path).is_some_and(|theirs| text(Path::new(OURSELVES)) == Some(theirs)) {
        return Likeness::Copy;
    }
    // Another program might do anything when it is started.
    if path.file_name() != Some("session-sweep".as_ref()) {
        return Likeness::Unknown("it is not called session-sweep, and was not asked what it is".to_owned());
    }
    match programs.ask_at(path, &["--version"]) {
        Answer::Said(version) => Likeness::Other(version.trim().chars().take(64).collect()),
        Answer::Failed(why) => Likeness::Unknown(why),
        Answer::NotInstalled => Likeness::Missing,
    }
}

pub(super) fn binary(facts: &Facts) -> Finding {
    let own = format!("session-sweep {}", env!("CARGO_PKG_VERSION"));
    let mut doubt = None;
    for Binary { place, path, likeness } in &facts.binaries {
        let path = path.as_ref().map_or_else(|| "?".into(), |path| path.to_string_lossy());
        match likeness {
            Likeness::Same => {}
            Likeness::Missing => {
                return Finding::wrong(format!("{place} starts {path}, which is not there"), "./install.sh");
            }
            Likeness::Other(version) if *version != own => {
                let message = format!("{place} starts {path}, which is {version:?}; this is {own}");
                return Finding::wrong(message, "./install.sh");
            }
            Likeness::Unknown(why) => {
                doubt =
                    Some(Finding::unknown(format!("{place} starts {path}: {why}"), "./install.sh names it by a path"));
            }
            Likeness::Copy | Likeness::Other(_) => {
                let message = format!("{place} starts {path}, another file of the same version than this one");
                doubt = doubt.or_else(|| Some(Finding::warning(message, "keep one of them, or ./install.sh")));
            }
        }
    }
    match (doubt, &facts.binaries[..]) {
        (Some(finding), _) => finding,
        (None, []) if facts.only_others() => Finding::ok("nothing is scheduled for root"),
        (None, []) => Finding::unknown("nothing is scheduled", "./install.sh"),
        (None, [first, ..]) => {
            Finding::ok(first.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_same_file_a_copy_and_none_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let programs = Programs::default();
        let of = |name: &str| likeness(&folder.path().join(name), &programs);
        symlink(std::fs::read_link(OURSELVES).unwrap(), folder.path().join("link")).unwrap();
        assert_eq!(of("link"), Likeness::Same);
        std::fs::copy(OURSELVES, folder.path().join("copy")).unwrap();
        assert_eq!(of("copy"), Likeness::Copy);
        assert_eq!(of("nothing"), Likeness::Missing);
        assert_eq!(of("."), Likeness::Unknown("it is no file".to_owned()));
        fs_err::write(folder.path().join("session-sweep"), "no program").unwrap();
        assert!(matches!(of("session-sweep"), Likeness::Unknown(_)));
        // It would answer `--version`.
        assert!(matches!(likeness(Path::new("/bin/true"), &programs), Likeness::Unknown(why) if why.contains("asked")));
    }
}

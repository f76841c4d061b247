//! What CLIs left behind: what a scan found, all that there is, what a clean-up did, what a hook noted.

mod clean;
mod command_line;
mod document;
mod hook;
mod lines;
mod report;
mod scan;

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::Dirs;
use crate::sweep::processes::plan::Process;
use command_line::shown;

pub(crate) use clean::CleanView;
pub(crate) use hook::HookView;
pub(crate) use lines::left_over;
pub(crate) use report::ReportView;
pub(crate) use scan::ScanView;

/// A text in which the home is `~`, wherever it stands for itself: `/home/alice2` and `/mnt/home/alice` are other folders.
fn with_tilde(text: &str, dirs: &Dirs) -> String {
    let home = dirs.home.to_string_lossy();
    // A home of one character would be everywhere.
    if home.len() <= 1 {
        return text.to_owned();
    }
    let mut parts = text.split(home.as_ref());
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let begins = !short.ends_with(|c: char| c.is_alphanumeric() || c == '~');
        let ends = !part.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
        short.push_str(if begins && ends { "~" } else { home.as_ref() });
        short.push_str(part);
    }
    short
}

/// How and when processes are shown.
#[derive(Clone, Copy)]
struct Shown<'s> {
    dirs: &'s Dirs,
    /// Command lines and paths whole.
    full: bool,
    now: DateTime<Utc>,
}

impl Shown<'_> {
    fn path(self, path: &Path) -> String {
        if self.full { path.display().to_string() } else { self.dirs.shorten(path) }
    }

    fn text(self, text: &str) -> String {
        if self.full { text.to_owned() } else { with_tilde(text, self.dirs) }
    }

    fn command_line(self, process: &Process) -> String {
        shown(&process.arguments, &process.name, self.dirs, self.full)
    }
}

/// When a process started.
fn started(process: &Process, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    now.checked_sub_signed(TimeDelta::from_std(process.age?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[test]
    fn a_home_is_a_tilde_where_it_stands_for_itself() {
        let dirs = |home| Dirs::find(&Environment::from_iter([("HOME", home)])).unwrap();
        for (text, shown) in [
            ("it is in /home/alice/.claude: EACCES", "it is in ~/.claude: EACCES"),
            ("--dir=/home/alice /home/alice", "--dir=~ ~"),
            ("/home/alice2/x /mnt/home/alice /home/alice-old", "/home/alice2/x /mnt/home/alice /home/alice-old"),
        ] {
            assert_eq!(with_tilde(text, &dirs("/home/alice")), shown);
        }
        assert_eq!(with_tilde("/a/b", &dirs("/")), "/a/b");
    }
}

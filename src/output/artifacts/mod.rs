//! What sessions left on the disk: what there is, what goes, what is in the archive.

mod archive;
mod prune;
mod report;

use std::io::{self, Write};
use std::path::Path;

use chrono::{DateTime, Utc};

use super::age::Age;
use super::escape::Escaped;
use super::style::{Style, Tone};
use crate::config::Dirs;
use crate::policy::artifact::is_future;

pub(crate) use archive::{ArchiveView, ListView, RestoredView};
pub(crate) use prune::PruneView;
pub(crate) use report::ReportView;

/// How long ago `time` was; a clock may be some minutes ahead.
fn age(time: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    if time.is_some_and(|time| is_future(time, now)) {
        return "future".to_owned();
    }
    Age(time.map(|time| (now - time).num_seconds().max(0).unsigned_abs())).to_string()
}

/// `1 file`, `2 files`.
fn count(number: impl Into<u64>, noun: &str) -> String {
    let number = number.into();
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A path for people.
fn short(dirs: &Dirs, path: &Path) -> String {
    Escaped(&dirs.shorten(path)).to_string()
}

fn write_problems(out: &mut dyn Write, style: Style, problems: &[String]) -> io::Result<()> {
    for problem in problems {
        writeln!(out, "{} {}", style.paint(Tone::Attention, "note:"), Escaped(problem))?;
    }
    Ok(())
}

//! What there is, home by home.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::{Value, json};

use super::{ArchiveView, age, count, short, write_problems};
use crate::artifacts::survey::{Sums, Tally};
use crate::config::Dirs;
use crate::output::View;
use crate::output::bytes::Bytes;
use crate::output::style::{Style, Tone};
use crate::policy::timestamp::Timestamp;
use crate::providers::own_cleanup::Period;
use crate::sweep::artifacts::outlook::Outlook;
use crate::sweep::artifacts::plan::label;
use crate::sweep::artifacts::report::{Holding, Holdings};

/// All that there is.
pub(crate) struct ReportView<'v> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) dirs: &'v Dirs,
    pub(crate) homes: &'v [Holdings<'v>],
    pub(crate) archive: ArchiveView<'v>,
    pub(crate) problems: &'v [String],
}

fn time(nanoseconds: Option<i64>) -> Option<DateTime<Utc>> {
    nanoseconds.map(DateTime::from_timestamp_nanos)
}

impl ReportView<'_> {
    fn row(&self, out: &mut dyn Write, name: &str, (items, sums): (u64, &Sums), tail: &str) -> io::Result<()> {
        let line = format!(
            "  {name:<16} {items:>8}  {:>8}  {:>6}  {:>6}  {tail}",
            Bytes(sums.disk).to_string(),
            age(time(sums.oldest), self.now),
            age(time(sums.newest), self.now),
        );
        writeln!(out, "{}", line.trim_end())
    }

    fn holding(&self, out: &mut dyn Write, style: Style, holding: &Holding) -> io::Result<()> {
        let Tally { sums, items, overdue, overdue_disk } = &holding.tally;
        let kept_for = holding.limits.map_or_else(|| "never".to_owned(), |limits| limits.retention.to_string());
        let past = match overdue {
            0 => String::new(),
            overdue => style.paint(Tone::Change, format!("{overdue} ({})", Bytes(*overdue_disk))).to_string(),
        };
        self.row(out, holding.name(), (*items, sums), &format!("{kept_for:<8}  {past}"))
    }

    fn home(&self, out: &mut dyn Write, style: Style, holdings: &Holdings<'_>) -> io::Result<()> {
        let total = holdings.total();
        let heading = format!("{}  {}", holdings.home.provider, short(self.dirs, label(&holdings.home)));
        writeln!(out, "{}  {}", style.paint(Tone::Heading, heading), Bytes(total.disk))?;
        for holding in holdings.kinds.iter().filter(|holding| holding.tally.items > 0) {
            self.holding(out, style, holding)?;
        }
        if holdings.other.files > 0 {
            self.row(out, "other", (holdings.other.files, &holdings.other), "")?;
        }
        Ok(())
    }

    fn outlooks(&self) -> impl Iterator<Item = &Outlook> {
        self.homes.iter().filter_map(|home| home.outlook.as_ref())
    }
}

/// What a CLI will do, in a sentence; nothing where it does nothing soon.
fn sentence(outlook: &Outlook, dirs: &Dirs, now: DateTime<Utc>) -> Option<(Tone, String)> {
    match &outlook.period {
        Period::Unknown(why) => {
            Some((Tone::Attention, format!("when {} deletes its sessions is not known: {why}", outlook.provider)))
        }
        Period::After { setting: (key, file), .. } if outlook.sessions > 0 => {
            // A day that has begun counts; what is late goes with the next start.
            let left = outlook.until.map_or(0, |until| (until - now).num_seconds().max(1));
            let days = count((left.unsigned_abs()).div_ceil(86_400), "day");
            let sessions = count(outlook.sessions as u64, "session");
            let (provider, file) = (&outlook.provider, short(dirs, file));
            Some((
                Tone::Attention,
                format!("{provider} will delete {sessions} itself within {days}: raise {key} in {file}"),
            ))
        }
        Period::After { .. } | Period::Never => None,
    }
}

impl View for ReportView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, _: u8) -> io::Result<()> {
        if self.homes.is_empty() {
            writeln!(out, "no home of any known CLI was found")?;
        } else {
            let heading = format!(
                "  {:<16} {:>8}  {:>8}  {:>6}  {:>6}  {:<8}  PAST THAT",
                "KIND", "ITEMS", "SIZE", "OLDEST", "NEWEST", "KEPT FOR"
            );
            writeln!(out, "{}", style.paint(Tone::Heading, heading))?;
        }
        for holdings in self.homes {
            self.home(out, style, holdings)?;
        }
        self.archive.line(out, style, self.dirs)?;
        for (tone, text) in self.outlooks().filter_map(|outlook| sentence(outlook, self.dirs, self.now)) {
            writeln!(out, "{}", style.paint(tone, crate::output::escape::Escaped(&text)))?;
        }
        write_problems(out, style, self.problems)
    }
}

fn sums(sums: &Sums) -> Value {
    json!({
        "files": sums.files,
        "bytes": sums.bytes,
        "disk_bytes": sums.disk,
        "oldest": time(sums.oldest).map(Timestamp),
        "newest": time(sums.newest).map(Timestamp),
    })
}

fn document(holdings: &Holdings<'_>) -> Value {
    let kind = |holding: &Holding| {
        let Tally { sums: all, items, overdue, overdue_disk } = &holding.tally;
        let mut row = sums(all);
        row["kind"] = json!(holding.name());
        row["items"] = json!(items);
        row["retention"] = json!(holding.limits.map(|limits| limits.retention.to_string()));
        row["max_size"] = json!(holding.limits.map(|limits| limits.max_size.to_string()));
        row["overdue"] = json!(overdue);
        row["overdue_disk_bytes"] = json!(overdue_disk);
        row
    };
    json!({
        "provider": holdings.home.provider,
        "home": holdings.home.folder.to_string_lossy(),
        "total": sums(&holdings.total()),
        "other": sums(&holdings.other),
        "kinds": holdings.kinds.iter().map(kind).collect::<Vec<_>>(),
        "own_cleanup": holdings.outlook.as_ref().map(own_cleanup),
    })
}

fn own_cleanup(outlook: &Outlook) -> Value {
    let days = match &outlook.period {
        Period::After { age, .. } => Some(age.num_days()),
        Period::Never | Period::Unknown(_) => None,
    };
    let unknown = if let Period::Unknown(why) = &outlook.period { Some(why) } else { None };
    json!({
        "after_days": days,
        "sessions_within_7_days": outlook.sessions,
        "until": outlook.until.map(Timestamp),
        "unknown": unknown,
    })
}

impl Serialize for ReportView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut view = serializer.serialize_struct("Report", 6)?;
        view.serialize_field("schema", &1)?;
        view.serialize_field("command", "artifacts report")?;
        view.serialize_field("now", &Timestamp(self.now))?;
        view.serialize_field("homes", &self.homes.iter().map(document).collect::<Vec<_>>())?;
        view.serialize_field("archive", &self.archive.document())?;
        view.serialize_field("problems", self.problems)?;
        view.end()
    }
}

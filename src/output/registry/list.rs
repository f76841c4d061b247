//! Who works under which number.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::json;

use super::{document, tone, write_notes};
use crate::output::View;
use crate::output::age::Age;
use crate::output::escape::Escaped;
use crate::output::style::{Style, Tone};
use crate::policy::heartbeat::Liveness;
use crate::policy::session_number::SessionNumber;
use crate::policy::timestamp::Timestamp;
use crate::registry::survey::{Survey, Surveyed};

/// Free numbers, first and last; the last ones have no end.
type Free = [(SessionNumber, Option<SessionNumber>)];

const HEADINGS: [&str; 5] = ["NO", "STATUS", "BEAT", "FROM", "TERMINAL"];
/// A line should fit a terminal of 80 characters; JSON has the whole.
const LONGEST_TERMINAL: usize = 14;

/// Who works under which number.
pub(crate) struct ListView<'v> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) base: String,
    pub(crate) timeout: Option<Duration>,
    pub(crate) survey: &'v Survey,
    pub(crate) free: &'v Free,
    /// The terminal that is known as a session.
    pub(crate) holder: &'v dyn Fn(SessionNumber) -> Option<String>,
    /// Also the inactive ones.
    pub(crate) all: bool,
}

impl ListView<'_> {
    fn shown(&self) -> impl Iterator<Item = &Surveyed> {
        self.survey.sessions.iter().filter(|session| self.all || session.liveness != Liveness::Inactive)
    }

    /// Shows it beside questions.
    pub(crate) fn to_stderr(&self, style: Style) -> io::Result<()> {
        self.text(&mut io::stderr(), style, 0)
    }

    /// Number, status, age of the last sign of life, where that was read, terminal.
    fn row(&self, session: &Surveyed) -> [String; 5] {
        let status = session.status.as_deref().unwrap_or("-");
        let status = match session.liveness {
            Liveness::Stale | Liveness::Unknown => format!("{}, {}", Escaped(status), session.liveness.name()),
            Liveness::Active | Liveness::Inactive | Liveness::Other => Escaped(status).to_string(),
        };
        let terminal = (self.holder)(session.number).or_else(|| session.terminal.clone());
        [
            session.number.to_string(),
            status,
            Age(session.age(self.now)).to_string(),
            session.last_sign.as_ref().map_or("-", |sign| sign.source.words()).to_owned(),
            cut(&Escaped(terminal.as_deref().unwrap_or("-")).to_string(), LONGEST_TERMINAL),
        ]
    }
}

impl View for ListView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        let rows: Vec<[String; 5]> = self.shown().map(|session| self.row(session)).collect();
        let mut widths = HEADINGS.map(str::len);
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let [number, status, beat, from, terminal] = widths;
        if !rows.is_empty() {
            let [no, of_status, of_beat, of_from, at] = HEADINGS;
            let heading = format!(
                "{no:>number$}  {of_status:<status$}  {of_beat:>beat$}  {of_from:<from$}  {at:<terminal$}  ROLE: GOAL"
            );
            writeln!(out, "{}", style.paint(Tone::Heading, heading))?;
        }
        for (session, row) in self.shown().zip(&rows) {
            let [own_number, own_status, own_beat, own_from, own_terminal] = row;
            writeln!(
                out,
                "{own_number:>number$}  {}  {own_beat:>beat$}  {own_from:<from$}  {own_terminal:<terminal$}  {}",
                style.paint(tone(session.liveness), format!("{own_status:<status$}")),
                Escaped(&format!("{}: {}", session.role, session.goal)),
            )?;
            let work = session.working_on.as_deref().filter(|_| verbose > 0 || session.liveness == Liveness::Active);
            if let Some(work) = work {
                writeln!(out, "{:number$}  {}", "", style.paint(Tone::Quiet, format!("working on {}", Escaped(work))))?;
            }
            if let Some(doubt) = session.doubt.as_ref().filter(|_| session.liveness == Liveness::Unknown) {
                writeln!(out, "{:number$}  {}", "", style.paint(Tone::Attention, Escaped(doubt)))?;
            }
        }
        let inactive = self.survey.count(Liveness::Inactive);
        if rows.is_empty() {
            writeln!(out, "no session is active")?;
        }
        if !self.all && inactive > 0 {
            writeln!(out, "{inactive} inactive; --all shows them")?;
        }
        let stale = self.survey.count(Liveness::Stale);
        if stale > 0 {
            let note = format!("{stale} gave no sign of life for too long; `session-sweep registry cleanup` ends them");
            writeln!(out, "{}", style.paint(Tone::Attention, note))?;
        }
        writeln!(out, "free numbers: {}", Ranges(self.free))?;
        write_notes(out, style, self.survey, verbose)
    }
}

/// A text of at most `most` characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(std::iter::once('…')).collect()
}

/// `3-4, 7, from 9 on`.
struct Ranges<'r>(&'r Free);

impl fmt::Display for Ranges<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (first, last)) in self.0.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { ", " })?;
            match last {
                None => write!(f, "from {first} on")?,
                Some(last) if last == first => write!(f, "{first}")?,
                Some(last) => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl Serialize for ListView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sessions = self.shown().map(|session| {
            let mut members = document(session, self.now);
            members.insert("holder".to_owned(), json!((self.holder)(session.number)));
            members.insert("beat_status".to_owned(), json!(session.beat_status));
            members.insert("working_on".to_owned(), json!(session.working_on));
            members
        });
        let free = self.free.iter().map(|(first, last)| (first.get(), last.map(SessionNumber::get)));
        let mut document = serializer.serialize_struct("List", 14)?;
        document.serialize_field("schema", &1)?;
        document.serialize_field("command", "registry list")?;
        document.serialize_field("now", &Timestamp(self.now))?;
        document.serialize_field("base", &self.base)?;
        document.serialize_field("timeout_seconds", &self.timeout.map(|timeout| timeout.as_secs()))?;
        document.serialize_field("sessions", &sessions.collect::<Vec<_>>())?;
        document.serialize_field("inactive", &self.survey.count(Liveness::Inactive))?;
        document.serialize_field("free", &free.collect::<Vec<_>>())?;
        document.serialize_field("next_free", &self.free.first().map(|(first, _)| first.get()))?;
        document.serialize_field("beats", &self.survey.beats)?;
        document.serialize_field("unattributed_beats", &self.survey.unattributed)?;
        document.serialize_field("not_understood", &self.survey.not_understood)?;
        document.serialize_field("notes", &self.survey.notes)?;
        document.serialize_field("problems", &self.survey.problems)?;
        document.end()
    }
}

//! The registry of numbered sessions: who is there, what a clean-up did, what became of one session.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::{Value, json};

use super::View;
use super::age::Age;
use super::escape::Escaped;
use super::style::{Style, Tone};
use crate::policy::duration::Limit;
use crate::policy::heartbeat::Liveness;
use crate::policy::session_number::SessionNumber;
use crate::policy::timestamp::Timestamp;
use crate::registry::cleanup::Plan;
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

impl ListView<'_> {
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

/// A text of at most `most` characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(std::iter::once('…')).collect()
}

const fn tone(liveness: Liveness) -> Tone {
    match liveness {
        Liveness::Active => Tone::Good,
        Liveness::Stale | Liveness::Unknown => Tone::Attention,
        Liveness::Inactive => Tone::Quiet,
        Liveness::Other => Tone::Change,
    }
}

fn write_notes(out: &mut dyn Write, style: Style, survey: &Survey, verbose: u8) -> io::Result<()> {
    for note in survey.problems.iter().chain(&survey.notes) {
        writeln!(out, "{} {}", style.paint(Tone::Attention, "note:"), Escaped(note))?;
    }
    for key in &survey.not_understood {
        let note = format!("{key:?} in the registry is no session that we know; it stays");
        writeln!(out, "{} {}", style.paint(Tone::Attention, "note:"), Escaped(&note))?;
    }
    if survey.unattributed > 0 && verbose > 0 {
        writeln!(out, "{} files among the heartbeats belong to no session; they stay", survey.unattributed)?;
    }
    Ok(())
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

/// What both documents say of a session.
fn document(session: &Surveyed, now: DateTime<Utc>) -> serde_json::Map<String, Value> {
    let sign = session.last_sign.as_ref();
    let value = json!({
        "number": session.number.get(),
        "session_id": session.id,
        "role": session.role,
        "goal": session.goal,
        "status": session.status,
        "terminal": session.terminal,
        "last_heartbeat": sign.map(|sign| Timestamp(sign.time)),
        "source": sign.map(|sign| sign.source.name()),
        "beat": sign.and_then(|sign| sign.beat.as_deref()),
        "age_seconds": session.age(now),
        "verdict": session.liveness.name(),
        "doubt": session.doubt,
    });
    match value {
        Value::Object(members) => members,
        _ => serde_json::Map::new(),
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

/// What a clean-up did or would do.
pub(crate) struct CleanupView<'v> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) base: String,
    pub(crate) timeout: Limit,
    pub(crate) plan: &'v Plan,
    /// How many heartbeats were removed; nothing in a dry run.
    pub(crate) removed: Option<usize>,
    /// What could not be removed.
    pub(crate) late: &'v [String],
}

impl CleanupView<'_> {
    /// What could not be looked at or done.
    pub(crate) fn problems(&self) -> Vec<String> {
        let problems = self.plan.survey.problems.iter().chain(self.late).chain(&self.plan.held);
        problems.cloned().collect()
    }

    /// The same in few lines, among other areas.
    pub(crate) fn brief(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        let survey = &self.plan.survey;
        writeln!(out, "{} {}", style.paint(Tone::Heading, "registry"), Escaped(&self.base))?;
        for session in survey.sessions.iter().filter(|session| verbose > 0 || self.plan.goes(session.number)) {
            let (goes, decision) = self.decision(session);
            let tone = if goes { Tone::Change } else { tone(session.liveness) };
            let name = format!("#{:02} {} ({})", session.number.get(), session.id, session.role);
            let age = Age(session.age(self.now));
            writeln!(out, "{}  last sign {age}  {}", Escaped(&name), style.paint(tone, Escaped(&decision)))?;
        }
        write_notes(out, style, survey, verbose)?;
        for problem in self.late.iter().chain(&self.plan.held) {
            writeln!(out, "{} {}", style.paint(Tone::Attention, "note:"), Escaped(problem))?;
        }
        let count = |liveness| survey.count(liveness);
        let (would, beats) = match self.removed {
            Some(removed) => ("", removed),
            None => ("would be ", self.plan.superseded.len()),
        };
        let going = self.plan.going.len();
        let tone = if going > 0 { Tone::Change } else { Tone::Good };
        writeln!(
            out,
            "{} sessions: {} active, {} stale, {} unknown, {} inactive, {} other; {}, {beats} old heartbeats {would}removed",
            survey.sessions.len(),
            count(Liveness::Active),
            count(Liveness::Stale),
            count(Liveness::Unknown),
            count(Liveness::Inactive),
            count(Liveness::Other),
            style.paint(tone, format!("{going} {would}marked inactive")),
        )
    }

    /// What becomes of a session, in words.
    fn decision(&self, session: &Surveyed) -> (bool, String) {
        let goes = self.plan.goes(session.number);
        let words = match session.liveness {
            Liveness::Stale if goes => {
                let last = if session.last_sign.is_some() { "timeout exceeded" } else { "no sign of life" };
                let verb = if self.removed.is_some() { "Marked" } else { "Will mark" };
                format!("{verb} as INACTIVE ({last})")
            }
            Liveness::Stale if self.plan.held.is_some() => "Staying ACTIVE (the clock jumped)".to_owned(),
            Liveness::Active | Liveness::Stale => "Staying ACTIVE".to_owned(),
            Liveness::Unknown => {
                format!("Staying ACTIVE ({})", session.doubt.as_deref().unwrap_or("not all could be read"))
            }
            Liveness::Inactive => "Inactive already".to_owned(),
            Liveness::Other => "Left alone: only active sessions are marked".to_owned(),
        };
        (goes, words)
    }

    fn summary(&self) -> Value {
        let count = |liveness| self.plan.survey.count(liveness);
        json!({
            "active": count(Liveness::Active),
            "stale": count(Liveness::Stale),
            "unknown": count(Liveness::Unknown),
            "inactive": count(Liveness::Inactive),
            "other": count(Liveness::Other),
            "marked_inactive": self.plan.going.len(),
            "beats": self.plan.survey.beats,
            "beats_pruned": self.removed.unwrap_or(self.plan.superseded.len()),
        })
    }
}

/// As the original's scripts tell it: `2h 5m`.
struct HoursAndMinutes(u64);

impl fmt::Display for HoursAndMinutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}h {}m", self.0 / 3600, self.0 % 3600 / 60)
    }
}

impl View for CleanupView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        let survey = &self.plan.survey;
        writeln!(out, "{} {}", style.paint(Tone::Heading, "registry"), Escaped(&self.base))?;
        writeln!(out, "Timeout: {}", self.timeout)?;
        for session in &survey.sessions {
            let (goes, decision) = self.decision(session);
            let is_asleep = matches!(session.liveness, Liveness::Stale | Liveness::Inactive);
            let mark = if is_asleep { "💤" } else { "✅" };
            writeln!(out, "{mark} Session #{:02} ({})", session.number.get(), Escaped(&session.id))?;
            let last = match (&session.last_sign, session.age(self.now)) {
                (Some(sign), Some(age)) => format!("{} ago ({})", HoursAndMinutes(age), sign.source.words()),
                _ => "Never".to_owned(),
            };
            writeln!(out, "   Last heartbeat: {last}")?;
            writeln!(out, "   Current status: {}", Escaped(session.status.as_deref().unwrap_or("none")))?;
            let tone = if goes { Tone::Change } else { tone(session.liveness) };
            writeln!(out, "   → {}", style.paint(tone, Escaped(&decision)))?;
        }
        writeln!(out, "{}", style.paint(Tone::Heading, "Summary"))?;
        let staying = survey.count(Liveness::Active) + survey.count(Liveness::Unknown);
        writeln!(out, "✅ Active sessions: {staying}")?;
        writeln!(out, "💤 Stale sessions: {}", survey.count(Liveness::Stale))?;
        for session in survey.sessions.iter().filter(|session| session.liveness == Liveness::Stale) {
            writeln!(out, "   #{:02} {} ({})", session.number.get(), Escaped(&session.id), Escaped(&session.role))?;
        }
        write_notes(out, style, survey, verbose)?;
        for problem in self.late.iter().chain(&self.plan.held) {
            writeln!(out, "{} {}", style.paint(Tone::Attention, "note:"), Escaped(problem))?;
        }
        match (self.plan.going.len(), self.removed.is_some()) {
            (0, _) if self.plan.held.is_some() => writeln!(out, "Nothing was marked in this run")?,
            (0, _) if survey.count(Liveness::Unknown) > 0 || !survey.problems.is_empty() => {
                writeln!(out, "No session was marked; not all could be looked at")?;
            }
            (0, _) => writeln!(out, "✨ All active sessions are healthy!")?,
            (going, true) => {
                let said = format!("✅ Marked {going} session(s) as inactive");
                writeln!(out, "{}", style.paint(Tone::Change, said))?;
            }
            (going, false) => writeln!(out, "{going} session(s) would be marked as inactive")?,
        }
        match (self.removed, self.plan.superseded.len()) {
            (None, 0) | (Some(0), _) => {}
            (None, count) => writeln!(out, "{count} old heartbeat(s) would be removed")?,
            (Some(count), _) => writeln!(out, "{count} old heartbeat(s) removed")?,
        }
        if self.removed.is_none() {
            return writeln!(out, "🔍 DRY RUN - No changes made");
        }
        writeln!(out, "Done!")
    }
}

impl Serialize for CleanupView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let survey = &self.plan.survey;
        let sessions = survey.sessions.iter().map(|session| {
            let (goes, reason) = self.decision(session);
            let mut members = document(session, self.now);
            members.insert("action".to_owned(), json!(if goes { "deactivate" } else { "keep" }));
            members.insert("reason".to_owned(), json!(reason));
            members
        });
        let mut document = serializer.serialize_struct("Cleanup", 11)?;
        document.serialize_field("schema", &1)?;
        document.serialize_field("command", "registry cleanup")?;
        document.serialize_field("dry_run", &self.removed.is_none())?;
        document.serialize_field("now", &Timestamp(self.now))?;
        document.serialize_field("base", &self.base)?;
        document.serialize_field("timeout_seconds", &self.timeout.duration().map(|timeout| timeout.as_secs()))?;
        document.serialize_field("held", &self.plan.held)?;
        document.serialize_field("sessions", &sessions.collect::<Vec<_>>())?;
        document.serialize_field("summary", &self.summary())?;
        document.serialize_field("notes", &survey.notes)?;
        document.serialize_field("problems", &survey.problems.iter().chain(self.late).collect::<Vec<_>>())?;
        document.end()
    }
}

/// What became of one session.
#[derive(Debug)]
pub(crate) struct SessionView {
    pub(crate) command: &'static str,
    pub(crate) number: SessionNumber,
    pub(crate) session_id: String,
    pub(crate) role: String,
    pub(crate) goal: String,
    pub(crate) status: String,
    pub(crate) terminal: Option<String>,
    /// The heartbeat that was written.
    pub(crate) beat: Option<String>,
    /// Whether the registry was changed.
    pub(crate) changed: bool,
    /// For people.
    pub(crate) said: String,
}

impl View for SessionView {
    fn text(&self, out: &mut dyn Write, style: Style, _: u8) -> io::Result<()> {
        writeln!(out, "{}", style.paint(Tone::Good, Escaped(&self.said)))?;
        writeln!(out, "   Role: {}", Escaped(&self.role))?;
        writeln!(out, "   Goal: {}", Escaped(&self.goal))
    }
}

impl Serialize for SessionView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Session", 10)?;
        document.serialize_field("schema", &1)?;
        document.serialize_field("command", self.command)?;
        document.serialize_field("number", &self.number.get())?;
        document.serialize_field("session_id", &self.session_id)?;
        document.serialize_field("role", &self.role)?;
        document.serialize_field("goal", &self.goal)?;
        document.serialize_field("status", &self.status)?;
        document.serialize_field("terminal", &self.terminal)?;
        document.serialize_field("beat", &self.beat)?;
        document.serialize_field("changed", &self.changed)?;
        document.end()
    }
}

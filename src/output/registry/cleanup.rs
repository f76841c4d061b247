//! What a clean-up did or would do.

use std::fmt;
use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::{Value, json};

use super::{document, tone, write_notes};
use crate::output::View;
use crate::output::age::Age;
use crate::output::escape::Escaped;
use crate::output::overview::Headline;
use crate::output::style::{Style, Tone};
use crate::policy::duration::Limit;
use crate::policy::heartbeat::Liveness;
use crate::policy::timestamp::Timestamp;
use crate::registry::cleanup::Plan;
use crate::registry::survey::Surveyed;

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
    pub(crate) fn problems_of<'p>(plan: &'p Plan, late: &'p [String]) -> impl Iterator<Item = &'p String> {
        plan.survey.problems.iter().chain(late).chain(&plan.held)
    }

    fn problems(&self) -> impl Iterator<Item = &String> {
        Self::problems_of(self.plan, self.late)
    }

    /// The same in one line, among other areas.
    pub(in crate::output) fn headline(&self) -> Headline {
        let (going, all) = (self.plan.going.len(), self.plan.survey.sessions.len());
        let beats = self.plan.superseded.len();
        let sessions = (going > 0).then(|| format!("{going} of {all} sessions would be marked inactive"));
        let beats = (beats > 0).then(|| format!("old heartbeats: {beats} would be removed"));
        let work: Vec<String> = sessions.into_iter().chain(beats).collect();
        let work = (!work.is_empty()).then(|| work.join("; "));
        Headline::of(work, self.problems().next().is_some())
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

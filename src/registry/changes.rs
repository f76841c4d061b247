//! What is written: a session's entry, and its heartbeats.

use std::path::PathBuf;

use chrono::{DateTime, Local, SecondsFormat, Timelike as _, Utc};
use serde::Serialize;

use super::roster::{Roster, Session};
use super::terminal::Anchor;
use super::{Held, RegistryError};
use crate::filesystem::{Created, create_unflushed, make_folder};
use crate::json::{Edited, MemberChange};
use crate::policy::session_number::SessionNumber;

/// What the temporary files of heartbeats are found by.
pub(super) const BEAT: &str = "beat";

/// A session to be registered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Registration<'r> {
    pub(crate) number: SessionNumber,
    pub(crate) id: &'r str,
    pub(crate) role: &'r str,
    pub(crate) goal: &'r str,
    pub(crate) terminal: &'r str,
    pub(crate) now: DateTime<Utc>,
}

impl Roster<'_> {
    /// The text with a session registered: a new one at the end, or over one that has ended, whose other fields stay.
    pub(crate) fn registered(&self, new: Registration<'_>) -> Edited {
        let registered_at = new.now.to_rfc3339_opts(SecondsFormat::Secs, true);
        // In the original's order.
        let fields = [
            ("session_id", set(new.id)),
            ("number", set(new.number.get())),
            ("role", set(new.role)),
            ("goal", set(new.goal)),
            ("status", set("active")),
            ("registered_at", set(registered_at)),
            ("terminal", set(new.terminal)),
            ("marked_inactive_at", MemberChange::Gone),
        ];
        match self.find(new.number) {
            Some(_) => self.with_changes([(new.number, &fields[..])]),
            None => self.with_new(new.number, &fields),
        }
    }

    /// The text with these sessions ended.
    pub(crate) fn ended(&self, numbers: &[SessionNumber], now: DateTime<Utc>) -> Edited {
        let marked_at = as_python_writes(now);
        let fields = [("status", set("inactive")), ("marked_inactive_at", set(marked_at))];
        self.with_changes(numbers.iter().map(|number| (*number, &fields[..])))
    }

    /// The text with a session active again and at this terminal; nothing when it says so already.
    pub(crate) fn revived(&self, session: &Session<'_>, terminal: Option<&str>) -> Option<Edited> {
        let mut fields = Vec::new();
        if session.is_inactive() {
            fields.push(("status", set("active")));
        }
        // It stays behind where the original's scripts revive one.
        if session.is_inactive() || session.status().is_some_and(|status| status == "active") {
            fields.extend(session.has("marked_inactive_at").then_some(("marked_inactive_at", MemberChange::Gone)));
        }
        if let Some(terminal) = terminal.filter(|terminal| session.text("terminal").as_deref() != Some(terminal)) {
            fields.push(("terminal", set(terminal)));
        }
        (!fields.is_empty()).then(|| self.with_changes([(session.number, &fields[..])]))
    }
}

fn set(value: impl Into<serde_json::Value>) -> MemberChange {
    MemberChange::Set(value.into())
}

/// `2025-11-17T07:12:18.404913Z`, without a fraction where that is exactly nothing.
fn as_python_writes(time: DateTime<Utc>) -> String {
    let form = if time.nanosecond() / 1_000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Micros };
    time.to_rfc3339_opts(form, true)
}

/// A heartbeat: the fields of the original's enhanced form, and what makes its process certain.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NewBeat<'b> {
    pub(crate) session_number: u32,
    pub(crate) session_id: &'b str,
    pub(crate) timestamp: String,
    #[serde(rename = "type")]
    kind: &'static str,
    source: &'static str,
    pub(crate) status: &'b str,
    pub(crate) role: &'b str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) working_on: Option<&'b str>,
    /// The process that stands for the session.
    pub(crate) pid: Option<u32>,
    /// When that started, in clock ticks after boot (field 22 of `/proc/PID/stat`).
    pub(crate) process_start: Option<u64>,
    pub(crate) boot_id: Option<&'b str>,
    pub(crate) terminal: &'b str,
    #[serde(skip)]
    number: SessionNumber,
    #[serde(skip)]
    now: DateTime<Utc>,
}

impl<'b> NewBeat<'b> {
    /// A beat of a session at `now`.
    pub(crate) fn new(
        number: SessionNumber,
        session_id: &'b str,
        status: &'b str,
        role: &'b str,
        anchor: &'b Anchor,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            session_number: number.get(),
            session_id,
            timestamp: now.to_rfc3339_opts(SecondsFormat::Micros, true),
            kind: "heartbeat",
            source: "session-sweep",
            status,
            role,
            working_on: None,
            pid: anchor.process.map(|process| process.pid),
            process_start: anchor.process.map(|process| process.start_ticks),
            boot_id: anchor.boot_id.as_deref(),
            terminal: anchor.label(),
            number,
            now,
        }
    }
}

impl Held<'_> {
    /// Writes a heartbeat; yields its file's name.
    pub(crate) fn beat(&self, beat: &NewBeat<'_>) -> Result<String, RegistryError> {
        let failed = |error: anyhow::Error| RegistryError::Write(error);
        let folder = self.registry().beats_folder();
        make_folder(&folder).map_err(|error| failed(error.into()))?;
        let mut text = serde_json::to_vec_pretty(beat).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        // The scripts' stamps are local time. Two beats of a second differ in its fraction.
        let local = beat.now.with_timezone(&Local).format("%Y-%m-%d_%H-%M-%S").to_string();
        let stamps = (beat.now.timestamp_subsec_micros()..).map(|micros| format!("{local}.{micros:06}"));
        for stamp in std::iter::once(local.clone()).chain(stamps).take(10_000) {
            let name = format!("{stamp}-{}.json", beat.number.default_id());
            let path: PathBuf = folder.join(&name);
            let created = create_unflushed(&path, BEAT.as_ref(), &text, 0o600);
            if created.map_err(|error| failed(error.into()))? == Created::Done {
                return Ok(name);
            }
        }
        Err(failed(anyhow::anyhow!("{} has a heartbeat for every moment of {local}", folder.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_python_writes_it() {
        let at = |nanoseconds| as_python_writes(DateTime::from_timestamp(1_795_176_000, nanoseconds).unwrap());
        assert_eq!(at(0), "2026-11-20T12:00:00Z");
        assert_eq!(at(404_913_000), "2026-11-20T12:00:00.404913Z");
    }
}

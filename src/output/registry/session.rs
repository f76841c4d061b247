//! What became of one session.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use crate::output::View;
use crate::output::escape::Escaped;
use crate::output::style::{Style, Tone};
use crate::policy::session_number::SessionNumber;

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

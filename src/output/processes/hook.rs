//! What a hook noted.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use crate::output::View;
use crate::output::escape::Escaped;
use crate::output::style::Style;

/// What a hook noted.
pub(crate) struct HookView<'v> {
    pub(crate) command: &'static str,
    pub(crate) session: &'v str,
    /// The CLI.
    pub(crate) pid: Option<u32>,
    pub(crate) provider: Option<&'v str>,
    /// What became of it.
    pub(crate) said: &'v str,
}

impl View for HookView<'_> {
    fn text(&self, out: &mut dyn Write, _: Style, _: u8) -> io::Result<()> {
        write!(out, "session {} {}", Escaped(self.session), self.said)?;
        match (self.pid, self.provider) {
            (Some(pid), Some(provider)) => writeln!(out, " ({}, process {pid})", Escaped(provider)),
            (Some(pid), None) => writeln!(out, " (process {pid})"),
            (None, _) => writeln!(out),
        }
    }
}

impl Serialize for HookView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Hook", 6)?;
        document.serialize_field("schema", &1)?;
        document.serialize_field("command", self.command)?;
        document.serialize_field("session_id", self.session)?;
        document.serialize_field("pid", &self.pid)?;
        document.serialize_field("provider", &self.provider)?;
        document.serialize_field("result", self.said)?;
        document.end()
    }
}

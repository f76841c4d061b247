//! What `record` and `restore` did.

use std::io::{self, Write};

use serde::Serialize;

use super::View;
use super::escape::{Escaped, Short};
use super::style::{Style, Tone};

/// One recorded mapping.
#[derive(Debug, Serialize)]
pub(crate) struct RecordView<'v> {
    pub(crate) schema: u32,
    pub(crate) command: &'static str,
    pub(crate) model: &'v str,
    pub(crate) chat: &'v str,
    pub(crate) session: &'v str,
    pub(crate) map: String,
    /// The map's text changed.
    pub(crate) changed: bool,
    /// The working folder is in the map.
    pub(crate) cwd_stored: bool,
}

impl View for RecordView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, _: u8) -> io::Result<()> {
        let word = if self.changed { "recorded" } else { "already recorded" };
        let tone = if self.changed { Tone::Change } else { Tone::Good };
        let (model, chat) = (Escaped(self.model), Escaped(self.chat));
        writeln!(out, "{} {model} {chat} → {}", style.paint(tone, word), Escaped(self.session))
    }
}

/// What was put back.
#[derive(Debug, Serialize)]
pub(crate) struct RestoreView {
    pub(crate) schema: u32,
    pub(crate) command: &'static str,
    pub(crate) dry_run: bool,
    pub(crate) map: String,
    pub(crate) entries: Vec<Restored>,
    pub(crate) restored: usize,
}

/// One tombstone and what became of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Restored {
    pub(crate) model: Option<String>,
    pub(crate) chat: String,
    pub(crate) session: String,
    pub(crate) action: RestoreAction,
    pub(crate) reason: String,
    /// It could not be put back although nothing newer is there.
    #[serde(skip)]
    pub(crate) refused: bool,
}

/// Put back or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RestoreAction {
    /// It is in the map again.
    Restore,
    /// It stays out.
    Keep,
}

impl View for RestoreView {
    fn text(&self, out: &mut dyn Write, style: Style, _: u8) -> io::Result<()> {
        for entry in &self.entries {
            let (tone, word) = match (entry.action, self.dry_run) {
                (RestoreAction::Restore, false) => (Tone::Change, "restored"),
                (RestoreAction::Restore, true) => (Tone::Change, "would restore"),
                (RestoreAction::Keep, _) => (Tone::Quiet, "left out"),
            };
            write!(
                out,
                "{} {:<12} {:<8}  {:<8}",
                style.paint(tone, format!("{word:<13}")),
                Escaped(entry.model.as_deref().unwrap_or("-")),
                Short(&entry.chat, 8),
                Short(&entry.session, 8),
            )?;
            if entry.reason.is_empty() { writeln!(out)? } else { writeln!(out, "  {}", Escaped(&entry.reason))? }
        }
        let word = if self.dry_run { "would be restored" } else { "restored" };
        writeln!(out, "{} of {} {word}", self.restored, self.entries.len())
    }
}

//! The overview: all areas at a glance, each provider's store, then area by area what would be done.

use std::io::{self, Write};
use std::iter;

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::View;
use super::age::Age;
use super::areas::Sections;
use super::bytes::Bytes;
use super::escape::Escaped;
use super::overview::{self, Headline};
use super::prune::PruneView;
use super::style::{Style, Tone};
use crate::policy::timestamp::Timestamp;
use crate::providers::inventory::Inventory;

/// Everything there is.
pub(crate) struct AuditView<'v> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) map: String,
    pub(crate) providers: Vec<ProviderView>,
    pub(crate) prune: Option<PruneView<'v>>,
    /// Why the map could not be looked at.
    pub(crate) map_error: Option<String>,
    pub(crate) others: &'v Sections<'v>,
}

/// One provider's store.
pub(crate) struct ProviderView {
    pub(crate) provider: String,
    pub(crate) home: String,
    pub(crate) mapped: usize,
    pub(crate) idle: usize,
    pub(crate) missing: usize,
    pub(crate) inventory: Inventory,
}

impl ProviderView {
    fn bytes(&self) -> u64 {
        self.inventory.sessions.iter().filter_map(|session| session.bytes).sum::<u64>() + self.inventory.database_bytes
    }

    fn newest(&self) -> Option<Timestamp> {
        self.inventory.sessions.first().map(|session| Timestamp(session.modified))
    }

    fn oldest(&self) -> Option<Timestamp> {
        self.inventory.sessions.last().map(|session| Timestamp(session.modified))
    }
}

impl AuditView<'_> {
    /// The areas at a glance.
    fn overview(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let no_map = || Headline { tone: Tone::Quiet, text: "no session map".to_owned() };
        let map = self.prune.as_ref().map_or_else(no_map, PruneView::headline);
        let map = ("map", Some(map), self.map_error.as_deref());
        let others = self.others.at_a_glance().into_iter().map(|(area, headline, error)| {
            // Who asks the map cannot go on without it: why, the map's own line says.
            let is_said = error.is_some_and(|error| self.map_error.as_ref().is_some_and(|map| error.contains(map)));
            (area, headline, if is_said { Some("the session map cannot be read") } else { error })
        });
        let areas: Vec<_> = iter::once(map).chain(others).collect();
        overview::write(out, style, &areas)
    }
}

impl View for AuditView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        self.overview(out, style)?;
        if self.providers.is_empty() {
            writeln!(out, "no session of any known CLI was found")?;
        } else {
            let heading = format!(
                "{:<9} {:>8}  {:>8}  {:>6}  {:>6}  {:>6}  {:>4}  {:>7}  FOLDER",
                "PROVIDER", "SESSIONS", "SIZE", "OLDEST", "NEWEST", "MAPPED", "IDLE", "MISSING"
            );
            writeln!(out, "{}", style.paint(Tone::Heading, heading))?;
        }
        let age = |time: Option<Timestamp>| {
            Age(time.map(|Timestamp(time)| (self.now - time).num_seconds().max(0).unsigned_abs()))
        };
        for view in &self.providers {
            writeln!(
                out,
                "{:<9} {:>8}  {:>8}  {:>6}  {:>6}  {:>6}  {:>4}  {:>7}  {}",
                Escaped(&view.provider),
                view.inventory.sessions.len(),
                Bytes(view.bytes()).to_string(),
                age(view.oldest()),
                age(view.newest()),
                view.mapped,
                view.idle,
                view.missing,
                Escaped(&view.home),
            )?;
            for problem in &view.inventory.problems {
                writeln!(out, "{} {}", style.paint(Tone::Attention, "note:"), Escaped(problem))?;
            }
            if verbose > 0 {
                for session in &view.inventory.sessions {
                    let path = session.transcript.to_string_lossy();
                    writeln!(
                        out,
                        "  {:<36}  {:>8}  {:>6}  {}",
                        Escaped(&session.id),
                        session.bytes.map_or_else(|| "-".to_owned(), |bytes| Bytes(bytes).to_string()),
                        age(Some(Timestamp(session.modified))),
                        style.paint(Tone::Quiet, Escaped(&path)),
                    )?;
                }
            }
        }
        writeln!(out)?;
        match (&self.prune, &self.map_error) {
            (None, Some(_)) => writeln!(out, "session map {} could not be looked at", Escaped(&self.map))?,
            (None, None) => writeln!(out, "no session map at {}", Escaped(&self.map))?,
            (Some(prune), _) => {
                writeln!(out, "{} {}", style.paint(Tone::Heading, "session map"), Escaped(&self.map))?;
                prune.text(out, style, verbose)?;
            }
        }
        self.others.write(out, style, verbose)
    }
}

impl Serialize for AuditView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Audit", 7 + Sections::MEMBERS)?;
        document.serialize_field("schema", &1)?;
        document.serialize_field("command", "audit")?;
        document.serialize_field("now", &Timestamp(self.now))?;
        document.serialize_field("map", &self.map)?;
        document.serialize_field("providers", &self.providers)?;
        document.serialize_field("prune", &self.prune)?;
        document.serialize_field("map_error", &self.map_error)?;
        self.others.serialize_into(&mut document)?;
        document.end()
    }
}

impl Serialize for ProviderView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Provider", 12)?;
        row.serialize_field("provider", &self.provider)?;
        row.serialize_field("home", &self.home)?;
        row.serialize_field("present", &self.inventory.present)?;
        row.serialize_field("transcripts", &self.inventory.sessions.len())?;
        row.serialize_field("bytes", &self.bytes())?;
        row.serialize_field("oldest", &self.oldest())?;
        row.serialize_field("newest", &self.newest())?;
        row.serialize_field("mapped", &self.mapped)?;
        row.serialize_field("idle", &self.idle)?;
        row.serialize_field("missing", &self.missing)?;
        row.serialize_field("problems", &self.inventory.problems)?;
        row.serialize_field("sessions", &self.inventory.sessions)?;
        row.end()
    }
}

//! What a sweep did or would do, area by area.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::View;
use super::artifacts;
use super::escape::Escaped;
use super::processes::CleanView;
use super::prune::PruneView;
use super::queues;
use super::registry::CleanupView;
use super::style::Style;
use crate::policy::timestamp::Timestamp;

/// One sweep.
pub(crate) struct SweepView<'v> {
    pub(crate) dry_run: bool,
    pub(crate) now: DateTime<Utc>,
    /// Where the map is or would be.
    pub(crate) map: &'v str,
    /// Nothing where there is no map.
    pub(crate) prune: Option<&'v PruneView<'v>>,
    /// Why the map could not be swept.
    pub(crate) map_error: Option<String>,
    /// Nothing where it is not enabled, or there is none.
    pub(crate) registry: Option<&'v CleanupView<'v>>,
    /// Why the registry could not be swept.
    pub(crate) registry_error: Option<String>,
    /// Nothing where they are not enabled.
    pub(crate) processes: Option<&'v CleanView<'v>>,
    /// Why processes could not be swept.
    pub(crate) processes_error: Option<String>,
    /// Nothing where no installation is configured.
    pub(crate) queues: Option<&'v queues::SweepView<'v>>,
    /// Why queues could not be swept.
    pub(crate) queues_error: Option<String>,
    /// Nothing where they are not enabled.
    pub(crate) artifacts: Option<&'v artifacts::PruneView<'v>>,
    /// Why artifacts could not be swept.
    pub(crate) artifacts_error: Option<String>,
}

/// The areas beside the map; one that is not enabled has none.
#[derive(Clone, Copy)]
pub(super) struct Areas<'v> {
    pub(super) registry: Option<&'v CleanupView<'v>>,
    pub(super) processes: Option<&'v CleanView<'v>>,
    pub(super) queues: Option<&'v queues::SweepView<'v>>,
    pub(super) artifacts: Option<&'v artifacts::PruneView<'v>>,
}

impl View for SweepView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        write!(out, "session map {}", Escaped(self.map))?;
        match (self.prune, &self.map_error) {
            (Some(prune), _) => {
                writeln!(out)?;
                prune.text(out, style, verbose)?;
            }
            (None, Some(_)) => writeln!(out, " was not swept")?,
            (None, None) => writeln!(out, " is not there: nothing to do")?,
        }
        let Self { registry, processes, queues, artifacts, .. } = *self;
        Areas { registry, processes, queues, artifacts }.write(out, style, verbose)
    }
}

impl Areas<'_> {
    /// Each in brief and after an empty line.
    pub(super) fn write(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        if let Some(registry) = self.registry {
            writeln!(out)?;
            registry.brief(out, style, verbose)?;
        }
        if let Some(processes) = self.processes {
            writeln!(out)?;
            processes.brief(out, style, verbose)?;
        }
        if let Some(queues) = self.queues {
            writeln!(out)?;
            queues.brief(out, style, verbose)?;
        }
        if let Some(artifacts) = self.artifacts {
            writeln!(out)?;
            artifacts.brief(out, style, verbose)?;
        }
        Ok(())
    }
}

impl Serialize for SweepView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Sweep", 15)?;
        document.serialize_field("schema", &1)?;
        document.serialize_field("command", "sweep")?;
        document.serialize_field("dry_run", &self.dry_run)?;
        document.serialize_field("now", &Timestamp(self.now))?;
        document.serialize_field("map", self.map)?;
        document.serialize_field("prune", &self.prune)?;
        document.serialize_field("map_error", &self.map_error)?;
        document.serialize_field("registry", &self.registry)?;
        document.serialize_field("registry_error", &self.registry_error)?;
        document.serialize_field("processes", &self.processes)?;
        document.serialize_field("processes_error", &self.processes_error)?;
        document.serialize_field("queues", &self.queues.map(queues::SweepView::documents))?;
        document.serialize_field("queues_error", &self.queues_error)?;
        document.serialize_field("artifacts", &self.artifacts)?;
        document.serialize_field("artifacts_error", &self.artifacts_error)?;
        document.end()
    }
}

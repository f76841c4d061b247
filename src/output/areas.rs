//! The areas beside the map, as `sweep` and `audit` show them.

use std::io::{self, Write};

use serde::ser::SerializeStruct;

use super::artifacts;
use super::overview::{Area, Headline};
use super::processes::CleanView;
use super::queues;
use super::registry::CleanupView;
use super::style::{Style, Tone};

/// What came of one area: nothing of both where it is not enabled.
pub(crate) struct Section<V> {
    pub(crate) view: Option<V>,
    /// Why it could not be looked at.
    pub(crate) error: Option<String>,
}

/// All of them.
pub(crate) struct Sections<'v> {
    /// Without a view and an error there is no registry yet, or it is not enabled.
    pub(crate) registry: Section<CleanupView<'v>>,
    pub(crate) is_registry_enabled: bool,
    pub(crate) processes: Section<CleanView<'v>>,
    pub(crate) queues: Section<queues::SweepView<'v>>,
    pub(crate) artifacts: Section<artifacts::PruneView<'v>>,
}

impl<V> Section<V> {
    fn at_a_glance(&self, area: &'static str, headline: impl FnOnce(&V) -> Headline) -> Area<'_> {
        (area, self.view.as_ref().map(headline), self.error.as_deref())
    }
}

impl Sections<'_> {
    /// A line for each.
    pub(super) fn at_a_glance(&self) -> [Area<'_>; 4] {
        let (name, headline, error) = self.registry.at_a_glance("registry", CleanupView::headline);
        let none_yet = || Headline { tone: Tone::Quiet, text: "nothing there yet".to_owned() };
        [
            (name, headline.or_else(|| self.is_registry_enabled.then(none_yet)), error),
            self.processes.at_a_glance("processes", CleanView::headline),
            self.queues.at_a_glance("queues", queues::SweepView::headline),
            self.artifacts.at_a_glance("artifacts", artifacts::PruneView::headline),
        ]
    }

    /// Each in brief and after an empty line.
    pub(super) fn write(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        if let Some(registry) = &self.registry.view {
            writeln!(out)?;
            registry.brief(out, style, verbose)?;
        }
        if let Some(processes) = &self.processes.view {
            writeln!(out)?;
            processes.brief(out, style, verbose)?;
        }
        if let Some(queues) = &self.queues.view {
            writeln!(out)?;
            queues.brief(out, style, verbose)?;
        }
        if let Some(artifacts) = &self.artifacts.view {
            writeln!(out)?;
            artifacts.brief(out, style, verbose)?;
        }
        Ok(())
    }

    /// How many members [`Sections::serialize_into`] adds.
    pub(super) const MEMBERS: usize = 8;

    /// Adds each to the document of all: `AREA`, null where it was not looked at, and `AREA_error`, which says why.
    pub(super) fn serialize_into<D: SerializeStruct>(&self, document: &mut D) -> Result<(), D::Error> {
        document.serialize_field("registry", &self.registry.view)?;
        document.serialize_field("registry_error", &self.registry.error)?;
        document.serialize_field("processes", &self.processes.view)?;
        document.serialize_field("processes_error", &self.processes.error)?;
        document.serialize_field("queues", &self.queues.view.as_ref().map(queues::SweepView::documents))?;
        document.serialize_field("queues_error", &self.queues.error)?;
        document.serialize_field("artifacts", &self.artifacts.view)?;
        document.serialize_field("artifacts_error", &self.artifacts.error)
    }
}

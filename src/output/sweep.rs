//! What a sweep did or would do, area by area.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::View;
use super::areas::Sections;
use super::escape::Escaped;
use super::prune::PruneView;
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
    pub(crate) others: &'v Sections<'v>,
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
        self.others.write(out, style, verbose)
    }
}

impl Serialize for SweepView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Sweep", 7 + Sections::MEMBERS)?;
        document.serialize_field("schema", &1)?;
        document.serialize_field("command", "sweep")?;
        document.serialize_field("dry_run", &self.dry_run)?;
        document.serialize_field("now", &Timestamp(self.now))?;
        document.serialize_field("map", self.map)?;
        document.serialize_field("prune", &self.prune)?;
        document.serialize_field("map_error", &self.map_error)?;
        self.others.serialize_into(&mut document)?;
        document.end()
    }
}

//! What a scan found.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::Shown;
use super::document::serialize_found;
use super::lines::write_plan;
use crate::config::Dirs;
use crate::output::View;
use crate::output::style::{Style, Tone};
use crate::policy::orphan::Verdict;
use crate::policy::timestamp::Timestamp;
use crate::sweep::processes::plan::Plan;

/// What a scan found.
pub(crate) struct ScanView<'v> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) dirs: &'v Dirs,
    pub(crate) plan: &'v Plan,
}

impl View for ScanView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        write_plan(out, style, verbose, (self.plan, self.dirs), Verdict::Orphaned.name())?;
        if self.plan.has_work() {
            let text = "`session-sweep processes clean` shows what would be done about it";
            return writeln!(out, "{}", style.paint(Tone::Quiet, text));
        }
        Ok(())
    }
}

impl Serialize for ScanView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.plan;
        let mut document = serializer.serialize_struct("Scan", 10)?;
        document.serialize_field("schema", &1)?;
        document.serialize_field("command", "processes scan")?;
        document.serialize_field("now", &Timestamp(self.now))?;
        // The two that process-janitor's scan has.
        document.serialize_field("orphaned_count", &plan.orphaned_count())?;
        document.serialize_field("orphaned_sessions", &plan.orphaned_sessions())?;
        serialize_found(&mut document, plan, Shown { dirs: self.dirs, full: false, now: self.now })?;
        document.end()
    }
}

//! What a scan found.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::{Shown, serialize_found, write_counts, write_item, write_problems, write_record, write_zombies};
use crate::config::Dirs;
use crate::output::View;
use crate::output::style::{Style, Tone};
use crate::policy::orphan::Verdict;
use crate::policy::session_record::Fate;
use crate::policy::timestamp::Timestamp;
use crate::sweep::processes::plan::Plan;

/// What a scan found.
pub(crate) struct ScanView<'v> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) dirs: &'v Dirs,
    pub(crate) plan: &'v Plan,
}

impl View for ScanView<'_> {
    /// What was left behind, and what cannot be told; the rest with `-v`.
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        for item in self.plan.processes.iter().filter(|item| verbose > 0 || item.judgement.verdict < Verdict::Owned) {
            write_item(out, style, item, self.dirs, item.judgement.verdict.name())?;
        }
        for item in self.plan.records.iter().filter(|item| verbose > 0 || item.goes() || item.fate != Fate::Kept) {
            write_record(out, style, item)?;
        }
        write_zombies(out, style, self.plan)?;
        write_problems(out, style, &self.plan.problems)?;
        write_counts(out, self.plan)?;
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

//! Every session and every process of the CLIs.

use std::io::{self, Write};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::json;

use super::document::serialize_found;
use super::lines::{after_orphans, count, kind, tone, tone_of_fate, write_counts, write_problems, write_zombies};
use super::{Shown, started};
use crate::config::Dirs;
use crate::output::View;
use crate::output::age::Age;
use crate::output::bytes::Bytes;
use crate::output::escape::Escaped;
use crate::output::style::{Style, Tone};
use crate::policy::duration::format_age;
use crate::policy::orphan::{Heartbeat, Verdict};
use crate::policy::timestamp::Timestamp;
use crate::sweep::processes::plan::{Item, Plan, RecordItem};

/// Every session and every process of the CLIs.
pub(crate) struct ReportView<'v> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) dirs: &'v Dirs,
    /// Of the records.
    pub(crate) folder: &'v Path,
    pub(crate) plan: &'v Plan,
    /// Command lines and paths whole.
    pub(crate) full: bool,
}

impl ReportView<'_> {
    fn shown(&self) -> Shown<'_> {
        Shown { dirs: self.dirs, full: self.full, now: self.now }
    }

    fn write_process(&self, out: &mut dyn Write, style: Style, found: &Item) -> io::Result<()> {
        let Item { process, judgement, .. } = found;
        let verdict = style.paint(tone(judgement.verdict), format!("{:<9}", judgement.verdict.name()));
        writeln!(
            out,
            "{verdict} {:>7}  {}  {}",
            process.pid,
            Escaped(&kind(found)),
            self.shown().command_line(process)
        )?;
        let started = started(process, self.now).map_or_else(|| "-".to_owned(), |time| Timestamp(time).to_string());
        writeln!(
            out,
            "  started   {started} ({} ago), {} of CPU, {} of memory",
            Age(process.age.map(|age| age.as_secs())),
            format_age(process.cpu),
            Bytes(process.memory)
        )?;
        let terminal = process.terminal.as_deref().unwrap_or("no terminal");
        let parent = process.parent_name.as_deref().unwrap_or("not seen");
        writeln!(out, "  parent    {} ({}), {}", process.parent, Escaped(parent), Escaped(terminal))?;
        if let Some(folder) = &process.working_folder {
            writeln!(out, "  works in  {}", Escaped(&self.shown().path(folder)))?;
        }
        if let Some(group) = process.groups.as_deref().and_then(one_group) {
            writeln!(out, "  cgroup    {}", Escaped(group))?;
        }
        if let Some(session) = found.session() {
            let beat = found.heartbeat.as_ref().map(last_sign).unwrap_or_default();
            writeln!(out, "  session   {}{}", Escaped(session), Escaped(&beat))?;
        }
        for reason in &judgement.reasons {
            writeln!(out, "  because   {}", Escaped(&self.shown().text(&reason.text)))?;
        }
        for below in found.below.iter().rev() {
            let age = Age(below.age.map(|age| age.as_secs()));
            writeln!(
                out,
                "  └ {:>7}  {age:>5}  {:>8}  {}",
                below.pid,
                Bytes(below.memory).to_string(),
                self.shown().command_line(below)
            )?;
        }
        Ok(())
    }
}

fn write_record(out: &mut dyn Write, style: Style, found: &RecordItem) -> io::Result<()> {
    let fate = style.paint(tone_of_fate(found.fate), format!("{:<9}", found.fate.name()));
    let pid = found.record.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    writeln!(out, "{fate} {pid:>7}  {}", Escaped(found.record.session_id.as_str()))?;
    let began = Age(found.age.map(|age| age.as_secs()));
    writeln!(out, "  process {}, began {began} ago{}", found.verdict.name(), Escaped(&last_sign(&found.heartbeat)))?;
    writeln!(out, "  {}{}", Escaped(&found.reason), after_orphans(found))
}

/// `, last sign of life 3m ago`.
fn last_sign(heartbeat: &Heartbeat) -> String {
    match heartbeat {
        Heartbeat::Ago(age) => format!(", last sign of life {} ago", format_age(*age)),
        Heartbeat::Unknown(why) => format!(", last sign of life not known: {why}"),
    }
}

/// The line that says most: the one hierarchy, else systemd's.
fn one_group(groups: &str) -> Option<&str> {
    let path = |line: &'_ str| line.splitn(3, ':').nth(2).map(str::len).map(|length| line.len() - length);
    let lines = groups.lines().filter_map(|line| Some(&line[path(line)?..]));
    lines.filter(|path| *path != "/").max_by_key(|path| path.len())
}

impl View for ReportView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, _: u8) -> io::Result<()> {
        let heading = |text| style.paint(Tone::Heading, text);
        match &self.plan.current {
            Some(current) => writeln!(
                out,
                "{} {} (process {}), session {}",
                heading("this session"),
                Escaped(&current.provider),
                current.pid,
                Escaped(current.session.as_deref().unwrap_or("-"))
            )?,
            None => writeln!(out, "{} none: no AI CLI started this", heading("this session"))?,
        }
        writeln!(out, "{}", heading("processes"))?;
        self.plan.processes.iter().try_for_each(|found| self.write_process(out, style, found))?;
        write_zombies(out, style, self.plan)?;
        writeln!(out, "{} {}", heading("records"), Escaped(&self.shown().path(self.folder)))?;
        self.plan.records.iter().try_for_each(|found| write_record(out, style, found))?;
        write_problems(out, style, &self.plan.problems)?;
        write_counts(out, self.plan)?;
        let orphans = self.plan.orphans().map(|item| item.all().count()).sum::<usize>();
        let memory = Bytes(self.plan.memory_of_orphans());
        match self.plan.count(Verdict::Orphaned) {
            0 => Ok(()),
            _ => {
                writeln!(
                    out,
                    "Without the orphans and what they started ({}) {memory} would be free",
                    count(orphans, "process", "processes")
                )
            }
        }
    }
}

impl Serialize for ReportView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.plan;
        let current = plan.current.as_ref();
        let mut document = serializer.serialize_struct("Report", 10)?;
        document.serialize_field("schema", &1)?;
        document.serialize_field("command", "processes report")?;
        document.serialize_field("now", &Timestamp(self.now))?;
        document.serialize_field("folder", &self.shown().path(self.folder))?;
        let current = current.map(|one| json!({"pid": one.pid, "provider": one.provider, "session_id": one.session}));
        document.serialize_field("current", &current)?;
        serialize_found(&mut document, plan, self.shown())?;
        document.end()
    }
}

//! What a clean-up did or would do.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::{Value, json};

use super::Shown;
use super::document::{item, record, summary};
use super::lines::{count, left_over, to_do, write_plan, write_problems};
use crate::config::Dirs;
use crate::output::View;
use crate::output::bytes::Bytes;
use crate::output::escape::Escaped;
use crate::output::overview::Headline;
use crate::output::style::{Style, Tone};
use crate::policy::orphan::Verdict;
use crate::policy::timestamp::Timestamp;
use crate::processes::records::Removal;
use crate::processes::terminate::End;
use crate::sweep::processes::apply::{Applied, Outcome, RecordEnd, TreeEnd};
use crate::sweep::processes::plan::{Plan, Process};

/// What a clean-up did or would do.
pub(crate) struct CleanView<'v> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) dirs: &'v Dirs,
    pub(crate) plan: &'v Plan,
    /// How many orphans one run ends at most.
    pub(crate) max: usize,
    /// The settings by which a sweep, which nobody watches, only shows it; nothing where it does it.
    pub(crate) only_shown_by: Option<&'static str>,
    /// Nothing in a dry run.
    pub(crate) applied: Option<&'v Applied>,
}

impl CleanView<'_> {
    /// What could not be done, a line each.
    pub(crate) fn failures(applied: &Applied) -> Vec<String> {
        let mut failures = Vec::new();
        for tree in &applied.ends {
            let pid = tree.item.process.pid;
            match &tree.outcome {
                Outcome::Refused(why) => failures.push(format!("process {pid} was left alone: {why}")),
                Outcome::Done(ends) => failures.extend(tree.item.all().zip(ends).filter_map(failure)),
            }
        }
        failures.extend(applied.removals.iter().filter_map(|removal| match &removal.result {
            Err(why) => Some(format!("the record of session {} stays: {why}", removal.session)),
            Ok(Removal::Changed) => {
                Some(format!("the record of session {} changed meanwhile, and stays", removal.session))
            }
            Ok(Removal::Gone | Removal::FolderStays(_)) => None,
        }));
        failures
    }

    /// What could not be looked at or done.
    pub(crate) fn problems_of(plan: &Plan, applied: Option<&Applied>) -> Vec<String> {
        let mut problems = plan.problems.clone();
        let Some(applied) = applied else { return problems };
        problems.extend(applied.problems.iter().filter(|problem| !plan.problems.contains(problem)).cloned());
        problems.extend(Self::failures(applied));
        problems
    }

    fn problems(&self) -> Vec<String> {
        Self::problems_of(self.plan, self.applied)
    }

    fn planned(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        write_plan(out, style, verbose, (self.plan, self.dirs), "end")
    }

    fn done(&self, out: &mut dyn Write, style: Style, applied: &Applied) -> io::Result<()> {
        for tree in &applied.ends {
            let (verb, tone) = match (tree.is_gone(), &tree.outcome) {
                (true, Outcome::Done(ends)) if ends.iter().all(|end| *end == End::Before) => ("gone", Tone::Quiet),
                (true, _) => ("ended", Tone::Change),
                (false, Outcome::Refused(_)) => ("refused", Tone::Attention),
                (false, Outcome::Done(_)) => ("failed", Tone::Attention),
            };
            let process = &tree.item.process;
            let more = match tree.item.below.len() {
                0 => String::new(),
                below => format!(" and {below} that it started"),
            };
            let killed = tree.ends().contains(&End::Killed);
            let how = if killed { ", by SIGKILL" } else { "" };
            writeln!(
                out,
                "{} {:>7}  {}{more}{how}",
                style.paint(tone, format!("{verb:<9}")),
                process.pid,
                Escaped(&process.name)
            )?;
        }
        for removal in applied.removals.iter().filter(|removal| removal.is_gone()) {
            write!(out, "{} record of session {}", style.paint(Tone::Change, "removed  "), Escaped(&removal.session))?;
            match &removal.result {
                Ok(Removal::FolderStays(rest)) => {
                    writeln!(out, "; its folder stays, with {}", count(rest.len(), "other file", "other files"))?;
                }
                _ => writeln!(out)?,
            }
        }
        write_problems(out, style, &self.problems())?;
        if applied.ended() == 0 && applied.left() > 0 {
            writeln!(out, "{}", style.paint(Tone::Attention, "Nothing was ended: every orphan was refused"))?;
        }
        let ended = count(applied.processes_ended(), "process", "processes");
        let ended = format!("{ended} ended, {} free", Bytes(applied.freed()));
        let tone = if applied.processes_ended() > 0 { Tone::Change } else { Tone::Good };
        writeln!(
            out,
            "{}; {} refused or left, {} removed, {} unknown",
            style.paint(tone, ended),
            count(applied.left(), "orphan", "orphans"),
            count(applied.records_removed(), "record", "records"),
            count(self.plan.count(Verdict::Unknown), "process", "processes")
        )
    }

    /// What somebody is asked about.
    pub(crate) fn question(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        self.planned(out, style, verbose)?;
        self.would(out, "")
    }

    /// What would be done, behind what kind of run it is.
    fn would(&self, out: &mut dyn Write, run: &str) -> io::Result<()> {
        let orphans = self.plan.count(Verdict::Orphaned);
        let records = self.plan.records.iter().filter(|item| item.goes()).count();
        if orphans + records == 0 {
            return writeln!(out, "{run}nothing would be done");
        }
        let memory = Bytes(self.plan.memory_of_orphans());
        let (ending, going) = (count(orphans, "orphan", "orphans"), count(records, "record", "records"));
        writeln!(out, "{run}{ending} would be ended, {memory} free; {going} removed")?;
        match orphans.checked_sub(self.max) {
            None | Some(0) => Ok(()),
            Some(rest) => writeln!(out, "One run ends {} of them at most (--max); {rest} would be left", self.max),
        }
    }

    /// The same in one line, among other areas.
    pub(in crate::output) fn headline(&self) -> Headline {
        let memory = match self.plan.memory_of_orphans() {
            0 => String::new(),
            memory => format!(" ({})", Bytes(memory)),
        };
        let [orphans, records] = to_do(self.plan);
        let work = match (self.only_shown_by, orphans, records) {
            (_, None, None) => None,
            (Some(by), ..) => left_over(self.plan).map(|left| format!("{left} left over{memory}, only shown ({by})")),
            (None, Some(orphans), None) => Some(format!("{orphans} would be ended{memory}")),
            (None, None, Some(records)) => Some(format!("{records} would be removed")),
            (None, Some(orphans), Some(records)) => {
                Some(format!("{orphans} would be ended{memory}, {records} removed"))
            }
        };
        Headline::of(work, !self.problems().is_empty())
    }

    /// The same in few lines, among other areas.
    pub(crate) fn brief(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        writeln!(out, "{}", style.paint(Tone::Heading, "processes"))?;
        match self.applied {
            None => self.planned(out, style, verbose),
            Some(applied) => self.done(out, style, applied),
        }
    }
}

impl View for CleanView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        let Some(applied) = self.applied else {
            self.planned(out, style, verbose)?;
            return self.would(out, "Dry run: ");
        };
        self.done(out, style, applied)
    }
}

/// Why a process was not ended.
fn failure((process, end): (&Process, &End)) -> Option<String> {
    match end {
        End::Refused(why) => Some(format!("process {} was left alone: {why}", process.pid)),
        End::Survived(why) => Some(format!("process {} goes on: {why}", process.pid)),
        End::Terminated | End::Killed | End::Before => None,
    }
}

fn end_word(end: &End) -> &'static str {
    match end {
        End::Terminated => "terminated",
        End::Killed => "killed",
        End::Before => "gone before",
        End::Refused(_) => "refused",
        End::Survived(_) => "survived",
    }
}

fn tree_end(tree: &TreeEnd) -> Value {
    let each = |(process, end): (&Process, &End)| json!({"pid": process.pid, "end": end_word(end)});
    let refused = match &tree.outcome {
        Outcome::Refused(why) => Some(why),
        Outcome::Done(_) => None,
    };
    json!({
        "pid": tree.item.process.pid,
        "session_id": tree.item.session(),
        "result": if tree.is_gone() { "ended" } else if refused.is_some() { "refused" } else { "failed" },
        "refused": refused,
        "processes": tree.item.all().zip(tree.ends()).map(each).collect::<Vec<_>>(),
    })
}

fn removal(removal: &RecordEnd) -> Value {
    let error = match &removal.result {
        Err(why) => Some(why.as_str()),
        Ok(Removal::Changed) => Some("it changed meanwhile"),
        Ok(Removal::Gone | Removal::FolderStays(_)) => None,
    };
    json!({"session_id": removal.session, "removed": removal.is_gone(), "error": error})
}

impl Serialize for CleanView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.plan;
        let applied = self.applied;
        let mut document = serializer.serialize_struct("Clean", 12)?;
        document.serialize_field("schema", &1)?;
        document.serialize_field("command", "processes clean")?;
        document.serialize_field("dry_run", &applied.is_none())?;
        document.serialize_field("now", &Timestamp(self.now))?;
        let shown = Shown { dirs: self.dirs, full: false, now: self.now };
        let processes = plan.processes.iter().map(|found| item(found, shown));
        document.serialize_field("processes", &processes.collect::<Vec<_>>())?;
        document.serialize_field("records", &plan.records.iter().map(record).collect::<Vec<_>>())?;
        document
            .serialize_field("ended", &applied.map(|applied| applied.ends.iter().map(tree_end).collect::<Vec<_>>()))?;
        let removals = applied.map(|applied| applied.removals.iter().map(removal).collect::<Vec<_>>());
        document.serialize_field("removed", &removals)?;
        document.serialize_field("summary", &summary(plan))?;
        document.serialize_field("processes_ended", &applied.map(Applied::processes_ended))?;
        document.serialize_field("freed_bytes", &applied.map(Applied::freed))?;
        document.serialize_field("problems", &self.problems())?;
        document.end()
    }
}

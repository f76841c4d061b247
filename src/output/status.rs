//! When it runs and what the last run came to.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::ser::{SerializeStruct as _, Serializer};
use serde_json::{Value, json};

use super::View;
use super::age::Age;
use super::bytes::Bytes;
use super::escape::Escaped;
use super::style::{Style, Tone};
use crate::exit::ExitStatus;
use crate::filesystem::LockState;
use crate::policy::timestamp::Timestamp;
use crate::schedule::runs::{QueueTotals, Run};
use crate::schedule::{LastResult, Login, Schedule};

/// Schedules, the last run and the lock.
pub(crate) struct StatusView<'v> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) user: &'v Login,
    pub(crate) schedules: &'v [Schedule],
    /// Of this user, the oldest first.
    pub(crate) runs: &'v [Run],
    /// The lock that a daemon holds as long as it runs.
    pub(crate) daemon: LockView,
    /// Not known where the settings are wrong.
    pub(crate) map: Option<String>,
    pub(crate) lock: LockView,
    pub(crate) state: String,
    /// The configuration files, each with whether it is there.
    pub(crate) config: Vec<(String, bool)>,
    /// What could not be looked at and hardly matters.
    pub(crate) passed_over: &'v [String],
    /// What could not be looked at.
    pub(crate) problems: Vec<String>,
}

/// A lock; no state where it could not be looked at.
pub(crate) struct LockView {
    pub(crate) path: Option<String>,
    pub(crate) state: Option<LockState>,
}

impl StatusView<'_> {
    /// The log is this user's: it says nothing about the runs of others.
    fn last_of(&self, schedule: &Schedule) -> Option<crate::schedule::Last> {
        schedule.last_run(if self.user.is(&schedule.user) { self.runs } else { &[] })
    }

    fn seconds_since(&self, time: DateTime<Utc>) -> u64 {
        (self.now - time).num_seconds().max(0).unsigned_abs()
    }

    fn table(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        let heading = format!(
            "{:<17} {:>5} {:<17} {:>6} {:<7} {:<14} USER",
            "NEXT", "LEFT", "LAST", "PASSED", "RESULT", "SCHEDULE"
        );
        writeln!(out, "{}", style.paint(Tone::Heading, heading))?;
        for schedule in self.schedules {
            let last = self.last_of(schedule);
            let left = match schedule.next {
                Some(next) if next <= self.now => "due".to_owned(),
                next => Age(next.map(|next| (next - self.now).num_seconds().unsigned_abs())).to_string(),
            };
            let result = last.and_then(|last| last.result);
            writeln!(
                out,
                "{:<17} {left:>5} {:<17} {:>6} {} {:<14} {}",
                Moment(schedule.next),
                Moment(last.map(|last| last.at)),
                Age(last.map(|last| self.seconds_since(last.at))),
                style.paint(tone(result), format!("{:<7}", result.map_or("-", LastResult::word))),
                schedule.kind.name(),
                Escaped(&schedule.user),
            )?;
            if verbose > 0 {
                // A program that was not found has a name all the same.
                let program = schedule.program.as_deref().unwrap_or_else(|| "session-sweep".as_ref());
                let program = std::iter::once(program.to_string_lossy().into_owned());
                let words: Vec<String> = program.chain(schedule.arguments.iter().cloned()).collect();
                writeln!(out, "  {}", style.paint(Tone::Quiet, Escaped(&schedule.place)))?;
                writeln!(out, "  {}", style.paint(Tone::Quiet, Escaped(&words.join(" "))))?;
            }
        }
        for schedule in self.schedules {
            if let Some(remedy) = schedule.remedy() {
                let note = style.paint(Tone::Attention, "note:");
                writeln!(out, "{note} {} is {}", Escaped(&schedule.place), schedule.state.in_words())?;
                writeln!(out, "      {}", Escaped(&remedy))?;
            }
        }
        Ok(())
    }

    fn last_run(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let label = style.paint(Tone::Heading, "last run");
        let Some(run) = self.runs.last() else { return writeln!(out, "{label}  none in the log") };
        let ago = Age(Some(self.seconds_since(run.at)));
        let area = run.area.as_ref().map(|area| format!(" ({})", Escaped(area))).unwrap_or_default();
        writeln!(out, "{label}  {}, {ago} ago, started by {}{area}", Moment(Some(run.at)), run.started_by.name())?;
        let word = style.paint(tone(Some(LastResult::Exit(run.exit.into()))), run.status().meaning());
        write!(out, "          {word}")?;
        if let Some(totals) = run.totals {
            write!(out, "; {} checked, {} pruned", totals.checked, totals.pruned)?;
        }
        if let Some(processes) = run.processes {
            write!(out, "; {} orphaned, {} ended", processes.orphaned, processes.ended)?;
        }
        if let Some(registry) = run.registry {
            write!(out, "; {} sessions, {} marked inactive", registry.sessions, registry.marked_inactive)?;
        }
        if let Some(queues) = run.queues {
            let QueueTotals { sessions, retried, failed, stopped, .. } = queues;
            write!(out, "; queues of {sessions} sessions: {stopped} stopped, {retried} retried, {failed} failed")?;
        }
        if let Some(artifacts) = run.artifacts {
            write!(out, "; {} removed from the disk, {} freed", artifacts.removed, Bytes(artifacts.freed))?;
        }
        writeln!(out, ", in {} ms", run.took_ms)?;
        match &run.error {
            Some(error) => writeln!(out, "          {}", Escaped(error)),
            None => Ok(()),
        }
    }
}

impl View for StatusView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        match (self.schedules, &self.problems[..]) {
            ([], []) if self.daemon.is_held() => writeln!(out, "no timer and no cron: the daemon runs")?,
            ([], []) => {
                writeln!(out, "nothing is scheduled: ./install.sh does that; see \"Install\" in README.md")?;
            }
            ([], _) => writeln!(out, "no schedule was found, but not everything could be looked at")?,
            _ => self.table(out, style, verbose)?,
        }
        let passed_over = if verbose > 0 { self.passed_over } else { &[] };
        for problem in self.problems.iter().chain(passed_over) {
            writeln!(out, "{} {}", style.paint(Tone::Attention, "note:"), Escaped(problem))?;
        }
        writeln!(out)?;
        self.last_run(out, style)?;
        let label = |name: &str| style.paint(Tone::Heading, format!("{name:<8}"));
        writeln!(out, "{}  {}", label("daemon"), Escaped(&self.daemon.in_words("does not run", "runs: ")))?;
        writeln!(out, "{}  {}", label("lock"), Escaped(&self.lock.in_words("free", "held by ")))?;
        writeln!(out, "{}  {}", label("map"), Escaped(self.map.as_deref().unwrap_or("unknown")))?;
        writeln!(out, "{}  {}", label("state"), Escaped(&self.state))?;
        for (at, (path, present)) in self.config.iter().enumerate() {
            let label = label(if at == 0 { "config" } else { "" });
            writeln!(out, "{label}  {}{}", Escaped(path), if *present { "" } else { " (not there)" })?;
        }
        Ok(())
    }
}

/// `2026-11-20 09:26Z`, or a dash.
struct Moment(Option<DateTime<Utc>>);

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        match self.0 {
            Some(time) => Timestamp(time).push_short_to(&mut text),
            None => text.push('-'),
        }
        f.pad(&text)
    }
}

fn tone(result: Option<LastResult>) -> Tone {
    match result {
        None | Some(LastResult::Running) => Tone::Quiet,
        Some(LastResult::Exit(code)) => match ExitStatus::of_code(code) {
            ExitStatus::Done => Tone::Good,
            ExitStatus::Locked | ExitStatus::Partial => Tone::Change,
            _ => Tone::Attention,
        },
        Some(LastResult::Ended) => Tone::Attention,
    }
}

impl Serialize for StatusView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = |time: Option<DateTime<Utc>>| time.map(Timestamp);
        let schedules = self.schedules.iter().map(|schedule| {
            let last = self.last_of(schedule);
            let result = last.and_then(|last| last.result);
            json!({
                "kind": schedule.kind.name(),
                "user": schedule.user,
                "place": schedule.place,
                "state": schedule.state.name(),
                "next": time(schedule.next),
                "left_seconds": schedule.next.map(|next| (next - self.now).num_seconds()),
                "interval_seconds": schedule.interval.map(|interval| interval.num_seconds()),
                "delay_seconds": schedule.delay.num_seconds(),
                "last": time(last.map(|last| last.at)),
                "passed_seconds": last.map(|last| (self.now - last.at).num_seconds()),
                "result": result.map(LastResult::word),
                "exit": result.and_then(LastResult::code),
                "program": schedule.program.as_ref().map(|path| path.to_string_lossy()),
                "arguments": schedule.arguments,
            })
        });
        let last_run = self.runs.last().map(|run| {
            json!({
                "at": Timestamp(run.at),
                "started_by": run.started_by,
                "area": run.area,
                "took_ms": run.took_ms,
                "exit": run.exit,
                "result": run.status().word(),
                "map": run.map,
                "totals": run.totals,
                "registry": run.registry,
                "processes": run.processes,
                "queues": run.queues,
                "artifacts": run.artifacts,
                "error": run.error,
            })
        });
        let config = self.config.iter().map(|(path, present)| json!({"path": path, "present": present}));
        let mut document = serializer.serialize_struct("Status", 13)?;
        document.serialize_field("schema", &1)?;
        document.serialize_field("command", "status")?;
        document.serialize_field("now", &Timestamp(self.now))?;
        document.serialize_field("user", &self.user.name)?;
        document.serialize_field("schedules", &schedules.collect::<Vec<Value>>())?;
        document.serialize_field("last_run", &last_run)?;
        document.serialize_field("daemon", &self.daemon.document())?;
        document.serialize_field("lock", &self.lock.document())?;
        document.serialize_field("map", &self.map)?;
        document.serialize_field("state", &self.state)?;
        document.serialize_field("config", &config.collect::<Vec<Value>>())?;
        document.serialize_field("problems", &self.problems)?;
        document.serialize_field("passed_over", &self.passed_over)?;
        document.end()
    }
}

impl LockView {
    fn is_held(&self) -> bool {
        matches!(self.state, Some(LockState::Held { .. }))
    }

    /// `free` where nobody has it, else who does, behind `held`.
    fn in_words(&self, free: &str, held: &str) -> String {
        match &self.state {
            Some(LockState::Free) => free.to_owned(),
            Some(LockState::Held { holder: Some(holder), .. }) => format!("{held}{holder}"),
            Some(LockState::Held { pid, .. }) => format!("{held}pid {pid}"),
            None => "unknown".to_owned(),
        }
    }

    fn document(&self) -> Value {
        let (word, pid, holder) = match &self.state {
            None => ("unknown", None, None),
            Some(LockState::Free) => ("free", None, None),
            Some(LockState::Held { pid, holder }) => ("held", Some(*pid), holder.as_ref()),
        };
        let since = holder.map(|holder| Timestamp(holder.since));
        let program = holder.map(|holder| &holder.program);
        json!({"path": self.path, "state": word, "pid": pid, "program": program, "since": since})
    }
}

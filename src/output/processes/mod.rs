//! What CLIs left behind: what a scan found, all that there is, what a clean-up did, what a hook noted.

mod clean;
mod command_line;
mod hook;
mod report;
mod scan;

use std::io::{self, Write};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::ser::SerializeStruct;
use serde_json::{Value, json};

use super::age::Age;
use super::bytes::Bytes;
use super::escape::Escaped;
use super::style::{Style, Tone};
use crate::config::Dirs;
use crate::policy::orphan::{Heartbeat, Verdict};
use crate::policy::session_record::Fate;
use crate::policy::timestamp::Timestamp;
use crate::sweep::processes::plan::{Item, Plan, Process, RecordItem};
use command_line::shown;

pub(crate) use clean::CleanView;
pub(crate) use hook::HookView;
pub(crate) use report::ReportView;
pub(crate) use scan::ScanView;

const fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Orphaned => Tone::Change,
        Verdict::Unknown => Tone::Attention,
        Verdict::Owned => Tone::Good,
        Verdict::Gone => Tone::Quiet,
    }
}

const fn tone_of_fate(fate: Fate) -> Tone {
    match fate {
        Fate::LeftOver | Fate::Expired => Tone::Change,
        Fate::Unknown => Tone::Attention,
        Fate::Kept => Tone::Quiet,
    }
}

/// One process in three or more lines: what it is, its command line, and why its verdict is what it is.
fn write_item(out: &mut dyn Write, style: Style, item: &Item, dirs: &Dirs, verb: &str) -> io::Result<()> {
    let process = &item.process;
    let verdict = item.judgement.verdict;
    writeln!(
        out,
        "{} {:>7}  {}, {} old, {}",
        style.paint(tone(verdict), format!("{verb:<9}")),
        process.pid,
        Escaped(&kind(item)),
        Age(process.age.map(|age| age.as_secs())),
        Bytes(process.memory)
    )?;
    let line = shown(&process.arguments, &process.name, dirs, false);
    writeln!(out, "  {}", style.paint(Tone::Quiet, line))?;
    for reason in &item.judgement.reasons {
        writeln!(out, "  {}", Escaped(&with_tilde(&reason.text, dirs)))?;
    }
    if verdict == Verdict::Orphaned && !item.below.is_empty() {
        let names: Vec<String> =
            item.below.iter().rev().map(|below| format!("{} ({})", below.name, below.pid)).collect();
        writeln!(out, "  with it ends what it started: {}", Escaped(&names.join(", ")))?;
    }
    Ok(())
}

/// A text in which the home is `~`, wherever it stands for itself: `/home/alice2` and `/mnt/home/alice` are other folders.
fn with_tilde(text: &str, dirs: &Dirs) -> String {
    let home = dirs.home.to_string_lossy();
    // A home of one character would be everywhere.
    if home.len() <= 1 {
        return text.to_owned();
    }
    let mut parts = text.split(home.as_ref());
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let begins = !short.ends_with(|c: char| c.is_alphanumeric() || c == '~');
        let ends = !part.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
        short.push_str(if begins && ends { "~" } else { home.as_ref() });
        short.push_str(part);
    }
    short
}

/// What a process is, in words: `claude`, `helper of codex`.
fn kind(item: &Item) -> String {
    match (&item.provider, item.is_cli) {
        (Some(provider), true) => provider.clone(),
        (Some(provider), false) => format!("helper of {provider}"),
        (None, _) => "process of a session".to_owned(),
    }
}

fn write_record(out: &mut dyn Write, style: Style, item: &RecordItem) -> io::Result<()> {
    let fate = style.paint(tone_of_fate(item.fate), format!("{:<9}", item.fate.name()));
    writeln!(out, "{fate} record of session {}", Escaped(item.record.session_id.as_str()))?;
    writeln!(out, "  {}{}", Escaped(&item.reason), after_orphans(item))
}

/// What is said behind the reason why a record stays.
const fn after_orphans(item: &RecordItem) -> &'static str {
    if item.goes_with_orphans { "; it goes when that has ended" } else { "" }
}

/// Processes that have ended and that nobody reaps.
fn write_zombies(out: &mut dyn Write, style: Style, plan: &Plan) -> io::Result<()> {
    for zombies in &plan.zombies {
        let text = format!(
            "{} {} ended and not reaped: their parent {} ({}) does not notice",
            zombies.pids.len(),
            zombies.name,
            zombies.parent_name,
            zombies.parent
        );
        writeln!(
            out,
            "{} {}",
            style.paint(tone(Verdict::Gone), format!("{:<9}", Verdict::Gone.name())),
            Escaped(&text)
        )?;
    }
    Ok(())
}

fn write_problems<'p>(
    out: &mut dyn Write,
    style: Style,
    problems: impl IntoIterator<Item = &'p String>,
) -> io::Result<()> {
    problems
        .into_iter()
        .try_for_each(|problem| writeln!(out, "{} {}", style.paint(Tone::Attention, "note:"), Escaped(problem)))
}

/// `1 orphan`, `2 orphans`.
fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// How many of each kind there are.
fn write_counts(out: &mut dyn Write, plan: &Plan) -> io::Result<()> {
    let count = |verdict| plan.count(verdict);
    write!(
        out,
        "processes: {} orphaned, {} owned, {} unknown",
        count(Verdict::Orphaned),
        count(Verdict::Owned),
        count(Verdict::Unknown)
    )?;
    let of = |fate| plan.count_records(fate);
    writeln!(
        out,
        "; records: {} left over, {} expired, {} kept, {} unknown",
        of(Fate::LeftOver),
        of(Fate::Expired),
        of(Fate::Kept),
        of(Fate::Unknown)
    )
}

fn seconds(duration: Option<Duration>) -> Option<u64> {
    duration.map(|duration| duration.as_secs())
}

/// How long ago a sign of life was, or why that is not known.
fn heartbeat(heartbeat: &Heartbeat) -> Value {
    match heartbeat {
        Heartbeat::Ago(age) => json!({"age_seconds": age.as_secs()}),
        Heartbeat::Unknown(why) => json!({"unknown": why}),
    }
}

/// How and when processes are shown.
#[derive(Clone, Copy)]
struct Shown<'s> {
    dirs: &'s Dirs,
    /// Command lines and paths whole.
    full: bool,
    now: DateTime<Utc>,
}

/// When a process started.
fn started(process: &Process, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    now.checked_sub_signed(TimeDelta::from_std(process.age?).ok()?)
}

/// A process as JSON.
fn process(process: &Process, shown_at: Shown<'_>) -> Value {
    let Shown { dirs, full, now } = shown_at;
    json!({
        "pid": process.pid,
        "start_ticks": process.start_ticks,
        "name": process.name,
        "parent": process.parent,
        "parent_name": process.parent_name,
        "started": started(process, now).map(Timestamp),
        "age_seconds": seconds(process.age),
        "cpu_seconds": process.cpu.as_secs(),
        "memory_bytes": process.memory,
        "own_memory_bytes": process.own_memory,
        "terminal": process.terminal,
        "command_line": (!process.arguments.is_empty()).then(|| shown(&process.arguments, &process.name, dirs, full)),
    })
}

/// An item as JSON.
fn item(found: &Item, shown_at: Shown<'_>) -> serde_json::Map<String, Value> {
    let Shown { dirs, full, .. } = shown_at;
    let text = |text: &str| if full { text.to_owned() } else { with_tilde(text, dirs) };
    let reasons = found.judgement.reasons.iter().map(|reason| json!({"row": reason.row, "text": text(&reason.text)}));
    let path = |path: &std::path::Path| if full { path.display().to_string() } else { dirs.shorten(path) };
    let more = json!({
        "provider": found.provider,
        "part": if found.is_cli { "cli" } else { "helper" },
        "session_id": found.session(),
        "last_heartbeat": found.heartbeat.as_ref().map(heartbeat),
        "working_folder": found.process.working_folder.as_deref().map(path),
        "executable": found.process.executable.as_deref().map(path),
        "cgroup": found.process.groups,
        "verdict": found.judgement.verdict.name(),
        "reasons": reasons.collect::<Vec<_>>(),
        "children": found.below.iter().rev().map(|below| process(below, shown_at)).collect::<Vec<_>>(),
    });
    let mut members = match process(&found.process, shown_at) {
        Value::Object(members) => members,
        _ => serde_json::Map::new(),
    };
    if let Value::Object(more) = more {
        members.extend(more);
    }
    members
}

/// A record as JSON.
fn record(found: &RecordItem) -> Value {
    json!({
        "session_id": found.record.session_id.as_str(),
        "pid": found.record.pid,
        "verdict": found.verdict.name(),
        "status": found.record.status,
        "age_seconds": seconds(found.age),
        "last_heartbeat": heartbeat(&found.heartbeat),
        "fate": found.fate.name(),
        "reason": found.reason,
        "goes_with_orphans": found.goes_with_orphans,
    })
}

/// How many of each kind there are, as JSON.
fn summary(plan: &Plan) -> Value {
    let count = |verdict| plan.count(verdict);
    let of = |fate| plan.count_records(fate);
    json!({
        "orphaned": count(Verdict::Orphaned),
        "owned": count(Verdict::Owned),
        "unknown": count(Verdict::Unknown),
        "gone": plan.zombies.iter().map(|zombies| zombies.pids.len()).sum::<usize>(),
        "records_left_over": of(Fate::LeftOver),
        "records_expired": of(Fate::Expired),
        "records_kept": of(Fate::Kept),
        "records_unknown": of(Fate::Unknown),
        "memory_of_orphans_bytes": plan.memory_of_orphans(),
    })
}

/// Zombies as JSON.
fn zombies(plan: &Plan) -> Vec<Value> {
    let one = |zombies: &crate::sweep::processes::plan::Zombies| json!({"verdict": Verdict::Gone.name(), "pids": zombies.pids, "name": zombies.name, "parent": zombies.parent, "parent_name": zombies.parent_name});
    plan.zombies.iter().map(one).collect()
}

/// The five fields in which a scan and a report tell what was found.
fn serialize_found<D: SerializeStruct>(document: &mut D, plan: &Plan, shown_at: Shown<'_>) -> Result<(), D::Error> {
    let processes = plan.processes.iter().map(|found| item(found, shown_at));
    document.serialize_field("processes", &processes.collect::<Vec<_>>())?;
    document.serialize_field("records", &plan.records.iter().map(record).collect::<Vec<_>>())?;
    document.serialize_field("zombies", &zombies(plan))?;
    document.serialize_field("summary", &summary(plan))?;
    document.serialize_field("problems", &plan.problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[test]
    fn a_home_is_a_tilde_where_it_stands_for_itself() {
        let dirs = |home| Dirs::find(&Environment::from_iter([("HOME", home)])).unwrap();
        for (text, shown) in [
            ("it is in /home/alice/.claude: EACCES", "it is in ~/.claude: EACCES"),
            ("--dir=/home/alice /home/alice", "--dir=~ ~"),
            ("/home/alice2/x /mnt/home/alice /home/alice-old", "/home/alice2/x /mnt/home/alice /home/alice-old"),
        ] {
            assert_eq!(with_tilde(text, &dirs("/home/alice")), shown);
        }
        assert_eq!(with_tilde("/a/b", &dirs("/")), "/a/b");
    }
}

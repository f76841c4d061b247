//! What CLIs left behind, as JSON.

use std::path::Path;
use std::time::Duration;

use serde::ser::SerializeStruct;
use serde_json::{Value, json};

use super::{Shown, started};
use crate::policy::orphan::{Heartbeat, Verdict};
use crate::policy::session_record::Fate;
use crate::policy::timestamp::Timestamp;
use crate::sweep::processes::plan::{Item, Plan, Process, RecordItem, Zombies};

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

/// A process as JSON.
fn process(process: &Process, shown_at: Shown<'_>) -> Value {
    json!({
        "pid": process.pid,
        "start_ticks": process.start_ticks,
        "name": process.name,
        "parent": process.parent,
        "parent_name": process.parent_name,
        "started": started(process, shown_at.now).map(Timestamp),
        "age_seconds": seconds(process.age),
        "cpu_seconds": process.cpu.as_secs(),
        "memory_bytes": process.memory,
        "own_memory_bytes": process.own_memory,
        "terminal": process.terminal,
        "command_line": (!process.arguments.is_empty()).then(|| shown_at.command_line(process)),
    })
}

/// An item as JSON.
pub(super) fn item(found: &Item, shown_at: Shown<'_>) -> serde_json::Map<String, Value> {
    let reasons = found.judgement.reasons.iter();
    let reasons = reasons.map(|reason| json!({"row": reason.row, "text": shown_at.text(&reason.text)}));
    let path = |path: &Path| shown_at.path(path);
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
pub(super) fn record(found: &RecordItem) -> Value {
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
pub(super) fn summary(plan: &Plan) -> Value {
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
    let one = |zombies: &Zombies| {
        json!({
            "verdict": Verdict::Gone.name(),
            "pids": zombies.pids,
            "name": zombies.name,
            "parent": zombies.parent,
            "parent_name": zombies.parent_name,
        })
    };
    plan.zombies.iter().map(one).collect()
}

/// The five fields in which a scan and a report tell what was found.
pub(super) fn serialize_found<D: SerializeStruct>(
    document: &mut D,
    plan: &Plan,
    shown_at: Shown<'_>,
) -> Result<(), D::Error> {
    let processes = plan.processes.iter().map(|found| item(found, shown_at));
    document.serialize_field("processes", &processes.collect::<Vec<_>>())?;
    document.serialize_field("records", &plan.records.iter().map(record).collect::<Vec<_>>())?;
    document.serialize_field("zombies", &zombies(plan))?;
    document.serialize_field("summary", &summary(plan))?;
    document.serialize_field("problems", &plan.problems)
}

//! The registry of numbered sessions: who is there, what a clean-up did, what became of one session.

mod cleanup;
mod list;
mod session;

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::escape::Escaped;
use super::style::{Style, Tone};
use crate::policy::heartbeat::Liveness;
use crate::policy::timestamp::Timestamp;
use crate::registry::survey::{Survey, Surveyed};

pub(crate) use cleanup::CleanupView;
pub(crate) use list::ListView;
pub(crate) use session::SessionView;

const fn tone(liveness: Liveness) -> Tone {
    match liveness {
        Liveness::Active => Tone::Good,
        Liveness::Stale | Liveness::Unknown => Tone::Attention,
        Liveness::Inactive => Tone::Quiet,
        Liveness::Other => Tone::Change,
    }
}

fn write_notes(out: &mut dyn Write, style: Style, survey: &Survey, verbose: u8) -> io::Result<()> {
    for note in survey.problems.iter().chain(&survey.notes) {
        writeln!(out, "{} {}", style.paint(Tone::Attention, "note:"), Escaped(note))?;
    }
    for key in &survey.not_understood {
        let note = format!("{key:?} in the registry is no session that we know; it stays");
        writeln!(out, "{} {}", style.paint(Tone::Attention, "note:"), Escaped(&note))?;
    }
    if survey.unattributed > 0 && verbose > 0 {
        writeln!(out, "{} files among the heartbeats belong to no session; they stay", survey.unattributed)?;
    }
    Ok(())
}

/// What both documents say of a session.
fn document(session: &Surveyed, now: DateTime<Utc>) -> serde_json::Map<String, Value> {
    let sign = session.last_sign.as_ref();
    let value = json!({
        "number": session.number.get(),
        "session_id": session.id,
        "role": session.role,
        "goal": session.goal,
        "status": session.status,
        "terminal": session.terminal,
        "last_heartbeat": sign.map(|sign| Timestamp(sign.time)),
        "source": sign.map(|sign| sign.source.name()),
        "beat": sign.and_then(|sign| sign.beat.as_deref()),
        "age_seconds": session.age(now),
        "verdict": session.liveness.name(),
        "doubt": session.doubt,
    });
    match value {
        Value::Object(members) => members,
        _ => serde_json::Map::new(),
    }
}

//! What a contender says, and what it should have said: which sessions need work, and what is to be done in them.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::generate::{Installation, MESSAGE};

/// How many differences tell enough.
const SHOWN: usize = 3;

/// The right answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The tool's document: what is to be done, and so many sessions that were not opened.
    Planned {
        /// How many.
        unchanged: usize,
    },
    /// The tool's document: it was done.
    Done,
    /// The tool's document: nothing was to be done, and all but those that were opened for the first time were not.
    Nothing,
    /// The floor's lines.
    Lines,
}

#[derive(Default, Deserialize)]
struct Document {
    installations: Vec<Swept>,
}

#[derive(Deserialize)]
struct Swept {
    sessions: Vec<Session>,
    unchanged: usize,
    summary: Summary,
    problems: Vec<String>,
}

#[derive(Deserialize)]
struct Session {
    session_id: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    action: String,
    message_id: Option<String>,
    result: String,
}

#[derive(Deserialize)]
struct Summary {
    retried: usize,
}

/// What differs, the first of it.
pub(crate) fn differences(given: &[u8], installation: &Installation, expected: Expected) -> Vec<String> {
    let result = match expected {
        Expected::Lines => return lines(given, installation),
        Expected::Planned { .. } | Expected::Nothing => "planned",
        Expected::Done => "done",
    };
    let document: Document = serde_json::from_slice(given).unwrap_or_default();
    let [swept] = &document.installations[..] else { return vec!["no installation".to_owned()] };
    let mut found = swept.problems.clone();
    let given: BTreeSet<&str> = swept.sessions.iter().map(|session| &session.session_id[..]).collect();
    let right: BTreeSet<&str> = match expected {
        Expected::Nothing => BTreeSet::new(),
        _ => installation.busy().map(|(_, session)| session).collect(),
    };
    found.extend(given.symmetric_difference(&right).map(|session| format!("session {session}: missing, or too much")));
    for session in &swept.sessions {
        let told: Vec<(&str, Option<&str>, &str)> = session.steps.iter().map(Step::told).collect();
        if told != [("retry", Some(MESSAGE), result), ("clear_claims", None, result)] {
            found.push(format!("session {}: {told:?}", session.session_id));
        }
    }
    if let Expected::Planned { unchanged } = expected
        && swept.unchanged != unchanged
    {
        found.push(format!("{} sessions were not opened instead of {unchanged}", swept.unchanged));
    }
    if expected == Expected::Done {
        found.extend((swept.summary.retried != right.len()).then(|| format!("{} retried", swept.summary.retried)));
        let states = installation.busy().map(|(group, session)| (session, installation.state_of(group, session)));
        found.extend(
            states.filter(|(_, state)| *state != (1, 0)).map(|(session, state)| format!("{session}: {state:?}")),
        );
    }
    found.truncate(SHOWN);
    found
}

impl Step {
    fn told(&self) -> (&str, Option<&str>, &str) {
        (&self.action, self.message_id.as_deref(), &self.result)
    }
}

fn lines(given: &[u8], installation: &Installation) -> Vec<String> {
    let given: Vec<&str> = str::from_utf8(given).unwrap_or_default().lines().collect();
    let right: Vec<String> = [format!("sessions {}", installation.len())]
        .into_iter()
        .chain(installation.busy().map(|(group, session)| format!("{group}/{session} 1 1")))
        .collect();
    let differs = given.len() != right.len() || given.iter().zip(&right).any(|(given, right)| given != right);
    if differs { vec![format!("{} lines, or others than right", given.len())] } else { Vec::new() }
}

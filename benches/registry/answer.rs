//! What a contender says and what it should have said: each session's newest beat.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How many differences tell enough.
const SHOWN: usize = 3;

/// The newest beat of each session number.
pub(crate) type Answer = BTreeMap<u64, Newest>;

/// A session's newest beat.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Newest {
    /// Its file's name.
    pub(crate) beat: String,
    /// In Unix seconds: the tool tells no fractions.
    pub(crate) time: i64,
}

impl fmt::Display for Newest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::from_timestamp(self.time, 0).unwrap_or_default();
        write!(f, "{} at {}", self.beat, time.format("%H:%M:%S"))
    }
}

/// How an answer is written down.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// The tool's JSON.
    Document,
    /// `NUMBER SECONDS NAME` per line.
    Lines,
}

impl Form {
    /// The answer in this text; of what cannot be read, nothing.
    pub(crate) fn read(self, text: &[u8]) -> Answer {
        match self {
            Self::Document => {
                let document: Document = serde_json::from_slice(text).unwrap_or_default();
                document.sessions.into_iter().filter_map(Row::newest).collect()
            }
            Self::Lines => {
                let lines = str::from_utf8(text).unwrap_or_default().lines();
                lines.filter_map(newest_in_line).collect()
            }
        }
    }
}

#[derive(Default, Deserialize)]
struct Document {
    sessions: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    number: u64,
    beat: Option<String>,
    last_heartbeat: Option<DateTime<Utc>>,
}

impl Row {
    fn newest(self) -> Option<(u64, Newest)> {
        Some((self.number, Newest { beat: self.beat?, time: self.last_heartbeat?.timestamp() }))
    }
}

fn newest_in_line(line: &str) -> Option<(u64, Newest)> {
    let (number, rest) = line.split_once(' ')?;
    let (time, beat) = rest.split_once(' ')?;
    Some((number.parse().ok()?, Newest { beat: beat.to_owned(), time: time.parse().ok()? }))
}

/// The first sessions about which the two disagree.
pub(crate) fn differences(given: &Answer, right: &Answer) -> Vec<String> {
    let numbers = right.keys().chain(given.keys().filter(|number| !right.contains_key(number)));
    let different = numbers.filter(|number| given.get(number) != right.get(number));
    let told = different.map(|number| {
        let [given, right] =
            [given, right].map(|answer| answer.get(number).map_or("nothing".into(), ToString::to_string));
        format!("session {number}: {given} instead of {right}")
    });
    told.take(SHOWN).collect()
}

//! The registry: numbered sessions and the beats that they left.
//!
//! ```text
//! base/claude_sessions.json                  half of the sessions have an id other than session-<number>
//! base/heartbeats/<stamp>-<id>.json          one beat of every session per round
//! ```
//! A beat is written as the tools write it: its body says what the clock said just before, and the file's times are left
//! alone. So a registry is made of times of one moment, but each session's beats are a round apart. One old beat is touched
//! in the end, as by a copy. The stamps in the names tell of half-hourly beats and are no times at all: under a session's
//! own id they are eight hours ahead, as where one writer uses UTC and another local time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Newest};
use crate::common::random::Random;
use crate::common::scratch::Note;

/// To be raised when anything changes what is generated.
const LAYOUT: u32 = 1;
/// How long a round lasts at least. Clocks of file systems are as coarse as ten milliseconds.
const ROUND: Duration = Duration::from_millis(100);
/// Whose first beat is touched in the end.
const TOUCHED: u64 = 3;
const BETWEEN_STAMPS: i64 = 1_800;
const AHEAD: i64 = 8 * 3_600;

/// Names that belong to nobody, each a newer beat than all others.
const STRANGERS: [&str; 6] = [
    "notes.json",
    "2026-11-20_12-00-00-y-session-2.json",
    "2026-11-20_12-00-00-session-02.json",
    "2026-11-20_12-00-00-session-4000000000.json",
    "2026-11-20_12-00-00-session-3.json.tmp",
    "session-3.txt",
];

/// A registry on the disk.
pub(crate) struct Registry {
    folder: PathBuf,
    content: Content,
    text: Vec<u8>,
}

/// What the generator knows of it.
#[derive(Serialize, Deserialize)]
struct Content {
    files: usize,
    answer: Answer,
}

impl Registry {
    /// The registry of this size under `scratch`: the one that is there while it is fresh, else a new one.
    pub(crate) fn of_size(sessions: u64, beats: u64, scratch: &Path) -> Self {
        let folder = scratch.join(format!("registry-{sessions}-{beats}"));
        let note = Note::of(&folder, LAYOUT, |generated| {
            let writer = Writer::new(&folder.join("base"), sessions, generated as i64);
            writer.write((beats / sessions).max(2))
        });
        let text = fs::read(folder.join("base/claude_sessions.json")).unwrap();
        Self { folder, content: note.content, text }
    }

    /// Where everything of this registry lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the tool is to be given.
    pub(crate) fn base(&self) -> PathBuf {
        self.folder.join("base")
    }

    /// The folder of the beats.
    pub(crate) fn beats(&self) -> PathBuf {
        self.base().join("heartbeats")
    }

    /// How many files there are in it.
    pub(crate) fn files(&self) -> usize {
        self.content.files
    }

    /// Each session's newest beat.
    pub(crate) fn answer(&self) -> &Answer {
        &self.content.answer
    }

    /// Whether the registry is as it was made, and as many beats are there.
    pub(crate) fn is_untouched(&self) -> bool {
        fs::read(self.base().join("claude_sessions.json")).is_ok_and(|text| text == self.text)
            && fs::read_dir(self.beats()).is_ok_and(|beats| beats.count() == self.files())
    }
}

/// What a beat's body is.
#[derive(Clone, Copy)]
enum Body {
    Right,
    /// `\!`, as a shell's history makes it of `!`.
    Escaped,
    Cut,
    /// A shell's command where the time should be: the file's time counts.
    Unexpanded,
}

struct Writer {
    base: PathBuf,
    /// In Unix seconds.
    started: i64,
    /// Number and id.
    sessions: Vec<(u64, String)>,
    files: usize,
    answer: Answer,
}

impl Writer {
    fn new(base: &Path, sessions: u64, started: i64) -> Self {
        fs::create_dir_all(base.join("heartbeats")).unwrap();
        let sessions = (1..=sessions).map(|number| (number, id(number))).collect();
        Self { base: base.to_owned(), started, sessions, files: 0, answer: BTreeMap::new() }
    }

    fn write(mut self, rounds: u64) -> Content {
        self.write_sessions();
        let mut touched = None;
        for round in 0..rounds {
            let start = Instant::now();
            for position in 0..self.sessions.len() {
                let (number, id) = self.sessions[position].clone();
                let by_number = format!("session-{number}");
                let id = if (round + number / 2).is_multiple_of(2) { by_number.clone() } else { id };
                let ahead = if id == by_number { 0 } else { AHEAD };
                let behind = (rounds - round) as i64 * BETWEEN_STAMPS - number as i64 % BETWEEN_STAMPS;
                let body = if round + 1 == rounds { last_body(number) } else { Body::Right };
                let name = format!("{}-{id}.json", stamp(self.started + ahead - behind, number, round));
                let path = self.beat(&name, number, body);
                if number == TOUCHED {
                    touched.get_or_insert(path);
                }
            }
            sleep(ROUND.saturating_sub(start.elapsed()));
        }
        // The older form: one file per session, named by it alone.
        self.beat("session-9.json", 9, Body::Right);
        let touched = File::options().write(true).open(touched.unwrap()).unwrap();
        touched.set_modified(SystemTime::now()).unwrap();
        for name in STRANGERS {
            self.beat(name, 0, Body::Right);
        }
        self.answer.remove(&0);
        Content { files: self.files, answer: self.answer }
    }

    fn write_sessions(&self) {
        let mut order: Vec<_> = self.sessions.iter().collect();
        Random::new(order.len() as u64).shuffle(&mut order);
        let registered = DateTime::from_timestamp(self.started - 86_400, 0).unwrap();
        let registered = registered.to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut text = String::from("{");
        for (position, (number, id)) in order.into_iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(
                text,
                "{comma}\n  \"{number}\": {{\n    \"session_id\": \"{id}\",\n    \"number\": {number},\n    \
                 \"role\": \"Builder {number}\",\n    \"goal\": \"Build \\u2192 ship\",\n    \"status\": \"active\",\n    \
                 \"registered_at\": \"{registered}\",\n    \"terminal\": \"s{number:03}\"\n  }}"
            )
            .unwrap();
        }
        text.push_str("\n}");
        fs::write(self.base.join("claude_sessions.json"), text).unwrap();
    }

    /// Writes a beat now, and remembers it unless it says nothing.
    fn beat(&mut self, name: &str, number: u64, body: Body) -> PathBuf {
        let path = self.base.join("heartbeats").join(name);
        let now = Utc::now();
        let timestamp = match body {
            Body::Unexpanded => "$(date -u +%Y-%m-%dT%H:%M:%SZ)".to_owned(),
            _ => now.to_rfc3339_opts(SecondsFormat::Micros, true),
        };
        let status = if matches!(body, Body::Escaped) { "active\\!" } else { "active" };
        let mut text = format!(
            "{{\n  \"session_number\": {number},\n  \"session_id\": \"{}\",\n  \"timestamp\": \"{timestamp}\",\n  \
             \"type\": \"heartbeat\",\n  \"source\": \"session-sweep\",\n  \"status\": \"{status}\",\n  \
             \"role\": \"Builder {number}\",\n  \"pid\": 4711,\n  \"process_start\": 123456,\n  \
             \"boot_id\": \"00000000-0000-4000-8000-000000000000\",\n  \"terminal\": \"/dev/pts/3\"\n}}\n",
            id(number),
        );
        if matches!(body, Body::Cut) {
            text.truncate(text.len() / 2);
        }
        fs::write(&path, text).unwrap();
        self.files += 1;
        let time = match body {
            Body::Right => now.timestamp(),
            Body::Unexpanded => fs::metadata(&path).unwrap().mtime(),
            Body::Escaped | Body::Cut => return path,
        };
        self.answer.insert(number, Newest { beat: name.to_owned(), time });
        path
    }
}

/// A session's id: that of its number, another, or one that ends or begins as somebody else's.
fn id(number: u64) -> String {
    match number % 8 {
        2 => format!("ai-builder-{number}"),
        4 => format!("session-{}", 1_763_000_000 + number),
        6 => format!("x-session-{}", number - 1),
        0 => format!("session-{}-deployment", number + 1),
        _ => format!("session-{number}"),
    }
}

/// What the last beats of the first sessions are.
fn last_body(number: u64) -> Body {
    match number {
        1 => Body::Escaped,
        4 => Body::Cut,
        7 => Body::Unexpanded,
        _ => Body::Right,
    }
}

/// A name's stamp; some have a fraction, as where two beats met in one second.
fn stamp(seconds: i64, number: u64, round: u64) -> String {
    let stamp = DateTime::from_timestamp(seconds, 0).unwrap().format("%Y-%m-%d_%H-%M-%S");
    if (number + round).is_multiple_of(50) { format!("{stamp}.{number:06}") } else { stamp.to_string() }
}

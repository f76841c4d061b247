//! The floor: the least work that answers the question, on one thread.
//!
//! It lists the folder once, takes two times of every beat that belongs to a session, and opens one body per session:
//! that of the beat changed last, because no beat is dated after its file's last change. A second body is read where the
//! first says nothing or that it is older. No checks, no notes, no processes, no ages, no table: what the tool costs above it is the price
//! of its promises. It knows which mistakes the generator makes and is right about those only.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fmt::Write as _;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

use chrono::DateTime;
use rustc_hash::FxHashMap;
use rustix::fs::{Mode, OFlags, StatxTimestamp, openat};
use rustix::io::read;
use serde::Deserialize;

use crate::listing::{each_file, open_folder, times};

/// What a file system's clock may lag behind the one that programs read.
const GRAIN: i64 = 10_000;

/// `floor BASE`: prints each session's number, newest beat and its time.
pub(crate) fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let base = arguments.next().expect("floor BASE");
    let base = Path::new(&base);
    let text = fs::read(base.join("claude_sessions.json")).unwrap();
    let entries: BTreeMap<&str, Entry<'_>> = serde_json::from_slice(&text).unwrap();

    let mut sessions = vec![[Beat::default(), Beat::default()]; entries.len()];
    let mut ids = FxHashMap::with_capacity_and_hasher(entries.len() * 2, rustc_hash::FxBuildHasher);
    for (position, (number, entry)) in entries.iter().enumerate() {
        ids.insert(Cow::Owned([b"session-", number.as_bytes()].concat()), position);
        ids.insert(Cow::Borrowed(entry.session_id.as_bytes()), position);
    }
    let folder = open_folder(&base.join("heartbeats"));
    each_file(&folder, |file| {
        let name = file.file_name();
        let Some(&position) = id_in(name.to_bytes()).and_then(|id| ids.get(id)) else { return };
        let Some(times) = times(&folder, file) else { return };
        let changed = micros(times.stx_ctime);
        let [newest, second] = &mut sessions[position];
        if changed > newest.changed {
            std::mem::swap(newest, second);
            newest.set(name, changed, micros(times.stx_mtime));
        } else if changed > second.changed {
            second.set(name, changed, micros(times.stx_mtime));
        }
    });

    let mut answer = String::with_capacity(entries.len() * 64);
    for ((number, entry), beats) in entries.iter().zip(&sessions) {
        let mut last = (time(entry.registered_at).unwrap_or_default(), "");
        for beat in beats {
            if beat.changed + GRAIN > last.0
                && let Some(time) = beat.time(&folder)
                && time > last.0
            {
                last = (time, beat.name());
            }
        }
        writeln!(answer, "{number} {} {}", last.0.div_euclid(1_000_000), last.1).unwrap();
    }
    print!("{answer}");
    ExitCode::SUCCESS
}

#[derive(Deserialize)]
struct Entry<'a> {
    session_id: &'a str,
    registered_at: &'a str,
}

#[derive(Deserialize)]
struct Body<'a> {
    timestamp: &'a str,
}

/// A beat that may be its session's last; times are in Unix microseconds.
#[derive(Clone, Default)]
struct Beat {
    /// Ends with a zero byte; empty for no beat.
    name: Vec<u8>,
    changed: i64,
    modified: i64,
}

impl Beat {
    fn set(&mut self, name: &CStr, changed: i64, modified: i64) {
        self.name.clear();
        self.name.extend_from_slice(name.to_bytes_with_nul());
        (self.changed, self.modified) = (changed, modified);
    }

    fn name(&self) -> &str {
        str::from_utf8(&self.name).unwrap_or_default().trim_end_matches('\0')
    }

    /// What its body says, else when it was written; `None` when the body is no object.
    fn time(&self, folder: &OwnedFd) -> Option<i64> {
        let name = CStr::from_bytes_with_nul(&self.name).ok()?;
        let file = openat(folder, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut text = [0; 4096];
        let length = read(&file, &mut text).ok()?;
        let body: Body<'_> = serde_json::from_slice(&text[..length]).ok()?;
        Some(time(body.timestamp).unwrap_or(self.modified))
    }
}

/// The id in a beat's name: what follows the stamp, or all of it.
fn id_in(name: &[u8]) -> Option<&[u8]> {
    let stem = name.strip_suffix(b".json")?;
    match stem.get(19) {
        Some(b'-') if stem[10] == b'_' => Some(&stem[20..]),
        Some(b'.') if stem[10] == b'_' => stem.get(27..),
        _ => Some(stem),
    }
}

fn time(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
}

fn micros(time: StatxTimestamp) -> i64 {
    time.tv_sec * 1_000_000 + i64::from(time.tv_nsec / 1_000)
}

//! What tests of processes ask of the machine and of documents.

use std::process::Command;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::Value;

use crate::left_behind::start_ticks;
use crate::world::Ran;

/// Waits until `condition` holds; fails after half a minute.
#[track_caller]
pub(crate) fn until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited for half a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until a process is old enough to be looked at.
pub(crate) fn wait_old(pids: &[u32]) {
    let old = |pid: &u32| {
        let per_second = rustix::param::clock_ticks_per_second();
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let ticks = now.tv_sec as u64 * per_second + now.tv_nsec as u64 * per_second / 1_000_000_000;
        start_ticks(*pid) + per_second + 1 < ticks
    };
    until(|| pids.iter().all(old));
}

/// A number that no process has.
pub(crate) fn gone_pid() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

/// The document that a run printed.
#[track_caller]
pub(crate) fn document(ran: Ran, status: i32) -> Value {
    let ran = ran.ends_with(status);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// `hours` ago as the janitor writes times.
pub(crate) fn hours_ago(hours: i64) -> String {
    time(Utc::now() - TimeDelta::hours(hours))
}

/// In an hour, for `--at`: whoever runs now is older than ten minutes then.
pub(crate) fn in_an_hour() -> String {
    time(Utc::now() + TimeDelta::hours(1))
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(crate) fn host() -> String {
    fs_err::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

pub(crate) fn namespace() -> u64 {
    let link = fs_err::read_link("/proc/self/ns/pid").unwrap();
    link.to_str().unwrap().trim_start_matches("pid:[").trim_end_matches(']').parse().unwrap()
}

/// What a document says of a process: its verdict and the rows that say why.
#[track_caller]
pub(crate) fn verdict_of(document: &Value, pid: u32) -> (String, Vec<String>) {
    let processes = document["processes"].as_array().unwrap();
    let item = processes.iter().find(|item| item["pid"] == pid).unwrap_or_else(|| panic!("no {pid}: {document:#}"));
    let rows = item["reasons"].as_array().unwrap().iter().map(|reason| reason["row"].as_str().unwrap().to_owned());
    (item["verdict"].as_str().unwrap().to_owned(), rows.collect())
}

/// Fails unless a process has this verdict, and the row is among its reasons.
#[track_caller]
pub(crate) fn assert_verdict(document: &Value, pid: u32, verdict: &str, row: &str) {
    let (found, rows) = verdict_of(document, pid);
    assert!(found == verdict && rows.iter().any(|one| one == row), "{found} by {rows:?}: {document:#}");
}

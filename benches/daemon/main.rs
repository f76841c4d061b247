//! What a daemon costs that looks after every area, with many sessions in a bridge's map, in an agent host's queues and in the
//! registry: memory, its growth over many ticks, its share of a core when nothing is to be done, and what is left of a tick over
//! a home of many files.
//!
//! `cargo bench --bench daemon` prints a table. benches/README.md tells how to read it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a benchmark talks to a person and stops at the first surprise"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "it deletes and writes in its own scratch folder only, and its messages are relative to the clock"
)]

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "there are no contenders here")]
mod common;
#[path = "../queues/generate.rs"]
#[allow(dead_code, reason = "nothing is to be done in these queues")]
mod generate;
mod large;
mod watched;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use common::options::Options;
use common::program::installed;
use common::report::{Goal, Limit, print_goals};
use common::scratch;
use watched::{AREAS, Place, Watched};

/// How often a round of all areas comes in the part that is measured in seconds: so much more often than by default.
const FASTER: u32 = 60;

fn main() -> ExitCode {
    // The container runtime, which has no containers.
    if std::env::args().next().is_some_and(|program| Path::new(&program).ends_with("podman")) {
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    let (sessions, ticks, files, span) = if options.smoke() {
        (40, 100, 400, Duration::from_secs(2))
    } else {
        (options.daemon.watched, options.daemon.ticks, options.daemon.large, Duration::from_secs(30))
    };
    let scratch = scratch::folder("bench-daemon");
    let binary = installed(&options.binary, &scratch);
    eprintln!("preparing {sessions} sessions in {}", scratch.display());
    let place = Place::prepare(sessions, &scratch, &binary);
    let mut goals = Vec::new();
    let mut goal = |what: String, value, unit, limit| {
        goals.push(Goal { place: format!("{sessions} sessions"), what, value, unit, limit: Limit::AtMost(limit) });
    };

    // Every area an hour apart: all ticks are those that are asked for.
    let mut daemon = Watched::start(&place, "1h", "1h");
    let rounds = ticks / AREAS.len() as u64;
    let settled = rounds / 10;
    daemon.rounds(settled);
    let before = daemon.resident();
    let begun = Instant::now();
    daemon.rounds(rounds - settled);
    let each = begun.elapsed() / (rounds - settled) as u32;
    let after = daemon.resident();
    eprintln!("{ticks} ticks, a round of all areas {each:.1?}; of what is resident {:.2} MB in files", after.file);
    goal("resident memory".to_owned(), after.all, " MB", 15.0);
    let settled = settled * AREAS.len() as u64;
    goal(format!("growth from tick {settled} to {ticks}"), (after.all - before.all) * 1024.0, " kB", 64.0);
    assert_eq!(daemon.end(&place), [rounds + 1; AREAS.len()], "every tick was one");

    let daemon = Watched::start(&place, "5s", "1s");
    let (begun, used) = (Instant::now(), daemon.cpu());
    daemon.listen(span);
    let share = daemon.cpu().saturating_sub(used).as_secs_f64() / begun.elapsed().as_secs_f64() / f64::from(FASTER);
    goal("share of a core, queues every 60 s".to_owned(), share * 100.0, " %", 0.5);
    daemon.end(&place);

    eprintln!("preparing a home of {files} files");
    large::fill(&place.cli(), files);
    let mut daemon = Watched::start(&place, "1h", "1h");
    daemon.rounds(1);
    let idle = daemon.resident();
    eprintln!("while it looked at {files} files {:.1} MB", idle.most);
    goal(format!("resident memory after a tick over {files} files"), idle.all, " MB", 15.0);
    daemon.end(&place);
    fs::remove_dir_all(place.cli()).unwrap();
    print_goals(&goals);
    println!("\nEvery tick was done.");
    ExitCode::SUCCESS
}

//! What a daemon costs that watches many sessions, in a bridge's map and in an agent host's queues: memory, its growth over many
//! ticks, and its share of a core when nothing is to be done.
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
mod watched;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use common::options::Options;
use common::program::installed;
use common::report::{Goal, Limit, print_goals};
use common::scratch;
use watched::{Place, Watched};

/// How often a round of all areas comes in the part that is measured in seconds: so much more often than by default.
const FASTER: u32 = 60;

fn main() -> ExitCode {
    // The container runtime, which has no containers.
    if std::env::args().next().is_some_and(|program| Path::new(&program).ends_with("podman")) {
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    let (sessions, ticks, span) = if options.smoke() {
        (40, 40, Duration::from_secs(2))
    } else {
        (options.daemon.watched, options.daemon.ticks, Duration::from_secs(30))
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
    let settled = ticks / 10;
    daemon.rounds(settled / 2);
    let before = daemon.resident();
    let begun = Instant::now();
    daemon.rounds((ticks - settled) / 2);
    let each = begun.elapsed() / (ticks - settled).max(1) as u32;
    let after = daemon.resident();
    eprintln!("{ticks} ticks, {each:.1?} each; resident {:.2} MB, of it in files {:.2} MB", after.all, after.file);
    goal("resident memory".to_owned(), after.all, " MB", 15.0);
    goal(format!("growth from tick {settled} to {ticks}"), (after.all - before.all) * 1024.0, " kB", 64.0);
    let counted = daemon.end(&place);
    assert_eq!(counted, [ticks / 2 + 1, ticks / 2 + 1], "every tick was one");

    let daemon = Watched::start(&place, "5s", "1s");
    let (begun, used) = (Instant::now(), daemon.cpu());
    daemon.listen(span);
    let share = daemon.cpu().saturating_sub(used).as_secs_f64() / begun.elapsed().as_secs_f64() / f64::from(FASTER);
    goal("share of a core, queues every 60 s".to_owned(), share * 100.0, " %", 0.5);
    daemon.end(&place);
    print_goals(&goals);
    println!("\nEvery tick was done.");
    ExitCode::SUCCESS
}

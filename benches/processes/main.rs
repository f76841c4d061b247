//! What `processes scan` costs, beside a floor that only reads each process's line, and `ps`.
//!
//! `cargo bench --bench processes` prints a table and the ratios that decide. benches/README.md tells how to read them.

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
    reason = "it deletes and writes in its own scratch folder only, and its records are relative to the clock"
)]

mod answer;
#[path = "../common/mod.rs"]
mod common;
mod contenders;
mod crowd;
mod floor;
mod stand_in;

use std::fs;
use std::process::ExitCode;

use clap::Parser;

use common::calls;
use common::measure::{self, Cost, NOWHERE};
use common::options::Options;
use common::program::{install_own, installed};
use common::report::{self, Goal, Goals, Results, Runs};
use common::rounds::{Rounds, WrongAnswers};
use common::scratch;
use contenders::{Contender, Place, name};
use crowd::Crowd;

/// With fewer processes, starting a contender is most of what is measured.
const TELLING: usize = 2_000;

fn main() -> ExitCode {
    // A stand-in's arguments are another program's.
    if let Some(role) = stand_in::role() {
        return stand_in::main(role);
    }
    let mut arguments = std::env::args().skip(1);
    // Contenders and the measuring parent are this program again, so that starting a process is counted for everybody.
    match arguments.next().as_deref() {
        Some("__measure") => measure::main(arguments),
        Some("__floor") => floor::main(),
        _ => bench(Options::parse()),
    }
}

fn bench(mut options: Options) -> ExitCode {
    if options.smoke() {
        options.processes.count = 200;
    }
    let scratch = scratch::folder("bench-processes");
    options.binary = installed(&options.binary, &scratch);
    install_own(&scratch);
    let place = Place::prepare(&scratch);
    eprintln!("starting {} processes", options.processes.count);
    let crowd = Crowd::start(options.processes.count as usize, &scratch);
    let title = format!("{} processes, {} of them ours", floor::count(), crowd.len());

    let contenders = contenders::all(&place, &options);
    let names: Vec<_> = contenders.iter().map(|contender| contender.name).collect();
    let mut wrong = WrongAnswers::default();
    let results = Rounds::new(options.rounds())
        .run("processes", &names, |position| run_one(&mut wrong, &place, &crowd, &contenders[position]));
    report::print_table(&title, &results);
    if crowd.len() >= TELLING {
        let counted = contenders.iter().map(|contender| (contender.name, contender.command(&place), contender.code));
        calls::print_table(counted, &place.answer());
        report::print_goals(&goals(title, &results));
    }
    crowd.end();
    wrong.verdict()
}

/// Runs a contender and looks at what it said.
fn run_one(wrong: &mut WrongAnswers, place: &Place, crowd: &Crowd, contender: &Contender) -> Cost {
    let output = if contender.answers { place.answer() } else { NOWHERE.into() };
    let cost = measure::measure(&contender.command(place), &output);
    if cost.code != Some(contender.code) {
        wrong.note(format!("`{}` ended with {:?}", contender.name, cost.code));
    }
    if contender.answers {
        for difference in answer::differences(&fs::read(&output).unwrap(), crowd) {
            wrong.note(format!("`{}`: {difference}", contender.name));
        }
    }
    cost
}

fn goals(place: String, results: &Results) -> Vec<Goal> {
    let mut goals = Goals::new(place, results);
    goals.ratio("CPU", Runs::cpu, name::SCAN, name::FLOOR, 1.5);
    goals.faster("CPU", Runs::cpu, name::SCAN, name::PS, 1.0);
    goals.faster("wall", Runs::wall, name::SCAN, name::PS, 1.0);
    goals.figure(format!("peak memory, `{}`", name::SCAN), name::SCAN, Runs::peak, " MB", 12.0);
    goals.found
}

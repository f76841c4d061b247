//! What `registry list` costs, beside a floor that does the least possible, bare listings and `find`.
//!
//! `cargo bench --bench registry` prints a table and the ratios that decide. benches/README.md tells how to read them.

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
    reason = "it deletes and writes in its own scratch folder only, and its beats are of the moment they are written"
)]

mod answer;
#[path = "../common/mod.rs"]
mod common;
mod contenders;
mod floor;
mod generate;
mod listing;

use std::fs;
use std::process::ExitCode;

use clap::Parser;

use common::measure::{self, Cost, NOWHERE};
use common::options::Options;
use common::program::{install_own, installed};
use common::report::{self, Goal, Goals, Results, Runs};
use common::rounds::{Rounds, WrongAnswers};
use common::scratch;
use contenders::{Contender, name};
use generate::Registry;

/// With fewer beats, starting a process is most of what is measured.
const TELLING: usize = 10_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    // Contenders and the measuring parent are this program again, so that starting a process is counted for everybody.
    match arguments.next().as_deref() {
        Some("__measure") => measure::main(arguments),
        Some("__floor") => floor::main(arguments),
        Some("__listing") => listing::main(arguments),
        _ => bench(Options::parse()),
    }
}

fn bench(mut options: Options) -> ExitCode {
    if options.smoke() {
        (options.registry.sessions, options.registry.beats) = (100, 1_000);
    }
    let scratch = scratch::folder("bench-registry");
    options.binary = installed(&options.binary, &scratch);
    install_own(&scratch);
    eprintln!("preparing the registry in {}", scratch.display());
    let registry = Registry::of_size(options.registry.sessions, options.registry.beats, &scratch);
    let place = format!("{} sessions, {} files", options.registry.sessions, registry.files());

    let contenders = contenders::all(&registry, &options);
    let names: Vec<_> = contenders.iter().map(|contender| contender.name).collect();
    let mut wrong = WrongAnswers::default();
    let results = Rounds::new(options.rounds())
        .run("registry", &names, |position| run_one(&mut wrong, &registry, &contenders[position]));
    report::print_table(&place, &results);
    if registry.files() >= TELLING {
        report::print_goals(&goals(place, &results));
    }
    wrong.verdict()
}

/// Runs a contender and looks at what it said. It must leave everything as it was.
fn run_one(wrong: &mut WrongAnswers, registry: &Registry, contender: &Contender) -> Cost {
    let output = contender.says.map_or(NOWHERE.into(), |_| registry.folder().join("answer"));
    let cost = measure::measure(&contender.command(registry), &output);
    if cost.code != Some(0) {
        wrong.note(format!("`{}` ended with {:?}", contender.name, cost.code));
    }
    if let Some(form) = contender.says {
        let given = form.read(&fs::read(&output).unwrap());
        for difference in answer::differences(&given, registry.answer()) {
            wrong.note(format!("`{}` says of {difference}", contender.name));
        }
    }
    if !registry.is_untouched() {
        wrong.note(format!("`{}` changed files", contender.name));
    }
    cost
}

fn goals(place: String, results: &Results) -> Vec<Goal> {
    let mut goals = Goals::new(place, results);
    for contender in [name::LIST, name::CLEANUP] {
        goals.ratio("CPU", Runs::cpu, contender, name::FLOOR, 1.3);
        goals.faster("CPU", Runs::cpu, contender, name::FIND, 1.0);
        goals.faster("wall", Runs::wall, contender, name::FIND, 1.0);
        goals.figure(format!("peak memory, `{contender}`"), contender, Runs::peak, " MB", 50.0);
    }
    goals.found
}

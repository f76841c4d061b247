//! What `artifacts report` costs over a large home, beside `du`, `find` and a floor that looks at every file and decides nothing.
//!
//! `cargo bench --bench artifacts` prints tables and the ratios that decide. benches/README.md tells how to read them.

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
    reason = "it deletes and writes in its own scratch folder only, and its files' ages are relative to the clock"
)]

mod answer;
#[path = "../common/mod.rs"]
mod common;
mod contenders;
mod floor;
mod generate;
mod home;

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
use contenders::{Contender, name};
use home::Home;

/// With fewer files, starting a process is most of what is measured.
const TELLING: u64 = 20_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    // Contenders and the measuring parent are this program again, so that starting a process is counted for everybody.
    match arguments.next().as_deref() {
        Some("__measure") => measure::main(arguments),
        Some("__floor") => floor::main(arguments),
        _ => bench(Options::parse()),
    }
}

fn bench(mut options: Options) -> ExitCode {
    if options.smoke() {
        options.artifacts.files = 2_000;
    }
    let scratch = scratch::folder("bench-artifacts");
    options.binary = installed(&options.binary, &scratch);
    install_own(&scratch);
    eprintln!("preparing {} files in {}", options.artifacts.files, scratch.display());
    let home = Home::of_size(options.artifacts.files, &scratch);
    let place = format!("{} files", options.artifacts.files);

    let contenders = contenders::all(&home, &options);
    let names: Vec<_> = contenders.iter().map(|contender| contender.name).collect();
    let mut wrong = WrongAnswers::default();
    let results = Rounds::new(options.rounds())
        .run("artifacts", &names, |position| run_one(&mut wrong, &home, &contenders[position]));
    report::print_table(&place, &results);
    if options.artifacts.files >= TELLING {
        let counted = contenders.iter().map(|contender| (contender.name, contender.command(&home), 0));
        calls::print_table(counted, &home.answer());
        report::print_goals(&goals(place, &results));
    }
    wrong.verdict()
}

/// Runs a contender and looks at what it said. It must leave everything as it was.
fn run_one(wrong: &mut WrongAnswers, home: &Home, contender: &Contender) -> Cost {
    let output = contender.says.map_or(NOWHERE.into(), |_| home.answer());
    let cost = measure::measure(&contender.command(home), &output);
    if cost.code != Some(0) {
        wrong.note(format!("`{}` ended with {:?}", contender.name, cost.code));
    }
    if let Some(form) = contender.says {
        for difference in form.differences(&fs::read(&output).unwrap(), home) {
            wrong.note(format!("`{}`: {difference}", contender.name));
        }
    }
    if !home.is_untouched() {
        wrong.note(format!("`{}` changed files", contender.name));
    }
    cost
}

fn goals(place: String, results: &Results) -> Vec<Goal> {
    let mut goals = Goals::new(place, results);
    goals.ratio_to_sum("CPU", Runs::cpu, name::REPORT, &[name::DU, name::FIND], 1.3);
    goals.ratio("CPU", Runs::cpu, name::REPORT, name::FLOOR, 1.3);
    goals.faster("wall", Runs::wall, name::REPORT, name::FIND, 1.0);
    goals.figure(format!("peak memory, `{}`", name::REPORT), name::REPORT, Runs::peak, " MB", 50.0);
    goals.found
}

//! What one tick of `queues sweep` costs, beside a floor that takes each heartbeat's time and opens what needs work.
//!
//! `cargo bench --bench queues` prints tables and the ratios that decide. benches/README.md tells how to read them.

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

mod answer;
#[path = "../common/mod.rs"]
mod common;
mod contenders;
mod floor;
mod generate;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use answer::Expected;
use common::calls;
use common::measure::{self, Cost};
use common::options::Options;
use common::program::{install_own, installed};
use common::report::{self, Goal, Goals, Results, Runs};
use common::rounds::{Rounds, WrongAnswers};
use common::scratch;
use contenders::{Contender, name};
use generate::Installation;

/// For so many sessions the goals are set.
const TELLING: usize = 1_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    // The container runtime, which has no containers.
    if arguments.next().is_some_and(|program| Path::new(&program).ends_with("podman")) {
        return ExitCode::SUCCESS;
    }
    // Contenders and the measuring parent are this program again, so that starting a process is counted for everybody.
    match arguments.next().as_deref() {
        Some("__measure") => measure::main(arguments),
        Some("__floor") => floor::main(arguments),
        Some("__unaided") => floor::unaided(arguments),
        _ => bench(Options::parse()),
    }
}

fn bench(mut options: Options) -> ExitCode {
    if options.smoke() {
        options.queues.installations = vec![40];
    }
    let scratch = scratch::folder("bench-queues");
    options.binary = installed(&options.binary, &scratch);
    install_own(&scratch);
    let mut wrong = WrongAnswers::default();
    let mut reached = Vec::new();
    for &sessions in &options.queues.installations {
        eprintln!("preparing {sessions} sessions in {}", scratch.display());
        let place = Place::prepare(&mut wrong, sessions, &scratch, &options);
        let names: Vec<_> = place.contenders.iter().map(|contender| contender.name).collect();
        let title = format!("{sessions} sessions");
        let run_one = |position: usize| place.run_one(&mut wrong, &place.contenders[position]);
        let results = Rounds::new(options.rounds()).run(&title, &names, run_one);
        report::print_table(&title, &results);
        if place.installation.len() == TELLING {
            place.count_calls();
            reached.extend(goals(title, &results));
        }
    }
    if !reached.is_empty() {
        report::print_goals(&reached);
    }
    wrong.verdict()
}

/// An installation, what is remembered of it, and who looks at it.
struct Place {
    installation: Installation,
    memory: Vec<(PathBuf, Vec<u8>)>,
    contenders: Vec<Contender>,
}

impl Place {
    fn prepare(wrong: &mut WrongAnswers, sessions: u64, scratch: &Path, options: &Options) -> Self {
        let installation = Installation::of_size(sessions, scratch);
        let contenders = contenders::all(&installation, options);
        let mut place = Self { installation, memory: Vec::new(), contenders };
        // What a run that was broken off has done.
        place.installation.arrange(true);
        place.installation.put_back();
        // By the program that is measured: how it remembers is its own.
        let earlier = contenders::earlier(&place.installation, options);
        place.run_one(wrong, &earlier);
        let installation = &place.installation;
        floor::remember(&installation.sessions_folder(), &installation.central(), &installation.seen());
        place.memory = contenders::memory(&place.installation);
        place
    }

    /// Arranges for a contender.
    fn arrange(&self, contender: &Contender) {
        self.installation.arrange(contender.expected != Expected::Nothing);
        if contender.expected == Expected::Done {
            self.installation.put_back();
        }
        for (path, bytes) in &self.memory {
            fs::write(path, bytes).unwrap();
        }
    }

    /// Runs a contender and looks at what it said and did.
    fn run_one(&self, wrong: &mut WrongAnswers, contender: &Contender) -> Cost {
        self.arrange(contender);
        let before = self.installation.fingerprint();
        let output = self.answer();
        let cost = measure::measure(&contender.command(&self.installation), &output);
        if cost.code != Some(0) {
            wrong.note(format!("`{}` ended with {:?}", contender.name, cost.code));
        }
        for difference in answer::differences(&fs::read(&output).unwrap(), &self.installation, contender.expected) {
            wrong.note(format!("`{}`: {difference}", contender.name));
        }
        if contender.expected == Expected::Done {
            self.installation.put_back();
        } else if self.installation.fingerprint() != before {
            wrong.note(format!("`{}` changed files", contender.name));
        }
        cost
    }

    fn count_calls(&self) {
        let counted = self.contenders.iter().map(|contender| {
            self.arrange(contender);
            (contender.name, contender.command(&self.installation), 0)
        });
        calls::print_table(counted, &self.answer());
    }

    fn answer(&self) -> PathBuf {
        self.installation.folder().join("answer")
    }
}

fn goals(place: String, results: &Results) -> Vec<Goal> {
    let mut goals = Goals::new(place, results);
    for (kind, of) in [("CPU", Runs::cpu as fn(&Runs) -> f64), ("wall", Runs::wall)] {
        goals.ratio(kind, of, name::DRY, name::FLOOR, 1.5);
        goals.ratio(kind, of, name::DRY, name::ASKING, 1.5);
        goals.ratio(kind, of, name::DRY, name::UNAIDED, 1.5);
        goals.faster(kind, of, name::DRY, name::ORIGINAL, 1.0);
    }
    goals.figure(format!("peak memory, `{}`", name::DRY), name::DRY, Runs::peak, " MB", 12.0);
    goals.found
}

//! What `prune` costs, beside a floor that does the least possible, `find`, `fd` and the original's way.
//!
//! `cargo bench` prints a table per size and the ratios that decide. benches/README.md tells how to read them.

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
    reason = "it deletes and writes in its own scratch folder only, and its trees' times are relative to the clock"
)]

#[path = "../common/mod.rs"]
mod common;
mod contenders;
mod distributions;
mod floor;
mod generate;
mod goals;
mod maps;
mod original;
mod scan;
mod transcripts;
mod tree;

use std::process::ExitCode;

use clap::Parser;
use serde_json::Value;

use common::measure::{self, Cost, NOWHERE};
use common::options::{Options, Size};
use common::program::{install_own, installed};
use common::report::{self, Results};
use common::rounds::{Rounds, WrongAnswers};
use common::scratch;
use contenders::Contender;
use maps::Map;
use tree::{Counts, Tree};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    // Contenders and the measuring parent are this program again, so that starting a process is counted for everybody.
    match arguments.next().as_deref() {
        Some("__measure") => measure::main(arguments),
        Some("__floor") => floor::main(arguments),
        Some("__original") => original::main(arguments),
        _ => bench(Options::parse()),
    }
}

fn bench(mut options: Options) -> ExitCode {
    if options.smoke() {
        options.prune.sizes = vec![Size::S];
    }
    options.prune.sizes.sort_unstable();
    options.prune.sizes.dedup();
    let scratch = scratch::folder("bench-trees");
    options.binary = installed(&options.binary, &scratch);
    install_own(&scratch);
    let rounds = Rounds::new(options.rounds());
    let mut bench = Bench { options, rounds, wrong: WrongAnswers::default() };
    let (mut found, mut full) = (Vec::new(), Vec::new());
    for size in bench.options.prune.sizes.clone() {
        eprintln!("{size:?}: preparing the tree in {}", scratch.display());
        let tree = Tree::of_size(size, &scratch);
        let results = bench.full_map(size, &tree);
        found.extend(goals::full_map_goals(size, &results));
        full.push((size, results));
        let tiny = bench.options.prune.tiny;
        if tiny > 0 {
            let results = bench.tiny_map(size, &tree);
            found.extend(goals::tiny_map_goals(size, tiny, &results));
        }
    }
    found.extend(goals::growth_goals(&full));
    report::print_goals(&found);
    bench.wrong.verdict()
}

struct Bench {
    options: Options,
    rounds: Rounds,
    wrong: WrongAnswers,
}

impl Bench {
    fn full_map(&mut self, size: Size, tree: &Tree) -> Results {
        let map = Map::full(tree);
        self.check_counts(size, tree, &map);
        let original = size <= Size::M && !self.options.prune.skip_original;
        let contenders = contenders::for_full_map(tree, &map, original, &self.options);
        let mut pairs: Vec<_> = contenders.into_iter().map(|contender| (contender, &map)).collect();
        let (resolve_map, chat, session) = Map::for_resolve(tree);
        let resolve = contenders::resolve(&resolve_map, &chat, &self.options);
        let answer = resolve.command(tree, &resolve_map).output().unwrap();
        if !answer.status.success() || !String::from_utf8_lossy(&answer.stdout).contains(&session) {
            self.wrong.note(format!("{size:?}: `resolve` does not name session {session}"));
        }
        pairs.push((resolve, &resolve_map));
        let results = self.run(size, tree, &pairs);
        let [files, ..] = size.numbers();
        let Counts { checked, idle, .. } = map.counts;
        report::print_table(&format!("{size:?}: {files} files, {checked} mappings, {idle} of them idle"), &results);
        results
    }

    fn tiny_map(&mut self, size: Size, tree: &Tree) -> Results {
        let map = Map::tiny(tree, self.options.prune.tiny);
        let contenders = contenders::on_any_map(tree, &map, &self.options);
        let pairs: Vec<_> = contenders.into_iter().map(|contender| (contender, &map)).collect();
        let results = self.run(size, tree, &pairs);
        let [files, ..] = size.numbers();
        let Counts { checked, idle, .. } = map.counts;
        report::print_table(
            &format!("{size:?}: {files} files, {checked} mappings only, {idle} of them idle"),
            &results,
        );
        results
    }

    fn run(&mut self, size: Size, tree: &Tree, pairs: &[(Contender, &Map)]) -> Results {
        let names: Vec<_> = pairs.iter().map(|(contender, _)| contender.name).collect();
        let Self { rounds, wrong, .. } = self;
        rounds.run(&format!("{size:?}"), &names, |position| {
            let (contender, map) = &pairs[position];
            run_one(wrong, size, tree, contender, map)
        })
    }

    fn check_counts(&mut self, size: Size, tree: &Tree, map: &Map) {
        map.restore();
        let output = contenders::preview(map, &self.options).command(tree, map).output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let count = |name: &str| document["summary"][name].as_u64().unwrap_or(u64::MAX) as usize;
        let [checked, active, idle, missing] = ["checked", "active", "idle", "missing"].map(count);
        if (Counts { checked, active, idle, missing }) != map.counts {
            self.wrong
                .note(format!("{size:?}: `prune --dry-run --json` says {}, not {:?}", document["summary"], map.counts));
        }
    }
}

fn run_one(wrong: &mut WrongAnswers, size: Size, tree: &Tree, contender: &Contender, map: &Map) -> Cost {
    map.restore();
    let cost = measure::measure(&contender.command(tree, map), NOWHERE.as_ref());
    if cost.code != Some(0) {
        wrong.note(format!("{size:?}: `{}` ended with {:?}", contender.name, cost.code));
    }
    if !map.is_right(contender.after) {
        wrong.note(format!("{size:?}: the map is wrong after `{}`", contender.name));
    }
    cost
}

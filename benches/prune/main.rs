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

mod contenders;
mod floor;
mod generate;
mod maps;
mod measure;
mod original;
mod random;
mod report;
mod scan;
mod transcripts;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use serde_json::Value;

use contenders::Contender;
use maps::Map;
use random::Random;
use report::Results;
use tree::{Counts, Size, Tree};

/// A contender slower than this runs three times only.
const SLOW: Duration = Duration::from_secs(2);

/// Measures `session-sweep prune` beside other ways to the same answer.
#[derive(Parser)]
#[command(name = "cargo bench --")]
struct Options {
    /// A tree to measure on; may be repeated
    #[arg(long = "size", value_name = "SIZE", default_values = ["S", "M"])]
    sizes: Vec<Size>,
    /// How often each contender runs
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Also measure a map of so many sessions on the same tree; 0 for not
    #[arg(long, value_name = "MAPPINGS", default_value_t = 20)]
    tiny: usize,
    /// Leave out the original's way, which takes seconds on M (and is never run on larger trees)
    #[arg(long)]
    skip_original: bool,
    /// Only see that everything runs and answers right: size S, two rounds
    #[arg(long)]
    smoke: bool,
    /// The program to measure
    #[arg(long, value_name = "PATH", default_value = env!("CARGO_BIN_EXE_session-sweep"))]
    binary: PathBuf,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

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

/// This program as [`installed`].
static OWN_COPY: OnceLock<PathBuf> = OnceLock::new();

/// A copy of a program, as an installation makes one. What the linker leaves lies in the page cache in small pieces, and
/// starting it costs a tenth of a millisecond more.
fn installed(program: &Path, scratch: &Path) -> PathBuf {
    let copy = scratch.join("bin").join(program.file_name().expect("a program's path has a name"));
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    // Removed first: a file that runs cannot be written.
    let _ = fs::remove_file(&copy);
    fs::copy(program, &copy).unwrap();
    copy
}

/// This program in one of its hidden roles.
fn hidden(role: &str) -> Command {
    let own = OWN_COPY.get().cloned().unwrap_or_else(|| std::env::current_exe().expect("the benchmark's own path"));
    let mut command = Command::new(own);
    command.arg(format!("__{role}"));
    command
}

fn bench(mut options: Options) -> ExitCode {
    // Without cargo's --bench this is `cargo test --benches`: a debug build, whose times say nothing.
    if options.smoke || !options.bench {
        options.sizes = vec![Size::S];
        options.rounds = 2;
    }
    options.sizes.sort_unstable();
    options.sizes.dedup();
    let scratch = std::env::var_os("SESSION_SWEEP_BENCH_DIR").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench-trees"),
        |folder| std::path::absolute(folder).unwrap(),
    );

    options.binary = installed(&options.binary, &scratch);
    let own = std::env::current_exe().expect("the benchmark's own path");
    OWN_COPY.get_or_init(|| installed(&own, &scratch));
    let mut bench = Bench { options, random: Random::new(seed()), wrong: Vec::new() };
    let (mut goals, mut full) = (Vec::new(), Vec::new());
    for size in bench.options.sizes.clone() {
        eprintln!("{size:?}: preparing the tree in {}", scratch.display());
        let tree = Tree::of_size(size, &scratch);
        let results = bench.full_map(size, &tree);
        goals.extend(report::full_map_goals(size, &results));
        full.push((size, results));
        if bench.options.tiny > 0 {
            let results = bench.tiny_map(size, &tree);
            goals.extend(report::tiny_map_goals(size, bench.options.tiny, &results));
        }
    }
    goals.extend(report::growth_goals(&full));
    report::print_goals(&goals);
    bench.verdict()
}

fn seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos().into())
}

struct Bench {
    options: Options,
    random: Random,
    /// Every wrong answer, each once.
    wrong: Vec<String>,
}

impl Bench {
    fn full_map(&mut self, size: Size, tree: &Tree) -> Results {
        let map = Map::full(tree);
        self.check_counts(size, tree, &map);
        let original = size <= Size::M && !self.options.skip_original;
        let contenders = contenders::for_full_map(tree, &map, original, &self.options);
        let mut pairs: Vec<_> = contenders.into_iter().map(|contender| (contender, &map)).collect();
        let (resolve_map, chat, session) = Map::for_resolve(tree);
        let resolve = contenders::resolve(&resolve_map, &chat, &self.options);
        let answer = resolve.command(tree, &resolve_map).output().unwrap();
        if !answer.status.success() || !String::from_utf8_lossy(&answer.stdout).contains(&session) {
            self.note(format!("{size:?}: `resolve` does not name session {session}"));
        }
        pairs.push((resolve, &resolve_map));
        let results = self.run(size, tree, &pairs);
        let [files, ..] = size.numbers();
        let Counts { checked, idle, .. } = map.counts;
        report::print_table(&format!("{size:?}: {files} files, {checked} mappings, {idle} of them idle"), &results);
        results
    }

    fn tiny_map(&mut self, size: Size, tree: &Tree) -> Results {
        let map = Map::tiny(tree, self.options.tiny);
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

    /// Everybody once to warm up, then in rounds, each in a new order, so that a slow moment hits nobody in particular.
    fn run(&mut self, size: Size, tree: &Tree, pairs: &[(Contender, &Map)]) -> Results {
        let mut results = Results::new();
        let mut order: Vec<(usize, u32)> = Vec::new();
        for (position, (contender, map)) in pairs.iter().enumerate() {
            let cost = self.run_one(size, tree, contender, map);
            order.push((position, if cost.wall > SLOW { self.options.rounds.min(3) } else { self.options.rounds }));
        }
        for round in 0..self.options.rounds {
            self.random.shuffle(&mut order);
            for &(position, rounds) in &order {
                let (contender, map) = &pairs[position];
                if round < rounds {
                    let cost = self.run_one(size, tree, contender, map);
                    results.entry(contender.name).or_default().push(cost);
                }
            }
            eprintln!("{size:?}: round {} of {}", round + 1, self.options.rounds);
        }
        results
    }

    fn run_one(&mut self, size: Size, tree: &Tree, contender: &Contender, map: &Map) -> measure::Cost {
        map.restore();
        let cost = measure::measure(&contender.command(tree, map));
        if cost.code != Some(0) {
            self.note(format!("{size:?}: `{}` ended with {:?}", contender.name, cost.code));
        }
        if !map.is_right(contender.after) {
            self.note(format!("{size:?}: the map is wrong after `{}`", contender.name));
        }
        cost
    }

    fn check_counts(&mut self, size: Size, tree: &Tree, map: &Map) {
        map.restore();
        let output = contenders::preview(map, &self.options).command(tree, map).output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let count = |name: &str| document["summary"][name].as_u64().unwrap_or(u64::MAX) as usize;
        let [checked, active, idle, missing] = ["checked", "active", "idle", "missing"].map(count);
        if (Counts { checked, active, idle, missing }) != map.counts {
            self.note(format!("{size:?}: `prune --dry-run --json` says {}, not {:?}", document["summary"], map.counts));
        }
    }

    fn note(&mut self, wrong: String) {
        if !self.wrong.contains(&wrong) {
            self.wrong.push(wrong);
        }
    }

    /// A figure over its goal is no failure, machines differ; a wrong answer is.
    fn verdict(&self) -> ExitCode {
        if self.wrong.is_empty() {
            println!("\nEvery answer was right.");
            return ExitCode::SUCCESS;
        }
        println!("\n## Wrong answers\n");
        for wrong in &self.wrong {
            println!("- {wrong}");
        }
        ExitCode::FAILURE
    }
}

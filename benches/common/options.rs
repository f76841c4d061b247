//! The command line. `cargo bench -- ARGUMENTS` hands the same arguments to every benchmark, so each of them knows all
//! options and reads those that it can use.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

/// Measures session-sweep beside other ways to the same answer.
#[derive(Parser)]
#[command(name = "cargo bench --")]
pub(crate) struct Options {
    /// How often each contender runs
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only see that everything runs and answers right: two rounds on few files
    #[arg(long)]
    smoke: bool,
    /// The program to measure
    #[arg(long, value_name = "PATH", default_value = env!("CARGO_BIN_EXE_session-sweep"))]
    pub(crate) binary: PathBuf,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
    #[command(flatten)]
    pub(crate) prune: Prune,
    #[command(flatten)]
    pub(crate) registry: Registry,
    #[command(flatten)]
    pub(crate) processes: Processes,
    #[command(flatten)]
    pub(crate) queues: Queues,
    #[command(flatten)]
    pub(crate) artifacts: Artifacts,
    #[command(flatten)]
    pub(crate) daemon: Daemon,
}

/// What only `prune` looks at.
#[derive(Args)]
#[command(next_help_heading = "For --bench prune")]
pub(crate) struct Prune {
    /// A tree to measure on; may be repeated
    #[arg(long = "size", value_name = "SIZE", default_values = ["S", "M"])]
    pub(crate) sizes: Vec<Size>,
    /// Also measure a map of so many sessions on the same tree; 0 for not
    #[arg(long, value_name = "MAPPINGS", default_value_t = 20)]
    pub(crate) tiny: usize,
    /// Leave out the original's way, which takes seconds on M (and is never run on larger trees)
    #[arg(long)]
    pub(crate) skip_original: bool,
}

/// What only `registry` looks at.
#[derive(Args)]
#[command(next_help_heading = "For --bench registry")]
pub(crate) struct Registry {
    /// How many sessions the registry holds
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(10..))]
    pub(crate) sessions: u64,
    /// How many beats they left together
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    pub(crate) beats: u64,
}

/// What only `processes` looks at.
#[derive(Args)]
#[command(next_help_heading = "For --bench processes")]
pub(crate) struct Processes {
    /// How many processes to start
    #[arg(long = "processes", value_name = "COUNT", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub(crate) count: u64,
}

/// What only `queues` looks at.
#[derive(Args)]
#[command(next_help_heading = "For --bench queues")]
pub(crate) struct Queues {
    /// How many sessions an installation has; may be repeated
    #[arg(long = "sessions-of-queues", value_name = "COUNT", default_values_t = [100, 1_000, 10_000], value_parser = clap::value_parser!(u64).range(20..))]
    pub(crate) installations: Vec<u64>,
}

/// What only `artifacts` looks at.
#[derive(Args)]
#[command(next_help_heading = "For --bench artifacts")]
pub(crate) struct Artifacts {
    /// How many files the home holds
    #[arg(long, value_name = "COUNT", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(2_000..))]
    pub(crate) files: u64,
}

/// What only `daemon` looks at.
#[derive(Args)]
#[command(next_help_heading = "For --bench daemon")]
pub(crate) struct Daemon {
    /// How many sessions are watched, in the map and in the queues
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(20..))]
    pub(crate) watched: u64,
    /// Over how many ticks growth is looked for
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub(crate) ticks: u64,
    /// How many files there are in a home after a tick over which memory is looked at
    #[arg(long, value_name = "COUNT", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(20..))]
    pub(crate) large: u64,
}

/// How large a tree is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Size {
    /// 1,000 files, 200 mappings.
    S,
    /// 20,000 files, 2,000 mappings.
    M,
    /// 200,000 files, 20,000 mappings.
    L,
    /// 1,000,000 files, 100,000 mappings.
    XL,
}

impl Options {
    /// Whether only the answers matter. Without cargo's --bench this is `cargo test --benches`: a debug build, whose times say
    /// nothing.
    pub(crate) fn smoke(&self) -> bool {
        self.smoke || !self.bench
    }

    /// How often each contender runs.
    pub(crate) fn rounds(&self) -> u32 {
        if self.smoke() { 2 } else { self.rounds }
    }
}

//! session-sweep keeps the left-behind state of AI coding CLIs tidy and truthful.
//!
//! One line goes through all of it: facts → policy → plan → apply → report → output. A dry run is a plan that nobody
//! applies.
//!
//! | folder | what it is |
//! |---|---|
//! | `commands` | the command line, one file per command |
//! | `daemon` | what keeps a daemon going: timetable, signals, service manager |
//! | `doctor` | what can be wrong with an installation: a table of checks |
//! | `sweep` | joins what the areas know of a session: evidence, plan, apply, resolve |
//! | `session_map` | a bridge's map: shapes, editing, tombstones; reached through read and update |
//! | `registry` | numbered sessions: registry, heartbeats, which terminal is which session |
//! | `providers` | the CLIs as data: where sessions are, when they were used, what shows that one is live |
//! | `processes` | what sessions leave behind: the process table, who holds a process, the records that hooks keep, ending by pidfd |
//! | `queues` | what an agent host's installation keeps: its queues, containers, and the sessions it goes on with |
//! | `artifacts` | what sessions leave on the disk: kinds as a table, one walk over a home, the archive |
//! | `policy` | pure decisions and their thresholds |
//! | `config` | settings with their origins |
//! | `schedule` | when runs happen and what they came to |
//! | `output` | one view per report, as text and JSON |
//! | `json` | edits of a JSON text that leave every other byte as it is |
//! | `sqlite` | databases of other programs, as a guest |
//! | `filesystem` | locks, snapshots, replacement; the only place that deletes or renames |
//!
//! Left uses right, never back: commands → daemon, doctor → sweep → `session_map`, registry, providers, processes, schedule,
//! queues, artifacts → policy, json, filesystem.
//! Everybody may start `threads`, and ask `interrupt` between two items whether to go on.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests write and remove as they like in their own temporary folder")
)]

mod allocator;
mod artifacts;
mod children;
mod commands;
mod config;
mod context;
mod daemon;
mod doctor;
mod exit;
mod filesystem;
mod interrupt;
mod json;
mod output;
mod policy;
mod processes;
mod programs;
mod providers;
mod queues;
mod registry;
mod schedule;
mod session_map;
mod sqlite;
mod sweep;
mod threads;

pub use exit::ExitStatus;

/// Runs the command line `arguments` (the program's name first).
pub fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> ExitStatus {
    allocator::configure();
    commands::run(arguments)
}

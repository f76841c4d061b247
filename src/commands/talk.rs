//! What goes to stderr: the log, and what ends a run. Where that leads to journald, each line says how much it matters.

use std::io::Write as _;

use clap::ArgMatches;
use env_logger::WriteStyle;
use log::Level;

use super::cli::{Cli, Command, When};
use crate::output::escape::Escaped;
use crate::output::journal::{is_journal, write_line};

/// What to do about a lock that somebody has.
pub(super) const WAIT: &str = "wait with --wait 30s or see what that process does";

/// Whether the command that is to be run has `--wait`.
pub(super) fn can_wait(matches: &ArgMatches) -> bool {
    match matches.subcommand() {
        Some((_, below)) => can_wait(below),
        None => matches.try_contains_id("wait").is_ok(),
    }
}

/// Says what clap has to say: help on stdout, what is wrong with the command line on stderr.
pub(super) fn print(error: &clap::Error) {
    if error.use_stderr() && is_read_by_journal() {
        return write(&error.render().to_string());
    }
    // A closed pipe is the reader's choice.
    let _ = error.print();
}

/// Says what went wrong, and what to do where that is not in it.
pub(super) fn report(error: &anyhow::Error, remedy: Option<&str>) {
    let text = format!("{error:#}");
    let safe: Vec<String> = text.lines().map(|line| Escaped(line).to_string()).collect();
    let remedy = remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
    write(&format!("session-sweep: {}{remedy}", safe.join("\n")));
}

/// Writes an error. Nothing can be done about a stderr that is closed.
fn write(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = if is_read_by_journal() { write_line(&mut out, Level::Error, text) } else { writeln!(out, "{text}") };
}

fn is_read_by_journal() -> bool {
    is_journal(std::env::var_os("JOURNAL_STREAM").as_deref(), std::io::stderr())
}

/// Starts the log, as the command line has it: the configuration may be what is wrong.
pub(super) fn start_logging(cli: &Cli) {
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => log::LevelFilter::Error,
        // Its log is all that a daemon shows.
        (false, 0) if matches!(cli.command, Command::Daemon(_)) => log::LevelFilter::Info,
        (false, 1) if matches!(cli.command, Command::Daemon(_)) => log::LevelFilter::Debug,
        (false, 0 | 1) => log::LevelFilter::Warn,
        (false, _) => log::LevelFilter::Debug,
    };
    let mut logger = env_logger::Builder::new();
    logger.filter_level(level).format_timestamp(None).format_target(false);
    logger.write_style(match cli.color {
        Some(When::Always) => WriteStyle::Always,
        Some(When::Never) => WriteStyle::Never,
        Some(When::Auto) | None => WriteStyle::Auto,
    });
    if let Ok(filter) = std::env::var("SESSION_SWEEP_LOG") {
        logger.parse_filters(&filter);
    }
    if is_read_by_journal() {
        logger.format(|out, record| write_line(out, record.level(), &record.args().to_string()));
    }
    // It would print what is sent, a token included.
    logger.filter_module("ureq", log::LevelFilter::Warn).filter_module("ureq_proto", log::LevelFilter::Warn);
    // A second call in one process (tests) keeps the first logger.
    let _ = logger.try_init();
}

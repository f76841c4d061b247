//! The command line: one file per command, each handing a view to `output` and returning an exit status.

mod areas;
mod artifacts;
mod ask;
mod audit;
mod cli;
mod completions;
mod config;
mod daemon;
mod demo;
mod doctor;
mod doctor_facts;
mod man;
mod map;
mod processes;
mod prune;
mod queues;
mod record;
mod registry;
mod resolve;
mod restore;
mod run_log;
mod status;
mod sweep;
mod sweep_lock;

use std::ffi::OsString;
use std::io::Write as _;

use clap::{CommandFactory as _, FromArgMatches as _};

use crate::config::{Environment, Problems};
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::filesystem::LockError;
use crate::output::journal::{is_journal, write_line};
use crate::processes::records::RecordsError;
use crate::registry::RegistryError;
use crate::session_map::MapError;
use cli::{Cli, Command};

/// Runs the command line `arguments`.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitStatus {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_of_hook = processes::arguments::is_of_hook(&arguments);
    match run_line(arguments) {
        ExitStatus::Usage | ExitStatus::Locked if is_of_hook => ExitStatus::Failed,
        status => status,
    }
}

fn run_line(arguments: Vec<OsString>) -> ExitStatus {
    let cli = match Cli::command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            let status = if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Done };
            // A closed pipe is the reader's choice.
            let _ = error.print();
            return status;
        }
    };
    start_logging(&cli);
    dispatch(cli, Environment::of_process()).unwrap_or_else(|error| report(&error))
}

fn dispatch(cli: Cli, environment: Environment) -> anyhow::Result<ExitStatus> {
    let given = cli.given();
    match cli.command {
        Command::Completions(arguments) => return completions::run(&arguments),
        Command::Man(arguments) => return man::run(&arguments),
        Command::Config(arguments) => return config::run(&arguments, &given, environment),
        Command::Demo => return demo::run(&given),
        Command::Doctor => return doctor::run(&given, environment),
        Command::Status => return status::run(&given, environment),
        Command::Sweep(arguments) => return sweep::run(&given, &environment, &arguments),
        Command::Daemon(_) => return daemon::run(&given, environment),
        Command::Processes(arguments) => return processes::run(&given, environment, &arguments),
        _ => {}
    }
    let context = Context::new(&given, environment)?;
    match cli.command {
        Command::Prune(arguments) => prune::run(&context, &arguments),
        Command::Resolve(arguments) => resolve::run(&context, &arguments),
        Command::Record(arguments) => record::run(&context, &arguments),
        Command::Restore(arguments) => restore::run(&context, &arguments),
        Command::Audit(arguments) => audit::run(&context, &arguments),
        Command::Registry(arguments) => registry::run(&context, &arguments),
        Command::Queues(arguments) => queues::run(&context, &arguments),
        Command::Artifacts(arguments) => artifacts::run(&context, &arguments),
        Command::Completions(_)
        | Command::Man(_)
        | Command::Config(_)
        | Command::Demo
        | Command::Doctor
        | Command::Status
        | Command::Sweep(_)
        | Command::Daemon(_)
        | Command::Processes(_) => Ok(ExitStatus::Done),
    }
}

/// Says on stderr what went wrong.
fn report(error: &anyhow::Error) -> ExitStatus {
    let text = format!("{error:#}");
    let safe: Vec<String> = text.lines().map(|line| crate::output::escape::Escaped(line).to_string()).collect();
    // Nothing can be done about a stderr that is closed.
    let _ = writeln!(std::io::stderr(), "session-sweep: {}", safe.join("\n"));
    status_of(error)
}

/// The status that follows from the kind of error.
fn status_of(error: &anyhow::Error) -> ExitStatus {
    if error.is::<Problems>() || error.is::<UsageError>() {
        ExitStatus::Usage
    } else if matches!(error.downcast_ref(), Some(MapError::Locked(LockError::Held { .. })))
        || matches!(error.downcast_ref(), Some(RegistryError::Locked(LockError::Held { .. })))
        || matches!(error.downcast_ref(), Some(RecordsError::Locked(LockError::Held { .. })))
        || matches!(error.downcast_ref(), Some(LockError::Held { .. }))
    {
        ExitStatus::Locked
    } else {
        ExitStatus::Failed
    }
}

/// With `--quiet` says what could not be looked at: an exit code that says "not all" without saying what would leave a
/// person to guess.
fn tell_when_quiet<'p>(output: crate::output::Output, problems: impl Iterator<Item = &'p String>) {
    if output.quiet && !output.json {
        problems.for_each(|problem| log::error!("{}", crate::output::escape::Escaped(problem)));
    }
}

/// A wrong combination of arguments that clap cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

fn start_logging(cli: &Cli) {
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
    if let Ok(filter) = std::env::var("SESSION_SWEEP_LOG") {
        logger.parse_filters(&filter);
    }
    if is_journal(std::env::var_os("JOURNAL_STREAM").as_deref(), std::io::stderr()) {
        logger.format(|out, record| write_line(out, record.level(), &record.args().to_string()));
    }
    // It would print what is sent, a token included.
    logger.filter_module("ureq", log::LevelFilter::Warn).filter_module("ureq_proto", log::LevelFilter::Warn);
    // A second call in one process (tests) keeps the first logger.
    let _ = logger.try_init();
}

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
mod talk;

use std::ffi::OsString;

use clap::{CommandFactory as _, FromArgMatches as _};

use crate::config::{Environment, Problems};
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::filesystem::LockError;
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
    let line = Cli::command().try_get_matches_from(arguments);
    let line = line.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, talk::can_wait(&matches))));
    let (cli, can_wait) = match line {
        Ok(line) => line,
        Err(error) => {
            let status = if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Done };
            talk::print(&error);
            return status;
        }
    };
    talk::start_logging(&cli);
    dispatch(cli, Environment::of_process()).unwrap_or_else(|error| report(&error, can_wait))
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

/// Says on stderr what went wrong; yields the status that follows.
fn report(error: &anyhow::Error, can_wait: bool) -> ExitStatus {
    let status = status_of(error);
    talk::report(error, (status == ExitStatus::Locked && can_wait).then_some(talk::WAIT));
    status
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

//! `session-sweep sweep`: every area that the configuration enables; what timers and cron run.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::cli::Sweep;
use super::prune::{Task, prune};
use super::run_log::log_run;
use crate::config::{Dirs, Environment, Problems};
use crate::context::{Context, Given, clock};
use crate::exit::ExitStatus;
use crate::output::sweep::SweepView;

pub(super) fn run(given: &Given, environment: &Environment, arguments: &Sweep) -> Result<ExitStatus> {
    match Context::new(given, environment.clone()) {
        Ok(context) => sweep(&context, arguments),
        Err(problems) => Err(refused(problems, arguments, environment)),
    }
}

fn sweep(context: &Context, arguments: &Sweep) -> Result<ExitStatus> {
    let task = Task {
        map: context.map(None),
        dry_run: arguments.dry_run,
        exit_code: arguments.exit_code,
        program: "session-sweep sweep",
    };
    let path = task.map.path().to_string_lossy();
    let begun = Instant::now();
    let result = prune(context, &task, |prune| {
        let view = SweepView { dry_run: task.dry_run, now: context.now, map: &path, prune };
        Ok(context.output.show(&view)?)
    });
    if !task.dry_run {
        log_run(&context.dirs.state, arguments.started_by, context.started, begun.elapsed(), result.as_ref());
    }
    result?.end()
}

/// Writes down that a sweep could not even begin, and hands the reason on.
fn refused(problems: Problems, arguments: &Sweep, environment: &Environment) -> anyhow::Error {
    let dirs = Dirs::find(environment).ok().filter(|_| !arguments.dry_run);
    let error = anyhow::Error::from(problems);
    if let Some(dirs) = dirs {
        log_run(&dirs.state, arguments.started_by, clock(), Duration::ZERO, Err(&error));
    }
    error
}

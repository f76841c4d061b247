//! `session-sweep status`: when it runs, what the last run came to, who holds the lock; read-only.

use std::path::Path;

use anstream::ColorChoice;
use anyhow::Result;

use super::sweep_lock;
use crate::config::{Dirs, Environment, Problems};
use crate::context::{Context, Given, clock};
use crate::exit::ExitStatus;
use crate::filesystem::look_at_lock;
use crate::filesystem::proc::Proc;
use crate::output::Output;
use crate::output::status::{LockView, StatusView};
use crate::schedule::Surroundings;
use crate::schedule::runs::RunLog;

/// Schedules and the run log need no settings: where these are wrong, that is told beside them.
pub(super) fn run(given: &Given, environment: Environment) -> Result<ExitStatus> {
    let dirs = Dirs::find(&environment)?;
    let now = given.at.unwrap_or_else(clock);
    let variable = |name: &str| environment.get(name).map(ToOwned::to_owned);
    let surroundings = Surroundings::of_process(&variable, &dirs.home, now);
    let mut schedules = surroundings.schedules();
    let mut problems = std::mem::take(&mut schedules.not_looked_at);
    let runs = RunLog::below(&dirs.state).runs().unwrap_or_else(|error| {
        problems.push(format!("{error:#}"));
        Vec::new()
    });
    let context = Context::new(given, environment);
    let map = context.as_ref().ok().map(|context| context.map(None));
    let lock = map.as_ref().map(|map| look_at_lock(&map.lock_path(), &Proc::default()));
    problems.extend(lock.as_ref().and_then(|lock| lock.as_ref().err()).map(ToString::to_string));
    let daemon = look_at_lock(&sweep_lock::of_daemon(&dirs.state), &Proc::default());
    problems.extend(daemon.as_ref().err().map(ToString::to_string));
    let wrong = context.as_ref().err().map(Problems::in_two_parts).unwrap_or_default();
    problems.extend(wrong.into_iter().map(|(what, remedy)| format!("{what}; {remedy}")));
    let view = StatusView {
        now,
        user: &surroundings.login,
        schedules: &schedules.found,
        runs: &runs,
        daemon: LockView {
            path: Some(sweep_lock::of_daemon(&dirs.state).to_string_lossy().into_owned()),
            state: daemon.ok(),
        },
        map: map.as_ref().map(|map| map.path().to_string_lossy().into_owned()),
        lock: LockView {
            path: map.as_ref().map(|map| map.lock_path().to_string_lossy().into_owned()),
            state: lock.and_then(Result::ok),
        },
        state: dirs.shorten(&dirs.state),
        config: config_files(&dirs, given.config_file.as_deref()),
        passed_over: &schedules.passed_over,
        problems,
    };
    let color = context.as_ref().map_or(ColorChoice::Auto, |context| context.config.settings.color);
    let output = Output::new(given.json, given.quiet, given.verbose, color);
    output.show(&view)?;
    super::tell_when_quiet(output, view.problems.iter());
    Ok(match (&context, &view.problems[..]) {
        (Err(_), _) => ExitStatus::Usage,
        (Ok(_), []) => ExitStatus::Done,
        (Ok(_), _) => ExitStatus::Partial,
    })
}

/// The configuration files, the one that wins first, each with whether it is there.
fn config_files(dirs: &Dirs, named: Option<&Path>) -> Vec<(String, bool)> {
    let files = dirs.config_files(named);
    files.into_iter().rev().map(|path| (dirs.shorten(path), path.exists())).collect()
}

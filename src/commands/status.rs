//! `session-sweep status`: when it runs, what the last run came to, who holds the lock; read-only.

use anyhow::Result;

use crate::context::Context;
use crate::exit::ExitStatus;
use crate::filesystem::look_at_lock;
use crate::filesystem::proc::Proc;
use crate::output::status::{LockView, StatusView};
use crate::schedule::Surroundings;
use crate::schedule::runs::RunLog;

pub(super) fn run(context: &Context) -> Result<ExitStatus> {
    let variable = |name: &str| context.environment.get(name).map(ToOwned::to_owned);
    let surroundings = Surroundings::of_process(&variable, &context.dirs.home, context.now);
    let mut schedules = surroundings.schedules();
    let mut problems = std::mem::take(&mut schedules.not_looked_at);
    let runs = RunLog::below(&context.dirs.state).runs().unwrap_or_else(|error| {
        problems.push(format!("{error:#}"));
        Vec::new()
    });
    let map = context.map(None);
    let lock = look_at_lock(&map.lock_path(), &Proc::default());
    problems.extend(lock.as_ref().err().map(ToString::to_string));
    let view = StatusView {
        now: context.now,
        user: &surroundings.login,
        schedules: &schedules.found,
        runs: &runs,
        map: map.path().to_string_lossy().into_owned(),
        lock: LockView { path: map.lock_path().to_string_lossy().into_owned(), state: lock.ok() },
        state: context.dirs.shorten(&context.dirs.state),
        config: config_files(context),
        passed_over: &schedules.passed_over,
        problems,
    };
    context.output.show(&view)?;
    super::tell_when_quiet(context.output, view.problems.iter());
    Ok(if view.problems.is_empty() { ExitStatus::Done } else { ExitStatus::Partial })
}

/// The configuration files, the one that wins first, each with whether it is there.
fn config_files(context: &Context) -> Vec<(String, bool)> {
    let files = context.dirs.config_files(context.named_config.as_deref());
    files.into_iter().rev().map(|path| (context.dirs.shorten(path), path.exists())).collect()
}

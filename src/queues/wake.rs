//! The hook that has a session's container started: only its host knows how, or a command of the user's.

use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::children::wait;

/// Runs `command` with the session and its agent group behind its own arguments, in the installation's folder, for `limit`
/// at most. What it prints goes to our stderr: stdout is for our own report.
///
/// # Errors
/// It cannot be started, fails, or takes too long, in words.
pub(crate) fn wake(command: &[String], limit: Duration, root: &Path, session: &str, group: &str) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Err("there is no command".to_owned()) };
    let stderr = std::io::stderr().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(arguments).args([session, group]).current_dir(root).process_group(0);
    let child = command.stdin(Stdio::null()).stdout(stderr).spawn();
    let child = child.map_err(|error| format!("{program} cannot be started: {error}"))?;
    match wait(child, limit) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(format!("{program} ended with {status}")),
        Ok(None) => Err(format!("{program} was ended: it took longer than {limit:?} (queues.wake.limit)")),
        Err(error) => Err(format!("{program}: {error:#}")),
    }
}

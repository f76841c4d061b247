//! The command that is run after a prune, for bridges that read their map again when they are told to.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// How long a command that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// Runs `command` in a shell with `report` on its stdin, for `limit` at most. What it prints goes to our stderr: stdout
/// is for our own report.
///
/// # Errors
/// It cannot be started, fails, or takes too long; then it is ended, with all that it started in its group.
pub(crate) fn run(command: &str, report: &[u8], limit: Duration) -> Result<()> {
    let child = Command::new("sh")
        .args(["-c", command])
        .stdin(in_memory(report).context("the report cannot be handed over")?)
        .stdout(std::io::stderr().as_fd().try_clone_to_owned()?)
        .process_group(0)
        .spawn()
        .with_context(|| format!("`{command}` cannot be started"))?;
    match wait(child, limit)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("`{command}` ended with {status}"),
        None => bail!("`{command}` was ended: it took longer than {limit:?} (map.post_prune_limit)"),
    }
}

/// The bytes as a file without a name: however little of it the command reads, nobody waits.
fn in_memory(bytes: &[u8]) -> std::io::Result<Stdio> {
    let mut file = File::from(memfd_create("report", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

/// Waits for the child's end; nothing where it had to be ended, with its group.
fn wait(mut child: Child, limit: Duration) -> Result<Option<ExitStatus>> {
    // Not reaped before the end, so until then the number is this child's, and its group's.
    let pid = Pid::from_child(&child);
    let in_time = ended_within(pid, limit);
    if matches!(in_time, Ok(true)) {
        return Ok(Some(child.wait()?));
    }
    // Any of them may have ended by itself a moment ago.
    let _ = kill_process_group(pid, Signal::TERM);
    let _ = ended_within(pid, GRACE);
    let _ = kill_process_group(pid, Signal::KILL);
    child.wait()?;
    in_time.map(|_| None)
}

/// Whether the process ends within `limit`.
fn ended_within(pid: Pid, limit: Duration) -> Result<bool> {
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&Timespec::try_from(left)?)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

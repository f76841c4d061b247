//! Commands of the user's own that are run with a time limit: what takes too long is ended, with all that it started in its
//! group.

use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// How long a command that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// Waits for the end of a child that leads a group of its own; nothing where it took longer than `limit` and was ended.
pub(crate) fn wait(mut child: Child, limit: Duration) -> Result<Option<ExitStatus>> {
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

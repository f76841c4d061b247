//! Ending processes: opened by pidfd, verified on that handle, signalled through it, and watched until they are gone.
//!
//! A number alone ends nobody: between a look at /proc and a signal it may have become another process's. A pidfd stays
//! the process that it was opened for.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::filesystem::proc::Proc;

/// How long a process gets to be gone after SIGKILL: it may be waiting for a disk.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// How long a process that has given up its program already gets to be gone by itself.
const ENDING: Duration = Duration::from_secs(1);

/// A process as it was when it was decided about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) pid: u32,
    /// When it started, in clock ticks after boot.
    pub(crate) start_ticks: u64,
    /// The user that it is of, really and in effect.
    pub(crate) user: u32,
    /// The file that it runs.
    pub(crate) executable: PathBuf,
    /// Its control groups, as `/proc/<pid>/cgroup` lists them.
    pub(crate) groups: String,
}

/// What became of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It ended by SIGTERM.
    Terminated,
    /// It took SIGKILL.
    Killed,
    /// It had ended before a signal was sent.
    Before,
    /// It was left alone, for this reason.
    Refused(String),
    /// It was sent signals and still runs.
    Survived(String),
}

/// Whether this kernel opens processes as pidfds (Linux 5.3).
pub(crate) fn has_pidfds() -> bool {
    !matches!(pidfd_open(rustix::process::getpid(), PidfdFlags::empty()), Err(Errno::NOSYS))
}

/// A process that is held by its pidfd.
struct Held<'t> {
    target: &'t Target,
    fd: OwnedFd,
}

/// Ends a tree of processes, the first one first: SIGTERM to all, `grace` for them to end, SIGKILL to those that have not.
/// Nothing is sent to anybody unless every one of them is who it was.
pub(crate) fn end_tree(proc: &Proc, targets: &[Target], grace: Duration) -> Vec<End> {
    let mut ends = vec![End::Before; targets.len()];
    let mut held = Vec::new();
    for (place, target) in targets.iter().enumerate() {
        match Held::open(proc, target) {
            Ok(Some(process)) => held.push((place, process)),
            Ok(None) => {}
            Err(why) => {
                for (place, end) in ends.iter_mut().enumerate() {
                    *end = End::Refused(if targets[place] == *target {
                        why.clone()
                    } else {
                        format!("process {} of the same tree was left alone: {why}", target.pid)
                    });
                }
                return ends;
            }
        }
    }
    let mut is_first = true;
    for (place, process) in &held {
        ends[*place] = match process.signal(Signal::TERM) {
            Ok(()) => End::Terminated,
            // It ended because what it had started did.
            Err(End::Before) if !is_first => End::Terminated,
            Err(error) => error,
        };
        is_first = false;
    }
    held.retain(|(place, _)| ends[*place] == End::Terminated);
    wait_for(&mut held, grace);
    for (place, process) in &held {
        ends[*place] = match process.verify(proc) {
            Ok(true) => match process.signal(Signal::KILL) {
                Ok(()) => End::Killed,
                Err(error) => error,
            },
            Ok(false) => End::Terminated,
            Err(why) => End::Survived(format!("it did not end by SIGTERM, and was not sent SIGKILL: {why}")),
        };
    }
    held.retain(|(place, _)| ends[*place] == End::Killed);
    wait_for(&mut held, AFTER_KILL);
    for (place, _) in &held {
        ends[*place] = End::Survived(format!("it still runs {} s after SIGKILL", AFTER_KILL.as_secs()));
    }
    ends
}

impl<'t> Held<'t> {
    /// Opens a process and makes sure that it is the one that was decided about; nothing when that has ended.
    fn open(proc: &Proc, target: &'t Target) -> Result<Option<Self>, String> {
        let pid = i32::try_from(target.pid).ok().and_then(Pid::from_raw).filter(|pid| !pid.is_init());
        let Some(pid) = pid else { return Err(format!("{} is no process that may be ended", target.pid)) };
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(Errno::SRCH) => return Ok(None),
            Err(Errno::NOSYS) => {
                return Err(
                    "this kernel has no pidfds (Linux 5.3 has), and without them a process that ended could be \
                            taken for another one; nothing was sent"
                        .to_owned(),
                );
            }
            Err(error) => return Err(format!("it could not be opened as a pidfd: {error}")),
        };
        let held = Self { target, fd };
        Ok(held.verify(proc)?.then_some(held))
    }

    /// Whether the process still runs; an error where it is not who it was.
    fn verify(&self, proc: &Proc) -> Result<bool, String> {
        let looked = self.look(proc);
        // A process that ends gives up its program, then its control group, and only then has it ended.
        let is_ending = looked.is_err() && matches!(proc.executable(self.target.pid), Ok(None));
        // Whatever was read was another process's if this one has ended.
        if wait(&self.fd, if is_ending { ENDING } else { Duration::ZERO }) {
            return Ok(false);
        }
        looked
    }

    fn look(&self, proc: &Proc) -> Result<bool, String> {
        let Target { pid, start_ticks, user, executable, groups } = self.target;
        let unreadable = |error: io::Error| format!("it could not be looked at again: {error}");
        // The number that was opened is one of /proc, wherever else was looked.
        for proc in [proc, &Proc::default()] {
            match proc.start_ticks(*pid).map_err(unreadable)? {
                Some(start) if start == *start_ticks => {}
                Some(_) => return Err(format!("the number {pid} is another process's by now")),
                None => return Ok(false),
            }
        }
        if !proc.users(*pid).map_err(unreadable)?.is_some_and(|users| users.are(*user)) {
            return Err("it changed its user meanwhile".to_owned());
        }
        if proc.executable(*pid).map_err(unreadable)?.as_ref() != Some(executable) {
            return Err("it runs another program by now".to_owned());
        }
        if proc.control_groups(*pid).map_err(unreadable)?.as_ref() != Some(groups) {
            return Err("it was moved to another control group meanwhile".to_owned());
        }
        Ok(true)
    }

    fn signal(&self, signal: Signal) -> Result<(), End> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) => Ok(()),
            Err(Errno::SRCH) => Err(End::Before),
            Err(error) => Err(End::Refused(format!("the signal could not be sent: {error}"))),
        }
    }
}

/// Waits until all have ended, at most for `patience`; those that have not stay in the list.
fn wait_for(held: &mut Vec<(usize, Held<'_>)>, patience: Duration) {
    let deadline = Instant::now() + patience;
    held.retain(|(_, process)| !wait(&process.fd, deadline.saturating_duration_since(Instant::now())));
}

/// Whether a process ends within `patience`.
fn wait(process: &OwnedFd, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&timeout)) {
            Ok(ended) => return ended > 0,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
#[path = "terminate_tests.rs"]
mod tests;

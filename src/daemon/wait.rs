//! Waits without a tick of its own: until an instant, a signal, or the next sign of life.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::signals::Signals;

/// A timer by the clock that goes on while the machine sleeps.
#[derive(Debug)]
pub(crate) struct Waiter {
    timer: OwnedFd,
}

impl Waiter {
    pub(crate) fn new() -> Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK);
        Ok(Self { timer: timer.context("cannot make a timer")? })
    }

    /// Waits until the instant `next`, a signal, or for `longest`, whatever comes first; `None` sets no such end.
    pub(crate) fn wait(&self, next: Option<Duration>, longest: Option<Duration>, signals: &Signals) -> Result<()> {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        // An instant of zero would switch the timer off.
        let it_value = next.map_or(never, |next| timespec(next.max(Duration::from_nanos(1))));
        let set = Itimerspec { it_interval: never, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &set).context("cannot set the timer")?;
        let mut ends = [&self.timer.as_fd(), &signals.as_fd()].map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN));
        match poll(&mut ends, longest.map(timespec).as_ref()) {
            // A signal that interrupts has left its byte by now.
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait"),
        }
        signals.drain();
        Ok(())
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(time.subsec_nanos()) }
}

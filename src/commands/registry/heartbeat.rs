//! `session-sweep registry heartbeat`: a sign of life, once or again and again.

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::anchor;
use super::arguments::Heartbeat;
use crate::commands::UsageError;
use crate::context::{Context, clock};
use crate::exit::ExitStatus;
use crate::filesystem::proc::{Proc, Process};
use crate::output::escape::Escaped;
use crate::output::registry::SessionView;
use crate::policy::session_number::SessionNumber;
use crate::registry::changes::NewBeat;
use crate::registry::claim::Claims;
use crate::registry::roster::{Roster, Session};
use crate::registry::terminal::Anchor;
use crate::registry::{Registry, RegistryError};

pub(super) fn run(context: &Context, arguments: &Heartbeat) -> Result<ExitStatus> {
    let pulse = Pulse { context, arguments, registry: context.registry(), anchor: anchor(context) };
    let Some(every) = arguments.every else {
        context.output.show(&pulse.beat(context.now)?.0)?;
        return Ok(ExitStatus::Done);
    };
    if context.now != context.started {
        return Err(UsageError("--every beats as time goes by, so --at cannot say when".to_owned()).into());
    }
    // A service's session is whatever its number says.
    let timeout = context.config.settings.registry.timeout.duration();
    if timeout.is_some_and(|timeout| every >= timeout) {
        log::warn!("registry.timeout is not longer than --every: clean-ups will take the session for ended in between");
    }
    let life = Life::of(pulse.anchor.process.filter(|_| arguments.number.is_none()))?;
    let (first, registration) = pulse.beat(context.now)?;
    context.output.show(&first)?;
    pulse.go_on(every, &life, first.number, &registration)
}

/// A session's id and when it was registered.
type Registration = (Option<String>, Option<String>);

/// What beats.
struct Pulse<'p> {
    context: &'p Context,
    arguments: &'p Heartbeat,
    registry: Registry,
    anchor: Anchor,
}

impl Pulse<'_> {
    /// One heartbeat, and for which registration of the number.
    fn beat(&self, now: DateTime<Utc>) -> Result<(SessionView, Registration), RegistryError> {
        let held = self.registry.lock(self.context.registry_lock("session-sweep registry heartbeat"))?;
        // A service's number is given: whose terminal this is does not matter.
        let claims = match self.arguments.number {
            Some(_) => None,
            None => Some(super::claims(self.context, &self.registry, &self.anchor)?),
        };
        let mut number = None;
        let changed = held.update(|roster| {
            let own = self.number_in(roster, claims.as_ref())?;
            self.registry.prepare()?;
            number = Some(own);
            Ok(roster.find(own).and_then(|session| roster.revived(session, None)))
        })?;
        let beat = |roster: &Roster<'_>| {
            let session = number.and_then(|number| roster.find(number));
            let session = session
                .ok_or_else(|| RegistryError::Refused("the session was taken out of the registry meanwhile".into()))?;
            let text = |field| session.text(field).unwrap_or_default();
            let (id, role, entered) = (session.id(), text("role"), text("status"));
            let status = self.arguments.status.as_deref().unwrap_or(&entered);
            let mut beat = NewBeat::new(session.number, &id, status, &role, &self.anchor, now);
            beat.working_on = self.arguments.working_on.as_deref();
            let name = held.beat(&beat)?;
            held.note_alive(session.number)?;
            held.follow(&self.anchor)?;
            let view = SessionView {
                command: "registry heartbeat",
                number: session.number,
                session_id: id.clone().into_owned(),
                role: role.clone().into_owned(),
                goal: text("goal").into_owned(),
                status: status.to_owned(),
                terminal: session.text("terminal").map(std::borrow::Cow::into_owned),
                beat: Some(name),
                changed,
                said: format!("session {} is alive", session.number),
            };
            Ok((view, registration_of(session)))
        };
        self.registry.read(beat)?
    }

    /// The session that this is: the number that was given, else what the claims say.
    fn number_in(&self, roster: &Roster<'_>, claims: Option<&Claims<'_>>) -> Result<SessionNumber, RegistryError> {
        let own = match (self.arguments.number, claims) {
            (Some(number), _) if roster.find(number).is_some() => return Ok(number),
            (Some(number), _) => return Err(self.unknown(number)),
            (None, claims) => {
                claims.map_or(Err("this terminal has no number yet".to_owned()), |claims| claims.own(roster))
            }
        };
        own.map_err(|why| {
            RegistryError::Refused(format!(
                "{why}; say which one it is from now on: `session-sweep registry identify`, or beat for one with --number"
            ))
        })
    }

    fn unknown(&self, number: SessionNumber) -> RegistryError {
        RegistryError::Refused(format!("there is no session {number} in {}", self.registry.path().display()))
    }

    /// What tells this registration of a number from another one.
    fn registration(&self, number: SessionNumber) -> Option<Registration> {
        self.registry.read(|roster| roster.find(number).map(registration_of)).ok()?
    }

    /// Beats until somebody ends it, the session included.
    fn go_on(
        &self,
        every: Duration,
        life: &Life,
        mut number: SessionNumber,
        registration: &Registration,
    ) -> Result<ExitStatus> {
        loop {
            if life.ends_within(every)? {
                return Ok(ExitStatus::Done);
            }
            if self.registry.is_released(number) {
                log::warn!("session {number} was released; nothing beats for it any more");
                return Ok(ExitStatus::Done);
            }
            // A terminal's identity tells that itself. Where the registry cannot be read, the beat says so.
            let is_service = self.arguments.number.is_some();
            if is_service && self.registration(number).is_some_and(|present| present != *registration) {
                log::warn!("session {number} was registered anew, so it is somebody else's; nothing beats for it here");
                return Ok(ExitStatus::Done);
            }
            match self.beat(clock()) {
                // This terminal may have been identified anew.
                Ok((view, _)) => number = view.number,
                Err(error @ RegistryError::Refused(_)) => return Err(error.into()),
                // The next one may succeed, and until then there is time.
                Err(error) => log::warn!("{}", Escaped(&error.to_string())),
            }
        }
    }
}

fn registration_of(session: &Session<'_>) -> Registration {
    let text = |field| session.text(field).map(std::borrow::Cow::into_owned);
    (text("session_id"), text("registered_at"))
}

/// What the loop lives by: the process that started it, the one that stands for its session, and nobody asking it to end.
struct Life {
    /// They have not ended yet.
    processes: Vec<OwnedFd>,
    /// One of them had ended before it could be watched.
    is_over: bool,
    asked: UnixStream,
}

impl Life {
    fn of(session: Option<Process>) -> Result<Self> {
        let (asked, sender) = UnixStream::pair()?;
        asked.set_nonblocking(true)?;
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            signal_hook::low_level::pipe::register(signal, sender.try_clone()?)
                .with_context(|| format!("cannot wait for signal {signal}"))?;
        }
        let mut life = Self { processes: Vec::new(), is_over: false, asked };
        // A parent that lies outside of this container has no number here.
        let parent = getppid();
        if let Some(parent) = parent {
            life.watch(parent, start(parent))?;
            // It may have ended before it was opened, and its number be another process's.
            life.is_over |= getppid() != Some(parent);
        }
        if let Some(session) = session {
            let pid = i32::try_from(session.pid).ok().and_then(Pid::from_raw);
            pid.map_or(Ok(()), |pid| life.watch(pid, Some(session.start_ticks)))?;
        }
        Ok(life)
    }

    /// Opens a process that started at `started`: a later one with its number is another one.
    fn watch(&mut self, pid: Pid, started: Option<u64>) -> Result<()> {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) if started.is_some() && start(pid) == started => self.processes.push(process),
            Ok(_) | Err(Errno::SRCH) => self.is_over = true,
            Err(error) => return Err(error).context("cannot watch the process that started this"),
        }
        Ok(())
    }

    /// Waits for `time`, in which a machine's sleep counts; true when a process has ended or somebody asked to end before.
    fn ends_within(&self, time: Duration) -> Result<bool> {
        if self.is_over {
            return Ok(true);
        }
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC).context("cannot wait")?;
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        let once = Itimerspec { it_interval: never, it_value: once };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once).context("cannot wait")?;
        let ends = self.processes.iter().map(OwnedFd::as_fd).chain([self.asked.as_fd(), timer.as_fd()]);
        let mut ends: Vec<PollFd<'_>> = ends.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        while let Err(error) = poll(&mut ends, None) {
            if error != Errno::INTR {
                return Err(error).context("cannot wait");
            }
        }
        let (_timer, others) = ends.split_last().context("cannot wait")?;
        Ok(others.iter().any(|fd| !fd.revents().is_empty()))
    }
}

fn start(pid: Pid) -> Option<u64> {
    Proc::default().start_ticks(pid.as_raw_nonzero().get().unsigned_abs()).ok()?
}

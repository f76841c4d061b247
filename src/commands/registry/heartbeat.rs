//! `session-sweep registry heartbeat`: a sign of life, once or again and again.

use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};
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
use crate::registry::claim::{Standing, objection, standing};
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
    let life = Life::of(pulse.anchor.process.filter(|_| arguments.number.is_none()))?;
    let (first, registration) = pulse.beat(context.now)?;
    context.output.show(&first)?;
    pulse.go_on(every, &life, first.number, registration)
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
        let mut number = None;
        let changed = held.update(|roster| {
            let own = self.number_in(roster)?;
            number = Some(own);
            Ok(roster.find(own).and_then(|session| roster.revived(session, None)))
        })?;
        let beat = |roster: &Roster<'_>| {
            let session = number.and_then(|number| roster.find(number));
            let session = session.ok_or_else(|| RegistryError::Missing(self.registry.path()))?;
            let text = |field| session.text(field).unwrap_or_default();
            let (id, role, entered) = (session.id(), text("role"), text("status"));
            let status = self.arguments.status.as_deref().unwrap_or(&entered);
            let mut beat = NewBeat::new(session.number, &id, status, &role, &self.anchor, now);
            beat.working_on = self.arguments.working_on.as_deref();
            let name = held.beat(&beat)?;
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

    /// The session that this is.
    fn number_in(&self, roster: &Roster<'_>) -> Result<SessionNumber, RegistryError> {
        let identities = self.registry.identities();
        let known = |number: SessionNumber| match roster.find(number) {
            Some(_) => Ok(number),
            None => Err(RegistryError::Refused(format!(
                "there is no session {number} in {}",
                self.registry.path().display()
            ))),
        };
        if let Some(number) = self.arguments.number {
            return known(number);
        }
        let original = self.registry.original_identity(&self.anchor);
        let remedy = "say which one it is from now on: `session-sweep registry identify`";
        match standing(roster, &identities, &self.anchor) {
            Standing::Ours(number) => Ok(number),
            Standing::Unknown => {
                let usable = |number: &SessionNumber| {
                    roster.find(*number).is_some()
                        && objection(roster, &identities, &self.anchor, original, *number).is_none()
                };
                let unknown = || RegistryError::Refused(format!("this terminal has no number; {remedy}"));
                original.filter(usable).ok_or_else(unknown)
            }
            Standing::TakenOver { number, by } => {
                Err(RegistryError::Refused(format!("this terminal was session {number}, and {by}; {remedy}")))
            }
            Standing::Gone(number) => Err(RegistryError::Refused(format!(
                "this terminal was session {number}, which is not in the registry any more; {remedy}"
            ))),
        }
    }

    /// What tells this registration of a number from another one.
    fn registration(&self, number: SessionNumber) -> Result<Registration, RegistryError> {
        self.registry.read(|roster| roster.find(number).map(registration_of).unwrap_or_default())
    }

    /// Beats until somebody ends it, the session included.
    fn go_on(
        &self,
        every: Duration,
        life: &Life,
        mut number: SessionNumber,
        mut registration: Registration,
    ) -> Result<ExitStatus> {
        let mut last = self.context.now;
        loop {
            if life.ends_within(every)? {
                return Ok(ExitStatus::Done);
            }
            let now = clock();
            if self.was_released(number, last, now) {
                log::info!("session {number} has ended");
                return Ok(ExitStatus::Done);
            }
            // Where it cannot be read, the beat tells.
            if self.registration(number).is_ok_and(|present| present != registration) {
                anyhow::bail!(
                    "session {number} was registered anew, so it is somebody else's; nothing beats for it here"
                );
            }
            match self.beat(now) {
                Ok((view, present)) => {
                    last = now;
                    if view.number != number {
                        // This terminal was identified anew.
                        (number, registration) = (view.number, present);
                    }
                }
                Err(error @ RegistryError::Refused(_)) => return Err(error.into()),
                // The next one may succeed, and until then there is time.
                Err(error) => log::warn!("{}", Escaped(&error.to_string())),
            }
        }
    }

    /// Whether somebody ended the session on purpose: no clean-up would have, so soon after the last beat.
    fn was_released(&self, number: SessionNumber, last: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let timeout = self.context.config.settings.registry.timeout.duration();
        let is_late = crate::policy::heartbeat::is_older(last, timeout, now);
        !is_late && self.registry.read(|roster| roster.find(number).is_some_and(Session::is_inactive)).unwrap_or(false)
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

    /// Waits for `time`; true when a process has ended or somebody asked to end before.
    fn ends_within(&self, time: Duration) -> Result<bool> {
        if self.is_over {
            return Ok(true);
        }
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            let ends = self.processes.iter().map(OwnedFd::as_fd).chain([self.asked.as_fd()]);
            let mut ends: Vec<PollFd<'_>> = ends.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
            match poll(&mut ends, Some(&wait)) {
                Ok(0) => return Ok(false),
                Ok(_) => {
                    let _ = (&self.asked).read(&mut [0; 16]);
                    return Ok(true);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait"),
            }
        }
    }
}

fn start(pid: Pid) -> Option<u64> {
    Proc::default().start_ticks(pid.as_raw_nonzero().get().unsigned_abs()).ok()?
}

//! What people and service managers ask of the daemon: SIGTERM and SIGINT to end, SIGHUP to read its configuration again,
//! SIGUSR1 to run every area now.

use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::{flag, low_level::pipe};

use crate::interrupt;

/// The signals that came, and something to wait for the next one with.
#[derive(Debug)]
pub(crate) struct Signals {
    came: UnixStream,
    end: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    now: Arc<AtomicBool>,
}

impl Signals {
    /// Listens from here on. A second signal to end does so at once, in the middle of an item: whoever sends two means it,
    /// and whatever is being written is the old or the new one.
    pub(crate) fn listen() -> Result<Self> {
        let (came, sender) = UnixStream::pair()?;
        came.set_nonblocking(true)?;
        let signals = Self { came, end: interrupt::flag(), reload: Arc::default(), now: Arc::default() };
        for (signal, asked) in
            [(SIGTERM, &signals.end), (SIGINT, &signals.end), (SIGHUP, &signals.reload), (SIGUSR1, &signals.now)]
        {
            // In this order: the first one only sets the flag, which the second one finds set.
            let ends = Arc::ptr_eq(asked, &signals.end);
            let second =
                if ends { flag::register_conditional_default(signal, Arc::clone(asked)).map(drop) } else { Ok(()) };
            second
                .and_then(|()| flag::register(signal, Arc::clone(asked)))
                .and_then(|_| pipe::register(signal, sender.try_clone()?))
                .with_context(|| format!("cannot wait for signal {signal}"))?;
        }
        Ok(signals)
    }

    /// Whether the daemon is to end.
    pub(crate) fn is_to_end(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }

    /// Whether the configuration is to be read again; asked once for each time it was.
    pub(crate) fn is_to_reload(&self) -> bool {
        self.reload.swap(false, Ordering::Relaxed)
    }

    /// Whether every area is to run now; asked once for each time it was.
    pub(crate) fn is_to_run_all(&self) -> bool {
        self.now.swap(false, Ordering::Relaxed)
    }

    /// Forgets that signals came: what they ask is in the flags.
    pub(super) fn drain(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.came).read(&mut bytes), Ok(1..)) {}
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.came.as_fd()
    }
}

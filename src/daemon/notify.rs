//! What the service manager is told: one datagram to the socket that it names in `NOTIFY_SOCKET`.
//!
//! That socket may be a path or an abstract name, which begins with `@`. Where there is none, nobody is told; a socket that
//! does not answer stops nobody, since the manager finds out by itself.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// How long a manager may take that has more messages than it can hold.
const PATIENCE: Duration = Duration::from_secs(1);

/// systemd drops a message of more than 4,096 bytes, and nobody reads a line of that length.
const LONGEST_STATUS: usize = 1_000;

/// So many bytes of a text at most, and one more character where that is not all.
pub(crate) fn cut(text: &str, longest: usize) -> Cow<'_, str> {
    if text.len() <= longest {
        text.into()
    } else {
        let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        format!("{}…", &text[..end]).into()
    }
}

/// Tells the service manager how it goes.
#[derive(Debug)]
pub(crate) struct Notifier(Option<UnixDatagram>);

impl Notifier {
    /// The manager whose socket is named so, if one is.
    pub(crate) fn to(name: Option<&OsStr>) -> Self {
        let name = name.filter(|name| !name.is_empty());
        Self(name.and_then(|name| connect(name).inspect_err(unheard).ok()))
    }

    /// Tells people, in a message of its own: what is too long, or no text, is dropped as a whole, and a state with it.
    pub(crate) fn status(&self, text: &str) {
        self.tell(&format!("STATUS={}", cut(text, LONGEST_STATUS)));
    }

    /// Sends one or several `NAME=value` lines, none of them with words of others.
    pub(crate) fn tell(&self, lines: &str) {
        if let Some(socket) = &self.0
            && let Err(error) = socket.send(lines.as_bytes())
        {
            unheard(&error);
        }
    }
}

fn unheard(error: &std::io::Error) {
    log::warn!("the service manager cannot be told by NOTIFY_SOCKET: {error}");
}

fn connect(name: &OsStr) -> std::io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that reads nothing any more must not keep the work from going on.
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// How often the manager wants to hear from this process, by the values of `WATCHDOG_USEC` and `WATCHDOG_PID`; nothing where
/// it does not, or means another process.
pub(crate) fn watchdog(period: Option<&OsStr>, pid: Option<&OsStr>) -> Option<Duration> {
    let number = |text: &OsStr| text.to_str()?.parse::<u64>().ok();
    let is_ours = pid.is_none_or(|pid| number(pid) == Some(std::process::id().into()));
    period.and_then(number).filter(|period| is_ours && *period > 0).map(Duration::from_micros)
}

/// The line that says when a reload began, by the clock that the manager compares.
pub(crate) fn reloading() -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reaches_a_path_and_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("session-sweep-test-{}", std::process::id());
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (socket, address) in [(by_path, path.into_os_string()), (by_name, format!("@{name}").into())] {
            Notifier::to(Some(&address)).tell("READY=1\nSTATUS=it goes");
            let mut heard = [0; 64];
            let count = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..count], b"READY=1\nSTATUS=it goes");
        }
    }

    #[test]
    fn a_status_is_short_enough_for_every_manager() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut heard = [0; 8_192];
        for text in ["x".repeat(5_000), "ä€".repeat(2_000)] {
            Notifier::to(Some(path.as_os_str())).status(&text);
            let count = socket.recv(&mut heard).unwrap();
            let status = str::from_utf8(&heard[..count]).unwrap();
            assert!((900..1_100).contains(&count) && status.ends_with('…'), "{count}");
        }
        assert_eq!((cut("äöü", 6), cut("äöü", 5)), ("äöü".into(), "äö…".into()));
    }

    #[test]
    fn no_manager_and_one_that_is_gone_stop_nobody() {
        Notifier::to(None).tell("READY=1");
        Notifier::to(Some(OsStr::new(""))).tell("READY=1");
        Notifier::to(Some(OsStr::new("/nonexistent/notify"))).tell("READY=1");
    }

    #[test]
    fn a_manager_that_reads_nothing_is_not_waited_for_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _socket = UnixDatagram::bind(&path).unwrap();
        let socket = connect(path.as_os_str()).unwrap();
        // How many it can hold is the machine's to say.
        let refused = (0..100_000).find_map(|_| socket.send(b"STATUS=it goes").err());
        assert_eq!(refused.unwrap().kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn the_watchdog_is_for_the_process_that_is_named() {
        let text = |text: &'static str| Some(OsStr::new(text));
        let (own, other) = (std::process::id().to_string(), (std::process::id() + 1).to_string());
        let three = Some(Duration::from_secs(3));
        assert_eq!(watchdog(text("3000000"), None), three);
        assert_eq!(watchdog(text("3000000"), Some(OsStr::new(&own))), three);
        assert_eq!(watchdog(text("3000000"), Some(OsStr::new(&other))), None);
        assert_eq!(watchdog(text("3000000"), text("many")), None);
        for period in ["0", "", "-1", "3s"] {
            assert_eq!(watchdog(text(period), None), None, "{period}");
        }
        assert_eq!(watchdog(None, None), None);
    }
}

//! A daemon that a test started: what it tells the service manager, its log, its metrics, and signals to it.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

use crate::world::World;

/// A daemon with a socket in the place of systemd's. It ends with the test.
pub(crate) struct Daemon {
    child: Child,
    manager: UnixDatagram,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command` with a watchdog of so many milliseconds and waits until it says that it is ready.
    pub(crate) fn start(world: &World, command: &mut Command, watchdog: Option<u64>) -> Self {
        let (socket, log) = (world.root().join("notify"), world.root().join("daemon.log"));
        let _ = fs_err::remove_file(&socket);
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        command.env("NOTIFY_SOCKET", &socket).stdin(Stdio::null()).stdout(Stdio::null());
        command.envs(watchdog.map(|period| ("WATCHDOG_USEC", (period * 1_000).to_string())));
        // Kept where there is one: a test may have told its number.
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let child = command.stderr(file).spawn().unwrap();
        let daemon = Self { child, manager, log };
        assert_eq!(daemon.hear("READY=1"), "READY=1", "nothing that could be too long goes with it");
        daemon
    }

    /// The daemon of a world, as it is.
    pub(crate) fn of(world: &World) -> Self {
        Self::start(world, &mut world.command_at_present(&["daemon"]), None)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a message that holds `text`, and passes over the others.
    #[track_caller]
    pub(crate) fn hear(&self, text: &str) -> String {
        loop {
            let Some(message) = self.next() else { panic!("no {text:?} within ten seconds; its log:\n{}", self.log()) };
            if message.contains(text) {
                return message;
            }
        }
    }

    /// The next message, or nothing within the time limit.
    pub(crate) fn next(&self) -> Option<String> {
        let mut bytes = [0; 4_096];
        match self.manager.recv(&mut bytes) {
            Ok(count) => Some(String::from_utf8(bytes[..count].to_vec()).unwrap()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == ErrorKind::Interrupted => self.next(),
            Err(error) => panic!("{error}"),
        }
    }

    /// How long to wait for a message from here on.
    pub(crate) fn patience(&self, time: Duration) {
        self.manager.set_read_timeout(Some(time)).unwrap();
    }

    /// Forgets what was said so far.
    pub(crate) fn skip(&self) {
        self.manager.set_nonblocking(true).unwrap();
        while self.next().is_some() {}
        self.manager.set_nonblocking(false).unwrap();
    }

    pub(crate) fn send(&self, signal: Signal) {
        // It is this test's child and nobody has waited for it: the number is still its own.
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Has every area run now, and waits until `area` has.
    #[track_caller]
    pub(crate) fn run_all(&self, area: &str) -> String {
        self.skip();
        self.send(Signal::USR1);
        self.hear(&format!("last: {area}:"))
    }

    /// Ends it as a service manager does, and waits for that.
    pub(crate) fn end(self) -> (ExitStatus, String) {
        self.send(Signal::TERM);
        self.end_of()
    }

    /// Waits for its end.
    pub(crate) fn end_of(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        (status, self.log())
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs_err::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl World {
    /// A Claude transcript that was used last so many hours before the present.
    pub(crate) fn claude_hours_ago(&self, id: &str, hours: u64) -> PathBuf {
        let path = self.claude(id, 0);
        let time = SystemTime::now() - Duration::from_secs(hours * 3_600);
        filetime::set_file_mtime(&path, filetime::FileTime::from_system_time(time)).unwrap();
        path
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.home().join(".local/state/session-sweep")
    }
}

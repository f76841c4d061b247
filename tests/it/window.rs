//! Windows of a terminal: a pseudo-terminal with a shell that leads its session, in which one command after another runs.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use tempfile::TempDir;

use crate::machine::cannot_run;
use crate::world::wait_until;

/// What a window's shell does: it runs line after line and tells how each ended.
const LOOP: &str = r#"exec 3<"$0/control" 4>"$0/reply"; echo "$$" >&4
while read -r line <&3; do eval "$line"; echo "$?" >&4; done"#;

const PATIENCE: Duration = Duration::from_secs(30);

/// A shell that runs what it is told; alone in its session, with or without a terminal. It ends when this is dropped.
pub(crate) struct Window {
    folder: TempDir,
    control: File,
    replies: Receiver<String>,
    leader: u32,
    /// Where it has a terminal.
    terminal: Option<(Child, Arc<Terminal>)>,
}

/// A pseudo-terminal and what was shown at it.
struct Terminal {
    master: File,
    name: PathBuf,
    shown: Mutex<String>,
}

/// What a command printed in a window, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    line: String,
}

impl Window {
    /// A new terminal.
    pub(crate) fn open() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        let master = File::from(master);
        let mut reader = master.try_clone().unwrap();
        let terminal = Arc::new(Terminal { master, name, shown: Mutex::default() });
        let shown = Arc::clone(&terminal);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An error means that nobody has it open at the moment, or that it is gone.
            while let Ok(count) = reader.read(&mut buffer) {
                shown.shown.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Self::at(&terminal)
    }

    fn at(terminal: &Arc<Terminal>) -> Self {
        Self::start(|folder| {
            // The shell's alone: a terminal hangs up when the last one who has it open is gone.
            let open = || rustix::fs::open(&terminal.name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
            let mut shell = Command::new("setsid");
            shell.args(["--ctty", "sh", "-c", LOOP]).arg(folder);
            let child = shell.stdin(open()).stdout(open()).stderr(open()).spawn().unwrap();
            Some((child, Arc::clone(terminal)))
        })
    }

    /// A shell without a terminal, and whose ancestors have none: nothing (said loudly) where even those do that are there
    /// for orphans.
    #[track_caller]
    pub(crate) fn detached() -> Option<Self> {
        let window = Self::start(|folder| {
            let mut shell = Command::new("setsid");
            shell.args(["--fork", "sh", "-c", LOOP]).arg(folder);
            // When this has ended, nobody is the shell's parent but who takes in orphans.
            let started = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
            assert!(started.success());
            None
        });
        let mut pid = window.leader;
        while pid != 0 {
            let stat = stat(pid).unwrap();
            if stat[4] != "0" {
                cannot_run("the process that takes in orphans has a terminal");
                return None;
            }
            pid = stat[1].parse().unwrap();
        }
        Some(window)
    }

    fn start(spawn: impl FnOnce(&Path) -> Option<(Child, Arc<Terminal>)>) -> Self {
        let folder = tempfile::Builder::new().prefix("session-sweep-window-").tempdir().unwrap();
        for name in ["control", "reply"] {
            let path = folder.path().join(name);
            rustix::fs::mkfifoat(rustix::fs::CWD, path, Mode::from_raw_mode(0o600)).unwrap();
        }
        let terminal = spawn(folder.path());
        let mut control = std::fs::OpenOptions::new();
        control.write(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
        let mut opened = None;
        // As soon as the shell reads from it.
        wait_until(|| {
            opened = control.open(folder.path().join("control")).ok();
            opened.is_some()
        });
        let reply = File::open(folder.path().join("reply")).unwrap();
        let (send, replies) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reply).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let leader = replies.recv_timeout(PATIENCE).unwrap().parse().unwrap();
        Self { folder, control: opened.unwrap(), replies, leader, terminal }
    }

    /// The process that leads the session.
    pub(crate) fn leader(&self) -> u32 {
        self.leader
    }

    /// What the terminal is called.
    pub(crate) fn name(&self) -> &str {
        self.terminal().name.to_str().unwrap()
    }

    fn terminal(&self) -> &Terminal {
        &self.terminal.as_ref().unwrap().1
    }

    /// What was shown at the terminal since the last talk began.
    pub(crate) fn shown(&self) -> String {
        self.terminal().shown.lock().unwrap().clone()
    }

    /// Ends this session and begins another one at a terminal of the same name.
    pub(crate) fn reopened(mut self) -> Self {
        let terminal = Arc::clone(&self.terminal.as_ref().unwrap().1);
        self.end();
        // The reader of a terminal that hung up has gone: nothing is shown any more, which nobody looks at.
        drop(self);
        Self::at(&terminal)
    }

    /// Ends its shell, as closing a window does.
    fn end(&mut self) {
        if let Some((child, _)) = &mut self.terminal {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends the window and waits until it is gone.
    pub(crate) fn close(mut self) {
        let leader = self.leader;
        self.end();
        drop(self);
        wait_until(|| stat(leader).is_none_or(|stat| stat[0] == "Z"));
    }

    /// Runs a line of shell.
    #[track_caller]
    pub(crate) fn shell(&mut self, line: &str) -> i32 {
        self.tell(line);
        self.status()
    }

    fn tell(&mut self, line: &str) {
        assert!(!line.contains('\n'));
        self.control.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    #[track_caller]
    fn status(&mut self) -> i32 {
        let reply = self.replies.recv_timeout(PATIENCE);
        reply.unwrap_or_else(|error| panic!("no answer: {error}")).parse().unwrap()
    }

    /// Runs a command with nobody to answer its questions.
    #[track_caller]
    pub(crate) fn run(&mut self, command: &Command) -> Said {
        self.run_under("", command)
    }

    /// The same as a child of another program.
    #[track_caller]
    pub(crate) fn run_under(&mut self, program: &str, command: &Command) -> Said {
        let line = line_of(command);
        let folder = self.folder.path().display().to_string();
        let status = self.shell(&format!("( {program} {line} ) <'/dev/null' >'{folder}/stdout' 2>'{folder}/stderr'"));
        self.said(status, line)
    }

    /// Its document.
    #[track_caller]
    pub(crate) fn json(&mut self, command: &Command) -> Value {
        let mut command = crate::machine::copy_of(command);
        command.arg("--json");
        let said = self.run(&command).ends_with(0);
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
    }

    fn said(&self, status: i32, line: String) -> Said {
        let read = |name: &str| fs_err::read_to_string(self.folder.path().join(name)).unwrap();
        Said { status, stdout: read("stdout"), stderr: read("stderr"), line }
    }

    /// Starts a command that asks at the terminal; its data goes elsewhere.
    pub(crate) fn talk(&mut self, command: &Command) -> Talk<'_> {
        let line = line_of(command);
        self.terminal().shown.lock().unwrap().clear();
        let folder = self.folder.path().display().to_string();
        self.tell(&format!("{line} <'{0}' >'{folder}/stdout' 2>'{0}'", self.name()));
        Talk { window: self, line, seen: 0 }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.end();
    }
}

/// A conversation at a terminal.
pub(crate) struct Talk<'w> {
    window: &'w mut Window,
    line: String,
    seen: usize,
}

impl Talk<'_> {
    /// Waits for a text to be shown, behind what was waited for before.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) -> &mut Self {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let shown = self.shown();
            if let Some(place) = shown[self.seen..].find(text) {
                self.seen += place + text.len();
                return self;
            }
            if let Ok(status) = self.window.replies.try_recv() {
                panic!("it ended with {status} and did not say {text:?}: {}", self.shown());
            }
            assert!(std::time::Instant::now() < deadline, "it did not say {text:?}: {shown}");
            std::thread::yield_now();
        }
    }

    /// Types a line.
    pub(crate) fn answer(&mut self, line: &str) -> &mut Self {
        self.type_in(&format!("{line}\n"))
    }

    /// Types the end of input.
    pub(crate) fn end_of_input(&mut self) -> &mut Self {
        self.type_in("\u{4}")
    }

    fn type_in(&mut self, text: &str) -> &mut Self {
        (&self.window.terminal().master).write_all(text.as_bytes()).unwrap();
        self
    }

    /// Waits for the end; what the terminal showed counts as stderr.
    #[track_caller]
    pub(crate) fn ends_with(self, status: i32) -> Said {
        let ended = self.window.status();
        let stderr = self.shown();
        let stdout = fs_err::read_to_string(self.window.folder.path().join("stdout")).unwrap();
        Said { status: ended, stdout, stderr, line: self.line }.ends_with(status)
    }

    fn shown(&self) -> String {
        self.window.shown()
    }
}

impl Said {
    /// Fails the test unless the run ended with `status`.
    #[track_caller]
    pub(crate) fn ends_with(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{}\n--- stdout\n{}\n--- stderr\n{}", self.line, self.stdout, self.stderr);
        self
    }
}

/// The command as a line of shell.
pub(crate) fn line_of(command: &Command) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let variables = command.get_envs().filter_map(|(name, value)| {
        let value = value?.to_str().unwrap();
        Some(quoted(&format!("{}={value}", name.to_str().unwrap())))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| quoted(word.to_str().unwrap()));
    let line: Vec<String> = variables.chain(words).collect();
    format!("env -i {}", line.join(" "))
}

/// The fields of `/proc/<pid>/stat` from the third, the state, on; nothing where there is no such process.
pub(crate) fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat[stat.rfind(')')? + 1..].split_ascii_whitespace().map(str::to_owned).collect())
}

/// When a process started, in clock ticks after boot.
pub(crate) fn start_of(pid: u32) -> u64 {
    stat(pid).unwrap()[19].parse().unwrap()
}

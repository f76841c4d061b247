//! How the processes of a test are started: by whom, as what, and where.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, Mode, OFlags, mkfifoat};

use crate::left_behind::start_ticks;
use crate::processes_world::{NO_GROUP, Processes, until};

/// A process that is to be started.
#[must_use]
pub(crate) struct Start<'s> {
    scene: &'s Processes,
    program: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    groups: String,
    through: String,
    is_leader: bool,
}

impl Processes {
    /// A process that is yet to be started: in a session of its own, without a terminal.
    pub(crate) fn start(&self, program: &str) -> Start<'_> {
        Start {
            scene: self,
            program: program.to_owned(),
            arguments: Vec::new(),
            variables: Vec::new(),
            groups: NO_GROUP.to_owned(),
            through: String::new(),
            is_leader: true,
        }
    }
}

impl Start<'_> {
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As Claude Code starts what it starts.
    pub(crate) fn of(self, session: &str) -> Self {
        self.variable("CLAUDECODE", "1").variable("CLAUDE_CODE_SESSION_ID", session)
    }

    /// In another control group, by the path in the one hierarchy.
    pub(crate) fn in_group(mut self, path: &str) -> Self {
        self.groups = format!("0::{path}\n");
        self
    }

    /// In the session of whoever starts it.
    pub(crate) fn in_session(mut self) -> Self {
        self.is_leader = false;
        self
    }

    /// Through another program, which becomes this one.
    pub(crate) fn through(mut self, line: &str) -> Self {
        line.clone_into(&mut self.through);
        self
    }

    /// Started by a process that ends at once: somebody adopts it.
    pub(crate) fn orphaned(self) -> u32 {
        let (line, pipe) = self.line();
        let shell =
            Command::new("sh").args(["-c", &format!("({line}) & echo $!")]).stderr(Stdio::null()).output().unwrap();
        let pid = String::from_utf8(shell.stdout).unwrap().trim().parse().unwrap();
        let scene = self.scene;
        let pid = self.started(pid, pipe);
        scene.declare_adopter(pid);
        pid
    }

    /// A child of this test's own process, which is not to be seen.
    pub(crate) fn held(self) -> u32 {
        self.held_by(|_| {})
    }

    /// The same, with whatever it starts and leaves behind adopted by it.
    pub(crate) fn held_as_subreaper(self) -> u32 {
        #[allow(unsafe_code, reason = "prctl may be called between fork and exec")]
        self.held_by(|command| unsafe {
            command.pre_exec(|| Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?));
        })
    }

    fn held_by(self, prepare: impl FnOnce(&mut Command)) -> u32 {
        let (line, pipe) = self.line();
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]);
        prepare(&mut shell);
        let child = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pid = child.id();
        self.scene.children.borrow_mut().push(child);
        self.started(pid, pipe)
    }

    /// Started by another process of the world.
    pub(crate) fn below(self, parent: u32) -> u32 {
        self.answer_of(parent, |line, reply| format!("({line}) & echo $! >'{reply}'"))
    }

    /// Started by a process that another one of the world started and that ended at once.
    pub(crate) fn left_by(self, parent: u32) -> u32 {
        self.answer_of(parent, |line, reply| format!("( ({line}) & echo $! >'{reply}' )"))
    }

    fn answer_of(self, parent: u32, wrapped: impl FnOnce(&str, &str) -> String) -> u32 {
        let (line, pipe) = self.line();
        let reply = self.scene.unique("reply");
        self.scene.tell(parent, &wrapped(&line, reply.to_str().unwrap()));
        let said = || fs_err::read_to_string(&reply).unwrap_or_default();
        until(|| said().ends_with('\n'));
        self.started(said().trim().parse().unwrap(), pipe)
    }

    /// The line of shell that becomes it, and the pipe at which it waits.
    fn line(&self) -> (String, (File, PathBuf)) {
        let scene = self.scene;
        let program = scene.program(&self.program);
        let pipe = scene.unique("pipe");
        mkfifoat(CWD, &pipe, Mode::from_raw_mode(0o600)).unwrap();
        let control = rustix::fs::open(&pipe, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut words = vec![
            format!("PATH={}:{path}", scene.path("home/bin").display()),
            // What tells it from the one that starts it, which may be the same program.
            format!("TEST_PIPE={}", pipe.display()),
        ];
        words.extend(self.variables.iter().map(|(name, value)| format!("{name}={value}")));
        // Only what is looked up has its own name alone as its first argument.
        let name = if self.program.starts_with('-') { self.program.clone() } else { program.display().to_string() };
        // The shell's own options end before the arguments.
        let ends = self.arguments.first().filter(|first| first.starts_with('-')).map(|_| "--".to_owned());
        let last = [name, "-s".to_owned()].into_iter().chain(ends).chain(self.arguments.iter().cloned());
        let quoted = |words: &mut dyn Iterator<Item = String>| {
            words.map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect::<Vec<_>>().join(" ")
        };
        let (leads, folder) = (if self.is_leader { "setsid --" } else { "" }, scene.path("home/work"));
        // What it is started through comes last, and what is looked up is not the world's own.
        let (words, last) = (quoted(&mut words.into_iter()), quoted(&mut last.into_iter()));
        let (folder, from) = (folder.display(), pipe.display());
        let line =
            format!("cd '{folder}' && exec env -i {words} {leads} {} {last} <'{from}' >/dev/null 2>&1", self.through);
        (line, (control.into(), pipe))
    }

    /// Waits until it runs its program, and shows it.
    fn started(self, pid: u32, (control, pipe): (File, PathBuf)) -> u32 {
        let program = self.scene.program(&self.program);
        let pipe = format!("TEST_PIPE={}", pipe.display()).into_bytes();
        let is_it = |environment: Vec<u8>| environment.split(|byte| *byte == 0).any(|variable| variable == pipe);
        until(|| {
            // Its environment is there a moment after its program.
            std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program)
                && std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(is_it)
        });
        self.scene.started.borrow_mut().push((pid, start_ticks(pid)));
        self.scene.controls.borrow_mut().insert(pid, control);
        self.scene.show(pid, &self.groups);
        pid
    }
}

//! A world of real processes that look like what CLIs start, and a folder that stands for `/`, in which nobody else is seen.
//!
//! Whatever runs the tests (a service, a container, tmux, an AI CLI) has processes of its own, and nothing may be told of
//! those, or done to them. So `processes.root` is a folder whose `proc` has an entry for each process of the test alone, with
//! links into the real one. Control groups are as the test wants them.
//!
//! Each process is a copy of the shell under the name that is wanted. It waits for lines to run at a pipe that ends with the
//! test, whatever becomes of that; and the world kills what still runs when it is dropped.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

use crate::left_behind::{boot_id, start_ticks};
use crate::window::{line_of, stat};
use crate::world::{Ran, World};

/// A session whose process is gone.
pub(crate) const OVER: &str = "0e0e0e0e-1111-4222-8333-0123456789ab";
/// A session that runs.
pub(crate) const LIVE: &str = "11fe11fe-1111-4222-8333-0123456789ab";

/// A control group that says nothing.
const NO_GROUP: &str = "0::/\n";

/// Makes an entry for itself, and becomes what the rest of its arguments says.
const ENTER: &str = r#"p="$1/$$"; x="$2"; shift; mkdir "$p"
for f in stat status cmdline environ statm ns fd; do ln -s "/proc/$$/$f" "$p/$f"; done
ln -s "$x" "$p/exe"; ln -s / "$p/cwd"; echo 0::/ >"$p/cgroup"; exec "$@""#;

/// A home, its records, and the processes that a test started.
pub(crate) struct Processes {
    pub(crate) world: World,
    controls: RefCell<HashMap<u32, File>>,
    children: RefCell<Vec<Child>>,
    /// By number and start, which are those of nobody else.
    started: RefCell<Vec<(u32, u64)>>,
    terminals: RefCell<Vec<File>>,
    names: Cell<u32>,
    subreapers: RefCell<Vec<String>>,
}

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
    pub(crate) fn new() -> Self {
        let world = World::new();
        let scene = Self {
            world,
            controls: RefCell::default(),
            children: RefCell::default(),
            started: RefCell::default(),
            terminals: RefCell::default(),
            names: Cell::new(0),
            subreapers: RefCell::default(),
        };
        for folder in ["home/bin", "pipes", "machine/proc", "home/work"] {
            fs_err::create_dir_all(scene.path(folder)).unwrap();
        }
        for name in ["self", "stat", "sys", "locks"] {
            symlink(Path::new("/proc").join(name), scene.proc().join(name));
        }
        fs_err::write(scene.path("enter"), ENTER).unwrap();
        scene
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.world.root().join(path)
    }

    pub(crate) fn proc(&self) -> PathBuf {
        self.path("machine/proc")
    }

    fn unique(&self, what: &str) -> PathBuf {
        self.names.set(self.names.get() + 1);
        self.path(&format!("pipes/{what}-{}", self.names.get()))
    }

    /// A program of that name. By another process: a file that this one writes stays busy as long as a child of another test
    /// has it.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.program_from("/bin/sh", name)
    }

    pub(crate) fn program_from(&self, program: &str, name: &str) -> PathBuf {
        let path = self.path("home/bin").join(name);
        if !path.exists() {
            assert!(Command::new("cp").args(["--", program]).arg(&path).status().unwrap().success());
        }
        path
    }

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

    /// Something that Claude Code's session [`OVER`] started, and that nobody has any more; its record is there too.
    pub(crate) fn orphan(&self) -> u32 {
        self.orphan_of(OVER)
    }

    /// The same of another session.
    pub(crate) fn orphan_of(&self, session: &str) -> u32 {
        self.record(session, &json!({}));
        self.start("mcp-server-x").of(session).orphaned()
    }

    /// A Claude Code that nobody holds but a program of which nothing is known, and that has a record of [`LIVE`].
    pub(crate) fn live_claude(&self) -> u32 {
        let keeper = self.start("keeper").held();
        let pid = self.start("claude").below(keeper);
        self.record_of(LIVE, pid);
        pid
    }

    /// Shows a process in the world's `proc`.
    pub(crate) fn show(&self, pid: u32, groups: &str) {
        let (real, ours) = (PathBuf::from(format!("/proc/{pid}")), self.proc().join(pid.to_string()));
        fs_err::create_dir(&ours).unwrap();
        for name in ["stat", "status", "cmdline", "environ", "statm", "ns", "fd"] {
            symlink(real.join(name), ours.join(name));
        }
        for name in ["exe", "cwd"] {
            // Another user's cannot be read.
            let _ = std::fs::read_link(real.join(name)).map(|target| symlink(target, ours.join(name)));
        }
        fs_err::write(ours.join("cgroup"), groups).unwrap();
        use std::os::unix::fs::MetadataExt as _;
        let owner = fs_err::metadata(&real).unwrap();
        if fs_err::metadata(&ours).unwrap().uid() != owner.uid() {
            // Only root can; others do not look at this.
            let _ = std::os::unix::fs::chown(&ours, Some(owner.uid()), Some(owner.gid()));
        }
    }

    /// Shows a process again that runs another program by now.
    pub(crate) fn refresh(&self, pid: u32) {
        fs_err::remove_dir_all(self.proc().join(pid.to_string())).unwrap();
        self.show(pid, NO_GROUP);
    }

    /// Whoever adopted a process: not everywhere it is process 1.
    fn declare_adopter(&self, pid: u32) {
        let adopter: u32 = stat(pid).unwrap()[1].parse().unwrap();
        let name = fs_err::read_to_string(format!("/proc/{adopter}/comm")).unwrap().trim_end().to_owned();
        if adopter == 1
            || self.subreapers.borrow().contains(&name)
            || self.started.borrow().iter().any(|one| one.0 == adopter)
        {
            return;
        }
        self.show(adopter, NO_GROUP);
        self.subreaper(&name);
    }

    /// Declares a program that adopts orphans.
    pub(crate) fn subreaper(&self, name: &str) {
        self.subreapers.borrow_mut().push(name.to_owned());
    }

    /// Tells a process to run a line, and does not wait for it.
    pub(crate) fn tell(&self, pid: u32, line: &str) {
        assert!(!line.contains('\n'));
        let controls = self.controls.borrow();
        (&controls[&pid]).write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Makes a process ignore SIGTERM.
    pub(crate) fn deafen(&self, pid: u32) {
        self.tell(pid, "trap '' TERM");
        until(|| {
            let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
            u64::from_str_radix(ignored, 16).unwrap() & 1 << 14 != 0
        });
    }

    /// Gives a process a controlling terminal, which stays open.
    pub(crate) fn at_terminal(&self, pid: u32) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        self.terminals.borrow_mut().push(master.into());
        // The leader of a session without a terminal gets the first one that it opens.
        self.tell(pid, &format!("exec 5<>{name}"));
        until(|| stat(pid).unwrap()[4] != "0");
    }

    /// Closes the terminals of all.
    pub(crate) fn close_terminals(&self) {
        self.terminals.borrow_mut().clear();
    }

    /// Ends a process for certain.
    pub(crate) fn kill(&self, pid: u32) {
        kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL).unwrap();
        self.controls.borrow_mut().remove(&pid);
        self.wait_gone(pid);
        let mut children = self.children.borrow_mut();
        if let Some(place) = children.iter().position(|child| child.id() == pid) {
            children.remove(place).wait().unwrap();
        }
    }

    /// Ends a process, and waits until somebody has adopted what it started.
    pub(crate) fn kill_parent(&self, pid: u32, children: &[u32]) {
        self.kill(pid);
        let parent = pid.to_string();
        until(|| children.iter().all(|child| stat(*child).unwrap()[1] != parent));
        children.iter().for_each(|child| self.declare_adopter(*child));
    }

    pub(crate) fn runs(&self, pid: u32) -> bool {
        let started = self.started.borrow();
        let start = started.iter().find(|one| one.0 == pid).unwrap().1;
        stat(pid).is_some_and(|stat| stat[0] != "Z" && stat[19] == start.to_string())
    }

    #[track_caller]
    pub(crate) fn wait_gone(&self, pid: u32) {
        until(|| !self.runs(pid));
    }

    /// A number that no process has.
    pub(crate) fn gone_pid(&self) -> u32 {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    /// Where the janitor's records are, and Claude Code's own.
    pub(crate) fn sessions(&self) -> PathBuf {
        self.world.home().join(".claude/sessions")
    }

    /// The record of a session whose process is gone since yesterday, but for what `other` says.
    pub(crate) fn record(&self, id: &str, other: &Value) -> PathBuf {
        let mut record = json!({
            "session_id": id,
            "pid": self.gone_pid(),
            "ppid": 1,
            "start_time": hours_ago(24),
            "hostname": host(),
            "working_dir": "/work",
            "last_heartbeat": hours_ago(23),
            "platform": "linux",
            "proc_start": 4711,
            "boot_id": boot_id(),
            "pid_namespace": namespace(),
            "provider": "claude",
        });
        let members = record.as_object_mut().unwrap();
        for (key, value) in other.as_object().unwrap() {
            members.insert(key.clone(), value.clone());
        }
        members.retain(|_, value| !value.is_null());
        let path = self.sessions().join(id).join("metadata.json");
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, record.to_string()).unwrap();
        path
    }

    /// The record of a session that a process has.
    pub(crate) fn record_of(&self, id: &str, pid: u32) -> PathBuf {
        self.record(id, &json!({"pid": pid, "proc_start": start_ticks(pid)}))
    }

    pub(crate) fn has_record(&self, id: &str) -> bool {
        self.sessions().join(id).exists()
    }

    /// The record as it is now.
    pub(crate) fn read_record(&self, id: &str) -> Value {
        let text = fs_err::read_to_string(self.sessions().join(id).join("metadata.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// A run of `processes`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.other_command(&[&["processes"], arguments].concat())
    }

    /// A run of any command: young is who is younger than a second, and of everything else the defaults count.
    pub(crate) fn other_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.command_at_present(arguments);
        let set = |name: &str| format!("SESSION_SWEEP_PROCESSES_{name}");
        command.env(set("ROOT"), self.path("machine")).env(set("SUBREAPERS"), self.subreapers.borrow().join(","));
        command.env(set("MIN_AGE"), "1s").env(set("STALE"), "1s");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// The document of a run, and how it ended.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str], status: i32) -> Value {
        document(self.run(&[arguments, &["--json"]].concat()), status)
    }

    /// The run's words with what is needed to be seen in the world's `proc`.
    pub(crate) fn entering(&self, command: &Command) -> Command {
        let mut entering = Command::new("sh");
        entering.arg(self.path("enter")).arg(self.proc()).arg(command.get_program()).args(command.get_args());
        entering.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        entering.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        entering.current_dir(self.world.root());
        entering
    }

    /// Lets a process run a command, with `input` on its stdin, and with so many shells in between as a hook has: one.
    #[track_caller]
    pub(crate) fn run_in(&self, pid: u32, command: &Command, input: &str) -> Ran {
        let base = self.unique("run");
        let part = |name: &str| base.with_extension(name);
        let said = |path: PathBuf| fs_err::read_to_string(path).unwrap_or_default();
        fs_err::write(part("in"), input).unwrap();
        let script = format!("{}; exit $?", line_of(&self.entering(command)));
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]);
        let line = line_of(&self.entering(&shell));
        let [input, out, err, status] = ["in", "out", "err", "status"].map(|name| part(name).display().to_string());
        self.tell(pid, &format!("{line} <'{input}' >'{out}' 2>'{err}'; echo $? >'{status}'"));
        until(|| said(part("status")).ends_with('\n'));
        let status = said(part("status")).trim().parse().unwrap();
        Ran::read(status, said(part("out")), said(part("err")), format!("{command:?}"))
    }

    /// Waits until a process is old enough to be looked at.
    pub(crate) fn wait_old(&self, pids: &[u32]) {
        let old = |pid: &u32| {
            let per_second = rustix::param::clock_ticks_per_second();
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
            let ticks = now.tv_sec as u64 * per_second + now.tv_nsec as u64 * per_second / 1_000_000_000;
            start_ticks(*pid) + per_second + 1 < ticks
        };
        until(|| pids.iter().all(old));
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

impl Drop for Processes {
    fn drop(&mut self) {
        for (pid, start) in self.started.borrow().iter() {
            let is_same = stat(*pid).is_some_and(|stat| stat[19] == start.to_string());
            if let (true, Some(pid)) = (is_same, Pid::from_raw(*pid as i32)) {
                // It may have ended already.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        for child in self.children.borrow_mut().iter_mut() {
            let _ = child.wait();
        }
    }
}

fn symlink(target: impl AsRef<Path>, path: impl AsRef<Path>) {
    fs_err::os::unix::fs::symlink(target, path).unwrap();
}

/// Waits until `condition` holds; fails after half a minute.
#[track_caller]
pub(crate) fn until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited for half a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The document that a run printed.
#[track_caller]
pub(crate) fn document(ran: Ran, status: i32) -> Value {
    let ran = ran.ends_with(status);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// `hours` ago as the janitor writes times.
pub(crate) fn hours_ago(hours: i64) -> String {
    time(Utc::now() - TimeDelta::hours(hours))
}

/// In an hour, for `--at`: whoever runs now is older than ten minutes then.
pub(crate) fn in_an_hour() -> String {
    time(Utc::now() + TimeDelta::hours(1))
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(crate) fn host() -> String {
    fs_err::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

pub(crate) fn namespace() -> u64 {
    let link = fs_err::read_link("/proc/self/ns/pid").unwrap();
    link.to_str().unwrap().trim_start_matches("pid:[").trim_end_matches(']').parse().unwrap()
}

/// What a document says of a process: its verdict and the rows that say why.
#[track_caller]
pub(crate) fn verdict_of(document: &Value, pid: u32) -> (String, Vec<String>) {
    let processes = document["processes"].as_array().unwrap();
    let item = processes.iter().find(|item| item["pid"] == pid).unwrap_or_else(|| panic!("no {pid}: {document:#}"));
    let rows = item["reasons"].as_array().unwrap().iter().map(|reason| reason["row"].as_str().unwrap().to_owned());
    (item["verdict"].as_str().unwrap().to_owned(), rows.collect())
}

/// Fails unless a process has this verdict, and the row is among its reasons.
#[track_caller]
pub(crate) fn assert_verdict(document: &Value, pid: u32, verdict: &str, row: &str) {
    let (found, rows) = verdict_of(document, pid);
    assert!(found == verdict && rows.iter().any(|one| one == row), "{found} by {rows:?}: {document:#}");
}

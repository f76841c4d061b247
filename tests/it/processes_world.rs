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
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

use crate::window::{line_of, stat};
use crate::world::{Ran, World};

pub(crate) use crate::processes_facts::{
    assert_verdict, document, gone_pid, host, hours_ago, in_an_hour, namespace, until, verdict_of, wait_old,
};

/// A session whose process is gone.
pub(crate) const OVER: &str = "0e0e0e0e-1111-4222-8333-0123456789ab";
/// A session that runs.
pub(crate) const LIVE: &str = "11fe11fe-1111-4222-8333-0123456789ab";

/// A control group that says nothing.
pub(crate) const NO_GROUP: &str = "0::/\n";

/// Makes an entry for itself, and becomes what the rest of its arguments says.
const ENTER: &str = r#"p="$1/$$"; x="$2"; shift; mkdir "$p"
for f in stat status cmdline environ statm ns fd; do ln -s "/proc/$$/$f" "$p/$f"; done
ln -s "$x" "$p/exe"; ln -s / "$p/cwd"; echo 0::/ >"$p/cgroup"; exec "$@""#;

/// A home, its records, and the processes that a test started.
pub(crate) struct Processes {
    pub(crate) world: World,
    pub(crate) controls: RefCell<HashMap<u32, File>>,
    pub(crate) children: RefCell<Vec<Child>>,
    /// By number and start, which are those of nobody else.
    pub(crate) started: RefCell<Vec<(u32, u64)>>,
    terminals: RefCell<Vec<File>>,
    names: Cell<u32>,
    subreapers: RefCell<Vec<String>>,
    /// Each process with its path in the hierarchy of control groups.
    groups: RefCell<Vec<(u32, String)>>,
    pub(crate) lists_groups: Cell<bool>,
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
            groups: RefCell::default(),
            lists_groups: Cell::new(true),
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

    pub(crate) fn unique(&self, what: &str) -> PathBuf {
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
        let path = groups.trim_end().rsplit(':').next().unwrap().to_owned();
        self.groups.borrow_mut().push((pid, path));
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
    pub(crate) fn declare_adopter(&self, pid: u32) {
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

    /// Lists who is in which control group, as the kernel does.
    fn list_groups(&self) {
        let groups = self.groups.borrow();
        let scopes = groups.iter().filter(|(_, path)| path.strip_suffix(".scope").is_some());
        for (_, path) in scopes {
            let is_in = |(pid, other): &&(u32, String)| other == path && stat(*pid).is_some_and(|stat| stat[0] != "Z");
            let members: Vec<String> = groups.iter().filter(is_in).map(|(pid, _)| format!("{pid}\n")).collect();
            self.world.machine_file(&format!("sys/fs/cgroup{path}/cgroup.procs"), &members.concat());
        }
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
        for child in children {
            self.declare_adopter(*child);
        }
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

    /// A run of `processes`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.other_command(&[&["processes"], arguments].concat())
    }

    /// A run of any command: young is who is younger than a second, and of everything else the defaults count.
    pub(crate) fn other_command(&self, arguments: &[&str]) -> Command {
        if self.lists_groups.get() {
            self.list_groups();
        }
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

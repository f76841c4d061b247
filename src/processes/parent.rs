//! Who holds a process: who adopted it, or who among its parents matters.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustc_hash::FxHashMap;

use super::table::Table;
use crate::filesystem::proc::{Name, Proc, Stat};
use crate::policy::orphan::{Guardian, Parent, ProcessName};

/// What terminal multiplexers call themselves: their windows outlive whoever opened them.
const MULTIPLEXERS: [&str; 9] =
    ["tmux: server", "tmux: client", "tmux", "screen", "SCREEN", "zellij", "dtach", "abduco", "shpool"];

/// What editors call themselves, cut off after 15 bytes as the kernel does.
const EDITORS: [&str; 36] = [
    "code",
    "code-server",
    "code-insiders",
    "codium",
    "cursor",
    "windsurf",
    "zed",
    "zed-editor",
    "zeditor",
    "trae",
    "vi",
    "vim",
    "nvim",
    "gvim",
    "emacs",
    "emacsclient",
    "nano",
    "micro",
    "helix",
    "hx",
    "kak",
    "idea",
    "idea64",
    "pycharm",
    "webstorm",
    "goland",
    "clion",
    "rider",
    "phpstorm",
    "rustrover",
    "subl",
    "sublime_text",
    "kate",
    "gedit",
    "lapce",
    "eclipse",
];

/// Programs that a login begins with, besides a shell whose own name begins with `-`.
const LOGINS: [&str; 5] = ["login", "sshd", "sshd-session", "mosh-server", "su"];

/// Who takes over processes whose parent has ended, for one run.
pub(crate) struct Adopters<'a> {
    table: &'a Table,
    proc: &'a Proc,
    /// The user whose `systemd --user` counts.
    user: u32,
    /// Names or absolute paths of further programs.
    declared: &'a [String],
    known: RefCell<FxHashMap<u32, bool>>,
    /// Whether an ancestor is a login's shell: many have the same ones.
    logins: RefCell<FxHashMap<u32, bool>>,
}

impl<'a> Adopters<'a> {
    pub(crate) fn new(table: &'a Table, proc: &'a Proc, user: u32, declared: &'a [String]) -> Self {
        Self { table, proc, user, declared, known: RefCell::default(), logins: RefCell::default() }
    }

    /// Whether a process adopts others: pid 1, this user's `systemd --user`, an init of WSL, a declared subreaper.
    pub(crate) fn has(&self, pid: u32) -> bool {
        if pid == 1 {
            return true;
        }
        let known = self.known.borrow().get(&pid).copied();
        known.unwrap_or_else(|| {
            let process = self.table.get(pid);
            let is_one = process.is_some_and(|process| {
                self.is_manager(process) || self.is_wsl_init(process) || self.is_declared(process)
            });
            self.known.borrow_mut().insert(pid, is_one);
            is_one
        })
    }

    /// `systemd --user` of this user, which pid 1 started. That of another user, or whatever else calls itself so, is none.
    fn is_manager(&self, process: &Stat) -> bool {
        process.name.as_bytes() == b"systemd"
            && process.parent == 1
            && self.proc.users(process.pid).is_ok_and(|users| users.is_some_and(|users| users.are(self.user)))
            && matches!(self.proc.arguments(process.pid), Ok(Some(arguments)) if arguments.iter().skip(1).any(|one| one == b"--user"))
    }

    /// The Windows Subsystem for Linux has a subreaper for each window, root's `/init` below the first one
    /// (microsoft/WSL, its `src/linux/init`).
    fn is_wsl_init(&self, process: &Stat) -> bool {
        let name = process.name.as_bytes();
        let may_be = name.starts_with(b"Relay(") || name.starts_with(b"init") || name == b"SessionLeader";
        let first =
            || self.proc.arguments(process.pid).ok().flatten().and_then(|arguments| arguments.into_iter().next());
        let is_roots = || self.proc.users(process.pid).is_ok_and(|users| users.is_some_and(|users| users.are(0)));
        may_be && first().is_some_and(|first| first == b"/init") && is_roots()
    }

    fn is_declared(&self, process: &Stat) -> bool {
        let is_path = |declared: &str| declared.starts_with('/');
        let by_name = |declared: &String| !is_path(declared) && Name::new(declared.as_bytes()) == process.name;
        let runs = |declared: &String| {
            is_path(declared)
                && matches!(self.proc.executable(process.pid), Ok(Some(path)) if path == Path::new(declared))
        };
        process.runs() && self.declared.iter().any(|declared| by_name(declared) || runs(declared))
    }

    /// Who holds a process. `is_cli` tells an AI coding CLI.
    pub(crate) fn parent_of(&self, process: &Stat, is_cli: &dyn Fn(&Stat) -> bool) -> Parent {
        if self.has(process.parent) {
            return self.guardian_of_adopter(process.parent, is_cli).unwrap_or_else(|| {
                let name = self.table.get(process.parent).map_or_else(|| "init".to_owned(), name_of);
                Parent::Adopter(ProcessName { pid: process.parent, name })
            });
        }
        let Some(parent) = self.table.get(process.parent) else { return Parent::Unseen(process.parent) };
        // What adopted somebody in between is held by nobody.
        let held = self.table.ancestors(process.pid).take_while(|ancestor| !self.has(ancestor.pid));
        let mut guardians = held.filter_map(|ancestor| self.guardian(ancestor, is_cli));
        guardians.next().unwrap_or_else(|| Parent::Other(named(parent)))
    }

    /// A CLI may be the first process of a container itself, and a subreaper may run below one, or in somebody's window. That an
    /// adopter is at a terminal itself says nothing of whom it adopted: so is the first process of many a container.
    fn guardian_of_adopter(&self, adopter: u32, is_cli: &dyn Fn(&Stat) -> bool) -> Option<Parent> {
        let itself = self.table.get(adopter).and_then(|process| self.guardian(process, is_cli));
        let holds = |parent: &Parent| {
            matches!(parent, Parent::Guardian(Guardian::Cli | Guardian::Multiplexer | Guardian::Editor, _))
        };
        let above = || self.table.ancestors(adopter).find_map(|ancestor| self.guardian(ancestor, is_cli));
        itself.filter(holds).or_else(above)
    }

    /// Whether people come back to what a process holds: a multiplexer, an editor, a login.
    pub(crate) fn is_guardian(&self, process: &Stat) -> bool {
        matches!(
            self.guardian(process, &|_| false),
            Some(Parent::Guardian(Guardian::Multiplexer | Guardian::Editor | Guardian::Login, _))
        )
    }

    /// What an ancestor is, if that matters.
    fn guardian(&self, ancestor: &Stat, is_cli: &dyn Fn(&Stat) -> bool) -> Option<Parent> {
        let is_among = |names: &[&str]| names.iter().any(|name| name.as_bytes() == ancestor.name.as_bytes());
        let kind = if is_cli(ancestor) {
            Guardian::Cli
        } else if is_among(&MULTIPLEXERS) {
            Guardian::Multiplexer
        } else if is_among(&EDITORS) {
            Guardian::Editor
        } else if is_among(&LOGINS) || self.is_login_shell(ancestor) {
            Guardian::Login
        } else if ancestor.terminal != 0 {
            Guardian::AtTerminal
        } else {
            return None;
        };
        Some(Parent::Guardian(kind, named(ancestor)))
    }

    /// A login's shell has a `-` before its name (login(1), sshd(8)).
    fn is_login_shell(&self, process: &Stat) -> bool {
        // Most are not: their arguments need not be read.
        process.name.as_bytes().ends_with(b"sh")
            && *self.logins.borrow_mut().entry(process.pid).or_insert_with(|| self.is_started_as_login_shell(process))
    }

    fn is_started_as_login_shell(&self, process: &Stat) -> bool {
        let arguments = self.proc.arguments(process.pid).ok().flatten().unwrap_or_default();
        let Some(first) = arguments.first().and_then(|first| first.strip_prefix(b"-")) else { return false };
        let shell = Path::new(OsStr::from_bytes(first)).file_name();
        shell.is_some_and(|shell| shell.as_bytes().ends_with(b"sh"))
    }
}

/// A process for people.
pub(crate) fn named(process: &Stat) -> ProcessName {
    ProcessName { pid: process.pid, name: name_of(process) }
}

/// What a process calls itself.
pub(crate) fn name_of(process: &Stat) -> String {
    String::from_utf8_lossy(process.name.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: u32 = 1000;

    /// A /proc of its own.
    struct World(tempfile::TempDir);

    impl World {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, pid: u32, name: &str, content: &str) {
            let folder = self.0.path().join(pid.to_string());
            fs_err::create_dir_all(&folder).unwrap();
            fs_err::write(folder.join(name), content).unwrap();
        }

        /// A process of [`USER`] without a terminal; `line` is what it was started with.
        fn process(&self, pid: u32, parent: u32, name: &str, line: &[&str]) {
            self.at_terminal(pid, parent, name, 0);
            self.write(pid, "status", &format!("Uid:\t{USER}\t{USER}\t{USER}\t{USER}\n"));
            self.write(pid, "cmdline", &(line.join("\0") + "\0"));
        }

        fn at_terminal(&self, pid: u32, parent: u32, name: &str, terminal: u32) {
            let line = format!("{pid} ({name}) S {parent} 1 1 {terminal} -1 0 1 2 3 4 5 6 7 8 20 0 1 0 {pid} 9 9\n");
            self.write(pid, "stat", &line);
        }

        fn proc(&self) -> Proc {
            Proc::new(self.0.path())
        }

        fn adopts(&self, pid: u32, declared: &[&str]) -> bool {
            let declared: Vec<String> = declared.iter().map(|&one| one.to_owned()).collect();
            let (proc, table) = (self.proc(), Table::look(&self.proc()).unwrap());
            Adopters::new(&table, &proc, USER, &declared).has(pid)
        }

        fn parent(&self, pid: u32) -> Parent {
            let (proc, table) = (self.proc(), Table::look(&self.proc()).unwrap());
            let declared = ["reaper".to_owned()];
            let adopters = Adopters::new(&table, &proc, USER, &declared);
            adopters.parent_of(table.get(pid).unwrap(), &|process| process.name.as_bytes() == b"claude")
        }
    }

    #[test]
    fn this_users_manager_and_nobody_who_calls_itself_so_adopts() {
        const MANAGER: [&str; 2] = ["/usr/lib/systemd/systemd", "--user"];
        let world = World::new();
        world.process(5, 1, "systemd", &MANAGER);
        world.process(6, 1, "systemd", &MANAGER);
        world.write(6, "status", "Uid:\t1001\t1001\t1001\t1001\n");
        world.process(7, 20, "systemd", &MANAGER);
        world.process(8, 1, "systemd", &["/usr/lib/systemd/systemd"]);
        world.process(9, 1, "node", &["node", "--user"]);
        world.process(10, 1, "systemd", &["--user"]);
        let adopting: Vec<u32> = (1..=11).filter(|pid| world.adopts(*pid, &[])).collect();
        assert_eq!(adopting, [1, 5]);
    }

    #[test]
    fn a_declared_program_adopts_by_its_name_or_by_its_path() {
        let world = World::new();
        world.process(5, 20, "reaper", &["reaper"]);
        world.process(6, 20, "other", &["reaper"]);
        fs_err::os::unix::fs::symlink("/opt/reaper", world.0.path().join("6/exe")).unwrap();
        assert!(world.adopts(5, &["reaper"]) && world.adopts(6, &["x", "/opt/reaper"]));
        for (pid, declared) in [(5, "/opt/reaper"), (6, "reaper"), (6, "/opt/reap"), (6, "opt/reaper"), (5, "")] {
            assert!(!world.adopts(pid, &[declared]), "{pid} {declared}");
        }
    }

    #[test]
    fn the_nearest_ancestor_that_matters_holds_a_process() {
        for (name, first, terminal, kind) in [
            ("claude", "claude", 0, Some(Guardian::Cli)),
            ("tmux: server", "tmux", 0, Some(Guardian::Multiplexer)),
            ("nvim", "nvim", 0, Some(Guardian::Editor)),
            ("sshd", "sshd", 0, Some(Guardian::Login)),
            ("bash", "-bash", 0, Some(Guardian::Login)),
            ("dash", "-/bin/dash", 0, Some(Guardian::Login)),
            ("python3", "python3", 34_816, Some(Guardian::AtTerminal)),
            ("python3", "-", 0, None),
            ("bash", "bash", 0, None),
        ] {
            let world = World::new();
            world.process(3, 1, name, &[first]);
            world.at_terminal(3, 1, name, terminal);
            world.process(4, 3, "node", &["node", "nvim", "claude"]);
            world.process(5, 4, "node", &["node"]);
            let expected = match kind {
                Some(kind) => Parent::Guardian(kind, ProcessName { pid: 3, name: name.to_owned() }),
                None => Parent::Other(ProcessName { pid: 4, name: "node".to_owned() }),
            };
            assert_eq!(world.parent(5), expected, "{name}");
        }
    }

    #[test]
    fn roots_init_of_a_window_of_wsl_adopts() {
        let world = World::new();
        for (pid, name, line) in
            [(5, "Relay(6)", "/init"), (6, "init-systemd(Ub", "/init"), (7, "SessionLeader", "/init")]
        {
            world.process(pid, 20, name, &[line]);
            world.write(pid, "status", "Uid:\t0\t0\t0\t0\n");
        }
        world.process(8, 20, "Relay(9)", &["/init"]);
        world.process(9, 20, "init", &["/home/alice/init"]);
        world.process(10, 20, "node", &["/init"]);
        for pid in [9, 10] {
            world.write(pid, "status", "Uid:\t0\t0\t0\t0\n");
        }
        let adopting: Vec<u32> = (5..=10).filter(|pid| world.adopts(*pid, &[])).collect();
        assert_eq!(adopting, [5, 6, 7]);
    }

    #[test]
    fn people_come_back_to_multiplexers_editors_and_logins() {
        let world = World::new();
        for (pid, name) in [(3, "tmux: server"), (4, "emacs"), (5, "sshd"), (6, "node"), (7, "claude")] {
            world.process(pid, 1, name, &[name]);
        }
        world.process(8, 1, "zsh", &["-zsh"]);
        world.at_terminal(9, 1, "node", 34_816);
        let (proc, table) = (world.proc(), Table::look(&world.proc()).unwrap());
        let adopters = Adopters::new(&table, &proc, USER, &[]);
        let found: Vec<u32> = (3..=9).filter(|pid| adopters.is_guardian(table.get(*pid).unwrap())).collect();
        assert_eq!(found, [3, 4, 5, 8]);
    }

    #[test]
    fn a_cli_that_adopts_holds_what_it_has_and_so_does_who_is_above_an_adopter() {
        let world = World::new();
        world.process(1, 0, "claude", &["claude"]);
        world.process(5, 1, "node", &["node"]);
        let holder = |pid, name: &str| Parent::Guardian(Guardian::Cli, ProcessName { pid, name: name.to_owned() });
        assert_eq!(world.parent(5), holder(1, "claude"));
        let world = World::new();
        world.process(3, 1, "claude", &["claude"]);
        world.process(4, 3, "reaper", &["reaper"]);
        world.process(5, 4, "node", &["node"]);
        assert_eq!(world.parent(5), holder(3, "claude"));
    }

    #[test]
    fn who_was_adopted_has_nobody_and_whose_parent_is_not_seen_may_have_somebody() {
        let world = World::new();
        // Where an adopter was started says nothing of whom it adopted.
        world.process(4, 1, "reaper", &["reaper"]);
        world.at_terminal(4, 1, "reaper", 34_816);
        world.process(5, 4, "node", &["node"]);
        world.process(6, 5, "node", &["node"]);
        world.process(7, 99, "node", &["node"]);
        world.process(8, 1, "node", &["node"]);
        let named = |pid, name: &str| ProcessName { pid, name: name.to_owned() };
        assert_eq!(world.parent(5), Parent::Adopter(named(4, "reaper")));
        assert_eq!(world.parent(6), Parent::Other(named(5, "node")));
        assert_eq!(world.parent(7), Parent::Unseen(99));
        assert_eq!(world.parent(8), Parent::Adopter(named(1, "init")));
    }
}

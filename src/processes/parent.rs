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
}

impl<'a> Adopters<'a> {
    pub(crate) fn new(table: &'a Table, proc: &'a Proc, user: u32, declared: &'a [String]) -> Self {
        Self { table, proc, user, declared, known: RefCell::default() }
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

    /// A CLI may be the first process of a container itself, and a subreaper may run below one. Where that was started says
    /// nothing of whom it adopted.
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

//! Which terminal this process works at, so that three windows are three sessions.
//!
//! A window's shell has a controlling terminal. What an AI coding CLI starts in its window has none, or one that lasts for
//! this command alone (Gemini CLI; Codex, where the model asks for it): it is known by the CLI's own session id, by its tmux
//! pane, or by the nearest ancestor that has a terminal which lasts.

use std::ffi::OsString;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::filesystem::proc::{Proc, Process, terminal_name};
use crate::policy::session_id::SessionId;

/// Variables in which CLIs tell what they start their own session's id: Claude Code since 2.1.132, Codex since 0.93.
const CLI_VARIABLES: [(&str, &str); 2] = [("CLAUDE_CODE_SESSION_ID", "claude"), ("CODEX_THREAD_ID", "codex")];
/// Variables that show a program that a CLI started it.
const MARKS: [&str; 3] = [CLI_VARIABLES[0].0, CLI_VARIABLES[1].0, "GEMINI_CLI"];
/// What the CLIs' processes are called (`/proc/PID/comm`): their own programs, and what runs those that are scripts. Only such
/// a process is known as a CLI whose session changes, so a script that starts several sessions is not taken for one.
const CLI_PROGRAMS: [&str; 6] = ["claude", "codex", "gemini", "node", "MainThread", "bun"];
/// Nobody's family tree is deeper.
const MOST_ANCESTORS: usize = 64;

/// What a terminal is known by for as long as it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Key {
    /// A controlling terminal, by the leader of its session: the device is used again by others.
    Tty(ProcessKey),
    /// A CLI that runs: it may change its session's id on the way.
    Process(ProcessKey),
    /// A CLI's session, which another process may take up again.
    Cli { cli: String, id: String },
    /// A pane, whose number is its own as long as its tmux server runs.
    Pane { server: ProcessKey, pane: String },
}

/// A process of one boot of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessKey {
    pub(crate) pid: u32,
    /// Clock ticks after boot.
    pub(crate) start: u64,
    pub(crate) boot: String,
}

/// A terminal and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terminal {
    pub(crate) key: Key,
    /// For people: `/dev/pts/3`, `tmux %4`, `claude 0856b851-…`.
    pub(crate) label: String,
    /// The process with which it ends, where that is known.
    pub(crate) process: Option<ProcessKey>,
}

/// Where this process works.
#[derive(Debug, Clone, Default)]
pub(crate) struct Anchor {
    /// The terminals that it may be known by, the nearest first.
    pub(crate) terminals: Vec<Terminal>,
    /// How many of them are its very own: those a new identity is remembered by.
    pub(crate) own: usize,
    /// The leader of the terminal's session, else the CLI, else the parent.
    pub(crate) process: Option<Process>,
    pub(crate) boot_id: Option<String>,
    /// When the window was opened, to within a second.
    pub(crate) since: Option<DateTime<Utc>>,
}

impl ProcessKey {
    fn of(process: &Process, boot: &str) -> Self {
        Self { pid: process.pid, start: process.start_ticks, boot: boot.to_owned() }
    }

    fn file_name(&self) -> String {
        let boot: String = self.boot.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        format!("{}-{}-{boot}", self.pid, self.start)
    }

    /// Whether it runs; nothing where that cannot be told.
    pub(super) fn is_alive(&self, proc: &Proc) -> Option<bool> {
        if proc.boot_id().ok()? != self.boot {
            return Some(false);
        }
        match proc.start_ticks(self.pid).ok()? {
            Some(start) => Some(start == self.start),
            // A /proc that hides others' processes shows none, either.
            None if Proc::is_hidden(self.pid) => None,
            None => Some(false),
        }
    }
}

impl Key {
    /// The name of a file for it.
    pub(super) fn file_name(&self) -> String {
        match self {
            Self::Tty(leader) => format!("tty-{}.json", leader.file_name()),
            Self::Process(process) => format!("process-{}.json", process.file_name()),
            Self::Cli { cli, id } => format!("{cli}-{id}.json"),
            Self::Pane { server, pane } => format!("pane-{}-{pane}.json", server.file_name()),
        }
    }
}

impl Anchor {
    /// Where this process is.
    pub(crate) fn of_process(proc: &Proc, variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let boot_id = proc.boot_id().ok();
        let boot = boot_id.clone().unwrap_or_default();
        let ancestors = ancestors(proc);
        let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
        let passing = passing_session(proc, &ancestors);
        let lasting =
            |process: &Process| (Some(process.session) != passing).then(|| tty(proc, process, &boot)).flatten();
        let window = ancestors.iter().find_map(lasting);
        let is_own = ancestors.first().is_some_and(|process| lasting(process).is_some());
        let mut terminals = Vec::new();
        let mut own = 0;
        let mut cli = None;
        if !is_own {
            let clis = Clis { proc, ancestors: &ancestors, boot: &boot, window: window.as_ref() };
            let mut found = clis.find(&text).into_iter();
            if let Some((process, session)) = found.next() {
                cli = Some(process);
                // A CLI that tells no session is started anew for each: the window is what lasts, where there is one.
                if session.is_some() || window.is_none() {
                    terminals.extend(session);
                    terminals.extend(clis.running(&process));
                }
            }
            own = terminals.len();
            // A CLI inside another one's session.
            terminals.extend(found.filter_map(|(_, session)| session));
        }
        let leader = window.as_ref().and_then(|(_, leader)| proc.process(leader.pid).ok()?);
        terminals.extend(window.map(|(terminal, _)| terminal));
        if !is_own {
            let pane = text("TMUX").zip(text("TMUX_PANE"));
            terminals.extend(pane.and_then(|(server, pane)| tmux(proc, &server, &pane, &boot)));
        }
        // Where no CLI says whose it is, the window is.
        let own = if own == 0 { terminals.len().min(1) } else { own };
        Self {
            since: leader.and_then(|leader| proc.start_time(leader.pid).ok()?),
            process: cli.or(leader).or_else(|| ancestors.get(1).copied()),
            terminals,
            own,
            boot_id,
        }
    }

    /// Whether a new identity would be remembered by this.
    pub(super) fn is_own(&self, key: &Key) -> bool {
        self.terminals.iter().take(self.own).any(|terminal| terminal.key == *key)
    }

    /// What the terminal is called; the original's scripts write `unknown` where there is none.
    pub(crate) fn label(&self) -> &str {
        self.terminals.first().map_or("unknown", |terminal| &terminal.label)
    }
}

/// The CLIs among the ancestors of a process, by the variables that show what they start that they did.
struct Clis<'c> {
    proc: &'c Proc,
    ancestors: &'c [Process],
    boot: &'c str,
    window: Option<&'c (Terminal, ProcessKey)>,
}

impl Clis<'_> {
    /// The CLIs, the innermost first, each with its session where it tells that.
    fn find(&self, text: &dyn Fn(&str) -> Option<String>) -> Vec<(Process, Option<Terminal>)> {
        let mut found: Vec<(usize, Option<Terminal>)> = Vec::new();
        for mark in MARKS {
            let Some(value) = text(mark) else { continue };
            let has_it =
                |process: &Process| self.proc.variable(process.pid, mark).is_some_and(|own| own == value.as_bytes());
            // A window that was opened from a CLI's shell has the variable, too, and is no shell of that CLI.
            if self.window.is_some_and(|(_, leader)| self.ancestors.iter().any(|p| p.pid == leader.pid && has_it(p))) {
                continue;
            }
            // The CLI is the nearest one that was not told so itself.
            let Some(place) = self.ancestors.iter().skip(1).position(|process| !has_it(process)) else { continue };
            let process = self.ancestors[place + 1];
            let cli = CLI_VARIABLES.iter().find(|(name, _)| *name == mark);
            let session = cli.and_then(|(_, cli)| cli_session(cli, &value, ProcessKey::of(&process, self.boot)));
            found.push((place + 1, session));
        }
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(place, session)| (self.ancestors[place], session)).collect()
    }

    /// A CLI as a terminal.
    fn running(&self, process: &Process) -> Option<Terminal> {
        let program = self.proc.program(process.pid)?;
        if !CLI_PROGRAMS.contains(&program.as_str()) {
            return None;
        }
        let key = ProcessKey::of(process, self.boot);
        let label = match self.window {
            Some((window, _)) => window.label.clone(),
            None => format!("pid {}", process.pid),
        };
        Some(Terminal { key: Key::Process(key.clone()), label, process: Some(key) })
    }
}

/// This process, its parent, and so on.
fn ancestors(proc: &Proc) -> Vec<Process> {
    let mut ancestors = Vec::new();
    let mut pid = std::process::id();
    while let Ok(Some(process)) = proc.process(pid) {
        pid = process.parent;
        ancestors.push(process);
        if pid == 0 || ancestors.len() >= MOST_ANCESTORS {
            break;
        }
    }
    ancestors
}

/// The session of this process, if a CLI made it to run a command: its leader was told so, and the leader's parent, which
/// is the CLI, was not. That of a window that was opened from there was: a tmux server, a terminal emulator.
fn passing_session(proc: &Proc, ancestors: &[Process]) -> Option<u32> {
    let session = ancestors.first()?.session;
    let leader = ancestors.iter().position(|process| process.pid == session)?;
    let parent = ancestors.get(leader + 1)?;
    let is_from = |mark: &&str| {
        let marked = proc.variable(session, mark);
        marked.is_some() && marked != proc.variable(parent.pid, mark)
    };
    MARKS.iter().any(is_from).then_some(session)
}

/// A process's controlling terminal, and the leader of its session.
fn tty(proc: &Proc, process: &Process, boot: &str) -> Option<(Terminal, ProcessKey)> {
    let label = (process.terminal != 0).then(|| terminal_name(process.terminal))?;
    let leader = ProcessKey::of(&proc.process(process.session).ok()??, boot);
    Some((Terminal { key: Key::Tty(leader.clone()), label, process: Some(leader.clone()) }, leader))
}

fn cli_session(cli: &str, id: &str, process: ProcessKey) -> Option<Terminal> {
    // It becomes a part of a file's name.
    let id = SessionId::new(id).ok()?.as_str();
    let key = Key::Cli { cli: cli.to_owned(), id: id.to_owned() };
    Some(Terminal { key, label: format!("{cli} {id}"), process: Some(process) })
}

/// `TMUX=/tmp/tmux-1000/default,4711,0` and `TMUX_PANE=%3`.
fn tmux(proc: &Proc, server: &str, pane: &str, boot: &str) -> Option<Terminal> {
    let server: u32 = server.rsplit(',').nth(1)?.parse().ok()?;
    let number = pane.strip_prefix('%').filter(|number| number.parse::<u32>().is_ok())?;
    let server = ProcessKey::of(&proc.process(server).ok()??, boot);
    let key = Key::Pane { server: server.clone(), pane: number.to_owned() };
    Some(Terminal { key, label: format!("tmux {pane}"), process: Some(server) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_ends_with_the_process_that_it_is_known_by() {
        let proc = Proc::default();
        let us = proc.process(std::process::id()).unwrap().unwrap();
        let boot = proc.boot_id().unwrap();
        let key = |start: u64, boot: &str| ProcessKey { pid: us.pid, start, boot: boot.to_owned() };
        assert_eq!(key(us.start_ticks, &boot).is_alive(&proc), Some(true));
        assert_eq!(key(us.start_ticks + 1, &boot).is_alive(&proc), Some(false));
        assert_eq!(key(us.start_ticks, "another").is_alive(&proc), Some(false));
        let cli = |id| cli_session("claude", id, key(us.start_ticks, &boot));
        assert!(cli("0856b851-1111-4222-8333-0123456789ab").is_some());
        assert_eq!(cli("../../etc/passwd"), None);
        let pane = tmux(&proc, &format!("/tmp/a,b,{},0", us.pid), "%12", &boot).unwrap();
        assert_eq!((pane.process.unwrap().is_alive(&proc), pane.label.as_str()), (Some(true), "tmux %12"));
        assert_eq!(tmux(&proc, &format!("/tmp/a,{},0", us.pid), "12", &boot), None);
    }

    #[test]
    fn a_terminal_that_a_cli_made_for_one_command_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let process = |pid: u32, parent: u32, session: u32, terminal: u32, environment: &str| {
            let folder = root.path().join(pid.to_string());
            std::fs::create_dir_all(&folder).unwrap();
            let stat =
                format!("{pid} (x) S {parent} {pid} {session} {terminal} -1 0 1 2 3 4 5 6 7 8 20 0 1 0 {pid} 9 9\n");
            for (name, content) in [("stat", stat.as_str()), ("environ", environment), ("comm", "node\n")] {
                let mut file = std::fs::File::create(folder.join(name)).unwrap();
                std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
            }
        };
        let (us, shell, parent, window) = (std::process::id(), 7_000_003, 7_000_002, 7_000_001);
        let labels_below = |of_window: &str, of_shell: &str, of_parent: &str, terminal: u32| {
            process(1, 0, 1, 0, "");
            process(window, 1, window, 0x8803, of_window);
            process(parent, window, window, 0x8803, of_parent);
            process(shell, parent, shell, terminal, of_shell);
            process(us, shell, shell, terminal, of_shell);
            let variables: Vec<(&str, &str)> = of_shell.split('\0').filter_map(|text| text.split_once('=')).collect();
            let variable =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
            let anchor = Anchor::of_process(&Proc::new(root.path()), &variable);
            let labels: Vec<String> = anchor.terminals.into_iter().map(|terminal| terminal.label).collect();
            (labels.join(", "), anchor.process.map(|process| process.pid))
        };
        let labels = |of_shell: &str, of_parent: &str| labels_below("", of_shell, of_parent, 0x8807);
        let codex = "TERM=dumb\0CODEX_THREAD_ID=01a1fa96-272e-7130-af40-8677bf757d12\0";
        // The session, the CLI that runs it, the window.
        let known = "codex 01a1fa96-272e-7130-af40-8677bf757d12, /dev/pts/3, /dev/pts/3".to_owned();
        assert_eq!(labels(codex, "TERM=xterm\0"), (known.clone(), Some(parent)));
        assert_eq!(labels(codex, "CODEX_THREAD_ID=another\0"), (known, Some(parent)), "one CLI inside another");
        assert_eq!(labels("GEMINI_CLI=1\0", ""), ("/dev/pts/3".to_owned(), Some(parent)));
        // In a window that was opened by a CLI everything has its variables, and is not in its session.
        assert_eq!(labels_below(codex, codex, codex, 0), ("/dev/pts/3".to_owned(), Some(window)));
        assert_eq!(
            labels_below("", codex, codex, 0).0,
            "codex 01a1fa96-272e-7130-af40-8677bf757d12, /dev/pts/3, /dev/pts/3"
        );
        // Nobody's, and a window that was opened from a CLI's tool.
        assert_eq!(labels("", ""), ("/dev/pts/7".to_owned(), Some(shell)));
        assert_eq!(labels(codex, codex), ("/dev/pts/7".to_owned(), Some(shell)));
    }
}

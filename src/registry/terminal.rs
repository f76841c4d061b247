//! Which terminal this process works at, so that three windows are three sessions.
//!
//! A window's shell has a controlling terminal. What an AI coding CLI starts in its window has none, or one that lasts for
//! this command alone (Gemini CLI; Codex, where the model asks for it): it is known by the CLI's own session id, by its tmux
//! pane, or by the nearest ancestor that has a terminal which lasts.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use crate::filesystem::proc::{Proc, Process};
use crate::policy::session_id::SessionId;

/// Variables in which CLIs tell what they start their own session's id: Claude Code since 2.1.132, Codex since 0.93.
const CLI_VARIABLES: [(&str, &str); 2] = [("CLAUDE_CODE_SESSION_ID", "claude"), ("CODEX_THREAD_ID", "codex")];
/// Variables that show a program that a CLI started it.
const MARKS: [&str; 3] = [CLI_VARIABLES[0].0, CLI_VARIABLES[1].0, "GEMINI_CLI"];
/// The process id of the Claude Code that started this.
const CLAUDE_PID: &str = "CLAUDE_PID";
/// Nobody's family tree is deeper.
const MOST_ANCESTORS: usize = 64;

/// What a terminal is known by for as long as it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Key {
    /// A controlling terminal, by the leader of its session: the device is used again by others.
    Tty { leader: u32, start: u64, boot: String },
    /// A pane, whose number is its own as long as its tmux server runs.
    Pane { server: u32, start: u64, boot: String, pane: String },
    /// A CLI's session.
    Cli { cli: String, id: String },
}

/// A terminal and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terminal {
    pub(crate) key: Key,
    /// For people: `/dev/pts/3`, `tmux %4`, `claude 0856b851-…`.
    pub(crate) label: String,
}

/// The terminals that this process works at, the nearest first, and the process that stands for its session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Anchor {
    pub(crate) terminals: Vec<Terminal>,
    /// The leader of the terminal's session, else the CLI, else the parent.
    pub(crate) process: Option<Process>,
    pub(crate) boot_id: Option<String>,
}

impl Key {
    /// The name of a file for it.
    pub(super) fn file_name(&self) -> String {
        let short = |boot: &str| boot.chars().filter(char::is_ascii_alphanumeric).take(8).collect::<String>();
        match self {
            Self::Tty { leader, start, boot } => format!("tty-{leader}-{start}-{}.json", short(boot)),
            Self::Pane { server, start, boot, pane } => {
                format!("pane-{server}-{start}-{}-{pane}.json", short(boot))
            }
            Self::Cli { cli, id } => format!("{cli}-{id}.json"),
        }
    }

    /// Whether it still lasts; nothing where that cannot be told. `host` is the machine that it is on.
    pub(crate) fn is_alive(&self, host: &str, proc: &Proc) -> Option<bool> {
        let (pid, start, boot) = match self {
            Self::Tty { leader, start, boot } => (leader, start, boot),
            Self::Pane { server, start, boot, .. } => (server, start, boot),
            Self::Cli { .. } => return None,
        };
        if proc.host().ok()? != host {
            return None;
        }
        if proc.boot_id().ok()? != *boot {
            return Some(false);
        }
        Some(proc.start_ticks(*pid).ok()? == Some(*start))
    }
}

impl Anchor {
    /// Where this process is.
    pub(crate) fn of_process(proc: &Proc, variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let boot_id = proc.boot_id().ok();
        let ancestors = ancestors(proc);
        let boot = boot_id.clone().unwrap_or_default();
        let passing = passing_session(proc, &ancestors);
        let lasting_tty =
            |process: &Process| (Some(process.session) != passing).then(|| tty(proc, process, &boot)).flatten();
        let own = ancestors.first().and_then(lasting_tty);
        let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
        let mut terminals: Vec<Terminal> = own.iter().cloned().collect();
        let nearest = ancestors.iter().find_map(lasting_tty);
        if own.is_none() {
            terminals.extend(CLI_VARIABLES.iter().filter_map(|(name, cli)| cli_session(cli, &text(name)?)));
            terminals.extend(
                text("TMUX").zip(text("TMUX_PANE")).and_then(|(server, pane)| tmux(proc, &server, &pane, &boot)),
            );
            terminals.extend(nearest.clone());
        }
        let leader = || match &nearest.as_ref()?.key {
            Key::Tty { leader, .. } => proc.process(*leader).ok()?,
            Key::Pane { .. } | Key::Cli { .. } => None,
        };
        let cli = || {
            let pid: u32 = text(CLAUDE_PID)?.parse().ok()?;
            ancestors.iter().skip(1).find(|process| process.pid == pid).copied()
        };
        let process = if own.is_some() { leader() } else { cli().or_else(leader) };
        Self { process: process.or_else(|| ancestors.get(1).copied()), terminals, boot_id }
    }

    /// What the terminal is called; the original's scripts write `unknown` where there is none.
    pub(crate) fn label(&self) -> &str {
        self.terminals.first().map_or("unknown", |terminal| &terminal.label)
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

/// A process's controlling terminal.
fn tty(proc: &Proc, process: &Process, boot: &str) -> Option<Terminal> {
    let label = (process.terminal != 0).then(|| device_name(process.terminal))?;
    let leader = proc.process(process.session).ok()??;
    Some(Terminal { key: Key::Tty { leader: leader.pid, start: leader.start_ticks, boot: boot.to_owned() }, label })
}

/// What a terminal's device is called (the kernel's `Documentation/admin-guide/devices.txt`).
fn device_name(device: u32) -> String {
    // As the kernel encodes a device number for programs.
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00));
    match (major, minor) {
        (136..=143, _) => format!("/dev/pts/{}", (major - 136) * 256 + minor),
        (4, 64..) => format!("/dev/ttyS{}", minor - 64),
        (4, _) => format!("/dev/tty{minor}"),
        (5, 1) => "/dev/console".to_owned(),
        _ => format!("tty {major}:{minor}"),
    }
}

fn cli_session(cli: &str, id: &str) -> Option<Terminal> {
    // It becomes a part of a file's name.
    let id = SessionId::new(id).ok()?.as_str();
    Some(Terminal { key: Key::Cli { cli: cli.to_owned(), id: id.to_owned() }, label: format!("{cli} {id}") })
}

/// `TMUX=/tmp/tmux-1000/default,4711,0` and `TMUX_PANE=%3`.
fn tmux(proc: &Proc, server: &str, pane: &str, boot: &str) -> Option<Terminal> {
    let server: u32 = server.rsplit(',').nth(1)?.parse().ok()?;
    let number = pane.strip_prefix('%').filter(|number| number.parse::<u32>().is_ok())?;
    let start = proc.start_ticks(server).ok()??;
    let key = Key::Pane { server, start, boot: boot.to_owned(), pane: number.to_owned() };
    Some(Terminal { key, label: format!("tmux {pane}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_their_names() {
        for (device, name) in [
            (0x8803, "/dev/pts/3"),
            (0x8901, "/dev/pts/257"),
            (0x401, "/dev/tty1"),
            (0x440, "/dev/ttyS0"),
            (0x501, "/dev/console"),
            (0xcc40, "tty 204:64"),
        ] {
            assert_eq!(device_name(device), name, "{device:x}");
        }
    }

    #[test]
    fn a_terminal_ends_with_the_process_that_it_is_known_by() {
        let proc = Proc::default();
        let us = proc.process(std::process::id()).unwrap().unwrap();
        let (host, boot) = (proc.host().unwrap(), proc.boot_id().unwrap());
        let key = |start: u64, boot: &str| Key::Tty { leader: us.pid, start, boot: boot.to_owned() };
        assert_eq!(key(us.start_ticks, &boot).is_alive(&host, &proc), Some(true));
        assert_eq!(key(us.start_ticks + 1, &boot).is_alive(&host, &proc), Some(false));
        assert_eq!(key(us.start_ticks, "another").is_alive(&host, &proc), Some(false));
        assert_eq!(key(us.start_ticks + 1, &boot).is_alive("elsewhere", &proc), None);
        let cli = cli_session("claude", "0856b851-1111-4222-8333-0123456789ab").unwrap().key;
        assert_eq!(cli.is_alive(&host, &proc), None);
        assert_eq!(cli_session("claude", "../../etc/passwd"), None);
        let pane = tmux(&proc, &format!("/tmp/a,b,{},0", us.pid), "%12", &boot).unwrap();
        assert_eq!((pane.key.is_alive(&host, &proc), pane.label.as_str()), (Some(true), "tmux %12"));
        assert_eq!(tmux(&proc, &format!("/tmp/a,{},0", us.pid), "12", &boot), None);
    }

    #[test]
    fn a_terminal_that_a_cli_made_for_one_command_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let process = |pid: u32, parent: u32, session: u32, terminal: u32, environment: &str| {
            let folder = root.path().join(pid.to_string());
            std::fs::create_dir_all(&folder).unwrap();
            let stat =
                format!("{pid} (x) S {parent} {pid} {session} {terminal} -1 0 1 2 3 4 5 6 7 8 20 0 1 0 {pid} 9\n");
            for (name, content) in [("stat", stat.as_str()), ("environ", environment)] {
                let mut file = std::fs::File::create(folder.join(name)).unwrap();
                std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
            }
        };
        let (us, shell, parent, window) = (std::process::id(), 7_000_003, 7_000_002, 7_000_001);
        let labels = |of_shell: &str, of_parent: &str| {
            process(window, 1, window, 0x8803, "");
            process(parent, window, window, 0x8803, of_parent);
            process(shell, parent, shell, 0x8807, of_shell);
            process(us, shell, shell, 0x8807, of_shell);
            let variables: Vec<(&str, &str)> = of_shell.split('\0').filter_map(|text| text.split_once('=')).collect();
            let variable =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
            let anchor = Anchor::of_process(&Proc::new(root.path()), &variable);
            let labels: Vec<String> = anchor.terminals.into_iter().map(|terminal| terminal.label).collect();
            (labels.join(", "), anchor.process.map(|process| process.pid))
        };
        let codex = "TERM=dumb\0CODEX_THREAD_ID=01a1fa96-272e-7130-af40-8677bf757d12\0";
        let known = "codex 01a1fa96-272e-7130-af40-8677bf757d12, /dev/pts/3".to_owned();
        assert_eq!(labels(codex, "TERM=xterm\0"), (known.clone(), Some(window)));
        assert_eq!(labels(codex, "CODEX_THREAD_ID=another\0"), (known, Some(window)), "one CLI inside another");
        assert_eq!(labels("GEMINI_CLI=1\0", ""), ("/dev/pts/3".to_owned(), Some(window)));
        // Nobody's, and a window that was opened from a CLI's tool.
        assert_eq!(labels("", ""), ("/dev/pts/7".to_owned(), Some(shell)));
        assert_eq!(labels(codex, codex), ("/dev/pts/7".to_owned(), Some(shell)));
    }
}

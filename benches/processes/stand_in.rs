//! Processes that look like others: this program under their names and with their arguments.
//!
//! A stand-in says on stdout `+` before it starts another one, `-` where that failed, in the end its role and pid, and then
//! waits until its stdin ends. That is a pipe which the benchmark alone holds open at the other end, so that all of them end
//! with it, whatever ends it.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

/// The variable that tells a stand-in its role.
const ROLE: &str = "SESSION_SWEEP_BENCH_ROLE";
/// The session that those who were left behind belong to: its record says that it is over.
pub(crate) const OVER: &str = "0b5e55ed-0000-4000-8000-000000000000";
/// So many processes belong to one desk, itself included.
pub(crate) const DESK: usize = 100;
/// How many helpers a CLI has.
const HELPERS: usize = 3;
/// How many of a desk run a script that is nobody's CLI.
const SCRIPTS: usize = 5;

/// The programs that scripts and others are to look like.
pub(crate) const PROGRAMS: [&str; 13] = [
    "claude",
    "node",
    "bash",
    "nginx",
    "postgres",
    "php-fpm8.2",
    "redis-server",
    "vim",
    "sleep",
    "java",
    "python3",
    "chrome",
    "supervisord",
];

/// What a stand-in does and stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Starts desks and adopts whose parents end.
    Leader,
    /// Starts the rest, so that those have a parent that lives.
    Desk,
    /// A CLI whose parent lives.
    Cli,
    /// Starts a process and ends.
    Parent,
    /// A helper that a CLI left behind.
    Left,
    /// A CLI whose parent has ended, which proves nothing.
    Adrift,
    /// Anything else.
    Other,
}

const ROLES: [(Role, &str); 7] = [
    (Role::Leader, "leader"),
    (Role::Desk, "desk"),
    (Role::Cli, "cli"),
    (Role::Parent, "parent"),
    (Role::Left, "left"),
    (Role::Adrift, "adrift"),
    (Role::Other, "other"),
];

impl Role {
    fn name(self) -> &'static str {
        ROLES.iter().find(|(role, _)| *role == self).unwrap().1
    }

    /// The role of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ROLES.iter().find(|(_, word)| *word == name).map(|(role, _)| *role)
    }
}

/// The role of this process, if it is a stand-in, and which of its kind it is.
pub(crate) fn role() -> Option<(Role, usize)> {
    let text = std::env::var(ROLE).ok()?;
    let (name, number) = text.split_once(' ')?;
    Some((Role::named(name)?, number.parse().ok()?))
}

/// The variable that gives a role to a process that is to be started.
pub(crate) fn with_role(command: &mut Command, role: Role, number: usize) {
    command.env(ROLE, format!("{} {number}", role.name()));
}

/// What a stand-in does. `number` is how many desks a leader has, else which desk it is of.
pub(crate) fn main((role, number): (Role, usize)) -> ExitCode {
    let mut started = Started::default();
    match role {
        Role::Leader => {
            // A session of its own: a scan never touches its own one.
            rustix::process::setsid().unwrap();
            rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
            (0..number).for_each(|desk| started.start(Role::Desk, desk, "supervisord -n"));
        }
        Role::Desk => desk(&mut started, number),
        Role::Cli => (0..HELPERS).for_each(|place| started.start(Role::Other, number, helper(place))),
        Role::Parent => match number % HELPERS {
            0 => started.start(Role::Adrift, number, "claude"),
            place => started.start(Role::Left, number, helper(place)),
        },
        Role::Left | Role::Adrift | Role::Other => {}
    }
    say(&format!("{} {}\n", role.name(), std::process::id()));
    if role != Role::Parent {
        let _ = std::io::stdin().read(&mut [0]);
    }
    if role == Role::Leader {
        // The last to leave, when it has seen everybody off.
        while rustix::process::wait(rustix::process::WaitOptions::empty()).is_ok() {}
    }
    ExitCode::SUCCESS
}

fn desk(started: &mut Started, number: usize) {
    started.start(Role::Cli, number, if number.is_multiple_of(2) { "claude --resume" } else { "node /usr/bin/gemini" });
    started.start(Role::Parent, number, "bash -l");
    for place in 0..SCRIPTS {
        started.start(Role::Other, number, if place == 0 { "python3 app.py" } else { "node /srv/app/server.js" });
    }
    let others = ["nginx -g", "postgres -D /var", "vim claude.md", "sleep 600", "java -jar x.jar", "chrome --type=x"];
    let others = others.iter().chain(&["php-fpm8.2 -F", "redis-server *:6379", "bash -c gemini"]);
    // The CLI's helpers count, the parent that ends does not: what it starts does.
    let rest = DESK - 1 - (1 + HELPERS) - 1 - SCRIPTS;
    others.cycle().take(rest).for_each(|line| started.start(Role::Other, number, line));
}

fn helper(place: usize) -> &'static str {
    let helpers: [&str; HELPERS] = [
        "node /home/u/.npm/_npx/1/node_modules/.bin/mcp-server-fs /srv",
        "node /srv/node_modules/@modelcontextprotocol/server-git/index.js",
        "bash -c -l /home/u/.claude/shell-snapshots/snapshot-bash-1.sh",
    ];
    helpers[place]
}

/// Says a line at once, so that it is never torn. Where the benchmark has ended nobody listens, and stdin has ended, too.
fn say(line: &str) {
    let _ = std::io::stdout().write_all(line.as_bytes());
}

/// Who was started.
#[derive(Default)]
struct Started {
    /// There may be no more processes.
    is_full: bool,
    children: Vec<Child>,
}

impl Started {
    /// Starts a stand-in with this command line.
    fn start(&mut self, role: Role, number: usize, line: &str) {
        if self.is_full {
            return;
        }
        say("+\n");
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let mut command = Command::new(programs().join(name));
        command.arg0(name).args(words).stdin(Stdio::inherit()).stdout(Stdio::inherit());
        with_role(&mut command, role, number);
        if role == Role::Left {
            command.env("CLAUDECODE", "1").env("CLAUDE_CODE_SESSION_ID", OVER);
        }
        if let Ok(mut child) = command.spawn() {
            if role == Role::Parent {
                child.wait().unwrap();
            }
            self.children.push(child);
        } else {
            self.is_full = true;
            say("-\n");
        }
    }
}

/// Where the programs of all stand-ins are: beside this one's, or, for the leader, as it was told.
fn programs() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().unwrap();
    if folder.ends_with(FOLDER) { folder.to_owned() } else { folder.with_file_name(FOLDER) }
}

/// What the folder of the stand-ins' programs is called; beside that of the installed ones.
pub(crate) const FOLDER: &str = "stand-ins";

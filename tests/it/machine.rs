//! What only some machines can do: run as somebody else, meddle with system calls, mount a small disk.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use walkdir::WalkDir;

use crate::world::World;

/// The user `nobody`, who owns nothing.
pub(crate) const NOBODY: u32 = 65534;

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says loudly that a test cannot run here. Where `CI` is set that is a failure.
#[track_caller]
pub(crate) fn cannot_run(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "this test has to run in CI: {why}");
    // Not `eprintln!`, which is kept from whoever runs the tests.
    let _ = writeln!(std::io::stderr(), "NOT TESTED ({}): {why}", std::thread::current().name().unwrap_or("?"));
}

/// The command as a user whom permissions bind: the one who runs the tests, or `nobody` when that is root. The whole
/// world becomes that user's, so set permissions before and owners after.
pub(crate) fn as_ordinary_user(world: &World, command: &Command) -> Command {
    if !is_root() {
        return copy_of(command);
    }
    // The binary itself may lie where only root can go.
    let program = world.root().join("program");
    if !program.exists() && fs_err::hard_link(command.get_program(), &program).is_err() {
        // By another process: a file that this one writes stays busy as long as a child of another test has it.
        assert!(Command::new("cp").arg(command.get_program()).arg(&program).status().unwrap().success());
    }
    for entry in WalkDir::new(world.root()).into_iter().map(Result::unwrap).filter(|entry| entry.path() != program) {
        std::os::unix::fs::lchown(entry.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut theirs = rebuilt(&program, command);
    theirs.uid(NOBODY).gid(NOBODY);
    theirs
}

/// The command as a user who may have no more processes and threads, or nothing (said loudly) where there is no prlimit.
#[track_caller]
pub(crate) fn without_threads(world: &World, command: &Command) -> Option<Command> {
    let theirs = as_ordinary_user(world, command);
    let mut limited = Command::new(installed("prlimit")?);
    limited.args(["--nproc=1", "--"]).arg(theirs.get_program()).args(theirs.get_args());
    settle_as(&mut limited, &theirs);
    if is_root() {
        limited.uid(NOBODY).gid(NOBODY);
    }
    Some(limited)
}

/// The command under strace with `options`, or nothing (said loudly) where there is no strace.
#[track_caller]
pub(crate) fn strace(options: &[&str], command: &Command) -> Option<Command> {
    strace_alone(&[&["-f"], options].concat(), command)
}

/// The same, but only the command's own first thread is traced, and what it starts is not slowed down.
#[track_caller]
pub(crate) fn strace_alone(options: &[&str], command: &Command) -> Option<Command> {
    let mut traced = Command::new(installed("strace")?);
    traced.arg("-qq");
    if !options.contains(&"-o") {
        traced.args(["-o", "/dev/null"]);
    }
    traced.args(options).arg(command.get_program()).args(command.get_args());
    settle_as(&mut traced, command);
    Some(traced)
}

/// The command on a terminal of its own, or nothing (said loudly) where there is no `script`. All that the terminal shows
/// comes out on stdout.
#[track_caller]
pub(crate) fn on_terminal(command: &Command) -> Option<Command> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''")));
    let line = quoted.collect::<Vec<_>>().join(" ");
    let mut shown = Command::new(installed("script")?);
    shown.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    settle_as(&mut shown, command);
    Some(shown)
}

/// Where a program is; nothing (said loudly) where it is not installed.
#[track_caller]
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    if found.is_none() {
        cannot_run(&format!("{program} is not installed"));
    }
    found
}

/// A file system of `kilobytes` in memory, mounted until it is dropped; nothing (said loudly) where that is forbidden.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    #[track_caller]
    pub(crate) fn at(folder: &Path, kilobytes: u32) -> Option<Self> {
        if !is_root() {
            cannot_run("only root can mount a small disk");
            return None;
        }
        let size = format!("size={kilobytes}k,mode=755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(folder).output();
        if mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(folder.to_owned()));
        }
        cannot_run(&format!("cannot mount a small disk: {mounted:?}"));
        None
    }

    /// Makes it read-only.
    pub(crate) fn freeze(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Sets a path's permission bits.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The same command once more.
pub(crate) fn copy_of(command: &Command) -> Command {
    rebuilt(Path::new(command.get_program()), command)
}

fn rebuilt(program: &Path, command: &Command) -> Command {
    let mut again = Command::new(program);
    again.args(command.get_args());
    settle_as(&mut again, command);
    again
}

/// Gives `to` the environment and the folder of another command.
fn settle_as(to: &mut Command, from: &Command) {
    to.env_clear();
    to.envs(from.get_envs().filter_map(|(name, value)| Some((name, value?))));
    to.current_dir(from.get_current_dir().unwrap());
}

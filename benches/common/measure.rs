//! Wall time, CPU time and peak memory of one command.
//!
//! The command is started by a small process of our own (this program again), because a child's peak memory begins with
//! that of the process it was forked from.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use super::program::hidden;

/// What one run cost.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// From before the start until after the end.
    pub(crate) wall: Duration,
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Peak resident memory in KiB.
    pub(crate) peak: u64,
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
}

/// Where nobody reads the output.
#[allow(dead_code, reason = "not every benchmark has answers that nobody reads")]
pub(crate) const NOWHERE: &str = "/dev/null";

/// Runs `command` (its program, arguments and environment) with its output in the file `output`.
pub(crate) fn measure(command: &Command, output: &Path) -> Cost {
    let mut parent = hidden("measure");
    parent.arg(output).arg(command.get_program()).args(command.get_args()).env_clear();
    parent.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = parent.stdin(Stdio::null()).stderr(Stdio::null()).output().expect("the measuring process must start");
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<i64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let [wall, cpu, peak, code] = numbers[..] else { panic!("could not run {}", command.get_program().display()) };
    Cost {
        wall: Duration::from_nanos(wall as u64),
        cpu: Duration::from_micros(cpu as u64),
        peak: peak as u64,
        code: i32::try_from(code).ok().filter(|code| *code >= 0),
    }
}

/// The small process: runs the command, prints what it cost.
#[expect(clippy::zombie_processes, reason = "wait4 waits for it, not the handle")]
pub(crate) fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let (Some(output), Some(program)) = (arguments.next(), arguments.next()) else {
        panic!("measure OUTPUT COMMAND ARGUMENT…")
    };
    let mut command = Command::new(program);
    command.args(arguments).stdout(File::options().write(true).create(true).truncate(true).open(output).unwrap());
    let start = Instant::now();
    let child = command.spawn().expect("the command must start");
    let (status, usage) = wait(child.id()).expect("the command's end");
    let wall = start.elapsed().as_nanos();
    let micros = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
    let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 };
    println!("{wall} {} {} {code}", micros(usage.ru_utime) + micros(usage.ru_stime), usage.ru_maxrss);
    ExitCode::SUCCESS
}

#[expect(unsafe_code, reason = "no safe crate at hand offers wait4, the one call that tells one child's peak memory")]
fn wait(pid: u32) -> io::Result<(i32, libc::rusage)> {
    let mut status = 0;
    // SAFETY: rusage is plain integers, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the types that wait4 writes.
    let waited = unsafe { libc::wait4(pid as i32, &raw mut status, 0, &raw mut usage) };
    if waited < 0 { Err(io::Error::last_os_error()) } else { Ok((status, usage)) }
}

//! Asks a program of the machine: found through `PATH`, without a shell, with a time limit.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};

/// A program that has said nothing by then will not.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than any of these programs says: a container's description has 10 kB, and 200 are asked for at once.
const LONGEST: usize = 1 << 26;
/// How much of it is taken at once, in bytes.
const AT_ONCE: usize = 1 << 14;
/// How long it is waited between two looks whether a program has ended.
const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(2);

/// What came of asking a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There is no such program.
    NotInstalled,
    /// It ended with 0 and said this.
    Said(String),
    /// It ended with another code, was ended, or could not be started; in its words where it said any.
    Failed(String),
}

/// Where programs are found and what they are told about the machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Programs {
    /// The value of `PATH`.
    pub(crate) path: OsString,
    /// Variables for every program.
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

impl Programs {
    /// Runs `program` with these arguments.
    pub(crate) fn ask(&self, program: &str, arguments: &[&str]) -> Answer {
        match self.find(program) {
            Some(path) => self.ask_at(&path, arguments),
            None => Answer::NotInstalled,
        }
    }

    /// The same in the machine's own time zone, whatever this process was told.
    pub(crate) fn ask_here(&self, program: &str, arguments: &[&str]) -> Answer {
        match self.find(program) {
            Some(path) => self.run(&path, arguments, None, PATIENCE),
            None => Answer::NotInstalled,
        }
    }

    /// Runs the program at `path` with these arguments.
    pub(crate) fn ask_at(&self, path: &Path, arguments: &[&str]) -> Answer {
        self.ask_within(path, arguments, PATIENCE)
    }

    /// The same for one that is given more time, or less.
    pub(crate) fn ask_within(&self, path: &Path, arguments: &[&str], patience: Duration) -> Answer {
        self.run(path, arguments, Some("UTC"), patience)
    }

    fn run(&self, path: &Path, arguments: &[&str], zone: Option<&str>, patience: Duration) -> Answer {
        let mut command = Command::new(path);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Words and times in the one form that is understood here.
        command.env("LC_ALL", "C").env_remove("TZ").envs(zone.map(|zone| ("TZ", zone)));
        command.env("SYSTEMD_COLORS", "0").env("SYSTEMD_PAGER", "");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        // Ctrl-C at a terminal is for whoever runs this, who finishes the item that it is at, not for what the item needs.
        command.process_group(0);
        match command.spawn() {
            Ok(child) => answer_of(child, &path.to_string_lossy(), patience),
            Err(error) => Answer::Failed(format!("{}: {error}", path.display())),
        }
    }

    /// Where `PATH` has it.
    pub(crate) fn find(&self, program: &str) -> Option<PathBuf> {
        let folders = std::env::split_paths(&self.path).filter(|folder| folder.is_absolute());
        let is_program = |file: &PathBuf| {
            file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
        };
        folders.map(|folder| folder.join(program)).find(is_program)
    }
}

fn answer_of(mut child: Child, name: &str, patience: Duration) -> Answer {
    let mut voices = [Voice::of(child.stdout.take()), Voice::of(child.stderr.take())];
    let deadline = Instant::now() + patience;
    let mut pause = SHORTEST_PAUSE;
    let status = loop {
        // Most end at once when they have said what they say, some take their time.
        pause = if hear(&mut voices, pause) { SHORTEST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => {}
            outcome => {
                if matches!(outcome, Ok(None)) {
                    // It is ours and nobody has waited for it: its number names nobody else, and no other group.
                    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                }
                let _ = child.kill();
                let _ = child.wait();
                let why = outcome.err().map_or_else(
                    || format!("did not answer within {} s", patience.as_secs()),
                    |error| error.to_string(),
                );
                return Answer::Failed(format!("{name}: {why}"));
            }
        }
    };
    // What it left running may hold the other end open.
    let end = Instant::now() + Duration::from_secs(1);
    while voices.iter().any(|voice| voice.pipe.is_some()) && Instant::now() < end {
        hear(&mut voices, LONGEST_PAUSE);
    }
    let [stdout, stderr] = voices.map(|voice| String::from_utf8_lossy(&voice.said).into_owned());
    if status.success() {
        return Answer::Said(stdout);
    }
    // What it said before it failed ends with why, where that is not on stderr.
    let said = Some(stderr.trim()).filter(|said| !said.is_empty()).or_else(|| stdout.trim().lines().last());
    Answer::Failed(said.map_or_else(|| format!("{name}: {status}"), |said| said.replace('\n', "; ")))
}

/// What a program says by one of its pipes.
struct Voice {
    /// Nothing once it is closed at the other end.
    pipe: Option<OwnedFd>,
    said: Vec<u8>,
}

impl Voice {
    fn of(pipe: Option<impl Into<OwnedFd>>) -> Self {
        Self { pipe: pipe.map(Into::into), said: Vec::new() }
    }

    /// Takes what is there. More than anybody says is heard, so that a full pipe stops no program, and not kept.
    fn take(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        self.said.truncate(LONGEST);
        self.said.reserve(AT_ONCE);
        match rustix::io::read(pipe, spare_capacity(&mut self.said)) {
            Ok(1..) | Err(Errno::INTR | Errno::AGAIN) => {}
            Ok(0) | Err(_) => self.pipe = None,
        }
    }
}

/// Hears whoever says something within this time; whether anybody did.
fn hear(voices: &mut [Voice], within: Duration) -> bool {
    let mut open: Vec<&mut Voice> = voices.iter_mut().filter(|voice| voice.pipe.is_some()).collect();
    let pipes = open.iter().filter_map(|voice| voice.pipe.as_ref());
    let mut waiting: Vec<PollFd<'_>> = pipes.map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect();
    // One that is interrupted has heard nobody.
    let _ = poll(&mut waiting, Timespec::try_from(within).ok().as_ref());
    let ready: Vec<bool> = waiting.iter().map(|pipe| !pipe.revents().is_empty()).collect();
    for (voice, _) in open.iter_mut().zip(&ready).filter(|(_, is_ready)| **is_ready) {
        voice.take();
    }
    ready.contains(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs() -> Programs {
        Programs { path: "/usr/bin:/bin".into(), variables: vec![("GREETING", "hello".into())] }
    }

    #[test]
    fn a_program_that_is_not_there_is_told_apart_from_one_that_fails() {
        assert_eq!(programs().ask("no-such-program", &[]), Answer::NotInstalled);
        assert_eq!(Programs::default().ask("sh", &[]), Answer::NotInstalled);
        let failed = programs().ask("sh", &["-c", "echo no reason >&2; exit 3"]);
        assert_eq!(failed, Answer::Failed("no reason".to_owned()));
        let failed = programs().ask("sh", &["-c", "echo checking; echo not running; exit 1"]);
        assert_eq!(failed, Answer::Failed("not running".to_owned()));
        let Answer::Failed(why) = programs().ask("false", &[]) else { panic!("false says so") };
        assert!(why.ends_with("false: exit status: 1"), "{why}");
    }

    #[test]
    fn a_folder_of_wherever_this_is_started_is_no_place_for_programs() {
        // Tests are run in the package's folder.
        assert!(Path::new("tests/fixtures/schedule/stand-in").exists());
        let programs = Programs { path: "tests/fixtures/schedule".into(), variables: Vec::new() };
        assert_eq!(programs.find("stand-in"), None);
    }

    #[test]
    fn a_program_hears_its_language_its_zone_and_its_variables() {
        let said = programs().ask("sh", &["-c", "echo $LC_ALL $TZ $GREETING"]);
        assert_eq!(said, Answer::Said("C UTC hello\n".to_owned()));
        let said = programs().ask_here("sh", &["-c", "echo $LC_ALL $TZ $GREETING"]);
        assert_eq!(said, Answer::Said("C hello\n".to_owned()));
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let started = Instant::now();
        let answer = programs().ask_within(Path::new("/bin/sleep"), &["600"], Duration::from_millis(50));
        assert!(matches!(&answer, Answer::Failed(why) if why.contains("did not answer")), "{answer:?}");
        assert!(started.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_program_has_a_group_of_its_own() {
        // Pid, name, state, parent, group.
        let said =
            programs().ask("sh", &["-c", "read pid name state parent group rest </proc/$$/stat; echo $pid $group"]);
        let Answer::Said(text) = said else { panic!("{said:?}") };
        let (pid, group) = text.trim().split_once(' ').unwrap();
        assert_eq!(pid, group);
    }

    #[test]
    fn with_a_program_that_does_not_end_goes_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! >'{}'; wait", told.display());
        let answer = programs().ask_within(Path::new("/bin/sh"), &["-c", &script], Duration::from_secs(1));
        assert!(matches!(&answer, Answer::Failed(why) if why.contains("did not answer")), "{answer:?}");
        let pid = fs_err::read_to_string(told).unwrap();
        // Killed by now; somebody else collects it, or nobody does.
        let stat = fs_err::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        let is_gone = |stat: &str| !stat.contains("(sleep) S") && !stat.contains("(sleep) R");
        assert!(is_gone(&stat), "{stat}");
    }

    #[test]
    fn what_is_said_before_others_are_left_behind_counts() {
        let said = programs().ask("sh", &["-c", "echo here; sleep 3 & exit 0"]);
        assert_eq!(said, Answer::Said("here\n".to_owned()));
    }

    #[test]
    fn more_than_a_pipe_holds_is_heard() {
        let Answer::Said(text) = programs().ask("head", &["-c", "500000", "/dev/zero"]) else { panic!("it said") };
        assert_eq!(text.len(), 500_000);
    }
}

//! Runs that are killed before each of their system calls in turn.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::machine::strace;
use crate::numbered::Numbered;
use crate::world::{Ran, World};

const THREADS: usize = 4;

/// What changes a file or an open one; whatever comes between two of these makes no difference to what is on the disk.
const CHANGING: [&str; 17] = [
    "open",
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "fcntl",
    "flock",
    "ftruncate",
    "fchmod",
    "mkdir",
    "mkdirat",
];

pub(crate) fn is_changing(name: &str) -> bool {
    CHANGING.contains(&name)
}

/// Something on which a command can be run.
pub(crate) trait Scene {
    /// The name of the lock that its commands take: before it they only read.
    const LOCK: &str;

    fn root(&self) -> &Path;

    fn command(&self, arguments: &[&str]) -> Command;
}

impl Scene for World {
    const LOCK: &str = "session_map.lock";

    fn root(&self) -> &Path {
        self.root()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.command(arguments)
    }
}

impl Scene for Numbered {
    const LOCK: &str = "claude_sessions.lock";

    fn root(&self) -> &Path {
        self.world.root()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.command(arguments)
    }
}

/// The system calls that the command makes in a fresh scene from its look for the lock on, as name and number of its kind.
fn calls_of<S: Scene>(make: &(dyn Fn() -> S + Sync), arguments: &[&str]) -> Option<Vec<(String, usize)>> {
    let scene = make();
    let trace = scene.root().join("trace");
    let mut command = strace(&["-o", trace.to_str().unwrap()], &scene.command(arguments))?;
    Ran::of(&mut command).ends_with(0);
    let lock = format!("{}\"", S::LOCK);
    // strace counts by thread and name.
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut calls = BTreeSet::new();
    let mut at_work = false;
    let text = fs_err::read_to_string(&trace).unwrap();
    for line in text.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        at_work |= call.contains(&lock);
        if let Some((name, _)) = call.trim_start().split_once('(').filter(|(name, _)| !name.contains([' ', '<'])) {
            let count = counts.entry((name, thread)).or_default();
            *count += 1;
            if at_work {
                calls.insert((name.to_owned(), *count));
            }
        }
    }
    Some(calls.into_iter().collect())
}

/// Runs the command in fresh scenes, each time killed before another one of its system calls, and checks each scene.
/// Nothing where there is no strace.
pub(crate) fn kill_everywhere<S: Scene>(
    make: &(dyn Fn() -> S + Sync),
    arguments: &[&str],
    is_meant: impl Fn(&str) -> bool,
    check: impl Fn(&S, &str) + Sync,
) {
    let Some(mut calls) = calls_of(make, arguments) else { return };
    calls.retain(|(name, _)| is_meant(name));
    let (next, kills) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some((name, number)) = calls.get(next.fetch_add(1, Ordering::SeqCst)) {
            let scene = make();
            let inject = format!("inject={name}:signal=SIGKILL:when={number}");
            let mut command = strace(&["-e", &inject], &scene.command(arguments)).unwrap();
            let ran = Ran::of(&mut command);
            match ran.status {
                -1 => _ = kills.fetch_add(1, Ordering::SeqCst),
                // It made fewer calls this time.
                _ => _ = ran.ends_with(0),
            }
            check(&scene, &format!("killed before {name} number {number}"));
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(work);
        }
    });
    let (kills, calls) = (kills.into_inner(), calls.len());
    assert!(kills > 15 && kills * 10 > calls * 9, "killed {kills} times in {calls} runs");
}

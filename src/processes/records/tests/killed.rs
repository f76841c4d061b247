//! Runs that are killed before each of the system calls that change something. The test starts itself under strace for that.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::processes::records::{Registered, Removal};

const CHANGING: [&str; 10] =
    ["openat", "write", "fsync", "renameat2", "unlinkat", "fcntl", "ftruncate", "fchmod", "mkdir", "flock"];
const FOLDER: &str = "SESSION_SWEEP_TEST_FOLDER";
const ACT: &str = "SESSION_SWEEP_TEST_ACT";

/// What is done in the folder, by the test itself or by a run that is killed.
fn act(folder: &Path, act: &str) {
    let world = World { folder: tempfile::tempdir().unwrap(), records: Records::at(folder.join("sessions"), None) };
    let policy = LockPolicy { wait: None, program: "test", now: noon(0), on_wait: |_| {}, in_an_item: false };
    let held = world.records.lock(&folder.join("processes.lock"), policy).unwrap();
    let (session, process) = (id(ID), process(500, 77));
    match act {
        "register" => drop(held.register(&registration(&session, Some(&process), noon(0))).unwrap()),
        "beat" => drop(held.beat(&sign(&session, Some(&process), noon(90)), Duration::ZERO).unwrap()),
        "end" => drop(held.end(&sign(&session, Some(&process), noon(90)), None, &|_| false).unwrap()),
        _ => world.records.read().0.iter().for_each(|record| drop(held.remove(record).unwrap())),
    }
}

#[test]
#[ignore = "the test below starts it"]
fn acts() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        act(folder.as_ref(), &std::env::var(ACT).unwrap());
    }
}

/// What becomes of this test's own program, doing something in a folder under strace; nothing (said loudly) where that is not
/// installed.
fn trace(folder: &Path, act: &str, arguments: &[&str]) -> Option<std::process::ExitStatus> {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).args(arguments).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "processes::records::tests::killed::acts", "--ignored", "--test-threads=1"]);
    command.env(FOLDER, folder).env(ACT, act).stdout(Stdio::null()).stderr(Stdio::null());
    let ended = command.status();
    if let Err(error) = &ended {
        assert!(std::env::var_os("CI").is_none(), "this test has to run in CI: strace: {error}");
        // Not `eprintln!`, which is kept from whoever runs the tests.
        let _ = writeln!(std::io::stderr(), "NOT TESTED (killed while records are written): strace: {error}");
    }
    ended.ok()
}

/// The calls of one act from its lock on, by name and number of its kind.
fn calls(make: &dyn Fn() -> World, of: &str) -> Option<Vec<(String, usize)>> {
    let world = make();
    let out = world.folder.path().join("trace");
    let ended = trace(world.folder.path(), of, &["-o", out.to_str().unwrap()])?;
    assert!(ended.success(), "{of}: {ended}");
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut calls = Vec::new();
    let mut at_work = false;
    for line in fs_err::read_to_string(&out).unwrap().lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        at_work |= call.contains("processes.lock");
        let Some((name, _)) = call.trim_start().split_once('(') else { continue };
        let count = counts.entry((thread.to_owned(), name.to_owned())).or_default();
        *count += 1;
        if at_work && CHANGING.contains(&name) {
            calls.push((name.to_owned(), *count));
        }
    }
    Some(calls)
}

/// Kills an act before each of its calls, in a new world each time, and checks what is left.
fn kill_everywhere(make: &dyn Fn() -> World, of: &str, check: impl Fn(&World, &str)) {
    let Some(calls) = calls(make, of) else { return };
    let mut kills = 0;
    for (name, number) in &calls {
        let world = make();
        let inject = format!("inject={name}:signal=SIGKILL:when={number}");
        let ended = trace(world.folder.path(), of, &["-e", &inject]).unwrap();
        kills += usize::from(!ended.success());
        check(&world, &format!("killed before {name} number {number}"));
    }
    assert!(kills > 5 && kills * 10 > calls.len() * 9, "{of}: killed {kills} times in {} runs", calls.len());
}

fn registered() -> World {
    let world = World::new();
    act(world.folder.path(), "register");
    world.file(&format!("{ID}/heartbeat.pid"), "7\n");
    world
}

fn names(world: &World) -> Vec<String> {
    let entries = fs_err::read_dir(world.path(ID)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_registration_killed_anywhere_leaves_none_or_a_whole_one() {
    let whole = registered().text(ID);
    kill_everywhere(&World::new, "register", |world, moment| {
        let (records, problems) = world.records.read();
        assert!(problems.is_empty() && records.len() <= 1, "{moment}: {problems:?}");
        if !records.is_empty() {
            assert_eq!(world.text(ID), whole, "{moment}");
        }
        let (session, process) = (id(ID), process(500, 77));
        let again = world.hold().register(&registration(&session, Some(&process), noon(0))).unwrap();
        assert_eq!(again == Registered::New, records.is_empty(), "{moment}");
        assert_eq!((world.text(ID), names(world)), (whole.clone(), vec!["metadata.json".to_owned()]), "{moment}");
    });
}

#[test]
fn a_sign_and_an_end_killed_anywhere_leave_the_old_record_or_the_new_one() {
    for of in ["beat", "end"] {
        let old = registered().text(ID);
        let new = {
            let world = registered();
            act(world.folder.path(), of);
            world.text(ID)
        };
        assert_ne!(old, new);
        kill_everywhere(&registered, of, |world, moment| {
            let text = world.text(ID);
            assert!(text == old || text == new, "{of} {moment}: {text}");
            act(world.folder.path(), of);
            assert_eq!(world.text(ID), new, "{of} {moment}");
            // Where the end had been written there was nothing left to be written, and so nothing was tidied.
            act(world.folder.path(), "register");
            assert_eq!(names(world), ["heartbeat.pid", "metadata.json"], "{of} {moment}");
        });
    }
}

#[test]
fn a_removal_killed_anywhere_leaves_a_whole_record_or_none() {
    let whole = registered().text(ID);
    kill_everywhere(&registered, "remove", |world, moment| {
        if let Some(record) = world.records.read().0.pop() {
            assert_eq!((world.text(ID), record.doubt.clone()), (whole.clone(), None), "{moment}");
            assert_eq!(world.hold().remove(&record), Ok(Removal::Gone), "{moment}");
        }
        assert!(!world.path(ID).exists() || names(world).is_empty(), "{moment}");
    });
}

//! Many processes at one registry, some of them killed: what was acknowledged is there, and nothing is half done.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;

use crate::killing::{is_changing, kill_everywhere};
use crate::numbered::{Line, Numbered, with};
use crate::tree::names_in;
use crate::world::Ran;

const PROCESSES: u32 = 200;
/// At one time.
const AT_ONCE: usize = 200;

/// What a process is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    RegisterNext,
    Register(u32),
    Beat(u32),
    CleanUp,
    Identify,
    Release(u32),
}

/// A process, and how it ended: its document, unless it was killed.
struct Run {
    index: u32,
    task: Task,
    child: Child,
    ends: OwnedFd,
    document: Option<Value>,
}

/// Numbers that differ from run to run without a generator: the test says which one it began with.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        // A step of SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}

/// The id of the CLI that a process of this index runs in.
fn cli(index: u32) -> String {
    format!("0856b851-1111-4222-8333-{index:012}")
}

fn task_of(index: u32) -> Task {
    match index % 10 {
        0..=2 => Task::RegisterNext,
        3 | 4 => Task::Register(2_000 + index),
        5 | 6 => Task::Beat(500 + index % 5),
        7 => Task::CleanUp,
        8 => Task::Identify,
        _ => Task::Release(600 + index),
    }
}

/// A process with its role, by the machine's own clock.
fn command_of(scene: &Numbered, index: u32, task: Task) -> Command {
    let role = format!("role {index}");
    let (number, next);
    let arguments: &[&str] = match task {
        Task::RegisterNext => &["register", "--next", &role, "goal"],
        Task::Register(own) => {
            number = own.to_string();
            &["register", &number, &role, "goal"]
        }
        Task::Beat(own) => {
            number = own.to_string();
            next = role.clone();
            &["heartbeat", "--number", &number, "--working-on", &next]
        }
        Task::CleanUp => &["cleanup"],
        Task::Identify => &["identify", "--next", "--role", &role],
        Task::Release(own) => {
            number = own.to_string();
            &["release", &number]
        }
    };
    let command = scene.world.command_at_present(&[&["registry"], arguments, &["--json", "--wait", "1m"]].concat());
    // A process of its own session: what the tests run in is nobody's terminal here.
    with(&command, &[("CLAUDE_CODE_SESSION_ID", &cli(index))])
}

fn start(scene: &Numbered, index: u32) -> Run {
    let task = task_of(index);
    let of_binary = command_of(scene, index, task);
    let mut command = Command::new("setsid");
    command.arg(of_binary.get_program()).args(of_binary.get_args()).env_clear();
    command.envs(of_binary.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // A pipe that nobody reads at the moment would hold it up.
    let output = |name: &str| File::create(scene.world.root().join(format!("{name} {index}"))).unwrap();
    let child = command.stdin(Stdio::null()).stdout(output("stdout")).stderr(output("stderr")).spawn().unwrap();
    let pid = Pid::from_raw(child.id() as i32).unwrap();
    let ends = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    Run { index, task, child, ends, document: None }
}

/// Kills one of them: the one that holds the lock, or any.
fn kill_one(scene: &Numbered, running: &mut [Run], dice: &mut Dice) {
    let line = scene.file("claude_sessions.lock").unwrap_or_default();
    let holder: Option<u32> = line.split(' ').next().and_then(|pid| pid.parse().ok());
    let holds = running.iter().position(|run| Some(run.child.id()) == holder);
    let any = dice.below(running.len());
    // Nobody has waited for it yet, so the number is still this child's.
    running[holds.unwrap_or(any)].child.kill().unwrap();
}

/// Runs all of them, some at a time, and kills some.
fn run_all(scene: &Numbered, dice: &mut Dice) -> Vec<Run> {
    let deadline = Instant::now() + Duration::from_secs(120);
    let (mut running, mut ended): (Vec<Run>, Vec<Run>) = (Vec::new(), Vec::new());
    let mut next = 0;
    while next < PROCESSES || !running.is_empty() {
        while next < PROCESSES && running.len() < AT_ONCE {
            running.push(start(scene, next));
            next += 1;
        }
        let mut ends: Vec<PollFd<'_>> = running.iter().map(|run| PollFd::new(&run.ends, PollFlags::IN)).collect();
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        poll(&mut ends, Some(&second)).unwrap();
        let mut index = 0;
        while index < running.len() {
            match running[index].child.try_wait().unwrap() {
                None => index += 1,
                Some(status) => {
                    let mut run = running.swap_remove(index);
                    run.document = status.code().map(|code| document(scene, &run, code));
                    ended.push(run);
                    if dice.below(6) == 0 && !running.is_empty() {
                        kill_one(scene, &mut running, dice);
                    }
                }
            }
        }
        assert!(Instant::now() < deadline, "{} still run", running.len());
    }
    ended
}

/// What one said that was not killed.
#[track_caller]
fn document(scene: &Numbered, run: &Run, status: i32) -> Value {
    let said = |name: &str| fs_err::read_to_string(scene.world.root().join(format!("{name} {}", run.index))).unwrap();
    assert_eq!(status, 0, "{:?}: {}{}", run.task, said("stdout"), said("stderr"));
    serde_json::from_str(&said("stdout")).unwrap()
}

/// What no whole file of ours is called.
fn is_odd(name: &String) -> bool {
    name.starts_with('.') || Path::new(name).extension().is_none_or(|extension| extension != "json")
}

/// What belongs to a registry that nobody is at work on.
#[track_caller]
fn assert_tidy(scene: &Numbered, moment: &str) {
    let is_known = |name: &String| {
        let known = [".current_session", ".session-sweep", ".session_env", ".session_identity"];
        known.contains(&name.as_str())
            || ["claude_sessions.json", "claude_sessions.lock", "heartbeats"].contains(&name.as_str())
    };
    let mut rest: Vec<String> = names_in(&scene.base()).into_iter().filter(|name| !is_known(name)).collect();
    rest.extend(scene.beats().into_iter().filter(is_odd));
    assert!(rest.is_empty(), "{moment}: {rest:?} was left behind");
    for name in scene.beats() {
        assert!(scene.beat(&name).is_object(), "{moment}: {name}");
    }
    let own = scene.base().join(".session-sweep");
    if own.is_dir() {
        let mut files: Vec<String> = names_in(&own).into_iter().filter(|name| name != "identities").collect();
        files.extend(scene.remembered());
        let odd: Vec<&String> = files.iter().filter(|name| is_odd(name)).collect();
        assert!(odd.is_empty(), "{moment}: {odd:?} was left behind");
    }
}

#[test]
fn two_hundred_processes_some_of_them_killed_lose_nothing_that_was_acknowledged() {
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let mut dice = Dice(seed);
    // Sessions that beat, and sessions that have ended without saying so: by whatever clock, this is long ago.
    let years = 60 * 24 * 365 * 6;
    let beating = (500..505).map(|number| (number, "inactive", years));
    let released = (600..800).step_by(10).map(|number| (number + 9, "working", years));
    let stale = (900..910).map(|number| (number, "active", years));
    let sessions: Vec<Line> = beating.chain(released).chain(stale).collect();
    let scene = Numbered::new(&sessions);
    let runs = run_all(&scene, &mut dice);
    let done = || runs.iter().filter_map(|run| Some((run, run.document.as_ref()?)));
    let killed = runs.len() - done().count();
    assert!(killed > 0 && killed < 100 && runs.len() == PROCESSES as usize, "seed {seed}: {killed} killed");
    // Whole before anybody tidies.
    let value: Value = serde_json::from_str(&scene.text()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let registry = value.as_object().unwrap();
    let session = |number: &Value| &value[number.to_string()];
    let mut given: BTreeMap<u64, u32> = BTreeMap::new();
    for (run, document) in done() {
        let number = &document["number"];
        let role = format!("role {}", run.index);
        match run.task {
            Task::RegisterNext | Task::Register(_) | Task::Identify => {
                let former = given.insert(number.as_u64().unwrap(), run.index);
                assert_eq!(former, None, "seed {seed}: {number} was given twice");
                let session = session(number);
                assert_eq!(
                    (session["role"].as_str(), session["status"].as_str()),
                    (Some(&*role), Some("active")),
                    "seed {seed}"
                );
                assert!(!matches!(run.task, Task::Register(own) if *number != own), "seed {seed}: {document}");
                let beat = scene.beat(document["beat"].as_str().unwrap());
                assert_eq!((&beat["session_number"], beat["role"].as_str()), (number, Some(&*role)));
            }
            Task::Beat(own) => {
                assert_eq!(value[own.to_string()]["status"], "active", "seed {seed}");
                assert_eq!(scene.beat(document["beat"].as_str().unwrap())["working_on"], role, "seed {seed}");
            }
            Task::Release(_) => {
                assert_eq!(session(number)["status"], "inactive", "seed {seed}");
                assert!(session(number)["marked_inactive_at"].is_string(), "seed {seed}");
            }
            Task::CleanUp => {
                for number in 900..910 {
                    assert_eq!(value[number.to_string()]["status"], "inactive", "seed {seed}");
                }
            }
        }
    }
    // Nothing is there that nobody asked for, nothing twice, and nothing that was there is gone.
    let mut roles = BTreeSet::new();
    for (key, session) in registry {
        let role = session["role"].as_str().unwrap();
        let known = sessions.iter().any(|(number, ..)| number.to_string() == *key);
        assert!(known || roles.insert(role), "seed {seed}: {role} is there twice");
        assert!(
            !known || (role == format!("Role → {key}") && session["current_work"].is_object()),
            "seed {seed}: {session}"
        );
    }
    assert!(sessions.iter().all(|(number, ..)| registry.contains_key(&number.to_string())), "seed {seed}");
    // The next run tidies up, and everybody is who they were.
    let before = scene.text();
    for (run, document) in done().filter(|(run, _)| run.task == Task::Identify) {
        let command = scene.world.command_at_present(&["registry", "identify", "--heartbeat-only", "--json"]);
        let ran =
            Ran::of(&mut under_setsid(&with(&command, &[("CLAUDE_CODE_SESSION_ID", &cli(run.index))]))).ends_with(0);
        assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap()["number"], document["number"], "seed {seed}");
    }
    assert_eq!(scene.text(), before, "seed {seed}");
    assert_tidy(&scene, &format!("seed {seed}"));
}

fn under_setsid(command: &Command) -> Command {
    let mut led = Command::new("setsid");
    led.arg("--wait").arg(command.get_program()).args(command.get_args()).env_clear();
    led.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    led
}

/// The registry's text after the command.
fn done(make: impl Fn() -> Numbered, arguments: &[&str]) -> String {
    let scene = make();
    scene.run(arguments).ends_with(0);
    scene.text()
}

fn three() -> Numbered {
    Numbered::new(&[(1, "active", 1), (2, "active", 600), (3, "inactive", 6000)])
}

#[test]
fn register_killed_before_any_system_call_leaves_the_old_or_the_new_registry() {
    let register = ["register", "3", "Role", "Goal", "--no-cleanup", "--terminal", "t"];
    let (old, new) = (three().text(), done(three, &register));
    assert_ne!(old, new);
    kill_everywhere(
        &three,
        &register,
        |_| true,
        |scene, moment| {
            let text = scene.text();
            assert!(text == old || text == new, "{moment}: neither the old nor the new registry:\n{text}");
            // It was killed, so whether it registered is not known: then the number is taken.
            scene.run(&register).ends_with(i32::from(text == new));
            assert_eq!(scene.text(), new, "{moment}");
            assert_tidy(scene, moment);
        },
    );
}

#[test]
fn register_killed_where_there_was_no_registry_leaves_none_or_a_whole_one() {
    let register = ["register", "--next", "Role", "Goal", "--terminal", "t"];
    let make = || {
        let scene = Numbered::empty();
        fs_err::create_dir(scene.base()).unwrap();
        scene
    };
    let new = done(make, &register);
    kill_everywhere(&make, &register, is_changing, |scene, moment| {
        if scene.path().exists() {
            assert_eq!(scene.text(), new, "{moment}");
        } else {
            scene.run(&register).ends_with(0);
            assert_eq!(scene.text(), new, "{moment}");
        }
        scene.run(&["cleanup"]).ends_with(0);
        assert_tidy(scene, moment);
    });
}

#[test]
fn cleanup_killed_before_any_system_call_leaves_the_old_or_the_new_registry() {
    let make = || {
        let scene = three();
        // One that is superseded.
        for (at, days) in [("2026-11-10T12:00:00Z", 10), ("2026-11-20T11:59:00Z", 0)] {
            let mut command = scene.command_at(at, &["heartbeat", "--number", "1"]);
            Ran::of(&mut command).ends_with(0);
            let name = format!("{}_{}-session-1.json", &at[..10], at[11..19].replace(':', "-"));
            crate::numbered::age(&scene.base().join("heartbeats").join(name), days * 24 * 60);
        }
        scene
    };
    let (old, new) = (make().text(), done(make, &["cleanup"]));
    assert_ne!(old, new);
    kill_everywhere(
        &make,
        &["cleanup"],
        |_| true,
        |scene, moment| {
            let text = scene.text();
            assert!(text == old || text == new, "{moment}: neither the old nor the new registry:\n{text}");
            assert!(scene.beats().iter().any(|name| name == "2026-11-20_11-59-00-session-1.json"), "{moment}");
            scene.run(&["cleanup"]).ends_with(0);
            assert_eq!(scene.text(), new, "{moment}");
            assert_eq!(scene.beats(), ["2026-11-20_11-59-00-session-1.json"], "{moment}");
            assert_tidy(scene, moment);
        },
    );
}

#[test]
fn identify_killed_before_any_system_call_leaves_the_old_or_the_new_registry_and_works_again() {
    let make = || {
        let mut scene = three();
        scene.world.variable("CLAUDE_CODE_SESSION_ID", cli(1));
        scene
    };
    let identify = ["identify", "3", "--no-cleanup"];
    let old = make().text();
    let new = done(make, &identify);
    kill_everywhere(&make, &identify, is_changing, |scene, moment| {
        let text = scene.text();
        assert!(text == old || text == new, "{moment}: neither the old nor the new registry:\n{text}");
        // It may have taken the number and have been killed before that was remembered.
        scene.run(&["identify", "3", "--no-cleanup", "--yes"]).ends_with(0);
        assert_eq!(scene.text(), new, "{moment}");
        assert_eq!(scene.file(".session_identity").as_deref(), Some("3\n"), "{moment}");
        scene.run(&["heartbeat"]).ends_with(0);
        assert_tidy(scene, moment);
    });
}

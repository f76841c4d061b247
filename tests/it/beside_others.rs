//! Runs side by side: with each other, with readers, and with programs that do not know our lock.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::left_behind::{id, nested, three_chats};
use crate::machine::strace;
use crate::tree::names_in;
use crate::world::{CLAUDE_ID, CODEX_ID, GEMINI_ID, Ran, World, wait_until};

/// Held until the file is closed, as another run would.
fn hold_lock(world: &World, line: &str) -> File {
    let mut lock = File::create(world.bridge().join("session_map.lock")).unwrap();
    lock.lock().unwrap();
    lock.write_all(line.as_bytes()).unwrap();
    lock
}

fn start(mut command: Command) -> std::process::Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_run_that_finds_the_lock_taken_ends_with_3_and_names_the_holder() {
    let world = three_chats();
    let pid = std::process::id();
    let lock = hold_lock(&world, &format!("{pid} 2026-11-20T10:02:03Z session-sweep prune\n"));
    let text = world.map_text();
    let record: &[&str] = &["record", "--model", "claude-cli", "--chat", "new", "--session", CLAUDE_ID];
    for command in [&["prune"][..], record, &["restore", "--all"]] {
        for wait in ["never", "1s"] {
            let started = Instant::now();
            let ran = world.run(&[command, &["--wait", wait]].concat()).ends_with(3);
            assert!(ran.stderr.contains(&format!("pid {pid}")), "{}", ran.stderr);
            assert!(ran.stderr.contains("since 2026-11-20 10:02:03Z"), "{}", ran.stderr);
            assert!(wait == "never" || started.elapsed() >= Duration::from_secs(1));
        }
    }
    drop(lock);
    assert_eq!(world.map_text(), text);
    assert_eq!(names_in(&world.bridge()), ["session_map.json", "session_map.lock"]);
}

#[test]
fn a_run_that_rehearses_another_time_holds_the_lock_since_it_really_began() {
    let world = three_chats();
    // It holds the lock for a second, while it writes its tombstones.
    let options = ["-e", "inject=fdatasync:delay_enter=1000000:when=1"];
    let Some(mut command) = strace(&options, &world.command(&["prune"])) else { return };
    let before = chrono::Utc::now();
    std::thread::scope(|threads| {
        let run = threads.spawn(|| Ran::of(&mut command));
        let lock = world.bridge().join("session_map.lock");
        wait_until(|| fs_err::read_to_string(&lock).is_ok_and(|line| line.ends_with('\n')));
        let refused = world.run(&["prune", "--wait", "never"]).ends_with(3);
        let (_, since) = refused.stderr.split_once("since ").unwrap();
        let since = chrono::NaiveDateTime::parse_from_str(&since[..20], "%Y-%m-%d %H:%M:%SZ").unwrap().and_utc();
        assert!((before.timestamp()..=chrono::Utc::now().timestamp()).contains(&since.timestamp()), "{refused:?}");
        run.join().unwrap().ends_with(0);
    });
}

#[test]
fn a_lock_whose_holder_is_not_written_down_is_one_of_an_unknown_process() {
    let world = three_chats();
    for line in ["", "nonsense", "1 2026-11-20T10:02:03Z \u{1b}[2Jowned\n"] {
        let _lock = hold_lock(&world, line);
        let ran = world.run(&["prune", "--wait", "never"]).ends_with(3);
        assert!(ran.stderr.contains("unknown process") && !ran.stderr.contains('\u{1b}'), "{}", ran.stderr);
    }
}

#[test]
fn readers_need_no_lock() {
    let world = three_chats();
    let _lock = hold_lock(&world, "");
    world.run(&["prune", "--dry-run"]).ends_with(0);
    world.run(&["audit"]).ends_with(0);
    world.run(&["resolve", "--model", "claude-cli", "--chat", "a"]).ends_with(0);
}

#[test]
fn a_prune_with_nothing_to_do_needs_no_lock() {
    let world = World::new();
    world.codex(CODEX_ID, 5);
    world.map(&format!(r#"{{"codex-cli": {{"b": "{CODEX_ID}"}}}}"#));
    let _lock = hold_lock(&world, "");
    world.run(&["prune", "--wait", "never"]).ends_with(0);
}

#[test]
fn a_run_that_waits_goes_on_when_the_lock_is_released() {
    let world = three_chats();
    let lock = hold_lock(&world, "");
    let child = start(world.command(&["prune", "--wait", "60s"]));
    wait_until(|| waits_for(child.id(), &world.bridge()));
    assert!(world.map_text().contains(CLAUDE_ID));
    drop(lock);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!world.map_text().contains(CLAUDE_ID));
}

/// What somebody else does to the map while a prune that has decided waits for the lock.
fn prune_while(change: impl FnOnce(&World)) -> (World, Ran) {
    prune_in_while(three_chats(), change)
}

fn prune_in_while(world: World, change: impl FnOnce(&World)) -> (World, Ran) {
    let lock = hold_lock(&world, "");
    let mut command = world.command(&["prune", "--json", "--missing", "prune", "--wait", "60s"]);
    let ran = std::thread::scope(|threads| {
        let run = threads.spawn(|| Ran::of(&mut command));
        // The lock is opened when everything is decided.
        wait_until(|| children_of_this_process().iter().any(|pid| waits_for(*pid, &world.bridge())));
        change(&world);
        drop(lock);
        run.join().unwrap()
    });
    (world, ran)
}

fn children_of_this_process() -> Vec<u32> {
    let mut children = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.extend(text.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    children
}

/// Whether a run of ours has the lock's file open. A child that has not become one yet has what its parent has.
fn waits_for(pid: u32, bridge: &Path) -> bool {
    let link = |name: &str| std::fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let lock = bridge.join("session_map.lock");
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    link("exe").ends_with("session-sweep")
        && open.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|file| file == lock))
}

const REPLACED: &str = r#"{"claude-cli":{"a":"11111111-1111-4222-8333-0123456789ab","d":"22222222-1111-4222-8333-0123456789ab"},"gemini-cli":{"c":{"sessionId": "fa141908-b259-41f1-8a87-bba0410f1c12", "note": 1}}}"#;

#[test]
fn a_map_that_is_replaced_or_rewritten_during_the_run_keeps_what_is_new_in_it() {
    for in_place in [false, true] {
        let (world, ran) = prune_while(|world| write_map(&world.map_path(), REPLACED, in_place));
        let ran = ran.ends_with(0);
        assert_eq!(
            world.map_text(),
            REPLACED.replace(&format!(r#""c":{{"sessionId": "{GEMINI_ID}", "note": 1}}"#), "")
        );
        let graves = world.tombstones();
        assert_eq!(graves.len(), 1, "{graves:?}");
        assert_eq!(graves[0]["chat"], "c");
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(document["summary"]["pruned"], 1);
        let changed = &document["entries"][0];
        assert_eq!((&changed["chat"], &changed["action"]), (&json!("a"), &json!("keep")), "{changed}");
        assert!(changed["reason"].as_str().unwrap().contains("changed or was used meanwhile"), "{changed}");
    }
}

#[test]
fn a_mapping_whose_value_changes_during_the_run_is_kept() {
    let with_turns =
        |turns: u32| format!(r#"{{"claude-cli": {{"a": {{"sessionId": "{CLAUDE_ID}", "turns": {turns}}}}}}}"#);
    let world = three_chats();
    world.map(&with_turns(1));
    let (world, ran) = prune_in_while(world, |world| write_map(&world.map_path(), &with_turns(2), false));
    let document: Value = serde_json::from_str(&ran.ends_with(0).stdout).unwrap();
    assert_eq!(document["summary"]["pruned"], 0, "{document}");
    assert_eq!(world.map_text(), with_turns(2));
    assert!(!world.bridge().join("session_map.tombstones.jsonl").exists());
}

#[test]
fn a_map_that_vanishes_or_breaks_during_the_run_is_left_to_its_owner() {
    let (world, ran) = prune_while(|world| fs_err::remove_file(world.map_path()).unwrap());
    assert!(ran.ends_with(1).stderr.contains("there is no session map"));
    assert_eq!(names_in(&world.bridge()), ["session_map.lock"]);

    let (world, ran) = prune_while(|world| write_map(&world.map_path(), r#"{"claude-cli": {"a"#, false));
    assert!(ran.ends_with(1).stderr.contains("nothing was touched"));
    assert_eq!(world.map_text(), r#"{"claude-cli": {"a"#);
    assert_eq!(names_in(&world.bridge()), ["session_map.json", "session_map.lock"]);
}

#[test]
fn a_session_that_is_used_while_the_run_waits_is_kept() {
    let (world, ran) = prune_while(|world| {
        // Longer than a plan counts as fresh.
        std::thread::sleep(Duration::from_millis(100));
        world.claude(CLAUDE_ID, 1);
    });
    let document: Value = serde_json::from_str(&ran.ends_with(0).stdout).unwrap();
    let used = &document["entries"][0];
    assert_eq!((&used["chat"], &used["action"]), (&json!("a"), &json!("keep")), "{used}");
    assert!(used["reason"].as_str().unwrap().contains("changed or was used meanwhile"), "{used}");
    assert_eq!(document["summary"]["pruned"], 1);
    assert_eq!(
        world.map_json(),
        json!({"claude-cli": {"a": CLAUDE_ID}, "codex-cli": {"b": CODEX_ID}, "gemini-cli": {}})
    );
    assert_eq!(world.tombstones().len(), 1);
}

#[test]
fn a_session_that_is_taken_up_in_any_way_while_the_run_waits_is_kept() {
    let world = World::new();
    let names = ["idle", "sub-agent", "copied", "locked", "reappeared"];
    let ids: Vec<String> = (1..=5).map(id).collect();
    for session in &ids[..3] {
        world.claude(session, 300);
    }
    world.codex(&ids[3], 300);
    let models = ["claude-cli", "claude-cli", "claude-cli", "codex-cli", "claude-cli"];
    let mappings: Vec<_> = (0..5).map(|at| (models[at], names[at], ids[at].as_str())).collect();
    world.map(&nested(&mappings));
    let mut held = None;
    let (world, ran) = prune_in_while(world, |world| {
        // Longer than a plan counts as fresh.
        std::thread::sleep(Duration::from_millis(100));
        world.file(&format!(".claude/projects/-work/{}/subagents/agent-1.jsonl", ids[1]), "{}", 1);
        world.file(&format!(".claude/projects/-elsewhere/{}.jsonl", ids[2]), "{}", 1);
        let lock = File::open(world.file(&format!(".codex/thread-writer-locks/{}.lock", ids[3]), "", 0)).unwrap();
        lock.lock().unwrap();
        held = Some(lock);
        world.claude(&ids[4], 1);
    });
    drop(held);
    let document: Value = serde_json::from_str(&ran.ends_with(0).stdout).unwrap();
    let entries = document["entries"].as_array().unwrap();
    let actions = names.map(|name| &entries.iter().find(|entry| entry["chat"] == name).unwrap()["action"]);
    assert_eq!(actions, ["prune", "keep", "keep", "keep", "keep"], "{document}");
    assert_eq!(world.tombstones().len(), 1);
}

#[test]
fn a_session_that_is_used_after_a_slow_look_or_cannot_be_seen_any_more_is_kept() {
    let used = |world: &World| drop(world.claude(CLAUDE_ID, 1));
    // As when a CLI brings a compressed transcript back under its old name.
    let renamed = |world: &World| {
        let path = world.home().join(format!(".claude/projects/-work/{CLAUDE_ID}.jsonl"));
        fs_err::rename(&path, path.with_extension("other")).unwrap();
    };
    for change in [&used as &(dyn Fn(&World) + Sync), &renamed] {
        let world = three_chats();
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("trace");
        let name = format!("{CLAUDE_ID}.jsonl");
        // Looked at, then held up for half a second before its working folder is read.
        let calls = "trace=statx,newfstatat,openat";
        let inject = "inject=openat:delay_enter=500000";
        let options = ["-P", &name, "-e", calls, "-e", inject, "-o", log.to_str().unwrap()];
        let Some(mut command) = strace(&options, &world.command(&["prune", "--json"])) else { return };
        let ran = std::thread::scope(|threads| {
            let run = threads.spawn(|| Ran::of(&mut command));
            wait_until(|| fs_err::read_to_string(&log).is_ok_and(|text| text.contains(&name)));
            change(&world);
            run.join().unwrap()
        });
        let document: Value = serde_json::from_str(&ran.ends_with(0).stdout).unwrap();
        let kept = &document["entries"][0];
        assert_eq!((&kept["chat"], &kept["action"]), (&json!("a"), &json!("keep")), "{kept}");
        assert_eq!(world.map_json()["claude-cli"], json!({"a": CLAUDE_ID}));
    }
}

#[test]
fn what_cannot_be_looked_at_again_after_a_wait_is_kept_and_said_so() {
    let (world, ran) = prune_while(|world| {
        // Longer than a plan counts as fresh.
        std::thread::sleep(Duration::from_millis(100));
        // It may be a newer copy.
        world.file(&format!(".gemini/tmp/work/chats/session-2026-11-20T09-29-{}.json", &GEMINI_ID[..8]), "{}", 600);
    });
    let document: Value = serde_json::from_str(&ran.ends_with(4).stdout).unwrap();
    assert_eq!(document["entries"][2]["action"], "keep", "{document}");
    assert!(document["notes"][0].as_str().unwrap().contains("it holds no session id"), "{document}");
    assert_eq!(world.map_json()["gemini-cli"]["c"]["sessionId"], GEMINI_ID);
}

#[test]
fn two_prunes_at_once_do_both_their_work_and_bury_nothing_twice() {
    for round in 0..20 {
        let world = three_chats();
        let both: [&[&str]; 2] = match round % 2 {
            0 => [&["prune", "--wait", "60s"], &["prune", "--wait", "60s"]],
            _ => [
                &["prune", "--wait", "60s", "--model", "claude-cli"],
                &["prune", "--wait", "60s", "--model", "gemini-cli"],
            ],
        };
        let children = both.map(|arguments| start(world.command(arguments)));
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{output:?}");
        }
        assert_eq!(
            world.map_text(),
            format!(r#"{{"claude-cli": {{}}, "codex-cli": {{"b": "{CODEX_ID}"}}, "gemini-cli": {{}}}}"#)
        );
        let mut buried: Vec<String> = world.tombstones().iter().map(|grave| grave["chat"].to_string()).collect();
        buried.sort();
        assert_eq!(buried, [r#""a""#, r#""c""#], "round {round}");
        assert_eq!(names_in(&world.bridge()).len(), 3, "{:?}", names_in(&world.bridge()));
    }
}

/// Writes the whole map as programs do that do not know our lock.
fn write_map(path: &Path, text: &str, in_place: bool) {
    let target = if in_place { path.to_owned() } else { path.with_extension("theirs") };
    File::create(&target).unwrap().write_all(text.as_bytes()).unwrap();
    if !in_place {
        std::fs::rename(target, path).unwrap();
    }
}

/// Whether somebody holds a lease on the file at `path`.
fn is_leased(path: &Path) -> bool {
    let Ok(inode) = fs_err::metadata(path).map(|metadata| metadata.ino()) else { return false };
    let locks = fs_err::read_to_string("/proc/locks").unwrap();
    locks.lines().any(|line| line.contains("LEASE") && line.contains(&format!(":{inode} ")))
}

/// Whether a run has compared what it leased: the lease on its own new file is the last thing before the exchange.
fn stands_before_the_exchange(world: &World) -> bool {
    let map = world.map_path();
    let beside = names_in(&world.bridge()).into_iter().map(|name| world.bridge().join(name));
    is_leased(&map) && beside.filter(|path| *path != map).any(|path| is_leased(&path))
}

#[test]
fn a_change_in_the_very_moment_of_the_replacement_is_not_lost() {
    for in_place in [false, true] {
        let world = three_chats();
        let changed =
            world.map_text().replace("\"codex-cli\": {", &format!("\"codex-cli\": {{\"new\": \"{CODEX_ID}\", "));
        // The moment lasts so long that a busy machine does not miss it.
        let options = ["-e", "inject=renameat2:delay_enter=3000000:when=1"];
        let Some(mut command) = strace(&options, &world.command(&["prune"])) else { return };
        std::thread::scope(|threads| {
            let run = threads.spawn(|| Ran::of(&mut command));
            wait_until(|| stands_before_the_exchange(&world));
            if in_place {
                // The kernel lets it in when the replacement is over.
                let mut file = File::options().write(true).open(world.map_path()).unwrap();
                // On a busy machine time passes before it writes.
                std::thread::sleep(Duration::from_millis(100));
                file.write_all(changed.as_bytes()).unwrap();
            } else {
                write_map(&world.map_path(), &changed, false);
            }
            run.join().unwrap().ends_with(0);
        });
        let expected = json!({"claude-cli": {}, "codex-cli": {"new": CODEX_ID, "b": CODEX_ID}, "gemini-cli": {}});
        assert_eq!(world.map_json(), expected, "in place: {in_place}");
        assert_eq!(world.tombstones().len(), 2);
        assert_eq!(names_in(&world.bridge()).len(), 3, "{:?}", names_in(&world.bridge()));
    }
}

#[test]
fn a_hundred_readers_never_see_an_incomplete_map() {
    let world = three_chats();
    let full = world.map_text();
    let (running, reads) = (AtomicBool::new(true), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        for _ in 0..100 {
            threads.spawn(|| {
                while running.load(Ordering::Relaxed) {
                    let text = fs_err::read_to_string(world.map_path()).unwrap();
                    let whole = serde_json::from_str::<Value>(&text).is_ok_and(|map| map["codex-cli"]["b"] == CODEX_ID);
                    if !whole {
                        running.store(false, Ordering::Relaxed);
                        panic!("a reader saw: {text:?}");
                    }
                    reads.fetch_add(1, Ordering::Relaxed);
                    // A bridge does something else between two looks.
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
        for round in 0..8 {
            world.run(&["prune"]).ends_with(0);
            assert!(!world.map_text().contains(CLAUDE_ID), "round {round}");
            world.run(&["record", "--model", "claude-cli", "--chat", "a", "--session", CLAUDE_ID]).ends_with(0);
            world.run(&["restore", "--all"]).ends_with(0);
            assert_eq!(world.map_json(), serde_json::from_str::<Value>(&full).unwrap(), "round {round}");
        }
        running.store(false, Ordering::Relaxed);
    });
    assert!(reads.into_inner() > 1000);
}

/// What a foreign writer did and what became of it.
struct Contest {
    world: World,
    changes: usize,
    pruned: usize,
    map: Map<String, Value>,
}

/// A program without our lock makes changes, each a new active chat and an idle one, while `ours` runs again and again.
fn contend(changes: usize, in_place: bool, ours: impl Fn(&World, usize)) -> Contest {
    let world = World::new();
    world.claude(CLAUDE_ID, 300);
    world.codex(CODEX_ID, 5);
    world.map(r#"{"claude-cli":{},"codex-cli":{}}"#);
    let path = world.map_path();
    std::thread::scope(|threads| {
        let writer = threads.spawn(|| {
            for number in 0..changes {
                let text = fs_err::read_to_string(&path).unwrap();
                let mut map: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                map["codex-cli"][format!("busy {number}")] = CODEX_ID.into();
                map["claude-cli"][format!("idle {number}")] = CLAUDE_ID.into();
                write_map(&path, &map.to_string(), in_place);
                // Uneven, so that changes meet every step of a run.
                let pause = Duration::from_micros((number as u64 * 7919) % 6000);
                let until = Instant::now() + pause;
                if number % 2 == 0 {
                    std::thread::sleep(pause);
                }
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
            }
        });
        for round in 0.. {
            if writer.is_finished() {
                break;
            }
            ours(&world, round);
        }
        writer.join().unwrap();
    });
    let pruned = world.tombstones().len();
    let map = world.map_json().as_object().unwrap().clone();
    Contest { world, changes, pruned, map }
}

impl Contest {
    /// No change of the other program is lost, and what it no longer has was recorded.
    #[track_caller]
    fn nothing_is_lost(&self) {
        let there = |model: &str, chat: String| self.map[model].get(&chat).is_some();
        let lost: Vec<usize> = (0..self.changes).filter(|n| !there("codex-cli", format!("busy {n}"))).collect();
        assert!(lost.is_empty(), "lost {} of {} changes: {lost:?}", lost.len(), self.changes);
        let buried: std::collections::HashSet<String> =
            self.world.tombstones().iter().map(|grave| grave["chat"].as_str().unwrap().to_owned()).collect();
        let unknown = |n: &usize| !there("claude-cli", format!("idle {n}")) && !buried.contains(&format!("idle {n}"));
        let unknown: Vec<usize> = (0..self.changes).filter(unknown).collect();
        assert!(unknown.is_empty(), "neither mapped nor buried: {unknown:?}");
    }
}

fn prune(world: &World) {
    world.run(&["prune", "--wait", "60s", "-q"]).ends_with(0);
}

#[test]
fn a_program_that_replaces_the_map_loses_none_of_1000_changes_to_prunes() {
    let contest = contend(1000, false, |world, _| prune(world));
    contest.nothing_is_lost();
    assert!(contest.pruned > 100, "pruned only {}", contest.pruned);
}

#[test]
fn a_program_that_rewrites_the_map_in_place_loses_none_of_1000_changes_to_prunes() {
    let contest = contend(1000, true, |world, _| prune(world));
    contest.nothing_is_lost();
    assert!(contest.pruned > 100, "pruned only {}", contest.pruned);
}

#[test]
fn a_program_without_our_lock_loses_no_change_to_record_and_restore() {
    for in_place in [false, true] {
        let contest = contend(200, in_place, |world, round| {
            let chat = format!("recorded {round}");
            world.run(&["record", "--model", "codex-cli", "--chat", &chat, "--session", CODEX_ID]).ends_with(0);
            prune(world);
            let ran = world.run(&["restore", "--all"]);
            assert_eq!(ran.status, 0, "{ran:?}");
        });
        contest.nothing_is_lost();
    }
}

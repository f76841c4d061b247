//! Every state that a mapping can have, and what decides it.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::left_behind::{assert_verdict, boot_id, by_chat, id, later, nested, start_ticks, verdict};
use crate::world::{CLAUDE_ID, CODEX_ID, GEMINI_ID, NOW, World, ago, touch, wait_until};

/// A world with one Claude chat `a`, last used three hours ago.
fn idle_claude() -> World {
    let world = World::new();
    world.claude(CLAUDE_ID, 180);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID)]));
    world
}

fn idle_codex() -> World {
    let world = World::new();
    world.codex(CODEX_ID, 180);
    world.map(&nested(&[("codex-cli", "a", CODEX_ID)]));
    world
}

/// A world with a Claude chat `there`, used a minute ago, and one whose transcript is `gone`.
fn one_of_two_missing() -> World {
    let world = World::new();
    world.claude(&id(1), 1);
    world.map(&nested(&[("claude-cli", "there", &id(1)), ("claude-cli", "gone", &id(2))]));
    world
}

/// Sets a file's time to the machine's present.
fn touch_now(path: &std::path::Path) {
    filetime::set_file_mtime(path, filetime::FileTime::now()).unwrap();
}

// --- active and idle

#[test]
fn the_threshold_divides_active_from_idle() {
    let world = World::new();
    let transcript = world.claude(&id(1), 120);
    world.claude(&id(2), 121);
    world.map(&nested(&[("claude-cli", "edge", &id(1)), ("claude-cli", "past", &id(2))]));
    let entries = world.entries(&[]);
    let edge = &entries["edge"];
    assert_verdict(edge, "active/keep", "used within the threshold");
    assert_eq!(edge["provider"], "claude");
    assert_eq!(edge["model"], "claude-cli");
    assert_eq!(edge["session"], id(1).as_str());
    assert_eq!(edge["source"], "transcript-mtime");
    assert_eq!(edge["idle_seconds"], 7200);
    assert_eq!(edge["last_activity"], "2026-11-20T10:00:00Z");
    assert_eq!(edge["transcript"], transcript.to_str().unwrap());
    assert_verdict(&entries["past"], "idle/prune", "idle for more than 2h");
    for (arguments, expected) in [
        (&["--idle", "3h"][..], "active/keep"),
        (&["--hours", "2.5"], "active/keep"),
        (&["--hours", "2"], "idle/prune"),
        (&["--idle", "90m"], "idle/prune"),
        (&["--idle", "never"], "active/keep"),
    ] {
        assert_eq!(world.verdict("past", arguments), expected, "{arguments:?}");
    }
}

#[test]
fn the_summary_counts_every_state() {
    let mut world = World::new();
    world.claude(&id(1), 1);
    world.claude(&id(2), 600);
    world.claude(&id(3), 600);
    let pid = world.sleeper();
    world.claude_record(pid, &id(3), start_ticks(pid));
    world.map(&nested(&[
        ("claude-cli", "active", &id(1)),
        ("claude-cli", "idle", &id(2)),
        ("claude-cli", "used", &id(3)),
        ("claude-cli", "missing", &id(4)),
        ("claude-cli", "unknown", "../../x"),
    ]));
    let document = world.json(&["prune", "--dry-run"]);
    assert_eq!(document["schema"], 1);
    assert_eq!(document["command"], "prune");
    assert_eq!(document["dry_run"], true);
    assert_eq!(document["now"], "2026-11-20T12:00:00Z");
    assert_eq!(document["threshold_seconds"], 7200);
    assert_eq!(document["map"], world.map_path().to_str().unwrap());
    let summary = json!({
        "checked": 5, "active": 1, "idle": 1, "in_use": 1, "missing": 1, "unknown": 1, "pruned": 1, "written_back": 0
    });
    assert_eq!(document["summary"], summary);
    let document = world.json(&["prune"]);
    assert_eq!((document["dry_run"].clone(), document["summary"].clone()), (json!(false), summary));
    let left: Vec<_> = world.map_json()["claude-cli"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(left, ["active", "missing", "unknown", "used"]);
}

// --- in use

#[test]
fn a_claude_session_is_in_use_while_the_process_of_its_record_runs() {
    let mut world = idle_claude();
    let pid = world.sleeper();
    world.claude_record(pid, CLAUDE_ID, start_ticks(pid));
    let entries = world.entries(&[]);
    assert_verdict(&entries["a"], "in-use/keep", &format!("process {pid} has this session open"));
    let before = world.map_text();
    world.run(&["prune"]).ends_with(0);
    assert_eq!(world.map_text(), before);
    world.end_child(pid);
    assert_eq!(world.verdict("a", &[]), "idle/prune");
}

#[test]
fn a_recycled_pid_proves_nothing() {
    let mut world = idle_claude();
    let pid = world.sleeper();
    world.claude_record(pid, CLAUDE_ID, start_ticks(pid) - 1);
    assert_eq!(world.verdict("a", &[]), "idle/prune");
}

#[test]
fn a_record_of_a_process_that_is_gone_proves_nothing() {
    let mut world = idle_claude();
    let pid = world.gone_pid();
    world.claude_record(pid, CLAUDE_ID, 1);
    assert_eq!(world.verdict("a", &[]), "idle/prune");
}

#[test]
fn a_record_without_a_start_counts_unless_its_process_started_later() {
    let mut world = idle_claude();
    let pid = world.sleeper();
    let legacy = json!({"pid": pid, "session_id": CLAUDE_ID, "cwd": "/work"}).to_string();
    let path = world.file(&format!(".claude/sessions/pid-{pid}.json"), legacy, 0);
    touch_now(&path);
    assert_eq!(world.verdict("a", &[]), "in-use/keep");
    // Ten years before the process started.
    filetime::set_file_mtime(&path, filetime::FileTime::from_unix_time(NOW as i64 - 315_360_000, 0)).unwrap();
    assert_eq!(world.verdict("a", &[]), "idle/prune");
}

#[test]
fn a_record_from_another_container_makes_the_session_unknown() {
    let mut world = idle_claude();
    let pid = world.gone_pid();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let record = |started: u128| {
        json!({"pid": pid, "sessionId": CLAUDE_ID, "procStart": "1", "startedAt": started as u64,
            "pidDomain": "linux:00000000000000000000000000000000:pid:[1]"})
    };
    let path = world.file(&format!(".claude/sessions/{pid}.json"), record(now).to_string(), 0);
    touch_now(&path);
    let entries = world.entries(&[]);
    assert_verdict(&entries["a"], "unknown/keep", "of another container or machine");
    fs_err::write(&path, record(1_000_000_000_000).to_string()).unwrap();
    assert_eq!(world.verdict("a", &[]), "idle/prune", "written before this machine started");
}

#[test]
fn a_record_of_a_running_process_that_cannot_be_read_keeps_every_session() {
    let mut world = idle_claude();
    let pid = world.sleeper();
    let record = world.file(&format!(".claude/sessions/{pid}.json"), "{\"pid\":", 0);
    filetime::set_file_mtime(&record, filetime::FileTime::now()).unwrap();
    assert_verdict(&world.entries(&[])["a"], "unknown/keep", "could not look for live processes");
    world.run(&["prune", "--dry-run"]).ends_with(4);
    // Written by another process that had the number before.
    filetime::set_file_mtime(&record, filetime::FileTime::from_unix_time(1_000_000_000, 0)).unwrap();
    assert_eq!(world.verdict("a", &[]), "idle/prune");
    filetime::set_file_mtime(&record, filetime::FileTime::now()).unwrap();
    world.end_child(pid);
    assert_eq!(world.verdict("a", &[]), "idle/prune");
}

#[test]
fn a_session_that_starts_another_after_clear_is_free() {
    let mut world = idle_claude();
    let pid = world.sleeper();
    world.claude_record(pid, &id(9), start_ticks(pid));
    assert_eq!(world.verdict("a", &[]), "idle/prune");
}

#[test]
fn qwens_record_is_checked_by_boot_and_start() {
    let mut world = World::new();
    let line = format!("{{\"sessionId\":\"{CLAUDE_ID}\",\"cwd\":\"/work\"}}\n");
    world.file(&format!(".qwen/projects/-work/chats/{CLAUDE_ID}.jsonl"), line, 180);
    world.map(&nested(&[("qwen-cli", "a", CLAUDE_ID)]));
    assert_eq!(world.verdict("a", &[]), "idle/prune");
    let pid = world.sleeper();
    let ticks = start_ticks(pid);
    for (start, expected) in [
        (format!("{}:{ticks}", boot_id()), "in-use/keep"),
        (format!("{}:{}", boot_id(), ticks + 1), "idle/prune"),
        (format!("00000000-0000-0000-0000-000000000000:{ticks}"), "idle/prune"),
    ] {
        let record = json!({"schemaVersion": 1, "pid": pid, "procStart": start, "sessionId": CLAUDE_ID, "kind": "tui"});
        world.file(&format!(".qwen/sessions/{pid}.json"), record.to_string(), 0);
        assert_eq!(world.verdict("a", &[]), expected, "{start}");
    }
}

#[test]
fn qwens_runtime_file_that_stays_after_exit_proves_nothing() {
    let mut world = World::new();
    world.file(&format!(".qwen/projects/-work/chats/{CLAUDE_ID}.jsonl"), "{}\n", 180);
    let pid = world.sleeper();
    let runtime = json!({"pid": pid, "session_id": CLAUDE_ID, "started_at": 1_795_176_000.5});
    world.file(&format!(".qwen/projects/-work/chats/{CLAUDE_ID}.runtime.json"), runtime.to_string(), 0);
    world.map(&nested(&[("qwen-cli", "a", CLAUDE_ID)]));
    assert_eq!(world.verdict("a", &[]), "idle/prune");
}

#[test]
fn a_codex_session_is_in_use_while_its_writer_lock_is_held() {
    let world = idle_codex();
    let path = world.file(&format!(".codex/thread-writer-locks/{CODEX_ID}.lock"), "", 0);
    assert_eq!(world.verdict("a", &[]), "idle/prune", "a lock that a killed writer left is not held");
    let lock = File::open(&path).unwrap();
    lock.lock().unwrap();
    assert_verdict(&world.entries(&[])["a"], "in-use/keep", &format!("process {}", std::process::id()));
    lock.unlock().unwrap();
    assert_eq!(world.verdict("a", &[]), "idle/prune");
}

#[test]
fn the_lock_of_another_codex_session_is_nothing_to_this_one() {
    let world = idle_codex();
    world.file(&format!(".codex/thread-writer-locks/{CODEX_ID}.lock"), "", 0);
    let other = File::open(world.file(".codex/thread-writer-locks/.coordination.lock", "", 0)).unwrap();
    other.lock().unwrap();
    assert_eq!(world.verdict("a", &[]), "idle/prune");
}

#[test]
fn a_codex_session_is_in_use_while_a_process_has_its_rollout_open() {
    let mut world = idle_codex();
    let rollout = File::open(world.codex(CODEX_ID, 180)).unwrap();
    let pid = world.child(Command::new("sleep").arg("1000").stdin(rollout));
    // While another test starts a child, that child has this file open, too, for an instant.
    wait_until(|| world.entries(&[])["a"]["reason"].as_str().unwrap().contains(&format!("process {pid}")));
    assert_eq!(world.verdict("a", &[]), "in-use/keep");
    world.end_child(pid);
    wait_until(|| world.verdict("a", &[]) == "idle/prune");
    // Also an older copy: it is the one that is written to.
    let archived = format!(".codex/archived_sessions/rollout-2026-11-20T09-27-49-{CODEX_ID}.jsonl");
    let older = File::open(world.file(&archived, "{}\n", 600)).unwrap();
    let pid = world.child(Command::new("sleep").arg("1000").stdin(older));
    wait_until(|| world.entries(&[])["a"]["reason"].as_str().unwrap().contains(&format!("process {pid}")));
}

#[test]
fn an_open_rollout_of_the_same_name_in_another_home_is_nothing_to_this_one() {
    let mut other = idle_codex();
    let rollout = File::open(other.codex(CODEX_ID, 180)).unwrap();
    let pid = other.child(Command::new("sleep").arg("1000").stdin(rollout));
    wait_until(|| other.entries(&[])["a"]["reason"].as_str().unwrap().contains(&format!("process {pid}")));
    assert_eq!(idle_codex().verdict("a", &[]), "idle/prune");
}

#[test]
fn a_copilot_session_is_in_use_while_the_process_of_its_lock_runs() {
    let mut world = World::new();
    world.file(&format!(".copilot/session-state/{CLAUDE_ID}/events.jsonl"), "{\"type\":\"session.start\"}\n", 180);
    world.map(&nested(&[("copilot-cli", "a", CLAUDE_ID)]));
    assert_eq!(world.verdict("a", &[]), "idle/prune");
    let pid = world.sleeper();
    let lock = world.file(&format!(".copilot/session-state/{CLAUDE_ID}/inuse.{pid}.lock"), pid.to_string(), 0);
    touch_now(&lock);
    assert_verdict(&world.entries(&[])["a"], "in-use/keep", &format!("process {pid}"));
    filetime::set_file_mtime(&lock, filetime::FileTime::from_unix_time(1_000_000_000, 0)).unwrap();
    assert_eq!(world.verdict("a", &[]), "idle/prune", "the process started long after the lock was written");
    touch_now(&lock);
    world.end_child(pid);
    assert_eq!(world.verdict("a", &[]), "idle/prune", "the process is gone");
}

#[test]
fn what_a_live_record_says_of_its_use_counts() {
    let mut world = idle_claude();
    let pid = world.sleeper();
    let updated = (NOW - 30 * 60) * 1000;
    let record =
        json!({"pid": pid, "sessionId": CLAUDE_ID, "procStart": start_ticks(pid).to_string(), "updatedAt": updated});
    world.file(&format!(".claude/sessions/{pid}.json"), record.to_string(), 0);
    let entry = &world.entries(&[])["a"];
    assert_verdict(entry, "in-use/keep", &format!("process {pid} has this session open"));
    assert_eq!(entry["source"], "live-process");
    assert_eq!(entry["idle_seconds"], 30 * 60);
}

// --- missing

#[test]
fn a_missing_transcript_is_pruned_only_a_day_after_it_was_first_missed() {
    let world = one_of_two_missing();
    let entries = by_chat(&world.json(&["prune"]));
    assert_verdict(&entries["gone"], "missing/keep", "first seen missing now");
    assert_eq!(entries["gone"]["transcript"], Value::Null);
    assert_eq!(entries["gone"]["idle_seconds"], Value::Null);
    let entries = by_chat(&world.json_at(&later(23), &["prune", "--idle", "never"]));
    assert_verdict(&entries["gone"], "missing/keep", "not long enough");
    let entries = by_chat(&world.json_at(&later(24), &["prune", "--idle", "never"]));
    assert_verdict(&entries["gone"], "missing/prune", "no transcript for");
    assert_eq!(world.map_json(), json!({"claude-cli": {"there": id(1)}}));
    assert_eq!(world.tombstones()[0]["reason"], "missing");
}

#[test]
fn a_dry_run_does_not_remember_what_is_missing() {
    let world = one_of_two_missing();
    world.run(&["prune", "--dry-run"]).ends_with(0);
    assert!(!world.home().join(".local").exists());
    let entries = by_chat(&world.json_at(&later(48), &["prune", "--dry-run", "--idle", "never"]));
    assert_verdict(&entries["gone"], "missing/keep", "first seen missing now");
}

#[test]
fn a_transcript_that_reappears_is_missed_anew() {
    let world = World::new();
    world.claude(&id(1), 1);
    world.map(&nested(&[("claude-cli", "there", &id(1)), ("claude-cli", "flickers", &id(2))]));
    world.run(&["prune"]).ends_with(0);
    let transcript = world.claude(&id(2), 1);
    let entries = by_chat(&world.json_at(&later(12), &["prune", "--idle", "never"]));
    assert_verdict(&entries["flickers"], "active/keep", "");
    fs_err::remove_file(transcript).unwrap();
    let entries = by_chat(&world.json_at(&later(30), &["prune", "--idle", "never"]));
    assert_verdict(&entries["flickers"], "missing/keep", "first seen missing now");
    let entries = by_chat(&world.json_at(&later(54), &["prune", "--idle", "never"]));
    assert_verdict(&entries["flickers"], "missing/prune", "");
}

#[test]
fn a_chat_with_another_session_is_missed_anew() {
    let world = one_of_two_missing();
    world.run(&["prune"]).ends_with(0);
    world.map(&nested(&[("claude-cli", "there", &id(1)), ("claude-cli", "gone", &id(3))]));
    let entries = by_chat(&world.json_at(&later(48), &["prune", "--idle", "never"]));
    assert_verdict(&entries["gone"], "missing/keep", "first seen missing now");
}

#[test]
fn a_session_missing_from_another_home_is_missed_anew() {
    let mut world = one_of_two_missing();
    world.run(&["prune"]).ends_with(0);
    world.file(&format!("elsewhere/projects/-work/{}.jsonl", id(1)), "{}\n", 1);
    let elsewhere = world.home().join("elsewhere");
    world.variable("CLAUDE_CONFIG_DIR", elsewhere);
    let entries = by_chat(&world.json_at(&later(48), &["prune", "--idle", "never"]));
    assert_verdict(&entries["gone"], "missing/keep", "first seen missing now");
}

#[test]
fn the_missing_policy_is_the_users() {
    let world = one_of_two_missing();
    let verdict_of = |at: &str, policy: &str| {
        by_chat(&world.json_at(at, &["prune", "--dry-run", "--idle", "never", "--missing", policy]))["gone"].clone()
    };
    assert_verdict(&verdict_of(&later(0), "prune"), "missing/prune", "no transcript");
    assert_verdict(&verdict_of(&later(0), "keep"), "missing/keep", "missing ones are kept");
    world.run(&["prune"]).ends_with(0);
    assert_eq!(verdict(&verdict_of(&later(2), "after:1h")), "missing/prune");
    assert_eq!(verdict(&verdict_of(&later(2), "after:3h")), "missing/keep");
    assert_eq!(verdict(&verdict_of(&later(9999), "keep")), "missing/keep");
}

#[test]
fn without_its_store_a_session_is_not_missing_for_good() {
    let world = World::new();
    world.map(&nested(&[("claude-cli", "a", &id(1)), ("codex-cli", "b", CODEX_ID)]));
    for (_, entry) in world.entries(&["--missing", "prune"]) {
        assert_verdict(&entry, "missing/keep", "the provider's folder is not there either");
    }
}

#[test]
fn all_sessions_of_a_provider_missing_at_once_means_the_wrong_home() {
    let world = World::new();
    world.claude(&id(99), 1);
    let all: Vec<String> = (1..=3).map(id).collect();
    world.map(&nested(&[("claude-cli", "a", &all[0]), ("claude-sonnet", "b", &all[1]), ("claude-cli", "c", &all[2])]));
    let document = world.json(&["prune", "--missing", "prune"]);
    for (_, entry) in by_chat(&document) {
        assert_verdict(&entry, "missing/keep", "wrong home folder");
    }
    let note = document["notes"][0].as_str().unwrap();
    assert!(note.contains("all 3 claude sessions are missing"), "{note}");
    assert!(note.contains("CLAUDE_CONFIG_DIR"), "{note}");
    assert_eq!(document["summary"]["pruned"], 0);
    // Two of two are too few to tell, and so is three of four.
    world.map(&nested(&[("claude-cli", "a", &all[0]), ("claude-cli", "b", &all[1])]));
    assert_eq!(world.verdict("a", &["--missing", "prune"]), "missing/prune");
    world.map(&nested(&[
        ("claude-cli", "a", &all[0]),
        ("claude-cli", "b", &all[1]),
        ("claude-cli", "c", &all[2]),
        ("claude-cli", "d", &id(99)),
    ]));
    assert_eq!(world.verdict("a", &["--missing", "prune"]), "missing/prune");
}

#[test]
fn all_sessions_that_no_provider_claims_missing_at_once_are_kept() {
    let world = World::new();
    world.claude(&id(99), 1);
    let all: Vec<String> = (1..=3).map(id).collect();
    world.map(&nested(&[("my-gateway", "a", &all[0]), ("my-gateway", "b", &all[1]), ("other", "c", &all[2])]));
    let document = world.json(&["prune", "--missing", "prune"]);
    for (_, entry) in by_chat(&document) {
        assert_verdict(&entry, "missing/keep", "wrong home folder");
    }
    let note = document["notes"][0].as_str().unwrap();
    assert!(note.contains("all 3 sessions of models that no provider claims are missing"), "{note}");
    assert_eq!(document["summary"]["pruned"], 0);
    // One of two is missing like any.
    world.map(&nested(&[("my-gateway", "gone", &all[0]), ("my-gateway", "there", &id(99))]));
    let prune_at = |hours| by_chat(&world.json_at(&later(hours), &["prune", "--idle", "never"]));
    assert_verdict(&prune_at(0)["gone"], "missing/keep", "first seen missing now");
    assert_verdict(&prune_at(23)["gone"], "missing/keep", "not long enough");
    assert_verdict(&prune_at(24)["gone"], "missing/prune", "no transcript for");
    assert_eq!(world.map_json(), json!({"my-gateway": {"there": id(99)}}));
}

/// Closes a folder to everybody but root.
fn close(path: &std::path::Path) {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o000)).unwrap();
}

fn open(path: &std::path::Path) {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn in_a_store_that_was_not_read_completely_nothing_is_missing() {
    let world = World::new();
    world.claude(&id(1), 1);
    let closed = world.file(&format!(".claude/projects/-closed/{}.jsonl", id(2)), "{}\n", 600);
    let closed = closed.parent().unwrap();
    world.map(&nested(&[("claude-cli", "there", &id(1)), ("claude-cli", "behind", &id(2))]));
    close(closed);
    let ran = world.run_unprivileged(&["prune", "--json", "--missing", "prune"]).ends_with(4);
    open(closed);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let entries = by_chat(&document);
    assert_verdict(&entries["there"], "active/keep", "");
    assert_verdict(&entries["behind"], "unknown/keep", "could not look everywhere");
    let note = document["notes"][0].as_str().unwrap();
    assert!(note.starts_with("claude: ") && note.contains("-closed") && note.contains("denied"), "{note}");
    assert_eq!(verdict(&world.entries(&["--missing", "prune"])["behind"]), "idle/prune");
}

#[test]
fn a_store_that_is_closed_is_not_one_that_is_empty() {
    let world = World::new();
    world.claude(&id(1), 600);
    world.map(&nested(&[("claude-cli", "a", &id(1))]));
    for folder in [".claude/projects", ".claude"] {
        let folder = world.home().join(folder);
        close(&folder);
        let ran = world.run_unprivileged(&["prune", "--json", "--missing", "prune"]).ends_with(4);
        open(&folder);
        assert_verdict(&by_chat(&serde_json::from_str(&ran.stdout).unwrap())["a"], "unknown/keep", "could not look");
    }
}

#[test]
fn sub_agents_that_cannot_be_looked_at_keep_their_parent() {
    let world = World::new();
    world.claude(&id(1), 600);
    world.claude(&id(2), 600);
    let subagent = format!(".claude/projects/-work/{}/subagents/agent-1.jsonl", id(1));
    let subagent = world.file(&subagent, "{}\n", 1);
    world.map(&nested(&[("claude-cli", "a", &id(1)), ("claude-cli", "b", &id(2))]));
    for closed in subagent.ancestors().skip(1).take(2) {
        close(closed);
        let ran = world.run_unprivileged(&["prune", "--dry-run", "--json"]).ends_with(4);
        open(closed);
        let entries = by_chat(&serde_json::from_str(&ran.stdout).unwrap());
        assert_verdict(&entries["a"], "unknown/keep", "could not look at its sub-agents: ");
        assert_verdict(&entries["b"], "idle/prune", "");
    }
}

#[test]
fn a_transcript_that_cannot_be_read_is_unknown_by_content() {
    let world = World::new();
    let transcript = world.claude(&id(1), 600);
    world.map(&nested(&[("claude-cli", "a", &id(1))]));
    close(&transcript);
    let ran = world.run_unprivileged(&["prune", "--dry-run", "--json", "--activity", "content"]);
    let entries = by_chat(&serde_json::from_str(&ran.stdout).unwrap());
    assert_verdict(&entries["a"], "unknown/keep", "could not read");
}

#[test]
fn a_missing_session_that_the_map_says_was_used_is_kept() {
    let world = World::new();
    world.claude(&id(1), 1);
    let entry = |minutes| json!({"session_id": id(2), "updated_at": ago(minutes)});
    for (minutes, expected) in [(5, "missing/keep"), (600, "missing/prune")] {
        world.map(&json!({"claude-cli": {"there": id(1), "gone": entry(minutes)}}).to_string());
        assert_eq!(world.verdict("gone", &["--missing", "prune"]), expected, "{minutes}");
    }
}

#[test]
fn a_session_that_is_in_none_of_the_days_that_its_id_tells_is_looked_for_in_all_of_them() {
    let world = World::new();
    let other = "01a1f848-a839-76b1-8ae4-fec190f7342f";
    world.codex(other, 1);
    // Made on 2026-11-20, kept in a folder of another year, as by a machine whose clock was wrong.
    let line = format!("{{\"type\":\"session_meta\",\"payload\":{{\"id\":\"{CODEX_ID}\"}}}}\n");
    let path = |day| format!(".codex/sessions/{day}/rollout-2019-01-02T00-00-00-{CODEX_ID}.jsonl");
    world.map(&nested(&[("codex-cli", "there", other), ("codex-cli", "astray", CODEX_ID)]));
    for day in ["2019/01/02", "2026/01/02", "2026/11/02"] {
        for (minutes, expected) in [(1, "active/keep"), (600, "idle/prune")] {
            let rollout = world.file(&path(day), &line, minutes);
            let entry = &world.entries(&["--missing", "prune"])["astray"];
            assert_verdict(entry, expected, "");
            assert_eq!(entry["transcript"], rollout.to_str().unwrap());
        }
        fs_err::remove_file(world.home().join(path(day))).unwrap();
    }
    assert_eq!(world.verdict("astray", &["--missing", "prune"]), "missing/prune");
}

// --- unknown

#[test]
fn a_time_in_the_future_makes_a_session_unknown() {
    let world = World::new();
    world.claude(&id(1), -5);
    world.claude(&id(2), -6);
    world.map(&nested(&[("claude-cli", "ahead", &id(1)), ("claude-cli", "wrong", &id(2))]));
    let entries = world.entries(&["--idle", "1s"]);
    assert_verdict(&entries["ahead"], "active/keep", "");
    assert_eq!(entries["ahead"]["idle_seconds"], 0);
    assert_verdict(&entries["wrong"], "unknown/keep", "future");
    assert_eq!(verdict(&world.entries(&["--idle", "never"])["wrong"]), "unknown/keep");
}

#[test]
fn a_time_that_cannot_be_read_makes_a_mapping_unknown() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    for time in [json!("yesterday"), json!("2026-13-40T00:00:00Z"), json!(true), json!([1]), json!(1e300)] {
        world.map(&json!({"claude-cli": {"a": {"session_id": CLAUDE_ID, "updated_at": time}}}).to_string());
        assert_verdict(&world.entries(&[])["a"], "unknown/keep", "`updated_at` of this chat is no time");
    }
    // No time is none, and a time in the future is one.
    world.map(&json!({"claude-cli": {"a": {"session_id": CLAUDE_ID, "updated_at": null}}}).to_string());
    assert_eq!(world.verdict("a", &[]), "idle/prune");
    world.map(&json!({"claude-cli": {"a": {"session_id": CLAUDE_ID, "updated_at": ago(-10)}}}).to_string());
    assert_verdict(&world.entries(&[])["a"], "unknown/keep", "future");
}

#[test]
fn ids_that_could_be_paths_patterns_or_options_match_nothing_and_are_reported() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.file(".claude/projects/-work/-rf.jsonl", "{}\n", 600);
    world.file(".claude/x.jsonl", "{}\n", 600);
    let long = "a".repeat(10_000);
    let evil = ["../../x", "*", "a\0b", "-rf", long.as_str(), "", "a/b", "[0-9]*", "é", ".."];
    let map: serde_json::Map<String, Value> = evil.iter().map(|id| (format!("chat {id}"), json!(id))).collect();
    world.map(&json!({"claude-cli": map}).to_string());
    let entries = world.entries(&["--missing", "prune"]);
    assert_eq!(entries.len(), evil.len());
    for id in evil {
        let entry = &entries[&format!("chat {id}")];
        assert_verdict(entry, "unknown/keep", "the session id");
        assert_eq!(entry["transcript"], Value::Null);
    }
    let before = world.map_text();
    world.run(&["prune", "--missing", "prune"]).ends_with(0);
    assert_eq!(world.map_text(), before);
}

// --- sub-agents, copies, times in the map

#[test]
fn work_of_sub_agents_keeps_their_parent() {
    let world = World::new();
    let project = ".claude/projects/-work";
    world.claude(&id(1), 600);
    world.file(&format!("{project}/{}/subagents/agent-a62e4bc2c1151be95.jsonl", id(1)), "{}\n", 30);
    world.claude(&id(2), 600);
    let flat = format!("{{\"isSidechain\":true,\"sessionId\":\"{}\",\"agentId\":\"56449de6\"}}\n", id(2));
    world.file(&format!("{project}/agent-56449de6.jsonl"), flat, 31);
    world.claude(&id(3), 600);
    world.gemini(GEMINI_ID, 600);
    world.file(&format!(".gemini/tmp/work/chats/{GEMINI_ID}/b8ae8a87.jsonl"), "{}\n", 32);
    world.map(&nested(&[
        ("claude-cli", "below", &id(1)),
        ("claude-cli", "beside", &id(2)),
        ("claude-cli", "alone", &id(3)),
        ("gemini-cli", "gemini", GEMINI_ID),
    ]));
    let entries = world.entries(&[]);
    for (chat, seconds) in [("below", 30 * 60), ("beside", 31 * 60), ("gemini", 32 * 60)] {
        assert_verdict(&entries[chat], "active/keep", "");
        assert_eq!(entries[chat]["source"], "subagent-mtime", "{chat}");
        assert_eq!(entries[chat]["idle_seconds"], seconds, "{chat}");
    }
    assert_verdict(&entries["alone"], "idle/prune", "");
    // Where all are idle the newest still tells since when; those beside are read only when they are recent.
    let entries = world.entries(&["--idle", "20m"]);
    for (chat, minutes) in [("below", 30), ("beside", 600), ("gemini", 32), ("alone", 600)] {
        assert_verdict(&entries[chat], "idle/prune", "");
        assert_eq!(entries[chat]["idle_seconds"], minutes * 60, "{chat}");
    }
    // Where file times are not believed all of them are read.
    let entries = world.entries(&["--activity", "content"]);
    for (chat, minutes) in [("below", 30), ("beside", 31), ("gemini", 32), ("alone", 600)] {
        assert_eq!(entries[chat]["idle_seconds"], minutes * 60, "{chat}");
    }
    // Beside a main transcript that was used within the threshold nobody looks for sub-agents.
    let entries = world.entries(&["--idle", "11h"]);
    for chat in ["below", "beside", "gemini", "alone"] {
        assert_eq!(entries[chat]["source"], "transcript-mtime", "{chat}");
    }
}

#[test]
fn by_content_any_sub_agent_may_be_the_one_that_was_active_last() {
    let world = World::new();
    let session = id(1);
    world.file(&format!(".claude/projects/-work/{session}.jsonl"), line(900, "a"), 900);
    let agent = |name: &str, said, minutes| {
        let path = format!(".claude/projects/-work/{session}/subagents/agent-{name}.jsonl");
        world.file(&path, line(said, "b"), minutes);
    };
    // As after a backup was put back: the order of the files' times says nothing.
    for (name, said, minutes) in [("1", 800, 5), ("2", 30, 700), ("3", 600, 6)] {
        agent(name, said, minutes);
    }
    world.map(&nested(&[("claude-cli", "a", &session)]));
    let entry = &world.entries(&["--activity", "content"])["a"];
    assert_verdict(entry, "active/keep", "");
    assert_eq!((&entry["source"], &entry["idle_seconds"]), (&json!("subagent-record"), &json!(30 * 60)));
}

#[test]
fn a_sub_agents_time_in_the_future_makes_the_session_unknown() {
    let world = idle_claude();
    world.file(&format!(".claude/projects/-work/{CLAUDE_ID}/subagents/agent-1.jsonl"), "{}\n", -60);
    assert_verdict(&world.entries(&[])["a"], "unknown/keep", "future");
}

#[test]
fn a_short_id_is_not_taken_for_the_end_of_a_long_one() {
    let world = World::new();
    let rollout = world.codex(CODEX_ID, 600);
    let end = CODEX_ID.rsplit_once('-').unwrap().1;
    for mappings in [[("a", end), ("b", CODEX_ID)], [("b", CODEX_ID), ("a", end)]] {
        world.map(&nested(&mappings.map(|(chat, session)| ("codex-cli", chat, session))));
        let entries = world.entries(&[]);
        assert_eq!(entries["b"]["transcript"], rollout.to_str().unwrap());
        assert_eq!(verdict(&entries["a"]), "missing/keep");
    }
}

#[test]
fn what_could_not_be_seen_of_processes_is_no_matter_for_an_active_session() {
    let world = World::new();
    world.claude(&id(1), 1);
    world.claude(&id(2), 600);
    let records = world.home().join(".claude/sessions");
    fs_err::create_dir_all(&records).unwrap();
    fs_err::set_permissions(&records, std::fs::Permissions::from_mode(0o000)).unwrap();
    world.map(&nested(&[("claude-cli", "active", &id(1)), ("claude-cli", "idle", &id(2))]));
    let ran = world.run_unprivileged(&["prune", "-n", "--json"]).ends_with(4);
    let entries = by_chat(&serde_json::from_str(&ran.stdout).unwrap());
    assert_verdict(&entries["active"], "active/keep", "");
    assert_verdict(&entries["idle"], "unknown/keep", "could not look for live processes");
}

#[test]
fn the_newest_copy_in_any_project_counts() {
    let world = idle_claude();
    let copy = world.file(&format!(".claude/projects/-other/{CLAUDE_ID}.jsonl"), "{}\n", 10);
    world.file(&format!(".claude/projects/-third/{CLAUDE_ID}.jsonl"), "{}\n", 999);
    let entries = world.entries(&[]);
    assert_verdict(&entries["a"], "active/keep", "");
    assert_eq!(entries["a"]["transcript"], copy.to_str().unwrap());
    touch(&copy, 121);
    assert_eq!(world.verdict("a", &[]), "idle/prune");
    assert_eq!(world.entries(&[])["a"]["idle_seconds"], 121 * 60);
}

#[test]
fn codex_rollouts_are_found_in_every_place_that_codex_used() {
    let world = World::new();
    let names = [
        ".codex/sessions/2026/11/19/rollout-2026-11-19T23-59-59-{id}.jsonl",
        ".codex/sessions/2026/11/20/rollout-2026-11-20T00-00-00-{id}.jsonl.zst",
        ".codex/sessions/rollout-2025-05-01-{id}.jsonl",
        ".codex/sessions/rollout-2025-05-01-{id}.json",
        ".codex/sessions/{id}.jsonl",
        ".codex/archived_sessions/rollout-2026-11-20T00-00-00-{id}.jsonl",
        ".codex/archived_sessions/rollout-2026-11-20T00-00-00-{id}.jsonl.zst",
    ];
    let ids: Vec<String> = (1..=names.len() as u32).map(id).collect();
    let mut map = Vec::new();
    for (name, id) in names.iter().zip(&ids) {
        world.file(&name.replace("{id}", id), "x", 300);
        map.push(("codex-cli", *name, id.as_str()));
    }
    world.map(&nested(&map));
    let entries = world.entries(&[]);
    for (name, id) in names.iter().zip(&ids) {
        assert_verdict(&entries[*name], "idle/prune", "");
        let path = world.home().join(name.replace("{id}", id));
        assert_eq!(entries[*name]["transcript"], path.to_str().unwrap());
    }
}

#[test]
fn eight_characters_in_a_gemini_name_are_confirmed_inside() {
    let world = World::new();
    let twin = format!("{}-ffff-4fff-8fff-ffffffffffff", &GEMINI_ID[..8]);
    world.gemini(GEMINI_ID, 600);
    let json = format!("{{\n  \"sessionId\": \"{twin}\",\n  \"messages\": []\n}}");
    world.file(&format!(".gemini/tmp/other/chats/session-2026-01-01T00-00-{}.json", &twin[..8]), json, 5);
    world.map(&nested(&[("gemini-cli", "a", GEMINI_ID), ("gemini-cli", "b", &twin)]));
    let entries = world.entries(&[]);
    assert_verdict(&entries["a"], "idle/prune", "");
    assert_verdict(&entries["b"], "active/keep", "");
}

#[test]
fn a_time_in_the_maps_own_entry_keeps_it() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    let seconds = NOW - 600;
    for (field, time, expected) in [
        ("lastUsedAt", json!(seconds * 1000), "active/keep"),
        ("updated", json!(seconds), "active/keep"),
        ("updated_at", json!(1_795_175_400.5), "active/keep"),
        ("last_activity", json!(ago(10)), "active/keep"),
        ("createdAt", json!("2026-11-20T13:50:00+02:00"), "active/keep"),
        ("lastUsedAt", json!((NOW - 9000) * 1000), "idle/prune"),
        ("turns", json!(seconds), "idle/prune"),
    ] {
        world.map(&json!({"claude-cli": {"a": {"session_id": CLAUDE_ID, field: time}}}).to_string());
        let entry = &world.entries(&[])["a"];
        assert_eq!(verdict(entry), expected, "{field} {time}");
        if expected == "active/keep" {
            assert_eq!(entry["source"], "map-entry");
            assert!((599..=600).contains(&entry["idle_seconds"].as_u64().unwrap()), "{entry}");
        }
    }
}

#[test]
fn a_time_counts_in_every_form_of_entry() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    let maps = |time: u64| {
        [
            json!({"a": {"session_id": CLAUDE_ID, "lastUsedAt": time * 1000}}),
            json!({CLAUDE_ID: {"hermes_session_id": "a", "turns": 4, "updated": time}}),
            json!({"channelMap": [["a", {"sessionId": CLAUDE_ID, "createdAt": time * 1000}]]}),
            json!({"version": 1, "sessions": {"a": {"session_id": CLAUDE_ID, "updated_at": time}}}),
        ]
    };
    for (recent, old) in maps(NOW - 600).iter().zip(maps(NOW - 9000)) {
        let entry = &world.map(&recent.to_string()).entries(&[])["a"];
        assert_verdict(entry, "active/keep", "");
        assert_eq!((&entry["source"], &entry["idle_seconds"]), (&json!("map-entry"), &json!(600)), "{recent}");
        assert_eq!(world.map(&old.to_string()).verdict("a", &[]), "idle/prune", "{old}");
    }
}

#[test]
fn an_old_time_in_the_map_makes_no_transcript_older() {
    let world = World::new();
    world.claude(CLAUDE_ID, 1);
    world.map(&json!({"claude-cli": {"a": {"sessionId": CLAUDE_ID, "lastUsedAt": (NOW - 86_400) * 1000}}}).to_string());
    let entry = &world.entries(&[])["a"];
    assert_verdict(entry, "active/keep", "");
    assert_eq!((&entry["source"], &entry["idle_seconds"]), (&json!("transcript-mtime"), &json!(60)));
}

#[test]
fn whether_a_home_is_the_right_one_shows_in_the_sessions_that_were_looked_for_there() {
    let world = World::new();
    world.claude(&id(9), 1);
    let gone: Vec<String> = (1..=3).map(id).collect();
    let three = |model| [(model, "a", gone[0].as_str()), (model, "b", &gone[1]), (model, "c", &gone[2])];
    // One that is there, wherever it was found, shows that the stores are.
    world.map(&nested(&[&three("my-gateway")[..], &[("my-gateway", "there", &id(9))]].concat()));
    let document = world.json(&["prune", "--dry-run", "--missing", "prune"]);
    assert_eq!((&document["summary"]["pruned"], &document["notes"]), (&json!(3), &json!([])), "{document}");
    // But it says nothing for those that were looked for in one store alone.
    world.map(&nested(&[&three("claude-cli")[..], &[("my-gateway", "there", &id(9))]].concat()));
    let document = world.json(&["prune", "--dry-run", "--missing", "prune"]);
    assert_eq!(document["summary"]["pruned"], 0, "{document}");
    assert_verdict(&by_chat(&document)["a"], "missing/keep", "wrong home folder");
}

#[test]
fn a_model_that_nobody_claims_is_searched_everywhere() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.codex(CODEX_ID, 600);
    world.gemini(GEMINI_ID, 600);
    let unclaimed = [("my-gateway", "a", CLAUDE_ID), ("my-gateway", "b", CODEX_ID), ("my-gateway", "c", GEMINI_ID)];
    world.map(&nested(&unclaimed));
    let entries = world.entries(&[]);
    for (chat, provider) in [("a", "claude"), ("b", "codex"), ("c", "gemini")] {
        assert_verdict(&entries[chat], "idle/prune", "");
        assert_eq!(entries[chat]["provider"], provider);
    }
    // A claimed model is searched in its own store alone.
    world.map(&nested(&[("codex-cli", "a", CLAUDE_ID), ("codex-cli", "b", CODEX_ID)]));
    assert_eq!(verdict(&world.entries(&[])["a"]), "missing/keep");
}

#[test]
fn a_model_filter_looks_at_nothing_else() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.codex(CODEX_ID, 600);
    world.gemini(GEMINI_ID, 600);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID), ("codex-cli", "b", CODEX_ID), ("gemini-cli", "c", GEMINI_ID)]));
    let document = world.json(&["prune", "--model", "codex-cli", "--model", "gemini-cli"]);
    assert_eq!(document["summary"]["checked"], 2);
    assert_eq!(world.map_json(), json!({"claude-cli": {"a": CLAUDE_ID}, "codex-cli": {}, "gemini-cli": {}}));
    let ran = world.run(&["prune", "--dry-run", "--model", "codex\u{202e}"]).ends_with(0);
    assert!(ran.stderr.contains("no chat of model `codex\\u{202e}`"), "{}", ran.stderr);
}

// --- content

fn line(minutes: i64, text: &str) -> String {
    format!("{{\"type\":\"user\",\"message\":\"{text}\",\"timestamp\":\"{}\"}}\n", ago(minutes))
}

#[test]
fn the_content_tells_where_file_times_lie() {
    let world = World::new();
    let path = format!(".claude/projects/-work/{CLAUDE_ID}.jsonl");
    world.file(&path, line(500, "a") + &line(300, "b"), 1);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID)]));
    assert_eq!(world.verdict("a", &[]), "active/keep");
    let entry = &world.entries(&["--activity", "content"])["a"];
    assert_verdict(entry, "idle/prune", "");
    assert_eq!(entry["source"], "transcript-record");
    assert_eq!(entry["idle_seconds"], 300 * 60);
    assert_eq!(entry["mtime"], "2026-11-20T11:59:00Z");
    let text = world.run(&["prune", "--dry-run", "--activity", "content"]).ends_with(0).stdout;
    assert!(text.contains("mtime says 1m"), "{text}");
    // And the other way round: a restored copy with an old time.
    world.file(&path, line(10, "a"), 5000);
    assert_eq!(world.verdict("a", &[]), "idle/prune");
    assert_eq!(world.verdict("a", &["--activity", "content"]), "active/keep");
}

#[test]
fn the_last_dated_record_is_found_behind_torn_and_undated_lines() {
    let world = World::new();
    let path = format!(".claude/projects/-work/{CLAUDE_ID}.jsonl");
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID)]));
    let huge = "x".repeat(3 << 20);
    for (what, tail) in [
        ("torn", format!("{{\"type\":\"user\",\"timestamp\":\"{}", ago(1))),
        ("undated", "{\"type\":\"last-prompt\"}\n{\"type\":\"cost-state\",\"cost\":1}\n".repeat(2000)),
        ("huge and undated", format!("{{\"type\":\"api-request-blob\",\"blob\":\"{huge}\"}}\n")),
        ("empty", "\n\n\n".to_owned()),
    ] {
        world.file(&path, line(999, "first") + &line(200, "last") + &tail, 1);
        let entry = &world.entries(&["--activity", "content"])["a"];
        assert_verdict(entry, "idle/prune", "");
        assert_eq!(entry["idle_seconds"], 200 * 60, "{what}");
    }
    // A huge record that is dated counts itself.
    world.file(&path, line(999, "first") + &line(20, &huge), 999);
    assert_eq!(world.entries(&["--activity", "content"])["a"]["idle_seconds"], 20 * 60);
    // Without any dated record, or with one after the last dated that cannot be read, the file time is what is left.
    for (what, content) in [
        ("undated", "{\"type\":\"mode\"}\n".to_owned()),
        ("no JSON", line(200, "last") + "garbage\n"),
        ("no time", line(200, "last") + "{\"type\":\"user\",\"timestamp\":\"soon\"}\n{\"type\":\"mode\"}\n"),
    ] {
        world.file(&path, content, 1);
        let entry = &world.entries(&["--activity", "content"])["a"];
        assert_verdict(entry, "active/keep", "");
        assert_eq!(entry["source"], "transcript-mtime", "{what}");
    }
}

#[test]
fn compressed_rollouts_are_read_inside() {
    let world = World::new();
    let text = line(999, "first") + &line(250, "last");
    let compressed = ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest);
    let path = format!(".codex/sessions/2026/11/20/rollout-2026-11-20T09-27-49-{CODEX_ID}.jsonl.zst");
    world.file(&path, &compressed, 1);
    world.map(&nested(&[("codex-cli", "a", CODEX_ID)]));
    let entry = &world.entries(&["--activity", "content"])["a"];
    assert_verdict(entry, "idle/prune", "");
    assert_eq!(entry["idle_seconds"], 250 * 60);
    world.file(&path, &compressed[..compressed.len() / 2], 600);
    assert_verdict(&world.entries(&["--activity", "content"])["a"], "unknown/keep", "could not read");
}

#[test]
fn sub_agents_are_read_inside_too() {
    let world = World::new();
    world.file(&format!(".claude/projects/-work/{CLAUDE_ID}.jsonl"), line(300, "main"), 1);
    let subagent = format!(".claude/projects/-work/{CLAUDE_ID}/subagents/agent-1.jsonl");
    world.file(&subagent, line(15, "sub"), 600);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID)]));
    let entry = &world.entries(&["--activity", "content"])["a"];
    assert_verdict(entry, "active/keep", "");
    assert_eq!(entry["source"], "subagent-record");
    assert_eq!(entry["idle_seconds"], 15 * 60);
}

#[test]
fn the_newest_record_of_any_copy_counts() {
    let world = World::new();
    let copy = |project: &str, newest: i64, changed: i64| {
        let text = line(999, "first") + &line(newest, "last");
        world.file(&format!(".claude/projects/{project}/{CLAUDE_ID}.jsonl"), text, changed);
    };
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID)]));
    for (newest_by_time, other) in [("-work", "-other"), ("-other", "-work")] {
        copy(newest_by_time, 300, 5);
        copy(other, 20, 5000);
        let entry = &world.entries(&["--activity", "content"])["a"];
        assert_verdict(entry, "active/keep", "");
        assert_eq!((&entry["source"], &entry["idle_seconds"]), (&json!("transcript-record"), &json!(20 * 60)));
        copy(other, 250, 5000);
        assert_eq!(world.entries(&["--activity", "content"])["a"]["idle_seconds"], 250 * 60);
    }
}

// --- databases

#[test]
fn opencode_sessions_are_read_from_their_database() {
    let world = World::new();
    let time = |minutes: u64| rusqlite::types::Value::Integer((NOW - minutes * 60) as i64 * 1000);
    world.opencode(&[
        ("ses_active", None, time(5)),
        ("ses_idle", None, time(500)),
        ("ses_parent", None, time(500)),
        ("ses_child", Some("ses_parent"), time(6)),
    ]);
    world.map(&nested(&[
        ("opencode", "active", "ses_active"),
        ("opencode", "idle", "ses_idle"),
        ("opencode", "parent", "ses_parent"),
        ("opencode", "gone", "ses_gone"),
    ]));
    let entries = world.entries(&[]);
    let verdicts: Vec<_> = ["active", "idle", "parent", "gone"].map(|chat| verdict(&entries[chat])).into();
    assert_eq!(verdicts, ["active/keep", "idle/prune", "active/keep", "missing/keep"]);
    assert_eq!(entries["idle"]["source"], "database");
    assert_eq!(entries["parent"]["idle_seconds"], 360);
    world.run(&["prune"]).ends_with(0);
    assert_eq!(world.tombstones()[0]["cwd"], "/work");
}

#[test]
fn a_database_that_cannot_be_read_keeps_its_sessions() {
    let world = World::new();
    let garbage = "this is no database at all, but longer than the header of one would be ".repeat(9);
    let path = world.file(".local/share/opencode/opencode.db", garbage, 600);
    world.map(&nested(&[("opencode", "a", "ses_a")]));
    let before = world.map_text();
    let ran = world.run(&["prune", "--json", "--missing", "prune"]).ends_with(4);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_verdict(&by_chat(&document)["a"], "unknown/keep", "could not look everywhere");
    let note = document["notes"][0].as_str().unwrap();
    assert!(note.starts_with("opencode: ") && note.contains(path.to_str().unwrap()), "{note}");
    assert_eq!(world.map_text(), before);
}

#[test]
fn a_row_whose_time_cannot_be_read_makes_its_session_unknown() {
    let world = World::new();
    let text = |text: &str| rusqlite::types::Value::Text(text.to_owned());
    world.opencode(&[("ses_soon", None, text("soon")), ("ses_idle", None, text("2026-11-19 12:00:00"))]);
    world.map(&nested(&[("opencode", "soon", "ses_soon"), ("opencode", "idle", "ses_idle")]));
    let entries = world.entries(&["--missing", "prune"]);
    assert_verdict(&entries["soon"], "unknown/keep", "no readable time");
    assert_verdict(&entries["idle"], "idle/prune", "");
}

#[test]
fn what_is_not_found_where_not_all_places_are_known_is_unknown() {
    let world = World::new();
    world.file(&format!(".cursor/chats/0123/{}/store.db", id(1)), "x", 600);
    world.map(&nested(&[("cursor-cli", "a", &id(1)), ("cursor-cli", "b", &id(2))]));
    let entries = world.entries(&["--missing", "prune"]);
    assert_verdict(&entries["a"], "idle/prune", "");
    assert_verdict(&entries["b"], "unknown/keep", "not all places in which cursor keeps sessions are known");
}

#[test]
fn a_day_that_cannot_be_looked_into_is_said_so() {
    let world = World::new();
    world.codex(CODEX_ID, 5);
    world.map(&nested(&[("codex-cli", "a", "01a05921-24dd-7ab7-a1ef-f2deedeb56a7"), ("codex-cli", "b", CODEX_ID)]));
    let closed = world.home().join(".codex/sessions/2020/01/01");
    fs_err::create_dir_all(&closed).unwrap();
    fs_err::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
    let ran = world.run_unprivileged(&["prune", "--dry-run", "--missing", "prune", "--json"]).ends_with(4);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_verdict(&by_chat(&document)["a"], "unknown/keep", "could not look everywhere");
    assert!(document["notes"][0].as_str().unwrap().contains("2020/01/01"), "{document}");
}

#[test]
fn looking_at_one_model_forgets_nothing_of_the_others() {
    let world = World::new();
    world.claude(CLAUDE_ID, 5);
    world.codex(CODEX_ID, 5);
    let missing = "01a05921-24dd-7ab7-a1ef-f2deedeb56a7";
    world.map(&nested(&[
        ("claude-cli", "a", CLAUDE_ID),
        ("claude-cli", "gone", &id(1)),
        ("codex-cli", "b", CODEX_ID),
        ("codex-cli", "lost", missing),
    ]));
    world.run(&["prune"]).ends_with(0);
    world.run_at(&later(12), &["prune", "--model", "codex-cli", "--idle", "never"]).ends_with(0);
    let document = world.json_at(&later(25), &["prune", "--dry-run", "--idle", "never"]);
    assert_eq!(document["summary"]["pruned"], 2, "{document}");
}

#[test]
fn the_wrong_home_shows_in_all_of_a_providers_mappings() {
    let world = World::new();
    world.file(".claude/projects/-work/other.txt", "", 5);
    let chats = [("claude-a", "a", id(1)), ("claude-a", "b", id(2)), ("claude-b", "c", id(3))];
    world.map(&nested(&chats.each_ref().map(|(model, chat, id)| (*model, *chat, id.as_str()))));
    let document = world.json(&["prune", "--dry-run", "--missing", "prune", "--model", "claude-a"]);
    assert_eq!((&document["summary"]["checked"], &document["summary"]["pruned"]), (&json!(2), &json!(0)), "{document}");
}

#[test]
fn a_clock_that_was_wrong_once_does_not_keep_the_missing_for_ever() {
    let world = World::new();
    world.claude(CLAUDE_ID, 5);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID), ("claude-cli", "gone", &id(1))]));
    world.run_at(&later(10_000), &["prune", "--idle", "never"]).ends_with(0);
    world.run(&["prune"]).ends_with(0);
    let document = world.json_at(&later(25), &["prune", "--dry-run", "--idle", "never"]);
    assert_eq!(document["summary"]["pruned"], 1, "{document}");
}

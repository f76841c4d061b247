//! `session-sweep resolve`: what a bridge is told about one chat.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::left_behind::{boot_id, id, nested, start_ticks};
use crate::machine::set_mode;
use crate::world::{CLAUDE_ID, CODEX_ID, GEMINI_ID, World, ago, wait_until};

fn resolve(world: &World, model: &str, chat: &str) -> Value {
    let ran = world.run(&["resolve", "--model", model, "--chat", chat]).ends_with(0);
    assert_eq!(ran.stdout.lines().count(), 1, "one document: {}", ran.stdout);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// `state/advice`.
fn verdict(answer: &Value) -> String {
    format!("{}/{}", answer["state"].as_str().unwrap(), answer["advice"].as_str().unwrap())
}

#[track_caller]
fn assert_advice(answer: &Value, expected: &str, reason: &str) {
    assert_eq!(verdict(answer), expected, "{answer:#}");
    assert!(answer["reason"].as_str().unwrap().contains(reason), "{answer:#}");
    let resumes = expected.ends_with("resume");
    assert_eq!(answer["command"].is_array(), resumes, "{answer:#}");
    if resumes {
        let command = answer["command"].as_array().unwrap();
        let words: Vec<&str> = command.iter().map(|argument| argument.as_str().unwrap()).collect();
        assert_eq!(words.concat().matches("{prompt}").count(), 1, "{answer:#}");
        // Where a message that begins with `-` is a message: after `--`, or joined to its option.
        let (last, others) = words.split_last().unwrap();
        let joined = last.strip_suffix("={prompt}").is_some_and(|option| option.starts_with("--"));
        assert!(joined || *last == "{prompt}" && others.ends_with(&["--"]), "{answer:#}");
    }
}

/// The warnings in one text.
fn warnings(answer: &Value) -> String {
    answer["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap().to_owned() + "\n").collect()
}

/// A world with one idle chat `a` of each provider, and a folder that really exists as working folder.
fn world() -> World {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.codex(CODEX_ID, 600);
    world.gemini(GEMINI_ID, 600);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID), ("codex-cli", "a", CODEX_ID), ("gemini-cli", "a", GEMINI_ID)]));
    world
}

const RETENTION_OFF: &str = "{\"general\": {\"sessionRetention\": {\"enabled\": false}}} // mine";

#[test]
fn a_mapped_chat_is_resumed() {
    let world = world();
    let answer = resolve(&world, "claude-cli", "a");
    assert_advice(&answer, "mapped/resume", "the session's transcript is there");
    assert_eq!(answer["schema"], 1);
    assert_eq!(answer["session"], CLAUDE_ID);
    assert_eq!(answer["provider"], "claude");
    assert_eq!(answer["cwd"], "/work");
    assert_eq!(answer["pruned_at"], Value::Null);
    let transcript = world.home().join(format!(".claude/projects/-work/{CLAUDE_ID}.jsonl"));
    assert_eq!(answer["transcript"], transcript.to_str().unwrap());
    assert_eq!(
        answer["command"],
        json!(["claude", "-p", "--output-format", "json", "--resume", CLAUDE_ID, "--", "{prompt}"])
    );
}

#[test]
fn a_pruned_chat_is_resumed_in_its_own_folder() {
    let world = world();
    let work = world.home().join("work of mine");
    fs_err::create_dir(&work).unwrap();
    let line = format!("{{\"type\":\"session_meta\",\"payload\":{{\"id\":\"{CODEX_ID}\",\"cwd\":{}}}}}\n", json!(work));
    let rollout = format!(".codex/sessions/2026/11/20/rollout-2026-11-20T09-27-49-{CODEX_ID}.jsonl");
    let rollout = world.file(&rollout, line, 600);
    world.run(&["prune"]).ends_with(0);
    let answer = resolve(&world, "codex-cli", "a");
    assert_advice(&answer, "pruned/resume", "");
    assert_eq!(answer["cwd"], work.to_str().unwrap());
    assert_eq!(answer["transcript"], rollout.to_str().unwrap());
    assert_eq!(answer["pruned_at"], "2026-11-20T12:00:00Z");
    assert_eq!(answer["warnings"], json!([]));
    assert_eq!(
        answer["command"],
        json!(["codex", "exec", "--skip-git-repo-check", "--json", "resume", CODEX_ID, "--", "{prompt}"])
    );
}

#[test]
fn a_chat_whose_transcript_is_gone_is_replayed() {
    let world = world();
    world.run(&["prune", "--model", "claude-cli"]).ends_with(0);
    for (model, path) in [
        ("claude-cli", format!(".claude/projects/-work/{CLAUDE_ID}.jsonl")),
        ("codex-cli", format!(".codex/sessions/2026/11/20/rollout-2026-11-20T09-27-49-{CODEX_ID}.jsonl")),
    ] {
        fs_err::remove_file(world.home().join(path)).unwrap();
        let answer = resolve(&world, model, "a");
        assert_advice(&answer, "gone/replay", "not there any more");
        assert_eq!(answer["provider"], model.trim_end_matches("-cli"));
        assert_eq!(answer["transcript"], Value::Null);
    }
}

#[test]
fn a_chat_that_nobody_knows_is_replayed() {
    let world = world();
    for (model, chat) in [("claude-cli", "b"), ("other", "a"), ("claude-cli", "../../x"), ("claude-cli", "--all")] {
        let answer = resolve(&world, model, chat);
        assert_advice(&answer, "unknown/replay", "neither the map nor its tombstones know this chat");
        assert_eq!((&answer["model"], &answer["chat"]), (&json!(model), &json!(chat)));
        assert_eq!(answer["session"], Value::Null);
    }
    fs_err::remove_file(world.map_path()).unwrap();
    assert_advice(&resolve(&world, "claude-cli", "a"), "unknown/replay", "");
}

#[test]
fn an_id_that_is_no_id_is_never_resumed() {
    let world = World::new();
    world.claude(CLAUDE_ID, 1);
    for id in ["../../x", "*", "-rf", "a b", "", "a\0b", "--dangerously-skip-permissions"] {
        world.map(&nested(&[("claude-cli", "a", id)]));
        let answer = resolve(&world, "claude-cli", "a");
        assert_advice(&answer, "unknown/replay", "the session id");
        assert_eq!(answer["session"], id);
    }
}

#[test]
fn an_archived_codex_session_is_replayed_with_the_way_back() {
    let world = World::new();
    let line = format!("{{\"type\":\"session_meta\",\"payload\":{{\"id\":\"{CODEX_ID}\",\"cwd\":\"/work\"}}}}\n");
    world.file(&format!(".codex/archived_sessions/rollout-2026-11-20T09-27-49-{CODEX_ID}.jsonl"), line, 600);
    world.map(&nested(&[("codex-cli", "a", CODEX_ID)]));
    for state in ["mapped", "pruned"] {
        let answer = resolve(&world, "codex-cli", "a");
        assert_advice(&answer, &format!("{state}/replay"), "archived");
        assert!(warnings(&answer).contains(&format!("codex unarchive {CODEX_ID}")), "{answer}");
        world.run(&["prune"]).ends_with(0);
    }
}

#[test]
fn a_session_that_moved_after_it_was_pruned_is_found_again() {
    let world = world();
    world.run(&["prune"]).ends_with(0);
    let name = format!("rollout-2026-11-20T09-27-49-{CODEX_ID}.jsonl");
    fs_err::create_dir_all(world.home().join(".codex/sessions/2020/01/01")).unwrap();
    let moved = world.home().join(".codex/sessions/2020/01/01").join(&name);
    fs_err::rename(world.home().join(".codex/sessions/2026/11/20").join(&name), &moved).unwrap();
    let answer = resolve(&world, "codex-cli", "a");
    assert_advice(&answer, "pruned/resume", "");
    assert_eq!(answer["transcript"], moved.to_str().unwrap());
}

#[test]
fn gemini_is_not_resumed_while_its_clean_up_would_delete_the_session() {
    let world = world();
    let answer = resolve(&world, "gemini-cli", "a");
    assert_advice(&answer, "mapped/replay", "endanger");
    assert!(warnings(&answer).contains("general.sessionRetention.enabled"), "{answer}");
    assert!(warnings(&answer).contains("by default"), "{answer}");
    world.run(&["prune"]).ends_with(0);
    assert_advice(&resolve(&world, "gemini-cli", "a"), "pruned/replay", "endanger");
    for (settings, expected) in [
        (RETENTION_OFF, "pruned/resume"),
        ("{\"general\": {\"sessionRetention\": {\"enabled\": true}}}", "pruned/replay"),
        ("{\"general\": {}}", "pruned/replay"),
        ("{\"general\": {\"sessionRetention\": {\"enabled\": \"false\"}}}", "pruned/replay"),
        ("{", "pruned/replay"),
    ] {
        world.file(".gemini/settings.json", settings, 0);
        let answer = resolve(&world, "gemini-cli", "a");
        assert_eq!(verdict(&answer), expected, "{settings}");
        assert_eq!(answer["command"].is_array(), expected.ends_with("resume"), "{settings}");
        assert_eq!(warnings(&answer).contains("sessionRetention"), expected.ends_with("replay"), "{settings}");
    }
    world.file(".gemini/settings.json", RETENTION_OFF, 0);
    assert_eq!(
        resolve(&world, "gemini-cli", "a")["command"],
        json!(["gemini", "-o", "json", "--resume", GEMINI_ID, "--prompt={prompt}"])
    );
}

#[test]
fn the_projects_own_gemini_settings_count() {
    let world = world();
    let work = world.home().join("proj");
    world.file(".gemini/tmp/work/.project_root", work.to_str().unwrap(), 0);
    world.file(".gemini/settings.json", RETENTION_OFF, 0);
    world.file("proj/.gemini/settings.json", "{\"general\": {\"sessionRetention\": {\"enabled\": true}}}", 0);
    assert_eq!(verdict(&resolve(&world, "gemini-cli", "a")), "mapped/replay");
    world.file("proj/.gemini/settings.json", "{}", 0);
    let answer = resolve(&world, "gemini-cli", "a");
    assert_eq!(verdict(&answer), "mapped/resume");
    assert_eq!(answer["cwd"], work.to_str().unwrap());
}

#[test]
fn of_two_gemini_files_with_one_id_the_conversation_counts() {
    let world = world();
    world.file(".gemini/settings.json", RETENTION_OFF, 0);
    let stub = format!(
        "{{\"sessionId\":\"{GEMINI_ID}\",\"kind\":\"main\"}}\n\
         {{\"$set\":{{\"messages\":[{{\"id\":\"c\",\"type\":\"user\",\"content\":[{{\"text\":\"<session_context>\"}}]}}]}}}}\n"
    );
    let stub_path = format!(".gemini/tmp/work/chats/session-2026-11-20T09-29-{}.jsonl", &GEMINI_ID[..8]);
    let stub_path = world.file(&stub_path, stub, 300);
    let conversation =
        world.home().join(format!(".gemini/tmp/work/chats/session-2026-11-20T09-28-{}.jsonl", &GEMINI_ID[..8]));
    let answer = resolve(&world, "gemini-cli", "a");
    assert_eq!(answer["transcript"], conversation.to_str().unwrap(), "the stub is newer, and is none");
    world.run(&["prune"]).ends_with(0);
    let answer = resolve(&world, "gemini-cli", "a");
    assert_advice(&answer, "pruned/resume", "");
    assert_eq!(answer["transcript"], conversation.to_str().unwrap());
    // The conversation is gone, the stub is left: there is nothing to continue.
    fs_err::remove_file(conversation).unwrap();
    assert!(stub_path.exists());
    assert_advice(&resolve(&world, "gemini-cli", "a"), "pruned/replay", "no conversation");
}

#[test]
fn of_several_gemini_conversations_with_one_id_the_newest_counts() {
    for ages in [[2, 10, 20], [20, 2, 10], [10, 20, 2]] {
        let world = World::new();
        world.file(".gemini/settings.json", RETENTION_OFF, 0);
        let name = format!("session-2026-11-20T09-28-{}.jsonl", &GEMINI_ID[..8]);
        let spoken = format!("{{\"sessionId\":\"{GEMINI_ID}\"}}\n{{\"type\":\"user\"}}\n");
        let file = |project: &str, days: i64, text: &str| {
            world.file(&format!(".gemini/tmp/{project}/chats/{name}"), text, days * 24 * 60)
        };
        let copies = ["a", "b", "c"].map(|project| project.to_owned() + "-project");
        let paths: Vec<_> = copies.iter().zip(ages).map(|(project, days)| file(project, days, &spoken)).collect();
        // Newer than all of them, and no conversation.
        file("stub", 1, &format!("{{\"sessionId\":\"{GEMINI_ID}\"}}\n"));
        world.map(&nested(&[("gemini-cli", "a", GEMINI_ID)]));
        let newest = &paths[ages.iter().position(|days| *days == 2).unwrap()];
        assert_eq!(resolve(&world, "gemini-cli", "a")["transcript"], newest.to_str().unwrap(), "{ages:?}");
    }
}

#[test]
fn an_open_claude_session_is_continued_in_a_copy() {
    let mut world = world();
    let pid = world.sleeper();
    world.claude_record(pid, CLAUDE_ID, start_ticks(pid));
    let answer = resolve(&world, "claude-cli", "a");
    assert_advice(&answer, "mapped/resume", "");
    assert_eq!(
        answer["command"],
        json!(["claude", "-p", "--output-format", "json", "--fork-session", "--resume", CLAUDE_ID, "--", "{prompt}"])
    );
    assert!(warnings(&answer).contains(&format!("process {pid} has this session open")), "{answer}");
    world.end_child(pid);
    assert!(!resolve(&world, "claude-cli", "a")["command"].to_string().contains("fork"));
}

#[test]
fn an_open_codex_session_is_replayed() {
    let mut world = world();
    let path = world.file(&format!(".codex/thread-writer-locks/{CODEX_ID}.lock"), "", 0);
    let lock = File::open(path).unwrap();
    lock.lock().unwrap();
    let answer = resolve(&world, "codex-cli", "a");
    assert_advice(&answer, "mapped/replay", &format!("process {} has this session open", std::process::id()));
    assert!(warnings(&answer).contains("ask again"), "{answer}");
    lock.unlock().unwrap();
    assert_eq!(verdict(&resolve(&world, "codex-cli", "a")), "mapped/resume");
    let rollout = format!(".codex/sessions/2026/11/20/rollout-2026-11-20T09-27-49-{CODEX_ID}.jsonl");
    let rollout = File::open(world.home().join(rollout)).unwrap();
    let pid = world.child(Command::new("sleep").arg("1000").stdin(rollout));
    assert_eq!(verdict(&resolve(&world, "codex-cli", "a")), "mapped/replay");
    world.end_child(pid);
    wait_until(|| verdict(&resolve(&world, "codex-cli", "a")) == "mapped/resume");
}

#[test]
fn an_open_qwen_session_is_continued_in_a_copy() {
    let mut world = World::new();
    world.file(&format!(".qwen/projects/-w/chats/{CLAUDE_ID}.jsonl"), "{\"cwd\":\"/work\"}\n", 600);
    world.map(&nested(&[("qwen-cli", "a", CLAUDE_ID)]));
    let pid = world.sleeper();
    let start = format!("{}:{}", boot_id(), start_ticks(pid));
    let record = json!({"schemaVersion": 1, "pid": pid, "procStart": start, "sessionId": CLAUDE_ID, "kind": "tui"});
    world.file(&format!(".qwen/sessions/{pid}.json"), record.to_string(), 0);
    let answer = resolve(&world, "qwen-cli", "a");
    assert_advice(&answer, "mapped/resume", "");
    assert_eq!(
        answer["command"],
        json!(["qwen", "-o", "json", "--fork-session", "-r", CLAUDE_ID, "--prompt={prompt}"])
    );
    assert!(warnings(&answer).contains(&format!("process {pid} has this session open")), "{answer}");
    world.end_child(pid);
    assert!(!resolve(&world, "qwen-cli", "a")["command"].to_string().contains("fork"));
}

#[test]
fn an_open_copilot_session_is_replayed() {
    let mut world = World::new();
    world.file(&format!(".copilot/session-state/{CLAUDE_ID}/events.jsonl"), "{\"type\":\"session.start\"}\n", 600);
    world.map(&nested(&[("copilot", "a", CLAUDE_ID)]));
    let pid = world.sleeper();
    let lock = world.file(&format!(".copilot/session-state/{CLAUDE_ID}/inuse.{pid}.lock"), pid.to_string(), 0);
    filetime::set_file_mtime(lock, filetime::FileTime::now()).unwrap();
    let answer = resolve(&world, "copilot", "a");
    assert_advice(&answer, "mapped/replay", &format!("process {pid} has this session open"));
    assert!(warnings(&answer).contains("ask again"), "{answer}");
    world.end_child(pid);
    assert_eq!(verdict(&resolve(&world, "copilot", "a")), "mapped/resume");
}

#[test]
fn a_session_that_may_be_open_is_continued_as_a_copy_or_not_at_all() {
    let world = World::new();
    world.file(&format!(".copilot/session-state/{CLAUDE_ID}/events.jsonl"), "{\"type\":\"session.start\"}\n", 600);
    world.file(&format!(".copilot/session-state/{CLAUDE_ID}/inuse.x.lock"), "", 0);
    world.claude(CLAUDE_ID, 600);
    world.file(".claude/sessions/x.json", format!("{{\"sessionId\":\"{CLAUDE_ID}\"}}"), 0);
    world.map(&nested(&[("copilot", "a", CLAUDE_ID), ("claude-cli", "a", CLAUDE_ID)]));
    let answer = resolve(&world, "copilot", "a");
    assert_advice(&answer, "mapped/replay", "names no process");
    assert_eq!(answer["command"], Value::Null);
    let answer = resolve(&world, "claude-cli", "a");
    assert_eq!(verdict(&answer), "mapped/resume");
    assert!(answer["command"].as_array().unwrap().contains(&json!("--fork-session")), "{answer}");
}

#[test]
fn a_session_in_a_store_that_cannot_be_read_is_not_gone() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.map(&nested(&[("claude-cli", "pruned", CLAUDE_ID)]));
    world.run(&["prune"]).ends_with(0);
    world.map(&nested(&[("claude-cli", "mapped", CLAUDE_ID)]));
    let projects = world.home().join(".claude/projects");
    for chat in ["mapped", "pruned"] {
        set_mode(&projects, 0o000);
        let ran = world.run_unprivileged(&["resolve", "--model", "claude-cli", "--chat", chat]).ends_with(0);
        set_mode(&projects, 0o755);
        let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_advice(&answer, "unknown/replay", "could not look for the session: ");
        let reason = answer["reason"].as_str().unwrap();
        assert!(reason.contains(".claude/projects") && reason.contains("denied"), "{reason}");
        assert_eq!((&answer["session"], &answer["provider"]), (&json!(CLAUDE_ID), &json!("claude")));
    }
}

#[test]
fn an_empty_transcript_is_no_conversation() {
    let world = World::new();
    world.file(&format!(".claude/projects/-work/{CLAUDE_ID}.jsonl"), "", 600);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID)]));
    assert_advice(&resolve(&world, "claude-cli", "a"), "mapped/replay", "empty");
}

#[test]
fn a_working_folder_that_is_gone_or_unknown_is_said_so() {
    let world = world();
    let line = "{\"type\":\"user\",\"cwd\":\"/nowhere/at all\"}\n";
    world.file(&format!(".claude/projects/-work/{CLAUDE_ID}.jsonl"), line, 600);
    let answer = resolve(&world, "claude-cli", "a");
    assert_advice(&answer, "mapped/resume", "");
    assert!(warnings(&answer).contains("/nowhere/at all is not there"), "{answer}");
    world.file(&format!(".claude/projects/-work/{CLAUDE_ID}.jsonl"), "{\"type\":\"user\"}\n", 600);
    let answer = resolve(&world, "claude-cli", "a");
    assert_eq!(answer["cwd"], Value::Null);
    assert!(warnings(&answer).contains("the working folder is not recorded"));
}

#[test]
fn the_maps_own_working_folder_comes_first() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    let here = world.home();
    world.map(&json!({"ccbot:@12": {"session_id": CLAUDE_ID, "cwd": here, "window_name": "x"}}).to_string());
    assert_eq!(resolve(&world, "claude-cli", "ccbot:@12")["cwd"], here.to_str().unwrap());
    world.run(&["prune"]).ends_with(0);
    let answer = resolve(&world, "claude-cli", "ccbot:@12");
    assert_advice(&answer, "pruned/resume", "");
    assert_eq!(answer["cwd"], here.to_str().unwrap());
}

#[test]
fn a_flat_map_answers_for_claude_alone() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.map(&json!({"a": CLAUDE_ID}).to_string());
    for model in ["claude-cli", "claude-sonnet-4", "opus"] {
        assert_eq!(verdict(&resolve(&world, model, "a")), "mapped/resume", "{model}");
    }
    for model in ["codex-cli", "gemini-cli", "my-gateway"] {
        assert_eq!(verdict(&resolve(&world, model, "a")), "unknown/replay", "{model}");
    }
}

#[test]
fn one_chat_may_have_a_session_under_every_model() {
    let world = world();
    world.run(&["prune", "--model", "claude-cli"]).ends_with(0);
    assert_eq!(resolve(&world, "claude-cli", "a")["session"], CLAUDE_ID);
    assert_eq!(resolve(&world, "codex-cli", "a")["session"], CODEX_ID);
    assert_eq!(verdict(&resolve(&world, "claude-cli", "a")), "pruned/resume");
    assert_eq!(verdict(&resolve(&world, "codex-cli", "a")), "mapped/resume");
}

#[test]
fn of_several_tombstones_the_last_counts() {
    let world = World::new();
    world.claude(&id(1), 600);
    world.claude(&id(2), 600);
    for session in [id(1), id(2)] {
        world.map(&nested(&[("claude-cli", "a", &session)]));
        world.run(&["prune"]).ends_with(0);
    }
    assert_eq!(world.tombstones().len(), 2);
    assert_eq!(resolve(&world, "claude-cli", "a")["session"], id(2));
}

#[test]
fn a_torn_or_foreign_tombstone_is_passed_over() {
    let world = world();
    world.run(&["prune"]).ends_with(0);
    let path = world.bridge().join("session_map.tombstones.jsonl");
    let mut text = fs_err::read_to_string(&path).unwrap();
    text.push_str("{\"chat\": \"a\"}\nnot JSON about \"a\"\n{\"model\":\"claude-cli\",\"chat\":\"a\",\"sess");
    fs_err::write(&path, text).unwrap();
    assert_eq!(resolve(&world, "claude-cli", "a")["session"], CLAUDE_ID);
}

#[test]
fn chats_with_any_characters_are_found() {
    let chats = ["caf\u{e9} 漢字", "a\"b\\c", "😀", "line\nbreak", " ", "a/b"];
    let world = World::new();
    let mut map = serde_json::Map::new();
    for (chat, number) in chats.iter().zip(1..) {
        world.claude(&id(number), 600);
        map.insert((*chat).to_owned(), json!(id(number)));
    }
    world.map(&json!({"claude-cli": map}).to_string());
    for state in ["mapped", "pruned"] {
        for (chat, number) in chats.iter().zip(1..) {
            let answer = resolve(&world, "claude-cli", chat);
            assert_eq!((&answer["state"], &answer["session"]), (&json!(state), &json!(id(number))), "{chat:?}");
        }
        world.run(&["prune"]).ends_with(0);
    }
}

#[test]
fn every_provider_has_its_own_way_to_resume() {
    let world = World::new();
    world.opencode(&[("ses_0123456789", None, rusqlite::types::Value::Integer(1_795_000_000_000))]);
    world.file(&format!(".qwen/projects/-w/chats/{CLAUDE_ID}.jsonl"), "{\"cwd\":\"/work\"}\n", 600);
    let start = format!(
        "{{\"type\":\"session.start\",\"data\":{{\"context\":{{\"cwd\":\"/work\"}}}},\"timestamp\":\"{}\"}}\n",
        ago(600)
    );
    world.file(&format!(".copilot/session-state/{CLAUDE_ID}/events.jsonl"), start, 600);
    for (model, session, command) in [
        ("qwen-coder", CLAUDE_ID, json!(["qwen", "-o", "json", "-r", CLAUDE_ID, "--prompt={prompt}"])),
        (
            "opencode",
            "ses_0123456789",
            json!(["opencode", "run", "--format", "json", "-s", "ses_0123456789", "--", "{prompt}"]),
        ),
        (
            "copilot",
            CLAUDE_ID,
            json!(["copilot", "--output-format", "json", format!("--resume={CLAUDE_ID}"), "--prompt={prompt}"]),
        ),
    ] {
        world.map(&nested(&[(model, "a", session)]));
        let answer = resolve(&world, model, "a");
        assert_advice(&answer, "mapped/resume", "");
        assert_eq!(answer["command"], command);
        assert_eq!(answer["cwd"], "/work", "{model}");
        assert!(Path::new(answer["transcript"].as_str().unwrap()).exists());
    }
}

#[test]
fn asking_changes_nothing() {
    let world = world();
    world.run(&["prune"]).ends_with(0);
    let names = || {
        let mut names: Vec<_> = walkdir::WalkDir::new(world.root())
            .into_iter()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.path().to_owned(), entry.metadata().unwrap().modified().unwrap()))
            .collect();
        names.sort();
        names
    };
    let before = names();
    resolve(&world, "claude-cli", "a");
    resolve(&world, "nobody", "b");
    assert_eq!(names(), before);
}

#[test]
fn a_pruned_chat_of_a_flat_map_answers_for_every_claude_model() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.map(&json!({"c": CLAUDE_ID}).to_string());
    assert_eq!(verdict(&resolve(&world, "claude-opus", "c")), "mapped/resume");
    world.run(&["prune"]).ends_with(0);
    assert_eq!(verdict(&resolve(&world, "claude-opus", "c")), "pruned/resume");
    assert_eq!(verdict(&resolve(&world, "codex-cli", "c")), "unknown/replay");
    world.run(&["restore", "--model", "claude-opus", "--chat", "c"]).ends_with(0);
    assert_eq!(world.map_json(), json!({"c": CLAUDE_ID}));
    world.run(&["prune"]).ends_with(0);
    world.run(&["record", "--model", "claude-opus", "--chat", "c", "--session", &id(7)]).ends_with(0);
    assert_eq!(world.tombstones(), Vec::<Value>::new());
}

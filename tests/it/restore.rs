//! `session-sweep restore`: pruned mappings come back, unless the chat has a newer one.

use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};

use crate::left_behind::{id, later, nested};
use crate::world::{CLAUDE_ID, CODEX_ID, GEMINI_ID, World};

/// A world whose three chats have all been pruned.
fn pruned() -> (World, Value) {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.codex(CODEX_ID, 600);
    world.gemini(GEMINI_ID, 600);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID), ("codex-cli", "a", CODEX_ID), ("gemini-cli", "c", GEMINI_ID)]));
    let before = world.map_json();
    world.run(&["prune"]).ends_with(0);
    assert_eq!(world.map_json(), json!({"claude-cli": {}, "codex-cli": {}, "gemini-cli": {}}));
    (world, before)
}

#[test]
fn everything_comes_back() {
    let (world, before) = pruned();
    let tombstones = world.tombstones();
    let document = world.json(&["restore", "--all"]);
    assert_eq!(document["schema"], 1);
    assert_eq!(document["command"], "restore");
    assert_eq!((&document["dry_run"], &document["restored"]), (&json!(false), &json!(3)));
    assert_eq!(world.map_json(), before);
    // The tombstones stay for a bridge that writes its older map back; what is mapped again is left out.
    assert_eq!(world.tombstones_as_written(), tombstones);
    assert!(world.tombstones().iter().all(|grave| grave["restored_at"] == "2026-11-20T12:00:00Z"));
    let (map, identity) = (world.map_text(), world.map_path().metadata().unwrap().ino());
    let again = world.json(&["restore", "--all"]);
    assert_eq!(again["restored"], 0);
    let outcomes = again["entries"].as_array().unwrap().iter().map(|entry| (&entry["action"], &entry["reason"]));
    let left_out = (&json!("keep"), &json!("it is in the map already"));
    assert_eq!(outcomes.collect::<Vec<_>>(), [left_out; 3]);
    assert_eq!((world.map_text(), world.map_path().metadata().unwrap().ino()), (map, identity));
}

#[test]
fn what_a_bridge_writes_away_again_comes_back_again() {
    let (world, before) = pruned();
    let older = world.map_text();
    for _ in 0..2 {
        assert_eq!(world.json(&["restore", "--all"])["restored"], 3);
        assert_eq!(world.map_json(), before);
        // The bridge read the map before the restore, and saves it for a reason of its own.
        world.map(&older);
        let ran = world.run(&["resolve", "--model", "claude-cli", "--chat", "a"]).ends_with(0);
        assert!(ran.stdout.contains("\"state\":\"pruned\"") && ran.stdout.contains(CLAUDE_ID), "{}", ran.stdout);
    }
    assert_eq!(world.tombstones().len(), 3);
}

#[test]
fn one_chat_comes_back() {
    let (world, _) = pruned();
    world.run(&["restore", "--model", "codex-cli", "--chat", "a"]).ends_with(0);
    assert_eq!(world.map_json(), json!({"claude-cli": {}, "codex-cli": {"a": CODEX_ID}, "gemini-cli": {}}));
    let left: Vec<_> = world.tombstones().iter().map(|line| line["model"].clone()).collect();
    assert_eq!(left, ["claude-cli", "codex-cli", "gemini-cli"]);
    let document = world.json(&["restore", "--model", "codex-cli", "--chat", "a"]);
    assert_eq!((&document["restored"], &document["entries"].as_array().unwrap().len()), (&json!(0), &1));
    assert_eq!(document["entries"][0]["reason"], "it is in the map already");
}

#[test]
fn what_was_pruned_lately_comes_back() {
    let world = World::new();
    for number in 1..=2 {
        world.claude(&id(number), 600);
    }
    world.map(&nested(&[("claude-cli", "a", &id(1))]));
    world.run(&["prune"]).ends_with(0);
    world.map(&nested(&[("claude-cli", "b", &id(2))]));
    world.run_at(&later(5), &["prune"]).ends_with(0);
    world.run_at(&later(6), &["restore", "--since", "2h"]).ends_with(0);
    assert_eq!(world.map_json(), json!({"claude-cli": {"b": id(2)}}));
    world.run_at(&later(6), &["restore", "--since", "never"]).ends_with(2);
    world.run_at(&later(6), &["restore", "--all"]).ends_with(0);
    assert_eq!(world.map_json(), json!({"claude-cli": {"a": id(1), "b": id(2)}}));
}

#[test]
fn a_newer_mapping_stays() {
    let (world, _) = pruned();
    let tombstones = world.tombstones();
    let newer = json!({"claude-cli": {"a": id(7)}, "codex-cli": {}, "gemini-cli": {}});
    world.map(&newer.to_string());
    let document = world.json(&["restore", "--all"]);
    assert_eq!(document["restored"], 2);
    let kept = &document["entries"][0];
    assert_eq!((&kept["action"], &kept["reason"]), (&json!("keep"), &json!("the chat has a newer mapping")));
    let expected = json!({"claude-cli": {"a": id(7)}, "codex-cli": {"a": CODEX_ID}, "gemini-cli": {"c": GEMINI_ID}});
    assert_eq!(world.map_json(), expected);
    // Its tombstone stays too: the newer mapping may be deleted some day.
    assert_eq!(world.tombstones_as_written(), tombstones);
}

#[test]
fn a_newer_mapping_that_names_another_model_stays_too() {
    let world = World::new();
    world.claude(&id(1), 600);
    let map = |session: &str, model: &str| json!({"conv": {"claudeSessionId": session, "model": model}});
    world.map(&map(&id(1), "sonnet").to_string());
    world.run(&["prune"]).ends_with(0);
    world.map(&map(&id(2), "opus").to_string());
    assert_eq!(world.json(&["restore", "--all"])["restored"], 0);
    assert_eq!(world.map_json(), map(&id(2), "opus"));
}

/// What a rehearsal says of each tombstone; the real run says the same and ends well.
fn outcomes(world: &World) -> Vec<(String, String)> {
    let of = |document: Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let entries = document["entries"].as_array().unwrap().iter();
        entries.map(|entry| (text(&entry["action"]), text(&entry["reason"]))).collect()
    };
    let rehearsed = of(world.json(&["restore", "--all", "--dry-run"]));
    assert_eq!(of(world.json(&["restore", "--all"])), rehearsed);
    rehearsed
}

fn kept(reason: &str) -> (String, String) {
    ("keep".to_owned(), reason.to_owned())
}

fn restored() -> (String, String) {
    ("restore".to_owned(), String::new())
}

#[test]
fn a_newer_mapping_below_its_model_stays_where_the_chat_once_stood_at_the_top() {
    let forms: [fn(String) -> Value; 2] = [|session| json!(session), |session| json!({ "session_id": session })];
    for mapping in forms {
        let world = World::new();
        world.claude(&id(1), 600);
        world.claude(&id(2), 600);
        world.map(&json!({"a": mapping(id(1)), "b": mapping(id(2))}).to_string());
        world.run(&["prune"]).ends_with(0);
        world.map(&json!({"claude-cli": {"a": id(7)}}).to_string());
        assert_eq!(outcomes(&world), [kept("the chat has a newer mapping"), restored()]);
        assert_eq!(world.map_json(), json!({"claude-cli": {"a": id(7), "b": mapping(id(2))}}));
    }
}

#[test]
fn of_two_tombstones_for_one_place_the_newer_one_is_restored() {
    let world = World::new();
    let map = |session: &str, model: &str| json!({"conv": {"claudeSessionId": session, "model": model}});
    for (session, model) in [(id(1), "opus"), (id(2), "sonnet")] {
        world.claude(&session, 600);
        world.map(&map(&session, model).to_string());
        world.run(&["prune"]).ends_with(0);
    }
    assert_eq!(world.tombstones().len(), 2);
    assert_eq!(outcomes(&world), [kept("the chat has a newer tombstone"), restored()]);
    assert_eq!(world.map_json(), map(&id(2), "sonnet"));
}

#[test]
fn what_cannot_be_put_back_is_left_out_and_the_rest_comes_back() {
    let world = World::new();
    let tombstone = |model: &str, chat: &str, session: &str, more: &str| {
        let common = r#""pruned_at":"2026-11-20T11:00:00Z","reason":"idle""#;
        format!("{{\"model\":\"{model}\",\"chat\":\"{chat}\",\"session\":\"{session}\",{common}{more}}}\n")
    };
    let tombstones = [
        tombstone("claude-cli", "a", &id(1), ""),
        tombstone("codex-cli", "b", &id(2), ""),
        tombstone("claude-cli", "taken", &id(3), ""),
        tombstone("claude-cli", "torn", &id(4), r#","value":"{\"session_id\": ""#),
        // The session was the key; below a model the chat is.
        tombstone("claude-cli", "twice", &id(5), r#","place":"inverted""#),
        tombstone("claude-cli", "twice", &id(6), r#","place":"inverted""#),
    ];
    fs_err::write(world.bridge().join("session_map.tombstones.jsonl"), tombstones.concat()).unwrap();
    world.map(&json!({"claude-cli": {"taken": 5}, "codex-cli": "a title"}).to_string());
    let taken = || kept("the map has something under its name already");
    let value = kept("the value in its tombstone is no mapping");
    let twice = kept("the chat has a newer tombstone");
    assert_eq!(outcomes(&world), [restored(), taken(), taken(), value, twice, restored()]);
    let expected = json!({"claude-cli": {"taken": 5, "a": id(1), "twice": id(6)}, "codex-cli": "a title"});
    assert_eq!(world.map_json(), expected);
}

#[test]
fn a_flat_map_of_ids_takes_only_what_it_can_hold() {
    let (world, _) = pruned();
    world.map(&json!({"z": id(9)}).to_string());
    let other = |model: &str| {
        let why = "the map is flat (chats of Claude without a model level), so it cannot hold a chat of model";
        kept(&format!("{why} `{model}`"))
    };
    assert_eq!(outcomes(&world), [restored(), other("codex-cli"), other("gemini-cli")]);
    assert_eq!(world.map_json(), json!({"z": id(9), "a": CLAUDE_ID}));
}

#[test]
fn a_rehearsal_writes_nothing() {
    let (world, _) = pruned();
    let (map, tombstones) = (world.map_text(), world.tombstones());
    let document = world.json(&["restore", "--all", "--dry-run"]);
    assert_eq!((&document["dry_run"], &document["restored"]), (&json!(true), &json!(3)));
    assert_eq!((world.map_text(), world.tombstones()), (map, tombstones));
    let text = world.run(&["restore", "--all", "-n"]).ends_with(0).stdout;
    assert!(text.contains("would restore") && text.contains("3 of 3 would be restored"), "{text}");
}

#[test]
fn a_mapping_whose_transcript_is_gone_comes_back_with_a_word() {
    let (world, _) = pruned();
    fs_err::remove_file(world.home().join(format!(".claude/projects/-work/{CLAUDE_ID}.jsonl"))).unwrap();
    let document = world.json(&["restore", "--all"]);
    assert_eq!(document["restored"], 3);
    assert_eq!(document["entries"][0]["reason"], "its transcript is gone by now");
}

#[test]
fn values_that_are_objects_come_back_byte_for_byte() {
    for value in [
        r#"{"session_id": "$", "cwd": "/w", "n": [1.50, 1e3, "\u00e9\/"], "x": {}}"#,
        "{\n      \"session_id\": \"$\",\n      \"deep\": [\n        {}\n      ]\n    }",
        "{\r\n\t\"sessionId\" : \"$\"\r\n}",
    ] {
        let world = World::new();
        world.claude(CLAUDE_ID, 600);
        let value = value.replace('$', CLAUDE_ID);
        let before = format!("{{\n  \"claude-cli\": {{\n    \"a\": {value}\n  }}\n}}\n");
        world.map(&before);
        world.run(&["prune"]).ends_with(0);
        assert_eq!(world.tombstones().len(), 1, "one line each");
        assert_eq!(world.map_text(), "{\n  \"claude-cli\": {}\n}\n");
        world.run(&["restore", "--all"]).ends_with(0);
        assert_eq!(world.map_text(), before);
    }
}

#[test]
fn emptied_maps_come_back_in_the_form_they_had() {
    for map in [
        json!({"a": CLAUDE_ID, "b": CODEX_ID}),
        json!({"ccbot:@1": {"session_id": CLAUDE_ID, "cwd": "/w"}}),
        json!({"claude-chat-1": {"uuid": CLAUDE_ID, "cwd": "/w"}}),
        json!({CLAUDE_ID: {"hermes_session_id": "thread", "turns": 4}}),
        json!({"version": 1, "sessions": {CLAUDE_ID: {"identity": "S1"}}}),
        json!({"conv": {"claudeSessionId": CLAUDE_ID, "model": "sonnet", "lastUsedAt": 1_771_003_600_000_u64}}),
        json!({"channelMap": [["#a", {"sessionId": CLAUDE_ID}]]}),
        json!({"gateway": {"a": CLAUDE_ID}}),
        json!([["#a", {"sessionId": CLAUDE_ID}]]),
    ] {
        let world = World::new();
        world.claude(CLAUDE_ID, 600);
        world.claude(CODEX_ID, 600);
        world.map(&map.to_string());
        world.run(&["prune"]).ends_with(0);
        assert_ne!(world.map_json(), map);
        world.run(&["restore", "--all"]).ends_with(0);
        assert_eq!(world.map_json(), map);
    }
}

#[test]
fn a_flat_map_that_became_nested_takes_its_chats_under_their_model() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.map(&json!({"a": CLAUDE_ID}).to_string());
    world.run(&["prune"]).ends_with(0);
    // A newer bridge writes this at its first save.
    world.map(r#"{"claude-cli": {}, "codex-cli": {}}"#);
    world.run(&["restore", "--all"]).ends_with(0);
    assert_eq!(world.map_json(), json!({"claude-cli": {"a": CLAUDE_ID}, "codex-cli": {}}));
}

#[test]
fn what_came_back_can_be_pruned_and_restored_again() {
    let (world, before) = pruned();
    for round in 1..=3 {
        let document = world.json(&["restore", "--all"]);
        // Of a chat's tombstones the last counts.
        assert_eq!((&document["restored"], document["entries"].as_array().unwrap().len()), (&json!(3), 3));
        assert_eq!(world.map_json(), before);
        world.run(&["prune"]).ends_with(0);
        assert_eq!(world.tombstones().len(), 3 * (round + 1), "each prune buries its own");
    }
    // A day later another prune leaves one of each chat.
    world.run_at(&later(48), &["restore", "--all"]).ends_with(0);
    world.run_at(&later(48), &["prune"]).ends_with(0);
    assert_eq!(world.tombstones().len(), 3);
    world.run_at(&later(48), &["restore", "--all"]).ends_with(0);
    assert_eq!(world.map_json(), before);
}

#[test]
fn tidied_tombstones_still_come_back_whole() {
    let world = World::new();
    world.claude(&id(1), 600);
    world.claude(&id(2), 600);
    let map = |chat: &str, session: &str| {
        format!("{{\n  \"claude-cli\": {{\n    \"{chat}\": {{\n      \"session_id\": \"{session}\"\n    }}\n  }}\n}}\n")
    };
    world.map(&map("a", &id(1)));
    world.run(&["prune"]).ends_with(0);
    // Two days later another prune tidies the tombstones.
    world.map(&map("b", &id(2)));
    world.run_at(&later(48), &["prune"]).ends_with(0);
    world.map("{\n  \"claude-cli\": {}\n}\n");
    world.run_at(&later(48), &["restore", "--model", "claude-cli", "--chat", "a"]).ends_with(0);
    assert_eq!(world.map_text(), map("a", &id(1)));
}

#[test]
fn what_to_restore_must_be_said() {
    let (world, _) = pruned();
    for arguments in [
        &["restore"][..],
        &["restore", "--model", "claude-cli"],
        &["restore", "--chat", "a"],
        &["restore", "--all", "--since", "1h"],
        &["restore", "--model", "claude-cli", "--chat", "a", "--all"],
        &["restore", "--since", "0h"],
        &["restore", "--since", "5"],
    ] {
        world.run(arguments).ends_with(2);
    }
    let ran = world.run(&["restore", "--model", "claude-cli", "--chat", "nobody"]).ends_with(1);
    assert!(ran.stderr.contains("no tombstone of chat `nobody`"), "{}", ran.stderr);
}

#[test]
fn without_a_map_one_is_made() {
    let (world, before) = pruned();
    fs_err::remove_file(world.map_path()).unwrap();
    assert_eq!(world.json(&["restore", "--all", "--dry-run"])["restored"], 3);
    assert!(!world.map_path().exists());
    assert_eq!(world.json(&["restore", "--all"])["restored"], 3);
    assert_eq!(world.map_json(), before);
    assert_eq!(world.map_path().metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(world.tombstones().len(), 3);
}

#[test]
fn without_a_map_and_tombstones_there_is_nothing_to_restore() {
    let world = World::new();
    for dry_run in [&[][..], &["--dry-run"]] {
        let ran = world.run(&[&["restore", "--all"], dry_run].concat()).ends_with(1);
        assert!(ran.stderr.contains("there is no session map at"), "{}", ran.stderr);
    }
    fs_err::remove_dir_all(world.bridge()).unwrap();
    let ran = world.run(&["restore", "--all"]).ends_with(1);
    let map = world.map_path();
    assert!(ran.stderr.contains(&format!("there is no session map at {}", map.display())), "{}", ran.stderr);
}

#[test]
fn sessions_that_carry_one_chats_name_all_come_back() {
    let world = World::new();
    world.claude(&id(1), 600);
    world.claude(&id(2), 600);
    let map = json!({id(1): {"hermes_session_id": "t"}, id(2): {"hermes_session_id": "t"}});
    world.map(&map.to_string());
    world.run(&["prune"]).ends_with(0);
    assert_eq!(world.map_json(), json!({}));
    world.run(&["restore", "--all"]).ends_with(0);
    assert_eq!(world.map_json(), map);
}

#[test]
fn what_the_map_cannot_take_is_said_by_the_exit_code_too() {
    let world = World::new();
    world.codex(CODEX_ID, 600);
    world.map(&nested(&[("codex-cli", "a", CODEX_ID)]));
    world.run(&["prune"]).ends_with(0);
    // A flat map of ids holds Claude's chats alone.
    let flat = json!({"b": CLAUDE_ID}).to_string();
    world.map(&flat);
    for arguments in [&["restore", "--all"][..], &["restore", "--all", "--dry-run"]] {
        let ran = world.run(&[arguments, &["--json"]].concat()).ends_with(4);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((&document["restored"], &document["entries"][0]["action"]), (&json!(0), &json!("keep")));
        assert!(document["entries"][0]["reason"].as_str().unwrap().contains("the map is flat"), "{document}");
        let ran = world.run(&[arguments, &["--quiet"]].concat()).ends_with(4);
        assert!(ran.stdout.is_empty() && ran.stderr.contains("chat `a` was left out"), "{ran:?}");
    }
    assert_eq!(world.map_text(), flat);
}

#[test]
fn a_map_that_only_its_own_program_can_make_is_not_made() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.map(&json!({"channelMap": [["#general", {"sessionId": CLAUDE_ID}]]}).to_string());
    world.run(&["prune"]).ends_with(0);
    fs_err::remove_file(world.map_path()).unwrap();
    for arguments in [&["restore", "--all"][..], &["restore", "--all", "--dry-run"]] {
        let ran = world.run(arguments).ends_with(1);
        assert!(ran.stderr.contains("there is no session map at"), "{}", ran.stderr);
    }
    assert!(!world.map_path().exists());
}

//! `session-sweep record`: one mapping into the map, through the same door as prune.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::left_behind::{id, nested};
use crate::world::{CLAUDE_ID, NOW, Ran, World};

fn record(world: &World, model: &str, chat: &str, session: &str) -> Ran {
    world.run(&["record", "--model", model, "--chat", chat, "--session", session])
}

#[test]
fn a_map_is_made_where_there_is_none() {
    let world = World::new();
    let ran = record(&world, "claude-cli", "a", CLAUDE_ID).ends_with(0);
    assert_eq!(ran.stdout, format!("recorded claude-cli a → {CLAUDE_ID}\n"));
    assert_eq!(world.map_text(), format!("{{\"claude-cli\": {{\"a\": \"{CLAUDE_ID}\"}}}}\n"));
    assert_eq!(fs_err::metadata(world.map_path()).unwrap().permissions().mode() & 0o777, 0o600);
    record(&world, "codex-cli", "a", &id(2)).ends_with(0);
    assert_eq!(world.map_json(), json!({"claude-cli": {"a": CLAUDE_ID}, "codex-cli": {"a": id(2)}}));
}

#[test]
fn the_maps_folder_is_made_for_its_owner_alone() {
    let mut world = World::new();
    let (outer, folder) = (world.root().join("new"), world.root().join("new/folder"));
    world.variable("CLAUDE_SESSION_DIR", &folder);
    // What is refused makes nothing, and neither does a question.
    record(&world, "claude-cli", "a", "../../x").ends_with(2);
    world.run(&["resolve", "--model", "claude-cli", "--chat", "a"]).ends_with(0);
    world.run(&["prune"]).ends_with(1);
    assert!(!outer.exists());
    let ran = record(&world, "claude-cli", "a", CLAUDE_ID).ends_with(0);
    assert_eq!(ran.stdout, format!("recorded claude-cli a → {CLAUDE_ID}\n"));
    let mode = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&outer), mode(&folder)), (0o700, 0o700));
    let map = folder.join("session_map.json");
    assert_eq!(mode(&map), 0o600);
    assert_eq!(fs_err::read_to_string(map).unwrap(), format!("{{\"claude-cli\": {{\"a\": \"{CLAUDE_ID}\"}}}}\n"));
}

#[test]
fn a_folder_of_the_map_that_is_there_keeps_its_mode() {
    let world = World::new();
    fs_err::set_permissions(world.bridge(), Permissions::from_mode(0o750)).unwrap();
    record(&world, "claude-cli", "a", CLAUDE_ID).ends_with(0);
    assert_eq!(fs_err::metadata(world.bridge()).unwrap().permissions().mode() & 0o7777, 0o750);
}

#[test]
fn a_folder_of_the_map_that_cannot_be_made_is_named() {
    let mut world = World::new();
    let file = world.file("a file", "x", 0);
    world.variable("CLAUDE_SESSION_DIR", file.join("folder"));
    let ran = record(&world, "claude-cli", "a", CLAUDE_ID).ends_with(1);
    assert!(ran.stderr.contains("cannot make") && ran.stderr.contains("a file/folder"), "{}", ran.stderr);
    assert_eq!(fs_err::read_to_string(file).unwrap(), "x");
}

/// A map before and after a mapping is recorded: `(before, model, chat, after)`.
const CASES: [(&str, &str, &str, &str); 13] = [
    // Nested: changed in place, added at the end, a model more, an empty level.
    (r#"{"claude-cli": {"a": "x", "b": "y"}}"#, "claude-cli", "a", r#"{"claude-cli": {"a": "$", "b": "y"}}"#),
    (r#"{"claude-cli": {"b": "y"}}"#, "claude-cli", "a", r#"{"claude-cli": {"b": "y", "a": "$"}}"#),
    (r#"{"claude-cli":{"b":"y"}}"#, "codex-cli", "a", r#"{"claude-cli":{"b":"y"},"codex-cli":{"a":"$"}}"#),
    (r#"{"claude-cli": {}, "codex-cli": {}}"#, "codex-cli", "a", r#"{"claude-cli": {}, "codex-cli": {"a": "$"}}"#),
    (
        "{\n  \"claude-cli\": {\n    \"b\": \"y\"\n  },\n  \"codex-cli\": {}\n}\n",
        "codex-cli",
        "a",
        "{\n  \"claude-cli\": {\n    \"b\": \"y\"\n  },\n  \"codex-cli\": {\n    \"a\": \"$\"\n  }\n}\n",
    ),
    (
        "{\n\t\"claude-cli\": {\n\t\t\"b\": \"y\"\n\t}\n}",
        "claude-cli",
        "a",
        "{\n\t\"claude-cli\": {\n\t\t\"b\": \"y\",\n\t\t\"a\": \"$\"\n\t}\n}",
    ),
    ("{}", "claude-cli", "a", r#"{"claude-cli": {"a": "$"}}"#),
    // Flat.
    (r#"{"b": "y"}"#, "claude-cli", "a", r#"{"b": "y", "a": "$"}"#),
    (r#"{"a": "x"}"#, "claude-sonnet", "a", r#"{"a": "$"}"#),
    // Objects: the fields that are known get their meaning, the others start empty or are left out.
    (
        r#"{"b": {"session_id": "7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10", "cwd": "/w", "window_name": "p"}}"#,
        "claude-cli",
        "a",
        r#"{"b": {"session_id": "7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10", "cwd": "/w", "window_name": "p"}, "a": {"session_id": "$"}}"#,
    ),
    (
        r#"{"b":{"clawdbotId":"b","claudeSessionId":"x","createdAt":1771000000000,"lastUsedAt":1771003600000,"model":"sonnet","taskCount":3}}"#,
        "opus",
        "a",
        r#"{"b":{"clawdbotId":"b","claudeSessionId":"x","createdAt":1771000000000,"lastUsedAt":1771003600000,"model":"sonnet","taskCount":3},"a":{"clawdbotId":"a","claudeSessionId":"$","createdAt":NOW000,"lastUsedAt":NOW000,"model":"opus","taskCount":0}}"#,
    ),
    // Inverted: the session is the key, also where a chat gets another one.
    (
        r#"{"7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10": {"hermes_session_id": "a", "cwd": "/w", "created": 1771000000, "turns": 4, "updated": 1771003600}}"#,
        "claude-cli",
        "a",
        r#"{"$": {"hermes_session_id": "a", "cwd": "/w", "created": 1771000000, "turns": 4, "updated": NOW}}"#,
    ),
    // Pairs.
    (
        r##"{"channelMap": [["#b", {"sessionId": "7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10", "createdAt": 1771000000000}]]}"##,
        "channelMap",
        "a",
        r##"{"channelMap": [["#b", {"sessionId": "7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10", "createdAt": 1771000000000}], ["a", {"sessionId": "$", "createdAt": NOW000}]]}"##,
    ),
];

#[test]
fn a_mapping_is_written_as_its_map_writes_them() {
    for (before, model, chat, after) in CASES {
        let world = World::new();
        world.map(before);
        record(&world, model, chat, CLAUDE_ID).ends_with(0);
        let after = after.replace('$', CLAUDE_ID).replace("NOW", &NOW.to_string());
        assert_eq!(world.map_text(), after, "{before}");
        // And it is found where it was put.
        let answer = world.run(&["resolve", "--model", model, "--chat", chat]).ends_with(0).stdout;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["session"], CLAUDE_ID, "{before}");
    }
}

#[test]
fn a_second_time_nothing_is_written() {
    for (before, model, chat, _) in CASES {
        let world = World::new();
        world.map(before);
        record(&world, model, chat, CLAUDE_ID).ends_with(0);
        let identity = || {
            let metadata = fs_err::metadata(world.map_path()).unwrap();
            (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.ctime_nsec())
        };
        let before = identity();
        let ran = record(&world, model, chat, CLAUDE_ID).ends_with(0);
        assert!(ran.stdout.starts_with("already recorded"), "{}", ran.stdout);
        assert_eq!(identity(), before);
    }
}

#[test]
fn a_flat_map_takes_no_chat_of_another_provider() {
    let world = World::new();
    let flat = json!({"a": CLAUDE_ID}).to_string();
    world.map(&flat);
    let ran = record(&world, "codex-cli", "b", &id(2)).ends_with(1);
    assert!(ran.stderr.contains("the map is flat"), "{}", ran.stderr);
    assert_eq!(world.map_text(), flat);
}

#[test]
fn a_chat_at_the_top_is_one_chat_whatever_model_it_names() {
    let world = World::new();
    let map = |session: &str| json!({"conv": {"claudeSessionId": session, "model": "sonnet"}});
    world.map(&map(&id(1)).to_string());
    record(&world, "claude-cli", "conv", CLAUDE_ID).ends_with(0);
    assert_eq!(world.map_json(), map(CLAUDE_ID));
}

#[test]
fn a_name_that_is_taken_by_something_else_is_left_alone() {
    let world = World::new();
    let map = r#"{"claude-cli": {"a": 17}, "note": 3}"#;
    world.map(map);
    record(&world, "claude-cli", "a", CLAUDE_ID).ends_with(1);
    record(&world, "note", "a", CLAUDE_ID).ends_with(1);
    assert_eq!(world.map_text(), map);
}

#[test]
fn what_is_no_id_is_a_usage_error() {
    let world = World::new();
    let long = "a".repeat(10_000);
    for session in ["../../x", "*", "-rf", "", "a b", long.as_str()] {
        let ran = record(&world, "claude-cli", "a", session).ends_with(2);
        assert!(ran.stderr.contains("--session: the session id"), "{}", ran.stderr);
    }
    record(&world, "", "a", CLAUDE_ID).ends_with(2);
    record(&world, "claude-cli", "", CLAUDE_ID).ends_with(2);
    world.run(&["record", "--model", "claude-cli", "--chat", "a"]).ends_with(2);
    assert!(!world.map_path().exists());
}

#[test]
fn chats_may_be_named_like_options_and_in_any_alphabet() {
    let world = World::new();
    world.map("{\"claude-cli\": {}}");
    record(&world, "claude-cli", "--dry-run", &id(1)).ends_with(0);
    record(&world, "claude-cli", "caf\u{e9} 😀 \"x\"", &id(2)).ends_with(0);
    assert_eq!(world.map_json(), json!({"claude-cli": {"--dry-run": id(1), "café 😀 \"x\"": id(2)}}));
    assert!(world.map_text().is_ascii(), "an ASCII map stays one: {}", world.map_text());
}

#[test]
fn a_recorded_chat_loses_its_tombstone() {
    let world = World::new();
    for number in 1..=2 {
        world.claude(&id(number), 600);
    }
    world.map(&nested(&[("claude-cli", "a", &id(1)), ("claude-cli", "b", &id(2)), ("claude-opus", "a", &id(1))]));
    world.run(&["prune"]).ends_with(0);
    record(&world, "claude-cli", "a", &id(3)).ends_with(0);
    let left: Vec<_> = world.tombstones().iter().map(|line| (line["model"].clone(), line["chat"].clone())).collect();
    assert_eq!(left, [(json!("claude-cli"), json!("b")), (json!("claude-opus"), json!("a"))]);
    let ran = world.run(&["restore", "--all"]).ends_with(0);
    assert_eq!(world.map_json()["claude-cli"]["a"], id(3), "{}", ran.stdout);
}

#[test]
fn the_working_folder_is_kept_where_there_is_a_place_for_it() {
    let world = World::new();
    world.map(r#"{"b": {"session_id": "7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10", "cwd": "/old"}}"#);
    let arguments =
        |chat, cwd| ["record", "--model", "claude-cli", "--chat", chat, "--session", CLAUDE_ID, "--cwd", cwd];
    let document = world.json(&arguments("a", "sub/folder"));
    assert_eq!((&document["changed"], &document["cwd_stored"]), (&json!(true), &json!(true)));
    let absolute = world.root().canonicalize().unwrap().join("sub/folder");
    assert_eq!(world.map_json()["a"]["cwd"], absolute.to_str().unwrap());
    world.run(&arguments("b", "/new")).ends_with(0);
    assert_eq!(world.map_json()["b"], json!({"session_id": CLAUDE_ID, "cwd": "/new"}));

    world.map(r#"{"claude-cli": {"b": "7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10"}}"#);
    let ran = world.run(&arguments("a", "/new")).ends_with(0);
    assert!(ran.stderr.contains("--cwd is not stored"), "{}", ran.stderr);
    assert_eq!(world.map_json()["claude-cli"]["a"], CLAUDE_ID);
}

#[test]
fn a_changed_mapping_keeps_its_other_fields_byte_for_byte() {
    let world = World::new();
    let before = "{\n\t\"a\": {\"x\" : [1.50,  1e3],\r\n \"sessionId\":\"7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10\" , \"n\\u00e9\": null}\n}\n";
    world.map(before);
    record(&world, "claude-cli", "a", CLAUDE_ID).ends_with(0);
    assert_eq!(world.map_text(), before.replace("7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10", CLAUDE_ID));
}

#[test]
fn folders_whose_names_are_no_utf_8_are_used_as_they_are_or_refused() {
    let world = World::new();
    let name = OsStr::from_bytes(b"br\xff");
    let folder = world.root().join(name);
    fs_err::create_dir(&folder).unwrap();
    let record = |flag: &str| {
        let mut command = world.command(&["record", "--model", "claude-cli", "--chat", "a", "--session", CLAUDE_ID]);
        Ran::of(command.arg(flag).arg(&folder))
    };
    record("--dir").ends_with(0);
    assert!(fs_err::read_to_string(folder.join("session_map.json")).unwrap().contains(CLAUDE_ID));
    let ran = record("--cwd").ends_with(2);
    assert!(ran.stderr.contains("--cwd: ") && ran.stderr.contains("UTF-8"), "{ran:?}");
}

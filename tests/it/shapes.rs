//! Every form of map that bridges write: what is understood, and that a prune removes exactly that and nothing else.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::left_behind::{id, nested};
use crate::tree::names_in;
use crate::world::{CLAUDE_ID, World};

const CODEX_2026: &str = "019ba81f-93dc-7d62-a5b7-535d23a15e3d";

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/maps").join(name);
    fs_err::read_to_string(path).unwrap()
}

/// A world with this map and an idle transcript for every session that the fixtures name.
fn world_with(map: &str) -> World {
    let world = World::new();
    for id in [
        "0856b851-1111-4222-8333-0123456789ab",
        "a33529f7-1111-4222-8333-0123456789ab",
        "b1c8d3f9-1111-4222-8333-0123456789ab",
        "7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10",
        "5b0e7c1d-8c55-4a0c-8f6d-9f3c3a9f0c21",
        "c0ffee00-1111-4222-8333-444455556666",
    ] {
        world.claude(id, 600);
    }
    let rollout = format!(".codex/sessions/2026/01/10/rollout-2026-01-10T12-58-26-{CODEX_2026}.jsonl");
    world.file(&rollout, "{}\n", 600);
    world.map(map);
    world
}

/// `(model, chat, first eight characters of the session)` of every mapping, and how many members were not understood.
fn understood(world: &World) -> (Vec<(Value, String, String)>, u64) {
    let document = world.json(&["prune", "--dry-run"]);
    let row = |entry: &Value| {
        let session = entry["session"].as_str().unwrap();
        let short = session.chars().take(8).collect();
        (entry["model"].clone(), entry["chat"].as_str().unwrap().to_owned(), short)
    };
    let rows = document["entries"].as_array().unwrap().iter().map(row).collect();
    (rows, document["not_understood"].as_u64().unwrap())
}

/// The model, the chat and the first eight characters of the session.
type Row = (Option<&'static str>, &'static str, &'static str);

/// What the bridge's own map holds, in each of its three forms.
const BRIDGE_ROWS: [Row; 4] = [
    (Some("claude-cli"), "dace53ab0f1e2d3c", "0856b851"),
    (Some("claude-cli"), "3f0c1c1e-5f6a-4c2b-9d0e-2b7f7d1b8a10", "a33529f7"),
    (Some("claude-cli"), "f4a9c2e8aa55bb66", "a33529f7"),
    (Some("codex-cli"), "dace53ab0f1e2d3c", "019ba81f"),
];

const BRIDGE_PRUNED: [(&str, &str); 2] = [
    (
        r#""dace53ab0f1e2d3c": "0856b851-1111-4222-8333-0123456789ab", "3f0c1c1e-5f6a-4c2b-9d0e-2b7f7d1b8a10": "a33529f7-1111-4222-8333-0123456789ab", "f4a9c2e8aa55bb66": "a33529f7-1111-4222-8333-0123456789ab""#,
        "",
    ),
    (r#""dace53ab0f1e2d3c": "019ba81f-93dc-7d62-a5b7-535d23a15e3d""#, ""),
];

/// A real map: what it holds, and what a prune of everything leaves of it.
struct Map {
    file: &'static str,
    rows: &'static [Row],
    not_understood: u64,
    /// What is replaced by what when all is pruned, each once.
    pruned: &'static [(&'static str, &'static str)],
}

const MAPS: [Map; 11] = [
    Map { file: "session_map.json", rows: &BRIDGE_ROWS, not_understood: 0, pruned: &BRIDGE_PRUNED },
    Map { file: "GET_sessions.json", rows: &BRIDGE_ROWS, not_understood: 0, pruned: &BRIDGE_PRUNED },
    Map {
        file: "session_map.after-cleaner.json",
        rows: &[(Some("claude-cli"), "f4a9c2e8aa55bb66", "b1c8d3f9")],
        not_understood: 0,
        pruned: &[("{\n    \"f4a9c2e8aa55bb66\": \"b1c8d3f9-1111-4222-8333-0123456789ab\"\n  }", "{}")],
    },
    Map {
        file: "session_map.v1.10.json",
        rows: BRIDGE_ROWS.split_at(3).0,
        not_understood: 0,
        pruned: BRIDGE_PRUNED.split_at(1).0,
    },
    Map {
        file: "session_map.legacy-flat.json",
        rows: &[
            (Some("claude-cli"), "dace53ab0f1e2d3c", "0856b851"),
            (Some("claude-cli"), "60b863e1cc77dd88", "a33529f7"),
        ],
        not_understood: 0,
        pruned: &[(
            r#""dace53ab0f1e2d3c": "0856b851-1111-4222-8333-0123456789ab", "60b863e1cc77dd88": "a33529f7-1111-4222-8333-0123456789ab""#,
            "",
        )],
    },
    Map {
        file: "ccbot-session_map.json",
        rows: &[(None, "ccbot:@12", "7b1c9a34")],
        not_understood: 0,
        pruned: &[(
            "\n  \"ccbot:@12\": {\n    \"session_id\": \"7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10\",\n    \"cwd\": \"/home/u/proj\",\n    \"window_name\": \"proj\"\n  }\n",
            "",
        )],
    },
    Map {
        file: "claude-code-cli-sessions.json",
        rows: &[
            (Some("sonnet"), "conv-42", "7b1c9a34"),
            (Some("opus"), "idem_0123456789abcdef0123456789abcdef", "5b0e7c1d"),
            (Some("sonnet"), "older", "c0ffee00"),
            (Some("sonnet"), "with-cwd", "7b1c9a34"),
        ],
        not_understood: 0,
        pruned: &[("*", "{}")],
    },
    Map {
        file: "emdash-pty-session-map.json",
        rows: &[(Some("claude"), "claude-chat-conv-1", "7b1c9a34"), (Some("claude"), "claude-main-task-2", "5b0e7c1d")],
        not_understood: 0,
        pruned: &[("*", "{}")],
    },
    Map {
        file: "hermes-sessions.json",
        rows: &[(None, "mm-thread-9", "7b1c9a34")],
        not_understood: 0,
        pruned: &[("*", "{}\n")],
    },
    Map {
        file: "hocgin-review-sessions.json",
        rows: &[(None, "S1", "7b1c9a34")],
        not_understood: 0,
        pruned: &[("*", "{\n  \"version\": 1,\n  \"sessions\": {}\n}\n")],
    },
    Map {
        file: "openclaw-state.json",
        rows: &[(Some("channelMap"), "#general", "7b1c9a34"), (Some("responseMap"), "Hello there", "5b0e7c1d")],
        not_understood: 1,
        pruned: &[
            (
                r##"["#general", {"sessionId": "7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10", "createdAt": 1771000000000, "lastCompactionHash": null}]"##,
                "",
            ),
            (
                r#"["Hello there", {"sessionId": "5b0e7c1d-8c55-4a0c-8f6d-9f3c3a9f0c21", "createdAt": 1771000000000}]"#,
                "",
            ),
        ],
    },
];

#[test]
fn every_bridges_map_is_understood() {
    for map in &MAPS {
        let world = world_with(&fixture(map.file));
        let (rows, not_understood) = understood(&world);
        let expected: Vec<_> = map
            .rows
            .iter()
            .map(|(model, chat, session)| (json!(model), (*chat).to_owned(), (*session).to_owned()))
            .collect();
        assert_eq!(rows, expected, "{}", map.file);
        assert_eq!(not_understood, map.not_understood, "{}", map.file);
    }
}

#[test]
fn every_bridges_map_loses_exactly_what_is_pruned() {
    for map in &MAPS {
        let before = fixture(map.file);
        let world = world_with(&before);
        let ran = world.run(&["prune"]).ends_with(0);
        let mut expected = before.clone();
        for (old, new) in map.pruned {
            expected = match *old {
                "*" => {
                    let final_newline = before.ends_with('\n');
                    format!("{}{}", new.trim_end(), if final_newline { "\n" } else { "" })
                }
                old => {
                    assert_eq!(expected.matches(old).count(), 1, "{}: {old}", map.file);
                    expected.replacen(old, new, 1)
                }
            };
        }
        assert_eq!(world.map_text(), expected, "{}\n{}", map.file, ran.stdout);
        assert_eq!(world.tombstones().len(), map.rows.len(), "{}", map.file);
    }
}

#[test]
fn what_is_active_stays_in_every_bridges_map() {
    for map in &MAPS {
        let before = fixture(map.file);
        let world = world_with(&before);
        world.run(&["prune", "--idle", "never"]).ends_with(0);
        assert_eq!(world.map_text(), before, "{}", map.file);
        assert!(world.tombstones().is_empty());
    }
}

#[test]
fn every_bridges_map_is_whole_again_after_a_restore() {
    for map in &MAPS {
        let before = fixture(map.file);
        let world = world_with(&before);
        world.run(&["prune"]).ends_with(0);
        let tombstones = world.tombstones();
        let document = world.json(&["restore", "--all"]);
        assert_eq!(document["restored"], map.rows.len(), "{}", map.file);
        let original: Value = serde_json::from_str(&before).unwrap();
        assert_eq!(world.map_json(), original, "{}", map.file);
        // A bridge may write its older map back yet.
        assert_eq!(world.tombstones_as_written(), tombstones, "{}", map.file);
        let restored = world.map_text();
        assert_eq!(world.json(&["restore", "--all"])["restored"], 0, "{}", map.file);
        assert_eq!(world.map_text(), restored, "{}", map.file);
    }
}

#[test]
fn every_chat_of_every_bridges_map_is_found_before_and_after_a_prune() {
    for map in &MAPS {
        let world = world_with(&fixture(map.file));
        for state in ["mapped", "pruned"] {
            for (model, chat, session) in map.rows {
                // Where the map names no model, any of the one that has the session will do.
                let answer = world.json(&["resolve", "--model", model.unwrap_or("claude-cli"), "--chat", chat]);
                assert_eq!(answer["state"], state, "{}: {answer:#}", map.file);
                assert_eq!(answer["advice"], "resume", "{}: {answer:#}", map.file);
                assert!(answer["session"].as_str().unwrap().starts_with(session), "{}: {answer:#}", map.file);
                let transcript = answer["transcript"].as_str().unwrap();
                assert!(transcript.contains(answer["session"].as_str().unwrap()), "{}: {answer:#}", map.file);
            }
            world.run(&["prune"]).ends_with(0);
        }
    }
}

/// How a program writes JSON.
#[derive(Debug, Clone, Copy)]
struct Style {
    line: &'static str,
    indent: &'static str,
    colon: &'static str,
    comma: &'static str,
    end: &'static str,
}

const STYLES: [Style; 7] = [
    Style { line: "", indent: "", colon: ": ", comma: ", ", end: "" },
    Style { line: "", indent: "", colon: ":", comma: ",", end: "\n" },
    Style { line: "\n", indent: "  ", colon: ": ", comma: ",", end: "" },
    Style { line: "\n", indent: "    ", colon: ": ", comma: ",", end: "\n" },
    Style { line: "\n", indent: "\t", colon: ": ", comma: ",", end: "\n\n" },
    Style { line: "\r\n", indent: "  ", colon: ": ", comma: ",", end: "\r\n" },
    Style { line: "\n", indent: "", colon: " : ", comma: " ,", end: "  " },
];

impl Style {
    fn object(self, members: &[(String, String)], depth: usize) -> String {
        if members.is_empty() {
            return "{}".to_owned();
        }
        let line = |depth| format!("{}{}", self.line, self.indent.repeat(depth));
        let members: Vec<String> =
            members.iter().map(|(key, value)| format!("{}{key}{}{value}", line(depth + 1), self.colon)).collect();
        format!("{{{}{}}}", members.join(self.comma), line(depth))
    }

    /// A map of the chats `keys` under two models, without those that `is_pruned`.
    fn map(self, keys: &[&str], is_pruned: impl Fn(usize) -> bool) -> String {
        let chats: Vec<_> = keys
            .iter()
            .enumerate()
            .filter(|(index, _)| !is_pruned(*index))
            .map(|(index, key)| (format!("\"{key}\""), format!("\"{}\"", id(index as u32))))
            .collect();
        let top = [
            ("\"claude-cli\"".to_owned(), self.object(&chats, 1)),
            ("\"caf\\u00e9\"".to_owned(), "{}".to_owned()),
            ("\"note\"".to_owned(), "[1, 2.50, 1e3, \"\\/\"]".to_owned()),
        ];
        self.object(&top, 0) + self.end
    }
}

#[test]
fn every_style_of_writing_is_kept() {
    // Escaped and plain, ASCII and not, a surrogate pair, an escaped slash, quotes and braces.
    let keys = ["a", "caf\\u00e9", "\\u00e9\\/x", "\\ud83d\\ude00", "漢字 😀", "q\\\"}, {", "z"];
    for style in STYLES {
        for pattern in 1_u32..1 << keys.len() {
            // The first, the last, one between, neighbours, every second one, all but one, all.
            if ![0b1, 0b100_0000, 0b1000, 0b1_1100, 0b101_0101, 0b110_1111, 0b111_1111].contains(&pattern) {
                continue;
            }
            let is_pruned = |index: usize| pattern & (1 << index) != 0;
            let world = World::new();
            for index in 0..keys.len() {
                world.claude(&id(index as u32), if is_pruned(index) { 600 } else { 1 });
            }
            world.map(&style.map(&keys, |_| false));
            world.run(&["prune"]).ends_with(0);
            assert_eq!(world.map_text(), style.map(&keys, is_pruned), "{style:?} {pattern:b}");
        }
    }
}

#[test]
fn mode_owner_and_symlink_of_the_map_stay() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    let real = world.root().join("real/map-of-mine.json");
    fs_err::create_dir(real.parent().unwrap()).unwrap();
    fs_err::write(&real, nested(&[("claude-cli", "a", CLAUDE_ID)])).unwrap();
    fs_err::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("../real/map-of-mine.json", world.map_path()).unwrap();
    let before = fs_err::metadata(&real).unwrap();
    world.run(&["prune"]).ends_with(0);
    let after = fs_err::metadata(&real).unwrap();
    assert_eq!(fs_err::read_to_string(&real).unwrap(), r#"{"claude-cli":{}}"#);
    assert_eq!((before.mode(), before.uid(), before.gid()), (after.mode(), after.uid(), after.gid()));
    assert_eq!(fs_err::read_link(world.map_path()).unwrap(), Path::new("../real/map-of-mine.json"));
    assert_eq!(world.tombstones().len(), 1);
}

#[test]
fn what_lies_beside_a_map_lies_beside_the_link_that_names_it() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    let real = world.root().join("real");
    fs_err::create_dir(&real).unwrap();
    let text = nested(&[("claude-cli", "a", CLAUDE_ID)]);
    fs_err::write(real.join("map.json"), &text).unwrap();
    fs_err::os::unix::fs::symlink("../real/map.json", world.map_path()).unwrap();
    let state = || world.json(&["resolve", "--model", "claude-cli", "--chat", "a"])["state"].clone();
    assert_eq!(state(), "mapped");
    world.run(&["prune"]).ends_with(0);
    assert_eq!(world.map_text(), r#"{"claude-cli":{}}"#);
    assert_eq!(names_in(&world.bridge()), ["session_map.json", "session_map.lock", "session_map.tombstones.jsonl"]);
    assert_eq!(state(), "pruned");
    world.run(&["restore", "--all"]).ends_with(0);
    assert_eq!((world.map_text(), state()), (text, json!("mapped")));
    world.run(&["record", "--model", "claude-cli", "--chat", "b", "--session", &id(2)]).ends_with(0);
    let there: Value = serde_json::from_str(&fs_err::read_to_string(real.join("map.json")).unwrap()).unwrap();
    assert_eq!(there, json!({"claude-cli": {"a": CLAUDE_ID, "b": id(2)}}));
    assert_eq!(fs_err::read_link(world.map_path()).unwrap(), Path::new("../real/map.json"));
    assert_eq!(names_in(&real), ["map.json"]);
}

#[test]
fn nothing_to_remove_nothing_written() {
    let world = World::new();
    world.claude(CLAUDE_ID, 1);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID)]));
    let identity = || {
        let metadata = fs_err::metadata(world.map_path()).unwrap();
        (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.ctime_nsec())
    };
    let before = identity();
    world.run(&["prune"]).ends_with(0);
    assert_eq!(identity(), before);
    let names: Vec<_> = fs_err::read_dir(world.bridge()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["session_map.json"]);
}

#[test]
fn what_is_no_map_is_refused_and_left_alone() {
    let session = CLAUDE_ID;
    let refused: Vec<(Vec<u8>, &str)> = vec![
        (format!(r#"{{"a": "{session}", "a": "{session}"}}"#).into(), "duplicate key `a`"),
        (format!(r#"{{"claude-cli": {{"a": "{session}", "\u0061": "{session}"}}}}"#).into(), "duplicate key `a`"),
        (format!(r#"{{"claude-cli": {{"a": "{session}"}}, "claude-cli": {{}}}}"#).into(), "duplicate key `claude-cli`"),
        (format!(r#"{{"c": {{"session_id": "{session}", "session_id": "{session}"}}}}"#).into(), "duplicate key"),
        // Where it is in the file, not in the object that it is in.
        (indented(r#""a": 1, "a": 2"#), "duplicate key `a` at line 4 column 15"),
        (indented(r#""a": {"uuid": "x", "x": 0, "x": 1}"#), "duplicate key `x` at line 4 column 34"),
        (indented("\"a\": {\n\"uuid\": \"x\",\n\"uuid\": 1}"), "duplicate key `uuid` at line 6 column 6"),
        (indented(r#""a": "\ud83d""#), "unexpected end of hex escape at line 4 column 17"),
        (format!(r#"{{"claude-cli": {{"a": "{session}""#).into(), "not valid JSON"),
        (format!(r#"{{"claude-cli": {{"a": "{session}"}}}} x"#).into(), "not valid JSON"),
        (format!(r#"{{"claude-cli": {{"a": "{session}",}}}}"#).into(), "not valid JSON"),
        (format!("{{'claude-cli': {{'a': '{session}'}}}}").into(), "not valid JSON"),
        (format!("\u{feff}{{\"claude-cli\": {{\"a\": \"{session}\"}}}}").into(), "not valid JSON"),
        (b"{\"claude-cli\": {\"a\": \"\xff\"}}".to_vec(), "not valid UTF-8"),
        (b"{\"claude-cli\": {\"a\": \"\\ud83d\"}}".to_vec(), "not valid JSON"),
        (b"\0\0\0\0".to_vec(), "not valid JSON"),
        (b"".to_vec(), "not valid JSON"),
        (b"[1, 2]".to_vec(), "not an object of chats and sessions"),
        (b"null".to_vec(), "not an object of chats and sessions"),
        (b"\"text\"".to_vec(), "not an object of chats and sessions"),
        (b"17".to_vec(), "not an object of chats and sessions"),
    ];
    // What looks torn is waited for, so all at once.
    std::thread::scope(|scope| {
        for (text, why) in &refused {
            scope.spawn(|| assert_refused(text, why));
        }
    });
}

/// A nested map with these members on its fourth line.
fn indented(members: &str) -> Vec<u8> {
    format!("\n{{\n  \"claude-cli\": {{\n    {members}\n  }}\n}}\n").into()
}

fn assert_refused(text: &[u8], why: &str) {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    fs_err::write(world.map_path(), text).unwrap();
    for command in [
        &["prune"][..],
        &["prune", "--dry-run"],
        &["audit"],
        &["record", "--model", "claude-cli", "--chat", "b", "--session", CLAUDE_ID],
        &["resolve", "--model", "claude-cli", "--chat", "b"],
    ] {
        let ran = world.run(command).ends_with(1);
        assert!(ran.stderr.contains(why), "{}: {}", String::from_utf8_lossy(text), ran.stderr);
        assert!(ran.stderr.contains("nothing was touched"), "{}", ran.stderr);
        assert!(ran.stderr.contains("session_map.json"), "{}", ran.stderr);
        assert_eq!(fs_err::read(world.map_path()).unwrap(), text);
    }
    assert!(world.tombstones().is_empty());
}

#[test]
fn members_that_are_no_mapping_stay_and_are_counted() {
    let session = CLAUDE_ID;
    // What is not understood, and beside it one idle mapping.
    for (other, count) in [
        (r#""count": 3"#, 1),
        (r#""flag": true, "nothing": null"#, 2),
        (r#""schema": "2.1-beta""#, 1),
        (r#""title": "my bridge""#, 1),
        (r#""stats": {"totalRequests": 10, "errors": 0}"#, 1),
        (r#""settings": {"theme": "dark", "language": "en"}"#, 1),
        (r#""tags": [["colour", "blue"], ["size", "large"]]"#, 1),
        (r#""list": [1, 2, 3]"#, 1),
        (r#""interactive-discussion": {}, "requestLog": []"#, 0),
    ] {
        let world = World::new();
        world.claude(session, 600);
        world.map(&format!(r#"{{{other}, "claude-cli": {{"a": "{session}", "deep": {{"x": 1}}}}}}"#));
        let document = world.json(&["prune", "--missing", "prune"]);
        assert_eq!(document["summary"]["checked"], 1, "{other}: {document:#}");
        assert_eq!(document["not_understood"], count + 1, "{other}");
        let said = match count {
            0 => "1 member of the map is no mapping that we know; it stays\n".to_owned(),
            more => format!("{} members of the map are no mapping that we know; they stay\n", more + 1),
        };
        let text = world.run(&["prune", "-n"]).ends_with(0).stdout;
        assert!(text.contains(&format!("\n{said}")) || text.starts_with(&said), "{other}: {text}");
        assert_eq!(world.map_text(), format!(r#"{{{other}, "claude-cli": {{"deep": {{"x": 1}}}}}}"#));
    }
}

#[test]
fn a_mixed_map_is_read_member_by_member() {
    let world = World::new();
    world.claude(&id(1), 600);
    world.claude(&id(2), 600);
    world.claude(&id(3), 1);
    world.map(&format!(
        r#"{{"claude-cli": {{"a": "{}", "o": {{"session_id": "{}", "cwd": "/w"}}}}, "k": "{}", "v": "v"}}"#,
        id(1),
        id(3),
        id(2)
    ));
    let (rows, not_understood) = understood(&world);
    let chats: Vec<_> = rows.iter().map(|(_, chat, _)| chat.as_str()).collect();
    assert_eq!((chats, not_understood), (vec!["a", "o", "k"], 1));
    world.run(&["prune"]).ends_with(0);
    let left = format!(r#"{{"claude-cli": {{"o": {{"session_id": "{}", "cwd": "/w"}}}}, "v": "v"}}"#, id(3));
    assert_eq!(world.map_text(), left);
}

#[test]
fn models_that_nobody_claims_stay_in_the_map() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID), ("future-model", "b", &id(7))]));
    world.run(&["prune"]).ends_with(0);
    assert_eq!(world.map_json(), json!({"claude-cli": {}, "future-model": {"b": id(7)}}));
}

#[test]
fn two_chats_may_share_one_session() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID), ("claude-cli", "b", CLAUDE_ID)]));
    assert_eq!(world.json(&["prune"])["summary"]["pruned"], 2);
    let chats: Vec<_> = world.tombstones().iter().map(|line| line["chat"].clone()).collect();
    assert_eq!(chats, ["a", "b"]);
}

#[test]
fn any_file_can_be_the_map() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    let path = world.root().join("state of mine.json");
    fs_err::write(&path, nested(&[("claude-cli", "a", CLAUDE_ID)])).unwrap();
    world.run(&["prune", "--map", path.to_str().unwrap()]).ends_with(0);
    assert_eq!(fs_err::read_to_string(&path).unwrap(), r#"{"claude-cli":{}}"#);
    assert!(world.root().join("state of mine.tombstones.jsonl").exists());
}

#[test]
fn a_chat_may_be_called_like_a_field_of_a_mapping() {
    for name in ["uuid", "sessionId", "session_id", "claudeSessionId"] {
        for model in ["claude-cli", "devstral-small-2"] {
            let world = World::new();
            world.claude(CLAUDE_ID, 600);
            world.claude(&id(1), 5);
            world.map(&json!({ model: {name: CLAUDE_ID, "busy": id(1)} }).to_string());
            world.run(&["prune"]).ends_with(0);
            assert_eq!(world.map_json(), json!({ model: {"busy": id(1)} }), "{name} under {model}");
        }
        // Alone under a model's name it is a chat, too.
        let world = World::new();
        world.claude(CLAUDE_ID, 600);
        world.map(&json!({"claude-cli": {name: CLAUDE_ID}}).to_string());
        world.run(&["prune"]).ends_with(0);
        assert_eq!(world.map_json(), json!({"claude-cli": {}}), "{name}");
    }
}

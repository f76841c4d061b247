//! Providers are data: a built-in row written by a user gives the same result, and a row makes a new CLI known.

use std::path::PathBuf;

use rusqlite::types::Value as Column;
use serde_json::{Value, json};

use crate::left_behind::{assert_verdict, boot_id, id, nested, start_ticks, verdict};
use crate::world::{NOW, World};

/// The built-in Claude row, every key of it, as a user would write it.
const CLAUDE: &str = include_str!("../fixtures/claude-row.toml");

/// A store with everything in it that a row can say: active, idle, in use, sub-agents of both kinds, copies, missing.
fn store(world: &mut World, home: &str) -> u32 {
    let project = format!("{home}/projects/-work");
    let line = |id: &str| format!("{{\"type\":\"user\",\"cwd\":\"/work\",\"sessionId\":\"{id}\"}}\n");
    for (number, minutes) in [(1, 5), (2, 600), (3, 600), (4, 600), (5, 600), (6, 600), (8, 600)] {
        world.file(&format!("{project}/{}.jsonl", id(number)), line(&id(number)), minutes);
    }
    let pid = world.sleeper();
    let worker = json!({"pid": pid, "sessionId": id(8), "procStart": start_ticks(pid).to_string()});
    let roster = json!({"supervisorPid": 4_194_304, "workers": {"33333333": worker}});
    world.file(&format!("{home}/daemon/roster.json"), roster.to_string(), 0);
    let record = json!({"pid": pid, "sessionId": id(3), "procStart": start_ticks(pid).to_string()});
    world.file(&format!("{home}/sessions/{pid}.json"), record.to_string(), 0);
    world.file(&format!("{project}/{}/subagents/agent-0123.jsonl", id(4)), line(&id(4)), 7);
    world.file(&format!("{project}/agent-4567.jsonl"), line(&id(5)), 8);
    world.file(&format!("{home}/projects/-copy/{}.jsonl", id(6)), line(&id(6)), 9);
    pid
}

fn map(model: &str) -> String {
    let ids: Vec<String> = (1..=8).map(id).collect();
    let chats = ["active", "idle", "in use", "below", "beside", "copy", "missing", "working"];
    let entries: Vec<_> = chats.iter().zip(&ids).map(|(chat, id)| (model, *chat, id.as_str())).collect();
    nested(&entries)
}

#[test]
fn the_built_in_claude_row_written_by_a_user_gives_the_same_result() {
    let mut world = World::new();
    let pid = store(&mut world, ".claude");
    world.map(&map("claude-cli"));
    let config = world.file("claude.toml", CLAUDE, 0);
    let user = ["--config", config.to_str().unwrap()];
    let built_in = ["--config", "/dev/null"];
    let resolve = |chat| ["resolve", "--model", "claude-cli", "--chat", chat];
    let (idle, used) = (resolve("idle"), resolve("in use"));
    for command in [
        &["prune", "--dry-run", "--json"][..],
        &["prune", "--dry-run", "--json", "--activity", "content"],
        &["prune", "--dry-run", "--json", "--missing", "prune"],
        &["audit", "--json"],
        &idle,
        &used,
    ] {
        let expected = world.run(&[command, &built_in].concat()).ends_with(0).stdout;
        let same = world.run(&[command, &user].concat()).ends_with(0).stdout;
        assert_eq!(same, expected, "{command:?}");
    }
    // And the result is what it should be.
    let entries = world.entries(&user);
    for (chat, expected) in [
        ("active", "active/keep"),
        ("idle", "idle/prune"),
        ("in use", "in-use/keep"),
        ("below", "active/keep"),
        ("beside", "active/keep"),
        ("copy", "active/keep"),
        ("missing", "missing/keep"),
        ("working", "in-use/keep"),
    ] {
        assert_eq!(verdict(&entries[chat]), expected, "{chat}");
    }
    assert_verdict(&entries["in use"], "in-use/keep", &pid.to_string());
}

#[test]
fn every_key_of_the_claude_row_counts() {
    // Without the key the result differs: so the equality above says something of each.
    for (key, replacement) in [
        ("models = [\"claude*\", \"sonnet*\", \"opus*\", \"haiku*\"]", "models = [\"nobody\"]"),
        ("home = \"~/.claude\"", "home = \"~/.elsewhere\""),
        ("transcripts = [\"projects/*/{id}.jsonl\"]", "transcripts = [\"projects/{id}.jsonl\"]"),
        ("subagents = [\"projects/*/{id}/subagents/agent-*.jsonl\", ", "subagents = ["),
        (", \"projects/*/agent-*.jsonl\"]", "]"),
        ("records = \"sessions/*.json\", ", ""),
        (", roster = \"daemon/roster.json\"", ""),
    ] {
        let mut world = World::new();
        store(&mut world, ".claude");
        world.map(&map("claude-cli"));
        let expected = world.json(&["prune", "--dry-run"]);
        assert!(CLAUDE.contains(key), "{key}");
        let config = world.file("claude.toml", CLAUDE.replace(key, replacement), 0);
        assert_ne!(world.json(&["prune", "--dry-run", "--config", config.to_str().unwrap()]), expected, "{key}");
    }
}

#[test]
fn a_row_makes_a_new_cli_known() {
    let mut world = World::new();
    let config = r#"
[[provider]]
name = "mycli"
models = ["mycli", "my-*"]
home = "~/.mycli"
home_env = ["MYCLI_ROOT/data"]
transcripts = ["by-day/{year}/{month}/chat-*-{id:8}.jsonl", "old/{id}/log.jsonl"]
subagents = ["helpers/{id}/*.jsonl"]
id_field = "head.chat_id"
cwd_file = "folder.txt"
live = { pid_file = "old/{id}/open.*.pid" }
resume = ["mycli", "go", "--chat={id}", "--", "{prompt}"]
"#;
    world.file(".config/session-sweep/config.toml", config, 0);
    let head = |id: &str| format!("{{\"head\":{{\"chat_id\":\"{id}\"}}}}\n{{\"text\":\"hello\"}}\n");
    world.file(&format!(".mycli/by-day/2026/11/chat-x-{}.jsonl", &id(1)[..8]), head(&id(1)), 5);
    world.file(&format!(".mycli/by-day/2026/10/chat-y-{}.jsonl", &id(2)[..8]), head(&id(2)), 600);
    // Eight characters alike, and another id inside.
    world.file(&format!(".mycli/by-day/2026/10/chat-z-{}.jsonl", &id(3)[..8]), head(&id(99)), 600);
    world.file(".mycli/old/chat_4/log.jsonl", "x\n", 600);
    world.file(".mycli/old/chat_5/log.jsonl", "x\n", 600);
    world.file(".mycli/helpers/chat_5/one.jsonl", "x\n", 6);
    world.file(".mycli/old/chat_6/log.jsonl", "x\n", 600);
    world.file(".mycli/old/chat_4/folder.txt", "/srv/work", 0);
    let pid = world.sleeper();
    let mark = world.file(&format!(".mycli/old/chat_6/open.{pid}.pid"), "", 0);
    filetime::set_file_mtime(mark, filetime::FileTime::now()).unwrap();
    let (one, two, three) = (id(1), id(2), id(3));
    world.map(&nested(&[
        ("my-large-model", "one", &one),
        ("MyCLI", "two", &two),
        ("mycli", "three", &three),
        ("mycli", "four", "chat_4"),
        ("mycli", "five", "chat_5"),
        ("mycli", "six", "chat_6"),
    ]));
    let entries = world.entries(&[]);
    for (chat, expected) in [
        ("one", "active/keep"),
        ("two", "idle/prune"),
        ("three", "missing/keep"),
        ("four", "idle/prune"),
        ("five", "active/keep"),
        ("six", "in-use/keep"),
    ] {
        assert_eq!(verdict(&entries[chat]), expected, "{chat}: {:#}", entries[chat]);
        assert_eq!(entries[chat]["provider"], "mycli");
    }
    world.run(&["prune"]).ends_with(0);
    let answer = world.run(&["resolve", "--model", "mycli", "--chat", "four"]).ends_with(0).stdout;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["advice"], "resume");
    assert_eq!(answer["cwd"], "/srv/work");
    assert_eq!(answer["command"], json!(["mycli", "go", "--chat=chat_4", "--", "{prompt}"]));
    // Another place by its variable, with what the row appends.
    let elsewhere = world.root().join("elsewhere");
    world.variable("MYCLI_ROOT", &elsewhere);
    let answer = world.run(&["resolve", "--model", "mycli", "--chat", "six"]).ends_with(0).stdout;
    // There is no store at all, so nobody can say that the session is gone.
    assert!(answer.contains("\"unknown\"") && answer.contains("elsewhere/data has no sessions"), "{answer}");
    fs_err::create_dir_all(elsewhere.join("data/old")).unwrap();
    let answer = world.run(&["resolve", "--model", "mycli", "--chat", "six"]).ends_with(0).stdout;
    assert!(answer.contains("\"gone\""), "{answer}");
}

#[test]
fn a_row_without_a_way_to_resume_is_never_resumed() {
    let world = World::new();
    let row = "[[provider]]\nname = \"mycli\"\nhome = \"~/.mycli\"\ntranscripts = \"{id}.log\"\n";
    world.file(".config/session-sweep/config.toml", row, 0);
    world.file(&format!(".mycli/{}.log", id(1)), "x", 600);
    world.map(&nested(&[("mycli", "a", &id(1))]));
    let answer = world.run(&["resolve", "--model", "mycli", "--chat", "a"]).ends_with(0).stdout;
    assert!(answer.contains("it is not known how mycli resumes a session"), "{answer}");
    assert!(answer.contains("\"replay\""), "{answer}");
}

/// A variable that moves a built-in provider's home: a model of it, what is appended, the default, a session's file.
type Moved = (&'static str, &'static str, &'static str, &'static str, &'static str);

const MOVED: [Moved; 10] = [
    ("CLAUDE_CONFIG_DIR", "claude-cli", "", ".claude", "projects/-w/{id}.jsonl"),
    ("CODEX_HOME", "codex-cli", "", ".codex", "sessions/{id}.jsonl"),
    ("GEMINI_CLI_HOME", "gemini-cli", "/.gemini", ".gemini", "tmp/w/chats/session-1-{id:8}.jsonl"),
    ("QWEN_RUNTIME_DIR", "qwen-cli", "", ".qwen", "projects/-w/chats/{id}.jsonl"),
    ("QWEN_HOME", "qwen-cli", "", ".qwen", "projects/-w/chats/{id}.jsonl"),
    ("XDG_DATA_HOME", "opencode", "/opencode", ".local/share/opencode", "opencode.db"),
    ("COPILOT_HOME", "copilot-cli", "", ".copilot", "session-state/{id}/events.jsonl"),
    ("XDG_DATA_HOME", "amp", "/amp", ".local/share/amp", "threads/{id}.json"),
    ("GOOSE_PATH_ROOT", "goose", "/data", ".local/share/goose", "sessions/{id}.jsonl"),
    ("XDG_DATA_HOME", "goose", "/goose", ".local/share/goose", "sessions/{id}.jsonl"),
];

/// Makes a session in a provider's home, and tells its file.
fn make_session(world: &World, home: &str, file: &str, minutes: i64) -> PathBuf {
    let path = format!("{home}/{}", file.replace("{id}", &id(1)).replace("{id:8}", &id(1)[..8]));
    if file == "opencode.db" {
        return world.opencode_in(home, &[(&id(1), None, Column::Integer((NOW as i64 - minutes * 60) * 1000))]);
    }
    world.file(&path, format!("{{\"sessionId\":\"{}\"}}\n", id(1)), minutes)
}

#[test]
fn every_home_variable_leads_to_its_sessions() {
    for (variable, model, appended, default, file) in MOVED {
        let mut world = World::new();
        let transcript = make_session(&world, &format!("moved{appended}"), file, 300);
        // What is in the default home does not count then.
        make_session(&world, default, file, 5);
        world.map(&nested(&[(model, "a", &id(1))]));
        assert_verdict(&world.entries(&[])["a"], "active/keep", "");
        let moved = world.home().join("moved");
        world.variable(variable, moved);
        let entry = &world.entries(&[])["a"];
        assert_verdict(entry, "idle/prune", "");
        assert_eq!(entry["transcript"].as_str(), transcript.to_str(), "{variable}");
    }
}

#[test]
fn of_several_home_variables_the_first_counts() {
    for two in MOVED.chunk_by(|one, next| one.1 == next.1).filter(|same| same.len() > 1) {
        let mut world = World::new();
        for ((variable, model, appended, _, file), minutes) in two.iter().zip([300, 5]) {
            make_session(&world, &format!("{variable}{appended}"), file, minutes);
            let folder = world.home().join(variable);
            world.variable(variable, folder);
            world.map(&nested(&[(model, "a", &id(1))]));
        }
        assert_verdict(&world.entries(&[])["a"], "idle/prune", "");
    }
}

#[test]
fn qwens_live_records_stay_when_its_sessions_move() {
    let mut world = World::new();
    make_session(&world, "runtime", "projects/-w/chats/{id}.jsonl", 300);
    for variable in ["QWEN_RUNTIME_DIR", "QWEN_HOME"] {
        let folder = world.home().join(if variable == "QWEN_HOME" { "home of qwen" } else { "runtime" });
        world.variable(variable, folder);
    }
    world.map(&nested(&[("qwen-cli", "a", &id(1))]));
    let pid = world.sleeper();
    let record = json!({"pid": pid, "procStart": format!("{}:{}", boot_id(), start_ticks(pid)), "sessionId": id(1)});
    world.file(&format!("runtime/sessions/{pid}.json"), record.to_string(), 0);
    assert_eq!(world.verdict("a", &[]), "idle/prune");
    world.file(&format!("home of qwen/sessions/{pid}.json"), record.to_string(), 0);
    assert_eq!(world.verdict("a", &[]), "in-use/keep");
}

#[test]
fn the_table_above_has_every_home_variable_of_the_page() {
    // The page's table is held to the rows by a test of its own.
    let page = include_str!("../../docs/providers.md");
    let (_, section) = page.split_once("### Where sessions are\n").unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let mut listed = Vec::new();
    for row in rows.skip(2) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let names = cells[2].split('`').filter(|text| text.starts_with(|c: char| c.is_ascii_uppercase()));
        listed.extend(names.map(|name| (name.to_owned(), cells[1].to_owned())));
    }
    let tested = MOVED.map(|(variable, model, ..)| (variable.to_owned(), model.trim_end_matches("-cli").to_owned()));
    assert_eq!(tested.as_slice(), listed);
}

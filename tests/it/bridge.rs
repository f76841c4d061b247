//! The examples of docs/bridge.md, run as they stand there with a CLI that tells how it was called, and examples/bridge.py.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::left_behind::id;
use crate::machine::{cannot_run, copy_of, set_mode};
use crate::world::{CLAUDE_ID, Ran, World, wait_until};

/// A message that a shell, an option parser or a replacement pattern would take for something else.
const MESSAGE: &str = "--settings={} $& $(id) \"hi\"\nbye";

/// The text of the first code block of docs/bridge.md in a language.
fn example(language: &str) -> &'static str {
    let text = include_str!("../../docs/bridge.md");
    let (_, block) = text.split_once(&format!("```{language}\n")).unwrap();
    block.split_once("```").unwrap().0
}

/// A pruned chat, another one whose working folder is gone, and a `claude` and our binary where programs are looked for.
fn scene() -> (World, Command) {
    let world = World::new();
    let line = json!({"type": "user", "cwd": world.root(), "sessionId": CLAUDE_ID});
    world.file(&format!(".claude/projects/-work/{CLAUDE_ID}.jsonl"), format!("{line}\n"), 30_000);
    let elsewhere = json!({"type": "user", "cwd": world.root().join("gone"), "sessionId": id(1)});
    world.file(&format!(".claude/projects/-gone/{}.jsonl", id(1)), format!("{elsewhere}\n"), 30_000);
    world.map(&format!(r#"{{"claude-cli": {{"old": "{CLAUDE_ID}", "homeless": "{}"}}}}"#, id(1)));
    world.run(&["prune"]).ends_with(0);
    assert_eq!(world.map_json(), json!({"claude-cli": {}}));
    let programs = world.root().join("programs");
    fs_err::create_dir(&programs).unwrap();
    let claude = programs.join("claude");
    fs_err::write(&claude, "#!/bin/sh\npwd\nfor word; do printf '[%s]\\n' \"$word\"; done\n").unwrap();
    set_mode(&claude, 0o755);
    let mut command = world.command_at_present(&[]);
    let ours = Path::new(command.get_program()).parent().unwrap().to_owned();
    let others = std::env::var_os("PATH").unwrap_or_default();
    let path = [programs, ours].into_iter().chain(std::env::split_paths(&others));
    command.env("PATH", std::env::join_paths(path).unwrap());
    (world, command)
}

/// Runs `program` with the example; it prints what the CLI answered to the pruned chat, to a chat that nobody knows, and
/// to the one whose working folder is gone.
fn try_example(program: &str, file: &str, text: &str) {
    let (world, command) = scene();
    if Command::new(program).arg("--version").output().is_err() {
        return cannot_run(&format!("{program} is not installed"));
    }
    let script = world.root().join(file);
    fs_err::write(&script, text).unwrap();
    let environment = copy_of(&command);
    let mut run = Command::new(program);
    run.arg(&script).arg(MESSAGE).arg(CLAUDE_ID).current_dir(world.home());
    run.env_clear().envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = Ran::of(&mut run).ends_with(0);
    let answers: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let root = fs_err::canonicalize(world.root()).unwrap();
    let said = answers[0].as_str().unwrap();
    assert!(said.starts_with(&format!("{}\n", root.display())), "{said}");
    assert!(said.contains(&format!("[{CLAUDE_ID}]\n")), "{said}");
    assert!(said.ends_with(&format!("[--]\n[{MESSAGE}]\n")), "{said}");
    assert_eq!(answers[1..], [Value::Null, Value::Null]);
    assert_eq!(world.map_json(), json!({"claude-cli": {"old": CLAUDE_ID}}));
    assert_eq!(world.tombstones().len(), 1, "{:?}", world.tombstones());
}

#[test]
fn the_python_example_resumes_and_records() {
    let calls = r#"
import sys
text, session = sys.argv[1:]
old = go_on("claude-cli", "old", text)
record("claude-cli", "old", session)
print(json.dumps([old.stdout, go_on("claude-cli", "nobody's", text),
                  go_on("claude-cli", "homeless", text)]))
"#;
    try_example("python3", "bridge.py", &(example("python").to_owned() + calls));
}

#[test]
fn the_node_example_resumes_and_records() {
    let calls = r#"
const [text, session] = process.argv.slice(2);
const old = goOn("claude-cli", "old", text);
record("claude-cli", "old", session);
console.log(JSON.stringify([old.stdout, goOn("claude-cli", "nobody's", text), goOn("claude-cli", "homeless", text)]));
"#;
    try_example("node", "bridge.mjs", &(example("js").to_owned() + calls));
}

#[test]
fn the_example_bridge_has_the_python_example_in_it() {
    let (_imports, functions) = example("python").split_once("\n\n").unwrap();
    assert!(include_str!("../../examples/bridge.py").contains(functions));
}

#[test]
fn the_python_example_ends_a_cli_that_takes_too_long_with_all_that_it_started() {
    let world = World::new();
    let script = world.root().join("limit.py");
    let calls = r#"
TIME_LIMIT = 2
try:
    run(["sh", "-c", "sleep 600 & echo $! > started; wait"])
except subprocess.TimeoutExpired:
    print("ended")
"#;
    fs_err::write(&script, example("python").to_owned() + calls).unwrap();
    if Command::new("python3").arg("--version").output().is_err() {
        return cannot_run("python3 is not installed");
    }
    let ran = Ran::of(Command::new("python3").arg(&script).current_dir(world.root())).ends_with(0);
    assert_eq!(ran.stdout, "ended\n");
    let started = fs_err::read_to_string(world.root().join("started")).unwrap();
    // Nothing is left of it, or nothing but its number until somebody asks how it ended.
    let arguments = Path::new("/proc").join(started.trim()).join("cmdline");
    wait_until(|| std::fs::read(&arguments).map_or(true, |words| words.is_empty()));
}

/// A `claude` that repeats what it was told, in the session that it is asked to resume or in a new one; it fails to
/// resume when told to, and fails when it is not alone while it should be.
const PARROT: &str = r#"#!/usr/bin/env python3
import json, os, sys, time
words = sys.argv[1:]
if "--resume" in words:
    said, session = words[-1], words[words.index("--resume") + 1]
    if "fail" in said:
        sys.exit("No conversation found")
else:
    said, session = sys.stdin.read(), "00000000-0000-4000-8000-000000000099"
if "alone" in said:
    os.mkdir("alone")
    time.sleep(0.3)
    os.rmdir("alone")
print(json.dumps({"result": said, "session_id": session, "is_error": "is_error" in said}))
"#;

/// examples/bridge.py, running beside the parrot.
struct Bridge {
    world: World,
    address: String,
}

impl Bridge {
    /// Nothing (said loudly) where there is no Python.
    fn start() -> Option<Self> {
        let (mut world, command) = scene();
        if Command::new("python3").arg("--version").output().is_err() {
            cannot_run("python3 is not installed");
            return None;
        }
        fs_err::write(world.root().join("programs/claude"), PARROT).unwrap();
        let says = world.root().join("says");
        let mut bridge = Command::new("python3");
        bridge.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/bridge.py")).arg("--port=0").arg("--cwd");
        bridge.arg(world.root()).current_dir(world.home()).env_clear();
        bridge.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        bridge.stdout(fs_err::File::create(&says).unwrap().into_file()).stderr(Stdio::null());
        world.child(&mut bridge);
        wait_until(|| fs_err::read_to_string(&says).unwrap().ends_with('\n'));
        let said = fs_err::read_to_string(&says).unwrap();
        let address = said.trim().strip_prefix("listening on http://").unwrap().to_owned();
        Some(Self { world, address })
    }

    fn send(&self, method_and_path: &str, head: &str, body: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(connection, "{method_and_path} HTTP/1.0\r\nContent-Length: {length}\r\n{head}\r\n{body}").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(&format!("GET {path}"), "", "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// What the model answers to `text` after the user said "hi" and it said "hello".
    #[track_caller]
    fn chat(&self, head: &str, text: &str) -> String {
        let (status, body) = self.post(head, &history("claude-cli", text));
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    }

    fn post(&self, head: &str, body: &Value) -> (u16, String) {
        let head = format!("Content-Type: application/json\r\n{head}");
        self.send("POST /v1/chat/completions", &head, &body.to_string())
    }
}

fn history(model: &str, text: &str) -> Value {
    let said = [("user", "hi"), ("assistant", "hello"), ("user", text)];
    let messages = said.map(|(role, content)| json!({"role": role, "content": content}));
    json!({"model": model, "messages": messages})
}

#[test]
fn the_example_bridge_goes_on_with_the_old_session_or_tells_a_new_one_everything() {
    let Some(bridge) = Bridge::start() else { return };
    let new = "00000000-0000-4000-8000-000000000099";
    let everything = |text| format!("User: hi\n\nAssistant: hello\n\nUser: {text}");
    assert_eq!(bridge.chat("X-Chat-Id: old\r\n", MESSAGE), MESSAGE);
    assert_eq!(bridge.world.map_json(), json!({"claude-cli": {"old": CLAUDE_ID}}));
    assert!(bridge.chat("X-Chat-Id: nobody's\r\n", MESSAGE).ends_with(&everything(MESSAGE)));
    assert_eq!(bridge.world.map_json(), json!({"claude-cli": {"old": CLAUDE_ID, "nobody's": new}}));
    assert!(bridge.chat("X-Conversation-Id: old\r\n", "fail").ends_with(&everything("fail")));
    assert_eq!(bridge.world.map_json(), json!({"claude-cli": {"old": new, "nobody's": new}}));
    // What is too long for an argument is not too long for stdin.
    let long = "x".repeat(200_000);
    bridge.world.run(&["record", "--model=claude-cli", "--chat=old", &format!("--session={CLAUDE_ID}")]).ends_with(0);
    assert!(bridge.chat("X-OpenWebUI-Chat-Id: old\r\n", &long).ends_with(&everything(&long)));
    assert_eq!(bridge.world.map_json()["claude-cli"]["old"], new);
    let before = bridge.world.map_text();
    assert!(bridge.chat("", "no chat").ends_with(&everything("no chat")));
    assert_eq!(bridge.world.map_text(), before);
}

#[test]
fn the_example_bridge_lets_the_messages_of_one_chat_wait_for_each_other() {
    let Some(bridge) = Bridge::start() else { return };
    let ask = || bridge.chat("X-Chat-Id: new\r\n", "alone");
    std::thread::scope(|scope| {
        for asked in [scope.spawn(ask), scope.spawn(ask), scope.spawn(ask)] {
            assert!(asked.join().unwrap().ends_with("User: alone"));
        }
    });
}

#[test]
fn the_example_bridge_streams_and_lists_and_forgets() {
    let Some(bridge) = Bridge::start() else { return };
    let mut request = history("claude-cli", "streamed");
    request["stream"] = json!(true);
    let (status, body) = bridge.post("X-Chat-Id: old\r\n", &request);
    assert_eq!(status, 200, "{body}");
    let events: Vec<_> = body.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()).collect();
    let first: Value = serde_json::from_str(events[0]).unwrap();
    assert_eq!(first["choices"][0]["delta"], json!({"role": "assistant", "content": "streamed"}));
    assert_eq!(events[2..], ["[DONE]"]);
    assert_eq!(bridge.get("/v1/models")["data"][1]["id"], "codex-cli");
    assert_eq!(bridge.get("/")["active_sessions"], 1);
    let sessions = json!({"claude-cli": {"old": CLAUDE_ID}, "codex-cli": {}, "gemini-cli": {}});
    assert_eq!(bridge.get("/sessions"), json!({ "sessions": sessions }));
    assert_eq!(bridge.send("DELETE /sessions/old?model=codex-cli", "", "").0, 404);
    let (status, body) = bridge.send("DELETE /sessions/ol%64?model=claude-cli", "", "");
    let deleted = json!({"status": "deleted", "chat_id": "old", "models": ["claude-cli"]});
    assert_eq!((status, serde_json::from_str(&body).unwrap()), (200, deleted));
    assert_eq!(bridge.world.map_json(), json!({"claude-cli": {}}));
    assert_eq!(bridge.send("DELETE /sessions/old", "", "").0, 404);
}

#[test]
fn a_prune_goes_through_the_example_bridges_door() {
    let Some(bridge) = Bridge::start() else { return };
    bridge.world.map(&json!({"claude-cli": {"old": CLAUDE_ID, "ö &/?": CLAUDE_ID, "öl & %": CLAUDE_ID}}).to_string());
    let url = format!("http://{}", bridge.address);
    let ran = bridge.world.run(&["prune", "--bridge-url", &url]).ends_with(4);
    assert!(ran.stdout.contains("2 pruned") && ran.stdout.contains("its id cannot stand in a URL"), "{ran:?}");
    assert_eq!(bridge.get("/sessions")["sessions"]["claude-cli"], json!({"ö &/?": CLAUDE_ID}));
    assert_eq!(bridge.chat("X-Chat-Id: old\r\n", MESSAGE), MESSAGE);
}

#[test]
fn the_example_bridge_says_what_is_wrong_with_a_request() {
    let Some(bridge) = Bridge::start() else { return };
    let good = history("claude-cli", "hi").to_string();
    for (request, head, body, status) in [
        ("GET /v2", "", "", 404),
        ("POST /v2", "", "", 404),
        ("DELETE /sessions/old?model=gpt-9", "", "", 400),
        ("POST /v1/chat/completions", "Content-Type: text/plain\r\n", &*good, 415),
        ("POST /v1/chat/completions", "Content-Type: application/json\r\n", "{", 400),
        ("POST /v1/chat/completions", "Content-Type: application/json\r\n", "[]", 400),
    ] {
        let (answer, said) = bridge.send(request, head, body);
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((answer, said["error"]["message"].is_string()), (status, true), "{request} {body}: {said}");
    }
    let image = json!({"model": "claude-cli", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]});
    let last_is_the_models = json!({"model": "claude-cli", "messages": [{"role": "assistant", "content": "hi"}]});
    for body in [history("gpt-9", "hi"), history("claude-cli", " "), image, last_is_the_models] {
        assert_eq!(bridge.post("", &body).0, 400, "{body}");
    }
    assert_eq!(bridge.post("X-Chat-Id: old\r\n", &history("claude-cli", "is_error")).0, 502);
    assert_eq!(bridge.world.map_json(), json!({"claude-cli": {}}), "a session without an answer is not recorded");
}

//! The examples of docs/bridge.md, run as they stand there with a CLI that tells how it was called.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::left_behind::id;
use crate::machine::{cannot_run, copy_of, set_mode};
use crate::world::{CLAUDE_ID, Ran, World};

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

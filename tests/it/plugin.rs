//! The Claude Code plugin: what its files say, that what they call exists, and its hooks with what Claude Code sends.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value};

use crate::world::{Ran, World};

/// The versions of Claude Code whose hook inputs are recorded, each as that version sent it but for the home's path.
const RECORDED: [&str; 2] = ["2.1.329", "2.0.42"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn plugin() -> PathBuf {
    repository().join("packaging/claude-plugin")
}

fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_str(&fs_err::read_to_string(path.as_ref()).unwrap()).unwrap()
}

/// The object's members, all of which are among the known ones.
#[track_caller]
fn members<'v>(value: &'v Value, known: &[&str]) -> &'v Map<String, Value> {
    let object = value.as_object().unwrap();
    for key in object.keys() {
        assert!(known.contains(&key.as_str()), "{key} is not documented");
    }
    object
}

/// A Markdown file's frontmatter as its lines' keys and values, and the text after it.
fn frontmatter(path: &Path) -> (Vec<(String, String)>, String) {
    let text = fs_err::read_to_string(path).unwrap();
    let (head, body) = text.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
    let fields = head.lines().map(|line| {
        let (key, value) = line.split_once(": ").unwrap();
        (key.to_owned(), value.to_owned())
    });
    (fields.collect(), body.to_owned())
}

/// The plugin's hooks as event, command and timeout.
fn hooks() -> Vec<(String, String, u64)> {
    let file = json(plugin().join("hooks/hooks.json"));
    let events = members(&file, &["description", "hooks"])["hooks"].as_object().unwrap().clone();
    let mut hooks = Vec::new();
    for (event, groups) in events {
        for group in groups.as_array().unwrap() {
            for hook in members(group, &["matcher", "hooks"])["hooks"].as_array().unwrap() {
                let hook = members(hook, &["type", "command", "timeout"]);
                assert_eq!(hook["type"], "command");
                let command = hook["command"].as_str().unwrap().to_owned();
                hooks.push((event.clone(), command, hook["timeout"].as_u64().unwrap()));
            }
        }
    }
    hooks
}

fn hook(event: &str) -> String {
    let found: Vec<_> = hooks().into_iter().filter(|hook| hook.0 == event).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].1.clone()
}

/// What `version` of Claude Code sent to a hook.
fn recording(version: &str, name: &str) -> PathBuf {
    repository().join(format!("tests/fixtures/hooks/{version}-{name}.json"))
}

/// A folder for `PATH` with the binary in it.
fn program_folder(world: &World) -> PathBuf {
    let folder = world.root().join("programs");
    fs_err::create_dir_all(&folder).unwrap();
    let program = folder.join("session-sweep");
    if !program.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_session-sweep"), program).unwrap();
    }
    folder
}

/// A command in this world's environment, which finds the binary in its `PATH`.
fn in_world(world: &World, program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    let path = format!("{}:/usr/bin:/bin", program_folder(world).display());
    command.env_clear().env("HOME", world.home()).env("PATH", path).current_dir(world.root());
    command
}

/// A shell that looks like Claude Code: its name and its program's name are `claude`.
fn claude(world: &World) -> Command {
    let program = world.root().join("claude");
    if !program.exists() {
        // By another process: a file that this one writes stays busy as long as a child of another test has it.
        assert!(Command::new("cp").args(["--dereference", "/bin/sh"]).arg(&program).status().unwrap().success());
    }
    in_world(world, program)
}

/// Runs these hooks one after the other below one `claude`, whose pid is returned, and keeps what each session's record
/// says after each.
#[track_caller]
fn live_through(world: &World, inputs: &[&str], version: &str) -> u32 {
    let step = |(number, name): (usize, &&str)| {
        let (input, command) = (recording(version, name), hook(name.split_once('-').map_or(*name, |(event, _)| event)));
        let session = json(&input)["session_id"].as_str().unwrap().to_owned();
        format!(
            "/bin/sh -c '{command}' <'{}' >out.{number} 2>&1; echo $? >status.{number}\n\
             cp \"$HOME/.claude/sessions/{session}/metadata.json\" record.{number}\n\
             kill -0 $child; echo $? >child.{number}\n",
            input.display()
        )
    };
    let steps: String = inputs.iter().enumerate().map(step).collect();
    // What else the session has running goes on meanwhile.
    let script = format!("sleep 60 & child=$!\n{steps}kill $child; exit 0\n");
    let child = claude(world).arg("-c").arg(script).stdin(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    assert!(child.wait_with_output().unwrap().status.success());
    for (number, name) in inputs.iter().enumerate() {
        let said = fs_err::read_to_string(world.root().join(format!("out.{number}"))).unwrap();
        let status = fs_err::read_to_string(world.root().join(format!("status.{number}"))).unwrap();
        // What SessionStart prints would become a part of the conversation.
        assert_eq!((said.as_str(), status.trim()), ("", "0"), "{version}: {name}");
    }
    pid
}

/// What the session's record said after one of these hooks.
fn record(world: &World, number: usize) -> Value {
    json(world.root().join(format!("record.{number}")))
}

#[test]
fn manifest_is_as_documented() {
    let manifest = json(plugin().join(".claude-plugin/plugin.json"));
    let known = ["name", "version", "description", "author", "homepage", "repository", "license", "keywords"];
    let manifest = members(&manifest, &known);
    assert_eq!(manifest["name"], "session-sweep");
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    assert!(manifest["description"].is_string() && manifest["license"].is_string());
    assert!(members(&manifest["author"], &["name", "email", "url"])["name"].is_string());
    assert!(manifest["keywords"].as_array().unwrap().iter().all(Value::is_string));
}

#[test]
fn marketplace_lists_the_plugin() {
    let marketplace = json(repository().join(".claude-plugin/marketplace.json"));
    let marketplace = members(&marketplace, &["name", "owner", "metadata", "plugins"]);
    assert_eq!(marketplace["name"], "session-sweep");
    assert!(members(&marketplace["owner"], &["name", "email"])["name"].is_string());
    assert!(members(&marketplace["metadata"], &["description", "version"])["description"].is_string());
    let [entry] = marketplace["plugins"].as_array().unwrap().as_slice() else { panic!("one plugin") };
    let entry = members(entry, &["name", "source", "description"]);
    let source = entry["source"].as_str().unwrap();
    assert!(source.starts_with("./"), "{source}");
    assert_eq!(entry["name"], json(repository().join(source).join(".claude-plugin/plugin.json"))["name"]);
}

#[test]
fn hooks_are_as_documented_and_call_only_the_binary() {
    let found = hooks();
    let events: Vec<_> = found.iter().map(|hook| hook.0.as_str()).collect();
    assert_eq!(BTreeSet::from_iter(events), BTreeSet::from(["SessionEnd", "SessionStart", "Stop"]));
    assert_eq!(found.len(), 3);
    for (event, command, timeout) in found {
        let call = command.strip_suffix(" || exit 1").unwrap_or(&command);
        assert!(call.starts_with("session-sweep processes ") && call.ends_with(" --quiet"), "{event}: {command}");
        assert!(call.chars().all(|character| character.is_ascii_lowercase() || " -".contains(character)), "{command}");
        assert!((1..=60).contains(&timeout), "{event}: {timeout} s");
    }
}

#[test]
fn there_are_no_scripts() {
    for entry in
        walkdir::WalkDir::new(plugin()).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file())
    {
        let extension = entry.path().extension().unwrap();
        assert!(extension == "json" || extension == "md", "{}", entry.path().display());
    }
}

#[test]
fn command_may_run_nothing_else_unasked() {
    let (fields, body) = frontmatter(&plugin().join("commands/cleanup.md"));
    let keys: Vec<_> = fields.iter().map(|field| field.0.as_str()).collect();
    assert_eq!(keys, ["description", "argument-hint", "allowed-tools", "disable-model-invocation"]);
    assert_eq!(fields[1].1, "\"[scan|report|run|auto]\"");
    assert_eq!(fields[2].1, "Bash(session-sweep processes:*)");
    assert_eq!(fields[3].1, "true");
    assert!(body.contains("$ARGUMENTS"));
    for word in ["scan", "report", "run", "auto"] {
        assert!(body.contains(&format!("\n- `{word}`: ")), "{word}");
    }
    // What is to be ended is shown before it is asked for, and asked for before it is done.
    let place = |text: &str| body.find(text).unwrap_or_else(|| panic!("{text} is missing"));
    assert!(place("clean --dry-run") < place("ask the user") && place("ask the user") < place("clean --execute --yes"));
}

#[test]
fn skill_says_what_it_is_for() {
    let (fields, body) = frontmatter(&plugin().join("skills/process-cleanup/SKILL.md"));
    let keys: Vec<_> = fields.iter().map(|field| field.0.as_str()).collect();
    assert_eq!(keys, ["name", "description"]);
    assert_eq!(fields[0].1, "process-cleanup");
    assert!(fields[1].1.len() <= 1024 && fields[1].1.contains("Use when"));
    assert!(body.contains("session-sweep processes scan"));
}

#[test]
fn every_call_that_the_plugin_names_exists() {
    let mut calls: BTreeSet<String> = hooks().into_iter().map(|hook| hook.1).collect();
    for file in ["commands/cleanup.md", "skills/process-cleanup/SKILL.md"] {
        let text = fs_err::read_to_string(plugin().join(file)).unwrap().replace('\n', " ");
        let spans = text.split('`').skip(1).step_by(2);
        calls.extend(spans.filter(|span| span.starts_with("session-sweep ")).map(str::to_owned));
    }
    assert!(calls.len() >= 8, "{calls:?}");
    let world = World::new();
    for call in calls {
        let call = call.strip_suffix(" || exit 1").unwrap_or(&call);
        let arguments: Vec<_> = call.split(' ').skip(1).chain(["--help"]).collect();
        let ran = Ran::of(&mut world.command_at_present(&arguments));
        assert_eq!(ran.status, 0, "{call}: {ran:?}");
    }
}

#[test]
fn hooks_record_a_session_from_start_to_end() {
    for version in RECORDED {
        let world = World::new();
        let inputs = ["SessionStart-resume", "Stop-resumed", "SessionEnd-print"];
        let pid = live_through(&world, &inputs, version);
        let input = json(recording(version, inputs[0]));
        for number in 0..inputs.len() {
            let record = record(&world, number);
            assert_eq!(record["session_id"], input["session_id"], "{version}: {record}");
            assert_eq!(record["pid"], pid, "{version}: the process is the CLI, not the hook's shell: {record}");
            assert_eq!(record["working_dir"], input["cwd"], "{version}: {record}");
        }
        assert_ne!(record(&world, 1)["status"], "completed", "{version}: Stop is no end");
        assert_eq!(record(&world, 2)["status"], "completed", "{version}");
        assert!(record(&world, 2)["end_time"].is_string(), "{version}");
    }
}

#[test]
fn hooks_take_up_a_session_again_in_another_process() {
    for version in RECORDED {
        let world = World::new();
        let first = live_through(&world, &["SessionStart-resume", "Stop-resumed", "SessionEnd-print"], version);
        let second = live_through(&world, &["SessionStart-resume"], version);
        let record = record(&world, 0);
        assert_ne!(first, second);
        assert_eq!(record["pid"], second, "{version}: {record}");
        assert_ne!(record["status"], "completed", "{version}: {record}");
        assert!(record["end_time"].is_null(), "{version}: {record}");
    }
}

/// After /clear the process goes on with a new session, and so does what it had started.
#[test]
fn hooks_follow_a_session_that_is_cleared() {
    for version in RECORDED {
        let world = World::new();
        let inputs = [
            "SessionStart-startup",
            "Stop",
            "SessionEnd-clear",
            "SessionStart-clear",
            "Stop-cleared",
            "SessionEnd-exit",
        ];
        let pid = live_through(&world, &inputs, version);
        let records: Vec<_> = (0..inputs.len()).map(|number| record(&world, number)).collect();
        for (name, record) in inputs.iter().zip(&records) {
            assert_eq!(record["pid"], pid, "{version}, {name}: {record}");
            let ends = name.starts_with("SessionEnd");
            assert_eq!(record["status"] == "completed", ends, "{version}, {name}: {record}");
        }
        assert_ne!(records[2]["session_id"], records[3]["session_id"], "{version}");
        for (number, name) in inputs.iter().enumerate().take(5) {
            let status = fs_err::read_to_string(world.root().join(format!("child.{number}"))).unwrap();
            assert_eq!(status, "0\n", "{version}: ended by {name}");
        }
    }
}

/// Claude Code takes a status of 2 from this hook for "do not stop", and that is what a wrong call ends with.
#[test]
fn stop_hook_never_makes_the_session_go_on() {
    let world = World::new();
    let command = hook("Stop").replace("processes", "what-an-older-one-does-not-know");
    let ended = in_world(&world, "/bin/sh").arg("-c").arg(command).stdin(Stdio::null()).output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
}

#[test]
fn hooks_without_an_input_change_nothing_and_say_so() {
    for (event, command, _) in hooks() {
        let world = World::new();
        let ended = in_world(&world, "/bin/sh").arg("-c").arg(command).stdin(Stdio::null()).output().unwrap();
        assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(1), [].as_slice()), "{event}: {ended:?}");
        assert!(!ended.stderr.is_empty(), "{event}");
        assert!(!world.home().join(".claude").exists(), "{event}");
    }
}

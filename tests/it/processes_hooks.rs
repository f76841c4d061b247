//! What a CLI's hooks call: which process they note, what they keep, and whom the end of a session ends.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::left_behind::{boot_id, id, start_ticks};
use crate::processes_world::{LIVE, OVER, Processes, gone_pid, host, hours_ago, namespace, until};
use crate::window::stat;
use crate::world::Ran;

/// What Claude Code tells a hook of a session.
pub(crate) fn told(session: &str, event: &str, more: &Value) -> String {
    let mut input = json!({
        "session_id": session,
        "transcript_path": format!("/h/.claude/projects/-w/{session}.jsonl"),
        "cwd": "/w",
        "hook_event_name": event,
    });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    format!("{input}\n")
}

/// A Claude Code that somebody holds, without a record.
pub(crate) fn held_claude(scene: &Processes) -> u32 {
    let keeper = scene.start("keeper").held();
    scene.start("claude").below(keeper)
}

/// Lets a CLI call a hook, and fails the test when that fails or says anything.
#[track_caller]
pub(crate) fn hook(scene: &Processes, cli: u32, name: &str, input: &str) {
    let ran = scene.run_in(cli, &scene.command(&[name, "-q"]), input).ends_with(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""), "{name}");
}

pub(crate) fn register(scene: &Processes, cli: u32, session: &str) {
    hook(scene, cli, "register", &told(session, "SessionStart", &json!({"source": "startup", "model": "x"})));
}

/// Makes a record's last sign of life an hour older, as if time had passed.
fn grow_old(scene: &Processes, session: &str) {
    let mut record = scene.read_record(session);
    for member in ["last_heartbeat", "start_time", "end_time"] {
        if record.get(member).is_some() {
            record[member] = hours_ago(1).into();
        }
    }
    fs_err::write(scene.sessions().join(session).join("metadata.json"), record.to_string()).unwrap();
}

#[test]
fn a_session_is_registered_with_the_cli_itself_and_not_the_shell_between() {
    let scene = Processes::new();
    let claude = held_claude(&scene);
    register(&scene, claude, LIVE);
    let record = scene.read_record(LIVE);
    for (key, value) in [
        ("session_id", json!(LIVE)),
        ("pid", json!(claude)),
        ("ppid", json!(stat(claude).unwrap()[1].parse::<u32>().unwrap())),
        ("hostname", json!(host())),
        ("working_dir", json!("/w")),
        ("platform", json!("linux")),
        ("proc_start", json!(start_ticks(claude))),
        ("boot_id", json!(boot_id())),
        ("pid_namespace", json!(namespace())),
        ("provider", json!("claude")),
        ("transcript_path", json!(format!("/h/.claude/projects/-w/{LIVE}.jsonl"))),
    ] {
        assert_eq!(record[key], value, "{key}: {record:#}");
    }
    assert_eq!(record["start_time"], record["last_heartbeat"]);
    assert!(record["start_time"].as_str().unwrap().ends_with('Z') && record.get("status").is_none(), "{record:#}");
    // Nobody but the user can look at it.
    let mode = |path: &std::path::Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = scene.sessions().join(LIVE);
    assert_eq!((mode(&folder), mode(&folder.join("metadata.json"))), (0o700, 0o600));
    assert_eq!(crate::tree::names_in(&folder), ["metadata.json"]);
}

#[test]
fn other_clis_are_told_by_what_they_are() {
    let scene = Processes::new();
    let keeper = scene.start("keeper").held();
    let codex = scene.start("codex").below(keeper);
    // The inner one is the nearest.
    let inner = scene.start("claude").below(codex);
    register(&scene, codex, OVER);
    register(&scene, inner, LIVE);
    let of = |session| (scene.read_record(session)["pid"].clone(), scene.read_record(session)["provider"].clone());
    assert_eq!((of(OVER), of(LIVE)), ((json!(codex), json!("codex")), (json!(inner), json!("claude"))));
}

#[test]
fn registering_again_keeps_the_start_and_another_process_takes_it_over() {
    let scene = Processes::new();
    let first = held_claude(&scene);
    register(&scene, first, LIVE);
    grow_old(&scene, LIVE);
    let old = scene.read_record(LIVE);
    hook(&scene, first, "register", &told(LIVE, "SessionStart", &json!({"source": "compact"})));
    let record = scene.read_record(LIVE);
    assert_eq!((&record["start_time"], &record["pid"]), (&old["start_time"], &json!(first)));
    assert_ne!(record["last_heartbeat"], old["last_heartbeat"]);
    let second = held_claude(&scene);
    hook(&scene, second, "register", &told(LIVE, "SessionStart", &json!({"source": "resume"})));
    let record = scene.read_record(LIVE);
    assert_eq!((&record["pid"], &record["proc_start"]), (&json!(second), &json!(start_ticks(second))));
    assert_ne!(record["start_time"], old["start_time"]);
}

#[test]
fn stop_and_heartbeat_are_signs_of_life_and_not_written_too_often() {
    let scene = Processes::new();
    let claude = held_claude(&scene);
    register(&scene, claude, LIVE);
    for name in ["stop", "heartbeat"] {
        let written = scene.read_record(LIVE);
        hook(&scene, claude, name, &told(LIVE, "Stop", &json!({"stop_hook_active": false})));
        assert_eq!(scene.read_record(LIVE), written, "{name}: within a minute");
        grow_old(&scene, LIVE);
        let old = scene.read_record(LIVE);
        hook(&scene, claude, name, &told(LIVE, "Stop", &json!({})));
        let new = scene.read_record(LIVE);
        assert_ne!(new["last_heartbeat"], old["last_heartbeat"], "{name}");
        assert_eq!((&new["start_time"], new.get("status"), new.get("end_time")), (&old["start_time"], None, None));
    }
    // A session that nobody registered is, by its first sign of life.
    hook(&scene, claude, "stop", &told(OVER, "Stop", &json!({})));
    assert_eq!(scene.read_record(OVER)["pid"], claude);
}

#[test]
fn the_interval_is_as_the_janitor_was_told_and_ours_above_it() {
    let scene = Processes::new();
    let claude = held_claude(&scene);
    register(&scene, claude, LIVE);
    let beats = |variables: &[(&str, &str)]| {
        let old = {
            let mut record = scene.read_record(LIVE);
            record["last_heartbeat"] = hours_ago(1).into();
            fs_err::write(scene.sessions().join(LIVE).join("metadata.json"), record.to_string()).unwrap();
            record
        };
        let mut command = scene.command(&["stop"]);
        command.envs(variables.iter().copied());
        scene.run_in(claude, &command, &told(LIVE, "Stop", &json!({}))).ends_with(0);
        scene.read_record(LIVE)["last_heartbeat"] != old["last_heartbeat"]
    };
    let (janitors, ours) = ("JANITOR_HEARTBEAT_INTERVAL", "SESSION_SWEEP_PROCESSES_HEARTBEAT_INTERVAL");
    assert!(beats(&[]));
    assert!(!beats(&[(janitors, "7200")]));
    assert!(beats(&[(janitors, "7200"), (ours, "1m")]));
    let config = scene.world.file(".claude/process-janitor-config.json", "{\"heartbeat_interval_seconds\": 7200}", 0);
    assert!(!beats(&[]));
    assert!(beats(&[(janitors, "60")]));
    fs_err::remove_file(config).unwrap();
    // Where the records are, too.
    let other = scene.path("other");
    let mut command = scene.command(&["register"]);
    command.env("JANITOR_SESSIONS_DIR", &other);
    scene.run_in(claude, &command, &told(OVER, "SessionStart", &json!({}))).ends_with(0);
    assert!(other.join(OVER).join("metadata.json").exists() && !scene.has_record(OVER));
}

#[test]
fn a_hook_that_fails_ends_with_1_and_never_with_2() {
    let scene = Processes::new();
    let claude = held_claude(&scene);
    for name in ["register", "heartbeat", "stop", "end"] {
        for (input, words) in [
            ("{", "not valid JSON"),
            ("[]", "not an object"),
            ("{}", "which session"),
            ("", "which session"),
            ("{\"session_id\": 7}", "session_id"),
            ("{\"session_id\": \"../x\"}", "session_id"),
            ("{\"session_id\": \"\"}", "session_id"),
        ] {
            let ran = scene.run_in(claude, &scene.command(&[name]), input).ends_with(1);
            assert!(ran.stdout.is_empty() && ran.stderr.contains(words), "{name} {input}: {ran:?}");
        }
        for arguments in [&[name, "--nonsense"][..], &[name, "extra"], &[name, "--session"], &[name, "--pid", "x"]] {
            let ran = scene.run_in(claude, &scene.command(arguments), "").ends_with(1);
            assert!(!ran.stderr.is_empty(), "{ran:?}");
        }
        for arguments in
            [["--color", "never", "processes", name, "--no"], ["processes", "--color", "never", name, "--no"]]
        {
            Ran::of(&mut scene.other_command(&arguments)).ends_with(1);
        }
        let mut command = scene.command(&[name]);
        command.env("SESSION_SWEEP_PROCESSES_GRACE", "soon");
        scene.run_in(claude, &command, &told(LIVE, "x", &json!({}))).ends_with(1);
    }
    // Which process would it be?
    let shell = scene.start("sh").orphaned();
    for name in ["register", "stop"] {
        let ran = scene.run_in(shell, &scene.command(&[name]), &told(LIVE, "x", &json!({}))).ends_with(1);
        assert!(ran.stderr.contains("no AI CLI started this") && ran.stderr.contains("--pid"), "{ran:?}");
    }
    assert!(!scene.sessions().exists() || crate::tree::names_in(&scene.sessions()).is_empty());
}

#[test]
fn what_is_there_and_no_record_is_left_as_it_is() {
    let scene = Processes::new();
    let claude = held_claude(&scene);
    let path = scene.record(LIVE, &json!({}));
    fs_err::write(&path, "{torn").unwrap();
    for name in ["register", "stop", "end"] {
        let ran = scene.run_in(claude, &scene.command(&[name]), &told(LIVE, "x", &json!({}))).ends_with(1);
        assert!(ran.stderr.contains("makes no sense"), "{ran:?}");
    }
    assert_eq!(fs_err::read_to_string(&path).unwrap(), "{torn");
}

#[test]
fn by_hand_flags_say_what_stdin_does_not() {
    let scene = Processes::new();
    let claude = held_claude(&scene);
    let pid = claude.to_string();
    let arguments = ["register", "--session", LIVE, "--pid", &pid, "--cwd", "/elsewhere"];
    let ran = Ran::of(&mut scene.command(&arguments)).ends_with(0);
    assert_eq!(ran.stdout, format!("session {LIVE} registered (process {claude})\n"));
    assert_eq!(scene.read_record(LIVE)["working_dir"], "/elsewhere");
    let gone = gone_pid().to_string();
    Ran::of(&mut scene.command(&["register", "--session", OVER, "--pid", &gone])).ends_with(1);
    assert!(!scene.has_record(OVER));
}

#[test]
fn hooks_at_once_all_leave_their_record() {
    let scene = Processes::new();
    let claude = held_claude(&scene);
    let pid = claude.to_string();
    let start = |number| {
        let session = id(number);
        let mut command = scene.command(&["register", "-q", "--session", &session, "--pid", &pid]);
        command.stdin(Stdio::null()).spawn().unwrap()
    };
    let mut hooks: Vec<_> = (0..8).map(start).collect();
    for hook in &mut hooks {
        until(|| hook.try_wait().unwrap().is_some());
        assert!(hook.wait().unwrap().success());
    }
    assert!((0..8).all(|number| scene.read_record(&id(number))["pid"] == claude));
}

//! What a CLI's hooks call: which process they note, what they keep, and whom the end of a session ends.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::left_behind::{boot_id, id, start_ticks};
use crate::processes_world::{LIVE, OVER, Processes, host, hours_ago, namespace, until};
use crate::window::stat;
use crate::world::Ran;

/// What Claude Code tells a hook of a session.
fn told(session: &str, event: &str, more: &Value) -> String {
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
fn claude(scene: &Processes) -> u32 {
    let keeper = scene.start("keeper").held();
    scene.start("claude").below(keeper)
}

/// Lets a CLI call a hook, and fails the test when that fails or says anything.
#[track_caller]
fn hook(scene: &Processes, cli: u32, name: &str, input: &str) {
    let ran = scene.run_in(cli, &scene.command(&[name, "-q"]), input).ends_with(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""), "{name}");
}

fn register(scene: &Processes, cli: u32, session: &str) {
    hook(scene, cli, "register", &told(session, "SessionStart", &json!({"source": "startup", "model": "x"})));
}

fn end(scene: &Processes, cli: u32, session: &str, reason: &str) -> Ran {
    scene.run_in(cli, &scene.command(&["end", "-q"]), &told(session, "SessionEnd", &json!({"reason": reason})))
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
    let claude = claude(&scene);
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
    let first = claude(&scene);
    register(&scene, first, LIVE);
    grow_old(&scene, LIVE);
    let old = scene.read_record(LIVE);
    hook(&scene, first, "register", &told(LIVE, "SessionStart", &json!({"source": "compact"})));
    let record = scene.read_record(LIVE);
    assert_eq!((&record["start_time"], &record["pid"]), (&old["start_time"], &json!(first)));
    assert_ne!(record["last_heartbeat"], old["last_heartbeat"]);
    let second = claude(&scene);
    hook(&scene, second, "register", &told(LIVE, "SessionStart", &json!({"source": "resume"})));
    let record = scene.read_record(LIVE);
    assert_eq!((&record["pid"], &record["proc_start"]), (&json!(second), &json!(start_ticks(second))));
    assert_ne!(record["start_time"], old["start_time"]);
}

#[test]
fn stop_and_heartbeat_are_signs_of_life_and_not_written_too_often() {
    let scene = Processes::new();
    let claude = claude(&scene);
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
    let claude = claude(&scene);
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
fn the_end_is_noted_and_ends_only_what_this_session_left() {
    let scene = Processes::new();
    let claude = claude(&scene);
    let other = self::claude(&scene);
    register(&scene, claude, LIVE);
    register(&scene, other, OVER);
    let child = scene.start("mcp-server-x").of(LIVE).below(claude);
    let left = scene.start("mcp-server-y").of(LIVE).orphaned();
    let others = scene.start("mcp-server-z").of(OVER).orphaned();
    let stray = scene.orphan_of(&id(9));
    scene.wait_old(&[claude, other, child, left, others, stray]);
    end(&scene, claude, LIVE, "prompt_input_exit").ends_with(0);
    let record = scene.read_record(LIVE);
    assert_eq!((&record["status"], &record["end_reason"]), (&json!("completed"), &json!("prompt_input_exit")));
    assert!(record["end_time"].as_str().unwrap().ends_with('Z'));
    assert!(!scene.runs(left));
    // What the CLI still has it ends itself, what is another session's is none of this one's matter, orphaned or not.
    assert!([claude, other, child, others, stray].iter().all(|pid| scene.runs(*pid)));
    assert!(scene.has_record(LIVE) && scene.has_record(OVER) && scene.has_record(&id(9)));
    // The first end counts.
    let ended = scene.read_record(LIVE);
    end(&scene, claude, LIVE, "other").ends_with(0);
    assert_eq!(scene.read_record(LIVE), ended);
}

#[test]
fn a_cleared_session_ends_none_of_what_its_cli_goes_on_with() {
    for reason in ["clear", "resume"] {
        let scene = Processes::new();
        let claude = claude(&scene);
        register(&scene, claude, LIVE);
        let left = scene.start("mcp-server-y").of(LIVE).orphaned();
        scene.wait_old(&[claude, left]);
        end(&scene, claude, LIVE, reason).ends_with(0);
        assert_eq!(scene.read_record(LIVE)["status"], "completed");
        assert!(scene.runs(left));
        // Nor does the next scan take it for left behind, as the same CLI runs.
        register(&scene, claude, OVER);
        assert_eq!(scene.json(&["scan"], 0)["summary"]["orphaned"], 0, "{reason}");
        assert_eq!(scene.json(&["clean", "--auto"], 0)["processes_ended"], 0);
        assert!(scene.runs(left));
    }
}

#[test]
fn the_end_is_noted_after_the_cli_has_gone() {
    let scene = Processes::new();
    let claude = claude(&scene);
    register(&scene, claude, LIVE);
    scene.kill(claude);
    // Claude Code 2.0.42 does not wait for the hook with -p.
    let shell = scene.start("sh").orphaned();
    end(&scene, shell, LIVE, "other").ends_with(0);
    assert_eq!(scene.read_record(LIVE)["status"], "completed");
    end(&scene, shell, OVER, "other").ends_with(0);
    assert!(!scene.has_record(OVER));
}

#[test]
fn a_session_that_goes_on_elsewhere_is_not_ended_by_its_earlier_process() {
    let scene = Processes::new();
    let (first, second) = (claude(&scene), claude(&scene));
    register(&scene, first, LIVE);
    register(&scene, second, LIVE);
    let left = scene.start("mcp-server-y").of(LIVE).orphaned();
    scene.wait_old(&[left]);
    end(&scene, first, LIVE, "other").ends_with(0);
    let record = scene.read_record(LIVE);
    assert!(record["pid"] == second && record.get("status").is_none() && scene.runs(left), "{record:#}");
}

#[test]
fn a_late_sign_of_life_does_not_bring_an_ended_session_back() {
    let scene = Processes::new();
    let claude = claude(&scene);
    register(&scene, claude, LIVE);
    end(&scene, claude, LIVE, "other").ends_with(0);
    hook(&scene, claude, "stop", &told(LIVE, "Stop", &json!({})));
    assert_eq!(scene.read_record(LIVE)["status"], "completed");
    // A new start does.
    register(&scene, claude, LIVE);
    let record = scene.read_record(LIVE);
    assert!(record.get("status").is_none() && record.get("end_time").is_none(), "{record:#}");
}

#[test]
fn a_hook_that_fails_ends_with_1_and_never_with_2() {
    let scene = Processes::new();
    let claude = claude(&scene);
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
    let claude = claude(&scene);
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
    let claude = claude(&scene);
    let pid = claude.to_string();
    let arguments = ["register", "--session", LIVE, "--pid", &pid, "--cwd", "/elsewhere"];
    let ran = Ran::of(&mut scene.command(&arguments)).ends_with(0);
    assert_eq!(ran.stdout, format!("session {LIVE} registered (process {claude})\n"));
    assert_eq!(scene.read_record(LIVE)["working_dir"], "/elsewhere");
    let gone = scene.gone_pid().to_string();
    Ran::of(&mut scene.command(&["register", "--session", OVER, "--pid", &gone])).ends_with(1);
    assert!(!scene.has_record(OVER));
}

#[test]
fn a_clean_up_at_the_start_ends_orphans_only_where_nobody_is_to_be_asked() {
    let scene = Processes::new();
    let claude = claude(&scene);
    let orphan = scene.orphan();
    scene.wait_old(&[orphan]);
    let start = |session: &str, variables: &[(&str, &str)]| {
        let mut command = scene.command(&["register"]);
        command.envs(variables.iter().map(|(name, value)| (format!("SESSION_SWEEP_PROCESSES_{name}"), *value)));
        scene.run_in(claude, &command, &told(session, "SessionStart", &json!({}))).ends_with(0).stderr
    };
    let (on, wet, auto) = (("CLEAN_ON_START", "true"), ("DRY_RUN", "false"), ("MODE", "auto"));
    assert_eq!(start(&id(1), &[wet, auto]), "");
    for asking in [&[on][..], &[on, wet], &[on, auto]] {
        assert!(start(&id(2), asking).contains("session-sweep processes clean"), "{asking:?}");
        assert!(scene.runs(orphan) && scene.has_record(OVER));
    }
    assert_eq!(start(&id(3), &[on, wet, auto]), "");
    assert!(!scene.runs(orphan) && !scene.has_record(OVER));
    assert!((1..=3).all(|number| scene.has_record(&id(number))) && scene.runs(claude));
}

#[test]
fn hooks_at_once_all_leave_their_record() {
    let scene = Processes::new();
    let claude = claude(&scene);
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

//! `processes scan`: it finds, tells by its exit, and touches nothing.

use serde_json::{Value, json};

use crate::processes_world::{LIVE, OVER, Processes, document, hours_ago, until, wait_old};
use crate::tree::{assert_untouched, tree_of};
use crate::window::stat;
use crate::world::Ran;

#[test]
fn a_scan_creates_and_changes_nothing() {
    let scene = Processes::new();
    let before = tree_of(&scene.world.home());
    // Not even Claude Code's own home is there.
    for arguments in [&["scan"][..], &["scan", "--json"], &["scan", "-q"], &["report"], &["clean"], &["clean", "-n"]] {
        scene.run(arguments).ends_with(0);
        assert_untouched(&before, &scene.world.home());
    }
    let orphan = scene.orphan();
    scene.live_claude();
    scene.record(&crate::left_behind::id(7), &json!({"status": "completed", "end_time": hours_ago(500)}));
    wait_old(&[orphan]);
    let before = tree_of(&scene.world.home());
    for (arguments, status) in [
        (&["scan"][..], 1),
        (&["scan", "--json"], 1),
        (&["scan", "-q"], 1),
        (&["scan", "-v"], 1),
        (&["report"], 0),
        (&["report", "--full", "--json"], 0),
        (&["clean"], 0),
        (&["clean", "--dry-run", "--auto", "--json"], 0),
    ] {
        scene.run(arguments).ends_with(status);
        assert_untouched(&before, &scene.world.home());
    }
    assert!(scene.runs(orphan));
}

#[test]
fn quiet_tells_by_the_exit_alone() {
    let scene = Processes::new();
    let ran = scene.run(&["scan", "-q"]).ends_with(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    scene.record(OVER, &json!({}));
    let ran = scene.run(&["scan", "-q"]).ends_with(1);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    let ran = scene.run(&["clean", "--auto", "-q"]).ends_with(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    assert!(!scene.has_record(OVER));
}

#[test]
fn the_document_is_valid_and_whole_also_where_nothing_is() {
    let scene = Processes::new();
    let keys = |document: &Value| document.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let empty = scene.json(&["scan"], 0);
    assert_eq!((&empty["orphaned_count"], &empty["orphaned_sessions"]), (&json!(0), &json!([])));
    assert_eq!((&empty["schema"], &empty["command"]), (&json!(1), &json!("processes scan")));
    assert_eq!((&empty["processes"], &empty["records"], &empty["problems"]), (&json!([]), &json!([]), &json!([])));
    scene.orphan();
    let young = scene.start("claude").of(LIVE).orphaned();
    let found = scene.run(&["scan", "--json"]);
    let status = found.status;
    assert_eq!(keys(&document(found, status)), keys(&empty));
    wait_old(&[young]);
    let found = scene.json(&["scan"], 1);
    assert_eq!(keys(&found), keys(&empty));
    let report = scene.json(&["report"], 0);
    assert_eq!(report["summary"], found["summary"]);
    assert_eq!(report["processes"].as_array().unwrap().len(), 2);
}

#[test]
fn wrong_usage_and_configuration_end_with_2() {
    let scene = Processes::new();
    let wrong: [&[&str]; 5] =
        [&["scan", "--nonsense"], &["scan", "extra"], &["scan", "end"], &["nonsense"], &["clean", "--max", "0"]];
    for arguments in wrong {
        let ran = scene.run(arguments).ends_with(2);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{ran:?}");
    }
    let mut command = scene.command(&["scan"]);
    let ran = Ran::of(command.env("SESSION_SWEEP_PROCESSES_MIN_AGE", "soon")).ends_with(2);
    assert!(ran.stderr.contains("SESSION_SWEEP_PROCESSES_MIN_AGE"), "{ran:?}");
    scene.world.file(".claude/process-janitor-config.json", "{", 0);
    let ran = scene.run(&["scan"]).ends_with(2);
    assert!(ran.stderr.contains("process-janitor-config.json"), "{ran:?}");
}

#[test]
fn a_proc_that_cannot_be_read_is_no_finding() {
    let scene = Processes::new();
    scene.record(OVER, &json!({}));
    let mut elsewhere = scene.command(&["scan"]);
    let ran = Ran::of(elsewhere.env("SESSION_SWEEP_PROCESSES_ROOT", scene.path("nowhere"))).ends_with(4);
    assert!(ran.stderr.contains("nowhere/proc") && ran.stdout.is_empty(), "{ran:?}");
    let mut elsewhere = scene.command(&["clean", "--auto"]);
    let ran = Ran::of(elsewhere.env("SESSION_SWEEP_PROCESSES_ROOT", scene.path("nowhere")));
    assert!(ran.status != 0 && ran.stderr.contains("nowhere/proc"), "{ran:?}");
    assert!(scene.has_record(OVER));
}

#[test]
fn a_failure_is_a_document_too_where_one_was_asked_for() {
    let scene = Processes::new();
    for (variable, value, status) in
        [("ROOT", scene.path("nowhere").to_str().unwrap(), 4), ("MIN_AGE", "soon", 2), ("MAX", "0", 2)]
    {
        let mut command = scene.command(&["scan", "--json"]);
        let found = document(Ran::of(command.env(format!("SESSION_SWEEP_PROCESSES_{variable}"), value)), status);
        assert!(found["error"].as_str().is_some_and(|error| !error.is_empty()), "{found:#}");
        assert_eq!((&found["orphaned_count"], &found["orphaned_sessions"]), (&Value::Null, &json!([])));
    }
}

#[test]
fn what_cannot_be_looked_at_is_told_and_ends_with_4() {
    let scene = Processes::new();
    fs_err::create_dir_all(scene.proc().join("77")).unwrap();
    fs_err::write(scene.proc().join("77/stat"), "77 (torn").unwrap();
    let ran = scene.run(&["scan"]).ends_with(4);
    assert!(ran.stdout.contains("process 77 cannot be looked at"), "{ran:?}");
    let ran = scene.run(&["scan", "-q"]).ends_with(4);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("process 77"), "{ran:?}");
    // What was found counts more.
    let orphan = scene.orphan();
    wait_old(&[orphan]);
    assert_eq!(scene.json(&["scan"], 1)["problems"].as_array().unwrap().len(), 1);
}

#[test]
fn processes_that_nobody_reaps_are_told_with_their_parent() {
    let scene = Processes::new();
    // Who sleeps does not notice that what its shell had started has ended.
    let claude = scene.start("claude").held();
    let server = scene.start("claude").with(&["-p"]).below(claude);
    let sleeper = scene.program_from("/bin/sleep", "gemini");
    scene.tell(claude, &format!("exec '{}' 600", sleeper.display()));
    until(|| std::fs::read_link(format!("/proc/{claude}/exe")).is_ok_and(|exe| exe == sleeper));
    scene.refresh(claude);
    scene.kill(server);
    assert_eq!(stat(server).unwrap()[0], "Z");
    let found = scene.json(&["scan"], 0);
    let expected =
        json!([{"verdict": "gone", "pids": [server], "name": "claude", "parent": claude, "parent_name": "gemini"}]);
    assert_eq!((&found["zombies"], &found["summary"]["gone"]), (&expected, &json!(1)));
    let ran = scene.run(&["report"]).ends_with(0);
    let line = format!("1 claude ended and not reaped: their parent gemini ({claude})");
    assert!(ran.stdout.contains(&line), "{ran:?}");
    assert_eq!(scene.json(&["clean", "--auto"], 0)["processes_ended"], 0);
}

#[test]
fn a_report_shows_the_current_session_and_homes_as_tilde() {
    let scene = Processes::new();
    let claude = scene.live_claude();
    let home = scene.world.home().display().to_string();
    let path = format!("{home}/x.js");
    let orphan = scene.start("mcp-server-x").of(OVER).with(&[&path]).in_group("/user.slice").orphaned();
    scene.record(OVER, &json!({}));
    wait_old(&[claude, orphan]);
    let text = scene.run_in(claude, &scene.command(&["report"]), "").ends_with(0).stdout;
    assert!(text.starts_with(&format!("this session claude (process {claude}), session {LIVE}\n")), "{text}");
    assert!(text.contains("~/bin/mcp-server-x -s ~/x.js\n"), "{text}");
    assert!(text.contains("records ~/.claude/sessions\n"), "{text}");
    assert!(text.contains("Without the orphans and what they started (1 process) "), "{text}");
    for words in ["no terminal", "works in  ~/work\n", "cgroup    /user.slice\n", "last sign of life 23.0h ago"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let full = scene.run(&["report", "--full"]).ends_with(0).stdout;
    assert!(full.starts_with("this session none: no AI CLI started this\n"), "{full}");
    assert!(full.contains(&format!("{home}/bin/mcp-server-x -s {path}\n")), "{full}");
    assert!(full.contains(&format!("records {home}/.claude/sessions\n")), "{full}");
}

#[test]
fn secrets_are_shown_by_a_full_report_alone() {
    let scene = Processes::new();
    scene.record(OVER, &json!({}));
    let server = |arguments: &[&str]| scene.start("mcp-server-x").of(OVER).with(arguments).orphaned();
    let pids = [server(&["--token", "s3cret"]), server(&["API_KEY=s3cret"]), server(&["--auth=s3cret"])];
    wait_old(&pids);
    for arguments in [&["report"][..], &["scan", "-v"], &["clean"], &["scan", "--json"], &["report", "--json"]] {
        let text = scene.run(arguments).stdout;
        for line in ["-s -- --token …", "-s API_KEY=…", "-s -- --auth=…"] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!text.contains("s3cret"), "{text}");
    }
    for arguments in [&["report", "--full"][..], &["report", "--full", "--json"]] {
        assert_eq!(scene.run(arguments).ends_with(0).stdout.matches("s3cret").count(), 3);
    }
}

//! Real processes in odd states: with odd names, stopped, of two sessions, of a session that goes on elsewhere.

use serde_json::{Value, json};

use crate::left_behind::{id, start_ticks};
use crate::processes_vendors::vendor_record_of;
use crate::processes_verdict::{LOGIN, assert_alone, scan, scene, server, text_of};
use crate::processes_world::{
    LIVE, OVER, Processes, assert_verdict, hours_ago, in_an_hour, until, verdict_of, wait_old,
};
use crate::window::stat;

#[test]
fn names_with_anything_in_them_are_shown_escaped_and_ended() {
    let scene = scene();
    let names = ["mcp-server-a) S 1 (b", "mcp-server-x\u{1b}[2J", "mcp-server-é 'y' \"z\""];
    let evil = ["a\u{1b}[31mb", "\u{202e}c", "d\u{7}"];
    let pids = names.map(|name| scene.start(name).of(OVER).with(&evil).orphaned());
    wait_old(&pids);
    for arguments in [&["scan"][..], &["report"], &["report", "--full"], &["clean"], &["scan", "--json"]] {
        let text = scene.run(arguments).stdout;
        let tricks = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
        assert_eq!(text.chars().find(tricks), None, "{arguments:?}: {text:?}");
        assert!(pids.iter().all(|pid| text.contains(&pid.to_string())), "{text}");
    }
    let done = scene.json(&["clean", "--auto"], 0);
    assert_eq!(done["processes_ended"], 3);
    assert!(pids.iter().all(|pid| !scene.runs(*pid)));
}

#[test]
fn who_is_stopped_is_ended_all_the_same() {
    let scene = Processes::new();
    let pid = scene.orphan();
    let below = scene.start("node").below(pid);
    for pid in [pid, below] {
        scene.tell(pid, "kill -STOP $$");
        until(|| stat(pid).unwrap()[0] == "T");
    }
    wait_old(&[pid, below]);
    let done = scene.json(&["clean", "--auto", "--grace", "1s"], 0);
    assert_eq!(done["processes_ended"], 2, "{done:#}");
    assert!(!scene.runs(pid) && !scene.runs(below));
}

#[test]
fn a_cli_that_goes_on_with_another_session_is_judged_by_that() {
    // After `/clear` two records name one process: whichever is read last must not hide the other.
    for (ended, runs) in [(id(1), id(2)), (id(2), id(1))] {
        let scene = Processes::new();
        scene.world.machine_file("run/systemd/sessions/7", "STATE=closing\n");
        let claude = scene.start("claude").in_group(LOGIN).orphaned();
        let process = |other: Value| {
            let mut record = json!({"pid": claude, "proc_start": start_ticks(claude)});
            record.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
            record
        };
        scene.record(&ended, &process(json!({"status": "completed", "end_time": hours_ago(2)})));
        scene.record(&runs, &process(json!({"last_heartbeat": in_an_hour()})));
        assert_alone(&scene, claude, "owned", "heartbeat");
        assert!(text_of(&scan(&scene), claude, "heartbeat").contains(&runs), "{ended} ended");
    }
}

#[test]
fn a_session_that_goes_on_in_another_process_keeps_what_it_started() {
    let scene = scene();
    let left = server(&scene).orphaned();
    assert_verdict(&scan(&scene), left, "orphaned", "owner");
    // Resumed where no hook tells of it.
    let keeper = scene.start("keeper").held();
    let resumed = scene.start("claude").below(keeper);
    vendor_record_of(&scene, resumed, start_ticks(resumed), OVER);
    assert_verdict(&scan(&scene), left, "owned", "owner");
    assert!(text_of(&scan(&scene), left, "owner").contains(&format!("process {resumed}")));
}

#[test]
fn what_is_of_two_sessions_is_left_alone_until_both_are_over() {
    let scene = scene();
    let keeper = scene.start("keeper").held();
    let codex = scene.start("codex").below(keeper);
    scene.record_of(LIVE, codex);
    let both = server(&scene).variable("CODEX_THREAD_ID", LIVE).orphaned();
    assert_verdict(&scan(&scene), both, "owned", "owner");
    scene.kill(codex);
    assert_verdict(&scan(&scene), both, "orphaned", "owner");
}

#[test]
fn one_stale_record_of_a_number_does_not_hide_another_that_holds() {
    let scene = scene();
    let shell = server(&scene).orphaned();
    let below = scene.start("claude").below(shell);
    vendor_record_of(&scene, below, start_ticks(below) + 1, LIVE);
    assert_verdict(&scan(&scene), shell, "orphaned", "owner");
    let worker = json!({"pid": below, "procStart": start_ticks(below).to_string(), "sessionId": LIVE});
    scene.world.file(
        ".claude/daemon/roster.json",
        json!({"supervisorPid": 1, "workers": {"a": worker}}).to_string(),
        0,
    );
    let found = scan(&scene);
    assert_eq!(verdict_of(&found, shell).0, "owned", "{found:#}");
    assert_verdict(&found, shell, "owned", "shelters");
}

#[test]
fn a_cli_started_inside_a_session_that_is_over_is_not_left_by_that() {
    let scene = scene();
    let inner = scene.start("codex").of(OVER).orphaned();
    assert_verdict(&scan(&scene), inner, "unknown", "session");
    let helper = scene.start("mcp-server-x").of(OVER).below(inner);
    scene.kill_parent(inner, &[helper]);
    assert_verdict(&scan(&scene), helper, "orphaned", "owner");
}

#[test]
fn who_was_adopted_below_a_cli_is_that_clis() {
    let scene = scene();
    // A container whose first process is the CLI.
    let claude = scene.start("claude").held_as_subreaper();
    let pid = server(&scene).left_by(claude);
    scene.subreaper("claude");
    assert_alone(&scene, pid, "owned", "live-cli");
}

//! The end of a session and the clean-up at a start, as hooks tell them: what is noted, and who is ended.

use serde_json::json;

use crate::left_behind::id;
use crate::processes_hooks::{held_claude, hook, register, told};
use crate::processes_world::{LIVE, OVER, Processes, until, wait_old};
use crate::world::Ran;

fn end(scene: &Processes, cli: u32, session: &str, reason: &str) -> Ran {
    scene.run_in(cli, &scene.command(&["end", "-q"]), &told(session, "SessionEnd", &json!({"reason": reason})))
}

#[test]
fn the_end_is_noted_and_ends_only_what_this_session_left() {
    let scene = Processes::new();
    let claude = held_claude(&scene);
    let other = held_claude(&scene);
    register(&scene, claude, LIVE);
    register(&scene, other, OVER);
    let child = scene.start("mcp-server-x").of(LIVE).below(claude);
    let left = scene.start("mcp-server-y").of(LIVE).orphaned();
    let others = scene.start("mcp-server-z").of(OVER).orphaned();
    let stray = scene.orphan_of(&id(9));
    wait_old(&[claude, other, child, left, others, stray]);
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
        let claude = held_claude(&scene);
        register(&scene, claude, LIVE);
        let left = scene.start("mcp-server-y").of(LIVE).orphaned();
        wait_old(&[claude, left]);
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
    let claude = held_claude(&scene);
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
    let (first, second) = (held_claude(&scene), held_claude(&scene));
    register(&scene, first, LIVE);
    register(&scene, second, LIVE);
    let left = scene.start("mcp-server-y").of(LIVE).orphaned();
    wait_old(&[left]);
    end(&scene, first, LIVE, "other").ends_with(0);
    let record = scene.read_record(LIVE);
    assert!(record["pid"] == second && record.get("status").is_none() && scene.runs(left), "{record:#}");
}

#[test]
fn a_late_sign_of_life_does_not_bring_an_ended_session_back() {
    let scene = Processes::new();
    let claude = held_claude(&scene);
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
fn a_clean_up_at_the_start_ends_orphans_only_where_nobody_is_to_be_asked() {
    let scene = Processes::new();
    let claude = held_claude(&scene);
    let orphan = scene.orphan();
    wait_old(&[orphan]);
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
    // By a run of its own, for which the hook does not wait.
    until(|| !scene.runs(orphan) && !scene.has_record(OVER));
    assert!((1..=3).all(|number| scene.has_record(&id(number))) && scene.runs(claude));
}

#[test]
fn an_end_told_by_somebody_else_ends_nobody() {
    let scene = Processes::new();
    let claude = held_claude(&scene);
    register(&scene, claude, LIVE);
    let left = scene.start("mcp-server-y").of(LIVE).orphaned();
    let stranger = scene.start("sh").orphaned();
    let other = held_claude(&scene);
    wait_old(&[claude, left]);
    for caller in [stranger, other] {
        let status = end(&scene, caller, LIVE, "other").status;
        assert!(status == 0 || status == 1, "{status}");
        assert!(scene.runs(left) && scene.runs(claude));
        assert_eq!(scene.json(&["clean", "--auto"], 0)["processes_ended"], 0);
        assert!(scene.runs(left) && scene.read_record(LIVE).get("status").is_none());
    }
}

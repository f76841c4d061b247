//! Live work that looks like what a CLI left: nobody may take it for that.

use serde_json::json;

use crate::left_behind::start_ticks;
use crate::processes_hooks::{held_claude, told};
use crate::processes_vendors::vendor_record_in;
use crate::processes_verdict::{LOGIN, assert_alone, scan, scene, server, text_of};
use crate::processes_world::{LIVE, OVER, Processes, assert_verdict, document, in_an_hour, verdict_of, wait_old};
use crate::world::Ran;

/// A login that ended, as systemd-logind has it while something of it is left.
fn closing_login() -> Processes {
    let scene = Processes::new();
    scene.world.machine_file("run/systemd/sessions/7", "STATE=closing\n");
    scene
}

#[test]
fn a_login_that_ended_is_not_over_while_a_multiplexer_of_it_runs() {
    let scene = closing_login();
    let left = scene.start("mcp-server-x").variable("CLAUDECODE", "1").in_group(LOGIN).orphaned();
    assert_verdict(&scan(&scene), left, "orphaned", "session");
    let agent = scene.start("ssh-agent").in_group(LOGIN).orphaned();
    assert_verdict(&scan(&scene), left, "orphaned", "session");
    let tmux = scene.start("tmux: server").in_group(LOGIN).orphaned();
    let found = scan(&scene);
    assert_verdict(&found, left, "unknown", "session");
    assert!(text_of(&found, left, "session").contains("is not closed"), "{found:#}");
    assert!(scene.runs(agent) && scene.runs(tmux));
}

#[test]
fn a_windows_scope_is_not_over_while_a_program_of_it_runs_that_no_cli_left() {
    let scene = Processes::new();
    let scope = "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-code-77.scope";
    let left = scene.start("mcp-server-x").variable("CLAUDECODE", "1").in_group(scope).orphaned();
    assert_verdict(&scan(&scene), left, "orphaned", "session");
    let program = scene.start("a-program").in_group(scope).orphaned();
    assert_verdict(&scan(&scene), left, "unknown", "session");
    scene.kill(program);
    let editor = scene.start("code").in_group(scope).orphaned();
    assert_verdict(&scan(&scene), left, "unknown", "session");
    assert!(scene.runs(editor));
}

#[test]
fn that_a_session_is_over_says_nothing_of_a_cli_that_was_started_in_it() {
    let scene = scene();
    for program in ["gemini", "opencode", "claude"] {
        let detached = scene.start(program).of(OVER).orphaned();
        assert_alone(&scene, detached, "unknown", "session");
    }
    // What it started is of both, and one of them runs.
    scene.record_of(LIVE, held_claude(&scene));
    let both = server(&scene).variable("CODEX_THREAD_ID", LIVE).orphaned();
    assert_verdict(&scan(&scene), both, "owned", "owner");
}

#[test]
fn a_cli_that_keeps_its_records_elsewhere_is_found_there() {
    let scene = closing_login();
    let home = scene.path("other-home");
    let claude = scene
        .start("claude")
        .variable("HOME", scene.world.home().to_str().unwrap())
        .variable("CLAUDE_CONFIG_DIR", home.to_str().unwrap())
        .in_group(LOGIN)
        .orphaned();
    assert_verdict(&scan(&scene), claude, "orphaned", "session");
    vendor_record_in(&home.join("sessions"), claude, start_ticks(claude));
    assert_alone(&scene, claude, "owned", "vendor");
}

#[test]
fn who_is_not_known_to_be_its_cli_ends_no_session_that_runs() {
    let scene = Processes::new();
    let claude = held_claude(&scene);
    scene.record_of(LIVE, claude);
    let left = scene.start("mcp-server-x").of(LIVE).orphaned();
    wait_old(&[left]);
    let before = scene.read_record(LIVE);
    // A hook that outlived an earlier process of the session.
    let stray = scene.start("keeper").held();
    let input = told(LIVE, "SessionEnd", &json!({"reason": "other"}));
    let ran = scene.run_in(stray, &scene.command(&["end"]), &input).ends_with(0);
    assert!(ran.stdout.contains("goes on in another process"), "{ran:?}");
    assert!(scene.runs(left) && scene.runs(claude));
    assert_eq!(scene.read_record(LIVE), before);
}

#[test]
fn what_a_subreaper_below_a_cli_adopted_is_that_clis() {
    let scene = scene();
    scene.subreaper("reaper");
    let keeper = scene.start("keeper").held();
    let claude = scene.start("claude").below(keeper);
    let reaper = scene.start("reaper").below(claude);
    let left = server(&scene).below(reaper);
    assert_alone(&scene, left, "owned", "live-cli");
    scene.kill(claude);
    let adopter = scene.start("reaper").held();
    let orphan = server(&scene).below(adopter);
    assert_verdict(&scan(&scene), orphan, "orphaned", "owner");
}

#[test]
fn a_server_of_a_cli_that_tells_it_no_session_is_known_by_its_process_group() {
    let scene = Processes::new();
    let claude = scene.start("claude").held();
    scene.record_of(LIVE, claude);
    // Older versions tell a server nothing; it is in their process group.
    let left = scene.start("mcp-server-x").in_session().below(claude);
    let other = scene.start("mcp-server-y").orphaned();
    wait_old(&[left]);
    let beat = scene.run_in(claude, &scene.command(&["stop"]), &told(LIVE, "Stop", &json!({}))).ends_with(0);
    assert!(beat.stdout.contains("lives"), "{beat:?}");
    scene.kill_parent(claude, &[left]);
    let ran = Ran::of(&mut scene.command(&["scan", "--json", "--at", &in_an_hour()]));
    let found = document(ran, 1);
    assert_verdict(&found, left, "orphaned", "owner");
    assert_eq!(verdict_of(&found, other).0, "unknown");
}

#[test]
fn a_record_stays_while_somebody_is_in_its_processs_group() {
    let scene = Processes::new();
    let claude = scene.start("claude").held();
    scene.record_of(LIVE, claude);
    // Started after the last sign of life: that it is the session's is not certain, and without the record never would be.
    let left = scene.start("mcp-server-x").in_session().below(claude);
    scene.kill_parent(claude, &[left]);
    let record = |status| scene.json(&["scan", "--at", &in_an_hour()], status)["records"][0].clone();
    assert_eq!(record(0)["fate"], "kept");
    scene.kill(left);
    assert_eq!(record(1)["fate"], "left over");
}

#[test]
fn a_helper_of_nobody_known_may_be_that_of_a_cli_at_work_in_the_same_login() {
    let scene = closing_login();
    let left = scene.start("mcp-server-x").variable("CLAUDECODE", "1").in_group(LOGIN).orphaned();
    let claude = scene.start("claude").in_group(LOGIN).orphaned();
    assert_verdict(&scan(&scene), left, "orphaned", "session");
    vendor_record_in(&scene.sessions(), claude, start_ticks(claude));
    let found = scan(&scene);
    assert_verdict(&found, left, "unknown", "session");
    assert!(text_of(&found, left, "session").contains("a CLI in it is at work"), "{found:#}");
}

#[test]
fn a_cli_below_an_orphan_is_asked_for_wherever_it_keeps_its_records() {
    let scene = scene();
    let shell = server(&scene).orphaned();
    let home = scene.path("other-home");
    let claude = scene
        .start("claude")
        .variable("HOME", scene.world.home().to_str().unwrap())
        .variable("CLAUDE_CONFIG_DIR", home.to_str().unwrap())
        .below(shell);
    assert_verdict(&scan(&scene), shell, "orphaned", "owner");
    vendor_record_in(&home.join("sessions"), claude, start_ticks(claude));
    assert_alone(&scene, shell, "owned", "shelters");
}

#[test]
fn a_helper_of_two_sessions_of_which_one_is_not_known_is_left_alone() {
    let scene = scene();
    let left = server(&scene).variable("CODEX_THREAD_ID", LIVE).orphaned();
    let found = scan(&scene);
    assert_verdict(&found, left, "unknown", "owner");
    assert!(text_of(&found, left, "owner").contains("of which nothing is known"), "{found:#}");
}

#[test]
fn a_server_of_a_running_cli_that_tells_it_no_session_is_that_clis() {
    let scene = Processes::new();
    let claude = scene.start("claude").held();
    scene.record_of(LIVE, claude);
    let left = scene.start("mcp-server-x").in_session().left_by(claude);
    scene.declare_adopter(left);
    assert_verdict(&scan(&scene), left, "owned", "owner");
}

#[test]
fn a_session_that_two_clis_have_open_is_not_over_with_one_of_them() {
    let scene = Processes::new();
    let (first, second) = (held_claude(&scene), held_claude(&scene));
    scene.record_of(LIVE, second);
    for claude in [first, second] {
        vendor_record_in(&scene.sessions(), claude, start_ticks(claude));
    }
    let left = scene.start("mcp-server-x").of(LIVE).orphaned();
    wait_old(&[left]);
    let input = told(LIVE, "SessionEnd", &json!({"reason": "other"}));
    scene.run_in(second, &scene.command(&["end"]), &input).ends_with(0);
    assert!(scene.runs(left));
}

#[test]
fn a_record_of_another_machine_of_this_name_is_not_gone_by() {
    let scene = Processes::new();
    let id = "0123456789abcdef0123456789abcdef";
    scene.world.machine_file("etc/machine-id", &format!("{id}\n"));
    scene.record(OVER, &json!({"machine_id": "ffffffffffffffffffffffffffffffff", "boot_id": "another"}));
    let found = scene.json(&["scan", "--at", &in_an_hour()], 0);
    assert_eq!(found["records"][0]["fate"], "unknown");
    scene.record(OVER, &json!({"machine_id": id, "boot_id": "another"}));
    let found = scene.json(&["scan", "--at", &in_an_hour()], 1);
    assert_eq!(found["records"][0]["fate"], "left over");
}

#[test]
fn a_sweep_only_shows_what_nobody_agreed_to() {
    let scene = Processes::new();
    let orphan = scene.orphan();
    wait_old(&[orphan]);
    for (mode, dry_run) in [("interactive", "true"), ("auto", "true"), ("interactive", "false")] {
        let mut command = scene.other_command(&["sweep"]);
        command.env("SESSION_SWEEP_PROCESSES_ENABLED", "true").env("SESSION_SWEEP_PROCESSES_MODE", mode);
        command.env("SESSION_SWEEP_PROCESSES_DRY_RUN", dry_run);
        let ran = Ran::of(&mut command).ends_with(0);
        assert!(ran.stderr.contains("processes.mode is auto and processes.dry_run is false"), "{ran:?}");
        assert!(scene.runs(orphan) && scene.has_record(OVER));
    }
}

#[test]
fn a_scan_that_fails_is_a_document_too() {
    let scene = Processes::new();
    let mut command = scene.command(&["scan", "--json"]);
    let failed = document(Ran::of(command.env("JANITOR_MIN_AGE", "soon")), 2);
    assert!(failed["error"].as_str().unwrap().contains("JANITOR_MIN_AGE"), "{failed}");
    assert!(failed["orphaned_count"].is_null());
    let mut command = scene.command(&["scan", "--json"]);
    let failed = document(Ran::of(command.env("SESSION_SWEEP_PROCESSES_ROOT", scene.path("nowhere"))), 4);
    assert!(failed["error"].as_str().unwrap().contains("nowhere"), "{failed}");
}

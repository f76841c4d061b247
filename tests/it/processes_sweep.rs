//! Processes in `sweep` and `audit`, which look at them where that is enabled.

use std::process::Command;

use serde_json::{Value, json};

use crate::daemon_world::Daemon;
use crate::processes_world::{OVER, Processes, assert_verdict, document, in_an_hour, wait_old};
use crate::tree::{assert_untouched, tree_of};
use crate::world::Ran;

fn run(scene: &Processes, enabled: &str, arguments: &[&str]) -> Ran {
    Ran::of(command(scene, arguments).env("SESSION_SWEEP_PROCESSES_ENABLED", enabled))
}

/// Where nobody wants to be asked.
fn command(scene: &Processes, arguments: &[&str]) -> Command {
    let mut command = scene.other_command(arguments);
    command.env("SESSION_SWEEP_PROCESSES_ENABLED", "true").env("SESSION_SWEEP_PROCESSES_MODE", "auto");
    command.env("SESSION_SWEEP_PROCESSES_DRY_RUN", "false");
    command
}

fn log_of(scene: &Processes) -> Vec<Value> {
    let log = scene.world.home().join(".local/state/session-sweep/runs.jsonl");
    let text = fs_err::read_to_string(log).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_sweep_ends_orphans_where_that_is_enabled_and_writes_it_down() {
    let scene = Processes::new();
    let pid = scene.orphan();
    let unclear = scene.start("mcp-server-y").orphaned();
    wait_old(&[pid, unclear]);
    run(&scene, "false", &["sweep"]).ends_with(0);
    assert!(scene.runs(pid) && scene.has_record(OVER) && log_of(&scene)[0]["processes"] == Value::Null);
    let dry = document(run(&scene, "true", &["sweep", "--dry-run", "--json"]), 0);
    assert_verdict(&dry["processes"], pid, "orphaned", "owner");
    run(&scene, "true", &["sweep", "--dry-run", "--exit-code"]).ends_with(10);
    assert!(scene.runs(pid) && log_of(&scene).len() == 1);
    let ran = run(&scene, "true", &["sweep", "--started-by", "timer"]).ends_with(0);
    assert!(ran.stdout.contains(&format!("ended     {pid:>7}")), "{ran:?}");
    assert!(!scene.runs(pid) && scene.runs(unclear) && !scene.has_record(OVER));
    let totals = json!({"orphaned": 1, "unknown": 1, "ended": 1, "refused": 0, "records_removed": 1});
    assert_eq!(log_of(&scene)[1]["processes"], totals);
    let status = run(&scene, "true", &["status"]).ends_with(0).stdout;
    assert!(status.contains("1 orphaned, 1 ended"), "{status}");
    assert_eq!(document(run(&scene, "true", &["status", "--json"]), 0)["last_run"]["processes"], totals);
}

#[test]
fn a_sweep_only_shows_where_somebody_is_to_be_asked() {
    let scene = Processes::new();
    let pid = scene.orphan();
    wait_old(&[pid]);
    for (mode, dry_run) in [("interactive", "true"), ("interactive", "false"), ("auto", "true")] {
        let mut command = command(&scene, &["sweep"]);
        command.env("SESSION_SWEEP_PROCESSES_MODE", mode).env("SESSION_SWEEP_PROCESSES_DRY_RUN", dry_run);
        let ran = Ran::of(&mut command).ends_with(0);
        assert!(ran.stdout.contains(&format!("end       {pid:>7}")), "{ran:?}");
        assert!(ran.stderr.contains("1 orphan left over, and only shown: "), "{ran:?}");
        assert!(scene.runs(pid) && scene.has_record(OVER));
        let last = &log_of(&scene).pop().unwrap()["processes"];
        assert_eq!((&last["orphaned"], &last["ended"]), (&json!(1), &json!(0)));
    }
}

#[test]
fn an_audit_only_shows() {
    let scene = Processes::new();
    let pid = scene.orphan();
    wait_old(&[pid]);
    let before = tree_of(&scene.world.home());
    assert_eq!(document(run(&scene, "false", &["audit", "--json"]), 0)["processes"], Value::Null);
    let found = document(run(&scene, "true", &["audit", "--json"]), 0);
    assert_verdict(&found["processes"], pid, "orphaned", "owner");
    let text = run(&scene, "true", &["audit"]).ends_with(0).stdout;
    assert!(text.contains(&format!("{pid:>7}")), "{text}");
    assert!(scene.runs(pid));
    assert_untouched(&before, &scene.world.home());
}

#[test]
fn an_audit_says_what_a_sweep_would_do_about_them() {
    let scene = Processes::new();
    let overview = |mode: &str, dry_run: &str| {
        let mut command = command(&scene, &["audit"]);
        command.env("SESSION_SWEEP_PROCESSES_MODE", mode).env("SESSION_SWEEP_PROCESSES_DRY_RUN", dry_run);
        let text = Ran::of(&mut command).ends_with(0).stdout;
        let from = text.find("processes ").unwrap();
        text[from..text.find("not enabled").unwrap()].split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(overview("interactive", "true"), "processes nothing to do");
    let pid = scene.orphan();
    wait_old(&[pid]);
    for (mode, dry_run, by) in [
        ("interactive", "false", "processes.mode"),
        ("auto", "true", "processes.dry_run"),
        ("interactive", "true", "processes.mode, processes.dry_run"),
    ] {
        let text = overview(mode, dry_run);
        assert!(text.starts_with("processes 1 orphan left over ("), "{text}");
        assert!(text.ends_with(&format!("), only shown ({by})")), "{text}");
    }
    let text = overview("auto", "false");
    assert!(text.starts_with("processes 1 orphan would be ended ("), "{text}");
    // Its record goes when it has ended.
    scene.kill(pid);
    scene.wait_gone(pid);
    assert_eq!(overview("interactive", "false"), "processes 1 record left over, only shown (processes.mode)");
    assert_eq!(overview("auto", "false"), "processes 1 record would be removed");
}

#[test]
fn a_daemon_that_may_only_show_says_so_once_and_is_well() {
    let scene = Processes::new();
    let pid = scene.orphan();
    wait_old(&[pid]);
    let mut command = command(&scene, &["daemon", "-v"]);
    command.env("SESSION_SWEEP_PROCESSES_MODE", "interactive");
    let daemon = Daemon::start(&scene.world, &mut command, None);
    daemon.hear("last: processes: nothing done; ");
    daemon.run_all("processes");
    let (_, log) = daemon.end();
    let told = "[INFO ] processes: nothing done; 1 orphaned; 1 orphan left over, and only shown: ";
    assert_eq!(log.matches(told).count(), 1, "{log}");
    assert!(scene.runs(pid) && !log.contains("not all"), "{log}");
}

#[test]
fn a_sweep_that_may_not_end_all_says_so() {
    let scene = Processes::new();
    let pids = [scene.orphan(), scene.start("mcp-server-y").of(OVER).orphaned()];
    wait_old(&pids);
    let mut command = command(&scene, &["sweep"]);
    command.env("SESSION_SWEEP_PROCESSES_MAX", "1");
    let ran = Ran::of(&mut command).ends_with(4);
    assert!(ran.stdout.contains("--max"), "{ran:?}");
    assert_eq!(pids.iter().filter(|pid| scene.runs(**pid)).count(), 1);
    assert_eq!(log_of(&scene)[0]["exit"], 4);
}

#[test]
fn a_proc_that_cannot_be_read_does_not_keep_the_map_from_being_swept() {
    let scene = Processes::new();
    scene.world.claude(crate::world::CLAUDE_ID, 600);
    scene.world.map(&crate::left_behind::nested(&[("claude-cli", "old", crate::world::CLAUDE_ID)]));
    let mut command = command(&scene, &["sweep"]);
    let ran = Ran::of(command.env("SESSION_SWEEP_PROCESSES_ROOT", scene.path("nowhere")));
    assert!(ran.status != 0 && ran.stderr.contains("nowhere/proc"), "{ran:?}");
    assert!(ran.stdout.contains("1 pruned"), "{ran:?}");
    assert_eq!(scene.world.map_json(), json!({"claude-cli": {}}));
}

#[test]
fn at_another_time_nothing_is_ended_by_whatever_command() {
    let scene = Processes::new();
    // Whoever is young is old in an hour, and not now.
    let pid = scene.orphan();
    let time = in_an_hour();
    let young = |arguments: &[&str]| {
        let mut command = command(&scene, arguments);
        command.env("SESSION_SWEEP_PROCESSES_MIN_AGE", "30m");
        Ran::of(command.env("SESSION_SWEEP_PROCESSES_CLEAN_ON_START", "true"))
    };
    let own = std::process::id().to_string();
    young(&["sweep", "--at", &time]).ends_with(2);
    assert!(scene.runs(pid) && scene.has_record(OVER));
    scene.show(std::process::id(), "0::/\n");
    for arguments in [
        &["processes", "register", "--session", "x", "--pid", &own, "--at", &time][..],
        &["processes", "end", "--session", OVER, "--at", &time],
    ] {
        young(arguments).ends_with(1);
        assert!(scene.runs(pid) && scene.has_record(OVER), "{arguments:?}");
    }
    // To look is free.
    young(&["sweep", "--dry-run", "--at", &time]).ends_with(0);
    young(&["audit", "--at", &time]).ends_with(0);
    assert!(scene.runs(pid) && scene.has_record(OVER));
}

//! The command that follows a prune.

use serde_json::{Value, json};

use crate::left_behind::id;
use crate::world::{CLAUDE_ID, World};

/// A world with one idle mapping, and a place for what a command leaves there.
fn scene() -> (World, std::path::PathBuf) {
    let world = World::new();
    world.claude(CLAUDE_ID, 300);
    world.map(&json!({"claude-cli": {"idle": CLAUDE_ID}}).to_string());
    let told = world.root().join("told");
    (world, told)
}

#[test]
fn the_command_gets_the_report_once_when_something_was_pruned() {
    let (mut world, told) = scene();
    let path = std::env::var_os("PATH").unwrap();
    world.variable("PATH", path);
    let command = format!("cat >> {}; echo reloaded", told.display());
    world.run(&["prune", "--dry-run", "--post-prune", &command]).ends_with(0);
    assert!(!told.exists());
    let ran = world.run(&["prune", "--json", "--post-prune", &command]).ends_with(0);
    let report: Value = serde_json::from_str(&fs_err::read_to_string(&told).unwrap()).unwrap();
    assert_eq!((&report["command"], &report["summary"]["pruned"]), (&json!("prune"), &json!(1)));
    assert_eq!(report, serde_json::from_str::<Value>(&ran.stdout).unwrap());
    assert_eq!(ran.stderr, "reloaded\n");
    world.run(&["prune", "--post-prune", &command]).ends_with(0);
    assert_eq!(fs_err::read_to_string(&told).unwrap().lines().count(), 1);
}

#[test]
fn the_configuration_names_it_for_every_sweep() {
    let (mut world, told) = scene();
    let path = std::env::var_os("PATH").unwrap();
    world.variable("PATH", path);
    world.run(&["config", "set", "map.post_prune", &format!("wc -l > '{}'", told.display())]).ends_with(0);
    world.run(&["sweep", "--quiet"]).ends_with(0);
    assert_eq!(fs_err::read_to_string(&told).unwrap().trim(), "0");
}

#[test]
fn a_command_that_fails_leaves_the_prune_done_and_says_so() {
    let (world, _) = scene();
    let ran = world.run(&["prune", "--quiet", "--post-prune", "exit 7"]).ends_with(4);
    assert!(ran.stderr.contains("exit status: 7") && ran.stderr.contains("the mappings are pruned"), "{ran:?}");
    assert_eq!(world.map_json(), json!({"claude-cli": {}}));
}

#[test]
fn a_command_that_takes_too_long_is_ended_with_all_it_started() {
    let (mut world, told) = scene();
    let path = std::env::var_os("PATH").unwrap();
    world.variable("PATH", path).variable("SESSION_SWEEP_MAP_POST_PRUNE_LIMIT", "1s");
    let command = format!("sleep 600 & echo $! > {}; wait", told.display());
    let ran = world.run(&["prune", "--post-prune", &command]).ends_with(4);
    assert!(ran.stdout.contains("took longer than 1s (map.post_prune_limit)"), "{ran:?}");
    let pid = fs_err::read_to_string(&told).unwrap();
    let state = fs_err::read_to_string(format!("/proc/{}/stat", pid.trim()));
    // Whoever adopted it may not have reaped it yet.
    assert!(state.as_ref().is_err() || state.as_ref().unwrap().contains(") Z "), "{state:?}");
}

#[test]
fn what_does_not_end_when_asked_to_is_killed() {
    let (mut world, told) = scene();
    let path = std::env::var_os("PATH").unwrap();
    world.variable("PATH", path).variable("SESSION_SWEEP_MAP_POST_PRUNE_LIMIT", "1s");
    let stubborn = r#"sh -c 'echo $$; trap "" TERM; exec sleep 600'"#;
    let command = format!("{stubborn} > {} & sleep 600; true", told.display());
    world.run(&["prune", "--post-prune", &command]).ends_with(4);
    let pid = fs_err::read_to_string(&told).unwrap();
    let state = fs_err::read_to_string(format!("/proc/{}/stat", pid.trim()));
    assert!(state.as_ref().is_err() || state.as_ref().unwrap().contains(") Z "), "{state:?}");
}

#[test]
fn a_command_that_reads_nothing_does_not_stop_a_large_report() {
    let (world, _) = scene();
    let chats: serde_json::Map<String, Value> =
        (0..2_000).map(|number| (format!("chat {number}"), CLAUDE_ID.into())).collect();
    world.map(&json!({"claude-cli": chats, "codex-cli": {"gone": id(1)}}).to_string());
    let ran = world.run(&["prune", "--post-prune", "exec true"]).ends_with(0);
    assert!(ran.stdout.contains("2000 pruned"), "{}", ran.stderr);
}

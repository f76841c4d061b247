//! `session-sweep prune`.

use crate::left_behind::{id, nested};
use crate::machine::strace;
use crate::world::{CLAUDE_ID, CODEX_ID, GEMINI_ID, Ran, World};

#[test]
fn idle_mappings_go_and_active_ones_stay() {
    let world = World::new();
    world.claude(CLAUDE_ID, 121);
    world.codex(CODEX_ID, 5);
    world.gemini(GEMINI_ID, 600);
    world.map(&format!(
        r#"{{"claude-cli": {{"a": "{CLAUDE_ID}"}}, "codex-cli": {{"b": "{CODEX_ID}"}}, "gemini-cli": {{"c": "{GEMINI_ID}"}}}}"#
    ));
    world.run(&["prune"]).ends_with(0);
    assert_eq!(
        world.map_text(),
        format!(r#"{{"claude-cli": {{}}, "codex-cli": {{"b": "{CODEX_ID}"}}, "gemini-cli": {{}}}}"#)
    );
    let tombstones = world.tombstones();
    assert_eq!(tombstones.len(), 2);
    assert_eq!(tombstones[0]["cwd"], "/work");
}

#[test]
fn a_yes_that_nobody_asks_for_changes_nothing() {
    let scene = || {
        let world = World::new();
        world.claude(CLAUDE_ID, 121);
        world.codex(CODEX_ID, 5);
        world.map(&nested(&[("claude-cli", "a", CLAUDE_ID), ("codex-cli", "b", CODEX_ID)]));
        world
    };
    let (with, without) = (scene(), scene());
    let said = |world: &World, arguments| world.run(arguments).ends_with(0).stdout;
    assert_eq!(said(&with, &["prune", "--yes"]), said(&without, &["prune"]));
    assert_eq!((with.map_text(), with.tombstones().len()), (without.map_text(), 1));
    assert_eq!(with.map_json(), serde_json::json!({"claude-cli": {}, "codex-cli": {"b": CODEX_ID}}));
}

#[test]
fn only_mapped_sessions_are_looked_at_and_only_idle_ones_for_sub_agents() {
    let world = World::new();
    let (idle, active, unmapped) = (id(1), id(2), id(3));
    for (session, minutes) in [(&idle, 600), (&active, 1), (&unmapped, 600)] {
        world.claude(session, minutes);
        world.file(&format!(".claude/projects/-work/{session}/subagents/agent-1.jsonl"), "{}\n", 900);
    }
    world.map(&nested(&[("claude-cli", "a", &idle), ("claude-cli", "b", &active)]));
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("trace");
    let Some(mut command) = strace(&["-o", log.to_str().unwrap()], &world.command(&["prune", "--dry-run"])) else {
        return;
    };
    Ran::of(&mut command).ends_with(0);
    let trace = fs_err::read_to_string(&log).unwrap();
    let calls = |words: &[&str]| {
        let has_all = |line: &&str| words.iter().all(|word| line.contains(word)) && !line.contains("write(1,");
        trace.lines().filter(has_all).count()
    };
    assert_eq!(calls(&[&unmapped]), 0, "{trace}");
    assert_eq!(calls(&[&format!("{idle}.jsonl")]), 1, "{trace}");
    assert_eq!(calls(&[&format!("{active}.jsonl")]), 1, "{trace}");
    assert!(calls(&[&format!("{idle}/")]) + calls(&[&format!("{idle}\"")]) > 0, "{trace}");
    assert_eq!(calls(&[&format!("{active}/")]) + calls(&[&format!("{active}\"")]), 0, "{trace}");
    assert_eq!(calls(&["open", "projects/-work\""]), 1, "one walk: {trace}");
}

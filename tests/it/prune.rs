//! `session-sweep prune`.

use crate::world::{CLAUDE_ID, CODEX_ID, GEMINI_ID, World};

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

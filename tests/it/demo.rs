//! `session-sweep demo`: the main job, on a world of its own.

use crate::world::{CLAUDE_ID, Ran, World};

#[test]
fn the_demo_tells_its_story_and_touches_nothing_of_the_users() {
    let mut world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.map(&format!("{{\"a\": \"{CLAUDE_ID}\"}}"));
    let temporary = world.root().join("tmp");
    fs_err::create_dir(&temporary).unwrap();
    world.variable("TMPDIR", &temporary);
    // A configuration that is wrong, and variables that point at the user's own: none of it reaches the demo.
    world.file(".config/session-sweep/config.toml", "nonsense = 1\n", 0);
    world.variable("CLAUDE_CONFIG_DIR", world.home().join(".claude"));
    let before = world.map_text();
    let ran = Ran::of(&mut world.command_at_present(&["demo"])).ends_with(0);
    let story = ran.stdout.as_str();
    let mut rest = story;
    for word in [
        "$ session-sweep audit",
        "12 checked: 3 active, 7 idle, 1 in use, 1 missing, 0 unknown; 7 would be pruned",
        "$ session-sweep prune",
        "7 pruned",
        "$ session-sweep resolve --model codex-cli --chat port-to-rust",
        "\"advice\":\"resume\"",
        "$ session-sweep resolve --model gemini-cli --chat name-a-cat",
        "\"advice\":\"replay\"",
        "$ session-sweep restore --since 1h",
        "7 of 7 restored",
        "nothing of yours was touched",
    ] {
        let at = rest.find(word).unwrap_or_else(|| panic!("no {word:?} in order in\n{story}"));
        rest = &rest[at + word.len()..];
    }
    assert_eq!(ran.stderr, "");
    assert_eq!(world.map_text(), before);
    assert!(world.tombstones().is_empty());
    assert_eq!(fs_err::read_dir(&temporary).unwrap().count(), 0, "it takes its world away");
    assert!(!world.home().join(".local").exists());
}

#[test]
fn the_demo_is_plain_in_a_pipe_and_coloured_where_wanted() {
    let world = World::new();
    let plain = Ran::of(&mut world.command_at_present(&["demo"])).ends_with(0).stdout;
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    let coloured = Ran::of(&mut world.command_at_present(&["demo", "--color", "always"])).ends_with(0).stdout;
    assert!(coloured.contains('\u{1b}'));
}

#[test]
fn the_demo_has_nothing_to_say_quietly_or_to_a_program() {
    let world = World::new();
    let quiet = Ran::of(&mut world.command_at_present(&["demo", "--quiet"])).ends_with(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let json = Ran::of(&mut world.command_at_present(&["demo", "--json"])).ends_with(2);
    assert_eq!(json.stdout, "");
    assert!(json.stderr.contains("give --json to audit, prune"), "{}", json.stderr);
}

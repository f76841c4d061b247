//! A run that is killed between any two system calls: the map is the old one or the new one, and no mapping is lost.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::killing::{is_changing, kill_everywhere};
use crate::left_behind::{id, nested, three_chats};
use crate::machine::strace;
use crate::tree::names_in;
use crate::world::{CLAUDE_ID, Ran, World};

fn chats(map: &Value) -> BTreeSet<String> {
    let levels = map.as_object().unwrap().values();
    levels.flat_map(|level| level.as_object().unwrap().keys().cloned()).collect()
}

/// Chats with a tombstone that can be read; a torn last line is none.
fn buried(world: &World) -> BTreeSet<String> {
    let text = fs_err::read_to_string(world.bridge().join("session_map.tombstones.jsonl")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.map(|line| line["chat"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn assert_tidy(world: &World, moment: &str) {
    let known = ["session_map.json", "session_map.lock", "session_map.tombstones.jsonl"];
    let rest: Vec<String> = names_in(&world.bridge()).into_iter().filter(|name| !known.contains(&&**name)).collect();
    assert!(rest.is_empty(), "{moment}: {rest:?} was left behind");
}

/// What must be true of the three chats whenever a prune was killed, and that the next one finishes the work.
fn check_prune(old: &str, new: &str, world: &World, moment: &str) {
    let text = world.map_text();
    assert!(text == old || text == new, "{moment}: neither the old nor the new map:\n{text}");
    let lost: Vec<String> = chats(&serde_json::from_str(old).unwrap())
        .difference(&chats(&world.map_json()))
        .filter(|chat| !buried(world).contains(*chat))
        .cloned()
        .collect();
    assert!(lost.is_empty(), "{moment}: {lost:?} left the map without a tombstone");
    world.run(&["prune"]).ends_with(0);
    assert_eq!(world.map_text(), new, "{moment}");
    assert_eq!(buried(world), ["a", "c"].map(str::to_owned).into(), "{moment}");
    assert_tidy(world, moment);
}

fn pruned(make: impl Fn() -> World) -> String {
    let world = make();
    world.run(&["prune"]).ends_with(0);
    world.map_text()
}

#[test]
fn prune_killed_before_any_system_call_leaves_the_old_or_the_new_map_and_loses_no_mapping() {
    let (old, new) = (three_chats().map_text(), pruned(three_chats));
    assert_ne!(old, new);
    kill_everywhere(&three_chats, &["prune"], |_| true, |world, moment| check_prune(&old, &new, world, moment));
}

/// A chat that was pruned long ago, and whose tombstone still counts.
const OLD_GRAVE: &str = r#"{"model":"claude-cli","chat":"long ago","session":"0856b851-1111-4222-8333-0123456789ac","provider":"claude","transcript":null,"cwd":null,"last_activity":null,"pruned_at":"2026-11-18T09:00:00.000Z","reason":"idle"}"#;

#[test]
fn prune_killed_while_it_tidies_or_ends_a_torn_line_loses_no_tombstone() {
    let make = || {
        let world = three_chats();
        // Something to prune, two days ago, so that the next run tidies.
        let text = world.map_text();
        world.run(&["prune", "--at", "2026-11-18T12:00:00Z", "--idle", "1m"]);
        world.map(&text);
        let graves = format!("{OLD_GRAVE}\n{OLD_GRAVE}\n{{\"model\":\"claude-cli\",\"chat\":\"torn");
        fs_err::write(world.bridge().join("session_map.tombstones.jsonl"), graves).unwrap();
        world
    };
    let (old, new) = (make().map_text(), pruned(make));
    kill_everywhere(&make, &["prune"], is_changing, |world, moment| {
        assert!(buried(world).contains("long ago"), "{moment}: a tombstone is gone");
        let text = world.map_text();
        assert!(text == old || text == new, "{moment}: neither the old nor the new map:\n{text}");
        let here = chats(&world.map_json());
        for chat in ["a", "c"] {
            assert!(here.contains(chat) || buried(world).contains(chat), "{moment}: {chat} is lost");
        }
        world.run(&["prune"]).ends_with(0);
        assert_eq!(world.map_text(), new, "{moment}");
        assert_eq!(buried(world), ["a", "c", "long ago"].map(str::to_owned).into(), "{moment}");
        assert_tidy(world, moment);
    });
}

#[test]
fn restore_killed_anywhere_leaves_every_chat_in_the_map_or_in_a_tombstone() {
    let make = || {
        let world = three_chats();
        world.run(&["prune"]).ends_with(0);
        world
    };
    let (old, done) = (make().map_json(), three_chats().map_json());
    kill_everywhere(&make, &["restore", "--all"], is_changing, |world, moment| {
        let map = world.map_json();
        assert!(map == old || map == done, "{moment}: neither the old nor the new map: {map}");
        for chat in ["a", "c"] {
            assert!(chats(&map).contains(chat) || buried(world).contains(chat), "{moment}: {chat} is lost");
        }
        world.run(&["restore", "--all"]).ends_with(0);
        assert_eq!(world.map_json(), done, "{moment}");
        assert_tidy(world, moment);
    });
}

#[test]
fn record_killed_anywhere_leaves_the_old_or_the_new_map_and_none_where_there_was_none() {
    let record = ["record", "--model", "claude-cli", "--chat", "new", "--session", CLAUDE_ID];
    let no_map = || {
        let world = three_chats();
        fs_err::remove_file(world.map_path()).unwrap();
        world
    };
    for (make, had_map) in [(&three_chats as &(dyn Fn() -> World + Sync), true), (&no_map, false)] {
        let old = three_chats().map_text();
        let new = {
            let world = make();
            world.run(&record).ends_with(0);
            world.map_text()
        };
        kill_everywhere(make, &record, is_changing, |world, moment| {
            if world.map_path().exists() {
                let text = world.map_text();
                assert!(text == new || had_map && text == old, "{moment}: {text}");
            } else {
                assert!(!had_map, "{moment}: the map is gone");
            }
            world.run(&record).ends_with(0);
            assert_eq!(world.map_text(), new, "{moment}");
            assert_tidy(world, moment);
        });
    }
}

#[test]
fn a_killed_run_leaves_no_lock() {
    let world = three_chats();
    let Some(mut command): Option<Command> =
        strace(&["-e", "inject=renameat2:signal=SIGKILL:when=1"], &world.command(&["prune"]))
    else {
        return;
    };
    assert_eq!(Ran::of(&mut command).status, -1);
    assert!(names_in(&world.bridge()).len() > 3, "the lock's file and the temporary one are there");
    world.run(&["prune", "--wait", "never"]).ends_with(0);
    assert_tidy(&world, "after the next run");
}

#[test]
fn what_a_killed_run_left_in_the_state_folder_goes_with_the_next_memory() {
    let world = World::new();
    world.claude(CLAUDE_ID, 1);
    world.map(&nested(&[("claude-cli", "there", CLAUDE_ID), ("claude-cli", "gone", &id(1))]));
    world.run(&["prune"]).ends_with(0);
    let maps = world.home().join(".local/state/session-sweep/maps");
    let names = || fs_err::read_dir(&maps).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    let memory = names().pop().unwrap();
    // The pid of a process that is gone.
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let left = format!(".{}.session-sweep-{}.tmp", memory.display(), ended.id());
    fs_err::write(maps.join(left), "{").unwrap();
    world.map(&nested(&[("claude-cli", "there", CLAUDE_ID), ("claude-cli", "other", &id(2))]));
    world.run(&["prune"]).ends_with(0);
    assert_eq!(names(), [memory]);
}

//! Promises about writing: all of it or nothing, nowhere else, and not at all where nothing is to be written.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::left_behind::three_chats;
use crate::machine::{SmallDisk, as_ordinary_user, cannot_run, is_root, set_mode, strace};
use crate::tree::{assert_untouched, names_in, tree_of};
use crate::world::{CLAUDE_ID, CODEX_ID, GEMINI_ID, Ran, World};

const TOMBSTONES: &str = "session_map.tombstones.jsonl";

/// Only what is active.
fn scene_with_nothing_to_do() -> World {
    let world = World::new();
    world.claude(CLAUDE_ID, 5);
    world.codex(CODEX_ID, 5);
    world.map(&format!(r#"{{"claude-cli": {{"a": "{CLAUDE_ID}"}}, "codex-cli": {{"b": "{CODEX_ID}"}}}}"#));
    world
}

/// The bridge's folder without the lock's file, which stays.
fn bridge_of(world: &World) -> Vec<(String, Vec<u8>)> {
    let names = names_in(&world.bridge()).into_iter().filter(|name| name != "session_map.lock");
    names.map(|name| (name.clone(), fs_err::read(world.bridge().join(name)).unwrap())).collect()
}

#[test]
fn nothing_to_remove_writes_nothing() {
    let world = scene_with_nothing_to_do();
    let before = tree_of(world.root());
    world.run(&["prune"]).ends_with(0);
    assert_untouched(&before, world.root());
}

#[test]
fn nothing_to_remove_makes_no_call_that_writes() {
    let world = scene_with_nothing_to_do();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("trace");
    let Some(mut command) = strace(&["-o", log.to_str().unwrap()], &world.command(&["prune"])) else { return };
    Ran::of(&mut command).ends_with(0);
    let text = fs_err::read_to_string(&log).unwrap();
    assert!(text.contains("session_map.json"), "the trace shows nothing: {text}");
    let writes = |line: &&str| {
        let call = line.split_once(' ').unwrap().1.trim_start();
        let name = call.split('(').next().unwrap();
        let to_streams = call.starts_with("write(1,") || call.starts_with("write(2,");
        let changes = ["write", "pwrite", "rename", "unlink", "mkdir", "fchmod", "fchown", "fsync", "fdatasync"];
        let changing = changes.iter().any(|prefix| name.starts_with(prefix));
        let more = ["ftruncate", "flock", "utimensat", "link", "symlink", "truncate", "fallocate"].contains(&name);
        let opening = ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|flag| call.contains(flag));
        (changing && !to_streams) || more || (name.starts_with("open") && opening && !call.contains("/dev/null"))
    };
    let found: Vec<&str> = text.lines().filter(writes).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn looking_never_writes() {
    let chat = ["--model", "claude-cli", "--chat", "a"];
    let resolve = [&["resolve"], &chat[..]].concat();
    let restore = [&["restore", "--dry-run"], &chat[..]].concat();
    let commands: [&[&str]; 11] = [
        &["prune", "--dry-run"],
        &["prune", "--dry-run", "--json", "--missing", "prune"],
        &["prune", "-n", "--activity", "content", "-v"],
        &["prune", "--dry-run", "--yes"],
        &["audit"],
        &["audit", "-v", "--json"],
        &resolve,
        &["resolve", "--model", "nobody", "--chat", "knows"],
        &["config", "show", "--origin"],
        &["config", "check"],
        &["--help"],
    ];
    let fresh = three_chats();
    let pruned = three_chats();
    pruned.run(&["prune"]).ends_with(0);
    // A state folder that is not there, and one that is; a map with a mapping that is missing.
    let missing = three_chats();
    missing.map(r#"{"claude-cli": {"a": "11111111-1111-4222-8333-0123456789ab"}}"#);
    let no_map = World::new();
    for (world, has_map) in [(&fresh, true), (&pruned, true), (&missing, true), (&no_map, false)] {
        let before = tree_of(world.root());
        for command in commands {
            let ran = world.run(command);
            assert!(ran.status == 0 || !has_map, "{ran:?}");
            assert_untouched(&before, world.root());
        }
    }
    let before = tree_of(pruned.root());
    pruned.run(&restore).ends_with(0);
    assert_untouched(&before, pruned.root());
}

#[test]
fn a_change_that_changes_nothing_writes_neither_map_nor_tombstones() {
    let world = three_chats();
    world.run(&["prune"]).ends_with(0);
    let changing: [&[&str]; 2] =
        [&["record", "--model", "codex-cli", "--chat", "b", "--session", CODEX_ID], &["prune", "--idle", "never"]];
    for command in changing {
        let before = (file(&world, "session_map.json"), file(&world, TOMBSTONES));
        world.run(command).ends_with(0);
        assert_eq!(before, (file(&world, "session_map.json"), file(&world, TOMBSTONES)), "{command:?}");
    }
}

/// What any write to a file in the bridge's folder would change.
fn file(world: &World, name: &str) -> (u64, i64, i64, Vec<u8>) {
    let path = world.bridge().join(name);
    let metadata = fs_err::metadata(&path).unwrap();
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec(), fs_err::read(path).unwrap())
}

/// A run that failed to write: exit 1, a message with all of `words`, and the bridge's folder as it was.
#[track_caller]
fn assert_refused(world: &World, ran: Ran, before: &[(String, Vec<u8>)], words: &[&str]) {
    let ran = ran.ends_with(1);
    for word in words {
        assert!(ran.stderr.contains(word), "no {word:?} in: {}", ran.stderr);
    }
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(before), names(&bridge_of(world)));
    assert!(before == bridge_of(world), "a file changed");
}

#[test]
fn a_report_that_cannot_be_written_says_what_was_done() {
    let world = three_chats();
    let mut command = world.command(&["prune"]);
    command.stdout(File::options().write(true).open("/dev/full").unwrap());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("2 mappings were pruned, which could not be reported") && said.contains("No space"),
        "{said}"
    );
    assert_eq!(world.tombstones().len(), 2);
}

#[test]
fn a_full_disk_leaves_all_or_nothing() {
    let mut outcomes = [0, 0];
    // From no room at all to room enough, page by page, so that every write is the one that fails.
    for free_pages in 0..16 {
        let world = three_chats();
        let Some(_disk) = SmallDisk::at(&world.bridge(), 128) else { return };
        let chats: Vec<String> = (0..300).map(|n| format!("\"chat {n}\": \"{CODEX_ID}\"")).collect();
        world.map(&format!(
            r#"{{"claude-cli": {{"a": "{CLAUDE_ID}"}}, "codex-cli": {{{}}}, "gemini-cli": {{"c": "{GEMINI_ID}"}}}}"#,
            chats.join(", ")
        ));
        // Long enough for pages of its own, and with room for nothing in its last one.
        let graves = "{\"padding\":\"\"}\n".repeat(512);
        fs_err::write(world.bridge().join(TOMBSTONES), &graves[..4096]).unwrap();
        fs_err::write(world.bridge().join("session_map.lock"), "").unwrap();
        let filler = world.bridge().join("filler");
        let mut file = fs_err::File::create(&filler).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        file.set_len(file.metadata().unwrap().len().saturating_sub(free_pages * 4096)).unwrap();
        drop(file);
        let before = bridge_of(&world);
        let ran = world.run(&["prune"]);
        if ran.status == 0 {
            outcomes[0] += 1;
            assert!(!world.map_text().contains(CLAUDE_ID));
            let text = fs_err::read_to_string(world.bridge().join(TOMBSTONES)).unwrap();
            assert_eq!(
                text.lines().filter(|line| line.contains("claude-cli") || line.contains("gemini-cli")).count(),
                2
            );
        } else {
            outcomes[1] += 1;
            assert_refused(&world, ran, &before, &["make room", "session_map"]);
        }
    }
    assert!(outcomes.iter().all(|count| *count > 2), "{outcomes:?}");
}

#[test]
fn a_disk_that_is_read_only_is_said_so() {
    let world = three_chats();
    let text = world.map_text();
    let Some(disk) = SmallDisk::at(&world.bridge(), 128) else { return };
    world.map(&text);
    disk.freeze();
    let before = bridge_of(&world);
    for command in [&["prune"][..], &["record", "--model", "m", "--chat", "c", "--session", "s"]] {
        assert_refused(&world, world.run(command), &before, &["read-only", "session_map.lock"]);
    }
}

/// Runs `prune` with one call failing in one way, the first, second, … time; what is true whatever happens.
fn fail_everywhere(call: &str, error: &str) -> [usize; 2] {
    let mut outcomes = [0, 0];
    for number in 1.. {
        let world = three_chats();
        fs_err::write(world.bridge().join(TOMBSTONES), "{\"torn").unwrap();
        let before = bridge_of(&world);
        let inject = format!("inject={call}:error={error}:when={number}");
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("trace");
        let trace = format!("trace={call}");
        let options = ["-o", log.to_str().unwrap(), "-e", &trace, "-e", &inject];
        let Some(mut command) = strace(&options, &world.command(&["prune", "--quiet"])) else { return [1, 1] };
        let ran = Ran::of(&mut command);
        if !fs_err::read_to_string(&log).unwrap().contains("INJECTED") {
            return outcomes;
        }
        let moment = format!("{call} number {number} fails with {error}: {ran:?}");
        let map = world.map_json();
        let text = fs_err::read_to_string(world.bridge().join(TOMBSTONES)).unwrap();
        let buried = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).count();
        if map["claude-cli"] == json!({}) {
            assert_eq!(map, json!({"claude-cli": {}, "codex-cli": {"b": CODEX_ID}, "gemini-cli": {}}), "{moment}");
            assert_eq!(buried, 2, "{moment}");
            assert_eq!(ran.status, 0, "{moment}");
            outcomes[0] += 1;
        } else {
            assert!(bridge_of(&world) == before, "{moment}: a file changed");
            assert_eq!(ran.status, 1, "{moment}");
            assert!(ran.stderr.contains(world.bridge().to_str().unwrap()), "{moment}");
            assert_eq!(ran.stderr.matches("os error").count(), 1, "{moment}");
            outcomes[1] += 1;
        }
    }
    outcomes
}

#[test]
fn whichever_write_fails_the_map_and_the_tombstones_are_as_they_were() {
    assert!(fail_everywhere("write,pwrite64", "ENOSPC")[1] > 0);
    assert!(fail_everywhere("fsync", "EIO")[1] > 0);
    assert!(fail_everywhere("fdatasync", "EDQUOT")[1] > 0);
    assert!(fail_everywhere("fchmod", "EPERM")[1] > 0);
    assert!(fail_everywhere("renameat2", "EIO")[1] > 0);
}

#[test]
fn a_file_system_that_cannot_exchange_names_will_do() {
    let world = three_chats();
    let inject = "inject=renameat2:error=EINVAL:when=1";
    let Some(mut command) = strace(&["-e", inject], &world.command(&["prune"])) else { return };
    Ran::of(&mut command).ends_with(0);
    assert_pruned(&world);
}

#[test]
fn programs_that_keep_the_map_open_do_not_stop_us() {
    // For reading, which refuses one kind of lease, and for writing, which refuses both.
    for writing in [false, true] {
        let world = three_chats();
        let _open = fs_err::OpenOptions::new().read(true).write(writing).open(world.map_path()).unwrap();
        world.run(&["prune"]).ends_with(0);
        assert_pruned(&world);
    }
}

#[track_caller]
fn assert_pruned(world: &World) {
    assert_eq!(world.map_json(), json!({"claude-cli": {}, "codex-cli": {"b": CODEX_ID}, "gemini-cli": {}}));
    assert_eq!(world.tombstones().len(), 2);
    assert_eq!(names_in(&world.bridge()).len(), 3, "{:?}", names_in(&world.bridge()));
}

#[test]
fn a_folder_in_which_we_may_not_write_is_named() {
    let world = three_chats();
    set_mode(&world.bridge(), 0o555);
    let before = bridge_of(&world);
    for arguments in [&["prune"][..], &["record", "--model", "m", "--chat", "c", "--session", "s"]] {
        let ran = Ran::of(&mut as_ordinary_user(&world, &world.command(arguments)));
        assert_refused(&world, ran, &before, &["session_map.lock", "must be writable"]);
    }
    set_mode(&world.bridge(), 0o755);
}

#[test]
fn tombstones_that_we_may_not_write_keep_every_mapping() {
    for mode in [0o000, 0o444] {
        let world = three_chats();
        let path = world.bridge().join(TOMBSTONES);
        fs_err::write(&path, "").unwrap();
        set_mode(&path, mode);
        let text = world.map_text();
        let ran = Ran::of(&mut as_ordinary_user(&world, &world.command(&["prune"]))).ends_with(1);
        assert!(ran.stderr.contains(TOMBSTONES) && ran.stderr.contains("so none is removed"), "{}", ran.stderr);
        assert_eq!(world.map_text(), text);
        assert_eq!(fs_err::metadata(&path).unwrap().len(), 0);
        assert_eq!(names_in(&world.bridge()).len(), 3);
    }
}

#[test]
fn links_that_somebody_planted_for_tombstones_or_lock_are_not_followed() {
    for name in [TOMBSTONES, "session_map.lock"] {
        for hard in [false, true] {
            let world = three_chats();
            let victim = world.root().join("victim");
            fs_err::write(&victim, "precious").unwrap();
            let planted = world.bridge().join(name);
            if hard {
                fs_err::hard_link(&victim, &planted).unwrap();
            } else {
                fs_err::os::unix::fs::symlink(&victim, &planted).unwrap();
            }
            let text = world.map_text();
            let ran = world.run(&["prune"]).ends_with(1);
            assert!(ran.stderr.contains(name) && ran.stderr.contains("link"), "{}", ran.stderr);
            assert_eq!(world.map_text(), text);
            assert_eq!(fs_err::read_to_string(&victim).unwrap(), "precious");
        }
    }
}

#[test]
fn a_dangling_link_for_tombstones_or_lock_creates_nothing_elsewhere() {
    for name in [TOMBSTONES, "session_map.lock"] {
        let world = three_chats();
        let victim = world.root().join("victim");
        fs_err::os::unix::fs::symlink(&victim, world.bridge().join(name)).unwrap();
        world.run(&["prune"]).ends_with(1);
        assert!(!victim.exists());
    }
}

#[test]
fn a_link_at_the_temporary_name_is_not_followed() {
    // Nobody knows the pid in advance, but links for all of them can be planted; here for a likely range.
    let world = three_chats();
    let victim = world.root().join("victim");
    fs_err::write(&victim, "precious").unwrap();
    for pid in std::process::id()..std::process::id() + 3000 {
        let name = format!(".session_map.json.session-sweep-{pid}.tmp");
        fs_err::os::unix::fs::symlink(&victim, world.bridge().join(name)).unwrap();
    }
    let ran = world.run(&["prune"]);
    assert!(matches!(ran.status, 0 | 1), "{ran:?}");
    assert_eq!(fs_err::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn a_state_folder_that_cannot_be_written_is_a_warning() {
    let by_mode = three_chats();
    let state = by_mode.home().join(".local/state");
    fs_err::create_dir_all(&state).unwrap();
    set_mode(&state, 0o555);
    let ran = Ran::of(&mut as_ordinary_user(&by_mode, &by_mode.command(&["prune"]))).ends_with(0);
    assert!(ran.stderr.contains(".local/state"), "{}", ran.stderr);
    assert!(!by_mode.map_text().contains(CLAUDE_ID));
    assert_eq!(by_mode.tombstones().len(), 2);

    let mut by_kind = three_chats();
    let file = by_kind.file("a file", "", 1);
    by_kind.variable("XDG_STATE_HOME", &file);
    let ran = by_kind.run(&["prune"]).ends_with(0);
    assert!(ran.stderr.contains("a file"), "{}", ran.stderr);
    assert_eq!(by_kind.tombstones().len(), 2);
}

#[test]
fn mode_and_owner_of_the_map_stay_and_new_files_are_private() {
    let world = three_chats();
    set_mode(&world.map_path(), 0o640);
    if is_root() {
        for path in [world.bridge(), world.map_path()] {
            std::os::unix::fs::chown(path, Some(1234), Some(1235)).unwrap();
        }
    }
    let before = fs_err::metadata(world.map_path()).unwrap();
    world.run(&["prune"]).ends_with(0);
    let after = fs_err::metadata(world.map_path()).unwrap();
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    for name in [TOMBSTONES, "session_map.lock"] {
        let metadata = fs_err::metadata(world.bridge().join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
        assert_eq!(metadata.uid(), before.uid(), "{name}: the bridge's user must be able to work beside it");
    }
}

#[test]
fn a_map_in_a_folder_that_others_can_write_is_refused() {
    if !is_root() {
        cannot_run("only root can give files to other users");
        return;
    }
    let world = three_chats();
    set_mode(&world.bridge(), 0o777);
    let mut command = as_ordinary_user(&world, &world.command(&["prune"]));
    std::os::unix::fs::chown(world.bridge(), Some(1234), Some(1234)).unwrap();
    let before = tree_of(world.root());
    let ran = Ran::of(&mut command).ends_with(1);
    assert!(ran.stderr.contains("everybody may write") && ran.stderr.contains("session_map.json"), "{}", ran.stderr);
    assert_untouched(&before, world.root());

    // In /tmp and its like: only a map of one's own.
    std::os::unix::fs::chown(world.bridge(), Some(0), Some(0)).unwrap();
    set_mode(&world.bridge(), 0o1777);
    std::os::unix::fs::chown(world.map_path(), Some(1234), Some(1234)).unwrap();
    let before = tree_of(world.root());
    let ran = Ran::of(&mut command).ends_with(1);
    assert!(ran.stderr.contains("another user"), "{}", ran.stderr);
    assert_untouched(&before, world.root());
}

// Tombstones.

fn config(world: &World, text: &str) {
    world.file(".config/session-sweep/config.toml", text, 0);
}

fn buried(world: &World) -> Vec<String> {
    let text = fs_err::read_to_string(world.bridge().join(TOMBSTONES)).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.map(|line| line["chat"].as_str().unwrap().to_owned()).collect()
}

/// Maps `chat` to the idle Claude session and prunes at `time`.
fn bury(world: &World, chat: &str, time: &str) {
    world.map(&format!(r#"{{"claude-cli": {{"{chat}": "{CLAUDE_ID}"}}}}"#));
    let mut command = world.command_at_present(&["prune", "--at", time]);
    Ran::of(&mut command).ends_with(0);
    assert!(!world.map_text().contains(CLAUDE_ID));
}

#[test]
fn a_torn_last_line_is_passed_over_and_ended() {
    let world = three_chats();
    world.run(&["prune"]).ends_with(0);
    let path = world.bridge().join(TOMBSTONES);
    let whole = fs_err::read_to_string(&path).unwrap();
    // The crash that tore it came before the mapping left the map.
    let torn = whole.trim_end();
    fs_err::write(&path, &torn[..torn.len() - 20]).unwrap();
    let resolved = world.json(&["resolve", "--model", "claude-cli", "--chat", "a"]);
    assert_eq!(resolved["state"], "pruned", "{resolved}");
    let resolved = world.json(&["resolve", "--model", "gemini-cli", "--chat", "c"]);
    assert_eq!(resolved["state"], "unknown", "{resolved}");
    world.map(&format!(r#"{{"gemini-cli": {{"c": "{GEMINI_ID}"}}}}"#));
    world.run(&["prune"]).ends_with(0);
    let text = fs_err::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert_eq!(buried(&world), ["a", "c"]);
    let resolved = world.json(&["resolve", "--model", "gemini-cli", "--chat", "c"]);
    assert_eq!(resolved["state"], "pruned", "{resolved}");
}

#[test]
fn tombstones_go_after_the_time_that_is_set_and_stay_for_ever_with_never() {
    for (setting, left) in [("5d", vec!["young", "newest"]), ("never", vec!["old", "young", "newest"])] {
        let world = World::new();
        world.claude(CLAUDE_ID, 300);
        config(&world, &format!("[map]\ntombstones = \"{setting}\"\n"));
        bury(&world, "old", "2026-11-21T12:00:00Z");
        bury(&world, "young", "2026-11-24T12:00:00Z");
        bury(&world, "newest", "2026-11-28T12:00:00Z");
        assert_eq!(buried(&world), left, "{setting}");
    }
}

#[test]
fn without_a_setting_a_tombstone_of_89_days_stays() {
    let world = World::new();
    world.claude(CLAUDE_ID, 300);
    bury(&world, "old", "2026-11-21T12:00:00Z");
    bury(&world, "new", "2027-02-18T12:00:00Z");
    assert_eq!(buried(&world), ["old", "new"]);
}

#[test]
fn a_tombstone_goes_when_its_transcript_has_been_gone_for_30_days_and_not_before() {
    let world = World::new();
    world.codex(CODEX_ID, 300);
    let transcript = world.claude(CLAUDE_ID, 300);
    config(&world, "[map]\ntombstones = \"never\"\n");
    let prune_another = |time: &str| {
        world.map(&format!(r#"{{"codex-cli": {{"other": "{CODEX_ID}"}}}}"#));
        Ran::of(&mut world.command_at_present(&["prune", "--at", time])).ends_with(0);
    };
    bury(&world, "chat", "2026-11-21T12:00:00Z");
    fs_err::remove_file(&transcript).unwrap();
    // Gone since the first tidying that looked.
    prune_another("2026-12-01T12:00:00Z");
    prune_another("2026-12-30T12:00:00Z");
    assert_eq!(buried(&world), ["chat", "other"]);
    // It comes back for a while: the time starts anew.
    world.claude(CLAUDE_ID, 300);
    prune_another("2026-12-31T12:30:00Z");
    fs_err::remove_file(&transcript).unwrap();
    prune_another("2027-01-02T12:00:00Z");
    prune_another("2027-01-31T12:00:00Z");
    assert_eq!(buried(&world), ["chat", "other"]);
    prune_another("2027-02-02T12:00:00Z");
    assert_eq!(buried(&world), ["other"]);
}

#[test]
fn tidying_happens_at_most_once_a_day() {
    let world = World::new();
    world.claude(CLAUDE_ID, 300);
    bury(&world, "a", "2026-11-21T12:00:00Z");
    bury(&world, "a", "2026-11-21T13:00:00Z");
    bury(&world, "a", "2026-11-22T11:00:00Z");
    assert_eq!(buried(&world), ["a", "a", "a"]);
    bury(&world, "a", "2026-11-22T13:00:00Z");
    assert_eq!(buried(&world), ["a"], "superseded lines go");
    bury(&world, "a", "2026-11-22T14:00:00Z");
    assert_eq!(buried(&world), ["a", "a"]);
}

#[test]
fn tidying_keeps_every_chat_and_what_its_mapping_said() {
    let world = three_chats();
    // The same chat under two models, and one whose mapping is an object with a number that no program may round.
    world.map(&format!(
        r#"{{"claude-cli": {{"a": "{CLAUDE_ID}"}}, "gemini-cli": {{"a": {{"sessionId": "{GEMINI_ID}", "n": 1.50e2, "é": "\u00e9"}}}}}}"#
    ));
    let before = world.map_json();
    world.run(&["prune"]).ends_with(0);
    let value = format!(r#"{{"sessionId": "{GEMINI_ID}", "n": 1.50e2, "é": "\u00e9"}}"#);
    bury(&world, "b", "2026-11-23T12:00:00Z");
    bury(&world, "b", "2026-11-25T12:00:00Z");
    assert_eq!(buried(&world), ["a", "a", "b"]);
    world.map(r#"{"claude-cli": {}, "gemini-cli": {}}"#);
    Ran::of(&mut world.command(&["restore", "--model", "claude-cli", "--chat", "a"])).ends_with(0);
    Ran::of(&mut world.command(&["restore", "--model", "gemini-cli", "--chat", "a"])).ends_with(0);
    assert_eq!(world.map_json(), before);
    assert!(world.map_text().contains(&value), "{}", world.map_text());
}

#[test]
fn mappings_that_a_bridge_resurrects_again_and_again_do_not_fill_the_disk() {
    for state_is_writable in [true, false] {
        let mut world = World::new();
        world.claude(CLAUDE_ID, 300);
        if !state_is_writable {
            let file = world.file("a file", "", 1);
            world.variable("XDG_STATE_HOME", &file);
        }
        let chats: Vec<String> = (0..1000).map(|n| format!("\"chat {n}\": \"{CLAUDE_ID}\"")).collect();
        let map = format!("{{\"claude-cli\": {{{}}}}}", chats.join(", "));
        let mut most = 0;
        for _ in 0..12 {
            // The bridge has it in memory and writes all of it.
            world.map(&map);
            world.run(&["prune", "--quiet"]).ends_with(0);
            most = most.max(fs_err::metadata(world.bridge().join(TOMBSTONES)).unwrap().len());
        }
        assert!(most < 2 << 20, "grew to {most} bytes");
        let unique: std::collections::HashSet<String> = buried(&world).into_iter().collect();
        assert_eq!(unique.len(), 1000);
    }
}

#[test]
fn a_tombstone_file_that_is_no_text_is_not_in_the_way() {
    let world = three_chats();
    fs_err::write(world.bridge().join(TOMBSTONES), b"\xff\xfe\x00garbage\n{}\n[1]\nnull\n{\"chat\":").unwrap();
    world.run(&["prune"]).ends_with(0);
    let resolved = world.json(&["resolve", "--model", "claude-cli", "--chat", "a"]);
    assert_eq!(resolved["state"], "pruned", "{resolved}");
    world.run(&["restore", "--all"]).ends_with(0);
    assert!(world.map_text().contains(CLAUDE_ID));
}

#[test]
fn a_file_that_only_has_the_locks_name_is_not_touched() {
    let world = three_chats();
    fs_err::rename(world.map_path(), world.bridge().join("Cargo.toml")).unwrap();
    let map = world.bridge().join("Cargo.toml");
    let foreign = world.bridge().join("Cargo.lock");
    for text in ["version = 4\n", "# made by hand\n", "17th of November\n"] {
        fs_err::write(&foreign, text).unwrap();
        for arguments in [&["prune"][..], &["restore", "--all"]] {
            let ran = world.run(&[arguments, &["--map", map.to_str().unwrap()]].concat()).ends_with(1);
            assert!(ran.stderr.contains("Cargo.lock"), "{}", ran.stderr);
            assert_eq!(fs_err::read_to_string(&foreign).unwrap(), text);
        }
    }
    // What a run of ours left there is no obstacle.
    fs_err::write(&foreign, "4711 2026-11-20T10:02:03Z session-sweep pr").unwrap();
    world.run(&["prune", "--map", map.to_str().unwrap()]).ends_with(0);
    let own = world.bridge().join("map.lock");
    fs_err::write(&own, "{}").unwrap();
    let ran = world.run(&[
        "record",
        "--model",
        "claude-cli",
        "--chat",
        "a",
        "--session",
        CLAUDE_ID,
        "--map",
        own.to_str().unwrap(),
    ]);
    assert!(ran.ends_with(1).stderr.contains("named like its lock"));
    assert_eq!(fs_err::read_to_string(&own).unwrap(), "{}");
}

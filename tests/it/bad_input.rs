//! Maps and stores that are broken, hostile, unreadable or in motion: nothing hangs, nothing is touched on a guess.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::left_behind::id;
use crate::machine::{as_ordinary_user, set_mode, strace, without_threads};
use crate::tree::{assert_untouched, tree_of};
use crate::world::{CLAUDE_ID, CODEX_ID, GEMINI_ID, Ran, World, touch};

const MISSING_ID: &str = "dddddddd-1111-4222-8333-0123456789ab";

/// A map with one chat of each id; the chat's name is its position.
fn map_of(world: &World, ids: &[&str]) {
    let chats: serde_json::Map<String, Value> =
        ids.iter().enumerate().map(|(index, id)| (index.to_string(), json!(id))).collect();
    world.map(&json!({"claude-cli": chats}).to_string());
}

fn entries(ran: &Ran) -> Vec<Value> {
    let document: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    document["entries"].as_array().unwrap().clone()
}

/// State and action of each entry.
fn states(ran: &Ran) -> Vec<(String, String)> {
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    entries(ran).iter().map(|entry| (text(entry, "state"), text(entry, "action"))).collect()
}

fn kept(state: &str) -> (String, String) {
    (state.to_owned(), "keep".to_owned())
}

fn pruned(state: &str) -> (String, String) {
    (state.to_owned(), "prune".to_owned())
}

/// Puts something at a path.
type Make = fn(&Path);

fn make_fifo(path: &Path) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
}

// The map.

#[test]
fn a_map_that_is_cut_off_is_refused_at_every_byte() {
    let world = World::new();
    world.claude(CLAUDE_ID, 300);
    let whole = format!("{{\"claude-cli\": {{\"a\": \"{CLAUDE_ID}\"}}, \"codex-cli\": {{}}}}");
    let folder = |length: usize| world.root().join(format!("cut {length}"));
    for length in 0..whole.len() {
        fs_err::create_dir(folder(length)).unwrap();
        fs_err::write(folder(length).join("session_map.json"), &whole[..length]).unwrap();
    }
    let before = tree_of(world.root());
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        loop {
            let length = next.fetch_add(1, Ordering::SeqCst);
            if length >= whole.len() {
                return;
            }
            let ran = world.run(&["prune", "--dir", folder(length).to_str().unwrap()]).ends_with(1);
            let says = ran.stderr.contains("session_map.json") && ran.stderr.contains("nothing was touched");
            assert!(says, "cut at {length}: {}", ran.stderr);
        }
    };
    // Each waits for a moment, in case somebody is still writing.
    std::thread::scope(|threads| {
        for _ in 0..16 {
            threads.spawn(work);
        }
    });
    assert_untouched(&before, world.root());
}

#[test]
fn a_map_that_is_no_map_is_refused_by_every_command_and_nothing_is_touched() {
    let texts: [&[u8]; 8] = [
        b"",
        b"null",
        b"\"text\"",
        b"{\"claude-cli\": {\"a\": \"b\"}} trailing",
        b"{\"claude-cli\": {\"a\": \"b\", \"a\": \"c\"}}",
        b"{\"claude-cli\": {\"\xff\": \"b\"}}",
        b"\x00\x00\x00\x00",
        b"PK\x03\x04",
    ];
    for text in texts {
        let world = World::new();
        world.claude(CLAUDE_ID, 300);
        fs_err::write(world.map_path(), text).unwrap();
        let before = tree_of(world.root());
        for command in [&["prune"][..], &["prune", "--dry-run"], &["resolve", "--model", "claude-cli", "--chat", "a"]] {
            let ran = world.run(command).ends_with(1);
            assert!(ran.stderr.contains("session_map.json"), "{}", ran.stderr);
        }
        assert_untouched(&before, world.root());
        let record = ["record", "--model", "claude-cli", "--chat", "n", "--session", CLAUDE_ID];
        world.run(&record).ends_with(1);
        assert_eq!(fs_err::read(world.map_path()).unwrap(), text);
    }
}

#[test]
fn a_map_that_is_deeply_nested_is_refused_without_a_crash() {
    let world = World::new();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let middle = if open == "[" { "" } else { "1" };
        world.map(&format!("{}{middle}{}", open.repeat(200_000), close.repeat(200_000)));
        let ran = world.run(&["prune"]);
        assert!(matches!(ran.status, 0 | 1), "{} {}", ran.status, ran.stderr);
    }
}

#[test]
fn a_map_that_is_no_file_is_refused_and_named() {
    let makes: [(&str, Make); 5] = [
        ("folder", |path| fs_err::create_dir(path).unwrap()),
        ("FIFO", make_fifo),
        ("socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
        ("device", |path| fs_err::os::unix::fs::symlink("/dev/zero", path).unwrap()),
        ("FIFO", |path| {
            make_fifo(&path.with_extension("fifo"));
            fs_err::os::unix::fs::symlink(path.with_extension("fifo"), path).unwrap();
        }),
    ];
    let record = ["record", "--model", "claude-cli", "--chat", "n", "--session", CLAUDE_ID];
    for (what, make) in makes {
        let world = World::new();
        world.claude(CLAUDE_ID, 300);
        make(&world.map_path());
        let before = tree_of(world.root());
        for command in [&["prune"][..], &["prune", "--dry-run"], &["resolve", "--model", "claude-cli", "--chat", "a"]] {
            let ran = world.run(command).ends_with(1);
            assert!(ran.stderr.contains("session_map.json"), "{}", ran.stderr);
            assert!(ran.stderr.to_lowercase().contains(&what.to_lowercase()), "not called a {what}: {}", ran.stderr);
        }
        assert_untouched(&before, world.root());
        world.run(&record).ends_with(1);
    }
}

#[test]
fn a_map_over_256_mib_is_refused_unread() {
    let world = World::new();
    let file = fs_err::File::create(world.map_path()).unwrap();
    file.set_len((256 << 20) + 1).unwrap();
    let before = tree_of(world.root());
    let ran = world.run(&["prune"]).ends_with(1);
    assert!(ran.stderr.contains("268435457") && ran.stderr.contains("limit"), "{}", ran.stderr);
    assert_untouched(&before, world.root());
}

#[test]
fn a_map_that_we_may_not_read_is_named() {
    let world = World::new();
    map_of(&world, &[CLAUDE_ID]);
    set_mode(&world.map_path(), 0o000);
    let mut command = as_ordinary_user(&world, &world.command(&["prune"]));
    let before = tree_of(world.root());
    let ran = Ran::of(&mut command).ends_with(1);
    assert!(ran.stderr.contains("session_map.json") && ran.stderr.contains("ermission"), "{}", ran.stderr);
    assert_untouched(&before, world.root());
}

#[test]
fn a_map_that_links_in_a_circle_or_nowhere_is_named() {
    let world = World::new();
    fs_err::os::unix::fs::symlink("session_map.json", world.map_path()).unwrap();
    let ran = world.run(&["prune"]).ends_with(1);
    assert!(ran.stderr.contains("session_map.json"), "{}", ran.stderr);
    fs_err::remove_file(world.map_path()).unwrap();
    fs_err::os::unix::fs::symlink("nowhere", world.map_path()).unwrap();
    let ran = world.run(&["prune"]).ends_with(1);
    assert!(ran.stderr.contains("there is no session map"), "{}", ran.stderr);
}

// Ids.

#[test]
fn ids_that_no_cli_uses_match_nothing_and_are_reported() {
    let world = World::new();
    let long = "x".repeat(10_000);
    // Files that a careless path or pattern would find.
    world.claude(CLAUDE_ID, 300);
    world.file(".claude/escaped.jsonl", "{}", 300);
    world.file(".claude/projects/-work/a/b.jsonl", "{}", 300);
    world.file(".claude/projects/-work/.jsonl", "{}", 300);
    world.file(".claude/projects/-work/*.jsonl", "{}", 300);
    world.file(".claude/projects/-work/[0-9].jsonl", "{}", 300);
    let ids = [
        "../../escaped",
        "../-work/0856b851-1111-4222-8333-0123456789ab",
        "*",
        "0856b851-*",
        "[0-9]",
        "a/b",
        "/etc/passwd",
        "",
        ".",
        "..",
        "-rf",
        "\0",
        "0856b851-1111-4222-8333-0123456789ab\0",
        "0856b851-1111-4222-8333-0123456789ab\n",
        "\u{1b}[2J",
        "\u{202e}evil",
        "$(reboot)",
        "{id}",
        "ünïcödé",
        &long,
    ];
    map_of(&world, &ids);
    let text = world.map_text();
    let ran = world.run(&["prune", "--json", "--missing", "prune"]);
    assert!(matches!(ran.status, 0 | 4), "{ran:?}");
    let found = entries(&ran);
    assert_eq!(found.len(), ids.len());
    for entry in found {
        assert_eq!((&entry["state"], &entry["action"]), (&json!("unknown"), &json!("keep")), "{entry}");
        assert!(entry["reason"].as_str().unwrap().contains("session id"), "{entry}");
        assert_eq!(entry["transcript"], Value::Null, "{entry}");
    }
    assert_eq!(world.map_text(), text);
    let shown = world.run(&["prune", "-v"]).stdout;
    let plain = |c: char| c == '\n' || !c.is_control() && c != '\u{202e}';
    assert!(shown.chars().all(plain), "{shown:?}");
    assert!(shown.len() < 10_000, "a long id is not shown in full");
}

#[test]
fn bad_session_ids_are_not_recorded() {
    let world = World::new();
    world.map("{}");
    let long = "x".repeat(10_000);
    for id in ["../../x", "*", "a/b", "", "..", "-x", "a b", "a\nb", &long] {
        let ran = world.run(&["record", "--model", "claude-cli", "--chat", "a", "--session", id]).ends_with(2);
        assert!(ran.stderr.contains("session"), "{}", ran.stderr);
    }
    assert_eq!(world.map_text(), "{}");
}

#[test]
fn chats_and_models_may_have_any_name() {
    let world = World::new();
    world.claude(CLAUDE_ID, 300);
    let long = "y".repeat(10_000);
    let names = ["../../x", "*", "a/b", "", "\0", "\u{1b}[2J", "\u{202e}x", "\"quoted\\", "😀", "new\nline", &long];
    let chats: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!(CLAUDE_ID))).collect();
    world.map(&json!({"claude-cli": chats, "cl*/../\n": {"a": CLAUDE_ID}}).to_string());
    let ran = world.run(&["prune", "-v"]).ends_with(0);
    assert!(ran.stdout.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{:?}", ran.stdout);
    assert_eq!(world.map_json(), json!({"claude-cli": {}, "cl*/../\n": {}}));
    assert_eq!(world.tombstones().len(), names.len() + 1);
    // A NUL cannot be given on a command line.
    for name in names.iter().filter(|name| !name.contains('\0')) {
        let answer = world.json(&["resolve", "--model", "claude-cli", "--chat", name]);
        assert_eq!((&answer["state"], &answer["session"]), (&json!("pruned"), &json!(CLAUDE_ID)), "{answer}");
    }
    world.run(&["restore", "--all"]).ends_with(0);
    assert_eq!(world.map_json()["claude-cli"].as_object().unwrap(), &chats);
}

// Stores that cannot be looked into.

/// Prunes `claude` chats: one idle, one missing, with missing ones to be pruned at once; and an idle chat of Codex.
fn blind_scene() -> World {
    let world = World::new();
    world.claude(CLAUDE_ID, 300);
    world.file(&format!(".claude/projects/-other/{CLAUDE_ID}x.jsonl"), "{}", 300);
    world.codex(CODEX_ID, 300);
    world.map(&format!(
        r#"{{"claude-cli":{{"idle":"{CLAUDE_ID}","gone":"{MISSING_ID}"}},"codex-cli":{{"other":"{CODEX_ID}"}}}}"#
    ));
    world
}

/// How a folder is looked into: a handful of wanted sessions are asked for by their whole paths, some more by their names
/// in the open folder, and where many are wanted the folder is listed.
const MANNERS: [Manner; 3] = [Manner::ByPath, Manner::ByName, Manner::Listed];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    ByPath,
    ByName,
    Listed,
}

impl Manner {
    /// Adds chats without a session to the end of the map until Claude's folders are looked into in this manner.
    fn set_up(self, world: &World) {
        let count: u32 = match self {
            Self::ByPath => return,
            Self::ByName => 8,
            Self::Listed => 200,
        };
        let none: Value = (0..count).map(|number| (number.to_string(), json!(id(number)))).collect();
        let text = world.map_text();
        world.map(&format!("{}, \"sonnet\": {none}}}", text.strip_suffix('}').unwrap()));
    }
}

const BLIND: [&str; 4] = ["prune", "--json", "--missing", "prune"];

fn notes(ran: &Ran) -> String {
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    document["notes"].to_string()
}

#[test]
fn a_store_that_we_may_not_read_keeps_its_sessions() {
    for folder in [".claude", ".claude/projects"] {
        let world = blind_scene();
        let path = world.home().join(folder);
        let mut command = as_ordinary_user(&world, &world.command(&BLIND));
        set_mode(&path, 0o000);
        let ran = Ran::of(&mut command).ends_with(4);
        set_mode(&path, 0o755);
        assert_eq!(states(&ran), [kept("unknown"), kept("unknown"), pruned("idle")], "{folder}");
        assert!(notes(&ran).contains(folder), "{}", notes(&ran));
        assert_eq!(world.map_json()["claude-cli"], json!({"idle": CLAUDE_ID, "gone": MISSING_ID}));
        let mut quiet = as_ordinary_user(&world, &world.command(&["prune", "-n", "--quiet"]));
        set_mode(&path, 0o000);
        let ran = Ran::of(&mut quiet).ends_with(4);
        set_mode(&path, 0o755);
        assert!(ran.stdout.is_empty() && ran.stderr.contains(path.to_str().unwrap()), "{ran:?}");
    }
}

#[test]
fn a_project_folder_that_we_may_not_read_keeps_what_may_be_in_it() {
    // Even the one without sessions that we know of: it may hold a missing one, or a newer copy of an idle one.
    for (mode, folder) in [(0o000, "-other"), (0o444, "-work"), (0o311, "-other")] {
        // What may be asked for by its whole path need not be listed.
        for manner in MANNERS.into_iter().filter(|manner| mode != 0o311 || *manner != Manner::ByPath) {
            let world = blind_scene();
            manner.set_up(&world);
            let path = world.home().join(".claude/projects").join(folder);
            let mut command = as_ordinary_user(&world, &world.command(&BLIND));
            set_mode(&path, mode);
            let ran = Ran::of(&mut command).ends_with(4);
            set_mode(&path, 0o755);
            let expected = [kept("unknown"), kept("unknown"), pruned("idle")];
            assert_eq!(states(&ran)[..3], expected, "{mode:o} {folder} {manner:?}");
            assert!(notes(&ran).contains(folder), "{}", notes(&ran));
        }
    }
}

#[test]
fn a_project_folder_that_may_be_searched_answers_for_few_sessions_although_it_may_not_be_listed() {
    let world = blind_scene();
    let path = world.home().join(".claude/projects/-other");
    let mut command = as_ordinary_user(&world, &world.command(&BLIND));
    set_mode(&path, 0o311);
    let ran = Ran::of(&mut command).ends_with(0);
    set_mode(&path, 0o755);
    assert_eq!(states(&ran), [pruned("idle"), pruned("missing"), pruned("idle")]);
}

#[test]
fn sub_agents_that_we_may_not_look_at_may_be_at_work() {
    for manner in MANNERS {
        for closed in ["", "/subagents"] {
            let world = blind_scene();
            manner.set_up(&world);
            let folder = format!(".claude/projects/-work/{CLAUDE_ID}");
            world.file(&format!("{folder}/subagents/agent-1.jsonl"), "{}", 1);
            let path = world.home().join(folder + closed);
            let mut command = as_ordinary_user(&world, &world.command(&BLIND));
            set_mode(&path, 0o000);
            let ran = Ran::of(&mut command).ends_with(4);
            set_mode(&path, 0o755);
            assert_eq!(states(&ran)[0], kept("unknown"), "{manner:?} {closed}");
            let reason = entries(&ran)[0]["reason"].to_string();
            assert!(reason.contains("could not look at its sub-agents"), "{manner:?} {closed}: {reason}");
            assert!(reason.contains(path.to_str().unwrap()), "{manner:?} {closed}: {reason}");
            assert!(notes(&ran).contains(CLAUDE_ID), "{}", notes(&ran));
        }
    }
}

#[test]
fn an_audit_says_what_it_could_not_read() {
    let codex_alone = format!(r#"{{"codex-cli":{{"other":"{CODEX_ID}"}}}}"#);
    for folder in [".claude", ".claude/projects", ".claude/projects/-other"] {
        // With the sessions in a map, with others in it, and without one.
        for map in [None, Some(codex_alone.as_str()), Some("")] {
            let world = blind_scene();
            match map {
                Some("") => fs_err::remove_file(world.map_path()).unwrap(),
                Some(text) => _ = world.map(text),
                None => {}
            }
            let path = world.home().join(folder);
            let command = |arguments: &[&str]| as_ordinary_user(&world, &world.command(arguments));
            let (mut as_json, mut as_text) = (command(&["audit", "--json"]), command(&["audit"]));
            let mut quiet = command(&["audit", "--quiet"]);
            set_mode(&path, 0o000);
            let (json, text, quiet) = (Ran::of(&mut as_json), Ran::of(&mut as_text), Ran::of(&mut quiet));
            set_mode(&path, 0o755);
            let document: Value = serde_json::from_str(&json.ends_with(4).stdout).unwrap();
            let provider = |name| document["providers"].as_array().unwrap().iter().find(|row| row["provider"] == name);
            let problem = provider("claude").unwrap()["problems"][0].as_str().unwrap();
            assert!(problem.contains(path.to_str().unwrap()) && problem.contains("denied"), "{folder}: {problem}");
            assert_eq!(provider("codex").unwrap()["problems"], json!([]), "{folder}");
            let text = text.ends_with(4).stdout;
            assert!(text.contains(&format!("note: {problem}")), "{folder}: {text}");
            let quiet = quiet.ends_with(4);
            assert!(quiet.stdout.is_empty() && quiet.stderr.contains(problem), "{folder}: {quiet:?}");
        }
    }
}

#[test]
fn an_audit_names_the_chats_whose_id_it_could_not_read() {
    let world = World::new();
    world.gemini(GEMINI_ID, 600);
    let closed = [world.gemini(CLAUDE_ID, 600), world.codex(CODEX_ID, 600)];
    let mut command = as_ordinary_user(&world, &world.command(&["audit", "--json"]));
    for path in &closed {
        set_mode(path, 0o000);
    }
    let document: Value = serde_json::from_str(&Ran::of(&mut command).ends_with(4).stdout).unwrap();
    for (name, sessions, path) in [("gemini", 1, &closed[0]), ("codex", 0, &closed[1])] {
        let providers = document["providers"].as_array().unwrap();
        let provider = providers.iter().find(|row| row["provider"] == name).unwrap();
        assert_eq!(provider["sessions"].as_array().unwrap().len(), sessions, "{provider}");
        let problems = provider["problems"].as_array().unwrap();
        let problem = problems[0].as_str().unwrap();
        assert!(problem.contains(path.to_str().unwrap()) && problem.contains("denied"), "{problem}");
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}

#[test]
fn a_store_on_a_mount_that_vanished_keeps_its_sessions() {
    let scene = blind_scene();
    let home = scene.home().join(".claude");
    let project = home.join("projects/-work");
    let transcript = format!("projects/-work/{CLAUDE_ID}.jsonl");
    // Folders are asked for by whole paths and relative to the open store.
    let places: [(&str, &str); 8] = [
        (home.to_str().unwrap(), "inject=open,openat:error=ESTALE"),
        (home.to_str().unwrap(), "inject=open,openat:error=ENOTCONN"),
        ("projects", "inject=openat:error=ESTALE"),
        ("projects/-work", "inject=openat:error=EIO"),
        (project.to_str().unwrap(), "inject=getdents64:error=EIO"),
        (project.to_str().unwrap(), "inject=getdents64:error=ESTALE"),
        (project.to_str().unwrap(), "inject=statx:error=ETIMEDOUT"),
        (&transcript, "inject=statx:error=ETIMEDOUT"),
    ];
    for (place, inject) in places {
        let text = scene.map_text();
        if place != transcript {
            Manner::ByName.set_up(&scene);
        }
        let Some(mut command) = strace(&["-P", place, "-e", inject], &scene.command(&BLIND)) else { return };
        let ran = Ran::of(&mut command).ends_with(4);
        let found = states(&ran);
        assert_eq!(found[1], kept("unknown"), "{place} {inject}: {ran:?}");
        assert!(found[0] == kept("unknown") || inject.contains("getdents64"), "{place} {inject}: {ran:?}");
        assert_eq!(found[2], pruned("idle"), "{place} {inject}");
        assert!(notes(&ran).contains(".claude"), "{}", notes(&ran));
        scene.map(&text);
    }
}

#[test]
fn a_store_that_is_a_dangling_link_keeps_its_sessions() {
    for folder in [".claude", ".claude/projects"] {
        let world = blind_scene();
        let path = world.home().join(folder);
        fs_err::rename(&path, world.root().join("unmounted")).unwrap();
        fs_err::os::unix::fs::symlink(world.root().join("nowhere"), &path).unwrap();
        let ran = world.run(&BLIND);
        let found = states(&ran);
        for state in &found[..2] {
            assert_eq!(state.1, "keep", "{folder}: {ran:?}");
        }
        assert_eq!(world.map_json()["claude-cli"], json!({"idle": CLAUDE_ID, "gone": MISSING_ID}));
    }
}

#[test]
fn a_store_that_is_a_file_or_a_fifo_keeps_its_sessions() {
    for fifo in [false, true] {
        let world = blind_scene();
        let path = world.home().join(".claude/projects");
        fs_err::rename(&path, world.root().join("aside")).unwrap();
        if fifo {
            make_fifo(&path);
        } else {
            fs_err::write(&path, "").unwrap();
        }
        let ran = world.run(&BLIND);
        assert_eq!(world.map_json()["claude-cli"], json!({"idle": CLAUDE_ID, "gone": MISSING_ID}), "{ran:?}");
    }
}

// Stores in motion.

#[test]
fn a_transcript_that_goes_between_listing_and_stat_is_missing_and_no_error() {
    let world = World::new();
    let files = [world.claude(CLAUDE_ID, 300), world.codex(CODEX_ID, 300), world.gemini(GEMINI_ID, 300)];
    let names = files.each_ref().map(|path| path.file_name().unwrap().to_str().unwrap());
    for manner in MANNERS {
        world.map(&format!(
            r#"{{"claude-cli":{{"a":"{CLAUDE_ID}"}},"codex-cli":{{"b":"{CODEX_ID}"}},"gemini-cli":{{"c":"{GEMINI_ID}"}}}}"#
        ));
        manner.set_up(&world);
        let missing = || kept("missing");
        for (calls, expected) in [
            ("statx,newfstatat", [missing(), missing(), missing()]),
            // Gemini's is opened first, to see whose it is; the others only for their working folder.
            ("openat", [pruned("idle"), pruned("idle"), missing()]),
        ] {
            let inject = format!("inject={calls}:error=ENOENT");
            let by_path = format!("projects/-work/{CLAUDE_ID}.jsonl");
            let paths = names.into_iter().chain([by_path.as_str()]).flat_map(|name| ["-P", name]);
            let options: Vec<&str> = paths.chain(["-e", &inject]).collect();
            let command = world.command(&["prune", "--dry-run", "--json"]);
            let Some(mut command) = strace(&options, &command) else { return };
            let ran = Ran::of(&mut command).ends_with(0);
            assert_eq!(states(&ran)[..3], expected, "{calls} {manner:?}");
        }
    }
}

#[test]
fn transcripts_and_folders_that_come_and_go_during_the_run_are_no_error() {
    let world = World::new();
    world.claude(CLAUDE_ID, 300);
    map_of(&world, &[CLAUDE_ID]);
    let running = AtomicBool::new(true);
    let path = world.home().join(".claude/projects/-work");
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while running.load(Ordering::Relaxed) {
                fs_err::rename(&path, path.with_file_name("aside")).unwrap();
                fs_err::rename(path.with_file_name("aside"), &path).unwrap();
                fs_err::remove_file(path.join(format!("{CLAUDE_ID}.jsonl"))).unwrap();
                world.claude(CLAUDE_ID, 300);
            }
        });
        let runs: Vec<_> = (0..30).map(|_| world.run(&["prune", "--dry-run", "--json"])).collect();
        // Before anything can fail: the other thread would go on for ever.
        running.store(false, Ordering::Relaxed);
        for ran in runs {
            let ran = ran.ends_with(0);
            // Just written, and not set back yet, it is newer than the run's time: unknown.
            assert!(["idle", "missing", "active", "unknown"].contains(&&*states(&ran)[0].0), "{ran:?}");
        }
    });
}

// Strange things in stores.

#[test]
fn names_that_are_no_utf8_are_names() {
    let world = World::new();
    let project = world.home().join(".claude/projects").join(OsStr::from_bytes(b"-w\xff\xfe"));
    fs_err::create_dir_all(&project).unwrap();
    let transcript = project.join(format!("{CLAUDE_ID}.jsonl"));
    fs_err::write(&transcript, "{\"cwd\":\"/work\"}\n").unwrap();
    touch(&transcript, 300);
    fs_err::write(project.join(OsStr::from_bytes(b"\xc3\x28.jsonl")), "{}").unwrap();
    fs_err::write(project.join(OsStr::from_bytes(&[b"\xff", CLAUDE_ID.as_bytes(), b".jsonl"].concat())), "{}").unwrap();
    map_of(&world, &[CLAUDE_ID]);
    world.run(&["audit", "-v"]).ends_with(0);
    world.run(&["audit", "-v", "--json"]).ends_with(0);
    let ran = world.run(&["prune", "--json"]).ends_with(0);
    assert_eq!(states(&ran), [pruned("idle")]);
    // The tombstone's path is text; the session is found all the same.
    let answer = world.json(&["resolve", "--model", "claude-cli", "--chat", "0"]);
    assert_eq!((&answer["state"], &answer["advice"]), (&json!("pruned"), &json!("resume")), "{answer}");
}

#[test]
fn a_tombstone_whose_path_is_no_text_is_not_taken_for_one_without_a_transcript() {
    let world = World::new();
    let project = world.home().join(".claude/projects").join(OsStr::from_bytes(b"-w\xff"));
    fs_err::create_dir_all(&project).unwrap();
    let transcript = project.join(format!("{CLAUDE_ID}.jsonl"));
    fs_err::write(&transcript, "{}\n").unwrap();
    touch(&transcript, 300);
    world.codex(CODEX_ID, 300);
    world.file(".config/session-sweep/config.toml", "[map]\ntombstones = \"never\"\n", 0);
    map_of(&world, &[CLAUDE_ID]);
    world.run(&["prune"]).ends_with(0);
    for time in ["2026-12-01T12:00:00Z", "2027-01-15T12:00:00Z", "2027-03-01T12:00:00Z"] {
        world.map(&format!(r#"{{"codex-cli": {{"other": "{CODEX_ID}"}}}}"#));
        Ran::of(&mut world.command_at_present(&["prune", "--at", time])).ends_with(0);
    }
    assert!(world.tombstones().iter().any(|grave| grave["session"] == CLAUDE_ID));
}

#[test]
fn links_in_circles_end() {
    let world = World::new();
    world.claude(CLAUDE_ID, 300);
    world.codex(CODEX_ID, 300);
    world.gemini(GEMINI_ID, 300);
    let link = |target: &str, at: &str| fs_err::os::unix::fs::symlink(target, world.home().join(at)).unwrap();
    link(".", ".claude/projects/here");
    link("..", ".claude/projects/up");
    link("itself", ".claude/projects/itself");
    link("-work", ".claude/projects/again");
    link(&format!("{MISSING_ID}.jsonl"), &format!(".claude/projects/-work/{MISSING_ID}.jsonl"));
    link("../../..", ".codex/sessions/2026/11/20/up");
    link("..", ".codex/sessions/2026/11/21");
    link("../..", ".codex/sessions/2027");
    link("..", ".gemini/tmp/up");
    world.map(&format!(
        r#"{{"claude-cli":{{"a":"{CLAUDE_ID}","m":"{MISSING_ID}"}},"codex-cli":{{"b":"{CODEX_ID}"}},"gemini-cli":{{"c":"{GEMINI_ID}"}}}}"#
    ));
    world.run(&["audit", "-v"]).ends_with(0);
    let ran = world.run(&["prune", "--json"]).ends_with(0);
    assert_eq!(states(&ran), [pruned("idle"), kept("missing"), pruned("idle"), pruned("idle")]);
    for (model, chat) in [("claude-cli", "a"), ("codex-cli", "b"), ("gemini-cli", "c")] {
        assert_eq!(world.json(&["resolve", "--model", model, "--chat", chat])["state"], "pruned");
    }
}

/// Where each CLI would have a transcript of a session that it does not have.
fn transcripts(world: &World) -> [PathBuf; 5] {
    [
        format!(".claude/projects/-work/{MISSING_ID}.jsonl"),
        format!(".codex/sessions/2026/11/20/rollout-2026-11-20T09-27-49-{MISSING_ID}.jsonl"),
        format!(".codex/sessions/2026/11/20/rollout-2026-11-20T09-27-49-{MISSING_ID}.jsonl.zst"),
        format!(".gemini/tmp/work/chats/session-2026-11-20T09-28-{}.jsonl", &MISSING_ID[..8]),
        format!(".qwen/projects/-work/chats/{MISSING_ID}.jsonl"),
    ]
    .map(|path| world.home().join(path))
}

#[test]
fn what_is_called_like_a_transcript_and_is_no_file_does_not_count_or_hang() {
    let makes: [Make; 6] = [
        make_fifo,
        |path| fs_err::create_dir(path).unwrap(),
        |path| fs_err::os::unix::fs::symlink("/dev/zero", path).unwrap(),
        |path| fs_err::os::unix::fs::symlink("/dev/tty", path).unwrap(),
        |path| drop(std::os::unix::net::UnixListener::bind(short(path)).unwrap()),
        |path| {
            let fifo = path.with_extension("fifo");
            make_fifo(&fifo);
            fs_err::os::unix::fs::symlink(fifo, path).unwrap();
        },
    ];
    for (number, make) in makes.into_iter().enumerate() {
        let world = World::new();
        // The stores are there, with something in them.
        world.claude(CLAUDE_ID, 5);
        world.codex(CODEX_ID, 5);
        world.gemini(GEMINI_ID, 5);
        for path in transcripts(&world) {
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            make(&path);
        }
        world.map(&format!(
            r#"{{"claude-cli":{{"a":"{MISSING_ID}"}},"codex-cli":{{"b":"{MISSING_ID}"}},"gemini-cli":{{"c":"{MISSING_ID}"}},"qwen":{{"d":"{MISSING_ID}"}}}}"#
        ));
        for activity in ["mtime", "content"] {
            let ran = world.run(&["prune", "--dry-run", "--json", "--activity", activity]);
            assert!(matches!(ran.status, 0 | 4), "{number}: {ran:?}");
            for (state, action) in states(&ran) {
                assert!(["missing", "unknown"].contains(&&*state) && action == "keep", "{number}: {ran:?}");
            }
        }
        world.run(&["audit", "-v"]);
        for (model, chat) in [("claude-cli", "a"), ("codex-cli", "b"), ("gemini-cli", "c"), ("qwen", "d")] {
            let answer = world.json(&["resolve", "--model", model, "--chat", chat]);
            assert_eq!(answer["advice"], "replay", "{number}: {answer}");
        }
    }
}

/// A path to the same place that fits into a socket's address.
fn short(path: &Path) -> PathBuf {
    let folder = std::mem::ManuallyDrop::new(fs_err::File::open(path.parent().unwrap()).unwrap());
    let fd = std::os::fd::AsRawFd::as_raw_fd(&*folder).to_string();
    Path::new("/proc/self/fd").join(fd).join(path.file_name().unwrap())
}

#[test]
fn fifos_where_other_files_are_expected_do_not_hang() {
    let world = World::new();
    world.claude(CLAUDE_ID, 300);
    world.codex(CODEX_ID, 300);
    let chats = world.gemini(GEMINI_ID, 300);
    let home = world.home();
    fs_err::remove_file(home.join(".gemini/tmp/work/.project_root")).unwrap();
    for path in [
        ".gemini/tmp/work/.project_root",
        ".gemini/settings.json",
        ".claude/sessions/123.json",
        ".claude/settings.json",
        ".local/share/opencode/opencode.db",
    ] {
        make_fifo(&home.join(path));
    }
    make_fifo(&home.join(format!(".codex/thread-writer-locks/{CODEX_ID}.lock")));
    make_fifo(&chats.with_file_name(GEMINI_ID).join("agent.jsonl"));
    make_fifo(&home.join(format!(".claude/projects/-work/{CLAUDE_ID}/subagents/agent-1.jsonl")));
    make_fifo(&home.join(".claude/projects/-work/agent-2.jsonl"));
    world.map(&format!(
        r#"{{"claude-cli":{{"a":"{CLAUDE_ID}"}},"codex-cli":{{"b":"{CODEX_ID}"}},"gemini-cli":{{"c":"{GEMINI_ID}"}},"opencode":{{"d":"ses_1"}}}}"#
    ));
    for activity in ["mtime", "content"] {
        let ran = world.run(&["prune", "--dry-run", "--json", "--activity", activity]);
        assert!(matches!(ran.status, 0 | 4), "{ran:?}");
    }
    let ran = world.run(&["audit", "-v"]);
    assert!(matches!(ran.status, 0 | 4), "{ran:?}");
    let ran = world.run(&["prune"]);
    assert!(matches!(ran.status, 0 | 4), "{ran:?}");
    for (model, chat) in [("claude-cli", "a"), ("codex-cli", "b"), ("gemini-cli", "c"), ("opencode", "d")] {
        world.run(&["resolve", "--model", model, "--chat", chat]).ends_with(0);
    }
}

#[test]
fn empty_files_are_files() {
    let world = World::new();
    for path in transcripts(&world) {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, "").unwrap();
        touch(&path, 300);
    }
    fs_err::remove_file(&transcripts(&world)[2]).unwrap();
    world.file(".claude/sessions/123.json", "", 1);
    world.map(&format!(
        r#"{{"claude-cli":{{"a":"{MISSING_ID}"}},"codex-cli":{{"b":"{MISSING_ID}"}},"gemini-cli":{{"c":"{MISSING_ID}"}},"qwen":{{"d":"{MISSING_ID}"}}}}"#
    ));
    fs_err::write(world.bridge().join("session_map.tombstones.jsonl"), "").unwrap();
    fs_err::write(world.bridge().join("session_map.lock"), "").unwrap();
    // Whose the empty chat of Gemini is cannot be known.
    let ran = world.run(&["prune", "--json", "--missing", "prune"]).ends_with(4);
    assert_eq!(states(&ran), [pruned("idle"), pruned("idle"), kept("unknown"), pruned("idle")]);
    let answer = world.json(&["resolve", "--model", "claude-cli", "--chat", "a"]);
    assert_eq!(answer["advice"], "replay", "an empty transcript has nothing to resume: {answer}");
    for text in ["{}", "{\"claude-cli\": {}}"] {
        world.map(text);
        world.run(&["prune"]).ends_with(0);
        assert_eq!(world.map_text(), text);
    }
}

#[test]
fn a_list_without_a_mapping_is_no_map() {
    let world = World::new();
    world.claude(CLAUDE_ID, 300);
    let record = ["record", "--model", "claude-cli", "--chat", "a", "--session", CLAUDE_ID];
    for text in ["[1,2]", "[[]]", "[[\"a\"]]", "[[\"a\", 1]]", "[{\"sessionId\": \"x\"}]"] {
        world.map(text);
        for arguments in [&["prune"][..], &["prune", "--dry-run"], &["audit"], &["restore", "--all"], &record] {
            let ran = world.run(arguments).ends_with(1);
            assert!(ran.stderr.contains("it holds a list"), "{text} {arguments:?}: {}", ran.stderr);
            assert!(ran.stderr.contains("nothing was touched"), "{text} {arguments:?}: {}", ran.stderr);
            assert_eq!(world.map_text(), text);
        }
    }
    // With a pair in it it is one, and so is what a prune leaves of that.
    world.map("[]").run(&["prune"]).ends_with(0);
    world.map(&format!("[[\"a\", {{\"sessionId\": \"{CLAUDE_ID}\"}}]]"));
    let document = world.json(&["prune", "--dry-run"]);
    assert_eq!(document["summary"]["idle"], 1, "{document}");
}

#[test]
fn a_store_with_100_000_junk_names_is_looked_through() {
    let world = World::new();
    world.claude(CLAUDE_ID, 300);
    let project = world.home().join(".claude/projects/-work");
    for number in 0..100_000_u32 {
        let name = match number % 4 {
            0 => format!("{number:08x}-1111-4222-8333-0123456789ab.jsonl"),
            1 => format!("{number} junk \u{1b}[31m"),
            2 => format!("{CLAUDE_ID}.{number}.jsonl"),
            _ => format!("agent_{number}.tmp"),
        };
        std::fs::File::create(project.join(name)).unwrap();
    }
    // Few are asked for by name, many are listed.
    for count in [1_u32, 40_000] {
        let mut ids: Vec<String> =
            (1..count).map(|number| format!("{number:08x}-ffff-4222-8333-0123456789ab")).collect();
        ids.push(CLAUDE_ID.to_owned());
        map_of(&world, &ids.iter().map(String::as_str).collect::<Vec<_>>());
        let document = world.json(&["prune", "--dry-run"]);
        assert_eq!(document["summary"]["idle"], 1);
        assert_eq!(document["summary"]["missing"], count - 1);
    }
    world.run(&["audit"]).ends_with(0);
}

#[test]
fn sub_agents_that_cannot_be_read_are_no_matter_for_sessions_of_other_projects() {
    let world = World::new();
    let elsewhere = format!(".claude/projects/-other/{}.jsonl", id(1));
    world.claude(CLAUDE_ID, 300);
    world.file(&elsewhere, "{}\n", 300);
    // Beside the transcripts, and in the time in question: any idle session's of that folder.
    let torn = ["1", "2"].map(|name| world.file(&format!(".claude/projects/-work/agent-{name}.jsonl"), "{", 1));
    for manner in MANNERS {
        world.map(&json!({"claude-cli": {"a": CLAUDE_ID, "b": id(1)}}).to_string());
        manner.set_up(&world);
        let ran = world.run(&["prune", "--dry-run", "--json"]).ends_with(4);
        assert_eq!(states(&ran)[..2], [kept("unknown"), pruned("idle")], "{manner:?}");
        for path in &torn {
            assert!(notes(&ran).contains(path.to_str().unwrap()), "{manner:?}: {}", notes(&ran));
        }
    }
}

#[test]
fn where_no_threads_can_be_made_the_work_is_done_without() {
    let world = blind_scene();
    let run = |arguments: &[&str]| {
        let mut command = without_threads(&world, &world.command(arguments))?;
        Some(Ran::of(&mut command).ends_with(0).stdout)
    };
    let Some(preview) = run(&["prune", "-n"]) else { return };
    assert_eq!(preview, world.run(&["prune", "-n"]).stdout);
    assert_eq!(run(&["prune"]).unwrap(), preview.replace("would prune", "pruned").replace("would be pruned", "pruned"));
    assert_eq!(world.tombstones().len(), 2);
}

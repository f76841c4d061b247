//! Prunes beside a bridge that keeps the map in memory: through its own door, and without it.

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::{FileType, FlockOperation, Mode, flock};
use serde_json::{Value, json};

use crate::left_behind::{id, start_ticks};
use crate::test_bridge::{Bridge, Instead};
use crate::world::{CLAUDE_ID, CODEX_ID, Ran, World, touch, wait_until};

/// Two idle chats, an active one, and the bridge that keeps them.
fn scene() -> (World, Bridge) {
    let mut world = World::new();
    world.claude(CLAUDE_ID, 300);
    world.claude(&id(1), 400);
    world.codex(CODEX_ID, 5);
    let map = json!({"claude-cli": {"idle": CLAUDE_ID, "old": id(1)}, "codex-cli": {"active": CODEX_ID}});
    world.map(&map.to_string());
    let bridge = Bridge::start(world.map_path());
    world.variable("SESSION_SWEEP_BRIDGE_URL", bridge.url());
    (world, bridge)
}

/// The scene's mappings after a prune.
fn pruned() -> Value {
    json!({"claude-cli": {}, "codex-cli": {"active": CODEX_ID}})
}

/// The run ended with 1 and a message, and neither the bridge nor its files changed.
#[track_caller]
fn nothing_happened(world: &World, before: &str, ran: Ran, message: &str) {
    let ran = ran.ends_with(1);
    assert!(ran.stderr.contains(message), "{ran:?}");
    assert!(ran.stderr.contains("nothing was written"), "{ran:?}");
    assert_eq!((world.map_text().as_str(), world.tombstones()), (before, vec![]));
}

#[test]
fn idle_mappings_go_through_the_bridges_door_and_stay_gone() {
    let (world, bridge) = scene();
    let ran = world.run(&["prune"]).ends_with(0);
    assert!(ran.stdout.contains("2 pruned") && ran.stdout.contains("was asked"), "{ran:?}");
    assert_eq!((bridge.memory(), world.map_json()), (pruned(), pruned()));
    assert_eq!(world.tombstones().len(), 2);
    bridge.set("codex-cli", "another", &id(2));
    assert_eq!(world.map_json()["claude-cli"], json!({}));
    assert_eq!(bridge.requests().last().unwrap(), "GET /sessions");
}

#[test]
fn restoring_beside_a_running_bridge_says_that_it_does_not_last() {
    let (world, bridge) = scene();
    world.run(&["prune"]).ends_with(0);
    let ran = world.run(&["restore", "--all"]).ends_with(0);
    assert!(ran.stderr.contains("restart it now"), "{ran:?}");
    drop(bridge);
    let ran = world.run(&["restore", "--all"]).ends_with(0);
    assert_eq!(ran.stderr, "");
}

#[test]
fn the_bridges_own_list_counts_and_not_its_file() {
    let (world, bridge) = scene();
    world.map(r#"{"claude-cli": {}}"#);
    let report = world.json(&["prune", "--dry-run"]);
    assert_eq!((&report["summary"]["checked"], &report["summary"]["pruned"]), (&json!(3), &json!(2)));
    assert_eq!(report["bridge"], json!({"url": bridge.url(), "up": true}));
    assert_eq!(world.json(&["audit"])["prune"]["summary"], report["summary"]);
    assert_eq!(world.tombstones(), Vec::<Value>::new());
    let real = world.json(&["prune"]);
    assert_eq!((&real["entries"], &real["summary"]), (&report["entries"], &report["summary"]));
    assert_eq!(bridge.memory(), pruned());
}

#[test]
fn each_mapping_is_buried_before_the_bridge_is_asked() {
    let (world, bridge) = scene();
    let tombstones = world.bridge().join("session_map.tombstones.jsonl");
    bridge.play(move |request| {
        let buried = fs_err::read_to_string(&tombstones).unwrap_or_default().contains(CLAUDE_ID);
        (request.starts_with("DELETE") && !buried).then(|| Instead::Answer(500, String::new()))
    });
    world.run(&["prune"]).ends_with(0);
    assert_eq!(bridge.memory(), pruned());
}

#[test]
fn a_bridge_that_is_down_leaves_its_file_to_us() {
    let mut world = scene().0;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.variable("SESSION_SWEEP_BRIDGE_URL", format!("http://{free}"));
    let ran = world.run(&["prune"]).ends_with(0);
    assert!(ran.stdout.contains("the bridge is down, and its file counts"), "{ran:?}");
    assert_eq!(world.map_json(), pruned());
}

#[test]
fn localhost_is_looked_for_at_both_of_its_addresses() {
    let (mut world, bridge) = scene();
    let port = bridge.url().rsplit_once(':').unwrap().1.to_owned();
    world.variable("SESSION_SWEEP_BRIDGE_URL", format!("http://localhost:{port}/"));
    assert_eq!(world.json(&["prune"])["bridge"]["up"], true);
    assert_eq!(bridge.memory(), pruned());
}

#[test]
fn a_first_answer_that_is_not_understood_changes_nothing() {
    let (world, bridge) = scene();
    let before = world.map_text();
    let answers = [
        (500, "{}", "status 500"),
        (404, "{}", "status 404"),
        (401, "{}", "set bridge.token_file"),
        (302, "{}", "really listens"),
        (200, "<html>", "no JSON object with `sessions`"),
        (200, "{}", "no JSON object with `sessions`"),
        (200, r#" [{"claude-cli": {}}]"#, "no JSON object with `sessions`"),
        (200, r#"{"sessions": 3}"#, "not understood"),
        (200, r#"{"sessions": {"a": {"b": "x", "b": "y"}}}"#, "not understood"),
        (200, "", "no JSON object with `sessions`"),
    ];
    for (status, body, message) in answers {
        bridge.play(move |_| Some(Instead::Answer(status, body.to_owned())));
        for command in ["prune", "sweep"] {
            nothing_happened(&world, &before, world.run(&[command]), message);
        }
    }
    bridge.play(|_| Some(Instead::HangUp));
    nothing_happened(&world, &before, world.run(&["prune"]), "did not answer GET /sessions");
}

#[test]
fn a_bridge_that_hangs_is_not_taken_for_one_that_is_down() {
    let (mut world, bridge) = scene();
    let before = world.map_text();
    world.variable("SESSION_SWEEP_BRIDGE_TIMEOUT", "1s");
    bridge.play(|_| Some(Instead::Silence));
    nothing_happened(&world, &before, world.run(&["prune"]), "did not answer GET /sessions");
}

#[test]
fn an_answer_that_never_ends_is_not_waited_for() {
    let (mut world, bridge) = scene();
    let before = world.map_text();
    world.variable("SESSION_SWEEP_BRIDGE_TIMEOUT", "1s");
    bridge.play(|_| Some(Instead::Trickle));
    nothing_happened(&world, &before, world.run(&["prune"]), "did not answer GET /sessions");
}

#[test]
fn a_bridge_that_accepts_no_connection_in_time_leaves_its_file_to_us() {
    let mut world = scene().0;
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&full, 0).unwrap();
    let address = full.local_addr().unwrap();
    // As long as there is room, somebody is let in.
    let guests: Vec<_> =
        std::iter::from_fn(|| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()).collect();
    world.variable("SESSION_SWEEP_BRIDGE_URL", format!("http://{address}"));
    world.variable("SESSION_SWEEP_BRIDGE_TIMEOUT", "1s");
    let ran = world.run(&["prune"]).ends_with(0);
    assert!(ran.stdout.contains("nobody accepts a connection"), "{ran:?}");
    assert_eq!(world.map_json(), pruned());
    drop((full, guests));
}

#[test]
fn what_was_asked_without_an_answer_keeps_its_tombstone_since_it_may_still_go() {
    for status in [202, 302, 500, 503] {
        let (world, bridge) = scene();
        bridge.play(move |request| request.contains("/old").then(|| Instead::Answer(status, String::new())));
        let ran = world.run(&["prune"]).ends_with(1);
        assert!(ran.stdout.contains("1 pruned"), "{ran:?}");
        let told = "1 had been removed by then; of 1 it is not known";
        assert!(ran.stderr.contains(&format!("status {status}")) && ran.stderr.contains(told), "{ran:?}");
        assert_eq!(bridge.memory()["claude-cli"], json!({"old": id(1)}));
        // The bridge does it a moment later.
        bridge.play(|_| None);
        bridge.forget("claude-cli", "old");
        let answer = world.json(&["resolve", "--model", "claude-cli", "--chat", "old"]);
        assert_eq!((&answer["state"], &answer["session"]), (&json!("pruned"), &json!(id(1))));
    }
}

#[test]
fn a_bridge_that_breaks_off_leaves_a_tombstone_of_what_it_was_asked_for() {
    let (world, bridge) = scene();
    let mut asked = false;
    bridge.play(move |request| {
        asked |= request.starts_with("DELETE");
        asked.then_some(Instead::HangUp)
    });
    let ran = world.run(&["prune"]).ends_with(1);
    assert!(ran.stderr.contains("0 had been removed by then; of 2 it is not known"), "{ran:?}");
    assert_eq!(world.tombstones().len(), 2);
    // That it is listed again is nobody's writing back.
    bridge.play(|_| None);
    assert_eq!(world.json(&["prune", "--dry-run"])["summary"]["written_back"], 0);
}

#[test]
fn an_older_tombstone_of_what_stays_is_not_taken_out() {
    let (world, bridge) = scene();
    world.run(&["prune"]).ends_with(0);
    let buried = world.tombstones();
    bridge.set("claude-cli", "old", &id(1));
    bridge.play(|request| request.starts_with("DELETE").then(|| Instead::Answer(400, "{}".to_owned())));
    let ran = world.run_at("2026-11-20T13:00:00Z", &["prune"]).ends_with(4);
    assert!(ran.stdout.contains("a mapping that stays: chat `old`"), "{ran:?}");
    assert_eq!(world.tombstones(), buried);
}

/// So many idle chats that they are removed in more than one go.
const MANY: u32 = 140;

fn many() -> (World, Bridge) {
    let mut world = World::new();
    (0..MANY).for_each(|number| drop(world.claude(&id(number), 300)));
    let chats: serde_json::Map<String, Value> =
        (0..MANY).map(|number| (format!("chat {number:03}"), id(number).into())).collect();
    world.map(&json!({"claude-cli": chats, "codex-cli": {}}).to_string());
    let bridge = Bridge::start(world.map_path());
    world.variable("SESSION_SWEEP_BRIDGE_URL", bridge.url());
    (world, bridge)
}

#[test]
fn what_changes_while_others_are_removed_is_left_alone() {
    let (world, bridge) = many();
    let transcript = |number| world.home().join(format!(".claude/projects/-work/{}.jsonl", id(number)));
    let (used, used_at_once) = (transcript(138), transcript(20));
    let mut lists = 0;
    bridge.meddle(move |request, memory| {
        lists += u32::from(request.starts_with("GET"));
        if lists == 3 && request.starts_with("GET") {
            memory["claude-cli"]["chat 137"] = CODEX_ID.into();
            touch(&used, 0);
            // A slow bridge: longer than what was seen counts as fresh.
            std::thread::sleep(Duration::from_millis(80));
        } else if request.contains("chat%20010") {
            // In the same go, moments before its turn.
            touch(&used_at_once, 0);
        }
        None
    });
    let report = world.json(&["prune"]);
    assert_eq!(report["summary"]["pruned"], MANY - 3);
    let kept = json!({"chat 020": id(20), "chat 137": CODEX_ID, "chat 138": id(138)});
    assert_eq!(bridge.memory()["claude-cli"], kept);
    assert!(
        !bridge.requests().iter().any(|request| ["020?", "137?", "138?"].iter().any(|chat| request.contains(chat)))
    );
    assert_eq!(world.tombstones().len(), MANY as usize - 3);
}

#[test]
fn a_session_that_is_opened_while_others_are_removed_is_left_alone() {
    let (mut world, bridge) = many();
    world.variable("SESSION_SWEEP_BRIDGE_TIMEOUT", "30s");
    let pid = world.sleeper();
    world.claude_record(pid, &id(139), start_ticks(pid));
    let record = world.home().join(format!(".claude/sessions/{pid}.json"));
    let aside = world.root().join("record");
    fs_err::rename(&record, &aside).unwrap();
    let mut lists = 0;
    bridge.play(move |request| {
        lists += u32::from(request.starts_with("GET"));
        if lists == 3 && request.starts_with("GET") {
            fs_err::rename(&aside, &record).unwrap();
            // From five seconds on, not only the transcripts are looked at again.
            std::thread::sleep(Duration::from_millis(5_100));
        }
        None
    });
    assert_eq!(world.json(&["prune"])["summary"]["pruned"], MANY - 1);
    assert_eq!(bridge.memory()["claude-cli"], json!({"chat 139": id(139)}));
}

#[test]
fn a_lock_that_somebody_takes_in_between_is_waited_for_whatever_was_said() {
    let (world, bridge) = many();
    let path = world.bridge().join("session_map.lock");
    let (send, receive) = std::sync::mpsc::channel();
    let mut first = true;
    bridge.play(move |request| {
        if request.starts_with("DELETE") && std::mem::take(&mut first) {
            let lock = fs_err::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            flock(&lock, FlockOperation::LockExclusive).unwrap();
            send.send(lock).unwrap();
        }
        None
    });
    let other = std::thread::spawn(move || {
        let Ok(lock) = receive.recv_timeout(Duration::from_secs(30)) else { return };
        // For as long as the rest of the go takes, and longer.
        std::thread::sleep(Duration::from_millis(500));
        drop(lock);
    });
    let report = world.json(&["prune", "--wait", "never"]);
    other.join().unwrap();
    assert_eq!(report["summary"]["pruned"], MANY);
}

#[test]
fn what_follows_a_prune_follows_also_where_it_stopped_half_way() {
    let (mut world, bridge) = scene();
    world.variable("PATH", std::env::var_os("PATH").unwrap());
    let told = world.root().join("told");
    let command = format!("cat > '{}'", told.display());
    bridge.play(|request| request.contains("/old").then(|| Instead::Answer(500, String::new())));
    world.run(&["prune", "--post-prune", &command]).ends_with(1);
    let report: Value = serde_json::from_str(&fs_err::read_to_string(&told).unwrap()).unwrap();
    assert_eq!(report["summary"]["pruned"], 1);
    bridge.play(|_| None);
    world.run(&["sweep", "--post-prune", &command]).ends_with(0);
    assert!(fs_err::read_to_string(&told).unwrap().contains("\"up\":true"));
}

#[test]
fn without_a_folder_for_tombstones_nothing_is_asked_for() {
    let (world, bridge) = scene();
    let ran = world.run(&["prune", "--dir", "/nowhere/at/all"]).ends_with(1);
    assert!(ran.stderr.contains("there is no folder /nowhere/at/all") && ran.stderr.contains("map.dir"), "{ran:?}");
    assert!(!bridge.requests().iter().any(|request| request.starts_with("DELETE")));
}

#[test]
fn the_configuration_file_names_the_bridge_too() {
    let (mut world, bridge) = scene();
    world.variable("SESSION_SWEEP_BRIDGE_URL", "");
    world.run(&["config", "set", "bridge.url", &bridge.url()]).ends_with(0);
    world.run(&["sweep"]).ends_with(0);
    assert_eq!(bridge.memory(), pruned());
}

#[test]
fn a_flat_list_holds_chats_of_claude() {
    let (world, bridge) = scene();
    let mut removed = false;
    bridge.play(move |request| {
        removed |= request == "DELETE /sessions/idle?model=claude-cli";
        let chats = if removed { json!({}) } else { json!({"idle": CLAUDE_ID}) };
        let list = || json!({ "sessions": chats }).to_string();
        Some(Instead::Answer(200, if request.starts_with("GET") { list() } else { String::new() }))
    });
    let report = world.json(&["prune"]);
    assert_eq!(report["summary"]["pruned"], 1, "{report} {:?}", bridge.requests());
    assert_eq!(world.tombstones()[0]["place"], "flat");
}

#[test]
fn no_request_stands_for_more_than_one_mapping() {
    let (world, bridge) = scene();
    bridge.play(|request| {
        let list = json!({"sessions": {"": {"idle": CLAUDE_ID}, "codex-cli": {"idle": CODEX_ID}}});
        request.starts_with("GET").then(|| Instead::Answer(200, list.to_string()))
    });
    world.run(&["prune"]).ends_with(4);
    assert!(!bridge.requests().iter().any(|request| request.starts_with("DELETE")), "{:?}", bridge.requests());
}

#[test]
fn a_bridge_that_says_yes_and_does_nothing_is_found_out() {
    let (world, bridge) = scene();
    for status in [200, 404, 400] {
        bridge.play(move |request| request.starts_with("DELETE").then(|| Instead::Answer(status, "{}".to_owned())));
        let ran = world.run(&["prune"]).ends_with(4);
        assert!(
            ran.stdout.contains("was asked to remove 2 mappings that stay") && ran.stdout.contains("0 pruned"),
            "{ran:?}"
        );
        assert_eq!(world.tombstones(), Vec::<Value>::new());
    }
    assert_ne!(bridge.memory(), pruned());
}

#[test]
fn what_is_gone_already_is_no_failure() {
    let (world, bridge) = scene();
    let mut lists = 0;
    // It goes between our last look and our request.
    bridge.play(move |request| {
        lists += u32::from(request.starts_with("GET"));
        (request.starts_with("DELETE") && lists == 2)
            .then(|| Instead::Answer(404, String::new()))
            .or_else(|| (lists > 2).then(|| Instead::Answer(200, r#"{"sessions": {"claude-cli": {}}}"#.to_owned())))
    });
    let ran = world.run(&["prune"]).ends_with(0);
    assert!(ran.stdout.contains("2 pruned"), "{ran:?}");
}

#[test]
fn a_chat_that_was_taken_up_meanwhile_is_left_alone() {
    let (world, bridge) = scene();
    let new = id(7);
    let mut lists = 0;
    let changed = json!({"sessions": {"claude-cli": {"idle": new, "old": id(1)}}}).to_string();
    bridge.play(move |request| {
        lists += u32::from(request.starts_with("GET"));
        (request.starts_with("GET") && lists == 2).then(|| Instead::Answer(200, changed.clone()))
    });
    let report = world.json(&["prune"]);
    assert_eq!(report["summary"]["pruned"], 1);
    assert!(!bridge.requests().iter().any(|request| request.contains("/idle")), "{:?}", bridge.requests());
    assert_eq!(world.tombstones().len(), 1);
}

#[test]
fn a_bridge_that_takes_our_lock_before_it_changes_its_file_is_not_locked_out() {
    let (world, bridge) = scene();
    let lock = world.bridge().join("session_map.lock");
    bridge.play(move |request| {
        let lock = fs_err::OpenOptions::new().read(true).write(true).open(&lock).ok()?;
        let taken = flock(&lock, FlockOperation::NonBlockingLockExclusive);
        (request.starts_with("DELETE") && taken.is_err()).then(|| Instead::Answer(500, String::new()))
    });
    world.run(&["prune"]).ends_with(0);
    assert_eq!(bridge.memory(), pruned());
}

#[test]
fn another_run_is_waited_for_before_the_bridge_is_asked() {
    let (world, bridge) = scene();
    let lock = fs_err::File::create(world.bridge().join("session_map.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    world.run(&["prune", "--wait", "never"]).ends_with(3);
    assert!(!bridge.requests().iter().any(|request| request.starts_with("DELETE")));
    drop(lock);
    world.run(&["prune", "--wait", "never"]).ends_with(0);
    assert_eq!(bridge.memory(), pruned());
}

#[test]
fn a_session_that_is_used_while_the_bridge_takes_its_time_is_left_alone() {
    let (world, bridge) = scene();
    let transcript = world.home().join(format!(".claude/projects/-work/{CLAUDE_ID}.jsonl"));
    let mut lists = 0;
    bridge.play(move |request| {
        lists += u32::from(request.starts_with("GET"));
        if lists == 2 {
            touch(&transcript, 0);
            // A slow bridge: longer than what was seen counts as fresh.
            std::thread::sleep(Duration::from_millis(80));
        }
        None
    });
    assert_eq!(world.json(&["prune"])["summary"]["pruned"], 1);
    assert_eq!(bridge.memory()["claude-cli"], json!({"idle": CLAUDE_ID}));
    assert_eq!(world.tombstones().len(), 1);
}

#[test]
fn ids_are_encoded_and_those_that_cannot_be_are_kept_and_reported() {
    let (world, bridge) = scene();
    for chat in ["a/b", "..", "x y?#%é&=", "-rf"] {
        bridge.set("claude-cli", chat, &id(1));
    }
    let dry = world.run(&["prune", "--dry-run"]).ends_with(4);
    assert!(dry.stdout.contains("2 kept: its id cannot stand in a URL"), "{dry:?}");
    let quiet = world.run(&["prune", "--dry-run", "--quiet"]).ends_with(4);
    assert!(quiet.stderr.contains("2 to be pruned stay"), "{quiet:?}");
    let ran = world.run(&["prune"]).ends_with(4);
    assert!(ran.stdout.contains("4 pruned") && ran.stdout.contains("stop the bridge to prune its file"), "{ran:?}");
    assert_eq!(bridge.memory()["claude-cli"], json!({"a/b": id(1), "..": id(1)}));
    assert_eq!(world.tombstones().len(), 4);
}

#[test]
fn a_token_is_sent_and_never_shown() {
    let (mut world, bridge) = scene();
    let token = world.file("token", "s3cret\n", 1);
    world.variable("SESSION_SWEEP_BRIDGE_TOKEN_FILE", &token);
    let ran = world.run(&["prune", "-vv"]).ends_with(0);
    assert!(!ran.stdout.contains("s3cret") && !ran.stderr.contains("s3cret"), "{ran:?}");
    assert!(bridge.authorizations().iter().all(|header| header.as_deref() == Some("Bearer s3cret")));
    bridge.play(|_| Some(Instead::Answer(403, String::new())));
    let ran = world.run(&["prune"]).ends_with(1);
    assert!(ran.stderr.contains("is bridge.token_file the right one?") && !ran.stderr.contains("s3cret"), "{ran:?}");
    world.variable("SESSION_SWEEP_LOG", "trace");
    let ran = world.run(&["prune", "-vv"]).ends_with(1);
    assert!(!ran.stderr.contains("s3cret"), "{ran:?}");
    for text in ["", "two words", "a\nb", "é"] {
        fs_err::write(&token, text).unwrap();
        let ran = world.run(&["prune"]).ends_with(1);
        assert!(ran.stderr.contains("it must hold one token"), "{ran:?}");
    }
    fs_err::remove_file(&token).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &token, FileType::Fifo, Mode::RWXU, 0).unwrap();
    world.run(&["prune"]).ends_with(1);
}

#[test]
fn a_password_in_the_url_is_refused_and_not_shown() {
    let (mut world, _bridge) = scene();
    world.variable("SESSION_SWEEP_BRIDGE_URL", "http://me:s3cret@127.0.0.1:8000");
    let ran = world.run(&["sweep"]).ends_with(2);
    assert!(ran.stderr.contains("use bridge.token_file") && !ran.stderr.contains("s3cret"), "{ran:?}");
    let log = fs_err::read_to_string(world.home().join(".local/state/session-sweep/runs.jsonl")).unwrap();
    assert!(!log.contains("s3cret"), "{log}");
    let set = world.run(&["config", "set", "bridge.url", "http://me:s3cret@127.0.0.1"]).ends_with(2);
    assert!(!set.stderr.contains("s3cret"), "{set:?}");
}

#[test]
fn what_was_restored_on_purpose_was_not_written_back() {
    let (mut world, _bridge) = scene();
    world.variable("SESSION_SWEEP_BRIDGE_URL", "");
    for _ in 0..3 {
        let report = world.json(&["prune"]);
        assert_eq!((&report["summary"]["pruned"], &report["summary"]["written_back"]), (&json!(2), &json!(0)));
        world.run(&["restore", "--all"]).ends_with(0);
    }
}

#[test]
fn a_bridge_on_another_machine_is_asked_only_when_that_is_allowed() {
    let (mut world, _bridge) = scene();
    world.variable("SESSION_SWEEP_BRIDGE_URL", "http://203.0.113.1:8000");
    let ran = world.run(&["prune"]).ends_with(2);
    assert!(ran.stderr.contains("is not on this machine") && ran.stderr.contains("bridge.allow_remote"), "{ran:?}");
    world.run(&["config", "check"]).ends_with(2);
    world.variable("SESSION_SWEEP_BRIDGE_ALLOW_REMOTE", "true");
    world.run(&["config", "check"]).ends_with(0);
}

#[test]
fn proxies_of_the_environment_are_not_used() {
    let (mut world, bridge) = scene();
    for variable in ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"] {
        world.variable(variable, "http://127.0.0.1:9");
    }
    world.run(&["prune"]).ends_with(0);
    assert_eq!(bridge.memory(), pruned());
}

#[test]
fn what_a_bridge_writes_back_is_recognised_and_the_remedy_named_from_the_second_time_on() {
    let (mut world, bridge) = scene();
    world.variable("SESSION_SWEEP_BRIDGE_URL", "");
    let first = world.json(&["prune"]);
    assert_eq!((&first["summary"]["pruned"], &first["summary"]["written_back"]), (&json!(2), &json!(0)));
    for (round, told) in [(1, false), (2, true), (3, true)] {
        bridge.set("codex-cli", "another", CODEX_ID);
        let dry = world.json(&["prune", "--dry-run"]);
        let real = world.json(&["prune"]);
        assert_eq!(
            (&dry["entries"], &dry["summary"], &dry["notes"]),
            (&real["entries"], &real["summary"], &real["notes"])
        );
        assert_eq!(real["summary"]["written_back"], 2, "round {round}");
        assert_eq!(real["entries"][0]["written_back"], round);
        let notes = real["notes"].to_string();
        assert_eq!(notes.contains("session-sweep config set bridge.url"), told, "round {round}: {notes}");
    }
    // One of them is used again: that is no writing back.
    bridge.set("codex-cli", "another", CODEX_ID);
    world.claude(CLAUDE_ID, 200);
    let used = world.json(&["prune"]);
    assert_eq!((&used["summary"]["pruned"], &used["summary"]["written_back"]), (&json!(2), &json!(1)));
}

/// Says that it is over when it goes.
struct Ending<'d>(&'d AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn ten_thousand_changes_beside_prunes_lose_nothing_and_nothing_comes_back() {
    const SESSIONS: u32 = 40;
    let (mut world, bridge) = scene();
    world.variable("SESSION_SWEEP_BRIDGE_TIMEOUT", "30s");
    (0..SESSIONS).for_each(|number| drop(world.claude(&id(100 + number), 300)));
    let active = id(99);
    world.claude(&active, 5);
    let mut expected = pruned();
    let (done, prunes) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let pruning = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                world.run(&["prune", "--quiet"]).ends_with(0);
                prunes.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Also when an assertion fails: the scope waits for the other thread.
        let _ending = Ending(&done);
        // However slow the machine: at least so many prunes are over.
        let wait_for = |wanted| wait_until(|| pruning.is_finished() || prunes.load(Ordering::Relaxed) >= wanted);
        let mut set_at = Vec::new();
        for number in 0..10_000 {
            if number % 500 == 0 {
                wait_for(number / 500 + 1);
            }
            match number % 10 {
                0 => set_at.push(prunes.load(Ordering::Relaxed)),
                // One that was running then, and a whole one.
                5 if number > 1_500 => wait_for(set_at[(number as usize - 1_505) / 10] + 2),
                _ => {}
            }
            let (model, chat, session) = match number % 10 {
                // An idle session, which is to go…
                0 => ("claude-cli", format!("chat {number}"), id(100 + number / 10 % SESSIONS)),
                // …and comes back with another one, when it has been gone.
                5 if number > 1_500 => ("claude-cli", format!("chat {}", number - 1_505), active.clone()),
                last => {
                    ("codex-cli", format!("chat {}", number % 90), [CODEX_ID, &active][last as usize % 2].to_owned())
                }
            };
            bridge.set(model, &chat, &session);
            if number % 10 > 0 {
                expected[model][&chat] = session.into();
            }
        }
    });
    world.run(&["prune"]).ends_with(0);
    assert_eq!(bridge.memory(), expected);
    assert_eq!(world.map_json(), expected);
    // Each of the thousand that went has its tombstone, and none a second one.
    assert_eq!(world.tombstones().len(), 1_000 + 2);
}

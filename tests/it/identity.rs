//! Which terminal is which session: `registry identify` and what it remembers.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::numbered::{Line, Numbered, age, entry, thirteen, with};
use crate::tree::names_in;
use crate::window::{Window, line_of};
use crate::world::{Ran, wait_until};

const CLAUDE: (&str, &str) = ("CLAUDE_CODE_SESSION_ID", "0856b851-1111-4222-8333-0123456789ab");
const OTHER_CLAUDE: (&str, &str) = ("CLAUDE_CODE_SESSION_ID", "fa141908-b259-41f1-8a87-bba0410f1c12");
const CODEX: (&str, &str) = ("CODEX_THREAD_ID", "01a1f848-9752-7c50-b5ba-bc312216b249");

/// What the original's scripts read of who somebody is.
fn scripts_files(scene: &Numbered) -> [Option<String>; 3] {
    [".session_identity", ".session_env", ".current_session"].map(|name| scene.file(name))
}

fn told(number: u32) -> [Option<String>; 3] {
    [format!("{number}\n"), format!("export FPAI_SESSION_NUMBER={number}\n"), format!("session-{number}\n")].map(Some)
}

/// Every session with a number and what it is at in the list of all.
fn holder(scene: &Numbered, number: u32) -> Value {
    let ran = scene.run(&["list", "--all", "--json"]).ends_with(0);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let sessions = document["sessions"].as_array().unwrap();
    sessions.iter().find(|session| session["number"] == number).unwrap()["holder"].clone()
}

#[test]
fn three_windows_of_a_registry_of_thirteen_keep_their_numbers_and_the_other_ten_are_inactive() {
    let scene = Numbered::new(&thirteen());
    assert_eq!(scene.active(), (1..=13).collect::<Vec<_>>());
    let mut windows = [Window::open(), Window::open(), Window::open()];
    let [first, second, third] = &mut windows;
    let mut talk = first.talk(&scene.command(&["identify"]));
    talk.expect("13 stale sessions found. Clean up?").answer("y");
    talk.expect("Enter: 1,").answer("");
    talk.ends_with(0);
    scene.run_in(second, &["identify", "--next", "--yes"]).ends_with(0);
    let mut talk = third.talk(&scene.command(&["identify"]));
    // The others are shown with their terminals.
    talk.expect("Role → 1: Goal 1").expect("Enter: 3,").answer("7");
    talk.ends_with(0);
    let own = [1, 2, 7];
    for round in 0..2 {
        for (window, number) in windows.iter_mut().zip(own) {
            assert_eq!(window.json(&scene.command(&["identify"]))["number"], number, "round {round}");
            assert_eq!(scene.number_of(window), u64::from(number), "round {round}");
            assert_eq!(holder(&scene, number), window.name(), "round {round}");
        }
        // Also where somebody is there to be asked: what is remembered is not asked for.
        for (window, number) in windows.iter_mut().zip(own) {
            let said = window.talk(&scene.command(&["identify"])).ends_with(0);
            assert!(said.stdout.contains(&format!("session {number} ")) && said.stderr.is_empty(), "{said:?}");
        }
        scene.run(&["cleanup"]).ends_with(0);
        assert_eq!(scene.active(), own);
    }
    let value = scene.value();
    let inactive = value.as_object().unwrap().values().filter(|session| session["status"] == "inactive");
    assert!(inactive.clone().all(|session| session["marked_inactive_at"].is_string()));
    assert_eq!(inactive.count(), 10);
}

#[test]
fn a_later_terminal_of_the_same_name_is_another_one() {
    let scene = Numbered::new(&[(5, "inactive", 600)]);
    let mut window = Window::open();
    scene.run_in(&mut window, &["identify", "5"]).ends_with(0);
    let (name, leader) = (window.name().to_owned(), window.leader());
    let mut later = window.reopened();
    assert_eq!(later.name(), name);
    assert_ne!(later.leader(), leader);
    let before = scene.state();
    let said = scene.run_in(&mut later, &["heartbeat"]).ends_with(1);
    assert!(said.stderr.contains("this terminal has no number"), "{said:?}");
    scene.run_in(&mut later, &["identify"]).ends_with(1);
    assert_eq!(scene.state(), before);
    scene.run_in(&mut later, &["identify", "--next"]).ends_with(0);
    assert_eq!(scene.number_of(&mut later), 1);
}

#[test]
fn a_number_is_held_for_as_long_as_its_terminals_session_lasts_and_no_longer() {
    let scene = Numbered::new(&[(5, "inactive", 600)]);
    let (mut one, mut other) = (Window::open(), Window::open());
    scene.run_in(&mut one, &["identify", "5"]).ends_with(0);
    let before = scene.state();
    for arguments in [&["identify", "5"][..], &["identify", "5", "--yes"]] {
        let said = scene.run_in(&mut other, arguments).ends_with(1);
        assert!(said.stderr.contains(one.name()) && said.stderr.contains("--next"), "{said:?}");
    }
    assert_eq!(scene.state(), before);
    one.close();
    assert_eq!(holder(&scene, 5), Value::Null);
    scene.run_in(&mut other, &["identify", "5"]).ends_with(0);
    assert_eq!(holder(&scene, 5), other.name());
    // What is gone is forgotten, so that the folder does not grow.
    assert_eq!(scene.remembered().len(), 1);
}

#[test]
fn an_identity_outlives_midnight() {
    let scene = Numbered::new(&[(5, "inactive", 600)]);
    let mut window = Window::open();
    scene.run_in(&mut window, &["identify", "5"]).ends_with(0);
    for at in ["2026-11-20T23:59:59Z", "2026-11-21T00:00:01Z", "2026-11-21T09:00:00Z", "2026-12-24T09:00:00Z"] {
        assert_eq!(window.json(&scene.command_at(at, &["heartbeat"]))["number"], 5, "{at}");
        assert_eq!(window.json(&scene.command_at(at, &["identify"]))["number"], 5, "{at}");
    }
    assert_eq!(scene.status_of(5), "active");
}

#[test]
fn a_cli_is_known_by_its_own_session_id() {
    let scene = Numbered::empty();
    let Some(mut window) = Window::detached() else { return };
    for (number, variable) in [CLAUDE, OTHER_CLAUDE, CODEX].into_iter().enumerate() {
        let command = with(&scene.command(&["identify", "--next"]), &[variable]);
        assert_eq!(window.json(&command)["number"], number + 1);
    }
    for (number, variable) in [CLAUDE, OTHER_CLAUDE, CODEX].into_iter().enumerate() {
        for arguments in [&["heartbeat"][..], &["identify"], &["identify", "--next"]] {
            let document = window.json(&with(&scene.command(arguments), &[variable]));
            assert_eq!(document["number"], number + 1, "{variable:?} {arguments:?}");
        }
    }
    assert_eq!(holder(&scene, 1), format!("claude {}", CLAUDE.1));
    assert_eq!(holder(&scene, 3), format!("codex {}", CODEX.1));
    // A number that a CLI has is not given away: nobody can tell whether it still runs.
    window.run(&with(&scene.command(&["identify", "2", "--yes"]), &[CLAUDE])).ends_with(1);
    window.run(&scene.command(&["heartbeat"])).ends_with(1);
}

#[test]
fn an_id_that_is_none_is_not_used_and_reaches_no_path() {
    let scene = Numbered::empty();
    let Some(mut window) = Window::detached() else { return };
    let long = "x".repeat(129);
    for evil in ["../../x", "/etc/passwd", "..", ".", "", "a/b", "a b", "$(id)", "-x", "a;b", "*", &long] {
        for name in [CLAUDE.0, CODEX.0] {
            let command = with(&scene.command(&["identify", "--next", "--yes"]), &[(name, evil)]);
            let said = window.run(&command).ends_with(0);
            assert!(said.stdout.contains("there is no terminal"), "{name}={evil}: {said:?}");
        }
    }
    assert_eq!(scene.remembered(), [""; 0]);
    assert_eq!(names_in(scene.world.root()), ["bridge", "home", "numbered"]);
    assert_eq!(names_in(&scene.base()).len(), 7, "{:?}", names_in(&scene.base()));
    // The good one of two counts.
    let command = with(&scene.command(&["identify", "99"]), &[(CLAUDE.0, "../../x"), CODEX]);
    window.run(&command).ends_with(0);
    assert_eq!(holder(&scene, 99), format!("codex {}", CODEX.1));
}

/// A process that stands for a tmux server.
fn server(scene: &mut Numbered) -> (u32, String) {
    let pid = scene.world.child(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()));
    (pid, format!("/tmp/tmux-1000/default,{pid},0"))
}

#[test]
fn a_tmux_pane_is_known_by_its_server_for_as_long_as_that_runs() {
    let mut scene = Numbered::empty();
    let Some(mut window) = Window::detached() else { return };
    let (pid, tmux) = server(&mut scene);
    let pane = |pane| [("TMUX", tmux.as_str()), ("TMUX_PANE", pane)];
    for (number, own) in [(1, "%1"), (2, "%2")] {
        let document = window.json(&with(&scene.command(&["identify", "--next"]), &pane(own)));
        assert_eq!(document["number"], number);
        assert_eq!(holder(&scene, number), format!("tmux {own}"));
    }
    for (number, own) in [(1, "%1"), (2, "%2"), (1, "%1")] {
        assert_eq!(window.json(&with(&scene.command(&["heartbeat"]), &pane(own)))["number"], number);
    }
    for odd in ["1", "%", "%x", "%../x", "%1/../..", "%-1"] {
        window.run(&with(&scene.command(&["heartbeat"]), &pane(odd))).ends_with(1);
        let said = window.run(&with(&scene.command(&["identify", "9", "--yes"]), &pane(odd))).ends_with(0);
        assert!(said.stdout.contains("there is no terminal"), "{odd}: {said:?}");
        scene.run(&["release", "9"]).ends_with(0);
        assert_eq!(scene.remembered().len(), 2, "{odd}");
    }
    window.run(&with(&scene.command(&["heartbeat"]), &[("TMUX", "/tmp/x"), ("TMUX_PANE", "%1")])).ends_with(1);
    window.run(&with(&scene.command(&["heartbeat"]), &[("TMUX_PANE", "%1")])).ends_with(1);
    // Another server has a pane of the same name.
    let (_, later) = server(&mut scene);
    let of_later = [("TMUX", later.as_str()), ("TMUX_PANE", "%1")];
    window.run(&with(&scene.command(&["identify", "1"]), &of_later)).ends_with(1);
    window.run(&with(&scene.command(&["heartbeat"]), &of_later)).ends_with(1);
    scene.world.end_child(pid);
    window.run(&with(&scene.command(&["heartbeat"]), &pane("%1"))).ends_with(1);
    window.run(&with(&scene.command(&["identify", "1"]), &of_later)).ends_with(0);
    assert_eq!(holder(&scene, 1), "tmux %1");
    assert_eq!(holder(&scene, 2), Value::Null);
}

#[test]
fn what_a_cli_starts_without_a_terminal_is_known_by_the_one_the_cli_runs_in() {
    let scene = Numbered::empty();
    let mut window = Window::open();
    let tool = "setsid --wait";
    let said = window.run_under(tool, &scene.command(&["identify", "--next", "--json"])).ends_with(0);
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&document["number"], &document["terminal"]), (&json!(1), &json!(window.name())));
    // The window itself and what runs in it are one.
    assert_eq!(scene.number_of(&mut window), 1);
    let beat = scene.beat(scene.beats().last().unwrap());
    assert_eq!(beat["pid"], window.leader());
    window.run_under(tool, &scene.command(&["heartbeat"])).ends_with(0);
    // As is a tool of a CLI whose own id nothing was remembered by.
    let said = window.run_under(tool, &with(&scene.command(&["heartbeat", "--json"]), &[CLAUDE])).ends_with(0);
    assert_eq!(serde_json::from_str::<Value>(&said.stdout).unwrap()["number"], 1);
}

#[test]
fn the_nearest_of_what_a_process_is_known_by_comes_first() {
    let mut scene = Numbered::empty();
    let mut window = Window::open();
    let (_, tmux) = server(&mut scene);
    let pane = [("TMUX", tmux.as_str()), ("TMUX_PANE", "%3")];
    let all = [CLAUDE, CODEX, pane[0], pane[1]];
    let number = |window: &mut Window, under: &str, variables: &[(&str, &str)], arguments: &[&str]| {
        let said = window.run_under(under, &with(&scene.command(arguments), variables));
        let document: Value = serde_json::from_str(&said.stdout).unwrap_or_default();
        document["number"].as_u64()
    };
    let next = ["identify", "--next", "--json"];
    let own = ["identify", "--json"];
    let tool = "setsid --wait";
    // From the last to the first: each takes one that nothing nearer is known by.
    let orders = [(&all[..2], 1), (&all[1..2], 2), (&all[2..], 3)];
    // A pane is asked for only where there is no window.
    for (variables, expected) in [(&all[..], 1), (&all[1..], 2), (&all[2..], 3), (&[], 3)] {
        assert_eq!(number(&mut window, tool, variables, &next), Some(expected), "{variables:?}");
    }
    for (variables, expected) in [(&all[..], 1), (&all[1..], 2), (&all[2..], 3), (&[], 3)].into_iter().chain(orders) {
        assert_eq!(number(&mut window, tool, variables, &own), Some(expected), "{variables:?}");
    }
    // At the terminal itself nothing else counts.
    assert_eq!(number(&mut window, "", &all, &own), Some(3));
    assert_eq!(number(&mut Window::open(), "", &all, &own), None);
    assert_eq!(scene.remembered().len(), 3);
}

/// Two windows, the first of which was session 5 until it was marked inactive and the second took it.
fn taken_over() -> (Numbered, Window, Window) {
    let scene = Numbered::new(&[(1, "active", 1), (5, "inactive", 600)]);
    let (mut one, mut other) = (Window::open(), Window::open());
    one.run(&scene.command_at("2026-11-20T08:00:00Z", &["identify", "5", "--no-cleanup"])).ends_with(0);
    scene.run(&["cleanup", "--force"]).ends_with(0);
    assert_eq!((scene.status_of(1).as_str(), scene.status_of(5).as_str()), ("active", "inactive"));
    scene.run_in(&mut other, &["identify", "5"]).ends_with(0);
    assert_eq!(holder(&scene, 5), other.name());
    (scene, one, other)
}

/// A window whose number is not its own any more: it says so, and takes a free one when it is told to.
#[track_caller]
fn assert_lost(scene: &Numbered, window: &mut Window, why: &str, next: u32) {
    let before = scene.state();
    for arguments in [
        &["heartbeat"][..],
        &["identify", "--no-cleanup"],
        &["identify", "--heartbeat-only"],
        &["identify", "--no-cleanup", "--role", "x"],
    ] {
        let said = scene.run_in(window, arguments).ends_with(1);
        assert!(said.stderr.contains(why) && said.stderr.contains("registry identify"), "{arguments:?}: {said:?}");
        assert_eq!(scene.state(), before, "{arguments:?}");
    }
    // Who is there is told and asked.
    let mut talk = window.talk(&scene.command(&["identify"]));
    talk.expect("This terminal was session 5").expect(&why[why.len() - 10..]);
    talk.expect(&format!("Enter: {next},")).answer("skip");
    talk.ends_with(0);
    assert_eq!(scene.state(), before);
    let taken = window.json(&scene.command(&["identify", "--next", "--no-cleanup"]));
    assert_eq!(taken["number"], next);
    assert_eq!(scene.number_of(window), u64::from(next));
}

#[test]
fn a_number_that_another_terminal_has_taken_is_not_silently_used() {
    let (scene, mut one, mut other) = taken_over();
    let why = format!("this terminal was session 5, and {} is it now", other.name());
    assert_lost(&scene, &mut one, &why, 2);
    assert_eq!(scene.number_of(&mut other), 5);
    assert_eq!(scene.number_of(&mut one), 2);
}

#[test]
fn yes_takes_a_free_number_in_the_place_of_one_that_was_taken() {
    let (scene, mut one, _other) = taken_over();
    let taken = one.json(&scene.command(&["identify", "--yes", "--no-cleanup"]));
    assert_eq!((&taken["number"], &taken["role"]), (&json!(2), &json!("unspecified")));
}

#[test]
fn a_number_that_the_originals_script_registered_anew_is_not_silently_used() {
    let scene = Numbered::new(&[(1, "active", 1), (5, "inactive", 600)]);
    let mut window = Window::open();
    scene.run_in(&mut window, &["identify", "5"]).ends_with(0);
    // The script replaces the whole entry.
    let value = scene.value();
    let mut all = value.as_object().unwrap().clone();
    all["5"] = json!({"session_id": "session-5", "number": 5, "role": "Another", "goal": "g", "status": "active",
        "registered_at": "2026-11-20T11:59:30Z", "terminal": "unknown"});
    scene.write(&serde_json::to_string_pretty(&all).unwrap());
    let why = "this terminal was session 5, and it was registered anew as \u{201c}Another\u{201d}";
    assert_lost(&scene, &mut window, why, 2);
}

#[test]
fn a_number_that_has_another_id_now_is_not_silently_used() {
    let scene = Numbered::new(&[(1, "active", 1), (5, "inactive", 600)]);
    let mut window = Window::open();
    scene.run_in(&mut window, &["identify", "5"]).ends_with(0);
    scene.replace("\"session_id\": \"session-5\"", "\"session_id\": \"session-truth-test\"");
    assert_lost(&scene, &mut window, "registered anew", 2);
}

#[test]
fn a_number_that_is_not_in_the_registry_any_more_is_not_silently_used() {
    let scene = Numbered::new(&[(1, "active", 1), (5, "inactive", 600)]);
    let mut window = Window::open();
    scene.run_in(&mut window, &["identify", "5"]).ends_with(0);
    let one: Line = (1, "active", 1);
    scene.write(&format!("{{\n{}\n}}", entry(one)));
    assert_lost(&scene, &mut window, "this terminal was session 5, which is not in the registry any more", 2);
}

#[test]
fn the_originals_identity_counts_where_there_is_no_other() {
    // Written in this window: whoever it is, it is this one.
    let scene = Numbered::new(&[(3, "active", 1), (4, "inactive", 600)]);
    let file = scene.base().join(".session_identity");
    for number in ["3", "4"] {
        let mut window = Window::open();
        fs_err::write(&file, format!("{number}\n")).unwrap();
        assert_eq!(scene.number_of(&mut window).to_string(), number);
        assert_eq!(window.json(&scene.command(&["identify"]))["number"].to_string(), number);
        assert_eq!(holder(&scene, number.parse().unwrap()), window.name());
        // From here on it is this terminal's own.
        fs_err::remove_file(&file).unwrap();
        assert_eq!(scene.number_of(&mut window).to_string(), number);
    }
    assert_eq!(scene.active(), [3, 4]);
}

#[test]
fn the_originals_identity_of_another_window_is_not_used() {
    // Written before this window was opened, it tells of another: of a session that has ended that may be taken up again.
    for minutes in [24 * 60, 60 * 24 * 5] {
        let scene = Numbered::new(&[(3, "active", 1), (4, "inactive", 600)]);
        let file = scene.base().join(".session_identity");
        let mut window = Window::open();
        fs_err::write(&file, "3\n").unwrap();
        age(&file, minutes);
        scene.run_in(&mut window, &["heartbeat"]).ends_with(1);
        scene.run_in(&mut window, &["identify"]).ends_with(1);
        fs_err::write(&file, "4\n").unwrap();
        age(&file, minutes);
        assert_eq!(window.json(&scene.command(&["identify"]))["number"], 4, "{minutes}");
        // Who asks for a free number gets the lowest one.
        fs_err::write(&file, "4\n").unwrap();
        age(&file, minutes);
        scene.run(&["release", "4"]).ends_with(0);
        fs_err::write(&file, "4\n").unwrap();
        age(&file, minutes);
        assert_eq!(Window::open().json(&scene.command(&["identify", "--next"]))["number"], 1, "{minutes}");
    }
}

#[test]
fn what_is_remembered_comes_before_the_originals_identity() {
    let scene = Numbered::new(&[(3, "active", 1), (4, "inactive", 600)]);
    let mut window = Window::open();
    scene.run_in(&mut window, &["identify", "4"]).ends_with(0);
    fs_err::write(scene.base().join(".session_identity"), "3\n").unwrap();
    assert_eq!(scene.number_of(&mut window), 4);
    assert_eq!(window.json(&scene.command(&["identify"]))["number"], 4);
    assert_eq!(scripts_files(&scene), told(4));
}

#[test]
fn the_originals_identity_is_not_used_where_it_is_another_terminals_or_nobodys() {
    let scene = Numbered::new(&[(3, "active", 1)]);
    let file = scene.base().join(".session_identity");
    let mut window = Window::open();
    for nobodys in ["9\n", "03\n", "3 4\n", "abc\n", "", "-3\n", "3\u{0}\n"] {
        fs_err::write(&file, nobodys).unwrap();
        scene.run_in(&mut window, &["heartbeat"]).ends_with(1);
        scene.run_in(&mut window, &["identify"]).ends_with(1);
    }
    // A link to somewhere else is nobody's, too.
    fs_err::remove_file(&file).unwrap();
    let elsewhere = scene.world.root().join("elsewhere");
    fs_err::write(&elsewhere, "3\n").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    let linked = scene.run_in(&mut window, &["heartbeat"]);
    assert!(linked.status == 0 || linked.status == 1, "{linked:?}");
    fs_err::remove_file(&file).unwrap();
    // Another window is it, and a script wrote so.
    let mut other = Window::open();
    scene.run_in(&mut other, &["identify", "3", "--yes"]).ends_with(0);
    fs_err::write(&file, "3\n").unwrap();
    for arguments in [&["heartbeat"][..], &["identify"]] {
        scene.run_in(&mut window, arguments).ends_with(1);
    }
    assert_eq!(scene.number_of(&mut other), 3);
    // The next free one is taken in its place.
    assert_eq!(window.json(&scene.command(&["identify", "--yes"]))["number"], 1);
}

#[test]
fn what_was_written_there_for_one_terminal_is_not_another_ones() {
    let scene = Numbered::new(&[(3, "inactive", 600)]);
    let mut one = Window::open();
    scene.run_in(&mut one, &["identify", "3"]).ends_with(0);
    assert_eq!(scripts_files(&scene), told(3));
    one.close();
    let mut other = Window::open();
    for arguments in [&["heartbeat"][..], &["identify"], &["identify", "--heartbeat-only"]] {
        scene.run_in(&mut other, arguments).ends_with(1);
    }
    assert_eq!(scene.remembered().len(), 1);
    // A script that writes the same by itself means it.
    let file = scene.base().join(".session_identity");
    fs_err::remove_file(&file).unwrap();
    fs_err::write(&file, "3\n").unwrap();
    assert_eq!(scene.number_of(&mut other), 3);
}

#[test]
fn the_originals_files_say_who_identified_last() {
    let scene = Numbered::empty();
    let (mut one, mut other) = (Window::open(), Window::open());
    scene.run_in(&mut one, &["identify", "5"]).ends_with(0);
    assert_eq!(scripts_files(&scene), told(5));
    scene.run_in(&mut other, &["identify", "12"]).ends_with(0);
    assert_eq!(scripts_files(&scene), told(12));
    scene.run_in(&mut one, &["identify"]).ends_with(0);
    assert_eq!(scripts_files(&scene), told(5));
    // Only the files of the one that ended go.
    scene.run_in(&mut one, &["release", "12"]).ends_with(0);
    assert_eq!(scripts_files(&scene), told(5));
    scene.run_in(&mut one, &["release", "5"]).ends_with(0);
    assert_eq!(scripts_files(&scene), [None, None, None]);
    // Whoever was released has no number.
    scene.run_in(&mut one, &["heartbeat"]).ends_with(1);
    assert_eq!(scene.remembered(), [""; 0]);
}

#[test]
fn a_process_without_any_terminal_is_remembered_by_nothing_and_says_so() {
    let scene = Numbered::empty();
    let Some(mut window) = Window::detached() else { return };
    window.run(&scene.command(&["heartbeat"])).ends_with(1);
    let said = scene.run_in(&mut window, &["identify", "--next"]).ends_with(0);
    assert!(said.stdout.contains("registry heartbeat --number 1"), "{said:?}");
    assert_eq!((scripts_files(&scene), scene.remembered().len()), (told(1), 0));
    // Another one like it is not session 1 by chance.
    scene.run_in(&mut window, &["heartbeat"]).ends_with(1);
    assert_eq!(window.json(&scene.command(&["identify", "--next"]))["number"], 2);
    assert_eq!(window.json(&scene.command(&["heartbeat", "--number", "1"]))["number"], 1);
    // What the scripts wrote counts: nothing tells more.
    fs_err::write(scene.base().join(".session_identity"), "1\n").unwrap();
    assert_eq!(scene.number_of(&mut window), 1);
    // Who has a terminal is somebody else.
    let mut at_terminal = Window::open();
    assert_eq!(at_terminal.json(&scene.command(&["identify", "--next"]))["number"], 3);
    assert_eq!(scripts_files(&scene), told(3));
    // Nor does it use what was written for a terminal.
    scene.run_in(&mut window, &["heartbeat"]).ends_with(1);
}

#[test]
fn identifying_revives_a_session_and_keeps_whatever_else_the_registry_says_of_it() {
    let scene = Numbered::new(&[(4, "inactive", 600), (5, "working", 600)]);
    let marked = ",\n    \"marked_inactive_at\": \"2025-11-17T07:12:18.404913Z\"";
    let end = "\"current_work\": {\"progress\": \"4%\"}";
    scene.replace(end, &format!("{end}{marked}"));
    let before = scene.text();
    let mut window = Window::open();
    scene.run_in(&mut window, &["identify", "4"]).ends_with(0);
    let expected = before.replace(marked, "").replace("\"inactive\"", "\"active\"").replace("s004", window.name());
    assert_eq!(scene.text(), expected);
    // The same for a session that the original's scripts revived, which leave it there.
    scene.replace(end, &format!("{end}{marked}"));
    scene.run_in(&mut window, &["identify"]).ends_with(0);
    assert_eq!(scene.text(), expected);
    // Nothing is written where nothing is to be changed.
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs_err::metadata(scene.path()).unwrap());
    let before = inode();
    assert_eq!(window.json(&scene.command(&["identify"]))["changed"], false);
    assert_eq!(inode(), before);
}

#[test]
fn identifying_never_marks_itself_inactive_on_the_way() {
    let days_ago: Line = (5, "active", 3 * 24 * 60);
    let other: Line = (6, "active", 3 * 24 * 60);
    // What is remembered; a number that is given; and the original's identity.
    for way in ["remembered", "given", "original"] {
        let scene = Numbered::new(&[days_ago, other]);
        let mut window = Window::open();
        let mut arguments = vec!["identify", "--auto-cleanup"];
        scene.replace("s005", window.name());
        match way {
            "remembered" => {
                let identify = scene.command_at("2026-11-17T12:00:00Z", &["identify", "5", "--no-cleanup", "--yes"]);
                window.run(&identify).ends_with(0);
                fs_err::remove_file(scene.base().join(".session_identity")).unwrap();
            }
            "given" => arguments.extend(["5", "--yes"]),
            _ => fs_err::write(scene.base().join(".session_identity"), "5\n").unwrap(),
        }
        let before = scene.text();
        let document = window.json(&scene.command(&arguments));
        // Marked and revived would be a change, though the text were the same in the end.
        assert_eq!((&document["number"], &document["changed"]), (&json!(5), &json!(false)), "{way}: {document}");
        let five = before.find("\"6\"").unwrap();
        assert_eq!(scene.text()[..five], before[..five], "{way}");
        assert_eq!((scene.status_of(5).as_str(), scene.status_of(6).as_str()), ("active", "inactive"), "{way}");
    }
}

#[test]
fn a_stale_session_of_ones_own_is_not_offered_to_be_cleaned_up() {
    let scene = Numbered::new(&[(5, "active", 3 * 24 * 60)]);
    let mut window = Window::open();
    window.run(&scene.command_at("2026-11-17T12:00:00Z", &["identify", "5", "--yes"])).ends_with(0);
    let said = window.talk(&scene.command(&["identify"])).ends_with(0);
    assert_eq!(said.stderr, "", "{said:?}");
    assert_eq!(scene.status_of(5), "active");
}

#[test]
fn flags_make_it_silent() {
    let stale: Line = (6, "active", 3 * 24 * 60);
    for (arguments, cleans, number) in [
        (&["identify", "--next"][..], true, 1),
        (&["identify", "--next", "--no-cleanup"], false, 1),
        (&["identify", "--yes"], true, 1),
        (&["identify", "4", "--auto-cleanup"], true, 4),
        (&["identify", "4", "--no-cleanup"], false, 4),
        (&["identify", "6", "--yes"], false, 6),
        (&["identify", "4", "--heartbeat-only"], false, 4),
    ] {
        let scene = Numbered::new(&[(4, "inactive", 600), stale]);
        let mut window = Window::open();
        // At the terminal itself, where somebody could answer.
        let said = window.talk(&scene.command(arguments)).ends_with(0);
        assert!(
            !said.stderr.contains('?') && said.stdout.contains(&format!("session {number}")),
            "{arguments:?}: {said:?}"
        );
        let expected = if cleans { "inactive" } else { "active" };
        assert_eq!(scene.status_of(6), expected, "{arguments:?}");
        assert_eq!(scene.number_of(&mut window), number, "{arguments:?}");
    }
}

#[test]
fn a_heartbeat_alone_gives_no_number_and_cleans_nothing() {
    let scene = Numbered::new(&[(4, "inactive", 600), (6, "active", 3 * 24 * 60)]);
    let mut window = Window::open();
    let before = scene.state();
    for arguments in [
        &["identify", "--heartbeat-only"][..],
        &["identify", "--heartbeat-only", "--yes"],
        &["identify", "--heartbeat-only", "9"],
    ] {
        window.talk(&scene.command(arguments)).ends_with(1);
        assert_eq!(scene.state(), before, "{arguments:?}");
    }
    scene.run_in(&mut window, &["identify", "4", "--no-cleanup"]).ends_with(0);
    let beats = scene.beats().len();
    window.talk(&scene.command(&["identify", "--heartbeat-only"])).ends_with(0);
    assert_eq!((scene.beats().len(), scene.status_of(6).as_str()), (beats + 1, "active"));
    for arguments in [
        &["identify", "--heartbeat-only", "--next"][..],
        &["identify", "--heartbeat-only", "--auto-cleanup"],
        &["identify", "--heartbeat-only", "--role", "x"],
        &["identify", "--no-cleanup", "--auto-cleanup"],
        &["identify", "4", "--next"],
        &["identify", "07"],
        &["identify", "0"],
        &["identify", "-1"],
        &["identify", "4", "5"],
    ] {
        scene.run_in(&mut window, arguments).ends_with(2);
    }
}

#[test]
fn next_and_yes_keep_the_number_that_is_remembered() {
    let scene = Numbered::empty();
    let mut window = Window::open();
    scene.run_in(&mut window, &["identify", "5"]).ends_with(0);
    for flags in [&["--next"][..], &["--yes"], &["--next", "--yes"], &["--auto-cleanup"], &["--no-cleanup"]] {
        let document = window.json(&scene.command(&[&["identify"], flags].concat()));
        assert_eq!(document["number"], 5, "{flags:?}");
    }
    // A number that is given is another one from now on.
    scene.run_in(&mut window, &["identify", "6"]).ends_with(0);
    assert_eq!((scene.number_of(&mut window), scene.remembered().len()), (6, 1));
}

#[test]
fn a_new_session_has_the_role_and_the_goal_that_were_given() {
    let scene = Numbered::empty();
    let mut window = Window::open();
    let evil = "Build \"$373K\" → `id` $(id) '; --x";
    for (number, arguments, role, goal) in [
        (1, &["--role", evil, "--goal", "ship\nit"][..], evil, "ship\nit"),
        (2, &[], "unspecified", ""),
        (3, &["--goal", "g"], "unspecified", "g"),
        (4, &["--role", "--next"], "--next", ""),
    ] {
        let text = number.to_string();
        let command = scene.command(&[&["identify", &text], arguments].concat());
        // A line of shell cannot hold the line break.
        if arguments.iter().any(|argument| argument.contains('\n')) {
            Ran::of(&mut with(&command, &[CLAUDE])).ends_with(0);
        } else {
            window.run(&command).ends_with(0);
        }
        let session = &scene.value()[&text];
        assert_eq!((&session["role"], &session["goal"]), (&json!(role), &json!(goal)));
        assert_eq!(
            (&session["status"], &session["session_id"]),
            (&json!("active"), &json!(format!("session-{number}")))
        );
        assert_eq!((&session["number"], &session["registered_at"]), (&json!(number), &json!("2026-11-20T12:00:00Z")));
    }
}

#[test]
fn a_number_that_is_active_and_nobodys_has_to_be_meant() {
    for status in ["active", "working", "busy\u{1b}[31m"] {
        let scene = Numbered::new(&[(5, "active", 1)]);
        scene.replace("\"active\"", &serde_json::to_string(status).unwrap());
        let before = scene.text();
        let mut window = Window::open();
        let said = scene.run_in(&mut window, &["identify", "5"]).ends_with(1);
        assert!(said.stderr.contains("add --yes") && !said.stderr.contains('\u{1b}'), "{said:?}");
        assert_eq!(scene.text(), before);
        scene.run_in(&mut window, &["identify", "5", "--yes"]).ends_with(0);
        // A status that others set stays.
        assert_eq!(scene.text(), before.replace("s005", window.name()));
        assert_eq!(scene.number_of(&mut window), 5);
    }
}

#[test]
fn the_clean_up_is_offered_and_done_only_when_it_is_agreed_to() {
    for (answers, is_done) in
        [(&["y"][..], true), (&["YES"], true), (&["n"], false), (&[""], false), (&["what", "no"], false)]
    {
        let scene = Numbered::new(&[(1, "active", 600), (2, "active", 600)]);
        let mut window = Window::open();
        let mut talk = window.talk(&scene.command(&["identify"]));
        for answer in answers {
            talk.expect("2 stale sessions found. Clean up?").answer(answer);
        }
        // What is free now is proposed.
        let proposed = if is_done { 1 } else { 3 };
        talk.expect(&format!("Enter: {proposed},")).answer("skip");
        talk.ends_with(0);
        assert_eq!(scene.active(), if is_done { vec![] } else { vec![1, 2] }, "{answers:?}");
        assert_eq!((scene.remembered().len(), scene.beats().len()), (0, 0));
    }
}

/// A conversation that ends with a number, or without one.
fn conversation(scene: &Numbered, window: &mut Window, steps: &[(&str, &str)], status: i32) -> String {
    let mut talk = window.talk(&scene.command(&["identify"]));
    for (question, answer) in steps {
        talk.expect(question);
        if *answer == "\u{4}" {
            talk.end_of_input()
        } else {
            talk.answer(answer)
        };
    }
    talk.ends_with(status).stderr
}

const WHICH: &str = "Which session is this terminal?";

#[test]
fn a_number_is_proposed_and_taken_by_the_enter_key() {
    let scene = Numbered::new(&[(1, "active", 1), (2, "inactive", 600)]);
    let mut window = Window::open();
    conversation(&scene, &mut window, &[(WHICH, "")], 0);
    assert_eq!((scene.number_of(&mut window), scene.status_of(2).as_str()), (2, "active"));
}

#[test]
fn a_new_number_asks_for_role_and_goal() {
    let scene = Numbered::new(&[(1, "active", 1)]);
    let mut window = Window::open();
    conversation(&scene, &mut window, &[(WHICH, ""), ("Session 2 is new", ""), ("Goal:", "")], 0);
    let session = |number: u32| scene.value()[number.to_string()].clone();
    assert_eq!(session(2)["role"], "unspecified");
    let mut other = Window::open();
    let role = "Build \"it\" for $373K";
    conversation(&scene, &mut other, &[(WHICH, "42"), ("Session 42 is new", role), ("Goal:", "ship → it")], 0);
    assert_eq!((&session(42)["role"], &session(42)["goal"]), (&json!(role), &json!("ship → it")));
    assert_eq!(scene.number_of(&mut other), 42);
}

#[test]
fn in_a_folder_that_is_not_there_yet_the_first_number_is_proposed() {
    let scene = Numbered::empty();
    let mut window = Window::open();
    conversation(&scene, &mut window, &[("Enter: 1,", ""), ("Role:", "Builder"), ("Goal:", "")], 0);
    assert_eq!((&scene.value()["1"]["role"], &scene.value()["1"]["goal"]), (&json!("Builder"), &json!("")));
}

#[test]
fn skip_and_the_end_of_input_change_nothing() {
    let scene = Numbered::new(&[(1, "active", 600), (2, "inactive", 600)]);
    let mut window = Window::open();
    let before = scene.state();
    let end = "\u{4}";
    for (steps, status) in [
        (&[("Clean up?", "n"), (WHICH, "skip")][..], 0),
        (&[("Clean up?", end)], 1),
        (&[("Clean up?", "n"), (WHICH, end)], 1),
        (&[("Clean up?", "n"), (WHICH, "3"), ("Role:", end)], 1),
        (&[("Clean up?", "n"), (WHICH, "3"), ("Role:", "r"), ("Goal:", end)], 1),
        (&[("Clean up?", "n"), (WHICH, "1"), ("Is it this terminal's?", end)], 1),
    ] {
        conversation(&scene, &mut window, steps, status);
        assert_eq!(scene.state(), before, "{steps:?}");
    }
    // Nor is there anything where there was nothing.
    let nothing = Numbered::empty();
    for (steps, status) in [(&[(WHICH, "skip")][..], 0), (&[(WHICH, end)], 1), (&[(WHICH, "7"), ("Role:", end)], 1)] {
        conversation(&nothing, &mut window, steps, status);
        assert!(!nothing.base().exists(), "{steps:?}");
    }
}

#[test]
fn what_is_no_number_and_what_somebody_holds_is_asked_again() {
    let scene = Numbered::new(&[(1, "active", 1), (2, "inactive", 600)]);
    let mut holding = Window::open();
    scene.run_in(&mut holding, &["identify", "1", "--yes"]).ends_with(0);
    let mut window = Window::open();
    let steps =
        [(WHICH, "007"), ("without leading zeros", "-1"), (WHICH, "1"), (holding.name(), "x\u{7}y"), (WHICH, "2")];
    let shown = conversation(&scene, &mut window, &steps, 0);
    assert!(shown.contains("without leading zeros"), "{shown}");
    assert_eq!((scene.number_of(&mut window), scene.number_of(&mut holding)), (2, 1));
}

#[test]
fn an_active_number_that_is_nobodys_is_asked_about() {
    let scene = Numbered::new(&[(1, "active", 1), (2, "working", 1)]);
    let mut window = Window::open();
    conversation(
        &scene,
        &mut window,
        &[(WHICH, "1"), ("Is it this terminal's?", "n"), (WHICH, "2"), ("terminal's?", "y")],
        0,
    );
    assert_eq!((scene.number_of(&mut window), scene.status_of(2).as_str()), (2, "working"));
    assert_eq!(holder(&scene, 1), Value::Null);
}

#[test]
fn the_originals_identity_is_proposed() {
    let scene = Numbered::new(&[(1, "inactive", 600), (3, "active", 1)]);
    fs_err::write(scene.base().join(".session_identity"), "3\n").unwrap();
    let mut window = Window::open();
    conversation(&scene, &mut window, &[("Enter: 3,", "")], 0);
    assert_eq!(scene.number_of(&mut window), 3);
}

#[test]
fn nothing_is_asked_where_nobody_can_answer() {
    let scene = Numbered::new(&[(1, "active", 600), (2, "inactive", 600)]);
    let mut window = Window::open();
    // In the window, but with its input or its questions somewhere else.
    let line = line_of(&scene.command(&["identify"]));
    for redirected in ["<'/dev/null'", "2>'/dev/null'", "<'/dev/null' 2>'/dev/null'"] {
        assert_eq!(window.shell(&format!("{line} >'/dev/null' {redirected}")), 1, "{redirected}");
    }
    wait_until(|| window.shown().contains("this terminal has no number yet"));
    assert!(!window.shown().contains('?'), "{}", window.shown());
    let said = scene.run_in(&mut window, &["identify"]).ends_with(1);
    assert!(!said.stderr.contains('?') && said.stderr.contains("this terminal has no number yet"), "{said:?}");
    assert_eq!(scene.beats(), [""; 0]);
    assert_eq!(scene.remembered(), [""; 0]);
}

#[test]
fn help_says_what_an_identity_is_remembered_by() {
    let scene = Numbered::empty();
    let help = scene.run(&["identify", "--help"]).ends_with(0).stdout;
    for word in ["controlling terminal", "CLAUDE_CODE_SESSION_ID", "CODEX_THREAD_ID", "TMUX_PANE", ".session_identity"]
    {
        assert!(help.replace('\n', " ").contains(word), "{word}: {help}");
    }
}

#[test]
fn a_registration_takes_its_flags_wherever_they_stand() {
    let scene = Numbered::empty();
    for (number, arguments, role, goal) in [
        (1, &["register", "1", "r", "g", "--terminal", "t", "--session-id", "s1"][..], "r", "g"),
        (2, &["register", "--terminal", "t", "2", "r", "g", "--session-id", "s2"], "r", "g"),
        (3, &["register", "3", "--terminal", "t", "r", "--session-id", "s3", "g"], "r", "g"),
        (4, &["register", "--next", "r", "g", "--terminal", "t", "--session-id", "s4"], "r", "g"),
        (5, &["register", "--terminal", "t", "--session-id", "s5", "--", "5", "--next", "-q"], "--next", "-q"),
    ] {
        let command = [&["registry"], arguments].concat();
        Ran::of(&mut scene.world.command_at_present(&command)).ends_with(0);
        let session = &scene.value()[number.to_string()];
        let fields = ["role", "goal", "terminal", "session_id"].map(|field| session[field].as_str().unwrap());
        assert_eq!(fields, [role, goal, "t", &format!("s{number}")], "{arguments:?}");
    }
    for arguments in
        [&["register", "7", "r"][..], &["register", "--next", "7", "r", "g"], &["register", "7", "r", "g", "x"]]
    {
        scene.run(arguments).ends_with(2);
    }
}

/// The only identity that is remembered, with its file.
fn only_identity(scene: &Numbered) -> (std::path::PathBuf, Value) {
    let [name] = &scene.remembered()[..] else { panic!("{:?}", scene.remembered()) };
    let path = scene.base().join(".session-sweep/identities").join(name);
    let value = serde_json::from_str(&fs_err::read_to_string(&path).unwrap()).unwrap();
    (path, value)
}

#[test]
fn a_window_in_another_container_or_on_another_machine_is_not_known_to_be_gone() {
    let scene = Numbered::new(&[(5, "inactive", 600)]);
    let (mut one, mut other) = (Window::open(), Window::open());
    scene.run_in(&mut one, &["identify", "5"]).ends_with(0);
    let (path, mut identity) = only_identity(&scene);
    // A process that is not here. There it may be.
    identity["process"]["pid"] = json!(4_194_301);
    let here = identity.clone();
    for (place, value) in [("pid_namespace", json!(1)), ("host", json!("elsewhere"))] {
        let mut elsewhere = here.clone();
        elsewhere[place] = value;
        fs_err::write(&path, elsewhere.to_string()).unwrap();
        let refused = scene.run_in(&mut other, &["identify", "5", "--yes"]).ends_with(1);
        assert!(refused.stderr.contains(&format!("session 5 is active, at {}", one.name())), "{place}: {refused:?}");
    }
    // Here it is gone for certain.
    fs_err::write(&path, here.to_string()).unwrap();
    scene.run_in(&mut other, &["identify", "5"]).ends_with(0);
}

#[test]
fn a_number_that_was_taken_is_not_used_again_when_who_took_it_is_gone() {
    let (scene, mut one, other) = taken_over();
    other.close();
    let refused = scene.run_in(&mut one, &["heartbeat"]).ends_with(1);
    assert!(refused.stderr.contains("is it now"), "{refused:?}");
    scene.run_in(&mut one, &["identify"]).ends_with(1);
    // On purpose it may.
    scene.run_in(&mut one, &["identify", "5"]).ends_with(0);
    assert_eq!(scene.number_of(&mut one), 5);
}

#[test]
fn who_describes_a_session_that_has_ended_changes_what_was_said_and_no_more() {
    let scene = Numbered::new(&[(5, "inactive", 600), (6, "inactive", 600)]);
    scene.replace("\"session-5\"", "\"collective-mind\"");
    let said = |number: u32| {
        let session = &scene.value()[number.to_string()];
        ["session_id", "role", "goal", "status"].map(|field| session[field].as_str().unwrap().to_owned())
    };
    let mut window = Window::open();
    scene.run_in(&mut window, &["identify", "5", "--goal", "Ship"]).ends_with(0);
    assert_eq!(said(5), ["collective-mind", "Role → 5", "Ship", "active"]);
    let mut window = Window::open();
    scene.run_in(&mut window, &["identify", "6", "--role", "Pilot"]).ends_with(0);
    assert_eq!(said(6), ["session-6", "Pilot", "Goal 6", "active"]);
    // What is not used is said.
    let kept = scene.run_in(&mut window, &["identify", "--role", "Other"]).ends_with(0);
    assert!(kept.stderr.contains("session 6 keeps its role and goal"), "{kept:?}");
    assert_eq!(said(6)[1], "Pilot");
}

#[test]
fn a_number_that_gave_no_sign_for_long_may_be_asked_for() {
    let scene = Numbered::new(&[(5, "active", 600), (6, "active", 1)]);
    let mut window = Window::open();
    let document = window.json(&scene.command(&["identify", "5"]));
    assert_eq!((&document["number"], scene.status_of(5).as_str()), (&json!(5), "active"));
    assert!(scene.value()["5"].get("marked_inactive_at").is_none());
    // One that did is asked about, or needs a yes.
    Window::open().run(&scene.command(&["identify", "6"])).ends_with(1);
}

#[test]
fn nothing_is_changed_where_what_belongs_to_it_cannot_be_written() {
    for (hindrance, arguments) in [
        ("heartbeats", &["register", "7", "r", "g"][..]),
        ("heartbeats", &["identify", "7"]),
        ("heartbeats", &["identify", "5"]),
        ("heartbeats", &["heartbeat", "--number", "5"]),
        (".session-sweep", &["identify", "7"]),
    ] {
        let scene = Numbered::new(&[(5, "inactive", 600)]);
        fs_err::write(scene.base().join(hindrance), "no folder").unwrap();
        let before = scene.text();
        let mut window = Window::open();
        scene.run_in(&mut window, arguments).ends_with(1);
        assert_eq!(scene.text(), before, "{hindrance} {arguments:?}");
    }
}

#[test]
fn an_id_is_one_sessions_alone() {
    let scene = Numbered::new(&[(5, "active", 1)]);
    scene.replace("\"session-5\"", "\"collective-mind\"");
    for id in ["collective-mind", "session-5"] {
        let refused = scene.run(&["register", "7", "r", "g", "--session-id", id]).ends_with(1);
        assert!(refused.stderr.contains("is the id of session 5 already"), "{refused:?}");
    }
    scene.run(&["register", "7", "r", "g", "--session-id", ""]).ends_with(2);
    assert!(scene.value().get("7").is_none());
    scene.run(&["register", "7", "r", "g", "--session-id", "session-7"]).ends_with(0);
}

/// A program that is called like a CLI and runs shell lines, and the line that runs `lines` in it without a terminal.
fn in_a_cli(scene: &Numbered, lines: &[String]) -> String {
    let program = scene.world.root().join("claude");
    if !program.exists() {
        // By another process: a file that this one writes stays busy as long as a child of another test has it.
        assert!(Command::new("cp").args(["-L", "/bin/sh"]).arg(&program).status().unwrap().success());
    }
    // The last one would take the place of the program.
    format!("setsid --wait '{}' -c \"{}; true\"", program.display(), lines.join("; "))
}

#[test]
fn a_cli_that_changes_its_session_is_who_it_was() {
    let scene = Numbered::empty();
    let mut window = Window::open();
    let run = |variable, arguments: &[&str]| line_of(&with(&scene.command(arguments), &[variable]));
    let both = [run(CLAUDE, &["identify", "--next", "--quiet"]), run(OTHER_CLAUDE, &["identify", "--next", "--quiet"])];
    assert_eq!(window.shell(&in_a_cli(&scene, &both)), 0);
    assert_eq!(scene.active(), [1]);
    // Another CLI in the window is another one.
    let another = [run(CODEX, &["identify", "--next", "--quiet"])];
    assert_eq!(window.shell(&in_a_cli(&scene, &another)), 0);
    assert_eq!(scene.active(), [1, 2]);
    // And what it was before, taken up elsewhere, is not silently the same session.
    let (beats, again) = (scene.beats().len(), [run(CLAUDE, &["heartbeat"])]);
    window.shell(&in_a_cli(&scene, &again));
    assert_eq!(scene.beats().len(), beats);
}

#[test]
fn a_session_that_is_taken_up_again_lives_with_the_cli_that_has_it_now() {
    let scene = Numbered::empty();
    let mut window = Window::open();
    let file = scene.base().join(".session-sweep/identities").join(format!("claude-{}.json", CLAUDE.1));
    let process = || -> Value {
        let text = fs_err::read_to_string(&file).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["process"].clone()
    };
    let run = |arguments: &[&str]| in_a_cli(&scene, &[line_of(&with(&scene.command(arguments), &[CLAUDE]))]);
    assert_eq!(window.shell(&run(&["identify", "5", "--quiet"])), 0);
    let first = process();
    assert_eq!(window.shell(&run(&["heartbeat", "--quiet"])), 0);
    assert_ne!(process(), first);
}

#[test]
fn who_is_identified_or_registered_again_is_released_no_more() {
    let scene = Numbered::new(&[(5, "active", 1)]);
    let released = || scene.file(".session-sweep/released.json");
    let mut window = Window::open();
    for arguments in [&["identify", "5"][..], &["register", "5", "r", "g"], &["heartbeat", "--number", "5"]] {
        scene.run(&["release", "5"]).ends_with(0);
        assert_eq!(released().as_deref(), Some("[5]"));
        scene.run_in(&mut window, arguments).ends_with(0);
        assert_eq!(released().as_deref(), Some("[]"), "{arguments:?}");
    }
}

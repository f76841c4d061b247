//! Signs of life: `registry heartbeat`, once and again and again.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use serde_json::{Value, json};

use crate::machine::strace;
use crate::numbered::{Numbered, with};
use crate::window::{Window, line_of, start_of, stat};
use crate::world::{Ran, wait_until};

fn boot_id() -> String {
    fs_err::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned()
}

#[test]
fn a_beat_says_who_beats_and_which_process_that_is() {
    let scene = Numbered::empty();
    let mut window = Window::open();
    scene.run_in(&mut window, &["identify", "5", "--role", "Build → \"it\""]).ends_with(0);
    let document = window.json(&scene.command(&["heartbeat", "--working-on", "the $HOME of `id`"]));
    let name = document["beat"].as_str().unwrap();
    let beat = scene.beat(name);
    assert_eq!(
        beat,
        json!({
            "session_number": 5,
            "session_id": "session-5",
            "timestamp": "2026-11-20T12:00:00.000000Z",
            "type": "heartbeat",
            "source": "session-sweep",
            "status": "active",
            "role": "Build → \"it\"",
            "working_on": "the $HOME of `id`",
            "pid": window.leader(),
            "process_start": start_of(window.leader()),
            "boot_id": boot_id(),
            "terminal": window.name(),
        })
    );
    let text = fs_err::read_to_string(scene.base().join("heartbeats").join(name)).unwrap();
    assert!(text.starts_with("{\n  \"session_number\": 5,\n") && text.ends_with("\n}\n"), "{text}");
    // Who reads the list sees it.
    let ran = scene.run(&["list", "--json"]).ends_with(0);
    let list: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(list["sessions"][0]["last_heartbeat"], "2026-11-20T12:00:00Z");
    assert_eq!((&list["sessions"][0]["source"], &list["sessions"][0]["age_seconds"]), (&json!("beat"), &json!(0)));
}

#[test]
fn a_process_without_a_terminal_stands_for_itself_by_its_parent() {
    let scene = Numbered::new(&[(5, "active", 1)]);
    let Some(mut window) = Window::detached() else { return };
    let beat = window.json(&scene.command(&["heartbeat", "--number", "5"]));
    let beat = scene.beat(beat["beat"].as_str().unwrap());
    let expected = (json!(window.leader()), json!(start_of(window.leader())), json!("unknown"));
    assert_eq!((beat["pid"].clone(), beat["process_start"].clone(), beat["terminal"].clone()), expected);
}

#[test]
fn beats_of_one_moment_are_all_kept_under_local_stamps() {
    let mut scene = Numbered::new(&[(5, "active", 1)]);
    let names = [
        "2026-11-20_12-00-00-session-5.json",
        "2026-11-20_12-00-00.000000-session-5.json",
        "2026-11-20_12-00-00.000001-session-5.json",
    ];
    for count in 1..=3 {
        scene.run(&["heartbeat", "--number", "5", "--working-on", &count.to_string()]).ends_with(0);
    }
    let mut beats = scene.beats();
    beats.sort_by_key(|name| scene.beat(name)["working_on"].as_str().unwrap().to_owned());
    assert_eq!(beats, names);
    // Eight hours behind, the scripts of that place have this in their names.
    scene.world.variable("TZ", "UTC+8");
    let ran = scene.run(&["heartbeat", "--number", "5", "--json"]).ends_with(0);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["beat"], "2026-11-20_04-00-00-session-5.json");
    assert_eq!(scene.beat("2026-11-20_04-00-00-session-5.json")["timestamp"], "2026-11-20T12:00:00.000000Z");
}

#[test]
fn a_beat_says_the_registrys_status_or_the_one_that_is_given_and_changes_neither() {
    let scene = Numbered::new(&[(5, "working", 1)]);
    let before = scene.text();
    for (arguments, status) in [(&[][..], "working"), (&["--status", "waiting for \"CI\""], "waiting for \"CI\"")] {
        let ran = scene.run(&[&["heartbeat", "--number", "5", "--json"], arguments].concat()).ends_with(0);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        let beat = scene.beat(document["beat"].as_str().unwrap());
        assert_eq!((&beat["status"], &beat["working_on"]), (&json!(status), &Value::Null));
    }
    assert_eq!(scene.text(), before);
}

#[test]
fn a_beat_revives_an_inactive_session_and_keeps_its_other_fields() {
    let scene = Numbered::new(&[(4, "active", 1), (5, "inactive", 600)]);
    let marked = ",\n    \"marked_inactive_at\": \"2025-11-17T07:12:18.404913Z\"";
    let end = "\"current_work\": {\"progress\": \"5%\"}";
    scene.replace(end, &format!("{end}{marked}"));
    let before = scene.text();
    scene.run(&["heartbeat", "--number", "5"]).ends_with(0);
    let expected = before.replace(marked, "").replace("\"inactive\"", "\"active\"");
    assert_eq!(scene.text(), expected);
    let beat = scene.beat(&scene.beats()[0]);
    assert_eq!(beat["status"], "active");
    // The mark that the original's scripts leave behind goes, too.
    scene.replace(end, &format!("{end}{marked}"));
    scene.run(&["heartbeat", "--number", "5"]).ends_with(0);
    assert_eq!(scene.text(), expected);
    // Nobody has to be told of more than that.
    assert_eq!(scene.file(".session_identity"), None);
}

#[test]
fn who_has_no_number_does_not_beat() {
    let scene = Numbered::new(&[(4, "active", 1)]);
    let mut window = Window::open();
    let before = scene.state();
    let said = scene.run_in(&mut window, &["heartbeat"]).ends_with(1);
    assert!(
        said.stderr.contains("this terminal has no number") && said.stderr.contains("registry identify"),
        "{said:?}"
    );
    window.run(&scene.world.command_at_present(&["registry", "heartbeat", "--every", "1s"])).ends_with(1);
    let said = scene.run_in(&mut window, &["heartbeat", "--number", "9"]).ends_with(1);
    assert!(said.stderr.contains("there is no session 9"), "{said:?}");
    for wrong in ["0", "07", "x", "-1", ""] {
        scene.run_in(&mut window, &["heartbeat", "--number", wrong]).ends_with(2);
    }
    assert_eq!(scene.state(), before);
    Numbered::empty().run(&["heartbeat", "--number", "5"]).ends_with(1);
}

#[test]
fn a_loop_goes_by_the_clock_and_by_sensible_spans() {
    let scene = Numbered::new(&[(4, "active", 1)]);
    let before = scene.state();
    let ran = scene.run(&["heartbeat", "--number", "4", "--every", "30m"]).ends_with(2);
    assert!(ran.stderr.contains("--at"), "{ran:?}");
    for wrong in ["0s", "30", "-1s", "never", "NaN", "1.5h"] {
        let mut command = scene.world.command_at_present(&["registry", "heartbeat", "--number", "4", "--every", wrong]);
        Ran::of(&mut command).ends_with(2);
    }
    assert_eq!(scene.state(), before);
}

/// A loop that beats, and what it says.
struct Loop {
    child: Child,
    errors: Receiver<String>,
}

impl Loop {
    /// Started, and its first beat is there.
    #[track_caller]
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, errors) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let started = Self { child, errors };
        assert!(line.contains("is alive"), "{line:?}: {:?}", started.errors.try_iter().collect::<Vec<_>>());
        started
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32).unwrap()
    }

    /// Waits for the end; its exit status and what it said until then.
    #[track_caller]
    fn ended(mut self) -> (Option<i32>, Vec<String>) {
        let mut status = None;
        wait_until(|| {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        (status.unwrap().code(), self.errors.iter().collect())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The loop of session 5, by the machine's own clock.
fn beating(scene: &Numbered, every: &str, more: &[&str]) -> Command {
    scene.world.command_at_present(&[&["registry", "heartbeat", "--number", "5", "--every", every], more].concat())
}

#[test]
fn a_loop_beats_until_it_is_asked_to_end() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let scene = Numbered::new(&[(5, "active", 1)]);
        let beats = Loop::start(&mut beating(&scene, "1s", &["--working-on", "x"]));
        wait_until(|| scene.beats().len() > 1);
        kill_process(beats.pid(), signal).unwrap();
        assert_eq!(beats.ended(), (Some(0), vec![]), "{signal:?}");
        assert!(scene.beats().iter().all(|name| scene.beat(name)["working_on"] == "x"));
    }
    // Also in the middle of a long wait.
    let scene = Numbered::new(&[(5, "active", 1)]);
    let beats = Loop::start(&mut beating(&scene, "30m", &[]));
    kill_process(beats.pid(), Signal::TERM).unwrap();
    assert_eq!(beats.ended().0, Some(0));
    assert_eq!(scene.beats().len(), 1);
}

/// Whether there is no such process any more; what nobody has reaped yet has ended, too.
fn is_gone(pid: u32) -> bool {
    stat(pid).is_none_or(|stat| stat[0] == "Z")
}

/// A process that is nobody's child here, and must not stay when a test fails.
struct EndsWithTest(OwnedFd);

impl Drop for EndsWithTest {
    fn drop(&mut self) {
        // It has ended, if all went well.
        let _ = pidfd_send_signal(&self.0, Signal::KILL);
    }
}

#[test]
fn a_loop_ends_when_the_process_that_started_it_does() {
    let scene = Numbered::new(&[(5, "active", 1)]);
    let command = beating(&scene, "30m", &[]);
    let trace = scene.world.root().join("trace");
    // As a grandchild strace does not come between the two.
    let options = ["-D", "-e", "trace=exit_group", "-o", trace.to_str().unwrap()];
    let traced = strace(&options, &command);
    let line = line_of(traced.as_ref().unwrap_or(&command));
    let said = scene.world.root().join("said");
    let script = format!("{line} >'{}' 2>'/dev/null' & echo $!; read -r end", said.display());
    let mut shell = Command::new("sh");
    let mut shell = shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut pid = String::new();
    BufReader::new(shell.stdout.take().unwrap()).read_line(&mut pid).unwrap();
    let pid: u32 = pid.trim().parse().unwrap();
    // Its parent waits for a line from here, so it is still this one.
    let _end = EndsWithTest(pidfd_open(Pid::from_raw(pid as i32).unwrap(), PidfdFlags::empty()).unwrap());
    wait_until(|| fs_err::read_to_string(&said).is_ok_and(|said| said.contains("is alive")));
    assert!(!is_gone(pid));
    shell.stdin.take().unwrap().write_all(b"\n").unwrap();
    shell.wait().unwrap();
    wait_until(|| is_gone(pid));
    if traced.is_some() {
        wait_until(|| fs_err::read_to_string(&trace).is_ok_and(|trace| trace.contains("exit_group(0)")));
    }
    assert_eq!((scene.beats().len(), scene.status_of(5).as_str()), (1, "active"));
}

#[test]
fn a_loop_ends_with_its_terminals_session() {
    let scene = Numbered::empty();
    let mut window = Window::open();
    scene.run_in(&mut window, &["identify", "5"]).ends_with(0);
    let command = scene.world.command_at_present(&["registry", "heartbeat", "--every", "30m"]);
    let said = scene.world.root().join("said");
    // In a process group of its own, which no hangup reaches, and below a process that stays.
    let line = line_of(&command);
    let line = format!(
        "sh -c 'echo $$; exec timeout 300 \"$@\"' sh {line} >'{}' 2>'/dev/null' <'/dev/null' &",
        said.display()
    );
    window.shell(&line);
    let text = || fs_err::read_to_string(&said).unwrap_or_default();
    wait_until(|| text().contains("is alive"));
    let parent: u32 = text().lines().next().unwrap().parse().unwrap();
    window.close();
    wait_until(|| is_gone(parent));
}

#[test]
fn a_loop_ends_well_when_its_session_is_released() {
    let scene = Numbered::new(&[(5, "active", 1)]);
    let beats = Loop::start(&mut beating(&scene, "1s", &[]));
    scene.run(&["release", "5"]).ends_with(0);
    let text = scene.text();
    let (status, errors) = beats.ended();
    assert_eq!(status, Some(0), "{errors:?}");
    // Nor does it revive what was ended.
    assert_eq!((scene.text(), scene.status_of(5).as_str()), (text, "inactive"));
}

#[test]
fn a_loop_fails_when_its_number_is_somebody_elses() {
    let scene = Numbered::new(&[(1, "active", 1)]);
    let mut identify = with(&scene.command(&["identify", "5"]), &[("CLAUDE_CODE_SESSION_ID", "one")]);
    let Some(mut window) = Window::detached() else { return };
    window.run(&identify).ends_with(0);
    identify.env_remove("CLAUDE_CODE_SESSION_ID");
    let folder = scene.world.root().to_owned();
    let (said, errors) = (folder.join("said"), folder.join("errors"));
    let command = scene.world.command_at_present(&["registry", "heartbeat", "--every", "1s"]);
    let line = line_of(&with(&command, &[("CLAUDE_CODE_SESSION_ID", "one")]));
    let status = folder.join("status");
    let shown = |path| std::path::Path::display(path);
    let line = format!("( {line} >'{}' 2>'{}'; echo $? >'{}' ) &", shown(&said), shown(&errors), shown(&status));
    window.shell(&line);
    wait_until(|| fs_err::read_to_string(&said).is_ok_and(|said| said.contains("is alive")));
    // As the original's script does.
    scene.replace("\"role\": \"unspecified\"", "\"role\": \"Another\"");
    let before = scene.text();
    let registered = "\"registered_at\": \"2026-11-20T12:00:00Z\"";
    scene.write(&before.replace(registered, "\"registered_at\": \"2026-11-20T12:00:01Z\""));
    wait_until(|| fs_err::read_to_string(&status).is_ok_and(|status| status.ends_with('\n')));
    assert_eq!(fs_err::read_to_string(&status).unwrap(), "1\n");
    let errors = fs_err::read_to_string(&errors).unwrap();
    assert!(errors.contains("this terminal was session 5, and it was registered anew"), "{errors}");
}

#[test]
fn a_loop_fails_when_its_number_is_not_in_the_registry_any_more() {
    let scene = Numbered::new(&[(5, "active", 1)]);
    let beats = Loop::start(&mut beating(&scene, "1s", &[]));
    scene.write("{}");
    let (status, errors) = beats.ended();
    assert_eq!((status, errors.is_empty()), (Some(1), false), "{errors:?}");
    assert_eq!(scene.text(), "{}");
}

#[test]
fn a_loop_outlasts_a_registry_that_makes_no_sense_or_is_gone_for_a_while() {
    for text in [None, Some("{\"5\": {"), Some("[]")] {
        let scene = Numbered::new(&[(5, "active", 1)]);
        let whole = scene.text();
        let beats = Loop::start(&mut beating(&scene, "1s", &[]));
        match text {
            Some(text) => scene.write(text),
            None => fs_err::remove_file(scene.path()).unwrap(),
        }
        let error = beats.errors.recv_timeout(Duration::from_secs(30)).unwrap();
        assert!(error.contains("claude_sessions.json"), "{error}");
        assert_eq!(scene.file("claude_sessions.json").as_deref(), text);
        let before = scene.beats().len();
        scene.write(&whole);
        wait_until(|| scene.beats().len() > before);
        kill_process(beats.pid(), Signal::TERM).unwrap();
        assert_eq!(beats.ended().0, Some(0));
    }
}

#[test]
fn a_loop_goes_on_after_a_beat_that_was_not_possible() {
    let scene = Numbered::new(&[(5, "active", 1)]);
    let beats = Loop::start(&mut beating(&scene, "1s", &["--wait", "never"]));
    let lock = File::options().write(true).open(scene.base().join("claude_sessions.lock")).unwrap();
    // The loop may hold it just now.
    lock.lock().unwrap();
    let error = beats.errors.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(error.contains("is locked by"), "{error}");
    let before = scene.beats().len();
    lock.unlock().unwrap();
    wait_until(|| scene.beats().len() > before);
    kill_process(beats.pid(), Signal::TERM).unwrap();
    assert_eq!(beats.ended().0, Some(0));
}

#[test]
fn a_beat_waits_for_the_lock_and_says_who_has_it() {
    let scene = Numbered::new(&[(5, "active", 1)]);
    let path = scene.base().join("claude_sessions.lock");
    fs_err::write(&path, "").unwrap();
    let lock = File::options().write(true).open(&path).unwrap();
    lock.lock().unwrap();
    let before = scene.text();
    let ran = scene.run(&["heartbeat", "--number", "5", "--wait", "never"]).ends_with(3);
    assert!(ran.stderr.contains("claude_sessions.lock"), "{ran:?}");
    assert_eq!((scene.text(), scene.beats().len()), (before, 0));
    std::thread::scope(|threads| {
        let waiting = threads.spawn(|| scene.run(&["heartbeat", "--number", "5", "--wait", "1m"]));
        lock.unlock().unwrap();
        waiting.join().unwrap().ends_with(0);
    });
    assert_eq!(scene.beats().len(), 1);
}

#[test]
fn a_loop_brings_back_what_a_clean_up_ended() {
    let scene = Numbered::new(&[(5, "active", 1)]);
    let beats = Loop::start(&mut beating(&scene, "1s", &[]));
    // One with a shorter timeout than the loop knows of.
    let ended = "\"status\": \"inactive\", \"marked_inactive_at\": \"2026-11-20T12:00:00Z\"";
    scene.replace("\"status\": \"active\"", ended);
    wait_until(|| scene.status_of(5) == "active");
    assert!(scene.value()["5"].get("marked_inactive_at").is_none());
    kill_process(beats.pid(), Signal::TERM).unwrap();
    assert_eq!(beats.ended(), (Some(0), vec![]));
}

#[test]
fn a_service_ends_when_its_number_is_registered_anew() {
    let scene = Numbered::new(&[(5, "active", 1)]);
    let beats = Loop::start(&mut beating(&scene, "1s", &[]));
    scene.replace("\"registered_at\": \"", "\"registered_at\": \"2026-11-20T12:00:01Z\", \"before\": \"");
    let (status, said) = beats.ended();
    // Well, so that systemd does not start it again for whoever has the number now.
    assert_eq!(status, Some(0));
    assert!(said.iter().any(|line| line.contains("session 5 was registered anew")), "{said:?}");
}

#[test]
fn a_loop_that_beats_too_seldom_says_so() {
    let scene = Numbered::new(&[(5, "active", 1)]);
    let beats = Loop::start(&mut beating(&scene, "2h", &[]));
    kill_process(beats.pid(), Signal::TERM).unwrap();
    let (status, said) = beats.ended();
    assert_eq!(status, Some(0));
    assert!(said.iter().any(|line| line.contains("registry.timeout is not longer than --every")), "{said:?}");
}

//! `daemon`: ticks, signals, locks, what the service manager is told, and what is written down.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::daemon_world::Daemon;
use crate::left_behind::id;
use crate::queues_schemas::Generation;
use crate::queues_world::Queues;
use crate::test_bridge::Bridge;
use crate::world::{CLAUDE_ID, Ran, World, wait_until};

/// The lines of the run log.
fn runs(world: &World) -> Vec<Value> {
    let text = fs_err::read_to_string(world.state().join("runs.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A world with one idle mapping.
fn scene() -> World {
    let world = World::new();
    world.claude_hours_ago(CLAUDE_ID, 5);
    idle(&world);
    world
}

/// Puts the idle mapping into the map.
fn idle(world: &World) {
    world.map(&json!({"claude-cli": {"idle": CLAUDE_ID}}).to_string());
}

fn is_pruned(world: &World) -> bool {
    world.map_json() == json!({"claude-cli": {}})
}

fn config(world: &World, text: &str) {
    world.file(".config/session-sweep/config.toml", text, 0);
}

/// Holds the lock that a sweep holds.
fn sweeping(world: &World) -> fs_err::File {
    fs_err::create_dir_all(world.state()).unwrap();
    let lock = fs_err::File::create(world.state().join("sweep.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    lock
}

/// A pipe with a name: whoever opens it waits for the other side. Who waits in the end is let go.
struct Pipe(PathBuf);

impl Pipe {
    fn new(world: &World, name: &str) -> Self {
        let path = world.root().join(name);
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        Self(path)
    }

    /// Lets the command go on that reads from it.
    fn release(&self) {
        fs_err::OpenOptions::new().write(true).open(&self.0).unwrap().write_all(b"go\n").unwrap();
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // To read and to write, which waits for nobody.
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NONBLOCK;
        let _ = rustix::fs::open(&self.0, flags, rustix::fs::Mode::empty());
    }
}

/// A world whose prune is followed by a command that waits for a line in a pipe, for ever.
fn hanging() -> (World, Pipe) {
    let mut world = scene();
    let pipe = Pipe::new(&world, "hook");
    world.variable("SESSION_SWEEP_MAP_POST_PRUNE", format!("read line <'{}'", pipe.0.display()));
    world.variable("SESSION_SWEEP_MAP_POST_PRUNE_LIMIT", "1h");
    (world, pipe)
}

#[test]
fn it_is_ready_does_what_is_to_be_done_and_ends_when_it_is_asked() {
    let world = scene();
    let metrics = world.root().join("session-sweep.prom");
    let arguments = ["daemon", "--metrics-file", metrics.to_str().unwrap()];
    let daemon = Daemon::start(&world, &mut world.command_at_present(&arguments), None);
    let status = daemon.hear("last: map: 1 pruned; 1 mappings");
    assert!(status.starts_with("STATUS=next: map at 2"), "{status}");
    assert!(is_pruned(&world));
    assert_eq!(world.tombstones().len(), 1);
    let text = fs_err::read_to_string(&metrics).unwrap();
    // Which daemon it is tells its state's folder, of which there is one.
    let folder = world.state().display().to_string();
    for labels in ["session_sweep_ticks_total{area=\"map\",outcome=\"done\"", "{area=\"map\",action=\"pruned\""] {
        assert!(text.contains(&format!("{labels},state_folder=\"{folder}\"}} 1\n")), "{text}");
    }
    assert!(text.lines().all(|line| line.starts_with('#') || line.contains(&folder)), "{text}");
    assert!(text.ends_with("\n# EOF\n") && !text.contains("queues"), "only what is enabled: {text}");
    daemon.send(Signal::TERM);
    daemon.hear("STOPPING=1");
    let (status, log) = daemon.end_of();
    assert_eq!(status.code(), Some(0), "{log}");
    let log: Vec<&str> = log.lines().map(|line| line.split(", ").next().unwrap()).collect();
    let expected = ["[INFO ] looks after map every 5m", "[INFO ] map: 1 pruned; 1 mappings", "[INFO ] ended as asked"];
    assert_eq!(log, expected);
    let [run] = &runs(&world)[..] else { panic!("{:?}", runs(&world)) };
    assert_eq!(
        (&run["started_by"], &run["area"], &run["totals"]["pruned"]),
        (&json!("daemon"), &json!("map"), &json!(1))
    );
}

#[test]
fn there_is_one_daemon_for_a_state_folder() {
    let world = scene();
    let daemon = Daemon::of(&world);
    let ran = Ran::of(&mut world.command_at_present(&["daemon"])).ends_with(3);
    let holder = format!("daemon.lock is locked by pid {} (session-sweep daemon, since ", daemon.pid());
    let said = "session-sweep: there is one daemon for a state folder, see `session-sweep status`: ";
    assert!(ran.stderr.starts_with(said) && ran.stderr.contains(&holder), "{ran:?}");
    assert!(!ran.stderr.contains("--wait"), "it has no such option: {ran:?}");
    daemon.end();
    // What it leaves is in nobody's way.
    Daemon::of(&world).end();
}

#[test]
fn a_tick_waits_for_its_turn_while_a_sweep_runs() {
    let world = scene();
    let lock = sweeping(&world);
    let daemon = Daemon::of(&world);
    let status = daemon.hear("last: map: put off: ");
    assert!(status.ends_with("; it tries again by itself") && !status.contains("--wait"), "{status}");
    daemon.run_all("map");
    assert!(!is_pruned(&world));
    drop(lock);
    daemon.run_all("map");
    assert!(is_pruned(&world));
    let (_, log) = daemon.end();
    assert_eq!(log.matches("[INFO ] map: put off: ").count(), 1, "what repeats itself is not said again: {log}");
    assert!(log.contains("sweep.lock is locked by "), "{log}");
    // That it began is written down once, and that it is over.
    let exits: Vec<Value> = runs(&world).iter().map(|run| run["exit"].clone()).collect();
    assert_eq!(exits, [3, 0]);
}

#[test]
fn a_tick_waits_a_second_for_an_areas_lock_and_not_as_long_as_a_sweep() {
    let mut world = scene();
    world.variable("SESSION_SWEEP_MAP_WAIT", "1h");
    let lock = fs_err::File::create(world.bridge().join("session_map.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let daemon = Daemon::of(&world);
    daemon.hear("last: map: put off: ");
    drop(lock);
    daemon.run_all("map");
    assert!(is_pruned(&world));
}

#[test]
fn what_is_in_the_locks_place_is_no_reason_to_go_on_without_it() {
    let world = scene();
    let lock = world.state().join("sweep.lock");
    fs_err::create_dir_all(&lock).unwrap();
    let daemon = Daemon::of(&world);
    daemon.hear("last: map: failed: ");
    assert!(daemon.log().contains("sweep.lock is not touched: it is a folder; move it away"), "{}", daemon.log());
    let sweep = || Ran::of(&mut world.command_at_present(&["sweep", "--wait", "never"]));
    sweep().ends_with(1);
    fs_err::remove_dir(&lock).unwrap();
    fs_err::write(&lock, "dear diary").unwrap();
    sweep().ends_with(1);
    assert!(!is_pruned(&world));
    assert_eq!(fs_err::read_to_string(&lock).unwrap(), "dear diary");
    fs_err::remove_file(&lock).unwrap();
    daemon.run_all("map");
    assert!(is_pruned(&world));
}

#[test]
fn mappings_that_a_bridge_was_not_asked_for_are_told() {
    let mut world = World::new();
    for session in [CLAUDE_ID, &id(1)] {
        world.claude_hours_ago(session, 5);
    }
    world.map(&json!({"claude-cli": {"one": CLAUDE_ID, "two": id(1)}}).to_string());
    let bridge = Bridge::start(world.map_path());
    world.variable("SESSION_SWEEP_BRIDGE_URL", bridge.url());
    let pid = std::sync::Arc::new(std::sync::atomic::AtomicI32::new(0));
    let of_daemon = std::sync::Arc::clone(&pid);
    bridge.play(move |request| {
        if request.starts_with("DELETE") {
            // It waits for the answer, and the signal is there before it.
            wait_until(|| of_daemon.load(std::sync::atomic::Ordering::SeqCst) != 0);
            let pid = rustix::process::Pid::from_raw(of_daemon.load(std::sync::atomic::Ordering::SeqCst)).unwrap();
            rustix::process::kill_process(pid, Signal::TERM).unwrap();
        }
        None
    });
    let daemon = Daemon::of(&world);
    pid.store(daemon.pid() as i32, std::sync::atomic::Ordering::SeqCst);
    let (status, log) = daemon.end_of();
    assert_eq!(status.code(), Some(0), "{log}");
    let told = "map: 1 pruned; 2 mappings; not all: 1 more mappings stay: the daemon was asked to end before them";
    assert!(log.contains(told), "{log}");
    assert_eq!(bridge.memory()["claude-cli"].as_object().unwrap().len(), 1);
}

#[test]
fn an_area_that_is_put_off_for_ever_is_a_warning_after_ten_ticks() {
    let world = scene();
    let _lock = sweeping(&world);
    let daemon = Daemon::of(&world);
    daemon.hear("last: map: put off: ");
    let warning = "[WARN ] map: 10 ticks in a row were put off: ";
    (2..10).for_each(|_| drop(daemon.run_all("map")));
    assert!(!daemon.log().contains(warning), "{}", daemon.log());
    daemon.run_all("map");
    daemon.run_all("map");
    assert_eq!(daemon.log().matches(warning).count(), 1, "{}", daemon.log());
    assert_eq!(runs(&world).len(), 1);
    let doctor = Ran::of(&mut world.command_at_present(&["doctor"])).stdout;
    assert!(!doctor.contains("went well") && doctor.contains("ticks of map are put off:"), "{doctor}");
}

#[test]
fn a_sweep_waits_for_its_turn_while_a_tick_runs() {
    let (world, pipe) = hanging();
    let daemon = Daemon::of(&world);
    wait_until(|| is_pruned(&world));
    let ran =
        Ran::of(&mut world.command_at_present(&["sweep", "--wait", "never", "--started-by", "timer"])).ends_with(3);
    let holder = format!("sweep.lock is locked by pid {} (session-sweep daemon, since ", daemon.pid());
    assert!(ran.stderr.contains(&holder), "{ran:?}");
    assert_eq!((&runs(&world)[0]["started_by"], &runs(&world)[0]["exit"]), (&json!("timer"), &json!(3)));
    // A preview needs no turn.
    Ran::of(&mut world.command_at_present(&["sweep", "--dry-run"])).ends_with(0);
    pipe.release();
    daemon.hear("last: map: 1 pruned");
    Ran::of(&mut world.command_at_present(&["sweep", "--wait", "never"])).ends_with(0);
}

#[test]
fn a_configuration_that_is_wrong_is_refused_and_the_one_before_counts() {
    let mut world = scene();
    let metrics = world.root().join("m.prom");
    world.variable("SESSION_SWEEP_DAEMON_METRICS_FILE", &metrics);
    config(&world, "[map]\nidle = \"9h\"\n");
    let daemon = Daemon::of(&world);
    daemon.hear("last: map: nothing done");
    config(&world, "[map]\nidle = \"1h\"\nidel = \"1h\"\n");
    daemon.send(Signal::HUP);
    let message = daemon.hear("RELOADING=1");
    assert!(message.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{message}");
    let status = daemon.hear("STATUS=");
    assert!(status.starts_with("STATUS=the configuration is refused, see the log; next: map at "), "{status}");
    daemon.hear("READY=1");
    let right = format!("session_sweep_config_last_reload_successful{{state_folder=\"{}\"}}", world.state().display());
    assert!(fs_err::read_to_string(&metrics).unwrap().contains(&format!("{right} 0\n")));
    let log = daemon.log();
    assert!(log.contains("did you mean `idle`?") && log.contains("is refused; the one before counts"), "{log}");
    daemon.run_all("map");
    assert!(!is_pruned(&world));
    config(&world, "[map]\nidle = \"1h\"\n[registry]\nenabled = true\n[daemon]\nmap = \"7m\"\n");
    daemon.send(Signal::HUP);
    daemon.hear("READY=1");
    // The registry came on and is due; the map keeps its time.
    daemon.hear("last: registry:");
    assert!(fs_err::read_to_string(&metrics).unwrap().contains(&format!("{right} 1\n")));
    daemon.run_all("map");
    assert!(is_pruned(&world));
    let (status, log) = daemon.end();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("looks after map every 7m, registry every 7m"), "{log}");
}

#[test]
fn a_configuration_that_is_wrong_at_the_start_and_another_time_are_refused() {
    let world = scene();
    let ran = world.run(&["daemon"]).ends_with(2);
    assert!(ran.stderr.contains("--at rehearses one instant"), "{ran:?}");
    let ran = Ran::of(&mut world.command_at_present(&["daemon", "--json"])).ends_with(2);
    assert!(ran.stderr.contains("--json has no document"), "{ran:?}");
    let help = world.run(&["daemon", "--help"]).ends_with(0).stdout;
    assert!(
        ["daemon.map", "daemon.processes", "daemon.queues", "daemon.artifacts"].iter().all(|key| help.contains(key))
    );
    config(&world, "[daemon]\nmap = \"0s\"\n");
    let ran = Ran::of(&mut world.command_at_present(&["daemon"])).ends_with(2);
    assert!(ran.stderr.contains("daemon.map"), "{ran:?}");
}

#[test]
fn metrics_replace_nothing_that_is_not_ours() {
    let world = scene();
    let map = world.map_path();
    let ran = Ran::of(&mut world.command_at_present(&["daemon", "--metrics-file", map.to_str().unwrap()])).ends_with(2);
    let refusal = "session_map.json is not replaced by metrics: it holds something else; give --metrics-file or";
    assert!(ran.stderr.contains(refusal), "{ran:?}");
    let before = world.map_json();
    let metrics = world.root().join("m.prom");
    config(&world, &format!("[daemon]\nmap = \"7m\"\nmetrics_file = {}\n", json!(metrics)));
    let daemon = Daemon::of(&world);
    daemon.hear("last: map: 1 pruned");
    idle(&world);
    config(&world, &format!("[daemon]\nmap = \"8m\"\nmetrics_file = {}\n", json!(map)));
    daemon.send(Signal::HUP);
    daemon.hear("READY=1");
    let log = daemon.log();
    assert!(log.contains(refusal) && log.contains("is refused; the one before counts"), "{log}");
    assert!(!log.contains("every 8m"), "{log}");
    assert_eq!(world.map_json(), before);
    assert!(fs_err::read_to_string(&metrics).unwrap().contains("session-sweep\"} 0\n"));
}

#[test]
fn a_folder_that_an_area_cannot_write_to_is_warned_of() {
    let world = scene();
    let file = world.file("file", "", 0);
    let base = file.join("claude_sessions");
    let registry = |enabled| format!("[registry]\nenabled = {enabled}\nbase = {}\n", json!(base));
    config(&world, &registry(false));
    let daemon = Daemon::of(&world);
    let warning =
        format!("[WARN ] registry: {} is no folder; where this is a service, make the folder", file.display());
    assert!(!daemon.log().contains("[WARN ]"), "an area that is off writes nothing: {}", daemon.log());
    config(&world, &registry(true));
    daemon.send(Signal::HUP);
    daemon.hear("READY=1");
    assert!(daemon.log().contains(&warning), "{}", daemon.log());
}

#[test]
fn the_units_let_a_daemon_start_anew_where_another_had_its_lock() {
    for unit in [
        include_str!("../../packaging/systemd/session-sweep-daemon.service"),
        include_str!("../../packaging/systemd/user/session-sweep-daemon.service"),
    ] {
        assert!(unit.contains("\nRestartPreventExitStatus=2\n") && unit.contains("\nRestartSec=1min\n"), "{unit}");
    }
    let unit = include_str!("../../packaging/systemd/session-sweep-daemon.service");
    assert!(unit.contains("\nAfter=time-set.target local-fs.target remote-fs.target\n"), "{unit}");
}

#[test]
fn a_configuration_that_is_gone_is_refused_and_the_one_before_counts() {
    let world = scene();
    config(&world, "[daemon]\nmap = \"7m\"\n");
    let file = world.home().join(".config/session-sweep/config.toml");
    let daemon = Daemon::of(&world);
    daemon.hear("last: map: 1 pruned");
    fs_err::write(&file, "").unwrap();
    for _ in 0..2 {
        daemon.send(Signal::HUP);
        daemon.hear("READY=1");
        let _ = fs_err::remove_file(&file);
    }
    let log = daemon.log();
    let refusal = "config.toml: was there when it was read before, and is missing or empty; put it back, or restart";
    assert_eq!((log.matches(refusal).count(), log.matches("looks after map every 7m").count()), (2, 1), "{log}");
    assert!(!log.contains("every 5m"), "{log}");
    config(&world, "[daemon]\nmap = \"8m\"\n");
    daemon.send(Signal::HUP);
    daemon.hear("READY=1");
    assert!(daemon.log().contains("looks after map every 8m"), "{}", daemon.log());
}

#[test]
fn a_tick_that_hangs_is_not_pinged_alive() {
    let (world, pipe) = hanging();
    let daemon = Daemon::start(&world, &mut world.command_at_present(&["daemon"]), Some(500));
    daemon.hear("WATCHDOG=1");
    wait_until(|| is_pruned(&world));
    // Within the first period it may only be slow.
    let mut pings = 0;
    daemon.patience(Duration::from_millis(1_500));
    while let Some(message) = daemon.next() {
        assert_eq!(message, "WATCHDOG=1");
        pings += 1;
        assert!(pings < 10, "it is pinged alive");
    }
    pipe.release();
    daemon.patience(Duration::from_secs(10));
    daemon.hear("last: map: 1 pruned");
    daemon.hear("WATCHDOG=1");
    assert!(
        daemon.log().contains("map.post_prune_limit lets one step take 1h, not shorter than the watchdog's 0s"),
        "{}",
        daemon.log()
    );
}

#[test]
fn a_bridge_that_may_be_as_slow_as_a_hang_is_told_of() {
    let mut world = World::new();
    world.variable("SESSION_SWEEP_BRIDGE_TIMEOUT", "4s");
    let warning = "bridge.timeout lets one step take 20s, not shorter than the watchdog's 20s: ";
    let told = |world: &World| {
        let daemon = Daemon::start(world, &mut world.command_at_present(&["daemon"]), Some(20_000));
        let (_, log) = daemon.end();
        log.matches(warning).count()
    };
    assert_eq!(told(&world), 0, "no bridge is asked");
    world.map("{}");
    let bridge = Bridge::start(world.map_path());
    world.variable("SESSION_SWEEP_BRIDGE_URL", bridge.url());
    assert_eq!(told(&world), 1);
}

#[test]
fn an_idle_daemon_is_alive() {
    let world = World::new();
    let daemon = Daemon::start(&world, &mut world.command_at_present(&["daemon"]), Some(200));
    daemon.hear("last: map: nothing done");
    daemon.skip();
    (0..5).for_each(|_| assert_eq!(daemon.next().as_deref(), Some("WATCHDOG=1")));
}

#[test]
fn a_watchdog_for_another_process_is_none_of_its_business() {
    let world = World::new();
    let mut command = world.command_at_present(&["daemon"]);
    command.env("WATCHDOG_PID", std::process::id().to_string());
    let daemon = Daemon::start(&world, &mut command, Some(100));
    daemon.hear("last: map: nothing done");
    daemon.patience(Duration::from_millis(500));
    assert_eq!(daemon.next(), None);
}

/// An installation with sessions that are due, whose hook tells of each in a pipe and waits for a word in another one.
struct Waking {
    told: Pipe,
    go: Pipe,
    queues: Queues,
}

impl Waking {
    fn with_sessions(ids: &[&str]) -> Self {
        let mut queues = Queues::new(Generation::C);
        let (told, go) = (Pipe::new(&queues.world, "told"), Pipe::new(&queues.world, "go"));
        let script = format!("echo $1 >'{}'; read line <'{}'", told.0.display(), go.0.display());
        queues.set(&format!("wake.command = {}", json!(["/bin/sh", "-c", script, "wake"])));
        queues.set("wake.limit = \"1h\"");
        for id in ids {
            queues.session(id).message("m1");
        }
        Self { told, go, queues }
    }

    fn command(&self) -> Command {
        let mut command = self.queues.world.command_at_present(&["daemon"]);
        command.env("PATH", self.queues.engine.bin());
        command
    }

    /// Waits until the hook runs, and tells for whom.
    fn woken(&self) -> String {
        let mut line = String::new();
        BufReader::new(fs_err::File::open(&self.told.0).unwrap()).read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

#[test]
fn a_tick_that_is_asked_to_end_finishes_its_item_and_tells_what_it_left() {
    let waking = Waking::with_sessions(&["sess-a", "sess-b", "sess-c"]);
    let daemon = Daemon::start(&waking.queues.world, &mut waking.command(), None);
    let first = waking.woken();
    daemon.send(Signal::TERM);
    waking.go.release();
    let (status, log) = daemon.end_of();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("queues: 1 woken; 3 sessions") && log.ends_with("[INFO ] ended as asked\n"), "{log}");
    let run = runs(&waking.queues.world).pop().unwrap();
    assert_eq!((&run["queues"]["woken"], &run["queues"]["left"]), (&json!(1), &json!(2)), "{run}");
    // The next daemon wakes the others, and them alone.
    let _daemon = Daemon::start(&waking.queues.world, &mut waking.command(), None);
    let mut others = vec![first, waking.woken()];
    waking.go.release();
    others.push(waking.woken());
    waking.go.release();
    others.sort();
    assert_eq!(others, ["sess-a", "sess-b", "sess-c"]);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let waking = Waking::with_sessions(&["sess-a"]);
    let mut daemon = Daemon::start(&waking.queues.world, &mut waking.command(), None);
    waking.woken();
    daemon.send(Signal::TERM);
    daemon.send(Signal::INT);
    assert!(matches!(daemon.wait().signal(), Some(libc::SIGTERM | libc::SIGINT)));
    waking.go.release();
    // Its locks ended with it.
    Daemon::of(&World::new()).end();
    Daemon::start(&waking.queues.world, &mut waking.command(), None);
}

#[test]
fn a_long_tick_that_gets_on_is_alive() {
    let ids = ["sess-a", "sess-b"];
    let waking = Waking::with_sessions(&ids);
    let daemon = Daemon::start(&waking.queues.world, &mut waking.command(), Some(2_000));
    for _ in ids {
        waking.woken();
        daemon.skip();
        // Only the thread beside the tick can give it now.
        daemon.hear("WATCHDOG=1");
        waking.go.release();
    }
    daemon.hear("last: queues: 2 woken");
}

#[test]
fn levels_go_before_the_lines_where_the_journal_reads_them() {
    let world = scene();
    let log = world.root().join("daemon.log");
    let mut command = world.command_at_present(&["daemon"]);
    // The file that stands for the journal is made when the daemon starts, with the number it has here.
    fs_err::write(&log, "").unwrap();
    let metadata = fs_err::metadata(&log).unwrap();
    command.env("JOURNAL_STREAM", format!("{}:{}", metadata.dev(), metadata.ino()));
    config(&world, "[daemon]\nmap = \"never\"\n");
    let daemon = Daemon::start(&world, &mut command, None);
    config(&world, "x");
    daemon.send(Signal::HUP);
    daemon.hear("RELOADING=1");
    daemon.hear("READY=1");
    let (_, log) = daemon.end();
    let levels: Vec<&str> = log.lines().map(|line| line.get(..3).unwrap()).collect();
    assert!(log.starts_with("<4>every area is switched off: ") && log.ends_with("<6>ended as asked\n"), "{log}");
    assert!(levels[1..levels.len() - 1].iter().all(|level| *level == "<3>"), "{log}");
    assert!(!is_pruned(&world));
}

#[test]
fn what_ends_it_is_an_error_where_the_journal_reads_it() {
    let world = scene();
    config(&world, "[daemon]\nmap = \"often\"\nqueues = \"never\"\nx = 1\n");
    let path = world.root().join("journal");
    for arguments in [&["daemon"][..], &["daemon", "--no-such-option"], &["daemon", "--json"]] {
        let file = fs_err::File::create(&path).unwrap();
        let metadata = file.metadata().unwrap();
        let mut command = world.command_at_present(arguments);
        command.env("JOURNAL_STREAM", format!("{}:{}", metadata.dev(), metadata.ino()));
        assert_eq!(command.stderr(file.into_parts().0).status().unwrap().code(), Some(2));
        let text = fs_err::read_to_string(&path).unwrap();
        assert!(!text.is_empty() && text.lines().all(|line| line.starts_with("<3>")), "{arguments:?}: {text}");
    }
}

#[test]
fn its_log_has_colours_where_they_are_asked_for() {
    let world = scene();
    config(&world, "[daemon]\nmap = \"never\"\n");
    for (when, coloured) in [("always", true), ("never", false), ("auto", false)] {
        let daemon = Daemon::start(&world, &mut world.command_at_present(&["daemon", "--color", when]), None);
        let (_, log) = daemon.end();
        assert_eq!(log.contains('\u{1b}'), coloured, "{when}: {log}");
        fs_err::write(world.root().join("daemon.log"), "").unwrap();
    }
}

#[test]
fn an_area_that_only_ever_refuses_is_a_warning_after_ten_ticks() {
    let mut queues = Queues::new(Generation::C);
    queues.set("[[queues]]\nroot = \"/nonexistent\"");
    let mut command = queues.world.command_at_present(&["daemon", "-v"]);
    command.env("PATH", queues.engine.bin());
    let daemon = Daemon::start(&queues.world, &mut command, None);
    daemon.hear("last: queues: nothing done; not all: ");
    let warning = "[WARN ] queues: 10 ticks in a row were only refused something and did nothing: ";
    (2..10).for_each(|_| drop(daemon.run_all("queues")));
    assert!(!daemon.log().contains(warning), "{}", daemon.log());
    daemon.run_all("queues");
    daemon.run_all("queues");
    let (_, log) = daemon.end();
    assert_eq!(log.matches(warning).count(), 1, "{log}");
    assert_eq!(log.matches("[INFO ] queues: ").count(), 1, "what repeats itself is not said again: {log}");
    let runs = runs(&queues.world);
    let of = |area: &str| runs.iter().filter(|run| run["area"] == area).count();
    assert_eq!((of("map"), of("queues")), (1, 1), "nor written down again: {runs:?}");
}

#[test]
fn an_installation_whose_host_may_run_is_a_warning_and_one_whose_host_runs_is_told_once() {
    let mut queues = Queues::new(Generation::C);
    queues.set("");
    queues.lease(3_600, false);
    let mut command = queues.world.command_at_present(&["daemon", "-v"]);
    command.env("PATH", queues.engine.bin());
    let daemon = Daemon::start(&queues.world, &mut command, None);
    daemon.hear("last: queues: nothing done; ");
    // What shows that it runs is another thing at each tick.
    for seconds in [3_601, 3_602] {
        queues.lease(seconds, false);
        daemon.run_all("queues");
    }
    let told = format!("[INFO ] queues: nothing done; {} is left to its host, which runs", queues.root().display());
    assert_eq!(daemon.log().matches(&told).count(), 1, "{}", daemon.log());
    queues.central().execute_batch("UPDATE host_instances SET lease_expires_at = 'tomorrow'").unwrap();
    for _ in 0..10 {
        let status = daemon.run_all("queues");
        assert!(status.contains("not all: ") && status.contains("whether its host runs is not known"), "{status}");
    }
    let (_, log) = daemon.end();
    assert_eq!(log.matches("[WARN ] queues: 10 ticks in a row were only refused something").count(), 1, "{log}");
}

#[test]
fn a_tick_that_fails_is_logged_and_the_next_one_comes() {
    let world = scene();
    world.map("{");
    let daemon = Daemon::of(&world);
    daemon.hear("last: map: failed: ");
    daemon.run_all("map");
    idle(&world);
    daemon.run_all("map");
    assert!(is_pruned(&world));
    let (status, log) = daemon.end();
    assert_eq!((status.code(), log.matches("[ERROR] map: failed: ").count()), (Some(0), 2), "{log}");
    let exits: Vec<Value> = runs(&world).iter().map(|run| run["exit"].clone()).collect();
    assert_eq!(exits, [1, 0]);
}

#[test]
fn metrics_that_cannot_be_written_stop_nobody() {
    let world = scene();
    let nowhere = world.root().join("no/folder/m.prom");
    let arguments = ["daemon", "--metrics-file", nowhere.to_str().unwrap()];
    let daemon = Daemon::start(&world, &mut world.command_at_present(&arguments), None);
    daemon.hear("last: map: 1 pruned");
    daemon.run_all("map");
    let (_, log) = daemon.end();
    let warning = "[WARN ] the metrics are not written: ";
    assert_eq!(log.matches(warning).count(), 1, "{log}");
    assert!(log.contains("no/folder is no folder: make it, or give another path"), "{log}");
    // A reload tells of it anew.
    let daemon = Daemon::start(&world, &mut world.command_at_present(&arguments), None);
    daemon.send(Signal::HUP);
    daemon.hear("RELOADING=1");
    daemon.hear("READY=1");
    let (_, both) = daemon.end();
    assert_eq!(both.matches(warning).count(), 3, "{both}");
}

#[test]
fn a_metrics_path_that_names_no_file_is_refused_and_one_that_is_not_collected_is_told_of() {
    let world = scene();
    for path in ["./sub/", "missing/..", ".."] {
        let ran = Ran::of(&mut world.command_at_present(&["daemon", "--metrics-file", path])).ends_with(2);
        assert!(ran.stderr.contains("names a folder: give "), "{ran:?}");
    }
    assert!(!world.root().join("sub").exists());
    let path = world.root().join("metrics.txt");
    let arguments = ["daemon", "--metrics-file", path.to_str().unwrap()];
    let (_, log) = Daemon::start(&world, &mut world.command_at_present(&arguments), None).end();
    assert!(log.contains("[WARN ] ") && log.contains("metrics.txt does not end in .prom: "), "{log}");
}

#[test]
fn status_and_doctor_know_of_it() {
    let world = scene();
    let status = |arguments: &[&str]| Ran::of(&mut world.command_at_present(arguments)).stdout;
    assert!(status(&["status"]).contains("daemon    does not run\n"));
    let finding = |check: &str| {
        let document: Value = serde_json::from_str(&status(&["doctor", "--json"])).unwrap();
        let checks = document["checks"].as_array().unwrap();
        checks.iter().find(|row| row["id"] == check).unwrap_or_else(|| panic!("{document:#}")).clone()
    };
    assert_eq!(finding("schedule")["status"], "wrong");
    let daemon = Daemon::of(&world);
    daemon.hear("last: map: 1 pruned");
    let text = status(&["status"]);
    let running = format!("daemon    runs: pid {} (session-sweep daemon, since ", daemon.pid());
    assert!(text.contains(&running) && text.contains("started by daemon (map)"), "{text}");
    assert!(text.starts_with("no timer and no cron: the daemon runs\n"), "{text}");
    assert_eq!((&finding("schedule")["status"], &finding("last-run")["status"]), (&json!("ok"), &json!("ok")));
    world.map("{");
    daemon.run_all("map");
    let last = finding("last-run");
    assert_eq!(last["status"], "wrong", "{last:#}");
    assert!(last["message"].as_str().unwrap().contains("ticks of map are failed: "), "{last:#}");
    let user = crate::scheduled::me();
    world.machine_file(
        "etc/cron.d/session-sweep",
        &format!("17 * * * * {user} /usr/bin/session-sweep sweep --started-by cron\n"),
    );
    let both = finding("schedule");
    assert_eq!(both["status"], "warning", "{both:#}");
    assert!(both["message"].as_str().unwrap().contains("etc/cron.d/session-sweep"), "{both:#}");
}

//! `status`: which schedules there are, what the last run came to, who holds the lock.

use serde_json::{Value, json};

use crate::doctor::well;
use crate::left_behind::{id, nested};
use crate::machine::{as_ordinary_user, is_root, set_mode};
use crate::scheduled::{me, recorded};
use crate::tree::tree_of;
use crate::world::{CODEX_ID, Ran, World};

fn run(at: &str, started_by: &str, exit: i32) -> Value {
    let totals = json!({"checked": 12, "active": 5, "idle": 7, "pruned": 7});
    json!({"at": at, "started_by": started_by, "took_ms": 12, "exit": exit, "map": "/m", "totals": totals})
}

fn kinds(document: &Value) -> Vec<&str> {
    let schedules = document["schedules"].as_array().unwrap();
    schedules.iter().map(|schedule| schedule["kind"].as_str().unwrap()).collect()
}

#[test]
fn each_kind_of_schedule_is_told_with_its_next_and_its_last_run() {
    let mut world = World::new();
    world.systemd("user", "user", &World::program());
    world.systemd("system", "system", &World::program());
    world.crontab("17 * * * * /usr/bin/session-sweep sweep --quiet --started-by cron\n");
    world.run_log(&[run("2026-11-20T16:17:00.5Z", "cron", 4)]);
    let document = world.json_then(&["status"]);
    assert_eq!(kinds(&document), ["systemd user", "systemd system", "cron"]);
    let of = |index: usize, keys: [&str; 5]| keys.map(|key| document["schedules"][index][key].clone());
    let keys = ["next", "left_seconds", "last", "result", "place"];
    let system = json!(["2026-11-20T17:02:22Z", 742, "2026-11-20T16:34:22Z", "done", "session-sweep@anna.timer"]);
    assert_eq!(json!(of(1, keys)), system);
    let user = json!(["2026-11-20T17:00:31Z", 631, "2026-11-20T16:34:25Z", "done", "session-sweep.timer"]);
    assert_eq!(json!(of(0, keys)), user);
    let crontab = format!("crontab of {}", me());
    assert_eq!(json!(of(2, keys)), json!(["2026-11-20T17:17:00Z", 1620, "2026-11-20T16:17:00Z", "partial", crontab]));
    assert_eq!(document["schedules"][1]["interval_seconds"], 3600);
    assert_eq!((&document["user"], &document["schedules"][1]["delay_seconds"]), (&json!(me()), &json!(300)));
    assert_eq!(document["problems"], json!([]));
}

#[test]
fn nothing_scheduled_is_said_with_what_to_do_and_is_no_failure() {
    let mut world = World::new();
    // Neither systemd nor cron is there.
    let ran = world.run_then(&["status"]).ends_with(0);
    assert!(ran.stdout.starts_with("nothing is scheduled: ./install.sh") && ran.stdout.contains("README"), "{ran:?}");
    // They are there, and have nothing of ours; cron says so with a failure.
    world.systemd("system", "system", &World::program());
    world.says("system/list", "");
    world.crontab("");
    world.says("cron/error", "no crontab for anna\n");
    let ran = world.run_then(&["status"]).ends_with(0);
    assert!(ran.stdout.starts_with("nothing is scheduled"), "{ran:?}");
    // busybox says it in other words.
    world.says("cron/error", "crontab: can't open 'anna': No such file or directory\n");
    world.run_then(&["status"]).ends_with(0);
}

#[test]
fn a_container_without_systemd_has_no_timers() {
    let mut world = World::new();
    world.systemd("system", "system", &World::program());
    let said = "System has not been booted with systemd as init system (PID 1). Can't operate.\n\
                Failed to connect to bus: Host is down\n";
    world.says("system/error", said);
    let ran = world.run_then(&["status"]).ends_with(0);
    assert!(ran.stdout.starts_with("nothing is scheduled"), "{ran:?}");
}

#[test]
fn what_could_not_be_looked_at_is_told_and_is_not_nothing() {
    for (place, said) in [
        ("system/error", "Failed to list units: Access denied\n"),
        ("user/error", "Failed to connect to bus: Permission denied\n"),
        ("cron/error", "You (anna) are not allowed to use this program (crontab)\n"),
    ] {
        let mut world = World::new();
        world.systemd("user", "user", &World::program());
        world.crontab("");
        for whose in ["user/list", "system/list"] {
            world.says(whose, "");
        }
        world.says(place, said);
        let ran = world.run_then(&["status"]).ends_with(4);
        assert!(ran.stdout.starts_with("no schedule was found, but not everything could be looked at"), "{ran:?}");
        assert!(ran.stdout.contains(said.trim()), "{ran:?}");
        let quiet = world.run_then(&["status", "--quiet"]).ends_with(4);
        assert!(quiet.stdout.is_empty() && quiet.stderr.contains(said.trim()), "{quiet:?}");
    }
}

#[test]
fn a_timer_that_is_on_but_does_not_run_is_told_with_what_to_do() {
    let mut world = World::new();
    world.systemd("system", "waiting", &World::program());
    let ran = world.run_then(&["status"]).ends_with(0);
    assert!(ran.stdout.contains("note: session-sweep@anna.timer is enabled, but not running"), "{ran:?}");
    assert!(ran.stdout.contains("sudo systemctl start session-sweep@anna.timer"), "{ran:?}");
    assert_eq!(world.json_then(&["status"])["schedules"][0]["state"], "stopped");
}

#[test]
fn a_timer_that_is_off_is_no_schedule() {
    let mut world = World::new();
    world.systemd("system", "waiting", &World::program());
    world.says("system/timers", &recorded("waiting/timers.txt").replace("=enabled", "=disabled"));
    assert_eq!(world.json_then(&["status"])["schedules"], json!([]));
    // One that runs all the same is one, until the next start of the machine.
    world.says("system/timers", &recorded("system/timers.txt").replace("=enabled", "=disabled"));
    assert_eq!(world.json_then(&["status"])["schedules"][0]["state"], "until reboot");
}

#[test]
fn a_users_timer_that_waits_for_a_login_is_told() {
    let world = World::new();
    let unit = world.file(".config/systemd/user/session-sweep.timer", "", 0);
    let wants = world.home().join(".config/systemd/user/timers.target.wants");
    fs_err::create_dir(&wants).unwrap();
    fs_err::os::unix::fs::symlink(unit, wants.join("session-sweep.timer")).unwrap();
    let mut command = world.command_at_present(&["status"]);
    command.env("XDG_RUNTIME_DIR", world.root().join("nowhere"));
    let ran = Ran::of(&mut command).ends_with(0);
    assert!(ran.stdout.contains("session-sweep.timer is enabled, but runs only while you are logged in"), "{ran:?}");
    assert!(ran.stdout.contains("loginctl enable-linger"), "{ran:?}");
}

#[test]
fn other_users_timers_are_roots_to_see() {
    let mut world = World::new();
    world.systemd("system", "root", &World::program());
    let services = recorded("root/services.txt");
    world.says("system/services", &services);
    let users: Vec<Value> = world.json_then(&["status"])["schedules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|schedule| json!([schedule["user"], schedule["result"], schedule["state"]]))
        .collect();
    let both = [json!(["anna", "done", "on"]), json!(["bert", "failed", "until reboot"])];
    assert_eq!(users, if is_root() { &both[..] } else { &[] });
    if is_root() {
        let theirs = Ran::of(&mut as_ordinary_user(&world, &world.command(&["status", "--json"]))).ends_with(0);
        assert_eq!(serde_json::from_str::<Value>(&theirs.stdout).unwrap()["schedules"], json!([]));
    }
}

#[test]
fn the_log_of_one_user_says_nothing_about_the_runs_of_others() {
    let mut world = World::new();
    world.systemd("system", "never", &World::program());
    world.says("system/services", &recorded("never/services.txt").replace("User=anna", "User=bert"));
    world.run_log(&[run("2026-11-20T16:40:00Z", "timer", 0)]);
    let schedules = world.json_then(&["status"])["schedules"].clone();
    if is_root() {
        assert_eq!((&schedules[0]["user"], &schedules[0]["last"]), (&json!("bert"), &Value::Null));
    } else {
        assert_eq!(schedules, json!([]));
    }
}

#[test]
fn the_last_run_is_told_in_words() {
    let world = World::new();
    let none = world.run_then(&["status"]).ends_with(0);
    assert!(none.stdout.contains("last run  none in the log"), "{none:?}");
    for (exit, words) in [
        (0, "done; 12 checked, 7 pruned, in 12 ms"),
        (1, "failed; 12 checked"),
        (2, "wrong usage or configuration"),
        (3, "another run held the lock"),
        (4, "partial: not all could be looked at"),
    ] {
        world.run_log(&[run("2026-11-20T15:00:00Z", "cron", 0), run("2026-11-20T16:00:00Z", "timer", exit)]);
        let text = world.run_then(&["status"]).ends_with(0).stdout;
        assert!(text.contains("last run  2026-11-20 16:00Z, 50m ago, started by timer\n"), "{text}");
        assert!(text.contains(words), "{text}");
    }
    let mut failed = run("2026-11-20T16:00:00Z", "hand", 1);
    failed["error"] = json!("it \u{1b}[31mburned");
    world.run_log(&[failed]);
    let text = world.run_then(&["status"]).ends_with(0).stdout;
    assert!(text.contains(r"it \u{1b}[31mburned"), "{text}");
}

#[test]
fn who_holds_the_lock_is_told_without_taking_it() {
    let world = World::new();
    let path = world.bridge().join("session_map.lock");
    assert_eq!(world.json_then(&["status"])["lock"]["state"], "free");
    assert!(!path.exists());
    let line = format!("{} 2026-11-20T16:49:00Z session-sweep prune\n", std::process::id());
    fs_err::write(&path, line).unwrap();
    assert_eq!(world.json_then(&["status"])["lock"]["state"], "free");
    let file = fs_err::File::open(&path).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let lock = world.json_then(&["status"])["lock"].clone();
    let expected = json!({"path": path, "state": "held", "pid": std::process::id(), "program": "session-sweep prune",
        "since": "2026-11-20T16:49:00Z"});
    assert_eq!(lock, expected);
    let text = world.run_then(&["status"]).ends_with(0).stdout;
    let expected = format!("held by pid {} (session-sweep prune, since 2026-11-20 16:49:00Z)", std::process::id());
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn a_run_log_that_cannot_be_read_is_told() {
    let world = World::new();
    world.run_log(&[run("2026-11-20T16:00:00Z", "hand", 0)]);
    set_mode(&world.home().join(".local/state/session-sweep/runs.jsonl"), 0o000);
    let ran = Ran::of(&mut as_ordinary_user(&world, &world.command(&["status"]))).ends_with(4);
    assert!(ran.stdout.contains("runs.jsonl") && ran.stdout.contains("Permission denied"), "{ran:?}");
}

#[test]
fn nothing_is_written() {
    let world = well();
    world.claude(&id(1), 300);
    let map = nested(&[("claude-cli", "old", &id(1)), ("codex-cli", "b", CODEX_ID)]);
    world.map(&map).run(&["prune"]).ends_with(0);
    world.map(&map);
    let lock = fs_err::File::open(world.bridge().join("session_map.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let before = tree_of(world.root());
    world.run_then(&["status"]).ends_with(0);
    world.run_then(&["doctor"]).ends_with(0);
    assert_eq!(tree_of(world.root()), before);
}

#[test]
fn a_timer_that_counts_from_the_start_of_the_machine_has_a_next_run() {
    let mut world = World::new();
    world.systemd("user", "user", &World::program());
    let timers = recorded("user/timers.txt");
    let says = |world: &World, real: &str, monotonic: &str| {
        let timers = timers.replace("NextElapseUSecRealtime=Fri 2026-11-20 17:00:31 UTC", real);
        world.says("user/timers", &timers.replace("Monotonic=0", monotonic));
    };
    world.machine_file("proc/stat", "btime 1795188600\n");
    says(&world, "NextElapseUSecRealtime=", "Monotonic=2h 1min");
    assert_eq!(world.json_then(&["status"])["schedules"][0]["next"], "2026-11-20T17:31:00Z");
    // Of two the earlier one counts.
    says(&world, "NextElapseUSecRealtime=Fri 2026-11-20 17:00:31 UTC", "Monotonic=1h 21min");
    assert_eq!(world.json_then(&["status"])["schedules"][0]["next"], "2026-11-20T16:51:00Z");
}

#[test]
fn a_run_whose_time_has_come_is_due() {
    let mut world = World::new();
    world.systemd("user", "user", &World::program());
    let ran = Ran::of(world.command_at_present(&["status"]).args(["--at", "2026-11-20T17:02:00Z"])).ends_with(0);
    assert!(ran.stdout.contains("2026-11-20 17:00Z   due "), "{ran:?}");
}

#[test]
fn wrong_settings_do_not_hide_what_needs_none() {
    let mut world = World::new();
    world.systemd("user", "user", &World::program());
    world.run_log(&[run("2026-11-20T16:34:26Z", "timer", 0)]);
    world.file(".config/session-sweep/config.toml", "[map]\nidel = \"1h\"\n", 0);
    let ran = world.run_then(&["status"]).ends_with(2);
    for words in ["systemd user", "started by timer", "did you mean `idle`?", "lock      unknown", "map       unknown"]
    {
        assert!(ran.stdout.contains(words), "{words}: {ran:?}");
    }
    let document = world.json_then(&["status"]);
    assert_eq!((&document["map"], &document["lock"]["path"]), (&Value::Null, &Value::Null));
    let quiet = world.run_then(&["status", "--quiet"]).ends_with(2);
    assert!(quiet.stderr.contains("did you mean"), "{quiet:?}");
}

#[test]
fn what_a_schedule_starts_is_told_and_is_no_word_for_a_terminal() {
    let mut world = World::new();
    let path = world.machine_file(
        "etc/cron.d/session-sweep",
        &format!(
            "17 * * * * {} /x/\u{1b}[31m/session-sweep sweep >>/x 2>&1\n18 * * * * {0} session-sweep prune\n",
            me()
        ),
    );
    world.crontab("");
    let text = world.run_then(&["status", "-v"]).ends_with(0).stdout;
    assert!(text.contains(path.to_str().unwrap()) && !text.contains('\u{1b}'), "{text}");
    assert!(
        text.contains(r"  /x/\u{1b}[31m/session-sweep sweep >>/x 2>&1") && text.contains("  session-sweep prune"),
        "{text}"
    );
    // A place may have such a name, too.
    world.systemd("user", "user", &World::program());
    for file in ["list", "timers", "services"] {
        let text = recorded(&format!("user/{file}.txt"));
        world.says(&format!("user/{file}"), &text.replace("session-sweep.timer", "\u{1b}[31m.timer"));
    }
    let text = world.run_then(&["status", "-v"]).ends_with(0).stdout;
    assert!(text.contains(r"\u{1b}[31m.timer") && !text.contains('\u{1b}'), "{text}");
}

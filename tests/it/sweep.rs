//! `sweep`, what timers and cron run, and the log of its runs.

use serde_json::{Value, json};

use crate::world::{CLAUDE_ID, CODEX_ID, World};

/// The lines of the run log.
fn runs(world: &World) -> Vec<Value> {
    let log = world.home().join(".local/state/session-sweep/runs.jsonl");
    let text = fs_err::read_to_string(log).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn scene() -> World {
    let world = World::new();
    world.claude(CLAUDE_ID, 300);
    world.codex(CODEX_ID, 5);
    world.map(&json!({"claude-cli": {"idle": CLAUDE_ID}, "codex-cli": {"active": CODEX_ID}}).to_string());
    world
}

#[test]
fn a_sweep_prunes_the_map_and_writes_down_what_came_of_it() {
    let world = scene();
    let ran = world.run(&["sweep", "--started-by", "timer"]).ends_with(0);
    assert!(ran.stdout.contains("1 pruned"), "{ran:?}");
    assert_eq!(world.map_json(), json!({"claude-cli": {}, "codex-cli": {"active": CODEX_ID}}));
    let [run] = &runs(&world)[..] else { panic!("one run: {:?}", runs(&world)) };
    assert_eq!((&run["started_by"], &run["exit"], &run["totals"]["pruned"]), (&json!("timer"), &json!(0), &json!(1)));
    assert_eq!((&run["totals"]["checked"], &run["map"]), (&json!(2), &json!(world.map_path())));
    world.run(&["sweep"]).ends_with(0);
    assert_eq!((&runs(&world)[1]["started_by"], &runs(&world)[1]["totals"]["pruned"]), (&json!("hand"), &json!(0)));
}

#[test]
fn a_dry_run_is_the_plan_of_the_run_and_writes_nothing() {
    let world = scene();
    let map = world.map_text();
    let dry = world.json(&["sweep", "--dry-run"]);
    assert_eq!((&dry["command"], &dry["dry_run"], &dry["schema"]), (&json!("sweep"), &json!(true), &json!(1)));
    world.run(&["sweep", "--dry-run", "--exit-code"]).ends_with(10);
    assert_eq!((world.map_text(), runs(&world)), (map, vec![]));
    assert!(!world.home().join(".local").exists());
    let real = world.json(&["sweep"]);
    assert_eq!(dry["prune"]["entries"], real["prune"]["entries"]);
    assert_eq!(dry["prune"]["summary"], real["prune"]["summary"]);
}

#[test]
fn no_map_is_nothing_to_do() {
    let world = World::new();
    let ran = world.run(&["sweep"]).ends_with(0);
    assert!(ran.stdout.contains("is not there: nothing to do"), "{ran:?}");
    let ran = world.run(&["sweep", "--quiet"]).ends_with(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    assert_eq!(world.json(&["sweep"])["prune"], Value::Null);
    let last = runs(&world).pop().unwrap();
    assert_eq!((&last["exit"], &last["map"]), (&json!(0), &Value::Null));
}

#[test]
fn a_run_that_fails_is_written_down_with_its_reason() {
    let world = scene();
    world.map("{");
    let ran = world.run(&["sweep", "--quiet", "--started-by", "cron"]).ends_with(1);
    assert!(ran.stderr.contains("nothing was touched"), "{ran:?}");
    fs_err::create_dir_all(world.home().join(".config/session-sweep")).unwrap();
    fs_err::write(world.home().join(".config/session-sweep/config.toml"), "[map]\nidel = \"1h\"\n").unwrap();
    world.run(&["sweep", "--started-by", "timer"]).ends_with(2);
    let runs = runs(&world);
    let of = |index: usize| (runs[index]["started_by"].clone(), runs[index]["exit"].clone());
    assert_eq!((of(0), of(1)), ((json!("cron"), json!(1)), (json!("timer"), json!(2))));
    assert!(runs[1]["error"].as_str().unwrap().contains("did you mean `idle`?"), "{runs:?}");
}

#[test]
fn a_run_that_finds_the_lock_taken_is_written_down_and_the_next_one_does_the_work() {
    let world = scene();
    let lock = fs_err::File::create(world.bridge().join("session_map.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    world.run(&["sweep", "--wait", "never"]).ends_with(3);
    drop(lock);
    world.run(&["sweep"]).ends_with(0);
    let exits: Vec<Value> = runs(&world).iter().map(|run| run["exit"].clone()).collect();
    assert_eq!(exits, [3, 0]);
    assert_eq!(world.tombstones().len(), 1);
}

#[test]
fn config_set_writes_one_value_where_sweep_finds_it() {
    let mut world = scene();
    world.variable("CLAUDE_SESSION_DIR", "");
    let map = world.bridge();
    world.run(&["config", "set", "map.dir", map.to_str().unwrap()]).ends_with(0);
    let file = world.home().join(".config/session-sweep/config.toml");
    let before = fs_err::read_to_string(&file).unwrap();
    assert_eq!(before, format!("[map]\ndir = \"{}\"\n", map.display()));
    let again = world.run(&["config", "set", "map.dir", map.to_str().unwrap()]).ends_with(0);
    assert!(again.stdout.contains("already set"), "{again:?}");
    let wrong = world.run(&["config", "set", "map.idle", "soon"]).ends_with(2);
    assert!(wrong.stderr.contains("write for example `idle = \"2h\"`"), "{wrong:?}");
    assert_eq!(fs_err::read_to_string(&file).unwrap(), before);
    world.run(&["config", "set", "map.idle", "1m"]).ends_with(0);
    assert_eq!(world.json(&["sweep"])["prune"]["summary"]["pruned"], 2);
}

#[test]
fn config_set_follows_a_link_and_keeps_the_files_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let folder = world.home().join(".config/session-sweep");
    fs_err::create_dir_all(&folder).unwrap();
    let real = world.file("dotfiles/sweep.toml", "# mine\n", 1);
    crate::machine::set_mode(&real, 0o640);
    fs_err::os::unix::fs::symlink(&real, folder.join("config.toml")).unwrap();
    world.run(&["config", "set", "map.models", "claude", "codex"]).ends_with(0);
    assert_eq!(fs_err::read_to_string(&real).unwrap(), "# mine\n\n[map]\nmodels = [\"claude\", \"codex\"]\n");
    assert!(folder.join("config.toml").is_symlink());
    assert_eq!(fs_err::metadata(&real).unwrap().permissions().mode() & 0o7777, 0o640);
}

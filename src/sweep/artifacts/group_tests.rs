//! Homes that an agent host keeps for its groups, and what its migration left.

use std::path::{Path, PathBuf};

use super::apply::Outcome;
use super::homes::homes;
use super::migrated;
use super::plan::Plan;
use super::world::{World, decided, goes, id};
use crate::policy::artifact::{Claim, Reason};
use crate::providers::{Catalogue, Located, builtin};

const V1: &str = "data/sessions/main/.claude";
/// A transcript that the migration left twice.
const A: &str = "0856b851-1111-4222-8333-000000000007.jsonl";
const V2: &str = "data/v2-sessions/ag-1/.claude-shared";

/// A world with the root of an installation.
fn installation() -> World {
    let mut world = World::new();
    let root = world.folder.path().join("nanoclaw");
    fs_err::create_dir_all(&root).unwrap();
    world.roots = vec![root];
    world
}

fn database(path: &Path, sql: &str) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

impl World {
    /// Writes a file below the root.
    fn below(&self, path: &str, text: &str, days: i64) -> PathBuf {
        let path = self.roots[0].join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        self.touch(&path, days);
        path
    }

    fn migrated<'c>(&self, catalogue: &'c Catalogue) -> Plan<'c> {
        let (homes, _) = homes(catalogue, &self.roots).unwrap();
        migrated::plan(homes, &self.roots, (&self.speakers(), &self.proc), self.now)
    }
}

/// The rows in force, none of them with a home.
fn catalogue() -> Catalogue {
    let nowhere = PathBuf::from("/nonexistent");
    let located = |provider| Located { provider, home: nowhere.clone(), live_home: nowhere.clone() };
    Catalogue::new(builtin::rows().into_iter().map(located).collect())
}

#[test]
fn what_a_host_goes_on_with_stays_and_without_its_word_everything_does() {
    let world = installation();
    for home in [V1, V2] {
        (1..3).for_each(|number| drop(world.below(&format!("{home}/debug/{}.txt", id(number)), "x", 10)));
    }
    // Version 1 without its database; version 2 whose one session has not begun.
    assert_eq!(goes(&world.plan()), [1, 2].map(|number| format!("{}.txt", id(number))));
    let (_, kept) = decided(&world.plan());
    assert!(kept.iter().all(|(_, reason)| matches!(reason, Reason::Unknown(_))), "{kept:?}");
    let sql = format!("CREATE TABLE sessions (session_id TEXT); INSERT INTO sessions VALUES ('{}')", id(1));
    database(&world.roots[0].join("store/messages.db"), &sql);
    let sql = format!(
        "CREATE TABLE session_state (key TEXT, value TEXT); INSERT INTO session_state VALUES ('continuation:claude', '{}')",
        id(1)
    );
    database(&world.roots[0].join("data/v2-sessions/ag-1/sess-1/outbound.db"), &sql);
    let (gone, kept) = decided(&world.plan());
    assert_eq!(gone, vec![format!("{}.txt", id(2)); 2]);
    let groups: Vec<&Reason> = kept.iter().map(|(_, reason)| reason).collect();
    let continued = |group: &str| Reason::Claimed(Claim::Continued { group: group.to_owned() });
    assert_eq!(groups, [&continued("main"), &continued("ag-1")]);
}

#[test]
fn neither_a_group_nor_its_home_is_reached_by_a_link() {
    let world = installation();
    let elsewhere = world.folder.path().join("elsewhere/.claude-shared");
    fs_err::create_dir_all(elsewhere.join("debug")).unwrap();
    fs_err::create_dir_all(world.roots[0].join("data/v2-sessions/ag-2")).unwrap();
    let sessions = world.roots[0].join("data/v2-sessions");
    fs_err::os::unix::fs::symlink(elsewhere.parent().unwrap(), sessions.join("ag-1")).unwrap();
    fs_err::os::unix::fs::symlink(&elsewhere, sessions.join("ag-2/.claude-shared")).unwrap();
    let catalogue = catalogue();
    let (found, problems) = homes(&catalogue, &world.roots).unwrap();
    assert_eq!((found.len(), problems.len()), (0, 0), "{found:?}");
    // Nor what holds all of them, and that is told.
    fs_err::rename(&sessions, world.folder.path().join("moved")).unwrap();
    fs_err::os::unix::fs::symlink(world.folder.path().join("moved"), &sessions).unwrap();
    fs_err::create_dir_all(world.folder.path().join("logs/main/logs")).unwrap();
    fs_err::os::unix::fs::symlink(world.folder.path().join("logs"), world.roots[0].join("groups")).unwrap();
    let (found, problems) = homes(&catalogue, &world.roots).unwrap();
    assert_eq!((found.len(), problems.len()), (0, 2), "{found:?} {problems:?}");
}

#[test]
fn of_a_groups_home_only_what_names_its_session_goes() {
    let world = installation();
    let places =
        ["debug/x", "todos/x", "telemetry/x", "shell-snapshots/x", "statsig/x", "backups/.claude.json.backup.x"];
    for place in places {
        world.below(&format!("{V2}/{place}"), "x", 400);
    }
    assert_eq!(goes(&world.plan()).len(), 3);
}

/// What a migration left twice: a file of version 1, its copy, and that of its project.
fn twice() -> World {
    let world = installation();
    let groups = "CREATE TABLE agent_groups (id TEXT, folder TEXT); INSERT INTO agent_groups VALUES ('ag-1', 'main'), ('ag-2', 'o')";
    database(&world.roots[0].join("data/v2.db"), groups);
    database(&world.roots[0].join("store/messages.db"), "CREATE TABLE sessions (session_id TEXT)");
    world.below(&format!("{V1}/projects/-workspace-group/{A}"), "one\n", 9);
    world.below(&format!("{V2}/projects/-workspace-agent/{A}"), "one\ntwo\n", 1);
    world
}

#[test]
fn a_file_goes_for_a_copy_that_holds_all_of_it() {
    let catalogue = catalogue();
    assert_eq!(goes(&twice().migrated(&catalogue)), [A]);
    let copy = format!("{V2}/projects/-workspace-agent/{A}");
    for (text, why) in [("one", "shorter"), ("ONE\ntwo\n", "another"), ("two\none\n", "another beginning")] {
        let world = twice();
        world.below(&copy, text, 1);
        let plan = world.migrated(&catalogue);
        assert_eq!((goes(&plan).len(), &plan.problems), (0, &Vec::new()), "{why}");
    }
    let world = twice();
    fs_err::remove_file(world.roots[0].join("data/v2.db")).unwrap();
    let plan = world.migrated(&catalogue);
    assert_eq!((goes(&plan).len(), plan.problems.len()), (0, 1));
    // One file by two names is no copy.
    let world = twice();
    let old = world.roots[0].join(V1).join(format!("projects/-workspace-group/{A}"));
    fs_err::remove_file(world.roots[0].join(&copy)).unwrap();
    fs_err::hard_link(old, world.roots[0].join(&copy)).unwrap();
    assert!(goes(&world.migrated(&catalogue)).is_empty());
    // Nor is a link.
    let world = twice();
    let old = world.roots[0].join(V1).join(format!("projects/-workspace-group/{A}"));
    fs_err::remove_file(world.roots[0].join(&copy)).unwrap();
    fs_err::os::unix::fs::symlink(old, world.roots[0].join(&copy)).unwrap();
    assert!(goes(&world.migrated(&catalogue)).is_empty());
    // Nor is what lies behind one.
    let world = twice();
    let project = world.roots[0].join(V2).join("projects/-workspace-agent");
    fs_err::rename(&project, world.folder.path().join("moved")).unwrap();
    fs_err::os::unix::fs::symlink(world.folder.path().join("moved"), &project).unwrap();
    assert!(goes(&world.migrated(&catalogue)).is_empty());
}

#[test]
fn only_the_copy_of_ones_own_group_counts_and_only_a_transcript_goes_on() {
    let catalogue = catalogue();
    let world = twice();
    // Another group's files, a note that went on, one that did not, and what is empty.
    let other = "data/v2-sessions/ag-2/.claude-shared";
    for (name, old, new) in [
        (format!("todos/{}.json", id(3)), "[1]", "[1]\n[2]"),
        (format!("debug/{}.txt", id(4)), "{}", "{}"),
        (format!("debug/{}.txt", id(5)), "", ""),
    ] {
        world.below(&format!("{V1}/{name}"), old, 9);
        world.below(&format!("{V2}/{name}"), new, 9);
    }
    world.below(&format!("{V1}/debug/{}.txt", id(6)), "{}", 9);
    world.below(&format!("{other}/debug/{}.txt", id(6)), "{}", 9);
    let mut gone = goes(&world.migrated(&catalogue));
    gone.sort();
    assert_eq!(gone, [format!("{}.txt", id(4)), A.to_owned()]);
}

#[test]
fn only_what_is_a_sessions_goes_for_a_copy() {
    let catalogue = catalogue();
    let world = twice();
    let stay = [
        ".credentials.json",
        "settings.json",
        "settings.local.json",
        "skills/x/SKILL.md",
        "projects/-workspace-group/memory/MEMORY.md",
        "projects/-workspace-group/notes.jsonl",
        "debug/log.txt",
        "history.jsonl",
    ];
    let session = id(3);
    let go = [
        format!("projects/-workspace-group/{session}/tool-results/a.txt"),
        "projects/-workspace-group/agent-1.jsonl".to_owned(),
        format!("todos/{session}-agent-{session}.json"),
    ];
    for path in stay.into_iter().chain(go.iter().map(String::as_str)) {
        world.below(&format!("{V1}/{path}"), "{}", 9);
        world.below(&format!("{V2}/{path}"), "{}", 9);
        world.below(&format!("{V2}/{}", path.replace("-workspace-group", "-workspace-agent")), "{}", 9);
    }
    let plan = world.migrated(&catalogue);
    let gone: Vec<_> = plan.removed().map(|(home, item)| home.path(item)).collect();
    assert!(stay.iter().all(|path| !gone.contains(&world.roots[0].join(V1).join(path))), "{gone:?}");
    assert!(go.iter().all(|path| gone.contains(&world.roots[0].join(V1).join(path))), "{gone:?}");
}

#[test]
fn a_group_that_version_one_goes_on_with_stays_whole() {
    let catalogue = catalogue();
    let world = twice();
    for project in ["-workspace-group", "-workspace-agent"] {
        world.below(&format!("{V2}/projects/{project}/{}.jsonl", id(1)), "one\n", 9);
    }
    let named = format!("{V1}/projects/-workspace-group/{}.jsonl", id(1));
    world.below(&named, "one\n", 9);
    database(&world.roots[0].join("store/messages.db"), &format!("INSERT INTO sessions VALUES ('{}')", id(1)));
    let of_v1 = |plan: &Plan<'_>| {
        let v1 = world.roots[0].join(V1);
        plan.removed().filter(|(home, item)| home.path(item).starts_with(&v1)).count()
    };
    // It names what the migration copied, as it did when it ended.
    assert_eq!(of_v1(&world.migrated(&catalogue)), 1);
    // It went on.
    world.below(&named, "one\nmore\n", 9);
    let plan = world.migrated(&catalogue);
    assert_eq!(of_v1(&plan), 0);
    let (_, kept) = decided(&plan);
    let continued = Reason::Claimed(Claim::Continued { group: "main".to_owned() });
    assert_eq!(kept, [(A.to_owned(), continued)]);
}

#[test]
fn whoever_speaks_for_a_session_keeps_all_its_copies() {
    let catalogue = catalogue();
    let mut world = twice();
    let name = format!("projects/-workspace-group/{}.jsonl", id(1));
    for home in [V1, V2] {
        world.below(&format!("{home}/{name}"), "one\n", 9);
    }
    world.below(&format!("{V2}/projects/-workspace-agent/{}.jsonl", id(1)), "one\n", 9);
    assert_eq!(goes(&world.migrated(&catalogue)).len(), 3);
    world.mapped = vec![id(1)];
    assert_eq!(goes(&world.migrated(&catalogue)), [A]);
    world.mapped.clear();
    database(&world.roots[0].join("store/messages.db"), &format!("INSERT INTO sessions VALUES ('{}')", id(1)));
    assert_eq!(goes(&world.migrated(&catalogue)).len(), 2);
    // What was written within the hour is somebody's.
    world.below(&format!("{V1}/projects/-workspace-group/{A}"), "one\n", 0);
    assert_eq!(goes(&world.migrated(&catalogue)).len(), 1);
}

#[test]
fn a_copy_that_changes_or_goes_meanwhile_keeps_the_file() {
    let catalogue = catalogue();
    for gone in [false, true] {
        let world = twice();
        let plan = world.migrated(&catalogue);
        let copy = world.roots[0].join(V2).join(format!("projects/-workspace-agent/{A}"));
        let changed = if gone { fs_err::remove_file(copy) } else { fs_err::write(copy, "other\n") };
        changed.unwrap();
        assert_eq!(world.apply(&plan).outcomes, [Outcome::Changed]);
    }
    let world = twice();
    let plan = world.migrated(&catalogue);
    assert_eq!(world.apply(&plan).outcomes, [Outcome::Removed]);
}

#[test]
fn a_home_that_a_cli_shares_with_a_group_has_the_guards_of_both() {
    let world = installation();
    world.below(&format!("{V2}/debug/{}.txt", id(1)), "x", 10);
    let mut rows: Vec<Located> = Vec::new();
    for provider in builtin::rows().into_iter().filter(|row| row.name == "claude") {
        let home = world.roots[0].join(V2);
        rows.push(Located { provider, live_home: home.clone(), home });
    }
    let relative = Located { provider: builtin::rows().remove(1), home: "here".into(), live_home: "here".into() };
    let catalogue = Catalogue::new(rows.into_iter().chain([relative]).collect());
    let (found, problems) = homes(&catalogue, &world.roots).unwrap();
    assert_eq!(found.iter().map(|home| home.sees_processes).collect::<Vec<_>>(), [true]);
    assert!(matches!(found[0].whose, super::homes::Whose::Group { .. }));
    assert!(problems[0].contains("absolute path"), "{problems:?}");
}

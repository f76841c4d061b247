//! Session trees that the real CLIs wrote: all that prune, resolve, restore and audit say of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::left_behind::{assert_verdict, by_chat};
use crate::world::World;

/// One line of SESSIONS.tsv.
struct Session {
    id: String,
    transcript: String,
    cwd: Option<String>,
    modified: DateTime<Utc>,
    recorded: DateTime<Utc>,
    advice: String,
}

struct Tree {
    cli: String,
    folder: PathBuf,
    sessions: Vec<Session>,
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs_err::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders
}

fn trees() -> Vec<Tree> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/real-trees");
    let versions = folders(&root).into_iter().flat_map(|cli| folders(&cli));
    let trees: Vec<Tree> = versions.map(|folder| Tree::read(&folder)).collect();
    assert_eq!(trees.len(), 13);
    trees
}

impl Tree {
    fn read(folder: &Path) -> Self {
        let text = fs_err::read_to_string(folder.join("SESSIONS.tsv")).unwrap();
        let session = |line: &str| {
            let [id, transcript, cwd, modified, recorded, advice] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            Session {
                id: id.to_owned(),
                transcript: transcript.to_owned(),
                cwd: (cwd != "-").then(|| cwd.to_owned()),
                modified: modified.parse().unwrap(),
                recorded: recorded.parse().unwrap(),
                advice: advice.to_owned(),
            }
        };
        let cli = folder.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        Self { cli, folder: folder.to_owned(), sessions: text.lines().map(session).collect() }
    }

    /// The tree as home, with the times that it had, and a map that names its sessions.
    fn world(&self) -> World {
        let world = World::new();
        for line in fs_err::read_to_string(self.folder.join("MANIFEST.tsv")).unwrap().lines() {
            let [time, _, _, _, path] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let time: DateTime<Utc> = format!("{}Z", &time[..29]).parse().unwrap();
            let mut content = fs_err::read(self.folder.join("home").join(path)).unwrap();
            if path.starts_with(".claude/sessions/") {
                // Written in another container, perhaps since this machine started: then it would prove something.
                let text = String::from_utf8(content).unwrap();
                content = text.replace("\"startedAt\":1795", "\"startedAt\":1095").into();
            }
            let copy = world.file(path, content, 0);
            let time = if path.contains("inuse.") {
                // Its pid may be anybody's here, but nobody's who has run for twenty years.
                filetime::FileTime::from_unix_time(1_000_000_000, 0)
            } else {
                filetime::FileTime::from_unix_time(time.timestamp(), time.timestamp_subsec_nanos())
            };
            filetime::set_file_mtime(copy, time).unwrap();
        }
        let level: serde_json::Map<String, Value> =
            self.sessions.iter().map(|session| (chat(session), json!(session.id))).collect();
        world.map(&json!({ self.model(): level }).to_string());
        world
    }

    fn model(&self) -> String {
        format!("{}-cli", self.cli)
    }

    /// `hours` and a minute after the last file was written.
    fn after(&self, hours: i64) -> String {
        let newest = self.sessions.iter().map(|session| session.modified.max(session.recorded)).max().unwrap();
        (newest + TimeDelta::hours(hours) + TimeDelta::minutes(1)).to_rfc3339()
    }
}

fn chat(session: &Session) -> String {
    format!("chat of {}", session.id)
}

fn time(entry: &Value) -> DateTime<Utc> {
    entry["last_activity"].as_str().unwrap_or_else(|| panic!("{entry}")).parse().unwrap()
}

fn files(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let walk = walkdir::WalkDir::new(world.home()).into_iter().map(|entry| entry.unwrap());
    let stores = walk.filter(|entry| entry.file_type().is_file());
    stores.map(|entry| (entry.path().to_owned(), fs_err::read(entry.path()).unwrap())).collect()
}

#[test]
fn sessions_used_a_minute_ago_are_active_at_the_time_of_their_files() {
    for tree in trees() {
        let world = tree.world();
        let entries = by_chat(&world.json_at(&tree.after(0), &["prune", "--dry-run", "--idle", "30d"]));
        assert_eq!(entries.len(), tree.sessions.len());
        for session in &tree.sessions {
            let entry = &entries[&chat(session)];
            assert_verdict(entry, "active/keep", "");
            assert_eq!(entry["provider"], tree.cli.as_str());
            assert_eq!(time(entry), session.modified, "{entry}");
            let transcript = entry["transcript"].as_str();
            let expected = world.home().join(&session.transcript);
            // That of a session in a database is the database.
            assert_eq!(transcript, expected.to_str());
            let source = if tree.cli == "opencode" { "database" } else { "transcript-mtime" };
            assert_eq!(entry["source"], source);
        }
    }
}

#[test]
fn the_last_record_is_found_in_every_transcript() {
    for tree in trees() {
        let world = tree.world();
        let arguments = ["prune", "--dry-run", "--idle", "30d", "--activity", "content"];
        let entries = by_chat(&world.json_at(&tree.after(0), &arguments));
        for session in &tree.sessions {
            let entry = &entries[&chat(session)];
            assert_verdict(entry, "active/keep", "");
            assert_eq!(time(entry), session.recorded, "{entry}");
        }
    }
}

#[test]
fn hours_later_all_of_them_go_and_come_back() {
    for tree in trees() {
        let world = tree.world();
        let (before, stores) = (world.map_json(), files(&world));
        let at = tree.after(3);
        let rehearsal = by_chat(&world.json_at(&at, &["prune", "--dry-run"]));
        let document = world.json_at(&at, &["prune"]);
        assert_eq!(by_chat(&document), rehearsal, "the preview is the run");
        for (_, entry) in by_chat(&document) {
            assert_verdict(&entry, "idle/prune", "idle for more than 2h");
        }
        assert_eq!(world.map_json(), json!({ tree.model(): {} }));
        let buried: BTreeMap<String, Value> = world
            .tombstones()
            .into_iter()
            .map(|grave| (grave["session"].as_str().unwrap().to_owned(), grave))
            .collect();
        assert_eq!(buried.len(), tree.sessions.len());
        for session in &tree.sessions {
            let arguments = ["resolve", "--model", &tree.model(), "--chat", &chat(session)];
            let answer: Value = serde_json::from_str(&world.run_at(&at, &arguments).ends_with(0).stdout).unwrap();
            assert_eq!(answer["state"], "pruned", "{answer:#}");
            assert_eq!(answer["advice"], session.advice.as_str(), "{answer:#}");
            assert_eq!(answer["session"], session.id.as_str());
            assert_eq!(answer["provider"], tree.cli.as_str());
            assert_eq!(answer["cwd"].as_str(), session.cwd.as_deref(), "{answer:#}");
            let transcript = world.home().join(&session.transcript);
            assert_eq!(buried[&session.id]["transcript"].as_str(), transcript.to_str());
            assert_eq!(answer["transcript"].as_str(), transcript.to_str(), "{answer:#}");
            assert_eq!(answer["command"].is_array(), session.advice == "resume");
            if session.advice == "resume" {
                assert!(answer["command"].to_string().contains(&session.id), "{answer:#}");
            } else {
                assert_ne!(answer["reason"], "", "{answer:#}");
            }
        }
        world.run_at(&at, &["restore", "--all"]).ends_with(0);
        assert_eq!(world.map_json(), before);
        let mut after = files(&world);
        after.retain(|path, _| !path.starts_with(world.home().join(".local/state")));
        let changed: Vec<_> = stores.keys().filter(|path| after.get(*path) != stores.get(*path)).collect();
        assert!(changed.is_empty() && after.len() == stores.len(), "a store was touched: {changed:?}");
    }
}

#[test]
fn a_sub_agents_thread_that_a_map_names_is_looked_at_like_any() {
    let tree = trees().into_iter().find(|tree| tree.folder.ends_with("codex/0.169.0")).unwrap();
    let world = tree.world();
    let id = "01a1f848-980c-7031-8931-9dafc2f91235";
    assert!(tree.sessions.iter().all(|session| session.id != id), "it is a sub-agent's");
    world.map(&json!({ tree.model(): {"a": id} }).to_string());
    let entry = &by_chat(&world.json_at(&tree.after(0), &["prune", "--dry-run"]))["a"];
    assert_verdict(entry, "active/keep", "");
    assert_eq!(entry["last_activity"], "2026-11-20T09:27:51Z");
    assert_verdict(&by_chat(&world.json_at(&tree.after(3), &["prune"]))["a"], "idle/prune", "");
}

#[test]
fn an_audit_counts_sessions_and_no_sub_agents() {
    for tree in trees() {
        let world = tree.world();
        let document = world.json_at(&tree.after(3), &["audit"]);
        let row = document["providers"].as_array().unwrap().iter().find(|row| row["provider"] == tree.cli.as_str());
        let row = row.unwrap_or_else(|| panic!("{document:#}"));
        assert_eq!(row["problems"], json!([]));
        let mut found: Vec<&str> =
            row["sessions"].as_array().unwrap().iter().map(|session| session["id"].as_str().unwrap()).collect();
        found.sort_unstable();
        let expected: Vec<&str> = tree.sessions.iter().map(|session| session.id.as_str()).collect();
        assert_eq!(found, expected, "{}", tree.folder.display());
        assert_eq!((&row["mapped"], &row["idle"]), (&json!(expected.len()), &json!(expected.len())));
        // The files of each session once, and a database that they share once.
        let files: BTreeSet<&str> = tree.sessions.iter().map(|session| session.transcript.as_str()).collect();
        let bytes = |file: &&str| fs_err::metadata(world.home().join(file)).unwrap().len();
        let (counted, known) = (row["bytes"].as_u64().unwrap(), files.iter().map(bytes).sum::<u64>());
        // In one tree Gemini CLI has left a second file of a session.
        let has_copies = tree.folder.ends_with("gemini/0.61.0");
        assert!(counted == known || has_copies && counted > known, "{}: {counted}", tree.folder.display());
        let of_sessions = row["sessions"].as_array().unwrap().iter().map(|session| &session["bytes"]);
        assert!(of_sessions.into_iter().all(|bytes| bytes.is_null() == (tree.cli == "opencode")), "{row:#}");
        let times: Vec<&str> = ["oldest", "newest"].map(|key| row[key].as_str().unwrap()).into();
        let modified = |session: &Session| session.modified.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let mut all: Vec<String> = tree.sessions.iter().map(modified).collect();
        all.sort();
        assert_eq!(times, [all.first().unwrap(), all.last().unwrap()]);
    }
}

//! `artifacts` in the homes of all CLIs and of an agent host's groups.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::artifacts_world::{Disk, contents, id};

const ALL: &str = "[artifacts]\nkeep_last = 1\n[artifacts.claude.transcripts]\nretention = \"30d\"\n";

fn retention_of(provider: &str) -> String {
    format!("[artifacts]\nkeep_last = 1\n[artifacts.{provider}.transcripts]\nretention = \"30d\"\n")
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

/// A rollout of Codex that worked in `/work`; a sub-agent's names its parent.
fn rollout(disk: &Disk, number: usize, parent: Option<usize>, days: i64) -> PathBuf {
    let parent = parent.map(|parent| format!(",\"parent_thread_id\":\"{}\"", id(parent))).unwrap_or_default();
    let line = format!(
        "{{\"timestamp\":\"{}\",\"type\":\"session_meta\",\"payload\":{{\"id\":\"{}\",\"cwd\":\"/work\"{parent}}}}}\n",
        disk.time(days),
        id(number)
    );
    let name =
        format!(".codex/sessions/2026/05/{:02}/rollout-2026-05-01T00-00-00-{}.jsonl", number % 28 + 1, id(number));
    disk.file(&name, line, days)
}

#[test]
fn rollouts_of_one_project_count_together_and_a_sub_agent_stays_with_its_parent() {
    let disk = Disk::new();
    disk.configure(&retention_of("codex"));
    (0..3).for_each(|number| drop(rollout(&disk, number, None, 100)));
    rollout(&disk, 3, Some(0), 100);
    (10..20).for_each(|number| drop(rollout(&disk, number, None, 1)));
    let goes = |disk: &Disk| sorted(disk.planned(&[]).0);
    assert_eq!(goes(&disk).len(), 4);
    disk.world.map(&json!({ "codex-cli": { "chat": id(0) } }).to_string());
    // The parent is mapped: neither it nor its sub-agent goes.
    let names = [1, 2].map(|number| format!("rollout-2026-05-01T00-00-00-{}.jsonl", id(number)));
    assert_eq!(goes(&disk), names);
    disk.run(&["artifacts", "prune", "--yes"]).ends_with(0);
    disk.run(&["artifacts", "restore", &id(1)]).ends_with(0);
}

#[test]
fn a_compressed_rollout_is_read_for_its_last_activity() {
    let disk = Disk::new();
    disk.configure(&retention_of("codex"));
    let packed = |number: usize, days: i64| {
        let plain = fs_err::read(rollout(&disk, number, None, days)).unwrap();
        let path = format!(".codex/archived_sessions/rollout-2026-05-01T00-00-00-{}.jsonl.zst", id(number + 50));
        let path = disk.file(&path, zstd::encode_all(&plain[..], 3).unwrap(), 100);
        path.file_name().unwrap().to_str().unwrap().to_owned()
    };
    (10..16).for_each(|number| drop(rollout(&disk, number, None, 1)));
    let (recent, old) = (packed(1, 5), packed(2, 100));
    let (goes, _) = disk.planned(&[]);
    assert!(goes.contains(&old) && !goes.contains(&recent), "{goes:?}");
}

#[test]
fn a_chat_of_gemini_goes_with_its_tool_outputs_and_sub_agents() {
    let disk = Disk::new();
    disk.configure(&retention_of("gemini"));
    let chat = |number: usize, days: i64| {
        let id = format!("{number:08}-1111-4222-8333-0123456789ab");
        let text = format!(
            "{{\"sessionId\":\"{id}\",\"kind\":\"main\"}}\n{{\"id\":\"1\",\"type\":\"user\",\"timestamp\":\"{}\"}}\n",
            disk.time(days)
        );
        disk.file(&format!(".gemini/tmp/work/chats/session-2026-05-01T00-00-{number:08}.jsonl"), text, days);
        disk.file(&format!(".gemini/tmp/work/tool-outputs/session-{id}/1.txt"), "x", days);
        disk.file(&format!(".gemini/tmp/work/chats/{id}/agent.jsonl"), "{}", days);
        id
    };
    let old = chat(1, 100);
    (2..5).for_each(|number| drop(chat(number, 1)));
    assert_eq!(disk.planned(&[]).0, ["session-2026-05-01T00-00-00000001.jsonl"]);
    disk.run(&["artifacts", "prune", "--yes"]).ends_with(0);
    assert_eq!(contents(&disk.home().join(".gemini")).len(), 9);
    disk.run(&["artifacts", "restore", &old]).ends_with(0);
    assert_eq!(contents(&disk.home().join(".gemini")).len(), 12);
}

#[test]
fn a_session_of_copilot_is_a_folder() {
    let disk = Disk::new();
    disk.configure(&retention_of("copilot"));
    let session = |number: usize, days: i64| {
        let line = format!(
            "{{\"type\":\"session.start\",\"timestamp\":\"{}\",\"data\":{{\"context\":{{\"cwd\":\"/w\"}}}}}}\n",
            disk.time(days)
        );
        disk.file(&format!(".copilot/session-state/{}/events.jsonl", id(number)), line, days);
        disk.file(&format!(".copilot/session-state/{}/checkpoints/1.md", id(number)), "x", days);
    };
    session(1, 100);
    (2..5).for_each(|number| session(number, 1));
    assert_eq!(disk.planned(&[]).0, [id(1)]);
    disk.run(&["artifacts", "prune", "--yes"]).ends_with(0);
    assert!(!disk.home().join(format!(".copilot/session-state/{}", id(1))).exists());
    disk.run(&["artifacts", "restore", &id(1)]).ends_with(0);
    assert!(disk.home().join(format!(".copilot/session-state/{}/checkpoints/1.md", id(1))).exists());
}

#[test]
fn transcripts_of_what_is_not_known_well_are_reported_and_never_removed() {
    let disk = Disk::new();
    let text =
        "[[provider]]\nname = \"mine\"\nhome = \"~/.mine\"\ntranscripts = [\"{id}.jsonl\"]\nmodels = [\"mine\"]\n";
    disk.configure(&format!("{text}{ALL}"));
    disk.file(&format!(".mine/{}.jsonl", id(1)), "{}", 1_000);
    let report = disk.json(&["artifacts", "report"]);
    let homes = report["homes"].as_array().unwrap();
    let mine = homes.iter().find(|home| home["provider"] == "mine").unwrap();
    assert_eq!((&mine["kinds"][0]["items"], &mine["kinds"][0]["retention"]), (&json!(1), &json!(null)));
    assert!(disk.planned(&[]).0.is_empty());
}

/// An installation of nanoclaw with groups of both versions.
struct Host {
    disk: Disk,
    root: PathBuf,
}

fn database(path: &Path, sql: &str) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

const V1_TABLE: &str = "CREATE TABLE sessions (group_folder TEXT PRIMARY KEY, session_id TEXT NOT NULL);";
const V2_TABLE: &str = "CREATE TABLE session_state (key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TEXT);";

impl Host {
    fn new() -> Self {
        let disk = Disk::new();
        let root = disk.home().join("nanoclaw");
        fs_err::create_dir_all(&root).unwrap();
        let text = format!("[artifacts]\nkeep_last = 1\nroots = [\"{}\"]\n", root.display());
        disk.configure(&format!("{text}[artifacts.claude.transcripts]\nretention = \"7d\"\n"));
        Self { disk, root }
    }

    /// Writes a file below the root.
    fn file(&self, path: &str, text: impl AsRef<[u8]>, days: i64) -> PathBuf {
        self.disk.file(&format!("nanoclaw/{path}"), text, days)
    }

    /// A transcript, a debug log and a to-do list of a session in a home.
    fn session(&self, home: &str, project: &str, number: usize, days: i64) {
        self.file(&format!("{home}/projects/{project}/{}.jsonl", id(number)), self.disk.line(number, days), days);
        self.file(&format!("{home}/debug/{}.txt", id(number)), "x", days);
        self.file(&format!("{home}/todos/{}-agent-{}.json", id(number), id(number)), "x", days);
    }

    fn goes(&self) -> Vec<String> {
        sorted(self.disk.planned(&["--yes-most"]).0)
    }
}

#[test]
fn version_one_goes_on_with_what_its_database_names() {
    let host = Host::new();
    let home = "data/sessions/main/.claude";
    (1..4).for_each(|number| host.session(home, "-workspace-group", number, 100));
    host.session(home, "-workspace-group", 9, 1);
    host.file("groups/main/logs/container-1.log", "x", 8);
    host.file("groups/main/logs/container-2.log", "x", 6);
    host.file("groups/main/CLAUDE.md", "x", 900);
    // No database: anybody may go on with any of them.
    assert_eq!(host.goes(), ["container-1.log"]);
    host.disk.run(&["artifacts", "prune", "--dry-run"]).ends_with(4);
    let sql = format!("{V1_TABLE} INSERT INTO sessions VALUES ('main', '{}');", id(1));
    database(&host.root.join("store/messages.db"), &sql);
    let goes = host.goes();
    assert_eq!(goes.len(), 7, "{goes:?}");
    assert!(!goes.iter().any(|name| name.contains(&id(1))), "{goes:?}");
    // An id that is the beginning of another one is another one.
    let sql = format!("UPDATE sessions SET session_id = '{}0'", id(1));
    database(&host.root.join("store/messages.db"), &sql);
    host.disk.run(&["artifacts", "prune", "--yes", "--yes-most"]).ends_with(0);
    assert!(host.root.join("groups/main/CLAUDE.md").exists());
    fs_err::write(host.root.join("store/messages.db"), "broken").unwrap();
    host.session(home, "-workspace-group", 2, 100);
    assert!(host.goes().is_empty());
}

#[test]
fn version_two_goes_on_with_what_every_session_of_the_group_names() {
    let host = Host::new();
    let home = "data/v2-sessions/ag-1/.claude-shared";
    (1..5).for_each(|number| host.session(home, "-workspace-agent", number, 100));
    host.session(home, "-workspace-agent", 9, 1);
    host.session("data/v2-sessions/ag-2/.claude-shared", "-workspace-agent", 7, 100);
    let outbound = |session: &str| host.root.join(format!("data/v2-sessions/ag-1/{session}/outbound.db"));
    let insert =
        |key: &str, number: usize| format!("INSERT INTO session_state VALUES ('{key}', '{}', '');", id(number));
    database(&outbound("sess-1"), &format!("{V2_TABLE}{}", insert("continuation:claude", 1)));
    database(&outbound("sess-2"), &format!("{V2_TABLE}{}", insert("sdk_session_id", 2)));
    let (goes, kept) = host.disk.planned(&["--yes-most"]);
    assert!(!goes.iter().any(|name| name.contains(&id(1)) || name.contains(&id(2))), "{goes:?}");
    // The one transcript of the other group is its newest; its log and its list go.
    assert_eq!(goes.len(), 8, "{goes:?}");
    let continued = kept.iter().filter(|(_, why)| why == "agent group ag-1 goes on with it");
    assert_eq!(continued.count(), 6, "{kept:?}");
    // One session that cannot be read keeps the whole group, and it alone.
    fs_err::create_dir_all(outbound("sess-3").parent().unwrap()).unwrap();
    fs_err::write(outbound("sess-3"), "this is no database, and longer than nothing").unwrap();
    assert_eq!(host.goes().len(), 2);
    let ran = host.disk.run(&["artifacts", "prune", "--yes", "--yes-most"]).ends_with(4);
    assert!(ran.stdout.contains("sess-3/outbound.db"), "{ran:?}");
    assert_eq!(contents(&host.root.join(home)).len(), 15);
}

#[test]
fn what_an_agent_plants_in_its_home_is_not_followed() {
    let host = Host::new();
    let home = host.root.join("data/v2-sessions/ag-1/.claude-shared");
    host.session("data/v2-sessions/ag-1/.claude-shared", "-workspace-agent", 1, 1);
    let mine = host.disk.file("mine/debug/precious.txt", "x", 100);
    fs_err::os::unix::fs::symlink(host.disk.home().join("mine/debug"), home.join("telemetry")).unwrap();
    fs_err::create_dir_all(host.root.join("data/v2-sessions/ag-2")).unwrap();
    fs_err::os::unix::fs::symlink(
        host.disk.home().join("mine"),
        host.root.join("data/v2-sessions/ag-2/.claude-shared"),
    )
    .unwrap();
    assert!(host.goes().is_empty());
    let ran = host.disk.run(&["artifacts", "prune", "--yes"]).ends_with(4);
    assert!(ran.stdout.contains(".claude-shared/telemetry: this is a link"), "{ran:?}");
    assert!(mine.exists());
}

#[test]
fn what_the_migration_left_twice_goes_where_the_copy_is_whole() {
    let host = Host::new();
    let v1 = "data/sessions/main/.claude";
    let shared = "data/v2-sessions/ag-1/.claude-shared";
    let (old, new) = ("projects/-workspace-group", "projects/-workspace-agent");
    let text = |number: usize| host.disk.line(number, 100);
    for number in 1..4 {
        host.file(&format!("{v1}/{old}/{}.jsonl", id(number)), text(number), 100);
        host.file(&format!("{shared}/{old}/{}.jsonl", id(number)), text(number), 100);
        host.file(&format!("{shared}/{new}/{}.jsonl", id(number)), text(number), 100);
    }
    // It went on in version 2; in version 1, after the migration; it was never copied.
    host.file(&format!("{shared}/{new}/{}.jsonl", id(1)), text(1) + &text(1), 1);
    let later = host.file(&format!("{v1}/{old}/{}.jsonl", id(2)), text(2) + "{\"more\":1}\n", 90);
    let alone = host.file(&format!("{v1}/{old}/{}.jsonl", id(4)), text(4), 100);
    host.file(&format!("{v1}/settings.json"), "{}", 100);
    host.file(&format!("{shared}/settings.json"), "{\"a\":1}", 1);
    let command = ["artifacts", "prune", "--migrate-v1"];
    // Without version 2's database nobody has migrated.
    let ran = host.disk.run(&[&command[..], &["--yes"]].concat()).ends_with(4);
    assert!(ran.stdout.contains("what was migrated is not known"), "{ran:?}");
    let groups = "CREATE TABLE agent_groups (id TEXT, folder TEXT); INSERT INTO agent_groups VALUES ('ag-1', 'main')";
    database(&host.root.join("data/v2.db"), groups);
    database(&host.root.join("store/messages.db"), V1_TABLE);
    let ran = host.disk.run(&[&command[..], &["--dry-run"]].concat()).ends_with(0);
    assert!(ran.stdout.contains("there is a whole copy"), "{ran:?}");
    assert_eq!(contents(&host.root.join("data")).len(), 13);
    let ran = host.disk.run(&[&command[..], &["--yes"]].concat()).ends_with(0);
    assert!(ran.stdout.contains("5 items removed"), "{ran:?}");
    let left: Vec<String> = contents(&host.root.join(v1))
        .keys()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(left, [format!("{}.jsonl", id(2)), format!("{}.jsonl", id(4)), "settings.json".to_owned()]);
    assert!(later.exists() && alone.exists());
    assert_eq!(contents(&host.root.join(shared).join(new)).len(), 3);
    assert_eq!(contents(&host.root.join(shared).join(old)).len(), 0);
}

#[test]
fn a_root_that_is_not_there_is_told() {
    let host = Host::new();
    let ran = host.disk.run(&["artifacts", "report", "--root", "/nonexistent"]).ends_with(4);
    assert!(ran.stdout.contains("/nonexistent: there is no such folder"), "{ran:?}");
}

/// The trees that real CLIs wrote, each a home.
fn real_trees() -> Vec<PathBuf> {
    let trees = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/real-trees");
    let folders = |path: &Path| {
        let entries = fs_err::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    let versions = folders(&trees).into_iter().flat_map(|provider| folders(&provider));
    versions.map(|version| version.join("home")).filter(|home| home.is_dir()).collect()
}

#[test]
fn what_real_clis_wrote_goes_into_the_archive_and_comes_back() {
    let (mut archived, trees) = (0, real_trees());
    for tree in &trees {
        let disk = Disk::new();
        let limits = ["claude", "codex", "gemini", "qwen", "copilot"]
            .map(|provider| format!("[artifacts.{provider}.transcripts]\nretention = \"1d\"\n"));
        disk.configure(&format!("[artifacts]\nkeep_last = 1\n{}", limits.concat()));
        for entry in
            walkdir::WalkDir::new(tree).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file())
        {
            let below = entry.path().strip_prefix(tree).unwrap();
            // What says that a session is open is of another machine.
            if !below.starts_with(".claude/sessions") && !below.starts_with(".codex/thread-writer-locks") {
                disk.file(below.to_str().unwrap(), fs_err::read(entry.path()).unwrap(), 40);
            }
        }
        let all = || {
            let mut all = contents(&disk.home());
            all.retain(|path, _| !path.starts_with(disk.home().join(".local")));
            all
        };
        let before = all();
        let kinds = ["claude", "codex", "gemini", "qwen", "copilot"].map(|name| format!("--kind={name}.transcripts"));
        let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
        let prune = [&["artifacts", "prune", "--yes", "--yes-most"], &kinds[..]].concat();
        disk.run(&prune).ends_with(0);
        let list = disk.json(&["artifacts", "restore"])["entries"].as_array().unwrap().clone();
        let gone = before.len() - all().len();
        assert!(gone >= list.len(), "{}", tree.display());
        for entry in &list {
            disk.run(&["artifacts", "restore", entry["entry"].as_str().unwrap()]).ends_with(0);
        }
        assert_eq!(all(), before, "{}", tree.display());
        archived += list.len();
    }
    assert!(trees.len() >= 10 && archived >= trees.len(), "{archived} of {}", trees.len());
}

//! `doctor`: what it says of the queues of agent hosts.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;

use crate::doctor::{check, well};
use crate::world::World;

const CENTRAL: &str = "
    CREATE TABLE agent_groups (id TEXT PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL, created_at TEXT NOT NULL);
    CREATE TABLE container_configs (agent_group_id TEXT PRIMARY KEY);
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, agent_group_id TEXT NOT NULL, status TEXT DEFAULT 'active',
        container_status TEXT DEFAULT 'stopped', created_at TEXT NOT NULL);
    INSERT INTO agent_groups VALUES ('ag-1', 'one', 'one', '2026-11-01T00:00:00.000Z');
    INSERT INTO sessions (id, agent_group_id, created_at) VALUES ('sess-1', 'ag-1', '2026-11-01T00:00:00.000Z');
";

const INBOUND: &str = "
    CREATE TABLE messages_in (
        id TEXT PRIMARY KEY, seq INTEGER UNIQUE, kind TEXT NOT NULL, timestamp TEXT NOT NULL,
        status TEXT DEFAULT 'pending', process_after TEXT, recurrence TEXT, tries INTEGER DEFAULT 0,
        content TEXT NOT NULL, series_id TEXT, trigger INTEGER NOT NULL DEFAULT 1, on_wake INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE delivered (message_out_id TEXT PRIMARY KEY, delivered_at TEXT NOT NULL);
";

const OUTBOUND: &str = "
    CREATE TABLE messages_out (
        id TEXT PRIMARY KEY, seq INTEGER UNIQUE, in_reply_to TEXT, timestamp TEXT NOT NULL, kind TEXT NOT NULL,
        content TEXT NOT NULL);
    CREATE TABLE processing_ack (message_id TEXT PRIMARY KEY, status TEXT NOT NULL, status_changed TEXT NOT NULL);
    CREATE TABLE container_state (
        id INTEGER PRIMARY KEY, current_tool TEXT, tool_declared_timeout_ms INTEGER, tool_started_at TEXT,
        updated_at TEXT NOT NULL);
";

/// A machine on which all is well, with a configured installation that has one session and no containers.
pub(crate) struct Installed {
    pub(crate) world: World,
    pub(crate) root: PathBuf,
    /// The session's folder.
    pub(crate) session: PathBuf,
}

impl Installed {
    pub(crate) fn new() -> Self {
        let world = well();
        let root = fs_err::canonicalize(world.root()).unwrap().join("agents");
        let session = root.join("data/v2-sessions/ag-1/sess-1");
        fs_err::create_dir_all(&session).unwrap();
        database(&root.join("data/v2.db"), CENTRAL);
        database(&session.join("inbound.db"), INBOUND);
        database(&session.join("outbound.db"), OUTBOUND);
        let engine = world.root().join("engine");
        fs_err::create_dir(&engine).unwrap();
        let installed = Self { world, root, session };
        installed.program("docker");
        installed.runtime("exit 0");
        installed.configure(&installed.root, "");
        installed
    }

    /// A program that does what the text beside it says.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let program = self.world.root().join("engine").join(name);
        // By another process: a program that this one writes stays busy as long as a child of another test has it open.
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/queues/stand-in");
        assert!(Command::new("cp").arg(stand_in).arg(&program).status().unwrap().success());
        program
    }

    /// What the container runtime does when it is asked.
    fn runtime(&self, script: &str) {
        fs_err::write(self.world.root().join("engine/docker.sh"), script).unwrap();
    }

    /// Configures the installation by this name of its folder, with more lines after it.
    pub(crate) fn configure(&self, root: &Path, more: &str) {
        let map = format!("[map]\ndir = \"{}\"\n", self.world.bridge().display());
        let runtime = self.world.root().join("engine/docker");
        let table = format!("[[queues]]\nroot = \"{}\"\nruntime = \"{}\"\n", root.display(), runtime.display());
        self.world.file(".config/session-sweep/config.toml", format!("{map}{table}{more}"), 0);
    }

    /// A message that was claimed hours ago.
    pub(crate) fn claim(&self) {
        let message = "INSERT INTO messages_in (id, seq, kind, timestamp, content)
                       VALUES ('m1', 2, 'chat', '2026-11-20T10:00:00.000Z', '{}')";
        database(&self.session.join("inbound.db"), message);
        let claim = "INSERT INTO processing_ack VALUES ('m1', 'processing', '2026-11-20 10:00:05')";
        database(&self.session.join("outbound.db"), claim);
    }

    #[track_caller]
    fn is(&self, status: &str, message: &str, remedy: &str) {
        check(&self.world, "queues").is(status, message, remedy);
    }
}

fn database(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn without_a_configured_installation_queues_are_not_used() {
    check(&well(), "queues").is("ok", "not used", "");
}

#[test]
fn an_installation_in_order_is_told_with_its_host_and_runtime() {
    let installed = Installed::new();
    installed.is("ok", "agents: 1 session, no host runs; ", "");
    installed.is("ok", "docker answers", "");
    let _host = UnixListener::bind(installed.root.join("data/ncl.sock")).unwrap();
    installed.is("ok", "its host runs (data/ncl.sock is answered): a sweep leaves it alone", "");
}

#[test]
fn an_installation_that_is_not_there_is_told() {
    let installed = Installed::new();
    fs_err::remove_file(installed.root.join("data/v2.db")).unwrap();
    installed.is("wrong", "no data/v2.db", "put its root in [[queues]] right");
    fs_err::remove_dir_all(&installed.root).unwrap();
    installed.is("wrong", "cannot look at", "put its root in [[queues]] right");
}

#[test]
fn a_runtime_that_does_not_answer_makes_it_unknown() {
    let installed = Installed::new();
    installed.runtime("echo 'permission denied' >&2; exit 1");
    installed.is("unknown", "docker does not answer: ", "let this user use it");
}

#[test]
fn claims_that_nobody_works_on_are_a_warning() {
    let installed = Installed::new();
    installed.claim();
    let sweep = format!("session-sweep queues sweep --root {}", installed.root.display());
    installed.is("warning", "1 session stuck, 0 orphaned containers", &sweep);
    // Its own repair may be what is needed.
    let _host = UnixListener::bind(installed.root.join("data/ncl.sock")).unwrap();
    installed.is("warning", "and its host runs", "sweep --take-over --root");
}

#[test]
fn what_is_wrong_with_one_session_is_worse_than_another_that_is_stuck() {
    let installed = Installed::new();
    installed.claim();
    installed.runtime("exit 1");
    fs_err::write(installed.session.join("inbound.db"), "no database").unwrap();
    let status = format!("queues status --root {}", installed.root.display());
    installed.is("wrong", "session sess-1: inbound.db ", &status);
}

#[test]
fn of_several_installations_the_worst_is_told() {
    let installed = Installed::new();
    installed.claim();
    let other = format!("[[queues]]\nroot = \"{}\"\n", installed.world.root().join("none").display());
    installed.configure(&installed.root, &other);
    installed.is("wrong", "none", "put its root");
}

#[test]
fn a_service_that_may_not_write_the_sessions_is_told() {
    let mut installed = Installed::new();
    installed.world.says("user/list", "");
    installed.world.systemd("system", "system", &World::program());
    let services = fs_err::read_to_string(installed.world.root().join("tools/system/services.txt")).unwrap();
    let sessions = installed.root.join("data/v2-sessions");
    let remedy = format!("ReadWritePaths={}", sessions.display());
    installed.is("wrong", "session-sweep@anna.service cannot write", &remedy);
    let writable = services.replace("/srv/bridge", sessions.to_str().unwrap());
    installed.world.says("system/services", &writable);
    installed.is("ok", "1 session", "");
    // The drop-in may name it by the link that is configured.
    let link = installed.world.root().join("link");
    std::os::unix::fs::symlink(&installed.root, &link).unwrap();
    installed.configure(&link, "");
    installed.is("ok", "1 session", "");
    let writable = services.replace("/srv/bridge", link.join("data/v2-sessions").to_str().unwrap());
    installed.world.says("system/services", &writable);
    installed.is("ok", "1 session", "");
}

#[test]
fn it_only_looks() {
    let installed = Installed::new();
    installed.claim();
    let before = fs_err::read(installed.session.join("outbound.db")).unwrap();
    let names = || crate::tree::names_in(&installed.world.home().join(".local/state/session-sweep"));
    let state = names();
    installed.is("warning", "1 session stuck", "");
    assert_eq!(fs_err::read(installed.session.join("outbound.db")).unwrap(), before);
    assert_eq!(names(), state);
}

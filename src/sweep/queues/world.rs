//! An installation with sessions and a stand-in runtime, for tests of looking and doing.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::applied::{Applied, Outcome};
use super::plan::{Plan, SessionItem};
use super::survey::{Extent, Scene};
use crate::config::setting::{QueueSettings, WakeSettings};
use crate::filesystem::proc::Proc;
use crate::policy::choices::RuntimeChoice;
use crate::policy::zone::Tz;
use crate::queues::memory::Memory;

/// What docker does: notes each call, lists what `ids` has, tells what `inspect` has, and stops as `stop` says.
const DOCKER: &str = r#"echo "$1" >>"$folder/calls"; case $1 in
  ps) cat "$folder/ids" ;;
  inspect) cat "$folder/inspect" ;;
  stop) . "$folder/stop" ;;
  --version) cat "$folder/version" ;;
esac"#;
/// A stop that does what it says.
const STOPS: &str = r#": >"$folder/ids""#;

pub(super) struct World {
    folder: TempDir,
    pub(super) settings: QueueSettings,
    proc: Proc,
    now: DateTime<Utc>,
}

impl World {
    /// An installation without sessions and without containers.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["bin", "proc", "agents/data/v2-sessions"] {
            fs_err::create_dir_all(path(name)).unwrap();
        }
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/queues/stand-in");
        symlink(stand_in, path("bin/docker")).unwrap();
        for (name, text) in [("docker.sh", DOCKER), ("ids", ""), ("inspect", "[]"), ("stop", STOPS)] {
            fs_err::write(path("bin").join(name), text).unwrap();
        }
        let settings = QueueSettings {
            interval: Duration::from_secs(60),
            ceiling: Duration::from_secs(1_800),
            claim_stuck: Duration::from_secs(60),
            tries: 5,
            backoff: Duration::from_secs(5),
            wait: Duration::ZERO,
            runtime: RuntimeChoice::Auto,
            zone: Some(Tz::UTC),
            take_over: false,
            wake: WakeSettings { command: Vec::new(), limit: Duration::ZERO },
        };
        let proc = Proc::new(path("proc"));
        let world = Self { folder, settings, proc, now: Utc::now() };
        let tables = "CREATE TABLE agent_groups (id TEXT); INSERT INTO agent_groups VALUES ('g');
                      CREATE TABLE sessions (id TEXT, agent_group_id TEXT, status TEXT)";
        world.central(tables);
        world
    }

    fn root(&self) -> PathBuf {
        fs_err::canonicalize(self.folder.path()).unwrap().join("agents")
    }

    pub(super) const fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Lets so many seconds go by.
    pub(super) fn pass(&mut self, seconds: i64) {
        self.now += TimeDelta::seconds(seconds);
    }

    /// Changes the central database.
    pub(super) fn central(&self, sql: &str) {
        Connection::open(self.root().join("data/v2.db")).unwrap().execute_batch(sql).unwrap();
    }

    /// A session of this status, with databases in which nothing is.
    pub(super) fn session(&self, id: &str, group: &str, status: &str) {
        self.central(&format!("INSERT INTO sessions VALUES ('{id}', '{group}', '{status}')"));
        fs_err::create_dir_all(self.folder_of(id, group)).unwrap();
        let inbound = "CREATE TABLE messages_in (id TEXT, seq INTEGER, status TEXT, tries INTEGER, process_after TEXT,
                       recurrence TEXT)";
        Connection::open(self.folder_of(id, group).join("inbound.db")).unwrap().execute_batch(inbound).unwrap();
        let outbound = "CREATE TABLE processing_ack (message_id TEXT, status TEXT, status_changed TEXT)";
        Connection::open(self.folder_of(id, group).join("outbound.db")).unwrap().execute_batch(outbound).unwrap();
    }

    fn folder_of(&self, id: &str, group: &str) -> PathBuf {
        self.root().join("data/v2-sessions").join(group).join(id)
    }

    /// The session `s` of the group `g`, with the message `m1`, claimed a while ago.
    pub(super) fn with_claim() -> Self {
        let world = Self::new();
        world.session("s", "g", "active");
        world.claim("m1");
        world
    }

    /// One more message in the session `s`, claimed a while ago.
    pub(super) fn claim(&self, message: &str) {
        let insert = "INSERT INTO messages_in SELECT ?, 2 + 2 * count(*), 'pending', 0, NULL, NULL FROM messages_in";
        self.inbound().execute(insert, [message]).unwrap();
        let claimed = (self.now - TimeDelta::seconds(7_000)).to_rfc3339();
        let insert = "INSERT INTO processing_ack VALUES (?, 'processing', ?)";
        self.outbound().execute(insert, [message, &claimed]).unwrap();
    }

    /// The messages that are claimed in the session `s`.
    pub(super) fn claims(&self) -> Vec<String> {
        let outbound = self.outbound();
        let mut statement = outbound.prepare("SELECT message_id FROM processing_ack").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// What comes in to the session `s`.
    pub(super) fn inbound(&self) -> Connection {
        Connection::open(self.folder_of("s", "g").join("inbound.db")).unwrap()
    }

    fn outbound(&self) -> Connection {
        Connection::open(self.folder_of("s", "g").join("outbound.db")).unwrap()
    }

    /// How often the message `m1` was tried, and whether it is claimed.
    pub(super) fn state(&self) -> (i64, bool) {
        let tries = self.inbound().query_row("SELECT tries FROM messages_in", [], |row| row.get(0)).unwrap();
        (tries, !self.claims().is_empty())
    }

    /// A heartbeat of this moment in the session `s`.
    pub(super) fn beat(&self) {
        fs_err::write(self.folder_of("s", "g").join(".heartbeat"), "").unwrap();
    }

    /// What a writer of the session `s` leaves that is killed before it wrote into the database itself.
    pub(super) fn journal(&self) {
        fs_err::write(self.folder_of("s", "g").join("outbound.db-journal"), "x").unwrap();
    }

    /// Lets time pass.
    pub(super) fn wait(&mut self, time: TimeDelta) {
        self.now += time;
    }

    /// A container that has run for two hours, with `labels` and the folder of a session of the group `g` at `/workspace`.
    pub(super) fn container(&self, session: &str, labels: &Value) {
        self.container_that("running", session, labels);
    }

    /// The same in another state.
    pub(super) fn container_that(&self, is: &str, session: &str, labels: &Value) {
        let started = (self.now - TimeDelta::seconds(7_200)).to_rfc3339();
        let inspected = json!([{ "Id": "c1", "Name": "c1", "State": { "Status": is, "StartedAt": started },
            "Mounts": [{ "Source": self.folder_of(session, "g"), "Destination": "/workspace" }],
            "Config": { "Labels": labels } }]);
        self.runtime("inspect", &inspected.to_string());
        self.runtime("ids", "c1");
    }

    /// A heartbeat that is so much later than now.
    pub(super) fn beat_ahead(&self, seconds: i64) {
        self.beat();
        let time = filetime::FileTime::from_unix_time(self.now.timestamp() + seconds, 0);
        filetime::set_file_mtime(self.folder_of("s", "g").join(".heartbeat"), time).unwrap();
    }

    /// What the stand-in runtime says that it is.
    pub(super) fn version(&self, text: &str) {
        self.runtime("version", text);
    }

    /// Makes the installation the one of the user with this number.
    pub(super) fn give_away(&self, user: u32) {
        std::os::unix::fs::chown(self.root().join("data/v2.db"), Some(user), None).unwrap();
    }

    /// Sets what the stand-in runtime does.
    pub(super) fn runtime(&self, file: &str, text: &str) {
        fs_err::write(self.folder.path().join("bin").join(file), text).unwrap();
    }

    /// Whether the runtime was asked to stop anything.
    pub(super) fn was_stopped(&self) -> bool {
        let calls = fs_err::read_to_string(self.folder.path().join("bin/calls")).unwrap_or_default();
        calls.lines().any(|call| call == "stop")
    }

    pub(super) fn scene(&self) -> Scene<'_> {
        let path = self.folder.path().join("bin");
        // Long after the databases were written.
        let started = self.now + TimeDelta::seconds(60);
        Scene::new(&self.root(), &self.settings, (path.as_os_str(), None), &self.proc, (self.now, started)).unwrap()
    }

    pub(super) fn memory(&self) -> Memory {
        Memory::read(Path::new("/nonexistent"), &self.root())
    }

    pub(super) fn plan(&self) -> Plan {
        self.scene().plan(Extent::All, &mut self.memory()).unwrap()
    }

    /// Does what a plan says, by a look of its own: as if time had passed.
    pub(super) fn apply(&self, plan: &Plan) -> Applied {
        self.scene().apply(plan, &mut self.memory())
    }
}

/// The names of a session's steps.
pub(super) fn names(item: &SessionItem) -> Vec<&'static str> {
    item.steps.iter().map(|step| step.action.name()).collect()
}

/// What became of each step: `retry done`.
pub(super) fn outcomes(applied: &Applied) -> Vec<String> {
    let words = |(step, outcome): &(super::plan::Step, Outcome)| format!("{} {}", step.action.name(), outcome.name());
    applied.steps().map(words).collect()
}

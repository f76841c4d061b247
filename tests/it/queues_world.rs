//! Installations of an agent host, with sessions, databases and containers as a test wants them, by the machine's own clock.
//!
//! Every age is told in seconds before the present. Databases are opened, used and closed at once, as the host does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, ToSql, params};
use serde_json::{Map, Value, json};
use walkdir::WalkDir;

use crate::processes_facts::document;
use crate::queues_engine::{Container, Engine};
use crate::queues_schemas::Generation;
use crate::world::{Ran, World};

/// The agent group of sessions that name no other.
pub(crate) const GROUP: &str = "ag-main";

/// An installation, the runtime that it uses, and a home to run the command in.
pub(crate) struct Queues {
    pub(crate) world: World,
    pub(crate) engine: Engine,
    pub(crate) generation: Generation,
    /// Lines of the installation's table in the configuration.
    settings: String,
}

/// Files with their times and bytes, and folders.
pub(crate) type Files = BTreeMap<PathBuf, Option<(SystemTime, Vec<u8>)>>;

/// One session of it.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) group: String,
    pub(crate) folder: PathBuf,
    pub(crate) generation: Generation,
}

/// A row of `messages_in` that is being written.
pub(crate) struct Row<'s> {
    session: &'s Session,
    id: String,
}

impl Queues {
    /// An installation without sessions, whose host does not run and has closed its database.
    pub(crate) fn new(generation: Generation) -> Self {
        let world = World::new();
        let engine = Engine::in_world(world.root());
        let queues = Self { world, engine, generation, settings: String::new() };
        fs_err::create_dir_all(queues.root().join("data/v2-sessions")).unwrap();
        let central = queues.central();
        central.pragma_update(None, "journal_mode", "wal").unwrap();
        central.execute_batch(&generation.central()).unwrap();
        for (index, name) in generation.migrations().iter().enumerate() {
            let row = params![index as i64 + 1, name, iso(86_400)];
            central.execute("INSERT INTO schema_version VALUES (?1, ?2, ?3)", row).unwrap();
        }
        drop(central);
        queues.group(GROUP);
        queues
    }

    /// One with a wake hook.
    pub(crate) fn waking(generation: Generation) -> Self {
        let mut queues = Self::new(generation);
        queues.wakes();
        queues
    }

    /// The installation's folder, links resolved.
    pub(crate) fn root(&self) -> PathBuf {
        fs_err::canonicalize(self.world.root()).unwrap().join("agents")
    }

    pub(crate) fn slug(&self) -> String {
        slug_of(&self.root())
    }

    pub(crate) fn central_path(&self) -> PathBuf {
        self.root().join("data/v2.db")
    }

    /// The file in which a sweep remembers what it saw.
    pub(crate) fn memory(&self) -> PathBuf {
        let name = format!("{}.json", self.slug());
        self.world.home().join(".local/state/session-sweep/queues").join(name)
    }

    /// The central database, to be written to.
    pub(crate) fn central(&self) -> Connection {
        let central = Connection::open(self.central_path()).unwrap();
        central.pragma_update(None, "foreign_keys", "on").unwrap();
        central
    }

    /// Another agent group.
    pub(crate) fn group(&self, id: &str) {
        let row = params![id, id, format!("folder-of-{id}"), iso(86_400)];
        let sql = "INSERT INTO agent_groups (id, name, folder, created_at) VALUES (?1, ?2, ?3, ?4)";
        self.central().execute(sql, row).unwrap();
    }

    /// An active session with both databases and nothing in them.
    pub(crate) fn session(&self, id: &str) -> Session {
        self.session_in(GROUP, id)
    }

    /// The same in a group.
    pub(crate) fn session_in(&self, group: &str, id: &str) -> Session {
        self.insert_session(group, id);
        self.session_folder(group, id)
    }

    /// Only the row of a session.
    pub(crate) fn insert_session(&self, group: &str, id: &str) {
        let sql = "INSERT INTO sessions (id, agent_group_id, created_at, last_active) VALUES (?1, ?2, ?3, ?3)";
        self.central().execute(sql, params![id, group, iso(7_200)]).unwrap();
    }

    /// Only the folder of a session, with both databases.
    pub(crate) fn session_folder(&self, group: &str, id: &str) -> Session {
        let folder = self.root().join("data/v2-sessions").join(group).join(id);
        fs_err::create_dir_all(&folder).unwrap();
        let session = Session { id: id.to_owned(), group: group.to_owned(), folder, generation: self.generation };
        for (path, schema) in
            [(session.inbound_path(), self.generation.inbound()), (session.outbound_path(), self.generation.outbound())]
        {
            Connection::open(path).unwrap().execute_batch(&schema).unwrap();
        }
        session
    }

    /// Sets a column of a session's row.
    pub(crate) fn set_session(&self, id: &str, column: &str, value: impl ToSql) {
        let sql = format!("UPDATE sessions SET {column} = ?1 WHERE id = ?2");
        assert_eq!(self.central().execute(&sql, params![value, id]).unwrap(), 1);
    }

    /// A lease of the original's host that ends in so many seconds, and whether the host said that it stopped.
    pub(crate) fn lease(&self, seconds: i64, is_stopped: bool) {
        let stopped = is_stopped.then(|| iso(1));
        let row = params![
            format!("host-{seconds}-{is_stopped}"),
            self.slug(),
            "elsewhere",
            4_000_000,
            iso(3_600),
            iso(-seconds),
            stopped
        ];
        self.central().execute("INSERT INTO host_instances VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", row).unwrap();
    }

    /// Since when a host has had a session: the time before which nothing counts.
    pub(crate) fn claim_session(&self, id: &str, seconds: i64) {
        let row = params![id, 3, "host-1", iso(seconds)];
        let sql = "INSERT INTO session_claims (session_id, incarnation, claimed_by, claimed_at, updated_at)
                   VALUES (?1, ?2, ?3, ?4, ?4)";
        self.central().execute(sql, row).unwrap();
    }

    /// Leaves the central database as a host does that is killed after `last`: what it did last stands beside it.
    pub(crate) fn kill_host_after(&self, last: &str) {
        let central = self.central();
        central.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        central.execute_batch(last).unwrap();
        let beside = ["v2.db", "v2.db-wal", "v2.db-shm"].map(|name| self.root().join("data").join(name));
        let left = beside.clone().map(|path| fs_err::read(path).unwrap());
        drop(central);
        for (path, bytes) in beside.iter().zip(left) {
            fs_err::write(path, bytes).unwrap();
        }
    }

    /// A container as this generation starts one for a session, started so many seconds ago; yields its id.
    pub(crate) fn container(&self, session: &Session, seconds: i64) -> String {
        self.engine.start(&self.container_of(session, seconds))
    }

    /// The description of one.
    pub(crate) fn container_of(&self, session: &Session, seconds: i64) -> Container {
        let folder = format!("folder-of-{}", session.group);
        let name = match self.generation {
            Generation::C => format!("ncl-{}-{}", self.slug(), session.id),
            _ => format!("nanoclaw-v2-{folder}-1795000000000"),
        };
        let mut container = Container::named(&name, seconds)
            .mount(&session.folder, "/workspace")
            .mount(self.root().join("groups").join(folder), "/workspace/agent");
        if self.generation >= Generation::B {
            container = container.label("nanoclaw-install", &self.slug());
        }
        if self.generation == Generation::C {
            container = container
                .label("nanoclaw-group", &session.group)
                .label("nanoclaw-session", &session.id)
                .label("nanoclaw-role", "agent");
        }
        container
    }

    /// Adds a line to the installation's settings.
    pub(crate) fn set(&mut self, line: &str) -> &mut Self {
        self.settings += line;
        self.settings.push('\n');
        let table = format!("[[queues]]\nroot = {}\n{}", json!(self.root()), self.settings);
        self.world.file(".config/session-sweep/config.toml", table, 0);
        self
    }

    /// Has sessions woken by the hook.
    pub(crate) fn wakes(&mut self) -> &mut Self {
        let hook = json!([self.engine.bin().join("wake")]);
        self.set(&format!("wake.command = {hook}"))
    }

    /// The zone that the installation's own file names.
    pub(crate) fn zone(&self, name: &str) -> &Self {
        fs_err::write(self.root().join(".env"), format!("SOMETHING=else\nTZ={name}\n")).unwrap();
        self
    }

    /// A run of `queues` about this installation.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_anywhere(&[arguments, &["--root", self.root().to_str().unwrap()]].concat())
    }

    /// A run of `queues`.
    pub(crate) fn command_anywhere(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.command_at_present(&[&["queues"], arguments].concat());
        command.env("PATH", self.engine.bin());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// The installation in the document of a run.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str], status: i32) -> Value {
        let document = document(self.run(&[arguments, &["--json"]].concat()), status);
        let [installation] = document["installations"].as_array().unwrap().as_slice() else {
            panic!("not one installation: {document:#}")
        };
        let mut installation = installation.clone();
        installation["now"] = document["now"].clone();
        installation
    }

    /// A sweep.
    #[track_caller]
    pub(crate) fn sweep(&self, status: i32) -> Value {
        self.json(&["sweep"], status)
    }

    /// A sweep that finds nothing to do, say or change.
    #[track_caller]
    pub(crate) fn assert_nothing_to_do(&self) {
        let before = self.everything();
        let document = self.sweep(0);
        assert!(document["sessions"] == json!([]) && document["containers"] == json!([]), "{document:#}");
        assert!(self.engine.stops().is_empty() && self.engine.wakes().is_empty(), "{document:#}");
        self.assert_unchanged(&before);
    }

    /// Every file of the installation as it is, to the byte. Who reads a central database in WAL mode may make files beside
    /// it for as long as that takes: so the times of folders do not count.
    pub(crate) fn everything(&self) -> Files {
        let node = |entry: walkdir::DirEntry| {
            let is_file = entry.file_type().is_file();
            let modified = is_file.then(|| entry.metadata().unwrap().modified().unwrap());
            (entry.path().to_owned(), modified.map(|modified| (modified, fs_err::read(entry.path()).unwrap())))
        };
        WalkDir::new(self.root()).into_iter().map(|entry| node(entry.unwrap())).collect()
    }

    /// Fails when a file of the installation differs, came or went.
    #[track_caller]
    pub(crate) fn assert_unchanged(&self, before: &Files) {
        let now = self.everything();
        let differs = |path: &&PathBuf| before.get(*path) != now.get(*path);
        let differences: Vec<&PathBuf> = before.keys().chain(now.keys()).filter(differs).collect();
        assert!(differences.is_empty(), "changed, new or gone: {differences:#?}");
    }
}

impl Session {
    pub(crate) fn inbound_path(&self) -> PathBuf {
        self.folder.join("inbound.db")
    }

    pub(crate) fn outbound_path(&self) -> PathBuf {
        self.folder.join("outbound.db")
    }

    /// What comes in, to be written to.
    pub(crate) fn inbound(&self) -> Connection {
        Connection::open(self.inbound_path()).unwrap()
    }

    /// What goes out, to be written to.
    pub(crate) fn outbound(&self) -> Connection {
        Connection::open(self.outbound_path()).unwrap()
    }

    /// A pending message of a person, due now, with the next even number.
    pub(crate) fn message(&self, id: &str) -> Row<'_> {
        let inbound = self.inbound();
        let sql = "INSERT INTO messages_in (id, seq, kind, timestamp, content)
                   SELECT ?1, coalesce(max(seq), 0) / 2 * 2 + 2, 'chat', ?2, '{}' FROM messages_in";
        inbound.execute(sql, params![id, iso(7_200)]).unwrap();
        Row { session: self, id: id.to_owned() }.set_if(self.generation >= Generation::A, "series_id", id)
    }

    /// A run of a recurring task.
    pub(crate) fn task(&self, id: &str, recurrence: &str) -> Row<'_> {
        self.message(id).set("kind", "task").set("recurrence", recurrence)
    }

    /// The container said so many seconds ago that it works on a message.
    pub(crate) fn claim(&self, message: &str, seconds: i64) -> &Self {
        self.acknowledge(message, "processing", &bare(seconds))
    }

    /// The container said that it is done with a message.
    pub(crate) fn ack(&self, message: &str, status: &str) -> &Self {
        self.acknowledge(message, status, &bare(30))
    }

    /// A row of `processing_ack`.
    pub(crate) fn acknowledge(&self, message: &str, status: &str, changed: &str) -> &Self {
        let sql = "INSERT OR REPLACE INTO processing_ack VALUES (?1, ?2, ?3)";
        self.outbound().execute(sql, params![message, status, changed]).unwrap();
        self
    }

    /// The container said so many seconds ago that it is in a call of Bash, and how long that may take.
    pub(crate) fn bash(&self, timeout_ms: i64, seconds: i64) -> &Self {
        let sql = "INSERT OR REPLACE INTO container_state VALUES (1, 'Bash', ?1, ?2, ?2)";
        self.outbound().execute(sql, params![timeout_ms, iso(seconds)]).unwrap();
        self
    }

    /// The last heartbeat was so many seconds ago.
    pub(crate) fn heartbeat(&self, seconds: i64) -> &Self {
        let path = self.folder.join(".heartbeat");
        fs_err::write(&path, "").unwrap();
        let time = filetime::FileTime::from_unix_time(Utc::now().timestamp() - seconds, 0);
        filetime::set_file_mtime(path, time).unwrap();
        self
    }

    /// A message with all its columns; null where there is none.
    pub(crate) fn row(&self, id: &str) -> Value {
        let rows = self.rows("messages_in");
        rows.into_iter().find(|row| row["id"] == id).unwrap_or_default()
    }

    pub(crate) fn status(&self, id: &str) -> String {
        self.row(id)["status"].as_str().unwrap_or("no message").to_owned()
    }

    /// Status, tries and time of the next try.
    pub(crate) fn state(&self, id: &str) -> (String, i64, Option<DateTime<Utc>>) {
        let row = self.row(id);
        (self.status(id), row["tries"].as_i64().unwrap(), row["process_after"].as_str().map(time))
    }

    /// All messages but these.
    pub(crate) fn others(&self, ids: &[&str]) -> Vec<Value> {
        let is_known = |row: &Value| ids.iter().any(|id| row["id"] == *id);
        self.rows("messages_in").into_iter().filter(|row| !is_known(row)).collect()
    }

    /// The messages that are claimed.
    pub(crate) fn claims(&self) -> Vec<String> {
        let acks = self.rows("processing_ack").into_iter().filter(|ack| ack["status"] == "processing");
        acks.map(|ack| ack["message_id"].as_str().unwrap().to_owned()).collect()
    }

    /// The rows of a table, read as a guest does.
    pub(crate) fn rows(&self, table: &str) -> Vec<Value> {
        let path = if table.ends_with("_in") { self.inbound_path() } else { self.outbound_path() };
        rows(&read_only(&path), &format!("SELECT * FROM {table} ORDER BY rowid"))
    }

    /// The words that made each of its tables and indexes.
    pub(crate) fn schemas(&self) -> Vec<Value> {
        let schema = |path| rows(&read_only(path), "SELECT sql FROM sqlite_master ORDER BY rowid");
        [schema(&self.inbound_path()), schema(&self.outbound_path())].concat()
    }

    /// Fails unless both databases are in order, in the mode they were made in, and alone.
    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        for path in [self.inbound_path(), self.outbound_path()] {
            let database = read_only(&path);
            let check: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            let mode: String = database.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
            assert_eq!((&*check, &*mode), ("ok", "delete"), "{}", path.display());
        }
        let beside = |name: &String| name.ends_with("-wal") || name.ends_with("-shm") || name.ends_with("-journal");
        let names = crate::tree::names_in(&self.folder);
        assert!(!names.iter().any(beside), "{names:?}");
    }
}

impl Row<'_> {
    /// Sets a column.
    pub(crate) fn set(self, column: &str, value: impl ToSql) -> Self {
        let sql = format!("UPDATE messages_in SET {column} = ?1 WHERE id = ?2");
        assert_eq!(self.session.inbound().execute(&sql, params![value, self.id]).unwrap(), 1);
        self
    }

    fn set_if(self, holds: bool, column: &str, value: impl ToSql) -> Self {
        if holds { self.set(column, value) } else { self }
    }

    /// So that nothing of it is due for ten minutes.
    pub(crate) fn later(self) -> Self {
        self.set("process_after", iso(-600))
    }
}

/// A database that is only read.
pub(crate) fn read_only(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// What a query yields, as objects.
pub(crate) fn rows(database: &Connection, sql: &str) -> Vec<Value> {
    let mut statement = database.prepare(sql).unwrap();
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let object = |row: &rusqlite::Row<'_>| {
        let value = |index| match row.get_ref_unwrap(index) {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => json!(number),
            ValueRef::Real(number) => json!(number),
            ValueRef::Text(text) | ValueRef::Blob(text) => json!(String::from_utf8_lossy(text)),
        };
        Ok(names.iter().enumerate().map(|(index, name)| (name.clone(), value(index))).collect::<Map<_, _>>().into())
    };
    statement.query_map([], object).unwrap().map(Result::unwrap).collect()
}

/// So many seconds ago as JavaScript writes times.
pub(crate) fn iso(seconds: i64) -> String {
    (Utc::now() - TimeDelta::seconds(seconds)).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The same as SQLite writes them: UTC without saying so.
pub(crate) fn bare(seconds: i64) -> String {
    (Utc::now() - TimeDelta::seconds(seconds)).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A time in either form.
#[track_caller]
pub(crate) fn time(text: &str) -> DateTime<Utc> {
    let bare = |_| chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").map(|time| time.and_utc());
    DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).or_else(bare).unwrap_or_else(|_| panic!("{text:?}"))
}

/// Fails unless a message waits for its next try since a run of this document: tries, and the delay in seconds.
#[track_caller]
pub(crate) fn assert_retried(session: &Session, message: &str, document: &Value, tries: i64, delay: i64) {
    let (status, found, at) = session.state(message);
    assert_eq!((&*status, found), ("pending", tries), "{message}");
    let late = at.unwrap() - time(document["now"].as_str().unwrap()) - TimeDelta::seconds(delay);
    // Either writer rounds to the second, and a slow machine takes its time between the two.
    assert!((-1..20).contains(&late.num_seconds()), "{message}: {at:?}, not {delay} s after {}", document["now"]);
}

/// A session in a document.
#[track_caller]
pub(crate) fn in_document<'d>(document: &'d Value, id: &str) -> &'d Value {
    let sessions = document["sessions"].as_array().unwrap_or_else(|| panic!("{document:#}"));
    sessions.iter().find(|session| session["session_id"] == id).unwrap_or_else(|| panic!("no {id}: {document:#}"))
}

/// Whether a document says anything of a session.
pub(crate) fn is_in(document: &Value, id: &str) -> bool {
    document["sessions"].as_array().is_some_and(|sessions| sessions.iter().any(|session| session["session_id"] == id))
}

/// What was done about a session: `retry m1 done`, in order.
#[track_caller]
pub(crate) fn steps(document: &Value, id: &str) -> Vec<String> {
    let steps = in_document(document, id)["steps"].as_array().unwrap();
    let word = |step: &Value, member: &str| step[member].as_str().unwrap_or_default().to_owned();
    let words =
        |step: &Value| ["action", "message_id", "result"].map(|member| word(step, member)).join(" ").replace("  ", " ");
    steps.iter().map(words).collect()
}

/// Fails unless a step is among those of a session; yields it.
#[track_caller]
pub(crate) fn step<'d>(document: &'d Value, id: &str, action: &str) -> &'d Value {
    let steps = in_document(document, id)["steps"].as_array().unwrap();
    steps.iter().find(|step| step["action"] == action).unwrap_or_else(|| panic!("no {action} of {id}: {document:#}"))
}

/// Why a session could not be looked at.
#[track_caller]
pub(crate) fn problem<'d>(document: &'d Value, id: &str) -> &'d str {
    in_document(document, id)["problem"].as_str().unwrap_or_else(|| panic!("no problem of {id}: {document:#}"))
}

/// Makes `changes`, and more, in a transaction that does not end, so that the file itself is half changed.
pub(crate) fn write_half(path: &Path, changes: &str) -> Connection {
    let writer = Connection::open(path).unwrap();
    // More than the cache holds, so that the file itself is written to.
    writer.execute_batch("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN IMMEDIATE").unwrap();
    writer.execute_batch(changes).unwrap();
    let table = if path.ends_with("inbound.db") { "messages_in" } else { "messages_out" };
    let fill = format!(
        "WITH RECURSIVE n (x) AS (SELECT 1001 UNION ALL SELECT x + 2 FROM n WHERE x < 1401)
         INSERT INTO {table} (id, seq, kind, timestamp, content)
         SELECT 'torn-' || x, x, 'chat', 'never', hex(zeroblob(1500)) FROM n"
    );
    writer.execute_batch(&fill).unwrap();
    writer
}

/// Leaves a database as a writer does that is killed in the middle of `changes`: half of it changed, and what it was in the
/// journal beside it.
pub(crate) fn kill_writer(path: &Path, changes: &str) {
    let writer = write_half(path, changes);
    let journal = journal_of(path);
    let left = [path, &journal].map(|path| fs_err::read(path).unwrap());
    drop(writer);
    assert!(!journal.exists());
    for (path, bytes) in [path, &journal].into_iter().zip(left) {
        fs_err::write(path, bytes).unwrap();
    }
}

pub(crate) fn journal_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap().to_str().unwrap();
    path.with_file_name(format!("{name}-journal"))
}

/// A file that is no database, of a database's size.
pub(crate) fn corrupt(path: &Path) {
    fs_err::write(path, "this is not a database, though it once was one. ".repeat(512)).unwrap();
}

/// The first eight digits of the SHA-1 of a path.
pub(crate) fn slug_of(path: &Path) -> String {
    let mut sum = Command::new("sha1sum");
    sum.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = sum.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), path.to_str().unwrap().as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()[..8].to_owned()
}

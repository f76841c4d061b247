//! The installation: an agent host's folder with so many sessions, and a memory of the tick before.
//!
//! ```text
//! agents/data/v2.db                               in WAL mode, closed
//! agents/data/v2-sessions/<group>/<session>/      inbound.db, outbound.db, .heartbeat
//! aside/<session>/                                what the sessions that need work are at the moment not
//! work/inbound.db, work/outbound.db               what is in those that need work
//! folders, known                                  names of all session folders, and of those that need work, for the floor
//! seen                                            what the unaided floor saw at the tick before
//! bin/podman                                      this program, which answers at once with nothing
//! nobody/proc/                                    a machine without processes
//! ```
//! A session that needs work has a message that a container, gone since, said an hour ago it works on. Its folder stands
//! beside one in which all is done: they change places by renaming, so that no file gets another stamp by it.

use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use filetime::{FileTime, set_file_mtime};
use rusqlite::{Connection, OpenFlags, params};
use rustc_hash::FxHasher;
use walkdir::WalkDir;

use crate::common::scratch::Note;

/// How many sessions need work.
pub(crate) const BUSY: usize = 20;
/// The message that they need it for.
pub(crate) const MESSAGE: &str = "msg-31";

/// To be raised when anything changes what is generated.
const LAYOUT: u32 = 1;
const GROUPS: usize = 5;
const ENDED: i64 = 30;
/// Tells which of its two folders a session has at the moment.
const MARK: &str = ".needs-work";
/// A file counts as settled after that.
const SETTLED: Duration = Duration::from_millis(3_100);

const CENTRAL: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, applied TEXT NOT NULL);
    CREATE TABLE agent_groups (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL UNIQUE, agent_provider TEXT, created_at TEXT NOT NULL);
    CREATE TABLE container_configs (agent_group_id TEXT PRIMARY KEY, provider TEXT, model TEXT, updated_at TEXT);
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, agent_group_id TEXT NOT NULL REFERENCES agent_groups (id), messaging_group_id TEXT,
        thread_id TEXT, agent_provider TEXT, status TEXT DEFAULT 'active', container_status TEXT DEFAULT 'stopped',
        last_active TEXT, created_at TEXT NOT NULL);
    CREATE INDEX sessions_of_group ON sessions (agent_group_id);
    CREATE INDEX sessions_of_thread ON sessions (messaging_group_id, thread_id);";

const INBOUND: &str = "
    CREATE TABLE messages_in (
        id TEXT PRIMARY KEY, seq INTEGER UNIQUE, kind TEXT NOT NULL, timestamp TEXT NOT NULL,
        status TEXT DEFAULT 'pending', process_after TEXT, recurrence TEXT, series_id TEXT, tries INTEGER DEFAULT 0,
        \"trigger\" INTEGER NOT NULL DEFAULT 1, platform_id TEXT, channel_type TEXT, thread_id TEXT,
        content TEXT NOT NULL, source_session_id TEXT, on_wake INTEGER NOT NULL DEFAULT 0);
    CREATE INDEX messages_in_of_series ON messages_in (series_id);
    CREATE TABLE delivered (
        message_out_id TEXT PRIMARY KEY, platform_message_id TEXT, status TEXT NOT NULL DEFAULT 'delivered',
        delivered_at TEXT NOT NULL);
    CREATE TABLE destinations (
        name TEXT PRIMARY KEY, display_name TEXT, type TEXT NOT NULL, channel_type TEXT, platform_id TEXT,
        agent_group_id TEXT);
    CREATE TABLE session_routing (id INTEGER PRIMARY KEY, channel_type TEXT, platform_id TEXT, thread_id TEXT);";

const OUTBOUND: &str = "
    CREATE TABLE messages_out (
        id TEXT PRIMARY KEY, seq INTEGER UNIQUE, in_reply_to TEXT, timestamp TEXT NOT NULL, deliver_after TEXT,
        recurrence TEXT, kind TEXT NOT NULL, platform_id TEXT, channel_type TEXT, thread_id TEXT, content TEXT NOT NULL);
    CREATE TABLE processing_ack (message_id TEXT PRIMARY KEY, status TEXT NOT NULL, status_changed TEXT NOT NULL);
    CREATE TABLE session_state (key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TEXT NOT NULL);
    CREATE TABLE container_state (
        id INTEGER PRIMARY KEY, current_tool TEXT, tool_declared_timeout_ms INTEGER, tool_started_at TEXT,
        updated_at TEXT NOT NULL);";

/// An installation on the disk.
pub(crate) struct Installation {
    folder: PathBuf,
    /// `<group>/<session>`
    sessions: Vec<String>,
}

impl Installation {
    /// The installation with so many sessions under `scratch`: the one that is there while it is fresh, else a new one, whose
    /// files are old enough for their stamps to be trusted.
    pub(crate) fn of_size(sessions: u64, scratch: &Path) -> Self {
        let folder = scratch.join(format!("queues-{sessions}"));
        let note = Note::of(&folder, LAYOUT, |_| {
            let sessions: Vec<String> = (0..sessions as usize).map(name).collect();
            write(&folder, &sessions);
            std::thread::sleep(SETTLED);
            sessions
        });
        let installation = Self { folder, sessions: note.content };
        let stand_in = installation.stand_in();
        // This build's.
        let _ = fs::remove_file(&stand_in);
        fs::copy(std::env::current_exe().unwrap(), stand_in).unwrap();
        installation
    }

    /// Where everything of it lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the tool is to be given.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("agents")
    }

    /// The container runtime.
    pub(crate) fn stand_in(&self) -> PathBuf {
        self.folder.join("bin/podman")
    }

    /// Where the sessions are.
    pub(crate) fn sessions_folder(&self) -> PathBuf {
        self.root().join("data/v2-sessions")
    }

    /// The central database.
    pub(crate) fn central(&self) -> PathBuf {
        self.root().join("data/v2.db")
    }

    /// What the unaided floor remembers.
    pub(crate) fn seen(&self) -> PathBuf {
        self.folder.join("seen")
    }

    /// How many sessions there are.
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// The sessions that need work where `arrange` said so: group and session.
    pub(crate) fn busy(&self) -> impl Iterator<Item = (&str, &str)> {
        busy(&self.sessions).map(|name| name.split_once('/').unwrap())
    }

    /// Has the sessions in question need work, or not.
    pub(crate) fn arrange(&self, needs_work: bool) {
        for (group, session) in self.busy() {
            let place = self.session(group, session);
            if place.join(MARK).exists() != needs_work {
                let (aside, between) = (self.folder.join("aside").join(session), self.folder.join("aside/between"));
                fs::rename(&place, &between).unwrap();
                fs::rename(&aside, &place).unwrap();
                fs::rename(&between, &aside).unwrap();
            }
        }
    }

    /// Undoes what was done about the sessions that need work.
    pub(crate) fn put_back(&self) {
        for (group, session) in self.busy() {
            put_databases(&self.folder, &self.session(group, session));
        }
    }

    /// How often the message of a session was tried, and how many claims there are.
    pub(crate) fn state_of(&self, group: &str, session: &str) -> (u32, u32) {
        let count = |name: &str, sql: &str| -> u32 {
            let path = self.session(group, session).join(name);
            let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
            database.query_row(sql, [], |row| row.get(0)).unwrap()
        };
        let tries = format!("SELECT tries FROM messages_in WHERE id = '{MESSAGE}'");
        let claims = "SELECT count(*) FROM processing_ack WHERE status = 'processing'";
        (count("inbound.db", &tries), count("outbound.db", claims))
    }

    /// The same number as before: no file was changed, came or went.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = FxHasher::default();
        for entry in WalkDir::new(self.root()).sort_by_file_name() {
            let entry = entry.unwrap();
            entry.path().hash(&mut hasher);
            let metadata = entry.metadata().unwrap();
            // A folder's times are those of what comes and goes in it.
            if metadata.is_file() {
                (metadata.len(), metadata.mtime(), metadata.mtime_nsec()).hash(&mut hasher);
                (metadata.ctime(), metadata.ctime_nsec()).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    fn session(&self, group: &str, session: &str) -> PathBuf {
        self.sessions_folder().join(group).join(session)
    }
}

fn busy(sessions: &[String]) -> impl Iterator<Item = &str> {
    sessions.iter().step_by(sessions.len() / BUSY).take(BUSY).map(String::as_str)
}

fn name(number: usize) -> String {
    let group = number % GROUPS;
    format!("ag-{group:02}-team/sess-{}-{number:06}", 1_763_000_000_000_u64 + number as u64 * 7_919)
}

fn write(folder: &Path, sessions: &[String]) {
    let data = folder.join("agents/data");
    for name in ["agents/data/v2-sessions", "aside", "work", "bin", "nobody/proc", "home"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    write_central(&data.join("v2.db"), sessions);
    let work = folder.join("work");
    for needs_work in [false, true] {
        // Those that need work come last and stay.
        let (inbound, outbound) = (work.join("inbound.db"), work.join("outbound.db"));
        let _ = (fs::remove_file(&inbound), fs::remove_file(&outbound));
        write_inbound(&inbound, needs_work);
        write_outbound(&outbound, needs_work);
        let folders: Vec<PathBuf> = if needs_work {
            busy(sessions).map(|name| folder.join("aside").join(name.split_once('/').unwrap().1)).collect()
        } else {
            sessions.iter().map(|name| data.join("v2-sessions").join(name)).collect()
        };
        for (number, place) in folders.iter().enumerate() {
            fs::create_dir_all(place).unwrap();
            put_databases(folder, place);
            let heartbeat = place.join(".heartbeat");
            fs::write(&heartbeat, "").unwrap();
            let age = Duration::from_secs(3_600 + number as u64 * 60);
            set_file_mtime(heartbeat, FileTime::from_system_time(SystemTime::now() - age)).unwrap();
            if needs_work {
                fs::write(place.join(MARK), "").unwrap();
            }
        }
    }
    fs::write(folder.join("folders"), sessions.join("\n")).unwrap();
    fs::write(folder.join("known"), busy(sessions).collect::<Vec<_>>().join("\n")).unwrap();
}

fn put_databases(folder: &Path, place: &Path) {
    for name in ["inbound.db", "outbound.db"] {
        fs::write(place.join(name), fs::read(folder.join("work").join(name)).unwrap()).unwrap();
    }
}

fn write_central(path: &Path, sessions: &[String]) {
    let mut central = Connection::open(path).unwrap();
    central.execute_batch(CENTRAL).unwrap();
    let writing = central.transaction().unwrap();
    let created = iso(ago(864_000));
    for group in 0..GROUPS {
        let id = format!("ag-{group:02}-team");
        let sql = "INSERT INTO agent_groups VALUES (?1, ?1, ?1, NULL, ?2)";
        writing.execute(sql, params![id, created]).unwrap();
    }
    for name in sessions {
        let (group, session) = name.split_once('/').unwrap();
        let sql = "INSERT INTO sessions (id, agent_group_id, messaging_group_id, thread_id, last_active, created_at)
                   VALUES (?1, ?2, 'mg-1', ?1, ?3, ?3)";
        writing.execute(sql, params![session, group, created]).unwrap();
    }
    writing.commit().unwrap();
}

fn write_inbound(path: &Path, needs_work: bool) {
    let mut inbound = Connection::open(path).unwrap();
    inbound.execute_batch(INBOUND).unwrap();
    let writing = inbound.transaction().unwrap();
    for number in 1..=ENDED + i64::from(needs_work) {
        let status = if number > ENDED { "pending" } else { "completed" };
        let sql = "INSERT INTO messages_in (id, seq, kind, timestamp, status, series_id, channel_type, content)
                   VALUES (?1, ?2, 'chat', ?3, ?4, ?1, 'telegram', ?5)";
        let time = iso(ago(86_400 - number * 60));
        let row = params![format!("msg-{number}"), number * 2, time, status, content(number)];
        writing.execute(sql, row).unwrap();
    }
    writing.commit().unwrap();
}

fn write_outbound(path: &Path, needs_work: bool) {
    let mut outbound = Connection::open(path).unwrap();
    outbound.execute_batch(OUTBOUND).unwrap();
    let writing = outbound.transaction().unwrap();
    for number in 1..=ENDED {
        let sql = "INSERT INTO messages_out (id, seq, in_reply_to, timestamp, kind, content)
                   VALUES (?1, ?2, ?3, ?4, 'chat', ?5)";
        let (id, answered) = (format!("out-{number}"), format!("msg-{number}"));
        let time = bare(ago(86_400 - number * 60));
        writing.execute(sql, params![id, number * 2 + 1, answered, time, content(number)]).unwrap();
        writing.execute("INSERT INTO processing_ack VALUES (?1, 'completed', ?2)", params![answered, time]).unwrap();
    }
    if needs_work {
        let claim = params![MESSAGE, bare(ago(3_600))];
        writing.execute("INSERT INTO processing_ack VALUES (?1, 'processing', ?2)", claim).unwrap();
    }
    let state = params![iso(ago(3_600))];
    writing.execute("INSERT INTO session_state VALUES ('continuation:claude', 'c0ffee', ?1)", state).unwrap();
    writing.execute("INSERT INTO container_state VALUES (1, NULL, NULL, NULL, ?1)", state).unwrap();
    writing.commit().unwrap();
}

fn content(number: i64) -> String {
    format!(r#"{{"sender":"user","text":"{}{number}"}}"#, "something that somebody said ".repeat(6))
}

fn ago(seconds: i64) -> DateTime<Utc> {
    Utc::now() - TimeDelta::seconds(seconds)
}

/// As the host writes times.
fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// As SQLite writes them.
fn bare(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

//! The central database, `data/v2.db`: which sessions there are. Only read: it is in WAL mode and its host's alone.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use chrono::{DateTime, Utc};
use rusqlite::Connection;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::policy::timestamp::parse_loosely;
use crate::sqlite::Reader;

/// How often a database that changes while it is read is read again.
const ATTEMPTS: usize = 3;

/// Which host's schema it is. There is no version number in it: tables tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    /// The first v2 of April 2026.
    A,
    /// 2.0, from `container_configs` on.
    B,
    /// From the tables on by which several hosts share the work.
    C,
}

/// What the central database says.
#[derive(Debug, Clone)]
pub(crate) struct Central {
    pub(crate) generation: Generation,
    /// In the order in which they were made.
    pub(crate) sessions: Vec<SessionRow>,
    /// Hosts that have not said that they stopped.
    pub(crate) hosts: Vec<HostRow>,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) id: String,
    /// Its agent group.
    pub(crate) group: String,
    /// Whether there is such an agent group.
    pub(crate) has_group: bool,
    pub(crate) status: Status,
    /// When a host took it over, where hosts note that.
    pub(crate) claimed: Option<DateTime<Utc>>,
}

/// Whether a session goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    Active,
    Closed,
    /// Something that no known host writes: such a session is left alone.
    Other(String),
}

/// A host that has not said that it stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostRow {
    /// What it is called, for people.
    pub(crate) name: String,
    /// Until when it counts as running; nothing where that cannot be read.
    pub(crate) lease: Option<DateTime<Utc>>,
}

impl Generation {
    /// For people and programs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
        }
    }
}

impl Status {
    /// As it is written in the table.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Active => "active",
            Self::Closed => "closed",
            Self::Other(text) => text,
        }
    }

    fn of(text: Option<String>) -> Self {
        match text.as_deref() {
            Some("active") => Self::Active,
            Some("closed") => Self::Closed,
            _ => Self::Other(text.unwrap_or_default()),
        }
    }
}

/// Reads the central database at `path`, whose host may keep us waiting for `patience`.
///
/// # Errors
/// It cannot be read, or is no such database.
pub(crate) fn read(path: &Path, patience: Duration) -> Result<Central> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match attempt(path, patience) {
            Ok(central) => return Ok(central),
            Err(error) => last = Some(error),
        }
    }
    let why = last.unwrap_or_else(|| anyhow::anyhow!("it is not there"));
    Err(why).with_context(|| format!("could not read the sessions in {}", path.display()))
}

/// The folder of each agent group below `groups`, by the group's id.
///
/// # Errors
/// As [`read`].
pub(crate) fn folders_of_groups(path: &Path, patience: Duration) -> Result<FxHashMap<String, String>> {
    let Some(reader) = Reader::open(path, patience)? else { bail!("{} is not there", path.display()) };
    let folders = {
        let mut statement = reader.connection().prepare("SELECT id, folder FROM agent_groups")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<FxHashMap<String, String>>>()?
    };
    reader.finish()?;
    Ok(folders)
}

/// Reads only which hosts have not said that they stopped.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_hosts(path: &Path, patience: Duration) -> Result<Vec<HostRow>> {
    let Some(reader) = Reader::open(path, patience)? else { bail!("{} is not there", path.display()) };
    let has_hosts = reader.connection().table_exists(None, "host_instances")?;
    let hosts = if has_hosts { hosts(reader.connection())? } else { Vec::new() };
    reader.finish()?;
    Ok(hosts)
}

fn attempt(path: &Path, patience: Duration) -> Result<Central> {
    let Some(reader) = Reader::open(path, patience)? else { bail!("it is not there") };
    let connection = reader.connection();
    // One view of all tables, whatever the host writes meanwhile.
    connection.execute_batch("BEGIN")?;
    let central = tables(connection)?;
    connection.execute_batch("COMMIT")?;
    reader.finish()?;
    Ok(central)
}

fn tables(connection: &Connection) -> Result<Central> {
    let mut statement = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    let has = |name: &str| names.iter().any(|table| table == name);
    ensure!(has("sessions") && has("agent_groups"), "it has no tables sessions and agent_groups");
    let generation = if has("session_claims") && has("host_instances") {
        Generation::C
    } else if has("container_configs") {
        Generation::B
    } else {
        Generation::A
    };
    let claims = if has("session_claims") { claims(connection)? } else { FxHashMap::default() };
    let hosts = if has("host_instances") { hosts(connection)? } else { Vec::new() };
    Ok(Central { generation, sessions: sessions(connection, &claims)?, hosts })
}

fn sessions(connection: &Connection, claims: &FxHashMap<String, Option<DateTime<Utc>>>) -> Result<Vec<SessionRow>> {
    let mut statement = connection.prepare("SELECT id FROM agent_groups")?;
    let mut groups = FxHashSet::default();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // One that is no text is no session's.
        groups.extend(row.get_ref(0)?.as_str().map(str::to_owned));
    }
    let mut statement = connection.prepare("SELECT id, agent_group_id, status FROM sessions ORDER BY rowid")?;
    let row = |row: &rusqlite::Row<'_>| {
        let (id, group): (String, String) = (row.get(0)?, row.get(1)?);
        Ok(SessionRow {
            claimed: claims.get(&id).copied().flatten(),
            has_group: groups.contains(&group),
            id,
            group,
            status: Status::of(row.get(2)?),
        })
    };
    Ok(statement.query_map([], row)?.collect::<Result<_, _>>()?)
}

fn claims(connection: &Connection) -> Result<FxHashMap<String, Option<DateTime<Utc>>>> {
    let mut statement = connection.prepare("SELECT session_id, claimed_at FROM session_claims")?;
    let row = |row: &rusqlite::Row<'_>| {
        let claimed: Option<String> = row.get(1)?;
        Ok((row.get(0)?, claimed.as_deref().and_then(parse_loosely)))
    };
    Ok(statement.query_map([], row)?.collect::<Result<_, _>>()?)
}

fn hosts(connection: &Connection) -> Result<Vec<HostRow>> {
    let mut statement = connection
        .prepare("SELECT instance_id, hostname, pid, lease_expires_at FROM host_instances WHERE stopped_at IS NULL")?;
    let row = |row: &rusqlite::Row<'_>| {
        let instance: String = row.get(0)?;
        let (machine, pid): (Option<String>, Option<i64>) = (row.get(1)?, row.get(2)?);
        let place = match (machine, pid) {
            (Some(machine), Some(pid)) => format!(" (process {pid} on {machine})"),
            (Some(machine), None) => format!(" (on {machine})"),
            (None, Some(pid)) => format!(" (process {pid})"),
            (None, None) => String::new(),
        };
        let lease: Option<String> = row.get(3)?;
        Ok(HostRow { name: format!("{instance}{place}"), lease: lease.as_deref().and_then(parse_loosely) })
    };
    Ok(statement.query_map([], row)?.collect::<Result<_, _>>()?)
}

//! `inbound.db`: the messages that wait for a session's container. Its host writes it, and nobody else but us.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::{Connection, OptionalExtension as _, params};
use rustc_hash::FxHashMap;

use super::recur::rearm;
use crate::sqlite::{Trouble, begin_writing, is_of_statement, open_untrusted, text_of, trouble};

/// More failures in a row than anything depends on.
const LONGEST_STREAK: u32 = 64;
/// No host has so many messages that wait in one session; whoever writes so many means our memory.
const MOST: usize = 100_000;
/// How often a message was tried, as [`Message::tries`] has it.
const TRIES: &str = "min(max(CAST(coalesce(tries, 0) AS INTEGER), 0), 4294967295)";

/// The columns of `messages_in`, which grew over time: what is missing is done without.
#[derive(Debug, Clone, Default)]
pub(crate) struct Columns(Vec<String>);

/// What is in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inbound {
    /// Messages that have not ended, and ended ones of which the next run is not planned yet; by `seq`.
    pub(crate) messages: Vec<Message>,
    /// How many have failed.
    pub(crate) failed: usize,
    /// How many have an id that is no text.
    pub(crate) nameless: usize,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) state: State,
    /// How often it was tried.
    pub(crate) tries: u32,
    /// Not to be looked at before.
    pub(crate) after: After,
    /// The cron expression, of a recurring task.
    pub(crate) recurrence: Option<String>,
    /// What all runs of a recurring task have in common.
    pub(crate) series: Option<String>,
    /// Whether a container is started for it.
    pub(crate) wakes: bool,
    /// How many runs of the series failed in a row up to now, this one included where it has failed.
    pub(crate) failures: u32,
    /// Whether no later run of its series is there, however that ended.
    pub(crate) is_newest: bool,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It waits, or a container works on it.
    Pending,
    /// Its user wants it to wait.
    Paused,
    Completed,
    Failed,
}

/// When a message may be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum After {
    Anytime,
    /// From then on.
    At(DateTime<Utc>),
    /// Never, as long as it says this: SQLite cannot read it either.
    Unreadable(String),
}

/// One change, with what must still be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It ended, as its container said.
    End { message: String, status: &'static str },
    /// It is tried again.
    Retry { message: String, before: u32, tries: u32, at: DateTime<Utc> },
    /// It was tried often enough.
    Fail { message: String, before: u32 },
    /// The next run of a recurring task.
    Recur { message: String, expression: String, next: DateTime<Utc>, is_paused: bool },
    /// The next run is planned already.
    Disarm { message: String, expression: String },
}

impl Inbound {
    /// Messages that a container is to be started for, as things are at `now`.
    pub(crate) fn due(&self, now: DateTime<Utc>) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(move |message| message.is_due(now))
    }

    /// The messages by their ids, but for those that have ended and have nothing to follow.
    pub(crate) fn by_id(&self) -> FxHashMap<&str, &Message> {
        // Where a table has an id twice, the first counts.
        self.messages.iter().rev().map(|message| (&*message.id, message)).collect()
    }
}

impl Message {
    /// Whether a container is to be started for it.
    pub(crate) fn is_due(&self, now: DateTime<Utc>) -> bool {
        let is_time = match self.after {
            After::Anytime => true,
            After::At(after) => after <= now,
            After::Unreadable(_) => false,
        };
        self.state == State::Pending && self.wakes && is_time
    }

    /// When it may be looked at, where that is a time.
    pub(crate) const fn after(&self) -> Option<DateTime<Utc>> {
        match self.after {
            After::At(after) => Some(after),
            After::Anytime | After::Unreadable(_) => None,
        }
    }
}

impl State {
    fn of(text: &str) -> Option<Self> {
        match text {
            "pending" => Some(Self::Pending),
            "paused" => Some(Self::Paused),
            "completed" => Some(Self::Completed),
            "failed" => Some(Self::Failed),
            // `cancelled`, and what hosts to come may write: not ours to touch.
            _ => None,
        }
    }
}

impl Columns {
    fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare("SELECT name FROM pragma_table_info('messages_in')")?;
        Ok(Self(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|column| column == name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Reads the database at `path`, whose host may keep us waiting for `patience`.
pub(crate) fn read(path: &Path, patience: Duration) -> Result<Inbound, Trouble> {
    let connection = open_untrusted(path, patience)?;
    let inbound = messages(&connection).map_err(|error| trouble(&error))?;
    if inbound.messages.len() > MOST {
        return Err(Trouble::Unusable(format!("has more than {MOST} messages that wait: left alone")));
    }
    Ok(inbound)
}

fn messages(connection: &Connection) -> rusqlite::Result<Inbound> {
    let has = |column| connection.column_exists(None, "messages_in", column);
    // What is due is decided by what SQLite makes of the time, as its host and container do.
    let mut statement = connection.prepare(&format!(
        "SELECT id, CAST(status AS TEXT), {TRIES}, CAST(process_after AS TEXT), unixepoch(process_after),
         CAST(recurrence AS TEXT), {}, {}, CAST(seq AS INTEGER)
         FROM messages_in WHERE status <> 'completed' OR recurrence IS NOT NULL ORDER BY seq",
        if has("series_id")? { "CAST(series_id AS TEXT)" } else { "NULL" },
        if has("trigger")? { "CAST(\"trigger\" AS INTEGER)" } else { "1" },
    ))?;
    let mut inbound = Inbound::default();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()?
        && inbound.messages.len() <= MOST
    {
        let Some(state) = text_of(row, 1)?.as_deref().and_then(State::of) else { continue };
        inbound.failed += usize::from(state == State::Failed);
        let recurrence = text_of(row, 5)?;
        if matches!(state, State::Completed | State::Failed) && recurrence.is_none() {
            continue;
        }
        let Ok(id) = row.get_ref(0)?.as_str() else {
            inbound.nameless += 1;
            continue;
        };
        let series = text_of(row, 6)?;
        let failures = match (&series, &recurrence) {
            (Some(series), Some(_)) => streak(connection, series)?,
            (None, Some(_)) => u32::from(state == State::Failed),
            (_, None) => 0,
        };
        let is_newest = match (&series, &recurrence) {
            (Some(series), Some(_)) => is_newest(connection, series, row.get(8)?)?,
            _ => true,
        };
        inbound.messages.push(Message {
            id: id.to_owned(),
            state,
            tries: row.get(2)?,
            after: after(text_of(row, 3)?, row.get(4)?),
            recurrence,
            series,
            wakes: row.get::<_, Option<i64>>(7)?.unwrap_or(1) == 1,
            failures,
            is_newest,
        });
    }
    Ok(inbound)
}

fn after(text: Option<String>, seconds: Option<i64>) -> After {
    match (text, seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0))) {
        (None, _) => After::Anytime,
        (Some(_), Some(time)) => After::At(time),
        (Some(text), None) => After::Unreadable(text),
    }
}

/// Whether a series has no run after this one.
fn is_newest(connection: &Connection, series: &str, seq: Option<i64>) -> rusqlite::Result<bool> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM messages_in WHERE series_id = ?1 AND seq > ?2 LIMIT 1")?;
    Ok(!statement.exists(params![series, seq])?)
}

/// How many runs of a series failed in a row, counted from the newest that has ended.
fn streak(connection: &Connection, series: &str) -> rusqlite::Result<u32> {
    let mut statement = connection.prepare_cached(
        "SELECT status FROM messages_in WHERE series_id = ? AND status IN ('completed', 'failed') ORDER BY seq DESC",
    )?;
    let mut rows = statement.query([series])?;
    let mut failures = 0;
    while let Some(row) = rows.next()? {
        if row.get_ref(0)?.as_str() != Ok("failed") || failures == LONGEST_STREAK {
            break;
        }
        failures += 1;
    }
    Ok(failures)
}

/// Makes the changes in one transaction; each is made only where what it relies on is still so. Yields beside each whether
/// it was made, or why it alone cannot be.
pub(crate) fn change(
    path: &Path,
    patience: Duration,
    changes: &[Change],
    now: DateTime<Utc>,
) -> Result<Vec<Result<bool, Trouble>>, Trouble> {
    let connection = begin_writing(path, patience)?;
    let made = || -> rusqlite::Result<Vec<_>> {
        let columns = Columns::of(&connection)?;
        let made =
            changes.iter().map(|change| make_or_not(&connection, &columns, change, now)).collect::<Result<_, _>>()?;
        connection.execute_batch("COMMIT")?;
        Ok(made)
    };
    made().map_err(|error| trouble(&error))
}

/// Makes one change, or leaves everything as it was before it.
fn make_or_not(
    connection: &Connection,
    columns: &Columns,
    change: &Change,
    now: DateTime<Utc>,
) -> rusqlite::Result<Result<bool, Trouble>> {
    connection.execute_batch("SAVEPOINT one")?;
    let made = match make(connection, columns, change, now) {
        // A conflict may have ended the whole transaction.
        Err(error) if is_of_statement(&error) && !connection.is_autocommit() => {
            connection.execute_batch("ROLLBACK TO one")?;
            Err(trouble(&error))
        }
        made => Ok(made?),
    };
    connection.execute_batch("RELEASE one")?;
    Ok(made)
}

fn make(transaction: &Connection, columns: &Columns, change: &Change, now: DateTime<Utc>) -> rusqlite::Result<bool> {
    let changed = match change {
        Change::End { message, status } => transaction.execute(
            "UPDATE messages_in SET status = ?2 WHERE id = ?1 AND status IN ('pending', 'paused')",
            params![message, status],
        )?,
        Change::Retry { message, before, tries, at } => transaction.execute(
            &format!(
                "UPDATE messages_in SET tries = ?3, process_after = ?4
                 WHERE id = ?1 AND status = 'pending' AND {TRIES} = ?2
                 AND (process_after IS NULL OR unixepoch(process_after) <= ?5)"
            ),
            params![message, before, tries, written(*at), now.timestamp()],
        )?,
        Change::Fail { message, before } => transaction.execute(
            &format!(
                "UPDATE messages_in SET status = 'failed'
                 WHERE id = ?1 AND status = 'pending' AND {TRIES} = ?2
                 AND (process_after IS NULL OR unixepoch(process_after) <= ?3)"
            ),
            params![message, before, now.timestamp()],
        )?,
        Change::Disarm { message, expression } => disarm(transaction, message, expression)?,
        Change::Recur { message, expression, next, is_paused } => {
            if has_next_run(transaction, columns, message)? {
                return Ok(false);
            }
            let disarmed = disarm(transaction, message, expression)?;
            if disarmed > 0 {
                rearm(transaction, columns, message, expression, (*next, *is_paused), now)?;
            }
            disarmed
        }
    };
    Ok(changed > 0)
}

fn disarm(transaction: &Connection, message: &str, expression: &str) -> rusqlite::Result<usize> {
    transaction.execute(
        "UPDATE messages_in SET recurrence = NULL
         WHERE id = ?1 AND recurrence = ?2 AND status IN ('completed', 'failed')",
        params![message, expression],
    )
}

/// Whether another run of the message's series waits already.
fn has_next_run(transaction: &Connection, columns: &Columns, message: &str) -> rusqlite::Result<bool> {
    if !columns.has("series_id") {
        return Ok(false);
    }
    let found = transaction.query_row(
        "SELECT 1 FROM messages_in one JOIN messages_in other ON other.series_id = one.series_id
         WHERE one.id = ?1 AND other.id <> one.id AND other.status IN ('pending', 'paused')
         AND other.recurrence IS NOT NULL LIMIT 1",
        [message],
        |_| Ok(()),
    );
    Ok(found.optional()?.is_some())
}

/// An instant as the newest host writes it, which SQLite's functions and every older one read, too.
pub(super) fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
#[path = "inbound_tests.rs"]
mod tests;

//! `outbound.db`: what a session's container says of the messages. The container writes it; we remove claims that nobody
//! works on, where no container can be writing.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};
use rustc_hash::FxHashMap;

use crate::policy::queue::{Claim, ToolCall};
use crate::policy::timestamp::parse_loosely;
use crate::sqlite::{Trouble, begin_writing, open_untrusted, text_of, trouble};

/// No container works on so much; whoever writes so many claims means our memory.
const MOST: usize = 100_000;

/// What is in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outbound {
    /// What the container says it works on, in the order of the table.
    pub(crate) claims: Vec<Claim>,
    /// How many claims are of what is no text.
    pub(crate) nameless: usize,
    /// How messages ended, of those that were asked for.
    pub(crate) acks: FxHashMap<String, Ack>,
    /// The tool call that the container is in, or was when it died.
    pub(crate) tool: Option<ToolCall>,
}

/// How a message ended, as its container says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ack {
    Completed,
    /// It could not be answered. Its host counts that as done: it was answered with the error.
    Failed,
    /// The script before it said so by failing, or said that there is nothing to do.
    ScriptFailed,
}

impl Ack {
    fn of(text: &str) -> Option<Self> {
        match text {
            "completed" => Some(Self::Completed),
            "failed" => Some(Self::Failed),
            "script-skip:error" => Some(Self::ScriptFailed),
            _ => None,
        }
    }

    /// As it is written in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::ScriptFailed => "script-skip:error",
        }
    }
}

/// Reads the database at `path`: all claims, and what became of `messages`.
pub(crate) fn read<'m>(
    path: &Path,
    patience: Duration,
    messages: impl Iterator<Item = &'m str>,
) -> Result<Outbound, Trouble> {
    let connection = open_untrusted(path, patience)?;
    let outbound = tables(&connection, messages).map_err(|error| trouble(&error))?;
    if outbound.claims.len() > MOST {
        return Err(Trouble::Unusable(format!("has more than {MOST} claims: left alone")));
    }
    Ok(outbound)
}

fn tables<'m>(connection: &Connection, messages: impl Iterator<Item = &'m str>) -> rusqlite::Result<Outbound> {
    let mut statement = connection
        .prepare("SELECT message_id, status_changed FROM processing_ack WHERE status = 'processing' ORDER BY rowid")?;
    let (mut claims, mut nameless) = (Vec::new(), 0);
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()?
        && claims.len() <= MOST
    {
        // One that is no text cannot be read, and decides nothing.
        let since_text = row.get_ref(1)?.as_str().unwrap_or_default().to_owned();
        match row.get_ref(0)?.as_str() {
            Ok(message) => {
                claims.push(Claim { message: message.to_owned(), since: parse_loosely(&since_text), since_text });
            }
            Err(_) => nameless += 1,
        }
    }
    let mut statement = connection.prepare("SELECT status FROM processing_ack WHERE message_id = ?")?;
    let mut acks = FxHashMap::default();
    for message in messages {
        let status = statement.query_row([message], |row| text_of(row, 0)).optional()?;
        if let Some(ack) = status.flatten().as_deref().and_then(Ack::of) {
            acks.insert(message.to_owned(), ack);
        }
    }
    Ok(Outbound { claims, nameless, acks, tool: tool_call(connection)? })
}

/// The tool call; nothing where the table is not there, as before 2026-04-20, or empty.
fn tool_call(connection: &Connection) -> rusqlite::Result<Option<ToolCall>> {
    if !connection.table_exists(None, "container_state")? {
        return Ok(None);
    }
    let row = |row: &rusqlite::Row<'_>| {
        let milliseconds = row.get_ref(1)?.as_i64().ok().and_then(|number| u64::try_from(number).ok());
        let updated = row.get_ref(2)?.as_str().ok().and_then(parse_loosely);
        Ok(ToolCall {
            tool: row.get_ref(0)?.as_str().ok().map(str::to_owned),
            timeout: milliseconds.map(Duration::from_millis),
            updated,
        })
    };
    let read = "SELECT current_tool, tool_declared_timeout_ms, updated_at FROM container_state LIMIT 1";
    connection.query_row(read, [], row).optional()
}

/// Claims that are being removed in one transaction, which nobody else can write besides. Dropped, it removes none.
#[derive(Debug)]
#[must_use = "the claims are removed when it is ended"]
pub(crate) struct Clearing {
    connection: Connection,
    cleared: usize,
}

impl Clearing {
    /// Begins to remove claims (message and time as it is written). Only where no container can be writing.
    pub(crate) fn begin(path: &Path, patience: Duration, claims: &[(String, String)]) -> Result<Self, Trouble> {
        let connection = begin_writing(path, patience)?;
        let begin = || -> rusqlite::Result<usize> {
            let mut remove = connection.prepare(
                "DELETE FROM processing_ack WHERE message_id = ? AND status = 'processing' AND status_changed = ?",
            )?;
            claims.iter().map(|(message, since)| remove.execute([message, since])).sum()
        };
        let cleared = begin().map_err(|error| trouble(&error))?;
        Ok(Self { connection, cleared })
    }

    /// Removes them; yields how many were still there.
    pub(crate) fn end(self) -> Result<usize, Trouble> {
        self.connection.execute_batch("COMMIT").map_err(|error| trouble(&error))?;
        Ok(self.cleared)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(50);

    fn with(rows: &[(&str, &str, &str)]) -> (TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = fs_err::canonicalize(folder.path()).unwrap().join("outbound.db");
        let own = Connection::open(&path).unwrap();
        own.execute_batch("CREATE TABLE processing_ack (message_id TEXT PRIMARY KEY, status TEXT, status_changed)")
            .unwrap();
        for (message, status, changed) in rows {
            own.execute("INSERT INTO processing_ack VALUES (?, ?, ?)", [message, status, changed]).unwrap();
        }
        (folder, path)
    }

    fn claim(message: &str, since: &str) -> (String, String) {
        (message.to_owned(), since.to_owned())
    }

    #[test]
    fn only_claims_that_are_still_the_same_are_removed() {
        let (_folder, path) = with(&[
            ("same", "processing", "2026-11-20 11:00:00"),
            ("answered", "completed", "2026-11-20 11:00:00"),
            ("again", "processing", "2026-11-20 11:59:00"),
            ("other", "processing", "2026-11-20 11:00:00"),
        ]);
        let claims = ["same", "answered", "again", "gone"].map(|message| claim(message, "2026-11-20 11:00:00"));
        assert_eq!(Clearing::begin(&path, PATIENCE, &claims).unwrap().end(), Ok(1));
        let left = read(&path, PATIENCE, ["answered"].into_iter()).unwrap();
        let claimed: Vec<&str> = left.claims.iter().map(|claim| &*claim.message).collect();
        assert_eq!(claimed, ["again", "other"]);
        assert_eq!(left.acks.get("answered"), Some(&Ack::Completed));
    }

    #[test]
    fn a_report_that_nobody_knows_ends_nothing() {
        let rows =
            [("m1", "processing", "x"), ("m2", "dreaming", "x"), ("m3", "script-skip", "x"), ("m4", "failed", "x")];
        let (_folder, path) = with(&rows);
        let outbound = read(&path, PATIENCE, ["m1", "m2", "m3", "m4", "m5"].into_iter()).unwrap();
        assert_eq!(outbound.acks.into_iter().collect::<Vec<_>>(), [("m4".to_owned(), Ack::Failed)]);
    }

    #[test]
    fn a_claim_that_cannot_be_dated_has_no_time() {
        let (_folder, path) = with(&[("m1", "processing", "soon"), ("m2", "processing", "2026-11-20 11:00:00")]);
        Connection::open(&path)
            .unwrap()
            .execute_batch("INSERT INTO processing_ack VALUES ('m3', 'processing', 7)")
            .unwrap();
        let claims = read(&path, PATIENCE, [].into_iter()).unwrap().claims;
        let dated: Vec<bool> = claims.iter().map(|claim| claim.since.is_some()).collect();
        assert_eq!(dated, [false, true, false]);
        assert_eq!(claims[1].since, "2026-11-20T11:00:00Z".parse().ok());
    }
}

//! The next run of a recurring task: a copy of the finished one that waits for its time.

use std::hash::{BuildHasher as _, RandomState};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

use super::inbound::{Columns, written};

/// How many characters of an id are drawn by lot.
const LOT: usize = 6;

/// Adds the next run of `message`, which has just lost its expression, to be looked at from `next` on.
///
/// Columns that nobody here knows are copied. `seq` is the next even number: the host's side has the even ones.
pub(super) fn rearm(
    transaction: &Connection,
    columns: &Columns,
    message: &str,
    expression: &str,
    (next, is_paused): (DateTime<Utc>, bool),
    now: DateTime<Utc>,
) -> rusqlite::Result<()> {
    let kind: String =
        transaction
            .query_row("SELECT CAST(kind AS TEXT) FROM messages_in WHERE id = ?", [message], |row| row.get(0))?;
    // What is no number counts for nothing.
    let highest = "SELECT seq FROM messages_in WHERE typeof(seq) = 'integer' ORDER BY seq DESC LIMIT 1";
    let highest: i64 = transaction.query_row(highest, [], |row| row.get(0)).optional()?.unwrap_or_default();
    let next_even = (highest / 2).checked_add(1).and_then(|half| half.checked_mul(2));
    let seq = next_even.ok_or(rusqlite::Error::IntegralValueOutOfRange(0, highest))?;
    let status = if is_paused { "paused" } else { "pending" };
    let values = [
        ("id", new_id(&kind, now)),
        ("seq", seq.to_string()),
        ("timestamp", written(now)),
        ("status", status.to_owned()),
        ("process_after", written(next)),
        ("recurrence", expression.to_owned()),
    ];
    let mut parameters = Vec::new();
    let mut sources = Vec::new();
    let mut names = Vec::new();
    for column in columns.names() {
        let quoted = format!("\"{}\"", column.replace('"', "\"\""));
        sources.push(match column {
            "tries" | "on_wake" => "0".to_owned(),
            "trigger" => "1".to_owned(),
            "source_session_id" => "NULL".to_owned(),
            "series_id" => "coalesce(series_id, id)".to_owned(),
            _ => match values.iter().find(|(name, _)| *name == column) {
                Some((_, value)) => {
                    parameters.push(value.clone());
                    // A number in the column of numbers, whatever its type was declared as.
                    if column == "seq" { "CAST(? AS INTEGER)".to_owned() } else { "?".to_owned() }
                }
                None => quoted.clone(),
            },
        });
        names.push(quoted);
    }
    parameters.push(message.to_owned());
    let (names, sources) = (names.join(", "), sources.join(", "));
    let insert = format!("INSERT INTO messages_in ({names}) SELECT {sources} FROM messages_in WHERE id = ?");
    transaction.execute(&insert, params_from_iter(parameters))?;
    Ok(())
}

/// `task-<milliseconds>-<6 characters>`; of other kinds than tasks `msg-…`.
fn new_id(kind: &str, now: DateTime<Utc>) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let prefix = if kind == "task" { "task" } else { "msg" };
    // Each of these starts from other keys, drawn by the system.
    let mut lot = RandomState::new().hash_one(now.timestamp_nanos_opt());
    let mut drawn = String::with_capacity(LOT);
    for _ in 0..LOT {
        drawn.push(char::from(DIGITS[(lot % 36) as usize]));
        lot /= 36;
    }
    format!("{prefix}-{}-{drawn}", now.timestamp_millis())
}

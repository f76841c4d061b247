//! Real databases: what is read of messages, and which changes are made.

use rusqlite::types::Value;
use tempfile::TempDir;

use super::*;

const PATIENCE: Duration = Duration::from_millis(50);

/// A database of messages.
struct World(TempDir);

fn now() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}

impl World {
    /// With these messages: id, number, status, and what else is set.
    fn with(messages: &[(&str, i64, &str, &str)]) -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        let own = world.own();
        own.execute_batch(
            "CREATE TABLE messages_in (id TEXT PRIMARY KEY, seq INTEGER UNIQUE, kind TEXT, timestamp TEXT, status TEXT,
             process_after TEXT, recurrence TEXT, tries INTEGER, series_id TEXT, \"trigger\" INTEGER, \"new \"\"one\" TEXT)",
        )
        .unwrap();
        for (id, seq, status, _) in messages {
            let insert = "INSERT INTO messages_in (id, seq, kind, status, tries, \"trigger\", \"new \"\"one\")
                          VALUES (?, ?, 'task', ?, 0, 1, 'kept')";
            own.execute(insert, params![id, seq, status]).unwrap();
        }
        for (id, _, _, rest) in messages.iter().filter(|message| !message.3.is_empty()) {
            own.execute(&format!("UPDATE messages_in SET {rest} WHERE id = ?"), [id]).unwrap();
        }
        world
    }

    fn path(&self) -> std::path::PathBuf {
        fs_err::canonicalize(self.0.path()).unwrap().join("inbound.db")
    }

    fn own(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn read(&self) -> Inbound {
        read(&self.path(), PATIENCE).unwrap()
    }

    /// Whether each change was made.
    fn change(&self, changes: &[Change]) -> Vec<Result<bool, Trouble>> {
        change(&self.path(), PATIENCE, changes, now()).unwrap()
    }

    fn makes(&self, one: Change) -> bool {
        self.change(&[one]).remove(0).unwrap()
    }

    fn value(&self, id: &str, column: &str) -> Value {
        let query = format!("SELECT {column} FROM messages_in WHERE id = ?");
        self.own().query_row(&query, [id], |row| row.get(0)).unwrap()
    }

    fn text(&self, id: &str, column: &str) -> String {
        match self.value(id, column) {
            Value::Text(text) => text,
            Value::Integer(number) => number.to_string(),
            other => format!("{other:?}"),
        }
    }

    /// The ids, by number.
    fn ids(&self) -> Vec<String> {
        let own = self.own();
        let mut statement = own.prepare("SELECT id FROM messages_in ORDER BY seq").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

fn end(message: &str) -> Change {
    Change::End { message: message.to_owned(), status: "completed" }
}

fn retry(message: &str, before: u32) -> Change {
    Change::Retry { message: message.to_owned(), before, tries: before + 1, at: at("2026-11-20T12:00:05Z") }
}

fn fail(message: &str, before: u32) -> Change {
    Change::Fail { message: message.to_owned(), before }
}

fn recur(message: &str) -> Change {
    let (message, expression) = (message.to_owned(), "0 9 * * *".to_owned());
    Change::Recur { message, expression, next: at("2026-11-21T08:00:00Z"), is_paused: false }
}

/// What a run of a recurring task has besides.
const DAILY: &str = "recurrence = '0 9 * * *', series_id = 's1'";

#[test]
fn a_message_ends_only_where_it_has_not_ended() {
    let states = ["pending", "paused", "completed", "failed", "cancelled", "what hosts to come write"];
    for (state, expected) in states.into_iter().zip([true, true, false, false, false, false]) {
        let world = World::with(&[("m1", 2, state, "")]);
        assert_eq!(world.makes(end("m1")), expected, "{state}");
        assert_eq!(world.text("m1", "status"), if expected { "completed" } else { state });
    }
}

#[test]
fn a_message_is_tried_again_only_where_it_still_waits() {
    for state in ["paused", "completed", "failed", "cancelled"] {
        let world = World::with(&[("m1", 2, state, "")]);
        assert!(!world.makes(retry("m1", 0)) && !world.makes(fail("m1", 0)), "{state}");
        assert_eq!((world.text("m1", "status"), world.text("m1", "tries")), (state.to_owned(), "0".to_owned()));
    }
    let world = World::with(&[("m1", 2, "pending", "tries = NULL")]);
    assert!(world.makes(retry("m1", 0)));
    assert_eq!(world.text("m1", "tries"), "1");
    assert_eq!(world.text("m1", "process_after"), "2026-11-20T12:00:05.000Z");
}

#[test]
fn a_message_that_somebody_tried_meanwhile_is_not_counted_again() {
    let world = World::with(&[("m1", 2, "pending", "tries = 3")]);
    assert!(!world.makes(retry("m1", 2)) && !world.makes(fail("m1", 2)));
    assert_eq!((world.text("m1", "tries"), world.text("m1", "status")), ("3".to_owned(), "pending".to_owned()));
    assert!(world.makes(fail("m1", 3)));
}

#[test]
fn a_message_whose_time_lies_ahead_or_cannot_be_read_is_left_alone() {
    for after in ["2026-11-20T12:00:01Z", "2026-11-20 12:00:01", "soon"] {
        let world = World::with(&[("m1", 2, "pending", &format!("process_after = '{after}'"))]);
        assert!(!world.makes(retry("m1", 0)) && !world.makes(fail("m1", 0)), "{after}");
        assert_eq!(world.text("m1", "process_after"), after);
    }
    let world = World::with(&[("m1", 2, "pending", "process_after = '2026-11-20 12:00:00'")]);
    assert!(world.makes(retry("m1", 0)));
}

#[test]
fn the_next_run_is_a_copy_that_waits_and_the_expression_moves_to_it() {
    let world = World::with(&[("m1", 3, "failed", &format!("{DAILY}, tries = 5, \"trigger\" = 0"))]);
    assert!(world.makes(recur("m1")));
    let ids = world.ids();
    let [_, next] = &ids[..] else { panic!("{ids:?}") };
    assert!(next.starts_with("task-1795176000000-"), "{next}");
    assert_eq!(world.value("m1", "recurrence"), Value::Null);
    let of_next =
        ["seq", "status", "tries", "recurrence", "series_id", "process_after", "\"trigger\"", "\"new \"\"one\""];
    assert_eq!(
        of_next.map(|column| world.text(next, column)),
        ["4", "pending", "0", "0 9 * * *", "s1", "2026-11-21T08:00:00.000Z", "1", "kept"]
    );
    // The one that ended stays as it ended.
    assert_eq!((world.text("m1", "status"), world.text("m1", "tries")), ("failed".to_owned(), "5".to_owned()));
}

#[test]
fn the_next_run_has_an_even_number_and_begins_a_series_where_there_was_none() {
    for (highest, expected) in [(2, "4"), (3, "4"), (5, "6")] {
        let world = World::with(&[("m1", highest, "completed", "recurrence = '0 9 * * *'")]);
        assert!(world.makes(recur("m1")));
        let next = &world.ids()[1];
        assert_eq!((&*world.text(next, "seq"), &*world.text(next, "series_id")), (expected, "m1"));
    }
}

#[test]
fn a_paused_next_run_waits_for_its_user() {
    let world = World::with(&[("m1", 2, "failed", DAILY)]);
    let Change::Recur { message, expression, next, .. } = recur("m1") else { panic!("it recurs") };
    assert!(world.makes(Change::Recur { message, expression, next, is_paused: true }));
    assert_eq!(world.text(&world.ids()[1], "status"), "paused");
}

#[test]
fn a_next_run_that_somebody_else_planned_meanwhile_is_seen() {
    for state in ["pending", "paused"] {
        let world = World::with(&[("m1", 2, "completed", DAILY), ("m2", 4, state, DAILY)]);
        assert!(!world.makes(recur("m1")), "{state}");
        assert_eq!(world.ids(), ["m1", "m2"]);
        assert_eq!(world.text("m1", "recurrence"), "0 9 * * *");
    }
    // In the same transaction, too.
    let world = World::with(&[("m1", 2, "completed", DAILY), ("m2", 4, "completed", DAILY)]);
    assert_eq!(world.change(&[recur("m2"), recur("m1")]), [Ok(true), Ok(false)]);
    // Of another series, or without an expression, it is none.
    let other = "recurrence = '0 9 * * *', series_id = 's2'";
    let world = World::with(&[
        ("m1", 2, "completed", DAILY),
        ("m2", 4, "pending", other),
        ("m3", 6, "pending", "series_id = 's1'"),
    ]);
    assert!(world.makes(recur("m1")));
}

#[test]
fn a_run_goes_on_recurring_where_it_has_not_ended_or_recurs_otherwise_by_now() {
    let disarm = || Change::Disarm { message: "m1".to_owned(), expression: "0 9 * * *".to_owned() };
    let other = "recurrence = '0 8 * * *', series_id = 's1'";
    for (state, rest) in [("pending", DAILY), ("paused", DAILY), ("cancelled", DAILY), ("completed", other)] {
        let world = World::with(&[("m1", 2, state, rest)]);
        let before = world.text("m1", "recurrence");
        assert!(!world.makes(recur("m1")) && !world.makes(disarm()), "{state} {rest}");
        assert_eq!((world.ids(), world.text("m1", "recurrence")), (vec!["m1".to_owned()], before));
    }
    let world = World::with(&[("m1", 2, "failed", DAILY)]);
    assert!(world.makes(disarm()));
    assert_eq!(world.value("m1", "recurrence"), Value::Null);
}

#[test]
fn a_change_is_made_or_not_and_does_not_keep_the_others_from_it() {
    let world = World::with(&[("m1", 2, "completed", DAILY), ("m2", 4, "pending", "")]);
    // So that a second run of the series cannot be added.
    world.own().execute_batch("CREATE UNIQUE INDEX one ON messages_in (series_id)").unwrap();
    let made = world.change(&[recur("m1"), end("m2")]);
    assert!(matches!(&made[..], [Err(Trouble::Unusable(why)), Ok(true)] if why.contains("UNIQUE")), "{made:?}");
    assert_eq!(world.text("m1", "recurrence"), "0 9 * * *", "its expression is not lost");
    assert_eq!((world.text("m2", "status"), world.ids().len()), ("completed".to_owned(), 2));
}

#[test]
fn an_odd_row_does_not_keep_the_others_from_being_looked_at() {
    let world = World::with(&[("m1", 2, "pending", "tries = -3"), ("m2", 4, "completed", DAILY)]);
    let odd = "INSERT INTO messages_in (id, seq, kind, status) VALUES (NULL, 6, 'task', 'pending'), (x'00', 8, 'task', 'pending'),
               ('m3', 'many', 'task', x'FF'), ('m4', 10, 'task', CAST(x'FF' AS TEXT))";
    world.own().execute_batch(odd).unwrap();
    let inbound = world.read();
    let ids: Vec<&str> = inbound.messages.iter().map(|message| &*message.id).collect();
    assert_eq!((ids, inbound.nameless), (vec!["m1", "m2"], 2));
    assert_eq!(inbound.messages[0].tries, 0);
    assert!(world.makes(retry("m1", 0)) && world.makes(recur("m2")));
    assert_eq!(world.text("m1", "tries"), "1");
    let numbers = "SELECT count(*), max(seq) FROM messages_in WHERE typeof(seq) = 'integer'";
    assert_eq!(world.own().query_row(numbers, [], |row| Ok((row.get(0)?, row.get(1)?))), Ok((6, 12)));
}

#[test]
fn more_than_anybody_can_wait_for_is_not_read() {
    let world = World::with(&[]);
    let many = "INSERT INTO messages_in (id, seq, kind, status)
                WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n LIMIT 100001)
                SELECT a, a, 'task', 'pending' FROM n";
    world.own().execute_batch(many).unwrap();
    let read = read(&world.path(), Duration::from_secs(60));
    assert!(matches!(&read, Err(Trouble::Unusable(why)) if why.contains("more than 100000 messages")), "{read:?}");
    world.own().execute_batch("UPDATE messages_in SET status = 'cancelled' WHERE seq = 7").unwrap();
    assert_eq!(world.read().messages.len(), 100_000);
}

#[test]
fn a_state_that_no_known_host_writes_is_not_looked_at() {
    let odd =
        [("m1", 2, "cancelled", DAILY), ("m2", 4, "dreaming", ""), ("m3", 6, "pending", ""), ("m4", 8, "failed", "")];
    let inbound = World::with(&odd).read();
    let ids: Vec<&str> = inbound.messages.iter().map(|message| &*message.id).collect();
    assert_eq!((ids, inbound.failed), (vec!["m3"], 1));
}

#[test]
fn due_is_what_waits_wakes_and_whose_time_has_come() {
    let world = World::with(&[
        ("now", 2, "pending", "process_after = '2026-11-20T12:00:00Z'"),
        ("ahead", 4, "pending", "process_after = '2026-11-20T12:00:01Z'"),
        ("unreadable", 6, "pending", "process_after = 'soon'"),
        ("paused", 8, "paused", ""),
        ("quiet", 10, "pending", "\"trigger\" = 0"),
        ("any", 12, "pending", "\"trigger\" = NULL"),
    ]);
    let inbound = world.read();
    let due: Vec<&str> = inbound.due(now()).map(|message| &*message.id).collect();
    assert_eq!(due, ["now", "any"]);
    assert_eq!(inbound.by_id()["unreadable"].after, After::Unreadable("soon".to_owned()));
}

#[test]
fn failures_in_a_row_are_those_since_the_last_success_of_the_same_series() {
    let failed = |id, seq| (id, seq, "failed", "series_id = 's1'");
    let world = World::with(&[
        failed("m1", 2),
        ("m2", 4, "completed", "series_id = 's1'"),
        failed("m3", 6),
        ("x", 8, "completed", "series_id = 's2'"),
        failed("m4", 10),
        ("m5", 12, "pending", DAILY),
    ]);
    assert_eq!(world.read().by_id()["m5"].failures, 2);
}

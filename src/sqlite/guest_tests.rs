//! What a database may hold that was written by somebody who means ill, or was killed.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::*;

const PATIENCE: Duration = Duration::from_millis(50);

struct World(TempDir);

impl World {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        fs_err::canonicalize(self.0.path()).unwrap().join("a.db")
    }

    /// A database in which this was done.
    fn with(sql: &str) -> Self {
        let world = Self::new();
        world.own().execute_batch(sql).unwrap();
        world
    }

    fn own(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn opened(&self) -> Result<Connection, Trouble> {
        open_untrusted(&self.path(), PATIENCE)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs_err::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// As a writer leaves it that is killed between writing a table and ending the transaction.
    fn killed() -> Self {
        let world = Self::with("CREATE TABLE t(a); INSERT INTO t VALUES ('before')");
        let writer = world.own();
        // With so little room it writes to the file before it is done.
        writer.execute_batch("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN").unwrap();
        writer.execute_batch("UPDATE t SET a = 'torn'").unwrap();
        for _ in 0..200 {
            writer.execute("INSERT INTO t VALUES (hex(randomblob(2000)))", []).unwrap();
        }
        let copy = Self::new();
        for suffix in ["", "-journal"] {
            fs_err::copy(beside(&world.path(), suffix), beside(&copy.path(), suffix)).unwrap();
        }
        copy
    }
}

fn first(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("SELECT a FROM t", [], |row| row.get(0))
}

fn unusable<T>(result: Result<T, Trouble>) -> String {
    match result {
        Err(Trouble::Unusable(why)) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[test]
fn what_a_killed_writer_left_is_undone_by_a_writer_alone() {
    let world = World::killed();
    let read = world.opened().and_then(|connection| first(&connection).map_err(|error| trouble(&error)));
    assert_eq!(read, Err(Trouble::HotJournal));
    roll_back(&world.path(), PATIENCE).unwrap();
    assert_eq!(first(&world.opened().unwrap()).unwrap(), "before");
    assert_eq!(world.names(), ["a.db"]);
}

#[test]
fn a_journal_that_names_another_file_is_left_alone() {
    let world = World::killed();
    let journal = beside(&world.path(), "-journal");
    let precious = world.0.path().join("precious");
    fs_err::write(&precious, "").unwrap();
    // As https://www.sqlite.org/fileformat.html has it: page, name, length, checksum, magic.
    let name = precious.to_str().unwrap().as_bytes();
    let checksum: u32 = name.iter().map(|byte| u32::from(*byte)).sum();
    let mut bytes = fs_err::read(&journal).unwrap();
    bytes.extend(262_145_u32.to_be_bytes());
    bytes.extend(name);
    bytes.extend(u32::try_from(name.len()).unwrap().to_be_bytes());
    bytes.extend(checksum.to_be_bytes());
    bytes.extend(JOURNAL_MAGIC);
    fs_err::write(&journal, bytes).unwrap();
    let before = fs_err::read(world.path()).unwrap();
    assert!(unusable(roll_back(&world.path(), PATIENCE)).contains("names another file"));
    assert!(precious.exists());
    assert_eq!(fs_err::read(world.path()).unwrap(), before);
}

#[test]
fn a_journal_that_is_a_link_is_not_looked_into() {
    let world = World::killed();
    let journal = beside(&world.path(), "-journal");
    let aside = world.path().with_file_name("aside");
    fs_err::write(&aside, [b"elsewhere".as_slice(), &JOURNAL_MAGIC].concat()).unwrap();
    fs_err::remove_file(&journal).unwrap();
    symlink(&aside, &journal).unwrap();
    let before = fs_err::read(world.path()).unwrap();
    assert!(unusable(roll_back(&world.path(), PATIENCE)).contains("no regular file"));
    assert_eq!(fs_err::read(world.path()).unwrap(), before);
}

#[test]
fn what_takes_too_long_is_cut_off() {
    let world = World::with("CREATE TABLE t(a)");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = bounded(&world.path(), PATIENCE, flags, Duration::ZERO).unwrap();
    let long = "WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n LIMIT 1000000) SELECT count(*) FROM n";
    let read = connection.query_row(long, [], |_| Ok(())).map_err(|error| trouble(&error));
    assert!(unusable(read).contains("did not answer a query"));
}

#[test]
fn what_a_killed_writer_left_is_not_undone_by_the_way() {
    let world = World::killed();
    let before = fs_err::read(world.path()).unwrap();
    assert_eq!(begin_writing(&world.path(), PATIENCE).map(|_| ()), Err(Trouble::HotJournal));
    // Nor where it comes between the look and the writing.
    let journal = beside(&world.path(), "-journal");
    let aside = world.path().with_file_name("aside");
    fs_err::rename(&journal, &aside).unwrap();
    let reader = open_bounded(&world.path(), PATIENCE, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let writer = open_writer(&world.path(), PATIENCE).unwrap();
    fs_err::rename(&aside, &journal).unwrap();
    assert_eq!(begin(&reader, &writer, PATIENCE), Err(Trouble::HotJournal));
    assert_eq!(fs_err::read(world.path()).unwrap(), before);
    fs_err::rename(&journal, &aside).unwrap();
    let _reader = world.opened().unwrap();
    fs_err::rename(&aside, &journal).unwrap();
    let writer = open_writer(&world.path(), Duration::ZERO).unwrap();
    let begun = writer.execute_batch("BEGIN IMMEDIATE").map_err(|error| trouble(&error));
    assert_eq!(begun, Err(Trouble::Locked), "as long as somebody reads");
    assert_eq!(fs_err::read(world.path()).unwrap(), before);
}

#[test]
fn writing_waits_for_who_writes_and_for_no_longer_than_it_may() {
    let world = World::with("CREATE TABLE t(a)");
    let holder = world.own();
    // Who waits for us fails at once.
    holder.busy_timeout(Duration::ZERO).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(begin_writing(&world.path(), PATIENCE).map(|_| ()), Err(Trouble::Locked));
    let (reader, writer) =
        (open_bounded(&world.path(), PATIENCE, OpenFlags::SQLITE_OPEN_READ_ONLY), open_writer(&world.path(), PATIENCE));
    assert_eq!(begin(&reader.unwrap(), &writer.unwrap(), PATIENCE), Err(Trouble::Locked));
    holder.execute_batch("COMMIT").unwrap();
    assert!(begin_writing(&world.path(), PATIENCE).is_ok());
}

#[test]
fn links_and_what_is_no_file_are_not_opened() {
    let world = World::with("CREATE TABLE t(a)");
    let aside = world.path().with_file_name("aside.db");
    fs_err::rename(world.path(), &aside).unwrap();
    symlink(&aside, world.path()).unwrap();
    assert!(unusable(world.opened()).contains("is a link"));
    assert!(unusable(open_writer(&world.path(), PATIENCE)).contains("is a link"));
    fs_err::remove_file(world.path()).unwrap();
    mknodat(CWD, world.path(), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    // Somebody has it open, so that nobody waits here for that.
    let _holder = fs_err::OpenOptions::new().read(true).write(true).open(world.path()).unwrap();
    assert!(unusable(world.opened()).contains("no regular file"));
    assert!(unusable(open_writer(&world.path(), PATIENCE)).contains("no regular file"));
    fs_err::remove_file(world.path()).unwrap();
    fs_err::copy(&aside, world.path()).unwrap();
    mknodat(CWD, beside(&world.path(), "-journal"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    assert!(unusable(world.opened()).contains("journal that is no regular file"));
    // A link above it is none of a session's either.
    let folder = world.path().parent().unwrap().to_owned();
    symlink(&folder, folder.join("elsewhere")).unwrap();
    assert!(unusable(open_untrusted(&folder.join("elsewhere/aside.db"), PATIENCE)).contains("unable to open"));
}

#[test]
fn nothing_is_made_where_there_is_nothing() {
    let world = World::new();
    assert_eq!(world.opened().unwrap_err(), Trouble::Missing);
    assert_eq!(open_writer(&world.path(), PATIENCE).unwrap_err(), Trouble::Missing);
    assert_eq!(world.names(), [""; 0]);
    fs_err::write(world.path(), "").unwrap();
    assert!(unusable(world.opened()).contains("zero bytes"));
    assert!(unusable(open_writer(&world.path(), PATIENCE)).contains("zero bytes"));
    assert_eq!(fs_err::metadata(world.path()).unwrap().len(), 0);
}

#[test]
fn a_schema_cannot_make_us_do_anything() {
    let world = World::with(
        "CREATE VIEW t AS SELECT 'x' AS a;
         CREATE VIEW endless AS WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n) SELECT max(a) AS a FROM n;
         CREATE TABLE real(a); CREATE TABLE trap(a);
         CREATE TRIGGER spring AFTER INSERT ON real BEGIN INSERT INTO trap VALUES (1); END;",
    );
    let connection = world.opened().unwrap();
    let error = first(&connection).unwrap_err();
    assert!(error.to_string().contains("access to view"), "{error}");
    assert!(connection.query_row("SELECT a FROM endless", [], |_| Ok(())).is_err());
    drop(connection);
    let writer = open_writer(&world.path(), PATIENCE).unwrap();
    writer.execute("INSERT INTO real VALUES (1)", []).unwrap();
    let sprung: i64 = writer.query_row("SELECT count(*) FROM trap", [], |row| row.get(0)).unwrap();
    assert_eq!(sprung, 0);
}

#[test]
fn a_schema_calls_no_functions_that_it_need_not() {
    let world = World::with("CREATE TABLE t(a, CHECK (rtreedepth(x'0001') IS NOT NULL))");
    world.own().execute("INSERT INTO t VALUES (1)", []).unwrap();
    let error = open_writer(&world.path(), PATIENCE).unwrap().execute("INSERT INTO t VALUES (1)", []).unwrap_err();
    assert!(error.to_string().contains("unsafe use of rtreedepth"), "{error}");
}

#[test]
fn a_table_in_which_something_is_computed_is_not_used() {
    let doubling: Vec<String> = (1..16).map(|at| format!("c{at} AS (c{0} || c{0})", at - 1)).collect();
    for schema in [
        "CREATE TABLE t(a, b, c AS (unhex(a, b)))".to_owned(),
        "CREATE TABLE t(a, b); CREATE INDEX i ON t(a) WHERE replace(a, b, a) > 0".to_owned(),
        "CREATE TABLE t(a CHECK (json_patch(a, a) <> ''))".to_owned(),
        format!("CREATE TABLE t(c0, {})", doubling.join(", ")),
    ] {
        let world = World::with(&schema);
        let before = fs_err::read(world.path()).unwrap();
        assert!(unusable(world.opened()).contains("something is computed"), "{schema}");
        assert!(unusable(begin_writing(&world.path(), PATIENCE)).contains("something is computed"), "{schema}");
        assert_eq!(fs_err::read(world.path()).unwrap(), before);
    }
}

#[test]
fn no_text_is_longer_than_any_of_a_host() {
    let world = World::with("CREATE TABLE t(a); INSERT INTO t VALUES (printf('%.*c', 17000000, 'x'))");
    let length = "SELECT length(a || '') FROM t";
    let read = world.opened().unwrap().query_row(length, [], |_| Ok(()));
    assert!(read.unwrap_err().to_string().contains("too big"));
    // What a message says may be long.
    let writer = begin_writing(&world.path(), PATIENCE).unwrap();
    assert_eq!(writer.query_row(length, [], |row| row.get(0)), Ok(17_000_000));
}

#[test]
fn nobody_is_kept_out_for_long_however_patient_we_are() {
    let world = World::with("CREATE TABLE t(a)");
    let writer = begin_writing(&world.path(), Duration::from_secs(3_600)).unwrap();
    let timeout: u32 = writer.query_row("PRAGMA busy_timeout", [], |row| row.get(0)).unwrap();
    assert_eq!(timeout, 2_000);
}

#[test]
fn a_database_in_wal_mode_is_not_opened_since_that_would_make_files_beside_it() {
    let world = World::with("PRAGMA journal_mode = WAL; CREATE TABLE t(a); INSERT INTO t VALUES ('x')");
    assert!(unusable(world.opened()).contains("WAL mode"));
    assert!(unusable(open_writer(&world.path(), PATIENCE)).contains("WAL mode"));
    assert_eq!(world.names(), ["a.db"]);
}

#[test]
fn one_that_is_held_is_locked_and_one_that_is_none_says_so() {
    let world = World::with("CREATE TABLE t(a); INSERT INTO t VALUES ('x')");
    let holder = world.own();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_eq!(world.opened().map(|_| ()), Err(Trouble::Locked));
    drop(holder);
    fs_err::write(world.path(), "no database at all, and longer than the header of one would be; ".repeat(9)).unwrap();
    let read = world.opened().and_then(|connection| first(&connection).map_err(|error| trouble(&error)));
    assert!(unusable(read).contains("not a database"));
}

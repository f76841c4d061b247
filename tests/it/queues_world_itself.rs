//! That the worlds of the tests of queues are what they say: schemas, journals, the runtime.

use std::process::Command;

use rusqlite::{Connection, ErrorCode};
use serde_json::{Value, json};

use crate::queues_engine::Container;
use crate::queues_schemas::{GENERATIONS, Generation};
use crate::queues_world::{Queues, assert_retried, journal_of, kill_writer, read_only, rows, slug_of, time};
use crate::tree::names_in;
use crate::world::Ran;

fn columns(database: &Connection, table: &str) -> Vec<Value> {
    let sql = format!("SELECT name FROM pragma_table_info('{table}')");
    rows(database, &sql).into_iter().map(|row| row["name"].clone()).collect()
}

#[test]
fn each_generation_has_the_columns_that_it_had() {
    for generation in GENERATIONS {
        let queues = Queues::new(generation);
        let session = queues.session("sess-a");
        session.message("m1").set("tries", 2);
        session.claim("m1", 60);
        let inbound = columns(&session.inbound(), "messages_in");
        assert_eq!(inbound.contains(&json!("trigger")), generation >= Generation::A);
        assert_eq!(inbound.contains(&json!("on_wake")), generation >= Generation::B);
        assert_eq!(columns(&session.outbound(), "container_state").is_empty(), generation == Generation::BeforeApril);
        let central = queues.central();
        assert_eq!(columns(&central, "container_configs").is_empty(), generation < Generation::B);
        assert_eq!(columns(&central, "session_claims").is_empty(), generation < Generation::C);
        session.assert_sound();
    }
}

#[test]
fn the_central_database_is_left_as_a_host_leaves_it() {
    let queues = Queues::new(Generation::B);
    queues.session("sess-a");
    assert_eq!(names_in(&queues.root().join("data")), ["v2-sessions", "v2.db"]);
    queues.kill_host_after("UPDATE sessions SET container_status = 'running'");
    assert_eq!(names_in(&queues.root().join("data")), ["v2-sessions", "v2.db", "v2.db-shm", "v2.db-wal"]);
    let alone = queues.root().join("alone.db");
    fs_err::copy(queues.central_path(), &alone).unwrap();
    let status = "SELECT container_status FROM sessions";
    let old = Connection::open(&alone).unwrap();
    assert_eq!(rows(&old, status), [json!({"container_status": "stopped"})], "it stands beside the database only");
    assert_eq!(rows(&queues.central(), status), [json!({"container_status": "running"})]);
}

#[test]
fn a_killed_writers_journal_is_hot() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    session.message("m1");
    session.claim("m1", 300);
    for (path, table) in [(session.outbound_path(), "processing_ack"), (session.inbound_path(), "messages_in")] {
        let before = fs_err::read(&path).unwrap();
        kill_writer(&path, &format!("UPDATE {table} SET status = 'completed'"));
        assert_ne!(fs_err::read(&path).unwrap(), before, "the database itself was written to");
        let query = format!("SELECT status FROM {table}");
        let refused = read_only(&path).query_row(&query, [], |row| row.get::<_, String>(0)).unwrap_err();
        assert_eq!(refused.sqlite_error().unwrap().extended_code, rusqlite::ffi::SQLITE_READONLY_ROLLBACK);
        assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::ReadOnly));
        let uri = format!("file:{}?immutable=1", path.display());
        let torn = Connection::open(uri).unwrap().query_row(&query, [], |row| row.get::<_, String>(0));
        if path == session.outbound_path() {
            assert_eq!(torn.as_deref(), Ok("completed"), "who does not look at the journal sees what never was");
        }
        let whole = Connection::open(&path).unwrap().query_row(&query, [], |row| row.get::<_, String>(0)).unwrap();
        assert_ne!(whole, "completed");
        assert!(!journal_of(&path).exists());
    }
    session.assert_sound();
}

#[test]
fn the_runtime_lists_tells_stops_refuses_and_lies() {
    let queues = Queues::new(Generation::C);
    let session = queues.session("sess-a");
    let ids = [queues.container(&session, 60), queues.engine.start(&Container::named("other", 60))];
    let ask = |arguments: &[&str]| {
        let mut podman = Command::new(queues.engine.bin().join("podman"));
        Ran::of(podman.args(arguments).current_dir("/"))
    };
    let listed = ask(&["ps", "--all", "--quiet", "--no-trunc"]).ends_with(0).stdout;
    let mut sorted: Vec<&str> = listed.lines().collect();
    sorted.sort_unstable();
    assert_eq!(sorted, queues.engine.listed());
    let told: Value = serde_json::from_str(&ask(&["inspect", &ids[0], &ids[1]]).ends_with(0).stdout).unwrap();
    assert_eq!(told[0]["Mounts"][0]["Source"], json!(session.folder));
    assert_eq!(told[0]["Config"]["Labels"]["nanoclaw-install"], json!(queues.slug()));
    assert_eq!(told[1]["State"]["Status"], "running");
    assert_eq!(ask(&["inspect", "nobody"]).ends_with(125).stdout, "[]\n");
    queues.engine.on_stop(&ids[0], "refuse");
    ask(&["stop", "-t", "1", &ids[0]]).ends_with(1);
    queues.engine.on_stop(&ids[0], "lie");
    ask(&["stop", "-t", "1", &ids[0]]).ends_with(0);
    assert_eq!(queues.engine.listed().len(), 2);
    queues.engine.on_stop(&ids[0], "exit");
    ask(&["stop", "-t", "1", &ids[0]]).ends_with(0);
    assert!(ask(&["inspect", &ids[0]]).stdout.contains("exited"));
    ask(&["stop", "-t", "1", &ids[1]]).ends_with(0);
    assert_eq!(queues.engine.listed(), [ids[0].as_str()]);
    queues.engine.break_with("no socket");
    assert_eq!(ask(&["ps"]).ends_with(125).stderr, "no socket");
    assert_eq!(queues.engine.stops().len(), 4);
}

#[test]
fn times_and_slugs_are_what_they_say() {
    assert_eq!(slug_of("/srv/agents".as_ref()), "7ffa1bdc", "printf %s /srv/agents | sha1sum");
    assert_eq!(time("2026-11-20 12:00:00"), time("2026-11-20T13:00:00.000+01:00"));
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    session.message("m1").set("tries", 1).set("process_after", "2026-11-20 12:00:10");
    assert_retried(&session, "m1", &json!({"now": "2026-11-20T12:00:00.700Z"}), 1, 10);
}

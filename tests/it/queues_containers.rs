//! Whose a container is, what a stop needs, and whose the rows are while the original's host runs.

use std::os::unix::net::UnixListener;
use std::process::Command;

use serde_json::{Value, json};

use crate::processes_facts::until;
use crate::queues_engine::Container;
use crate::queues_schemas::{GENERATIONS, Generation};
use crate::queues_world::{
    GROUP, Queues, Session, assert_retried, in_document, is_in, journal_of, kill_writer, step, steps,
};

/// A session whose container claimed a message and went silent.
fn stuck(queues: &Queues, id: &str) -> (Session, String) {
    let session = queues.session(id);
    let container = queues.container(&session, 600);
    session.message("m1");
    session.message("m2");
    session.claim("m1", 300).heartbeat(360).ack("m2", "completed");
    (session, container)
}

/// Fails unless a stop that did not come about was told of, and nothing follows from it.
#[track_caller]
fn assert_not_stopped(queues: &Queues, session: &Session, document: &Value) {
    let stop = step(document, &session.id, "stop");
    assert!(stop["result"] == "refused" || stop["result"] == "failed", "{document:#}");
    assert!(!stop["detail"].as_str().unwrap().is_empty());
    assert_eq!((session.status("m1"), &session.row("m1")["tries"]), ("pending".to_owned(), &json!(0)));
    assert_eq!(session.row("m1")["process_after"], Value::Null);
    assert_eq!(session.claims(), ["m1"]);
    assert_eq!(session.status("m2"), "completed", "what is acknowledged is acknowledged");
    assert!(!queues.engine.wakes().iter().any(|wake| wake.starts_with(&session.id)));
}

#[test]
fn a_stop_that_is_refused_is_told_of_and_its_messages_are_left() {
    let refused = |generation| {
        let queues = Queues::waking(generation);
        let ((a, container), (b, _)) = (stuck(&queues, "sess-a"), stuck(&queues, "sess-b"));
        queues.engine.on_stop(&container, "refuse");
        let document = queues.sweep(4);
        assert_not_stopped(&queues, &a, &document);
        assert_eq!(step(&document, "sess-a", "stop")["result"], "refused");
        assert_eq!(document["summary"]["stopped"], 1);
        assert_retried(&b, "m1", &document, 1, 5);
        assert_eq!(queues.engine.listed(), [container]);
        let ran = queues.run(&["sweep"]).ends_with(4);
        let said: Vec<&str> = ran.stdout.split_whitespace().chain(ran.stderr.split_whitespace()).collect();
        assert!(said.join(" ").contains("the container does not want to"), "{ran:?}");
    };
    // Each waits for a container that does not go.
    std::thread::scope(|threads| {
        for generation in GENERATIONS {
            threads.spawn(move || refused(generation));
        }
    });
}

#[test]
fn a_stop_that_only_says_that_it_worked_is_none() {
    let queues = Queues::waking(Generation::B);
    let (session, container) = stuck(&queues, "sess-a");
    queues.engine.on_stop(&container, "lie");
    let document = queues.sweep(4);
    assert_not_stopped(&queues, &session, &document);
}

#[test]
fn a_stop_that_does_not_end_is_none() {
    let queues = Queues::waking(Generation::B);
    let (session, container) = stuck(&queues, "sess-a");
    queues.engine.on_stop(&container, "hang");
    let document = queues.sweep(4);
    assert_not_stopped(&queues, &session, &document);
}

#[test]
fn a_container_that_stays_in_the_list_but_has_exited_is_stopped() {
    let queues = Queues::new(Generation::B);
    let (session, container) = stuck(&queues, "sess-a");
    queues.engine.on_stop(&container, "exit");
    let document = queues.sweep(0);
    assert_retried(&session, "m1", &document, 1, 5);
    queues.sweep(0);
    assert_eq!(queues.engine.stops().len(), 1);
}

#[test]
fn a_container_that_has_exited_is_none_that_runs() {
    for generation in GENERATIONS {
        let queues = Queues::new(generation);
        let session = queues.session("sess-a");
        let mut container = queues.container_of(&session, 30);
        container.status = "exited";
        queues.engine.start(&container);
        session.message("m1");
        session.claim("m1", 10);
        let document = queues.sweep(0);
        assert_retried(&session, "m1", &document, 1, 5);
        assert!(queues.engine.stops().is_empty());
    }
}

#[test]
fn all_containers_of_a_session_that_is_stuck_are_stopped() {
    let queues = Queues::new(Generation::C);
    let (session, _) = stuck(&queues, "sess-a");
    queues.container(&session, 500);
    let document = queues.sweep(0);
    assert_eq!(queues.engine.stops().len(), 2, "{document:#}");
    assert!(queues.engine.listed().is_empty());
    assert_retried(&session, "m1", &document, 1, 5);
}

#[test]
fn a_container_that_ends_while_it_is_looked_at_is_none() {
    let queues = Queues::new(Generation::B);
    let (session, _) = stuck(&queues, "sess-a");
    queues.engine.start_ghost();
    let document = queues.sweep(0);
    assert_retried(&session, "m1", &document, 1, 5);
}

/// Makes the runtime not answer.
type Silence = fn(&mut Queues);

#[test]
fn while_the_runtime_does_not_answer_nothing_destructive_happens() {
    let silent: Silence = |queues| queues.engine.silence();
    let broken: Silence = |queues| queues.engine.break_with("Cannot connect to the socket");
    let nonsense: Silence = |queues| queues.engine.install("podman", "#!/bin/sh\necho '{\"not\": \"a list\"}'\n");
    let absent: Silence = |queues| {
        queues.set("runtime = \"podman\"");
        fs_err::remove_file(queues.engine.bin().join("podman")).unwrap();
    };
    for (what, silence) in [("silent", silent), ("broken", broken), ("nonsense", nonsense), ("absent", absent)] {
        let mut queues = Queues::waking(Generation::B);
        let [dead, due, torn] = ["sess-dead", "sess-due", "sess-torn"].map(|id| queues.session(id));
        for session in [&dead, &torn] {
            session.message("m1");
            session.message("m2");
            session.claim("m1", 300).ack("m2", "completed");
        }
        due.message("m1");
        kill_writer(&torn.outbound_path(), "UPDATE processing_ack SET status = 'completed'");
        // Nobody's, if there were somebody to ask.
        let orphan = queues.session_folder(GROUP, "sess-orphan");
        queues.container(&orphan, 600);
        silence(&mut queues);
        let document = queues.sweep(4);
        assert_eq!(in_document(&document, "sess-dead")["container"], "unknown", "{what}: {document:#}");
        assert!(document["runtime"]["error"].is_string(), "{what}: {document:#}");
        assert_eq!((dead.status("m1"), &dead.row("m1")["tries"]), ("pending".to_owned(), &json!(0)), "{what}");
        assert_eq!(dead.claims(), ["m1"], "{what}");
        assert_eq!(dead.status("m2"), "completed", "{what}: what is acknowledged is acknowledged");
        assert!(journal_of(&torn.outbound_path()).exists(), "{what}");
        assert!(steps(&document, "sess-torn").is_empty(), "{what}: {document:#}");
        assert!(queues.engine.wakes().is_empty() && queues.engine.stops().is_empty(), "{what}");
    }
}

#[test]
fn what_had_to_wait_for_the_runtime_is_done_when_it_answers() {
    let queues = Queues::waking(Generation::B);
    let session = queues.session("sess-a");
    session.message("m1");
    session.claim("m1", 300);
    queues.engine.break_with("Cannot connect to the socket");
    queues.sweep(4);
    queues.engine.mend();
    let document = queues.sweep(0);
    assert_retried(&session, "m1", &document, 1, 5);
    assert_eq!(queues.engine.wakes().len(), 1);
}

#[test]
fn a_session_that_gives_heartbeats_is_alive_though_no_container_of_it_is_known() {
    let queues = Queues::waking(Generation::B);
    let [beats, torn] = ["sess-beats", "sess-torn"].map(|id| queues.session(id));
    for session in [&beats, &torn] {
        session.message("m1");
        session.message("m2");
        session.claim("m1", 300).ack("m2", "completed");
    }
    kill_writer(&torn.outbound_path(), "UPDATE processing_ack SET status = 'completed'");
    for session in [&beats, &torn] {
        session.heartbeat(0);
    }
    queues.run(&["sweep"]);
    assert_eq!((beats.claims(), &beats.row("m1")["tries"]), (vec!["m1".to_owned()], &json!(0)));
    assert_eq!(beats.status("m2"), "completed");
    assert!(journal_of(&torn.outbound_path()).exists());
    assert!(queues.engine.wakes().is_empty());
    for session in [&beats, &torn] {
        session.heartbeat(300);
    }
    let document = queues.sweep(0);
    assert_retried(&beats, "m1", &document, 1, 5);
    assert_retried(&torn, "m1", &document, 1, 5);
}

#[test]
fn a_hot_journal_is_not_rolled_back_while_a_container_of_the_session_runs() {
    let queues = Queues::new(Generation::B);
    let [torn, fine] = ["sess-torn", "sess-fine"].map(|id| queues.session(id));
    for session in [&torn, &fine] {
        session.message("m1");
        session.claim("m1", 20);
    }
    queues.container(&torn, 600);
    kill_writer(&torn.outbound_path(), "UPDATE processing_ack SET status = 'completed'");
    let left = [torn.outbound_path(), journal_of(&torn.outbound_path())].map(|path| fs_err::read(path).unwrap());
    let document = queues.sweep(4);
    assert!(is_in(&document, "sess-torn"), "{document:#}");
    let now = [torn.outbound_path(), journal_of(&torn.outbound_path())].map(|path| fs_err::read(path).unwrap());
    assert!(now == left, "{document:#}");
    assert_eq!(torn.row("m1")["tries"], 0);
    assert_retried(&fine, "m1", &document, 1, 5);
}

#[test]
fn a_hot_journal_is_not_rolled_back_when_a_container_starts_meanwhile() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-torn");
    session.message("m1");
    session.claim("m1", 300);
    let container = queues.container(&session, 1);
    queues.engine.delay(&container);
    kill_writer(&session.outbound_path(), "UPDATE processing_ack SET status = 'completed'");
    let document = queues.sweep(0);
    assert_eq!(steps(&document, "sess-torn"), ["roll_back changed"], "{document:#}");
    assert!(journal_of(&session.outbound_path()).exists());
    assert_eq!(session.row("m1")["tries"], 0);
}

/// A way in which a host shows that it runs; what is yielded keeps it so.
type Host = fn(&mut Queues) -> Vec<UnixListener>;

fn with_lease(queues: &mut Queues) -> Vec<UnixListener> {
    queues.lease(3_600, false);
    Vec::new()
}

fn with_socket(queues: &mut Queues) -> Vec<UnixListener> {
    vec![UnixListener::bind(queues.root().join("data/ncl.sock")).unwrap()]
}

fn with_process(queues: &mut Queues) -> Vec<UnixListener> {
    node_in(queues, &queues.root());
    Vec::new()
}

/// Starts something called `node` in a folder.
fn node_in(queues: &mut Queues, folder: &std::path::Path) {
    let node = queues.world.home().join("node");
    assert!(Command::new("cp").args(["--", "/bin/sleep"]).arg(&node).status().unwrap().success());
    let pid = queues.world.child(Command::new(&node).arg("600").current_dir(folder));
    until(|| fs_err::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program.ends_with("node")));
}

/// Everything that can be done, in sessions and containers.
fn much_to_do(queues: &Queues) -> Session {
    let (session, _) = stuck(queues, "sess-a");
    session.task("t1", "0 9 * * *").set("status", "completed");
    queues.session("sess-due").message("m1");
    let torn = queues.session("sess-torn");
    kill_writer(&torn.outbound_path(), "DELETE FROM processing_ack");
    let orphan = queues.session_folder(GROUP, "sess-orphan");
    queues.container(&orphan, 600);
    session
}

#[test]
fn while_the_host_runs_the_sweep_only_reports() {
    let hosts: [(Generation, Host); 3] =
        [(Generation::C, with_lease), (Generation::B, with_socket), (Generation::A, with_process)];
    for (generation, host) in hosts {
        let mut queues = Queues::waking(generation);
        much_to_do(&queues);
        let kept = host(&mut queues);
        let before = queues.everything();
        let document = queues.sweep(0);
        assert_eq!(document["host"]["state"], "running", "{document:#}");
        assert!(document["hands_off"].is_string(), "{document:#}");
        let stop = step(&document, "sess-a", "stop");
        assert!(stop["result"] == "left" || stop["result"] == "planned", "{document:#}");
        queues.assert_unchanged(&before);
        assert!(queues.engine.stops().is_empty() && queues.engine.wakes().is_empty());
        let text = queues.run(&["sweep"]).ends_with(0).stdout;
        assert!(text.contains("sess-a"), "{text}");
        drop(kept);
    }
}

#[test]
fn what_is_taken_over_is_done_though_the_host_runs() {
    let hosts: [(Generation, Host); 3] =
        [(Generation::C, with_lease), (Generation::B, with_socket), (Generation::A, with_process)];
    for ((generation, host), by_setting) in hosts.into_iter().zip([false, true, false]) {
        let mut queues = Queues::waking(generation);
        let session = much_to_do(&queues);
        let kept = host(&mut queues);
        let document = if by_setting {
            queues.set("take_over = true");
            queues.sweep(0)
        } else {
            queues.json(&["sweep", "--take-over"], 0)
        };
        assert_eq!(document["host"]["state"], "running", "{document:#}");
        assert_retried(&session, "m1", &document, 1, 5);
        assert_eq!(session.status("m2"), "completed");
        assert_eq!(queues.engine.stops().len(), 2, "{document:#}");
        assert_eq!(step(&document, "sess-torn", "roll_back")["result"], "done");
        drop(kept);
    }
}

#[test]
fn what_a_host_left_behind_does_not_make_it_run() {
    type Left = fn(&mut Queues);
    let expired: Left = |queues| queues.lease(-60, false);
    let stopped: Left = |queues| queues.lease(3_600, true);
    let socket: Left = |queues| drop(with_socket(queues));
    let file: Left = |queues| fs_err::write(queues.root().join("data/ncl.sock"), "").unwrap();
    let elsewhere: Left = |queues| node_in(queues, &queues.world.home());
    let below: Left = |queues| node_in(queues, &queues.root().join("data"));
    for (index, left) in [expired, stopped, socket, file, elsewhere, below].into_iter().enumerate() {
        let mut queues = Queues::new(Generation::C);
        let (session, _) = stuck(&queues, "sess-a");
        left(&mut queues);
        let document = queues.sweep(0);
        assert_eq!(document["host"]["state"], "stopped", "{index}: {document:#}");
        assert_eq!(document["hands_off"], Value::Null);
        assert_retried(&session, "m1", &document, 1, 5);
    }
}

#[test]
fn a_lease_that_cannot_be_read_is_left_to_whoever_has_it() {
    let queues = Queues::new(Generation::C);
    let (session, _) = stuck(&queues, "sess-a");
    queues.lease(3_600, false);
    queues.central().execute_batch("UPDATE host_instances SET lease_expires_at = 'tomorrow'").unwrap();
    // Nobody may be doing the work at all: that is no success.
    let document = queues.sweep(4);
    assert_eq!(document["host"]["state"], "unknown", "{document:#}");
    let why = document["hands_off"].as_str().unwrap();
    assert_eq!(document["problems"], json!([format!("{}: {why}", queues.root().display())]));
    assert_eq!(session.claims(), ["m1"]);
    // A host that runs does it.
    queues.lease(3_601, false);
    let document = queues.sweep(0);
    assert_eq!((&document["host"]["state"], &document["problems"]), (&json!("running"), &json!([])));
}

/// What a sweep says of a container that is no swept session's: verdict and result.
#[track_caller]
fn said<'d>(document: &'d Value, id: &str) -> (&'d str, Option<&'d str>) {
    let containers = document["containers"].as_array().unwrap();
    let container = containers.iter().find(|container| id.starts_with(container["id"].as_str().unwrap()));
    let container = container.unwrap_or_else(|| panic!("no {id}: {document:#}"));
    (container["verdict"].as_str().unwrap(), container["result"].as_str())
}

#[test]
fn orphans_of_this_installation_are_stopped_at_every_sweep() {
    for generation in GENERATIONS {
        let queues = Queues::new(generation);
        let live = queues.session("sess-live");
        let kept = queues.container(&live, 60);
        for round in 0..2 {
            let (gone, closed) = (format!("sess-gone-{round}"), format!("sess-closed-{round}"));
            let no_row = queues.container(&queues.session_folder(GROUP, &gone), 60);
            let of_closed = queues.container(&queues.session(&closed), 60);
            queues.set_session(&closed, "status", "closed");
            let document = queues.sweep(0);
            assert_eq!(said(&document, &no_row), ("orphan", Some("stopped")), "{generation:?}");
            assert_eq!(said(&document, &of_closed), ("orphan", Some("stopped")), "{generation:?}");
            assert_eq!(document["summary"]["orphans_stopped"], 2);
            assert_eq!(queues.engine.listed(), [kept.as_str()]);
        }
    }
}

#[test]
fn an_orphan_whose_folder_is_gone_is_found_by_where_it_was() {
    for generation in GENERATIONS {
        let queues = Queues::new(generation);
        let session = queues.session_folder(GROUP, "sess-gone");
        fs_err::remove_dir_all(&session.folder).unwrap();
        let container = queues.container(&session, 60);
        assert_eq!(said(&queues.sweep(0), &container), ("orphan", Some("stopped")));
    }
}

#[test]
fn nobody_elses_container_is_touched() {
    for generation in GENERATIONS {
        let queues = Queues::new(generation);
        let root = queues.root();
        let neighbour = root.with_file_name("agents-2").join("data/v2-sessions").join(GROUP).join("sess-x");
        let containers = [
            // By its name alone.
            Container::named("nanoclaw-v2-folder-of-ag-main-1795000000000", 9_000),
            Container::named(&format!("ncl-{}-sess-gone", queues.slug()), 9_000),
            // Another installation's.
            Container::named("nanoclaw-v2-a-1", 9_000)
                .label("nanoclaw-install", "00c0ffee")
                .mount(&neighbour, "/workspace"),
            Container::named("nanoclaw-v2-a-2", 9_000).mount(&neighbour, "/workspace"),
            Container::named("ncl-00c0ffee-sess-gone", 9_000)
                .label("nanoclaw-install", "00c0ffee")
                .label("nanoclaw-session", "sess-gone")
                .label("nanoclaw-role", "agent"),
            // Whoever else has one of its folders, for something else.
            Container::named("backup", 9_000).mount(&root, "/data"),
            Container::named("editor", 9_000).mount(root.join("groups"), "/workspace"),
            Container::named("browser", 9_000).mount(root.join("data/v2-sessions").join(GROUP), "/workspace"),
            // Labelled by half of the slug.
            Container::named("other", 9_000).label("nanoclaw-install", &queues.slug()[..7]),
        ];
        for container in &containers {
            queues.engine.start(container);
        }
        let document = queues.sweep(0);
        assert!(queues.engine.stops().is_empty(), "{generation:?}: {document:#}");
        assert_eq!(document["summary"]["orphans_stopped"], 0);
    }
}

#[test]
fn a_container_of_this_installation_of_which_nothing_more_is_known_is_kept() {
    let queues = Queues::new(Generation::B);
    let id = queues.engine.start(&Container::named("x", 9_000).label("nanoclaw-install", &queues.slug()));
    let ran = queues.run(&["sweep", "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said(&document["installations"][0], &id).0, "unknown");
    assert!(queues.engine.stops().is_empty());
}

#[test]
fn a_gateway_of_this_installation_is_kept() {
    let queues = Queues::new(Generation::C);
    for role in ["gateway", "auxiliary"] {
        let container = Container::named(role, 9_000).label("nanoclaw-install", &queues.slug());
        queues.engine.start(&container.label("nanoclaw-role", role));
    }
    queues.sweep(0);
    assert!(queues.engine.stops().is_empty());
}

#[test]
fn an_orphan_that_refuses_is_told_of_by_its_name() {
    let queues = Queues::new(Generation::B);
    let [first, second] = ["sess-x", "sess-y"].map(|id| queues.container(&queues.session_folder(GROUP, id), 60));
    queues.engine.on_stop(&first, "refuse");
    let document = queues.sweep(4);
    assert_eq!(said(&document, &first), ("orphan", Some("refused")));
    assert_eq!(said(&document, &second), ("orphan", Some("stopped")));
    queues.engine.on_stop(&first, "lie");
    let document = queues.sweep(4);
    assert_ne!(said(&document, &first).1, Some("stopped"));
    assert_eq!(document["summary"]["orphans_stopped"], 0);
}

#[test]
fn without_the_central_database_no_container_is_an_orphan() {
    type Break = fn(&Queues);
    let corrupt: Break = |queues| crate::queues_world::corrupt(&queues.central_path());
    let empty: Break = |queues| fs_err::write(queues.central_path(), "").unwrap();
    let gone: Break = |queues| fs_err::remove_file(queues.central_path()).unwrap();
    let no_sessions: Break =
        |queues| queues.central().execute_batch("DROP TABLE pending_questions; DROP TABLE sessions").unwrap();
    for (index, break_it) in [corrupt, empty, gone, no_sessions].into_iter().enumerate() {
        let queues = Queues::new(Generation::B);
        let (session, _) = stuck(&queues, "sess-a");
        queues.container(&queues.session_folder(GROUP, "sess-gone"), 60);
        break_it(&queues);
        queues.run(&["sweep"]).ends_with(1);
        assert!(queues.engine.stops().is_empty(), "{index}");
        assert_eq!(session.claims(), ["m1"], "{index}");
    }
}

#[test]
fn the_containers_of_the_installation_are_listed_with_what_they_are() {
    let queues = Queues::new(Generation::C);
    let live = queues.container(&queues.session("sess-live"), 60);
    let orphan = queues.container(&queues.session_folder(GROUP, "sess-gone"), 60);
    let gateway =
        Container::named("gateway", 60).label("nanoclaw-install", &queues.slug()).label("nanoclaw-role", "gateway");
    let gateway = queues.engine.start(&gateway);
    queues.engine.start(&Container::named("postgres", 60));
    let document = queues.json(&["containers"], 0);
    assert_eq!(document["containers"].as_array().unwrap().len(), 3, "{document:#}");
    for (id, verdict) in [(&live, "session"), (&orphan, "orphan"), (&gateway, "auxiliary")] {
        assert_eq!(said(&document, id).0, verdict, "{document:#}");
    }
    assert!(queues.engine.stops().is_empty());
}

#[test]
fn a_session_is_told_by_its_mount_where_there_is_no_label_and_the_other_way_round() {
    let queues = Queues::new(Generation::C);
    let session = queues.session("sess-a");
    let label = Container::named("by-label", 60)
        .label("nanoclaw-install", &queues.slug())
        .label("nanoclaw-session", "sess-a")
        .label("nanoclaw-group", GROUP)
        .label("nanoclaw-role", "agent");
    let mount = Container::named("by-mount", 60).mount(&session.folder, "/workspace");
    let desktop = format!("/host_mnt{}", session.folder.display());
    for container in [label, mount, Container::named("by-desktop-mount", 60).mount(desktop, "/workspace")] {
        let id = queues.engine.start(&container);
        let document = queues.json(&["status"], 0);
        assert_eq!(in_document(&document, "sess-a")["container"], "running", "{}", container.name);
        queues.engine.end(&id);
    }
    assert_eq!(in_document(&queues.json(&["status"], 0), "sess-a")["container"], "none");
}

#[test]
fn a_container_that_ended_by_itself_is_not_stopped() {
    let queues = Queues::new(Generation::B);
    let (session, container) = stuck(&queues, "sess-a");
    queues.engine.end(&container);
    let document = queues.sweep(0);
    assert!(queues.engine.stops().is_empty());
    assert_retried(&session, "m1", &document, 1, 5);
    assert!(!steps(&document, "sess-a").iter().any(|step| step.starts_with("stop")));
}

//! Containers of a real engine, which `tests/containers/run` brings: without one these tests are not run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::processes_facts::{document, until};
use crate::queues_engine::Container as Described;
use crate::queues_schemas::{GENERATIONS, Generation};
use crate::queues_world::{
    GROUP, Queues, Session, assert_retried, bare, in_document, is_in, journal_of, problem, step, write_half,
};
use crate::world::Ran;

/// Has busybox, and nothing else.
const IMAGE: &str = "session-sweep-test:latest";

/// The engine's program.
pub(crate) fn engine() -> String {
    std::env::var("SWEEP_TEST_ENGINE").expect("tests/containers/run sets SWEEP_TEST_ENGINE")
}

/// What the engine must find in the environment of whatever starts it.
pub(crate) fn engine_variables() -> Vec<(&'static str, PathBuf)> {
    let variable = |name: &'static str| Some((name, std::env::var_os(name)?.into()));
    ["PATH", "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF"].into_iter().filter_map(variable).collect()
}

fn ask(arguments: &[&str]) -> String {
    let output = Command::new(engine()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The ids of all containers that the engine has, whatever has become of them.
fn listed() -> Vec<String> {
    ask(&["ps", "--all", "--quiet", "--no-trunc"]).lines().map(str::to_owned).collect()
}

/// A container of the engine; it is removed at the end.
pub(crate) struct Container {
    id: String,
    /// Of its first process, as this machine numbers it; 0 where it was not started.
    pid: u64,
}

impl Container {
    /// Starts one as a host does, with these labels (`name=value`) and this folder at `/workspace`. It runs by the time it
    /// is returned.
    pub(crate) fn start(labels: &[&str], workspace: Option<&Path>) -> Self {
        let mut described = Described::named("test", 0);
        for (name, value) in labels.iter().map(|label| label.split_once('=').unwrap()) {
            described = described.label(name, value);
        }
        Self::like(&workspace.iter().fold(described, |described, folder| described.mount(folder, "/workspace")))
    }

    /// Starts one with what is described: labels, mounts, and a name that begins so.
    fn like(described: &Described) -> Self {
        Self::running(described, "sleep 600")
    }

    /// The same, with something to do.
    fn running(described: &Described, script: &str) -> Self {
        let container = Self::new(&["run", "--detach", "--rm"], described, script);
        assert!(container.runs(), "the engine returns when it has started");
        container
    }

    /// One that is made, and not started yet.
    fn created(described: &Described) -> Self {
        Self::new(&["create"], described, "sleep 600")
    }

    fn new(how: &[&str], described: &Described, script: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        // It listens to no signal but SIGKILL, and its removal need not wait for the others.
        let mut arguments: Vec<String> =
            how.iter().chain(&["--network=none", "--stop-timeout=0"]).map(|word| (*word).to_owned()).collect();
        arguments.push(format!("--name={}-{}", described.name, NUMBER.fetch_add(1, Ordering::SeqCst)));
        let labels = described.labels.as_object().unwrap().iter();
        arguments.extend(labels.map(|(name, value)| format!("--label={name}={}", value.as_str().unwrap())));
        for (source, destination) in &described.mounts {
            fs_err::create_dir_all(source).unwrap();
            arguments.push(format!("--volume={}:{destination}", source.display()));
        }
        arguments.extend([IMAGE, "sh", "-c", script].map(str::to_owned));
        let mut container = Self { id: ask(&arguments.iter().map(String::as_str).collect::<Vec<_>>()), pid: 0 };
        container.pid = container.inspect().unwrap()["State"]["Pid"].as_u64().unwrap();
        container
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// What the engine tells of it, as long as it is there.
    pub(crate) fn inspect(&self) -> Option<Value> {
        let output = Command::new(engine()).args(["inspect", "--type=container", &self.id]).output().unwrap();
        if !output.status.success() {
            // It may have gone by itself; an engine that does not answer is another matter.
            assert!(!listed().contains(&self.id), "{}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        let told: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        told.into_iter().next()
    }

    pub(crate) fn runs(&self) -> bool {
        self.inspect().is_some_and(|told| told["State"]["Running"] == true)
    }

    /// Waits until it has run for longer than [`SHORT`] (or was made so long ago).
    fn wait_old(&self) {
        let told = self.inspect().unwrap();
        let time = |text: &Value| DateTime::parse_from_rfc3339(text.as_str().unwrap()).unwrap();
        let since = time(&told["State"]["StartedAt"]).max(time(&told["Created"]));
        until(|| Utc::now() - since.to_utc() > TimeDelta::milliseconds(1_100));
    }

    /// Fails unless it has ended: by what the engine lists, whatever stays in its books, and by its process.
    #[track_caller]
    fn assert_ended(&self) {
        assert!(!ask(&["ps", "--quiet", "--no-trunc"]).contains(&self.id) && !self.runs(), "{}", self.id);
        let process = format!("/proc/{}", self.pid);
        assert!(self.pid > 0 && !Path::new(&process).exists(), "{process}");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let engine = |arguments: &[&str]| Command::new(engine()).args(arguments).output();
        // What is paused is not removed everywhere. Whatever comes of it, the next words remove it.
        let _ = engine(&["unpause", &self.id]);
        let _ = engine(&["rm", "--force", &self.id]);
    }
}

/// A threshold that is soon over.
const SHORT: &str = "1s";
const CLAIM_STUCK: (&str, &str) = ("SESSION_SWEEP_QUEUES_CLAIM_STUCK", SHORT);
const CEILING: (&str, &str) = ("SESSION_SWEEP_QUEUES_CEILING", SHORT);

/// A run on an installation whose containers are the engine's.
fn command(queues: &Queues, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = queues.command(arguments);
    command.envs(engine_variables()).env("SESSION_SWEEP_QUEUES_RUNTIME", engine());
    command.envs(variables.iter().copied());
    command
}

/// The installation in the document of such a run.
#[track_caller]
fn read(command: &mut Command, status: i32) -> Value {
    let document = document(Ran::of(command.arg("--json")), status);
    let mut installation = document["installations"][0].clone();
    installation["now"] = document["now"].clone();
    installation
}

#[track_caller]
fn sweep(queues: &Queues, variables: &[(&str, &str)], status: i32) -> Value {
    read(&mut command(queues, &["sweep"], variables), status)
}

/// A session that was in the middle of a message when it went silent, and its container.
fn silent(queues: &Queues, id: &str) -> (Session, Container) {
    let session = queues.session(id);
    session.message("m1");
    session.claim("m1", 300);
    let container = Container::like(&queues.container_of(&session, 0));
    (session, container)
}

/// Fails unless the message of a silent session is as it was.
#[track_caller]
fn assert_untouched(session: &Session) {
    let row = session.row("m1");
    let found = (&row["status"], &row["tries"], &row["process_after"]);
    assert_eq!(found, (&json!("pending"), &json!(0), &Value::Null), "{}", session.id);
    assert_eq!(session.claims(), ["m1"], "{}", session.id);
}

/// Fails unless a silent session's container was stopped, and its message is tried again.
#[track_caller]
fn assert_stopped(session: &Session, container: &Container, document: &Value) {
    assert_eq!(step(document, &session.id, "stop")["result"], "done", "{document:#}");
    container.assert_ended();
    assert_retried(session, "m1", document, 1, 5);
    assert!(session.claims().is_empty());
    session.assert_sound();
}

/// What a document says of a container: verdict and result.
#[track_caller]
fn said<'d>(document: &'d Value, container: &Container) -> (&'d str, Option<&'d str>) {
    let containers = document["containers"].as_array().unwrap();
    let found = containers.iter().find(|said| said["id"] == container.id());
    let found = found.unwrap_or_else(|| panic!("nothing of {}: {document:#}", container.id()));
    (found["verdict"].as_str().unwrap(), found["result"].as_str())
}

#[test]
#[ignore = "needs a container engine: tests/containers/run"]
fn a_container_of_a_test_has_its_labels_and_its_folder_and_goes_with_it() {
    let folder = TempDir::new().unwrap();
    let container = Container::start(&["nanoclaw-install=0a1b2c3d", "nanoclaw-session=sess-1"], Some(folder.path()));
    let told = container.inspect().unwrap();
    assert_eq!(told["Config"]["Labels"]["nanoclaw-session"], "sess-1");
    assert_eq!(told["Mounts"][0]["Destination"], "/workspace");
    assert_eq!(told["Mounts"][0]["Source"], folder.path().canonicalize().unwrap().to_str().unwrap());
    assert!(engine_variables().iter().any(|(name, _)| *name == "CONTAINERS_CONF"));
    let id = container.id().to_owned();
    drop(container);
    assert!(!listed().contains(&id));
}

#[test]
#[ignore = "needs a container engine: tests/containers/run"]
fn a_silent_container_is_stopped_and_its_message_is_tried_again() {
    for generation in GENERATIONS {
        let queues = Queues::new(generation);
        let (no_beat, first) = silent(&queues, "sess-no-beat");
        let (old_beat, second) = silent(&queues, "sess-old-beat");
        old_beat.heartbeat(200);
        // Claim and heartbeat are older than the containers, and say nothing of them.
        sweep(&queues, &[], 0);
        for (session, container) in [(&no_beat, &first), (&old_beat, &second)] {
            assert_untouched(session);
            assert!(container.runs());
            container.wait_old();
        }
        let status = read(&mut command(&queues, &["status"], &[CLAIM_STUCK]), 0);
        let listing = read(&mut command(&queues, &["containers"], &[]), 0);
        for (session, container) in [(&no_beat, &first), (&old_beat, &second)] {
            let told = in_document(&status, &session.id);
            assert_eq!((&told["container"], &told["judgement"]), (&json!("running"), &json!("claim_stuck")));
            assert_eq!(said(&listing, container), ("session", None), "{generation:?}");
            assert!(container.runs(), "who only looks stops nothing");
        }
        let document = sweep(&queues, &[CLAIM_STUCK], 0);
        assert_eq!(document["summary"]["stopped"], 2, "{document:#}");
        assert_stopped(&no_beat, &first, &document);
        assert_stopped(&old_beat, &second, &document);
        let status = read(&mut command(&queues, &["status"], &[CLAIM_STUCK]), 0);
        assert_eq!(in_document(&status, "sess-no-beat")["container"], "none");
        assert_eq!(said_of_any(&sweep(&queues, &[CLAIM_STUCK], 0)), 0);
    }
}

/// How many containers a document speaks of.
fn said_of_any(document: &Value) -> usize {
    document["containers"].as_array().unwrap().len()
}

#[test]
#[ignore = "needs a container engine: tests/containers/run"]
fn a_container_that_never_beat_is_stopped_when_the_ceiling_is_past() {
    for generation in [Generation::B, Generation::C] {
        let queues = Queues::new(generation);
        let (session, container) = silent(&queues, "sess-a");
        container.wait_old();
        let document = sweep(&queues, &[CEILING], 0);
        assert_eq!(in_document(&document, "sess-a")["judgement"], "past_ceiling", "{document:#}");
        assert_stopped(&session, &container, &document);
    }
}

#[test]
#[ignore = "needs a container engine: tests/containers/run"]
fn a_container_that_beats_through_its_mount_stays() {
    let queues = Queues::new(Generation::C);
    let session = queues.session("sess-beats");
    session.message("m1");
    session.claim("m1", 300);
    let beat = "while true; do touch /workspace/.heartbeat; sleep 1; done";
    let container = Container::running(&queues.container_of(&session, 0), beat);
    let (other, silent) = silent(&queues, "sess-silent");
    silent.wait_old();
    container.wait_old();
    let started = container.inspect().unwrap()["State"]["StartedAt"].as_str().unwrap().to_owned();
    let started: std::time::SystemTime = DateTime::parse_from_rfc3339(&started).unwrap().into();
    let heartbeat = session.folder.join(".heartbeat");
    until(|| fs_err::metadata(&heartbeat).is_ok_and(|metadata| metadata.modified().unwrap() > started));
    let document = sweep(&queues, &[CLAIM_STUCK], 0);
    assert_stopped(&other, &silent, &document);
    assert!(!is_in(&document, "sess-beats"), "{document:#}");
    assert!(container.runs());
    assert_untouched(&session);
}

#[test]
#[ignore = "needs a container engine: tests/containers/run"]
fn nobody_elses_real_container_is_touched() {
    let [queues, neighbour] = [(); 2].map(|()| Queues::new(Generation::C));
    // The same session of another installation, and of one that has no labels.
    let session = queues.session("sess-a");
    session.message("m1");
    session.claim("m1", 300);
    let its = neighbour.container_of(&neighbour.session("sess-a"), 0);
    let mounted = Described::named("nanoclaw-v2-x", 0).mount(&neighbour.session("sess-b").folder, "/workspace");
    let role = |role: &str| {
        let described = Described::named(role, 0).label("nanoclaw-install", &queues.slug());
        Container::like(&described.label("nanoclaw-role", role))
    };
    let gateway = role("gateway");
    let kept = [
        Container::like(&its),
        Container::like(&mounted),
        Container::like(&Described::named("nanoclaw-v2-folder-of-ag-main-1795000000000", 0)),
        Container::like(&Described::named(&format!("ncl-{}-sess-a", queues.slug()), 0)),
        Container::like(&Described::named("editor", 0).mount(queues.root().join("groups"), "/workspace")),
    ];
    kept.iter().chain([&gateway]).for_each(Container::wait_old);
    let document = sweep(&queues, &[CLAIM_STUCK, CEILING], 0);
    assert_eq!(document["summary"]["stopped"], 0, "{document:#}");
    assert_eq!(document["summary"]["orphans_stopped"], 0);
    assert!(kept.iter().chain([&gateway]).all(Container::runs));
    // None of them works on its message.
    assert_retried(&session, "m1", &document, 1, 5);
    let listing = read(&mut command(&queues, &["containers"], &[]), 0);
    assert_eq!(said(&listing, &gateway), ("auxiliary", None));
    assert_eq!(said_of_any(&listing), 1, "{listing:#}");
}

#[test]
#[ignore = "needs a container engine: tests/containers/run"]
fn real_orphans_are_stopped_and_the_living_stay() {
    let queues = Queues::new(Generation::C);
    let kept = Container::like(&queues.container_of(&queues.session("sess-live"), 0));
    let closed = queues.session("sess-closed");
    queues.set_session("sess-closed", "status", "closed");
    let [gone, no_folder] = ["sess-gone", "sess-no-folder"].map(|id| queues.session_folder(GROUP, id));
    let label = Described::named("labelled", 0)
        .label("nanoclaw-install", &queues.slug())
        .label("nanoclaw-session", "sess-never")
        .label("nanoclaw-group", GROUP)
        .label("nanoclaw-role", "agent");
    let orphans = [
        Container::like(&queues.container_of(&closed, 0)),
        Container::like(&label),
        Container::like(&Described::named("mounted", 0).mount(&gone.folder, "/workspace")),
        Container::like(&Described::named("mounted", 0).mount(&no_folder.folder, "/workspace")),
    ];
    fs_err::remove_dir_all(&no_folder.folder).unwrap();
    let planned = read(&mut command(&queues, &["sweep", "--dry-run"], &[]), 0);
    for orphan in &orphans {
        assert_eq!(said(&planned, orphan), ("orphan", Some("planned")), "{planned:#}");
        assert!(orphan.runs());
    }
    let document = sweep(&queues, &[], 0);
    for orphan in &orphans {
        assert_eq!(said(&document, orphan), ("orphan", Some("stopped")), "{document:#}");
        orphan.assert_ended();
    }
    assert_eq!(document["summary"]["orphans_stopped"], 4);
    assert!(kept.runs());
    assert_eq!(said_of_any(&sweep(&queues, &[], 0)), 0);
}

#[test]
#[ignore = "needs a container engine: tests/containers/run"]
fn a_paused_container_is_left_with_its_messages_and_a_paused_orphan_is_refused() {
    let queues = Queues::new(Generation::C);
    let (session, paused) = silent(&queues, "sess-a");
    // Somebody froze it: its silence says nothing, nor does that of the session's other container.
    let second = Container::like(&queues.container_of(&session, 0));
    let orphan = Container::like(&queues.container_of(&queues.session_folder(GROUP, "sess-gone"), 0));
    for container in [&paused, &orphan] {
        ask(&["pause", container.id()]);
    }
    second.wait_old();
    let document = sweep(&queues, &[CLAIM_STUCK], 4);
    let status = read(&mut command(&queues, &["status"], &[CLAIM_STUCK]), 0);
    assert_eq!(in_document(&status, "sess-a")["judgement"], "unknown", "{status:#}");
    assert_eq!(in_document(&status, "sess-a")["steps"], json!([]));
    assert_eq!(said(&document, &orphan), ("orphan", Some("refused")));
    assert_untouched(&session);
    assert_eq!((&document["summary"]["stopped"], &document["summary"]["orphans_stopped"]), (&json!(0), &json!(0)));
    for container in [&paused, &orphan] {
        assert_eq!(container.inspect().unwrap()["State"]["Status"], "paused");
        ask(&["unpause", container.id()]);
    }
    let document = sweep(&queues, &[CLAIM_STUCK], 0);
    assert_stopped(&session, &paused, &document);
    assert_eq!(said(&document, &orphan), ("orphan", Some("stopped")));
    second.assert_ended();
    orphan.assert_ended();
}

#[test]
#[ignore = "needs a container engine: tests/containers/run"]
fn a_container_that_is_not_started_yet_counts_as_one_that_lives() {
    for generation in [Generation::B, Generation::C] {
        let queues = Queues::new(generation);
        let session = queues.session("sess-a");
        session.message("m1");
        session.claim("m1", 300);
        let container = Container::created(&queues.container_of(&session, 0));
        let status = read(&mut command(&queues, &["status"], &[]), 0);
        assert_eq!(in_document(&status, "sess-a")["container"], "running", "{status:#}");
        assert_eq!(in_document(&status, "sess-a")["containers"][0]["state"], "created");
        sweep(&queues, &[], 0);
        assert_untouched(&session);
        // Whoever made it may start it at any time: that it did not end when it was told to is no end.
        container.wait_old();
        let document = sweep(&queues, &[CLAIM_STUCK], 4);
        assert_eq!(step(&document, "sess-a", "stop")["result"], "refused", "{document:#}");
        assert_untouched(&session);
        ask(&["start", container.id()]);
        container.wait_old();
        let document = sweep(&queues, &[CLAIM_STUCK], 0);
        assert_eq!(step(&document, "sess-a", "stop")["result"], "done", "{document:#}");
        assert_retried(&session, "m1", &document, 1, 5);
        assert!(!container.runs() && listed().contains(&container.id), "what was made to stay stays, and has ended");
        let status = read(&mut command(&queues, &["status"], &[]), 0);
        assert_eq!(in_document(&status, "sess-a")["container"], "none");
    }
}

/// Where the writer finds what it writes to; the file beside it, `ready`, says that it is half-way.
const WRITES: &str = "SWEEP_TEST_WRITES";

/// The process that the next test kills; by itself it is none.
#[test]
#[ignore = "needs a container engine: tests/containers/run"]
fn a_writer_comes_half_way() {
    let Some(path) = std::env::var_os(WRITES).map(PathBuf::from) else { return };
    let writer = write_half(&path, "UPDATE processing_ack SET status = 'completed'");
    fs_err::write(path.with_file_name("ready"), "").unwrap();
    // Until it is killed: whoever started it has the other end.
    std::io::Read::read(&mut std::io::stdin(), &mut [0]).unwrap();
    drop(writer);
}

/// Kills a process in the middle of writing to a session's `outbound.db`.
fn kill_real_writer(session: &Session) {
    let mut writer = Command::new(std::env::current_exe().unwrap());
    writer.args(["--ignored", "--exact", "containers::a_writer_comes_half_way"]).env(WRITES, session.outbound_path());
    let mut writer = writer.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let ready = session.folder.join("ready");
    until(|| ready.exists());
    writer.kill().unwrap();
    writer.wait().unwrap();
    fs_err::remove_file(ready).unwrap();
    assert!(journal_of(&session.outbound_path()).exists());
}

#[test]
#[ignore = "needs a container engine: tests/containers/run"]
fn what_a_killed_writer_left_is_undone_when_the_container_is_gone_and_not_before() {
    for generation in GENERATIONS {
        let queues = Queues::new(generation);
        let session = queues.session("sess-a");
        session.message("m1");
        session.acknowledge("m1", "processing", &bare(300));
        let left =
            || [session.outbound_path(), journal_of(&session.outbound_path())].map(fs_err::read).map(Result::unwrap);
        let described = queues.container_of(&session, 0);
        let mut before = None;
        // However much it looks dead: what is written is the container's as long as there is one.
        for make in [Container::like, Container::created] {
            let container = make(&described);
            if before.is_none() {
                kill_real_writer(&session);
                before = Some(left());
            }
            container.wait_old();
            let document = sweep(&queues, &[CLAIM_STUCK], 4);
            assert!(problem(&document, "sess-a").contains("hot journal"), "{document:#}");
            assert!(before == Some(left()), "{document:#}");
            assert_eq!(session.row("m1")["tries"], 0);
            assert!(listed().contains(&container.id));
        }
        let document = sweep(&queues, &[], 0);
        assert_eq!(step(&document, "sess-a", "roll_back")["result"], "done", "{document:#}");
        assert_retried(&session, "m1", &document, 1, 5);
        assert!(session.claims().is_empty());
        session.assert_sound();
    }
}

#[test]
#[ignore = "needs a container engine: tests/containers/run"]
fn an_engine_that_does_not_answer_leaves_everything_as_it_is() {
    let queues = Queues::waking(Generation::C);
    let (session, container) = silent(&queues, "sess-a");
    let (dead, _) = silent(&queues, "sess-dead");
    let torn = queues.session("sess-torn");
    torn.message("m1");
    torn.claim("m1", 300);
    kill_real_writer(&torn);
    let orphan = Container::like(&queues.container_of(&queues.session_folder(GROUP, "sess-gone"), 0));
    container.wait_old();
    let broken = queues.world.file("containers.conf", "[engine]\nruntime = [", 0);
    let nowhere = queues.world.file("storage.conf", "[storage]\ndriver = \"no-such-driver\"\n", 0);
    queues.engine.break_with("Cannot connect to the socket");
    let bin = queues.engine.bin();
    let before = queues.everything();
    let ways = [("CONTAINERS_CONF", &broken), ("CONTAINERS_STORAGE_CONF", &nowhere), ("PATH", &bin)];
    for (name, value) in ways {
        let variables = [CLAIM_STUCK, CEILING, (name, value.to_str().unwrap())];
        let document = sweep(&queues, &variables, 4);
        assert!(document["runtime"]["error"].is_string(), "{name}: {document:#}");
        assert!(problem(&document, "sess-torn").contains("nobody knows"), "{name}: {document:#}");
        let status = read(&mut command(&queues, &["status"], &variables), 4);
        for id in ["sess-a", "sess-dead", "sess-torn"] {
            assert_eq!(in_document(&status, id)["container"], "unknown", "{name}: {status:#}");
        }
        let listing = read(&mut command(&queues, &["containers"], &variables), 4);
        assert!(listing["runtime"]["error"].is_string() && listing["containers"] == json!([]), "{name}: {listing:#}");
        queues.assert_unchanged(&before);
        assert!(container.runs() && orphan.runs(), "{name}");
        assert!(queues.engine.wakes().is_empty() && queues.engine.stops().is_empty(), "{name}");
    }
    let document = sweep(&queues, &[CLAIM_STUCK], 0);
    assert_stopped(&session, &container, &document);
    for session in [&dead, &torn] {
        assert_retried(session, "m1", &document, 1, 5);
    }
    orphan.assert_ended();
    // The one whose container was stopped is not woken by the sweep that stopped it.
    let woken: std::collections::BTreeSet<_> = queues.engine.wakes().into_iter().collect();
    assert_eq!(woken, ["sess-dead ag-main", "sess-torn ag-main"].map(str::to_owned).into());
}

#[test]
#[ignore = "needs a container engine: tests/containers/run"]
fn a_real_container_whose_label_and_mount_disagree_is_kept() {
    let queues = Queues::new(Generation::C);
    let [session, other, third] = ["sess-a", "sess-b", "sess-c"].map(|id| queues.session(id));
    for session in [&session, &other, &third] {
        session.message("m1");
        session.claim("m1", 300);
    }
    let mut described = queues.container_of(&session, 0);
    described.mounts.clear();
    let container = Container::like(&described.mount(&other.folder, "/workspace"));
    container.wait_old();
    let document = sweep(&queues, &[CLAIM_STUCK, CEILING], 4);
    assert_eq!(said(&document, &container).0, "unknown", "{document:#}");
    assert!(container.runs());
    // Either may be the one that it writes to.
    assert_untouched(&session);
    assert_untouched(&other);
    assert_retried(&third, "m1", &document, 1, 5);
}

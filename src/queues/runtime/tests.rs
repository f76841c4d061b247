//! Runtimes that are asked, with stand-ins that say what the real ones said.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";

/// What a setting of this text chooses.
pub(super) fn named(text: &str) -> RuntimeChoice {
    if text == "auto" { RuntimeChoice::Auto } else { RuntimeChoice::Named(text.to_owned()) }
}

/// A `PATH` with stand-ins in it.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a program that runs this text of a shell; `$folder` is where it lies.
    fn with(self, program: &str, text: &str) -> Self {
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/queues/stand-in");
        symlink(stand_in, self.path(program)).unwrap();
        self.file(&format!("{program}.sh"), text)
    }

    fn file(self, name: &str, text: &str) -> Self {
        fs_err::write(self.path(name), text).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn choose(&self, choice: &str) -> Runtimes {
        Runtimes::find(&named(choice), self.0.path().as_os_str())
    }

    fn auto(&self) -> Runtimes {
        self.choose("auto")
    }

    /// What a stand-in noted, line by line.
    fn noted(&self, name: &str) -> Vec<String> {
        let text = fs_err::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// A docker that lists what `ids` has and tells what `inspect` has.
const PLAIN: &str = r#"case $1 in
  ps) cat "$folder/ids" ;;
  inspect) cat "$folder/inspect" ;;
esac"#;

fn of_recorded(recorded: &str) -> Machine {
    let ids: Vec<Value> = serde_json::from_str(recorded).unwrap();
    let ids: Vec<&str> = ids.iter().map(|container| container["Id"].as_str().unwrap()).collect();
    Machine::new().file("ids", &ids.join("\n")).file("inspect", recorded)
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// What `inspect` says of a container in this state.
fn inspected(id: &str, state: &str) -> Value {
    json!({ "Id": id, "Name": "a", "Created": "2026-11-20T10:00:00Z",
        "State": { "Status": state, "StartedAt": "2026-11-20T11:00:00Z" }, "Mounts": [], "Config": { "Labels": null } })
}

fn said(containers: &[Value]) -> String {
    serde_json::to_string(containers).unwrap()
}

#[track_caller]
fn one_of(mut containers: Vec<Container>) -> Container {
    assert_eq!(containers.len(), 1, "{containers:#?}");
    containers.remove(0)
}

#[test]
fn what_docker_tells_is_understood() {
    let recorded = include_str!("../../../tests/fixtures/queues/docker-inspect.json");
    let containers = of_recorded(recorded).with("docker", PLAIN).auto().list().unwrap();
    let [agent, ended, never] = &containers[..] else { panic!("{containers:#?}") };
    let expected = Container {
        id: "b3f1c0de5a7e4d19b2c8f60a9d3e7b1148c25f90e6a3d7b2c1f4e8a09d6b5c37".to_owned(),
        name: "nanoclaw-v2-team-1763636400000".to_owned(),
        state: State::Alive("running".to_owned()),
        started: Some(time("2026-11-20T11:00:01.5Z")),
        install: Some("0a1b2c3d".to_owned()),
        group: None,
        session: None,
        role: None,
        workspace: Some("/srv/agents/data/v2-sessions/team/sess-1-abc".into()),
        runtime: "docker".to_owned(),
    };
    assert_eq!(agent, &expected);
    assert_eq!(ended.state, State::Ended("exited".to_owned()));
    assert_eq!((ended.started, &ended.workspace), (Some(time("2026-11-20T09:00:02Z")), &None));
    // Never started: it is as old as it is.
    assert_eq!(never.state, State::Alive("created".to_owned()));
    assert_eq!(never.started, Some(time("2026-11-20T10:15:00Z")));
}

#[test]
fn what_podman_tells_is_understood() {
    let recorded = include_str!("../../../tests/fixtures/queues/podman-inspect.json");
    let containers = of_recorded(recorded).with("podman", PLAIN).auto().list().unwrap();
    let [agent, never] = &containers[..] else { panic!("{containers:#?}") };
    assert_eq!(agent.name, "ncl-0a1b2c3d-sess-1763698000000-abc123");
    assert_eq!(agent.runtime, "podman");
    assert_eq!(agent.state, State::Alive("running".to_owned()));
    assert_eq!(agent.started, Some(time("2026-11-21T04:24:03.052508093Z")));
    let labels = [&agent.install, &agent.group, &agent.session, &agent.role].map(|label| label.as_deref().unwrap());
    assert_eq!(labels, ["0a1b2c3d", "team", "sess-1763698000000-abc123", "agent"]);
    let workspace = Path::new("/srv/agents/data/v2-sessions/team/sess-1763698000000-abc123");
    assert_eq!(agent.workspace.as_deref(), Some(workspace));
    assert_eq!((never.started, never.state.word()), (Some(time("2026-11-21T04:24:03.085768971Z")), "created"));
}

/// Apple's `container` with this listing.
fn apple(listing: &Value) -> Machine {
    let text = r#"[ "$*" = "ls --all --format json" ] && cat "$folder/listing""#;
    Machine::new().with("container", text).file("listing", &listing.to_string())
}

#[test]
fn what_apples_container_tells_is_understood_in_both_of_its_forms() {
    let labels = json!({ "nanoclaw-install": "0a1b2c3d", "nanoclaw-session": "sess-1", "nanoclaw-group": "team" });
    let pairs: Vec<Value> =
        labels.as_object().unwrap().iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
    let mounts =
        json!([{ "source": "/srv/w", "destination": "/workspace", "options": [], "type": { "virtiofs": {} } }]);
    let configuration = |labels: &Value| json!({ "id": "ncl-a", "labels": labels, "mounts": mounts, "image": {} });
    // 2026-11-20T11:00:00Z
    let date = 816_865_200.0;
    let before = json!({ "status": "running", "networks": [], "configuration": configuration(&labels) });
    let dated = json!({ "status": "running", "startedDate": date, "configuration": configuration(&json!(pairs)) });
    let after = json!({ "id": "ncl-a", "status": { "state": "running", "startedDate": "2026-11-20T11:00:00Z" },
        "configuration": configuration(&labels) });
    for (listed, started) in [(before, None), (dated, Some(())), (after, Some(()))] {
        let container = one_of(apple(&json!([listed])).auto().list().unwrap());
        let expected = Container {
            id: "ncl-a".to_owned(),
            name: "ncl-a".to_owned(),
            state: State::Alive("running".to_owned()),
            started: started.map(|()| time("2026-11-20T11:00:00Z")),
            install: Some("0a1b2c3d".to_owned()),
            group: Some("team".to_owned()),
            session: Some("sess-1".to_owned()),
            role: None,
            workspace: Some("/srv/w".into()),
            runtime: "container".to_owned(),
        };
        assert_eq!(container, expected, "{listed}");
    }
    let stopped = json!([{ "status": "stopped", "configuration": { "id": "b", "labels": {}, "mounts": [] } }]);
    assert_eq!(one_of(apple(&stopped).auto().list().unwrap()).state, State::Ended("stopped".to_owned()));
    let odd = json!([{ "status": "running", "configuration": { "labels": {} } }]);
    assert!(apple(&odd).auto().list().unwrap_err().contains("without an id"));
    assert_eq!(apple(&json!([])).auto().list(), Ok(Vec::new()));
}

#[test]
fn a_service_of_apples_container_that_does_not_run_says_so_itself() {
    let text = "case $1 in ls) echo 'Error: interrupted: \"XPC connection error\"' >&2; exit 1 ;; \
                system) echo 'apiserver is not running and not registered with launchd'; exit 1 ;; esac";
    let why = Machine::new().with("container", text).auto().list().unwrap_err();
    assert!(why.contains("apiserver is not running and not registered with launchd"), "{why}");
}

#[test]
fn no_runtime_is_no_answer() {
    let why = Machine::new().auto().list().unwrap_err();
    assert!(why.contains("docker, podman and container are all not in PATH"), "{why}");
    assert!(why.contains("queues.runtime"), "{why}");
    let why = Machine::new().with("docker", PLAIN).file("ids", "").choose("podman").list().unwrap_err();
    assert_eq!(why, "there is no container runtime podman, which queues.runtime names");
}

#[test]
fn one_that_is_installed_and_does_not_answer_leaves_everything_unknown() {
    let machine = Machine::new().with("docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1");
    let machine = machine.with("podman", PLAIN).file("ids", "");
    let why = machine.auto().list().unwrap_err();
    assert!(why.contains("docker does not answer: Cannot connect to the Docker daemon"), "{why}");
    assert!(why.ends_with("name the one that is used in queues.runtime"), "{why}");
    assert_eq!(machine.choose("podman").list(), Ok(Vec::new()));
    // By its path it need not be in PATH.
    let path = machine.path("podman").to_str().unwrap().to_owned();
    assert_eq!(Runtimes::find(&named(&path), OsStr::new("")).list(), Ok(Vec::new()));
    // One that cannot be started is one that does not answer.
    let why = Runtimes::find(&RuntimeChoice::Named("/nowhere/docker".to_owned()), OsStr::new("")).list().unwrap_err();
    assert!(why.contains("/nowhere/docker does not answer"), "{why}");
}

#[test]
fn one_that_hangs_is_ended() {
    let machine = Machine::new().with("docker", "exec sleep 600");
    let mut runtimes = machine.auto();
    runtimes.engines[0].limits.listing = Duration::from_millis(50);
    let begin = Instant::now();
    let why = runtimes.list().unwrap_err();
    assert!(why.contains("did not answer within"), "{why}");
    assert!(begin.elapsed() < Duration::from_secs(300));
}

#[test]
fn a_container_that_vanishes_while_it_is_looked_at_is_no_failure() {
    let text = r#"case $1 in
      ps) echo x >>"$folder/listings"; cat "$folder/ids" ;;
      inspect) case "$*" in
        *2222*) echo 'no such object: 2222' >&2; grep 1111 "$folder/ids" >"$folder/new"; mv "$folder/new" "$folder/ids"; exit 1 ;;
        *) cat "$folder/inspect" ;;
      esac ;;
    esac"#;
    let machine = Machine::new().with("docker", text).file("ids", &format!("{ONE}\n{TWO}\n"));
    let machine = machine.file("inspect", &said(&[inspected(ONE, "running")]));
    assert_eq!(one_of(machine.auto().list().unwrap()).id, ONE);
    assert_eq!(machine.noted("listings").len(), 2);
}

#[test]
fn containers_that_go_on_vanishing_end_in_an_error() {
    let text = r#"case $1 in ps) echo x >>"$folder/listings"; cat "$folder/ids" ;; *) echo gone >&2; exit 1 ;; esac"#;
    let machine = Machine::new().with("docker", text).file("ids", ONE);
    assert!(machine.auto().list().unwrap_err().contains("gone"));
    assert_eq!(machine.noted("listings").len(), 10);
}

#[test]
fn half_an_answer_is_no_answer() {
    let machine = Machine::new().with("docker", PLAIN).file("ids", &format!("{ONE}\n{TWO}\n"));
    let machine = machine.file("inspect", &said(&[inspected(ONE, "running")]));
    assert!(machine.auto().list().unwrap_err().contains(&format!("nothing of container {TWO}")));
    let machine = machine.file("inspect", "[{");
    assert!(machine.auto().list().unwrap_err().contains("not understood"));
}

#[test]
fn what_is_no_id_never_becomes_an_argument() {
    let text = r#"echo "$*" >>"$folder/calls"; case $1 in ps) cat "$folder/ids" ;; esac"#;
    for odd in ["--all", "a;touch b", "$(touch b)", "../a"] {
        let machine = Machine::new().with("docker", text).file("ids", &format!("{ONE}\n{odd}\n"));
        assert!(machine.auto().list().unwrap_err().contains("no container's id"), "{odd}");
        let container = Container { id: odd.to_owned(), ..container() };
        assert!(matches!(machine.auto().stop(&container), Stopped::Refused(_)), "{odd}");
        assert_eq!(machine.noted("calls"), ["ps --all --quiet --no-trunc"]);
    }
}

#[test]
fn many_are_asked_for_in_parts() {
    let ids: Vec<String> = (0..401).map(|number| format!("{number:064x}")).collect();
    let text = r#"case $1 in
      ps) cat "$folder/ids" ;;
      inspect) shift 3; echo $# >>"$folder/parts"
        printf '['; comma=; for id; do printf '%s{"Id":"%s"}' "$comma" "$id"; comma=,; done; printf ']' ;;
    esac"#;
    let machine = Machine::new().with("docker", text).file("ids", &ids.join("\n"));
    let containers = machine.auto().list().unwrap();
    assert!(containers.iter().map(|container| &container.id).eq(&ids));
    assert_eq!(machine.noted("parts"), ["200", "200", "1"]);
    // Of which nothing more is told, nothing more is known: not that it ended.
    assert_eq!(containers[0].state, State::Alive("unknown".to_owned()));
    assert_eq!(containers[0].started, None);
}

#[test]
fn a_start_that_cannot_be_read_is_unknown_and_not_the_creation() {
    let mut odd = inspected(ONE, "running");
    odd["State"]["StartedAt"] = json!("yesterday");
    let machine = Machine::new().with("docker", PLAIN).file("ids", ONE).file("inspect", &said(&[odd.clone()]));
    assert_eq!(one_of(machine.auto().list().unwrap()).started, None);
    // One that calls itself ended and running at once is alive.
    odd["State"] = json!({ "Status": "exited", "Running": true });
    let machine = machine.file("inspect", &said(&[odd]));
    assert!(one_of(machine.auto().list().unwrap()).state.is_alive());
}

#[test]
fn podman_under_dockers_name_is_counted_once() {
    let machine = Machine::new().with("docker", PLAIN).with("podman", PLAIN).file("ids", ONE);
    let machine = machine.file("inspect", &said(&[inspected(ONE, "running")]));
    assert_eq!(one_of(machine.auto().list().unwrap()).runtime, "docker");
}

/// A docker with one container, which does at `stop` what `stop` says.
fn with_stop(stop: &str) -> Machine {
    let text = format!(
        r#"echo "$*" >>"$folder/calls"; case $1 in
          ps) [ ! -e "$folder/broken" ] || {{ echo 'daemon is down' >&2; exit 1; }}; cat "$folder/ids" ;;
          inspect) cat "$folder/inspect" ;;
          stop) {stop} ;;
        esac"#
    );
    let machine = Machine::new().with("docker", &text).file("ids", ONE);
    machine.file("inspect", &said(&[inspected(ONE, "running")]))
}

/// What [`with_stop`] has.
fn container() -> Container {
    Container {
        id: ONE.to_owned(),
        name: "a".to_owned(),
        state: State::Alive("running".to_owned()),
        started: None,
        install: None,
        group: None,
        session: None,
        role: None,
        workspace: None,
        runtime: "docker".to_owned(),
    }
}

fn stop(machine: &Machine, vanishing: Duration) -> Stopped {
    let mut runtimes = machine.auto();
    runtimes.engines[0].limits.vanishing = vanishing;
    runtimes.engines[0].limits.pause = Duration::from_millis(1);
    runtimes.stop(&container())
}

#[test]
fn a_container_is_stopped_by_its_id_and_gone_when_it_is_not_listed() {
    let machine = with_stop(r#": >"$folder/ids""#);
    assert_eq!(stop(&machine, Duration::ZERO), Stopped::Gone);
    assert_eq!(machine.noted("calls"), [&format!("stop -t 1 {ONE}"), "ps --all --quiet --no-trunc"]);
}

#[test]
fn a_container_that_ended_and_stays_listed_is_gone() {
    let machine =
        with_stop(r#"sed s/running/exited/ "$folder/inspect" >"$folder/new"; mv "$folder/new" "$folder/inspect""#);
    assert_eq!(stop(&machine, Duration::ZERO), Stopped::Gone);
}

#[test]
fn what_other_containers_do_does_not_matter() {
    let machine = with_stop(&format!(r#"echo {TWO} >"$folder/ids""#));
    let machine = machine.file("inspect", &said(&[inspected(TWO, "running")])).file("ids", &format!("{ONE}\n{TWO}"));
    assert_eq!(stop(&machine, Duration::ZERO), Stopped::Gone);
}

#[test]
fn apples_container_stops_likewise() {
    let listed = |names: &[&str]| {
        let listed = |id: &&str| json!({ "status": { "state": "running" }, "configuration": { "id": id } });
        names.iter().map(listed).collect::<Value>().to_string()
    };
    let text = r#"case $1 in
      ls) cat "$folder/listing" ;;
      stop) echo "$*" >>"$folder/calls"; [ "$4" = ncl-a ] && cp "$folder/rest" "$folder/listing" ;;
    esac"#;
    let machine = Machine::new().with("container", text).file("listing", &listed(&["ncl-a", "ncl-b"]));
    let machine = machine.file("rest", &listed(&["ncl-b"]));
    let mut runtimes = machine.auto();
    runtimes.engines[0].limits.vanishing = Duration::ZERO;
    let of = |id: &str| Container { id: id.to_owned(), runtime: "container".to_owned(), ..container() };
    assert_eq!(runtimes.stop(&of("ncl-a")), Stopped::Gone);
    assert!(matches!(runtimes.stop(&of("ncl-b")), Stopped::Refused(_)));
    assert_eq!(machine.noted("calls"), ["stop -t 1 ncl-a", "stop -t 1 ncl-b"]);
}

#[test]
fn one_that_takes_a_while_to_vanish_is_waited_for() {
    let machine = with_stop("touch \"$folder/stopping\"");
    let slowly = r#"[ "$1" != ps ] || [ "$(grep -c ^ps "$folder/calls")" -lt 3 ] || : >"$folder/ids""#;
    let text = fs_err::read_to_string(machine.path("docker.sh")).unwrap();
    let machine = machine.file("docker.sh", &format!("{slowly}\n{text}"));
    assert_eq!(stop(&machine, Duration::from_secs(600)), Stopped::Gone);
    assert!(machine.noted("calls").iter().filter(|call| call.starts_with("ps")).count() >= 3);
}

#[test]
fn a_refused_stop_is_refused_in_the_runtimes_words() {
    let machine = with_stop("echo 'permission denied' >&2; exit 1");
    assert_eq!(stop(&machine, Duration::ZERO), Stopped::Refused("permission denied".to_owned()));
    // A runtime that claims to have stopped it is not believed.
    assert_eq!(stop(&with_stop(":"), Duration::ZERO), Stopped::Refused("it is still running".to_owned()));
}

#[test]
fn one_that_is_gone_is_gone_though_stop_failed() {
    let machine = with_stop(r#": >"$folder/ids"; echo 'no such container' >&2; exit 1"#);
    assert_eq!(stop(&machine, Duration::ZERO), Stopped::Gone);
}

#[test]
fn a_runtime_that_does_not_answer_after_the_stop_leaves_it_unknown() {
    let machine = with_stop(r#": >"$folder/ids"; touch "$folder/broken""#);
    let Stopped::Unknown(why) = stop(&machine, Duration::ZERO) else { panic!("it cannot be told") };
    assert!(why.contains("daemon is down"), "{why}");
}

#[test]
fn a_stop_that_hangs_is_ended_and_looked_at() {
    let machine = with_stop("exec sleep 600");
    let mut runtimes = machine.auto();
    runtimes.engines[0].limits.stopping = Duration::from_millis(50);
    runtimes.engines[0].limits.vanishing = Duration::ZERO;
    let Stopped::Refused(why) = runtimes.stop(&container()) else { panic!("it still runs") };
    assert!(why.contains("did not answer within"), "{why}");
}

#[test]
fn only_the_runtime_that_told_of_a_container_is_asked_to_stop_it() {
    let machine = with_stop(":");
    let other = Container { runtime: "podman".to_owned(), ..container() };
    assert!(matches!(machine.auto().stop(&other), Stopped::Unknown(_)));
    assert!(machine.noted("calls").is_empty());
}

#[test]
fn podman_by_whatever_name_has_each_users_containers_apart() {
    let told = |program: &str, said: &str| {
        let machine = Machine::new().with(program, said);
        machine.auto().of_each_user().map(str::to_owned)
    };
    let version = |text: &str| format!("[ \"$1\" = --version ] && echo '{text}'");
    assert_eq!(told("docker", &version("Docker version 27.3.1, build ce12230")), None);
    assert_eq!(told("docker", &version("podman version 4.3.1")), Some("docker".to_owned()));
    assert_eq!(told("podman", &version("podman version 4.3.1")), Some("podman".to_owned()));
    assert_eq!(told("docker", &version("nerdctl version 2.0.2")), Some("docker".to_owned()));
    assert_eq!(told("docker", "exit 1"), Some("docker".to_owned()), "it may be");
    assert_eq!(told("container", ""), Some("container".to_owned()));
}

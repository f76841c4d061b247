//! The same with a real engine and its containers, which `tests/containers/run` brings.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::tests::named;
use super::*;

const IMAGE: &str = "session-sweep-test:latest";

fn engine() -> String {
    std::env::var("SWEEP_TEST_ENGINE").expect("tests/containers/run sets SWEEP_TEST_ENGINE")
}

fn ask(arguments: &[&str]) -> String {
    let output = Command::new(engine()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A container that is removed at the end.
struct Real {
    id: String,
    folder: TempDir,
}

impl Real {
    /// `command` is how it is made: `run --detach`, `create`.
    fn new(command: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mount = format!("{}:/workspace", folder.path().display());
        let labels = ["--label=nanoclaw-install=0a1b2c3d", "--label=nanoclaw-role=agent"];
        // It listens to no signal but SIGKILL, and its removal need not wait for the others.
        let rest = ["--network=none", "--stop-timeout=0", "--volume", &mount, IMAGE, "sleep", "600"];
        let arguments = [command, &labels, &rest].concat();
        Self { id: ask(&arguments), folder }
    }

    fn listed(&self) -> Option<Container> {
        runtimes().list().unwrap().into_iter().find(|container| container.id == self.id)
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = Command::new(engine()).args(["rm", "--force", &self.id]).output();
    }
}

fn runtimes() -> Runtimes {
    let choice = named(&engine());
    let mut runtimes = Runtimes::find(&choice, &std::env::var_os("PATH").unwrap());
    // For machines that do many things at once.
    runtimes.engines[0].limits.listing = Duration::from_secs(60);
    runtimes.engines[0].limits.vanishing = Duration::from_secs(60);
    runtimes
}

/// For a container that is not expected to go.
fn stop_at_once(container: &Container) -> Stopped {
    let mut runtimes = runtimes();
    runtimes.engines[0].limits.vanishing = Duration::ZERO;
    runtimes.stop(container)
}

#[test]
#[ignore = "needs a container engine: tests/containers/run"]
fn a_real_container_is_listed_and_stopped() {
    let real = Real::new(&["run", "--detach", "--rm"]);
    let container = real.listed().unwrap();
    assert_eq!(container.state, State::Alive("running".to_owned()));
    assert_eq!(container.install.as_deref(), Some("0a1b2c3d"));
    assert_eq!(container.role.as_deref(), Some("agent"));
    assert_eq!((&container.group, &container.session), (&None, &None));
    assert_eq!(container.workspace, Some(real.folder.path().canonicalize().unwrap()));
    assert!(container.started.is_some());
    assert_eq!(runtimes().stop(&container), Stopped::Gone);
    // What was started with --rm goes when its engine comes to it.
    assert!(real.listed().is_none_or(|container| !container.state.is_alive()));
    // Once more is no failure.
    assert_eq!(runtimes().stop(&container), Stopped::Gone);
}

#[test]
#[ignore = "needs a container engine: tests/containers/run"]
fn a_real_container_that_stays_after_its_end_has_ended() {
    let real = Real::new(&["run", "--detach"]);
    assert_eq!(runtimes().stop(&real.listed().unwrap()), Stopped::Gone);
    assert!(matches!(real.listed().unwrap().state, State::Ended(_)));
}

#[test]
#[ignore = "needs a container engine: tests/containers/run"]
fn a_real_container_that_was_never_started_is_as_old_as_it_is_and_stays() {
    let real = Real::new(&["create"]);
    let container = real.listed().unwrap();
    assert_eq!(container.state, State::Alive("created".to_owned()));
    assert!(container.started.is_some());
    assert_eq!(stop_at_once(&container), Stopped::Refused("it is still created".to_owned()));
}

#[test]
#[ignore = "needs a container engine: tests/containers/run"]
fn a_real_paused_container_lives_and_may_refuse() {
    let real = Real::new(&["run", "--detach", "--rm"]);
    ask(&["pause", &real.id]);
    let container = real.listed().unwrap();
    assert_eq!(container.state, State::Alive("paused".to_owned()));
    // podman 4.3 refuses, docker does not.
    let outcome = stop_at_once(&container);
    let is_told = match &outcome {
        Stopped::Gone => real.listed().is_none_or(|container| !container.state.is_alive()),
        Stopped::Refused(why) => !why.is_empty() && real.listed().is_some(),
        Stopped::Unknown(_) => false,
    };
    assert!(is_told, "{outcome:?}");
    let _ = Command::new(engine()).args(["unpause", &real.id]).output();
}

//! A small world that owns everything a test needs: a home, stores, a map, and the children it started.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

/// The instant of every run that does not name another: 2026-11-20T12:00:00Z.
pub(crate) const NOW: u64 = 1_795_176_000;

/// Ids that look like the CLIs' own.
pub(crate) const CLAUDE_ID: &str = "0856b851-1111-4222-8333-0123456789ab";
/// A UUIDv7 made on 2026-11-20.
pub(crate) const CODEX_ID: &str = "01a1f848-9752-7c50-b5ba-bc312216b249";
pub(crate) const GEMINI_ID: &str = "fa141908-b259-41f1-8a87-bba0410f1c12";

/// A temporary home with a bridge's folder in it. Children started through it end with it.
pub(crate) struct World {
    root: TempDir,
    children: Vec<Child>,
    variables: Vec<(String, String)>,
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    command: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("session-sweep-test-").tempdir().unwrap();
        for folder in ["home", "bridge"] {
            fs_err::create_dir(root.path().join(folder)).unwrap();
        }
        Self { root, children: Vec::new(), variables: Vec::new() }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// The bridge's folder.
    pub(crate) fn bridge(&self) -> PathBuf {
        self.root.path().join("bridge")
    }

    pub(crate) fn map_path(&self) -> PathBuf {
        self.bridge().join("session_map.json")
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// What stands in the place of `/` where the machine's `etc`, `proc` and `var` are looked at for schedules.
    pub(crate) fn machine(&self) -> PathBuf {
        self.root.path().join("machine")
    }

    /// Writes a file of that machine.
    pub(crate) fn machine_file(&self, path: &str, text: &str) -> PathBuf {
        let path = self.machine().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        path
    }

    /// Sets a variable for every run from here on.
    pub(crate) fn variable(&mut self, name: &str, value: impl AsRef<Path>) -> &mut Self {
        self.variables.push((name.to_owned(), value.as_ref().to_str().unwrap().to_owned()));
        self
    }

    /// Writes the map.
    pub(crate) fn map(&self, text: &str) -> &Self {
        fs_err::write(self.map_path(), text).unwrap();
        self
    }

    /// The map's bytes.
    pub(crate) fn map_text(&self) -> String {
        fs_err::read_to_string(self.map_path()).unwrap()
    }

    pub(crate) fn map_json(&self) -> Value {
        serde_json::from_str(&self.map_text()).unwrap()
    }

    /// The tombstones, one per line.
    pub(crate) fn tombstones(&self) -> Vec<Value> {
        let text = fs_err::read_to_string(self.bridge().join("session_map.tombstones.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The same without the note that what they tell of was put back.
    pub(crate) fn tombstones_as_written(&self) -> Vec<Value> {
        let mut tombstones = self.tombstones();
        for grave in &mut tombstones {
            grave.as_object_mut().unwrap().remove("restored_at");
        }
        tombstones
    }

    /// Writes a file below the home, last changed `minutes` before [`NOW`].
    pub(crate) fn file(&self, path: &str, text: impl AsRef<[u8]>, minutes: i64) -> PathBuf {
        let path = self.home().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        touch(&path, minutes);
        path
    }

    /// A Claude transcript in the project `-work`.
    pub(crate) fn claude(&self, id: &str, minutes: i64) -> PathBuf {
        let line = format!(
            "{{\"type\":\"user\",\"cwd\":\"/work\",\"sessionId\":\"{id}\",\"timestamp\":\"{}\"}}\n",
            ago(minutes)
        );
        self.file(&format!(".claude/projects/-work/{id}.jsonl"), line, minutes)
    }

    /// A Codex rollout in the folder of 2026-11-20.
    pub(crate) fn codex(&self, id: &str, minutes: i64) -> PathBuf {
        let line = format!(
            "{{\"timestamp\":\"{}\",\"type\":\"session_meta\",\"payload\":{{\"id\":\"{id}\",\"cwd\":\"/work\"}}}}\n",
            ago(minutes)
        );
        self.file(&format!(".codex/sessions/2026/11/20/rollout-2026-11-20T09-27-49-{id}.jsonl"), line, minutes)
    }

    /// A Gemini chat in the project `work`.
    pub(crate) fn gemini(&self, id: &str, minutes: i64) -> PathBuf {
        self.file(".gemini/tmp/work/.project_root", "/work", minutes);
        let text = format!(
            "{{\"sessionId\":\"{id}\",\"kind\":\"main\"}}\n{{\"type\":\"user\",\"timestamp\":\"{}\"}}\n",
            ago(minutes)
        );
        self.file(&format!(".gemini/tmp/work/chats/session-2026-11-20T09-28-{}.jsonl", &id[..8]), text, minutes)
    }

    /// The binary with a clean environment, this world's home and map, and [`NOW`].
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command_at_present(arguments);
        command.args(["--at", "2026-11-20T12:00:00Z"]);
        command
    }

    /// The same, with the machine's own clock.
    pub(crate) fn command_at_present(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_session-sweep"));
        command.env_clear().env("HOME", self.home()).env("CLAUDE_SESSION_DIR", self.bridge()).args(arguments);
        // The machine's own cron is none of a test's.
        command.env("SWEEP_TEST_MACHINE", self.machine());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.root.path());
        command
    }

    /// Runs the binary.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// Runs it with `--json` and reads the document.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }

    /// Starts a child that ends with this world; yields its pid.
    pub(crate) fn child(&mut self, command: &mut Command) -> u32 {
        let child = command.spawn().unwrap();
        let pid = child.id();
        self.children.push(child);
        pid
    }

    /// Ends and reaps a child that this world started.
    pub(crate) fn end_child(&mut self, pid: u32) {
        let index = self.children.iter().position(|child| child.id() == pid).unwrap();
        let mut child = self.children.remove(index);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Ran {
    /// Runs a command; one that takes a minute hangs, and fails the test.
    #[track_caller]
    pub(crate) fn of(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || send.send(child.wait_with_output()));
        let Ok(output) = receive.recv_timeout(Duration::from_secs(60)) else {
            // Nobody has waited for it, so the number is still this child's.
            let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            panic!("still running after a minute: {command:?}");
        };
        let Output { status, stdout, stderr } = output.unwrap();
        Self {
            status: status.code().unwrap_or(-1),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
            command: format!("{command:?}"),
        }
    }

    /// A run that somebody else waited for.
    pub(crate) fn read(status: i32, stdout: String, stderr: String, command: String) -> Self {
        Self { status, stdout, stderr, command }
    }

    /// Fails the test unless the run ended with `status`.
    #[track_caller]
    pub(crate) fn ends_with(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{}\n--- stdout\n{}\n--- stderr\n{}", self.command, self.stdout, self.stderr);
        self
    }
}

/// Sets a file's time of last change to `minutes` before [`NOW`].
pub(crate) fn touch(path: &Path, minutes: i64) {
    let time = filetime::FileTime::from_unix_time(NOW as i64 - minutes * 60, 0);
    filetime::set_file_mtime(path, time).unwrap();
}

/// `minutes` before [`NOW`] as RFC 3339.
pub(crate) fn ago(minutes: i64) -> String {
    let time = chrono::DateTime::from_timestamp(NOW as i64 - minutes * 60, 0).unwrap();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Waits until `condition` holds; fails after ten seconds.
#[track_caller]
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = SystemTime::now() + Duration::from_secs(10);
    while !condition() {
        assert!(SystemTime::now() < deadline, "waited for ten seconds");
        std::thread::yield_now();
    }
}

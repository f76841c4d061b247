//! A home with what CLIs leave on a disk, at the machine's own time: nothing is removed in a rehearsal.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::killing::Scene;
use crate::world::{Ran, World};

/// The id of session `number`.
pub(crate) fn id(number: usize) -> String {
    format!("0856b851-1111-4222-8333-{number:012}")
}

/// A world whose files have ages in days.
pub(crate) struct Disk {
    pub(crate) world: World,
    started: SystemTime,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let disk = Self { world: World::new(), started: SystemTime::now() };
        // Processes of this machine are none of a test's.
        disk.proc("stat", "btime 1700000000\n");
        disk.proc("self/ns/none", "");
        disk.configure("");
        disk
    }

    /// Writes the configuration.
    pub(crate) fn configure(&self, text: &str) {
        let root = self.world.root().join("machine");
        let text = format!("[processes]\nroot = \"{}\"\n{text}", root.display());
        let path = self.world.home().join(".config/session-sweep/config.toml");
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    /// Writes a file of the machine's `/proc`.
    pub(crate) fn proc(&self, path: &str, text: &str) {
        self.world.machine_file(&format!("proc/{path}"), text);
    }

    /// Lets the machine's own processes be seen.
    pub(crate) fn see_processes(&self) {
        let path = self.world.home().join(".config/session-sweep/config.toml");
        let text = fs_err::read_to_string(&path).unwrap();
        let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("root = ")).collect();
        fs_err::write(path, text.join("\n")).unwrap();
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.world.home()
    }

    /// Writes a file below the home that was last changed so many days ago.
    pub(crate) fn file(&self, path: &str, text: impl AsRef<[u8]>, days: i64) -> PathBuf {
        let path = self.home().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        self.touch(&path, days);
        path
    }

    pub(crate) fn touch(&self, path: &Path, days: i64) {
        filetime::set_file_mtime(path, filetime::FileTime::from_system_time(self.ago(days))).unwrap();
    }

    pub(crate) fn ago(&self, days: i64) -> SystemTime {
        let span = Duration::from_secs(days.unsigned_abs() * 86_400);
        if days < 0 { self.started + span } else { self.started - span }
    }

    /// The same as RFC 3339.
    pub(crate) fn time(&self, days: i64) -> String {
        chrono::DateTime::<chrono::Utc>::from(self.ago(days)).to_rfc3339()
    }

    /// A line of a transcript.
    pub(crate) fn line(&self, number: usize, days: i64) -> String {
        format!("{{\"cwd\":\"/work\",\"sessionId\":\"{}\",\"timestamp\":\"{}\"}}\n", id(number), self.time(days))
    }

    /// A transcript of Claude Code in the project `-work`, last used so many days ago.
    pub(crate) fn claude(&self, number: usize, days: i64) -> PathBuf {
        self.file(&format!(".claude/projects/-work/{}.jsonl", id(number)), self.line(number, days), days)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.world.command_at_present(arguments)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }

    /// Names of what goes, and of what is past its limit and stays with the reason, as a dry run says.
    pub(crate) fn planned(&self, arguments: &[&str]) -> (Vec<String>, Vec<(String, String)>) {
        let document = self.json(&[&["artifacts", "prune", "--dry-run"], arguments].concat());
        let name = |item: &Value| item["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let items = document["items"].as_array().unwrap();
        let goes = items.iter().filter(|item| item["action"] != "keep").map(name).collect();
        let kept = items.iter().filter(|item| item["action"] == "keep");
        (goes, kept.map(|item| (name(item), item["reason"].as_str().unwrap().to_owned())).collect())
    }

    pub(crate) fn archive(&self) -> PathBuf {
        self.home().join(".local/state/session-sweep/archive")
    }
}

impl Scene for Disk {
    const LOCK: &str = "artifacts.lock";

    fn root(&self) -> &Path {
        self.world.root()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.command(arguments)
    }
}

/// Every file below a folder with its content and its time, by its path.
pub(crate) fn contents(folder: &Path) -> std::collections::BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let files =
        walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let content = |entry: walkdir::DirEntry| {
        let modified = entry.metadata().unwrap().modified().unwrap();
        (entry.path().to_owned(), (fs_err::read(entry.path()).unwrap(), modified))
    };
    files.map(content).collect()
}

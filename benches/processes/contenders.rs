//! Who runs: the tool, the floor and `ps`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::common::options::Options;
use crate::common::program::{hidden, on_path, own, set_environment};
use crate::stand_in::OVER;

/// The names of the contenders, as the tables show them.
pub(crate) mod name {
    /// The tool.
    pub(crate) const SCAN: &str = "processes scan";
    /// The tool where there are no processes: what it costs to start, and to read settings and records.
    pub(crate) const EMPTY: &str = "processes scan, no processes";
    /// Every process's line, unread.
    pub(crate) const FLOOR: &str = "floor";
    /// `ps` with the columns that a person would ask for.
    pub(crate) const PS: &str = "ps -eo";
}

/// One who runs.
pub(crate) struct Contender {
    /// The name in the table.
    pub(crate) name: &'static str,
    /// Whether it says who was left behind.
    pub(crate) answers: bool,
    /// How it ends.
    pub(crate) code: i32,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, PathBuf)>,
}

impl Contender {
    /// The command to run.
    pub(crate) fn command(&self, place: &Place) -> Command {
        let mut command = Command::new(&self.arguments[0]);
        command.args(&self.arguments[1..]);
        set_environment(&mut command, &place.home(), &place.0);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Everybody.
pub(crate) fn all(place: &Place, options: &Options) -> Vec<Contender> {
    let scan = [options.binary.clone().into_os_string()].into_iter();
    // As of a time when the youngest process is no longer too young.
    let at = (chrono::Utc::now() + chrono::TimeDelta::hours(1)).to_rfc3339();
    let words = ["processes", "scan", "--json", "--at", &at].map(OsString::from);
    let scan: Vec<OsString> = scan.chain(words).collect();
    // Whoever adopts here is no init, so that this works in a container as well.
    let settings = || vec![("SESSION_SWEEP_PROCESSES_SUBREAPERS", hidden("leader").get_program().into())];
    let silent = |name, arguments| Contender { name, answers: false, code: 0, arguments, variables: Vec::new() };
    let nowhere = settings().into_iter().chain([("SESSION_SWEEP_PROCESSES_ROOT", place.empty_root())]).collect();
    let mut contenders = vec![
        Contender { name: name::SCAN, answers: true, code: 1, arguments: scan.clone(), variables: settings() },
        Contender { name: name::EMPTY, answers: false, code: 0, arguments: scan, variables: nowhere },
        silent(name::FLOOR, own("floor", [])),
    ];
    if let Some(ps) = on_path(&["ps"]) {
        contenders.push(silent(
            name::PS,
            [ps].into_iter().chain(["-eo", "pid,ppid,lstart,args"].map(OsString::from)).collect(),
        ));
    }
    contenders
}

/// The home of everybody.
pub(crate) fn home(scratch: &Path) -> PathBuf {
    scratch.join("home")
}

/// The folder that everything is in.
pub(crate) struct Place(PathBuf);

impl Place {
    /// A home with the record of a session that is over, and a machine without processes.
    pub(crate) fn prepare(scratch: &Path) -> Self {
        let place = Self(scratch.to_owned());
        let record = place.home().join(".claude/sessions").join(OVER);
        fs::create_dir_all(&record).unwrap();
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let metadata = json!({
            "session_id": OVER, "pid": 4711, "proc_start": 1, "boot_id": "0b5e55ed-0000-4000-8000-000000000001",
            "hostname": host.trim(), "start_time": "2026-01-01T00:00:00Z", "last_heartbeat": "2026-01-01T01:00:00Z",
        });
        fs::write(record.join("metadata.json"), metadata.to_string()).unwrap();
        fs::create_dir_all(place.empty_root().join("proc")).unwrap();
        place
    }

    /// Where contenders say what they found.
    pub(crate) fn answer(&self) -> PathBuf {
        self.0.join("answer")
    }

    fn home(&self) -> PathBuf {
        home(&self.0)
    }

    fn empty_root(&self) -> PathBuf {
        self.0.join("no-processes")
    }
}

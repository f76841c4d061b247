//! A machine with schedules: stand-ins of `systemctl` and `crontab` that say what the real ones said (recorded, see
//! tests/fixtures/schedule/README.md).

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine::set_mode;
use crate::world::{Ran, World};

/// Shortly after the recordings were made.
pub(crate) const AT: &str = "2026-11-20T16:50:00Z";

/// Where the recordings say that the program is.
const RECORDED_PROGRAM: &str = "/usr/local/bin/session-sweep";

/// The name of the user who runs the tests.
pub(crate) fn me() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What was recorded.
pub(crate) fn recorded(path: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schedule");
    fs_err::read_to_string(folder.join(path)).unwrap()
}

impl World {
    fn tools(&self) -> PathBuf {
        self.root().join("tools")
    }

    /// Puts a program in front.
    fn install(&mut self, program: &str) {
        let tools = self.tools();
        fs_err::create_dir_all(&tools).unwrap();
        // By another process: a program that this one writes stays busy as long as a child of another test has it open.
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schedule/stand-in");
        assert!(Command::new("cp").arg(stand_in).arg(tools.join(program)).status().unwrap().success());
        self.variable("PATH", tools).variable("TZ", "UTC");
    }

    /// What a stand-in says: `system/list`, `system/error` …
    pub(crate) fn says(&self, place: &str, text: &str) {
        let path = self.tools().join(format!("{place}.txt"));
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    /// A systemd with the timers of a recording; `whose` is `system` or `user`. They are of the user who runs the tests,
    /// and start `program`.
    pub(crate) fn systemd(&mut self, whose: &str, recording: &str, program: &Path) {
        self.install("systemctl");
        self.install("systemd-analyze");
        self.says("calendar/calendar", &recorded("calendar.txt"));
        if whose == "user" {
            fs_err::create_dir_all(self.root().join("run/systemd")).unwrap();
            let run = self.root().join("run");
            self.variable("XDG_RUNTIME_DIR", run);
        }
        for what in ["list", "timers", "services"] {
            let text = recorded(&format!("{recording}/{what}.txt"));
            let text = text.replace(RECORDED_PROGRAM, program.to_str().unwrap());
            self.says(&format!("{whose}/{what}"), &text.replace("User=anna", &format!("User={}", me())));
        }
    }

    /// A cron with this crontab of the user.
    pub(crate) fn crontab(&mut self, text: &str) {
        self.install("crontab");
        self.says("cron/crontab", text);
    }

    /// A machine that says this of the user's session.
    pub(crate) fn login(&mut self, text: &str) {
        self.install("loginctl");
        self.says("login/loginctl", text);
    }

    /// A machine that says this of its clock.
    pub(crate) fn clock(&mut self, text: &str) {
        self.install("timedatectl");
        self.says("clock/timedatectl", text);
    }

    /// The binary under test.
    pub(crate) fn program() -> PathBuf {
        env!("CARGO_BIN_EXE_session-sweep").into()
    }

    /// Runs the binary at the time of the recordings.
    pub(crate) fn run_then(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command_at_present(arguments).args(["--at", AT]))
    }

    /// The same, for a document.
    pub(crate) fn json_then(&self, arguments: &[&str]) -> serde_json::Value {
        let ran = self.run_then(&[arguments, &["--json"]].concat());
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }

    /// Writes the run log, one line per run.
    pub(crate) fn run_log(&self, lines: &[serde_json::Value]) {
        let text = lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n") + "\n";
        let folder = self.home().join(".local/state/session-sweep");
        fs_err::create_dir_all(&folder).unwrap();
        set_mode(&folder, 0o700);
        fs_err::write(folder.join("runs.jsonl"), text).unwrap();
    }
}

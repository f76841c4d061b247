//! A world with so many sessions: in a bridge's map with transcripts, in an agent host's queues and in the registry; and a daemon
//! in it that looks after every area.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use rustix::process::{Pid, Signal, kill_process};

use serde_json::{Value, json};

use crate::common::program::set_environment;
use crate::generate::Installation;

/// The areas, in the order in which those that are due at once have their ticks.
pub(crate) const AREAS: [&str; 5] = ["map", "registry", "processes", "queues", "artifacts"];

/// Where everything lies.
pub(crate) struct Place {
    installation: Installation,
    home: PathBuf,
    binary: PathBuf,
}

impl Place {
    /// Nothing of it needs work.
    pub(crate) fn prepare(sessions: u64, scratch: &Path, binary: &Path) -> Self {
        let installation = Installation::of_size(sessions, scratch);
        installation.arrange(false);
        let home = scratch.join(format!("home-{sessions}"));
        let _ = fs::remove_dir_all(&home);
        let transcripts = home.join(".claude/projects/-work");
        fs::create_dir_all(&transcripts).unwrap();
        fs::create_dir_all(home.join("bridge")).unwrap();
        let id = |number| format!("{number:08x}-1111-4222-8333-0123456789ab");
        let mappings: Vec<String> =
            (0..sessions).map(|number| format!("\"chat-{number}\": {:?}", id(number))).collect();
        fs::write(home.join("bridge/session_map.json"), format!("{{\"claude-cli\": {{{}}}}}", mappings.join(", ")))
            .unwrap();
        for number in 0..sessions {
            fs::write(transcripts.join(format!("{}.jsonl", id(number))), "{}\n").unwrap();
        }
        registry(&home.join("registry"), sessions);
        Self { installation, home, binary: binary.to_owned() }
    }

    /// The CLI's home.
    pub(crate) fn cli(&self) -> PathBuf {
        self.home.join(".claude")
    }

    fn metrics(&self) -> PathBuf {
        self.home.join("session-sweep.prom")
    }
}

/// A registry in which so many sessions were registered just now.
fn registry(base: &Path, sessions: u64) {
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let session = |number: u64| {
        let entry = json!({
            "session_id": format!("session-{number}"),
            "number": number,
            "role": "Builder",
            "goal": "Builds",
            "status": "active",
            "registered_at": now,
            "terminal": format!("s{number:03}"),
        });
        (number.to_string(), entry)
    };
    let all: serde_json::Map<String, Value> = (1..=sessions).map(session).collect();
    fs::create_dir_all(base).unwrap();
    fs::write(base.join("claude_sessions.json"), serde_json::to_string_pretty(&all).unwrap()).unwrap();
}

/// What is resident, in MB.
pub(crate) struct Resident {
    pub(crate) all: f64,
    /// The program itself, for the most part: shared with whoever runs it, too.
    pub(crate) file: f64,
    /// The most that ever was.
    pub(crate) most: f64,
}

/// How the last tick of a round is told.
const LAST: &str = "last: artifacts: nothing done";

/// A daemon that runs.
pub(crate) struct Watched {
    child: Child,
    manager: UnixDatagram,
}

impl Watched {
    /// Starts it and waits until every area had its first tick.
    pub(crate) fn start(place: &Place, others: &str, queues: &str) -> Self {
        let (config, socket) = (place.home.join("config.toml"), place.home.join("notify"));
        // Of processes, which are the machine's, nobody is ended.
        let areas = "[registry]\nenabled = true\n[processes]\nenabled = true\nmode = \"interactive\"\n\
            [artifacts]\nenabled = true\n[artifacts.claude.transcripts]\nretention = \"30d\"\n";
        let root = place.installation.root();
        let root = root.display();
        fs::write(&config, format!("{areas}[[queues]]\nroot = \"{root}\"\nruntime = \"podman\"\n")).unwrap();
        let _ = fs::remove_file(&socket);
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut command = Command::new(&place.binary);
        command.args(["--quiet", "--config"]).arg(config).args(["daemon", "--metrics-file"]).arg(place.metrics());
        set_environment(&mut command, &place.home, &place.home);
        command.env("PATH", place.installation.stand_in().parent().unwrap()).env("NOTIFY_SOCKET", socket);
        command.env("CLAUDE_SESSION_DIR", place.home.join("bridge"));
        command.env("SESSION_REGISTRY_DIR", place.home.join("registry"));
        for area in ["MAP", "PROCESSES", "ARTIFACTS"] {
            command.env(format!("SESSION_SWEEP_DAEMON_{area}"), others);
        }
        command.env("SESSION_SWEEP_DAEMON_QUEUES", queues);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let watched = Self { child, manager };
        watched.hear(LAST);
        watched
    }

    fn hear(&self, text: &str) {
        let mut bytes = [0; 4_096];
        loop {
            let count = self.manager.recv(&mut bytes).expect("the daemon tells of every tick");
            if String::from_utf8_lossy(&bytes[..count]).contains(text) {
                return;
            }
        }
    }

    /// Hears what it says for so long: nobody waits for a manager that does not listen.
    pub(crate) fn listen(&self, span: Duration) {
        let end = Instant::now() + span;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.manager.set_read_timeout(Some(left)).unwrap();
            let _ = self.manager.recv(&mut [0; 4_096]);
        }
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Has every area run so many times.
    pub(crate) fn rounds(&mut self, count: u64) {
        for _ in 0..count {
            self.send(Signal::USR1);
            self.hear(LAST);
        }
    }

    /// What of it is in memory.
    pub(crate) fn resident(&self) -> Resident {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
        };
        Resident { all: of("VmRSS"), file: of("RssFile"), most: of("VmHWM") }
    }

    /// User and system time, with what it started and waited for.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: u64 = fields[11..15].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Ends it; how many ticks of each area there were, none of which failed.
    pub(crate) fn end(mut self, place: &Place) -> [u64; 5] {
        self.send(Signal::TERM);
        assert!(self.child.wait().unwrap().success());
        let text = fs::read_to_string(place.metrics()).unwrap();
        let count = |area: &str, outcome: &str| -> u64 {
            let name = format!("session_sweep_ticks_total{{area=\"{area}\",outcome=\"{outcome}\",");
            let line = text.lines().find(|line| line.starts_with(&name)).unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        AREAS.map(|area| {
            assert_eq!(["failed", "put_off", "panicked"].map(|outcome| count(area, outcome)), [0; 3], "{area}");
            count(area, "done") + count(area, "partial")
        })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

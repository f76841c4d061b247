//! A stand-in for a container runtime, driven by files: what it lists, and what becomes of a stop.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::queues_world::iso;
use crate::tree::names_in;

/// It answers what is asked of podman and docker alike, and knows containers by their whole ids alone. What hangs ends with
/// its world.
const SCRIPT: &str = r#"#!/bin/sh
PATH=/usr/bin:/bin
engine="${0%/*}/../engine"
echo "$*" >>"$engine/log"
while [ -e "$engine/silent" ]; do sleep 0.1; done
if [ -e "$engine/broken" ]; then cat "$engine/broken" >&2; exit 125; fi
verb="$1"; shift
case "$verb" in
ps)
    for file in "$engine"/containers/*.json "$engine"/containers/*.ghost; do
        if [ -e "$file" ]; then name="${file##*/}"; echo "${name%.*}"; fi
    done
    for file in "$engine"/containers/*.soon; do
        if [ -e "$file" ]; then mv "$file" "${file%.soon}.json"; fi
    done;;
inspect)
    before='['; end=0
    if [ "$1" = --type ]; then shift 2; fi
    for id; do
        if [ -e "$engine/containers/$id.json" ]; then
            printf %s "$before"; cat "$engine/containers/$id.json"; before=,
        else
            rm -f "$engine/containers/$id.ghost"
            echo "Error: no such object: \"$id\"" >&2; end=125
        fi
    done
    if [ "$before" = '[' ]; then printf '['; fi
    echo ']'; exit $end;;
stop)
    for id; do :; done
    file="$engine/containers/$id.json"
    if [ ! -e "$file" ]; then echo "Error: no such container $id" >&2; exit 125; fi
    case "$(cat "$engine/containers/$id.stop" 2>/dev/null)" in
    refuse) echo "Error: the container does not want to" >&2; exit 1;;
    lie) echo "$id"; exit 0;;
    hang) while [ -e "$file" ]; do sleep 0.1; done; exit 0;;
    exit) cat "$engine/containers/$id.exited" >"$file"; echo "$id"; exit 0;;
    esac
    rm "$file"; echo "$id";;
esac
"#;

/// It notes with what it was run.
const WAKE: &str = r#"#!/bin/sh
PATH=/usr/bin:/bin
engine="${0%/*}/../engine"
echo "$*" >>"$engine/wakes"
while [ -e "$engine/wake-hangs" ]; do sleep 0.1; done
if [ -e "$engine/wake-fails" ]; then cat "$engine/wake-fails" >&2; exit 3; fi
"#;

/// A container runtime that a test controls, and a hook that wakes sessions.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    root: PathBuf,
}

impl Engine {
    /// Puts `podman` and `wake` into the world's `bin`.
    pub(crate) fn in_world(root: &Path) -> Self {
        let engine = Self { root: root.to_owned() };
        fs_err::create_dir_all(engine.path("containers")).unwrap();
        fs_err::create_dir_all(engine.bin()).unwrap();
        for (name, script) in [("podman", SCRIPT), ("wake", WAKE)] {
            engine.install(name, script);
        }
        engine
    }

    /// A script that can be run. By another process: a file that this one writes stays busy as long as a child of another
    /// test has it.
    pub(crate) fn install(&self, name: &str, script: &str) {
        let text = self.path(name);
        fs_err::write(&text, script).unwrap();
        let install = ["-m", "755", "--"];
        assert!(Command::new("install").args(install).arg(text).arg(self.bin().join(name)).status().unwrap().success());
    }

    /// The only folder of the `PATH`.
    pub(crate) fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join("engine").join(name)
    }

    fn container(&self, name: &str) -> PathBuf {
        self.path("containers").join(name)
    }

    fn put(&self, name: &str, text: &str) {
        fs_err::write(self.path(name), text).unwrap();
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs_err::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Starts what is described; yields its id.
    pub(crate) fn start(&self, container: &Container) -> String {
        let number = names_in(&self.path("containers")).len() as u64 + 1;
        // Looks like one, and differs from the first digit on.
        let id = format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(4);
        fs_err::write(self.container(&format!("{id}.json")), container.document(&id).to_string()).unwrap();
        id
    }

    /// Lists a container of which nothing more can be learnt: it went meanwhile.
    pub(crate) fn start_ghost(&self) {
        fs_err::write(self.container(&format!("{}.ghost", "0badcafe".repeat(8))), "").unwrap();
    }

    /// It is not there when the containers are listed next, but from then on.
    pub(crate) fn delay(&self, id: &str) {
        let [now, soon] = ["json", "soon"].map(|ending| self.container(&format!("{id}.{ending}")));
        fs_err::rename(now, soon).unwrap();
    }

    /// It ends by itself.
    pub(crate) fn end(&self, id: &str) {
        fs_err::remove_file(self.container(&format!("{id}.json"))).unwrap();
    }

    /// What becomes of an attempt to stop it: `refuse`, `lie`, `hang`, `exit` (it stays in the list), `stop`.
    pub(crate) fn on_stop(&self, id: &str, behaviour: &str) {
        let json = fs_err::read_to_string(self.container(&format!("{id}.json"))).unwrap();
        let mut exited: Value = serde_json::from_str(&json).unwrap();
        exited["State"]["Status"] = json!("exited");
        exited["State"]["Running"] = json!(false);
        fs_err::write(self.container(&format!("{id}.exited")), exited.to_string()).unwrap();
        fs_err::write(self.container(&format!("{id}.stop")), behaviour).unwrap();
    }

    /// From now on it does not answer at all.
    pub(crate) fn silence(&self) {
        self.put("silent", "");
    }

    /// From now on it fails with these words.
    pub(crate) fn break_with(&self, words: &str) {
        self.put("broken", words);
    }

    /// It answers again.
    pub(crate) fn mend(&self) {
        for name in ["silent", "broken"] {
            // One of them is not there.
            let _ = fs_err::remove_file(self.path(name));
        }
    }

    /// The ids of what is listed.
    pub(crate) fn listed(&self) -> Vec<String> {
        let names = names_in(&self.path("containers"));
        names.iter().filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect()
    }

    /// What it was asked, a line per call.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.lines("log")
    }

    /// What it was asked to stop, a line per call.
    pub(crate) fn stops(&self) -> Vec<String> {
        self.asked().into_iter().filter(|line| line.starts_with("stop")).collect()
    }

    /// The words with which the hook was run, a line per run.
    pub(crate) fn wakes(&self) -> Vec<String> {
        self.lines("wakes")
    }

    /// From now on the hook fails with these words.
    pub(crate) fn fail_wakes(&self, words: &str) {
        self.put("wake-fails", words);
    }

    /// From now on the hook does not end.
    pub(crate) fn hang_wakes(&self) {
        self.put("wake-hangs", "");
    }

    /// The hook works again.
    pub(crate) fn mend_wakes(&self) {
        for name in ["wake-hangs", "wake-fails"] {
            // One of them is not there.
            let _ = fs_err::remove_file(self.path(name));
        }
    }
}

/// What a container is started as.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) labels: Value,
    /// Source and destination of each mount.
    pub(crate) mounts: Vec<(PathBuf, &'static str)>,
    pub(crate) status: &'static str,
    /// The time at which it was started, as the runtime writes it.
    pub(crate) started: String,
}

impl Container {
    /// One that has nothing to do with anybody, started so many seconds ago.
    pub(crate) fn named(name: &str, seconds: i64) -> Self {
        Self { name: name.to_owned(), labels: json!({}), mounts: Vec::new(), status: "running", started: iso(seconds) }
    }

    pub(crate) fn label(mut self, name: &str, value: &str) -> Self {
        self.labels[name] = json!(value);
        self
    }

    pub(crate) fn mount(mut self, source: impl Into<PathBuf>, destination: &'static str) -> Self {
        self.mounts.push((source.into(), destination));
        self
    }

    fn document(&self, id: &str) -> Value {
        let mount = |(source, destination): &(PathBuf, &str)| {
            json!({
                "Type": "bind", "Source": source, "Destination": destination, "Mode": "", "RW": true, "Propagation": "rprivate",
            })
        };
        json!({
            "Id": id,
            "Created": self.started,
            "Name": format!("/{}", self.name),
            "State": {"Status": self.status, "Running": self.status == "running", "StartedAt": self.started},
            "Config": {"Labels": self.labels, "Image": "nanoclaw-agent:latest"},
            "Mounts": self.mounts.iter().map(mount).collect::<Vec<_>>(),
        })
    }
}

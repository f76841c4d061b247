//! The records of sessions in a world of processes.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::left_behind::{boot_id, start_ticks};
use crate::processes_world::{Processes, gone_pid, host, hours_ago, namespace};

impl Processes {
    /// Where the janitor's records are, and Claude Code's own.
    pub(crate) fn sessions(&self) -> PathBuf {
        self.world.home().join(".claude/sessions")
    }

    /// The record of a session whose process is gone since yesterday, but for what `other` says.
    pub(crate) fn record(&self, id: &str, other: &Value) -> PathBuf {
        let mut record = json!({
            "session_id": id,
            "pid": gone_pid(),
            "ppid": 1,
            "start_time": hours_ago(24),
            "hostname": host(),
            "working_dir": "/work",
            "last_heartbeat": hours_ago(23),
            "platform": "linux",
            "proc_start": 4711,
            "boot_id": boot_id(),
            "pid_namespace": namespace(),
            "provider": "claude",
        });
        let members = record.as_object_mut().unwrap();
        for (key, value) in other.as_object().unwrap() {
            members.insert(key.clone(), value.clone());
        }
        members.retain(|_, value| !value.is_null());
        let path = self.sessions().join(id).join("metadata.json");
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, record.to_string()).unwrap();
        path
    }

    /// The record of a session that a process has.
    pub(crate) fn record_of(&self, id: &str, pid: u32) -> PathBuf {
        self.record(id, &json!({"pid": pid, "proc_start": start_ticks(pid)}))
    }

    pub(crate) fn has_record(&self, id: &str) -> bool {
        self.sessions().join(id).exists()
    }

    /// The record as it is now.
    pub(crate) fn read_record(&self, id: &str) -> Value {
        let text = fs_err::read_to_string(self.sessions().join(id).join("metadata.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

//! Records in a folder of their own.

mod changing;
mod killed;
mod reading;
mod removing;

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};

use super::{HeldRecords, ProcessMark, Record, RecordId, Records, Registration, SessionProcess, Sign};
use crate::filesystem::LockPolicy;

const ID: &str = "0856b851-1111-4222-8333-0123456789ab";

/// Seconds after noon.
fn noon(seconds: i64) -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
}

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

/// A process of this boot.
fn process(pid: u32, start_ticks: u64) -> SessionProcess {
    let mark = ProcessMark { start_ticks, boot_id: "b007".to_owned(), pid_namespace: Some(4_026_531_836) };
    SessionProcess { pid, parent: Some(pid - 1), mark: Some(mark) }
}

struct World {
    folder: tempfile::TempDir,
    records: Records,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::at(folder.path().join("sessions"), None);
        Self { folder, records }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.records.folder().join(name)
    }

    fn metadata_path(&self, id: &str) -> PathBuf {
        self.path(id).join("metadata.json")
    }

    /// Writes a file below the sessions' folder.
    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        path
    }

    fn metadata(&self, id: &str, text: impl AsRef<[u8]>) -> PathBuf {
        self.file(&format!("{id}/metadata.json"), text)
    }

    fn text(&self, id: &str) -> String {
        fs_err::read_to_string(self.metadata_path(id)).unwrap()
    }

    fn hold(&self) -> HeldRecords<'_> {
        let policy = LockPolicy { wait: None, program: "test", now: noon(0), on_wait: |_| {}, in_an_item: false };
        self.records.lock(&self.folder.path().join("state/processes.lock"), policy).unwrap()
    }

    /// The only record, about which there is no problem.
    #[track_caller]
    fn only(&self) -> Record {
        let (mut records, problems) = self.records.read();
        assert_eq!((records.len(), problems), (1, Vec::new()));
        records.pop().unwrap()
    }
}

/// A registration of [`ID`] by a process.
fn registration<'r>(id: &'r RecordId, process: Option<&'r SessionProcess>, now: DateTime<Utc>) -> Registration<'r> {
    Registration {
        id,
        process,
        hostname: Some("host"),
        machine_id: None,
        working_dir: Some("/home/u/a \"project\""),
        provider: Some("claude"),
        transcript_path: None,
        now,
    }
}

fn sign<'s>(id: &'s RecordId, process: Option<&'s SessionProcess>, now: DateTime<Utc>) -> Sign<'s> {
    Sign { id, process, now }
}

/// The name of what a run left that was killed while it wrote a metadata.json.
fn left_by_a_dead_run() -> String {
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    format!(".metadata.json.session-sweep-{}.tmp", ended.id())
}

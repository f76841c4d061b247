//! The transcripts: how each CLI names them and how they begin.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::DateTime;
use rustix::fs::{Mode, OFlags, Timespec, Timestamps, ftruncate, futimens, open, openat};

use crate::common::random::Random;

const DAY: f64 = 86_400.0;
const HOUR: f64 = 3_600.0;
const LINE_BREAK: char = '\n';

/// What a session is to the map.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Unmapped,
    Active,
    Idle,
}

/// One session.
pub(crate) struct Session {
    /// The id that the map and the file hold.
    pub(crate) id: String,
    /// When it began, in Unix seconds.
    pub(crate) created: f64,
    /// When it was last written to, in Unix seconds.
    pub(crate) modified: f64,
    /// What it is to the map.
    pub(crate) role: Role,
}

/// One folder's sessions, to be written by one thread.
pub(crate) struct Folder {
    /// Relative to the home.
    pub(crate) path: PathBuf,
    /// Whose it is.
    pub(crate) kind: Kind,
    /// What lies in it.
    pub(crate) sessions: Vec<Session>,
    /// Decides sizes and side files.
    pub(crate) seed: u64,
}

/// Whose folder it is, and with it how its files are named and begin.
pub(crate) enum Kind {
    /// A project with so many sub-agent files.
    Claude {
        agents: usize,
    },
    Gemini,
    CodexDay,
    CodexFlat,
}

impl Folder {
    /// Writes the folder's files; `now` is when the tree is made.
    pub(crate) fn write(&self, home: &Path, now: f64) {
        let path = home.join(&self.path);
        let mut random = Random::new(self.seed);
        fs::create_dir_all(&path).unwrap();
        match self.kind {
            Kind::Claude { agents } => self.write_claude(&path, agents, now, &mut random),
            Kind::Gemini => self.write_gemini(&path, now, &mut random),
            Kind::CodexDay | Kind::CodexFlat => self.write_codex(&path, &mut random),
        }
    }

    fn write_claude(&self, path: &Path, agents: usize, now: f64, random: &mut Random) {
        let folder = open_folder(path);
        if random.chance(0.5) {
            put(&folder, "sessions-index.json", br#"{"version":1,"entries":[]}"#, 0, now);
        }
        let name = path.file_name().unwrap().display().to_string();
        for Session { id, modified, .. } in &self.sessions {
            let head = format!(
                r#"{{"parentUuid":null,"isSidechain":false,"userType":"external","cwd":"{}","sessionId":"{id}","type":"user"}}{LINE_BREAK}"#,
                name.replacen('-', "/", 4),
            );
            put(&folder, &format!("{id}.jsonl"), head.as_bytes(), body_size(random), *modified);
        }
        // Two thirds of the sub-agent files lie in their session's folder, as newer versions write them.
        let with_folder = random.choose(self.sessions.len(), self.sessions.len().min(agents / 3));
        for (session, _) in self.sessions.iter().zip(with_folder).filter(|(_, chosen)| *chosen) {
            let subagents = path.join(&session.id).join("subagents");
            fs::create_dir_all(&subagents).unwrap();
            let subagents = open_folder(&subagents);
            for _ in 0..=random.below(2) + random.below(2) {
                put_agent(&subagents, session.modified - random.unit() * HOUR, random);
            }
        }
        for _ in 0..agents / 3 {
            put_agent(&folder, now - 8.0 * HOUR - random.unit() * 89.0 * DAY, random);
        }
    }

    fn write_gemini(&self, path: &Path, now: f64, random: &mut Random) {
        let chats = path.join("chats");
        fs::create_dir_all(&chats).unwrap();
        put(&open_folder(path), "logs.json", b"[]", 0, now);
        let (folder, hash) = (open_folder(&chats), random.hex(64));
        for Session { id, created, modified, .. } in &self.sessions {
            let (start, message) = (time(*created, "%Y-%m-%dT%H:%M:%S.000Z"), random.uuid_v4());
            // Whole JSON, so that a contender that reads all of a chat can; small, so that a large tree fits the disk.
            let text = format!(
                "{{\n  \"sessionId\": \"{id}\",\n  \"projectHash\": \"{hash}\",\n  \"startTime\": \"{start}\",\n  \
                 \"lastUpdated\": \"{start}\",\n  \"messages\": [\n    {{\n      \"id\": \"{message}\",\n      \
                 \"timestamp\": \"{start}\",\n      \"type\": \"user\",\n      \"content\": \"{}\"\n    }}\n  ]\n}}",
                "lorem ipsum dolor sit amet ".repeat(20 + random.below(40)),
            );
            let name = format!("session-{}-{}.json", time(*created, "%Y-%m-%dT%H-%M"), &id[..8]);
            put(&folder, &name, text.as_bytes(), 0, *modified);
        }
    }

    fn write_codex(&self, path: &Path, random: &mut Random) {
        let folder = open_folder(path);
        for Session { id, created, modified, .. } in &self.sessions {
            let start = time(*created, "%Y-%m-%dT%H-%M-%S");
            let name = match self.kind {
                Kind::CodexFlat => format!("{id}.jsonl"),
                _ => format!("rollout-{start}-{id}.jsonl"),
            };
            let head = format!(
                r#"{{"timestamp":"{}","type":"session_meta","payload":{{"id":"{id}","cwd":"{}"}}}}{LINE_BREAK}"#,
                time(*created, "%Y-%m-%dT%H:%M:%S.000Z"),
                working_folder(0),
            );
            put(&folder, &name, head.as_bytes(), body_size(random), *modified);
        }
    }
}

/// The folder that a project's sessions were started in.
pub(crate) fn working_folder(project: usize) -> String {
    format!("/srv/project-{project:04}")
}

/// A Unix time as text.
pub(crate) fn time(seconds: f64, format: &str) -> String {
    DateTime::from_timestamp(seconds as i64, 0).unwrap().format(format).to_string()
}

/// Log-normal, median 12 KB. Only the size: the files are sparse.
fn body_size(random: &mut Random) -> u64 {
    random.normal(9.4, 1.1).exp().clamp(1_000.0, 200_000.0) as u64
}

fn open_folder(path: &Path) -> OwnedFd {
    open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn put_agent(folder: &OwnedFd, modified: f64, random: &mut Random) {
    let name = format!("agent-{}.jsonl", random.hex(16));
    put(folder, &name, b"{\"isSidechain\":true}\n", body_size(random), modified);
}

/// A file that begins with `head`, is `size` long if that is longer, and has this time.
fn put(folder: &OwnedFd, name: &str, head: &[u8], size: u64, modified: f64) {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::from_raw_mode(0o600)).unwrap();
    assert_eq!(rustix::io::write(&file, head).unwrap(), head.len(), "{name}: short write");
    if size > head.len() as u64 {
        ftruncate(&file, size).unwrap();
    }
    let modified = Duration::from_secs_f64(modified);
    let modified = Timespec { tv_sec: modified.as_secs() as i64, tv_nsec: modified.subsec_nanos().into() };
    futimens(&file, &Timestamps { last_access: modified, last_modification: modified }).unwrap();
}

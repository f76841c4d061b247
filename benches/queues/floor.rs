//! The floor: the least work that answers the question, on one thread.
//!
//! It is told which sessions there are and which of them need work. It takes the time of each heartbeat, and of those that
//! need work it opens both databases read-only and asks what decides: how many messages are due, and which are claimed.
//! No central database, no memory, no checks, no columns that may be missing, no plan: what the tool costs above it is the
//! price of its promises, and of finding out which sessions they are.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx};

/// `floor SESSIONS FOLDERS KNOWN [RUNTIME]`: prints how many heartbeats are older than half an hour, and of each known
/// session that has any the messages that are due and claimed. SESSIONS is the folder that the names in the files FOLDERS and
/// KNOWN are in. RUNTIME is asked first.
pub(crate) fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let arguments: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    let [sessions, folders, known, runtime @ ..] = &arguments[..] else { panic!("floor SESSIONS FOLDERS KNOWN") };
    if let [runtime] = runtime {
        let mut ask = Command::new(runtime);
        let said = ask.args(["ps", "--all", "--quiet", "--no-trunc"]).stdin(Stdio::null()).output().unwrap();
        assert!(said.status.success() && said.stdout.is_empty());
    }
    let mut answer = format!("heartbeats {}\n", old_heartbeats(sessions, &fs::read_to_string(folders).unwrap()));
    for name in fs::read_to_string(known).unwrap().lines() {
        let folder = sessions.join(name);
        let (due, claims) = (due(&folder.join("inbound.db")), claims(&folder.join("outbound.db")));
        if due > 0 || !claims.is_empty() {
            writeln!(answer, "{name} {due} {}", claims.len()).unwrap();
        }
    }
    print!("{answer}");
    ExitCode::SUCCESS
}

fn old_heartbeats(sessions: &Path, names: &str) -> usize {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let sessions = openat(CWD, sessions, flags, Mode::empty()).unwrap();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
    let mut path = Vec::with_capacity(256);
    let is_old = |name: &&str| {
        path.clear();
        path.extend_from_slice(name.as_bytes());
        path.extend_from_slice(b"/.heartbeat\0");
        let path = std::ffi::CStr::from_bytes_with_nul(&path).unwrap();
        let stat = statx(&sessions, path, AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC, StatxFlags::MTIME);
        now - stat.unwrap().stx_mtime.tv_sec > 1_800
    };
    names.lines().filter(is_old).count()
}

fn open(path: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).unwrap()
}

fn due(path: &Path) -> i64 {
    let sql = "SELECT count(*) FROM messages_in WHERE status = 'pending' AND \"trigger\" = 1
               AND (process_after IS NULL OR datetime(process_after) <= datetime('now'))";
    open(path).query_row(sql, [], |row| row.get(0)).unwrap()
}

fn claims(path: &Path) -> Vec<(String, String)> {
    let outbound = open(path);
    let sql = "SELECT message_id, status_changed FROM processing_ack WHERE status = 'processing'";
    let mut statement = outbound.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

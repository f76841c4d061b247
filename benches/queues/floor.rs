//! The floor: the least work that answers the question, on one thread.
//!
//! It is told which sessions there are and which of them need work. It takes the time of each heartbeat, and of those that
//! need work it opens both databases read-only and asks what decides: how many messages are due, and which are claimed.
//! No central database, no memory, no checks, no columns that may be missing, no plan: what the tool costs above it is the
//! price of its promises, and of finding out which sessions they are.
//!
//! The unaided floor is told neither: it asks the runtime, reads from the central database which sessions there are, and opens
//! those of which either database is another one than when it was remembered.

use std::fmt::Write as _;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use rusqlite::{Connection, OpenFlags};
use rustc_hash::FxHasher;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Statx, StatxFlags, openat, statx};

/// `floor SESSIONS FOLDERS KNOWN [RUNTIME]`: prints how many heartbeats are older than half an hour, and of each known
/// session that has any the messages that are due and claimed. SESSIONS is the folder that the names in the files FOLDERS and
/// KNOWN are in. RUNTIME is asked first.
pub(crate) fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let arguments: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    let [sessions, folders, known, runtime @ ..] = &arguments[..] else { panic!("floor SESSIONS FOLDERS KNOWN") };
    if let [runtime] = runtime {
        ask(runtime);
    }
    let count = old_heartbeats(sessions, &fs::read_to_string(folders).unwrap());
    tell(count, sessions, fs::read_to_string(known).unwrap().lines())
}

/// `unaided SESSIONS CENTRAL SEEN RUNTIME`: the same, of the sessions in the database CENTRAL that are not as [`remember`] saw
/// them when it wrote the file SEEN.
pub(crate) fn unaided(arguments: impl Iterator<Item = String>) -> ExitCode {
    let arguments: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    let [sessions, central, seen, runtime] = &arguments[..] else { panic!("unaided SESSIONS CENTRAL SEEN RUNTIME") };
    ask(runtime);
    let (names, before) = (names(central), fs::read(seen).unwrap());
    let now = stamps(sessions, &names);
    let is_changed = |(_, (now, before)): &(&String, (&u64, &[u8]))| now.to_le_bytes()[..] != **before;
    let changed = names.iter().zip(now.iter().zip(before.chunks(8))).filter(is_changed);
    tell(names.len(), sessions, changed.map(|(name, _)| &name[..]))
}

/// Writes the file `seen` for [`unaided`].
pub(crate) fn remember(sessions: &Path, central: &Path, seen: &Path) {
    let stamps = stamps(sessions, &names(central));
    fs::write(seen, stamps.iter().flat_map(|stamp| stamp.to_le_bytes()).collect::<Vec<_>>()).unwrap();
}

fn ask(runtime: &Path) {
    let mut ask = Command::new(runtime);
    let said = ask.args(["ps", "--all", "--quiet", "--no-trunc"]).stdin(Stdio::null()).output().unwrap();
    assert!(said.status.success() && said.stdout.is_empty());
}

fn tell<'n>(count: usize, sessions: &Path, names: impl Iterator<Item = &'n str>) -> ExitCode {
    let mut answer = format!("sessions {count}\n");
    for name in names {
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
    let sessions = open_folder(sessions);
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
    let mut path = Vec::with_capacity(256);
    let is_old = |name: &&str| now - look(&sessions, &mut path, name, b"/.heartbeat\0").stx_mtime.tv_sec > 1_800;
    names.lines().filter(is_old).count()
}

fn open_folder(path: &Path) -> OwnedFd {
    openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn look(sessions: &OwnedFd, path: &mut Vec<u8>, name: &str, file: &[u8]) -> Statx {
    path.clear();
    path.extend_from_slice(name.as_bytes());
    path.extend_from_slice(file);
    let path = std::ffi::CStr::from_bytes_with_nul(path).unwrap();
    statx(sessions, path, AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS).unwrap()
}

/// `<group>/<session>` of each, in the order of the table.
fn names(central: &Path) -> Vec<String> {
    let uri = format!("file:{}?mode=ro&immutable=1", central.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let central = Connection::open_with_flags(uri, flags).unwrap();
    let sql = "SELECT agent_group_id || '/' || id FROM sessions WHERE status = 'active' ORDER BY rowid";
    let mut statement = central.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// What tells whether either database of each was changed.
fn stamps(sessions: &Path, names: &[String]) -> Vec<u64> {
    let sessions = open_folder(sessions);
    let mut path = Vec::with_capacity(256);
    let stamp = |name: &String| {
        let mut hasher = FxHasher::default();
        for file in [b"/inbound.db\0".as_slice(), b"/outbound.db\0"] {
            let stat = look(&sessions, &mut path, name, file);
            let times = [stat.stx_mtime, stat.stx_ctime].map(|time| (time.tv_sec, time.tv_nsec));
            (times, stat.stx_ino, stat.stx_size).hash(&mut hasher);
        }
        hasher.finish()
    };
    names.iter().map(stamp).collect()
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

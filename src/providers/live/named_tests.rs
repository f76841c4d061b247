use super::super::builtin;
use super::super::row::{LiveRule, Provider};
use super::*;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;

use chrono::TimeDelta;
use rustix::fs::{CWD, FileType, Mode};

const ID: &str = "33333333-2222-4333-8444-555555555555";
const BOOT: &str = "0a0a0a0a-1111-4222-8333-444444444444";
const NAMESPACE: u64 = 4_026_531_836;

/// A home, and a /proc in which processes are made up. The machine started an hour ago.
struct World {
    folder: tempfile::TempDir,
    boot: DateTime<Utc>,
}

impl World {
    fn new() -> Self {
        let boot = DateTime::from_timestamp((Utc::now() - TimeDelta::hours(1)).timestamp(), 0).unwrap();
        let world = Self { folder: tempfile::tempdir().unwrap(), boot };
        world.add("proc/stat", &format!("cpu 1 2\nbtime {}\n", boot.timestamp()));
        world.add("proc/sys/kernel/random/boot_id", &format!("{BOOT}\n"));
        fs_err::create_dir_all(world.path("proc/self/ns")).unwrap();
        symlink(format!("pid:[{NAMESPACE}]"), world.path("proc/self/ns/pid")).unwrap();
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn add(&self, path: &str, content: &str) -> PathBuf {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, content).unwrap();
        path
    }

    /// A process that started this many clock ticks after the machine.
    fn process(&self, pid: u32, ticks: u64) {
        let stat = format!("{pid} (x) S 1 {pid} {pid} 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 {ticks} 9 9\n");
        self.add(&format!("proc/{pid}/stat"), &stat);
    }

    fn proc(&self) -> Proc {
        Proc::new(self.path("proc"))
    }

    fn gather(&self, provider: &str) -> NamedProcesses {
        let rows = builtin::rows();
        let provider = rows.iter().find(|row| row.name == provider).unwrap();
        NamedProcesses::gather(provider, self.folder.path(), &self.proc())
    }

    /// All that the files say, without their paths.
    fn named(&self, provider: &str) -> Vec<(u32, Option<String>, Standing, Role)> {
        let named = self.gather(provider);
        assert_eq!(named.errors, Vec::<String>::new());
        let brief = |process: NamedProcess| (process.pid, process.session, process.standing, process.role);
        let mut processes: Vec<_> = named.processes.into_iter().map(brief).collect();
        processes.sort_by_key(|(pid, ..)| *pid);
        processes
    }

    /// The standing of the only process that Claude Code's files name.
    fn standing(&self) -> Standing {
        let mut named = self.named("claude");
        assert_eq!(named.len(), 1, "{named:?}");
        named.remove(0).2
    }
}

fn age(path: &Path, time: DateTime<Utc>) {
    filetime::set_file_mtime(path, filetime::FileTime::from_unix_time(time.timestamp(), 0)).unwrap();
}

fn record(pid: u32, fields: &str) -> String {
    format!("{{\"pid\":{pid},\"sessionId\":\"{ID}\"{fields}}}")
}

fn is_unverifiable(standing: &Standing) -> bool {
    matches!(standing, Standing::Unverifiable(_))
}

fn fifo(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn a_record_names_its_process_alive_or_dead() {
    let world = World::new();
    let path = world.add("sessions/77.json", &record(77, ",\"procStart\":\"500\",\"updatedAt\":1795166815957"));
    assert_eq!(world.named("claude"), [(77, Some(ID.to_owned()), Standing::Gone, Role::Session)]);
    world.process(77, 500);
    assert_eq!(world.named("claude"), [(77, Some(ID.to_owned()), Standing::Live, Role::Session)]);
    let named = world.gather("claude").processes.remove(0);
    assert_eq!((named.path, named.last_activity.unwrap().timestamp_millis()), (path, 1_795_166_815_957));
    world.process(77, 501);
    assert_eq!(world.standing(), Standing::Gone, "the number is another process's by now");
}

#[test]
fn the_vendors_own_records_are_understood() {
    let world = World::new();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/claude-native/sessions");
    fs_err::create_dir(world.path("sessions")).unwrap();
    for name in ["12345.json", "50224.json", "777.json"] {
        fs_err::copy(samples.join(name), world.path("sessions").join(name)).unwrap();
    }
    world.process(12345, 174_097_251);
    let named = world.named("claude");
    let told: Vec<_> = named.iter().map(|(pid, session, standing, _)| (*pid, session.as_deref(), standing)).collect();
    assert_eq!(
        told,
        [
            (777, Some("c0ffee00-1111-4222-8333-444455556666"), &Standing::Gone),
            (12345, Some("5b0e7c1d-8c55-4a0c-8f6d-9f3c3a9f0c21"), &Standing::Live),
            (50224, Some("7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10"), &Standing::Gone),
        ]
    );
    // Those that tell no ticks were written before these processes started.
    world.process(777, 500);
    world.process(50224, 500);
    let standings: Vec<_> = world.named("claude").into_iter().map(|(_, _, standing, _)| standing).collect();
    assert_eq!(standings, [Standing::Gone, Standing::Live, Standing::Gone]);
}

#[test]
fn the_oldest_form_of_a_record_is_read() {
    let world = World::new();
    let old = format!("{{\"pid\":77,\"session_id\":\"{ID}\",\"cwd\":\"/work\"}}");
    world.add("sessions/pid-77.json", &old);
    world.process(77, 500);
    assert_eq!(world.named("claude"), [(77, Some(ID.to_owned()), Standing::Live, Role::Session)]);
    let without = format!("{{\"session_id\":\"{ID}\"}}");
    age(&world.add("sessions/pid-77.json", &without), world.boot);
    assert_eq!(world.standing(), Standing::Gone, "the process started after the file was written");
}

#[test]
fn a_session_that_is_no_id_is_not_told() {
    let world = World::new();
    world.add("sessions/77.json", "{\"pid\":77,\"sessionId\":\"../../etc\"}");
    assert_eq!(world.named("claude"), [(77, None, Standing::Gone, Role::Session)]);
}

#[test]
fn a_process_of_another_boot_is_gone() {
    let world = World::new();
    world.process(77, 500);
    for (start, expected) in [(format!("{BOOT}:500"), Standing::Live), ("another:500".to_owned(), Standing::Gone)] {
        world.add("sessions/77-0a1b2c3d.json", &record(77, &format!(",\"procStart\":\"{start}\"")));
        assert_eq!(world.named("qwen"), [(77, Some(ID.to_owned()), expected, Role::Session)], "{start}");
    }
}

#[test]
fn a_process_of_another_container_or_machine_cannot_be_told_unless_it_ended_with_the_last_boot() {
    let world = World::new();
    world.process(77, 500);
    let after = (world.boot + TimeDelta::minutes(5)).timestamp_millis();
    let before = (world.boot - TimeDelta::minutes(5)).timestamp_millis();
    for (namespace, started, is_gone) in [(7, after, false), (7, before, true), (NAMESPACE, before, false)] {
        let fields = format!(",\"pidNs\":{namespace},\"procStart\":\"500\",\"startedAt\":{started}");
        world.add("sessions/77.json", &record(77, &fields));
        let standing = world.standing();
        assert_eq!(standing == Standing::Gone, is_gone, "{fields}");
        assert_eq!(is_unverifiable(&standing), namespace == 7 && !is_gone, "{fields}");
    }
    if fs::read_to_string("/etc/machine-id").is_ok_and(|id| !id.trim().is_empty()) {
        let domain = format!(",\"pidDomain\":\"linux:0123456789abcdef0123456789abcdef:pid:[{NAMESPACE}]\"");
        let fields = format!("{domain},\"procStart\":\"500\",\"startedAt\":{before}");
        age(&world.add("sessions/77.json", &record(77, &fields)), world.boot - TimeDelta::days(3));
        assert!(is_unverifiable(&world.standing()), "our boot says nothing of it");
    }
}

#[test]
fn what_cannot_be_read_or_understood_is_told_and_nothing_waits() {
    let world = World::new();
    world.add("sessions/1.json", "{\"pid\":1,\"sessionI");
    world.add("sessions/2.json", "");
    world.add("sessions/3.json", &record(3, &format!(",\"x\":\"{}\"", "x".repeat(2 << 20))));
    fs_err::create_dir(world.path("sessions/4.json")).unwrap();
    fifo(&world.path("sessions/5.json"));
    symlink("6.json", world.path("sessions/6.json")).unwrap();
    // Somebody who never writes.
    fifo(&world.path("sessions/7.json"));
    let _writer = fs::OpenOptions::new().read(true).write(true).open(world.path("sessions/7.json")).unwrap();
    let gone: Vec<_> = (1..=7).map(|pid| (pid, None, Standing::Gone, Role::Session)).collect();
    assert_eq!(world.named("claude"), gone, "their processes are gone, so nothing is in doubt");
    for pid in 1..=7 {
        world.process(pid, 500);
    }
    let named = world.gather("claude");
    assert_eq!(named.errors.len(), 7, "{:?}", named.errors);
    assert!(named.processes.iter().all(|process| process.session.is_none() && is_unverifiable(&process.standing)));
    assert_eq!(named.processes.len(), 7);
}

#[test]
fn only_files_that_are_called_like_a_process_are_opened() {
    let world = World::new();
    fs_err::create_dir(world.path("sessions")).unwrap();
    let key = format!("77.{}.key", "0a".repeat(32));
    // To open one of these is an error that would be told.
    for name in
        ["notes.json", "2026-11-20-session.json", "77-notes.json", "77.json.bak", "pid-.json", "99999999999.json", &key]
    {
        symlink(name, world.path("sessions").join(name)).unwrap();
    }
    fs_err::create_dir(world.path("sessions/33333333-2222-4333-8444-555555555555")).unwrap();
    world.process(77, 500);
    world.add("sessions/77.json", &record(77, ",\"procStart\":\"500\""));
    assert_eq!(world.named("claude").len(), 1);
    let everything = LiveRule::Records(crate::policy::path_pattern::PathPattern::parse("sessions/*").unwrap());
    let provider = Provider { live: vec![everything], ..builtin::row("test") };
    let named = NamedProcesses::gather(&provider, world.folder.path(), &world.proc());
    assert_eq!((named.processes.len(), named.errors), (1, Vec::new()));
}

#[test]
fn a_folder_that_cannot_be_read_is_an_error_and_one_that_is_not_there_is_none() {
    let world = World::new();
    for provider in builtin::rows() {
        assert_eq!(world.named(&provider.name), []);
    }
    symlink("sessions", world.path("sessions")).unwrap();
    assert_eq!(world.gather("claude").errors.len(), 1);
}

#[test]
fn a_roster_names_the_daemon_and_its_workers() {
    let world = World::new();
    let worker =
        |pid, ticks| format!("{{\"pid\":{pid},\"procStart\":\"{ticks}\",\"sessionId\":\"{ID}\",\"cwd\":\"/w\"}}");
    let roster = |supervisor: &str| {
        let spare = "{\"pid\":73,\"procStart\":\"730\"}";
        let workers = format!("\"a\":{},\"b\":{},\"c\":{spare},\"d\":5", worker(71, 710), worker(72, 720));
        world.add("daemon/roster.json", &format!("{{\"proto\":1,{supervisor}\"workers\":{{{workers}}}}}"))
    };
    roster("\"supervisorPid\":70,");
    for (pid, ticks) in [(70, 700), (71, 710), (72, 99), (73, 730)] {
        world.process(pid, ticks);
    }
    let role = |daemon_alive| Role::Worker { daemon: 70, daemon_alive };
    let id = || Some(ID.to_owned());
    assert_eq!(
        world.named("claude"),
        [
            (70, None, Standing::Live, Role::Daemon),
            (71, id(), Standing::Live, role(true)),
            (72, id(), Standing::Gone, role(true)),
            (73, None, Standing::Live, role(true)),
        ]
    );
    fs_err::remove_dir_all(world.path("proc/70")).unwrap();
    let named = world.named("claude");
    assert_eq!((&named[0].2, named[1].3), (&Standing::Gone, role(false)));
    // A process that started after the roster was written is not the daemon.
    world.process(70, 30_000);
    age(&roster("\"supervisorPid\":70,"), world.boot + TimeDelta::seconds(20));
    assert_eq!(world.named("claude")[1].3, role(false));
    world.add("proc/70/stat", "torn");
    assert_eq!(world.named("claude")[1].3, role(true), "where it cannot be told, it counts as alive");
    roster("");
    let roles: Vec<_> = world.named("claude").into_iter().map(|(_, _, _, role)| role).collect();
    assert_eq!(roles, [Role::Session; 3]);
}

#[test]
fn the_workers_of_a_roster_have_their_sessions_open() {
    let world = World::new();
    let worker = format!("{{\"pid\":71,\"procStart\":\"710\",\"sessionId\":\"{ID}\"}}");
    world.add("daemon/roster.json", &format!("{{\"supervisorPid\":70,\"workers\":{{\"a\":{worker}}}}}"));
    let rows = builtin::rows();
    let live = |wanted: bool| LiveSessions::gather(&rows[0], world.folder.path(), &|_| wanted, &world.proc());
    assert_eq!(live(true).get(ID), None);
    world.process(71, 710);
    assert_eq!(live(true).get(ID), Some(&Liveness::Live { pid: 71, last_activity: None }));
    assert_eq!(live(false).get(ID), None);
}

#[test]
fn a_roster_that_is_none_is_an_error() {
    let world = World::new();
    for content in ["", "{\"supervisorPid\":70,\"work", "[]", "7"] {
        world.add("daemon/roster.json", content);
        let named = world.gather("claude");
        assert_eq!((named.processes, named.errors.len()), (Vec::new(), 1), "{content:?}");
    }
    for content in ["{}", "{\"supervisorPid\":-1,\"workers\":[]}", "{\"workers\":{\"a\":{}}}"] {
        world.add("daemon/roster.json", content);
        assert_eq!(world.named("claude"), [], "{content:?}");
    }
}

#[test]
fn a_daemon_is_known_by_boot_and_start() {
    let world = World::new();
    world.process(80, 800);
    let identity = |boot: &str, ticks: &str| {
        let identity = format!("{{\"bootId\":\"{boot}\",\"startTicks\":{ticks}}}");
        format!("{{\"pid\":80,\"processStartTime\":\"Fri Nov 20\",\"processIdentity\":{identity}}}")
    };
    for (content, expected) in [
        (identity(BOOT, "800"), Standing::Live),
        (identity(BOOT, "\"800\""), Standing::Live),
        (identity(BOOT, "801"), Standing::Gone),
        (identity("another", "800"), Standing::Gone),
        ("{\"pid\":81}".to_owned(), Standing::Gone),
        // Nothing but the file's own time to go by.
        ("{\"pid\":80,\"processStartTime\":\"Fri Nov 20\"}".to_owned(), Standing::Live),
    ] {
        world.add("app-server-daemon/daemon.pid", &content);
        let named = world.named("codex");
        assert_eq!(named.len(), 1);
        assert_eq!((&named[0].1, &named[0].2, named[0].3), (&None, &expected, Role::Daemon), "{content}");
    }
    age(&world.path("app-server-daemon/daemon.pid"), world.boot);
    assert_eq!(world.named("codex")[0].2, Standing::Gone);
    for content in ["80", "", "{\"pid\":", "{\"pid\":\"x\"}"] {
        world.add("app-server-daemon/daemon.pid", content);
        let named = world.gather("codex");
        assert_eq!((named.processes, named.errors.len()), (Vec::new(), 1), "{content:?}");
        let rows = builtin::rows();
        let codex = rows.iter().find(|row| row.name == "codex").unwrap();
        let live = LiveSessions::gather(codex, world.folder.path(), &|_| true, &world.proc());
        assert_eq!(live.errors, Vec::<String>::new(), "it would not name a session anyway");
    }
}

#[test]
fn who_holds_a_sessions_lock_is_named() {
    let world = World::new();
    // Without a lock file the list of locks, which is not there, is not asked for.
    assert_eq!(world.named("codex"), []);
    let path = world.add(&format!("thread-writer-locks/{ID}.lock"), "");
    world.add("thread-writer-locks/.coordination.lock", "");
    assert_eq!(world.gather("codex").errors.len(), 1);
    let metadata = fs::metadata(&path).unwrap();
    let device = metadata.dev();
    let (major, minor, inode) = (rustix::fs::major(device), rustix::fs::minor(device), metadata.ino());
    world.add("proc/locks", &format!("1: FLOCK  ADVISORY  WRITE 90 {major:02x}:{minor:02x}:{inode} 0 EOF\n"));
    assert_eq!(world.named("codex"), [(90, Some(ID.to_owned()), Standing::Live, Role::Session)]);
    world.add("proc/locks", "");
    assert_eq!(world.named("codex"), []);
    world.add("proc/locks", &format!("1: FLOCK  ADVISORY  WRITE 90 ff:ffff:{inode} 0 EOF\n"));
    let named = world.named("codex");
    assert!(named.len() == 1 && named[0].0 == 90 && is_unverifiable(&named[0].2), "its holder is gone: {named:?}");
}

#[test]
fn a_file_with_a_pid_names_it() {
    let world = World::new();
    let path = world.add(&format!("session-state/{ID}/inuse.95.lock"), "95\n");
    let named = |standing| [(95, Some(ID.to_owned()), standing, Role::Session)];
    assert_eq!(world.named("copilot"), named(Standing::Gone));
    world.process(95, 500);
    assert_eq!(world.named("copilot"), named(Standing::Live));
    age(&path, world.boot - TimeDelta::minutes(1));
    assert_eq!(world.named("copilot"), named(Standing::Gone));
    world.add(&format!("session-state/{ID}/inuse.x.lock"), "");
    assert_eq!(world.named("copilot").len(), 1, "a file that names no process");
}

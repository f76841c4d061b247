use super::super::builtin;
use super::super::row::LiveRule;
use super::*;
use crate::policy::path_pattern::PathPattern;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::fs::FlockOperation;

const ID: &str = "33333333-2222-4333-8444-555555555555";
const OTHER: &str = "11111111-2222-4333-8444-555555555555";

/// A home with live markers, a process that really runs, and the real /proc.
struct World {
    folder: tempfile::TempDir,
    child: Child,
}

impl Drop for World {
    fn drop(&mut self) {
        self.end();
    }
}

impl World {
    fn new() -> Self {
        let child = Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().unwrap();
        Self { folder: tempfile::tempdir().unwrap(), child }
    }

    fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn ticks(&self) -> u64 {
        Proc::default().start_ticks(self.pid()).unwrap().unwrap()
    }

    fn add(&self, path: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        io::Write::write_all(&mut File::create(&path).unwrap(), content.as_bytes()).unwrap();
        path
    }

    /// A record `sessions/<pid>.json` of the running process, with these further fields.
    fn record(&self, fields: &str) -> PathBuf {
        let pid = self.pid();
        self.add(&format!("sessions/{pid}.json"), &format!("{{\"pid\":{pid},\"sessionId\":\"{ID}\"{fields}}}"))
    }

    fn look(&self, rule: LiveRule) -> LiveSessions {
        self.look_in(rule, &Proc::default())
    }

    fn look_in(&self, rule: LiveRule, proc: &Proc) -> LiveSessions {
        let provider = Provider { live: vec![rule], ..builtin::row("test") };
        LiveSessions::gather(&provider, self.folder.path(), &|id| id == ID, proc)
    }
}

fn pattern(text: &str) -> PathPattern {
    PathPattern::parse(text).unwrap()
}

fn records() -> LiveRule {
    LiveRule::Records(pattern("sessions/*.json"))
}

fn locks() -> LiveRule {
    LiveRule::HeldLock(pattern("thread-writer-locks/{id}.lock"))
}

fn pid_files() -> LiveRule {
    LiveRule::PidFile(pattern("session-state/{id}/inuse.*.lock"))
}

fn is_live(live: &LiveSessions) -> bool {
    assert_eq!(live.errors, Vec::<String>::new());
    assert!(live.get(OTHER).is_none());
    matches!(live.get(ID), Some(Liveness::Live { .. }))
}

fn is_unverifiable(live: &LiveSessions) -> bool {
    matches!(live.get(ID), Some(Liveness::Unverifiable { .. }))
}

fn age(path: &Path, time: DateTime<Utc>) {
    filetime::set_file_mtime(path, filetime::FileTime::from_unix_time(time.timestamp(), 0)).unwrap();
}

fn boot() -> DateTime<Utc> {
    Proc::default().boot_time().unwrap()
}

#[test]
fn a_record_of_a_running_process_with_its_start_is_proof() {
    let mut world = World::new();
    let (ticks, boot) = (world.ticks(), Proc::default().boot_id().unwrap());
    for start in [format!("\"{ticks}\""), format!("{ticks}"), format!("\"{boot}:{ticks}\"")] {
        world.record(&format!(",\"procStart\":{start},\"updatedAt\":1795166815957"));
        let live = world.look(records());
        assert!(is_live(&live), "{start}");
        let Some(Liveness::Live { pid, last_activity }) = live.get(ID) else { panic!("{live:?}") };
        assert_eq!(*pid, world.pid());
        assert_eq!(last_activity.unwrap().timestamp_millis(), 1_795_166_815_957);
    }
    world.end();
    assert_eq!(world.look(records()).get(ID), None);
}

#[test]
fn a_recycled_pid_proves_nothing() {
    let world = World::new();
    let (ticks, boot) = (world.ticks(), Proc::default().boot_id().unwrap());
    for start in
        [format!("{}", ticks + 1), format!("{boot}:{}", ticks - 1), format!("{}:{ticks}", boot.to_uppercase() + "x")]
    {
        world.record(&format!(",\"procStart\":\"{start}\",\"startedAt\":4000000000000"));
        assert!(!is_live(&world.look(records())), "{start}");
    }
}

#[test]
fn without_a_start_the_process_must_be_older_than_its_record() {
    let world = World::new();
    let start = Proc::default().start_time(world.pid()).unwrap().unwrap();
    for (seconds, expected) in [(100, true), (0, true), (-10, false)] {
        let started_at = (start + chrono::TimeDelta::seconds(seconds)).timestamp_millis();
        world.record(&format!(",\"startedAt\":{started_at}"));
        assert_eq!(is_live(&world.look(records())), expected, "{seconds}");
        world.record(&format!(",\"startedAt\":{started_at},\"procStart\":\"Fri Nov 20 09:00:00 2026\""));
        assert_eq!(is_live(&world.look(records())), expected, "{seconds}");
        let path = world.record("");
        age(&path, start + chrono::TimeDelta::seconds(seconds));
        assert_eq!(is_live(&world.look(records())), expected, "{seconds}");
    }
}

#[test]
fn the_older_forms_of_a_record_are_read() {
    let world = World::new();
    let (pid, ticks) = (world.pid(), world.ticks());
    let old = format!("{{\"pid\":{pid},\"session_id\":\"{ID}\",\"cwd\":\"/work\"}}");
    let path = world.add(&format!("sessions/pid-{pid}.json"), &old);
    assert!(is_live(&world.look(records())));
    fs::remove_file(&path).unwrap();
    let own = fs::read_link("/proc/self/ns/pid").unwrap();
    let own = own.to_str().unwrap().trim_start_matches("pid:[").trim_end_matches(']').to_owned();
    let qwen = format!(
        "{{\"schemaVersion\":1,\"pid\":{pid},\"procStart\":\"{}:{ticks}\",\"pidNs\":{own},\"sessionId\":\"{ID}\"}}",
        Proc::default().boot_id().unwrap()
    );
    world.add(&format!("sessions/{pid}-0a1b2c3d.json"), &qwen);
    assert!(is_live(&world.look(records())));
}

#[test]
fn a_record_of_another_namespace_is_not_checked_against_our_processes() {
    let world = World::new();
    let ticks = world.ticks();
    let after_boot = (boot() + chrono::TimeDelta::seconds(60)).timestamp_millis();
    let before_boot = (boot() - chrono::TimeDelta::seconds(60)).timestamp_millis();
    for domain in ["\"pidDomain\":\"linux:00000000000000000000000000000000:pid:[7]\"", "\"pidNs\":7"] {
        world.record(&format!(",{domain},\"procStart\":\"{ticks}\",\"startedAt\":{after_boot}"));
        assert!(is_unverifiable(&world.look(records())), "{domain}");
        world.record(&format!(",{domain},\"procStart\":\"{ticks}\",\"startedAt\":{before_boot}"));
        assert_eq!(world.look(records()).get(ID), None, "{domain}");
        let gone = format!("{{\"pid\":4194304,\"sessionId\":\"{ID}\",{domain},\"startedAt\":{after_boot}}}");
        let path = world.add("sessions/4194304.json", &gone);
        assert!(is_unverifiable(&world.look(records())), "{domain}");
        age(&path, boot() - chrono::TimeDelta::seconds(60));
        assert_eq!(world.look(records()).get(ID), None, "{domain}");
    }
}

#[test]
fn our_boot_says_nothing_of_the_processes_of_another_machine() {
    let world = World::new();
    let domain = "\"pidDomain\":\"linux:0123456789abcdef0123456789abcdef:pid:[7]\"";
    let before_boot = boot() - chrono::TimeDelta::days(3);
    let started_at = before_boot.timestamp_millis();
    let path = world.record(&format!(",{domain},\"procStart\":\"5\",\"startedAt\":{started_at}"));
    assert!(is_unverifiable(&world.look(records())));
    age(&path, before_boot);
    assert!(is_unverifiable(&world.look(records())), "nor does the time of its file");
    fs::remove_file(&path).unwrap();
    let gone = format!("{{\"pid\":4194304,\"sessionId\":\"{ID}\",{domain},\"startedAt\":{started_at}}}");
    age(&world.add("sessions/4194304.json", &gone), before_boot);
    assert!(is_unverifiable(&world.look(records())), "our processes have other numbers");
}

#[test]
fn a_record_of_our_own_machine_and_namespace_is_checked_against_our_processes() {
    let mut world = World::new();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap();
    // Where a machine has no id, the record says zeros.
    let machine = fs::read_to_string("/etc/machine-id").ok().map(|id| id.trim().to_owned());
    let machine = machine.filter(|id| !id.is_empty()).unwrap_or_else(|| "0".repeat(32));
    let domain = |machine: &str| format!(",\"pidDomain\":\"linux:{machine}:{}\"", namespace.display());
    let start = format!(",\"procStart\":\"{}\"", world.ticks());
    world.record(&(domain(&machine) + &start));
    assert!(is_live(&world.look(records())));
    world.record(&(domain(&"0".repeat(32)) + &start));
    assert!(is_live(&world.look(records())), "zeros are no id of another machine");
    world.record(&(domain("0123456789abcdef0123456789abcdef") + &start));
    if fs::read_to_string("/etc/machine-id").is_ok_and(|id| !id.trim().is_empty()) {
        assert!(is_unverifiable(&world.look(records())), "the same namespace number on another machine");
    }
    world.record(&(domain(&machine) + &start));
    world.end();
    assert_eq!(world.look(records()).get(ID), None);
}

#[test]
fn a_record_that_cannot_be_understood_is_told_while_its_process_runs() {
    let mut world = World::new();
    let pid = world.pid();
    world.add(&format!("sessions/{pid}.json"), &format!("{{\"pid\":{pid},\"sessionI"));
    world.add("sessions/4194304.json", "{\"pid\":4194304");
    world.add("sessions/notes.json", "{\"sessionId\":5}");
    let errors = world.look(records()).errors;
    assert_eq!(errors.len(), 2, "{errors:?}");
    world.end();
    assert_eq!(world.look(records()).errors.len(), 1);
}

#[test]
fn a_record_that_cannot_be_understood_proves_nothing_of_a_process_that_started_after_it() {
    let world = World::new();
    let start = Proc::default().start_time(world.pid()).unwrap().unwrap();
    for content in ["", "{\"pid\":", "{}"] {
        let path = world.add(&format!("sessions/{}.json", world.pid()), content);
        for (seconds, expected) in [(100, 1), (-1, 1), (-10, 0)] {
            age(&path, start + chrono::TimeDelta::seconds(seconds));
            assert_eq!(world.look(records()).errors.len(), expected, "{content:?} {seconds}");
        }
    }
}

#[test]
fn sessions_that_nobody_asked_for_are_left_out() {
    let world = World::new();
    let (pid, ticks) = (world.pid(), world.ticks());
    let record = format!("{{\"pid\":{pid},\"sessionId\":\"{OTHER}\",\"procStart\":\"{ticks}\"}}");
    world.add(&format!("sessions/{pid}.json"), &record);
    world.add(&format!("session-state/{OTHER}/inuse.{pid}.lock"), &pid.to_string());
    assert!(!is_live(&world.look(records())));
    assert!(!is_live(&world.look(pid_files())));
}

#[test]
fn a_lock_counts_while_it_is_held() {
    let world = World::new();
    let path = world.add(&format!("thread-writer-locks/{ID}.lock"), "");
    world.add("thread-writer-locks/.coordination.lock", "");
    assert!(!is_live(&world.look(locks())));
    let file = File::open(&path).unwrap();
    rustix::fs::flock(&file, FlockOperation::LockExclusive).unwrap();
    assert!(is_live(&world.look(locks())));
    rustix::fs::flock(&file, FlockOperation::Unlock).unwrap();
    assert!(!is_live(&world.look(locks())));
}

#[test]
fn a_lock_on_another_device_number_is_decided_by_the_holders_open_files() {
    let world = World::new();
    let path = world.add(&format!("thread-writer-locks/{ID}.lock"), "");
    let elsewhere = world.add("elsewhere", "");
    let inode = fs::metadata(&path).unwrap().ino();
    world.add("proc/locks", &format!("1: FLOCK  ADVISORY  WRITE 77 00:ffff:{inode} 0 EOF\n"));
    let proc = Proc::new(world.folder.path().join("proc"));
    assert!(is_unverifiable(&world.look_in(locks(), &proc)), "the holder is gone");
    let fd = world.folder.path().join("proc/77/fd");
    fs::create_dir_all(&fd).unwrap();
    std::os::unix::fs::symlink(&elsewhere, fd.join("3")).unwrap();
    assert_eq!(world.look_in(locks(), &proc).get(ID), None, "another file with the same inode number");
    std::os::unix::fs::symlink(&path, fd.join("4")).unwrap();
    assert!(is_live(&world.look_in(locks(), &proc)));
}

#[test]
fn a_pid_file_counts_while_its_process_runs() {
    let mut world = World::new();
    let pid = world.pid();
    let name = format!("session-state/{ID}/inuse.{pid}.lock");
    for content in [format!("{pid}\n"), String::new()] {
        let path = world.add(&name, &content);
        assert!(is_live(&world.look(pid_files())), "{content:?}");
        age(&path, Proc::default().start_time(pid).unwrap().unwrap() - chrono::TimeDelta::seconds(10));
        assert!(!is_live(&world.look(pid_files())), "an older process had this pid");
    }
    world.add(&name, &pid.to_string());
    world.end();
    assert!(!is_live(&world.look(pid_files())));
}

#[test]
fn a_home_without_markers_has_no_live_sessions() {
    let world = World::new();
    for rule in [records(), locks(), pid_files(), LiveRule::OpenTranscript] {
        let live = world.look(rule);
        assert!(!is_live(&live) && live.sessions.is_empty());
    }
}

#[test]
fn what_could_not_be_examined_is_an_error() {
    let world = World::new();
    world.add(&format!("thread-writer-locks/{ID}.lock"), "");
    let nowhere = Proc::new("/nonexistent");
    assert_eq!(world.look_in(locks(), &nowhere).errors.len(), 1);
    let path = world.folder.path().join("sessions");
    std::os::unix::fs::symlink(&path, &path).unwrap();
    assert_eq!(world.look(records()).errors.len(), 1, "a symlink loop");
}

//! Processes that speak for what is on the disk, in a `/proc` made for it.

use std::path::Path;

use super::world::{World, decided, goes, id};
use crate::policy::artifact::{Claim, Reason};

impl World {
    /// A process of this user that began so many days ago.
    fn process(&self, pid: u32, name: &str, days: i64) {
        let folder = self.folder.path().join(format!("proc/{pid}"));
        fs_err::create_dir_all(folder.join("fd")).unwrap();
        let boot = 1_700_000_000;
        let seconds = self.now.timestamp() - days * 86_400 - boot;
        let ticks = u64::try_from(seconds).unwrap() * rustix::param::clock_ticks_per_second();
        let rest = format!("S 1 {pid} {pid} 0 -1 4194304 1 0 0 0 5 5 0 0 20 0 1 0 {ticks} 1 1");
        fs_err::write(folder.join("stat"), format!("{pid} ({name}) {rest}\n")).unwrap();
        fs_err::write(folder.join("comm"), format!("{name}\n")).unwrap();
        fs_err::write(folder.join("cmdline"), format!("{name}\0")).unwrap();
        let user = rustix::process::geteuid().as_raw();
        fs_err::write(folder.join("status"), format!("Name:\t{name}\nUid:\t{user}\t{user}\t{user}\t{user}\n")).unwrap();
        fs_err::os::unix::fs::symlink(Path::new("/usr/bin").join(name), folder.join("exe")).unwrap();
    }
}

fn running(pid: u32) -> Reason {
    Reason::Claimed(Claim::Running { pid })
}

#[test]
fn a_cli_that_names_no_session_keeps_what_changed_since_it_began() {
    let world = World::new();
    world.file(&format!("debug/{}.txt", id(1)), "x", 30);
    world.file(&format!("debug/{}.txt", id(2)), "x", 10);
    world.file("shell-snapshots/snapshot-bash-1.sh", "x", 10);
    assert_eq!(goes(&world.plan()).len(), 3);
    world.process(4711, "claude", 20);
    let (gone, kept) = decided(&world.plan());
    assert_eq!(gone, [format!("{}.txt", id(1))]);
    assert!(kept.iter().all(|(_, reason)| *reason == running(4711)) && kept.len() == 2, "{kept:?}");
    // Where it says which one, the others' files go, but for those that name nobody.
    let start = fs_err::read_to_string(world.folder.path().join("proc/4711/stat")).unwrap();
    let start = start.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().to_owned();
    let record = format!(r#"{{"pid":4711,"procStart":"{start}","sessionId":"{}"}}"#, id(9));
    world.file("sessions/4711.json", &record, 0);
    let (gone, kept) = decided(&world.plan());
    assert_eq!(gone.len(), 2, "{gone:?} {kept:?}");
    assert_eq!(kept, [("snapshot-bash-1.sh".to_owned(), running(4711))]);
}

#[test]
fn what_a_process_holds_open_stays() {
    let world = World::new();
    let log = world.file("debug/log.txt", "x", 10);
    world.process(4712, "tail", 1);
    assert_eq!(goes(&world.plan()), ["log.txt"]);
    let log = fs_err::canonicalize(log).unwrap();
    fs_err::os::unix::fs::symlink(log, world.folder.path().join("proc/4712/fd/3")).unwrap();
    let (_, kept) = decided(&world.plan());
    assert_eq!(kept, [("log.txt".to_owned(), Reason::Claimed(Claim::Live { pid: 4712 }))]);
    // Also where it is in a folder that goes as a whole.
    let hook = world.file("session-env/x/hook.sh", "x", 50);
    world.touch(&world.home().join("session-env/x"), 50);
    assert_eq!(goes(&world.plan()), ["x"]);
    let hook = fs_err::canonicalize(hook).unwrap();
    fs_err::os::unix::fs::symlink(hook, world.folder.path().join("proc/4712/fd/4")).unwrap();
    assert!(goes(&world.plan()).is_empty());
}

#[test]
fn a_rollout_that_is_opened_since_the_plan_stays() {
    let mut world = World::new().retention("codex.transcripts", 30);
    world.settings.keep_last = 1;
    let rollout = |number: usize, days: i64| {
        let at = (world.now - chrono::TimeDelta::days(days)).to_rfc3339();
        let payload = format!("{{\"id\":\"{}\",\"cwd\":\"/work\"}}", id(number));
        let line = format!("{{\"timestamp\":\"{at}\",\"type\":\"session_meta\",\"payload\":{payload}}}\n");
        let name = format!("../.codex/sessions/2026/05/01/rollout-2026-05-01T00-00-00-{}.jsonl", id(number));
        world.file(&name, &line, days)
    };
    let old = fs_err::canonicalize(rollout(1, 100)).unwrap();
    (2..5).for_each(|number| drop(rollout(number, 1)));
    world.process(4713, "tail", 1);
    let plan = world.plan();
    assert_eq!(goes(&plan).len(), 1);
    fs_err::os::unix::fs::symlink(&old, world.folder.path().join("proc/4713/fd/3")).unwrap();
    assert_eq!(world.apply(&plan).outcomes, [super::apply::Outcome::Opened]);
    assert!(old.exists());
}

#[test]
fn sub_agents_take_no_place_among_the_newest_and_stay_with_their_parents() {
    let mut world = World::new().retention("codex.transcripts", 30);
    world.settings.keep_last = 1;
    let rollout = |number: usize, parent: Option<usize>, days: i64| {
        let at = (world.now - chrono::TimeDelta::days(days)).to_rfc3339();
        let parent = parent.map(|parent| format!(",\"parent_thread_id\":\"{}\"", id(parent))).unwrap_or_default();
        let payload = format!("{{\"id\":\"{}\",\"cwd\":\"/work\"{parent}}}", id(number));
        let line = format!("{{\"timestamp\":\"{at}\",\"type\":\"session_meta\",\"payload\":{payload}}}\n");
        let name = format!("../.codex/sessions/2026/05/01/rollout-2026-05-01T00-00-00-{}.jsonl", id(number));
        world.file(&name, &line, days);
    };
    // The newest conversation, its sub-agent that is older, another's that is newer, and that one.
    rollout(1, None, 90);
    rollout(2, Some(1), 95);
    rollout(3, Some(4), 80);
    rollout(4, None, 100);
    let (gone, kept) = decided(&world.plan_with(true));
    let name = |number: usize| format!("rollout-2026-05-01T00-00-00-{}.jsonl", id(number));
    assert_eq!(gone, [name(4), name(3)]);
    assert!(kept.contains(&(name(2), Reason::Claimed(Claim::PartOf { session: id(1) }))), "{kept:?}");
}

fn rollout_of(number: usize) -> String {
    format!("../.codex/sessions/2026/05/01/rollout-2026-05-01T00-00-00-{}.jsonl", id(number))
}

#[test]
fn a_sub_agents_rollout_stays_with_its_parents() {
    let mut world = World::new().retention("codex.transcripts", 30);
    world.settings.keep_last = 1;
    let rollout = |number: usize, parent: &str, days: i64| {
        let at = (world.now - chrono::TimeDelta::days(days)).to_rfc3339();
        let payload = format!("{{\"id\":\"{}\",\"cwd\":\"/work\"{parent}}}", id(number));
        let line = format!("{{\"timestamp\":\"{at}\",\"type\":\"session_meta\",\"payload\":{payload}}}\n");
        world.file(&rollout_of(number), &line, days);
    };
    rollout(1, "", 100);
    rollout(2, &format!(",\"parent_thread_id\":\"{}\"", id(1)), 100);
    (3..7).for_each(|number| rollout(number, "", 1));
    assert_eq!(goes(&world.plan()).len(), 2);
    world.mapped = vec![id(1)];
    let (gone, kept) = decided(&world.plan());
    assert!(gone.is_empty() && kept.len() == 2, "{gone:?} {kept:?}");
    // Also where nothing of the parent's is there any more.
    fs_err::remove_file(world.home().join(rollout_of(1))).unwrap();
    assert!(goes(&world.plan()).is_empty());
}

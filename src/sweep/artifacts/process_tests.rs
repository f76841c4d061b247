//! Processes that speak for what is on the disk, in a `/proc` made for it.

use std::path::{Path, PathBuf};

use super::apply::{Outcome, Remover};
use super::claims::{Known, Speakers};
use super::clis::resumes_any;
use super::open::Open;
use super::units::Unit;
use super::world::{World, decided, goes, id};
use crate::artifacts::survey::Sums;
use crate::policy::artifact::{Claim, Reason};
use crate::providers::builtin;

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
        let _ = fs_err::remove_file(folder.join("exe"));
        fs_err::os::unix::fs::symlink(Path::new("/usr/bin").join(name), folder.join("exe")).unwrap();
    }
}

impl World {
    /// Writes a rollout of Codex that was last used so many days ago, a sub-agent's of `parent`.
    fn rollout(&self, number: usize, parent: Option<usize>, days: i64) -> PathBuf {
        let at = (self.now - chrono::TimeDelta::days(days)).to_rfc3339();
        let parent = parent.map(|parent| format!(",\"parent_thread_id\":\"{}\"", id(parent))).unwrap_or_default();
        let payload = format!("{{\"id\":\"{}\",\"cwd\":\"/work\"{parent}}}", id(number));
        let line = format!("{{\"timestamp\":\"{at}\",\"type\":\"session_meta\",\"payload\":{payload}}}\n");
        self.file(&format!("../.codex/sessions/2026/05/01/{}", rollout_of(number)), &line, days)
    }

    /// What a file of a process says.
    fn says(&self, pid: u32, file: &str, text: &str) {
        fs_err::write(self.folder.path().join(format!("proc/{pid}/{file}")), text).unwrap();
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
fn a_session_that_a_process_names_stays() {
    let mut world = World::new().retention("claude.transcripts", 30);
    world.settings.keep_last = 1;
    (1..4).for_each(|number| drop(world.transcript(number, 100)));
    (4..8).for_each(|number| drop(world.transcript(number, 1)));
    assert_eq!(goes(&world.plan()).len(), 3);
    // Each began after the session was used last. Whose the process is does not matter.
    world.process(4711, "claude", 1);
    world.says(4711, "cmdline", &format!("claude\0--resume\0{}\0", id(1)));
    world.process(4712, "sleep", 1);
    world.says(4712, "environ", &format!("HOME=/h\0CLAUDE_CODE_SESSION_ID={}\0", id(2)));
    let (gone, kept) = decided(&world.plan());
    assert_eq!(gone, [format!("{}.jsonl", id(3))]);
    let named = |number, pid| (format!("{}.jsonl", id(number)), Reason::Claimed(Claim::Named { pid }));
    assert_eq!(kept, [named(1, 4711), named(2, 4712)]);
    // A variable of another name says nothing.
    world.says(4712, "environ", &format!("HOME=/h\0CLAUDE_CODE_SESSION={}\0", id(2)));
    assert_eq!(goes(&world.plan()).len(), 2);
}

#[test]
fn a_cli_that_was_told_to_go_on_with_a_session_may_mean_any() {
    let mut world = World::new().retention("claude.transcripts", 30);
    world.settings.keep_last = 1;
    world.transcript(1, 100);
    (4..8).for_each(|number| drop(world.transcript(number, 1)));
    world.process(4711, "claude", 1);
    assert_eq!(goes(&world.plan()).len(), 1);
    world.says(4711, "cmdline", "claude\0--resume\0");
    assert_eq!(decided(&world.plan()).1, [(format!("{}.jsonl", id(1)), running(4711))]);
    // Another CLI's process means none of these.
    world.process(4711, "gemini", 1);
    world.says(4711, "cmdline", "gemini\0--resume\0latest\0");
    assert_eq!(goes(&world.plan()).len(), 1);
}

#[test]
fn who_is_told_to_go_on_with_a_session_says_which_or_may_mean_any() {
    let rows = builtin::rows();
    let resumes = |provider: &str, line: &str| {
        let provider = rows.iter().find(|row| row.name == provider).unwrap();
        let arguments: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        resumes_any(provider, &arguments)
    };
    let id = "0856b851-1111-4222-8333-0123456789ab";
    for (provider, line) in [
        ("gemini", "gemini --resume 3"),
        ("gemini", "gemini --resume=latest"),
        ("codex", "codex resume --last"),
        ("claude", "claude --resume"),
        ("claude", "claude -r"),
        ("qwen", "qwen -r x"),
    ] {
        assert!(resumes(provider, line), "{line}");
    }
    for (provider, line) in [("gemini", "gemini"), ("codex", "codex -c x=y exec"), ("claude", "claude -p words")] {
        assert!(!resumes(provider, line), "{line}");
    }
    assert!(!resumes("claude", &format!("claude --resume {id}")));
    assert!(!resumes("claude", &format!("claude --resume={id}")));
}

#[test]
fn a_cli_of_root_may_work_in_any_home_but_one_that_says_where_it_is() {
    let world = World::new();
    world.file(&format!("debug/{}.txt", id(1)), "x", 10);
    if !rustix::process::geteuid().is_root() {
        // Nobody else can give files to others.
        return;
    }
    world.process(4711, "claude", 20);
    let somebody = Some(rustix::process::Uid::from_raw(4_242));
    rustix::fs::chown(world.home(), somebody, None).unwrap();
    assert_eq!(decided(&world.plan()).1, [(format!("{}.txt", id(1)), running(4711))]);
    world.says(4711, "environ", "HOME=/root\0");
    assert_eq!(goes(&world.plan()).len(), 1);
    let parent = world.folder.path().join("home");
    world.says(4711, "environ", &format!("HOME={}\0", parent.display()));
    assert!(goes(&world.plan()).is_empty());
    let elsewhere = format!("HOME={}\0CLAUDE_CONFIG_DIR=/elsewhere\0", parent.display());
    world.says(4711, "environ", &elsewhere);
    assert_eq!(goes(&world.plan()).len(), 1);
    // Another user's who may not write there works elsewhere; one who may is counted.
    world.says(4711, "environ", "");
    rustix::fs::chown(world.folder.path().join("proc/4711"), Some(rustix::process::Uid::from_raw(4_243)), None)
        .unwrap();
    assert_eq!(goes(&world.plan()).len(), 1);
    fs_err::set_permissions(world.home(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    assert!(goes(&world.plan()).is_empty());
}

#[test]
fn a_cli_that_hides_its_open_files_may_have_any_transcript_open() {
    let mut world = World::new().retention("codex.transcripts", 30);
    world.settings.keep_last = 1;
    world.file("../.codex/history.jsonl", "", 1);
    world.process(4711, "codex", 1);
    let plan = world.plan();
    let codex = plan.homes.iter().find(|home| home.home.provider == "codex").unwrap();
    let speakers = world.speakers();
    let claims = speakers.of(&codex.home);
    let unit = Unit { kind: 0, session: Some(id(1)), pieces: Vec::new(), sums: Sums::default() };
    assert_eq!(claims.on(&unit, &[], &Open::default()), []);
    let open = Open { hidden: vec![4711], ..Open::default() };
    assert!(matches!(&claims.on(&unit, &[], &open)[..], [Claim::MayBeLive(_)]));
    // What another process hides says nothing.
    let open = Open { hidden: vec![4712], ..Open::default() };
    assert_eq!(claims.on(&unit, &[], &open), []);
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
    let old = fs_err::canonicalize(world.rollout(1, None, 100)).unwrap();
    (2..5).for_each(|number| drop(world.rollout(number, None, 1)));
    world.process(4713, "tail", 1);
    let plan = world.plan();
    assert_eq!(goes(&plan).len(), 1);
    fs_err::os::unix::fs::symlink(&old, world.folder.path().join("proc/4713/fd/3")).unwrap();
    assert_eq!(world.apply(&plan).outcomes, [Outcome::Opened]);
    assert!(old.exists());
}

#[test]
fn sub_agents_take_no_place_among_the_newest_and_stay_with_their_parents() {
    let mut world = World::new().retention("codex.transcripts", 30);
    world.settings.keep_last = 1;
    // The newest conversation, its sub-agent that is older, another's that is newer, and that one.
    world.rollout(1, None, 90);
    world.rollout(2, Some(1), 95);
    world.rollout(3, Some(4), 80);
    world.rollout(4, None, 100);
    let (gone, kept) = decided(&world.plan_with(true));
    assert_eq!(gone, [rollout_of(4), rollout_of(3)]);
    assert!(kept.contains(&(rollout_of(2), Reason::Claimed(Claim::PartOf { session: id(1) }))), "{kept:?}");
}

/// What such a rollout is called.
fn rollout_of(number: usize) -> String {
    format!("rollout-2026-05-01T00-00-00-{}.jsonl", id(number))
}

#[test]
fn a_sub_agents_rollout_stays_with_its_parents() {
    let mut world = World::new().retention("codex.transcripts", 30);
    world.settings.keep_last = 1;
    let parent = world.rollout(1, None, 100);
    world.rollout(2, Some(1), 100);
    (3..7).for_each(|number| drop(world.rollout(number, None, 1)));
    assert_eq!(goes(&world.plan()).len(), 2);
    world.mapped = vec![id(1)];
    let (gone, kept) = decided(&world.plan());
    assert!(gone.is_empty() && kept.len() == 2, "{gone:?} {kept:?}");
    // Also where nothing of the parent's is there any more.
    fs_err::remove_file(parent).unwrap();
    assert!(goes(&world.plan()).is_empty());
}

#[test]
fn a_sub_agents_sub_agent_stays_with_the_root() {
    let mut world = World::new().retention("codex.transcripts", 30);
    world.settings.keep_last = 1;
    // The newest conversation, and a line of three below it; a circle, which belongs to nobody.
    world.rollout(1, None, 90);
    let line: Vec<PathBuf> = (2..5).map(|number| world.rollout(number, Some(number - 1), 95)).collect();
    world.rollout(5, Some(6), 99);
    world.rollout(6, Some(5), 99);
    let (gone, kept) = decided(&world.plan_with(true));
    assert_eq!((gone.len(), kept.len()), (2, 4), "{gone:?} {kept:?}");
    // What speaks for the root speaks for all of them, also where nothing of the others is there.
    world.settings.keep_last = 0;
    world.mapped = vec![id(1)];
    assert_eq!(decided(&world.plan_with(true)).1.len(), 4);
    line[..2].iter().for_each(|path| fs_err::remove_file(path).unwrap());
    assert_eq!(decided(&world.plan_with(true)).1.len(), 1, "who begot it is not known any more");
}

#[test]
fn who_comes_to_speak_for_the_root_while_the_run_works_speaks_for_all_below_it() {
    let mut world = World::new().retention("codex.transcripts", 30);
    world.settings.keep_last = 1;
    world.rollout(1, None, 100);
    (2..4).for_each(|number| drop(world.rollout(number, Some(number - 1), 100)));
    world.rollout(9, None, 1);
    let world = &world;
    let plan = world.plan_with(true);
    assert_eq!(goes(&plan).len(), 3);
    let look_again = || {
        let known = Known { mapped: vec![id(1)], ..Known::default() };
        Ok(Speakers::gather((&world.catalogue, &world.proc), known))
    };
    let (archive, proc, now) = (world.archive(), &world.proc, world.now);
    let applied = Remover { archive: &archive, entries: &[], proc, now, look_again: &look_again }.apply(&plan);
    assert_eq!(applied.outcomes, [Outcome::Opened, Outcome::Opened, Outcome::Opened]);
}

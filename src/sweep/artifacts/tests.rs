use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};

use super::apply::{Applied, Outcome, Remover};
use super::claims::Speakers;
use super::homes::homes;
use super::plan::{Held, Plan, Terms};
use crate::artifacts::archive::Archive;
use crate::artifacts::kinds::{KINDS, row_named};
use crate::config::setting::ArtifactsSettings;
use crate::config::{Dirs, Environment, load};
use crate::context::clock;
use crate::filesystem::proc::Proc;
use crate::policy::artifact::{Cause, Claim, Reason, Verdict};
use crate::policy::byte_size::Budget;
use crate::policy::duration::Limit;
use crate::providers::{Catalogue, Located, builtin};

const DAY: u64 = 86_400;
/// No names.
const NONE: [&str; 0] = [];

/// A home of Claude Code, an archive, and what a prune is told.
pub(super) struct World {
    pub(super) folder: tempfile::TempDir,
    pub(super) catalogue: Catalogue,
    pub(super) settings: ArtifactsSettings,
    pub(super) proc: Proc,
    pub(super) now: DateTime<Utc>,
    pub(super) mapped: Vec<String>,
    restorable: Vec<String>,
    pub(super) roots: Vec<PathBuf>,
}

pub(super) fn id(number: usize) -> String {
    format!("0856b851-1111-4222-8333-{number:012}")
}

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        fs_err::create_dir_all(home.join(".claude")).unwrap();
        let environment = Environment::from_iter([("HOME", home.to_str().unwrap())]);
        let dirs = Dirs::find(&environment).unwrap();
        let settings = load(&dirs, &environment, Some(Path::new("/dev/null")), &[], builtin::rows()).unwrap().settings;
        let rows = settings.providers.iter().map(|provider| {
            let home = dirs.provider_home(&provider.home, &environment);
            Located { provider: provider.clone(), live_home: home.clone(), home }
        });
        let catalogue = Catalogue::new(rows.collect());
        // Processes of this machine are none of a test's: nothing in it runs.
        let proc = folder.path().join("proc");
        fs_err::create_dir_all(proc.join("self/ns")).unwrap();
        fs_err::write(proc.join("stat"), "btime 1700000000\n").unwrap();
        Self {
            catalogue,
            settings: settings.artifacts,
            proc: Proc::new(proc),
            now: clock(),
            mapped: Vec::new(),
            restorable: Vec::new(),
            roots: Vec::new(),
            folder,
        }
    }

    pub(super) fn retention(mut self, kind: &str, days: u64) -> Self {
        let limit = Limit::After(std::time::Duration::from_secs(days * DAY));
        self.settings.kinds[row_named(kind).unwrap()].retention = limit;
        self
    }

    fn max_size(mut self, kind: &str, bytes: u64) -> Self {
        self.settings.kinds[row_named(kind).unwrap()].max_size = Budget::AtMost(bytes);
        self
    }

    pub(super) fn home(&self) -> PathBuf {
        self.folder.path().join("home/.claude")
    }

    /// Writes a file that was last changed so many days ago.
    pub(super) fn file(&self, path: &str, text: &str, days: i64) -> PathBuf {
        let path = self.home().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        self.touch(&path, days);
        path
    }

    pub(super) fn touch(&self, path: &Path, days: i64) {
        let at = self.now - TimeDelta::days(days);
        filetime::set_file_mtime(path, filetime::FileTime::from_unix_time(at.timestamp(), 0)).unwrap();
    }

    /// Writes a transcript that was last used so many days ago.
    fn transcript(&self, number: usize, days: i64) -> PathBuf {
        let at = (self.now - TimeDelta::days(days)).to_rfc3339();
        let line = format!("{{\"sessionId\":\"{}\",\"timestamp\":\"{at}\"}}\n", id(number));
        self.file(&format!("projects/-work/{}.jsonl", id(number)), &line, days)
    }

    fn archive(&self) -> Archive {
        Archive::below(&self.folder.path().join("state"))
    }

    pub(super) fn plan(&self) -> Plan<'_> {
        self.plan_with(false)
    }

    pub(super) fn plan_with(&self, may_take_most: bool) -> Plan<'_> {
        let (homes, problems) = homes(&self.catalogue, &self.roots).unwrap();
        assert_eq!(problems, Vec::<String>::new());
        let (archived, _) = self.archive().entries().unwrap();
        let (mapped, restorable) = (self.mapped.clone(), self.restorable.clone());
        let speakers = Speakers::gather((&self.catalogue, &self.proc), mapped, restorable, (&archived, None));
        let terms = Terms { settings: &self.settings, kinds: Vec::new(), may_take_most, now: self.now };
        Plan::make(homes, &speakers, (&archived, &self.proc), &terms)
    }

    pub(super) fn speakers(&self) -> Speakers<'_> {
        let (mapped, restorable) = (self.mapped.clone(), self.restorable.clone());
        Speakers::gather((&self.catalogue, &self.proc), mapped, restorable, (&[], None))
    }

    pub(super) fn apply(&self, plan: &Plan<'_>) -> Applied {
        let entries = self.archive().entries().unwrap().0;
        Remover { archive: &self.archive(), entries: &entries, proc: &self.proc, now: self.now }.apply(plan)
    }

    fn sessions_in_archive(&self) -> Vec<String> {
        self.archive().entries().unwrap().0.into_iter().map(|entry| entry.manifest.session).collect()
    }
}

/// What a file takes on the disk.
fn disk_of(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(&fs_err::metadata(path).unwrap()) * 512
}

/// What goes, by its name, and what is past its limit and stays, with its reason.
pub(super) fn decided(plan: &Plan<'_>) -> (Vec<String>, Vec<(String, Reason)>) {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let gone = plan.removed().map(|(_, item)| name(item.unit.path())).collect();
    let kept = plan.kept().map(|(_, item)| match &item.verdict {
        Verdict::Keep(reason) => (name(item.unit.path()), reason.clone()),
        Verdict::Remove(_) => unreachable!(),
    });
    (gone, kept.collect())
}

pub(super) fn goes(plan: &Plan<'_>) -> Vec<String> {
    decided(plan).0
}

#[test]
fn each_kind_goes_by_its_own_retention_and_what_resuming_needs_stays() {
    let world = World::new();
    for kind in KINDS.iter().filter(|kind| kind.provider == "claude") {
        for place in kind.places.iter().filter(|place| !place.contains("{id}")) {
            let place = place.replace('*', "x");
            // In the place, or it itself where that is a name for each.
            let inside = if kind.name == "backups" { place } else { format!("{place}/{}", kind.name) };
            world.file(&inside, "x", 400);
        }
    }
    // A folder is at least as young as itself.
    for folder in ["session-env/x", "file-history/x", "tasks/x", "image-cache/x", "uploads/x"] {
        world.touch(&world.home().join(folder), 400);
    }
    let mut gone = goes(&world.plan());
    gone.sort();
    assert_eq!(gone, [".claude.json.backup.x", "debug", "shell_snapshots", "statsig", "telemetry", "todos", "x"]);
}

#[test]
fn a_file_goes_only_past_its_limit() {
    let world = World::new();
    world.file("debug/old.txt", "x", 4);
    world.file("debug/deep/er/old.txt", "x", 4);
    let young = world.file("debug/young.txt", "x", 2);
    world.file("debug/future.txt", "x", -2);
    world.file("history.jsonl", "x", 4_000);
    let plan = world.plan();
    let (gone, kept) = decided(&plan);
    assert_eq!((gone, kept), (vec!["old.txt".to_owned(); 2], vec![("future.txt".to_owned(), Reason::Future)]));
    let applied = world.apply(&plan);
    assert_eq!((applied.outcomes, applied.freed), (vec![Outcome::Removed; 2], 2 * disk_of(&young)));
    assert!(world.home().join("debug/young.txt").exists() && !world.home().join("debug/old.txt").exists());
    assert!(world.home().join("history.jsonl").exists());
}

#[test]
fn transcripts_stay_unless_a_retention_is_set_and_then_both_clocks_count() {
    let world = World::new();
    (0..20).for_each(|number| drop(world.transcript(number, 1_000)));
    assert_eq!(goes(&world.plan()), NONE);
    let mut world = world.retention("claude.transcripts", 30);
    world.settings.keep_last = 1;
    // The last one by its name stands for the newest.
    assert_eq!(goes(&world.plan()).len(), 19);
    // One was opened yesterday, another one says that it was used yesterday, a third one cannot be read.
    let path = |number: usize| world.home().join(format!("projects/-work/{}.jsonl", id(number)));
    world.touch(&path(0), 1);
    let recent = fs_err::read_to_string(path(1)).unwrap()
        + &format!("{{\"timestamp\":\"{}\"}}\n", (world.now - TimeDelta::days(1)).to_rfc3339());
    fs_err::write(path(1), recent).unwrap();
    fs_err::write(path(2), "no record\nat all\n").unwrap();
    (1..3).for_each(|number| world.touch(&path(number), 1_000));
    let (gone, kept) = decided(&world.plan());
    assert_eq!(gone.len(), 17);
    assert!(!gone.iter().any(|name| (0..3).any(|number| name.starts_with(&id(number)))), "{gone:?}");
    let unknown = kept.iter().find(|(name, _)| name.starts_with(&id(2))).unwrap();
    assert!(matches!(&unknown.1, Reason::Unknown(why) if why.contains("none of its records")), "{unknown:?}");
}

#[test]
fn whoever_names_a_session_keeps_all_that_is_its() {
    let mut world = World::new().retention("claude.transcripts", 30);
    world.settings.keep_last = 1;
    for number in 0..5 {
        world.transcript(number, 100);
        world.file(&format!("debug/{}.txt", id(number)), "x", 10);
        world.file(&format!("todos/{}-agent-{}.json", id(number), id(number)), "x", 10);
    }
    world.transcript(9, 1);
    world.mapped = vec![id(0)];
    world.restorable = vec![id(1)];
    let kept = |number: usize, claim: &Claim| {
        let (gone, kept) = decided(&world.plan_with(true));
        assert!(!gone.iter().any(|name| name.contains(&id(number))), "{gone:?}");
        let of = kept
            .iter()
            .filter(|(name, reason)| name.contains(&id(number)) && *reason == Reason::Claimed(claim.clone()));
        assert_eq!(of.count(), 3, "{kept:?}");
    };
    kept(0, &Claim::Mapped);
    kept(1, &Claim::Restorable);
    let gone = goes(&world.plan_with(true));
    assert_eq!(gone.len(), 9, "{gone:?}");
    // Who may be a live session's process, and cannot be looked at from here, keeps it, too.
    fs_err::create_dir_all(world.home().join("sessions")).unwrap();
    let record = format!(r#"{{"pid":4711,"sessionId":"{}","pidDomain":"linux:elsewhere:pid:[1]"}}"#, id(2));
    fs_err::write(world.home().join("sessions/4711.json"), record).unwrap();
    let (gone, kept) = decided(&world.plan_with(true));
    assert!(!gone.iter().any(|name| name.contains(&id(2))), "{gone:?}");
    let may_be = |(_, reason): &&(String, Reason)| matches!(reason, Reason::Claimed(Claim::MayBeLive(_)));
    assert_eq!(kept.iter().filter(may_be).count(), 3, "{kept:?}");
}

#[test]
fn where_the_list_of_live_sessions_cannot_be_read_nothing_goes() {
    let world = World::new();
    world.file("debug/old.txt", "x", 10);
    fs_err::create_dir_all(world.home().join("sessions")).unwrap();
    let own = std::process::id();
    // A process of that number is there, and its record says nothing.
    let proc = world.folder.path().join(format!("proc/{own}"));
    fs_err::create_dir_all(&proc).unwrap();
    fs_err::copy("/proc/self/stat", proc.join("stat")).unwrap();
    fs_err::write(world.home().join(format!("sessions/{own}.json")), "{").unwrap();
    let plan = world.plan();
    let (gone, kept) = decided(&plan);
    assert_eq!(gone, NONE);
    assert!(matches!(&kept[0].1, Reason::Unknown(why) if why.contains("which sessions are open")), "{kept:?}");
    assert!(!plan.problems.is_empty());
}

#[test]
fn the_newest_of_each_project_always_stay() {
    let mut world = World::new().retention("claude.transcripts", 30);
    world.settings.keep_last = 3;
    for number in 0..8 {
        world.transcript(number, 100 + number as i64);
    }
    let line = format!("{{\"timestamp\":\"{}\"}}\n", (world.now - TimeDelta::days(900)).to_rfc3339());
    world.file(&format!("projects/-other/{}.jsonl", id(20)), &line, 900);
    let (gone, kept) = decided(&world.plan_with(true));
    let names: Vec<String> = (3..8).rev().map(|number| format!("{}.jsonl", id(number))).collect();
    assert_eq!(gone, names);
    assert_eq!(kept.len(), 4);
    assert!(kept.iter().all(|(_, reason)| *reason == Reason::Claimed(Claim::Newest { of: 3 })), "{kept:?}");
}

#[test]
fn a_run_that_would_take_more_than_half_of_all_transcripts_is_held() {
    let mut world = World::new().retention("claude.transcripts", 30);
    world.settings.keep_last = 1;
    (0..4).for_each(|number| drop(world.transcript(number, 100)));
    world.file("debug/old.txt", "x", 10);
    let plan = world.plan();
    assert_eq!(plan.held, Some(Held { what: "transcripts", removed: 3, of: 4 }));
    let applied = world.apply(&plan);
    assert_eq!(applied.outcomes, vec![Outcome::NotTried; 4]);
    assert!(world.home().join("debug/old.txt").exists());
    let applied = world.apply(&world.plan_with(true));
    assert_eq!(applied.outcomes, vec![Outcome::Removed; 4]);
    assert_eq!(world.sessions_in_archive().len(), 3);
    // Half of them is no more than half.
    (10..13).for_each(|number| drop(world.transcript(number, 1)));
    (20..23).for_each(|number| drop(world.transcript(number, 100)));
    assert_eq!(world.plan().held, Some(Held { what: "transcripts", removed: 4, of: 7 }));
    world.transcript(14, 1);
    assert_eq!(world.plan().held, None);
}

#[test]
fn where_there_is_too_much_the_oldest_go_unless_they_are_claimed() {
    let mut world = World::new();
    let one = disk_of(&world.file("history.jsonl", "x", 1));
    world = world.max_size("claude.file_history", 2 * one);
    for number in 0..4 {
        world.file(&format!("file-history/{}/a@v1", id(number)), "x", 100 - number as i64);
        world.touch(&world.home().join(format!("file-history/{}", id(number))), 100 - number as i64);
    }
    world.mapped = vec![id(0)];
    let plan = world.plan();
    let causes: Vec<&Verdict> = plan.removed().map(|(_, item)| &item.verdict).collect();
    assert_eq!(causes, [&Verdict::Remove(Cause::Size(2 * one)); 2]);
    assert_eq!(goes(&plan), [id(1), id(2)]);
    world.apply(&plan);
    assert!(!world.home().join(format!("file-history/{}", id(1))).exists());
    // What was changed within the hour stays whatever it takes.
    let world = World::new().max_size("claude.paste_cache", 1);
    world.file("paste-cache/now", "x", 0);
    assert_eq!(goes(&world.plan()), NONE);
}

#[test]
fn budgets_count_what_is_left_after_what_is_too_old() {
    let world = || {
        let world = World::new();
        world.file("debug/a", "x", 10);
        let one = disk_of(&world.file("debug/b", "x", 1));
        (world, one)
    };
    let (exact, one) = world();
    assert_eq!(goes(&exact.max_size("claude.debug", one).plan()), ["a"]);
    let (tight, one) = world();
    assert_eq!(goes(&tight.max_size("claude.debug", one - 1).plan()), ["a", "b"]);
}

/// A session that is to go, with what belongs to it.
fn one_session() -> World {
    let mut world = World::new().retention("claude.transcripts", 30);
    world.settings.keep_last = 1;
    world.transcript(1, 100);
    for (name, text) in [("tool-results/a.txt", "result"), ("subagents/agent-1.jsonl", "{}")] {
        world.file(&format!("projects/-work/{}/{name}", id(1)), text, 101);
    }
    let loose = format!("{{\"sessionId\":\"{}\",\"isSidechain\":true}}\n", id(1));
    world.file("projects/-work/agent-0123abcd.jsonl", &loose, 101);
    world.file("projects/-work/memory/MEMORY.md", "mine", 500);
    world.transcript(2, 1);
    world
}

#[test]
fn a_session_goes_with_all_that_belongs_to_it_and_comes_back() {
    let world = one_session();
    let plan = world.plan();
    assert_eq!(goes(&plan), [format!("{}.jsonl", id(1))]);
    let planned = plan.removed().next().unwrap().1.unit.sums.disk;
    let applied = world.apply(&plan);
    assert_eq!((applied.outcomes, applied.freed), (vec![Outcome::Removed], planned));
    let mut left: Vec<_> = fs_err::read_dir(world.home().join("projects/-work"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, [format!("{}.jsonl", id(2)), "memory".to_owned()]);
    let (entries, _) = world.archive().entries().unwrap();
    let restored = crate::artifacts::archive::restore(&world.archive(), &entries[0]).unwrap();
    assert_eq!(restored.files.len(), 4);
    world.archive().note_restored(&entries[0], world.now).unwrap();
    let (gone, kept) = decided(&world.plan());
    assert_eq!((gone.len(), kept.len()), (0, 1), "{kept:?}");
    assert!(kept.iter().any(|(_, reason)| matches!(reason, Reason::Claimed(Claim::PutBack { .. }))), "{kept:?}");
}

#[test]
fn what_changes_between_plan_and_removal_stays() {
    type Change = fn(&World);
    let changes: [(&str, Change); 6] = [
        ("a line was added", |world| {
            let path = world.home().join(format!("projects/-work/{}.jsonl", id(1)));
            let text = fs_err::read_to_string(&path).unwrap() + "{}\n";
            fs_err::write(&path, text).unwrap();
        }),
        ("a tool's result was changed and dated back", |world| {
            world.file(&format!("projects/-work/{}/tool-results/a.txt", id(1)), "RESULT", 101);
        }),
        ("a file came, as old as the others", |world| {
            world.file(&format!("projects/-work/{}/tool-results/b.txt", id(1)), "x", 101);
        }),
        ("a file went", |world| {
            fs_err::remove_file(world.home().join(format!("projects/-work/{}/tool-results/a.txt", id(1)))).unwrap();
        }),
        ("a link was planted in the path", |world| {
            let project = world.home().join("projects/-work");
            fs_err::rename(&project, world.folder.path().join("elsewhere")).unwrap();
            fs_err::os::unix::fs::symlink(world.folder.path().join("elsewhere"), project).unwrap();
        }),
        ("a link was planted below", |world| {
            let folder = world.home().join(format!("projects/-work/{}/tool-results", id(1)));
            fs_err::os::unix::fs::symlink("/etc/hostname", folder.join("link")).unwrap();
        }),
    ];
    for (name, change) in changes {
        let world = one_session();
        let plan = world.plan();
        change(&world);
        let applied = world.apply(&plan);
        assert_eq!((applied.outcomes, applied.freed), (vec![Outcome::Changed], 0), "{name}");
        let transcript = world.home().join(format!("projects/-work/{}.jsonl", id(1)));
        assert!(transcript.exists(), "{name}");
        assert_eq!(world.sessions_in_archive(), NONE, "{name}");
    }
}

#[test]
fn a_session_that_is_opened_between_plan_and_removal_stays() {
    let world = one_session();
    let plan = world.plan();
    fs_err::create_dir_all(world.home().join("sessions")).unwrap();
    let record = format!(r#"{{"pid":4711,"sessionId":"{}","pidDomain":"linux:elsewhere:pid:[1]"}}"#, id(1));
    fs_err::write(world.home().join("sessions/4711.json"), record).unwrap();
    assert_eq!(world.apply(&plan).outcomes, [Outcome::Opened]);
    assert_eq!(world.sessions_in_archive(), NONE);
}

#[test]
fn no_link_is_followed_and_none_removed() {
    let world = World::new();
    let elsewhere = world.folder.path().join("elsewhere");
    fs_err::create_dir_all(&elsewhere).unwrap();
    fs_err::write(elsewhere.join("old.txt"), "x").unwrap();
    world.touch(&elsewhere.join("old.txt"), 1_000);
    fs_err::os::unix::fs::symlink(&elsewhere, world.home().join("debug")).unwrap();
    fs_err::create_dir_all(world.home().join("todos")).unwrap();
    fs_err::os::unix::fs::symlink(elsewhere.join("old.txt"), world.home().join("todos/link")).unwrap();
    assert_eq!(goes(&world.plan()), NONE);
    // And what holds a link does not go as a whole.
    world.file("session-env/x/file", "x", 400);
    fs_err::os::unix::fs::symlink(&elsewhere, world.home().join("session-env/x/link")).unwrap();
    world.touch(&world.home().join("session-env/x"), 400);
    let (gone, kept) = decided(&world.plan());
    assert_eq!(gone, NONE);
    assert!(matches!(&kept[0], (name, Reason::Unknown(_)) if name == "x"), "{kept:?}");
}

#[test]
fn a_file_with_two_names_frees_its_room_with_the_last_one() {
    let world = World::new();
    let one = world.file("debug/one.txt", "x", 10);
    fs_err::hard_link(&one, world.home().join("debug/two.txt")).unwrap();
    fs_err::hard_link(&one, world.home().join("history.jsonl")).unwrap();
    // To take one name away changes the file that the others name: they go with the next run.
    let freed = |world: &World| {
        let applied = world.apply(&world.plan());
        (applied.removed(), applied.freed)
    };
    assert_eq!([freed(&world), freed(&world), freed(&world)], [(1, 0), (1, 0), (0, 0)]);
    let world = World::new();
    let one = world.file("debug/one.txt", "x", 10);
    fs_err::hard_link(&one, world.home().join("debug/two.txt")).unwrap();
    let disk = disk_of(&one);
    assert_eq!([freed(&world), freed(&world)], [(1, 0), (1, disk)]);
}

#[test]
fn the_archive_forgets_by_its_own_retention_alone() {
    let mut world = one_session();
    world.apply(&world.plan());
    world.now += TimeDelta::days(400);
    assert!(world.plan().forgotten.is_empty());
    world.settings.archive_retention = Limit::After(std::time::Duration::from_secs(365 * DAY));
    world.settings.kinds.iter_mut().for_each(|limits| limits.retention = Limit::Never);
    let plan = world.plan();
    assert_eq!(plan.forgotten.len(), 1);
    assert_eq!(world.apply(&plan).forgotten, 1);
    assert_eq!(world.sessions_in_archive(), NONE);
}

#[test]
fn a_run_that_is_asked_to_end_leaves_what_it_has_not_begun() {
    let world = World::new();
    world.file("debug/old.txt", "x", 10);
    let plan = world.plan();
    crate::interrupt::ask_in_test();
    assert_eq!(world.apply(&plan).outcomes, [Outcome::NotTried]);
    assert!(world.home().join("debug/old.txt").exists());
}

#[test]
fn one_session_of_two_homes_is_archived_twice() {
    let mut world = World::new().retention("claude.transcripts", 30);
    world.settings.keep_last = 1;
    let root = world.folder.path().join("nanoclaw");
    for group in ["ga", "gb"] {
        let home = format!("../../nanoclaw/data/v2-sessions/{group}/.claude-shared/projects/-w");
        for (number, days) in [(1, 100), (2, 1), (3, 1)] {
            let line = format!(
                "{{\"timestamp\":\"{}\",\"of\":\"{group}\"}}\n",
                (world.now - TimeDelta::days(days)).to_rfc3339()
            );
            world.file(&format!("{home}/{}.jsonl", id(number)), &line, days);
        }
    }
    world.roots = vec![root];
    let plan = world.plan();
    assert_eq!(goes(&plan), vec![format!("{}.jsonl", id(1)); 2]);
    world.apply(&plan);
    let (entries, _) = world.archive().entries().unwrap();
    let mut homes: Vec<_> = entries.iter().map(|entry| entry.manifest.home.clone()).collect();
    homes.sort();
    homes.dedup();
    assert_eq!((entries.len(), homes.len()), (2, 2));
    for entry in &entries {
        assert_eq!(crate::artifacts::archive::restore(&world.archive(), entry).unwrap().files.len(), 1);
    }
}

#[test]
fn an_entry_that_is_the_only_copy_again_is_not_forgotten() {
    let mut world = one_session();
    world.apply(&world.plan());
    let (entries, _) = world.archive().entries().unwrap();
    crate::artifacts::archive::restore(&world.archive(), &entries[0]).unwrap();
    world.archive().note_restored(&entries[0], world.now).unwrap();
    // Both the mark that it was put back and the entry are older than their limits.
    world.settings.archive_retention = Limit::After(std::time::Duration::from_secs(30 * DAY));
    world.now += TimeDelta::days(40);
    world.transcript(2, 1);
    let plan = world.plan();
    assert_eq!((goes(&plan).len(), plan.forgotten.len()), (1, 1));
    let applied = world.apply(&plan);
    assert_eq!((applied.outcomes, applied.forgotten, applied.archived), (vec![Outcome::Removed], 0, 0));
    let (entries, _) = world.archive().entries().unwrap();
    assert_eq!((entries.len(), entries[0].manifest.archived_at, entries[0].manifest.restored_at), (1, world.now, None));
    assert!(world.plan().forgotten.is_empty());
}

#[test]
fn an_entry_whose_mark_keeps_a_session_is_not_forgotten() {
    let mut world = one_session();
    world.settings.kinds[row_named("claude.transcripts").unwrap()].retention =
        Limit::After(std::time::Duration::from_secs(60 * DAY));
    world.apply(&world.plan());
    let (entries, _) = world.archive().entries().unwrap();
    crate::artifacts::archive::restore(&world.archive(), &entries[0]).unwrap();
    world.archive().note_restored(&entries[0], world.now).unwrap();
    world.settings.archive_retention = Limit::After(std::time::Duration::from_secs(30 * DAY));
    world.now += TimeDelta::days(40);
    let plan = world.plan();
    assert_eq!((goes(&plan).len(), plan.forgotten.len()), (0, 0));
}

#[test]
fn a_run_that_would_forget_most_of_the_archive_is_held() {
    let mut world = World::new().retention("claude.transcripts", 30);
    world.settings.keep_last = 1;
    (0..4).for_each(|number| drop(world.transcript(number, 100)));
    world.apply(&world.plan_with(true));
    world.settings.archive_retention = Limit::After(std::time::Duration::from_secs(365 * DAY));
    world.now += TimeDelta::days(4_000);
    assert_eq!(world.plan().held, Some(Held { what: "archived sessions", removed: 3, of: 3 }));
    assert_eq!(world.plan_with(true).held, None);
}

#[test]
fn copies_of_one_session_count_once_for_the_brake() {
    let mut world = World::new().retention("claude.transcripts", 30);
    world.settings.keep_last = 1;
    for number in 0..8 {
        let text = fs_err::read_to_string(world.transcript(number, 100)).unwrap();
        world.file(&format!("projects/-other/{}.jsonl", id(number)), &text, 100);
    }
    assert_eq!(world.plan().held.map(|held| held.of), Some(8));
}

#[test]
fn a_budget_is_not_met_by_what_makes_no_room() {
    let world = World::new().max_size("claude.transcripts", 1_000_000);
    (0..20).for_each(|number| drop(world.transcript(number, 100)));
    world.file(&format!("projects/-work/{}/tool-results/big", id(77)), &"x".repeat(3_000_000), 100);
    assert_eq!(goes(&world.plan_with(true)), NONE);
}

#[test]
fn what_somebody_claims_while_a_question_is_asked_stays() {
    let world = one_session();
    let mut plan = world.plan();
    let again = {
        let (homes, _) = homes(&world.catalogue, &[]).unwrap();
        let terms = Terms { settings: &world.settings, kinds: Vec::new(), may_take_most: false, now: world.now };
        let speakers = Speakers::gather((&world.catalogue, &world.proc), [id(1)], Vec::new(), (&[], None));
        Plan::make(homes, &speakers, (&[], &world.proc), &terms)
    };
    plan.keep_to(&again);
    assert_eq!(goes(&plan), NONE);
}

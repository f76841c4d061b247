//! What becomes of a plan, and of the archive with it.

use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;

use super::apply::{Outcome, Remover, Why};
use super::claims::{Known, Speakers};
use super::homes::homes;
use super::names::Names;
use super::parts::Parts;
use super::plan::{Held, Plan, Terms};
use super::world::{DAY, NONE, World, as_nobody, decided, disk_of, goes, id};
use crate::artifacts::archive::restore;
use crate::artifacts::kinds::row_named;
use crate::filesystem::walk;
use crate::policy::artifact::{Claim, Reason};
use crate::policy::duration::Limit;

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
    let restored = restore(&world.archive(), &entries[0]).unwrap();
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
fn what_cannot_be_looked_at_again_stays_and_leaves_no_entry() {
    let world = one_session();
    let plan = world.plan();
    // A process of that number is there, and its record says nothing.
    let own = std::process::id();
    let proc = world.folder.path().join(format!("proc/{own}"));
    fs_err::create_dir_all(&proc).unwrap();
    fs_err::copy("/proc/self/stat", proc.join("stat")).unwrap();
    let record = world.file(&format!("sessions/{own}.json"), "{", 1);
    let cannot_look = |plan: &Plan<'_>| {
        let applied = world.apply(plan);
        assert!(matches!(&applied.outcomes[..], [Outcome::Failed(why)] if why.contains("not known")), "{applied:?}");
        assert_eq!((applied.archived, applied.freed), (0, 0));
    };
    cannot_look(&plan);
    assert_eq!(world.sessions_in_archive(), NONE);
    // An entry of before stays where it is.
    fs_err::remove_file(&record).unwrap();
    world.apply(&plan);
    let (entries, _) = world.archive().entries().unwrap();
    restore(&world.archive(), &entries[0]).unwrap();
    let plan = world.plan();
    fs_err::write(&record, "{").unwrap();
    cannot_look(&plan);
    assert_eq!(world.archive().entries().unwrap().0, entries);
}

#[test]
fn a_file_with_two_names_frees_its_room_with_the_last_one() {
    let world = World::new();
    let one = world.file("debug/one.txt", "x", 10);
    fs_err::hard_link(&one, world.home().join("debug/two.txt")).unwrap();
    fs_err::hard_link(&one, world.home().join("history.jsonl")).unwrap();
    let freed = |world: &World| {
        let planned: u64 = world.plan().removed().map(|(_, item)| item.unit.sums.disk).sum();
        let applied = world.apply(&world.plan());
        (planned, applied.outcomes.len(), applied.removed(), applied.freed)
    };
    let disk = disk_of(&one);
    // The name that nobody asked about still takes the room.
    assert_eq!([freed(&world), freed(&world)], [(disk, 2, 2, 0), (0, 0, 0, 0)]);
    let world = World::new();
    let one = world.file("debug/one.txt", "x", 10);
    fs_err::hard_link(&one, world.home().join("debug/two.txt")).unwrap();
    assert_eq!(freed(&world), (disk, 2, 2, disk));
}

#[test]
fn a_session_with_files_of_several_names_goes_at_once_and_comes_back() {
    let world = one_session();
    let place = format!("projects/-work/{}/tool-results", id(1));
    let one = world.home().join(&place).join("a.txt");
    fs_err::hard_link(&one, world.home().join(&place).join("b.txt")).unwrap();
    assert_eq!(world.apply(&world.plan()).outcomes, [Outcome::Removed]);
    assert!(!world.home().join(place).exists());
    let (entries, _) = world.archive().entries().unwrap();
    assert_eq!(restore(&world.archive(), &entries[0]).unwrap().files.len(), 5);
}

#[test]
fn a_name_that_somebody_changed_after_another_one_went_stays() {
    let world = World::new();
    let one = world.file("debug/one.txt", "x", 10);
    let two = world.home().join("debug/two.txt");
    fs_err::hard_link(&one, &two).unwrap();
    let home = walk::open_folder_path(&world.home()).unwrap();
    let mut names = Names::default();
    let plan = world.plan();
    let parts = |number: usize, names: &Names| {
        let (_, item) = plan.removed().nth(number).unwrap();
        Parts::of(home.as_fd(), &item.unit.pieces, names).unwrap().unwrap()
    };
    let first = parts(0, &names);
    assert_eq!(first.remove(home.as_fd(), |_| false, &mut names, &mut 0).ok(), Some(Outcome::Removed));
    let second = parts(1, &names);
    assert!(second.are_unchanged(home.as_fd(), &names).unwrap());
    fs_err::write(&two, "y").unwrap();
    world.touch(&two, 10);
    assert!(!second.are_unchanged(home.as_fd(), &names).unwrap());
    assert_eq!(second.remove(home.as_fd(), |_| false, &mut names, &mut 0).ok(), Some(Outcome::Changed));
    assert_ne!(parts(1, &names).trace(), plan.removed().nth(1).unwrap().1.unit.sums.trace);
    assert!(two.exists());
}

#[test]
fn a_session_that_cannot_be_removed_whole_keeps_all_of_it() {
    let world = one_session();
    let project = project_of(&world);
    let before = walkdir::WalkDir::new(&project).into_iter().count();
    world.give_to_nobody();
    fs_err::set_permissions(&project, std::fs::Permissions::from_mode(0o555)).unwrap();
    let (world, kept, planned) = as_nobody(move || {
        let plan = world.plan();
        let kept = (decided(&plan), plan.problems.clone());
        // Also where that comes to be between the plan and the removal.
        fs_err::set_permissions(project_of(&world), std::fs::Permissions::from_mode(0o755)).unwrap();
        let plan = world.plan();
        fs_err::set_permissions(project_of(&world), std::fs::Permissions::from_mode(0o555)).unwrap();
        let applied = world.apply(&plan);
        drop(plan);
        (world, kept, applied)
    });
    let ((gone, kept), problems) = kept;
    assert!(gone.is_empty() && matches!(&kept[0].1, Reason::Fixed(_)), "{kept:?}");
    assert!(
        problems[0].contains("the folder projects/-work cannot be written: ") && problems.len() == 1,
        "{problems:?}"
    );
    fs_err::set_permissions(&project, std::fs::Permissions::from_mode(0o755)).unwrap();
    let Outcome::Failed(why) = &planned.outcomes[0] else { panic!("{planned:?}") };
    assert!(why.contains("the folder projects/-work cannot be written: "), "{why}");
    assert!(why.ends_with("nothing of it was removed"), "{why}");
    assert_eq!(walkdir::WalkDir::new(&project).into_iter().count(), before);
    assert_eq!((world.sessions_in_archive(), planned.freed), (Vec::new(), 0));
}

fn project_of(world: &World) -> PathBuf {
    world.home().join("projects/-work")
}

#[test]
fn the_transcript_goes_first_and_what_went_is_said() {
    let world = one_session();
    let plan = world.plan();
    let (home, item) = plan.removed().next().unwrap();
    let folder = walk::open_folder_path(&world.home()).unwrap();
    let parts = Parts::of(folder.as_fd(), &item.unit.pieces, &Names::default()).unwrap().unwrap();
    // In the instant after the last look.
    let result = world.file(&format!("projects/-work/{}/tool-results/a.txt", id(1)), "other", 0);
    let records: Vec<PathBuf> = item.unit.records(&home.home).collect();
    let is_record = |path: &Path| records.contains(&world.home().join(path));
    let failure = parts.remove(folder.as_fd(), is_record, &mut Names::default(), &mut 0).unwrap_err();
    assert!(format!("{failure:?}").contains("it changed meanwhile, and stays; 3 of 4 files removed"), "{failure:?}");
    assert_eq!((result.exists(), records[0].exists()), (true, false));
}

#[test]
fn what_a_killed_run_left_goes_where_the_archive_holds_it() {
    for (change, gone) in [(None, 1), (Some("another"), 0)] {
        let world = one_session();
        world.apply(&world.plan());
        let (entries, _) = world.archive().entries().unwrap();
        restore(&world.archive(), &entries[0]).unwrap();
        let place = world.home().join("projects/-work");
        // The transcript went, the folder above a file that went as well is empty, and the run was killed.
        fs_err::remove_file(place.join(format!("{}.jsonl", id(1)))).unwrap();
        fs_err::remove_file(place.join(id(1)).join("subagents/agent-1.jsonl")).unwrap();
        if let Some(text) = change {
            world.file(&format!("projects/-work/{}/tool-results/a.txt", id(1)), text, 101);
        }
        let plan = world.plan();
        assert_eq!(goes(&plan).len(), gone);
        let applied = world.apply(&plan);
        assert_eq!((applied.removed(), applied.archived), (gone, 0));
        assert_eq!((place.join(id(1)).exists(), world.sessions_in_archive().len()), (gone == 0, 1));
        let (entries, _) = world.archive().entries().unwrap();
        assert_eq!(restore(&world.archive(), &entries[0]).is_ok(), gone == 1);
    }
}

#[test]
fn the_archive_forgets_by_its_own_retention_alone() {
    let mut world = one_session();
    world.apply(&world.plan());
    world.now += TimeDelta::days(400);
    assert!(world.plan().forgotten.is_empty());
    world.settings.archive_retention = Limit::After(Duration::from_secs(365 * DAY));
    world.settings.kinds.iter_mut().for_each(|limits| limits.retention = Limit::Never);
    let plan = world.plan_with(true);
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
    assert_eq!(world.apply(&plan).outcomes, [Outcome::NotTried(Why::Asked)]);
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
        assert_eq!(restore(&world.archive(), entry).unwrap().files.len(), 1);
    }
}

#[test]
fn an_entry_that_is_the_only_copy_again_is_not_forgotten() {
    let mut world = one_session();
    world.apply(&world.plan());
    let (entries, _) = world.archive().entries().unwrap();
    restore(&world.archive(), &entries[0]).unwrap();
    world.archive().note_restored(&entries[0], world.now).unwrap();
    // Both the mark that it was put back and the entry are older than their limits.
    world.settings.archive_retention = Limit::After(Duration::from_secs(30 * DAY));
    world.now += TimeDelta::days(40);
    world.transcript(2, 1);
    let plan = world.plan_with(true);
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
        Limit::After(Duration::from_secs(60 * DAY));
    world.apply(&world.plan());
    let (entries, _) = world.archive().entries().unwrap();
    restore(&world.archive(), &entries[0]).unwrap();
    world.archive().note_restored(&entries[0], world.now).unwrap();
    world.settings.archive_retention = Limit::After(Duration::from_secs(30 * DAY));
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
    world.settings.archive_retention = Limit::After(Duration::from_secs(365 * DAY));
    world.now += TimeDelta::days(4_000);
    assert_eq!(world.plan().held, Some(Held { what: "archived sessions", removed: 3, of: 3 }));
    assert_eq!(world.plan_with(true).held, None);
    // What goes from the archive does not come back: one session can be all that there was.
    world.archive().entries().unwrap().0[1..].iter().for_each(|entry| world.archive().remove(entry).unwrap());
    let plan = world.plan();
    assert_eq!(plan.held, Some(Held { what: "archived sessions", removed: 1, of: 1 }));
    assert_eq!((world.apply(&plan).forgotten, world.sessions_in_archive().len()), (0, 1));
}

#[test]
fn what_somebody_claims_while_a_question_is_asked_stays() {
    let world = one_session();
    let mut plan = world.plan();
    let again = {
        let (homes, _) = homes(&world.catalogue, &[]).unwrap();
        let terms = Terms { settings: &world.settings, kinds: Vec::new(), may_take_most: false, now: world.now };
        let speakers =
            Speakers::gather((&world.catalogue, &world.proc), Known { mapped: vec![id(1)], ..Known::default() });
        Plan::make(homes, &speakers, (&[], &world.proc), &terms)
    };
    plan.keep_to(&again);
    assert_eq!(goes(&plan), NONE);
}

#[test]
fn a_session_that_comes_to_be_mapped_while_the_run_works_stays() {
    let mut world = World::new().retention("claude.transcripts", 30);
    world.settings.keep_last = 1;
    (1..3).for_each(|number| drop(world.transcript(number, 100)));
    (5..9).for_each(|number| drop(world.transcript(number, 1)));
    let plan = world.plan();
    let entries = world.archive().entries().unwrap().0;
    // The first look is the plan's; by the second one a bridge leads to the other session, too.
    let world = &world;
    let look_again = || {
        let mapped = vec![id(2)];
        Ok(Speakers::gather((&world.catalogue, &world.proc), Known { mapped, ..Known::default() }))
    };
    let (archive, proc, now) = (world.archive(), &world.proc, world.now);
    let remover = Remover { archive: &archive, entries: &entries, proc, now, look_again: &look_again };
    let gone: Vec<Option<&String>> = plan.removed().map(|(_, item)| item.unit.session.as_ref()).collect();
    assert_eq!(gone, [Some(&id(1)), Some(&id(2))]);
    assert_eq!(remover.apply(&plan).outcomes, [Outcome::Removed, Outcome::Opened]);
    assert_eq!(world.sessions_in_archive(), [id(1)]);
    // Where that cannot be told any more it stays as well.
    let plan = world.plan();
    let look_again = || Err("the map is gone".to_owned());
    let remover = Remover { archive: &archive, entries: &entries, proc, now, look_again: &look_again };
    let why = "who uses it by now is not known: the map is gone";
    assert_eq!(remover.apply(&plan).outcomes, [Outcome::Failed(why.to_owned())]);
    assert_eq!(world.sessions_in_archive(), [id(1)]);
}

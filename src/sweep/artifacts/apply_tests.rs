//! What becomes of a plan.

use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::apply::{Outcome, Why};
use super::names::Names;
use super::parts::Parts;
use super::world::{NONE, World, as_nobody, decided, disk_of, goes, id, one_session};
use crate::artifacts::archive::restore;
use crate::filesystem::walk;
use crate::policy::artifact::{Claim, Reason};

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
fn a_run_that_is_asked_to_end_leaves_what_it_has_not_begun() {
    let world = World::new();
    world.file("debug/old.txt", "x", 10);
    let plan = world.plan();
    crate::interrupt::ask_in_test();
    assert_eq!(world.apply(&plan).outcomes, [Outcome::NotTried(Why::Asked)]);
    assert!(world.home().join("debug/old.txt").exists());
}

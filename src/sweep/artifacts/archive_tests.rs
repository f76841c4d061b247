//! What a run puts into the archive, finds there, and takes out of it.

use std::time::Duration;

use chrono::TimeDelta;

use super::apply::Outcome;
use super::plan::Held;
use super::world::{DAY, NONE, World, goes, id, one_session};
use crate::artifacts::archive::restore;
use crate::artifacts::kinds::row_named;
use crate::policy::duration::Limit;

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
    assert_eq!(world.plan().archive_held, Some(Held { what: "archived sessions", removed: 3, of: 3 }));
    assert_eq!(world.plan_with(true).archive_held, None);
    // What goes from the archive does not come back: one session can be all that there was.
    world.archive().entries().unwrap().0[1..].iter().for_each(|entry| world.archive().remove(entry).unwrap());
    let plan = world.plan();
    assert_eq!(plan.archive_held, Some(Held { what: "archived sessions", removed: 1, of: 1 }));
    assert_eq!((world.apply(&plan).forgotten, world.sessions_in_archive().len()), (0, 1));
    // What else is too old goes all the same.
    world.file("debug/old.txt", "x", 10);
    let plan = world.plan();
    assert!(plan.archive_held.is_some() && plan.removes_something());
    let applied = world.apply(&plan);
    assert_eq!((applied.outcomes, applied.forgotten), (vec![Outcome::Removed], 0));
}

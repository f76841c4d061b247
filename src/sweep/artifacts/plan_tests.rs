//! What goes and what stays.

use std::os::unix::fs::PermissionsExt as _;

use chrono::TimeDelta;

use super::apply::{Outcome, Why};
use super::plan::{Held, Plan};
use super::world::{NONE, World, as_nobody, decided, disk_of, goes, id};
use crate::artifacts::kinds::KINDS;
use crate::policy::artifact::{Cause, Claim, Reason, Verdict};

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
    assert_eq!(applied.outcomes, vec![Outcome::NotTried(Why::Held); 4]);
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
fn a_budget_that_cannot_be_met_is_told() {
    let excess_of = |plan: &Plan<'_>| plan.excesses().map(|(_, excess)| (excess.left, excess.most)).collect::<Vec<_>>();
    let mut world = World::new();
    let one = disk_of(&world.file("history.jsonl", "x", 1));
    world = world.max_size("claude.paste_cache", one);
    for name in ["now", "soon"] {
        world.file(&format!("paste-cache/{name}"), "x", 0);
    }
    world.file("paste-cache/old", "x", 10);
    // All that may go goes.
    let plan = world.plan();
    assert_eq!((goes(&plan), excess_of(&plan)), (vec!["old".to_owned()], vec![(2 * one, one)]));
    let met = world.max_size("claude.paste_cache", 2 * one);
    assert_eq!((goes(&met.plan()), excess_of(&met.plan())), (vec!["old".to_owned()], Vec::new()));
    // What stays with its parent counts as well, and what is nobody's session.
    let world = World::new().max_size("claude.transcripts", 1_000_000);
    let big = disk_of(&world.file(&format!("projects/-work/{}/tool-results/big", id(77)), &"x".repeat(3_000_000), 100));
    assert_eq!(excess_of(&world.plan()), [(big, 1_000_000)]);
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
fn empty_transcripts_take_no_place_among_the_newest() {
    let mut world = World::new().retention("claude.transcripts", 30);
    world.settings.keep_last = 2;
    (1..5).for_each(|number| drop(world.transcript(number, 50 + number as i64)));
    (10..15).for_each(|number| drop(world.file(&format!("projects/-work/{}.jsonl", id(number)), "", 5)));
    assert_eq!(goes(&world.plan_with(true)), [format!("{}.jsonl", id(4)), format!("{}.jsonl", id(3))]);
}

#[test]
fn what_a_sub_agent_recorded_last_counts_for_its_session() {
    let mut world = World::new().retention("claude.transcripts", 30);
    world.settings.keep_last = 1;
    world.transcript(1, 100);
    (5..8).for_each(|number| drop(world.transcript(number, 1)));
    let path = format!("projects/-work/{}/subagents/agent-1.jsonl", id(1));
    let record = |days: i64| format!("{{\"timestamp\":\"{}\"}}\n", (world.now - TimeDelta::days(days)).to_rfc3339());
    world.file(&path, &record(90), 100);
    assert_eq!(goes(&world.plan()).len(), 1);
    world.file(&path, &record(2), 100);
    assert_eq!(goes(&world.plan()), NONE);
}

#[test]
fn what_this_program_keeps_below_a_home_is_nothing_of_the_clis() {
    let mut world = World::new().retention("claude.plans", 3);
    world.state = world.home().join("plans");
    world.file("plans/archive/session.tar.zst", "x", 9);
    world.file("plans/plan.md", "x", 9);
    let own = Reason::Claimed(Claim::Own);
    assert!(decided(&world.plan()).1.iter().all(|(_, reason)| *reason == own));
    assert_eq!(goes(&world.plan()), NONE);
    // Also where a folder that goes as a whole has it in it.
    world.state = world.home().join("session-env/x/state");
    world.file("session-env/x/state/archive/session.tar.zst", "x", 400);
    world.touch(&world.home().join("session-env/x"), 400);
    assert_eq!(goes(&world.plan()), ["session.tar.zst", "plan.md"]);
    world.state = world.home().join("elsewhere");
    assert_eq!(goes(&world.plan()).len(), 3);
}

#[test]
fn a_transcript_that_cannot_be_read_is_told_as_a_fault() {
    let mut world = World::new().retention("claude.transcripts", 30);
    world.settings.keep_last = 1;
    let unread = world.transcript(1, 100);
    world.file(&format!("projects/-work/{}.jsonl", id(2)), "{\"no\":\"time\"}\n{\"timestamp\":\"then\"}\n", 100);
    (5..9).for_each(|number| drop(world.transcript(number, 1)));
    world.give_to_nobody();
    fs_err::set_permissions(&unread, std::fs::Permissions::from_mode(0o000)).unwrap();
    let (kept, problems) = as_nobody(move || {
        let plan = world.plan();
        (decided(&plan).1, plan.problems.clone())
    });
    assert!(kept.iter().any(|(_, reason)| matches!(reason, Reason::Unread(_))), "{kept:?}");
    // That it tells no time is its own affair.
    assert!(kept.iter().any(|(_, reason)| matches!(reason, Reason::Unknown(_))), "{kept:?}");
    assert_eq!((kept.len(), problems.len()), (2, 1), "{problems:?}");
    assert!(problems[0].contains("could not read"), "{problems:?}");
}
